//! What callers read at the usage endpoint.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn with_usage_endpoint() -> Value {
    with([
        ("/usage_endpoint", json!({"path": "/.well-known/usage"})),
        ("/match", json!({"path": {"prefix": "/v1"}})),
    ])
}

/// The document that the usage endpoint answers with.
fn usage(outcome: &Outcome) -> Value {
    let head = &outcome.answer().head;
    assert_eq!((outcome.status(), outcome.details), (200, Some("meshgate_usage")));
    let fields = ["content-type", "cache-control", "ratelimit"].map(|name| head.get(name));
    assert_eq!(fields, [Some("application/json"), Some("no-store"), None]);
    assert_eq!(outcome.upstream, None);
    serde_json::from_slice(&outcome.answer().body).unwrap()
}

#[test]
fn callers_read_what_they_have_used_at_no_cost() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, with_usage_endpoint());
    let midnight = "2026-01-02T00:00:00Z";
    let daily = |used: u64| json!({"name": "daily", "limit": 12, "used": used, "remaining": 12 - used, "window": 86_400, "reset": 86_400, "reset_at": midnight});
    let burst = |used: u64, reset: Value, at: Value| json!({"name": "burst", "limit": 10, "used": used, "remaining": 10 - used, "window": 2, "reset": reset, "reset_at": at});
    for _ in 0..3 {
        let outcome = send(&worker, &get("/.well-known/usage", "key-1"));
        let limits = json!([burst(0, json!(null), json!(null)), daily(0)]);
        assert_eq!(usage(&outcome), json!({"consumer": "acme", "plan": "free", "limits": limits}));
    }
    assert_eq!(send(&worker, &get("/v1", "key-1")).status(), 200);
    assert_eq!(send(&worker, &get("/v1", "key-2")).status(), 200);
    let document = usage(&send(&worker, &get("/.well-known/usage?a=1", "key-2")));
    assert_eq!(document["limits"], json!([burst(2, json!(1), json!("2026-01-01T00:00:01Z")), daily(2)]));
    // Not even one who is over a limit is kept from it.
    for _ in 0..10 {
        send(&worker, &get("/v1", "key-1"));
    }
    let document = usage(&send(&worker, &get("/.well-known/usage", "key-1")));
    assert_eq!(document["limits"][0], burst(10, json!(1), json!("2026-01-01T00:00:01Z")));
    let document = usage(&send(&worker, &get("/.well-known/usage", "key-4")));
    assert_eq!(document, json!({"consumer": "guest/1", "plan": "endless", "limits": []}));
    assert_eq!(world.metric("meshgate.quota.usage_requests"), 6);
}

#[test]
fn the_members_of_the_usage_stand_in_their_order() {
    let worker = load(&with_usage_endpoint()).unwrap();
    let outcome = send(&worker, &get("/.well-known/usage", "key-1"));
    let first = r#"{"consumer":"acme","plan":"free","limits":[{"name":"burst","limit":10,"used":0,"remaining":10,"window":2,"reset":null,"reset_at":null},"#;
    assert!(outcome.answer().text().starts_with(first), "{}", outcome.answer().text());
}

#[test]
fn the_usage_endpoint_is_for_those_who_may_know_and_never_the_upstreams() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, with_usage_endpoint());
    let path = "/.well-known/usage";
    for (request, status, details) in [
        (Message::get(path), 401, "meshgate_key_missing"),
        (get(path, "other"), 401, "meshgate_key_invalid"),
        (get(path, "key-3"), 403, "meshgate_consumer_disabled"),
        (Message::request("HEAD", path).with("x-api-key", "key-1"), 200, "meshgate_usage"),
        (Message::request("POST", path).with("x-api-key", "key-1"), 405, "meshgate_method_not_allowed"),
        (Message::request("get", path).with("x-api-key", "key-1"), 405, "meshgate_method_not_allowed"),
        (Message::request("OPTIONS", path), 401, "meshgate_key_missing"),
        // However it is written.
        (get("/.well-known/%75sage", "key-1"), 200, "meshgate_usage"),
        (get("/%2ewell-known/usage?", "key-1"), 200, "meshgate_usage"),
        // Or read.
        (get("/.well-known/usage;x", "key-1"), 200, "meshgate_usage"),
        (get("/.well-known%2Fusage", "key-1"), 200, "meshgate_usage"),
        (get("/.well-known/usage%3b", "other"), 401, "meshgate_key_invalid"),
    ] {
        let outcome = send(&worker, &request);
        assert_eq!((outcome.status(), outcome.details), (status, Some(details)), "{request:?}");
        assert_eq!(outcome.upstream, None, "{request:?}");
        let allow = (status == 405).then_some("GET, HEAD");
        assert_eq!(outcome.answer().head.get("allow"), allow, "{request:?}");
    }
    let elsewhere = send(&worker, &Message::get("/.well-known/usage/1"));
    assert_eq!((elsewhere.status(), elsewhere.upstream.is_some()), (200, true));
}

#[test]
fn a_usage_endpoint_that_is_no_path_is_refused() {
    for path in ["usage", "", "/usage?a", "/usage#a", "/a b", "/a/../b", "/\u{e9}"] {
        let refused = load(&with([("/usage_endpoint", json!({"path": path}))])).unwrap_err();
        assert!(refused.to_string().starts_with("usage_endpoint.path: found "), "{refused}");
    }
}

/// A limit that counts apart is told as it stands for the request.
#[test]
fn what_is_counted_apart_is_told_apart() {
    let limits = json!([{"name": "tenant", "quota": "9/d", "per": {"header": "x-tenant"}}]);
    let endpoint = ("/usage_endpoint", json!({"path": "/usage"}));
    let worker = load(&with([("/plans/free/limits", limits), endpoint])).unwrap();
    let get = |path: &str, tenant: &str| get(path, "key-1").with("x-tenant", tenant);
    for _ in 0..3 {
        send(&worker, &get("/", "a"));
    }
    for (tenant, used) in [("a", 3), ("b", 0)] {
        let document = usage(&send(&worker, &get("/usage", tenant)));
        assert_eq!(document["limits"][0]["used"], used, "{tenant}");
    }
}

/// Who sends no credentials has a usage, too, where that is configured.
#[test]
fn the_anonymous_consumer_reads_its_own() {
    let anonymous = ("/anonymous", json!({"plan": "free"}));
    let worker = load(&with([anonymous, ("/usage_endpoint", json!({"path": "/usage"}))])).unwrap();
    send(&worker, &Message::get("/"));
    let document = usage(&send(&worker, &Message::get("/usage")));
    assert_eq!((&document["consumer"], &document["limits"][0]["used"]), (&json!("anonymous"), &json!(1)));
}

/// A browser asks there as well before it sends a key; the answer is not the filter's.
#[test]
fn preflight_requests_pass_at_the_usage_endpoint() {
    let preflight = || {
        let request = Message::request("OPTIONS", "/.well-known/usage").with("origin", "https://app.example");
        request.with("access-control-request-method", "GET")
    };
    let worker = load(&with_usage_endpoint()).unwrap();
    let outcome = send(&worker, &preflight());
    assert_eq!((outcome.status(), outcome.details), (200, None));
    assert_eq!(send(&worker, &preflight().with_body("x")).details, Some("meshgate_key_missing"));
    let mut document = with_usage_endpoint();
    document["preflight"] = json!("guard");
    let worker = load(&document).unwrap();
    assert_eq!(send(&worker, &preflight()).details, Some("meshgate_key_missing"));
    let outcome = send(&worker, &preflight().with("x-api-key", "key-1"));
    assert_eq!((outcome.status(), outcome.upstream), (405, None));
}
