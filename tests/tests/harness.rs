//! The harness itself, on an Envoy without modules.

use std::time::Duration;

use meshgate_e2e::{
    Aborted, Client, Config, Envoy, Listener, RawConnection, RawUpstream, Reply, Value, Wasm, burst, json,
    lua, paths, raw, typed_filter,
};

/// Both versions of HTTP on the way in, with what they send on the way out.
fn clients(envoy: &Envoy) -> [Client; 2] {
    [envoy.http1(), envoy.http2()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_comes_back_as_it_was_sent() {
    for config in [Config::from(Listener::new()), Config::from(Listener::new()).http2_upstream()] {
        let envoy = Envoy::start(config).await.unwrap();
        for client in clients(&envoy) {
            let request = client.request("PUT", "/a%20b?c=%00&c=2").host("api.example").body("hello");
            let request = request.header("x-b", "1").header("x-a", b"\xff\x80").header("x-b", "2");
            let response = request.send().await.unwrap();
            assert_eq!(response.status, 200);
            assert_eq!(response.header("server"), Some("envoy"));
            let echo = response.echo();
            assert_eq!((echo.method.as_str(), echo.path.as_str()), ("PUT", "/a%20b?c=%00&c=2"));
            assert_eq!((echo.authority.as_str(), echo.text()), ("api.example", "hello"));
            assert_eq!(echo.headers.all("x-b"), ["1", "2"]);
            assert_eq!(echo.headers.bytes("x-a"), [b"\xff\x80"]);
            let names = echo.headers.names();
            let place = |name| names.iter().position(|found| *found == name).unwrap();
            assert!(place("x-b") < place("x-a"), "{names:?}");
            assert_eq!(envoy.upstream().requests().last(), Some(&echo));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn big_heads_pass_where_envoy_lets_them() {
    let listener = Listener::new().max_request_headers_kb(256).max_headers_count(2_000);
    let envoy = Envoy::start(Config::from(listener).http2_upstream()).await.unwrap();
    for client in clients(&envoy) {
        let value = "v".repeat(60 << 10);
        let echo = client.get("/").header("x-long", &value).send().await.unwrap().echo();
        assert_eq!(echo.header("x-long"), Some(value.as_str()));
        let many = (0..1_500).fold(client.get("/"), |request, _| request.header("x-many", "1"));
        let response = many.send().await.unwrap();
        assert_eq!(response.echo().headers.all("x-many").len(), 1_500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_in_pieces_and_trailers_pass_both_ways() {
    for config in [Config::new(), Config::new().http2_upstream()] {
        let envoy = Envoy::start(config.listener(Listener::new().http1_trailers())).await.unwrap();
        for client in clients(&envoy) {
            let request = client.post("/").chunks(["one ", "two"], Duration::from_millis(1));
            let request = request.trailer("x-sum", "7").header("te", "trailers");
            let reply = json!({ "status": 201, "chunks": ["a", "b"], "trailers": [["x-end", "yes"]] });
            let response = request.upstream(reply).send().await.unwrap();
            assert_eq!((response.status, response.text()), (201, "ab"));
            assert_eq!(response.header("content-length"), None);
            assert_eq!(response.trailers.get("x-end"), Some("yes"));
            let received = envoy.upstream().requests().pop().unwrap();
            assert_eq!(received.text(), "one two");
            assert_eq!(received.trailers.get("x-sum"), Some("7"));
            assert_eq!(received.header("content-length"), None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_in_both_directions() {
    let envoy = Envoy::start(Listener::new()).await.unwrap();
    for client in clients(&envoy) {
        // Nothing of the response comes before the request is over; its pieces come one by one.
        let reply = json!({ "chunks": ["1", "2"], "chunk_delay_ms": 100 });
        let (mut body, request) = client.post("/").upstream(reply).stream();
        let response = tokio::spawn(request.open());
        body.send_data("hello".into()).await.unwrap();
        drop(body);
        let mut response = response.await.unwrap().unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "1");
        assert_eq!(response.chunk().await.unwrap().unwrap(), "2");
        assert_eq!(response.chunk().await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_streams_what_the_test_sends() {
    for config in [Config::from(Listener::new()), Config::from(Listener::new()).http2_upstream()] {
        let envoy = Envoy::start(config).await.unwrap();
        for client in clients(&envoy) {
            let (mut events, reply) = Reply::status(200).header("content-type", "text/event-stream").stream();
            envoy.upstream().respond(reply);
            let mut response = client.get("/events").open().await.unwrap();
            for event in ["data: 1\n\n", "data: 2\n\n"] {
                events.send_data(event.into()).await.unwrap();
                assert_eq!(response.chunk().await.unwrap().unwrap(), event);
            }
            drop(events);
            assert_eq!(response.chunk().await.unwrap(), None);
            assert_eq!(client.get("/events").send().await.unwrap().status, 500);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_echoes() {
    let upstream = RawUpstream::upgrade("websocket").await.unwrap();
    let config = Config::from(Listener::new().upgrades(&["websocket"])).upstream(upstream.addr());
    let envoy = Envoy::start(config).await.unwrap();
    let mut client = RawConnection::open(envoy.addr()).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write(request).await.unwrap();
    let head = client.read_until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    for frame in ["\x01\u{ff}one", "two"] {
        client.write(frame).await.unwrap();
        assert_eq!(client.read_until(frame).await.unwrap(), frame.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_answers_as_it_is_told() {
    let envoy = Envoy::start(Listener::new()).await.unwrap();
    envoy.upstream().respond(Reply::status(503).header("x-odd", b"\xfe").body("down"));
    let response = envoy.get("/").send().await.unwrap();
    assert_eq!((response.status, response.text()), (503, "down"));
    assert_eq!(response.headers.bytes("x-odd"), [b"\xfe"]);

    // What a request says goes first.
    let response = envoy.get("/").upstream(json!({ "status": 204 })).send().await.unwrap();
    assert_eq!((response.status, response.text()), (204, ""));
    let bytes = json!({ "body": { "base64": "/wA=" } });
    assert_eq!(envoy.get("/").upstream(bytes).send().await.unwrap().body[..], [0xff, 0]);
    let response = envoy.get("/").upstream(json!({ "stauts": 204 })).send().await.unwrap();
    assert_eq!(response.status, 400);
    assert!(response.text().contains("stauts"), "{}", response.text());

    envoy.upstream().respond_with(|request| (request.path == "/teapot").then(|| Reply::status(418)));
    assert_eq!(envoy.get("/teapot").send().await.unwrap().status, 418);
    assert_eq!(envoy.get("/other").send().await.unwrap().echo().path, "/other");
    assert_eq!(envoy.upstream().requests().len(), 6);
    envoy.upstream().forget_requests();
    assert!(envoy.upstream().requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_delays_and_resets() {
    for config in [Config::from(Listener::new()), Config::from(Listener::new()).http2_upstream()] {
        let envoy = Envoy::start(config).await.unwrap();
        for client in clients(&envoy) {
            let start = std::time::Instant::now();
            client.get("/").upstream(json!({ "delay_ms": 50 })).send().await.unwrap();
            assert!(start.elapsed() >= Duration::from_millis(50));

            let response = client.get("/").upstream(json!({ "reset": true })).send().await.unwrap();
            assert_eq!(response.status, 503);
            assert!(response.text().contains("reset"), "{}", response.text());

            let request = client.get("/").upstream(json!({ "chunks": ["half"], "reset": true }));
            let mut response = request.open().await.unwrap();
            assert_eq!(response.status, 200);
            assert_eq!(response.chunk().await.unwrap().unwrap(), "half");
            response.chunk().await.unwrap_err();
        }
    }
    let nowhere = Config::from(Listener::new()).upstream(([127, 0, 0, 1], 1).into());
    let envoy = Envoy::start(nowhere).await.unwrap();
    assert_eq!(envoy.get("/").send().await.unwrap().status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gives_up() {
    for config in [Config::from(Listener::new()), Config::from(Listener::new()).http2_upstream()] {
        let envoy = Envoy::start(config).await.unwrap();
        for client in clients(&envoy) {
            // In the request body.
            envoy.upstream().forget_requests();
            let (mut body, request) = client.post("/").stream();
            let response = tokio::spawn(request.send());
            body.send_data("half".into()).await.unwrap();
            envoy.wait_for_stat("cluster.upstream.upstream_rq_active", |active| active == 1).await.unwrap();
            body.abort(Aborted);
            response.await.unwrap().unwrap_err();
            let received = envoy.upstream().wait_for_requests(1).await.unwrap();
            assert!(!received[0].complete);

            // In the response.
            let reply = json!({ "chunks": vec!["x"; 1_000], "chunk_delay_ms": 10 });
            let mut response = client.get("/").upstream(reply).open().await.unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap(), "x");
            drop(response);
            envoy.wait_for_stat("cluster.upstream.upstream_rq_active", |active| active == 0).await.unwrap();

            // The client connects again if it must.
            assert_eq!(client.get("/").send().await.unwrap().status, 200);
        }
        let resets = envoy.stat("http.main.downstream_cx_destroy_remote_active_rq").await.unwrap();
        assert_eq!(resets, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_are_sent_as_they_are() {
    let envoy = Envoy::start(Listener::new()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let good =
        text(raw(envoy.addr(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap());
    assert!(good.starts_with("HTTP/1.1 200 OK\r\n"), "{good}");
    for bad in [
        "GET / HTTP/1.1\r\nHost: a\r\nx-nul: \0\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\n\r\n",
        "\r\n\r\nhello\r\n\r\n",
    ] {
        let answer = text(raw(envoy.addr(), bad).await.unwrap());
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{bad:?} -> {answer}");
    }
    let mut slow = RawConnection::open(envoy.addr()).await.unwrap();
    slow.write_slowly("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", 5, Duration::from_millis(1)).await.unwrap();
    slow.read_until("/slow").await.unwrap();

    // A reset within the request.
    let mut reset = RawConnection::open(envoy.addr()).await.unwrap();
    reset.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    envoy.wait_for_stat("cluster.upstream.upstream_rq_active", |active| active == 1).await.unwrap();
    reset.reset().unwrap();
    let resets = "http.main.downstream_cx_destroy_remote_active_rq";
    envoy.wait_for_stat(resets, |count| count == 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_sends_hostile_bytes() {
    let upstream = RawUpstream::start("HTTP/1.1 200 OK\r\nx-bad: a\0b\r\n\r\n").await.unwrap();
    let envoy = Envoy::start(Config::from(Listener::new()).upstream(upstream.addr())).await.unwrap();
    let response = envoy.get("/hello").send().await.unwrap();
    assert_eq!(response.status, 502);
    assert!(upstream.heads()[0].starts_with(b"GET /hello HTTP/1.1\r\n"));

    let upstream = RawUpstream::start("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort").await.unwrap();
    let envoy = Envoy::start(Config::from(Listener::new()).upstream(upstream.addr())).await.unwrap();
    envoy.get("/").send().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_run_in_order_and_what_they_did_is_logged() {
    let mutation = json!({ "mutations": { "request_mutations": [
        { "append": { "header": { "key": "x-seen", "value": "first" } } }
    ] } });
    let first = typed_filter("header_mutation", "header_mutation.v3.HeaderMutation", mutation);
    let second = lua("function envoy_on_request(handle)
           handle:headers():add('x-seen', handle:headers():get('x-seen') .. ', second')
           handle:logInfo('lua saw it')
         end");
    let listener = Listener::new()
        .filter(first)
        .filter(second)
        .direct_response("/direct", 200, "from Envoy")
        .access_log("%REQ(:PATH)% %RESPONSE_CODE%");
    let config = Config::from(listener).component_log_level("lua:info");
    let envoy = Envoy::start(config).await.unwrap();
    let echo = envoy.get("/").send().await.unwrap().echo();
    assert_eq!(echo.headers.all("x-seen"), ["first", "first, second"]);
    assert_eq!(envoy.get("/direct").send().await.unwrap().text(), "from Envoy");
    assert_eq!(envoy.wait_for_access_log(2).await.unwrap(), ["/ 200", "/direct 200"]);
    assert!(envoy.wait_for_log("lua saw it").await.unwrap().contains("[info][lua]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_sends_each_request_once_on_all_workers() {
    let envoy = Envoy::start(Config::from(Listener::new()).concurrency(2)).await.unwrap();
    for client in clients(&envoy) {
        let paths = burst(&client, 16, 400, async |client: Client, number| {
            anyhow::Ok(client.get(&format!("/{number}")).send().await?.echo().path)
        });
        let mut paths = paths.await.unwrap();
        paths.sort_by_key(|path| path[1..].parse::<usize>().unwrap());
        assert_eq!(paths, (0..400).map(|number| format!("/{number}")).collect::<Vec<_>>());
    }
    assert_eq!(envoy.stat("http.main.downstream_rq_total").await.unwrap(), 800);
    assert_eq!(envoy.stat("http.main.downstream_cx_total").await.unwrap(), 32);
    for worker in 0..2 {
        let name = format!("listener.127.0.0.1_0.worker_{worker}.downstream_cx_total");
        assert!(envoy.stat(&name).await.unwrap() > 0, "worker {worker} has no connection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_taken_or_rejected_as_a_whole() {
    let answer = |text: &str| Listener::new().direct_response("/", 200, text);
    let other = Listener::named("other").direct_response("/", 200, "other");
    let config = Config::from(answer("one")).listener(other).file_lds().concurrency(2);
    let mut envoy = Envoy::start(config).await.unwrap();
    let addr = envoy.addr();
    assert_eq!(envoy.get("/").send().await.unwrap().text(), "one");
    assert_eq!(Client::http1(envoy.addr_of("other")).get("/").send().await.unwrap().text(), "other");

    for round in 0..5 {
        let text = format!("round {round}");
        envoy.update_listener(answer(&text)).await.unwrap();
        let client = envoy.http1();
        let texts = burst(&client, 8, 64, async |client: Client, _| {
            anyhow::Ok(client.get("/").send().await?.text().to_owned())
        });
        assert!(texts.await.unwrap().iter().all(|found| *found == text), "{text} is not everywhere");

        let broken = Listener::new().filter(json!({ "name": "no-such-filter" }));
        let log = envoy.update_refused(broken).await.unwrap();
        assert!(log.contains("rejected") && log.contains("no-such-filter"), "{log}");
        assert_eq!(envoy.get("/").send().await.unwrap().text(), text);
    }
    // The same again is no change, and no error.
    envoy.update_listener(answer("round 4")).await.unwrap();
    // A listener whose address changes is a new one.
    let backlog = json!({ "tcp_backlog_size": 99 });
    envoy.update_listener(answer("moved").merge(backlog)).await.unwrap();
    assert_eq!(envoy.get("/").send().await.unwrap().text(), "moved");
    assert_eq!(envoy.addr(), addr);
    let error = envoy.update_listener(Listener::named("unknown")).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no listener \"unknown\" to update");
    let error = envoy.update_refused(answer("fine")).await.unwrap_err();
    assert!(error.to_string().starts_with("Envoy took the update"), "{error}");
    drop(envoy);
    remove_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_that_envoy_must_refuse() {
    let log = Envoy::refused(Listener::new().filter(json!({ "name": "no-such-filter" }))).await.unwrap();
    assert!(log.contains("no-such-filter"), "{log}");
    let error = Envoy::refused(Listener::new()).await.unwrap_err();
    assert!(error.to_string().starts_with("Envoy took the configuration"), "{error}");
    let error =
        Envoy::start(Listener::new().filter(json!({ "name": "no-such-filter" }))).await.err().unwrap();
    let error = error.to_string();
    assert!(error.contains("no-such-filter") && error.starts_with("Envoy ended"), "{error}");
    remove_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_module_is_told_in_one_line() {
    let error = Envoy::with_filter("no_such_module", json!({})).await.err().unwrap().to_string();
    assert!(error.ends_with("no_such_module.wasm: run `make build`"), "{error}");
    assert!(!error.contains('\n'));
    // A module given by its path is Envoy's to refuse.
    let log = Envoy::refused(Wasm::file("nothing", "/nonexistent.wasm")).await.unwrap();
    assert!(log.contains("/nonexistent.wasm"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_in_yaml_gets_free_ports_and_the_upstream_of_the_test() {
    let yaml = r"
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
static_resources:
  listeners:
    - name: edge
      address: {socket_address: {address: 127.0.0.1, port_value: 10000}}
      filter_chains:
        - filters:
            - name: hcm
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: edge
                http_filters:
                  - name: router
                    typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
                route_config:
                  virtual_hosts:
                    - {name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: upstream}}]}
  clusters:
    - name: upstream
      load_assignment: {cluster_name: upstream, endpoints: []}
";
    let envoy = Envoy::start(Config::yaml(yaml).unwrap()).await.unwrap();
    assert_ne!(envoy.addr().port(), 10_000);
    assert_eq!(envoy.get("/hello").send().await.unwrap().echo().path, "/hello");
    assert!(Config::yaml("a: [").is_err());
}

/// The files of the runs of a test that are there.
fn kept(test: &str) -> Vec<std::path::PathBuf> {
    let of_test = |name: &str| name.starts_with(&format!("{test}."));
    let entries = std::fs::read_dir(paths::target_dir().join("e2e")).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| of_test(entry.file_name().to_str().unwrap())).map(|entry| entry.path()).collect()
}

/// Removes the files of this test, which failed as it should.
fn remove_kept() {
    let kept = kept(std::thread::current().name().unwrap());
    assert!(!kept.is_empty());
    for dir in kept {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn files_stay_if_the_test_fails_and_only_then() {
    let test = |name: &str, fails: bool| {
        for old in kept(name) {
            std::fs::remove_dir_all(old).unwrap();
        }
        let run = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let envoy = Envoy::start(Listener::new()).await.unwrap();
                assert!(!fails, "as it should, with Envoy as process {}", envoy.pid());
            });
        };
        std::thread::Builder::new().name(name.into()).spawn(run).unwrap().join()
    };
    test("a_test_that_passes", false).unwrap();
    assert!(kept("a_test_that_passes").is_empty());

    let panic = test("a_test_that_fails", true).unwrap_err();
    let pid = panic.downcast_ref::<String>().unwrap().rsplit_once(' ').unwrap().1.to_owned();
    assert!(!std::path::Path::new("/proc").join(pid).exists(), "Envoy is still there");
    let kept = kept("a_test_that_fails");
    let [dir] = kept.as_slice() else { panic!("{kept:?}") };
    for file in ["bootstrap.json", "envoy.log"] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    let bootstrap: Value =
        serde_json::from_slice(&std::fs::read(dir.join("bootstrap.json")).unwrap()).unwrap();
    assert_eq!(bootstrap["static_resources"]["listeners"][0]["name"], "main");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_dies_fails_the_test() {
    let envoy = Envoy::start(Listener::new()).await.unwrap();
    let pid = nix::unistd::Pid::from_raw(envoy.pid());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSEGV).unwrap();
    while !std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains("(zombie)") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(envoy))).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("Envoy ended during the test (signal: 11"), "{message}");
    assert!(message.contains("Caught Segmentation fault"), "{message}");
    remove_kept();
}
