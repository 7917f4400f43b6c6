//! Every way to count is exact over all workers, and what it promises holds at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use meshgate_e2e::{Client, Config, Envoy, Response, Value, burst, json};
use tokio::task::JoinSet;

use crate::support::*;

const CLIENTS: usize = 64;
const REQUESTS: usize = 3_000;
const WORKERS: u32 = 4;

/// Envoy with a limit, named `l`.
async fn start(mut limit: Value) -> Envoy {
    limit["name"] = json!("l");
    let listener = listener(limited(json!([limit])));
    Envoy::start(Config::from(listener).concurrency(WORKERS)).await.unwrap()
}

async fn stat(envoy: &Envoy, name: &str) -> u64 {
    envoy.stat(&format!("wasmcustom.meshgate.quota.{name}")).await.unwrap()
}

/// With periods so long that nothing comes back meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_limit_passes_in_every_way_to_count() {
    let limits = [
        ("rate", json!({ "rate": "1000/year" }), 1_000),
        ("burst", json!({ "rate": "1/year", "burst": 700 }), 700),
        ("fixed", json!({ "quota": "1000/year" }), 1_000),
        ("span", json!({ "quota": "1000/3650d" }), 1_000),
        ("sliding", json!({ "quota": "1000/year", "window": "sliding" }), 1_000),
        ("more", json!({ "quota": "1000/year", "overdraft": "12.5%" }), 1_125),
        ("slidingmore", json!({ "quota": "1000/year", "window": "sliding", "overdraft": "10%" }), 1_100),
        ("ratemore", json!({ "rate": "1000/year", "overdraft": "10%" }), 1_100),
        ("cost", json!({ "quota": "1000/year", "cost": 7 }), 142),
        ("slidingcost", json!({ "quota": "1000/year", "window": "sliding", "cost": 7 }), 142),
        ("ratecost", json!({ "rate": "1000/year", "cost": 7 }), 142),
        ("nobody", json!({ "quota": "1000/year", "enforce": "0%" }), REQUESTS),
        ("shadow", json!({ "quota": "1000/year", "shadow": true }), REQUESTS),
    ];
    let (mut plans, mut consumers) = (json!({}), Vec::new());
    for (name, limit, _) in &limits {
        let mut limit = limit.clone();
        limit["name"] = json!(name);
        plans[name] = json!({ "limits": [limit] });
        consumers.push((*name, *name));
    }
    let listener = listener(document(plans, &consumers));
    let envoy = Envoy::start(Config::from(listener).concurrency(WORKERS)).await.unwrap();
    for (name, _, expected) in limits {
        envoy.upstream().forget_requests();
        assert_eq!(passing(&envoy.http1(), name, REQUESTS).await, expected, "{name}");
        assert_eq!(envoy.upstream().requests().len(), expected, "{name}");
        let refused = REQUESTS - expected;
        assert_eq!(stat(&envoy, &format!("limit.{name}.denied")).await, refused as u64, "{name}");
        let unenforced = if expected == REQUESTS { REQUESTS - 1_000 } else { 0 };
        assert_eq!(stat(&envoy, &format!("limit.{name}.shadow_denied")).await, unenforced as u64, "{name}");
    }
}

