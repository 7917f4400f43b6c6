//! Which responses a rule is for: the `match` block that all policies share, and what only responses have.

use std::borrow::Cow;
use std::fmt;

use meshgate_policy::config::OneOrMany;
use meshgate_policy::grpc::GrpcStatus;
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::Headers;
use meshgate_policy::matching::{Input, Match, StatusPattern};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, MapAccess};
use serde::{Deserialize, Deserializer};

use crate::cause::{Cause, Origin};
use crate::flag::Flag;

/// Which responses a rule is for. All parts that are there must hold.
#[derive(Clone, Debug, Default)]
pub struct ErrorMatch {
    /// The parts that all policies have, but for `status`.
    request: Match,
    /// Whether any of those is there.
    asks_request: bool,
    response: ResponseMatch,
}

/// What only responses have.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ResponseMatch {
    /// The status of the response. Without this: 400 to 599.
    #[schemars(with = "Option<OneOrMany<StatusPattern>>")]
    status: Option<OneOrMany<StatusPattern>>,

    /// Who made the response: the proxy (`gateway`) or the `upstream`.
    #[schemars(with = "Option<OneOrMany<Origin>>")]
    origin: Option<OneOrMany<Origin>>,

    /// A response flag of Envoy, by its short or long name: `UF`, `NoRouteFound`.
    #[schemars(with = "Option<OneOrMany<Flag>>")]
    flag: Option<OneOrMany<Flag>>,

    /// The response code details of Envoy, as in `%RESPONSE_CODE_DETAILS%`; with a `*` at the end all that begin so.
    #[schemars(with = "Option<OneOrMany<Details>>")]
    details: Option<OneOrMany<Details>>,

    /// The gRPC status in the head of the response, which is where an answer without messages has it.
    #[schemars(with = "Option<OneOrMany<GrpcStatus>>")]
    grpc_status: Option<OneOrMany<GrpcStatus>>,

    /// Header fields of the response.
    #[schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")]
    response_header: Option<HeaderMatch>,
}

/// What there is to match.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The head of the request; without one, no part that asks for it holds.
    pub request: Option<&'a RequestHead<'a>>,
    /// The head of the response.
    pub response: &'a Headers,
    /// Its status.
    pub status: u16,
    /// Why it is what it is.
    pub cause: &'a Cause,
}

impl ErrorMatch {
    /// Whether all parts hold. `roll` draws a number from 0 to 9,999.
    pub fn holds(&self, subject: &Subject<'_>, roll: &dyn Fn() -> u16) -> bool {
        let Subject { response, status, cause, .. } = *subject;
        let parts = &self.response;
        self.has_status(status)
            && holds(parts.origin.as_ref(), |origin| *origin == cause.origin())
            && holds(parts.flag.as_ref(), |flag| cause.flags.has(*flag))
            && holds(parts.details.as_ref(), |details| details.holds(&cause.details))
            && holds(parts.grpc_status.as_ref(), |wanted| {
                response.first("grpc-status").and_then(GrpcStatus::from_field) == Some(*wanted)
            })
            && parts.response_header.as_ref().is_none_or(|header| header.holds(response))
            && self.request_holds(subject, roll)
    }

    /// Whether a response with this status can be one of these. A gRPC error has the status that stands for it.
    pub fn has_status(&self, status: u16) -> bool {
        self.response
            .status
            .as_ref()
            .map_or(status >= 400, |patterns| patterns.iter().any(|pattern| pattern.matches(status)))
    }

    /// Whether this asks for something of the request.
    pub fn asks_request(&self) -> bool {
        self.asks_request
    }

    /// The part that all policies have.
    pub fn request(&self) -> &Match {
        &self.request
    }

    fn request_holds(&self, subject: &Subject<'_>, roll: &dyn Fn() -> u16) -> bool {
        let input = |request| Input { request, response: Some(subject.response), roll };
        match subject.request {
            Some(request) => self.request.holds(&input(request)),
            None => !self.asks_request && self.request.holds(&input(&RequestHead::new(&Headers::default()))),
        }
    }
}

/// A part that is a list holds if one of its entries does.
fn holds<T>(part: Option<&OneOrMany<T>>, one: impl FnMut(&T) -> bool) -> bool {
    part.is_none_or(|entries| entries.iter().any(one))
}

/// Response code details: a text, or what it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    text: Box<str>,
    prefix: bool,
}

impl Details {
    fn holds(&self, details: &str) -> bool {
        if self.prefix { details.starts_with(&*self.text) } else { details == &*self.text }
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        let (text, prefix) = source.strip_suffix('*').map_or((source.as_str(), false), |text| (text, true));
        if text.is_empty() || text.contains('*') {
            let expected =
                "response code details such as route_not_found, or their beginning: upstream_reset*";
            return Err(de::Error::invalid_value(de::Unexpected::Str(&source), &expected));
        }
        Ok(Self { text: text.into(), prefix })
    }
}

