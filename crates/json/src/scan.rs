//! The scanner: one pass over a text that checks the grammar of RFC 8259 and keeps nothing but its place.
//!
//! It does not recurse: the containers that are open are one bit each. It checks everything but the encoding of
//! strings, see [`string`]. A byte order mark before the value is passed over, as RFC 8259, section 8.1,
//! allows.

#[cfg(test)]
mod tests;

use crate::error::{ErrorKind, JsonError};
use crate::{number, string};

/// What one call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many arrays and objects may be open at once.
    pub depth: usize,
    /// How many places the paths of one call may select, all together.
    pub matches: usize,
    /// How many bytes a changed text may have.
    pub output: usize,
}

impl Default for Limits {
    /// Depth 512, a million places, 64 MiB.
    fn default() -> Self {
        Self { depth: 512, matches: 1_000_000, output: 64 << 20 }
    }
}

/// Checks that a text is exactly one JSON value (RFC 8259), with white space around it or a byte order mark before it.
///
/// Strings need not be UTF-8, and half of a surrogate pair may stand alone; member names may repeat; numbers have any
/// size.
///
/// # Errors
/// What is wrong first, and where.
pub fn validate(text: &[u8], limits: &Limits) -> Result<(), JsonError> {
    document(text, limits).map(drop)
}

/// Checks a text like [`validate`] and gives the span of its value, without what stands around it.
pub(crate) fn document(text: &[u8], limits: &Limits) -> Result<(usize, usize), JsonError> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    let start = scanner.at;
    scanner.value(limits.depth)?;
    let end = scanner.at;
    scanner.finish()?;
    Ok((start, end))
}

/// The kinds of value that a first byte tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Object,
    Array,
    Scalar,
}

/// A place in a text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'t> {
    pub text: &'t [u8],
    pub at: usize,
}

/// What a scan of a value passes, for those who count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passed {
    /// The bracket that opens an array.
    Array(usize),
    /// The first element of the innermost array, or a comma in it.
    Element,
    /// The end of the innermost array.
    EndOfArray,
}

impl<'t> Scanner<'t> {
    /// Stands before the value of a text, behind a byte order mark.
    pub fn new(text: &'t [u8]) -> Self {
        Self { text, at: if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 } }
    }

    #[inline(always)]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline(always)]
    pub fn advance(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    /// Passes over white space (RFC 8259, section 2).
    #[inline(always)]
    pub fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.advance();
        }
    }

    /// What the value here is, by its first byte.
    #[inline]
    pub fn start(&self) -> Start {
        match self.peek() {
            Some(b'{') => Start::Object,
            Some(b'[') => Start::Array,
            _ => Start::Scalar,
        }
    }

    /// Passes over the value here, and at most `depth` levels of containers in it.
    #[inline]
    pub fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        self.value_with(depth, |_| {})
    }

    /// [`Scanner::value`] that tells of the arrays it passes.
    #[inline]
    pub fn value_with(&mut self, depth: usize, mut passed: impl FnMut(Passed)) -> Result<(), JsonError> {
        let mut open = Open::new(depth);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{') => {
                    open.push(false, self.at)?;
                    self.advance();
                    self.space();
                    if self.peek() != Some(b'}') {
                        self.name()?;
                        continue;
                    }
                    self.advance();
                    open.pop();
                }
                Some(b'[') => {
                    open.push(true, self.at)?;
                    passed(Passed::Array(self.at));
                    self.advance();
                    self.space();
                    if self.peek() != Some(b']') {
                        passed(Passed::Element);
                        continue;
                    }
                    self.advance();
                    passed(Passed::EndOfArray);
                    open.pop();
                }
                _ => self.scalar()?,
            }
            loop {
                let Some(array) = open.last() else { return Ok(()) };
                self.space();
                match (self.peek(), array) {
                    (Some(b','), true) => {
                        passed(Passed::Element);
                        self.advance();
                        self.space();
                        break;
                    }
                    (Some(b','), false) => {
                        self.advance();
                        self.space();
                        self.name()?;
                        break;
                    }
                    (Some(b']'), true) => {
                        passed(Passed::EndOfArray);
                        self.advance();
                        open.pop();
                    }
                    (Some(b'}'), false) => {
                        self.advance();
                        open.pop();
                    }
                    _ => return Err(self.after(array)),
                }
            }
        }
    }

    /// Passes over a member name, its colon and the white space around that; gives the span of the name with its
    /// quotes, and whether there are escapes in it.
    #[inline(always)]
    pub fn name(&mut self) -> Result<((usize, usize), bool), JsonError> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.error(ErrorKind::Name));
        }
        let (end, escaped) = string::scan(self.text, self.at.wrapping_add(1))?;
        self.at = end;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.error(ErrorKind::Colon));
        }
        self.advance();
        self.space();
        Ok(((start, end), escaped))
    }

    /// Passes over the string whose opening quote is here.
    #[inline(always)]
    fn string(&mut self) -> Result<(), JsonError> {
        (self.at, _) = string::scan(self.text, self.at.wrapping_add(1))?;
        Ok(())
    }

    /// Passes over a value that is no container.
    #[inline(always)]
    pub fn scalar(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => {
                self.at = number::scan(self.text, self.at)?;
                Ok(())
            }
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.error(ErrorKind::Value)),
        }
    }

    #[inline]
    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.at = self.at.wrapping_add(word.len());
            return Ok(());
        }
        let cut = !rest.is_empty() && word.starts_with(rest);
        Err(JsonError::new(self.at, if cut { ErrorKind::End } else { ErrorKind::Value }))
    }

    /// Nothing but white space may follow.
    pub fn finish(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.at < self.text.len() { Err(self.error(ErrorKind::Trailing)) } else { Ok(()) }
    }

    /// The error where neither a comma nor the end follows a child.
    #[cold]
    pub fn after(&self, array: bool) -> JsonError {
        self.error(if array { ErrorKind::AfterElement } else { ErrorKind::AfterMember })
    }

    #[cold]
    pub fn error(&self, kind: ErrorKind) -> JsonError {
        JsonError::new(self.at, if self.at < self.text.len() { kind } else { ErrorKind::End })
    }
}

/// The containers that are open, one bit each: set for an array.
struct Open {
    /// The innermost ones, the last one lowest.
    bits: u64,
    /// The ones further out, in full words.
    outer: Vec<u64>,
    depth: usize,
    limit: usize,
}

impl Open {
    fn new(limit: usize) -> Self {
        Self { bits: 0, outer: Vec::new(), depth: 0, limit }
    }

    #[inline(always)]
    fn push(&mut self, array: bool, at: usize) -> Result<(), JsonError> {
        if self.depth >= self.limit {
            return Err(JsonError::new(at, ErrorKind::TooDeep));
        }
        if self.depth & 63 == 0 && self.depth > 0 {
            self.outer.push(self.bits);
        }
        self.bits = (self.bits << 1) | u64::from(array);
        self.depth = self.depth.wrapping_add(1);
        Ok(())
    }

    #[inline(always)]
    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth & 63 == 0 && self.depth > 0 {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost one is an array; nothing if none is open.
    #[inline(always)]
    fn last(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }
}
