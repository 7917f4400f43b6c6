//! A body, looked into as it passes.
//!
//! Each part is scanned together with what was left undecided before. What is decided passes; what is not is kept: in the
//! proxy's buffer where that is still possible, so that trailers can end the body at any time, else in memory.
//!
//! Nothing that this does depends on where a body is cut: the scanner finds the same in all pieces, and records (lines of
//! NDJSON and of event streams) are looked at one by one, so that a record passes as soon as it is there.

use meshgate_detect::{Finding, LOOKBEHIND, Scanner};

use crate::inspect::{Around, Blocked, Edit, Inspection, splice};
use crate::number::Quotes;
use crate::sink::Sink;

/// How much of a body is kept in the proxy's buffer to wait for what follows. A value that is cut by the border of a part is
/// much shorter, so what is kept longer is a text that never decides; then its end is kept in memory.
pub const MAX_KEPT: usize = 64 << 10;

/// What was not decided is scanned again once this part of it has come on top.
const RESCAN: usize = 4;

/// A body on its way.
#[derive(Default)]
pub struct Stream {
    /// What was passed on last, then what is at hand.
    window: Vec<u8>,
    /// Where in the window the record begins that is not complete: nothing in front of it is context.
    record: usize,
    /// Where in the window that begins which is at hand.
    start: usize,
    /// How much of that is not in the proxy's buffer.
    taken: usize,
    /// What passes is never what came, because it is decoded.
    recodes: bool,
    /// What is in strings of the JSON document, from the beginning of the record; `None`: it does not take to know.
    quotes: Option<Quotes>,
    /// How the record is written that is not complete, where each is for itself.
    sink: Option<Sink>,
    /// A scan makes no sense before there are so many bytes in the window, unless something ends.
    scan_at: usize,
    /// Up to where in the window it is decided what becomes of it.
    decided: usize,
    /// What is to change of what is at hand, in the window.
    edits: Vec<Edit>,
    /// Reused.
    findings: Vec<Finding>,
}

/// What becomes of a part.
#[derive(PartialEq, Eq)]
pub enum Step {
    /// It passes as it is.
    Pass,
    /// This passes in its place.
    Replace(Vec<u8>),
    /// It waits in the proxy for what follows.
    Hold,
}

/// Not what passes.
impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pass => "Pass",
            Self::Replace(_) => "Replace",
            Self::Hold => "Hold",
        })
    }
}

/// What may wait in the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing: what is not decided is kept in memory.
    Nothing,
    /// A part whose end is not decided.
    Undecided,
    /// Every part.
    All,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// What is put into it.
    pub sink: Sink,
    /// What it consists of.
    pub records: Records,
}

/// The texts that a body consists of, each of which is looked into for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// All of it is one.
    One,
    /// Lines.
    Lines,
    /// Lines of an event stream (HTML, section 9.2.5): the data of an event may be JSON or not.
    Events,
}

impl Stream {
    /// A body that passes as it came, or decoded (`recodes`). `quotes`: it takes to know what is in strings of JSON.
    pub fn new(recodes: bool, quotes: bool) -> Self {
        Self { recodes, quotes: quotes.then(Quotes::default), ..Self::default() }
    }

    /// Takes the next bytes. `end`: there are no more. `hold`: what may wait in the proxy.
    ///
    /// # Errors
    /// [`Blocked`] if a rule lets nothing more pass.
    pub fn push(
        &mut self,
        bytes: Vec<u8>,
        end: bool,
        hold: Hold,
        form: Form,
        scanner: &Scanner,
        inspection: &mut Inspection<'_>,
    ) -> Result<Step, Blocked> {
        if self.window.is_empty() {
            self.window = bytes;
        } else {
            self.window.extend(bytes);
        }
        self.scan(end, form, scanner, inspection)?;
        let holds = match hold {
            Hold::Nothing => false,
            Hold::Undecided => self.decided < self.window.len(),
            Hold::All => true,
        };
        if holds && self.window.len().saturating_sub(self.start) <= MAX_KEPT {
            return Ok(Step::Hold);
        }
        Ok(self.release())
    }

    /// Whether something is kept that is nowhere else, if nothing is at hand.
    pub const fn keeps(&self) -> bool {
        self.taken > 0
    }

