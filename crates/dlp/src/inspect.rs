//! From findings to what is done: which rule each is for, and what becomes of it.

use std::cmp::Reverse;
use std::ops::Range;

use meshgate_detect::{Finding, Kind};

use crate::Dlp;
use crate::action::Action;
use crate::number::Quotes;
use crate::place::Place;
use crate::report::Report;
use crate::rules::Rule;
use crate::sink::Sink;
use crate::value::Value;

/// Looks at findings in one place of a message.
#[derive(Debug)]
pub struct Inspection<'a> {
    /// The policy.
    pub dlp: &'a Dlp,
    /// The rules that are for this message.
    pub rules: u64,
    /// The place.
    pub place: Place,
    /// What is found goes in here.
    pub report: &'a mut Report,
    /// What is in strings, if it is a JSON document and may change.
    pub quotes: Option<Quotes>,
}

/// Bytes of a window, and what stands there instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which bytes.
    pub range: Range<usize>,
    /// What becomes of them.
    pub with: Vec<u8>,
    /// The field that they are in goes too, where there is one.
    pub drops: bool,
}

/// Nothing of what passes.
impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit").field("range", &self.range).field("drops", &self.drops).finish_non_exhaustive()
    }
}

/// The message must not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The status that the rule asks for.
    pub status: Option<u16>,
}

/// What a value that was found is a part of.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// How the text is written.
    pub sink: Sink,
    /// The name of the field, where it has one.
    pub name: Option<&'a [u8]>,
    /// Whether a rule that is for some JSON values only is for the value at an offset.
    pub covers: &'a dyn Fn(usize, usize) -> bool,
}

impl<'a> Around<'a> {
    /// A field of this name.
    pub fn field(sink: Sink, name: Option<&'a [u8]>) -> Self {
        Self { sink, name, covers: &|_, _| false }
    }
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").field("sink", &self.sink).finish_non_exhaustive()
    }
}

impl<'a> Inspection<'a> {
    /// Turns the findings in `window` into edits, in order and without overlaps.
    ///
    /// # Errors
    /// [`Blocked`] if a rule lets nothing pass.
    pub fn edits(
        &mut self,
        window: &[u8],
        around: Around<'_>,
        findings: &mut [Finding],
        edits: &mut Vec<Edit>,
    ) -> Result<(), Blocked> {
        if findings.is_empty() {
            return Ok(());
        }
        let dlp = self.dlp;
        findings.sort_by_key(|finding| (finding.range.start, Reverse(finding.range.end), finding.id));
        let mut done = 0_usize;
        for finding in findings {
            let Some(rule) = self.judge(window, around, finding) else { continue };
            if let Action::Block(status) = rule.action {
                return Err(Blocked { status });
            }
            // What two detectors found is dealt with once: what is left of the second by its own rule.
            finding.range.start = finding.range.start.max(done);
            if finding.kind == Kind::REGEX {
                finding.range = whole_characters(window, &finding.range);
            }
            let start = finding.range.start;
            if start >= finding.range.end {
                continue;
            }
            done = finding.range.end;
            let Some(target) = target_of(finding).and_then(|target| dlp.rules.targets.get(target)) else {
                continue;
            };
            let action = &rule.action;
            let in_string = self.quotes.as_mut().is_some_and(|quotes| quotes.in_string(window, start));
            edits.push(Edit {
                range: finding.range.clone(),
                with: action.rewrite(window, finding, target, around.sink, in_string),
                drops: matches!(action, Action::Drop),
            });
        }
        Ok(())
    }

    /// The rule that deals with a finding. Rules that only report do so, and leave it to the next.
    fn judge(&mut self, window: &[u8], around: Around<'_>, finding: &Finding) -> Option<&'a Rule> {
        let dlp = self.dlp;
        let place = target_of(finding)?;
        let target = dlp.rules.targets.get(place)?;
        let mut value: Option<Value> = None;
        for (index, rule) in dlp.rules.of(target.rules & self.rules) {
            let named = |name: &[u8]| rule.covers(self.place, name);
            if !rule.places.has(self.place)
                || finding.confidence < rule.min_confidence
                || !around.name.is_none_or(named)
                || (rule.json.is_some() && !(around.covers)(index, finding.range.start))
            {
                continue;
            }
            if !dlp.rules.allow.is_empty() || !rule.allow.is_empty() {
                let value = value.get_or_insert_with(|| Value::new(window, around.sink.syntax(), finding));
                if dlp.rules.allow.has(value, finding.sample) || rule.allow.has(value, finding.sample) {
                    continue;
                }
            }
            let outcome = match rule.shadow {
                true => "shadow",
                false => rule.action.name(),
            };
            self.report.add(index, place, self.place, outcome, || {
                let tokens = dlp.shown.as_ref()?;
                Some(tokens.shown(Value::new(window, around.sink.syntax(), finding).plain()))
            });
            if rule.enforces() {
                return Some(rule);
            }
        }
        None
    }
}

/// Where in the list of targets a finding's is.
fn target_of(finding: &Finding) -> Option<usize> {
    usize::try_from(finding.id).ok()
}

/// The range without the parts of characters of UTF-8 at its ends: expressions are about bytes.
fn whole_characters(text: &[u8], range: &Range<usize>) -> Range<usize> {
    let bytes = text.get(range.clone()).unwrap_or_default();
    let before = bytes.iter().take(3).take_while(|byte| matches!(byte, 0x80..0xc0)).count();
    let rest = bytes.get(before..).unwrap_or_default();
    let lead = rest.iter().rev().take(3).position(|byte| *byte >= 0xc0);
    let cut = lead.map_or(0, |behind| {
        let place = rest.len().saturating_sub(behind).saturating_sub(1);
        let length = match rest.get(place) {
            Some(0xf0..) => 4,
            Some(0xe0..) => 3,
            _ => 2,
        };
        if behind.saturating_add(1) < length { behind.saturating_add(1) } else { 0 }
    });
    range.start.saturating_add(before)..range.end.saturating_sub(cut)
}

/// A text with edits, which are in order and don't overlap.
pub fn splice(text: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut spliced = Vec::with_capacity(text.len());
    let mut done = 0_usize;
    for edit in edits {
        spliced.extend_from_slice(text.get(done..edit.range.start).unwrap_or_default());
        spliced.extend_from_slice(&edit.with);
        done = edit.range.end;
    }
    spliced.extend_from_slice(text.get(done..).unwrap_or_default());
    spliced
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn parts_of_characters_stay() {
        let text = "a\u{e9}b\u{20ac}\u{1f600}".as_bytes();
        for (range, expected) in [
            (0..text.len(), 0..text.len()),
            (0..2, 0..1),
            (1..3, 1..3),
            (2..6, 3..4),
            (2..7, 3..7),
            (4..10, 4..7),
            (5..6, 6..6),
            (8..11, 11..11),
        ] {
            assert_eq!(whole_characters(text, &range), expected, "{range:?}");
        }
    }
}
