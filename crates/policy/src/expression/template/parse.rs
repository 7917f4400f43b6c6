//! Reads a template: where its tags are, how they nest, and in what context each writes.

use super::super::check::{Token, captures, computes, tokens};
use super::super::{ExpressionError, FUNCTIONS, Needs, Part, Place, compile_part, scope};
use super::{Compiled, Loop, MAX_NESTING, MAX_SOURCE, Piece, Sink};
use crate::headers::HeaderValue;

/// The tags that begin or end something, for the error about one that there is not.
const TAGS: [&str; 8] = ["elif", "else", "endfor", "endif", "for", "if", "raw", "set"];

/// A template, read.
pub(super) struct Parsed<'a> {
    pub(super) pieces: Vec<Piece>,
    pub(super) needs: Needs,
    /// The names that its expressions ask `path` for.
    pub(super) captures: Vec<&'a str>,
}

pub(super) fn parse(source: &str, sink: Sink) -> Result<Parsed<'_>, ExpressionError> {
    if source.len() > MAX_SOURCE {
        let why = format!("{} bytes, where a template has at most {MAX_SOURCE}", source.len());
        return Err(ExpressionError { message: why });
    }
    let end = source.strip_suffix('\n').map_or(source, |text| text.strip_suffix('\r').unwrap_or(text));
    let mut parser = Parser {
        source: end,
        at: 0,
        sink,
        locals: Vec::new(),
        depth: 0,
        names_loop: false,
        trim: false,
        json: Json::default(),
        needs: Needs::default(),
        captures: Vec::new(),
    };
    let (pieces, _) = parser.block(&[])?;
    if parser.json.in_string {
        return Err(parser.error(end.len(), "the JSON text ends within a string"));
    }
    Ok(Parsed { pieces, needs: parser.needs, captures: parser.captures })
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    sink: Sink,
    /// The variables that are set here, of outer blocks too.
    locals: Vec<&'a str>,
    depth: usize,
    /// Whether an expression of the loop that is being read names `loop`.
    names_loop: bool,
    /// Whether the tag before took the white space that follows.
    trim: bool,
    json: Json,
    needs: Needs,
    captures: Vec<&'a str>,
}

/// Where in a JSON text the literal text of a template has come to. Values don't change that: in a string they hold no
/// bare quote, and elsewhere they are whole.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Json {
    in_string: bool,
}

/// A block tag: `{% keyword rest %}`.
#[derive(Clone, Copy)]
struct Tag<'a> {
    /// Where its brackets begin.
    start: usize,
    keyword: &'a str,
    /// What follows the keyword.
    rest: Part<'a>,
}

impl<'a> Parser<'a> {
    /// Reads up to one of the tags that end the block, or to the end of the template.
    fn block(&mut self, ends: &[&str]) -> Result<(Vec<Piece>, Option<Tag<'a>>), ExpressionError> {
        let mut pieces = Vec::new();
        loop {
            let Some(bracket) = self.text(&mut pieces)? else { return Ok((pieces, None)) };
            let start = self.at;
            match bracket {
                "{#" => self.comment()?,
                "{{" => {
                    let value = self.tag("{{", "}}")?;
                    let value = self.compile(value)?;
                    pieces.push(Piece::Emit { value, in_string: self.json.in_string });
                }
                _ => {
                    let tag = self.block_tag()?;
                    if ends.contains(&tag.keyword) {
                        return Ok((pieces, Some(tag)));
                    }
                    match tag.keyword {
                        "if" => pieces.push(self.nested(start, |parser| parser.branches(tag))?),
                        "for" => pieces.push(self.nested(start, |parser| parser.looped(tag))?),
                        "set" => pieces.push(self.set(tag)?),
                        "raw" => self.raw(tag, &mut pieces)?,
                        _ => return Err(self.stray(tag, ends)),
                    }
                }
            }
        }
    }

    /// Of a tag that has no place here.
    fn stray(&self, tag: Tag<'a>, ends: &[&str]) -> ExpressionError {
        let Tag { start, keyword, .. } = tag;
        match ends.last() {
            _ if !TAGS.contains(&keyword) => {
                ExpressionError::unknown(self.source, start, "tag", keyword, &TAGS)
            }
            Some(end) => self.error(start, format!("found {keyword}, expected {end}")),
            None => self.error(start, format!("{keyword} has nothing that it belongs to")),
        }
    }

