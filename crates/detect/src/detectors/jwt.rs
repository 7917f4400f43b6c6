//! JSON Web Tokens (RFC 7519) in compact form: signed (RFC 7515) or encrypted (RFC 7516).

use super::Detector;
use crate::context::Context;
use crate::literal::exact;
use crate::text::{Cut, Match, Text, Verdict};

pub(super) const JWT: Detector = Detector {
    name: "secrets.jwt",
    description: "JSON Web Token whose header decodes to JSON with an alg",
    confidence: (95, 95),
    rank: 90,
    shapes: &[],
    // `{"` in base64.
    literals: &[exact("eyJ")],
    context: Context::NONE,
    named: None,
    verify: |text, start| Verdict::of(start, verify(text, start)),
};

/// The longest header, and the longest of the other segments; what goes on beyond is cut off there.
const HEADER: usize = 1024;
const SEGMENT: usize = 8 * 1024;

fn verify(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    // Nor in the middle of one: after its dots a token may have what looks like a header again.
    if text.before(start).is_some_and(|byte| is_base64url(byte) || byte == b'.') {
        return Ok(None);
    }
    let header_end = text.run(start, HEADER, is_base64url)?;
    if text.at(header_end)? != Some(b'.') || !names_algorithm(text.slice(start..header_end)) {
        return Ok(None);
    }
    let mut end = header_end;
    let mut segments = 1_usize;
    // Three when signed, five when encrypted.
    while segments < 5 && text.at(end)? == Some(b'.') {
        let from = end.saturating_add(1);
        let to = text.run(from, SEGMENT, is_base64url)?;
        // An unsigned one ends in a dot; the key of an encrypted one may be empty.
        let empty_payload = to == from && segments == 1 && text.at(to)? != Some(b'.');
        let dot_of_a_sentence = to == from && segments >= 3 && text.at(to)? != Some(b'.');
        if empty_payload || dot_of_a_sentence {
            break;
        }
        end = to;
        segments = segments.saturating_add(1);
    }
    Ok((segments >= 3).then(|| Match::new(start..end, 95)))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Whether a header is a JSON object with the member `alg`.
fn names_algorithm(header: &[u8]) -> bool {
    let mut json = [0; HEADER];
    let mut length = 0_usize;
    for four in header.chunks(4) {
        let bits = four.iter().fold(0_u32, |bits, byte| bits << 6 | value(*byte));
        // Two, three or four characters are one, two or three bytes.
        let bytes = (bits << (4_usize.saturating_sub(four.len())).saturating_mul(6)).to_be_bytes();
        for byte in bytes.iter().skip(1).take(four.len().saturating_sub(1)) {
            if let Some(place) = json.get_mut(length) {
                *place = *byte;
            }
            length = length.saturating_add(1);
        }
    }
    let json = json.get(..length).unwrap_or_default().trim_ascii();
    json.starts_with(b"{") && json.ends_with(b"}") && json.windows(5).any(|name| name == b"\"alg\"")
}

fn value(byte: u8) -> u32 {
    let (base, first) = match byte {
        b'A'..=b'Z' => (0, b'A'),
        b'a'..=b'z' => (26, b'a'),
        b'0'..=b'9' => (52, b'0'),
        b'-' => return 62,
        _ => return 63,
    };
    u32::from(byte.saturating_sub(first)).saturating_add(base)
}
