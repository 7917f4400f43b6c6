//! `bench`: what the filters cost in a real Envoy, next to a module that does nothing, Lua, and Envoy's own filters.
//!
//! One Envoy with one worker has a listener for each lane ([`catalog`]). They answer by themselves with ten bytes, or pass on
//! the JSON of another Envoy that filters are to read. Envoy has one core of the machine, the load generator ([`load`]) and
//! that other Envoy another. In each round every lane gets the load for the
//! same time, one after the other, each round starting with another lane; the first round warms up and is dropped.
//!
//! The figure is the CPU time of Envoy's threads for a request: with the core to itself it moves far less than latency or
//! throughput do. What a lane adds is its median less that of a lane without a filter that gets the same requests in the
//! same rounds. Figures of different machines, or of different runs, are not comparable; their ratios are, so budgets are
//! ratios where they can be ([`lanes::Budget`]).
//!
//! Requests that must differ come from a generator of our own ([`varied`]): those with ever another token, so that none is
//! remembered, and those of clients without number, for which memory is looked at ([`flood`]).
//!
//! Prints tables and writes `<target>/bench/latest.json`, with every round, and `latest.svg`. A budget that is exceeded is
//! printed, and is no error; a lane that answers with another status than it should is one.

mod catalog;
mod flood;
mod footprint;
mod lanes;
mod load;
mod measure;
mod plot;
mod report;
mod stats;
mod system;
mod varied;
mod workload;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use meshgate_e2e::paths;

use crate::load::Generator;
use crate::measure::Plan;
use crate::report::Report;
use crate::system::Machine;

/// Measures what the filters cost in Envoy.
#[derive(clap::Parser)]
#[command(name = "bench")]
struct Args {
    /// Rounds that count; one more warms up.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each lane gets the load in each round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only what is measured for these filters, or these lanes, and what they are compared with.
    #[arg(value_name = "FILTER|LANE")]
    names: Vec<String>,
    /// Three rounds of one second, and start-up once: to see that it works.
    #[arg(long)]
    quick: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let (lanes, missing) = lanes::select(&args.names)?;
    let plan = if args.quick {
        Plan { rounds: 3, seconds: 1, starts: 1, flood: 200_000 }
    } else {
        Plan { rounds: args.rounds, seconds: args.seconds, starts: 5, flood: 1_000_000 }
    };
    // All that can be missing is missed now, not after the first minutes.
    let generator = Generator::find()?;
    let machine = Machine::describe(&generator)?;
    let cores = system::two_cores()?;
    eprintln!("{machine}");
    if !missing.is_empty() {
        eprintln!("warning: without {}: their modules are not built", missing.join(", "));
    }
    if machine.load_average > 0.5 {
        eprintln!("warning: the load average is {}: what else runs spoils the figures", machine.load_average);
    }

    let footprints = footprint::measure(&lanes, &plan).await?;
    let series = measure::measure(&lanes, &plan, &generator, cores).await?;
    let flood = flood::measure(&lanes, &plan, cores).await?;
    let report = Report::new(machine, plan, &lanes, series, footprints, flood)?;
    println!("{report}");

    let dir = paths::target_dir().join("bench");
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let json = dir.join("latest.json");
    fs::write(&json, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("writing {}", json.display()))?;
    let svg = dir.join("latest.svg");
    plot::draw(&report, &svg).with_context(|| format!("drawing {}", svg.display()))?;
    println!("written: {}\n         {}", json.display(), svg.display());
    Ok(())
}
