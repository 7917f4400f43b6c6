//! Istio's two resources for Wasm, and the policies of the tests in them.

use meshgate_e2e::{Value, json, paths};
use sha2::{Digest as _, Sha256};

/// Which resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    WasmPlugin,
    TrafficExtension,
}

/// A filter for the gateway, in the phase AUTHN unless it says otherwise.
#[derive(Clone, Debug)]
pub struct Extension {
    name: String,
    wasm: Value,
    config: Value,
    phase: Option<&'static str>,
    priority: Option<i32>,
}

impl Extension {
    /// The module of this name with this configuration.
    pub fn new(module: &str, config: Value) -> Self {
        let path = paths::module(module).unwrap();
        let wasm = json!({ "url": format!("file://{}", path.display()), "failStrategy": "FAIL_RELOAD" });
        Self { name: module.replace('_', "-"), wasm, config, phase: Some("AUTHN"), priority: None }
    }

    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    pub fn phase(mut self, phase: Option<&'static str>) -> Self {
        self.phase = phase;
        self
    }

    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    pub fn url(mut self, url: &str) -> Self {
        self.wasm["url"] = json!(url);
        self
    }

    pub fn fail_strategy(mut self, strategy: &str) -> Self {
        self.wasm["failStrategy"] = json!(strategy);
        self
    }

    /// The resource.
    pub fn resource(self, kind: Kind) -> Value {
        let Self { name, mut wasm, config, phase, priority } = self;
        wasm["pluginConfig"] = config;
        let mut spec = match kind {
            Kind::WasmPlugin => wasm,
            Kind::TrafficExtension => json!({ "wasm": wasm }),
        };
        spec["selector"] = json!({ "matchLabels": { "istio": "ingressgateway" } });
        if let Some(phase) = phase {
            spec["phase"] = json!(phase);
        }
        if let Some(priority) = priority {
            spec["priority"] = json!(priority);
        }
        let metadata = json!({ "name": name, "namespace": "istio-system" });
        json!({ "apiVersion": "extensions.istio.io/v1alpha1", "kind": format!("{kind:?}"), "metadata": metadata, "spec": spec })
    }
}

/// `acme`, whose key is `acme-key`, has a plan of so many requests.
pub fn quota(quota: &str) -> Extension {
    let config = json!({
        "plans": { "free": { "limits": [{ "name": "yearly", "quota": quota }] } },
        "consumers": [{ "name": "acme", "plan": "free", "keys": [{ "id": "acme-1", "sha256": sha256("acme-key") }] }],
    });
    Extension::new("api_key_quota", config)
}

/// What a user writes for a key.
pub fn sha256(key: &str) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}
