//! Bodies that come encoded.

use std::io::Write as _;
use std::process::{Command, Stdio};

use meshgate_e2e::{Envoy, Reply, Value, json};

use crate::support::*;

/// What zlib makes of some bytes, by way of Python: an implementation that is not ours.
fn zlib(expression: &str, bytes: &[u8]) -> Vec<u8> {
    let script =
        format!("import sys, zlib; data = sys.stdin.buffer.read(); sys.stdout.buffer.write({expression})");
    let mut python = Command::new("python3");
    let python = python.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let mut input = python.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn gzip(text: &str) -> Vec<u8> {
    zlib("(lambda c: c.compress(data) + c.flush())(zlib.compressobj(9, zlib.DEFLATED, 31))", text.as_bytes())
}

fn deflate(text: &str) -> Vec<u8> {
    zlib("zlib.compress(data)", text.as_bytes())
}

fn decoded(bits: u8, bytes: &[u8]) -> String {
    String::from_utf8(zlib(&format!("zlib.decompress(data, {bits})"), bytes)).unwrap()
}

/// `{"b":2}` as the brotli of Google writes it.
const BROTLI: &[u8] = b"\x0b\x03\x80{\"b\":2}\x03";

fn rule() -> Value {
    json!({ "response": [{ "set": { "json": "/a", "to": 1 } }], "request": [{ "set": { "json": "/a", "to": 1 } }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn they_leave_as_they_came() {
    let envoy = with_rule(rule()).await;
    for client in clients(&envoy) {
        for (name, body) in
            [("gzip", gzip("{\"b\":2}")), ("deflate", deflate("{\"b\":2}")), ("br", BROTLI.to_vec())]
        {
            let reply = Reply::status(200)
                .header("content-type", "application/json")
                .header("content-encoding", name);
            envoy.upstream().respond(reply.body(body.clone()));
            let response = client.get("/").send().await.unwrap();
            assert_eq!(response.header("content-encoding"), Some(name));
            let text = match name {
                "gzip" => decoded(31, &response.body),
                "deflate" => decoded(15, &response.body),
                // Blocks that are not compressed.
                _ => String::from_utf8_lossy(&response.body).into_owned(),
            };
            assert!(text.contains("{\"b\":2,\"a\":1}"), "{name}: {text:?}");

            envoy.upstream().forget_requests();
            let request =
                client.post("/").header("content-type", "application/json").header("content-encoding", name);
            request.body(body).send().await.unwrap();
            assert_eq!(envoy.upstream().requests()[0].header("content-encoding"), Some(name));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_can_leave_plain() {
    let document =
        json!({ "rules": [rule()], "encoded_bodies": "identity", "allow_on_headers_stop_iteration": true });
    let envoy = Envoy::start(listener(document)).await.unwrap();
    for client in clients(&envoy) {
        for (name, body) in
            [("gzip", gzip("{\"b\":2}")), ("deflate", deflate("{\"b\":2}")), ("br", BROTLI.to_vec())]
        {
            let reply = Reply::status(200)
                .header("content-type", "application/json")
                .header("content-encoding", name);
            envoy.upstream().respond(reply.body(body));
            let response = client.get("/").send().await.unwrap();
            assert_eq!((response.header("content-encoding"), response.text()), (None, "{\"b\":2,\"a\":1}"));
            assert_eq!(response.header("content-length"), Some("13"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_asked_for_what_can_be_read() {
    let envoy = with_rule(rule()).await;
    let request =
        envoy.get("/").header("accept-encoding", "gzip, deflate, br, zstd").header("range", "bytes=0-3");
    let echo = request.send().await.unwrap();
    let got = envoy.upstream().requests();
    assert_eq!((got[0].header("accept-encoding"), got[0].header("range")), (Some("gzip, deflate"), None));
    assert_eq!(echo.status, 200);
}

/// Where nothing else of the head is wanted, only the first line of `accept-encoding` is read: Envoy has put all into it.
#[tokio::test(flavor = "multi_thread")]
async fn codings_on_several_lines_are_all_seen() {
    let envoy = with_rule(json!({ "response": [{ "set": { "json": "/a", "to": 1 } }] })).await;
    for client in clients(&envoy) {
        for (lines, expected) in
            [(["gzip", "zstd"], "gzip"), (["br", "deflate"], "deflate"), (["zstd", "br;q=0.5"], "identity")]
        {
            envoy.upstream().forget_requests();
            let [first, second] = lines;
            let request = client.get("/").header("accept-encoding", first).header("accept-encoding", second);
            request.send().await.unwrap();
            let got = envoy.upstream().requests();
            assert_eq!(got[0].headers.all("accept-encoding"), [expected]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_and_lies_are_answered() {
    let envoy = with_rule(rule()).await;
    let client = envoy.http1();
    let post = |coding: &str, body: Vec<u8>| {
        client
            .post("/")
            .header("content-type", "application/json")
            .header("content-encoding", coding)
            .body(body)
    };
    let bomb = gzip(&format!("\"{}\"", "a".repeat(50 << 20)));
    assert_problem(&post("gzip", bomb).send().await.unwrap(), 413);
    assert_problem(&post("gzip", b"{}".to_vec()).send().await.unwrap(), 415);
    assert_problem(&post("zstd", b"{}".to_vec()).send().await.unwrap(), 415);
    let cut = gzip("{\"b\":2}");
    assert_problem(&post("gzip", cut[..cut.len() - 2].to_vec()).send().await.unwrap(), 415);
    assert!(envoy.upstream().requests().iter().all(|got| !got.complete || got.body.is_empty()));
}
