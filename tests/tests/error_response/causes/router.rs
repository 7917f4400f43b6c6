//! The router, and what it finds behind it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use meshgate_e2e::{Config, RawUpstream, Upstream, json};
use socket2::{Domain, Socket, Type};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_router() {
    let upstream = Upstream::start().await.unwrap();
    let garbage = RawUpstream::start("garbage\r\n\r\n").await.unwrap();
    let deaf = Deaf::new();
    let options = |fields: Value| {
        let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let mut options = json!({ "@type": format!("type.googleapis.com/{name}") });
        options.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({ "typed_extension_protocol_options": { name: options } })
    };
    let http2 = options(json!({ "explicit_http_config": { "http2_protocol_options": {} } }));
    let limited_time = options(json!({
        "common_http_protocol_options": { "max_stream_duration": "0.1s" },
        "explicit_http_config": { "http_protocol_options": {} },
    }));
    let drop = |percent: u32| {
        let dropped = json!({ "category": "all", "drop_percentage": { "numerator": percent, "denominator": "MILLION" } });
        let mut assignment = super::cluster("dropped", 1)["load_assignment"].clone();
        assignment["policy"] = json!({ "drop_overloads": [dropped] });
        json!({ "load_assignment": assignment })
    };
    let nowhere = json!({ "source_address": { "address": "192.0.2.1", "port_value": 0 } });
    let full = json!([{ "max_connections": 0, "max_pending_requests": 0, "max_requests": 0 }]);
    let tried = |again: serde_json::Value| json!({ "cluster": "upstream", "retry_policy": again });
    let slow = json!({ "delay_ms": 20_000 });
    let failure = "upstream-connection-failure";
    let cases = [
        case("no_route", 404, "route-not-found", "route_not_found", "NR").manager(
            json!({ "route_config": { "virtual_hosts": [{ "name": "none", "domains": ["other"], "routes": [] }] } }),
        ),
        case("no_host", 503, "no-healthy-upstream", "no_healthy_upstream", "UH")
            .cluster(1, json!({ "load_assignment": { "cluster_name": "no_host" } })),
        case("no_cluster", 503, "cluster-not-found", "cluster_not_found", "NC")
            .route(json!({ "cluster_header": "x-none" })),
        case("refused", 503, failure, "upstream_reset_before_response_started{remote_connection_failure", "UF")
            .cluster(1, json!({})),
        case("retried", 503, failure, "upstream_reset_before_response_started{remote_connection_failure", "UF,URX")
            .route(json!({ "cluster": "refused", "retry_policy": { "retry_on": "connect-failure", "num_retries": 1 } })),
        case("unbound", 503, failure, "upstream_reset_before_response_started{local_connection_failure", "UF")
            .cluster(1, json!({ "upstream_bind_config": nowhere })),
        case("deaf", 503, failure, "upstream_reset_before_response_started{connection_timeout", "UF")
            .cluster(deaf.port(), json!({ "connect_timeout": "0.2s" })),
        case("terminated", 503, "upstream-connection-termination", "upstream_reset_before_response_started{connection_termination", "UC")
            .upstream(json!({ "reset": true })),
        case("reset", 503, "upstream-reset", "upstream_reset_before_response_started{remote_reset", "UR")
            .cluster(upstream.addr().port(), http2)
            .upstream(json!({ "reset": true })),
        case("garbage", 502, "upstream-protocol-error", "upstream_reset_before_response_started{protocol_error", "UPE")
            .cluster(garbage.addr().port(), json!({})),
        case("full", 503, "upstream-overflow", "upstream_reset_before_response_started{overflow", "UO")
            .cluster(1, json!({ "circuit_breakers": { "thresholds": full } })),
        case("slow", 504, "upstream-timeout", "response_timeout", "UT")
            .route(json!({ "cluster": "upstream", "timeout": "0.1s" }))
            .upstream(slow.clone()),
        case("slow_try", 504, "upstream-timeout", "upstream_per_try_timeout", "UT")
            .route(tried(json!({ "per_try_timeout": "0.1s" })))
            .upstream(slow.clone()),
        case("idle_try", 504, "upstream-timeout", "upstream_per_try_idle_timeout", "UT")
            .route(tried(json!({ "per_try_idle_timeout": "0.1s" })))
            .upstream(slow.clone()),
        case("too_long", 504, "upstream-max-stream-duration", "upstream_max_stream_duration_reached", "UMSDR")
            .cluster(upstream.addr().port(), limited_time)
            .upstream(slow.clone()),
        case("maintained", 503, "maintenance", "maintenance_mode", "UO").cluster(1, json!({})),
        // One in a million gets through.
        case("dropped", 503, "drop-overload", "drop_overload", "DO").cluster(1, drop(999_999)),
        case("all_dropped", 503, "drop-overload", "unconditional_drop_overload", "UDO").cluster(1, drop(1_000_000)),
        case("strict", 400, "invalid-gateway-headers", "request_headers_failed_strict_check", "IH")
            .router(json!({ "strict_check_headers": ["x-envoy-upstream-rq-timeout-ms"] }))
            // Else it takes no such header from clients.
            .manager(json!({ "use_remote_address": true, "internal_address_config": { "cidr_ranges": [{ "address_prefix": "127.0.0.0", "prefix_len": 8 }] } }))
            .sends(|client| client.get("/").header("x-envoy-upstream-rq-timeout-ms", "soon")),
    ];
    let runtime = json!({ "layered_runtime": { "layers": [{ "name": "test", "static_layer": {
        "upstream.maintenance_mode.maintained": 100,
    } }] } });
    provoke(&cases, Config::new().merge(runtime)).await;
}

/// A port of which no connection comes to be: its queue is full.
struct Deaf {
    socket: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Deaf {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let socket = TcpListener::from(socket);
        let address = socket.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
        let queued = std::iter::from_fn(connect).collect();
        Self { socket, _queued: queued }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }
}
