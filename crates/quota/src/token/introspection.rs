//! Tokens that only their authorization server can read: it is asked (RFC 7662), and its answers are kept for a while.
//!
//! Anybody can make up tokens that are asked about. So a client has few questions under way at a time, fewer the more there
//! are of others, and what it sends beyond them is refused; some are kept for clients that have had a good token before
//! ([`Questions`]). And a server that does not answer is left alone, so that nobody waits for it in vain. What it has said
//! before goes on meanwhile.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshgate_jwt::{Claims, Rules};
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Answer, CalloutError, CalloutId, Host, HostError, Listener, Setup, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use super::bearer::{Directory, Mapping};
use super::breaker::{Breaker, Leave};
use super::cache::{Cache, TokenDigest};
use super::endpoint::{self, Endpoint};
use super::issuer::{environment, rules};
use super::log_budget::LogBudget;
use super::questions::{MAX_UNDER_WAY, Questions, Room};
use super::{Stopped, TokenProblem};
use crate::config::{IntrospectionConfig, OnIntrospectionError};
use crate::metrics::{Event, Metrics};
use crate::scope::Facts;

/// The longest answer. Bytes.
const MAX_ANSWER: usize = 64 * 1_024;
/// How deep an answer may be, as claims of a token.
const MAX_DEPTH: usize = 10;
/// The answers that a worker keeps, and how many bytes they have together.
const MAX_KEPT: usize = 4_096;
const MAX_KEPT_BYTES: usize = 2 << 20;
/// How long nothing is asked about a token that could not be asked about. Seconds.
const RETRY: u64 = 1;
/// What stands for itself in a form (WHATWG URL standard, "application/x-www-form-urlencoded percent-encode set").
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// An authorization server that is asked about tokens.
pub struct Introspection {
    endpoint: Endpoint,
    /// What its answers must say.
    pub rules: Rules,
    /// Who they say sends a request.
    pub mapping: Mapping,
    max_age: u64,
    max_age_inactive: u64,
    on_error: OnIntrospectionError,
    metrics: Rc<Metrics>,
    answers: RefCell<Cache<Told>>,
    questions: RefCell<Questions>,
    breaker: RefCell<Breaker>,
    log: RefCell<LogBudget>,
}

/// What the server has said of a token.
#[derive(Clone)]
enum Told {
    /// It is good. The answer is kept until then.
    Active(Rc<Claims>, u64),
    Inactive,
    Nothing,
}

/// A token that is asked about.
struct Question {
    introspection: Rc<Introspection>,
    token: TokenDigest,
    leave: Leave,
}

/// Whether a token is asked about.
enum Asked {
    /// The exchange waits for the answer.
    Yes,
    /// The server is not asked at present.
    No,
    /// Its client has as many questions under way as it may have.
    TooMany,
}

/// How a question was not answered.
struct Failure {
    why: String,
    /// It says something of the server, and not only of this token.
    is_of_server: bool,
}

/// What there is to a token.
pub enum Verdict {
    /// It is good until then (seconds since 1970-01-01T00:00:00Z), and says this.
    Good(Rc<Claims>, u64),
    /// Nothing is known, and that is to count as no token at all.
    Anonymous,
}

