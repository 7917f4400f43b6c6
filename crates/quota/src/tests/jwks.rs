//! Keys behind a URL.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::exchange::Exchange;
use meshgate_policy::host::Side;
use meshgate_test_host::{Chunking, Client, Conversation, Planned, http_answer};
use meshgate_test_tokens::{Signer, jwks};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::tokens::{NOW, bearer, claiming, identity, issued_by, issuer, refused};
use super::*;

pub const SECOND: Duration = Duration::from_secs(1);

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
pub fn token(signer: &Signer) -> String {
    signer.sign(&claiming([("sub", json!("alice")), ("exp", json!(NOW + 100_000))]))
}

pub fn ok(worker: &Worker<Quota>, token: &str) {
    let outcome = send(worker, &bearer(token));
    assert_eq!(outcome.status(), 200, "{outcome:?}");
    assert_eq!(identity(&outcome)[0].1, "alice");
}

/// Brings a request, and lets nothing happen yet.
pub fn begin(
    worker: &Worker<Quota>,
    token: &str,
) -> Conversation<<Quota as meshgate_policy::policy::Policy>::Exchange> {
    let mut conversation = worker.begin();
    conversation.send(Side::Request, &bearer(token), &Chunking::WHOLE);
    conversation
}

pub fn passed<E: Exchange>(conversation: &Conversation<E>) -> bool {
    conversation.upstream().is_some_and(|message| message.complete)
}

pub fn status<E: Exchange>(conversation: &Conversation<E>) -> u16 {
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

/// While no other keys may be asked for, nobody knows that there is no such key: a client of an issuer that has changed its
/// keys has done nothing wrong.
#[test]
fn a_key_that_may_be_new_is_no_failure_to_authenticate() {
    let (old, new) = (Signer::ed25519(1), Signer::ed25519(2));
    let idp = Idp::new(&old);
    let mut document = idp.document.clone();
    document["failed_auth"] = json!({"rate": "2/h"});
    let worker = Worker::<Quota>::new(&idp.world, document);
    ok(&worker, &token(&old));
    idp.world.advance(SECOND * 10);
    // Somebody makes up a key, which is asked for.
    refused(&send(&worker, &bearer(&token(&Signer::ed25519(3)))), 401, "meshgate_token_key_unknown");
    idp.world.advance(SECOND * 5);
    idp.says(keys(&new));
    for _ in 0..10 {
        refused(&send(&worker, &bearer(&token(&new))), 401, "meshgate_token_key_unknown");
    }
    assert_eq!(idp.asked(), 2);
    idp.world.advance(SECOND * 25);
    ok(&worker, &token(&new));
    // What the issuer has just said that it does not have, it does not have.
    refused(&send(&worker, &bearer(&token(&old))), 401, "meshgate_token_key_unknown");
    refused(&send(&worker, &bearer(&token(&new))), 429, "meshgate_failed_auth_limited");
}

#[test]
fn tokens_without_a_key_id_make_for_new_keys_as_well() {
    let (old, new) = (Signer::ed25519(1).key_id(None), Signer::ed25519(2).key_id(None));
    let idp = Idp::new(&old);
    let worker = idp.worker();
    ok(&worker, &token(&old));
    idp.world.advance(SECOND * 10);
    idp.says(keys(&new));
    ok(&worker, &token(&new));
    assert_eq!(idp.asked(), 2);
    refused(&send(&worker, &bearer(&token(&old))), 401, "meshgate_token_signature");

    // Not more than once in thirty seconds, whatever is sent, and each token is checked once in that time.
    let checked = || idp.world.metric("meshgate.quota.tokens.verified_by_module");
    let before = checked();
    for number in 0..100 {
        let forged = Signer::ed25519(3).key_id(None).sign(&claiming([("jti", json!(number))]));
        for _ in 0..3 {
            refused(&send(&worker, &bearer(&forged)), 401, "meshgate_token_signature");
        }
    }
    assert_eq!((idp.asked(), checked() - before), (2, 100));

    // Then one that was bad is a reason to ask: it may have been that of a newer key.
    let newest = Signer::ed25519(4).key_id(None);
    idp.says(keys(&newest));
    refused(&send(&worker, &bearer(&token(&newest))), 401, "meshgate_token_signature");
    idp.world.advance(SECOND * 29);
    refused(&send(&worker, &bearer(&token(&newest))), 401, "meshgate_token_signature");
    assert_eq!(idp.asked(), 2);
    idp.world.advance(SECOND);
    ok(&worker, &token(&newest));
    assert_eq!(idp.asked(), 3);
    // The other worker hears of it without asking.
    let other = idp.worker();
    ok(&other, &token(&newest));
    assert_eq!(idp.asked(), 3);
}

/// It would be wrong to refuse for a minute what the issuer has vouched for.
#[test]
fn a_bad_signature_is_forgotten_with_the_keys() {
    let old = Signer::ed25519(1).key_id(Some("k"));
    let new = Signer::ed25519(2).key_id(Some("k"));
    let idp = Idp::new(&old);
    let worker = idp.worker();
    ok(&worker, &token(&old));
    idp.world.advance(SECOND * 74);
    refused(&send(&worker, &bearer(&token(&new))), 401, "meshgate_token_signature");
    idp.says(keys(&new));
    // They are renewed in less than 22 seconds.
    for _ in 0..22 {
        idp.world.advance(SECOND);
        send(&worker, &bearer(&token(&old)));
        idp.world.advance(Duration::from_millis(20));
    }
    assert_eq!(idp.asked(), 2);
    ok(&worker, &token(&new));
    refused(&send(&worker, &bearer(&token(&old))), 401, "meshgate_token_signature");
}

#[test]
fn when_keys_were_fetched_is_known_also_while_nothing_is() {
    let signer = Signer::new("ES256");
    let idp = Idp::new(&signer);
    let worker = idp.worker();
    let fetched_at = || idp.world.metric("meshgate.quota.jwks.https___idp.fetched_at");
    let now = || i64::try_from(idp.world.now().as_secs()).unwrap();
    assert_eq!(fetched_at(), 0);
    ok(&worker, &token(&signer));
    assert_eq!(fetched_at(), now());
    idp.says(http_answer(500, &[], ""));
    idp.world.advance(SECOND * 500);
    ok(&worker, &token(&signer));
    assert_eq!(fetched_at(), now() - 500);
    // Another worker has them from this one, and says the same.
    ok(&idp.worker(), &token(&signer));
    assert_eq!(fetched_at(), now() - 500);
    idp.says(keys(&signer));
    idp.world.advance(SECOND * 60);
    ok(&worker, &token(&signer));
    idp.world.advance(Duration::from_millis(20));
    assert_eq!(fetched_at(), now());
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
