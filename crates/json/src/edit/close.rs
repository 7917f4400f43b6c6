//! What a scan notes where a child ends and where a container closes.

use super::frame::{Candidate, Creation, FrameEdit, Kind};
use super::walk::{State, Walker};
use super::work::{Machine, Role, Span, Splice, Tally, Verb, What};
use crate::error::{ErrorKind, JsonError};
use crate::path::{Element, Segment, Selector};

impl<'e> Walker<'_, 'e> {
    pub(super) fn hits_of(&self, from: usize) -> impl Iterator<Item = &Machine<'e>> {
        self.hits.iter().skip(from).filter_map(|hit| self.machines.get(*hit))
    }

    /// What is to be done at the places of a path, if it is the path of an edit itself.
    pub(super) fn verb(&self, machine: &Machine<'e>) -> Option<Verb<'e>> {
        self.verbs.get(machine.op).copied().filter(|_| machine.role == Role::Target)
    }

    fn tally(&mut self, op: usize, note: impl FnOnce(&mut Tally)) {
        if let Some(tally) = self.notes.tallies.get_mut(op) {
            note(tally);
        }
    }

    /// One more place.
    pub(super) fn count(&mut self) -> Result<(), JsonError> {
        self.matches = self.matches.saturating_add(1);
        if self.matches > self.limits.matches {
            return Err(JsonError::new(self.scanner.at, ErrorKind::TooManyMatches));
        }
        Ok(())
    }

    /// Paths lead to the value that begins, but none into it: nothing can be made there.
    pub(super) fn no_way(&mut self, states: usize) {
        for at in states..self.states.len() {
            let Some(state) = self.states.get(at).copied() else { break };
            let Some(machine) = self.machines.get(state.machine).copied() else { continue };
            if state.segment >= machine.tail && self.verb(&machine).is_some_and(Verb::creates) {
                self.tally(machine.op, |tally| tally.wrong = tally.wrong.saturating_add(1));
            }
        }
    }

    /// The member that begins has to go if a sibling gets its name.
    pub(super) fn rename_target(&mut self, state: &State<'_>) -> Result<(), JsonError> {
        if let Some(op) = self.machines.get(state.machine).map(|machine| machine.op) {
            self.count()?;
            self.candidate(op, true);
        }
        Ok(())
    }

    fn candidate(&mut self, op: usize, if_renamed: bool) {
        if let Some(frame) = self.frames.last() {
            let (index, previous) = (frame.count.wrapping_sub(1), frame.last_end);
            self.candidates.push(Candidate { op, if_renamed, index, previous, end: 0, next: None });
        }
    }

    /// The child of the innermost frame has ended here.
    pub(super) fn finish_child(&mut self) -> Result<(), JsonError> {
        let end = self.scanner.at;
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let (hits, value, name, member, root) =
            (frame.hits, frame.value, frame.name, frame.kind == Kind::Object, frame.kind == Kind::Root);
        for at in hits..self.hits.len() {
            let hit = self.hits.get(at).and_then(|hit| self.machines.get(*hit)).copied();
            if let Some(machine) = hit {
                self.hit(&machine, (value, end), member.then_some(name), root);
            }
        }
        self.hits.truncate(hits);
        let kept = self.frames.last().and_then(|frame| Some((frame.keep?, frame.child_kept)));
        if let Some((op, kept)) = kept {
            if kept {
                self.hold();
            } else {
                self.count()?;
                self.candidate(op, false);
            }
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.last_end = end;
            self.states.truncate(frame.states_end);
            let index = frame.count.wrapping_sub(1);
            for candidate in self.candidates.iter_mut().skip(frame.candidates).rev() {
                if candidate.index != index {
                    break;
                }
                candidate.end = end;
            }
        }
        Ok(())
    }

    fn hold(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.held = true;
        }
    }

    /// A path ends at the child that has ended.
    fn hit(&mut self, machine: &Machine<'e>, value: Span, name: Option<Span>, root: bool) {
        let op = machine.op;
        let changed = |tally: &mut Tally| tally.changed = tally.changed.saturating_add(1);
        let wrong = |tally: &mut Tally| tally.wrong = tally.wrong.saturating_add(1);
        match machine.role {
            Role::Kept => {}
            Role::Source | Role::Taken => {
                self.tally(op, |tally| {
                    tally.source.get_or_insert(value);
                    tally.sources = tally.sources.saturating_add(1);
                });
                if machine.role == Role::Taken {
                    self.candidate(op, false);
                }
            }
            Role::Target => match (self.verbs.get(op), name) {
                (Some(Verb::Set), _) => {
                    self.notes.splices.push(Splice { span: value, op, what: What::Value });
                    self.tally(op, changed);
                }
                (Some(Verb::Remove), _) if !root => {
                    self.candidate(op, false);
                    self.tally(op, changed);
                }
                (Some(Verb::Rename(_)), Some(name)) => {
                    self.notes.splices.push(Splice { span: name, op, what: What::Name });
                    let from = self.frames.last().map_or(0, |frame| frame.renamed);
                    if !self.renamed.iter().skip(from).any(|renamed| *renamed == op) {
                        self.renamed.push(op);
                    }
                    self.tally(op, changed);
                }
                // Nothing can go from a scalar: an allow-list that does not name it whole would let it through.
                (Some(Verb::Keep), _)
                    if !matches!(self.scanner.text.get(value.0), Some(b'{' | b'['))
                        && !self.frames.last().is_some_and(|frame| frame.child_kept) =>
                {
                    self.tally(op, wrong);
                }
                (Some(Verb::Add | Verb::Keep), _) => {
                    self.tally(op, |tally| tally.present = tally.present.saturating_add(1));
                }
                (Some(Verb::Append), _) if self.scanner.text.get(value.0) == Some(&b'[') => {}
                (Some(Verb::Remove | Verb::Rename(_) | Verb::Append), _) => self.tally(op, wrong),
                (Some(Verb::Get), _) => self.tally(op, |tally| tally.got.push(value)),
                (None, _) => {}
            },
        }
    }

    /// Passes over the closing bracket and leaves the frame.
    pub(super) fn close(&mut self) -> Result<(), JsonError> {
        let close = self.scanner.at;
        self.scanner.advance();
        let creations = self.notes.creations.len();
        self.create()?;
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        if frame.keep.is_none()
            && self.candidates.len() == frame.candidates
            && self.notes.creations.len() == creations
        {
            self.renamed.truncate(frame.renamed);
            return Ok(());
        }
        let goes = frame.keep.is_some() && !frame.held && !frame.keep_root;
        let candidates = self.notes.candidates.len();
        let renamed = self.renamed.get(frame.renamed..).unwrap_or_default();
        for candidate in self.candidates.drain(frame.candidates.min(self.candidates.len())..) {
            let live = !candidate.if_renamed || renamed.contains(&candidate.op);
            if !goes && live {
                self.notes.candidates.push(candidate);
            }
        }
        self.renamed.truncate(frame.renamed);
        if let Some(op) = frame.keep {
            let removed = self.notes.candidates.len().saturating_sub(candidates);
            self.tally(op, |tally| tally.changed = tally.changed.saturating_add(removed));
            if frame.held
                && let Some(parent) = self.frames.last_mut()
            {
                parent.child_kept = true;
            }
        }
        if self.notes.candidates.len() > candidates || self.notes.creations.len() > creations {
            self.notes.frames.push(FrameEdit {
                array: frame.kind == Kind::Array,
                open: frame.open,
                close,
                count: frame.count,
                first: frame.first,
                last: frame.child,
                last_name: frame.name,
                last_value: frame.value,
                last_end: frame.last_end,
                candidates: candidates..self.notes.candidates.len(),
                creations: creations..self.notes.creations.len(),
            });
        }
        Ok(())
    }

    /// Notes what is missing at the end of the container that closes.
    fn create(&mut self) -> Result<(), JsonError> {
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let (array, states, states_end) = (frame.kind == Kind::Array, frame.states, frame.states_end);
        let parent = self.frames.len().checked_sub(2).and_then(|parent| self.frames.get(parent));
        let hits = parent.map_or(0, |parent| parent.hits)..frame.hits;
        if array {
            for at in hits {
                let Some(hit) = self.hits.get(at).copied() else { break };
                let Some(machine) = self.machines.get(hit).copied() else { continue };
                if matches!(self.verb(&machine), Some(Verb::Append)) {
                    self.creation(&machine, hit, machine.path.len())?;
                }
            }
        }
        for at in states..states_end {
            let Some(state) = self.states.get(at).copied() else { break };
            let Some(machine) = self.machines.get(state.machine).copied() else { continue };
            if state.seen || state.segment < machine.tail || !self.verb(&machine).is_some_and(Verb::creates) {
                continue;
            }
            let element = match state.next.single() {
                Some(Selector::Token { element, .. }) => *element,
                _ => Element::None,
            };
            match element {
                Element::None if array => {
                    self.tally(machine.op, |tally| tally.wrong = tally.wrong.saturating_add(1));
                }
                Element::At(_) if array => {}
                _ => {
                    let below = machine.path.iter().skip(state.segment.saturating_add(1));
                    if below.filter_map(Segment::single).all(is_name) {
                        self.creation(&machine, state.machine, state.segment)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn creation(&mut self, machine: &Machine<'e>, index: usize, segment: usize) -> Result<(), JsonError> {
        self.count()?;
        self.notes.creations.push(Creation { op: machine.op, machine: index, segment });
        self.tally(machine.op, |tally| tally.changed = tally.changed.saturating_add(1));
        Ok(())
    }
}

/// Whether a selector can only be a name, so that a missing container before it must be an object.
fn is_name(selector: &Selector) -> bool {
    matches!(selector, Selector::Name(_) | Selector::Token { element: Element::None, .. })
}
