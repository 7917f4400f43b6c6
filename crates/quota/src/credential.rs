//! Where a request carries its key, and how it is kept from the upstream.

use std::borrow::Cow;

use meshgate_policy::config::{ConfigError, OneOrMany, Path};
use meshgate_policy::cookie;
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers, is_token};
use meshgate_policy::host::{Host, HostError, Map};
use meshgate_policy::query;

use crate::config::KeyFrom;
use crate::identity;

static COOKIE: HeaderName = HeaderName::constant("cookie");
static AUTHORIZATION: HeaderName = HeaderName::constant("authorization");
/// RFC 6750 section 2.1.
const BEARER: &str = "Bearer";
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

/// Where requests may carry a key or a token.
#[derive(Debug)]
pub struct Locations {
    keys: Box<[Location]>,
    /// They may also carry a token, as `authorization: Bearer <token>`.
    tokens: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Location {
    Header { name: HeaderName, scheme: Option<Box<str>> },
    Query { name: Box<str> },
    Cookie { name: Box<str> },
}

/// What a request carries.
pub enum Found<'a> {
    Nothing,
    /// The bytes of the key.
    One(Cow<'a, [u8]>),
    /// A token.
    Token(&'a [u8]),
    /// More than one of both, even if they are equal.
    Several {
        /// One of them is a token.
        token: bool,
    },
}

/// What is kept from the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Keys.
    pub keys: bool,
    /// Tokens.
    pub tokens: bool,
}

impl Hidden {
    /// The request is as it came.
    pub const NOTHING: Self = Self { keys: false, tokens: false };
}

impl Locations {
    /// Checks the places that are configured. `tokens`: tokens have theirs.
    ///
    /// # Errors
    /// A [`ConfigError`] for a place that cannot be, or that is there twice.
    pub fn compile(keys_from: OneOrMany<KeyFrom>, tokens: bool) -> Result<Self, ConfigError> {
        let mut locations: Vec<Location> = Vec::new();
        let bearer = Location::Header { name: AUTHORIZATION.clone(), scheme: Some(BEARER.into()) };
        for (index, place) in keys_from.into_iter().enumerate() {
            let path = Path::root().key("keys_from").index(index);
            let location = Location::compile(place, &path)?;
            if let Some(first) = locations.iter().position(|other| other.overlaps(&location)) {
                return Err(ConfigError::at(path)
                    .found(format!("the place of keys_from[{first}]"))
                    .expected("a place of its own")
                    .hint("a key would be found twice and refused: remove one of the two"));
            }
            if tokens && location.overlaps(&bearer) {
                return Err(ConfigError::at(path)
                    .found("the place of tokens")
                    .expected("another one, such as header: x-api-key")
                    .hint("with tokens or introspection, what follows Bearer in authorization is a token"));
            }
            locations.push(location);
        }
        Ok(Self { keys: locations.into(), tokens })
    }

    /// Looks in all places.
    pub fn find<'a>(&'a self, head: &RequestHead<'a>) -> Found<'a> {
        let mut found = Found::Nothing;
        for location in &self.keys {
            let mut note = |key| {
                found = match found {
                    Found::Nothing => Found::One(key),
                    Found::One(_) | Found::Token(_) | Found::Several { .. } => {
                        Found::Several { token: false }
                    }
                };
            };
            match location {
                Location::Header { name, scheme } => head
                    .headers
                    .all(name.as_str())
                    .flat_map(|value| keys_in(value, scheme.as_deref()))
                    .for_each(|key| note(Cow::Borrowed(key))),
                Location::Query { name } => {
                    query::values(head.query.unwrap_or_default(), name.as_bytes()).for_each(note);
                }
                Location::Cookie { name } => cookie::values(head.headers, name.as_bytes())
                    .for_each(|value| note(Cow::Borrowed(unquoted(value)))),
            }
        }
        if self.tokens {
            let values = head.headers.all(AUTHORIZATION.as_str());
            for token in values.flat_map(|value| keys_in(value, Some(BEARER))) {
                found = match found {
                    Found::Nothing => Found::Token(token),
                    Found::One(_) | Found::Token(_) | Found::Several { .. } => Found::Several { token: true },
                };
            }
        }
        found
    }

    /// Removes all keys, all tokens, or both from the request, and nothing else. What is written is the request as it came
    /// without the keys of all places, so that hiding one does not bring back another.
    ///
    /// # Errors
    /// What the host refused.
    pub fn hide(&self, host: &mut dyn Host, head: &RequestHead<'_>, hidden: Hidden) -> Result<(), HostError> {
        let map = Map::RequestHeaders;
        self.hide_in_fields(host, map, head.headers, hidden)?;
        if !hidden.keys {
            return Ok(());
        }
        let parameters: Vec<&[u8]> = self
            .keys
            .iter()
            .filter_map(|location| match location {
                Location::Query { name } => Some(name.as_bytes()),
                Location::Header { .. } | Location::Cookie { .. } => None,
            })
            .collect();
        if parameters.is_empty() {
            return Ok(());
        }
        let target = head.headers.first(":path").unwrap_or_default();
        let hidden = query::target_without(target, &parameters);
        if hidden.len() < target.len() {
            let hidden = HeaderValue::new(hidden).map_err(|_| HostError::Malformed)?;
            host.set_header(map, &HeaderName::PATH, &hidden)?;
        }
        Ok(())
    }

