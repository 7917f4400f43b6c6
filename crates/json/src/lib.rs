//! JSON edited in place: scanning, paths, and splices that leave every other byte alone.
//!
//! A gateway that changes one value of a body has no use for a tree of all the others. [`edit()`] scans the text once,
//! walks only where a [`Path`] can lead, and replaces ranges of bytes: number text, the order of members, white space,
//! repeated names and escapes of the rest go out as they came. [`validate`] is the scanner alone, and [`Node`] reads values
//! where they stand.

mod block;
mod edit;
mod error;
mod node;
mod number;
mod path;
mod raw;
mod scan;
mod string;

pub use edit::{Action, Edit, Edited, Outcome, edit};
pub use error::{ErrorKind, JsonError};
pub use node::{Items, Kind, Members, Node};
pub use path::{Path, PathError, PathProblem};
pub use raw::Raw;
pub use scan::{Limits, validate};
