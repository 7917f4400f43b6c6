//! What is refused of a configuration, and how that reads.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[track_caller]
fn refused(document: &Value, expected: &str) {
    match load(document) {
        Ok(_) => panic!("passes: {document}\nexpected: {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

/// An operation on the request.
#[track_caller]
fn request_refused(operation: Value, expected: &str) {
    refused(&json!({"rules": [{"request": [operation]}]}), &format!("rules[0].request[0]{expected}"));
}

/// An operation on the response.
#[track_caller]
fn response_refused(operation: Value, expected: &str) {
    refused(&json!({"rules": [{"response": [operation]}]}), &format!("rules[0].response[0]{expected}"));
}

#[test]
fn documents() {
    for (document, expected) in [
        (
            json!({}),
            "$: missing field \"rules\", expected one such as rules: [{request: [{set: {header: x-user-id, to: \"{{ path.id }}\"}}]}]",
        ),
        (json!({"rules": []}), "rules: found no rules, expected at least one"),
        (
            json!({"rule": []}),
            "$: found unknown field \"rule\", expected one of \"rules\", \"body_limit\", \"json_types\", \"encoded_bodies\", \"max_ratio\", \"allow_on_headers_stop_iteration\": did you mean \"rules\"?",
        ),
        (
            json!({"rules": [{"match": {"path": "/"}}]}),
            "rules[0]: found neither request nor response, expected operations, such as request: [{set: {header: x-user-id, to: \"{{ path.id }}\"}}]",
        ),
        (
            json!({"rules": [{"request": [{"set": {"method": "PUT"}}], "match": {"status": 200}}]}),
            "rules[0].match.status: found a status beside operations on the request, expected operations on the response only, where a rule is for some responses",
        ),
        (
            json!({"rules": [{"request": [{"set": {"method": "PUT"}}], "when": "response.status == 200"}]}),
            "rules[0].when: found a condition on the response beside operations on the request, expected operations on the response only, where a rule is for some responses",
        ),
        (
            json!({"rules": [{"request": [{"set": {"method": "PUT"}}]}], "body_limit": "1GiB"}),
            "body_limit: found another size, expected 1B to 64MiB",
        ),
        (
            json!({"rules": [{"request": [{"set": {"method": "PUT"}}]}], "encoded_bodies": "plain"}),
            "encoded_bodies: found \"plain\", expected one of \"keep\", \"identity\"",
        ),
        (
            json!({"rules": [{"request": [{"set": {"method": "PUT"}}]}], "max_ratio": 0}),
            "max_ratio: found 0, expected 1 or more",
        ),
    ] {
        refused(&document, expected);
    }
}

#[test]
fn heads_that_wait_need_an_option() {
    let option = "this takes a head that waits for its body: write allow_on_headers_stop_iteration: true here, and in the PluginConfig of Envoy as well";
    for operation in [
        json!({"copy": {"from": {"json": "/a"}, "to": {"header": "x-a"}}}),
        json!({"copy": {"from": "body", "to": {"header": "x-a"}}}),
        json!({"set": {"header": "x-a", "to": "{{ body.a }}"}}),
        json!({"set": {"path": "/{{ body.a }}"}}),
    ] {
        request_refused(operation, &format!(": the head depends on the body: {option}"));
    }
    refused(
        &json!({"rules": [{"when": "body.a", "response": [{"set": {"status": 404}}]}]}),
        &format!("rules[0].when: operations on the head depend on the body: {option}"),
    );
    refused(
        &json!({"rules": [{"response": [{"remove": {"json": "/a"}}]}], "encoded_bodies": "identity"}),
        &format!("encoded_bodies: found identity, expected keep: {option}"),
    );
}

#[test]
fn operations() {
    let places = "header, query, cookie, json, path, method, host, status, body";
    for (operation, expected) in [
        (json!({"put": {"header": "x", "to": "1"}}), ": found \"put\", expected one of \"set\", \"add\", \"append\", \"remove\", \"rename\", \"copy\", \"move\", \"keep\"".to_owned()),
        (json!({"set": {"header": "x", "to": "1"}, "remove": {"header": "y"}}), ": found an object with 2 keys, expected an object whose one key is one of \"set\", \"add\", \"append\", \"remove\", \"rename\", \"copy\", \"move\", \"keep\"".to_owned()),
        (json!({"set": {"to": "1"}}), format!(".set: found no place, expected one of {places}")),
        (json!({"set": {"header": "x", "query": "y", "to": "1"}}), ".set: found header and query, expected one of them: write an operation for each".to_owned()),
        (json!({"set": {"header": "x"}}), ".set: missing field \"to\": write set: {header: ..., to: the value}".to_owned()),
        (json!({"set": {"method": "PUT", "to": "1"}}), ".set.to: found to beside method, expected nothing: write set: {method: ...}".to_owned()),
        (json!({"add": {"method": "PUT"}}), ".add: found add with method, expected header, query, cookie or json: only they can be missing: write set".to_owned()),
        (json!({"append": {"path": "/x"}}), ".append: found append with path, expected header, query or json: only they can have several values: write set".to_owned()),
        (json!({"append": {"cookie": "a", "to": "1"}}), ".append: found append with cookie, expected header, query or json: only they can have several values: write set".to_owned()),
        (json!({"set": {"header": "x", "value": "1"}}), ".set: found unknown field \"value\", expected one of \"header\", \"query\", \"cookie\", \"attributes\", \"json\", \"to\", \"path\", \"method\", \"host\", \"status\", \"body\", \"content_type\"".to_owned()),
        (json!({"remove": {}}), ".remove: found an empty object, expected an object whose one key is one of \"header\", \"query\", \"cookie\", \"json\"".to_owned()),
        (json!({"remove": {"method": "x"}}), ".remove: found \"method\", expected one of \"header\", \"query\", \"cookie\", \"json\"".to_owned()),
        (json!({"remove": {"json": ""}}), ".remove.json: found \"\", expected a place in the body to remove, not all of it".to_owned()),
        (json!({"rename": {"path": "/x", "to": "y"}}), ".rename: found unknown field \"path\", expected one of \"header\", \"query\", \"cookie\", \"json\", \"to\"".to_owned()),
        (json!({"rename": {"json": "/a", "to": "/b"}}), ".rename.to: found \"/b\", expected the new key of the member, not a path: to put it elsewhere write move: {from: {json: ...}, to: {json: ...}}".to_owned()),
        (json!({"rename": {"header": "x"}}), ".rename: missing field \"to\": write rename: {header: ..., to: the new name}".to_owned()),
        (json!({"copy": {"from": "path"}}), ".copy: missing field \"to\", expected one such as to: {json: /user/id}".to_owned()),
        (json!({"copy": {"from": {"capture": "id"}, "to": {"capture": "id"}}}), ".copy.to: found \"capture\", expected one of \"path\", \"method\", \"host\", \"status\", \"body\", \"header\", \"query\", \"cookie\", \"json\"".to_owned()),
        (json!({"move": {"from": "path", "to": {"header": "x"}}}), ".move.from: found a place that can't be empty, expected header, query, cookie or json: write copy".to_owned()),
        (json!({"copy": {"from": "body", "to": {"json": "/a"}}}), ".copy.from: found the body, to write into the body, expected {json: \"\"}, which is the whole of a JSON body".to_owned()),
        (json!({"move": {"from": {"json": "$"}, "to": {"json": "/a"}}}), ".move.from.json: found \"$\", expected a place in the body to move, not all of it".to_owned()),
        (json!({"set": {"status": 200}}), ".set.status: found a status of the request, expected header, query, cookie, path, method, host, json or body: only responses have a status".to_owned()),
        (json!({"set": {"cookie": "a", "to": "1", "attributes": "Path=/"}}), ".set.attributes: found attributes, expected them only beside a cookie of a response".to_owned()),
        (json!({"set": {"header": "a", "to": "1", "content_type": "a/b"}}), ".set.content_type: found content_type without body, expected it only beside body: write set: {header: content-type, to: ...}".to_owned()),
    ] {
        request_refused(operation, &expected);
    }
    for (operation, place) in [
        (json!({"set": {"query": "a", "to": "1"}}), "set.query"),
        (json!({"set": {"method": "GET"}}), "set.method"),
        (json!({"set": {"path": "/"}}), "set.path"),
        (json!({"remove": {"query": "a"}}), "remove.query"),
        (json!({"keep": {"query": "a"}}), "keep.query"),
        (json!({"copy": {"from": {"header": "a"}, "to": "host"}}), "copy.to"),
        (json!({"copy": {"from": "path", "to": {"header": "x"}}}), "copy.from"),
    ] {
        let name = match place {
            "copy.to" => "host",
            "copy.from" => "path",
            place => place.split_once('.').unwrap().1,
        };
        response_refused(
            operation,
            &format!(
                ".{place}: found a {name} of the response, expected header, cookie, status, json or body: to write what the request held, use a template: {{{{ request.path }}}}"
            ),
        );
    }
}

#[test]
fn names() {
    let set = |name: &str| json!({"set": {"header": name, "to": "1"}});
    for (name, hint) in [
        (":path", "path and query are places of their own: write path or query instead of header"),
        ("Host", "the host is a place of its own: write host instead of header"),
        (":status", "the status is a place of its own: write status instead of header"),
        (":scheme", "the proxy says how it was reached: this can't be changed"),
        ("content-length", "it says how the body is sent, and is kept right without a word"),
        ("Content-Encoding", "it says how the body is sent, and is kept right without a word"),
        (
            "transfer-encoding",
            "it belongs to a single connection, and the proxy writes it (RFC 9110 section 7.6.1)",
        ),
        ("connection", "it belongs to a single connection, and the proxy writes it (RFC 9110 section 7.6.1)"),
        ("upgrade", "it belongs to a single connection, and the proxy writes it (RFC 9110 section 7.6.1)"),
    ] {
        request_refused(
            set(name),
            &format!(".set.header: found \"{name}\", expected another header field: {hint}"),
        );
    }
    request_refused(
        set("a b"),
        ".set.header: found \"a b\", expected the name of a header field, such as x-user-id",
    );
    request_refused(
        json!({"remove": {"header": ["x", "te"]}}),
        ".remove.header[1]: found \"te\", expected another header field: it belongs to a single connection, and the proxy writes it (RFC 9110 section 7.6.1)",
    );
    request_refused(
        json!({"remove": {"query": ""}}),
        ".remove.query: found \"\", expected the decoded name of a query parameter, such as debug",
    );
    request_refused(
        json!({"remove": {"cookie": "a;b"}}),
        ".remove.cookie: found \"a;b\", expected the name of a cookie, such as session: letters, digits and !#$%&'*+-.^_`|~",
    );
    // To read them is no harm.
    assert!(load(&json!({"rules": [{"request": [{"copy": {"from": {"header": "content-length"}, "to": {"header": "x"}}}]}]})).is_ok());
}

#[test]
fn values() {
    for (operation, expected) in [
        (
            json!({"set": {"header": "x", "to": null}}),
            ".set.to: found null, expected a string, a number or a boolean: only places in a JSON body hold more",
        ),
        (
            json!({"set": {"header": "x", "to": {}}}),
            ".set.to: found an object, expected a string, a number or a boolean: only places in a JSON body hold more",
        ),
        (
            json!({"set": {"cookie": "x", "to": "a;b"}}),
            ".set.to: found \"a;b\", expected the value of a cookie, without ; and spaces around it",
        ),
        (
            json!({"set": {"method": "G T"}}),
            ".set.method: found \"G T\", expected a method such as PUT, other than CONNECT",
        ),
        (
            json!({"set": {"method": "CONNECT"}}),
            ".set.method: found \"CONNECT\", expected a method such as PUT, other than CONNECT",
        ),
        (
            json!({"set": {"host": "a/b"}}),
            ".set.host: found \"a/b\", expected a host such as api.internal or api.internal:8080",
        ),
        (
            json!({"set": {"path": "users"}}),
            ".set.path: found \"users\", expected an absolute path without a query, such as /v2/{rest...} or /users/{{ path.id }}: a path starts with /",
        ),
        (
            json!({"set": {"path": "/a?b=1"}}),
            ".set.path: found \"/a?b=1\", expected an absolute path without a query, such as /v2/{rest...} or /users/{{ path.id }}: set parameters of the query with query",
        ),
        (
            json!({"set": {"path": "/a b"}}),
            ".set.path: found \"/a b\", expected an absolute path without a query, such as /v2/{rest...} or /users/{{ path.id }}: percent-encode what can't stand in a path",
        ),
        (
            json!({"set": {"path": "/users/{id}"}}),
            ".set.path: found \"/users/{id}\", expected an absolute path without a query, such as /v2/{rest...} or /users/{{ path.id }}: write {{ path.id }} for one segment, or {id...} for several",
        ),
        (
            json!({"set": {"path": "/{rest"}}),
            ".set.path: found \"/{rest\", expected an absolute path without a query, such as /v2/{rest...} or /users/{{ path.id }}: a { is not closed",
        ),
        (
            json!({"set": {"body": "{a: 1}"}}),
            ".set.body: found \"{a: 1}\", expected JSON: expected a member name in quotes (at byte 1)",
        ),
        (
            json!({"set": {"body": {}, "content_type": "text/html"}}),
            ".set.body: found an object, expected a string: only bodies of JSON are written as JSON values",
        ),
        (
            json!({"set": {"body": "", "content_type": "html"}}),
            ".set.content_type: found \"html\", expected a media type, such as text/html; charset=utf-8",
        ),
    ] {
        request_refused(operation, expected);
    }
    for status in [json!(99), json!(101), json!(204), json!(304), json!(600), json!("x")] {
        let found = status.as_str().map_or_else(|| status.to_string(), str::to_owned);
        response_refused(
            json!({"set": {"status": status}}),
            &format!(
                ".set.status: found \"{found}\", expected a status from 200 to 599, but for 204, 205 and 304: the body of the response would be left over"
            ),
        );
    }
    for (operation, start) in [
        (
            json!({"set": {"header": "x", "to": "{{ requst.path }}"}}),
            ".set.to: found the unknown variable \"requst\"",
        ),
        (json!({"set": {"header": "x", "to": "{{ a"}}), ".set.to: "),
        (json!({"set": {"header": "x", "to": "a\r\nb"}}), ".set.to: "),
        (json!({"set": {"json": "user.name", "to": 1}}), ".set.json: "),
        (json!({"set": {"json": "$.a[?(@.b)]", "to": 1}}), ".set.json: "),
    ] {
        let error = load(&json!({"rules": [{"request": [operation]}]})).unwrap_err().to_string();
        assert!(error.starts_with(&format!("rules[0].request[0]{start}")), "{error}");
    }
}

#[test]
fn remedies() {
    let document =
        |on_error: Value| json!({"rules": [{"request": [{"set": {"method": "PUT"}}], "on_error": on_error}]});
    let one = "pass, skip, error, or an error with its status, such as {error: 422}";
    for (on_error, expected) in [
        (json!("ignore"), ": found \"ignore\", expected pass, skip or error for all trouble, or an object with one of them for each kind".to_owned()),
        (json!({"missing": "ignore"}), format!(".missing: found \"ignore\", expected {one}")),
        (json!({"missing": 400}), format!(".missing: found 400, expected {one}")),
        (json!({"missing": {"error": 200}}), ".missing.error: found 200, expected the status of an error, 400 to 599".to_owned()),
        (json!({"missing": {"status": 400}}), ".missing: found unknown field \"status\", expected \"error\"".to_owned()),
        (json!({"json": "pass"}), ": found unknown field \"json\", expected one of \"invalid_json\", \"missing\", \"wrong_type\", \"over_limit\", \"undecodable\", \"template\"".to_owned()),
    ] {
        refused(&document(on_error), &format!("rules[0].on_error{expected}"));
    }
}

/// What no path of `match` has would be empty for ever.
#[test]
fn names_that_no_path_has() {
    let set = json!({"set": {"header": "x", "to": "{{ path.di }}"}});
    let none =
        "expected a name in match.path, which has none: write a path such as match: {path: \"/users/{di}\"}";
    request_refused(set.clone(), &format!(".set.to: found \"path.di\", {none}"));
    let rule = |more: Value| {
        let mut rule = json!({"match": {"path": "/users/{id}"}});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"rules": [rule]})
    };
    let meant = "expected \"path.id\": did you mean \"path.id\"?";
    for (more, at) in [
        (json!({"request": [set]}), "request[0].set.to"),
        (json!({"request": [{"set": {"path": "/{{ path['di'] }}"}}]}), "request[0].set.path"),
        (json!({"request": [{"set": {"path": "/v2/{di...}"}}]}), "request[0].set.path"),
        (json!({"request": [{"set": {"json": "/a", "to": {"b": ["{{ path.di }}"]}}}]}), "request[0].set.to"),
        (json!({"response": [{"set": {"body": {"b": "{{ path.di }}"}}}]}), "response[0].set.body"),
        (json!({"response": [{"set": {"status": "{{ path.di|int }}"}}]}), "response[0].set.status"),
        (json!({"when": "path.di == 'a'", "request": [{"set": {"method": "PUT"}}]}), "when"),
    ] {
        refused(&rule(more), &format!("rules[0].{at}: found \"path.di\", {meant}"));
    }
    refused(
        &rule(json!({"request": [{"copy": {"from": {"capture": "di"}, "to": {"header": "x"}}}]})),
        "rules[0].request[0].copy.from.capture: found \"di\", expected \"id\"",
    );
    // One of several paths is enough, and `path` as a whole may be empty.
    assert!(
        load(&json!({"rules": [{
        "match": {"path": ["/a/{id}", {"exact": "/a"}, "/b/{rest...}"]},
        "request": [
            {"set": {"header": "x", "to": "{{ path.id }}{{ path.rest|default('none') }}"}},
            {"copy": {"from": {"capture": "rest"}, "to": {"header": "y"}}},
        ],
    }, {"request": [{"set": {"json": "/path", "to": "{{ path }}"}}]}]}))
        .is_ok()
    );
}
