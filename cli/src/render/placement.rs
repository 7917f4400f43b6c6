//! Where in a chain each filter stands, and why.
//!
//! A request passes the chain from its beginning, a response from its end. So what answers or words errors for all others is
//! first, who is who comes before what costs more, and what looks into bodies that leave stands in front of what changes them.

use crate::filters::Filter;

/// A place in the chain.
#[derive(Clone, Copy)]
pub struct Placement {
    /// Smaller is earlier for requests.
    pub order: u8,
    /// Istio's phase; none is the last one, in front of the router.
    pub phase: Option<&'static str>,
    /// Within a phase, higher is earlier.
    pub priority: i32,
    pub why: &'static str,
}

impl Placement {
    pub fn of(filter: &Filter) -> Self {
        let (order, phase, priority, why) = match filter.name {
            "error-response" => (
                0,
                Some("AUTHN"),
                1000,
                "First of all: it sees what the filters behind it answer, Istio's own among them.",
            ),
            // Its pipeline has all of these in it, in the order that the user writes.
            "gateway" => (
                1,
                Some("AUTHN"),
                950,
                "Before Istio's own checks: what is refused costs least, and errors have one form.",
            ),
            "api-key-quota" => (
                2,
                Some("AUTHN"),
                900,
                "Before Istio's own checks: a request without a key costs least there.",
            ),
            "dlp" => (
                3,
                None,
                200,
                "Behind Istio's checks, whose refusals have no bodies to look into, and in front of transform:\na response passes the other way round, and what leaves is what is looked into.",
            ),
            _ => {
                (4, None, 100, "The last in front of the router: only requests that may pass are rewritten.")
            }
        };
        Self { order, phase, priority, why }
    }
}
