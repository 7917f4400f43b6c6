//! API keys, plans and limits as a Meshgate policy.
//!
//! A request carries a key; the key belongs to a consumer; the consumer has bought a plan; the plan has limits. All that
//! is decided before the request goes on, from its head alone:
//!
//! 1. Where a key may be is looked at in every place and every value (`credential`). One key, no more, is looked up by
//!    its SHA-256 (`digest`, `consumer`): the keys themselves are nowhere.
//! 2. The plan says whether it covers the request, and which of its limits count it (`plan`).
//! 3. All the limits of a consumer live in one value that the workers of the proxy share (`state`). One read and one
//!    compare-and-swap decide: either all limits count the request, or it is refused and none does. So the count is
//!    exact, over all workers.
//! 4. The upstream gets the request without the key, and is told who sent it (`identity`). The client gets `RateLimit`
//!    headers, or an `answer` that says what to do.
//!
//! How a limit counts is in `limit`: the generic cell rate algorithm, and windows of the UTC calendar.

mod answer;
mod config;
mod consumer;
mod credential;
mod exchange;
mod identity;
mod limit;
mod metrics;
mod plan;
mod request;
mod state;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use meshgate_policy::config::{ConfigError, Options, Path};
use meshgate_policy::host::Setup;
use meshgate_policy::matching::Match;
use meshgate_policy::policy::{Phases, Policy};

use self::answer::Answers;
pub use self::config::{Config, ConsumerConfig, KeyConfig, KeyFrom, LimitConfig, PlanConfig};
use self::consumer::Consumers;
use self::credential::Locations;
pub use self::exchange::QuotaExchange;
use self::metrics::Metrics;
use self::plan::Plan;

/// The policy, compiled.
#[derive(Debug)]
pub struct Quota {
    guards: Match,
    /// Some rule looks at the path: those that may be another for the upstream are refused.
    decides_by_path: bool,
    locations: Locations,
    hide_credentials: bool,
    filter_state: bool,
    consumers: Consumers,
    answers: Answers,
    metrics: Metrics,
    /// An unreadable usage has been logged: once is enough.
    warned: Cell<bool>,
}

impl Policy for Quota {
    const NAME: &'static str = "quota";
    const PHASES: Phases = Phases { request_head: true, response_head: true, ..Phases::NONE };
    const OPTIONS: Options<'static> = Options {
        sensitive: &["keys"],
        examples: &[
            ("plans", "plans: {free: {limits: [{name: burst, rate: 5/s}]}}"),
            ("consumers", "consumers: [{name: acme, plan: free, keys: []}]"),
            ("plan", "plan: free"),
            ("keys", "keys: [{id: acme-1, sha256: ...}]"),
            ("id", "id: acme-1"),
            ("name", "name: my-name"),
            ("sha256", "sha256: the output of printf %s \"$KEY\" | sha256sum"),
        ],
    };

    type Config = Config;
    type Exchange = QuotaExchange;

    fn compile(config: Config, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let root = Path::root();
        plan::needs_no_response(&config.guards, &root.key("match"))?;
        let locations = Locations::compile(config.keys_from)?;
        let answers = Answers::compile(locations.describe(), &config.realm)?;

        let path = root.key("plans");
        if config.plans.is_empty() {
            return Err(ConfigError::at(path).found("no plans").expected("at least one"));
        }
        let mut plans = BTreeMap::new();
        for (name, plan) in config.plans {
            let plan = Plan::compile(&name, plan, &path.key(&name))?;
            plans.insert(name, Rc::new(plan));
        }
        let decides_by_path =
            config.guards.looks_at_path() || plans.values().any(|plan| plan.decides_by_path());
        let prefix = format!("meshgate/quota/{}/", setup.instance());
        let consumers = Consumers::compile(config.consumers, &plans, &prefix)?;

        let metrics = Metrics::define(setup)?;
        create_usage(&consumers, setup)?;
        Ok(Self {
            guards: config.guards,
            decides_by_path,
            locations,
            hide_credentials: config.hide_credentials,
            filter_state: config.filter_state,
            consumers,
            answers,
            metrics,
            warned: Cell::new(false),
        })
    }

    fn begin(self: &Rc<Self>) -> QuotaExchange {
        QuotaExchange::new(Rc::clone(self))
    }
}

/// Creates the shared values that are missing. What is there stays: a new configuration forgets nothing.
fn create_usage(consumers: &Consumers, setup: &mut dyn Setup) -> Result<(), ConfigError> {
    let failed = |error| {
        ConfigError::at(Path::root().key("consumers")).problem(format!("usage can't be shared: {error}"))
    };
    for consumer in consumers.iter().filter(|consumer| !consumer.plan.is_unlimited()) {
        if setup.shared(&consumer.usage_key).map_err(failed)?.is_none() {
            setup.set_shared(&consumer.usage_key, consumer.plan.unused().as_bytes()).map_err(failed)?;
        }
    }
    Ok(())
}
