//! What goes wrong, and what is done about it.

use meshgate_policy::host::HostError;
use meshgate_test_host::{Client, Operation};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// A rule whose JSON operation stands between two operations on headers, and another rule behind it.
fn document(operation: &Value, on_error: &Value) -> Value {
    json!({
        "body_limit": 100,
        "rules": [
            {"request": [{"set": {"header": "x-before", "to": "1"}}, operation, {"set": {"json": "/after", "to": 1}}],
             "on_error": on_error},
            {"request": [{"set": {"header": "x-other", "to": "1"}}], "on_error": "skip"},
        ],
        "allow_on_headers_stop_iteration": true,
    })
}

fn run(operation: &Value, on_error: &Value, message: &Message) -> (Outcome, World) {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    let worker = Worker::<Transform>::new(&world, document(operation, on_error));
    (worker.run(message, &Message::response(200)), world)
}

fn troubles() -> Vec<(&'static str, Value, Message, u16)> {
    let set = json!({"set": {"json": "/a", "to": 1}});
    vec![
        ("invalid_json", set.clone(), post("{\"a\":}"), 400),
        ("wrong_type", json!({"append": {"json": "/s", "to": 1}}), post("{\"s\":1}"), 400),
        ("wrong_type", json!({"copy": {"from": {"json": "/o"}, "to": "host"}}), post("{\"o\":{}}"), 400),
        (
            "wrong_type",
            json!({"copy": {"from": {"json": "/s"}, "to": {"header": "x"}}}),
            post("{\"s\":\"a\\nb\"}"),
            400,
        ),
        (
            "wrong_type",
            json!({"copy": {"from": {"json": "$.l[*]"}, "to": "path"}}),
            post("{\"l\":[\"a\",\"b\"]}"),
            400,
        ),
        ("over_limit", set.clone(), post(&format!("{{\"s\":\"{}\"}}", "x".repeat(100))), 413),
        ("undecodable", set.clone(), post("{}").with("content-encoding", "zstd"), 415),
        ("undecodable", set.clone(), post("{}").with("content-encoding", "gzip"), 415),
        ("undecodable", set, post("{}").with("content-encoding", "gzip, gzip"), 415),
        ("template", json!({"set": {"json": "/a", "to": "{{ request.query.q|int }}"}}), post("{}"), 400),
        // A million times round.
        (
            "template",
            json!({"set": {"json": "/a", "to": format!("{}x{}", "{% for x in body.l %}".repeat(4), "{% endfor %}".repeat(4))}}),
            post(&json!({"l": vec![1; 32]}).to_string()),
            400,
        ),
    ]
}

#[test]
fn by_default_the_client_is_answered() {
    for (name, operation, message, status) in troubles() {
        let message = message.with(":path", "/?q=x");
        let (outcome, world) = run(&operation, &json!({}), &message);
        refused(&outcome, status, &format!("meshgate_transform_{name}"));
        assert_eq!(outcome.upstream, None);
        assert_eq!(world.metric(&format!("meshgate.transform.{name}")), 1);
        assert_eq!(world.metric("meshgate.transform.refused"), 1);
    }
}

#[test]
fn the_status_can_be_chosen() {
    for (name, operation, message, _) in troubles() {
        let message = message.with(":path", "/?q=x");
        let (outcome, _) = run(&operation, &json!({name: {"error": 422}}), &message);
        refused(&outcome, 422, &format!("meshgate_transform_{name}"));
    }
}

#[test]
fn a_rule_can_be_left_out() {
    for (name, operation, message, _) in troubles() {
        let message = message.with(":path", "/?q=x");
        for on_error in [json!("pass"), json!({name: "pass"})] {
            let (outcome, world) = run(&operation, &on_error, &message);
            assert_eq!(*outcome.forwarded(), message.clone().with("x-other", "1"), "{name}");
            assert_eq!(world.metric("meshgate.transform.passed"), 1);
            assert_eq!(world.metric(&format!("meshgate.transform.{name}")), 1);
        }
    }
}

#[test]
fn an_operation_can_be_left_out() {
    for (name, operation, message, _) in troubles() {
        let message = message.with(":path", "/?q=x");
        let (outcome, world) = run(&operation, &json!("skip"), &message);
        let forwarded = outcome.forwarded();
        assert_eq!(
            (all(forwarded, "x-before"), all(forwarded, "x-other")),
            (vec!["1".to_owned()], vec!["1".to_owned()])
        );
        // What does not fail is done all the same.
        let reads = matches!(name, "wrong_type" | "template");
        assert_eq!(forwarded.text().contains("after"), reads, "{name}: {forwarded:?}");
        assert!(world.metric("meshgate.transform.skipped") >= 1);
    }
}

