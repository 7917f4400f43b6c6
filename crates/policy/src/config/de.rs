//! serde over a parsed document, with the path to every value at hand.

use std::borrow::Cow;
use std::slice;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::Options;
use super::de_enum::Variant;
use super::error::ConfigError;
use super::failure::{Failure, Subject};
use super::one_or_many;
use super::path::Path;
use super::text::{names, one_of};
use super::tree::{Node, Number, object_of};

/// Reads a whole document.
pub(super) fn read<T: DeserializeOwned>(
    document: &Node<'_>,
    options: &Options<'_>,
) -> Result<T, ConfigError> {
    let root = Place { parent: None, step: Step::Root, hidden: false };
    let reader = Reader { node: document, place: &root, options };
    T::deserialize(reader).map_err(|failure| reader.settle(failure))
}

/// Where the reader is: a [`Path`] that costs nothing until there is an error to write it into.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
    /// Whether a sensitive key is above, so that nothing below may be shown.
    hidden: bool,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    HiddenKey,
    Index(usize),
}

impl<'a> Place<'a> {
    /// The value of a key. Below a sensitive key a name is shown only if the type has a field or variant of that name.
    pub(super) fn key(&'a self, key: &'a str, is_field: bool, options: &Options<'_>) -> Self {
        let step = if self.hidden && !is_field { Step::HiddenKey } else { Step::Key(key) };
        let open = self.hidden && is_field && options.open.contains(&key);
        let hidden = !open && (self.hidden || options.sensitive.contains(&key));
        Self { parent: Some(self), step, hidden }
    }

    fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index), hidden: self.hidden }
    }

    fn path(&self) -> Path {
        let above = self.parent.map_or_else(Path::root, Self::path);
        match self.step {
            Step::Root => above,
            Step::Key(key) => above.key(key),
            Step::HiddenKey => above.hidden_key(),
            Step::Index(index) => above.index(index),
        }
    }
}

/// One value of the document and where it is.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node<'a>,
    pub(super) place: &'a Place<'a>,
    pub(super) options: &'a Options<'a>,
}

