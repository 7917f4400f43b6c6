//! What a module costs before its first request: its size, the start of Envoy with it, and memory.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use meshgate_e2e::{Client, Config, Envoy, burst, paths};
use serde::Serialize;

use crate::lanes::{self, Lane};
use crate::measure::Plan;
use crate::stats::Spread;
use crate::system;
use crate::workload::quota;

/// The numbers of workers to start with.
const WORKERS: [u32; 3] = [1, 2, 4];
/// Requests before memory is looked at, over connections enough for all workers to get some.
const REQUESTS: usize = 1_000;
const CONNECTIONS: usize = 32;

/// Envoy with one lane.
#[derive(Serialize)]
pub struct Footprint {
    pub lane: &'static str,
    /// Bytes of the module.
    pub module_size: Option<u64>,
    pub starts: Vec<Start>,
    /// What each worker after the first adds to the memory.
    pub mib_per_worker: f64,
    /// How many keys there are, where that is what is measured.
    pub keys: Option<usize>,
    /// They are fetched.
    pub fetched: bool,
}

/// Envoy with so many workers.
#[derive(Serialize)]
pub struct Start {
    pub workers: u32,
    /// From the start of the process to the first 200.
    pub first_200_ms: Spread,
    /// Resident memory after some requests.
    pub resident_mib: Spread,
}

/// Of the lanes that tell something: no filter, an empty module, ours.
pub async fn measure(lanes: &[Lane], plan: &Plan) -> Result<Vec<Footprint>> {
    let mut footprints = vec![];
    for lane in lanes.iter().filter(|lane| lane.has_footprint) {
        eprintln!("starting Envoy with {}", lane.name);
        // Now, and not while the start is timed.
        drop(lanes::file(lane));
        let size = |module| anyhow::Ok(std::fs::metadata(paths::module(module)?)?.len());
        let mut starts = vec![];
        for workers in WORKERS {
            let mut times = vec![];
            let mut memory = vec![];
            // To fetch a million keys takes seconds, and their memory differs by little.
            let rounds = if lane.fetches { 1 } else { plan.starts };
            for _ in 0..rounds {
                let (time, mib) =
                    start(lane, workers).await.with_context(|| format!("lane {}", lane.name))?;
                times.push(time);
                memory.push(mib);
            }
            starts.push(Start { workers, first_200_ms: Spread::of(times), resident_mib: Spread::of(memory) });
        }
        let module_size = lane.module.map(size).transpose()?;
        let mib_per_worker = mib_per_worker(&starts);
        footprints.push(Footprint {
            lane: lane.name,
            module_size,
            starts,
            mib_per_worker,
            keys: lane.keys,
            fetched: lane.fetches,
        });
    }
    Ok(footprints)
}

/// Milliseconds to the first 200, and MiB.
async fn start(lane: &Lane, workers: u32) -> Result<(f64, f64)> {
    let config = Config::from(lane.listener()).concurrency(workers);
    let headers: Fields = lane.traffic.headers().collect();
    let start = Instant::now();
    let (envoy, _servers) = lanes::start(config, std::slice::from_ref(lane), workers).await?;
    get(envoy.http1(), Arc::clone(&headers)).await?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    if let Some(keys) = lane.keys.filter(|_| lane.fetches) {
        look_up(&envoy, keys).await?;
    }
    burst(&envoy.http1(), CONNECTIONS, REQUESTS, move |client, _| get(client, Arc::clone(&headers))).await?;
    Ok((time, system::resident_mib(envoy.pid())?))
}

/// Keys from all of the file are found, and those behind its end are not.
async fn look_up(envoy: &Envoy, keys: usize) -> Result<()> {
    let client = envoy.http1();
    let there = (0..keys).step_by(keys / 500).map(|number| (number, 200));
    for (number, expected) in there.chain((keys..keys + 100).map(|number| (number, 401))) {
        let status = client.get("/").header("x-api-key", quota::key(number)).send().await?.status;
        ensure!(status == expected, "key {number}: the answer is {status}, not {expected}");
    }
    Ok(())
}

/// What a key of the document may take in each worker: 90 bytes in the table of keys, and what reading the document takes, which
/// a VM never gives back.
pub const BYTES_PER_KEY: f64 = 500.0;
/// The same of a key that is fetched.
pub const BYTES_PER_FETCHED_KEY: f64 = 120.0;

/// What a key takes in each worker, in bytes: by what memory grows from the lane with the fewest keys to that with the most of
/// those that are fetched, or of those that are not.
pub fn bytes_per_key(footprints: &[Footprint], fetched: bool) -> Option<f64> {
    let sizes = || {
        footprints
            .iter()
            .filter_map(|footprint| Some((footprint.keys?, footprint.mib_per_worker, footprint.fetched)))
    };
    let (few, less, _) = sizes().min_by_key(|(keys, ..)| *keys)?;
    let (many, more, _) = sizes().filter(|(.., is)| *is == fetched).max_by_key(|(keys, ..)| *keys)?;
    (many > few).then(|| (more - less) * f64::from(1 << 20) / (many - few) as f64)
}

fn mib_per_worker(starts: &[Start]) -> f64 {
    let [first, .., last] = starts else { return 0.0 };
    (last.resident_mib.median - first.resident_mib.median) / f64::from(last.workers - first.workers)
}

type Fields = Arc<[(&'static str, &'static str)]>;

async fn get(client: Client, headers: Fields) -> Result<()> {
    let request = headers.iter().fold(client.get("/"), |request, (name, value)| request.header(name, value));
    let status = request.send().await?.status;
    ensure!(status == 200, "the answer is {status}, not 200");
    Ok(())
}
