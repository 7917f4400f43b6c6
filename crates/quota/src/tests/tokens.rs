//! Tokens in the place of keys.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use meshgate_test_tokens::{Signer, jwks};

use super::*;

/// Seconds at which worlds begin.
pub const NOW: u64 = 1_767_225_600;

/// The document with one issuer, whose keys are those of these signers, and which may name consumers of the document.
pub fn issued_by<'a>(signers: impl IntoIterator<Item = &'a Signer>) -> Value {
    let identity = json!({"configured_consumers": true});
    let issuer =
        json!({"issuer": "https://idp", "audiences": ["api"], "jwks": jwks(signers), "identity": identity});
    with([("/tokens", json!([issuer]))])
}

/// The issuer of a document, changed.
pub fn issuer<const N: usize>(mut document: Value, changes: [(&str, Value); N]) -> Value {
    for (name, value) in changes {
        document["tokens"][0][name] = value;
    }
    document
}

/// What a good token says.
pub fn claims() -> Value {
    json!({"iss": "https://idp", "aud": "api", "sub": "acme", "exp": NOW + 600})
}

/// Claims, changed; `null` removes one.
pub fn claiming<const N: usize>(changes: [(&str, Value); N]) -> Value {
    let mut claims = claims();
    for (name, value) in changes {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
    }
    claims
}

pub fn bearer(token: &str) -> Message {
    Message::get("/").with("authorization", format!("Bearer {token}"))
}

#[track_caller]
pub fn refused(outcome: &Outcome, status: u16, details: &str) {
    assert_eq!((outcome.status(), outcome.details), (status, Some(details)), "{outcome:?}");
    assert_eq!(outcome.upstream, None);
    problem(outcome);
}

/// What the upstream is told of the consumer.
pub fn identity(outcome: &Outcome) -> Vec<(String, String)> {
    let fields = fields(outcome.forwarded());
    fields.into_iter().filter(|(name, _)| name.starts_with("x-consumer-")).collect()
}

