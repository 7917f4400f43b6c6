//! What the tests of this filter share.

use meshgate_e2e::{Config, Envoy, Listener, Response, Value, Wasm, json, typed_filter};

/// The name of the library and of the plugin.
pub const MODULE: &str = "error_response";

/// The filter with a document.
pub fn errors(document: Value) -> Wasm {
    Wasm::module(MODULE).config(document)
}

/// A listener with the filter first, whose access log has status, details and flags.
pub fn listener(document: Value) -> Listener {
    Listener::new()
        .filter(errors(document))
        .access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%")
}

/// An Envoy with a route for every way in which it fails by itself.
pub fn failing(document: Value) -> Config {
    let route = |path: &str, action: Value| json!({ "match": { "prefix": path }, "route": action });
    let denied = json!({ "any": true });
    let rbac = json!({ "rules": { "action": "DENY", "policies": {
        "secret-policy": { "permissions": [denied], "principals": [denied] },
    } } });
    let message = |name: &str| format!("type.googleapis.com/envoy.extensions.filters.http.{name}");
    let mut forbidden = route("/forbidden", json!({ "cluster": "upstream" }));
    forbidden["typed_per_filter_config"] =
        json!({ "envoy.filters.http.rbac": { "@type": message("rbac.v3.RBACPerRoute"), "rbac": rbac } });
    let mut fault = route("/fault", json!({ "cluster": "upstream" }));
    fault["typed_per_filter_config"] = json!({ "envoy.filters.http.fault": {
        "@type": message("fault.v3.HTTPFault"), "abort": { "http_status": 418, "percentage": { "numerator": 100 } },
    } });
    let mut limited = route("/limited", json!({ "cluster": "upstream" }));
    let always = json!({ "default_value": { "numerator": 100 } });
    limited["typed_per_filter_config"] = json!({ "envoy.filters.http.local_ratelimit": {
        "@type": message("local_ratelimit.v3.LocalRateLimit"), "stat_prefix": "limited",
        "token_bucket": { "max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s" },
        "filter_enabled": always, "filter_enforced": always,
    } });
    let retry = json!({ "retry_on": "connect-failure", "num_retries": 1 });
    let listener = listener(document)
        .filter(typed_filter("fault", "fault.v3.HTTPFault", json!({})))
        .filter(typed_filter("rbac", "rbac.v3.RBAC", json!({})))
        .filter(typed_filter("local_ratelimit", "local_ratelimit.v3.LocalRateLimit", json!({ "stat_prefix": "all" })))
        .filter(meshgate_e2e::lua(
            "function envoy_on_request(handle)
               if handle:headers():get(':path') == '/lua' then handle:respond({ [':status'] = '403' }, 'on purpose') end
             end",
        ))
        .direct_response("/direct", 503, "on purpose")
        .route(json!({ "match": { "prefix": "/missing", "headers": [{ "name": "x-never", "present_match": true }] }, "route": { "cluster": "upstream" } }))
        .route(json!({ "match": { "prefix": "/moved" }, "redirect": { "path_redirect": "/new" } }))
        .route(route("/unhealthy", json!({ "cluster": "empty" })))
        .route(route("/nocluster", json!({ "cluster_header": "x-none" })))
        .route(route("/refused", json!({ "cluster": "refused" })))
        .route(route("/retried", json!({ "cluster": "refused", "retry_policy": retry })))
        .route(route("/slow", json!({ "cluster": "upstream", "timeout": "0.2s" })))
        .route(route("/full", json!({ "cluster": "full" })))
        .route(forbidden)
        .route(fault)
        .route(limited);
    let cluster = |name: &str, endpoints: Value| {
        json!({ "name": name, "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": { "cluster_name": name, "endpoints": endpoints } })
    };
    let nobody = json!([{ "lb_endpoints": [{ "endpoint": { "address": {
        "socket_address": { "address": "127.0.0.1", "port_value": 1 } } } }] }]);
    let mut full = cluster("full", nobody.clone());
    full["circuit_breakers"] =
        json!({ "thresholds": [{ "max_connections": 0, "max_pending_requests": 0, "max_requests": 0 }] });
    Config::from(listener)
        .raw_cluster(cluster("empty", json!([])))
        .raw_cluster(cluster("refused", nobody))
        .raw_cluster(full)
}

/// Checks that a response is a problem of this type, and returns it.
#[track_caller]
pub fn problem(response: &Response, status: u16, kind: &str) -> Value {
    assert_eq!(
        (response.status, response.header("content-type")),
        (status, Some("application/problem+json"))
    );
    let problem = response.json();
    assert_eq!((&problem["type"], &problem["status"]), (&json!(kind), &json!(status)), "{problem}");
    assert!(problem["title"].is_string(), "{problem}");
    assert_eq!(response.headers.all("content-length"), [response.body.len().to_string()]);
    problem
}

/// No callback has failed, and the filter still answers.
pub async fn assert_alive(envoy: &Envoy) {
    let log = envoy.log();
    for failure in ["Function: ", "Wasm VM failed", "panicked", "Plugin configured to fail closed"] {
        assert!(!log.contains(failure), "{failure:?} in\n{log}");
    }
    let response =
        envoy.get("/alive").upstream(json!({ "status": 500, "body": "trace" })).send().await.unwrap();
    problem(&response, 500, "about:blank");
}
