//! Bodies that pass while they are looked into.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[test]
fn cards_are_masked_in_any_chunking() {
    let worker = worker(&cards("response.body", json!({"mask": {"keep_last": 4}})));
    for (body, expected) in [
        (r#"{"card":"4111111111111111"}"#, r#"{"card":"************1111"}"#),
        (r#"{"card": "4111-1111-1111-1111", "n": 1}"#, r#"{"card": "****-****-****-1111", "n": 1}"#),
        (r#"{"card":4111111111111111}"#, r#"{"card":9999999999991111}"#),
        (r#"{"card":4111111111111111.0}"#, r#"{"card":9999999999991111.0}"#),
        (r#"[4111111111111111E0,-4111111111111111.0e+0]"#, r#"[9999999999991111E0,-9999999999991111.0e+0]"#),
        (r#"{"card":"\u0034111111111111111"}"#, r#"{"card":"\u002a***********1111"}"#),
        (r#"["4111111111111111","378282246310005"]"#, r#"["************1111","***********0005"]"#),
        (
            r#"{"note":"pay with card 4111 1111 1111 1111, or not"}"#,
            r#"{"note":"pay with card **** **** **** 1111, or not"}"#,
        ),
        (r#"{"card":"4111111111111112"}"#, r#"{"card":"4111111111111112"}"#),
        ("{}", "{}"),
        ("", ""),
    ] {
        let message = client_gets(&worker, &json_response(body));
        assert_eq!(message.text(), expected);
        assert_eq!(message.head.get("content-length"), Some(expected.len().to_string().as_str()));
    }
}

/// Whatever stands in front of a value, JSON stays JSON.
#[test]
fn it_makes_no_difference_how_many_backslashes_are_in_front() {
    for action in [json!("mask"), json!("replace"), json!("hash"), json!("drop")] {
        let mut document = cards("response.body", action);
        document["hmac_key"] = json!("a key of some length");
        let worker = worker(&document);
        for count in [1, 2, 64, 65, 511, 512, 513, 514, 9_000, 9_001] {
            for value in ["4111111111111111\"", "u0034111111111111111\"", "\", 4111111111111111"] {
                let text = format!("[\"{}{value}]", "\\".repeat(count));
                let body = json_response(text.as_str());
                let cuts: Vec<usize> =
                    (1..).map(|part| part * 997).take_while(|cut| *cut < text.len()).collect();
                let through = |chunks: &Chunking| {
                    let outcome =
                        worker.begin().run_chunked(&Message::get("/"), &Chunking::WHOLE, &body, chunks);
                    outcome.answer().text().to_owned()
                };
                let got = through(&Chunking::WHOLE);
                assert!(got == through(&Chunking::at(cuts)), "{count} {value}");
                let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
                assert!(!is_json(&text) || is_json(&got), "{count} {value}");
                // Behind an even number `u0034` is text.
                let card = !value.starts_with('u') || count % 2 == 1;
                let plain = serde_json::from_str::<Value>(&got).map(|value| value.to_string());
                assert!(!card || !plain.is_ok_and(|plain| plain.contains(CARD)), "{count} {value}");
            }
        }
    }
}

#[test]
fn what_is_a_number_stays_one_in_events_and_sequences() {
    let worker = worker(&cards("response.body", json!("mask")));
    for (kind, body, expected) in [
        ("text/event-stream", "data: 4111111111111111\n\n", "data: 9999999999999999\n\n"),
        ("text/event-stream", "data:-4111111111111111 \r\n\r\n", "data:-9999999999999999 \r\n\r\n"),
        ("text/event-stream", "data: 4111111111111111", "data: 9999999999999999"),
        ("text/event-stream", "data: 4111111111111111 paid\n\n", "data: **************** paid\n\n"),
        ("text/event-stream", "data: 4111-1111-1111-1111\n\n", "data: 9999-9999-9999-9999\n\n"),
        (
            "text/event-stream",
            "data: [\ndata: 4111111111111111\ndata: ]\n\n",
            "data: [\ndata: 9999999999999999\ndata: ]\n\n",
        ),
        ("application/json", "card: 4111111111111111!", "card: ****************!"),
        ("application/json", "[x] 4111111111111111.\n", "[x] ****************.\n"),
        ("text/event-stream", "data: [x] ada 4111 1111 1111 1111\n", "data: [x] ada **** **** **** ****\n"),
        (
            "application/json-seq",
            "\x1e4111111111111111\n\x1e{\"a\":\n4111111111111111}\n",
            "\x1e9999999999999999\n\x1e{\"a\":\n9999999999999999}\n",
        ),
        (
            "application/json-seq",
            "\x1e\"broken\n\x1e[4111111111111111]\n",
            "\x1e\"broken\n\x1e[9999999999999999]\n",
        ),
        (
            "application/x-ndjson",
            "4111111111111111\r[\"4111111111111111\"]\r[4111111111111111]",
            "9999999999999999\r[\"****************\"]\r[9999999999999999]",
        ),
    ] {
        assert_eq!(client_gets(&worker, &response(kind, body)).text(), expected, "{kind} {body:?}");
    }
}

#[test]
fn texts_of_a_sequence_are_documents() {
    let mut document = cards("response.body", json!("drop"));
    document["rules"][0]["json"] = json!("/card");
    let worker = worker(&document);
    let body = "\x1e{\"card\":\n\"4111111111111111\",\"a\":1}\n\x1e{\"b\":\"4111111111111111\"}\n";
    let expected = "\x1e{\"a\":1}\n\x1e{\"b\":\"4111111111111111\"}\n";
    assert_eq!(client_gets(&worker, &response("application/json-seq", body)).text(), expected);
}

#[test]
fn requests_are_looked_into_as_well() {
    let worker = worker(&cards("request.body", json!("mask")));
    let post = |kind: &str, body: &str| Message::post("/", body).with("content-type", kind);
    for (kind, body, expected) in [
        ("application/json", r#"{"card":"4111111111111111"}"#, r#"{"card":"****************"}"#),
        (
            "application/x-www-form-urlencoded",
            "a=1&card=4111+1111+1111+%31111&b=2",
            "a=1&card=****+****+****+%2A***&b=2",
        ),
        ("text/plain", "my card: 4111111111111111", "my card: ****************"),
        ("text/plain", "my card: 4111111111111111\n", "my card: ****************\n"),
        ("application/xml", "<card>4111111111111111</card>", "<card>****************</card>"),
    ] {
        assert_eq!(upstream_gets(&worker, &post(kind, body)).text(), expected, "{kind}");
    }
}

#[test]
fn an_upgrade_that_is_not_answered_is_none() {
    let worker = worker(&cards("response.body", json!("mask")));
    let body = format!("{{\"card\":\"{CARD}\"}}");
    let upgrade = |method: &str| {
        Message::request(method, "/").with("connection", "keep-alive, Upgrade").with("upgrade", "websocket")
    };
    for (request, status, masked) in [
        (upgrade("GET"), 200, true),
        (upgrade("GET"), 101, false),
        (upgrade("POST"), 101, true),
        (upgrade("GET").with("transfer-encoding", "chunked"), 101, true),
        (upgrade("GET").with("content-length", "0"), 101, false),
        (Message::get("/").with("upgrade", "websocket"), 101, true),
        (Message::request("CONNECT", "/"), 200, false),
        (Message::request("CONNECT", "/"), 403, true),
    ] {
        let response = json_response(body.as_str()).with(":status", status.to_string());
        let got = run(&worker, &request, &response);
        assert_eq!(!got.answer().text().contains(CARD), masked, "{request:?} {status}");
    }
}

/// A text that is never decided at the end of a part: more of it than waits in the proxy is kept in memory.
fn undecided() -> String {
    let mut text = "41 1 ".repeat(30_000);
    text.push_str("378282246310005, 4111 1111 1111 1111");
    text
}

#[test]
fn what_does_not_decide_is_kept_and_passes_whole() {
    let worker = worker(&cards("response.body", json!("mask")));
    let text = undecided();
    let expected = text
        .replace("378282246310005", &"*".repeat(15))
        .replace("4111 1111 1111 1111", "**** **** **** ****");
    let mut message = response("text/plain", text.as_str());
    for known in [true, false] {
        if !known {
            message.head.remove("content-length");
        }
        for size in [100, 4_096, 16_384, 65_535, 65_536, 65_537, 149_990, 150_020] {
            let cuts: Vec<usize> =
                (1..).map(|part| part * size).take_while(|cut| *cut < text.len()).collect();
            let chunks = Chunking::at(cuts);
            let outcome = worker.begin().run_chunked(&Message::get("/"), &Chunking::WHOLE, &message, &chunks);
            assert!(outcome.answer().text() == expected, "{size} {known}");
        }
    }
}

#[test]
fn trailers_behind_what_is_kept_in_memory_break_off() {
    let text = undecided() + " 4111 11";
    for (place, cut) in [("response.body", 0), ("response.body", 70_000), ("request.body", 70_000)] {
        let world = World::new();
        let worker = Worker::<Dlp>::new(&world, cards(place, json!("mask")));
        let chunks = Chunking::at(if cut == 0 { vec![] } else { vec![cut] });
        let with_trailers =
            |message: Message| message.with("content-type", "text/plain").with_trailer("x-end", "1");
        let outcome = if place == "response.body" {
            let response = with_trailers(Message::response(200).with_body(text.as_str()));
            worker.begin().run_chunked(&Message::get("/"), &Chunking::WHOLE, &response, &chunks)
        } else {
            let request = with_trailers(Message::post("/", text.as_str()));
            worker.begin().run_chunked(&request, &chunks, &Message::response(200), &Chunking::WHOLE)
        };
        if place == "response.body" {
            assert!(broke_off(&outcome), "{cut}");
        } else {
            assert_eq!(outcome.status(), 500);
        }
        assert_eq!(world.metric("meshgate.dlp.bodies.cut"), 1, "{place} {cut}");
    }
}

#[test]
fn json_without_a_type_is_known_by_its_first_byte() {
    let worker = worker(&cards("response.body", json!("mask")));
    for (body, expected) in [
        (" \r\n\t{\"a\":4111111111111111}", " \r\n\t{\"a\":9999999999999999}"),
        ("\u{feff}[4111111111111111]", "\u{feff}[9999999999999999]"),
        ("\u{feff} \"\\u0034111111111111111\"", "\u{feff} \"\\u002a***************\""),
        (" 4111111111111111", " ****************"),
        ("  ", "  "),
    ] {
        let mut message = json_response(body);
        message.head.remove("content-type");
        assert_eq!(client_gets(&worker, &message).text(), expected);
    }
}

#[test]
fn bodies_that_are_not_written_in_ascii_can_not_be_looked_into() {
    let worker = worker(&cards("response.body", json!("mask")));
    for (kind, status) in [
        ("text/plain; charset=UTF-16LE", 502),
        ("application/json; a=b; Charset = \"utf-32\"", 502),
        ("text/plain; charset=iso-8859-1", 200),
        ("image/png; charset=utf-16", 200),
    ] {
        let outcome = run(&worker, &Message::get("/"), &response(kind, "4\u{0}1\u{0}"));
        assert_eq!(outcome.status(), status, "{kind}");
    }
}
