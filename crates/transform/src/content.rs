//! What a message says about its body: whether rules look into it, and what must change in the head when it does.

use meshgate_coding::Coding;
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::Side;
use meshgate_policy::matching::number_of;
use meshgate_policy::media_type::MediaTypePattern;

use crate::head::Draft;

/// `content-encoding`
pub static CONTENT_ENCODING: HeaderName = HeaderName::constant("content-encoding");
static CONTENT_LENGTH: HeaderName = HeaderName::constant("content-length");

/// What is true of one body only: its length, digests (RFC 1864, RFC 3230, RFC 9530), its version (RFC 9110 section 8.8.3) and
/// that parts of it can be asked for (section 14.3).
static OF_ONE_BODY: [HeaderName; 7] = [
    HeaderName::constant("content-length"),
    HeaderName::constant("content-md5"),
    HeaderName::constant("digest"),
    HeaderName::constant("content-digest"),
    HeaderName::constant("repr-digest"),
    HeaderName::constant("etag"),
    HeaderName::constant("accept-ranges"),
];

/// Removes from a head what will not be true of another body.
///
/// The `etag` goes as well, strong or weak: it is the upstream's name for what the upstream sent, and a cache that keeps it
/// would go on serving what an older configuration made of that. What operations have written stays. `length` is that of the
/// other body, in bytes, if it is to be announced.
pub fn forget_body(draft: &mut Draft<'_>, length: Option<usize>) {
    draft.forget(OF_ONE_BODY.iter());
    if let Some(length) = length {
        draft.set_field(&CONTENT_LENGTH, HeaderValue::number(length as u64));
    }
}

/// Whether what follows a head is no body that ever ends, or one that is not the message's own: an upgraded connection, a
/// tunnel, gRPC, server-sent events.
pub fn is_stream(side: Side, head: &Headers, request: Option<&Headers>) -> bool {
    let is = |kind: &str| {
        let starts = |value: &[u8]| {
            value.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
        };
        head.all("content-type").any(starts)
    };
    let connects = request.is_some_and(|request| request.first(":method") == Some(b"CONNECT"));
    let switches = match side {
        Side::Request => is_upgrade(head),
        // Whether the upstream went along is said by its status.
        Side::Response => head.first(":status") == Some(b"101"),
    };
    is("application/grpc") || is("text/event-stream") || connects || switches
}

/// Whether a request is for another protocol on its connection (RFC 9110 section 7.8). One that has a body of its own is a
/// request like any other: an upstream may leave the upgrade alone and read the body.
fn is_upgrade(head: &Headers) -> bool {
    let has_body = head.first("transfer-encoding").is_some()
        || head.first("content-length").is_some_and(|length| length != b"0");
    head.first("upgrade").is_some() && !has_body
}

/// Whether the body is of one of the types that are JSON.
pub fn is_json(head: &Headers, types: &[MediaTypePattern]) -> bool {
    let mut values = head.all("content-type");
    // Of several nobody knows which one counts, so one is enough.
    values.any(|value| types.iter().any(|pattern| pattern.matches(value)))
}

/// The length that a head announces.
pub fn length(head: &Headers) -> Option<u64> {
    let value = head.first("content-length")?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// How the body is encoded.
///
/// # Errors
/// In a way that is not known.
pub fn coding(head: &Headers) -> Result<Coding, meshgate_coding::Unsupported> {
    let values: Vec<&[u8]> = head.all("content-encoding").collect();
    Coding::of(values)
}

/// Whether a response has no body by its status (RFC 9110 section 6.4.1).
pub fn is_bodiless(head: &Headers) -> bool {
    matches!(head.first(":status").and_then(number_of), Some(204 | 205 | 304))
}
