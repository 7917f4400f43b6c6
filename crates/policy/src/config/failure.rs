//! What serde says is wrong, until the place where it happened is known.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::Options;
use super::error::ConfigError;
use super::path::Path;
use super::text::{nearest, one_of, quoted};
use super::tree::{Node, Number, characters};

/// The error type of the deserializer. Whoever raises one does not know where in the document it is: the reader turns it
/// into a [`ConfigError`] at the first value or key that it passes on its way up.
#[derive(Debug)]
pub(super) enum Failure {
    /// `found` is missing where the value itself says it best.
    Mismatch {
        found: Option<String>,
        expected: String,
        hint: Option<&'static str>,
    },
    UnknownField {
        name: String,
        known: &'static [&'static str],
    },
    UnknownVariant {
        name: String,
        known: &'static [&'static str],
    },
    MissingField(&'static str),
    RepeatedKey {
        name: String,
        /// Whether the name is one of the type's own, which is no secret anywhere.
        is_field: bool,
        /// Which entry it is that repeats it.
        entry: Option<usize>,
    },
    Custom(String),
    /// Its place is known.
    Settled(Box<ConfigError>),
}

/// What was being read when it went wrong.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Value(&'a Node<'a>),
    Key(&'a str),
}

impl Subject<'_> {
    fn shown(self) -> String {
        match self {
            Self::Value(node) => node.shown(),
            Self::Key(key) => format!("the key {}", quoted(key)),
        }
    }

    fn kind(self) -> String {
        match self {
            Self::Value(node) => node.kind(),
            Self::Key(key) => format!("a key of {} (not shown)", characters(key)),
        }
    }

    /// Whether the value is short enough to stand behind a message that is not ours.
    fn is_scalar(self) -> bool {
        !matches!(self, Self::Value(Node::Null | Node::List(_) | Node::Object(_)))
    }
}

impl Failure {
    /// A mismatch that the value at hand tells best.
    pub(super) fn expected(expected: impl Into<String>) -> Self {
        Self::Mismatch { found: None, expected: expected.into(), hint: None }
    }

    /// Adds a hint, if it is a mismatch that has none.
    pub(super) fn or_hint(self, choose: impl FnOnce(&str) -> Option<&'static str>) -> Self {
        match self {
            Self::Mismatch { found, expected, hint: None } => {
                let hint = choose(&expected);
                Self::Mismatch { found, expected, hint }
            }
            other => other,
        }
    }

