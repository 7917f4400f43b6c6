//! A compiled set of detectors, and the scan.

use std::cell::Cell;
use std::fmt;

use crate::context::{self, Hint, Names, Words};
use crate::custom::{Custom, DictionaryOptions, PatternError};
use crate::detectors::{Detector, Named};
use crate::escape::{self, Decoded, Syntax};
use crate::finding::Finding;
use crate::kind::Kind;
use crate::literal::Literals;
use crate::overlap;
use crate::shape::{Around, BLOCK, Classes, Shape};
use crate::tail;
use crate::text::{Match, Text, Verdict};
use crate::{LEAST_CONFIDENCE, LOOKBEHIND, MAX_MATCH};

/// Collects what a [`Scanner`] shall find.
#[derive(Clone, Default)]
pub struct ScannerBuilder {
    kinds: Vec<(u32, Kind)>,
    customs: Vec<(u32, Kind, Custom)>,
}

impl ScannerBuilder {
    /// Nothing to find yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds this kind; its findings have this `id`. A kind that is there already keeps its id.
    pub fn kind(&mut self, id: u32, kind: Kind) -> &mut Self {
        if self.kinds.iter().all(|(_, known)| *known != kind) {
            self.kinds.push((id, kind));
        }
        self
    }

    /// Finds what a regular expression matches; its findings have this `id` and [`Kind::REGEX`].
    ///
    /// It is about bytes (`\w`, `\d`, `\b` and `(?i)` know ASCII), and of the decoded text where that has escapes. Matches do not overlap:
    /// the leftmost counts, the next begins after its end.
    ///
    /// # Errors
    /// [`PatternError`] if it is none, if it has no longest match or too long a one, or if it is too complex.
    pub fn regex(&mut self, id: u32, pattern: &str) -> Result<&mut Self, PatternError> {
        self.customs.push((id, Kind::REGEX, Custom::pattern(pattern)?));
        Ok(self)
    }

    /// Finds words; its findings have this `id` and [`Kind::DICTIONARY`]. Of words that begin at the same byte the longest counts,
    /// the next begins after its end.
    ///
    /// # Errors
    /// [`PatternError`] if there are no words, or one of them is empty or too long.
    pub fn dictionary<W: AsRef<[u8]>>(
        &mut self,
        id: u32,
        words: impl IntoIterator<Item = W>,
        options: DictionaryOptions,
    ) -> Result<&mut Self, PatternError> {
        self.customs.push((id, Kind::DICTIONARY, Custom::dictionary(words, options)?));
        Ok(self)
    }

    /// Compiles the scanner.
    pub fn build(&self) -> Scanner {
        let entries: Vec<Entry> = self
            .kinds
            .iter()
            .filter_map(|(id, kind)| Some(Entry { id: *id, kind: *kind, detector: kind.detector()? }))
            .collect();
        let mut shapes: Vec<(Shape, Vec<Entry>)> = Vec::new();
        for entry in &entries {
            for shape in entry.detector.shapes {
                match shapes.iter_mut().find(|(known, _)| known == shape) {
                    Some((_, entries)) => entries.push(*entry),
                    None => shapes.push((*shape, vec![*entry])),
                }
            }
        }
        let literals = entries
            .iter()
            .flat_map(|entry| entry.detector.literals.iter().map(|literal| (*literal, *entry)))
            .collect();
        let named = entries.iter().filter_map(|entry| Some((*entry, entry.detector.named?))).collect();
        Scanner { shapes, literals: Literals::new(literals), named, customs: self.customs.clone() }
    }
}

impl fmt::Debug for ScannerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScannerBuilder").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

/// Finds sensitive data in bytes; see the crate's documentation for how.
#[derive(Clone)]
pub struct Scanner {
    shapes: Vec<(Shape, Vec<Entry>)>,
    literals: Literals<Entry>,
    /// Those that judge a whole text by its name.
    named: Vec<(Entry, Named)>,
    customs: Vec<(u32, Kind, Custom)>,
}

/// A detector that was chosen.
#[derive(Clone, Copy)]
struct Entry {
    id: u32,
    kind: Kind,
    detector: &'static Detector,
}

