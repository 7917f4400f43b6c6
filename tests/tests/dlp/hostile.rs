//! What a client or an upstream can send to harm the filter: no worker's VM dies of any of it.

use std::time::Duration;

use meshgate_coding::{Coding, encode};
use meshgate_e2e::{Config, Envoy, Reply, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_sent_kills_a_worker() {
    let document = json!({
        "rules": [
            { "find": ["payment", "us", "secrets", "contact", "network"], "in": ["request.body", "response.body"], "do": "mask" },
            { "find": ["payment", "us", "secrets"], "in": ["request.headers", "request.query", "request.cookies", "response.headers"], "do": "drop" , "match": {"method": "PUT"} },
        ],
    });
    let envoy = Envoy::start(Config::from(listener(document)).concurrency(2)).await.unwrap();
    let floods = [
        "4".repeat(300_000),
        "41".repeat(150_000),
        "4-".repeat(150_000),
        "@".repeat(300_000),
        "a@a.".repeat(75_000),
        "eyJ".repeat(100_000),
        "-----BEGIN PRIVATE KEY-----".repeat(11_000),
        "\\u0034".repeat(50_000),
        "\\".repeat(300_000),
        "\"".repeat(300_000),
        "[".repeat(300_000),
        "{\"password\":".repeat(25_000),
        "1.".repeat(150_000),
        ":".repeat(300_000),
        "https://a:b@".repeat(25_000),
        "%34".repeat(100_000),
        "\n".repeat(300_000),
        "\u{e9}\u{a0}".repeat(75_000),
    ];
    for client in [envoy.http1(), envoy.http2()] {
        for kind in
            ["application/json", "application/x-ndjson", "application/x-www-form-urlencoded", "text/plain"]
        {
            for flood in &floods {
                let post = client.post("/").header("content-type", kind).upstream(json!({ "status": 200 }));
                let response =
                    post.body(flood.clone()).timeout(Duration::from_secs(60)).send().await.unwrap();
                assert_eq!(response.status, 200);
            }
        }
        for flood in &floods {
            let short: String = flood.chars().take(8_000).collect();
            let value = short.replace('\n', " ");
            let get = client.request("PUT", "/").header("x-a", &value).header("cookie", &value);
            let status = get.upstream(json!({ "status": 200 })).send().await.unwrap().status;
            assert_eq!(status, 200);
        }
        let all: Vec<u8> = (0..=255).collect();
        let post =
            client.post("/").header("content-type", "application/json").upstream(json!({ "status": 200 }));
        assert_eq!(post.body(all.clone()).send().await.unwrap().status, 200);
        let bomb = encode(Coding::Gzip, &vec![b'4'; 16 << 20]).unwrap();
        let post =
            client.post("/").header("content-type", "application/json").header("content-encoding", "gzip");
        assert_eq!(post.body(bomb).send().await.unwrap().status, 415);
        let reply = reply("application/json").chunks(["{\"a\":", "4111"]).reset();
        envoy.upstream().respond(reply);
        assert!(client.get("/").send().await.is_err());
        envoy.upstream().respond(Reply::status(200));
    }
    assert_well(&envoy).await;
    for _ in 0..20 {
        assert_eq!(envoy.get("/").send().await.unwrap().status, 200);
    }
}
