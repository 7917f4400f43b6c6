//! What is refused of a configuration, and how that reads.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[track_caller]
fn refused<const N: usize>(changes: [(&str, Value); N], expected: &str) {
    match load(&with(changes)) {
        Ok(_) => panic!("passes, expected: {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

/// With one limit in the place of both.
#[track_caller]
fn limit_refused(limit: Value, expected: &str) {
    refused([("/plans/free/limits", json!([limit]))], &format!("plans.free.limits[0]{expected}"));
}

#[test]
fn plans() {
    refused([("/plans", json!({}))], "plans: found no plans, expected at least one");
    refused(
        [("/plans/", json!({}))],
        "plans[\"\"]: found \"\", expected 1 to 128 printable ASCII characters without spaces around them",
    );
    refused(
        [("/plans/\u{e9}", json!({}))],
        "plans[\"é\"]: found \"é\", expected 1 to 128 printable ASCII characters without spaces around them",
    );
    let many: Vec<_> = (0..17).map(|number| json!({"name": format!("l{number}"), "rate": "1/s"})).collect();
    refused([("/plans/free/limits", json!(many))], "plans.free.limits: found 17 limits, expected at most 16");
    refused(
        [("/plans/free/limits/1/name", json!("burst"))],
        "plans.free.limits[1].name: found \"burst\", expected a name of its own: limits[0] has this one already",
    );
    refused(
        [("/plans/free/allow", json!([{"path": "/"}, {"status": 200}]))],
        "plans.free.allow[1].status: found a status of the response, expected conditions on the request only: requests are decided on before there is a response",
    );
}

#[test]
fn limits() {
    let names = "expected 1 to 128 printable ASCII characters without spaces around them";
    limit_refused(json!({"name": "", "rate": "1/s"}), &format!(".name: found \"\", {names}"));
    limit_refused(json!({"name": " a", "rate": "1/s"}), &format!(".name: found \" a\", {names}"));
    limit_refused(
        json!({"name": "a".repeat(129), "rate": "1/s"}),
        &format!(".name: found 129 bytes, {names}"),
    );
    limit_refused(
        json!({"name": "a\"b", "rate": "1/s"}),
        r#".name: found "a\"b", expected a name without " and \"#,
    );
    limit_refused(
        json!({"name": "a"}),
        ": found no rate, quota or concurrency, expected one of them, such as rate: 5/s or quota: 10000/month",
    );
    limit_refused(
        json!({"name": "a", "rate": "1/s", "quota": "1/d"}),
        ": found rate and quota, expected one of them: write a limit for each to have them together",
    );
    limit_refused(
        json!({"name": "a", "quota": "1/d", "burst": 1}),
        ".burst: found a burst without a rate, expected one only beside rate: all of it may come at once; add a limit with a rate to prevent that",
    );
    limit_refused(
        json!({"name": "a", "rate": "1/s", "burst": 0}),
        ".burst: found 0, expected how many requests may come at once, 1 to 999999999999999",
    );
    limit_refused(
        json!({"name": "a", "rate": "1/s", "burst": 1_000_000_000_000_000_u64}),
        ".burst: found 1000000000000000, expected how many requests may come at once, 1 to 999999999999999",
    );
    limit_refused(
        json!({"name": "a", "quota": "1000000000000000/d"}),
        ".quota: found 1000000000000000/d, expected at most 999999999999999 requests: RateLimit headers hold no more",
    );
    limit_refused(
        json!({"name": "a", "rate": "0/s"}),
        ".rate: found \"0/s\", expected a rate above zero, such as 5/s",
    );
    limit_refused(
        json!({"name": "a", "rate": "1/s", "match": {"status": "5xx"}}),
        ".match.status: found a status of the response, expected conditions on the request only: requests are decided on before there is a response",
    );
    limit_refused(
        json!({"name": "a", "rate": "1/s", "when": "response.status == 200"}),
        ".when: found a condition on the response, expected conditions on the request only: requests are decided on before there is a response",
    );
    limit_refused(
        json!({"name": "a", "rate": "1/s", "when": "body.size == 1"}),
        ".when: found a condition on the body, expected conditions on the head of the request: limits count before there is a body",
    );
    limit_refused(
        json!({"name": "a", "rate": "1/s", "when": "path.id == '7'"}),
        ".when: found \"path.id\", expected a name in match.path, which has none: write a path such as match: {path: \"/users/{id}\"} beside it",
    );
    limit_refused(
        json!({"name": "a", "rate": "1/s", "match": {"path": "/users/{id}"}, "cost": {"expression": "path.ids|length"}}),
        ".cost.expression: found \"path.ids\", expected \"path.id\": did you mean \"path.id\"?",
    );
}

#[test]
fn consumers() {
    refused(
        [("/consumers/1/plan", json!("fre"))],
        "consumers[1].plan: found \"fre\", expected one of \"endless\", \"free\": did you mean \"free\"?",
    );
    refused(
        [("/consumers/2/name", json!("acme"))],
        "consumers[2].name: found \"acme\", expected a name of its own: consumers[0] has this one already",
    );
    refused(
        [("/consumers/0/name", json!("a\nb"))],
        "consumers[0].name: found \"a\\nb\", expected 1 to 128 printable ASCII characters without spaces around them",
    );
    refused(
        [("/consumers/1/keys/0/id", json!("acme-1"))],
        "consumers[1].keys[0].id: found the id of another key, expected an id of its own",
    );
    refused(
        [("/consumers/1/keys/0/sha256", json!(sha256(b"key-1").to_uppercase()))],
        "consumers[1].keys[0].sha256: found the digest of another key, expected a digest of its own: each key belongs to one consumer, once",
    );
    refused(
        [("/consumers/1/keys/0/id", json!(""))],
        "consumers[1].keys[0].id: found a string of 0 characters, expected 1 to 128 printable ASCII characters without \
         spaces around them",
    );
}

/// What stands where a digest should be may be the key: no error shows it.
#[test]
fn digests() {
    for secret in
        [json!("hunter2"), json!(sha256(b"hunter2").replace('e', "g")), json!(20_260_101), json!(["hunter2"])]
    {
        let error = load(&with([("/consumers/0/keys/1/sha256", secret.clone())])).unwrap_err().to_string();
        assert!(error.starts_with("consumers[0].keys[1].sha256: found "), "{error}");
        assert!(error.contains("printf %s \"$KEY\" | sha256sum"), "{error}");
        for part in ["hunter2", "20260101", "4fcb"] {
            assert!(!error.contains(part), "{secret}: {error}");
        }
    }
    let id = "hunter2".repeat(19);
    let error = load(&with([("/consumers/0/keys/0/id", json!(id))])).unwrap_err().to_string();
    assert!(error.contains("a string of 133 characters") && !error.contains("hunter2"), "{error}");
}

/// Below `keys` nothing is shown but what is in a limit, which has nothing of a key.
#[test]
fn limits_of_keys() {
    let key = |limit: Value| with([("/consumers/0/keys/0/limits", json!([limit]))]);
    for (limit, expected) in [
        (json!({"name": "a", "rate": "5/x"}), ".rate: found \"5/x\", expected a rate per "),
        (
            json!({"name": "a", "quota": "5/d", "time_zone": "Berlin"}),
            ".time_zone: found \"Berlin\", expected the name of a time zone",
        ),
        (json!({"name": "a", "rates": "5/s"}), ": found unknown field \"rates\", expected one of "),
    ] {
        let error = load(&key(limit)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("consumers[0].keys[0].limits[0]{expected}")), "{error}");
    }
    let error = load(&with([("/consumers/0/keys/0/limit", json!("hunter2"))])).unwrap_err().to_string();
    assert!(error.contains("an unknown field of 5 characters (not shown)"), "{error}");
}

#[test]
fn places_for_keys() {
    for (place, expected) in [
        (
            json!({}),
            ": found neither header nor query nor cookie, expected one of them, such as header: x-api-key",
        ),
        (
            json!({"scheme": "ApiKey"}),
            ": found neither header nor query nor cookie, expected one of them, such as header: x-api-key",
        ),
        (
            json!({"header": "a", "query": "b"}),
            ": found header and query, expected one of them: write an entry for each to look in all",
        ),
        (
            json!({"query": "b", "scheme": "ApiKey"}),
            ".scheme: found a scheme without a header, expected one only for a header: remove scheme",
        ),
        (
            json!({"query": ""}),
            ".query: found \"\", expected the decoded name of a query parameter, such as api_key",
        ),
        (
            json!({"header": "x api key"}),
            ".header: found \"x api key\", expected the name of a header field, such as x-api-key",
        ),
        (
            json!({"header": ":path"}),
            ".header: found \":path\", expected the name of a header field, such as x-api-key",
        ),
        (
            json!({"query": "a", "cookie": "b"}),
            ": found query and cookie, expected one of them: write an entry for each to look in all",
        ),
        (json!({"cookie": "a b"}), ".cookie: found \"a b\", expected the name of a cookie, such as api_key"),
        (
            json!({"header": "a", "scheme": "Api Key"}),
            ".scheme: found \"Api Key\", expected an authentication scheme without spaces, such as ApiKey",
        ),
        (
            json!({"header": "Host"}),
            ".header: found \"Host\", expected a field for credentials, such as x-api-key: this one says something else in \
             every request, and can't be hidden from the upstream",
        ),
        (
            json!({"header": "X_Consumer-key"}),
            ".header: found \"X_Consumer-key\", expected a name that does not start with x-consumer-: such headers tell the \
             upstream who the consumer is, and are removed from every request",
        ),
        (
            json!({"header": "X-Other"}),
            ": found the place of keys_from[0], expected a place of its own: a key would be found twice and refused: remove one of the two",
        ),
    ] {
        refused([("/keys_from", json!([{"header": "x-other"}, place]))], &format!("keys_from[1]{expected}"));
    }
}

#[test]
fn the_rest_of_the_document() {
    refused(
        [("/realm", json!("a\"b"))],
        r#"realm: found "a\"b", expected at most 128 printable ASCII characters without " and \"#,
    );
    refused(
        [("/match", json!({"status": 404}))],
        "match.status: found a status of the response, expected conditions on the request only: requests are decided on before there is a response",
    );
    for (changes, path) in [
        ([("/consumer", json!([]))], "$: found unknown field \"consumer\""),
        ([("/plans/free/limit", json!([]))], "plans.free: found unknown field \"limit\""),
        ([("/consumers/0/key", json!([]))], "consumers[0]: found unknown field \"key\""),
        ([("/consumers", json!(null))], "$:"),
        ([("/consumers/0/disabled", json!("no"))], "consumers[0].disabled:"),
        ([("/keys_from", json!([]))], "keys_from:"),
    ] {
        let error = load(&with(changes)).unwrap_err().to_string();
        assert!(error.starts_with(path), "{error}");
    }
}
