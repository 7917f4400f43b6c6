//! A policy that does nothing with the two callbacks that it has: what any filter costs at least. A lane of the benches.

use std::rc::Rc;

use meshgate_policy::config::ConfigError;
use meshgate_policy::exchange::Exchange;
use meshgate_policy::host::Setup;
use meshgate_policy::policy::{Phases, Policy};

/// Nothing to configure.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Does nothing.
#[derive(Debug)]
pub struct Noop;

/// One request that nothing is done with.
#[derive(Debug)]
pub struct Untouched;

impl Exchange for Untouched {}

impl Policy for Noop {
    const NAME: &'static str = "noop";
    const PHASES: Phases = Phases { request_head: true, ..Phases::NONE };
    type Config = Config;
    type Exchange = Untouched;

    fn compile(_: Config, _: &mut dyn Setup) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    fn begin(self: &Rc<Self>) -> Untouched {
        Untouched
    }
}

meshgate_envoy_host::filter!(Noop: request_head);
