//! Tokens that an authorization server is asked about; also when somebody floods it, or it fails: what others do goes on.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::host::{Answer, CalloutError, HostError};
use meshgate_test_host::{Planned, http_answer};
use meshgate_test_tokens::{Signer, decode, encode};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::jwks::{SECOND, begin, ok, passed, status};
use super::tokens::{NOW, bearer, claiming, claims, issued_by, refused};
use super::*;

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
        || Planned::Refused(HostError::Status(2)),
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
    let auth =
        Auth::new(|_| Answer::Failed(CalloutError::Reset).into()).change([("on_error", json!("anonymous"))]);
    let error = Worker::<Quota>::load(&auth.world, &auth.document).unwrap_err().to_string();
    assert!(error.starts_with("introspection.on_error: found \"anonymous\", expected deny"), "{error}");
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
    let nobody = json!({"id": "", "secret_env": "SECRET"});
    for (name, value, at) in [
        ("path", json!("x"), "path"),
        ("cluster", json!(""), "cluster"),
        ("timeout", json!("0s"), "timeout"),
        ("client", nobody, "client.id"),
    ] {
        let auth = Auth::usual().change([(name, value)]);
        let error = Worker::<Quota>::load(&auth.world, &auth.document).unwrap_err().to_string();
        assert!(error.starts_with(&format!("introspection.{at}: ")), "{error}");
    }
}

// Floods and failures.

/// What the server says, whatever the token.
type Says = Rc<Cell<fn() -> Planned>>;

fn good() -> Planned {
    http_answer(200, &[], json!({"active": true, "client_id": "alice"}).to_string()).into()
}

fn inactive() -> Planned {
    http_answer(200, &[], json!({"active": false}).to_string()).into()
}

fn broken() -> Planned {
    http_answer(500, &[], "").into()
}

/// A server that answers as is told, but for `token=known...`, which is good.
fn server(answer: fn() -> Planned) -> (Auth, Says) {
    let says = Rc::new(Cell::new(answer));
    let said = Rc::clone(&says);
    (Auth::new(move |body| if body.starts_with("token=known") { good() } else { said.get()() }), says)
}

fn asked(auth: &Auth) -> u32 {
    auth.asked.replace(0)
}

fn not_asked(auth: &Auth) -> i64 {
    auth.world.metric("meshgate.quota.introspection.not_asked")
}

#[test]
fn a_client_that_floods_the_server_is_refused_alone() {
    let (auth, _) = server(|| Planned::Never);
    let worker = auth.worker();
    let from = |address: &str| auth.world.set_property(&["source", "address"], address);
    from("192.0.2.1:4711");
    let mut hanging: Vec<_> = (0..8).map(|number| begin(&worker, &format!("random{number}"))).collect();
    assert_eq!(asked(&auth), 8);
    for number in 8..300 {
        let outcome = send(&worker, &bearer(&format!("random{number}")));
        refused(&outcome, 429, "meshgate_token_throttled");
        assert_eq!(outcome.answer().head.get("retry-after"), Some("1"));
    }
    assert_eq!((asked(&auth), auth.world.metric("meshgate.quota.denied.token_throttled")), (0, 292));
    // One that is asked about already is no other question.
    hanging.push(begin(&worker, "random3"));
    assert_eq!(asked(&auth), 0);

    from("192.0.2.2:4711");
    ok(&worker, "known");
    // Whoever it is, what was answered needs no question.
    from("192.0.2.1:4712");
    ok(&worker, "known");
    refused(&send(&worker, &bearer("known-2")), 429, "meshgate_token_throttled");
    for mut one in hanging {
        one.advance(SECOND * 2);
        assert_eq!(status(&one), 503);
    }
}

#[test]
fn how_many_questions_a_client_may_have_can_be_said() {
    let (auth, _) = server(|| Planned::Never);
    let mut auth = auth.change([("questions_per_client", json!(2)), ("on_error", json!("anonymous"))]);
    auth.document["anonymous"] = json!({"plan": "endless"});
    let worker = auth.worker();
    let _hanging = [begin(&worker, "a"), begin(&worker, "b")];
    // Nor does it become anonymous by that.
    refused(&send(&worker, &bearer("c")), 429, "meshgate_token_throttled");
    for wrong in [0, 257] {
        let (auth, _) = server(good);
        let auth = auth.change([("questions_per_client", json!(wrong))]);
        let error = Worker::<Quota>::load(&auth.world, &auth.document).unwrap_err().to_string();
        assert!(error.starts_with("introspection.questions_per_client: "), "{error}");
    }
}

