//! Documents read into a policy's kind of types: what passes, and the exact line for what does not.

mod messages;
mod secrets;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::{ConfigError, Duration, OneOrMany, Options, Percent, Rate, Size};

const OPTIONS: Options<'_> = Options {
    sensitive: &["keys", "secret"],
    open: &[],
    examples: &[("plan", "plan: gold"), ("name", "name: acme")],
    documents: &[],
};

/// A configuration with something of everything.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    keys_from: Vec<Source>,
    plans: BTreeMap<String, Plan>,
    consumers: Vec<Consumer>,
    action: Option<Action>,
    statuses: BTreeMap<u16, String>,
    by_action: BTreeMap<Keyword, u8>,
    timeout: Option<Duration>,
    max_body: Option<Size>,
    share: Option<Percent>,
    ratio: Option<f64>,
    methods: Option<OneOrMany<String>>,
    sources: Option<OneOrMany<Source>>,
    pair: Option<(u8, String)>,
    triple: Option<[u8; 3]>,
    enabled: bool,
    tiny: u8,
    signed: i16,
    big: u64,
    bigger: i64,
    burst: Option<NonZeroU32>,
    letter: Option<char>,
    #[schemars(with = "String")]
    address: Option<IpAddr>,
    nothing: (),
    #[schemars(with = "Value")]
    ignored: Option<IgnoredAny>,
    free: Value,
    even: Option<Even>,
    header: Option<Header>,
    headers: BTreeMap<Header, String>,
    secret: Option<Even>,
    one_key: Option<OneKey>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Plan {
    #[serde(default)]
    limits: Vec<Limit>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limit {
    name: String,
    rate: Rate,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Consumer {
    name: String,
    plan: String,
    keys: Vec<Key>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    id: String,
    sha256: Digest,
    #[serde(default)]
    uses: Option<u16>,
    #[serde(default)]
    labels: BTreeMap<String, u8>,
    #[serde(default)]
    kind: Option<Keyword>,
    #[serde(default)]
    rotate: Option<Duration>,
}

/// Eight hexadecimal digits, with an error that says so.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
struct Digest(String);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text))
        } else {
            Err(D::Error::invalid_value(serde::de::Unexpected::Str(&text), &"8 hexadecimal digits"))
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
enum Keyword {
    Allow,
    Deny,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    Block,
    Mask(Mask),
    Replace { with: String },
    Range(u8, u8),
}

/// Does not deny unknown fields.
#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
struct Mask {
    keep_last: u8,
}

/// A string that names a header, or an object: what a policy writes a visitor for.
#[derive(Clone, Debug, JsonSchema, PartialEq)]
#[schemars(untagged)]
enum Source {
    Header(String),
    Full(FullSource),
}

#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
struct FullSource {
    query: String,
    #[serde(default)]
    max_len: Option<u8>,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;

        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = Source;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string (a header name) or an object such as {query: api_key}")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Source, E> {
                Ok(Source::Header(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                FullSource::deserialize(MapAccessDeserializer::new(map)).map(Source::Full)
            }
        }

        deserializer.deserialize_any(SourceVisitor)
    }
}

/// Fails with a custom error that repeats what it was given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "u32")]
struct Even(u32);

impl TryFrom<u32> for Even {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if number.is_multiple_of(2) { Ok(Self(number)) } else { Err(format!("{number} is odd")) }
    }
}

/// Fails with a custom error that says nothing of what it was given, in several lines.
#[derive(Debug, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
struct Header(String);

impl TryFrom<String> for Header {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, &'static str> {
        let ok = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if ok { Ok(Self(name)) } else { Err("not a\n  header name") }
    }
}

/// Reads one key of an object and no more.
#[derive(Debug, JsonSchema)]
struct OneKey(String);

impl<'de> Deserialize<'de> for OneKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneKeyVisitor;

        impl<'de> Visitor<'de> for OneKeyVisitor {
            type Value = OneKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OneKey, A::Error> {
                let entry: Option<(String, IgnoredAny)> = map.next_entry()?;
                entry.map(|(key, _)| OneKey(key)).ok_or_else(|| A::Error::invalid_length(0, &self))
            }
        }

        deserializer.deserialize_map(OneKeyVisitor)
    }
}

fn load(document: &str) -> Result<Config, ConfigError> {
    super::load(document.as_bytes(), &OPTIONS)
}

fn message(document: &[u8]) -> String {
    super::load::<Config>(document, &OPTIONS).unwrap_err().to_string()
}
