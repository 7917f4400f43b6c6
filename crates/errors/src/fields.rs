//! Which header fields of a response stay when its body is replaced.
//!
//! A reply of a filter begins with no fields at all, so what stays is added again. Of the proxy's own answers all stays that
//! does not describe the old body: other filters put there what clients need (challenges, CORS, rate limits). Of an
//! upstream's only what is known to be for clients: any other field may tell what stands behind the proxy. Of its 500 to 599
//! that is less: a `location` or a challenge means nothing there, and has room for an address.
//!
//! What routes and virtual hosts add to responses Envoy adds to a reply as well, before what the filter says, and whatever
//! its append action: kept from the response it would be there twice. A filter can't tell such fields from others, so the
//! configuration names them (`route_headers`).

use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};

use crate::cause::Origin;

/// Fields that describe the old body, or the connection, or what the proxy sets by itself.
const REPLACED: &[&str] = &[
    "accept-ranges",
    "age",
    "cache-control",
    "connection",
    "content-digest",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "digest",
    "etag",
    "expires",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "keep-alive",
    "last-modified",
    "pragma",
    "proxy-connection",
    "repr-digest",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields of an upstream that are for clients whatever the body.
pub const FOR_CLIENTS: &[&str] = &[
    "clear-site-data",
    "content-security-policy",
    "deprecation",
    "origin-agent-cluster",
    "permissions-policy",
    "ratelimit",
    "ratelimit-policy",
    "referrer-policy",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "sunset",
    "timing-allow-origin",
    "traceparent",
    "vary",
    "x-content-type-options",
    "x-correlation-id",
    "x-frame-options",
    "x-request-id",
];

/// Those that belong to other statuses than 500 to 599.
pub const FOR_CLIENTS_BELOW_500: &[&str] =
    &["allow", "link", "location", "proxy-authenticate", "www-authenticate"];

/// How the names of more of them begin.
pub const FOR_CLIENTS_PREFIXES: &[&str] =
    &["access-control-", "cross-origin-", "ratelimit-", "x-ratelimit-", "x-rate-limit-"];

/// The fields that stay of a response with this status, in their order. `keep` and `remove` are the user's, in lower case.
pub fn kept(
    response: &Headers,
    origin: Origin,
    status: u16,
    keep: &[HeaderName],
    remove: &[&[HeaderName]],
) -> Vec<(HeaderName, HeaderValue<'static>)> {
    let listed = |names: &[HeaderName], name: &str| names.iter().any(|known| known.as_str() == name);
    let stays = |name: &str| {
        let usual = match origin {
            Origin::Gateway => true,
            Origin::Upstream => {
                FOR_CLIENTS.contains(&name)
                    || (status < 500 && FOR_CLIENTS_BELOW_500.contains(&name))
                    || FOR_CLIENTS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            }
        };
        !REPLACED.contains(&name)
            && !remove.iter().any(|names| listed(names, name))
            && (usual || listed(keep, name))
    };
    response
        .iter()
        .filter_map(|(name, value)| {
            // What is no token is a pseudo-header, or nothing to pass on.
            let name = std::str::from_utf8(name).ok().filter(|name| stays(name))?;
            Some((HeaderName::new(name).ok()?, HeaderValue::new(value.to_vec()).ok()?))
        })
        .collect()
}

/// Whether fields `vary` say that the answer depends on `Accept` already (RFC 9110 section 12.5.5).
pub fn varies_by_accept(fields: &[(HeaderName, HeaderValue<'_>)]) -> bool {
    let lines = fields.iter().filter(|(name, _)| name.as_str() == "vary").map(|(_, value)| value.as_bytes());
    lines
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|element| element == b"*" || element.eq_ignore_ascii_case(b"accept"))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn names(origin: Origin, status: u16, keep: &[&str], remove: &[&str]) -> Vec<String> {
        let response = Headers::from_pairs([
            (":status", "503"),
            ("content-type", "text/plain"),
            ("content-length", "3"),
            ("etag", "x"),
            ("server", "x"),
            ("www-authenticate", "Basic"),
            ("location", "http://10.0.0.1:8080/"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("access-control-allow-origin", "*"),
            ("x-backend", "10.0.0.1"),
            ("x-powered-by", "PHP"),
            ("retry-after", "3"),
        ]);
        let list =
            |names: &[&str]| names.iter().map(|name| HeaderName::new(name).unwrap()).collect::<Vec<_>>();
        let kept = kept(&response, origin, status, &list(keep), &[&list(remove)]);
        kept.into_iter().map(|(name, _)| name.as_str().to_owned()).collect()
    }

    #[test]
    fn what_is_for_clients_stays() {
        let cookies = ["set-cookie", "set-cookie", "access-control-allow-origin"];
        let pointers = ["www-authenticate", "location"];
        let upstream = |status, keep: &[&str], remove: &[&str]| names(Origin::Upstream, status, keep, remove);
        assert_eq!(upstream(500, &[], &[]), [&cookies[..], &["retry-after"]].concat());
        assert_eq!(upstream(401, &[], &[]), [&pointers[..], &cookies, &["retry-after"]].concat());
        assert_eq!(
            names(Origin::Gateway, 503, &[], &[]),
            [&pointers[..], &cookies, &["x-backend", "x-powered-by", "retry-after"]].concat()
        );
        assert_eq!(
            upstream(500, &["x-backend", "etag", "location"], &["set-cookie"]),
            ["location", "access-control-allow-origin", "x-backend", "retry-after"]
        );
    }

    /// What may hold an address, a name of software or a piece of a stack trace.
    #[test]
    fn nothing_that_tells_of_the_upstream_stays_of_its_500() {
        for name in [
            "alt-svc",
            "exception",
            "forwarded",
            "grpc-message",
            "link",
            "location",
            "nel",
            "proxy-status",
            "refresh",
            "report-to",
            "reporting-endpoints",
            "server",
            "server-timing",
            "sourcemap",
            "tracestate",
            "via",
            "warning",
            "www-authenticate",
            "x-aspnet-version",
            "x-cache",
            "x-debug-exception",
            "x-debug-token-link",
            "x-envoy-upstream-service-time",
            "x-powered-by",
            "x-runtime",
        ] {
            let response = Headers::from_pairs([(name, "10.0.0.1")]);
            assert_eq!(kept(&response, Origin::Upstream, 500, &[], &[]), [], "{name}");
        }
    }

    #[test]
    fn vary_is_read_as_a_list() {
        let vary = |line: &str| {
            varies_by_accept(&[(
                HeaderName::new("vary").unwrap(),
                HeaderValue::new(line.as_bytes().to_vec()).unwrap(),
            )])
        };
        assert!(vary("Origin, ACCEPT") && vary("*") && vary("accept"));
        assert!(!vary("accept-encoding") && !vary(""));
    }
}
