//! Requests and responses rewritten by rules, as a Meshgate policy.
