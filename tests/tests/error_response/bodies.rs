//! What passes, byte for byte: all that no rule touches.

use std::time::Duration;

use bytes::Bytes;
use meshgate_e2e::{Config, Envoy, RawConnection, RawUpstream, Reply, json};

use crate::support::*;

const LARGE: usize = 20 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn good_responses_pass_byte_for_byte() {
    let envoy = Envoy::start(listener(json!({})).http1_trailers()).await.unwrap();
    let large = Bytes::from((0..LARGE).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    let pieces: Vec<Bytes> = large.chunks(64 << 10).map(Bytes::copy_from_slice).collect();
    for (reply, status, body, trailer) in [
        (Reply::status(200).body(large.clone()), 200, large.clone(), None),
        (Reply::status(200).chunks(pieces.clone()), 200, large.clone(), None),
        (Reply::status(404).chunks(pieces).trailer("x-sum", "7"), 404, large.clone(), Some("7")),
        (Reply::status(200).body(""), 200, Bytes::new(), None),
        (Reply::status(404).body(""), 404, Bytes::new(), None),
        (Reply::status(200).chunks([""; 0]).trailer("x-sum", "7"), 200, Bytes::new(), Some("7")),
        (Reply::status(204), 204, Bytes::new(), None),
        (Reply::status(302).header("location", "/x"), 302, Bytes::new(), None),
        (Reply::status(404).body("\u{0}\u{1}"), 404, Bytes::from("\u{0}\u{1}"), None),
    ] {
        let reply = reply.header("x-a", "1").header("x-a", b"\xff").header("etag", "\"e\"");
        envoy.upstream().respond(reply);
        for client in [envoy.http1(), envoy.http2()] {
            let response = client.get("/").header("te", "trailers").send().await.unwrap();
            assert_eq!(response.status, status);
            assert!(response.body == body, "{} bytes, not {}", response.body.len(), body.len());
            assert_eq!(response.headers.bytes("x-a"), [&b"1"[..], b"\xff"]);
            assert_eq!((response.header("etag"), response.header("vary")), (Some("\"e\""), None));
            assert_eq!(response.trailers.get("x-sum"), trailer);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_byte_for_byte() {
    let envoy = Envoy::start(listener(json!({})).http1_trailers()).await.unwrap();
    let large = "b".repeat(3 << 20);
    for client in [envoy.http1(), envoy.http2()] {
        let request = client
            .post("/a?b=%20")
            .header("te", "trailers")
            .header("x-a", b"\xfe\xff")
            .header("cookie", "a=1; b");
        let request =
            request.chunks([large.clone(), "end".into()], Duration::from_millis(1)).trailer("x-sum", "7");
        let response = request.send().await.unwrap();
        let echo = response.echo();
        assert_eq!((echo.path.as_str(), echo.body.len()), ("/a?b=%20", large.len() + 3));
        assert_eq!(
            (echo.headers.bytes("x-a"), echo.trailers.get("x-sum")),
            (vec![&b"\xfe\xff"[..]], Some("7"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_and_head_requests_pass() {
    let envoy = Envoy::start(listener(json!({}))).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let not_modified =
            json!({ "status": 304, "headers": [["etag", "\"e\""], ["cache-control", "max-age=9"]] });
        let response =
            client.get("/").header("if-none-match", "\"e\"").upstream(not_modified).send().await.unwrap();
        assert_eq!((response.status, response.body.len()), (304, 0));
        assert_eq!(response.header("cache-control"), Some("max-age=9"));
        let head = json!({ "headers": [["content-length", "1234"]] });
        let response = client.request("HEAD", "/").upstream(head).send().await.unwrap();
        assert_eq!((response.status, response.header("content-length")), (200, Some("1234")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_are_sent() {
    let envoy = Envoy::start(listener(json!({}))).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let events: Vec<_> = (0..1_000).map(|number| format!("data: {number}\n\n")).collect();
        let reply = json!({ "headers": [["content-type", "text/event-stream"]], "chunks": events, "chunk_delay_ms": 200 });
        let mut response = client.get("/").upstream(reply).open().await.unwrap();
        // The second comes long before the last.
        for expected in ["data: 0\n\n", "data: 1\n\n"] {
            assert_eq!(response.chunk().await.unwrap().unwrap(), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_streams_pass() {
    let envoy = Envoy::start(Config::from(listener(json!({}))).http2_upstream()).await.unwrap();
    let message = "\0\0\0\0\x05hello";
    let reply = json!({
        "headers": [["content-type", "application/grpc"]], "chunks": [message, message],
        "trailers": [["grpc-status", "14"], ["grpc-message", "on purpose"]],
    });
    let call = envoy.http2().post("/S/M").header("content-type", "application/grpc").header("te", "trailers");
    let response = call.body(message).upstream(reply).send().await.unwrap();
    assert_eq!((response.status, response.text()), (200, [message, message].concat().as_str()));
    assert_eq!(
        (response.trailers.get("grpc-status"), response.trailers.get("grpc-message")),
        (Some("14"), Some("on purpose"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_pass() {
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x01\x02frames";
    let upstream = RawUpstream::start(answer).await.unwrap();
    let upgrades = json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] });
    let config = Config::from(listener(json!({})).connection_manager(upgrades)).upstream(upstream.addr());
    let envoy = Envoy::start(config).await.unwrap();
    let mut connection = RawConnection::open(envoy.addr()).await.unwrap();
    let upgrade = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n";
    connection.write(upgrade).await.unwrap();
    let read = connection.read_until("\x01\x02frames").await.unwrap();
    assert!(read.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&read));

    // One that is refused is an error like others.
    let refusal = RawUpstream::start("HTTP/1.1 503 X\r\ncontent-length: 5\r\n\r\ntrace").await.unwrap();
    let upgrades = json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] });
    let config = Config::from(listener(json!({})).connection_manager(upgrades)).upstream(refusal.addr());
    let envoy = Envoy::start(config).await.unwrap();
    let mut connection = RawConnection::open(envoy.addr()).await.unwrap();
    connection.write(upgrade).await.unwrap();
    let read = connection.read_until("}").await.unwrap();
    let read = String::from_utf8_lossy(&read);
    assert!(
        read.starts_with("HTTP/1.1 503 ") && read.contains("problem+json") && !read.contains("trace\""),
        "{read}"
    );
}
