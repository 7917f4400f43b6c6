//! Counters: `meshgate.quota.<event>`.

use meshgate_policy::metrics::{Counted, Counters};

/// The counters of this policy.
pub type Metrics = Counters<Event>;

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

impl Counted for Event {
    /// In the order of the variants.
    const NAMES: &'static [&'static str] = &[
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

    fn index(self) -> usize {
        self as usize
    }
}
