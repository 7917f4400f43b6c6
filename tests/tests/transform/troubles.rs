//! What goes wrong, and what clients get then.

use meshgate_e2e::{Envoy, Reply, Value, json};

use crate::support::*;

fn rule(on_error: Value) -> Value {
    let operations =
        json!([{ "set": { "header": "x-done", "to": "1" } }, { "append": { "json": "/l", "to": 1 } }]);
    json!({ "request": operations, "response": operations, "on_error": on_error })
}

/// Bodies with what is wrong with them and the status that a request gets for them.
fn broken() -> [(String, &'static str, u16); 3] {
    [
        ("{\"l\":".to_owned(), "invalid_json", 400),
        ("{\"l\":1}".to_owned(), "wrong_type", 400),
        (format!("[\"{}\"]", "x".repeat(200)), "over_limit", 413),
    ]
}

async fn start(on_error: Value, holds: bool) -> Envoy {
    let document =
        json!({ "rules": [rule(on_error)], "body_limit": 100, "allow_on_headers_stop_iteration": holds });
    Envoy::start(listener(document)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered() {
    for holds in [false, true] {
        let envoy = start(json!({}), holds).await;
        let mut lines = 0;
        for client in clients(&envoy) {
            for (body, name, status) in broken() {
                let response = post(&client, &body).send().await.unwrap();
                assert_problem(&response, status);
                let chunked = client.post("/").header("content-type", "application/json");
                let (first, rest) = body.split_at(3);
                let response =
                    chunked.chunks([first.to_owned(), rest.to_owned()], PAUSE).send().await.unwrap();
                assert_problem(&response, status);
                lines += 2;
                let log = envoy.wait_for_access_log(lines).await.unwrap();
                assert_eq!(log[lines - 2..], [&*format!("{status} meshgate_transform_{name}"); 2]);
            }
        }
        assert!(
            envoy.upstream().requests().iter().all(|got| !got.complete),
            "{:?}",
            envoy.upstream().requests()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_answered_while_their_heads_wait_and_cut_off_otherwise() {
    for (body, name, _) in broken() {
        let envoy = start(json!({ name: { "error": 503 } }), true).await;
        for client in clients(&envoy) {
            assert_problem(&get(&client, &body).send().await.unwrap(), 503);
        }
        let envoy = start(json!({}), false).await;
        for client in clients(&envoy) {
            let response = get(&client, &body).send().await;
            match name {
                // What the head tells is answered in any case.
                "over_limit" => assert_problem(&response.unwrap(), 502),
                _ => assert!(response.is_err(), "{response:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_operations_are_left_out() {
    for (remedy, holds) in [("pass", false), ("pass", true), ("skip", false), ("skip", true)] {
        let envoy = start(json!(remedy), holds).await;
        for client in clients(&envoy) {
            for (body, name, _) in broken() {
                envoy.upstream().forget_requests();
                post(&client, &body).upstream(json!({})).send().await.unwrap();
                let response = get(&client, &body).send().await.unwrap();
                let got = &envoy.upstream().requests()[0];
                assert_eq!((got.text(), response.text()), (&*body, &*body), "{remedy} {name}");
                // A head that is gone keeps what was done to it.
                let early = !holds && name != "over_limit";
                let done = (remedy == "skip" || early).then_some("1");
                assert_eq!(
                    (got.header("x-done"), response.header("x-done")),
                    (done, done),
                    "{remedy} {name} {holds}"
                );
            }
        }
    }
}

/// More than Envoy holds is Envoy's to answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_the_limit_of_envoy() {
    let document = json!({ "rules": [rule(json!({}))], "body_limit": "8MiB" });
    let envoy = Envoy::start(listener(document)).await.unwrap();
    let body = format!("[\"{}\"]", "x".repeat(4 << 20));
    let response = post(&envoy.http1(), &body).send().await.unwrap();
    assert_eq!((response.status, response.header("content-type")), (413, Some("text/plain")));
}

/// What a client sends decides how often a template goes round, and how long it gets: both have an end, and the worker goes on.
#[tokio::test(flavor = "multi_thread")]
async fn templates_that_loop_end() {
    let rounds = "{% for a in body.l %}{% for b in body.l %}{% for c in body.l %}x{% endfor %}{% endfor %}{% endfor %}";
    let long = "{% for a in body.l %}{{ body.text }}{% endfor %}";
    let rule = |path: &str, template: &str| {
        let operation = json!([{ "set": { "json": "/made", "to": template } }]);
        json!({ "match": { "path": path }, "request": operation, "response": operation })
    };
    let document = json!({
        "rules": [rule("/rounds", rounds), rule("/long", long)],
        "body_limit": "64KiB",
        "allow_on_headers_stop_iteration": true,
    });
    let envoy = Envoy::start(listener(document)).await.unwrap();
    let body = |items: usize| json!({ "l": vec![1; items], "text": "x".repeat(20_000) });
    let mut lines = 0;
    for client in clients(&envoy) {
        for path in ["/rounds", "/long"] {
            // A hundred times 20,000 bytes are too many, and so are a million times round.
            let response = client.post(path).json(&body(100)).send().await.unwrap();
            assert_problem(&response, 400);
            envoy.upstream().respond(
                Reply::status(200).header("content-type", "application/json").body(body(100).to_string()),
            );
            assert_problem(&client.get(path).send().await.unwrap(), 502);
            lines += 2;
            let log = envoy.wait_for_access_log(lines).await.unwrap();
            assert_eq!(
                log[lines - 2..],
                ["400 meshgate_transform_template", "502 meshgate_transform_template"]
            );

            envoy.upstream().forget_requests();
            envoy.upstream().respond(Reply::status(200));
            let response = client.post(path).json(&body(2)).send().await.unwrap();
            assert_eq!(response.status, 200);
            lines += 1;
            let got: Value = envoy.upstream().requests()[0].text().parse().unwrap();
            let length = if path == "/long" { 40_000 } else { 8 };
            assert_eq!(got["made"].as_str().map(str::len), Some(length));
        }
    }
    assert!(!envoy.log().contains("Wasm VM failed"), "{}", envoy.log());
}
