//! What stands in files of keys, and in their configuration.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use meshgate_test_host::http_answer;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::key_files::{Files, SECOND, document, file, line, status, who};
use super::{Value, Worker, fields, get, json, send, sha256};
use crate::{Pepper, Quota};

#[test]
fn a_file_with_a_wrong_line_is_refused() {
    let files = Files::new(file(["a"]));
    let worker = files.worker();
    let digest = sha256(b"x");
    let lines = [
        line("secret", "").replace("sha256", "key"),
        line("secret", "").replace(&sha256(b"secret"), "secret"),
        line("secret", "").replace("id-secret", ""),
        line("secret", "").replace("of-secret", ""),
        line("secret", "").replace("of-secret", "\u{e9}"),
        line("secret", ", \"plan\": \"none\""),
        line("secret", ", \"plan\": null"),
        line("secret", ", \"secret\": 1"),
        line("secret", ", \"disabled\": \"secret\""),
        line("secret", ", \"expires_at\": \"secret\""),
        line(
            "secret",
            ", \"not_before\": \"2026-01-02T00:00:00Z\", \"expires_at\": \"2026-01-01T00:00:00Z\"",
        ),
        line("secret", ", \"metadata\": {\"Secret\": \"x\"}"),
        line("secret", ", \"metadata\": {\"x\": \"\"}"),
        line("secret", &format!(", \"hmac_sha256\": \"{digest}\"")),
        line("secret", &format!(", \"sha256\": \"{digest}\"")),
        format!("{{\"id\": \"i\", \"consumer\": \"c\", \"hmac_sha256\": \"{digest}\"}}\n"),
        format!("{{\"id\": \"i\", \"consumer\": \"c\", \"sha256\": \"{}\"}}\n", sha256(b"")),
        "{\"id\": \"i\", \"consumer\": \"c\"}\n".to_owned(),
        "secret\n".to_owned(),
        "[]\n".to_owned(),
        "null\n".to_owned(),
        "{}\n".to_owned(),
        "{\n".to_owned(),
        "{} {}\n".to_owned(),
        "{}, \"x\": {}\n".to_owned(),
        "\u{feff}{}\n".to_owned(),
        "\0\n".to_owned(),
        format!("{}\n", "[".repeat(8_000)),
        format!("\"{}\"\n", "x".repeat(9_000)),
        // The same digest once more.
        line("b", ""),
        line("a", ""),
    ];
    for wrong in lines {
        let before = files.failed();
        files.put(file(["a", "b"]) + &wrong);
        worker.pass(SECOND * 96);
        assert!(files.failed() > before, "{wrong}");
        assert_eq!(["a", "b", "secret"].map(|key| status(&worker, key)), [200, 401, 401], "{wrong}");
        files.put(file(["a"]));
        worker.pass(SECOND * 61);
    }
    // Bytes that are no text.
    files.put([file(["a", "b"]).as_bytes(), b"{\"id\": \"\xff\"}\n"].concat());
    worker.pass(SECOND * 96);
    assert_eq!(["a", "b"].map(|key| status(&worker, key)), [200, 401]);
    assert_eq!(files.world.metric("meshgate.quota.keys.portal.loaded"), 1);
}

#[test]
fn lines_may_end_as_lines_do() {
    let files = Files::new(file(["a"]).trim_end());
    assert_eq!(status(&files.worker(), "a"), 200);
    let files = Files::new(format!("\r\n\n{}\n  \n", file(["a", "b"]).replace('\n', "\r\n")));
    let worker = files.worker();
    assert_eq!(["a", "b"].map(|key| status(&worker, key)), [200, 200]);
}

#[test]
fn a_file_without_keys_is_refused() {
    let files = Files::new(file(["a"]));
    let worker = files.worker();
    for nothing in ["", "\n", " \n\n"] {
        files.put(nothing);
        worker.pass(SECOND * 96);
        assert_eq!(status(&worker, "a"), 200);
    }
    files.says(http_answer(200, &[], ""));
    worker.pass(SECOND * 96);
    assert_eq!(status(&worker, "a"), 200);
    assert_eq!(files.world.metric("meshgate.quota.keys.fetched"), 1);
}

#[test]
fn a_file_may_be_as_long_as_it_is_configured_to_be() {
    let files = Files::new(file(["a", "b"]));
    let mut document = document();
    document["key_files"][0]["max_size"] = json!(file(["a"]).len());
    let worker = Worker::<Quota>::new(&files.world, &document);
    worker.wake();
    assert_eq!((status(&worker, "a"), files.failed()), (503, 1));
    files.put(file(["a"]));
    worker.pass(SECOND * 61);
    assert_eq!(status(&worker, "a"), 200);
}

#[test]
fn a_key_may_be_of_somebody_in_the_configuration_if_that_may_be() {
    let of = |consumer: &str, more: &str| line("a", more).replace("of-a", consumer);
    let mut allowed = document();
    allowed["key_files"][0]["identity"] = json!({"plan": "endless", "configured_consumers": true});
    let mut alike = document();
    alike["key_files"][0]["identity"] = json!({"plan": "endless"});
    let load = |document: &Value, file: String| {
        let files = Files::new(file);
        let worker = Worker::<Quota>::new(&files.world, document);
        worker.wake();
        worker
    };
    assert_eq!(who(&load(&allowed, of("acme", "")), "a"), (200, "acme".to_owned()));
    assert_eq!(who(&load(&allowed, of("dormant", "")), "a").0, 403);
    assert_eq!(who(&load(&allowed, of("somebody", "")), "a"), (200, "somebody".to_owned()));
    // It has its own plan.
    assert_eq!(who(&load(&allowed, of("acme", ", \"plan\": \"endless\"")), "a").0, 503);
    assert_eq!(who(&load(&alike, of("acme", "")), "a").0, 503);
    assert_eq!(who(&load(&alike, of("somebody", "")), "a"), (200, "somebody".to_owned()));
    // Its usage is that of its other keys.
    let worker = load(&allowed, of("acme", ""));
    let mut outcomes: Vec<u16> = (0..5).map(|_| status(&worker, "a")).collect();
    outcomes.extend((0..6).map(|_| status(&worker, "key-1")));
    assert_eq!(outcomes, [[200; 10].as_slice(), &[429]].concat());
}

