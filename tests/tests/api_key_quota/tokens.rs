//! Tokens: checked with Envoy's crypto and ours, with keys and answers that real servers give, fail to give, or change.

use std::time::{Duration, Instant};

use meshgate_e2e::{Config, Envoy, Reply, Request, Response, Upstream, Value, burst, json};
use meshgate_test_tokens::{Signer, encode, jwks};

use crate::support::*;

/// What a good token says.
pub fn claims() -> Value {
    json!({ "iss": "https://idp", "aud": "api", "sub": "alice", "exp": now().as_secs() + 3_600 })
}

fn claiming(name: &str, value: Value) -> Value {
    with(claims(), &format!("/{name}"), value)
}

/// A document with one issuer; consumers that it names have the plan `free`.
pub fn issued_by(keys: (&str, Value)) -> Value {
    let mut issuer = json!({ "issuer": "https://idp", "audiences": ["api"], "identity": { "plan": "free" } });
    issuer[keys.0] = keys.1;
    with(document(json!({ "free": {} }), &[("acme", "free")]), "/tokens", json!([issuer]))
}

fn remote() -> Value {
    let from = json!({ "cluster": "idp", "path": "/keys", "timeout": "1s", "refresh": "10s" });
    issued_by(("jwks_from", from))
}

pub fn get(envoy: &Envoy, token: &str) -> Request {
    envoy.get("/").header("authorization", format!("Bearer {token}"))
}

fn keys(signers: &[&Signer]) -> Reply {
    Reply::status(200)
        .header("content-type", "application/json")
        .body(jwks(signers.iter().copied()).to_string())
}