impl Scanner {
    /// Finds the values in `window` that begin at `from` or later.
    ///
    /// `window[..from]` was decided by an earlier scan and is there for context: it should be [`LOOKBEHIND`] bytes, or all there
    /// are. A window of JSON must not begin in the middle of an escape: [`context_start`](crate::context_start) tells where one may. `end`:
    /// nothing follows the window.
    ///
    /// Returns up to where the window is decided: all values that begin before are in `findings`, in order; what follows is
    /// to be shown again with what comes next, and [`LOOKBEHIND`] bytes before it. No finding reaches over that border (unless values
    /// overlap each other in an unbroken chain of more than two [`MAX_MATCH`], which only a hostile text has). With `end` it is
    /// the end of the window.
    ///
    /// Where values overlap, the one of the highest confidence stays, then the one of the more specific kind, then the longer; what a
    /// caller's own pattern or dictionary finds always stays.
    ///
    /// `findings` is emptied first.
    pub fn scan(
        &self,
        window: &[u8],
        from: usize,
        end: bool,
        syntax: Syntax,
        findings: &mut Vec<Finding>,
    ) -> usize {
        self.scan_named(window, from, end, syntax, None, findings)
    }

    /// Finds the values in one whole text whose name is known: the value of a header, a cookie, a query parameter, a JSON
    /// member. Otherwise as [`Scanner::scan`].
    pub fn scan_value(&self, value: &[u8], key: Option<&[u8]>, syntax: Syntax, findings: &mut Vec<Finding>) {
        self.scan_named(value, 0, true, syntax, key, findings);
    }

    fn scan_named(
        &self,
        window: &[u8],
        from: usize,
        end: bool,
        syntax: Syntax,
        key: Option<&[u8]>,
        findings: &mut Vec<Finding>,
    ) -> usize {
        findings.clear();
        let from = from.min(window.len());
        let start = match syntax {
            Syntax::Json => escape::context_start(window, from),
            _ => from.saturating_sub(LOOKBEHIND),
        };
        let decoded = Decoded::new(window, start, end, syntax);
        let bytes = decoded.as_ref().map_or(window.get(start..).unwrap_or_default(), |decoded| &decoded.text);
        let last_run = Cell::default();
        let mut pass = Pass {
            scanner: self,
            text: Text { bytes, end, key, last_run: &last_run },
            from: decoded.as_ref().map_or(from.saturating_sub(start), |decoded| decoded.offset(from, start)),
            undecided: bytes.len(),
            decoded: decoded.as_ref(),
            start,
            names: None,
            names_of: None,
            findings,
        };
        pass.run();
        pass.finish()
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner").finish_non_exhaustive()
    }
}

/// One scan.
struct Pass<'a> {
    scanner: &'a Scanner,
    text: Text<'a>,
    /// Where the new bytes begin in the text.
    from: usize,
    /// The first place where a value may begin that the window does not show whole.
    undecided: usize,
    decoded: Option<&'a Decoded>,
    /// Where the text begins in the window.
    start: usize,
    /// The names in front of the last value that needed them, and where it begins.
    names: Option<Names>,
    names_of: Option<usize>,
    findings: &'a mut Vec<Finding>,
}

