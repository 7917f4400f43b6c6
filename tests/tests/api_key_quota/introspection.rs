//! Tokens that only their authorization server can read, and those who make them up.

use std::time::{Duration, Instant};

use meshgate_e2e::{Config, Envoy, Reply, Upstream, Value, json};

use crate::support::*;
use crate::tokens::{assert_unavailable, call, get, until, with_all};

/// An Envoy with one worker, which asks a server about tokens. `changes` are to the document.
async fn asking(idp: &Upstream, changes: Value) -> Envoy {
    asking_within("1s", idp, changes).await
}

async fn asking_within(timeout: &str, idp: &Upstream, changes: Value) -> Envoy {
    let introspection = json!({
        "cluster": "idp", "path": "/introspect", "timeout": timeout, "identity": { "plan": "free" },
        "client": { "id": "gateway", "secret_env": "SECRET" },
    });
    let document =
        with(document(json!({ "free": {} }), &[("acme", "free")]), "/introspection", introspection);
    let variables = json!({ "key_values": { "SECRET": "s3cret" } });
    let wasm = quota(with_all(document, changes));
    let wasm = wasm.plugin(json!({ "vm_config": { "environment_variables": variables } }));
    let config = Config::from(wasm).cluster("idp", idp.addr());
    Envoy::start(config.concurrency(1)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn opaque_tokens_are_asked_about() {
    let idp = Upstream::start().await.unwrap();
    idp.respond_with(|request| {
        let active = request.body.as_ref() == b"token=good&token_type_hint=access_token";
        let said =
            if active { json!({ "active": true, "sub": "alice" }) } else { json!({ "active": false }) };
        Some(Reply::status(200).body(said.to_string()))
    });
    let envoy = asking(&idp, json!({})).await;
    let vms = Vms::of(&envoy).await;
    for _ in 0..5 {
        let response = get(&envoy, "good").send().await.unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.echo().header("x-consumer-name"), Some("alice"));
        assert_eq!(response.echo().header("authorization"), None);
        let response = get(&envoy, "bad").send().await.unwrap();
        assert_problem(&response, 401, "The token is not active. Get a new one.");
    }
    let asked = idp.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("authorization"), Some("Basic Z2F0ZXdheTpzM2NyZXQ="));
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));

    idp.respond(Reply::status(500));
    assert_unavailable(&call(&envoy, "another").await);
    let response = get(&envoy, "other").send().await.unwrap();
    assert_problem(&response, 503, "The token can't be checked at the moment. Send the request again later.");
    assert_eq!(get(&envoy, "good").send().await.unwrap().status, 200);
    assert!(!envoy.log().contains("s3cret"));
    vms.assert_alive().await;
}

/// One client makes up 300 tokens, about which the server never says anything: it is refused alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_made_up_tokens_is_the_affair_of_its_client() {
    let idp = Upstream::start().await.unwrap();
    idp.respond_with(|request| {
        let good = request.body.starts_with(b"token=good");
        let said = Reply::status(200).body(json!({ "active": true, "sub": "alice" }).to_string());
        Some(if good { said } else { said.delay(Duration::from_secs(30)) })
    });
    let envoy = asking(&idp, json!({ "client_ip": { "trusted_hops": 1 } })).await;
    let vms = Vms::of(&envoy).await;
    let from = |address: &str, token: &str| get(&envoy, token).header("x-forwarded-for", address);
    let client = envoy.http2();
    let flood = (0..300).map(|number| {
        let request = client.get("/").header("authorization", format!("Bearer random{number}"));
        tokio::spawn(request.header("x-forwarded-for", "192.0.2.1").send())
    });
    let flood: Vec<_> = flood.collect();
    let throttled = "wasmcustom.meshgate.quota.denied.token_throttled";
    envoy.wait_for_stat(throttled, |throttled| throttled == 292).await.unwrap();
    let begun = Instant::now();
    let response = from("192.0.2.2", "good").send().await.unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    let response = from("192.0.2.1", "good-2").send().await.unwrap();
    assert_problem(
        &response,
        429,
        "Too many tokens from this address are being checked. Wait before the next one.",
    );
    assert_eq!(response.header("retry-after"), Some("1"));
    // Also for whoever floods, what was answered is good.
    assert_eq!(from("192.0.2.1", "good").send().await.unwrap().status, 200);
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());

    let mut statuses = Vec::new();
    for response in flood {
        statuses.push(response.await.unwrap().unwrap().status);
    }
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(429), count(503)), (292, 8), "{statuses:?}");

    // The server did not answer eight times, and so is not asked: the answer comes at once.
    let begun = Instant::now();
    assert_eq!(from("192.0.2.2", "random").send().await.unwrap().status, 503);
    assert_eq!(from("192.0.2.2", "good").send().await.unwrap().status, 200);
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(envoy.stat("wasmcustom.meshgate.quota.introspection.not_asked").await.unwrap(), 1);
    // It is tried again.
    until(|| async { from("192.0.2.2", "good-3").send().await.unwrap().status == 200 }).await;
    assert!(envoy.log().contains("nothing is asked for 1 s"), "{}", envoy.log());
    assert!(!envoy.log().contains("random"));
    vms.assert_alive().await;
}

/// 300 clients make up a token each: those of whom a token was good go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_leaves_room_for_others() {
    let idp = Upstream::start().await.unwrap();
    idp.respond_with(|request| {
        let good = request.body.starts_with(b"token=good");
        let said = Reply::status(200).body(json!({ "active": true, "sub": "alice" }).to_string());
        Some(if good { said } else { said.delay(Duration::from_secs(60)) })
    });
    let changes = json!({ "client_ip": { "trusted_hops": 1 } });
    let envoy = asking_within("60s", &idp, changes).await;
    let from = |address: String, token: &str| {
        let request = envoy.http2().get("/").header("authorization", format!("Bearer {token}"));
        request.header("x-forwarded-for", address).send()
    };
    let (known, stranger) = ("192.0.2.1".to_owned(), "192.0.2.2".to_owned());
    assert_eq!(from(known.clone(), "good").await.unwrap().status, 200);
    let flood: Vec<_> = (0..300)
        .map(|number| {
            let address = format!("198.51.{}.{}", number / 100, number % 100);
            tokio::spawn(from(address, &format!("random{number}")))
        })
        .collect();
    let stat = |name: &str| format!("wasmcustom.meshgate.quota.introspection.{name}");
    envoy.wait_for_stat(&stat("not_asked"), |count| count == 108).await.unwrap();
    assert_eq!(envoy.stat(&stat("asked")).await.unwrap(), 193);
    assert_eq!(from(known, "good-2").await.unwrap().status, 200);
    let refused = from(stranger, "good-3").await.unwrap();
    assert_problem(&refused, 503, "The token can't be checked at the moment. Send the request again later.");
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}