#[test]
fn what_a_line_says_of_a_key_counts() {
    let peppered = |key: &[u8]| Pepper::new(b"0123456789abcdef").unwrap().digest(key).to_hex();
    let text = [
        line("a", ", \"plan\": \"free\", \"metadata\": {\"tenant\": \"42\", \"x\": \"a b\"}"),
        line("b", ", \"not_before\": \"2026-01-02T00:00:00Z\", \"expires_at\": \"2026-01-03T00:00:00Z\""),
        format!("{{\"id\": \"p\", \"consumer\": \"p\", \"hmac_sha256\": \"{}\"}}\n", peppered(b"p")),
    ];
    let files = Files::new(text.concat());
    files.world.set_environment("PEPPER", *b"0123456789abcdef");
    let mut document = document();
    document["pepper"] = json!({"env": "PEPPER"});
    document["key_files"][0]["identity"]["groups"] = json!(["one", "two"]);
    let worker = Worker::<Quota>::new(&files.world, &document);
    worker.wake();
    let told = fields(send(&worker, &get("/", "a")).forwarded());
    for (name, value) in [
        ("x-consumer-plan", "free"),
        ("x-consumer-groups", "one, two"),
        ("x-consumer-meta-tenant", "42"),
        ("x-consumer-meta-x", "a b"),
    ] {
        assert!(told.contains(&(name.to_owned(), value.to_owned())), "{told:?}");
    }
    assert_eq!(who(&worker, "p"), (200, "portal/p".to_owned()));
    assert_eq!(who(&worker, "b"), (401, "meshgate_key_not_yet_valid".to_owned()));
    files.world.advance(SECOND * 86_400);
    assert_eq!(status(&worker, "b"), 200);
    files.world.advance(SECOND * 86_400);
    assert_eq!(who(&worker, "b"), (401, "meshgate_key_expired".to_owned()));
    // Its plan has limits, which count apart from those of anybody else.
    let statuses: Vec<u16> = (0..12).map(|_| status(&worker, "a")).collect();
    assert_eq!(statuses, [[200; 10].as_slice(), &[429; 2]].concat());
    assert_eq!(status(&worker, "key-1"), 200);
}

#[test]
fn a_configuration_that_is_wrong_says_so() {
    let files = Files::new("");
    let refused = |pointer: &str, value: Value, expected: &str| {
        let mut document = document();
        document["key_files"].as_array_mut().unwrap().push(json!({
            "name": "other", "cluster": "files", "path": "/other", "identity": {"plan": "free", "consumer_prefix": "o/"},
        }));
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[name] = value;
        let error = Worker::<Quota>::load(&files.world, &document).map(drop).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    for (pointer, value, expected) in [
        (
            "/key_files/1/name",
            json!("portal"),
            "key_files[1].name: found \"portal\", expected one of its own",
        ),
        ("/key_files/1/name", json!("a b"), "key_files[1].name: found \"a b\", expected 1 to 64 letters"),
        ("/key_files/1/cluster", json!(""), "key_files[1].cluster: found an empty name"),
        ("/key_files/1/cluster", json!("https://x"), "key_files[1].cluster: found \"https://x\""),
        (
            "/key_files/1/path",
            json!("keys"),
            "key_files[1].path: found \"keys\", expected a path that starts with /",
        ),
        ("/key_files/1/timeout", json!("2m"), "key_files[1].timeout: found \"2m\""),
        ("/key_files/1/refresh", json!("1s"), "key_files[1].refresh: found \"1s\", expected at least 10s"),
        ("/key_files/1/identity/plan", json!("none"), "key_files[1].identity.plan: found \"none\""),
        ("/key_files/1/identity/groups", json!(["a,b"]), "key_files[1].identity.groups[0]: found \"a,b\""),
        (
            "/key_files/1/identity/consumer_prefix",
            json!("portal/x"),
            "key_files[1].identity.consumer_prefix: found \"portal/x\", expected a prefix in both",
        ),
        ("/key_files/1/keys", json!([]), "key_files[1]: found unknown field \"keys\""),
        (
            "/tokens",
            json!([{"issuer": "i", "audiences": [], "jwks": {"keys": []}, "identity": {"plan": "free"}}]),
            "tokens[0]",
        ),
    ] {
        refused(pointer, value, expected);
    }
    let mut same = document();
    let mut twice = same["key_files"][0].clone();
    twice["name"] = json!("other");
    same["key_files"].as_array_mut().unwrap().push(twice);
    let error = Worker::<Quota>::load(&files.world, &same).map(drop).unwrap_err().to_string();
    assert!(
        error.starts_with("key_files[1].path: found \"/keys.jsonl\", expected one of its own"),
        "{error}"
    );
}
