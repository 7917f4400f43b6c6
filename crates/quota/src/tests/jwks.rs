//! Keys behind a URL, and tokens that an authorization server is asked about.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::exchange::Exchange;
use meshgate_policy::host::{Answer, Side};
use meshgate_test_host::{Chunking, Client, Conversation, Planned, http_answer};
use meshgate_test_tokens::{Signer, jwks};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::tokens::{NOW, bearer, claiming, claims, identity, issued_by, issuer, refused};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// An issuer behind the cluster `idp`, with keys that it may change and ways in which it may fail.
struct Idp {
    world: World,
    document: Value,
    answer: Rc<RefCell<Planned>>,
    asked: Rc<Cell<u32>>,
}

impl Idp {
    fn new(signer: &Signer) -> Self {
        let (world, asked) = (World::new(), Rc::new(Cell::new(0)));
        let answer = Rc::new(RefCell::new(keys(signer)));
        let (said, count) = (Rc::clone(&answer), Rc::clone(&asked));
        world.on_http("idp", move |_| {
            count.set(count.get() + 1);
            said.borrow().clone()
        });
        let mut document = issued_by([signer]);
        document["tokens"][0].as_object_mut().unwrap().remove("jwks");
        let from = json!({"cluster": "idp", "path": "/keys?x=1", "authority": "idp.example", "timeout": "2s", "refresh": "100s"});
        let identity = json!({"plan": "endless"});
        let document = issuer(document, [("jwks_from", from), ("identity", identity)]);
        Self { world, document, answer, asked }
    }

    fn worker(&self) -> Worker<Quota> {
        Worker::new(&self.world, &self.document)
    }

    fn says(&self, answer: impl Into<Planned>) {
        *self.answer.borrow_mut() = answer.into();
    }

    fn asked(&self) -> u32 {
        self.asked.get()
    }
}

fn keys(signer: &Signer) -> Planned {
    Planned::After(Duration::from_millis(20), http_answer(200, &[], jwks([signer]).to_string()))
}

/// A token that is good for long.
fn token(signer: &Signer) -> String {
    signer.sign(&claiming([("sub", json!("alice")), ("exp", json!(NOW + 100_000))]))
}

fn ok(worker: &Worker<Quota>, token: &str) {
    let outcome = send(worker, &bearer(token));
    assert_eq!(outcome.status(), 200, "{outcome:?}");
    assert_eq!(identity(&outcome)[0].1, "alice");
}

/// Brings a request, and lets nothing happen yet.
fn begin(
    worker: &Worker<Quota>,
    token: &str,
) -> Conversation<<Quota as meshgate_policy::policy::Policy>::Exchange> {
    let mut conversation = worker.begin();
    conversation.send(Side::Request, &bearer(token), &Chunking::WHOLE);
    conversation
}

fn passed<E: Exchange>(conversation: &Conversation<E>) -> bool {
    conversation.upstream().is_some_and(|message| message.complete)
}

