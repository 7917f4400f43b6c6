//! Secrets without a form of their own, found by their name: `password`, `client_secret`, `api_key`, `Authorization`.
//!
//! The name is found as a literal (or is given by the caller); what follows `:` or `=` is the value. A name that only mentions a
//! secret, such as `max_tokens` or `password_reset_url`, has none.

use std::sync::LazyLock;

use super::Detector;
use crate::context::{Context, Words};
use crate::literal::fold;
use crate::text::{Cut, Match, Text, Verdict};

pub(super) const GENERIC: Detector = Detector {
    name: "secrets.generic",
    description: "password, token or key under a name that says so",
    confidence: (40, 90),
    rank: 20,
    shapes: &[],
    literals: &[
        fold("passw"),
        fold("passphr"),
        fold("pwd"),
        fold("secret"),
        fold("token"),
        fold("_key"),
        fold("-key"),
        fold("apikey"),
        fold("sskey"),
        fold("tekey"),
        fold("authoriz"),
        fold("credential"),
    ],
    context: Context::NONE,
    named: Some(|name, text| whole(name, text, generic)),
    verify: |text, place| found(text, place, generic),
};

pub(super) const AWS_SECRET: Detector = Detector {
    name: "secrets.aws_secret",
    description: "AWS secret access key, under its name",
    confidence: (95, 95),
    rank: 85,
    shapes: &[],
    literals: &[fold("secret")],
    context: Context::NONE,
    named: Some(|name, text| whole(name, text, aws_secret)),
    verify: |text, place| found(text, place, aws_secret),
};

/// Names of what people choose, and of what machines draw.
const PASSWORDS: &[&str] =
    &["password", "passwd", "passwort", "pwd", "passphrase", "userpassword", "dbpassword"];
const TOKENS: &[&str] = &[
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "apitoken",
    "accesskey",
    "secretkey",
    "privatekey",
    "signingkey",
    "authorization",
    "credential",
    "credentials",
    "clientsecret",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "bearer",
];
/// Words that make a name one of something else.
const NOT: &[&str] = &[
    "cancel",
    "continuation",
    "count",
    "max",
    "min",
    "next",
    "pad",
    "page",
    "prev",
    "previous",
    "public",
    "stop",
    "sync",
    "type",
];

/// What is said of passwords: in forms, and where one is refused.
const SAID: &[&str] = &[
    "blank",
    "changed",
    "correct",
    "disabled",
    "empty",
    "enabled",
    "expired",
    "forgotten",
    "hashed",
    "hidden",
    "incorrect",
    "invalid",
    "mismatch",
    "missing",
    "optional",
    "password",
    "plain",
    "required",
    "reset",
    "secret",
    "short",
    "strong",
    "text",
    "unchanged",
    "unset",
    "updated",
    "valid",
    "weak",
    "wrong",
];

/// The most of a name on either side of its literal, of what is between a name and its value, and of a value; what goes on beyond
/// is cut off there.
const NAME: usize = 32;
const VALUE: usize = 4 * 1024;

/// How much of a value its judge looks at: there may be a name every few bytes, each with the same long value.
const SAMPLE: usize = 32;

/// How many backslashes are taken for those before a closing quote.
const MAX_BACKSLASHES: usize = 16;

/// What a value must be, given its name; as a confidence.
type Judge = fn(&Words, &[u8], Quoted) -> Option<u8>;

/// Whether a value is all that is in its quotes, or under its name; or perhaps the first word of a sentence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoted {
    Yes,
    No,
}

fn found(text: &Text<'_>, place: usize, judge: Judge) -> Verdict {
    let Some(key) = name(text, place) else { return Verdict::No };
    match value_start(text, key.end) {
        Ok(Some((start, quote))) => match after_scheme(text, start) {
            Ok(start) => Verdict::of(start, value(text, key, start, quote, judge)),
            Err(Cut) => Verdict::Cut(start),
        },
        // Its value begins after what there is to see.
        Ok(None) | Err(Cut) => Verdict::No,
    }
}

/// The whole name around the literal at `place`.
fn name(text: &Text<'_>, place: usize) -> Option<std::ops::Range<usize>> {
    let before = text.bytes.get(place.saturating_sub(NAME)..place)?;
    let after = text.slice(place..place.saturating_add(NAME));
    let start = place.checked_sub(before.iter().rev().take_while(|byte| is_name(**byte)).count())?;
    let end = place.checked_add(after.iter().take_while(|byte| is_name(**byte)).count())?;
    Some(start..end)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Where the value of the name that ends at `end` begins, and the quote that it is in.
fn value_start(text: &Text<'_>, end: usize) -> Result<Option<(usize, Option<u8>)>, Cut> {
    let quotes = |byte: u8| matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b']');
    let spaces = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let at = text.run(end, 8, quotes)?;
    let at = text.run(at, 8, spaces)?;
    let Some(b':' | b'=') = text.at(at)? else { return Ok(None) };
    let at = text.run(at, 3, |byte| matches!(byte, b':' | b'=' | b'>'))?;
    let at = text.run(at, 32, spaces)?;
    let at = text.run(at, 8, |byte| byte == b'\\')?;
    let quote = text.at(at)?.filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    let start = if quote.is_some() { at.saturating_add(1) } else { at };
    Ok(Some((start, quote)))
}

