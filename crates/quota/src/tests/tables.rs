//! Floods: of addresses, names, tokens and wrong keys. Memory stays as it is, and whoever is at a limit stays there.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::host::Side;
use meshgate_test_host::Chunking;
use meshgate_test_tokens::Signer;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// How many come in a flood, so that it takes seconds.
const FLOOD: u32 = match (cfg!(target_arch = "wasm32"), cfg!(debug_assertions)) {
    (true, _) => 2_000,
    (_, true) => 10_000,
    (_, false) => 1_000_000,
};

/// The document where acme's plan has these limits; addresses are in `x-forwarded-for`, and tables have one slot.
fn limited(limits: Value) -> Value {
    with([
        ("/plans/free/limits", limits),
        ("/client_ip", json!({"trusted_hops": 1})),
        ("/table", json!({"slots": 1})),
    ])
}

fn from(address: &str, key: &str) -> Message {
    get("/", key).with("x-forwarded-for", address)
}

/// The address with this number, each in an IPv6 network of its own.
fn address(number: u32) -> String {
    format!("2001:db8:{:x}:{:x}::1", number >> 16, number & 0xffff)
}

fn details(worker: &Worker<Quota>, request: &Message) -> (u16, Option<&'static str>) {
    let outcome = send(worker, request);
    (outcome.status(), outcome.details)
}

const OVER: (u16, Option<&str>) = (429, Some("meshgate_limit_exceeded"));
const FULL: (u16, Option<&str>) = (503, Some("meshgate_table_full"));

fn table(world: &World, name: &str) -> i64 {
    world.metric(&format!("meshgate.quota.table.{name}"))
}

#[test]
fn an_address_at_its_limit_stays_there_whoever_else_comes() {
    let world = World::new();
    // The rate is used up by one request, so by each of the flood; what counts is the month.
    let limits = json!([
        {"name": "monthly", "quota": "3/month", "per": "ip"},
        {"name": "rate", "rate": "1/s", "per": "ip"},
        {"name": "trial", "quota": "1/year", "per": "ip", "shadow": true},
        {"name": "tenant", "quota": "3/month", "per": {"header": "x-tenant"}},
    ]);
    let worker = Worker::<Quota>::new(&world, limited(limits));
    let victim = || from("192.0.2.1", "key-1").with("x-tenant", "victim");
    for _ in 0..3 {
        assert_eq!(send(&worker, &victim()).status(), 200);
        world.advance(Duration::from_secs(1));
    }
    for number in 0..FLOOD {
        let request = from(&address(number), "key-1").with("x-tenant", format!("t-{number}"));
        assert_eq!(send(&worker, &request).status(), 200);
        if number % 1_000 == 0 {
            world.advance(Duration::from_secs(1));
            world.take_calls();
        }
    }
    let refused = send(&worker, &victim());
    assert_eq!(problem(&refused)["violated-policies"], json!(["monthly", "tenant"]));
    assert_eq!((table(&world, "limits.entries"), table(&world, "limits.capacity")), (32, 32));
    assert_eq!(table(&world, "limits.evictions"), 2 * (i64::from(FLOOD) - 15));
}

/// Each in a table of its own: however many values of a header a client makes up, addresses are not displaced.
#[test]
fn a_flood_of_one_kind_displaces_nobody_of_another() {
    let world = World::new();
    let limits = json!([
        {"name": "address", "quota": "100/d", "per": "ip", "match": {"path": "/a"}},
        {"name": "tenant", "quota": "1/year", "per": {"header": "x-tenant"}, "match": {"path": "/t"}},
    ]);
    let mut document = limited(limits);
    document["failed_auth"] = json!({"rate": "1/d"});
    let worker = Worker::<Quota>::new(&world, document);
    let left = || {
        let outcome = send(&worker, &from("192.0.2.1", "key-1").with(":path", "/a"));
        outcome.answer().head.get("ratelimit").unwrap().to_owned()
    };
    assert!(left().starts_with("\"address\";r=99;"));
    for number in 0..100 {
        let tenant = from("192.0.2.1", "key-1").with(":path", "/t").with("x-tenant", number.to_string());
        assert_eq!(send(&worker, &tenant).status(), 200);
        assert_eq!(send(&worker, &from(&address(number), "wrong")).status(), 401);
    }
    assert!(left().starts_with("\"address\";r=98;"));
    assert_eq!((table(&world, "limits.evictions"), table(&world, "failures.evictions")), (84, 84));
}

