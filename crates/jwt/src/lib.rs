//! JSON Web Tokens (RFC 7519) as a gateway reads them: from anybody, so strictly and within bounds.
//!
//! [`Unverified::parse`] takes a token apart (JWS compact serialization, RFC 7515). A [`KeySet`] (RFC 7517, 7518, 8037) says
//! which keys may have signed it; what a key may be used for is settled when the set is read, and no token has a say in it.
//! The signature is checked by a host that has fast crypto ([`Key::host_check`]) or here ([`Key::verify`]). [`Rules`] then say
//! whether the claims are good now. Nothing here does I/O, knows the time, or keeps anything.
//!
//! # What is not taken
//! RFC 8725 is the checklist. `none` is not an algorithm. A key is never used for an algorithm other than its own, so a public
//! key is never an HMAC secret. Tokens that name or bring their own key (`jku`, `jwk`, `x5u`, `x5c`), that need something
//! understood (`crit`, `b64`), or that are encrypted or compressed are refused. So are repeated names, deep nesting, padding,
//! white space and stray bits in base64url, and ECDSA signatures in DER.
//!
//! # Why not `jsonwebtoken`
//! Its provider of crypto is a table of plain functions, one for the process: it can't reach the host of an exchange. What
//! would be left of it is its `rust_crypto` provider, which reads a key anew for each signature, lacks ES512, signs as well,
//! and brings an older generation of the crates of RustCrypto beside those that are here. With `rsa` 0.9, which it needs, RS256
//! takes 620 µs in wasm, with 0.10 it takes 440. So these crates are used without it.

mod algorithm;
mod claims;
mod compact;
mod der;
mod json;
mod jwks;
mod material;

pub use algorithm::{Algorithm, Algorithms, Hash};
pub use claims::{ClaimPath, ClaimProblem, Required, Rules, Types, Validity};
pub use compact::{Claims, Header, MAX_KEY_ID, MAX_TOKEN, Malformed, Origin, Unverified};
pub use json::{JsonProblem, object};
pub use jwks::{HostCheck, Key, KeyProblem, KeySet, KeySetProblem, MAX_KEY_SET, MAX_KEYS, Take};

#[cfg(test)]
mod tests;
