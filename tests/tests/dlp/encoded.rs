//! Encoded bodies.

use meshgate_coding::{Caps, Coding, decode, encode};
use meshgate_e2e::{Reply, Response, json};

use crate::support::*;

/// Large enough to come in pieces.
fn body(card: &str) -> String {
    let filler: Vec<String> = (0..20_000_u64).map(|number| (number * 7_919 % 10_007).to_string()).collect();
    format!("{{\"numbers\":[{}],\"card\":\"{card}\"}}", filler.join(","))
}

fn encoded(coding: Coding, body: &str) -> Reply {
    let bytes = encode(coding, body.as_bytes()).unwrap();
    reply("application/json").header("content-encoding", coding.name().unwrap()).body(bytes)
}

fn plain(response: &Response) -> String {
    let fields = response.headers.bytes("content-encoding");
    let coding = Coding::of(fields).unwrap();
    String::from_utf8(decode(coding, &response.body, &Caps::default()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_decoded_and_encoded_again() {
    let document = cards(json!(["request.body", "response.body"]), mask());
    for envoy in [start(document.clone()).await, start_http2(document.clone()).await] {
        for client in [envoy.http1(), envoy.http2()] {
            for coding in [Coding::Gzip, Coding::Deflate] {
                let response = get(&client, &envoy, encoded(coding, &body(CARD))).await;
                assert_eq!(response.header("content-encoding"), coding.name());
                assert!(plain(&response) == body(MASKED));
                let response = get(&client, &envoy, encoded(coding, &body(CARD)).trailer("x-end", "1")).await;
                assert!(plain(&response) == body(MASKED));
                assert_eq!(response.trailers.get("x-end"), Some("1"));

                envoy.upstream().respond(Reply::status(200));
                let post = client.post("/").header("content-type", "application/json");
                let post = post.header("content-encoding", coding.name().unwrap());
                let post = post.body(encode(coding, body(CARD).as_bytes()).unwrap());
                assert_eq!(post.send().await.unwrap().status, 200);
                let got = envoy.upstream().requests().pop().unwrap();
                let got = decode(coding, &got.body, &Caps::default()).unwrap();
                assert!(got == body(MASKED).as_bytes());
            }
        }
        assert_well(&envoy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decoded_does_not_pass() {
    let envoy = start(cards(json!(["request.body", "response.body"]), mask())).await;
    let unknown = reply("application/json").header("content-encoding", "zstd").body("data");
    assert_eq!(get(&envoy.http1(), &envoy, unknown).await.status, 502);
    let post = envoy.post("/").header("content-type", "application/json").header("content-encoding", "zstd");
    assert_eq!(post.body("data").send().await.unwrap().status, 415);
    let broken = encoded(Coding::Gzip, "{}").header("x", "y").body("no gzip");
    envoy.upstream().respond(broken);
    assert!(envoy.get("/").send().await.is_err(), "its head has gone by then");
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_are_asked_for_what_can_be_looked_into() {
    let envoy = start(cards(json!("response.body"), mask())).await;
    let request = envoy.get("/").header("accept-encoding", "gzip, zstd, br").header("range", "bytes=0-7");
    let echo = request.send().await.unwrap().echo();
    assert_eq!((echo.header("accept-encoding"), echo.header("range")), (Some("gzip, br"), None));
}
