//! What clients and operators are told in the forms that are configured.

use std::collections::BTreeSet;

use meshgate_e2e::{Envoy, Response, Value, json};

use crate::support::*;

/// The value of a field that has to be there once, as a number.
#[track_caller]
fn number(response: &Response, name: &str) -> u64 {
    one(response, name).parse().unwrap()
}

async fn get(envoy: &Envoy, path: &str) -> Response {
    envoy.get(path).header("x-api-key", "acme-key").send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told_as_kong_and_envoy_do() {
    let limits = json!([{ "name": "burst", "rate": "3/h" }, { "name": "in all", "quota": "1000/year" }]);
    let config = with(limited(limits), "/headers", json!(["kong", "envoy"]));
    let envoy = Envoy::start(listener(config)).await.unwrap();
    let own =
        json!({ "status": 200, "headers": [["x-ratelimit-remaining", "up"], ["RateLimit-Reset", "up"]] });
    for (status, left, year) in [(200, 2, 999), (200, 1, 998), (200, 0, 997), (429, 0, 997)] {
        let request = envoy.get("/").header("x-api-key", "acme-key").upstream(own.clone());
        let response = request.send().await.unwrap();
        assert_eq!(response.status, status);
        for (name, expected) in [
            ("ratelimit-limit", 3),
            ("ratelimit-remaining", left),
            ("x-ratelimit-limit-hour", 3),
            ("x-ratelimit-remaining-hour", left),
            ("x-ratelimit-limit-year", 1_000),
            ("x-ratelimit-remaining-year", year),
            ("x-ratelimit-remaining", left),
        ] {
            assert_eq!(number(&response, name), expected, "{name}");
        }
        let limit = "3, 3;w=3600;name=\"burst\", 1000;w=31536000;name=\"in all\"";
        assert_eq!(one(&response, "x-ratelimit-limit"), limit);
        for reset in ["ratelimit-reset", "x-ratelimit-reset"] {
            assert!((1_140..=1_200).contains(&number(&response, reset)), "{response:?}");
        }
        assert!(
            response.headers.all("ratelimit").is_empty()
                && response.headers.all("ratelimit-policy").is_empty()
        );
        assert_eq!(response.headers.all("retry-after").len(), usize::from(status == 429));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_warned_before_a_limit_is_reached() {
    let limits = json!([{ "name": "in all", "quota": "4/year" }]);
    let config = with(limited(limits), "/near_limit", json!({ "at": ["50%", "75%"] }));
    let envoy = Envoy::start(listener(config)).await.unwrap();
    let near = |at: u64| Some(format!("\"in all\";at={at}"));
    for expected in [None, near(50), near(75), near(75), near(75)] {
        let response = get(&envoy, "/").await;
        assert_eq!(response.header("x-ratelimit-near").map(str::to_owned), expected);
    }
    assert_eq!(envoy.stat("wasmcustom.meshgate.quota.limit.in_all.near").await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_over_a_limit_is_as_configured() {
    let over = json!({
        "status": 503,
        "content_type": "application/json; charset=utf-8",
        "body": "{\"error\": {\"text\": \"{{ body.detail }}\", \"limit\": {{ body['violated-policies'][0] }}, \"agent\": \"{{ request.headers['x-agent'] }}\"}}",
        "headers": { "x-plan": "{{ consumer.plan }}" },
        "retry_after_jitter": "3s",
    });
    let limits = json!([{ "name": "l", "rate": "1/h" }]);
    let envoy = Envoy::start(listener(with(limited(limits), "/over_limit", over))).await.unwrap();
    assert_eq!(get(&envoy, "/").await.status, 200);
    let mut jitter = BTreeSet::new();
    for _ in 0..60 {
        let request = envoy.get("/").header("x-api-key", "acme-key").header("x-agent", "\"a\"\\<b>");
        let response = request.send().await.unwrap();
        assert_eq!((response.status, response.header("x-plan")), (503, Some("plan")));
        assert_eq!(response.headers.all("content-type"), ["application/json; charset=utf-8"]);
        let (wait, more_in) =
            (number(&response, "retry-after"), parse(one(&response, "ratelimit"))[0].1["t"]);
        let text = format!("The limit \"l\" is used up. Send the request again in {wait} seconds.");
        let expected = json!({ "error": { "text": text, "limit": "l", "agent": "\"a\"\\<b>" } });
        assert_eq!(response.json(), expected);
        jitter.insert(wait.checked_sub(more_in).expect("never before the request would pass"));
    }
    assert_eq!(jitter, BTreeSet::from([0, 1, 2, 3]));
    assert_eq!(envoy.wait_for_access_log(61).await.unwrap()[60], "503 meshgate_limit_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_form_that_is_configured() {
    let config = limited(json!([]));
    let config =
        with(config, "/access", json!([{ "match": { "method": "DELETE" }, "deny": { "everyone": true } }]));
    let unauthorized = json!({
        "content_type": "text/html",
        "body": "<p>{{ body.detail }}</p><p>{{ request.headers['x-agent'] }}</p>",
        "headers": { "x-login": "/login?from={{ request.path|urlencode }}" },
    });
    let forbidden = json!({
        "status": 404,
        "content_type": "application/json",
        "body": "{\"message\": \"{{ consumer.name }} may not\", \"status\": {{ response.status }}}",
    });
    let config = with(with(config, "/unauthorized", unauthorized), "/forbidden", forbidden);
    let envoy = Envoy::start(listener(config)).await.unwrap();
    let response = envoy.get("/a?b=1").header("x-agent", "<i>").send().await.unwrap();
    assert_eq!((response.status, one(&response, "content-type")), (401, "text/html"));
    let expected = "<p>This request needs an API key. Send it in the header x-api-key.</p><p>&lt;i&gt;</p>";
    assert_eq!((response.text(), one(&response, "x-login")), (expected, "/login?from=%2Fa"));
    assert_eq!(one(&response, "www-authenticate"), "ApiKey realm=\"meshgate\"");
    let denied = envoy.request("DELETE", "/a").header("x-api-key", "acme-key").send().await.unwrap();
    assert_eq!((denied.status, one(&denied, "content-type")), (404, "application/json"));
    assert_eq!(denied.json(), json!({ "message": "acme may not", "status": 404 }));
    let log = envoy.wait_for_access_log(2).await.unwrap();
    assert_eq!(log, ["401 meshgate_key_missing", "404 meshgate_access_denied"]);

    let client = envoy.http2();
    let call = client.post("/a").header("content-type", "application/grpc").header("te", "trailers");
    let response = call.body("\0\0\0\0\0").send().await.unwrap();
    assert_eq!((response.status, one(&response, "grpc-status")), (200, "16"));
    assert!(response.body.is_empty() && response.trailers.is_empty(), "{response:?}");
    assert!(response.header("www-authenticate").is_some(), "{response:?}");
}

/// Nothing but a head: no body and no trailers behind it (gRPC over HTTP/2, "Trailers-Only").
#[tokio::test(flavor = "multi_thread")]
async fn grpc_clients_get_trailers_only() {
    let limits = json!([{ "name": "l", "quota": "1/year" }]);
    for over in
        [json!({}), json!({ "status": 403, "body": "over {{ consumer.plan }}", "headers": { "x-a": "1" } })]
    {
        let config = with(limited(limits.clone()), "/over_limit", over.clone());
        let envoy = Envoy::start(listener(config)).await.unwrap();
        let client = envoy.http2();
        let call = |key: &'static str| {
            let call =
                client.post("/pkg.S/M").header("content-type", "application/grpc").header("te", "trailers");
            call.header("x-api-key", key).body("\0\0\0\0\0").send()
        };
        let refused = call("who").await.unwrap();
        assert_eq!(call("acme-key").await.unwrap().header("grpc-status"), None);
        let exhausted = call("acme-key").await.unwrap();
        for (response, status) in [(refused, "16"), (exhausted, "8")] {
            assert_eq!((response.status, one(&response, "grpc-status")), (200, status), "{response:?}");
            assert_eq!(one(&response, "content-type"), "application/grpc");
            assert!(response.body.is_empty() && response.trailers.is_empty(), "{response:?}");
            let is_over = status == "8";
            assert_eq!(response.header("retry-after").is_some(), is_over);
            assert_eq!(response.header("www-authenticate").is_some(), !is_over);
            if is_over && !over["body"].is_null() {
                assert_eq!(
                    (one(&response, "grpc-message"), response.header("x-a")),
                    ("over plan", Some("1"))
                );
            }
        }
    }
}

fn with_usage_endpoint(config: Value) -> Value {
    with(config, "/usage_endpoint", json!({ "path": "/.well-known/usage" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_read_their_usage_from_the_filter() {
    let limits =
        json!([{ "name": "burst", "rate": "4/h", "burst": 8 }, { "name": "in all", "quota": "5/year" }]);
    let config = with_usage_endpoint(limited(limits));
    let config = with(config, "/match", json!({ "path": { "prefix": "/v1" } }));
    let envoy = Envoy::start(listener(config)).await.unwrap();
    for used in 0..=6_u64 {
        let response = get(&envoy, "/.well-known/usage?x=1").await;
        assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
        assert_eq!((one(&response, "cache-control"), response.header("ratelimit")), ("no-store", None));
        let usage = response.json();
        assert_eq!((&usage["consumer"], &usage["plan"]), (&json!("acme"), &json!("plan")));
        let [burst, all] = usage["limits"].as_array().unwrap().as_slice() else { panic!("{usage}") };
        let used = used.min(5);
        let numbers = |limit: &Value| {
            ["name", "limit", "used", "remaining", "window"].map(|member| limit[member].clone())
        };
        assert_eq!(numbers(burst), [json!("burst"), json!(8), json!(used), json!(8 - used), json!(7_200)]);
        assert_eq!(
            numbers(all),
            [json!("in all"), json!(5), json!(used), json!(5 - used), json!(31_536_000)]
        );
        // The year ends when it ends.
        assert!(all["reset_at"].as_str().unwrap().ends_with("-01-01T00:00:00Z"), "{all}");
        assert!((1..=366 * 86_400).contains(&all["reset"].as_u64().unwrap()), "{all}");
        match used {
            0 => assert!(burst["reset"].is_null() && burst["reset_at"].is_null(), "{burst}"),
            _ => assert!((840..=900).contains(&burst["reset"].as_u64().unwrap()), "{burst}"),
        }
        get(&envoy, "/v1").await;
    }
    for (method, key, status, allow) in [
        ("GET", None, 401, None),
        ("GET", Some("who"), 401, None),
        ("HEAD", Some("acme-key"), 200, None),
        ("POST", Some("acme-key"), 405, Some("GET, HEAD")),
        ("DELETE", Some("acme-key"), 405, Some("GET, HEAD")),
        ("OPTIONS", None, 401, None),
    ] {
        for path in ["/.well-known/usage", "/.well-known/%75sage"] {
            let request = envoy.request(method, path);
            let request = key.into_iter().fold(request, |request, key| request.header("x-api-key", key));
            let response = request.send().await.unwrap();
            assert_eq!(
                (response.status, response.header("allow")),
                (status, allow),
                "{method} {path} {key:?}"
            );
            assert_eq!(response.header("www-authenticate").is_some(), status == 401);
        }
    }
    let paths: BTreeSet<_> = envoy.upstream().requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, BTreeSet::from(["/v1".to_owned()]));
    assert_eq!(envoy.stat("wasmcustom.meshgate.quota.usage_requests").await.unwrap(), 7 + 2 + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_has_counters_of_its_own() {
    let limits = json!([{ "name": "a.b/c", "quota": "1/year" }, { "name": "other", "quota": "9/year" }]);
    let envoy = Envoy::start(listener(limited(limits))).await.unwrap();
    for _ in 0..3 {
        get(&envoy, "/").await;
    }
    let stats = envoy.stats("wasmcustom.meshgate.quota.limit.").await.unwrap();
    let stats: Vec<_> = stats.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(
        stats,
        [
            ("wasmcustom.meshgate.quota.limit.a_b_c.denied", 2),
            ("wasmcustom.meshgate.quota.limit.a_b_c.near", 0),
            ("wasmcustom.meshgate.quota.limit.a_b_c.shadow_denied", 0),
            ("wasmcustom.meshgate.quota.limit.other.denied", 0),
            ("wasmcustom.meshgate.quota.limit.other.near", 0),
            ("wasmcustom.meshgate.quota.limit.other.shadow_denied", 0),
        ]
    );
}