impl Introspection {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(
        config: IntrospectionConfig,
        directory: &Directory,
        metrics: &Rc<Metrics>,
        setup: &dyn Setup,
    ) -> Result<Self, ConfigError> {
        let path = Path::root().key("introspection");
        let per_client = config.questions_per_client;
        if per_client == 0 || usize::from(per_client) > MAX_UNDER_WAY {
            let error = ConfigError::at(path.key("questions_per_client")).found(per_client.to_string());
            return Err(error.expected(format!("1 to {MAX_UNDER_WAY}")));
        }
        if config.client.id.is_empty() {
            let error = ConfigError::at(path.key("client").key("id")).value("");
            return Err(error.expected("who we are for the authorization server, such as gateway"));
        }
        let secret = environment(&config.client.secret_env, setup, &path.key("client").key("secret_env"))?;
        // RFC 6749 section 2.3.1: both are encoded as in a form first.
        let encode = |bytes: &[u8]| percent_encode(bytes, FORM).to_string();
        let credentials = format!("{}:{}", encode(config.client.id.as_bytes()), encode(&secret));
        let authorization = format!("Basic {}", STANDARD.encode(credentials));
        let endpoint = Endpoint::compile(
            "POST",
            (config.cluster, &config.path, config.authority),
            config.timeout,
            &[
                ("authorization", &authorization),
                ("content-type", "application/x-www-form-urlencoded"),
                ("accept", "application/json"),
            ],
            MAX_ANSWER,
            &path,
        )?;
        Ok(Self {
            endpoint,
            rules: rules(config.issuer, config.audiences, config.require, &path)?,
            mapping: Mapping::compile(config.identity, config.forward, directory, &path.key("identity"))?,
            max_age: Duration::from(config.max_age).as_secs(),
            max_age_inactive: Duration::from(config.max_age_inactive).as_secs(),
            on_error: config.on_error,
            metrics: Rc::clone(metrics),
            answers: RefCell::new(Cache::new(MAX_KEPT, MAX_KEPT_BYTES)),
            questions: RefCell::new(Questions::new(per_client.into())),
            breaker: RefCell::default(),
            log: RefCell::default(),
        })
    }

    /// What the server says of a token. `wait`: the exchange may wait for that.
    ///
    /// # Errors
    /// Why the request does not go on.
    pub fn ask(
        self: &Rc<Self>,
        host: &mut dyn Host,
        token: &[u8],
        digest: TokenDigest,
        facts: &Facts<'_>,
        wait: bool,
    ) -> Result<Verdict, Stopped> {
        let time = host.now();
        let now = time.as_secs();
        let told = self.answers.borrow_mut().get(&digest, now);
        match told {
            Some(Told::Active(claims, kept)) => {
                let kind = claims.get("token_type").and_then(Value::as_str);
                self.rules.check_type(kind).map_err(TokenProblem::from)?;
                let valid = self.rules.check_introspected(&claims, now).map_err(TokenProblem::from)?;
                let until = valid.map_or(kept, |valid| valid.until.min(kept));
                self.questions.borrow_mut().trust(*facts.address(host)?, now);
                Ok(Verdict::Good(claims, until))
            }
            Some(Told::Inactive) => Err(TokenProblem::Inactive.into()),
            None if wait => match self.send(host, token, digest, facts)? {
                Asked::Yes => Err(Stopped::Wait),
                Asked::No => {
                    self.metrics.count(host, Event::IntrospectionNotAsked);
                    self.unanswered(time)
                }
                Asked::TooMany => Err(TokenProblem::Throttled.into()),
            },
            Some(Told::Nothing) | None => self.unanswered(time),
        }
    }

    fn unanswered(&self, now: Timestamp) -> Result<Verdict, Stopped> {
        let rest = self.breaker.borrow().rest(now).as_millis().div_ceil(1_000);
        let retry_after = u64::try_from(rest).unwrap_or(u64::MAX).max(RETRY);
        match self.on_error {
            OnIntrospectionError::Deny => Err(TokenProblem::Unchecked { retry_after }.into()),
            OnIntrospectionError::Anonymous => Ok(Verdict::Anonymous),
        }
    }

    /// Asks about a token, once for all exchanges that carry it.
    fn send(
        self: &Rc<Self>,
        host: &mut dyn Host,
        token: &[u8],
        digest: TokenDigest,
        facts: &Facts<'_>,
    ) -> Result<Asked, HostError> {
        let under_way = self.questions.borrow().about(&digest);
        if under_way.is_some_and(|id| host.join(id).is_ok()) {
            return Ok(Asked::Yes);
        }
        let now = host.now();
        if !self.breaker.borrow().rest(now).is_zero() {
            return Ok(Asked::No);
        }
        let client = *facts.address(host)?;
        match self.questions.borrow().room(client, now.as_secs()) {
            Room::ForOne => {}
            Room::NotForClient => return Ok(Asked::TooMany),
            Room::Nothing => return Ok(Asked::No),
        }
        let leave = self.breaker.borrow_mut().leave(now);
        let Some(leave) = leave else { return Ok(Asked::No) };

        let body = format!("token={}&token_type_hint=access_token", percent_encode(token, FORM));
        let listener = Rc::new(Question { introspection: Rc::clone(self), token: digest, leave });
        self.metrics.count(host, Event::IntrospectionAsked);
        match host.fetch(&self.endpoint.call(body.as_bytes()), listener) {
            Ok(id) => {
                self.questions.borrow_mut().begin(digest, id, client);
                Ok(if host.join(id).is_ok() { Asked::Yes } else { Asked::No })
            }
            Err(error) => {
                let failure = Failure { why: error.to_string(), is_of_server: true };
                self.failed(host, now, leave, &failure);
                Ok(Asked::No)
            }
        }
    }

