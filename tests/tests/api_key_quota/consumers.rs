//! Who may what: groups and rules, those who send no credential, what browsers ask beforehand, and what the upstream is
//! told of all of them.

use std::time::Duration;

use meshgate_e2e::{Client, Envoy, Received, Value, json};

use crate::support::*;

/// The fields that name a consumer, as the upstream got them.
fn named(request: &Received) -> Vec<(String, String)> {
    let fields = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()));
    fields.filter(|(name, _)| name.replace('_', "-").starts_with("x-consumer-")).collect()
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Two consumers, of whom one is in `staff`, and those without a credential, who have one request in a day.
fn open() -> Value {
    let plans = json!({ "free": {}, "trial": { "limits": [{ "name": "daily", "quota": "1/d" }] } });
    let config = document(plans, &[("acme", "free"), ("root", "free")]);
    let config = with(config, "/consumers/0/groups", json!(["partners", "beta testers"]));
    let config = with(config, "/consumers/0/metadata", json!({ "tenant": "42" }));
    let config = with(config, "/consumers/1/groups", json!(["staff"]));
    with(config, "/anonymous", json!({ "plan": "trial", "groups": ["public"] }))
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_decide_by_group_consumer_method_and_path() {
    let access = json!([
        { "match": { "path": "/status" }, "allow": { "everyone": true } },
        { "match": { "method": "DELETE" }, "allow": { "groups": "staff" } },
        { "match": { "path": { "prefix": "/partners" } }, "allow": { "groups": ["partners"] } },
        { "deny": { "consumers": "anonymous" } },
    ]);
    let envoy = Envoy::start(listener(with(open(), "/access", access))).await.unwrap();
    let denied = "This consumer may not send this request. Check its method and path, or ask the provider of this API for \
                  access.";
    let mut expected = Vec::new();
    for client in [envoy.http1(), envoy.http2()] {
        for (method, path, key, status) in [
            ("GET", "/a", "acme-key", 200),
            ("DELETE", "/a", "acme-key", 403),
            ("DELETE", "/a", "root-key", 200),
            ("GET", "/partners/1", "acme-key", 200),
            ("GET", "/%70artners/1", "root-key", 403),
            ("GET", "/a", "", 403),
            ("DELETE", "/status", "acme-key", 200),
        ] {
            let request = client.request(method, path);
            let request = if key.is_empty() { request } else { request.header("x-api-key", key) };
            let response = request.send().await.unwrap();
            assert_eq!(response.status, status, "{method} {path} {key}");
            expected.push(if status == 403 {
                assert_problem(&response, 403, denied);
                "403 meshgate_access_denied"
            } else {
                "200 via_upstream"
            });
        }
    }
    assert_eq!(envoy.wait_for_access_log(expected.len()).await.unwrap(), expected);
    assert_eq!(envoy.stat("wasmcustom.meshgate.quota.denied.access_denied").await.unwrap(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_no_credential_is_anonymous_and_who_sends_a_wrong_one_is_refused() {
    let envoy = Envoy::start(listener(open())).await.unwrap();
    let response = envoy.get("/").header("x-consumer-groups", "staff").send().await.unwrap();
    assert_eq!(left(&response), [("daily".to_owned(), 0)]);
    assert_eq!(
        named(&response.echo()),
        pairs(&[
            ("x-consumer-name", "anonymous"),
            ("x-consumer-plan", "trial"),
            ("x-consumer-groups", "public"),
            ("x-consumer-anonymous", "true"),
        ])
    );
    assert_eq!(envoy.get("/").send().await.unwrap().status, 429);
    for client in [envoy.http1(), envoy.http2()] {
        assert_eq!(client.get("/").header("x-api-key", "wrong").send().await.unwrap().status, 401);
        assert_eq!(client.get("/").header("x-api-key", "").send().await.unwrap().status, 401);
        // Others are not held up by that.
        let request = client.get("/").header("x-api-key", "acme-key").header("x-consumer-anonymous", "true");
        assert_eq!(
            named(&request.send().await.unwrap().echo()),
            pairs(&[
                ("x-consumer-name", "acme"),
                ("x-consumer-plan", "free"),
                ("x-consumer-key-id", "acme-1"),
                ("x-consumer-groups", "partners, beta testers"),
                ("x-consumer-meta-tenant", "42"),
            ])
        );
    }
}

/// Nothing that a client says about who it is reaches the upstream: with a key, without one, and where none is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_names_nobody_on_any_path() {
    let config = with(open(), "/match", json!({ "path": { "prefix": "/guarded" } }));
    let config = with(config, "/plans/trial", json!({}));
    let envoy = Envoy::start(listener(config)).await.unwrap();
    let forged = [
        ("x-consumer-name", "root"),
        ("x-consumer-groups", "staff"),
        ("x_consumer_groups", "staff"),
        ("x-consumer-anonymous", "false"),
        ("x-consumer-meta-tenant", "1"),
        ("x-consumer_meta-tenant", "1"),
    ];
    let anonymous = pairs(&[
        ("x-consumer-name", "anonymous"),
        ("x-consumer-plan", "trial"),
        ("x-consumer-groups", "public"),
        ("x-consumer-anonymous", "true"),
    ]);
    for client in [envoy.http1(), envoy.http2()] {
        for (method, path, browser, expected) in [
            ("GET", "/guarded", false, &anonymous),
            ("OPTIONS", "/guarded", false, &anonymous),
            ("OPTIONS", "/guarded", true, &vec![]),
            ("GET", "/open", false, &vec![]),
            ("OPTIONS", "/open", true, &vec![]),
        ] {
            let mut request = client.request(method, path);
            for (name, value) in forged {
                request = request.header(name, value);
            }
            if browser {
                request = request
                    .header("origin", "https://a.example")
                    .header("access-control-request-method", "PUT");
            }
            let response = request.send().await.unwrap();
            assert_eq!((response.status, &named(&response.echo())), (200, expected), "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_in_trailers_is_removed() {
    let envoy = Envoy::start(listener(open()).http1_trailers()).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let request = client.post("/").header("te", "trailers").header("x-api-key", "acme-key").body("hello");
        let request = request.trailer("x-consumer-name", "root").trailer("x_consumer_groups", "staff");
        let response = request.trailer("x-checksum", "1").send().await.unwrap();
        let echo = response.echo();
        assert_eq!(echo.text(), "hello");
        assert_eq!((echo.trailers.names(), echo.trailers.all("x-checksum")), (vec!["x-checksum"], vec!["1"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_requests_pass_unless_that_is_configured() {
    let config = document(json!({ "free": {} }), &[("acme", "free")]);
    let config = with(config, "/usage_endpoint", json!({ "path": "/usage" }));
    let guarded = Envoy::start(listener(with(config.clone(), "/preflight", json!("guard")))).await.unwrap();
    let envoy = Envoy::start(listener(config)).await.unwrap();
    let preflight_at = |client: &Client, path: &str| {
        let request = client.request("OPTIONS", path).header("origin", "https://a.example");
        request.header("access-control-request-method", "DELETE")
    };
    let preflight = |envoy: &Envoy| preflight_at(&envoy.http1(), "/");
    for client in [envoy.http1(), envoy.http2()] {
        for path in ["/", "/usage"] {
            assert_eq!(preflight_at(&client, path).send().await.unwrap().status, 200, "{path}");
            let with_body = preflight_at(&client, path).body("x").send().await.unwrap();
            assert_eq!(with_body.status, 401, "{path}");
            let pieces = preflight_at(&client, path).chunks(["x".to_owned()], Duration::ZERO);
            assert_eq!(pieces.send().await.unwrap().status, 401, "{path}");
        }
    }
    let paths: Vec<_> = envoy.upstream().requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/", "/usage", "/", "/usage"]);
    assert_eq!(envoy.stat("wasmcustom.meshgate.quota.preflight").await.unwrap(), 4);
    assert_eq!(envoy.request("OPTIONS", "/").send().await.unwrap().status, 401);
    assert_eq!(preflight(&guarded).send().await.unwrap().status, 401);
    assert_eq!(preflight(&guarded).header("x-api-key", "acme-key").send().await.unwrap().status, 200);
}
