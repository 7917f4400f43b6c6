//! Who may what: groups, rules, those without a credential, and preflight requests.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// The document with acme in `partners`, guest/1 in `partners` and `staff`, and these rules.
fn rules(access: Value) -> Value {
    with([
        ("/consumers/0/groups", json!(["partners"])),
        ("/consumers/2/groups", json!(["partners", "staff"])),
        ("/access", access),
    ])
}

const ACME: &str = "key-1";
const GUEST: &str = "key-4";

/// Each of these requests (method, target, key) gets its status; a refusal is one by these rules.
fn check(worker: &Worker<Quota>, cases: &[(&str, &str, &str, u16)]) {
    for (method, target, key, status) in cases {
        let outcome = send(worker, &Message::request(method, target).with("x-api-key", *key));
        assert_eq!(outcome.status(), *status, "{method} {target} {key}");
        if *status == 403 {
            assert_eq!(outcome.details, Some("meshgate_access_denied"));
            assert_eq!(outcome.upstream, None);
            problem(&outcome);
        }
    }
}

#[test]
fn the_first_rule_that_is_for_a_request_decides() {
    let world = World::new();
    let worker = Worker::<Quota>::new(
        &world,
        rules(json!([
            {"match": {"path": "/status"}, "allow": {"everyone": true}},
            {"match": {"path": {"prefix": "/admin"}, "method": "DELETE"}, "deny": {"everyone": true}},
            {"match": {"path": {"prefix": "/admin"}}, "allow": {"groups": ["staff"]}},
            {"match": {"path": {"prefix": "/reports"}}, "allow": {"groups": "partners"}, "deny": {"consumers": "guest/1"}},
            {"match": {"path": {"prefix": "/one"}}, "allow": {"groups": ["staff"], "consumers": ["acme"]}},
        ])),
    );
    check(
        &worker,
        &[
            ("GET", "/status", ACME, 200),
            ("GET", "/admin", ACME, 403),
            ("GET", "/admin/x", GUEST, 200),
            ("DELETE", "/admin/x", GUEST, 403),
            ("GET", "/reports", ACME, 200),
            ("GET", "/reports", GUEST, 403),
            ("GET", "/one", ACME, 200),
            ("GET", "/one", GUEST, 200),
            ("GET", "/other", ACME, 200),
        ],
    );
    assert_eq!(world.metric("meshgate.quota.denied.access_denied"), 3);
    // Where rules look at paths, those that may be another for the upstream are refused.
    let outcome = send(&worker, &get("/x/../admin", ACME));
    assert_eq!((outcome.status(), outcome.details), (400, Some("meshgate_path_ambiguous")));
}

#[test]
fn whom_a_rule_refuses_is_not_counted() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, rules(json!([{"deny": {"consumers": "acme"}}])));
    let before = world.shared("meshgate/quota/test/acme");
    check(&worker, &[("GET", "/", ACME, 403), ("GET", "/", GUEST, 200)]);
    assert_eq!(world.shared("meshgate/quota/test/acme"), before);
}

/// What the proxy reads as one request may be another for the upstream: it has to be permitted as both.
#[test]
fn a_rule_is_not_evaded_by_several_values() {
    let worker = load(&rules(json!([
        {"match": {"query": {"tenant": "a"}}, "allow": {"consumers": "acme"}},
        {"match": {"query": {"tenant": {"present": true}}}, "allow": {"groups": "staff"}},
        {"match": {"method": "POST", "header": {"x-dry-run": "1"}}, "allow": {"everyone": true}},
        {"match": {"method": "POST"}, "allow": {"groups": "staff"}},
    ])))
    .unwrap();
    check(
        &worker,
        &[
            ("GET", "/?tenant=a", ACME, 200),
            ("GET", "/?tenant=b", ACME, 403),
            ("GET", "/?tenant=a&tenant=b", ACME, 403),
            ("GET", "/?tenant=b&tenant=a", ACME, 403),
            ("GET", "/?tenant=a", GUEST, 403),
            ("GET", "/?tenant=b", GUEST, 200),
            ("GET", "/?tenant=b&tenant=a", GUEST, 403),
        ],
    );
    let post = |values: &[&str]| {
        let request = Message::request("POST", "/").with("x-api-key", ACME);
        send(&worker, &values.iter().fold(request, |request, value| request.with("x-dry-run", *value)))
            .status()
    };
    assert_eq!([post(&["1"]), post(&["0"]), post(&["1", "0"]), post(&["0", "1"])], [200, 403, 403, 403]);
    // A rule for other requests has no say, whatever values they have.
    let twice = get("/", ACME).with("x-dry-run", "1").with("x-dry-run", "0");
    assert_eq!(send(&worker, &twice).status(), 200);
}

