//! The configuration document.

use std::collections::BTreeMap;
use std::fmt;

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{OneOrMany, Rate};
use meshgate_policy::digest::Digest;
use meshgate_policy::matching::Match;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer};

/// API keys, and what each consumer may do with them: who it is, which requests its plan allows, and how many of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The requests that need a key. All others pass without one, with no more change than that headers which would name
    /// a consumer (`x-consumer-...`) are removed. Without this: all requests.
    #[serde(default, rename = "match")]
    pub guards: Match,

    /// Where a request may carry its key. A request with more than one, in all of these places together, is refused.
    #[serde(default = "keys_from")]
    #[schemars(extend("default" = [{"header": "x-api-key"}]))]
    pub keys_from: OneOrMany<KeyFrom>,

    /// Whether the upstream is kept from seeing the key: header fields and query parameters that carry it are removed.
    #[serde(default = "yes")]
    pub hide_credentials: bool,

    /// What the key is for, in the challenge of a 401: `www-authenticate: ApiKey realm="meshgate"`. Printable ASCII
    /// without `"` and `\`, at most 128 characters.
    #[serde(default = "realm")]
    pub realm: String,

    /// Whether access logs can read who sent a request: the consumer, the key and the plan become the filter state
    /// `meshgate.consumer`, `meshgate.key_id` and `meshgate.plan`.
    #[serde(default)]
    pub filter_state: bool,

    /// What consumers can have bought, by name: 1 to 128 printable ASCII characters. At least one.
    #[schemars(extend("minProperties" = 1))]
    pub plans: BTreeMap<String, PlanConfig>,

    /// Who has a key. With an empty list nobody has: every guarded request gets 401.
    pub consumers: Vec<ConsumerConfig>,
}

/// Where a request may carry its key: in a header field or in a query parameter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["header"]}, {"required": ["query"]}], "dependentRequired" = {"scheme": ["header"]}))]
pub struct KeyFrom {
    /// A header field.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"x-api-key")]
    pub header: Option<String>,

    /// The authentication scheme before the key in that header: `authorization: ApiKey <key>`. The case of the scheme makes
    /// no difference. A value with another scheme is not a key and stays as it is.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"ApiKey")]
    pub scheme: Option<String>,

    /// A query parameter, by its decoded name. Keys in URLs end up in logs and histories: prefer a header.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"api_key")]
    pub query: Option<String>,
}

/// What a plan allows, and how many requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanConfig {
    /// The requests that the plan covers: one of these must match, or the answer is 403. Without this: all requests.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<Match>")]
    pub allow: Option<OneOrMany<Match>>,

    /// How many requests. A request passes if all the limits that count it have room for it; then each of them counts it. A
    /// request that is refused is counted by none. At most 16; without any, there is no limit.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub limits: Vec<LimitConfig>,
}

/// A limit: either a `rate` or a `quota`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["rate"]}, {"required": ["quota"]}], "dependentRequired" = {"burst": ["rate"]}))]
pub struct LimitConfig {
    /// What clients read in `RateLimit` headers and in the body of a 429: 1 to 128 printable ASCII characters without `"`
    /// and `\`, once in the plan. Usage belongs to the name: a limit that keeps it keeps its usage when its numbers change,
    /// or when a consumer gets another plan that has a limit of this name.
    pub name: String,

    /// So many requests per time, evenly: after the burst, `5/s` lets one through every 200 ms. A month counts as 30 days
    /// here, a year as 365.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Rate")]
    pub rate: Option<Rate>,

    /// With `rate`: how many requests may come at once. Without this: the amount of the rate.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "u64", range(min = 1))]
    pub burst: Option<u64>,

    /// So many requests in each window. Windows follow the UTC calendar: seconds, minutes, hours, days, weeks from Monday,
    /// months, years. Windows of any other length, such as `10/90s`, are counted from 1970-01-01T00:00:00Z.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Rate")]
    pub quota: Option<Rate>,

    /// The limit counts only requests that match this.
    #[serde(default, rename = "match")]
    pub counts: Match,

    /// The limit counts only requests for which this condition holds, or fails: a limit is not evaded by an error.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Condition")]
    pub when: Option<Condition>,
}

/// A consumer: who sends requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerConfig {
    /// Who it is, once in the document: 1 to 128 printable ASCII characters. The upstream gets it as `x-consumer-name`.
    /// Usage belongs to it.
    pub name: String,

    /// The name of its plan. The upstream gets it as `x-consumer-plan`.
    pub plan: String,

    /// Whether its keys are refused, with 403.
    #[serde(default)]
    pub disabled: bool,

    /// Its keys. Several are good at the same time, so that one can be replaced without a gap; all count against the same
    /// limits.
    pub keys: Vec<KeyConfig>,
}

/// A key. The key itself is nowhere in the configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// What logs and the upstream (`x-consumer-key-id`) know the key by, once in the document: 1 to 128 printable ASCII
    /// characters. Never the key or a part of it.
    pub id: String,

    /// The SHA-256 digest of the key in hexadecimal: `printf %s "$KEY" | sha256sum`.
    #[serde(deserialize_with = "digest_of_key")]
    pub sha256: Digest,
}

fn keys_from() -> OneOrMany<KeyFrom> {
    KeyFrom { header: Some("x-api-key".to_owned()), scheme: None, query: None }.into()
}

const fn yes() -> bool {
    true
}

fn realm() -> String {
    "meshgate".to_owned()
}

/// A field that is there says something: `null` is not a way to leave it out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn digest_of_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = Digest;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the SHA-256 of the key as 64 hexadecimal digits: printf %s \"$KEY\" | sha256sum")
        }

        /// What stands here by mistake may be the key itself: only its length is said.
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
            let found = || format!("a string of {} characters", text.chars().count());
            Digest::from_hex(text).ok_or_else(|| E::invalid_value(de::Unexpected::Other(&found()), &self))
        }
    }

    deserializer.deserialize_str(Visitor)
}
