//! Strings (RFC 8259, section 7): finding their end, comparing and decoding them, writing them.
//!
//! Bytes of 0x80 and above pass as they are: a text with broken UTF-8 in its strings is scanned and edited like any
//! other, and the broken bytes stay.

use std::borrow::Cow;

use crate::block::{BLOCK, special};
use crate::error::{ErrorKind, JsonError};

/// Where a string ends (behind its closing quote) and whether an escape stands in it. `at` is behind the opening quote.
#[inline(always)]
pub(crate) fn scan(text: &[u8], mut at: usize) -> Result<(usize, bool), JsonError> {
    let mut escaped = false;
    loop {
        at = plain_end(text, at);
        match text.get(at) {
            Some(b'"') => return Ok((at.wrapping_add(1), escaped)),
            Some(b'\\') => {
                escaped = true;
                at = escape(text, at)?;
            }
            Some(_) => return Err(JsonError::new(at, ErrorKind::Control)),
            None => return Err(JsonError::new(at, ErrorKind::End)),
        }
    }
}

/// The first byte from `at` on that is a quote, a backslash or a control character; else the end of the text.
#[inline(always)]
pub(crate) fn plain_end(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let bits = special(block);
        if bits != 0 {
            return at.wrapping_add(bits.trailing_zeros() as usize);
        }
        at = at.wrapping_add(BLOCK);
    }
    while let Some(&byte) = text.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at = at.wrapping_add(1);
    }
    at
}

/// Checks the escape at `at` (its backslash) and gives the offset behind it.
#[inline]
fn escape(text: &[u8], at: usize) -> Result<usize, JsonError> {
    match text.get(at.wrapping_add(1)) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at.wrapping_add(2)),
        Some(b'u') => match text.get(at.wrapping_add(2)..).and_then(<[u8]>::first_chunk::<4>) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at.wrapping_add(6)),
            Some(_) => Err(JsonError::new(at, ErrorKind::Escape)),
            None => Err(JsonError::new(text.len(), ErrorKind::End)),
        },
        Some(_) => Err(JsonError::new(at, ErrorKind::Escape)),
        None => Err(JsonError::new(text.len(), ErrorKind::End)),
    }
}

/// Whether the inside of a valid string (without its quotes) stands for `plain`; `escaped` if there may be escapes in
/// it.
#[inline]
pub(crate) fn is(inside: &[u8], escaped: bool, plain: &[u8]) -> bool {
    if escaped { *decode(inside) == *plain } else { inside == plain }
}

/// What the inside of a valid string stands for. Half of a surrogate pair alone becomes U+FFFD; bytes that are no UTF-8
/// stay.
pub(crate) fn decode(inside: &[u8]) -> Cow<'_, [u8]> {
    if !inside.contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        rest = decode_escape(after, &mut out);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// Decodes the escape that `text` begins with; gives what follows it.
fn decode_escape<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    match text {
        [b'\\', b'u', rest @ ..] => {
            let (unit, rest) = code_unit(rest);
            let (character, rest) = match (unit, rest) {
                (0xD800..=0xDBFF, [b'\\', b'u', low @ ..]) => match code_unit(low) {
                    (low @ 0xDC00..=0xDFFF, rest) => (pair(unit, low), rest),
                    _ => (char::REPLACEMENT_CHARACTER, rest),
                },
                _ => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), rest),
            };
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest
        }
        [b'\\', byte, rest @ ..] => {
            out.push(match byte {
                b'b' => 0x08,
                b'f' => 0x0C,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => *other,
            });
            rest
        }
        _ => &[],
    }
}

fn code_unit(text: &[u8]) -> (u32, &[u8]) {
    let (digits, rest) = text.split_at_checked(4).unwrap_or((text, &[]));
    let unit = digits
        .iter()
        .fold(0, |unit, &digit| (unit << 4) | char::from(digit).to_digit(16).unwrap_or_default());
    (unit, rest)
}

/// The character of a surrogate pair (RFC 8259, section 7; Unicode, section 3.9, D91).
pub(crate) fn pair(high: u32, low: u32) -> char {
    let scalar = (((high & 0x3FF) << 10) | (low & 0x3FF)).wrapping_add(0x1_0000);
    char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Writes a string with its quotes. What is not UTF-8 in it becomes U+FFFD.
pub(crate) fn write(plain: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in plain.utf8_chunks() {
        write_inside(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
    out.push(b'"');
}

fn write_inside(plain: &str, out: &mut Vec<u8>) {
    for &byte in plain.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            0..0x20 => {
                let digit = |nibble: u8| match nibble {
                    0..10 => nibble.wrapping_add(b'0'),
                    _ => nibble.wrapping_add(b'a' - 10),
                };
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xF)]);
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn the_end_is_found_wherever_it_is() {
        for plain in 0..50 {
            let text = "x".repeat(plain) + "\"" + &"\\\"".repeat(plain % 3);
            assert_eq!(scan(text.as_bytes(), 0), Ok((plain + 1, false)));
            let escaped = "x".repeat(plain) + "\\\"\"";
            assert_eq!(scan(escaped.as_bytes(), 0), Ok((plain + 3, true)));
            for control in 0..0x20_u8 {
                let mut text = text.clone().into_bytes();
                text.insert(plain / 2, control);
                assert_eq!(scan(&text, 0), Err(JsonError::new(plain / 2, ErrorKind::Control)));
            }
        }
    }

    #[test]
    fn every_byte_is_special_or_plain() {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK {
                let mut block = [b'x'; BLOCK];
                block[at] = byte;
                let expected = u32::from(byte < 0x20 || byte == b'"' || byte == b'\\') << at;
                assert_eq!(special(&block), expected, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn escapes_are_resolved() {
        let decoded = |inside: &str| String::from_utf8(decode(inside.as_bytes()).into_owned()).unwrap();
        assert_eq!(decoded(r#"a\"\\\/\b\f\n\r\tz"#), "a\"\\/\u{8}\u{c}\n\r\tz");
        assert_eq!(decoded(r"\u0041\u00e9\u20AC\ud83d\ude00"), "A\u{e9}\u{20ac}\u{1f600}");
        assert_eq!(decoded(r"\ud83dx\ude00\ud83d\u0041\ud83d"), "\u{fffd}x\u{fffd}\u{fffd}A\u{fffd}");
        assert!(matches!(decode(b"plain"), Cow::Borrowed(b"plain")));
        assert_eq!(*decode(b"\\n\xff"), *b"\n\xff");
        // What is no escape does no harm.
        for broken in [r"\", r"\u", r"\u12", r"\uzzzz", r"\ud83d\u", r"\q"] {
            decode(broken.as_bytes());
        }
    }

    #[test]
    fn names_compare_by_what_they_stand_for() {
        assert!(is(br"\u0061", true, b"a"));
        assert!(!is(br"\u0061", true, br"\u0061"));
        assert!(is(br"\\", true, br"\"));
        assert!(is(b"a", false, b"a") && !is(b"a", false, b"b"));
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let all: String =
            (0..0x250_u32).chain([0x2028, 0xFFFD, 0x1_F600]).filter_map(char::from_u32).collect();
        let mut text = Vec::new();
        write(all.as_bytes(), &mut text);
        assert_eq!(scan(&text, 1).unwrap().0, text.len());
        assert_eq!(*decode(&text[1..text.len() - 1]), *all.as_bytes());
        text.clear();
        write(b"a\xff\x1f\xc3", &mut text);
        assert_eq!(text, "\"a\u{fffd}\\u001f\u{fffd}\"".as_bytes());
    }
}