/// Many clients together are a flood as well, and strangers here: it shuts out nobody of whom a token was good.
#[test]
fn strangers_do_not_get_all_questions() {
    let (auth, _) = server(|| Planned::Never);
    let worker = auth.worker();
    let from = |address: &str| auth.world.set_property(&["source", "address"], format!("{address}:1"));
    from("192.0.2.1");
    ok(&worker, "known");
    assert_eq!(asked(&auth), 1);
    let flood = (0..300).map(|client| {
        from(&format!("198.51.{}.{}", client / 100, client % 100));
        begin(&worker, &format!("random{client}"))
    });
    let _hanging: Vec<_> = flood.collect();
    assert_eq!((asked(&auth), not_asked(&auth)), (192, 108));
    from("192.0.2.2");
    refused(&send(&worker, &bearer("known-2")), 503, "meshgate_token_unchecked");
    from("192.0.2.1");
    ok(&worker, "known-3");
    assert_eq!((asked(&auth), not_asked(&auth)), (1, 109));
    // One of them may have one question, and no more.
    from("198.51.0.1");
    refused(&send(&worker, &bearer("random")), 429, "meshgate_token_throttled");
}

#[test]
fn a_server_that_fails_is_not_asked_for_a_while() {
    let (auth, says) = server(broken);
    let worker = auth.worker();
    ok(&worker, "known");
    let fail = |name: &str| refused(&send(&worker, &bearer(name)), 503, "meshgate_token_unchecked");
    for number in 0..20 {
        fail(&format!("first{number}"));
    }
    assert_eq!((asked(&auth), not_asked(&auth)), (1 + 5, 15));
    // What was answered before goes on.
    ok(&worker, "known");

    // After each pause one question, and the pauses get longer: 1, 2, 4... to 30 seconds.
    let mut times = Vec::new();
    for second in 1..=120 {
        auth.world.advance(SECOND);
        for number in 0..3 {
            fail(&format!("{second}-{number}"));
        }
        if asked(&auth) > 0 {
            times.push(second);
        }
    }
    assert_eq!(times, [1, 3, 7, 15, 31, 61, 91]);
    let outcome = send(&worker, &bearer("x"));
    assert_eq!(outcome.answer().head.get("retry-after"), Some("1"));

    // The first good answer ends it, whatever it says of the token.
    says.set(inactive);
    auth.world.advance(SECOND);
    refused(&send(&worker, &bearer("bad")), 401, "meshgate_token_inactive");
    says.set(good);
    for number in 0..20 {
        ok(&worker, &format!("good{number}"));
    }
}

#[test]
fn one_question_at_a_time_tries_a_server_that_hung() {
    let (auth, says) = server(|| Planned::Never);
    let worker = auth.worker();
    let hanging: Vec<_> = (0..8).map(|number| begin(&worker, &format!("{number}"))).collect();
    for mut one in hanging {
        one.settle();
        assert_eq!(status(&one), 503);
    }
    // It is told how long that lasts.
    auth.world.advance(SECOND * 3);
    let mut trial = begin(&worker, "trial");
    assert!(!passed(&trial));
    asked(&auth);
    for number in 0..10 {
        refused(&send(&worker, &bearer(&format!("later{number}"))), 503, "meshgate_token_unchecked");
    }
    assert_eq!(asked(&auth), 0);
    // Who has the same token waits for the same answer.
    let same = begin(&worker, "trial");
    assert!(!passed(&same));
    trial.advance(SECOND * 2);
    assert_eq!(status(&trial), 503);
    let outcome = send(&worker, &bearer("next"));
    assert_eq!(outcome.answer().head.get("retry-after"), Some("2"));
    says.set(good);
    auth.world.advance(SECOND * 2);
    ok(&worker, "next-2");
}

