//! Key sets (RFC 7517): which keys an issuer signs with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::algorithm::{Algorithm, Algorithms, Hash};
use crate::compact::{MAX_KEY_ID, Unverified};
use crate::der;
use crate::json::{self, JsonProblem};
use crate::material::{Material, RSA_BITS};

/// The longest key set. Bytes.
pub const MAX_KEY_SET: usize = 128 * 1_024;
/// The most keys of a set, those that are not usable among them.
pub const MAX_KEYS: usize = 100;
/// `{"keys": [{"x5c": []}]}`, and something of the issuer's own.
const MAX_DEPTH: usize = 8;

/// The algorithms of keys that do not say theirs, and of issuers for which none are configured.
const DEFAULT: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::EdDsa];

/// The keys of an issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// A key, and what it may be used for: that is settled here, and no token has a say in it.
pub struct Key {
    id: Option<Box<str>>,
    algorithms: Algorithms,
    material: Material,
    /// For hosts.
    public_key: Option<Vec<u8>>,
}

/// What is to be taken from a key set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Take {
    /// The algorithms that are allowed; `None`: of each key its own, and of one that does not say RS256, ES256, ES384, ES512
    /// or EdDSA, by its type.
    pub algorithms: Option<Algorithms>,
    /// Whether secrets are taken. A set that is there for everybody to read has none worth the name.
    pub secrets: bool,
}

/// Why a key set is not taken. A key that is not usable is passed over; these concern the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetProblem {
    /// Longer than [`MAX_KEY_SET`].
    TooLong,
    /// Not JSON.
    Json(JsonProblem),
    /// No `keys` that is a list of objects.
    NoKeys,
    /// More than [`MAX_KEYS`].
    TooMany,
    /// No key at all.
    Empty,
    /// Not one of the keys is usable; the first one for this reason.
    NoneUsable(KeyProblem),
}

/// Why a key is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// It is not an object, or one of its members has the wrong type.
    Form,
    /// `use` or `key_ops` say that it is not for signatures.
    Purpose,
    /// Its `kty`, or its `crv`, is not known here.
    Kind,
    /// It is a secret, in a set that everybody can read.
    Secret,
    /// Its numbers are not there, or make no key.
    Numbers,
    /// An RSA key of so many bits.
    RsaBits(u32),
    /// It is for no algorithm that is allowed, or that fits its type. A secret may be too short for it.
    Algorithm,
}

