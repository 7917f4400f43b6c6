//! JSON Web Tokens, and the key sets that they are checked with.

use std::sync::LazyLock;

use meshgate_jwt::{ClaimPath, KeySet, Required, Rules, Take, Types, Unverified};
use meshgate_test_tokens::Signer;
use serde_json::json;

use crate::input;

/// The set of keys of signers whose signature of a message can be no other, and the one token that each has signed. Of ECDSA
/// there are two: with s, and with what s lacks to the order of the curve.
struct Known {
    keys: KeySet,
    tokens: Vec<String>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let signers = ["RS256", "EdDSA", "HS256"].map(Signer::new);
    let keys: Vec<_> = signers.iter().map(Signer::jwk).collect();
    let keys = json!({ "keys": keys }).to_string();
    let claims =
        json!({"iss": "https://issuer.example.com", "aud": "api", "sub": "alice", "exp": 2_000_000_000_u64});
    Known {
        keys: KeySet::parse(keys.as_bytes(), Take { secrets: true, algorithms: None }).unwrap(),
        tokens: signers.iter().map(|signer| signer.sign(&claims)).collect(),
    }
});

/// Any key set and any token, with an empty line between them: whatever they are, nobody signs in the name of others, and what
/// has been signed is good in one spelling only.
pub fn any_token(bytes: &[u8]) {
    let (set, token) = input::split(bytes);
    let Ok(token) = Unverified::parse(token) else { return };
    let verifies = |keys: &KeySet| keys.candidates(&token).any(|key| key.verify(&token));
    if verifies(&KNOWN.keys) {
        let spelled = KNOWN.tokens.iter().any(|known| bytes.ends_with(known.as_bytes()));
        assert!(spelled, "{} was never signed", bytes.escape_ascii());
    }
    for secrets in [false, true] {
        if let Ok(keys) = KeySet::parse(set.as_bytes(), Take { secrets, algorithms: None }) {
            assert!(!keys.is_empty());
            verifies(&keys);
            for key in keys.candidates(&token) {
                key.host_check(&token);
            }
        }
    }
    let rules = Rules {
        issuer: Some("https://issuer.example.com".into()),
        audiences: vec!["api".into()],
        types: Types::Usual,
        skew: 60,
        max_lifetime: Some(3_600),
        required: vec![Required { claim: ClaimPath::new("/a/0"), values: vec!["b".into()] }],
        scopes: vec!["read".into()],
    };
    for now in [0, 1_700_000_000, u64::MAX] {
        if let Ok(validity) = rules.check(&token.claims, now) {
            assert!(validity.until > now, "good until {}, which is not after {now}", validity.until);
        }
    }
}
