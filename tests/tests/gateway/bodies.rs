//! Bodies of all kinds and sizes on their way through the pipeline.

use std::time::Duration;

use meshgate_e2e::{Config, Envoy, RawConnection, RawUpstream, Reply, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn pieces_and_trailers_make_no_difference() {
    let document = all(wide());
    for envoy in [start(document.clone()).await, start_http2(document).await] {
        for client in [envoy.http1(), envoy.http2()] {
            let body = format!(r#"{{"id":1,"internal":[1,2],"card":"{CARD}"}}"#);
            let expected = format!(r#"{{"id":1,"card":"{MASKED}"}}"#);
            let sent = format!(r#"{{"id":1,"internal":[1,2],"card":"{MASKED}"}}"#);
            let pieces: Vec<String> = body.chars().map(String::from).collect();
            let chunked = json_reply("").chunks(pieces.clone()).chunk_delay(Duration::from_millis(1));
            assert_eq!(get(&client, &envoy, chunked.clone()).await.text(), expected);
            let response =
                get(&client, &envoy, chunked.header("trailer", "x-end").trailer("x-end", "1")).await;
            assert_eq!((response.text(), response.trailers.get("x-end")), (expected.as_str(), Some("1")));

            envoy.upstream().respond(Reply::status(200));
            let post = || with_key(client.post("/")).header("content-type", "application/json");
            assert_eq!(post().chunks(pieces, Duration::from_millis(1)).send().await.unwrap().status, 200);
            assert_eq!(envoy.upstream().requests().pop().unwrap().text(), sent);
            assert_eq!(post().body(body.clone()).trailer("x-end", "1").send().await.unwrap().status, 200);
            let got = envoy.upstream().requests().pop().unwrap();
            assert_eq!((got.text(), got.trailers.get("x-end")), (sent.as_str(), Some("1")));
        }
        assert_well(&envoy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_body_stays_without() {
    let envoy = start(all(wide())).await;
    for client in [envoy.http1(), envoy.http2()] {
        envoy.upstream().respond(json_reply(r#"{"internal":1}"#));
        let response = with_key(client.request("HEAD", "/")).send().await.unwrap();
        assert_eq!((response.status, response.text()), (200, ""));
        let refused = client.request("HEAD", "/").send().await.unwrap();
        assert_eq!((refused.status, refused.text()), (401, ""));
        for status in [204, 304] {
            let response = get(&client, &envoy, Reply::status(status)).await;
            assert_eq!(
                (response.status, response.text(), response.header("x-edited")),
                (status, "", Some("1"))
            );
        }
    }
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_in_both_directions() {
    // What is streamed is not held, so Envoy's buffer limit is no limit.
    let document =
        json!({"pipeline": [{"error-response": {}}, {"api-key-quota": quota(wide())}, {"dlp": cards()}]});
    let envoy = start(document).await;
    let size = 20 << 20;
    let line = format!("{}\n", "some text without a number, over and over again ".repeat(20));
    let text = |card: &str| {
        let mut text = line.repeat(size / line.len() / 2);
        text.push_str(&format!("card {card}\n"));
        text.push_str(&line.repeat(size / line.len() / 2));
        text
    };
    for client in [envoy.http1(), envoy.http2()] {
        let reply = Reply::status(200).header("content-type", "text/plain").body(text(CARD));
        let response = get(&client, &envoy, reply).await;
        assert!(response.text() == text(MASKED), "{} bytes", response.body.len());
        envoy.upstream().respond(Reply::status(200));
        envoy.upstream().forget_requests();
        let post = with_key(client.post("/")).header("content-type", "text/plain").body(text(CARD));
        assert_eq!(post.timeout(Duration::from_secs(60)).send().await.unwrap().status, 200);
        assert!(envoy.upstream().requests().pop().unwrap().text() == text(MASKED));
    }
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_grpc_and_events_are_not_held() {
    let envoy = start_http2(all(wide())).await;
    let client = envoy.http2();
    for (kind, message) in
        [("application/grpc", vec![0_u8, 0, 0, 0, 1, 7]), ("text/event-stream", b"data: 1\n\n".to_vec())]
    {
        let (mut sender, reply) = Reply::status(200).header("content-type", kind).stream();
        envoy.upstream().respond(reply);
        let request = with_key(client.post("/s/M")).header("content-type", "application/grpc");
        // The response has not ended, and what there is of it has passed.
        let request = request.header("te", "trailers").body(message.clone());
        let mut response = request.open().await.unwrap();
        assert_eq!(envoy.upstream().requests().pop().unwrap().body, message);
        for _ in 0..3 {
            sender.send_data(message.clone().into()).await.unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap(), message);
        }
        drop(sender);
        assert_eq!(response.chunk().await.unwrap(), None);
    }
    let refused =
        client.post("/s/M").header("content-type", "application/grpc").body("x").send().await.unwrap();
    assert_eq!((refused.status, refused.header("grpc-status")), (200, Some("16")));
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_a_websocket_are_left_alone() {
    let upstream = RawUpstream::upgrade("websocket").await.unwrap();
    let listener = listener(all(wide())).upgrades(&["websocket"]);
    let envoy = Envoy::start(Config::from(listener).upstream(upstream.addr())).await.unwrap();
    let mut client = RawConnection::open(envoy.addr()).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    client.write(request).await.unwrap();
    let head = client.read_until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    for frame in [CARD, "two"] {
        client.write(frame).await.unwrap();
        assert_eq!(client.read_until(frame).await.unwrap(), frame.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_waits_for_its_body_where_a_stage_says_so() {
    let to_head = json!({"allow_on_headers_stop_iteration": true, "rules": [
        {"request": [{"copy": {"from": {"json": "/user"}, "to": {"header": "x-user"}}}]}]});
    let per_user = json!({"rules": [{"match": {"header": {"x-user": "ada"}}, "request": [{"set": {"header": "x-vip", "to": "1"}}]}]});
    let envoy = start(json!({"pipeline": [
        {"name": "head", "transform": to_head},
        {"api-key-quota": quota(wide())},
        {"dlp": cards()},
        {"name": "vip", "transform": per_user},
    ]}))
    .await;
    for client in [envoy.http1(), envoy.http2()] {
        let pieces = ["{\"user\":", "\"ada\",", "\"card\":\"4111", "111111111111\"}"];
        let post = with_key(client.post("/")).header("content-type", "application/json");
        let response = post.chunks(pieces, Duration::from_millis(20)).send().await.unwrap();
        assert_eq!(response.status, 200);
        let got = envoy.upstream().requests().pop().unwrap();
        assert_eq!((got.header("x-user"), got.header("x-vip")), (Some("ada"), Some("1")));
        assert_eq!(got.text(), format!("{{\"user\":\"ada\",\"card\":\"{MASKED}\"}}"));
    }
    assert_well(&envoy).await;
}
