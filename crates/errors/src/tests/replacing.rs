//! What is replaced with no configuration, and with what.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[test]
fn an_error_of_the_proxy_says_what_a_client_can_know() {
    let details =
        "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_111}";
    let world = world(details, &["UF", "URX"]);
    let response = Message::response(503)
        .with("content-type", "text/plain")
        .with("content-length", "91")
        .with("x-ours", "1")
        .with_body("upstream connect error: 10.0.0.7:80");
    let outcome = run(&world, json!({}), &response);
    assert_eq!(outcome.details, Some(details), "what operators alert on stays");
    assert_eq!(
        problem(&outcome),
        json!({
            "type": "urn:meshgate:problem:upstream-connection-failure",
            "title": "Service Not Reachable",
            "status": 503,
            "detail": "The service could not be reached. Try again in a moment.",
            "request_id": "id-1",
            "timestamp": "2026-01-01T00:00:00.000Z",
        })
    );
    let head = &outcome.answer().head;
    assert_eq!((head.get("vary"), head.get("cache-control")), (Some("Accept"), Some("no-store")));
    assert_eq!(head.get("x-ours"), Some("1"));
    assert_eq!(head.get("content-length"), Some(outcome.answer().body.len().to_string().as_str()));
    assert_eq!(world.metric("meshgate.errors.replaced.gateway"), 1);
    assert_eq!(
        outcome.filter_state["meshgate.error.type"],
        b"urn:meshgate:problem:upstream-connection-failure"
    );
}

#[test]
fn an_error_of_the_upstream_says_no_more_than_its_status() {
    let world = world("via_upstream", &[]);
    let response = trace(500).with("set-cookie", "a=1").with("vary", "Origin").with("etag", "x");
    let outcome = run(&world, json!({}), &response);
    assert_eq!(outcome.details, Some("via_upstream"));
    let problem = problem(&outcome);
    assert_eq!(
        (&problem["type"], &problem["title"]),
        (&json!("about:blank"), &json!("Internal Server Error"))
    );
    let head = &outcome.answer().head;
    let names: Vec<_> = head.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    let kept = ["set-cookie", "vary", "content-type", "vary", "cache-control", "content-length"];
    assert_eq!(names, [&[":status"], &kept[..]].concat());
    assert_eq!(head.all("vary").collect::<Vec<_>>(), [&b"Origin"[..], b"Accept"]);
    assert_eq!(world.metric("meshgate.errors.replaced.upstream"), 1);
}

#[test]
fn what_is_no_error_or_said_on_purpose_passes() {
    let text = |status| Message::response(status).with("content-type", "text/plain").with_body("x");
    let json = |status| Message::response(status).with("content-type", "application/json").with_body("{}");
    for (details, response) in [
        ("via_upstream", text(200)),
        ("via_upstream", text(301)),
        ("via_upstream", trace(404)),
        ("via_upstream", text(101)),
        ("via_upstream", Message::response(304).with("etag", "x")),
        ("direct_response", text(503)),
        ("lua_response", text(403)),
        ("ext_authz_denied", json(403)),
        ("", Message::response(429).with("content-type", "application/problem+json").with_body("{}")),
    ] {
        let world = world(details, &[]);
        let outcome = run(&world, json!({}), &response);
        assert!(passed(&outcome, &response), "{details} {outcome:?}");
        assert_eq!(world.metric("meshgate.errors.passed"), i64::from(response.status() >= 400), "{details}");
    }
}

#[test]
fn what_is_replaced_can_be_chosen() {
    let problems = Message::response(500).with("content-type", "application/problem+json").with_body("{}");
    for (document, details, response, replaced) in [
        (json!({}), "via_upstream", &problems, true),
        (json!({"upstream_errors": "keep_problems"}), "via_upstream", &problems, false),
        (json!({"upstream_errors": "keep_problems"}), "via_upstream", &trace(500), true),
        (json!({"upstream_errors": "pass"}), "via_upstream", &trace(500), false),
        (json!({"upstream_errors": "pass"}), "route_not_found", &Message::response(404), true),
        (json!({"gateway_errors": "pass"}), "route_not_found", &Message::response(404), false),
        (json!({"gateway_errors": "pass"}), "via_upstream", &trace(500), true),
    ] {
        let outcome = run(&world(details, &[]), document.clone(), response);
        assert_eq!(!passed(&outcome, response), replaced, "{document} {details}");
    }
}

