//! Signs tokens for tests, with the private keys that RFC 7515 (appendix A) and RFC 8037 (appendix A) print: everybody
//! knows them, so nobody takes them for a secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Hmac;
use p256::ecdsa::signature::Signer as _;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, RsaPrivateKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// RFC 7515 appendix A.1.
const SECRET: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
/// RFC 7515 appendix A.2.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RSA_D: &str = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";
/// RFC 7515 appendix A.3.
const P256_D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
/// RFC 7515 appendix A.4.
const P521_D: &str =
    "AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53vM9mE15j2C";
/// RFC 8037 appendix A.1.
const ED25519_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

/// Whoever signs tokens.
pub struct Signer {
    algorithm: &'static str,
    key_id: Option<String>,
    key: Key,
}

enum Key {
    Rsa(Box<RsaPrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
    Secret(Vec<u8>),
}

impl Signer {
    /// By the name of its algorithm in `alg`; that is also its key id.
    ///
    /// # Panics
    /// There is no such algorithm.
    pub fn new(algorithm: &'static str) -> Self {
        let key = match algorithm {
            "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => {
                let [n, d] = [RSA_N, RSA_D].map(|number| BoxedUint::from_be_slice_vartime(&decode(number)));
                let key = RsaPrivateKey::from_components(n, BoxedUint::from(65_537_u64), d, vec![]);
                Key::Rsa(Box::new(key.unwrap()))
            }
            "ES256" => Key::P256(p256::ecdsa::SigningKey::from_slice(&decode(P256_D)).unwrap()),
            "ES384" => Key::P384(p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap()),
            "ES512" => Key::P521(p521::ecdsa::SigningKey::from_slice(&decode(P521_D)).unwrap()),
            "EdDSA" => {
                Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(&decode(ED25519_D).try_into().unwrap()))
            }
            "HS256" | "HS384" | "HS512" => Key::Secret(decode(SECRET)),
            other => panic!("no algorithm {other:?}"),
        };
        Self { algorithm, key_id: Some(algorithm.to_lowercase()), key }
    }

    /// An Ed25519 key of its own, made of this number: for issuers that change their keys.
    pub fn ed25519(number: u8) -> Self {
        let key = Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[number; 32]));
        Self { algorithm: "EdDSA", key_id: Some(format!("ed-{number}")), key }
    }

    /// A secret of one's own, as it is: also one that is no secret.
    pub fn hmac(algorithm: &'static str, secret: &[u8]) -> Self {
        Self { algorithm, key_id: None, key: Key::Secret(secret.to_vec()) }
    }

    /// With another key id, or none.
    #[must_use]
    pub fn key_id(mut self, key_id: Option<&str>) -> Self {
        self.key_id = key_id.map(str::to_owned);
        self
    }

    /// The key as a JSON Web Key, without what is private in it, if it has something private.
    pub fn jwk(&self) -> Value {
        let mut key = match &self.key {
            Key::Rsa(_) => json!({"kty": "RSA", "n": RSA_N, "e": "AQAB"}),
            Key::P256(key) => ec("P-256", key.verifying_key().to_sec1_point(false).as_bytes()),
            Key::P384(key) => ec("P-384", key.verifying_key().to_sec1_point(false).as_bytes()),
            Key::P521(key) => {
                let key = p521::ecdsa::VerifyingKey::from(key);
                ec("P-521", key.to_sec1_point(false).as_bytes())
            }
            Key::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.verifying_key().as_bytes())})
            }
            Key::Secret(secret) => json!({"kty": "oct", "k": encode(secret)}),
        };
        key["alg"] = self.algorithm.into();
        if let Some(key_id) = &self.key_id {
            key["kid"] = key_id.as_str().into();
        }
        key
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = json!({"alg": self.algorithm, "typ": "JWT"});
        if let Some(key_id) = &self.key_id {
            header["kid"] = key_id.as_str().into();
        }
        self.sign_with(header.to_string(), claims.to_string())
    }

    /// A token with any header and any claims.
    pub fn sign_with(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = self.signature(input.as_bytes());
        format!("{input}.{}", encode(signature))
    }

    /// The signature of a message.
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let [sha256, sha384, sha512] = [
            Sha256::digest(message).to_vec(),
            Sha384::digest(message).to_vec(),
            Sha512::digest(message).to_vec(),
        ];
        match (&self.key, self.algorithm) {
            (Key::Rsa(key), "RS256") => key.sign(Pkcs1v15Sign::new::<Sha256>(), &sha256).unwrap(),
            (Key::Rsa(key), "RS384") => key.sign(Pkcs1v15Sign::new::<Sha384>(), &sha384).unwrap(),
            (Key::Rsa(key), "RS512") => key.sign(Pkcs1v15Sign::new::<Sha512>(), &sha512).unwrap(),
            (Key::Rsa(key), "PS256") => {
                key.sign_with_rng(&mut Rng(1), Pss::<Sha256>::new(), &sha256).unwrap()
            }
            (Key::Rsa(key), "PS384") => {
                key.sign_with_rng(&mut Rng(1), Pss::<Sha384>::new(), &sha384).unwrap()
            }
            (Key::Rsa(key), _) => key.sign_with_rng(&mut Rng(1), Pss::<Sha512>::new(), &sha512).unwrap(),
            (Key::P256(key), _) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Key::P384(key), _) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Key::P521(key), _) => {
                let signature: p521::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Key::Ed25519(key), _) => key.sign(message).to_bytes().to_vec(),
            (Key::Secret(secret), "HS256") => mac::<Hmac<Sha256>>(secret, message),
            (Key::Secret(secret), "HS384") => mac::<Hmac<Sha384>>(secret, message),
            (Key::Secret(secret), _) => mac::<Hmac<Sha512>>(secret, message),
        }
    }
}

/// A set of the keys of these signers.
pub fn jwks<'a>(signers: impl IntoIterator<Item = &'a Signer>) -> Value {
    json!({"keys": signers.into_iter().map(Signer::jwk).collect::<Vec<_>>()})
}

/// base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// From base64url without padding.
///
/// # Panics
/// It is something else.
pub fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn ec(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
}

fn mac<M: hmac::Mac + hmac::KeyInit>(secret: &[u8], message: &[u8]) -> Vec<u8> {
    <M as hmac::KeyInit>::new_from_slice(secret)
        .unwrap()
        .chain_update(message)
        .finalize()
        .into_bytes()
        .to_vec()
}

/// The salt of a test need not be random, and signatures that repeat are easier to look into.
struct Rng(u64);

impl rsa::rand_core::TryRng for Rng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|number| number as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for byte in out {
            *byte = (self.try_next_u64()? >> 56) as u8;
        }
        Ok(())
    }
}

impl rsa::rand_core::TryCryptoRng for Rng {}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
