//! The state machine of the tokenizer.

use std::sync::Arc;

use super::paths::Paths;
use super::place::{Kind, Stack};
use super::{Event, Token, TokenKind};
use crate::string::plain_end;

/// How a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many containers may be open at once: one more, and the stream is broken there.
    pub depth: usize,
    /// Whether each line is a value of its own (NDJSON): what is broken is well again with the next line.
    pub lines: bool,
}

impl Default for Options {
    /// Depth 512; broken is broken.
    fn default() -> Self {
        Self { depth: 512, lines: false }
    }
}

/// Reads a stream of JSON, chunk by chunk.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    paths: Arc<Paths>,
    options: Options,
    state: State,
    stack: Stack,
    /// How many bytes came before this chunk.
    passed: u64,
    /// Where the token begins that is open.
    start: u64,
    /// The beginning of the name that is open, if it began in a chunk before.
    name: Vec<u8>,
    /// How long that name is already, and whether there is an escape in it.
    name_len: usize,
    escaped: bool,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value: of a member, or of an element after a comma, or a document.
    Value,
    /// The first element, or the end of the array.
    FirstElement,
    /// The first member, or the end of the object.
    FirstName,
    /// A member, after a comma.
    Name,
    Colon,
    /// A comma or the end of the container; nothing of that between documents.
    After,
    /// The rest of a string; whether the byte before was the backslash of an escape.
    String { name: bool, escape: bool },
    /// The rest of a number.
    Number,
    /// The rest of this word.
    Word(&'static [u8]),
    /// No JSON.
    Broken,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

impl Tokenizer {
    /// A tokenizer at the begin of a stream.
    pub fn new(paths: Arc<Paths>, options: Options) -> Self {
        Self {
            paths,
            options,
            state: State::Value,
            stack: Stack::new(),
            passed: 0,
            start: 0,
            name: Vec::new(),
            name_len: 0,
            escaped: false,
        }
    }

    /// How many bytes it was fed.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether it reads no JSON now: since an [`Event::Broken`].
    pub fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Reads the next chunk.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(Event<'_>)) {
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::String { name, escape } => self.string(chunk, at, name, escape, &mut each),
                State::Number => self.number(chunk, at, &mut each),
                State::Word(rest) => self.word(chunk, at, rest, &mut each),
                State::Broken => self.broken(chunk, at),
                _ => self.structure(chunk, at, &mut each),
            };
        }
        self.passed = self.offset(chunk.len());
    }

    /// The stream ends: so does a number that is open. If anything else is, the stream is broken at its end.
    pub fn finish(&mut self, mut each: impl FnMut(Event<'_>)) {
        if self.state == State::Number {
            self.end_value(TokenKind::Number, self.passed, &mut each);
        }
        let between = matches!(self.state, State::Value | State::After) && self.stack.depth() == 0;
        if !between && self.state != State::Broken {
            self.state = State::Broken;
            each(Event::Broken(self.passed));
        }
    }

    /// The offset in the stream of an offset in the chunk.
    #[inline(always)]
    fn offset(&self, at: usize) -> u64 {
        self.passed.wrapping_add(at as u64)
    }

    /// White space, then one character of structure or the first of a token.
    #[inline]
    fn structure(&mut self, chunk: &[u8], mut at: usize, each: &mut impl FnMut(Event<'_>)) -> usize {
        let byte = loop {
            match chunk.get(at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => at = at.wrapping_add(1),
                Some(byte) => break *byte,
                None => return at,
            }
        };
        let offset = self.offset(at);
        match (self.state, byte) {
            (State::After, b',') if self.stack.kind() != Kind::Stream => {
                self.state = if self.stack.kind() == Kind::Array { State::Value } else { State::Name };
            }
            (State::FirstElement | State::After, b']') if self.stack.kind() == Kind::Array => self.close(offset),
            (State::FirstName | State::After, b'}') if self.stack.kind() == Kind::Object => self.close(offset),
            (State::FirstName | State::Name, b'"') => {
                self.stack.child(offset);
                self.begin(TokenKind::Name, offset, each);
                self.name.clear();
                self.name_len = 0;
                self.escaped = false;
                self.state = State::String { name: true, escape: false };
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::Value | State::FirstElement, _) => self.value(byte, offset, each),
            (State::After, _) if self.stack.kind() == Kind::Stream => self.value(byte, offset, each),
            _ => self.break_off(offset, each),
        }
        at.wrapping_add(1)
    }

    /// A value begins with `byte`.
    #[inline]
    fn value(&mut self, byte: u8, offset: u64, each: &mut impl FnMut(Event<'_>)) {
        let mark = usize::try_from(offset).ok().and_then(|at| BYTE_ORDER_MARK.get(at));
        if mark == Some(&byte) && self.stack.depth() == 0 {
            return;
        }
        let (kind, state) = match byte {
            b'"' => (TokenKind::String, State::String { name: false, escape: false }),
            b'-' | b'0'..=b'9' => (TokenKind::Number, State::Number),
            b't' => (TokenKind::Word, State::Word(b"rue")),
            b'f' => (TokenKind::Word, State::Word(b"alse")),
            b'n' => (TokenKind::Word, State::Word(b"ull")),
            b'[' | b'{' if self.stack.depth() < self.options.depth => {
                self.stack.value(&self.paths, offset);
                let (kind, state) =
                    if byte == b'[' { (Kind::Array, State::FirstElement) } else { (Kind::Object, State::FirstName) };
                self.stack.open(kind, offset);
                self.state = state;
                return;
            }
            _ => return self.break_off(offset, each),
        };
        self.stack.value(&self.paths, offset);
        self.begin(kind, offset, each);
        self.state = state;
    }

    #[inline]
    fn begin(&mut self, kind: TokenKind, start: u64, each: &mut impl FnMut(Event<'_>)) {
        self.start = start;
        let place = if kind == TokenKind::Name { self.stack.place_of_name() } else { self.stack.place() };
        each(Event::Begin(Token { kind, start }, place));
    }

    #[inline]
    fn end_value(&mut self, kind: TokenKind, end: u64, each: &mut impl FnMut(Event<'_>)) {
        each(Event::End(Token { kind, start: self.start }, end));
        self.stack.child_ended(end);
        self.state = State::After;
    }

    fn close(&mut self, offset: u64) {
        self.stack.close(offset.wrapping_add(1));
        self.state = State::After;
    }

    fn break_off(&mut self, offset: u64, each: &mut impl FnMut(Event<'_>)) {
        self.state = State::Broken;
        each(Event::Broken(offset));
    }

    /// The rest of a string, from `from` on.
    #[inline]
    fn string(
        &mut self,
        chunk: &[u8],
        from: usize,
        name: bool,
        mut escape: bool,
        each: &mut impl FnMut(Event<'_>),
    ) -> usize {
        let mut at = from;
        let ended = loop {
            if escape {
                // Whatever is escaped, it is no end; the digits behind a `u` are plain characters.
                escape = false;
                at = at.wrapping_add(1);
            }
            at = plain_end(chunk, at);
            match chunk.get(at) {
                Some(b'\\') => {
                    self.escaped = true;
                    escape = true;
                    at = at.wrapping_add(1);
                    if at >= chunk.len() {
                        break None;
                    }
                }
                other => break other,
            }
        };
        match ended {
            Some(b'"') => {
                let end = self.offset(at.wrapping_add(1));
                if name {
                    self.keep_name(chunk.get(from..at).unwrap_or_default(), true);
                    each(Event::End(Token { kind: TokenKind::Name, start: self.start }, end));
                    self.state = State::Colon;
                } else {
                    self.end_value(TokenKind::String, end, each);
                }
                at.wrapping_add(1)
            }
            Some(_) => {
                self.break_off(self.offset(at), each);
                at
            }
            None => {
                if name {
                    self.keep_name(chunk.get(from..).unwrap_or_default(), false);
                }
                self.state = State::String { name, escape };
                chunk.len()
            }
        }
    }

    /// Takes the next part of a name, and tells the stack if it is the last.
    fn keep_name(&mut self, part: &[u8], last: bool) {
        if last && self.name_len == 0 {
            return self.stack.named(&self.paths, part, self.escaped, true);
        }
        let cap = self.paths.name_bytes().max(super::place::NAME);
        let room = cap.saturating_sub(self.name.len()).min(part.len());
        self.name.extend_from_slice(part.get(..room).unwrap_or_default());
        self.name_len = self.name_len.saturating_add(part.len());
        if last {
            let whole = self.name_len == self.name.len();
            self.stack.named(&self.paths, &self.name, self.escaped, whole);
        }
    }

    #[inline]
    fn number(&mut self, chunk: &[u8], mut at: usize, each: &mut impl FnMut(Event<'_>)) -> usize {
        while let Some(b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E') = chunk.get(at) {
            at = at.wrapping_add(1);
        }
        if at < chunk.len() {
            self.end_value(TokenKind::Number, self.offset(at), each);
        }
        at
    }

    fn word(&mut self, chunk: &[u8], at: usize, rest: &'static [u8], each: &mut impl FnMut(Event<'_>)) -> usize {
        match (rest.split_first(), chunk.get(at)) {
            (Some((expected, rest)), Some(found)) if expected == found => {
                let at = at.wrapping_add(1);
                if rest.is_empty() {
                    self.end_value(TokenKind::Word, self.offset(at), each);
                } else {
                    self.state = State::Word(rest);
                }
                at
            }
            _ => {
                self.break_off(self.offset(at), each);
                at
            }
        }
    }

    /// Waits for the end of the line, where that helps.
    fn broken(&mut self, chunk: &[u8], at: usize) -> usize {
        let rest = chunk.get(at..).filter(|_| self.options.lines).unwrap_or_default();
        match memchr::memchr(b'\n', rest) {
            Some(line) => {
                let at = at.saturating_add(line).saturating_add(1);
                self.stack.reset(self.offset(at));
                self.state = State::Value;
                at
            }
            None => chunk.len(),
        }
    }
}
