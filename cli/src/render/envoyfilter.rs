//! An EnvoyFilter, for what WasmPlugin and TrafficExtension have no fields for.
//!
//! A module in a file is configured in place. One that has to be fetched is a resource of its own: only of those the agent
//! beside a proxy fetches the module and puts a file in its place.

use std::io;

use super::input::Link;
use super::istio::{FailStrategy, Target};
use super::module::{Module, Scheme};
use super::yaml::{Map, Yaml};
use super::{plugin, refused};

pub fn render(
    target: &Target,
    name: String,
    link: &Link,
    module: &Module,
    fail: FailStrategy,
) -> io::Result<Map> {
    if fail != FailStrategy::Reload {
        return Err(refused(
            "--fail-strategy is not for --kind envoyfilter: change failure_policy in what is printed",
        ));
    }
    if module.pull_secret.is_some() {
        return Err(refused(
            "--image-pull-secret: an EnvoyFilter has no way to a secret; take a registry that needs none, or a file:// module",
        ));
    }
    let filter = format!("meshgate.{}", link.name);
    let context = target.context();
    let mut patches = Vec::new();
    let entry = match module.scheme {
        Scheme::File => {
            let path = module.url.strip_prefix("file://").unwrap_or(&module.url);
            plugin::filter(&filter, link, plugin::local(path))
        }
        Scheme::Oci | Scheme::Http => {
            let extension = plugin::filter(&filter, link, remote(module)?);
            let patch = Map::new().with("operation", "ADD").with("value", extension);
            let matches = Map::new().with("context", context);
            patches.push(
                Map::new().with("applyTo", "EXTENSION_CONFIG").with("match", matches).with("patch", patch),
            );
            discovered(&filter)
        }
    };
    patches.push(insert(context, link, entry));
    let spec = target
        .select("workloadSelector", "labels")
        .with_comment(order(link), "priority", priority(link))
        .with("configPatches", patches);
    Ok(target.resource("networking.istio.io/v1alpha3", "EnvoyFilter", name, spec))
}

/// In front of all filters, or of the router.
fn insert(context: &str, link: &Link, entry: Map) -> Map {
    let manager = Map::new().with("name", "envoy.filters.network.http_connection_manager");
    let (manager, operation) = if link.placement.phase.is_some() {
        (manager, "INSERT_FIRST")
    } else {
        (manager.with("subFilter", Map::new().with("name", "envoy.filters.http.router")), "INSERT_BEFORE")
    };
    let listener = Map::new().with("filterChain", Map::new().with("filter", manager));
    let matches = Map::new().with("context", context).with("listener", listener);
    let patch = Map::new().with("operation", operation).with("value", entry);
    Map::new().with("applyTo", "HTTP_FILTER").with("match", matches).with("patch", patch)
}

/// EnvoyFilters are applied from the lowest priority on. Each one that is put in front stands before those that were, and
/// each one before the router behind those that were.
fn priority(link: &Link) -> i32 {
    if link.placement.phase.is_some() {
        link.placement.priority
    } else {
        1000_i32.saturating_sub(link.placement.priority)
    }
}

fn order(link: &Link) -> &'static str {
    if link.placement.phase.is_some() {
        "Applied from the lowest on: what is put in front last is first."
    } else {
        "Applied from the lowest on: what is put before the router last is nearest to it."
    }
}

/// The entry in the list of filters of one whose configuration is a resource of its own.
fn discovered(name: &str) -> Map {
    let source = Map::new()
        .with("ads", Map::new())
        .with_comment(
            "No listener without the filter, however long its module takes to come.",
            "initial_fetch_timeout",
            "0s",
        )
        .with("resource_api_version", "V3");
    let discovery =
        Map::new().with("config_source", source).with("type_urls", vec![Yaml::from(plugin::WASM)]);
    Map::new().with("name", name).with("config_discovery", discovery)
}

/// Code that the agent fetches.
fn remote(module: &Module) -> io::Result<Map> {
    let in_url = module.url.split_once("@sha256:").map(|(_, hex)| hex.to_owned());
    let Some(sha256) = module.sha256.clone().or(in_url) else {
        return Err(refused("an EnvoyFilter that fetches a module needs its digest: add --sha256"));
    };
    let uri = Map::new().with("uri", module.url.as_str()).with("timeout", "30s").with_comment(
        "Required by Envoy and not used: the agent fetches the module.",
        "cluster",
        "unused",
    );
    Ok(Map::new().with("remote", Map::new().with("http_uri", uri).with("sha256", sha256)))
}
