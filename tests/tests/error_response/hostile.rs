//! What clients and upstreams can send to harm the filter: each gets an answer, and no VM dies of it.

use meshgate_e2e::{Config, Envoy, RawUpstream, json, raw};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn no_request_kills_a_worker() {
    let document = json!({ "include": ["request_id", "trace_id"], "rules": [{ "match": { "status": "5xx" }, "respond": {
        "detail": "{{ request.path }} {{ request.query.q }} {{ request.headers['x-a'] }}",
        "members": { "first": "{{ request.headers['x-a'] }}", "second": "{{ request.query_all.q }}" },
        "headers": { "set": { "x-echo": "{{ request.headers['x-a'] }}", "x-query": "{{ request.query.q }}" } },
    } }] });
    let listener = listener(document).max_headers_count(2_000).max_request_headers_kb(512);
    let envoy = Envoy::start(Config::from(listener).concurrency(2)).await.unwrap();
    let fail = json!({ "status": 500, "body": "trace" });
    let all: Vec<u8> = (0x80..=0xff).collect();
    let long = "a/b;q=0.5,".repeat(6_500);
    let ranges = "text/html;level=1;q=0.123,".repeat(1_000);
    for client in [envoy.http1(), envoy.http2()] {
        for accept in [
            all.as_slice(),
            long.as_bytes(),
            ranges.as_bytes(),
            b"\"",
            b",,,;;;q=",
            b"*/*;q=",
            b"text/html;q=0.0000000001",
        ] {
            let response =
                client.get("/").header("accept", accept).upstream(fail.clone()).send().await.unwrap();
            assert_eq!(response.status, 500);
            assert!(!response.body.is_empty());
        }
        let many =
            (0..1_000).fold(client.get("/"), |request, _| request.header("accept", "text/plain;q=0.1"));
        assert_eq!(
            many.upstream(fail.clone()).send().await.unwrap().header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        for value in [
            all.as_slice(),
            b"<script>alert(1)</script>",
            b"\"}, {\"a\": \"",
            b"]]>&amp;",
            b"{{ 7919 * 7907 }}",
        ] {
            for accept in ["*/*", "text/html", "text/xml", "text/plain", "application/json"] {
                let request =
                    client.get("/%3Cscript%3E?q=%0d%0aset-cookie:%20a=1&q=%3Cb%3E").header("x-a", value);
                let request = request
                    .header("x-request-id", value)
                    .header("traceparent", value)
                    .header("accept", accept);
                let response = request.upstream(fail.clone()).send().await.unwrap();
                assert_eq!((response.status, response.header("set-cookie")), (500, None));
                let text = response.text();
                match accept {
                    "*/*" | "application/json" => drop(response.json()),
                    "text/plain" => {}
                    _ => assert!(!text.contains("<script>") && !text.contains("<b>"), "{text}"),
                }
                assert!(!text.contains("62615533"), "{text}");
            }
        }
    }
    assert_alive(&envoy).await;
}

/// Wrong lengths, wrong types, statuses that are none, lines in values.
#[tokio::test(flavor = "multi_thread")]
async fn no_upstream_kills_a_worker() {
    let cases: [(&[u8], u16); 10] = [
        (b"HTTP/1.1 500 X\r\ncontent-type: \xff\xfe\r\ncontent-length: 3\r\n\r\nxyz", 500),
        (
            b"HTTP/1.1 500 X\r\ncontent-type: text/html\r\ncontent-type: a/b\r\ncontent-length: 3\r\n\r\nxyz",
            500,
        ),
        (b"HTTP/1.1 500 X\r\ncontent-length: 100\r\n\r\nxyz", 500),
        (b"HTTP/1.1 503 X\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 503),
        (
            b"HTTP/1.1 599 X\r\nset-cookie: \xff\r\nretry-after: \xff\r\nvary: \xff\r\ncontent-length: 0\r\n\r\n",
            599,
        ),
        (b"HTTP/1.1 600 X\r\ncontent-length: 3\r\n\r\nxyz", 502),
        (b"HTTP/1.1 999 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\nxyz\r\n", 502),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", 500),
        (b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\nHTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", 500),
        (b"HTTP/1.1 500 X\r\nset-cookie: a=\x01\r\ncontent-length: 0\r\n\r\n", 502),
    ];
    // One Envoy, and a route to each of them.
    let mut listener = listener(json!({}));
    let mut upstreams = vec![];
    for (number, (answer, _)) in cases.iter().enumerate() {
        let name = format!("u{number}");
        let action = json!({ "match": { "prefix": format!("/{name}") }, "route": { "cluster": name } });
        listener = listener.route(action);
        upstreams.push((name, RawUpstream::start(*answer).await.unwrap()));
    }
    let config = upstreams
        .iter()
        .fold(Config::from(listener), |config, (name, upstream)| config.cluster(name, upstream.addr()));
    let envoy = Envoy::start(config).await.unwrap();
    for ((name, _), (answer, status)) in upstreams.iter().zip(cases) {
        let request = format!("GET /{name} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let response = raw(envoy.addr(), request).await.unwrap();
        let response = String::from_utf8_lossy(&response);
        let shown = answer.escape_ascii().to_string();
        assert!(response.contains(&format!("HTTP/1.1 {status} ")), "{shown}: {response}");
        // Not what an id in hexadecimal could hold.
        assert!(!response.contains("xyz"), "{shown}: {response}");
    }
    assert_alive(&envoy).await;
}
