//! All policies together.

use meshgate_test_host::{Chunking, Message, Worker, World, chunkings, http_answer};
use serde_json::json;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{json_response, pipeline, quota};
use crate::Gateway;

fn all(world: &World) -> Worker<Gateway> {
    pipeline(
        world,
        json!([
            {"error-response": {}},
            {"api-key-quota": quota()},
            {"dlp": {"rules": [{"find": "payment", "in": "response.body", "do": {"mask": {"keep_last": 4}}}]}},
            {"transform": {"rules": [{"request": [{"set": {"header": "x-who", "to": "{{ consumer.name }} of {{ consumer.groups[0] }}"}}],
                "response": [{"remove": {"json": "/internal"}}]}]}}
        ]),
    )
}

#[test]
fn each_policy_does_its_part() {
    let world = World::new();
    let worker = all(&world);
    let body = r#"{"card": "4111-1111-1111-1111", "internal": {"host": "db-7"}, "price": 1.10}"#;
    let request = Message::get("/v1").with("x-api-key", "demo").with("accept", "application/json");
    let outcome = chunkings(body.as_bytes(), |chunking| {
        let worker = all(&World::new());
        worker.begin().run_chunked(&request, &Chunking::WHOLE, &json_response(body), chunking)
    });
    assert_eq!(outcome.answer().text(), r#"{"card": "****-****-****-1111", "price": 1.10}"#);
    assert_eq!(outcome.forwarded().head.get("x-who"), Some("acme of ops"));
    assert_eq!(outcome.forwarded().head.get("x-api-key"), None);

    for status in [200, 200, 429] {
        assert_eq!(worker.run(&request, &json_response(body)).status(), status);
    }
    let outcome = worker.run(&Message::get("/v1").with("accept", "text/html"), &json_response(body));
    assert_eq!(outcome.status(), 401);
    assert_eq!(outcome.upstream, None);
}

/// Stages do what they do without a request, each for itself.
#[test]
fn the_keys_of_a_stage_are_fetched() {
    let world = World::new();
    let mut configured = quota();
    let key = configured["consumers"][0]["keys"][0].clone();
    let line = json!({"id": "demo", "consumer": "somebody", "sha256": key["sha256"]});
    world.on_http("keys", move |_| http_answer(200, &[], format!("{line}\n")));
    configured["consumers"] = json!([]);
    configured["key_files"] =
        json!([{"name": "portal", "cluster": "keys", "path": "/", "identity": {"plan": "free"}}]);
    let worker = pipeline(&world, json!([{"error-response": {}}, {"api-key-quota": configured}]));
    let request = Message::get("/v1").with("x-api-key", "demo");
    assert_eq!(worker.run(&request, &Message::response(200)).status(), 503);
    assert!(worker.wake().is_some());
    let outcome = worker.run(&request, &Message::response(200));
    assert_eq!(outcome.forwarded().head.get("x-consumer-name"), Some("somebody"));
}

#[test]
fn stages_are_for_the_requests_that_they_match() {
    let world = World::new();
    let set = |name: &str| json!({"rules": [{"request": [{"set": {"header": name, "to": "1"}}]}]});
    let worker = pipeline(
        &world,
        json!([
            {"match": {"path": "/v1/{rest...}"}, "api-key-quota": quota()},
            {"name": "one", "match": {"path": "/v1/{rest...}"}, "transform": set("x-one")},
            {"name": "two", "match": {"header": {"x-one": {"present": true}}}, "transform": set("x-two")},
            {"name": "three", "match": {"path": "/v2/{rest...}"}, "transform": set("x-three")}
        ]),
    );
    let seen = |target: &str| {
        let outcome = worker.run(&Message::get(target).with("x-api-key", "demo"), &Message::response(200));
        let head = outcome.forwarded().head.clone();
        ["x-one", "x-two", "x-three", "x-api-key"].map(|name| head.get(name).is_some())
    };
    // What one stage passes on is what the next one sees.
    assert_eq!(seen("/v1/a"), [true, true, false, false]);
    assert_eq!(seen("/v2/a"), [false, false, true, true]);
    // A path that servers read in several ways evades no guard.
    let outcome = worker.run(&Message::get("/v1;x/a"), &Message::response(200));
    assert_eq!(outcome.status(), 401);
}

#[test]
fn stages_of_one_policy_count_apart() {
    let world = World::new();
    let worker = pipeline(
        &world,
        json!([
            {"api-key-quota": quota()},
            {"name": "partner", "match": {"path": "/partner"}, "api-key-quota": quota()}
        ]),
    );
    let get =
        |path| worker.run(&Message::get(path).with("x-api-key", "demo"), &Message::response(200)).status();
    // The key is hidden from the second: what one stage passes on is all that the next has.
    assert_eq!([get("/"), get("/partner")], [200, 401]);
    assert_eq!(world.metric("meshgate.quota.allowed"), 2);
    assert_eq!(world.metric("meshgate.stage.partner.quota.denied.key_missing"), 1);
    let keys =
        ["test%2Fapi-key-quota/acme", "test%2Fpartner/acme"].map(|key| format!("meshgate/quota/{key}"));
    assert_eq!(world.shared_keys(), keys);
}

#[test]
fn what_is_not_for_a_stage_is_not_read() {
    let world = World::new();
    let worker = all(&world);
    world.take_calls();
    let request = Message::get("/v1").with("x-api-key", "demo");
    let response = Message::response(200).with("content-type", "image/png").with_body("x".repeat(100_000));
    assert_eq!(worker.run(&request, &response).status(), 200);
    let calls = world.take_calls();
    assert!(!calls.iter().any(|call| call.starts_with("body") || call.starts_with("set_body")), "{calls:?}");
    assert_eq!(calls.iter().filter(|call| *call == "headers RequestHeaders").count(), 1, "{calls:?}");
    assert_eq!(calls.iter().filter(|call| *call == "headers ResponseHeaders").count(), 1, "{calls:?}");
}