fn told(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_token_names_a_consumer_and_does_not_reach_the_upstream() {
    let world = World::new();
    for name in ["RS256", "PS384", "ES256", "ES512", "EdDSA", "HS256"] {
        let signer = Signer::new(name);
        let worker = Worker::<Quota>::new(&world, issued_by([&signer]));
        let request = bearer(&signer.sign(&claims())).with("x-consumer-name", "root").with("accept", "*/*");
        let outcome = send(&worker, &request);
        assert_eq!(outcome.status(), 200, "{name}: {outcome:?}");
        let expected = [("accept", "*/*"), ("x-consumer-name", "acme"), ("x-consumer-plan", "free")];
        assert_eq!(fields(outcome.forwarded()), told(&expected), "{name}");
    }
    assert_eq!(world.metric("meshgate.quota.allowed"), 6);
}

#[test]
fn the_token_is_forwarded_where_that_is_configured() {
    let signer = Signer::new("EdDSA");
    let worker =
        Worker::<Quota>::new(&World::new(), issuer(issued_by([&signer]), [("forward", json!(true))]));
    let request = bearer(&signer.sign(&claims()));
    let outcome = send(&worker, &request);
    assert_eq!(outcome.forwarded().head.get("authorization"), request.head.get("authorization"));
    assert_eq!(outcome.forwarded().head.get("x-consumer-name"), Some("acme"));
}

/// The issuer's consumers share the usage of those in the configuration, who may come with a key as well.
#[test]
fn a_consumer_of_the_configuration_has_one_usage() {
    let world = World::new();
    let signer = Signer::new("EdDSA");
    let worker = Worker::<Quota>::new(&world, issued_by([&signer]));
    let token = signer.sign(&claims());
    for _ in 0..5 {
        assert_eq!(send(&worker, &bearer(&token)).status(), 200);
        assert_eq!(send(&worker, &get("/", "key-1")).status(), 200);
    }
    refused(&send(&worker, &bearer(&token)), 429, "meshgate_limit_exceeded");
    refused(&send(&worker, &get("/", "key-1")), 429, "meshgate_limit_exceeded");

    let dormant = signer.sign(&claiming([("sub", json!("dormant"))]));
    refused(&send(&worker, &bearer(&dormant)), 403, "meshgate_consumer_disabled");
}

#[test]
fn others_get_their_plan_from_the_token() {
    let world = World::new();
    let signer = Signer::new("EdDSA");
    let mapping = json!({
        "consumer_claim": "client_id", "consumer_prefix": "idp/", "plan": "free", "plan_claim": "tier",
        "groups_claim": "/realm_access/roles", "metadata": {"tenant": "org", "missing": "nothing", "list": "realm_access"},
    });
    let worker = Worker::<Quota>::new(&world, issuer(issued_by([&signer]), [("identity", mapping)]));
    let from = |client: &str, tier: Value| {
        let roles = json!({"roles": ["admin", "a,b", "user", "admin", 7, "\n"]});
        let changes =
            [("client_id", json!(client)), ("tier", tier), ("realm_access", roles), ("org", json!(42))];
        send(&worker, &bearer(&signer.sign(&claiming(changes))))
    };
    assert_eq!(
        identity(&from("acme", json!("endless"))),
        told(&[
            ("x-consumer-name", "idp/acme"),
            ("x-consumer-plan", "endless"),
            ("x-consumer-groups", "admin, user, 7"),
            ("x-consumer-meta-tenant", "42"),
        ])
    );
    for tier in [json!("glod"), json!(null), json!(["endless"])] {
        assert_eq!(from("b", tier).forwarded().head.get("x-consumer-plan"), Some("free"));
    }
    // Each has a usage of its own: `b` has seven left, `c` has ten.
    for (client, left) in [("b", 7), ("c", 10)] {
        for _ in 0..left {
            assert_eq!(from(client, json!("free")).status(), 200, "{client}");
        }
        refused(&from(client, json!("free")), 429, "meshgate_limit_exceeded");
    }
    for client in ["", "\u{e9}", &"x".repeat(125), "a\nb"] {
        refused(&from(client, json!("free")), 403, "meshgate_token_consumer");
    }
    assert_eq!(world.metric("meshgate.quota.denied.token_consumer"), 4);
}

#[test]
fn who_has_no_plan_may_not() {
    let signer = Signer::new("EdDSA");
    let document = issued_by([&signer]);
    let worker = Worker::<Quota>::new(&World::new(), &document);
    let stranger = signer.sign(&claiming([("sub", json!("stranger"))]));
    let outcome = send(&worker, &bearer(&stranger));
    refused(&outcome, 403, "meshgate_token_consumer");
    let challenge = outcome.answer().head.get("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer realm=\"meshgate\", error=\"insufficient_scope\", error_description=")
    );
    assert!(!challenge.contains("scope="), "no scope would help: {challenge}");

    // Nor may a token take the name of those who have none.
    let mapping = json!({"plan": "endless", "configured_consumers": true});
    let mut open = issuer(document, [("identity", mapping)]);
    open["anonymous"] = json!({"plan": "endless"});
    let worker = Worker::<Quota>::new(&World::new(), open);
    let nobody = signer.sign(&claiming([("sub", json!("anonymous"))]));
    refused(&send(&worker, &bearer(&nobody)), 403, "meshgate_token_consumer");
    assert_eq!(identity(&send(&worker, &bearer(&stranger)))[0].1, "stranger");
}

