//! Who made an error, and why: each cause for real.

use std::time::Duration;

use meshgate_e2e::{Envoy, RawUpstream, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_the_gateway_says_what_it_is() {
    let envoy = Envoy::start(failing(json!({}))).await.unwrap();
    let limited = envoy.get("/limited").send().await.unwrap();
    assert_eq!(limited.status, 200);
    let reset = "upstream_reset_before_response_started";
    let refused = format!("{reset}{{remote_connection_failure}}");
    let cases = [
        ("/unhealthy", 503, "no-healthy-upstream", "no_healthy_upstream".to_owned(), "UH"),
        ("/nocluster", 503, "cluster-not-found", "cluster_not_found".to_owned(), "NC"),
        ("/refused", 503, "upstream-connection-failure", refused.clone(), "UF"),
        ("/retried", 503, "upstream-connection-failure", refused, "URX,UF"),
        ("/slow", 504, "upstream-timeout", "response_timeout".to_owned(), "UT"),
        (
            "/reset",
            503,
            "upstream-connection-termination",
            format!("{reset}{{connection_termination}}"),
            "UC",
        ),
        ("/full", 503, "upstream-overflow", format!("{reset}{{overflow}}"), "UO"),
        ("/forbidden", 403, "access-denied", "rbac_access_denied_matched_policy".to_owned(), "-"),
        ("/fault", 418, "fault-injected", "fault_filter_abort".to_owned(), "FI"),
        ("/limited", 429, "rate-limited", "local_rate_limited".to_owned(), "RL"),
    ];
    for client in [envoy.http1(), envoy.http2()] {
        for (path, status, kind, _, _) in &cases {
            let request = client.get(path).header("x-request-id", "ours");
            let reply =
                if *path == "/slow" { json!({ "delay_ms": 2_000 }) } else { json!({ "reset": true }) };
            let response = request.upstream(reply).send().await.unwrap();
            let problem = problem(&response, *status, &format!("urn:meshgate:problem:{kind}"));
            assert!(problem["request_id"].is_string() && problem["timestamp"].is_string(), "{problem}");
            for inside in ["127.0.0.1", "refused", "reset", "secret-policy", "upstream connect"] {
                assert!(!response.text().contains(inside), "{path}: {}", response.text());
            }
        }
    }
    let log = envoy.wait_for_access_log(1 + 2 * cases.len()).await.unwrap();
    for (line, (path, status, _, details, flags)) in log[1..].iter().zip(cases.iter().chain(&cases)) {
        let (expected, end) = (format!("{status} {}", details.trim_end_matches('}')), format!(" {flags}"));
        assert!(line.starts_with(&expected) && line.ends_with(&end), "{path}: {line}");
    }
    // What the client is not told is in the log.
    let line = envoy.wait_for_log("flags=UF,URX").await.unwrap();
    for part in ["status=503", "delayed_connect_error", "127.0.0.1:1", "request_id="] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(
        envoy.stat("wasmcustom.meshgate.errors.replaced.gateway").await.unwrap(),
        2 * cases.len() as u64
    );
    assert_alive(&envoy).await;
}

/// What operators alert on stays as it is without the filter: each line of the access log, to the last word.
#[tokio::test(flavor = "multi_thread")]
async fn access_logs_say_what_they_say_without_the_filter() {
    let paths = [
        "/unhealthy",
        "/nocluster",
        "/refused",
        "/retried",
        "/slow",
        "/reset",
        "/full",
        "/forbidden",
        "/fault",
        "/",
    ];
    let mut logs = vec![];
    for document in [json!({}), json!({ "gateway_errors": "pass", "upstream_errors": "pass" })] {
        let envoy = Envoy::start(failing(document)).await.unwrap();
        for path in paths {
            let reply = match path {
                "/slow" => json!({ "delay_ms": 2_000 }),
                "/reset" => json!({ "reset": true }),
                _ => json!({ "status": 500, "body": "trace" }),
            };
            envoy.get(path).upstream(reply).send().await.unwrap();
        }
        logs.push(envoy.wait_for_access_log(paths.len()).await.unwrap());
    }
    assert!(logs[0].iter().any(|line| line.contains("delayed_connect_error")), "{:?}", logs[0]);
    assert_eq!(logs[0], logs[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_not_there_is_a_problem() {
    let none = json!({ "route_config": { "virtual_hosts": [{ "name": "none", "domains": ["other"], "routes": [] }] } });
    let envoy = Envoy::start(listener(json!({})).connection_manager(none)).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        problem(&client.get("/").send().await.unwrap(), 404, "urn:meshgate:problem:route-not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_on_purpose_stays() {
    let envoy = Envoy::start(failing(json!({}))).await.unwrap();
    for (path, status, body) in
        [("/direct", 503, "on purpose"), ("/lua", 403, "on purpose"), ("/moved", 301, "")]
    {
        let response = envoy.get(path).send().await.unwrap();
        assert_eq!((response.status, response.text()), (status, body), "{path}");
        assert_eq!(response.header("cache-control"), None);
    }
    let reply = json!({ "status": 422, "headers": [["content-type", "application/json"], ["x-a", "1"]], "body": "{\"a\":1}" });
    let response = envoy.get("/").upstream(reply).send().await.unwrap();
    assert_eq!((response.status, response.text(), response.header("x-a")), (422, "{\"a\":1}", Some("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_upstream_tell_nothing() {
    let envoy = Envoy::start(listener(json!({})).http1_trailers()).await.unwrap();
    let trace = "java.lang.NullPointerException at com.example.Orders (10.0.0.7:8080)";
    let headers = json!([
        ["content-type", "text/html"],
        ["x-powered-by", "PHP"],
        ["x-backend", "10.0.0.7"],
        ["etag", "\"x\""],
        ["content-encoding", "gzip"],
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
        ["www-authenticate", "Basic realm=x"],
        ["retry-after", "7"],
        ["location", "http://10.0.0.7:8080/orders"],
        ["link", "<http://10.0.0.7:8080/>; rel=next"],
        ["alt-svc", "h2=\"10.0.0.7:8080\""],
        ["refresh", "5; url=http://10.0.0.7:8080/"],
        ["server-timing", "db;desc=\"orders.internal\""],
        ["via", "1.1 10.0.0.7"],
        ["warning", "199 10.0.0.7 failed"],
        ["x-debug-exception", "NullPointerException at com.example.Orders"],
        ["x-debug-token-link", "http://10.0.0.7/_profiler/1"],
        ["access-control-allow-origin", "https://a.example"],
        ["vary", "Origin"],
        ["last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"],
        ["accept-ranges", "bytes"],
    ]);
    for client in [envoy.http1(), envoy.http2()] {
        for reply in [
            json!({ "status": 500, "headers": headers, "body": trace }),
            json!({ "status": 503, "headers": headers, "chunks": [trace, trace] }),
            json!({ "status": 502, "headers": headers, "chunks": [trace], "trailers": [["x-t", trace]] }),
            json!({ "status": 599, "headers": headers }),
            json!({ "status": 500, "headers": headers, "chunks": [trace], "chunk_delay_ms": 50 }),
        ] {
            for method in ["GET", "POST", "DELETE"] {
                let request =
                    client.request(method, "/").header("te", "trailers").body("the body of a request");
                let response = request.upstream(reply.clone()).send().await.unwrap();
                let status = reply["status"].as_u64().unwrap() as u16;
                problem(&response, status, "about:blank");
                assert!(!response.text().contains("com.example"), "{}", response.text());
                let mut names: Vec<_> = response.headers.names();
                names.sort_unstable();
                names.dedup();
                names.retain(|name| !["connection", "content-length", "date", "server"].contains(name));
                let left = ["access-control-allow-origin", "cache-control", "content-type"];
                assert_eq!(names, [&left[..], &["retry-after", "set-cookie", "vary"]].concat());
                assert_eq!(response.headers.all("set-cookie"), ["a=1", "b=2"]);
                // Envoy puts them on one line.
                assert_eq!(response.headers.all("vary"), ["Origin,Accept"]);
                for (name, value) in [
                    ("retry-after", "7"),
                    ("access-control-allow-origin", "https://a.example"),
                    ("cache-control", "no-store"),
                ] {
                    assert_eq!(response.headers.all(name), [value], "{name}");
                }
                assert!(response.trailers.is_empty());
            }
        }
    }
    assert_eq!(envoy.stat("wasmcustom.meshgate.errors.replaced.upstream").await.unwrap(), 2 * 5 * 3);
    assert_alive(&envoy).await;
}

/// The fields that Envoy adds to responses by its routes stand there once.
#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_route_are_there_once() {
    let added =
        json!([{ "header": { "key": "x-added", "value": "1" }, "append_action": "APPEND_IF_EXISTS_OR_ADD" }]);
    let routes = json!([{ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } }]);
    let hosts = json!({ "route_config": {
        "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes, "response_headers_to_add": added }],
    } });
    let document = json!({ "route_headers": ["X-Added"], "rules": [{ "respond": { "headers": { "keep": ["x-added"] } } }] });
    let envoy = Envoy::start(listener(document).connection_manager(hosts)).await.unwrap();
    for reply in [json!({ "status": 500, "body": "trace" }), json!({ "reset": true })] {
        let response = envoy.get("/").upstream(reply).send().await.unwrap();
        assert_eq!(response.headers.all("x-added"), ["1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_speaks_no_http_is_a_problem() {
    let upstream = RawUpstream::start("garbage\r\n\r\n").await.unwrap();
    let config = meshgate_e2e::Config::from(listener(json!({}))).upstream(upstream.addr());
    let envoy = Envoy::start(config).await.unwrap();
    let response = envoy.get("/").send().await.unwrap();
    problem(&response, 502, "urn:meshgate:problem:upstream-protocol-error");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_decide_by_cause() {
    let document = json!({ "rules": [
        { "match": { "flag": "UpstreamConnectionFailure", "path": { "prefix": "/refused" } }, "respond": { "status": 500, "title": "One", "retry_after": "30s" } },
        { "match": { "details": "local_rate*" }, "respond": { "type": "slow-down", "title": "Two" } },
        { "match": { "origin": "gateway", "status": 418 }, "pass": true },
        { "match": { "origin": "upstream", "status": "4xx", "response_header": { "x-why": { "present": true } } },
          "when": "response.headers['x-why'] != 'fine'", "respond": { "detail": "{{ response.headers['x-why'] }}" } },
    ] });
    let envoy = Envoy::start(failing(document)).await.unwrap();
    let refused = envoy.get("/refused").send().await.unwrap();
    let one = problem(&refused, 500, "urn:meshgate:problem:upstream-connection-failure");
    assert_eq!((&one["title"], refused.header("retry-after")), (&json!("One"), Some("30")));
    envoy.get("/limited").send().await.unwrap();
    let limited = envoy.get("/limited").send().await.unwrap();
    assert_eq!(problem(&limited, 429, "urn:meshgate:problem:slow-down")["title"], "Two");
    let fault = envoy.get("/fault").send().await.unwrap();
    assert_eq!((fault.status, fault.text()), (418, "fault filter abort"));
    let why = |why: &str| json!({ "status": 409, "headers": [["x-why", why]], "body": "body" });
    let refused = envoy.get("/").upstream(why("taken \"twice\"")).send().await.unwrap();
    assert_eq!(problem(&refused, 409, "about:blank")["detail"], "taken \"twice\"");
    let fine = envoy.get("/").upstream(why("fine")).send().await.unwrap();
    assert_eq!(fine.text(), "body");
    assert_eq!(envoy.stat("wasmcustom.meshgate.errors.passed").await.unwrap(), 2);
}

/// An answer is sent while the head passes: the client does not wait for a body that takes its time.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_the_body_of_an_error() {
    let envoy = Envoy::start(listener(json!({}))).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let endless = json!({ "status": 500, "chunks": vec!["x"; 1_000], "chunk_delay_ms": 1_000 });
        let request = client.get("/").upstream(endless).timeout(Duration::from_secs(10));
        problem(&request.send().await.unwrap(), 500, "about:blank");
    }
    envoy.wait_for_stat("cluster.upstream.upstream_rq_active", |active| active == 0).await.unwrap();
}
