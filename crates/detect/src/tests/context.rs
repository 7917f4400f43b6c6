//! Names raise and lower the confidence.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{found, scan, scanner, sure};
use crate::Syntax;

const BARE: &str = "4539578763621486";

fn confidence(text: &str) -> u8 {
    found("payment.card", text).first().map_or(0, |(_, confidence)| *confidence)
}

#[test]
fn names_of_all_syntaxes_count() {
    assert_eq!(confidence(BARE), 60);
    for before in [
        "{\"card\":",
        "{\"card\": \"",
        "{\"card_number\" : \"",
        "{\"cardNumber\":\n  \"",
        "{\"CARD\":\"",
        "card=",
        "a=b&card=",
        "Card: ",
        "my card is ",
        "{'card':'",
        "<cardNumber>",
        "{\"cards\":[\"",
        "{\"cards\": [4111111111111111, ",
        "{\"cards\":[\"x\", \"",
        "{\\\"card\\\":\\\"",
        "x[card]=",
        "{\"note\":\"the card ",
        "pay=1; card=",
        "card-number: ",
        "{\"\\u0063ard\":\"",
    ] {
        assert_eq!(confidence(&format!("{before}{BARE}")), 95, "{before}");
    }
    for before in [
        "{\"order_id\":",
        "{\"timestamp\": ",
        "{\"traceId\":\"",
        "{\"uuid\":\"",
        "order=",
        "trace: ",
        "{\"sizes\":[1,2],\"hash\":\"",
    ] {
        assert!(confidence(&format!("{before}{BARE}")) < 30, "{before}");
    }
    // Of other values, of a part of a word, of both at once, too far away.
    for before in [
        "{\"card\":1,\"x\":\"",
        "{\"company\":\"",
        "{\"discard\":\"",
        "{\"card_order_id\":\"",
        "{\"card\":{\"x\":\"",
        "card\n",
        "{\"card\":[1],\"y\":[\"",
    ] {
        assert_eq!(confidence(&format!("{before}{BARE}")), 60, "{before}");
    }
    assert_eq!(confidence(&format!("{{\"card\":\"{}{BARE}", "x ".repeat(100))), 60);
}

#[test]
fn the_name_that_the_caller_knows_counts() {
    let scanner = scanner(&["us", "payment"]);
    let named = |key: &str, value: &str| {
        let mut findings = Vec::new();
        scanner.scan_value(value.as_bytes(), Some(key.as_bytes()), Syntax::Text, &mut findings);
        findings.first().map_or(0, |finding| finding.confidence)
    };
    assert_eq!(named("ssn", "536223456"), 55);
    assert_eq!(named("x-social-security", "536223456"), 55);
    assert_eq!(named("note", "536223456"), 0);
    assert_eq!(named("card", BARE), 95);
    assert!(named("x-trace-id", BARE) < 30);
    // What is in the value is nearer than its name.
    assert_eq!(named("note", "my ssn is 536223456"), 55);
}

#[test]
fn one_value_is_one_thing() {
    let all = super::everything();
    let kinds = |text: &str| {
        scan(&all, text.as_bytes(), Syntax::Text)
            .iter()
            .map(|finding| finding.kind.name())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds("{\"ssn\":\"536-22-3456\"}"), ["us.ssn"]);
    assert_eq!(kinds("{\"ein\":\"123456789\"}"), ["us.ein"]);
    assert_eq!(kinds("{\"itin\":\"912-70-1234\"}"), ["us.itin"]);
    assert_eq!(kinds("+1 (415) 555-2671"), ["contact.phone"]);
    assert_eq!(kinds("{\"token\":\"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\"}"), ["secrets.github"]);
    assert_eq!(kinds(";4111111111111111=25121010000012300000?"), ["payment.track"]);
    assert_eq!(sure("us", "ssn 536-22-3456"), Some("536-22-3456"));
}