/// Whoever can choose a claim would choose the name of somebody who has bought more.
#[test]
fn a_consumer_of_the_configuration_is_named_only_where_that_is_allowed() {
    let world = World::new();
    let signer = Signer::new("EdDSA");
    let document = issuer(issued_by([&signer]), [("identity", json!({"plan": "free"}))]);
    let worker = Worker::<Quota>::new(&world, &document);
    for name in ["acme", "dormant", "guest/1"] {
        let outcome = send(&worker, &bearer(&signer.sign(&claiming([("sub", json!(name))]))));
        refused(&outcome, 403, "meshgate_token_consumer");
    }
    let other = signer.sign(&claiming([("sub", json!("acme "))]));
    refused(&send(&worker, &bearer(&other)), 403, "meshgate_token_consumer");
    let other = signer.sign(&claiming([("sub", json!("Acme"))]));
    assert_eq!(identity(&send(&worker, &bearer(&other)))[0].1, "Acme");

    // The prefix is part of the name that counts.
    let mapping = json!({"plan": "endless", "consumer_prefix": "guest/", "configured_consumers": true});
    let worker = Worker::<Quota>::new(&World::new(), issuer(document.clone(), [("identity", mapping)]));
    let one = signer.sign(&claiming([("sub", json!("1"))]));
    assert_eq!(identity(&send(&worker, &bearer(&one)))[0].1, "guest/1");
    let mapping = json!({"plan": "endless", "consumer_prefix": "guest/"});
    let worker = Worker::<Quota>::new(&World::new(), issuer(document, [("identity", mapping)]));
    refused(&send(&worker, &bearer(&one)), 403, "meshgate_token_consumer");
}

#[test]
fn only_so_many_groups_of_a_token_count() {
    let signer = Signer::new("EdDSA");
    let identity = json!({"plan": "endless", "groups_claim": "groups", "configured_consumers": true});
    let document = issuer(issued_by([&signer]), [("identity", identity)]);
    let worker = Worker::<Quota>::new(&World::new(), &document);
    let groups: Vec<_> = (0..500).map(|number| format!("g{number}")).collect();
    let token = signer.sign(&claiming([("sub", json!("alice")), ("groups", json!(groups))]));
    let outcome = send(&worker, &bearer(&token));
    let told = outcome.forwarded().head.get("x-consumer-groups").unwrap().to_owned();
    assert_eq!(told, groups[..64].join(", "));
}

#[test]
fn groups_of_tokens_and_of_the_configuration_decide_alike() {
    let signer = Signer::new("EdDSA");
    let identity = json!({"plan": "endless", "groups_claim": "groups", "configured_consumers": true});
    let mut document = issuer(issued_by([&signer]), [("identity", identity)]);
    document["consumers"][0]["groups"] = json!(["partners"]);
    document["access"] = json!([{"match": {"path": "/admin"}, "allow": {"groups": ["admins"]}},
        {"match": {"path": "/p"}, "allow": {"groups": ["partners"]}}]);
    let worker = Worker::<Quota>::new(&World::new(), document);
    let status = |sub: &str, groups: Value, path: &str| {
        let token = signer.sign(&claiming([("sub", json!(sub)), ("groups", groups)]));
        let request = Message::get(path).with("authorization", format!("bearer {token}"));
        send(&worker, &request).status()
    };
    assert_eq!(status("acme", json!("admins"), "/admin"), 200);
    assert_eq!(status("acme", json!(["x"]), "/admin"), 403);
    assert_eq!(status("acme", json!(["x"]), "/p"), 200);
    assert_eq!(status("stranger", json!(["x"]), "/p"), 403);
    assert_eq!(status("stranger", json!(["x", "partners"]), "/p"), 200);
}

