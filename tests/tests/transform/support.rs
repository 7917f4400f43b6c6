//! What the tests of this filter share.

use std::time::Duration;

use meshgate_e2e::{Client, Envoy, Listener, Request, Response, Value, Wasm, json};

/// The name of the library, and of the plugin.
pub const MODULE: &str = "transform";

/// A pause between the parts of a body that is long enough for Envoy to see them one by one.
pub const PAUSE: Duration = Duration::from_millis(5);

/// The filter with these rules. Heads wait for their bodies if the document says so.
pub fn transform(document: Value) -> Wasm {
    let holds = document["allow_on_headers_stop_iteration"] == json!(true);
    let filter = Wasm::module(MODULE).config(document);
    if holds { filter.allow_on_headers_stop_iteration() } else { filter }
}

/// A listener with the filter, which passes trailers on and logs status and details.
pub fn listener(document: Value) -> Listener {
    Listener::new()
        .filter(transform(document))
        .http1_trailers()
        .access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%")
}

/// An Envoy with one rule.
pub async fn with_rule(rule: Value) -> Envoy {
    Envoy::start(listener(json!({ "rules": [rule] }))).await.unwrap()
}

/// An Envoy with one rule, whose heads wait for their bodies.
pub async fn holding(rule: Value) -> Envoy {
    let document = json!({ "rules": [rule], "allow_on_headers_stop_iteration": true });
    Envoy::start(listener(document)).await.unwrap()
}

/// A client for each version of HTTP.
pub fn clients(envoy: &Envoy) -> [Client; 2] {
    [envoy.http1(), envoy.http2()]
}

/// A request with a JSON body.
pub fn post(client: &Client, body: &str) -> Request {
    client.post("/").header("content-type", "application/json").body(body.to_owned())
}

/// A request whose response has a JSON body.
pub fn get(client: &Client, body: &str) -> Request {
    let reply = json!({ "headers": [["content-type", "application/json"]], "body": body });
    client.get("/").upstream(reply)
}

/// Checks that a response is a problem of the filter's.
#[track_caller]
pub fn assert_problem(response: &Response, status: u16) {
    assert_eq!(
        (response.status, response.header("content-type")),
        (status, Some("application/problem+json"))
    );
    assert_eq!(response.json()["status"], status);
}