async fn start(document: Value, idp: &Upstream, workers: u32) -> Envoy {
    let config = Config::from(listener(document)).cluster("idp", idp.addr()).concurrency(workers);
    Envoy::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_is_checked_and_the_upstream_hears_of_the_consumer_alone() {
    let names = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256",
        "HS384", "HS512",
    ];
    let signers = names.map(Signer::new);
    let envoy = Envoy::start(listener(issued_by(("jwks", jwks(&signers))))).await.unwrap();
    let vms = Vms::of(&envoy).await;
    let checked = || async {
        let by = |by: &str| format!("wasmcustom.meshgate.quota.tokens.verified_by_{by}");
        [envoy.stat(&by("host")).await.unwrap(), envoy.stat(&by("module")).await.unwrap()]
    };
    let mut expected = [0, 0];
    for (signer, name) in signers.iter().zip(names) {
        let token = signer.sign(&claims());
        // Once checked, then remembered.
        for _ in 0..2 {
            let request =
                get(&envoy, &token).header("x-consumer-name", "root").header("x-consumer-groups", "admin");
            let response = request.send().await.unwrap();
            assert_eq!(response.status, 200, "{signer:?}: {}", response.text());
            let echo = response.echo();
            assert_eq!(echo.headers.all("x-consumer-name"), ["alice"], "{signer:?}");
            assert_eq!(echo.headers.all("x-consumer-plan"), ["free"]);
            assert_eq!((echo.header("authorization"), echo.header("x-consumer-groups")), (None, None));
        }
        let (input, signature) = token.rsplit_once('.').unwrap();
        let mut wrong = meshgate_test_tokens::decode(signature);
        wrong[10] ^= 1;
        for _ in 0..2 {
            let response = get(&envoy, &format!("{input}.{}", encode(&wrong))).send().await.unwrap();
            assert_problem(&response, 401, "The signature of the token is wrong.");
        }
        // Of both tokens, one signature each was checked: by Envoy, where it has the algorithm.
        let by_host = name.starts_with("RS") || name.starts_with("ES");
        expected[usize::from(!by_host)] += 2;
        assert_eq!(checked().await, expected, "{name}");
    }
    assert_eq!(envoy.stat("wasmcustom.meshgate.quota.tokens.cached").await.unwrap(), 13);
    assert_eq!(envoy.stat("wasmcustom.meshgate.quota.tokens.cached_bad").await.unwrap(), 13);
    assert_eq!(envoy.stat("wasmcustom.meshgate.quota.denied.token_signature").await.unwrap(), 26);
    vms.assert_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_token_is_said_and_logged() {
    let signer = Signer::new("RS256");
    let document =
        with(issued_by(("jwks", jwks([&signer]))), "/tokens/0/require", json!({ "scopes": ["orders"] }));
    let envoy = Envoy::start(listener(document)).await.unwrap();
    let vms = Vms::of(&envoy).await;
    let claims = claiming("scope", json!("orders"));
    let good = signer.sign(&claims);
    assert_eq!(get(&envoy, &good).send().await.unwrap().status, 200);

    let head = |fields: Value| with_all(json!({ "alg": "RS256", "kid": "rs256" }), fields).to_string();
    let signed = |header: Value| signer.sign_with(head(header), claims.to_string());
    // The public key as the secret of an HMAC.
    let modulus = signer.jwk()["n"].as_str().unwrap().to_owned();
    let confused = Signer::hmac("HS256", modulus.as_bytes()).key_id(Some("rs256")).sign(&claims);
    let none = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims.to_string()));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(2_000), "]".repeat(2_000));
    let cases = [
        (confused, 401, "key_unknown"),
        (none, 401, "malformed"),
        (signed(json!({ "jwk": Signer::new("ES256").jwk() })), 401, "malformed"),
        (signed(json!({ "jku": "https://evil" })), 401, "malformed"),
        (signed(json!({ "crit": ["exp"] })), 401, "malformed"),
        (signed(json!({ "kid": "../../etc/passwd" })), 401, "key_unknown"),
        (signed(json!({ "kid": "k".repeat(300) })), 401, "malformed"),
        (signer.sign_with(head(json!({})), deep), 401, "malformed"),
        (format!("{good}="), 401, "malformed"),
        (format!("{good}.{good}"), 401, "malformed"),
        ("x".repeat(30_000), 401, "malformed"),
        (signer.sign(&with(claims.clone(), "/exp", json!(1_000))), 401, "expired"),
        (signer.sign(&with(claims.clone(), "/nbf", json!(99_999_999_999_u64))), 401, "not_yet_valid"),
        (signer.sign(&with(claims.clone(), "/aud", json!("others"))), 401, "claims"),
        (signer.sign(&with(claims.clone(), "/exp", Value::Null)), 401, "claims"),
        (signer.sign(&with(claims.clone(), "/sub", Value::Null)), 403, "consumer"),
        (signer.sign(&with(claims.clone(), "/scope", json!("order"))), 403, "scope"),
    ];
    for (token, status, code) in &cases {
        let response = get(&envoy, token).send().await.unwrap();
        assert_eq!(response.status, *status, "{code}: {}", response.text());
        let challenge = response.header("www-authenticate").unwrap_or_default();
        let error = match *code {
            "consumer" => "error=\"insufficient_scope\", error_description=\"The token names no consumer",
            "scope" => "error=\"insufficient_scope\"",
            _ => "Bearer realm=\"meshgate\", error=\"invalid_token\"",
        };
        assert!(challenge.contains(error), "{challenge}");
    }
    let log = envoy.wait_for_access_log(1 + cases.len()).await.unwrap();
    for (line, (_, status, code)) in log[1..].iter().zip(&cases) {
        assert_eq!(*line, format!("{status} meshgate_token_{code}"));
    }
    assert_eq!(envoy.upstream().requests().len(), 1);
    assert!(!envoy.log().contains("eyJ"), "tokens are in no log");
    vms.assert_alive().await;
}

