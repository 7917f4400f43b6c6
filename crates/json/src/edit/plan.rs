//! Which edits share a scan, and what becomes of each.

use std::borrow::Cow;

use super::splice::{Payload, apply};
use super::walk::Walker;
use super::work::{Machine, Notes, Role, Span, Tally, Verb};
use super::{Action, Edit, Edited, Outcome};
use crate::error::JsonError;
use crate::path::{Path, Reach, interferes};
use crate::raw::Raw;
use crate::scan::Limits;

/// Makes the edits, as if one after the other in their order.
///
/// Edits whose paths show that none can see what the others do share one scan of the text, whatever it is; the others
/// take one more each. All bytes that no edit names stay: the text of numbers, the order of members, white space,
/// repeated names, escapes. The text may have a byte order mark (which stays) and strings that are not UTF-8.
///
/// ```
/// # use meshgate_json::{Action, Edit, Limits, Outcome, Path, Raw, edit};
/// let [name, id] = ["/name", "$.items[*].internal_id"].map(|path| Path::new(path).unwrap());
/// let edits = [
///     Edit { path: &name, action: Action::Set(Raw::string(b"B")) },
///     Edit { path: &id, action: Action::Remove },
/// ];
/// let text = br#"{"name": "A", "items": [{"price": 1.10, "internal_id": 7}, {"price": 1e2}]}"#;
/// let edited = edit(text, &edits, &Limits::default()).unwrap();
/// assert_eq!(*edited.text, *br#"{"name": "B", "items": [{"price": 1.10}, {"price": 1e2}]}"#);
/// assert_eq!(edited.outcomes, [Outcome::Done(1), Outcome::Done(1)]);
/// ```
///
/// # Errors
/// The text is not one JSON value, or one of the limits was reached; then nothing is done.
pub fn edit<'a>(text: &'a [u8], edits: &[Edit<'_>], limits: &Limits) -> Result<Edited<'a>, JsonError> {
    let mut text = Cow::Borrowed(text);
    let mut outcomes = Vec::with_capacity(edits.len());
    let mut rest = edits;
    loop {
        let (batch, later) = next_batch(rest);
        rest = later;
        let changed = match batch {
            [Edit { path, action: Action::Move { from } }] if moves_within(from, path) => {
                let (changed, outcome) = move_within(&text, from, path, limits)?;
                outcomes.push(outcome);
                changed
            }
            _ => {
                let (changed, found) = run(&text, batch, limits)?;
                outcomes.extend(found.into_iter().map(|found| found.outcome(&text)));
                changed
            }
        };
        if let Some(changed) = changed {
            text = Cow::Owned(changed);
        }
        if rest.is_empty() {
            return Ok(Edited { text, outcomes });
        }
    }
}

/// Where the values are that a path selects.
pub(crate) fn find(text: &[u8], path: &Path, limits: &Limits) -> Result<Vec<Span>, JsonError> {
    let mut walker = Walker::new(text, &[Verb::Get], limits);
    walker.follow(path.segments(), 0, Role::Target);
    let (notes, _) = walker.walk()?;
    Ok(notes.tallies.into_iter().next().map(|tally| tally.got).unwrap_or_default())
}

/// As many edits as can share a scan, and the rest.
pub(super) fn next_batch<'s, 'e>(edits: &'s [Edit<'e>]) -> (&'s [Edit<'e>], &'s [Edit<'e>]) {
    let alone =
        |edit: &Edit<'_>| matches!(edit.action, Action::Move { from } if moves_within(from, edit.path));
    if edits.len() < 2 || edits.first().is_some_and(alone) {
        return edits.split_at_checked(1).unwrap_or((edits, &[]));
    }
    let mut earlier: Vec<Reach<'_>> = Vec::with_capacity(edits.len());
    let end = edits.iter().position(|edit| {
        if alone(edit) {
            return true;
        }
        let reaches = reaches(edit);
        let mut pairs =
            reaches.iter().flatten().flat_map(|later| earlier.iter().map(move |earlier| (earlier, later)));
        if pairs.any(|(earlier, later)| interferes(earlier, later)) {
            return true;
        }
        earlier.extend(reaches.into_iter().flatten());
        false
    });
    edits.split_at_checked(end.unwrap_or(edits.len())).unwrap_or((edits, &[]))
}

/// What an edit reads and writes.
fn reaches<'e>(edit: &Edit<'e>) -> [Option<Reach<'e>>; 2] {
    let read =
        Reach { path: edit.path.segments(), renamed: None, writes: false, creates: false, removes: false };
    let write = Reach { writes: true, ..read };
    match edit.action {
        Action::Set(_) | Action::Add(_) | Action::Append(_) => [Some(Reach { creates: true, ..write }), None],
        Action::Remove => [Some(Reach { removes: true, ..write }), None],
        Action::Rename(name) => [Some(write), Some(Reach { renamed: Some(name), ..write })],
        Action::Keep(_) => [Some(write), None],
        Action::Copy { from } => {
            [Some(Reach { path: from.segments(), ..read }), Some(Reach { creates: true, ..write })]
        }
        Action::Move { from } => [
            Some(Reach { path: from.segments(), removes: true, ..write }),
            Some(Reach { creates: true, ..write }),
        ],
        Action::Get => [Some(read), None],
    }
}

/// Whether a move takes its value from where it can change where it goes.
fn moves_within(from: &Path, to: &Path) -> bool {
    let [from, to] = [from, to].map(|path| Reach {
        path: path.segments(),
        renamed: None,
        writes: true,
        creates: false,
        removes: true,
    });
    interferes(&from, &to)
}

