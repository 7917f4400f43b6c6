//! `meshgate test`, as a user runs it: on the modules that `make build` makes.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::{Ran, block, directory, meshgate, workspace};

/// What a suite in a directory of its own prints.
fn run(suite: &str, args: &[&str]) -> Ran {
    let directory = directory(&[("suite.yaml", suite.as_bytes())]);
    meshgate(&[&["test", "suite.yaml"], args].concat()).current_dir(directory.path()).ran()
}

const QUOTA: &str = "
filters:
  module: api-key-quota
  config:
    plans: {free: {limits: [{name: burst, rate: 2/s}]}}
    consumers: [{name: alice, plan: free, keys: [{id: a, sha256: 72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20}]}]
";

#[test]
fn the_page_shows_what_it_prints() {
    let suite = block("yaml suite.yaml");
    let ran = run(&suite, &[]);
    let expected = block("text test");
    assert_eq!(format!("$ meshgate test suite.yaml\n{}{}", ran.out, ran.err).trim_end(), expected);
    assert_eq!(ran.code, 1);
    let ran = run(&suite.replace("{status: 201}", "{status: 200}"), &["--quiet"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", "2 tests: 2 passed\n"));
}

#[test]
fn the_suites_of_the_filters_pass() {
    let suites: Vec<String> = ["api-key-quota", "transform", "dlp", "error-response", "gateway"]
        .map(|filter| format!("filters/{filter}/tests.yaml"))
        .to_vec();
    for suite in suites {
        let ran = meshgate(&["test", &suite]).current_dir(workspace()).ran();
        assert_eq!(ran.code, 0, "{suite}:\n{}{}", ran.out, ran.err);
        assert!(
            ran.out.lines().count() >= 4 && ran.out.lines().all(|line| line.starts_with("ok ")),
            "{}",
            ran.out
        );
    }
}

#[test]
fn every_difference_is_told() {
    let suite = r#"
filters:
  module: transform
  config: {rules: [{request: [{set: {header: x-a, to: "1"}}], response: [{set: {header: x-b, to: "2"}}]}]}
tests:
  - name: all of it
    request: {path: /p, json: {a: 1}, trailers: {x-t: "1"}}
    upstream: {status: 201, json: {list: [1, 2], "x/y": {z: 1}}, trailers: {x-s: "1"}}
    expect:
      status: 200
      headers: {x-b: "3", x-c: null, x-none: there, content-type: {contains: xml}}
      json: {list: [1, 3], x/y: {z: 2}, more: true}
      trailers: {x-s: null}
      details: route_not_found
      upstream: {method: GET, path: {matches: "^/q"}, host: other, headers: {x-a: ["1", "2"]}, json_equals: {}, trailers: {x-t: "2"}}
      metrics: {some.metric: 1}
      filter_state: {some.key: value}
      logs: {contains: nothing}
      callouts: 1
"#;
    let ran = run(suite, &[]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    let expected = [
        ("status", "200", "201 (via_upstream)"),
        ("details", "\"route_not_found\"", "\"via_upstream\""),
        ("headers.content-type", "a text with \"xml\"", "\"application/json\""),
        ("headers.x-b", "\"3\"", "\"2\""),
        ("headers.x-none", "\"there\"", "nothing"),
        ("json /list/1", "3", "2"),
        ("json /more", "true", "nothing"),
        ("json /x~1y/z", "2", "1"),
        ("trailers.x-s", "nothing", "\"1\""),
        ("upstream.method", "GET", "POST"),
        ("upstream.path", "a text that matches ^/q", "\"/p\""),
        ("upstream.host", "\"other\"", "\"localhost\""),
        ("upstream.headers.x-a", "\"1\" and \"2\"", "\"1\""),
        ("upstream.json /a", "nothing", "1"),
        ("upstream.trailers.x-t", "\"2\"", "\"1\""),
        ("metrics.some.metric", "+1", "+0"),
        ("filter_state.some.key", "\"value\"", "nothing"),
        ("logs", "a text with \"nothing\"", "nothing"),
        ("callouts", "1", "0"),
    ];
    let told: String = expected
        .map(|(what, expected, found)| {
            format!("        {what}\n          expected  {expected}\n          found     {found}\n")
        })
        .concat();
    let head = "FAIL  all of it (suite.yaml:6)\n      POST /p -> 201 via_upstream\n";
    assert_eq!(ran.out, format!("{head}{told}"));
}

#[test]
fn several_lines_of_a_body_are_a_diff() {
    let suite = "
filters: {module: transform, config: {rules: [{response: [{set: {header: x-b, to: '2'}}]}]}}
tests:
  - name: lines
    request: {path: /}
    upstream: {body: \"one\\ntwo\\nthree\\n\"}
    expect: {body: \"one\\n2\\nthree\\n\"}
";
    let ran = run(suite, &[]);
    assert!(
        ran.out
            .ends_with("        body\n            one\n          - 2\n          + two\n            three\n"),
        "{}",
        ran.out
    );
}

#[test]
fn callouts_are_answered_by_the_suite() {
    // The token of the filter's page, whose keys come from an issuer here.
    let page = fs::read_to_string(workspace().join("filters/api-key-quota/README.md")).unwrap();
    let token = page.split_once("Bearer eyJ").unwrap().1.split(' ').next().unwrap();
    let token = format!("eyJ{token}");
    let suite = r#"
filters:
  module: api-key-quota
  config:
    tokens:
      - issuer: https://idp.example
        audiences: [orders]
        jwks_from: {cluster: idp, path: /keys, authority: idp.example}
        identity: {plan: free}
    plans: {free: {limits: [{name: burst, rate: 5/s}]}}
    consumers: []
callouts:
  - cluster: idp
    path: /keys
    answer: {json: {keys: [{kid: "1", kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}, after: 20ms}
tests:
  - name: keys are fetched once
    steps:
      - request: {path: /, headers: {authorization: Bearer TOKEN}}
        expect: {status: 200, callouts: 1, upstream: {headers: {x-consumer-name: ada}}}
      - request: {path: /, headers: {authorization: Bearer TOKEN}}
        expect: {status: 200, callouts: 0}
  - name: an issuer that does not answer
    callouts: [{cluster: idp, fails: timeout}]
    request: {path: /, headers: {authorization: Bearer TOKEN}}
    expect: {status: 503, details: meshgate_token_unchecked, upstream: none}
  - name: a token that is over
    at: 2100-01-02T00:00:00Z
    request: {path: /, headers: {authorization: Bearer TOKEN}}
    expect: {status: 401, upstream: none}
"#;
    let suite = suite.replace("TOKEN", &token);
    let ran = run(&suite, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, "3 tests: 3 passed\n"), "{}", ran.out);
    let ran = run(&suite.replace("path: /keys\n", "path: /other\n"), &["--filter", "once"]);
    let expected = "api-key-quota calls GET /keys on the cluster idp, and no callout says what the answer is";
    assert!(ran.code == 1 && ran.out.contains(expected), "{}", ran.out);
}

#[test]
fn a_file_of_keys_is_there_once_time_has_passed() {
    // The key `write-key`.
    let suite = r#"
filters:
  module: api-key-quota
  config:
    key_files: [{name: portal, cluster: keys, path: /keys.jsonl, identity: {plan: free, consumer_prefix: portal/}}]
    plans: {free: {}}
    consumers: []
callouts:
  - cluster: keys
    answer: {json: {id: ada-1, consumer: ada, sha256: 9a7ac94eebad54f90bf2ee767e6765138c44b2ad6bd68e05938b5e7b0f4b232f}}
tests:
  - name: no time has passed
    request: {path: /, headers: {x-api-key: write-key}}
    expect: {status: 503, details: meshgate_key_unchecked, upstream: none}
  - name: the file is there
    advance: 1s
    steps:
      - request: {path: /, headers: {x-api-key: write-key}}
        expect: {status: 200, callouts: 0, upstream: {headers: {x-consumer-name: portal/ada}}}
      - request: {path: /, headers: {x-api-key: other}}
        expect: {status: 401}
  - name: a server that does not answer
    advance: 10s
    callouts: [{cluster: keys, fails: timeout}]
    request: {path: /, headers: {x-api-key: write-key}}
    expect: {status: 503, details: meshgate_key_unchecked, upstream: none}
"#;
    let ran = run(suite, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, "3 tests: 3 passed\n"), "{}", ran.out);
}

const ONE: &str = "tests: [{name: a, request: {path: /}, expect: {status: 401}}]\n";

#[test]
fn mistakes_have_their_places() {
    for (suite, expected) in [
        (format!("{QUOTA}tests: []\n"), "suite.yaml:7:8: tests: found no tests, expected at least one"),
        (format!("{QUOTA}test: []\n"), "suite.yaml:7:1: $: found unknown field \"test\""),
        (
            format!("{QUOTA}tests:\n  - {{name: a, request: {{path: v1}}, expect: {{status: 200}}}}\n"),
            "suite.yaml:8:31: tests[0].request.path: found \"v1\", expected a path that begins with /",
        ),
        (
            format!("{QUOTA}tests:\n  - {{name: a, request: {{path: /}}, expect: {{stauts: 200}}}}\n"),
            "suite.yaml:8:44: tests[0].expect: found unknown field \"stauts\"",
        ),
        (
            format!(
                "{QUOTA}tests:\n  - {{name: a, request: {{path: /}}, expect: {{body: {{matches: '('}}}}}}\n"
            ),
            "suite.yaml:8:60: tests[0].expect.body.matches: found \"(\", expected a regular expression",
        ),
        (
            format!("{QUOTA}tests:\n  - {{name: a, request: {{path: /}}}}\n"),
            "suite.yaml:8:5: tests[0]: missing field \"expect\"",
        ),
        (
            QUOTA.replace("2/s", "2 a second") + ONE,
            "suite.yaml:5:49: plans.free.limits[0].rate: found \"2 a second\"",
        ),
        (
            QUOTA.replace("module: api-key-quota", "module: quota") + ONE,
            "suite.yaml:3:11: filters.module: found \"quota\"",
        ),
    ] {
        let ran = run(&suite, &[]);
        assert!(ran.out.starts_with(expected), "{}\nnot\n{expected}", ran.out);
        assert_eq!(ran.code, 1, "{}", ran.err);
    }
}

#[test]
fn what_is_missing_is_another_exit_status() {
    let suite = format!("{QUOTA}tests: [{{name: a, request: {{path: /}}, expect: {{status: 401}}}}]\n");
    let ran = run(&suite, &["--modules", "nowhere"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    let expected = "meshgate: no api_key_quota.wasm in nowhere: run `make build`, or name its directory with --modules\n";
    assert_eq!(ran.err, expected);
    assert_eq!(meshgate(&["test", "gone.yaml"]).ran().code, 2);
    let ran = run(&suite, &["--filter", "other"]);
    assert_eq!((ran.code, ran.err.as_str()), (2, "meshgate: no test has \"other\" in its name\n"));
}

#[test]
fn programs_and_ci_read_it() {
    let suite = format!(
        "{QUOTA}tests:
  - {{name: good, request: {{path: /}}, expect: {{status: 401}}}}
  - {{name: bad & worse, request: {{path: /secret?key=s3cret, headers: {{x-api-key: s3cret}}}}, expect: {{status: 200}}}}
"
    );
    let directory = directory(&[("suite.yaml", suite.as_bytes())]);
    let args = ["test", "suite.yaml", "--output", "json", "--junit", "report.xml", "--jobs", "2"];
    let ran = meshgate(&args).current_dir(directory.path()).ran();
    assert_eq!(ran.code, 1, "{}", ran.err);
    let mut out: Value = serde_json::from_str(&ran.out).unwrap();
    for test in out["suites"][0]["tests"].as_array_mut().unwrap() {
        assert!(test["seconds"].take().is_number());
    }
    let failure = json!({
        "step": null, "request": "GET /secret", "outcome": "401 meshgate_key_invalid", "error": null, "logs": [],
        "differences": [{ "what": "status", "expected": "200", "found": "401 (meshgate_key_invalid)" }],
    });
    let tests = json!([
        { "name": "good", "line": 8, "passed": true, "seconds": null, "failures": [] },
        { "name": "bad & worse", "line": 9, "passed": false, "seconds": null, "failures": [failure] },
    ]);
    assert_eq!(
        out,
        json!({ "suites": [{ "file": "suite.yaml", "tests": tests, "left_out": 0 }], "problems": [] })
    );
    let report = fs::read_to_string(directory.path().join("report.xml")).unwrap();
    for part in [
        r#"<testsuites name="meshgate test" tests="2" skipped="0" failures="1" errors="0""#,
        r#"<testsuite name="suite.yaml" tests="2""#,
        r#"<testcase name="bad &amp; worse" classname="suite.yaml""#,
        r#"<failure message="status" type="difference">"#,
    ] {
        assert!(report.contains(part), "{part} in\n{report}");
    }
    // What was sent is nobody's business but where it is what differs.
    assert!(!report.contains("s3cret") && !ran.out.contains("s3cret"));
}

#[test]
fn tests_know_nothing_of_each_other() {
    let one = |name: &str| {
        format!(
            "  - {{name: {name}, repeat: 2, request: {{path: /, headers: {{x-api-key: alice-key}}}}, expect: {{status: 200}}}}\n"
        )
    };
    let suite = format!("{QUOTA}tests:\n{}{}{}", one("a"), one("b"), one("c"));
    let ran = run(&suite, &["--jobs", "1"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, "3 tests: 3 passed\n"), "{}", ran.out);
    let ran = run(&suite.replace("repeat: 2", "repeat: 3"), &["--filter", "b"]);
    assert!(ran.out.contains("request 3 of 3: GET / -> 429 meshgate_limit_exceeded"), "{}", ran.out);
    assert_eq!(ran.err, "1 test: 0 passed, 1 failed, 2 not chosen\n");
}
