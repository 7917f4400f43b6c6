//! Memory under clients without number: requests from ever another address, then ever another wrong key, and then ever another
//! token with a wrong signature, both from ever another address.

use anyhow::{Context as _, Result};
use meshgate_e2e::{Config, Envoy, Listener, Wasm};
use serde::Serialize;

use crate::lanes::{Lane, OURS, SMALL};
use crate::measure::Plan;
use crate::system::{self, Cores};
use crate::varied::{self, Requests, Until};
use crate::workload::{self, tokens};

/// How often memory is looked at during each part.
const LOOKS: u64 = 4;
/// What memory may grow by once tables and caches are full, which they are after the first look, in MiB: with six bytes that each
/// request leaked it would be more.
pub const GROWTH_MIB: f64 = 4.0;

/// What was sent, and the memory of Envoy meanwhile.
#[derive(Serialize)]
pub struct Flood {
    /// Of each kind.
    pub requests: u64,
    pub per_second: f64,
    /// Before the first, and after each of the equal parts, in MiB.
    pub addresses: Vec<f64>,
    pub keys: Vec<f64>,
    pub tokens: Vec<f64>,
}

/// What memory grew by after the first look.
pub fn growth(memory: &[f64]) -> f64 {
    match memory {
        [_, first, .., last] => last - first,
        _ => 0.0,
    }
}

/// With the quota filter, if that is measured.
pub async fn measure(lanes: &[Lane], plan: &Plan, cores: Cores) -> Result<Option<Flood>> {
    if !lanes.iter().any(|lane| lane.name == OURS) {
        return Ok(None);
    }
    eprintln!("sending requests from {} addresses, and as many wrong keys and tokens", plan.flood);
    let filter = Wasm::module("api_key_quota").config(tokens::flood());
    let listener = Listener::new().direct_response("/", 200, SMALL).filter(filter);
    system::pin(cores.envoy)?;
    let envoy = Envoy::start(Config::from(listener)).await?;
    system::pin(cores.load)?;
    let good = |number| (number, format!("x-api-key: {}", workload::KEY.1));
    let wrong = |number| (number + (1 << 24), format!("x-api-key: wrong-{number:020}"));
    let bad = |number| (number + (2 << 24), format!("authorization: {}", tokens::bad(number)));
    let mut seconds = 0.0;
    let addresses = part_of(&envoy, plan.flood, &mut seconds, b"HTTP/1.1 200 ", SMALL.as_bytes(), good)
        .await
        .context("requests from many addresses")?;
    let keys = part_of(&envoy, plan.flood, &mut seconds, b"HTTP/1.1 401 ", b"}", wrong)
        .await
        .context("requests with wrong keys")?;
    let tokens = part_of(&envoy, plan.flood, &mut seconds, b"HTTP/1.1 401 ", b"}", bad)
        .await
        .context("requests with wrong tokens")?;
    let per_second = 3.0 * plan.flood as f64 / seconds;
    Ok(Some(Flood { requests: plan.flood, per_second, addresses, keys, tokens }))
}

/// Sends requests, each with the address and the credential that `client` gives it.
async fn part_of(
    envoy: &Envoy,
    requests: u64,
    seconds: &mut f64,
    begin: &'static [u8],
    end: &'static [u8],
    client: impl Fn(u64) -> (u64, String) + Copy + Send + Sync + 'static,
) -> Result<Vec<f64>> {
    let part = requests / LOOKS;
    let mut memory = vec![system::resident_mib(envoy.pid())?];
    for look in 0..LOOKS {
        let head = varied::head();
        let write = move |number: u64, out: &mut Vec<u8>| {
            let (address, credential) = client(number);
            let [_, .., b, c, d] = address.to_be_bytes();
            out.extend_from_slice(&head);
            let fields =
                format!("x-forwarded-for: {}.{b}.{c}.{d}\r\n{credential}\r\n\r\n", 11 + (address >> 24));
            out.extend_from_slice(fields.as_bytes());
        };
        let until = Until::Sent { first: look * part, requests: part };
        let outcome = varied::send(envoy.addr(), until, Requests { write, begin, end }).await?;
        *seconds += outcome.seconds;
        memory.push(system::resident_mib(envoy.pid())?);
    }
    Ok(memory)
}
