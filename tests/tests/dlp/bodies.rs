//! Bodies that pass while they are looked into: of any size, in any pieces, and byte for byte where nothing is found.

use std::time::Duration;

use meshgate_e2e::{Config, Envoy, Listener, RawConnection, RawUpstream, Reply, Wasm, json, lua};

use crate::support::*;

fn card_json(card: &str) -> String {
    format!(r#"{{"id":1,"card":"{card}","note":"\u00e9\n"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_masked_both_ways_and_in_both_versions() {
    let document = cards(json!(["request.body", "response.body"]), mask());
    for envoy in [start(document.clone()).await, start_http2(document.clone()).await] {
        for client in [envoy.http1(), envoy.http2()] {
            let request = client.post("/").header("content-type", "application/json");
            let response =
                request.body(card_json(CARD)).upstream(json!({ "status": 200 })).send().await.unwrap();
            assert_eq!(response.status, 200);
            let got = envoy.upstream().requests().pop().unwrap();
            assert_eq!(got.text(), card_json(MASKED));

            let reply = reply("application/json").body(card_json(CARD));
            let response = get(&client, &envoy, reply).await;
            assert_eq!(response.text(), card_json(MASKED));
            let length = card_json(CARD).len().to_string();
            assert_eq!(response.header("content-length"), Some(length.as_str()), "masks keep the length");
        }
        assert_well(&envoy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_and_trailers_make_no_difference() {
    let document = cards(json!(["request.body", "response.body"]), mask());
    for envoy in [start(document.clone()).await, start_http2(document.clone()).await] {
        for client in [envoy.http1(), envoy.http2()] {
            for (body, expected) in [
                (card_json(CARD), card_json(MASKED)),
                (format!("card: {CARD}"), format!("card: {MASKED}")),
                ("no card, 4111".to_owned(), "no card, 4111".to_owned()),
            ] {
                let pieces: Vec<String> = body.chars().map(String::from).collect();
                let reply =
                    reply("application/json").chunks(pieces.clone()).chunk_delay(Duration::from_millis(1));
                let response = get(&client, &envoy, reply.clone()).await;
                assert_eq!(response.text(), expected);
                let reply = reply.header("trailer", "x-end").trailer("x-end", "1");
                let response = get(&client, &envoy, reply).await;
                assert_eq!((response.text(), response.trailers.get("x-end")), (expected.as_str(), Some("1")));

                envoy.upstream().respond(Reply::status(200));
                let post = || client.post("/").header("content-type", "application/json");
                let request = post().chunks(pieces.clone(), Duration::from_millis(1));
                assert_eq!(request.send().await.unwrap().status, 200);
                let got = envoy.upstream().requests().pop().unwrap();
                assert_eq!(got.text(), expected);
                let trailers = post().body(body.clone()).trailer("x-end", "1");
                assert_eq!(trailers.send().await.unwrap().status, 200, "{body}");
                let got = envoy.upstream().requests().pop().unwrap();
                assert_eq!((got.text(), got.trailers.get("x-end")), (expected.as_str(), Some("1")));
            }
        }
        assert_well(&envoy).await;
    }
}

/// Whatever is in front of a value, it is found, and JSON stays JSON.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_front_of_a_value_does_not_hide_it() {
    let envoy = start(cards(json!(["request.body", "response.body"]), mask())).await;
    for client in [envoy.http1(), envoy.http2()] {
        for count in [64, 65, 600, 601, 70_000, 70_001] {
            let row = "\\".repeat(count);
            let (before, after) = match count % 2 {
                0 => (
                    format!("[\"{row}\\u0034111111111111111\"]"),
                    format!("[\"{row}\\u002a***********1111\"]"),
                ),
                _ => (format!("[\"{row}\", {CARD}\"]"), format!("[\"{row}\", {MASKED}\"]")),
            };
            let halves = before.split_at(before.len() / 2);
            let chunks = [halves.0.to_owned(), halves.1.to_owned()];
            let response = get(&client, &envoy, reply("application/json").chunks(chunks)).await;
            assert!(response.text() == after, "{count}");
        }
    }
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_stays_a_number() {
    let envoy = start(cards(json!("response.body"), mask())).await;
    for (kind, before, after) in [
        (
            "application/json",
            "[4111111111111111.0,4111111111111111E0]",
            "[9999999999991111.0,9999999999991111E0]",
        ),
        ("text/event-stream", "data: 4111111111111111\n\n", "data: 9999999999991111\n\n"),
        (
            "application/json-seq",
            "\u{1e}4111111111111111\n\u{1e}[1]\n",
            "\u{1e}9999999999991111\n\u{1e}[1]\n",
        ),
        (
            "application/x-ndjson",
            "4111111111111111\r\n[4111111111111111]\r\n",
            "9999999999991111\r\n[9999999999991111]\r\n",
        ),
    ] {
        for client in [envoy.http1(), envoy.http2()] {
            let pieces = before.chars().map(String::from);
            let response = get(&client, &envoy, reply(kind).chunks(pieces)).await;
            assert_eq!(response.text(), after, "{kind}");
        }
    }
    assert_well(&envoy).await;
}

/// 20 MiB of JSON with numbers and words in it, and no card.
fn large() -> String {
    let mut body = String::from("[");
    let mut number = 1_u64;
    while body.len() < 20 << 20 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let record = json!({ "id": number >> 40, "name": format!("user {}", number % 977), "tags": ["a", "b"], "at": 1.5 });
        body.push_str(&record.to_string());
        body.push(',');
    }
    body.push_str("null]");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_mebibytes_pass_byte_for_byte_and_are_never_held() {
    let body = large();
    let listener = listener(cards(json!(["request.body", "response.body"]), mask())).buffer_limit(128 << 10);
    let envoy = Envoy::start(listener).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let response = get(&client, &envoy, reply("application/json").body(body.clone())).await;
        assert!(response.body == body, "{} bytes", response.body.len());
        let chunked = reply("application/json").chunks([body.clone()]).trailer("x-end", "1");
        let response = get(&client, &envoy, chunked).await;
        assert!(response.body == body && response.trailers.get("x-end") == Some("1"));

        envoy.upstream().respond(Reply::status(200));
        envoy.upstream().forget_requests();
        let post = client.post("/").header("content-type", "application/json").body(body.clone());
        assert_eq!(post.send().await.unwrap().status, 200);
        assert!(envoy.upstream().requests().pop().unwrap().body == body);
        envoy.upstream().forget_requests();
    }
    let with_card = body.replacen("\"user 0\"", &format!("\"{CARD}\""), 1_000);
    assert!(with_card.contains(CARD));
    let response = get(&envoy.http1(), &envoy, reply("application/json").body(with_card.clone())).await;
    assert!(response.text() == with_card.replace(CARD, MASKED));
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_there_are_not_waited_for() {
    let envoy = start(cards(json!(["request.body", "response.body"]), mask())).await;
    for client in [envoy.http1(), envoy.http2()] {
        for status in [204, 304] {
            let reply =
                Reply::status(status).header("content-type", "application/json").header("etag", "\"a\"");
            let response = get(&client, &envoy, reply).await;
            assert_eq!((response.status, response.header("etag")), (status, Some("W/\"a\"")));
            assert!(response.body.is_empty());
        }
        envoy.upstream().respond(reply("application/json").header("content-length", "46"));
        let response = client.request("HEAD", "/").send().await.unwrap();
        assert_eq!((response.status, response.header("content-length")), (200, Some("46")));
        let response = get(&client, &envoy, reply("application/json").body("")).await;
        assert_eq!((response.status, response.text()), (200, ""));
        let empty =
            client.post("/").header("content-type", "application/json").body("").send().await.unwrap();
        assert_eq!(empty.status, 200);
    }
    assert_well(&envoy).await;
}

/// A router that may repeat a request keeps what it was passed in the buffer that filters hold bodies in.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_repeats_requests_gets_each_byte_once() {
    let retry = json!({ "match": { "prefix": "/" }, "route": {
        "cluster": "upstream", "retry_policy": { "retry_on": "5xx", "num_retries": 1 },
    } });
    let envoy = Envoy::start(listener(cards(json!("request.body"), mask())).route(retry)).await.unwrap();
    envoy.upstream().respond(Reply::status(503));
    for client in [envoy.http1(), envoy.http2()] {
        envoy.upstream().forget_requests();
        let pieces = ["[\"text\",", "\"4111", "1111", "11111111\",", "4111", "111111111111,", "1]"];
        let post = client.post("/").header("content-type", "application/json");
        let response = post.chunks(pieces, Duration::from_millis(20)).send().await.unwrap();
        assert_eq!(response.status, 503);
        let got = envoy.upstream().requests();
        assert_eq!(got.len(), 2);
        for got in got {
            assert_eq!(got.text(), "[\"text\",\"************1111\",9999999999991111,1]");
        }
    }
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_one_by_one() {
    let envoy = start(cards(json!("response.body"), mask())).await;
    for client in [envoy.http1(), envoy.http2()] {
        let (mut sender, reply) = reply("text/event-stream").stream();
        envoy.upstream().respond(reply);
        let mut response = client.get("/").open().await.unwrap();
        for card in [CARD, "none", CARD] {
            let event = format!("data: {{\"card\":\"{card}\"}}\n\n");
            sender.send_data(event.clone().into()).await.unwrap();
            let mut got = Vec::new();
            while got.len() < event.len() {
                got.extend(response.chunk().await.unwrap().expect("an event"));
            }
            assert_eq!(String::from_utf8(got).unwrap(), event.replace(CARD, MASKED));
        }
        drop(sender);
        assert_eq!(response.chunk().await.unwrap(), None);
    }
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_is_left_alone() {
    let envoy = start_http2(cards(json!(["request.body", "response.body"]), mask())).await;
    let client = envoy.http2();
    let bytes: Vec<u8> = (0..=255).chain(CARD.bytes()).chain(0..=255).collect();
    for kind in ["application/grpc", "application/grpc+json", "application/octet-stream", "image/png"] {
        let answer = reply(kind).body(bytes.clone()).trailer("grpc-status", "0");
        envoy.upstream().respond(answer);
        let post = client.post("/svc/Method").header("content-type", kind).header("te", "trailers");
        let response = post.body(bytes.clone()).send().await.unwrap();
        assert_eq!(response.body, bytes, "{kind}");
        assert_eq!(response.trailers.get("grpc-status"), Some("0"));
        assert_eq!(envoy.upstream().requests().pop().unwrap().body, bytes);
    }
    assert_eq!(envoy.stat("wasmcustom.meshgate.dlp.bodies.other_type").await.unwrap(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_a_websocket_are_left_alone() {
    let upstream = RawUpstream::upgrade("websocket").await.unwrap();
    let listener = Listener::new()
        .filter(dlp(cards(json!(["request.body", "response.body"]), mask())))
        .upgrades(&["websocket"]);
    let envoy = Envoy::start(Config::from(listener).upstream(upstream.addr())).await.unwrap();
    let mut client = RawConnection::open(envoy.addr()).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write(request).await.unwrap();
    let head = client.read_until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    for frame in [CARD, "two"] {
        client.write(frame).await.unwrap();
        assert_eq!(client.read_until(frame).await.unwrap(), frame.as_bytes());
    }
}

/// Two filters that keep parts of one body, whichever of them stands in front, and Lua that keeps all of it.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_another_filter_holds_are_looked_into() {
    let rename = json!({ "rules": [{ "response": [{ "rename": { "json": "/fullName", "to": "name" } }] }] });
    let transform = || Wasm::module("transform").config(rename.clone());
    let holds = || lua("function envoy_on_response(handle) handle:body() end");
    let behind =
        |listener: Listener| listener.filter(dlp(cards(json!("response.body"), mask()))).http1_trailers();
    let in_front = || behind(Listener::new());
    for listener in [
        in_front().filter(transform()),
        behind(Listener::new().filter(transform())),
        in_front().filter(transform()).filter(holds()),
        behind(Listener::new().filter(holds()).filter(transform())),
    ] {
        let envoy = Envoy::start(listener).await.unwrap();
        let renames: [(&[&str], &str); 4] = [
            (&["[", "[41111", "11111111111],[1,2]]"], "[[9999999999991111],[1,2]]"),
            (&["[[", "4111111111111111", "],\"abc\"]"], "[[9999999999991111],\"abc\"]"),
            (
                &["{\"fullName\":\"Ada\", ", "\"card\":\"4111-1111-", "1111-1111\"}"],
                "{\"name\":\"Ada\", \"card\":\"****-****-****-1111\"}",
            ),
            (
                &[
                    "{\"fullName\":\"Ada\",",
                    "\"a\":\"x 4111-1111-",
                    "1111-1111 y 411",
                    "1-1111-",
                    "1111-1111\"",
                    "}",
                ],
                "{\"name\":\"Ada\",\"a\":\"x ****-****-****-1111 y ****-****-****-1111\"}",
            ),
        ];
        for client in [envoy.http1(), envoy.http2()] {
            for (chunks, expected) in renames {
                let reply = reply("application/json")
                    .chunks(chunks.iter().map(|chunk| chunk.to_string()))
                    .chunk_delay(Duration::from_millis(30));
                assert_eq!(get(&client, &envoy, reply.clone()).await.text(), expected);
                let response = get(&client, &envoy, reply.trailer("x-end", "1")).await;
                assert_eq!((response.text(), response.trailers.get("x-end")), (expected, Some("1")));
            }
        }
        assert_well(&envoy).await;
    }
}