#[test]
fn what_is_wrong_is_said_as_rfc_6750_wants_it() {
    let world = World::new();
    let signer = Signer::new("ES256");
    let requires = json!({
        "scopes": ["read", "write"], "types": ["JWT"], "max_lifetime": "15m", "claims": [{"claim": "org", "values": ["a"]}],
    });
    let worker = Worker::<Quota>::new(&world, issuer(issued_by([&signer]), [("require", requires)]));
    let good = [("org", json!("a")), ("scope", json!("write read"))];
    let signed = |changes: [(&str, Value); 1]| {
        let mut all = claiming(good.clone());
        let [(name, value)] = changes;
        all[name] = value;
        signer.sign(&all)
    };
    assert_eq!(send(&worker, &bearer(&signer.sign(&claiming(good.clone())))).status(), 200);

    let other = Signer::new("ES256").key_id(Some("es512"));
    let wrong_key = Signer::ed25519(1).key_id(Some("es256"));
    let tampered = signer.sign(&claiming(good.clone())).replace("eyJhbGciOi", "eyJhbGciOj");
    let (input, _) = signer
        .sign(&claiming(good.clone()))
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for (token, code, metric) in [
        ("x".to_owned(), "malformed", "malformed"),
        ("a b".to_owned(), "malformed", "malformed"),
        (String::new(), "malformed", "malformed"),
        ("x".repeat(20_000), "malformed", "malformed"),
        (tampered, "malformed", "malformed"),
        (other.sign(&claims()), "key_unknown", "key_unknown"),
        (wrong_key.sign(&claims()), "key_unknown", "key_unknown"),
        (signed([("iss", json!("https://idp/"))]), "key_unknown", "key_unknown"),
        (format!("{input}.{}", meshgate_test_tokens::encode([7; 64])), "signature", "signature"),
        (signed([("exp", json!(NOW - 60))]), "expired", "expired"),
        (signed([("nbf", json!(NOW + 61))]), "not_yet_valid", "not_yet_valid"),
        (signed([("aud", json!("other"))]), "claims", "claims"),
        (signed([("org", json!("b"))]), "claims", "claims"),
        (signed([("exp", json!(NOW + 901))]), "claims", "claims"),
    ] {
        let before = world.metric(&format!("meshgate.quota.denied.token_{metric}"));
        let outcome = send(&worker, &bearer(&token));
        refused(&outcome, 401, &format!("meshgate_token_{code}"));
        let challenge = outcome.answer().head.get("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("Bearer realm=\"meshgate\", error=\"invalid_token\", error_description=\"")
        );
        assert_eq!(world.metric(&format!("meshgate.quota.denied.token_{metric}")), before + 1);
    }
    let outcome = send(&worker, &bearer(&signed([("scope", json!("read"))])));
    refused(&outcome, 403, "meshgate_token_scope");
    let challenge = outcome.answer().head.get("www-authenticate").unwrap();
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.ends_with("scope=\"read write\"")
    );

    // Without any, both are asked for, and no error is told.
    let outcome = send(&worker, &Message::get("/"));
    refused(&outcome, 401, "meshgate_key_missing");
    let challenges: Vec<_> = outcome.answer().head.all("www-authenticate").collect();
    assert_eq!(challenges, [&b"ApiKey realm=\"meshgate\""[..], b"Bearer realm=\"meshgate\""]);
}

#[test]
fn one_credential_is_enough() {
    let world = World::new();
    let signer = Signer::new("EdDSA");
    let worker = Worker::<Quota>::new(&world, issued_by([&signer]));
    let token = signer.sign(&claims());
    for request in [
        bearer(&token).with("x-api-key", "key-1"),
        bearer(&token).with("authorization", format!("Bearer {token}")),
        Message::get("/").with("authorization", format!("Bearer {token}, Bearer {token}")),
        bearer("").with("x-api-key", ""),
    ] {
        let outcome = send(&worker, &request);
        refused(&outcome, 400, "meshgate_key_repeated");
        let challenges: Vec<_> = outcome.answer().head.all("www-authenticate").collect();
        let challenge = br#"Bearer realm="meshgate", error="invalid_request", error_description="More than one credential.""#;
        assert_eq!(challenges, [challenge.as_slice()]);
    }
    // Of keys alone RFC 6750 says nothing.
    let outcome = send(&worker, &get("/", "key-1").with("x-api-key", "key-1"));
    refused(&outcome, 400, "meshgate_key_repeated");
    assert_eq!(outcome.answer().head.get("www-authenticate"), None);
    // Another scheme is another matter.
    let request = get("/", "key-1").with("authorization", "Basic eA==");
    assert_eq!(send(&worker, &request).forwarded().head.get("authorization"), Some("Basic eA=="));
    let request = bearer(&token).with("authorization", "Basic eA==");
    let outcome = send(&worker, &request);
    assert_eq!(outcome.forwarded().head.all("authorization").collect::<Vec<_>>(), [b"Basic eA=="]);
}

