//! Which rule deals with a finding, and what it does with it.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const KEY: &str = "a key of some length";

/// What a body becomes under these rules.
fn becomes(rules: Value, body: &str) -> String {
    let document = json!({"rules": rules, "hmac_key": KEY});
    client_gets(&worker(&document), &json_response(body)).text().to_owned()
}

/// What a body becomes under one rule for cards with these fields.
fn with_rule(fields: Value, body: &str) -> String {
    let mut rule = json!({"find": "payment.card", "in": "response.body", "do": "mask"});
    rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    becomes(json!([rule]), body)
}

#[test]
fn values_are_replaced_by_texts_that_fit() {
    for (action, body, expected) in [
        (json!("replace"), r#"{"card":"4111111111111111"}"#, r#"{"card":"[PAYMENT CARD]"}"#),
        (json!("replace"), r#"{"card":4111111111111111}"#, r#"{"card":"[PAYMENT CARD]"}"#),
        (json!("replace"), r#"{"card":-4111111111111111}"#, r#"{"card":-9999999999999999}"#),
        (json!({"replace": "a\"b\\"}), r#"{"card":"4111111111111111"}"#, r#"{"card":"a\"b\\"}"#),
        (json!({"replace": ""}), r#"{"card":"4111111111111111"}"#, r#"{"card":""}"#),
        (json!({"replace": ""}), r#"{"card":4111111111111111}"#, r#"{"card":""}"#),
        (
            json!({"mask": {"character": "x", "keep_first": 4}}),
            r#"{"card":"4111111111111111"}"#,
            r#"{"card":"4111xxxxxxxxxxxx"}"#,
        ),
        (json!("report"), r#"{"card":"4111111111111111"}"#, r#"{"card":"4111111111111111"}"#),
    ] {
        assert_eq!(with_rule(json!({"do": action}), body), expected, "{action}");
    }
}

/// What looks like an item of an array may be a part of a string, and what is found may reach over several tokens.
#[test]
fn json_stays_valid_where_the_bytes_nearby_mislead() {
    for (find, action, body, expected) in [
        (json!("payment.card"), "replace", r#"[{", 4111111111111111":""}]"#, r#"[{", [PAYMENT CARD]":""}]"#),
        (json!("payment.card"), "replace", r#"{":": 4111111111111111}"#, r#"{":": "[PAYMENT CARD]"}"#),
        (json!("payment.card"), "replace", "[4111111111111111.0]", "[9999999999999999.0]"),
        (json!("payment.card"), "mask", r#"[", 4111111111111111"]"#, r#"[", ****************"]"#),
        (
            json!({"regex": "[^ ]{3,20}"}),
            "mask",
            "[\"\" ,\n\t[4111111111111111]]",
            "[\"\" ,\n\t[9999999999999999]]",
        ),
        (
            json!({"regex": "\"pin\":[0-9]{4}"}),
            "mask",
            r#"{"pin":1234,"a":true}"#,
            r#"{"***":9999,"a":true}"#,
        ),
        (json!({"regex": "bcd."}), "mask", "[\"abcd\u{e9}\"]", "[\"a***\u{e9}\"]"),
    ] {
        let rules = json!([{"find": find, "in": "response.body", "do": action}]);
        let got = becomes(rules, body);
        assert!(serde_json::from_str::<Value>(&got).is_ok(), "{got}");
        assert_eq!(got, expected, "{find}");
    }
}

#[test]
fn tokens_are_the_same_for_the_same_number() {
    let body = r#"{"a":{"card":"4111111111111111"},"b":{"card":"4111 1111 1111 1111"},"c":{"card":"\u0034111111111111111"},"d":{"card":4111111111111111},"e":{"card":"378282246310005"}}"#;
    let hashed: Value = serde_json::from_str(&with_rule(json!({"do": "hash"}), body)).unwrap();
    let token = |name: &str| hashed[name]["card"].as_str().unwrap().to_owned();
    assert_eq!(token("a").len(), 22);
    assert!(["b", "c", "d"].into_iter().all(|name| token(name) == token("a")), "{hashed}");
    assert_ne!(token("e"), token("a"));
}

#[test]
fn the_first_rule_that_is_for_a_finding_deals_with_it() {
    let rules = json!([
        {"find": "payment.card", "in": "response.body", "do": {"replace": "status"}, "match": {"status": 500}},
        {"find": "payment.card", "in": "response.body", "do": {"replace": "sure"}, "min_confidence": 100},
        {"find": "payment.card", "in": "response.body", "do": {"replace": "path"}, "match": {"path": "/other"}},
        {"find": "payment.card", "in": "response.body", "do": {"replace": "when"}, "when": "request.query.a == '1'"},
        {"find": "payment.card", "in": "request.body", "do": {"replace": "place"}},
        {"find": "payment.card", "in": "response.body", "do": {"replace": "shadow"}, "shadow": true},
        {"find": "payment.card", "in": "response.body", "do": "report"},
        {"find": "payment", "in": "response.body", "do": {"replace": "this"}},
        {"find": "payment.card", "in": "response.body", "do": {"replace": "late"}},
    ]);
    assert_eq!(becomes(rules, r#"{"card":"4111111111111111"}"#), r#"{"card":"this"}"#);
}

#[test]
fn a_rule_is_not_evaded_by_a_condition_without_an_answer() {
    let rule = json!({"when": "request.query.a == '1'"});
    let mut document = cards("response.body", json!("mask"));
    document["rules"][0].as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    let worker = worker(&document);
    for (target, masked) in [("/?a=1", true), ("/?a=2", false), ("/?a=2&a=2", true)] {
        let outcome = run(&worker, &Message::get(target), &json_response(format!("{{\"card\":\"{CARD}\"}}")));
        assert_eq!(!outcome.answer().text().contains(CARD), masked, "{target}");
    }
}

#[test]
fn a_rule_is_not_evaded_by_what_some_upstreams_read_differently() {
    let rule = json!({"match": {"method": "GET", "path": {"prefix": "/v1"}, "query": {"raw": {"not": "1"}}}});
    let mut document = cards("response.body", json!("mask"));
    document["rules"][0].as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    let worker = worker(&document);
    for (method, target, masked) in [
        ("GET", "/v1/a", true),
        ("GET", "/v2/a", false),
        ("GET", "/v1;x/a", true),
        ("GET", "/v1%2fa", true),
        ("get", "/v1", true),
        ("POST", "/v1", false),
        ("GET", "/v1?raw=1", false),
        ("GET", "/v1?raw=1&raw=0", true),
    ] {
        let request = Message::request(method, target);
        let outcome = run(&worker, &request, &json_response(format!("{{\"card\":\"{CARD}\"}}")));
        assert_eq!(!outcome.answer().text().contains(CARD), masked, "{method} {target}");
    }
}

#[test]
fn what_is_allowed_is_no_finding() {
    let body = r#"["4111-1111-1111-1111","378282246310005","5555555555554444"]"#;
    let hidden = |text: &str| text.matches('*').count();
    for (allow, masked) in [
        (json!({}), 47),
        (json!({"values": ["4111 1111 1111 1111"]}), 31),
        // The SHA-256 of 378282246310005.
        (json!({"sha256": [sha256(AMEX)]}), 32),
        (json!({"regex": ["5[0-9]+", "37"]}), 31),
        (json!({"test_cards": true}), 0),
    ] {
        assert_eq!(hidden(&with_rule(json!({"allow": allow}), body)), masked, "{allow}");
    }
    let mut document = cards("response.body", json!("mask"));
    document["allow"] = json!({"values": [CARD]});
    let got = client_gets(&worker(&document), &json_response(body));
    assert_eq!(hidden(got.text()), 31);
}

fn sha256(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn shadow_rules_change_nothing() {
    let world = World::new();
    let mut document = cards("response.body", json!("drop"));
    document["shadow"] = json!(true);
    let worker = Worker::<Dlp>::new(&world, document);
    let response = json_response(format!("{{\"card\":\"{CARD}\"}}")).with("etag", "\"a\"");
    assert_eq!(run(&worker, &Message::get("/"), &response).answer(), &response);
    assert_eq!(world.metric("meshgate.dlp.shadow.payment"), 1);
    assert_eq!(world.metric("meshgate.dlp.drop.payment"), 0);
}
