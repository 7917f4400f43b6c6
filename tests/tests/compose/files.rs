//! The bootstraps and the files of the containers, as they are.

use std::time::Duration;

use meshgate_e2e::Value;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_every_bootstrap() {
    for name in bootstraps() {
        validate(&with_built_modules(&read(&name), "target/wasm32-wasip1/release")).await;
    }
}

/// As the Dockerfile makes it: the same, but for what a container needs.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_every_bootstrap_in_a_container() {
    for name in bootstraps() {
        let line = format!("sed -f envoy-configs/container.sed envoy-configs/{name}");
        let text = sh(&line, Duration::from_secs(60)).await;
        let mut yaml: Value = yaml_serde::from_str(&text).unwrap();
        let mut original: Value = yaml_serde::from_str(&read(&name)).unwrap();
        let address = |host: &str, port: u16| serde_json::json!({"socket_address": {"address": host, "port_value": port}});
        for (pointer, expected) in [
            ("/admin/address", address("0.0.0.0", 9901)),
            ("/admin/allow_paths", serde_json::json!([{"prefix": "/stats"}, {"exact": "/ready"}])),
            ("/static_resources/listeners/0/address", address("0.0.0.0", 10000)),
            ("/static_resources/clusters/0/type", "STRICT_DNS".into()),
            (
                "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address",
                address("upstream", 10001),
            ),
        ] {
            assert_eq!(yaml.pointer(pointer), Some(&expected), "{name}: {pointer}");
            // What is compared below is all the rest.
            for document in [&mut yaml, &mut original] {
                if let Some(value) = document.pointer_mut(pointer) {
                    *value = Value::Null;
                }
            }
        }
        original["admin"]["allow_paths"] = Value::Null;
        let moved = original.to_string().replace("target/wasm32-wasip1/release/", "/etc/envoy/");
        assert_eq!(yaml.to_string(), moved, "{name}");
        validate(&with_built_modules(&text, "/etc/envoy")).await;
    }
}

/// The compiler and the Envoy of the images are those that the project is tested with.
#[test]
fn images_have_the_versions_of_the_project() {
    let dockerfile = read("Dockerfile");
    let image = |name: &str| {
        let line = dockerfile.lines().find_map(|line| line.strip_prefix(&format!("ARG {name}=")));
        line.unwrap_or_else(|| panic!("no ARG {name}")).to_owned()
    };
    let of_project = |file: &str, before: &str| {
        let text = std::fs::read_to_string(paths::workspace().join(file)).unwrap();
        let value =
            text.lines().find_map(|line| line.strip_prefix(before)).map(|value| value.trim_matches('"'));
        value.unwrap_or_else(|| panic!("{file} has no {before}")).to_owned()
    };
    let channel = of_project("rust-toolchain.toml", "channel = ");
    assert_eq!(image("RUST"), format!("rust:{channel}-slim-bookworm"));
    assert_eq!(
        image("ENVOY"),
        format!("envoyproxy/envoy:v{}", of_project("scripts/setup.sh", "envoy_version="))
    );
}

#[test]
fn containers_have_no_more_rights_than_they_need() {
    let compose: Value = yaml_serde::from_str(&read("docker-compose.yml")).unwrap();
    let hardened = serde_json::json!({
        "read_only": true,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
    });
    let services = compose["services"].as_object().unwrap();
    assert!(services.len() >= 4);
    for (name, service) in services {
        assert_eq!(service["<<"], hardened, "{name}");
        assert!(service["mem_limit"].is_string() && service["pids_limit"].is_u64(), "{name}");
        for right in ["privileged", "cap_add", "network_mode", "pid", "devices"] {
            assert_eq!(service[right], Value::Null, "{name}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port}");
        }
        let image = service["image"].as_str().unwrap();
        let pinned = image.rsplit_once(':').is_some_and(|(_, tag)| tag.contains('.'));
        assert!(pinned || image.starts_with("meshgate-"), "{name}: {image}");
    }
}
