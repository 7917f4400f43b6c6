//! JSONPath (RFC 9535), without filters and functions.

use super::error::PathProblem;
use super::{Segment, Selector};
use crate::string::pair;

type Failure = (usize, PathProblem);

/// The largest index, 2^53 - 1 (RFC 9535, section 2.1).
const MAX_INDEX: i64 = 9_007_199_254_740_991;
const MIN_INDEX: i64 = -9_007_199_254_740_991;

/// The segments of a query that begins with `$`; else where it is wrong, and what.
pub(super) fn parse(source: &str) -> Result<Vec<Segment>, Failure> {
    let mut parser = Parser { rest: source, len: source.len() };
    parser.eat("$");
    let mut segments = Vec::new();
    loop {
        let spaced = parser.at();
        let blank = parser.space();
        if parser.rest.is_empty() {
            return if blank { Err((spaced, PathProblem::Space)) } else { Ok(segments) };
        }
        segments.push(parser.segment()?);
    }
}

struct Parser<'s> {
    rest: &'s str,
    len: usize,
}

impl Parser<'_> {
    fn at(&self) -> usize {
        self.len.saturating_sub(self.rest.len())
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let character = characters.next()?;
        self.rest = characters.as_str();
        Some(character)
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// White space (RFC 9535, section 2.1.1); whether there was any.
    fn space(&mut self) -> bool {
        let rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let any = rest.len() < self.rest.len();
        self.rest = rest;
        any
    }

    fn fail<T>(&self, problem: PathProblem) -> Result<T, Failure> {
        Err((self.at(), problem))
    }

    /// RFC 9535, section 2.5.
    fn segment(&mut self) -> Result<Segment, Failure> {
        let descendant = self.eat("..");
        if self.eat("[") {
            return Ok(Segment { descendant, selectors: self.bracketed()?.into() });
        }
        if !descendant && !self.eat(".") {
            return self.fail(PathProblem::Segment);
        }
        let selector = if self.eat("*") { Selector::Wildcard } else { self.shorthand()? };
        Ok(Segment { descendant, selectors: Box::new([selector]) })
    }

    /// A name after a dot: it begins with no digit (RFC 9535, section 2.5.1.1).
    fn shorthand(&mut self) -> Result<Selector, Failure> {
        let begins =
            |character: char| character.is_ascii_alphabetic() || character == '_' || !character.is_ascii();
        let end = self.rest.find(|character: char| !begins(character) && !character.is_ascii_digit());
        let (name, rest) = self.rest.split_at_checked(end.unwrap_or(self.rest.len())).unwrap_or_default();
        if !name.starts_with(begins) {
            let space = self.peek().is_some_and(char::is_whitespace);
            return self.fail(if space { PathProblem::Space } else { PathProblem::Shorthand });
        }
        self.rest = rest;
        Ok(Selector::Name(name.into()))
    }

    /// The selectors between brackets; the opening one is read.
    fn bracketed(&mut self) -> Result<Vec<Selector>, Failure> {
        let mut selectors = Vec::new();
        loop {
            self.space();
            selectors.push(self.selector()?);
            self.space();
            if self.eat("]") {
                return Ok(selectors);
            }
            if !self.eat(",") {
                return self.fail(PathProblem::AfterSelector);
            }
        }
    }

    /// RFC 9535, section 2.3.
    fn selector(&mut self) -> Result<Selector, Failure> {
        match self.peek() {
            Some('*') => {
                self.next();
                Ok(Selector::Wildcard)
            }
            Some(quote @ ('"' | '\'')) => self.quoted(quote).map(|name| Selector::Name(name.into())),
            Some('?') => self.fail(PathProblem::Filter),
            Some('0'..='9' | '-' | '+' | ':') => self.index_or_slice(),
            _ => self.fail(PathProblem::Selector),
        }
    }

    /// RFC 9535, sections 2.3.3 and 2.3.4.
    fn index_or_slice(&mut self) -> Result<Selector, Failure> {
        let start = self.integer()?;
        let index = self.rest;
        self.space();
        if !self.eat(":") {
            self.rest = index;
            return start.map(Selector::Index).ok_or((self.at(), PathProblem::Selector));
        }
        self.space();
        let end = self.integer()?;
        self.space();
        let mut step = None;
        if self.eat(":") {
            self.space();
            step = self.integer()?;
        }
        Ok(Selector::Slice { start, end, step: step.unwrap_or(1) })
    }

    /// An integer of RFC 9535, section 2.3.3.1, if one begins here.
    fn integer(&mut self) -> Result<Option<i64>, Failure> {
        let digits_at = usize::from(self.rest.starts_with('-'));
        let digits = self.rest.get(digits_at..).unwrap_or_default();
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        let Some((text, rest)) = self.rest.split_at_checked(digits_at.saturating_add(count)) else {
            return Ok(None);
        };
        match text.as_bytes() {
            [] if self.rest.starts_with('+') => self.fail(PathProblem::Index),
            [] => Ok(None),
            [b'-'] | [b'-', b'0', ..] | [b'0', _, ..] => self.fail(PathProblem::Index),
            _ => match text.parse() {
                Ok(number) if (MIN_INDEX..=MAX_INDEX).contains(&number) => {
                    self.rest = rest;
                    Ok(Some(number))
                }
                _ => self.fail(PathProblem::Range),
            },
        }
    }

    /// A name in quotes (RFC 9535, section 2.3.1.1).
    fn quoted(&mut self, quote: char) -> Result<String, Failure> {
        let open = self.at();
        self.next();
        let mut name = String::new();
        loop {
            let at = self.at();
            match self.next() {
                None => return Err((open, PathProblem::Quote)),
                Some(character) if character == quote => return Ok(name),
                Some('\\') => name.push(self.escape(at, quote)?),
                Some('\0'..'\u{20}') => return Err((at, PathProblem::Control)),
                Some(character) => name.push(character),
            }
        }
    }

    /// What an escape stands for; its backslash, at `at`, is read.
    fn escape(&mut self, at: usize, quote: char) -> Result<char, Failure> {
        Ok(match self.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{C}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('/') => '/',
            Some('\\') => '\\',
            Some('u') => return self.unicode(at),
            Some(character) if character == quote => quote,
            _ => return Err((at, PathProblem::Escape)),
        })
    }

    fn unicode(&mut self, at: usize) -> Result<char, Failure> {
        let unit = self.code_unit(at)?;
        if let Some(character) = char::from_u32(unit) {
            return Ok(character);
        }
        if unit < 0xDC00 && self.eat("\\u") {
            let low = self.code_unit(at)?;
            if (0xDC00..0xE000).contains(&low) {
                return Ok(pair(unit, low));
            }
        }
        Err((at, PathProblem::Surrogate))
    }

    fn code_unit(&mut self, at: usize) -> Result<u32, Failure> {
        let (digits, rest) = self.rest.split_at_checked(4).ok_or((at, PathProblem::Escape))?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err((at, PathProblem::Escape));
        }
        self.rest = rest;
        u32::from_str_radix(digits, 16).map_err(|_| (at, PathProblem::Escape))
    }
}
