//! Header fields, cookies, query and path.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// The `:path` that the upstream gets.
fn target(action: Value, place: &str, target: &str) -> String {
    let worker = worker(&cards(place, action));
    let outcome = run(&worker, &Message::get(target), &Message::response(200));
    outcome.forwarded().head.get(":path").unwrap().to_owned()
}

#[test]
fn parameters_are_changed_where_they_stand() {
    for (action, before, after) in [
        ("mask", "/p?a=%20&card=4111111111111111&&b", "/p?a=%20&card=****************&&b"),
        ("mask", "/p?card=4111-1111%2D1111-%31111", "/p?card=****-****%2D****-%2A***"),
        ("mask", "/4111111111111111?card=1", "/4111111111111111?card=1"),
        ("mask", "/p?4111111111111111", "/p?****************"),
        ("mask", "/p?4111111111111111=1", "/p?****************=1"),
        ("mask", "/p?%34111111111111111=378282246310005", "/p?%2A***************=***************"),
        ("drop", "/p?4111111111111111=378282246310005&b=1", "/p?b=1"),
        ("replace", "/p?card=4111111111111111", "/p?card=%5BPAYMENT%20CARD%5D"),
        ("drop", "/p?card=4111111111111111", "/p"),
        ("drop", "/p?card=4111111111111111&b=1", "/p?b=1"),
        ("drop", "/p?b=1&card=4111111111111111", "/p?b=1"),
        ("drop", "/p?b=1&card=4111111111111111&c=%2", "/p?b=1&c=%2"),
        ("mask", "/p?", "/p?"),
        ("mask", "/p", "/p"),
    ] {
        assert_eq!(target(json!(action), "request.query", before), after, "{action}");
    }
}

#[test]
fn paths_are_changed_without_their_query() {
    for (before, after) in [
        (
            "/cards/4111111111111111/x?card=4111111111111111",
            "/cards/****************/x?card=4111111111111111",
        ),
        ("/cards/%34111111111111111", "/cards/%2A***************"),
        ("/", "/"),
    ] {
        assert_eq!(target(json!("mask"), "request.path", before), after);
    }
}

#[test]
fn fields_are_changed_one_by_one() {
    let worker = worker(&cards("request.headers", json!({"mask": {"keep_last": 4}})));
    let request = Message::get("/")
        .with("x-a", "1")
        .with("x-card", "one")
        .with("x-card", format!("card {CARD}"))
        .with("x-card", "three")
        .with("referer", "https://example.com/?card=4111%2D1111-1111-1111")
        .with("cookie", format!("card={CARD}"))
        .with("authorization", format!("Card {CARD}"))
        .with("content-length", "0");
    let got = run(&worker, &request, &Message::response(200)).forwarded().clone();
    let all = |name: &str| -> Vec<String> {
        got.head.all(name).map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    };
    assert_eq!(all("x-card"), ["one", "card ************1111", "three"]);
    assert_eq!(all("referer"), ["https://example.com/?card=****%2D****-****-1111"]);
    assert_eq!(all("cookie"), [format!("card={CARD}")]);
    assert_eq!(all("authorization"), [format!("Card {CARD}")]);
    assert_eq!(all("x-a"), ["1"]);
}

#[test]
fn rules_name_fields_that_they_are_for() {
    let get = || Message::get("/").with("x-a", CARD).with("X-B", CARD).with("authorization", CARD);
    for (fields, shown) in [
        (json!({"only": "X-A"}), "x-b authorization"),
        (json!({"only": ["x-a", "authorization"]}), "x-b"),
        (json!({"except": ["x-a"]}), "x-a"),
        (json!({"except": []}), "config"),
        (json!({}), "authorization"),
    ] {
        let mut document = cards("request.headers", json!("drop"));
        document["rules"][0].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        if shown == "config" {
            let error = load(&document).unwrap_err().to_string();
            assert!(error.starts_with("rules[0].except: "), "{error}");
            continue;
        }
        let got = run(&worker(&document), &get(), &Message::response(200)).forwarded().clone();
        let left: Vec<_> =
            ["x-a", "x-b", "authorization"].into_iter().filter(|name| got.head.get(name).is_some()).collect();
        assert_eq!(left.join(" "), shown, "{fields}");
    }
}

