//! What a policy is, and what every policy shares.
//!
//! A [`Policy`](policy::Policy) is compiled once from its configuration. For each request it begins an
//! [`Exchange`](exchange::Exchange), which a [`Drive`](drive::Drive) takes through the phases of the request and its
//! response. All that an exchange reads, writes or sends goes through a [`Host`](host::Host): Envoy, by the crate
//! `meshgate-envoy-host`, or memory, by `meshgate-test-host`. Nothing here knows a proxy.
//!
//! What policies have in common lives here too: [`headers`], [`problem`] details for errors, `match` blocks
//! ([`matching`]), conditions ([`condition`]), templates ([`expression::template`]), [`metrics`] and strict [`config`] loading.
//!
//! No panics: a trap in a module kills the VM of that worker and every request in flight on it. The lints of the workspace
//! deny whatever can panic on outside data.

pub mod callout;
pub mod condition;
pub mod config;
pub mod consumer;
pub mod cookie;
pub mod digest;
pub mod document;
pub mod drive;
pub mod exchange;
pub mod expression;
pub mod grpc;
pub mod head;
pub mod headers;
pub mod host;
pub mod line_budget;
pub mod matching;
pub mod media_type;
pub mod metrics;
pub mod policy;
pub mod problem;
pub mod query;
