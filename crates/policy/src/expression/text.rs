//! Bytes as text, and back, without loss.
//!
//! Header values, decoded parameters and path captures are bytes; expressions work on text. What is UTF-8 is that text.
//! Any other byte becomes one private character, U+10FF00 plus the byte, so that values that differ stay different; and
//! where a client sends such a character itself, its four bytes become four of them, so that nothing can pose as what it
//! is not. [`to_bytes`] gives the bytes back. (Python does this with surrogates, PEP 383; Rust's text has none.)

use std::borrow::Cow;

/// What byte 0 would become. Only bytes from 0x80 on can be out of place in UTF-8.
const BASE: u32 = 0x10_ff00;

/// The text of any bytes. Borrowed for UTF-8.
pub fn from_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(is_escape) => Cow::Borrowed(text),
        _ => Cow::Owned(escape(bytes)),
    }
}

/// The bytes of a text that [`from_bytes`] made, or that was put together from such texts.
pub fn to_bytes(text: &str) -> Cow<'_, [u8]> {
    if !text.chars().any(is_escape) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for char in text.chars() {
        match escaped_byte(char) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

#[cold]
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if is_escape(char) {
                text.extend(char.encode_utf8(&mut [0; 4]).bytes().filter_map(escape_of));
            } else {
                text.push(char);
            }
        }
        text.extend(chunk.invalid().iter().copied().filter_map(escape_of));
    }
    text
}

fn escape_of(byte: u8) -> Option<char> {
    char::from_u32(BASE | u32::from(byte))
}

fn escaped_byte(char: char) -> Option<u8> {
    u32::from(char).checked_sub(BASE).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| *byte >= 0x80)
}

pub(super) fn is_escape(char: char) -> bool {
    escaped_byte(char).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn text_is_itself_and_other_bytes_come_back() {
        for text in ["", "plain", "h\u{e9}", "\0\r\n", "\u{fffd}", "\u{10ff7f}"] {
            let same = from_bytes(text.as_bytes());
            assert!(matches!(same, Cow::Borrowed(_)));
            assert_eq!(same, text);
        }
        assert_eq!(from_bytes(b"a\xff"), "a\u{10ffff}");
        assert_eq!(from_bytes(b"\x80b"), "\u{10ff80}b");
        let strange = [
            &b"\xff"[..],
            b"\xc3",
            b"\xc3\xa9\xc3",
            b"\xed\xa0\x80",
            b"\xf4\x8f\xbf\xbf",
            b"a\x80\xf4\x8f\xbe\x80",
        ];
        for bytes in strange {
            assert_eq!(*to_bytes(&from_bytes(bytes)), *bytes);
        }
    }

    #[test]
    fn a_client_cannot_send_the_stand_in_of_a_byte() {
        let posing = b"\xf4\x8f\xbf\xbf";
        assert_ne!(from_bytes(posing), from_bytes(b"\xff"));
        assert_eq!(*to_bytes(&from_bytes(posing)), *posing);
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        fn bytes() -> impl Strategy<Value = Vec<u8>> {
            let pieces = prop_oneof![
                Just(b"\xf4\x8f\xbf\xbf".to_vec()),
                Just(b"\xf4\x8f\xbe\x80".to_vec()),
                Just("é".as_bytes().to_vec()),
                any::<u8>().prop_map(|byte| vec![byte]),
            ];
            proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
        }

        proptest! {
            #[test]
            fn all_bytes_come_back(bytes in bytes()) {
                let text = from_bytes(&bytes);
                prop_assert_eq!(&*to_bytes(&text), &bytes);
            }

            #[test]
            fn what_differs_stays_different(one in bytes(), other in bytes()) {
                prop_assert_eq!(from_bytes(&one) == from_bytes(&other), one == other);
            }
        }
    }
}
