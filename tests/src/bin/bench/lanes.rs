//! What is measured: a lane is a listener with one filter, or with none.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use bytes::Bytes;
use meshgate_e2e::{Config, Envoy, FileServer, Filter, Listener, Value, Wasm, json, paths};

use crate::catalog;
use crate::workload::{self, bodies, quota, tokens};

/// The lane that shows what a filter costs that does nothing.
pub const NOOP: &str = "noop";
/// The lane that makes the host calls of [`OURS`] and nothing else.
pub const HOST_CALLS: &str = "hostcalls";
/// The lane of the quota filter in full, and the one without limits.
pub const OURS: &str = "api_key_quota";
pub const OURS_KEY_ONLY: &str = "api_key_quota_key";

/// The small answer.
pub const SMALL: &str = "0123456789";

/// A listener with a filter.
#[derive(Clone)]
pub struct Lane {
    pub name: &'static str,
    /// The filter that it is measured for; by its name it can be chosen.
    pub group: &'static str,
    /// What the filter does, in a few words.
    pub note: &'static str,
    /// The module that the filter is, if it is one.
    pub module: Option<&'static str>,
    pub budget: Option<Budget>,
    pub traffic: Traffic,
    /// A text that stands in the answer if the filter did its work.
    pub expects: &'static str,
    /// Whether its start-up and its memory are measured.
    pub has_footprint: bool,
    /// How many keys its configuration has, if that is what it is for.
    pub keys: Option<usize>,
    /// Those keys are in a file that is fetched.
    pub fetches: bool,
    /// In the order in which requests pass them.
    filters: Vec<Filter>,
}

/// What a lane may add at most: so many times what another lane adds, and so much more.
#[derive(Clone, Copy)]
pub struct Budget {
    pub lane: &'static str,
    pub times: f64,
    pub plus_us: f64,
}

impl Budget {
    /// So many times what another lane adds.
    pub const fn times(times: f64, lane: &'static str) -> Self {
        Self { lane, times, plus_us: 0.0 }
    }

    /// So many µs more than another lane adds.
    pub const fn over(lane: &'static str, plus_us: f64) -> Self {
        Self { lane, times: 1.0, plus_us }
    }
}

/// The requests that a lane gets, and the answers: those of one kind compare.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Ten bytes.
    Small,
    /// The same for a request with an API key.
    Key,
    /// The same for a request with a token, which is always the same one.
    Token,
    /// The same for requests with ever another token, signed with RS256.
    Rs256Tokens,
    /// The same for requests with ever another token, signed with ES256.
    Es256Tokens,
    /// A JSON document of 10 KiB.
    Json10,
    /// A JSON document of 100 KiB.
    Json100,
    /// 100 KiB of digits.
    Digits,
    /// 100 KiB of base64.
    Base64,
    /// 100 KiB of backslashes.
    Backslashes,
    /// An error of the upstream, in a few bytes of text.
    Failure,
}

impl Traffic {
    /// The lane that gets the same and has no filter.
    pub const fn baseline(self) -> &'static str {
        match self {
            Self::Small => "bare",
            Self::Key => "bare_key",
            Self::Token => "bare_token",
            Self::Rs256Tokens => "bare_rs256",
            Self::Es256Tokens => "bare_es256",
            Self::Json10 => "bare_10k",
            Self::Json100 => "bare_100k",
            Self::Digits => "bare_digits",
            Self::Base64 => "bare_base64",
            Self::Backslashes => "bare_backslashes",
            Self::Failure => "bare_failure",
        }
    }

    /// The header fields of the requests beside `host`; of requests that differ, those of the first.
    pub fn headers(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let token = match self {
            Self::Token => Some(tokens::ONE.as_str()),
            _ => self.tokens().and_then(|tokens| Some(tokens.first()?.as_str())),
        };
        let credential = match self {
            Self::Key => Some(workload::KEY),
            _ => token.map(|token| ("authorization", token)),
        };
        workload::HEADERS.into_iter().chain(credential)
    }

    /// The values of `authorization`, if requests differ in it: one after the other.
    pub fn tokens(self) -> Option<&'static [String]> {
        match self {
            Self::Rs256Tokens => Some(&tokens::RS256),
            Self::Es256Tokens => Some(&tokens::ES256),
            _ => None,
        }
    }

    fn is_small(self) -> bool {
        self.path() == "/"
    }

    /// Where the answer is.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Small | Self::Key | Self::Token | Self::Rs256Tokens | Self::Es256Tokens => "/",
            Self::Json10 => "/json/10",
            Self::Json100 => "/json/100",
            Self::Digits => "/digits",
            Self::Base64 => "/base64",
            Self::Backslashes => "/backslashes",
            Self::Failure => "/failure",
        }
    }

    fn body(self) -> String {
        match self {
            Self::Small | Self::Key | Self::Token | Self::Rs256Tokens | Self::Es256Tokens => SMALL.into(),
            Self::Json10 => bodies::json(10 << 10),
            Self::Json100 => bodies::json(100 << 10),
            Self::Digits => bodies::digits(100 << 10),
            Self::Base64 => bodies::base64(100 << 10),
            Self::Backslashes => bodies::backslashes(100 << 10),
            Self::Failure => "NullPointerException at Orders.java:42".into(),
        }
    }

    /// The status of the answers.
    pub const fn status(self) -> u16 {
        match self {
            Self::Failure => 503,
            _ => 200,
        }
    }

    /// How large the answers are, in a few words.
    pub const fn size(self) -> &'static str {
        match self {
            Self::Small | Self::Key | Self::Token | Self::Rs256Tokens | Self::Es256Tokens => "10 bytes",
            Self::Json10 => "10 KiB",
            Self::Json100 | Self::Digits | Self::Base64 | Self::Backslashes => "100 KiB",
            Self::Failure => "an error",
        }
    }
}

