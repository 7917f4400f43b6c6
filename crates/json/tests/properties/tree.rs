//! A JSON tree that keeps what texts keep: the order, repeated names, the text of numbers and strings.

use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// A number, word or string, as written.
    Leaf(String),
    Array(Vec<Tree>),
    /// Names as written, with quotes.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// The children; none of a leaf.
    pub fn len(&self) -> usize {
        match self {
            Self::Leaf(_) => 0,
            Self::Array(items) => items.len(),
            Self::Object(members) => members.len(),
        }
    }

    pub fn child(&self, at: usize) -> &Tree {
        match self {
            Self::Array(items) => &items[at],
            Self::Object(members) => &members[at].1,
            Self::Leaf(_) => panic!("a leaf has no children"),
        }
    }

    pub fn child_mut(&mut self, at: usize) -> &mut Tree {
        match self {
            Self::Array(items) => &mut items[at],
            Self::Object(members) => &mut members[at].1,
            Self::Leaf(_) => panic!("a leaf has no children"),
        }
    }

    pub fn at(&self, place: &[usize]) -> &Tree {
        place.iter().fold(self, |tree, at| tree.child(*at))
    }

    pub fn at_mut(&mut self, place: &[usize]) -> &mut Tree {
        place.iter().fold(self, |tree, at| tree.child_mut(*at))
    }

    pub fn remove(&mut self, at: usize) {
        match self {
            Self::Array(items) => drop(items.remove(at)),
            Self::Object(members) => drop(members.remove(at)),
            Self::Leaf(_) => panic!("a leaf has no children"),
        }
    }

    /// What the name of a member stands for.
    pub fn name(&self, at: usize) -> Option<String> {
        match self {
            Self::Object(members) => Some(serde_json::from_str(&members[at].0).unwrap()),
            _ => None,
        }
    }
}

/// Without white space.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(text) => f.write_str(text),
            Self::Array(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (at, (name, value)) in members.iter().enumerate() {
                    write!(f, "{}{name}:{value}", if at > 0 { "," } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A valid text without its white space.
pub fn minified(text: &str) -> String {
    let (mut out, mut string, mut escape) = (String::new(), false, false);
    for character in text.chars() {
        if string || !matches!(character, ' ' | '\n' | '\r' | '\t') {
            out.push(character);
        }
        if character == '"' && !escape {
            string = !string;
        }
        escape = string && character == '\\' && !escape;
    }
    out
}

impl Tree {
    /// Parses a text; nothing if serde_json does not take it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice::<serde_json::Value>(text).ok()?;
        let text = minified(std::str::from_utf8(text).ok()?);
        let mut rest = text.as_str();
        Some(Self::value(&mut rest))
    }

    fn value(rest: &mut &str) -> Self {
        match rest.as_bytes()[0] {
            b'[' => Self::Array(children(rest, ']', Self::value)),
            b'{' => Self::Object(children(rest, '}', |rest| {
                let name = string(rest);
                *rest = &rest[1..];
                (name, Self::value(rest))
            })),
            b'"' => Self::Leaf(string(rest)),
            _ => {
                let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
                let (leaf, after) = rest.split_at(end);
                *rest = after;
                Self::Leaf(leaf.to_owned())
            }
        }
    }
}

fn children<T>(rest: &mut &str, end: char, child: impl Fn(&mut &str) -> T) -> Vec<T> {
    let mut found = Vec::new();
    *rest = &rest[1..];
    while !rest.starts_with(end) {
        found.push(child(rest));
        *rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    *rest = &rest[1..];
    found
}

fn string(rest: &mut &str) -> String {
    let mut escape = false;
    let end = rest[1..].find(|character| {
        let ends = character == '"' && !escape;
        escape = character == '\\' && !escape;
        ends
    });
    let (text, after) = rest.split_at(end.unwrap() + 2);
    *rest = after;
    text.to_owned()
}
