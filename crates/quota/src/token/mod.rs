//! Tokens in the place of keys: JSON Web Tokens of issuers whose keys are known, and tokens that an authorization server is
//! asked about.
//!
//! A token that was good is remembered by its digest, with the consumer that it names, until it ends: the next request with
//! it costs a digest and a look-up. What is remembered is forgotten when the keys of the issuer change, because one of them
//! may have been taken back. So is a token whose signature was bad, for a minute: to check one again and again is work that
//! costs its sender nothing.

mod bearer;
mod breaker;
mod cache;
pub mod endpoint;
mod introspection;
mod issuer;
mod log_budget;
pub mod pace;
mod problem;
mod questions;
mod remote;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use meshgate_jwt::{MAX_TOKEN, Origin, Unverified};
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Host, HostError, Setup, Timestamp};

pub use self::bearer::{Bearer, Directory};
use self::cache::Cache;
use self::introspection::{Introspection, Verdict};
use self::issuer::Issuer;
pub use self::problem::TokenProblem;
use crate::config::{IntrospectionConfig, OnIntrospectionError, TokenConfig};
use crate::consumer::Consumers;
use crate::metrics::{Event, Metrics};
use crate::names::Names;
use crate::plan::Plan;
use crate::scope::Facts;

/// The tokens that a worker remembers, and how many bytes they have together. What they claim takes a few times that.
const MAX_REMEMBERED: usize = 4_096;
const MAX_REMEMBERED_BYTES: usize = 2 << 20;
/// The bad signatures that it remembers.
const MAX_BAD: usize = 1_024;

/// Whose tokens are taken.
#[derive(Debug)]
pub struct Tokens {
    issuers: Vec<Issuer>,
    introspection: Option<Rc<Introspection>>,
    directory: Directory,
    metrics: Rc<Metrics>,
    good: RefCell<Cache<Remembered>>,
    bad: RefCell<Cache<CheckedWith>>,
}

/// A token that was good.
#[derive(Clone, Debug)]
struct Remembered {
    bearer: Rc<Bearer>,
    /// `None`: the authorization server was asked.
    keys: Option<CheckedWith>,
}

/// What the signature of a token was checked with.
#[derive(Clone, Copy, Debug)]
struct CheckedWith {
    /// Whose they were.
    issuer: usize,
    /// How often they had changed by then.
    generation: u64,
}

/// Why a request with a token does not go on.
#[derive(Debug)]
pub enum Stopped {
    /// The token is not good.
    Problem(TokenProblem),
    /// Something has to be fetched first.
    Wait,
    /// The host refused something.
    Failed(HostError),
}

impl From<TokenProblem> for Stopped {
    fn from(problem: TokenProblem) -> Self {
        Self::Problem(problem)
    }
}

impl From<HostError> for Stopped {
    fn from(error: HostError) -> Self {
        Self::Failed(error)
    }
}