/// The listener of another Envoy, which has the larger bodies: its CPU time is not looked at.
pub fn origin() -> Listener {
    let content_type = json!({ "key": "content-type", "value": "application/json" });
    let header = json!({ "header": content_type, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" });
    let listener = Listener::named("origin")
        .connection_manager(json!({ "route_config": { "max_direct_response_body_size_bytes": 1 << 20 } }));
    let introspected = json!({
        "match": { "path": tokens::INTROSPECTION },
        "direct_response": { "status": 200, "body": { "inline_string": tokens::introspected().to_string() } },
        "response_headers_to_add": [header],
    });
    let larger = [Traffic::Json10, Traffic::Json100, Traffic::Digits, Traffic::Base64, Traffic::Backslashes];
    larger.iter().chain(&[Traffic::Failure]).fold(listener.route(introspected), |listener, traffic| {
        let answer = json!({ "status": traffic.status(), "body": { "inline_string": traffic.body() } });
        listener.route(json!({
            "match": { "path": traffic.path() },
            "direct_response": answer,
            "response_headers_to_add": [header],
        }))
    })
}

impl Lane {
    pub fn new(group: &'static str, name: &'static str, note: &'static str) -> Self {
        Self {
            name,
            group,
            note,
            module: None,
            budget: None,
            traffic: Traffic::Small,
            expects: "",
            has_footprint: false,
            keys: None,
            fetches: false,
            filters: Vec::new(),
        }
    }

    pub fn module(self, module: &'static str, config: impl ToString) -> Self {
        self.plugin(module, config, json!({}))
    }

    /// A module, with more fields of its `PluginConfig`.
    pub fn plugin(self, module: &'static str, config: impl ToString, fields: Value) -> Self {
        // Each has a VM of its own, whichever others are measured.
        let filter = Wasm::module(module).name(self.name).vm_id(self.name);
        let filter = filter.config_text(&config.to_string()).plugin(fields);
        Self { module: Some(module), ..self }.filter(filter)
    }

    /// Several modules, one behind the other; measured where the last one is built.
    pub fn modules(self, modules: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        modules.into_iter().fold(self, |lane, (module, config)| {
            let name = format!("{}_{module}", lane.name);
            let filter = Wasm::module(module).name(&name).vm_id(&name).config(config);
            Self { module: Some(module), ..lane }.filter(filter)
        })
    }

    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filters.push(filter.into());
        self
    }

    pub fn traffic(self, traffic: Traffic) -> Self {
        Self { traffic, ..self }
    }

    pub fn budget(self, budget: Budget) -> Self {
        Self { budget: Some(budget), ..self }
    }

    pub fn expects(self, expects: &'static str) -> Self {
        Self { expects, ..self }
    }

    pub fn footprint(self) -> Self {
        Self { has_footprint: true, ..self }
    }

    /// Its memory is to be compared by these.
    pub fn keys(self, keys: usize) -> Self {
        Self { keys: Some(keys), ..self }.footprint()
    }

    /// Its keys come from a file.
    pub fn fetched(self) -> Self {
        Self { fetches: true, ..self }
    }

    pub fn is_bare(&self) -> bool {
        self.filters.is_empty()
    }

    /// Ten bytes come from Envoy itself: the cheapest upstream there is, and the steadiest. Larger bodies come from the cluster
    /// `upstream`, as Envoy's own filters leave alone what does not, and in the pieces in which Envoy reads them.
    pub fn listener(&self) -> Listener {
        let listener = Listener::named(self.name);
        let listener = match self.traffic {
            small if small.is_small() => listener.direct_response("/", 200, SMALL),
            _ => listener,
        };
        self.filters.iter().cloned().fold(listener, Listener::filter)
    }

    fn is_built(&self) -> bool {
        self.module.is_none_or(|module| paths::module(module).is_ok())
    }
}

/// The lanes that are called so, or are measured for filters that are called so, with those that they are compared with; all
/// if there are no names. Lanes whose module is not built are left out, and returned by name.
pub fn select(names: &[String]) -> Result<(Vec<Lane>, Vec<&'static str>)> {
    let all = catalog::lanes();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|lane| lane.is_called(name))) {
        let mut groups: Vec<_> = all.iter().map(|lane| lane.group).collect();
        groups.dedup();
        let lanes: Vec<_> = all.iter().map(|lane| lane.name).collect();
        bail!(
            "nothing is called {unknown:?}; there are the filters {}, and the lanes {}",
            groups.join(", "),
            lanes.join(", ")
        );
    }
    let mut wanted = vec![Traffic::Small.baseline(), NOOP];
    for lane in &all {
        if names.is_empty() || names.iter().any(|name| lane.is_called(name)) {
            wanted.extend([lane.name, lane.traffic.baseline()]);
            if let Some(other) =
                lane.budget.and_then(|budget| all.iter().find(|other| other.name == budget.lane))
            {
                wanted.extend([other.name, other.traffic.baseline()]);
            }
        }
    }
    let (lanes, missing): (Vec<_>, Vec<_>) =
        all.into_iter().filter(|lane| wanted.contains(&lane.name)).partition(Lane::is_built);
    Ok((lanes, missing.iter().map(|lane| lane.name).collect()))
}

