//! Mending heads: what they say of a body that will not be what it was.

use std::borrow::Cow;

use meshgate_coding::Coding;
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, Map, Side};

use crate::Dlp;
use crate::config::AcceptEncoding;

const ACCEPT_ENCODING: HeaderName = HeaderName::constant("accept-encoding");
const ACCEPT_RANGES: HeaderName = HeaderName::constant("accept-ranges");
const CONTENT_ENCODING: HeaderName = HeaderName::constant("content-encoding");
const CONTENT_LENGTH: HeaderName = HeaderName::constant("content-length");
const ETAG: HeaderName = HeaderName::constant("etag");
const IF_RANGE: HeaderName = HeaderName::constant("if-range");
const RANGE: HeaderName = HeaderName::constant("range");
/// Digests of a body: RFC 9530, RFC 3230, RFC 1864.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::constant("content-digest"),
    HeaderName::constant("repr-digest"),
    HeaderName::constant("digest"),
    HeaderName::constant("content-md5"),
];

/// The length of a body, where its head says it. Envoy sees to it that there is one, and that it is true.
pub fn content_length(headers: &Headers) -> Option<u64> {
    std::str::from_utf8(headers.first("content-length")?).ok()?.parse().ok()
}

/// Mends the head of a message whose body may change: `keeps_length` if that stays the same; `coding` if it goes on in
/// another.
pub fn head(
    host: &mut dyn Host,
    side: Side,
    headers: &Headers,
    keeps_length: bool,
    coding: Option<Coding>,
) -> Result<(), HostError> {
    let map = Map::head(side);
    let has = |name: &HeaderName| headers.first(name.as_str()).is_some();
    for name in DIGESTS.iter().filter(|name| has(name)) {
        host.remove_header(map, name)?;
    }
    if !keeps_length && has(&CONTENT_LENGTH) {
        host.remove_header(map, &CONTENT_LENGTH)?;
    }
    match coding.map(Coding::name) {
        Some(Some(name)) => {
            let value = HeaderValue::new(name.as_bytes()).map_err(|_| HostError::Malformed)?;
            host.set_header(map, &CONTENT_ENCODING, &value)?;
        }
        Some(None) => host.remove_header(map, &CONTENT_ENCODING)?,
        None => {}
    }
    if side == Side::Response {
        if has(&ACCEPT_RANGES) {
            host.remove_header(map, &ACCEPT_RANGES)?;
        }
        weaken(host, headers)?;
    }
    Ok(())
}

/// Makes a strong validator a weak one (RFC 9110 section 8.8.1): clients can still ask whether something has changed, but
/// not take a part of what passes here for a part of what the upstream has.
fn weaken(host: &mut dyn Host, headers: &Headers) -> Result<(), HostError> {
    match headers.first("etag") {
        Some(strong) if strong.starts_with(b"\"") => {
            let weak = HeaderValue::new([b"W/", strong].concat()).map_err(|_| HostError::Malformed)?;
            host.set_header(Map::ResponseHeaders, &ETAG, &weak)
        }
        _ => Ok(()),
    }
}

/// Changes a request so that its response can be looked into: all of it, in a coding that is known here.
pub fn ask_for_readable(dlp: &Dlp, host: &mut dyn Host, headers: &Headers) -> Result<(), HostError> {
    let map = Map::RequestHeaders;
    if !dlp.bodies.keep_ranges && headers.first("range").is_some() {
        host.remove_header(map, &RANGE)?;
        host.remove_header(map, &IF_RANGE)?;
    }
    let accepted: Vec<&[u8]> = headers.all("accept-encoding").collect();
    let wanted = match dlp.bodies.accept_encoding {
        AcceptEncoding::Keep => return Ok(()),
        AcceptEncoding::Identity if accepted.is_empty() => return Ok(()),
        AcceptEncoding::Identity => Cow::Borrowed(&b"identity"[..]),
        AcceptEncoding::Decodable => match decodable(&accepted) {
            Some(wanted) => Cow::Owned(wanted),
            None => return Ok(()),
        },
    };
    let value = HeaderValue::new(wanted).map_err(|_| HostError::Malformed)?;
    host.set_header(map, &ACCEPT_ENCODING, &value)
}

/// What is accepted without what can't be decoded here; `None`: all can. `*` stands for codings that nobody here knows.
fn decodable(accepted: &[&[u8]]) -> Option<Vec<u8>> {
    let all = || accepted.iter().flat_map(|value| value.split(|byte| *byte == b','));
    let kept: Vec<&[u8]> = all().filter(|item| is_decodable(item)).map(<[u8]>::trim_ascii).collect();
    if kept.len() == all().count() {
        return None;
    }
    Some(if kept.is_empty() { b"identity".to_vec() } else { kept.join(&b", "[..]) })
}

fn is_decodable(item: &[u8]) -> bool {
    let name = item.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    Coding::of([name]).is_ok()
}

/// The coding that a body goes on in: the one that it came in, or gzip where that can't be written and the client takes it.
pub fn coding_out(dlp: &Dlp, from: Coding, side: Side, request: &Headers) -> Coding {
    match from {
        _ if !dlp.bodies.recompress => Coding::Identity,
        Coding::Brotli if side == Side::Response && accepts_gzip(request) => Coding::Gzip,
        Coding::Brotli => Coding::Identity,
        other => other,
    }
}

/// Whether a request says so in as many words.
fn accepts_gzip(request: &Headers) -> bool {
    request.all("accept-encoding").flat_map(|value| value.split(|byte| *byte == b',')).any(|item| {
        let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip"));
        let refused = parts.any(|weight| {
            weight
                .strip_prefix(b"q=")
                .is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
        });
        is_gzip && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn codings_that_are_not_known_are_not_asked_for() {
        for (accepted, expected) in [
            (&["gzip, deflate, br"][..], None),
            (&["gzip;q=0.5", "identity"], None),
            (&[], None),
            (&["gzip, deflate, br, zstd"], Some("gzip, deflate, br")),
            (&["zstd;q=1.0,br;q=0.5 , *;q=0"], Some("br;q=0.5")),
            (&["zstd"], Some("identity")),
            (&["*"], Some("identity")),
            (&["gzip", "dcb"], Some("gzip")),
        ] {
            let accepted: Vec<_> = accepted.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(decodable(&accepted).as_deref(), expected.map(str::as_bytes), "{accepted:?}");
        }
    }

    #[test]
    fn gzip_is_taken_by_those_who_say_so() {
        for (accepted, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("*", false),
            ("", false),
        ] {
            let request = Headers::from_pairs([("accept-encoding", accepted)]);
            assert_eq!(accepts_gzip(&request), expected, "{accepted}");
        }
    }
}
