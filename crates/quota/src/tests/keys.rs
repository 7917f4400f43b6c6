//! What keys there are: in cookies, with times, with a pepper, with a checksum.

use std::time::Duration;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn refused(outcome: &Outcome, status: u16, details: &str) {
    assert_eq!((outcome.status(), outcome.details), (status, Some(details)), "{outcome:?}");
    assert_eq!(outcome.upstream, None);
    let challenge = outcome.answer().head.get("www-authenticate");
    assert_eq!(challenge, (status == 401).then_some("ApiKey realm=\"meshgate\""));
    problem(outcome);
}

#[track_caller]
fn not_loaded(world: &World, document: &Value, expected: &str) {
    match Worker::<Quota>::load(world, document) {
        Ok(_) => panic!("passes, expected: {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

#[test]
fn a_key_in_a_cookie_is_hidden_and_the_others_stay_byte_for_byte() {
    let places = json!([{"cookie": "api_key"}, {"header": "x-api-key"}]);
    let worker = load(&with([("/keys_from", places)])).unwrap();
    for (cookies, left) in [
        (&["api_key=key-1"][..], &[][..]),
        (&["api_key=\"key-1\""], &[]),
        (&["a=1; api_key=key-1; b=\"x, y\";c"], &["a=1; b=\"x, y\";c"]),
        (&["api_key=key-1; a=%20=;"], &["a=%20=;"]),
        (&["a=1", "api_key=key-1", "b=2;"], &["a=1", "b=2;"]),
        (&["API_KEY=x; api_key=key-1"], &["API_KEY=x"]),
    ] {
        let request =
            cookies.iter().fold(Message::get("/"), |request, cookie| request.with("cookie", *cookie));
        let outcome = send(&worker, &request);
        assert_eq!(outcome.status(), 200, "{cookies:?}");
        let seen: Vec<_> = outcome.forwarded().head.all("cookie").collect();
        assert_eq!(seen, left.iter().map(|left| left.as_bytes()).collect::<Vec<_>>(), "{cookies:?}");
    }
    for request in [
        Message::get("/").with("cookie", "api_key=key-1; api_key=key-1"),
        Message::get("/").with("cookie", "api_key=key-1").with("cookie", "api_key="),
        get("/", "key-1").with("cookie", "api_key=key-1"),
    ] {
        refused(&send(&worker, &request), 400, "meshgate_key_repeated");
    }
    // What is no key is left as it came.
    let outcome = send(&worker, &get("/", "key-1").with("cookie", " a=1;; "));
    assert_eq!(outcome.forwarded().head.get("cookie"), Some(" a=1;; "));
}

#[test]
fn a_key_is_good_from_one_time_to_another() {
    let world = World::new();
    let config = with([
        ("/consumers/0/keys/0/not_before", json!("2026-01-01T01:00:10+01:00")),
        ("/consumers/0/keys/0/expires_at", json!("2026-01-01T00:00:20Z")),
        ("/consumers/0/keys/1/expires_at", json!("2025-12-31T23:59:59.999Z")),
        ("/filter_state", json!(true)),
    ]);
    let worker = Worker::<Quota>::new(&world, config);
    let request = get("/", "key-1");
    let outcome = send(&worker, &request);
    refused(&outcome, 401, "meshgate_key_not_yet_valid");
    // Logs say whose it is.
    assert_eq!(outcome.filter_state.get("meshgate.key_id").map(Vec::as_slice), Some(b"acme-1".as_slice()));
    refused(&send(&worker, &get("/", "key-2")), 401, "meshgate_key_expired");
    world.advance(Duration::from_nanos(9_999_999_999));
    refused(&send(&worker, &request), 401, "meshgate_key_not_yet_valid");
    world.advance(Duration::from_nanos(1));
    assert_eq!(send(&worker, &request).status(), 200);
    world.advance(Duration::from_nanos(9_999_999_999));
    assert_eq!(send(&worker, &request).status(), 200);
    world.advance(Duration::from_nanos(1));
    refused(&send(&worker, &request), 401, "meshgate_key_expired");
    let metric = |name| world.metric(&format!("meshgate.quota.denied.{name}"));
    assert_eq!((metric("key_not_yet_valid"), metric("key_expired")), (2, 2));
}

#[test]
fn a_key_is_disabled_alone() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, with([("/consumers/0/keys/0/disabled", json!(true))]));
    refused(&send(&worker, &get("/", "key-1")), 401, "meshgate_key_disabled");
    assert_eq!(send(&worker, &get("/", "key-2")).status(), 200);
    assert_eq!(world.metric("meshgate.quota.denied.key_disabled"), 1);
}

#[test]
fn times_that_are_none_are_refused_and_not_shown() {
    let world = World::new();
    let error = |changes: &[(&str, Value)]| {
        let mut config = document();
        let key = config.pointer_mut("/consumers/0/keys/0").unwrap();
        changes.iter().for_each(|(name, value)| key[*name] = value.clone());
        Worker::<Quota>::load(&world, &config).unwrap_err().to_string()
    };
    let secret = error(&[("expires_at", json!("hunter2"))]);
    assert!(secret.starts_with("consumers[0].keys[0].expires_at: found "), "{secret}");
    assert!(secret.contains("2026-12-31T23:59:59Z") && !secret.contains("hunter2"), "{secret}");
    assert_eq!(
        error(&[
            ("not_before", json!("2026-01-01T00:00:00Z")),
            ("expires_at", json!("2026-01-01T01:00:00+01:00"))
        ]),
        "consumers[0].keys[0].expires_at: found a time that is not after not_before, expected a later one: the key would \
         never be valid"
    );
}

/// `printf %s key-1 | openssl dgst -sha256 -hmac "a pepper of 20 bytes"`
const PEPPERED: &str = "b1c436381044fbdcfb9c0b17b72abdfcf2187074254afaba8ddb915444d20daf";

#[test]
fn a_digest_with_a_pepper_finds_its_key() {
    let world = World::new();
    world.set_environment("PEPPER", "a pepper of 20 bytes");
    let key = json!({"id": "acme-1", "hmac_sha256": PEPPERED});
    let config = with([("/pepper", json!({"env": "PEPPER"})), ("/consumers/0/keys/0", key)]);
    let worker = Worker::<Quota>::new(&world, &config);
    for (key, status) in [("key-1", 200), ("key-2", 200), ("key-5", 401), (PEPPERED, 401)] {
        assert_eq!(send(&worker, &get("/", key)).status(), status, "{key}");
    }
    // With another pepper it is no key.
    world.set_environment("PEPPER", "a pepper of 20 byteS");
    let other = Worker::<Quota>::new(&world, &config);
    refused(&send(&other, &get("/", "key-1")), 401, "meshgate_key_invalid");
    assert_eq!(send(&other, &get("/", "key-2")).status(), 200);

    world.set_environment("PEPPER", "15 bytes, short");
    not_loaded(
        &world,
        &config,
        "pepper.env: found a secret of 15 bytes, expected at least 16 bytes in that variable",
    );
    not_loaded(
        &World::new(),
        &config,
        "pepper.env: found \"PEPPER\", expected the name of an environment variable of the VM: in Envoy they are in \
         vm_config.environment_variables, and the module's VM has no others",
    );
}

#[test]
fn a_key_has_one_digest() {
    let world = World::new();
    for (key, expected) in [
        (
            json!({"id": "k", "hmac_sha256": PEPPERED}),
            ".hmac_sha256: found a digest with a pepper, and no pepper, expected where the pepper is, such as pepper: {env: \
             MESHGATE_PEPPER}",
        ),
        (
            json!({"id": "k", "hmac_sha256": PEPPERED, "sha256": PEPPERED}),
            ": found sha256 and hmac_sha256, expected one of them",
        ),
        (
            json!({"id": "k"}),
            ": found neither sha256 nor hmac_sha256, expected the digest of the key: printf %s \"$KEY\" | sha256sum",
        ),
        (
            json!({"id": "k", "sha256": PEPPERED, "plan": "hunter2"}),
            ".plan: found a plan that does not exist, expected the name of one of the plans",
        ),
    ] {
        let document = with([("/consumers/0/keys/0", key)]);
        not_loaded(&world, &document, &format!("consumers[0].keys[0]{expected}"));
    }
    // The key itself has no place.
    for field in ["key", "value", "plaintext"] {
        let document = with([("/consumers/0/keys/0", json!({"id": "k", field: "hunter2"}))]);
        let error = Worker::<Quota>::load(&world, &document).unwrap_err().to_string();
        assert!(error.contains("unknown field") && !error.contains("hunter2"), "{error}");
    }
}

/// `BODY=mg_0123456789abcdefABCDEF; printf %s "$BODY" | gzip -c | tail -c8 | od -An -N4 -tx4`
const CHECKED: &str = "mg_0123456789abcdefABCDEF_6d356cba";

#[test]
fn a_key_whose_checksum_is_wrong_is_refused_before_it_is_looked_up() {
    let world = World::new();
    let config = with([
        ("/key_format", json!({"prefix": "mg"})),
        ("/consumers/0/keys/0/sha256", json!(sha256(CHECKED.as_bytes()))),
    ]);
    let worker = Worker::<Quota>::new(&world, config);
    assert_eq!(send(&worker, &get("/", CHECKED)).status(), 200);
    let (cut, _) = CHECKED.split_at(20);
    // The last one is the key of somebody, in another form.
    for key in [cut, "mg_0123456789abcdefABCDEG_6d356cba", "", "key-2"] {
        refused(&send(&worker, &get("/", key)), 401, "meshgate_key_malformed");
    }
    let unknown = "mg_0000000000000000000000_3d4fd3bc";
    refused(&send(&worker, &get("/", unknown)), 401, "meshgate_key_invalid");
    assert_eq!(world.metric("meshgate.quota.denied.key_malformed"), 4);
    assert_eq!(world.metric("meshgate.quota.denied.key_invalid"), 1);
}

#[test]
fn a_key_can_have_a_plan_of_its_own_and_usage_is_the_consumers() {
    let world = World::new();
    let config = with([
        ("/plans/batch", json!({"limits": [{"name": "daily", "quota": "20/d"}]})),
        ("/consumers/0/keys/1/plan", json!("batch")),
        ("/consumers/2/keys/0/plan", json!("batch")),
    ]);
    let worker = Worker::<Quota>::new(&world, config);
    let statuses = |key: &str, count: usize| -> Vec<u16> {
        (0..count).map(|_| send(&worker, &get("/", key)).status()).collect()
    };
    assert_eq!(statuses("key-1", 10), [200; 10]);
    assert_eq!(statuses("key-1", 1), [429]);
    let outcome = send(&worker, &get("/", "key-2"));
    assert_eq!(outcome.forwarded().head.get("x-consumer-plan"), Some("batch"));
    assert_eq!(outcome.answer().head.get("ratelimit"), Some("\"daily\";r=9;t=86400"));
    // A consumer whose own plan counts nothing is counted where its key says so.
    assert_eq!(
        [statuses("key-4", 20), statuses("key-4", 1)].concat(),
        [[200; 20].as_slice(), &[429]].concat()
    );
}

#[test]
fn the_upstream_is_told_what_else_is_known() {
    let config = with([
        ("/consumers/0/metadata", json!({"tenant": "42", "region": "eu"})),
        ("/consumers/0/keys/1/metadata", json!({"region": "us west", "app": "ios"})),
        ("/consumers/0/groups", json!(["partners", "beta testers"])),
    ]);
    let worker = load(&config).unwrap();
    let seen = |key: &str| {
        let outcome =
            send(&worker, &get("/", key).with("x-consumer-meta-tenant", "1").with("x_consumer_meta_x", "1"));
        fields(outcome.forwarded())
    };
    let known = |key_id: &str, metadata: &[(&str, &str)]| -> Vec<(String, String)> {
        let identity = [
            ("x-consumer-name", "acme"),
            ("x-consumer-plan", "free"),
            ("x-consumer-key-id", key_id),
            ("x-consumer-groups", "partners, beta testers"),
        ];
        identity
            .iter()
            .chain(metadata)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let own = [("x-consumer-meta-region", "eu"), ("x-consumer-meta-tenant", "42")];
    assert_eq!(seen("key-1"), known("acme-1", &own));
    let both = [
        ("x-consumer-meta-app", "ios"),
        ("x-consumer-meta-region", "us west"),
        ("x-consumer-meta-tenant", "42"),
    ];
    assert_eq!(seen("key-2"), known("acme-2", &both));
}

#[test]
fn what_cannot_be_told_is_refused() {
    let world = World::new();
    let name = "expected names of 1 to 64 letters in lower case, digits and -";
    for (field, value, expected) in [
        ("metadata", json!({"Tenant": "1"}), format!(".metadata: found a name of 6 characters, {name}")),
        ("metadata", json!({"a_b": "1"}), format!(".metadata: found a name of 3 characters, {name}")),
        ("metadata", json!({"": "1"}), format!(".metadata: found a name of 0 characters, {name}")),
        (
            "metadata",
            json!({"a": "1\r\nx: y"}),
            ".metadata.a: found a string of 7 characters, expected 1 to 128 printable ASCII characters without spaces \
             around them"
                .to_owned(),
        ),
        (
            "groups",
            json!(["a", "b,c"]),
            ".groups[1]: found \"b,c\", expected a name without a comma: the upstream gets all groups in one header, with \
             commas between"
                .to_owned(),
        ),
    ] {
        // Which entry of a long list it is nobody counts.
        let whose = if field == "metadata" { ": it is of the consumer \"acme\"" } else { "" };
        let expected = format!("{expected}{whose}");
        let pointer = format!("/consumers/0/{field}");
        not_loaded(&world, &with([(pointer.as_str(), value.clone())]), &format!("consumers[0]{expected}"));
        if field == "metadata" {
            let changed = with([("/consumers/0/keys/1/metadata", value)]);
            not_loaded(&world, &changed, &format!("consumers[0].keys[1]{expected}"));
        }
    }
}

#[test]
fn an_identity_in_trailers_does_not_reach_the_upstream() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, with([("/match", json!({"path": "/guarded"}))]));
    for (target, message) in [("/guarded", get("/guarded", "key-1")), ("/open", Message::get("/open"))] {
        let request = message.with_trailer("x-consumer-name", "root").with_trailer("x_consumer_plan", "gold");
        let outcome = send(&worker, &request.with_trailer("x-checksum", "1"));
        let trailers = outcome.forwarded().trailers.as_ref().unwrap();
        let names: Vec<_> = trailers.iter().map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names, [b"x-checksum"], "{target}");
    }
    let unremovable = format!("x-consumer-{}", "a".repeat(300));
    let outcome = send(&worker, &Message::get("/open").with_trailer(&unremovable, "1"));
    assert_eq!((outcome.status(), outcome.details), (400, Some("meshgate_header_invalid")));
    assert_eq!(world.metric("meshgate.quota.denied.header_invalid"), 1);
}

