//! What is wrong with configurations.

use meshgate_test_host::{Worker, World};
use serde_json::{Value, json};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::quota;
use crate::Gateway;

fn error(document: Value) -> String {
    Worker::<Gateway>::load(&World::new(), document).map(drop).unwrap_err().to_string()
}

#[test]
fn mistakes_are_named_by_their_place() {
    let dlp = json!({"rules": [{"find": "payment", "in": "response.body", "do": "mask"}]});
    let mut wrong_plan = quota();
    wrong_plan["consumers"][0]["plan"] = "fre".into();
    for (pipeline, expected) in [
        (json!([]), "pipeline: found 0 stages, expected 1 to 16"),
        (
            json!([{}]),
            r#"pipeline[0]: found a stage without a policy, expected one of api-key-quota, dlp, error-response, transform: write it with its configuration below: {"error-response": {}}"#,
        ),
        (
            json!([{"dlp": dlp, "error-response": {}}]),
            "pipeline[0]: found dlp and error-response in one stage, expected one policy: write",
        ),
        (
            json!([{"error-response": {}}, {"api-key-quota": wrong_plan}]),
            "pipeline[1].api-key-quota.consumers[0].plan: found \"fre\", expected \"free\": did you mean \"free\"?",
        ),
        (
            json!([{"dlp": {"rules": [{"find": "payment", "in": "response.body"}]}}]),
            "pipeline[0].dlp.rules[0]: missing field \"do\", expected one such as do: {mask: {keep_last: 4}}",
        ),
        (json!([{"quota": {}}]), "pipeline[0]: found unknown field \"quota\", expected one of"),
        (
            json!([{"dlp": dlp}, {"dlp": dlp}]),
            "pipeline[1]: found a second stage that is called \"dlp\", expected a name that no other stage has: write name: dlp-2",
        ),
        (json!([{"name": "a b", "dlp": dlp}]), "pipeline[0].name: found \"a b\", expected 1 to 64 letters"),
        (
            json!([{"match": {"status": 500}, "dlp": dlp}]),
            "pipeline[0].match.status: found a status of the response",
        ),
        (json!([{"match": null, "dlp": dlp}]), "pipeline[0].match: found null"),
    ] {
        let found = error(json!({ "pipeline": pipeline }));
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn a_head_that_may_wait_twice_is_refused() {
    let mut tokens = quota();
    tokens["introspection"] = json!({"cluster": "id", "path": "/introspect", "authority": "id.example",
        "client": {"id": "gateway", "secret_env": "SECRET"},
        "identity": {"plan": "free"}});
    let transform = json!({"allow_on_headers_stop_iteration": true, "rules": [
        {"request": [{"set": {"header": "x-a", "to": "{{ body.a }}"}}]}]});
    let found = error(json!({"pipeline": [{"api-key-quota": tokens}, {"transform": transform}]}));
    assert!(
        found.starts_with("pipeline[1].transform.allow_on_headers_stop_iteration: found true"),
        "{found}"
    );
}

#[test]
fn the_secret_of_the_trace_is_not_shown() {
    let found = error(json!({"pipeline": [{"error-response": {}}], "trace": {"secret_sha256": "hunter2"}}));
    assert!(found.starts_with("trace.secret_sha256: found a "), "{found}");
    assert!(!found.contains("hunter2"));
}
