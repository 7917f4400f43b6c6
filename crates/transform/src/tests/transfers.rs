//! Copies and moves between all kinds of places.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn sent() -> Message {
    let body = r#"{"s":"té\"xt","n":1.50,"t":true,"z":null,"o":{"a":1},"l":["x","y"]}"#;
    Message::post("/users/a%2Fb?q=1%202&r=x&r=y", body)
        .with("content-type", "application/json")
        .with("content-length", body.len().to_string())
        .with("x-h", "v w")
        .with("x-many", "1")
        .with("x-many", "2")
        .with("cookie", "c=k")
}

fn transfer(word: &str, from: &Value, to: &Value) -> Message {
    let worker =
        holding(json!([{"match": {"path": "/users/{id}"}, "request": [{word: {"from": from, "to": to}}]}]));
    request(&worker, &sent())
}

#[test]
fn between_any_two_places() {
    let sources = [
        (json!({"header": "x-h"}), "v w"),
        (json!({"query": "q"}), "1 2"),
        (json!({"cookie": "c"}), "k"),
        (json!({"capture": "id"}), "a/b"),
        (json!("path"), "/users/a%2Fb"),
        (json!("method"), "POST"),
        (json!("host"), "example.com"),
        (json!({"json": "/n"}), "1.50"),
        (json!({"json": "/t"}), "true"),
        (json!({"json": "/o"}), r#"{"a":1}"#),
    ];
    for (from, value) in sources {
        let header = transfer("copy", &from, &json!({"header": "x-to"}));
        assert_eq!(all(&header, "x-to"), [value], "{from}");
        let query = transfer("copy", &from, &json!({"query": "to"}));
        let encoded =
            String::from_utf8(crate::parameters::set(b"", b"to", &[value.as_bytes().into()])).unwrap();
        assert_eq!(all(&query, ":path"), [format!("/users/a%2Fb?q=1%202&r=x&r=y&{encoded}")], "{from}");
        let cookie = transfer("copy", &from, &json!({"cookie": "to"}));
        assert_eq!(all(&cookie, "cookie"), [format!("c=k; to={value}")], "{from}");
        let json: Value =
            serde_json::from_slice(&transfer("copy", &from, &json!({"json": "/to"})).body).unwrap();
        let expected =
            if from.get("json").is_some() { serde_json::from_str(value).unwrap() } else { json!(value) };
        assert_eq!(json["to"], expected, "{from}");
        let body = transfer("copy", &from, &json!("body"));
        assert_eq!(body.text(), value, "{from}");
    }
}

#[test]
fn to_what_is_there_once() {
    for (from, to, name, expected) in [
        (json!({"capture": "id"}), json!("path"), ":path", "/a/b?q=1%202&r=x&r=y"),
        (json!({"header": "x-h"}), json!("path"), ":path", "/v%20w?q=1%202&r=x&r=y"),
        (json!({"cookie": "c"}), json!("method"), ":method", "k"),
        (json!({"cookie": "c"}), json!("host"), ":authority", "k"),
        (json!({"json": "/l/0"}), json!("host"), ":authority", "x"),
        (json!({"json": "/s"}), json!({"header": "x-h"}), "x-h", "té\"xt"),
    ] {
        assert_eq!(all(&transfer("copy", &from, &to), name), [expected], "{from} {to}");
    }
    let worker = holding(json!([{"response": [
        {"move": {"from": {"json": "/code"}, "to": "status"}},
        {"copy": {"from": "status", "to": {"json": "/status"}}},
        {"copy": {"from": {"cookie": "s"}, "to": {"header": "x-session"}}},
    ]}]));
    let message = answer(r#"{"code":404,"a":1}"#).with("set-cookie", "s=1; Path=/");
    let answered = response(&worker, &message);
    assert_eq!((answered.status(), answered.text()), (404, r#"{"a":1,"status":"404"}"#));
    assert_eq!(all(&answered, "x-session"), ["1"]);
}

#[test]
fn several_values() {
    for (from, to, name, expected) in [
        (json!({"header": "x-many"}), json!({"header": "x-to"}), "x-to", &["1", "2"][..]),
        (json!({"query": "r"}), json!({"header": "x-to"}), "x-to", &["x", "y"]),
        (json!({"json": "$.l[*]"}), json!({"header": "x-to"}), "x-to", &["x", "y"]),
        (json!({"header": "x-many"}), json!({"query": "q"}), ":path", &["/users/a%2Fb?q=1&q=2&r=x&r=y"]),
    ] {
        assert_eq!(all(&transfer("copy", &from, &to), name), expected, "{from} {to}");
    }
    let body: Value = serde_json::from_slice(
        &transfer("copy", &json!({"header": "x-many"}), &json!({"json": "/o/m"})).body,
    )
    .unwrap();
    assert_eq!(body["o"], json!({"a": 1, "m": ["1", "2"]}));
}

#[test]
fn moves_take_away() {
    let moved = transfer("move", &json!({"header": "x-many"}), &json!({"query": "r"}));
    assert_eq!(
        (all(&moved, "x-many").len(), all(&moved, ":path")),
        (0, vec!["/users/a%2Fb?q=1%202&r=1&r=2".to_owned()])
    );
    let moved = transfer("move", &json!({"query": "q"}), &json!({"json": "/q"}));
    assert_eq!(all(&moved, ":path"), ["/users/a%2Fb?r=x&r=y"]);
    assert!(moved.text().ends_with(r#","q":"1 2"}"#), "{}", moved.text());
    let moved = transfer("move", &json!({"json": "/o"}), &json!({"header": "x-to"}));
    assert_eq!(all(&moved, "x-to"), [r#"{"a":1}"#]);
    assert!(!moved.text().contains("\"o\""));
    assert_eq!(all(&moved, "content-length"), [moved.body.len().to_string()]);
    let moved = transfer("move", &json!({"cookie": "c"}), &json!({"header": "x-to"}));
    assert_eq!((all(&moved, "cookie").len(), all(&moved, "x-to")), (0, vec!["k".to_owned()]));
}

#[test]
fn what_is_not_there_changes_nothing() {
    for from in [
        json!({"header": "x-none"}),
        json!({"json": "/none"}),
        json!({"json": "/z"}),
        json!({"query": "none"}),
    ] {
        assert_eq!(transfer("copy", &from, &json!({"header": "x-h"})), sent(), "{from}");
    }
    assert_eq!(transfer("move", &json!({"json": "/none"}), &json!({"json": "/s"})), sent());
}

/// What the head gets from the body, later operations see, and the body gets from the head what earlier ones made of it.
#[test]
fn head_and_body_see_each_other() {
    let worker = holding(json!([{"request": [
        {"copy": {"from": {"json": "/s"}, "to": {"header": "x-a"}}},
        {"copy": {"from": {"json": "/n"}, "to": {"header": "x-b"}}},
        {"append": {"header": "x-a", "to": "2"}},
        {"copy": {"from": {"header": "x-a"}, "to": {"json": "/a"}}},
        {"move": {"from": {"json": "/n"}, "to": {"query": "n"}}},
        {"set": {"json": "/n", "to": "new"}},
        {"copy": {"from": {"json": "/n"}, "to": {"header": "x-n"}}},
        {"copy": {"from": "body", "to": {"header": "x-body"}}},
    ]}]));
    let forwarded = json_request(&worker, r#"{"s":"1","n":5}"#);
    assert_eq!(forwarded.text(), r#"{"s":"1","a":["1","2"],"n":"new"}"#);
    assert_eq!(
        (all(&forwarded, "x-a"), all(&forwarded, "x-b")),
        (vec!["1".into(), "2".into()], vec!["5".to_owned()])
    );
    assert_eq!(
        (all(&forwarded, ":path"), all(&forwarded, "x-n")),
        (vec!["/?n=5".to_owned()], vec!["new".to_owned()])
    );
    assert_eq!(all(&forwarded, "x-body"), [r#"{"s":"1","a":["1","2"],"n":"new"}"#]);
}

#[test]
fn consumers_in_templates() {
    let world = World::new();
    world.set_property(&["meshgate.consumer"], "acme");
    world.set_property(&["meshgate.plan"], "gold");
    let worker = Worker::<Transform>::new(
        &world,
        json!({"rules": [
            {"when": "request.method == 'PUT'", "request": [{"set": {"header": "x-who", "to": "no"}}]},
            {"when": "consumer.plan == 'gold'", "request": [{"set": {"header": "x-who", "to": "{{ consumer.name }}"}}]},
            {"when": "consumer.plan == 'free'", "request": [{"set": {"header": "x-who", "to": "no"}}]},
        ]}),
    );
    assert_eq!(all(&request(&worker, &Message::get("/")), "x-who"), ["acme"]);
}
