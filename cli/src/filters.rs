//! The filters whose configurations this command line knows.

use meshgate_policy::config::{self, ConfigError};
use meshgate_policy::host::Setup;
use meshgate_policy::policy::{self, Policy};
use serde_json::Value;

/// A filter, by what it is called wherever it is deployed.
pub struct Filter {
    /// The name of its module, with `-` for `_`.
    pub name: &'static str,
    /// Modules of others are called so, too.
    pub is_common_word: bool,
    /// What its schema is called.
    pub title: &'static str,
    /// Compiles a configuration as the module does when it arrives.
    pub compile: fn(&[u8], &mut dyn Setup) -> Result<(), ConfigError>,
    schema: fn(&str, &str) -> Value,
}

/// All of them.
pub static FILTERS: [Filter; 5] = [
    filter::<meshgate_quota::Quota>("api-key-quota", "API keys and quotas"),
    filter::<meshgate_dlp::Dlp>("dlp", "Data-loss prevention"),
    filter::<meshgate_errors::Errors>("error-response", "Error responses"),
    Filter { is_common_word: true, ..filter::<meshgate_gateway::Gateway>("gateway", "All policies in one") },
    filter::<meshgate_transform::Transform>("transform", "Transformations"),
];

const fn filter<P: Policy>(name: &'static str, title: &'static str) -> Filter {
    let (compile, schema) = (compile::<P>, config::schema::<P::Config>);
    Filter { name, is_common_word: false, title, compile, schema }
}

fn compile<P: Policy>(document: &[u8], setup: &mut dyn Setup) -> Result<(), ConfigError> {
    policy::compile::<P>(document, setup).map(drop)
}

impl Filter {
    /// The filter of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FILTERS.iter().find(|filter| filter.name == name)
    }

    /// The filter that a module, an image or a plugin of this name is: `dlp`, `file:///etc/api_key_quota.wasm`,
    /// `oci://registry.example.com/meshgate/transform:1.2`.
    pub fn of_module(name: &str) -> Option<&'static Self> {
        let name = name.split(['?', '#', '@']).next().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        let name = name.split(':').next().unwrap_or_default();
        let name = name.strip_suffix(".wasm").unwrap_or(name).to_ascii_lowercase().replace('_', "-");
        let name = name.strip_prefix("meshgate-").unwrap_or(&name);
        Self::named(name.strip_prefix("filter-").unwrap_or(name))
    }

    /// The JSON Schema of its configuration.
    pub fn schema(&self) -> Value {
        (self.schema)(&format!("urn:meshgate:schema:{}", self.name), self.title)
    }
}

/// The filter is one of a few: what it is called is all there is to show.
impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_many_names() {
        for (name, filter) in [
            ("dlp", Some("dlp")),
            ("target/wasm32-wasip1/release/api_key_quota.wasm", Some("api-key-quota")),
            ("oci://registry.example.com:5000/meshgate/transform:1.2", Some("transform")),
            ("oci://x/meshgate-error-response@sha256:00", Some("error-response")),
            ("https://x.example/Meshgate_DLP.wasm?v=1", Some("dlp")),
            ("coraza.wasm", None),
            ("my-transform", None),
            ("", None),
        ] {
            assert_eq!(Filter::of_module(name).map(|filter| filter.name), filter, "{name}");
        }
    }
}
