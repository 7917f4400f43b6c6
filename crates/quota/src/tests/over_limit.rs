//! The answer to a request that is over a limit.

use meshgate_policy::host::Side;
use meshgate_test_host::Chunking;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::answers::limited;
use super::*;

/// A limit that is used up by the first request.
fn one_a_minute() -> Value {
    json!([{"name": "l", "quota": "1/m"}])
}

/// What the second of two requests gets.
fn refused(over_limit: Value, request: &Message) -> Outcome {
    let worker = load(&limited(one_a_minute(), [("over_limit", over_limit)])).unwrap();
    assert_eq!(send(&worker, request).status(), 200);
    let outcome = send(&worker, request);
    assert_eq!((outcome.details, &outcome.upstream), (Some("meshgate_limit_exceeded"), &None));
    outcome
}

#[test]
fn the_answer_over_a_limit_may_have_another_status_and_more_fields() {
    let headers = json!({"x-plan": "{{ consumer.plan }}", "X-Wait": "{{ response.headers['retry-after'] }}", "x-fixed": "a"});
    let outcome = refused(json!({"status": 503, "headers": headers}), &get("/", "key-1"));
    let answer = outcome.answer();
    assert_eq!(outcome.status(), 503);
    assert_eq!(problem(&outcome)["violated-policies"], json!(["l"]));
    let values = ["x-plan", "x-wait", "x-fixed", "retry-after"].map(|name| answer.head.get(name));
    assert_eq!(values, [Some("free"), Some("60"), Some("a"), Some("60")]);
}

#[test]
fn the_body_over_a_limit_may_be_a_template_of_any_type() {
    let request = get("/a?b=%3Cc%3E", "key-1").with("x-name", "a\"<b>&");
    for (content_type, body, expected) in [
        (None, "Come back in {{ response.headers['retry-after'] }} s.", "Come back in 60 s."),
        (
            Some("application/json"),
            "{\"message\": \"{{ body.detail }}\", \"limit\": {{ body['violated-policies'][0] }}, \"who\": \"{{ request.headers['x-name'] }}\", \"status\": {{ response.status }}}",
            r#"{"message": "The limit \"l\" is used up. Send the request again in 60 seconds.", "limit": "l", "who": "a\"<b>&", "status": 429}"#,
        ),
        (
            Some("text/html; charset=utf-8"),
            "<p>{{ request.headers['x-name'] }}</p>",
            "<p>a&quot;&lt;b&gt;&amp;</p>",
        ),
        (
            Some("application/soap+xml"),
            "<a>{{ consumer.name }} {{ consumer.key_id }}</a>",
            "<a>acme acme-1</a>",
        ),
        (Some("text/plain"), "", ""),
    ] {
        let mut over_limit = json!({"body": body});
        if let Some(content_type) = content_type {
            over_limit["content_type"] = json!(content_type);
        }
        let outcome = refused(over_limit, &request);
        assert_eq!((outcome.status(), outcome.answer().text()), (429, expected));
        assert_eq!(outcome.answer().head.get("content-type"), Some(content_type.unwrap_or("text/plain")));
    }
}

/// What a client can bring about does not take the answer away.
#[test]
fn a_template_without_a_result_leaves_the_problem() {
    let over_limit = json!({
        "body": "{{ request.query.a }}",
        "headers": {"x-a": "{{ request.query.a }}", "x-b": "{{ request.query.b }}"},
    });
    let outcome = refused(over_limit, &get("/?a=1&a=2&b=%0D%0Ac", "key-1"));
    assert_eq!(problem(&outcome)["status"], 429);
    assert_eq!((outcome.answer().head.get("x-a"), outcome.answer().head.get("x-b")), (None, None));
}

#[test]
fn jitter_only_adds_to_the_wait() {
    let world = World::new();
    let over_limit = json!({"retry_after_jitter": "5s"});
    let worker = Worker::<Quota>::new(&world, limited(one_a_minute(), [("over_limit", over_limit)]));
    send(&worker, &get("/", "key-1"));
    let mut waits = std::collections::BTreeSet::new();
    for seed in 0..200 {
        world.seed(seed);
        let outcome = send(&worker, &get("/", "key-1"));
        let wait: u64 = outcome.answer().head.get("retry-after").unwrap().parse().unwrap();
        let detail = format!("The limit \"l\" is used up. Send the request again in {wait} seconds.");
        assert_eq!(problem(&outcome)["detail"], detail);
        waits.insert(wait);
    }
    assert!(waits.iter().copied().eq(60..=65), "{waits:?}");
}

