//! `meshgate explain`, as a user runs it: on the modules that `make build` makes.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{block, directory, meshgate, workspace};

#[test]
fn the_page_shows_what_it_prints() {
    let shown = block("text explain");
    let directory = directory(&[("explain.yaml", block("yaml explain.yaml").as_bytes())]);
    let args = [
        "explain",
        "-c",
        "transform=explain.yaml",
        "-X",
        "PUT",
        "-d",
        r#"{"fullName": "Ada"}"#,
        "--response-header",
        "x-powered-by: PHP",
        "/v1/users/7",
    ];
    let words = args.map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { arg.to_owned() });
    let ran = meshgate(&args).current_dir(directory.path()).ran();
    assert_eq!(format!("$ meshgate {}\n{}{}", words.join(" "), ran.out, ran.err).trim_end(), shown);
    assert_eq!(ran.code, 0);
}

const QUOTA: &str = r#"
plans: {free: {limits: [{name: burst, rate: 2/s}]}}
filter_state: true
consumers: [{name: alice, plan: free, keys: [{id: a, sha256: 72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20}]}]
"#;

#[test]
fn a_chain_is_told_in_the_order_in_which_it_is_passed() {
    let files = [
        ("quota.yaml", QUOTA),
        ("error-response.yaml", "{}"),
        ("rules.yaml", "rules: [{request: [{set: {path: /v2}}], response: [{set: {header: x-b, to: '1'}}]}]"),
    ];
    let directory = directory(&files.map(|(name, text)| (name, text.as_bytes())));
    let explain = |args: &[&str]| {
        let chain =
            ["explain", "-c", "error-response.yaml", "-c", "quota.yaml", "-c", "transform=rules.yaml"];
        let ran = meshgate(&[&chain, args].concat()).current_dir(directory.path()).ran();
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        ran.out
    };
    let out = explain(&["-H", "x-api-key: alice-key", "https://api.example.com/v1?a=1"]);
    let mut rest = out.as_str();
    for part in [
        "client sends  GET api.example.com/v1?a=1\n",
        "error-response, request  nothing\n",
        "api-key-quota, request\n    - x-api-key\n    + x-consumer-name: alice\n",
        "    filter state meshgate.consumer = alice\n",
        "    metric ",
        "transform, request\n    ~ :path: /v2?a=1 was /v1?a=1\n",
        "upstream gets  GET api.example.com/v2?a=1\nupstream answers  200\n",
        "transform, response\n    + x-b: 1\n",
        "api-key-quota, response\n    + ratelimit-policy: ",
        "error-response, response  nothing\n",
        "client gets  200 (via_upstream)\n",
        "    x-b: 1\n",
    ] {
        let (_, behind) =
            rest.split_once(part).unwrap_or_else(|| panic!("{part:?} is not in the rest of\n{out}"));
        rest = behind;
    }
    // A credential is not told, and the rest of a chain that is not passed has no turn.
    assert!(!out.contains("alice-key"), "{out}");
    let out = explain(&["--output", "json", "-H", "x-api-key: wrong-key", "/v1"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    let turns: Vec<_> =
        out["turns"].as_array().unwrap().iter().map(|turn| (&turn["filter"], &turn["side"])).collect();
    let expected = [
        ("error-response", "request"),
        ("api-key-quota", "request"),
        ("api-key-quota", "response"),
        ("error-response", "response"),
    ]
    .map(|(filter, side)| (json!(filter), json!(side)));
    assert_eq!(turns, expected.iter().map(|(filter, side)| (filter, side)).collect::<Vec<_>>());
    assert_eq!(out["turns"][1]["answers"], json!([{ "status": 401, "details": "meshgate_key_invalid" }]));
    assert_eq!((&out["client"]["status"], &out["upstream"]), (&json!(401), &Value::Null));
}

#[test]
fn failures_of_the_upstream_are_explained() {
    let directory = directory(&[("error-response.yaml", b"{}")]);
    let ran = meshgate(&["explain", "-c", "error-response.yaml", "--fails", "timeout", "/slow"])
        .current_dir(directory.path())
        .ran();
    assert!(ran.out.contains("proxy answers  504\n"), "{}", ran.out);
    assert!(ran.out.contains("client gets  504 (response_timeout)\n"), "{}", ran.out);
    assert!(ran.out.contains("application/problem+json"), "{}", ran.out);
}

#[test]
fn what_is_wrong_has_its_exit_status() {
    let directory =
        directory(&[("dlp.yaml", b"rules: [{find: nothing}]"), ("good.yaml", b"{}"), ("x.yaml", b"a: 1")]);
    for (args, code, said) in [
        (&["-c", "dlp.yaml", "/"][..], 1, "dlp.yaml:1:"),
        (&["-c", "gone.yaml", "/"], 2, "meshgate: cannot read gone.yaml"),
        (&["-c", "x.yaml", "/"], 2, "meshgate: --config: which filter x.yaml is for is not clear"),
        (&["-c", "error-response=good.yaml", "v1"], 2, "meshgate: URL: expected a path"),
        (
            &["-c", "error-response=good.yaml", "-H", "x", "/"],
            2,
            "meshgate: a header field: expected NAME: VALUE",
        ),
        (&["-c", "error-response=good.yaml", "--at", "noon", "/"], 2, "meshgate: --at: "),
        (
            &["-c", "error-response=good.yaml", "--modules", "nowhere", "/"],
            2,
            "meshgate: no error_response.wasm in nowhere",
        ),
    ] {
        let ran = meshgate(&[&["explain"], args].concat()).current_dir(directory.path()).ran();
        let text = format!("{}{}", ran.out, ran.err);
        assert_eq!((ran.code, text.starts_with(said)), (code, true), "{args:?}: {text}");
    }
}

/// The examples of the help are real.
#[test]
fn the_filters_examples_can_be_explained() {
    for filter in ["api-key-quota", "transform", "dlp", "error-response", "gateway"] {
        let file = format!("filters/{filter}/example.json");
        let ran = meshgate(&["explain", "-c", &file, "/v1/orders"]).current_dir(workspace()).ran();
        assert_eq!(ran.code, 0, "{file}: {}{}", ran.out, ran.err);
    }
}
