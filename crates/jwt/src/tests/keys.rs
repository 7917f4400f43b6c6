//! Keys and sets of them: which are taken, and what for.

use meshgate_test_tokens::{Signer, encode};
use serde_json::{Value, json};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::attacks::{Fate, claims, fate, public};
use crate::{Algorithm, JsonProblem, KeySet, KeySetProblem, MAX_KEY_SET, MAX_KEYS, Take};

#[test]
fn keys_that_are_not_for_this_are_passed_over() {
    let rsa = Signer::new("RS256").jwk();
    let p256 = Signer::new("ES256").jwk();
    let change = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    let unusable = [
        change(&rsa, "use", json!("enc")),
        change(&rsa, "use", json!(1)),
        change(&rsa, "key_ops", json!(["encrypt"])),
        change(&rsa, "key_ops", json!("verify")),
        change(&rsa, "kty", json!("rsa")),
        change(&rsa, "kty", json!("EC")),
        change(&rsa, "alg", json!("RSA-OAEP")),
        change(&rsa, "alg", json!("ES256")),
        change(&rsa, "alg", json!("HS256")),
        change(&rsa, "alg", json!(null)),
        change(&rsa, "kid", json!(7)),
        change(&rsa, "n", json!("AQAB")),
        change(&rsa, "n", json!(encode([0xff; 128]))),
        change(&rsa, "n", json!(encode([0xff; 1_025]))),
        change(&rsa, "n", json!(encode([0xfe; 256]))),
        change(&rsa, "e", json!("Ag")),
        change(&rsa, "e", json!("AA")),
        change(&rsa, "e", json!(encode([0xff; 9]))),
        change(&p256, "crv", json!("secp256k1")),
        change(&p256, "crv", json!("P-384")),
        change(&p256, "x", json!(encode([0; 32]))),
        change(&p256, "x", json!("AA")),
        change(&p256, "y", p256["x"].clone()),
        json!({"kty": "OKP", "crv": "X25519", "x": encode([9; 32])}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode([0; 32])}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode([9; 31])}),
        json!({"kty": "oct", "alg": "HS256", "k": encode([7; 31])}),
        json!({"kty": "oct", "k": encode([7; 64])}),
        json!({}),
        json!("key"),
    ];
    for key in unusable {
        let only = json!({"keys": [key]}).to_string();
        let take = Take { secrets: true, algorithms: None };
        let problem = KeySet::parse(only.as_bytes(), take).unwrap_err();
        assert!(matches!(problem, KeySetProblem::NoneUsable(_)), "{key}");
        assert_eq!(public(&json!({"keys": [key, p256]})).len(), 1);
    }
}

/// Who configures them is to see what is wrong with the one key that there is.
#[test]
fn what_is_wrong_with_a_key_is_said() {
    let rsa = Signer::new("RS256").jwk();
    let said = |changes: &[(&str, Value)], take: Take| {
        let mut key = rsa.clone();
        for (name, value) in changes {
            key[*name] = value.clone();
        }
        KeySet::parse(json!({"keys": [key]}).to_string().as_bytes(), take).unwrap_err().to_string()
    };
    let pss = Take { algorithms: Some([Algorithm::Ps256].into_iter().collect()), secrets: true };
    for (text, expected) in [
        (said(&[("n", json!(encode([0xff; 128])))], pss), "RSA key of 1024 bits, not 2048 to 8192"),
        (said(&[("n", json!(encode([0xff; 1_025])))], pss), "RSA key of 8200 bits, not 2048 to 8192"),
        (said(&[("n", json!(encode([0xff; 100_000 / 8])))], pss), "RSA key of 100000 bits"),
        (said(&[("use", json!("enc"))], pss), "not for signatures"),
        (
            said(
                &[("kty", json!("EC")), ("crv", json!("secp256k1")), ("x", json!("AA")), ("y", json!("AA"))],
                pss,
            ),
            "kty or crv",
        ),
        (said(&[("kty", json!("oct"))], Take::default()), "is a secret"),
        (said(&[("e", json!("!"))], pss), "make no key"),
        (said(&[("alg", json!("RS256"))], pss), "no algorithm (alg) that is allowed"),
        (said(&[("kid", json!(1))], Take::default()), "wrong type"),
    ] {
        assert!(
            text.starts_with("none of the keys can be used: the first one ") && text.contains(expected),
            "{expected}: {text}"
        );
    }
}

#[test]
fn a_configuration_narrows_what_keys_are_for() {
    let signers = ["RS256", "PS256", "ES256"].map(Signer::new);
    let mut open = Signer::new("PS384").jwk();
    open.as_object_mut().unwrap().remove("alg");
    let mut keys: Vec<_> = signers.iter().map(Signer::jwk).collect();
    keys.push(open);
    let set = json!({"keys": keys}).to_string();
    let take = |algorithms: &[Algorithm]| Take {
        algorithms: Some(algorithms.iter().copied().collect()),
        secrets: false,
    };

    // The key that does not say is for what is allowed.
    let keys = KeySet::parse(set.as_bytes(), take(&[Algorithm::Ps256, Algorithm::Ps384])).unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(fate(&keys, signers[1].sign(&claims())), Fate::Good);
    assert_eq!(fate(&keys, signers[0].sign(&claims())), Fate::NoKey);
    assert_eq!(fate(&keys, Signer::new("PS384").sign(&claims())), Fate::Good);
    // Or for RS256, where nothing is said at all.
    let keys = KeySet::parse(set.as_bytes(), Take::default()).unwrap();
    assert_eq!(fate(&keys, Signer::new("PS384").sign(&claims())), Fate::NoKey);
    assert_eq!(fate(&keys, Signer::new("RS256").key_id(Some("ps384")).sign(&claims())), Fate::Good);
    assert!(keys.knows("ps384") && !keys.knows("other"));
}

#[test]
fn key_sets_have_bounds() {
    use KeySetProblem::*;
    let many = |count| json!({"keys": vec![Signer::new("EdDSA").jwk(); count]}).to_string();
    let parse = |text: &str| KeySet::parse(text.as_bytes(), Take::default()).map(|keys| keys.len());
    assert_eq!(parse(&many(MAX_KEYS)), Ok(MAX_KEYS));
    assert_eq!(parse(&many(MAX_KEYS + 1)), Err(TooMany));
    assert_eq!(parse(&" ".repeat(MAX_KEY_SET + 1)), Err(TooLong));
    for (text, problem) in [
        ("", Json(JsonProblem::Syntax)),
        ("<html>", Json(JsonProblem::Syntax)),
        ("[]", Json(JsonProblem::NotAnObject)),
        ("{}", NoKeys),
        (r#"{"keys": {}}"#, NoKeys),
        (r#"{"keys": [], "keys": []}"#, Json(JsonProblem::Repeated)),
        (r#"{"keys": []}"#, Empty),
        (r#"{"keys": [[[[[[[[]]]]]]]]}"#, Json(JsonProblem::TooDeep)),
    ] {
        assert_eq!(parse(text), Err(problem), "{text}");
    }
}
