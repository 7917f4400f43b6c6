//! JSON Pointer (RFC 6901).

use super::error::PathProblem;
use super::{Element, Segment, Selector};

/// The segments of a pointer that is empty or begins with `/`; else where it is wrong, and what.
pub(super) fn parse(source: &str) -> Result<Vec<Segment>, (usize, PathProblem)> {
    let mut segments = Vec::new();
    let mut at = 0_usize;
    for token in source.split('/').skip(1) {
        at = at.saturating_add(1);
        let name = unescape(token).map_err(|within| (at.saturating_add(within), PathProblem::Tilde))?;
        let element = element(&name);
        segments.push(Segment::child(Selector::Token { name: name.into(), element }));
        at = at.saturating_add(token.len());
    }
    Ok(segments)
}

/// `~1` is `/` and `~0` is `~` (RFC 6901, section 4); any other `~` is an error, and its offset is given.
fn unescape(token: &str) -> Result<String, usize> {
    let mut name = String::with_capacity(token.len());
    let mut characters = token.char_indices();
    while let Some((at, character)) = characters.next() {
        name.push(match character {
            '~' => match characters.next() {
                Some((_, '0')) => '~',
                Some((_, '1')) => '/',
                _ => return Err(at),
            },
            other => other,
        });
    }
    Ok(name)
}

fn element(name: &str) -> Element {
    match name.as_bytes() {
        b"-" => Element::AfterLast,
        b"0" => Element::At(0),
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            name.parse().map_or(Element::None, Element::At)
        }
        _ => Element::None,
    }
}
