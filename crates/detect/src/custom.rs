//! What a configuration looks for on its own: patterns and dictionaries.
//!
//! Both are walked from one place at a time, byte by byte, until no match can begin there any more. That tells what a search for
//! matches anywhere does not: from where on more bytes could change the result. So chunks change nothing, and only what may
//! still become a match is held back. Matches of one pattern do not overlap: the next begins after the end of the last.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use aho_corasick::automaton::Automaton as _;
use aho_corasick::nfa::contiguous;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Look, LookSet};

use crate::text::{Cut, Text, is_word};

/// The longest match of a pattern, and the longest word.
const LONGEST: usize = 1024;

/// The most that the automaton of one pattern may take, in bytes.
const AUTOMATON: usize = 1 << 20;

/// How the words of a dictionary are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DictionaryOptions {
    /// ASCII letters of either case are the same.
    pub ignore_case: bool,
    /// No letter, digit or `_` right before or after.
    pub whole_words: bool,
}

/// Why a pattern or dictionary is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It is no regular expression; with what is wrong.
    Syntax(String),
    /// It matches no bytes at all, which is everywhere.
    Empty,
    /// There is no longest match: `+`, `*` or `{n,}`.
    Unbounded,
    /// The longest match, in bytes, is too long.
    TooLong(usize),
    /// Its automaton would take too much memory.
    TooBig,
    /// It has `^` or `$`: where a stream of bytes begins and ends says nothing.
    Anchored,
    /// It has a Unicode word boundary.
    UnicodeBoundary,
    /// A dictionary without words.
    NoWords,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(problem) => write!(f, "not a regular expression: {problem}"),
            Self::Empty => f.write_str("matches the empty text, which is everywhere"),
            Self::Unbounded => write!(
                f,
                "has no longest match: write a bound, such as {{1,64}}, instead of +, * or {{1,}}; \
                 a match has at most {LONGEST} bytes"
            ),
            Self::TooLong(length) => {
                write!(f, "may match {length} bytes; a match has at most {LONGEST} bytes")
            }
            Self::TooBig => write!(f, "is too complex: it would take more than {AUTOMATON} bytes of memory"),
            Self::Anchored => f.write_str(
                "has ^ or $, but a body has no such place: write \\b for the edge of a word, (?m:^) for that of a line",
            ),
            Self::UnicodeBoundary => f.write_str("has a Unicode word boundary; write (?-u:\\b)"),
            Self::NoWords => f.write_str("has no words"),
        }
    }
}

impl std::error::Error for PatternError {}

/// A pattern or a dictionary, compiled.
#[derive(Clone)]
pub(crate) struct Custom {
    walker: Arc<Walker>,
    /// The bytes that a match may begin with.
    first: Arc<[bool; 256]>,
}

enum Walker {
    Pattern(Box<dense::DFA<Vec<u32>>>),
    Words { words: Box<contiguous::NFA>, whole: bool },
}

