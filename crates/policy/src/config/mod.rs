//! A policy's configuration: from the bytes that Envoy hands over, or the YAML that the CLI read, to the policy's types.
//!
//! Reading is strict, because a field that is silently ignored is a limit that is silently missing. Nothing unknown,
//! repeated or of the wrong type passes, and what is refused is refused in one line that names the place, what was found
//! and what was expected:
//!
//! ```text
//! consumers[0].plan: found "glod", expected one of "free", "gold": did you mean "gold"?
//! ```
//!
//! [`load`] parses JSON into a tree that keeps what [`serde_json::Value`] would lose (repeated keys) and then runs serde
//! over that tree with a deserializer of its own, which knows the path to every value. A policy derives `Deserialize`
//! with `#[serde(deny_unknown_fields)]` and `JsonSchema` on its types, calls [`load`], and raises what only it can know
//! (a plan that does not exist) with [`ConfigError::at`] and a [`Path`].
//!
//! # Three rules for the types
//! - No `#[serde(untagged)]`, `#[serde(flatten)]` and `#[serde(tag = ...)]`: serde buffers the value first, so every error
//!   inside loses its path. Enums are tagged by their one key (`mask: {keep_last: 4}`), or have a visitor written by
//!   hand that takes a string or a map through `deserialize_any`. [`OneOrMany`] is there for `x` or `[x, y]`.
//! - A type that parses a string reports with `Error::invalid_value(Unexpected::Str(text), &"what it should be")`: that
//!   gives both found and expected. The text of `Error::custom` is all that is known of a custom error, so below a
//!   sensitive key it is not shown.
//! - Only what may be logged in `expected` texts, always; values go into `Unexpected`.
//!
//! # Secrets
//! Below the keys that [`Options::sensitive`] lists no value is ever shown, nor a name that is not one of the type's own
//! fields: only what kind of value it is and how long. What cannot be parsed as JSON is never quoted at all.
//!
//! # Numbers and YAML
//! Envoy keeps configuration in a protobuf Struct, where every number is a double: `10000` may arrive as `1e+4`. A double
//! without a fraction is an integer here, up to 2^53; beyond that doubles skip integers, so what arrives may not be what
//! was written, and it is refused. Istio reads YAML 1.1, where `n`, `y`, `on`, `off`, `yes` and `no` are booleans: where a
//! string was expected, the error says to quote it.

mod de;
mod de_enum;
mod error;
mod failure;
mod one_or_many;
mod path;
mod schema;
mod text;
mod tree;
mod units;

#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;

pub use self::error::{ConfigError, Parts};
pub use self::one_or_many::OneOrMany;
pub use self::path::{Path, Step};
pub use self::schema::schema;
pub(crate) use self::text::nearest;
pub use self::text::quoted;
use self::tree::Node;
pub use self::tree::{MAX_DEPTH, MAX_SIZE};
pub use self::units::{Duration, ParseUnitError, Percent, Period, Rate, Size};

/// What the reader has to know of a policy's configuration beyond its types.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Keys below which no value may appear in an error, at any depth of the document.
    pub sensitive: &'a [&'a str],
    /// Fields below those that hold nothing of them, so that values may be shown again.
    pub open: &'a [&'a str],
    /// What to write for a field that is missing: the field's name and an example, as in `("plan", "plan: gold")`.
    pub examples: &'a [(&'a str, &'a str)],
    /// Keys whose values are documents of their own, and what the reader has to know of those: below them, that counts.
    pub documents: &'a [(&'a str, &'a Options<'a>)],
}

impl<'a> Options<'a> {
    /// What counts for the value of a key.
    fn below(&'a self, key: &str) -> &'a Self {
        self.documents.iter().find(|(document, _)| *document == key).map_or(self, |(_, options)| options)
    }
}

/// Reads a configuration document as Envoy hands it over: one JSON object in UTF-8. No bytes at all are a document without
/// fields, if `T` needs none: that is what Envoy hands over for a plugin without `configuration`, and for an empty `Struct`.
///
/// # Errors
/// The first thing that is wrong, in the order of the document: no document, more than [`MAX_SIZE`], not UTF-8, not
/// JSON, deeper than [`MAX_DEPTH`], not an object, a repeated key, or not what `T` says.
pub fn load<T: DeserializeOwned>(bytes: &[u8], options: &Options<'_>) -> Result<T, ConfigError> {
    match tree::parse(bytes)? {
        Some(document) => read(&document, options),
        None => read(&Node::Object(Vec::new()), options).map_err(|_| tree::no_document()),
    }
}

/// Reads a document that something else has parsed, such as the CLI's YAML. Its parser refuses repeated keys, because a
/// [`serde_json::Value`] cannot hold them.
///
/// # Errors
/// As [`load`]: deeper than [`MAX_DEPTH`], not an object, or not what `T` says.
pub fn from_value<T: DeserializeOwned>(
    value: &serde_json::Value,
    options: &Options<'_>,
) -> Result<T, ConfigError> {
    read(&tree::from_value(value)?, options)
}

fn read<T: DeserializeOwned>(document: &Node<'_>, options: &Options<'_>) -> Result<T, ConfigError> {
    match document {
        Node::Object(_) => de::read(document, options),
        other => Err(ConfigError::at(Path::root()).found(other.kind()).expected("an object")),
    }
}
