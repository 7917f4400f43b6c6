//! Error responses and direct responses, as a Meshgate policy.
