//! Where a request carries its key, and how it is kept from the upstream.

mod location;

use std::borrow::Cow;

use meshgate_policy::config::{ConfigError, OneOrMany, Path};
use meshgate_policy::cookie;
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, Map};
use meshgate_policy::query;

use self::location::{COOKIE, Location, keys_in, unquoted};
use crate::config::KeyFrom;

static AUTHORIZATION: HeaderName = HeaderName::constant("authorization");
/// RFC 6750 section 2.1.
const BEARER: &str = "Bearer";
/// Where requests may carry a key or a token.
#[derive(Debug)]
pub struct Locations {
    keys: Box<[Location]>,
    /// They may also carry a token, as `authorization: Bearer <token>`.
    tokens: bool,
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
        for (path, place) in keys_from.located(&Path::root().key("keys_from")) {
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