#[test]
fn what_is_missing_is_skipped_unless_a_rule_says_otherwise() {
    for operation in [
        json!({"remove": {"json": "/none"}}),
        json!({"remove": {"header": "x-none"}}),
        json!({"remove": {"query": "none"}}),
        json!({"rename": {"json": "/none", "to": "a"}}),
        json!({"rename": {"cookie": "none", "to": "a"}}),
        json!({"copy": {"from": {"json": "/none"}, "to": {"header": "x"}}}),
        json!({"copy": {"from": {"header": "x-none"}, "to": {"json": "/a"}}}),
    ] {
        let (outcome, world) = run(&operation, &json!({}), &post("{}"));
        assert_eq!(outcome.forwarded().text(), "{\"after\":1}", "{operation}");
        assert_eq!(
            (world.metric("meshgate.transform.skipped"), world.metric("meshgate.transform.missing")),
            (0, 0)
        );
        let (outcome, _) = run(&operation, &json!({"missing": "error"}), &post("{}"));
        refused(&outcome, 400, "meshgate_transform_missing");
        let (outcome, _) = run(&operation, &json!({"missing": "pass"}), &post("{}"));
        assert_eq!(*outcome.forwarded(), post("{}").with("x-other", "1"), "{operation}");
    }
    // A request without a body has no places.
    let (outcome, _) = run(
        &json!({"set": {"json": "/a", "to": 1}}),
        &json!({"missing": "error"}),
        &Message::post("/", "").with("content-type", "application/json"),
    );
    refused(&outcome, 400, "meshgate_transform_missing");
}

#[test]
fn without_holding_the_head_is_gone_but_the_body_is_whole_or_unchanged() {
    let rules = json!([{
        "request": [{"set": {"header": "x-a", "to": "1"}}, {"set": {"json": "/a", "to": 1}}, {"append": {"json": "/s", "to": 1}}],
        "response": [{"set": {"json": "/a", "to": 1}}],
        "on_error": {"invalid_json": "pass", "wrong_type": "pass"},
    }, {"request": [{"set": {"json": "/other", "to": 1}}], "on_error": "pass"}]);
    let worker = Worker::<Transform>::new(&World::new(), json!({"rules": rules}));
    assert_eq!(json_request(&worker, "{\"s\":1}").text(), "{\"s\":1,\"other\":1}");
    assert_eq!(json_request(&worker, "{\"s\":[]}").text(), "{\"s\":[1],\"a\":1,\"other\":1}");
    let forwarded = json_request(&worker, "{\"s\":");
    assert_eq!((forwarded.text(), all(&forwarded, "x-a")), ("{\"s\":", vec!["1".to_owned()]));
    assert_eq!(json_response(&worker, "[1,").text(), "[1,");
}

#[test]
fn a_response_that_cannot_be_rewritten_does_not_reach_the_client() {
    let rule = json!([{"response": [{"remove": {"json": "/secret"}}]}]);
    let broken = answer("{\"secret\":1,");
    let worker = Worker::<Transform>::new(&World::new(), json!({"rules": rule}));
    // Its head has been passed on: all that is left is to break off.
    let outcome = worker.run(&Message::get("/"), &broken);
    assert_eq!(outcome.client, Client::Reset);
    refused(&holding(rule.clone()).run(&Message::get("/"), &broken), 502, "meshgate_transform_invalid_json");
    // What its head tells already is answered in any case.
    let unknown = answer("{}").with("content-encoding", "zstd");
    refused(&worker.run(&Message::get("/"), &unknown), 502, "meshgate_transform_undecodable");
    let long = Message::response(200)
        .with("content-type", "application/json")
        .with("content-length", "2000000")
        .with_body("[]");
    refused(&worker.run(&Message::get("/"), &long), 502, "meshgate_transform_over_limit");
}