fn value(
    text: &Text<'_>,
    key: std::ops::Range<usize>,
    start: usize,
    quote: Option<u8>,
    judge: Judge,
) -> Result<Option<Match>, Cut> {
    let end = match quote {
        Some(quote) => text.run(start, VALUE, |byte| byte != quote && !matches!(byte, b'\n' | b'\r'))?,
        None => text.run_again(start, VALUE, |byte| {
            !matches!(
                byte,
                0..=b' ' | b'"' | b'\'' | b'`' | b',' | b';' | b'&' | b'<' | b'>' | b')' | b'}' | b']'
            )
        })?,
    };
    let quoted = if quote.is_some() { Quoted::Yes } else { Quoted::No };
    let value = text.slice(start..end);
    // JSON in a JSON string: a backslash before the closing quote.
    let escapes = value.iter().rev().take(MAX_BACKSLASHES).take_while(|byte| **byte == b'\\').count();
    let value = value.get(..value.len().saturating_sub(escapes)).unwrap_or_default();
    let name = Words::new(text.slice(key));
    let end = start.saturating_add(value.len());
    Ok(judge(&name, value, quoted).map(|confidence| Match::new(start..end, confidence)))
}

/// Judges a whole text by the name that the caller gave.
fn whole(name: &Words, text: &Text<'_>, judge: Judge) -> Option<Match> {
    let start = after_scheme(text, 0).ok()?;
    let value = text.bytes.get(start..)?;
    let confidence = judge(name, value, Quoted::Yes)?;
    Some(Match::new(start..text.bytes.len(), confidence))
}

/// Where credentials go on behind their scheme, which is no secret.
fn after_scheme(text: &Text<'_>, start: usize) -> Result<usize, Cut> {
    for scheme in [&b"Bearer "[..], b"Basic ", b"Token ", b"bearer ", b"basic ", b"token "] {
        if text.has(start, scheme)? {
            return Ok(start.saturating_add(scheme.len()));
        }
    }
    Ok(start)
}

fn generic(name: &Words, value: &[u8], quoted: Quoted) -> Option<u8> {
    let password = name.ends_with(PASSWORDS);
    if !password && !name.ends_with(TOKENS) || name.any(NOT) || is_placeholder(value) {
        return None;
    }
    if password {
        let sound = (4..=128).contains(&value.len()) && !value.iter().any(u8::is_ascii_whitespace);
        let word = value.iter().all(u8::is_ascii_alphabetic);
        let said = SAID.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
        return sound.then_some(match (word, quoted) {
            (false, _) => 70,
            (true, Quoted::Yes) if !said => 55,
            (true, _) => 40,
        });
    }
    let sample = sample(value);
    if value.len() < 12 || sample.iter().any(|byte| !byte.is_ascii_graphic()) {
        return None;
    }
    let entropy = entropy(sample);
    let mixed = sample.iter().any(u8::is_ascii_digit) && sample.iter().any(u8::is_ascii_alphabetic);
    match (mixed, entropy) {
        (true, 3.5..) if value.len() >= 20 => Some(90),
        (true, 3.0..) => Some(75),
        (false, 3.5..) => Some(45),
        _ => None,
    }
}

fn aws_secret(name: &Words, value: &[u8], _: Quoted) -> Option<u8> {
    let named = name.ends_with(&["secretaccesskey", "secretkey", "awssecret"]);
    let base64 = sample(value).iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    (named && value.len() == 40 && base64 && entropy(value) > 3.8).then_some(95)
}

/// Whether this stands where a secret would: a variable, a mask, a word for nothing.
fn is_placeholder(value: &[u8]) -> bool {
    let hidden = sample(value).iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-' | b'_'));
    let template = [&b"$"[..], b"{", b"<", b"[", b"%"].iter().any(|open| value.starts_with(open));
    let nothing = [&b"null"[..], b"none", b"nil", b"true", b"false", b"undefined", b"string", b"redacted"];
    hidden || template || nothing.iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn sample(value: &[u8]) -> &[u8] {
    value.get(..SAMPLE).unwrap_or(value)
}

/// Bits per byte (Shannon).
fn entropy(sample: &[u8]) -> f32 {
    let growth: &[f32; 2 * SAMPLE] = &GROWTH;
    let mut counts = [0_u8; 128];
    let mut bits = 0.0;
    for byte in sample {
        // What is not ASCII is no token.
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            bits += growth.get(usize::from(*count)).copied().unwrap_or_default();
            *count = count.saturating_add(1);
        }
    }
    let all = f32::from(u8::try_from(sample.len()).unwrap_or(u8::MAX));
    all.log2() - bits / all
}

/// By how much `n log2 n` grows from each `n` to the next.
static GROWTH: LazyLock<[f32; 2 * SAMPLE]> = LazyLock::new(|| {
    let product = |n: f32| if n > 0.0 { n * n.log2() } else { 0.0 };
    std::array::from_fn(|n| {
        let n = f32::from(u8::try_from(n).unwrap_or(u8::MAX));
        product(n + 1.0) - product(n)
    })
});
