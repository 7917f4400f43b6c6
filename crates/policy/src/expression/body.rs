//! `body`: a JSON value that is read where an expression asks for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::Range;
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
        let read = || parse(&self.bytes).unwrap_or_else(|| Value::from(&*text::from_bytes(&self.bytes)));
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
pub(super) fn parse(text: &[u8]) -> Option<Value> {
    let node = parsed(text).ok()?;
    let text: Arc<[u8]> = node.text().into();
    let all = 0..text.len();
    Some(value_of(node, &text, all, true))
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

/// What the engine knows a value as.
fn value_of(node: json::Node<'_>, text: &Arc<[u8]>, range: Range<usize>, exact: bool) -> Value {
    match node.kind() {
        Kind::Null => Value::from(()),
        Kind::Boolean => Value::from(node.text() == b"true"),
        Kind::Number => number_of(std::str::from_utf8(node.text()).unwrap_or_default(), exact),
        Kind::String => Value::from(&*text::from_bytes(&node.string().unwrap_or_default())),
        kind @ (Kind::Array | Kind::Object) => Value::from_object(Node {
            text: Arc::clone(text),
            range,
            is_map: kind == Kind::Object,
            exact,
            children: Arc::default(),
        }),
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

/// Where the children are, in order. Of members with the same name, the last.
#[derive(Debug, Default)]
struct Children {
    names: Vec<Value>,
    ranges: Vec<Range<usize>>,
}

impl Node {
    /// Its text.
    pub(super) fn json(&self) -> &[u8] {
        self.text.get(self.range.clone()).unwrap_or_default()
    }

    fn children(&self) -> &Children {
        self.children.get_or_init(|| {
            // Its text is a part of one that was checked.
            let Ok(node) = parsed(self.json()) else { return Children::default() };
            if !self.is_map {
                let ranges = node.items().map(|item| self.range_of(item)).collect();
                return Children { names: Vec::new(), ranges };
            }
            let mut children = Children::default();
            let mut places: HashMap<Box<[u8]>, usize> = HashMap::new();
            for (name, member) in node.members() {
                let range = self.range_of(member);
                match places.entry(name.as_ref().into()) {
                    Entry::Occupied(place) => {
                        if let Some(before) = children.ranges.get_mut(*place.get()) {
                            *before = range;
                        }
                    }
                    Entry::Vacant(place) => {
                        place.insert(children.ranges.len());
                        children.names.push(Value::from(&*text::from_bytes(&name)));
                        children.ranges.push(range);
                    }
                }
            }
            children
        })
    }

    /// Where in the text a part of it lies.
    fn range_of(&self, part: json::Node<'_>) -> Range<usize> {
        let start = part.text().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        start..start.saturating_add(part.text().len())
    }

    fn child(&self, index: usize) -> Option<Value> {
        let range = self.children().ranges.get(index)?.clone();
        let node = parsed(self.text.get(range.clone())?).ok()?;
        Some(value_of(node, &self.text, range, self.exact))
    }
}

fn parsed(text: &[u8]) -> Result<json::Node<'_>, json::JsonError> {
    json::Node::parse(text, &Limits { depth: MAX_DEPTH, ..Limits::default() })
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
        let index = self.children().names.iter().position(|name| name.as_str() == Some(key))?;
        self.child(index)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if self.is_map {
            Enumerator::Values(self.children().names.clone())
        } else {
            Enumerator::Seq(self.children().ranges.len())
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.children().ranges.len())
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
