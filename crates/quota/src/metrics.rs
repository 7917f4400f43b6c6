//! Counters: `meshgate.quota.<event>`.

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Host, Metric, MetricKind, Setup};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request with a key passed.
    Allowed,
    /// A request passed that needs no key.
    Unguarded,
    /// No key.
    KeyMissing,
    /// A key that nobody has.
    KeyInvalid,
    /// More than one key.
    KeyRepeated,
    /// The consumer is disabled.
    ConsumerDisabled,
    /// The plan does not cover the request.
    PlanForbids,
    /// Over a limit.
    Limit,
    /// A header that would name a consumer and can't be removed.
    HeaderInvalid,
    /// A path that the upstream may resolve to another one.
    PathAmbiguous,
    /// The proxy refused what was asked of it, or the usage changed too often to be written.
    Error,
    /// Another worker wrote the usage first; it was read again.
    CasConflict,
}

/// In the order of [`Event`].
const NAMES: [&str; 12] = [
    "meshgate.quota.allowed",
    "meshgate.quota.unguarded",
    "meshgate.quota.denied.key_missing",
    "meshgate.quota.denied.key_invalid",
    "meshgate.quota.denied.key_repeated",
    "meshgate.quota.denied.consumer_disabled",
    "meshgate.quota.denied.plan_forbids",
    "meshgate.quota.denied.limit",
    "meshgate.quota.denied.header_invalid",
    "meshgate.quota.denied.path_ambiguous",
    "meshgate.quota.errors",
    "meshgate.quota.cas_conflicts",
];

/// The counters, as the proxy knows them.
#[derive(Debug)]
pub struct Metrics([Metric; NAMES.len()]);

impl Metrics {
    /// Defines them.
    ///
    /// # Errors
    /// A [`ConfigError`] if the proxy refuses.
    pub fn define(setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let mut metrics = [Metric(0); NAMES.len()];
        for (metric, name) in metrics.iter_mut().zip(NAMES) {
            *metric = setup.metric(MetricKind::Counter, name).map_err(|error| {
                ConfigError::at(Path::root()).problem(format!("the metric {name} can't be defined: {error}"))
            })?;
        }
        Ok(Self(metrics))
    }

    /// Counts an event.
    pub fn count(&self, host: &mut dyn Host, event: Event) {
        if let Some(metric) = self.0.get(event as usize) {
            host.add(*metric, 1);
        }
    }
}
