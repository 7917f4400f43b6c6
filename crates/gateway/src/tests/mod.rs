//! What the pipeline does, in memory.

mod chains;
mod configuration;
mod documents;
mod evasion;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
mod replies;
mod scenes;
mod scripts;
mod traces;

use meshgate_policy::digest::Digest;
use meshgate_test_host::{Message, Worker, World};
use serde_json::{Value, json};

use crate::Gateway;

/// The document of a quota with one consumer, whose key is `demo`.
fn quota() -> Value {
    json!({
        "plans": {"free": {"limits": [{"name": "burst", "rate": "1/m", "burst": 2}]}},
        "consumers": [{"name": "acme", "plan": "free", "groups": ["ops"],
            "keys": [{"id": "acme-1", "sha256": Digest::of(b"demo").to_hex()}]}]
    })
}

/// A pipeline of these stages.
fn pipeline(world: &World, stages: Value) -> Worker<Gateway> {
    Worker::new(world, json!({ "pipeline": stages }))
}

/// A response with JSON.
fn json_response(body: &str) -> Message {
    Message::response(200).with("content-type", "application/json").with_body(body)
}
