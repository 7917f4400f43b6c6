//! Filters that decide by themselves.

use meshgate_e2e::{Config, json, lua, typed_filter};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn filters() {
    let any = json!({ "any": true });
    let always = json!({ "default_value": { "numerator": 100 } });
    let hundred = json!({ "numerator": 100 });
    let policies = json!({ "all": { "permissions": [any], "principals": [any] } });
    let users = "a:{SHA}hiOuO0Yf4wJc+W+P8p1ZTkmRXRs=";
    let basic = || {
        typed_filter("basic_auth", "basic_auth.v3.BasicAuth", json!({ "users": { "inline_string": users } }))
    };
    let keys =
        json!({ "credentials": [{ "key": "k", "client": "c" }], "key_sources": [{ "header": "x-key" }] });
    let api_keys = || typed_filter("api_key_auth", "api_key_auth.v3.ApiKeyAuth", keys.clone());
    let authorization =
        |value: &'static str| move |client: Client| client.get("/").header("authorization", value);
    let key = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": "c2VjcmV0" }] }).to_string();
    let issuer = json!({ "issuer": "https://issuer.example", "local_jwks": { "inline_string": key } });
    let required = json!([{ "match": { "prefix": "/" }, "requires": { "provider_name": "issuer" } }]);
    let dns = |name: &str, more: Value| {
        let resolver = json!({ "name": "envoy.network.dns_resolver.cares", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{ "socket_address": { "address": "127.0.0.1", "port_value": 1 } }],
            "query_timeout_seconds": 1, "query_tries": 1,
        } });
        let mut cache =
            json!({ "name": name, "dns_lookup_family": "V4_ONLY", "typed_dns_resolver_config": resolver });
        for (name, value) in more.as_object().unwrap() {
            cache[name] = value.clone();
        }
        cache
    };
    let forward = |cache: &Value| {
        let config = json!({ "dns_cache_config": cache });
        typed_filter("dynamic_forward_proxy", "dynamic_forward_proxy.v3.FilterConfig", config)
    };
    let any_host = |cache: &Value| {
        let config = json!({
            "@type": "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
            "dns_cache_config": cache,
        });
        json!({ "type": null, "load_assignment": null, "lb_policy": "CLUSTER_PROVIDED",
            "cluster_type": { "name": "envoy.clusters.dynamic_forward_proxy", "typed_config": config } })
    };
    let (unresolved, nameless, overfull) = (
        dns("unresolved", json!({})),
        dns("nameless", json!({})),
        dns("overfull", json!({ "dns_cache_circuit_breaker": { "max_pending_requests": 0 } })),
    );
    let known = json!([{ "address": "known.invalid", "port_value": 80 }]);
    let one_host = dns("one_host", json!({ "max_hosts": 1, "preresolve_hostnames": known }));
    let only_others = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute",
        "allowed_clients": ["other"],
    });
    let to_others = json!([{ "name": "all", "domains": ["*"],
        "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } }],
        "typed_per_filter_config": { "envoy.filters.http.api_key_auth": only_others } }]);
    let unknown_key = if minor_version() < 40 { "unkonwn_api_key" } else { "unknown_api_key" };
    let cases = [
        case("forbidden", 403, "access-denied", "rbac_access_denied_matched_policy[all]", "-").filter(typed_filter(
            "rbac",
            "rbac.v3.RBAC",
            json!({ "rules": { "action": "DENY", "policies": policies } }),
        )),
        case("not_allowed", 403, "access-denied", "rbac_access_denied_matched_policy[none]", "-").filter(
            typed_filter("rbac", "rbac.v3.RBAC", json!({ "rules": { "action": "ALLOW", "policies": {} } })),
        ),
        case("no_token", 401, "invalid-token", "jwt_authn_access_denied{Jwt_is_missing}", "-").filter(typed_filter(
            "jwt_authn",
            "jwt_authn.v3.JwtAuthentication",
            json!({ "providers": { "issuer": issuer }, "rules": required }),
        )),
        case("no_password", 401, "invalid-credentials", "no_credential_for_basic_auth", "-").filter(basic()),
        case("password", 401, "invalid-credentials", "invalid_credential_for_basic_auth", "-")
            .filter(basic())
            .sends(authorization("Basic YTpi")),
        case("no_basic", 401, "invalid-credentials", "invalid_scheme_for_basic_auth", "-")
            .filter(basic())
            .sends(authorization("Bearer x")),
        case("no_colon", 401, "invalid-credentials", "invalid_format_for_basic_auth", "-")
            .filter(basic())
            .sends(authorization("Basic YQ==")),
        case("no_key", 401, "invalid-credentials", "missing_api_key", "-").filter(api_keys()),
        case("unknown_key", 401, "invalid-credentials", unknown_key, "-")
            .filter(api_keys())
            .sends(|client| client.get("/").header("x-key", "other")),
        case("other_key", 403, "access-denied", "client_not_allowed", "-")
            .filter(api_keys())
            .manager(json!({ "route_config": { "virtual_hosts": to_others } }))
            .sends(|client| client.get("/").header("x-key", "k")),
        case("origin", 403, "cross-site-request", "csrf_origin_mismatch", "-")
            .filter(typed_filter("csrf", "csrf.v3.CsrfPolicy", json!({ "filter_enabled": always })))
            .sends(|client| client.post("/").header("origin", "https://other.example")),
        case("fault", 503, "fault-injected", "fault_filter_abort", "FI").filter(typed_filter(
            "fault",
            "fault.v3.HTTPFault",
            json!({ "abort": { "http_status": 503, "percentage": hundred } }),
        )),
        case("delayed", 503, "fault-injected", "fault_filter_abort", "DI,FI").filter(typed_filter(
            "fault",
            "fault.v3.HTTPFault",
            json!({ "delay": { "fixed_delay": "0.01s", "percentage": hundred }, "abort": { "http_status": 503, "percentage": hundred } }),
        )),
        case("body", 413, "request-too-large", "request_payload_too_large", "-")
            .filter(typed_filter("buffer", "buffer.v3.Buffer", json!({ "max_request_bytes": 5 })))
            .sends(|client| client.post("/").body("more than that")),
        case("loop", 502, "gateway-error", "cdn_loop_detected", "-")
            .filter(typed_filter("cdn_loop", "cdn_loop.v3.CdnLoopConfig", json!({ "cdn_id": "us" })))
            .sends(|client| client.get("/").header("cdn-loop", "us")),
        case("no_loop", 400, "protocol-error", "invalid_cdn_loop_header", "-")
            .filter(typed_filter("cdn_loop", "cdn_loop.v3.CdnLoopConfig", json!({ "cdn_id": "us" })))
            .sends(|client| client.get("/").header("cdn-loop", "\"")),
        case("unresolved", 503, "dns-resolution-failure", "dns_resolution_failure{", "DF")
            .filter(forward(&unresolved))
            .cluster(1, any_host(&unresolved))
            .sends(|client| client.get("/").host("name.invalid")),
        case("nameless", 400, "protocol-error", "empty_host_header", "-")
            .filter(forward(&nameless))
            .cluster(1, any_host(&nameless))
            .sends(|client| client.get("/").host("")),
        case("overfull", 503, "upstream-overflow", "dynamic_forward_proxy_pending_request_overflow", "-")
            .filter(forward(&overfull))
            .cluster(1, any_host(&overfull))
            .sends(|client| client.get("/").host("name.invalid")),
        case("one_host", 503, "upstream-overflow", "dns_cache_overflow", "-")
            .filter(forward(&one_host))
            .cluster(1, any_host(&one_host))
            .sends(|client| client.get("/").host("name.invalid")),
        case("no_method", 503, "gateway-error", "filter_removed_required_request_headers", "DPE")
            .filter(lua("function envoy_on_request(handle) handle:headers():remove(':method') end")),
        case("unloaded", 503, "gateway-error", "wasm_fail_stream", "-").filter(typed_filter("wasm", "wasm.v3.Wasm", json!({ "config": {
            "name": "unloaded",
            "vm_config": { "runtime": "envoy.wasm.runtime.v8", "code": { "remote": {
                "http_uri": { "uri": "http://127.0.0.1:1/m.wasm", "cluster": "refused", "timeout": "1s" },
                "sha256": "0".repeat(64), "retry_policy": { "num_retries": 0 },
            } } },
        } }))),
        // Envoy says no details; the filter does.
        case("unready", 500, "filter-not-ready", "meshgate_error", "NFCF").filter(json!({
            "name": "unready",
            "config_discovery": {
                "config_source": { "path_config_source": { "path": "/dev/null" }, "initial_fetch_timeout": "0.1s", "resource_api_version": "V3" },
                "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer"],
            },
        })),
    ];
    let node = json!({ "node": { "id": "test", "cluster": "test" } });
    provoke(&cases, Config::new().merge(node).raw_cluster(super::cluster("refused", 1))).await;
}
