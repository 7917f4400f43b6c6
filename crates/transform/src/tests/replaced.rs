//! Bodies that are replaced without a look at them.

use meshgate_coding::{Caps, Coding, decode, encode};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const NEW: &str = "{\"a\": 1,\"m\": \"POST\" }";

fn replacing() -> Value {
    json!([{"request": [{"set": {"body": {"a": 1, "m": "{{ request.method }}"}}}]}])
}

/// What the upstream gets, however the body is cut, and whether heads may wait for bodies or not.
fn forwarded(rules: Value, message: &Message) -> Message {
    let [one, other] = [Worker::new(&World::new(), json!({"rules": rules})), holding(rules)].map(|worker| {
        let outcome = chunkings(&message.body, |chunking| {
            worker.begin().run_chunked(message, chunking, &Message::response(200), &Chunking::WHOLE)
        });
        assert_eq!(outcome.details, None, "{outcome:?}");
        outcome.forwarded().clone()
    });
    assert_eq!(one, other);
    one
}

#[test]
fn they_may_be_anything_of_any_size() {
    for body in ["{}", "not JSON", "\u{0}\u{1}", &"x".repeat(300)] {
        let sent = Message::post("/", body).with("content-type", "text/plain").with("etag", "x");
        let new = forwarded(replacing(), &sent);
        assert_eq!((new.text(), names(&new.head)), (NEW, vec!["content-type".to_owned()]));
        // What is announced is the length of the new body.
        let new = forwarded(replacing(), &sent.clone().with("content-length", body.len().to_string()));
        assert_eq!((new.text(), all(&new, "content-length")), (NEW, vec![NEW.len().to_string()]));
        assert_eq!(all(&new, "content-type"), ["application/json"]);
        let new = forwarded(replacing(), &sent.with_trailer("x-sum", "1"));
        assert_eq!((new.text(), new.trailers.is_some()), (NEW, true));
    }
}

/// More than rules read, and more than the proxy keeps.
#[test]
fn nothing_of_them_is_kept() {
    let world = World::new();
    world.set_buffer_limit(1_000);
    let document = json!({"body_limit": "64B", "rules": replacing()});
    let worker = Worker::<Transform>::new(&world, document);
    let mut exchange = worker.begin();
    exchange.head(
        meshgate_policy::host::Side::Request,
        &Message::post("/", "").with("content-length", "100000").head,
        false,
    );
    for part in 0..100 {
        exchange.body(meshgate_policy::host::Side::Request, &[b'x'; 1_000], part == 99);
        assert_eq!(exchange.upstream().unwrap().text(), NEW, "part {part}");
    }
    assert!(exchange.upstream().unwrap().complete);
}

#[test]
fn what_is_not_there_is_not_replaced() {
    let empty = Message::post("/", "").with("content-type", "text/plain");
    assert_eq!(forwarded(replacing(), &empty).body, b"");
    let mut rules = replacing();
    rules[0]["on_error"] = json!({"missing": {"error": 422}});
    let worker = Worker::<Transform>::new(&World::new(), json!({"rules": rules}));
    for chunking in
        [Chunking::WHOLE, Chunking { ending: meshgate_test_host::Ending::EmptyChunk, ..Chunking::WHOLE }]
    {
        let outcome =
            worker.begin().run_chunked(&empty, &chunking, &Message::response(200), &Chunking::WHOLE);
        refused(&outcome, 422, "meshgate_transform_missing");
    }
}

#[test]
fn the_last_of_several_counts() {
    let new = forwarded(
        json!([
            {"request": [{"set": {"body": {"a": 1}}}]},
            {"request": [{"move": {"from": {"header": "x-text"}, "to": "body"}}, {"set": {"header": "x-a", "to": "1"}}]},
        ]),
        &Message::post("/", "old").with("x-text", "new"),
    );
    assert_eq!((new.text(), names(&new.head)), ("new", vec!["content-type".to_owned(), "x-a".to_owned()]));
}

#[test]
fn one_that_somebody_looks_at_is_read() {
    for rules in [
        json!([{"request": [{"set": {"body": {"b": "{{ body.a }}"}}}]}]),
        json!([{"request": [{"set": {"body": {"b": 0}}}, {"set": {"json": "/b", "to": 1}}]}]),
        json!([{"request": [{"set": {"body": {"b": 1}}}]}, {"request": [{"add": {"json": "/b", "to": 1}}]}]),
    ] {
        let worker = Worker::<Transform>::new(&World::new(), json!({"rules": rules}));
        let new: Value = serde_json::from_slice(&json_request(&worker, "{\"a\":1}").body).unwrap();
        assert_eq!(new, json!({"b": 1}));
    }
}

#[test]
fn they_leave_encoded_as_they_came() {
    let body = encode(Coding::Gzip, &[b'x'; 5_000]).unwrap();
    let sent = Message::post("/", body.clone())
        .with("content-encoding", "gzip")
        .with("content-length", body.len().to_string());
    let new = forwarded(replacing(), &sent);
    assert_eq!(decode(Coding::Gzip, &new.body, &Caps::default()).unwrap(), NEW.as_bytes());
    assert_eq!(all(&new, "content-length"), [new.body.len().to_string()]);

    let document =
        json!({"rules": replacing(), "encoded_bodies": "identity", "allow_on_headers_stop_iteration": true});
    let new = request(&Worker::new(&World::new(), document), &sent);
    assert_eq!(
        (new.text(), names(&new.head)),
        (NEW, vec!["content-length".to_owned(), "content-type".to_owned()])
    );
}

/// What the new body has to be is known before the head goes on, so that trouble with it is an answer.
#[test]
fn trouble_comes_in_time() {
    let worker = on_response(json!([{"set": {"body": "[{{ response.headers.x }}"}}]));
    let message = Message::response(200).with("x", "1").with_body("old");
    refused(&worker.run(&Message::get("/"), &message), 502, "meshgate_transform_template");
    let rules = json!([{"response": [{"set": {"body": "[{{ response.headers.x }}"}}], "on_error": "skip"}]);
    let answered = response(&holding(rules), &message);
    assert_eq!(answered, message);
}