/// An upstream may take the first of two values, or the last.
#[test]
fn a_guard_and_a_limit_are_not_evaded_by_several_values() {
    let mut document = rules(json!([]));
    document.as_object_mut().unwrap().remove("access");
    document["match"] = json!({"query": {"public": {"not": "1"}}});
    document["limits"] = json!([
        {"name": "real", "quota": "2/d", "match": {"header": {"x-dry-run": {"not": "1"}}}},
    ]);
    let worker = load(&document).unwrap();
    let guest = |target: &str| send(&worker, &Message::get(target)).status();
    assert_eq!(["/", "/?public=1", "/?public=0"].map(guest), [401, 200, 401]);
    assert_eq!(["/?public=1&public=0", "/?public=0&public=1"].map(guest), [401, 401]);

    let run = |values: &[&str]| {
        let request = get("/", ACME);
        send(&worker, &values.iter().fold(request, |request, value| request.with("x-dry-run", *value)))
            .status()
    };
    assert_eq!([run(&["1"]), run(&["1"]), run(&["1"])], [200, 200, 200]);
    assert_eq!([run(&["1", "0"]), run(&["0", "1"]), run(&["1", "0"]), run(&["1"])], [200, 200, 429, 200]);
}

/// Servlet containers cut `;x` off, others split at `%2F`, make `get` a GET or see a host in what is none.
#[test]
fn no_rule_is_evaded_by_what_some_upstreams_read_differently() {
    let mut document = rules(json!([
        {"match": {"path": {"prefix": "/admin"}}, "allow": {"groups": "staff"}},
        {"match": {"method": "DELETE", "host": "files.example.com"}, "allow": {"groups": "staff"}},
    ]));
    document["match"] = json!({"path": [{"prefix": "/v1"}, {"prefix": "/admin"}, {"prefix": "/export"}]});
    document["routes"] = json!([
        {"match": {"path": "/export/{name}"}, "limits": [{"name": "l", "quota": "1/d"}]},
        {"match": {"query": {"mode": "cheap"}}, "limits": [{"name": "l", "quota": "100/d"}]},
    ]);
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document);
    check(
        &worker,
        &[
            // A rule for some is one for those who may be meant.
            ("GET", "/admin;x/a", ACME, 403),
            ("GET", "/admin%2fa", ACME, 403),
            ("GET", "/v1/..%3b/admin", ACME, 400),
            ("GET", "/v1;/admin", ACME, 200),
            ("GET", "/admin;x/a", GUEST, 200),
            // Nobody passes without a key.
            ("GET", "/v1;x/a", "", 401),
            ("GET", "/v1%2Fa", "", 401),
            ("GET", "/%5cv1", "", 401),
            ("GET", "/other;x/a%2fb", "", 200),
        ],
    );
    let delete = |method: &str, host: &str| {
        send(&worker, &Message::request(method, "/v1").with(":authority", host).with("x-api-key", ACME))
            .status()
    };
    assert_eq!(delete("DELETE", "files.example.com"), 403);
    assert_eq!(delete("DELETE", "other.example.com"), 200);
    assert_eq!(delete("delete", "files.example.com"), 403);
    assert_eq!(delete("DELETE", "other.example.com,files.example.com"), 403);
    assert_eq!(delete("DELETE", "x@files.example.com"), 403);

    // Which limits there are is decided for one of them, or the request is refused.
    assert_eq!(["/export/a", "/export/a"].map(|path| send(&worker, &get(path, ACME)).status()), [200, 429]);
    let outcome = send(&worker, &get("/export/a%2fb", ACME));
    assert_eq!((outcome.status(), outcome.details), (400, Some("meshgate_request_ambiguous")));
    let modes = ["/v1?mode=cheap", "/v1?mode=cheap&mode=dear", "/v1?mode=dear&mode=cheap"];
    assert_eq!(modes.map(|target| send(&worker, &get(target, ACME)).status()), [200, 400, 400]);
    assert_eq!(world.metric("meshgate.quota.denied.request_ambiguous"), 3);
    assert_eq!(send(&worker, &get("/export/a/b%2fc", ACME)).status(), 200);
}

