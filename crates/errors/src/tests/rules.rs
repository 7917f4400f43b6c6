//! Rules: which responses, and what becomes of them.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// Whether a rule with this match replaces a response with these details and flags.
fn holds(matches: Value, details: &str, flags: &[&str], response: &Message) -> bool {
    let document = json!({
        "gateway_errors": "pass", "upstream_errors": "pass",
        "rules": [{"match": matches, "respond": {"title": "Ours"}}],
    });
    let outcome = run(&world(details, flags), document, response);
    outcome.details.is_some()
}

#[test]
fn rules_are_for_what_they_name() {
    let upstream = trace(503);
    let gateway = Message::response(503);
    for (matches, upstream_holds, gateway_holds) in [
        (json!({}), true, true),
        (json!({"status": 503}), true, true),
        (json!({"status": "5xx"}), true, true),
        (json!({"status": ["500-502", 504]}), false, false),
        (json!({"origin": "gateway"}), false, true),
        (json!({"origin": "upstream"}), true, false),
        (json!({"origin": ["upstream", "gateway"]}), true, true),
        (json!({"flag": "UF"}), false, true),
        (json!({"flag": "UpstreamConnectionFailure"}), false, true),
        (json!({"flag": ["NR", "URX"]}), false, true),
        (json!({"flag": "NR"}), false, false),
        (json!({"details": "via_upstream"}), true, false),
        (json!({"details": "upstream_reset_before_*"}), false, true),
        (json!({"details": "upstream_reset_before"}), false, false),
        (json!({"response_header": {"x-backend": {"prefix": "10."}}}), true, false),
        (json!({"response_header": {"x-backend": {"present": false}}}), false, true),
        (json!({"content_type": "text/html"}), true, false),
        (json!({"path": "/orders/{id}", "method": "GET"}), true, true),
        (json!({"path": "/other"}), false, false),
        (json!({"query": {"full": "1"}, "header": {"x-request-id": {"prefix": "id"}}}), true, true),
        (json!({"host": "example.com", "origin": "upstream", "status": 503}), true, false),
        (json!({"percent": 0}), false, false),
        (json!({"percent": 100}), true, true),
    ] {
        assert_eq!(holds(matches.clone(), "via_upstream", &[], &upstream), upstream_holds, "{matches}");
        let details = "upstream_reset_before_response_started{x}";
        assert_eq!(holds(matches.clone(), details, &["UF", "URX"], &gateway), gateway_holds, "{matches}");
    }
    assert!(!holds(json!({}), "via_upstream", &[], &Message::response(200)));
    assert!(holds(json!({"status": "2xx"}), "via_upstream", &[], &Message::response(200)));
    assert!(!holds(json!({"status": "2xx"}), "via_upstream", &[], &Message::response(304)));
}

#[test]
fn grpc_statuses_are_matched() {
    let document = json!({
        "rules": [{"match": {"origin": "upstream", "grpc_status": ["UNAVAILABLE", 4]}, "respond": {"detail": "Later."}}],
    });
    let request = Message::post("/S/M", "").with("content-type", "application/grpc");
    for (status, replaced) in [("14", true), ("4", true), ("5", false), ("0", false), ("x", false)] {
        let worker = Worker::<Errors>::new(&world("via_upstream", &[]), &document);
        let response = Message::response(200).with("grpc-status", status).with("grpc-message", "secret");
        let outcome = worker.run(&request, &response);
        assert_eq!(!passed(&outcome, &response), replaced, "{status}");
        if replaced {
            let head = &outcome.answer().head;
            assert_eq!((head.get("grpc-status"), head.get("grpc-message")), (Some(status), Some("Later.")));
        }
    }
    // A status in the trailers is not seen: the head has been sent by then.
    let worker = Worker::<Errors>::new(&world("via_upstream", &[]), &document);
    let response = Message::response(200).with_body("message").with_trailer("grpc-status", "14");
    assert!(passed(&worker.run(&request, &response), &response));
}

#[test]
fn the_first_rule_decides() {
    let document = json!({"rules": [
        {"match": {"status": 404, "origin": "upstream"}, "when": "request.query.full == '1'", "respond": {"title": "One"}},
        {"match": {"status": 404}, "pass": true},
        {"respond": {"title": "Two"}},
    ]});
    let title = |details: &str, target: &str, status: u16| {
        let worker = Worker::<Errors>::new(&world(details, &[]), &document);
        let outcome =
            worker.run(&Message::get(target), &Message::response(status).with("content-type", "a/b"));
        outcome.details.map(|_| problem(&outcome)["title"].as_str().unwrap().to_owned())
    };
    assert_eq!(title("via_upstream", "/?full=1", 404).as_deref(), Some("One"));
    assert_eq!(title("via_upstream", "/?full=2", 404), None);
    assert_eq!(
        title("via_upstream", "/?full=1&full=1", 404),
        None,
        "a condition without an answer does not hold"
    );
    assert_eq!(title("route_not_found", "/?full=1", 404), None);
    assert_eq!(title("via_upstream", "/", 400).as_deref(), Some("Two"));
}

