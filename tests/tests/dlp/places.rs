//! Heads: header fields, cookies, query and path.

use meshgate_e2e::{Reply, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_place_is_looked_into() {
    let places = json!([
        "request.path",
        "request.query",
        "request.headers",
        "request.cookies",
        "response.headers",
        "response.cookies"
    ]);
    let mut document = cards(places, mask());
    document["filter_state"] = json!(true);
    document["log"] = json!(true);
    let envoy = start(document).await;
    for client in [envoy.http1(), envoy.http2()] {
        envoy.upstream().respond(
            Reply::status(200)
                .header("x-card", CARD)
                .header("set-cookie", format!("card={CARD}; Path=/; HttpOnly"))
                .header("set-cookie", "other=1"),
        );
        let request = client.get(&format!("/cards/{CARD}?a=%20&card=4111%2D1111-1111-1111&b"));
        let request = request.header("x-card", CARD).header("x-card", "none").header("x-bytes", b"\xff\x80");
        let request = request.header("cookie", format!("a=1; card={CARD}")).header("authorization", CARD);
        let response = request.send().await.unwrap();
        let got = envoy.upstream().requests().pop().unwrap();
        assert_eq!(got.path, format!("/cards/{MASKED}?a=%20&card=****%2D****-****-1111&b"));
        assert_eq!(got.headers.all("x-card"), [MASKED, "none"]);
        assert_eq!(got.headers.bytes("x-bytes"), [b"\xff\x80"]);
        assert_eq!(got.headers.all("cookie").join("; "), format!("a=1; card={MASKED}"));
        assert_eq!(got.header("authorization"), Some(CARD));
        assert_eq!(response.header("x-card"), Some(MASKED));
        let cookies = response.headers.all("set-cookie");
        assert_eq!(cookies, [format!("card={MASKED}; Path=/; HttpOnly").as_str(), "other=1"]);
    }
    let lines = envoy.wait_for_access_log(2).await.unwrap();
    for place in [
        "request.path",
        "request.query",
        "request.headers",
        "request.cookies",
        "response.headers",
        "response.cookies",
    ] {
        let told = format!("{place} payment.card x1 mask (cards)");
        assert!(lines.iter().all(|line| line.contains(&told)), "{place}: {lines:?}");
    }
    envoy.wait_for_log("dlp: request.path payment.card x1 mask (cards)").await.unwrap();
    assert_eq!(envoy.stat("wasmcustom.meshgate.dlp.mask.payment").await.unwrap(), 12);
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_dropped() {
    let envoy = start(cards(
        json!(["request.query", "request.headers", "request.cookies", "response.headers"]),
        json!("drop"),
    ))
    .await;
    envoy.upstream().respond(Reply::status(200).header("x-card", CARD).header("x-card", "none"));
    let request = envoy.get(&format!("/?a=1&card={CARD}")).header("x-card", CARD);
    let response = request.header("cookie", format!("card={CARD}")).send().await.unwrap();
    assert_eq!(response.headers.all("x-card"), ["none"]);
    let got = envoy.upstream().requests().pop().unwrap();
    assert_eq!((got.path.as_str(), got.header("x-card"), got.header("cookie")), ("/?a=1", None, None));
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_rule_reports_and_changes_nothing() {
    let mut document = cards(json!(["request.query", "response.body"]), json!("block"));
    document["shadow"] = json!(true);
    document["filter_state"] = json!(true);
    document["hmac_key"] = json!("a key of some length");
    let envoy = start(document).await;
    let body = format!("{{\"card\":\"{CARD}\"}}");
    envoy.upstream().respond(reply("application/json").header("etag", "\"a\"").body(body.clone()));
    let response = envoy.get(&format!("/?card={CARD}")).send().await.unwrap();
    assert_eq!(
        (response.status, response.text(), response.header("etag")),
        (200, body.as_str(), Some("\"a\""))
    );
    let line = envoy.wait_for_access_log(1).await.unwrap().remove(0);
    let digest = line.split(['[', ']']).nth(1).expect("a digest");
    assert_eq!(digest.len(), 8, "{line}");
    assert_eq!(line.matches(digest).count(), 2, "the same value: {line}");
    assert_eq!(envoy.stat("wasmcustom.meshgate.dlp.shadow.payment").await.unwrap(), 2);
    assert_eq!(envoy.stat("wasmcustom.meshgate.dlp.block.payment").await.unwrap(), 0);
    assert!(!line.contains(CARD));
}