/// More clients than what is left, of whose requests most are taken back: what one gives back another takes, and whoever paid has
/// exactly what there was.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_limit_is_paid_where_most_is_taken_back() {
    const LIMIT: usize = 100;
    const LEFT: usize = 12;
    let limits = [
        ("rate", json!({ "rate": "100/year" }), 1),
        ("burst", json!({ "rate": "1/year", "burst": 100 }), 1),
        ("fixed", json!({ "quota": "100/year" }), 1),
        ("span", json!({ "quota": "100/3650d" }), 1),
        ("sliding", json!({ "quota": "100/year", "window": "sliding" }), 1),
        ("cost", json!({ "quota": "700/year", "cost": 7 }), 7),
        ("ratecost", json!({ "rate": "700/year", "cost": 7 }), 7),
    ];
    let (mut plans, mut consumers) = (json!({}), Vec::new());
    for (name, limit, _) in &limits {
        let mut limit = limit.clone();
        (limit["name"], limit["charge"]) = (json!(name), json!({ "status": "2xx" }));
        // A second one, which is as full and takes back as well.
        let other = json!({ "name": "other", "quota": "100/year", "charge": { "status": "2xx" } });
        plans[name] = json!({ "limits": [limit, other] });
        consumers.push((*name, *name));
    }
    let document = with(document(plans, &consumers), "/usage_endpoint", json!({ "path": "/usage" }));
    let envoy = Envoy::start(Config::from(listener(document)).concurrency(WORKERS)).await.unwrap();
    for (name, _, cost) in limits {
        let key = format!("{name}-key");
        let request = |client: &Client, path: &str| client.get(path).header("x-api-key", &key);
        let client = envoy.http1();
        let is_paid = |response: &Response| match response.status {
            200 => true,
            429 => false,
            other => panic!("{name}: {other}"),
        };
        for _ in 0..LIMIT - LEFT {
            assert!(is_paid(&request(&client, "/").send().await.unwrap()), "{name}");
        }
        let key = key.clone();
        let statuses = burst(&client, 64, REQUESTS, move |client, number| {
            // One in forty stays counted.
            let status = if number.is_multiple_of(40) { 200 } else { 503 };
            let reply = json!({ "status": status, "delay_ms": number % 3 });
            let request = client.get("/").header("x-api-key", &key).upstream(reply);
            async move { anyhow::Ok(request.send().await?.status) }
        });
        let statuses = statuses.await.unwrap();
        let of = |status: u16| statuses.iter().filter(|found| **found == status).count();
        assert_eq!(of(200) + of(503) + of(429), REQUESTS, "{name}");
        assert!(of(200) <= LEFT, "{name}: {} were paid, {LEFT} were left", of(200));
        // All had their turn: requests were refused since others were under way, and others passed in the place of those.
        assert!(of(429) > 0 && of(503) > 2 * LEFT, "{name}: {} refused, {} taken back", of(429), of(503));
        let left = || async {
            let usage = request(&client, "/usage").send().await.unwrap().json();
            let limits = usage["limits"].as_array().unwrap().clone();
            limits.iter().map(|limit| limit["remaining"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        let room = (LEFT - of(200)) as u64;
        assert_eq!(left().await, [room * cost, room], "{name}");
        for _ in 0..room {
            assert!(is_paid(&request(&client, "/").send().await.unwrap()), "{name}");
        }
        assert!(!is_paid(&request(&client, "/").send().await.unwrap()), "{name}");
        assert_eq!(left().await, [0, 0], "{name}");
    }
}

/// Days, weeks, months and years begin at another time in each of these zones.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_limit_passes_in_windows_of_a_calendar() {
    for (period, zone, anchor) in [
        ("d", "America/New_York", None),
        ("week", "Asia/Kolkata", Some(json!({ "weekday": "sunday" }))),
        ("month", "Europe/Berlin", Some(json!({ "day": 15 }))),
        ("month", "Pacific/Kiritimati", Some(json!({ "day": 31 }))),
        ("month", "Etc/GMT+12", None),
        ("year", "Europe/London", Some(json!({ "month": 4, "day": 6 }))),
    ] {
        let mut limit = json!({ "quota": format!("1000/{period}"), "time_zone": zone });
        if let Some(anchor) = anchor {
            limit["anchor"] = anchor;
        }
        let mut passed = None;
        // A window may end while an attempt runs: then its end is another after than before.
        for _ in 0..3 {
            let envoy = start(limit.clone()).await;
            let end = || async {
                let response = envoy.get("/").header("x-api-key", "acme-key").send().await.unwrap();
                now().as_secs() + parse(one(&response, "ratelimit"))[0].1["t"]
            };
            let before = end().await;
            let attempt = passing(&envoy.http2(), "acme", REQUESTS).await;
            if before.abs_diff(end().await) <= 2 {
                passed = Some(attempt);
                break;
            }
        }
        assert_eq!(passed, Some(999), "{period} in {zone}");
    }
}

/// All clients ask all the time. Wherever a span of the window's length begins, no more than the limit was counted in it: those
/// that were sent and answered in such a span are no more than that.
#[tokio::test(flavor = "multi_thread")]
async fn a_sliding_window_holds_wherever_it_begins() {
    const LIMIT: usize = 100;
    const WINDOW: Duration = Duration::from_secs(1);
    let envoy = start(json!({ "quota": format!("{LIMIT}/s"), "window": "sliding" })).await;
    let (begin, over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, over) = (envoy.http1(), Arc::clone(&over));
        clients.spawn(async move {
            let mut passed = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let sent = Instant::now();
                let response = client.get("/").header("x-api-key", "acme-key").send().await.unwrap();
                match response.status {
                    200 => passed.push((sent, Instant::now())),
                    429 => {}
                    status => panic!("{status}"),
                }
            }
            passed
        });
    }
    tokio::time::sleep(WINDOW * 5).await;
    over.store(true, Ordering::Relaxed);
    let mut passed = clients.join_all().await.concat();
    let took = begin.elapsed();
    passed.sort();
    for (first, (sent, _)) in passed.iter().enumerate() {
        let within = passed[first..].iter().filter(|(_, answered)| *answered <= *sent + WINDOW).count();
        assert!(within <= LIMIT, "{within} in a second");
    }
    // What has passed comes back after a window and a part of it at most; the clients ask often enough to take it then.
    let windows = (took.as_secs_f64() / 1.3) as usize;
    assert!(passed.len() >= windows * LIMIT, "{} in {took:?}", passed.len());
}

