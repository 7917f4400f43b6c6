//! Mistakes in what is configured of tokens, and where else keys may be.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use meshgate_test_tokens::{Signer, jwks};

use super::tokens::{bearer, claiming, claims, identity, issued_by, issuer};
use super::*;

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
        (
            issuer(document.clone(), [("issuer", json!(""))]),
            "tokens[0].issuer: found \"\", expected iss of its tokens",
        ),
        (without("identity"), "tokens[0]: missing field \"identity\""),
        (twice, "tokens[1].issuer: found \"https://idp\""),
        (in_the_way, "keys_from[0]: found the place of tokens"),
        (secret, "tokens[0].jwks.keys: none of the keys can be used: the first one is for no algorithm"),
        (
            issuer(document.clone(), [("jwks", json!({"keys": []}))]),
            "tokens[0].jwks.keys: the list of keys is empty",
        ),
        (
            issuer(document.clone(), [("algorithms", json!(["PS256"]))]),
            "tokens[0].jwks.keys: none of the keys can be used: the first one is for no algorithm",
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
        (
            json!({"plan": "endless"}),
            json!({"plan": "endless"}),
            None,
            "tokens[1].identity.consumer_prefix: found no prefix",
        ),
        (
            prefixed("a/"),
            json!({"plan": "endless"}),
            None,
            "tokens[1].identity.consumer_prefix: found no prefix",
        ),
        (
            json!({"plan": "endless"}),
            prefixed("a/"),
            None,
            "tokens[1].identity.consumer_prefix: found \"a/\"",
        ),
        (prefixed("a/"), prefixed("a/"), None, "tokens[1].identity.consumer_prefix: found \"a/\""),
        (prefixed("a/b/"), prefixed("a/"), None, "tokens[1].identity.consumer_prefix: found \"a/\""),
        (open(), json!({"plan": "endless"}), None, "tokens[1].identity.consumer_prefix: found no prefix"),
        (
            prefixed("a/"),
            prefixed("b/"),
            Some(prefixed("b")),
            "introspection.identity.consumer_prefix: found \"b\"",
        ),
    ] {
        let error = Worker::<Quota>::load(&world, document(first, second, third)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected}\n{error}");
        assert!(error.contains("shared_names: true in both"), "{error}");
    }

    let claims =
        |number: usize| claiming([("iss", json!(format!("https://idp{number}"))), ("sub", json!("eve"))]);
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
