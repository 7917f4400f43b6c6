//! A body, looked into as it passes.
//!
//! Each part is scanned together with what was left undecided before. What is decided passes; what is not is kept: in the
//! proxy's buffer where that is still possible, so that trailers can end the body at any time, else in memory.
//!
//! Nothing that this does depends on where a body is cut: the scanner finds the same in all pieces, and records (lines of
//! NDJSON and of event streams, texts of JSON sequences) are looked at one by one, so that a record passes as soon as it is
//! there.

use meshgate_detect::{Finding, Scanner, context_start};

use crate::fields::drop_fields;
use crate::inspect::{Around, Blocked, Edit, Inspection, splice};
use crate::kind::{BOM, Kind};
use crate::number::{Quotes, belongs_to_number};
use crate::scope::Scopes;
use crate::sink::Sink;

/// How much of a body is kept in the proxy's buffer to wait for what follows. A value that is cut by the border of a part is
/// much shorter, so what is kept longer is a text that never decides; then its end is kept in memory.
pub const MAX_KEPT: usize = 64 << 10;

/// What was not decided is scanned again once this part of it has come on top.
const RESCAN: usize = 4;
/// So little that it is scanned again whatever comes, in bytes: a body should end decided, because trailers may follow.
const LITTLE: usize = 1 << 10;

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
    /// What is in strings of the JSON document, from the beginning of the record; `None`: it is none, or stays as it is.
    quotes: Option<Quotes>,
    /// How the body is written, once that is known.
    form: Option<Form>,
    /// The longest line of an event stream that a rule has to see whole, if one has to.
    longest_line: Option<usize>,
    /// What is known of the event that is not complete.
    event: Event,
    /// Up to where in the window no line ends.
    unbroken: usize,
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
    /// Texts with a record separator in front of each (RFC 7464).
    Sequence,
    /// Lines of an event stream (HTML, section 9.2.5): the data of an event may be JSON or not.
    Events,
}

impl Records {
    /// What ends one, if that is one byte.
    pub const fn separator(self) -> Option<u8> {
        match self {
            Self::One | Self::Events => None,
            Self::Lines => Some(b'\n'),
            Self::Sequence => Some(0x1e),
        }
    }
}

impl Stream {
    /// A body that passes as it came, or decoded (`recodes`). `changes`: a rule may change it. `longest_line`: a rule has to see
    /// lines of an event stream whole, up to this length.
    pub fn new(recodes: bool, changes: bool, longest_line: Option<usize>) -> Self {
        Self { recodes, quotes: changes.then(Quotes::default), longest_line, ..Self::default() }
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
        kind: Kind,
        scanner: &Scanner,
        inspection: &mut Inspection<'_>,
    ) -> Result<Step, Blocked> {
        if self.window.is_empty() {
            self.window = bytes;
        } else {
            self.window.extend(bytes);
        }
        if self.form.is_none() {
            self.form = kind.form(&self.window, end);
            self.quotes = self.quotes.filter(|_| self.form.is_none_or(|form| form.sink == Sink::Json));
        }
        if let Some(form) = self.form {
            self.scan(end, form, scanner, inspection)?;
        }
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
            let line = self.end_of_line(form.records);
            let ends = end || line.is_some();
            let Some(text) = self.window.get(self.record..line.unwrap_or(self.window.len())) else { break };
            let mut whole = false;
            let sink = if form.records == Records::Events {
                self.event.too_long |= self.longest_line.is_some_and(|longest| text.len() > longest);
                whole = self.longest_line.is_some() && !self.event.too_long;
                match self.event.sink(text, ends) {
                    Some(sink) if ends || !whole => sink,
                    _ => break,
                }
            } else {
                form.sink
            };
            if !ends && self.window.len() < self.scan_at {
                break;
            }
            let from = self.decided.saturating_sub(self.record);
            let mut decided = scanner.scan(text, from, ends, sink.syntax(), &mut self.findings);
            if !ends {
                decided = settle(text.len(), decided, &mut self.findings);
            }
            if !self.findings.is_empty() {
                inspection.quotes = self.quotes.filter(|_| sink == Sink::Json);
                // What an event says in one line is a document. One that is said in several, or in a line that is too long, is as good
                // as broken.
                let data = data(text).filter(|_| whole && !self.event.goes_on);
                let document = text.get(data.unwrap_or(text.len())..).unwrap_or_default();
                let scopes = data.map(|data| (data, Scopes::new(document, sink, inspection)));
                let covers = |rule, at: usize| match &scopes {
                    Some((data, scopes)) => scopes.cover(rule, at.saturating_sub(*data)),
                    None => form.records == Records::Events && sink == Sink::Json,
                };
                let around = Around { covers: &covers, ..Around::field(sink, None) };
                let mut edits = Vec::new();
                inspection.edits(text, around, &mut self.findings, &mut edits)?;
                if whole {
                    drop_fields(text, sink, &mut edits);
                }
                if inspection.quotes.is_some() {
                    self.quotes = inspection.quotes;
                }
                self.edits.extend(edits.into_iter().map(|edit| Edit {
                    range: edit.range.start.saturating_add(self.record)
                        ..edit.range.end.saturating_add(self.record),
                    ..edit
                }));
            }
            self.decided = self.record.saturating_add(decided);
            if let Some(line) = line {
                if form.records == Records::Events {
                    self.event.end_line(text);
                }
                (self.record, self.decided) = (line, line);
                self.quotes = self.quotes.map(|_| Quotes::default());
                continue;
            }
            // What is not decided is scanned again: not for each byte that comes, or it would be in vain too often.
            let undecided = self.window.len().saturating_sub(self.decided);
            let more = if undecided <= LITTLE { 0 } else { undecided / RESCAN };
            self.scan_at = self.window.len().saturating_add(more);
            break;
        }
        Ok(())
    }

    /// Behind the end of the line that is not decided.
    fn end_of_line(&mut self, records: Records) -> Option<usize> {
        let from = self.unbroken.max(self.decided);
        let rest = self.window.get(from..)?;
        let found = match records {
            Records::Events => memchr::memchr2(b'\n', b'\r', rest),
            Records::One | Records::Lines | Records::Sequence => {
                records.separator().and_then(|separator| memchr::memchr(separator, rest))
            }
        };
        let end = found.map(|found| from.saturating_add(found).saturating_add(1));
        self.unbroken = end.unwrap_or(self.window.len());
        end
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
        let gone = context_start(&self.window, self.decided).max(self.record.min(self.decided));
        if let Some(quotes) = &mut self.quotes {
            let text = self.window.get(self.record..).unwrap_or_default();
            quotes.in_string(text, self.decided.saturating_sub(self.record));
            quotes.shift(gone.saturating_sub(self.record));
        }
        self.window.drain(..gone.min(self.window.len()));
        self.scan_at = self.scan_at.saturating_sub(gone);
        self.unbroken = self.unbroken.saturating_sub(gone);
        self.record = self.record.saturating_sub(gone);
        self.start = self.decided.saturating_sub(gone);
        self.decided = self.start;
        self.taken = kept;
        step
    }
}

