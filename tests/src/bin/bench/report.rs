//! What came out: the tables, and the same as JSON.

use std::fmt;
use std::iter;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::flood::{self, Flood};
use crate::footprint::{self, Footprint};
use crate::lanes::{self, Budget, Lane, Traffic};
use crate::load;
use crate::measure::{Plan, Sample};
use crate::stats::Spread;
use crate::system::Machine;

/// All that is printed and written.
#[derive(Serialize)]
pub struct Report {
    pub machine: Machine,
    plan: Plan,
    connections: u32,
    pub lanes: Vec<Measured>,
    split: Option<Split>,
    footprints: Vec<Footprint>,
    /// Memory of a worker.
    bytes_per_key: Option<f64>,
    bytes_per_fetched_key: Option<f64>,
    flood: Option<Flood>,
}

/// One lane.
#[derive(Serialize)]
pub struct Measured {
    pub name: &'static str,
    note: &'static str,
    module: Option<&'static str>,
    /// What lanes it compares with.
    #[serde(skip)]
    pub traffic: Traffic,
    /// Envoy's CPU time for a request.
    cpu_us: Spread,
    /// What it gets the same requests as and adds to. `None`: it has no filter.
    pub adds: Option<Adds>,
    p50_us: f64,
    p99_us: f64,
    per_second: f64,
    busy: f64,
    rounds: Vec<Sample>,
}

/// What a filter adds.
#[derive(Serialize)]
pub struct Adds {
    baseline: &'static str,
    /// Over the median of the baseline.
    pub cpu_us: Spread,
    /// As a multiple of what the module adds that does nothing.
    times_noop: f64,
    pub budget: Option<Limit>,
}

/// What a lane may add at most.
#[derive(Serialize)]
pub struct Limit {
    pub us: f64,
    /// What it comes from.
    rule: String,
    within: bool,
}

/// Where the time goes that our filter adds.
#[derive(Serialize)]
struct Split {
    /// Entering a module that does nothing: `noop`.
    crossing_us: f64,
    /// The host calls, and the callback for the response: `hostcalls` less `noop`.
    host_calls_us: f64,
    /// Our code: `api_key_quota` less `hostcalls`.
    own_code_us: f64,
    /// Of all this, what the two limits cost: `api_key_quota` less `api_key_quota_key`.
    limits_us: f64,
}

impl Report {
    /// `series` are the samples of each lane, in the order of the lanes.
    pub fn new(
        machine: Machine,
        plan: Plan,
        lanes: &[Lane],
        series: Vec<Vec<Sample>>,
        footprints: Vec<Footprint>,
        flood: Option<Flood>,
    ) -> Result<Self> {
        let cpu_us = |name: &str| {
            let place = lanes.iter().position(|lane| lane.name == name);
            let samples = place.and_then(|place| series.get(place));
            let samples = samples.with_context(|| format!("{name} was not measured"))?;
            anyhow::Ok(Spread::of(samples.iter().map(|sample| sample.cpu_us)))
        };
        let added =
            |lane: &Lane| anyhow::Ok(cpu_us(lane.name)?.less(cpu_us(lane.traffic.baseline())?.median));
        let reference = |name: &str| lanes.iter().find(|lane| lane.name == name);
        let noop = added(reference(lanes::NOOP).context("there is no noop lane")?)?.median;
        let adds = |lane: &Lane| {
            let cpu_us = added(lane)?;
            let budget = match lane.budget {
                Some(budget) => reference(budget.lane)
                    .map(added)
                    .transpose()?
                    .map(|other| Limit::new(budget, other.median, cpu_us.median)),
                None => None,
            };
            let times_noop = cpu_us.median / noop;
            anyhow::Ok(Adds { baseline: lane.traffic.baseline(), cpu_us, times_noop, budget })
        };
        let adds: Vec<_> = lanes
            .iter()
            .map(|lane| if lane.is_bare() { Ok(None) } else { adds(lane).map(Some) })
            .collect::<Result<_>>()?;
        let lanes: Vec<_> = iter::zip(iter::zip(lanes, series), adds)
            .map(|((lane, rounds), adds)| Measured::new(lane, rounds, adds))
            .collect();
        let split = Split::of(&lanes);
        let bytes_per_key = footprint::bytes_per_key(&footprints, false);
        let bytes_per_fetched_key = footprint::bytes_per_key(&footprints, true);
        Ok(Self {
            machine,
            plan,
            connections: load::CONNECTIONS,
            lanes,
            split,
            footprints,
            bytes_per_key,
            bytes_per_fetched_key,
            flood,
        })
    }
}

impl Limit {
    /// Of a lane that adds `added`, where the lane of the budget adds `other`; in µs.
    fn new(budget: Budget, other: f64, added: f64) -> Self {
        let Budget { lane, times, plus_us } = budget;
        let us = other * times + plus_us;
        let rule =
            if plus_us == 0.0 { format!("{times} x {lane}") } else { format!("{lane} + {plus_us} µs") };
        Self { us, rule, within: added <= us }
    }
}

impl Measured {
    fn new(lane: &Lane, rounds: Vec<Sample>, adds: Option<Adds>) -> Self {
        let spread = |figure: fn(&Sample) -> f64| Spread::of(rounds.iter().map(figure));
        Self {
            name: lane.name,
            note: lane.note,
            module: lane.module,
            traffic: lane.traffic,
            cpu_us: spread(|sample| sample.cpu_us),
            adds,
            p50_us: spread(|sample| sample.p50_us).median,
            p99_us: spread(|sample| sample.p99_us).median,
            per_second: spread(|sample| sample.per_second).median,
            busy: spread(|sample| sample.busy).median,
            rounds,
        }
    }
}

