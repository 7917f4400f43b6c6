//! What passes, as which value; and the schema that says the same.

use super::*;
use crate::config::schema;
use serde::Serialize;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_whole_configuration() {
    let config = load(
        r#"{
            "keys_from": ["x-api-key", {"query": "api_key", "max_len": 64}],
            "plans": {"free": {"limits": [{"name": "burst", "rate": "5/s"}]}, "none": {}},
            "consumers": [{"name": "acme", "plan": "free", "keys": [
                {"id": "acme-1", "sha256": "9f86d081", "uses": 3, "labels": {"a": 1}, "kind": "deny", "rotate": "30d"}
            ]}],
            "action": {"mask": {"keep_last": 4}},
            "statuses": {"404": "gone", "503": "later"},
            "by_action": {"deny": 1, "allow": 2},
            "timeout": "1h30m", "max_body": "64KiB", "share": "12.5%", "ratio": 2,
            "methods": "GET", "sources": [{"query": "q"}, "h"],
            "pair": [1, "a"], "triple": [1, 2, 3], "enabled": true, "letter": "é",
            "address": "::1", "nothing": null, "ignored": [{"a": 1}], "free": {"a": [1, 2.5, null]},
            "even": 4, "header": "abc", "headers": {"a": "b"}, "secret": 2, "one_key": {"k": 1}, "burst": 1
        }"#,
    )
    .unwrap();
    let full = Source::Full(FullSource { query: "api_key".to_owned(), max_len: Some(64) });
    assert_eq!(config.keys_from, [Source::Header("x-api-key".to_owned()), full]);
    assert_eq!(config.plans["free"].limits[0].rate, "5/s".parse().unwrap());
    assert_eq!(config.plans["free"].limits[0].name, "burst");
    assert!(config.plans["none"].limits.is_empty());
    let consumer = &config.consumers[0];
    assert_eq!((consumer.name.as_str(), consumer.plan.as_str()), ("acme", "free"));
    let key = &consumer.keys[0];
    assert_eq!((key.id.as_str(), key.sha256.0.as_str(), key.uses), ("acme-1", "9f86d081", Some(3)));
    assert_eq!((key.labels["a"], key.kind, key.rotate), (1, Some(Keyword::Deny), "30d".parse().ok()));
    assert_eq!(config.action, Some(Action::Mask(Mask { keep_last: 4 })));
    assert_eq!(config.statuses, BTreeMap::from([(404, "gone".to_owned()), (503, "later".to_owned())]));
    assert_eq!(config.by_action, BTreeMap::from([(Keyword::Deny, 1), (Keyword::Allow, 2)]));
    assert_eq!(config.timeout.unwrap().as_millis(), 5_400_000);
    assert_eq!(config.max_body.unwrap().bytes(), 65_536);
    assert_eq!(config.share.unwrap().hundredths(), 1_250);
    assert_eq!(config.ratio, Some(2.0));
    assert_eq!(&config.methods.unwrap()[..], ["GET".to_owned()]);
    assert_eq!(config.sources.unwrap()[1], Source::Header("h".to_owned()));
    assert_eq!((config.pair, config.triple), (Some((1, "a".to_owned())), Some([1, 2, 3])));
    assert_eq!((config.letter, config.address), (Some('é'), "::1".parse().ok()));
    assert_eq!((config.nothing, config.ignored.is_some()), ((), true));
    assert_eq!(config.free, serde_json::json!({"a": [1, 2.5, null]}));
    assert_eq!((config.even.unwrap().0, config.secret.unwrap().0), (4, 2));
    assert_eq!((config.header, config.headers.len()), (Some(Header("abc".to_owned())), 1));
    assert_eq!((config.one_key.unwrap().0, config.burst.unwrap().get()), ("k".to_owned(), 1));
}

