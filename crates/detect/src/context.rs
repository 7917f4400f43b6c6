//! What stands before a value: the key of a JSON member, the name of a form field, header or cookie, the words of a sentence.
//!
//! A bare number of nine digits is a social security number under the key `ssn` and an order elsewhere. Names are compared
//! word by word, so that `pan` is not found in `company`.

use crate::text::Text;

/// How far back a name is looked for, in decoded bytes; and in raw ones, which must be less than [`crate::LOOKBEHIND`] by
/// the longest escape: a window may begin in the middle of one.
pub(crate) const REACH: usize = 192;
pub(crate) const RAW_REACH: usize = 384;

/// How far into a string a value may stand for the string's name to count, and how many bytes of the sentence before it do.
const STRING: usize = 96;
const PROSE: usize = 48;

/// Words of names that speak for a kind, and against it, in lower case and in order. `cardnumber` stands for `card_number`, `cardNumber` and
/// `Card-Number` as well.
#[derive(Clone, Copy)]
pub(crate) struct Context {
    pub raise: &'static [&'static str],
    pub lower: &'static [&'static str],
}

/// What the context of a value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    None,
    Raise,
    Lower,
}

/// Names of numbers that are not about a person.
pub(crate) const NUMBERS: &[&str] = &[
    "amount",
    "asset",
    "barcode",
    "batch",
    "build",
    "bytes",
    "checksum",
    "commit",
    "correlation",
    "count",
    "created",
    "date",
    "digest",
    "duration",
    "ean",
    "elapsed",
    "epoch",
    "etag",
    "gtin",
    "guid",
    "hash",
    "imei",
    "index",
    "isbn",
    "issn",
    "lat",
    "latitude",
    "length",
    "lng",
    "lon",
    "longitude",
    "millis",
    "ms",
    "nanos",
    "nonce",
    "ns",
    "offset",
    "order",
    "orderid",
    "page",
    "parcel",
    "port",
    "price",
    "product",
    "random",
    "revision",
    "seed",
    "sequence",
    "serial",
    "sha",
    "shipment",
    "size",
    "sku",
    "snowflake",
    "span",
    "ticket",
    "time",
    "timestamp",
    "total",
    "trace",
    "tracking",
    "transaction",
    "ts",
    "txn",
    "upc",
    "updated",
    "uuid",
    "version",
];

impl Context {
    /// A kind that is sure without.
    pub const NONE: Self = Self { raise: &[], lower: &[] };

    /// Whether nothing would change the confidence.
    pub fn is_none(&self) -> bool {
        self.raise.is_empty() && self.lower.is_empty()
    }

    /// What the names in front of a value say of it.
    pub fn hint(&self, names: &Names) -> Hint {
        for words in [&names.prose, &names.key, &names.given] {
            match (words.any(self.raise), words.any(self.lower)) {
                (true, false) => return Hint::Raise,
                (false, true) => return Hint::Lower,
                // Both: `card_order_id`.
                (true, true) => return Hint::None,
                (false, false) => {}
            }
        }
        Hint::None
    }
}

/// The names in front of a value, from the nearest on.
pub(crate) struct Names {
    /// The text in front in the same string.
    prose: Words,
    /// The name of the string.
    key: Words,
    /// What the caller said.
    given: Words,
}

impl Names {
    /// Of a value that begins at `start`; what is before `floor` is not looked at. `None`: there are no words.
    pub fn new(text: &Text<'_>, floor: usize, start: usize) -> Option<Self> {
        let (prose, key) = names(text.slice(floor..start));
        let (key, given) = (key.unwrap_or_default(), text.key.unwrap_or_default());
        let mut bytes = prose.iter().chain(key).chain(given);
        bytes.any(u8::is_ascii_alphabetic).then(|| Self {
            prose: Words::new(prose),
            key: Words::new(key),
            given: Words::new(given),
        })
    }
}

/// The text in front of a value in the same string, and the name of that string.
fn names(before: &[u8]) -> (&[u8], Option<&[u8]>) {
    let near = before.len().saturating_sub(STRING);
    let opener =
        before.iter().skip(near).rposition(|byte| is_opener(*byte)).map(|at| near.saturating_add(at));
    let Some((rest, [opener, prose @ ..])) = opener.and_then(|at| before.split_at_checked(at)) else {
        return (last(before, PROSE), None);
    };
    let key = match opener {
        b'"' | b'\'' | b'`' if prose.trim_ascii().starts_with(b":") => Some(quoted(rest, *opener)),
        b'"' | b'\'' | b'`' => named(trim_backslashes(rest)),
        b'=' | b'>' => Some(bare(rest)),
        b',' | b'[' => named(before.get(..rest.len().saturating_add(1)).unwrap_or_default()),
        _ => None,
    };
    (last(prose, PROSE), key)
}

/// What a string, a field or a line begins with.
fn is_opener(byte: u8) -> bool {
    // Of the first 64 bytes a bit each: a text of nothing but candidates is looked at with this again and again.
    const LOW: u64 = bits(b"\"'=,(&;<>\n\r\t");
    match byte {
        0..64 => LOW >> byte & 1 == 1,
        _ => matches!(byte, b'[' | b'{' | b'|' | b'`'),
    }
}

