//! The load generator: oha, which `make setup-bench` builds into `.tools/`.
//!
//! Why oha: cargo gets and builds it, so the bench needs nothing that has to be installed by hand (wrk comes from a
//! distribution, and needs root to install); it is well kept, its results are JSON with a schema, and it counts every
//! status and every error, where wrk only knows what is not 2xx or 3xx. It uses more CPU for a request than wrk; it has a
//! core of its own for that, and the share of time that Envoy's core was busy is printed, which shows whether it keeps
//! Envoy at work. There is one generator and no other: figures with another one would not compare.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use meshgate_e2e::paths;
use serde::Deserialize;
use tokio::process::Command;

use crate::lanes::Traffic;
use crate::system;

/// How many connections there are, each with one request at a time.
pub const CONNECTIONS: u32 = 16;

/// The load generator.
pub struct Generator(PathBuf);

/// What one lane answered.
pub struct Outcome {
    /// All of them with the status that they should have.
    pub requests: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Generator {
    pub fn find() -> Result<Self> {
        let path = paths::workspace().join(".tools/bin/oha");
        ensure!(path.is_file(), "no load generator at {}: run `make setup-bench`", path.display());
        Ok(Self(path))
    }

    pub fn version(&self) -> Result<String> {
        system::output(std::process::Command::new(&self.0).arg("--version"))
    }

    /// Sends requests for so long.
    pub async fn run(&self, to: SocketAddr, traffic: Traffic, seconds: u32) -> Result<Outcome> {
        let mut command = Command::new(&self.0);
        command
            .args(["--no-tui", "--output-format", "json", "--worker-threads", "1"])
            // All requests that Envoy works for are counted: none is cut off in the end.
            .args(["-z", &format!("{seconds}s"), "--wait-ongoing-requests-after-deadline"])
            .args(["-c", &CONNECTIONS.to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for (name, value) in traffic.headers() {
            command.arg("-H").arg(format!("{name}: {value}"));
        }
        let output =
            command.arg(format!("http://{to}{}", traffic.path())).output().await.context("running oha")?;
        ensure!(output.status.success(), "oha: {}", String::from_utf8_lossy(&output.stderr).trim());
        serde_json::from_slice::<Printed>(&output.stdout).context("reading what oha printed")?.check(traffic)
    }
}

/// The part of oha's output that is needed (`schema.json` of its repository).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Printed {
    summary: Summary,
    latency_percentiles: BTreeMap<String, f64>,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Summary {
    total: f64,
}

impl Printed {
    fn check(self, traffic: Traffic) -> Result<Outcome> {
        let Self { summary, latency_percentiles, status_code_distribution: statuses, error_distribution } =
            self;
        ensure!(error_distribution.is_empty(), "requests failed: {error_distribution:?}");
        let status = traffic.status().to_string();
        ensure!(statuses.keys().eq([&status]), "not every answer is {status}: {statuses:?}");
        let micros = |name: &str| {
            let seconds = latency_percentiles.get(name).with_context(|| format!("oha prints no {name}"))?;
            anyhow::Ok(seconds * 1e6)
        };
        Ok(Outcome {
            requests: statuses.values().sum(),
            seconds: summary.total,
            p50_us: micros("p50")?,
            p99_us: micros("p99")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(statuses: &str, errors: &str) -> Result<Outcome> {
        let text = format!(
            r#"{{"summary": {{"total": 2.0, "average": 0.1}}, "latencyPercentiles": {{"p50": 0.0005, "p99": 0.001}},
                 "statusCodeDistribution": {statuses}, "errorDistribution": {errors}}}"#
        );
        serde_json::from_str::<Printed>(&text).unwrap().check(Traffic::Small)
    }

    #[test]
    fn a_lane_that_answers_with_another_status_is_not_measured() {
        let outcome = printed(r#"{"200": 10}"#, "{}").unwrap();
        assert_eq!((outcome.requests, outcome.seconds), (10, 2.0));
        assert_eq!((outcome.p50_us, outcome.p99_us), (500.0, 1_000.0));
        for (statuses, errors) in
            [(r#"{"200": 10, "429": 1}"#, "{}"), ("{}", "{}"), (r#"{"200": 10}"#, r#"{"reset": 1}"#)]
        {
            assert!(printed(statuses, errors).is_err());
        }
    }
}
