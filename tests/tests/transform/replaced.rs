//! Bodies that are replaced without a look at them.

use std::time::Duration;

use meshgate_e2e::{Reply, Value, json};

use crate::support::*;

const NEW: &str = "{\"state\": \"shut\" }";

fn rule() -> Value {
    let operations = json!([{ "set": { "body": { "state": "shut" } } }]);
    json!({ "request": operations, "response": operations })
}

/// Far more than Envoy keeps of a body, and than rules read.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_mebibytes_are_dropped_as_they_come() {
    let large = "x".repeat(20 << 20);
    for envoy in [with_rule(rule()).await, holding(rule()).await] {
        for client in clients(&envoy) {
            envoy.upstream().forget_requests();
            let request = client.post("/").header("content-type", "text/plain").body(large.clone());
            let reply = Reply::status(200).header("content-type", "text/plain").body(large.clone());
            envoy.upstream().respond(reply);
            let response = request.timeout(Duration::from_secs(60)).send().await.unwrap();
            let length = Some(NEW.len().to_string());
            assert_eq!((response.status, response.text()), (200, NEW));
            assert_eq!(response.header("content-type"), Some("application/json"));
            assert_eq!(response.header("content-length"), length.as_deref());
            let got = envoy.upstream().requests();
            assert_eq!((got.len(), got[0].text()), (1, NEW));
            assert_eq!(got[0].header("content-type"), Some("application/json"));
            assert_eq!(got[0].header("content-length"), length.as_deref());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_they_are_cut_and_framed() {
    let envoy = with_rule(rule()).await;
    for client in clients(&envoy) {
        for trailers in [false, true] {
            for chunks in [vec!["old"], vec!["o", "l", "d"]] {
                envoy.upstream().forget_requests();
                let reply = Reply::status(200).header("content-type", "text/plain").chunks(chunks.clone());
                let reply = if trailers { reply.trailer("x-sum", "1") } else { reply };
                envoy.upstream().respond(reply.chunk_delay(PAUSE));
                let request = client.post("/").header("te", "trailers").chunks(chunks, PAUSE);
                let request = if trailers { request.trailer("x-sum", "1") } else { request };
                let response = request.send().await.unwrap();
                let sum = trailers.then_some("1");
                assert_eq!((response.text(), response.trailers.get("x-sum")), (NEW, sum));
                let got = envoy.upstream().wait_for_requests(1).await.unwrap();
                assert_eq!((got[0].text(), got[0].trailers.get("x-sum")), (NEW, sum));
                assert_eq!(got[0].header("content-length"), None);
            }
        }
    }
}