    /// Reads a block within the one that is being read.
    fn nested<T>(
        &mut self,
        start: usize,
        read: impl FnOnce(&mut Self) -> Result<T, ExpressionError>,
    ) -> Result<T, ExpressionError> {
        if self.depth >= MAX_NESTING {
            return Err(self.error(start, format!("more than {MAX_NESTING} blocks within each other")));
        }
        self.depth = self.depth.saturating_add(1);
        let read = read(self);
        self.depth = self.depth.saturating_sub(1);
        read
    }

    /// Reads what a tag holds, up to one of the tags that end it.
    fn part(&mut self, tag: Tag<'a>, ends: &[&str]) -> Result<(Vec<Piece>, Tag<'a>), ExpressionError> {
        let (pieces, end) = self.block(ends)?;
        match end {
            Some(end) => Ok((pieces, end)),
            None => {
                let why = format!(
                    "{} is not ended: expected {}",
                    tag.keyword,
                    ends.last().copied().unwrap_or_default()
                );
                Err(self.error(tag.start, why))
            }
        }
    }

    fn branches(&mut self, tag: Tag<'a>) -> Result<Piece, ExpressionError> {
        let before = self.json;
        let mut after = None;
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        let mut tag = tag;
        loop {
            let condition = if tag.keyword == "else" { None } else { Some(self.compile(tag.rest)?) };
            let ends: &[&str] = if condition.is_some() { &["elif", "else", "endif"] } else { &["endif"] };
            let (pieces, end) = self.part(tag, ends)?;
            self.same_context(*after.get_or_insert(self.json), end)?;
            self.json = before;
            match condition {
                Some(condition) => branches.push((condition, pieces)),
                None => otherwise = pieces,
            }
            if end.keyword == "endif" {
                // Without an else there is a way past all branches.
                let after = after.unwrap_or(before);
                if tag.keyword != "else" {
                    self.same_context(after, end)?;
                }
                self.json = after;
                return Ok(Piece::If { branches, otherwise });
            }
            tag = end;
        }
    }

    fn looped(&mut self, tag: Tag<'a>) -> Result<Piece, ExpressionError> {
        let (names, list, filter) = self.loop_head(tag)?;
        let list = self.compile(list)?;
        let outside = self.locals.len();
        self.locals.extend(&names);
        self.locals.push("loop");
        let outer = std::mem::take(&mut self.names_loop);
        let filter = filter.map(|filter| self.compile(filter)).transpose()?;
        let before = self.json;
        let (body, end) = self.part(tag, &["else", "endfor"])?;
        self.locals.truncate(outside);
        self.same_context(before, end)?;
        let mut otherwise = Vec::new();
        if end.keyword == "else" {
            let end;
            (otherwise, end) = self.part(tag, &["endfor"])?;
            self.same_context(before, end)?;
        }
        let names = names.into_iter().map(Into::into).collect();
        let round = self.names_loop.then(|| "loop".into());
        self.names_loop |= outer;
        Ok(Piece::For(Box::new(Loop { names, round, list, filter, body, otherwise })))
    }

    /// `x in list`, `key, value in list if condition`.
    fn loop_head(&self, tag: Tag<'a>) -> Result<(Vec<&'a str>, Part<'a>, Option<Part<'a>>), ExpressionError> {
        let Part { within, start, text } = tag.rest;
        let piece = |from: usize, to: usize| Part {
            within,
            start: start.saturating_add(from),
            text: text.get(from..to).unwrap_or_default(),
        };
        let mut names = Vec::new();
        let mut tokens = tokens(text);
        let mut expects_name = true;
        let from = loop {
            match tokens.next() {
                Some((at, Token::Name(name))) if expects_name => {
                    names.push(self.new_name(piece(at, text.len()), name)?);
                    expects_name = false;
                }
                Some((_, Token::Other(','))) if !expects_name => expects_name = true,
                Some((_, Token::Name("in"))) if !expects_name => {
                    break tokens.next().map_or(text.len(), |(at, _)| at);
                }
                other => {
                    let at = other.map_or(text.len(), |(at, _)| at);
                    return Err(tag.rest.error(at, "expected for x in list, or for key, value in list"));
                }
            }
        };
        let list = piece(from, text.len());
        let filter = keyword_outside_brackets(list.text, "if").map(|at| {
            let to = from.saturating_add(at);
            (piece(from, to), piece(to.saturating_add("if".len()), text.len()))
        });
        Ok(match filter {
            Some((list, filter)) => (names, list, Some(filter)),
            None => (names, list, None),
        })
    }

