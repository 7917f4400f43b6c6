//! A filter as Envoy takes it: an entry of `http_filters`.

use super::input::Link;
use super::json;
use super::yaml::{Map, Yaml};

pub const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// What a proxy does once the virtual machine of a filter has died.
pub const FAIL_RELOAD: &str = "FAIL_RELOAD";

/// The entry, under a name of its own.
pub fn filter(name: &str, link: &Link, code: Map) -> Map {
    Map::new().with("name", name).with("typed_config", typed(name, link, code))
}

/// Its typed configuration; `code` is where the module is.
pub fn typed(name: &str, link: &Link, code: Map) -> Map {
    let variables = (!link.config.variables.is_empty())
        .then(|| Map::new().with("host_env_keys", link.config.variables.clone()));
    let vm = Map::new()
        .with_comment(
            "Usage that was counted belongs to this name and to that of the filter: keep both.",
            "vm_id",
            name,
        )
        .with("runtime", "envoy.wasm.runtime.v8")
        .with("code", code)
        .with_some("environment_variables", variables);
    let mut plugin = Map::new().with("name", name).with("failure_policy", FAIL_RELOAD);
    if link.holds_headers() {
        plugin = plugin.with("allow_on_headers_stop_iteration", true);
    }
    plugin = plugin.with("vm_config", vm);
    if !link.config.root.entries().is_empty() {
        let text = Map::new()
            .with("@type", "type.googleapis.com/google.protobuf.StringValue")
            .with("value", json::pretty(&link.config.root));
        plugin = plugin.with("configuration", text);
    }
    Map::new().with("@type", WASM).with("config", plugin)
}

/// A module in a file.
pub fn local(path: &str) -> Map {
    Map::new().with("local", Map::new().with("filename", path))
}

/// The values of a configuration, for resources that hold it as a `Struct`. Empty is none.
pub fn structure(link: &Link) -> Option<Yaml> {
    (!link.config.root.entries().is_empty()).then(|| Yaml::from(&*link.config.root))
}