/// As many as may be in flight are, and no more; when they have ended, as many are again. Also where clients go away.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_so_many_requests_are_in_flight() {
    const LIMIT: usize = 20;
    let envoy = start(json!({ "concurrency": LIMIT })).await;
    for client in [envoy.http1(), envoy.http2()] {
        let mut requests = JoinSet::new();
        for _ in 0..CLIENTS {
            let request = client.another().get("/").header("x-api-key", "acme-key");
            requests.spawn(request.upstream(json!({ "delay_ms": 3_000 })).send());
        }
        let statuses = requests.join_all().await.into_iter().map(|response| {
            let response = response.unwrap();
            assert_eq!(response.header("retry-after"), None, "when requests end nobody knows");
            response.status
        });
        let statuses: Vec<_> = statuses.collect();
        let passed = statuses.iter().filter(|&&status| status == 200).count();
        let refused = statuses.iter().filter(|&&status| status == 429).count();
        assert_eq!((passed, refused), (LIMIT, CLIENTS - LIMIT));
    }
    // Clients that do not wait for the answer.
    let mut requests = JoinSet::new();
    for _ in 0..CLIENTS {
        let request = envoy.http1().get("/").header("x-api-key", "acme-key");
        requests.spawn(request.upstream(json!({ "delay_ms": 60_000 })).send());
    }
    envoy
        .wait_for_stat("cluster.upstream.upstream_rq_active", |active| active == LIMIT as u64)
        .await
        .unwrap();
    requests.shutdown().await;
    envoy.wait_for_stat("cluster.upstream.upstream_rq_active", |active| active == 0).await.unwrap();
    let response = envoy.get("/").header("x-api-key", "acme-key").send().await.unwrap();
    assert_eq!((response.status, left(&response)), (200, vec![("l".to_owned(), LIMIT as u64 - 1)]));
}

