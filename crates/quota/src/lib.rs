//! API keys, plans and limits as a Meshgate policy.
//!
//! A request carries a key; the key belongs to a consumer; the consumer has bought a plan; the plan has limits. All that
//! is decided before the request goes on, from its head alone:
//!
//! 1. Where a key may be is looked at in every place and every value (`credential`). One key, no more, is looked up by
//!    its SHA-256 (`digest`, `consumer`): the keys themselves are nowhere. In the place of a key it may carry a token
//!    (`token`), whose signature or whose authorization server says who it is.
//! 2. The plan says whether it covers the request, and which of its limits count it (`plan`).
//! 3. All the limits of a consumer live in one value that the workers of the proxy share (`state`). One read and one
//!    compare-and-swap decide: either all limits count the request, or it is refused and none does. So the count is
//!    exact, over all workers. What is counted apart in another way (`scope`) is in tables of fixed size (`table`, `slot`); a
//!    request that is counted in several places (`accounts`) is counted in all of them or in none (`charge`).
//! 4. The upstream gets the request without the key, and is told who sent it (`identity`). The client gets `RateLimit`
//!    headers, or an `answer` that says what to do.
//! 5. What a request costs may be known only when its response has begun, or passed (`cost`, `meter`, `events`): then what was
//!    counted is put right, and what was in flight has ended (`settle`).
//!
//! How a limit counts is in `limit`: the generic cell rate algorithm, fixed windows of calendars, sliding windows, and what
//! is in flight. `rule` makes that of a configuration, and `levels` says which of the limits that stand at different places
//! count.

mod access;
mod accounts;
mod answer;
mod charge;
mod config;
mod consumer;
mod cost;
mod credential;
mod custom_answer;
mod events;
mod exchange;
mod failed_auth;
mod identity;
mod key_file;
mod key_format;
mod keys;
mod levels;
mod limit;
mod meter;
mod metrics;
mod names;
mod over_limit;
mod pepper;
mod plan;
mod presented;
mod rate_limit;
mod request;
mod rule;
mod scope;
mod settle;
mod slot;
mod state;
mod table;
mod token;
mod told;
mod usage;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::config::{ConfigError, Options, Path};
use meshgate_policy::host::{Host, Setup};
use meshgate_policy::matching::Match;
use meshgate_policy::policy::{Phases, Policy};

use self::access::Access;
use self::answer::Answers;
pub use self::config::{
    AccessConfig, AnonymousConfig, Config, ConsumerConfig, KeyConfig, KeyFileConfig, KeyFileIdentityConfig,
    KeyFormatConfig, KeyFrom, LimitConfig, PepperConfig, PlanConfig, Preflight, RouteConfig, Time, WhoConfig,
};
use self::consumer::{Consumers, escaped};
use self::credential::Locations;
pub use self::exchange::QuotaExchange;
use self::failed_auth::FailedAuth;
pub use self::identity::{Unremovable, forged};
use self::key_file::KeyFiles;
pub use self::key_format::KeyFormat;
use self::levels::Levels;
use self::metrics::Metrics;
use self::over_limit::OverLimit;
pub use self::pepper::Pepper;
use self::plan::Plan;
use self::rate_limit::Telling;
use self::scope::ClientIp;
use self::table::{Needed, Tables};
use self::token::Tokens;
use self::usage::UsageEndpoint;

/// The policy, compiled.
#[derive(Debug)]
pub struct Quota {
    guards: Match,
    /// Some rule looks at the path: those that may be another for the upstream are refused.
    decides_by_path: bool,
    locations: Locations,
    hide_credentials: bool,
    filter_state: bool,
    preflight: Preflight,
    key_format: Option<KeyFormat>,
    consumers: Consumers,
    access: Access,
    answers: Answers,
    over_limit: OverLimit,
    usage_endpoint: Option<UsageEndpoint>,
    telling: Telling,
    client_ip: ClientIp,
    failed_auth: Option<FailedAuth>,
    /// `None`: nothing is counted there.
    tables: Option<Tables>,
    metrics: Rc<Metrics>,
    tokens: Option<Tokens>,
    /// `None`: all keys are in the document.
    key_files: Option<KeyFiles>,
    /// An unreadable usage has been logged: once is enough.
    warned: Cell<bool>,
}