#[test]
fn doubles_without_a_fraction_are_integers() {
    for (document, tiny, signed, big, bigger) in [
        (
            r#"{"tiny": 1e1, "signed": -5.0, "big": 1e+15, "bigger": -1E+15}"#,
            10,
            -5,
            1_000_000_000_000_000,
            -1_000_000_000_000_000,
        ),
        (
            r#"{"tiny": 10000.0e-3, "signed": -0.0, "big": 9007199254740992.0, "bigger": -9.007199254740992e15}"#,
            10,
            0,
            1 << 53,
            -(1 << 53),
        ),
        (
            r#"{"tiny": 255, "signed": -32768, "big": 18446744073709551615, "bigger": -9223372036854775808}"#,
            255,
            i16::MIN,
            u64::MAX,
            i64::MIN,
        ),
    ] {
        let config = load(document).unwrap();
        assert_eq!((config.tiny, config.signed, config.big, config.bigger), (tiny, signed, big, bigger));
    }
    let config =
        load(r#"{"ratio": 3.0, "max_body": 1.024e3, "share": 12.5, "statuses": {"404": "x"}}"#).unwrap();
    assert_eq!((config.ratio, config.max_body.unwrap().bytes()), (Some(3.0), 1_024));
    assert_eq!(config.share.unwrap().to_string(), "12.5%");
    assert_eq!(load(r#"{"share": 50.0}"#).unwrap().share.unwrap().hundredths(), 5_000);
}

#[test]
fn options_and_enums_have_their_forms() {
    assert!(load("{}").unwrap().action.is_none());
    assert!(load(r#"{"action": null, "timeout": null}"#).unwrap().action.is_none());
    for (document, action) in [
        (r#"{"action": "block"}"#, Action::Block),
        (r#"{"action": {"block": null}}"#, Action::Block),
        (r#"{"action": {"replace": {"with": "x"}}}"#, Action::Replace { with: "x".to_owned() }),
        (r#"{"action": {"range": [1, 2]}}"#, Action::Range(1, 2)),
    ] {
        assert_eq!(load(document).unwrap().action, Some(action), "{document}");
    }
}

#[test]
fn one_is_a_list_of_one() {
    for (document, expected) in [
        (r#"{"methods": "GET"}"#, vec!["GET"]),
        (r#"{"methods": ["GET"]}"#, vec!["GET"]),
        (r#"{"methods": ["GET", "HEAD"]}"#, vec!["GET", "HEAD"]),
    ] {
        let methods = load(document).unwrap().methods.unwrap();
        assert_eq!(methods.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert_eq!((&methods).into_iter().count(), expected.len());
        assert_eq!(methods.clone().into_iter().collect::<Vec<_>>(), methods.into_vec());
    }
    assert_eq!(&OneOrMany::from(5)[..], [5]);
}

#[test]
fn the_schema_is_strict_where_reading_is() {
    let schema = schema::<Config>("https://meshgate.dev/config.schema.json", "Test policy");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["$id"], "https://meshgate.dev/config.schema.json");
    assert_eq!(schema["title"], "Test policy");
    assert_eq!(schema["additionalProperties"], false);
    let definitions = &schema["$defs"];
    assert_eq!(definitions["Consumer"]["additionalProperties"], false);
    assert_eq!(definitions["Consumer"]["required"], serde_json::json!(["name", "plan", "keys"]));
    assert_eq!(definitions["Limit"]["properties"]["rate"]["$ref"], "#/$defs/Rate");
    let methods = &schema["properties"]["methods"]["anyOf"];
    let list = serde_json::json!({"type": "array", "items": {"type": "string"}, "minItems": 1});
    assert_eq!(methods[0]["anyOf"][1], list);
}

#[test]
fn the_examples_of_the_units_are_what_they_read_and_match_their_patterns() {
    fn check<T: JsonSchema + serde::de::DeserializeOwned + Serialize>(wrong: &[&str]) {
        let schema = schema::<T>("https://meshgate.dev/unit", "unit");
        let pattern = regex::Regex::new(schema["pattern"].as_str().unwrap()).unwrap();
        for example in schema["examples"].as_array().unwrap() {
            let value: T = serde_json::from_value(example.clone()).unwrap();
            let written = serde_json::to_value(&value).unwrap();
            assert!(pattern.is_match(written.as_str().unwrap()), "{written}");
            assert!(example.as_str().is_none_or(|text| pattern.is_match(text)), "{example}");
            let again: T = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(&again).unwrap(), written);
        }
        for text in wrong {
            assert!(!pattern.is_match(text), "{text}");
            assert!(serde_json::from_value::<T>((*text).into()).is_err(), "{text}");
        }
    }
    check::<Duration>(&["30", "30 s", "1.5h", "-1s", "30m1h", "1w"]);
    check::<Size>(&["", "1 MiB", "1KB", "1.5MiB", "-1"]);
    check::<Rate>(&["100", "0/s", "1/", "1/S", "-1/s", "1/mo"]);
    check::<Percent>(&["50", "101%", "1.234%", "-1%", "%"]);
}
