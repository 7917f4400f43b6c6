//! Who gets in, and what upstream and client are told.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use meshgate_test_tokens::Signer;

use super::tokens::{bearer, claims, issued_by};
use super::*;

/// A worker that looks in all kinds of places.
fn everywhere(world: &World) -> Worker<Quota> {
    let places = json!([
        {"header": "X-API-Key"},
        {"header": "authorization", "scheme": "ApiKey"},
        {"query": "api_key"},
    ]);
    Worker::new(world, with([("/keys_from", places)]))
}

fn refused(outcome: &Outcome, status: u16, details: &str) {
    assert_eq!((outcome.status(), outcome.details), (status, Some(details)), "{outcome:?}");
    assert_eq!(outcome.upstream, None);
    let challenge = outcome.answer().head.get("www-authenticate");
    assert_eq!(challenge, (status == 401).then_some("ApiKey realm=\"meshgate\""));
    problem(outcome);
}

fn names_and_values(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn a_key_in_any_place_is_a_key_and_does_not_reach_the_upstream() {
    let world = World::new();
    let worker = everywhere(&world);
    let identity =
        [("x-consumer-name", "acme"), ("x-consumer-plan", "free"), ("x-consumer-key-id", "acme-1")];
    for (request, target, others) in [
        (get("/a?b=%2e&b", "key-1"), "/a?b=%2e&b", &[][..]),
        (Message::get("/a").with("authorization", "apikey  key-1"), "/a", &[]),
        (
            Message::get("/a").with("authorization", "Basic eA==").with("authorization", "ApiKey key-1"),
            "/a",
            &[("authorization", "Basic eA==")],
        ),
        (Message::get("/a?x=%20&&api%5Fkey=key%2D1&y=+"), "/a?x=%20&&y=+", &[]),
        (Message::get("/a?api_key=key-1").with("accept", "*/*"), "/a", &[("accept", "*/*")]),
    ] {
        let outcome = send(&worker, &request);
        assert_eq!(outcome.status(), 200, "{request:?}");
        let expected: Vec<_> = others.iter().chain(&identity).copied().collect();
        assert_eq!(names_and_values(&fields(outcome.forwarded())), expected);
        assert_eq!(outcome.forwarded().head.get(":path"), Some(target));
    }
    assert_eq!(world.metric("meshgate.quota.allowed"), 5);
}

#[test]
fn credentials_are_kept_where_that_is_configured() {
    let changes = [("/hide_credentials", json!(false)), ("/keys_from", json!({"query": "k"}))];
    let worker = Worker::<Quota>::new(&World::new(), with(changes));
    let outcome = send(&worker, &Message::get("/?k=key-2"));
    assert_eq!(outcome.forwarded().head.get(":path"), Some("/?k=key-2"));
    assert_eq!(outcome.forwarded().head.get("x-consumer-key-id"), Some("acme-2"));
}

#[test]
fn without_a_key_clients_are_told_where_to_put_one() {
    let world = World::new();
    let worker = everywhere(&world);
    for request in [
        Message::get("/"),
        Message::get("/?API_KEY=key-1"),
        Message::get("/").with("authorization", "Bearer key-1"),
        Message::request("OPTIONS", "/").with("x-api-keys", "key-1"),
    ] {
        let outcome = send(&worker, &request);
        refused(&outcome, 401, "meshgate_key_missing");
        assert_eq!(
            problem(&outcome)["detail"],
            "This request needs an API key. Send it in the header x-api-key or the header authorization as \"ApiKey <key>\" \
             or the query parameter api_key."
        );
    }
    assert_eq!(world.metric("meshgate.quota.denied.key_missing"), 4);
}

#[test]
fn keys_that_nobody_has_all_get_the_same_answer() {
    let world = World::new();
    let worker = everywhere(&world);
    let every_byte: Vec<u8> = (0x80..=0xff).collect();
    let requests = [
        get("/", "key-5"),
        get("/", ""),
        get("/", "key-1 "),
        get("/", &"k".repeat(1_024)),
        get("/", &"k".repeat(60_000)),
        get("/", &sha256(b"key-1")),
        Message::get("/").with("x-api-key", every_byte),
        Message::get("/").with("authorization", "ApiKey"),
        Message::get("/?api_key=%00"),
        Message::get("/?api_key=%zz%"),
        Message::get("/?api_key"),
    ];
    let first = send(&worker, &requests[0]);
    assert!(!first.answer().text().contains("key-5"));
    for request in &requests {
        let outcome = send(&worker, request);
        refused(&outcome, 401, "meshgate_key_invalid");
        assert_eq!(outcome.answer(), first.answer());
    }
    assert_eq!(world.metric("meshgate.quota.denied.key_invalid"), 12);
}

#[test]
fn more_than_one_key_is_refused_even_if_they_are_equal() {
    let world = World::new();
    let worker = everywhere(&world);
    for request in [
        get("/", "key-1").with("x-api-key", "key-1"),
        get("/", "").with("x-api-key", "key-1"),
        get("/", "key-1").with("authorization", "ApiKey key-1"),
        get("/?api_key=", "key-1"),
        Message::get("/?api_key=key-1&api%5fkey=key-1"),
    ] {
        let outcome = send(&worker, &request);
        refused(&outcome, 400, "meshgate_key_repeated");
        assert!(!outcome.answer().text().contains("key-1"));
    }
    assert_eq!(world.metric("meshgate.quota.denied.key_repeated"), 5);
}

#[test]
fn a_disabled_consumer_is_refused_and_nothing_is_counted() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document());
    let before = world.shared("meshgate/quota/test/dormant");
    refused(&send(&worker, &get("/", "key-3")), 403, "meshgate_consumer_disabled");
    assert_eq!(world.shared("meshgate/quota/test/dormant"), before);
    assert_eq!(world.metric("meshgate.quota.denied.consumer_disabled"), 1);
}

