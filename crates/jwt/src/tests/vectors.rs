//! The examples that RFCs print: 7515 appendix A, 7519 sections 3.1 and 6.1 and appendix A, 8037 appendix A.

use crate::{Algorithm, Claims, Header, JsonProblem, KeySet, Malformed, Rules, Take, Unverified};
use meshgate_test_tokens::decode;
use serde_json::{Value, json};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CLAIMS: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn one(key: Value) -> KeySet {
    let set = json!({"keys": [key]}).to_string();
    KeySet::parse(set.as_bytes(), Take { secrets: true, algorithms: None }).unwrap()
}

/// RFC 7515 appendix A.1, which is RFC 7519 section 3.1: the key does not say its algorithm.
fn secret() -> KeySet {
    one(json!({
        "kty": "oct", "alg": "HS256",
        "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    }))
}

/// RFC 7515 appendix A.2.
fn rsa() -> KeySet {
    one(json!({
        "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    }))
}

/// RFC 7515 appendix A.3.
fn p256() -> KeySet {
    one(json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }))
}

fn good(keys: &KeySet, token: &str) -> bool {
    let token = Unverified::parse(token.as_bytes()).unwrap();
    let mut candidates = keys.candidates(&token);
    candidates.next().is_some_and(|key| key.verify(&token))
}

#[test]
fn rfc_7515_appendix_a_1_to_3() {
    for (keys, header, signature) in [
        (secret(), "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        (
            rsa(),
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            p256(),
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ] {
        let token = format!("{header}.{CLAIMS}.{signature}");
        assert!(good(&keys, &token), "{header}");
        let parsed = Unverified::parse(token.as_bytes()).unwrap();
        assert_eq!(
            Value::Object(parsed.claims.clone()),
            json!({"iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true})
        );
        let rules = Rules { issuer: Some("joe".into()), ..Rules::default() };
        assert_eq!(
            rules.check(&parsed.claims, 1_300_819_379).map(|validity| validity.until),
            Ok(1_300_819_380)
        );
        assert!(rules.check(&parsed.claims, 1_300_819_380).is_err());

        // Each other bit of the signature makes it a wrong one.
        let whole = decode(signature);
        for byte in 0..whole.len() {
            let mut other = whole.clone();
            other[byte] ^= 1 << (byte % 8);
            let changed = Unverified { signature: other, ..Unverified::parse(token.as_bytes()).unwrap() };
            assert!(!keys.candidates(&parsed).any(|key| key.verify(&changed)), "{header}: byte {byte}");
        }
    }
}

/// The payload is not JSON, so such tokens are refused; their signatures are checked here.
fn bare<'a>(algorithm: Algorithm, signing_input: &'a str, signature: &str) -> Unverified<'a> {
    Unverified {
        header: Header { algorithm, key_id: None, kind: None },
        signing_input: signing_input.as_bytes(),
        signature: decode(signature),
        claims: Claims::new(),
    }
}

#[test]
fn rfc_7515_appendix_a_4() {
    let keys = one(json!({
        "kty": "EC", "crv": "P-521",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    }));
    let signature = "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    let token = bare(Algorithm::Es512, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA", signature);
    assert!(keys.candidates(&token).any(|key| key.verify(&token)));
    let whole = format!("eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.{signature}");
    let refused = Unverified::parse(whole.as_bytes()).map(drop);
    assert_eq!(refused, Err(Malformed::Claims(JsonProblem::Syntax)));
}

/// RFC 7519 section 6.1 is the same token.
#[test]
fn rfc_7515_appendix_a_5_is_not_secured() {
    let token = format!("eyJhbGciOiJub25lIn0.{CLAIMS}.");
    assert_eq!(Unverified::parse(token.as_bytes()).map(drop), Err(Malformed::Algorithm));
}

/// What is encrypted has five parts; so has a signed token inside an encrypted one (RFC 7519 appendix A).
#[test]
fn rfc_7519_appendix_a_is_encrypted() {
    let token = "eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.QR1Owv2ug2WyPBnbQrRARTeEk9kDO2w8qDcjiHnSJflSdv1iNqhWXaKH4MqAkQtM.AxY8DCtDaGlsbGljb3RoZQ.MKOle7UQrG6nSxTLX6Mqwt0orbHvAKeWnDYvpIAeZ72deHxz3roJDXQyhxx0wKaM.fiK51VwhsxJ-siBMR-YFiA";
    assert_eq!(Unverified::parse(token.as_bytes()).map(drop), Err(Malformed::Parts));
}

#[test]
fn rfc_8037_appendix_a() {
    let keys =
        one(json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}));
    let token = bare(
        Algorithm::EdDsa,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    assert!(keys.candidates(&token).any(|key| key.verify(&token)));
    let other = Unverified { signing_input: b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZQ", ..token };
    assert!(!keys.candidates(&other).any(|key| key.verify(&other)));
}
