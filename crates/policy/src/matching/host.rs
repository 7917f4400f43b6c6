//! Hosts: `api.example.com`, `*.example.com`, `*`, `[::1]:8443`.
//!
//! Case makes no difference, nor does a dot at the end. A port is looked at only where the pattern names one; a request
//! that names none has that of its scheme. `*.` stands for one label or more, never for none: `*.example.com` is not
//! `example.com`.

use std::net::Ipv6Addr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::truth::Truth;

/// A pattern for hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    name: Name,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Any,
    /// In lower case, without a dot at the end.
    Exact(Box<str>),
    /// What follows the `*`, with its dot: `.example.com`.
    Under(Box<str>),
    Ipv6(Ipv6Addr),
}

impl HostPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn new(source: &str) -> Result<Self, String> {
        let (host, port) = split_port(source.as_bytes());
        let host = std::str::from_utf8(host).unwrap_or_default();
        let port = match port {
            Some(port) => {
                Some(parse_port(port).ok_or_else(|| format!("{source:?} has no port from 1 to 65535"))?)
            }
            None => None,
        };
        let name = if host == "*" {
            Name::Any
        } else if let Some(address) = unbracketed(host.as_bytes()) {
            Name::Ipv6(
                parse_ipv6(address).ok_or_else(|| format!("{host:?} is not an IPv6 address in brackets"))?,
            )
        } else {
            let lower = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
            check_labels(lower.strip_prefix("*.").unwrap_or(&lower))?;
            match lower.strip_prefix('*') {
                Some(under) => Name::Under(under.into()),
                None => Name::Exact(lower.into()),
            }
        };
        Ok(Self { name, port })
    }

    /// Whether `authority`, from `:authority`, is one of these hosts. `scheme` is asked for the port where the pattern
    /// names one and the authority does not.
    pub fn matches<'a>(&self, authority: &[u8], scheme: impl FnOnce() -> Option<&'a [u8]>) -> bool {
        let (host, port) = split_port(authority);
        self.matches_name(host) && self.port.is_none_or(|wanted| port_of(port, scheme) == Some(wanted))
    }

    /// As [`HostPattern::matches`], where servers may see another host in what is none: in `user@host`, in two hosts with a
    /// comma between them, in `api%2Eexample.com`. Nor does a port that is left out mean much: a client may choose the scheme.
    pub fn truth<'a>(&self, authority: &[u8], scheme: impl FnOnce() -> Option<&'a [u8]>) -> Truth {
        let (host, port) = split_port(authority);
        if !is_host(authority) {
            Truth::Unclear
        } else if !self.matches_name(host) {
            Truth::No
        } else if self.port.is_none_or(|wanted| port_of(port, scheme) == Some(wanted)) {
            Truth::Yes
        } else if port.is_none() {
            Truth::Unclear
        } else {
            Truth::No
        }
    }

    fn matches_name(&self, host: &[u8]) -> bool {
        match &self.name {
            Name::Any => true,
            Name::Exact(name) => without_dot(host).eq_ignore_ascii_case(name.as_bytes()),
            Name::Under(suffix) => {
                let host = without_dot(host);
                let split = host.len().checked_sub(suffix.len()).and_then(|at| host.split_at_checked(at));
                split.is_some_and(|(labels, end)| {
                    !labels.is_empty()
                        && !labels.starts_with(b".")
                        && end.eq_ignore_ascii_case(suffix.as_bytes())
                })
            }
            Name::Ipv6(address) => unbracketed(host).and_then(parse_ipv6) == Some(*address),
        }
    }
}

/// The host of an authority without its port, as conditions see it: in lower case, without a dot at the end.
pub fn host_of(authority: &[u8]) -> Vec<u8> {
    let (host, _) = split_port(authority);
    without_dot(host).to_ascii_lowercase()
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::new(&source).map_err(de::Error::custom)
    }
}

impl JsonSchema for HostPattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HostPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A host (`api.example.com`), all below one (`*.example.com`) or all (`*`). Case and a dot at the \
                end make no difference; a port counts only where it is written.",
            "examples": ["api.example.com", "*.example.com", "[::1]:8443"],
        })
    }
}

/// Whether an authority is a host, with a port or without, and nothing else. It may be empty.
fn is_host(authority: &[u8]) -> bool {
    let (host, port) = split_port(authority);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    port.is_none_or(|port| parse_port(port).is_some())
        && !host.ends_with(b"..")
        && (host.iter().all(is_name)
            || unbracketed(host).is_some_and(|address| parse_ipv6(address).is_some()))
}

