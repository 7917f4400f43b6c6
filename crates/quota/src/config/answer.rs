//! What clients are told: header fields about limits, and the answer to a request that is over one.

use std::collections::BTreeMap;

use meshgate_policy::config::{Duration, OneOrMany, Percent};
use schemars::JsonSchema;
use serde::Deserialize;

use super::given;

/// A form of header fields about limits.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum HeaderForm {
    /// `RateLimit-Policy` and `RateLimit`, as the IETF's draft 10 has them.
    Ratelimit,
    /// `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` of the tightest limit, and
    /// `X-RateLimit-Limit-Minute` and `X-RateLimit-Remaining-Minute` of each, by its period: as Kong does.
    Kong,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, as Envoy's own filters do (draft 03).
    Envoy,
    /// None.
    None,
}

/// A header field that tells clients how much of their limits they have used, from some share on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NearLimitConfig {
    /// The name of the field.
    #[serde(default = "near_limit_header")]
    pub header: String,

    /// From which shares on, above 0%. The field has the highest that was reached of each limit: `"monthly";at=80`.
    pub at: OneOrMany<Percent>,
}

/// The answer to a request for which a limit has no room. Without `body` it is a problem (RFC 9457).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("dependentRequired" = {"content_type": ["body"]}))]
pub struct OverLimitConfig {
    /// The status, 400 to 599. gRPC clients get `RESOURCE_EXHAUSTED`, whatever stands here.
    #[serde(default = "too_many_requests")]
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,

    /// The body: a template. It sees `request`, `consumer` and `now`; the head of this answer as `response`; and as `body` the
    /// problem in whose place it stands. Where it has no result, the problem stays.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub body: Option<String>,

    /// The media type of the body, `text/plain` if this is left out. It decides how values of the template are escaped.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"application/json")]
    pub content_type: Option<String>,

    /// More header fields, by name: templates.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,

    /// What `Retry-After` says where nobody knows when there will be room: no limit but a `concurrency` has none. Without this,
    /// `Retry-After` is left out then. Whole seconds.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Duration")]
    pub retry_after: Option<Duration>,

    /// At most so much is added to `Retry-After`, by chance, so that clients do not all come back at once. Whole seconds.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Duration")]
    pub retry_after_jitter: Option<Duration>,
}

/// The form of an answer to a request that is refused. Without `body` it is a problem (RFC 9457).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("dependentRequired" = {"content_type": ["body"]}))]
pub struct AnswerConfig {
    /// The status, 400 to 599. gRPC clients get the status of gRPC that they get without this.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "u16", range(min = 400, max = 599))]
    pub status: Option<u16>,

    /// The body: a template. It sees `request`, `consumer` where it is known, and `now`; the head of this answer as `response`;
    /// and as `body` the problem in whose place it stands. Where it has no result, the problem stays.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub body: Option<String>,

    /// The media type of the body, `text/plain` if this is left out. It decides how values of the template are escaped.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"application/json")]
    pub content_type: Option<String>,

    /// More header fields, by name: templates. `www-authenticate` stays as it is.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// A path at which callers read what they have used.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageEndpointConfig {
    /// The path, without a query. No request to it reaches the upstream, but for CORS preflight requests where these pass.
    #[schemars(example = &"/.well-known/usage", regex(pattern = "^/"))]
    pub path: String,
}

impl Default for OverLimitConfig {
    fn default() -> Self {
        Self {
            status: too_many_requests(),
            body: None,
            content_type: None,
            headers: BTreeMap::new(),
            retry_after: None,
            retry_after_jitter: None,
        }
    }
}

/// The form if nothing is said.
pub fn headers() -> OneOrMany<HeaderForm> {
    HeaderForm::Ratelimit.into()
}

const fn too_many_requests() -> u16 {
    429
}

fn near_limit_header() -> String {
    "x-ratelimit-near".to_owned()
}