/// Where nobody is asked who it is, a token may be the upstream's; headers that would name somebody are nobody's.
#[test]
fn unguarded_requests_keep_their_token_and_no_identity() {
    let signer = Signer::new("EdDSA");
    let mut document = issued_by([&signer]);
    document["match"] = json!({"path": "/guarded/**"});
    let worker = Worker::<Quota>::new(&World::new(), document);
    for method in ["GET", "OPTIONS"] {
        let request = Message::request(method, "/open")
            .with("authorization", "Bearer whatever")
            .with("x-consumer-meta-tenant", "42");
        let outcome = send(&worker, &request);
        assert_eq!(fields(outcome.forwarded()), told(&[("authorization", "Bearer whatever")]));
    }
}

#[test]
fn a_token_is_checked_once_and_not_longer_than_it_is_good() {
    let world = World::new();
    let signer = Signer::new("EdDSA");
    let mut document = issued_by([&signer]);
    document["consumers"][0]["plan"] = json!("endless");
    let worker = Worker::<Quota>::new(&world, document);
    let token = signer.sign(&claims());
    for _ in 0..3 {
        assert_eq!(send(&worker, &bearer(&token)).status(), 200);
    }
    assert_eq!(world.metric("meshgate.quota.tokens.cached"), 2);
    world.advance(std::time::Duration::from_secs(659));
    assert_eq!(send(&worker, &bearer(&token)).status(), 200);
    assert_eq!(world.metric("meshgate.quota.tokens.cached"), 3);
    world.advance(std::time::Duration::from_secs(1));
    refused(&send(&worker, &bearer(&token)), 401, "meshgate_token_expired");
    // A wrong signature is as wrong the second time, though the rest of the token is known.
    let changed = format!("{}A", token.strip_suffix(|_| true).unwrap());
    assert_ne!(send(&worker, &bearer(&changed)).status(), 200);
}

#[test]
fn a_bad_signature_is_checked_once_a_minute() {
    let world = World::new();
    let signer = Signer::new("RS256");
    let worker = Worker::<Quota>::new(&world, issued_by([&signer]));
    let forged = |number: u64| {
        let token = signer.sign(&claiming([("jti", json!(number))]));
        let (input, _) = token.rsplit_once('.').unwrap();
        format!("{input}.{}", meshgate_test_tokens::encode([7; 256]))
    };
    let counts = || {
        ["verified_by_module", "cached_bad"]
            .map(|name| world.metric(&format!("meshgate.quota.tokens.{name}")))
    };
    for _ in 0..4 {
        refused(&send(&worker, &bearer(&forged(0))), 401, "meshgate_token_signature");
    }
    assert_eq!(counts(), [1, 3]);
    world.advance(std::time::Duration::from_secs(60));
    refused(&send(&worker, &bearer(&forged(0))), 401, "meshgate_token_signature");
    assert_eq!(counts(), [2, 3]);
    // To have been bad is no property of the claims.
    assert_eq!(send(&worker, &bearer(&signer.sign(&claiming([("jti", json!(0))])))).status(), 200);
}

