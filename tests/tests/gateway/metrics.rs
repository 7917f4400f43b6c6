//! Counters of stages with a name: labels for Prometheus, by what the bootstraps tell Envoy.

use meshgate_e2e::{Config, Envoy, Value, json, paths};

use crate::support::*;

/// `stats_config` of a file: of a bootstrap, or of what Istio merges into one.
fn stats_config(file: &str) -> Value {
    let text = std::fs::read_to_string(paths::workspace().join(file)).unwrap();
    let document: Value = yaml_serde::from_str(&text).unwrap();
    let patch = document.pointer("/spec/configPatches/0/patch/value").unwrap_or(&document);
    patch["stats_config"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_with_a_name_have_labels() {
    let stats = stats_config("envoy-configs/meshgate.yaml");
    for other in ["envoy-configs/gateway.yaml", "istio/walkthrough/metrics.yaml"] {
        assert_eq!(stats_config(other), stats, "{other}");
    }
    let once = quota(json!({"name": "once", "rate": "1/d"}));
    let document = json!({"pipeline": [
        {"error-response": {}},
        {"match": {"path": "/partners"}, "name": "partners", "api-key-quota": once},
        {"match": {"path": "/public"}, "api-key-quota": quota(wide())},
        {"name": "stage-2_x", "dlp": cards()},
    ]});
    let config = Config::from(listener(document)).merge(json!({ "stats_config": stats }));
    let envoy = Envoy::start(config).await.unwrap();
    envoy.upstream().respond(json_reply(&format!(r#"{{"card":"{CARD}"}}"#)));
    let mut statuses = Vec::new();
    for path in ["/partners", "/partners", "/public"] {
        statuses.push(with_key(envoy.get(path)).send().await.unwrap().status);
    }
    statuses.push(envoy.get("/partners").send().await.unwrap().status);
    assert_eq!(statuses, [200, 429, 200, 401]);
    let metrics = envoy.admin("/stats/prometheus?filter=meshgate").await.unwrap();
    for line in [
        r#"meshgate_quota_allowed{stage="partners"} 1"#,
        r#"meshgate_quota_denied{stage="partners",reason="limit"} 1"#,
        r#"meshgate_quota_denied{stage="partners",reason="key_missing"} 1"#,
        r#"meshgate_quota_plan_allowed{stage="partners",plan="free"} 1"#,
        r#"meshgate_quota_limit_denied{stage="partners",limit="once"} 1"#,
        r#"meshgate_dlp{stage="stage-2_x",action="mask",pack="payment"} 2"#,
        // A stage that is called what its policy is called has no such label.
        r#"meshgate_quota_plan_allowed{plan="free"} 1"#,
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line}\n{}", metrics.text());
    }
    assert_well(&envoy).await;
}
