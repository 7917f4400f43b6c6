//! What narrows rules down, and what becomes of bodies that can't be looked into.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use meshgate_coding::{Coding, encode};
use meshgate_e2e::{Client, Envoy, Reply, Value, json};

use crate::support::*;

/// Another card, which nobody publishes for tests.
const OTHER: &str = "4539578763621486";
/// `printf %s 4539578763621486 | sha256sum`
const OTHER_DIGEST: &str = "92e564257a3f5772d008f8867c90270fac011238b7767dced4990f32cbcaaf05";

#[tokio::test(flavor = "multi_thread")]
async fn rules_take_what_they_are_for() {
    let rule = |path: &str, fields: Value| {
        let mut rule =
            json!({ "match": { "path": path }, "find": "payment.card", "in": "response.body", "do": mask() });
        for (name, value) in fields.as_object().unwrap() {
            rule[name] = value.clone();
        }
        rule
    };
    let heads = json!(["request.headers", "request.query", "request.cookies"]);
    let envoy = start(json!({
        "allow": { "values": ["5500-0000 00000004"] },
        "bodies": { "recompress": false },
        "rules": [
            rule("/values", json!({ "allow": { "values": ["4539 5787 6362 1486"] } })),
            rule("/digests", json!({ "allow": { "sha256": [OTHER_DIGEST] } })),
            rule("/patterns", json!({ "allow": { "regex": ["45[0-9]{14}"] } })),
            rule("/samples", json!({ "allow": { "test_cards": true } })),
            rule("/sure", json!({ "min_confidence": 80 })),
            rule("/unsure", json!({ "min_confidence": 30 })),
            rule("/first", json!({ "do": { "mask": { "keep_first": 6, "keep_last": 4, "character": "x" } } })),
            rule("/only", json!({ "in": heads, "only": ["x-card", "card"] })),
            rule("/except", json!({ "in": heads, "except": ["x-card", "card"] })),
            rule("/all", json!({})),
        ],
    }))
    .await;
    let client = envoy.http1();
    let (masked, maestro) = ("************1486", "6759649826438453");
    for (path, text, expected) in [
        ("/all", OTHER, masked),
        ("/all", CARD, MASKED),
        // By the list of the document, however it is grouped.
        ("/all", "5500000000000004", "5500000000000004"),
        ("/all", "5500 0000 0000 0004", "5500 0000 0000 0004"),
        ("/values", OTHER, OTHER),
        ("/values", "4539-5787-6362-1486", "4539-5787-6362-1486"),
        ("/values", CARD, MASKED),
        ("/digests", OTHER, OTHER),
        ("/digests", CARD, MASKED),
        ("/patterns", OTHER, OTHER),
        ("/patterns", CARD, MASKED),
        ("/samples", OTHER, masked),
        ("/samples", CARD, CARD),
        // Bare digits are less sure than groups, and a range that is rare and broad even less.
        ("/sure", CARD, CARD),
        ("/sure", "4111 1111 1111 1111", "**** **** **** 1111"),
        ("/all", maestro, maestro),
        ("/unsure", maestro, "************8453"),
        ("/first", OTHER, "453957xxxxxx1486"),
        ("/nothing", CARD, CARD),
    ] {
        envoy.upstream().respond(reply("text/plain").body(text));
        assert_eq!(client.get(path).send().await.unwrap().text(), expected, "{path}: {text}");
    }

    // Decoded and not encoded again.
    for coding in [Coding::Gzip, Coding::Deflate] {
        let answer = reply("text/plain").header("content-encoding", coding.name().unwrap());
        envoy.upstream().respond(answer.body(encode(coding, CARD.as_bytes()).unwrap()));
        let answer = client.get("/all").header("accept-encoding", "gzip, deflate").send().await.unwrap();
        assert_eq!((answer.text(), answer.header("content-encoding")), (MASKED, None));
    }

    envoy.upstream().respond(Reply::status(200));
    for (path, named, other) in [("/only", MASKED, CARD), ("/except", CARD, MASKED)] {
        let request = client.get(&format!("{path}?card={CARD}&other={CARD}"));
        let request = request.header("x-card", CARD).header("x-other", CARD);
        request.header("cookie", format!("card={CARD}; other={CARD}")).send().await.unwrap();
        let got = envoy.upstream().requests().pop().unwrap();
        assert_eq!(got.path, format!("{path}?card={named}&other={other}"));
        assert_eq!((got.header("x-card"), got.header("x-other")), (Some(named), Some(other)));
        assert_eq!(got.header("cookie"), Some(format!("card={named}; other={other}").as_str()));
    }
    // Bodies of this test hold the card openly, so only the log is looked at.
    assert!(!envoy.log().contains(CARD));
}

