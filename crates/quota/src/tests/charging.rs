//! What limits count apart, what a request costs, and what is taken back or added when its response tells.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::host::{HostError, Side};
use meshgate_test_host::{Chunking, Operation};
use meshgate_test_tokens::Signer;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::costs::completion;
use super::*;

pub(super) const USAGE: &str = "meshgate/quota/test/acme";
pub(super) const ADDRESS: [&str; 2] = ["source", "address"];

/// The document where acme's plan has these limits.
pub(super) fn limited(limits: Value) -> Value {
    with([("/plans/free/limits", limits)])
}

pub(super) fn worker(world: &World, limits: Value) -> Worker<Quota> {
    Worker::new(world, limited(limits))
}

pub(super) fn ok() -> Message {
    Message::response(200)
}

pub(super) fn status(worker: &Worker<Quota>, request: &Message) -> u16 {
    send(worker, request).status()
}

/// What is left of the limits, as the next response says; asking costs nothing.
pub(super) fn left(worker: &Worker<Quota>) -> Vec<u64> {
    let outcome = send(worker, &get("/usage", "key-1"));
    let usage: Value = serde_json::from_slice(&outcome.answer().body).unwrap();
    let limits = usage["limits"].as_array().unwrap();
    limits.iter().map(|limit| limit["remaining"].as_u64().unwrap()).collect()
}

/// A worker whose usage can be asked for.
pub(super) fn told(world: &World, limits: Value) -> Worker<Quota> {
    let endpoint = ("/usage_endpoint", json!({"path": "/usage"}));
    Worker::new(world, with([("/plans/free/limits", limits), endpoint]))
}

#[test]
fn addresses_are_counted_apart() {
    let world = World::new();
    let worker = worker(&world, json!([{"name": "l", "quota": "2/d", "per": "ip"}]));
    for (address, expected) in [
        ("192.0.2.1:1000", [200, 200, 429]),
        ("192.0.2.2:1000", [200, 200, 429]),
        // Another port is the same client, and so is another address in its network.
        ("192.0.2.1:1001", [429, 429, 429]),
        ("[2001:db8::1]:1", [200, 200, 429]),
        ("[2001:db8::ffff:ffff:ffff:ffff]:1", [429, 429, 429]),
        ("[2001:db8:0:1::]:1", [200, 200, 429]),
        ("[::ffff:192.0.2.2]:1", [429, 429, 429]),
        // All that are not readable count together.
        ("pipe", [200, 200, 429]),
        ("", [429, 429, 429]),
    ] {
        world.set_property(&ADDRESS, address);
        assert_eq!([(); 3].map(|()| status(&worker, &get("/", "key-1"))), expected, "{address}");
    }
}

#[test]
fn the_address_is_that_which_the_trusted_proxies_have_added() {
    let world = World::new();
    let limits = json!([{"name": "l", "quota": "1/d", "per": "ip"}]);
    let trusting = |hops: u8| {
        let name = format!("hops-{hops}");
        let hops = ("/client_ip", json!({"trusted_hops": hops}));
        Worker::<Quota>::new(&world.instance(&name), with([("/plans/free/limits", limits.clone()), hops]))
    };
    let [none, one, two] = [0, 1, 2].map(trusting);
    let from = |values: &[&str]| {
        let request = get("/", "key-1");
        values.iter().fold(request, |request, value| request.with("x-forwarded-for", value))
    };
    world.set_property(&ADDRESS, "192.0.2.9:1");
    assert_eq!(status(&none, &from(&["192.0.2.1"])), 200);
    assert_eq!(status(&none, &from(&["192.0.2.2"])), 429);

    // What the client wrote itself stands to the left, and changes nothing.
    assert_eq!(status(&one, &from(&["192.0.2.1"])), 200);
    assert_eq!(status(&one, &from(&["198.51.100.1, 192.0.2.1"])), 429);
    assert_eq!(status(&one, &from(&["198.51.100.2", "192.0.2.1"])), 429);
    assert_eq!(status(&one, &from(&["192.0.2.1, 198.51.100.1"])), 200);

    assert_eq!(status(&two, &from(&["x, 192.0.2.1, 10.0.0.1"])), 200);
    assert_eq!(status(&two, &from(&["192.0.2.1", "10.0.0.2"])), 429);
    // Too few, or nothing that can be read: one for all.
    assert_eq!(status(&two, &from(&["192.0.2.3"])), 200);
    assert_eq!(status(&two, &from(&[])), 429);
    assert_eq!(status(&two, &from(&["unknown, 10.0.0.1"])), 429);
}

