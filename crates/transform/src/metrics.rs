//! Counters: `meshgate.transform.<event>`.

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Host, Metric, MetricKind, Setup};

use crate::trouble::Trouble;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Trouble of this kind, whatever was done about it; what is missing and skipped is none.
    Trouble(Trouble),
    /// A message was changed, or would have been: a rule held for it.
    Applied,
    /// An operation was left out.
    Skipped,
    /// A rule was left out.
    Passed,
    /// The client was answered with an error.
    Refused,
    /// The proxy refused what was asked of it.
    Failed,
}

impl Event {
    const fn index(self) -> usize {
        match self {
            Self::Trouble(trouble) => trouble as usize,
            Self::Applied => 6,
            Self::Skipped => 7,
            Self::Passed => 8,
            Self::Refused => 9,
            Self::Failed => 10,
        }
    }
}

/// In the order of [`Event::index`].
const NAMES: [&str; 11] = [
    "meshgate.transform.invalid_json",
    "meshgate.transform.missing",
    "meshgate.transform.wrong_type",
    "meshgate.transform.over_limit",
    "meshgate.transform.undecodable",
    "meshgate.transform.template",
    "meshgate.transform.applied",
    "meshgate.transform.skipped",
    "meshgate.transform.passed",
    "meshgate.transform.refused",
    "meshgate.transform.errors",
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
        if let Some(metric) = self.0.get(event.index()) {
            host.add(*metric, 1);
        }
    }
}
