//! A stage: a policy, and which requests it is for.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use meshgate_dlp::{Dlp, DlpExchange};
use meshgate_errors::{Errors, ErrorsExchange};
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::drive::Drive;
use meshgate_policy::exchange::{Body, Exchange, Next};
use meshgate_policy::head::RequestHead;
use meshgate_policy::host::{
    Answer, CalloutId, Host, HostError, Map, Metric, MetricKind, Part, Setup, Shared, Side, Timestamp,
};
use meshgate_policy::matching::{Input, Match, is_ambiguous};
use meshgate_policy::policy::{Phases, Policy};
use meshgate_quota::{Quota, QuotaExchange, forged};
use meshgate_transform::{Transform, TransformExchange};

use crate::config::StageConfig;

/// A stage, compiled.
#[derive(Debug)]
pub struct Stage {
    /// What it is called.
    pub name: Rc<str>,
    /// It has another name than its policy.
    pub is_named: bool,
    /// It is the first that tells the upstream who a client is: what a client sends in that form ends here, also where the stage is
    /// not for the request.
    pub unmasks: bool,
    matches: Option<Match>,
    policy: AnyPolicy,
}

/// The policy of a stage.
#[derive(Debug)]
enum AnyPolicy {
    Quota(Rc<Quota>),
    Dlp(Rc<Dlp>),
    Errors(Rc<Errors>),
    Transform(Rc<Transform>),
}

/// What handles an exchange at a stage.
#[derive(Debug)]
pub enum StageExchange {
    /// `api-key-quota`
    Quota(Box<QuotaExchange>),
    /// `dlp`
    Dlp(Box<DlpExchange>),
    /// `error-response`
    Errors(ErrorsExchange),
    /// `transform`
    Transform(Box<TransformExchange>),
}

/// The policies that a stage may have, by the names of their filters.
pub const POLICIES: [&str; 4] = ["api-key-quota", "dlp", "error-response", "transform"];

impl Stage {
    /// Compiles the stage at this place of the document.
    ///
    /// # Errors
    /// A [`ConfigError`] for a stage without a policy or with several, for a `match` on responses, and what its policy has
    /// against its configuration.
    pub fn compile(config: StageConfig, path: &Path, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let StageConfig { name, matches, quota, dlp, errors, transform } = config;
        let given = [quota.is_some(), dlp.is_some(), errors.is_some(), transform.is_some()];
        let given = || POLICIES.into_iter().zip(given).filter(|(_, given)| *given).map(|(policy, _)| policy);
        let kinds: Vec<&'static str> = given().collect();
        let [kind] = *kinds else {
            let error = ConfigError::at(path);
            return Err(if kinds.is_empty() {
                error
                    .found("a stage without a policy")
                    .expected(format!("one of {}", POLICIES.join(", ")))
                    .hint("write it with its configuration below: {\"error-response\": {}}")
            } else {
                let stages: Vec<_> = kinds.iter().map(|kind| format!("{{\"{kind}\": ...}}")).collect();
                error
                    .found(format!("{} in one stage", kinds.join(" and ")))
                    .expected("one policy")
                    .hint(format!("write a stage for each: {}", stages.join(", ")))
            });
        };
        if matches.as_ref().is_some_and(Match::needs_response) {
            return Err(ConfigError::at(path.key("match").key("status"))
                .found("a status of the response")
                .expected("conditions on the request only")
                .hint("a stage is for a request and its response, and it is decided on before there is a response"));
        }
        let is_named = name.as_deref().is_some_and(|name| name != kind);
        let name: Rc<str> = name.as_deref().unwrap_or(kind).into();
        if name.is_empty()
            || name.len() > 64
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        {
            return Err(ConfigError::at(path.key("name"))
                .value(&name)
                .expected("1 to 64 letters, digits, - and _"));
        }
        let mut setup = StageSetup {
            instance: format!("{}/{name}", setup.instance()),
            prefix: is_named.then(|| Rc::clone(&name)),
            real: setup,
        };
        let setup = &mut setup;
        let below = |error: ConfigError| error.within(&path.key(kind));
        let policy = if let Some(config) = quota {
            let quota = Quota::compile(config, setup).map_err(below)?;
            let by_path = matches.as_ref().is_some_and(Match::looks_at_path);
            AnyPolicy::Quota(Rc::new(if by_path { quota.chosen_by_path() } else { quota }))
        } else if let Some(config) = dlp {
            AnyPolicy::Dlp(Rc::new(Dlp::compile(config, setup).map_err(below)?))
        } else if let Some(config) = errors {
            AnyPolicy::Errors(Rc::new(Errors::compile(config, setup).map_err(below)?))
        } else if let Some(config) = transform {
            AnyPolicy::Transform(Rc::new(Transform::compile(config, setup).map_err(below)?))
        } else {
            return Err(ConfigError::at(path).found("no policy"));
        };
        Ok(Self { name, is_named, unmasks: false, matches, policy })
    }

