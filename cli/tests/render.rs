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
    for filter in ["api-key-quota", "dlp", "error-response", "gateway", "transform"] {
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

#[test]
fn several_filters_are_a_chain() {
    let files = ["transform", "dlp", "api-key-quota", "error-response"]
        .map(|name| format!("istio/{name}/config.yaml"));
    let render = |options: &[&str]| {
        let args: Vec<_> = ["render", "istio"]
            .iter()
            .copied()
            .chain(options.iter().copied())
            .chain(files.iter().map(String::as_str))
            .collect();
        meshgate(&args).current_dir(workspace()).ran()
    };
    let url = "oci://r.example/{filter}:1";
    let out = directory(&[]);
    let path = format!("{}/", out.path().join("new").display());
    let ran = render(&["--url", url, "--name", "shop", "--output", &path]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        ["shop-api-key-quota.yaml", "shop-dlp.yaml", "shop-error-response.yaml", "shop-transform.yaml"]
    );
    let file = |name: &str| fs::read_to_string(format!("{path}{name}")).unwrap();
    assert!(file("shop-dlp.yaml").contains("url: oci://r.example/dlp:1\n"));

    // The same in one text, earlier ones with higher priorities, in an EnvoyFilter with the order in which they are applied.
    let ran = render(&["--url", url]);
    assert_eq!(ran.out.matches("---\n").count(), 3);
    let priorities = |text: &str| -> Vec<i32> {
        text.lines().filter_map(|line| line.trim().strip_prefix("priority: ")?.parse().ok()).collect()
    };
    assert_eq!(priorities(&ran.out), [1000, 900, 200, 100]);
    let ran = render(&["--url", "file:///m/{module}.wasm", "--kind", "envoyfilter"]);
    assert_eq!(priorities(&ran.out), [1000, 900, 800, 900]);
    assert!(ran.out.contains("filename: /m/api_key_quota.wasm"));

    // Two of one filter have names of their own.
    let ran = meshgate(&[
        "render",
        "envoy",
        "--form",
        "filter",
        "istio/dlp/config.yaml",
        "istio/dlp/blocking.yaml",
    ])
    .current_dir(workspace())
    .ran();
    let names: Vec<_> = ran.out.lines().filter_map(|line| line.strip_prefix("- name: ")).collect();
    assert_eq!(names, ["dlp", "dlp-2"]);
}

/// What is wrong is said as `check` says it, and nothing is rendered.
#[test]
fn wrong_configurations_are_not_rendered() {
    let files = directory(&[
        ("dlp.yaml", b"rules: [{find: paymant, in: response.body, do: block}]"),
        ("plugin.yaml", b"apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: dlp}\nspec: {url: dlp, pluginConfig: {rules: []}}"),
        ("error-response.yaml", b"{}"),
        ("transform.yaml", b"rules: [{response: [{set: {header: x-y, to: on}}]}]"),
    ]);
    let render = |args: &[&str]| meshgate(&[&["render"], args].concat()).current_dir(&files).ran();
    let check = meshgate(&["check", "dlp.yaml"]).current_dir(&files).ran();
    let ran = render(&["envoy", "dlp.yaml", "error-response.yaml"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err), (1, "", check.out));
    let ran = render(&["envoy", "plugin.yaml"]);
    let expected =
        "plugin.yaml:4:7: $: found WasmPlugin dlp, expected a configuration in a document of its own\n";
    assert_eq!((ran.code, ran.err.as_str()), (1, expected));
    let ran = render(&["local-reply", "dlp.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    let ran = render(&["envoy", "no.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("cannot read no.yaml"), "{}", ran.err);
    let ran = render(&["envoy", "error-response.yaml", "--output", "error-response.yaml/x"]);
    assert!(ran.code == 2 && ran.err.contains("cannot write error-response.yaml"), "{}", ran.err);
    assert_eq!(
        meshgate(&["render", "envoy", "--filter", "error-response", "-"]).input(b"type_base: 'x:'").code,
        0
    );
}

/// Options that do not go together are errors that say what to write.
#[test]
fn options_that_do_not_go_together_are_refused() {
    let files = directory(&[
        ("dlp.yaml", b"rules: [{find: payment, in: response.body, do: {mask: {keep_last: 4}}}]"),
        ("error-response.yaml", b"{}"),
    ]);
    let long = "x".repeat(64);
    for (args, said) in [
        ("istio dlp.yaml", "--url <URL>"),
        ("istio dlp.yaml --url r.example/dlp", "expected oci://"),
        ("istio dlp.yaml error-response.yaml --url oci://r/dlp:1", "put {filter} or {module}"),
        ("istio dlp.yaml --url oci://r/dlp:1 --sha256 12", "64 hexadecimal digits"),
        (
            "istio dlp.yaml --url oci://r/dlp:1 --sha256 transform=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "there is no transform",
        ),
        (
            "istio dlp.yaml --url file:///dlp.wasm --sha256 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "leave it out",
        ),
        ("istio dlp.yaml --url file:///dlp.wasm --image-pull-secret s", "--url oci://"),
        ("istio dlp.yaml --url oci://r/dlp:1 --selector a=b --target-ref Gateway/a", "cannot be used with"),
        ("istio dlp.yaml --url oci://r/dlp:1 --target-ref Pod/a", "expected Gateway"),
        ("istio dlp.yaml --url oci://r/dlp:1 --selector ab", "expected a label"),
        ("istio dlp.yaml --url oci://r/dlp:1 --name Shop", "lower-case letters"),
        (&format!("istio dlp.yaml --url oci://r/dlp:1 --name {long}"), "1 to 63"),
        ("istio dlp.yaml --url oci://r/dlp:1 --kind envoyfilter", "add --sha256"),
        (
            "istio dlp.yaml --url file:///d.wasm --kind envoyfilter --fail-strategy FAIL_OPEN",
            "failure_policy",
        ),
        ("envoy-gateway dlp.yaml --url file:///d.wasm --target-ref Gateway/a", "not from file://"),
        ("envoy-gateway dlp.yaml --url oci://r/dlp:1", "--target-ref"),
        ("envoy-gateway dlp.yaml --url oci://r/dlp:1 --target-ref Service/a", "expected Gateway"),
        ("envoy dlp.yaml --upstream orders", "a host and a port"),
        ("envoy dlp.yaml --listen 127.0.0.1:0", "a host and a port"),
        ("compose dlp.yaml", "--output"),
        ("local-reply dlp.yaml", "expected a configuration of error-response"),
    ] {
        let args: Vec<_> = ["render"].into_iter().chain(args.split_whitespace()).collect();
        let ran = meshgate(&args).current_dir(&files).ran();
        assert!(
            ran.code == 2 && ran.out.is_empty() && ran.err.contains(said),
            "{args:?}: {} {}",
            ran.code,
            ran.err
        );
    }
}

/// What Envoy has no means for is named with its place, never left out in silence.
#[test]
fn what_a_local_reply_can_not_say_is_named() {
    let rules = br#"formats: [html, json]
direct: [{match: {path: /x}, respond: {}}]
maintenance: {match: {path: /m}}
rules:
  - {when: "request.method == 'GET'", respond: {}}
  - {match: {percent: 5}, respond: {}}
  - {match: {path: [/a, {regex: "/b.*"}]}, respond: {}}
  - {match: {header: {x-a: {not: b}}}, respond: {}}
  - {match: {origin: upstream}, respond: {}}
  - match: {status: 503}
    respond:
      title: "{{ request.query.x }}"
      members: {a: "{{ uuid() }}", b: "{{ now }}"}
      headers: {set: {x-b: "{% if 1 %}a{% endif %}"}, remove: [x-c]}
      body: {json: "{}"}
      grpc_status: UNAVAILABLE
"#;
    let files = directory(&[("error-response.yaml", rules)]);
    let ran = meshgate(&["render", "local-reply", "--errors", "all", "error-response.yaml"])
        .current_dir(&files)
        .ran();
    assert_eq!(ran.code, 0, "{}", ran.err);
    for line in [
        ":1:10: warning: formats: ",
        ":2:9: warning: direct: ",
        ":3:14: warning: maintenance: ",
        ":5:12: warning: rules[0].when: ",
        ":6:23: warning: rules[1].match.percent: ",
        ":7:25: warning: rules[2].match.path[1]: ",
        ":8:28: warning: rules[3].match.header.x-a: ",
        ":9:13: note: rules[4].match: ",
        ":12:14: warning: rules[5].respond.title: ",
        ":13:20: warning: rules[5].respond.members.a: ",
        ":14:28: warning: rules[5].respond.headers.set.x-b: ",
        ":14:63: warning: rules[5].respond.headers.remove: ",
        ":15:13: warning: rules[5].respond.body: ",
        ":16:20: warning: rules[5].respond.grpc_status: ",
    ] {
        assert!(
            ran.err.contains(&format!("error-response.yaml{line}not in local_reply_config: ")),
            "{line}\n{}",
            ran.err
        );
    }
    assert_eq!(ran.err.lines().count(), 14, "{}", ran.err);
    assert!(
        ran.out.contains("b: \"%START_TIME") && ran.out.contains("content_type: application/json"),
        "{}",
        ran.out
    );
}

/// In what a proxy reads as YAML 1.1, and after a trip through a `Struct`, texts are still texts.
#[test]
fn words_that_look_like_something_else_are_quoted() {
    let config = br#"{"rules": [{"response": [{"set": {"header": "x-a", "to": "on"}}, {"set": {"header": "x-b", "to": "1e3"}},
        {"set": {"json": "/a", "to": {"y": "n", "22:00": "1_000", "big": 12345678901, "e": 1e3}}}]}]}"#;
    let files = directory(&[("transform.json", config)]);
    let ran = meshgate(&["render", "istio", "transform.json", "--url", "oci://r/transform:1"])
        .current_dir(&files)
        .ran();
    assert_eq!(ran.code, 0, "{}", ran.err);
    for line in
        ["to: \"on\"", "to: \"1e3\"", "\"y\": \"n\"", "\"22:00\": \"1_000\"", "big: 12345678901", "e: 1000"]
    {
        assert!(ran.out.contains(line), "{line}\n{}", ran.out);
    }
    // Twice the same, to the byte.
    let again = meshgate(&["render", "istio", "transform.json", "--url", "oci://r/transform:1"])
        .current_dir(&files)
        .ran();
    assert_eq!(ran.out, again.out);
}

/// Names of variables are passed on, and their values never read.
#[test]
fn variables_are_named_and_not_shown() {
    let config =
        b"pepper: {env: MESHGATE_PEPPER}\nplans: {all: {}}\nconsumers: [{name: a, plan: all, keys: []}]\n";
    let files = directory(&[("api-key-quota.yaml", config)]);
    for (args, expected) in [
        (&["istio", "--url", "oci://r/a:1"][..], "      - name: MESHGATE_PEPPER\n        valueFrom: HOST\n"),
        (&["envoy"], "host_env_keys: [MESHGATE_PEPPER]"),
        (
            &["envoy-gateway", "--url", "oci://r/a:1", "--target-ref", "Gateway/a"],
            "hostKeys: [MESHGATE_PEPPER]",
        ),
    ] {
        let args = [&["render"], args, &["api-key-quota.yaml"]].concat();
        let ran = meshgate(&args).current_dir(&files).env("MESHGATE_PEPPER", "a secret of 16 bytes").ran();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        assert!(ran.out.contains(expected) && !ran.out.contains("a secret"), "{}", ran.out);
    }
}
