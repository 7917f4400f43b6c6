//! HTTP filters: Wasm modules, and what Envoy has of its own.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use crate::paths;

/// An HTTP filter.
#[derive(Clone, Debug)]
pub enum Filter {
    Wasm(Wasm),
    /// As Envoy takes it: `name` and `typed_config`.
    Json(Value),
}

impl Filter {
    pub(crate) fn to_json(&self) -> Result<Value> {
        match self {
            Self::Wasm(wasm) => wasm.to_json(),
            Self::Json(filter) => Ok(filter.clone()),
        }
    }
}

impl From<Wasm> for Filter {
    fn from(wasm: Wasm) -> Self {
        Self::Wasm(wasm)
    }
}

impl From<Value> for Filter {
    fn from(filter: Value) -> Self {
        Self::Json(filter)
    }
}

/// A Wasm module as an HTTP filter.
#[derive(Clone, Debug)]
pub struct Wasm {
    module: Module,
    plugin: Value,
}

#[derive(Clone, Debug)]
enum Module {
    Built(String),
    File(PathBuf),
}

impl Wasm {
    /// A module of this workspace by the name of its library, such as `api_key_quota`; which also names the plugin.
    pub fn module(name: &str) -> Self {
        Self { module: Module::Built(name.into()), plugin: json!({ "name": name }) }
    }

    /// A module somewhere else.
    pub fn file(name: &str, path: impl Into<PathBuf>) -> Self {
        Self { module: Module::File(path.into()), plugin: json!({ "name": name }) }
    }

    /// The configuration, handed to the module as JSON text.
    pub fn config(self, config: Value) -> Self {
        self.config_text(&config.to_string())
    }

    /// The configuration as a text, which need not be JSON.
    pub fn config_text(self, config: &str) -> Self {
        let text = json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": config });
        self.plugin(json!({ "configuration": text }))
    }

    /// The configuration as a protobuf `Struct`: Envoy (1.36 to 1.40) hands the module its encoding, not JSON.
    pub fn config_struct(self, config: Value) -> Self {
        let structure = json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": config });
        self.plugin(json!({ "configuration": structure }))
    }

    /// The name of the plugin, by which its statistics and its log lines go.
    pub fn name(self, name: &str) -> Self {
        self.plugin(json!({ "name": name }))
    }

    /// Which VM it runs in: plugins of one module and one id share a VM and its shared data.
    pub fn vm_id(self, id: &str) -> Self {
        self.plugin(json!({ "vm_config": { "vm_id": id } }))
    }

    /// `FAIL_CLOSED` (Envoy's default), `FAIL_OPEN` or `FAIL_RELOAD`.
    pub fn failure_policy(self, policy: &str) -> Self {
        self.plugin(json!({ "failure_policy": policy }))
    }

    /// Lets the module hold the headers until it saw the body.
    pub fn allow_on_headers_stop_iteration(self) -> Self {
        self.plugin(json!({ "allow_on_headers_stop_iteration": true }))
    }

    /// Merges fields into the `PluginConfig`.
    pub fn plugin(mut self, fields: Value) -> Self {
        merge(&mut self.plugin, fields);
        self
    }

    fn to_json(&self) -> Result<Value> {
        let path = match &self.module {
            Module::Built(name) => paths::module(name)?,
            Module::File(path) => path.clone(),
        };
        let code = json!({ "local": { "filename": path } });
        let mut plugin = json!({ "vm_config": { "runtime": "envoy.wasm.runtime.v8", "code": code } });
        merge(&mut plugin, self.plugin.clone());
        Ok(typed_filter("wasm", "wasm.v3.Wasm", json!({ "config": plugin })))
    }
}

/// A native filter: `typed_filter("header_mutation", "header_mutation.v3.HeaderMutation", json!({...}))`.
pub fn typed_filter(name: &str, message: &str, fields: Value) -> Value {
    let mut config =
        json!({ "@type": format!("type.googleapis.com/envoy.extensions.filters.http.{message}") });
    merge(&mut config, fields);
    json!({ "name": format!("envoy.filters.http.{name}"), "typed_config": config })
}

/// A Lua filter, from its source.
pub fn lua(source: &str) -> Value {
    typed_filter("lua", "lua.v3.Lua", json!({ "default_source_code": { "inline_string": source } }))
}

/// Merges objects, deeply; whatever else is replaced.
pub(crate) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
