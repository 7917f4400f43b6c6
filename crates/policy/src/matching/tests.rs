use std::cell::Cell;

use serde_json::{Value, json};

use super::*;
use crate::config::{self, Options};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A `match` block as a policy has it, through the loader that policies use.
fn load(block: &Value) -> Result<Match, String> {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Policy {
        r#match: Match,
    }
    let document = json!({ "match": block }).to_string();
    let policy = config::load::<Policy>(document.as_bytes(), &Options::default());
    policy.map(|policy| policy.r#match).map_err(|error| error.to_string())
}

fn compiled(block: &Value) -> Match {
    load(block).unwrap_or_else(|error| panic!("{block}: {error}"))
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn request(more: Pairs<'_>) -> Headers {
    let defaults = [(":method", "GET"), (":authority", "api.example.com"), (":path", "/")];
    let kept = defaults.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    let (pseudo, fields): (Vec<_>, Vec<_>) =
        more.iter().copied().partition(|(name, _)| name.starts_with(':'));
    Headers::from_pairs(kept.chain(pseudo).chain(fields).collect::<Vec<_>>())
}

fn holds(block: &Value, request_fields: Pairs<'_>, response_fields: Option<Pairs<'_>>) -> bool {
    let request_headers = request(request_fields);
    let response_headers = response_fields.map(|pairs| Headers::from_pairs(pairs.to_vec()));
    let head = RequestHead::new(&request_headers);
    let input = Input {
        request: &head,
        response: response_headers.as_ref(),
        roll: &|| panic!("nothing to draw for"),
    };
    compiled(block).holds(&input)
}

#[test]
fn what_upstreams_read_differently_is_unclear() {
    use Truth::{No, Unclear, Yes};
    let v1 = json!({"path": {"prefix": "/v1"}});
    let host = json!({"host": ["api.example.com", "*.example.org"]});
    let once =
        json!({"query": {"a": "1"}, "header": {"x-a": {"not": "1"}}, "cookie": {"a": {"present": false}}});
    for (block, request, expected) in [
        (&v1, &[(":path", "/v1/a")][..], Yes),
        (&v1, &[(":path", "/v2/a")], No),
        (&v1, &[(":path", "/v1/a;x/b%2Fc")], Yes),
        (&v1, &[(":path", "/v2;x/a%2fb")], No),
        (&v1, &[(":path", "/v1;x/a")], Unclear),
        (&v1, &[(":path", "/v1%2fa")], Unclear),
        (&v1, &[(":path", "/%5cv1")], Unclear),
        (&v1, &[(":path", "/v1/..;x")], Unclear),
        (&json!({"path": "/files/{name}"}), &[(":path", "/files/a%2Fb")], Unclear),
        (&json!({"path": ["/files/{name}", "/files/{name...}"]}), &[(":path", "/files/a%2Fb")], Yes),
        (&json!({"method": "GET"}), &[], Yes),
        (&json!({"method": ["PUT", "GET"]}), &[(":method", "Get")], Unclear),
        (&json!({"method": "PUT"}), &[(":method", "get")], No),
        (&host, &[], Yes),
        (&host, &[(":authority", "a.example.org.:8080")], Yes),
        (&host, &[(":authority", "example.org")], No),
        (&host, &[(":authority", "[::1]:80")], No),
        (&host, &[(":authority", "")], No),
        (&host, &[(":authority", "me@api.example.com")], Unclear),
        (&host, &[(":authority", "a.b,api.example.com")], Unclear),
        (&host, &[(":authority", "api%2eexample.com")], Unclear),
        (&host, &[(":authority", "api.example.com:80:81")], Unclear),
        (&host, &[(":authority", "api.example.com:http")], Unclear),
        (&host, &[(":authority", "[api.example.com]")], Unclear),
        (&once, &[(":path", "/?a=1")], Yes),
        (&once, &[(":path", "/?a=2")], No),
        (&once, &[(":path", "/?a=1&a=1")], Unclear),
        (&once, &[(":path", "/?a=1"), ("x-a", "2"), ("x-a", "1")], Unclear),
        (&once, &[(":path", "/?a=1"), ("cookie", "a=1; a=2")], Unclear),
        (&once, &[(":path", "/?a=1"), ("x-b", "2"), ("x-b", "1")], Yes),
        (&json!({"path": "/v1", "query": {"a": "1"}}), &[(":path", "/v2?a=1&a=2")], No),
        (&json!({"path": "/v1", "query": {"a": "1"}}), &[(":path", "/v1;x?a=2")], No),
        (&json!({"path": "/v1", "query": {"a": "1"}}), &[(":path", "/v1;x?a=1")], Unclear),
        (&json!({"content_type": "text/*"}), &[("content-type", "text/css")], Yes),
        (
            &json!({"content_type": "text/*"}),
            &[("content-type", "text/css"), ("content-type", "a/b")],
            Unclear,
        ),
        (&json!({"content_type": "text/*"}), &[("content-type", "a/b"), ("content-type", "a/c")], No),
        (&json!({"content_type": "text/*"}), &[("content-type", "text/css, text/css")], Unclear),
        (&json!({"content_type": "text/*"}), &[("content-type", "text/css;a,a/b")], Unclear),
        (&json!({"content_type": "text/*"}), &[("content-type", "a/b,a/c , text/css;q")], Unclear),
        (&json!({"content_type": "text/*"}), &[("content-type", "a/b,a/c")], No),
        (&json!({"content_type": "text/*"}), &[], No),
        (&json!({"host": "a.b:80"}), &[(":authority", "a.b"), (":scheme", "http")], Yes),
        (&json!({"host": "a.b:80"}), &[(":authority", "a.b"), (":scheme", "https")], Unclear),
        (&json!({"host": "a.b:80"}), &[(":authority", "a.b:81")], No),
        (&json!({"host": "a.b:80"}), &[(":authority", "a.c"), (":scheme", "https")], No),
        (&json!({"host": "a.b:80"}), &[(":authority", "a.b:65616")], Unclear),
        (&json!({"host": "a.b"}), &[(":authority", "a.b..")], Unclear),
        (&v1, &[(":path", "/v1%3Bx%2Fy/a")], Unclear),
        (&json!({"path": "/v1", "status": 200}), &[(":path", "/v1;x")], No),
        (&json!({"path": "/v1", "content_type": "text/*"}), &[(":path", "/v1;x")], No),
    ] {
        let headers = self::request(request);
        let head = RequestHead::new(&headers);
        let input = Input { request: &head, response: None, roll: &|| panic!("nothing to draw for") };
        let block = compiled(block);
        assert_eq!(block.truth(&input), expected, "{block:?} {request:?}");
        // What is clear is what holds.
        if expected != Unclear {
            assert_eq!(block.holds(&input), expected == Yes, "{block:?} {request:?}");
        }
    }
}

#[test]
fn chance_is_asked_once_also_for_what_is_unclear() {
    let headers = request(&[(":path", "/v1;x")]);
    let block = compiled(&json!({"path": "/v1", "percent": 50}));
    for (drawn, expected) in [(4_999, Truth::Unclear), (5_000, Truth::No)] {
        let rolled = Cell::new(0);
        let roll = || {
            rolled.set(rolled.get() + 1);
            drawn
        };
        let input = Input { request: &RequestHead::new(&headers), response: None, roll: &roll };
        assert_eq!((block.truth(&input), rolled.get()), (expected, 1));
    }
}

#[test]
fn an_empty_block_always_holds() {
    assert!(holds(&json!({}), &[], None));
    let headers = Headers::default();
    let input = Input { request: &RequestHead::new(&headers), response: None, roll: &|| panic!() };
    assert!(Match::default().holds(&input));
}

#[test]
fn before_there_is_a_response_its_parts_are_taken_for_granted() {
    let may_hold = |block: Value, roll: u16| {
        compiled(&block).may_hold(&RequestHead::new(&request(&[("content-type", "text/plain")])), &|| roll)
    };
    assert!(may_hold(json!({"status": "5xx", "content_type": "application/json"}), 0));
    assert!(may_hold(json!({"method": "GET", "path": "/", "status": 404}), 0));
    assert!(!may_hold(json!({"method": "POST", "status": 404}), 0));
    assert!(may_hold(json!({"status": 404, "percent": 10}), 999));
    assert!(!may_hold(json!({"status": 404, "percent": 10}), 1_000));
    for (status, allowed) in [(404, true), (451, false), (500, true), (200, false)] {
        assert_eq!(compiled(&json!({"status": [404, "5xx"]})).allows_status(status), allowed, "{status}");
        assert!(compiled(&json!({"method": "GET"})).allows_status(status));
    }
}

#[test]
fn each_part_decides_by_itself() {
    for (block, request, expected) in [
        (json!({"method": "GET"}), &[][..], true),
        (json!({"method": ["PUT", "GET"]}), &[], true),
        (json!({"method": "GET"}), &[(":method", "get")], false),
        (json!({"method": "POST"}), &[], false),
        (json!({"host": "*.example.com"}), &[], true),
        (json!({"host": ["a.b", "API.example.com"]}), &[(":authority", "api.EXAMPLE.com:8080")], true),
        (json!({"host": "api.example.com:443"}), &[(":scheme", "https")], true),
        (json!({"host": "api.example.com:443"}), &[(":scheme", "http")], false),
        (json!({"host": "api.example.com"}), &[(":authority", "x"), ("host", "api.example.com")], false),
        (json!({"path": "/v1/users/{id}"}), &[(":path", "/v1/users/1?x=/y")], true),
        (json!({"path": "/v1/users/{id}"}), &[(":path", "/v1/users?x=/1")], false),
        (json!({"path": {"prefix": "/v1"}}), &[(":path", "/v1")], true),
        (json!({"path": {"prefix": "/v1"}}), &[(":path", "/v1/x?y")], true),
        (json!({"path": {"prefix": "/v1/"}}), &[(":path", "/v1")], true),
        (json!({"path": {"prefix": "/v1"}}), &[(":path", "/v1x")], false),
        (json!({"path": {"prefix": "/"}}), &[(":path", "/x")], true),
        (json!({"path": {"exact": "/v1"}}), &[(":path", "/v1")], true),
        (json!({"path": {"exact": "/v1"}}), &[(":path", "/v1/")], false),
        (json!({"path": {"exact": "/{id}"}}), &[(":path", "/%7Bid}")], true),
        (json!({"path": {"regex": "/v[12]/.*"}}), &[(":path", "/v2/x")], true),
        (json!({"path": {"regex": "/v[12]"}}), &[(":path", "/v2/x")], false),
        (json!({"path": ["/a", {"prefix": "/b"}]}), &[(":path", "/b/c")], true),
        (json!({"path": "/a"}), &[(":path", "*")], false),
        (json!({"query": {"debug": "1"}}), &[(":path", "/?debug=0&d%65bug=%31")], true),
        (json!({"query": {"debug": "1"}}), &[(":path", "/?debug=1%00")], false),
        (json!({"query": {"debug": {"present": false}}}), &[(":path", "/")], true),
        (json!({"query": {"debug": {"present": true}}}), &[(":path", "/?debug")], true),
        (json!({"query": {"debug": {"not": "1"}}}), &[(":path", "/?debug=1&debug=2")], false),
        (json!({"query": {"a": "1", "b": ["2", "3"]}}), &[(":path", "/?b=3&a=1")], true),
        (json!({"query": {"a": "1", "b": ["2", "3"]}}), &[(":path", "/?b=4&a=1")], false),
        (
            json!({"header": {"X-Env": {"regex": "^prod"}}}),
            &[("x-env", "dev"), ("x-env", "production")],
            true,
        ),
        (json!({"header": {"x-env": "a"}}), &[("x-env", "a, b")], false),
        (json!({"header": {"x-env": {"not": "a"}}}), &[("x-env", "b"), ("x-env", "a")], false),
        (json!({"header": {"x-env": {"present": false}}}), &[("x-env", "")], false),
        (
            json!({"cookie": {"beta": {"present": true}}}),
            &[("cookie", "a=1"), ("cookie", "b=2; beta")],
            false,
        ),
        (
            json!({"cookie": {"beta": {"present": true}}}),
            &[("cookie", "a=1"), ("cookie", "b=2; beta=")],
            true,
        ),
        (json!({"cookie": {"Beta": {"present": true}}}), &[("cookie", "beta=1")], false),
        (
            json!({"content_type": "application/json"}),
            &[("content-type", "Application/JSON; charset=x")],
            true,
        ),
        (
            json!({"content_type": ["text/*", "application/*+json"]}),
            &[("content-type", "application/a+json")],
            true,
        ),
        (json!({"content_type": "*/*"}), &[], false),
        (json!({"method": "GET", "header": {"a": "1"}}), &[("a", "1")], true),
        (json!({"method": "PUT", "header": {"a": "1"}}), &[("a", "1")], false),
    ] {
        assert_eq!(holds(&block, request, None), expected, "{block} {request:?}");
    }
}

#[test]
fn no_spelling_of_a_path_gets_around_a_rule() {
    let rules = [
        json!({"path": "/v1/users/{id}"}),
        json!({"path": {"prefix": "/v1/users"}}),
        json!({"path": {"exact": "/v1/users/1"}}),
        json!({"path": {"regex": "/v1/users/[0-9]+"}}),
    ];
    for path in [
        "/v1/users/1",
        "/v1/%75sers/1",
        "/v1//users/1",
        "//v1/users/1",
        "/v1/./users/1",
        "/x/../v1/users/1",
        "/%2e%2e/v1/%2E/users/1",
        "\\v1\\users\\1",
        "/v1/users/1?/../..",
        "/v1/users/%31?",
    ] {
        for rule in &rules {
            assert!(holds(rule, &[(":path", path)], None), "{rule} {path}");
        }
    }
    // An encoded slash is part of its segment.
    assert!(!holds(&rules[0], &[(":path", "/v1%2Fusers/1")], None));
    assert!(holds(&rules[0], &[(":path", "/v1/users/..%2F..%2Fadmin")], None));
}

#[test]
fn a_response_has_a_status_and_the_content_type_that_counts() {
    let json_request: Pairs<'_> = &[("content-type", "application/json")];
    for (block, response, expected) in [
        (json!({"status": [404, "5xx"]}), Some(&[(":status", "503")][..]), true),
        (json!({"status": [404, "5xx"]}), Some(&[(":status", "404")]), true),
        (json!({"status": [404, "5xx"]}), Some(&[(":status", "200")]), false),
        (json!({"status": "500-599"}), Some(&[(":status", "banana")]), false),
        (json!({"status": "500-599"}), Some(&[]), false),
        (json!({"status": 200}), None, false),
        (json!({"content_type": "application/json"}), None, true),
        (json!({"content_type": "application/json"}), Some(&[("content-type", "text/html")]), false),
        (json!({"content_type": "application/json"}), Some(&[]), false),
        (json!({"content_type": "text/html"}), Some(&[("content-type", "text/html")]), true),
        // Conditions on header fields are about the request, always.
        (json!({"header": {"content-type": "application/json"}}), Some(&[]), true),
    ] {
        assert_eq!(holds(&block, json_request, response), expected, "{block} {response:?}");
        assert_eq!(compiled(&block).needs_response(), block.get("status").is_some());
    }
}

#[test]
fn chance_decides_last_and_only_where_it_must() {
    let draws = Cell::new(0);
    let decide = |block: Value, roll: u16| {
        let headers = request(&[]);
        let draw = || {
            draws.set(draws.get() + 1);
            roll
        };
        compiled(&block).holds(&Input { request: &RequestHead::new(&headers), response: None, roll: &draw })
    };
    assert!(decide(json!({"percent": 10}), 999));
    assert!(!decide(json!({"percent": 10}), 1000));
    assert!(decide(json!({"percent": 0.01}), 0));
    assert!(!decide(json!({"percent": 0.01}), 1));
    assert!(!decide(json!({"percent": 0}), 0));
    assert!(decide(json!({"percent": 100}), 9999));
    assert_eq!(draws.replace(0), 6);
    assert!(!decide(json!({"percent": 100, "method": "PUT"}), 0));
    assert_eq!(draws.get(), 0);
}

#[test]
fn captures_are_those_of_the_first_template_that_matches() {
    let rule = compiled(&json!({"path": [{"prefix": "/files"}, "/v1/{a}/{b}", "/v1/{rest...}"]}));
    for (path, expected) in [
        ("/v1/x/%41%2Fb%ff?q", &[("a", &b"x"[..]), ("b", b"A/b\xff")][..]),
        ("/v1/../v1//x/y", &[("a", b"x"), ("b", b"y")]),
        ("/v1/x", &[("rest", b"x")]),
        ("/files/x", &[]),
        ("/none", &[]),
    ] {
        let headers = request(&[(":path", path)]);
        let captures = rule.captures(&RequestHead::new(&headers));
        assert_eq!(captures.iter().collect::<Vec<_>>(), expected, "{path}");
    }
    let headers = request(&[(":path", "/v1/x/y")]);
    let head = RequestHead::new(&headers);
    assert_eq!(rule.captures(&head).value("b"), Some(b"y".as_slice()));
    assert_eq!(rule.captures(&head).value("c"), None);
    assert_eq!(Match::default().captures(&head), Captures::default());
}

#[test]
fn hostile_requests_are_only_requests() {
    let block = compiled(&json!({
        "host": "*.a", "path": "/{a...}", "query": {"a": {"contains": "x"}}, "header": {"a": "x"}, "cookie": {"a": "x"},
        "content_type": "a/b",
    }));
    let bytes: Vec<u8> = (0..=255).collect();
    for name in [":method", ":authority", ":path", ":scheme", "cookie", "content-type", "a"] {
        for value in
            [&bytes[..], b"", b"%", b"\xff%00%zz", b"?", b"/?&=&", b"[", b":", b"]:", &[b'/'; 60_000]]
        {
            let headers = Headers::from_pairs([(name.as_bytes(), value)]);
            let input = Input { request: &RequestHead::new(&headers), response: Some(&headers), roll: &|| 0 };
            assert!(!block.holds(&input));
        }
    }
}

#[test]
fn wrong_blocks_are_refused_with_the_place() {
    for (block, path, expected) in [
        (json!({"methods": "GET"}), "match", "did you mean \"method\""),
        (json!({"method": "get"}), "match.method", "write GET"),
        (json!({"method": ["GET", "P UT"]}), "match.method[1]", "a method like GET"),
        (json!({"method": []}), "match.method", ""),
        (json!({"method": null}), "match.method", ""),
        (json!({"host": null}), "match.host", ""),
        (json!({"host": "http://a"}), "match.host", "port"),
        (json!({"host": ["a", "*b"]}), "match.host[1]", "wildcards"),
        (json!({"path": ""}), "match.path", "starts with /"),
        (json!({"path": null}), "match.path", ""),
        (json!({"path": 1}), "match.path", "prefix, exact, regex"),
        (json!({"path": {}}), "match.path", "prefix, exact, regex"),
        (json!({"path": {"prefx": "/a"}}), "match.path", "did you mean \"prefix\""),
        (json!({"path": {"prefix": "/a", "exact": "/a"}}), "match.path", "one of prefix, exact, regex"),
        (json!({"path": ["/a", {"prefix": "a"}]}), "match.path[1].prefix", "starts with /"),
        (json!({"path": {"regex": "/a("}}), "match.path.regex", "unclosed group"),
        (json!({"path": "/{a}/{a}"}), "match.path", "twice"),
        (json!({"query": {}}), "match.query", "at least one name"),
        (json!({"query": {"a": null}}), "match.query.a", ""),
        (json!({"query": {"a": {"prefix": ""}}}), "match.query.a.prefix", "not empty"),
        (json!({"query": {"a": 1}}), "match.query.a", "quote it"),
        (json!({"header": {"x env": "a"}}), "match.header", "not a header name"),
        (json!({"header": {"X-A": "a", "x-a": "b"}}), "match.header", "same name twice"),
        (json!({"header": {":path": "a"}}), "match.header", "use path"),
        (json!({"header": {"Host": "a"}}), "match.header", "use host"),
        (json!({"header": {"a": {"regex": "["}}}), "match.header.a.regex", "found \"[\""),
        (json!({"cookie": {"a": {"present": 1}}}), "match.cookie.a.present", "true or false"),
        (json!({"status": 600}), "match.status", "a status like 503"),
        (json!({"status": ["5xx", "6xx"]}), "match.status[1]", "a status like 503"),
        (json!({"content_type": "json"}), "match.content_type", "a media type like"),
        (json!({"percent": 101}), "match.percent", ""),
        (json!(null), "match", ""),
        (json!("/a"), "match", ""),
    ] {
        let error = load(&block).unwrap_err();
        assert!(error.starts_with(path) && error.contains(expected), "{block}: {error}");
        assert!(!error.contains('\n'), "{block}: {error}");
    }
}

#[test]
fn it_is_known_beforehand_who_has_a_say() {
    for (block, request, response) in [
        (json!({}), false, false),
        (json!({"percent": 10}), false, false),
        (json!({"method": "GET"}), true, false),
        (json!({"host": "a.example"}), true, false),
        (json!({"path": "/a/{id}"}), true, false),
        (json!({"query": {"a": "1"}}), true, false),
        (json!({"header": {"a": "1"}}), true, false),
        (json!({"cookie": {"a": "1"}}), true, false),
        (json!({"status": 200}), false, true),
        (json!({"content_type": "a/b", "path": "/"}), true, true),
    ] {
        let rule = load(&block).unwrap();
        assert_eq!((rule.looks_at_request(), rule.looks_at_response()), (request, response), "{block}");
    }
    let rule = load(&json!({"path": ["/a/{x}/{y}", {"prefix": "/"}, "/b/{x}/{rest...}"]})).unwrap();
    assert_eq!(rule.names().collect::<Vec<_>>(), ["x", "y", "x", "rest"]);
}

#[test]
fn the_schema_has_every_part() {
    let schema = serde_json::to_value(schemars::schema_for!(Match)).unwrap();
    let properties: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["content_type", "cookie", "header", "host", "method", "path", "percent", "query", "status"];
    assert_eq!(properties, expected);
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["required"], Value::Null);
}