    fn failed(&self, host: &mut dyn Host, now: Timestamp, leave: Leave, failure: &Failure) {
        self.metrics.count(host, Event::IntrospectionFailed);
        let mut breaker = self.breaker.borrow_mut();
        let pause = if failure.is_of_server {
            breaker.failed(leave, now)
        } else {
            breaker.succeeded();
            None
        };
        let left_out = self.log.borrow_mut().spend(now);
        // Pauses get longer, so their lines get fewer.
        if left_out.is_none() && pause.is_none() {
            return;
        }
        let (cluster, why) = (self.endpoint.cluster(), &failure.why);
        let pause = pause.map(|pause| format!("; nothing is asked for {} s", pause.as_secs()));
        let left_out =
            left_out.filter(|left_out| *left_out > 0).map(|lines| format!("; {lines} like this before"));
        log::warn!(
            "introspection by the cluster {cluster}: {why}{}{}",
            pause.unwrap_or_default(),
            left_out.unwrap_or_default()
        );
    }

    /// Reads an answer: RFC 7662 section 2.2.
    fn read(answer: &Answer, until: u64) -> Result<Told, Failure> {
        let broken = |why: &str| Failure { why: why.to_owned(), is_of_server: true };
        let body =
            endpoint::body(answer).map_err(|why| Failure { why, is_of_server: is_of_server(answer) })?;
        let claims = meshgate_jwt::object(body, MAX_DEPTH);
        let claims = claims.map_err(|_| broken("the answer is not a JSON object"))?;
        match claims.get("active").and_then(Value::as_bool) {
            Some(true) => Ok(Told::Active(Rc::new(claims), until)),
            Some(false) => Ok(Told::Inactive),
            None => Err(broken("the answer does not say whether the token is active")),
        }
    }
}

/// Whether an answer that is none says something of the server. One that takes offence at a token answers others: or whoever
/// sends such tokens would keep it from being asked about good ones.
fn is_of_server(answer: &Answer) -> bool {
    match answer {
        Answer::Http { headers, .. } => {
            let status = headers.first(":status").unwrap_or_default();
            // The client is not known there, or asks too much.
            !status.starts_with(b"4") || matches!(status, b"401" | b"403" | b"429")
        }
        Answer::Failed(CalloutError::TooLarge) => false,
        Answer::Failed(_) | Answer::Grpc { .. } | Answer::GrpcStatus { .. } => true,
    }
}

impl Listener for Question {
    fn answered(&self, host: &mut dyn Host, _: CalloutId, answer: &Answer) {
        let Self { introspection, token, leave } = self;
        introspection.questions.borrow_mut().end(token);
        // At least so long that the exchanges that wait can read it.
        let now = host.now();
        let until = |age: u64| now.as_secs().saturating_add(age.max(RETRY));
        let good = until(introspection.max_age);
        let size = endpoint::body(answer).map_or(0, <[u8]>::len);
        let told = match Introspection::read(answer, good) {
            Ok(told) => {
                introspection.breaker.borrow_mut().succeeded();
                told
            }
            Err(failure) => {
                introspection.failed(host, now, *leave, &failure);
                Told::Nothing
            }
        };
        let until = match told {
            Told::Active(..) => good,
            Told::Inactive => until(introspection.max_age_inactive),
            Told::Nothing => until(RETRY),
        };
        introspection.answers.borrow_mut().insert(*token, told, until, size);
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
