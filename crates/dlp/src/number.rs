//! What is a string of a JSON document, and what is a number or another token.

use meshgate_detect::LOOKBEHIND;
use wide::u8x16;

/// Tells of a JSON document what is in strings, from its beginning on: for each value that is found, so all of a body is looked
/// at. It is done in blocks of 64 bytes, each a bit mask of its quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotes {
    /// Up to where it is known.
    at: usize,
    in_string: bool,
    /// A backslash is in front of what comes next.
    escaped: bool,
}

const BLOCK: usize = 64;

impl Quotes {
    /// Whether an offset is in a string. Offsets are asked for in ascending order.
    pub fn in_string(&mut self, text: &[u8], offset: usize) -> bool {
        let next = text.get(self.at..offset).unwrap_or_default();
        self.at = self.at.saturating_add(next.len());
        let (blocks, rest) = next.as_chunks::<BLOCK>();
        for block in blocks {
            self.block(block);
        }
        for byte in rest {
            self.byte(*byte);
        }
        self.in_string
    }

    /// The first bytes of the text have gone.
    pub fn shift(&mut self, gone: usize) {
        self.at = self.at.saturating_sub(gone);
    }

    fn byte(&mut self, byte: u8) {
        let escaped = std::mem::take(&mut self.escaped);
        match byte {
            b'\\' => self.escaped = !escaped,
            b'"' => self.in_string ^= !escaped,
            _ => {}
        }
    }

    fn block(&mut self, block: &[u8; BLOCK]) {
        let (lanes, _) = block.as_chunks::<16>();
        let all = |byte: u8| {
            let lanes = lanes.iter().rev();
            lanes.fold(0_u64, |mask, lane| {
                mask << 16 | u64::from(u8x16::new(*lane).simd_eq(u8x16::splat(byte)).to_bitmask())
            })
        };
        let mut escaped = u64::from(std::mem::take(&mut self.escaped));
        let mut backslashes = all(b'\\') & !escaped;
        while backslashes != 0 {
            // Of a row of them each second one is escaped, and what follows a row of an odd number.
            let start = backslashes.trailing_zeros();
            let length = (backslashes >> start).trailing_ones();
            let end = start.saturating_add(length);
            let odd = u64::from(length % 2);
            escaped |= odd.unbounded_shl(end);
            self.escaped = odd == 1 && end == u64::BITS;
            backslashes &= u64::MAX.unbounded_shl(end);
        }
        let quotes = all(b'"') & !escaped;
        self.in_string ^= quotes.count_ones() % 2 == 1;
    }
}

/// Whether these bytes can be a number, or a part of one.
pub fn is_number(value: &[u8]) -> bool {
    value.first().is_some_and(u8::is_ascii_digit) && value.iter().all(belongs_to_number)
}

/// Whether there is a quote that begins or ends a string.
pub fn has_quote(text: &[u8]) -> bool {
    memchr::memchr_iter(b'"', text).any(|at| text.get(..=at).is_some_and(ends_string))
}

/// Whether the digits at `start`, which are in no string, are where a JSON document can have a number or a part of one. Elsewhere
/// they are in a text that only looks like JSON: `[card: 4111...`.
///
/// Only the bytes nearby are looked at, so that it makes no difference in which parts a document comes.
pub fn may_be_number(window: &[u8], start: usize) -> bool {
    let before = window.get(..start).unwrap_or_default();
    let (_, near) = before.split_at_checked(before.len().saturating_sub(LOOKBEHIND)).unwrap_or_default();
    let near = near.strip_suffix(b"-").unwrap_or(near);
    if near.last().is_some_and(belongs_to_number) {
        return true;
    }
    let Some((last, rest)) = near.trim_ascii_end().split_last() else { return true };
    let rest = rest.trim_ascii_end();
    let ends_with = |last: &[u8]| rest.last().is_none_or(|byte| last.contains(byte));
    match last {
        b':' => ends_with(b"\"") || rest.ends_with(b"data"),
        // A number, a container, a string, or a literal.
        b',' => ends_with(b"0123456789}]\"") || rest.ends_with(b"e") || rest.ends_with(b"l"),
        // An array, a record separator, or the end of a byte order mark.
        b'[' | 0x1e | 0xbf => true,
        // Values that are not in an array follow each other in NDJSON, and then there is the end of a line in between.
        b'0'..=b'9' | b'}' | b']' | b'"' | b'e' | b'l' => near.ends_with(b"\n") || near.ends_with(b"\r"),
        _ => false,
    }
}