/// An event that is not complete, and its last line.
#[derive(Clone, Copy, Default)]
struct Event {
    /// How the line is written.
    sink: Option<Sink>,
    /// The line is longer than may be held.
    too_long: bool,
    /// Lines in front of this one have begun with data that is JSON: more data is a part of it.
    goes_on: bool,
    /// The line before ended with a carriage return: a line feed is a part of that end.
    returned: bool,
}

impl Event {
    /// How its line is written, by the beginning; `None`: that is not there yet.
    fn sink(&mut self, line: &[u8], ends: bool) -> Option<Sink> {
        if self.sink.is_none() {
            self.sink = match data(line) {
                Some(_) if self.goes_on => Some(Sink::Json),
                Some(data) => match line.get(data..).unwrap_or_default().trim_ascii_start().first() {
                    Some(b'{' | b'[' | b'"') => Some(Sink::Json),
                    Some(b'-' | b'0'..=b'9') => lone_number(line.get(data..).unwrap_or_default(), ends),
                    Some(_) => Some(Sink::Text),
                    None => ends.then_some(Sink::Text),
                },
                None => {
                    let start = line.strip_prefix(BOM).unwrap_or(line);
                    let may_be_data = DATA.starts_with(start) || BOM.starts_with(line);
                    (ends || !may_be_data).then_some(Sink::Text)
                }
            };
        }
        self.sink
    }

    /// The line is over; without one with something in it, the event is.
    fn end_line(&mut self, line: &[u8]) {
        let blank = line == b"\r" || line == b"\n" && !self.returned;
        *self = Self {
            goes_on: !blank && (self.goes_on || self.sink == Some(Sink::Json)),
            returned: line.ends_with(b"\r"),
            ..Self::default()
        };
    }
}

const DATA: &[u8] = b"data:";

/// How much data of an event is waited for to tell whether it is a number and nothing else.
const MAX_NUMBER: usize = 128;

/// Where in a line of an event stream its data begins.
fn data(line: &[u8]) -> Option<usize> {
    let start = line.strip_prefix(BOM).unwrap_or(line);
    start.starts_with(DATA).then(|| line.len().saturating_sub(start.len()).saturating_add(DATA.len()))
}

/// How data is written that begins as a number: JSON, if there is nothing else in its line.
fn lone_number(data: &[u8], ends: bool) -> Option<Sink> {
    let number = data.trim_ascii();
    if data.len() > MAX_NUMBER || !number.iter().all(belongs_to_number) {
        return Some(Sink::Text);
    }
    ends.then_some(Sink::Json)
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
