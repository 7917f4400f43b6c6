//! Keys that are fetched from a file server: loaded, used and replaced, and what happens when the server fails.

use std::time::Duration;

use meshgate_e2e::{Client, Config, Envoy, FileServer, Reply, Value, burst, json};

use crate::support::*;

const LOADED: &str = "wasmcustom.meshgate.quota.keys.portal.loaded";
const FETCHED: &str = "wasmcustom.meshgate.quota.keys.fetched";
/// Of two workers, and the main thread, which has a VM as well.
const ALL: u64 = 3;
const FAILED: &str = "wasmcustom.meshgate.quota.keys.failed";

/// A document with one consumer of its own, whose other keys are in a file.
fn configured() -> Value {
    let plans = json!({ "free": {}, "gold": { "limits": [{ "name": "l", "quota": "3/d" }] } });
    let file = json!({
        "name": "portal", "cluster": "files", "path": "/keys.jsonl", "authority": "files.example", "refresh": "10s",
        "identity": { "plan": "free", "consumer_prefix": "portal/" },
    });
    with(document(plans, &[("acme", "free")]), "/key_files", json!([file]))
}

/// A line for the key of this consumer.
fn line(name: &str) -> String {
    let key = json!({ "id": format!("{name}-1"), "consumer": name, "sha256": sha256(format!("{name}-key")) });
    format!("{key}\n")
}

fn file(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|number| line(&format!("c{number}"))).collect()
}

async fn start(files: &FileServer, workers: u32) -> Envoy {
    let config = Config::from(listener(configured())).cluster("files", files.addr()).concurrency(workers);
    Envoy::start(config).await.unwrap()
}

async fn status(client: &Client, name: &str) -> u16 {
    client.get("/").header("x-api-key", format!("{name}-key")).send().await.unwrap().status
}

