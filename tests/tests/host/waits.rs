//! Bodies around a wait for a callout: every byte goes on, once and in order, whatever comes when.

use super::*;

/// A callout that takes so many milliseconds.
fn call(delay: u64) -> Value {
    let control = json!({ "delay_ms": delay, "body": "aside" }).to_string();
    json!({ "http_call": { "cluster": "upstream", "path": "/side", "headers": [["x-upstream", control]] } })
}

/// Scripts that wait once on a side, and then let pass what comes, or look at it.
fn scripts(side: &str, delay: u64) -> Vec<Value> {
    let (head, body) = (format!("{side}_head"), format!("{side}_body"));
    let wait = json!({ "once": [call(delay), "wait"] });
    let window = json!({ "window": { "limit": 100_000 } });
    vec![
        json!({ head.clone(): [wait] }),
        json!({ head.clone(): [wait], "callout": [window] }),
        json!({ head.clone(): [window], body.clone(): [wait] }),
        json!({ head.clone(): [window], body: ["upper_body", wait] }),
    ]
}

/// Pieces that are told apart.
fn pieces(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:02}{}", "X".repeat(500))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_request_is_lost_behind_a_wait() {
    let envoy = probe().await;
    for delay in [0, 40] {
        for (place, script) in scripts("request", delay).into_iter().enumerate() {
            for pause in [0, 3, 25] {
                for client in [envoy.http1(), envoy.http2()] {
                    for trailers in [false, true] {
                        let request = client.post("/").header("x-probe", script.to_string());
                        let mut request = request.chunks(pieces(6), Duration::from_millis(pause));
                        if trailers {
                            request = request.trailer("x-end", "1");
                        }
                        let echo = request.send().await.unwrap().echo();
                        let what =
                            format!("script {place}, callout {delay} ms, pieces {pause} ms, {trailers}");
                        assert_eq!(echo.text(), pieces(6).concat(), "{what}");
                        assert_eq!(echo.trailers.get("x-end"), trailers.then_some("1"), "{what}");
                    }
                }
            }
        }
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_response_is_lost_behind_a_wait() {
    let envoy = probe().await;
    for delay in [0, 40] {
        for (place, script) in scripts("response", delay).into_iter().enumerate() {
            for pause in [0, 3, 25] {
                for client in [envoy.http1(), envoy.http2()] {
                    let upstream = json!({ "chunks": pieces(6), "chunk_delay_ms": pause });
                    let request = client.get("/").header("x-probe", script.to_string());
                    let response = request.upstream(upstream).send().await.unwrap();
                    let what = format!("script {place}, callout {delay} ms, pieces {pause} ms");
                    assert_eq!(response.text(), pieces(6).concat(), "{what}");
                }
            }
        }
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_writes_replaces_all_that_is_at_hand() {
    let envoy = probe().await;
    for text in ["much longer than all that was there", "s", ""] {
        for pause in [0, 25] {
            let script = json!({ "request_head": [{ "window": { "limit": 100_000 } }],
                                 "request_body": [{ "once": [call(60), "wait"] }],
                                 "callout": ["read_body", { "set_body": text }] });
            for client in [envoy.http1(), envoy.http2()] {
                let request = client.post("/").header("x-probe", script.to_string());
                let request = request.chunks(["one ", "two "], Duration::from_millis(pause));
                let response = request.send().await.unwrap();
                assert_eq!(response.echo().text(), text, "{:?}", report(&response, "callout"));
            }
        }
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_of_an_exchange_has_a_body_of_its_own() {
    let envoy = probe().await;
    // The response begins while the request waits; the answer then replaces the longer body of the request.
    let script = json!({ "request_head": [{ "window": { "limit": 100_000 } }],
                         "request_body": [{ "once": [call(100), "wait"] }],
                         "response_head": [{ "window": { "limit": 100_000 } }],
                         "callout": [{ "set_body": "replaced" }] });
    let request = envoy.http2().post("/").header("x-probe", script.to_string());
    let request = request.chunks(["a long body", " in two"], Duration::from_millis(5));
    assert_eq!(request.send().await.unwrap().echo().text(), "replaced");
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_body_can_wait() {
    let envoy = probe().await;
    for (method, status) in [("GET", 204), ("GET", 304), ("HEAD", 200), ("GET", 200)] {
        for next in [json!("wait"), json!({ "whole": { "limit": 100, "hold_head": true } })] {
            let script = json!({ "request_head": [call(20), "wait"], "response_head": [call(20), next] });
            for client in [envoy.http1(), envoy.http2()] {
                let request = client.request(method, "/").header("x-probe", script.to_string());
                let response = request.upstream(json!({ "status": status })).send().await.unwrap();
                assert_eq!((response.status, response.text()), (status, ""), "{method} {script}");
            }
        }
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_alone_leave_nothing_to_write_into() {
    let envoy = probe().await;
    let script = json!({ "request_head": [{ "whole": { "limit": 100, "hold_head": false } }],
                         "request_body": ["read_body", { "set_body": "new" }],
                         "request_trailers": [{ "set": ["x-end", "changed"] }] });
    let request = envoy.http2().post("/").header("x-probe", script.to_string());
    let request = request.chunks([""; 0], Duration::ZERO).trailer("x-end", "1");
    let response = request.send().await.unwrap();
    let seen = report(&response, "request_body");
    assert_eq!(seen[..2], [json!({ "size": 0, "rest": "end" }), json!("")], "{seen:?}");
    assert!(seen[2]["error"].is_string(), "{seen:?}");
    assert_eq!((response.echo().text(), response.echo().trailers.get("x-end")), ("", Some("changed")));
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_comes_as_far_as_it_still_can() {
    let envoy = probe().await;
    let reply = json!({ "reply": { "status": 403, "body": "no" } });
    let upstream = json!({ "chunks": pieces(3), "chunk_delay_ms": 5 });
    let whole = |hold_head| json!({ "whole": { "limit": 100_000, "hold_head": hold_head } });
    for client in [envoy.http1(), envoy.http2()] {
        // While the head is held, even behind a body and a callout.
        for script in [
            json!({ "response_head": [whole(true)], "response_body": [reply] }),
            json!({ "response_head": [whole(true)], "response_body": [call(20), "wait"], "callout": [reply] }),
            json!({ "request_head": [whole(false)], "request_body": [call(20), "wait"], "callout": [reply] }),
        ] {
            let request = client.post("/").header("x-probe", script.to_string()).body("body");
            let response = request.upstream(upstream.clone()).send().await.unwrap();
            assert_eq!((response.status, response.text()), (403, "no"), "{script}");
        }
        // Behind the head all that is left is to break off.
        for script in [
            json!({ "response_head": [whole(false)], "response_body": [reply] }),
            json!({ "response_head": [whole(false)], "response_body": [call(20), "wait"], "callout": [reply] }),
        ] {
            let request = client.another().get("/").header("x-probe", script.to_string());
            let response = request.upstream(upstream.clone()).send().await;
            assert!(response.is_err(), "{script}: {response:?}");
        }
        // Several answers, each of which refuses.
        let script = json!({ "request_head": [call(0), call(20), call(40), "wait"], "callout": [reply] });
        let response = client.get("/").header("x-probe", script.to_string()).send().await.unwrap();
        assert_eq!((response.status, response.text()), (403, "no"));
    }
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_stream_passes_what_it_waited_for() {
    let upgrade = json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] });
    let upstream = upgrading_upstream().await;
    let aside = Upstream::start().await.unwrap();
    let listener = probe_listener(json!({})).connection_manager(upgrade);
    let config = Config::from(listener).upstream(upstream).cluster("aside", aside.addr());
    let envoy = Envoy::start(config).await.unwrap();
    let mut call = call(30);
    call["http_call"]["cluster"] = json!("aside");
    let window = json!({ "window": { "limit": 1000 } });
    for script in [
        json!({}),
        json!({ "request_head": [call, "wait"] }),
        json!({ "request_head": [call, "wait"], "callout": [window] }),
        json!({ "request_head": [window], "response_head": [window], "response_body": [{ "once": [call, "wait"] }] }),
        json!({ "request_head": [window], "response_head": [window], "response_body": [call, "wait"] }),
    ] {
        let mut client = meshgate_e2e::RawConnection::open(envoy.addr()).await.unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-probe: {script}\r\n\r\n"
        );
        client.write(head).await.unwrap();
        client.read_until("hello").await.unwrap();
        // The upstream answers each frame before the client sends the next one.
        for frame in ["one", "two", "three"] {
            client.write(frame).await.unwrap();
            client.read_until(frame).await.unwrap();
        }
    }
    assert!(!envoy.log().contains("Function: proxy_on"), "{}", envoy.log());
}

/// Switches to a protocol in which it says hello and then sends back what it gets.
async fn upgrading_upstream() -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"\r\n\r\n") {
                    bytes.push(socket.read_u8().await?);
                }
                socket
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello")
                    .await?;
                let (mut reader, mut writer) = socket.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_router_may_repeat_keeps_its_body() {
    let retry = json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream",
                        "retry_policy": { "retry_on": "5xx", "num_retries": 2 } } });
    let envoy = Envoy::start(probe_listener(json!({})).route(retry)).await.unwrap();
    let failed = std::sync::atomic::AtomicBool::new(false);
    envoy.upstream().respond_with(move |request| {
        let fails = request.path == "/flaky" && !failed.fetch_xor(true, std::sync::atomic::Ordering::Relaxed);
        fails.then(|| Reply::status(503))
    });
    let window = json!({ "window": { "limit": 100_000 } });
    for script in [
        json!({ "request_head": [window], "request_body": [{ "hold_until": 700 }] }),
        json!({ "request_head": [window], "request_body": ["upper_body", { "hold_until": 700 }] }),
        json!({ "request_head": [window], "request_body": [{ "once": [call(20), "wait"] }] }),
        json!({ "request_head": [window], "request_body": [call(5), "wait"] }),
        json!({ "request_head": [call(20), "wait"], "callout": [window], "request_body": [{ "hold_until": 700 }] }),
    ] {
        for pause in [0, 10, 40] {
            for client in [envoy.http1(), envoy.http2()] {
                for path in ["/", "/flaky"] {
                    let request = client.post(path).header("x-probe", script.to_string());
                    let request = request.chunks(pieces(6), Duration::from_millis(pause));
                    let response = request.send().await.unwrap();
                    assert_eq!(response.echo().text(), pieces(6).concat(), "{script} {path} {pause}");
                }
            }
        }
    }
    let requests = envoy.upstream().requests();
    let flaky: Vec<_> = requests.iter().filter(|request| request.path == "/flaky").collect();
    assert_eq!(flaky.len(), 2 * 5 * 3 * 2, "each was sent twice");
    assert!(flaky.iter().all(|request| request.text() == pieces(6).concat()));
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_late_is_refused_and_not_lost() {
    let envoy = probe().await;
    let window = json!({ "window": { "limit": 100_000 } });
    let held = json!({ "whole": { "limit": 100_000, "hold_head": true } });
    for script in [json!({ "request_head": [call(0), "wait"], "callout": [held] })] {
        for client in [envoy.http1(), envoy.http2()] {
            let request = client.post("/").header("x-probe", script.to_string());
            let response = request.chunks(pieces(3), Duration::from_millis(10)).send().await.unwrap();
            assert_eq!(response.status, 500, "{script}");
        }
    }
    // Its body has been passed on.
    let script = json!({ "request_trailers": [call(20), "wait"] });
    let request = envoy.http2().post("/").header("x-probe", script.to_string());
    let request = request.chunks(pieces(3), Duration::from_millis(10)).trailer("x-end", "1");
    assert_eq!(request.send().await.unwrap().status, 500);
    // With trailers nothing of a body can be passed on any more.
    let script = json!({ "request_head": [window], "request_body": [{ "hold_until": 100 }] });
    let request = envoy.http2().post("/").header("x-probe", script.to_string());
    let parts = ["x".repeat(200), "held".to_owned()];
    let request = request.chunks(parts, Duration::from_millis(30)).trailer("x-end", "1");
    assert_eq!(request.send().await.unwrap().status, 500);
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_that_wait_do_not_repeat_their_body() {
    let retry = json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream",
                        "retry_policy": { "retry_on": "5xx", "num_retries": 2 } } });
    let envoy = Envoy::start(probe_listener(json!({})).route(retry)).await.unwrap();
    let whole = json!({ "whole": { "limit": 100_000, "hold_head": false } });
    let script = json!({ "request_head": [whole], "request_trailers": [call(20), "wait"] });
    for client in [envoy.http1(), envoy.http2()] {
        let request = client.post("/").header("x-probe", script.to_string());
        let request = request.chunks(pieces(3), Duration::from_millis(10)).trailer("x-end", "1");
        let echo = request.send().await.unwrap().echo();
        assert_eq!((echo.text(), echo.trailers.get("x-end")), (pieces(3).concat().as_str(), Some("1")));
    }
    assert_alive(&envoy).await;
}
