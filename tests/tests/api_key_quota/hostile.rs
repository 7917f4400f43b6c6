//! What a client can send to harm the filter. Each is answered as specified, and no worker's VM dies of any of it.

use std::time::Duration;

use meshgate_e2e::{Aborted, Client, Config, Envoy, RawConnection, Request, json, raw};
use tokio::task::JoinSet;

use crate::support::*;

/// 60 KiB.
const BIG: usize = 60 << 10;
const MANY: usize = 1_100;

/// Two workers, limits as wide as they can be, and a consumer whose key is no text.
async fn start() -> Envoy {
    let plans = json!({ "plan": { "limits": [
        { "name": "burst", "rate": "999999/s" },
        { "name": "all", "quota": "999999999999999/year", "when": "request.headers['x-other'] != 'x' and request.path" },
    ] } });
    let mut config = document(plans, &[("acme", "plan"), ("bytes", "plan")]);
    config["keys_from"] = everywhere()["keys_from"].clone();
    config["consumers"][1]["keys"][0]["sha256"] = json!(sha256(b"\xfe\xff"));
    let listener = listener(config).max_headers_count(2_000).max_request_headers_kb(512).http1_trailers();
    Envoy::start(Config::from(listener).concurrency(2)).await.unwrap()
}

fn with_key(client: &Client) -> Request {
    client.get("/").header("x-api-key", "acme-key")
}

#[track_caller]
fn ours(echo: &meshgate_e2e::Received) {
    assert_eq!(echo.headers.all("x-consumer-name"), ["acme"]);
    let named = echo.headers.names().into_iter().filter(|name| name.starts_with("x-consumer-"));
    assert_eq!(named.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_sends_kills_a_worker() {
    let envoy = start().await;
    let vms = Vms::of(&envoy).await;
    vms.assert_alive().await;
    for client in [envoy.http1(), envoy.http2()] {
        bytes(&client).await;
        many_fields(&client).await;
        big_fields(&client).await;
        queries(&client).await;
        bodies(&client).await;
        vms.assert_alive().await;
        aborted_streams(&envoy, &client).await;
        upstream_resets(&client).await;
        vms.assert_alive().await;
    }
    resets(&envoy).await;
    paths(&envoy).await;
    vms.assert_alive().await;

    // All of it at once, and again.
    let (one, two) = (&envoy.http1(), &envoy.http2());
    tokio::join!(bytes(one), big_fields(two), queries(two), resets(&envoy), paths(&envoy), bodies(two));
    tokio::join!(bytes(two), many_fields(two), queries(one), resets(&envoy), upstream_resets(two));
    vms.assert_alive().await;
}

/// Every byte that is not ASCII, alone and with all others, in every place.
async fn bytes(client: &Client) {
    let all: Vec<u8> = (0x80..=0xff).collect();
    for value in (0x80..=0xff).map(|byte| vec![byte]).chain([all]) {
        let key = client.get("/").header("x-api-key", &value).send().await.unwrap();
        assert_eq!(key.status, 401, "{value:?}");
        let scheme = [b"ApiKey ", value.as_slice()].concat();
        for authorization in [&scheme, &value] {
            let response = client.get("/").header("authorization", authorization).send().await.unwrap();
            assert_eq!(response.status, 401, "{value:?}");
        }
        let request = with_key(client).header("x-consumer-name", &value).header("x_consumer_plan", &value);
        let response = request.header("x-other", &value).header("cookie", &value).send().await.unwrap();
        assert_eq!(response.status, 200, "{value:?}");
        let echo = response.echo();
        ours(&echo);
        assert_eq!(
            (echo.headers.bytes("x-other"), echo.headers.bytes("cookie")),
            (vec![&*value], vec![&*value])
        );
    }
    let escaped = client.get("/?api_key=%FE%ff");
    for request in [client.get("/").header("x-api-key", b"\xfe\xff"), escaped] {
        assert_eq!(request.send().await.unwrap().echo().header("x-consumer-name"), Some("bytes"));
    }
}

async fn many_fields(client: &Client) {
    let fill = |request: Request, name: &dyn Fn(usize) -> String| {
        (0..MANY).fold(request, |request, number| request.header(&name(number), number.to_string()))
    };
    let response = fill(client.get("/"), &|_| "x-api-key".into()).send().await.unwrap();
    assert_eq!(response.status, 400);
    for (name, arrive) in [
        ("x-other", MANY),
        ("x-other-{}", MANY),
        ("x-consumer-name", 0),
        ("x-consumer-{}", 0),
        ("x_consumer_{}", 0),
    ] {
        let name = |number: usize| name.replace("{}", &number.to_string());
        assert_eq!(fill(client.get("/"), &name).send().await.unwrap().status, 401);
        let echo = fill(with_key(client), &name).send().await.unwrap().echo();
        ours(&echo);
        assert_eq!(
            echo.headers.names().into_iter().filter(|name| name.starts_with("x-other")).count(),
            arrive
        );
    }
}

async fn big_fields(client: &Client) {
    let big = "v".repeat(BIG);
    let scheme = format!("ApiKey {big}");
    for (name, value) in [("x-api-key", &big), ("authorization", &scheme), ("authorization", &big)] {
        assert_eq!(client.get("/").header(name, value).send().await.unwrap().status, 401, "{name}");
    }
    assert_eq!(client.get(&format!("/?api_key={big}")).send().await.unwrap().status, 401);
    assert_eq!(with_key(client).header("x-api-key", &big).send().await.unwrap().status, 400);

    let request = with_key(client).header("x-consumer-name", &big).header("x-consumer-other", &big);
    let echo = request.header("x-other", &big).send().await.unwrap().echo();
    ours(&echo);
    assert_eq!(echo.header("x-other"), Some(big.as_str()));
    let third = &big[..BIG / 3];
    let path = format!("/{third}?{third}={third}");
    let echo = client.get(&format!("{path}&api_key=acme-key")).send().await.unwrap().echo();
    assert_eq!(echo.path, path);
    let many = format!("/?{}", "api_key=acme-key&".repeat(3_000));
    assert_eq!(client.get(&many).send().await.unwrap().status, 400);
}

async fn queries(client: &Client) {
    for (target, status, passed) in [
        ("/?api_key=%00", 401, ""),
        ("/?api_key=%", 401, ""),
        ("/?api_key=%zz", 401, ""),
        ("/?api_key=acme-key%", 401, ""),
        ("/?api_key=acme-key%0", 401, ""),
        ("/?api_key=%FF%FE", 401, ""),
        ("/?api_key=%C3%28", 401, ""),
        ("/?api_key==acme-key", 401, ""),
        ("/?api_key=acme-key?", 401, ""),
        ("/?api_key;api_key=acme-key", 401, ""),
        ("/??api_key=acme-key", 401, ""),
        ("/?api_key%00=acme-key", 401, ""),
        ("/?%61pi_key=acme-key&%", 200, "/?%"),
        ("/?%00=%zz&api_key=acme-key&%0", 200, "/?%00=%zz&%0"),
        ("/?api_key%00=1&api_key=%61%63%6d%65-key", 200, "/?api_key%00=1"),
        ("/?&&api_key=acme-key&&", 200, "/?&&&"),
        ("/?&=&api_key=acme-key&=&==", 200, "/?&=&=&=="),
    ] {
        let response = client.get(target).send().await.unwrap();
        assert_eq!(response.status, status, "{target}");
        if status == 200 {
            assert_eq!(response.echo().path, passed, "{target}");
        }
    }
}

async fn bodies(client: &Client) {
    let pause = Duration::from_millis(1);
    let large = "b".repeat(200_000);
    for (key, status) in [("acme-key", 200), ("other", 401)] {
        let post = || client.another().post("/").header("x-api-key", key).header("te", "trailers");
        let pieces = || post().chunks([large.clone(), "end".into()], pause);
        for (request, text, trailer) in [
            (post().body(""), String::new(), None),
            (post().body(large.clone()), large.clone(), None),
            (pieces(), format!("{large}end"), None),
            (pieces().trailer("x-sum", "7"), format!("{large}end"), Some("7")),
            (post().body("").trailer("x-sum", "7"), String::new(), Some("7")),
        ] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status, status);
            if status == 200 {
                let echo = response.echo();
                assert_eq!((echo.text(), echo.trailers.get("x-sum")), (text.as_str(), trailer));
            }
        }
    }
}

