//! Answers that need no upstream.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn send(direct: Value, request: &Message) -> Outcome {
    Worker::<Errors>::new(&World::new(), json!({ "direct": direct })).run(request, &Message::response(200))
}

#[test]
fn answers_are_given_in_order() {
    let direct = json!([
        {"match": {"path": "/robots.txt"}, "respond": {"body": "User-agent: *\nDisallow: /\n", "headers": {"Cache-Control": "max-age=60"}}},
        {"match": {"path": "/hello/{name}"}, "when": "request.query.as == 'json'",
         "respond": {"content_type": "application/json", "body": "{\"hello\": \"{{ path.name }}\", \"n\": {{ request.query.n|int }}}"}},
        {"match": {"path": "/hello/{name}"}, "respond": {"content_type": "text/html", "body": "<p>{{ path.name }}</p>", "status": 203}},
        {"match": {"path": "/gone"}, "error": {"status": 410, "detail": "Use /new."}},
        {"match": {"path": "/empty"}, "respond": {"status": 204}},
    ]);
    let robots = send(direct.clone(), &Message::get("/robots.txt"));
    assert_eq!((robots.upstream.as_ref(), robots.details), (None, Some("meshgate_direct_response")));
    assert_eq!(robots.answer().text(), "User-agent: *\nDisallow: /");
    assert_eq!(robots.answer().head.get("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(robots.answer().head.get("cache-control"), Some("max-age=60"));

    let json = send(direct.clone(), &Message::get("/hello/a%22b?as=json&n=07"));
    assert_eq!(json.answer().text(), r#"{"hello": "a\"b", "n": 7}"#);
    let page = send(direct.clone(), &Message::get("/hello/%3Cb%3E"));
    assert_eq!((page.status(), page.answer().text()), (203, "<p>&lt;b&gt;</p>"));

    let gone = send(direct.clone(), &Message::get("/gone"));
    assert_eq!(gone.details, Some("meshgate_direct_error"));
    let problem = problem(&gone);
    assert_eq!((&problem["title"], &problem["detail"]), (&json!("Gone"), &json!("Use /new.")));
    let empty = send(direct.clone(), &Message::get("/empty"));
    assert_eq!((empty.status(), empty.answer().head.get("content-type")), (204, None));
    assert_eq!(send(direct, &Message::get("/other")).forwarded().head.get(":path"), Some("/other"));
}

/// A client's values must neither fill the memory nor leave an answer without its body.
#[test]
fn a_body_that_cannot_be_made_is_an_error() {
    let direct = json!([{
        "match": {"path": "/list"},
        "respond": {"body": "{% for a in request.query_all.x %}{% for b in request.query_all.x %}{{ request.query_string }}{% endfor %}{% endfor %}"},
    }]);
    let query = vec!["x=12345678"; 60].join("&");
    let answer = send(direct.clone(), &Message::get(&format!("/list?{query}")));
    assert_eq!((answer.status(), answer.details), (400, Some("meshgate_direct_response_failed")));
    assert_eq!(problem(&answer)["detail"], "This request can't be answered with what it holds.");
    assert_eq!(send(direct, &Message::get("/list?x=1&x=2")).answer().text(), "x=1&x=2".repeat(4));
}

#[test]
fn redirects_lead_where_the_configuration_says() {
    for (redirect, target, status, location) in [
        (json!({"to": "https://new.example"}), "/a?b", 302, Some("https://new.example")),
        (
            json!({"to": "https://new.example", "keep_path": true, "status": 308}),
            "/a/b?c",
            308,
            Some("https://new.example/a/b"),
        ),
        (
            json!({"to": "https://new.example/v2/", "keep_path": true, "keep_query": true}),
            "/a?b=%20",
            302,
            Some("https://new.example/v2/a?b=%20"),
        ),
        (json!({"to": "/new?x=1", "keep_query": true}), "/a?b", 302, Some("/new?x=1&b")),
        (json!({"to": "/new?", "keep_query": true}), "/a?b", 302, Some("/new?b")),
        (json!({"to": "/new", "keep_query": true}), "/a?", 302, Some("/new")),
        (json!({"to": "/new", "keep_query": true}), "/a?b?c&d", 302, Some("/new?b?c&d")),
        // The query stands before the fragment, and the path before the query.
        (json!({"to": "/new#top", "keep_query": true}), "/a?b=1", 302, Some("/new?b=1#top")),
        (json!({"to": "/new?x=1#top?no", "keep_query": true}), "/a?b", 302, Some("/new?x=1&b#top?no")),
        (
            json!({"to": "https://new.example#top", "keep_query": true}),
            "/a?b",
            302,
            Some("https://new.example?b#top"),
        ),
        (
            json!({"to": "https://new.example/v2/?x=1#top", "keep_path": true, "keep_query": true}),
            "/a/b?c",
            302,
            Some("https://new.example/v2/a/b?x=1&c#top"),
        ),
        (json!({"to": "/new#{{ request.query.b }}"}), "/a?b=x%23y%3Fz", 302, Some("/new#x%23y?z")),
        (json!({"to": "/", "keep_path": true, "keep_query": true}), "/a#b?c#d", 302, Some("/a%23b?c%23d")),
        (json!({"to": "/new?x={{ request.query.b|urlencode }}"}), "/a?b=1%262", 302, Some("/new?x=1%262")),
        (json!({"to": "/users/{{ path.id }}", "status": 301}), "/u/7", 301, Some("/users/7")),
        (json!({"to": "/users/{{ path.id }}"}), "/u/a%20b%22", 302, Some("/users/a%20b%22")),
        // No value makes it another host.
        (json!({"to": "/", "keep_path": true}), "//evil.example/", 302, Some("/evil.example/")),
        (json!({"to": "/{{ request.query.b }}"}), "/a?b=/evil.example", 400, None),
        (json!({"to": "/{{ request.query.b }}"}), "/a?b=%5Cevil.example", 302, Some("/%5Cevil.example")),
        (json!({"to": "https://new.example{{ request.query.b }}"}), "/a?b=.evil.example", 400, None),
        (json!({"to": "https://new.example{{ request.query.b }}"}), "/a?b=@evil.example", 400, None),
        (
            json!({"to": "https://new.example{{ request.query.b }}"}),
            "/a?b=/c",
            302,
            Some("https://new.example/c"),
        ),
        (json!({"to": "/{{ request.query.b }}"}), "/a?b=%0d%0aset-cookie:x", 400, None),
        (json!({"to": "/{{ request.query.b }}"}), "/a?b=1&b=2", 400, None),
    ] {
        let matches = if target.starts_with("/u/") { json!({"path": "/u/{id}"}) } else { json!({}) };
        let outcome = send(json!([{"match": matches, "redirect": redirect.clone()}]), &Message::get(target));
        assert_eq!(
            (outcome.status(), outcome.answer().head.get("location")),
            (status, location),
            "{redirect} {target}"
        );
        let details = if location.is_some() { "meshgate_redirect" } else { "meshgate_redirect_failed" };
        assert_eq!(outcome.details, Some(details));
    }
}

#[test]
fn what_can_t_be_read_is_not_let_through_where_requests_are_answered() {
    use meshgate_policy::host::HostError;
    use meshgate_test_host::Operation;

    let world = World::new();
    let worker = Worker::<Errors>::new(&world, json!({"maintenance": {}}));
    world.fail_next(Operation::ReadHeaders, HostError::Malformed);
    assert_eq!(worker.run(&Message::get("/"), &Message::response(200)).status(), 500);
}
