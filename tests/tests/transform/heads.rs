//! Operations on heads.

use meshgate_e2e::{Client, Envoy, Listener, Reply, Value, Wasm, json};
use sha2::{Digest as _, Sha256};

use crate::support::*;

fn rule() -> Value {
    json!({
        "match": { "path": "/v1/users/{id}" },
        "request": [
            { "set": { "header": "x-user-id", "to": "{{ path.id }}" } },
            { "append": { "header": "x-many", "to": "3" } },
            { "rename": { "header": "x-old", "to": "x-new" } },
            { "remove": { "header": "x-secret" } },
            { "set": { "query": "page", "to": "a b" } },
            { "remove": { "query": "debug" } },
            { "set": { "cookie": "s", "to": "2" } },
            { "set": { "path": "/v2/users/{{ path.id }}" } },
            { "set": { "method": "PUT" } },
            { "set": { "host": "users.internal" } },
        ],
        "response": [
            { "set": { "status": 201 } },
            { "set": { "header": "x-for", "to": "{{ path.id }}" } },
            { "remove": { "header": "x-powered-by" } },
            { "set": { "cookie": "t", "to": "1", "attributes": "Path=/; HttpOnly" } },
            { "append": { "header": "x-line", "to": "2" } },
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_a_head_changes() {
    let envoy = with_rule(rule()).await;
    for client in clients(&envoy) {
        let reply =
            json!({ "headers": [["x-powered-by", "x"], ["set-cookie", "t=0; Path=/x"], ["x-line", "1"]] });
        let request = client.get("/v1/users/a%2Fb?debug=1&page=1&x=%zz");
        let request =
            [("x-many", "1"), ("x-many", "2"), ("x-old", "o"), ("x-secret", "s"), ("cookie", "s=1; u=1")]
                .into_iter()
                .fold(request, |request, (name, value)| request.header(name, value));
        let response = request.upstream(reply).send().await.unwrap();
        assert_eq!(response.status, 201);
        assert_eq!(response.header("x-for"), Some("a/b"));
        assert_eq!(response.header("x-powered-by"), None);
        assert_eq!(response.headers.all("set-cookie"), ["t=1; Path=/; HttpOnly"]);
        assert_eq!(response.headers.all("x-line"), ["1", "2"]);
    }
    for got in envoy.upstream().wait_for_requests(2).await.unwrap() {
        assert_eq!((got.method.as_str(), got.path.as_str()), ("PUT", "/v2/users/a%2Fb?page=a%20b&x=%zz"));
        assert_eq!(got.authority, "users.internal");
        assert_eq!(got.header("x-user-id"), Some("a/b"));
        assert_eq!(got.headers.all("x-many"), ["1", "2", "3"]);
        assert_eq!(
            (got.header("x-new"), got.header("x-old"), got.header("x-secret")),
            (Some("o"), None, None)
        );
        assert_eq!(got.headers.all("cookie").join("; "), "s=2; u=1");
    }
}

/// `keep` takes all but what it names, and `add` writes where nothing is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_and_what_is_added() {
    let kept = json!([
        { "keep": { "header": ["x-kept", "x-many", "cookie"] } },
        { "keep": { "query": ["a", "many"] } },
        { "keep": { "cookie": ["c"] } },
    ]);
    let added = json!([
        { "add": { "header": "x-kept", "to": "new" } },
        { "add": { "header": "x-new", "to": "{{ request.method }}" } },
        { "add": { "query": "a", "to": "new" } },
        { "add": { "query": "new", "to": "a&b" } },
        { "add": { "cookie": "c", "to": "new" } },
        { "add": { "cookie": "new", "to": "1" } },
    ]);
    let responses = json!([
        { "keep": { "header": ["x-kept", "set-cookie"] } },
        { "keep": { "cookie": ["c"] } },
        { "add": { "header": "x-kept", "to": "new" } },
        { "add": { "header": "x-new", "to": "1" } },
        { "add": { "cookie": "c", "to": "new" } },
        { "add": { "cookie": "new", "to": "1", "attributes": "Path=/" } },
    ]);
    let rules = json!([
        { "match": { "path": "/kept" }, "request": kept },
        { "match": { "path": "/added" }, "request": added },
        { "response": responses },
    ]);
    let envoy = Envoy::start(listener(json!({ "rules": rules }))).await.unwrap();
    for client in clients(&envoy) {
        envoy.upstream().respond(
            Reply::status(200)
                .header("x-kept", "1")
                .header("x-gone", "1")
                .header("content-type", "text/plain")
                .header("set-cookie", "c=1; HttpOnly")
                .header("set-cookie", "gone=1")
                .body("body"),
        );
        let request = |path: &str| {
            let request = client.get(&format!("{path}?a=1&gone=2&many=%20&many=3&b"));
            let request = request.header("x-kept", "1").header("x-many", "1").header("x-many", "2");
            request.header("x-gone", "1").header("cookie", "c=1; gone=2")
        };
        let response = request("/kept").send().await.unwrap();
        let got = envoy.upstream().requests().pop().unwrap();
        assert_eq!(got.path, "/kept?a=1&many=%20&many=3");
        assert_eq!((got.header("x-kept"), got.headers.all("x-many")), (Some("1"), vec!["1", "2"]));
        assert_eq!((got.header("x-gone"), got.header("cookie")), (None, Some("c=1")));
        // Without a type or a length nobody could read it.
        assert_eq!((response.text(), response.header("content-type")), ("body", Some("text/plain")));
        assert_eq!((response.header("x-kept"), response.header("x-gone")), (Some("1"), None));
        assert_eq!(response.header("x-new"), Some("1"));
        assert_eq!(response.headers.all("set-cookie"), ["c=1; HttpOnly", "new=1; Path=/"]);

        request("/added").send().await.unwrap();
        let got = envoy.upstream().requests().pop().unwrap();
        assert_eq!(got.path, "/added?a=1&gone=2&many=%20&many=3&b&new=a%26b");
        assert_eq!((got.header("x-kept"), got.header("x-new")), (Some("1"), Some("GET")));
        assert_eq!(got.headers.all("cookie").join("; "), "c=1; gone=2; new=1");
        // Where there is nothing.
        client.get("/added").send().await.unwrap();
        let got = envoy.upstream().requests().pop().unwrap();
        assert_eq!(got.path, "/added?a=new&new=a%26b");
        assert_eq!((got.header("x-kept"), got.header("cookie")), (Some("new"), Some("c=new; new=1")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_sends_ends_a_line() {
    let envoy = with_rule(json!({
        "match": { "path": "/{id}" },
        "request": [{ "set": { "path": "/p/{{ path.id }}" } }, { "set": { "query": "q", "to": "{{ path.id }}" } }],
        "response": [{ "set": { "header": "x-id", "to": "{{ path.id }}" } }],
    }))
    .await;
    let response = envoy.get("/a%0d%0ax-evil:%201").send().await.unwrap();
    assert_problem(&response, 502);
    let echo = envoy.upstream().requests()[0].clone();
    assert_eq!(echo.path, "/p/a%0D%0Ax-evil%3A%201?q=a%0D%0Ax-evil%3A%201");
    assert_eq!(
        envoy.get("/a%3Fb%23c%2F").send().await.unwrap().echo().path,
        "/p/a%3Fb%23c%2F?q=a%3Fb%23c%2F"
    );
    assert_problem(&envoy.get("/..%2Fx").send().await.unwrap(), 400);
    let bytes = envoy.get("/%ff").send().await.unwrap();
    assert_eq!(
        (bytes.echo().path.as_str(), bytes.headers.bytes("x-id")),
        ("/p/%FF?q=%FF", vec![&b"\xff"[..]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_parameters_and_repeated_fields_pass() {
    let envoy = Envoy::start(
        listener(json!({ "rules": [{ "request": [{ "remove": { "query": "p500" } }, { "append": { "header": "x-n", "to": "z" } }] }] }))
            .max_headers_count(600)
            .max_request_headers_kb(200),
    )
    .await
    .unwrap();
    let query = (0..1_000).map(|number| format!("p{number}=%zz+")).collect::<Vec<_>>().join("&");
    let request =
        (0..400).fold(envoy.get(&format!("/?{query}")), |request, n| request.header("x-n", n.to_string()));
    let echo = request.send().await.unwrap().echo();
    assert_eq!(echo.path, format!("/?{}", query.replace("p500=%zz+&", "")));
    let expected: Vec<_> = (0..400).map(|n| n.to_string()).chain(["z".to_owned()]).collect();
    assert_eq!(echo.headers.all("x-n"), expected);
}

/// Templates know who `api-key-quota` has let in; a header of that name changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn consumers_in_templates() {
    let digest: String = Sha256::digest("acme-key").iter().map(|byte| format!("{byte:02x}")).collect();
    let quota = json!({
        "filter_state": true,
        "plans": { "gold": {} },
        "consumers": [{ "name": "acme", "plan": "gold", "keys": [{ "id": "acme-1", "sha256": digest }] }],
    });
    let document = json!({ "rules": [
        { "when": "consumer.plan == 'gold'",
          "request": [{ "set": { "header": "x-who", "to": "{{ consumer.name }}/{{ consumer.key_id }}" } }],
          "response": [{ "set": { "header": "x-who", "to": "{{ consumer.name }}" } }] },
    ] });
    let listener =
        Listener::new().filter(Wasm::module("api_key_quota").config(quota)).filter(transform(document));
    let envoy = Envoy::start(listener).await.unwrap();
    let client: Client = envoy.http1();
    let response =
        client.get("/").header("x-api-key", "acme-key").header("x-who", "root").send().await.unwrap();
    assert_eq!(response.echo().headers.all("x-who"), ["acme/acme-1"]);
    assert_eq!(response.header("x-who"), Some("acme"));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_happened() {
    let envoy = with_rule(json!({
        "match": { "header": { "x-try": { "present": true } } },
        "request": [{ "set": { "json": "/a", "to": 1 } }],
        "on_error": { "wrong_type": "skip", "template": "pass" },
    }))
    .await;
    let client = envoy.http1();
    post(&client, "{}").header("x-try", "1").send().await.unwrap();
    post(&client, "{").header("x-try", "1").send().await.unwrap();
    post(&client, "[]").header("x-try", "1").send().await.unwrap();
    post(&client, "{").send().await.unwrap();
    let log = envoy.wait_for_access_log(4).await.unwrap();
    assert_eq!(
        log,
        ["200 via_upstream", "400 meshgate_transform_invalid_json", "200 via_upstream", "200 via_upstream"]
    );
    for (name, count) in [
        ("applied", 3),
        ("invalid_json", 1),
        ("wrong_type", 1),
        ("refused", 1),
        ("skipped", 1),
        ("errors", 0),
    ] {
        assert_eq!(
            envoy.stat(&format!("wasmcustom.meshgate.transform.{name}")).await.unwrap(),
            count,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_wrong_is_one_line() {
    let rule = json!({ "request": [{ "copy": { "from": { "json": "/a" }, "to": { "header": "x" } } }] });
    let log = Envoy::refused(Wasm::module(MODULE).config(json!({ "rules": [rule] }))).await.unwrap();
    let line = "rules[0].request[0]: the head depends on the body: this takes a head that waits for its body: write \
                allow_on_headers_stop_iteration: true here, and in the PluginConfig of Envoy as well";
    assert!(log.contains(line), "{log}");
}
