//! IP addresses: IPv4 in four decimal parts, IPv6 in its text forms (RFC 4291 section 2.2).

use std::net::Ipv6Addr;

use super::Detector;
use crate::context::Context;
use crate::shape::Shape;
use crate::text::{Cut, Match, Text, Verdict, is_word};

pub(super) const IP: Detector = Detector {
    name: "network.ip",
    description: "IPv4 or IPv6 address; private and local ones with low confidence",
    confidence: (35, 99),
    rank: 35,
    shapes: &[Shape::Dotted, Shape::Colons],
    literals: &[],
    context: Context {
        raise: &["addr", "clientip", "forwarded", "host", "ip", "ipaddr", "ipaddress", "ips", "remoteaddr"],
        lower: &[
            "build", "chapter", "firmware", "oid", "release", "revision", "rv", "section", "semver", "v",
            "ver", "version", "versions",
        ],
    },
    named: None,
    verify: |text, place| match text.bytes.get(place) {
        Some(b'.') => v4(text, place),
        _ => v6(text, place),
    },
};

/// `dot` is the first one.
fn v4(text: &Text<'_>, dot: usize) -> Verdict {
    let before = text.bytes.get(..dot).unwrap_or_default();
    let digits = before.iter().rev().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    let start = dot.saturating_sub(digits);
    if text.before(start).is_some_and(|byte| is_word(byte) || byte == b'.') {
        return Verdict::No;
    }
    Verdict::of(start, quad(text, start))
}

fn quad(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    let mut parts = [0_u8; 4];
    let mut at = start;
    for (index, part) in parts.iter_mut().enumerate() {
        if index > 0 {
            if text.at(at)? != Some(b'.') {
                return Ok(None);
            }
            at = at.saturating_add(1);
        }
        let end = text.run(at, 4, |byte| byte.is_ascii_digit())?;
        let value = match text.slice(at..end) {
            [b'0', _, ..] => None,
            digits => str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        };
        let Some(value) = value else { return Ok(None) };
        (*part, at) = (value, end);
    }
    match text.at(at)? {
        Some(byte) if is_word(byte) => return Ok(None),
        Some(b'.') if matches!(text.at(at.saturating_add(1))?, Some(byte) if is_word(byte)) => {
            return Ok(None);
        }
        _ => {}
    }
    let confidence = match parts {
        [0, ..] | [255, ..] => return Ok(None),
        // Chrome/124.0.0.0, or a network.
        [.., 0] => 40,
        _ if is_product(text, start) => 40,
        [10 | 127, ..] | [192, 168, ..] | [172, 16..=31, ..] | [169, 254, ..] => 40,
        _ => 60,
    };
    Ok(Some(Match::new(start..at, confidence)))
}

/// Whether this is the version of a product (RFC 9110 section 10.1.5): `Chrome/124.0.6367.60`.
fn is_product(text: &Text<'_>, start: usize) -> bool {
    let slash = start.saturating_sub(1);
    text.before(start) == Some(b'/') && text.before(slash).is_some_and(is_word)
}

/// The longest text form: eight groups, the last two as IPv4.
const LONGEST: usize = 45;

/// `colon` is one that another follows soon, the first or a later one.
fn v6(text: &Text<'_>, colon: usize) -> Verdict {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
    let before = text.bytes.get(..colon).unwrap_or_default();
    let run = before.iter().rev().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let start = colon.saturating_sub(run);
    // Only from its first colon on is it looked at.
    if run > 4 || text.before(start).is_some_and(|byte| is_word(byte) || byte == b':' || byte == b'.') {
        return Verdict::No;
    }
    Verdict::of(start, groups(text, start, is_part))
}

fn groups(text: &Text<'_>, start: usize, is_part: impl Fn(u8) -> bool) -> Result<Option<Match>, Cut> {
    let run = text.run(start, LONGEST.saturating_add(1), |byte| is_part(byte) || byte == b'.')?;
    // A colon or dot at the end may be punctuation; `::` is not.
    let whole = text.slice(start..run);
    let whole = whole.strip_suffix(b".").unwrap_or(whole);
    let whole = match whole {
        [.., b':', b':'] => whole,
        [rest @ .., b':'] => rest,
        _ => whole,
    };
    let end = start.saturating_add(whole.len());
    if text.at(end)?.is_some_and(is_word) {
        return Ok(None);
    }
    let Some(address) = str::from_utf8(whole).ok().and_then(|text| text.parse::<Ipv6Addr>().ok()) else {
        return Ok(None);
    };
    let groups = whole.split(|byte| *byte == b':').filter(|group| !group.is_empty()).count();
    let digits = whole.iter().any(u8::is_ascii_digit);
    let confidence = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, _] => return Ok(None),
        // IPv4 in IPv6.
        [0, 0, 0, 0, 0, 0xffff, ..] => 75,
        [0xfe80..=0xfebf | 0xfc00..=0xfdff, ..] => 40,
        _ if groups < 3 || !digits => 40,
        _ => 75,
    };
    Ok(Some(Match::new(start..end, confidence)))
}
