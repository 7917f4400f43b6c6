//! Tokens that nobody should take.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshgate_test_tokens::{Signer, decode, encode, jwks};
use serde_json::{Value, json};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::{
    ClaimProblem, Hash, JsonProblem, KeyProblem, KeySet, KeySetProblem, MAX_TOKEN, Malformed, Origin, Rules,
    Take, Unverified,
};

const ALL: [&str; 13] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256",
    "HS384", "HS512",
];

/// How a token fares.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    Good,
    Malformed(Malformed),
    NoKey,
    WrongSignature,
    Claims(ClaimProblem),
}

const NOW: u64 = 1_767_225_600;

pub fn claims() -> Value {
    json!({"iss": "idp", "aud": "api", "sub": "alice", "exp": NOW + 60})
}

pub fn public(set: &Value) -> KeySet {
    KeySet::parse(set.to_string().as_bytes(), Take::default()).unwrap()
}

pub fn with_secrets(set: &Value) -> KeySet {
    KeySet::parse(set.to_string().as_bytes(), Take { secrets: true, algorithms: None }).unwrap()
}

pub fn fate(keys: &KeySet, token: impl AsRef<[u8]>) -> Fate {
    let rules = Rules { issuer: Some("idp".into()), audiences: vec!["api".into()], ..Rules::default() };
    let token = match Unverified::parse(token.as_ref()) {
        Ok(token) => token,
        Err(problem) => return Fate::Malformed(problem),
    };
    let mut candidates = keys.candidates(&token).peekable();
    if candidates.peek().is_none() {
        return Fate::NoKey;
    }
    if !candidates.any(|key| key.verify(&token)) {
        return Fate::WrongSignature;
    }
    match rules.check(&token.claims, NOW) {
        Ok(_) => Fate::Good,
        Err(problem) => Fate::Claims(problem),
    }
}

#[test]
fn every_algorithm_is_good_for_its_own_key_alone() {
    let signers = ALL.map(Signer::new);
    let keys = with_secrets(&jwks(&signers));
    assert_eq!(keys.len(), ALL.len());
    for signer in &signers {
        assert_eq!(fate(&keys, signer.sign(&claims())), Fate::Good, "{signer:?}");
    }
    for signer in &signers {
        for (other, name) in signers.iter().zip(ALL) {
            let own = signer.jwk()["alg"] == name;
            // The key's own id, with an algorithm that is not its.
            let header = json!({"alg": name, "kid": signer.jwk()["kid"]});
            let token = other.sign_with(header.to_string(), claims().to_string());
            assert_eq!(fate(&keys, &token), if own { Fate::Good } else { Fate::NoKey }, "{signer:?} {name}");
        }
    }
}

/// Header and claims, as they stand in a token.
fn token_parts(token: &str) -> (String, String) {
    let mut parts = token.split('.').map(str::to_owned);
    (parts.next().unwrap(), parts.next().unwrap())
}

/// RFC 7468.
fn pem(label: &str, der: &[u8], end: &str, last: &str) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
    let lines: String = lines.map(|line| format!("{line}{end}")).collect();
    format!("-----BEGIN {label}-----{end}{lines}-----END {label}-----{last}")
}

