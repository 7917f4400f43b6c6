//! Data-loss prevention as a Meshgate policy.
