//! What can be said of an error where nothing is known but its status.

use crate::format::Document;

const OUR_FAULT: &str = "Something went wrong on our side. If it stays, tell the operator of this API.";

/// Reason phrases (RFC 9110 section 15, and the registry of HTTP status codes) and what to do; nothing where there is nothing
/// to be said.
const STATUSES: &[(u16, &str, &str)] = &[
    (400, "Bad Request", "The request can't be understood. Check it against the documentation of this API."),
    (401, "Unauthorized", "The request needs valid credentials."),
    (402, "Payment Required", ""),
    (403, "Forbidden", "You may not do this with the credentials that you sent."),
    (404, "Not Found", "There is nothing at this address."),
    (405, "Method Not Allowed", "This address does not take this method."),
    (406, "Not Acceptable", "There is no answer in a form that you accept."),
    (407, "Proxy Authentication Required", ""),
    (408, "Request Timeout", "The request did not come in time. Send it again."),
    (409, "Conflict", "The request does not fit the present state of what it is for."),
    (410, "Gone", "What was at this address is gone for good."),
    (411, "Length Required", "The request needs a content-length."),
    (412, "Precondition Failed", "A condition of the request does not hold."),
    (413, "Content Too Large", "The body of the request is larger than this API takes."),
    (414, "URI Too Long", "The address is longer than this API takes."),
    (415, "Unsupported Media Type", "The body of the request is of a type that is not taken here."),
    (416, "Range Not Satisfiable", "The range that was asked for is not there."),
    (417, "Expectation Failed", ""),
    (
        421,
        "Misdirected Request",
        "This server does not answer for this host. Send the request on a new connection.",
    ),
    (422, "Unprocessable Content", "The request is well formed, but what it says can't be done."),
    (423, "Locked", ""),
    (424, "Failed Dependency", ""),
    (425, "Too Early", "Send the request again, after the handshake."),
    (426, "Upgrade Required", ""),
    (428, "Precondition Required", "The request needs a condition, such as if-match."),
    (429, "Too Many Requests", "You have sent too many requests. Wait before the next one."),
    (431, "Request Header Fields Too Large", "The headers of the request are larger than this API takes."),
    (451, "Unavailable For Legal Reasons", ""),
    (500, "Internal Server Error", OUR_FAULT),
    (501, "Not Implemented", "This API does not do that."),
    (502, "Bad Gateway", "The service gave no valid answer. Try again in a moment."),
    (503, "Service Unavailable", "The service can't answer right now. Try again in a moment."),
    (504, "Gateway Timeout", "The service did not answer in time."),
    (505, "HTTP Version Not Supported", ""),
    (506, "Variant Also Negotiates", ""),
    (507, "Insufficient Storage", ""),
    (508, "Loop Detected", ""),
    (511, "Network Authentication Required", ""),
];

/// What can be said where only the status is known: a problem of no type of its own (RFC 9457 section 4.2.1).
pub fn document(status: u16) -> Document {
    let known = STATUSES.iter().find(|(known, _, _)| *known == status);
    let (_, title, detail) = *known.unwrap_or(match status {
        400..=499 => &(0, "Client Error", "The request can't be answered."),
        500.. => &(0, "Server Error", OUR_FAULT),
        _ => &(0, "Response", ""),
    });
    Document {
        kind: "about:blank".into(),
        title: title.into(),
        detail: Some(detail.into()).filter(|_| !detail.is_empty()),
        ..Document::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_error_has_a_title_and_most_a_detail() {
        assert!((400..600).all(|status| !document(status).title.is_empty()));
        for (status, title, detail) in [
            (599, "Server Error", Some(OUR_FAULT)),
            (499, "Client Error", Some("The request can't be answered.")),
            (402, "Payment Required", None),
        ] {
            let document = document(status);
            assert_eq!((&*document.title, document.detail.as_deref()), (title, detail));
            assert_eq!(document.kind, "about:blank");
        }
        let statuses: Vec<u16> = STATUSES.iter().map(|(status, _, _)| *status).collect();
        assert!(statuses.is_sorted());
    }
}
