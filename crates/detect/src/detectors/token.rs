//! Tokens of vendors that begin with a prefix of their own: AWS, Google, GitHub, npm, Slack, Stripe.

use super::Detector;
use crate::context::Context;
use crate::literal::{Literal, exact};
use crate::text::{Cut, Match, Text, Verdict, is_word};

pub(super) const AWS: Detector = tokens(
    "secrets.aws",
    "AWS access key id; the secret key is found by its name",
    (45, 95),
    &[exact("AKIA"), exact("ASIA"), exact("ABIA"), exact("ACCA")],
    |text, start| Verdict::of(start, aws(text, start)),
);

pub(super) const GCP: Detector = tokens(
    "secrets.gcp",
    "Google API key, OAuth client secret or access token",
    (95, 95),
    &[exact("AIza"), exact("GOCSPX-"), exact("ya29.")],
    |text, start| Verdict::of(start, gcp(text, start)),
);

pub(super) const GITHUB: Detector = tokens(
    "secrets.github",
    "GitHub token whose checksum is right, or fine-grained token",
    (40, 99),
    &[exact("ghp_"), exact("gho_"), exact("ghu_"), exact("ghs_"), exact("ghr_"), exact("github_pat_")],
    |text, start| Verdict::of(start, github(text, start)),
);

pub(super) const NPM: Detector = tokens(
    "secrets.npm",
    "npm access token whose checksum is right",
    (40, 99),
    &[exact("npm_")],
    |text, start| Verdict::of(start, checked(text, start)),
);

pub(super) const SLACK: Detector = tokens(
    "secrets.slack",
    "Slack token or webhook URL",
    (95, 95),
    &[
        exact("xoxa-"),
        exact("xoxb-"),
        exact("xoxe"),
        exact("xoxo-"),
        exact("xoxp-"),
        exact("xoxr-"),
        exact("xoxs-"),
        exact("xapp-"),
        exact("hooks.slack.com/services/"),
    ],
    |text, start| Verdict::of(start, slack(text, start)),
);

pub(super) const STRIPE: Detector = tokens(
    "secrets.stripe",
    "Stripe secret or restricted key, or webhook secret; keys of the test mode with less confidence",
    (60, 95),
    &[exact("sk_live_"), exact("rk_live_"), exact("sk_test_"), exact("rk_test_"), exact("whsec_")],
    |text, start| Verdict::of(start, stripe(text, start)),
);

/// A detector of tokens that begin with one of these prefixes, which say enough without a name.
const fn tokens(
    name: &'static str,
    description: &'static str,
    confidence: (u8, u8),
    literals: &'static [Literal],
    verify: fn(&Text<'_>, usize) -> Verdict,
) -> Detector {
    Detector {
        name,
        description,
        confidence,
        rank: 90,
        shapes: &[],
        literals,
        context: Context::NONE,
        named: None,
        verify,
    }
}

/// The bytes that `class` accepts after the prefix of `skip` bytes, and where they end: at least and at most so many, and no
/// word goes on behind them.
fn body<'a>(
    text: &Text<'a>,
    start: usize,
    skip: usize,
    count: (usize, usize),
    class: impl Fn(u8) -> bool,
) -> Result<Option<(&'a [u8], usize)>, Cut> {
    if text.before(start).is_some_and(is_word) {
        return Ok(None);
    }
    let (least, most) = count;
    let from = start.saturating_add(skip);
    let end = text.run(from, most, class)?;
    let body = text.slice(from..end);
    if body.len() < least || text.at(end)?.is_some_and(is_word) {
        return Ok(None);
    }
    Ok(Some((body, end)))
}