/// The best known one: the public key, which everybody has, as the secret of an HMAC.
#[test]
fn a_public_key_is_no_secret() {
    let issuer = Signer::new("RS256");
    let keys = public(&jwks([&issuer]));
    let modulus = issuer.jwk()["n"].as_str().unwrap().to_owned();
    let mut secrets = vec![decode(&modulus), modulus.into_bytes(), issuer.jwk().to_string().into_bytes()];
    // As files have it: DER and PEM, with lines that end in either way, or not at all.
    let signed = issuer.sign(&claims());
    let signed = Unverified::parse(signed.as_bytes()).unwrap();
    let der = keys.candidates(&signed).next().unwrap().host_check(&signed).unwrap().public_key.to_vec();
    // Without what says that it is one for RSA: PKCS #1.
    let bare = der[24..].to_vec();
    assert!(der.starts_with(&[0x30, 0x82]) && bare.starts_with(&[0x30, 0x82, 0x01, 0x0a]));
    for (label, key) in [("PUBLIC KEY", der), ("RSA PUBLIC KEY", bare)] {
        for (end, last) in [("\n", "\n"), ("\n", ""), ("\r\n", "\r\n")] {
            secrets.push(pem(label, &key, end, last).into_bytes());
        }
        secrets.push(key);
    }
    for secret in secrets {
        for (kid, algorithm) in [(Some("rs256"), "HS256"), (None, "HS256"), (Some("rs256"), "HS512")] {
            let token = Signer::hmac(algorithm, &secret).key_id(kid).sign(&claims());
            assert_eq!(fate(&keys, token), Fate::NoKey, "{algorithm}");
            // Nor under the name of the algorithm that the key is for.
            let (_, claims) = token_parts(&Signer::hmac(algorithm, &secret).sign(&claims()));
            let input = format!("{}.{claims}", encode(r#"{"alg":"RS256","kid":"rs256"}"#));
            let signature = Signer::hmac(algorithm, &secret).signature(input.as_bytes());
            assert_eq!(fate(&keys, format!("{input}.{}", encode(signature))), Fate::WrongSignature);
        }
    }
    // Nor is a secret that stands in a set for everybody.
    let open = json!({"keys": [Signer::new("HS256").jwk()]}).to_string();
    assert_eq!(
        KeySet::parse(open.as_bytes(), Take::default()).unwrap_err(),
        KeySetProblem::NoneUsable(KeyProblem::Secret)
    );
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let keys = public(&jwks([&Signer::new("RS256")]));
    for name in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!("none "),
        json!(""),
        json!(null),
        json!(0),
    ] {
        for signature in ["", "AA", "bm9uZQ"] {
            let header = json!({"alg": name, "kid": "rs256"}).to_string();
            let token = format!("{}.{}.{signature}", encode(header), encode(claims().to_string()));
            assert_eq!(fate(&keys, token), Fate::Malformed(Malformed::Algorithm), "{name}");
        }
    }
    let token = format!("{}.{}.", encode(r#"{"kid":"rs256"}"#), encode(claims().to_string()));
    assert_eq!(fate(&keys, token), Fate::Malformed(Malformed::Algorithm));
    // An algorithm that is one, and no signature.
    for name in ["RS256", "ES256", "EdDSA"] {
        let signer = Signer::new(name);
        let token = signer.sign(&claims());
        let (input, _) = token.rsplit_once('.').unwrap();
        assert_eq!(fate(&public(&jwks([&signer])), format!("{input}.")), Fate::WrongSignature, "{name}");
    }
}

#[test]
fn a_token_does_not_choose_its_key() {
    let issuer = Signer::new("ES256");
    let thief = Signer::ed25519(9);
    let keys = public(&jwks([&issuer, &Signer::new("EdDSA")]));
    for (name, value) in [
        ("jwk", thief.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "es256"});
        header[name] = value;
        let token = issuer.sign_with(header.to_string(), claims().to_string());
        assert_eq!(fate(&keys, token), Fate::Malformed(Malformed::HeaderParameter(name)));
    }
    // Signed by a key of its own, under the name of one of ours.
    let header = json!({"alg": "EdDSA", "kid": "eddsa"}).to_string();
    assert_eq!(fate(&keys, thief.sign_with(header, claims().to_string())), Fate::WrongSignature);
}

#[test]
fn a_key_id_is_a_name_and_nothing_else() {
    let issuer = Signer::new("EdDSA");
    let two = [issuer.jwk(), Signer::ed25519(1).jwk()];
    let keys = public(&json!({"keys": two}));
    let signed =
        |kid: Value| issuer.sign_with(json!({"alg": "EdDSA", "kid": kid}).to_string(), claims().to_string());
    assert_eq!(fate(&keys, signed(json!("eddsa"))), Fate::Good);
    for kid in [
        "EDDSA",
        "eddsa ",
        "",
        "../../dev/null",
        "/dev/null",
        "' UNION SELECT 'x",
        "eddsa\u{0}",
        "*",
        "0",
        "%65ddsa",
        "http://evil.example/key",
        "$(id)",
        "{{7*7}}",
    ] {
        assert_eq!(fate(&keys, signed(json!(kid))), Fate::NoKey, "{kid}");
    }
    assert_eq!(fate(&keys, signed(json!("k".repeat(256)))), Fate::NoKey);
    for kid in [json!("k".repeat(257)), json!(null), json!(1), json!(["eddsa"]), json!({"eddsa": 1})] {
        assert_eq!(fate(&keys, signed(kid.clone())), Fate::Malformed(Malformed::HeaderValue), "{kid}");
    }
    // Without one, only where there is no choice.
    let bare = issuer.sign_with(r#"{"alg":"EdDSA"}"#, claims().to_string());
    assert_eq!(fate(&keys, &bare), Fate::NoKey);
    assert_eq!(fate(&public(&json!({"keys": [issuer.jwk()]})), &bare), Fate::Good);
}

#[test]
fn claims_are_checked_even_if_the_signature_is_good() {
    use ClaimProblem::*;
    let issuer = Signer::new("ES256");
    let keys = public(&jwks([&issuer]));
    for (name, value, problem) in [
        ("exp", json!(NOW), Expired),
        ("exp", json!(NOW - 1_000_000), Expired),
        ("exp", json!(null), Time),
        ("exp", json!("9999999999"), Time),
        ("nbf", json!(NOW + 1), NotYetValid),
        ("iat", json!(NOW + 1), NotYetValid),
        ("aud", json!("other-api"), Audience),
        ("aud", json!(["other-api"]), Audience),
        ("iss", json!("idp.evil.example"), Issuer),
        ("iss", json!("IDP"), Issuer),
    ] {
        let mut all = claims();
        all[name] = value;
        assert_eq!(fate(&keys, issuer.sign(&all)), Fate::Claims(problem), "{name}");
    }
}

#[test]
fn what_is_too_large_or_too_deep_is_not_read() {
    let issuer = Signer::new("HS256");
    let keys = with_secrets(&jwks([&issuer]));
    let mut large = claims();
    large["x"] = "x".repeat(MAX_TOKEN).into();
    assert_eq!(fate(&keys, issuer.sign(&large)), Fate::Malformed(Malformed::TooLong));

    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let header = r#"{"alg":"HS256"}"#;
    for depth in [10, 5_000] {
        let token = issuer.sign_with(header, nested(depth));
        assert_eq!(fate(&keys, token), Fate::Malformed(Malformed::Claims(JsonProblem::TooDeep)));
    }
    let token = issuer.sign_with(header, nested(9));
    assert_eq!(fate(&keys, token), Fate::Claims(ClaimProblem::NoExpiry));
    let token =
        issuer.sign_with(format!("{{\"alg\":\"HS256\",\"x\":{}0{}}}", "[".repeat(3), "]".repeat(3)), "{}");
    assert_eq!(fate(&keys, token), Fate::Malformed(Malformed::Header(JsonProblem::TooDeep)));
}

#[test]
fn a_name_is_there_once() {
    let issuer = Signer::new("EdDSA");
    let keys = public(&jwks([&issuer]));
    let header = json!({"alg": "EdDSA", "kid": "eddsa"}).to_string();
    for claims in [
        format!(r#"{{"iss":"evil","iss":"idp","aud":"api","exp":{}}}"#, NOW + 60),
        format!(r#"{{"exp":1,"iss":"idp","aud":"api","\u0065xp":{}}}"#, NOW + 60),
    ] {
        let token = issuer.sign_with(&header, claims);
        assert_eq!(fate(&keys, token), Fate::Malformed(Malformed::Claims(JsonProblem::Repeated)));
    }
    for header in
        [r#"{"alg":"none","alg":"EdDSA","kid":"eddsa"}"#, r#"{"kid":"x","alg":"EdDSA","kid":"eddsa"}"#]
    {
        let token = issuer.sign_with(header, claims().to_string());
        assert_eq!(fate(&keys, token), Fate::Malformed(Malformed::Header(JsonProblem::Repeated)));
    }
}

/// Two texts for one token are two entries of a cache, or two readings of one.
#[test]
fn a_token_has_one_form() {
    let issuer = Signer::new("ES256");
    let keys = public(&jwks([&issuer]));
    let token = issuer.sign(&claims());
    assert_eq!(fate(&keys, &token), Fate::Good);
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };

    for (changed, problem) in [
        (format!("{token}="), Malformed::Base64),
        (format!("{token}=="), Malformed::Base64),
        (format!("{header}.{payload}.{signature}\n"), Malformed::Base64),
        (format!(" {token}"), Malformed::Base64),
        (format!("{header}.{payload} .{signature}"), Malformed::Base64),
        (format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")), Malformed::Base64),
        (format!("{header}=.{payload}.{signature}"), Malformed::Base64),
        (format!("{token}\0"), Malformed::Base64),
        (format!("{token}."), Malformed::Parts),
        (format!("{token}.{signature}"), Malformed::Parts),
        (format!("{header}.{payload}"), Malformed::Parts),
        (String::new(), Malformed::Parts),
        ("..".to_owned(), Malformed::Header(JsonProblem::Syntax)),
        (format!("..{signature}"), Malformed::Header(JsonProblem::Syntax)),
        (format!("{header}..{signature}"), Malformed::Claims(JsonProblem::Syntax)),
        (format!("{}.{payload}.{signature}", encode("[]")), Malformed::Header(JsonProblem::NotAnObject)),
        (
            format!("{}.{payload}.{signature}", encode("{\"alg\":\"ES256\"}x")),
            Malformed::Header(JsonProblem::Syntax),
        ),
    ] {
        assert_eq!(fate(&keys, &changed), Fate::Malformed(problem), "{changed}");
    }

    // The bits of the last character that stand for nothing.
    let mut stray = token.clone().into_bytes();
    *stray.last_mut().unwrap() += 1;
    assert_eq!(fate(&keys, stray), Fate::Malformed(Malformed::Base64));
    // One byte more or less.
    for bytes in [[decode(signature), vec![0]].concat(), decode(signature)[1..].to_vec()] {
        assert_eq!(fate(&keys, format!("{header}.{payload}.{}", encode(bytes))), Fate::WrongSignature);
    }
}

/// DER (which hosts take) is not the form of tokens, and `s` can be turned into its opposite.
#[test]
fn an_ecdsa_signature_is_two_numbers() {
    for name in ["ES256", "ES384", "ES512"] {
        let issuer = Signer::new(name);
        let keys = public(&jwks([&issuer]));
        let token = issuer.sign(&claims());
        let parsed = Unverified::parse(token.as_bytes()).unwrap();
        let der = keys.candidates(&parsed).next().unwrap().host_check(&parsed).unwrap().signature;
        let (input, _) = token.rsplit_once('.').unwrap();
        let length = parsed.signature.len();
        let zeros = vec![0; length];
        let half = parsed.signature[..length / 2].to_vec();
        for signature in [der, zeros, vec![0xff; length], half.clone(), [half, vec![0; length / 2]].concat()]
        {
            let token = format!("{input}.{}", encode(signature));
            assert_eq!(fate(&keys, &token), Fate::WrongSignature, "{name}");
            let parsed = Unverified::parse(token.as_bytes()).unwrap();
            let key = keys.candidates(&parsed).next().unwrap();
            assert!(parsed.signature.len() == length || key.host_check(&parsed).is_none());
        }
    }
}

/// What hosts are asked, as OpenSSL writes the same key and the same signature.
#[test]
fn hosts_are_asked_in_der() {
    let signers = ALL.map(Signer::new);
    let keys = with_secrets(&jwks(&signers));
    for (signer, name) in signers.iter().zip(ALL) {
        let token = signer.sign(&claims());
        let token = Unverified::parse(token.as_bytes()).unwrap();
        let check = keys.candidates(&token).next().unwrap().host_check(&token);
        let expected = match name {
            "RS256" => Some((Hash::Sha256, 294, "3082012230")),
            "RS384" => Some((Hash::Sha384, 294, "3082012230")),
            "RS512" => Some((Hash::Sha512, 294, "3082012230")),
            "ES256" => Some((Hash::Sha256, 91, "3059301306")),
            "ES384" => Some((Hash::Sha384, 120, "3076301006")),
            "ES512" => Some((Hash::Sha512, 158, "30819b3010")),
            _ => None,
        };
        let hex = |bytes: &[u8]| bytes.iter().take(5).map(|byte| format!("{byte:02x}")).collect::<String>();
        let found = check.map(|check| (check.hash, check.public_key.len(), hex(check.public_key)));
        assert_eq!(found, expected.map(|(hash, length, start)| (hash, length, start.to_owned())), "{name}");
    }
}

/// Other readers take what is refused here: to them such a token may be that of one of our issuers.
#[test]
fn whose_a_text_is_that_is_no_token_here() {
    let token = |header: &str, claims: &str| format!("{}.{}.c2ln", encode(header), encode(claims));
    let ours = r#"{"iss":"idp"}"#;
    let issuer = |name: &str| Origin::Issuer(name.to_owned());
    let deep = |depth| format!(r#"{{"iss":"idp","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let plain = token(r#"{"alg":"ES256"}"#, ours);
    for (text, origin) in [
        (token(r#"{"alg":"none"}"#, ours), issuer("idp")),
        (token(r#"{"alg":"ES256","crit":["exp"]}"#, r#"{"iss":"https://other"}"#), issuer("https://other")),
        (format!("{plain}=="), issuer("idp")),
        (plain.replace("c2ln", "c2lnc/+x"), issuer("idp")),
        (plain.replace("c2ln", "c2l"), issuer("idp")),
        (plain.replace("c2ln", ""), issuer("idp")),
        (token(r#"{"alg":"ES256"}"#, "{}"), Origin::Unclear),
        (token(r#"{"alg":"ES256"}"#, r#"{"iss":["idp"]}"#), Origin::Unclear),
        (token(r#"{"alg":"ES256"}"#, r#"{"iss":"https://other","iss":"idp"}"#), Origin::Unclear),
        (token(r#"{"alg":"ES256"}"#, &deep(2_000)), Origin::Unclear),
        (token(r#"{"alg":"ES256"}"#, "text"), Origin::Unclear),
        (token(r#"{"alg":"ES256","alg":"none"}"#, "text"), Origin::Unclear),
        (token(&format!(r#" {{"x":{}"#, "[".repeat(2_000)), ours), issuer("idp")),
        (token(r#"{"alg":"ES256","x":1e999}"#, ours), issuer("idp")),
        (token(r#"{"typ":"x"}"#, ours), Origin::Elsewhere),
        (token("[]", ours), Origin::Elsewhere),
        (token("opaque", ours), Origin::Elsewhere),
        (format!("{plain}.c2ln"), Origin::Elsewhere),
        ("opaque".to_owned(), Origin::Elsewhere),
        ("a.b.c".to_owned(), Origin::Elsewhere),
        ("..".to_owned(), Origin::Elsewhere),
        (String::new(), Origin::Elsewhere),
    ] {
        assert_eq!(Origin::of(text.as_bytes()), origin, "{text:.80}");
    }
}

#[test]
fn nothing_secret_shows_in_debug_output() {
    let signer = Signer::new("HS256");
    let keys = with_secrets(&jwks([&signer]));
    let token = signer.sign(&json!({"sub": "alice"}));
    let token = Unverified::parse(token.as_bytes()).unwrap();
    let shown = format!("{keys:?} {token:?} {:?}", token.header);
    assert!(shown.contains("hs256"), "{shown}");
    for secret in ["alice", "AyM1", "signature", "77, 99"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
