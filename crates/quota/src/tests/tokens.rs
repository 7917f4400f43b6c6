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
    refused(&send(&worker, &bearer(&stranger)), 403, "meshgate_token_consumer");

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
fn names_of_several_issuers_do_not_meet() {
    let signers = [Signer::ed25519(1), Signer::ed25519(2)];
    let world = World::new();
    world.set_environment("SECRET", "s3cret");
    let document = |first: Value, second: Value, introspection: Option<Value>| {
        let issuer = |number: usize, identity: Value| {
            json!({"issuer": format!("https://idp{number}"), "audiences": ["api"],
                "jwks": jwks([&signers[number]]), "identity": identity})
        };
        let mut document = with([("/tokens", json!([issuer(0, first), issuer(1, second)]))]);
        if let Some(identity) = introspection {
            document["introspection"] = json!({"cluster": "auth", "path": "/", "identity": identity,
                "client": {"id": "a", "secret_env": "SECRET"}});
        }
        document
    };
    let prefixed = |prefix: &str| json!({"plan": "endless", "consumer_prefix": prefix});
    let open = || json!({"plan": "endless", "shared_names": true});
    for (first, second, third, expected) in [
        (json!({"plan": "endless"}), json!({"plan": "endless"}), None, "tokens[1].identity.consumer_prefix: found no prefix"),
        (prefixed("a/"), json!({"plan": "endless"}), None, "tokens[1].identity.consumer_prefix: found no prefix"),
        (json!({"plan": "endless"}), prefixed("a/"), None, "tokens[1].identity.consumer_prefix: found \"a/\""),
        (prefixed("a/"), prefixed("a/"), None, "tokens[1].identity.consumer_prefix: found \"a/\""),
        (prefixed("a/b/"), prefixed("a/"), None, "tokens[1].identity.consumer_prefix: found \"a/\""),
        (open(), json!({"plan": "endless"}), None, "tokens[1].identity.consumer_prefix: found no prefix"),
        (prefixed("a/"), prefixed("b/"), Some(prefixed("b")), "introspection.identity.consumer_prefix: found \"b\""),
    ] {
        let error = Worker::<Quota>::load(&world, document(first, second, third)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected}\n{error}");
        assert!(error.contains("shared_names: true in both"), "{error}");
    }

    let claims = |number: usize| claiming([("iss", json!(format!("https://idp{number}"))), ("sub", json!("eve"))]);
    let names = |document: Value| {
        let worker = Worker::<Quota>::new(&world, document);
        let name = |number: usize| {
            let token = signers[number].sign(&claims(number));
            identity(&send(&worker, &bearer(&token)))[0].1.clone()
        };
        [name(0), name(1)]
    };
    assert_eq!(names(document(prefixed("a/"), prefixed("b/"), Some(prefixed("c/")))), ["a/eve", "b/eve"]);
    assert_eq!(names(document(open(), open(), None)), ["eve", "eve"]);
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
        refused(&send(&worker, &request), 400, "meshgate_key_repeated");
    }
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

#[test]
fn keys_may_come_from_the_environment() {
    let world = World::new();
    let signer = Signer::new("HS512");
    world.set_environment("IDP_KEYS", jwks([&signer]).to_string());
    let mut document = issued_by([&signer]);
    document["tokens"][0].as_object_mut().unwrap().remove("jwks");
    let worker =
        Worker::<Quota>::new(&world, issuer(document.clone(), [("jwks_from", json!({"env": "IDP_KEYS"}))]));
    assert_eq!(send(&worker, &bearer(&signer.sign(&claims()))).status(), 200);
    let error = Worker::<Quota>::load(&world, issuer(document, [("jwks_from", json!({"env": "NONE"}))]));
    assert!(error.unwrap_err().to_string().starts_with("tokens[0].jwks_from.env: found \"NONE\""));
}