#[test]
fn a_plan_covers_what_it_allows() {
    let world = World::new();
    let allow = json!([{"method": "GET", "path": {"prefix": "/v1"}}, {"path": "/status"}]);
    let worker = Worker::<Quota>::new(&world, with([("/plans/free/allow", allow)]));
    for (method, target, status) in
        [("GET", "/v1/a", 200), ("POST", "/v1/a", 403), ("GET", "/v10", 403), ("POST", "/status", 200)]
    {
        let request = Message::request(method, target).with("x-api-key", "key-1");
        let outcome = send(&worker, &request);
        assert_eq!(outcome.status(), status, "{method} {target}");
        if status == 403 {
            refused(&outcome, 403, "meshgate_plan_forbids");
        }
    }
    assert_eq!(world.metric("meshgate.quota.denied.plan_forbids"), 2);
}

#[test]
fn nobody_gets_in_where_there_are_no_consumers() {
    let worker = load(&with([("/consumers", json!([]))])).unwrap();
    refused(&send(&worker, &get("/", "key-1")), 401, "meshgate_key_invalid");
}

#[test]
fn what_is_not_guarded_passes_without_a_key_and_without_an_identity() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, with([("/match", json!({"path": {"prefix": "/v1"}}))]));
    let request = Message::get("/health").with("x-api-key", "any").with("x-consumer-name", "root");
    let outcome = send(&worker, &request);
    assert_eq!(fields(outcome.forwarded()), []);
    assert_eq!(fields(outcome.answer()), []);
    assert_eq!(send(&worker, &Message::get("/v1")).status(), 401);
    assert_eq!(world.metric("meshgate.quota.unguarded"), 1);
}

#[test]
fn an_identity_that_the_client_claims_never_reaches_the_upstream() {
    let worker = load(&with([("/match", json!({"path": "/guarded"}))])).unwrap();
    for target in ["/guarded", "/open"] {
        let request = get(target, "key-1")
            .with("x-consumer-name", "root")
            .with("x-consumer-name", "root")
            .with("X-Consumer-Groups", "admin")
            .with("x_consumer_plan", "gold")
            .with("x-consumer_key-id", "root-1")
            .with("x-consumers", "2");
        let outcome = send(&worker, &request);
        let mut seen = fields(outcome.forwarded());
        seen.retain(|(name, _)| name.contains("consumer"));
        let ours =
            [("x-consumer-name", "acme"), ("x-consumer-plan", "free"), ("x-consumer-key-id", "acme-1")];
        let expected: Vec<_> = [("x-consumers", "2")].into_iter().chain(ours).collect();
        assert_eq!(names_and_values(&seen), if target == "/open" { &expected[..1] } else { &expected });
    }
}

#[test]
fn an_identity_header_that_cannot_be_removed_is_refused() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, with([("/match", json!({"path": "/guarded"}))]));
    let name = format!("x-consumer-{}", "a".repeat(300));
    for target in ["/guarded", "/open"] {
        refused(&send(&worker, &get(target, "key-1").with(&name, "")), 400, "meshgate_header_invalid");
    }
    assert_eq!(world.metric("meshgate.quota.denied.header_invalid"), 2);
}

