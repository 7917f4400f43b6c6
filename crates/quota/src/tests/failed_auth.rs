//! How often a client may fail to say who it is.

use std::time::Duration;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::charging::{ADDRESS, USAGE, status};
use super::*;

/// How often requests of an address fail, with a wrong key.
fn failing(document: &Value) -> Value {
    let mut document = document.clone();
    document["failed_auth"] = json!({"rate": "1/m", "burst": 3});
    document
}

#[test]
fn a_client_may_fail_to_authenticate_so_often() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, failing(&document()));
    world.set_property(&ADDRESS, "192.0.2.1:1");
    let before = world.shared(USAGE);
    let keys = ["a", "b", "c", "d"].map(|key| send(&worker, &get("/", key)));
    let details = keys.each_ref().map(|outcome| outcome.details.unwrap());
    let (invalid, limited) = ("meshgate_key_invalid", "meshgate_failed_auth_limited");
    assert_eq!(details, [invalid, invalid, invalid, limited]);
    assert_eq!((keys[3].status(), keys[3].answer().head.get("retry-after")), (429, Some("60")));
    problem(&keys[3]);
    // Whoever guesses right learns nothing of it either, and nobody's limits are touched.
    assert_eq!(send(&worker, &get("/", "key-1")).details, Some(limited));
    assert_eq!(world.shared(USAGE), before);
    // Without a key there is nothing to guess.
    assert_eq!(send(&worker, &Message::get("/")).details, Some("meshgate_key_missing"));

    world.set_property(&ADDRESS, "192.0.2.2:1");
    assert_eq!(status(&worker, &get("/", "key-1")), 200);
    world.set_property(&ADDRESS, "192.0.2.1:1");
    world.advance(Duration::from_secs(60));
    assert_eq!(status(&worker, &get("/", "key-1")), 200);
    assert_eq!(send(&worker, &get("/", "a")).details, Some(invalid));
    assert_eq!(send(&worker, &get("/", "a")).details, Some(limited));
    assert_eq!(world.metric("meshgate.quota.denied.failed_auth_limited"), 3);
}

#[test]
fn failures_on_several_workers_are_counted_together() {
    let world = World::new();
    let document = failing(&document());
    let worker = Worker::<Quota>::new(&world, &document);
    let other = Worker::<Quota>::new(&world, &document);
    // The other worker's three come between the look at the count and the failure.
    world.before_next_write(move |_| {
        for key in ["a", "b", "c"] {
            assert_eq!(status(&other, &get("/", key)), 401);
        }
    });
    assert_eq!(send(&worker, &get("/", "d")).details, Some("meshgate_failed_auth_limited"));
}
