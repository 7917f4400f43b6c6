//! Whatever comes is read or refused, and nothing but the token itself is good.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use meshgate_test_tokens::{Signer, jwks};
use proptest::prelude::*;
use serde_json::json;

use crate::{KeySet, Rules, Take, Unverified};

fn signer() -> (Signer, KeySet) {
    let signer = Signer::new("EdDSA");
    let keys = KeySet::parse(jwks([&signer]).to_string().as_bytes(), Take::default()).unwrap();
    (signer, keys)
}

fn good(keys: &KeySet, token: &[u8]) -> bool {
    Unverified::parse(token).is_ok_and(|token| keys.candidates(&token).any(|key| key.verify(&token)))
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "[-_.A-Za-z0-9=]{0,80}") {
        let (_, keys) = signer();
        for token in [&bytes, text.as_bytes()] {
            prop_assert!(!good(&keys, token));
        }
        let _ = KeySet::parse(&bytes, Take { secrets: true, algorithms: None });
    }

    #[test]
    fn any_header_and_claims_are_read_or_refused(
        header in r#"\{("(alg|kid|typ|crit|jwk)":("EdDSA"|"none"|"eddsa"|null|1|\[\]|\{\}),?){0,4}\}"#,
        claims in r#"\{("(exp|nbf|iat|aud|iss|scope)":("x"|-?[0-9]{1,20}(\.5)?|null|\[("x",?)*\]|\{\}),?){0,5}\}"#,
        now: u64,
    ) {
        let (signer, keys) = signer();
        let token = signer.sign_with(header, claims);
        if let Ok(token) = Unverified::parse(token.as_bytes()) {
            let rules = Rules { audiences: vec!["x".into()], skew: 60, max_lifetime: Some(600), ..Rules::default() };
            if let Ok(validity) = rules.check(&token.claims, now) {
                // A good one ends, later than now and within its lifetime.
                prop_assert!(validity.until > now);
            }
            let _ = rules.check_introspected(&token.claims, now);
            let _ = keys.candidates(&token).count();
        }
    }

    /// One byte is enough, wherever it is.
    #[test]
    fn a_changed_token_is_another(place in 0_usize..10_000, byte: u8) {
        let (signer, keys) = signer();
        let token = signer.sign(&json!({"sub": "alice", "exp": 1})).into_bytes();
        prop_assert!(good(&keys, &token));
        let mut changed = token.clone();
        let place = place % token.len();
        changed[place] = byte;
        prop_assert_eq!(good(&keys, &changed), changed == token);
        let (start, end) = token.split_at(place);
        prop_assert!(!good(&keys, &[start, &[byte], end].concat()));
        prop_assert!(!good(&keys, start));
    }
}
