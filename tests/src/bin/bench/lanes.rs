//! What is measured: a lane is a listener with one filter, or with none.

use anyhow::{Result, bail};
use meshgate_e2e::{Filter, Listener, Value, Wasm, json, lua, paths, typed_filter};

use crate::workload::{self, Limits};

/// The lane that shows what a filter costs that does nothing: budgets are multiples of what it adds.
pub const NOOP: &str = "noop";
/// The lane that makes the host calls of [`OURS`] and nothing else.
pub const HOST_CALLS: &str = "hostcalls";
/// The lane of the quota filter in full, and the one without limits.
pub const OURS: &str = "api_key_quota";
pub const OURS_KEY_ONLY: &str = "api_key_quota_key";

/// A new lane is one more entry here.
pub fn all() -> Vec<Lane> {
    let header_mutation = json!({ "mutations": { "request_mutations": [{ "append": {
        "header": { "key": "x-consumer-name", "value": "somebody" },
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    } }] } });
    vec![
        Lane::new("bare", "no filter"),
        Lane::new("bare_key", "no filter; the request carries the key").key(),
        Lane::new(NOOP, "a module that does nothing, on our host layer: one callback")
            .module("noop", json!({})),
        Lane::new("noop_sdk", "the same on the Rust SDK, which exports every callback")
            .module("noop_sdk", json!({})),
        Lane::new("header_mutation", "Envoy's own: one request header set").filter(typed_filter(
            "header_mutation",
            "header_mutation.v3.HeaderMutation",
            header_mutation,
        )),
        Lane::new("local_ratelimit", "Envoy's own: one token bucket, chosen by the key")
            .filter(typed_filter(
                "local_ratelimit",
                "local_ratelimit.v3.LocalRateLimit",
                workload::token_bucket(),
            ))
            .key(),
        Lane::new("api_key_auth", "Envoy's own: the key looked up and removed, the consumer's name set")
            .filter(typed_filter("api_key_auth", "api_key_auth.v3.ApiKeyAuth", workload::key_auth()))
            .key(),
        Lane::new("lua", "a script that does what api_key_quota does").filter(lua(&workload::script())).key(),
        Lane::new(HOST_CALLS, "a module that makes the host calls of api_key_quota, and nothing else")
            .module("hostcalls", json!({}))
            .key(),
        Lane::new(OURS_KEY_ONLY, "ours: key check, identity headers")
            .module("api_key_quota", workload::quota(Limits::None))
            .key(),
        Lane::new(OURS, "ours: key check, identity headers, a rate and a monthly quota")
            .module("api_key_quota", workload::quota(Limits::Two))
            .key()
            .budget(2.0),
    ]
}

/// A listener with a filter.
pub struct Lane {
    pub name: &'static str,
    /// What the filter does, in a few words.
    pub note: &'static str,
    /// The module that the filter is, if it is one.
    pub module: Option<&'static str>,
    /// At most so many times what [`NOOP`] adds.
    pub budget: Option<f64>,
    filter: Option<Filter>,
    sends_key: bool,
}

impl Lane {
    fn new(name: &'static str, note: &'static str) -> Self {
        Self { name, note, module: None, budget: None, filter: None, sends_key: false }
    }

    fn module(self, module: &'static str, config: Value) -> Self {
        // Each has a VM of its own, whichever others are measured.
        let filter = Wasm::module(module).name(self.name).vm_id(self.name).config(config);
        Self { module: Some(module), ..self }.filter(filter)
    }

    fn filter(self, filter: impl Into<Filter>) -> Self {
        Self { filter: Some(filter.into()), ..self }
    }

    /// Its requests carry an API key.
    fn key(self) -> Self {
        Self { sends_key: true, ..self }
    }

    fn budget(self, times: f64) -> Self {
        Self { budget: Some(times), ..self }
    }

    /// The lane that gets the same requests and has no filter.
    pub fn baseline(&self) -> &'static str {
        if self.sends_key { "bare_key" } else { "bare" }
    }

    pub fn is_bare(&self) -> bool {
        self.filter.is_none()
    }

    /// The header fields that its requests have beside `host`.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        workload::HEADERS.into_iter().chain(self.sends_key.then_some(workload::KEY))
    }

    pub fn listener(&self) -> Listener {
        let listener = Listener::named(self.name).direct_response("/", 200, "0123456789");
        match &self.filter {
            Some(filter) => listener.filter(filter.clone()),
            None => listener,
        }
    }

    /// Whether its module is built.
    pub fn check(&self) -> Result<()> {
        self.module.map_or(Ok(()), |module| paths::module(module).map(drop))
    }
}

/// The lanes of these names, with those that they are compared with; all if there are no names.
pub fn select(names: &[String]) -> Result<Vec<Lane>> {
    let all = all();
    let chosen = |lane: &&Lane| names.is_empty() || names.iter().any(|name| name == lane.name);
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|lane| lane.name != **name)) {
        let known: Vec<_> = all.iter().map(|lane| lane.name).collect();
        bail!("no lane is called {unknown:?}; there are {}", known.join(", "));
    }
    let mut wanted = vec!["bare", NOOP];
    wanted.extend(all.iter().filter(chosen).flat_map(|lane| [lane.name, lane.baseline()]));
    Ok(all.into_iter().filter(|lane| wanted.contains(&lane.name)).collect())
}
