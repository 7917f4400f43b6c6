//! What is told of an exchange: what kind of thing was found where, how often, and what was done. Never what it was.

use std::fmt::Write;

use meshgate_policy::host::Host;

use crate::Dlp;
use crate::place::Place;

/// How many digests of values are listed for each kind and place.
const MAX_DIGESTS: usize = 4;

/// What was found in an exchange.
#[derive(Debug, Default)]
pub struct Report {
    entries: Vec<Entry>,
    /// Something has been added since it was counted.
    fresh: bool,
}

/// Findings of one kind in one place, which one rule dealt with.
#[derive(Debug)]
struct Entry {
    rule: usize,
    target: usize,
    place: Place,
    outcome: &'static str,
    count: u32,
    counted: u32,
    digests: Vec<String>,
}

impl Report {
    /// Adds a finding; `digest` is what its value is known by, and is only asked for where it is shown.
    pub fn add(
        &mut self,
        rule: usize,
        target: usize,
        place: Place,
        outcome: &'static str,
        digest: impl FnOnce() -> Option<String>,
    ) {
        self.fresh = true;
        let same = |entry: &&mut Entry| {
            (entry.rule, entry.target, entry.place, entry.outcome) == (rule, target, place, outcome)
        };
        let entry = match self.entries.iter_mut().find(same) {
            Some(entry) => entry,
            None => self.entries.push_mut(Entry {
                rule,
                target,
                place,
                outcome,
                count: 0,
                counted: 0,
                digests: Vec::new(),
            }),
        };
        entry.count = entry.count.saturating_add(1);
        if entry.digests.len() < MAX_DIGESTS
            && let Some(digest) = digest()
            && !entry.digests.contains(&digest)
        {
            entry.digests.push(digest);
        }
    }

    /// Counts what is new, and lets access logs read it.
    pub fn publish(&mut self, dlp: &Dlp, host: &mut dyn Host) {
        if !std::mem::take(&mut self.fresh) {
            return;
        }
        for entry in &mut self.entries {
            let new = entry.count.saturating_sub(entry.counted);
            entry.counted = entry.count;
            if let Some(target) = dlp.rules.targets.get(entry.target).filter(|_| new > 0) {
                dlp.metrics.count(host, entry.outcome, target.kind.pack(), new);
                if let Some(rule) = dlp.rules.rules.get(entry.rule) {
                    let (place, rule) = (entry.place.name(), rule.shown(entry.rule));
                    host.explain(format_args!("{place}: {} x{new} {} by {rule}", target.name, entry.outcome));
                }
            }
        }
        if dlp.filter_state
            && let Err(error) = host.set_filter_state("meshgate.dlp", self.text(dlp).as_bytes())
        {
            log::error!("the filter state can't be set: {error}");
        }
    }

    /// Whether something was found in a place.
    pub fn has(&self, place: Place) -> bool {
        self.entries.iter().any(|entry| entry.place == place)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of it, in one line: `response.body payment.card x2 mask (cards) [digest digest]; ...`.
    pub fn text(&self, dlp: &Dlp) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let (Some(rule), Some(target)) =
                (dlp.rules.rules.get(entry.rule), dlp.rules.targets.get(entry.target))
            else {
                continue;
            };
            let separator = if text.is_empty() { "" } else { "; " };
            let Entry { place, outcome, count, .. } = entry;
            let _ = write!(
                text,
                "{separator}{} {} x{count} {outcome} ({})",
                place.name(),
                target.name,
                rule.name
            );
            if !entry.digests.is_empty() {
                let _ = write!(text, " [{}]", entry.digests.join(" "));
            }
        }
        text
    }
}
