//! Operations on heads.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn sent() -> Message {
    Message::get("/v1/users/7?a=1&debug=1&b=%zz&a=2")
        .with("x-one", "1")
        .with("x-two", "a")
        .with("x-two", "b")
        .with("cookie", "s=1; t=2")
}

#[test]
fn header_fields() {
    for (operation, name, expected) in [
        (json!({"set": {"header": "x-new", "to": "v"}}), "x-new", &["v"][..]),
        (json!({"set": {"header": "X-Two", "to": "v"}}), "x-two", &["v"]),
        (json!({"set": {"header": "x-one", "to": 5}}), "x-one", &["5"]),
        (json!({"set": {"header": "x-one", "to": true}}), "x-one", &["true"]),
        (json!({"set": {"header": "x-one", "to": ""}}), "x-one", &[""]),
        (json!({"add": {"header": "x-one", "to": "v"}}), "x-one", &["1"]),
        (json!({"add": {"header": "x-new", "to": "v"}}), "x-new", &["v"]),
        (json!({"append": {"header": "x-two", "to": "v"}}), "x-two", &["a", "b", "v"]),
        (json!({"append": {"header": "x-new", "to": "v"}}), "x-new", &["v"]),
        (json!({"remove": {"header": "x-two"}}), "x-two", &[]),
        (json!({"remove": {"header": ["x-one", "x-two", "x-none"]}}), "x-one", &[]),
        (json!({"rename": {"header": "x-two", "to": "x-new"}}), "x-new", &["a", "b"]),
        (json!({"rename": {"header": "x-two", "to": "x-new"}}), "x-two", &[]),
        (json!({"rename": {"header": "x-two", "to": "x-one"}}), "x-one", &["a", "b"]),
        (json!({"rename": {"header": "x-none", "to": "x-one"}}), "x-one", &["1"]),
        (json!({"keep": {"header": "x-one"}}), "x-two", &[]),
        (json!({"keep": {"header": "x-one"}}), "x-one", &["1"]),
        (json!({"set": {"header": "x-id", "to": "{{ request.headers['x-one'] }}!"}}), "x-id", &["1!"]),
    ] {
        let forwarded = request(&on_request(json!([operation])), &sent());
        assert_eq!(all(&forwarded, name), expected, "{operation}");
    }
}

#[test]
fn what_carries_the_message_is_kept() {
    let message = Message::post("/", "{}")
        .with("host", "h")
        .with("content-type", "text/plain")
        .with("content-length", "2")
        .with("x-a", "1")
        .with("x-b", "2");
    let worker = on_request(json!([{"set": {"header": "x-c", "to": "3"}}, {"keep": {"header": ["x-b"]}}]));
    assert_eq!(names(&request(&worker, &message).head), ["host", "content-type", "content-length", "x-b"]);
}

#[test]
fn each_operation_sees_those_before_it_and_templates_do_not() {
    let worker = on_request(json!([
        {"set": {"header": "x-one", "to": "2"}},
        {"copy": {"from": {"header": "x-one"}, "to": {"header": "x-copied"}}},
        {"set": {"header": "x-template", "to": "{{ request.headers['x-one'] }}"}},
        {"append": {"header": "x-one", "to": "3"}},
        {"rename": {"header": "x-one", "to": "x-renamed"}},
        {"add": {"header": "x-one", "to": "4"}},
        {"set": {"query": "debug", "to": "2"}},
        {"copy": {"from": {"query": "debug"}, "to": {"header": "x-debug"}}},
        {"set": {"path": "/v2"}},
        {"copy": {"from": "path", "to": {"header": "x-path"}}},
    ]));
    let forwarded = request(&worker, &sent());
    for (name, expected) in [
        ("x-copied", &["2"][..]),
        ("x-template", &["1"]),
        ("x-renamed", &["2", "3"]),
        ("x-one", &["4"]),
        ("x-debug", &["2"]),
        ("x-path", &["/v2"]),
        (":path", &["/v2?a=1&debug=2&b=%zz&a=2"]),
    ] {
        assert_eq!(all(&forwarded, name), expected, "{name}");
    }
}

