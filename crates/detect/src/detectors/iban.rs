//! International bank account numbers (ISO 13616): length and structure of the country, check digits (mod 97).

use super::Detector;
use crate::context::Context;
use crate::shape::Shape;
use crate::text::{Cut, Match, Text, Verdict};

pub(super) const IBAN: Detector = Detector {
    name: "payment.iban",
    description: "international bank account number: structure of its country and check digits",
    confidence: (70, 95),
    rank: 70,
    shapes: &[Shape::TwoLettersTwoDigits],
    literals: &[],
    context: Context::NONE,
    named: None,
    verify: |text, start| Verdict::of(start, verify(text, start)),
};

/// The longest IBAN.
const MOST: usize = 34;

/// The structure of the account number of a country, as in the registry of ISO 13616: so many `n` digits, `a` letters, `c` of
/// both.
const COUNTRIES: &[([u8; 2], &str)] = &[
    (*b"AD", "4n4n12c"),
    (*b"AE", "3n16n"),
    (*b"AL", "8n16c"),
    (*b"AT", "5n11n"),
    (*b"AZ", "4a20c"),
    (*b"BA", "3n3n8n2n"),
    (*b"BE", "3n7n2n"),
    (*b"BG", "4a4n2n8c"),
    (*b"BH", "4a14c"),
    (*b"BI", "5n5n11n2n"),
    (*b"BR", "8n5n10n1a1c"),
    (*b"BY", "4c4n16c"),
    (*b"CH", "5n12c"),
    (*b"CR", "4n14n"),
    (*b"CY", "3n5n16c"),
    (*b"CZ", "4n6n10n"),
    (*b"DE", "8n10n"),
    (*b"DJ", "5n5n11n2n"),
    (*b"DK", "4n9n1n"),
    (*b"DO", "4c20n"),
    (*b"EE", "2n2n11n1n"),
    (*b"EG", "4n4n17n"),
    (*b"ES", "4n4n1n1n10n"),
    (*b"FI", "3n11n"),
    (*b"FK", "2a12n"),
    (*b"FO", "4n9n1n"),
    (*b"FR", "5n5n11c2n"),
    (*b"GB", "4a6n8n"),
    (*b"GE", "2a16n"),
    (*b"GI", "4a15c"),
    (*b"GL", "4n9n1n"),
    (*b"GR", "3n4n16c"),
    (*b"GT", "4c20c"),
    (*b"HN", "4a20n"),
    (*b"HR", "7n10n"),
    (*b"HU", "3n4n1n15n1n"),
    (*b"IE", "4a6n8n"),
    (*b"IL", "3n3n13n"),
    (*b"IQ", "4a3n12n"),
    (*b"IS", "4n2n6n10n"),
    (*b"IT", "1a5n5n12c"),
    (*b"JO", "4a4n18c"),
    (*b"KW", "4a22c"),
    (*b"KZ", "3n13c"),
    (*b"LB", "4n20c"),
    (*b"LC", "4a24c"),
    (*b"LI", "5n12c"),
    (*b"LT", "5n11n"),
    (*b"LU", "3n13c"),
    (*b"LV", "4a13c"),
    (*b"LY", "3n3n15n"),
    (*b"MC", "5n5n11c2n"),
    (*b"MD", "2c18c"),
    (*b"ME", "3n13n2n"),
    (*b"MK", "3n10c2n"),
    (*b"MN", "4n12n"),
    (*b"MR", "5n5n11n2n"),
    (*b"MT", "4a5n18c"),
    (*b"MU", "4a2n2n12n3n3a"),
    (*b"NI", "4a20n"),
    (*b"NL", "4a10n"),
    (*b"NO", "4n6n1n"),
    (*b"OM", "3n16c"),
    (*b"PK", "4a16c"),
    (*b"PL", "8n16n"),
    (*b"PS", "4a21c"),
    (*b"PT", "4n4n11n2n"),
    (*b"QA", "4a21c"),
    (*b"RO", "4a16c"),
    (*b"RS", "3n13n2n"),
    (*b"RU", "9n5n15c"),
    (*b"SA", "2n18c"),
    (*b"SC", "4a2n2n16n3a"),
    (*b"SD", "2n12n"),
    (*b"SE", "3n16n1n"),
    (*b"SI", "5n8n2n"),
    (*b"SK", "4n6n10n"),
    (*b"SM", "1a5n5n12c"),
    (*b"SO", "4n3n12n"),
    (*b"ST", "4n4n11n2n"),
    (*b"SV", "4a20n"),
    (*b"TL", "3n14n2n"),
    (*b"TN", "2n3n13n2n"),
    (*b"TR", "5n1n16c"),
    (*b"UA", "6n19c"),
    (*b"VA", "3n15n"),
    (*b"VG", "4a16n"),
    (*b"XK", "4n10n2n"),
    (*b"YE", "4a4n18c"),
];

