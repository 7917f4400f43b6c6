//! `x-meshgate-trace`.

use meshgate_policy::digest::Digest;
use meshgate_test_host::{Message, Worker, World};
use serde_json::json;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::quota;
use crate::Gateway;

const FIELD: &str = "x-meshgate-trace";

fn worker() -> Worker<Gateway> {
    worker_of(&World::new())
}

fn worker_of(world: &World) -> Worker<Gateway> {
    Worker::new(
        world,
        json!({
            "pipeline": [
                {"api-key-quota": quota()},
                {"match": {"path": "/other"}, "dlp": {"rules": [{"find": "payment", "in": "response.body", "do": "mask"}]}},
                {"transform": {"rules": [{"request": [{"set": {"header": "x-a", "to": "1"}}]}]}}
            ],
            "trace": {"secret_sha256": Digest::of(b"open sesame").to_hex()}
        }),
    )
}

#[test]
fn who_knows_the_secret_learns_what_happened() {
    let request = Message::get("/").with("x-api-key", "demo").with(FIELD, "open sesame");
    let outcome = worker().run(&request, &Message::response(200));
    let trace = outcome.answer().head.get(FIELD).unwrap();
    assert_eq!(
        trace,
        "\"api-key-quota\";us=0;did=\"plan free, allowed\", \"dlp\";us=0;did=\"not for this request\", \
         \"transform\";us=0;did=\"request rules[0]\""
    );
    assert_eq!(outcome.forwarded().head.get(FIELD), None);
    assert!(!trace.contains("acme") && !trace.contains("demo"));
}

#[test]
fn refusals_are_traced_too() {
    let outcome = worker().run(&Message::get("/").with(FIELD, "open sesame"), &Message::response(200));
    assert_eq!(outcome.status(), 401);
    let trace = outcome.answer().head.get(FIELD).unwrap();
    assert!(trace.starts_with("\"api-key-quota\";us=0;did=\"answered 401 meshgate_key_missing\""), "{trace}");
}

#[test]
fn nobody_else_does_and_no_secret_passes() {
    for given in [vec!["wrong"], vec![""], vec!["open sesame", "open sesame"]] {
        let request = Message::get("/").with("x-api-key", "demo");
        let request = given.iter().fold(request, |request, secret| request.with(FIELD, secret));
        let outcome = worker().run(&request, &Message::response(200));
        assert_eq!(outcome.answer().head.get(FIELD), None, "{given:?}");
        assert_eq!(outcome.forwarded().head.get(FIELD), None, "{given:?}");
    }
    let request = Message::post("/", "x").with("x-api-key", "demo").with_trailer(FIELD, "open sesame");
    let outcome = worker().run(&request, &Message::response(200));
    assert_eq!(outcome.forwarded().trailers.as_ref().unwrap().get(FIELD), None);
}

#[test]
fn the_log_tells_more_and_whoever_sends_the_request() {
    let world = World::new();
    let worker = worker_of(&world);
    world.take_explanations();
    worker.run(&Message::get("/").with("x-api-key", "demo"), &Message::response(200));
    let told = world.take_explanations();
    let expected = [
        "api-key-quota: plan free",
        "api-key-quota: allowed",
        "dlp: not for this request",
        "transform: request rules[0]",
    ];
    let short: Vec<_> = told.iter().filter(|told| expected.contains(&told.as_str())).collect();
    assert_eq!(short, expected.iter().collect::<Vec<_>>(), "{told:?}");
    assert!(
        told.iter().any(|told| told.starts_with("api-key-quota: key ") && told.ends_with("acme")),
        "{told:?}"
    );
    assert!(!told.iter().any(|told| told.contains("demo")), "{told:?}");
}
