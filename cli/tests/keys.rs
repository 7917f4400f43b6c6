//! `meshgate keys`, as a user runs it, and what the policy makes of the keys.

#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used, reason = "test code")]

mod support;

use meshgate_quota::Quota;
use meshgate_test_host::{Message, Worker, World, http_answer};
use serde_json::{Value, json};
use support::meshgate;

const PEPPER: &str = "MESHGATE_TEST_PEPPER";
const SECRET: &str = "a pepper of 20 bytes";

/// The status of a request with this key, where the entry stands in the configuration.
fn status(key: &str, entry: &Value, prefix: &str) -> u16 {
    let world = World::new();
    world.set_environment(PEPPER, SECRET);
    let document = json!({
        "key_format": {"prefix": prefix},
        "pepper": {"env": PEPPER},
        "keys_from": {"header": "x-api-key"},
        "plans": {"free": {}},
        "consumers": [{"name": "acme", "plan": "free", "keys": [entry]}],
    });
    let worker = Worker::<Quota>::new(&world, document);
    worker.run(&Message::get("/").with("x-api-key", key), &Message::response(200)).status()
}

/// The key and the entry that `keys new` prints.
fn printed(out: &str) -> (String, Value) {
    let (key, entry) = out.trim_end().split_once('\n').unwrap();
    let key = key.strip_prefix("key:   ").unwrap();
    (key.to_owned(), serde_json::from_str(entry.strip_prefix("entry: ").unwrap()).unwrap())
}

#[test]
fn a_new_key_is_accepted_with_its_entry() {
    let ran = meshgate(&["keys", "new"]).ran();
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let (key, entry) = printed(&ran.out);
    assert!(key.starts_with("mg_") && key.len() == 3 + 43 + 9, "{key}");
    let digest = entry["sha256"].as_str().unwrap();
    assert_eq!(entry["id"], format!("key-{}", &digest[..8]));
    assert_eq!(status(&key, &entry, "mg"), 200);
    let other = printed(&meshgate(&["keys", "new"]).ran().out).0;
    assert_ne!(key, other);
    assert_eq!(status(&other, &entry, "mg"), 401);
}

#[test]
fn keys_have_a_prefix_an_id_and_a_pepper() {
    let args = ["keys", "new", "--prefix", "shop_live", "--id", "acme-1", "--hmac-env", PEPPER];
    let ran = meshgate(&args).env(PEPPER, SECRET).ran();
    let (key, entry) = printed(&ran.out);
    assert!(
        key.starts_with("shop_live_") && entry["id"] == "acme-1" && entry.get("sha256").is_none(),
        "{}",
        ran.out
    );
    assert_eq!(status(&key, &entry, "shop_live"), 200);
    assert!(!ran.out.contains(SECRET));
}

#[test]
fn a_line_for_a_file_of_keys_says_whose_the_key_is() {
    let ran = meshgate(&["keys", "new", "--id", "acme-1", "--consumer", "acme"]).ran();
    let (key, line) = printed(&ran.out);
    assert_eq!(line["consumer"], "acme");
    let world = World::new();
    let file = format!("{line}\n");
    world.on_http("keys", move |_| http_answer(200, &[], file.clone()));
    let document = json!({
        "plans": {"free": {}},
        "consumers": [],
        "key_files": [{"name": "f", "cluster": "keys", "path": "/", "identity": {"plan": "free"}}],
    });
    let worker = Worker::<Quota>::new(&world, document);
    worker.wake();
    let request = Message::get("/").with("x-api-key", key.as_str());
    assert_eq!(worker.run(&request, &Message::response(200)).status(), 200);
    let ran = meshgate(&["keys", "new", "--consumer", ""]).ran();
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
}

#[test]
fn many_keys_come_as_json_too() {
    let ran = meshgate(&["keys", "new", "--count", "3", "--id", "acme", "--output", "json"]).ran();
    let made: Value = serde_json::from_str(&ran.out).unwrap();
    let keys = made["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3);
    for (key, number) in keys.iter().zip(1..) {
        assert_eq!(key["entry"]["id"], format!("acme-{number}"));
        assert_eq!(status(key["key"].as_str().unwrap(), &key["entry"], "mg"), 200);
    }
}

#[test]
fn a_key_that_there_is_gets_its_entry() {
    // printf %s some-key | sha256sum
    let digest = "682f6697fa93eca6c801a232519a09e3fe0c5c339465ee53c3f9edf92fd01f35";
    for (input, from) in [("some-key", &["-"][..]), ("some-key\n", &[]), ("some-key\r\n", &["-"])] {
        let ran = meshgate(&[&["keys", "hash", "--id", "a"], from].concat()).input(input.as_bytes());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{input:?}");
        assert_eq!(ran.out, format!("entry: {{\"id\":\"a\",\"sha256\":\"{digest}\"}}\n"), "{input:?}");
    }
    let json = meshgate(&["keys", "hash", "--id", "a", "-", "--output", "json"]).input(b"some-key");
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json, json!({"entry": {"id": "a", "sha256": digest}}));
}

#[test]
fn white_space_around_a_key_is_told() {
    let ran = meshgate(&["keys", "hash", "-"]).input(b"some-key \n");
    assert_eq!(ran.code, 0);
    assert!(ran.err.starts_with("meshgate: warning: the key begins or ends with white space"), "{}", ran.err);
    assert!(!ran.err.contains("some-key"));
}

#[test]
fn a_key_on_the_command_line_is_refused_and_not_repeated() {
    for args in [&["keys", "hash", "s3cret-key"][..], &["keys", "hash", "-", "s3cret-key"]] {
        let ran = meshgate(args).ran();
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(ran.err.contains("not taken from the command line"), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("s3cret"), "{args:?}: {}", ran.err);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    for input in ["", "\n", " \n"] {
        let ran = meshgate(&["keys", "hash", "-"]).input(input.as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{input:?}");
    }
    let long = meshgate(&["keys", "hash", "-"]).input(&[b'x'; 70_000]);
    assert_eq!((long.code, long.out.as_str()), (2, ""));
    for (args, why) in [
        (&["--prefix", "a b"][..], "--prefix: found \"a b\", expected 1 to 32 letters"),
        (&["--id", ""], "--id: expected 1 to 128"),
        (
            &["--hmac-env", "MESHGATE_NO_SUCH"],
            "--hmac-env: there is no environment variable MESHGATE_NO_SUCH",
        ),
        (&["--count", "0"], "0 is not in 1..=10000"),
    ] {
        let ran = meshgate(&[&["keys", "new"], args].concat()).ran();
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains(why), "{args:?}: {}", ran.err);
    }
    let short = meshgate(&["keys", "new", "--hmac-env", PEPPER]).env(PEPPER, "s3cret").ran();
    assert!(
        short.code == 2 && short.err.contains("too short") && !short.err.contains("s3cret"),
        "{}",
        short.err
    );
}
