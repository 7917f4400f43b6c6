//! Which route a rewritten request takes.

use meshgate_e2e::{Config, Envoy, Listener, Upstream, Value, json, paths, typed_filter};

use crate::support::*;

/// Two routes, by path and by header, in front of the one that takes all else: each says in a response header that it was taken.
fn routed(listener: Listener) -> Listener {
    let route = |name: &str, condition: Value| {
        json!({
            "match": condition,
            "route": { "cluster": "upstream" },
            "response_headers_to_add": [{ "header": { "key": "x-route", "value": name } }],
        })
    };
    listener.route(route("path", json!({ "prefix": "/new" }))).route(route(
        "header",
        json!({ "prefix": "/", "headers": [{ "name": "x-tenant", "string_match": { "exact": "acme" } }] }),
    ))
}

fn rules() -> Value {
    json!({ "rules": [
        { "match": { "path": "/old/{rest...}" }, "request": [{ "set": { "path": "/new/{rest...}" } }] },
        { "match": { "path": "/orders" },
          "request": [
              { "copy": { "from": { "json": "/tenant" }, "to": { "header": "x-tenant" } } },
              { "set": { "json": "/seen", "to": true } },
          ],
          "response": [{ "set": { "json": "/seen", "to": true } }] },
    ], "allow_on_headers_stop_iteration": true })
}

/// Envoy chooses the route again after each change of a request header.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_routed_by_what_rules_made_of_it() {
    let envoy = Envoy::start(routed(listener(rules()))).await.unwrap();
    for client in clients(&envoy) {
        let response = client.get("/old/a").send().await.unwrap();
        assert_eq!((response.header("x-route"), response.echo().path.as_str()), (Some("path"), "/new/a"));
        let order = client.post("/orders").json(&json!({ "tenant": "acme" })).send().await.unwrap();
        assert_eq!(order.header("x-route"), Some("header"));
        let order = client.post("/orders").json(&json!({ "tenant": "other" })).send().await.unwrap();
        assert_eq!(order.header("x-route"), None);
        assert_eq!(envoy.upstream().requests().last().unwrap().header("x-tenant"), Some("other"));
    }
}

/// As an upstream filter it runs when the route has been chosen.
#[tokio::test(flavor = "multi_thread")]
async fn behind_the_router_the_route_stays() {
    let upstream = Upstream::start().await.unwrap();
    let text =
        json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": rules().to_string() });
    let code = json!({ "local": { "filename": paths::module(MODULE).unwrap() } });
    let plugin = json!({
        "name": MODULE,
        "vm_config": { "runtime": "envoy.wasm.runtime.v8", "code": code },
        "configuration": text,
        "allow_on_headers_stop_iteration": true,
    });
    let filter = typed_filter("wasm", "wasm.v3.Wasm", json!({ "config": plugin }));
    let codec = typed_filter("upstream_codec", "upstream_codec.v3.UpstreamCodec", json!({}));
    let cluster = json!({
        "name": "filtered",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": "filtered", "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": {
            "socket_address": { "address": "127.0.0.1", "port_value": upstream.addr().port() } } } }] }] },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http_protocol_options": {} },
            "http_filters": [filter, codec],
        } },
    });
    let listener = Listener::new()
        .route(json!({ "match": { "prefix": "/new" }, "direct_response": { "status": 404 } }))
        .route(json!({ "match": { "prefix": "/" }, "route": { "cluster": "filtered" } }));
    let envoy = Envoy::start(Config::from(listener).raw_cluster(cluster)).await.unwrap();
    let response = envoy.get("/old/a").send().await.unwrap();
    assert_eq!((response.status, response.echo().path.as_str()), (200, "/new/a"));
    // Bodies are rewritten there as well.
    let reply = json!({ "headers": [["content-type", "application/json"]], "body": "{\"b\":2}" });
    let order = envoy.post("/orders").json(&json!({ "tenant": "acme" })).upstream(reply);
    assert_eq!(order.send().await.unwrap().text(), "{\"b\":2,\"seen\":true}");
    let got = &upstream.requests()[1];
    assert_eq!((got.header("x-tenant"), got.text()), (Some("acme"), "{\"tenant\":\"acme\",\"seen\":true}"));
    let broken = envoy.post("/orders").header("content-type", "application/json").body("{");
    assert_problem(&broken.send().await.unwrap(), 400);
}
