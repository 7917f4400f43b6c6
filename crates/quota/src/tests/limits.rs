//! What limits let through, and what clients read about them.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::host::Side;
use meshgate_policy::policy::{self, Policy};
use meshgate_test_host::Chunking;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const USAGE: &str = "meshgate/quota/test/acme";
const POLICY: &str = "\"burst\";q=10;w=2, \"daily\";q=12;w=86400";

/// `RateLimit-Policy` and `RateLimit`, as the client gets them.
fn headers(outcome: &Outcome) -> (Option<&str>, Option<&str>) {
    let head = &outcome.answer().head;
    (head.get("ratelimit-policy"), head.get("ratelimit"))
}

/// The statuses of so many requests.
fn statuses(worker: &Worker<Quota>, count: usize) -> Vec<u16> {
    (0..count).map(|_| send(worker, &get("/", "key-1")).status()).collect()
}

/// How many of so many requests pass.
fn passing(worker: &Worker<Quota>, count: usize) -> usize {
    statuses(worker, count).iter().filter(|status| **status == 200).count()
}

#[test]
fn every_response_says_what_is_left() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document());
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(headers(&outcome), (Some(POLICY), Some("\"burst\";r=9;t=1, \"daily\";r=11;t=86400")));

    // The second key is the same consumer's.
    world.advance(Duration::from_millis(1_500));
    let outcome = send(&worker, &get("/", "key-2"));
    assert_eq!(headers(&outcome), (Some(POLICY), Some("\"burst\";r=9;t=1, \"daily\";r=10;t=86399")));
}

#[test]
fn limits_of_the_upstream_stay_beside_ours() {
    let worker = Worker::<Quota>::new(&World::new(), document());
    let response =
        Message::response(503).with("ratelimit", "\"up\";r=1").with("ratelimit-policy", "\"up\";q=2");
    let outcome = worker.run(&get("/", "key-1"), &response);
    let all = |name| outcome.answer().head.all(name).collect::<Vec<_>>();
    assert_eq!(all("ratelimit-policy"), [b"\"up\";q=2", POLICY.as_bytes()]);
    assert_eq!(all("ratelimit")[0], b"\"up\";r=1");
    assert_eq!(all("ratelimit").len(), 2);
}

#[test]
fn a_request_over_a_limit_is_told_when_to_come_back() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document());
    assert_eq!(statuses(&worker, 10), [200; 10]);
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!((outcome.status(), outcome.details), (429, Some("meshgate_limit_exceeded")));
    assert_eq!(outcome.upstream, None);
    assert_eq!(headers(&outcome), (Some(POLICY), Some("\"burst\";r=0;t=1, \"daily\";r=2;t=86400")));
    assert_eq!(outcome.answer().head.get("retry-after"), Some("1"));
    assert_eq!(
        problem(&outcome),
        json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Quota Exceeded",
            "status": 429,
            "detail": "The limit \"burst\" is used up. Send the request again in 1 second.",
            "violated-policies": ["burst"],
        })
    );

    // Two more in a day; then both limits are used up, and the longer wait counts.
    world.advance(Duration::from_millis(200));
    assert_eq!(statuses(&worker, 1), [200]);
    world.advance(Duration::from_millis(200));
    assert_eq!(statuses(&worker, 1), [200]);
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(problem(&outcome)["violated-policies"], json!(["burst", "daily"]));
    let detail = "The limits \"burst\", \"daily\" are used up. Send the request again in 86400 seconds.";
    assert_eq!(problem(&outcome)["detail"], detail);
    assert_eq!(outcome.answer().head.get("retry-after"), Some("86400"));
    assert_eq!(world.metric("meshgate.quota.denied.limit"), 2);
    assert_eq!(world.metric("meshgate.quota.allowed"), 12);
}

/// Whoever has no plan is counted for none.
#[test]
fn requests_are_counted_by_plan() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, with([("/plans/free.1", json!({}))]));
    let counted = || {
        let names = ["free.allowed", "free.denied", "endless.allowed", "endless.denied", "free_1.allowed"];
        names.map(|name| world.metric(&format!("meshgate.quota.plan.{name}")))
    };
    assert_eq!(counted(), [0; 5]);
    assert_eq!(statuses(&worker, 12), [[200; 10].as_slice(), &[429; 2]].concat());
    assert_eq!(counted(), [10, 2, 0, 0, 0]);
    for (key, status) in [("key-3", 403), ("key-4", 200), ("nobody", 401)] {
        assert_eq!(send(&worker, &get("/", key)).status(), status);
    }
    assert_eq!(counted(), [10, 3, 1, 0, 0]);
}