fn verify(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    let (Some(first), Some(second)) = (text.at(start)?, text.at(start.saturating_add(1))?) else {
        return Ok(None);
    };
    let lower = first.is_ascii_lowercase();
    if lower != second.is_ascii_lowercase() {
        return Ok(None);
    }
    let country = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
    let Ok(index) = COUNTRIES.binary_search_by_key(&country, |(code, _)| *code) else { return Ok(None) };
    let Some((_, structure)) = COUNTRIES.get(index) else { return Ok(None) };

    let mut number = [0_u8; MOST];
    let mut places = number.iter_mut();
    let mut at = start;
    let mut separator: Option<&[u8]> = None;
    let classes = [(2, b'a'), (2, b'n')].into_iter().chain(parts(structure));
    let classes = classes.flat_map(|(count, class)| std::iter::repeat_n(class, count));
    for (index, class) in classes.enumerate() {
        if index > 0 && index % 4 == 0 {
            let found = between(text, at)?;
            if index == 4 {
                separator = found;
            }
            if found != separator {
                return Ok(None);
            }
            at = at.saturating_add(found.map_or(0, <[u8]>::len));
        }
        let Some(byte) = text.at(at)? else { return Ok(None) };
        let fits = match class {
            b'n' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            _ => byte.is_ascii_alphanumeric(),
        };
        let Some(place) = places.next().filter(|_| fits) else { return Ok(None) };
        *place = byte.to_ascii_uppercase();
        at = at.saturating_add(1);
    }
    let rest = places.len();
    let number = number.get(..MOST.saturating_sub(rest)).unwrap_or_default();
    if text.at(at)?.is_some_and(|byte| byte.is_ascii_alphanumeric()) || !mod_97(number) {
        return Ok(None);
    }
    Ok(Some(Match::new(start..at, if lower { 70 } else { 95 })))
}

/// The parts of a structure: how many characters, of which class.
fn parts(structure: &str) -> impl Iterator<Item = (usize, u8)> {
    structure.split_inclusive(['a', 'c', 'n']).filter_map(|part| {
        let (class, count) = part.as_bytes().split_last()?;
        Some((str::from_utf8(count).ok()?.parse().ok()?, *class))
    })
}

/// What stands between two groups of four, if anything does.
fn between<'a>(text: &Text<'a>, at: usize) -> Result<Option<&'a [u8]>, Cut> {
    Ok(match text.at(at)? {
        Some(b' ' | b'-') => Some(text.slice(at..at.saturating_add(1))),
        Some(0xc2) if text.at(at.saturating_add(1))? == Some(0xa0) => {
            Some(text.slice(at..at.saturating_add(2)))
        }
        _ => None,
    })
}

/// The first four moved to the end, letters as 10 to 35, the number is 1 modulo 97 (ISO 7064).
fn mod_97(number: &[u8]) -> bool {
    let Some((head, body)) = number.split_at_checked(4) else { return false };
    let rest = body.iter().chain(head).fold(0_u32, |rest, byte| {
        let value = char::from(*byte).to_digit(36).unwrap_or(0);
        let shift = if value < 10 { 10 } else { 100 };
        rest.saturating_mul(shift).saturating_add(value) % 97
    });
    rest == 1
}

/// The codes of the countries.
#[cfg(test)]
pub(crate) fn countries() -> impl Iterator<Item = &'static [u8]> {
    COUNTRIES.iter().map(|(country, _)| country.as_slice())
}
