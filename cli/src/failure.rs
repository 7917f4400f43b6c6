//! How an upstream fails, as suites and options say it.

use clap::ValueEnum;
use meshgate_wasm_host as host;
use serde::Deserialize;

/// How an upstream fails.
#[derive(Clone, Copy, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It refuses connections
    Connection,
    /// It resets the connection
    Reset,
    /// It takes too long
    Timeout,
    /// No route leads to it
    NoRoute,
    /// There is no healthy host
    NoHealthyUpstream,
    /// A circuit breaker is open
    Overflow,
}

impl From<Failure> for host::Failure {
    fn from(how: Failure) -> Self {
        match how {
            Failure::Connection => Self::Connection,
            Failure::Reset => Self::Reset,
            Failure::Timeout => Self::Timeout,
            Failure::NoRoute => Self::NoRoute,
            Failure::NoHealthyUpstream => Self::NoHealthyUpstream,
            Failure::Overflow => Self::Overflow,
        }
    }
}