#[test]
fn query_parameters() {
    for (operation, expected) in [
        (json!({"set": {"query": "debug", "to": "x y&"}}), "a=1&debug=x%20y%26&b=%zz&a=2"),
        (json!({"set": {"query": "a", "to": 3}}), "a=3&debug=1&b=%zz"),
        (json!({"set": {"query": "c", "to": "{{ request.query.debug }}"}}), "a=1&debug=1&b=%zz&a=2&c=1"),
        (json!({"add": {"query": "a", "to": "3"}}), "a=1&debug=1&b=%zz&a=2"),
        (json!({"add": {"query": "c", "to": "3"}}), "a=1&debug=1&b=%zz&a=2&c=3"),
        (json!({"append": {"query": "a", "to": "3"}}), "a=1&debug=1&b=%zz&a=2&a=3"),
        (json!({"remove": {"query": ["a", "debug"]}}), "b=%zz"),
        (json!({"rename": {"query": "a", "to": "n"}}), "n=1&debug=1&b=%zz&n=2"),
        (json!({"keep": {"query": ["b"]}}), "b=%zz"),
    ] {
        let forwarded = request(&on_request(json!([operation])), &sent());
        assert_eq!(all(&forwarded, ":path"), [format!("/v1/users/7?{expected}")], "{operation}");
    }
    let worker = on_request(json!([{"keep": {"query": "none"}}]));
    assert_eq!(all(&request(&worker, &sent()), ":path"), ["/v1/users/7"]);
}

#[test]
fn cookies_of_requests() {
    for (operation, expected) in [
        (json!({"set": {"cookie": "s", "to": "2"}}), &["s=2; t=2"][..]),
        (json!({"set": {"cookie": "u", "to": "3"}}), &["s=1; t=2; u=3"]),
        (json!({"add": {"cookie": "s", "to": "2"}}), &["s=1; t=2"]),
        (json!({"remove": {"cookie": "s"}}), &["t=2"]),
        (json!({"remove": {"cookie": ["s", "t"]}}), &[]),
        (json!({"rename": {"cookie": "s", "to": "u"}}), &["u=1; t=2"]),
        (json!({"keep": {"cookie": ["t"]}}), &["t=2"]),
    ] {
        let forwarded = request(&on_request(json!([operation])), &sent());
        assert_eq!(all(&forwarded, "cookie"), expected, "{operation}");
    }
}

#[test]
fn cookies_of_responses() {
    let message =
        Message::response(200).with("set-cookie", "s=1; Path=/; HttpOnly").with("set-cookie", "t=2");
    for (operation, expected) in [
        (json!({"set": {"cookie": "s", "to": "2"}}), &["s=2; Path=/; HttpOnly", "t=2"][..]),
        (json!({"set": {"cookie": "s", "to": "2", "attributes": "Secure"}}), &["s=2; Secure", "t=2"]),
        (
            json!({"add": {"cookie": "u", "to": "3", "attributes": "Path=/; Secure"}}),
            &["s=1; Path=/; HttpOnly", "t=2", "u=3; Path=/; Secure"],
        ),
        (json!({"remove": {"cookie": "s"}}), &["t=2"]),
        (json!({"rename": {"cookie": "s", "to": "u"}}), &["u=1; Path=/; HttpOnly", "t=2"]),
        (json!({"keep": {"cookie": "t"}}), &["t=2"]),
    ] {
        let answered = response(&on_response(json!([operation])), &message);
        assert_eq!(all(&answered, "set-cookie"), expected, "{operation}");
    }
}

#[test]
fn path_method_host_and_status() {
    let rule = |path: &str, set: Value| {
        Worker::<Transform>::new(
            &World::new(),
            json!({"rules": [{"match": {"path": path}, "request": [{"set": set}]}]}),
        )
    };
    for (set, name, expected) in [
        (json!({"path": "/new"}), ":path", "/new?a=1&debug=1&b=%zz&a=2"),
        (json!({"path": "/v2/{rest...}"}), ":path", "/v2/users/7?a=1&debug=1&b=%zz&a=2"),
        (
            json!({"path": "/{{ request.query.debug }}/{rest...}/x"}),
            ":path",
            "/1/users/7/x?a=1&debug=1&b=%zz&a=2",
        ),
        (json!({"method": "DELETE"}), ":method", "DELETE"),
        (json!({"host": "api.internal:8080"}), ":authority", "api.internal:8080"),
        (json!({"host": "{{ request.query.debug }}.example"}), ":authority", "1.example"),
    ] {
        let forwarded = request(&rule("/v1/{rest...}", set.clone()), &sent());
        assert_eq!(all(&forwarded, name), [expected], "{set}");
    }
    let answered = response(&on_response(json!([{"set": {"status": 201}}])), &Message::response(200));
    assert_eq!(answered.status(), 201);
}

