//! The Envoy host, function by function, through the `probe` module: what a policy asks for is what Envoy does.

mod signatures;
mod waits;

use std::time::Duration;

use meshgate_e2e::{Config, Envoy, Listener, Reply, Response, Upstream, Value, Wasm, json, raw};

/// An Envoy that runs the probe, with trailers allowed in HTTP/1.1 and a head that can wait for its body.
async fn probe() -> Envoy {
    Envoy::start(probe_listener(json!({}))).await.unwrap()
}

fn probe_listener(config: Value) -> Listener {
    let probe = Wasm::module("probe").config(config).allow_on_headers_stop_iteration();
    Listener::new().http1_trailers().filter(probe)
}

/// What the steps of a phase returned.
fn report(response: &Response, phase: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(response.header("x-probe-report").expect("a report")).unwrap();
    let entries = report.as_array().unwrap().iter();
    entries.filter(|entry| entry[0] == phase).map(|entry| entry[1].clone()).collect()
}

/// What the last step of a phase returned.
fn result(response: &Response, phase: &str) -> Value {
    report(response, phase).pop().unwrap_or_else(|| panic!("nothing from {phase}"))
}

async fn run(envoy: &Envoy, script: Value) -> Response {
    envoy.get("/p?q=1").header("x-probe", script.to_string()).send().await.unwrap()
}

