//! Floods of addresses, header values, tokens and wrong keys: whoever is at a limit stays there, and nothing grows.

use meshgate_e2e::{Config, Envoy, Request, Value, burst, json};
use meshgate_test_tokens::{Signer, jwks};

use crate::support::*;

const PREFIX: &str = "wasmcustom.meshgate.quota.";
/// How many come in a flood.
const FLOOD: usize = 3_000;

/// A document whose one plan has these limits, with the address of clients in `x-forwarded-for`; tables have one slot.
fn flooded(limits: Value) -> Value {
    let document = with(limited(limits), "/client_ip", json!({ "trusted_hops": 1 }));
    with(document, "/table", json!({ "slots": 1 }))
}

async fn start(document: Value) -> Envoy {
    Envoy::start(Config::from(listener(document)).concurrency(2)).await.unwrap()
}

async fn stat(envoy: &Envoy, name: &str) -> u64 {
    envoy.stat(&format!("{PREFIX}{name}")).await.unwrap()
}

fn from(request: Request, address: &str, key: &str) -> Request {
    request.header("x-forwarded-for", address).header("x-api-key", key)
}

/// One of an IPv6 network for each client.
fn address(number: usize) -> String {
    format!("2001:db8:0:{number:x}::1")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_at_a_limit_stays_there_in_a_flood() {
    // A rate that each of the flood uses up at once beside a quota that it does not.
    let limits = json!([
        { "name": "address", "quota": "3/year", "per": "ip", "match": { "path": "/" } },
        { "name": "second", "rate": "1000/s", "burst": 3, "per": "ip", "match": { "path": "/" } },
        { "name": "tenant", "quota": "3/year", "per": { "header": "x-tenant" }, "match": { "path": "/" } },
    ]);
    let config = with(flooded(limits), "/failed_auth", json!({ "rate": "3/d" }));
    let envoy = start(config).await;
    let vms = Vms::of(&envoy).await;
    let victim = async |key: &str| {
        let request = from(envoy.get("/"), "192.0.2.1", key).header("x-tenant", "victim");
        request.send().await.unwrap()
    };
    for _ in 0..3 {
        let failed = from(envoy.get("/"), "192.0.2.2", "wrong").send().await.unwrap();
        assert_eq!((failed.status, victim("acme-key").await.status), (401, 200));
    }
    assert_eq!(victim("acme-key").await.status, 429);

    let client = envoy.http1();
    let statuses = burst(&client, 16, FLOOD, |client, number| {
        let good =
            from(client.get("/"), &address(number), "acme-key").header("x-tenant", format!("t-{number}"));
        let bad = from(client.get("/"), &address(number), &format!("wrong-{number}"));
        async move { anyhow::Ok((good.send().await?.status, bad.send().await?.status)) }
    });
    assert!(statuses.await.unwrap().iter().all(|statuses| *statuses == (200, 401)));

    let violated = victim("acme-key").await.json()["violated-policies"].clone();
    assert_eq!(violated, json!(["address", "tenant"]));
    for key in ["wrong", "acme-key"] {
        assert_eq!(from(envoy.get("/"), "192.0.2.2", key).send().await.unwrap().status, 429);
    }
    let evictions = FLOOD as u64 - 15;
    for (name, expected) in [
        ("limits.entries", 32),
        ("limits.capacity", 32),
        ("limits.evictions", 2 * evictions),
        ("failures.entries", 16),
        ("failures.capacity", 16),
        ("failures.evictions", evictions),
        ("consumers.capacity", 0),
    ] {
        assert_eq!(stat(&envoy, &format!("table.{name}")).await, expected, "{name}");
    }
    vms.assert_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_tokens_at_its_limit_stays_there_in_a_flood() {
    let signer = Signer::new("HS256");
    let issuer = json!([{
        "issuer": "https://idp", "audiences": ["api"], "jwks": jwks([&signer]), "identity": { "plan": "plan" },
    }]);
    let config = with(flooded(json!([{ "name": "l", "quota": "2/year" }])), "/tokens", issuer);
    let envoy = start(config).await;
    let of = move |name: &str| {
        let claims =
            json!({ "iss": "https://idp", "aud": "api", "sub": name, "exp": now().as_secs() + 3_600 });
        format!("Bearer {}", signer.sign(&claims))
    };
    let victim = of("victim");
    for status in [200, 200, 429] {
        let response = envoy.get("/").header("authorization", &victim).send().await.unwrap();
        assert_eq!(response.status, status);
    }
    let client = envoy.http1();
    let statuses = burst(&client, 16, FLOOD, move |client, number| {
        let request = client.get("/").header("authorization", of(&format!("user-{number}")));
        async move { anyhow::Ok(request.send().await?.status) }
    });
    assert!(statuses.await.unwrap().iter().all(|status| *status == 200));
    assert_eq!(envoy.get("/").header("authorization", &victim).send().await.unwrap().status, 429);
    assert_eq!(stat(&envoy, "table.consumers.entries").await, 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_are_refused_where_nobody_is_to_be_forgotten() {
    let config = flooded(json!([{ "name": "l", "quota": "2/year", "per": "ip" }]));
    let envoy = start(with(config, "/table", json!({ "slots": 1, "when_full": "refuse" }))).await;
    let client = envoy.http1();
    let statuses = burst(&client, 16, 200, |client, number| {
        let request = from(client.get("/"), &address(number), "acme-key");
        async move { anyhow::Ok((number, request.send().await?.status)) }
    });
    let statuses = statuses.await.unwrap();
    let passed: Vec<_> = statuses.iter().filter(|(_, status)| *status == 200).collect();
    assert_eq!(passed.len(), 16);
    assert_eq!(statuses.iter().filter(|(_, status)| *status == 503).count(), 184);
    assert_eq!(stat(&envoy, "denied.table_full").await, 184);
    assert_eq!(stat(&envoy, "table.limits.evictions").await, 0);
    for (number, _) in passed {
        for status in [200, 429] {
            let response = from(envoy.get("/"), &address(*number), "acme-key").send().await.unwrap();
            assert_eq!(response.status, status);
        }
    }
    let refused = from(envoy.get("/"), "192.0.2.1", "acme-key").send().await.unwrap();
    assert_problem(&refused, 503, "Too many others are counted at present. Send this request again later.");
    assert!(one(&refused, "retry-after").parse::<u64>().unwrap() > 0);
    let lines = envoy.wait_for_access_log(233).await.unwrap();
    assert_eq!(lines.iter().filter(|line| *line == "503 meshgate_table_full").count(), 185);
}

/// A new number of slots is a new table, and gauges are of that one.
#[tokio::test(flavor = "multi_thread")]
async fn gauges_follow_the_number_of_slots() {
    let document = |slots: u64| {
        let limits = json!([{ "name": "l", "quota": "2/year", "per": "ip" }]);
        with(flooded(limits), "/table", json!({ "slots": slots }))
    };
    let config = Config::from(listener(document(1))).file_lds().concurrency(2);
    let mut envoy = Envoy::start(config).await.unwrap();
    let gauges = async |envoy: &Envoy| {
        (stat(envoy, "table.limits.entries").await, stat(envoy, "table.limits.capacity").await)
    };
    assert_eq!(gauges(&envoy).await, (0, 16));
    for number in 0..100 {
        from(envoy.get("/"), &address(number), "acme-key").send().await.unwrap();
    }
    assert_eq!(gauges(&envoy).await, (16, 16));
    envoy.update_listener(listener(document(2))).await.unwrap();
    assert_eq!(gauges(&envoy).await, (0, 32));
    for number in 0..100 {
        from(envoy.get("/"), &address(number), "acme-key").send().await.unwrap();
    }
    assert_eq!(gauges(&envoy).await, (32, 32));
}

/// The most slots are there as soon as Envoy serves: to make them takes no longer than a moment.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_table_is_made_at_once() {
    let config = flooded(json!([{ "name": "l", "quota": "1/year", "per": "ip" }]));
    let envoy = start(with(config, "/table", json!({ "slots": 65_536 }))).await;
    assert_eq!(stat(&envoy, "table.limits.capacity").await, 1_048_576);
    for status in [200, 429] {
        let response = from(envoy.get("/"), "192.0.2.1", "acme-key").send().await.unwrap();
        assert_eq!(response.status, status);
    }
}
