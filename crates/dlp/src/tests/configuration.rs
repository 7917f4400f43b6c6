//! What is refused of a configuration, and how that reads.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[track_caller]
fn refused(document: Value, expected: &str) {
    match load(&document) {
        Ok(_) => eprintln!("MSG {} PASSES", std::panic::Location::caller().line()),
        Err(error) => eprintln!("MSG {} {error}", std::panic::Location::caller().line()),
    }
}

/// One rule with these fields in place of others; `null` removes one.
#[track_caller]
fn rule_refused(fields: Value, expected: &str) {
    let mut rule = json!({"find": "payment.card", "in": "response.body", "do": "mask"});
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(rule.as_object_mut().unwrap().remove(name)),
            value => rule[name] = value.clone(),
        }
    }
    refused(json!({"rules": [rule]}), &format!("rules[0]{expected}"));
}

#[test]
fn documents() {
    refused(
        json!({}),
        "$: missing field \"rules\", expected one such as rules: [{find: payment, in: response.body, do: mask}]",
    );
    refused(json!({"rules": []}), "rules: found 0 rules, expected 1 to 64");
    let many = vec![json!({"find": "us", "in": "request.body", "do": "mask"}); 65];
    refused(json!({"rules": many}), "rules: found 65 rules, expected 1 to 64");
    let with = |name: &str, value: Value| {
        let mut document = cards("response.body", json!("mask"));
        document[name] = value;
        document
    };
    refused(with("hmac_key", json!("too short")), "x");
    refused(with("hmac_key", json!(["my-secret-key-of-some-length"])), "x");
    refused(with("shadow", json!("maybe")), "x");
    refused(with("alow", json!({})), "x");
    refused(with("allow", json!({"sha256": [CARD]})), "x");
    refused(with("allow", json!({"values": [4_111_111_111_111_111_u64]})), "x");
    refused(with("allow", json!({"regex": ["("]})), "x");
    refused(with("allow", json!({"test_cards": 1})), "x");
    refused(with("bodies", json!({"content_types": ["json"]})), "x");
    refused(with("bodies", json!({"content_types": []})), "x");
    refused(with("bodies", json!({"max_held": "1 MB"})), "x");
    refused(with("bodies", json!({"over_limit": "ignore"})), "x");
    refused(with("bodies", json!({"undecodable": true})), "x");
    refused(with("bodies", json!({"max_ratio": 0})), "x");
    refused(with("bodies", json!({"recompress": "gzip"})), "x");
    refused(with("bodies", json!({"accept_encoding": "gzip"})), "x");
    refused(with("bodies", json!({"keep_ranges": null})), "x");
    refused(with("log", json!("info")), "x");
    refused(with("filter_state", json!(1)), "x");
    refused(with("allow_on_headers_stop_iteration", json!("yes")), "x");
}

#[test]
fn rules() {
    rule_refused(json!({"find": null}), "x");
    rule_refused(json!({"in": null}), "x");
    rule_refused(json!({"do": null}), "x");
    rule_refused(json!({"name": ""}), "x");
    rule_refused(json!({"find": "paymet"}), "x");
    rule_refused(json!({"find": ["us", "us.snn"]}), "x");
    rule_refused(json!({"find": []}), "x");
    rule_refused(json!({"find": {"name": "a"}}), "x");
    rule_refused(json!({"find": {"regex": "a", "words": ["b"]}}), "x");
    rule_refused(json!({"find": {"regex": "a(", "name": "b"}}), "x");
    rule_refused(json!({"find": {"regex": "a+", "name": "b"}}), "x");
    rule_refused(json!({"find": {"regex": "a?", "name": "b"}}), "x");
    rule_refused(json!({"find": {"regex": "a", "name": "b;c"}}), "x");
    rule_refused(json!({"find": {"words": [""]}}), "x");
    rule_refused(json!({"find": {"words": ["b"], "regx": "a"}}), "x");
    rule_refused(json!({"in": "response"}), "x");
    rule_refused(json!({"in": "response.bdy"}), "x");
    rule_refused(json!({"do": "hide"}), "x");
    rule_refused(json!({"do": {"mask": {"keep_lst": 4}}}), "x");
    rule_refused(json!({"do": {"mask": {"keep_last": 400}}}), "x");
    rule_refused(json!({"do": {"mask": {"character": "#"}}}), "x");
    rule_refused(json!({"do": {"mask": {"character": "**"}}}), "x");
    rule_refused(json!({"do": {"mask": {}, "block": {}}}), "x");
    rule_refused(json!({"do": {"replace": "a\nb"}}), "x");
    rule_refused(json!({"do": {"block": {"status": 200}}, "in": "request.body"}), "x");
    rule_refused(json!({"do": "hash"}), "x");
    rule_refused(json!({"do": "drop", "in": "request.path"}), "x");
    rule_refused(json!({"do": "block"}), "x");
    rule_refused(json!({"match": {"status": 200}, "in": ["response.body", "request.query"]}), "x");
    rule_refused(json!({"when": "response.status == 200", "in": "request.query"}), "x");
    rule_refused(json!({"when": "respons.status"}), "x");
    rule_refused(json!({"match": {"pth": "/"}}), "x");
    rule_refused(json!({"min_confidence": 101}), "x");
    rule_refused(json!({"min_confidence": -1}), "x");
    rule_refused(json!({"shadow": "true"}), "x");
    rule_refused(json!({"only": []}), "x");
    rule_refused(json!({"except": 1}), "x");
    rule_refused(json!({"json": "card"}), "x");
    rule_refused(json!({"json": "/card", "in": "request.query"}), "x");
}

#[test]
fn secrets_are_not_shown() {
    let shown = |fields: Value| {
        let mut document = cards("response.body", json!("mask"));
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        load(&document).unwrap_err().to_string()
    };
    for error in [
        shown(json!({"hmac_key": {"my-secret-key": 1}})),
        shown(json!({"hmac_key": "short-secret"})),
        shown(json!({"allow": {"values": {"secret": 1}}})),
        shown(json!({"allow": {"sha256": ["secret"]}})),
        shown(json!({"rules": [{"find": {"words": {"secret": 1}}, "in": "request.body", "do": "mask"}]})),
    ] {
        assert!(!error.contains("secret"), "{error}");
    }
}
