//! What stands in a suite.

use std::collections::BTreeMap;

use meshgate_policy::config::{Duration, OneOrMany};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Unexpected, Visitor};
use serde_json::Value;

use crate::failure::Failure;

/// A suite: filters, and what they are to do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// The chain, in order.
    pub filters: OneOrMany<Filter>,
    /// The time at which each test begins.
    pub clock: Option<String>,
    /// The route that requests have.
    #[serde(default)]
    pub route: String,
    /// What the service behind the filters answers.
    pub upstream: Option<Upstream>,
    /// What services answer that the filters call: the first that fits.
    #[serde(default)]
    pub callouts: Vec<Callout>,
    pub tests: Vec<Test>,
}

/// A filter of the chain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The name of a filter, or a file.
    pub module: String,
    /// The name of the plugin; else that of the filter.
    pub name: Option<String>,
    /// The configuration, or the file that it stands in.
    pub config: Option<Value>,
    /// The variables of the VM.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// `allow_on_headers_stop_iteration` of the proxy; else what the configuration says.
    pub hold_headers: Option<bool>,
    /// `vm_id` of the proxy.
    #[serde(default)]
    pub vm_id: String,
}

/// A test: one step, or several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    pub name: String,
    /// In how many parts bodies come.
    #[serde(default)]
    pub chunks: Chunks,
    pub steps: Option<Vec<Step>>,
    // Of a test of one step:
    pub at: Option<String>,
    pub advance: Option<Duration>,
    pub request: Option<Request>,
    pub upstream: Option<Upstream>,
    #[serde(default)]
    pub callouts: Vec<Callout>,
    pub repeat: Option<u32>,
    pub expect: Option<Expect>,
}

/// How bodies arrive.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Chunks {
    /// Whole, and then once more byte by byte: the outcome must be the same.
    #[default]
    Both,
    /// Whole.
    Whole,
    /// Byte by byte.
    Bytes,
}

/// A request, or several of the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: Option<String>,
    /// Moves the clock to a time.
    pub at: Option<String>,
    /// Moves the clock on.
    pub advance: Option<Duration>,
    pub request: Option<Request>,
    pub upstream: Option<Upstream>,
    #[serde(default)]
    pub callouts: Vec<Callout>,
    pub repeat: Option<u32>,
    pub expect: Option<Expect>,
}

pub type Fields = BTreeMap<String, OneOrMany<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub method: Option<String>,
    pub path: String,
    pub host: Option<String>,
    #[serde(default)]
    pub headers: Fields,
    pub body: Option<String>,
    pub json: Option<Value>,
    pub base64: Option<String>,
    #[serde(default)]
    pub trailers: Fields,
    /// The body goes without its length.
    #[serde(default)]
    pub chunked: bool,
    /// The address of the client.
    pub from: Option<String>,
    pub route: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    pub status: Option<u16>,
    #[serde(default)]
    pub headers: Fields,
    pub body: Option<String>,
    pub json: Option<Value>,
    pub base64: Option<String>,
    #[serde(default)]
    pub trailers: Fields,
    #[serde(default)]
    pub chunked: bool,
    /// It does not answer, and the proxy does.
    pub fails: Option<Failure>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callout {
    pub cluster: String,
    pub method: Option<String>,
    /// Without the query.
    pub path: Option<String>,
    /// `package.Service/Method`
    pub grpc: Option<String>,
    pub answer: Option<CalloutAnswer>,
    pub fails: Option<CalloutFailure>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalloutAnswer {
    pub status: Option<u16>,
    #[serde(default)]
    pub headers: Fields,
    pub body: Option<String>,
    pub json: Option<Value>,
    pub base64: Option<String>,
    pub grpc_status: Option<u32>,
    /// How long it takes.
    pub after: Option<Duration>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalloutFailure {
    Connection,
    Reset,
    Timeout,
    NoCluster,
}

/// What is expected of a step. What is not said may be anything.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub status: Option<u16>,
    #[serde(default)]
    pub headers: BTreeMap<String, Option<FieldValue>>,
    pub json: Option<Value>,
    pub json_equals: Option<Value>,
    pub body: Option<Text>,
    #[serde(default)]
    pub trailers: BTreeMap<String, Option<FieldValue>>,
    /// `%RESPONSE_CODE_DETAILS%`
    pub details: Option<Text>,
    pub upstream: Option<Forwarded>,
    /// By how much metrics move.
    #[serde(default)]
    pub metrics: BTreeMap<String, i64>,
    #[serde(default)]
    pub filter_state: BTreeMap<String, Option<Text>>,
    /// Lines that are logged, among others.
    pub logs: Option<OneOrMany<Text>>,
    /// How many callouts are made.
    pub callouts: Option<usize>,
}

/// What the upstream gets.
pub enum Forwarded {
    Nothing,
    Request(Box<ForwardedRequest>),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardedRequest {
    pub method: Option<String>,
    pub path: Option<Text>,
    pub host: Option<Text>,
    #[serde(default)]
    pub headers: BTreeMap<String, Option<FieldValue>>,
    pub json: Option<Value>,
    pub json_equals: Option<Value>,
    pub body: Option<Text>,
    #[serde(default)]
    pub trailers: BTreeMap<String, Option<FieldValue>>,
}

/// A text that is as expected.
#[derive(Clone, Default)]
pub struct Text {
    pub equals: Option<String>,
    pub contains: Vec<String>,
    pub matches: Option<regex::Regex>,
}

/// The value of a field: one, or all of several.
pub enum FieldValue {
    One(Text),
    All(Vec<String>),
}

impl<'de> Deserialize<'de> for Forwarded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Forwarded;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"none\" or what the upstream gets, as in {path: /v2}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Forwarded, E> {
                if text == "none" {
                    Ok(Forwarded::Nothing)
                } else {
                    Err(E::invalid_value(Unexpected::Str(text), &self))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Forwarded, A::Error> {
                let request = ForwardedRequest::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Forwarded::Request(Box::new(request)))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextParts {
    equals: Option<String>,
    #[serde(default)]
    contains: Option<OneOrMany<String>>,
    matches: Option<Pattern>,
}

struct Pattern(regex::Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |_| de::Error::invalid_value(Unexpected::Str(&text), &"a regular expression");
        regex::Regex::new(&text).map(Pattern).map_err(wrong)
    }
}

impl From<TextParts> for Text {
    fn from(parts: TextParts) -> Self {
        let contains = parts.contains.map(OneOrMany::into_vec).unwrap_or_default();
        Self { equals: parts.equals, contains, matches: parts.matches.map(|pattern| pattern.0) }
    }
}

const A_TEXT: &str = "a string, or one of {equals}, {contains} and {matches}";

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Text;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(A_TEXT)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text { equals: Some(text.to_owned()), ..Text::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
                TextParts::deserialize(de::value::MapAccessDeserializer::new(map)).map(Text::from)
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = FieldValue;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{A_TEXT}, a list of all values, or null where there is none")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FieldValue, E> {
                Ok(FieldValue::One(Text { equals: Some(text.to_owned()), ..Text::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldValue, A::Error> {
                let parts = TextParts::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(FieldValue::One(parts.into()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<FieldValue, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(FieldValue::All)
            }
        }
        deserializer.deserialize_any(Visit)
    }
}
