//! Filters that ask a service, which is not there or says no.

use meshgate_e2e::{Config, Reply, Upstream, json, typed_filter};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn services() {
    let services = Upstream::start().await.unwrap();
    services.respond_with(|request| match request.path.as_str() {
        // `RateLimitResponse { overall_code: OVER_LIMIT }`
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit" => Some(grpc(&[8, 2])),
        // `CheckResponse { status: OK, ok_response: { headers: [{ header: { key: "x\n", value: "y" } }] } }`
        "/envoy.service.auth.v3.Authorization/Check" => {
            Some(grpc(b"\x0a\0\x1a\x0b\x12\x09\x0a\x07\x0a\x02x\n\x12\x01y"))
        }
        _ => Some(Reply::status(403)),
    });
    let over = |cluster: &str| json!({ "envoy_grpc": { "cluster_name": cluster }, "timeout": "5s" });
    let authz = |fields: Value| typed_filter("ext_authz", "ext_authz.v3.ExtAuthz", fields);
    let http = |cluster: &str| json!({ "http_service": { "server_uri": { "uri": "http://a", "cluster": cluster, "timeout": "5s" } } });
    let limits = |cluster: &str| {
        let config = json!({ "domain": "d", "failure_mode_deny": true,
            "rate_limit_service": { "grpc_service": over(cluster), "transport_api_version": "V3" } });
        typed_filter("ratelimit", "ratelimit.v3.RateLimit", config)
    };
    let limited = json!({ "cluster": "upstream", "rate_limits": [{ "actions": [{ "generic_key": { "descriptor_value": "x" } }] }] });
    let assigned = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings",
        "bucket_id_builder": { "bucket_id_builder": { "a": { "string_value": "b" } } },
        "no_assignment_behavior": { "fallback_rate_limit": { "blanket_rule": "DENY_ALL" } },
        "reporting_interval": "60s",
    });
    let quota = json!({
        "rlqs_server": over("services_http2"), "domain": "d",
        "bucket_matchers": { "on_no_match": { "action": { "name": "bucket", "typed_config": assigned } } },
    });
    let credential = json!({
        "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2",
        "token_endpoint": { "uri": "http://a/token", "cluster": "refused", "timeout": "1s" },
        "client_credentials": { "client_id": "us", "client_secret": { "name": "secret" } },
    });
    let login = json!({ "config": {
        "token_endpoint": { "uri": "http://a/token", "cluster": "refused", "timeout": "1s" },
        "authorization_endpoint": "https://login.example/authorize",
        "redirect_uri": "http://a/callback",
        "redirect_path_matcher": { "path": { "exact": "/callback" } },
        "signout_path": { "path": { "exact": "/signout" } },
        "credentials": { "client_id": "us", "token_secret": { "name": "secret" }, "hmac_secret": { "name": "secret" } },
    } });
    let cases = [
        case("denied", 403, "authorization-denied", "ext_authz_denied", "UAEX").filter(authz(http("services"))),
        case("unknown", 403, "authorization-error", "ext_authz_error", "UAEX").filter(authz(http("refused"))),
        case("invalid", 500, "authorization-error", "ext_authz_invalid", "UAEX").filter(authz(
            json!({ "grpc_service": over("services_http2"), "transport_api_version": "V3", "validate_mutations": true }),
        )),
        case("over_limit", 429, "rate-limited", "request_rate_limited", "RL")
            .filter(limits("services_http2"))
            .route(limited.clone()),
        case("no_limits", 500, "rate-limit-service-error", "rate_limiter_error", "RLSE")
            .filter(limits("refused"))
            .route(limited),
        case("over_quota", 429, "rate-limited", "rate_limited_by_quota", "RFCF").filter(typed_filter(
            "rate_limit_quota",
            "rate_limit_quota.v3.RateLimitQuotaFilterConfig",
            quota,
        )),
        case("unprocessed", 500, "gateway-error", "ext_proc_error", "-").filter(typed_filter(
            "ext_proc",
            "ext_proc.v3.ExternalProcessor",
            json!({ "grpc_service": over("refused") }),
        )),
        case("no_credential", 401, "gateway-error", "failed_to_inject_credential", "-").filter(typed_filter(
            "credential_injector",
            "credential_injector.v3.CredentialInjector",
            json!({ "credential": { "name": "oauth2", "typed_config": credential } }),
        )),
        // A sentence, which says no more than the status.
        case("no_login", 401, "about:blank", "OAuth_server_returned_an_error", "-")
            .filter(typed_filter("oauth2", "oauth2.v3.OAuth2", login))
            .sends(|client| client.get("/callback?error=access_denied")),
    ];
    // Before that it gave no details.
    let cases: Vec<_> =
        cases.into_iter().filter(|case| case.name != "over_quota" || minor_version() > 36).collect();
    let secret = json!({ "name": "secret", "generic_secret": { "secret": { "inline_string": "secret" } } });
    let config = Config::new()
        .merge(json!({ "static_resources": { "secrets": [secret] } }))
        .raw_cluster(super::cluster("refused", 1))
        .cluster("services", services.addr())
        .http2_cluster("services_http2", services.addr());
    provoke(&cases, config).await;
}

/// An answer of one message.
fn grpc(message: &[u8]) -> Reply {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0], &length[..], message].concat();
    Reply::status(200).header("content-type", "application/grpc").body(body).trailer("grpc-status", "0")
}
