//! Envoy bootstraps, built from the parts that a test cares about.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::filter::{Filter, Wasm, merge, typed_filter};
use crate::paths;

/// What one Envoy runs with.
#[derive(Clone, Debug)]
pub struct Config {
    base: Value,
    listeners: Vec<Listener>,
    clusters: Vec<Value>,
    upstream: Option<SocketAddr>,
    http2_upstream: bool,
    pub(crate) file_lds: bool,
    pub(crate) concurrency: u32,
    pub(crate) log_level: String,
    pub(crate) component_log_level: String,
}

/// What a bootstrap needs to know of the run that it is for.
pub(crate) struct Run {
    pub(crate) access_log: PathBuf,
    pub(crate) lds: PathBuf,
    pub(crate) upstream: SocketAddr,
}

impl Config {
    /// One worker, no listener, and the cluster `upstream`.
    pub fn new() -> Self {
        Self {
            base: json!({}),
            listeners: vec![],
            clusters: vec![],
            upstream: None,
            http2_upstream: false,
            file_lds: false,
            concurrency: 1,
            log_level: "warning".into(),
            component_log_level: "wasm:info".into(),
        }
    }

    /// A bootstrap in YAML. Its listeners get free ports, and its cluster `upstream`, if it has one, becomes the test's.
    ///
    /// # Errors
    /// If it is not YAML.
    pub fn yaml(text: &str) -> Result<Self> {
        let mut base: Value = yaml_serde::from_str(text).context("the bootstrap is not YAML")?;
        for listener in list(&mut base, "listeners") {
            listener["address"] = address(([127, 0, 0, 1], 0).into());
        }
        list(&mut base, "clusters").retain(|cluster| cluster["name"] != "upstream");
        Ok(Self { base, ..Self::new() })
    }

