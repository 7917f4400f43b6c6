//! What no rule touches passes byte for byte, and what must never be held is not.

use std::time::Duration;

use meshgate_e2e::{Config, Envoy, RawConnection, RawUpstream, Reply, Value, json};

use crate::support::*;

/// A rule for all messages that works on JSON bodies, replaces bodies of one path, and leaves a mark on heads.
fn document() -> Value {
    let operations =
        json!([{ "set": { "json": "/a", "to": 1 } }, { "set": { "header": "x-seen", "to": "1" } }]);
    let replaced = json!([{ "set": { "body": { "replaced": true } } }]);
    json!({ "rules": [
        { "request": operations, "response": operations },
        { "match": { "path": "/replaced" }, "request": replaced, "response": replaced },
    ] })
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_other_types_and_sizes() {
    const LARGE: usize = 20 << 20;
    let envoy = Envoy::start(listener(document())).await.unwrap();
    let large: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    for client in clients(&envoy) {
        for (kind, body) in [
            ("application/octet-stream", large.clone()),
            ("text/plain", b"{\"a\":2}".to_vec()),
            ("application/x-ndjson", b"{}\n{}\n".to_vec()),
            ("application/json", Vec::new()),
        ] {
            envoy.upstream().forget_requests();
            envoy.upstream().respond(
                Reply::status(200).header("content-type", kind).header("etag", "\"1\"").body(body.clone()),
            );
            let request = client.post("/").header("content-type", kind).body(body.clone());
            let response = request.timeout(Duration::from_secs(60)).send().await.unwrap();
            let got = &envoy.upstream().requests()[0];
            assert!(got.body == body, "{kind}: {} bytes", got.body.len());
            assert_eq!(
                (got.header("x-seen"), got.header("content-length")),
                (Some("1"), Some(&*body.len().to_string()))
            );
            assert!(response.body == body, "{kind}: {} bytes", response.body.len());
            assert_eq!((response.header("x-seen"), response.header("etag")), (Some("1"), Some("\"1\"")));
            assert_eq!(response.header("content-length"), Some(&*body.len().to_string()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_without_a_body() {
    let envoy = Envoy::start(listener(document())).await.unwrap();
    for client in clients(&envoy) {
        for path in ["/", "/replaced"] {
            for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304), ("DELETE", 200)] {
                let reply = json!({ "status": status, "headers": [["content-type", "application/json"]] });
                let request = client.request(method, path).header("content-type", "application/json");
                let response = request.upstream(reply).send().await.unwrap();
                assert_eq!((response.status, response.text()), (status, ""), "{method} {status}");
                assert_eq!(response.header("x-seen"), Some("1"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_are_sent() {
    let envoy = Envoy::start(listener(document())).await.unwrap();
    for client in clients(&envoy) {
        for path in ["/", "/replaced"] {
            let (mut events, reply) = Reply::status(200).header("content-type", "text/event-stream").stream();
            envoy.upstream().respond(reply);
            let mut response = client.get(path).open().await.unwrap();
            for event in ["data: {\"a\":2}\n\n", "data: 2\n\n"] {
                events.send_data(event.into()).await.unwrap();
                assert_eq!(response.chunk().await.unwrap().unwrap(), event);
            }
            drop(events);
            assert_eq!(response.chunk().await.unwrap(), None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_messages_come_as_they_are_sent() {
    let envoy = Envoy::start(listener(document())).await.unwrap();
    let message = b"\0\0\0\0\x02{}".as_slice();
    let reply = Reply::status(200).header("content-type", "application/grpc+json").chunks([message]);
    envoy.upstream().respond(reply.trailer("grpc-status", "0"));
    for path in ["/", "/replaced"] {
        let (mut sender, request) =
            envoy.http2().post(path).header("content-type", "application/grpc+json").stream();
        sender.send_data(message.into()).await.unwrap();
        drop(sender);
        let response = request.header("te", "trailers").send().await.unwrap();
        assert_eq!((&response.body[..], response.header("x-seen")), (message, Some("1")));
    }
    assert!(envoy.upstream().requests().iter().all(|got| &got.body[..] == message));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_is_nobodys_body() {
    let upstream = RawUpstream::upgrade("websocket").await.unwrap();
    let config = Config::from(listener(document()).upgrades(&["websocket"])).upstream(upstream.addr());
    let envoy = Envoy::start(config).await.unwrap();
    for path in ["/", "/replaced"] {
        let mut client = RawConnection::open(envoy.addr()).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        );
        client.write(request).await.unwrap();
        let head = client.read_until("\r\n\r\n").await.unwrap();
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        for frame in ["{\"a\":2}", "\x01two"] {
            client.write(frame).await.unwrap();
            assert_eq!(client.read_until(frame).await.unwrap(), frame.as_bytes());
        }
    }
}

/// Rules on heads alone hold no body: the upstream gets what has come so far.
#[tokio::test(flavor = "multi_thread")]
async fn rules_on_heads_hold_no_body() {
    let envoy = with_rule(json!({ "response": [{ "set": { "header": "x", "to": "1" } }], "request": [{ "remove": { "query": "a" } }] })).await;
    let (mut body, reply) = Reply::status(200).header("content-type", "application/json").stream();
    envoy.upstream().respond(reply);
    let mut response = envoy.get("/?a=1").open().await.unwrap();
    for chunk in ["{\"a\":", "1}"] {
        body.send_data(chunk.into()).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), chunk);
    }
}
