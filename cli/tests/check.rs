//! `meshgate check`, as a user runs it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "test code"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::{Ran, directory, meshgate, workspace};

/// What `wrong.txt` says.
struct Wrong<'a> {
    file: &'a str,
    what: &'a str,
    text: String,
    /// What is printed, with its places.
    expected: String,
}

const MARK: char = '‸';

fn wrong_documents() -> Vec<Wrong<'static>> {
    let cases = include_str!("wrong.txt").split("\n=== ").skip(1);
    let case = |case: &'static str| {
        let (head, rest) = case.split_once('\n').unwrap();
        let (file, what) = head.split_once(": ").unwrap();
        let (marked, messages) = rest.split_once("\n>>> ").unwrap();
        let mut expected = String::new();
        let messages: Vec<_> = messages.trim_end().split("\n>>> ").collect();
        assert_eq!(marked.matches(MARK).count(), messages.len(), "{what}: a mark for each problem");
        let places = marked.match_indices(MARK).map(|(at, _)| {
            let text = marked[..at].replace(MARK, "");
            (text.matches('\n').count() + 1, text.rsplit('\n').next().unwrap().chars().count() + 1)
        });
        for ((line, column), message) in places.zip(messages) {
            writeln!(expected, "{file}:{line}:{column}: {message}").unwrap();
        }
        Wrong { file, what, text: format!("{}\n", marked.replace(MARK, "")), expected }
    };
    cases.map(case).collect()
}

#[test]
fn each_problem_is_a_line_with_its_place() {
    let cases = wrong_documents();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut different = String::new();
    for Wrong { file, what, text, expected } in cases {
        let directory = directory(&[(file, text.as_bytes())]);
        let ran = meshgate(&["check", file]).current_dir(directory.path()).ran();
        if !like(&expected, &ran.out) || ran.code != 1 {
            writeln!(different, "{what}:\n{}expected {}:\n{expected}", ran.out, ran.code).unwrap();
        }
    }
    assert!(different.is_empty(), "\n{different}");
}

/// Whether a text is what is expected, where `...` stands for anything.
fn like(expected: &str, text: &str) -> bool {
    let mut parts = expected.split("...");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut open = false;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        open = part.is_empty();
    }
    rest.is_empty() || open
}

/// The filters' pages and examples, and the bootstraps, have nothing wrong in them.
#[test]
fn what_the_project_shows_is_good() {
    let bootstraps = meshgate(&["check", "--strict", "envoy-configs"]).current_dir(workspace()).ran();
    assert_eq!((bootstraps.code, bootstraps.out.as_str()), (0, ""), "{}", bootstraps.err);
    assert!(
        bootstraps.err.starts_with("checked 9 configurations in 11 files: all good"),
        "{}",
        bootstraps.err
    );
    let mut pages = vec![(workspace().join("README.md"), String::new())];
    for filter in fs::read_dir(workspace().join("filters")).unwrap() {
        let filter = filter.unwrap().path();
        let name = filter.file_name().unwrap().to_str().unwrap();
        let example = meshgate(&["check", "--strict"]).arg(filter.join("example.json")).ran();
        assert_eq!((example.code, example.out.as_str()), (0, ""), "{name}");
        pages.push((filter.join("README.md"), name.to_owned()));
    }
    for (page, filter) in pages {
        let mut checked = 0;
        for (fence, block) in blocks(&fs::read_to_string(&page).unwrap()) {
            let args: &[&str] =
                match fence.strip_prefix("json config").or_else(|| fence.strip_prefix("json demo")) {
                    Some("") => &["check", "--filter", &filter, "-"],
                    Some(other) => &["check", "--filter", other.trim_start(), "-"],
                    None if fence == "yaml filter" => &["check", "-"],
                    None => continue,
                };
            let ran = meshgate(args).input(block.as_bytes());
            // A pepper is not in the environment of a test.
            let notes = ran.out.lines().all(|line| line.contains(": note: "));
            assert!(ran.code == 0 && notes, "{}: {}{}\n{block}", page.display(), ran.out, ran.err);
            checked += 1;
        }
        assert!(checked >= 2, "{} has {checked} configurations", page.display());
    }
}