#[test]
fn clients_choose_the_form() {
    for (accept, content_type, begins) in [
        (vec![], "application/problem+json", "{\"type\""),
        (vec!["application/json"], "application/json", "{\"type\""),
        (vec!["text/html,*/*;q=0.8"], "text/html; charset=utf-8", "<!doctype html>"),
        (vec!["image/png", "text/plain"], "text/plain; charset=utf-8", "503 No Server Available\n"),
        (vec!["application/xml"], "application/xml", "<?xml"),
        (vec!["image/png"], "application/problem+json", "{\"type\""),
        (vec!["\u{ff}"], "application/problem+json", "{\"type\""),
    ] {
        let world = world("no_healthy_upstream", &["UH"]);
        let worker = Worker::<Errors>::new(&world, json!({}));
        let request = accept.iter().fold(Message::get("/"), |request, line| request.with("accept", line));
        let outcome = worker.run(&request, &Message::response(503));
        assert_eq!(outcome.answer().head.get("content-type"), Some(content_type), "{accept:?}");
        assert!(outcome.answer().text().starts_with(begins), "{accept:?} {outcome:?}");
    }
}

#[test]
fn grpc_clients_get_a_status_and_a_message() {
    let world = world("upstream_reset_before_response_started{connection_termination}", &["UC"]);
    let worker = Worker::<Errors>::new(&world, json!({}));
    let request = Message::post("/Service/Method", "").with("content-type", "application/grpc+proto");
    // As Envoy answers by itself, with what clients should not read.
    let response = Message::response(200)
        .with("content-type", "application/grpc")
        .with("grpc-status", "14")
        .with("grpc-message", "upstream connect error: 10.0.0.7");
    let outcome = worker.run(&request, &response);
    let head = &outcome.answer().head;
    assert_eq!((head.get("grpc-status"), outcome.status()), (Some("14"), 200));
    assert!(head.get("grpc-message").unwrap().starts_with("The service closed the connection"), "{head:?}");
    assert_eq!((head.get("vary"), head.get("content-type")), (None, Some("application/grpc")));

    // An upstream's own is a part of its service; what is no error is none.
    explain(&world, "via_upstream", &[]);
    for response in [response, Message::response(200).with("grpc-status", "0"), Message::response(200)] {
        assert!(passed(&worker.run(&request, &response), &response));
    }
    // Its HTTP errors are not.
    let outcome = worker.run(&request, &trace(500));
    assert_eq!(outcome.answer().head.get("grpc-status"), Some("13"));
    assert!(!outcome.answer().head.get("grpc-message").unwrap().contains("java"));
}

#[test]
fn ids_are_told_only_if_they_are_ids() {
    for (name, value, member, told) in [
        ("x-request-id", "abc-1".to_owned(), "request_id", true),
        ("x-request-id", "a b".to_owned(), "request_id", false),
        ("x-request-id", "a".repeat(129), "request_id", false),
        ("x-request-id", "\u{e9}".to_owned(), "request_id", false),
        ("x-request-id", "<script>".to_owned(), "request_id", true),
        ("traceparent", format!("00-{}-00f067aa0ba902b7-01", "4b".repeat(16)), "trace_id", true),
        ("traceparent", format!("00-{}-00f067aa0ba902b7-01", "00".repeat(16)), "trace_id", false),
        ("traceparent", format!("ff-{}-00f067aa0ba902b7-01", "4b".repeat(16)), "trace_id", false),
        ("traceparent", format!("00-{}-00f067aa0ba902b7-01", "4B".repeat(16)), "trace_id", false),
        ("traceparent", "00".to_owned(), "trace_id", false),
    ] {
        let world = world("no_healthy_upstream", &["UH"]);
        let worker = Worker::<Errors>::new(&world, json!({}));
        let outcome = worker.run(&Message::get("/").with(name, &value), &Message::response(503));
        assert_eq!(problem(&outcome).get(member).is_some(), told, "{value}");
        let page = worker
            .run(&Message::get("/").with(name, &value).with("accept", "text/html"), &Message::response(503));
        assert!(!page.answer().text().contains("<script>"));
    }
}

