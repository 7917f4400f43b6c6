//! What is refused of a configuration, and how that reads.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[track_caller]
fn refused(document: Value, expected: &str) {
    match load(&document) {
        Ok(_) => panic!("passes, expected: {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
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

/// With these names: which ones there are is not for this test to say.
#[track_caller]
fn find_refused(find: Value, start: &str, end: &str) {
    let document = json!({"rules": [{"find": find, "in": "response.body", "do": "mask"}]});
    let error = load(&document).unwrap_err().to_string();
    assert!(error.starts_with(&format!("rules[0]{start}")) && error.ends_with(end), "{error}");
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
    refused(
        with("hmac_key", json!("too short")),
        "hmac_key: found a string of 9 characters (not shown), expected a key of 16 bytes or more",
    );
    refused(
        with("hmac_key", json!(["my-secret-key-of-some-length"])),
        "hmac_key: found a list of 1, expected a string",
    );
    refused(with("shadow", json!("maybe")), "shadow: found \"maybe\", expected true or false");
    refused(
        with("alow", json!({})),
        "$: found unknown field \"alow\", expected one of \"rules\", \"allow\", \"bodies\", \"hmac_key\", \"shadow\", \"log\", \"filter_state\", \"allow_on_headers_stop_iteration\": did you mean \"allow\"?",
    );
    refused(
        with("allow", json!({"sha256": [CARD]})),
        "allow.sha256[0]: found a string of 16 characters (not shown), expected the SHA-256 of the value as 64 hexadecimal digits: printf %s \"$VALUE\" | sha256sum",
    );
    refused(
        with("allow", json!({"values": [4_111_111_111_111_111_u64]})),
        "allow.values[0]: found a number (not shown), expected a string: quote it",
    );
    refused(
        with("allow", json!({"regex": ["("]})),
        "allow.regex[0]: found \"(\", expected a regular expression: unclosed group",
    );
    refused(with("allow", json!({"test_cards": 1})), "allow.test_cards: found 1, expected true or false");
    refused(
        with("bodies", json!({"content_types": ["json"]})),
        "bodies.content_types[0]: found \"json\", expected a media type like application/json, text/* or application/*+json, without parameters",
    );
    refused(
        with("bodies", json!({"content_types": []})),
        "bodies.content_types: found an empty list, expected at least one element",
    );
    refused(
        with("bodies", json!({"max_held": "1 MB"})),
        "bodies.max_held: found \"1 MB\", expected a size such as 512B, 10kB, 64KiB, 1MiB or 1GiB, or a whole number of bytes",
    );
    refused(
        with("bodies", json!({"over_limit": "ignore"})),
        "bodies.over_limit: found \"ignore\", expected one of \"block\", \"pass\"",
    );
    refused(
        with("bodies", json!({"undecodable": true})),
        "bodies.undecodable: found true, expected one of \"block\", \"pass\": YAML reads an unquoted y, n, yes, no, on or off as a boolean: quote it",
    );
    refused(with("bodies", json!({"max_ratio": 0})), "bodies.max_ratio: found 0, expected 1 or more");
    refused(
        with("bodies", json!({"recompress": "gzip"})),
        "bodies.recompress: found \"gzip\", expected true or false",
    );
    refused(
        with("bodies", json!({"accept_encoding": "gzip"})),
        "bodies.accept_encoding: found \"gzip\", expected one of \"decodable\", \"identity\", \"keep\"",
    );
    refused(
        with("bodies", json!({"keep_ranges": null})),
        "bodies.keep_ranges: found null, expected true or false: give it a value or leave the field out",
    );
    refused(with("log", json!("info")), "log: found \"info\", expected true or false");
    refused(with("filter_state", json!(1)), "filter_state: found 1, expected true or false");
    refused(
        with("allow_on_headers_stop_iteration", json!("yes")),
        "allow_on_headers_stop_iteration: found \"yes\", expected true or false",
    );
}

#[test]
fn rules() {
    rule_refused(
        json!({"find": null}),
        ": missing field \"find\", expected one such as find: [payment, us.ssn]",
    );
    rule_refused(
        json!({"in": null}),
        ": missing field \"in\", expected one such as in: [request.body, response.body]",
    );
    rule_refused(
        json!({"do": null}),
        ": missing field \"do\", expected one such as do: {mask: {keep_last: 4}}",
    );
    rule_refused(json!({"name": ""}), ".name: found \"\", expected 1 to 128 printable ASCII characters");
    find_refused(
        json!("paymet"),
        ".find: found \"paymet\", expected one of \"payment\", ",
        "did you mean \"payment\"?",
    );
    find_refused(
        json!(["us", "us.snn"]),
        ".find[1]: found \"us.snn\", expected one of ",
        "did you mean \"us.ssn\"?",
    );
    rule_refused(json!({"find": []}), ".find: found an empty list, expected at least one element");
    rule_refused(
        json!({"find": {"name": "a"}}),
        ".find: found neither or both, expected either regex or words",
    );
    rule_refused(
        json!({"find": {"regex": "a", "words": ["b"]}}),
        ".find: found neither or both, expected either regex or words",
    );
    rule_refused(
        json!({"find": {"regex": "a(", "name": "b"}}),
        ".find.regex: not a regular expression: unclosed group, found \"a(\"",
    );
    rule_refused(
        json!({"find": {"regex": "a+", "name": "b"}}),
        ".find.regex: has no longest match: write a bound, such as {1,64}, instead of +, * or {1,}; a match has at most 1024 bytes, found \"a+\"",
    );
    rule_refused(
        json!({"find": {"regex": "a?", "name": "b"}}),
        ".find.regex: matches the empty text, which is everywhere, found \"a?\"",
    );
    rule_refused(
        json!({"find": {"regex": "a", "name": "b;c"}}),
        ".find.name: found \"b;c\", expected 1 to 64 letters, digits, spaces, _, - and .",
    );
    rule_refused(
        json!({"find": {"words": [""]}}),
        ".find.words[0]: found an empty word, expected a word of one letter or more",
    );
    rule_refused(
        json!({"find": {"words": ["b"], "regx": "a"}}),
        ".find: found unknown field \"regx\", expected one of \"regex\", \"words\", \"case_sensitive\", \"name\": did you mean \"regex\"?",
    );
    for (wrong, meant) in [
        ("response", "response.body"),
        ("request", "request.body"),
        ("body", "request.body"),
        ("headers", "request.headers"),
        ("query", "request.query"),
        ("response.bdy", "response.body"),
    ] {
        rule_refused(
            json!({"in": wrong}),
            &format!(
                ".in: found {wrong:?}, expected one of \"request.body\", \"request.headers\", \"request.cookies\", \"request.query\", \"request.path\", \"response.body\", \"response.headers\", \"response.cookies\": did you mean {meant:?}?"
            ),
        );
    }
    rule_refused(
        json!({"do": "hide"}),
        ".do: found \"hide\", expected mask, replace, hash, drop, block or report, or an object with one of mask, replace, block and its options",
    );
    rule_refused(
        json!({"do": {"mask": {"keep_lst": 4}}}),
        ".do.mask: found unknown field \"keep_lst\", expected one of \"keep_first\", \"keep_last\", \"character\": did you mean \"keep_last\"?",
    );
    rule_refused(
        json!({"do": {"mask": {"keep_last": 400}}}),
        ".do.mask.keep_last: found 400, expected a whole number from 0 to 255",
    );
    rule_refused(
        json!({"do": {"mask": {"character": "#"}}}),
        ".do.mask.character: found \"#\", expected one character: *, -, ., _, ~, a letter or a digit",
    );
    rule_refused(
        json!({"do": {"mask": {"character": "**"}}}),
        ".do.mask.character: found \"**\", expected one character: *, -, ., _, ~, a letter or a digit",
    );
    rule_refused(
        json!({"do": {"mask": {}, "block": {}}}),
        ".do: found an object with 2 keys, expected mask, replace, hash, drop, block or report, or an object with one of mask, replace, block and its options",
    );
    rule_refused(
        json!({"do": {"replace": "a\nb"}}),
        ".do.replace: found \"a\\nb\", expected at most 1024 bytes without control characters",
    );
    rule_refused(
        json!({"do": {"block": {"status": 200}}, "in": "request.body"}),
        ".do.block.status: found 200, expected 400 to 599",
    );
    rule_refused(
        json!({"do": "hash"}),
        ".do: found \"hash\", expected hmac_key beside rules: without a key the values could be tried out",
    );
    rule_refused(
        json!({"do": "drop", "in": "request.path"}),
        ".do: found \"drop\", expected mask, replace, hash, block or report: of a path nothing can be dropped",
    );
    rule_refused(
        json!({"do": "block"}),
        ".do: found block for response.body, expected allow_on_headers_stop_iteration: true, here and in the filter's Envoy configuration: the head of a response has to wait for its body, or its status can't change any more",
    );
    rule_refused(
        json!({"match": {"status": 200}, "in": ["response.body", "request.query"]}),
        ": found a condition on the response for request.query, expected conditions on the request only: requests are decided on before there is a response",
    );
    rule_refused(
        json!({"when": "response.status == 200", "in": "request.query"}),
        ": found a condition on the response for request.query, expected conditions on the request only: requests are decided on before there is a response",
    );
    rule_refused(
        json!({"when": "body.card == 1", "in": "request.body"}),
        ".when: found a condition on the body, expected conditions on heads only: bodies are looked into as they pass",
    );
    rule_refused(
        json!({"when": "respons.status"}),
        ".when: found the unknown variable \"respons\", expected one of body, consumer, now, path, request, response: did you mean response? (column 1, at \"respons.status\")",
    );
    rule_refused(
        json!({"match": {"pth": "/"}}),
        ".match: found unknown field \"pth\", expected one of \"method\", \"host\", \"path\", \"query\", \"header\", \"cookie\", \"status\", \"content_type\", \"percent\": did you mean \"path\"?",
    );
    rule_refused(json!({"min_confidence": 101}), ".min_confidence: found 101, expected 0 to 100");
    rule_refused(
        json!({"min_confidence": -1}),
        ".min_confidence: found -1, expected a whole number from 0 to 255",
    );
    rule_refused(
        json!({"shadow": "true"}),
        ".shadow: found \"true\", expected true or false: write it without quotes",
    );
    rule_refused(json!({"only": []}), ".only: found an empty list, expected at least one element");
    rule_refused(json!({"except": 1}), ".except: found 1, expected a string: quote it");
    rule_refused(
        json!({"json": "card"}),
        ".json: `card` is no path: expected `/` or `$` at its begin, found `c`: write `/card` or `$.card`, found \"card\"",
    );
    rule_refused(
        json!({"json": "/card", "in": "request.query"}),
        ".json: found JSON paths for a place that is no body, expected only request.body and response.body in this rule",
    );
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
