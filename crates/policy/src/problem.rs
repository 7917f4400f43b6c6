//! Problem details: the form of every error that a policy answers with (RFC 9457).

use serde_json::{Map, Value};

use crate::exchange::Reply;
use crate::headers::{HeaderName, HeaderValue};

/// One problem: the members of RFC 9457 section 3.1 and extension members. JSON objects have no order; ours are sorted.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: u16,
    members: Map<String, Value>,
}

impl Problem {
    /// A problem of no particular type: `about:blank`, where the title is the status's reason phrase.
    pub fn new(status: u16, title: &str) -> Self {
        let mut members = Map::new();
        members.insert("title".to_owned(), Value::from(title));
        members.insert("status".to_owned(), Value::from(status));
        Self { status, members }
    }

    /// What went wrong this time, for a human.
    #[must_use]
    pub fn detail(self, detail: &str) -> Self {
        self.member("detail", detail)
    }

    /// The problem's type, a URI.
    #[must_use]
    pub fn kind(self, uri: &str) -> Self {
        self.member("type", uri)
    }

    /// An extension member (RFC 9457 section 3.2).
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The answer that tells the client. `details` goes to the access log.
    pub fn reply(self, details: &'static str) -> Reply {
        const CONTENT_TYPE: HeaderName = HeaderName::constant("content-type");
        let mut reply = Reply::new(self.status, details);
        if let Ok(value) = HeaderValue::new(b"application/problem+json".as_slice()) {
            reply = reply.with_header(CONTENT_TYPE, value);
        }
        reply.body = Value::Object(self.members).to_string().into_bytes();
        reply
    }
}

/// The title of an error of the client that has no reason phrase.
pub const CLIENT_ERROR: &str = "Client Error";
/// The title of an error of the server that has no reason phrase.
pub const SERVER_ERROR: &str = "Server Error";

/// The title of a problem of which only the status is known (RFC 9457 section 4.2.1): the reason phrase (RFC 9110 section 15,
/// and the registry of HTTP status codes).
pub const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        ..400 => "Response",
        _ if status < 500 => CLIENT_ERROR,
        _ => SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_problem_is_its_members_as_json() {
        let reply = Problem::new(429, "Too Many Requests")
            .kind("https://example.com/quota")
            .detail("say \"later\"\n")
            .member("violated-policies", vec!["daily"])
            .reply("over");
        assert_eq!((reply.status, &*reply.details), (429, "over"));
        assert_eq!(reply.headers[0].0.as_str(), "content-type");
        assert_eq!(reply.headers[0].1.as_bytes(), b"application/problem+json");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "https://example.com/quota", "title": "Too Many Requests", "status": 429,
                "detail": "say \"later\"\n", "violated-policies": ["daily"]
            })
        );
    }
}
