//! Patterns and dictionaries.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::scan;
use crate::{DictionaryOptions, Kind, PatternError, ScannerBuilder, Syntax};

fn matches<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
    let mut builder = ScannerBuilder::new();
    builder.regex(7, pattern).unwrap();
    let findings = scan(&builder.build(), text.as_bytes(), Syntax::Json);
    assert!(
        findings
            .iter()
            .all(|finding| (finding.id, finding.kind, finding.confidence) == (7, Kind::REGEX, 100))
    );
    findings.into_iter().map(|finding| &text[finding.range]).collect()
}

fn words<'a>(words: &[&str], options: DictionaryOptions, text: &'a str) -> Vec<&'a str> {
    let mut builder = ScannerBuilder::new();
    builder.dictionary(3, words, options).unwrap();
    let findings = scan(&builder.build(), text.as_bytes(), Syntax::Json);
    assert!(findings.iter().all(|finding| (finding.id, finding.kind) == (3, Kind::DICTIONARY)));
    findings.into_iter().map(|finding| &text[finding.range]).collect()
}

#[test]
fn patterns() {
    assert_eq!(
        matches(r"\bEMP-\d{6}\b", "EMP-123456,EMP-1234567 xEMP-123456 EMP-654321"),
        ["EMP-123456", "EMP-654321"]
    );
    assert_eq!(matches("(?i)project [a-z]{2,8}", "Project Apollo, PROJECT x"), ["Project Apollo"]);
    assert_eq!(matches("a{2}", "aaaaa"), ["aa", "aa"]);
    assert_eq!(matches("samwise|sam", "samwise sam"), ["samwise", "sam"]);
    assert_eq!(matches("sam|samwise", "samwise"), ["sam"]);
    assert_eq!(matches("a{3}b{0,5}c|b", "aaabbb"), ["b", "b", "b"]);
    assert_eq!(matches("(?m:^)x.{1,3}(?m:$)", "xab\nyx\nxc"), ["xab", "xc"]);
    assert_eq!(matches("é{1,2}", "éé"), ["éé"]);
    // Of the decoded text.
    assert_eq!(matches(r"X-\d{4}", r"\u0058-12\u00334"), [r"\u0058-12\u00334"]);
}

#[test]
fn patterns_that_are_refused() {
    let refused = |pattern: &str| ScannerBuilder::new().regex(0, pattern).unwrap_err();
    assert_eq!(refused("a+"), PatternError::Unbounded);
    assert_eq!(refused("a{3,}b"), PatternError::Unbounded);
    assert_eq!(refused("a*"), PatternError::Empty);
    assert_eq!(refused(""), PatternError::Empty);
    assert_eq!(refused("a{2000}"), PatternError::TooLong(2000));
    assert_eq!(refused("^a"), PatternError::Anchored);
    assert_eq!(refused("a$"), PatternError::Anchored);
    assert_eq!(refused("(?u:\\b)a"), PatternError::UnicodeBoundary);
    assert_eq!(refused("(.{0,9}a.{20}){9}"), PatternError::TooBig);
    let PatternError::Syntax(problem) = refused("a(b") else { panic!() };
    assert_eq!(problem, "unclosed group");
    assert!(refused("a+").to_string().contains("write a bound"));
}

#[test]
fn dictionaries() {
    let plain = DictionaryOptions::default();
    let folded = DictionaryOptions { ignore_case: true, ..plain };
    let whole = DictionaryOptions { whole_words: true, ..plain };
    assert_eq!(words(&["Apollo", "Zeus"], plain, "Apollo apollo Zeus2"), ["Apollo", "Zeus"]);
    assert_eq!(words(&["Apollo"], folded, "APOLLO apollo"), ["APOLLO", "apollo"]);
    assert_eq!(
        words(&["art", "art deco"], whole, "art, party, art deco, art decor"),
        ["art", "art deco", "art"]
    );
    assert_eq!(words(&["aa"], plain, "aaaaa"), ["aa", "aa"]);
    assert_eq!(words(&["Zürich"], plain, "in Z\\u00fcrich"), ["Z\\u00fcrich"]);
    let refused = |words: &[&str]| ScannerBuilder::new().dictionary(0, words, plain).unwrap_err();
    assert_eq!(refused(&[]), PatternError::NoWords);
    assert_eq!(refused(&["a", ""]), PatternError::Empty);
    assert_eq!(refused(&["a".repeat(2000).as_str()]), PatternError::TooLong(2000));
}

#[test]
fn they_stay_whatever_else_is_there() {
    let mut builder = ScannerBuilder::new();
    builder.kind(1, Kind::parse("payment.card").unwrap());
    builder.regex(2, "4111").unwrap();
    builder.regex(3, "41.{0,4}").unwrap();
    let findings = scan(&builder.build(), b"4111111111111111", Syntax::Text);
    assert_eq!(findings.iter().map(|finding| finding.id).collect::<Vec<_>>(), [2, 3, 1]);
}