/// Nobody is found by a credential in trailers, and no upstream sees one.
#[test]
fn a_key_in_trailers_does_not_reach_the_upstream() {
    let places = json!([
        {"header": "x-api-key"}, {"header": "authorization", "scheme": "ApiKey"}, {"cookie": "key"}, {"query": "key"},
    ]);
    let changes = [("/match", json!({"path": "/guarded"})), ("/keys_from", places)];
    for (hides, left) in [
        (true, [("authorization", "Basic a"), ("cookie", "a=b"), ("x-other", "key-1")].as_slice()),
        (
            false,
            [
                ("x-api-key", "key-1"),
                ("authorization", "ApiKey key-1"),
                ("authorization", "Basic a"),
                ("cookie", "a=b; key=key-1"),
                ("x-other", "key-1"),
            ]
            .as_slice(),
        ),
    ] {
        let mut document = with(changes.clone());
        document["hide_credentials"] = json!(hides);
        let worker = load(&document).unwrap();
        for message in [get("/guarded", "key-1"), Message::get("/open")] {
            let request = message
                .with_trailer("x-api-key", "key-1")
                .with_trailer("authorization", "ApiKey key-1")
                .with_trailer("authorization", "Basic a")
                .with_trailer("cookie", "a=b; key=key-1")
                .with_trailer("x-other", "key-1");
            let outcome = send(&worker, &request);
            let trailers = outcome.forwarded().trailers.as_ref().unwrap();
            let mut trailers: Vec<_> = trailers
                .iter()
                .map(|(name, value)| {
                    (std::str::from_utf8(name).unwrap(), std::str::from_utf8(value).unwrap())
                })
                .collect();
            let mut left = left.to_vec();
            trailers.sort_unstable();
            left.sort_unstable();
            assert_eq!(trailers, left);
        }
    }
    let worker = load(&document()).unwrap();
    let outcome = send(&worker, &Message::get("/").with_trailer("x-api-key", "key-1"));
    assert_eq!(outcome.details, Some("meshgate_key_missing"));
}

#[test]
fn the_digest_of_nothing_is_no_key() {
    let refused = load(&with([("/consumers/0/keys/0/sha256", json!(sha256(b"")))])).unwrap_err().to_string();
    let expected = "consumers[0].keys[0].sha256: found the digest of the empty string, expected that of a key: was KEY set \
                    where the digest was made?";
    assert_eq!(refused, expected);
}
