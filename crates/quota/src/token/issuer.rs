//! An issuer of tokens: its keys, and what its tokens must be.

use std::rc::Rc;
use std::time::Duration;

use meshgate_jwt::{ClaimPath, Hash, HostCheck, Key, KeySet, Required, Rules, Take, Types, Unverified};
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{HashFunction, Host, HostError, Setup, Timestamp};
use serde_json::{Map, Value};

use super::bearer::{Directory, Mapping};
use super::remote::{Found, Remote};
use super::{Stopped, TokenProblem};
use crate::config::{JwksFromConfig, KeySetConfig, RequireConfig, TokenConfig};
use crate::metrics::{Event, Metrics};

/// The most by which clocks may differ.
const MAX_SKEW: Duration = Duration::from_secs(600);

/// An issuer.
#[derive(Debug)]
pub struct Issuer {
    /// Who it is.
    pub name: Box<str>,
    /// What its tokens must be.
    pub rules: Rules,
    /// Who they say sends a request.
    pub mapping: Mapping,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Inline(Rc<KeySet>),
    Remote(Rc<Remote>),
}

impl Issuer {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(
        config: TokenConfig,
        directory: &Directory,
        prefix: &str,
        metrics: &Rc<Metrics>,
        setup: &mut dyn Setup,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        if config.issuer.is_empty() {
            let error = ConfigError::at(path.key("issuer")).value("");
            return Err(error.expected("iss of its tokens, such as https://idp.example.com"));
        }
        let mut rules = rules(Some(config.issuer.clone()), config.audiences, config.require, path)?;
        if matches!(rules.types, Types::Any) {
            rules.types = Types::Usual;
        }
        let mapping = Mapping::compile(config.identity, config.forward, directory, &path.key("identity"))?;
        let algorithms = config.algorithms.map(|list| {
            let error =
                || ConfigError::at(path.key("algorithms")).found("an empty list").expected("at least one");
            if list.is_empty() { Err(error()) } else { Ok(list.into_iter().map(Into::into).collect()) }
        });
        let take = Take { algorithms: algorithms.transpose()?, secrets: false };
        let keys = match (config.jwks, config.jwks_from) {
            (Some(keys), None) => Keys::Inline(inline(keys, take, &path.key("jwks"))?),
            (None, Some(from)) => {
                Keys::from(from, &config.issuer, take, prefix, metrics, setup, &path.key("jwks_from"))?
            }
            (Some(_), Some(_)) => {
                return Err(ConfigError::at(path).found("jwks and jwks_from").expected("one of them"));
            }
            (None, None) => {
                return Err(ConfigError::at(path)
                    .found("neither jwks nor jwks_from")
                    .expected("one of them"));
            }
        };
        Ok(Self { name: config.issuer.into(), rules, mapping, keys })
    }

    /// How often its keys have changed.
    pub fn generation(&self) -> u64 {
        match &self.keys {
            Keys::Inline(_) => 0,
            Keys::Remote(remote) => remote.generation(),
        }
    }

    /// Whether its keys are those of then: what was checked with others has to be checked again. Asks for new ones if it is
    /// time to, because a token that was checked once may be all that comes.
    ///
    /// # Errors
    /// What the host refused.
    pub fn has_keys_of(
        &self,
        generation: u64,
        host: &mut dyn Host,
        now: Timestamp,
    ) -> Result<bool, HostError> {
        if let Keys::Remote(remote) = &self.keys {
            remote.renew(host, now)?;
            if remote.is_overdue(now) {
                return Ok(false);
            }
        }
        Ok(self.generation() == generation)
    }

    /// Checks the header and the signature of a token. `wait`: the exchange may wait for keys.
    ///
    /// # Errors
    /// Why it does not go on.
    pub fn check(
        &self,
        host: &mut dyn Host,
        metrics: &Metrics,
        token: &Unverified<'_>,
        wait: bool,
    ) -> Result<(), Stopped> {
        self.rules.check_type(token.header.kind.as_deref()).map_err(TokenProblem::from)?;
        let remote = match &self.keys {
            Keys::Inline(keys) => return Ok(signed_by(host, metrics, keys, token, true)?),
            Keys::Remote(remote) => remote,
        };
        let key_id = token.header.key_id.as_deref();
        let (keys, latest) = remote.keys(host, key_id, wait)?.keys()?;
        let checked = signed_by(host, metrics, &keys, token, latest);
        if checked.is_ok() || key_id.is_some() || !wait {
            return Ok(checked?);
        }
        let (others, latest) = remote.other_keys(host)?.keys()?;
        if Rc::ptr_eq(&keys, &others) {
            return Ok(checked?);
        }
        Ok(signed_by(host, metrics, &others, token, latest)?)
    }

    /// Until when a signature that was bad need not be checked again, unless the keys change before. Seconds since
    /// 1970-01-01T00:00:00Z.
    pub fn stays_bad(&self, token: &Unverified<'_>, now: u64) -> u64 {
        const SECONDS: u64 = 60;
        let until = now.saturating_add(SECONDS);
        match (&self.keys, &token.header.key_id) {
            // It may be that of a new key, and the next one with it a reason to ask.
            (Keys::Remote(remote), None) => until.min(remote.next_unknown().as_secs()),
            _ => until,
        }
    }
}

impl Found {
    fn keys(self) -> Result<(Rc<KeySet>, bool), Stopped> {
        match self {
            Self::Keys { keys, latest } => Ok((keys, latest)),
            Self::Wait => Err(Stopped::Wait),
            Self::Nothing { retry_after } => Err(TokenProblem::Unchecked { retry_after }.into()),
        }
    }
}

