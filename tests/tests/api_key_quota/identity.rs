//! Who the upstream is told it was: nothing that a client says about that ever reaches it.

use meshgate_e2e::{Envoy, Received, json, raw};

use crate::support::*;

/// The fields with which a request could name a consumer, as the upstream got them.
fn named(request: &Received) -> Vec<(String, String)> {
    let fields = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()));
    fields.filter(|(name, _)| name.replace('_', "-").starts_with("x-consumer-")).collect()
}

fn ours() -> Vec<(String, String)> {
    let fields = [("x-consumer-name", "acme"), ("x-consumer-plan", "free"), ("x-consumer-key-id", "acme-1")];
    fields.map(|(name, value)| (name.into(), value.into())).into()
}

const FORGED: [(&str, &str); 9] = [
    ("x-consumer-name", "mallory"),
    ("x-consumer-name", "acme"),
    ("x-consumer-plan", "gold"),
    ("x-consumer-key-id", ""),
    ("x-consumer-groups", "admin"),
    ("x_consumer_name", "mallory"),
    ("x-consumer_name", "mallory"),
    ("x_consumer-anything", "1"),
    ("x-consumer-", "1"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_hears_of_the_consumer_from_us_only() {
    let envoy = Envoy::start(listener(with(everywhere(), "/match", json!({ "method": ["GET", "POST"] }))))
        .await
        .unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        for (method, expected) in [("GET", ours()), ("POST", ours()), ("OPTIONS", vec![]), ("DELETE", vec![])]
        {
            let request =
                client.request(method, "/").header("x-api-key", "acme-key").header("x-consumers", "stays");
            let request = FORGED.iter().fold(request, |request, (name, value)| request.header(name, value));
            let echo = request.send().await.unwrap().echo();
            assert_eq!(named(&echo), expected, "{method}");
            assert_eq!(echo.header("x-consumers"), Some("stays"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_case_of_a_forged_name_makes_no_difference() {
    let envoy =
        Envoy::start(listener(with(everywhere(), "/match", json!({ "method": "GET" })))).await.unwrap();
    for (method, expected) in [("GET", ours()), ("OPTIONS", vec![])] {
        let head = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nX-API-Key: acme-key\r\nX-Consumer-Name: mallory\r\nX_CONSUMER_PLAN: gold\r\n\
             x-CONSUMER-name: mallory\r\nX-Consumer_Key-ID: 1\r\nConnection: close\r\n\r\n"
        );
        let answer = raw(envoy.addr(), head).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        assert_eq!(named(&envoy.upstream().requests().pop().unwrap()), expected, "{method}");
    }
}

/// A client cannot have the fields of ours removed on the way: `Connection` names what ends with a connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_have_our_fields_removed() {
    let envoy = Envoy::start(listener(everywhere())).await.unwrap();
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: acme-key\r\nConnection: close, x-consumer-name, x-consumer-plan\r\n\r\n";
    let answer = raw(envoy.addr(), head).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    let request = envoy.upstream().requests().pop().unwrap();
    assert_eq!((named(&request), request.header("connection")), (ours(), None));
}

/// Nothing of it comes back either.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_names_nobody() {
    let envoy = Envoy::start(listener(everywhere())).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let request = client.get("/").header("x-api-key", "hunter2").header("x-consumer-name", "acme");
        let response = request.send().await.unwrap();
        assert_eq!(response.status, 401);
        let seen = format!("{response:?}");
        assert!(!seen.contains("acme") && !seen.contains("hunter2"), "{seen}");
    }
    assert!(envoy.upstream().requests().is_empty());
    assert!(!envoy.log().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_are_no_headers() {
    let listener = listener(everywhere()).http1_trailers();
    let envoy = Envoy::start(listener).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let request = client.post("/").header("te", "trailers").body("hello").header("x-api-key", "acme-key");
        let echo = request.trailer("x-consumer-name", "mallory").send().await.unwrap().echo();
        assert_eq!((named(&echo), echo.text()), (ours(), "hello"));
    }
}

/// A name that we could not remove is not let through: neither with a key nor where none is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_name_that_cannot_be_removed_is_refused() {
    let envoy =
        Envoy::start(listener(with(everywhere(), "/match", json!({ "method": "GET" })))).await.unwrap();
    let detail =
        "The name of a request header starts with x-consumer- and is too long or not valid. Leave it out.";
    let (longest, longer) =
        (format!("x-consumer-{}", "a".repeat(245)), format!("x_consumer_{}", "a".repeat(246)));
    let mut expected = Vec::new();
    for client in [envoy.http1(), envoy.http2()] {
        for method in ["GET", "OPTIONS"] {
            let request = || client.request(method, "/").header("x-api-key", "acme-key");
            assert_eq!(request().header(&longest, "1").send().await.unwrap().status, 200);
            assert_problem(&request().header(&longer, "1").send().await.unwrap(), 400, detail);
            expected.extend(["200 via_upstream", "400 meshgate_header_invalid"]);
        }
    }
    assert_eq!(envoy.wait_for_access_log(expected.len()).await.unwrap(), expected);
    for request in envoy.upstream().requests() {
        assert!(request.headers.names().iter().all(|name| name.len() < 200));
    }
}

/// A route can be chosen by what a consumer has bought.
#[tokio::test(flavor = "multi_thread")]
async fn routes_match_on_the_plan() {
    let config = document(json!({ "free": {}, "gold": {} }), &[("acme", "free"), ("apex", "gold")]);
    let gold = json!({ "prefix": "/", "headers": [{ "name": "x-consumer-plan", "string_match": { "exact": "gold" } }] });
    let answer = json!({ "status": 200, "body": { "inline_string": "the golden route" } });
    let listener = listener(config).route(json!({ "match": gold, "direct_response": answer }));
    let envoy = Envoy::start(listener).await.unwrap();
    let get =
        |key: &'static str| envoy.get("/").header("x-api-key", key).header("x-consumer-plan", "gold").send();
    assert_eq!(get("apex-key").await.unwrap().text(), "the golden route");
    assert_eq!(get("acme-key").await.unwrap().echo().header("x-consumer-plan"), Some("free"));
}
