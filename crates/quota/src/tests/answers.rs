//! What clients are told, in the form that is configured.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::time::Duration;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// The document with these limits, and with these fields of the root.
pub(super) fn limited<const N: usize>(limits: Value, fields: [(&str, Value); N]) -> Value {
    let mut document = with([("/plans/free/limits", limits)]);
    for (name, value) in fields {
        document[name] = value;
    }
    document
}

/// The fields about limits of what the client gets.
fn told(outcome: &Outcome) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let fields = outcome.answer().head.iter().map(|(name, value)| (text(name), text(value)));
    fields.filter(|(name, _)| name.contains("ratelimit")).collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[test]
fn the_form_of_kong_has_the_tightest_limit_and_each_by_its_period() {
    let limits = json!([
        {"name": "a", "quota": "3/m"},
        {"name": "b", "quota": "100/h"},
        {"name": "c", "quota": "90/h"},
        {"name": "d", "rate": "50/90s"},
        {"name": "e", "quota": "1000/month"},
        {"name": "f", "quota": "5000/year"},
        {"name": "g", "quota": "70/s"},
        {"name": "h", "quota": "80/d"},
    ]);
    let worker = load(&limited(limits, [("headers", json!("kong"))])).unwrap();
    let expected = |minute, hour, month, year, second, day, reset| {
        pairs([
            ("x-ratelimit-limit-second", "70"),
            ("x-ratelimit-remaining-second", second),
            ("x-ratelimit-limit-minute", "3"),
            ("x-ratelimit-remaining-minute", minute),
            ("x-ratelimit-limit-hour", "90"),
            ("x-ratelimit-remaining-hour", hour),
            ("x-ratelimit-limit-day", "80"),
            ("x-ratelimit-remaining-day", day),
            ("x-ratelimit-limit-month", "1000"),
            ("x-ratelimit-remaining-month", month),
            ("x-ratelimit-limit-year", "5000"),
            ("x-ratelimit-remaining-year", year),
            ("ratelimit-limit", "3"),
            ("ratelimit-remaining", minute),
            ("ratelimit-reset", reset),
        ])
    };
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(told(&outcome), expected("2", "89", "999", "4999", "69", "79", "60"));
    send(&worker, &get("/", "key-1"));
    send(&worker, &get("/", "key-1"));
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(outcome.status(), 429);
    assert_eq!(told(&outcome), expected("0", "87", "997", "4997", "67", "77", "60"));
    assert_eq!(outcome.answer().head.get("retry-after"), Some("60"));
}

/// Of limits that have as much left, the longer one tells when there is more.
#[test]
fn the_form_of_kong_prefers_the_longer_of_two() {
    let limits = json!([{"name": "a", "quota": "3/m"}, {"name": "b", "quota": "3/h"}]);
    let worker = load(&limited(limits, [("headers", json!("kong"))])).unwrap();
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(outcome.answer().head.get("ratelimit-reset"), Some("3600"));
}

#[test]
fn the_form_of_envoy_has_the_tightest_limit_and_all_windows() {
    let worker = load(&limited(document()["plans"]["free"]["limits"].clone(), [("headers", json!("envoy"))]));
    let worker = worker.unwrap();
    let policy = "10;w=2;name=\"burst\", 12;w=86400;name=\"daily\"";
    let expected = |limit: &str, remaining: &str, reset: &str| {
        pairs([
            ("x-ratelimit-limit", &format!("{limit}, {policy}")),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset", reset),
        ])
    };
    assert_eq!(told(&send(&worker, &get("/", "key-1"))), expected("10", "9", "1"));
    for _ in 0..9 {
        send(&worker, &get("/", "key-1"));
    }
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!((outcome.status(), told(&outcome)), (429, expected("10", "0", "1")));
}

#[test]
fn several_forms_stand_beside_each_other_and_none_says_nothing() {
    let limits = json!([{"name": "l", "quota": "9/m"}]);
    let worker =
        load(&limited(limits.clone(), [("headers", json!(["ratelimit", "kong", "envoy"]))])).unwrap();
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(
        told(&outcome),
        pairs([
            ("ratelimit-policy", "\"l\";q=9;w=60"),
            ("ratelimit", "\"l\";r=8;t=60"),
            ("x-ratelimit-limit-minute", "9"),
            ("x-ratelimit-remaining-minute", "8"),
            ("ratelimit-limit", "9"),
            ("ratelimit-remaining", "8"),
            ("ratelimit-reset", "60"),
            ("x-ratelimit-limit", "9, 9;w=60;name=\"l\""),
            ("x-ratelimit-remaining", "8"),
            ("x-ratelimit-reset", "60"),
        ])
    );
    let worker = load(&limited(limits, [("headers", json!("none"))])).unwrap();
    assert_eq!(told(&send(&worker, &get("/", "key-1"))), []);
    for _ in 0..9 {
        send(&worker, &get("/", "key-1"));
    }
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!((outcome.status(), told(&outcome)), (429, vec![]));
    assert_eq!(outcome.answer().head.get("retry-after"), Some("60"));
}

