//! What can be said of an error where nothing is known but its status.

use meshgate_policy::problem::{CLIENT_ERROR, SERVER_ERROR, title};

use crate::format::Document;

const OUR_FAULT: &str = "Something went wrong on our side. If it stays, tell the operator of this API.";

/// What to do, where there is something to be said.
const DETAILS: &[(u16, &str)] = &[
    (400, "The request can't be understood. Check it against the documentation of this API."),
    (401, "The request needs valid credentials."),
    (403, "You may not do this with the credentials that you sent."),
    (404, "There is nothing at this address."),
    (405, "This address does not take this method."),
    (406, "There is no answer in a form that you accept."),
    (408, "The request did not come in time. Send it again."),
    (409, "The request does not fit the present state of what it is for."),
    (410, "What was at this address is gone for good."),
    (411, "The request needs a content-length."),
    (412, "A condition of the request does not hold."),
    (413, "The body of the request is larger than this API takes."),
    (414, "The address is longer than this API takes."),
    (415, "The body of the request is of a type that is not taken here."),
    (416, "The range that was asked for is not there."),
    (421, "This server does not answer for this host. Send the request on a new connection."),
    (422, "The request is well formed, but what it says can't be done."),
    (425, "Send the request again, after the handshake."),
    (428, "The request needs a condition, such as if-match."),
    (429, "You have sent too many requests. Wait before the next one."),
    (431, "The headers of the request are larger than this API takes."),
    (500, OUR_FAULT),
    (501, "This API does not do that."),
    (502, "The service gave no valid answer. Try again in a moment."),
    (503, "The service can't answer right now. Try again in a moment."),
    (504, "The service did not answer in time."),
];

/// Title and detail of what can be said where only the status is known.
pub fn problem_of(status: u16) -> (String, Option<String>) {
    let document = document(status);
    (document.title.into_owned(), document.detail.map(Into::into))
}

/// What can be said where only the status is known: a problem of no type of its own (RFC 9457 section 4.2.1).
pub fn document(status: u16) -> Document {
    let title = title(status);
    let detail = DETAILS.iter().find(|(known, _)| *known == status).map(|(_, detail)| *detail);
    let detail = detail.or(match title {
        CLIENT_ERROR => Some("The request can't be answered."),
        SERVER_ERROR => Some(OUR_FAULT),
        _ => None,
    });
    Document {
        kind: "about:blank".into(),
        title: title.into(),
        detail: detail.map(Into::into),
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
        let statuses: Vec<u16> = DETAILS.iter().map(|(status, _)| *status).collect();
        assert!(statuses.is_sorted());
    }
}
