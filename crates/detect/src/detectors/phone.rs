//! Phone numbers: international ones (E.164) and those of the North American Numbering Plan (NANP).

use super::Detector;
use crate::context::{Context, NUMBERS};
use crate::shape::Shape;
use crate::text::{Cut, Match, Text, Verdict, is_word};

pub(super) const PHONE: Detector = Detector {
    name: "contact.phone",
    description: "phone number: international with +, or North American; ten bare digits only where the context says so",
    confidence: (30, 99),
    rank: 30,
    shapes: &[Shape::Plus, Shape::ThreeThreeFour, Shape::AreaInParentheses, Shape::TenDigits],
    literals: &[],
    context: Context {
        raise: &[
            "call",
            "cell",
            "cellphone",
            "contact",
            "fax",
            "mobile",
            "mobilephone",
            "msisdn",
            "phone",
            "phonenumber",
            "phones",
            "sms",
            "tel",
            "telephone",
            "whatsapp",
        ],
        lower: NUMBERS,
    },
    named: None,
    verify: |text, place| {
        if text.bytes.get(place) == Some(&b'+') {
            return Verdict::of(place, e164(text, place));
        }
        let start = after_one(text, place);
        Verdict::of(start, nanp(text, start))
    },
};

/// A separator within a number.
fn separates(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'(' | b')')
}

/// `+`, a country code, and digits in groups: 8 to 15 digits in all (E.164 section 6).
fn e164(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    if text.before(start).is_some_and(is_word) {
        return Ok(None);
    }
    let mut digits = [0_u8; 15];
    let mut count = 0_usize;
    let mut at = start.saturating_add(1);
    // Digits and end up to the last whole group.
    let mut whole = (0_usize, at);
    let mut groups = 0_usize;
    loop {
        let group = at;
        while let Some(digit @ b'0'..=b'9') = text.at(at)? {
            match digits.get_mut(count) {
                Some(place) => *place = digit & 0x0f,
                // Too much for one number: the last group is something else, or all of it.
                None => return Ok(international(&digits, whole.0).then(|| Match::new(start..whole.1, 70))),
            }
            count = count.saturating_add(1);
            at = at.saturating_add(1);
        }
        if at == group || goes_on(text, at)? || !is_country(digits) {
            return Ok(None);
        }
        whole = (count, at);
        groups = groups.saturating_add(1);
        let complete = if digits.starts_with(&[1]) { count >= 11 } else { groups == 1 && count >= 8 };
        let Some(byte) = text.at(at)?.filter(|byte| separates(*byte) && !complete) else { break };
        let next = text.at(at.saturating_add(1))?;
        let two = matches!((byte, next), (b' ', Some(b'(')) | (b')', Some(b' ' | b'-')));
        let after = at.saturating_add(if two { 2 } else { 1 });
        if !matches!(text.at(after)?, Some(b'0'..=b'9')) {
            break;
        }
        at = after;
    }
    let confidence = if groups > 1 { 80 } else { 70 };
    Ok(international(&digits, whole.0).then(|| Match::new(start..whole.1, confidence)))
}

/// Whether the first `count` digits are a whole number.
fn international(digits: &[u8; 15], count: usize) -> bool {
    match digits {
        [1, number @ ..] => count == 11 && is_area(number.first_chunk()),
        _ => count >= 8,
    }
}

/// Whether a country code begins with the first two digits (list of ITU-T E.164).
fn is_country(digits: [u8; 15]) -> bool {
    !matches!(digits, [0, ..] | [2, 8, ..] | [8, 3 | 9, ..])
}

/// An area code and an exchange: neither begins with 0 or 1 or is a service code such as 911.
fn is_area(digits: Option<&[u8; 6]>) -> bool {
    match digits {
        Some([_, 1, 1, ..] | [.., 1, 1]) => false,
        Some([area, second, _, exchange, ..]) => *area > 1 && *second < 9 && *exchange > 1,
        None => false,
    }
}

/// Whether something goes on where a number ends; an extension (`x123`) may.
fn goes_on(text: &Text<'_>, end: usize) -> Result<bool, Cut> {
    Ok(match text.at(end)? {
        Some(b'x' | b'X') => !matches!(text.at(end.saturating_add(1))?, Some(b'0'..=b'9')),
        Some(byte) => is_word(byte),
        None => false,
    })
}

/// Where the number at `place` begins if there is a 1 in front of it: `1-415-555-2671`.
fn after_one(text: &Text<'_>, place: usize) -> usize {
    let before = text.bytes.get(..place).unwrap_or_default();
    match before {
        [rest @ .., b'1', b' ' | b'-' | b'.'] if !rest.last().copied().is_some_and(is_word) => rest.len(),
        _ => place,
    }
}

/// Three digits, three and four, perhaps with a 1 before them.
fn nanp(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    let mut digits = [0_u8; 11];
    let mut count = 0_usize;
    let mut groups = [0_usize; 4];
    let mut separators = [0_u8; 4];
    let mut group = 0_usize;
    let mut at = start;
    if text.at(at)? == Some(b'(') {
        at = at.saturating_add(1);
    }
    loop {
        match text.at(at)? {
            Some(digit @ b'0'..=b'9') => {
                let (Some(place), Some(size)) = (digits.get_mut(count), groups.get_mut(group)) else {
                    return Ok(None);
                };
                *place = digit & 0x0f;
                *size = size.saturating_add(1);
                count = count.saturating_add(1);
                at = at.saturating_add(1);
            }
            _ if count == 10 => break,
            Some(byte) if matches!(byte, b' ' | b'-' | b'.' | b')') => {
                let next = text.at(at.saturating_add(1))?;
                let skip = if byte == b')' && matches!(next, Some(b' ' | b'-')) { 2 } else { 1 };
                let after = at.saturating_add(skip);
                if !matches!(text.at(after)?, Some(b'0'..=b'9' | b'(')) {
                    break;
                }
                if let Some(kept) = separators.get_mut(group) {
                    *kept = byte;
                }
                group = group.saturating_add(1);
                at = if text.at(after)? == Some(b'(') { after.saturating_add(1) } else { after };
            }
            _ => break,
        }
    }
    let number = match (digits, count) {
        ([number @ .., _], 10) => number,
        ([1, number @ ..], 11) => number,
        _ => return Ok(None),
    };
    let base = match (groups, separators) {
        ([10 | 11, 0, 0, 0], _) => 20,
        ([3, 3, 4, 0], [b')', ..]) => 70,
        ([3, 3, 4, 0], [first, second, ..]) | ([1, 3, 3, 4], [_, first, second, _]) => {
            match (first, second) {
                (b')', b'-' | b' ' | b'.') => 70,
                (b'-', b'-') => 60,
                (b'.', b'.') => 50,
                (b' ', b' ') => 45,
                (b' ', b'-') => 45,
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    let joined = |byte: Option<u8>| matches!(byte, Some(b'-' | b'.'));
    let before = text.before(start);
    if before.is_some_and(is_word)
        || before == Some(b'+')
        || joined(before) && text.before(start.saturating_sub(1)).is_some_and(|byte| byte.is_ascii_digit())
    {
        return Ok(None);
    }
    if goes_on(text, at)? {
        return Ok(None);
    }
    if joined(text.at(at)?) && matches!(text.at(at.saturating_add(1))?, Some(b'0'..=b'9')) {
        return Ok(None);
    }
    Ok(is_area(number.first_chunk()).then(|| Match::new(start..at, base)))
}