/// The file that a lane fetches.
pub fn file(lane: &Lane) -> Option<Bytes> {
    static FILES: Mutex<BTreeMap<usize, Bytes>> = Mutex::new(BTreeMap::new());
    let keys = lane.keys.filter(|_| lane.fetches)?;
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    // A million take seconds to make.
    Some(files.entry(keys).or_insert_with(|| quota::lines(keys).into()).clone())
}

/// Makes an Envoy of a configuration with these lanes, with the files that they fetch, and waits until it has them.
pub async fn start(mut config: Config, lanes: &[Lane], workers: u32) -> Result<(Envoy, Vec<FileServer>)> {
    let mut servers = vec![];
    for lane in lanes {
        let Some(file) = file(lane) else { continue };
        let server = FileServer::start(file).await?;
        server.upstream().keep_no_requests();
        config = config.cluster(lane.name, server.addr());
        servers.push(server);
    }
    let envoy = Envoy::start(config).await?;
    // The main thread has a VM as well.
    let wanted = (u64::from(workers) + 1) * servers.len() as u64;
    if !servers.is_empty() {
        envoy.wait_for_stat(quota::FETCHED, |fetched| fetched >= wanted).await?;
    }
    Ok((envoy, servers))
}

impl Lane {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.group == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(lanes: &'a [Lane], name: &str) -> Option<&'a Lane> {
        lanes.iter().find(|lane| lane.name == name)
    }

    #[test]
    fn what_a_lane_is_compared_with_is_a_lane() {
        let all = catalog::lanes();
        for lane in &all {
            assert!(named(&all, lane.traffic.baseline()).is_some_and(Lane::is_bare), "{}", lane.name);
            if let Some(budget) = lane.budget {
                assert!(named(&all, budget.lane).is_some(), "{}: {}", lane.name, budget.lane);
            }
            assert_eq!(all.iter().filter(|other| other.name == lane.name).count(), 1, "{}", lane.name);
        }
    }

    #[test]
    fn a_group_comes_with_what_it_is_compared_with() {
        let (lanes, missing) = select(&["transform".into()]).unwrap();
        let names: Vec<_> = lanes.iter().map(|lane| lane.name).chain(missing).collect();
        for name in ["bare", NOOP, "bare_10k", "identity_10k", "transform_10k", "lua_header"] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert!(!names.contains(&OURS) && !names.contains(&"bare_digits"), "{names:?}");
        assert!(select(&["no-such-filter".into()]).is_err());
    }
}