impl Policy for Quota {
    const NAME: &'static str = "quota";
    // A request waits in its head for what its token needs; a response tells what its request cost, or that it has ended.
    const PHASES: Phases = Phases { log: false, ..Phases::ALL };
    const OPTIONS: Options<'static> = Options {
        sensitive: &["keys"],
        examples: &[
            ("plans", "plans: {free: {limits: [{name: burst, rate: 5/s}]}}"),
            ("consumers", "consumers: [{name: acme, plan: free, keys: []}]"),
            ("plan", "plan: free"),
            ("keys", "keys: [{id: acme-1, sha256: ...}]"),
            ("consumer", "consumer: acme"),
            ("id", "id: acme-1"),
            ("identity", "identity: {plan: free}"),
            ("name", "name: my-name"),
            ("sha256", "sha256: the output of printf %s \"$KEY\" | sha256sum"),
            ("at", "at: 80%"),
            ("audiences", "audiences: [my-api]"),
            ("claim", "claim: email_verified"),
            ("client", "client: {id: my-id, secret_env: MY_SECRET}"),
            ("cluster", "cluster: my-cluster"),
            ("env", "env: MESHGATE_PEPPER"),
            ("header", "header: x-tenant"),
            ("issuer", "issuer: https://idp.example.com"),
            ("limits", "limits: [{name: burst, rate: 5/s}]"),
            ("match", "match: {path: /v1/reports}"),
            ("path", "path: /its/path"),
            ("prefix", "prefix: mg"),
            ("rate", "rate: 10/m"),
            ("secret_env", "secret_env: MY_SECRET"),
        ],
        // Limits of a key have nothing of it in them.
        open: &["limits"],
        documents: &[],
    };

    type Config = Config;
    type Exchange = QuotaExchange;

    fn compile(config: Config, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let root = Path::root();
        plan::needs_no_response(&config.guards, &root.key("match"))?;
        let takes_tokens = !config.tokens.is_empty() || config.introspection.is_some();
        let locations = Locations::compile(config.keys_from, takes_tokens)?;
        let answers = Answers::compile(locations.describe(), &config.realm, takes_tokens)?
            .in_forms(config.unauthorized, config.forbidden)?;
        let usage_endpoint = config.usage_endpoint.as_ref().map(UsageEndpoint::compile).transpose()?;
        let over_limit = OverLimit::compile(config.over_limit)?;
        let telling = Telling::compile(config.headers, config.near_limit)?;

        let path = root.key("plans");
        if config.plans.is_empty() {
            return Err(ConfigError::at(path).found("no plans").expected("at least one"));
        }
        let levels = Levels::compile(config.limits, config.routes)?;
        let mut plans = BTreeMap::new();
        for (name, plan) in config.plans {
            let plan = Plan::compile(&name, plan, &levels, &path.key(&name))?;
            plans.insert(name, Rc::new(plan));
        }
        // Escaped, so that no two instances meet in one value.
        let prefix = format!("meshgate/quota/{}/", escaped(setup.instance()));
        let consumers = Consumers::compile(
            config.consumers,
            config.anonymous,
            config.pepper.map(|pepper| Pepper::compile(&pepper, setup)).transpose()?,
            &plans,
            &prefix,
        )?;
        let open = takes_tokens || !config.key_files.is_empty();
        let access = Access::compile(config.access, &consumers, open)?;
        let all_plans = || plans.values().chain(consumers.plans());
        let decides_by_path = config.guards.looks_at_path()
            || access.decides_by_path()
            || all_plans().any(|plan| plan.decides_by_path());

        let metrics = Rc::new(Metrics::define(setup, all_plans())?);
        let (tokens, introspection) = (config.tokens, config.introspection);
        let tokens = Tokens::compile(tokens, introspection, &plans, &consumers, &prefix, &metrics, setup)?;
        let sources = config.key_files;
        let key_files = KeyFiles::compile(sources, &plans, &consumers, &prefix, &metrics, setup)?;
        let mut places = tokens.as_ref().map(Tokens::names).unwrap_or_default();
        places.extend(key_files.iter().flat_map(KeyFiles::names));
        names::check_apart(&places)?;
        create_usage(&consumers, setup)?;
        let failed_auth = config.failed_auth.map(FailedAuth::compile).transpose()?;
        let needed = Needed {
            consumers: key_files.is_some() || tokens.as_ref().is_some_and(Tokens::names_others),
            limits: all_plans().flat_map(|plan| plan.scopes()).cloned().collect(),
            failures: failed_auth.is_some(),
        };
        let tables = Tables::create(config.table, needed, &prefix, &metrics, setup)?;
        Ok(Self {
            guards: config.guards,
            decides_by_path,
            locations,
            hide_credentials: config.hide_credentials,
            filter_state: config.filter_state,
            preflight: config.preflight,
            key_format: config.key_format.map(|format| KeyFormat::compile(&format)).transpose()?,
            access,
            consumers,
            answers,
            over_limit,
            usage_endpoint,
            telling,
            client_ip: ClientIp::compile(config.client_ip)?,
            failed_auth,
            tables,
            metrics,
            tokens,
            key_files,
            warned: Cell::new(false),
        })
    }

    fn begin(self: &Rc<Self>) -> QuotaExchange {
        QuotaExchange::new(Rc::clone(self))
    }

    fn wake(self: &Rc<Self>, host: &mut dyn Host) -> Option<Duration> {
        self.key_files.as_ref()?.wake(host)
    }
}

impl Quota {
    /// The same for requests that somebody else chose by their path: those whose path may be another for the upstream are refused, as
    /// if `match` of this policy had chosen them.
    #[must_use]
    pub fn chosen_by_path(self) -> Self {
        Self { decides_by_path: true, ..self }
    }
}

/// Creates the shared values that are missing. What is there stays: a new configuration forgets nothing.
fn create_usage(consumers: &Consumers, setup: &mut dyn Setup) -> Result<(), ConfigError> {
    let failed = |error| {
        ConfigError::at(Path::root().key("consumers")).problem(format!("usage can't be shared: {error}"))
    };
    for consumer in consumers.iter().filter(|consumer| consumer.is_counted()) {
        if setup.shared(&consumer.usage_key).map_err(failed)?.is_none() {
            setup.set_shared(&consumer.usage_key, consumer.plan.unused().as_bytes()).map_err(failed)?;
        }
    }
    Ok(())
}