#[test]
fn an_answer_over_a_limit_that_cannot_be_is_refused() {
    for (over_limit, message) in [
        (json!({"status": 200}), "over_limit.status: found 200, expected the status of an error, 400 to 599"),
        (json!({"status": 600}), "over_limit.status: found 600"),
        (json!({"status": 399}), "over_limit.status: found 399"),
        (json!({"content_type": "text/plain"}), "over_limit.content_type: found a media type without a body"),
        (json!({"body": "a", "content_type": "json"}), "over_limit.content_type: found \"json\""),
        (json!({"body": "a", "content_type": "a/b\nc: d"}), "over_limit.content_type: found"),
        (json!({"body": "{{ a }}"}), "over_limit.body: "),
        (json!({"body": "{{ response.body }}"}), "over_limit.body: "),
        (
            json!({"body": "No {{ path.id }}"}),
            "over_limit.body: found a template that asks for `path`, expected one that asks for request, consumer, response, \
             body or now: there is no match beside an answer, so path is always empty; request.path is all of the path",
        ),
        (
            json!({"headers": {"x-a": "{% for k in path %}{{ k }}{% endfor %}"}}),
            "over_limit.headers.x-a: found a template",
        ),
        (json!({"headers": {"a b": ""}}), "over_limit.headers[\"a b\"]: found"),
        (json!({"headers": {"Retry-After": "1"}}), "over_limit.headers.Retry-After: found"),
        (json!({"headers": {"RateLimit": "1"}}), "over_limit.headers.RateLimit: found"),
        (
            json!({"headers": {"X-A": "1", "x-a": "1"}}),
            "over_limit.headers.x-a: found \"x-a\", expected each field once",
        ),
        (json!({"headers": {"content-length": "1"}}), "over_limit.headers.content-length: found"),
        (json!({"headers": {"x-a": "{% if %}"}}), "over_limit.headers.x-a: "),
        (json!({"retry_after_jitter": "soon"}), "over_limit.retry_after_jitter: found \"soon\""),
        (
            json!({"retry_after_jitter": "1500ms"}),
            "over_limit.retry_after_jitter: found 1500 ms, expected whole",
        ),
        (json!({"retry_after": "1500ms"}), "over_limit.retry_after: found 1500 ms, expected whole"),
        (json!({"retry_after_jitter": "0s"}), "over_limit.retry_after_jitter: found"),
    ] {
        let refused =
            load(&limited(json!([]), [("over_limit", over_limit.clone())])).unwrap_err().to_string();
        assert!(refused.starts_with(message), "{over_limit}: {refused}");
    }
}

#[test]
fn a_request_that_never_passes_is_not_told_to_wait() {
    let limits = json!([{"name": "l", "quota": "5/m", "cost": {"header": "x-cost"}}]);
    let worker = load(&limited(limits, [("over_limit", json!({"retry_after_jitter": "1m"}))])).unwrap();
    let outcome = send(&worker, &get("/", "key-1").with("x-cost", "6"));
    assert_eq!((outcome.status(), outcome.details), (429, Some("meshgate_limit_exceeded")));
    assert_eq!(outcome.answer().head.get("retry-after"), None);
    let detail = "The limit \"l\" will never have room for what this request costs. Ask for less at once.";
    assert_eq!(problem(&outcome)["detail"], detail);
}

/// When requests in flight end nobody knows, so nothing is said of it, unless that is configured.
#[test]
fn who_waits_for_others_is_told_a_time_only_if_there_is_one() {
    let limits = json!([
        {"name": "parallel", "concurrency": 1, "match": {"path": {"prefix": "/a"}}},
        {"name": "minute", "quota": "1/m", "match": {"path": "/a/minute"}},
    ]);
    for (over_limit, target, retry_after, detail) in [
        (
            json!({}),
            "/a",
            None,
            "The limit \"parallel\" is used up by requests at the same time. Send this one again when some of them have ended.",
        ),
        (
            json!({"retry_after": "5s"}),
            "/a",
            Some("5"),
            "The limit \"parallel\" is used up. Send the request again in 5 seconds.",
        ),
        (
            json!({"retry_after": "5s"}),
            "/a/minute",
            Some("60"),
            "The limits \"parallel\", \"minute\" are used up. Send the request again in 60 seconds.",
        ),
    ] {
        let worker = load(&limited(limits.clone(), [("over_limit", over_limit)])).unwrap();
        let mut first = worker.begin();
        first.send(Side::Request, &get("/a/minute", "key-1"), &Chunking::WHOLE);
        let refused = send(&worker, &get(target, "key-1"));
        assert_eq!((refused.status(), refused.answer().head.get("retry-after")), (429, retry_after));
        assert_eq!(problem(&refused)["detail"], detail);
        let told = refused.answer().head.get("ratelimit").unwrap();
        assert!(told.starts_with("\"parallel\";r=0") && !told.starts_with("\"parallel\";r=0;t"), "{told}");
        first.finish();
    }
}
