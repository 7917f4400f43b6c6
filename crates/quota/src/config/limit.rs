//! What plans allow, and their limits.

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{OneOrMany, Percent, Rate};
use meshgate_policy::matching::Match;
use schemars::JsonSchema;
use serde::Deserialize;

use super::charge::{ChargeConfig, CostConfig, PerConfig};
use super::given;

/// What a plan allows, and how many requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanConfig {
    /// The requests that the plan covers: one of these must match, or the answer is 403. Without this: all requests.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<Match>")]
    pub allow: Option<OneOrMany<Match>>,

    /// How many requests. A request passes if all the limits that count it have room for it; then each of them counts it. A
    /// request that is refused is counted by none. Limits of the document, with other names, stand beside these. At most 16
    /// in all; without any, there is no limit.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub limits: Vec<LimitConfig>,
}

/// A limit: a `rate`, a `quota` or a `concurrency`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [{"required": ["rate"]}, {"required": ["quota"]}, {"required": ["concurrency"]}],
    "dependentRequired" = {"burst": ["rate"], "window": ["quota"], "time_zone": ["quota"], "anchor": ["quota"]}
))]
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

    /// So many requests in each window. Windows follow the calendar, in UTC if there is no `time_zone`: seconds, minutes,
    /// hours, days, weeks from Monday, months, years. Windows of any other length, such as `10/90s`, are counted from
    /// 1970-01-01T00:00:00Z.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Rate")]
    pub quota: Option<Rate>,

    /// So many requests at the same time: each counts until its response has ended. One that takes longer than an hour may
    /// no longer be counted.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "u64", range(min = 1))]
    pub concurrency: Option<u64>,

    /// With `quota`: whether windows follow each other (`fixed`), or any span as long as a window is one (`sliding`).
    /// Without this: fixed.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "WindowKind")]
    pub window: Option<WindowKind>,

    /// With a `quota` per day, week, month or year: the time zone in which these begin, by its name in the IANA database.
    /// Without this: UTC.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"Europe/Berlin")]
    pub time_zone: Option<String>,

    /// With a `quota` per week, month or year: the day on which these begin. Without this: Monday, the first of the month,
    /// the first of January.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "AnchorConfig")]
    pub anchor: Option<AnchorConfig>,

    /// How many requests pass beyond the limit before one is refused, as a share of it, rounded down: `10%`. Clients are not
    /// told of it. Without this: none.
    #[serde(default)]
    #[schemars(extend("default" = "0%"))]
    pub overdraft: Percent,

    /// Whether the limit refuses nothing. It counts, and what it would refuse is counted by the metric
    /// `meshgate.quota.limit.<name>.shadow_denied`; clients are told nothing of it.
    #[serde(default)]
    pub shadow: bool,

    /// The share of requests, by chance, that the limit refuses if it has no room for them. To the others it is as with
    /// `shadow`. Without this: all.
    #[serde(default = "all")]
    #[schemars(extend("default" = "100%"))]
    pub enforce: Percent,

    /// The limit counts only requests that match this.
    #[serde(default, rename = "match")]
    pub counts: Match,

    /// The limit counts only requests for which this condition holds, or fails: a limit is not evaded by an error.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Condition")]
    pub when: Option<Condition>,

    /// What it counts apart: `consumer`, `key`, `route`, `ip`, `{header: x-tenant}`, `{claim: org}`, or a list of these for each combination.
    /// Without this: each consumer.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<PerConfig>")]
    pub per: Option<OneOrMany<PerConfig>>,

    /// What a request costs. Without this: 1.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "CostConfig")]
    pub cost: Option<CostConfig>,

    /// Which requests stay counted. Without this: all.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "ChargeConfig")]
    pub charge: Option<ChargeConfig>,

    /// Whether a request that is refused, because this limit or another has no room for it, is counted all the same. A
    /// client that goes on asking is then refused for as long as it does; a rate owes at most one burst for that.
    #[serde(default)]
    pub count_rejected: bool,
}

const fn all() -> Percent {
    Percent::ALL
}

/// Limits for some requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Which requests.
    #[serde(rename = "match")]
    pub requests: Match,

    /// Their limits, which take the place of limits of the same names.
    #[schemars(length(max = 16))]
    pub limits: Vec<LimitConfig>,
}

/// How the windows of a quota follow each other.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// One begins where the other ends, and with it all of the quota comes back.
    Fixed,
    /// Any span as long as a window is one. In none of them pass more requests than the quota; a request counts for as
    /// long as the window, and for at most a tenth of it more.
    Sliding,
}

/// The day on which windows begin: `{weekday: sunday}`, `{day: 15}`, `{month: 4, day: 6}`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnchorConfig {
    /// Of a week. Without this: Monday.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Weekday")]
    pub weekday: Option<Weekday>,

    /// Of a year, 1 to 12. Without this: January.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "u8", range(min = 1, max = 12))]
    pub month: Option<u8>,

    /// Of a month, or of the month of a year, 1 to 31. In a month that is shorter, its last day. Without this: the first.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "u8", range(min = 1, max = 31))]
    pub day: Option<u8>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the days of the week")]
pub enum Weekday {
    #[default]
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}