const fn bits(mut bytes: &[u8]) -> u64 {
    let mut bits = 0;
    while let [byte, rest @ ..] = bytes {
        bits |= 1_u64.unbounded_shl(*byte as u32);
        bytes = rest;
    }
    bits
}

/// The name of the value that begins after `before`: `"name": `, `name=`, or that of the array around it.
fn named(before: &[u8]) -> Option<&[u8]> {
    let before = before.trim_ascii_end();
    match before {
        [rest @ .., b':' | b'='] => {
            let rest = rest.trim_ascii_end();
            match rest {
                [rest @ .., quote @ (b'"' | b'\'' | b'`')] => Some(quoted(rest, *quote)),
                _ => Some(bare(rest)),
            }
        }
        [.., b',' | b'['] => {
            let open = memchr::memrchr3(b'[', b'{', b'}', before)?;
            let (rest, [b'[', ..]) = before.split_at_checked(open)? else { return None };
            let rest = rest.trim_ascii_end();
            if rest.ends_with(b":") || rest.ends_with(b"=") { named(rest) } else { None }
        }
        _ => None,
    }
}

/// What is between the last quote and the end, where the closing quote was taken off.
fn quoted(before: &[u8], quote: u8) -> &[u8] {
    let before = trim_backslashes(before);
    let open = before.iter().rposition(|byte| *byte == quote).map_or(0, |at| at.saturating_add(1));
    before.get(open..).unwrap_or_default()
}

fn bare(before: &[u8]) -> &[u8] {
    let name =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'$');
    let open = before.iter().rposition(|byte| !name(byte)).map_or(0, |at| at.saturating_add(1));
    before.get(open..).unwrap_or_default()
}

/// JSON in a JSON string has backslashes before its quotes.
fn trim_backslashes(text: &[u8]) -> &[u8] {
    let count = text.iter().rev().take_while(|byte| **byte == b'\\').count();
    text.get(..text.len().saturating_sub(count)).unwrap_or_default()
}

fn last(text: &[u8], most: usize) -> &[u8] {
    text.get(text.len().saturating_sub(most)..).unwrap_or_default()
}

/// The words of a name, in lower case.
pub(crate) struct Words {
    letters: [u8; LETTERS],
    /// Where each word ends.
    ends: [usize; WORDS],
    count: usize,
}

const LETTERS: usize = 64;
const WORDS: usize = 10;

impl Words {
    /// Splits a name at what is no letter, and where capitals begin. Of a long one the end counts.
    pub fn new(name: &[u8]) -> Self {
        let mut words = Self { letters: [0; LETTERS], ends: [0; WORDS], count: 0 };
        if !name.iter().any(u8::is_ascii_alphabetic) {
            return words;
        }
        let mut length = 0_usize;
        let mut before = b' ';
        let mut bytes = last(name, LETTERS).iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let next_is_lower = bytes.peek().is_some_and(u8::is_ascii_lowercase);
            let capital = byte.is_ascii_uppercase()
                && (before.is_ascii_lowercase() || before.is_ascii_uppercase() && next_is_lower);
            if capital || !byte.is_ascii_alphabetic() {
                words.close(length);
            }
            if byte.is_ascii_alphabetic()
                && let Some(place) = words.letters.get_mut(length)
            {
                *place = byte.to_ascii_lowercase();
                length = length.saturating_add(1);
            }
            before = byte;
        }
        words.close(length);
        words
    }

    fn close(&mut self, length: usize) {
        let last = self.count.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        if length > last {
            match self.ends.get_mut(self.count) {
                Some(end) => {
                    *end = length;
                    self.count = self.count.saturating_add(1);
                }
                // Too many words: the rest counts as one with the last.
                None => {
                    if let Some(end) = self.ends.last_mut() {
                        *end = length;
                    }
                }
            }
        }
    }

    /// Whether one of the words, or two or three in a row, are one of `entries` (in order).
    pub fn any(&self, entries: &[&str]) -> bool {
        if self.count == 0 {
            return false;
        }
        let ends = self.ends.get(..self.count).unwrap_or_default();
        let starts = [0].into_iter().chain(ends.iter().copied());
        starts.zip(0..).any(|(start, index)| {
            let ends = ends.iter().skip(index).take(3);
            ends.filter_map(|end| self.letters.get(start..*end))
                .any(|word| entries.binary_search_by_key(&word, |entry| entry.as_bytes()).is_ok())
        })
    }

    /// Whether the last word, or the last two or three, are one of `entries`.
    pub fn ends_with(&self, entries: &[&str]) -> bool {
        let ends = self.ends.get(..self.count).unwrap_or_default();
        let Some(last) = ends.last() else { return false };
        let starts = ends.iter().rev().skip(1).copied().chain([0]).take(3);
        starts
            .filter_map(|start| self.letters.get(start..*last))
            .any(|word| entries.iter().any(|entry| entry.as_bytes() == word))
    }
}