/// A client gives up, within its body or within the response.
async fn aborted_streams(envoy: &Envoy, client: &Client) {
    for key in ["acme-key", "other"] {
        for _ in 0..20 {
            let (mut body, request) = client.another().post("/").header("x-api-key", key).stream();
            let response = tokio::spawn(request.send());
            body.send_data("half".into()).await.unwrap();
            body.abort(Aborted);
            // Whether the answer was faster is the race that this is about.
            let _either = response.await.unwrap();
        }
    }
    for _ in 0..20 {
        let endless = json!({ "chunks": vec!["x"; 1_000], "chunk_delay_ms": 5 });
        let mut response = with_key(&client.another()).upstream(endless).open().await.unwrap();
        assert!(response.chunk().await.unwrap().unwrap().starts_with(b"x"));
        drop(response);
        let slow = with_key(&client.another()).upstream(json!({ "delay_ms": 5_000 }));
        slow.timeout(Duration::from_millis(5)).send().await.unwrap_err();
    }
    envoy.wait_for_stat("http.main.downstream_rq_active", |active| active == 0).await.unwrap();
}

async fn upstream_resets(client: &Client) {
    for _ in 0..2 {
        let response = with_key(client).upstream(json!({ "reset": true })).send().await.unwrap();
        assert_eq!((response.status, response.header("ratelimit").is_some()), (503, true));
        let request = with_key(client).upstream(json!({ "chunks": ["half"], "reset": true }));
        let mut response = request.open().await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "half");
        response.chunk().await.unwrap_err();
    }
}