/// Where requests are not read, a response tells that its client speaks gRPC.
#[test]
fn grpc_is_told_by_the_response_too() {
    let document = json!({"formats": "problem", "include": []});
    let world = world("no_healthy_upstream", &["UH"]);
    let request = Message::post("/S/M", "").with("content-type", "application/grpc");
    let response =
        Message::response(200).with("grpc-status", "14").with("grpc-message", "no healthy upstream");
    let outcome = Worker::<Errors>::new(&world, document).run(&request, &response);
    let message = outcome.answer().head.get("grpc-message").unwrap();
    assert!(message.starts_with("No server can take this request"), "{message}");
}

/// Without forms to choose from and without ids, nothing of a request is needed.
#[test]
fn requests_are_read_only_if_they_have_to_be() {
    use meshgate_policy::host::HostError;
    use meshgate_test_host::Operation;

    let lean = json!({"formats": "problem", "include": ["timestamp"]});
    for (document, reads) in [(json!({}), true), (lean, false)] {
        let world = world("no_healthy_upstream", &["UH"]);
        let worker = Worker::<Errors>::new(&world, document);
        world.fail_next(Operation::ReadHeaders, HostError::Malformed);
        let outcome = worker.run(&Message::get("/"), &Message::response(503));
        // The one failure hits the request if it is read, and the response if it is not: then that passes.
        assert_eq!(outcome.details.is_some(), reads);
    }
}

/// What the proxy refuses to tell does not let a stack trace through.
#[test]
fn an_error_that_the_proxy_does_not_explain_is_replaced() {
    use meshgate_policy::host::HostError;
    use meshgate_test_host::Operation;

    for (operation, details) in
        [(Operation::ReadProperty, "meshgate_error"), (Operation::SetFilterState, "via_upstream")]
    {
        let world = world("via_upstream", &[]);
        world.fail_next(operation, HostError::Malformed);
        let outcome = run(&world, json!({}), &Message::response(500).with_body("trace"));
        assert_eq!((outcome.details, outcome.answer().text().contains("trace")), (Some(details), false));
    }
}

#[test]
fn hostile_requests_get_answers() {
    let world = world("no_healthy_upstream", &["UH"]);
    let worker = Worker::<Errors>::new(&world, json!({}));
    let ranges = "a/b;q=0.1,".repeat(1_000);
    let accepts: [&[u8]; 5] =
        [&[0xff; 65_536], ranges.as_bytes(), b"\"", b";;;,,,q=", &b"*/*,".repeat(16_384)];
    for accept in accepts {
        let outcome = worker.run(&Message::get("/").with("accept", accept), &Message::response(503));
        assert_eq!(outcome.status(), 503);
        assert!(!outcome.answer().body.is_empty());
    }
}

/// An invalid response is the upstream's fault, whatever it says (RFC 9110 section 15).
#[test]
fn a_status_that_is_none_is_an_error() {
    for status in ["", "0", "099", "600", "777", "999", "1000", "99999", "-1", "abc", "2 0", "\u{ff}"] {
        let world = world("via_upstream", &[]);
        let response = trace(200).with(":status", status);
        let outcome = run(&world, json!({}), &response);
        let problem = problem(&outcome);
        assert_eq!((outcome.status(), &problem["title"]), (502, &json!("Bad Gateway")), "{status}");
        assert!(!outcome.answer().text().contains("Main.java"));

        // As all errors of the upstream: it can be let through, and rules are for it.
        let outcome = run(&world, json!({"upstream_errors": "pass"}), &response);
        assert!(passed(&outcome, &response), "{status}");
        let rule =
            json!({"rules": [{"match": {"status": 502, "origin": "upstream"}, "respond": {"status": 500}}]});
        assert_eq!(run(&world, rule, &response).status(), 500, "{status}");
        assert_eq!(world.metric("meshgate.errors.replaced.upstream"), 2);
    }
}