    fn scan(
        &mut self,
        end: bool,
        form: Form,
        scanner: &Scanner,
        inspection: &mut Inspection<'_>,
    ) -> Result<(), Blocked> {
        while self.decided < self.window.len() {
            let line = if form.records == Records::One { None } else { self.end_of_line() };
            let ends = end || line.is_some();
            let Some(text) = self.window.get(self.record..line.unwrap_or(self.window.len())) else { break };
            let sink = match (form.records, self.sink) {
                (Records::Events, None) => match event_sink(text, ends) {
                    Some(sink) => *self.sink.insert(sink),
                    None => break,
                },
                (Records::Events, Some(sink)) => sink,
                (Records::One | Records::Lines, _) => form.sink,
            };
            if !ends && self.window.len() < self.scan_at {
                break;
            }
            let from = self.decided.saturating_sub(self.record);
            let mut decided = scanner.scan(text, from, ends, sink.syntax(), &mut self.findings);
            if !ends {
                decided = settle(text.len(), decided, &mut self.findings);
            }
            let first = self.edits.len();
            inspection.quotes = self.quotes.filter(|_| sink == Sink::Json);
            inspection.edits(text, Around::field(sink, None), &mut self.findings, &mut self.edits)?;
            if inspection.quotes.is_some() {
                self.quotes = inspection.quotes;
            }
            for edit in self.edits.iter_mut().skip(first) {
                edit.range =
                    edit.range.start.saturating_add(self.record)..edit.range.end.saturating_add(self.record);
            }
            self.decided = self.record.saturating_add(decided);
            if let Some(line) = line {
                (self.record, self.decided, self.sink) = (line, line, None);
                self.quotes = self.quotes.map(|_| Quotes::default());
                continue;
            }
            // What is not decided is scanned again: not for each byte that comes, or it would be in vain too often.
            let undecided = self.window.len().saturating_sub(self.decided);
            self.scan_at = self.window.len().saturating_add(undecided / RESCAN);
            break;
        }
        Ok(())
    }

    /// Where the line ends that is not decided, behind its line feed.
    fn end_of_line(&self) -> Option<usize> {
        let rest = self.window.get(self.decided..)?;
        Some(self.decided.saturating_add(memchr::memchr(b'\n', rest)?).saturating_add(1))
    }

    /// Lets go what is decided.
    fn release(&mut self) -> Step {
        let kept = self.window.len().saturating_sub(self.decided);
        let step = if !self.recodes && self.taken == 0 && self.edits.is_empty() && kept == 0 {
            Step::Pass
        } else {
            for edit in &mut self.edits {
                edit.range =
                    edit.range.start.saturating_sub(self.start)..edit.range.end.saturating_sub(self.start);
            }
            let text = self.window.get(self.start..self.decided).unwrap_or_default();
            Step::Replace(splice(text, &self.edits))
        };
        self.edits.clear();
        // What was passed on is context for what follows.
        let gone = self.decided.saturating_sub(LOOKBEHIND).max(self.record.min(self.decided));
        if let Some(quotes) = &mut self.quotes {
            let text = self.window.get(self.record..).unwrap_or_default();
            quotes.in_string(text, self.decided.saturating_sub(self.record));
            quotes.shift(gone.saturating_sub(self.record));
        }
        self.window.drain(..gone.min(self.window.len()));
        self.scan_at = self.scan_at.saturating_sub(gone);
        self.record = self.record.saturating_sub(gone);
        self.start = self.decided.saturating_sub(gone);
        self.decided = self.start;
        self.taken = kept;
        step
    }
}

/// How the data of an event is written, by the beginning of its line; `None`: that is not there yet.
fn event_sink(line: &[u8], ends: bool) -> Option<Sink> {
    const DATA: &[u8] = b"data:";
    let Some(data) = line.strip_prefix(DATA) else {
        return (ends || !DATA.starts_with(line)).then_some(Sink::Text);
    };
    match data.trim_ascii_start().first() {
        Some(b'{' | b'[' | b'"') => Some(Sink::Json),
        Some(_) => Some(Sink::Text),
        None => ends.then_some(Sink::Text),
    }
}

/// What a scan has decided, less what ends where the bytes do: what is done with it may depend on the byte behind it.
fn settle(len: usize, mut decided: usize, findings: &mut Vec<Finding>) -> usize {
    while let Some(place) =
        findings.iter().position(|finding| finding.range.end > decided || finding.range.end >= len)
    {
        decided = decided.min(findings.remove(place).range.start);
    }
    decided
}

/// Nothing of what passes.
impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("window", &self.window.len())
            .field("decided", &self.decided)
            .finish_non_exhaustive()
    }
}