/// Lists of the draft hold ours and the upstream's; a field with one value holds one.
#[test]
fn what_an_upstream_says_of_its_own_limits_is_replaced_where_there_can_be_one_value() {
    let limits = json!([{"name": "l", "quota": "9/m"}]);
    let forms = json!(["ratelimit", "kong", "envoy"]);
    let worker = load(&limited(limits, [("headers", forms)])).unwrap();
    let names = ["ratelimit", "ratelimit-remaining", "x-ratelimit-remaining", "x-ratelimit-limit-minute"];
    let response = names.iter().fold(Message::response(200), |response, name| response.with(name, "7"));
    let outcome = worker.run(&get("/", "key-1"), &response);
    let all = |name| outcome.answer().head.all(name).collect::<Vec<_>>();
    assert_eq!(all("ratelimit"), [b"7".as_slice(), b"\"l\";r=8;t=60"]);
    assert_eq!(
        (all("ratelimit-remaining"), all("x-ratelimit-remaining")),
        (vec![&b"8"[..]], vec![&b"8"[..]])
    );
    assert_eq!(all("x-ratelimit-limit-minute"), [b"9"]);
}

#[test]
fn a_field_warns_from_each_threshold_on() {
    let limits = json!([{"name": "all", "quota": "10/d"}, {"name": "burst", "rate": "8/s"}]);
    let near = json!({"at": [50, "12.5%", "100%", "80%"]});
    let world = World::new();
    let worker = Worker::<Quota>::new(&world, limited(limits, [("near_limit", near)]));
    let mut seen = Vec::new();
    for _ in 0..11 {
        let outcome = send(&worker, &get("/", "key-1"));
        seen.push((outcome.status(), outcome.answer().head.get("x-ratelimit-near").map(str::to_owned)));
        world.advance(Duration::from_secs(1));
    }
    let at = |all| Some(format!("\"all\";at={all}, \"burst\";at=12.5"));
    assert_eq!(
        seen,
        [
            (200, Some("\"burst\";at=12.5".to_owned())),
            (200, at("12.5")),
            (200, at("12.5")),
            (200, at("12.5")),
            (200, at("50")),
            (200, at("50")),
            (200, at("50")),
            (200, at("80")),
            (200, at("80")),
            (200, at("100")),
            (429, Some("\"all\";at=100".to_owned())),
        ]
    );
    let limits = json!([{"name": "all", "quota": "10/d"}]);
    let near = json!({"header": "X-Nearly", "at": "20%"});
    let worker = load(&limited(limits, [("near_limit", near), ("headers", json!("none"))])).unwrap();
    let outcomes = [0, 1].map(|_| send(&worker, &get("/", "key-1")));
    let values = outcomes.each_ref().map(|outcome| outcome.answer().head.get("x-nearly"));
    assert_eq!(values, [None, Some("\"all\";at=20")]);
}

#[test]
fn forms_and_thresholds_that_contradict_themselves_are_refused() {
    for (field, value, message) in [
        ("headers", json!(["kong", "none"]), "headers: found none beside others, expected none alone"),
        ("headers", json!(["kong", "kong"]), "headers[1]: found a form that stands there already"),
        ("headers", json!("x"), "headers: found \"x\", expected one of"),
        ("near_limit", json!({"at": [50, 0]}), "near_limit.at[1]: found 0%, expected"),
        ("near_limit", json!({"at": 101}), "near_limit.at: found 101"),
        ("near_limit", json!({"at": 1, "header": "a b"}), "near_limit.header: found \"a b\""),
        (
            "near_limit",
            json!({"at": 1, "header": "Content-Length"}),
            "near_limit.header: found \"Content-Length\"",
        ),
        ("near_limit", json!({"at": 1, "header": ":status"}), "near_limit.header: found \":status\""),
        ("near_limit", json!({}), "near_limit"),
    ] {
        let refused = load(&limited(json!([]), [(field, value)])).unwrap_err().to_string();
        assert!(refused.starts_with(message), "{refused}");
    }
}