    /// [`Config::yaml`] from a file of the workspace.
    ///
    /// # Errors
    /// If it cannot be read or is not YAML.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = paths::workspace().join(path);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Self::yaml(&text).with_context(|| path.display().to_string())
    }

    /// Adds a listener.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Adds a cluster of one HTTP/1.1 endpoint.
    pub fn cluster(self, name: &str, endpoint: SocketAddr) -> Self {
        self.raw_cluster(cluster(name, endpoint, json!({ "http_protocol_options": {} })))
    }

    /// Adds a cluster of one HTTP/2 endpoint.
    pub fn http2_cluster(self, name: &str, endpoint: SocketAddr) -> Self {
        self.raw_cluster(cluster(name, endpoint, json!({ "http2_protocol_options": {} })))
    }

    /// Adds a cluster as it is.
    pub fn raw_cluster(mut self, cluster: Value) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Sends requests there, not to the upstream that comes with every Envoy. Port 1 is one where nobody listens.
    pub fn upstream(mut self, endpoint: SocketAddr) -> Self {
        self.upstream = Some(endpoint);
        self
    }

    /// Speaks HTTP/2 with the upstream.
    pub fn http2_upstream(mut self) -> Self {
        self.http2_upstream = true;
        self
    }

    /// Serves the listeners from a file, so that they can be updated ([`crate::Envoy::update_listener`]).
    pub fn file_lds(mut self) -> Self {
        self.file_lds = true;
        self
    }

    /// The number of worker threads.
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Envoy's `--log-level` (default `warning`).
    pub fn log_level(mut self, level: &str) -> Self {
        self.log_level = level.into();
        self
    }

    /// Envoy's `--component-log-level` (default `wasm:info`).
    pub fn component_log_level(mut self, levels: &str) -> Self {
        self.component_log_level = levels.into();
        self
    }

    /// Merges fields into the bootstrap.
    pub fn merge(mut self, fields: Value) -> Self {
        merge(&mut self.base, fields);
        self
    }

    /// The bootstrap.
    pub(crate) fn bootstrap(&self, run: &Run) -> Result<Value> {
        let mut bootstrap = self.base.clone();
        bootstrap["admin"] = json!({ "address": address(([127, 0, 0, 1], 0).into()) });
        let mut http = json!({});
        if self.http2_upstream {
            http["http2_protocol_options"] = json!({});
        } else {
            let trailers = self.listeners.iter().any(|listener| listener.trailers);
            http["http_protocol_options"] = json!({ "enable_trailers": trailers });
        }
        let clusters = list(&mut bootstrap, "clusters");
        clusters.push(cluster("upstream", self.upstream.unwrap_or(run.upstream), http));
        clusters.extend(self.clusters.iter().cloned());
        if self.file_lds {
            let source = json!({ "path_config_source": { "path": run.lds }, "resource_api_version": "V3" });
            bootstrap["node"] = json!({ "id": "meshgate-e2e", "cluster": "meshgate-e2e" });
            bootstrap["dynamic_resources"] = json!({ "lds_config": source });
        } else {
            for listener in &self.listeners {
                let listener = listener.to_json(run)?;
                list(&mut bootstrap, "listeners").push(listener);
            }
        }
        Ok(bootstrap)
    }

    /// What the file holds that the listeners are served from.
    pub(crate) fn lds(&self, run: &Run) -> Result<Value> {
        let resource = |listener: &Listener| {
            let mut resource = listener.to_json(run)?;
            resource["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
            Ok(resource)
        };
        let resources = self.listeners.iter().map(resource).collect::<Result<Vec<_>>>()?;
        Ok(json!({ "resources": resources }))
    }

    pub(crate) fn first_listener(&self) -> Option<&str> {
        self.listeners.first().map(|listener| listener.name.as_str())
    }

    /// Puts the listener in the place of the one that has its name.
    pub(crate) fn replace_listener(&mut self, listener: Listener) -> Result<()> {
        match self.listeners.iter_mut().find(|old| old.name == listener.name) {
            Some(old) => *old = listener,
            None => bail!("there is no listener {:?} to update", listener.name),
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Listener> for Config {
    fn from(listener: Listener) -> Self {
        Self::new().listener(listener)
    }
}

impl From<Wasm> for Config {
    fn from(filter: Wasm) -> Self {
        Listener::new().filter(filter).into()
    }
}

/// A listener on a free port that speaks HTTP/1.1 and HTTP/2, runs filters in order and routes everything to the
/// upstream.
#[derive(Clone, Debug)]
pub struct Listener {
    name: String,
    filters: Vec<Filter>,
    routes: Vec<Value>,
    access_log: Option<String>,
    trailers: bool,
    router: Value,
    connection_manager: Value,
    extra: Value,
}

impl Listener {
    /// A listener named `main`, without filters.
    pub fn new() -> Self {
        Self::named("main")
    }

    /// A listener, for configurations that have several: [`crate::Envoy::addr_of`] finds it by its name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            filters: vec![],
            routes: vec![],
            access_log: None,
            trailers: false,
            router: json!({}),
            connection_manager: json!({}),
            extra: json!({}),
        }
    }

    /// Adds an HTTP filter behind those that are there: a [`Wasm`], or JSON as Envoy takes it ([`typed_filter`],
    /// [`crate::lua`]).
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filters.push(filter.into());
        self
    }

    /// Adds a route, as Envoy takes it, in front of the one that takes everything to the upstream.
    pub fn route(mut self, route: Value) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds a route on which Envoy itself answers.
    pub fn direct_response(self, prefix: &str, status: u16, body: &str) -> Self {
        let action = json!({ "status": status, "body": { "inline_string": body } });
        self.route(json!({ "match": { "prefix": prefix }, "direct_response": action }))
    }

    /// Writes a line for every request: [`crate::Envoy::access_log`] reads them.
    pub fn access_log(mut self, format: &str) -> Self {
        self.access_log = Some(format!("{}\n", format.trim_end_matches('\n')));
        self
    }

    /// How many KiB the headers of a request may have (Envoy's default is 60, its maximum 8192).
    pub fn max_request_headers_kb(self, limit: u32) -> Self {
        self.connection_manager(json!({ "max_request_headers_kb": limit }))
    }

    /// How many header fields a request may have (Envoy's default is 100).
    pub fn max_headers_count(self, limit: u32) -> Self {
        self.connection_manager(json!({ "common_http_protocol_options": { "max_headers_count": limit } }))
    }

    /// Passes HTTP/1.1 trailers on, both ways; without this Envoy drops them.
    pub fn http1_trailers(mut self) -> Self {
        self.trailers = true;
        self.connection_manager(json!({ "http_protocol_options": { "enable_trailers": true } }))
    }

    /// Lets requests upgrade the protocol, to `websocket` for instance.
    pub fn upgrades(self, protocols: &[&str]) -> Self {
        let upgrades: Vec<_> = protocols.iter().map(|protocol| json!({ "upgrade_type": protocol })).collect();
        self.connection_manager(json!({ "upgrade_configs": upgrades }))
    }

    /// How many bytes of a body Envoy holds for a filter (Envoy's default is 1 MiB).
    pub fn buffer_limit(self, bytes: u32) -> Self {
        self.merge(json!({ "per_connection_buffer_limit_bytes": bytes }))
    }

    /// Merges fields into the router.
    pub fn router(mut self, fields: Value) -> Self {
        merge(&mut self.router, fields);
        self
    }

    /// Merges fields into the connection manager.
    pub fn connection_manager(mut self, fields: Value) -> Self {
        merge(&mut self.connection_manager, fields);
        self
    }

    /// Merges fields into the listener.
    pub fn merge(mut self, fields: Value) -> Self {
        merge(&mut self.extra, fields);
        self
    }

    fn to_json(&self, run: &Run) -> Result<Value> {
        let mut filters = self.filters.iter().map(Filter::to_json).collect::<Result<Vec<_>>>()?;
        filters.push(typed_filter("router", "router.v3.Router", self.router.clone()));
        let mut routes = self.routes.clone();
        routes.push(json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } }));
        let mut manager = json!({
            "@type": "type.googleapis.com/\
                      envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": self.name,
            "http_filters": filters,
            "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
        });
        if let Some(format) = &self.access_log {
            manager["access_log"] = json!([{
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": run.access_log,
                    "log_format": { "text_format_source": { "inline_string": format } },
                },
            }]);
        }
        merge(&mut manager, self.connection_manager.clone());
        let manager =
            json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager });
        let mut listener = json!({
            "name": self.name,
            "address": address(([127, 0, 0, 1], 0).into()),
            "filter_chains": [{ "filters": [manager] }],
        });
        merge(&mut listener, self.extra.clone());
        Ok(listener)
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self::new()
    }
}

/// An Envoy `Address`.
pub(crate) fn address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

/// A list of `static_resources`, made if it is not there.
fn list<'a>(bootstrap: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    let list = &mut bootstrap["static_resources"][name];
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap_or_else(|| panic!("static_resources.{name} is not a list"))
}

fn cluster(name: &str, endpoint: SocketAddr, http: Value) -> Value {
    let options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": http,
    });
    let endpoint = json!({ "endpoint": { "address": address(endpoint) } });
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options },
    })
}