    fn set(&mut self, tag: Tag<'a>) -> Result<Piece, ExpressionError> {
        let Part { within, start, text } = tag.rest;
        let mut tokens = tokens(text);
        let (Some((at, Token::Name(name))), Some((equals, Token::Other('=')))) =
            (tokens.next(), tokens.next())
        else {
            return Err(tag.rest.error(0, "expected set name = expression"));
        };
        let name = self.new_name(Part { start: start.saturating_add(at), ..tag.rest }, name)?;
        let from = equals.saturating_add(1);
        let text = text.get(from..).unwrap_or_default();
        let value = self.compile(Part { within, start: start.saturating_add(from), text })?;
        self.locals.push(name);
        Ok(Piece::Set { name: name.into(), value })
    }

    /// A name that a template gives: never one that means something already.
    fn new_name(&self, part: Part<'a>, name: &'a str) -> Result<&'a str, ExpressionError> {
        const KEYWORDS: [&str; 14] = [
            "and", "else", "false", "if", "in", "is", "loop", "none", "not", "or", "true", "False", "None",
            "True",
        ];
        if scope::ROOT.contains(&name) || FUNCTIONS.contains(&name) || KEYWORDS.contains(&name) {
            return Err(part.error(0, format!("{name} is there already: take another name")));
        }
        Ok(name)
    }

    fn compile(&mut self, part: Part<'a>) -> Result<Compiled, ExpressionError> {
        let expression = compile_part(part, &self.locals)?;
        self.needs = self.needs.or(Needs::of(&expression));
        self.captures.extend(captures(part.text));
        self.names_loop |= tokens(part.text).any(|(_, token)| token == Token::Name("loop"));
        let (at, _) = tokens(part.text).next().unwrap_or((0, Token::Text));
        let place = Place::of(self.source, part.start.saturating_add(at));
        Ok(Compiled { expression, exact: !computes(part.text), place })
    }

    /// Reads text up to the next tag and tells its bracket; `None` at the end.
    fn text(&mut self, pieces: &mut Vec<Piece>) -> Result<Option<&'a str>, ExpressionError> {
        let from = self.at;
        let rest = self.rest();
        let (to, bracket) = next_bracket(rest).unwrap_or((rest.len(), ""));
        self.at = from.saturating_add(to);
        let after = rest.get(to.saturating_add(bracket.len())..).unwrap_or_default();
        let mut text = rest.get(..to).unwrap_or_default();
        if !bracket.is_empty() && after.starts_with('-') {
            text = text.trim_end();
        }
        self.literal(text, from, pieces)?;
        Ok((!bracket.is_empty()).then_some(bracket))
    }

    fn literal(&mut self, text: &str, from: usize, pieces: &mut Vec<Piece>) -> Result<(), ExpressionError> {
        let text = if std::mem::take(&mut self.trim) { text.trim_start() } else { text };
        if text.is_empty() {
            return Ok(());
        }
        match self.sink {
            Sink::Header if HeaderValue::new(text.as_bytes()).is_err() => {
                return Err(self.error(from, "a header value holds no line breaks and no control characters"));
            }
            Sink::Json => {
                self.json = self.json.after(text).ok_or_else(|| {
                    self.error(from.saturating_add(text.len()), "a JSON string has no tag after a backslash")
                })?
            }
            _ => {}
        }
        match pieces.last_mut() {
            Some(Piece::Text(before)) => *before = [before, text].concat().into(),
            _ => pieces.push(Piece::Text(text.into())),
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), ExpressionError> {
        let rest = self.rest();
        let Some(end) = rest.get(2..).and_then(|inner| inner.find("#}")) else {
            return Err(self.error(self.at, "this comment is not ended: expected #}"));
        };
        self.trim = rest.get(2..end.saturating_add(2)).is_some_and(|inner| inner.ends_with('-'));
        self.at = self.at.saturating_add(end).saturating_add(4);
        Ok(())
    }

    /// What is in a tag, without its brackets and the `-` in them.
    fn tag(&mut self, open: &str, close: &str) -> Result<Part<'a>, ExpressionError> {
        let rest = self.rest();
        let inner = rest.get(open.len()..).unwrap_or_default();
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
        let start = self.source.len().saturating_sub(inner.len());
        let mut depth = 0_u32;
        for (at, token) in tokens(inner) {
            let here = inner.get(at..).unwrap_or_default();
            let bracket = here.strip_prefix(['-', '+']).unwrap_or(here);
            if depth == 0 && bracket.starts_with(close) {
                self.trim = here.starts_with('-');
                let after = bracket.get(close.len()..).unwrap_or_default();
                self.at = self.source.len().saturating_sub(after.len());
                return Ok(Part { within: self.source, start, text: inner.get(..at).unwrap_or_default() });
            }
            match token {
                Token::Other('(' | '[' | '{') => depth = depth.saturating_add(1),
                Token::Other(')' | ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Err(self.error(self.at, format!("this tag is not ended: expected {close}")))
    }

    fn block_tag(&mut self) -> Result<Tag<'a>, ExpressionError> {
        let start = self.at;
        let inner = self.tag("{%", "%}")?;
        let Some((at, Token::Name(keyword))) = tokens(inner.text).next() else {
            return Err(self.error(start, "expected the name of a tag"));
        };
        let from = at.saturating_add(keyword.len());
        let rest = Part {
            within: inner.within,
            start: inner.start.saturating_add(from),
            text: inner.text.get(from..).unwrap_or_default(),
        };
        if matches!(keyword, "else" | "endif" | "endfor" | "raw")
            && let Some((at, _)) = tokens(rest.text).next()
        {
            return Err(rest.error(at, format!("nothing follows {keyword}")));
        }
        Ok(Tag { start, keyword, rest })
    }

    fn raw(&mut self, tag: Tag<'a>, pieces: &mut Vec<Piece>) -> Result<(), ExpressionError> {
        let from = self.at;
        let rest = self.rest();
        for (at, _) in rest.match_indices("{%") {
            let inner = rest.get(at.saturating_add(2)..).unwrap_or_default();
            let name = inner.strip_prefix(['-', '+']).unwrap_or(inner).trim_start();
            let Some(end) = name.strip_prefix("endraw").map(str::trim_start) else { continue };
            let Some(after) = end.strip_prefix(['-', '+']).unwrap_or(end).strip_prefix("%}") else {
                continue;
            };
            let mut text = rest.get(..at).unwrap_or_default();
            if inner.starts_with('-') {
                text = text.trim_end();
            }
            self.literal(text, from, pieces)?;
            self.trim = end.starts_with('-');
            self.at = self.source.len().saturating_sub(after.len());
            return Ok(());
        }
        Err(self.error(tag.start, "raw is not ended: expected endraw"))
    }

    /// After a block, the text goes on in the same context whichever way it was taken.
    fn same_context(&self, expected: Json, end: Tag<'a>) -> Result<(), ExpressionError> {
        if self.json == expected {
            return Ok(());
        }
        let why =
            "one way to this tag is within a JSON string, another is not: put whole strings into each branch";
        Err(self.error(end.start, why))
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn error(&self, at: usize, why: impl std::fmt::Display) -> ExpressionError {
        ExpressionError::at(self.source, at, why)
    }
}

impl Json {
    /// The context after a text; `None` where the text ends after a backslash.
    fn after(self, text: &str) -> Option<Self> {
        let mut in_string = self.in_string;
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => in_string = !in_string,
                b'\\' if in_string => drop(bytes.next()?),
                _ => {}
            }
        }
        Some(Self { in_string })
    }
}

/// The next bracket that opens a tag, and where.
fn next_bracket(text: &str) -> Option<(usize, &str)> {
    text.match_indices('{').find_map(|(at, _)| {
        let bracket = text.get(at..at.saturating_add(2))?;
        matches!(bracket, "{{" | "{%" | "{#").then_some((at, bracket))
    })
}

fn keyword_outside_brackets(text: &str, keyword: &str) -> Option<usize> {
    let mut depth = 0_u32;
    let mut before = Token::Other(' ');
    for (at, token) in tokens(text) {
        match token {
            Token::Other('(' | '[' | '{') => depth = depth.saturating_add(1),
            Token::Other(')' | ']' | '}') => depth = depth.saturating_sub(1),
            Token::Name(name) if name == keyword && depth == 0 && before != Token::Other('.') => {
                return Some(at);
            }
            _ => {}
        }
        before = token;
    }
    None
}