/// Splits an authority at the colon of its port. A colon with nothing behind it names no port.
fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let colon = memchr::memrchr(b':', authority);
    let bracket = memchr::memrchr(b']', authority);
    match colon.filter(|colon| Some(*colon) > bracket).and_then(|colon| authority.split_at_checked(colon)) {
        Some((host, port)) => (host, port.get(1..).filter(|port| !port.is_empty())),
        None => (authority, None),
    }
}

fn port_of<'a>(port: Option<&[u8]>, scheme: impl FnOnce() -> Option<&'a [u8]>) -> Option<u16> {
    match port {
        Some(port) => parse_port(port),
        None => match scheme()? {
            b"http" => Some(80),
            b"https" => Some(443),
            _ => None,
        },
    }
}

fn parse_port(port: &[u8]) -> Option<u16> {
    let digits = port.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(port).ok().filter(|_| digits)?.parse().ok().filter(|port| *port != 0)
}

fn unbracketed(host: &[u8]) -> Option<&[u8]> {
    host.strip_prefix(b"[")?.strip_suffix(b"]")
}

fn parse_ipv6(address: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(address).ok()?.parse().ok()
}

fn without_dot(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

fn check_labels(name: &str) -> Result<(), String> {
    if !name.is_ascii() {
        return Err(format!(
            "{name:?} is not ASCII: write the name as it is sent, with labels like xn--bcher-kva"
        ));
    }
    if name.contains('*') {
        return Err(format!("{name:?}: the only wildcards are * and *. at the start"));
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.split('.').all(is_label) { Ok(()) } else { Err(format!("{name:?} is not a host name")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn hosts_match_by_name_and_wildcard() {
        for (pattern, authority, expected) in [
            ("example.com", "example.com", true),
            ("Example.COM", "eXample.com", true),
            ("example.com", "example.com:8080", true),
            ("example.com", "example.com.", true),
            ("example.com.", "example.com:", true),
            ("example.com", "www.example.com", false),
            ("example.com", "example.com.evil.org", false),
            ("example.com", "example.com@evil.org", false),
            ("example.com", "", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "A.B.EXAMPLE.com.:80", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*.example.com", "a.example.com.org", false),
            ("*", "", true),
            ("*", "anything:1", true),
            ("example.com:8443", "example.com:8443", true),
            ("example.com:8443", "example.com", false),
            ("example.com:443", "example.com", true),
            ("example.com:80", "example.com", false),
            ("*:8080", "a:8080", true),
            ("*:8080", "a:80800", false),
            ("a:80", "a:+80", false),
            ("a:80", "a:080", true),
            ("[::1]", "[::1]:80", true),
            ("[::1]", "[0:0:0:0:0:0:0:1]", true),
            ("[::1]:80", "[::1]:80", true),
            ("[::1]", "::1", false),
            ("[fe80::A]", "[FE80::a]", true),
            ("127.0.0.1", "127.0.0.1:80", true),
        ] {
            let found = HostPattern::new(pattern).unwrap().matches(authority.as_bytes(), || Some(b"https"));
            assert_eq!(found, expected, "{pattern} {authority}");
        }
        assert!(!HostPattern::new("a.b").unwrap().matches(b"\xff\xfe", || None));
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused() {
        for (pattern, expected) in [
            ("", "not a host name"),
            ("a b", "not a host name"),
            ("a..b", "not a host name"),
            ("http://a.b", "no port"),
            ("a.b/c", "not a host name"),
            ("a.*.b", "wildcards"),
            ("*a.b", "wildcards"),
            ("*.*.b", "wildcards"),
            ("bücher.example", "xn--"),
            ("a:0", "no port"),
            ("a:65536", "no port"),
            ("[::g]", "not an IPv6"),
            ("[::1", "not a host name"),
        ] {
            let error = HostPattern::new(pattern).unwrap_err();
            assert!(error.contains(expected), "{pattern:?}: {error}");
        }
    }

    #[test]
    fn conditions_see_the_plain_host() {
        assert_eq!(host_of(b"A.example.COM.:80"), b"a.example.com");
        assert_eq!(host_of(b"[::1]:80"), b"[::1]");
    }
}
