//! `body`: a JSON value that is read where an expression asks for it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use meshgate_json as json;
use meshgate_json::{Kind, Limits};
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use super::text;

/// How deep a body may nest to be seen as JSON: the engine recurses where it compares.
const MAX_DEPTH: usize = 128;

/// A body, read at most once.
pub(super) struct Body {
    bytes: Arc<[u8]>,
    value: OnceLock<Value>,
}

impl Body {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), value: OnceLock::new() }
    }

    /// A JSON value, or all of it as text.
    pub(super) fn value(&self) -> Value {
        let read =
            || parse(Arc::clone(&self.bytes)).unwrap_or_else(|| Value::from(&*text::from_bytes(&self.bytes)));
        self.value.get_or_init(read).clone()
    }
}

/// Its length only.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.bytes.len())
    }
}

/// The value of a JSON text; `None` for what is none.
pub(super) fn parse(text: Arc<[u8]>) -> Option<Value> {
    let root = parsed(&text)?;
    let range = range_of(root.text(), &text);
    let children = matches!(root.kind(), Kind::Object | Kind::Array).then(|| Children::of(root, &text));
    match children {
        // Whoever asks for a body asks for something in it.
        Some(children) => Some(Value::from_object(Node {
            is_map: root.kind() == Kind::Object,
            range,
            exact: true,
            children: Arc::new(OnceLock::from(children)),
            text,
        })),
        None => Some(value_of(&text, range, true)),
    }
}

/// The same value with numbers as their texts (`exact`), or as numbers.
pub(super) fn with_numbers(value: Value, exact: bool) -> Value {
    let Some(object) = value.as_object() else { return value };
    if let Some(node) = object.downcast_ref::<Node>().filter(|node| node.exact != exact) {
        return Value::from_object(Node { exact, ..node.clone() });
    }
    match object.downcast_ref::<Number>() {
        Some(Number(text)) if !exact => number_of(text, false),
        _ => value,
    }
}

/// What the engine knows the value in a part of a valid text as.
fn value_of(text: &Arc<[u8]>, range: Range<usize>, exact: bool) -> Value {
    let part = text.get(range.clone()).unwrap_or_default();
    match part {
        [b'{' | b'[', ..] => Value::from_object(Node {
            is_map: part.starts_with(b"{"),
            text: Arc::clone(text),
            range,
            exact,
            children: Arc::default(),
        }),
        [b'"', ..] => {
            let string = parsed(part).and_then(|node| node.string());
            Value::from(&*text::from_bytes(&string.unwrap_or_default()))
        }
        b"null" => Value::from(()),
        b"true" | b"false" => Value::from(part == b"true"),
        number => number_of(std::str::from_utf8(number).unwrap_or_default(), exact),
    }
}

/// A number of the engine, where it is written just as this one is; otherwise, if it has to be, its text.
fn number_of(text: &str, exact: bool) -> Value {
    if let Ok(integer) = text.parse::<i64>() {
        if text != "-0" || !exact {
            return Value::from(integer);
        }
    } else if let Ok(integer) = text.parse::<i128>() {
        return Value::from(integer);
    }
    match text.parse::<f64>().map(Value::from) {
        Ok(number) if !exact || number.to_string() == text => number,
        _ => Value::from_object(Number(text.into())),
    }
}

/// An object or array of a JSON text, whose children are looked for once it is asked for one.
#[derive(Clone)]
pub(super) struct Node {
    text: Arc<[u8]>,
    range: Range<usize>,
    is_map: bool,
    /// Whether numbers below are their texts.
    exact: bool,
    children: Arc<OnceLock<Children>>,
}

/// Where the children of an object or array are, in order.
#[derive(Default)]
struct Children {
    /// Of the members of an object; of several with one name, the last counts.
    names: Vec<Name>,
    values: Vec<Range<usize>>,
    /// How often a member was asked for by name. The first time all names are looked at, which is cheap; but a loop that asks
    /// for each of a client's 100,000 must not be quadratic.
    asked: AtomicUsize,
    /// The members in the order of their names, those of one name in their own order.
    sorted: OnceLock<Vec<usize>>,
}

/// How often all names are looked at before they are sorted.
const UNSORTED: usize = 8;

enum Name {
    /// As it stands in the text.
    Plain(Range<usize>),
    /// It had escapes.
    Decoded(Box<[u8]>),
}