#[test]
fn keys_routes_and_headers_are_counted_apart() {
    let world = World::new();
    let route = |name: &str| world.set_property(&["xds", "route_name"], name);
    let keys = worker(&world.instance("keys"), json!([{"name": "l", "quota": "1/d", "per": "key"}]));
    assert_eq!(
        ["key-1", "key-1", "key-2", "key-2"].map(|key| status(&keys, &get("/", key))),
        [200, 429, 200, 429]
    );

    let routes = worker(&world.instance("routes"), json!([{"name": "l", "quota": "1/d", "per": "route"}]));
    let statuses = ["a", "a", "b", "", "b", ""].map(|name| {
        route(name);
        status(&routes, &get("/", "key-1"))
    });
    assert_eq!(statuses, [200, 429, 200, 200, 429, 429]);

    let per = json!({"header": "x-tenant"});
    let tenants = worker(&world.instance("tenants"), json!([{"name": "l", "quota": "1/d", "per": per}]));
    let tenant = |name: &str| status(&tenants, &get("/", "key-1").with("x-tenant", name));
    assert_eq!(["a", "b", "a", ""].map(tenant), [200, 200, 429, 200]);
    // Without the field, and with two, is not as with one.
    assert_eq!(status(&tenants, &get("/", "key-1")), 200);
    assert_eq!(status(&tenants, &get("/", "key-1")), 429);
    let twice = get("/", "key-1").with("x-tenant", "a").with("x-tenant", "b");
    assert_eq!([status(&tenants, &twice), status(&tenants, &twice)], [200, 429]);

    let per = json!(["route", "consumer"]);
    let limits = json!([{"name": "l", "quota": "1/d", "per": per}]);
    let both = Worker::<Quota>::new(
        &world.instance("both"),
        with([("/plans/free/limits", limits.clone()), ("/plans/endless/limits", limits)]),
    );
    let statuses = [("a", "key-1"), ("a", "key-2"), ("a", "key-4"), ("b", "key-2"), ("b", "key-4")].map(
        |(name, key)| {
            route(name);
            status(&both, &get("/", key))
        },
    );
    assert_eq!(statuses, [200, 429, 200, 200, 200]);
}

#[test]
fn claims_of_tokens_are_counted_apart() {
    let signer = Signer::new("HS256");
    let limits = json!([
        {"name": "org", "quota": "2/d", "per": {"claim": "org"}},
        {"name": "seat", "quota": "1/d", "per": ["consumer", {"claim": "/seat/id"}]},
    ]);
    let mut document = tokens::issued_by([&signer]);
    document["plans"]["free"]["limits"] = limits;
    let worker = Worker::<Quota>::new(&World::new(), document);
    let claims = |org: Value, seat: Value| {
        let token = signer.sign(&tokens::claiming([("org", org), ("seat", json!({"id": seat}))]));
        status(&worker, &tokens::bearer(&token))
    };
    assert_eq!([claims(json!("a"), json!(1)), claims(json!("a"), json!("1"))], [200, 200]);
    assert_eq!([claims(json!("a"), json!(2)), claims(json!("b"), json!(1))], [429, 429]);
    assert_eq!([claims(json!("b"), json!(2)), claims(json!(["a"]), json!(3))], [200, 200]);
    // Without the claim, and with a key, they count together.
    assert_eq!(claims(Value::Null, json!(4)), 200);
    assert_eq!([status(&worker, &get("/", "key-1")), status(&worker, &get("/", "key-2"))], [200, 429]);
}

#[test]
fn a_request_is_counted_in_all_accounts_or_in_none() {
    let world = World::new();
    let limits = json!([
        {"name": "mine", "quota": "3/d"},
        {"name": "address", "quota": "2/d", "per": "ip"},
        {"name": "tenant", "quota": "1/d", "per": {"header": "x-tenant"}},
    ]);
    let worker = told(&world, limits);
    world.set_property(&ADDRESS, "192.0.2.1:1");
    let tenant = |name: &str| send(&worker, &get("/", "key-1").with("x-tenant", name));
    assert_eq!(tenant("a").status(), 200);
    let before = world.shared(USAGE);
    let refused = tenant("a");
    assert_eq!((refused.status(), problem(&refused)["violated-policies"].clone()), (429, json!(["tenant"])));
    assert_eq!(world.shared(USAGE), before);
    assert_eq!(left(&worker), [2, 1, 1]);

    assert_eq!(tenant("b").status(), 200);
    let refused = tenant("b");
    assert_eq!(problem(&refused)["violated-policies"], json!(["address", "tenant"]));
    world.set_property(&ADDRESS, "192.0.2.2:1");
    assert_eq!(left(&worker), [1, 2, 1]);
    assert_eq!(tenant("c").status(), 200);
    assert_eq!(problem(&tenant("d"))["violated-policies"], json!(["mine"]));
    assert_eq!(left(&worker), [0, 1, 1]);
}