    /// As [`Locations::hide`], in the trailers of a request. Nobody is found by what stands there, but there are servers that
    /// put it among the headers.
    ///
    /// # Errors
    /// What the host refused.
    pub fn hide_in_trailers(
        &self,
        host: &mut dyn Host,
        trailers: &Headers,
        hidden: Hidden,
    ) -> Result<(), HostError> {
        self.hide_in_fields(host, Map::RequestTrailers, trailers, hidden)
    }

    fn hide_in_fields(
        &self,
        host: &mut dyn Host,
        map: Map,
        headers: &Headers,
        hidden: Hidden,
    ) -> Result<(), HostError> {
        if hidden.tokens && self.tokens {
            self.hide_in(&AUTHORIZATION, host, map, headers, hidden)?;
        }
        if !hidden.keys {
            return Ok(());
        }
        let mut cookies: Vec<&[u8]> = Vec::new();
        for location in &self.keys {
            match location {
                Location::Header { name, .. } => self.hide_in(name, host, map, headers, hidden)?,
                Location::Cookie { name } => cookies.push(name.as_bytes()),
                Location::Query { .. } => {}
            }
        }
        if cookies.is_empty() { Ok(()) } else { hide_cookies(&cookies, host, map, headers) }
    }

    fn hide_in(
        &self,
        field: &HeaderName,
        host: &mut dyn Host,
        map: Map,
        headers: &Headers,
        hidden: Hidden,
    ) -> Result<(), HostError> {
        let tokens = hidden.tokens && self.tokens && *field == AUTHORIZATION;
        let is_key = |value: &[u8]| {
            (hidden.keys && self.keys.iter().any(|location| location.has_key(field, value)))
                || (tokens && keys_in(value, Some(BEARER)).next().is_some())
        };
        if !headers.all(field.as_str()).any(is_key) {
            return Ok(());
        }
        host.remove_header(map, field)?;
        // Values of other schemes are not keys: they go back.
        for value in headers.all(field.as_str()).filter(|value| !is_key(value)) {
            let value = HeaderValue::new(value).map_err(|_| HostError::Malformed)?;
            host.add_header(map, field, &value)?;
        }
        Ok(())
    }

