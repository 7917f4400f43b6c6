//! Between operations and edits of JSON texts.

use std::borrow::Cow;

use meshgate_json::{Action, Edit, ErrorKind, JsonError, Limits, Node, Raw};

use crate::place::Place;
use crate::rule::{How, Op};
use crate::trouble::Trouble;

/// The edit that an operation is.
pub fn edit_of<'s>(operation: &'s Op, take: bool, value: Option<&'s Raw<'s>>) -> Option<Edit<'s>> {
    let raw = || value.map(Raw::by_ref);
    Some(match operation {
        Op::Write { how, to: Place::Json(path), .. } => {
            let value = raw()?;
            let action = match how {
                How::Set => Action::Set(value),
                How::Add => Action::Add(value),
                How::Append => Action::Append(value),
            };
            Edit { path, action }
        }
        Op::Remove(Place::Json(path)) => Edit { path, action: Action::Remove },
        Op::RenameJson(path, name) => Edit { path, action: Action::Rename(name) },
        Op::KeepJson { root, kept } => Edit { path: root, action: Action::Keep(kept) },
        Op::Transfer { from: Place::Json(path), .. } if take => Edit { path, action: Action::Remove },
        Op::Transfer { from: Place::Json(from), to: Place::Json(path), take } => {
            Edit { path, action: if *take { Action::Move { from } } else { Action::Copy { from } } }
        }
        Op::Transfer { from: Place::Json(path), .. } => Edit { path, action: Action::Get },
        Op::Transfer { to: Place::Json(path), .. } => Edit { path, action: Action::Set(raw()?) },
        _ => return None,
    })
}

/// What a JSON value is in a header or a parameter: of a string its text, of all else its JSON. `null` is nothing.
pub fn plain(value: &Raw<'_>) -> Option<Vec<u8>> {
    match value.as_bytes() {
        b"null" => None,
        text if text.starts_with(b"\"") => {
            let node = Node::parse(text, &Limits::default()).ok()?;
            node.string().map(Cow::into_owned)
        }
        text => Some(text.to_vec()),
    }
}

/// An array of strings.
pub fn array(values: &[Vec<u8>]) -> Vec<u8> {
    let items: Vec<Vec<u8>> =
        values.iter().map(|value| Raw::string(value).into_bytes().into_owned()).collect();
    [b"[".as_slice(), &items.join(&b','), b"]"].concat()
}

/// What trouble it is that a text could not be edited.
pub fn trouble_of(error: &JsonError) -> Trouble {
    log::debug!("{error}");
    match error.kind {
        ErrorKind::TooLarge | ErrorKind::TooManyMatches => Trouble::OverLimit,
        _ => Trouble::InvalidJson,
    }
}
