//! Paths into JSON documents.
//!
//! The bytes are a path, a newline, and a document; without one the path is tried on one that has a little of everything.

use std::collections::BTreeSet;

use meshgate_json::{Action, Edit, Limits, Node, Outcome, Path, edit};
use serde_json::Value;
use serde_json_path::JsonPath;

const LIMITS: Limits = Limits { depth: 100, matches: 10_000, output: 1 << 20 };

const DOCUMENT: &str = r#"{"a": [0, 1, {"b": "c"}, [2, [3]]], "": {"a": null}, "$": 1.5e3, "é": {"a/b": [true], "~": "\u00e9"}}"#;

/// A path is refused, or selects what another implementation says, whether one reads or edits. Only a small part of JSONPath
/// is accepted, and nothing beside it.
pub fn any_path(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == b'\n');
    let Ok(source) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    let document = parts.next().unwrap_or(DOCUMENT.as_bytes());
    let Ok(path) = Path::new(source) else { return };
    assert_eq!(path.as_str(), source);
    let Ok(node) = Node::parse(document, &LIMITS) else { return };
    let Ok(found) = node.at(&path, &LIMITS) else { return };
    let is_repetitive = has_repeated_names(&node);
    assert!(found.len() <= 1 || !path.is_definite() || is_repetitive);

    let edited = edit(document, &[Edit { path: &path, action: Action::Get }], &LIMITS).expect("it was found");
    match &edited.outcomes[..] {
        [Outcome::Got(values)] => {
            assert!(values.iter().map(|value| value.as_bytes()).eq(found.iter().map(Node::text)));
        }
        [Outcome::Missing | Outcome::WrongType] => assert!(found.is_empty()),
        other => panic!("{other:?}"),
    }
    // The other implementation has no repeated names.
    if is_repetitive {
        return;
    }
    if let Ok(value) = serde_json::from_slice::<Value>(document) {
        let ours: BTreeSet<_> =
            found.iter().filter_map(|node| serde_json::from_slice(node.text()).ok()).map(print).collect();
        if let Some(theirs) = theirs(source, &value) {
            assert_eq!(ours, theirs);
        }
    }
}

fn has_repeated_names(node: &Node<'_>) -> bool {
    let mut names = BTreeSet::new();
    node.members().any(|(name, value)| !names.insert(name) || has_repeated_names(&value))
        || node.items().any(|item| has_repeated_names(&item))
}

/// What another implementation selects; `None`: this can't be compared.
fn theirs(source: &str, value: &Value) -> Option<BTreeSet<String>> {
    if source.starts_with('$') {
        let path = match JsonPath::parse(source) {
            Ok(path) => path,
            // RFC 9535, section 2.1.1, has white space between segments, this implementation not before `..`.
            Err(_) if source.contains([' ', '\t', '\r', '\n']) => return None,
            Err(error) => panic!("{source} is no JSONPath: {error}"),
        };
        return Some(path.query(value).iter().map(|value| print((*value).clone())).collect());
    }
    Some(value.pointer(source).cloned().map(print).into_iter().collect())
}

fn print(value: Value) -> String {
    value.to_string()
}
