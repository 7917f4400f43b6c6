//! What a key is made of, and the checks of signatures in Rust, for hosts without crypto of their own and for what hosts
//! do not check: RSASSA-PSS, Ed25519 and HMAC.

use hmac::Hmac;
use rsa::traits::PublicKeyParts as _;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::algorithm::{Algorithm, Algorithms};
use crate::der;
use crate::jwks::KeyProblem;

/// The numbers or bytes of a key, checked.
pub enum Material {
    /// An RSA public key.
    Rsa(RsaPublicKey),
    /// A point on P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// A point on P-384.
    P384(p384::ecdsa::VerifyingKey),
    /// A point on P-521.
    P521(p521::ecdsa::VerifyingKey),
    /// An Ed25519 public key.
    Ed25519(ed25519_dalek::VerifyingKey),
    /// A secret that the issuer shares.
    Secret(Vec<u8>),
}

/// RFC 7518 section 3.3: no less than 2048 bits. A modulus twice as long costs four times as much; 8192 is where it ends.
pub const RSA_BITS: std::ops::RangeInclusive<u32> = 2_048..=8_192;

impl Material {
    /// From modulus and exponent in big-endian bytes.
    ///
    /// # Errors
    /// It is not a key that anybody should use.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyProblem> {
        // The modulus is not read before its length is known.
        let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
        let bits = u32::try_from(significant).unwrap_or(u32::MAX).saturating_mul(8);
        if bits > *RSA_BITS.end() {
            return Err(KeyProblem::RsaBits(bits));
        }
        if exponent.len() > 8 {
            return Err(KeyProblem::Numbers);
        }
        let modulus = BoxedUint::from_be_slice_vartime(modulus);
        let exponent = BoxedUint::from_be_slice_vartime(exponent);
        let bits = modulus.bits_vartime();
        if !RSA_BITS.contains(&bits) {
            return Err(KeyProblem::RsaBits(bits));
        }
        let key = RsaPublicKey::new_with_max_size(modulus, exponent, 8_192);
        key.map(Self::Rsa).map_err(|_| KeyProblem::Numbers)
    }

    /// From the name of a curve in `crv` and an uncompressed point (SEC 1 section 2.3.3).
    ///
    /// # Errors
    /// Another curve, or a point that is not on it.
    pub fn ec(curve: &str, point: &[u8]) -> Result<Self, KeyProblem> {
        let key = match curve {
            "P-256" => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P256),
            "P-384" => p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P384),
            "P-521" => p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P521),
            _ => return Err(KeyProblem::Kind),
        };
        key.ok_or(KeyProblem::Numbers)
    }

    /// From 32 bytes; `None`: not a point, or one of small order, for which signatures prove nothing.
    pub fn ed25519(point: &[u8]) -> Option<Self> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(point.try_into().ok()?).ok()?;
        (!key.is_weak()).then_some(Self::Ed25519(key))
    }

    /// What can be done with such a key. An HMAC secret is at least as long as the hash (RFC 7518 section 3.2).
    pub fn algorithms(&self) -> Algorithms {
        use Algorithm::*;
        let fits = |algorithm: &Algorithm| match (self, *algorithm) {
            (Self::Rsa(_), Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
            | (Self::P256(_), Es256)
            | (Self::P384(_), Es384)
            | (Self::P521(_), Es512)
            | (Self::Ed25519(_), EdDsa) => true,
            (Self::Secret(secret), Hs256) => secret.len() >= 32,
            (Self::Secret(secret), Hs384) => secret.len() >= 48,
            (Self::Secret(secret), Hs512) => secret.len() >= 64,
            _ => false,
        };
        Algorithm::ALL.into_iter().filter(fits).collect()
    }

    /// The key as a DER SubjectPublicKeyInfo, where a host may check signatures with it.
    pub fn public_key(&self) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key) => Some(der::rsa_public_key(&key.n_bytes(), &key.e_bytes())),
            Self::P256(key) => Some(der::ec_public_key(der::P256, key.to_sec1_point(false).as_bytes())),
            Self::P384(key) => Some(der::ec_public_key(der::P384, key.to_sec1_point(false).as_bytes())),
            Self::P521(key) => Some(der::ec_public_key(der::P521, key.to_sec1_point(false).as_bytes())),
            Self::Ed25519(_) | Self::Secret(_) => None,
        }
    }

    /// How long a signature must be, in bytes, where that is fixed: RFC 7518 section 3.4, and it keeps DER out.
    pub fn signature_length(&self) -> Option<usize> {
        match self {
            Self::Rsa(key) => Some(key.size()),
            Self::P256(_) | Self::Ed25519(_) => Some(64),
            Self::P384(_) => Some(96),
            Self::P521(_) => Some(132),
            Self::Secret(_) => None,
        }
    }

    /// Checks a signature in Rust. An algorithm that is none for such a key is a wrong signature.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use Algorithm::*;
        use p256::ecdsa::signature::Verifier as _;
        match (self, algorithm) {
            (Self::Rsa(key), Rs256) => {
                key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature).is_ok()
            }
            (Self::Rsa(key), Rs384) => {
                key.verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message), signature).is_ok()
            }
            (Self::Rsa(key), Rs512) => {
                key.verify(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message), signature).is_ok()
            }
            // The salt is as long as the hash (RFC 7518 section 3.5).
            (Self::Rsa(key), Ps256) => {
                key.verify(Pss::<Sha256>::new(), &Sha256::digest(message), signature).is_ok()
            }
            (Self::Rsa(key), Ps384) => {
                key.verify(Pss::<Sha384>::new(), &Sha384::digest(message), signature).is_ok()
            }
            (Self::Rsa(key), Ps512) => {
                key.verify(Pss::<Sha512>::new(), &Sha512::digest(message), signature).is_ok()
            }
            (Self::P256(key), Es256) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (Self::P384(key), Es384) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (Self::P521(key), Es512) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (Self::Ed25519(key), EdDsa) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            (Self::Secret(secret), Hs256) => hmac::<Hmac<Sha256>>(secret, message, signature),
            (Self::Secret(secret), Hs384) => hmac::<Hmac<Sha384>>(secret, message, signature),
            (Self::Secret(secret), Hs512) => hmac::<Hmac<Sha512>>(secret, message, signature),
            _ => false,
        }
    }
}

/// Compares in constant time.
fn hmac<M: hmac::Mac + hmac::KeyInit>(secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    <M as hmac::KeyInit>::new_from_slice(secret)
        .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
}
