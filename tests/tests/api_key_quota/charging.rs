//! What limits count apart, what requests cost, and what is settled when their streams have ended.

use std::time::Duration;

use meshgate_e2e::{Client, Config, Envoy, Listener, Reply, Request, Value, burst, json};
use tokio::time::timeout;

use crate::support::*;

const PREFIX: &str = "wasmcustom.meshgate.quota.";

/// A document whose one plan has these limits, with an endpoint that tells what is left of them.
fn told(limits: Value) -> Value {
    with(limited(limits), "/usage_endpoint", json!({ "path": "/usage" }))
}

/// As [`told`], with the address of clients in `x-forwarded-for`.
fn forwarded(limits: Value) -> Value {
    with(told(limits), "/client_ip", json!({ "trusted_hops": 1 }))
}

fn acme(request: Request) -> Request {
    request.header("x-api-key", "acme-key")
}

/// What is left of each limit.
async fn remaining(client: &Client) -> Vec<u64> {
    let usage = acme(client.get("/usage")).send().await.unwrap().json();
    let limits = usage["limits"].as_array().expect("limits");
    limits.iter().map(|limit| limit["remaining"].as_u64().expect("a number")).collect()
}

/// Waits until so much is left: streams are settled right behind their end.
#[track_caller]
fn settles(envoy: &Envoy, expected: &[u64]) -> impl Future<Output = ()> {
    let (client, expected) = (envoy.http1(), expected.to_vec());
    async move {
        let settled = timeout(Duration::from_secs(10), async {
            while remaining(&client).await != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if settled.await.is_err() {
            panic!("{:?} are left, not {expected:?}", remaining(&client).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_counted_apart_by_their_address() {
    let limits = json!([{ "name": "l", "quota": "2/year", "per": "ip" }]);
    let envoy = Envoy::start(listener(told(limits.clone()))).await.unwrap();
    // Each from a connection, and so a port, of its own.
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(
            acme(envoy.http1().get("/").header("x-forwarded-for", "192.0.2.1")).send().await.unwrap().status,
        );
    }
    assert_eq!(statuses, [200, 200, 429]);

    let envoy = Envoy::start(listener(forwarded(limits))).await.unwrap();
    let send = |address: &'static str| acme(envoy.get("/").header("x-forwarded-for", address)).send();
    for (address, status) in [
        ("192.0.2.1", 200),
        ("198.51.100.7, 192.0.2.1", 200),
        ("198.51.100.8,192.0.2.1:4711", 429),
        ("192.0.2.2", 200),
        ("2001:db8::1", 200),
        ("[2001:db8::2]:4711", 200),
        ("2001:db8::3", 429),
        ("unknown", 200),
        ("", 200),
        ("nonsense", 429),
    ] {
        assert_eq!(send(address).await.unwrap().status, status, "{address}");
    }
}

/// Many clients of one consumer, from eight addresses: each address gets exactly what it may, and the consumer pays for
/// exactly those, whatever was written and taken back meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_agree_under_many_clients_and_workers() {
    let limits = json!([
        { "name": "mine", "quota": "100000/year" },
        { "name": "address", "quota": "100/year", "per": "ip" },
        { "name": "tenant", "quota": "150/year", "per": ["consumer", { "header": "x-tenant" }] },
    ]);
    let envoy = Envoy::start(Config::from(listener(forwarded(limits))).concurrency(4)).await.unwrap();
    let vms = Vms::of(&envoy).await;
    let client = envoy.http1();
    let statuses = burst(&client, 64, 4_000, |client, number| {
        // Two tenants at each address: one has all of it to itself but half of another's.
        let (address, tenant) = (number % 8, number / 8 % 4);
        let request = acme(client.get("/"))
            .header("x-forwarded-for", format!("192.0.2.{address}"))
            .header("x-tenant", tenant.to_string());
        async move { anyhow::Ok((address, tenant, request.send().await?.status)) }
    });
    let statuses = statuses.await.unwrap();
    let passed: Vec<_> = statuses.iter().filter(|(.., status)| *status == 200).collect();
    assert!(statuses.iter().all(|(.., status)| [200, 429].contains(status)));
    let of = |matches: &dyn Fn(usize, usize) -> bool| {
        passed.iter().filter(|(address, tenant, _)| matches(*address, *tenant)).count()
    };
    for address in 0..8 {
        assert!(of(&|found, _| found == address) <= 100);
    }
    for tenant in 0..4 {
        assert_eq!(of(&|_, found| found == tenant), 150, "tenant {tenant}");
    }
    assert_eq!(envoy.upstream().requests().len(), 600);
    let response = acme(envoy.get("/").header("x-forwarded-for", "198.51.100.1")).send().await.unwrap();
    assert_eq!(left(&response)[0], ("mine".to_owned(), 100_000 - 601));
    vms.assert_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_as_many_pass_as_the_tightest_account_has_room_for() {
    let limits = json!([
        { "name": "mine", "quota": "1000/year" },
        { "name": "address", "rate": "700/year", "per": "ip" },
        { "name": "route", "quota": "5000/year", "per": ["route", "ip"] },
    ]);
    let envoy = Envoy::start(Config::from(listener(forwarded(limits))).concurrency(4)).await.unwrap();
    for (address, expected) in [(1, 700), (2, 300), (3, 0)] {
        let client = envoy.http2();
        let statuses = burst(&client, 64, 2_000, move |client, _| {
            let request = acme(client.get("/")).header("x-forwarded-for", format!("192.0.2.{address}"));
            async move { anyhow::Ok(request.send().await?.status) }
        });
        let statuses = statuses.await.unwrap();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), expected, "{address}");
        assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 2_000 - expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_those_that_have_passed() {
    let limits = json!([
        { "name": "in", "quota": "1000000/year", "cost": { "request_bytes": true }, "match": { "path": "/count" } },
        { "name": "out", "quota": "1000000/year", "cost": { "response_bytes": true }, "match": { "path": "/count" } },
    ]);
    let envoy = Envoy::start(listener(told(limits))).await.unwrap();
    let mut before = [1_000_000, 1_000_000];
    let whole = json!({ "body": "x".repeat(20_000) });
    let pieces = json!({ "chunks": ["x".repeat(10_000), "x".repeat(10_000)] });
    for client in [envoy.http1(), envoy.http2()] {
        for reply in [&whole, &pieces] {
            let post = || acme(client.post("/count").upstream(reply.clone()));
            for request in
                [post().body("y".repeat(5_000)), post().chunks(vec!["y".repeat(2_500); 2], Duration::ZERO)]
            {
                let response = request.send().await.unwrap();
                assert_eq!((response.status, response.body.len()), (200, 20_000));
                let after = timeout(Duration::from_secs(10), async {
                    loop {
                        let now = remaining(&envoy.http1()).await;
                        // The reserve of 1 is replaced in both at once.
                        if now[1] + 2 < before[1] {
                            return [now[0], now[1]];
                        }
                    }
                });
                let after = after.await.unwrap();
                let [request, response] = [before[0] - after[0], before[1] - after[1]];
                // The request tells the upstream what to answer in a header.
                let head = reply.to_string().len() as u64;
                assert!((5_000 + head..5_600 + head).contains(&request), "{request}");
                assert!((20_000..20_600).contains(&response), "{response}");
                before = after;
            }
        }
    }
}

fn tokens() -> Value {
    json!([{
        "name": "tokens", "quota": "1000/year", "match": { "path": "/v1/complete" },
        "cost": { "response_json": "/usage/total_tokens", "reserve": 10 },
    }])
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_read_in_responses_and_streams() {
    let envoy = Envoy::start(listener(told(tokens()))).await.unwrap();
    let vms = Vms::of(&envoy).await;
    let complete =
        || acme(envoy.post("/v1/complete")).header("accept-encoding", "gzip").json(&json!({ "model": "m" }));
    let send = |reply: Value| complete().upstream(reply).send();
    let json_type = json!([["content-type", "application/json"]]);
    let body = json!({ "usage": { "total_tokens": 100 }, "padding": "x".repeat(200_000) }).to_string();
    envoy
        .upstream()
        .respond(Reply::status(200).header("content-type", "application/json").body(body.clone()));
    let response = complete().send().await.unwrap();
    assert!(response.body == body);
    settles(&envoy, &[900]).await;
    // In chunks that cut the number.
    send(json!({ "headers": json_type, "chunks": ["{\"usage\":{\"total_to", "kens\":5", "0}}"] }))
        .await
        .unwrap();
    settles(&envoy, &[850]).await;

    let events = [
        "data: {\"choices\":[],\"usage\":null}\n\n",
        "data: {\"usage\":{\"total_",
        "tokens\":150}}\n\ndata: [DONE]\n\n",
    ];
    let event_type = json!([["content-type", "text/event-stream"]]);
    let response =
        send(json!({ "headers": event_type, "chunks": events, "trailers": [["x-end", "1"]] })).await.unwrap();
    assert_eq!(response.body, events.concat());
    settles(&envoy, &[700]).await;

    // A client that goes away in the middle of a stream has paid for what it got.
    let (sender, reply) = Reply::status(200).header("content-type", "text/event-stream").stream();
    let reply = std::sync::Mutex::new(Some(reply));
    envoy.upstream().respond_with(move |_| reply.lock().unwrap().take());
    let mut open = complete().open().await.unwrap();
    let mut sender = sender;
    sender.send_data("data: {\"usage\":{\"total_tokens\":60}}\n\n".into()).await.unwrap();
    assert!(open.chunk().await.unwrap().is_some());
    drop(open);
    settles(&envoy, &[640]).await;

    // What does not tell costs the reserve; so does a stream that the upstream breaks off before.
    send(json!({ "status": 204 })).await.unwrap();
    settles(&envoy, &[630]).await;
    let gzip = json!([["content-type", "application/json"], ["content-encoding", "gzip"]]);
    send(json!({ "headers": gzip, "body": "{\"usage\":{\"total_tokens\":50}}" })).await.unwrap();
    settles(&envoy, &[620]).await;
    assert!(send(json!({ "headers": event_type, "chunks": ["data: {}\n\n"], "reset": true })).await.is_err());
    settles(&envoy, &[610]).await;
    assert_eq!(envoy.stat(&format!("{PREFIX}cost_unknown")).await.unwrap(), 3);

    let requests = envoy.upstream().requests();
    let codings: Vec<_> = requests.iter().filter_map(|request| request.header("accept-encoding")).collect();
    assert!(!codings.is_empty() && codings.iter().all(|coding| *coding == "identity"), "{codings:?}");
    // More than there was room for counts, and then nothing passes.
    let body = json!({ "usage": { "total_tokens": 5_000 } });
    send(json!({ "headers": json_type, "body": body.to_string() })).await.unwrap();
    settles(&envoy, &[0]).await;
    assert_eq!(complete().send().await.unwrap().status, 429);
    vms.assert_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_some_statuses_are_charged() {
    let limits = json!([
        { "name": "good", "quota": "100/year", "charge": { "status": ["2xx", "4xx"] } },
        { "name": "all", "quota": "100/year" },
    ]);
    let envoy = Envoy::start(listener(told(limits.clone()))).await.unwrap();
    let mut expected = [100, 100];
    for (status, charged) in [(200, 1), (404, 1), (500, 0), (503, 0), (302, 0)] {
        let response = acme(envoy.get("/").upstream(json!({ "status": status }))).send().await.unwrap();
        expected = [expected[0] - charged, expected[1] - 1];
        let left: Vec<_> = left(&response).into_iter().map(|(_, left)| left).collect();
        assert_eq!((response.status, left), (status, expected.to_vec()));
    }
    // Where nobody listens, Envoy itself answers 503.
    let nobody = Config::from(listener(told(limits))).upstream(([127, 0, 0, 1], 1).into());
    let envoy = Envoy::start(nobody).await.unwrap();
    assert_eq!(acme(envoy.get("/")).send().await.unwrap().status, 503);
    settles(&envoy, &[100, 99]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_wait_for_the_answer_pays() {
    let limits = json!([{ "name": "good", "quota": "100/year", "charge": { "status": "2xx" } }]);
    let envoy = Envoy::start(listener(told(limits))).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let before = remaining(&envoy.http1()).await[0];
        let slow = acme(client.get("/").upstream(json!({ "delay_ms": 30_000 })));
        assert!(slow.timeout(Duration::from_millis(200)).send().await.is_err());
        drop(client);
        let lines = envoy.wait_for_access_log(1).await.unwrap();
        assert!(!lines.is_empty());
        assert_eq!(remaining(&envoy.http1()).await, [before - 1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_are_in_flight_and_no_more() {
    let limits = json!([
        { "name": "parallel", "concurrency": 5 },
        { "name": "address", "concurrency": 3, "per": "ip" },
    ]);
    let envoy = Envoy::start(Config::from(listener(forwarded(limits))).concurrency(2)).await.unwrap();
    let vms = Vms::of(&envoy).await;
    let slow = |address: &str| {
        let reply = json!({ "delay_ms": 30_000 });
        acme(envoy.http1().get("/").upstream(reply)).header("x-forwarded-for", address).send()
    };
    let quick = |address: &str| acme(envoy.get("/")).header("x-forwarded-for", address).send();
    let mut held = tokio::task::JoinSet::new();
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"] {
        held.spawn(slow(address));
    }
    settles(&envoy, &[0, 3]).await;
    for address in ["192.0.2.1", "192.0.2.3"] {
        assert_eq!(quick(address).await.unwrap().status, 429);
    }
    // Whoever goes away makes room.
    held.shutdown().await;
    settles(&envoy, &[5, 3]).await;
    assert_eq!(quick("192.0.2.1").await.unwrap().status, 200);
    vms.assert_alive().await;

    // So do a stream that the upstream resets, one that breaks off in the body, an answer of Envoy itself, and a refusal.
    let limits = json!([{ "name": "parallel", "concurrency": 1 }]);
    let listener = Listener::new().filter(quota(told(limits))).direct_response("/direct", 418, "teapot");
    let envoy = Envoy::start(listener).await.unwrap();
    for reply in [
        json!({ "reset": true }),
        json!({ "chunks": ["part"], "reset": true }),
        json!({ "status": 500 }),
        json!({ "body": "whole" }),
    ] {
        let _ = acme(envoy.get("/").upstream(reply)).send().await;
        settles(&envoy, &[1]).await;
    }
    for _ in 0..20 {
        assert_eq!(acme(envoy.get("/direct")).send().await.unwrap().status, 418);
        settles(&envoy, &[1]).await;
    }
}

/// However many race for it on four workers, exactly as many get through as may be in flight; and in the end all is given
/// back.
#[tokio::test(flavor = "multi_thread")]
async fn in_flight_is_exact_on_many_workers() {
    let limits = json!([{ "name": "parallel", "concurrency": 8 }]);
    let envoy = Envoy::start(Config::from(listener(told(limits))).concurrency(4)).await.unwrap();
    for _ in 0..5 {
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let request = acme(envoy.http1().get("/").upstream(json!({ "delay_ms": 60_000 })));
            racing.spawn(request.timeout(Duration::from_secs(60)).send());
        }
        for _ in 0..56 {
            let refused = racing.join_next().await.expect("56 of 64").unwrap().unwrap();
            assert_eq!(refused.status, 429);
        }
        settles(&envoy, &[0]).await;
        assert!(racing.try_join_next().is_none());
        racing.shutdown().await;
        settles(&envoy, &[8]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_guess_only_so_often() {
    let limits = json!([{ "name": "l", "quota": "100/year" }]);
    let config = with(forwarded(limits), "/failed_auth", json!({ "rate": "10/h" }));
    let envoy = Envoy::start(Config::from(listener(config)).concurrency(4)).await.unwrap();
    let vms = Vms::of(&envoy).await;
    let client = envoy.http1();
    let statuses = burst(&client, 64, 1_000, |client, number| {
        let request = client.get("/").header("x-api-key", format!("guess-{number}"));
        let request = request.header("x-forwarded-for", "192.0.2.66");
        async move { anyhow::Ok(request.send().await?.status) }
    });
    let statuses = statuses.await.unwrap();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 10);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 990);
    // The right key gets no further from there; its owner elsewhere does not notice.
    let from = |address: &str| acme(envoy.get("/")).header("x-forwarded-for", address).send();
    let refused = from("192.0.2.66").await.unwrap();
    assert_eq!(refused.status, 429);
    assert!((300..=360).contains(&one(&refused, "retry-after").parse::<u64>().unwrap()));
    let passed = from("192.0.2.1").await.unwrap();
    assert_eq!((passed.status, left(&passed)), (200, vec![("l".to_owned(), 99)]));
    let lines = envoy.wait_for_access_log(1_002).await.unwrap();
    assert!(lines.contains(&"429 meshgate_failed_auth_limited".to_owned()));
    vms.assert_alive().await;
}
