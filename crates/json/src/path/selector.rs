//! What one step selects among the members or elements of a value.

use crate::string;

/// A selector of RFC 9535, section 2.3, or a reference token of RFC 6901.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// The members of this name.
    Name(Box<str>),
    /// A token of a JSON Pointer: the members of this name, or in an array this element.
    Token { name: Box<str>, element: Element },
    /// All members or elements.
    Wildcard,
    /// An element, from the end if negative.
    Index(i64),
    /// Elements in a range.
    Slice { start: Option<i64>, end: Option<i64>, step: i64 },
}

/// What a token of a JSON Pointer means in an array (RFC 6901, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// Nothing: it is no index.
    None,
    /// This element.
    At(usize),
    /// `-`: the one that is not there yet, after the last.
    AfterLast,
}

impl Selector {
    /// Whether it selects one place at most.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Token { .. } | Self::Index(_))
    }

    /// Whether it can select an element of an array (or else a member of an object), there or yet to be made.
    #[inline]
    pub fn leads_into(&self, array: bool) -> bool {
        match self {
            Self::Name(_) | Self::Token { element: Element::None, .. } => !array,
            Self::Index(_) | Self::Slice { .. } => array,
            Self::Token { .. } | Self::Wildcard => true,
        }
    }

    #[inline]
    pub fn selects_member(&self, inside: &[u8], escaped: bool) -> bool {
        match self {
            Self::Name(name) | Self::Token { name, .. } => string::is(inside, escaped, name.as_bytes()),
            Self::Wildcard => true,
            Self::Index(_) | Self::Slice { .. } => false,
        }
    }

    #[inline]
    pub fn selects_element(&self, index: usize, len: Option<usize>) -> bool {
        match self {
            Self::Name(_) => false,
            Self::Token { element, .. } => *element == Element::At(index),
            Self::Wildcard => true,
            Self::Index(at) => position(*at, len).is_some_and(|at| at == signed(index)),
            Self::Slice { start, end, step } => in_slice(*start, *end, *step, signed(index), len),
        }
    }

    pub fn needs_len(&self) -> bool {
        match self {
            Self::Index(at) => *at < 0,
            Self::Slice { start, end, step } => {
                *step < 0 || start.is_some_and(|at| at < 0) || end.is_some_and(|at| at < 0)
            }
            _ => false,
        }
    }
}

fn signed(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// Counted from the front (`Normalize` of RFC 9535, section 2.3.4.2.2); nothing without the length that it needs.
fn position(at: i64, len: Option<usize>) -> Option<i64> {
    if at >= 0 { Some(at) } else { Some(signed(len?).saturating_add(at)) }
}

/// Whether a slice selects an element (RFC 9535, section 2.3.4.2.2).
fn in_slice(start: Option<i64>, end: Option<i64>, step: i64, index: i64, len: Option<usize>) -> bool {
    let bound = |at: Option<i64>, default: i64| at.map_or(Some(default), |at| position(at, len));
    let chosen = if step > 0 {
        bound(start, 0).zip(bound(end, i64::MAX)).and_then(|(lower, upper)| {
            let lower = lower.max(0);
            (lower <= index && index < upper).then_some(index.saturating_sub(lower))
        })
    } else {
        let last = len.map(|len| signed(len).saturating_sub(1));
        last.and_then(|last| bound(start, last).zip(bound(end, -1).map(|end| end.max(-1))).zip(Some(last)))
            .and_then(|((upper, lower), last)| {
                let upper = upper.min(last);
                (lower < index && index <= upper).then_some(upper.saturating_sub(index))
            })
    };
    chosen.and_then(|distance| distance.checked_rem(step)) == Some(0)
}
