//! Maintenance: when, for whom, and what is said.

use std::time::Duration;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn send(world: &World, maintenance: Value, request: &Message) -> Outcome {
    let document = json!({ "maintenance": maintenance });
    Worker::<Errors>::new(world, document).run(request, &Message::response(200))
}

#[test]
fn it_is_always_for_all_where_nothing_else_is_said() {
    let world = World::new();
    let outcome = send(&world, json!({}), &Message::get("/"));
    assert_eq!((outcome.status(), outcome.details), (503, Some("meshgate_maintenance")));
    assert_eq!(problem(&outcome)["type"], "urn:meshgate:problem:maintenance");
    assert_eq!(outcome.answer().head.get("retry-after"), None);
    assert_eq!(world.metric("meshgate.errors.maintenance"), 1);
}

#[test]
fn it_ends_when_it_says() {
    // The world begins on Thursday, 2026-01-01, at midnight.
    let planned = json!([
        {"from": "2026-01-01T01:00:00Z", "until": "2026-01-01T03:00:00+01:00", "match": {"path": {"prefix": "/v1"}}},
        {"weekly": {"days": ["thu", "fri"], "from": "12:00", "until": "12:30"}, "respond": {"retry_after": "5m", "status": 500}},
    ]);
    let world = World::new();
    let at = |minutes: u64, target: &str| {
        let later = World::new();
        later.advance(Duration::from_secs(60 * minutes));
        let outcome = send(&later, planned.clone(), &Message::get(target));
        let retry = outcome.answer().head.get("retry-after").map(str::to_owned);
        (outcome.status(), retry)
    };
    drop(world);
    for (minutes, target, status, retry) in [
        (0, "/v1/a", 200, None),
        (60, "/v1/a", 503, Some("3600")),
        (60, "/v2", 200, None),
        (119, "/v1/a", 503, Some("60")),
        (120, "/v1/a", 200, None),
        (12 * 60, "/", 500, Some("300")),
        (12 * 60 + 30, "/", 200, None),
        (36 * 60, "/", 500, Some("300")),
        (60 * 60, "/", 200, None),
    ] {
        assert_eq!(at(minutes, target), (status, retry.map(str::to_owned)), "{minutes} {target}");
    }
}

#[test]
fn who_is_allowed_passes() {
    let maintenance = json!({
        "allow": [{"header": {"x-tester": "yes-please"}}, {"cookie": {"preview": "1"}}, {"path": "/health"}],
        "allow_sources": ["10.1.0.0/16", "2001:db8::1"],
    });
    let get = |target: &str| Message::get(target);
    for (request, source, status) in [
        (get("/"), "", 503),
        (get("/").with("x-tester", "yes-please"), "", 200),
        (get("/").with("x-tester", "no-thanks"), "", 503),
        (get("/").with("x-tester", "yes-please").with("x-tester", "other"), "", 503),
        (get("/").with("cookie", "a=b; preview=1"), "", 200),
        (get("/health"), "", 200),
        (get("/health;x"), "", 503),
        (get("/%2fhealth"), "", 503),
        (get("/"), "10.1.2.3:5", 200),
        (get("/"), "10.2.2.3:5", 503),
        (get("/"), "[2001:db8::1]:5", 200),
    ] {
        let world = World::new();
        world.set_property(&["source", "address"], source);
        assert_eq!(send(&world, maintenance.clone(), &request).status(), status, "{request:?} {source}");
    }
}
