//! Where in a document a token stands.

use std::fmt;

use super::paths::{Paths, State};
use crate::path::Segment;

/// How many bytes of a member name are kept.
pub(super) const NAME: usize = 256;

/// The containers that are open, with what leads to the value that is next.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// The innermost container, and those around it; the outermost of all stands for the stream.
    top: Level,
    outer: Vec<Level>,
    /// The names of the open members, the innermost last.
    names: Vec<u8>,
    states: Vec<State>,
    /// The paths that select the child of the innermost level.
    selected: u128,
}

/// An open container and its child in progress.
#[derive(Clone, Copy, Debug)]
struct Level {
    kind: Kind,
    /// How many children have begun.
    count: u64,
    /// Where the child begins: its name or, in an array, its value.
    child: u64,
    /// Where the child before it ends, or the inside of the container begins.
    previous: u64,
    /// Where the name of the child begins among all names.
    name: usize,
    /// Whether the child has a name.
    named: bool,
    /// Its states among all; those of the child follow.
    states: usize,
    states_end: usize,
    /// The paths that select it or what it is in.
    selected: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Array,
    Object,
}

impl Stack {
    pub fn new() -> Self {
        let top = Level::new(Kind::Stream, 0);
        Self { top, outer: Vec::new(), names: Vec::new(), states: Vec::new(), selected: 0 }
    }

    /// Forgets all that is open: the next value is a document of its own.
    pub fn reset(&mut self, at: u64) {
        *self = Self::new();
        self.child_ended(at);
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        self.top.kind
    }

    #[inline]
    pub fn depth(&self) -> usize {
        self.outer.len()
    }

    /// A child begins: with its name or, where there are none, with its value.
    #[inline]
    pub fn child(&mut self, at: u64) {
        self.top.count = self.top.count.wrapping_add(1);
        self.top.child = at;
    }

    /// The name of the child is known: as it was written, cut off if `whole` is false. Finds the paths that select the
    /// child; [`Stack::keep_name`] keeps the name.
    #[inline]
    pub fn named(&mut self, paths: &Paths, raw: &[u8], escaped: bool, whole: bool) {
        self.top.named = true;
        self.descend(paths, |segment| match whole {
            true => segment.selects_member(raw, escaped),
            false => segment.selects_any(),
        });
    }

    /// Keeps the name of the child, for when the chunk is gone or another name takes its place.
    pub fn keep_name(&mut self, raw: &[u8], escaped: bool) {
        self.names.truncate(self.top.name);
        let start = raw.get(..NAME).unwrap_or(raw);
        if escaped {
            self.names.extend_from_slice(&crate::string::decode(start));
        } else {
            self.names.extend_from_slice(start);
        }
    }

    /// The value of the child begins; in an object its name came before.
    #[inline]
    pub fn value(&mut self, paths: &Paths, at: u64) {
        match self.top.kind {
            Kind::Object => {}
            Kind::Array => {
                self.child(at);
                let index = usize::try_from(self.top.count.wrapping_sub(1)).unwrap_or(usize::MAX);
                self.descend(paths, |segment| segment.selects_element(index, None));
            }
            Kind::Stream => {
                self.child(at);
                self.selected = paths.start(&mut self.states);
            }
        }
    }

    /// Finds the paths that select the child.
    #[inline]
    fn descend(&mut self, paths: &Paths, selects: impl Fn(&Segment) -> bool) {
        let Level { states, states_end, selected, .. } = self.top;
        self.selected = selected;
        if states < states_end {
            self.selected |= paths.descend(&mut self.states, states, states_end, selects);
        }
    }

    /// The child is a container: it opens at `at`.
    pub fn open(&mut self, kind: Kind, at: u64) {
        let inner = Level {
            name: self.names.len(),
            states: self.top.states_end,
            states_end: self.states.len(),
            selected: self.selected,
            ..Level::new(kind, at.wrapping_add(1))
        };
        self.outer.push(std::mem::replace(&mut self.top, inner));
    }

    /// The innermost container closes before `at`; it is a child that ends.
    pub fn close(&mut self, at: u64) {
        self.names.truncate(self.top.name);
        if let Some(outer) = self.outer.pop() {
            self.top = outer;
        }
        self.child_ended(at);
    }

