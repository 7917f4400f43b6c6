//! `local_reply_config`: errors that Envoy words by the rules of an error-response configuration.

use meshgate_e2e::{Config, Envoy, Listener, Response, Value, json, raw};

use crate::{file, modules, render, yaml};

const RULES: &str = r#"
type_base: https://errors.example.com/
rules:
  - match: {path: {prefix: /internal}, header: {x-debug: "1"}}
    pass: true
  - match: {flag: UF}
    respond: {title: Back soon, retry_after: 30s, headers: {set: {x-tried: "{{ request.method }} {{ request.headers['x-id'] }}"}}}
  - match: {status: 404, path: "/orders/{id}", origin: gateway}
    respond: {status: 410, type: gone, title: Gone, detail: "100% gone from {{ request.path }}", members: {support: 7, hosts: ["{{ a }}"]}}
  - match: {status: 5xx, host: "*.example.com", method: [GET, HEAD]}
    respond: {title: Sorry}
"#;

/// An Envoy without our filter whose errors are worded by rules.
async fn native(rules: &str) -> Envoy {
    let (_directory, path) = file("error-response.yaml", rules);
    let (config, err) = render(&["local-reply", "--errors", "all", &path]);
    assert_eq!(err, "");
    let route = |prefix: &str, cluster: &str| json!({ "match": { "prefix": prefix }, "route": { "cluster": cluster } });
    let hosts = json!([{ "name": "all", "domains": ["*"], "routes": [route("/items", "upstream"), route("/down", "down")] }]);
    let listener = Listener::new()
        .connection_manager(yaml(&config))
        .connection_manager(json!({ "route_config": { "virtual_hosts": hosts } }));
    Envoy::start(Config::from(listener).cluster("down", ([127, 0, 0, 1], 1).into())).await.unwrap()
}

fn problem(response: &Response) -> Value {
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{}", response.text());
    response.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_envoy_are_worded_by_the_rules() {
    let envoy = native(RULES).await;
    let response = envoy.get("/nowhere?a=1").header("x-request-id", "4f1c").send().await.unwrap();
    let body = problem(&response);
    assert_eq!(response.status, 404);
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(body["type"], "https://errors.example.com/route-not-found");
    assert_eq!((&body["title"], &body["status"]), (&json!("Nothing Here"), &json!(404)));
    assert!(body["request_id"].is_string() && body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");

    // A rule by flag, and header fields.
    let response = envoy.get("/down").header("x-id", "a%b").send().await.unwrap();
    let body = problem(&response);
    assert_eq!((response.status, response.header("retry-after")), (503, Some("30")));
    assert_eq!(response.header("x-tried"), Some("GET a%b"));
    assert_eq!(body["title"], "Back soon");
    assert_eq!(body["type"], "https://errors.example.com/upstream-connection-failure");

    // A rule by path, with another status, a literal per cent and members.
    let response = envoy.get("/orders/7?x=1").send().await.unwrap();
    let body = problem(&response);
    assert_eq!((response.status, &body["status"]), (410, &json!(410)));
    assert_eq!(body["detail"], "100% gone from /orders/7");
    assert_eq!((&body["support"], &body["hosts"]), (&json!(7), &json!(["{{ a }}"])));
    assert_eq!(envoy.get("/orders/7/items").send().await.unwrap().status, 404);

    // A rule that lets pass, and only what it is for.
    let debug = envoy.get("/internal/x").header("x-debug", "1").send().await.unwrap();
    assert_eq!((debug.status, debug.text()), (404, ""));
    problem(&envoy.get("/internal/x").send().await.unwrap());

    // What is no error of Envoy's stays.
    envoy.upstream().respond(meshgate_e2e::Reply::status(500).body("of the service"));
    assert_eq!(envoy.get("/items").send().await.unwrap().text(), "of the service");
}

/// Beside the filter: what it sees is worded by it, and what it can't see all the same has its form.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_filter_does_not_see_has_its_form() {
    let (_directory, path) = file("error-response.yaml", "type_base: https://errors.example.com/");
    let modules = modules();
    let (bootstrap, _) = render(&["envoy", "--modules", &modules, &path]);
    let bootstrap = bootstrap.replace("prefix: /\n", "prefix: /items\n");
    let envoy = Envoy::start(Config::yaml(&bootstrap).unwrap()).await.unwrap();
    // The client's choice is the filter's doing.
    let html = envoy.get("/nowhere").header("accept", "text/html").send().await.unwrap();
    assert_eq!((html.status, html.header("content-type")), (404, Some("text/html; charset=utf-8")));
    for (request, status, kind) in [
        (
            "GET /items HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
            "400",
            "https://errors.example.com/protocol-error",
        ),
        ("GET /items HTTP/1.1\r\n\r\n", "400", "https://errors.example.com/protocol-error"),
        ("GET /items HTTP/1.0\r\nhost: x\r\n\r\n", "426", "https://errors.example.com/protocol-error"),
        (
            &format!("GET /items HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "a".repeat(70_000)),
            "431",
            "about:blank",
        ),
    ] {
        let answer = raw(envoy.addr(), request).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("content-type: application/problem+json"), "{answer}");
        assert!(answer.contains(&format!("\"type\":\"{kind}\"")), "{answer}");
    }
}

/// In the forms that Envoy can write.
#[tokio::test(flavor = "multi_thread")]
async fn texts_are_written_as_text() {
    let envoy = native("formats: text\nrules: [{match: {status: 404}, respond: {title: \"50% off\"}}]").await;
    let response = envoy.get("/nowhere").send().await.unwrap();
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    let expected =
        "404 50% off\n\nThere is nothing at this address. Check the host, the path and the method.\n";
    assert_eq!(response.text(), expected);
}