/// Checks that one of these keys has signed a token. `latest`: the issuer has no others.
fn signed_by(
    host: &mut dyn Host,
    metrics: &Metrics,
    keys: &KeySet,
    token: &Unverified<'_>,
    latest: bool,
) -> Result<(), TokenProblem> {
    let mut problem = TokenProblem::KeyUnknown { certain: latest };
    for key in keys.candidates(token) {
        if verify(host, metrics, key, token) {
            return Ok(());
        }
        problem = TokenProblem::Signature;
    }
    Err(problem)
}

impl Keys {
    fn from(
        config: JwksFromConfig,
        issuer: &str,
        take: Take,
        prefix: &str,
        metrics: &Rc<Metrics>,
        setup: &mut dyn Setup,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        let JwksFromConfig { cluster, path: target, authority, timeout, refresh, env } = &config;
        let remote = authority.is_some() || timeout.is_some() || refresh.is_some() || target.is_some();
        match (cluster, env) {
            (Some(_), None) => {
                let remote = Remote::compile(config, issuer, take, prefix, metrics, setup, path)?;
                Ok(Self::Remote(Rc::new(remote)))
            }
            (None, Some(name)) if !remote => {
                let path = path.key("env");
                let text = environment(name, setup, &path)?;
                let keys = KeySet::parse(&text, Take { secrets: true, ..take });
                let keys =
                    keys.map_err(|problem| ConfigError::at(path).problem(format!("its value: {problem}")))?;
                Ok(Self::Inline(Rc::new(keys)))
            }
            (Some(_), Some(_)) | (None, Some(_)) => {
                let error = ConfigError::at(path).found("env beside fields of a cluster");
                Err(error.expected("either env alone, or cluster and path"))
            }
            (None, None) => {
                Err(ConfigError::at(path).found("neither cluster nor env").expected("one of them"))
            }
        }
    }
}

/// A variable of the environment.
///
/// # Errors
/// A [`ConfigError`] if there is none of this name.
pub fn environment(name: &str, setup: &dyn Setup, path: &Path) -> Result<Vec<u8>, ConfigError> {
    setup.environment(name).ok_or_else(|| {
        let error =
            ConfigError::at(path).value(name).expected("the name of an environment variable of the VM");
        error.hint("in Envoy they are in vm_config.environment_variables, and the module's VM has no others")
    })
}

/// What tokens must be.
///
/// # Errors
/// A [`ConfigError`] for the first thing that is wrong.
pub fn rules(
    issuer: Option<String>,
    audiences: Vec<String>,
    config: RequireConfig,
    path: &Path,
) -> Result<Rules, ConfigError> {
    let here = path.key("require");
    let skew = Duration::from(config.skew);
    if skew > MAX_SKEW {
        let error = ConfigError::at(here.key("skew")).value(&config.skew.to_string());
        return Err(error.expected("at most 10m"));
    }
    // RFC 6749 section 3.3; they stand in a challenge.
    let scope_like =
        |scope: &&String| scope.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'));
    for (index, scope) in config.scopes.iter().enumerate() {
        if scope.is_empty() || !scope_like(&scope) {
            let error = ConfigError::at(here.key("scopes").index(index)).value(scope);
            return Err(error.expected("a scope: printable ASCII without blanks, \" and \\"));
        }
    }
    let boxed = |list: Vec<String>| list.into_iter().map(String::into_boxed_str).collect();
    let required = config.claims.into_iter().enumerate().map(|(index, required)| {
        if required.claim.is_empty() {
            let error = ConfigError::at(here.key("claims").index(index).key("claim")).found("an empty name");
            return Err(error.expected("the name of a claim"));
        }
        Ok(Required { claim: ClaimPath::new(&required.claim), values: boxed(required.values) })
    });
    Ok(Rules {
        issuer: issuer.map(String::into_boxed_str),
        audiences: boxed(audiences),
        types: if config.types.is_empty() { Types::Any } else { Types::These(boxed(config.types)) },
        skew: skew.as_secs(),
        max_lifetime: config.max_lifetime.map(|longest| Duration::from(longest).as_secs()),
        required: required.collect::<Result<_, _>>()?,
        scopes: boxed(config.scopes),
    })
}

fn inline(config: KeySetConfig, take: Take, path: &Path) -> Result<Rc<KeySet>, ConfigError> {
    let keys = config.keys.into_iter().map(|key| Value::Object(key.into_iter().collect())).collect();
    let set = Map::from_iter([("keys".to_owned(), Value::Array(keys))]);
    let keys = KeySet::new(&set, Take { secrets: true, ..take });
    keys.map(Rc::new).map_err(|problem| {
        let error = ConfigError::at(path.key("keys")).problem(problem.to_string());
        error.expected("1 to 100 keys of a JWKS, one of which is good (RFC 7517)")
    })
}

/// Checks a signature: by the host, if it can, and else in Rust.
fn verify(host: &mut dyn Host, metrics: &Metrics, key: &Key, token: &Unverified<'_>) -> bool {
    if let Some(HostCheck { hash, public_key, signature }) = key.host_check(token) {
        let hash = match hash {
            Hash::Sha256 => HashFunction::Sha256,
            Hash::Sha384 => HashFunction::Sha384,
            Hash::Sha512 => HashFunction::Sha512,
        };
        match host.verify_signature(hash, public_key, &signature, token.signing_input) {
            Ok(good) => {
                metrics.count(host, Event::VerifiedByHost);
                return good;
            }
            Err(HostError::Unsupported) => {}
            Err(error) => log::debug!("a signature can't be checked by the proxy: {error}"),
        }
    }
    metrics.count(host, Event::VerifiedByModule);
    key.verify(token)
}
