//! What limits count apart, and what a request costs.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;

use meshgate_policy::config::{OneOrMany, Rate};
use meshgate_policy::grpc::GrpcStatus;
use meshgate_policy::matching::StatusPattern;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::given;

/// The most that one request may cost: the largest integer of a structured field (RFC 9651 section 3.3.1).
pub const MAX_COST: u64 = 999_999_999_999_999;

/// What a limit counts apart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PerConfig {
    /// Each consumer.
    Consumer,
    /// Each key of a consumer.
    Key,
    /// Each route of the proxy, by its name. Requests on routes without a name count together.
    Route,
    /// Each address of a client, as `client_ip` says. An IPv6 network of 64 bits is one address. Requests without a readable
    /// address count together.
    Ip,
    /// Each value of this header field. Requests without it count together.
    Header(String),
    /// Each value of this claim of a token: its name, or a JSON pointer such as `/realm/org`. Requests without it count
    /// together.
    Claim(String),
}

/// What a request costs: a number, or where it is told.
#[derive(Clone, Debug)]
pub enum CostConfig {
    /// So much.
    Fixed(u64),
    /// As much as is told there.
    Told(CostSource),
}

/// Where it is told what a request costs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["header"]}, {"required": ["expression"]}, {"required": ["request_bytes"]},
    {"required": ["response_bytes"]}, {"required": ["response_json"]},
]))]
pub struct CostSource {
    /// In this header field of the request: a whole number from 1 on. A request without it costs 1; one with anything else in
    /// it is refused with 400. A client that may choose this field chooses what it pays.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"x-cost")]
    pub header: Option<String>,

    /// By an expression over `request`, `consumer`, `path` and `now`: `10 if request.method == "POST" else 1`. Fractions are
    /// rounded up. A request for which it is no number from 0 on is refused with 400.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"10 if request.method == 'POST' else 1")]
    pub expression: Option<String>,

    /// In the size of the request: all bytes, those of its header fields among them, before they are compressed for HTTP/2.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "True")]
    pub request_bytes: Option<True>,

    /// In the size of the response, as in `request_bytes`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "True")]
    pub response_bytes: Option<True>,

    /// In the body of the response: at this JSON pointer (RFC 6901) in a JSON text, or in the data of the last of its
    /// server-sent events that has a number there. Upstreams are asked not to compress the response.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"/usage/total_tokens")]
    pub response_json: Option<String>,

    /// With `request_bytes`, `response_bytes` and `response_json`, which are known only when the response has passed: what is
    /// counted until then. It stays if the response does not tell. Without this: 1.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "u64")]
    pub reserve: Option<u64>,
}

/// Nothing but `true`.
#[derive(Clone, Copy, Debug)]
pub struct True;

/// Which requests stay counted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct ChargeConfig {
    /// Those whose response has one of these statuses. What others were counted is taken back when their response begins. A
    /// request that gets no response at all, because its client went away, stays counted.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<StatusPattern>")]
    pub status: Option<OneOrMany<StatusPattern>>,

    /// Those whose response has one of these statuses of gRPC, by name or number, in its trailers, or in its head if
    /// these have none: `OK`. A response that has none, since it is not of gRPC or breaks off, is not decided on by this.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<GrpcStatus>", example = &"OK")]
    pub grpc_status: Option<OneOrMany<GrpcStatus>>,
}

/// Where the address of a client is.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientIpConfig {
    /// How many proxies in front of this one are trusted. 0: the address is that of the connection. Otherwise it is the one so
    /// many from the right in all `x-forwarded-for` fields: each trusted proxy has added the one that it saw.
    #[serde(default)]
    #[schemars(range(max = 64))]
    pub trusted_hops: u8,
}

/// The memory for those who are too many to have a place of their own each. There is a table for consumers that only tokens
/// name, one for each combination in `per`, and one for clients that fail to authenticate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// How many shared values each table has, of which each has room for 16. At most 65,536 in all tables together.
    #[serde(default = "slots")]
    #[schemars(range(max = 65_536))]
    pub slots: NonZeroU64,

    /// What happens to a newcomer for whom there is no room. The table of clients that fail to authenticate always evicts.
    #[serde(default)]
    pub when_full: WhenFull,
}

/// What happens to a newcomer for whom a table has no room.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It takes the place of the one that has used least, who then begins anew.
    #[default]
    Evict,
    /// Its requests get 503 until the usage of another has run out.
    Refuse,
}

/// How often a client may fail to authenticate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailedAuthConfig {
    /// So many per time, and evenly: `10/m` lets a client that failed ten times try again after 6 seconds.
    pub rate: Rate,

    /// How many may fail at once. Without this: the amount of the rate.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "u64", range(min = 1))]
    pub burst: Option<NonZeroU64>,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self { slots: slots(), when_full: WhenFull::default() }
    }
}

fn slots() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(1_023)
}

impl<'de> Deserialize<'de> for CostConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = CostConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a whole number from 1 on, or an object with one of header, expression, request_bytes, response_bytes, \
                     response_json",
                )
            }

            fn visit_u64<E: de::Error>(self, cost: u64) -> Result<CostConfig, E> {
                let is_cost = (1..=MAX_COST).contains(&cost);
                let wrong = || E::invalid_value(de::Unexpected::Unsigned(cost), &self);
                is_cost.then_some(CostConfig::Fixed(cost)).ok_or_else(wrong)
            }

            fn visit_i64<E: de::Error>(self, cost: i64) -> Result<CostConfig, E> {
                match u64::try_from(cost) {
                    Ok(cost) => self.visit_u64(cost),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(cost), &self)),
                }
            }

            /// Through xDS every number is a double; one that is whole prints as an integer.
            fn visit_f64<E: de::Error>(self, cost: f64) -> Result<CostConfig, E> {
                match cost.to_string().parse() {
                    Ok(cost) => self.visit_u64(cost),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Float(cost), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<CostConfig, A::Error> {
                CostSource::deserialize(de::value::MapAccessDeserializer::new(map)).map(CostConfig::Told)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for CostConfig {
    fn schema_name() -> Cow<'static, str> {
        "CostConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What a request costs: a number, or where it is told.",
            "oneOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_COST},
                generator.subschema_for::<CostSource>(),
            ],
        })
    }
}

impl<'de> Deserialize<'de> for True {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || de::Error::invalid_value(de::Unexpected::Bool(false), &"true, or no such field");
        bool::deserialize(deserializer)?.then_some(Self).ok_or_else(wrong)
    }
}

impl JsonSchema for True {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "True".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"const": true})
    }
}
