//! What a client may try to get around a stage.

use meshgate_policy::digest::Digest;
use meshgate_test_host::{Message, Worker, World};
use serde_json::json;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{json_response, pipeline, quota};
use crate::Gateway;

/// Keys for partners, a limit for what is public, and something that only partners get.
fn worker() -> Worker<Gateway> {
    pipeline(
        &World::new(),
        json!([
            {"name": "partners", "match": {"path": "/partners/{rest...}"}, "api-key-quota": quota()},
            {"name": "public", "match": {"path": "/public/{rest...}"}, "api-key-quota":
                {"plans": {"anybody": {}}, "consumers": [], "anonymous": {"plan": "anybody"}}},
            {"match": {"header": {"x-consumer-plan": "free"}}, "transform":
                {"rules": [{"request": [{"set": {"header": "x-route", "to": "partners"}}]}]}}
        ]),
    )
}

#[test]
fn nobody_says_who_he_is_where_no_stage_asks_for_a_key() {
    for target in ["/else", "/public/a"] {
        let request = Message::post(target, "body")
            .with("x-consumer-plan", "free")
            .with("x_consumer_name", "acme")
            .with_trailer("x-consumer-name", "acme");
        let outcome = worker().run(&request, &Message::response(200));
        let forwarded = outcome.forwarded();
        assert_ne!(forwarded.head.get("x-consumer-plan"), Some("free"), "{target}");
        for name in ["x_consumer_name", "x-route"] {
            assert_eq!(forwarded.head.get(name), None, "{target}");
        }
        assert_eq!(forwarded.trailers.as_ref().unwrap().get("x-consumer-name"), None, "{target}");
    }
    // What can't be removed does not pass.
    let request = Message::get("/else").with(&format!("x-consumer-{}", "a".repeat(256)), "1");
    assert_eq!(worker().run(&request, &Message::response(200)).status(), 400);
    // What the first stage says stays, whatever the second is for.
    let outcome =
        worker().run(&Message::get("/partners/a").with("x-api-key", "demo"), &Message::response(200));
    let head = &outcome.forwarded().head;
    assert_eq!((head.get("x-consumer-name"), head.get("x-route")), (Some("acme"), Some("partners")));
}

#[test]
fn a_path_that_not_all_servers_resolve_evades_no_key() {
    for target in ["/partners/a/../../else", "/partners/%2e%2e/else", "/else\\..\\..\\partners/a"] {
        let outcome = worker().run(&Message::get(target), &Message::response(200));
        assert_eq!((outcome.upstream, outcome.details), (None, Some("meshgate_path_ambiguous")), "{target}");
    }
}

#[test]
fn a_path_that_not_all_servers_resolve_is_looked_into() {
    let dlp = json!({"rules": [{"find": "payment", "in": "response.body", "do": "mask"}]});
    let worker = pipeline(&World::new(), json!([{"match": {"path": "/cards/{rest...}"}, "dlp": dlp}]));
    let response = json_response(r#"{"card": "4111-1111-1111-1111"}"#);
    for (target, passes) in [("/cards/a", false), ("/cards/a/../../else", false), ("/else", true)] {
        let outcome = worker.run(&Message::get(target), &response);
        assert_eq!(outcome.answer().text().contains("4111-1111"), passes, "{target}");
    }
}

#[test]
fn a_trace_of_somebody_else_does_not_pass() {
    let pipeline = json!([{"transform": {"rules": [{"request": [{"set": {"header": "x-a", "to": "1"}}]}]}}]);
    let trace = json!({"secret_sha256": Digest::of(b"open sesame").to_hex()});
    let worker: Worker<Gateway> = Worker::new(&World::new(), json!({"pipeline": pipeline, "trace": trace}));
    let response = Message::response(200).with("x-meshgate-trace", "theirs");
    let outcome = worker.run(&Message::get("/"), &response);
    assert_eq!(outcome.answer().head.get("x-meshgate-trace"), None);
    let asks = Message::get("/").with("x-meshgate-trace", "open sesame");
    let outcome = worker.run(&asks, &response);
    let lines: Vec<_> = outcome.answer().head.all("x-meshgate-trace").map(<[u8]>::to_vec).collect();
    assert!(lines.len() == 1 && lines[0].starts_with(b"\"transform\""), "{lines:?}");
}
