//! Tokens that only their authorization server can read: it is asked (RFC 7662), and its answers are kept for a while.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshgate_jwt::{Claims, Rules};
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Answer, CalloutId, Host, Listener, Setup};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use super::bearer::{Directory, Mapping};
use super::cache::{Cache, TokenDigest};
use super::endpoint::{self, Endpoint};
use super::issuer::{environment, rules};
use super::{Stopped, TokenProblem};
use crate::config::{IntrospectionConfig, OnIntrospectionError};
use crate::metrics::{Event, Metrics};

/// The longest answer. Bytes.
const MAX_ANSWER: usize = 64 * 1_024;
/// How deep an answer may be, as claims of a token.
const MAX_DEPTH: usize = 10;
/// The answers that a worker keeps, and how many bytes they have together.
const MAX_KEPT: usize = 4_096;
const MAX_KEPT_BYTES: usize = 2 << 20;
/// The requests that a worker has under way at a time.
const MAX_UNDER_WAY: usize = 256;
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
    under_way: RefCell<HashMap<TokenDigest, CalloutId>>,
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
            under_way: RefCell::default(),
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
        wait: bool,
    ) -> Result<Verdict, Stopped> {
        let now = host.now().as_secs();
        let told = self.answers.borrow_mut().get(&digest, now);
        match told {
            Some(Told::Active(claims, kept)) => {
                let kind = claims.get("token_type").and_then(Value::as_str);
                self.rules.check_type(kind).map_err(TokenProblem::from)?;
                let valid = self.rules.check_introspected(&claims, now).map_err(TokenProblem::from)?;
                let until = valid.map_or(kept, |valid| valid.until.min(kept));
                Ok(Verdict::Good(claims, until))
            }
            Some(Told::Inactive) => Err(TokenProblem::Inactive.into()),
            Some(Told::Nothing) => self.unanswered(),
            None if wait && self.send(host, token, digest) => Err(Stopped::Wait),
            None => self.unanswered(),
        }
    }

    fn unanswered(&self) -> Result<Verdict, Stopped> {
        match self.on_error {
            OnIntrospectionError::Deny => Err(TokenProblem::Unchecked { retry_after: RETRY }.into()),
            OnIntrospectionError::Anonymous => Ok(Verdict::Anonymous),
        }
    }

    /// Asks about a token, once for all exchanges that carry it. `false`: no answer will come.
    fn send(self: &Rc<Self>, host: &mut dyn Host, token: &[u8], digest: TokenDigest) -> bool {
        let under_way = self.under_way.borrow().get(&digest).copied();
        if under_way.is_some_and(|id| host.join(id).is_ok()) {
            return true;
        }
        if self.under_way.borrow().len() >= MAX_UNDER_WAY {
            return false;
        }
        let body = format!("token={}&token_type_hint=access_token", percent_encode(token, FORM));
        let listener = Rc::new(Question { introspection: Rc::clone(self), token: digest });
        self.metrics.count(host, Event::IntrospectionAsked);
        match host.fetch(&self.endpoint.call(body.as_bytes()), listener) {
            Ok(id) => {
                self.under_way.borrow_mut().insert(digest, id);
                host.join(id).is_ok()
            }
            Err(error) => {
                self.failed(host, &error);
                false
            }
        }
    }

    fn failed(&self, host: &mut dyn Host, why: &dyn fmt::Display) {
        log::warn!("introspection by the cluster {}: {why}", self.endpoint.cluster());
        self.metrics.count(host, Event::IntrospectionFailed);
    }

    /// Reads an answer: RFC 7662 section 2.2.
    fn read(answer: &Answer, until: u64) -> Result<Told, String> {
        let claims = meshgate_jwt::object(endpoint::body(answer)?, MAX_DEPTH);
        let claims = claims.map_err(|_| "the answer is not a JSON object".to_owned())?;
        match claims.get("active").and_then(Value::as_bool) {
            Some(true) => Ok(Told::Active(Rc::new(claims), until)),
            Some(false) => Ok(Told::Inactive),
            None => Err("the answer does not say whether the token is active".to_owned()),
        }
    }
}

impl Listener for Question {
    fn answered(&self, host: &mut dyn Host, _: CalloutId, answer: &Answer) {
        let Self { introspection, token } = self;
        introspection.under_way.borrow_mut().remove(token);
        // At least so long that the exchanges that wait can read it.
        let now = host.now().as_secs();
        let until = |age: u64| now.saturating_add(age.max(RETRY));
        let good = until(introspection.max_age);
        let size = endpoint::body(answer).map_or(0, <[u8]>::len);
        let told = Introspection::read(answer, good).unwrap_or_else(|why| {
            introspection.failed(host, &why);
            Told::Nothing
        });
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
