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

/// Whether the inside of a valid string (without its quotes) stands for `plain`.
pub(crate) fn equals(inside: &[u8], plain: &[u8]) -> bool {
    if !inside.contains(&b'\\') {
        return inside == plain;
    }
    *decode(inside) == *plain
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
    let unit = digits.iter().fold(0, |unit, &digit| {
        (unit << 4) | char::from(digit).to_digit(16).unwrap_or_default()
    });
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
