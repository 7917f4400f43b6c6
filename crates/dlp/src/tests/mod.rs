//! The whole policy, as clients and upstreams see it.

mod blocking;
mod bodies;
mod configuration;
mod documents;
mod encoded;
mod heads;
mod properties;
mod reports;
mod rules;

use meshgate_policy::config::ConfigError;
use meshgate_test_host::{Chunking, Client, Message, Outcome, Worker, World, chunkings};
use serde_json::{Value, json};

use crate::Dlp;

/// A card that passes all checks, and is none.
const CARD: &str = "4111111111111111";
/// Another.
const AMEX: &str = "378282246310005";

fn load(document: &Value) -> Result<Worker<Dlp>, ConfigError> {
    Worker::load(&World::new(), document)
}

fn worker(document: &Value) -> Worker<Dlp> {
    load(document).unwrap_or_else(|error| panic!("{error}\n{document:#}"))
}

/// One rule: cards in this place.
fn cards(place: &str, action: Value) -> Value {
    json!({"rules": [{"find": "payment.card", "in": place, "do": action}]})
}

fn json_response(body: impl Into<Vec<u8>>) -> Message {
    response("application/json", body)
}

fn response(content_type: &str, body: impl Into<Vec<u8>>) -> Message {
    let body = body.into();
    Message::response(200)
        .with("content-type", content_type)
        .with("content-length", body.len().to_string())
        .with_body(body)
}

/// What the client gets of a response, in whatever pieces it comes, with and without a length.
fn client_gets(worker: &Worker<Dlp>, response: &Message) -> Message {
    let through = |response: &Message| {
        chunkings(&response.body, |chunks| {
            worker.begin().run_chunked(&Message::get("/"), &Chunking::WHOLE, response, chunks)
        })
    };
    let known = through(response);
    let mut unknown = response.clone();
    unknown.head.remove("content-length");
    assert_eq!(through(&unknown).answer().body, known.answer().body);
    known.answer().clone()
}

/// What the upstream gets of a request, in whatever pieces it comes, if it says that there may be trailers.
fn upstream_gets(worker: &Worker<Dlp>, request: &Message) -> Message {
    let request = request.clone().with("trailer", "x-end");
    let outcome = chunkings(&request.body, |chunks| {
        worker.begin().run_chunked(&request, chunks, &Message::response(200), &Chunking::WHOLE)
    });
    outcome.forwarded().clone()
}

/// Takes both messages through, whole.
fn run(worker: &Worker<Dlp>, request: &Message, response: &Message) -> Outcome {
    worker.run(request, response)
}

/// The body of an answer, which is a problem.
fn problem(outcome: &Outcome) -> Value {
    assert_eq!(outcome.answer().head.get("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&outcome.answer().body).unwrap();
    assert_eq!(problem["status"], outcome.status());
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

fn broke_off(outcome: &Outcome) -> bool {
    outcome.client == Client::Reset
}
