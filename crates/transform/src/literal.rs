//! JSON values of a configuration, with templates in their strings.
//!
//! `to: {id: "{{ path.id }}", tags: [a, "{{ request.host }}!"]}` is one template: a string that is a single tag becomes the
//! value of its expression with its type, any other string stays one, and what is no string stands as it is. Keys keep their
//! order.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, by its JSON text.
    Number(String),
    /// A string, which is a template.
    String(String),
    /// A list.
    List(Vec<Literal>),
    /// An object, in order.
    Object(Vec<(String, Literal)>),
}

impl Literal {
    /// The source of a template whose output is this value as JSON.
    pub fn json_template(&self) -> String {
        let mut source = String::new();
        self.write(&mut source);
        source
    }

    /// A scalar as the text that a header or a parameter has; `None` for what is more than a scalar.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::String(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => Some(Cow::Borrowed(number)),
            Self::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// What kind of value it is, in words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(number),
            Self::String(text) if is_one_tag(text) => out.push_str(text.trim()),
            Self::String(text) => write_string(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    // `{{` and `}}` are tags: braces of an object in an object must not look like them.
                    out.push_str(": ");
                    value.write(out);
                }
                out.push_str(" }");
            }
        }
    }
}

/// Whether a string is nothing but one `{{ expression }}`, so that it has a type.
fn is_one_tag(text: &str) -> bool {
    let inner = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| !inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%"))
}

/// A string of JSON. What stands in tags stays as it is: it is no text.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some((before, tag, after)) = next_tag(rest) {
        escape(before, out);
        out.push_str(tag);
        rest = after;
    }
    escape(rest, out);
    out.push('"');
}

/// What stands before the next tag, the tag, and what follows it.
pub fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let openings = ["{{", "{%", "{#"].into_iter().filter_map(|opening| text.find(opening));
    let start = openings.min()?;
    let (before, tag) = text.split_at_checked(start)?;
    let closing = match tag.get(..2)? {
        "{{" => "}}",
        "{%" => "%}",
        _ => "#}",
    };
    let end = tag.find(closing)?.checked_add(2)?;
    let (tag, after) = tag.split_at_checked(end)?;
    Some((before, tag, after))
}

/// RFC 8259 section 7.
fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LiteralVisitor;

        impl<'de> Visitor<'de> for LiteralVisitor {
            type Value = Literal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E: Error>(self) -> Result<Literal, E> {
                Ok(Literal::Null)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Literal, E> {
                Ok(Literal::Bool(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Literal, E> {
                Ok(Literal::Number(value.to_string()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Literal, E> {
                Ok(Literal::Number(value.to_string()))
            }

            /// `{:?}` is the shortest text that is this number, with an exponent where it is large.
            fn visit_f64<E: Error>(self, value: f64) -> Result<Literal, E> {
                if value.is_finite() {
                    Ok(Literal::Number(format!("{value:?}")))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(value), &"a finite number"))
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Literal, E> {
                Ok(Literal::String(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Literal, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Literal::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Literal, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Literal::Object(entries))
            }
        }

        deserializer.deserialize_any(LiteralVisitor)
    }
}

impl JsonSchema for Literal {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A JSON value. Its strings are templates; one that is a single `{{ expression }}` has the type of its \
                value.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn template(value: serde_json::Value) -> String {
        serde_json::from_value::<Literal>(value).unwrap().json_template()
    }

    #[test]
    fn values_are_json_and_strings_are_templates() {
        for (value, expected) in [
            (json!(null), "null"),
            (json!(true), "true"),
            (json!(5), "5"),
            (json!(-5), "-5"),
            (json!(1.5), "1.5"),
            (json!("a\"b\\\n\u{1}é"), r#""a\"b\\\n\u0001é""#),
            (json!("{{ x }}"), "{{ x }}"),
            (json!(" {{ x }} "), "{{ x }}"),
            (json!("a {{ x|default(\"\\\\\") }}\""), r#""a {{ x|default("\\") }}\"""#),
            (json!("{{ a }}{{ b }}"), r#""{{ a }}{{ b }}""#),
            (json!("{% if a %}\"{% endif %}"), r#""{% if a %}\"{% endif %}""#),
            (json!([1, "a", ["{{ x }}"]]), r#"[1,"a",[{{ x }}]]"#),
            (json!({"a": {"b": "{{ x }}"}}), r#"{"a": {"b": {{ x }} } }"#),
            (json!({}), "{ }"),
        ] {
            assert_eq!(template(value.clone()), expected, "{value}");
        }
    }

    #[test]
    fn scalars_have_a_text() {
        for (value, expected) in [
            (json!("a"), Some("a")),
            (json!(1), Some("1")),
            (json!(false), Some("false")),
            (json!(null), None),
            (json!([]), None),
            (json!({}), None),
        ] {
            let literal: Literal = serde_json::from_value(value).unwrap();
            assert_eq!(literal.text().as_deref(), expected);
        }
    }

    #[test]
    fn keys_keep_their_order() {
        let literal: Literal = serde_json::from_str(r#"{"b": 1, "a": 2}"#).unwrap();
        assert_eq!(literal.json_template(), r#"{"b": 1,"a": 2 }"#);
    }
}
