//! Metrics: counters `meshgate.quota.<event>`, and `meshgate.quota.limit.<name>.<event>` for each limit of the configuration,
//! `meshgate.quota.plan.<name>.<event>` for each plan.

use std::collections::BTreeMap;
use std::rc::Rc;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Host, Metric, MetricKind, Setup};
use meshgate_policy::metrics::{Counted, Counters};

use crate::plan::Plan;
use crate::table::Kind;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request with a key passed.
    Allowed,
    /// A request passed that needs no key.
    Unguarded,
    /// A CORS preflight request passed.
    Preflight,
    /// The usage endpoint was asked.
    Usage,
    /// No key.
    KeyMissing,
    /// A key that nobody has.
    KeyInvalid,
    /// More than one key.
    KeyRepeated,
    /// A key that has not the form of keys.
    KeyMalformed,
    /// The key is disabled.
    KeyDisabled,
    /// The key is not good any more.
    KeyExpired,
    /// The key is not good yet.
    KeyNotYetValid,
    /// A key could not be looked for: those of a source are not there yet.
    KeyUnchecked,
    /// The consumer is disabled.
    ConsumerDisabled,
    /// A rule says that the consumer may not.
    AccessDenied,
    /// The plan does not cover the request.
    PlanForbids,
    /// Over a limit.
    Limit,
    /// A header that would name a consumer and can't be removed.
    HeaderInvalid,
    /// A path that the upstream may resolve to another one.
    PathAmbiguous,
    /// What may be on another route for the upstream.
    RequestAmbiguous,
    /// What a request says of its cost can't be understood.
    CostInvalid,
    /// A client has failed to authenticate too often.
    FailedAuthLimited,
    /// A token is none in form.
    TokenMalformed,
    /// The issuer or the key of a token is not known.
    TokenKeyUnknown,
    /// The signature of a token is wrong.
    TokenSignature,
    /// A token is not good any more.
    TokenExpired,
    /// A token is not good yet.
    TokenNotYetValid,
    /// A token is for others, or lacks what is required.
    TokenClaims,
    /// The authorization server says that a token is not good.
    TokenInactive,
    /// A token does not reach so far.
    TokenScope,
    /// A token names no consumer, or no plan.
    TokenConsumer,
    /// A token could not be checked.
    TokenUnchecked,
    /// A token was not asked about, since its client has too many others that are.
    TokenThrottled,
    /// A token was good that had been checked before.
    TokenCached,
    /// The signature of a token was bad, as when it was checked before.
    TokenCachedBad,
    /// The proxy's own crypto checked a signature.
    VerifiedByHost,
    /// The module checked a signature.
    VerifiedByModule,
    /// Keys of an issuer were fetched.
    JwksFetched,
    /// Keys of an issuer could not be fetched.
    JwksFailed,
    /// A file of keys was fetched.
    KeysFetched,
    /// It has not changed since it was fetched.
    KeysUnchanged,
    /// It could not be fetched, or was not right.
    KeysFailed,
    /// An authorization server was asked about a token.
    IntrospectionAsked,
    /// It gave no answer that can be read.
    IntrospectionFailed,
    /// It was not asked: it has failed, or too many questions are under way.
    IntrospectionNotAsked,
    /// A response did not tell what its request cost.
    CostUnknown,
    /// The proxy refused what was asked of it, or the usage changed too often to be written.
    Error,
    /// Another worker wrote the usage first; it was read again.
    CasConflict,
    /// There was no room in a table for another.
    TableFull,
    /// In the table of consumers a usage had to make room for another, although it had not run out.
    ConsumersEviction,
    /// In a table of limits.
    LimitsEviction,
    /// In the table of failures.
    FailuresEviction,
}

impl Event {
    /// The last part of its name: `allowed`, `key_missing`.
    pub fn short_name(self) -> &'static str {
        let name = Self::NAMES.get(self.index()).copied().unwrap_or_default();
        name.rsplit('.').next().unwrap_or_default()
    }

    /// A usage had to make room for another in such a table.
    pub const fn eviction(kind: Kind) -> Self {
        match kind {
            Kind::Consumers => Self::ConsumersEviction,
            Kind::Limits => Self::LimitsEviction,
            Kind::Failures => Self::FailuresEviction,
        }
    }
}

