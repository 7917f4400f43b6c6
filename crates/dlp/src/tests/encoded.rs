//! Encoded bodies.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use meshgate_coding::{Caps, Coding, decode, encode};

const BODY: &str = r#"{"card":"4111111111111111","text":"and some more of it, and some more of it"}"#;
const MASKED: &str = r#"{"card":"************1111","text":"and some more of it, and some more of it"}"#;

fn masks() -> Value {
    cards("response.body", json!({"mask": {"keep_last": 4}}))
}

fn encoded(coding: Coding, body: &str) -> Message {
    let body = encode(coding, body.as_bytes()).unwrap();
    json_response(body).with("content-encoding", coding.name().unwrap())
}

/// What a client makes of an answer.
fn plain(outcome: &Outcome) -> String {
    let answer = outcome.answer();
    let coding = Coding::of(answer.head.all("content-encoding")).unwrap();
    String::from_utf8(decode(coding, &answer.body, &Caps::default()).unwrap()).unwrap()
}

#[test]
fn bodies_are_decoded_and_encoded_again() {
    let worker = worker(&masks());
    for coding in [Coding::Gzip, Coding::Deflate] {
        for known in [true, false] {
            let mut response = encoded(coding, BODY);
            if !known {
                response.head.remove("content-length");
            }
            chunkings(&response.body, |chunks| {
                let mut outcome =
                    worker.begin().run_chunked(&Message::get("/"), &Chunking::WHOLE, &response, chunks);
                assert_eq!(outcome.answer().head.get("content-encoding"), coding.name());
                assert_eq!(outcome.answer().head.get("content-length"), None);
                assert_eq!(plain(&outcome), MASKED);
                // How it is encoded may depend on how it was cut.
                let Client::Answer(answer) = &mut outcome.client else { panic!("no answer") };
                answer.body.clear();
                outcome
            });
        }
    }
}

#[test]
fn what_is_only_reported_passes_as_it_came() {
    let world = World::new();
    let worker = Worker::<Dlp>::new(&world, cards("response.body", json!("report")));
    for response in [
        encoded(Coding::Gzip, BODY),
        json_response(brotli(BODY)).with("content-encoding", "br"),
        json_response(BODY),
        response("text/plain", format!("{CARD} and 4111")),
    ] {
        let before = world.metric("meshgate.dlp.report.payment");
        assert_eq!(client_gets(&worker, &response), response);
        assert!(world.metric("meshgate.dlp.report.payment") > before);
    }
}

#[test]
fn without_recompression_bodies_pass_decoded() {
    let mut document = masks();
    document["bodies"] = json!({"recompress": false});
    let worker = worker(&document);
    let message = client_gets(&worker, &encoded(Coding::Gzip, BODY));
    assert_eq!((message.text(), message.head.get("content-encoding")), (MASKED, None));
}

/// "hello" as an uncompressed meta-block (RFC 7932 section 9.2), which is all that it takes to write br by hand.
fn brotli(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().checked_sub(1).unwrap();
    // WBITS 16: 0; ISLAST 0; MNIBBLES 4: 00; MLEN - 1; ISUNCOMPRESSED 1.
    let bits: u32 = length << 4 | 1 << 20;
    let mut bytes = bits.to_le_bytes().get(..3).unwrap().to_vec();
    bytes.extend(text.bytes());
    // ISLAST 1, ISLASTEMPTY 1.
    bytes.push(3);
    bytes
}

#[test]
fn br_goes_on_as_gzip_or_decoded() {
    let worker = worker(&masks());
    let response = json_response(brotli(BODY)).with("content-encoding", "br");
    for (accepted, coding) in [("br, gzip", Some("gzip")), ("br", None)] {
        let request = Message::get("/").with("accept-encoding", accepted);
        let outcome = run(&worker, &request, &response);
        assert_eq!(outcome.answer().head.get("content-encoding"), coding);
        assert_eq!(plain(&outcome), MASKED);
    }
}

#[test]
fn whole_bodies_are_decoded_too() {
    let worker = worker(&cards("response.body", json!("drop")));
    let outcome = run(&worker, &Message::get("/"), &encoded(Coding::Gzip, r#"{"card":"4111111111111111"}"#));
    assert_eq!(plain(&outcome), "{}");
    let clean = encoded(Coding::Gzip, r#"{"card":"none"}"#);
    assert_eq!(run(&worker, &Message::get("/"), &clean).answer().body, clean.body, "as it came");
}

#[test]
fn what_cannot_be_decoded_does_not_pass_unless_it_may() {
    for (policy, status) in [("block", 502), ("pass", 200)] {
        let mut document = masks();
        document["bodies"] = json!({"undecodable": policy});
        let worker = worker(&document);
        let unknown = json_response(BODY).with("content-encoding", "zstd");
        let outcome = run(&worker, &Message::get("/"), &unknown);
        assert_eq!(outcome.status(), status, "{policy}");
        if status == 200 {
            assert_eq!(outcome.answer(), &unknown);
        } else {
            assert_eq!(outcome.details, Some("meshgate_dlp_response_undecodable"));
        }
        // Its head has gone by then.
        let broken = json_response(BODY).with("content-encoding", "gzip");
        let outcome = run(&worker, &Message::get("/"), &broken);
        assert_eq!(broke_off(&outcome), policy == "block");
        if policy == "pass" {
            assert_eq!(outcome.answer().text(), BODY);
        }
    }
    let worker = worker(&cards("request.body", json!("mask")));
    let post =
        Message::post("/", BODY).with("content-type", "application/json").with("content-encoding", "zstd");
    let outcome = run(&worker, &post, &Message::response(200));
    assert_eq!((outcome.status(), outcome.upstream.is_none()), (415, true));
}

#[test]
fn small_bodies_that_become_huge_do_not_pass() {
    let bomb = encode(Coding::Gzip, "0".repeat(4 << 20).as_bytes()).unwrap();
    let bomb = json_response(bomb).with("content-encoding", "gzip");
    assert!(broke_off(&run(&worker(&masks()), &Message::get("/"), &bomb)));
    let outcome = run(&worker(&cards("response.body", json!("drop"))), &Message::get("/"), &bomb);
    assert!(broke_off(&outcome), "{outcome:?}");
}

#[test]
fn upstreams_are_asked_for_what_can_be_decoded() {
    for (policy, before, after) in [
        (json!({}), Some("gzip, br, zstd"), Some("gzip, br")),
        (json!({}), None, None),
        (json!({"accept_encoding": "identity"}), Some("gzip"), Some("identity")),
        (json!({"accept_encoding": "keep"}), Some("zstd"), Some("zstd")),
    ] {
        let mut document = masks();
        document["bodies"] = policy;
        let mut request = Message::get("/").with("range", "bytes=0-10").with("if-range", "\"a\"");
        if let Some(before) = before {
            request = request.with("accept-encoding", before);
        }
        let got = run(&worker(&document), &request, &Message::response(200)).forwarded().clone();
        assert_eq!(got.head.get("accept-encoding"), after);
        assert_eq!((got.head.get("range"), got.head.get("if-range")), (None, None));
    }
}
