//! Editing a document by splices: what no edit names stays byte for byte.

mod close;
mod frame;
mod lengths;
mod pass;
mod plan;
mod splice;
#[cfg(test)]
mod tests;
mod walk;
mod work;

use std::borrow::Cow;

pub use plan::edit;
pub(crate) use plan::find;

use crate::path::Path;
use crate::raw::Raw;

/// One change, and the places that it is made in.
#[derive(Clone, Debug)]
pub struct Edit<'a> {
    /// The places.
    pub path: &'a Path,
    /// What happens there.
    pub action: Action<'a>,
}

/// What happens at the places that a path selects.
///
/// A path that selects several values means all of them, repeated names included.
///
/// [`Set`](Action::Set), [`Add`](Action::Add), [`Append`](Action::Append), [`Copy`](Action::Copy) and
/// [`Move`](Action::Move) *make* what is missing: the names that a path ends with, in every object that the part before
/// them selects. `/a/b` and `$.a.b` make `a` and `b`, `$.items[*].a.b` does so in each item. What says more than a name
/// must be there: a wildcard, an index, a slice, several selectors in one bracket, descendants (`$..a` makes nothing),
/// and what stands before one of these. A member is made at the end of its object, in the style of the member before
/// it: the white space that stands before that one and around its colon.
#[derive(Clone, Debug)]
pub enum Action<'a> {
    /// The value becomes this one, and is made where it is missing. The token `-` of a JSON Pointer appends an element.
    Set(Raw<'a>),
    /// The value is made where it is missing; where there is one, nothing happens.
    Add(Raw<'a>),
    /// The array there gets this element at its end; where nothing is, an array of this element is made.
    Append(Raw<'a>),
    /// The member or element goes, with one comma and the white space before it (or, at the start of its container,
    /// after it). The document itself cannot go: [`Outcome::WrongType`].
    Remove,
    /// The name of the member becomes this one; its place and its value stay. If the object had members of that name,
    /// they go. What is no member cannot be renamed: [`Outcome::WrongType`].
    Rename(&'a str),
    /// In the values there only what these paths select stays, and the containers on the way to it; a container in
    /// which nothing stays goes as well. The paths begin at the value: for the whole document, the path of the edit is
    /// the root. From a value that is no container nothing can go: [`Outcome::WrongType`], unless a path selects all of it.
    Keep(&'a [Path]),
    /// [`Action::Set`] with the value that another path selects. If that is more than one value:
    /// [`Outcome::Ambiguous`].
    Copy {
        /// Where the value is.
        from: &'a Path,
    },
    /// [`Action::Copy`] after which the value is gone from where it was: first removed, then set, as in RFC 6902,
    /// section 4.4. If it cannot be set, it stays.
    Move {
        /// Where the value is.
        from: &'a Path,
    },
    /// Nothing changes: the values are in [`Outcome::Got`].
    Get,
}

/// A text after its edits.
#[derive(Clone, Debug)]
pub struct Edited<'a> {
    /// The text. Borrowed: nothing was changed.
    pub text: Cow<'a, [u8]>,
    /// What became of each edit, in their order.
    pub outcomes: Vec<Outcome<'a>>,
}

/// What became of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Done in so many places: values set or made, elements appended, members renamed, values removed. 0 if all is as
    /// wanted already: [`Action::Add`] where there is a value, [`Action::Keep`] where nothing had to go.
    Done(usize),
    /// The path selects nothing (of a copy or move: where it comes from), and nothing could be made.
    Missing,
    /// Nothing was done: what is at the path, or on the way to it, is of the wrong type.
    WrongType,
    /// Nothing was done: the value to copy or move is not one but this many.
    Ambiguous(usize),
    /// The values that [`Action::Get`] found: at least one, in the order of the document.
    Got(Vec<Raw<'a>>),
}