#[test]
fn what_was_written_is_taken_back_when_another_worker_was_faster() {
    let world = World::new();
    let limits = json!([{"name": "mine", "quota": "5/d"}, {"name": "address", "quota": "2/d", "per": "ip"}]);
    let document = with([
        ("/plans/free/limits", limits.clone()),
        ("/plans/endless/limits", limits),
        ("/usage_endpoint", json!({"path": "/usage"})),
    ]);
    let first = Worker::<Quota>::new(&world, &document);
    let other = Rc::new(Worker::<Quota>::new(&world, &document));
    world.set_property(&ADDRESS, "192.0.2.1:1");
    assert_eq!(status(&first, &get("/", "key-1")), 200);

    // The first worker has written its consumer's value when another consumer takes the last of their address.
    let faster = Rc::clone(&other);
    world.before_next_write(|_| {});
    world.before_next_write(move |_| assert_eq!(status(&faster, &get("/", "key-4")), 200));
    let outcome = send(&first, &get("/", "key-1"));
    assert_eq!((outcome.status(), problem(&outcome)["violated-policies"].clone()), (429, json!(["address"])));
    assert_eq!(outcome.answer().head.get("ratelimit"), Some("\"mine\";r=4;t=86400, \"address\";r=0;t=86400"));
    assert_eq!(left(&first), [4, 0]);
    assert_eq!(world.metric("meshgate.quota.cas_conflicts"), 1);

    // Where room is left, it goes on from what was read again.
    world.set_property(&ADDRESS, "192.0.2.2:1");
    world.before_next_write(|_| {});
    world.before_next_write(move |_| assert_eq!(status(&other, &get("/", "key-4")), 200));
    let outcome = send(&first, &get("/", "key-1"));
    assert_eq!(outcome.answer().head.get("ratelimit"), Some("\"mine\";r=3;t=86400, \"address\";r=0;t=86400"));
    assert_eq!(world.metric("meshgate.quota.cas_conflicts"), 2);
}

#[test]
fn what_was_written_is_taken_back_when_the_proxy_refuses_the_rest() {
    let world = World::new();
    let worker = told(
        &world,
        json!([{"name": "mine", "quota": "5/d"}, {"name": "address", "quota": "2/d", "per": "ip"}]),
    );
    world.before_next_write(|_| {});
    world.before_next_write(|world| world.fail_next(Operation::WriteShared, HostError::Status(10)));
    // The one that fails is the next after the second.
    assert_eq!(status(&worker, &get("/", "key-1")), 200);
    assert_eq!(status(&worker, &get("/", "key-1")), 500);
    assert_eq!(left(&worker), [4, 1]);
}

#[test]
fn refused_requests_are_counted_where_that_is_asked_for() {
    let world = World::new();
    let limits = json!([
        {"name": "penalty", "rate": "1/s", "burst": 2, "count_rejected": true},
        {"name": "mine", "quota": "100/d"},
    ]);
    let worker = told(&world, limits);
    let send = || send(&worker, &get("/", "key-1"));
    assert_eq!([send().status(), send().status(), send().status(), send().status()], [200, 200, 429, 429]);
    // Two beyond the burst: three seconds until one passes. More than another burst is not owed.
    for _ in 0..100 {
        let refused = send();
        assert_eq!((refused.status(), refused.answer().head.get("retry-after")), (429, Some("3")));
    }
    world.advance(Duration::from_secs(2));
    assert_eq!(send().status(), 429);
    world.advance(Duration::from_secs(3));
    assert_eq!(send().status(), 200);
    assert_eq!(left(&worker), [1, 97]);
}

#[test]
fn requests_are_counted_while_they_last() {
    let world = World::new();
    let worker = told(
        &world,
        json!([
            {"name": "parallel", "concurrency": 2},
            {"name": "here", "concurrency": 1, "per": "route", "match": {"path": "/one"}},
        ]),
    );
    let begin = |target: &str| {
        let mut conversation = worker.begin();
        conversation.send(Side::Request, &get(target, "key-1"), &Chunking::WHOLE);
        conversation
    };
    let (mut first, second) = (begin("/one"), begin("/two"));
    assert!(first.upstream().is_some() && second.upstream().is_some());
    let refused = begin("/two").finish();
    assert_eq!(
        (refused.status(), problem(&refused)["violated-policies"].clone()),
        (429, json!(["parallel"]))
    );
    assert_eq!(left(&worker), [0, 0]);
    // One ends with its response, and one without any.
    first.send(Side::Response, &ok(), &Chunking::WHOLE);
    assert_eq!(left(&worker), [0, 0]);
    first.finish();
    assert_eq!(left(&worker), [1, 1]);
    second.finish();
    assert_eq!(left(&worker), [2, 1]);
    for _ in 0..10 {
        assert_eq!(status(&worker, &get("/one", "key-1")), 200);
    }
    assert_eq!(left(&worker), [2, 1]);
}

