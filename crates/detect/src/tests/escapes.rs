//! Values that are written with escapes.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{everything, scan};
use crate::{Finding, LOOKBEHIND, Syntax, context_start};

fn one(text: &str, syntax: Syntax) -> Finding {
    let mut findings = scan(&everything(), text.as_bytes(), syntax);
    findings.retain(|finding| finding.confidence >= 50);
    assert_eq!(findings.len(), 1, "{text} {findings:?}");
    findings.remove(0)
}

/// Every character as an escape.
fn escaped(value: &str) -> String {
    value.chars().map(|char| format!("\\u{:04x}", u32::from(char))).collect()
}

fn percent(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn all_or_some_characters_may_be_escapes() {
    for value in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "536-22-3456",
        "john@example.com",
        "DE89370400440532013000",
    ] {
        for (written, syntax) in [
            (escaped(value), Syntax::Json),
            (format!("{}{}", &value[..5], escaped(&value[5..])), Syntax::Json),
            (format!("{}{}", escaped(&value[..5]), &value[5..]), Syntax::Json),
            (percent(value), Syntax::Form),
            (percent(value), Syntax::Url),
            (percent(value), Syntax::Cookie),
            (format!("{}{}", &value[..5], percent(&value[5..])), Syntax::Form),
        ] {
            for around in [["", ""], ["x ", " x"], ["\"", "\""]] {
                let text = around.join(&written);
                let finding = one(&text, syntax);
                assert_eq!(&text[finding.range.clone()], written);
                assert!(finding.escaped);
                let decoded: Vec<u8> = finding.chars(text.as_bytes(), syntax).map(|(byte, _)| byte).collect();
                assert_eq!(String::from_utf8(decoded).unwrap(), value);
                // One after the other, without a gap.
                let end =
                    finding.chars(text.as_bytes(), syntax).fold(finding.range.start, |end, (_, range)| {
                        assert_eq!(range.start, end);
                        range.end
                    });
                assert_eq!(end, finding.range.end);
            }
        }
    }
}

#[test]
fn what_is_in_front_may_be_an_escape() {
    for (text, syntax) in [
        ("card\\n4111111111111111\\t", Syntax::Json),
        ("\\u00344111111111111111\\\"x\\\"", Syntax::Json),
        ("\\\\4111111111111111", Syntax::Json),
        ("a%3D4111111111111111%26b", Syntax::Form),
        ("card+4111111111111111+and", Syntax::Form),
        ("/c%2F4111111111111111", Syntax::Url),
    ] {
        let all = scan(&everything(), text.as_bytes(), syntax);
        // The second is a digit too many.
        assert_eq!(all.len(), usize::from(!text.starts_with("\\u0034")), "{text}");
    }
    let plus = "card=4111+1111+1111+1111";
    let finding = one(plus, Syntax::Form);
    assert_eq!((&plus[finding.range.clone()], finding.escaped), ("4111+1111+1111+1111", true));
}

#[test]
fn an_escaped_backslash_escapes_nothing() {
    // Four backslashes are two, and then it is `u0034`, not `4`.
    for text in ["\\\\u0034111111111111111", "\\\\\\\\u0034111111111111111"] {
        assert_eq!(scan(&everything(), text.as_bytes(), Syntax::Json), [], "{text}");
    }
    assert!(one("\\\\\\u0034111111111111111", Syntax::Json).escaped);
    // Nor has plain text any.
    assert_eq!(scan(&everything(), escaped("4111111111111111").as_bytes(), Syntax::Text), []);
    assert_eq!(scan(&everything(), percent("4111111111111111").as_bytes(), Syntax::Json), []);
}

#[test]
fn it_makes_no_difference_how_many_backslashes_are_in_a_row() {
    let scanner = everything();
    for count in (0..4).chain(62..68).chain(LOOKBEHIND - 3..LOOKBEHIND + 3).chain(20_000..20_003) {
        // Of an even number all are escaped, and the next one is not.
        let text = format!("[\"{}\\u0034111111111111111\"]", "\\".repeat(count));
        let expected = usize::from(count % 2 == 0);
        let whole = scan(&scanner, text.as_bytes(), Syntax::Json);
        assert_eq!(whole.len(), expected, "{count}");
        // Cut anywhere in the row.
        for decided in [1, 2, 3, 4, LOOKBEHIND, LOOKBEHIND + 1, LOOKBEHIND + 2, LOOKBEHIND + 3, count] {
            let decided = decided.min(count);
            let start = context_start(text.as_bytes(), decided);
            let mut findings = Vec::new();
            scanner.scan(&text.as_bytes()[start..], decided - start, true, Syntax::Json, &mut findings);
            assert_eq!(findings.len(), expected, "{count} {decided}");
            assert!(
                findings.iter().all(|finding| finding.range.start + start == count + 2),
                "{count} {decided}"
            );
        }
    }
}

#[test]
fn a_whole_value_without_escapes_is_not_escaped() {
    let text = "\\u0041 4111111111111111 \\n";
    let finding = one(text, Syntax::Json);
    assert_eq!((&text[finding.range.clone()], finding.escaped), ("4111111111111111", false));
    let chars: Vec<_> = finding.chars(text.as_bytes(), Syntax::Json).map(|(_, range)| range).collect();
    assert_eq!((chars.len(), chars[0].clone(), chars[15].clone()), (16, 7..8, 22..23));
}

#[test]
fn characters_of_several_bytes_keep_their_place() {
    let text = "4111\\u00a01111\\u00a01111\\u00a01111";
    let finding = one(text, Syntax::Json);
    assert_eq!(finding.range, 0..text.len());
    let space: Vec<_> = finding.chars(text.as_bytes(), Syntax::Json).skip(4).take(2).collect();
    assert_eq!(space, [(0xc2, 4..10), (0xa0, 4..10)]);
    assert_eq!(one("\"\\ud83d\\ude00 john@example.com\"", Syntax::Json).range, 14..30);
}
