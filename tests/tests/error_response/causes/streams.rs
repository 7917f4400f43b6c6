//! What takes too long, or too much at once: requests that stay open while others come.

use std::time::Duration;

use meshgate_e2e::{Config, Envoy, RawConnection, Reply, json, lua, raw, typed_filter};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn streams() {
    let percent = |value: u32| json!({ "default_value": { "value": value } });
    let concurrency = json!({ "gradient_controller_config": {
        "sample_aggregate_percentile": { "value": 50 },
        "concurrency_limit_params": { "concurrency_update_interval": "60s" },
        "min_rtt_calc_params": { "interval": "60s", "request_count": 1_000, "min_concurrency": 1 },
    } });
    let admission = json!({
        "sampling_window": "60s",
        "success_criteria": { "http_criteria": { "http_success_status": [{ "start": 200, "end": 300 }] } },
        "sr_threshold": percent(100), "max_rejection_probability": percent(100), "aggression": { "default_value": 1.0 },
    });
    let health = |fields: Value| typed_filter("health_check", "health_check.v3.HealthCheck", fields);
    let open = |client: Client| client.post("/").chunks(["a"; 1_000], Duration::from_secs(1));
    let cases = [
        case("overall", 408, "request-timeout", "request_overall_timeout", "-")
            .manager(json!({ "request_timeout": "0.2s" }))
            .sends(open),
        case("idle", 408, "stream-idle-timeout", "stream_idle_timeout", "SI")
            .manager(json!({ "stream_idle_timeout": "0.2s" }))
            .sends(open),
        case("duration", 408, "duration-timeout", "max_duration_timeout", "-")
            .manager(json!({ "common_http_protocol_options": { "max_stream_duration": "0.2s" } }))
            .sends(open),
        case("second", 503, "concurrency-limit", "reached_concurrency_limit", "-").filter(typed_filter(
            "adaptive_concurrency",
            "adaptive_concurrency.v3.AdaptiveConcurrency",
            concurrency,
        )),
        case("failing", 503, "concurrency-limit", "denied_by_admission_control", "-")
            .filter(typed_filter("admission_control", "admission_control.v3.AdmissionControl", admission))
            .upstream(json!({ "status": 500 })),
        case("ending", 503, "local-health-check-failed", "health_check_failed", "LH")
            .filter(health(json!({ "pass_through_mode": false }))),
        case("websocket", 503, "about:blank", "via_upstream", "-")
            .manager(json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] }))
            .sends(|client| {
                let request = client.get("/").header("connection", "upgrade").header("upgrade", "websocket");
                request.upstream(json!({ "status": 503, "headers": [["x-why", "1"]], "body": "trace" }))
            }),
    ];
    let envoy = start(&cases, Config::new()).await;
    let client = |name: &str| Client::http1(envoy.addr_of(name));

    // One request at a time, and the second comes while the first is under way.
    let (_body, first) = client("second").post("/").stream();
    let first = tokio::spawn(first.send());
    envoy.wait_for_stat("cluster.upstream.upstream_rq_active", |active| active == 1).await.unwrap();
    envoy.admin_post("/healthcheck/fail").await.unwrap();
    let (mut wrong, mut sent) = (vec![], 0);
    for case in &cases {
        let mut response = case.send(&envoy).await;
        sent += 1;
        // Where all requests fail nearly all are refused, after the first.
        while response.status == 500 {
            response = case.send(&envoy).await;
            sent += 1;
        }
        wrong.extend(case.differs(&response));
    }
    wrong.extend(differences_in_logs(&envoy, &cases, sent).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
    first.abort();

    // What the upstream says to an upgrade that it does not take is the upstream's.
    let request = client("websocket").get("/").header("connection", "upgrade").header("upgrade", "websocket");
    let response =
        request.upstream(json!({ "status": 401, "headers": [["x-why", "1"]] })).send().await.unwrap();
    assert_eq!((response.status, response.header("x-why")), (401, Some("1")));
}

/// What Envoy refuses before a filter has the request, and what it says in place of a response whose head has passed: the
/// answer is Envoy's own. `meshgate render local-reply` is for these.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_filter_sees() {
    let listener = |name: &str, manager: Value| {
        Listener::named(name)
            .filter(errors(json!({ "log": "all" })))
            .access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%")
            .connection_manager(manager)
    };
    let config = Config::from(listener("plain", json!({})))
        .listener(
            listener("large", json!({}))
                .filter(lua("function envoy_on_response(handle) handle:body() end"))
                .buffer_limit(1_000),
        )
        .listener(listener("normal", json!({ "normalize_path": true })))
        .listener(listener("headers", json!({ "request_headers_timeout": "0.1s" })));
    let envoy = Envoy::start(config).await.unwrap();
    let cases = [
        ("large", "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "500 response_payload_too_large"),
        ("plain", "GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "400 missing_host_header"),
        ("plain", "GET / HTTP/1.0\r\nhost: a\r\n\r\n", "426 low_version"),
        ("plain", "GET x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "400 http1.codec_error"),
        (
            "plain",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n",
            "403 upgrade_failed",
        ),
        (
            "normal",
            "GET /%00 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            "400 path_normalization_failed",
        ),
    ];
    envoy.upstream().respond(Reply::status(200).chunks(["x".repeat(50_000), "x".repeat(50_000)]));
    for (listener, request, _) in cases {
        let response = raw(envoy.addr_of(listener), request).await.unwrap();
        let text = String::from_utf8_lossy(&response);
        assert!(!text.contains("problem"), "{request:?}: {text}");
    }
    let log = envoy.wait_for_access_log(cases.len()).await.unwrap();
    for ((_, request, expected), line) in cases.iter().zip(&log) {
        assert!(line.starts_with(expected), "{request:?}: not {expected}: {log:#?}");
    }
    let mut slow = RawConnection::open(envoy.addr_of("headers")).await.unwrap();
    slow.write("GET / HTTP/1.1\r\n").await.unwrap();
    let text = String::from_utf8_lossy(&slow.read_to_end().await.unwrap()).into_owned();
    assert!(text.starts_with("HTTP/1.1 408 ") && !text.contains("problem"), "{text}");
    let log = envoy.wait_for_access_log(cases.len() + 1).await.unwrap();
    assert_eq!(log.last().unwrap(), "408 request_header_timeout");
}