impl Children {
    fn of(node: json::Node<'_>, text: &[u8]) -> Self {
        if node.kind() == Kind::Array {
            let values = node.items().map(|item| range_of(item.text(), text)).collect();
            return Self { values, ..Self::default() };
        }
        let members = node.members().map(|(name, member)| {
            let name = match name {
                Cow::Borrowed(name) => Name::Plain(range_of(name, text)),
                Cow::Owned(name) => Name::Decoded(name.into()),
            };
            (name, range_of(member.text(), text))
        });
        let (names, values) = members.unzip();
        Self { names, values, ..Self::default() }
    }
}

impl Node {
    /// Its text.
    pub(super) fn json(&self) -> &[u8] {
        self.text.get(self.range.clone()).unwrap_or_default()
    }

    /// Its text is a part of one that was checked.
    fn children(&self) -> &Children {
        let read = || parsed(self.json()).map(|node| Children::of(node, &self.text)).unwrap_or_default();
        self.children.get_or_init(read)
    }

    fn name<'a>(&'a self, name: &'a Name) -> &'a [u8] {
        match name {
            Name::Plain(range) => self.text.get(range.clone()).unwrap_or_default(),
            Name::Decoded(name) => name,
        }
    }

    /// Which member has this name.
    fn member(&self, name: &[u8]) -> Option<usize> {
        let children = self.children();
        if children.asked.fetch_add(1, Ordering::Relaxed) < UNSORTED {
            return children.names.iter().rposition(|found| self.name(found) == name);
        }
        let name_at = |index: &usize| children.names.get(*index).map_or(&b""[..], |found| self.name(found));
        let sorted = children.sorted.get_or_init(|| {
            let mut sorted: Vec<usize> = (0..children.names.len()).collect();
            sorted.sort_by(|one, other| name_at(one).cmp(name_at(other)));
            sorted
        });
        let behind = sorted.partition_point(|index| name_at(index) <= name);
        sorted.get(behind.checked_sub(1)?).copied().filter(|index| name_at(index) == name)
    }

    fn child(&self, index: usize) -> Option<Value> {
        let range = self.children().values.get(index)?.clone();
        Some(value_of(&self.text, range, self.exact))
    }

    /// The names of the members, each once.
    fn names(&self) -> Vec<Value> {
        let mut seen = HashSet::new();
        let names = self.children().names.iter().map(|name| self.name(name));
        names.filter(|name| seen.insert(*name)).map(|name| Value::from(&*text::from_bytes(name))).collect()
    }
}

/// Where in a text a part of it lies.
fn range_of(part: &[u8], text: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start.saturating_add(part.len())
}

fn parsed(text: &[u8]) -> Option<json::Node<'_>> {
    json::Node::parse(text, &Limits { depth: MAX_DEPTH, ..Limits::default() }).ok()
}

/// Its length only.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} bytes)", self.range.len())
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.is_map { ObjectRepr::Map } else { ObjectRepr::Seq }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(name) => self.get_value_by_str(name),
            None if self.is_map => None,
            None => self.child(key.as_usize()?),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.child(self.member(&text::to_bytes(key))?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if self.is_map {
            Enumerator::Values(self.names())
        } else {
            Enumerator::Seq(self.children().values.len())
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::from_bytes(self.json()))
    }
}

/// A number whose text a number of the engine would not give back: `1.10`, `1e2`, or one of 40 digits.
pub(super) struct Number(pub Box<str>);

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Object for Number {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0.parse::<f64>().is_ok_and(|number| number != 0.0)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn members_are_the_same_however_often_one_asks() {
        let text = br#"{"b": 1, "a": 2, "\u0061": 3, "": 4, "c": 5, "b": 6}"#;
        let value = parse(text.as_slice().into()).unwrap();
        for _ in 0..3 * UNSORTED {
            let found = ["a", "b", "c", "", "d"].map(|name| value.get_attr(name).unwrap().as_i64());
            assert_eq!(found, [Some(3), Some(6), Some(5), Some(4), None]);
        }
    }

    /// In minutes, if it were quadratic.
    #[test]
    fn a_loop_over_all_members_ends() {
        let members: Vec<String> = (0..100_000).map(|number| format!("\"k{number}\":1")).collect();
        let value = parse(format!("{{{}}}", members.join(",")).into_bytes().into()).unwrap();
        let found = value.try_iter().unwrap().filter(|key| value.get_item(key).unwrap().as_i64() == Some(1));
        assert_eq!(found.count(), 100_000);
    }
}
