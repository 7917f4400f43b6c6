//! Keys whose form can be checked: `mg_<random>_<checksum>`.
//!
//! What is cut off, mistyped or guessed is told from a key by its checksum, without a digest and without a look-up; and
//! scanners that look for leaked secrets find such keys by their prefix and are sure by their checksum. The checksum is no
//! secret and proves nothing: the random part does.

use meshgate_policy::config::{ConfigError, Path};

use crate::config::KeyFormatConfig;

/// The form of all keys.
#[derive(Debug)]
pub struct KeyFormat {
    /// With the `_` behind it.
    prefix: Box<str>,
}

/// What the random part of a new key is written in.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// So many of them hold 256 bits.
const RANDOM: usize = 43;
/// The fewest letters and digits that are 128 bits.
const MIN_RANDOM: usize = 22;
/// `_` and eight digits.
const TAIL: usize = 9;

impl KeyFormat {
    /// Checks the form.
    ///
    /// # Errors
    /// A [`ConfigError`] if the prefix is none.
    pub fn compile(config: &KeyFormatConfig) -> Result<Self, ConfigError> {
        let KeyFormatConfig { prefix } = config;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=32).contains(&prefix.len()) || !prefix.bytes().all(plain) {
            return Err(ConfigError::at(Path::root().key("key_format").key("prefix"))
                .value(prefix)
                .expected("1 to 32 letters, digits, - and _, such as mg"));
        }
        Ok(Self { prefix: format!("{prefix}_").into() })
    }

    /// A key of this form: 256 random bits as 43 letters and digits.
    pub fn key(&self, random: [u8; 32]) -> String {
        let body = format!("{}{}", self.prefix, base62(random));
        format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()))
    }

    /// Whether the bytes have the form of a key: the prefix, `_`, at least 22 ASCII letters and digits, `_`, and the CRC-32
    /// (that of gzip, RFC 1952 section 8) of all bytes before that last `_`, as eight hexadecimal digits in lower case.
    pub fn accepts(&self, key: &[u8]) -> bool {
        let Some((body, tail)) = key.len().checked_sub(TAIL).and_then(|at| key.split_at_checked(at)) else {
            return false;
        };
        let random = body.strip_prefix(self.prefix.as_bytes()).unwrap_or_default();
        random.len() >= MIN_RANDOM
            && random.iter().all(u8::is_ascii_alphanumeric)
            && tail == format!("_{:08x}", crc32fast::hash(body)).as_bytes()
    }
}

/// A number of 32 bytes, the first the most significant, in letters and digits.
fn base62(mut number: [u8; 32]) -> String {
    let mut digits = [0; RANDOM];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u16;
        for byte in &mut number {
            // At most 61 * 256 + 255, and so the quotient is a byte.
            let here = rest << 8 | u16::from(*byte);
            *byte = u8::try_from(here / 62).unwrap_or(u8::MAX);
            rest = here % 62;
        }
        *digit = LETTERS.get(usize::from(rest)).copied().unwrap_or(b'0');
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn form(prefix: &str) -> Result<KeyFormat, ConfigError> {
        KeyFormat::compile(&KeyFormatConfig { prefix: prefix.to_owned() })
    }

    /// Made with the commands in the README.
    const KEY: &str = "mg_0123456789abcdefABCDEF_6d356cba";

    #[test]
    fn the_checksum_is_that_of_gzip() {
        assert!(form("mg").unwrap().accepts(KEY.as_bytes()));
        // The check value of CRC-32 is that of these nine digits.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_new_key_has_all_its_random_bits() {
        let mg = form("mg").unwrap();
        assert_eq!(base62([0; 32]), "0".repeat(43));
        // 2^256 - 1
        assert_eq!(base62([0xff; 32]), "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
        let mut one = [0; 32];
        one[30] = 1;
        assert_eq!(base62(one), format!("{}48", "0".repeat(41)));
        for random in [[0; 32], [0xff; 32], one] {
            assert!(mg.accepts(mg.key(random).as_bytes()));
        }
    }

    #[test]
    fn whatever_is_not_such_a_key_is_seen() {
        let mg = form("mg").unwrap();
        for at in 0..KEY.len() {
            assert!(!mg.accepts(&KEY.as_bytes()[..at]), "cut at {at}");
            let mut other = KEY.as_bytes().to_vec();
            other[at] ^= 1;
            assert!(!mg.accepts(&other), "changed at {at}");
        }
        let made = |body: &str| format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()));
        assert!(mg.accepts(made("mg_0123456789012345678901").as_bytes()));
        for body in [
            "mg_012345678901234567890",
            "MG_0123456789012345678901",
            "mg0123456789012345678901234",
            "xmg_0123456789012345678901",
            "mg_01234567890_2345678901",
            "mg_0123456789012345678901 ",
            "mg_0123456789012345678901\u{e9}",
            "",
        ] {
            assert!(!mg.accepts(made(body).as_bytes()), "{body}");
        }
        assert!(!mg.accepts(format!("{KEY} ").as_bytes()) && !mg.accepts(KEY.to_uppercase().as_bytes()));
        assert!(form("mg_live").unwrap().accepts(made("mg_live_0123456789012345678901").as_bytes()));
    }

    #[test]
    fn a_prefix_is_short_and_plain() {
        for bad in ["", "a b", "m\u{e9}", &"a".repeat(33)] {
            assert!(form(bad).is_err(), "{bad}");
        }
    }
}
