//! Counters: `meshgate.errors.<event>`.

use meshgate_policy::metrics::{Counted, Counters};

/// The counters of this policy.
pub type Metrics = Counters<Event>;

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

impl Counted for Event {
    /// In the order of the variants.
    const NAMES: &'static [&'static str] = &[
        "meshgate.errors.replaced.gateway",
        "meshgate.errors.replaced.upstream",
        "meshgate.errors.passed",
        "meshgate.errors.direct",
        "meshgate.errors.redirected",
        "meshgate.errors.maintenance",
        "meshgate.errors.template_failed",
        "meshgate.errors.unlogged",
    ];

    fn index(self) -> usize {
        self as usize
    }
}