#[test]
fn access_logs_can_read_the_identity_where_that_is_configured() {
    let worker = load(&with([("/filter_state", json!(true))])).unwrap();
    let outcome = send(&worker, &get("/", "key-2"));
    let state: Vec<_> =
        outcome.filter_state.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
    let expected: [(&str, &[u8]); 4] = [
        ("meshgate.consumer", b"acme"),
        ("meshgate.key_id", b"acme-2"),
        ("meshgate.plan", b"free"),
        ("meshgate.remaining", b"9"),
    ];
    assert_eq!(state, expected);
    // Those who are refused too, once it is known who they are: key-3 is of a consumer that is disabled.
    let outcome = send(&worker, &get("/", "key-3"));
    assert_eq!((outcome.status(), outcome.filter_state.len()), (403, 3));
    assert_eq!(send(&worker, &get("/", "key-5")).filter_state.len(), 0);
    assert_eq!(send(&load(&document()).unwrap(), &get("/", "key-2")).filter_state.len(), 0);
}

/// Of a token they learn which key of the issuer has signed it, if it says so; nobody else does.
#[test]
fn access_logs_can_read_which_key_has_signed_a_token() {
    let long = "k".repeat(129);
    for (key_id, expected) in [
        (Some("2026-11"), Some(&b"2026-11"[..])),
        (None, None),
        // What no key of the configuration could be called.
        (Some(long.as_str()), None),
        (Some("a\nb"), None),
    ] {
        let signer = Signer::new("EdDSA").key_id(key_id);
        let mut document = issued_by([&signer]);
        document["filter_state"] = json!(true);
        let outcome = send(&load(&document).unwrap(), &bearer(&signer.sign(&claims())));
        assert_eq!(outcome.status(), 200, "{key_id:?}: {outcome:?}");
        assert_eq!(outcome.filter_state.get("meshgate.key_id").map(Vec::as_slice), expected, "{key_id:?}");
        assert_eq!(outcome.filter_state.get("meshgate.consumer").map(Vec::as_slice), Some(&b"acme"[..]));
        assert_eq!(outcome.forwarded().head.get("x-consumer-key-id"), None);
    }
}

#[test]
fn the_realm_is_what_is_configured() {
    let worker = load(&with([("/realm", json!("Acme API"))])).unwrap();
    let outcome = send(&worker, &Message::get("/"));
    assert_eq!(outcome.answer().head.get("www-authenticate"), Some("ApiKey realm=\"Acme API\""));
}

#[test]
fn a_path_that_servers_resolve_differently_is_refused_where_paths_decide() {
    let by_path = [
        ("/match", json!({"path": {"prefix": "/v1"}})),
        ("/plans/free/allow", json!({"path": {"prefix": "/v1"}})),
        ("/plans/free/limits/0/match", json!({"path": "/v1/{id}"})),
    ];
    for rule in by_path {
        let world = World::new();
        let worker = Worker::<Quota>::new(&world, with([rule]));
        for target in ["/v1/a/../../x", "/v1/%2e%2e/x", "/v1\\..\\x", "/v1/..;/x?q=/"] {
            refused(&send(&worker, &get(target, "key-1")), 400, "meshgate_path_ambiguous");
        }
        assert_eq!(world.metric("meshgate.quota.denied.path_ambiguous"), 4);
        // Dots elsewhere are nothing special.
        assert_eq!(send(&worker, &get("/v1/a.b?c=../..", "key-1")).status(), 200);
    }
    assert_eq!(send(&load(&document()).unwrap(), &get("/a/../b", "key-1")).status(), 200);
}

#[test]
fn a_plan_does_not_permit_by_one_of_several_values() {
    let worker = load(&with([("/plans/free/allow", json!({"query": {"tenant": "a"}}))])).unwrap();
    for (target, status) in
        [("/?tenant=a", 200), ("/?tenant=b", 403), ("/?tenant=a&tenant=b", 403), ("/?tenant=b&tenant=a", 403)]
    {
        assert_eq!(send(&worker, &get(target, "key-1")).status(), status, "{target}");
    }
    let worker = load(&with([("/plans/free/allow", json!({"header": {"x-env": "dev"}}))])).unwrap();
    let request = || get("/", "key-1").with("x-env", "dev");
    assert_eq!(send(&worker, &request()).status(), 200);
    assert_eq!(send(&worker, &request().with("x-env", "prod")).status(), 403);
}

#[test]
fn keys_are_hidden_from_upstreams_that_need_none() {
    let places = json!([
        {"header": "x-key", "scheme": "One"}, {"header": "x-key", "scheme": "Two"}, {"query": "a"}, {"query": "b"},
    ]);
    let config = with([("/match", json!({"path": "/guarded"})), ("/keys_from", places)]);
    let request = get("/open?a=1&c=2&b=3&a=4", "ignored").with("x-key", "One k").with("x-key", "Two k");
    let outcome = send(&load(&config).unwrap(), &request.with("x-key", "Other k"));
    let head = &outcome.forwarded().head;
    // All of them at once, and nothing else.
    assert_eq!((head.get(":path"), head.get("x-key")), (Some("/open?c=2"), Some("Other k")));
    assert_eq!(head.get("x-api-key"), Some("ignored"));
}