/// The example in the README, with responses that tell.
#[test]
fn the_example_with_tokens_counts_them() {
    let readme = include_str!("../../../../filters/api-key-quota/README.md");
    let example = readme.split("### Tokens of a language model").nth(1).unwrap();
    let document = example.split("```json config\n").nth(1).unwrap().split("\n```").next().unwrap();
    let worker = Worker::<Quota>::new(&World::new(), document);
    let request = Message::post("/v1/chat/completions", "{}").with("x-api-key", "write-key");
    let left = |outcome: &Outcome| {
        outcome.answer().head.get("ratelimit").unwrap().split(';').nth(1).unwrap().to_owned()
    };
    assert_eq!(left(&worker.run(&request, &completion(300))), "r=1500");
    let mut failed = completion(900);
    failed.head.set(":status", "502");
    assert_eq!(left(&worker.run(&request, &failed)), "r=2200");
    assert_eq!(left(&worker.run(&request, &completion(1_900))), "r=1200");
    let refused = worker.run(&request, &completion(1));
    assert_eq!((refused.status(), left(&refused)), (429, "r=300".to_owned()));
}

/// A request that is counted in nothing but its consumer's account, whose cost is known at once and stays, costs the proxy
/// no more calls than the head's map, the time, one read, one write, the changes of headers, and two counters.
#[test]
fn a_plain_request_pays_for_nothing_of_this() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document());
    let calls = |request: &Message| {
        world.take_calls();
        assert_eq!(send(&worker, request).status(), 200);
        world.take_calls().len()
    };
    // The map, the time, a read and a write; the key is removed and three headers are added; two counters, one
    // of them the plan's; two headers.
    assert_eq!(calls(&get("/", "key-1")), 1 + 1 + 2 + 4 + 2 + 2);
    assert_eq!(calls(&get("/", "key-4")), 1 + 4 + 2);
}

