//! The one scan of a batch of edits: walks into the values that a path can lead into, passes over the others, and notes
//! what is to be done where. What it notes becomes text in [`splice`](super::splice).

use super::frame::{Candidate, Frame, Kind};
use super::lengths::Lengths;
use super::pass::Child;
use super::work::{Machine, Notes, Role, Span, Tally, Verb};
use crate::error::{ErrorKind, JsonError};
use crate::path::Segment;
use crate::scan::{Limits, Scanner, Start};
use crate::string;

/// A path, and how much of it the way to the container here has used.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'e> {
    pub machine: usize,
    pub segment: usize,
    /// The segment that is next.
    pub next: &'e Segment,
    /// A name that must not be left beside the member that the segment selects: it is renamed to this.
    pub rename_to: Option<&'e str>,
    /// Whether a member of the object here was selected.
    pub seen: bool,
}

/// Scans a text for a batch of edits.
pub(crate) struct Walker<'t, 'e> {
    pub(super) scanner: Scanner<'t>,
    pub(super) limits: &'e Limits,
    pub(super) verbs: &'e [Verb<'e>],
    pub(super) machines: Vec<Machine<'e>>,
    pub(super) frames: Vec<Frame>,
    pub(super) states: Vec<State<'e>>,
    /// The machines whose path ends at the children that are open, by frame.
    pub(super) hits: Vec<usize>,
    /// Children of open frames that may have to go, by frame.
    pub(super) candidates: Vec<Candidate>,
    /// Edits that renamed a member of an open frame, by frame.
    pub(super) renamed: Vec<usize>,
    lengths: Lengths,
    pub(super) matches: usize,
    pub(super) notes: Notes,
}

impl<'t, 'e> Walker<'t, 'e> {
    pub fn new(text: &'t [u8], verbs: &'e [Verb<'e>], limits: &'e Limits) -> Self {
        Self {
            scanner: Scanner::new(text),
            limits,
            verbs,
            machines: Vec::new(),
            frames: Vec::new(),
            states: Vec::new(),
            hits: Vec::new(),
            candidates: Vec::new(),
            renamed: Vec::new(),
            lengths: Lengths::default(),
            matches: 0,
            notes: Notes { tallies: vec![Tally::default(); verbs.len()], ..Notes::default() },
        }
    }

    /// Follows one more path.
    pub fn follow(&mut self, path: &'e [Segment], op: usize, role: Role) {
        self.machines.push(Machine::new(path, op, role));
    }

    /// The scan.
    pub fn walk(mut self) -> Result<(Notes, Vec<Machine<'e>>), JsonError> {
        self.scanner.space();
        self.frames.push(Frame::default());
        let at = self.scanner.at;
        self.begin_child(at, (at, at), at);
        for machine in 0..self.machines.len() {
            if self.machines.get(machine).is_some_and(|machine| machine.role != Role::Kept) {
                self.arrive(machine, 0)?;
            }
        }
        self.value()?;
        self.scanner.finish()?;
        // They were noted where they end.
        self.notes.tallies.iter_mut().for_each(|tally| tally.got.sort_unstable());
        Ok((self.notes, self.machines))
    }

    /// Walks the value here and all in it; ends when the root's frame is the last.
    fn value(&mut self) -> Result<(), JsonError> {
        let mut entered = self.enter()?;
        loop {
            if entered {
                entered = self.first_child()?;
                continue;
            }
            self.finish_child()?;
            entered = match self.frames.last() {
                Some(frame) if frame.kind != Kind::Root => self.next_child()?,
                _ => return Ok(()),
            };
        }
    }

    /// Opens the container here if a path leads into it (then its children come next); else passes over the value.
    fn enter(&mut self) -> Result<bool, JsonError> {
        let depth = self.frames.len().saturating_sub(1);
        let Some(parent) = self.frames.last() else { return Ok(false) };
        let (hits, states, keep) = (parent.hits, parent.states_end, parent.keep);
        let start = self.scanner.start();
        let array = start == Start::Array;
        let mut leads = false;
        let (mut keeps, mut appends) = (None, false);
        if start != Start::Scalar {
            leads = self.states.iter().skip(states).any(|state| state.next.leads_into(array));
            for machine in self.hits_of(hits) {
                match self.verb(machine) {
                    Some(Verb::Keep) => keeps = Some(machine.op),
                    Some(Verb::Append) => appends = array,
                    _ => {}
                }
            }
        }
        // A container in which a `Keep` keeps nothing goes whole.
        if !(leads || keeps.is_some() || appends) {
            if self.states.len() > states {
                self.no_way(states);
                self.states.truncate(states);
            }
            self.scanner.value(self.limits.depth.saturating_sub(depth))?;
            return Ok(false);
        }
        if depth >= self.limits.depth {
            return Err(self.scanner.error(ErrorKind::TooDeep));
        }
        let kept = parent.child_kept;
        let open = self.scanner.at;
        let counted = array && self.states.iter().skip(states).any(|state| state.next.needs_len());
        let len = if counted { Some(self.lengths.of(&self.scanner, self.limits.depth)?) } else { None };
        self.frames.push(Frame {
            kind: if array { Kind::Array } else { Kind::Object },
            open,
            len,
            states,
            states_end: self.states.len(),
            hits: self.hits.len(),
            candidates: self.candidates.len(),
            renamed: self.renamed.len(),
            keep: keeps.or(keep).filter(|_| !kept),
            keep_root: keeps.is_some(),
            last_end: open.saturating_add(1),
            ..Frame::default()
        });
        self.scanner.advance();
        Ok(true)
    }

    /// From behind the opening bracket: to the first child that matters, or past the closing bracket.
    fn first_child(&mut self) -> Result<bool, JsonError> {
        self.scanner.space();
        let array = self.in_array();
        if self.scanner.peek() == Some(if array { b']' } else { b'}' }) {
            self.close()?;
            return Ok(false);
        }
        self.child(array)
    }

    /// From behind a child: to the next that matters, or past the closing bracket.
    fn next_child(&mut self) -> Result<bool, JsonError> {
        self.scanner.space();
        let array = self.in_array();
        match (self.scanner.peek(), array) {
            (Some(b','), _) => {
                self.scanner.advance();
                self.scanner.space();
                self.child(array)
            }
            (Some(b']'), true) | (Some(b'}'), false) => {
                self.close()?;
                Ok(false)
            }
            _ => Err(self.scanner.after(array)),
        }
    }

    fn in_array(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.kind == Kind::Array)
    }