/// What can't be looked into passes where the document says so, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_looked_into_may_pass() {
    let drop = json!({ "match": { "path": "/drop" }, "find": "payment.card", "in": ["request.body", "response.body"], "do": "drop" });
    let mut document = cards(json!(["request.body", "response.body"]), mask());
    document["rules"].as_array_mut().unwrap().insert(0, drop);
    document["bodies"] = json!({ "undecodable": "pass", "over_limit": "pass", "max_held": "1KiB" });
    let envoy = start(document).await;
    let large = format!("{{\"card\":\"{CARD}\",\"text\":\"{}\"}}", "x".repeat(10_000));
    for client in [envoy.http1(), envoy.http2()] {
        for (coding, content_type, body) in [
            ("zstd", "application/json", b"no zstd".as_slice()),
            ("gzip", "application/json", b"no gzip"),
            ("identity", "text/plain; charset=utf-16", b"\xff\xfe4\x001\x00"),
        ] {
            let answer = reply(content_type).header("content-encoding", coding).body(body.to_vec());
            let answer = get(&client, &envoy, answer).await;
            assert_eq!((answer.status, &answer.body[..]), (200, body), "{coding}");
            let post =
                client.post("/").header("content-type", content_type).header("content-encoding", coding);
            assert_eq!(sent(&envoy, post.body(body.to_vec())).await, body, "{coding}");
        }
        // Held, because a member is dropped, and too large for that.
        let answer = send(&client, &envoy, "/drop", &large).await;
        assert_eq!((answer.0, answer.1.as_str()), (200, large.as_str()));
        let small = format!("{{\"card\":\"{CARD}\",\"text\":\"x\"}}");
        assert_eq!(send(&client, &envoy, "/drop", &small).await.1, "{\"text\":\"x\"}");
        let post = client.post("/drop").header("content-type", "application/json").body(large.clone());
        assert_eq!(sent(&envoy, post).await, large.as_bytes());
    }
    let stat =
        async |name: &str| envoy.stat(&format!("wasmcustom.meshgate.dlp.bodies.{name}")).await.unwrap();
    assert_eq!((stat("undecodable_passed").await, stat("large_passed").await), (12, 4));
    assert_eq!((stat("undecodable_blocked").await, stat("large_blocked").await), (0, 0));
}

/// br is decoded; it goes on as gzip, if the client takes that.
#[tokio::test(flavor = "multi_thread")]
async fn brotli_goes_on_as_something_else() {
    let encoded =
        BASE64_STANDARD.decode("G+wAABwHbuwOgOsFKVGKgOwVTV/qxLC0JJqooxjYGLtujxE7HjBKIFbuEwQ=").unwrap();
    let plain = format!("{{\"card\":\"{MASKED}\",\"text\":\"{}\"}}", "word ".repeat(40));
    let envoy = start(cards(json!(["request.body", "response.body"]), mask())).await;
    for client in [envoy.http1(), envoy.http2()] {
        let answer = reply("application/json").header("content-encoding", "br").body(encoded.clone());
        envoy.upstream().respond(answer);
        let answer = client.get("/").header("accept-encoding", "br").send().await.unwrap();
        assert_eq!((answer.text(), answer.header("content-encoding")), (plain.as_str(), None));
        let answer = client.get("/").header("accept-encoding", "br, gzip").send().await.unwrap();
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        let caps = meshgate_coding::Caps::default();
        let decoded = meshgate_coding::decode(Coding::Gzip, &answer.body, &caps).unwrap();
        assert!(decoded == plain.as_bytes());
        let post =
            client.post("/").header("content-type", "application/json").header("content-encoding", "br");
        let got = {
            envoy.upstream().respond(Reply::status(200));
            assert_eq!(post.body(encoded.clone()).send().await.unwrap().status, 200);
            envoy.upstream().requests().pop().unwrap()
        };
        let coding = Coding::of(got.headers.bytes("content-encoding")).unwrap();
        let decoded = meshgate_coding::decode(coding, &got.body, &caps).unwrap();
        assert!(decoded == plain.as_bytes(), "{coding:?}");
    }
    assert_well(&envoy).await;
}

/// The status and the text of a JSON body that comes for a path.
async fn send(client: &Client, envoy: &Envoy, path: &str, body: &str) -> (u16, String) {
    envoy.upstream().respond(reply("application/json").body(body.to_owned()));
    let response = client.get(path).send().await.unwrap();
    (response.status, response.text().to_owned())
}

/// What the upstream gets of a request.
async fn sent(envoy: &Envoy, request: meshgate_e2e::Request) -> Vec<u8> {
    envoy.upstream().respond(Reply::status(200));
    assert_eq!(request.send().await.unwrap().status, 200);
    envoy.upstream().requests().pop().unwrap().body.to_vec()
}