    /// Says where to put a key, for the client that sent none: `the header x-api-key`.
    pub fn describe(&self) -> String {
        let token = self.tokens.then(|| format!("the header {AUTHORIZATION} as \"{BEARER} <token>\""));
        let places = self.keys.iter().map(|location| match location {
            Location::Header { name, scheme: None } => format!("the header {name}"),
            Location::Header { name, scheme: Some(scheme) } => {
                format!("the header {name} as \"{scheme} <key>\"")
            }
            Location::Query { name } => format!("the query parameter {name}"),
            Location::Cookie { name } => format!("the cookie {name}"),
        });
        places.chain(token).collect::<Vec<_>>().join(" or ")
    }
}

impl Location {
    fn compile(place: KeyFrom, path: &Path) -> Result<Self, ConfigError> {
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
    fn overlaps(&self, other: &Self) -> bool {
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
}

impl Location {
    /// Whether this value of this header field has a key of this place in it.
    fn has_key(&self, field: &HeaderName, value: &[u8]) -> bool {
        matches!(self, Self::Header { name, scheme } if name == field && keys_in(value, scheme.as_deref()).next().is_some())
    }
}

/// Removes cookies from the fields that have them; what is left of a field stays in its place among the others.
fn hide_cookies(names: &[&[u8]], host: &mut dyn Host, map: Map, headers: &Headers) -> Result<(), HostError> {
    let fields = || headers.all(COOKIE.as_str()).map(|field| cookie::without(field, names));
    if fields().all(|field| matches!(field, Cow::Borrowed(_))) {
        return Ok(());
    }
    host.remove_header(map, &COOKIE)?;
    for field in fields().filter(|field| !field.is_empty()) {
        let field = HeaderValue::new(field).map_err(|_| HostError::Malformed)?;
        host.add_header(map, &COOKIE, &field)?;
    }
    Ok(())
}

/// The value of a cookie without the quotes that may stand around it (RFC 6265 section 4.1.1).
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// The keys in a header value. Repeated fields may have been joined by commas (RFC 9110 section 5.3), as Envoy does with
/// `authorization`. What has the scheme behind a comma is a key of a field that was repeated: it counts twice, so that no
/// such request passes. Without a scheme all of the value is one key.
fn keys_in<'a>(value: &'a [u8], scheme: Option<&'a str>) -> impl Iterator<Item = &'a [u8]> {
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

    fn locations() -> Locations {
        let query = Location::Query { name: "api_key".into() };
        let cookie = Location::Cookie { name: "key".into() };
        let keys = [header("x-api-key", None), header("authorization", Some("ApiKey")), query, cookie];
        Locations { keys: keys.into(), tokens: false }
    }

    /// The key, or how many there are.
    fn find(fields: &[(&str, &str)]) -> Result<String, &'static str> {
        let (locations, headers) = (locations(), Headers::from_pairs(fields.iter().copied()));
        match locations.find(&RequestHead::new(&headers)) {
            Found::Nothing => Err("nothing"),
            Found::One(key) => Ok(key.escape_ascii().to_string()),
            Found::Token(_) => Err("a token"),
            Found::Several { .. } => Err("several"),
        }
    }

    #[test]
    fn a_key_is_found_in_each_place() {
        for (fields, expected) in [
            (&[][..], Err("nothing")),
            (&[("x-api-key", "k")], Ok("k")),
            (&[("x-api-key", "")], Ok("")),
            (&[("x-api-key", "a b")], Ok("a b")),
            (&[("authorization", "ApiKey k")], Ok("k")),
            (&[("authorization", "apikey   k ")], Ok("k ")),
            (&[("authorization", "ApiKey")], Ok("")),
            (&[("authorization", "ApiKey ")], Ok("")),
            (&[("authorization", "ApiKeys k")], Err("nothing")),
            (&[("authorization", "ApiKey\tk")], Ok("k")),
            (&[("authorization", "Basic k")], Err("nothing")),
            (&[("authorization", "")], Err("nothing")),
            (&[("authorization", "Basic a"), ("authorization", "ApiKey k")], Ok("k")),
            (&[(":path", "/?api_key=k&x=1")], Ok("k")),
            (&[(":path", "/?api%5Fkey=a%00%zz+")], Ok("a\\x00%zz ")),
            (&[(":path", "/?api_key")], Ok("")),
            (&[(":path", "/?API_KEY=k")], Err("nothing")),
            (&[("cookie", "a=1; key=k; b=2")], Ok("k")),
            (&[("cookie", "a=1"), ("cookie", "key=\"k=\"")], Ok("k=")),
            (&[("cookie", "key=\"")], Ok("\\\"")),
            (&[("cookie", "key=")], Ok("")),
            (&[("cookie", "key; Key=k; keys=k")], Err("nothing")),
        ] {
            assert_eq!(find(fields), expected.map(str::to_owned), "{fields:?}");
        }
    }

    #[test]
    fn more_than_one_is_always_seen() {
        for fields in [
            &[("x-api-key", "k"), ("x-api-key", "k")],
            &[("x-api-key", ""), ("x-api-key", "k")],
            &[("x-api-key", "k"), ("authorization", "ApiKey k")],
            &[("authorization", "ApiKey k"), ("authorization", "apikey")],
            &[(":path", "/?api_key=k"), ("x-api-key", "k")],
            &[(":path", "/?api_key=k&api_key="), ("x", "")],
            &[(":path", "/?api_key&api%5fkey=k"), ("x", "")],
            &[("cookie", "key=k;key=k"), ("x", "")],
            &[("cookie", "key=k"), ("cookie", "key=")],
            &[("cookie", "key=k"), ("x-api-key", "k")],
        ] {
            assert_eq!(find(fields), Err("several"), "{fields:?}");
        }
    }

    #[test]
    fn clients_are_told_where_to_put_a_key() {
        assert_eq!(
            locations().describe(),
            "the header x-api-key or the header authorization as \"ApiKey <key>\" or the query parameter api_key or the \
             cookie key"
        );
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

    #[test]
    fn what_was_joined_by_commas_is_taken_apart() {
        let joined = |value| find(&[("authorization", value)]);
        assert_eq!(joined("ApiKey a"), Ok("a".to_owned()));
        assert_eq!(joined("ApiKey\ta"), Ok("a".to_owned()));
        assert_eq!(joined("ApiKey a,b"), Ok("a,b".to_owned()));
        assert_eq!(joined("Basic b, apikey c"), joined("ApiKey a,ApiKey a"));
        assert_eq!(joined("ApiKey a,ApiKey a"), find(&[("x-api-key", "a"), ("x-api-key", "a")]));
        assert_eq!(
            find(&[("x-api-key", "a"), ("authorization", "Basic b, apikey c")]),
            joined("ApiKey a,ApiKey a")
        );
    }
}