    /// Writes it down for a place. Where `hidden` is set, nothing that came from the document gets into it.
    pub(super) fn settle(
        self,
        path: impl FnOnce() -> Path,
        subject: Subject<'_>,
        hidden: bool,
        options: &Options<'_>,
    ) -> ConfigError {
        match self {
            Self::Settled(error) => *error,
            Self::Mismatch { found, expected, hint } => {
                let found = if hidden { subject.kind() } else { found.unwrap_or_else(|| subject.shown()) };
                let error = ConfigError::at(path()).found(found).expected(expected);
                match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            Self::UnknownField { name, known } => {
                let found = if hidden {
                    format!("an unknown field of {} (not shown)", characters(&name))
                } else {
                    format!("unknown field {}", quoted(&name))
                };
                let error = ConfigError::at(path()).found(found).expected(one_of(known.iter().copied()));
                match name.as_str() {
                    "true" | "false" => error.hint(YAML_KEY),
                    _ => error.suggest(nearest(&name, known.iter().copied())),
                }
            }
            Self::UnknownVariant { name, known } => {
                let found = if hidden { subject.kind() } else { quoted(&name) };
                let error = ConfigError::at(path()).found(found).expected(one_of(known.iter().copied()));
                error.suggest(nearest(&name, known.iter().copied()))
            }
            Self::MissingField(name) => {
                let error = ConfigError::at(path()).problem(format!("missing field {}", quoted(name)));
                match options.examples.iter().find(|(field, _)| *field == name) {
                    Some((_, example)) => error.expected(format!("one such as {example}")),
                    None => error,
                }
            }
            Self::RepeatedKey { name, is_field, entry } => {
                let found = if hidden && !is_field {
                    format!("a key of {} (not shown) more than once", characters(&name))
                } else {
                    format!("the key {} more than once", quoted(&name))
                };
                let error = ConfigError::at(path()).found(found).expected("each key once");
                match entry {
                    Some(entry) => error.entry_at(entry),
                    None => error,
                }
            }
            Self::Custom(_) if hidden => ConfigError::at(path()).problem("not valid").found(subject.kind()),
            Self::Custom(message) => {
                let shown = subject.shown();
                let says_it = message.contains(&shown) || !subject.is_scalar();
                let error = ConfigError::at(path()).problem(message);
                if says_it { error } else { error.found(shown) }
            }
        }
    }
}

const YAML_KEY: &str = "YAML reads an unquoted y, n, yes, no, on or off as a boolean, keys too";
const INEXACT: &str = "numbers beyond 9007199254740992 lose digits on the way through Envoy";
const WHOLE: &str = "a whole number";

/// What serde's own types say that they expect, without Rust's words for it. Other texts stay as they are.
fn plain_words(expected: &str) -> String {
    let (nonzero, name) = match expected.strip_prefix("a nonzero ") {
        Some(name) => (true, name),
        None => (false, expected),
    };
    let least = u8::from(nonzero);
    let unsigned = |most: u64| format!("{WHOLE} from {least} to {most}");
    let signed = |least: i64, most: i64| {
        format!("{WHOLE} from {least} to {most}{}", if nonzero { ", but not 0" } else { "" })
    };
    match name {
        "u8" => unsigned(u8::MAX.into()),
        "u16" => unsigned(u16::MAX.into()),
        "u32" => unsigned(u32::MAX.into()),
        "usize" if usize::BITS == 32 => unsigned(u32::MAX.into()),
        "u64" | "u128" | "usize" => format!("{WHOLE}, {least} or more"),
        "i8" => signed(i8::MIN.into(), i8::MAX.into()),
        "i16" => signed(i16::MIN.into(), i16::MAX.into()),
        "i32" => signed(i32::MIN.into(), i32::MAX.into()),
        "i64" => signed(i64::MIN, i64::MAX),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a character" => "a string of 1 character".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "unit" => "null".to_owned(),
        _ if expected.starts_with("struct ") => "an object".to_owned(),
        _ => match tuple_length(expected) {
            Some(length) => format!("a list of {length}"),
            None => expected.to_owned(),
        },
    }
}

/// The length of the tuple or array that serde expects.
fn tuple_length(expected: &str) -> Option<&str> {
    let tuple = expected.strip_prefix("a tuple of size ").or(expected.strip_prefix("an array of length "));
    tuple.or_else(|| {
        let (_, length) = expected.strip_prefix("tuple ")?.rsplit_once(" with ")?;
        length.split(' ').next()
    })
}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = plain_words(&expected.to_string());
        let whole = expected.starts_with(WHOLE);
        let hint = match found {
            Unexpected::Float(value) if whole && value.abs() > Number::MAX_EXACT => Some(INEXACT),
            _ => None,
        };
        let found = match found {
            Unexpected::Bool(value) => Some(value.to_string()),
            Unexpected::Unsigned(value) => Some(value.to_string()),
            Unexpected::Signed(value) => Some(value.to_string()),
            Unexpected::Float(value) if whole && value.fract() != 0.0 => {
                Some(format!("the fraction {value:?}"))
            }
            Unexpected::Float(value) => Some(format!("{value:?}")),
            Unexpected::Char(value) => Some(quoted(value.encode_utf8(&mut [0; 4]))),
            Unexpected::Str(text) => Some(quoted(text)),
            Unexpected::Other(text) => Some(text.to_owned()),
            _ => None,
        };
        Self::Mismatch { found, expected, hint }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::expected(plain_words(&expected.to_string()))
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownVariant { name: name.to_owned(), known }
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownField { name: name.to_owned(), known }
    }

    fn missing_field(name: &'static str) -> Self {
        Self::MissingField(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::RepeatedKey { name: name.to_owned(), is_field: true, entry: None }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Settled(Box::new(error))
    }
}

/// Without the place. Seen only where a type's own code prints an error that it caught.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { expected, .. } => write!(f, "expected {expected}"),
            Self::UnknownField { known, .. } | Self::UnknownVariant { known, .. } => {
                write!(f, "expected {}", one_of(known.iter().copied()))
            }
            Self::MissingField(name) => write!(f, "missing field {}", quoted(name)),
            Self::RepeatedKey { .. } => f.write_str("a key more than once"),
            Self::Custom(message) => f.write_str(message),
            Self::Settled(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}