/// An expression sees a method as it is written; there are servers that make `post` a POST.
#[test]
fn no_expression_is_evaded_by_a_method_in_lower_case() {
    for limit in [
        json!({"name": "l", "quota": "100/d", "when": "request.method == 'POST'"}),
        json!({"name": "l", "quota": "100/d", "cost": {"expression": "50 if request.method == 'POST' else 1"}}),
        json!({"name": "l", "quota": "100/d", "cost": 50, "match": {"method": "POST"}}),
    ] {
        let worker = load(&with([("/plans/free/limits", json!([limit]))])).unwrap();
        let send = |method: &str| {
            let outcome = send(&worker, &Message::request(method, "/").with("x-api-key", ACME));
            (outcome.status(), outcome.details)
        };
        let matches = limit.get("match").is_some();
        let refused = (400, Some("meshgate_request_ambiguous"));
        assert_eq!(send("POST"), (200, None));
        assert_eq!(send("post"), if matches { (200, None) } else { refused }, "{limit}");
        assert_eq!(
            send("Post"),
            if matches { (429, Some("meshgate_limit_exceeded")) } else { refused },
            "{limit}"
        );
        assert_eq!(send("PURGE"), (200, None));
    }
}

#[test]
fn rules_that_mean_nobody_are_refused() {
    for (rule, expected) in [
        (
            json!({}),
            ": found neither allow nor deny, expected one of them, such as allow: {groups: partners}",
        ),
        (json!({"allow": {}}), ".allow: found nobody, expected groups, consumers, or everyone: true"),
        (
            json!({"deny": {"everyone": true, "groups": "staff"}}),
            ".deny: found everyone and some, expected one of them",
        ),
        (
            json!({"deny": {"groups": ["staff", "partner"]}}),
            ".deny.groups[1]: found \"partner\", expected one of \"partners\", \"staff\": did you mean \"partners\"?",
        ),
        (
            json!({"allow": {"consumers": "acne"}}),
            ".allow.consumers: found \"acne\", expected one of \"acme\", \"dormant\", \"guest/1\": did you mean \"acme\"?",
        ),
        (
            json!({"match": {"status": 200}, "deny": {"everyone": true}}),
            ".match.status: found a status of the response, expected conditions on the request only: requests are decided \
             on before there is a response",
        ),
    ] {
        let error = load(&rules(json!([rule]))).unwrap_err().to_string();
        assert_eq!(error, format!("access[0]{expected}"));
    }
}

/// With someone without a credential, who has a plan of one request in a day.
fn open() -> Value {
    with([
        ("/plans/trial", json!({"limits": [{"name": "daily", "quota": "1/d"}]})),
        ("/anonymous", json!({"plan": "trial", "groups": ["public"], "metadata": {"tier": "0"}})),
    ])
}

#[test]
fn who_sends_no_credential_is_the_anonymous_consumer() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, with_filter_state(open()));
    let outcome = send(&worker, &Message::get("/").with("x-consumer-anonymous", "false"));
    assert_eq!(outcome.status(), 200);
    let expected = [
        ("x-consumer-name", "anonymous"),
        ("x-consumer-plan", "trial"),
        ("x-consumer-groups", "public"),
        ("x-consumer-anonymous", "true"),
        ("x-consumer-meta-tier", "0"),
    ];
    let seen = fields(outcome.forwarded());
    assert_eq!(
        seen.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(),
        expected
    );
    assert!(outcome.filter_state.contains_key("meshgate.consumer"));
    assert!(!outcome.filter_state.contains_key("meshgate.key_id"));

    // All of them share its limits; those with a key have theirs.
    assert_eq!(send(&worker, &Message::get("/")).status(), 429);
    let outcome = send(&worker, &get("/", ACME));
    assert_eq!(outcome.forwarded().head.get("x-consumer-anonymous"), None);
    assert_eq!(outcome.forwarded().head.get("x-consumer-name"), Some("acme"));
}

fn with_filter_state(mut document: Value) -> Value {
    document["filter_state"] = json!(true);
    document
}

#[test]
fn a_wrong_credential_is_not_anonymous() {
    let worker = load(&open()).unwrap();
    for (request, status, details) in [
        (get("/", "wrong"), 401, "meshgate_key_invalid"),
        (get("/", ""), 401, "meshgate_key_invalid"),
        (get("/", ACME).with("x-api-key", ACME), 400, "meshgate_key_repeated"),
        (get("/", "key-3"), 403, "meshgate_consumer_disabled"),
    ] {
        let outcome = send(&worker, &request);
        assert_eq!((outcome.status(), outcome.details), (status, Some(details)));
    }
}