fn status<E: Exchange>(conversation: &Conversation<E>) -> u16 {
    match conversation.client() {
        Client::Answer(message) => message.status(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_fetched_when_the_first_token_comes() {
    let signer = Signer::new("ES256");
    let idp = Idp::new(&signer);
    let worker = idp.worker();
    assert_eq!(idp.asked(), 0);
    // A body waits with its head, and comes whole.
    let request = bearer(&token(&signer)).with_body("a body");
    let outcome = send(&worker, &request);
    assert_eq!((outcome.status(), outcome.forwarded().text()), (200, "a body"));
    ok(&worker, &token(&signer));
    ok(&worker, &signer.sign(&claiming([("sub", json!("alice")), ("jti", json!(2))])));
    assert_eq!(idp.asked(), 1);

    let [call] = &idp.world.http_calls()[..] else { panic!() };
    let fields =
        [":method", ":path", ":authority", "accept"].map(|name| call.head.get(name).unwrap_or_default());
    assert_eq!(fields, ["GET", "/keys?x=1", "idp.example", "application/json"]);
    assert_eq!((call.deadline, call.body.len()), (Duration::from_secs(2), 0));
    assert_eq!(idp.world.metric("meshgate.quota.jwks.fetched"), 1);
}

#[test]
fn one_request_is_under_way_and_all_wait_for_it() {
    let signer = Signer::new("ES256");
    let idp = Idp::new(&signer);
    let worker = idp.worker();
    let mut first = begin(&worker, &token(&signer));
    let mut others: Vec<_> = (0..50).map(|_| begin(&worker, &token(&signer))).collect();
    assert_eq!(idp.asked(), 1);
    assert!(!passed(&first) && !others.iter().any(passed));
    // Even if the one that asked is gone.
    first.advance(Duration::from_millis(10));
    drop(first.finish());
    for other in &mut others {
        other.settle();
        assert!(passed(other));
    }
    assert_eq!(idp.asked(), 1);
}

#[test]
fn what_one_worker_has_fetched_serves_the_others() {
    let signer = Signer::new("ES256");
    let idp = Idp::new(&signer);
    let workers = [idp.worker(), idp.worker(), idp.worker()];
    for worker in &workers {
        ok(worker, &token(&signer));
    }
    // A new configuration does not forget it either.
    ok(&idp.worker(), &token(&signer));
    assert_eq!(idp.asked(), 1);
}

#[test]
fn keys_are_renewed_before_they_are_old_and_nobody_waits() {
    let signer = Signer::new("ES256");
    let idp = Idp::new(&signer);
    let worker = idp.worker();
    ok(&worker, &token(&signer));
    idp.world.advance(SECOND * 74);
    ok(&worker, &token(&signer));
    assert_eq!(idp.asked(), 1);
    idp.world.advance(SECOND * 22);
    // The next request asks, and does not wait for the answer.
    idp.says(Planned::Never);
    let conversation = begin(&worker, &token(&signer));
    assert!(passed(&conversation));
    assert_eq!(idp.asked(), 2);
    for _ in 0..10 {
        ok(&worker, &token(&signer));
    }
    assert_eq!(idp.asked(), 2);
}

#[test]
fn renewals_are_spread() {
    let signer = Signer::new("ES256");
    let mut due = Vec::new();
    for seed in 0..20 {
        let idp = Idp::new(&signer);
        idp.world.seed(seed);
        let worker = idp.worker();
        ok(&worker, &token(&signer));
        let second = (0..100).find(|_| {
            idp.world.advance(SECOND);
            ok(&worker, &token(&signer));
            idp.asked() == 2
        });
        due.push(second.unwrap());
    }
    due.sort_unstable();
    assert!(due[0] >= 74 && due[19] <= 95 && due[19] - due[0] >= 10, "{due:?}");
}

#[test]
fn the_last_good_keys_stay_when_the_issuer_fails() {
    let signer = Signer::new("ES256");
    let idp = Idp::new(&signer);
    let worker = idp.worker();
    ok(&worker, &token(&signer));
    let failures: [Planned; 6] = [
        Planned::Never,
        Planned::Refused(meshgate_policy::host::HostError::Status(2)),
        http_answer(503, &[], "no healthy upstream").into(),
        http_answer(200, &[], "<html>").into(),
        http_answer(200, &[], "{\"keys\":[]}").into(),
        http_answer(200, &[], " ".repeat(200_000)).into(),
    ];
    for failure in failures {
        idp.says(failure);
        idp.world.advance(SECOND * 100);
        let before = idp.world.metric("meshgate.quota.jwks.failed");
        for _ in 0..5 {
            let fresh = signer.sign(&claiming([
                ("sub", json!("alice")),
                ("exp", json!(NOW + 9_000)),
                ("jti", json!(before)),
            ]));
            ok(&worker, &fresh);
        }
        idp.world.advance(SECOND * 3);
        assert_eq!(idp.world.metric("meshgate.quota.jwks.failed"), before + 1);
    }
    assert_eq!(idp.world.metric("meshgate.quota.jwks.fetched"), 1);
}

#[test]
fn without_any_keys_the_answer_is_503_and_the_issuer_is_not_stormed() {
    let signer = Signer::new("ES256");
    let idp = Idp::new(&signer);
    idp.says(http_answer(500, &[], ""));
    let worker = idp.worker();
    for _ in 0..20 {
        let outcome = send(&worker, &bearer(&token(&signer)));
        refused(&outcome, 503, "meshgate_token_unchecked");
        assert_eq!(outcome.answer().head.get("retry-after"), Some("2"));
        assert_eq!(outcome.answer().head.get("www-authenticate"), None);
    }
    assert_eq!(idp.asked(), 1);
    assert_eq!(idp.world.metric("meshgate.quota.denied.token_unchecked"), 20);
    // The pauses get longer: after 1, 2, 4... up to 60 seconds.
    for _ in 0..300 {
        idp.world.advance(SECOND);
        refused(&send(&worker, &bearer(&token(&signer))), 503, "meshgate_token_unchecked");
    }
    assert!((8..=12).contains(&idp.asked()), "{}", idp.asked());
    idp.says(keys(&signer));
    idp.world.advance(SECOND * 60);
    ok(&worker, &token(&signer));
}

/// They were fetched at a time that is still to come, so nobody knows how old they are.
#[test]
fn keys_are_fetched_anew_when_the_clock_has_gone_back() {
    let old = Signer::ed25519(1);
    let new = Signer::ed25519(2);
    let idp = Idp::new(&old);
    idp.world.advance(SECOND * 50_000);
    let worker = idp.worker();
    ok(&worker, &token(&old));

    idp.world.turn_back(SECOND * 50_000);
    idp.says(keys(&new));
    for worker in [worker, idp.worker()] {
        ok(&worker, &token(&new));
        refused(&send(&worker, &bearer(&token(&old))), 401, "meshgate_token_key_unknown");
    }
    assert_eq!(idp.asked(), 2);
}

#[test]
fn a_hanging_issuer_holds_a_request_no_longer_than_its_timeout() {
    let signer = Signer::new("ES256");
    let idp = Idp::new(&signer);
    idp.says(Planned::Never);
    let worker = idp.worker();
    let mut conversation = begin(&worker, &token(&signer));
    conversation.advance(Duration::from_millis(1_999));
    assert_eq!(conversation.client(), Client::Nothing);
    conversation.advance(Duration::from_millis(1));
    assert_eq!(status(&conversation), 503);
}

#[test]
fn a_key_that_is_not_known_is_asked_for_once_in_a_while() {
    let old = Signer::ed25519(1);
    let new = Signer::ed25519(2);
    let idp = Idp::new(&old);
    let worker = idp.worker();
    ok(&worker, &token(&old));
    idp.world.advance(SECOND * 10);

    // The issuer changes its key: the first token of the new one waits for it, and the old one is good no more.
    idp.says(keys(&new));
    ok(&worker, &token(&new));
    assert_eq!(idp.asked(), 2);
    refused(&send(&worker, &bearer(&token(&old))), 401, "meshgate_token_key_unknown");
    // The other worker hears of it without asking.
    ok(&idp.worker(), &token(&new));

    // Whoever makes up key ids gets no more than that.
    for number in 0..1_000 {
        let made_up = Signer::ed25519(3).key_id(Some(&number.to_string()));
        refused(&send(&worker, &bearer(&token(&made_up))), 401, "meshgate_token_key_unknown");
    }
    assert_eq!(idp.asked(), 2);
    idp.world.advance(SECOND * 30);
    for _ in 0..1_000 {
        refused(&send(&worker, &bearer(&token(&old))), 401, "meshgate_token_key_unknown");
    }
    assert_eq!(idp.asked(), 3);
}

/// A token that is remembered is checked again with the keys that there are now.
#[test]
fn a_key_that_is_taken_back_takes_its_tokens_along() {
    let old = Signer::ed25519(1);
    let idp = Idp::new(&old);
    let worker = idp.worker();
    ok(&worker, &token(&old));
    ok(&worker, &token(&old));
    assert_eq!(idp.world.metric("meshgate.quota.tokens.cached"), 1);
    idp.says(keys(&Signer::ed25519(2)));
    idp.world.advance(SECOND * 96);
    ok(&worker, &token(&old));
    idp.world.advance(SECOND);
    refused(&send(&worker, &bearer(&token(&old))), 401, "meshgate_token_key_unknown");
    assert_eq!(idp.asked(), 2);
}

/// Where no request came when it was time to renew them, the next one waits, or else a key that was taken back long ago
/// would be good once more.
#[test]
fn keys_that_are_too_old_are_renewed_first() {
    let old = Signer::ed25519(1);
    let idp = Idp::new(&old);
    let workers = [idp.worker(), idp.worker()];
    ok(&workers[0], &token(&old));
    idp.says(keys(&Signer::ed25519(2)));
    idp.world.advance(SECOND * 1_000);
    for worker in &workers {
        refused(&send(worker, &bearer(&token(&old))), 401, "meshgate_token_key_unknown");
    }
    assert_eq!(idp.asked(), 2);
    // Unless the issuer can't say.
    let idp = Idp::new(&old);
    let worker = idp.worker();
    ok(&worker, &token(&old));
    idp.says(Planned::Never);
    idp.world.advance(SECOND * 1_000);
    let mut conversation = begin(&worker, &token(&old));
    assert!(!passed(&conversation));
    conversation.advance(SECOND * 2);
    assert!(passed(&conversation));
    assert!(passed(&begin(&worker, &token(&old))));
}

#[test]
fn a_remote_set_has_no_secrets() {
    let secret = Signer::new("HS256");
    let idp = Idp::new(&secret);
    refused(&send(&idp.worker(), &bearer(&token(&secret))), 503, "meshgate_token_unchecked");
}

// Introspection.

/// An authorization server behind the cluster `auth`.
struct Auth {
    world: World,
    document: Value,
    asked: Rc<Cell<u32>>,
}

impl Auth {
    fn new(answer: impl Fn(&str) -> Planned + 'static) -> Self {
        let (world, asked) = (World::new(), Rc::new(Cell::new(0)));
        world.set_environment("SECRET", "s3cr:t/\u{e9}");
        let count = Rc::clone(&asked);
        world.on_http("auth", move |call| {
            count.set(count.get() + 1);
            answer(std::str::from_utf8(&call.body).unwrap())
        });
        let introspection = json!({
            "cluster": "auth", "path": "/introspect", "authority": "auth.example",
            "client": {"id": "gate way", "secret_env": "SECRET"},
            "identity": {"consumer_claim": "client_id", "plan": "endless"},
        });
        Self { world, document: with([("/introspection", introspection)]), asked }
    }

    /// A server that knows two tokens.
    fn usual() -> Self {
        Self::new(|body| {
            let good = match body {
                "token=good&token_type_hint=access_token" => {
                    json!({"active": true, "client_id": "alice", "exp": NOW + 30, "scope": "read"})
                }
                "token=endless%2B%2F%3D&token_type_hint=access_token" => {
                    json!({"active": true, "client_id": "alice"})
                }
                _ => json!({"active": false}),
            };
            Planned::After(Duration::from_millis(20), http_answer(200, &[], good.to_string()))
        })
    }

    fn change<const N: usize>(mut self, changes: [(&str, Value); N]) -> Self {
        for (name, value) in changes {
            self.document["introspection"][name] = value;
        }
        self
    }

    fn worker(&self) -> Worker<Quota> {
        Worker::new(&self.world, &self.document)
    }
}

#[test]
fn an_opaque_token_is_asked_about_once() {
    let auth = Auth::usual();
    let worker = auth.worker();
    for _ in 0..5 {
        ok(&worker, "good");
        refused(&send(&worker, &bearer("bad")), 401, "meshgate_token_inactive");
    }
    assert_eq!(auth.asked.get(), 2);
    let call = &auth.world.http_calls()[0];
    let fields = [":method", ":path", ":authority", "content-type"]
        .map(|name| call.head.get(name).unwrap_or_default());
    assert_eq!(fields, ["POST", "/introspect", "auth.example", "application/x-www-form-urlencoded"]);
    // `gate%20way:s3cr%3At%2F%C3%A9`
    assert_eq!(call.head.get("authorization"), Some("Basic Z2F0ZSUyMHdheTpzM2NyJTNBdCUyRiVDMyVBOQ=="));
    let outcome = send(&worker, &bearer("good"));
    assert_eq!(outcome.forwarded().head.get("authorization"), None);
}

#[test]
fn answers_are_kept_no_longer_than_the_token_is_good() {
    let auth = Auth::usual();
    let worker = auth.worker();
    for token in ["good", "endless+/="] {
        ok(&worker, token);
    }
    refused(&send(&worker, &bearer("bad")), 401, "meshgate_token_inactive");
    assert_eq!(auth.asked.get(), 3);
    auth.world.advance(SECOND * 9);
    refused(&send(&worker, &bearer("bad")), 401, "meshgate_token_inactive");
    assert_eq!(auth.asked.get(), 3);
    auth.world.advance(SECOND);
    refused(&send(&worker, &bearer("bad")), 401, "meshgate_token_inactive");
    assert_eq!(auth.asked.get(), 4);
    // With the skew of a minute the token would be good for 90 seconds, but answers are kept for 60.
    auth.world.advance(SECOND * 49);
    ok(&worker, "good");
    ok(&worker, "endless+/=");
    assert_eq!(auth.asked.get(), 4);
    auth.world.advance(SECOND);
    ok(&worker, "good");
    ok(&worker, "endless+/=");
    assert_eq!(auth.asked.get(), 6);
    auth.world.advance(SECOND * 30);
    refused(&send(&worker, &bearer("good")), 401, "meshgate_token_expired");
}

#[test]
fn many_requests_with_one_token_wait_for_one_answer() {
    let auth = Auth::usual();
    let worker = auth.worker();
    let mut all: Vec<_> = (0..50).map(|_| begin(&worker, "good")).collect();
    assert_eq!(auth.asked.get(), 1);
    for one in &mut all {
        one.settle();
        assert!(passed(one));
    }
    assert_eq!(auth.asked.get(), 1);
}

#[test]
fn a_token_that_cannot_be_asked_about_is_refused() {
    let failures: [fn() -> Planned; 7] = [
        || Planned::Never,
        || Planned::Refused(meshgate_policy::host::HostError::Status(2)),
        || http_answer(401, &[], "").into(),
        || http_answer(200, &[], "true").into(),
        || http_answer(200, &[], "{\"active\": \"true\"}").into(),
        || http_answer(200, &[], "{\"active\": false, \"active\": true}").into(),
        || http_answer(200, &[], format!("{{\"active\": true, \"x\": \"{}\"}}", "x".repeat(70_000))).into(),
    ];
    for failure in failures {
        let auth = Auth::new(move |_| failure());
        let worker = auth.worker();
        for _ in 0..3 {
            let outcome = send(&worker, &bearer("good"));
            refused(&outcome, 503, "meshgate_token_unchecked");
            assert_eq!(outcome.answer().head.get("retry-after"), Some("1"));
        }
        assert!(auth.world.metric("meshgate.quota.introspection.failed") >= 1);
    }
}

#[test]
fn a_token_that_cannot_be_asked_about_may_count_as_none() {
    let auth = Auth::new(|_| Answer::Failed(meshgate_policy::host::CalloutError::Reset).into())
        .change([("on_error", json!("anonymous"))]);
    refused(&send(&auth.worker(), &bearer("good")), 401, "meshgate_key_missing");
    let mut document = auth.document.clone();
    document["anonymous"] = json!({"plan": "endless"});
    let worker = Worker::<Quota>::new(&auth.world, document);
    let outcome = send(&worker, &bearer("good"));
    assert_eq!(outcome.forwarded().head.get("x-consumer-anonymous"), Some("true"));
    assert_eq!(outcome.forwarded().head.get("authorization"), None);
}

#[test]
fn what_the_server_says_must_be_good_for_us() {
    let auth = Auth::usual().change([("require", json!({"scopes": ["read"], "skew": "0s"}))]);
    let worker = auth.worker();
    ok(&worker, "good");
    refused(&send(&worker, &bearer("endless+/=")), 403, "meshgate_token_scope");
    let auth = Auth::usual().change([("audiences", json!(["api"]))]);
    refused(&send(&auth.worker(), &bearer("good")), 401, "meshgate_token_claims");
    let auth = Auth::usual().change([("require", json!({"types": ["Bearer"]}))]);
    refused(&send(&auth.worker(), &bearer("good")), 401, "meshgate_token_claims");
}

/// A token of an issuer whose keys are known is never asked about.
#[test]
fn issuers_come_before_introspection() {
    let auth = Auth::usual();
    let signer = Signer::new("ES256");
    let mut document = auth.document.clone();
    document["tokens"] = issued_by([&signer])["tokens"].clone();
    document["tokens"][0]["identity"]["shared_names"] = json!(true);
    document["introspection"]["identity"]["shared_names"] = json!(true);
    let worker = Worker::<Quota>::new(&auth.world, document);
    assert_eq!(send(&worker, &bearer(&signer.sign(&claims()))).status(), 200);
    let forged = Signer::ed25519(1).key_id(Some("es256")).sign(&claims());
    refused(&send(&worker, &bearer(&forged)), 401, "meshgate_token_key_unknown");
    assert_eq!(auth.asked.get(), 0);
    let other = signer.sign(&claiming([("iss", json!("https://other"))]));
    refused(&send(&worker, &bearer(&other)), 401, "meshgate_token_inactive");
    ok(&worker, "good");
    assert_eq!(auth.asked.get(), 2);
}

#[test]
fn the_secret_stays_in_the_environment() {
    let auth = Auth::usual();
    let world = World::new();
    let error = Worker::<Quota>::load(&world, &auth.document).unwrap_err().to_string();
    assert!(error.starts_with("introspection.client.secret_env: found \"SECRET\""), "{error}");
    for (name, value) in [("path", json!("x")), ("cluster", json!("")), ("timeout", json!("0s"))] {
        let auth = Auth::usual().change([(name, value)]);
        let error = Worker::<Quota>::load(&auth.world, &auth.document).unwrap_err().to_string();
        assert!(error.starts_with(&format!("introspection.{name}: ")), "{error}");
    }
}