#[test]
fn a_consumer_of_tokens_at_its_limit_stays_there() {
    let signer = Signer::new("HS256");
    let mut document = tokens::issuer(tokens::issued_by([&signer]), [("identity", json!({"plan": "free"}))]);
    document["plans"]["free"]["limits"] = json!([{"name": "monthly", "quota": "2/month"}]);
    document["table"] = json!({"slots": 1});
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, document);
    let of = |name: &str| tokens::bearer(&signer.sign(&tokens::claiming([("sub", json!(name))])));
    let victim = of("victim");
    assert_eq!([(); 3].map(|()| send(&worker, &victim).status()), [200, 200, 429]);
    for number in 0..FLOOD / 10 {
        assert_eq!(send(&worker, &of(&format!("u-{number}"))).status(), 200);
        world.take_calls();
    }
    assert_eq!(details(&worker, &victim), OVER);
    assert_eq!(table(&world, "consumers.entries"), 16);
}

#[test]
fn a_client_that_failed_too_often_stays_limited() {
    let world = World::new();
    let mut document = limited(json!([]));
    document["failed_auth"] = json!({"rate": "2/d"});
    let worker = Worker::<Quota>::new(&world, document);
    let limited = (429, Some("meshgate_failed_auth_limited"));
    let victim = || from("192.0.2.1", "wrong");
    assert_eq!([(); 3].map(|()| send(&worker, &victim()).status()), [401, 401, 429]);
    for number in 0..FLOOD {
        let wrong = from(&address(number), &format!("wrong-{number}"));
        assert_eq!(details(&worker, &wrong), (401, Some("meshgate_key_invalid")));
        if number % 1_000 == 0 {
            world.take_calls();
        }
    }
    assert_eq!(details(&worker, &victim()), limited);
    assert_eq!(details(&worker, &from("192.0.2.1", "key-1")), limited);
    assert_eq!(table(&world, "failures.entries"), 16);
}

/// To begin anew somebody has to find sixteen others that have used as much, in its own slot: these have paid for it.
#[test]
fn sixteen_who_used_as_much_displace_one() {
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, limited(json!([{"name": "l", "quota": "3/d", "per": "ip"}])));
    let send = |number| send(&worker, &from(&address(number), "key-1")).status();
    assert_eq!([send(0), send(0), send(0), send(0)], [200, 200, 200, 429]);
    for number in 1..16 {
        assert_eq!([send(number), send(0)], [200, 429]);
        assert_eq!([send(number), send(number), send(0)], [200, 200, 429]);
    }
    assert_eq!([send(16), send(0)], [200, 200]);
}

#[test]
fn a_limit_that_is_not_counted_now_weighs_as_it_did() {
    let world = World::new();
    let limits = json!([
        {"name": "exports", "quota": "2/month", "per": "ip", "match": {"path": "/export"}},
    ]);
    let mut document = limited(json!([{"name": "all", "quota": "1000/d", "per": "ip"}]));
    document["routes"] = json!([{"match": {"path": "/export"}, "limits": limits}]);
    let worker = Worker::<Quota>::new(&world, document);
    let export = || from("192.0.2.1", "key-1").with(":path", "/export");
    assert_eq!([(); 3].map(|()| send(&worker, &export()).status()), [200, 200, 429]);
    // Of this request's limits little is used, but the entry is still that of somebody who has no exports left.
    assert_eq!(send(&worker, &from("192.0.2.1", "key-1")).status(), 200);
    for number in 0..100 {
        for _ in 0..3 {
            assert_eq!(send(&worker, &from(&address(number), "key-1")).status(), 200);
        }
    }
    assert_eq!(details(&worker, &export()), OVER);
}

