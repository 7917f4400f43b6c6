//! Who sends a request: where keys are found, what is refused, and that no upstream sees a key.

use meshgate_e2e::{Client, Envoy, Listener, Request, Value, json, raw};

use crate::support::*;

const MISSING: &str = "This request needs an API key. Send it in the header x-api-key or the header authorization as \
                       \"ApiKey <key>\" or the query parameter api_key.";
const INVALID: &str = "The API key is not valid. Check that it is complete, or ask for a new one.";
const REPEATED: &str = "This request carries more than one API key. Send one, in the header x-api-key or the header \
                        authorization as \"ApiKey <key>\" or the query parameter api_key.";
const DISABLED: &str = "The account of this API key is disabled. Ask the provider of this API to enable it.";
const FORBIDS: &str = "The plan of this API key does not cover this request. Check its method and path, or ask for \
                       another plan.";

/// A target and header fields.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)]);

fn get(client: &Client, (target, fields): Case<'_>) -> Request {
    fields.iter().fold(client.get(target), |request, (name, value)| request.header(name, value))
}

/// Each of these requests, over both versions of HTTP, gets this answer, and the upstream gets none of them.
async fn refused(config: Value, cases: &[Case<'_>], status: u16, detail: &str, details: &str) {
    let envoy = Envoy::start(listener(config)).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        for case in cases {
            let response = get(&client, *case).send().await.unwrap();
            assert_eq!(response.status, status, "{case:?}");
            assert_problem(&response, status, detail);
            let challenge = (status == 401).then_some("ApiKey realm=\"meshgate\"");
            assert_eq!(response.header("www-authenticate"), challenge);
            assert_eq!(response.header("ratelimit"), None);
        }
    }
    for line in envoy.wait_for_access_log(2 * cases.len()).await.unwrap() {
        assert_eq!(line, format!("{status} {details}"));
    }
    assert!(envoy.upstream().requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lets_a_request_through_from_every_place_and_is_hidden_there() {
    let envoy = Envoy::start(listener(everywhere())).await.unwrap();
    let cases: &[(Case<'_>, &str)] = &[
        (("/a?q=1", &[("x-api-key", "acme-key")]), "/a?q=1"),
        (("/a", &[("authorization", "ApiKey acme-key")]), "/a"),
        (("/a", &[("authorization", "apikey   acme-key")]), "/a"),
        (("/a?api_key=acme-key", &[]), "/a"),
        (("/a?api_key=acme-key&", &[]), "/a"),
        (("/a?b=1&api_key=acme-key&c=%20+%zz%00&b=1", &[]), "/a?b=1&c=%20+%zz%00&b=1"),
        (("/a?api%5Fkey=acme%2Dkey&&b", &[]), "/a?&b"),
        (("/%2e%2e/b%2f?%&api_key=acme-key&=&API_KEY=other", &[]), "/%2e%2e/b%2f?%&=&API_KEY=other"),
    ];
    for client in [envoy.http1(), envoy.http2()] {
        for (case, path) in cases {
            let response = get(&client, *case).send().await.unwrap();
            assert_eq!(response.status, 200, "{case:?}: {response:?}");
            let echo = response.echo();
            assert_eq!((echo.path.as_str(), echo.header("x-consumer-name")), (*path, Some("acme")));
            let seen = format!("{echo:?}");
            assert!(!seen.contains("acme-key") && !seen.contains("acme%2Dkey"), "{seen}");
            assert_eq!((echo.header("x-api-key"), echo.header("authorization")), (None, None));
        }
    }
    for line in envoy.wait_for_access_log(2 * cases.len()).await.unwrap() {
        assert_eq!(line, "200 via_upstream");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_key_stays() {
    let envoy = Envoy::start(listener(everywhere())).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let request =
            client.get("/?q=1&apikey=2").header("authorization", "Basic YTpi").header("x-other", "acme-key");
        let echo = request.header("x-api-key", "acme-key").send().await.unwrap().echo();
        assert_eq!(echo.path, "/?q=1&apikey=2");
        assert_eq!(
            (echo.header("authorization"), echo.header("x-other")),
            (Some("Basic YTpi"), Some("acme-key"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_hidden_reach_the_upstream() {
    let envoy = Envoy::start(listener(with(everywhere(), "/hide_credentials", json!(false)))).await.unwrap();
    let cases: &[Case<'_>] = &[
        ("/a", &[("x-api-key", "acme-key")]),
        ("/a", &[("authorization", "ApiKey acme-key")]),
        ("/a?b&api_key=acme-key", &[]),
    ];
    for case in cases {
        let echo = get(&envoy.http1(), *case).send().await.unwrap().echo();
        assert_eq!((echo.path.as_str(), echo.header("x-consumer-key-id")), (case.0, Some("acme-1")));
        for (name, value) in case.1 {
            assert_eq!(echo.headers.all(name), [*value]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_key_is_told_where_to_put_one() {
    let cases: &[Case<'_>] = &[
        ("/", &[]),
        ("/?key=acme-key&API_KEY=acme-key", &[("x-key", "acme-key"), ("authorization", "Basic acme-key")]),
        ("/", &[("authorization", "ApiKeys acme-key")]),
        ("/", &[("authorization", "acme-key")]),
        ("/", &[("cookie", "x-api-key=acme-key; api_key=acme-key")]),
    ];
    refused(everywhere(), cases, 401, MISSING, "meshgate_key_missing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_has_is_refused() {
    let (long, longest) = ("k".repeat(1_025), "k".repeat(1_024));
    let cases: &[Case<'_>] = &[
        ("/", &[("x-api-key", "acme")]),
        ("/", &[("x-api-key", "ACME-KEY")]),
        ("/", &[("x-api-key", "")]),
        ("/", &[("x-api-key", &long)]),
        ("/", &[("x-api-key", &longest)]),
        ("/", &[("x-api-key", &sha256("acme-key"))]),
        ("/", &[("x-api-key", "acme-key, acme-key")]),
        ("/", &[("authorization", "ApiKey")]),
        ("/", &[("authorization", "ApiKey ")]),
        ("/", &[("authorization", "ApiKey acme")]),
        ("/?api_key", &[]),
        ("/?api_key=", &[]),
        ("/?api_key=acme", &[]),
        ("/?api_key=acme-key%00", &[]),
        ("/?api_key=acme-key+", &[]),
    ];
    refused(everywhere(), cases, 401, INVALID, "meshgate_key_invalid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_key_there_may_be_is_one() {
    let long = "k".repeat(1_024);
    let config = with(everywhere(), "/consumers/0/keys/0/sha256", json!(sha256(&long)));
    let envoy = Envoy::start(listener(config)).await.unwrap();
    assert_eq!(envoy.get("/").header("x-api-key", &long).send().await.unwrap().status, 200);
    assert_eq!(envoy.get(&format!("/?api_key={long}")).send().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_key_is_refused_even_if_they_are_equal() {
    let cases: &[Case<'_>] = &[
        ("/", &[("x-api-key", "acme-key"), ("x-api-key", "acme-key")]),
        ("/", &[("x-api-key", "acme-key"), ("x-api-key", "other")]),
        ("/", &[("x-api-key", ""), ("x-api-key", "acme-key")]),
        ("/", &[("x-api-key", "acme-key"), ("x-api-key", "")]),
        ("/", &[("x-api-key", ""), ("x-api-key", "")]),
        ("/", &[("x-api-key", "acme-key"), ("authorization", "ApiKey acme-key")]),
        ("/", &[("x-api-key", "acme-key"), ("authorization", "ApiKey")]),
        ("/?api_key=acme-key", &[("x-api-key", "acme-key")]),
        ("/?api_key=acme-key", &[("authorization", "ApiKey acme-key")]),
        ("/?api_key", &[("x-api-key", "acme-key")]),
        ("/?api_key=acme-key&api_key=acme-key", &[]),
        ("/?api_key=acme-key&a=1&api%5fkey=", &[]),
        ("/?api_key=acme-key&api_key=acme-key", &[("x-api-key", "a"), ("authorization", "ApiKey b")]),
    ];
    refused(everywhere(), cases, 400, REPEATED, "meshgate_key_repeated").await;
}

/// Envoy itself joins repeated `authorization` fields with a comma, so that they come as one value.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_authorization_never_passes() {
    let envoy = Envoy::start(listener(everywhere())).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        for (one, other, status) in [
            ("ApiKey acme-key", "ApiKey acme-key", 400),
            ("ApiKey acme-key", "ApiKey", 400),
            ("Basic YTpi", "ApiKey acme-key", 400),
            ("ApiKey acme-key", "Basic YTpi", 401),
        ] {
            let request = client.get("/").header("authorization", one).header("authorization", other);
            assert_eq!(request.send().await.unwrap().status, status, "{one}, {other}");
        }
    }
    assert!(envoy.upstream().requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_case_of_a_header_name_hides_no_second_key() {
    let envoy = Envoy::start(listener(everywhere())).await.unwrap();
    for (keys, status) in
        [("X-API-Key: acme-key\r\n", "200"), ("X-API-KEY: acme-key\r\nx-Api-Key: a\r\n", "400")]
    {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{keys}Connection: close\r\n\r\n");
        let answer = String::from_utf8(raw(envoy.addr(), head).await.unwrap()).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_consumer_is_refused_with_all_its_keys() {
    let config = with(everywhere(), "/consumers/0/disabled", json!(true));
    let cases: &[Case<'_>] = &[
        ("/", &[("x-api-key", "acme-key")]),
        ("/", &[("authorization", "ApiKey acme-key")]),
        ("/?api_key=acme-key", &[]),
    ];
    refused(config, cases, 403, DISABLED, "meshgate_consumer_disabled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_allows_what_it_covers() {
    let allow = json!([{ "method": "GET", "path": { "prefix": "/v1" } }, { "header": { "x-admin": "yes" } }]);
    let config = with(everywhere(), "/plans/free/allow", allow);
    let key = ("x-api-key", "acme-key");
    refused(
        config.clone(),
        &[("/v2", &[key]), ("/", &[key]), ("/v2", &[key, ("x-admin", "no")])],
        403,
        FORBIDS,
        "meshgate_plan_forbids",
    )
    .await;
    let envoy = Envoy::start(listener(config)).await.unwrap();
    for (method, path, admin, status) in [
        ("GET", "/v1/a", "", 200),
        ("POST", "/v1/a", "", 403),
        ("POST", "/v1/a", "yes", 200),
        ("GET", "/v2", "yes", 200),
    ] {
        let request = envoy.request(method, path).header("x-api-key", "acme-key").header("x-admin", admin);
        assert_eq!(request.send().await.unwrap().status, status, "{method} {path} {admin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_matched_needs_a_key() {
    let config =
        with(everywhere(), "/match", json!({ "path": { "prefix": "/v1" }, "method": ["GET", "POST"] }));
    let envoy = Envoy::start(listener(with(config, "/realm", json!("The API")))).await.unwrap();
    for (method, path, status) in
        [("GET", "/v1", 401), ("GET", "/v2", 200), ("OPTIONS", "/v1", 200), ("POST", "/v1/a", 401)]
    {
        let response = envoy.request(method, path).send().await.unwrap();
        assert_eq!(response.status, status, "{method} {path}");
        let challenge = (status == 401).then_some("ApiKey realm=\"The API\"");
        assert_eq!(response.header("www-authenticate"), challenge);
    }
    // The key of a request that needs none is nobody's business either.
    let echo = envoy.get("/v2?api_key=x").header("x-api-key", "acme-key").send().await.unwrap().echo();
    assert_eq!((echo.path.as_str(), echo.header("x-api-key")), ("/v2", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_keys_of_a_consumer_are_good_at_once() {
    let keys = json!([{ "id": "old", "sha256": sha256("old-key") }, { "id": "new", "sha256": sha256("new-key").to_uppercase() }]);
    let envoy = Envoy::start(listener(with(everywhere(), "/consumers/0/keys", keys))).await.unwrap();
    for id in ["old", "new"] {
        let echo = envoy.get("/").header("x-api-key", format!("{id}-key")).send().await.unwrap().echo();
        assert_eq!(
            (echo.header("x-consumer-name"), echo.header("x-consumer-key-id")),
            (Some("acme"), Some(id))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_is_refused_without_a_body() {
    let envoy = Envoy::start(listener(everywhere())).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let response = client.request("HEAD", "/").send().await.unwrap();
        assert_eq!((response.status, response.text()), (401, ""));
        assert_eq!(response.header("www-authenticate"), Some("ApiKey realm=\"meshgate\""));
        // The connection is in order.
        assert_eq!(client.get("/").header("x-api-key", "acme-key").send().await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_clients_get_a_status_of_their_own() {
    let plans = json!({ "free": { "allow": { "path": { "prefix": "/pkg.S" } }, "limits": [{ "name": "l", "quota": "1/d" }] } });
    let config = document(plans, &[("acme", "free")]);
    let envoy = Envoy::start(listener(config)).await.unwrap();
    let client = envoy.http2();
    let cases: &[(Case<'_>, &str)] = &[
        (("/pkg.S/M", &[]), "16"),
        (("/pkg.S/M", &[("x-api-key", "who")]), "16"),
        (("/pkg.S/M", &[("x-api-key", "acme-key"), ("x-api-key", "acme-key")]), "3"),
        (("/other.S/M", &[("x-api-key", "acme-key")]), "7"),
        (("/pkg.S/M", &[("x-api-key", "acme-key")]), ""),
        (("/pkg.S/M", &[("x-api-key", "acme-key")]), "8"),
    ];
    for (case, status) in cases {
        let response = get(&client, *case).header("content-type", "application/grpc").send().await.unwrap();
        assert_eq!(
            (response.status, response.header("grpc-status").unwrap_or_default()),
            (200, *status),
            "{case:?}"
        );
        assert_eq!(response.header("grpc-message").is_some(), !status.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_cookie_is_hidden_among_the_others() {
    let places = json!([{ "cookie": "api_key" }, { "header": "x-api-key" }]);
    let envoy = Envoy::start(listener(with(everywhere(), "/keys_from", places))).await.unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["api_key=acme-key"], &[]),
        (&["api_key=\"acme-key\""], &[]),
        (&["a=1; api_key=acme-key; b=\"x,y\"; c=%3B=="], &["a=1; b=\"x,y\"; c=%3B=="]),
        (&["api_key=acme-key; API_KEY=other; flag"], &["API_KEY=other; flag"]),
    ];
    for client in [envoy.http1(), envoy.http2()] {
        for (cookies, expected) in cases {
            let request =
                cookies.iter().fold(client.get("/"), |request, cookie| request.header("cookie", cookie));
            let response = request.send().await.unwrap();
            assert_eq!(response.status, 200, "{cookies:?}");
            let echo = response.echo();
            assert_eq!(
                (echo.headers.all("cookie"), echo.header("x-consumer-name")),
                (expected.to_vec(), Some("acme"))
            );
            assert!(!format!("{echo:?}").contains("acme-key"));
        }
        // Envoy joins what HTTP/2 may take apart.
        let request = client.get("/").header("cookie", "a=1").header("cookie", "api_key=acme-key");
        let echo = request.header("cookie", "b=2").send().await.unwrap().echo();
        assert_eq!(echo.headers.all("cookie").join("; "), "a=1; b=2");
        for twice in [
            client.get("/").header("cookie", "api_key=acme-key; api_key=acme-key"),
            client.get("/").header("cookie", "api_key=acme-key").header("cookie", "api_key=x"),
            client.get("/").header("cookie", "api_key=acme-key").header("x-api-key", "acme-key"),
        ] {
            assert_eq!(twice.send().await.unwrap().status, 400);
        }
    }
}

/// The times of these keys are long past or far away, so that it does not count when this runs.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_good_for_their_time() {
    let keys = json!([
        { "id": "old", "sha256": sha256("old-key"), "expires_at": "2020-01-01T00:00:00Z" },
        { "id": "now", "sha256": sha256("now-key"), "not_before": "2020-01-01T00:00:00+01:00", "expires_at": "2499-12-31T00:00:00Z" },
        { "id": "new", "sha256": sha256("new-key"), "not_before": "2499-01-01T00:00:00Z" },
        { "id": "lost", "sha256": sha256("lost-key"), "disabled": true },
    ]);
    let config = with(everywhere(), "/consumers/0/keys", keys);
    for (key, detail, details) in [
        (
            "old-key",
            "This API key has expired. Use a newer one, or ask the provider of this API for one.",
            "meshgate_key_expired",
        ),
        (
            "new-key",
            "This API key is not valid yet. Use the present one until then.",
            "meshgate_key_not_yet_valid",
        ),
        (
            "lost-key",
            "This API key is disabled. Use another one, or ask the provider of this API to enable it.",
            "meshgate_key_disabled",
        ),
    ] {
        refused(config.clone(), &[("/", &[("x-api-key", key)])], 401, detail, details).await;
    }
    let envoy = Envoy::start(listener(config)).await.unwrap();
    let echo = envoy.get("/").header("x-api-key", "now-key").send().await.unwrap().echo();
    assert_eq!(echo.header("x-consumer-key-id"), Some("now"));
}

/// As the README makes one.
const CHECKED: &str = "mg_0123456789abcdefABCDEF_6d356cba";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_wrong_checksum_is_refused_as_such() {
    let config = with(everywhere(), "/key_format", json!({ "prefix": "mg" }));
    let config = with(config, "/consumers/0/keys/0/sha256", json!(sha256(CHECKED)));
    let cut = CHECKED.split_at(33).0;
    let cases: &[Case<'_>] = &[
        ("/", &[("x-api-key", "acme-key")]),
        ("/", &[("x-api-key", cut)]),
        ("/", &[("authorization", "ApiKey mg_0123456789abcdefABCDEF_6d356cbb")]),
        ("/?api_key=mg_0123456789abcdefABCDEG_6d356cba", &[]),
    ];
    let detail = "The API key is cut off or mistyped: its checksum is wrong. Copy all of it again.";
    refused(config.clone(), cases, 401, detail, "meshgate_key_malformed").await;
    let envoy = Envoy::start(listener(config)).await.unwrap();
    assert_eq!(envoy.get("/").header("x-api-key", CHECKED).send().await.unwrap().status, 200);
}

/// As the page says it, a variable of Envoy's own process reaches the VM: one that each has stands for that of the page.
#[tokio::test(flavor = "multi_thread")]
async fn a_pepper_comes_from_the_environment_of_the_proxy_as_the_page_says() {
    let shown = shown("```yaml vm_config").replace("MESHGATE_PEPPER", "PATH");
    let plugin: Value = yaml_serde::from_str(&shown).unwrap();
    let config = with(everywhere(), "/pepper", json!({ "env": "PATH" }));
    let with_it = Listener::new().filter(quota(config.clone()).plugin(plugin));
    let envoy = Envoy::start(with_it).await.unwrap();
    assert_eq!(envoy.get("/").header("x-api-key", "acme-key").send().await.unwrap().status, 200);
    let without = Envoy::refused(Listener::new().filter(quota(config))).await.unwrap();
    assert!(without.contains("expected the name of an environment variable of the VM"), "{without}");
}

/// The pepper comes from the environment of the VM, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_pepper_comes_from_the_environment_of_the_vm() {
    // printf %s acme-key | openssl dgst -sha256 -hmac "a pepper of 20 bytes"
    let digest = "d7d4ae7dc2fb74b129c3b503514944e90d68c7ec7a38a8ce732e59698a727daf";
    let config = with(everywhere(), "/consumers/0/keys/0", json!({ "id": "acme-1", "hmac_sha256": digest }));
    let config = with(config, "/pepper", json!({ "env": "MESHGATE_PEPPER" }));
    let filter = |pepper: &str| {
        let variables = json!({ "key_values": { "MESHGATE_PEPPER": pepper } });
        quota(config.clone()).plugin(json!({ "vm_config": { "environment_variables": variables } }))
    };
    let listener = |pepper: &str| Listener::new().filter(filter(pepper));
    let envoy = Envoy::start(listener("a pepper of 20 bytes")).await.unwrap();
    let key = |envoy: &Envoy, key: &str| envoy.get("/").header("x-api-key", key).send();
    assert_eq!(key(&envoy, "acme-key").await.unwrap().echo().header("x-consumer-key-id"), Some("acme-1"));
    assert_eq!(key(&envoy, digest).await.unwrap().status, 401);

    let other = Envoy::start(listener("another of 20 bytes!")).await.unwrap();
    assert_eq!(key(&other, "acme-key").await.unwrap().status, 401);

    let short = Envoy::refused(listener("hunter2")).await.unwrap();
    assert!(short.contains("pepper.env: found a secret of 7 bytes, expected at least 16 bytes"), "{short}");
    let missing = Envoy::refused(Listener::new().filter(quota(config.clone()))).await.unwrap();
    assert!(missing.contains("expected the name of an environment variable of the VM"), "{missing}");
}
