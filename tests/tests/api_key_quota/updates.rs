//! New configurations while Envoy runs: what they change at once, what they keep, and that wrong ones change nothing.

use meshgate_e2e::{Config, Envoy, Listener, Value, Wasm, json};

use crate::support::*;

/// `acme` has one limit, named `l`.
fn one_limit(mut limit: Value) -> Value {
    limit["name"] = json!("l");
    limited(json!([limit]))
}

async fn start(document: Value) -> Envoy {
    Envoy::start(Config::from(listener(document)).file_lds().concurrency(2)).await.unwrap()
}

async fn update(envoy: &mut Envoy, document: Value) {
    envoy.update_listener(listener(document)).await.unwrap();
}

/// The status of a request of `acme`, and what is left of its limits.
async fn send(envoy: &Envoy) -> (u16, Vec<u64>) {
    let response = envoy.get("/").header("x-api-key", "acme-key").send().await.unwrap();
    let limits = response.header("ratelimit").map(|_| left(&response)).unwrap_or_default();
    (response.status, limits.into_iter().map(|(_, left)| left).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_update_is_rejected_and_the_old_configuration_serves_on() {
    let mut envoy = start(one_limit(json!({ "quota": "5/year" }))).await;
    assert_eq!(send(&envoy).await, (200, vec![4]));
    let active = envoy.stat("wasm.envoy.wasm.runtime.v8.active").await.unwrap();
    for (wrong, left) in [("5/yaer", 3), ("five/year", 2)] {
        let log = envoy.update_refused(listener(one_limit(json!({ "quota": wrong })))).await.unwrap();
        assert!(log.contains(&format!("plans.plan.limits[0].quota: found \"{wrong}\"")), "{log}");
        assert_eq!(send(&envoy).await, (200, vec![left]));
    }
    let rejected = envoy.stat("listener_manager.lds.update_rejected").await.unwrap();
    assert_eq!((rejected, envoy.stat("wasmcustom.meshgate.quota.allowed").await.unwrap()), (2, 3));
    envoy.wait_for_stat("wasm.envoy.wasm.runtime.v8.active", |now| now == active).await.unwrap();
    // What comes after is taken.
    update(&mut envoy, one_limit(json!({ "quota": "10/year" }))).await;
    assert_eq!(send(&envoy).await, (200, vec![6]));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_plan_applies_at_once_and_keeps_the_usage() {
    let limits = |quota: &str| json!({ "limits": [{ "name": "l", "quota": quota }] });
    let plans = json!({ "small": limits("3/year"), "large": limits("30/year"), "other": { "limits": [{ "name": "m", "rate": "7/d" }] } });
    let of = |plan: &str| document(plans.clone(), &[("acme", plan)]);
    let mut envoy = start(of("small")).await;
    for (status, left) in [(200, 2), (200, 1), (200, 0), (429, 0)] {
        assert_eq!(send(&envoy).await, (status, vec![left]));
    }
    update(&mut envoy, of("large")).await;
    assert_eq!(send(&envoy).await, (200, vec![26]));
    // Without the limit its usage waits.
    update(&mut envoy, of("other")).await;
    assert_eq!(send(&envoy).await, (200, vec![6]));
    update(&mut envoy, of("large")).await;
    assert_eq!(send(&envoy).await, (200, vec![25]));
    update(&mut envoy, of("small")).await;
    assert_eq!(send(&envoy).await, (429, vec![0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_numbers_apply_at_once_and_another_kind_counts_apart() {
    let mut envoy = start(one_limit(json!({ "rate": "4/d" }))).await;
    assert_eq!(send(&envoy).await, (200, vec![3]));
    assert_eq!(send(&envoy).await, (200, vec![2]));
    for (limit, left) in [
        (json!({ "rate": "4/d", "burst": 10 }), 7),
        (json!({ "rate": "8/d" }), 4),
        (json!({ "quota": "4/year" }), 3),
        (json!({ "quota": "40/year" }), 38),
        // As it was left.
        (json!({ "rate": "8/d" }), 3),
    ] {
        update(&mut envoy, one_limit(limit.clone())).await;
        assert_eq!(send(&envoy).await, (200, vec![left]), "{limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_consumers_change_at_once() {
    let plans = json!({ "plan": { "limits": [{ "name": "l", "quota": "9/year" }] } });
    let before = document(plans.clone(), &[("acme", "plan")]);
    let mut envoy = start(before.clone()).await;
    assert_eq!(send(&envoy).await, (200, vec![8]));
    // A new key counts for the same consumer, and the old one is good for nothing.
    update(&mut envoy, with(before.clone(), "/consumers/0/keys/0/sha256", json!(sha256("new-key")))).await;
    assert_eq!(send(&envoy).await, (401, vec![]));
    let response = envoy.get("/").header("x-api-key", "new-key").send().await.unwrap();
    assert_eq!(left(&response)[0].1, 7);
    update(&mut envoy, with(before.clone(), "/consumers/0/disabled", json!(true))).await;
    assert_eq!(send(&envoy).await, (403, vec![]));
    update(&mut envoy, document(plans, &[("other", "plan")])).await;
    assert_eq!(send(&envoy).await, (401, vec![]));
    update(&mut envoy, before).await;
    assert_eq!(send(&envoy).await, (200, vec![6]));
}

/// As documents come through Envoy's and Istio's own conversions: sorted keys, and integers as doubles.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_what_it_says_however_it_is_written() {
    let digest = sha256("acme-key");
    let mut envoy = start(limited(json!([]))).await;
    for number in ["3", "3.0", "3e0", "3e+0", "0.3e1", "30e-1", "3.000E+00"] {
        let text = format!(
            r#"{{"consumers":[{{"keys":[{{"id":"acme-1","sha256":"{digest}"}}],"name":"acme","plan":"plan"}}],
                "plans":{{"plan":{{"limits":[{{"burst":{number},"name":"{number}","rate":"1/year"}}]}}}}}}"#
        );
        let filter = Wasm::module(MODULE).config_text(&text);
        envoy.update_listener(Listener::new().filter(filter)).await.unwrap();
        let response = envoy.get("/").header("x-api-key", "acme-key").send().await.unwrap();
        assert_eq!(left(&response), [(number.to_owned(), 2)]);
        assert_eq!(parse(one(&response, "ratelimit-policy"))[0].1["q"], 3);
    }
    // A protobuf Struct has nothing but doubles.
    let filter =
        Wasm::module(MODULE).config_struct(one_limit(json!({ "rate": "1/year", "burst": 1_000_000 })));
    envoy.update_listener(Listener::new().filter(filter)).await.unwrap();
    assert_eq!(send(&envoy).await, (200, vec![999_999]));
}

/// Requests that the upstream has not answered yet are answered under the configuration that they came under.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_ends_as_it_began() {
    let mut envoy = start(one_limit(json!({ "quota": "5/year" }))).await;
    let slow = envoy.get("/").header("x-api-key", "acme-key").upstream(json!({ "delay_ms": 500 }));
    let slow = tokio::spawn(slow.send());
    envoy.wait_for_stat("cluster.upstream.upstream_rq_active", |active| active == 1).await.unwrap();
    update(&mut envoy, one_limit(json!({ "quota": "50/year" }))).await;
    assert_eq!(send(&envoy).await, (200, vec![48]));
    let response = slow.await.unwrap().unwrap();
    assert_eq!((response.status, left(&response)[0].1), (200, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_begins_at_zero() {
    for _ in 0..2 {
        let envoy = Envoy::start(listener(one_limit(json!({ "quota": "5/year" })))).await.unwrap();
        assert_eq!(send(&envoy).await, (200, vec![4]));
    }
}
