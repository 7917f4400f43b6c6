//! A body, looked into as it passes.
//!
//! Each part is scanned together with what was left undecided before. What is decided passes; what is not is kept: in the
//! proxy's buffer where that is still possible, so that trailers can end the body at any time, else in memory.
//!
//! Nothing that this does depends on where a body is cut: the scanner finds the same in all pieces, and records (lines of
//! NDJSON and of event streams) are looked at one by one, so that a record passes as soon as it is there.

use meshgate_detect::{Finding, LOOKBEHIND, Scanner};

use crate::inspect::{Around, Blocked, Edit, Inspection, splice};
use crate::sink::Sink;

/// How much of a body is kept in the proxy's buffer to wait for what follows. A value that is cut by the border of a part is
/// much shorter, so what is kept longer is a text that never decides; then its end is kept in memory.
pub const MAX_KEPT: usize = 64 << 10;

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
    /// Whether each line is a record of its own.
    pub lines: bool,
}

impl Stream {
    /// A body that passes as it came, or decoded.
    pub fn new(recodes: bool) -> Self {
        Self { recodes, ..Self::default() }
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
            let line = form.lines.then(|| self.end_of_line()).flatten();
            let (Some(text), ends) =
                (self.window.get(self.record..line.unwrap_or(self.window.len())), end || line.is_some())
            else {
                break;
            };
            let from = self.decided.saturating_sub(self.record);
            let mut decided = scanner.scan(text, from, ends, form.sink.syntax(), &mut self.findings);
            if !ends {
                decided = settle(text.len(), decided, &mut self.findings);
            }
            let first = self.edits.len();
            let around = Around::field(form.sink, None);
            inspection.edits(text, around, &mut self.findings, &mut self.edits)?;
            for edit in self.edits.iter_mut().skip(first) {
                edit.range =
                    edit.range.start.saturating_add(self.record)..edit.range.end.saturating_add(self.record);
            }
            self.decided = self.record.saturating_add(decided);
            match line {
                Some(line) => (self.record, self.decided) = (line, line),
                None => break,
            }
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
        self.window.drain(..gone.min(self.window.len()));
        self.record = self.record.saturating_sub(gone);
        self.start = self.decided.saturating_sub(gone);
        self.decided = self.start;
        self.taken = kept;
        step
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