#[test]
fn rules_know_the_anonymous_consumer() {
    let mut document = open();
    document["access"] = json!([{"match": {"method": ["GET", "HEAD"]}, "allow": {"everyone": true}},
        {"deny": {"groups": "public"}}]);
    let worker = load(&document).unwrap();
    assert_eq!(send(&worker, &Message::request("POST", "/")).details, Some("meshgate_access_denied"));
    assert_eq!(send(&worker, &Message::get("/")).status(), 200);
    assert_eq!(send(&worker, &Message::request("POST", "/").with("x-api-key", ACME)).status(), 200);
}

#[test]
fn the_anonymous_consumer_has_a_name_and_a_plan_of_its_own() {
    for (anonymous, expected) in [
        (
            json!({"plan": "fre"}),
            ".plan: found \"fre\", expected one of \"endless\", \"free\": did you mean \"free\"?",
        ),
        (
            json!({"plan": "free", "name": "acme"}),
            ".name: found \"acme\", expected a name of its own: consumers[0] has this one already",
        ),
    ] {
        let error = load(&with([("/anonymous", anonymous)])).unwrap_err().to_string();
        assert_eq!(error, format!("anonymous{expected}"));
    }
    let worker = load(&with([("/anonymous", json!({"plan": "endless", "name": "nobody"}))])).unwrap();
    let outcome = send(&worker, &Message::get("/"));
    assert_eq!(outcome.forwarded().head.get("x-consumer-name"), Some("nobody"));
}

/// What a browser asks with before a request that other sites may not send without being asked.
fn preflight() -> Message {
    Message::request("OPTIONS", "/")
        .with("origin", "https://app.example")
        .with("access-control-request-method", "PUT")
}

#[test]
fn preflight_requests_need_no_key_and_carry_no_identity() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, open());
    for _ in 0..3 {
        let request = preflight().with("x-consumer-name", "root").with("X_Consumer_Groups", "staff");
        let outcome = send(&worker, &request.with("x-api-key", ACME));
        let names: Vec<_> = fields(outcome.forwarded()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            (outcome.status(), names),
            (200, vec!["origin".to_owned(), "access-control-request-method".to_owned()])
        );
        assert_eq!(outcome.answer().head.get("ratelimit"), None);
    }
    assert_eq!(world.metric("meshgate.quota.preflight"), 3);
}

#[test]
fn what_is_no_preflight_request_needs_a_key() {
    let worker = load(&document()).unwrap();
    for request in [
        Message::request("OPTIONS", "/"),
        Message::request("OPTIONS", "/").with("origin", "https://app.example"),
        Message::request("OPTIONS", "/").with("access-control-request-method", "PUT"),
        Message::request("options", "/").with("origin", "a").with("access-control-request-method", "PUT"),
        Message::get("/").with("origin", "a").with("access-control-request-method", "PUT"),
        // Who brings something along does not only ask.
        preflight().with_body("x"),
        preflight().with_trailer("x-a", "1"),
    ] {
        assert_eq!(send(&worker, &request).details, Some("meshgate_key_missing"));
    }
    let worker = load(&with([("/preflight", json!("guard"))])).unwrap();
    assert_eq!(send(&worker, &preflight()).details, Some("meshgate_key_missing"));
    assert_eq!(send(&worker, &preflight().with("x-api-key", ACME)).status(), 200);
}

#[test]
fn conditions_know_groups_and_the_anonymous() {
    let limits = json!([
        {"name": "partners", "quota": "1/d", "when": "'partners' in consumer.groups"},
        {"name": "public", "quota": "1/d", "when": "consumer.anonymous"},
    ]);
    let worker = load(&with([
        ("/plans/free/limits", limits),
        ("/consumers/0/groups", json!(["partners"])),
        ("/anonymous", json!({"plan": "free"})),
    ]))
    .unwrap();
    let policy = |request: &Message| {
        let outcome = send(&worker, request);
        outcome.answer().head.get("ratelimit-policy").unwrap().to_owned()
    };
    assert_eq!(policy(&get("/", ACME)), "\"partners\";q=1;w=86400");
    assert_eq!(policy(&Message::get("/")), "\"public\";q=1;w=86400");
}
