//! Masking: a value of the same length that does not tell what it was.

use std::ops::Range;

use meshgate_detect::{Finding, Syntax};

/// How values are masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// How many characters at the start stay.
    pub keep_first: usize,
    /// How many characters at the end stay.
    pub keep_last: usize,
    /// What stands for the others: a character that needs no escape anywhere.
    pub character: u8,
}

/// One character of a value.
struct Unit {
    /// Where it is in the window.
    raw: Range<usize>,
    /// Its first byte, decoded.
    lead: u8,
    /// Whether it is one that is hidden, and not punctuation that stays.
    counts: bool,
}

impl Mask {
    /// What a finding in `window` becomes: as many bytes as it has. `keep_punctuation`: what is neither a letter nor a digit
    /// stays, and is not counted.
    ///
    /// Escapes stay escapes, one for each character.
    pub fn apply(&self, window: &[u8], syntax: Syntax, finding: &Finding, keep_punctuation: bool) -> Vec<u8> {
        let units = units(window, syntax, finding, keep_punctuation);
        let count = units.iter().filter(|unit| unit.counts).count();
        let (mut first, mut last) = (self.keep_first, self.keep_last);
        if first.saturating_add(last) >= count {
            (first, last) = (0, 0);
        }
        let shown_from = count.saturating_sub(last);
        let mut masked = Vec::with_capacity(finding.range.len());
        let mut place = 0_usize;
        for unit in units {
            let raw = window.get(unit.raw).unwrap_or_default();
            if !unit.counts {
                masked.extend(raw);
                continue;
            }
            if place < first || place >= shown_from {
                masked.extend(raw);
            } else {
                self.write(raw, syntax, &mut masked);
            }
            place = place.saturating_add(1);
        }
        masked
    }

    /// What stands for one character.
    fn write(&self, raw: &[u8], syntax: Syntax, masked: &mut Vec<u8>) {
        let character = self.character;
        match (syntax, raw) {
            (Syntax::Json, [b'\\', b'u', ..]) => masked.extend(format!("\\u{character:04x}").bytes()),
            (Syntax::Form | Syntax::Url | Syntax::Cookie, [b'%', ..]) => {
                // Each byte of a character is an escape.
                raw.chunks(3).for_each(|_| masked.extend(format!("%{character:02X}").bytes()));
            }
            _ => masked.extend(std::iter::repeat_n(character, raw.len())),
        }
    }
}

/// What a number of a JSON document becomes: the digits that would be hidden are nines, so that it is still a number.
/// A value that has its first digit is as valid as before, and one that begins with a nine is too.
pub fn digits(number: &[u8], mask: Option<&Mask>) -> Vec<u8> {
    let count = number.iter().filter(|byte| byte.is_ascii_digit()).count();
    let (mut first, mut last) = mask.map_or((0, 0), |mask| (mask.keep_first, mask.keep_last));
    if first.saturating_add(last) >= count {
        (first, last) = (0, 0);
    }
    let shown_from = count.saturating_sub(last);
    let mut place = 0_usize;
    let one = |byte: &u8| {
        if !byte.is_ascii_digit() {
            return *byte;
        }
        let shown = place < first || place >= shown_from;
        place = place.saturating_add(1);
        if shown { *byte } else { b'9' }
    };
    number.iter().map(one).collect()
}

/// What a part of a JSON document becomes that is not in one string. `in_string`: it begins in one. Letters and digits in
/// strings are hidden behind a character; digits outside become nines, and so do letters that no literal and no number has.
pub fn tokens(text: &[u8], mut in_string: bool, character: u8) -> Vec<u8> {
    let mut escape = 0_u8;
    let one = |byte: &u8| {
        match (escape, byte) {
            (1, b'u') => {
                escape = 5;
                return *byte;
            }
            (1, _) => {
                escape = 0;
                return *byte;
            }
            // The digits of an escape: those of the character that hides the others.
            (2..=5, _) => {
                escape = escape.saturating_sub(1);
                if escape == 1 {
                    escape = 0;
                }
                return b'9';
            }
            (_, b'\\') if in_string => escape = 1,
            (_, b'"') => in_string = !in_string,
            _ => {}
        }
        let hides = if in_string {
            byte.is_ascii_alphanumeric() || *byte >= 0x80
        } else {
            byte.is_ascii_digit() || (byte.is_ascii_alphabetic() && !b"truefalsnE".contains(byte))
        };
        match (hides, in_string) {
            (true, true) => character,
            (true, false) => b'9',
            (false, _) => *byte,
        }
    };
    text.iter().map(one).collect()
}

