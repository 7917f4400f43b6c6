//! What stages do together, and what becomes of their answers.

use meshgate_e2e::{Config, Envoy, Reply, burst, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn all_policies_have_their_say() {
    let document = all(json!({"name": "burst", "rate": "1/m", "burst": 2}));
    for envoy in [start(document.clone()).await, start_http2(document).await] {
        let client = envoy.http2();
        let refused = client.get("/").send().await.unwrap();
        assert_eq!((refused.status, refused.header("content-type")), (401, Some("application/problem+json")));
        assert!(envoy.upstream().requests().is_empty());

        let body = format!(r#"{{"card":"{CARD}","internal":{{"db":7}},"price":1.10}}"#);
        for _ in 0..2 {
            let response = get(&client, &envoy, json_reply(&body)).await;
            assert_eq!(response.status, 200);
            assert_eq!(response.text(), format!(r#"{{"card":"{MASKED}","price":1.10}}"#));
            assert_eq!(response.header("x-edited"), Some("1"));
            assert!(response.header("ratelimit").is_some());
        }
        let got = envoy.upstream().requests().pop().unwrap();
        assert_eq!((got.header("x-team"), got.header("x-api-key")), (Some("ops"), None));
        assert_eq!(got.header("x-consumer-name"), Some("acme"));

        let over = get(&envoy.http1(), &envoy, json_reply("{}")).await;
        assert_eq!((over.status, over.header("content-type")), (429, Some("application/problem+json")));
        assert!(over.header("retry-after").is_some() && over.header("x-edited").is_none());
        let logged = envoy.wait_for_access_log(4).await.unwrap();
        assert!(logged[0].starts_with("401 meshgate_key_missing"), "{logged:?}");
        assert!(logged[3].starts_with("429 meshgate_limit_exceeded"), "{logged:?}");
        assert_well(&envoy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_upstream_and_of_stages_get_one_form() {
    let block = json!({"rules": [{"find": "payment.card", "in": "response.body", "do": "block"}],
        "allow_on_headers_stop_iteration": true});
    let forms = json!({"rules": [{"match": {"status": "5xx"}, "respond": {"title": "Ours"}}]});
    let envoy = start(
        json!({"pipeline": [{"error-response": forms}, {"api-key-quota": quota(wide())}, {"dlp": block}]}),
    )
    .await;
    let client = envoy.http1();
    let trace = Reply::status(500).header("content-type", "text/plain").body("Exception at line 7");
    let response = get(&client, &envoy, trace).await;
    assert_eq!(response.status, 500);
    assert!(
        response.text().contains("\"Ours\"") && !response.text().contains("line 7"),
        "{}",
        response.text()
    );
    assert!(response.header("ratelimit").is_some(), "fields of stages behind stay or are set");

    // An answer in place of a response passes the stages in front.
    let response = get(&client, &envoy, json_reply(&format!(r#"{{"card":"{CARD}"}}"#))).await;
    assert_eq!(response.status, 502);
    assert!(response.text().contains("\"Ours\""), "{}", response.text());
    let response = get(&client, &envoy, json_reply("{}")).await;
    assert_eq!((response.status, response.text()), (200, "{}"));
    let logged = envoy.wait_for_access_log(3).await.unwrap();
    assert!(logged[1].starts_with("502 meshgate_dlp_response_blocked"), "{logged:?}");
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_of_one_policy_stand_side_by_side() {
    let set = |name: &str| json!({"rules": [{"request": [{"append": {"header": "x-seen", "to": name}}]}]});
    let envoy = start(json!({"pipeline": [
        {"name": "v1", "match": {"path": "/v1/{rest...}"}, "api-key-quota": quota(json!({"name": "a", "rate": "1/m", "burst": 1}))},
        {"name": "v2", "match": {"path": "/v2/{rest...}"}, "api-key-quota": quota(wide())},
        {"name": "one", "match": {"path": "/v1/{rest...}"}, "transform": set("one")},
        {"name": "two", "transform": set("two")},
    ]}))
    .await;
    for (path, status, seen) in [
        ("/v1/a", 200, vec!["one", "two"]),
        ("/v1/a", 429, vec![]),
        ("/v2/a", 200, vec!["two"]),
        ("/v2/a", 200, vec!["two"]),
    ] {
        envoy.upstream().forget_requests();
        assert_eq!(with_key(envoy.get(path)).send().await.unwrap().status, status, "{path}");
        let got = envoy.upstream().requests().pop();
        assert_eq!(
            got.map_or(vec![], |got| got.headers.all("x-seen").into_iter().map(str::to_owned).collect()),
            seen
        );
    }
    // Nobody evades a guard by a path that servers read in several ways.
    for path in ["/v1;x/a", "/v1%2Fa"] {
        let status = envoy.get(path).send().await.unwrap().status;
        assert!(matches!(status, 400 | 401), "{path}: {status}");
    }
    assert_eq!(envoy.stat("wasmcustom.meshgate.stage.v1.quota.allowed").await.unwrap(), 1);
    assert_eq!(envoy.stat("wasmcustom.meshgate.stage.v2.quota.allowed").await.unwrap(), 2);
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_exact_over_four_workers() {
    let limit = json!({"name": "hourly", "quota": "100/h"});
    let envoy = Envoy::start(Config::from(listener(all(limit))).concurrency(4)).await.unwrap();
    let statuses = burst(&envoy.http1(), 16, 300, |client, _| async move {
        Ok(with_key(client.get("/")).send().await?.status)
    })
    .await
    .unwrap();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 100);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 200);
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_documents_are_refused_with_their_place() {
    for (document, expected) in [
        (
            json!({"pipeline": [{"error-response": {}}, {"api-key-quota": {"plans": {"free": {"limits": [{"name": "a", "rate": "x"}]}}}}]}),
            "pipeline[1].api-key-quota.plans.free.limits[0].rate: found \"x\"",
        ),
        (
            json!({"pipeline": [{"dlp": cards()}, {"dlp": cards()}]}),
            "pipeline[1]: found a second stage that is called \"dlp\"",
        ),
        (json!({"pipeline": [{}]}), "pipeline[0]: found a stage without a policy"),
    ] {
        let log = Envoy::refused(listener(document)).await.unwrap();
        assert!(log.contains(expected), "{expected}\n{log}");
    }
}