#[test]
fn a_refused_request_costs_nothing() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document());
    assert_eq!(statuses(&worker, 10), [200; 10]);
    let before = world.shared(USAGE);
    assert_eq!(statuses(&worker, 50), [429; 50]);
    assert_eq!(world.shared(USAGE), before);
}

/// Whoever waits as long as they were told to gets through, for either kind of limit and from anywhere in the window.
#[test]
fn waiting_as_told_is_enough() {
    for limit in [
        json!({"name": "l", "rate": "7/s", "burst": 3}),
        json!({"name": "l", "rate": "1/10s"}),
        json!({"name": "l", "quota": "3/m"}),
        json!({"name": "l", "quota": "2/90s"}),
        json!({"name": "l", "quota": "2/week"}),
        json!({"name": "l", "quota": "2/month"}),
    ] {
        let world = World::new();
        let worker = Worker::<Quota>::new(&world, with([("/plans/free/limits", json!([limit]))]));
        for nudge in [0, 1, 333_333_333, 59_999_999_999] {
            world.advance(Duration::from_nanos(nudge));
            while send(&worker, &get("/", "key-1")).status() == 200 {}
            let outcome = send(&worker, &get("/", "key-1"));
            let wait = outcome.answer().head.get("retry-after").unwrap().parse().unwrap();
            world.advance(Duration::from_secs(wait));
            assert_eq!(statuses(&worker, 1), [200], "{limit}");
        }
    }
}

#[test]
fn a_limit_counts_what_matches() {
    let limits = json!([
        {"name": "all", "quota": "100/d"},
        {"name": "writes", "quota": "1/d", "match": {"method": ["POST", "PUT"]}},
        {"name": "batch", "quota": "1/d", "when": "request.headers['x-batch'] == '1' and consumer.plan == 'free'"},
        {"name": "item", "quota": "1/d", "match": {"path": "/items/{id}"}, "when": "path.id == '7'"},
    ]);
    let worker = load(&with([("/plans/free/limits", limits)])).unwrap();
    let policy = |names: &[&str]| {
        let quota = |name: &&str| if *name == "all" { 100 } else { 1 };
        let members = names.iter().map(|name| format!("\"{name}\";q={};w=86400", quota(name)));
        members.collect::<Vec<_>>().join(", ")
    };
    for (method, target, batch, status, names) in [
        ("GET", "/", "0", 200, &["all"][..]),
        ("GET", "/", "1", 200, &["all", "batch"]),
        ("POST", "/items/8", "0", 200, &["all", "writes"]),
        ("PUT", "/items/7", "0", 429, &["all", "writes", "item"]),
        ("GET", "/items/7", "0", 200, &["all", "item"]),
        ("POST", "/items/7", "1", 429, &["all", "writes", "batch", "item"]),
        ("GET", "/items/8", "0", 200, &["all"]),
    ] {
        let request = Message::request(method, target).with("x-api-key", "key-1").with("x-batch", batch);
        let outcome = send(&worker, &request);
        assert_eq!(
            (outcome.status(), headers(&outcome).0),
            (status, Some(&*policy(names))),
            "{method} {target}"
        );
    }
}

#[test]
fn a_condition_without_an_answer_counts() {
    let limits = json!([{"name": "l", "quota": "1/d", "when": "request.query.free != '1'"}]);
    let worker = load(&with([("/plans/free/limits", limits)])).unwrap();
    // A parameter that is there twice has no value.
    let twice = get("/?free=1&free=1", "key-1");
    assert_eq!([send(&worker, &twice).status(), send(&worker, &twice).status()], [200, 429]);
    let outcome = send(&worker, &get("/?free=1", "key-1"));
    assert_eq!((outcome.status(), headers(&outcome)), (200, (None, None)));
}

#[test]
fn a_plan_without_limits_shares_nothing_and_says_nothing() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document());
    world.before_next_write(|_| panic!("nothing is to be written"));
    let outcome = send(&worker, &get("/", "key-4"));
    assert_eq!((outcome.status(), headers(&outcome)), (200, (None, None)));
    assert_eq!(outcome.forwarded().head.get("x-consumer-name"), Some("guest/1"));
    assert_eq!(world.shared_keys(), ["meshgate/quota/test/acme", "meshgate/quota/test/dormant"]);
}

#[test]
fn workers_that_come_between_are_counted_too() {
    let world = World::new();
    let limits = json!([{"name": "l", "quota": "5/d"}]);
    let document = with([("/plans/free/limits", limits)]);
    let worker = Worker::<Quota>::new(&world, &document);
    let other = Rc::new(Worker::<Quota>::new(&world, &document));
    // Two others pass between the first's read and its write, one after the other.
    let between = Rc::clone(&other);
    world.before_next_write(move |_| assert_eq!(passing(&between, 2), 2));
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(headers(&outcome).1, Some("\"l\";r=2;t=86400"));
    assert_eq!(world.metric("meshgate.quota.cas_conflicts"), 1);

    // The last two go to the other; the first finds nothing left when it tries again.
    world.before_next_write(move |_| assert_eq!(passing(&other, 2), 2));
    assert_eq!(statuses(&worker, 1), [429]);
    assert_eq!(world.metric("meshgate.quota.cas_conflicts"), 2);
    assert_eq!(world.metric("meshgate.quota.allowed"), 5);
}