impl Tokens {
    /// Checks what is configured; `None`: no tokens are taken. `prefix` is what names of shared values begin with.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(
        tokens: Vec<TokenConfig>,
        introspection: Option<IntrospectionConfig>,
        plans: &BTreeMap<String, Rc<Plan>>,
        consumers: &Consumers,
        prefix: &str,
        metrics: &Rc<Metrics>,
        setup: &mut dyn Setup,
    ) -> Result<Option<Self>, ConfigError> {
        if tokens.is_empty() && introspection.is_none() {
            return Ok(None);
        }
        let directory = Directory::new(plans, consumers);
        let mut issuers: Vec<Issuer> = Vec::with_capacity(tokens.len());
        for (index, config) in tokens.into_iter().enumerate() {
            let path = Path::root().key("tokens").index(index);
            if let Some(first) = issuers.iter().position(|issuer| *issuer.name == *config.issuer) {
                return Err(ConfigError::at(path.key("issuer"))
                    .value(&config.issuer)
                    .expected("an issuer of its own")
                    .hint(format!("tokens[{first}] has this one already")));
            }
            issuers.push(Issuer::compile(config, &directory, prefix, metrics, setup, &path)?);
        }
        if let Some(OnIntrospectionError::Anonymous) = introspection.as_ref().map(|config| config.on_error)
            && consumers.anonymous().is_none()
        {
            let error = ConfigError::at(Path::root().key("introspection").key("on_error")).value("anonymous");
            return Err(error
                .expected("deny")
                .hint("without `anonymous` in the document nobody is anonymous"));
        }
        let introspection =
            introspection.map(|config| Introspection::compile(config, &directory, metrics, setup));
        let introspection = introspection.transpose()?.map(Rc::new);
        Ok(Some(Self {
            issuers,
            introspection,
            directory,
            metrics: Rc::clone(metrics),
            good: RefCell::new(Cache::new(MAX_REMEMBERED, MAX_REMEMBERED_BYTES)),
            bad: RefCell::new(Cache::new(MAX_BAD, MAX_BAD)),
        }))
    }

    /// Whether consumers may have tokens that are in no configuration: their usage is in the table.
    pub fn names_others(&self) -> bool {
        let introspection = self.introspection.iter().map(|introspection| &introspection.mapping);
        self.issuers
            .iter()
            .map(|issuer| &issuer.mapping)
            .chain(introspection)
            .any(bearer::Mapping::names_others)
    }

    /// Where names of consumers come from that are in no configuration.
    pub fn names(&self) -> Vec<(Path, &Names)> {
        let root = Path::root();
        let mut places = Vec::new();
        for (index, issuer) in self.issuers.iter().enumerate() {
            places.push((root.key("tokens").index(index).key("identity"), issuer.mapping.names()));
        }
        let asked = self.introspection.as_ref();
        places.extend(asked.map(|one| (root.key("introspection").key("identity"), one.mapping.names())));
        places
    }

    /// Finds out whose token it is; `None`: that can't be known, and it is to count as none. `wait`: the exchange may wait
    /// until something is fetched.
    ///
    /// # Errors
    /// Why the request does not go on.
    pub fn authenticate(
        &self,
        host: &mut dyn Host,
        token: &[u8],
        consumers: &Consumers,
        facts: &Facts<'_>,
        wait: bool,
    ) -> Result<Option<Rc<Bearer>>, Stopped> {
        if token.len() > MAX_TOKEN {
            return Err(TokenProblem::Malformed.into());
        }
        let digest = cache::digest(token);
        let time = host.now();
        let now = time.as_secs();
        let known = self.good.borrow_mut().get(&digest, now);
        if let Some(Remembered { bearer, keys }) = known
            && self.are_present(keys, host, time)?
        {
            self.metrics.count(host, Event::TokenCached);
            return Ok(Some(bearer));
        }
        let bad = self.bad.borrow_mut().get(&digest, now);
        if bad.is_some() && self.are_present(bad, host, time)? {
            self.metrics.count(host, Event::TokenCachedBad);
            return Err(TokenProblem::Signature.into());
        }

        // RFC 6750 section 2.1: `b64token`.
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        if token.is_empty() || !token.iter().all(plain) {
            return Err(TokenProblem::Malformed.into());
        }
        let (bearer, keys, until) = match self.issued(token)? {
            Some((index, issuer, token)) => {
                let checked = issuer.check(host, &self.metrics, &token, wait);
                // The check may have brought other keys.
                let keys = CheckedWith { issuer: index, generation: issuer.generation() };
                if let Err(Stopped::Problem(TokenProblem::Signature)) = checked {
                    self.bad.borrow_mut().insert(digest, keys, issuer.stays_bad(&token, now), 1);
                }
                checked?;
                let validity = issuer.rules.check(&token.claims, now).map_err(TokenProblem::from)?;
                let bearer = issuer.mapping.bearer(token.claims, &self.directory, consumers)?;
                (bearer.signed_with(token.header.key_id), Some(keys), validity.until)
            }
            None => {
                let unknown = TokenProblem::KeyUnknown { certain: true };
                let introspection = self.introspection.as_ref().ok_or(unknown)?;
                let verdict = introspection.ask(host, token, digest, facts, wait)?;
                let Verdict::Good(claims, until) = verdict else {
                    return Ok(None);
                };
                let claims = claims.as_ref().clone();
                (introspection.mapping.bearer(claims, &self.directory, consumers)?, None, until)
            }
        };
        let bearer = Rc::new(bearer);
        let remembered = Remembered { bearer: Rc::clone(&bearer), keys };
        self.good.borrow_mut().insert(digest, remembered, until, token.len());
        Ok(Some(bearer))
    }

    /// The scopes that a token needs, for the challenge to one that has others.
    pub fn scopes(&self, token: &[u8]) -> String {
        let rules = match self.issued(token) {
            Ok(Some((_, issuer, _))) => Some(&issuer.rules),
            _ => self.introspection.as_ref().map(|introspection| &introspection.rules),
        };
        rules.map(|rules| rules.scopes.join(" ")).unwrap_or_default()
    }

    /// The issuer that a token names, if it is one of ours. Tokens of others, and what is no JSON Web Token, are for
    /// introspection, where there is one. What may be a token of ours and is not taken here is not: the server might take it,
    /// and then it would be good without what its issuer's tokens must be.
    fn issued<'a>(
        &'a self,
        token: &'a [u8],
    ) -> Result<Option<(usize, &'a Issuer, Unverified<'a>)>, TokenProblem> {
        let token = match Unverified::parse(token) {
            Ok(token) => token,
            Err(_) if self.introspection.is_some() && self.is_foreign(token) => return Ok(None),
            Err(_) => return Err(TokenProblem::Malformed),
        };
        // RFC 7519 section 4.1.1: a string. A list might be one of ours for the server.
        let name = match token.claims.get("iss") {
            Some(name) => Some(name.as_str().ok_or(TokenProblem::Malformed)?),
            None => None,
        };
        let issuer = self.issuers.iter().enumerate().find(|(_, issuer)| Some(&*issuer.name) == name);
        Ok(issuer.map(|(index, issuer)| (index, issuer, token)))
    }

    /// Whether a text that is not taken as a token is surely none of our issuers.
    fn is_foreign(&self, token: &[u8]) -> bool {
        match Origin::of(token) {
            Origin::Elsewhere => true,
            Origin::Issuer(name) => self.issuers.iter().all(|issuer| *issuer.name != *name),
            Origin::Unclear => self.issuers.is_empty(),
        }
    }

    /// Whether an issuer still has the keys that a token was checked with.
    fn are_present(
        &self,
        keys: Option<CheckedWith>,
        host: &mut dyn Host,
        now: Timestamp,
    ) -> Result<bool, HostError> {
        let Some(CheckedWith { issuer, generation }) = keys else { return Ok(true) };
        let Some(issuer) = self.issuers.get(issuer) else { return Ok(false) };
        issuer.has_keys_of(generation, host, now)
    }
}
