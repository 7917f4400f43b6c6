//! Operations on bodies.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const USER: &str = "{ \"fullName\" : \"Ann\\u00e9\", \"id\": 12345678901234567890, \"n\": 1.10,\n  \"tags\": [ \"a\", \"b\" ] }";

#[test]
fn json_operations() {
    for (operation, expected) in [
        (json!({"set": {"json": "/id", "to": 5}}), USER.replace("12345678901234567890", "5")),
        (json!({"set": {"json": "/id", "to": "x\"y"}}), USER.replace("12345678901234567890", "\"x\\\"y\"")),
        (json!({"set": {"json": "/id", "to": null}}), USER.replace("12345678901234567890", "null")),
        (
            json!({"set": {"json": "/id", "to": {"a": [1, "x"]}}}),
            USER.replace("12345678901234567890", "{\"a\": [1,\"x\"] }"),
        ),
        (
            json!({"set": {"json": "/id", "to": "{{ request.method }}"}}),
            USER.replace("12345678901234567890", "\"POST\""),
        ),
        (json!({"set": {"json": "/id", "to": "{{ 1 + 1 }}"}}), USER.replace("12345678901234567890", "2")),
        (json!({"set": {"json": "/id", "to": "{{ body.n }}"}}), USER.replace("12345678901234567890", "1.10")),
        (
            json!({"set": {"json": "/id", "to": "{{ body.fullName }}!"}}),
            USER.replace("12345678901234567890", "\"Ann\u{e9}!\""),
        ),
        (json!({"add": {"json": "/id", "to": 5}}), USER.to_owned()),
        (json!({"append": {"json": "/tags", "to": "c"}}), USER.replace("\"b\" ]", "\"b\", \"c\" ]")),
        (json!({"remove": {"json": "/n"}}), USER.replace(" \"n\": 1.10,", "")),
        (json!({"remove": {"json": "$.tags[*]"}}), USER.replace("[ \"a\", \"b\" ]", "[]")),
        (json!({"rename": {"json": "/fullName", "to": "name"}}), USER.replace("fullName", "name")),
        (
            json!({"copy": {"from": {"json": "/n"}, "to": {"json": "/id"}}}),
            USER.replace("12345678901234567890", "1.10"),
        ),
        (
            json!({"set": {"body": {"u": "{{ body.fullName }}", "n": "{{ body.n }}"}}}),
            "{\"n\": 1.10,\"u\": \"Ann\u{e9}\" }".to_owned(),
        ),
        (json!({"set": {"body": "[{{ body.id }}]"}}), "[12345678901234567890]".to_owned()),
        (json!({"copy": {"from": {"json": "/tags"}, "to": "body"}}), "[ \"a\", \"b\" ]".to_owned()),
    ] {
        let forwarded = json_request(&on_request(json!([operation])), USER);
        assert_eq!(forwarded.text(), expected, "{operation}");
        let answered = json_response(&on_response(json!([operation])), USER);
        if !operation.to_string().contains("request.method") {
            assert_eq!(answered.text(), expected, "{operation}");
        }
    }
    let worker = on_request(json!([{"keep": {"json": ["/id", "/tags/0"]}}]));
    let kept: Value = serde_json::from_slice(&json_request(&worker, USER).body).unwrap();
    assert_eq!(kept.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "tags"]);
    assert_eq!(kept["tags"], json!(["a"]));
}

