//! The whole policy, as clients and upstreams see it.

mod bodies;
mod calls;
mod configuration;
mod documents;
mod encodings;
mod heads;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
mod replaced;
mod transfers;
mod troubles;

use meshgate_policy::config::ConfigError;
use meshgate_test_host::{Chunking, Fields, Message, Outcome, Worker, World, chunkings};
use serde_json::{Value, json};

use crate::Transform;

fn load(document: &Value) -> Result<Worker<Transform>, ConfigError> {
    Worker::load(&World::new(), document)
}

/// A worker with one rule, that has these operations on the request.
fn on_request(operations: Value) -> Worker<Transform> {
    Worker::new(&World::new(), json!({"rules": [{"request": operations}]}))
}

/// A worker with one rule, that has these operations on the response.
fn on_response(operations: Value) -> Worker<Transform> {
    Worker::new(&World::new(), json!({"rules": [{"response": operations}]}))
}

/// A worker whose heads may wait for their bodies.
fn holding(rules: Value) -> Worker<Transform> {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    Worker::new(&world, json!({"rules": rules, "allow_on_headers_stop_iteration": true}))
}

/// What the upstream gets of a request.
fn request(worker: &Worker<Transform>, request: &Message) -> Message {
    let outcome = worker.run(request, &Message::response(200));
    assert_eq!(outcome.details, None, "{outcome:?}");
    outcome.forwarded().clone()
}

/// What the client gets of a response.
fn response(worker: &Worker<Transform>, response: &Message) -> Message {
    let outcome = worker.run(&Message::get("/"), response);
    assert_eq!(outcome.details, None, "{outcome:?}");
    outcome.answer().clone()
}

/// What the upstream gets of a request with a JSON body, however that is cut.
fn json_request(worker: &Worker<Transform>, body: &str) -> Message {
    let message = post(body);
    let outcome = chunkings(body.as_bytes(), |chunking| {
        worker.begin().run_chunked(&message, chunking, &Message::response(200), &Chunking::WHOLE)
    });
    assert_eq!(outcome.details, None, "{outcome:?}");
    outcome.forwarded().clone()
}

/// What the client gets of a response with a JSON body, however that is cut.
fn json_response(worker: &Worker<Transform>, body: &str) -> Message {
    let message = answer(body);
    let outcome = chunkings(body.as_bytes(), |chunking| {
        worker.begin().run_chunked(&Message::get("/"), &Chunking::WHOLE, &message, chunking)
    });
    assert_eq!(outcome.details, None, "{outcome:?}");
    outcome.answer().clone()
}

fn post(body: &str) -> Message {
    Message::post("/", body)
        .with("content-type", "application/json")
        .with("content-length", body.len().to_string())
}

fn answer(body: &str) -> Message {
    Message::response(200)
        .with("content-type", "application/json; charset=utf-8")
        .with("content-length", body.len().to_string())
        .with_body(body)
}

/// All values of a field.
fn all(message: &Message, name: &str) -> Vec<String> {
    message.head.all(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

/// The names of the fields of a head, but for its pseudo-headers.
fn names(head: &Fields) -> Vec<String> {
    let names = head.iter().map(|(name, _)| String::from_utf8(name.to_vec()).unwrap());
    names.filter(|name| !name.starts_with(':')).collect()
}

/// Checks an answer of the policy's own.
#[track_caller]
fn refused(outcome: &Outcome, status: u16, details: &str) {
    assert_eq!((outcome.status(), outcome.details), (status, Some(details)), "{outcome:?}");
    let problem: Value = serde_json::from_slice(&outcome.answer().body).unwrap();
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
}
