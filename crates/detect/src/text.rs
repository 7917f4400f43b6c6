//! The decoded text that verifiers read, and what they say of it.

use std::cell::Cell;
use std::ops::Range;

/// A window of decoded text.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub bytes: &'a [u8],
    /// Nothing follows: the end of the bytes is the end of the text.
    pub end: bool,
    /// The name of the value that the whole text is, where the caller knows one.
    pub key: Option<&'a [u8]>,
    /// The last run of [`Text::run_again`].
    pub last_run: &'a Cell<(usize, usize)>,
}

/// The window ends before the question is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut;

/// A value that a verifier vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub range: Range<usize>,
    /// Before the context is looked at.
    pub confidence: u8,
    /// A number that documentation and tests use.
    pub sample: bool,
}

impl Match {
    pub fn new(range: Range<usize>, confidence: u8) -> Self {
        Self { range, confidence, sample: false }
    }
}

/// What a verifier says of a candidate.
pub(crate) enum Verdict {
    No,
    /// It begins at this offset or later, if it is one: the window ends too soon to tell.
    Cut(usize),
    Found(Match),
}

impl Verdict {
    /// The verdict on a candidate that begins at `start`.
    pub fn of(start: usize, result: Result<Option<Match>, Cut>) -> Self {
        match result {
            Ok(Some(found)) => Self::Found(found),
            Ok(None) => Self::No,
            Err(Cut) => Self::Cut(start),
        }
    }
}

impl<'a> Text<'a> {
    /// The byte at `offset`; `None` at the end of the text.
    pub fn at(&self, offset: usize) -> Result<Option<u8>, Cut> {
        match self.bytes.get(offset) {
            Some(byte) => Ok(Some(*byte)),
            None if self.end => Ok(None),
            None => Err(Cut),
        }
    }

    /// The byte before `offset`.
    pub fn before(&self, offset: usize) -> Option<u8> {
        self.bytes.get(offset.checked_sub(1)?).copied()
    }

    /// Where the run of bytes that `class` accepts ends, from `start` on and for `most` bytes at most.
    pub fn run(&self, start: usize, most: usize, class: impl Fn(u8) -> bool) -> Result<usize, Cut> {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let length = rest.iter().take(most).take_while(|byte| class(**byte)).count();
        if length == rest.len() && length < most && !self.end {
            return Err(Cut);
        }
        Ok(start.saturating_add(length))
    }

    /// [`Text::run`] where many begin in each other: what the last one has seen is not looked at again. For one class only.
    pub fn run_again(&self, start: usize, most: usize, class: impl Fn(u8) -> bool) -> Result<usize, Cut> {
        let limit = start.saturating_add(most);
        let (first, last) = self.last_run.get();
        let (first, last) = if (first..=last).contains(&start) { (first, last) } else { (start, start) };
        let seen = last.min(limit);
        let rest = self.slice(seen..limit);
        let length = rest.iter().take_while(|byte| class(**byte)).count();
        let end = seen.saturating_add(length);
        self.last_run.set((first, last.max(end)));
        if end == self.bytes.len() && end < limit && !self.end {
            return Err(Cut);
        }
        Ok(end)
    }

    /// The bytes from `range`, as many as there are.
    pub fn slice(&self, range: Range<usize>) -> &'a [u8] {
        let end = range.end.min(self.bytes.len());
        self.bytes.get(range.start..end).unwrap_or_default()
    }

    /// Whether `literal` stands at `start`.
    pub fn has(&self, start: usize, literal: &[u8]) -> Result<bool, Cut> {
        let rest = self.bytes.get(start..).unwrap_or_default();
        if rest.len() >= literal.len() || self.end {
            return Ok(rest.starts_with(literal));
        }
        if literal.starts_with(rest) { Err(Cut) } else { Ok(false) }
    }
}

/// A letter, a digit or `_`: what a value cannot touch without being a part of something longer.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn runs_in_each_other_are_looked_at_once() {
        let bytes = [vec![b'a'; 1_000], vec![b' '], vec![b'a'; 500]].concat();
        for end in [true, false] {
            let looks = Cell::new(0_usize);
            let class = |byte: u8| {
                looks.set(looks.get() + 1);
                byte == b'a'
            };
            let last_run = Cell::default();
            let text = Text { bytes: &bytes, end, key: None, last_run: &last_run };
            for start in (0..bytes.len()).chain([0, 700, 1_200, 3]) {
                let expected = text.run(start, 100, |byte| byte == b'a');
                assert_eq!(text.run_again(start, 100, class).ok(), expected.ok(), "{start} {end}");
            }
            assert!(looks.get() < 3 * bytes.len(), "{}", looks.get());
        }
    }
}