/// The fenced blocks of a page: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut lines = page.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((fence, block.join("\n")));
        }
    }
    blocks
}

const DLP: &str = "rules: [{find: secrets, in: request.body, do: block}]\n";

fn check(name: &str, text: impl AsRef<[u8]>) -> Ran {
    let directory = directory(&[(name, text.as_ref())]);
    meshgate(&["check", name]).current_dir(directory.path()).ran()
}

#[test]
fn good_documents_pass_whatever_their_form() {
    let config = |filter: &str, config: &str| {
        format!(
            "typed_config:\n  '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n  config:\n    \
             name: {filter}\n    configuration:\n{config}\n"
        )
    };
    let string = "      '@type': type.googleapis.com/google.protobuf.StringValue\n      value: ";
    let json = r#"{"rules": [{"find": "secrets", "in": "request.body", "do": "block"}]}"#;
    for (what, text) in [
        ("a list of filters", format!("- {}", config("dlp", &format!("{string}'{json}'")).replace('\n', "\n  "))),
        ("an anchor", format!("x: &rule {{find: secrets, in: request.body, do: block}}\n{}", config("dlp", "      '@type': type.googleapis.com/google.protobuf.Struct\n      value: {rules: [*rule]}"))),
        ("base64", config("dlp", "      '@type': type.googleapis.com/google.protobuf.BytesValue\n      value: eyJydWxlcyI6IFt7ImZpbmQiOiAic2VjcmV0cyIsICJpbiI6ICJyZXF1ZXN0LmJvZHkiLCAiZG8iOiAiYmxvY2sifV19")),
        ("a byte order mark", format!("\u{feff}{DLP}")),
        ("a list of resources", format!("apiVersion: v1\nkind: List\nitems:\n- apiVersion: extensions.istio.io/v1alpha1\n  kind: WasmPlugin\n  spec: {{url: file:///dlp.wasm, pluginConfig: {{{}}}}}\n", DLP.trim_end())),
        ("a merge in Kubernetes", "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nx: &x {find: secrets, in: request.body}\nspec:\n  url: file:///dlp.wasm\n  pluginConfig: {rules: [{<<: *x, do: block}]}\n".to_owned()),
    ] {
        let ran = check("x.yaml", text);
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{what}: {}", ran.err);
        assert_eq!(ran.err, "checked 1 configuration in 1 file: all good\n", "{what}");
    }
}

#[test]
fn filters_of_others_are_skipped_and_counted() {
    let other = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: waf}\nspec: {url: \
                 'oci://ghcr.io/corazawaf/coraza:1.0', pluginConfig: {rules: [x], directives_map: {}}}\n";
    let files = [("waf.yaml", other.as_bytes()), ("dlp.yaml", DLP.as_bytes())];
    let directory = directory(&files);
    let ran = meshgate(&["check", "--verbose", "."]).current_dir(directory.path()).ran();
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.out,
        "./dlp.yaml:1:1: checked as dlp: a document\n./waf.yaml:4:7: skipped: WasmPlugin waf\n"
    );
    let one = "checked 1 configuration in 2 files: all good (1 Wasm filter of others skipped)\n";
    assert_eq!(ran.err, one);
    // A file that was named and has nothing of ours may be the wrong one.
    let ran = meshgate(&["check", "waf.yaml"]).current_dir(directory.path()).ran();
    assert!(ran.code == 1 && ran.out.starts_with("waf.yaml:1:1: $: found no configuration"), "{}", ran.out);
}