/// Writes the usage again, unchanged, before each of so many writes.
fn interfere(world: &World, times: usize) {
    for _ in 0..times {
        world.before_next_write(|world| world.set_shared(USAGE, world.shared(USAGE).unwrap()));
    }
}

#[test]
fn a_request_that_is_forestalled_for_ever_is_refused() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document());
    interfere(&world, 9_999);
    assert_eq!(statuses(&worker, 1), [200]);
    interfere(&world, 10_000);
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!((outcome.status(), outcome.details), (503, Some("meshgate_counter_contention")));
    assert_eq!(outcome.answer().head.get("retry-after"), Some("1"));
    problem(&outcome);
    assert_eq!(world.metric("meshgate.quota.errors"), 1);
    assert_eq!(world.metric("meshgate.quota.cas_conflicts"), 19_999);
    assert_eq!(statuses(&worker, 1), [200]);
}

#[test]
fn a_usage_that_cannot_be_read_is_counted_from_zero() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document());
    assert_eq!(statuses(&worker, 10), [200; 10]);
    for garbled in [&b""[..], b"\0", b"\xff\xff\xff\xff", b"\x01\x01\xff"] {
        world.set_shared(USAGE, garbled);
        assert_eq!(statuses(&worker, 11), [[200; 10].as_slice(), &[429]].concat());
    }
}

/// Envoy forgets no value, but if one is missing, two workers that find that at once still count each other.
#[test]
fn a_missing_usage_is_made_by_one_worker_only() {
    let elsewhere = World::new();
    let policy = policy::compile::<Quota>(document().to_string().as_bytes(), &mut elsewhere.clone()).unwrap();
    let policy = Rc::new(policy);
    // The metrics are there, and the usage of another instance.
    let world = World::new();
    Worker::<Quota>::new(&world.instance("other"), document());
    assert_eq!(world.shared(USAGE), None);

    let send = |world: &World, policy: &Rc<Quota>| {
        let exchange = world.begin_with(Quota::PHASES, policy.begin());
        exchange.run(&get("/", "key-1"), &Message::response(200))
    };
    let other = Rc::clone(&policy);
    world.before_next_write(move |world| assert_eq!(send(world, &other).status(), 200));
    let outcome = send(&world, &policy);
    assert_eq!(headers(&outcome).1, Some("\"burst\";r=8;t=1, \"daily\";r=10;t=86400"));
    assert_eq!(world.metric("meshgate.quota.cas_conflicts"), 1);
}

#[test]
fn a_new_configuration_forgets_nothing() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document());
    assert_eq!(statuses(&worker, 6), [200; 6]);

    // Other numbers, another order, one limit more.
    let limits = json!([
        {"name": "hourly", "quota": "50/h"},
        {"name": "daily", "quota": "20/d"},
        {"name": "burst", "rate": "100/s", "burst": 100},
    ]);
    let changed = Worker::<Quota>::new(&world, with([("/plans/free/limits", limits)]));
    let outcome = send(&changed, &get("/", "key-1"));
    let left = "\"hourly\";r=49;t=3600, \"daily\";r=13;t=86400, \"burst\";r=93;t=1";
    assert_eq!(headers(&outcome).1, Some(left));

    // The worker that still has the old one counts on: together with the new one, but for the rate.
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(headers(&outcome).1, Some("\"burst\";r=3;t=1, \"daily\";r=4;t=86400"));
    let outcome = send(&changed, &get("/", "key-1"));
    let left = "\"hourly\";r=48;t=3600, \"daily\";r=11;t=86400, \"burst\";r=92;t=1";
    assert_eq!(headers(&outcome).1, Some(left));
}

#[test]
fn hosts_are_counted_apart_however_they_are_spelled() {
    let limits = json!([{"name": "l", "quota": "2/d", "per": {"header": "Host"}}]);
    let worker = load(&with([("/plans/free/limits", limits)])).unwrap();
    let to = |host: &str| send(&worker, &get("/", "key-1").with(":authority", host)).status();
    assert_eq!(["a.example", "A.Example.:443", "a.example:80"].map(to), [200, 200, 429]);
    assert_eq!(["b.example", "b.example", "b.example"].map(to), [200, 200, 429]);
}