    /// Begins an exchange, if the stage is for this request.
    ///
    /// # Errors
    /// What the host refused.
    pub fn begin(&self, host: &mut dyn Host) -> Result<Option<Drive<StageExchange>>, HostError> {
        if !self.is_for(host)? {
            return Ok(None);
        }
        Ok(Some(match &self.policy {
            AnyPolicy::Quota(policy) => drive(policy, |exchange| StageExchange::Quota(Box::new(exchange))),
            AnyPolicy::Dlp(policy) => drive(policy, |exchange| StageExchange::Dlp(Box::new(exchange))),
            AnyPolicy::Errors(policy) => drive(policy, StageExchange::Errors),
            AnyPolicy::Transform(policy) => {
                drive(policy, |exchange| StageExchange::Transform(Box::new(exchange)))
            }
        }))
    }

    /// Whether it is for a request. What guards, hides or replaces is for those that it may be for: a request that servers read
    /// in several ways evades none of it. A transformation is for those that its rules would be for.
    fn is_for(&self, host: &mut dyn Host) -> Result<bool, HostError> {
        let Some(matches) = &self.matches else { return Ok(true) };
        let headers = host.headers(Map::RequestHeaders)?;
        if self.holds(matches, &RequestHead::new(&headers), host) {
            return Ok(true);
        }
        if self.unmasks {
            // What can't be removed is refused by the policy.
            let Ok(names) = forged(&headers) else { return Ok(true) };
            names.iter().try_for_each(|name| host.remove_header(Map::RequestHeaders, name))?;
        }
        Ok(false)
    }

    fn holds(&self, matches: &Match, head: &RequestHead<'_>, host: &mut dyn Host) -> bool {
        let host = RefCell::new(host);
        let roll = || {
            let mut bytes = [0; size_of::<u64>()];
            match host.try_borrow_mut().map(|mut host| host.random(&mut bytes)) {
                Ok(Ok(())) => u16::try_from(u64::from_le_bytes(bytes) % 10_000).unwrap_or(0),
                Ok(Err(_)) | Err(_) => 0,
            }
        };
        let input = Input { request: head, response: None, roll: &roll };
        // Not all servers resolve `..`, and Envoy's routes don't: such a path may be any.
        let may_be_any = || matches.looks_at_path() && is_ambiguous(head.path);
        match self.policy {
            AnyPolicy::Transform(_) => matches.holds(&input),
            AnyPolicy::Quota(_) | AnyPolicy::Dlp(_) => may_be_any() || matches.truth(&input).may_be(),
            AnyPolicy::Errors(_) => matches.truth(&input).may_be(),
        }
    }

    /// Does what its policy has to do though no request comes; `None`: nothing ever again.
    pub fn wake(&self, host: &mut dyn Host) -> Option<Duration> {
        match &self.policy {
            AnyPolicy::Quota(policy) => policy.wake(host),
            AnyPolicy::Dlp(policy) => policy.wake(host),
            AnyPolicy::Errors(policy) => policy.wake(host),
            AnyPolicy::Transform(policy) => policy.wake(host),
        }
    }