pub fn with_all(mut object: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_clients_learn_that_they_are_not_authenticated() {
    let envoy = Envoy::start(listener(issued_by(("jwks", jwks([&Signer::new("ES256")]))))).await.unwrap();
    let response = call(&envoy, "x").await;
    assert_eq!((response.status, response.header("grpc-status")), (200, Some("16")));
}

/// A call of gRPC with a token.
pub async fn call(envoy: &Envoy, token: &str) -> Response {
    let call = envoy.http2().post("/s.S/M").header("content-type", "application/grpc");
    let call = call.header("te", "trailers").header("authorization", format!("Bearer {token}"));
    call.body("\0\0\0\0\0").send().await.unwrap()
}

/// Checks that a call of gRPC was answered with `UNAVAILABLE`, which its client may try again, and with nothing but a head.
#[track_caller]
pub fn assert_unavailable(response: &Response) {
    assert_eq!((response.status, one(response, "grpc-status")), (200, "14"), "{response:?}");
    assert_eq!(one(response, "content-type"), "application/grpc");
    assert!(one(response, "grpc-message").contains("can't be checked at the moment"), "{response:?}");
    assert!(one(response, "retry-after").parse::<u64>().is_ok_and(|wait| wait > 0), "{response:?}");
    assert!(response.body.is_empty() && response.trailers.is_empty(), "{response:?}");
}

/// The first tokens come all at once: each worker asks once at most, and all requests pass, with their bodies.
#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_asks_once_for_each_worker() {
    let signer = Signer::new("RS256");
    let idp = Upstream::start().await.unwrap();
    idp.respond(keys(&[&signer]).delay(Duration::from_millis(300)));
    let envoy = start(remote(), &idp, 4).await;
    let vms = Vms::of(&envoy).await;
    for client in [envoy.http1(), envoy.http2()] {
        let token = signer.sign(&claims());
        let answers = burst(&client, 64, 256, move |client, number| {
            let body = format!("body {number}");
            let request =
                client.post("/").header("authorization", format!("Bearer {token}")).body(body.clone());
            async move {
                let response = request.send().await?;
                let whole = response.status == 200 && response.echo().body == body.as_bytes();
                anyhow::Ok((response.status, whole))
            }
        });
        let answers = answers.await.unwrap();
        assert!(answers.iter().all(|answer| *answer == (200, true)), "{answers:?}");
    }
    let asked = idp.requests();
    assert!((1..=4).contains(&asked.len()), "{}", asked.len());
    let request = &asked[0];
    assert_eq!(
        (request.method.as_str(), request.path.as_str(), request.header("host")),
        ("GET", "/keys", Some("idp"))
    );
    vms.assert_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_may_change_its_keys_fail_and_hang() {
    let (first, second) = (Signer::ed25519(1), Signer::ed25519(2));
    let idp = Upstream::start().await.unwrap();
    idp.respond(keys(&[&first]));
    let envoy = start(remote(), &idp, 1).await;
    let vms = Vms::of(&envoy).await;
    let old = first.sign(&claims());
    let begun = now().as_secs();
    assert_eq!(get(&envoy, &old).send().await.unwrap().status, 200);
    let fetched_at = "wasmcustom.meshgate.quota.jwks.https___idp.fetched_at";
    let first_fetch = envoy.stat(fetched_at).await.unwrap();
    assert!((begun..=now().as_secs()).contains(&first_fetch), "{first_fetch}");

    // It changes its key: a token of the new one makes for the second request, once the keys are a second old.
    idp.respond(keys(&[&first, &second]));
    let new = second.sign(&claims());
    until(|| async { get(&envoy, &new).send().await.unwrap().status == 200 }).await;
    assert_eq!(idp.requests().len(), 2);
    // Key ids that nobody has do not make for more.
    for number in 0..50 {
        let made_up = Signer::ed25519(3).key_id(Some(&number.to_string())).sign(&claims());
        let response = get(&envoy, &made_up).send().await.unwrap();
        assert_problem(&response, 401, "The issuer of the token, or its key, is not known here.");
    }
    assert_eq!(idp.requests().len(), 2);

    // It fails, and it hangs: the keys stay, and no request waits.
    idp.respond(Reply::status(500));
    until(|| async {
        assert_passes(&envoy, &old).await;
        idp.requests().len() > 2
    })
    .await;
    envoy.wait_for_stat("wasmcustom.meshgate.quota.jwks.failed", |failed| failed >= 1).await.unwrap();
    // The gauge stays where it was, so that what alerts on it sees the keys get older.
    let last_fetch = envoy.stat(fetched_at).await.unwrap();
    assert!(last_fetch > first_fetch && last_fetch < now().as_secs(), "{last_fetch}");
    idp.respond(keys(&[&first]).delay(Duration::from_secs(30)));
    let asked = idp.requests().len();
    until(|| async {
        assert_passes(&envoy, &old).await;
        idp.requests().len() > asked
    })
    .await;
    for number in 0..20 {
        let fresh = first.sign(&with(claims(), "/jti", json!(number)));
        assert_passes(&envoy, &fresh).await;
    }
    vms.assert_alive().await;
}

/// It passes, at once.
async fn assert_passes(envoy: &Envoy, token: &str) {
    let begun = Instant::now();
    let response = get(envoy, token).send().await.unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

/// Tries until it is so.
pub async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "never");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_clients_are_told_to_come_back() {
    let signer = Signer::new("ES256");
    let idp = Upstream::start().await.unwrap();
    idp.respond(keys(&[&signer]).delay(Duration::from_secs(30)));
    let envoy = start(remote(), &idp, 1).await;
    let vms = Vms::of(&envoy).await;
    let token = signer.sign(&claims());
    let begun = Instant::now();
    let response = get(&envoy, &token).send().await.unwrap();
    assert_problem(&response, 503, "The token can't be checked at the moment. Send the request again later.");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait));
    assert_unavailable(&call(&envoy, &token).await);
    idp.respond(keys(&[&signer]));
    until(|| async { get(&envoy, &token).send().await.unwrap().status == 200 }).await;

    // A cluster that does not exist, and one without a host.
    for cluster in ["none", "empty"] {
        let document = with(remote(), "/tokens/0/jwks_from/cluster", json!(cluster));
        let empty =
            json!({ "name": "empty", "type": "STATIC", "load_assignment": { "cluster_name": "empty" } });
        let config = Config::from(listener(document)).raw_cluster(empty);
        let envoy = Envoy::start(config).await.unwrap();
        assert_eq!(get(&envoy, &token).send().await.unwrap().status, 503, "{cluster}");
    }
    vms.assert_alive().await;
}