/// A move whose two places depend on each other: one scan to find the value, one to remove it, one to set it.
fn move_within(
    text: &[u8],
    from: &Path,
    to: &Path,
    limits: &Limits,
) -> Result<(Option<Vec<u8>>, Outcome<'static>), JsonError> {
    let found = find(text, from, limits)?;
    let [(start, end)] = *found else {
        let outcome = if found.is_empty() { Outcome::Missing } else { Outcome::Ambiguous(found.len()) };
        return Ok((None, outcome));
    };
    if from.segments() == to.segments() {
        return Ok((None, Outcome::Done(0)));
    }
    let value = Raw::scanned(Cow::Borrowed(text.get(start..end).unwrap_or_default()));
    let (removed, _) = run(text, &[Edit { path: from, action: Action::Remove }], limits)?;
    let Some(removed) = removed else { return Ok((None, Outcome::WrongType)) };
    let (set, found) = run(&removed, &[Edit { path: to, action: Action::Set(value) }], limits)?;
    let outcome =
        found.into_iter().next().map_or(Outcome::Missing, |found| found.outcome(&Cow::Owned(Vec::new())));
    Ok((set, outcome))
}

/// What became of an edit, with places instead of values.
enum Found {
    Outcome(Outcome<'static>),
    Got(Vec<Span>),
}

impl Found {
    fn outcome<'a>(self, text: &Cow<'a, [u8]>) -> Outcome<'a> {
        let spans = match self {
            Self::Outcome(outcome) => return outcome,
            Self::Got(spans) => spans,
        };
        Outcome::Got(
            spans
                .into_iter()
                .map(|(start, end)| match text {
                    Cow::Borrowed(text) => Cow::Borrowed(text.get(start..end).unwrap_or_default()),
                    Cow::Owned(text) => Cow::Owned(text.get(start..end).unwrap_or_default().to_vec()),
                })
                .map(Raw::scanned)
                .collect(),
        )
    }
}

/// Edits that do not interfere, in one scan.
fn run(text: &[u8], edits: &[Edit<'_>], limits: &Limits) -> Result<(Option<Vec<u8>>, Vec<Found>), JsonError> {
    let verbs: Vec<_> = edits.iter().map(verb).collect();
    let mut walker = Walker::new(text, &verbs, limits);
    for (op, edit) in edits.iter().enumerate() {
        walker.follow(edit.path.segments(), op, Role::Target);
        match edit.action {
            Action::Copy { from } => walker.follow(from.segments(), op, Role::Source),
            Action::Move { from } => walker.follow(from.segments(), op, Role::Taken),
            Action::Keep(paths) => {
                paths.iter().for_each(|path| walker.follow(path.segments(), op, Role::Kept));
            }
            _ => {}
        }
    }
    let (notes, machines) = walker.walk()?;
    let changed = splice(text, edits, &notes, &machines, limits)?;
    let found = edits.iter().zip(notes.tallies).map(|(edit, tally)| found(edit, tally)).collect();
    Ok((changed, found))
}

fn verb<'e>(edit: &Edit<'e>) -> Verb<'e> {
    match edit.action {
        Action::Set(_) | Action::Copy { .. } | Action::Move { .. } => Verb::Set,
        Action::Add(_) => Verb::Add,
        Action::Append(_) => Verb::Append,
        Action::Remove => Verb::Remove,
        Action::Rename(name) => Verb::Rename(name),
        Action::Keep(_) => Verb::Keep,
        Action::Get => Verb::Get,
    }
}

fn splice(
    text: &[u8],
    edits: &[Edit<'_>],
    notes: &Notes,
    machines: &[Machine<'_>],
    limits: &Limits,
) -> Result<Option<Vec<u8>>, JsonError> {
    let payloads: Vec<_> = edits
        .iter()
        .zip(&notes.tallies)
        .map(|(edit, tally)| match &edit.action {
            Action::Set(value) | Action::Add(value) => {
                Payload { live: true, value: value.as_bytes(), ..Payload::default() }
            }
            Action::Append(value) => {
                Payload { live: true, value: value.as_bytes(), in_array: true, name: "" }
            }
            Action::Rename(name) => Payload { live: true, name, ..Payload::default() },
            Action::Remove | Action::Keep(_) => Payload { live: true, ..Payload::default() },
            Action::Copy { .. } | Action::Move { .. } => Payload {
                live: tally.sources == 1 && tally.changed > 0,
                value: tally.source.and_then(|(start, end)| text.get(start..end)).unwrap_or_default(),
                ..Payload::default()
            },
            Action::Get => Payload::default(),
        })
        .collect();
    apply(text, notes, machines, &payloads, limits.output)
}

fn found(edit: &Edit<'_>, tally: Tally) -> Found {
    let copies = matches!(edit.action, Action::Copy { .. } | Action::Move { .. });
    Found::Outcome(match tally {
        Tally { sources: 0, .. } if copies => Outcome::Missing,
        Tally { sources: 2.., .. } => Outcome::Ambiguous(tally.sources),
        Tally { got, .. } if !got.is_empty() => return Found::Got(got),
        Tally { changed: 1.., .. } => Outcome::Done(tally.changed),
        Tally { present: 1.., .. } => Outcome::Done(0),
        Tally { wrong: 1.., .. } => Outcome::WrongType,
        _ => Outcome::Missing,
    })
}
