//! Whether a value in a JSON text is in a string, from the bytes nearby.

use meshgate_detect::LOOKBEHIND;

use crate::kind::BOM;

/// Whether the digits at `start` may be a number of a JSON document, and not a part of a string.
///
/// A number is never said to be in a string, so what is put in its place can be made a number. The other way round the
/// bytes nearby can't always tell: in the string `"1, 2"`, the `2` looks like an item of an array. A number is valid in a
/// string, too; for all else there is [`Quotes`].
///
/// Only [`LOOKBEHIND`] bytes are looked at, so that it makes no difference in which parts a document comes.
pub fn may_be_number(window: &[u8], start: usize) -> bool {
    let Some((before, value)) = window.split_at_checked(start) else { return false };
    if !value.first().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    let (_, near) = before.split_at_checked(before.len().saturating_sub(LOOKBEHIND)).unwrap_or_default();
    let near = near.strip_prefix(BOM).unwrap_or(near);
    let near = near.strip_suffix(b"-").unwrap_or(near).trim_ascii_end();
    let Some((last, rest)) = near.split_last() else { return true };
    let rest = rest.trim_ascii_end();
    match last {
        b':' => rest.is_empty() || ends_string(rest),
        b'[' => rest.is_empty() || rest.ends_with(b":") || rest.ends_with(b"[") || rest.ends_with(b","),
        b',' => {
            let value = rest.last().is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'}' | b']'));
            let literal = [&b"true"[..], b"false", b"null"].iter().any(|literal| rest.ends_with(literal));
            rest.is_empty() || value || literal || ends_string(rest)
        }
        // Values that are not in an array follow each other in NDJSON, and then there is white space in between, a line
        // each.
        b'0'..=b'9' | b'}' | b']' => before.ends_with(b"\n") || before.ends_with(b"\n-"),
        b'"' => before.ends_with(b"\n") || before.ends_with(b"\n-"),
        _ => false,
    }
}

/// Tells of a JSON document what is in strings, exactly, from its beginning on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotes {
    /// Up to where it is known.
    at: usize,
    in_string: bool,
    escaped: bool,
}

impl Quotes {
    /// Whether an offset is in a string. Offsets are asked for in ascending order.
    pub fn in_string(&mut self, text: &[u8], offset: usize) -> bool {
        while let Some(rest) = text.get(self.at..offset).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.escaped) {
                self.at = self.at.saturating_add(1);
                continue;
            }
            let found = match self.in_string {
                true => memchr::memchr2(b'"', b'\\', rest),
                false => memchr::memchr(b'"', rest),
            };
            let Some(found) = found else {
                self.at = offset;
                break;
            };
            match rest.get(found) {
                Some(b'"') => self.in_string = !self.in_string,
                _ => self.escaped = true,
            }
            self.at = self.at.saturating_add(found).saturating_add(1);
        }
        self.in_string
    }

    /// The first bytes of the text have gone.
    pub fn shift(&mut self, gone: usize) {
        self.at = self.at.saturating_sub(gone);
    }
}

/// Whether these bytes can be a number, or a part of one.
pub fn is_number(value: &[u8]) -> bool {
    value.first().is_some_and(u8::is_ascii_digit)
        && value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'))
}

/// Whether there is a quote that begins or ends a string.
pub fn has_quote(text: &[u8]) -> bool {
    memchr::memchr_iter(b'"', text).any(|at| text.get(..=at).is_some_and(ends_string))
}

/// Whether the bytes of a number go on beyond these: a sign, a fraction, an exponent.
pub fn is_whole_number(window: &[u8], range: &std::ops::Range<usize>) -> bool {
    let belongs = |byte: Option<&u8>| {
        byte.is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'))
    };
    let before = range.start.checked_sub(1).and_then(|at| window.get(at));
    !belongs(before) && !belongs(window.get(range.end))
}

/// Whether a text ends with a quote that is not escaped.
fn ends_string(text: &[u8]) -> bool {
    text.strip_suffix(b"\"").is_some_and(|text| {
        let backslashes = text.iter().rev().take_while(|byte| **byte == b'\\').count();
        backslashes % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The value that is meant is the first 4.
    fn at(text: &str) -> bool {
        may_be_number(text.as_bytes(), text.find('4').unwrap())
    }

    #[test]
    fn numbers_are_told_by_what_is_in_front_of_them() {
        for number in [
            "4",
            "  4",
            "-4",
            "{\"a\":4",
            "{\"a\" : -4",
            "{\"a\\\\\":4",
            "[4",
            "{\"a\": [ 4",
            "[[4",
            "[1, 4",
            "[\"x\",4",
            "[null,4",
            "[{} , 4",
            "[[],\n\t4",
            "1\n4",
            "{\"a\":1}\n4",
            "\"a\"\n-4",
        ] {
            assert!(at(number), "{number}");
        }
        for text in [
            "\"4",
            "{\"a\":\"4",
            "\"pay 4",
            "\"card: 4",
            "\"say \\\"card\\\": 4",
            "\"[4",
            "\"a, 4",
            "\"a\\\", 4",
            "x4",
            "1 4",
            "\"a\":a4",
        ] {
            assert!(!at(text), "{text}");
        }
        assert!(!may_be_number(b"[x", 1));
        assert!(!may_be_number(b"[", 2));
        assert!(is_number(b"4.1e+5") && !is_number(b"-4") && !is_number(b"4,5") && !is_number(b""));
        assert!(has_quote(b"a\\\\\"") && !has_quote(b"a\\\"b"));
    }

    #[test]
    fn quotes_tell_what_is_in_strings() {
        let text = br#"{"a\"":[1,"\\",2]}"#;
        let mut quotes = Quotes::default();
        let asked: Vec<bool> = (0..text.len()).map(|at| quotes.in_string(text, at)).collect();
        let inside = |at: usize| asked.get(at).copied().unwrap_or(false);
        for (at, byte) in text.iter().enumerate() {
            if matches!(byte, b'a' | b'\\') {
                assert!(inside(at), "{at}");
            } else if !matches!(byte, b'"') {
                assert!(!inside(at), "{at}");
            }
        }
        let mut at_once = Quotes::default();
        assert!(!at_once.in_string(text, text.len()));
    }

    #[test]
    fn what_is_far_away_makes_no_difference() {
        let far = format!("\"text{}4", " ".repeat(LOOKBEHIND));
        let near = " ".repeat(LOOKBEHIND) + "4";
        assert_eq!(at(&far), at(&near));
    }

    #[test]
    fn a_number_is_whole_without_what_belongs_to_it() {
        for (text, whole) in
            [("[4]", true), ("[4", true), ("4", true), ("[-4]", false), ("[4.5]", false), ("[4e1]", false)]
        {
            let start = text.find('4').unwrap();
            assert_eq!(is_whole_number(text.as_bytes(), &(start..start + 1)), whole, "{text}");
        }
    }
}