/// Connections that end within a head or a body.
async fn resets(envoy: &Envoy) {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let half_headers = [preface.as_slice(), b"\0\x01\0\x01\x04\0\0\0\x01\x82\x86"].concat();
    let beginnings: [&[u8]; 8] = [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Api-",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: acme-key\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nX-Api-Key: acme-key\r\nContent-Length: 10\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nHost: a\r\nX-Api-Key: other\r\nContent-Length: 10\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nHost: a\r\nX-Api-Key: acme-key\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        preface,
        &half_headers,
    ];
    for _ in 0..10 {
        for beginning in beginnings {
            let mut connection = RawConnection::open(envoy.addr()).await.unwrap();
            connection.write(beginning).await.unwrap();
            connection.reset().unwrap();
        }
    }
    let garbage = [
        "POST / HTTP/1.1\r\nHost: a\r\nX-Api-Key: acme-key\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX-Api-Key: acme-key\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Consumer-N\u{e9}me: acme\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Consumer Name: acme\r\n\r\n",
        "GET /\u{e9}?api_key=\u{ff} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ];
    assert_answers(envoy, garbage.map(|garbage| (garbage.to_owned(), 400))).await;
}

/// Each of these bytes gets an answer with this status. All are sent at once, because Envoy takes a second to close a
/// connection on which it refused something.
async fn assert_answers(envoy: &Envoy, cases: impl IntoIterator<Item = (String, u16)>) {
    let mut answers = JoinSet::new();
    for (bytes, status) in cases {
        let addr = envoy.addr();
        answers.spawn(async move {
            let answer = raw(addr, &bytes).await.unwrap();
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {answer}");
        });
    }
    answers.join_all().await;
}

/// Targets that no HTTP library sends. What Envoy refuses itself, no filter sees.
async fn paths(envoy: &Envoy) {
    let targets = [
        ("GET /..%2f", 400, 400),
        ("GET //", 401, 200),
        ("GET ///a//b/../..", 400, 400),
        ("GET /%00%zz%", 401, 200),
        ("GET /;a=b/.", 400, 400),
        ("GET http://other/a", 401, 200),
        ("GET ?", 400, 400),
        ("OPTIONS *", 404, 404),
        ("GET *", 400, 400),
        ("CONNECT a:443", 401, 404),
        ("\u{1}\u{2} /", 400, 400),
    ];
    let heads = targets.into_iter().flat_map(|(line, without, with)| {
        [("", without), ("X-Api-Key: acme-key\r\n", with)].map(|(key, status)| {
            (format!("{line} HTTP/1.1\r\nHost: a\r\n{key}Connection: close\r\n\r\n"), status)
        })
    });
    assert_answers(envoy, heads).await;
}

/// However a client writes a path: what the upstream may take for a guarded one needs a key.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_gets_around_the_guard() {
    let config = with(everywhere(), "/match", json!({ "path": { "prefix": "/v1" } }));
    let envoy = Envoy::start(listener(config)).await.unwrap();
    let paths = [
        ("/v1", 401),
        ("/v1/", 401),
        ("/v1?a", 401),
        ("//v1", 401),
        ("/./v1", 400),
        ("/v2/../v1/a", 400),
        ("/v2/%2e%2E/v1/a", 400),
        ("/%76%31/a", 401),
        ("/v2/..\\v1", 400),
        ("http://a/v1", 401),
        ("/v1x", 200),
        ("/V1", 200),
        ("/v1/..", 400),
        ("/v1/users/../../x", 400),
        ("/v1\\..\\x", 400),
        ("/v1/..%2fx", 400),
        ("/v1/..;/x", 400),
        // Parameters may be cut off, and encoded slashes split at.
        ("/v1%2fa", 401),
        ("/v1%5Ca", 401),
        ("/v1%3bx/a", 401),
        ("/v1;x/a", 401),
        ("/v1;/a", 401),
        ("/;/v1/a", 401),
        ("/%2Fv1", 401),
        ("/v2;%2fv1", 200),
        ("/v2;x/a%2fb", 200),
    ];
    let head = |path| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_answers(&envoy, paths.map(|(path, status)| (head(path), status))).await;
}

/// What a client puts behind a body names nobody, and no credential reaches the upstream that way either.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_carry_nothing_past_the_filter() {
    let config = with(everywhere(), "/match", json!({ "path": { "prefix": "/v1" } }));
    let envoy = Envoy::start(listener(config).http1_trailers()).await.unwrap();
    let vms = Vms::of(&envoy).await;
    for client in [envoy.http1(), envoy.http2()] {
        for path in ["/v1", "/open"] {
            let request =
                client.post(path).header("te", "trailers").header("x-api-key", "acme-key").body("hello");
            let request = request
                .trailer("x-api-key", "acme-key")
                .trailer("authorization", "ApiKey acme-key")
                .trailer("x-sum", "7");
            let echo = request.send().await.unwrap().echo();
            let trailers = ["x-api-key", "authorization", "x-sum"].map(|name| echo.trailers.get(name));
            assert_eq!((echo.text(), trailers), ("hello", [None, None, Some("7")]), "{path}");
        }
        let request = client.post("/v1").header("te", "trailers").body("hello");
        assert_eq!(request.trailer("x-api-key", "acme-key").send().await.unwrap().status, 401);
    }
    vms.assert_alive().await;
}
