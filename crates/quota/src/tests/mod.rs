//! The whole policy, as clients and upstreams see it.

mod access;
mod admission;
mod algorithms;
mod answers;
mod charging;
mod configuration;
mod costs;
mod documents;
mod failed_auth;
mod failures;
mod introspection;
mod jwks;
mod key_files;
mod key_lines;
mod keys;
mod limits;
mod over_limit;
mod refusals;
mod shown;
mod tables;
mod token_configuration;
mod tokens;
mod usage;

use meshgate_policy::config::ConfigError;
use meshgate_test_host::{Message, Outcome, Worker, World};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Quota;

/// What a user writes for a key.
fn sha256(key: &[u8]) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two consumers: acme, with two keys and limits, and dormant, which is disabled.
fn document() -> Value {
    json!({
        "plans": {
            "free": {"limits": [
                {"name": "burst", "rate": "5/s", "burst": 10},
                {"name": "daily", "quota": "12/d"},
            ]},
            "endless": {},
        },
        "consumers": [
            {"name": "acme", "plan": "free", "keys": [
                {"id": "acme-1", "sha256": sha256(b"key-1")},
                {"id": "acme-2", "sha256": sha256(b"key-2")},
            ]},
            {"name": "dormant", "plan": "free", "disabled": true, "keys": [
                {"id": "dormant-1", "sha256": sha256(b"key-3")},
            ]},
            {"name": "guest/1", "plan": "endless", "keys": [{"id": "guest-1", "sha256": sha256(b"key-4")}]},
        ],
    })
}

/// The document with what stands at some JSON pointers replaced; `null` removes it.
fn with<const N: usize>(changes: [(&str, Value); N]) -> Value {
    let mut document = document();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match (document.pointer_mut(parent).unwrap(), value) {
            (Value::Object(object), Value::Null) => drop(object.remove(name)),
            (Value::Object(object), value) => drop(object.insert(name.to_owned(), value)),
            (Value::Array(array), value) => match name.parse::<usize>() {
                Ok(index) => array[index] = value,
                Err(_) => array.push(value),
            },
            (other, _) => panic!("{pointer}: nothing can be set in {other}"),
        }
    }
    document
}

fn load(document: &Value) -> Result<Worker<Quota>, ConfigError> {
    Worker::load(&World::new(), document)
}

fn get(target: &str, key: &str) -> Message {
    Message::get(target).with("x-api-key", key)
}

/// Sends a request; the upstream answers 200.
fn send(worker: &Worker<Quota>, request: &Message) -> Outcome {
    worker.run(request, &Message::response(200))
}

/// The names and values of a head that is passed on, but for its pseudo-headers.
fn fields(message: &Message) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let fields = message.head.iter().map(|(name, value)| (text(name), text(value)));
    fields.filter(|(name, _)| !name.starts_with(':')).collect()
}

/// The body of an answer, which is a problem.
fn problem(outcome: &Outcome) -> Value {
    assert_eq!(outcome.answer().head.get("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&outcome.answer().body).unwrap();
    assert_eq!(problem["status"], outcome.status());
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}
