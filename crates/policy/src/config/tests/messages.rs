//! One line for each way to be wrong.

use super::*;
use crate::config::{MAX_SIZE, Parts, Path, Step, from_value};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn check(cases: &[(&str, &str)]) {
    let wrong: Vec<_> = cases
        .iter()
        .map(|(document, expected)| (document, expected, message(document.as_bytes())))
        .filter(|(_, expected, found)| found != **expected)
        .map(|(document, expected, found)| format!("{document}\n  expected {expected}\n  found    {found}\n"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

const CONFIG_FIELDS: &str = r#"one of "keys_from", "plans", "consumers", "action", "statuses", "by_action", "timeout", "max_body", "share", "ratio", "methods", "sources", "pair", "triple", "enabled", "tiny", "signed", "big", "bigger", "burst" and 10 more"#;

#[test]
fn names() {
    check(&[
        (
            r#"{"plan": {}}"#,
            &format!(r#"$: found unknown field "plan", expected {CONFIG_FIELDS}: did you mean "plans"?"#),
        ),
        (r#"{"zebra": 1}"#, &format!(r#"$: found unknown field "zebra", expected {CONFIG_FIELDS}"#)),
        (
            r#"{"plans": {"free": {"limts": []}}}"#,
            r#"plans.free: found unknown field "limts", expected "limits": did you mean "limits"?"#,
        ),
        (
            r#"{"consumers": [{"Name": "a"}]}"#,
            r#"consumers[0]: found unknown field "Name", expected one of "name", "plan", "keys": did you mean "name"?"#,
        ),
        (
            r#"{"plans": {"free": {"limits": [{"rate": "5/s", "burst": 1}]}}}"#,
            r#"plans.free.limits[0]: found unknown field "burst", expected one of "name", "rate""#,
        ),
        (
            r#"{"plans": {"free-tier": {"true": 1}}}"#,
            r#"plans.free-tier: found unknown field "true", expected "limits": YAML reads an unquoted y, n, yes, no, on or off as a boolean, keys too"#,
        ),
        (
            r#"{"plans": {"a": {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n": 1}}}"#,
            r#"plans.a: found unknown field "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…", expected "limits""#,
        ),
        (
            r#"{"consumers": [{"plan": "gold", "keys": []}]}"#,
            r#"consumers[0]: missing field "name", expected one such as name: acme"#,
        ),
        (
            r#"{"consumers": [{"name": "a", "keys": []}]}"#,
            r#"consumers[0]: missing field "plan", expected one such as plan: gold"#,
        ),
        (
            r#"{"consumers": [{}, 1]}"#,
            r#"consumers[0]: missing field "name", expected one such as name: acme"#,
        ),
        (
            r#"{"plans": {"a b": {"limits": [{"name": "x"}]}}}"#,
            r#"plans["a b"].limits[0]: missing field "rate""#,
        ),
        (r#"{"tiny": 1, "tiny": 1}"#, r#"$: found the key "tiny" more than once, expected each key once"#),
        (
            r#"{"plans": {"free": {}, "gold": {}, "free": {}}}"#,
            r#"plans: found the key "free" more than once, expected each key once"#,
        ),
        (
            r#"{"ignored": [0, {"a": {"b": 1, "b": 1}}]}"#,
            r#"ignored[1].a: found the key "b" more than once, expected each key once"#,
        ),
        (
            r#"{"free": {"a": {"b": 1, "b": 1}}}"#,
            r#"free.a: found the key "b" more than once, expected each key once"#,
        ),
        (
            r#"{"action": {"block": null, "block": null}}"#,
            r#"action: found the key "block" more than once, expected each key once"#,
        ),
        (
            r#"{"consumers": [{"name": "a", "keys": [{"id": "1", "id": "1"}]}]}"#,
            r#"consumers[0].keys[0]: found the key "id" more than once, expected each key once"#,
        ),
    ]);
}

#[test]
fn types() {
    let quote = "YAML reads an unquoted y, n, yes, no, on or off as a boolean: quote it";
    let leave_out = "give it a value or leave the field out";
    check(&[
        (
            r#"{"enabled": "true"}"#,
            r#"enabled: found "true", expected true or false: write it without quotes"#,
        ),
        (r#"{"enabled": "yes"}"#, r#"enabled: found "yes", expected true or false"#),
        (r#"{"enabled": 1}"#, "enabled: found 1, expected true or false"),
        (r#"{"enabled": null}"#, &format!("enabled: found null, expected true or false: {leave_out}")),
        (r#"{"consumers": {"name": "a"}}"#, "consumers: found an object with 1 key, expected a list"),
        (r#"{"consumers": "acme"}"#, r#"consumers: found "acme", expected a list"#),
        (r#"{"consumers": null}"#, &format!("consumers: found null, expected a list: {leave_out}")),
        (
            r#"{"consumers": ["acme"]}"#,
            r#"consumers[0]: found "acme", expected an object with "name", "plan", "keys""#,
        ),
        (
            r#"{"consumers": [["acme", "gold", []]]}"#,
            r#"consumers[0]: found a list of 3, expected an object with "name", "plan", "keys""#,
        ),
        (r#"{"plans": []}"#, "plans: found an empty list, expected an object"),
        (
            r#"{"plans": {"free": []}}"#,
            r#"plans.free: found an empty list, expected an object with "limits""#,
        ),
        (
            r#"{"plans": {"free": null}}"#,
            &format!(r#"plans.free: found null, expected an object with "limits": {leave_out}"#),
        ),
        (
            r#"{"consumers": [{"name": false}]}"#,
            &format!("consumers[0].name: found false, expected a string: {quote}"),
        ),
        (r#"{"consumers": [{"name": 12}]}"#, "consumers[0].name: found 12, expected a string: quote it"),
        (r#"{"consumers": [{"name": {}}]}"#, "consumers[0].name: found an empty object, expected a string"),
        (r#"{"consumers": [{"name": [1]}]}"#, "consumers[0].name: found a list of 1, expected a string"),
        (r#"{"methods": [true]}"#, &format!("methods[0]: found true, expected a string: {quote}")),
        (r#"{"methods": []}"#, "methods: found an empty list, expected at least one element"),
        (r#"{"methods": 5}"#, "methods: found 5, expected a string: quote it"),
        (
            r#"{"methods": ["GET", {"a": 1, "b": 2}]}"#,
            "methods[1]: found an object with 2 keys, expected a string",
        ),
        (
            r#"{"sources": [{"query": "a"}, {"query": 7}]}"#,
            "sources[1].query: found 7, expected a string: quote it",
        ),
        (
            r#"{"sources": {"qery": "a"}}"#,
            r#"sources: found unknown field "qery", expected one of "query", "max_len": did you mean "query"?"#,
        ),
        (
            r#"{"keys_from": [true]}"#,
            &format!(
                "keys_from[0]: found true, expected a string (a header name) or an object such as {{query: api_key}}: {quote}"
            ),
        ),
        (
            r#"{"keys_from": ["x-api-key", {"query": "a", "max_len": 300}]}"#,
            "keys_from[1].max_len: found 300, expected a whole number from 0 to 255",
        ),
        (r#"{"keys_from": [{}]}"#, r#"keys_from[0]: missing field "query""#),
        (r#"{"letter": "ab"}"#, r#"letter: found "ab", expected a string of 1 character"#),
        (r#"{"nothing": 0}"#, "nothing: found 0, expected null"),
        (r#"{"pair": [1]}"#, "pair: found a list of 1, expected a list of 2"),
        (r#"{"pair": [1, "a", 2]}"#, "pair: found a list of 3, expected a list of 2"),
        (r#"{"pair": [1, 2]}"#, "pair[1]: found 2, expected a string: quote it"),
        (r#"{"triple": [1, 2, 3, 4]}"#, "triple: found a list of 4, expected a list of 3"),
        (r#"{"one_key": {}}"#, "one_key: found an empty object, expected an object with one key"),
        (
            r#"{"one_key": {"a": 1, "b": 2}}"#,
            "one_key: found an object with 2 keys, expected an object with 1 key",
        ),
        (r#"{"address": "10.0.0.256"}"#, r#"address: invalid IP address syntax, found "10.0.0.256""#),
        (r#"{"address": 10}"#, "address: found 10, expected IP address: quote it"),
        (r#"{"even": 3}"#, "even: 3 is odd"),
        (r#"{"header": "a b"}"#, r#"header: not a header name, found "a b""#),
        (r#"{"headers": {"a b": "c"}}"#, r#"headers["a b"]: not a header name, found the key "a b""#),
        (r#"{"headers": {"ab": 1}}"#, "headers.ab: found 1, expected a string: quote it"),
        (
            r#"{"statuses": {"2xx": "fine"}}"#,
            r#"statuses["2xx"]: found "2xx", expected a whole number from 0 to 65535"#,
        ),
        (
            r#"{"statuses": {"70000": "fine"}}"#,
            r#"statuses["70000"]: found 70000, expected a whole number from 0 to 65535"#,
        ),
        (
            r#"{"by_action": {"alow": 1}}"#,
            r#"by_action: found "alow", expected one of "allow", "deny": did you mean "allow"?"#,
        ),
        (
            r#"{"consumers": [{"name": "\u0007\u202e'\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "plan": []}]}"#,
            "consumers[0].plan: found an empty list, expected a string",
        ),
        (
            r#"{"enabled": "\u0007\n'\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#,
            r#"enabled: found "\u{7}\n'\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…", expected true or false"#,
        ),
    ]);
}

#[test]
fn numbers() {
    let inexact = "numbers beyond 9007199254740992 lose digits on the way through Envoy";
    let whole = "a whole number from -9223372036854775808 to 9223372036854775807";
    check(&[
        (r#"{"tiny": 1.5}"#, "tiny: found the fraction 1.5, expected a whole number from 0 to 255"),
        (r#"{"tiny": 256}"#, "tiny: found 256, expected a whole number from 0 to 255"),
        (r#"{"tiny": 2.56e2}"#, "tiny: found 256, expected a whole number from 0 to 255"),
        (r#"{"tiny": -1}"#, "tiny: found -1, expected a whole number from 0 to 255"),
        (r#"{"tiny": -1.0}"#, "tiny: found -1, expected a whole number from 0 to 255"),
        (
            r#"{"tiny": "10"}"#,
            r#"tiny: found "10", expected a whole number from 0 to 255: write it without quotes"#,
        ),
        (r#"{"tiny": "ten"}"#, r#"tiny: found "ten", expected a whole number from 0 to 255"#),
        (r#"{"tiny": true}"#, "tiny: found true, expected a whole number from 0 to 255"),
        (r#"{"signed": 40000}"#, "signed: found 40000, expected a whole number from -32768 to 32767"),
        (r#"{"big": -5}"#, "big: found -5, expected a whole number, 0 or more"),
        (r#"{"big": 0.1}"#, "big: found the fraction 0.1, expected a whole number, 0 or more"),
        (r#"{"big": 1e20}"#, &format!("big: found 1e20, expected a whole number, 0 or more: {inexact}")),
        (
            r#"{"big": 18446744073709551616}"#,
            &format!("big: found 1.8446744073709552e19, expected a whole number, 0 or more: {inexact}"),
        ),
        (
            r#"{"big": 9.007199254740994e15}"#,
            &format!("big: found 9007199254740994.0, expected a whole number, 0 or more: {inexact}"),
        ),
        (r#"{"bigger": -1e300}"#, &format!("bigger: found -1e300, expected {whole}: {inexact}")),
        (
            r#"{"bigger": 9223372036854775808}"#,
            &format!("bigger: found 9223372036854775808, expected {whole}"),
        ),
        (r#"{"burst": 0}"#, "burst: found 0, expected a whole number from 1 to 4294967295"),
        (r#"{"ratio": "0.5"}"#, r#"ratio: found "0.5", expected a number: write it without quotes"#),
        (
            r#"{"big": 1e999}"#,
            "$: found invalid JSON at line 1, column 13 (a number out of range), expected at most 1.7e308",
        ),
        (r#"{"big": NaN}"#, "$: found invalid JSON at line 1, column 9 (no value), expected a value"),
    ]);
}

#[test]
fn units() {
    let duration = "a duration with its unit, such as 500ms, 30s, 5m, 1h30m or 7d";
    let size = "a size such as 512B, 10kB, 64KiB, 1MiB or 1GiB, or a whole number of bytes";
    let percent = "a percentage from 0 to 100 with at most two decimals, such as 25 or 12.5%";
    check(&[
        (r#"{"timeout": 30}"#, &format!("timeout: found 30, expected {duration}")),
        (r#"{"timeout": "30"}"#, &format!(r#"timeout: found "30", expected {duration}"#)),
        (r#"{"timeout": 1.5}"#, &format!("timeout: found 1.5, expected {duration}")),
        (r#"{"timeout": "5000d"}"#, r#"timeout: found "5000d", expected a duration of at most 3650d"#),
        (r#"{"timeout": true}"#, &format!("timeout: found true, expected {duration}")),
        (r#"{"max_body": "1 MB"}"#, &format!(r#"max_body: found "1 MB", expected {size}"#)),
        (
            r#"{"max_body": "1KB"}"#,
            r#"max_body: found "1KB", expected a size with the unit kB (1000 bytes) or KiB (1024 bytes)"#,
        ),
        (r#"{"max_body": 1.5}"#, &format!("max_body: found 1.5, expected {size}")),
        (r#"{"max_body": -1}"#, &format!("max_body: found -1, expected {size}")),
        (r#"{"share": 101}"#, &format!("share: found 101, expected {percent}")),
        (r#"{"share": "50"}"#, &format!(r#"share: found "50", expected {percent}"#)),
        (r#"{"share": 0.125}"#, &format!("share: found 0.125, expected {percent}")),
        (
            r#"{"plans": {"free": {"limits": [{"name": "burst", "rate": "5 per s"}]}}}"#,
            r#"plans.free.limits[0].rate: found "5 per s", expected a rate such as 5/s, 100/m, 10000/month or 1000/30s"#,
        ),
        (
            r#"{"plans": {"free": {"limits": [{"name": "burst", "rate": 5}]}}}"#,
            "plans.free.limits[0].rate: found 5, expected a rate such as 5/s, 100/m, 10000/month or 1000/30s",
        ),
        (
            r#"{"plans": {"free": {"limits": [{"name": "burst", "rate": "5/fortnight"}]}}}"#,
            r#"plans.free.limits[0].rate: found "5/fortnight", expected a rate per s, m, h, d, week, month, year or a duration such as 30s: 100/m, 1000/30s"#,
        ),
    ]);
}

#[test]
fn enums() {
    let known = r#"one of "block", "mask", "replace", "range""#;
    check(&[
        (
            r#"{"action": "blok"}"#,
            &format!(r#"action: found "blok", expected {known}: did you mean "block"?"#),
        ),
        (
            r#"{"action": {"msk": {}}}"#,
            &format!(r#"action: found "msk", expected {known}: did you mean "mask"?"#),
        ),
        (
            r#"{"action": {}}"#,
            &format!("action: found an empty object, expected an object whose one key is {known}"),
        ),
        (
            r#"{"action": {"mask": {}, "block": null}}"#,
            &format!("action: found an object with 2 keys, expected an object whose one key is {known}"),
        ),
        (r#"{"action": 5}"#, &format!("action: found 5, expected {known}: quote it")),
        (r#"{"action": ["block"]}"#, &format!("action: found a list of 1, expected {known}")),
        (
            r#"{"action": false}"#,
            &format!(
                "action: found false, expected {known}: YAML reads an unquoted y, n, yes, no, on or off as a boolean: quote it"
            ),
        ),
        (
            r#"{"action": "mask"}"#,
            r#"action: found "mask", expected an object with the key "mask" and what belongs to it"#,
        ),
        (
            r#"{"action": "replace"}"#,
            r#"action: found "replace", expected an object with the key "replace" and what belongs to it"#,
        ),
        (
            r#"{"action": {"block": {}}}"#,
            r#"action.block: found an empty object, expected nothing: write "block" alone, as a string"#,
        ),
        (
            r#"{"action": {"mask": {"keep_last": 4, "zebra": 1}}}"#,
            r#"action.mask: found unknown field "zebra", expected "keep_last""#,
        ),
        (r#"{"action": {"mask": 4}}"#, r#"action.mask: found 4, expected an object with "keep_last""#),
        (
            r#"{"action": {"mask": {"keep_last": "4"}}}"#,
            r#"action.mask.keep_last: found "4", expected a whole number from 0 to 255: write it without quotes"#,
        ),
        (
            r#"{"action": {"replace": {"wth": "x"}}}"#,
            r#"action.replace: found unknown field "wth", expected "with": did you mean "with"?"#,
        ),
        (r#"{"action": {"replace": {}}}"#, r#"action.replace: missing field "with""#),
        (r#"{"action": {"range": [1]}}"#, "action.range: found a list of 1, expected a list of 2"),
        (r#"{"action": {"range": [1, 2, 3]}}"#, "action.range: found a list of 3, expected a list of 2"),
        (
            r#"{"action": {"range": [1, "x"]}}"#,
            r#"action.range[1]: found "x", expected a whole number from 0 to 255"#,
        ),
    ]);
}

/// What Envoy hands over for a plugin without `configuration`.
#[test]
fn no_document_is_enough_where_nothing_is_required() {
    for nothing in ["", " \n\t"] {
        assert!(super::super::load::<Config>(nothing.as_bytes(), &OPTIONS).is_ok());
        let error = super::super::load::<Limit>(nothing.as_bytes(), &OPTIONS).unwrap_err().to_string();
        let expected = "$: found an empty document, expected a JSON object: the policy has no configuration";
        assert_eq!(error, expected);
    }
}

#[test]
fn documents() {
    let envoy = "Envoy takes a Struct, or a StringValue that holds JSON; YAML in a StringValue stays YAML";
    check(&[
        ("null", "$: found null, expected an object"),
        ("[]", "$: found an empty list, expected an object"),
        (r#""plans: {}""#, "$: found a string of 9 characters (not shown), expected an object"),
        ("5", "$: found a number (not shown), expected an object"),
        (
            "plans:\n  free: {}\n",
            &format!("$: found invalid JSON at line 1, column 1 (no value), expected a value: {envoy}"),
        ),
        (
            "\u{feff}{}",
            "$: found a byte order mark, expected a JSON object: save the document as UTF-8 without a byte order mark",
        ),
        ("{", "$: found invalid JSON at line 1, column 1 (it ends inside an object), expected `,` or `}`"),
        (
            "{\"tiny\":",
            "$: found invalid JSON at line 1, column 8 (it ends where a value starts), expected a value",
        ),
        (
            "{\"ti",
            "$: found invalid JSON at line 1, column 4 (it ends inside a string), expected a closing `\"`",
        ),
        (
            "{\"a\": [1",
            "$: found invalid JSON at line 1, column 8 (it ends inside a list), expected `,` or `]`",
        ),
        (
            "{\n \"tiny\": 1,\n}",
            "$: found invalid JSON at line 3, column 1 (a comma before the closing bracket), expected another entry or no comma",
        ),
        ("{\"tiny\" 1}", "$: found invalid JSON at line 1, column 9 (a wrong character), expected `:`"),
        (
            "{\"tiny\": 1 \"b\": 2}",
            "$: found invalid JSON at line 1, column 12 (a wrong character), expected `,` or `}`",
        ),
        (
            "{tiny: 1}",
            "$: found invalid JSON at line 1, column 2 (a key without quotes), expected a key in double quotes",
        ),
        (
            "{\"enabled\": tru}",
            "$: found invalid JSON at line 1, column 16 (an unknown word), expected true, false, null or a string in double quotes",
        ),
        (
            "{\"a\": \"\n\"}",
            "$: found invalid JSON at line 2, column 0 (a control character in a string), expected an escape such as \\n or \\t",
        ),
        (
            "{\"a\": \"\\x\"}",
            "$: found invalid JSON at line 1, column 9 (an unknown escape), expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u",
        ),
        (
            "{\"a\": 01}",
            "$: found invalid JSON at line 1, column 8 (a malformed number), expected a number such as 10 or 0.5",
        ),
        (
            "{} {}",
            "$: found invalid JSON at line 1, column 4 (text after the end of the document), expected nothing more",
        ),
    ]);
    assert_eq!(
        message(b"{\n\"a\": \"\xff\"}"),
        "$: found a byte that is not UTF-8 at line 2, column 7, expected JSON in UTF-8"
    );
    assert_eq!(
        message(b"\xff\xfe{\0}\0"),
        "$: found a byte that is not UTF-8 at line 1, column 1, expected JSON in UTF-8"
    );
    let huge = format!("{{\"free\": \"{}\"}}", "x".repeat(MAX_SIZE));
    let expected = format!("$: found a document of {} bytes, expected at most 16777216 (16 MiB)", huge.len());
    assert_eq!(message(huge.as_bytes()), expected);
}

#[test]
fn depth() {
    let nested = |depth: usize| format!("{{\"free\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let expected = "$: found lists and objects more than 64 deep, expected at most 64 inside each other";
    assert!(load(&nested(64)).is_ok());
    for depth in [65, 127, 128, 129, 100_000] {
        assert_eq!(message(nested(depth).as_bytes()), expected, "{depth}");
    }
    let objects = format!("{}{}", "{\"free\":".repeat(65), "}".repeat(65));
    assert_eq!(message(objects.as_bytes()), expected);
    let value = |depth| serde_json::from_str::<Value>(&nested(depth)).unwrap();
    assert!(from_value::<Config>(&value(64), &OPTIONS).is_ok());
    assert_eq!(from_value::<Config>(&value(65), &OPTIONS).unwrap_err().to_string(), expected);
}

#[test]
fn a_parsed_value_is_read_like_its_text() {
    let documents = [
        r#"{"tiny": 1.5}"#,
        r#"{"tiny": 2.56e2}"#,
        r#"{"bigger": -1e300}"#,
        r#"{"consumers": [{"name": false}]}"#,
        r#"{"plans": {"free": {"limts": []}}}"#,
        "[]",
        "null",
    ];
    for document in documents {
        let value: Value = serde_json::from_str(document).unwrap();
        let error = from_value::<Config>(&value, &OPTIONS).unwrap_err().to_string();
        assert_eq!(error, message(document.as_bytes()));
    }
    let value = serde_json::json!({"tiny": 10.0, "signed": -5, "big": u64::MAX, "free": [true, null, "x"]});
    let config: Config = from_value(&value, &OPTIONS).unwrap();
    assert_eq!((config.tiny, config.signed, config.big), (10, -5, u64::MAX));
    assert_eq!(config.free, serde_json::json!([true, null, "x"]));
}

/// For programs, which lead a reader to the place.
#[test]
fn an_error_tells_its_place_and_its_parts() {
    let error = |document: &str| load(document).unwrap_err();

    let unknown = error(r#"{"enabled": true, "plans": {"free": {"limits": [], "limts": []}}}"#);
    let free = Path::root().key("plans").key("free");
    assert_eq!((unknown.path(), unknown.entry()), (&free, Some(1)));
    assert_eq!(free.steps(), [&Step::Key("plans".to_owned()), &Step::Key("free".to_owned())]);
    let parts = Parts {
        problem: None,
        found: Some("unknown field \"limts\""),
        expected: Some("\"limits\""),
        hint: Some("did you mean \"limits\"?"),
    };
    assert_eq!(unknown.parts(), parts);

    let repeated = error(r#"{"tiny": 1, "enabled": true, "tiny": 1}"#);
    assert_eq!((repeated.path(), repeated.entry()), (&Path::root(), Some(2)));
    let value = error(r#"{"tiny": 1, "enabled": 1}"#);
    assert_eq!((value.path(), value.entry(), value.position()), (&Path::root().key("enabled"), None, None));
    assert_eq!(error("{\n\"tiny\": }").position(), Some((2, 9)));
}
