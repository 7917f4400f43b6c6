//! The machine: what it is, its cores, and what a process has used of it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use meshgate_e2e::paths;
use serde::Serialize;

use crate::load::Generator;

/// What the figures were measured with.
#[derive(Serialize)]
pub struct Machine {
    /// UTC, RFC 3339.
    pub date: String,
    /// Of the working tree, with `+` if it has changes.
    pub revision: String,
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    pub envoy: String,
    pub load_generator: String,
    /// Before the bench began: the processes that wanted a core in the last minute.
    pub load_average: f64,
}

impl Machine {
    pub fn describe(generator: &Generator) -> Result<Self> {
        let envoy = output(Command::new(paths::envoy_binary()?).arg("--version"))?;
        let average = fs::read_to_string("/proc/loadavg").ok();
        let average = average.and_then(|text| text.split(' ').next()?.parse().ok());
        Ok(Self {
            date: output(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]))?,
            revision: revision().unwrap_or_else(|_| "unknown".into()),
            cpu: cpu_model().unwrap_or_else(|| "unknown CPU".into()),
            cores: std::thread::available_parallelism()?.get(),
            kernel: output(Command::new("uname").arg("-sr"))?,
            // "<path>  version: <hash>/1.40.0/Clean/RELEASE/BoringSSL"
            envoy: envoy.rsplit('/').nth(3).context("Envoy does not say its version")?.to_owned(),
            load_generator: generator.version()?,
            load_average: average.unwrap_or(0.0),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, revision, cpu, cores, kernel, envoy, load_generator, .. } = self;
        write!(f, "Envoy {envoy}, {load_generator}, {cores} x {cpu}, {kernel}, revision {revision}, {date}")
    }
}

/// What a command prints, without the line end.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("running {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn revision() -> Result<String> {
    let git =
        |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(paths::workspace()));
    let changed = !git(&["status", "--porcelain"])?.is_empty();
    Ok(git(&["rev-parse", "--short=12", "HEAD"])? + if changed { "+" } else { "" })
}

fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// A core for Envoy, and another one for the load generator: far apart, so that they are not two threads of one.
#[derive(Clone, Copy)]
pub struct Cores {
    pub envoy: usize,
    pub load: usize,
}

#[cfg(target_os = "linux")]
pub fn two_cores() -> Result<Cores> {
    use nix::sched::{CpuSet, sched_getaffinity};

    let allowed = sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    let allowed = || (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false));
    match (allowed().next(), allowed().next_back()) {
        (Some(envoy), Some(load)) if envoy != load => Ok(Cores { envoy, load }),
        _ => bail!("the bench needs two cores: one for Envoy, one for the load generator"),
    }
}

/// Keeps this thread, and the processes that it starts from now on, on one core.
#[cfg(target_os = "linux")]
pub fn pin(core: usize) -> Result<()> {
    let mut cores = nix::sched::CpuSet::new();
    cores.set(core)?;
    let this_thread = nix::unistd::Pid::from_raw(0);
    nix::sched::sched_setaffinity(this_thread, &cores).with_context(|| format!("pinning to core {core}"))
}

#[cfg(not(target_os = "linux"))]
pub fn two_cores() -> Result<Cores> {
    bail!("the bench needs Linux: it pins Envoy to a core and reads what it used from /proc");
}

#[cfg(not(target_os = "linux"))]
pub fn pin(_core: usize) -> Result<()> {
    Ok(())
}

/// The CPU time that the threads of a process have used, in user and kernel mode. To the nanosecond, where `utime` and
/// `stime` count ticks of 10 ms.
pub fn cpu_time(pid: i32) -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("reading Envoy's threads")? {
        let path = task?.path().join("schedstat");
        nanos += first_number(&path, "").with_context(|| format!("reading {}", path.display()))?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The memory of a process that is in RAM, in MiB.
pub fn resident_mib(pid: i32) -> Result<f64> {
    let kib = first_number(Path::new(&format!("/proc/{pid}/status")), "VmRSS:")?;
    Ok(kib as f64 / 1024.0)
}

/// The first number in the line that starts so.
fn first_number(path: &Path, start: &str) -> Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(start)).context("a line is missing")?;
    line.split_whitespace().next().and_then(|number| number.parse().ok()).context("no number")
}