/// When to try again nobody knows but who says so.
#[test]
fn retry_after_is_that_of_the_response_or_of_the_configuration() {
    for (details, flags, status) in [
        ("no_healthy_upstream", "UH", 503),
        ("overload", "OM", 503),
        ("maintenance_mode", "UH", 503),
        ("local_rate_limited", "RL", 429),
        ("request_rate_limited", "RL", 429),
        ("via_upstream", "UH", 503),
    ] {
        let world = world(details, &[flags]);
        let rule = json!({"rules": [{"respond": {"retry_after": "2m"}}]});
        let (silent, telling) =
            (Message::response(status), Message::response(status).with("retry-after", "7"));
        for (document, response, expected) in [
            (json!({}), &silent, None),
            (json!({}), &telling, Some("7")),
            (rule.clone(), &silent, Some("120")),
            (rule, &telling, Some("120")),
        ] {
            let outcome = run(&world, document, response);
            assert_eq!(outcome.details, Some(details));
            assert_eq!(outcome.answer().head.get("retry-after"), expected, "{details}");
        }
    }
}

/// `Vary` says that there is something to choose from, and then only.
#[test]
fn answers_vary_by_what_they_depend_on() {
    let request = Message::get("/").with("accept", "text/xml;q=0.5, application/xml, text/plain;q=0.1");
    for (formats, content_type, vary) in [
        (json!(["problem", "text"]), "text/plain; charset=utf-8", Some("Accept")),
        (json!(["problem", "json"]), "application/problem+json", Some("Accept")),
        (json!("problem"), "application/problem+json", None),
        (json!(["text"]), "text/plain; charset=utf-8", None),
        // One form, but three media types.
        (json!("xml"), "application/xml", Some("Accept")),
    ] {
        let include = json!(["timestamp"]);
        let of_rule =
            json!({"formats": "html", "include": include, "rules": [{"respond": {"formats": formats}}]});
        for document in [json!({"formats": formats, "include": include}), of_rule] {
            let worker = Worker::<Errors>::new(&world("no_healthy_upstream", &["UH"]), &document);
            let outcome = worker.run(&request, &Message::response(503));
            let head = &outcome.answer().head;
            assert_eq!(
                (head.get("content-type"), head.get("vary")),
                (Some(content_type), vary),
                "{document}"
            );
        }
    }
    // It does not stand there twice.
    for line in ["accept", "Origin, Accept", "*"] {
        let response = Message::response(503).with("vary", line);
        let outcome = run(&world("no_healthy_upstream", &["UH"]), json!({}), &response);
        assert_eq!(outcome.answer().head.get("vary"), Some(line));
    }
}

/// What a good response costs: in Envoy each of these calls has its price.
#[test]
fn a_good_response_is_asked_for_its_status_alone() {
    let lean = json!({"formats": "problem", "include": ["timestamp"]});
    let of_errors =
        json!({"rules": [{"match": {"status": 503, "path": "/a"}, "respond": {"title": "Ours"}}]});
    let head = "headers RequestHeaders";
    let status = "first_header ResponseHeaders :status";
    let grpc_status = "first_header ResponseHeaders grpc-status";
    let get = Message::get("/a").with("accept", "text/html");
    let call = Message::post("/S/M", "").with("content-type", "application/grpc");
    for (document, request, answered, calls) in [
        (json!({}), &get, 200, vec![head, status]),
        (json!({}), &get, 304, vec![head, status]),
        (json!({}), &call, 200, vec![head, status, grpc_status]),
        (of_errors, &get, 200, vec![head, status]),
        // Who is not known may speak gRPC.
        (lean.clone(), &get, 200, vec![status, grpc_status]),
        (lean.clone(), &get, 204, vec![status]),
        (lean, &call, 200, vec![status, grpc_status]),
    ] {
        let world = world("via_upstream", &[]);
        let worker = Worker::<Errors>::new(&world, &document);
        world.take_calls();
        let response = Message::response(answered);
        assert!(passed(&worker.run(request, &response), &response));
        assert_eq!(world.take_calls(), calls, "{document} {answered}");
    }
}
