//! Numbers (RFC 8259, section 6): their text, never their value.

use crate::error::{ErrorKind, JsonError};

/// Where a number ends. `at` is its first byte: a digit or the minus sign.
#[inline(always)]
pub(crate) fn scan(text: &[u8], mut at: usize) -> Result<usize, JsonError> {
    if text.get(at) == Some(&b'-') {
        at = at.wrapping_add(1);
    }
    match text.get(at) {
        Some(b'0') => at = at.wrapping_add(1),
        Some(b'1'..=b'9') => at = digits(text, at),
        other => return Err(missing_digit(at, other)),
    }
    if text.get(at) == Some(&b'.') {
        at = some_digits(text, at.wrapping_add(1))?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at = at.wrapping_add(1);
        if let Some(b'+' | b'-') = text.get(at) {
            at = at.wrapping_add(1);
        }
        at = some_digits(text, at)?;
    }
    Ok(at)
}

fn some_digits(text: &[u8], at: usize) -> Result<usize, JsonError> {
    match text.get(at) {
        Some(b'0'..=b'9') => Ok(digits(text, at)),
        other => Err(missing_digit(at, other)),
    }
}

/// The first byte from `at` on that is no digit: eight at a time, as most numbers end within them.
#[inline(always)]
pub(crate) fn digits(text: &[u8], mut at: usize) -> usize {
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        // A digit is 0 to 9 here. Adding 0x76 sets the highest bit of what is above that; it carries only out of such a
        // byte, so the lowest byte that is marked is the first that is no digit.
        let values = u64::from_le_bytes(*bytes) ^ 0x3030_3030_3030_3030;
        let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
        if others != 0 {
            return at.wrapping_add((others.trailing_zeros() >> 3) as usize);
        }
        at = at.wrapping_add(8);
    }
    while let Some(b'0'..=b'9') = text.get(at) {
        at = at.wrapping_add(1);
    }
    at
}

fn missing_digit(at: usize, found: Option<&u8>) -> JsonError {
    JsonError::new(at, if found.is_some() { ErrorKind::Number } else { ErrorKind::End })
}
