//! Escapes: what the bytes of a text mean, and which bytes mean it.

use std::ops::Range;

use crate::LOOKBEHIND;

/// How a text is written: which escapes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// JSON (RFC 8259), NDJSON, and JSON within other texts: `\u0034`, `\n`, `\/`.
    Json,
    /// `application/x-www-form-urlencoded`: `%34`, and `+` for a space.
    Form,
    /// A path or query (RFC 3986): `%34`. A `+` of a query counts as a space.
    Url,
    /// The value of a cookie: `%34`, as most who write one do; a `+` is one.
    Cookie,
    /// A header value: no escapes.
    Header,
    /// Anything else: no escapes.
    Text,
}

impl Syntax {
    /// Whether an escape may begin with this byte.
    fn begins(self, byte: u8) -> bool {
        match self {
            Self::Json => byte == b'\\',
            Self::Form | Self::Url => byte == b'%' || byte == b'+',
            Self::Cookie => byte == b'%',
            Self::Header | Self::Text => false,
        }
    }

    fn find(self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Json => memchr::memchr(b'\\', text),
            Self::Form | Self::Url => memchr::memchr2(b'%', b'+', text),
            Self::Cookie => memchr::memchr(b'%', text),
            Self::Header | Self::Text => None,
        }
    }
}

/// The longest escape, `\u0034`.
pub(crate) const LONGEST: usize = 6;

/// One escape: how many raw bytes it has, and the bytes that it stands for.
#[derive(Clone, Copy)]
pub(crate) struct Escape {
    pub length: usize,
    decoded: [u8; 3],
    count: usize,
}

impl Escape {
    pub fn bytes(&self) -> &[u8] {
        self.decoded.get(..self.count).unwrap_or_default()
    }

    fn byte(length: usize, byte: u8) -> Self {
        Self { length, decoded: [byte, 0, 0], count: 1 }
    }
}

/// The escape that begins at `start`, if one does. One that is cut off by the end of the text is none. `start` is not in the middle
/// of another: a text is read from escape to escape, so a backslash there is not escaped itself.
pub(crate) fn at(text: &[u8], start: usize, syntax: Syntax) -> Option<Escape> {
    let rest = text.get(start..)?;
    match (syntax, rest) {
        (Syntax::Form | Syntax::Url, [b'+', ..]) => Some(Escape::byte(1, b' ')),
        (Syntax::Form | Syntax::Url | Syntax::Cookie, [b'%', high, low, ..]) => {
            let byte = hex(*high)?.checked_mul(16)?.checked_add(hex(*low)?)?;
            Some(Escape::byte(3, byte))
        }
        (Syntax::Json, [b'\\', then, ..]) => match then {
            b'u' => {
                let digits = rest.get(2..LONGEST)?;
                let code = digits.iter().try_fold(0_u32, |code, digit| {
                    code.checked_mul(16)?.checked_add(u32::from(hex(*digit)?))
                })?;
                // Half of a surrogate pair is no character of its own; no detector asks which one the pair is.
                let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                let mut decoded = [0; 4];
                let count = char.encode_utf8(&mut decoded).len();
                let [first, second, third, _] = decoded;
                Some(Escape { length: LONGEST, decoded: [first, second, third], count })
            }
            b'n' => Some(Escape::byte(2, b'\n')),
            b'r' => Some(Escape::byte(2, b'\r')),
            b't' => Some(Escape::byte(2, b'\t')),
            b'b' => Some(Escape::byte(2, 0x08)),
            b'f' => Some(Escape::byte(2, 0x0c)),
            b'"' | b'\\' | b'/' => Some(Escape::byte(2, *then)),
            _ => None,
        },
        _ => None,
    }
}

/// Up to where a window of JSON can go, of which all up to `decided` has been dealt with: [`LOOKBEHIND`] bytes of it stay as
/// context for what follows, and one more where these would begin with what a backslash escapes.
///
/// So a window never begins in the middle of an escape, however many backslashes are in a row. It must not have begun in one.
pub fn context_start(window: &[u8], decided: usize) -> usize {
    let start = decided.min(window.len()).saturating_sub(LOOKBEHIND);
    start.saturating_sub(backslashes_before(window, start) % 2)
}

