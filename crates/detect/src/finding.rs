//! What a scan finds.

use std::fmt;
use std::ops::Range;

use crate::escape::{self, Escape, Syntax};
use crate::kind::Kind;

/// A sensitive value in a window. It does not hold the value: only where it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// What the caller of [`crate::ScannerBuilder`] named the detector.
    pub id: u32,
    /// The detector.
    pub kind: Kind,
    /// The bytes of the value in the window, without delimiters; with escapes, whole ones.
    pub range: Range<usize>,
    /// How sure this is, from 0 to 100; see [`crate::DEFAULT_CONFIDENCE`].
    pub confidence: u8,
    /// Whether some of the bytes are escapes, so that the value is not what the bytes say.
    pub escaped: bool,
    /// Whether this is a number that payment services publish for tests.
    pub sample: bool,
}

impl Finding {
    /// The value in `window`, byte by byte as decoded, each with the bytes that it is written with.
    ///
    /// `window` and `syntax` are those of the scan. An escape that stands for several bytes (UTF-8) is given for each of
    /// them.
    pub fn chars<'a>(&self, window: &'a [u8], syntax: Syntax) -> Chars<'a> {
        let end = self.range.end.min(window.len());
        Chars { window: window.get(..end).unwrap_or_default(), syntax, at: self.range.start, pending: None }
    }
}

/// Where, never what.
impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finding")
            .field("id", &self.id)
            .field("kind", &self.kind.name())
            .field("range", &self.range)
            .field("confidence", &self.confidence)
            .field("escaped", &self.escaped)
            .field("sample", &self.sample)
            .finish()
    }
}

/// The decoded bytes of a finding with the raw bytes of each; see [`Finding::chars`].
#[derive(Clone)]
pub struct Chars<'a> {
    window: &'a [u8],
    syntax: Syntax,
    at: usize,
    /// An escape, how many of its bytes were given, and where it is.
    pending: Option<(Escape, usize, Range<usize>)>,
}

impl Iterator for Chars<'_> {
    type Item = (u8, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((escape, given, range)) = &mut self.pending
            && let Some(byte) = escape.bytes().get(*given)
        {
            *given = given.saturating_add(1);
            return Some((*byte, range.clone()));
        }
        let start = self.at;
        let raw = *self.window.get(start)?;
        let escape = escape::at(self.window, start, self.syntax);
        self.at = start.saturating_add(escape.map_or(1, |escape| escape.length));
        let range = start..self.at;
        let byte = escape.and_then(|escape| escape.bytes().first().copied()).unwrap_or(raw);
        self.pending = escape.map(|escape| (escape, 1, range.clone()));
        Some((byte, range))
    }
}

/// Where, never what.
impl fmt::Debug for Chars<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chars").field("at", &self.at).finish_non_exhaustive()
    }
}