    /// Whether what it finds out about a client is for other stages.
    pub const fn authenticates(&self) -> bool {
        matches!(self.policy, AnyPolicy::Quota(_))
    }
}

fn drive<P: Policy>(policy: &Rc<P>, make: impl FnOnce(P::Exchange) -> StageExchange) -> Drive<StageExchange> {
    const {
        assert!(P::PHASES.check().is_ok(), "phases that are not sound");
    }
    let phases: Phases = P::PHASES;
    Drive::new(make(policy.begin()), phases)
}

/// Calls the exchange that there is.
macro_rules! forward {
    ($self:ident, $exchange:ident => $call:expr) => {
        match $self {
            Self::Quota($exchange) => $call,
            Self::Dlp($exchange) => $call,
            Self::Errors($exchange) => $call,
            Self::Transform($exchange) => $call,
        }
    };
}

impl Exchange for StageExchange {
    fn request_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        forward!(self, exchange => exchange.request_head(host, end))
    }

    fn request_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        forward!(self, exchange => exchange.request_body(host, body))
    }

    fn request_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        forward!(self, exchange => exchange.request_trailers(host))
    }

    fn response_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        forward!(self, exchange => exchange.response_head(host, end))
    }

    fn response_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        forward!(self, exchange => exchange.response_body(host, body))
    }

    fn response_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        forward!(self, exchange => exchange.response_trailers(host))
    }

    fn callout(&mut self, host: &mut dyn Host, id: CalloutId, answer: Answer) -> Result<Next, HostError> {
        forward!(self, exchange => exchange.callout(host, id, answer))
    }

    fn log(&mut self, host: &mut dyn Host) {
        forward!(self, exchange => exchange.log(host));
    }

    fn end(&mut self, host: &mut dyn Host) {
        forward!(self, exchange => exchange.end(host));
    }

    fn failed(&mut self, side: Side, part: Part, error: HostError) -> Next {
        forward!(self, exchange => exchange.failed(side, part, error))
    }
}

/// The host while one stage is compiled: what a stage defines has its name.
struct StageSetup<'a> {
    real: &'a mut dyn Setup,
    instance: String,
    /// The stage's name, if it is another than that of its policy.
    prefix: Option<Rc<str>>,
}

/// What a stage with a name of its own calls something that is `meshgate.dlp.mask.payment` or so elsewhere.
pub fn own(stage: &str, name: &str) -> String {
    format!("meshgate.stage.{stage}.{}", name.strip_prefix("meshgate.").unwrap_or(name))
}

impl Setup for StageSetup<'_> {
    fn instance(&self) -> &str {
        &self.instance
    }

    fn now(&mut self) -> Timestamp {
        self.real.now()
    }

    fn environment(&self, name: &str) -> Option<Vec<u8>> {
        self.real.environment(name)
    }

    fn metric(&mut self, kind: MetricKind, name: &str) -> Result<Metric, HostError> {
        match &self.prefix {
            Some(prefix) => self.real.metric(kind, &own(prefix, name)),
            None => self.real.metric(kind, name),
        }
    }

    fn add(&mut self, metric: Metric, by: i64) {
        self.real.add(metric, by);
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError> {
        self.real.random(out)
    }

    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError> {
        self.real.shared(key)
    }

    fn set_shared(&mut self, key: &str, value: &[u8]) -> Result<(), HostError> {
        self.real.set_shared(key, value)
    }

    fn wake(&mut self) {
        self.real.wake();
    }

    fn left(&self, name: &str) -> Option<Rc<dyn Any>> {
        self.real.left(name)
    }

    fn leave(&mut self, name: &str, what: &Rc<dyn Any>) {
        self.real.leave(name, what);
    }
}
