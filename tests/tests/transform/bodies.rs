//! JSON bodies, as they are cut and framed on the way.

use std::time::Duration;

use meshgate_e2e::{Reply, Value, json};

use crate::support::*;

const BODY: &str = "{ \"a\": 1.10, \"b\" : [1, 2 ],\"a\":\"\\u00e9\" }";
const EDITED: &str = "{ \"a\": 1.10, \"b\" : [1, 2, 3 ],\"a\":\"\\u00e9\" }";

fn rule() -> Value {
    let operations = json!([{ "append": { "json": "/b", "to": 3 } }]);
    json!({ "request": operations, "response": operations })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_named_changes() {
    for envoy in [with_rule(rule()).await, holding(rule()).await] {
        for client in clients(&envoy) {
            let echo = post(&client, BODY).upstream(json!({})).send().await.unwrap();
            assert_eq!(echo.status, 200);
            let response = get(&client, BODY).send().await.unwrap();
            assert_eq!(response.text(), EDITED);
        }
        for got in envoy.upstream().requests().iter().filter(|got| got.method == "POST") {
            assert_eq!(got.text(), EDITED);
            assert!(got.header("content-length").is_none_or(|length| length == EDITED.len().to_string()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_body_is_cut() {
    for envoy in [with_rule(rule()).await, holding(rule()).await] {
        for client in clients(&envoy) {
            for cuts in [vec![1], vec![20, 21], vec![EDITED.len() - 4]] {
                let mut chunks: Vec<String> = Vec::new();
                let mut rest = BODY;
                let mut last = 0;
                for cut in cuts {
                    let (chunk, left) = rest.split_at(cut - last);
                    chunks.push(chunk.to_owned());
                    (rest, last) = (left, cut);
                }
                chunks.push(rest.to_owned());
                for trailers in [false, true] {
                    envoy.upstream().forget_requests();
                    let request = client.post("/").header("content-type", "application/json");
                    let request = request.chunks(chunks.clone(), PAUSE).upstream(json!({}));
                    let request = if trailers { request.trailer("x-sum", "1") } else { request };
                    request.send().await.unwrap();
                    let got = envoy.upstream().wait_for_requests(1).await.unwrap();
                    assert_eq!(
                        (got[0].text(), got[0].trailers.get("x-sum")),
                        (EDITED, trailers.then_some("1"))
                    );

                    let reply =
                        Reply::status(200).header("content-type", "application/json").chunks(chunks.clone());
                    let reply = if trailers { reply.trailer("x-sum", "1") } else { reply };
                    envoy.upstream().respond(reply.chunk_delay(PAUSE));
                    let response = client.get("/").header("te", "trailers").send().await.unwrap();
                    assert_eq!(response.text(), EDITED);
                    assert_eq!(response.trailers.get("x-sum"), trailers.then_some("1"));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_true_of_the_old_body_goes() {
    let fields = json!([
        ["content-type", "application/json"],
        ["etag", "\"1\""],
        ["content-md5", "x"],
        ["digest", "x"],
        ["accept-ranges", "bytes"],
        ["last-modified", "today"],
    ]);
    for (envoy, holds) in [(with_rule(rule()).await, false), (holding(rule()).await, true)] {
        for client in clients(&envoy) {
            let ask = |body: &str| client.get("/").upstream(json!({ "headers": fields, "body": body }));
            let changed = ask(BODY).send().await.unwrap();
            for name in ["etag", "content-md5", "digest", "accept-ranges"] {
                assert_eq!(changed.header(name), None, "{name}");
            }
            assert_eq!(changed.header("last-modified"), Some("today"));
            let length = changed.header("content-length").map(str::to_owned);
            assert_eq!(length, holds.then(|| EDITED.len().to_string()));
            // Nothing to append to: where the head waits, it goes as it came.
            let same = ask("{}").send().await.unwrap();
            assert_eq!(same.text(), "{\"b\":[3]}");
        }
    }
}

/// A request whose body is read is not passed on before its end, and its response not before it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_ends_with_its_client() {
    let envoy = with_rule(rule()).await;
    let (sender, request) = envoy.http1().post("/").header("content-type", "application/json").stream();
    let request = tokio::spawn(request.timeout(Duration::from_millis(300)).send());
    let mut sender = sender;
    sender.send_data("{\"b\":".into()).await.unwrap();
    assert!(request.await.unwrap().is_err());
    drop(sender);
    // The worker goes on with others.
    let client = envoy.http1();
    assert_eq!(
        post(&client, BODY).send().await.unwrap().echo().text(),
        "{ \"a\": 1.10, \"b\" : [1, 2, 3 ],\"a\":\"\\u00e9\" }"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_mebibytes_are_edited() {
    const LARGE: usize = 20 << 20;
    let document = json!({ "rules": [rule()], "body_limit": "32MiB" });
    // For HTTP/2 the limit is the window of the stream.
    let window = json!({ "http2_protocol_options": { "initial_stream_window_size": 64 << 20 } });
    let listener = listener(document).buffer_limit(64 << 20).connection_manager(window);
    let envoy = meshgate_e2e::Envoy::start(listener).await.unwrap();
    let filler = "x".repeat(LARGE);
    let body = format!("{{\"s\":\"{filler}\",\"b\":[]}}");
    let expected = format!("{{\"s\":\"{filler}\",\"b\":[3]}}");
    for client in clients(&envoy) {
        envoy.upstream().forget_requests();
        post(&client, &body).upstream(json!({})).timeout(Duration::from_secs(60)).send().await.unwrap();
        let got = envoy.upstream().requests();
        assert!(got[0].text() == expected, "{} bytes", got[0].body.len());
    }
}
