//! The forms of an answer, and who gets which.

use meshgate_e2e::{Envoy, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_the_form_that_they_accept() {
    let envoy = Envoy::start(failing(json!({}))).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        for path in ["/refused", "/"] {
            for (accept, content_type, begins) in [
                ("*/*", "application/problem+json", "{\"type\":"),
                ("application/json", "application/json", "{\"type\":"),
                (
                    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                    "text/html; charset=utf-8",
                    "<!doctype html>",
                ),
                ("application/problem+xml", "application/problem+xml", "<?xml version=\"1.0\""),
                ("text/xml", "text/xml; charset=utf-8", "<?xml version=\"1.0\""),
                ("text/html;q=0.1, text/plain;q=0.2, image/png", "text/plain; charset=utf-8", "503 "),
                ("application/problem+json;q=0, */*;q=0.1", "application/json", "{\"type\":"),
                ("image/png", "application/problem+json", "{\"type\":"),
            ] {
                let request = client
                    .get(path)
                    .header("accept", accept)
                    .upstream(json!({ "status": 503, "body": "trace" }));
                let response = request.send().await.unwrap();
                assert_eq!(
                    (response.status, response.header("content-type")),
                    (503, Some(content_type)),
                    "{accept}"
                );
                assert!(response.text().starts_with(begins), "{accept}: {}", response.text());
                assert_eq!(response.headers.all("vary"), ["Accept"]);
                assert_eq!(response.headers.all("content-length"), [response.body.len().to_string()]);
            }
            // Repeated lines are one list.
            let request = client.get(path).header("accept", "image/png").header("accept", "text/plain");
            let response = request.upstream(json!({ "status": 503 })).send().await.unwrap();
            assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_gets_the_head_alone() {
    let envoy = Envoy::start(failing(json!({}))).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        for path in ["/refused", "/"] {
            let head = client
                .request("HEAD", path)
                .header("accept", "text/plain")
                .upstream(json!({ "status": 503 }));
            let head = head.send().await.unwrap();
            assert_eq!((head.status, head.body.len()), (503, 0));
            assert_eq!(head.header("content-type"), Some("text/plain; charset=utf-8"));
            let length: usize = head.header("content-length").unwrap().parse().unwrap();
            assert!(length > 50);
            // The connection is good for another.
            assert_eq!(client.get("/").send().await.unwrap().status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_clients_get_a_status_without_trailers() {
    let envoy = Envoy::start(failing(json!({}))).await.unwrap();
    let client = envoy.http2();
    let call = |path: &str| {
        client
            .post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body("\0\0\0\0\0")
    };
    for (path, reply, status, message) in [
        ("/refused", json!({}), "14", "The service could not be reached."),
        ("/reset", json!({ "reset": true }), "14", "The service closed the connection"),
        ("/forbidden", json!({}), "7", "You may not do this"),
        ("/", json!({ "status": 500, "body": "trace" }), "13", "Something went wrong"),
        ("/", json!({ "status": 429, "headers": [["content-type", "text/html"]], "body": "<h1>" }), "", ""),
    ] {
        let response = call(path).upstream(reply).send().await.unwrap();
        if status.is_empty() {
            // An upstream's 4xx is left alone.
            assert_eq!((response.status, response.text()), (429, "<h1>"));
            continue;
        }
        assert_eq!((response.status, response.header("grpc-status")), (200, Some(status)), "{path}");
        let text = response.header("grpc-message").unwrap();
        assert!(text.starts_with(message), "{path}: {text}");
        assert_eq!((response.header("content-type"), response.body.len()), (Some("application/grpc"), 0));
        assert!(!text.contains("127.0.0.1") && response.headers.all("vary").is_empty());
    }
    // A service's own words stay, in head or trailers.
    let own = json!({ "headers": [["content-type", "application/grpc"], ["grpc-status", "5"], ["grpc-message", "no order 7"]] });
    assert_eq!(call("/").upstream(own).send().await.unwrap().header("grpc-message"), Some("no order 7"));
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_grpc_are_percent_encoded() {
    let document =
        json!({ "rules": [{ "respond": { "grpc_status": "DATA_LOSS", "detail": "50 % off: caf\u{e9}" } }] });
    let envoy = Envoy::start(listener(document)).await.unwrap();
    let call =
        envoy.http2().post("/").header("content-type", "application/grpc").upstream(json!({ "status": 500 }));
    let response = call.send().await.unwrap();
    assert_eq!(response.header("grpc-status"), Some("15"));
    assert_eq!(response.header("grpc-message"), Some("50 %25 off: caf%C3%A9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_lead_to_the_logs() {
    let envoy = Envoy::start(listener(json!({ "log": "all" }))).await.unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = envoy.get("/").header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let response = request.upstream(json!({ "status": 500 })).send().await.unwrap();
    let problem = problem(&response, 500, "about:blank");
    assert_eq!(problem["trace_id"], trace);
    let id = problem["request_id"].as_str().unwrap();
    let line = envoy.wait_for_log(id).await.unwrap();
    assert!(line.contains("status=500") && line.contains(trace), "{line}");
    // The upstream got the same id.
    assert_eq!(envoy.upstream().requests()[0].header("x-request-id"), Some(id));
}

/// What no filter sees gets a body from Envoy itself: by mappers, which leave the answers of the filter alone.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_for_local_reply_config() {
    let problem = json!({ "type": "urn:meshgate:problem:protocol-error", "status": "%RESPONSE_CODE%" });
    let mapper = json!({
        "filter": { "extension_filter": { "name": "envoy.access_loggers.extension_filters.cel", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            "expression": "response.code_details.startsWith('http')",
        } } },
        "body_format_override": { "json_format": problem, "content_type": "application/problem+json" },
    });
    let mappers = json!({ "local_reply_config": { "mappers": [mapper] } });
    let envoy = Envoy::start(listener(json!({})).connection_manager(mappers)).await.unwrap();
    let answer =
        meshgate_e2e::raw(envoy.addr(), "GET / HTTP/1.1\r\nhost: a\r\nx a: b\r\n\r\n").await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("problem:protocol-error"), "{answer}");
    let response = envoy.get("/").upstream(json!({ "reset": true })).send().await.unwrap();
    crate::support::problem(&response, 503, "urn:meshgate:problem:upstream-connection-termination");

    // A format for all would wrap those as well.
    let format = json!({ "text_format_source": { "inline_string": "wrapped %LOCAL_REPLY_BODY%" } });
    let wrapping = json!({ "local_reply_config": { "body_format": format } });
    let envoy = Envoy::start(listener(json!({})).connection_manager(wrapping)).await.unwrap();
    let response = envoy.get("/").upstream(json!({ "reset": true })).send().await.unwrap();
    assert!(response.text().starts_with("wrapped {\"type\":"), "{}", response.text());
}
