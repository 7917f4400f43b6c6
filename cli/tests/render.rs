//! `meshgate render`, as a user runs it: what is printed, what is refused, and the manifests of `istio/`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod support;

use std::fs;

use support::{Ran, directory, meshgate, workspace};

/// The manifests in `istio/`, and what prints them; `UPDATE_MANIFESTS=1` writes them.
fn manifests() -> Vec<(String, Vec<String>)> {
    const OCI: &str = "oci://registry.example.com/meshgate/{filter}:0.1.0";
    const FILE: &str = "file:///var/lib/meshgate/{module}.wasm";
    let words = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let mut manifests = Vec::new();
    for filter in ["api-key-quota", "dlp", "error-response", "transform"] {
        let config = format!("istio/{filter}/config.yaml");
        let mut add = |file: String, line: String| manifests.push((file, words(&line)));
        add(format!("istio/{filter}/wasmplugin.yaml"), format!("render istio {config} --url {OCI}"));
        add(
            format!("istio/{filter}/trafficextension.yaml"),
            format!("render istio {config} --url {OCI} --kind trafficextension"),
        );
        add(
            format!("istio/{filter}/gateway-api.yaml"),
            format!(
                "render istio {config} --url {OCI} --target-ref Gateway/public --namespace istio-ingress"
            ),
        );
        add(
            format!("istio/envoy-gateway/{filter}.yaml"),
            format!("render envoy-gateway {config} --url {OCI} --target-ref Gateway/public"),
        );
        let special = match filter {
            "dlp" => "istio/dlp/blocking.yaml",
            "transform" => "istio/transform/waiting.yaml",
            _ => &config,
        };
        let line = if filter == "error-response" {
            format!("render local-reply {config} --form envoyfilter")
        } else {
            format!("render istio {special} --kind envoyfilter --url {FILE}")
        };
        add(format!("istio/{filter}/envoyfilter.yaml"), line);
    }
    let all = ["error-response", "api-key-quota", "dlp", "transform"]
        .map(|name| format!("istio/{name}/config.yaml"));
    let line = format!("render envoy-gateway {} --url {OCI} --target-ref Gateway/public", all.join(" "));
    manifests.push(("istio/envoy-gateway/chain.yaml".to_owned(), words(&line)));
    manifests
}

fn run(args: &[String]) -> Ran {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    meshgate(&args).current_dir(workspace()).ran()
}

#[test]
fn the_manifests_are_what_is_rendered() {
    for (file, args) in manifests() {
        let ran = run(&args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        let path = workspace().join(&file);
        if std::env::var_os("UPDATE_MANIFESTS").is_some() {
            fs::write(&path, &ran.out).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == ran.out,
            "{file} is stale: run UPDATE_MANIFESTS=1 cargo test -p meshgate-cli --test render manifests"
        );
    }
}

/// What is rendered is as good as what it is rendered from, and is found in it again.
#[test]
fn what_is_rendered_is_checked() {
    let ran = meshgate(&["check", "--strict", "--verbose", "istio", "envoy-configs"])
        .current_dir(workspace())
        .ran();
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    for (file, _) in manifests().iter().filter(|(file, _)| !file.contains("error-response/envoyfilter")) {
        assert!(ran.out.contains(&format!("{file}:")), "{file}:\n{}", ran.out);
    }
}