#[test]
fn each_limit_of_the_configuration_has_counters() {
    let world = World::new();
    let limits = json!([
        {"name": "a.b \u{7e}c-D_9", "quota": "2/m"},
        {"name": "all", "quota": "9/m"},
    ]);
    let near = json!({"at": [20, 100]});
    let worker = Worker::<Quota>::new(&world, limited(limits, [("near_limit", near)]));
    for _ in 0..3 {
        send(&worker, &get("/", "key-1"));
    }
    let metric = |name: &str| world.metric(&format!("meshgate.quota.limit.{name}"));
    assert_eq!((metric("a_b__c-D_9.denied"), metric("all.denied")), (1, 0));
    assert_eq!((metric("a_b__c-D_9.near"), metric("all.near")), (3, 2));
    assert_eq!((metric("a_b__c-D_9.shadow_denied"), metric("all.shadow_denied")), (0, 0));
    assert_eq!((world.metric("meshgate.quota.denied.limit"), world.metric("meshgate.quota.allowed")), (1, 2));
}

#[test]
fn access_logs_can_read_what_remains_and_which_limit_refused() {
    let limits = json!([{"name": "all", "quota": "9/m"}, {"name": "l", "quota": "1/m"}]);
    for (filter_state, expected) in
        [(true, [(None, Some("0")), (Some("l"), Some("0"))]), (false, [(None, None); 2])]
    {
        let worker = load(&limited(limits.clone(), [("filter_state", json!(filter_state))])).unwrap();
        for expected in expected {
            let outcome = send(&worker, &get("/", "key-1"));
            let state =
                |name| outcome.filter_state.get(name).map(|value| std::str::from_utf8(value).unwrap());
            assert_eq!((state("meshgate.limit"), state("meshgate.remaining")), expected);
        }
    }
}

/// One of each algorithm, with so many requests that leave something of it.
fn algorithms() -> [(Value, u64); 8] {
    [
        (json!({"name": "l", "rate": "7/s", "burst": 3}), 2),
        (json!({"name": "l", "rate": "1/10s", "burst": 4}), 3),
        (json!({"name": "l", "quota": "5/90s"}), 2),
        (json!({"name": "l", "quota": "5/m", "window": "sliding"}), 4),
        (json!({"name": "l", "quota": "5/d", "time_zone": "Europe/Berlin"}), 2),
        (json!({"name": "l", "quota": "5/week", "anchor": {"weekday": "sunday"}}), 2),
        (json!({"name": "l", "quota": "5/month", "anchor": {"day": 31}}), 2),
        (
            json!({"name": "l", "quota": "5/year", "time_zone": "Australia/Lord_Howe", "anchor": {"month": 7}}),
            2,
        ),
    ]
}

/// What is left of the limit now, which it costs nothing to ask.
fn remaining(worker: &Worker<Quota>) -> u64 {
    let outcome = send(worker, &get("/usage", "key-1"));
    let usage: Value = serde_json::from_slice(&outcome.answer().body).unwrap();
    usage["limits"][0]["remaining"].as_u64().unwrap()
}

/// `r` and `t` of the one limit.
fn left(outcome: &Outcome) -> (u64, u64) {
    let field = outcome.answer().head.get("ratelimit").unwrap();
    let (left, more_in) = field.strip_prefix("\"l\";r=").unwrap().split_once(";t=").unwrap();
    (left.parse().unwrap(), more_in.parse().unwrap())
}

#[test]
fn there_is_more_when_t_says_so_and_not_a_second_earlier() {
    for (limit, requests) in algorithms() {
        for nudge in [0, 1, 333_333_333, 12_345_678_901] {
            let world = World::new();
            let endpoint = ("usage_endpoint", json!({"path": "/usage"}));
            let worker = Worker::<Quota>::new(&world, limited(json!([limit]), [endpoint]));
            world.advance(Duration::from_nanos(nudge));
            for _ in 1..requests {
                send(&worker, &get("/", "key-1"));
            }
            let (left, more_in) = left(&send(&worker, &get("/", "key-1")));
            assert_eq!(remaining(&worker), left, "{limit}");
            world.advance(Duration::from_secs(more_in - 1));
            assert_eq!(remaining(&worker), left, "{limit} {nudge}: t={more_in} is too late");
            world.advance(Duration::from_secs(1));
            assert!(remaining(&worker) > left, "{limit} {nudge}: t={more_in} is too early");
        }
    }
}

