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
    /// Those in these ranges, in order.
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
                    Scope::Values(edited.outcomes.iter().flat_map(|outcome| ranges(text, outcome)).collect())
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
            Some(Scope::Values(ranges)) => ranges.iter().any(|range| range.contains(&at)),
            Some(Scope::All) => true,
            None => false,
        }
    }
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
