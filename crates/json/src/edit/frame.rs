//! The containers that a scan has open, and what it notes about those in which something comes or goes.

use std::ops::Range;

use super::work::Span;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Around the document: its only child.
    #[default]
    Root,
    Array,
    Object,
}

/// A container that is open.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub kind: Kind,
    /// Its opening bracket.
    pub open: usize,
    /// Where its own states are among all; those of its child follow.
    pub states: usize,
    pub states_end: usize,
    /// Where the hits of its child begin among all, its candidates, and the edits that renamed a member of it.
    pub hits: usize,
    pub candidates: usize,
    pub renamed: usize,
    /// The number of elements, where a path has to know it.
    pub len: Option<usize>,
    /// The `Keep` by whose leave its children stay.
    pub keep: Option<usize>,
    /// Whether it is that edit's own place: it stays, even if nothing in it does.
    pub keep_root: bool,
    /// Whether something in it is kept.
    pub held: bool,
    /// Whether a kept path ends at the child.
    pub child_kept: bool,
    /// How many children have begun.
    pub count: usize,
    /// Where the first one begins.
    pub first: usize,
    /// The last one: where it begins, its name with quotes, where its value begins; and where the one before it ends,
    /// until it ends itself.
    pub child: usize,
    pub name: Span,
    pub value: usize,
    pub last_end: usize,
}

/// A child that may have to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Of which edit.
    pub op: usize,
    /// Only if that edit renamed another member to the name of this one.
    pub if_renamed: bool,
    pub index: usize,
    /// Where the child before it ends, or its container's inside begins.
    pub previous: usize,
    pub end: usize,
    /// Where the child after it begins.
    pub next: Option<usize>,
}

/// A member or element to make at the end of a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Creation {
    pub op: usize,
    pub machine: usize,
    /// The first segment of its path that is missing; the number of all if the value itself is appended.
    pub segment: usize,
}

/// A container in which something comes or goes.
#[derive(Clone, Debug)]
pub(crate) struct FrameEdit {
    pub array: bool,
    pub open: usize,
    pub close: usize,
    /// How many children it has.
    pub count: usize,
    pub first: usize,
    /// The last child: where it begins, its name, where its value begins, where it ends.
    pub last: usize,
    pub last_name: Span,
    pub last_value: usize,
    pub last_end: usize,
    /// What is noted for it among all candidates and creations.
    pub candidates: Range<usize>,
    pub creations: Range<usize>,
}
