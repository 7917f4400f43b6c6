//! What is asked of the proxy. A call that returns something costs as much as the rest of a simple exchange, so each of them
//! stands here.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// The calls for one exchange, in order.
fn calls(document: Value, request: &Message, response: &Message) -> Vec<String> {
    let world = World::new();
    let worker = Worker::<Transform>::new(&world, document);
    let _ = world.take_calls();
    let outcome = worker.run(request, response);
    assert_eq!(outcome.details, None, "{outcome:?}");
    world.take_calls()
}

fn one_rule(side: &str, operation: Value) -> Value {
    json!({"rules": [{side: [operation]}]})
}

const SEVERAL: [&str; 3] = ["accept", "user-agent", "x-request-id"];

/// A request as clients send them.
fn get() -> Message {
    SEVERAL.into_iter().fold(Message::get("/"), |message, name| message.with(name, "a"))
}

fn ten_kilobytes() -> Message {
    let items: Vec<Value> = (0..200).map(|id| json!({"id": id, "name": format!("a name of {id}")})).collect();
    answer(&json!({"items": items, "state": "open"}).to_string())
}

#[test]
fn a_header_that_is_set_takes_no_look_at_others() {
    for (operation, write) in [
        (json!({"set": {"header": "x-a", "to": "1"}}), "set_header RequestHeaders x-a"),
        (json!({"append": {"header": "x-a", "to": "1"}}), "add_header RequestHeaders x-a"),
        (json!({"remove": {"header": "x-a"}}), "remove_header RequestHeaders x-a"),
        (json!({"set": {"header": "x-a", "to": "{{ uuid() }}"}}), "set_header RequestHeaders x-a"),
        (json!({"set": {"method": "PUT"}}), "set_header RequestHeaders :method"),
    ] {
        assert_eq!(calls(one_rule("request", operation), &get(), &ten_kilobytes()), ["add", write]);
    }
    let now = json!({"set": {"header": "x-a", "to": "{{ now }}"}});
    assert_eq!(
        calls(one_rule("request", now), &get(), &ten_kilobytes()),
        ["add", "now", "set_header RequestHeaders x-a"]
    );
    let status = json!({"set": {"header": "x-a", "to": "{{ response.status }}"}});
    assert_eq!(
        calls(one_rule("response", status), &get(), &ten_kilobytes()),
        ["headers ResponseHeaders", "add", "add_header ResponseHeaders x-a"]
    );
}

#[test]
fn what_a_rule_looks_at_is_read_at_once() {
    let document = json!({"rules": [{
        "match": {"path": "/", "header": {"accept": "a"}},
        "request": [
            {"set": {"header": "x-a", "to": "{{ request.headers.accept }}"}},
            {"set": {"query": "a", "to": "1"}},
            {"set": {"query": "b", "to": "1"}},
        ],
    }]});
    assert_eq!(
        calls(document, &get(), &ten_kilobytes()),
        ["headers RequestHeaders", "add", "add_header RequestHeaders x-a", "set_header RequestHeaders :path",]
    );
}

#[test]
fn a_value_in_a_response_takes_one_look_at_its_head() {
    let document = one_rule("response", json!({"set": {"json": "/state", "to": "shut"}}));
    let asked = ["first_header RequestHeaders range", "first_header RequestHeaders accept-encoding"];
    let rewritten = [
        "headers ResponseHeaders",
        "add",
        "remove_header ResponseHeaders content-length",
        "body Response",
        "set_body Response",
    ];
    assert_eq!(calls(document.clone(), &get(), &ten_kilobytes()), [&asked[..], &rewritten].concat());

    // What can be read is asked for as it is, and what can't be in one write.
    let readable = get().with("accept-encoding", "gzip, deflate");
    assert_eq!(calls(document.clone(), &readable, &ten_kilobytes()), [&asked[..], &rewritten].concat());
    let browser = get().with("accept-encoding", "gzip, deflate, br, zstd");
    let write = ["set_header RequestHeaders accept-encoding"];
    assert_eq!(
        calls(document.clone(), &browser, &ten_kilobytes()),
        [&asked[..], &write, &rewritten].concat()
    );

    // A part is asked for.
    let part = get().with("range", "bytes=0-5");
    let write = ["remove_header RequestHeaders range", "remove_header RequestHeaders if-range"];
    assert_eq!(calls(document.clone(), &part, &ten_kilobytes()), [&asked[..], &write, &rewritten].concat());

    // A response that is not looked into.
    let other = Message::response(200).with("content-type", "text/html").with_body("<p>");
    assert_eq!(calls(document, &get(), &other), [&asked[..], &rewritten[..2]].concat());
}

#[test]
fn a_rule_for_a_response_reads_the_message_that_it_looks_at() {
    let set = json!([{"set": {"header": "x-a", "to": "1"}}]);
    for (matches, expected) in [
        (json!({"path": "/"}), ["headers RequestHeaders", "add", "set_header ResponseHeaders x-a"]),
        (json!({"status": 200}), ["headers ResponseHeaders", "add", "add_header ResponseHeaders x-a"]),
        (
            json!({"content_type": "application/json"}),
            ["headers ResponseHeaders", "add", "add_header ResponseHeaders x-a"],
        ),
    ] {
        let document = json!({"rules": [{"match": matches, "response": set}]});
        assert_eq!(calls(document, &get(), &ten_kilobytes()), expected);
    }
}

/// The method is read where it says whether a missing body is trouble, and nowhere else.
#[test]
fn the_method_is_read_where_it_matters() {
    let document = json!({"rules": [{
        "response": [{"set": {"json": "/state", "to": "shut"}}],
        "on_error": {"missing": "error"},
    }]});
    let made = calls(document, &get(), &ten_kilobytes());
    assert_eq!(made.first().map(String::as_str), Some("first_header RequestHeaders :method"), "{made:?}");
}

#[test]
fn a_body_that_is_replaced_is_not_read() {
    let document = one_rule("request", json!({"set": {"body": {"a": 1}}}));
    assert_eq!(
        calls(document, &post(&"x".repeat(10_000)), &ten_kilobytes()),
        ["headers RequestHeaders", "add", "set_header RequestHeaders content-length", "set_body Request",]
    );
}
