//! Tokens as they come: JWS compact serialization (RFC 7515 section 3.1), taken apart and checked for its form.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::json::{self, JsonProblem};

/// The longest token. Bytes.
pub const MAX_TOKEN: usize = 16 * 1_024;
/// The longest key id. Bytes.
pub const MAX_KEY_ID: usize = 256;
/// How deep claims may be: roles of several clients in Keycloak take four levels.
const MAX_CLAIMS_DEPTH: usize = 10;
/// A header has no need of levels.
const MAX_HEADER_DEPTH: usize = 3;

/// Header parameters that say where the key is or how to read the token. A verifier that follows them lets the token
/// choose its own key (RFC 8725 section 3.10); one that ignores `crit` or `b64` reads what the issuer did not mean.
const REFUSED: [&str; 9] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip", "epk"];

/// A token that nobody has vouched for.
pub struct Unverified<'a> {
    /// The header.
    pub header: Header,
    /// What the signature is over: the first two parts and the dot between them.
    pub signing_input: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
    /// What the token claims: good for choosing who is to vouch for it, and for nothing else before that is done.
    pub claims: Claims,
}

/// What a token claims, or an introspection endpoint says of one.
pub type Claims = Map<String, Value>;

/// What a header says. Nothing of it is trusted: it is compared with what the key says.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// `alg`
    pub algorithm: Algorithm,
    /// `kid`
    pub key_id: Option<String>,
    /// `typ`
    pub kind: Option<String>,
}

/// What is wrong with the form of a token. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Longer than [`MAX_TOKEN`].
    TooLong,
    /// Not three parts with dots between them.
    Parts,
    /// A part is not base64url without padding, white space and stray bits (RFC 7515 section 2).
    Base64,
    /// The header is not JSON as tokens have it.
    Header(JsonProblem),
    /// The claims are not JSON as tokens have it.
    Claims(JsonProblem),
    /// There is no `alg`, or one that is not known; `none` is not.
    Algorithm,
    /// `kid` or `typ` is not a string, or is too long.
    HeaderValue,
    /// A header parameter that would choose the key or change how the token is read.
    HeaderParameter(&'static str),
}

/// Where a text comes from that [`Unverified::parse`] refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is no JSON Web Token, whoever reads it.
    Elsewhere,
    /// It is one, and says that this is its issuer.
    Issuer(String),
    /// It may be one, and of whom can't be told for certain.
    Unclear,
}

impl Origin {
    /// Of a text that somebody else may read with less care: three parts in base64url, of which the first is an object
    /// with `alg`.
    pub fn of(token: &[u8]) -> Self {
        let mut parts = token.split(|byte| *byte == b'.').map(decode_loosely);
        let (Some(Some(header)), Some(Some(payload)), Some(Some(_)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Self::Elsewhere;
        };
        // Of what begins like an object and is none here, another reader may make something.
        let is_header = match json::object(&header, MAX_HEADER_DEPTH) {
            Ok(header) => header.contains_key("alg"),
            Err(_) => header.trim_ascii_start().starts_with(b"{"),
        };
        if !is_header {
            return Self::Elsewhere;
        }
        let claims = json::object(&payload, MAX_CLAIMS_DEPTH).unwrap_or_default();
        match claims.get("iss") {
            Some(Value::String(issuer)) => Self::Issuer(issuer.clone()),
            _ => Self::Unclear,
        }
    }
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn parse(token: &'a [u8]) -> Result<Self, Malformed> {
        if token.len() > MAX_TOKEN {
            return Err(Malformed::TooLong);
        }
        let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Malformed::Parts);
        };
        let parts = token.split_at_checked(second).zip(token.split_at_checked(first));
        let Some(((signing_input, signature), (header, _))) = parts else { return Err(Malformed::Parts) };
        let payload = signing_input.get(first.saturating_add(1)..).ok_or(Malformed::Parts)?;
        let signature = signature.get(1..).ok_or(Malformed::Parts)?;

        let header = json::object(&decode(header)?, MAX_HEADER_DEPTH).map_err(Malformed::Header)?;
        let header = Header::new(&header)?;
        let signature = decode(signature)?;
        let claims = json::object(&decode(payload)?, MAX_CLAIMS_DEPTH).map_err(Malformed::Claims)?;
        Ok(Self { header, signing_input, signature, claims })
    }
}

impl Header {
    fn new(fields: &Map<String, Value>) -> Result<Self, Malformed> {
        if let Some(name) = REFUSED.into_iter().find(|name| fields.contains_key(*name)) {
            return Err(Malformed::HeaderParameter(name));
        }
        let text = |name| match fields.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_KEY_ID => Ok(Some(text.clone())),
            Some(_) => Err(Malformed::HeaderValue),
        };
        let algorithm = fields.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name);
        let algorithm = algorithm.ok_or(Malformed::Algorithm)?;
        Ok(Self { algorithm, key_id: text("kid")?, kind: text("typ")? })
    }
}

fn decode(part: &[u8]) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed::Base64)
}

/// As careless readers do: either alphabet, with padding or without, and whatever the last bits are.
fn decode_loosely(part: &[u8]) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    const LOOSE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);
    let length = part.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last.saturating_add(1));
    let plain = part.iter().take(length).map(|byte| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    });
    LOOSE.decode(plain.collect::<Vec<_>>()).ok()
}

/// Without signature and claims: they make up a credential.
impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("header", &self.header).finish_non_exhaustive()
    }
}

/// Without what a client may have written.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
