//! What goes wrong in a proxy, as problem types (RFC 9457): what a client can be told about each of Envoy's response flags
//! and of its usual response code details, without a word about what is behind the proxy.
//!
//! A type's title and detail are the same each time. The table stands in the filter's README as well; a test compares them.

use std::borrow::Cow;

use crate::cause::Cause;
use crate::format::Document;

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The last part of the type's URI. Clients may depend on it: it never changes.
    pub name: &'static str,
    /// The status that Envoy gives it, unless it is told otherwise.
    pub status: u16,
    /// The type's title.
    pub title: &'static str,
    /// What happened and what to do about it.
    pub detail: &'static str,
    /// The response flags that mean it, by their short names.
    pub flags: &'static [&'static str],
    /// The response code details that mean it, without what they say of one time.
    pub details: &'static [&'static str],
}

/// Maintenance, which a filter can decide as well as Envoy.
pub const MAINTENANCE: Kind = Kind {
    name: "maintenance",
    status: 503,
    title: "Maintenance",
    detail: "The service is being worked on. Try again later.",
    flags: &[],
    details: &["maintenance_mode"],
};

/// All kinds. Of several flags the one that comes first here is the cause, and the others are what followed.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "route-not-found",
        status: 404,
        title: "Nothing Here",
        detail: "There is nothing at this address. Check the host, the path and the method.",
        flags: &["NR"],
        details: &["route_not_found", "route_configuration_not_found"],
    },
    Kind {
        name: "no-healthy-upstream",
        status: 503,
        title: "No Server Available",
        detail: "No server can take this request right now. Try again in a moment.",
        flags: &["UH"],
        details: &["no_healthy_upstream"],
    },
    Kind {
        name: "cluster-not-found",
        status: 503,
        title: "Service Not Set Up",
        detail: "The service behind this address is not set up. The operator of this API has to be told.",
        flags: &["NC"],
        details: &["cluster_not_found"],
    },
    Kind {
        name: "upstream-connection-failure",
        status: 503,
        title: "Service Not Reachable",
        detail: "The service could not be reached. Try again in a moment.",
        flags: &["UF"],
        details: &[
            "upstream_reset_before_response_started{remote_connection_failure}",
            "upstream_reset_before_response_started{local_connection_failure}",
            "upstream_reset_before_response_started{connection_timeout}",
            "sub_cluster_warming_timeout",
        ],
    },
    Kind {
        name: "upstream-connection-termination",
        status: 503,
        title: "Connection to the Service Lost",
        detail: "The service closed the connection before it answered. Whether the request was carried out is not known.",
        flags: &["UC"],
        details: &["upstream_reset_before_response_started{connection_termination}"],
    },
    Kind {
        name: "upstream-reset",
        status: 503,
        title: "Service Gave Up",
        detail: "The service gave up on this request before it answered. Whether the request was carried out is not known.",
        flags: &["UR", "LR"],
        details: &[
            "upstream_reset_before_response_started{remote_reset}",
            "upstream_reset_before_response_started{remote_refused_stream_reset}",
            "upstream_reset_before_response_started{local_reset}",
            "upstream_reset_before_response_started{local_refused_stream_reset}",
            "upstream_reset_before_response_started{remote_error_with_CONNECT_request}",
            "upstream_reset_before_response_started",
        ],
    },
    Kind {
        name: "upstream-overflow",
        status: 503,
        title: "Service Busy",
        detail: "The service has as many requests as it can take. Try again in a moment.",
        flags: &["UO"],
        details: &[
            "upstream_reset_before_response_started{overflow}",
            "dynamic_forward_proxy_pending_request_overflow",
            "dns_cache_overflow",
            "sub_cluster_overflow",
        ],
    },
    Kind {
        name: "upstream-timeout",
        status: 504,
        title: "Service Timed Out",
        detail: "The service did not answer in time. Whether the request was carried out is not known.",
        flags: &["UT"],
        details: &["response_timeout", "upstream_per_try_timeout", "upstream_per_try_idle_timeout"],
    },
    Kind {
        name: "upstream-protocol-error",
        status: 502,
        title: "Invalid Answer of the Service",
        detail: "The service answered with something that is not HTTP as it should be.",
        flags: &["UPE"],
        details: &[
            "upstream_reset_before_response_started{protocol_error}",
            "filter_removed_required_response_headers",
            "grpc_json_transcode_failure",
            "grpc_bridge_content_type_wrong",
            "grpc_bridge_content_length_missing",
            "grpc_bridge_content_length_wrong",
            "grpc_bridge_data_too_small",
        ],
    },
    Kind {
        name: "upstream-response-too-large",
        status: 500,
        title: "Answer Too Large",
        detail: "The answer of the service is too large to be passed on.",
        flags: &[],
        details: &["response_payload_too_large"],
    },
    Kind {
        name: "dns-resolution-failure",
        status: 503,
        title: "Service Not Found",
        detail: "The service could not be found. Try again in a moment.",
        flags: &["DF"],
        details: &["dns_resolution_failure"],
    },
    Kind {
        name: "upstream-max-stream-duration",
        status: 504,
        title: "Service Took Too Long",
        detail: "The service took longer than a request may take.",
        flags: &["UMSDR"],
        details: &["upstream_max_stream_duration_reached"],
    },
    MAINTENANCE,
    Kind {
        name: "drop-overload",
        status: 503,
        title: "Service Overloaded",
        detail: "The service has more requests than it can take, and some are turned away. Try again in a moment.",
        flags: &["DO", "UDO"],
        details: &["drop_overload", "unconditional_drop_overload"],
    },
    Kind {
        name: "overload",
        status: 503,
        title: "Gateway Overloaded",
        detail: "The gateway has more requests than it can take. Try again in a moment.",
        flags: &["OM"],
        details: &[
            "overload",
            "overload_error",
            "upstream_reset_before_response_started{overload_manager_reset}",
        ],
    },
    Kind {
        name: "concurrency-limit",
        status: 503,
        title: "Too Many Requests at Once",
        detail: "There are too many requests at the same time. Try again in a moment.",
        flags: &[],
        details: &["reached_concurrency_limit", "denied_by_admission_control"],
    },
    Kind {
        name: "rate-limited",
        status: 429,
        title: "Too Many Requests",
        detail: "You have sent too many requests. Wait before the next one.",
        flags: &["RL"],
        details: &["local_rate_limited", "request_rate_limited", "rate_limited_by_quota"],
    },
    Kind {
        name: "rate-limit-service-error",
        status: 500,
        title: "Rate Limits Unknown",
        detail: "It could not be found out whether this request is within its limits. Try again in a moment.",
        flags: &["RLSE"],
        details: &["rate_limiter_error"],
    },
    Kind {
        name: "authorization-denied",
        status: 403,
        title: "Authorization Denied",
        detail: "You may not do this with the credentials that you sent.",
        flags: &["UAEX"],
        details: &["ext_authz_denied"],
    },
    Kind {
        name: "authorization-error",
        status: 403,
        title: "Authorization Unknown",
        detail: "It could not be found out whether you may do this. Try again in a moment.",
        flags: &[],
        details: &["ext_authz_error", "ext_authz_invalid"],
    },
    Kind {
        name: "access-denied",
        status: 403,
        title: "Access Denied",
        detail: "You may not do this with the credentials that you sent.",
        flags: &[],
        details: &[
            "rbac_access_denied_matched_policy",
            "client_not_allowed",
            "rejecting_because_detection_failed",
        ],
    },
    Kind {
        name: "invalid-token",
        status: 401,
        title: "Invalid Token",
        detail: "A token that is missing, expired or not valid. Get a new one and send it as `Authorization: Bearer ...`.",
        flags: &[],
        details: &["jwt_authn_access_denied"],
    },
    Kind {
        name: "invalid-credentials",
        status: 401,
        title: "Invalid Credentials",
        detail: "The credentials are missing or not valid.",
        flags: &[],
        details: &[
            "invalid_credential_for_basic_auth",
            "no_credential_for_basic_auth",
            "invalid_format_for_basic_auth",
            "invalid_scheme_for_basic_auth",
            "missing_api_key",
            "unknown_api_key",
            // As Envoy before 1.40 spells it.
            "unkonwn_api_key",
        ],
    },
    Kind {
        name: "cross-site-request",
        status: 403,
        title: "Cross-Site Request",
        detail: "This request comes from a page of another origin that may not send it.",
        flags: &[],
        details: &["csrf_origin_mismatch"],
    },
    Kind {
        name: "fault-injected",
        status: 503,
        title: "Injected Fault",
        detail: "This answer is a test: it was made on purpose.",
        flags: &["FI"],
        details: &["fault_filter_abort"],
    },
    Kind {
        name: "delay-injected",
        status: 503,
        title: "Injected Delay",
        detail: "This request was delayed on purpose, as a test.",
        flags: &["DI"],
        details: &[],
    },
    Kind {
        name: "request-timeout",
        status: 408,
        title: "Request Timeout",
        detail: "The request did not come in time. Send it again, without pauses.",
        flags: &[],
        details: &["request_overall_timeout", "request_header_timeout"],
    },
    Kind {
        name: "stream-idle-timeout",
        status: 408,
        title: "Nothing Sent for Too Long",
        detail: "Nothing was sent for too long. Send the request again.",
        flags: &["SI"],
        details: &["stream_idle_timeout"],
    },
    Kind {
        name: "duration-timeout",
        status: 408,
        title: "Request Took Too Long",
        detail: "The request took longer than a request may take.",
        flags: &["DT"],
        details: &["max_duration_timeout"],
    },
    Kind {
        name: "request-too-large",
        status: 413,
        title: "Request Too Large",
        detail: "The body of the request is larger than this API takes.",
        flags: &[],
        details: &["request_payload_too_large", "request_payload_exceeded_retry_buffer_limit"],
    },
    Kind {
        name: "protocol-error",
        status: 400,
        title: "Malformed Request",
        detail: "The request is not HTTP as it should be.",
        flags: &["DPE"],
        details: &[
            "missing_host_header",
            "missing_path_rejected",
            "path_normalization_failed",
            "invalid_path",
            "absolute_path_rejected",
            "empty_host_header",
            "low_version",
            "early_connect_data",
            "invalid_cdn_loop_header",
            "early_grpc_json_transcode_failure",
        ],
    },
    Kind {
        name: "invalid-gateway-headers",
        status: 400,
        title: "Invalid Gateway Headers",
        detail: "A header that starts with x-envoy- has a value that it can't have.",
        flags: &["IH"],
        details: &["request_headers_failed_strict_check"],
    },
    Kind {
        name: "upgrade-failed",
        status: 403,
        title: "Upgrade Refused",
        detail: "The connection can't be upgraded here.",
        flags: &[],
        details: &["upgrade_failed"],
    },
    Kind {
        name: "local-health-check-failed",
        status: 503,
        title: "Gateway Shutting Down",
        detail: "This gateway is about to shut down. Try again.",
        flags: &["LH"],
        details: &[
            "health_check_failed",
            "health_check_failed_no_cluster_found",
            "health_check_failed_cluster_empty",
            "health_check_failed_cluster_unhealthy",
        ],
    },
    Kind {
        name: "filter-not-ready",
        status: 500,
        title: "Gateway Not Ready",
        detail: "The gateway is not ready for this request yet. Try again in a moment.",
        flags: &["NFCF"],
        details: &[],
    },
    Kind {
        name: "gateway-error",
        status: 500,
        title: "Gateway Error",
        detail: "The gateway could not process the request.",
        flags: &[],
        details: &[
            "wasm_fail_stream",
            "filter_removed_required_request_headers",
            "filter_added_invalid_request_data",
            "filter_added_invalid_response_data",
            "ext_proc_error",
            "failed_to_inject_credential",
            "cdn_loop_detected",
        ],
    },
    Kind {
        name: "client-disconnected",
        status: 499,
        title: "Client Gone",
        detail: "The client went away before there was an answer.",
        flags: &["DC", "DR"],
        details: &["downstream_remote_disconnect", "downstream_local_disconnect"],
    },
    Kind {
        name: "upstream-retry-limit",
        status: 503,
        title: "Retries Used Up",
        detail: "The service could not answer, and it has been tried again as often as it may be.",
        flags: &["URX"],
        details: &[],
    },
    Kind {
        name: "cached-response",
        status: 500,
        title: "Cached Answer",
        detail: "This answer was kept from an earlier request.",
        flags: &["RFCF"],
        details: &[],
    },
];

