//! Email addresses (RFC 5321), in the form that people have: no quoted local parts, no address literals.

use super::Detector;
use crate::context::Context;
use crate::shape::Shape;
use crate::text::{Cut, Match, Text, Verdict};

pub(super) const EMAIL: Detector = Detector {
    name: "contact.email",
    description: "email address",
    confidence: (90, 90),
    rank: 40,
    shapes: &[Shape::At],
    literals: &[],
    context: Context::NONE,
    named: None,
    verify,
};

/// The longest local part and domain (RFC 5321 section 4.5.3.1).
const LOCAL: usize = 64;
const DOMAIN: usize = 255;

fn verify(text: &Text<'_>, at: usize) -> Verdict {
    let Some(start) = local(text, at) else { return Verdict::No };
    Verdict::of(start, domain(text, start, at.saturating_add(1)))
}

/// Where the local part before the `@` begins.
fn local(text: &Text<'_>, at: usize) -> Option<usize> {
    let before = text.bytes.get(..at)?;
    let length =
        before.iter().rev().take(LOCAL.saturating_add(1)).take_while(|byte| is_local(**byte)).count();
    let run = before.get(at.checked_sub(length)?..)?;
    // Punctuation in front belongs to the text around it.
    let trimmed = run.iter().take_while(|byte| !byte.is_ascii_alphanumeric() && **byte != b'_').count();
    let local = run.get(trimmed..)?;
    let bad = local.is_empty()
        || local.len() > LOCAL
        || local.ends_with(b".")
        || local.windows(2).any(|pair| pair == b"..");
    if bad { None } else { at.checked_sub(local.len()) }
}

fn domain(text: &Text<'_>, start: usize, from: usize) -> Result<Option<Match>, Cut> {
    let run = text.run(from, DOMAIN.saturating_add(1), |byte| {
        byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.'
    })?;
    let whole = text.slice(from..run);
    let trimmed = whole.iter().rev().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
    let end = run.saturating_sub(trimmed);
    let domain = text.slice(from..end);
    let mut labels = domain.split(|byte| *byte == b'.');
    let last = labels.next_back().unwrap_or_default();
    let mut others = 0_usize;
    let sound = labels.all(|label| {
        others = others.saturating_add(1);
        is_label(label)
    });
    let good = domain.len() <= DOMAIN && others > 0 && sound && is_top_level(last);
    Ok(good.then(|| Match::new(start..end, 90)))
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

fn is_label(label: &[u8]) -> bool {
    (1..=63).contains(&label.len()) && !label.starts_with(b"-") && !label.ends_with(b"-")
}

/// Whether this can be a top-level domain. There are too many to list, and more each year; names of files are the ones to tell
/// apart (`logo@2x.png`).
fn is_top_level(label: &[u8]) -> bool {
    let file = FILES.iter().any(|extension| label.eq_ignore_ascii_case(extension.as_bytes()));
    let letters = label.iter().all(u8::is_ascii_alphabetic) || label.starts_with(b"xn--");
    (2..=24).contains(&label.len()) && letters && !file
}

/// Endings of files that are no top-level domains.
const FILES: &[&str] = &[
    "avif", "bmp", "conf", "css", "csv", "exe", "gif", "gz", "htm", "html", "ico", "ini", "jar", "java",
    "jpeg", "jpg", "js", "json", "jsx", "lock", "log", "map", "mjs", "pdf", "php", "png", "svg", "tar",
    "tgz", "tiff", "toml", "ts", "tsx", "ttf", "txt", "wasm", "webm", "webp", "woff", "xml", "yaml", "yml",
];
