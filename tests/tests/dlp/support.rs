//! What the tests of this filter share.

use meshgate_e2e::{Client, Config, Envoy, Listener, Reply, Response, Value, Wasm, json};

/// The name of the library.
pub const MODULE: &str = "dlp";

/// A card that passes all checks, and is none.
pub const CARD: &str = "4111111111111111";
/// The same, but for its last four digits.
pub const MASKED: &str = "************1111";

/// One rule: cards in these places.
pub fn cards(places: Value, action: Value) -> Value {
    json!({ "rules": [{ "name": "cards", "find": "payment.card", "in": places, "do": action }] })
}

/// Masks all but the last four digits.
pub fn mask() -> Value {
    json!({ "mask": { "keep_last": 4 } })
}

/// The filter with a document, on a head that can wait for its body.
pub fn dlp(document: Value) -> Wasm {
    Wasm::module(MODULE).config(document).allow_on_headers_stop_iteration()
}

/// A listener with the filter, whose access log has what was found.
pub fn listener(document: Value) -> Listener {
    Listener::new()
        .filter(dlp(document))
        .http1_trailers()
        .access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.meshgate.dlp:PLAIN)%")
}

/// An Envoy with the filter.
pub async fn start(document: Value) -> Envoy {
    Envoy::start(listener(document)).await.unwrap()
}

/// An Envoy with the filter that speaks HTTP/2 to its upstream too.
pub async fn start_http2(document: Value) -> Envoy {
    Envoy::start(Config::from(listener(document)).http2_upstream()).await.unwrap()
}

/// What a client gets of a response.
pub async fn get(client: &Client, envoy: &Envoy, reply: Reply) -> Response {
    envoy.upstream().respond(reply);
    client.get("/").header("te", "trailers").send().await.unwrap()
}

/// A response of this type.
pub fn reply(content_type: &str) -> Reply {
    Reply::status(200).header("content-type", content_type)
}

/// The filter has not failed, and the card is nowhere in what Envoy tells of itself.
pub async fn assert_well(envoy: &Envoy) {
    let log = envoy.log();
    for failure in ["Function: ", "Wasm VM failed", "panicked", "Plugin configured to fail closed"] {
        assert!(!log.contains(failure), "{failure:?} in\n{log}");
    }
    let stats = envoy.admin("/stats").await.unwrap();
    for told in [log.as_str(), envoy.access_log().as_str(), stats.text()] {
        assert!(!told.contains(CARD), "{told}");
    }
}