fn aws(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    let found = body(text, start, 4, (16, 16), |byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9'))?;
    Ok(found.map(|(body, end)| {
        // Ids are base32; the one that the manuals show is not.
        let plain =
            !body.ends_with(b"EXAMPLE") && body.iter().all(|byte| !matches!(byte, b'0' | b'1' | b'8' | b'9'));
        Match::new(start..end, if plain { 95 } else { 45 })
    }))
}

fn gcp(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    let is_token = |byte| is_word(byte) || byte == b'-';
    let found = if text.has(start, b"AIza")? {
        body(text, start, 4, (35, 35), is_token)?
    } else if text.has(start, b"GOCSPX-")? {
        body(text, start, 7, (28, 28), is_token)?
    } else {
        body(text, start, 5, (40, 1024), is_token)?
    };
    Ok(found.filter(|(body, _)| varied(body)).map(|(_, end)| Match::new(start..end, 95)))
}

fn github(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    if !text.has(start, b"github_pat_")? {
        return checked(text, start);
    }
    let found = body(text, start, 11, (82, 82), is_word)?;
    Ok(found
        .filter(|(body, _)| varied(body) && body.iter().position(|byte| *byte == b'_') == Some(22))
        .map(|(_, end)| Match::new(start..end, 95)))
}

/// A prefix of four, thirty random characters, and their CRC-32 in base 62, in six.
fn checked(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    let found = body(text, start, 4, (36, 36), |byte| byte.is_ascii_alphanumeric())?;
    Ok(found.filter(|(body, _)| varied(body)).and_then(|(body, end)| {
        let (random, check) = body.split_at_checked(30)?;
        let right = base62(crc32(random)) == *check;
        Some(Match::new(start..end, if right { 99 } else { 40 }))
    }))
}

fn slack(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if text.has(start, b"hooks.")? {
        let skip = b"hooks.slack.com/services/".len();
        let found = body(text, start, skip, (20, 128), |byte| byte.is_ascii_alphanumeric() || byte == b'/')?;
        return Ok(found
            .filter(|(body, _)| {
                body.starts_with(b"T") && body.iter().filter(|byte| **byte == b'/').count() == 2
            })
            .map(|(_, end)| Match::new(start..end, 95)));
    }
    let skip = if text.has(start, b"xapp-")? {
        5
    } else {
        match (text.at(start.saturating_add(3))?, text.at(start.saturating_add(4))?) {
            (Some(b'a' | b'b' | b'c' | b'd' | b'e' | b'o' | b'p' | b'r' | b's'), Some(b'-')) => 5,
            _ => return Ok(None),
        }
    };
    // Nor in the middle of one: its hyphens would make every `xoxb-` in it the beginning of another.
    if text.before(start) == Some(b'-') {
        return Ok(None);
    }
    let found = body(text, start, skip, (16, 512), is_token)?;
    Ok(found.filter(|(body, _)| varied(body)).map(|(_, end)| Match::new(start..end, 95)))
}

fn stripe(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    if text.has(start, b"whsec_")? {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        let found = body(text, start, 6, (24, 128), is_token)?;
        return Ok(found.filter(|(body, _)| varied(body)).map(|(_, end)| Match::new(start..end, 95)));
    }
    let live = text.has(start.saturating_add(3), b"live")?;
    let found = body(text, start, 8, (16, 247), |byte| byte.is_ascii_alphanumeric())?;
    let confidence = if live { 95 } else { 60 };
    Ok(found.filter(|(body, _)| varied(body)).map(|(_, end)| Match::new(start..end, confidence)))
}

/// Whether this can be random: a digit, and more than a few different characters. `xxxxxxxx` and `YOUR-KEY-HERE` cannot.
fn varied(body: &[u8]) -> bool {
    let seen = body.iter().fold(0_u128, |seen, byte| seen | 1_u128.unbounded_shl(u32::from(*byte)));
    seen.count_ones() >= 8 && body.iter().any(u8::is_ascii_digit)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

fn base62(mut value: u32) -> [u8; 6] {
    let mut digits = [b'0'; 6];
    for place in digits.iter_mut().rev() {
        let digit = u8::try_from(value % 62).unwrap_or_default();
        *place = match digit {
            0..=9 => b'0'.saturating_add(digit),
            10..=35 => b'A'.saturating_add(digit.saturating_sub(10)),
            _ => b'a'.saturating_add(digit.saturating_sub(36)),
        };
        value /= 62;
    }
    digits
}
