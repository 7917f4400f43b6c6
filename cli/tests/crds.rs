//! The manifests of `istio/`, and what `meshgate render` prints besides, against the schemas of their CRDs.
//!
//! A CRD's schema is JSON Schema but for a few words. Fields that it does not know an API server drops in silence; here they
//! are errors. Rules in CEL (`x-kubernetes-validations`) are not evaluated: those that are about our fields are checked by
//! hand below (`rules_in_cel`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use support::{meshgate, workspace};

/// Kinds of Kubernetes itself, which have no CRD.
const BUILT_IN: [&str; 3] = ["v1 Namespace", "v1 Service", "apps/v1 Deployment"];

struct Schemas(HashMap<String, jsonschema::Validator>);

impl Schemas {
    /// Of all versions of all CRDs, by `<apiVersion> <kind>`.
    fn read() -> Self {
        let directory = workspace().join(".tools/crds");
        let mut schemas = HashMap::new();
        for name in ["istio", "envoy-gateway", "gateway-api"] {
            let file = fs::read_dir(&directory).ok().and_then(|files| {
                let mut files = files.map(|file| file.unwrap().path());
                files
                    .find(|path| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{name}-")))
            });
            let file = file.unwrap_or_else(|| {
                panic!("no schemas of {name} in {}: run `scripts/setup.sh crds`", directory.display())
            });
            for crd in documents(&fs::read_to_string(file).unwrap()) {
                if crd["kind"] != "CustomResourceDefinition" {
                    continue;
                }
                let spec = &crd["spec"];
                for version in spec["versions"].as_array().unwrap() {
                    let mut schema = version["schema"]["openAPIV3Schema"].clone();
                    for key in ["apiVersion", "kind", "metadata"] {
                        schema["properties"][key] = json!({});
                    }
                    close(&mut schema);
                    let key = format!(
                        "{}/{} {}",
                        spec["group"].as_str().unwrap(),
                        version["name"].as_str().unwrap(),
                        spec["names"]["kind"].as_str().unwrap()
                    );
                    schemas.insert(key, schema);
                }
            }
        }
        let wanted = |key: &String| !key.contains("x-k8s.io");
        let compile = |(key, schema): (String, Value)| (key, jsonschema::validator_for(&schema).unwrap());
        Self(schemas.into_iter().filter(|(key, _)| wanted(key)).map(compile).collect())
    }

    /// What is wrong with the resources of a text, each a line.
    fn wrong(&self, name: &str, text: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for resource in documents(text) {
            let kind = format!(
                "{} {}",
                resource["apiVersion"].as_str().unwrap_or_default(),
                resource["kind"].as_str().unwrap_or_default()
            );
            let Some(schema) = self.0.get(&kind) else {
                if !BUILT_IN.contains(&kind.as_str()) {
                    wrong.push(format!("{name}: there is no kind {kind}"));
                }
                continue;
            };
            let errors = schema.iter_errors(&resource);
            wrong.extend(errors.map(|error| format!("{name}: {}: {error}", error.instance_path())));
            wrong.extend(rules_in_cel(&resource).into_iter().map(|error| format!("{name}: {error}")));
        }
        wrong
    }
}

fn documents(text: &str) -> Vec<Value> {
    let documents =
        yaml_serde::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

/// Makes a structural schema one of JSON Schema that takes no field that it does not know.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let keeps = object.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
            let names_fields = object.get("properties").is_some_and(Value::is_object);
            if object.get("type") == Some(&json!("object")) && names_fields && !keeps {
                object.entry("additionalProperties").or_insert(json!(false));
            }
            if object.get("nullable") == Some(&json!(true))
                && let Some(kind) = object.get("type").cloned()
            {
                object.insert("type".to_owned(), json!([kind, "null"]));
            }
            if object.get("format") == Some(&json!("int32")) {
                object.entry("minimum").or_insert(json!(i32::MIN));
                object.entry("maximum").or_insert(json!(i32::MAX));
            }
            // Of what a validation is about, all fields are named above it.
            for (key, value) in object.iter_mut() {
                if !matches!(key.as_str(), "default" | "example" | "enum") {
                    close(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// The rules of the CRDs in CEL that are about fields which `render` writes.
fn rules_in_cel(resource: &Value) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let spec = &resource["spec"];
    let count = |keys: &[&str]| keys.iter().filter(|key| spec.get(**key).is_some()).count();
    let mut rule = |holds: bool, why| {
        if !holds {
            wrong.push(why);
        }
    };
    match resource["kind"].as_str().unwrap_or_default() {
        kind @ ("WasmPlugin" | "TrafficExtension") => {
            rule(
                count(&["selector", "targetRef", "targetRefs"]) <= 1,
                "only one of targetRefs or selector can be set",
            );
            let wasm = if kind == "WasmPlugin" { spec } else { &spec["wasm"] };
            rule(
                kind == "WasmPlugin" || count(&["wasm", "lua"]) == 1,
                "exactly one of wasm or lua must be set",
            );
            let url = wasm["url"].as_str().unwrap_or_default();
            let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
            rule(
                ["", "http", "https", "file", "oci"].contains(&scheme),
                "url must have schema one of [http, https, file, oci]",
            );
            for variable in wasm["vmConfig"]["env"].as_array().into_iter().flatten() {
                let of_host = variable["valueFrom"] == "HOST";
                rule(
                    !of_host || variable.get("value").is_none(),
                    "value may only be set when valueFrom is INLINE",
                );
            }
        }
        "EnvoyFilter" => {
            rule(
                count(&["workloadSelector", "targetRefs"]) <= 1,
                "only one of targetRefs or workloadSelector can be set",
            );
        }
        "EnvoyExtensionPolicy" => {
            rule(count(&["targetRef", "targetRefs"]) == 1, "either targetRef or targetRefs must be used");
            for target in spec["targetRefs"].as_array().into_iter().flatten() {
                rule(
                    target["group"] == "gateway.networking.k8s.io",
                    "this policy can only have a targetRefs[*].group of gateway.networking.k8s.io",
                );
            }
            for wasm in spec["wasm"].as_array().into_iter().flatten() {
                let code = &wasm["code"];
                rule(
                    (code["type"] == "HTTP") == code.get("http").is_some(),
                    "If type is HTTP, http field needs to be set.",
                );
                rule(
                    (code["type"] == "Image") == code.get("image").is_some(),
                    "If type is Image, image field needs to be set.",
                );
            }
        }
        _ => {}
    }
    wrong
}

#[test]
fn the_manifests_are_valid() {
    let schemas = Schemas::read();
    let mut wrong = Vec::new();
    let mut files = 0;
    let mut directories = vec![workspace().join("istio")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let is_yaml = path.extension().is_some_and(|extension| extension == "yaml");
            if path.is_dir() {
                directories.push(path);
            } else if is_yaml && !is_configuration(&path) {
                files += 1;
                wrong.extend(schemas.wrong(&path.to_string_lossy(), &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files >= 25, "{files}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What manifests are rendered from.
fn is_configuration(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    ["config.yaml", "blocking.yaml", "waiting.yaml"].contains(&&*name)
}

/// With every option, and for configurations that use all there is.
#[test]
fn what_is_rendered_is_valid() {
    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let schemas = Schemas::read();
    let istio = |options: &str| format!("istio --url oci://r.example/{{filter}}:1 {options}");
    let commands = [
        istio("--name shop --namespace edge --selector app=edge,tier=front --image-pull-secret registry"),
        istio(&format!(
            "--kind trafficextension --target-ref Gateway/a --target-ref Service/b --sidecar --sha256 {DIGEST}"
        )),
        istio(&format!("--kind envoyfilter --sha256 {DIGEST} --target-ref Gateway/a")),
        istio(&format!("--kind envoyfilter --sha256 {DIGEST} --sidecar")),
        "istio --url file:///m/{module}.wasm --kind envoyfilter".to_owned(),
        "istio --url file:///m/{module}.wasm --fail-strategy FAIL_OPEN".to_owned(),
        "istio --url https://m.example/{module}.wasm --kind trafficextension --fail-strategy FAIL_CLOSE"
            .to_owned(),
        format!(
            "envoy-gateway --url oci://r.example/{{filter}}:1 --target-ref HTTPRoute/orders --image-pull-secret registry --sha256 {DIGEST}"
        ),
        format!(
            "envoy-gateway --url https://m.example/{{module}}.wasm --target-ref Gateway/a --sha256 {DIGEST}"
        ),
    ];
    for filter in ["api-key-quota", "dlp", "error-response", "gateway", "transform"] {
        let config = format!("filters/{filter}/example.json");
        let text = fs::read_to_string(workspace().join(&config)).unwrap();
        let holds_headers = text.contains("\"allow_on_headers_stop_iteration\": true");
        for command in &commands {
            let args = format!("render {command} {config}");
            let args: Vec<_> = args.split_whitespace().collect();
            let ran = meshgate(&args).current_dir(workspace()).ran();
            if holds_headers && !command.contains("envoyfilter") {
                assert!(
                    ran.code == 1
                        && ran.out.is_empty()
                        && ran.err.contains("allow_on_headers_stop_iteration"),
                    "{args:?}: {}",
                    ran.err
                );
                continue;
            }
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
            let wrong = schemas.wrong(&args.join(" "), &ran.out);
            assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), ran.out);
        }
    }
}

/// A schema that took anything would find nothing wrong with the above.
#[test]
fn what_is_wrong_is_noticed() {
    let schemas = Schemas::read();
    let manifest = |name: &str| fs::read_to_string(workspace().join("istio").join(name)).unwrap();
    for (file, good, bad) in [
        ("dlp/wasmplugin.yaml", "pluginName:", "pluginname:"),
        ("dlp/wasmplugin.yaml", "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_CLOSED"),
        ("dlp/wasmplugin.yaml", "priority: 200", "priority: \"200\""),
        ("dlp/wasmplugin.yaml", "kind: WasmPlugin", "kind: WasmPlug"),
        ("dlp/wasmplugin.yaml", "url: oci:", "url: ftp:"),
        ("dlp/trafficextension.yaml", "  wasm:", "  wasm2:"),
        ("dlp/trafficextension.yaml", "    pluginConfig:", "    phase: AUTHN\n    pluginConfig:"),
        ("dlp/gateway-api.yaml", "      name: public", "      nam: public"),
        ("dlp/gateway-api.yaml", "  targetRefs:", "  selector: {}\n  targetRefs:"),
        ("dlp/envoyfilter.yaml", "INSERT_BEFORE", "INSERT_INFRONT"),
        ("dlp/envoyfilter.yaml", "context: GATEWAY", "context: INGRESS"),
        ("envoy-gateway/dlp.yaml", "type: Image", "type: OCI"),
        ("envoy-gateway/dlp.yaml", "failOpen: false", "failStrategy: FAIL_CLOSE"),
        ("walkthrough/gateway.yaml", "protocol: HTTP}", "proto: HTTP}"),
        ("walkthrough/gateway-api.yaml", "gatewayClassName", "gatewayClass"),
    ] {
        let text = manifest(file);
        assert!(text.contains(good), "{file} has no {good:?}");
        assert_eq!(schemas.wrong(file, &text), Vec::<String>::new());
        assert!(!schemas.wrong(file, &text.replace(good, bad)).is_empty(), "{file}: {bad}");
    }
}

/// The fields that `check` knows are those that there are.
#[test]
fn check_knows_the_fields_of_the_schemas() {
    let fields = |kind: &str, path: &[&str]| {
        let directory = workspace().join(".tools/crds");
        let mut found = Vec::new();
        for file in fs::read_dir(directory).unwrap() {
            for crd in documents(&fs::read_to_string(file.unwrap().path()).unwrap()) {
                if crd["spec"]["names"]["kind"] != kind {
                    continue;
                }
                let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
                let node = path.iter().fold(schema, |node, key| &node[*key]);
                found = node["properties"].as_object().unwrap().keys().cloned().collect();
            }
        }
        assert!(!found.is_empty(), "no {kind}: run `scripts/setup.sh crds`");
        found
    };
    // Each field, given to `check` where it belongs, is none that it does not know.
    let check = |before: &str, field: &str, indent: usize| {
        let yaml = format!("{before}{}{field}: 1\n", " ".repeat(indent));
        let ran = meshgate(&["check", "-"]).input(yaml.as_bytes());
        let unknown = |field: &str, out: &str| out.contains(&format!("found \"{field}\", expected one of"));
        assert!(!unknown(field, &ran.out), "{field}: {}", ran.out);
        let wrong = format!("{before}{}{field}x: 1\n", " ".repeat(indent));
        let ran = meshgate(&["check", "-"]).input(wrong.as_bytes());
        assert!(unknown(&format!("{field}x"), &ran.out), "{field}x: {}", ran.out);
    };
    let head = |kind: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: dlp}}\nspec:\n");
    for field in fields("WasmPlugin", &[]) {
        check(&head("WasmPlugin"), &field, 2);
    }
    for field in fields("TrafficExtension", &[]).iter().filter(|field| *field != "wasm") {
        check(&format!("{}  wasm: {{}}\n", head("TrafficExtension")), field, 2);
    }
    for field in fields("TrafficExtension", &["properties", "wasm"]) {
        check(&format!("{}  wasm:\n", head("TrafficExtension")), &field, 4);
    }
    for field in fields("EnvoyExtensionPolicy", &["properties", "wasm", "items"]) {
        let name = if field == "name" { "" } else { "      name: dlp\n" };
        check(
            &format!("{}  wasm:\n    - code: {{image: {{url: dlp}}}}\n{name}", head("EnvoyExtensionPolicy")),
            &field,
            6,
        );
    }
}
