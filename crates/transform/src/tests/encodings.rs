//! Bodies that come encoded.

use meshgate_coding::{Caps, Coding, decode, encode};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn encoded(coding: Coding, text: &str) -> Vec<u8> {
    encode(coding, text.as_bytes()).unwrap()
}

const CODINGS: [(Coding, &str); 3] =
    [(Coding::Gzip, "gzip"), (Coding::Deflate, "deflate"), (Coding::Brotli, "br")];

#[test]
fn they_leave_as_they_came() {
    let worker = on_response(json!([{"set": {"json": "/a", "to": 1}}]));
    for (coding, name) in CODINGS {
        let body = encoded(coding, "{\"b\":2}");
        let message = Message::response(200)
            .with("content-type", "application/json")
            .with("content-encoding", name)
            .with_body(body.clone());
        let outcome = chunkings(&body, |chunking| {
            worker.begin().run_chunked(&Message::get("/"), &Chunking::WHOLE, &message, chunking)
        });
        let answered = outcome.answer();
        assert_eq!(all(answered, "content-encoding"), [name]);
        let text = decode(coding, &answered.body, &Caps::default()).unwrap();
        assert_eq!(text, b"{\"b\":2,\"a\":1}", "{name}");

        // Nothing changes: not a byte of it.
        let same = encoded(coding, "{\"a\":1}");
        let message = message.with_body(same.clone());
        assert_eq!(response(&worker, &message).body, same, "{name}");
    }
}

#[test]
fn they_can_leave_plain() {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    let worker = Worker::<Transform>::new(
        &world,
        json!({
            "rules": [{"response": [{"set": {"json": "/a", "to": 1}}]}],
            "encoded_bodies": "identity",
            "allow_on_headers_stop_iteration": true,
        }),
    );
    for (coding, name) in CODINGS {
        let body = encoded(coding, "{\"b\":2}");
        let message = Message::response(200)
            .with("content-type", "application/json")
            .with("content-encoding", name)
            .with("content-length", body.len().to_string())
            .with_body(body);
        let answered = response(&worker, &message);
        assert_eq!(answered.text(), "{\"b\":2,\"a\":1}");
        assert_eq!(names(&answered.head), ["content-type", "content-length"]);
        let same = message.with_body(encoded(coding, "{\"a\":1}"));
        assert_eq!(response(&worker, &same), same);
    }
}

#[test]
fn bombs_are_over_the_limit() {
    let worker = on_request(json!([{"set": {"json": "/a", "to": 1}}]));
    let bomb = format!("\"{}\"", "a".repeat(10 << 20));
    let body = encode(Coding::Gzip, bomb.as_bytes()).unwrap();
    let message =
        Message::post("/", body).with("content-type", "application/json").with("content-encoding", "gzip");
    let outcome = worker.run(&message, &Message::response(200));
    refused(&outcome, 413, "meshgate_transform_over_limit");
    let cut = encode(Coding::Gzip, b"{}").unwrap();
    let cut = Message::post("/", &cut[..cut.len() - 3])
        .with("content-type", "application/json")
        .with("content-encoding", "gzip");
    refused(&worker.run(&cut, &Message::response(200)), 415, "meshgate_transform_undecodable");
}

/// What is honest and very repetitive is not taken for a bomb while it is small, and after that as far as one allows.
#[test]
fn how_much_larger_they_get_is_a_setting() {
    let zeros = |count: usize| {
        let body =
            encode(Coding::Gzip, format!("{{\"zeros\":[0{}]}}", ",0".repeat(count)).as_bytes()).unwrap();
        assert!(2 * count > 150 * body.len(), "{}", body.len());
        body
    };
    let sent = |body: Vec<u8>| {
        Message::post("/", body).with("content-type", "application/json").with("content-encoding", "gzip")
    };
    let rules = json!([{"request": [{"set": {"json": "/a", "to": 1}}]}]);
    for (ratio, count, details) in [
        (None, 60_000, None),
        (Some(1), 60_000, None),
        (None, 1_000_000, Some("meshgate_transform_over_limit")),
        (Some(1_000), 1_000_000, None),
    ] {
        let mut document = json!({"rules": rules, "body_limit": "4MiB"});
        if let Some(ratio) = ratio {
            document["max_ratio"] = json!(ratio);
        }
        let worker = Worker::<Transform>::new(&World::new(), document);
        assert_eq!(
            worker.run(&sent(zeros(count)), &Message::response(200)).details,
            details,
            "{ratio:?} {count}"
        );
    }
}
