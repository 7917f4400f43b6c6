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
