//! Sliding windows, windows of other calendars, overdrafts, limits that are not enforced, and at which level limits stand.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::time::Duration;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A worker whose only limit for acme is this one, named `l`.
fn limited(world: &World, mut limit: Value) -> Worker<Quota> {
    limit["name"] = json!("l");
    Worker::new(world, with([("/plans/free/limits", json!([limit]))]))
}

/// The status of a request, and its `RateLimit`.
fn ask(worker: &Worker<Quota>) -> (u16, String) {
    let outcome = send(worker, &get("/", "key-1"));
    let told = outcome.answer().head.get("ratelimit").unwrap_or_default().to_owned();
    (outcome.status(), told)
}

/// How many of so many requests pass.
fn passing(worker: &Worker<Quota>, count: usize) -> usize {
    (0..count).filter(|_| ask(worker).0 == 200).count()
}

/// The seconds that a request which is refused is told to wait.
#[track_caller]
fn retry_after(worker: &Worker<Quota>) -> u64 {
    let outcome = send(worker, &get("/", "key-1"));
    assert_eq!(outcome.status(), 429);
    outcome.answer().head.get("retry-after").unwrap().parse().unwrap()
}

#[track_caller]
fn refused<const N: usize>(changes: [(&str, Value); N], expected: &str) {
    match load(&with(changes)) {
        Ok(_) => panic!("passes, expected: {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

#[track_caller]
fn limit_refused(mut limit: Value, expected: &str) {
    limit["name"] = json!("l");
    refused([("/plans/free/limits", json!([limit]))], &format!("plans.free.limits[0]{expected}"));
}

#[test]
fn a_sliding_window_has_no_border() {
    let world = World::new();
    let worker = limited(&world, json!({"quota": "10/m", "window": "sliding"}));
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(outcome.answer().head.get("ratelimit-policy"), Some("\"l\";q=10;w=60"));
    assert_eq!(outcome.answer().head.get("ratelimit"), Some("\"l\";r=9;t=66"));
    world.advance(Duration::from_secs(58));
    assert_eq!(passing(&worker, 20), 9);
    // The minute of the calendar ends, and nothing comes back but the first.
    world.advance(Duration::from_secs(3));
    assert_eq!(passing(&worker, 20), 0);
    assert_eq!(retry_after(&worker), 5);
    world.advance(Duration::from_secs(5));
    assert_eq!(ask(&worker), (200, "\"l\";r=0;t=54".to_owned()));
    assert_eq!(retry_after(&worker), 54);
    world.advance(Duration::from_secs(54));
    assert_eq!(passing(&worker, 20), 9);
}

#[test]
fn a_fixed_window_is_what_is_meant_if_nothing_is_said() {
    let world = World::new();
    for limit in [json!({"quota": "10/m"}), json!({"quota": "10/m", "window": "fixed"})] {
        let worker = limited(&world.instance(&limit.to_string()), limit);
        assert_eq!(ask(&worker).1, "\"l\";r=9;t=60");
    }
}

/// The world begins on 2026-01-01, a Thursday, at midnight in UTC.
#[test]
fn windows_begin_when_the_clocks_of_a_zone_say_so() {
    for (limit, more_in) in [
        (json!({"quota": "9/d"}), DAY),
        (json!({"quota": "9/d", "time_zone": "UTC"}), DAY),
        (json!({"quota": "9/d", "time_zone": "Europe/Berlin"}), 23 * HOUR),
        (json!({"quota": "9/d", "time_zone": "America/New_York"}), 5 * HOUR),
        (json!({"quota": "9/day", "time_zone": "Asia/Kolkata"}), 18 * HOUR + HOUR / 2),
        (json!({"quota": "9/week"}), 4 * DAY),
        (json!({"quota": "9/week", "anchor": {"weekday": "sunday"}}), 3 * DAY),
        (
            json!({"quota": "9/week", "anchor": {"weekday": "thursday"}, "time_zone": "Europe/Berlin"}),
            7 * DAY - HOUR,
        ),
        (json!({"quota": "9/month"}), 31 * DAY),
        (json!({"quota": "9/month", "anchor": {"day": 15}}), 14 * DAY),
        (json!({"quota": "9/month", "anchor": {"day": 31}}), 30 * DAY),
        (json!({"quota": "9/month", "time_zone": "America/New_York"}), 5 * HOUR),
        (json!({"quota": "9/year"}), 365 * DAY),
        (
            json!({"quota": "9/year", "anchor": {"month": 4, "day": 6}, "time_zone": "Europe/London"}),
            95 * DAY - HOUR,
        ),
        (json!({"quota": "9/year", "anchor": {"month": 7}}), 181 * DAY),
        (json!({"quota": "9/year", "anchor": {"month": 2, "day": 29}}), 58 * DAY),
    ] {
        let worker = limited(&World::new(), limit.clone());
        assert_eq!(ask(&worker), (200, format!("\"l\";r=8;t={more_in}")), "{limit}");
    }
}

/// Whoever waits as long as they were told to gets through, and a second earlier does not.
#[test]
fn waiting_as_told_is_enough() {
    for limit in [
        json!({"quota": "3/m", "window": "sliding"}),
        json!({"quota": "2/90s", "window": "sliding"}),
        json!({"quota": "2/month", "window": "sliding"}),
        json!({"quota": "2/d", "time_zone": "Africa/Cairo"}),
        json!({"quota": "2/month", "time_zone": "Europe/Berlin", "anchor": {"day": 31}}),
        json!({"quota": "2/month", "overdraft": "50%"}),
        json!({"rate": "2/m", "overdraft": "50%"}),
    ] {
        let world = World::new();
        let worker = limited(&world, limit.clone());
        for nudge in [0, 1, 333_333_333, 59_999_999_999, 86_400_000_000_000] {
            world.advance(Duration::from_nanos(nudge));
            while ask(&worker).0 == 200 {}
            let wait = retry_after(&worker);
            world.advance(Duration::from_secs(wait - 1));
            // Seconds are rounded up: less than one was too much.
            assert!(wait == 1 || ask(&worker).0 == 429, "{limit}");
            world.advance(Duration::from_secs(1));
            assert_eq!(ask(&worker).0, 200, "{limit}");
        }
    }
}

#[test]
fn an_overdraft_passes_and_nobody_is_told() {
    for (limit, policy) in [
        (json!({"quota": "10/d", "overdraft": "25%"}), "\"l\";q=10;w=86400"),
        (json!({"quota": "10/d", "overdraft": 20.0, "window": "sliding"}), "\"l\";q=10;w=86400"),
        (json!({"rate": "10/d", "overdraft": "29.99%"}), "\"l\";q=10;w=86400"),
        (json!({"rate": "1/d", "burst": 10, "overdraft": "20%"}), "\"l\";q=10;w=864000"),
    ] {
        let worker = limited(&World::new(), limit.clone());
        let outcome = send(&worker, &get("/", "key-1"));
        assert_eq!(outcome.answer().head.get("ratelimit-policy"), Some(policy), "{limit}");
        let left: Vec<_> = (0..12).map(|_| ask(&worker)).collect();
        let told = |(status, told): &(u16, String)| (*status, told.split(';').nth(1).unwrap().to_owned());
        assert_eq!(told(&left[7]), (200, "r=1".to_owned()), "{limit}");
        for passed in &left[8..11] {
            assert_eq!(told(passed), (200, "r=0".to_owned()), "{limit}");
        }
        assert_eq!(told(&left[11]), (429, "r=0".to_owned()), "{limit}");
    }
}

#[test]
fn a_shadow_limit_counts_and_refuses_nothing() {
    let world = World::new();
    let limits = json!([
        {"name": "trial", "quota": "3/d", "shadow": true},
        {"name": "daily", "quota": "5/d"},
    ]);
    let worker = Worker::<Quota>::new(&world, with([("/plans/free/limits", limits)]));
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(outcome.answer().head.get("ratelimit-policy"), Some("\"daily\";q=5;w=86400"));
    assert_eq!(outcome.answer().head.get("ratelimit"), Some("\"daily\";r=4;t=86400"));
    assert_eq!(passing(&worker, 9), 4);
    assert_eq!(problem(&send(&worker, &get("/", "key-1")))["violated-policies"], json!(["daily"]));
    // Two passed that the trial had no room for; those that the other limit refused are not among them.
    assert_eq!(world.metric("meshgate.quota.limit.trial.shadow_denied"), 2);
    assert_eq!(world.metric("meshgate.quota.limit.trial.denied"), 0);

    // What it has counted is there when it is enforced.
    let limits = json!([{"name": "trial", "quota": "4/d"}]);
    let worker = Worker::<Quota>::new(&world, with([("/plans/free/limits", limits)]));
    assert_eq!(ask(&worker), (200, "\"trial\";r=0;t=86400".to_owned()));
    assert_eq!(passing(&worker, 5), 0);
}

#[test]
fn a_share_of_requests_is_refused() {
    let world = World::new();
    let worker = limited(&world, json!({"quota": "100/d", "enforce": "25%"}));
    assert_eq!(passing(&worker, 100), 100);
    let passed = passing(&worker, 1_000);
    assert!((700..800).contains(&passed), "{passed}");
    assert_eq!(world.metric("meshgate.quota.limit.l.shadow_denied"), passed as i64);
    assert_eq!(world.metric("meshgate.quota.limit.l.denied"), 1_000 - passed as i64);
    // Nobody, and everybody.
    let worker = limited(&World::new(), json!({"quota": "1/d", "enforce": 0}));
    assert_eq!(passing(&worker, 50), 50);
    let worker = limited(&World::new(), json!({"quota": "1/d", "enforce": "100%"}));
    assert_eq!(passing(&worker, 50), 1);
}

/// A limit at each level, with the numbers of that level.
fn levels() -> Value {
    let limit = |name: &str, most: u32| json!({"name": name, "quota": format!("{most}/d")});
    json!({
        "limits": [limit("a", 10), limit("b", 10), limit("c", 10), limit("d", 10), limit("e", 10)],
        "plans": {"free": {"limits": [limit("b", 20), limit("c", 20), limit("d", 20), limit("e", 20), limit("f", 20)]}},
        "consumers": [
            {"name": "acme", "plan": "free", "limits": [limit("c", 30), limit("d", 30), limit("e", 30)], "keys": [
                {"id": "acme-1", "sha256": sha256(b"key-1"), "limits": [limit("d", 40), limit("e", 40)]},
                {"id": "acme-2", "sha256": sha256(b"key-2")},
            ]},
            {"name": "other", "plan": "free", "keys": [{"id": "other-1", "sha256": sha256(b"key-3")}]},
        ],
        "routes": [
            {"match": {"path": "/heavy/now"}, "limits": []},
            {"match": {"path": {"prefix": "/heavy"}}, "limits": [limit("e", 50), limit("g", 50)]},
            {"match": {"path": {"prefix": "/heavy/late"}}, "limits": [limit("a", 1)]},
        ],
    })
}

#[test]
fn the_more_special_limit_counts() {
    let worker = Worker::<Quota>::new(&World::new(), levels());
    for (key, target, expected) in [
        ("key-1", "/", &[("a", 10), ("b", 20), ("c", 30), ("d", 40), ("e", 40), ("f", 20)][..]),
        ("key-2", "/", &[("a", 10), ("b", 20), ("c", 30), ("d", 30), ("e", 30), ("f", 20)]),
        ("key-3", "/", &[("a", 10), ("b", 20), ("c", 20), ("d", 20), ("e", 20), ("f", 20)]),
        ("key-1", "/heavy", &[("a", 10), ("b", 20), ("c", 30), ("d", 40), ("e", 50), ("f", 20), ("g", 50)]),
        ("key-3", "/heavy/x", &[("a", 10), ("b", 20), ("c", 20), ("d", 20), ("e", 50), ("f", 20), ("g", 50)]),
        // The first that a request matches counts, and no other.
        ("key-1", "/heavy/now", &[("a", 10), ("b", 20), ("c", 30), ("d", 40), ("e", 40), ("f", 20)]),
        (
            "key-3",
            "/heavy/late",
            &[("a", 10), ("b", 20), ("c", 20), ("d", 20), ("e", 50), ("f", 20), ("g", 50)],
        ),
    ] {
        let outcome = send(&worker, &get(target, key));
        let member = |(name, quota): &(&str, u32)| format!("\"{name}\";q={quota};w=86400");
        let policy: Vec<_> = expected.iter().map(member).collect();
        assert_eq!(
            outcome.answer().head.get("ratelimit-policy"),
            Some(&*policy.join(", ")),
            "{key} {target}"
        );
    }
}

/// Usage belongs to the name, at whichever level the limit stands.
#[test]
fn limits_of_one_name_have_one_usage_at_all_levels() {
    let worker = Worker::<Quota>::new(&World::new(), levels());
    let left = |key: &str, target: &str| {
        let outcome = send(&worker, &get(target, key));
        let told = outcome.answer().head.get("ratelimit").unwrap().to_owned();
        let of_e = told.split(", ").find(|limit| limit.starts_with("\"e\"")).unwrap().to_owned();
        of_e.split(';').nth(1).unwrap().to_owned()
    };
    assert_eq!(left("key-1", "/"), "r=39");
    assert_eq!(left("key-2", "/"), "r=28");
    assert_eq!(left("key-2", "/heavy"), "r=47");
    assert_eq!(left("key-1", "/"), "r=36");
    assert_eq!(left("key-3", "/heavy"), "r=49");
}

/// A route may have the only limits that there are.
#[test]
fn limits_of_routes_alone_are_enforced() {
    let mut document = levels();
    for pointer in ["/limits", "/plans/free/limits", "/consumers/0/limits", "/consumers/0/keys/0/limits"] {
        *document.pointer_mut(pointer).unwrap() = json!([]);
    }
    document["routes"] =
        json!([{"match": {"method": "POST"}, "limits": [{"name": "writes", "quota": "2/d"}]}]);
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, &document);
    let status =
        |method: &str| send(&worker, &Message::request(method, "/").with("x-api-key", "key-1")).status();
    assert_eq!([status("POST"), status("POST"), status("POST"), status("GET")], [200, 200, 429, 200]);
    // The metrics of the limit are there as well.
    assert_eq!(world.metric("meshgate.quota.limit.writes.denied"), 1);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let calendar = "found what only windows of a calendar have, expected it beside a quota per d, week, month or year, in \
                    fixed windows";
    for (limit, expected) in [
        (
            json!({"rate": "1/s", "quota": "1/d", "concurrency": 1}),
            ": found rate and quota and concurrency, expected one of them: write a limit for each to have them together"
                .to_owned(),
        ),
        (
            json!({"rate": "1/s", "burst": "10"}),
            ".burst: found \"10\", expected a whole number, 0 or more: write it without quotes".to_owned(),
        ),
        (
            json!({"concurrency": 0}),
            ".concurrency: found 0, expected how many requests at the same time, 1 to 999999999999999".to_owned(),
        ),
        (
            json!({"concurrency": 1, "burst": 1}),
            ".burst: found a burst without a rate, expected one only beside rate: all of it may come at once; add a limit \
             with a rate to prevent that"
                .to_owned(),
        ),
        (
            json!({"rate": "1/s", "window": "fixed"}),
            ".window: found a window beside rate, expected one only beside quota".to_owned(),
        ),
        (
            json!({"concurrency": 1, "window": "sliding"}),
            ".window: found a window beside concurrency, expected one only beside quota".to_owned(),
        ),
        (json!({"rate": "1/d", "time_zone": "UTC"}), format!(".time_zone: {calendar}")),
        (json!({"quota": "1/h", "time_zone": "UTC"}), format!(".time_zone: {calendar}")),
        (json!({"quota": "1/1d", "time_zone": "UTC"}), format!(".time_zone: {calendar}")),
        (json!({"quota": "1/d", "window": "sliding", "time_zone": "UTC"}), format!(".time_zone: {calendar}")),
        (json!({"quota": "1/month", "window": "sliding", "anchor": {"day": 2}}), format!(".anchor: {calendar}")),
        (
            json!({"quota": "1/d", "time_zone": "Europe/Berln"}),
            ".time_zone: found \"Europe/Berln\", expected the name of a time zone in the IANA database, such as Europe/Berlin"
                .to_owned(),
        ),
        (
            json!({"quota": "1/d", "anchor": {"day": 2}}),
            ".anchor.day: found day, expected no anchor: a day begins at midnight".to_owned(),
        ),
        (
            json!({"quota": "1/week", "anchor": {"day": 2}}),
            ".anchor.day: found day, expected weekday: a week begins on a weekday".to_owned(),
        ),
        (
            json!({"quota": "1/month", "anchor": {"month": 2, "day": 3}}),
            ".anchor.month: found month, expected day: a month begins on a day".to_owned(),
        ),
        (
            json!({"quota": "1/year", "anchor": {"weekday": "monday"}}),
            ".anchor.weekday: found weekday, expected month and day: a year begins in a month, on a day".to_owned(),
        ),
        (json!({"quota": "1/month", "anchor": {"day": 0}}), ".anchor.day: found 0, expected 1 to 31".to_owned()),
        (json!({"quota": "1/month", "anchor": {"day": 32}}), ".anchor.day: found 32, expected 1 to 31".to_owned()),
        (json!({"quota": "1/year", "anchor": {"month": 13}}), ".anchor.month: found 13, expected 1 to 12".to_owned()),
    ] {
        limit_refused(limit, &expected);
    }
    for (field, value) in
        [("overdraft", json!("101%")), ("enforce", json!("1.234%")), ("window", json!("rolling"))]
    {
        let mut limit = json!({"name": "l", "quota": "1/d"});
        limit[field] = value;
        let error = load(&with([("/plans/free/limits", json!([limit]))])).unwrap_err().to_string();
        assert!(error.starts_with(&format!("plans.free.limits[0].{field}: found ")), "{error}");
    }
}

#[test]
fn too_many_limits_are_refused_at_each_level() {
    let limits = |range: std::ops::Range<u32>| -> Value {
        range.map(|number| json!({"name": format!("l{number}"), "quota": "1/d"})).collect()
    };
    let few = [("/plans/free/limits", limits(0..10)), ("/limits", limits(0..10))];
    assert!(load(&with(few)).is_ok());
    for (changes, expected) in [
        (
            [("/limits", limits(0..17)), ("/plans/free/limits", json!([]))],
            "limits: found 17 limits, expected at most 16",
        ),
        (
            [("/limits", limits(0..10)), ("/plans/free/limits", limits(10..17))],
            "plans.free.limits: found 17 limits, with those of the other levels, expected at most 16",
        ),
        (
            [("/limits", limits(0..10)), ("/consumers/0/limits", limits(10..17))],
            "consumers[0].limits: found 19 limits, with those of the other levels, expected at most 16",
        ),
        (
            [("/limits", limits(0..10)), ("/consumers/0/keys/0/limits", limits(10..17))],
            "consumers[0].keys[0].limits: found 19 limits, with those of the other levels, expected at most 16",
        ),
        (
            [("/limits", limits(0..10)), ("/routes", json!([{"match": {}, "limits": limits(10..17)}]))],
            "plans.endless.limits: found 17 limits, with those of the other levels, expected at most 16",
        ),
        (
            [("/limits", limits(0..1)), ("/routes", json!([{"match": {"status": 200}, "limits": []}]))],
            "routes[0].match.status: found a status of the response, expected conditions on the request only: requests are \
             decided on before there is a response",
        ),
        (
            [
                ("/limits", limits(0..1)),
                (
                    "/routes",
                    json!([
                        {"match": {}, "limits": limits(1..16)}, {"match": {}, "limits": limits(16..31)},
                        {"match": {}, "limits": limits(31..33)},
                    ]),
                ),
            ],
            "plans.endless.limits: found 33 limits of different names, with those of all routes, expected at most 32: a \
             consumer has one usage of them all",
        ),
        ([("/consumers/0/keys/0/limits", limits(0..14)), ("/consumers/0/keys/1/limits", limits(14..28))], ""),
    ] {
        match (load(&with(changes)), expected) {
            (Ok(_), "") => {}
            (Ok(_), _) => panic!("passes, expected: {expected}"),
            (Err(error), _) => assert_eq!(error.to_string(), expected),
        }
    }
    // Two keys, and together more names than a consumer has room for.
    let plans = json!({"one": {"limits": limits(0..10)}, "two": {"limits": limits(10..26)}, "three": {"limits": limits(26..33)}});
    let mut document = with([("/plans", plans), ("/consumers", json!([]))]);
    document["consumers"] = json!([{"name": "acme", "plan": "one", "keys": [
        {"id": "a", "sha256": sha256(b"a"), "plan": "two"}, {"id": "b", "sha256": sha256(b"b"), "plan": "three"},
    ]}]);
    let error = load(&document).unwrap_err().to_string();
    let expected = "consumers[0].keys: found 33 limits of different names in their plans, expected at most 32: the consumer \
                    has one usage of them all";
    assert_eq!(error, expected);
}
