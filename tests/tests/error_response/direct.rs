//! Answers that need no upstream.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshgate_e2e::{Envoy, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn direct_responses_and_redirects_need_no_upstream() {
    let large = "x".repeat(50_000);
    let document = json!({ "direct": [
        { "match": { "path": "/large" }, "respond": { "status": 203, "body": large, "headers": { "x-a": "{{ request.method }}" } } },
        { "match": { "path": "/u/{id}", "method": "GET" }, "redirect": { "to": "/users/{{ path.id }}", "status": 308, "keep_query": true } },
        { "match": { "path": "/top" }, "redirect": { "to": "/new?x=1#top", "keep_query": true } },
        { "match": { "path": { "prefix": "/blog" } }, "redirect": { "to": "https://blog.example", "keep_path": true, "status": 301 } },
        { "match": { "path": "/open" }, "redirect": { "to": "/{{ request.query.to }}" } },
        { "match": { "path": "/gone" }, "error": { "status": 410, "type": "gone" } },
    ] });
    let envoy = Envoy::start(listener(document)).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        let response = client.post("/large").body("a body").send().await.unwrap();
        assert_eq!(
            (response.status, response.text(), response.header("x-a")),
            (203, large.as_str(), Some("POST"))
        );
        let head = client.request("HEAD", "/large").send().await.unwrap();
        assert_eq!((head.body.len(), head.header("content-length")), (0, Some("50000")));
        for (path, status, location) in [
            ("/u/7?a=1", 308, Some("/users/7?a=1")),
            ("/u/a%2Fb%0d", 308, None),
            ("/blog//x", 301, Some("https://blog.example/blog//x")),
            ("/top?a=1", 302, Some("/new?x=1&a=1#top")),
            ("/open?to=x", 302, Some("/x")),
            ("/open?to=/evil.example", 400, None),
        ] {
            let response = client.get(path).send().await.unwrap();
            match location {
                Some(location) => {
                    assert_eq!((response.status, response.header("location")), (status, Some(location)))
                }
                None => assert_eq!((response.status, response.header("location")), (400, None), "{path}"),
            }
        }
        let gone = client.get("/gone").header("accept", "text/html").send().await.unwrap();
        assert_eq!((gone.status, gone.header("content-type")), (410, Some("text/html; charset=utf-8")));
        problem(&client.get("/gone").send().await.unwrap(), 410, "urn:meshgate:problem:gone");
    }
    assert!(envoy.upstream().requests().is_empty());
    assert_eq!(envoy.stat("wasmcustom.meshgate.errors.direct").await.unwrap(), 8);
}

/// RFC 3339 of a moment.
fn instant(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil from days, after Howard Hinnant's description of the proleptic Gregorian calendar.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_begins_and_ends_by_itself() {
    let now = SystemTime::now();
    let (soon, later) = (now + Duration::from_secs(3), now + Duration::from_secs(3_600));
    let document = json!({ "maintenance": [
        { "match": { "path": { "prefix": "/ending" } }, "until": instant(soon) },
        { "match": { "path": { "prefix": "/planned" } }, "from": instant(later) },
        { "match": { "path": { "prefix": "/now" } }, "from": "2020-01-01T00:00:00+02:00", "until": instant(later),
          "allow": [{ "header": { "x-tester": "1" } }, { "cookie": { "preview": { "present": true } } }] },
        { "match": { "path": { "prefix": "/local" } }, "allow_sources": ["127.0.0.0/8"] },
        { "match": { "path": { "prefix": "/weekly" } }, "weekly": { "from": "00:00", "until": "00:00" } },
    ] });
    let envoy = Envoy::start(listener(document)).await.unwrap();
    for client in [envoy.http1(), envoy.http2()] {
        for (path, header, status) in [
            ("/now/a", ("x-a", "1"), 503),
            ("/now/a", ("x-tester", "1"), 200),
            ("/now/a", ("cookie", "preview=x"), 200),
            ("/planned", ("x-a", "1"), 200),
            ("/local", ("x-a", "1"), 200),
            ("/weekly", ("x-a", "1"), 503),
            ("/", ("x-a", "1"), 200),
        ] {
            let response = client.get(path).header(header.0, header.1).send().await.unwrap();
            assert_eq!(response.status, status, "{path} {header:?}");
        }
        let response = client.get("/now").send().await.unwrap();
        problem(&response, 503, "urn:meshgate:problem:maintenance");
        let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
        assert!((3_500..=3_600).contains(&wait), "{wait}");
        let call = client.post("/now").header("content-type", "application/grpc").send().await.unwrap();
        assert_eq!((call.status, call.header("grpc-status")), (200, Some("14")));
    }
    // It ends while requests come.
    let passes = async {
        while envoy.get("/ending").send().await.unwrap().status == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), passes).await.unwrap();
    assert!(SystemTime::now() >= soon - Duration::from_secs(1));
}