#[test]
fn a_newcomer_is_refused_where_nobody_is_to_be_forgotten() {
    let world = World::new();
    let limits = json!([
        {"name": "mine", "quota": "100/d"},
        {"name": "ip", "quota": "2/h", "per": "ip"},
        {"name": "trial", "quota": "1/d", "per": "route", "shadow": true},
    ]);
    let mut document = limited(limits);
    document["table"] = json!({"slots": 1, "when_full": "refuse"});
    document["failed_auth"] = json!({"rate": "5/d"});
    let worker = Worker::<Quota>::new(&world, document);
    for number in 0..16 {
        assert_eq!(send(&worker, &from(&address(number), "key-1")).status(), 200);
        // A limit that refuses nothing does not do it for want of room either.
        world.set_property(&["xds", "route_name"], number.to_string());
    }
    world.set_property(&["xds", "route_name"], "another");
    let before: Vec<_> = world.shared_keys().iter().map(|key| world.shared(key)).collect();
    let refused = send(&worker, &from("192.0.2.1", "key-1"));
    assert_eq!((refused.status(), refused.details), FULL);
    assert_eq!(refused.answer().head.get("retry-after"), Some("3600"));
    problem(&refused);
    assert_eq!(world.shared_keys().iter().map(|key| world.shared(key)).collect::<Vec<_>>(), before);
    assert_eq!(world.metric("meshgate.quota.denied.table_full"), 1);
    assert_eq!(table(&world, "limits.evictions"), 0);
    // Those who are there go on, up to their limit; wrong keys are counted as ever.
    assert_eq!(send(&worker, &from(&address(3), "key-1")).status(), 200);
    assert_eq!(details(&worker, &from(&address(3), "key-1")), OVER);
    for number in 0..100 {
        assert_eq!(send(&worker, &from(&address(number), "wrong")).status(), 401);
    }
    world.advance(Duration::from_secs(3_600));
    assert_eq!(send(&worker, &from("192.0.2.1", "key-1")).status(), 200);
}

/// Requests that have ended, and costs that were given back, are nothing that anybody has used.
#[test]
fn what_is_given_back_makes_room() {
    let limits = json!([
        {"name": "open", "concurrency": 1, "per": "ip"},
        {"name": "good", "quota": "5/month", "per": "ip", "charge": {"status": "2xx"}},
    ]);
    let world = World::new();
    let mut document = limited(limits);
    document["table"] = json!({"slots": 1, "when_full": "refuse"});
    let worker = Worker::<Quota>::new(&world, document);
    for number in 0..100 {
        let failed = worker.run(&from(&address(number), "key-1"), &Message::response(500));
        assert_eq!((failed.status(), table(&world, "limits.entries")), (500, 0), "{number}");
    }
    // One that is under way has a place, and keeps it as long.
    let mut slow = worker.begin();
    slow.send(Side::Request, &from("192.0.2.1", "key-1"), &Chunking::WHOLE);
    assert_eq!(table(&world, "limits.entries"), 1);
    slow.send(Side::Response, &Message::response(500), &Chunking::WHOLE);
    slow.finish();
    assert_eq!(table(&world, "limits.entries"), 0);
    // What was not given back stays.
    assert_eq!(send(&worker, &from("192.0.2.2", "key-1")).status(), 200);
    assert_eq!((table(&world, "limits.entries"), table(&world, "limits.evictions")), (1, 0));
}

