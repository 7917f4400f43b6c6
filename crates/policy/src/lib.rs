//! What a policy is, and what every policy shares.
//!
//! (being written)
pub mod head;
pub mod headers;
