//! What the tests of this filter share.

use meshgate_e2e::{Client, Config, Envoy, Listener, Reply, Request, Response, Value, Wasm, json};
use sha2::{Digest as _, Sha256};

/// A card that passes all checks, and is none.
pub const CARD: &str = "4111111111111111";
/// The same, but for its last four digits.
pub const MASKED: &str = "************1111";
/// The key of the one consumer.
pub const KEY: &str = "a-key-for-tests";
/// What a trace is asked for with.
pub const SECRET: &str = "a-secret-for-traces";

/// The SHA-256 of a text, in hexadecimal.
pub fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A quota with one consumer whose plan has this limit.
pub fn quota(limit: Value) -> Value {
    json!({
        "plans": {"free": {"limits": [limit]}},
        "consumers": [{"name": "acme", "plan": "free", "groups": ["ops"], "keys": [{"id": "acme-1", "sha256": sha256(KEY)}]}],
    })
}

/// A limit that no test reaches.
pub fn wide() -> Value {
    json!({"name": "wide", "rate": "100000/s"})
}

/// Cards masked in bodies, both ways.
pub fn cards() -> Value {
    json!({"rules": [{"find": "payment.card", "in": ["request.body", "response.body"], "do": {"mask": {"keep_last": 4}}}]})
}

/// A field for the upstream, and one member of responses that is not for clients.
pub fn edits() -> Value {
    json!({"rules": [{
        "request": [{"set": {"header": "x-team", "to": "{{ consumer.groups[0] }}"}}],
        "response": [{"remove": {"json": "/internal"}}, {"set": {"header": "x-edited", "to": "1"}}],
    }]})
}

/// All four, with this limit.
pub fn all(limit: Value) -> Value {
    json!({
        "pipeline": [
            {"error-response": {}}, {"api-key-quota": quota(limit)}, {"dlp": cards()}, {"transform": edits()},
        ],
        "trace": {"secret_sha256": sha256(SECRET)},
    })
}

/// A listener with a document, on a head that can wait for its body.
pub fn listener(document: Value) -> Listener {
    Listener::new()
        .filter(Wasm::module("gateway").config(document).allow_on_headers_stop_iteration())
        .http1_trailers()
        .access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.meshgate.dlp:PLAIN)%")
}

/// An Envoy with a document.
pub async fn start(document: Value) -> Envoy {
    Envoy::start(listener(document)).await.unwrap()
}

/// An Envoy with a document that speaks HTTP/2 to its upstream too.
pub async fn start_http2(document: Value) -> Envoy {
    Envoy::start(Config::from(listener(document)).http2_upstream()).await.unwrap()
}

/// A request with the key.
pub fn with_key(request: Request) -> Request {
    request.header("x-api-key", KEY)
}

/// What a client with the key gets of a response.
pub async fn get(client: &Client, envoy: &Envoy, reply: Reply) -> Response {
    envoy.upstream().respond(reply);
    with_key(client.get("/")).header("te", "trailers").send().await.unwrap()
}

/// A response with JSON.
pub fn json_reply(body: &str) -> Reply {
    Reply::status(200).header("content-type", "application/json").body(body.to_owned())
}

/// The filter has not failed, and neither the card nor the key is in what Envoy tells of itself.
pub async fn assert_well(envoy: &Envoy) {
    let log = envoy.log();
    for failure in ["Function: ", "Wasm VM failed", "panicked", "Plugin configured to fail closed"] {
        assert!(!log.contains(failure), "{failure:?} in\n{log}");
    }
    let stats = envoy.admin("/stats").await.unwrap();
    for told in [log.as_str(), envoy.access_log().as_str(), stats.text()] {
        assert!(!told.contains(CARD) && !told.contains(KEY) && !told.contains(SECRET), "{told}");
    }
}