/// Whether a JSON document can have these bytes, without a quote, outside of its strings: numbers and literals, or parts of them,
/// with something between them.
pub fn may_be_tokens(text: &[u8]) -> bool {
    let between = |byte: &u8| matches!(byte, b'[' | b']' | b'{' | b'}' | b',' | b':');
    text.split(between).map(<[u8]>::trim_ascii).all(|token| {
        let literals = [&b"true"[..], b"false", b"null"];
        let is_literal = || literals.iter().any(|literal| memchr::memmem::find(literal, token).is_some());
        token.iter().all(belongs_to_number) || is_literal()
    })
}

/// Whether the bytes of a number go on beyond these: a sign, a fraction, an exponent.
pub fn is_whole_number(window: &[u8], range: &std::ops::Range<usize>) -> bool {
    let before = range.start.checked_sub(1).and_then(|at| window.get(at));
    !before.is_some_and(belongs_to_number) && !window.get(range.end).is_some_and(belongs_to_number)
}

/// Whether a number of JSON can have this byte.
pub fn belongs_to_number(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E')
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

    #[test]
    fn numbers_are_told_by_what_is_in_front_of_them() {
        let at = |text: &str| may_be_number(text.as_bytes(), text.find('4').unwrap());
        let far = " ".repeat(LOOKBEHIND);
        for number in [
            "4",
            "  4",
            "-4",
            "{\"a\":4",
            "{\"a\" : -4",
            "[4",
            "[\"a\", [ 4",
            "[[4",
            "[1, 4",
            "[\"x\",4",
            "[null,4",
            "[true , -4",
            "[{} , 4",
            "[[],\n\t4",
            "1.4",
            "1e-4",
            "1\n4",
            "{\"a\":1}\r-4",
            "null\n4",
            "\u{1e}4",
            "\u{feff}4",
            "data: 4",
            &format!("\"a\":{far}4"),
            &format!("\u{feff}{far}4"),
        ] {
            assert!(at(number), "{number}");
        }
        for text in ["card: 4", "[a: 4", "x4", "1 4", "[a] 4", "[a, 4", "(4", "\"a\" 4"] {
            assert!(!at(text), "{text}");
        }
    }

    #[test]
    fn tokens_are_told_from_text() {
        for tokens in ["1", "-4.1e+5", "411", "rue", "null", "1, 2", "[1,{", "e5,", " 1 ,\n", "], 4", ""] {
            assert!(may_be_tokens(tokens.as_bytes()), "{tokens}");
        }
        for text in ["4111 1111", "ada@example.org", "trustful", "true false", "[b]", "10:x", "(1)"] {
            assert!(!may_be_tokens(text.as_bytes()), "{text}");
        }
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
    fn it_makes_no_difference_how_many_backslashes_are_in_a_row() {
        for count in (0..5).chain(60..70).chain(126..130).chain(500..520) {
            for lead in 0..3 {
                let text = format!("{}\"{}\", 1", " ".repeat(lead), "\\".repeat(count));
                let mut quotes = Quotes::default();
                assert_eq!(quotes.in_string(text.as_bytes(), text.len()), count % 2 == 1, "{count} {lead}");
            }
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        #![allow(clippy::arithmetic_side_effects, reason = "test code")]
        use super::*;
        use proptest::prelude::*;

        /// As [`Quotes`], byte by byte.
        fn strings(text: &[u8]) -> Vec<bool> {
            let mut quotes = Quotes::default();
            let mut strings = vec![false];
            for byte in text {
                quotes.byte(*byte);
                strings.push(quotes.in_string);
            }
            strings
        }

        proptest! {
            #[test]
            fn blocks_tell_what_bytes_tell(text in r#"(["\\a1]|[\\]{1,70}|[a]{1,40}){0,40}"#, mut cuts: Vec<usize>) {
                let text = text.as_bytes();
                let expected = strings(text);
                cuts.iter_mut().for_each(|cut| *cut %= text.len() + 1);
                cuts.push(text.len());
                cuts.sort_unstable();
                let mut quotes = Quotes::default();
                for cut in cuts {
                    prop_assert_eq!(quotes.in_string(text, cut), expected[cut], "{}", cut);
                }
            }
        }
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
