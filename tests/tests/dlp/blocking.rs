//! Messages that must not pass get a real status.

use std::time::Duration;

use meshgate_e2e::{Envoy, Listener, Reply, Response, Wasm, json};

use crate::support::*;

#[track_caller]
fn assert_problem(response: &Response, status: u16) {
    assert_eq!(
        (response.status, response.header("content-type")),
        (status, Some("application/problem+json"))
    );
    assert_eq!(response.json()["status"], status);
    assert!(!response.text().contains(CARD));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_blocked() {
    let envoy = start(cards(json!(["request.body", "request.query"]), json!("block"))).await;
    for client in [envoy.http1(), envoy.http2()] {
        let response = client.get(&format!("/?card={CARD}")).send().await.unwrap();
        assert_problem(&response, 403);
        let post = |body: String| client.post("/").header("content-type", "application/json").body(body);
        assert_problem(&post(format!("{{\"card\":\"{CARD}\"}}")).send().await.unwrap(), 403);
        for got in envoy.upstream().requests() {
            assert!(!got.complete && got.body.is_empty());
        }
        let clean = format!("{{\"card\":\"{}\"}}", "a".repeat(300_000));
        let response = post(clean.clone()).upstream(json!({ "status": 200 })).send().await.unwrap();
        assert_eq!(response.status, 200);
        // What is left of those that were blocked may come in later.
        let whole: Vec<_> = envoy.upstream().requests().into_iter().filter(|got| got.complete).collect();
        assert!(whole.iter().map(|got| &got.body[..]).eq([clean.as_bytes()]));
        envoy.upstream().forget_requests();
        let large = post(" ".repeat((1 << 20) + 1)).send().await.unwrap();
        assert_eq!(large.status, 413);
        envoy.upstream().forget_requests();
    }
    let lines = envoy.wait_for_access_log(2).await.unwrap();
    assert!(
        lines.iter().take(2).all(|line| line.starts_with("403 meshgate_dlp_request_blocked")),
        "{lines:?}"
    );
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_blocked_for_what_is_in_their_body() {
    let mut document =
        cards(json!(["response.body", "response.headers"]), json!({ "block": { "status": 451 } }));
    document["allow_on_headers_stop_iteration"] = json!(true);
    for envoy in [start(document.clone()).await, start_http2(document.clone()).await] {
        for client in [envoy.http1(), envoy.http2()] {
            let body = format!("{{\"card\":\"{CARD}\"}}");
            for blocked in [
                reply("application/json").body(body.clone()),
                reply("application/json").chunks(body.chars().map(String::from)),
                reply("application/json").chunks([body.clone()]).trailer("x-end", "1"),
                Reply::status(200).header("x-card", CARD).body("data"),
            ] {
                assert_problem(&get(&client, &envoy, blocked).await, 451);
            }
            let clean = reply("application/json").header("etag", "\"a\"");
            for (passes, trailer) in [
                (clean.clone().body("{}"), None),
                (clean.clone().chunks(["{", "}"]), None),
                (clean.chunks(["{", "}"]).trailer("x-end", "1"), Some("1")),
            ] {
                let response = get(&client, &envoy, passes).await;
                assert_eq!(
                    (response.status, response.text(), response.header("etag")),
                    (200, "{}", Some("\"a\""))
                );
                assert_eq!(response.trailers.get("x-end"), trailer);
            }
            let large = get(&client, &envoy, reply("application/json").body(vec![b' '; (1 << 20) + 1])).await;
            assert_eq!(large.status, 502);
        }
        assert_well(&envoy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_breaks_off() {
    let mut document = cards(json!("response.body"), json!("block"));
    document["allow_on_headers_stop_iteration"] = json!(true);
    let envoy = start(document).await;
    for client in [envoy.http1(), envoy.http2()] {
        let (mut sender, reply) = reply("text/event-stream").stream();
        envoy.upstream().respond(reply);
        let mut response = client.get("/").open().await.unwrap();
        sender.send_data("data: one\n\n".into()).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "data: one\n\n");
        sender.send_data(format!("data: {CARD}\n\n").into()).await.unwrap();
        assert!(response.chunk().await.is_err());
    }
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_dropped() {
    let envoy = start(cards(json!(["request.body", "response.body"]), json!("drop"))).await;
    let (before, after) =
        (format!(r#"{{"a": 1, "card": "{CARD}", "b": [{CARD}, 2]}}"#), r#"{"a": 1, "b": [2]}"#);
    for client in [envoy.http1(), envoy.http2()] {
        let response = get(&client, &envoy, reply("application/json").body(before.clone())).await;
        assert_eq!(response.text(), after);
        envoy.upstream().respond(Reply::status(200));
        let post = client.post("/").header("content-type", "application/json").body(before.clone());
        assert_eq!(post.send().await.unwrap().status, 200);
        assert_eq!(envoy.upstream().requests().pop().unwrap().text(), after);
    }
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_cannot_wait_is_refused_with_the_configuration() {
    let document = cards(json!("response.body"), json!("block"));
    let log = Envoy::refused(listener(document)).await.unwrap();
    assert!(
        log.contains(
            "rules[0].do: found block for response.body, expected allow_on_headers_stop_iteration: true"
        ),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_names_the_option_without_which_responses_hang() {
    let mut document = cards(json!("response.body"), json!("block"));
    document["allow_on_headers_stop_iteration"] = json!(true);
    let filter = Wasm::module(MODULE).config(document);
    let envoy = Envoy::start(Listener::new().filter(filter)).await.unwrap();
    envoy.upstream().respond(reply("application/json").body("{}"));
    let hangs = envoy.http1().get("/").timeout(Duration::from_secs(2)).send().await;
    assert!(hangs.is_err(), "Envoy passes the body on behind a head that waits: {hangs:?}");
    envoy
        .wait_for_log("does the filter's Envoy configuration say allow_on_headers_stop_iteration: true?")
        .await
        .unwrap();
}