impl Counted for Event {
    /// In the order of the variants.
    const NAMES: &'static [&'static str] = &[
        "meshgate.quota.allowed",
        "meshgate.quota.unguarded",
        "meshgate.quota.preflight",
        "meshgate.quota.usage_requests",
        "meshgate.quota.denied.key_missing",
        "meshgate.quota.denied.key_invalid",
        "meshgate.quota.denied.key_repeated",
        "meshgate.quota.denied.key_malformed",
        "meshgate.quota.denied.key_disabled",
        "meshgate.quota.denied.key_expired",
        "meshgate.quota.denied.key_not_yet_valid",
        "meshgate.quota.denied.key_unchecked",
        "meshgate.quota.denied.consumer_disabled",
        "meshgate.quota.denied.access_denied",
        "meshgate.quota.denied.plan_forbids",
        "meshgate.quota.denied.limit",
        "meshgate.quota.denied.header_invalid",
        "meshgate.quota.denied.path_ambiguous",
        "meshgate.quota.denied.request_ambiguous",
        "meshgate.quota.denied.cost_invalid",
        "meshgate.quota.denied.failed_auth_limited",
        "meshgate.quota.denied.token_malformed",
        "meshgate.quota.denied.token_key_unknown",
        "meshgate.quota.denied.token_signature",
        "meshgate.quota.denied.token_expired",
        "meshgate.quota.denied.token_not_yet_valid",
        "meshgate.quota.denied.token_claims",
        "meshgate.quota.denied.token_inactive",
        "meshgate.quota.denied.token_scope",
        "meshgate.quota.denied.token_consumer",
        "meshgate.quota.denied.token_unchecked",
        "meshgate.quota.denied.token_throttled",
        "meshgate.quota.tokens.cached",
        "meshgate.quota.tokens.cached_bad",
        "meshgate.quota.tokens.verified_by_host",
        "meshgate.quota.tokens.verified_by_module",
        "meshgate.quota.jwks.fetched",
        "meshgate.quota.jwks.failed",
        "meshgate.quota.keys.fetched",
        "meshgate.quota.keys.unchanged",
        "meshgate.quota.keys.failed",
        "meshgate.quota.introspection.asked",
        "meshgate.quota.introspection.failed",
        "meshgate.quota.introspection.not_asked",
        "meshgate.quota.cost_unknown",
        "meshgate.quota.errors",
        "meshgate.quota.cas_conflicts",
        "meshgate.quota.denied.table_full",
        "meshgate.quota.table.consumers.evictions",
        "meshgate.quota.table.limits.evictions",
        "meshgate.quota.table.failures.evictions",
    ];

    fn index(self) -> usize {
        self as usize
    }
}

/// What goes up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// How many have their usage in tables of this kind.
    TableEntries(Kind),
    /// For how many there is room.
    TableCapacity(Kind),
}

/// In the order of [`Level`] and [`Kind`].
const LEVEL_NAMES: &[&str] = &[
    "meshgate.quota.table.consumers.entries",
    "meshgate.quota.table.limits.entries",
    "meshgate.quota.table.failures.entries",
    "meshgate.quota.table.consumers.capacity",
    "meshgate.quota.table.limits.capacity",
    "meshgate.quota.table.failures.capacity",
];

impl Level {
    const fn index(self) -> usize {
        match self {
            Self::TableEntries(kind) => kind as usize,
            Self::TableCapacity(Kind::Consumers) => 3,
            Self::TableCapacity(Kind::Limits) => 4,
            Self::TableCapacity(Kind::Failures) => 5,
        }
    }
}

/// When the keys of an issuer were fetched, as a gauge. Seconds since 1970-01-01T00:00:00Z: the age of keys grows also while
/// nothing is fetched, and no request comes.
pub const FETCHED_AT: &str = "fetched_at";

/// What is counted of each limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitEvent {
    /// It refused a request.
    Denied,
    /// It would have refused a request, but is not enforced.
    ShadowDenied,
    /// A request came so near to it that the client was warned.
    Near,
}

/// In the order of [`LimitEvent`].
pub const LIMIT_NAMES: [&str; 3] = ["denied", "shadow_denied", "near"];

/// What is counted of each plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanEvent {
    /// A request of somebody with this plan passed.
    Allowed,
    /// A request of somebody with this plan was refused, for whatever reason.
    Denied,
}

/// In the order of [`PlanEvent`].
const PLAN_NAMES: [&str; 2] = ["allowed", "denied"];

/// For so many names of limits there are counters, and for so many of plans. Names of others, of which somebody must have made
/// very many, are not counted apart: metrics are never freed.
const MAX_NAMES: usize = 1_000;

/// The metrics, as the proxy knows them.
#[derive(Debug)]
pub struct Metrics {
    events: Counters<Event>,
    levels: [Metric; LEVEL_NAMES.len()],
    limits: BTreeMap<Box<str>, [Metric; LIMIT_NAMES.len()]>,
    plans: BTreeMap<Box<[u8]>, [Metric; PLAN_NAMES.len()]>,
}

