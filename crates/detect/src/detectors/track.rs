//! Magnetic stripes of cards: tracks 1 and 2 (ISO/IEC 7813), with all that is needed to copy the card.

use super::Detector;
use super::card::is_number;
use crate::context::Context;
use crate::shape::Shape;
use crate::text::{Cut, Match, Text, Verdict};

pub(super) const TRACK: Detector = Detector {
    name: "payment.track",
    description: "track 1 or 2 of a card's magnetic stripe",
    confidence: (98, 98),
    rank: 60,
    shapes: &[Shape::Track],
    literals: &[],
    context: Context::NONE,
    named: None,
    verify: |text, start| Verdict::of(start, verify(text, start)),
};

fn verify(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    let first = text.bytes.get(start) == Some(&b'%');
    let from = start.saturating_add(if first { 2 } else { 1 });
    let number_end = text.run(from, 20, |byte| byte.is_ascii_digit())?;
    let separator = if first { b'^' } else { b'=' };
    if text.at(number_end)? != Some(separator) || !is_number(text.slice(from..number_end)) {
        return Ok(None);
    }
    let mut at = number_end.saturating_add(1);
    if first {
        // The holder's name.
        at = text.run(at, 27, |byte| matches!(byte, b' '..=b'~') && byte != b'^')?;
        if text.at(at)? != Some(b'^') {
            return Ok(None);
        }
        at = at.saturating_add(1);
    }
    // Expiry and service code, and what the issuer adds.
    let digits = text.run(at, 7, |byte| byte.is_ascii_digit())?;
    if digits != at.saturating_add(7) {
        return Ok(None);
    }
    let end = text.run(digits, 80, |byte| byte.is_ascii_alphanumeric() || byte == b' ')?;
    let end = if text.at(end)? == Some(b'?') { end.saturating_add(1) } else { end };
    Ok(Some(Match::new(start..end, 98)))
}
