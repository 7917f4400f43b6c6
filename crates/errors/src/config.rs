//! The configuration document.

use std::collections::BTreeMap;

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{Duration, OneOrMany};
use meshgate_policy::grpc::GrpcStatus;
use meshgate_policy::matching::Match;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::Value;

use crate::error_match::ErrorMatch;
use crate::format::Format;
use crate::schedule::{Day, Instant, TimeOfDay};

/// What clients get instead of an error as the proxy or the upstream words it, and answers that need no upstream at all.
/// An empty document is a good one to begin with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What happens to errors (400 to 599) of the proxy that no rule is for: its router's, and other filters'. `replace`:
    /// the answer says what is wrong, as far as it concerns the client. Answers of a direct response or of Lua, and those
    /// that have a form of their own (any but `text/plain`), are left alone. `pass`: all are left alone.
    #[serde(default)]
    pub gateway_errors: GatewayErrors,

    /// What happens to errors of the upstream that no rule is for. `replace`: every 500 to 599, and every status that is
    /// none, gets a new body and keeps none but the usual header fields. `keep_problems`: but those that are problem details. `pass`: all are left alone.
    #[serde(default)]
    pub upstream_errors: UpstreamErrors,

    /// What the type of a problem begins with; its name follows: `urn:meshgate:problem:no-healthy-upstream`. Make it an
    /// address of your documentation.
    #[serde(default = "type_base")]
    pub type_base: String,

    /// The forms of an answer, the one to prefer first: clients choose by `Accept`, and get the first where they take none
    /// or say nothing.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<Format>")]
    #[schemars(extend("default" = ["problem", "json", "xml", "html", "text"]))]
    pub formats: Option<OneOrMany<Format>>,

    /// What each answer says of the request, besides what went wrong. May be empty.
    #[serde(default = "include")]
    pub include: Vec<Included>,

    /// The request header that has the request's id.
    #[serde(default = "request_id_header")]
    pub request_id_header: String,

    /// Header fields that routes and virtual hosts add to responses (`response_headers_to_add`, in Istio `headers.response`).
    /// Envoy adds them to the answer once more, so they are not kept from the response.
    #[serde(default)]
    pub route_headers: Vec<String>,

    /// Which replaced errors get a line in the proxy's log, with the request's id, and with all that the client is not told.
    #[serde(default)]
    pub log: LogErrors,

    /// The rules, in order: the first that holds decides.
    #[serde(default)]
    pub rules: Vec<RuleConfig>,

    /// Answers that need no upstream, in order: the first that holds answers.
    #[serde(default)]
    pub direct: Vec<DirectConfig>,

    /// When requests are turned away. Comes before `direct`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<MaintenanceConfig>")]
    pub maintenance: Option<OneOrMany<MaintenanceConfig>>,
}

/// What happens to errors of the proxy.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum GatewayErrors {
    /// They are replaced.
    #[default]
    Replace,
    /// They are left alone.
    Pass,
}

/// What happens to errors of the upstream.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamErrors {
    /// 500 to 599 are replaced.
    #[default]
    Replace,
    /// So they are, but for problem details.
    KeepProblems,
    /// They are left alone.
    Pass,
}

/// What an answer says of the request.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Included {
    /// The value of `request_id_header`.
    RequestId,
    /// The trace id of `traceparent` (W3C Trace Context).
    TraceId,
    /// The time of the answer (RFC 3339).
    Timestamp,
}

/// Which replaced errors are logged.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum LogErrors {
    /// Those that were 500 to 599.
    #[default]
    ServerErrors,
    /// All.
    All,
    /// None.
    None,
}

/// A rule: which responses, and what becomes of them. Either `respond` or `pass`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["respond"]}, {"required": ["pass"]}]))]
pub struct RuleConfig {
    /// Which responses. Without this: every error, 400 to 599.
    #[serde(default, rename = "match")]
    pub matches: ErrorMatch,

    /// The rule holds only where this condition does.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Condition")]
    pub when: Option<Condition>,

    /// The client gets this instead. What is left out is as without a rule: `{}` replaces an error that would be left alone.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "RespondConfig")]
    pub respond: Option<RespondConfig>,

    /// `true`: the response passes as it is.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "bool")]
    pub pass: Option<bool>,
}

