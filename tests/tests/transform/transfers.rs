//! Copies and moves between places of all kinds.

use meshgate_e2e::{Value, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn between_head_and_body_of_a_request() {
    let envoy = holding(json!({
        "match": { "path": "/users/{id}" },
        "request": [
            { "copy": { "from": { "capture": "id" }, "to": { "json": "/id" } } },
            { "move": { "from": { "query": "page" }, "to": { "json": "/page" } } },
            { "move": { "from": { "header": "x-lang" }, "to": { "json": "/lang" } } },
            { "move": { "from": { "cookie": "s" }, "to": { "header": "x-session" } } },
            { "copy": { "from": { "json": "/tenant" }, "to": { "header": "x-tenant" } } },
            { "move": { "from": { "json": "/secret" }, "to": { "header": "x-secret" } } },
            { "copy": { "from": { "json": "/tenant" }, "to": "host" } },
            { "set": { "path": "/t/{{ body.tenant }}" } },
            { "copy": { "from": "method", "to": { "query": "was" } } },
            { "copy": { "from": { "json": "$.tags[*]" }, "to": { "query": "tag" } } },
            { "set": { "header": "x-sum", "to": "{{ body.n + 1 }}" } },
        ],
    }))
    .await;
    for client in clients(&envoy) {
        envoy.upstream().forget_requests();
        let body = r#"{"tenant":"acme","secret":"s3","tags":["a b","c"],"n":41}"#;
        let request = client.post("/users/a%2Fb?page=2&x=1").header("content-type", "application/json");
        let request = request.header("x-lang", "de").header("cookie", "s=1; t=2").body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        let got = &envoy.upstream().requests()[0];
        assert_eq!(
            got.text(),
            r#"{"tenant":"acme","tags":["a b","c"],"n":41,"id":"a/b","page":"2","lang":"de"}"#
        );
        assert_eq!(
            (got.path.as_str(), got.authority.as_str()),
            ("/t/acme?x=1&was=POST&tag=a%20b&tag=c", "acme")
        );
        let header = |name| got.header(name);
        assert_eq!(
            (header("x-tenant"), header("x-secret"), header("x-sum")),
            (Some("acme"), Some("s3"), Some("42"))
        );
        assert_eq!((header("x-session"), header("x-lang"), header("cookie")), (Some("1"), None, Some("t=2")));
        assert!(header("content-length").is_none_or(|length| length == got.body.len().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_head_and_body_of_a_response() {
    let envoy = holding(json!({ "response": [
        { "move": { "from": { "json": "/code" }, "to": "status" } },
        { "copy": { "from": { "header": "x-id" }, "to": { "json": "/id" } } },
        { "copy": { "from": { "json": "/who" }, "to": { "cookie": "who" } } },
        { "copy": { "from": { "json": "/who" }, "to": { "header": "x-who" } } },
        { "set": { "json": "/asked", "to": "{{ request.path }}" } },
    ] }))
    .await;
    for client in clients(&envoy) {
        let headers =
            json!([["content-type", "application/json"], ["x-id", "7"], ["set-cookie", "who=old; Path=/"]]);
        let reply = json!({ "headers": headers, "body": "{\"code\":404,\"who\":\"Ada\"}" });
        let response = client.get("/asked").upstream(reply).send().await.unwrap();
        assert_eq!((response.status, response.text()), (404, r#"{"who":"Ada","id":"7","asked":"/asked"}"#));
        assert_eq!(
            (response.headers.all("set-cookie"), response.header("x-who")),
            (vec!["who=Ada; Path=/"], Some("Ada"))
        );
        assert_eq!(response.header("content-length"), Some(&*response.body.len().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_bodies() {
    let envoy = with_rule(json!({
        "match": { "path": "/wrap" },
        "request": [{ "set": { "body": { "data": "{{ body }}", "at": "{{ request.path }}" } } }],
        "response": [{ "copy": { "from": { "json": "/data" }, "to": "body" } }],
    }))
    .await;
    for client in clients(&envoy) {
        envoy.upstream().forget_requests();
        let reply =
            json!({ "headers": [["content-type", "application/json"]], "body": "{\"data\": {\"x\": 1.0}}" });
        let request = client
            .post("/wrap")
            .header("content-type", "application/json")
            .body("{\"n\": 12345678901234567890}");
        let response = request.upstream(reply).send().await.unwrap();
        assert_eq!(response.text(), "{\"x\": 1.0}");
        let got: Value = envoy.upstream().requests()[0].text().parse().unwrap();
        assert_eq!(got["at"], "/wrap");
        assert!(envoy.upstream().requests()[0].text().contains("12345678901234567890"));
    }
}
