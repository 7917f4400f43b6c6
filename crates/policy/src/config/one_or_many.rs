//! A list that may be written without brackets when there is one element.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use super::path::Path;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// How a [`OneOrMany`] tells the reader of this module that it also takes a list.
pub(super) const NAME: &str = "$meshgate::OneOrMany";

/// One `T` or a list of one or more: `method: GET` or `method: [GET, HEAD]`. Derefs to a slice, which is never empty.
///
/// `T` is no list itself. Both forms are understood by [`load`](super::load) and [`from_value`](super::from_value); with
/// any other deserializer it is one `T`.
#[derive(Clone, Debug)]
pub struct OneOrMany<T> {
    items: Vec<T>,
    /// Whether it was written with brackets.
    is_list: bool,
}

impl<T> OneOrMany<T> {
    /// The elements, in the order in which they were written.
    pub fn into_vec(self) -> Vec<T> {
        self.items
    }

    /// The elements, each with its place in the document, where `at` is that of all. Without brackets it is the same.
    pub fn located(self, at: &Path) -> impl Iterator<Item = (Path, T)> + use<T> {
        let (at, is_list) = (at.clone(), self.is_list);
        let items = self.items.into_iter().enumerate();
        items.map(move |(index, item)| (if is_list { at.index(index) } else { at.clone() }, item))
    }

    /// The place of one of the elements: see [`Self::located`].
    #[must_use]
    pub fn place(&self, at: &Path, index: usize) -> Path {
        if self.is_list { at.index(index) } else { at.clone() }
    }
}

/// How it was written makes no difference.
impl<T: PartialEq> PartialEq for OneOrMany<T> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl<T: Eq> Eq for OneOrMany<T> {}

/// One element: what a default is made of.
impl<T> From<T> for OneOrMany<T> {
    fn from(one: T) -> Self {
        Self { items: vec![one], is_list: false }
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> IntoIterator for OneOrMany<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a OneOrMany<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value or a list of them")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, one: D) -> Result<OneOrMany<T>, D::Error> {
        T::deserialize(one).map(OneOrMany::from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        if items.is_empty() {
            Err(A::Error::invalid_length(0, &"at least one element"))
        } else {
            Ok(OneOrMany { items, is_list: true })
        }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        format!("{}::OneOrMany<{}>", module_path!(), T::schema_id()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}