#[test]
fn mistakes_are_found_before_the_first_request() {
    let signer = Signer::new("RS256");
    let document = issued_by([&signer]);
    let without = |name: &str| {
        let mut document = document.clone();
        document["tokens"][0].as_object_mut().unwrap().remove(name);
        document
    };
    let remote = |from: Value| issuer(without("jwks"), [("jwks_from", from)]);
    let mut twice = document.clone();
    twice["tokens"] = json!([document["tokens"][0], document["tokens"][0]]);
    let mut in_the_way = document.clone();
    in_the_way["keys_from"] = json!([{"header": "authorization"}]);
    let mut secret = document.clone();
    secret["tokens"][0]["jwks"] = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0", "alg": "HS256"}]});
    for (document, expected) in [
        (without("jwks"), "tokens[0]: found neither jwks nor jwks_from"),
        (
            issuer(document.clone(), [("jwks_from", json!({"env": "X"}))]),
            "tokens[0]: found jwks and jwks_from",
        ),
        (without("audiences"), "tokens[0]: missing field \"audiences\""),
        (without("issuer"), "tokens[0]: missing field \"issuer\""),
        (twice, "tokens[1].issuer: found \"https://idp\""),
        (in_the_way, "keys_from[0]: found the place of tokens"),
        (secret, "tokens[0].jwks: none of the keys can be used: the first one is for no algorithm"),
        (issuer(document.clone(), [("jwks", json!({"keys": []}))]), "tokens[0].jwks: the list of keys is empty"),
        (
            issuer(document.clone(), [("algorithms", json!(["PS256"]))]),
            "tokens[0].jwks: none of the keys can be used: the first one is for no algorithm",
        ),
        (issuer(document.clone(), [("algorithms", json!([]))]), "tokens[0].algorithms: found an empty list"),
        (issuer(document.clone(), [("algorithms", json!(["none"]))]), "tokens[0].algorithms[0]: "),
        (
            issuer(document.clone(), [("identity", json!({"plan": "glod"}))]),
            "tokens[0].identity.plan: found \"glod\"",
        ),
        (
            issuer(document.clone(), [("identity", json!({"plan": "free", "metadata": {"A": "x"}}))]),
            "tokens[0].identity.metadata: ",
        ),
        (
            issuer(document.clone(), [("identity", json!({"plan": "free", "consumer_claim": ""}))]),
            "tokens[0].identity.consumer_claim: ",
        ),
        (
            issuer(document.clone(), [("identity", json!({"consumer_prefix": "idp/"}))]),
            "tokens[0].identity: found neither plan nor plan_claim nor configured_consumers",
        ),
        (issuer(document.clone(), [("require", json!({"skew": "11m"}))]), "tokens[0].require.skew: "),
        (
            issuer(document.clone(), [("require", json!({"scopes": ["a b"]}))]),
            "tokens[0].require.scopes[0]: ",
        ),
        (
            issuer(document.clone(), [("require", json!({"claims": [{"claim": ""}]}))]),
            "tokens[0].require.claims[0].claim: ",
        ),
        (remote(json!({})), "tokens[0].jwks_from: found neither cluster nor env"),
        (remote(json!({"cluster": "idp"})), "tokens[0].jwks_from.path: "),
        (remote(json!({"cluster": "", "path": "/"})), "tokens[0].jwks_from.cluster: "),
        (remote(json!({"cluster": "idp", "path": "jwks"})), "tokens[0].jwks_from.path: "),
        (
            remote(json!({"cluster": "a|b", "path": "/"})),
            "tokens[0].jwks_from.authority: found none, and the cluster's name \"a|b\" is no host name",
        ),
        (
            remote(json!({"cluster": "https://idp.example/keys", "path": "/"})),
            "tokens[0].jwks_from.cluster: found \"https://idp.example/keys\"",
        ),
        (remote(json!({"cluster": "idp", "path": "/", "timeout": "2m"})), "tokens[0].jwks_from.timeout: "),
        (remote(json!({"cluster": "idp", "path": "/", "refresh": "1s"})), "tokens[0].jwks_from.refresh: "),
        (remote(json!({"cluster": "idp", "path": "/", "env": "X"})), "tokens[0].jwks_from: found env beside"),
    ] {
        let error = load(&document).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected}\n{error}");
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}
