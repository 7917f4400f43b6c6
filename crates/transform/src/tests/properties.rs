//! Whatever comes: nothing panics, and what no rule names stays.

use proptest::prelude::*;

use super::*;

/// Operations of all kinds, on few names, so that they meet.
fn operation() -> impl Strategy<Value = Value> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c")];
    let pointer = prop_oneof![
        Just("/a"),
        Just("/b"),
        Just("/a/b"),
        Just("/c/0"),
        Just("$..a"),
        Just("$.c[*]"),
        Just("$.*")
    ];
    let definite = prop_oneof![Just("/a"), Just("/b"), Just("/a/b"), Just("/c/0"), Just("/c/-")];
    let value = prop_oneof![
        Just(json!(1)),
        Just(json!("x")),
        Just(json!(null)),
        Just(json!({"a": [1]})),
        Just(json!("{{ request.headers.a }}")),
        Just(json!("{{ body.a }}")),
        Just(json!("{{ body.a.b }}!")),
    ];
    let scalar =
        prop_oneof![Just(json!("x y")), Just(json!("{{ request.query.a }}")), Just(json!("{{ body.a }}"))];
    let place = (prop_oneof![Just("header"), Just("query"), Just("cookie")], name.clone());
    let from = prop_oneof![
        place.clone().prop_map(|(kind, name)| json!({kind: name})),
        pointer.clone().prop_map(|path| json!({"json": path})),
        Just(json!("path")),
        Just(json!("method")),
    ];
    let movable = prop_oneof![
        place.clone().prop_map(|(kind, name)| json!({kind: name})),
        pointer.clone().prop_map(|path| json!({"json": path})),
    ];
    let to = prop_oneof![
        place.clone().prop_map(|(kind, name)| json!({kind: name})),
        definite.clone().prop_map(|path| json!({"json": path})),
        Just(json!("path")),
        Just(json!("method")),
        Just(json!("host")),
    ];
    prop_oneof![
        (prop_oneof![Just("set"), Just("add"), Just("append")], definite, value)
            .prop_map(|(word, path, value)| json!({word: {"json": path, "to": value}})),
        (prop_oneof![Just("set"), Just("add")], place.clone(), scalar)
            .prop_map(|(word, (kind, name), value)| json!({word: {kind: name, "to": value}})),
        (prop_oneof![Just("remove"), Just("keep")], pointer)
            .prop_map(|(word, path)| json!({word: {"json": [path]}})),
        (prop_oneof![Just("remove"), Just("keep")], place.clone())
            .prop_map(|(word, (kind, name))| json!({word: {kind: [name]}})),
        (place, name).prop_map(|((kind, from), to)| json!({"rename": {kind: from, "to": to}})),
        (from, to.clone()).prop_map(|(from, to)| json!({"copy": {"from": from, "to": to}})),
        (movable, to).prop_map(|(from, to)| json!({"move": {"from": from, "to": to}})),
    ]
}

fn body() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("1.10".to_owned()),
        Just("\"t\\u00e9\\n\"".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("{ }".to_owned()),
        Just("[]".to_owned()),
    ];
    let value = leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec((prop_oneof![Just("a"), Just("b"), Just("c")], inner), 0..4).prop_map(
                |members| {
                    let members: Vec<_> =
                        members.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                    format!("{{{}}}", members.join(",\n"))
                }
            ),
        ]
    });
    prop_oneof![9 => value, 1 => Just("{\"a\":".to_owned()), 1 => Just(String::new())]
}

fn message() -> impl Strategy<Value = Message> {
    let header = prop::collection::vec(prop::num::u8::ANY, 0..6);
    (body(), header, "(/[a%.]{0,3}){1,3}", "([ab%+=&]){0,12}").prop_map(|(body, header, path, query)| {
        Message::post(&format!("{path}?{query}"), body)
            .with("content-type", "application/json")
            .with("a", header)
            .with("cookie", "a=1; b=2")
            .with("x-other", "\u{e9}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    /// Any operations on any message: an answer or a request that may be sent, whatever the body is cut into.
    #[test]
    fn whatever_comes_leaves_well_formed(
        operations in prop::collection::vec(operation(), 1..6),
        remedy in prop_oneof![Just("skip"), Just("pass"), Just("error")],
        message in message(),
        cut in 0..64_usize,
    ) {
        let worker = holding(json!([{"request": operations, "on_error": remedy}]));
        let whole = worker.run(&message, &Message::response(200));
        let chunking = Chunking::at([cut.min(message.body.len())]);
        let cut = worker.begin().run_chunked(&message, &chunking, &Message::response(200), &Chunking::WHOLE);
        if !message.body.is_empty() {
            prop_assert_eq!(&whole, &cut);
        }
        if whole.details.is_some() {
            prop_assert!((400..500).contains(&whole.status()), "{:?}", whole);
            return Ok(());
        }
        let forwarded = whole.forwarded();
        prop_assert!(forwarded.head.all("x-other").count() == 1 || operations.iter().any(|operation| operation["keep"]["header"].is_array()));
        let path = forwarded.head.all(":path").next().unwrap();
        prop_assert!(path.starts_with(b"/") && !path.iter().any(|byte| matches!(byte, 0..=b' ' | b'#' | 0x7f)), "{:?}", path);
        if serde_json::from_slice::<Value>(&message.body).is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&forwarded.body).is_ok(), "{:?}", forwarded);
        }
    }

    /// With the head gone early, what happens to bodies is the same.
    #[test]
    fn bodies_are_the_same_with_and_without_waiting(
        operations in prop::collection::vec(operation(), 1..6),
        message in message(),
    ) {
        let rules = json!([{"request": operations, "on_error": {"missing": "skip", "wrong_type": "skip", "template": "skip", "invalid_json": "skip"}}]);
        let Ok(early) = load(&json!({"rules": rules})) else { return Ok(()) };
        let early = early.run(&message, &Message::response(200));
        let held = holding(rules).run(&message, &Message::response(200));
        prop_assert_eq!(&early.forwarded().body, &held.forwarded().body);
    }
}