    /// From the first byte of a child: to the value of the next that matters, and into it if a path leads there.
    fn child(&mut self, array: bool) -> Result<bool, JsonError> {
        let Some(child) = self.pass_children(array)? else { return Ok(false) };
        self.begin_child(child.start, child.name, child.value);
        let Some(frame) = self.frames.last() else { return Ok(false) };
        let (states, index, len) = (frame.states..frame.states_end, frame.count.wrapping_sub(1), frame.len);
        for at in states {
            let Some(state) = self.states.get(at).copied() else { break };
            if state.next.descendant {
                self.push_state(state.machine, state.segment);
            }
            let selected = if array {
                state.next.selects_element(index, len)
            } else {
                state.next.selects_member(child.inside, child.escaped)
            };
            if selected {
                if let Some(state) = self.states.get_mut(at) {
                    state.seen = true;
                }
                self.arrive(state.machine, state.segment.saturating_add(1))?;
            } else if !array && state.renames_to(&child) {
                self.rename_target(&state)?;
            }
        }
        self.drop_settled();
        self.enter()
    }

    /// What is replaced or removed is not walked any further for the same path.
    fn drop_settled(&mut self) {
        let Some(frame) = self.frames.last() else { return };
        let (hits, from) = (frame.hits, frame.states_end);
        if self.hits.len() == hits || self.states.len() == from {
            return;
        }
        let mut kept = from;
        for at in from..self.states.len() {
            let Some(state) = self.states.get(at).copied() else { break };
            let settled =
                self.hits.iter().skip(hits).any(|hit| *hit == state.machine) && self.settles(state.machine);
            if !settled {
                self.states.swap(kept, at);
                kept = kept.wrapping_add(1);
            }
        }
        self.states.truncate(kept);
    }

    fn settles(&self, machine: usize) -> bool {
        self.machines.get(machine).is_some_and(|machine| match machine.role {
            Role::Target => {
                matches!(self.verbs.get(machine.op), Some(Verb::Set | Verb::Remove | Verb::Keep))
            }
            Role::Kept => true,
            Role::Source | Role::Taken => false,
        })
    }

    fn begin_child(&mut self, start: usize, name: Span, value: usize) {
        let hits = self.hits.len();
        let Some(frame) = self.frames.last_mut() else { return };
        if frame.count == 0 {
            frame.first = start;
        }
        for candidate in self.candidates.iter_mut().skip(frame.candidates).rev() {
            if candidate.next.is_some() || candidate.index != frame.count.wrapping_sub(1) {
                break;
            }
            candidate.next = Some(start);
        }
        frame.count = frame.count.wrapping_add(1);
        frame.child = start;
        frame.name = name;
        frame.value = value;
        frame.child_kept = false;
        frame.hits = hits;
    }

    /// A path has led `segment` segments far, to the child that begins.
    fn arrive(&mut self, machine: usize, segment: usize) -> Result<(), JsonError> {
        let Some(found) = self.machines.get(machine).copied() else { return Ok(()) };
        if segment < found.path.len() {
            self.push_state(machine, segment);
            return Ok(());
        }
        if self
            .frames
            .last()
            .is_some_and(|frame| self.hits.iter().skip(frame.hits).any(|hit| *hit == machine))
        {
            return Ok(());
        }
        self.count()?;
        self.hits.push(machine);
        if found.role == Role::Kept {
            if let Some(frame) = self.frames.last_mut() {
                frame.child_kept = true;
            }
            return Ok(());
        }
        if found.role == Role::Target && matches!(self.verbs.get(found.op), Some(Verb::Keep)) {
            for at in 0..self.machines.len() {
                if self.machines.get(at).is_some_and(|kept| kept.role == Role::Kept && kept.op == found.op) {
                    self.arrive(at, 0)?;
                }
            }
        }
        Ok(())
    }

    /// Notes a state for the child that begins, once.
    fn push_state(&mut self, machine: usize, segment: usize) {
        let from = self.frames.last().map_or(0, |frame| frame.states_end);
        let known =
            self.states.iter().skip(from).any(|state| state.machine == machine && state.segment == segment);
        let Some(found) = self.machines.get(machine).filter(|_| !known) else { return };
        let Some(next) = found.path.get(segment) else { return };
        let rename_to = match self.verb(found) {
            Some(Verb::Rename(new)) if segment.saturating_add(1) == found.path.len() => Some(new),
            _ => None,
        };
        self.states.push(State { machine, segment, next, rename_to, seen: false });
    }
}

impl State<'_> {
    /// Whether a member has the name that the member which the path selects is to get.
    #[inline]
    pub fn renames_to(&self, child: &Child<'_>) -> bool {
        self.rename_to.is_some_and(|new| string::is(child.inside, child.escaped, new.as_bytes()))
    }
}