/// Who is at a limit is not let through again by a request that another limit of the same name counts.
#[test]
fn limits_of_one_name_do_not_wash_each_other() {
    for (limit, other) in [
        (json!({"quota": "3/d"}), json!({"rate": "100/s"})),
        (json!({"quota": "3/d"}), json!({"quota": "100/s"})),
        (json!({"quota": "3/d"}), json!({"quota": "100/s", "window": "sliding"})),
        (json!({"quota": "3/d"}), json!({"concurrency": 5})),
        (
            json!({"quota": "3/month"}),
            json!({"quota": "9/month", "time_zone": "Asia/Tokyo", "anchor": {"day": 15}}),
        ),
        (json!({"quota": "3/h", "window": "sliding"}), json!({"quota": "100/m", "window": "sliding"})),
        (json!({"rate": "3/h"}), json!({"rate": "1000/s"})),
        (json!({"rate": "3/h"}), json!({"quota": "9/s"})),
        (json!({"concurrency": 1}), json!({"quota": "3/d"})),
    ] {
        let named = |limit: &Value| {
            let mut limit = limit.clone();
            limit["name"] = json!("l");
            json!([limit])
        };
        let routes = json!([{"match": {"path": "/other"}, "limits": named(&other)}]);
        let world = World::new();
        let document = with([("/plans/free/limits", named(&limit)), ("/routes", routes)]);
        let worker = Worker::<Quota>::new(&world, document);
        let slow = limit.get("concurrency").map(|_| {
            let mut slow = worker.begin();
            slow.send(Side::Request, &get("/", "key-1"), &Chunking::WHOLE);
            slow
        });
        let before = if slow.is_some() { vec![429] } else { vec![200, 200, 200, 429] };
        assert_eq!(statuses(&worker, before.len()), before, "{limit}");
        for _ in 0..3 {
            assert_eq!(send(&worker, &get("/other", "key-1")).status(), 200, "{limit} {other}");
            assert_eq!(statuses(&worker, 2), [429, 429], "{limit} {other}");
        }
    }
}

#[test]
fn instances_and_consumers_do_not_meet() {
    let world = World::new();
    let a_b = Worker::<Quota>::new(&world.instance("a/b"), with([("/consumers/0/name", json!("c"))]));
    let a = Worker::<Quota>::new(&world.instance("a"), with([("/consumers/0/name", json!("b/c"))]));
    assert_eq!((passing(&a_b, 20), passing(&a, 20)), (10, 10));
}

/// Nor does a consumer of one instance meet the tables of another.
#[test]
fn names_of_shared_values_are_apart() {
    let names = |instance: &str, consumer: &str| {
        let world = World::new();
        let limits = json!([{"name": "l", "rate": "1/s"}, {"name": "ip", "rate": "1/s", "per": "ip"}]);
        let table = ("/table", json!({"slots": 2}));
        let consumer = ("/consumers/0/name", json!(consumer));
        Worker::<Quota>::new(
            &world.instance(instance),
            with([("/plans/free/limits", limits), table, consumer]),
        );
        world.shared_keys()
    };
    let tables = names("a", "acme");
    assert!(tables.contains(&"meshgate/quota/a/table/limits/ip/2/0".to_owned()), "{tables:?}");
    let others = ["a/table", "a/table/limits/ip", "a/table/limits/ip/2", "a%2Ftable"];
    let consumers = ["secret", "0", "size", "2/0", "limits/ip/2/0"];
    for (other, consumer) in others.iter().flat_map(|other| consumers.map(|consumer| (*other, consumer))) {
        let met: Vec<_> = names(other, consumer).into_iter().filter(|name| tables.contains(name)).collect();
        assert!(met.is_empty(), "{other} {consumer}: {met:?}");
    }
    // A consumer that is called as the part of the tables is another value than any of theirs.
    assert_eq!(names("a", "table").len(), tables.len());
}

#[test]
fn a_condition_knows_the_time() {
    let world = World::new();
    let limits = json!([{"name": "first-minute", "quota": "1/d", "when": "now.unix % 3600 < 60"}]);
    let worker = Worker::<Quota>::new(&world, with([("/plans/free/limits", limits)]));
    assert_eq!(statuses(&worker, 2), [200, 429]);
    world.advance(Duration::from_secs(60));
    assert_eq!(statuses(&worker, 2), [200, 200]);
}

#[test]
fn the_day_begins_at_midnight_utc() {
    let world = World::new();
    let limits = json!([{"name": "daily", "quota": "1/d"}]);
    let worker = Worker::<Quota>::new(&world, with([("/plans/free/limits", limits)]));
    world.advance(Duration::from_millis(86_399_999));
    assert_eq!(statuses(&worker, 2), [200, 429]);
    world.advance(Duration::from_millis(1));
    assert_eq!(statuses(&worker, 2), [200, 429]);
}
