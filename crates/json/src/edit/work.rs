//! What a batch of edits wants, and what its scan found.

use super::frame::{Candidate, Creation, FrameEdit};
use crate::path::{Segment, tail};

/// A range of the text.
pub(crate) type Span = (usize, usize);

/// What a batch does, one per edit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb<'e> {
    Set,
    Add,
    Append,
    Remove,
    Rename(&'e str),
    Keep,
    Get,
}

impl Verb<'_> {
    pub fn creates(self) -> bool {
        matches!(self, Self::Set | Self::Add | Self::Append)
    }
}

/// Why a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// To the places of the edit.
    Target,
    /// To the value to copy.
    Source,
    /// To the value to move.
    Taken,
    /// To what a `Keep` keeps; followed from the places of its edit on.
    Kept,
}

/// A path that is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine<'e> {
    pub path: &'e [Segment],
    pub op: usize,
    pub role: Role,
    /// Where the names at the end of the path begin.
    pub tail: usize,
}

impl<'e> Machine<'e> {
    pub fn new(path: &'e [Segment], op: usize, role: Role) -> Self {
        Self { path, op, role, tail: tail(path) }
    }
}

/// A text to put in place of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Splice {
    pub span: Span,
    pub op: usize,
    pub what: What,
}

/// What a [`Splice`] puts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The value of the edit.
    Value,
    /// Its new member name.
    Name,
}

/// What was found for one edit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Places where it does its work.
    pub changed: usize,
    /// Places where there is what it would make.
    pub present: usize,
    /// Places of the wrong type.
    pub wrong: usize,
    /// The first value to copy or move, and how many there are.
    pub source: Option<Span>,
    pub sources: usize,
    /// The values to get.
    pub got: Vec<Span>,
}

/// All that one scan found.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub tallies: Vec<Tally>,
    pub splices: Vec<Splice>,
    pub frames: Vec<FrameEdit>,
    pub candidates: Vec<Candidate>,
    pub creations: Vec<Creation>,
}