/// An entry that had to go while its request was under way is not written again to give something back: nobody goes for it.
#[test]
fn what_is_forgotten_is_not_given_back() {
    let world = World::new();
    let mut document = limited(
        json!([{"name": "open", "concurrency": 9, "per": "ip"}, {"name": "l", "quota": "9/d", "per": "ip"}]),
    );
    document["table"] = json!({"slots": 1});
    document["plans"]["free"]["limits"][0]["match"] = json!({"path": "/slow"});
    document["plans"]["free"]["limits"][1]["match"] = json!({"path": "/l"});
    let worker = Worker::<Quota>::new(&world, document);
    let mut slow = worker.begin();
    slow.send(Side::Request, &from("192.0.2.1", "key-1").with(":path", "/slow"), &Chunking::WHOLE);
    for _ in 0..9 {
        for number in 0..16 {
            send(&worker, &from(&address(number), "key-1").with(":path", "/l"));
        }
    }
    let evictions = table(&world, "limits.evictions");
    assert!(evictions > 0);
    slow.send(Side::Response, &Message::response(200), &Chunking::WHOLE);
    slow.finish();
    assert_eq!((table(&world, "limits.evictions"), table(&world, "limits.entries")), (evictions, 16));
}

/// Another worker takes the last place between a request's look and its write: what it had written is taken back.
#[test]
fn what_was_written_is_taken_back_when_the_last_place_is_taken() {
    let world = World::new();
    let mut document =
        limited(json!([{"name": "mine", "quota": "100/d"}, {"name": "ip", "quota": "2/h", "per": "ip"}]));
    document["table"] = json!({"slots": 1, "when_full": "refuse"});
    let worker = Worker::<Quota>::new(&world, &document);
    let other = Rc::new(Worker::<Quota>::new(&world, &document));
    for number in 0..15 {
        assert_eq!(send(&worker, &from(&address(number), "key-1")).status(), 200);
    }
    world.before_next_write(|_| {});
    world.before_next_write(move |_| assert_eq!(send(&other, &from(&address(15), "key-1")).status(), 200));
    assert_eq!(details(&worker, &from(&address(16), "key-1")), FULL);
    let outcome = send(&worker, &from(&address(0), "key-1"));
    assert!(outcome.answer().head.get("ratelimit").unwrap().starts_with("\"mine\";r=83;"));
}

#[test]
fn gauges_are_of_the_tables_that_there_are() {
    let world = World::new();
    let document = |slots: u64| {
        let mut document = limited(json!([{"name": "l", "quota": "3/d", "per": "ip"}]));
        document["table"] = json!({"slots": slots});
        document
    };
    let flood = |slots: u64| {
        let worker = Worker::<Quota>::new(&world, document(slots));
        let levels = (table(&world, "limits.entries"), table(&world, "limits.capacity"));
        for number in 0..1_000 {
            send(&worker, &from(&address(number), "key-1"));
        }
        levels
    };
    assert_eq!(flood(2), (0, 32));
    assert_eq!(flood(2), (32, 32));
    // With another number of slots all begin anew.
    assert_eq!(flood(4), (0, 64));
    assert_eq!(flood(1), (0, 16));
    assert_eq!(flood(1), (16, 16));
    assert_eq!((table(&world, "failures.capacity"), table(&world, "consumers.capacity")), (0, 0));
}

/// However many addresses and wrong keys come: as many shared values as before, and none larger than what it may hold.
#[test]
fn memory_stays_as_it_is_however_many_come() {
    let world = World::new();
    let mut document = limited(json!([{"name": "l", "quota": "10/d", "per": "ip"}]));
    document["table"] = json!({"slots": 16});
    document["failed_auth"] = json!({"rate": "1/m"});
    let worker = Worker::<Quota>::new(&world, document);
    let keys = world.shared_keys();
    let bytes = || -> usize { keys.iter().map(|key| world.shared(key).unwrap().len()).sum() };
    let mut most = 0;
    for number in 0..FLOOD {
        assert_eq!(send(&worker, &from(&address(number), "key-1")).status(), 200);
        let wrong = from(&address(number), &format!("wrong-{number}"));
        assert_eq!(send(&worker, &wrong).status(), 401);
        if number % 1_000 == 0 {
            world.take_calls();
        }
        if number == FLOOD / 2 {
            most = bytes();
        }
    }
    assert_eq!(world.shared_keys(), keys);
    assert_eq!(bytes(), most);
    assert_eq!((table(&world, "limits.entries"), table(&world, "failures.entries")), (256, 256));
}
