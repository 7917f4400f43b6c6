//! The places of a message that operations read and write.

use meshgate_json::Path as JsonPath;
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::headers::{HeaderName, is_token};
use meshgate_policy::host::Side;

/// A place of a message.
#[derive(Clone, Debug)]
pub enum Place {
    /// A header field.
    Header(HeaderName),
    /// A query parameter, by its decoded name.
    Query(Box<[u8]>),
    /// A cookie.
    Cookie(Box<[u8]>),
    /// A name in the path of `match`: to read only.
    Capture(Box<str>),
    /// The path without the query.
    Path,
    /// The method.
    Method,
    /// The host.
    Host,
    /// The status.
    Status,
    /// A place in a JSON body.
    Json(JsonPath),
    /// The whole body.
    Body,
}

impl Place {
    /// Whether it is a part of a header field, so that to write it is to edit what is there.
    pub const fn is_part(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Cookie(_) | Self::Path)
    }

    /// Whether it is in the body.
    pub const fn in_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Body)
    }
}

/// What a header field is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To know its value.
    Read,
    /// To change or remove it.
    Write,
}

/// A header field that may be read, or changed.
///
/// # Errors
/// It is no name, or one that something else is for.
pub fn header(name: &str, access: Access, at: &Path) -> Result<Place, ConfigError> {
    header_name(name, access, at).map(Place::Header)
}

/// The name of a header field that may be read, or changed.
///
/// # Errors
/// It is no name, or one that something else is for.
pub fn header_name(name: &str, access: Access, at: &Path) -> Result<HeaderName, ConfigError> {
    let lower = name.to_ascii_lowercase();
    let instead = match (lower.as_str(), access) {
        (":method", _) => Some("method is a place of its own: write method instead of header"),
        (":path", _) => Some("path and query are places of their own: write path or query instead of header"),
        (":authority" | "host", _) => Some("the host is a place of its own: write host instead of header"),
        (":status", _) => Some("the status is a place of its own: write status instead of header"),
        (":scheme" | ":protocol", _) => Some("the proxy says how it was reached: this can't be changed"),
        ("content-length" | "content-encoding", Access::Write) => {
            Some("it says how the body is sent, and is kept right without a word")
        }
        (
            "transfer-encoding" | "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer"
            | "upgrade",
            Access::Write,
        ) => Some("it belongs to a single connection, and the proxy writes it (RFC 9110 section 7.6.1)"),
        _ => None,
    };
    if let Some(hint) = instead {
        return Err(ConfigError::at(at).value(name).expected("another header field").hint(hint));
    }
    HeaderName::new(name).map_err(|_| {
        ConfigError::at(at).value(name).expected("the name of a header field, such as x-user-id")
    })
}

/// A query parameter.
///
/// # Errors
/// The name is empty.
pub fn query(name: &str, at: &Path) -> Result<Place, ConfigError> {
    query_name(name, at).map(Place::Query)
}

/// The name of a query parameter.
///
/// # Errors
/// The name is empty.
pub fn query_name(name: &str, at: &Path) -> Result<Box<[u8]>, ConfigError> {
    if name.is_empty() {
        let expected = "the decoded name of a query parameter, such as debug";
        return Err(ConfigError::at(at).value(name).expected(expected));
    }
    Ok(name.as_bytes().into())
}

/// A cookie.
///
/// # Errors
/// The name is not a token.
pub fn cookie(name: &str, at: &Path) -> Result<Place, ConfigError> {
    cookie_name(name, at).map(Place::Cookie)
}

/// The name of a cookie.
///
/// # Errors
/// The name is not a token (RFC 6265 section 4.1.1).
pub fn cookie_name(name: &str, at: &Path) -> Result<Box<[u8]>, ConfigError> {
    if !is_token(name.as_bytes()) {
        let expected = "the name of a cookie, such as session: letters, digits and !#$%&'*+-.^_`|~";
        return Err(ConfigError::at(at).value(name).expected(expected));
    }
    Ok(name.as_bytes().into())
}

/// A place in a JSON body.
///
/// # Errors
/// It is neither a JSON Pointer nor a JSONPath.
pub fn json(path: &str, at: &Path) -> Result<JsonPath, ConfigError> {
    JsonPath::new(path).map_err(|error| ConfigError::at(at).problem(error.to_string()))
}

/// Refuses a place that the message of this side does not have.
///
/// # Errors
/// It is one of the other side's.
pub fn check_side(place: &Place, side: Side, at: &Path) -> Result<(), ConfigError> {
    let (name, owner) = match place {
        Place::Query(_) => ("query", Side::Request),
        Place::Path => ("path", Side::Request),
        Place::Method => ("method", Side::Request),
        Place::Host => ("host", Side::Request),
        Place::Status => ("status", Side::Response),
        _ => return Ok(()),
    };
    if side == owner {
        return Ok(());
    }
    let (found, expected) = match side {
        Side::Request => {
            (format!("a {name} of the request"), "header, query, cookie, path, method, host, json or body")
        }
        Side::Response => (format!("a {name} of the response"), "header, cookie, status, json or body"),
    };
    let error = ConfigError::at(at).found(found).expected(expected);
    Err(match side {
        Side::Request => error.hint("only responses have a status"),
        Side::Response => error.hint("to write what the request held, use a template: {{ request.path }}"),
    })
}
