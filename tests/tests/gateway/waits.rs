//! Requests that wait for a callout in the middle of the pipeline.

use std::time::{Duration, SystemTime};

use meshgate_e2e::{Config, Envoy, Reply, Request, Upstream, json};
use meshgate_test_tokens::{Signer, jwks};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_comes_while_keys_are_fetched() {
    let signer = Signer::new("ES256");
    let keys =
        Reply::status(200).header("content-type", "application/json").body(jwks([&signer]).to_string());
    let expires = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 3_600;
    let claims = json!({"iss": "https://idp", "aud": "api", "sub": "alice", "exp": expires, "team": "blue"});
    let token = signer.sign(&claims);
    let mut quota = quota(wide());
    quota["tokens"] = json!([{"issuer": "https://idp", "audiences": ["api"], "identity": {"plan": "free"},
        "jwks_from": {"cluster": "idp", "path": "/keys", "timeout": "2s", "refresh": "10s"}}]);
    let team = json!({"rules": [{"request": [
        {"set": {"header": "x-team", "to": "{{ consumer.claims.team }} of {{ consumer.name }}"}}, {"remove": {"json": "/secret"}}]}]});
    for http2 in [false, true] {
        let idp = Upstream::start().await.unwrap();
        idp.respond(keys.clone().delay(Duration::from_millis(150)));
        let document = json!({"pipeline": [{"error-response": {}}, {"dlp": cards()}, {"api-key-quota": quota}, {"transform": team}]});
        let envoy = Envoy::start(Config::from(listener(document)).cluster("idp", idp.addr())).await.unwrap();
        let client = if http2 { envoy.http2() } else { envoy.http1() };
        let post = || {
            let post = client.post("/").header("authorization", format!("Bearer {token}"));
            post.header("content-type", "application/json")
        };
        let pieces = ["{\"secret\":1,", "\"card\":\"4111", "111111111111\"", ",\"a\":2}"];
        // The first waits for the keys while its body comes, the second does not.
        for pause in [20, 1] {
            let response = post().chunks(pieces, Duration::from_millis(pause)).send().await.unwrap();
            assert_eq!(response.status, 200);
            let got = envoy.upstream().requests().pop().unwrap();
            assert_eq!(got.header("x-team"), Some("blue of alice"));
            assert_eq!(got.text(), format!("{{\"card\":\"{MASKED}\",\"a\":2}}"));
        }
        assert_eq!(idp.requests().len(), 1);
        assert_well(&envoy).await;
    }
}

/// A transformation that waits for the body has given it up as too large, so that the stage behind it waits for keys in the midst of
/// a body. What Envoy keeps of that meanwhile has a limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_too_large_for_one_stage_waits_at_the_next() {
    let signer = Signer::new("ES256");
    let keys =
        Reply::status(200).header("content-type", "application/json").body(jwks([&signer]).to_string());
    let expires = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 3_600;
    let claims = json!({"iss": "https://idp", "aud": "api", "sub": "alice", "exp": expires});
    let token = signer.sign(&claims);
    let mut quota = quota(wide());
    quota["tokens"] = json!([{"issuer": "https://idp", "audiences": ["api"], "identity": {"plan": "free"},
        "jwks_from": {"cluster": "idp", "path": "/keys", "timeout": "5s", "refresh": "10s"}}]);
    let kind = json!({"body_limit": "1KiB", "allow_on_headers_stop_iteration": true, "rules": [
        {"request": [{"set": {"header": "x-kind", "to": "{{ body.kind }}"}}], "on_error": "skip"}]});
    let document = json!({"pipeline": [{"transform": kind}, {"api-key-quota": quota}]});
    for (pieces, while_waiting) in [(8, 200), (64, 413)] {
        let idp = Upstream::start().await.unwrap();
        idp.respond(keys.clone().delay(Duration::from_secs(3)));
        let listener = listener(document.clone()).buffer_limit(64 * 1024);
        let envoy = Envoy::start(Config::from(listener).cluster("idp", idp.addr())).await.unwrap();
        let client = envoy.http1();
        let with_token = |request: Request| request.header("authorization", format!("Bearer {token}"));
        let post = || {
            let post = with_token(client.post("/")).header("content-type", "application/json");
            post.chunks(std::iter::repeat_n(vec![b' '; 4096], pieces), Duration::from_millis(1))
        };
        let statuses = [
            post().send().await.unwrap().status,
            // This one waits in its head, if it does.
            with_token(client.get("/")).send().await.unwrap().status,
            post().send().await.unwrap().status,
        ];
        assert_eq!(statuses, [while_waiting, 200, 200], "{pieces}");
        let bodies = envoy.upstream().requests().iter().map(|got| got.body.len()).max();
        assert_eq!(bodies, Some(pieces * 4096));
        assert_eq!(idp.requests().len(), 1);
        assert_well(&envoy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_waiting_does_no_harm() {
    let idp = Upstream::start().await.unwrap();
    idp.respond(Reply::status(500).delay(Duration::from_millis(200)));
    let signer = Signer::new("ES256");
    let token =
        signer.sign(&json!({"iss": "https://idp", "aud": "api", "sub": "a", "exp": 4_000_000_000_u64}));
    let mut quota = quota(wide());
    quota["tokens"] = json!([{"issuer": "https://idp", "audiences": ["api"], "identity": {"plan": "free"},
        "jwks_from": {"cluster": "idp", "path": "/keys", "timeout": "1s", "refresh": "10s"}}]);
    let document = json!({"pipeline": [{"error-response": {}}, {"api-key-quota": quota}, {"dlp": cards()}]});
    let envoy = Envoy::start(Config::from(listener(document)).cluster("idp", idp.addr())).await.unwrap();
    let get = || envoy.get("/").header("authorization", format!("Bearer {token}"));
    assert!(get().timeout(Duration::from_millis(50)).send().await.is_err());
    let response = get().send().await.unwrap();
    assert!(matches!(response.status, 401 | 503), "{response:?}");
    assert_eq!(with_key(envoy.get("/")).send().await.unwrap().status, 200);
    assert_well(&envoy).await;
}
