//! What a path may have to be: a template, a prefix, one path exactly, or a regular expression.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::path::normalize;
use super::pattern::Pattern;
use super::template::{Template, check_path};

/// A condition on a path in normal form.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// A path of this shape; without names in it, this path, with or without a slash at the end.
    Template(Template),
    /// This path and all below it: `/v1` is not `/v1x`. In normal form, without a slash at the end.
    Prefix(Box<[u8]>),
    /// This path; a slash at the end counts.
    Exact(Box<[u8]>),
    /// A path that is this expression from its first byte to its last.
    Regex(Pattern),
}

impl PathMatch {
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Template(template) => template.matches(path),
            Self::Prefix(prefix) => {
                path.strip_prefix(&**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            }
            Self::Exact(exact) => path == &**exact,
            Self::Regex(pattern) => pattern.matches(path),
        }
    }

    /// The names of a template; none of other conditions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let template = if let Self::Template(template) = self { Some(template) } else { None };
        template.into_iter().flat_map(Template::names)
    }

    /// What the names of a template stood for; nothing for other conditions, `None` if the path does not satisfy them.
    pub(super) fn captures(&self, path: &[u8]) -> Option<Vec<(&str, Vec<u8>)>> {
        match self {
            Self::Template(template) => template.captures(path),
            other => other.matches(path).then(Vec::new),
        }
    }
}

/// A condition on a path: exactly one of these.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
struct Rule {
    /// This path and all below it, on the borders of segments: `/v1` is `/v1` and `/v1/x`, not `/v1x`.
    #[schemars(with = "Option<String>")]
    prefix: Option<Literal>,
    /// This path, braces and a slash at the end included.
    #[schemars(with = "Option<String>")]
    exact: Option<Literal>,
    /// A regular expression (syntax of the Rust crate `regex`) for the whole path in its normal form.
    #[schemars(with = "Option<String>")]
    regex: Option<Whole>,
}

/// A path in normal form.
struct Literal(Vec<u8>);

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        check_path(&path).map_err(de::Error::custom)?;
        Ok(Self(normalize(path.as_bytes()).into_owned()))
    }
}

struct Whole(Pattern);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Pattern::whole(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

impl Rule {
    fn compile(self) -> Option<PathMatch> {
        match (self.prefix, self.exact, self.regex) {
            (Some(Literal(path)), None, None) => {
                Some(PathMatch::Prefix(path.strip_suffix(b"/").unwrap_or(&path).into()))
            }
            (None, Some(Literal(path)), None) => Some(PathMatch::Exact(path.into())),
            (None, None, Some(Whole(pattern))) => Some(PathMatch::Regex(pattern)),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for PathMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = PathMatch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string like /users/{id}, or an object with one of prefix, exact, regex")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<PathMatch, E> {
                Template::new(value).map(PathMatch::Template).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<PathMatch, A::Error> {
                let rule = Rule::deserialize(de::value::MapAccessDeserializer::new(map))?;
                rule.compile().ok_or_else(|| de::Error::invalid_type(de::Unexpected::Map, &self))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for PathMatch {
    fn schema_name() -> Cow<'static, str> {
        "PathMatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A template, or an object with one condition. In a template `{name}` stands for one segment, or for \
                the part of one that literal text leaves over, and `{name...}` at the end for all that is left; a slash at \
                the end makes no difference.",
            "oneOf": [{"type": "string", "pattern": "^/[^?#]*$"}, generator.subschema_for::<Rule>()],
            "examples": ["/v1/users/{id}", "/files/{path...}", {"prefix": "/v1"}],
        })
    }
}
