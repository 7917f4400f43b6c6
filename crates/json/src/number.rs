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

#[inline(always)]
fn digits(text: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = text.get(at) {
        at = at.wrapping_add(1);
    }
    at
}

fn missing_digit(at: usize, found: Option<&u8>) -> JsonError {
    JsonError::new(at, if found.is_some() { ErrorKind::Number } else { ErrorKind::End })
}
