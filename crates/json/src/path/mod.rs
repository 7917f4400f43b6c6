//! Paths: which values of a document are meant.
//!
//! Two notations, told apart by their first character: JSON Pointer (RFC 6901) is empty or begins with `/`, JSONPath
//! (RFC 9535) begins with `$`. Both become the same list of segments, so the rest of the crate knows only one kind.

mod error;
mod jsonpath;
mod overlap;
mod pointer;
mod selector;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

pub use error::{PathError, PathProblem};
pub(crate) use overlap::{Reach, interferes, tail};
pub(crate) use selector::{Element, Selector};

/// How many segments a path may have.
pub(crate) const MAX_SEGMENTS: usize = 100;

/// A compiled path: a JSON Pointer (RFC 6901) or a JSONPath query (RFC 9535).
///
/// It selects each value at most once, and tells of them in the order of the document: where RFC 9535 orders a result
/// by its selectors (`$[2,0]`, `$[::-1]`) or repeats a value (`$[0,0]`), that order and the repetition are not kept. Of
/// several members with the same name it selects all. Names compare after their escapes are resolved.
///
/// Filters (`?`) are not supported yet.
///
/// ```
/// # use meshgate_json::Path;
/// assert!(Path::new("/items/0/name").unwrap().is_definite());
/// assert!(!Path::new("$.items[*].name").unwrap().is_definite());
/// assert_eq!(
///     Path::new("items.name").unwrap_err().to_string(),
///     "`items.name` is no path: expected `/` or `$` at its begin, found `i`: write `/items/name` or `$.items.name`",
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Path {
    source: Box<str>,
    segments: Box<[Segment]>,
}

/// One step down from the values selected so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Whether the step is taken from every value below as well (RFC 9535, section 2.5.2).
    pub descendant: bool,
    /// What it selects: at least one.
    pub selectors: Box<[Selector]>,
}

impl Path {
    /// Compiles a path.
    ///
    /// # Errors
    /// What is wrong with it, where, and what to write instead.
    pub fn new(source: &str) -> Result<Self, PathError> {
        let segments = match source.bytes().next() {
            None | Some(b'/') => pointer::parse(source),
            Some(b'$') => jsonpath::parse(source),
            Some(_) => Err(error::notation(source)),
        };
        let segments = segments.map_err(|(at, problem)| PathError::new(source, at, problem))?;
        if segments.len() > MAX_SEGMENTS {
            return Err(PathError::new(source, source.len(), PathProblem::TooLong));
        }
        Ok(Self { source: source.into(), segments: segments.into() })
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether it names one place: only names and indexes, one a segment. (In a document with repeated names that may
    /// still be several values.)
    pub fn is_definite(&self) -> bool {
        self.segments.iter().all(|segment| segment.single().is_some_and(Selector::is_definite))
    }

    /// Whether it selects the document itself.
    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl Segment {
    pub(crate) fn child(selector: Selector) -> Self {
        Self { descendant: false, selectors: Box::new([selector]) }
    }

    /// Its selector if that is all it is: no descendants, no alternatives.
    #[inline]
    pub fn single(&self) -> Option<&Selector> {
        match &*self.selectors {
            [selector] if !self.descendant => Some(selector),
            _ => None,
        }
    }

    /// The name that must be there for it to go on, if it can be made where it is missing.
    pub fn creatable(&self) -> Option<&str> {
        match self.single()? {
            Selector::Name(name) | Selector::Token { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether it selects a member; `inside` is the name as the text has it, without quotes.
    #[inline]
    pub fn selects_member(&self, inside: &[u8], escaped: bool) -> bool {
        self.selectors.iter().any(|selector| selector.selects_member(inside, escaped))
    }

    /// Whether it selects an element; `len` is the number of all, known if [`Segment::needs_len`].
    #[inline]
    pub fn selects_element(&self, index: usize, len: Option<usize>) -> bool {
        self.selectors.iter().any(|selector| selector.selects_element(index, len))
    }

    /// Whether it can select anything in an array (or else in an object), or below.
    #[inline]
    pub fn leads_into(&self, array: bool) -> bool {
        self.descendant || self.selectors.iter().any(|selector| selector.leads_into(array))
    }

    /// Whether it counts from the end of an array.
    pub fn needs_len(&self) -> bool {
        self.selectors.iter().any(Selector::needs_len)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Path").field(&self.source).finish()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl std::str::FromStr for Path {
    type Err = PathError;

    fn from_str(source: &str) -> Result<Self, PathError> {
        Self::new(source)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Path {
    fn schema_name() -> Cow<'static, str> {
        "JsonLocation".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Values of a JSON document: a JSON Pointer (RFC 6901, `/items/0/name`) or a JSONPath \
                (RFC 9535, `$.items[*].name`; without filters).",
            "type": "string",
            "pattern": "^(?:/|\\$|$)",
        })
    }
}