#[test]
fn operations_see_each_other() {
    let worker = on_request(json!([
        {"set": {"json": "/a", "to": 1}},
        {"copy": {"from": {"json": "/a"}, "to": {"json": "/b"}}},
        {"rename": {"json": "/a", "to": "c"}},
        {"add": {"json": "/a", "to": 2}},
        {"move": {"from": {"json": "/b"}, "to": {"json": "/d"}}},
        {"set": {"json": "/e", "to": "{{ body.x }}"}},
        {"set": {"json": "/x", "to": 4}},
    ]));
    let body: Value = serde_json::from_slice(&json_request(&worker, r#"{"x":3}"#).body).unwrap();
    assert_eq!(body, json!({"x": 4, "c": 1, "a": 2, "d": 1, "e": 3}));
}

#[test]
fn a_head_forgets_what_is_true_of_one_body_only() {
    let operations = json!([{"set": {"json": "/a", "to": 1}}]);
    let dressed = |message: Message| {
        ["content-md5", "digest", "content-digest", "repr-digest", "etag", "accept-ranges"]
            .into_iter()
            .fold(message, |message, name| message.with(name, "\"x\""))
            .with("last-modified", "today")
    };
    let expected = ["content-type", "last-modified"];
    assert_eq!(names(&request(&on_request(operations.clone()), &dressed(post("{}"))).head), expected);
    assert_eq!(names(&response(&on_response(operations.clone()), &dressed(answer("{}"))).head), expected);

    // What a rule says of the new body stays.
    let said = json!([{"set": {"header": "etag", "to": "\"new\""}}, {"set": {"json": "/a", "to": 1}}]);
    assert_eq!(all(&request(&on_request(said), &dressed(post("{}"))), "etag"), ["\"new\""]);

    // Where heads wait, only what has changed is known, and the length is the new one.
    let worker = holding(json!([{"request": operations, "response": operations}]));
    let forwarded = request(&worker, &dressed(post("{}")));
    assert_eq!(names(&forwarded.head), ["content-type", "content-length", "last-modified"]);
    assert_eq!(all(&forwarded, "content-length"), [forwarded.body.len().to_string()]);
    let same = dressed(post(r#"{"a":1}"#));
    assert_eq!(request(&worker, &same), same);
    let chunked = Message::post("/", "{}").with("content-type", "application/json");
    assert_eq!(names(&request(&worker, &chunked).head), ["content-type"]);
}

#[test]
fn what_no_rule_touches_passes() {
    let operations = json!([
        {"set": {"json": "/a", "to": 1}}, {"remove": {"json": "/b"}}, {"set": {"header": "x-seen", "to": "1"}},
    ]);
    let worker = Worker::<Transform>::new(
        &World::new(),
        json!({"rules": [{"request": operations, "response": operations}]}),
    );
    let requests = [
        Message::get("/").with("content-type", "application/json"),
        Message::post("/", "{}").with("content-type", "text/plain").with("content-length", "2"),
        Message::post("/", "{}").with("content-length", "2"),
        Message::post("/", "a=1").with("content-type", "application/x-www-form-urlencoded"),
        Message::post("/", "\0\0\0\0\x02{}").with("content-type", "application/grpc+json"),
        Message::get("/")
            .with("upgrade", "websocket")
            .with("connection", "upgrade")
            .with("content-type", "application/json"),
        Message::request("CONNECT", "").with("content-type", "application/json").with_body("{}"),
        Message::post("/", "data: {}\n\n").with("content-type", "text/event-stream"),
    ];
    for message in requests {
        let forwarded = worker.run(&message, &Message::response(200)).forwarded().clone();
        assert_eq!(forwarded, message.clone().with("x-seen", "1"), "{message:?}");
    }
    let responses = [
        Message::response(200),
        Message::response(204),
        Message::response(304)
            .with("content-type", "application/json")
            .with("content-length", "10")
            .with("etag", "x"),
        Message::response(101)
            .with("upgrade", "websocket")
            .with("content-type", "application/json")
            .with_body("{}"),
        Message::response(200).with("content-type", "text/event-stream").with_body("data: {}\n\n"),
        Message::response(200).with("content-type", "application/x-ndjson").with_body("{}\n{}\n"),
    ];
    for message in responses {
        let answered = response(&worker, &message);
        assert_eq!(answered, message.clone().with("x-seen", "1"), "{message:?}");
    }
}

/// An upstream may leave the upgrade alone.
#[test]
fn an_upgrade_with_a_body_is_rewritten_like_any_request() {
    let worker = on_request(json!([{"remove": {"json": "/admin"}}]));
    let message = post(r#"{"admin":true}"#).with("upgrade", "websocket").with("connection", "upgrade");
    assert_eq!(request(&worker, &message).text(), "{}");
}

#[test]
fn an_answer_to_head_tells_no_other_length_than_get() {
    let worker = on_response(json!([{"set": {"json": "/a", "to": 1}}]));
    let message = Message::response(200)
        .with("content-type", "application/json")
        .with("content-length", "2")
        .with("etag", "\"x\"");
    let outcome = worker.run(&Message::request("HEAD", "/"), &message);
    assert_eq!(names(&outcome.answer().head), ["content-type"]);
    // Nor another version, where the length is not known.
    let chunked = Message::response(200).with("content-type", "application/json").with("etag", "\"x\"");
    let outcome = worker.run(&Message::request("HEAD", "/"), &chunked);
    assert_eq!(names(&outcome.answer().head), ["content-type"]);
}

#[test]
fn an_empty_body_is_left_alone() {
    let worker = on_request(json!([{"set": {"json": "/a", "to": 1}}, {"set": {"body": {}}}]));
    let message = Message::post("/", "").with("content-type", "application/json");
    let outcome = chunkings(b"", |chunking| {
        worker.begin().run_chunked(&message, chunking, &Message::response(200), &Chunking::WHOLE)
    });
    assert_eq!(outcome.forwarded().body, b"");
}

#[test]
fn trailers_stay_behind_a_changed_body() {
    let worker = on_response(json!([{"set": {"json": "/a", "to": 1}}]));
    let answered = json_response(&worker, "{}");
    assert_eq!(answered.text(), "{\"a\":1}");
    let message = answer("{}").with_trailer("x-sum", "1");
    let answered = response(&worker, &message);
    assert_eq!((answered.text(), &answered.trailers), ("{\"a\":1}", &message.trailers));
}

#[test]
fn whole_bodies_of_any_type() {
    let html = json!([{"set": {"body": "<p>{{ request.query.q }}</p>", "content_type": "text/html; charset=utf-8"}}]);
    let worker = Worker::<Transform>::new(&World::new(), json!({"rules": [{"response": html}]}));
    let message = Message::response(200)
        .with("content-type", "text/plain")
        .with("content-length", "3")
        .with_body("old");
    let outcome = worker.run(&Message::get("/?q=<b>%26"), &message);
    let answered = outcome.answer();
    assert_eq!(answered.text(), "<p>&lt;b&gt;&amp;</p>");
    assert_eq!(all(answered, "content-type"), ["text/html; charset=utf-8"]);
    assert_eq!(all(answered, "content-length"), [answered.body.len().to_string()]);
    // A message without a body gets none.
    assert_eq!(worker.run(&Message::get("/"), &Message::response(204)).answer().body, b"");
}

#[test]
fn other_types_can_be_json() {
    let document = json!({
        "json_types": ["application/json", "text/plain"],
        "rules": [{"match": {"content_type": "text/plain"}, "request": [{"set": {"json": "/a", "to": 1}}]}],
    });
    let worker = Worker::<Transform>::new(&World::new(), document);
    let message = Message::post("/", "{}").with("content-type", "text/plain");
    assert_eq!(request(&worker, &message).text(), "{\"a\":1}");
    assert_eq!(request(&worker, &post("{}")).text(), "{}");
}

/// What a template makes of a body has to be JSON, and what can't be read is not replaced either.
#[test]
fn whole_bodies_are_what_they_say() {
    let worker = on_request(json!([{"set": {"body": "[{{ request.query.q }}]{{ request.query.r }}"}}]));
    let outcome = worker.run(&post("{}").with(":path", "/?q=1&r=2"), &Message::response(200));
    refused(&outcome, 400, "meshgate_transform_template");
    let rules =
        json!([{"request": [{"set": {"body": "<p>", "content_type": "text/html"}}], "on_error": "skip"}]);
    let worker = holding(rules);
    let message = post("{}").with("content-encoding", "zstd");
    assert_eq!(request(&worker, &message), message);
}

#[test]
fn conditions_on_the_body() {
    let rules = json!([
        {"when": "body.kind == 'b'", "request": [{"set": {"json": "/seen", "to": true}}]},
        {"request": [{"set": {"json": "/always", "to": 1}}]},
    ]);
    let worker = Worker::<Transform>::new(&World::new(), json!({"rules": rules}));
    assert_eq!(json_request(&worker, r#"{"kind":"b"}"#).text(), r#"{"kind":"b","seen":true,"always":1}"#);
    assert_eq!(json_request(&worker, r#"{"kind":"a"}"#).text(), r#"{"kind":"a","always":1}"#);
    assert_eq!(request(&worker, &Message::get("/")), Message::get("/"));

    // What can't be read does not pass for something else, and what is empty is nothing.
    let broken = worker.run(&post("{\"kind\":\"b\""), &Message::response(200));
    refused(&broken, 400, "meshgate_transform_invalid_json");
    assert_eq!(json_request(&worker, "").body, b"");

    let worker = holding(json!([
        {"when": "body.kind == 'b'", "request": [{"set": {"header": "x-kind", "to": "{{ body.kind }}"}}]},
    ]));
    assert_eq!(all(&json_request(&worker, r#"{"kind":"b"}"#), "x-kind"), ["b"]);
    assert!(all(&json_request(&worker, r#"{"kind":"a"}"#), "x-kind").is_empty());
}

/// The head changes with the body or not at all.
#[test]
fn conditions_on_the_body_hold_for_what_the_head_says_of_it() {
    for operation in [
        json!({"set": {"body": "<p>", "content_type": "text/html"}}),
        json!({"move": {"from": {"header": "x-a"}, "to": {"json": "/a"}}}),
        json!({"move": {"from": {"query": "q"}, "to": {"json": "/a"}}}),
    ] {
        let rules = json!([{"when": "body.kind == 'b'", "request": [operation]}]);
        let error = load(&json!({"rules": rules})).unwrap_err().to_string();
        assert!(error.starts_with("rules[0].when: operations on the head depend on the body"), "{error}");
        let worker = holding(rules);
        let sent =
            |kind: &str| post(&format!("{{\"kind\":\"{kind}\"}}")).with(":path", "/?q=1").with("x-a", "1");
        assert_eq!(request(&worker, &sent("a")), sent("a"), "{operation}");
        let changed = request(&worker, &sent("b"));
        assert!(changed.head != sent("b").head && changed.body != sent("b").body, "{operation}");
    }
    // They see the body as it arrived, whatever a rule before them has made of it.
    let worker = holding(json!([
        {"request": [{"set": {"body": "<p>", "content_type": "text/html"}}]},
        {"when": "body.kind == 'b'", "request": [{"set": {"header": "x-kind", "to": "b"}}]},
    ]));
    assert_eq!(all(&json_request(&worker, r#"{"kind":"b"}"#), "x-kind"), ["b"]);
}

#[test]
fn responses_are_asked_for_whole_and_readable() {
    let rules = json!([{"match": {"path": {"prefix": "/v1"}, "status": 200}, "response": [{"remove": {"json": "/x"}}]}]);
    let worker = Worker::<Transform>::new(&World::new(), json!({"rules": rules}));
    let ask = |path: &str| {
        Message::get(path)
            .with("range", "bytes=0-5")
            .with("if-range", "\"x\"")
            .with("accept-encoding", "gzip, br, zstd")
    };
    let forwarded = request(&worker, &ask("/v1/users"));
    assert_eq!(
        (names(&forwarded.head), all(&forwarded, "accept-encoding")),
        (vec!["accept-encoding".to_owned()], vec!["gzip".to_owned()])
    );
    assert_eq!(request(&worker, &ask("/videos/1")), ask("/videos/1"));
}

/// What the response will be is not known yet: a rule for errors, or for another type, has to be able to read it, too.
#[test]
fn any_response_that_a_rule_could_be_for_is_asked_for_readable() {
    let asked = Message::get("/").with("range", "bytes=0-5").with("accept-encoding", "gzip, zstd");
    for (document, in_part) in [
        (json!({"match": {"status": "5xx"}}), false),
        (json!({"match": {"status": [404, 410]}}), false),
        (json!({"match": {"status": 201}}), false),
        (json!({"match": {"content_type": "application/vnd.api+json"}}), true),
        (json!({"match": {"status": "2xx", "content_type": "application/problem+json"}}), true),
    ] {
        let mut rule = document.clone();
        rule["response"] = json!([{"remove": {"json": "/x"}}]);
        let worker = Worker::<Transform>::new(&World::new(), json!({"rules": [rule]}));
        let forwarded = request(&worker, &asked);
        assert_eq!(all(&forwarded, "accept-encoding"), ["gzip"], "{document}");
        // Only what succeeds has parts.
        assert_eq!(all(&forwarded, "range").is_empty(), in_part, "{document}");
    }
    // The parts of `match` that are about the request are known.
    let rule =
        json!({"match": {"method": "POST", "status": "5xx"}, "response": [{"remove": {"json": "/x"}}]});
    let worker = Worker::<Transform>::new(&World::new(), json!({"rules": [rule]}));
    assert_eq!(request(&worker, &asked), asked);
}

/// Whatever a rule says of what is missing, a response that never has a body lacks none.
#[test]
fn responses_that_never_have_a_body_are_no_trouble() {
    let rules = json!([{
        "response": [
            {"set": {"json": "/a", "to": 1}},
            {"set": {"body": {}}},
            {"copy": {"from": {"json": "/id"}, "to": {"header": "x-id"}}},
            {"set": {"header": "x-name", "to": "{{ body.name }}"}},
            {"set": {"header": "x-seen", "to": "1"}},
        ],
        "on_error": "error",
    }]);
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    let worker =
        Worker::<Transform>::new(&world, json!({"rules": rules, "allow_on_headers_stop_iteration": true}));
    let get = Message::get("/");
    for (request, status) in [(Message::request("HEAD", "/"), 200), (get.clone(), 204), (get.clone(), 304)] {
        let message = Message::response(status).with("content-type", "application/json");
        let outcome = worker.run(&request, &message);
        assert_eq!(outcome.details, None, "{status}");
        assert_eq!(*outcome.answer(), message.with("x-seen", "1"), "{status}");
    }
    // One that could have a body does.
    let empty = Message::response(200).with("content-type", "application/json");
    refused(&worker.run(&get, &empty), 502, "meshgate_transform_missing");
}
