//! A policy that asks the proxy for the same things in the same order, with names and values of the same size, as the quota
//! filter does for a request whose key is good and whose plan has two limits, and decides nothing.
//!
//! A lane of the benches: what it costs more than `noop` is the price of the calls, and what the quota filter costs more
//! than it is the price of its own code.

use std::rc::Rc;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::exchange::{Exchange, Next};
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::{Host, HostError, Map, Metric, MetricKind, Setup};
use meshgate_policy::policy::{Phases, Policy};

const REQUEST: [(HeaderName, &[u8]); 3] = [
    (HeaderName::constant("x-consumer-name"), b"consumer-42"),
    (HeaderName::constant("x-consumer-plan"), b"bench"),
    (HeaderName::constant("x-consumer-key-id"), b"consumer-42-key"),
];
const RESPONSE: [(HeaderName, &[u8]); 2] = [
    (
        HeaderName::constant("ratelimit-policy"),
        b"\"burst\";q=1000000;w=1, \"monthly\";q=999999999999;w=2592000",
    ),
    (HeaderName::constant("ratelimit"), b"\"burst\";r=999999;t=1, \"monthly\";r=999999999998;t=864000"),
];
const CREDENTIAL: HeaderName = HeaderName::constant("x-api-key");
/// The usage of a consumer: where it is, and bytes of two limits.
const USAGE: (&str, [u8; 57]) = ("meshgate/quota/hostcalls/consumer-42", [0; 57]);

/// Nothing to configure.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Makes the calls of the quota filter.
#[derive(Debug)]
pub struct HostCalls {
    allowed: Metric,
}

/// One request.
#[derive(Debug)]
pub struct Calls {
    policy: Rc<HostCalls>,
}

impl Policy for HostCalls {
    const NAME: &'static str = "hostcalls";
    const PHASES: Phases = Phases { request_head: true, response_head: true, ..Phases::NONE };
    type Config = Config;
    type Exchange = Calls;

    fn compile(_: Config, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let failed = |error: HostError| ConfigError::at(Path::root()).problem(error.to_string());
        let (key, value) = USAGE;
        setup.set_shared(key, &value).map_err(failed)?;
        let allowed = setup.metric(MetricKind::Counter, "hostcalls.allowed").map_err(failed)?;
        Ok(Self { allowed })
    }

    fn begin(self: &Rc<Self>) -> Calls {
        Calls { policy: Rc::clone(self) }
    }
}

impl Exchange for Calls {
    fn request_head(&mut self, host: &mut dyn Host, _end: bool) -> Result<Next, HostError> {
        host.headers(Map::RequestHeaders)?;
        host.now();
        let (key, _) = USAGE;
        if let Some(usage) = host.shared(key)? {
            host.set_shared(key, &usage.value, Some(usage.version))?;
        }
        host.remove_header(Map::RequestHeaders, &CREDENTIAL)?;
        add_all(host, Map::RequestHeaders, &REQUEST)?;
        host.add(self.policy.allowed, 1);
        Ok(Next::Continue)
    }

    fn response_head(&mut self, host: &mut dyn Host, _end: bool) -> Result<Next, HostError> {
        add_all(host, Map::ResponseHeaders, &RESPONSE)?;
        Ok(Next::Continue)
    }
}

fn add_all(host: &mut dyn Host, map: Map, fields: &[(HeaderName, &'static [u8])]) -> Result<(), HostError> {
    fields.iter().try_for_each(|(name, value)| {
        let value = HeaderValue::new(*value).map_err(|_| HostError::Malformed)?;
        host.add_header(map, name, &value)
    })
}

meshgate_envoy_host::filter!(HostCalls: request_head, response_head);
