//! Media types: what `content-type` says, and patterns for it (RFC 9110 section 8.3.1, RFC 6838 section 4.2).
//!
//! `application/json`, `text/*`, `*/*`, and by structured suffix `application/*+json` or `*/*+json`. Case makes no
//! difference; parameters (`; charset=utf-8`) are not looked at.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::headers::is_token;

/// A pattern for media types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaTypePattern {
    /// In lower case; `None` is any.
    kind: Option<Box<str>>,
    subtype: Subtype,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtype {
    Any,
    /// In lower case.
    Exact(Box<str>),
    /// With its `+`, in lower case. `application/json` has no suffix, so `*+json` is not it.
    Suffix(Box<str>),
}

impl MediaTypePattern {
    /// Reads a pattern; `None` if it is none.
    pub fn new(source: &str) -> Option<Self> {
        let (kind, subtype) = source.split_once('/')?;
        let (kind, subtype) = (kind.to_ascii_lowercase(), subtype.to_ascii_lowercase());
        let name =
            |name: &str| (is_token(name.as_bytes()) && !name.contains('*')).then(|| Box::<str>::from(name));
        let kind = if kind == "*" { None } else { Some(name(&kind)?) };
        let subtype = match subtype.strip_prefix('*') {
            Some("") => Subtype::Any,
            Some(suffix) => {
                Subtype::Suffix(name(suffix).filter(|suffix| suffix.starts_with('+') && suffix.len() > 1)?)
            }
            None => Subtype::Exact(name(&subtype)?),
        };
        // `*/json` is nothing that anyone registers: whoever writes it means `*/*+json`.
        let meant = kind.is_some() || !matches!(subtype, Subtype::Exact(_));
        meant.then_some(Self { kind, subtype })
    }

    /// Whether the value of a `content-type` field is one of these. What is not a media type is none of them.
    pub fn matches(&self, content_type: &[u8]) -> bool {
        let Some((kind, subtype)) = essence(content_type) else { return false };
        let same_kind = self.kind.as_ref().is_none_or(|wanted| kind.eq_ignore_ascii_case(wanted.as_bytes()));
        same_kind
            && match &self.subtype {
                Subtype::Any => true,
                Subtype::Exact(wanted) => subtype.eq_ignore_ascii_case(wanted.as_bytes()),
                Subtype::Suffix(suffix) => subtype
                    .len()
                    .checked_sub(suffix.len())
                    .and_then(|at| subtype.split_at_checked(at))
                    .is_some_and(|(name, end)| {
                        !name.is_empty() && end.eq_ignore_ascii_case(suffix.as_bytes())
                    }),
            }
    }
}

/// Type and subtype of a `content-type` value, without its parameters.
fn essence(content_type: &[u8]) -> Option<(&[u8], &[u8])> {
    let essence = content_type.split(|&byte| byte == b';').next()?.trim_ascii();
    let (kind, rest) = essence.split_at_checked(memchr::memchr(b'/', essence)?)?;
    let subtype = rest.get(1..)?;
    (is_token(kind) && is_token(subtype)).then_some((kind, subtype))
}

impl<'de> Deserialize<'de> for MediaTypePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::new(&source).ok_or_else(|| {
            let expected =
                "a media type like application/json, text/* or application/*+json, without parameters";
            de::Error::invalid_value(de::Unexpected::Str(&source), &expected)
        })
    }
}

impl JsonSchema for MediaTypePattern {
    fn schema_name() -> Cow<'static, str> {
        "MediaTypePattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[^/;*]+/([^/;*]+|\\*(\\+[^/;*]+)?)$|^\\*/\\*(\\+[^/;*]+)?$",
            "description": "A media type (`application/json`), all of a type (`text/*`), all with a suffix \
                (`application/*+json`, `*/*+json`) or all (`*/*`). Case and parameters make no difference.",
            "examples": ["application/json", "text/*", "application/*+json"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn media_types_match_without_case_and_parameters() {
        for (pattern, value, expected) in [
            ("application/json", "application/json", true),
            ("application/json", "Application/JSON ; charset=utf-8", true),
            ("application/json", "application/json;", true),
            ("application/json", "application/jsonp", false),
            ("application/json", "application/problem+json", false),
            ("application/json", "", false),
            ("application/json", "application", false),
            ("application/json", "application/json, text/html", false),
            ("application/json", "application /json", false),
            ("text/*", "text/html", true),
            ("text/*", "texts/html", false),
            ("text/*", "text/", false),
            ("*/*", "a/b", true),
            ("*/*", "nonsense", false),
            ("*/*", ";a/b", false),
            ("application/*+json", "application/problem+JSON", true),
            ("application/*+json", "application/json", false),
            ("application/*+json", "application/+json", false),
            ("application/*+json", "image/x+json", false),
            ("*/*+json", "image/x+json;a=b", true),
            ("Text/HTML", "text/html", true),
        ] {
            let found = MediaTypePattern::new(pattern).unwrap().matches(value.as_bytes());
            assert_eq!(found, expected, "{pattern} {value:?}");
        }
        assert!(!MediaTypePattern::new("*/*").unwrap().matches(b"\xff/\xff"));
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for pattern in [
            "", "json", "/", "a/", "/b", "a/b/c", "a/b; c=d", "a /b", "*/json", "a*/b", "a/b*", "a/*json",
            "a/*+", "*",
        ] {
            assert_eq!(MediaTypePattern::new(pattern), None, "{pattern:?}");
        }
    }
}