/// A limit at each level, on a real path: those of the route count, and with those of the others in one go.
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_all_levels_are_counted_together() {
    let plans = json!({ "plan": { "limits": [{ "name": "plan", "quota": "900/year" }] } });
    let mut config = document(plans, &[("acme", "plan")]);
    config["limits"] =
        json!([{ "name": "all", "quota": "1000/year" }, { "name": "export", "quota": "1000/year" }]);
    config["routes"] = json!([{
        "match": { "path": { "prefix": "/export" } }, "limits": [{ "name": "export", "quota": "300/year" }],
    }]);
    config["consumers"][0]["limits"] = json!([{ "name": "plan", "quota": "500/year" }]);
    config["consumers"][0]["keys"][0]["limits"] = json!([{ "name": "key", "quota": "800/year" }]);
    let envoy = Envoy::start(Config::from(listener(config)).concurrency(WORKERS)).await.unwrap();
    let client = envoy.http1();
    let statuses = burst(&client, CLIENTS, REQUESTS, |client, number| {
        let path = if number % 2 == 0 { "/export/1" } else { "/" };
        let request = client.get(path).header("x-api-key", "acme-key");
        async move { anyhow::Ok((number % 2 == 0, request.send().await?.status)) }
    });
    let passed: Vec<_> = statuses.await.unwrap().into_iter().filter(|(_, status)| *status == 200).collect();
    // The route's limit counts all requests of its name, also those elsewhere: when 300 have passed, half of them exports, no more do.
    let exports = passed.iter().filter(|(is_export, _)| *is_export).count();
    assert!(passed.len() == 500 && exports < 200, "{} of {}", exports, passed.len());
    let response = envoy.get("/").header("x-api-key", "acme-key").send().await.unwrap();
    let expected = [("all", 500), ("export", 500), ("plan", 0), ("key", 300)];
    assert_eq!(left(&response), expected.map(|(name, left)| (name.to_owned(), left)));
    let response = envoy.get("/export").header("x-api-key", "acme-key").send().await.unwrap();
    assert_eq!(response.json()["violated-policies"], json!(["export", "plan"]));
}

/// One name at every level: route before key, key before consumer, consumer before plan, plan before the limits of everybody.
/// All of a consumer count the same requests, so each answer tells the number of the level that counts, and what is left of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_most_special_level_counts() {
    let limit = |quota: &str| json!([{ "name": "l", "quota": quota }]);
    let mut config =
        document(json!({ "plan": { "limits": limit("20/year") }, "none": {} }), &[("acme", "plan")]);
    config["limits"] = limit("10/year");
    config["routes"] = json!([{ "match": { "path": { "prefix": "/route" } }, "limits": limit("50/year") }]);
    let with_key = json!({ "id": "special", "sha256": sha256("special-key"), "limits": limit("40/year") });
    let own = json!({ "name": "own", "plan": "plan", "limits": limit("30/year"), "keys": [
        { "id": "own-1", "sha256": sha256("own-key") }, with_key,
    ] });
    let plain = json!({ "name": "plain", "plan": "none", "keys": [{ "id": "plain-1", "sha256": sha256("plain-key") }] });
    config["consumers"].as_array_mut().unwrap().extend([own, plain]);
    let envoy = Envoy::start(listener(config)).await.unwrap();
    for (key, path, quota, left_of_it) in [
        ("plain-key", "/", 10, 9),
        ("acme-key", "/", 20, 19),
        ("own-key", "/", 30, 29),
        ("special-key", "/", 40, 38),
        ("special-key", "/route", 50, 47),
        ("own-key", "/route", 50, 46),
        ("acme-key", "/route", 50, 48),
        ("plain-key", "/route", 50, 48),
        ("own-key", "/", 30, 25),
    ] {
        let response = envoy.get(path).header("x-api-key", key).send().await.unwrap();
        let policy = parse(one(&response, "ratelimit-policy"));
        assert_eq!((policy.len(), policy[0].1["q"]), (1, quota), "{key} {path}");
        assert_eq!(left(&response), [("l".to_owned(), left_of_it)], "{key} {path}");
    }
}
