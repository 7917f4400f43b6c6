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

    const fn byte(length: usize, byte: u8) -> Self {
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
            _ => Some(Escape::byte(SHORT, short(*then)?)),
        },
        _ => None,
    }
}

/// How many bytes the escapes of JSON without digits have.
const SHORT: usize = 2;

/// What such an escape stands for, by its second byte.
#[inline]
const fn short(then: u8) -> Option<u8> {
    match then {
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'b' => Some(0x08),
        b'f' => Some(0x0c),
        b'"' | b'\\' | b'/' => Some(then),
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
    /// The escapes, in their order.
    marks: Vec<Mark>,
    /// The raw offset at which the decoded text ends: short of the window's end where that cuts an escape.
    pub raw_end: usize,
}

/// An escape, or several of equal lengths in a row: a text may be nothing but escapes.
struct Mark {
    decoded: Range<usize>,
    raw: Range<usize>,
    /// How many bytes each of them stands for, never none.
    count: usize,
    /// How many bytes each of them has, never none.
    length: usize,
}

impl Mark {
    /// The raw bytes of the escape that stands for the byte at this decoded offset.
    fn raw_of(&self, offset: usize) -> Range<usize> {
        let index = offset.saturating_sub(self.decoded.start).checked_div(self.count).unwrap_or_default();
        let start = self.raw.start.saturating_add(index.saturating_mul(self.length));
        start..start.saturating_add(self.length)
    }

    /// Where the first escape that begins at `raw` or later is decoded; else the end.
    fn offset_of(&self, raw: usize) -> usize {
        let before = raw.saturating_sub(self.raw.start).div_ceil(self.length.max(1));
        self.decoded.start.saturating_add(before.saturating_mul(self.count)).min(self.decoded.end)
    }
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
            if found > copied {
                decoded.text.extend_from_slice(window.get(copied..found).unwrap_or_default());
                copied = found;
            }
            let row = if syntax == Syntax::Json { decoded.row(window, found) } else { 0 };
            let after = if row > 0 {
                copied = found.saturating_add(row);
                copied
            } else if let Some(escape) = at(window, found, syntax) {
                decoded.escape(&escape, found);
                copied = found.saturating_add(escape.length);
                copied
            } else if !end && may_go_on(window, found, syntax) {
                decoded.raw_end = found;
                break;
            } else {
                found.saturating_add(1)
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

    /// Decodes the short escapes of JSON that stand in a row from `start` on. Returns how many bytes they have.
    fn row(&mut self, window: &[u8], start: usize) -> usize {
        let (pairs, _) = window.get(start..).unwrap_or_default().as_chunks::<SHORT>();
        let begin = self.text.len();
        let short = |[first, then]: &[u8; SHORT]| if *first == b'\\' { short(*then) } else { None };
        self.text.extend(pairs.iter().map_while(short));
        let length = self.text.len().saturating_sub(begin).saturating_mul(SHORT);
        if length > 0 {
            self.mark(begin, start..start.saturating_add(length), 1, SHORT);
        }
        length
    }

    /// Adds what an escape stands for.
    fn escape(&mut self, escape: &Escape, start: usize) {
        let begin = self.text.len();
        // Each by itself: they are one or two, and a copy of memory costs a call.
        escape.bytes().iter().for_each(|byte| self.text.push(*byte));
        self.mark(begin, start..start.saturating_add(escape.length), escape.count, escape.length);
    }

    /// Notes escapes that have been decoded from `begin` on.
    fn mark(&mut self, begin: usize, raw: Range<usize>, count: usize, length: usize) {
        let decoded = begin..self.text.len();
        match self.marks.last_mut() {
            Some(last) if last.raw.end == raw.start && last.length == length && last.count == count => {
                (last.decoded.end, last.raw.end) = (decoded.end, raw.end);
            }
            _ => self.marks.push(Mark { decoded, raw, count, length }),
        }
    }

    /// The raw bytes of the decoded byte at `offset`, as an offset from `start` of [`Decoded::new`] if there were no marks
    /// before it; for the end of the text, where the raw text ends.
    pub fn raw(&self, offset: usize, start: usize) -> Range<usize> {
        let index = self.marks.partition_point(|mark| mark.decoded.end <= offset);
        if let Some(mark) = self.marks.get(index)
            && mark.decoded.contains(&offset)
        {
            return mark.raw_of(offset);
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
            return mark.offset_of(raw);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "test code")]

    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// Rows of escapes are kept as one mark: what is told of them is what is true of each.
    #[test]
    fn places_are_those_of_each_escape() {
        let pieces = ["x", r"\n", r"\\", r"\u0041", r"\u00e9", r"\u20ac", "yz"];
        for seed in 0..3_000_usize {
            let chosen = (0..7).map(|place| pieces[seed / [1, 1, 3, 7, 31, 101, 307][place] % pieces.len()]);
            let mut text = String::from("..");
            let (mut raws, mut bytes) = (Vec::new(), Vec::new());
            for piece in chosen {
                let units = if let Some(escape) = at(piece.as_bytes(), 0, Syntax::Json) {
                    vec![(escape.length, escape.bytes().to_vec())]
                } else {
                    piece.bytes().map(|byte| (1, vec![byte])).collect()
                };
                let mut raw = text.len();
                for (length, decoded) in units {
                    raws.extend(decoded.iter().map(|_| (raw..raw + length, length > 1)));
                    bytes.extend(decoded);
                    raw += length;
                }
                text += piece;
            }
            let Some(decoded) = Decoded::new(text.as_bytes(), 2, true, Syntax::Json) else { continue };
            assert_eq!(decoded.text, bytes, "{text}");
            for (offset, (raw, escaped)) in raws.iter().enumerate() {
                assert_eq!(decoded.raw(offset, 2), *raw, "{text} at {offset}");
                assert_eq!(decoded.has_escape(raw), *escaped, "{text} at {offset}");
            }
            for raw in 2..text.len() {
                let expected = raws.iter().position(|(found, _)| found.start >= raw);
                assert_eq!(decoded.offset(raw, 2), expected.unwrap_or(bytes.len()), "{text} at {raw}");
            }
        }
    }

    /// What a text means, and the raw bytes of each byte: read from its start, without rows, marks and windows.
    fn plainly(text: &[u8], syntax: Syntax) -> Vec<(u8, Range<usize>)> {
        let (mut read, mut start) = (Vec::new(), 0);
        while start < text.len() {
            let (bytes, length) = at(text, start, syntax)
                .map_or((vec![text[start]], 1), |escape| (escape.bytes().to_vec(), escape.length));
            read.extend(bytes.into_iter().map(|byte| (byte, start..start + length)));
            start += length;
        }
        read
    }

    fn decode(window: &[u8], start: usize, end: bool, syntax: Syntax) -> (Vec<u8>, usize) {
        match Decoded::new(window, start, end, syntax) {
            Some(decoded) => (decoded.text, decoded.raw_end),
            None => (window[start..].to_vec(), window.len()),
        }
    }

    #[test]
    fn escapes_are_those_of_the_syntax() {
        use Syntax::{Cookie, Form, Header, Json, Text, Url};
        for (text, syntaxes, expected) in [
            ("%34+%c3%A9", &[Form, Url][..], "4 \u{e9}"),
            ("%34+%c3%A9", &[Cookie], "4+\u{e9}"),
            ("%34+%c3%A9", &[Header, Text, Json], "%34+%c3%A9"),
            (r#"\u0034\/\"\\\b\f\n\r\t"#, &[Json], "4/\"\\\u{8}\u{c}\n\r\t"),
            (r"\u0034\n", &[Form, Url, Cookie, Header, Text], r"\u0034\n"),
            // What is none stays.
            ("%%4%G1%1G%+1%3", &[Cookie], "%%4%G1%1G%+1%3"),
            ("%%34%", &[Form, Url, Cookie], "%4%"),
            (r"\x\U0034\u00G4\u 034\u+034\u003", &[Json], r"\x\U0034\u00G4\u 034\u+034\u003"),
            (r"\\u0034\", &[Json], r"\u0034\"),
            // Halves of a pair: each is a character that nobody looks for.
            (r"\ud83d\ude00", &[Json], "\u{fffd}\u{fffd}"),
            (r"\ud83dx\ude00\uDBFF", &[Json], "\u{fffd}x\u{fffd}\u{fffd}"),
            (r"\ud83d\u0034", &[Json], "\u{fffd}4"),
            (r"\u0000\uffff", &[Json], "\0\u{ffff}"),
        ] {
            for syntax in syntaxes {
                let (decoded, raw_end) = decode(text.as_bytes(), 0, true, *syntax);
                assert_eq!(
                    (decoded.as_slice(), raw_end),
                    (expected.as_bytes(), text.len()),
                    "{text} {syntax:?}"
                );
            }
        }
    }

    /// Where a window ends makes no difference: what may go on waits for what follows, and is read with it.
    #[test]
    fn windows_may_be_cut_at_every_byte() {
        let json: &[&str] =
            &["\\", "u", "0034", r"\u0034", r"\ud83d", r"\ude00", r"\u00", r"\n", r"\\", "\"", "x", "é"];
        let percent: &[&str] = &["%", "+", "3", "4", "G", "%34", "%e2%82%ac", "%2", "%%", "x", "é"];
        let mut number = 0x2545_f491_4f6c_dd1d_u64;
        let mut draw = |below: usize| {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            usize::try_from(number >> 33).unwrap() % below
        };
        for (syntax, pieces) in [
            (Syntax::Json, json),
            (Syntax::Form, percent),
            (Syntax::Url, percent),
            (Syntax::Cookie, percent),
            (Syntax::Header, json),
            (Syntax::Text, percent),
        ] {
            for _ in 0..1_000 {
                let count = draw(12);
                let text: String = (0..count).map(|_| pieces[draw(pieces.len())]).collect();
                let text = text.as_bytes();
                let shown = String::from_utf8_lossy(text).into_owned();
                let read = plainly(text, syntax);
                let whole: Vec<u8> = read.iter().map(|(byte, _)| *byte).collect();
                assert_eq!(decode(text, 0, true, syntax).0, whole, "{shown} {syntax:?}");
                for cut in 0..=text.len() {
                    let (mut first, raw_end) = decode(&text[..cut], 0, false, syntax);
                    // No more is held back than may be an escape, and nothing is taken apart.
                    assert!(cut - raw_end < LONGEST, "{shown} {syntax:?} cut at {cut}");
                    assert!(
                        read.iter().all(|(_, raw)| raw.end <= raw_end || raw.start >= raw_end),
                        "{shown} {cut}"
                    );
                    first.extend(decode(text, raw_end, true, syntax).0);
                    assert_eq!(first, whole, "{shown} {syntax:?} cut at {cut}");
                }
                if let Some(decoded) = Decoded::new(text, 0, true, syntax) {
                    for (offset, (_, raw)) in read.iter().enumerate() {
                        assert_eq!(decoded.raw(offset, 0), *raw, "{shown} {syntax:?} at {offset}");
                        assert_eq!(
                            decoded.has_escape(raw),
                            at(text, raw.start, syntax).is_some(),
                            "{shown} at {offset}"
                        );
                    }
                }
            }
        }
    }
}
