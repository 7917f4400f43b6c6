//! A policy that reads the body of each response and passes it on as it is, in the two ways in which filters do that: what a
//! filter costs at least that looks at bodies, or changes them. A lane of the benches.

use std::rc::Rc;

use meshgate_policy::config::ConfigError;
use meshgate_policy::exchange::{Body, BodyMode, Exchange, Next};
use meshgate_policy::headers::HeaderName;
use meshgate_policy::host::{Host, HostError, Map, Setup, Side};
use meshgate_policy::policy::{Phases, Policy};

/// More than any body that is measured.
const LIMIT: usize = 16 << 20;

/// What is done with a body.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How it is read.
    body: Mode,
}

/// How a body is read.
#[derive(Clone, Copy, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Part by part, as it passes: like a filter that finds nothing in it.
    Window,
    /// Held until all of it is there, and then replaced by a copy: like a filter that edits it.
    Whole,
}

/// Reads bodies.
#[derive(Debug)]
pub struct Identity(Mode);

/// One response.
#[derive(Debug)]
pub struct Passing(Mode);

impl Policy for Identity {
    const NAME: &'static str = "identity";
    const PHASES: Phases =
        Phases { response_head: true, response_body: true, response_trailers: true, ..Phases::NONE };
    type Config = Config;
    type Exchange = Passing;

    fn compile(config: Config, _: &mut dyn Setup) -> Result<Self, ConfigError> {
        Ok(Self(config.body))
    }

    fn begin(self: &Rc<Self>) -> Passing {
        Passing(self.0)
    }
}

impl Exchange for Passing {
    fn response_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        const LENGTH: HeaderName = HeaderName::constant("content-length");
        if end {
            return Ok(Next::Continue);
        }
        Ok(Next::ReadBody(match self.0 {
            Mode::Window => BodyMode::Window { limit: LIMIT },
            Mode::Whole => {
                // As a filter does that does not know yet how long the body will be.
                host.remove_header(Map::ResponseHeaders, &LENGTH)?;
                BodyMode::Whole { limit: LIMIT, hold_head: false }
            }
        }))
    }

    fn response_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        let bytes = host.body(Side::Response, 0, body.size)?;
        if matches!(self.0, Mode::Whole) && !bytes.is_empty() {
            host.set_body(Side::Response, &bytes)?;
        }
        Ok(Next::Continue)
    }
}

meshgate_envoy_host::filter!(Identity: response_head, response_body, response_trailers);
