//! Which values of a JSON document a rule is for.

use std::ops::Range;

use meshgate_json::{Action, Edit, Limits, Outcome, edit};

use crate::inspect::Inspection;
use crate::sink::Sink;

/// The values of a document that rules with `json` are for.
#[derive(Debug)]
pub struct Scopes {
    rules: Vec<(usize, Scope)>,
}

/// The values that one rule is for.
#[derive(Debug)]
enum Scope {
    /// Those in these ranges, in order and apart from each other.
    Values(Vec<Range<usize>>),
    /// All: the document is broken, so that nobody knows what a reader makes of it. A rule is not evaded by that.
    All,
}

impl Scopes {
    /// Of a document, for the rules of an inspection.
    pub fn new(text: &[u8], sink: Sink, inspection: &Inspection<'_>) -> Self {
        let mut rules = Vec::new();
        if sink != Sink::Json {
            return Self { rules };
        }
        for (index, rule) in inspection.dlp.rules.of(inspection.rules) {
            let Some(paths) = &rule.json else { continue };
            let edits: Vec<_> = paths.iter().map(|path| Edit { path, action: Action::Get }).collect();
            let scope = match edit(text, &edits, &Limits::default()) {
                Ok(edited) => {
                    Scope::Values(apart(edited.outcomes.iter().flat_map(|outcome| ranges(text, outcome))))
                }
                Err(_) => Scope::All,
            };
            rules.push((index, scope));
        }
        Self { rules }
    }

    /// Whether a rule is for the value at an offset.
    pub fn cover(&self, rule: usize, at: usize) -> bool {
        let scope = self.rules.iter().find(|(known, _)| *known == rule).map(|(_, scope)| scope);
        match scope {
            Some(Scope::Values(ranges)) => {
                let next = ranges.partition_point(|range| range.end <= at);
                ranges.get(next).is_some_and(|range| range.start <= at)
            }
            Some(Scope::All) => true,
            None => false,
        }
    }
}

/// The same places in order, each once: paths may lead to a value and to what it is in. There may be as many of them as
/// there are findings, so that looking at all of them for each finding would be quadratic.
fn apart(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let inside = next.start < last.end;
        last.end = if inside { last.end.max(next.end) } else { last.end };
        inside
    });
    ranges
}

/// Where in a text the values are that were got from it.
fn ranges(text: &[u8], outcome: &Outcome<'_>) -> Vec<Range<usize>> {
    let base = text.as_ptr().addr();
    let range = |value: &[u8]| {
        let start = value.as_ptr().addr().checked_sub(base)?;
        let end = start.checked_add(value.len()).filter(|end| *end <= text.len())?;
        Some(start..end)
    };
    match outcome {
        Outcome::Got(values) => values.iter().filter_map(|value| range(value.as_bytes())).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn places_are_found_once_and_in_order() {
        let ranges = apart([8..9, 0..5, 5..7, 1..2, 3..4].into_iter());
        assert_eq!(ranges, [0..5, 5..7, 8..9]);
        let scopes = Scopes { rules: vec![(3, Scope::Values(ranges))] };
        let covered: Vec<usize> = (0..12).filter(|at| scopes.cover(3, *at)).collect();
        assert_eq!(covered, [0, 1, 2, 3, 4, 5, 6, 8]);
        assert!(!scopes.cover(2, 0));
    }
}
