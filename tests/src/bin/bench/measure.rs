//! The rounds: all lanes in one Envoy, one after the other, again and again.

use std::iter;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshgate_e2e::{Client, Config, Envoy};
use serde::Serialize;

use crate::lanes::{self, Lane};
use crate::load::Generator;
use crate::system::{self, Cores};
use crate::varied::{self, Until};

/// How much is measured.
#[derive(Serialize)]
pub struct Plan {
    /// Rounds that count.
    pub rounds: u32,
    /// Of load on each lane in each round.
    pub seconds: u32,
    /// Of Envoy, for its start-up time.
    pub starts: u32,
    /// Clients, and wrong keys, that all differ.
    pub flood: u64,
}

/// One lane in one round.
#[derive(Serialize)]
pub struct Sample {
    /// Envoy's CPU time for a request.
    pub cpu_us: f64,
    pub requests: u64,
    pub per_second: f64,
    /// The share of the time that Envoy's core worked: at less than about 0.9 it waited for the load generator.
    pub busy: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// The samples of each lane, in the order of the lanes.
pub async fn measure(
    lanes: &[Lane],
    plan: &Plan,
    generator: &Generator,
    cores: Cores,
) -> Result<Vec<Vec<Sample>>> {
    // Each process stays on the core on which the thread was that started it.
    system::pin(cores.load)?;
    let origin = Envoy::start(lanes::origin()).await?;
    let config = Config::new().upstream(origin.addr());
    let config = lanes.iter().fold(config, |config, lane| config.listener(lane.listener()));
    system::pin(cores.envoy)?;
    let (envoy, _servers) = lanes::start(config, lanes, 1).await?;
    system::pin(cores.load)?;
    for lane in lanes {
        check(lane, &envoy).await.with_context(|| format!("lane {}", lane.name))?;
    }

    let mut series: Vec<Vec<Sample>> = iter::repeat_with(Vec::new).take(lanes.len()).collect();
    for round in 0..=plan.rounds {
        let begin = round as usize % lanes.len();
        let order = (begin..lanes.len()).chain(0..begin);
        let mut line = match round {
            0 => "warm-up".to_owned(),
            _ => format!("round {round}/{}", plan.rounds),
        };
        for lane in order {
            let sample = sample(&lanes[lane], plan, generator, &envoy).await;
            let sample = sample.with_context(|| format!("lane {}", lanes[lane].name))?;
            line += &format!("  {} {:.1}", lanes[lane].name, sample.cpu_us);
            if round > 0 {
                series[lane].push(sample);
            }
        }
        eprintln!("{line}");
    }
    Ok(series)
}

/// A filter that does nothing costs little: the answer must be the one that it makes.
async fn check(lane: &Lane, envoy: &Envoy) -> Result<()> {
    let request = Client::http1(envoy.addr_of(lane.name)).get(lane.traffic.path());
    let answer = lane
        .traffic
        .headers()
        .fold(request, |request, (name, value)| request.header(name, value))
        .send()
        .await?;
    let status = lane.traffic.status();
    ensure!(answer.status == status, "the answer is {}, not {status}", answer.status);
    ensure!(answer.text().contains(lane.expects), "{} is not in the answer", lane.expects);
    Ok(())
}

async fn sample(lane: &Lane, plan: &Plan, generator: &Generator, envoy: &Envoy) -> Result<Sample> {
    let before = system::cpu_time(envoy.pid())?;
    let to = envoy.addr_of(lane.name);
    let outcome = match lane.traffic.tokens() {
        None => generator.run(to, lane.traffic, plan.seconds).await?,
        Some(tokens) => {
            let until = Until::Over(Duration::from_secs(plan.seconds.into()));
            varied::send(to, until, varied::with_tokens(tokens)).await?
        }
    };
    let used = (system::cpu_time(envoy.pid())? - before).as_secs_f64();
    let requests = outcome.requests as f64;
    Ok(Sample {
        cpu_us: used * 1e6 / requests,
        requests: outcome.requests,
        per_second: requests / outcome.seconds,
        busy: used / outcome.seconds,
        p50_us: outcome.p50_us,
        p99_us: outcome.p99_us,
    })
}
