//! What a client gets where a message does not pass. None repeats anything of the message.

use meshgate_policy::exchange::Reply;
use meshgate_policy::host::Side;
use meshgate_policy::problem::{Problem, title};

/// Something was found that must not pass.
pub fn blocked(side: Side, status: Option<u16>) -> Reply {
    match side {
        Side::Request => problem(
            status.unwrap_or(403),
            "The request holds data that must not be sent here. Remove it and send the request again.",
            "meshgate_dlp_request_blocked",
        ),
        Side::Response => problem(
            status.unwrap_or(502),
            "The response is withheld: it holds data that must not be disclosed.",
            "meshgate_dlp_response_blocked",
        ),
    }
}

/// A body can't be decoded.
pub fn undecodable(side: Side) -> Reply {
    match side {
        Side::Request => problem(
            415,
            "The content coding of the request is not one that can be looked into, or its body is broken. Send it without \
             content-encoding.",
            "meshgate_dlp_request_undecodable",
        ),
        Side::Response => problem(
            502,
            "The response is withheld: its content coding can't be looked into.",
            "meshgate_dlp_response_undecodable",
        ),
    }
}

/// A body that has to be held is too large.
pub fn too_large(side: Side) -> Reply {
    match side {
        Side::Request => problem(
            413,
            "The body of the request is too large to be looked into. Send less at once.",
            "meshgate_dlp_request_too_large",
        ),
        Side::Response => problem(
            502,
            "The response is withheld: it is too large to be looked into.",
            "meshgate_dlp_response_too_large",
        ),
    }
}

/// The end of a body that passes came while a part of it was kept: nothing of it can be passed on any more.
pub fn cut(side: Side) -> Reply {
    let details = match side {
        Side::Request => "meshgate_dlp_request_cut",
        Side::Response => "meshgate_dlp_response_cut",
    };
    problem(500, "The gateway could not pass on the end of the body in front of its trailers.", details)
}

fn problem(status: u16, detail: &str, details: &'static str) -> Reply {
    Problem::new(status, title(status)).detail(detail).reply(details)
}
