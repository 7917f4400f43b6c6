//! The whole policy, as clients and upstreams see it.

mod configuration;
mod direct;
mod documents;
mod maintenance;
mod replacing;
mod rules;

use meshgate_policy::config::ConfigError;
use meshgate_test_host::{Message, Outcome, Worker, World};
use serde_json::{Value, json};

use crate::Errors;
use crate::flag::NAMES;

/// A proxy whose next response comes with these details and flags.
fn world(details: &str, flags: &[&str]) -> World {
    let world = World::new();
    explain(&world, details, flags);
    world
}

/// The responses of this proxy come with these details and flags from now on.
fn explain(world: &World, details: &str, flags: &[&str]) {
    let bits = flags.iter().map(|flag| NAMES.iter().position(|(short, _)| short == flag).unwrap());
    let bits: u64 = bits.map(|bit| 1 << bit).sum();
    world.set_property(&["response", "code_details"], details);
    world.set_property(&["response", "flags"], bits.to_le_bytes());
}

fn load(document: &Value) -> Result<Worker<Errors>, ConfigError> {
    Worker::load(&World::new(), document)
}

/// What a client gets for `GET /orders/7?full=1`.
fn run(world: &World, document: Value, response: &Message) -> Outcome {
    let request = Message::get("/orders/7?full=1").with("x-request-id", "id-1").with("accept", "*/*");
    Worker::<Errors>::new(world, document).run(&request, response)
}

/// An upstream's page with a stack trace.
fn trace(status: u16) -> Message {
    Message::response(status)
        .with("content-type", "text/html")
        .with("x-backend", "10.0.0.7")
        .with_body("at Main.java:7")
}

/// The members of an answer that is a problem.
fn problem(outcome: &Outcome) -> Value {
    assert_eq!(outcome.answer().head.get("content-type"), Some("application/problem+json"), "{outcome:?}");
    let problem: Value = serde_json::from_slice(&outcome.answer().body).unwrap();
    assert_eq!(problem["status"], outcome.status());
    problem
}

/// Whether a response came as the upstream sent it.
fn passed(outcome: &Outcome, response: &Message) -> bool {
    outcome.details.is_none() && outcome.answer() == response
}
