//! One place where a request may carry its key, and what of it is the key.

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::headers::{HeaderName, is_token};

use crate::config::KeyFrom;
use crate::identity;

pub static COOKIE: HeaderName = HeaderName::constant("cookie");
/// Fields that clients and proxies write to have requests delivered: none is free for a key.
const NO_CREDENTIALS: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A place.
#[derive(Debug, PartialEq, Eq)]
pub enum Location {
    /// A header field, and the scheme in front of the key.
    Header { name: HeaderName, scheme: Option<Box<str>> },
    /// A query parameter, by its decoded name.
    Query { name: Box<str> },
    /// A cookie.
    Cookie { name: Box<str> },
}

impl Location {
    /// Checks a place that is configured at `path`.
    ///
    /// # Errors
    /// A [`ConfigError`] if it cannot be.
    pub fn compile(place: KeyFrom, path: &Path) -> Result<Self, ConfigError> {
        let KeyFrom { header, scheme, query, cookie } = place;
        if header.is_none() && scheme.is_some() && (query.is_some() || cookie.is_some()) {
            return Err(ConfigError::at(path.key("scheme"))
                .found("a scheme without a header")
                .expected("one only for a header")
                .hint("remove scheme"));
        }
        match (header, query, cookie) {
            (Some(header), None, None) => Self::header(&header, scheme, path),
            (None, Some(query), None) => {
                let printable = query.chars().all(|char| !char.is_control());
                if query.is_empty() || !printable {
                    return Err(ConfigError::at(path.key("query"))
                        .value(&query)
                        .expected("the decoded name of a query parameter, such as api_key"));
                }
                Ok(Self::Query { name: query.into() })
            }
            (None, None, Some(cookie)) => {
                // RFC 6265 section 4.1.1: the name of a cookie is a token.
                if !is_token(cookie.as_bytes()) {
                    return Err(ConfigError::at(path.key("cookie"))
                        .value(&cookie)
                        .expected("the name of a cookie, such as api_key"));
                }
                Ok(Self::Cookie { name: cookie.into() })
            }
            (None, None, None) => Err(ConfigError::at(path)
                .found("neither header nor query nor cookie")
                .expected("one of them, such as header: x-api-key")),
            (header, query, cookie) => {
                let places = [("header", header), ("query", query), ("cookie", cookie)];
                let found: Vec<_> =
                    places.iter().filter(|place| place.1.is_some()).map(|place| place.0).collect();
                Err(ConfigError::at(path)
                    .found(found.join(" and "))
                    .expected("one of them")
                    .hint("write an entry for each to look in all"))
            }
        }
    }

    fn header(header: &str, scheme: Option<String>, path: &Path) -> Result<Self, ConfigError> {
        let here = path.key("header");
        let name = HeaderName::new(header).map_err(|_| {
            let error = ConfigError::at(&here).value(header);
            error.expected("the name of a header field, such as x-api-key")
        })?;
        if identity::is_identity(name.as_str().as_bytes()) {
            return Err(ConfigError::at(here)
                .value(header)
                .expected("a name that does not start with x-consumer-")
                .hint(
                    "such headers tell the upstream who the consumer is, and are removed from every request",
                ));
        }
        if NO_CREDENTIALS.contains(&name.as_str()) {
            let error = ConfigError::at(here).value(header);
            return Err(error.expected("a field for credentials, such as x-api-key").hint(
                "this one says something else in every request, and can't be hidden from the upstream",
            ));
        }
        match scheme {
            Some(scheme) if !is_token(scheme.as_bytes()) => Err(ConfigError::at(path.key("scheme"))
                .value(&scheme)
                .expected("an authentication scheme without spaces, such as ApiKey")),
            scheme => Ok(Self::Header { name, scheme: scheme.map(String::into_boxed_str) }),
        }
    }

    /// Whether one value could be a key for both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name, scheme }, Self::Header { name: other, scheme: other_scheme }) => {
                let both = scheme.as_ref().zip(other_scheme.as_ref());
                name == other && both.is_none_or(|(one, other)| one.eq_ignore_ascii_case(other))
            }
            (Self::Header { name, .. }, Self::Cookie { .. })
            | (Self::Cookie { .. }, Self::Header { name, .. }) => *name == COOKIE,
            (one, other) => one == other,
        }
    }

    /// Whether this value of this header field has a key of this place in it.
    pub fn has_key(&self, field: &HeaderName, value: &[u8]) -> bool {
        matches!(self, Self::Header { name, scheme } if name == field && keys_in(value, scheme.as_deref()).next().is_some())
    }
}

/// The value of a cookie without the quotes that may stand around it (RFC 6265 section 4.1.1).
pub fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// The keys in a header value. Repeated fields may have been joined by commas (RFC 9110 section 5.3), as Envoy does with
/// `authorization`. What has the scheme behind a comma is a key of a field that was repeated: it counts twice, so that no
/// such request passes. Without a scheme all of the value is one key.
pub fn keys_in<'a>(value: &'a [u8], scheme: Option<&'a str>) -> impl Iterator<Item = &'a [u8]> {
    let commas = value.iter().enumerate().filter(move |(_, byte)| scheme.is_some() && **byte == b',');
    let behind = commas.filter_map(|(at, _)| value.get(at.checked_add(1)?..));
    let joined = behind.filter_map(move |part| key_in(part.trim_ascii_start(), scheme));
    key_in(value, scheme).into_iter().chain(joined.flat_map(|key| [key, key]))
}

/// The key in a header value: all of it, or what follows the scheme and the blanks behind it (RFC 9110 section 11.4).
/// `None`: another scheme.
fn key_in<'a>(value: &'a [u8], scheme: Option<&str>) -> Option<&'a [u8]> {
    let Some(scheme) = scheme else { return Some(value) };
    let (found, key) = value.split_at_checked(scheme.len())?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let ends = key.first().is_none_or(is_blank);
    let spaces = key.iter().take_while(|byte| is_blank(byte)).count();
    (ends && found.eq_ignore_ascii_case(scheme.as_bytes())).then(|| key.get(spaces..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn header(name: &str, scheme: Option<&str>) -> Location {
        let name = HeaderName::new(name).unwrap();
        Location::Header { name, scheme: scheme.map(Into::into) }
    }

    #[test]
    fn places_overlap_if_one_value_could_be_a_key_for_both() {
        for (one, other, expected) in [
            (header("a", None), header("a", None), true),
            (header("a", None), header("a", Some("x")), true),
            (header("a", Some("x")), header("a", Some("X")), true),
            (header("a", Some("x")), header("a", Some("y")), false),
            (header("a", None), header("b", None), false),
            (header("a", None), Location::Query { name: "a".into() }, false),
            (header("a", None), Location::Cookie { name: "a".into() }, false),
            (header("cookie", Some("a")), Location::Cookie { name: "a".into() }, true),
            (Location::Query { name: "a".into() }, Location::Cookie { name: "a".into() }, false),
        ] {
            assert_eq!(
                (one.overlaps(&other), other.overlaps(&one)),
                (expected, expected),
                "{one:?} {other:?}"
            );
        }
    }
}
