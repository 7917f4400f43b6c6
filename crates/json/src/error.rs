//! What is wrong with a JSON text, and where.

use std::fmt;

/// Why a text was refused. It never shows what the text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Where: a byte offset into the text.
    pub offset: usize,
    /// What.
    pub kind: ErrorKind,
}

/// What is wrong at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text ends within a value.
    End,
    /// No value begins here.
    Value,
    /// No member name begins here.
    Name,
    /// A member name without its colon.
    Colon,
    /// Neither a comma nor the end of the array follows an element.
    AfterElement,
    /// Neither a comma nor the end of the object follows a member.
    AfterMember,
    /// A control character (below U+0020) stands in a string unescaped (RFC 8259, section 7).
    Control,
    /// A backslash that begins no escape of RFC 8259, section 7.
    Escape,
    /// A number with a leading zero, a lone sign, or no digit where one must be (RFC 8259, section 6).
    Number,
    /// A second value, or anything else, follows the value.
    Trailing,
    /// Deeper than [`Limits::depth`](crate::Limits::depth).
    TooDeep,
    /// More places than [`Limits::matches`](crate::Limits::matches).
    TooManyMatches,
    /// The result would be longer than [`Limits::output`](crate::Limits::output).
    TooLarge,
}

impl JsonError {
    pub(crate) fn new(offset: usize, kind: ErrorKind) -> Self {
        Self { offset, kind }
    }

    /// Whether the text may be good JSON, but one of the [`Limits`](crate::Limits) stopped the work on it.
    pub fn is_limit(&self) -> bool {
        matches!(self.kind, ErrorKind::TooDeep | ErrorKind::TooManyMatches | ErrorKind::TooLarge)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::End => "the JSON text ends too early",
            ErrorKind::Value => "expected a JSON value",
            ErrorKind::Name => "expected a member name in quotes",
            ErrorKind::Colon => "expected `:` after a member name",
            ErrorKind::AfterElement => "expected `,` or `]` after an array element",
            ErrorKind::AfterMember => "expected `,` or `}` after an object member",
            ErrorKind::Control => "a control character in a string",
            ErrorKind::Escape => "no such escape in a JSON string",
            ErrorKind::Number => "not a JSON number",
            ErrorKind::Trailing => "more bytes after the JSON value",
            ErrorKind::TooDeep => "JSON nested too deep",
            ErrorKind::TooManyMatches => "too many places in the JSON text are selected",
            ErrorKind::TooLarge => "the changed JSON text would be too long",
        };
        write!(f, "{what} (at byte {})", self.offset)
    }
}

impl std::error::Error for JsonError {}