/// What the proxy can check it does, and what it can't the module does: operators see which.
#[test]
fn signatures_are_checked_by_the_host_where_it_can() {
    for (name, by_host) in [
        ("RS256", true),
        ("RS384", true),
        ("RS512", true),
        ("ES256", true),
        ("ES384", true),
        ("ES512", true),
        ("PS256", false),
        ("PS512", false),
        ("EdDSA", false),
        ("HS256", false),
    ] {
        for (says, status, host, module) in
            [(None, 200, 0, 1), (Some(true), 200, 1, 0), (Some(false), 401, 1, 0)]
        {
            let world = World::new();
            world.check_signatures(says);
            let signer = Signer::new(name);
            let worker = Worker::<Quota>::new(&world, issued_by([&signer]));
            world.take_calls();
            let outcome = send(&worker, &bearer(&signer.sign(&claims())));
            let asked = world.take_calls().iter().filter(|call| *call == "verify_signature").count();
            assert_eq!(asked, usize::from(by_host), "{name}");
            let expected = if by_host { (status, host, module) } else { (200, 0, 1) };
            let count = |by: &str| world.metric(&format!("meshgate.quota.tokens.verified_by_{by}"));
            assert_eq!((outcome.status(), count("host"), count("module")), expected, "{name} {says:?}");
        }
    }
}

#[test]
fn what_says_that_it_is_no_access_token_is_refused() {
    let signer = Signer::new("EdDSA");
    let signed = |kind: Value| {
        let mut header = json!({"alg": "EdDSA", "kid": "eddsa"});
        if !kind.is_null() {
            header["typ"] = kind;
        }
        signer.sign_with(header.to_string(), claims().to_string())
    };
    let worker = Worker::<Quota>::new(&World::new(), issued_by([&signer]));
    for kind in [Value::Null, json!("JWT"), json!("at+jwt"), json!("application/at+jwt")] {
        assert_eq!(send(&worker, &bearer(&signed(kind.clone()))).status(), 200, "{kind}");
    }
    for kind in ["logout+jwt", "dpop+jwt", "secevent+jwt"] {
        refused(&send(&worker, &bearer(&signed(json!(kind)))), 401, "meshgate_token_claims");
    }
    let document = issuer(issued_by([&signer]), [("require", json!({"types": ["at+jwt"]}))]);
    let worker = Worker::<Quota>::new(&World::new(), document);
    assert_eq!(send(&worker, &bearer(&signed(json!("at+jwt")))).status(), 200);
    for kind in [Value::Null, json!("JWT")] {
        refused(&send(&worker, &bearer(&signed(kind))), 401, "meshgate_token_claims");
    }
}

#[test]
fn failures_with_tokens_are_failures_to_authenticate() {
    let world = World::new();
    let signer = Signer::new("EdDSA");
    let mut document = issued_by([&signer]);
    document["failed_auth"] = json!({"rate": "2/m"});
    let worker = Worker::<Quota>::new(&world, document);
    // To have expired is no attempt to be somebody else.
    for _ in 0..3 {
        let old = signer.sign(&claiming([("exp", json!(1))]));
        refused(&send(&worker, &bearer(&old)), 401, "meshgate_token_expired");
    }
    refused(&send(&worker, &bearer("a.b.c")), 401, "meshgate_token_malformed");
    let forged = Signer::ed25519(1).key_id(Some("eddsa")).sign(&claims());
    refused(&send(&worker, &bearer(&forged)), 401, "meshgate_token_signature");
    refused(&send(&worker, &bearer(&signer.sign(&claims()))), 429, "meshgate_failed_auth_limited");
}

#[test]
fn expressions_see_claims() {
    let signer = Signer::new("EdDSA");
    let mut document = issued_by([&signer]);
    document["plans"]["free"]["limits"] =
        json!([{"name": "one", "quota": "1/h", "when": "consumer.claims.realm.tier == 'small'"}]);
    let worker = Worker::<Quota>::new(&World::new(), document);
    let status = |tier: &str| {
        let token = signer.sign(&claiming([("realm", json!({"tier": tier}))]));
        send(&worker, &bearer(&token)).status()
    };
    assert_eq!(["small", "large", "small", "large"].map(status), [200, 200, 429, 200]);
}
