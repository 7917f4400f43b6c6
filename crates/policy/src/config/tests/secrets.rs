//! Nothing below a sensitive key is shown, whatever shape it has there; and nothing panics.

use super::*;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn in_keys(keys: &str) -> String {
    message(format!(r#"{{"consumers": [{{"name": "acme", "plan": "gold", "keys": {keys}}}]}}"#).as_bytes())
}

#[test]
fn what_is_wrong_is_said_without_the_value() {
    let keys = r#"an object with "id", "sha256", "uses", "labels", "kind", "rotate""#;
    let fields = r#"one of "id", "sha256", "uses", "labels", "kind", "rotate""#;
    for (text, expected) in [
        (r#""hunter2hunter2hunter2!!!""#, ": found a string of 24 characters (not shown), expected a list".to_owned()),
        ("\"h\"", ": found a string of 1 character (not shown), expected a list".to_owned()),
        ("4711", ": found a number (not shown), expected a list".to_owned()),
        (r#"{"hunter2": true}"#, ": found an object with 1 key, expected a list".to_owned()),
        (r#"["hunter2"]"#, format!("[0]: found a string of 7 characters (not shown), expected {keys}")),
        (r#"[true]"#, format!("[0]: found a boolean (not shown), expected {keys}")),
        (r#"[["hunter2"]]"#, format!("[0]: found a list of 1, expected {keys}")),
        (r#"[{"hunter2": 1}]"#, format!("[0]: found an unknown field of 7 characters (not shown), expected {fields}")),
        (
            r#"[{"sha265": "hunter2"}]"#,
            format!(r#"[0]: found an unknown field of 6 characters (not shown), expected {fields}: did you mean "sha256"?"#),
        ),
        (
            r#"[{"id": "a", "sha256": "hunter2"}]"#,
            "[0].sha256: found a string of 7 characters (not shown), expected 8 hexadecimal digits".to_owned(),
        ),
        (
            r#"[{"id": "a", "sha256": 47114711}]"#,
            "[0].sha256: found a number (not shown), expected a string: quote it".to_owned(),
        ),
        (r#"[{"id": "a"}]"#, r#"[0]: missing field "sha256""#.to_owned()),
        (
            r#"[{"uses": "4711"}]"#,
            "[0].uses: found a string of 4 characters (not shown), expected a whole number from 0 to 65535".to_owned(),
        ),
        (r#"[{"uses": 4711.5}]"#, "[0].uses: found a number (not shown), expected a whole number from 0 to 65535".to_owned()),
        (
            r#"[{"labels": {"hunter2": -1}}]"#,
            "[0].labels[not shown]: found a number (not shown), expected a whole number from 0 to 255".to_owned(),
        ),
        (
            r#"[{"labels": {"hunter2": 1, "hunter2": 1}}]"#,
            "[0].labels: found a key of 7 characters (not shown) more than once, expected each key once".to_owned(),
        ),
        (
            r#"[{"kind": "hunter2"}]"#,
            r#"[0].kind: found a string of 7 characters (not shown), expected one of "allow", "deny""#.to_owned(),
        ),
        (
            r#"[{"kind": {"hunter2": 1}}]"#,
            r#"[0].kind: found an object with 1 key, expected one of "allow", "deny""#.to_owned(),
        ),
        (
            r#"[{"rotate": "4711"}]"#,
            "[0].rotate: found a string of 4 characters (not shown), expected a duration with its unit, such as 500ms, 30s, 5m, 1h30m or 7d".to_owned(),
        ),
    ] {
        assert_eq!(in_keys(text), format!("consumers[0].keys{expected}"), "{text}");
    }
    assert_eq!(message(br#"{"secret": 4711}"#), "secret: not valid, found a number (not shown)");
    assert_eq!(
        message(br#"{"free": {"keys": {"a": {"hunter2": 1, "hunter2": 1}}}}"#),
        "free.keys[not shown]: found a key of 7 characters (not shown) more than once, expected each key once"
    );
}

#[test]
fn broken_json_is_never_quoted() {
    for tail in [
        "",
        "\"",
        "hunter2",
        "\"hunter2",
        "\"hunter2\u{1}\"",
        "\"hunter2\\x\"",
        "[\"hunter2\" 1]",
        "\"hunter2\"}}}",
    ] {
        let error = message(format!("{{\"consumers\": [{{\"keys\": {tail}").as_bytes());
        assert!(
            error.starts_with("$: found invalid JSON at line 1, column ") && !error.contains("hunter"),
            "{error}"
        );
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use crate::config::from_value;
    use proptest::prelude::*;

    const SECRET: &str = "s3cr3t-7QxZ";
    const SECRET_NUMBER: u64 = 8_675_309_427;

    /// JSON text of any shape, with repeated keys, made of the given strings and the names that the types know.
    fn json(strings: impl Strategy<Value = String> + Clone + 'static) -> BoxedStrategy<String> {
        let known = prop::sample::select(vec![
            "id",
            "sha256",
            "uses",
            "labels",
            "kind",
            "rotate",
            "keys",
            "name",
            "plan",
            "limits",
            "rate",
            "mask",
            "block",
            "action",
            "plans",
            "consumers",
            "allow",
            "5/s",
            "30s",
            "12345678",
            "true",
        ]);
        let text = prop_oneof![strings, known.prop_map(str::to_owned)];
        let quoted = text.clone().prop_map(|text| Value::from(text).to_string());
        let leaf = prop_oneof![
            4 => quoted.clone(),
            1 => Just("null".to_owned()),
            1 => any::<bool>().prop_map(|value| value.to_string()),
            1 => prop_oneof![Just(0), Just(SECRET_NUMBER), any::<u64>()].prop_map(|number| number.to_string()),
            1 => any::<f64>().prop_map(|number| Value::from(number).to_string()),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let entry = (quoted.clone(), inner.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(entry, 0..4).prop_map(|entries| format!("{{{}}}", entries.join(","))),
            ]
        })
        .boxed()
    }

    fn one_line(result: Result<Config, ConfigError>) -> Option<String> {
        let line = result.err()?.to_string();
        assert!(!line.chars().any(char::is_control) && line.contains(": "), "{line:?}");
        Some(line)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_secret_is_never_shown(keys in json(Just(SECRET.to_owned()))) {
            for document in [
                format!(r#"{{"consumers":[{{"keys":{keys}}}]}}"#),
                format!(r#"{{"consumers":[{{"keys":[{keys}]}}]}}"#),
                format!(r#"{{"consumers":[{{"keys":[{{"id":"1","sha256":{keys}}}]}}]}}"#),
                format!(r#"{{"consumers":[{{"keys":[{{"labels":{keys}}}]}}]}}"#),
                format!(r#"{{"secret":{keys}}}"#),
                format!(r#"{{"free":{{"keys":{keys}}}}}"#),
                format!(r#"{{"ignored":{{"keys":{keys}}}}}"#),
                format!(r#"{{"consumers":[{{"keys":{keys}"#),
            ] {
                if let Some(line) = one_line(load(&document)) {
                    prop_assert!(!line.contains("s3cr3t") && !line.contains("8675309427"), "{line}");
                }
            }
        }

        #[test]
        fn any_json_is_read_or_refused_in_one_line(
            value in json(any::<String>().boxed()),
            field in prop::sample::select(vec![
                "consumers", "plans", "action", "keys_from", "sources", "methods", "statuses", "by_action", "pair",
                "triple", "timeout", "max_body", "share", "free", "ignored", "headers", "one_key", "burst",
            ]),
        ) {
            let document = format!("{{\"{field}\":{value}}}");
            one_line(load(&document));
            one_line(load(&value));
            let parsed: Value = serde_json::from_str(&document).unwrap();
            one_line(from_value(&parsed, &OPTIONS));
        }

        #[test]
        fn any_bytes_are_read_or_refused_in_one_line(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            one_line(crate::config::load(&bytes, &OPTIONS));
        }

        #[test]
        fn any_damage_to_a_document_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut bytes =
                br#"{"consumers":[{"name":"acme","plan":"gold","keys":[{"id":"1","sha256":"9f86d081"}]}]}"#.to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(if cut { at } else { bytes.len() });
            one_line(crate::config::load(&bytes, &OPTIONS));
        }

        #[test]
        fn any_text_as_a_unit_is_read_back_or_refused(text in "[0-9]{0,4}[ /.]?[0-9a-zA-Z%]{0,6}|\\PC*") {
            if let Ok(value) = text.parse::<Duration>() { prop_assert_eq!(value.to_string().parse(), Ok(value)); }
            if let Ok(value) = text.parse::<Size>() { prop_assert_eq!(value.to_string().parse(), Ok(value)); }
            if let Ok(value) = text.parse::<Rate>() { prop_assert_eq!(value.to_string().parse(), Ok(value)); }
            if let Ok(value) = text.parse::<Percent>() { prop_assert_eq!(value.to_string().parse(), Ok(value)); }
        }
    }
}