/// A value that finds no place in the body stays in the head, and a body that stays keeps its type.
#[test]
fn what_is_left_out_loses_nothing() {
    let page = json!({"move": {"from": {"query": "page"}, "to": {"json": "/page"}}});
    let html = json!({"set": {"body": "[{{ request.query.page }}]{{ request.query.page }}"}});
    let message =
        |body: &str| Message::post("/?page=3", body).with("content-type", "application/problem+json");
    for (operation, sent) in [(&page, message("[1]")), (&page, message("")), (&html, message("{}"))] {
        for remedy in ["skip", "pass"] {
            let worker = holding(json!([{"request": [operation], "on_error": remedy}]));
            assert_eq!(request(&worker, &sent), sent, "{operation} {remedy}");
        }
        let unheld = json!({"rules": [{"request": [operation], "on_error": {"wrong_type": "skip"}}]});
        let error = load(&unheld).unwrap_err().to_string();
        let expected = "rules[0].on_error: an operation that is left out would have changed the head already";
        assert!(error.starts_with(expected), "{error}");
    }
    // A body that comes in chunks, and is empty.
    let worker = holding(json!([{"request": [page]}]));
    let sent = message("");
    let outcome = chunkings(b"", |chunking| {
        worker.begin().run_chunked(&sent, chunking, &Message::response(200), &Chunking::WHOLE)
    });
    assert_eq!(*outcome.forwarded(), sent);
    // What was moved is gone for the operations behind it.
    let worker = holding(
        json!([{"request": [page, {"copy": {"from": {"query": "page"}, "to": {"header": "x-page"}}}]}]),
    );
    let moved = request(&worker, &message("{}"));
    assert_eq!((moved.text(), all(&moved, ":path")), ("{\"page\":\"3\"}", vec!["/".to_owned()]));
    assert!(all(&moved, "x-page").is_empty());
}

#[test]
fn trouble_is_counted_once() {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    let rules = json!([
        {"request": [{"append": {"json": "/s", "to": 1}}], "on_error": "skip"},
        {"request": [{"append": {"json": "/t", "to": 1}}], "on_error": "pass"},
    ]);
    for holds in [false, true] {
        let document = json!({"rules": rules, "allow_on_headers_stop_iteration": holds});
        let worker = Worker::<Transform>::new(&world, document);
        let before = (world.metric("meshgate.transform.skipped"), world.metric("meshgate.transform.passed"));
        request(&worker, &post("{\"s\":1,\"t\":1}"));
        let after = (world.metric("meshgate.transform.skipped"), world.metric("meshgate.transform.passed"));
        assert_eq!(after, (before.0 + 1, before.1 + 1), "{holds}");
    }
}

#[test]
fn a_condition_without_an_answer() {
    let rules = |on_error: Value| json!({"rules": [{"when": "request.query.q|int > 1", "request": [{"set": {"header": "x", "to": "1"}}], "on_error": on_error}]});
    let send = |on_error: Value| {
        let worker = Worker::<Transform>::new(&World::new(), rules(on_error));
        worker.run(&Message::get("/?q=x"), &Message::response(200))
    };
    refused(&send(json!({})), 400, "meshgate_transform_template");
    for remedy in ["skip", "pass"] {
        assert_eq!(*send(json!({"template": remedy})).forwarded(), Message::get("/?q=x"));
    }
}

#[test]
fn a_proxy_that_refuses_gets_nothing_past_a_rule() {
    for operation in
        [Operation::ReadHeaders, Operation::WriteHeaders, Operation::ReadBody, Operation::WriteBody]
    {
        let world = World::new();
        let rules = json!({"rules": [{"request": [{"set": {"json": "/a", "to": 1}}, {"set": {"header": "x", "to": "1"}}]}]});
        let worker = Worker::<Transform>::new(&world, rules);
        world.fail_next(operation, HostError::Status(10));
        let outcome = worker.run(&post("{}"), &Message::response(200));
        assert_eq!(outcome.status(), 500, "{operation:?}");
        assert_eq!(world.metric("meshgate.transform.errors"), 1, "{operation:?}");
    }
}

#[test]
fn hostile_bodies() {
    let worker = on_request(json!([{"set": {"json": "/a", "to": 1}}]));
    let deep = "[".repeat(100_000);
    let many = format!("{{{}}}", (0..1_000).map(|n| format!("\"a\":{n}")).collect::<Vec<_>>().join(","));
    for (body, passes) in [
        (deep.as_str(), false),
        (many.as_str(), true),
        ("\u{feff}{}", true),
        ("{} {}", false),
        ("nul", false),
        ("\"\\ud800\"", false),
    ] {
        let outcome = worker.run(&post(body), &Message::response(200));
        let result = outcome.status();
        assert_eq!(result == 200, passes, "{}: {outcome:?}", body.get(..20).unwrap_or(body));
    }
}
