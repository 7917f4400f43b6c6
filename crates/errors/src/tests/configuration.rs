//! What is refused of a configuration, and how that reads.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// Each document is refused with its line.
#[track_caller]
fn refused<const N: usize>(cases: [(Value, &str); N]) {
    for (document, expected) in cases {
        match load(&document) {
            Ok(_) => panic!("passes: {document}"),
            Err(error) => assert_eq!(error.to_string(), expected),
        }
    }
}

#[test]
fn documents() {
    refused([
        (
            json!({"gateway_errors": "drop"}),
            r#"gateway_errors: found "drop", expected one of "replace", "pass""#,
        ),
        (
            json!({"upstream_errors": true}),
            r#"upstream_errors: found true, expected one of "replace", "keep_problems", "pass": YAML reads an unquoted y, n, yes, no, on or off as a boolean: quote it"#,
        ),
        (
            json!({"type_base": "a b"}),
            r#"type_base: found "a b", expected the beginning of a URI, such as https://errors.example.com/"#,
        ),
        (json!({"formats": []}), "formats: found an empty list, expected at least one element"),
        (
            json!({"formats": ["json", "json"]}),
            "formats[1]: found a form that is there twice, expected each form once",
        ),
        (
            json!({"formats": "yaml"}),
            r#"formats: found "yaml", expected one of "problem", "json", "xml", "html", "text""#,
        ),
        (
            json!({"include": ["ip"]}),
            r#"include[0]: found "ip", expected one of "request_id", "trace_id", "timestamp""#,
        ),
        (json!({"include": "request_id"}), r#"include: found "request_id", expected a list"#),
        (
            json!({"request_id_header": "x y"}),
            r#"request_id_header: found "x y", expected the name of a header field, such as x-error-id"#,
        ),
        (json!({"log": "5xx"}), r#"log: found "5xx", expected one of "server_errors", "all", "none""#),
        (
            json!({"rule": []}),
            r#"$: found unknown field "rule", expected one of "gateway_errors", "upstream_errors", "type_base", "formats", "include", "request_id_header", "route_headers", "log", "rules", "direct", "maintenance": did you mean "rules"?"#,
        ),
        (json!({"rules": {}}), "rules: found an empty object, expected a list"),
        (json!([]), "$: found an empty list, expected an object"),
    ]);
}

#[test]
fn rules() {
    refused([
        (
            json!({"rules": [{}]}),
            "rules[0]: found neither respond nor pass, expected one of them, such as respond: {title: Back soon, retry_after: 30s}",
        ),
        (
            json!({"rules": [{"pass": false}]}),
            "rules[0].pass: found false, expected true, or respond instead",
        ),
        (
            json!({"rules": [{"pass": true, "respond": {}}]}),
            "rules[0]: found respond and pass, expected one of them",
        ),
        (
            json!({"rules": [{"pass": true, "when": "request.metod == 'GET'"}]}),
            r#"rules[0].when: found the unknown field of request "metod", expected one of cookies, cookies_all, headers, headers_all, host, method, path, query, query_all, query_string, scheme: did you mean method? (column 1, at "request.metod == 'GET'")"#,
        ),
        (
            json!({"rules": [{"pass": true, "when": "body.x == 1"}]}),
            "rules[0].when: found a condition on the body, expected one on heads only: bodies are never read here",
        ),
    ]);
}

#[test]
fn matches() {
    refused([
        (
            json!({"rules": [{"match": {"status": 99}, "pass": true}]}),
            "rules[0].match.status: found 99, expected a status like 503, a class like 5xx or a range like 500-599",
        ),
        (
            json!({"rules": [{"match": {"status": 100}, "pass": true}]}),
            "rules[0].match.status: found a status below 200, expected statuses from 200 on: what comes before a response can't be replaced",
        ),
        (
            json!({"rules": [{"match": {"status": "6xx"}, "pass": true}]}),
            r#"rules[0].match.status: found "6xx", expected a status like 503, a class like 5xx or a range like 500-599"#,
        ),
        (
            json!({"rules": [{"match": {"origin": "proxy"}, "pass": true}]}),
            r#"rules[0].match.origin: found "proxy", expected one of "gateway", "upstream""#,
        ),
        (
            json!({"rules": [{"match": {"flag": "uh"}, "pass": true}]}),
            r#"rules[0].match.flag: found "uh", expected a response flag of Envoy, by its short or long name, such as UH or NoHealthyUpstream: did you mean "UH"?"#,
        ),
        (
            json!({"rules": [{"match": {"flag": "nohealthyupstream"}, "pass": true}]}),
            r#"rules[0].match.flag: found "nohealthyupstream", expected a response flag of Envoy, by its short or long name, such as UH or NoHealthyUpstream: did you mean "UH"?"#,
        ),
        (
            json!({"rules": [{"match": {"flag": "XX"}, "pass": true}]}),
            r#"rules[0].match.flag: found "XX", expected a response flag of Envoy, by its short or long name, such as UH or NoHealthyUpstream"#,
        ),
        (
            json!({"rules": [{"match": {"details": "a*b"}, "pass": true}]}),
            r#"rules[0].match.details: found "a*b", expected response code details such as route_not_found, or their beginning: upstream_reset*"#,
        ),
        (
            json!({"rules": [{"match": {"details": ""}, "pass": true}]}),
            r#"rules[0].match.details: found "", expected response code details such as route_not_found, or their beginning: upstream_reset*"#,
        ),
        (
            json!({"rules": [{"match": {"grpc_status": 17}, "pass": true}]}),
            "rules[0].match.grpc_status: found 17, expected a gRPC status by name or number, such as UNAVAILABLE or 14",
        ),
        (
            json!({"rules": [{"match": {"grpc_status": "unavailable"}, "pass": true}]}),
            r#"rules[0].match.grpc_status: found "unavailable", expected a gRPC status by name or number, such as UNAVAILABLE or 14"#,
        ),
        (
            json!({"rules": [{"match": {"response_header": {}}, "pass": true}]}),
            "rules[0].match.response_header: found an empty object, expected at least one name",
        ),
        (
            json!({"rules": [{"match": {"response_header": "x"}, "pass": true}]}),
            r#"rules[0].match.response_header: found "x", expected an object of names and the conditions on their values"#,
        ),
        (
            json!({"rules": [{"match": {"response_header": {"a b": "c"}}, "pass": true}]}),
            r#"rules[0].match.response_header["a b"]: not a header name: a name is letters, digits and !#$%&'*+-.^_`|~, found the key "a b""#,
        ),
        (
            json!({"rules": [{"match": {"flags": "UH"}, "pass": true}]}),
            r#"rules[0].match: found unknown field "flags", expected one of "status", "origin", "flag", "details", "grpc_status", "response_header", "method", "host", "path", "query", "header", "cookie", "content_type", "percent": did you mean "flag"?"#,
        ),
        (
            json!({"rules": [{"match": {"path": ""}, "pass": true}]}),
            r#"rules[0].match.path: a path starts with /, found """#,
        ),
        (
            json!({"rules": [{"match": {"status": null}, "pass": true}]}),
            "rules[0].match.status: found null, expected a status like 503, a class like 5xx or a range like 500-599: give it a value or leave the field out",
        ),
    ]);
}

#[test]
fn answers() {
    refused([
        (
            json!({"rules": [{"respond": {"status": 199}}]}),
            "rules[0].respond.status: found 199, expected a status from 200 to 599",
        ),
        (
            json!({"rules": [{"respond": {"status": 600}}]}),
            "rules[0].respond.status: found 600, expected a status from 200 to 599",
        ),
        (
            json!({"rules": [{"respond": {"status": 204}}]}),
            "rules[0].respond.status: found 204, expected a status whose answers have a body",
        ),
        (
            json!({"rules": [{"respond": {"status": "503"}}]}),
            r#"rules[0].respond.status: found "503", expected a whole number from 0 to 65535: write it without quotes"#,
        ),
        (
            json!({"rules": [{"respond": {"type": "a b"}}]}),
            r#"rules[0].respond.type: found "a b", expected a URI, or a name to put behind type_base, in visible ASCII"#,
        ),
        (
            json!({"rules": [{"respond": {"title": "{{ x }}"}}]}),
            r#"rules[0].respond.title: found the unknown variable "x", expected one of body, consumer, now, path, request, response (column 4, at "x }}")"#,
        ),
        (
            json!({"rules": [{"respond": {"detail": "{{ body.x }}"}}]}),
            "rules[0].respond.detail: found a template that asks for the body, expected one that does not: bodies are never read here; in body templates, body is the problem",
        ),
        (
            json!({"rules": [{"respond": {"members": {"a-b": 1}}}]}),
            r#"rules[0].respond.members.a-b: found "a-b", expected a letter, then letters, digits and _, at most 64; type, title, status, detail and instance are fields"#,
        ),
        (
            json!({"rules": [{"respond": {"members": {"status": 1}}}]}),
            r#"rules[0].respond.members.status: found "status", expected a letter, then letters, digits and _, at most 64; type, title, status, detail and instance are fields"#,
        ),
        (
            json!({"rules": [{"respond": {"members": {"a": "{{ "}}}]}),
            r#"rules[0].respond.members.a: this tag is not ended: expected }} (column 1, at "{{ ")"#,
        ),
        (
            json!({"rules": [{"respond": {"body": {"yaml": ""}}}]}),
            r#"rules[0].respond.body: found "yaml", expected one of "problem", "json", "xml", "html", "text""#,
        ),
        (
            json!({"rules": [{"respond": {"body": {"json": "{\"a: {{ body.status }}"}}}]}),
            "rules[0].respond.body.json: the JSON text ends within a string (column 23, at the end)",
        ),
        (
            json!({"rules": [{"respond": {"retry_after": 30}}]}),
            "rules[0].respond.retry_after: found 30, expected a duration with its unit, such as 500ms, 30s, 5m, 1h30m or 7d",
        ),
        (
            json!({"rules": [{"respond": {"cache_control": "a\nb"}}]}),
            r#"rules[0].respond.cache_control: found "a\nb", expected a value without control characters"#,
        ),
        (
            json!({"rules": [{"respond": {"grpc_status": -1}}]}),
            "rules[0].respond.grpc_status: found -1, expected a gRPC status by name or number, such as UNAVAILABLE or 14",
        ),
        (
            json!({"rules": [{"respond": {"headers": {"set": {"a b": ""}}}}]}),
            r#"rules[0].respond.headers.set["a b"]: found "a b", expected the name of a header field, such as x-error-id"#,
        ),
        (
            json!({"rules": [{"respond": {"headers": {"set": {"content-length": "1"}}}}]}),
            r#"rules[0].respond.headers.set.content-length: found "content-length", expected a field that is not the proxy's own to write"#,
        ),
        (
            json!({"rules": [{"respond": {"headers": {"set": {"x": "a\nb"}}}}]}),
            r#"rules[0].respond.headers.set.x: a header value holds no line breaks and no control characters (column 1, at "a\nb")"#,
        ),
        (
            json!({"rules": [{"respond": {"headers": {"remove": ["a:"]}}}]}),
            r#"rules[0].respond.headers.remove[0]: found "a:", expected the name of a header field, such as x-error-id"#,
        ),
        (
            json!({"rules": [{"respond": {"headers": {"keep": "x"}}}]}),
            r#"rules[0].respond.headers.keep: found "x", expected a list"#,
        ),
        (
            json!({"rules": [{"respond": {"formats": ["text", "text"]}}]}),
            "rules[0].respond.formats[1]: found a form that is there twice, expected each form once",
        ),
    ]);
}

#[test]
fn direct_answers() {
    refused([
        (
            json!({"direct": [{}]}),
            "direct[0]: found neither respond, redirect nor error, expected one of them, such as redirect: {to: https://www.example.com}",
        ),
        (
            json!({"direct": [{"redirect": {"to": "/"}, "respond": {}}]}),
            "direct[0]: found more than one of respond, redirect and error, expected one of them",
        ),
        (
            json!({"direct": [{"match": {"status": 503}, "respond": {}}]}),
            "direct[0].match.status: found a status of the response, expected conditions on the request only: this is decided before there is a response",
        ),
        (
            json!({"direct": [{"respond": {}, "when": "response.status == 1"}]}),
            "direct[0].when: found a condition on the response, expected conditions on the request only: this is decided before there is a response",
        ),
        (
            json!({"direct": [{"respond": {"status": 100}}]}),
            "direct[0].respond.status: found 100, expected a status from 200 to 599",
        ),
        (
            json!({"direct": [{"respond": {"status": 304, "body": "x"}}]}),
            "direct[0].respond.status: found 304, expected a status whose answers have a body",
        ),
        (
            json!({"direct": [{"respond": {"body": "{{ response.status }}"}}]}),
            "direct[0].respond.body: found a template that asks for the response, expected one that asks only for the request: this is sent before there is a response",
        ),
        (
            json!({"direct": [{"respond": {"content_type": "html"}}]}),
            r#"direct[0].respond.content_type: found "html", expected a media type such as text/html"#,
        ),
        (
            json!({"direct": [{"redirect": {}}]}),
            r#"direct[0].redirect: missing field "to", expected one such as to: https://www.example.com"#,
        ),
        (
            json!({"direct": [{"redirect": {"to": "//x"}}]}),
            r#"direct[0].redirect.to: found "//x", expected a path that begins with /, or an address that begins with its scheme and host: https://www.example.com"#,
        ),
        (
            json!({"direct": [{"redirect": {"to": "{{ request.query.to }}"}}]}),
            r#"direct[0].redirect.to: found "{{ request.query.to }}", expected a path that begins with /, or an address that begins with its scheme and host: https://www.example.com"#,
        ),
        (
            json!({"direct": [{"redirect": {"status": 304, "to": "/"}}]}),
            "direct[0].redirect.status: found 304, expected one of 301, 302, 303, 307 and 308",
        ),
        (
            json!({"direct": [{"error": {}}]}),
            r#"direct[0].error: missing field "status": give it one, such as status: 410"#,
        ),
        (
            json!({"direct": [{"error": {"status": 410, "title": "{{ response.status }}"}}]}),
            "direct[0].error.title: found a template that asks for the response, expected one that asks only for the request: this is sent before there is a response",
        ),
    ]);
}

#[test]
fn maintenance_times() {
    refused([
        (
            json!({"maintenance": {"from": "tomorrow"}}),
            r#"maintenance.from: found "tomorrow", expected a date and time with its offset, such as 2026-01-31T22:00:00Z"#,
        ),
        (
            json!({"maintenance": {"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}}),
            "maintenance.until: found an end that is not after from, expected a later one",
        ),
        (
            json!({"maintenance": {"weekly": {"days": "sun", "from": "22:00"}}}),
            r#"maintenance.weekly: missing field "until", expected one such as until: "23:30""#,
        ),
        (
            json!({"maintenance": {"weekly": {"days": "sunday", "from": "22:00", "until": "23:00"}}}),
            r#"maintenance.weekly.days: found "sunday", expected one of "thu", "fri", "sat", "sun", "mon", "tue", "wed""#,
        ),
        (
            json!({"maintenance": {"weekly": {"from": "24:00", "until": "23:00"}}}),
            r#"maintenance.weekly.from: found "24:00", expected a time of day in UTC, such as 22:00"#,
        ),
        (
            json!({"maintenance": {"allow": {"status": 200}}}),
            "maintenance.allow.status: found a status of the response, expected conditions on the request only: this is decided before there is a response",
        ),
        (
            json!({"maintenance": [{}, {"allow_sources": ["10.0.0.1/8"]}]}),
            r#"maintenance[1].allow_sources[0]: found "10.0.0.1/8", expected an address, or a network such as 10.0.0.0/8 or 2001:db8::/32"#,
        ),
        (json!({"maintenance": []}), "maintenance: found an empty list, expected at least one element"),
        (
            json!({"maintenance": true}),
            r#"maintenance: found true, expected an object with "match", "allow", "allow_sources", "from", "until", "weekly", "respond""#,
        ),
    ]);
}
