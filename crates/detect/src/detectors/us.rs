//! US numbers: social security (SSN), individual taxpayer (ITIN) and employer identification (EIN).
//!
//! None has a check digit, so what counts is the form, the ranges that were ever given out, and the context: nine bare
//! digits are found only where a name or the words before them say what they are.

use super::Detector;
use crate::context::{Context, NUMBERS};
use crate::shape::Shape;
use crate::text::{Cut, Match, Text, Verdict, is_word};

pub(super) const SSN: Detector = Detector {
    name: "us.ssn",
    description: "US social security number; nine bare digits only where the context says so",
    confidence: (25, 99),
    rank: 60,
    shapes: &[Shape::ThreeTwoFour, Shape::NineDigits],
    literals: &[],
    context: Context {
        raise: &[
            "social",
            "socialsecurity",
            "socialsecuritynumber",
            "socsec",
            "ssn",
            "ssns",
            "taxid",
            "taxpayer",
            "tin",
        ],
        lower: NUMBERS,
    },
    named: None,
    verify: |text, start| Verdict::of(start, verify(text, start, ssn)),
};

pub(super) const ITIN: Detector = Detector {
    name: "us.itin",
    description: "US individual taxpayer identification number",
    confidence: (25, 99),
    rank: 59,
    shapes: &[Shape::ThreeTwoFour, Shape::NineDigits],
    literals: &[],
    context: Context { raise: &["itin", "ssn", "taxid", "taxpayer", "tin"], lower: NUMBERS },
    named: None,
    verify: |text, start| Verdict::of(start, verify(text, start, itin)),
};

pub(super) const EIN: Detector = Detector {
    name: "us.ein",
    description: "US employer identification number, where the context says so",
    confidence: (40, 75),
    rank: 58,
    shapes: &[Shape::TwoSeven, Shape::NineDigits],
    literals: &[],
    context: Context {
        raise: &["ein", "employer", "fein", "irs", "taxid", "taxpayer", "tin"],
        lower: NUMBERS,
    },
    named: None,
    verify: |text, start| Verdict::of(start, verify(text, start, ein)),
};

/// How the digits stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Bare,
    /// With hyphens; with spaces or dots.
    Hyphens,
    Loose,
}

fn verify(
    text: &Text<'_>,
    start: usize,
    confidence: fn([u8; 9], Form, bool) -> Option<u8>,
) -> Result<Option<Match>, Cut> {
    let mut digits = [0; 9];
    let mut at = start;
    let mut separators = [0_u8; 2];
    let mut places = [0_usize; 2];
    let mut count = 0_usize;
    for (index, place) in digits.iter_mut().enumerate() {
        let mut byte = text.at(at)?;
        if let Some(separator @ (b'-' | b' ' | b'.')) = byte
            && let (Some(kept), Some(where_)) = (separators.get_mut(count), places.get_mut(count))
        {
            (*kept, *where_) = (separator, index);
            count = count.saturating_add(1);
            at = at.saturating_add(1);
            byte = text.at(at)?;
        }
        let Some(digit @ b'0'..=b'9') = byte else { return Ok(None) };
        *place = digit & 0x0f;
        at = at.saturating_add(1);
    }
    let employer = match (places, count) {
        ([_, _], 0) => false,
        ([3, 5], 2) => false,
        ([2, _], 1) => true,
        _ => return Ok(None),
    };
    let form = match separators {
        [0, 0] => Form::Bare,
        [b'-', 0 | b'-'] => Form::Hyphens,
        [first, second] if first == second => Form::Loose,
        _ => return Ok(None),
    };
    // A part of a longer row of digits: of a card or phone number, of a date.
    let joins = |byte: Option<u8>| matches!(byte, Some(b'-' | b'.'));
    if joins(text.before(start))
        && text.before(start.saturating_sub(1)).is_some_and(|byte| byte.is_ascii_digit())
    {
        return Ok(None);
    }
    match text.at(at)? {
        Some(byte) if is_word(byte) => return Ok(None),
        next if joins(next) && matches!(text.at(at.saturating_add(1))?, Some(b'0'..=b'9')) => {
            return Ok(None);
        }
        _ => {}
    }
    Ok(confidence(digits, form, employer).map(|confidence| Match::new(start..at, confidence)))
}

/// Areas 000, 666 and 900 to 999, group 00 and serial 0000 are never given out; some numbers were printed on samples.
fn ssn(digits: [u8; 9], form: Form, employer: bool) -> Option<u8> {
    let [a, b, c, d, e, rest @ ..] = digits;
    let never = matches!([a, b, c], [0, 0, 0] | [6, 6, 6] | [9, ..]) || [d, e] == [0, 0] || rest == [0; 4];
    let sample = matches!(
        digits,
        [0, 7, 8, 0, 5, 1, 1, 2, 0]
            | [2, 1, 9, 0, 9, 9, 9, 9, 9]
            | [4, 5, 7, 5, 5, 5, 4, 6, 2]
            | [1, 2, 3, 4, 5, 6, 7, 8, 9]
    ) || digits.iter().all(|digit| *digit == a);
    (!employer && !never && !sample).then_some(match form {
        Form::Hyphens => 75,
        Form::Loose => 45,
        Form::Bare => 20,
    })
}

/// Area 900 to 999, and a group that ITINs are given out in.
fn itin(digits: [u8; 9], form: Form, employer: bool) -> Option<u8> {
    let [a, _, _, d, e, ..] = digits;
    let group = d.saturating_mul(10).saturating_add(e);
    let given = a == 9 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99);
    (!employer && given).then_some(match form {
        Form::Hyphens => 70,
        Form::Loose => 40,
        Form::Bare => 20,
    })
}

/// The prefix is that of a campus of the IRS, or of its internet service.
fn ein(digits: [u8; 9], form: Form, employer: bool) -> Option<u8> {
    let [a, b, ..] = digits;
    let prefix = a.saturating_mul(10).saturating_add(b);
    let known = matches!(prefix, 1..=6 | 10..=16 | 20..=27 | 30..=48 | 50..=68 | 71..=77 | 80..=88 | 90..=95 | 98 | 99);
    if !known {
        return None;
    }
    match form {
        Form::Hyphens if employer => Some(40),
        Form::Bare => Some(15),
        _ => None,
    }
}
