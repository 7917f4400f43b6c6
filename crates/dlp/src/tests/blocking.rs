//! Messages that must not pass, and bodies that have to be whole.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn with(mut document: Value, fields: Value) -> Value {
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    document
}

fn held(action: Value) -> Value {
    with(cards("response.body", action), json!({"allow_on_headers_stop_iteration": true}))
}

#[test]
fn heads_block_with_a_status() {
    for (place, request, response, status, details) in [
        ("request.query", format!("/?card={CARD}"), None, 403, "meshgate_dlp_request_blocked"),
        ("request.path", format!("/{CARD}"), None, 403, "meshgate_dlp_request_blocked"),
        ("response.headers", "/".to_owned(), Some(CARD), 502, "meshgate_dlp_response_blocked"),
    ] {
        let document = cards(place, json!("block"));
        let response = Message::response(200).with("x-card", response.unwrap_or("none")).with_body("data");
        let outcome = run(&worker(&document), &Message::get(&request), &response);
        assert_eq!((outcome.status(), outcome.details), (status, Some(details)), "{place}");
        assert_eq!(outcome.upstream.is_none(), status == 403);
        assert!(!problem(&outcome).to_string().contains(CARD));
    }
}

#[test]
fn bodies_block_with_a_status() {
    let body = format!("{{\"card\":\"{CARD}\"}}");
    let worker_of = |document| {
        let world = World::new();
        world.allow_on_headers_stop_iteration(true);
        Worker::<Dlp>::new(&world, document)
    };
    let worker = worker_of(held(json!({"block": {"status": 451}})));
    let outcome = chunkings(body.as_bytes(), |chunks| {
        worker.begin().run_chunked(
            &Message::get("/"),
            &Chunking::WHOLE,
            &json_response(body.as_str()),
            chunks,
        )
    });
    assert_eq!((outcome.status(), outcome.details), (451, Some("meshgate_dlp_response_blocked")));
    assert_eq!(problem(&outcome)["title"], "Unavailable For Legal Reasons");
    let clean = json_response(r#"{"card":"none"}"#).with("etag", "\"a\"");
    assert_eq!(client_gets(&worker, &clean), clean, "what only blocks changes nothing");

    let worker = worker_of(cards("request.body", json!("block")));
    let post = Message::post("/", body.as_str()).with("content-type", "application/json");
    let outcome = chunkings(body.as_bytes(), |chunks| {
        let mut outcome =
            worker.begin().run_chunked(&post, chunks, &Message::response(200), &Chunking::WHOLE);
        assert!(outcome.upstream.take().is_none_or(|upstream| upstream.body.is_empty()));
        outcome
    });
    assert_eq!((outcome.status(), outcome.details), (403, Some("meshgate_dlp_request_blocked")));
}

#[test]
fn event_streams_are_not_held_and_break_off() {
    let worker = worker(&held(json!("block")));
    let events = format!("data: one\n\ndata: {{\"card\":\"{CARD}\"}}\n\n");
    let response = response("text/event-stream", events);
    let outcome = run(&worker, &Message::get("/"), &response);
    assert!(broke_off(&outcome), "{outcome:?}");
}

#[test]
fn fields_are_dropped_from_bodies() {
    let worker = worker(&cards("response.body", json!("drop")));
    for (kind, body, expected) in [
        (
            "application/json",
            r#"{"a": 1, "card": "4111111111111111", "b": [4111111111111111, 2]}"#,
            r#"{"a": 1, "b": [2]}"#,
        ),
        ("application/json", r#"{"4111111111111111": {"a": 1}, "b": 2}"#, r#"{"b": 2}"#),
        ("application/json", r#""4111111111111111""#, r#""""#),
        ("application/json", "4111111111111111", "null"),
        ("application/x-ndjson", "{\"card\":\"4111111111111111\"}\n{\"b\":1}\n", "{}\n{\"b\":1}\n"),
        ("application/x-www-form-urlencoded", "a=1&card=4111111111111111", "a=1"),
        ("text/plain", "card 4111111111111111!", "card !"),
        (
            "text/event-stream",
            "data: {\"a\":1,\"card\":\"4111111111111111\"}\n\ndata: card 4111111111111111\n\n",
            "data: {\"a\":1}\n\ndata: card \n\n",
        ),
    ] {
        let message = client_gets(&worker, &response(kind, body));
        assert_eq!(message.text(), expected, "{kind}");
        assert_eq!(message.head.get("content-length"), None, "{kind}");
    }
}

#[test]
fn rules_for_some_values_leave_the_others() {
    let document = json!({"rules": [
        {"find": "payment.card", "in": "response.body", "do": "mask", "json": ["/card", "$.items[*].number"]},
    ]});
    let worker = worker(&document);
    for (kind, body, expected) in [
        (
            "application/json",
            r#"{"card":["4111111111111111"],"other":"4111111111111111","items":[{"number":4111111111111111}]}"#,
            r#"{"card":["****************"],"other":"4111111111111111","items":[{"number":9999999999999999}]}"#,
        ),
        ("application/json", r#"{"other":"4111111111111111""#, r#"{"other":"****************""#),
        ("text/plain", "card 4111111111111111", "card 4111111111111111"),
        (
            "application/x-ndjson",
            "{\"card\":\"4111111111111111\"}\n{\"other\":\"4111111111111111\"}\n",
            "{\"card\":\"****************\"}\n{\"other\":\"4111111111111111\"}\n",
        ),
        (
            "text/event-stream",
            "event: a\r\ndata: {\"card\":\"4111111111111111\",\"other\":\"4111111111111111\"}\r\n\r\ndata: 4111111111111111\n\n",
            "event: a\r\ndata: {\"card\":\"****************\",\"other\":\"4111111111111111\"}\r\n\r\ndata: 4111111111111111\n\n",
        ),
        // Not a document by itself, so nobody knows where its values are.
        (
            "text/event-stream",
            "\u{feff}data: {\ndata: \"other\":\ndata: 4111111111111111\ndata: }\n\ndata:{\"other\":4111111111111111}\r\r",
            "\u{feff}data: {\ndata: \"other\":\ndata: 9999999999999999\ndata: }\n\ndata:{\"other\":4111111111111111}\r\r",
        ),
    ] {
        assert_eq!(client_gets(&worker, &response(kind, body)).text(), expected, "{kind}");
    }
}

/// It is not held beyond that, and a rule is not evaded by it.
#[test]
fn long_lines_of_events_are_for_rules_for_some_values() {
    let mut document = cards("response.body", json!("mask"));
    document["rules"][0]["json"] = json!("/card");
    document["bodies"] = json!({"max_held": 1_000});
    let worker = worker(&document);
    for (length, expected) in [(900, CARD), (1_100, "****************"), (9_000, "****************")] {
        let events = |card| {
            let padding = "a".repeat(length);
            format!(
                "data: {{\"b\":\"{padding}\",\"other\":\"{card}\"}}\n\ndata: {{\"other\":\"{CARD}\"}}\n\n"
            )
        };
        assert_eq!(
            client_gets(&worker, &response("text/event-stream", events(CARD))).text(),
            events(expected)
        );
    }
}

#[test]
fn what_is_too_large_to_be_held_does_not_pass_unless_it_may() {
    let large = format!("{{\"a\":\"{}\"}}", "a".repeat(2_000));
    for (over_limit, announced) in [("block", true), ("block", false), ("pass", true), ("pass", false)] {
        let document =
            with(held(json!("block")), json!({"bodies": {"max_held": "1KiB", "over_limit": over_limit}}));
        let world = World::new();
        world.allow_on_headers_stop_iteration(true);
        let worker = Worker::<Dlp>::new(&world, document);
        let mut message = json_response(large.as_str());
        if !announced {
            message.head.remove("content-length");
        }
        let outcome = run(&worker, &Message::get("/"), &message);
        if over_limit == "block" {
            assert_eq!((outcome.status(), outcome.details), (502, Some("meshgate_dlp_response_too_large")));
            assert_eq!(world.metric("meshgate.dlp.bodies.large_blocked"), 1);
        } else {
            assert_eq!((outcome.status(), outcome.answer().text()), (200, large.as_str()));
            assert_eq!(world.metric("meshgate.dlp.bodies.large_passed"), 1);
        }
    }
    let document = with(cards("request.body", json!("block")), json!({"bodies": {"max_held": 1_000}}));
    let post = Message::post("/", large).with("content-type", "application/json");
    let outcome = run(&worker(&document), &post, &Message::response(200));
    assert_eq!((outcome.status(), outcome.details), (413, Some("meshgate_dlp_request_too_large")));
}