/// Many things are called `gateway`: what is ours shows in the configuration, or in the name of the project.
#[test]
fn a_gateway_of_somebody_else_is_skipped() {
    let istio = |url: &str, config: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: gateway}}\nspec: {{url: '{url}'{config}}}\n"
        )
    };
    let envoy_gateway = |config: &str| {
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nmetadata: {{name: gateway}}\nspec: {{wasm: [{{name: gateway, code: {{type: Image, image: {{url: x/gateway:1}}}}{config}}}]}}\n"
        )
    };
    let envoy = |config: &str| {
        format!(
            "typed_config:\n  '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n  config:\n    name: gateway\n    vm_config: {{code: {{local: {{filename: /etc/gateway.wasm}}}}}}\n    configuration: {{'@type': type.googleapis.com/google.protobuf.StringValue, value: '{config}'}}\n"
        )
    };
    let theirs = ", pluginConfig: {routes: [{to: a}], rules: [], log_level: info}";
    let ours = ", pluginConfig: {pipeline: [{error-response: {}}]}";
    for (what, skipped, text) in [
        ("an image of others", true, istio("oci://x/gateway:1", theirs)),
        ("one without a configuration", true, istio("oci://x/gateway:1", "")),
        ("a policy of others", true, envoy_gateway(", config: {routes: []}")),
        ("a filter of others", true, envoy(r#"{"routes": []}"#)),
        ("a filter of others with a text", true, envoy("log_level=info")),
        ("our configuration", false, istio("oci://x/gateway:1", ours)),
        (
            "our configuration in a policy",
            false,
            envoy_gateway(", config: {pipeline: [{error-response: {}}]}"),
        ),
        ("our configuration in Envoy", false, envoy(r#"{"pipeline": [{"error-response": {}}]}"#)),
    ] {
        let directory = directory(&[("x.yaml", text.as_bytes())]);
        let ran = meshgate(&["check", "--verbose", "."]).current_dir(directory.path()).ran();
        let expected = if skipped { ": skipped: " } else { ": checked as gateway: " };
        assert!(ran.code == 0 && ran.out.contains(expected), "{what}: {}{}", ran.out, ran.err);
    }
    // An image of the project's own with a configuration of others is a mistake.
    let ran = check("x.yaml", istio("oci://registry.example.com/meshgate/gateway:1", theirs));
    assert!(
        ran.code == 1 && ran.out.contains("found unknown field \"routes\", expected one of \"pipeline\""),
        "{}",
        ran.out
    );
    let ran = check("x.yaml", istio("oci://registry.example.com/meshgate/gateway:1", ""));
    assert!(ran.code == 1 && ran.out.contains("found an empty document"), "{}", ran.out);
}

#[test]
fn directories_are_walked_for_what_is_ours() {
    let wrong = "rules: [{find: secrets, in: request.body, do: hide}]\n";
    let directory = directory(&[
        ("a/deep/dlp.yml", wrong.as_bytes()),
        ("a/package.json", br#"{"name": "x", "rules": 1, "version": "1.0.0"}"#),
        ("a/notes.txt", b"rules: []"),
        (".hidden/dlp.yaml", wrong.as_bytes()),
        ("z.json", br#"{"rules": [{"request": [{"remove": {"header": "x-a"}}]}]}"#),
    ]);
    let ran = meshgate(&["check", "."]).current_dir(directory.path()).ran();
    assert_eq!(ran.code, 1);
    let places: Vec<_> = ran.out.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["./a/deep/dlp.yml:1:47"], "{}", ran.out);
    assert_eq!(ran.err, "checked 2 configurations in 3 files: 1 error\n");
}

#[test]
fn programs_get_json() {
    let directory =
        directory(&[("dlp.yaml", b"rules: [{find: secrets, in: request.body, do: hide}]\n".as_slice())]);
    let ran = meshgate(&["check", "--output", "json", "dlp.yaml"]).current_dir(directory.path()).ran();
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let problem = &report["problems"][0];
    let expected = json!({
        "file": "dlp.yaml", "line": 1, "column": 47, "severity": "error", "filter": "dlp", "carrier": null,
        "path": "rules[0].do", "problem": null, "found": "\"hide\"", "expected": problem["expected"], "hint": null,
        "message": problem["message"],
    });
    assert_eq!(*problem, expected);
    assert!(problem["message"].as_str().unwrap().starts_with("rules[0].do: found \"hide\", expected mask"));
    assert_eq!(
        (&report["files"], &report["unreadable"], &report["skipped"]),
        (&json!(1), &json!(0), &json!([]))
    );
    assert_eq!(report["checked"][0]["filter"], "dlp");
}

#[test]
fn a_variable_of_the_proxy_need_not_be_set_here() {
    let quota = "plans: {free: {limits: []}}\npepper: {env: MESHGATE_TEST_PEPPER}\nconsumers: []\n";
    let directory = directory(&[("quota.yaml", quota.as_bytes())]);
    let mut command = meshgate(&["check", "quota.yaml"]).current_dir(directory.path());
    let ran = command.ran();
    let note = "quota.yaml:1:1: note: $: the environment variable MESHGATE_TEST_PEPPER is not set here: what is in it was \
                not checked\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, note));
    assert_eq!(command.env("MESHGATE_TEST_PEPPER", "0123456789abcdef").ran().out, "");
    let short = command.env("MESHGATE_TEST_PEPPER", "s3cret").ran();
    assert!(short.out.starts_with("quota.yaml:2:15: pepper.env: found a secret of 6 bytes"), "{}", short.out);
    assert!(!short.out.contains("s3cret"));

    // Where the file says what the VM has, that is what counts.
    let plugin = |env: &str| {
        let plugin = format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  url: file:///api_key_quota.wasm\n  vmConfig: {{env: [{env}]}}\n  pluginConfig:\n    {}",
            quota.replace('\n', "\n    ")
        );
        check("x.yaml", plugin)
    };
    assert_eq!(plugin("{name: MESHGATE_TEST_PEPPER, value: 0123456789abcdef}").out, "");
    assert!(plugin("{name: MESHGATE_TEST_PEPPER, valueFrom: HOST}").out.contains(": note: "));
    assert_eq!(plugin("").code, 1);
    assert_eq!(plugin("{name: OTHER, value: 0123456789abcdef}").code, 1);
}

#[test]
fn words_that_are_booleans_in_kubernetes_are_warned_of() {
    let text = "consumers: []\nplans:\n  on: {limits: []}\n  free: {limits: [{name: x, quota: 0_10/d}]}\nrealm: 'off'\n";
    let directory = directory(&[("quota.yaml", text.as_bytes())]);
    let ran = meshgate(&["check", "quota.yaml"]).current_dir(directory.path()).ran();
    let line = "quota.yaml:3:3: warning: plans: found an unquoted y, n, yes, no, on or off, which Kubernetes and Envoy read \
                as a boolean, expected true, false or a string: quote it\n";
    assert!(ran.out.contains(line), "{}", ran.out);
    let good = text.replace("0_10/d", "10/d");
    fs::write(directory.path().join("quota.yaml"), good).unwrap();
    let ran = meshgate(&["check", "quota.yaml"]).current_dir(directory.path()).ran();
    assert_eq!((ran.code, ran.out.as_str()), (0, line));
    assert_eq!(meshgate(&["check", "--strict", "quota.yaml"]).current_dir(directory.path()).ran().code, 1);
}

#[test]
fn colours_are_for_terminals() {
    let plain = check("dlp.yaml", "rules: x\n").out;
    assert!(plain.starts_with("dlp.yaml:1:8: ") && !plain.contains('\u{1b}'), "{plain}");
    let always = meshgate(&["check", "--color", "always", "--filter", "dlp", "-"]).input(b"rules: x\n");
    assert!(always.out.starts_with("\u{1b}[1m<stdin>:1:8:\u{1b}[0m "), "{:?}", always.out);
}

#[test]
fn hostile_files_get_a_line() {
    let laughs: String = (1..30).fold("a0: &a0 [x]\n".to_owned(), |mut text, level: u32| {
        let before = format!("*a{}", level - 1);
        let all = [before.as_str(); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{all}]").unwrap();
        text
    });
    // Each merge of a large object takes as long as that is, and not that many times as long.
    let keys: String = (0..20_000).fold(String::new(), |keys, number| keys + &format!("  k{number}: 1\n"));
    let merges = format!("a: &a\n{keys}b:\n{}", "- {<<: *a}\n".repeat(100));
    let long = format!(r#"{{"realm": "{}"}}"#, "x".repeat(20 << 20));
    let deep = format!("rules: {}", "[".repeat(100_000));
    let json = format!(r#"{{"rules": {}"#, "[".repeat(100_000));
    for (what, name, text, line) in [
        ("empty", "x.yaml", b"".as_slice(), "x.yaml:1:1: $: found no configuration"),
        ("empty JSON", "x.json", b"", "x.json:1:1: $: found no configuration"),
        ("comments", "x.yaml", b"# a\n---\n# b\n", "x.yaml:1:1: $: found no configuration"),
        ("bytes", "x.yaml", b"a: b\nc: \xff\xfe", "x.yaml:2:4: $: found a byte that is not UTF-8"),
        ("UTF-16", "x.yaml", b"\xff\xfea\0", "x.yaml:1:1: $: found UTF-16"),
        ("NUL", "x.yaml", b"a\0b: c", "x.yaml:1:"),
        ("a list", "x.yaml", b"- 1\n", "x.yaml:1:1: $: found no configuration"),
        ("a word", "x.yaml", b"hello", "x.yaml:1:1: $: found no configuration"),
        ("laughs", "x.yaml", laughs.as_bytes(), "x.yaml:7:"),
        ("merges", "x.yaml", merges.as_bytes(), "x.yaml:20052:8: $: found aliases that stand for"),
        ("itself", "x.yaml", b"a: &a [*a]", "x.yaml:1:8: $: found an alias inside what it names"),
        (
            "20 MiB",
            "api-key-quota.json",
            long.as_bytes(),
            "api-key-quota.json:1:1: $: found a document of 20971533 bytes",
        ),
        ("20 MiB", "api-key-quota.yaml", long.as_bytes(), "api-key-quota.yaml:1:1: $: found a document of"),
        ("deep", "x.yaml", deep.as_bytes(), "x.yaml:1:"),
        ("deep JSON", "x.json", json.as_bytes(), "x.json:1:"),
        (
            "truncated",
            "dlp.json",
            b"{\"rules\": [{\"fi",
            "dlp.json:1:16: $: found invalid JSON (it ends inside a string)",
        ),
    ] {
        let ran = check(name, text);
        assert_eq!(ran.code, 1, "{what}: {}", ran.err);
        assert!(ran.out.starts_with(line) && ran.out.lines().count() == 1, "{what}: {}", ran.out);
        assert!(ran.err.starts_with("checked ") && ran.err.lines().count() == 1, "{what}: {}", ran.err);
    }
}

#[test]
fn what_can_not_be_read_is_another_exit_status() {
    let directory = directory(&[("dlp.yaml", DLP.as_bytes())]);
    let ran = meshgate(&["check", "gone.yaml", "dlp.yaml"]).current_dir(directory.path()).ran();
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.starts_with("meshgate: cannot read gone.yaml: "), "{}", ran.err);
    assert!(ran.err.ends_with("checked 1 configuration in 1 file: 1 not read\n"), "{}", ran.err);
    for args in
        [&["check"][..], &["check", "--filter", "other", "x"], &["check", "--no-such", "x"], &["nothing"]]
    {
        assert_eq!(meshgate(args).ran().code, 2, "{args:?}");
    }
}

/// A directory that nobody may read, for whoever is not root.
#[cfg(unix)]
#[test]
fn an_unreadable_directory_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let directory = directory(&[("shut/dlp.yaml", DLP.as_bytes()), ("dlp.yaml", DLP.as_bytes())]);
    let shut = directory.path().join("shut");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::read_dir(&shut).is_ok();
    let ran = meshgate(&["check", "."]).current_dir(directory.path()).ran();
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
    if readable {
        assert_eq!(ran.code, 0);
    } else {
        assert_eq!(ran.code, 2);
        assert!(ran.err.starts_with("meshgate: cannot read ./shut: "), "{}", ran.err);
    }
}

#[test]
fn the_page_shows_what_it_prints() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = blocks(&page);
    let block = |fence: &str| &blocks.iter().find(|(name, _)| *name == fence).unwrap().1;
    let directory = directory(&[("quota.yaml", block("yaml quota.yaml").as_bytes())]);
    let ran = meshgate(&["check", "quota.yaml"]).current_dir(directory.path()).ran();
    assert_eq!(format!("$ meshgate check quota.yaml\n{}{}", ran.out, ran.err).trim_end(), block("text"));
}
