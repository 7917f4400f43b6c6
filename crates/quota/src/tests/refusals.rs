//! The form of answers to those who are not known, and to those who may not.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use meshgate_test_host::{Planned, http_answer};
use meshgate_test_tokens::Signer;

use super::tokens::{bearer, claims};
use super::*;

/// A document where `acme` may not delete, with these fields of the root.
fn guarded<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let mut document = with([("/plans/free/allow", json!([{"method": ["GET", "POST"]}]))]);
    document["access"] = json!([{"match": {"path": {"prefix": "/admin"}}, "deny": {"everyone": true}}]);
    for (name, value) in fields {
        document[name] = value;
    }
    document
}

#[test]
fn refusals_have_the_status_the_body_and_the_fields_that_are_configured() {
    let worker = load(&guarded([
        (
            "unauthorized",
            json!({
                "status": 404,
                "content_type": "application/json",
                "body": "{\"error\": \"{{ body.title }}\", \"who\": \"{{ consumer.name | default('?') }}\", \"at\": {{ request.path }}}",
                "headers": {"x-login": "https://login.example/?to={{ request.path|urlencode }}"},
            }),
        ),
        ("forbidden", json!({"status": 402, "body": "{{ consumer.name }}: {{ body.detail }}", "headers": {"X-Plan": "{{ consumer.plan }}"}})),
    ]))
    .unwrap();
    for (request, who, details) in [
        (Message::get("/a%20b"), "?", "meshgate_key_missing"),
        (get("/a%20b", "who"), "?", "meshgate_key_invalid"),
    ] {
        let outcome = send(&worker, &request);
        let answer = outcome.answer();
        assert_eq!((outcome.status(), outcome.details), (404, Some(details)));
        let body = format!("{{\"error\": \"Not Found\", \"who\": \"{who}\", \"at\": \"/a%20b\"}}");
        assert_eq!((answer.text(), answer.head.get("content-type")), (&*body, Some("application/json")));
        assert_eq!(answer.head.get("x-login"), Some("https://login.example/?to=%2Fa%2520b"));
        assert_eq!(answer.head.get("www-authenticate"), Some("ApiKey realm=\"meshgate\""));
    }
    for (request, who, details) in [
        (get("/admin", "key-1"), "acme: This consumer may not", "meshgate_access_denied"),
        (
            Message::request("DELETE", "/").with("x-api-key", "key-1"),
            "acme: The plan",
            "meshgate_plan_forbids",
        ),
        (get("/", "key-3"), "dormant: The account", "meshgate_consumer_disabled"),
    ] {
        let outcome = send(&worker, &request);
        let answer = outcome.answer();
        assert_eq!((outcome.status(), outcome.details), (402, Some(details)));
        assert!(answer.text().starts_with(who), "{}", answer.text());
        assert_eq!((answer.head.get("x-plan"), answer.head.get("www-authenticate")), (Some("free"), None));
    }
    let form = json!({"status": 404, "headers": {"cache-control": "max-age=5"}});
    let outcome = send(&load(&guarded([("unauthorized", form)])).unwrap(), &Message::get("/"));
    assert_eq!(outcome.answer().head.all("cache-control").collect::<Vec<_>>(), [b"max-age=5"]);
    // Others are as they were.
    let twice = get("/", "key-1").with("x-api-key", "key-1");
    let outcome = send(&worker, &twice);
    assert_eq!((outcome.status(), &problem(&outcome)["title"]), (400, &json!("Bad Request")));
    assert_eq!(send(&worker, &get("/", "key-1")).status(), 200);
}

#[test]
fn a_status_alone_changes_the_problem() {
    let status = |status: u16| json!({"status": status});
    let worker = load(&guarded([("unauthorized", status(403)), ("forbidden", status(404))])).unwrap();
    for (request, status, title) in
        [(Message::get("/"), 403, "Forbidden"), (get("/admin", "key-1"), 404, "Not Found")]
    {
        let outcome = send(&worker, &request);
        assert_eq!(outcome.status(), status);
        assert_eq!(problem(&outcome)["title"], title);
        assert_eq!(outcome.answer().head.get("cache-control"), Some("no-store"));
    }
}

#[test]
fn grpc_clients_get_the_same_status_of_grpc_whatever_is_configured() {
    let form = json!({"status": 500, "body": "no {{ request.path }}"});
    let worker = load(&guarded([("unauthorized", form.clone()), ("forbidden", form)])).unwrap();
    for (path, key, status) in [("/a", "who", "16"), ("/admin", "key-1", "7")] {
        let call = Message::request("POST", path).with("content-type", "application/grpc");
        let outcome = send(&worker, &call.with("x-api-key", key));
        let answer = outcome.answer();
        let expected = format!("no {path}");
        assert_eq!(outcome.status(), 200);
        assert_eq!(
            (answer.head.get("grpc-status"), answer.head.get("grpc-message")),
            (Some(status), Some(&*expected))
        );
    }
}

/// What can't be checked now may be later, whoever is to be asked: clients of gRPC try again at `UNAVAILABLE`.
#[test]
fn grpc_clients_may_try_again_where_a_token_cannot_be_checked() {
    let keys_behind_a_url = json!([{
        "issuer": "https://idp", "audiences": ["api"], "identity": {"plan": "endless"},
        "jwks_from": {"cluster": "idp", "path": "/keys", "authority": "idp.example"},
    }]);
    let introspection = json!({
        "cluster": "idp", "path": "/introspect", "authority": "idp.example",
        "client": {"id": "gateway", "secret_env": "SECRET"}, "identity": {"plan": "endless"},
    });
    let token = Signer::new("ES256").sign(&claims());
    for (field, source) in [("/tokens", keys_behind_a_url), ("/introspection", introspection)] {
        let world = World::new();
        world.set_environment("SECRET", "s3cret");
        world.on_http("idp", |_| Planned::from(http_answer(503, &[], "")));
        let worker = Worker::<Quota>::new(&world, with([(field, source)]));
        let outcome = send(&worker, &bearer(&token).with("content-type", "application/grpc"));
        let head = &outcome.answer().head;
        assert_eq!((outcome.details, outcome.status()), (Some("meshgate_token_unchecked"), 200), "{field}");
        assert_eq!(head.get("grpc-status"), Some("14"), "{field}");
        assert!(head.get("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait > 0)));
        assert!(head.get("grpc-message").unwrap().contains("can't be checked at the moment"), "{field}");
        // To others it is an error of HTTP.
        assert_eq!(send(&worker, &bearer(&token)).status(), 503, "{field}");
    }
}

#[test]
fn forms_that_cannot_be_are_refused() {
    for (field, form, message) in [
        (
            "unauthorized",
            json!({"status": 302}),
            "unauthorized.status: found 302, expected the status of an error",
        ),
        (
            "forbidden",
            json!({"content_type": "text/plain"}),
            "forbidden.content_type: found a media type without",
        ),
        ("forbidden", json!({"body": "{{ a }}"}), "forbidden.body: "),
        (
            "unauthorized",
            json!({"headers": {"WWW-Authenticate": "Basic"}}),
            "unauthorized.headers.WWW-Authenticate: found",
        ),
        ("unauthorized", json!({"retry_after_jitter": "1s"}), "unauthorized: found unknown field"),
        ("forbidden", json!(null), "forbidden: found null"),
    ] {
        let refused = load(&guarded([(field, form.clone())])).unwrap_err().to_string();
        assert!(refused.starts_with(message), "{form}: {refused}");
    }
}