impl Metrics {
    /// Defines them. `plans` are all that there are; their names, and those of their limits, may be there more than once.
    ///
    /// # Errors
    /// A [`ConfigError`] if the proxy refuses.
    pub fn define<'a>(
        setup: &mut dyn Setup,
        plans: impl Iterator<Item = &'a Rc<Plan>>,
    ) -> Result<Self, ConfigError> {
        let mut metrics = Self {
            events: Counters::define(setup)?,
            levels: define(setup, MetricKind::Gauge, LEVEL_NAMES)?,
            limits: BTreeMap::new(),
            plans: BTreeMap::new(),
        };
        for plan in plans {
            let name = plan.name.as_bytes();
            if metrics.plans.len() < MAX_NAMES && !metrics.plans.contains_key(name) {
                let defined = named(setup, "plan", &String::from_utf8_lossy(name), PLAN_NAMES)?;
                metrics.plans.insert(name.into(), defined);
            }
            for name in plan.limit_names() {
                if metrics.limits.len() < MAX_NAMES && !metrics.limits.contains_key(name) {
                    metrics.limits.insert(name.into(), named(setup, "limit", name, LIMIT_NAMES)?);
                }
            }
        }
        Ok(metrics)
    }

    /// Counts an event.
    pub fn count(&self, host: &mut dyn Host, event: Event) {
        self.events.count(host, event);
    }

    /// Moves a level by a difference.
    pub fn shift(&self, host: &mut dyn Host, level: Level, by: i64) {
        if let Some(metric) = self.levels.get(level.index()).filter(|_| by != 0) {
            host.add(*metric, by);
        }
    }

    /// As [`Metrics::shift`], while a configuration is compiled.
    pub fn shift_at_setup(&self, setup: &mut dyn Setup, level: Level, by: i64) {
        if let Some(metric) = self.levels.get(level.index()).filter(|_| by != 0) {
            setup.add(*metric, by);
        }
    }

    /// Counts an event of a limit.
    pub fn count_limit(&self, host: &mut dyn Host, name: &str, event: LimitEvent) {
        let metrics = self.limits.get(name);
        if let Some(metric) = metrics.and_then(|metrics| metrics.get(event as usize)) {
            host.add(*metric, 1);
        }
    }

    /// Counts an event of a plan.
    pub fn count_plan(&self, host: &mut dyn Host, plan: &Plan, event: PlanEvent) {
        let metrics = self.plans.get(plan.name.as_bytes());
        if let Some(metric) = metrics.and_then(|metrics| metrics.get(event as usize)) {
            host.add(*metric, 1);
        }
    }
}

/// Defines the counters of a limit or a plan: `meshgate.quota.<what>.<name>.<event>`.
fn named<const N: usize>(
    setup: &mut dyn Setup,
    what: &str,
    name: &str,
    events: [&str; N],
) -> Result<[Metric; N], ConfigError> {
    let prefix = format!("meshgate.quota.{what}.{}", sanitized(name));
    let names = events.map(|event| format!("{prefix}.{event}"));
    define(setup, MetricKind::Counter, &names.each_ref().map(String::as_str))
}

/// Defines the gauge that tells when the keys of an issuer were fetched.
///
/// # Errors
/// A [`ConfigError`] if the proxy refuses.
pub fn fetched_at(setup: &mut dyn Setup, issuer: &str) -> Result<Metric, ConfigError> {
    let name = format!("meshgate.quota.jwks.{}.{FETCHED_AT}", sanitized(issuer));
    let [gauge] = define(setup, MetricKind::Gauge, &[&name])?;
    Ok(gauge)
}

/// Defines the gauges of a file of keys: when it was last known to be as it is, and how many keys there are.
///
/// # Errors
/// A [`ConfigError`] if the proxy refuses.
pub fn of_key_file(setup: &mut dyn Setup, name: &str) -> Result<[Metric; 2], ConfigError> {
    let prefix = format!("meshgate.quota.keys.{}", sanitized(name));
    let names = [FETCHED_AT, "loaded"].map(|what| format!("{prefix}.{what}"));
    define(setup, MetricKind::Gauge, &names.each_ref().map(String::as_str))
}

fn define<const N: usize>(
    setup: &mut dyn Setup,
    kind: MetricKind,
    names: &[&str],
) -> Result<[Metric; N], ConfigError> {
    let mut metrics = [Metric(0); N];
    for (metric, name) in metrics.iter_mut().zip(names) {
        *metric = setup.metric(kind, name).map_err(|error| {
            ConfigError::at(Path::root()).problem(format!("the metric {name} can't be defined: {error}"))
        })?;
    }
    Ok(metrics)
}

/// A name as a part of the name of a metric: what is not a letter, a digit, `-` or `_` becomes `_`. So the parts stay apart,
/// and limits whose names differ in nothing else are counted together.
fn sanitized(name: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    name.chars().map(|char| if plain(char) { char } else { '_' }).collect()
}