/// The statuses that the key of this consumer gets on many connections, which all workers serve.
async fn statuses(envoy: &Envoy, name: &str) -> Vec<u16> {
    let name = name.to_owned();
    let send = move |client: Client, _| {
        let name = name.clone();
        async move { anyhow::Ok(status(&client, &name).await) }
    };
    let mut statuses = burst(&envoy.http1(), 32, 64, send).await.unwrap();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_keys_are_loaded_by_each_worker() {
    let files = FileServer::start(file(0..20_000)).await.unwrap();
    let envoy = start(&files, 2).await;
    let vms = Vms::of(&envoy).await;
    // No request has come yet.
    envoy.wait_for_stat(FETCHED, |fetched| fetched >= ALL).await.unwrap();
    assert_eq!(envoy.stat(LOADED).await.unwrap(), 20_000);
    for client in [envoy.http1(), envoy.http2()] {
        for number in (0..20_000).step_by(997) {
            let key = format!("c{number}-key");
            let echo = client.get("/").header("x-api-key", &key).send().await.unwrap().echo();
            let told = ["x-consumer-name", "x-consumer-key-id", "x-consumer-plan", "x-api-key"];
            let (name, id) = (format!("portal/c{number}"), format!("c{number}-1"));
            assert_eq!(told.map(|name| echo.header(name)), [Some(&*name), Some(&*id), Some("free"), None]);
        }
        assert_eq!((status(&client, "acme").await, status(&client, "c20000").await), (200, 401));
    }
    assert_eq!(statuses(&envoy, "c19999").await, [200]);
    // In parts, each of the version that the first one was of.
    let asked = files.upstream().requests();
    let length = file(0..20_000).len();
    assert_eq!(asked.len() as u64, ALL * length.div_ceil(128 << 10) as u64);
    for request in &asked {
        assert_eq!((request.path.as_str(), request.header("host")), ("/keys.jsonl", Some("files.example")));
        let first = request.header("range") == Some("bytes=0-131071");
        assert_eq!(request.header("if-match").is_none(), first);
    }
    vms.assert_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_file_nobody_is_let_in_and_nobody_is_called_wrong() {
    let files = FileServer::start(file(0..10)).await.unwrap();
    files.upstream().respond(Reply::status(503));
    let envoy = start(&files, 1).await;
    envoy.wait_for_stat(FAILED, |failed| failed >= 1).await.unwrap();
    let response = envoy.get("/").header("x-api-key", "c1-key").send().await.unwrap();
    assert_problem(
        &response,
        503,
        "The API key can't be checked at the moment. Send the request again later.",
    );
    let wait: u64 = one(&response, "retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(status(&envoy.http1(), "acme").await, 200);
    assert!(envoy.log().contains("key file portal: keys from the cluster files: status 503; there are none"));
    // A server that does not answer in time, and one that breaks off.
    let failed = envoy.stat(FAILED).await.unwrap();
    files.upstream().respond(Reply::status(200).delay(Duration::from_secs(30)));
    envoy.wait_for_stat(FAILED, |now| now > failed).await.unwrap();
    files.upstream().respond(Reply::status(200).reset());
    envoy.wait_for_stat(FAILED, |now| now > failed + 1).await.unwrap();
    assert_eq!(status(&envoy.http1(), "c1").await, 503);
    files.serve();
    // By the worker and the main thread.
    envoy.wait_for_stat(FETCHED, |fetched| fetched >= 2).await.unwrap();
    assert_eq!((status(&envoy.http1(), "c1").await, status(&envoy.http1(), "c10").await), (200, 401));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_replaced_and_the_last_good_ones_stay() {
    let files = FileServer::start(file(0..5_000)).await.unwrap();
    let envoy = start(&files, 2).await;
    envoy.wait_for_stat(FETCHED, |fetched| fetched >= ALL).await.unwrap();
    // Some go and some come.
    files.put(file(1_000..6_000));
    envoy.wait_for_stat(FETCHED, |fetched| fetched >= 2 * ALL).await.unwrap();
    for (name, expected) in [("c999", 401), ("c1000", 200), ("c5999", 200), ("c6000", 401)] {
        assert_eq!(statuses(&envoy, name).await, [expected], "{name}");
    }
    // A line is wrong: the log says where, and nothing of what stands there.
    let failed = envoy.stat(FAILED).await.unwrap();
    files.put(file(0..2_000) + &line("c-secret").replace("c-secret-1", "") + &file(3_000..4_000));
    envoy.wait_for_stat(FAILED, |now| now > failed).await.unwrap();
    let log = envoy.wait_for_log("line 2001").await.unwrap();
    assert!(log.contains("line 2001: id: found a string of 0 characters"), "{log}");
    assert!(log.contains("the last good ones stay") && !log.contains("c-secret"), "{log}");
    // The server is gone, and comes back with another file.
    files.upstream().respond(Reply::status(500));
    let failed = envoy.stat(FAILED).await.unwrap();
    envoy.wait_for_stat(FAILED, |now| now > failed).await.unwrap();
    assert_eq!((statuses(&envoy, "c999").await, statuses(&envoy, "c5999").await), (vec![401], vec![200]));
    let fetched = envoy.stat(FETCHED).await.unwrap();
    files.put(file(0..10));
    files.serve();
    envoy.wait_for_stat(FETCHED, |now| now >= fetched + ALL).await.unwrap();
    assert_eq!((statuses(&envoy, "c9").await, statuses(&envoy, "c5999").await), (vec![200], vec![401]));
}

/// Another limit must not cost the keys, not for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_has_the_keys_at_once() {
    let gold = line("gold").replace("}\n", ",\"plan\":\"gold\"}\n");
    let files = FileServer::start(file(0..20_000) + &gold).await.unwrap();
    let config =
        Config::from(listener(configured())).cluster("files", files.addr()).file_lds().concurrency(2);
    let mut envoy = Envoy::start(config).await.unwrap();
    envoy.wait_for_stat(FETCHED, |fetched| fetched >= ALL).await.unwrap();
    let client = envoy.http1();
    for expected in [200, 200, 200, 429] {
        assert_eq!(status(&client, "gold").await, expected);
    }
    for quota in ["5/d", "7/d"] {
        let other = with(configured(), "/plans/gold/limits/0/quota", json!(quota));
        files.upstream().respond(Reply::status(500));
        envoy.update_listener(listener(other)).await.unwrap();
        assert_eq!(statuses(&envoy, "c19999").await, [200]);
    }
    let client = envoy.http1();
    // What was used stays used.
    for expected in [200, 200, 200, 200, 429] {
        assert_eq!(status(&client, "gold").await, expected);
    }
    assert_eq!(envoy.stat(FETCHED).await.unwrap(), ALL);
}

/// What `make test-keys` runs: minutes of work, most of them to make the files.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a million keys: make test-keys"]
async fn a_million_keys_take_at_most_120_bytes_each_and_can_be_replaced() {
    const KEYS: usize = 1_000_000;
    // In the one worker, and in the main thread.
    const VMS: u64 = 2;
    let files = FileServer::start(file(0..1)).await.unwrap();
    files.upstream().keep_no_requests();
    let envoy = start(&files, 1).await;
    fetched(&envoy, VMS).await;
    let before = resident(&envoy);
    let all: Vec<String> = (0..KEYS).map(|number| line(&format!("c{number:06}"))).collect();
    files.put(all.concat());
    fetched(&envoy, 2 * VMS).await;
    let loaded = resident(&envoy);
    // A hundredth is another.
    let changed = |number: usize| number.is_multiple_of(100);
    let other = |(number, line): (usize, &String)| {
        if changed(number) { line.replace('}', ",\"disabled\":true}") } else { line.clone() }
    };
    files.put(all.iter().enumerate().map(other).collect::<String>());
    fetched(&envoy, 3 * VMS).await;
    let replaced = resident(&envoy);
    let each = |now: u64| (now - before) / VMS / KEYS as u64;
    println!("bytes a key: {} loaded, {} when a hundredth was replaced", each(loaded), each(replaced));
    assert!(each(loaded) <= 120 && each(replaced) <= 120, "{} {}", each(loaded), each(replaced));
    let client = envoy.http1();
    for number in (0..KEYS).step_by(KEYS / 1_000).chain([1, 500_001, KEYS - 1]) {
        let expected = if changed(number) { 401 } else { 200 };
        assert_eq!(status(&client, &format!("c{number:06}")).await, expected, "{number}");
    }
    for number in KEYS..KEYS + 100 {
        assert_eq!(status(&client, &format!("c{number:06}")).await, 401);
    }
}

async fn fetched(envoy: &Envoy, times: u64) {
    for _ in 0..10 {
        // Each waits for 20 seconds.
        if envoy.wait_for_stat(FETCHED, |fetched| fetched >= times).await.is_ok() {
            return;
        }
    }
    panic!("{} files were fetched, not {times}", envoy.stat(FETCHED).await.unwrap());
}

/// The memory that the process has, in bytes.
fn resident(envoy: &Envoy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", envoy.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}
