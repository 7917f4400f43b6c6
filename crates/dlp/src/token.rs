//! Tokens of values: what a value is known by where it must not be shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How many bytes of an HMAC a token has: enough that no two of a billion values share one.
const TOKEN_BYTES: usize = 16;
/// How many bytes of an HMAC a log shows: enough to tell values apart.
const SHOWN_BYTES: usize = 6;

/// Makes tokens of values, with a key (HMAC-SHA256, RFC 2104): without the key, nobody can try out which value a token
/// stands for.
#[derive(Clone)]
pub struct Tokens(Hmac<Sha256>);

impl Tokens {
    /// With this key.
    pub fn new(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(Self)
    }

    /// What stands for a value: 22 characters of base64url, which need no escapes in JSON, URLs, headers and cookies.
    pub fn token(&self, value: &[u8]) -> String {
        self.encode::<TOKEN_BYTES>(value)
    }

    /// What a log calls a value: the beginning of its token.
    pub fn shown(&self, value: &[u8]) -> String {
        self.encode::<SHOWN_BYTES>(value)
    }

    fn encode<const BYTES: usize>(&self, value: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(value);
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        URL_SAFE_NO_PAD.encode(bytes.first_chunk::<BYTES>().map_or(&[][..], |first| first.as_slice()))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn tokens_are_the_beginning_of_an_hmac() {
        // RFC 4231 section 4.3: HMAC-SHA-256 is 5bdcc146bf60754e6a042426089575c7...
        let tokens = Tokens::new(b"Jefe").unwrap();
        let token = tokens.token(b"what do ya want for nothing?");
        assert_eq!(
            URL_SAFE_NO_PAD.decode(&token).unwrap(),
            [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7]
        );
        assert_eq!(tokens.shown(b"what do ya want for nothing?"), token.split_at(8).0);
        assert_eq!(format!("{tokens:?}"), "Tokens");
    }
}
