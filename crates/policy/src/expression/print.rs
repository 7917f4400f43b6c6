//! Values as text and as JSON.
//!
//! The engine writes booleans and nothing as Python does (`True`, `None`). Here they are `true` and, as a text, empty.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Error, Value};

use super::body::{Node, Number};
use super::filters::{invalid, too_long};
use super::text;

/// How deep lists and maps may nest that an expression built; what a body holds was checked when it was read.
const MAX_DEPTH: usize = 64;

/// JSON text that goes into JSON as it is.
#[derive(Debug)]
pub(super) struct Json(pub Box<str>);

impl Object for Json {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value as text: a text as it is, nothing as none, numbers, booleans, lists and maps as JSON. Holds the stand-ins of
/// bytes ([`mod@text`]) where the value does.
pub(super) fn text(value: &Value, limit: usize) -> Result<Cow<'_, str>, Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Cow::Borrowed("")),
        ValueKind::String => match value.as_str() {
            Some(text) if text.len() > limit => Err(too_long()),
            text => Ok(Cow::Borrowed(text.unwrap_or_default())),
        },
        ValueKind::Plain if json_of(value).is_none() => Ok(Cow::Owned(value.to_string())),
        // Not as JSON, where bytes that are no UTF-8 are lost.
        ValueKind::Seq | ValueKind::Map if json_of(value).is_some_and(|json| json.len() <= limit) => {
            Ok(Cow::Owned(value.to_string()))
        }
        _ => {
            let mut out = Vec::new();
            json(value, &mut out, limit)?;
            String::from_utf8(out).map(Cow::Owned).map_err(|_| invalid("not a text"))
        }
    }
}

/// Appends a value as JSON (RFC 8259), as long as `out` stays within `limit` bytes. What is not UTF-8 becomes U+FFFD;
/// nothing and numbers that are none become `null`.
pub(super) fn json(value: &Value, out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
    write(value, out, limit, 0)
}

/// Appends what stands between the quotes of a JSON string.
pub(super) fn json_string(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) =
        rest.find(|char: char| matches!(char, '"' | '\\' | '\0'..='\x1f') || text::is_escape(char))
    {
        let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.extend_from_slice(plain.as_bytes());
        let mut chars = special.chars();
        match chars.next() {
            Some('"') => out.extend_from_slice(b"\\\""),
            Some('\\') => out.extend_from_slice(b"\\\\"),
            Some('\n') => out.extend_from_slice(b"\\n"),
            Some('\r') => out.extend_from_slice(b"\\r"),
            Some('\t') => out.extend_from_slice(b"\\t"),
            Some(control @ '\0'..='\x1f') => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
            }
            _ => out.extend_from_slice("\u{fffd}".as_bytes()),
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn write(value: &Value, out: &mut Vec<u8>, limit: usize, depth: usize) -> Result<(), Error> {
    if let Some(json) = json_of(value) {
        out.extend_from_slice(String::from_utf8_lossy(json).as_bytes());
    } else {
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => out.extend_from_slice(b"null"),
            ValueKind::Bool => out.extend_from_slice(if value.is_true() { b"true" } else { b"false" }),
            ValueKind::Number => {
                let number = value.to_string();
                let is_number = number.ends_with(|last: char| last.is_ascii_digit());
                out.extend_from_slice(if is_number { number.as_bytes() } else { b"null" });
            }
            ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if depth >= MAX_DEPTH => {
                return Err(invalid("the value nests too deep"));
            }
            ValueKind::Seq | ValueKind::Iterable => {
                out.push(b'[');
                for (index, item) in value.try_iter()?.checked().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write(&item?, out, limit, depth.saturating_add(1))?;
                }
                out.push(b']');
            }
            ValueKind::Map => {
                out.push(b'{');
                for (index, key) in value.try_iter()?.checked().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    let key = key?;
                    write_string(&text(&key, limit)?, out);
                    out.push(b':');
                    write(&value.get_item(&key)?, out, limit, depth.saturating_add(1))?;
                }
                out.push(b'}');
            }
            ValueKind::Invalid => return Err(invalid("the value is there more than once")),
            _ => write_string(&text(value, limit)?, out),
        }
    }
    if out.len() > limit { Err(too_long()) } else { Ok(()) }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    json_string(text, out);
    out.push(b'"');
}

/// The JSON text of what has one.
fn json_of(value: &Value) -> Option<&[u8]> {
    let object = value.as_object()?;
    if let Some(Json(text)) = object.downcast_ref() {
        return Some(text.as_bytes());
    }
    if let Some(Number(text)) = object.downcast_ref() {
        return Some(text.as_bytes());
    }
    object.downcast_ref::<Node>().map(Node::json)
}
