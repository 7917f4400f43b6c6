//! What the page shows of keys, headers and usage is what the policy takes and gives.

use std::time::Duration;

use meshgate_policy::host::Timestamp;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::documents::DOCUMENTS;
use super::*;

/// The block of the page that begins with this line.
fn shown(fence: &str) -> &'static str {
    let [block] = DOCUMENTS.blocks(fence)[..] else { panic!("one block {fence}") };
    block
}

fn one_consumer(limits: Value) -> Value {
    json!({
        "plans": {"free": {"limits": limits}},
        "consumers": [
            {"name": "alice", "plan": "free", "keys": [{"id": "alice-1", "sha256": sha256(b"alice-key")}]},
        ],
    })
}

/// The world at some seconds before December 2026.
fn before_december(seconds: u64) -> World {
    let world = World::new();
    world.advance_to(Timestamp::from_nanos(1_796_083_200_000_000_000));
    world.turn_back(Duration::from_secs(seconds));
    world
}

#[test]
fn the_key_has_the_checksum_that_the_page_describes() {
    let key = shown("```text key").trim();
    let mut document = one_consumer(json!([]));
    document["key_format"] = json!({"prefix": "mg"});
    document["consumers"][0]["keys"][0]["sha256"] = json!(sha256(key.as_bytes()));
    let worker = load(&document).unwrap();
    assert_eq!(send(&worker, &get("/", key)).status(), 200);
    let mistyped = key.replacen('0', "1", 1);
    assert_eq!(send(&worker, &get("/", &mistyped)).details, Some("meshgate_key_malformed"));
}

#[test]
fn responses_have_the_headers_of_the_page() {
    let world = before_december(864_000);
    let limits = json!([
        {"name": "burst", "rate": "5/s", "burst": 10},
        {"name": "monthly", "quota": "10000/month"},
    ]);
    let worker = Worker::<Quota>::new(&world, one_consumer(limits));
    let answer = send(&worker, &get("/", "alice-key"));
    let field = |name: &str| format!("{name}: {}", answer.answer().head.get(name).unwrap_or_default());
    assert_eq!([field("ratelimit-policy"), field("ratelimit")].join("\n"), shown("```text headers"));
}

#[test]
fn a_limit_that_is_nearly_used_up_is_told_as_on_the_page() {
    let mut document = one_consumer(json!([{"name": "monthly", "quota": "10/month"}]));
    document["near_limit"] = json!({"at": ["80%", "95%"]});
    let worker = load(&document).unwrap();
    let mut told = Vec::new();
    for _ in 0..8 {
        let answer = send(&worker, &get("/", "alice-key"));
        told.push(
            answer.answer().head.get("x-ratelimit-near").map(|near| format!("x-ratelimit-near: {near}")),
        );
    }
    let last = told.pop().flatten();
    assert_eq!(last.as_deref(), Some(shown("```text near")));
    assert!(told.iter().all(Option::is_none), "{told:?}");
}

#[test]
fn usage_is_told_as_on_the_page() {
    let world = before_december(831_849);
    let limits = json!([
        {"name": "burst", "rate": "5/s", "burst": 10},
        {"name": "monthly", "quota": "10000/month"},
    ]);
    let mut document = one_consumer(limits);
    document["usage_endpoint"] = json!({"path": "/.well-known/usage"});
    let worker = Worker::<Quota>::new(&world, document);
    for _ in 0..249 {
        assert_eq!(send(&worker, &get("/", "alice-key")).status(), 200);
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(send(&worker, &get("/", "alice-key")).status(), 200);
    let usage = send(&worker, &get("/.well-known/usage", "alice-key"));
    let told: Value = serde_json::from_slice(&usage.answer().body).unwrap();
    assert_eq!(told, serde_json::from_str::<Value>(shown("```json usage")).unwrap());
}