impl<'a> Reader<'a> {
    /// Reads this value; whatever goes wrong in it is settled here at the latest.
    pub(super) fn read_with<'de, S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        seed.deserialize(self).map_err(|failure| Failure::from(self.settle(failure)))
    }

    pub(super) fn settle(self, failure: Failure) -> ConfigError {
        failure.settle(|| self.place.path(), Subject::Value(self.node), self.place.hidden, self.options)
    }

    /// Hands the value to a visitor. `text` says that the type asked for a string.
    fn visit<'de, V: Visitor<'de>>(self, visitor: V, text: bool) -> Result<V::Value, Failure> {
        let visited = match self.node {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(Number::Unsigned(value)) => visitor.visit_u64(*value),
            Node::Number(Number::Negative(value)) => visitor.visit_i64(*value),
            Node::Number(Number::Float(value)) => visitor.visit_f64(*value),
            Node::String(text) => visitor.visit_str(text),
            Node::List(items) => self.visit_list(items, visitor),
            Node::Object(entries) => self.visit_object(entries, None, visitor),
        };
        visited.map_err(|failure| failure.or_hint(|expected| self.hint(text, expected)))
    }

    fn visit_list<'de, V: Visitor<'de>>(
        self,
        items: &'a [Node<'a>],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let mut list = List { items: items.iter(), index: 0, reader: self };
        let value = visitor.visit_seq(&mut list)?;
        if list.items.as_slice().is_empty() {
            Ok(value)
        } else {
            Err(Failure::expected(format!("a list of {}", list.index)))
        }
    }

    fn visit_object<'de, V: Visitor<'de>>(
        self,
        entries: &'a [(Cow<'a, str>, Node<'a>)],
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        refuse_repeated(entries, fields.unwrap_or_default())?;
        let mut object =
            Object { entries: entries.iter(), size: entries.len(), value: None, fields, reader: self };
        let value = visitor.visit_map(&mut object)?;
        match object.entries.as_slice().len() {
            0 => Ok(value),
            unread => Err(Failure::expected(object_of(entries.len().saturating_sub(unread)))),
        }
    }

    /// What may help with a value of the wrong type.
    fn hint(self, text: bool, expected: &str) -> Option<&'static str> {
        let takes_text = text || expected.contains("string");
        match self.node {
            Node::Null => Some("give it a value or leave the field out"),
            Node::Bool(_) if takes_text => {
                Some("YAML reads an unquoted y, n, yes, no, on or off as a boolean: quote it")
            }
            Node::Number(_) if takes_text => Some("quote it"),
            // Even that a secret is a number is more than is to be said of it.
            Node::String(_) if self.place.hidden => None,
            Node::String(text) => {
                let number = expected.starts_with("a number") || expected.starts_with("a whole number");
                let unquoted = (number && text.parse::<f64>().is_ok())
                    || (expected == "true or false" && matches!(&**text, "true" | "false"));
                unquoted.then_some("write it without quotes")
            }
            _ => None,
        }
    }

    /// Walks what no type reads, for the repeated keys in it.
    fn check_unread(self) -> Result<(), Failure> {
        match self.node {
            Node::List(items) => {
                for (index, node) in items.iter().enumerate() {
                    let place = self.place.index(index);
                    let item = Reader { node, place: &place, ..self };
                    item.check_unread().map_err(|failure| Failure::from(item.settle(failure)))?;
                }
                Ok(())
            }
            Node::Object(entries) => {
                refuse_repeated(entries, &[])?;
                for (key, node) in entries {
                    let place = self.place.key(key, false, self.options);
                    let value = Reader { node, place: &place, options: self.options.below(key) };
                    value.check_unread().map_err(|failure| Failure::from(value.settle(failure)))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn refuse_repeated(entries: &[(Cow<'_, str>, Node<'_>)], fields: &[&str]) -> Result<(), Failure> {
    let mut keys: Vec<_> = entries.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    match keys.array_windows().find(|[key, next]| key == next) {
        Some([key, _]) => {
            let entry = entries.iter().rposition(|(name, _)| name == key);
            Err(Failure::RepeatedKey { name: (*key).to_owned(), is_field: fields.contains(key), entry })
        }
        None => Ok(()),
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit(visitor, false)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit(visitor, true)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit(visitor, true)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit(visitor, true)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit(visitor, true)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node {
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.node {
            Node::List(items) if name == one_or_many::NAME => self.visit_list(items, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    /// An object only: serde would also take the fields as a list in the order of their declaration.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.node {
            Node::Object(entries) => self.visit_object(entries, Some(fields), visitor),
            _ => {
                let fields = names(fields.iter().copied());
                let with = if fields.is_empty() { "" } else { " with " };
                let failure = Failure::expected(format!("an object{with}{fields}"));
                Err(failure.or_hint(|expected| self.hint(false, expected)))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let known = || one_of(variants.iter().copied());
        match self.node {
            Node::String(name) => visitor.visit_enum(Variant { name, content: None, reader: self }),
            Node::Object(entries) => match entries.as_slice() {
                [(name, content)] => {
                    visitor.visit_enum(Variant { name, content: Some(content), reader: self })
                }
                _ => {
                    refuse_repeated(entries, variants)?;
                    Err(Failure::expected(format!("an object whose one key is {}", known())))
                }
            },
            _ => Err(Failure::expected(known()).or_hint(|expected| self.hint(true, expected))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.check_unread()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct seq tuple
        tuple_struct map
    }
}

/// The elements of a list.
struct List<'a> {
    items: slice::Iter<'a, Node<'a>>,
    index: usize,
    reader: Reader<'a>,
}

impl<'de> serde::de::SeqAccess<'de> for &mut List<'_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(node) = self.items.next() else { return Ok(None) };
        let place = self.reader.place.index(self.index);
        self.index = self.index.saturating_add(1);
        Reader { node, place: &place, ..self.reader }.read_with(seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of an object.
struct Object<'a> {
    entries: slice::Iter<'a, (Cow<'a, str>, Node<'a>)>,
    /// How many there are.
    size: usize,
    /// The entry whose key was read last.
    value: Option<(&'a str, &'a Node<'a>)>,
    /// The fields of the type that reads it, if it is a struct.
    fields: Option<&'static [&'static str]>,
    reader: Reader<'a>,
}

impl<'de> serde::de::MapAccess<'de> for &mut Object<'_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        let entry = self.size.saturating_sub(self.entries.len()).saturating_sub(1);
        self.value = Some((key, node));
        let Reader { place, options, .. } = self.reader;
        // Also where a type forgets to deny unknown fields.
        let read = match self.fields {
            Some(fields) if !fields.contains(&&**key) => Err(Failure::unknown_field(key, fields)),
            _ => seed.deserialize(KeyReader { key }),
        };
        read.map(Some).map_err(|failure| {
            // A name that the type does not have is the object's fault; any other error is the key's own.
            let above = matches!(failure, Failure::UnknownField { .. } | Failure::UnknownVariant { .. });
            let path = || if above { place.path() } else { place.key(key, false, options).path() };
            let error = failure.settle(path, Subject::Key(key), place.hidden, options);
            Failure::from(if above { error.entry_at(entry) } else { error })
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let (key, node) =
            self.value.take().ok_or_else(|| Failure::custom("a value was asked for before its key"))?;
        let is_field = self.fields.is_some_and(|fields| fields.contains(&key));
        let place = self.reader.place.key(key, is_field, self.reader.options);
        Reader { node, place: &place, options: self.reader.options.below(key) }.read_with(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A key of an object, as a string or as the integer that it spells.
struct KeyReader<'a> {
    key: &'a str,
}

macro_rules! integer_keys {
    ($($($method:ident)+ : $visit:ident;)+) => {$($(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            match self.key.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => visitor.visit_str(self.key),
            }
        }
    )+)+};
}

impl<'de> Deserializer<'de> for KeyReader<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_str(self.key)
    }

    integer_keys! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64: visit_u64;
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64: visit_i64;
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(self.key.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}