/// What a host checks a signature with: RSASSA-PKCS1-v1_5 or ECDSA.
#[derive(Clone, PartialEq, Eq)]
pub struct HostCheck<'a> {
    /// Of the message.
    pub hash: Hash,
    /// A DER SubjectPublicKeyInfo (RFC 5280 section 4.1).
    pub public_key: &'a [u8],
    /// The signature; of ECDSA in DER.
    pub signature: Vec<u8>,
}

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    /// [`KeySetProblem`]
    pub fn parse(text: &[u8], take: Take) -> Result<Self, KeySetProblem> {
        if text.len() > MAX_KEY_SET {
            return Err(KeySetProblem::TooLong);
        }
        Self::new(&json::object(text, MAX_DEPTH).map_err(KeySetProblem::Json)?, take)
    }

    /// Takes the keys of a set that has been read.
    ///
    /// # Errors
    /// [`KeySetProblem`]
    pub fn new(set: &Map<String, Value>, take: Take) -> Result<Self, KeySetProblem> {
        let keys = set.get("keys").and_then(Value::as_array).ok_or(KeySetProblem::NoKeys)?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetProblem::TooMany);
        }
        let (mut usable, mut first) = (Vec::new(), None);
        for key in keys {
            match key.as_object().ok_or(KeyProblem::Form).and_then(|key| Key::new(key, take)) {
                Ok(key) => usable.push(key),
                Err(problem) => first = first.or(Some(problem)),
            }
        }
        match first {
            _ if !usable.is_empty() => Ok(Self { keys: usable }),
            Some(problem) => Err(KeySetProblem::NoneUsable(problem)),
            None => Err(KeySetProblem::Empty),
        }
    }

    /// The keys that may have signed a token: those of its `kid`, for its `alg`. Without a `kid` there is a choice only if
    /// exactly one key of the set is for that `alg`: trying one after the other would be work that the client orders.
    pub fn candidates<'a>(&'a self, token: &'a Unverified<'_>) -> impl Iterator<Item = &'a Key> {
        let fitting = move || self.keys.iter().filter(|key| key.algorithms.contains(token.header.algorithm));
        let key_id = token.header.key_id.as_deref();
        let clear = key_id.is_some() || fitting().count() == 1;
        // A set that is being changed may have an id twice (RFC 7517 section 4.5).
        const MAX_CANDIDATES: usize = 2;
        fitting()
            .filter(move |key| clear && (key_id.is_none() || key.id.as_deref() == key_id))
            .take(MAX_CANDIDATES)
    }

    /// Whether a key has this id, whatever it is for.
    pub fn knows(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(key_id))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none: never of a set that was read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Key {
    /// Why it is not for signatures, or not a key that is known or good here.
    fn new(key: &Map<String, Value>, take: Take) -> Result<Self, KeyProblem> {
        let text = |name| match key.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(KeyProblem::Form),
        };
        let bytes = |name| {
            let text = text(name)?.ok_or(KeyProblem::Numbers)?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyProblem::Numbers)
        };
        if text("use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(KeyProblem::Purpose);
        }
        // Private keys for signing are keys for checking as well; RFC 7517 section 4.3.
        if let Some(operations) = key.get("key_ops") {
            let operations = operations.as_array().ok_or(KeyProblem::Form)?;
            if !operations.iter().any(|one| one == "verify") {
                return Err(KeyProblem::Purpose);
            }
        }
        let material = match (text("kty")?, text("crv")?) {
            (Some("RSA"), _) => Material::rsa(&bytes("n")?, &bytes("e")?)?,
            (Some("EC"), Some(curve)) => {
                // RFC 7518 section 6.2.1.2: as long as the field, so that no two forms of a key differ.
                let point = [[4].as_slice(), &bytes("x")?, &bytes("y")?].concat();
                Material::ec(curve, &point)?
            }
            (Some("OKP"), Some("Ed25519")) => Material::ed25519(&bytes("x")?).ok_or(KeyProblem::Numbers)?,
            (Some("oct"), _) if take.secrets => Material::Secret(bytes("k")?),
            (Some("oct"), _) => return Err(KeyProblem::Secret),
            _ => return Err(KeyProblem::Kind),
        };
        let own = match text("alg")? {
            Some(name) => [Algorithm::from_name(name).ok_or(KeyProblem::Algorithm)?].into_iter().collect(),
            None => take.algorithms.unwrap_or_else(|| DEFAULT.into_iter().collect()),
        };
        let algorithms = material.algorithms().and(own).and(take.algorithms.unwrap_or(own));
        if algorithms.is_empty() {
            return Err(KeyProblem::Algorithm);
        }
        let id =
            text("kid")?.map(|id| if id.len() <= MAX_KEY_ID { Ok(id.into()) } else { Err(KeyProblem::Form) });
        let public_key = material.public_key();
        Ok(Self { id: id.transpose()?, algorithms, material, public_key })
    }

    /// What the host is to check, if this is an algorithm that hosts check: then its word counts.
    pub fn host_check(&self, token: &Unverified<'_>) -> Option<HostCheck<'_>> {
        use Algorithm::{Es256, Es384, Es512, Rs256, Rs384, Rs512};
        let algorithm = token.header.algorithm;
        if !self.fits(token) {
            return None;
        }
        let signature = match algorithm {
            Rs256 | Rs384 | Rs512 => token.signature.clone(),
            Es256 | Es384 | Es512 => der::ecdsa_signature(&token.signature),
            _ => return None,
        };
        Some(HostCheck { hash: algorithm.hash()?, public_key: self.public_key.as_deref()?, signature })
    }

    /// Checks the signature of a token in Rust.
    pub fn verify(&self, token: &Unverified<'_>) -> bool {
        self.fits(token)
            && self.material.verify(token.header.algorithm, token.signing_input, &token.signature)
    }

    /// Whether the algorithm is one of the key's, and the signature as long as it must be: so there is one form of each
    /// ECDSA signature, and DER is none.
    fn fits(&self, token: &Unverified<'_>) -> bool {
        let length = self.material.signature_length();
        self.algorithms.contains(token.header.algorithm)
            && length.is_none_or(|length| length == token.signature.len())
    }
}

impl fmt::Display for KeySetProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {MAX_KEY_SET} bytes"),
            Self::Json(JsonProblem::Syntax) => f.write_str("not JSON"),
            Self::Json(JsonProblem::NotAnObject) => f.write_str("not a JSON object"),
            Self::Json(JsonProblem::TooDeep) => f.write_str("nested too deep"),
            Self::Json(JsonProblem::Repeated) => f.write_str("a name is there twice in one object"),
            Self::NoKeys => f.write_str("no list called keys"),
            Self::TooMany => write!(f, "more than {MAX_KEYS} keys"),
            Self::Empty => f.write_str("the list of keys is empty"),
            Self::NoneUsable(first) => write!(f, "none of the keys can be used: the first one {first}"),
        }
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("is no object, or a member of it has the wrong type"),
            Self::Purpose => f.write_str("is not for signatures (use, key_ops)"),
            Self::Kind => {
                f.write_str("is of a kty or crv other than RSA, EC (P-256, P-384, P-521), OKP (Ed25519) and oct")
            }
            Self::Secret => f.write_str("is a secret (kty oct), which no set has that everybody can read"),
            Self::Numbers => f.write_str("lacks a number (n, e, x, y, k), or they make no key"),
            Self::RsaBits(bits) => {
                write!(f, "is an RSA key of {bits} bits, not {} to {}", RSA_BITS.start(), RSA_BITS.end())
            }
            Self::Algorithm => f.write_str(
                "is for no algorithm (alg) that is allowed and fits it; a secret is at least as long as the hash: 32, 48 or \
                 64 bytes",
            ),
        }
    }
}

impl std::error::Error for KeySetProblem {}

/// Without what the key is made of.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// Without the signature, which is part of a credential.
impl fmt::Debug for HostCheck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCheck").field("hash", &self.hash).finish_non_exhaustive()
    }
}