impl Split {
    fn of(lanes: &[Measured]) -> Option<Self> {
        let added = |name| added_by(lanes, name);
        let (crossing_us, calls) = (added(lanes::NOOP)?, added(lanes::HOST_CALLS)?);
        let (ours, key_only) = (added(lanes::OURS)?, added(lanes::OURS_KEY_ONLY)?);
        Some(Self {
            crossing_us,
            host_calls_us: calls - crossing_us,
            own_code_us: ours - calls,
            limits_us: ours - key_only,
        })
    }
}

fn added_by(lanes: &[Measured], name: &str) -> Option<f64> {
    let lane = lanes.iter().find(|lane| lane.name == name)?;
    Some(lane.adds.as_ref()?.cpu_us.median)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { rounds, seconds, starts, .. } = self.plan;
        writeln!(
            f,
            "\nEnvoy's CPU time for a request: {rounds} rounds of {seconds} s, {} connections",
            self.connections
        )?;
        writeln!(
            f,
            "{:<18} {:>8} {:>8} {:>19} {:>7} {:>13} {:>7} {:>7} {:>8} {:>5}",
            "lane", "µs", "adds", "quartiles", "x noop", "budget", "p50 µs", "p99 µs", "req/s", "busy"
        )?;
        for lane in &self.lanes {
            writeln!(f, "{lane}")?;
        }
        writeln!(f)?;
        for Measured { name, note, adds, .. } in &self.lanes {
            write!(f, "{name:<18} {note}")?;
            match adds.as_ref().and_then(|adds| adds.budget.as_ref()) {
                Some(Limit { rule, .. }) => writeln!(f, " (budget: {rule})")?,
                None => writeln!(f)?,
            }
        }
        if let Some(split) = &self.split {
            write!(f, "\n{split}")?;
        }
        if let Some(flood) = &self.flood {
            write!(f, "\n{flood}")?;
        }
        if self.footprints.is_empty() {
            return Ok(());
        }
        write!(f, "\nStart to the first 200, and memory after some requests: medians of {starts}")?;
        for footprint in &self.footprints {
            write!(f, "\n{footprint}")?;
        }
        for (what, bytes, budget) in [
            ("a key", self.bytes_per_key, footprint::BYTES_PER_KEY),
            ("a key of a file", self.bytes_per_fetched_key, footprint::BYTES_PER_FETCHED_KEY),
        ] {
            let Some(bytes) = bytes else { continue };
            let verdict = verdict(bytes <= budget);
            write!(f, "\n{what} takes {bytes:.0} bytes in each worker (budget: {budget:.0} {verdict})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18} {:>8.2} ", self.name, self.cpu_us.median)?;
        match &self.adds {
            None => write!(f, "{:>50}", "")?,
            Some(adds) => {
                let Spread { q1, median, q3 } = adds.cpu_us;
                let budget = adds
                    .budget
                    .as_ref()
                    .map_or(String::new(), |budget| format!("{:.1} {}", budget.us, verdict(budget.within)));
                let quartiles = format!("{q1:+.2} .. {q3:+.2}");
                write!(f, "{median:>+8.2} {quartiles:>19} {:>7.2} {budget:>13}", adds.times_noop)?;
            }
        }
        let Self { p50_us, p99_us, per_second, busy, .. } = self;
        write!(f, " {p50_us:>7.0} {p99_us:>7.0} {per_second:>8.0} {:>3.0} %", busy * 100.0)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { crossing_us, host_calls_us, own_code_us, limits_us } = *self;
        let all = crossing_us + host_calls_us + own_code_us;
        writeln!(f, "What {} adds", lanes::OURS)?;
        for (what, us) in [
            ("entering the module", crossing_us),
            ("host calls, and the callback for the response", host_calls_us),
            ("our code", own_code_us),
            ("all of it", all),
            ("  of which for the two limits", limits_us),
        ] {
            writeln!(f, "  {what:<48} {us:>+6.2} µs {:>4.0} %", 100.0 * us / all)?;
        }
        Ok(())
    }
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, per_second, addresses, keys, tokens } = self;
        let budget = flood::GROWTH_MIB;
        let list = |memory: &[f64]| {
            let looks = memory.iter().map(|mib| format!("{mib:.1}")).collect::<Vec<_>>().join(", ");
            let growth = flood::growth(memory);
            format!("{looks}; {growth:+.1} after the first (budget: {budget} {})", verdict(growth <= budget))
        };
        writeln!(f, "Memory in MiB before and after each quarter, {per_second:.0} requests per second")?;
        writeln!(f, "  {requests} addresses    {}", list(addresses))?;
        writeln!(f, "  {requests} wrong keys   {}", list(keys))?;
        writeln!(f, "  {requests} wrong tokens {}", list(tokens))
    }
}

const fn verdict(within: bool) -> &'static str {
    if within { "PASS" } else { "OVER" }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.module_size.map_or("no module".into(), |bytes| format!("{} KiB", bytes / 1024));
        write!(f, "{:<18} {size:>9} ", self.lane)?;
        for start in &self.starts {
            let (time, memory) = (start.first_200_ms.median, start.resident_mib.median);
            let s = if start.workers == 1 { "" } else { "s" };
            write!(f, "  {} worker{s}: {time:.0} ms, {memory:.1} MiB;", start.workers)?;
        }
        write!(f, "  {:+.1} MiB for a further worker", self.mib_per_worker)
    }
}
