//! A parsed document: JSON values in order, repeated keys and all.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::error::ConfigError;
use super::path::Path;
use super::text::quoted;

/// The largest document, in bytes. A hundred thousand consumers with their hashed keys fit.
pub const MAX_SIZE: usize = 16 * 1024 * 1024;

/// How many lists and objects may be inside each other, the document itself counted.
pub const MAX_DEPTH: usize = 64;

/// A value of the document. Strings without escapes stay in its text: of a large document there are very many, and the memory
/// that a VM has grown to is never given back. There is no `Debug`: it may hold secrets.
pub(super) enum Node<'t> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'t, str>),
    List(Vec<Self>),
    /// Keys may be repeated: who reads it refuses that, knowing the path.
    Object(Vec<(Cow<'t, str>, Self)>),
}

/// A number, as an integer if it is one: protobuf turns every number into a double on its way through Envoy.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Unsigned(u64),
    Negative(i64),
    Float(f64),
}

impl Node<'_> {
    /// What kind of value it is and how much of it there is, for a text in which no value may appear.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(_) => "a boolean (not shown)".to_owned(),
            Self::Number(_) => "a number (not shown)".to_owned(),
            Self::String(text) => format!("a string of {} (not shown)", characters(text)),
            Self::List(items) if items.is_empty() => "an empty list".to_owned(),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Object(entries) => object_of(entries.len()),
        }
    }

    /// The value, if it is a short one, and what kind it is otherwise.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::String(text) => quoted(text),
            Self::Null | Self::List(_) | Self::Object(_) => self.kind(),
        }
    }
}

impl Number {
    /// Beyond 2^53 a double stands for several integers.
    pub(super) const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

    fn from_f64(value: f64) -> Self {
        if value.fract() != 0.0 || value.abs() > Self::MAX_EXACT {
            Self::Float(value)
        } else if value < 0.0 {
            Self::Negative(value as i64)
        } else {
            Self::Unsigned(value as u64)
        }
    }

    fn from_i64(value: i64) -> Self {
        u64::try_from(value).map_or(Self::Negative(value), Self::Unsigned)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(value) => value.fmt(f),
            Self::Negative(value) => value.fmt(f),
            // `Debug` writes an exponent where `Display` writes three hundred zeros.
            Self::Float(value) => write!(f, "{value:?}"),
        }
    }
}

/// An object of a number of keys, in words.
pub(super) fn object_of(keys: usize) -> String {
    match keys {
        0 => "an empty object".to_owned(),
        1 => "an object with 1 key".to_owned(),
        many => format!("an object with {many} keys"),
    }
}

/// How long a text is, in words: `24 characters`.
pub(super) fn characters(text: &str) -> String {
    match text.chars().count() {
        1 => "1 character".to_owned(),
        count => format!("{count} characters"),
    }
}

/// Where a document is needed and there is none.
pub(super) fn no_document() -> ConfigError {
    let hint = "the policy has no configuration";
    ConfigError::at(Path::root()).found("an empty document").expected("a JSON object").hint(hint)
}

/// Parses a document: JSON in UTF-8. `None` if there is nothing in it.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Node<'_>>, ConfigError> {
    let here = ConfigError::at(Path::root());
    if bytes.len() > MAX_SIZE {
        let found = format!("a document of {} bytes", bytes.len());
        return Err(here.found(found).expected(format!("at most {MAX_SIZE} (16 MiB)")));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        let hint = "save the document as UTF-8 without a byte order mark";
        return Err(here.found("a byte order mark").expected("a JSON object").hint(hint));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len).saturating_add(1);
        let found = format!("a byte that is not UTF-8 at line {line}, column {column}");
        ConfigError::at(Path::root()).found(found).expected("JSON in UTF-8")
    })?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = NodeSeed { depth: 0 }.deserialize(&mut json);
    let parsed = parsed.and_then(|node| json.end().map(|()| node));
    parsed.map(Some).map_err(|error| if error.is_data() { too_deep() } else { syntax_error(&error, text) })
}