impl Custom {
    /// A regular expression over bytes: `\w`, `\d`, `\b` and `(?i)` are about ASCII.
    pub fn pattern(pattern: &str) -> Result<Self, PatternError> {
        let hir = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(pattern)
            .map_err(|error| PatternError::Syntax(last_line(&error.to_string())))?;
        let properties = hir.properties();
        let looks = properties.look_set();
        match (properties.minimum_len(), properties.maximum_len()) {
            (Some(0) | None, _) => return Err(PatternError::Empty),
            (_, None) => return Err(PatternError::Unbounded),
            (_, Some(length)) if length > LONGEST => return Err(PatternError::TooLong(length)),
            _ => {}
        }
        if !looks.intersect(LookSet::singleton(Look::Start).insert(Look::End)).is_empty() {
            return Err(PatternError::Anchored);
        }
        if looks.contains_word_unicode() {
            return Err(PatternError::UnicodeBoundary);
        }
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().utf8(false).nfa_size_limit(Some(AUTOMATON)))
            .build_from_hir(&hir)
            .map_err(|_| PatternError::TooBig)?;
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(MatchKind::LeftmostFirst)
                    .dfa_size_limit(Some(AUTOMATON))
                    .determinize_size_limit(Some(4 * AUTOMATON)),
            )
            .build_from_nfa(&nfa)
            .map_err(|_| PatternError::TooBig)?;
        Ok(Self::new(Walker::Pattern(Box::new(dfa))))
    }

    pub fn dictionary<W: AsRef<[u8]>>(
        words: impl IntoIterator<Item = W>,
        options: DictionaryOptions,
    ) -> Result<Self, PatternError> {
        let words: Vec<W> = words.into_iter().collect();
        if words.is_empty() {
            return Err(PatternError::NoWords);
        }
        for word in &words {
            match word.as_ref().len() {
                0 => return Err(PatternError::Empty),
                length if length > LONGEST => return Err(PatternError::TooLong(length)),
                _ => {}
            }
        }
        let words = contiguous::Builder::new()
            .ascii_case_insensitive(options.ignore_case)
            .build(&words)
            .map_err(|_| PatternError::TooBig)?;
        Ok(Self::new(Walker::Words { words: Box::new(words), whole: options.whole_words }))
    }

    fn new(walker: Walker) -> Self {
        // A match that begins with a byte is one that the byte alone does not rule out.
        let mut first = [false; 256];
        for (byte, may) in (0..=u8::MAX).zip(&mut first) {
            let text = Text { bytes: &[byte], end: false, key: None, last_run: &Cell::default() };
            *may = matches!(walker.walk(&text, 0), Err(Cut) | Ok(Some(_)));
        }
        Self { walker: Arc::new(walker), first: Arc::new(first) }
    }

    /// Calls `found` with the start and end of each match that begins at `from` or later; returns where one may begin that the
    /// window cuts off.
    pub fn each(&self, text: &Text<'_>, from: usize, mut found: impl FnMut(usize, usize)) -> Option<usize> {
        let mut at = from;
        loop {
            let rest = text.bytes.get(at..).unwrap_or_default();
            let offset = rest.iter().position(|byte| self.may_begin(*byte))?;
            let start = at.saturating_add(offset);
            match self.walker.walk(text, start) {
                Ok(Some(end)) => {
                    found(start, end);
                    at = end.max(start.saturating_add(1));
                }
                Ok(None) => at = start.saturating_add(1),
                Err(Cut) => return Some(start),
            }
        }
    }

    fn may_begin(&self, byte: u8) -> bool {
        self.first.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

impl Walker {
    /// The end of the match that begins at `start`.
    fn walk(&self, text: &Text<'_>, start: usize) -> Result<Option<usize>, Cut> {
        match self {
            Self::Pattern(dfa) => walk_pattern(dfa, text, start),
            Self::Words { whole: true, .. } if text.before(start).is_some_and(is_word) => Ok(None),
            Self::Words { words, whole } => walk_words(words, *whole, text, start),
        }
    }
}

fn walk_pattern(dfa: &dense::DFA<Vec<u32>>, text: &Text<'_>, start: usize) -> Result<Option<usize>, Cut> {
    let config = start::Config::new().anchored(Anchored::Yes).look_behind(text.before(start));
    let Ok(mut state) = dfa.start_state(&config) else { return Ok(None) };
    let mut found = None;
    // A match is told one byte late, when it is known what follows it.
    for (byte, end) in text.bytes.get(start..).unwrap_or_default().iter().zip(start..) {
        state = dfa.next_state(state, *byte);
        if dfa.is_special_state(state) {
            if dfa.is_match_state(state) {
                found = Some(end);
            } else if dfa.is_dead_state(state) || dfa.is_quit_state(state) {
                return Ok(found);
            }
        }
    }
    if !text.end {
        return Err(Cut);
    }
    if dfa.is_match_state(dfa.next_eoi_state(state)) {
        found = Some(text.bytes.len());
    }
    Ok(found)
}

/// The longest word that begins at `start`.
fn walk_words(
    words: &contiguous::NFA,
    whole: bool,
    text: &Text<'_>,
    start: usize,
) -> Result<Option<usize>, Cut> {
    let anchored = aho_corasick::Anchored::Yes;
    let Ok(mut state) = words.start_state(anchored) else { return Ok(None) };
    let mut found = None;
    for (byte, at) in text.bytes.get(start..).unwrap_or_default().iter().zip(start..) {
        state = words.next_state(anchored, state, *byte);
        if words.is_special(state) {
            if words.is_dead(state) {
                return Ok(found);
            }
            let end = at.saturating_add(1);
            if words.is_match(state) && !(whole && text.at(end)?.is_some_and(is_word)) {
                found = Some(end);
            }
        }
    }
    if text.end { Ok(found) } else { Err(Cut) }
}

/// The parser's message has the pattern with a mark in it, in several lines; the last says what is wrong.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