impl JsonSchema for Details {
    fn schema_name() -> Cow<'static, str> {
        "Details".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[^*]+\\*?$",
            "description": "Response code details, or with a `*` at the end what they begin with.",
            "examples": ["route_not_found", "upstream_reset_before_response_started*"],
        })
    }
}

/// Conditions on the header fields of a response: those of the shared block, asked of the other head.
#[derive(Clone, Debug)]
struct HeaderMatch(Match);

impl HeaderMatch {
    fn holds(&self, response: &Headers) -> bool {
        self.0.holds(&Input { request: &RequestHead::new(response), response: None, roll: &|| 0 })
    }
}

impl<'de> Deserialize<'de> for HeaderMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A block with one key, `header`, whose value is read from here.
        struct Block<D>(Option<D>);

        impl<'de, D: Deserializer<'de>> MapAccess<'de> for Block<D> {
            type Error = D::Error;

            fn next_key_seed<S: DeserializeSeed<'de>>(
                &mut self,
                seed: S,
            ) -> Result<Option<S::Value>, D::Error> {
                if self.0.is_none() {
                    return Ok(None);
                }
                seed.deserialize(StrDeserializer::new("header")).map(Some)
            }

            fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, D::Error> {
                let value =
                    self.0.take().ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
                seed.deserialize(value)
            }
        }

        Match::deserialize(MapAccessDeserializer::new(Block(Some(deserializer)))).map(Self)
    }
}

/// The fields of a block: those of responses, then those that all policies have.
const FIELDS: &[&str] = &[
    "status",
    "origin",
    "flag",
    "details",
    "grpc_status",
    "response_header",
    "method",
    "host",
    "path",
    "query",
    "header",
    "cookie",
    "content_type",
    "percent",
];

impl<'de> Deserialize<'de> for ErrorMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ErrorMatch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ErrorMatch, A::Error> {
                let mut response = ResponseMatch::default();
                let mut asks_request = false;
                let own = Own { map, response: &mut response, asks_request: &mut asks_request };
                let request = Match::deserialize(MapAccessDeserializer::new(own))?;
                Ok(ErrorMatch { request, asks_request, response })
            }
        }

        deserializer.deserialize_struct("match", FIELDS, Visitor)
    }
}

/// Takes the fields of responses out of a block, and hands the others to whoever asks.
struct Own<'r, A> {
    map: A,
    response: &'r mut ResponseMatch,
    asks_request: &'r mut bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Own<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            match key.as_str() {
                "status" => self.response.status = Some(self.map.next_value()?),
                "origin" => self.response.origin = Some(self.map.next_value()?),
                "flag" => self.response.flag = Some(self.map.next_value()?),
                "details" => self.response.details = Some(self.map.next_value()?),
                "grpc_status" => self.response.grpc_status = Some(self.map.next_value()?),
                "response_header" => self.response.response_header = Some(self.map.next_value()?),
                shared => {
                    // Of the response too: it is there when this is asked.
                    *self.asks_request |= !["content_type", "percent"].contains(&shared);
                    return seed.deserialize(StrDeserializer::new(shared)).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl JsonSchema for ErrorMatch {
    fn schema_name() -> Cow<'static, str> {
        "ErrorMatch".into()
    }

    /// The fields of both.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = ResponseMatch::json_schema(generator);
        let shared = Match::json_schema(generator);
        let properties = shared.get("properties").and_then(|properties| properties.as_object()).cloned();
        let own =
            schema.ensure_object().get_mut("properties").and_then(|properties| properties.as_object_mut());
        if let (Some(own), Some(mut properties)) = (own, properties) {
            if let Some(header) = properties.get("header").cloned() {
                own.insert("response_header".to_owned(), header);
            }
            properties.remove("status");
            own.extend(properties);
            if let Some(header) = own.get_mut("response_header").and_then(|header| header.as_object_mut()) {
                header.insert("description".to_owned(), "Header fields of the response.".into());
            }
        }
        schema
            .insert("description".to_owned(), "Which responses. All parts that are there must hold.".into());
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_shared_block_has_the_fields_that_are_handed_to_it() {
        let schema = meshgate_policy::config::schema::<Match>("urn:x", "x");
        let mut shared: Vec<&str> =
            schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        shared.retain(|name| *name != "status");
        let own = schemars::schema_for!(ResponseMatch);
        let own = own.get("properties").unwrap().as_object().unwrap();
        let mut handed: Vec<&str> = FIELDS.iter().copied().filter(|name| !own.contains_key(*name)).collect();
        handed.sort_unstable();
        assert_eq!(shared, handed);
        let schema = meshgate_policy::config::schema::<ErrorMatch>("urn:x", "x");
        assert_eq!(schema["properties"].as_object().unwrap().len(), FIELDS.len());
    }
}