/// Takes a document that is parsed already.
pub(super) fn from_value(value: &Value) -> Result<Node<'_>, ConfigError> {
    convert(value, 0).ok_or_else(too_deep)
}

fn convert(value: &Value, depth: usize) -> Option<Node<'_>> {
    let inside = || depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH);
    Some(match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(*value),
        Value::Number(number) => Node::Number(match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => Number::Unsigned(value),
            (None, Some(value)) => Number::from_i64(value),
            (None, None) => Number::from_f64(number.as_f64().unwrap_or(f64::MAX)),
        }),
        Value::String(text) => Node::String(text.into()),
        Value::Array(items) => {
            let depth = inside()?;
            Node::List(items.iter().map(|item| convert(item, depth)).collect::<Option<_>>()?)
        }
        Value::Object(entries) => {
            let depth = inside()?;
            let entries = entries.iter().map(|(key, value)| Some((key.into(), convert(value, depth)?)));
            Node::Object(entries.collect::<Option<_>>()?)
        }
    })
}

/// Reads one value into a [`Node`]. The only error of its own is that the document is too deep.
#[derive(Clone, Copy)]
struct NodeSeed {
    /// How many lists and objects this value is in.
    depth: usize,
}

impl NodeSeed {
    fn inside<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH);
        depth.map(|depth| Self { depth }).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for NodeSeed {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(Number::Unsigned(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(Number::from_i64(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Number(Number::from_f64(value)))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::String(text.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::String(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(inside)? {
            items.push(item);
        }
        // There are very many small ones.
        items.shrink_to_fit();
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node<'de>, A::Error> {
        let inside = self.inside()?;
        let mut entries = Vec::new();
        while let Some(key) = object.next_key_seed(Key)? {
            entries.push((key, object.next_value_seed(inside)?));
        }
        entries.shrink_to_fit();
        Ok(Node::Object(entries))
    }
}

/// Reads the key of an entry.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(text.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(text.to_owned().into())
    }
}

fn too_deep() -> ConfigError {
    let found = format!("lists and objects more than {MAX_DEPTH} deep");
    ConfigError::at(Path::root()).found(found).expected(format!("at most {MAX_DEPTH} inside each other"))
}

/// Says what [`serde_json`] says, without its Rust words. Its messages hold no text of the document.
fn syntax_error(error: &serde_json::Error, text: &str) -> ConfigError {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
    let (what, expected) = match message {
        "EOF while parsing a list" => ("it ends inside a list", "`,` or `]`"),
        "EOF while parsing an object" => ("it ends inside an object", "`,` or `}`"),
        "EOF while parsing a string" => ("it ends inside a string", "a closing `\"`"),
        "EOF while parsing a value" => ("it ends where a value starts", "a value"),
        "expected ident" => ("an unknown word", "true, false, null or a string in double quotes"),
        "expected value" => ("no value", "a value"),
        "key must be a string" => ("a key without quotes", "a key in double quotes"),
        "trailing comma" => ("a comma before the closing bracket", "another entry or no comma"),
        "trailing characters" => ("text after the end of the document", "nothing more"),
        "invalid number" => ("a malformed number", "a number such as 10 or 0.5"),
        "number out of range" => ("a number out of range", "at most 1.7e308"),
        "invalid escape" => ("an unknown escape", r#"one of \" \\ \/ \b \f \n \r \t \u"#),
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            ("a control character in a string", r"an escape such as \n or \t")
        }
        _ => match message.strip_prefix("expected ") {
            Some(expected) => ("a wrong character", expected),
            None => (message, "valid JSON"),
        },
    };
    let found = format!("invalid JSON at line {line}, column {column} ({what})");
    let error = ConfigError::at(Path::root()).found(found).expected(expected).position_at(line, column);
    if text.trim_start().starts_with(['{', '[']) {
        error
    } else {
        error.hint("Envoy takes a Struct, or a StringValue that holds JSON; YAML in a StringValue stays YAML")
    }
}
