//! Counters: `meshgate.dlp.<what was done>.<pack>`, and `meshgate.dlp.bodies.<what became of them>`.

use meshgate_detect::Kind;
use meshgate_policy::config::ConfigError;
use meshgate_policy::host::{Host, Metric, Setup};
use meshgate_policy::metrics::{Counted, Counters, counter};

/// What was done with a finding, as it is counted.
pub const OUTCOMES: [&str; 7] = ["mask", "replace", "hash", "drop", "block", "report", "shadow"];

/// What became of a body that a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Looked into to its end.
    Scanned,
    /// Not looked into, because its media type is not one of those.
    OtherType,
    /// Passed without being looked into: it could not be decoded.
    UndecodablePassed,
    /// Stopped: it could not be decoded.
    UndecodableBlocked,
    /// Passed without being looked into: it is larger than what is held.
    LargePassed,
    /// Stopped: it is larger than what is held.
    LargeBlocked,
    /// Broken off: its end came while a part of it was kept that could not be passed on any more.
    Cut,
}

impl Counted for Body {
    /// In the order of the variants.
    const NAMES: &'static [&'static str] = &[
        "meshgate.dlp.bodies.scanned",
        "meshgate.dlp.bodies.other_type",
        "meshgate.dlp.bodies.undecodable_passed",
        "meshgate.dlp.bodies.undecodable_blocked",
        "meshgate.dlp.bodies.large_passed",
        "meshgate.dlp.bodies.large_blocked",
        "meshgate.dlp.bodies.cut",
    ];

    fn index(self) -> usize {
        self as usize
    }
}

/// The counters, as the proxy knows them.
#[derive(Debug)]
pub struct Metrics {
    /// By pack, then in the order of [`OUTCOMES`].
    findings: Vec<(&'static str, [Metric; OUTCOMES.len()])>,
    bodies: Counters<Body>,
    unlogged: Metric,
}

impl Metrics {
    /// Defines them.
    ///
    /// # Errors
    /// A [`ConfigError`] if the proxy refuses.
    pub fn define(setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let mut findings = Vec::new();
        for pack in Kind::packs().chain([Kind::REGEX.pack()]) {
            let mut metrics = [Metric(0); OUTCOMES.len()];
            for (metric, outcome) in metrics.iter_mut().zip(OUTCOMES) {
                *metric = counter(setup, &format!("meshgate.dlp.{outcome}.{pack}"))?;
            }
            findings.push((pack, metrics));
        }
        Ok(Self {
            findings,
            bodies: Counters::define(setup)?,
            unlogged: counter(setup, "meshgate.dlp.unlogged")?,
        })
    }

    /// Counts findings of a pack.
    pub fn count(&self, host: &mut dyn Host, outcome: &str, pack: &str, findings: u32) {
        let metrics = self.findings.iter().find(|(known, _)| *known == pack);
        let place = OUTCOMES.iter().position(|known| *known == outcome);
        if let Some(metric) = metrics.zip(place).and_then(|((_, metrics), place)| metrics.get(place)) {
            host.add(*metric, i64::from(findings));
        }
    }

    /// Counts a body.
    pub fn body(&self, host: &mut dyn Host, body: Body) {
        self.bodies.count(host, body);
    }

    /// Counts a line that the log has no room for.
    pub fn unlogged(&self, host: &mut dyn Host) {
        host.add(self.unlogged, 1);
    }
}
