//! JSON documents, and edits of them.
//!
//! The bytes are lines of operations, their parts with tabs between them (`set<TAB>/a<TAB>1`, `move<TAB>/a<TAB>/b`), an empty line,
//! and the document.

use std::borrow::Cow;

use meshgate_json::{Action, Edit, ErrorKind, Limits, Node, Path, Raw, edit, validate};
use serde::de::IgnoredAny;

use crate::input;

const LIMITS: Limits = Limits { depth: 512, matches: 10_000, output: 1 << 20 };

/// Documents are accepted and refused as by another parser. Edits of one list do what they do one after the other, and what
/// comes out is JSON.
pub fn any_edits(bytes: &[u8]) {
    let (operations, document) = input::split(bytes);
    check_grammar(document);
    let operations: Vec<Operation> = operations.lines().filter_map(Operation::new).collect();
    let edits: Vec<Edit<'_>> = operations.iter().map(Operation::edit).collect();
    let edited = edit(document, &edits, &LIMITS);
    let valid = validate(document, &LIMITS);
    let edited = match (valid, edited) {
        (Ok(()), Ok(edited)) => edited,
        (Ok(()), Err(error)) => return assert!(error.is_limit(), "{error}"),
        (Err(_), Err(_)) => return,
        (Err(error), Ok(_)) => panic!("edited, though {error}"),
    };
    let deep = Limits { depth: LIMITS.depth * (1 + operations.len()), ..LIMITS };
    assert_eq!(validate(&edited.text, &deep), Ok(()));
    let is_text = std::str::from_utf8(document).is_ok();
    assert!(!is_text || std::str::from_utf8(&edited.text).is_ok(), "no UTF-8 any more");
    if matches!(edited.text, Cow::Borrowed(_)) {
        assert_eq!(&edited.text[..], document);
    }

    let (mut text, mut outcomes) = (Cow::Borrowed(document), Vec::new());
    for one in &edits {
        match edit(&text, std::slice::from_ref(one), &LIMITS) {
            Ok(edited) => {
                outcomes.extend(edited.outcomes.iter().map(|outcome| format!("{outcome:?}")));
                text = edited.text.into_owned().into();
            }
            // An intermediate text may be deeper or longer than the last one.
            Err(error) => return assert!(error.is_limit(), "{error}"),
        }
    }
    // New members have the white space of others, which may be gone after the edits before.
    assert_eq!(compact(&edited.text), compact(&text));
    assert_eq!(edited.outcomes.iter().map(|outcome| format!("{outcome:?}")).collect::<Vec<_>>(), outcomes);
}

/// The text without white space between its tokens.
fn compact(text: &[u8]) -> String {
    let (mut compact, mut in_string, mut escaped) = (Vec::new(), false, false);
    for &byte in text {
        if in_string || !b" \t\r\n".contains(&byte) {
            compact.push(byte);
        }
        in_string ^= byte == b'"' && !escaped;
        escaped = in_string && byte == b'\\' && !escaped;
    }
    String::from_utf8_lossy(&compact).into_owned()
}

/// Accepted if `serde_json` accepts it.
fn check_grammar(document: &[u8]) {
    let ours = validate(document, &LIMITS);
    let bare = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    match (ours, serde_json::from_slice::<IgnoredAny>(bare)) {
        (Ok(()), Ok(_)) => read(&Node::parse(document, &LIMITS).expect("it is valid"), 64),
        (Err(error), Ok(_)) => assert_eq!(error.kind, ErrorKind::TooDeep, "{error}"),
        (Ok(()), Err(error)) => assert!(error.to_string().starts_with("recursion limit"), "{error}"),
        (Err(_), Err(_)) => {}
    }
}

/// Everything can be read.
fn read(node: &Node<'_>, depth: usize) {
    assert!(Raw::new(node.text()).is_ok());
    let _ = (node.kind(), node.string());
    if depth > 0 {
        node.items().for_each(|item| read(&item, depth - 1));
        for (name, value) in node.members() {
            assert!(std::str::from_utf8(&name).map_or(true, |name| node.get(name).is_some()));
            read(&value, depth - 1);
        }
    }
}

/// An edit that owns its parts.
struct Operation {
    path: Path,
    verb: Verb,
}

enum Verb {
    Set(Raw<'static>),
    Add(Raw<'static>),
    Append(Raw<'static>),
    Remove,
    Rename(String),
    Keep(Vec<Path>),
    Copy(Path),
    Move(Path),
    Get,
}

impl Operation {
    fn new(line: &str) -> Option<Self> {
        let mut parts = line.split('\t');
        let (name, path) = (parts.next()?, Path::new(parts.next()?).ok()?);
        let mut raw = || Some(Raw::new(parts.next()?.as_bytes()).ok()?.into_owned());
        let verb = match name {
            "set" => Verb::Set(raw()?),
            "add" => Verb::Add(raw()?),
            "append" => Verb::Append(raw()?),
            "remove" => Verb::Remove,
            "rename" => Verb::Rename(parts.next()?.to_owned()),
            "keep" => Verb::Keep(parts.map(Path::new).collect::<Result<_, _>>().ok()?),
            "copy" => Verb::Copy(Path::new(parts.next()?).ok()?),
            "move" => Verb::Move(Path::new(parts.next()?).ok()?),
            "get" => Verb::Get,
            _ => return None,
        };
        Some(Self { path, verb })
    }

    fn edit(&self) -> Edit<'_> {
        let action = match &self.verb {
            Verb::Set(value) => Action::Set(value.by_ref()),
            Verb::Add(value) => Action::Add(value.by_ref()),
            Verb::Append(value) => Action::Append(value.by_ref()),
            Verb::Remove => Action::Remove,
            Verb::Rename(name) => Action::Rename(name),
            Verb::Keep(paths) => Action::Keep(paths),
            Verb::Copy(from) => Action::Copy { from },
            Verb::Move(from) => Action::Move { from },
            Verb::Get => Action::Get,
        };
        Edit { path: &self.path, action }
    }
}
