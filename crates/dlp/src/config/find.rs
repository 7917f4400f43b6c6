//! What a rule looks for: names of detectors, and expressions and words of the user's own.

use std::borrow::Cow;
use std::fmt;

use meshgate_policy::config::OneOrMany;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// One thing that a rule looks for.
#[derive(Clone, Debug)]
pub enum FindConfig {
    /// A detector, or a pack of them.
    Named(String),
    /// Something of the user's own.
    Custom(CustomFind),
}

/// A regular expression or words: exactly one of both.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["regex"]}, {"required": ["words"]}]))]
pub struct CustomFind {
    /// A regular expression (syntax of the Rust crate `regex`, without Unicode classes) whose matches have at most 1 KiB: say
    /// `{1,64}` where you mean `+`.
    #[serde(default)]
    pub regex: Option<String>,

    /// Words: they are found where no letter or digit stands right before or behind them.
    #[serde(default)]
    pub words: Option<OneOrMany<String>>,

    /// Whether upper and lower case of words differ.
    #[serde(default)]
    pub case_sensitive: bool,

    /// What logs and `replace` call it: letters, digits, `_`, `-` and spaces. Without this: `custom`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    pub name: Option<String>,
}

/// Nothing of what is looked for.
impl fmt::Debug for CustomFind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words.as_ref().map(|words| words.len());
        f.debug_struct("CustomFind").field("name", &self.name).field("words", &words).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for FindConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = FindConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a pack or a detector, or an object with regex or words")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<FindConfig, E> {
                Ok(FindConfig::Named(name.to_owned()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FindConfig, A::Error> {
                CustomFind::deserialize(de::value::MapAccessDeserializer::new(map)).map(FindConfig::Custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for FindConfig {
    fn schema_name() -> Cow<'static, str> {
        "Find".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of a pack or of a detector, or something of your own.",
            "anyOf": [
                {"type": "string", "pattern": "^[a-z0-9_]+(\\.[a-z0-9_]+)?$"},
                generator.subschema_for::<CustomFind>(),
            ],
            "examples": ["payment", "us.ssn", {"regex": "EMP-[0-9]{6}", "name": "employee"}],
        })
    }
}