/// No VM has died: Envoy counts those alive, and a request still gets through.
async fn assert_alive(envoy: &Envoy) {
    assert!(!envoy.log().contains("Function: proxy_on"), "a callback failed:\n{}", envoy.log());
    assert_eq!(envoy.get("/alive").send().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_may_be_a_struct() {
    let with_struct = |config: Value| {
        let probe = Wasm::module("probe").config_struct(config);
        Listener::new().filter(probe)
    };
    let envoy = Envoy::start(with_struct(json!({ "name": "from a struct" }))).await.unwrap();
    let response = run(&envoy, json!({})).await;
    assert_eq!(result(&response, "name"), "from a struct");

    let wrong = json!({ "nmae": "from a struct" });
    let error = |log: String| {
        let line =
            log.lines().find(|line| line.contains("configuration refused")).expect("an error").to_owned();
        line.split_once("configuration refused").unwrap().1.to_owned()
    };
    let of_struct = error(Envoy::refused(with_struct(wrong.clone())).await.unwrap());
    let of_json = error(Envoy::refused(probe_listener(wrong)).await.unwrap());
    assert_eq!(of_struct, of_json);
    assert!(of_struct.contains(r#"found unknown field "nmae""#), "{of_struct}");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_headers_are_read_as_bytes_and_changed_before_the_upstream_sees_them() {
    let envoy = probe().await;
    let steps = json!({ "request_head": [
        { "set": ["x-set", "new"] }, { "add": ["x-add", "2"] }, { "remove": "x-remove" }, "headers",
        { "first_request_header": "x-add" }, { "first_request_header": "x-absent" },
    ]});
    let request = envoy.get("/").header("x-probe", steps.to_string()).header("x-set", "old");
    let request = request.header("x-add", "1").header("x-remove", "a").header("x-remove", "b");
    let response = request.header("x-bytes", b"\x80\xff").send().await.unwrap();

    let echo = response.echo();
    assert_eq!(echo.headers.all("x-set"), ["new"]);
    assert_eq!(echo.headers.all("x-add"), ["1", "2"]);
    assert_eq!(echo.header("x-remove"), None);
    let results = report(&response, "request_head");
    let [.., fields, first, absent] = results.as_slice() else { panic!("{results:?}") };
    assert!(fields.as_array().unwrap().contains(&json!(["x-bytes", [0x80, 0xff]])));
    assert_eq!((first, absent), (&json!([b'1']), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_change_only_while_they_pass() {
    let envoy = probe().await;
    let response = run(
        &envoy,
        json!({ "response_head": [{ "set_request_header": ["x-late", "1"] }, { "set": ["x-response", "1"] }] }),
    )
    .await;
    let results = report(&response, "response_head");
    assert_eq!(results[0]["error"], "not possible in this phase of the exchange");
    assert_eq!(response.header("x-response"), Some("1"));
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_split_a_response_is_not_written() {
    let envoy = probe().await;
    for (name, value) in
        [("x-a", "v\r\nx-injected: 1"), ("x-a\r\nx-injected", "1"), ("x-a", "a\0b"), ("a b", "1")]
    {
        let response = run(&envoy, json!({ "response_head": [{ "set": [name, value] }] })).await;
        assert!(result(&response, "response_head")["error"].is_string(), "{name:?}: {value:?}");
        assert_eq!(response.header("x-injected"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_body_is_seen_once_however_it_ends() {
    let envoy = probe().await;
    let script = json!({ "request_head": [{ "whole": { "limit": 1000, "hold_head": false } }],
                         "request_body": ["read_body", "upper_body"] })
    .to_string();
    for client in [envoy.http1(), envoy.http2()] {
        let post = || client.post("/").header("x-probe", &script);
        let pieces = || post().chunks(["he", "l", "lo"], Duration::from_millis(5));
        for request in [post().body("hello"), pieces(), pieces().trailer("x-end", "1")] {
            let response = request.send().await.unwrap();
            assert_eq!(response.echo().text(), "HELLO");
            let seen = report(&response, "request_body");
            assert_eq!(seen[..2], [json!({ "size": 5, "rest": "end" }), json!("hello")], "{seen:?}");
        }
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_passes_as_it_is_and_says_so() {
    let envoy = probe().await;
    let script = json!({ "request_head": [{ "whole": { "limit": 4, "hold_head": false } }] });
    let request = envoy.post("/").header("x-probe", script.to_string()).body("hello");
    let response = request.send().await.unwrap();
    assert_eq!(response.echo().text(), "hello");
    assert_eq!(result(&response, "request_body"), json!({ "size": 5, "rest": "over limit" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_head_changes_when_the_body_is_known() {
    let envoy = probe().await;
    let script = json!({ "request_head": [{ "whole": { "limit": 1000, "hold_head": true } }],
                         "request_body": [{ "set_body": "longer than before" }, { "remove": "content-length" },
                                          { "set": ["x-from-body", "yes"] }] });
    for client in [envoy.http1(), envoy.http2()] {
        let request = client.post("/").header("x-probe", script.to_string()).body("hello");
        let echo = request.send().await.unwrap().echo();
        assert_eq!((echo.text(), echo.header("x-from-body")), ("longer than before", Some("yes")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_holds_bytes_back_until_it_lets_go() {
    let envoy = probe().await;
    let script = json!({ "response_head": [{ "window": { "limit": 100 } }, { "remove": "content-length" }],
                         "response_body": ["read_body", { "hold_until": 3 }] });
    let upstream = json!({ "chunks": ["ab", "c", "de", "f"], "chunk_delay_ms": 30 });
    let request = envoy.get("/").header("x-probe", script.to_string()).upstream(upstream);
    assert_eq!(request.send().await.unwrap().text(), "abcdef");

    // The pieces: what was held came with what released it.
    let script = json!({ "request_head": [{ "window": { "limit": 100 } }],
                         "request_body": ["read_body", { "hold_until": 3 }] });
    let request = envoy.post("/").header("x-probe", script.to_string());
    let response = request.chunks(["ab", "c", "de", "f"], Duration::from_millis(30)).send().await.unwrap();
    assert_eq!(response.echo().text(), "abcdef");
    let seen = report(&response, "request_body");
    assert!(seen.contains(&json!("ab")) && seen.contains(&json!("abc")), "{seen:?}");
    assert!(seen.contains(&json!("abcde")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn response_bodies_and_trailers_are_ours_too() {
    let envoy = probe().await;
    let script = json!({ "response_head": [{ "whole": { "limit": 1000, "hold_head": false } }, { "remove": "content-length" }],
                         "response_body": ["upper_body"],
                         "response_trailers": [{ "set": ["x-end", "changed"] }] });
    let upstream = json!({ "chunks": ["a", "b"], "trailers": [["x-end", "1"]] });
    for client in [envoy.http1(), envoy.http2()] {
        let request = client.get("/").header("x-probe", script.to_string()).header("te", "trailers");
        let response = request.upstream(upstream.clone()).send().await.unwrap();
        assert_eq!((response.text(), response.trailers.get("x-end")), ("AB", Some("changed")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_has_its_status_headers_body_and_details() {
    let listener = probe_listener(json!({})).access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%\n");
    let envoy = Envoy::start(listener).await.unwrap();
    let reply = json!({ "reply": { "status": 418, "headers": [["x-a", "1"]], "body": "short" } });
    for (phase, ask) in [
        ("request_head", Value::Null),
        ("request_body", json!([{ "whole": { "limit": 100, "hold_head": false } }])),
        ("response_head", Value::Null),
    ] {
        let mut script = json!({ phase: [reply] });
        if !ask.is_null() {
            script["request_head"] = ask;
        }
        let request = envoy.post("/").header("x-probe", script.to_string()).body("b");
        let response = request.send().await.unwrap();
        assert_eq!((response.status, response.text(), response.header("x-a")), (418, "short", Some("1")));
    }
    for line in envoy.wait_for_access_log(3).await.unwrap() {
        assert_eq!(line, "418 probe_reply");
    }
    assert_eq!(envoy.upstream().requests().len(), 1, "only the response's reply came after the upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_gets_the_status_of_a_reply_as_trailers_only() {
    let envoy = probe().await;
    let script =
        json!({ "request_head": [{ "reply": { "status": 429, "body": "slow down", "grpc_status": 8 } }] });
    let request = envoy.http2().post("/pkg.Service/Method").header("content-type", "application/grpc");
    let response = request.header("x-probe", script.to_string()).body(vec![0; 5]).send().await.unwrap();
    assert_eq!((response.status, response.header("grpc-status")), (200, Some("8")));
    assert_eq!(response.header("grpc-message"), Some("slow down"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_callout_wakes_the_request_in_every_phase() {
    let envoy = probe().await;
    let call = json!({ "http_call": { "cluster": "upstream", "path": "/side",
                                      "headers": [["x-upstream", "{\"status\":201,\"body\":\"aside\"}"]] } });
    let whole = json!({ "whole": { "limit": 100, "hold_head": false } });
    for script in [
        json!({ "request_head": [call, "wait"] }),
        json!({ "request_head": [whole], "request_body": [call, "wait"] }),
        json!({ "request_head": [call, "wait"], "callout": [whole], "request_body": ["upper_body"] }),
        json!({ "request_head": [whole], "request_trailers": [call, "wait"] }),
        json!({ "request_head": [call, call, "wait"], "callout": [{ "wait_for": 2 }] }),
        json!({ "response_head": [call, "wait"] }),
    ] {
        let request = envoy.post("/").header("x-probe", script.to_string());
        let request = request.chunks(["bo", "dy"], Duration::from_millis(5)).trailer("x-end", "1");
        let response = request.send().await.unwrap();
        assert_eq!(response.status, 200, "{script}");
        let upper = script["request_body"] == json!(["upper_body"]);
        assert_eq!(response.echo().text(), if upper { "BODY" } else { "body" }, "{script}");
        assert_eq!(response.echo().trailers.get("x-end"), Some("1"), "{script}");
        if script["response_head"].is_null() {
            let answer = result(&response, "callout");
            assert_eq!(answer, json!({ "status": "201", "body": "aside" }), "{script}");
        }
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callout_without_an_answer_ends_at_its_deadline() {
    let envoy = probe().await;
    let script = |control: &str| {
        json!({ "request_head": [{ "http_call": { "cluster": "upstream", "path": "/side", "deadline_ms": 200,
                                                  "headers": [["x-upstream", control]] } }, "wait"] })
    };
    let response = run(&envoy, script(r#"{"delay_ms":20000}"#)).await;
    assert_eq!(result(&response, "callout")["failed"], "no answer within the deadline");
    let response = run(&envoy, script(r#"{"reset":true}"#)).await;
    let answer = result(&response, "callout");
    assert!(answer["status"] == "503" || answer["failed"].is_string(), "{answer}");
    let response = run(&envoy, script(&json!({ "body": "x".repeat(2_000) }).to_string())).await;
    assert_eq!(result(&response, "callout")["failed"], "the answer is longer than allowed");
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callout_that_cannot_be_sent_is_an_error_at_once() {
    let envoy = probe().await;
    for call in [
        json!({ "http_call": { "cluster": "nowhere", "path": "/" } }),
        json!({ "grpc_call": { "cluster": "nowhere", "service": "s", "method": "m", "message": [] } }),
    ] {
        // Waiting for what was never sent would hang: it is refused, and the request is not let through.
        let response = run(&envoy, json!({ "request_head": [call, "wait"] })).await;
        assert_eq!(response.status, 500, "{call}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        let response = run(&envoy, json!({ "request_head": [call] })).await;
        assert!(result(&response, "request_head")["error"].is_string(), "{call}");
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_callouts_bring_messages_statuses_and_deadlines() {
    let grpc = Upstream::start().await.unwrap();
    grpc.respond_with(|request| {
        let reply = Reply::status(200).header("content-type", "application/grpc");
        Some(match request.path.as_str() {
            "/pkg.Service/Echo" => reply.chunks([request.body.clone()]).trailer("grpc-status", "0"),
            "/pkg.Service/Empty" => reply.chunks([vec![0; 5]]).trailer("grpc-status", "0"),
            "/pkg.Service/Refuse" => reply.header("grpc-status", "7"),
            _ => reply.delay(Duration::from_secs(20)),
        })
    });
    let config = Config::from(probe_listener(json!({}))).http2_cluster("grpc", grpc.addr());
    let envoy = Envoy::start(config).await.unwrap();
    for (method, expected) in [
        ("Echo", json!({ "message": [1, 2, 3] })),
        ("Empty", json!({ "message": [] })),
        ("Refuse", json!({ "grpc_status": 7 })),
        ("Hang", json!({ "failed": "no answer within the deadline" })),
    ] {
        let call = json!({ "grpc_call": { "cluster": "grpc", "service": "pkg.Service", "method": method,
                                          "message": [1, 2, 3], "deadline_ms": 300 } });
        let response = run(&envoy, json!({ "request_head": [call, "wait"] })).await;
        assert_eq!(result(&response, "callout"), expected, "{method}");
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_callout_with_it() {
    let envoy = probe().await;
    let script = json!({ "request_head": [{ "http_call": { "cluster": "upstream", "path": "/side", "deadline_ms": 300,
                         "headers": [["x-upstream", r#"{"delay_ms":200}"#]] } }, "wait"] });
    for _ in 0..20 {
        let request = envoy.get("/").header("x-probe", script.to_string());
        assert!(request.timeout(Duration::from_millis(50)).send().await.is_err());
    }
    envoy.wait_for_stat("http.ingress.downstream_rq_active", |active| active == 0).await.ok();
    assert_alive(&envoy).await;
    assert!(!envoy.log().contains("callout "), "an answer was given to an exchange that had ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_values_are_exact_across_workers() {
    let envoy = Envoy::start(Config::from(probe_listener(json!({}))).concurrency(4)).await.unwrap();
    let script = json!({ "request_head": [{ "count": "probe/created" }] }).to_string();
    let client = envoy.http1();
    let responses = meshgate_e2e::burst(&client, 32, 2_000, move |client, _| {
        client.get("/").header("x-probe", &script).send()
    })
    .await
    .unwrap();
    let mut counts: Vec<_> =
        responses.iter().map(|response| result(response, "request_head").as_u64().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=2_000).collect::<Vec<_>>());
    let response = run(&envoy, json!({ "request_head": [{ "stale_write": "probe/created" }] })).await;
    assert_eq!(result(&response, "request_head")["error"], "the value changed since it was read");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_filter_state_and_properties_reach_envoy() {
    let listener = probe_listener(json!({})).access_log("%FILTER_STATE(wasm.meshgate.probe:PLAIN)%\n");
    let envoy = Envoy::start(listener).await.unwrap();
    let response = run(
        &envoy,
        json!({ "request_head": ["metrics", { "filter_state": ["meshgate.probe", "seen"] },
                                 { "property": ["request", "query"] }, { "property": ["no", "such"] },
                                 { "now_and_random": 32 }, "clear_route_cache"] }),
    )
    .await;
    let results = report(&response, "request_head");
    let [.., query, missing, drawn, _route] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!((query, missing), (&json!(b"q=1"), &Value::Null));
    assert!(drawn["now"].as_u64().unwrap() > 1_700_000_000);
    let random = drawn["random"].as_array().unwrap();
    assert!(random.len() == 32 && random.iter().any(|byte| *byte != random[0]), "{random:?}");
    assert_eq!(envoy.stat("wasmcustom.probe.counter").await.unwrap(), 2);
    assert_eq!(envoy.stat("wasmcustom.probe.gauge").await.unwrap(), 3);
    assert_eq!(envoy.wait_for_access_log(1).await.unwrap(), ["seen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_checked_by_envoy() {
    use signatures::*;
    let envoy = probe().await;
    let other = MESSAGE.replacen('7', "6", 1);
    for (key, signature, message, good) in [
        (RSA_KEY, RSA_SIGNATURE, MESSAGE, true),
        (EC_KEY, EC_SIGNATURE, MESSAGE, true),
        (RSA_KEY, RSA_SIGNATURE, other.as_str(), false),
        (EC_KEY, RSA_SIGNATURE, MESSAGE, false),
        (RSA_KEY, "", MESSAGE, false),
        ("00", RSA_SIGNATURE, MESSAGE, false),
    ] {
        let verify =
            json!({ "verify": { "hash": "sha256", "key": key, "signature": signature, "message": message } });
        let response = run(&envoy, json!({ "request_head": [verify] })).await;
        assert_eq!(result(&response, "request_head"), json!(good));
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_phase_sees_the_final_heads() {
    let envoy = probe().await;
    run(&envoy, json!({ "log": ["headers"] })).await;
    let line = envoy.wait_for_log("report: ").await.unwrap();
    assert!(line.contains(":path"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_vm_does_not_pass_for_a_live_one() {
    let envoy = probe().await;
    let response = run(&envoy, json!({ "request_head": ["die"] })).await;
    assert_eq!(response.status, 503);
    assert!(envoy.log().contains("Function: proxy_on_request_headers"), "{}", envoy.log());
    assert_eq!(envoy.get("/").send().await.unwrap().status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_envoy_itself_refuses_leaves_the_vm_alone() {
    let envoy = probe().await;
    let answer = raw(envoy.addr(), "GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    assert_alive(&envoy).await;
}
