//! Documents, as Envoy hands them over.

use meshgate_e2e::{Envoy, Wasm, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_needs_to_be_configured() {
    let ways = [
        Wasm::module(MODULE),
        Wasm::module(MODULE).config_text(""),
        Wasm::module(MODULE).config_text("{}"),
        Wasm::module(MODULE).config_struct(json!({})),
    ];
    for way in ways {
        let envoy = Envoy::start(way).await.unwrap();
        let response =
            envoy.get("/").upstream(json!({ "status": 500, "body": "trace" })).send().await.unwrap();
        problem(&response, 500, "about:blank");
    }
}

/// Numbers come as doubles, and keys in any order.
#[tokio::test(flavor = "multi_thread")]
async fn a_struct_is_understood() {
    let document = json!({ "rules": [{ "match": { "status": [500, "502-504"], "grpc_status": 14 }, "pass": true },
        { "match": { "status": 500 }, "respond": { "status": 502, "members": { "number": 7 }, "grpc_status": 8 } }] });
    let envoy = Envoy::start(Wasm::module(MODULE).config_struct(document)).await.unwrap();
    let response = envoy.get("/").upstream(json!({ "status": 500 })).send().await.unwrap();
    assert_eq!(problem(&response, 502, "about:blank")["number"].as_f64(), Some(7.0));
}

/// What is wrong is one line in Envoy's log, and Envoy does not start. The table of all lines is in the crate's tests.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_one_line() {
    for (document, line) in [
        (json!({ "rule": [] }), r#"$: found unknown field "rule""#),
        (
            json!({ "rules": [{ "match": { "flag": "XX" }, "pass": true }] }),
            r#"rules[0].match.flag: found "XX", expected a response flag"#,
        ),
        (
            json!({ "rules": [{ "respond": { "title": "{{ requst }}" } }] }),
            "rules[0].respond.title: found the unknown variable",
        ),
        (
            json!({ "direct": [{ "redirect": { "to": "//x" } }] }),
            r#"direct[0].redirect.to: found "//x", expected a path"#,
        ),
        (
            json!({ "maintenance": { "until": "tomorrow" } }),
            r#"maintenance.until: found "tomorrow", expected a date"#,
        ),
        (json!({ "log": true }), "log: found true, expected one of"),
    ] {
        let log = Envoy::refused(errors(document)).await.unwrap();
        let lines: Vec<_> =
            log.lines().filter(|found| found.contains("errors: configuration refused: ")).collect();
        assert_eq!(lines.len(), 1, "{log}");
        assert!(lines[0].contains(line), "{line} in {}", lines[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_update_leaves_the_old_document() {
    let config =
        meshgate_e2e::Config::from(listener(json!({ "rules": [{ "respond": { "title": "Old" } }] })))
            .file_lds();
    let mut envoy = Envoy::start(config).await.unwrap();
    envoy.update_refused(listener(json!({ "rules": [{}] }))).await.unwrap();
    let title = |response: meshgate_e2e::Response| response.json()["title"].as_str().unwrap().to_owned();
    let send = || json!({ "status": 500 });
    assert_eq!(title(envoy.get("/").upstream(send()).send().await.unwrap()), "Old");
    envoy.update_listener(listener(json!({ "rules": [{ "respond": { "title": "New" } }] }))).await.unwrap();
    assert_eq!(title(envoy.get("/").upstream(send()).send().await.unwrap()), "New");
}