/// What the proxy does for each of them it does one call inside the other: 305 at once were more than V8's stack takes.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_requests_may_wait_for_one_answer() {
    let idp = Upstream::start().await.unwrap();
    let signer = Signer::new("EdDSA");
    let slow = |reply: Reply| reply.delay(Duration::from_millis(500));
    for (reply, expected) in [(slow(keys(&[&signer])), 200), (slow(Reply::status(500)), 503)] {
        idp.respond(reply);
        let envoy = start(remote(), &idp, 1).await;
        let vms = Vms::of(&envoy).await;
        let token = signer.sign(&claims());
        let client = envoy.http2();
        let requests = (0..700).map(|_| client.get("/").header("authorization", format!("Bearer {token}")));
        let sent: Vec<_> = requests.map(|request| tokio::spawn(request.send())).collect();
        for response in sent {
            assert_eq!(response.await.unwrap().unwrap().status, expected);
        }
        vms.assert_alive().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_a_token_are_one_too_many() {
    let signer = Signer::new("ES256");
    let envoy = Envoy::start(listener(issued_by(("jwks", jwks([&signer]))))).await.unwrap();
    let token = signer.sign(&claims());
    let response = get(&envoy, &token).header("x-api-key", "acme-key").send().await.unwrap();
    assert_eq!(response.status, 400);
    assert_eq!(
        one(&response, "www-authenticate"),
        "Bearer realm=\"meshgate\", error=\"invalid_request\", error_description=\"More than one credential.\""
    );
    let response = envoy.get("/").header("x-api-key", "acme-key").header("x-api-key", "acme-key");
    let response = response.send().await.unwrap();
    assert_eq!((response.status, response.header("www-authenticate")), (400, None));
    assert_eq!(envoy.wait_for_access_log(2).await.unwrap(), ["400 meshgate_key_repeated"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_become_somebody_of_the_configuration() {
    let signer = Signer::new("ES256");
    let token = signer.sign(&claiming("sub", json!("acme")));
    let document = issued_by(("jwks", jwks([&signer])));
    let envoy = Envoy::start(listener(document.clone())).await.unwrap();
    let response = get(&envoy, &token).send().await.unwrap();
    assert_problem(
        &response,
        403,
        "The token names no consumer of this API, or no plan. Ask the provider of this API for access.",
    );
    let allowed = with(document, "/tokens/0/identity/configured_consumers", json!(true));
    let envoy = Envoy::start(listener(allowed.clone())).await.unwrap();
    let response = get(&envoy, &token).send().await.unwrap();
    assert_eq!(response.echo().header("x-consumer-name"), Some("acme"));

    let mut two = allowed;
    let mut other = two["tokens"][0].clone();
    other["issuer"] = json!("https://other");
    two["tokens"].as_array_mut().unwrap().push(other);
    let log = Envoy::refused(listener(two)).await.unwrap();
    assert!(log.contains("tokens[1].identity.consumer_prefix: found no prefix"), "{log}");
}
