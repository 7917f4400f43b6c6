//! A document as a tree whose values and keys know where they stand.

use std::rc::Rc;

use meshgate_policy::config::{ConfigError, Path, Step};
use serde_json::Value as Json;

/// A value. There is no `Debug`: it may be a secret.
pub struct Node {
    /// Where it stands in the file.
    pub at: usize,
    pub value: Value,
    pub surprise: Option<Surprise>,
    /// How many values it is made of, itself counted and aliases followed.
    pub weight: usize,
}

pub enum Value {
    Null,
    Bool(bool),
    /// As JSON writes it.
    Number(String),
    Text(Text),
    List(Vec<Rc<Node>>),
    /// Keys may be repeated.
    Object(Vec<Entry>),
}

/// A string, and how it is written: what stands in it may have to be found in the file again.
pub struct Text {
    pub text: String,
    pub style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As it is, but for white space: plain and block scalars of YAML.
    Plain,
    SingleQuoted,
    DoubleQuoted,
}

/// A key and its value.
pub struct Entry {
    pub key: String,
    /// Where the key stands.
    pub at: usize,
    pub surprise: Option<Surprise>,
    pub value: Rc<Node>,
}

/// What readers of YAML take for different things.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Surprise {
    /// `y`, `n`, `yes`, `no`, `on`, `off`: words in YAML 1.2, booleans in YAML 1.1, which Kubernetes and Envoy read.
    Boolean,
    /// `0777`, `0x1f`, `0b1`, `1_000`.
    Number,
}

/// Something wrong at a place of the file.
pub struct Fault {
    pub at: usize,
    pub error: ConfigError,
}

impl Node {
    pub fn new(at: usize, value: Value) -> Self {
        Self { at, value, surprise: None, weight: 1 }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &*entry.value)
    }

    /// The value of the first of these keys that is there: protobuf takes `vm_config` and `vmConfig`.
    pub fn any_of(&self, keys: [&str; 2]) -> Option<&Self> {
        keys.into_iter().find_map(|key| self.get(key))
    }

    /// The value at the end of a chain of keys.
    pub fn under(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// The entries of an object; none of another value.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Object(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; none of another value.
    pub fn items(&self) -> &[Rc<Self>] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// Its JSON text. `None` if that is longer than `limit`.
    pub fn to_json(&self, limit: usize) -> Option<String> {
        let mut json = String::new();
        self.write(&mut json, limit).then_some(json)
    }

    fn write(&self, json: &mut String, limit: usize) -> bool {
        match &self.value {
            Value::Null => json.push_str("null"),
            Value::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
            Value::Number(text) => json.push_str(text),
            Value::Text(text) => write_string(json, &text.text),
            Value::List(items) => {
                json.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    if !item.write(json, limit) {
                        return false;
                    }
                }
                json.push(']');
            }
            Value::Object(entries) => {
                json.push('{');
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    write_string(json, &entry.key);
                    json.push(':');
                    if !entry.value.write(json, limit) {
                        return false;
                    }
                }
                json.push('}');
            }
        }
        json.len() <= limit
    }

    /// Where in the file an error is: at the value that its path names, at the key that it is about, or at the nearest thing
    /// around it that is there.
    pub fn locate(&self, error: &ConfigError) -> usize {
        let mut here = self;
        for step in error.path().steps() {
            let next = match step {
                // Of several the last: the one that is read.
                Step::Key(key) => {
                    here.entries().iter().rfind(|entry| entry.key == *key).map(|entry| &entry.value)
                }
                Step::Index(index) => here.items().get(*index),
                Step::Hidden => None,
            };
            match next {
                Some(next) => here = next,
                None => return here.at,
            }
        }
        let entry = error.entry().and_then(|index| here.entries().get(index));
        entry.map_or(here.at, |entry| entry.at)
    }

    /// Calls `visit` for it and all values in it.
    pub fn walk(&self, path: &Path, visit: &mut impl FnMut(&Self, &Path) -> Walk) {
        if visit(self, path) == Walk::Over {
            return;
        }
        for (index, item) in self.items().iter().enumerate() {
            item.walk(&path.index(index), visit);
        }
        for entry in self.entries() {
            entry.value.walk(&path.key(&entry.key), visit);
        }
    }
}

/// Whether a walk goes on into a value.
#[derive(PartialEq, Eq)]
pub enum Walk {
    Into,
    Over,
}

fn write_string(json: &mut String, text: &str) {
    json.push_str(&Json::from(text).to_string());
}