    /// The child of the innermost container ends before `at`.
    #[inline]
    pub fn child_ended(&mut self, at: u64) {
        self.top.previous = at;
        self.states.truncate(self.top.states_end);
    }

    /// Where a value stands that begins now; `fresh` is the name of the member if it is not kept yet.
    #[inline]
    pub fn place<'t>(&'t self, fresh: Option<&'t [u8]>) -> Place<'t> {
        let fresh = fresh.map(|name| name.get(..NAME).unwrap_or(name));
        Place { stack: self, selected: self.selected, own_name: true, fresh }
    }

    /// Where a name stands that begins now.
    #[inline]
    pub fn place_of_name(&self) -> Place<'_> {
        Place { stack: self, selected: self.top.selected, own_name: false, fresh: None }
    }
}

impl Level {
    fn new(kind: Kind, previous: u64) -> Self {
        Self {
            kind,
            count: 0,
            child: previous,
            previous,
            name: 0,
            named: false,
            states: 0,
            states_end: 0,
            selected: 0,
        }
    }
}

/// Where in a document a token stands.
#[derive(Clone, Copy)]
pub struct Place<'t> {
    stack: &'t Stack,
    selected: u128,
    /// Whether the name of the innermost member is part of it: not for a name itself.
    own_name: bool,
    /// That name, if it is not among those of the stack.
    fresh: Option<&'t [u8]>,
}

impl<'t> Place<'t> {
    /// The name of the innermost member that the token is in, its escapes resolved; of a long one the first bytes (256
    /// as written). An element of an array is in the member whose value the array is; a name is in the member around
    /// its object.
    pub fn name(&self) -> Option<&'t [u8]> {
        self.fresh.or_else(|| self.names().rev().find_map(|(_, name)| name))
    }

    /// Whether a path of the set (by its position) selects the token's value or a container that it is in.
    pub fn is_selected(&self, path: usize) -> bool {
        let path = u32::try_from(path).ok();
        path.and_then(|path| self.selected.checked_shr(path)).is_some_and(|bits| bits & 1 == 1)
    }

    /// All paths that do, as bits: the first path lowest.
    pub fn selected(&self) -> u128 {
        self.selected
    }

    /// How many containers are open around it.
    pub fn depth(&self) -> usize {
        self.stack.depth()
    }

    /// Where the member (its name) or the element (its value) begins that the token belongs to.
    pub fn child_start(&self) -> u64 {
        self.stack.top.child
    }

    /// Where the member or element before that ends, or the inside of its container begins.
    pub fn previous_end(&self) -> u64 {
        self.stack.top.previous
    }

    /// How many members or elements stand before it in its container.
    pub fn index(&self) -> u64 {
        self.stack.top.count.saturating_sub(1)
    }

    /// Whether it is an element of an array.
    pub fn in_array(&self) -> bool {
        self.stack.kind() == Kind::Array
    }

    /// The place as a JSON Pointer (RFC 6901) into its document. It holds names from the document: they are cut off as
    /// in [`Place::name`], and what is no UTF-8 in them becomes U+FFFD.
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for (level, name) in self.names() {
            if level.kind == Kind::Array {
                pointer.push('/');
                pointer.push_str(&level.count.saturating_sub(1).to_string());
            } else if let Some(name) = name {
                pointer.push('/');
                pointer.push_str(&String::from_utf8_lossy(name).replace('~', "~0").replace('/', "~1"));
            }
        }
        pointer
    }

    /// The levels from the outermost on, each with the name of its member.
    fn names(&self) -> impl DoubleEndedIterator<Item = (&'t Level, Option<&'t [u8]>)> {
        let Self { stack, own_name, fresh, .. } = *self;
        let outer = stack.outer.iter().enumerate().map(|(at, level)| {
            let inner = stack.outer.get(at.saturating_add(1)).unwrap_or(&stack.top);
            (level, stack.names.get(level.name..inner.name).filter(|_| level.named))
        });
        let own = fresh.or(stack.names.get(stack.top.name..)).filter(|_| stack.top.named && own_name);
        outer.chain(std::iter::once((&stack.top, own)))
    }
}

/// Its depth only: the names come from a body.
impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place(depth {})", self.depth())
    }
}