#[test]
fn captures_cannot_leave_their_segment() {
    let worker = Worker::<Transform>::new(
        &World::new(),
        json!({"rules": [{
            "match": {"path": "/users/{id}"},
            "request": [{"set": {"path": "/v2/{{ path.id }}"}}, {"set": {"header": "x-id", "to": "{{ path.id }}"}}],
            "on_error": {"wrong_type": {"error": 418}, "template": {"error": 422}},
        }]}),
    );
    for (target, expected) in [
        ("/users/7", Ok("/v2/7")),
        ("/users/a%2Fb", Ok("/v2/a%2Fb")),
        ("/users/a%3Fb%23c%20d", Ok("/v2/a%3Fb%23c%20d")),
        ("/users/%ff", Ok("/v2/%FF")),
        ("/users/%C3%A9", Ok("/v2/%C3%A9")),
        ("/users/a%0d%0ab", Err((422, "meshgate_transform_template"))),
        ("/users/a%00", Err((422, "meshgate_transform_template"))),
        ("/users/..%2Fadmin", Err((418, "meshgate_transform_wrong_type"))),
        ("/users/a%5Cb", Ok("/v2/a%5Cb")),
    ] {
        let outcome = worker.run(&Message::get(target), &Message::response(200));
        match expected {
            Ok(path) => assert_eq!(all(outcome.forwarded(), ":path"), [path], "{target}"),
            Err((status, details)) => refused(&outcome, status, details),
        }
    }
}

#[test]
fn only_what_differs_is_written() {
    let world = World::new();
    let worker = Worker::<Transform>::new(
        &world,
        json!({"rules": [{"request": [
            {"set": {"header": "x-one", "to": "1"}},
            {"remove": {"header": "x-none"}},
            {"set": {"query": "debug", "to": "1"}},
            {"add": {"header": "x-two", "to": "c"}},
            {"set": {"cookie": "s", "to": "1"}},
        ]}]}),
    );
    // Nothing changes, so nothing is written: a write would fail.
    world
        .fail_next(meshgate_test_host::Operation::WriteHeaders, meshgate_policy::host::HostError::Status(10));
    let forwarded = request(&worker, &sent());
    assert_eq!(forwarded, sent());
}

#[test]
fn bytes_that_are_no_text_pass() {
    let worker = on_request(json!([
        {"copy": {"from": {"header": "x-raw"}, "to": {"query": "raw"}}},
        {"set": {"header": "x-again", "to": "{{ request.headers['x-raw'] }}"}},
    ]));
    let forwarded = request(&worker, &Message::get("/p").with("x-raw", b"\xff\xfe"));
    assert_eq!(all(&forwarded, ":path"), ["/p?raw=%FF%FE"]);
    assert_eq!(forwarded.head.all("x-again").collect::<Vec<_>>(), [b"\xff\xfe"]);
}

#[test]
fn rules_hold_by_what_arrived() {
    let worker = Worker::<Transform>::new(
        &World::new(),
        json!({"rules": [
            {"match": {"header": {"x-one": "1"}}, "request": [{"set": {"header": "x-one", "to": "2"}}]},
            {"match": {"header": {"x-one": "1"}}, "request": [{"append": {"header": "x-one", "to": "3"}}]},
            {"match": {"header": {"x-one": "2"}}, "request": [{"append": {"header": "x-one", "to": "no"}}]},
            {"when": "request.query.a_all != []", "request": [{"append": {"header": "x-one", "to": "4"}}]},
            {"when": "request.headers['x-two'] == 'a, b'", "request": [{"append": {"header": "x-one", "to": "5"}}]},
            {"match": {"method": "GET"}, "response": [{"set": {"header": "x-get", "to": "{{ request.path }}"}}]},
            {"match": {"method": "PUT"}, "response": [{"set": {"header": "x-put", "to": "1"}}]},
            {"match": {"status": "4xx"}, "response": [{"set": {"header": "x-failed", "to": "{{ response.status }}"}}]},
        ]}),
    );
    let outcome = worker.run(&sent(), &Message::response(404));
    assert_eq!(all(outcome.forwarded(), "x-one"), ["2", "3", "4", "5"]);
    let answered = outcome.answer();
    assert_eq!(all(answered, "x-get"), ["/v1/users/7"]);
    assert_eq!((all(answered, "x-put").len(), all(answered, "x-failed")), (0, vec!["404".to_owned()]));
}

#[test]
fn chance_is_the_same_for_a_request_and_its_response() {
    let rule = json!({"match": {"percent": 50}, "request": [{"set": {"header": "x", "to": "1"}}],
        "response": [{"set": {"header": "x", "to": "1"}}]});
    let worker = Worker::<Transform>::new(&World::new(), json!({"rules": [rule.clone(), rule]}));
    let mut hits = 0;
    for _ in 0..200 {
        let outcome = worker.run(&Message::get("/"), &Message::response(200));
        let (request, response) = (all(outcome.forwarded(), "x"), all(outcome.answer(), "x"));
        assert_eq!(request, response);
        hits += request.len();
    }
    // Each of two rules holds by itself: three quarters of the requests.
    assert!((120..180).contains(&hits), "{hits}");
}
