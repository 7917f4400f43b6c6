//! The configuration document.

mod access;
mod answer;
mod charge;
mod consumer;
mod credential;
mod key_file;
mod limit;
mod token;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use meshgate_policy::config::OneOrMany;
use meshgate_policy::matching::Match;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

pub use self::access::{AccessConfig, Preflight, WhoConfig};
pub use self::answer::{AnswerConfig, HeaderForm, NearLimitConfig, OverLimitConfig, UsageEndpointConfig};
pub use self::charge::{
    ChargeConfig, ClientIpConfig, CostConfig, CostSource, FailedAuthConfig, MAX_COST, PerConfig, TableConfig,
    WhenFull,
};
pub use self::consumer::{AnonymousConfig, ConsumerConfig, KeyConfig, Time};
pub use self::credential::{KeyFormatConfig, KeyFrom, PepperConfig};
pub use self::key_file::{KeyFileConfig, KeyFileIdentityConfig, KeyLine};
pub use self::limit::{AnchorConfig, LimitConfig, PlanConfig, RouteConfig, WindowKind};
pub use self::token::{
    IntrospectionConfig, JwksFromConfig, KeySetConfig, OnIntrospectionError, RequireConfig, TokenConfig,
    TokenIdentityConfig,
};

/// API keys, and what each consumer may do with them: who it is, which requests its plan allows, and how many of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The requests that need a key. All others pass without one, with no more change than that keys, and headers which would
    /// name a consumer (`x-consumer-...`), are removed. Without this: all requests.
    #[serde(default, rename = "match")]
    pub guards: Match,

    /// Where a request may carry its key. A request with more than one, in all of these places together, is refused.
    #[serde(default = "credential::keys_from")]
    #[schemars(extend("default" = [{"header": "x-api-key"}]))]
    pub keys_from: OneOrMany<KeyFrom>,

    /// Whether the upstream is kept from seeing the key: header fields, query parameters, cookies and trailers that carry it
    /// are removed.
    #[serde(default = "yes")]
    pub hide_credentials: bool,

    /// What the key is for, in the challenge of a 401: `www-authenticate: ApiKey realm="meshgate"`. Printable ASCII
    /// without `"` and `\`, at most 128 characters.
    #[serde(default = "realm")]
    pub realm: String,

    /// Whether access logs can read who sent a request and where they stand: the filter state `meshgate.consumer`,
    /// `meshgate.key_id` (of a token: that of the key which has signed it), `meshgate.plan`, `meshgate.limit` (the limit that
    /// refused) and `meshgate.remaining` (of the tightest limit).
    #[serde(default)]
    pub filter_state: bool,

    /// In which form responses tell clients of their limits.
    #[serde(default = "answer::headers")]
    #[schemars(extend("default" = "ratelimit"))]
    pub headers: OneOrMany<HeaderForm>,

    /// The answer to a request for which a limit has no room.
    #[serde(default)]
    pub over_limit: OverLimitConfig,

    /// The answer to a request whose sender is not known, or whose credential is not good (401).
    #[serde(default)]
    pub unauthorized: AnswerConfig,

    /// The answer to a request of somebody who may not send it (403).
    #[serde(default)]
    pub forbidden: AnswerConfig,

    /// A header field that warns clients before a limit is reached.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "NearLimitConfig")]
    pub near_limit: Option<NearLimitConfig>,

    /// A path that the filter answers itself: authenticated callers read their plan there, and what they have used of each
    /// limit. That counts against no limit.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "UsageEndpointConfig")]
    pub usage_endpoint: Option<UsageEndpointConfig>,

    /// Limits for everybody. A limit of the same name of a plan, a consumer, a key or a route takes the place of one of these.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub limits: Vec<LimitConfig>,

    /// Limits for some requests: the first entry that a request matches counts, and its limits take the place of those of the
    /// same names of the key, the consumer, the plan and the document.
    #[serde(default)]
    pub routes: Vec<RouteConfig>,

    /// What consumers can have bought, by name: 1 to 128 printable ASCII characters. At least one.
    #[schemars(extend("minProperties" = 1))]
    pub plans: BTreeMap<String, PlanConfig>,

    /// Who has a key. With an empty list nobody has: every guarded request gets 401.
    #[serde(deserialize_with = "whole_list")]
    pub consumers: Vec<ConsumerConfig>,

    /// Files of keys that are fetched, beside those of `consumers`: for more than a document holds, and for keys that change more
    /// often.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub key_files: Vec<KeyFileConfig>,

    /// Who sends requests without a credential. Without this they get 401. A request with a wrong credential is refused in
    /// any case.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "AnonymousConfig")]
    pub anonymous: Option<AnonymousConfig>,

    /// Who may send which requests. The first rule that is for a request decides; where there is none, every consumer may.
    /// Who may not gets 403.
    #[serde(default)]
    pub access: Vec<AccessConfig>,

    /// What happens to CORS preflight requests: `OPTIONS` with `origin` and `access-control-request-method`, without a body.
    #[serde(default)]
    pub preflight: Preflight,

    /// The form of all keys, if they have one that can be checked. What has another form is refused before it is looked up.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "KeyFormatConfig")]
    pub key_format: Option<KeyFormatConfig>,

    /// Where the address of a client is, for limits that count `per: ip` and for `failed_auth`.
    #[serde(default)]
    pub client_ip: ClientIpConfig,

    /// How often a client may send credentials that are nobody's, by its address. Once it has, it gets 429 before its
    /// credentials are looked at. Without this: as often as it likes.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "FailedAuthConfig")]
    pub failed_auth: Option<FailedAuthConfig>,

    /// The memory for what is not counted for a consumer of the configuration, but for one of very many.
    #[serde(default)]
    pub table: TableConfig,

    /// The secret that `hmac_sha256` digests of keys are made with.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "PepperConfig")]
    pub pepper: Option<PepperConfig>,

    /// Whose tokens requests may carry in the place of a key. A request with a token and a key is refused.
    #[serde(default)]
    pub tokens: Vec<TokenConfig>,

    /// Where to ask about tokens that none of `tokens` has issued.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "IntrospectionConfig")]
    pub introspection: Option<IntrospectionConfig>,
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

/// A list that may be very long, in as much memory as it needs: the document is read already, so its length can be believed.
/// serde's own lists grow to twice that, which a VM never gives back.
fn whole_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Whole<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Whole<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a sequence")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::with_capacity(list.size_hint().unwrap_or_default());
            while let Some(item) = list.next_element()? {
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Whole(PhantomData))
}