/// What a client gets. Texts are templates: `{{ request.path }}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RespondConfig {
    /// The status, 200 to 599. Without this: the one that the response has.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "u16", range(min = 200, max = 599))]
    pub status: Option<u16>,

    /// The problem type, a URI; a name alone is put behind `type_base`.
    #[serde(default, rename = "type", deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"out-of-credit")]
    pub kind: Option<String>,

    /// What kind of problem it is, in a few words.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub title: Option<String>,

    /// What went wrong this time, and what to do about it. Also the message for gRPC clients.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub detail: Option<String>,

    /// A URI of this occurrence.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"/errors/{{ uuid() }}")]
    pub instance: Option<String>,

    /// More members, by name: a letter, then letters, digits and `_`. A text is a template, and keeps its type where it is
    /// one expression; anything else is written as it is.
    #[serde(default)]
    pub members: BTreeMap<String, Value>,

    /// Bodies by form, in place of the usual ones: templates, in which `body` is the problem with its members.
    #[serde(default)]
    pub body: BTreeMap<Format, String>,

    /// The forms to choose from, in place of those of the document.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<Format>")]
    pub formats: Option<OneOrMany<Format>>,

    /// When to try again: the field `retry-after`, in whole seconds. Without this, one that is there stays, and none is
    /// made up.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Duration")]
    pub retry_after: Option<Duration>,

    /// The field `cache-control`. Without this: `no-store`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"max-age=60")]
    pub cache_control: Option<String>,

    /// What a gRPC client gets. Without this: what stands for the status.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "GrpcStatus")]
    pub grpc_status: Option<GrpcStatus>,

    /// Header fields of the answer.
    #[serde(default)]
    pub headers: HeadersConfig,
}

/// Header fields of an answer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadersConfig {
    /// Fields to set, by name: templates.
    #[serde(default)]
    pub set: BTreeMap<String, String>,

    /// Fields of the response that are not to be kept.
    #[serde(default)]
    pub remove: Vec<String>,

    /// Fields of an upstream's response to keep besides the usual ones.
    #[serde(default)]
    pub keep: Vec<String>,
}

/// An answer that needs no upstream: one of `respond`, `redirect` and `error`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["respond"]}, {"required": ["redirect"]}, {"required": ["error"]}]))]
pub struct DirectConfig {
    /// Which requests. Without this: all.
    #[serde(default, rename = "match")]
    pub matches: Match,

    /// It answers only where this condition holds.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Condition")]
    pub when: Option<Condition>,

    /// An answer as it is written here.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "StaticConfig")]
    pub respond: Option<StaticConfig>,

    /// Another address.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "RedirectConfig")]
    pub redirect: Option<RedirectConfig>,

    /// A problem, in the form that the client takes. Needs a `status`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "RespondConfig")]
    pub error: Option<RespondConfig>,
}

/// An answer as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticConfig {
    /// The status, 200 to 599.
    #[serde(default = "ok")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,

    /// The media type of the body; it decides how values of the template are escaped.
    #[serde(default = "text_plain")]
    pub content_type: String,

    /// The body: a template.
    #[serde(default)]
    pub body: String,

    /// Header fields, by name: templates.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Another address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedirectConfig {
    /// Where to: a path, or an address with scheme and host. A template, whose values can't change scheme and host.
    #[schemars(extend("examples" = ["https://www.example.com", "/v2/users/{{ path.id }}"]))]
    pub to: String,

    /// Whether the path of the request is put behind its path.
    #[serde(default)]
    pub keep_path: bool,

    /// Whether the query of the request is put behind its query, before its fragment.
    #[serde(default)]
    pub keep_query: bool,

    /// 301, 302, 303, 307 or 308.
    #[serde(default = "found")]
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub status: u16,
}

/// When requests are turned away, and which. Without any field: always, and all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceConfig {
    /// Which requests. Without this: all.
    #[serde(default, rename = "match")]
    pub matches: Match,

    /// Requests that pass all the same: one of these must match.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<Match>")]
    pub allow: Option<OneOrMany<Match>>,

    /// Clients that pass all the same, by the address that the proxy takes for theirs: addresses, or networks such as
    /// `10.0.0.0/8`.
    #[serde(default)]
    pub allow_sources: Vec<String>,

    /// When it begins (RFC 3339). Without this: it has begun.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Instant")]
    pub from: Option<Instant>,

    /// When it ends (RFC 3339). Without this: it does not.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Instant")]
    pub until: Option<Instant>,

    /// Between those, only at these times of a week.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<WeeklyConfig>")]
    pub weekly: Option<OneOrMany<WeeklyConfig>>,

    /// What clients get. Without this: 503, and `retry-after` from the time that it ends.
    #[serde(default)]
    pub respond: RespondConfig,
}

/// Times of a week, in UTC.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeeklyConfig {
    /// The days on which it begins. Without this: every day.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<Day>")]
    pub days: Option<OneOrMany<Day>>,

    /// The time at which it begins.
    pub from: TimeOfDay,

    /// The time at which it ends; the next day, if that is not after `from`.
    pub until: TimeOfDay,
}

fn type_base() -> String {
    "urn:meshgate:problem:".to_owned()
}

fn include() -> Vec<Included> {
    vec![Included::RequestId, Included::TraceId, Included::Timestamp]
}

fn request_id_header() -> String {
    "x-request-id".to_owned()
}

const fn ok() -> u16 {
    200
}

const fn found() -> u16 {
    302
}

fn text_plain() -> String {
    "text/plain; charset=utf-8".to_owned()
}

/// A field that is there says something: `null` is not a way to leave it out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