/// The characters of a finding.
fn units(window: &[u8], syntax: Syntax, finding: &Finding, keep_punctuation: bool) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::with_capacity(finding.range.len());
    for (byte, raw) in finding.chars(window, syntax) {
        match units.last_mut() {
            // The rest of a character of several bytes: of a no-break space too, which is punctuation.
            Some(unit) if matches!(byte, 0x80..0xc0) => {
                unit.counts &= !(keep_punctuation && unit.lead == 0xc2 && byte == 0xa0);
                unit.raw.end = unit.raw.end.max(raw.end);
            }
            _ => {
                let counts = !keep_punctuation || byte.is_ascii_alphanumeric() || byte >= 0x80;
                units.push(Unit { raw, lead: byte, counts });
            }
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshgate_detect::Kind;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn masked(text: &str, syntax: Syntax, keep: (usize, usize), keep_punctuation: bool) -> String {
        let mask = Mask { keep_first: keep.0, keep_last: keep.1, character: b'*' };
        let finding = Finding {
            id: 0,
            kind: Kind::REGEX,
            range: 0..text.len(),
            confidence: 100,
            escaped: false,
            sample: false,
        };
        let masked = mask.apply(text.as_bytes(), syntax, &finding, keep_punctuation);
        assert_eq!(masked.len(), text.len(), "{text}");
        String::from_utf8(masked).unwrap()
    }

    #[test]
    fn characters_are_hidden_and_punctuation_stays() {
        use Syntax::{Form, Json, Text};
        for (text, syntax, keep, expected) in [
            ("4111-1111 1111.1111", Text, (0, 4), "****-**** ****.1111"),
            ("4111-1111-1111-1111", Text, (6, 4), "4111-11**-****-1111"),
            ("4111\\u00a01111\\u002d1111", Json, (0, 4), "****\\u00a0****\\u002d1111"),
            ("4111\\u002d\\u0031111", Json, (0, 3), "****\\u002d\\u002a111"),
            ("4111%2D%31111", Form, (0, 3), "****%2D%2A111"),
            ("4111+1111%C2%A0%31", Form, (0, 0), "****+****%C2%A0%2A"),
        ] {
            assert_eq!(masked(text, syntax, keep, true), expected, "{text}");
        }
        assert_eq!(masked("a.b@c.example", Text, (1, 0), true), "a.*@*.*******");
    }

    #[test]
    fn secrets_are_hidden_with_their_punctuation() {
        assert_eq!(masked("p-1/2 3", Syntax::Text, (0, 0), false), "*******");
        assert_eq!(masked("p-1/2 3", Syntax::Text, (2, 1), false), "p-****3");
        assert_eq!(masked("a\\n\\u00e9b", Syntax::Json, (0, 1), false), "***\\u002ab");
        assert_eq!(masked("a%C3%A9\\u00b", Syntax::Form, (0, 0), false), "*%2A%2A*****");
        assert_eq!(masked("\\u00e9\\u00e9", Syntax::Json, (1, 0), false), "\\u00e9\\u002a");
        // Two bytes, one character.
        assert_eq!(masked("\u{e9}\u{e9}", Syntax::Text, (0, 1), false), "**\u{e9}");
    }

    #[test]
    fn what_would_be_shown_whole_is_masked_whole() {
        assert_eq!(masked("1234", Syntax::Text, (0, 4), true), "****");
        assert_eq!(masked("1234", Syntax::Text, (2, 2), true), "****");
        assert_eq!(masked("1-2", Syntax::Text, (1, 0), true), "1-*");
        assert_eq!(digits(b"1234", Some(&Mask { keep_first: 0, keep_last: 4, character: b'*' })), b"9999");
    }

    #[test]
    fn what_is_not_in_one_string_keeps_its_tokens() {
        for (text, in_string, expected) in [
            (r#""a-b": "\u00e9\n", "c": -1.5e+3"#, false, r#""*-*": "\u9999\n", "*": -9.9e+9"#),
            (r#"b", "c\"d", 1"#, true, r#"*", "*\"*", 9"#),
            ("x: [true, null", false, "9: [true, null"),
        ] {
            assert_eq!(String::from_utf8(tokens(text.as_bytes(), in_string, b'*')).unwrap(), expected);
        }
    }

    #[test]
    fn numbers_become_numbers() {
        let mask = Mask { keep_first: 1, keep_last: 2, character: b'*' };
        assert_eq!(digits(b"-4.111e5", Some(&mask)), b"-4.991e5");
        assert_eq!(digits(b"-0.111e5", None), b"-9.999e9");
    }
}