#[test]
fn configurations_that_say_nothing_sensible_are_refused() {
    let refused = |limit: Value| load(&limited(json!([limit]))).map(drop).unwrap_err().to_string();
    for (limit, place) in [
        (json!({"name": "l", "rate": "1/s", "cost": 0}), "cost"),
        (json!({"name": "l", "rate": "1/s", "cost": 1.5}), "cost"),
        (json!({"name": "l", "rate": "1/s", "cost": "x"}), "cost"),
        (json!({"name": "l", "rate": "1/s", "cost": {}}), "cost"),
        (json!({"name": "l", "rate": "1/s", "cost": {"header": "a", "request_bytes": true}}), "cost"),
        (json!({"name": "l", "rate": "1/s", "cost": {"request_bytes": false}}), "cost.request_bytes"),
        (json!({"name": "l", "rate": "1/s", "cost": {"header": "a b"}}), "cost.header"),
        (json!({"name": "l", "rate": "1/s", "cost": {"header": "a", "reserve": 5}}), "cost.reserve"),
        (json!({"name": "l", "rate": "1/s", "cost": {"expression": "1 +"}}), "cost.expression"),
        (json!({"name": "l", "rate": "1/s", "cost": {"expression": "1 }} 2 {{ 3"}}), "cost.expression"),
        (json!({"name": "l", "rate": "1/s", "cost": {"expression": "response.status"}}), "cost.expression"),
        (json!({"name": "l", "rate": "1/s", "cost": {"expression": "body.n"}}), "cost.expression"),
        (json!({"name": "l", "rate": "1/s", "cost": {"response_json": "usage"}}), "cost.response_json"),
        (json!({"name": "l", "rate": "1/s", "charge": {"status": []}}), "charge.status"),
        (json!({"name": "l", "rate": "1/s", "charge": {"status": "2yy"}}), "charge.status"),
        (json!({"name": "l", "rate": "1/s", "per": "client"}), "per"),
        (json!({"name": "l", "concurrency": 1, "cost": 2}), "cost"),
        (json!({"name": "l", "concurrency": 1, "charge": {"status": "2xx"}}), "charge"),
        (json!({"name": "l", "concurrency": 1, "count_rejected": true}), "count_rejected"),
    ] {
        let error = refused(limit.clone());
        assert!(error.starts_with(&format!("plans.free.limits[0].{place}: ")), "{limit}: {error}");
    }
    for (field, value) in [
        ("table", json!({"slots": 0})),
        ("table", json!({"slots": 65_537})),
        ("table", json!({"when_full": "drop"})),
        ("failed_auth", json!({})),
        ("failed_auth", json!({"rate": "1/m", "burst": 0})),
        ("client_ip", json!({"trusted_hops": -1})),
    ] {
        let mut document = limited(json!([{"name": "l", "rate": "1/s", "per": "ip"}]));
        document[field] = value.clone();
        let error = load(&document).map(drop).unwrap_err().to_string();
        assert!(error.starts_with(field), "{field} {value}: {error}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Which consumer, and from which address.
    type Who = (usize, usize);

    /// Of a schedule: two consumers, three addresses, and before which of its writes another request comes.
    fn step() -> impl Strategy<Value = (Who, Vec<Option<Who>>)> {
        let request = || (0_usize..2, 0_usize..3);
        (request(), prop::collection::vec(prop::option::of(request()), 0..4))
    }

    proptest! {
        /// Whoever comes between whatever reads and writes: each account has counted those that passed, and no others; none
        /// has let more through than it may; and one that is refused has found an account full.
        #[test]
        fn accounts_count_those_that_pass(steps in prop::collection::vec(step(), 1..30)) {
            let world = World::new();
            let limits = json!([
                {"name": "mine", "quota": "12/d"},
                {"name": "address", "quota": "9/d", "per": "ip"},
                {"name": "pair", "rate": "5/d", "per": ["ip", "consumer"]},
            ]);
            let mut document =
                with([("/plans/free/limits", limits.clone()), ("/plans/endless/limits", limits)]);
            document["client_ip"] = json!({"trusted_hops": 1});
            document["table"] = json!({"slots": 2});
            document["usage_endpoint"] = json!({"path": "/usage"});
            let first = Worker::<Quota>::new(&world, &document);
            let second = Rc::new(Worker::<Quota>::new(&world, &document));
            let request = |(consumer, address): Who| {
                get("/", ["key-1", "key-4"][consumer]).with("x-forwarded-for", format!("192.0.2.{address}"))
            };
            let passed = Rc::new(RefCell::new(BTreeMap::<Who, u64>::new()));
            for (who, between) in steps {
                for other in between {
                    let (second, passed) = (Rc::clone(&second), Rc::clone(&passed));
                    world.before_next_write(move |_| {
                        // Its own writes meet those that are still to come, in turn.
                        let Some(other) = other else { return };
                        if status(&second, &request(other)) == 200 {
                            *passed.borrow_mut().entry(other).or_default() += 1;
                        }
                    });
                }
                let outcome = send(&first, &request(who));
                if outcome.status() == 200 {
                    *passed.borrow_mut().entry(who).or_default() += 1;
                } else {
                    let passed = passed.borrow();
                    let of = |matches: &dyn Fn(&Who) -> bool| -> u64 {
                        passed.iter().filter(|(who, _)| matches(who)).map(|(_, count)| count).sum()
                    };
                    let full = [
                        ("mine", of(&|found| found.0 == who.0) == 12),
                        ("address", of(&|found| found.1 == who.1) == 9),
                        ("pair", of(&|found| *found == who) == 5),
                    ];
                    let full: Vec<_> = full.iter().filter(|(_, full)| *full).map(|(name, _)| *name).collect();
                    prop_assert_eq!(&problem(&outcome)["violated-policies"], &json!(full));
                }
            }
            // What is left is what has not passed.
            let passed = passed.borrow();
            let of = |matches: &dyn Fn(&Who) -> bool| -> u64 {
                passed.iter().filter(|(who, _)| matches(who)).map(|(_, count)| count).sum()
            };
            for who in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
                let outcome = send(&first, &request(who).with(":path", "/usage"));
                let usage: Value = serde_json::from_slice(&outcome.answer().body).unwrap();
                let left: Vec<_> = (0..3).map(|limit| usage["limits"][limit]["remaining"].as_u64().unwrap()).collect();
                let used = [of(&|found| found.0 == who.0), of(&|found| found.1 == who.1), of(&|found| *found == who)];
                prop_assert_eq!(left, [12 - used[0], 9 - used[1], 5 - used[2]]);
            }
        }
    }
}