#[test]
fn cookies_are_changed_in_their_field() {
    let before = format!("a=1; card={CARD};b = \"2\"; flag");
    for (action, after) in [
        ("mask", Some("a=1; card=****************;b = \"2\"; flag")),
        ("replace", Some("a=1; card=[PAYMENT%20CARD];b = \"2\"; flag")),
        ("drop", Some("a=1;b = \"2\"; flag")),
    ] {
        let worker = worker(&cards("request.cookies", json!(action)));
        let request = Message::get("/").with("cookie", &before).with("x-card", CARD);
        let got = run(&worker, &request, &Message::response(200)).forwarded().clone();
        assert_eq!(got.head.get("cookie"), after, "{action}");
        assert_eq!(got.head.get("x-card"), Some(CARD));
        let only = Message::get("/").with("cookie", format!("card={CARD}"));
        let got = run(&worker, &only, &Message::response(200)).forwarded().clone();
        assert_eq!(got.head.get("cookie").is_none(), action == "drop");
    }
}

#[test]
fn cookies_may_be_percent_encoded() {
    let worker = worker(&cards("request.cookies", json!({"mask": {"keep_last": 4}})));
    for (before, after) in [
        ("card=%34111%2d1111-1111%201111", "card=%34111%2d1111-1111%201111"),
        ("card=%34111%201111%201111%201111; a=%2", "card=%2A***%20****%20****%201111; a=%2"),
        ("card=%34111111111111111", "card=%2A***********1111"),
        ("card=4111+1111+1111+1111", "card=4111+1111+1111+1111"),
    ] {
        let got = run(&worker, &Message::get("/").with("cookie", before), &Message::response(200));
        assert_eq!(got.forwarded().head.get("cookie"), Some(after));
    }
}

/// A name says what its value is, and nothing of itself.
#[test]
fn names_of_parameters_are_no_secrets() {
    let document = json!({"rules": [{"find": "secrets.generic", "in": "request.query", "do": "mask"}]});
    for target in ["/?db_password", "/?db_password=", "/?api_token_v2=1"] {
        let outcome = run(&worker(&document), &Message::get(target), &Message::response(200));
        assert_eq!(outcome.forwarded().head.get(":path"), Some(target));
    }
}

#[test]
fn responses_have_fields_and_cookies_of_their_own() {
    let document = json!({"rules": [
        {"find": "payment.card", "in": "response.headers", "do": "mask"},
        {"find": "payment.card", "in": "response.cookies", "do": "drop", "only": "gone"},
        {"find": "payment.card", "in": "response.cookies", "do": {"mask": {"keep_first": 4}}},
    ]});
    let answer = Message::response(200)
        .with("x-card", CARD)
        .with("location", "/pay?card=4111%201111%201111%201111")
        .with("set-cookie", format!("gone={CARD}; Path=/"))
        .with("set-cookie", format!("card={CARD}; Path=/; Secure"))
        .with("set-cookie", "other=1")
        .with("age", CARD);
    let got = run(&worker(&document), &Message::get("/"), &answer);
    let head = &got.answer().head;
    assert_eq!(head.get("x-card"), Some("****************"));
    assert_eq!(head.get("location"), Some("/pay?card=****%20****%20****%20****"));
    let cookies: Vec<_> = head.all("set-cookie").collect();
    assert_eq!(cookies, [b"card=4111************; Path=/; Secure".as_slice(), b"other=1"]);
    assert_eq!(head.get("age"), Some(CARD));
}

#[test]
fn bytes_that_are_no_text_stay() {
    let worker = worker(&cards("request.headers", json!("mask")));
    let value = [b"\xff\xfe ", CARD.as_bytes(), b" \x80"].concat();
    let got = run(&worker, &Message::get("/").with("x-a", &value), &Message::response(200));
    let expected = [b"\xff\xfe ".as_slice(), &[b'*'; 16], b" \x80"].concat();
    assert_eq!(got.forwarded().head.all("x-a").collect::<Vec<_>>(), [expected]);
}
