//! Private keys in PEM (RFC 7468), and in the older forms with headers.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::Detector;
use crate::context::Context;
use crate::literal::exact;
use crate::text::{Cut, Match, Text, Verdict};

pub(super) const PRIVATE_KEY: Detector = Detector {
    name: "secrets.private_key",
    description: "private key in PEM, the whole block",
    confidence: (95, 99),
    rank: 95,
    shapes: &[],
    literals: &[exact("-----BEGIN ")],
    context: Context::NONE,
    named: None,
    verify: |text, start| Verdict::of(start, verify(text, start)),
};

/// The longest label, such as `ENCRYPTED PRIVATE KEY`.
const LABEL: usize = 64;

/// The longest body; what goes on beyond is cut off here. That of a key of 16,384 bits is shorter.
const BODY: usize = 14 * 1024;

static HYPHENS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"-----"));

/// With fewer characters it is a mention of a key, not one.
const LEAST: usize = 64;

fn verify(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    let label_start = start.saturating_add(b"-----BEGIN ".len());
    let label_end = text.run(label_start, LABEL, |byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' '))?;
    let label = text.slice(label_start..label_end);
    let private = label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK");
    if !private || !text.has(label_end, b"-----")? {
        return Ok(None);
    }
    let body_start = label_end.saturating_add(5);
    // No row of hyphens in the body: so those of many blocks have nothing in common, and are looked at once.
    let shown = text.slice(body_start..body_start.saturating_add(BODY));
    let hyphens = HYPHENS.find(shown);
    let length = hyphens.unwrap_or(shown.len());
    let body_end = text.run(body_start, if hyphens.is_some() { length } else { BODY }, is_body)?;
    let body = text.slice(body_start..body_end);
    if body.len() == length && text.has(body_end, b"-----END ")? {
        let label_start = body_end.saturating_add(b"-----END ".len());
        let label_end = text.run(label_start, LABEL, |byte| byte != b'-' && !byte.is_ascii_control())?;
        let end = text.run(label_end, 5, |byte| byte == b'-')?;
        return Ok((characters(body) >= LEAST / 2).then(|| Match::new(start..end, 99)));
    }
    let body = body.trim_ascii_end();
    Ok((characters(body) >= LEAST).then(|| Match::new(start..body_start.saturating_add(body.len()), 95)))
}

/// Base64, white space (as escapes, where JSON is in JSON), and what the headers of the older forms have.
fn is_body(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=\\ \t\r\n:,._()-".contains(&byte)
}

fn characters(body: &[u8]) -> usize {
    body.iter().filter(|byte| byte.is_ascii_alphanumeric()).count()
}
