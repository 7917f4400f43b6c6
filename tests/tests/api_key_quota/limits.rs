//! What limits let through, and what clients read about them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshgate_e2e::{Envoy, Response, Value, json};
use tokio::task::JoinSet;

use crate::support::*;

const RETRY_IN_20_MINUTES: &str = "The limit \"burst\" is used up. Send the request again in 1200 seconds.";

/// As [`parse`] returns it.
fn member(name: &str, parameters: &[(&str, u64)]) -> (String, BTreeMap<String, u64>) {
    (name.to_owned(), parameters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
}

fn names(left: &[(&str, u64)]) -> Vec<(String, u64)> {
    left.iter().map(|(name, left)| ((*name).to_owned(), *left)).collect()
}

async fn send(envoy: &Envoy, method: &str, path: &str) -> Response {
    envoy.request(method, path).header("x-api-key", "acme-key").send().await.unwrap()
}

fn violated(response: &Response) -> Value {
    assert_eq!(response.status, 429);
    response.json()["violated-policies"].clone()
}

/// A rate, and a quota of so long that none of its windows ends meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_what_is_left() {
    let limits = json!([{ "name": "burst", "rate": "3/h" }, { "name": "in all", "quota": "5/year" }]);
    let envoy = Envoy::start(listener(limited(limits))).await.unwrap();
    let policy =
        [member("burst", &[("q", 3), ("w", 3_600)]), member("in all", &[("q", 5), ("w", 31_536_000)])];
    let start = Instant::now();
    for (status, burst, all) in [(200, 2, 4), (200, 1, 3), (200, 0, 2), (429, 0, 2), (429, 0, 2)] {
        let response = send(&envoy, "GET", "/").await;
        assert_eq!(response.status, status);
        assert_eq!(parse(one(&response, "ratelimit-policy")), policy);
        assert_eq!(left(&response), names(&[("burst", burst), ("in all", all)]));
        let more_in = parse(one(&response, "ratelimit"))[0].1["t"];
        assert!((1_200 - start.elapsed().as_secs() - 1..=1_200).contains(&more_in), "{more_in}");
        if status == 429 {
            assert_eq!(one(&response, "retry-after"), more_in.to_string());
            assert_problem(&response, 429, &RETRY_IN_20_MINUTES.replace("1200", &more_in.to_string()));
            let problem = response.json();
            assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
            assert_eq!(
                (&problem["title"], violated(&response)),
                (&json!("Quota Exceeded"), json!(["burst"]))
            );
        } else {
            assert_eq!(response.header("retry-after"), None);
        }
    }
    assert_eq!(envoy.upstream().requests().len(), 3);
    assert_eq!(envoy.wait_for_access_log(5).await.unwrap()[3..], ["429 meshgate_limit_exceeded"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_counted_by_no_limit() {
    let writes = json!({ "name": "writes", "quota": "1/year", "match": { "method": "POST" } });
    let all = json!({ "name": "all", "rate": "4/d" });
    for limits in [json!([all, writes]), json!([writes, all])] {
        let envoy = Envoy::start(listener(limited(limits))).await.unwrap();
        assert_eq!(send(&envoy, "POST", "/").await.status, 200);
        for _ in 0..5 {
            let response = send(&envoy, "POST", "/").await;
            assert_eq!(violated(&response), json!(["writes"]));
            let mut left = left(&response);
            left.sort();
            assert_eq!(left, names(&[("all", 3), ("writes", 0)]));
        }
        for all in [2, 1, 0] {
            assert_eq!(left(&send(&envoy, "GET", "/").await), names(&[("all", all)]));
        }
        assert_eq!(violated(&send(&envoy, "GET", "/").await), json!(["all"]));
        let mut both = violated(&send(&envoy, "POST", "/").await).as_array().unwrap().clone();
        both.sort_by_key(ToString::to_string);
        assert_eq!(both, ["all", "writes"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_what_it_is_about() {
    let config = limited(json!([
        { "name": "all", "quota": "100/year" },
        { "name": "writes", "quota": "100/year", "match": { "method": ["POST", "PUT"], "path": ["/", "/write/{id}"] },
          "when": "request.headers['x-dry-run'] != '1'" },
        { "name": "seven", "quota": "100/year", "match": { "path": "/items/{id}" }, "when": "path.id == '7'" },
        { "name": "acme", "quota": "100/year", "when": "consumer.name == 'acme' and consumer.plan == 'plan' and consumer.key_id == 'acme-1'" },
        { "name": "other", "quota": "100/year", "when": "consumer.name == 'other'" },
        { "name": "failing", "quota": "100/year", "match": { "path": "/fails" }, "when": "request.headers.nothing.nothing" },
    ]));
    let envoy = Envoy::start(listener(config)).await.unwrap();
    for (method, path, dry_run, expected) in [
        ("GET", "/", "0", &["all", "acme"][..]),
        ("POST", "/", "0", &["all", "writes", "acme"]),
        ("POST", "/", "1", &["all", "acme"]),
        ("PUT", "/write/1", "0", &["all", "writes", "acme"]),
        ("GET", "/write/1", "0", &["all", "acme"]),
        ("GET", "/items/7", "0", &["all", "seven", "acme"]),
        ("PUT", "/items/8", "0", &["all", "acme"]),
        ("GET", "/fails", "0", &["all", "acme", "failing"]),
    ] {
        let request =
            envoy.request(method, path).header("x-api-key", "acme-key").header("x-dry-run", dry_run);
        let response = request.send().await.unwrap();
        for field in ["ratelimit", "ratelimit-policy"] {
            let limits: Vec<_> = parse(one(&response, field)).into_iter().map(|(name, _)| name).collect();
            assert_eq!(limits, expected, "{method} {path} {dry_run}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_do_not_share_what_they_bought() {
    let plans = json!({ "plan": { "limits": [{ "name": "l", "quota": "2/year" }] }, "endless": {} });
    let config = document(plans, &[("acme", "plan"), ("apex", "plan"), ("omni", "endless")]);
    let two =
        json!([{ "id": "a", "sha256": sha256("acme-key") }, { "id": "b", "sha256": sha256("second-key") }]);
    let envoy = Envoy::start(listener(with(config, "/consumers/0/keys", two))).await.unwrap();
    for (key, status) in [
        ("acme-key", 200),
        ("second-key", 200),
        ("acme-key", 429),
        ("second-key", 429),
        ("apex-key", 200),
        ("apex-key", 200),
        ("apex-key", 429),
        ("omni-key", 200),
    ] {
        let response = envoy.get("/").header("x-api-key", key).send().await.unwrap();
        assert_eq!(response.status, status, "{key}");
        assert_eq!(response.header("ratelimit").is_some(), key != "omni-key");
    }
}

/// What the upstream, or Envoy in its place, answers makes no difference; what it says of limits of its own stays.
#[tokio::test(flavor = "multi_thread")]
async fn every_response_to_a_counted_request_has_the_limits() {
    let config = limited(json!([{ "name": "l", "quota": "100/year", "match": { "path": "/counted" } }]));
    let envoy = Envoy::start(listener(config)).await.unwrap();
    let own =
        json!([["ratelimit", "\"up\";r=1"], ["ratelimit", "\"up\";r=2"], ["ratelimit-policy", "\"up\";q=2"]]);
    let mut expected = 100;
    for client in [envoy.http1(), envoy.http2()] {
        for (reply, status) in [
            (json!({ "status": 200, "headers": own }), 200),
            (json!({ "status": 204 }), 204),
            (json!({ "status": 404, "body": "no" }), 404),
            (
                json!({ "status": 200, "chunks": ["a", "b"], "trailers": [["x-end", "1"]], "headers": own }),
                200,
            ),
            (json!({ "reset": true }), 503),
        ] {
            let send =
                |path: &str| client.get(path).header("x-api-key", "acme-key").upstream(reply.clone()).send();
            let own: &[_] = if reply["headers"].is_null() { &[] } else { &[("up", 1), ("up", 2)] };
            let response = send("/counted").await.unwrap();
            expected -= 1;
            let limits = names(&[own, &[("l", expected)]].concat());
            assert_eq!((response.status, left(&response)), (status, limits), "{reply}");
            let policies = response.headers.all("ratelimit-policy");
            assert_eq!(parse(policies.last().unwrap()), [member("l", &[("q", 100), ("w", 31_536_000)])]);
            // Without a limit that counted it, the response is the upstream's.
            let response = send("/other").await.unwrap();
            assert_eq!(response.headers.all("ratelimit").len(), own.len());
        }
    }
}

/// Windows follow the calendar of UTC.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_says_when_the_next_begins() {
    const DAY: u64 = 86_400;
    // 1970 began on a Thursday, three days after a Monday.
    let windows = [("m", 60, 0), ("h", 3_600, 0), ("d", DAY, 0), ("week", 7 * DAY, 3 * DAY), ("90s", 90, 0)];
    let limits = windows.map(|(per, ..)| json!({ "name": per, "quota": format!("9/{per}") }));
    let envoy = Envoy::start(listener(limited(json!(limits)))).await.unwrap();
    let more_in = |span: u64, shift: u64| span - (now().as_secs() + shift) % span;
    let before = windows.map(|(_, span, shift)| more_in(span, shift));
    let response = send(&envoy, "GET", "/").await;
    let (said, policy) = (parse(one(&response, "ratelimit")), parse(one(&response, "ratelimit-policy")));
    for (index, (per, span, shift)) in windows.into_iter().enumerate() {
        assert_eq!(policy[index], member(per, &[("q", 9), ("w", span)]));
        let (before, said, after) = (before[index], said[index].1["t"], more_in(span, shift));
        // A second or a window may have ended meanwhile.
        assert!(after > before || (after..=before).contains(&said), "{per}: {before}, {said}, {after}");
    }
}

/// Whoever waits as long as they were told to gets through.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_passes_after_the_time_it_was_told() {
    let limits = [
        ("a", json!([{ "name": "l", "rate": "1/s" }])),
        ("b", json!([{ "name": "l", "rate": "2/3s" }])),
        ("c", json!([{ "name": "l", "rate": "10/s", "burst": 3 }])),
        ("d", json!([{ "name": "l", "quota": "2/s" }])),
        ("e", json!([{ "name": "l", "quota": "1/3s" }])),
        ("f", json!([{ "name": "l", "rate": "7/s", "burst": 2 }, { "name": "m", "quota": "3/2s" }])),
    ];
    let plans: serde_json::Map<_, _> =
        limits.iter().map(|(name, limits)| ((*name).to_owned(), json!({ "limits": limits }))).collect();
    let consumers = limits.each_ref().map(|(name, _)| (*name, *name));
    let envoy = Envoy::start(listener(document(plans.into(), &consumers))).await.unwrap();
    let mut clients = JoinSet::new();
    for (name, _) in consumers {
        let (client, key) = (envoy.http1(), format!("{name}-key"));
        clients.spawn(async move {
            for _ in 0..3 {
                let refused = loop {
                    let response = client.get("/").header("x-api-key", &key).send().await.unwrap();
                    if response.status != 200 {
                        break response;
                    }
                };
                assert_eq!(refused.status, 429);
                let wait = one(&refused, "retry-after").parse().unwrap();
                assert!((1..=3).contains(&wait), "{wait}");
                // The wait is what is tested.
                tokio::time::sleep(Duration::from_secs(wait)).await;
                let response = client.get("/").header("x-api-key", &key).send().await.unwrap();
                assert_eq!(response.status, 200, "{key} after {wait} s: {refused:?}");
            }
        });
    }
    clients.join_all().await;
}
