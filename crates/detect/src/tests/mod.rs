//! What is found, what is not, and that chunks make no difference.

#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "test code")]

#[cfg(not(target_arch = "wasm32"))]
mod chunks;
mod context;
mod custom;
mod escapes;
mod numbers;
mod people;
mod precision;
mod secrets;
mod selection;

use crate::{DEFAULT_CONFIDENCE, Finding, Kind, Scanner, ScannerBuilder, Syntax};

fn scanner(selectors: &[&str]) -> Scanner {
    let mut builder = ScannerBuilder::new();
    for selector in selectors {
        for kind in Kind::select(selector).unwrap() {
            builder.kind(0, kind);
        }
    }
    builder.build()
}

fn everything() -> Scanner {
    scanner(&Kind::packs().collect::<Vec<_>>())
}

fn scan(scanner: &Scanner, text: &[u8], syntax: Syntax) -> Vec<Finding> {
    let mut findings = Vec::new();
    assert_eq!(scanner.scan(text, 0, true, syntax, &mut findings), text.len());
    findings
}

/// What one kind finds in a text, with the confidence.
fn found<'a>(kind: &str, text: &'a str) -> Vec<(&'a str, u8)> {
    scan(&scanner(&[kind]), text.as_bytes(), Syntax::Json)
        .into_iter()
        .map(|finding| (&text[finding.range], finding.confidence))
        .collect()
}

/// The one thing that is found with enough confidence.
fn sure<'a>(kind: &str, text: &'a str) -> Option<&'a str> {
    let found = found(kind, text);
    let mut sure = found.iter().filter(|(_, confidence)| *confidence >= DEFAULT_CONFIDENCE);
    let first = sure.next().map(|(value, _)| *value);
    assert_eq!(sure.next(), None, "more than one in {text:?}");
    first
}
