//! What a rule does: a name, or an object with one name and its options.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// What is done with what is found.
#[derive(Clone, Debug)]
pub enum ActionConfig {
    /// Hide it behind a character.
    Mask(MaskConfig),
    /// Put a text in its place; `None`: what kind it was.
    Replace(Option<String>),
    /// Put a token in its place that is the same for the same value, and tells nothing of it.
    Hash,
    /// Take the field out that it is in.
    Drop,
    /// Let nothing of the message pass.
    Block(BlockConfig),
    /// Report it.
    Report,
}

/// How a value is masked. Its length stays, and of numbers and names the punctuation.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// How many characters at the start are shown, not counting punctuation that stays anyway. A value that would be shown
    /// whole is masked whole.
    #[serde(default)]
    pub keep_first: u8,

    /// How many characters at the end are shown, counted in the same way.
    #[serde(default)]
    pub keep_last: u8,

    /// What stands in the place of each other character: `*`, `-`, `.`, `_`, `~`, a letter or a digit, which need no escapes
    /// anywhere. In JSON numbers it is the digit 9 instead, so that they stay numbers.
    #[serde(default)]
    pub character: MaskCharacter,
}

/// What a value is masked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskCharacter(pub u8);

/// How a message is blocked.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockConfig {
    /// The status of the answer, 400 to 599. Without this: 403 for a request, 502 for a response.
    #[serde(default)]
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<u16>,
}

/// Names with options; exactly one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
struct Options {
    /// Hide it behind a character.
    mask: Option<MaskConfig>,
    /// Put this text in its place. Inside JSON it is escaped; in the place of a JSON number it becomes a string.
    replace: Option<String>,
    /// Let nothing of the message pass.
    block: Option<BlockConfig>,
}

const NAMES: &str = "mask, replace, hash, drop, block or report, or an object with one of mask, replace, block and its options";

impl<'de> Deserialize<'de> for ActionConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ActionConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(NAMES)
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ActionConfig, E> {
                Ok(match name {
                    "mask" => ActionConfig::Mask(MaskConfig::default()),
                    "replace" => ActionConfig::Replace(None),
                    "hash" => ActionConfig::Hash,
                    "drop" => ActionConfig::Drop,
                    "block" => ActionConfig::Block(BlockConfig::default()),
                    "report" => ActionConfig::Report,
                    _ => return Err(E::invalid_value(de::Unexpected::Str(name), &self)),
                })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ActionConfig, A::Error> {
                let options = Options::deserialize(de::value::MapAccessDeserializer::new(map))?;
                match (options.mask, options.replace, options.block) {
                    (Some(mask), None, None) => Ok(ActionConfig::Mask(mask)),
                    (None, Some(text), None) => Ok(ActionConfig::Replace(Some(text))),
                    (None, None, Some(block)) => Ok(ActionConfig::Block(block)),
                    _ => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for ActionConfig {
    fn schema_name() -> Cow<'static, str> {
        "Action".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What is done with a finding. `hash` puts a token in its place, the same for the same value; `drop` \
                takes out the JSON member, header field, cookie or parameter that it is in; `block` answers in the message's \
                place; `report` does nothing else.",
            "oneOf": [
                {"enum": ["mask", "replace", "hash", "drop", "block", "report"]},
                generator.subschema_for::<Options>(),
            ],
            "examples": [{"mask": {"keep_last": 4}}, "block"],
        })
    }
}

impl Default for MaskCharacter {
    fn default() -> Self {
        Self(b'*')
    }
}

impl<'de> Deserialize<'de> for MaskCharacter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_bytes() {
            [byte @ (b'*' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')] => {
                Ok(Self(*byte))
            }
            _ => Err(de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"one character: *, -, ., _, ~, a letter or a digit",
            )),
        }
    }
}

impl JsonSchema for MaskCharacter {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MaskCharacter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[*._~A-Za-z0-9-]$", "default": "*"})
    }
}