/// Or whoever sends such tokens keeps the server from being asked about good ones.
#[test]
fn an_answer_that_is_about_the_token_says_nothing_of_the_server() {
    let answers: [fn() -> Planned; 2] =
        [|| http_answer(400, &[], "").into(), || http_answer(200, &[], " ".repeat(70_000)).into()];
    for answer in answers {
        let (auth, _) = server(answer);
        let worker = auth.worker();
        for number in 0..20 {
            refused(&send(&worker, &bearer(&format!("{number}"))), 503, "meshgate_token_unchecked");
        }
        assert_eq!((asked(&auth), not_asked(&auth)), (20, 0));
        ok(&worker, "known");
    }
    let (auth, _) = server(|| http_answer(401, &[], "").into());
    let worker = auth.worker();
    for number in 0..20 {
        refused(&send(&worker, &bearer(&format!("{number}"))), 503, "meshgate_token_unchecked");
    }
    assert_eq!(asked(&auth), 5);
}

#[test]
fn on_error_applies_at_once_while_the_server_is_not_asked() {
    let (auth, _) = server(|| Planned::Never);
    let mut auth = auth.change([("on_error", json!("anonymous"))]);
    auth.document["anonymous"] = json!({"plan": "endless"});
    let worker = auth.worker();
    let hanging: Vec<_> = (0..5).map(|number| begin(&worker, &format!("{number}"))).collect();
    auth.world.advance(SECOND * 2);
    drop(hanging);
    let outcome = send(&worker, &bearer("other"));
    assert_eq!(outcome.forwarded().head.get("x-consumer-anonymous"), Some("true"));
    assert_eq!(auth.world.now(), World::new().now().after(Duration::from_secs(2)));
}

/// The server might take them: it reads tokens with less care, and knows other rules.
#[test]
fn what_may_be_a_token_of_an_issuer_is_not_asked_about() {
    let (auth, _) = server(good);
    let signer = Signer::new("ES256");
    let mut document = auth.document.clone();
    document["tokens"] = issued_by([&signer])["tokens"].clone();
    document["tokens"][0]["identity"]["shared_names"] = json!(true);
    document["introspection"]["identity"]["shared_names"] = json!(true);
    let worker = Worker::<Quota>::new(&auth.world, &document);

    let header = |fields: Value| {
        let mut header = json!({"alg": "ES256", "kid": "es256"});
        for (name, value) in fields.as_object().unwrap() {
            header[name] = value.clone();
        }
        header.to_string()
    };
    let ours = claims().to_string();
    let other = claiming([("iss", json!("https://other"))]).to_string();
    let signed = |header: &str, claims: &str| signer.sign_with(header, claims);
    let deep = format!("{{\"iss\":\"https://idp\",\"x\":{}{}}}", "[".repeat(50), "]".repeat(50));
    let twice = r#"{"iss":"https://other","iss":"https://idp"}"#;
    for token in [
        signed(&header(json!({"crit": ["exp"]})), &ours),
        signed(&header(json!({"jku": "https://evil"})), &ours),
        signed(&header(json!({"alg": "none"})), &ours),
        signed(&header(json!({"kid": 7})), &ours),
        signed(r#"{"alg":"ES256","alg":"ES256"}"#, &ours),
        signed(&header(json!({})), &deep),
        signed(&header(json!({})), twice),
        signed(&header(json!({})), "{"),
        signed(&header(json!({"crit": []})), "{}"),
        format!("{}=", signer.sign(&claims())),
        signer.sign(&claiming([("iss", json!(["https://idp"]))])),
    ] {
        refused(&send(&worker, &bearer(&token)), 401, "meshgate_token_malformed");
    }
    assert_eq!(asked(&auth), 0);

    // What is surely of others is, and what is no token at all.
    let foreign = [
        signed(&header(json!({"crit": ["exp"]})), &other),
        signed(&header(json!({})), &other),
        encode(decode("b3BhcXVl")),
        "a.b.c".to_owned(),
        format!("{}.x.y.z", signer.sign(&claims())),
    ];
    for token in &foreign {
        ok(&worker, token);
    }
    assert_eq!(asked(&auth), 5);
    // Without issuers there is nobody whose tokens they could be.
    let worker = auth.worker();
    ok(&worker, &signed(&header(json!({"crit": ["exp"]})), &ours));
}