impl Kind {
    /// What is said of a problem of this kind; its URI begins with `type_base`.
    pub fn document(&self, type_base: &str) -> Document {
        Document {
            kind: format!("{type_base}{}", self.name).into(),
            title: self.title.into(),
            detail: Some(self.detail.into()),
            ..Document::default()
        }
    }
}

/// What the proxy's reasons mean, by its details first, because they are more precise, then by its flags. `None`: nothing
/// more is known than the status.
pub fn find(cause: &Cause) -> Option<&'static Kind> {
    let named = |wanted: &str| KINDS.iter().find(|kind| kind.details.contains(&wanted));
    let flagged = || {
        let set: Vec<_> = cause.flags.names().collect();
        KINDS.iter().find(|kind| kind.flags.iter().any(|name| set.contains(name)))
    };
    // Where a service could not be asked, its status of gRPC may stand behind: `ext_proc_error_gRPC_error_14`.
    let asked = cause.base().split_once("_gRPC_error_").map_or(cause.base(), |(name, _)| name);
    named(&without_free_text(&cause.details)).or_else(|| named(asked)).or_else(flagged)
}

/// `reset{remote_connection_failure|delayed_connect_error:_111}` without the words of the operating system or of TLS.
fn without_free_text(details: &str) -> Cow<'_, str> {
    match details.split_once('|') {
        Some((before, _)) if before.contains('{') => Cow::Owned(format!("{before}}}")),
        _ => Cow::Borrowed(details),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::flag::{Flags, NAMES};
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn name(details: &str, flags: u64) -> Option<&'static str> {
        let cause = Cause { details: details.to_owned(), flags: Flags::from_property(&flags.to_le_bytes()) };
        find(&cause).map(|kind| kind.name)
    }

    #[test]
    fn every_flag_has_a_kind_and_every_kind_its_own_name() {
        for (short, _) in NAMES {
            assert_eq!(KINDS.iter().filter(|kind| kind.flags.contains(&short)).count(), 1, "{short}");
        }
        let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
        let details: Vec<_> = KINDS.iter().flat_map(|kind| kind.details).collect();
        assert_eq!(details.iter().collect::<BTreeSet<_>>().len(), details.len());
        for Kind { name, title, detail, .. } in KINDS {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
            assert!(!title.is_empty() && detail.ends_with(['.', '`']), "{name}");
        }
    }

    #[test]
    fn causes_are_found_by_details_then_by_flags() {
        for (details, flags, expected) in [
            ("route_not_found", 256, Some("route-not-found")),
            (
                "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
                32_800,
                Some("upstream-connection-failure"),
            ),
            ("upstream_reset_before_response_started{something_new}", 0, Some("upstream-reset")),
            ("rbac_access_denied_matched_policy[p]", 0, Some("access-denied")),
            ("jwt_authn_access_denied{Jwt_is_missing}", 0, Some("invalid-token")),
            ("ext_proc_error_gRPC_error_14{upstream_connect_error}", 0, Some("gateway-error")),
            ("rate_limited_by_quota", 1 << 20, Some("rate-limited")),
            ("downstream_local_disconnect(on_idle_timeout)", 0, Some("client-disconnected")),
            ("something_new", 32_800, Some("upstream-connection-failure")),
            ("something_new", 32_768, Some("upstream-retry-limit")),
            ("something_new", 0, None),
            ("", 0, None),
        ] {
            assert_eq!(name(details, flags), expected, "{details} {flags}");
        }
    }

    #[test]
    fn no_answer_says_what_is_behind_the_proxy() {
        for kind in KINDS {
            for text in [kind.title, kind.detail] {
                for word in ["Envoy", "envoy_", "upstream", "cluster", "127.", "TLS"] {
                    assert!(!text.contains(word), "{text}");
                }
            }
        }
    }
}