impl Pass<'_> {
    fn run(&mut self) {
        let scanner = self.scanner;
        if !scanner.shapes.is_empty() {
            self.shapes();
        }
        scanner.literals.each(self.text.bytes, |place, entry| self.candidate(entry, place));
        for (id, kind, custom) in &scanner.customs {
            let (id, kind) = (*id, *kind);
            let cut = custom.each(&self.text, self.from, |start, end| {
                self.findings.push(Finding {
                    id,
                    kind,
                    range: start..end,
                    confidence: 100,
                    escaped: false,
                    sample: false,
                });
            });
            self.undecided = self.undecided.min(cut.unwrap_or(usize::MAX));
        }
        if let Some(key) = self.text.key
            && !scanner.named.is_empty()
        {
            let name = Words::new(key);
            for (entry, named) in &scanner.named {
                if let Some(found) = named(&name, &self.text) {
                    self.found(entry, found);
                }
            }
        }
    }

    fn shapes(&mut self) {
        let scanner = self.scanner;
        let (blocks, rest) = self.text.bytes.as_chunks::<BLOCK>();
        let mut last = [0; BLOCK];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        let mut classes = blocks.iter().chain([&last]).map(Classes::new).chain([Classes::default()]);
        let mut around = Around::default().step(classes.next().unwrap_or_default());
        let mut offset = 0_usize;
        for next in classes {
            around = around.step(next);
            for (shape, entries) in &scanner.shapes {
                let mut places = around.places(*shape);
                while places != 0 {
                    let place = usize::try_from(places.trailing_zeros()).unwrap_or_default();
                    places &= places.wrapping_sub(1);
                    for entry in entries {
                        self.candidate(entry, offset.saturating_add(place));
                    }
                }
            }
            offset = offset.saturating_add(BLOCK);
        }
    }

    fn candidate(&mut self, entry: &Entry, place: usize) {
        // A value reaches so far and no further, whatever the window shows. (It may begin before the place.)
        let limit = place.saturating_add(MAX_MATCH - LOOKBEHIND);
        let text = match self.text.bytes.get(..limit) {
            Some(bytes) => Text { bytes, end: true, ..self.text },
            None => self.text,
        };
        match (entry.detector.verify)(&text, place) {
            Verdict::Found(found) => self.found(entry, found),
            Verdict::Cut(start) if start >= self.from => self.undecided = self.undecided.min(start),
            Verdict::Cut(_) | Verdict::No => {}
        }
    }

    fn found(&mut self, entry: &Entry, found: Match) {
        let Match { range, confidence, sample } = found;
        if range.start < self.from {
            return;
        }
        let context = &entry.detector.context;
        let names = if context.is_none() { None } else { self.names(range.start) };
        let hint = names.map_or(Hint::None, |names| context.hint(names));
        let confidence = match hint {
            Hint::None => confidence,
            Hint::Raise => confidence.saturating_add(35).min(99),
            Hint::Lower => confidence.saturating_sub(40),
        };
        if confidence < LEAST_CONFIDENCE {
            return;
        }
        let (id, kind) = (entry.id, entry.kind);
        self.findings.push(Finding { id, kind, range, confidence, escaped: false, sample });
    }

    /// The names in front of what begins at `start`.
    fn names(&mut self, start: usize) -> Option<&Names> {
        // Several detectors ask about the same digits.
        if self.names_of != Some(start) {
            self.names = Names::new(&self.text, self.floor(start), start);
            self.names_of = Some(start);
        }
        self.names.as_ref()
    }

    /// How far back the context of what begins at `start` reaches.
    fn floor(&self, start: usize) -> usize {
        let floor = start.saturating_sub(context::REACH);
        match self.decoded {
            None => floor,
            Some(decoded) => {
                let raw = decoded.raw(start, self.start).start.saturating_sub(context::RAW_REACH);
                floor.max(decoded.offset(raw, self.start))
            }
        }
    }

    /// Puts the findings in order and gives them their raw places; returns up to where the window is decided.
    fn finish(self) -> usize {
        let tail = self.tail();
        let Self { text, from, undecided, decoded, start, findings, .. } = self;
        let mut undecided = undecided.min(tail).max(from);
        findings.sort_by_key(|finding| (finding.range.start, finding.range.end));
        // No finding reaches over the border: then those that overlap are always told of together.
        let far = text.bytes.len().saturating_sub(LONGEST_CHAIN);
        for finding in findings.iter().rev() {
            if finding.range.end > undecided && finding.range.start >= far {
                undecided = undecided.min(finding.range.start);
            }
        }
        findings.retain(|finding| finding.range.start < undecided);
        overlap::resolve(findings);
        let raw = |offset: usize| match decoded {
            Some(decoded) => decoded.raw(offset, start).start,
            None => offset.saturating_add(start),
        };
        for finding in findings.iter_mut() {
            finding.range = raw(finding.range.start)..raw(finding.range.end);
            finding.escaped = decoded.is_some_and(|decoded| decoded.has_escape(&finding.range));
        }
        raw(undecided)
    }

    /// From where on a value may have begun that stage one cannot see yet.
    fn tail(&self) -> usize {
        let bytes = self.text.bytes;
        if self.text.end {
            return bytes.len();
        }
        let shapes = self.scanner.shapes.iter().map(|(shape, _)| tail::of_shape(*shape, bytes));
        let length = shapes.chain([self.scanner.literals.tail(bytes)]).max().unwrap_or(0);
        bytes.len().saturating_sub(length)
    }
}

/// Values that overlap are told of together; so much of a text is held back for that at most.
const LONGEST_CHAIN: usize = 2 * MAX_MATCH;
