//! Counters: `meshgate.transform.<event>`.

use meshgate_policy::metrics::{Counted, Counters};

use crate::trouble::Trouble;

/// The counters of this policy.
pub type Metrics = Counters<Event>;

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

impl Counted for Event {
    /// In the order of [`index`](Self::index).
    const NAMES: &'static [&'static str] = &[
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

    fn index(self) -> usize {
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
