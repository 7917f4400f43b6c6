//! Counters: `meshgate.errors.<event>`.

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Host, Metric, MetricKind, Setup};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An error of the proxy was replaced.
    ReplacedGateway,
    /// An error of the upstream was replaced.
    ReplacedUpstream,
    /// An error passed as it is.
    Passed,
    /// A request was answered directly.
    Direct,
    /// A request was sent elsewhere.
    Redirected,
    /// A request was turned away for maintenance.
    Maintenance,
    /// A template had no result: what it stands in was left out.
    TemplateFailed,
    /// An error was not logged, because there were too many.
    Unlogged,
}

/// In the order of [`Event`].
const NAMES: [&str; 8] = [
    "meshgate.errors.replaced.gateway",
    "meshgate.errors.replaced.upstream",
    "meshgate.errors.passed",
    "meshgate.errors.direct",
    "meshgate.errors.redirected",
    "meshgate.errors.maintenance",
    "meshgate.errors.template_failed",
    "meshgate.errors.unlogged",
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
