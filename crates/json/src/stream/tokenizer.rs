//! The state machine of the tokenizer.

use std::sync::Arc;

use super::paths::Paths;
use super::place::{Kind, Stack};
use super::{Event, Token, TokenKind};
use crate::number::digits;
use crate::string::plain_end;

/// How a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many containers may be open at once: one more, and the stream is broken there.
    pub depth: usize,
    /// Whether each line is a value of its own (NDJSON): no value goes on in the next line, and what is broken is well
    /// again there.
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
    String {
        name: bool,
        escape: bool,
    },
    /// The rest of a number.
    Number,
    /// The rest of this word.
    Word(&'static [u8]),
    /// No JSON.
    Broken,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

impl Tokenizer {
    /// A tokenizer at the start of a stream.
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
                state => self.structure(chunk, at, state, &mut each),
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

    /// Structure, and the tokens that are whole in this chunk; up to the first that is not, or to what is no JSON.
    fn structure(
        &mut self,
        chunk: &[u8],
        mut at: usize,
        mut state: State,
        each: &mut impl FnMut(Event<'_>),
    ) -> usize {
        let mut kind = self.stack.kind();
        // The name of the innermost member as long as it stands in this chunk: most are never needed later.
        let mut fresh: Option<&[u8]> = None;
        while let Some(&byte) = chunk.get(at) {
            let next = at.wrapping_add(1);
            (state, at) = match (state, byte) {
                (_, b'\n') if self.options.lines && kind != Kind::Stream => {
                    self.break_off(self.offset(at), at, each)
                }
                (_, b' ' | b'\n' | b'\r' | b'\t') => (state, next),
                (State::Colon, b':') => (State::Value, next),
                (State::After, b',') if kind == Kind::Array => (State::Value, next),
                (State::After, b',') if kind == Kind::Object => (State::Name, next),
                (State::FirstName | State::Name, b'"') => match self.name_token(chunk, at, each) {
                    Ok((name, end)) => {
                        fresh = Some(name);
                        match chunk.get(end) {
                            Some(b':') => (State::Value, end.wrapping_add(1)),
                            _ => (State::Colon, end),
                        }
                    }
                    Err(open) => (open, next),
                },
                (State::FirstElement | State::After, b']') if kind == Kind::Array => {
                    (kind, fresh) = (self.close(at), None);
                    (State::After, next)
                }
                (State::FirstName | State::After, b'}') if kind == Kind::Object => {
                    (kind, fresh) = (self.close(at), None);
                    (State::After, next)
                }
                (State::FirstName | State::Name | State::Colon, _) => {
                    self.break_off(self.offset(at), next, each)
                }
                (State::After, _) if kind != Kind::Stream => self.break_off(self.offset(at), next, each),
                (_, b'[' | b'{') if self.stack.depth() < self.options.depth => {
                    self.stack.value(&self.paths, self.offset(at));
                    if let Some(name) = fresh.take() {
                        self.stack.keep_name(name, false);
                    }
                    kind = if byte == b'[' { Kind::Array } else { Kind::Object };
                    self.stack.open(kind, self.offset(at));
                    (if byte == b'[' { State::FirstElement } else { State::FirstName }, next)
                }
                _ => match TokenKind::of(byte) {
                    Some(token) => self.value_token(chunk, at, token, fresh, each),
                    None if state == State::Value && self.in_byte_order_mark(byte, at) => (state, next),
                    None => self.break_off(self.offset(at), next, each),
                },
            };
            if matches!(state, State::String { .. } | State::Number | State::Word(_) | State::Broken) {
                break;
            }
        }
        if let Some(name) = fresh {
            self.stack.keep_name(name, false);
        }
        self.state = state;
        at
    }

    /// A name begins: itself without quotes, and where it ends; or the state of one that is not whole in this chunk, or has
    /// escapes.
    #[inline(always)]
    fn name_token<'c>(
        &mut self,
        chunk: &'c [u8],
        at: usize,
        each: &mut impl FnMut(Event<'_>),
    ) -> Result<(&'c [u8], usize), State> {
        let token = Token { kind: TokenKind::Name, start: self.offset(at) };
        self.stack.child(token.start);
        each(Event::Begin(token, self.stack.place_of_name()));
        let inside = at.wrapping_add(1);
        let end = plain_end(chunk, inside);
        if chunk.get(end) != Some(&b'"') {
            self.open_token(token.start);
            return Err(State::String { name: true, escape: false });
        }
        let name = chunk.get(inside..end).unwrap_or_default();
        self.stack.named(&self.paths, name, false, true);
        let end = end.wrapping_add(1);
        each(Event::End(token, self.offset(end)));
        Ok((name, end))
    }

    /// A value that is no container begins: what comes next and where; or the state of one that is not whole in this
    /// chunk, or has escapes.
    #[inline(always)]
    fn value_token(
        &mut self,
        chunk: &[u8],
        at: usize,
        kind: TokenKind,
        name: Option<&[u8]>,
        each: &mut impl FnMut(Event<'_>),
    ) -> (State, usize) {
        let token = Token { kind, start: self.offset(at) };
        self.stack.value(&self.paths, token.start);
        each(Event::Begin(token, self.stack.place(name)));
        let inside = at.wrapping_add(1);
        let (open, open_at, end) = match kind {
            TokenKind::Number => {
                let end = number_end(chunk, inside);
                (State::Number, end, Some(end).filter(|end| *end < chunk.len()))
            }
            TokenKind::Word => (State::Word(rest_of_word(chunk.get(at))), inside, None),
            TokenKind::Name | TokenKind::String => {
                let quote = plain_end(chunk, inside);
                let whole = chunk.get(quote) == Some(&b'"');
                let open = State::String { name: false, escape: false };
                (open, inside, whole.then_some(quote.wrapping_add(1)))
            }
        };
        let Some(end) = end else {
            self.open_token(token.start);
            return (open, open_at);
        };
        each(Event::End(token, self.offset(end)));
        self.stack.child_ended(self.offset(end));
        (State::After, end)
    }

    fn open_token(&mut self, start: u64) {
        self.start = start;
        self.name.clear();
        self.name_len = 0;
        self.escaped = false;
    }

    /// The innermost container closes at `at`; the kind of the one around it.
    fn close(&mut self, at: usize) -> Kind {
        self.stack.close(self.offset(at).wrapping_add(1));
        self.stack.kind()
    }

    fn in_byte_order_mark(&self, byte: u8, at: usize) -> bool {
        usize::try_from(self.offset(at)).ok().and_then(|at| BYTE_ORDER_MARK.get(at)) == Some(&byte)
    }

    #[inline]
    fn end_value(&mut self, kind: TokenKind, end: u64, each: &mut impl FnMut(Event<'_>)) {
        each(Event::End(Token { kind, start: self.start }, end));
        self.stack.child_ended(end);
        self.state = State::After;
    }

    /// It is no JSON from `offset` on; what to do then, and where.
    fn break_off(&mut self, offset: u64, at: usize, each: &mut impl FnMut(Event<'_>)) -> (State, usize) {
        self.state = State::Broken;
        each(Event::Broken(offset));
        (State::Broken, at)
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
            Some(_) => self.break_off(self.offset(at), at, each).1,
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
        let cap = self.paths.name_bytes().max(super::place::NAME);
        let room = cap.saturating_sub(self.name.len()).min(part.len());
        self.name.extend_from_slice(part.get(..room).unwrap_or_default());
        self.name_len = self.name_len.saturating_add(part.len());
        if last {
            let whole = self.name_len == self.name.len();
            self.stack.named(&self.paths, &self.name, self.escaped, whole);
            self.stack.keep_name(&self.name, self.escaped);
        }
    }

    #[inline]
    fn number(&mut self, chunk: &[u8], at: usize, each: &mut impl FnMut(Event<'_>)) -> usize {
        let at = number_end(chunk, at);
        if at < chunk.len() {
            self.end_value(TokenKind::Number, self.offset(at), each);
        }
        at
    }

    fn word(
        &mut self,
        chunk: &[u8],
        at: usize,
        rest: &'static [u8],
        each: &mut impl FnMut(Event<'_>),
    ) -> usize {
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
            _ => self.break_off(self.offset(at), at, each).1,
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

/// The end of the number characters from `at` on.
#[inline]
fn number_end(chunk: &[u8], mut at: usize) -> usize {
    loop {
        at = digits(chunk, at);
        match chunk.get(at) {
            Some(b'.' | b'-' | b'+' | b'e' | b'E') => at = at.wrapping_add(1),
            _ => return at,
        }
    }
}

/// What follows the first letter of a word.
fn rest_of_word(first: Option<&u8>) -> &'static [u8] {
    match first {
        Some(b't') => b"rue",
        Some(b'f') => b"alse",
        _ => b"ull",
    }
}

impl TokenKind {
    /// What begins with this byte, as a value.
    #[inline(always)]
    fn of(byte: u8) -> Option<Self> {
        match byte {
            b'"' => Some(Self::String),
            b'-' | b'0'..=b'9' => Some(Self::Number),
            b't' | b'f' | b'n' => Some(Self::Word),
            _ => None,
        }
    }
}
