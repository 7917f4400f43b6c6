//! Where a response comes from, and why: what the proxy says about it.
//!
//! While the head of a response passes, Envoy knows its `response.code_details` and `response.flags` already (seen on
//! 1.40 for answers of the router, of other filters, of direct responses and of upstreams). Of the request nothing can be
//! read any more by then.

use std::borrow::Cow;

use meshgate_policy::host::Host;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::flag::{Flag, Flags};

/// Who made a response.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The proxy: its router, another filter, a direct response.
    Gateway,
    /// The upstream, or a cache of what it said.
    Upstream,
}

/// Why a response is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `%RESPONSE_CODE_DETAILS%`; empty where the proxy says nothing.
    pub details: String,
    /// `%RESPONSE_FLAGS%`
    pub flags: Flags,
}

impl Cause {
    /// Asks the proxy: two properties. What it does not tell is empty.
    pub fn read(host: &mut dyn Host) -> Self {
        let mut property = |name| host.property(&["response", name]).ok().flatten().unwrap_or_default();
        let (details, flags) = (property("code_details"), property("flags"));
        Self { details: String::from_utf8_lossy(&details).into_owned(), flags: Flags::from_property(&flags) }
    }

    /// Who made the response. What the proxy does not explain is its own: an upstream's response always has its details.
    pub fn origin(&self) -> Origin {
        match self.details.as_str() {
            // The second is what an upstream says that does not take the upgrade to WebSocket.
            "via_upstream" | "websocket_handshake_unsuccessful" => Origin::Upstream,
            // Its filter sets the flag as well, though it refuses by itself (Envoy 1.40).
            "rate_limited_by_quota" => Origin::Gateway,
            _ if self.flags.has(Flag::FROM_CACHE) => Origin::Upstream,
            _ => Origin::Gateway,
        }
    }

    /// The details of what replaces the response: the same, so that access logs still say what went wrong.
    pub fn details_of_the_answer(&self) -> Cow<'static, str> {
        if self.details.is_empty() { "meshgate_error".into() } else { self.details.clone().into() }
    }

    /// The details without what they say of this one time: `upstream_reset_before_response_started`.
    pub fn base(&self) -> &str {
        self.details.split(['{', '[', '(', ':']).next().unwrap_or_default().trim_end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn cause(details: &str, flags: u64) -> Cause {
        Cause { details: details.to_owned(), flags: Flags::from_property(&flags.to_le_bytes()) }
    }

    #[test]
    fn only_the_upstream_comes_via_upstream() {
        for (details, flags, origin) in [
            ("via_upstream", 0, Origin::Upstream),
            ("cache.response_from_cache_filter", 1 << 20, Origin::Upstream),
            ("websocket_handshake_unsuccessful", 0, Origin::Upstream),
            ("rate_limited_by_quota", 1 << 20, Origin::Gateway),
            ("route_not_found", 256, Origin::Gateway),
            ("via_upstream_or_so", 0, Origin::Gateway),
            ("", 0, Origin::Gateway),
        ] {
            assert_eq!(cause(details, flags).origin(), origin, "{details}");
        }
    }

    #[test]
    fn details_have_a_base() {
        for (details, base) in [
            (
                "upstream_reset_before_response_started{connection_termination}",
                "upstream_reset_before_response_started",
            ),
            ("rbac_access_denied_matched_policy[p]", "rbac_access_denied_matched_policy"),
            ("jwt_authn_access_denied{Jwt_is_missing}", "jwt_authn_access_denied"),
            ("overload_error: x", "overload_error"),
            ("", ""),
        ] {
            assert_eq!(cause(details, 0).base(), base);
        }
    }
}