/// A share is one of those that come as far as the rule.
#[test]
fn each_rule_draws_its_own_number() {
    let half = |title: &str| json!({"match": {"percent": 50}, "respond": {"title": title}});
    let world = world("via_upstream", &[]);
    let worker = Worker::<Errors>::new(&world, json!({"rules": [half("One"), half("Two")]}));
    let mut titles = std::collections::BTreeMap::new();
    for _ in 0..400 {
        let title = problem(&worker.run(&Message::get("/"), &trace(500)))["title"].to_string();
        *titles.entry(title).or_insert(0) += 1;
    }
    for (title, share) in [("One", 200_u32), ("Two", 100), ("Internal Server Error", 100)] {
        let found: u32 = titles[&Value::from(title).to_string()];
        assert!(found.abs_diff(share) < 60, "{titles:?}");
    }
}

#[test]
fn an_answer_says_what_the_rule_says() {
    let document = json!({
        "type_base": "https://errors.example.com/",
        "rules": [{"match": {"path": "/orders/{id}", "status": 503}, "respond": {
            "status": 502,
            "type": "order-lost",
            "title": "Order {{ path.id }} lost",
            "detail": "{{ response.headers['x-why'] }}",
            "instance": "/errors/{{ path.id }}",
            "members": {"order": "{{ path.id|int }}", "text": "\"{{ path.id }}\"", "list": [1, {"a": null}], "status_was": "{{ response.status }}"},
            "retry_after": "1500ms",
            "cache_control": "max-age=5",
            "headers": {"set": {"X-Order": "no {{ path.id }}", "set-cookie": "a=2"}, "keep": ["x-why"], "remove": ["x-request-id"]},
        }}],
    });
    let response = Message::response(503)
        .with("x-why", "a \"b\" <c>")
        .with("x-other", "1")
        .with("x-request-id", "r")
        .with("retry-after", "99")
        .with("set-cookie", "a=1");
    let outcome = run(&world("via_upstream", &[]), document, &response);
    assert_eq!(
        problem(&outcome),
        json!({
            "type": "https://errors.example.com/order-lost",
            "title": "Order 7 lost",
            "status": 502,
            "detail": "a \"b\" <c>",
            "instance": "/errors/7",
            "request_id": "id-1",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "order": 7,
            "text": "\"7\"",
            "list": [1, {"a": null}],
            "status_was": 503,
        })
    );
    let head = &outcome.answer().head;
    for (name, value) in [
        ("x-order", Some("no 7")),
        ("set-cookie", Some("a=2")),
        ("x-why", Some("a \"b\" <c>")),
        ("x-other", None),
        ("x-request-id", None),
        ("retry-after", Some("2")),
        ("cache-control", Some("max-age=5")),
    ] {
        assert_eq!(head.get(name), value, "{name}");
    }
}

#[test]
fn bodies_are_templates_of_the_problem() {
    let document = json!({
        "formats": ["html", "json", "text"],
        "rules": [{"respond": {
            "detail": "{{ request.query.full }}",
            "members": {"who": "{{ request.headers['x-who'] }}"},
            "body": {
                "html": "<h1>{{ body.status }}</h1><p title=\"{{ body.who }}\">{{ body.detail }}</p>",
                "json": "{\"error\": {\"code\": {{ body.status }}, \"message\": \"{{ body.who }}\"}}",
            },
        }}],
    });
    let hostile = "\"><script>alert('x')</script>\\";
    for (accept, expected) in [
        (
            "text/html",
            "<h1>500</h1><p title=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\\\">1</p>"
                .to_owned(),
        ),
        (
            "application/json",
            format!("{{\"error\": {{\"code\": 500, \"message\": {}}}}}", Value::from(hostile)),
        ),
    ] {
        let worker = Worker::<Errors>::new(&world("via_upstream", &[]), &document);
        let request = Message::get("/?full=1").with("x-who", hostile).with("accept", accept);
        let outcome = worker.run(&request, &trace(500));
        assert_eq!(outcome.answer().text(), expected, "{accept}");
    }
    // Where there is no template, the usual form; the first where nothing is accepted.
    let worker = Worker::<Errors>::new(&world("via_upstream", &[]), &document);
    let text = worker.run(&Message::get("/?full=1").with("accept", "text/plain"), &trace(500));
    assert!(text.answer().text().starts_with("500 Internal Server Error\n\n1\n"), "{text:?}");
    let other = worker.run(&Message::get("/?full=1").with("accept", "a/b"), &trace(500));
    assert_eq!(other.answer().head.get("content-type"), Some("text/html; charset=utf-8"));
}

/// A template that has no result never costs the client its answer.
#[test]
fn what_has_no_result_is_left_out() {
    let document = json!({"rules": [{"respond": {
        "title": "{{ request.query.twice }}",
        "members": {"a1": "{{ request.query.twice }}"},
        "headers": {"set": {"x-evil": "{{ request.query.line }}"}},
        "body": {"problem": "{\"x\": \"{{ request.query.twice }}\"}"},
    }}]});
    let world = world("via_upstream", &[]);
    let worker = Worker::<Errors>::new(&world, document);
    let outcome = worker.run(&Message::get("/?twice=1&twice=2&line=a%0d%0ax:y"), &trace(500));
    let problem = problem(&outcome);
    assert_eq!((&problem["title"], problem.get("a1")), (&json!("Internal Server Error"), None));
    assert_eq!(outcome.answer().head.get("x-evil"), None);
    assert_eq!(world.metric("meshgate.errors.template_failed"), 4);
}