/// Whoever waits as long as they were told passes, however much the request costs, and also into an overdraft.
#[test]
fn to_wait_as_told_is_enough_for_what_costs_more() {
    for (mut limit, _) in algorithms() {
        limit["cost"] = json!({"header": "x-cost"});
        for overdraft in ["0%", "50%"] {
            limit["overdraft"] = json!(overdraft);
            let world = World::new();
            let worker = Worker::<Quota>::new(&world, limited(json!([limit]), []));
            for (cost, nudge) in [("1", 0), ("3", 1), ("2", 333_333_333), ("3", 70_000_000_000)] {
                world.advance(Duration::from_nanos(nudge));
                let request = get("/", "key-1").with("x-cost", cost);
                let refused = std::iter::repeat_with(|| send(&worker, &request))
                    .find(|outcome| outcome.status() != 200)
                    .unwrap();
                let wait = refused.answer().head.get("retry-after").unwrap().parse().unwrap();
                world.advance(Duration::from_secs(wait));
                assert_eq!(send(&worker, &request).status(), 200, "{limit}: {cost} after {wait} s");
            }
        }
    }
}

#[test]
fn what_a_limit_counts_is_said_where_there_is_a_name_for_it() {
    let limits = json!([
        {"name": "in flight", "concurrency": 4},
        {"name": "bytes", "quota": "1000/d", "cost": {"response_bytes": true}},
        {"name": "requests", "quota": "9/d"},
    ]);
    let worker =
        load(&limited(limits.clone(), [("headers", json!(["ratelimit", "kong", "envoy"]))])).unwrap();
    let outcome = send(&worker, &get("/", "key-1"));
    let head = &outcome.answer().head;
    let policy = "\"in flight\";q=4;qu=\"concurrent-requests\", \"bytes\";q=1000;qu=\"content-bytes\";w=86400, \"requests\";q=9;w=86400";
    assert_eq!(head.get("ratelimit-policy"), Some(policy));
    assert!(head.get("ratelimit").unwrap().starts_with("\"in flight\";r=3, \"bytes\";r="), "{head:?}");
    // The others know no limits without a window.
    assert_eq!((head.get("ratelimit-limit"), head.get("x-ratelimit-remaining")), (Some("9"), Some("8")));
    let limit = "9, 1000;w=86400;name=\"bytes\", 9;w=86400;name=\"requests\"";
    assert_eq!(head.get("x-ratelimit-limit"), Some(limit));
}

/// Limits that are not enforced are for operators only.
#[test]
fn clients_hear_nothing_of_limits_in_the_shadow() {
    let limits = json!([
        {"name": "seen", "quota": "9/d"},
        {"name": "shadow", "quota": "1/d", "shadow": true},
    ]);
    let world = World::new();
    let fields = [
        ("near_limit", json!({"at": "1%"})),
        ("usage_endpoint", json!({"path": "/usage"})),
        ("filter_state", json!(true)),
    ];
    let worker = Worker::<Quota>::new(&world, limited(limits, fields));
    send(&worker, &get("/", "key-1"));
    let outcome = send(&worker, &get("/", "key-1"));
    assert_eq!(
        told(&outcome),
        pairs([
            ("ratelimit-policy", "\"seen\";q=9;w=86400"),
            ("ratelimit", "\"seen\";r=7;t=86400"),
            ("x-ratelimit-near", "\"seen\";at=1"),
        ])
    );
    assert_eq!(outcome.filter_state.get("meshgate.remaining").map(Vec::as_slice), Some(&b"7"[..]));
    assert_eq!(outcome.filter_state.get("meshgate.limit"), None);
    let usage: Value = serde_json::from_slice(&send(&worker, &get("/usage", "key-1")).answer().body).unwrap();
    assert_eq!((usage["limits"].as_array().unwrap().len(), &usage["limits"][0]["name"]), (1, &json!("seen")));
    let metric = |name: &str| world.metric(&format!("meshgate.quota.limit.{name}"));
    assert_eq!((metric("shadow.shadow_denied"), metric("shadow.denied"), metric("shadow.near")), (1, 0, 0));
}

/// However many names there are, the number of metrics ends.
#[test]
fn limits_behind_the_thousandth_name_are_not_counted_apart() {
    let world = World::new();
    let mut document = document();
    for plan in 0..100 {
        let limits: Vec<_> =
            (0..11).map(|limit| json!({"name": format!("l-{plan:03}-{limit:02}"), "quota": "1/d"})).collect();
        document["plans"][format!("p-{plan:03}")] = json!({"limits": limits});
    }
    document["consumers"][0]["plan"] = json!("p-099");
    document["consumers"][1]["disabled"] = json!(false);
    document["consumers"][1]["plan"] = json!("p-000");
    let worker = Worker::<Quota>::new(&world, document);
    for key in ["key-1", "key-3"] {
        assert_eq!(
            [send(&worker, &get("/", key)).status(), send(&worker, &get("/", key)).status()],
            [200, 429]
        );
    }
    assert_eq!(world.metric("meshgate.quota.limit.l-000-00.denied"), 1);
    assert_eq!(world.metric("meshgate.quota.denied.limit"), 2);
}