/// How many backslashes are right before `start`. There may be very many, and this may be asked about them again and again.
fn backslashes_before(window: &[u8], start: usize) -> usize {
    const ROW: [u8; 32] = [b'\\'; 32];
    let before = window.get(..start).unwrap_or_default();
    let rows =
        before.rchunks_exact(ROW.len()).take_while(|row| *row == ROW).count().saturating_mul(ROW.len());
    let rest = before.get(..before.len().saturating_sub(rows)).unwrap_or_default();
    rows.saturating_add(rest.iter().rev().take_while(|byte| **byte == b'\\').count())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A part of a text in decoded form.
pub(crate) struct Decoded {
    pub text: Vec<u8>,
    /// After each escape: where the decoded text goes on, and the raw text; and whether one more byte of it.
    marks: Vec<Mark>,
    /// The raw offset at which the decoded text ends: short of the window's end where that cuts an escape.
    pub raw_end: usize,
}

/// An escape.
struct Mark {
    decoded: Range<usize>,
    raw: Range<usize>,
}

impl Decoded {
    /// Decodes `window[start..]`, where no escape is under way. `end`: nothing follows the window, so what is cut off there is no escape.
    ///
    /// Returns `None` where there are no escapes.
    pub fn new(window: &[u8], start: usize, end: bool, syntax: Syntax) -> Option<Self> {
        let first = syntax.find(window.get(start..)?)?.checked_add(start)?;
        let mut decoded = Self {
            text: Vec::with_capacity(window.len().saturating_sub(start)),
            marks: Vec::new(),
            raw_end: window.len(),
        };
        let mut copied = start;
        let mut next = Some(first);
        while let Some(found) = next {
            let after = match at(window, found, syntax) {
                Some(escape) => {
                    decoded.text.extend_from_slice(window.get(copied..found).unwrap_or_default());
                    let begin = decoded.text.len();
                    decoded.text.extend_from_slice(escape.bytes());
                    copied = found.saturating_add(escape.length);
                    decoded.marks.push(Mark { decoded: begin..decoded.text.len(), raw: found..copied });
                    copied
                }
                None if !end && may_go_on(window, found, syntax) => {
                    decoded.raw_end = found;
                    break;
                }
                None => found.saturating_add(1),
            };
            next = match window.get(after) {
                Some(byte) if syntax.begins(*byte) => Some(after),
                Some(_) => syntax
                    .find(window.get(after..).unwrap_or_default())
                    .map(|offset| after.saturating_add(offset)),
                None => None,
            };
        }
        decoded.text.extend_from_slice(window.get(copied..decoded.raw_end).unwrap_or_default());
        Some(decoded)
    }

    /// The raw bytes of the decoded byte at `offset`, as an offset from `start` of [`Decoded::new`] if there were no marks
    /// before it; for the end of the text, where the raw text ends.
    pub fn raw(&self, offset: usize, start: usize) -> Range<usize> {
        let index = self.marks.partition_point(|mark| mark.decoded.end <= offset);
        if let Some(mark) = self.marks.get(index)
            && mark.decoded.contains(&offset)
        {
            return mark.raw.clone();
        }
        let (decoded, raw) = index
            .checked_sub(1)
            .and_then(|last| self.marks.get(last))
            .map_or((0, start), |mark| (mark.decoded.end, mark.raw.end));
        let raw = raw.saturating_add(offset.saturating_sub(decoded));
        raw..raw.saturating_add(1)
    }

    /// The first decoded offset whose raw bytes begin at `raw` or later.
    pub fn offset(&self, raw: usize, start: usize) -> usize {
        let index = self.marks.partition_point(|mark| mark.raw.end <= raw);
        if let Some(mark) = self.marks.get(index)
            && mark.raw.start < raw
        {
            return mark.decoded.end;
        }
        let (decoded, last) = index
            .checked_sub(1)
            .and_then(|last| self.marks.get(last))
            .map_or((0, start), |mark| (mark.decoded.end, mark.raw.end));
        decoded.saturating_add(raw.saturating_sub(last)).min(self.text.len())
    }

    /// Whether there is an escape among the raw bytes.
    pub fn has_escape(&self, raw: &Range<usize>) -> bool {
        let index = self.marks.partition_point(|mark| mark.raw.end <= raw.start);
        self.marks.get(index).is_some_and(|mark| mark.raw.start < raw.end)
    }
}

/// Whether what begins at `start` may yet become an escape when more bytes come.
fn may_go_on(window: &[u8], start: usize, syntax: Syntax) -> bool {
    let Some(rest) = window.get(start..) else { return false };
    match (syntax, rest) {
        (Syntax::Form | Syntax::Url | Syntax::Cookie, [b'%', digits @ ..]) => {
            digits.len() < 2 && digits.iter().all(u8::is_ascii_hexdigit)
        }
        (Syntax::Json, [b'\\']) => true,
        (Syntax::Json, [b'\\', b'u', digits @ ..]) => {
            digits.len() < 4 && digits.iter().all(u8::is_ascii_hexdigit)
        }
        _ => false,
    }
}
