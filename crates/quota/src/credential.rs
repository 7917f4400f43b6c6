//! Where a request carries its key, and how it is kept from the upstream.

use std::borrow::Cow;

use meshgate_policy::config::{ConfigError, OneOrMany, Path};
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::{HeaderName, HeaderValue, is_token};
use meshgate_policy::host::{Host, HostError, Map};
use meshgate_policy::query;

use crate::config::KeyFrom;
use crate::identity;

/// Where requests may carry a key.
#[derive(Debug)]
pub struct Locations(Box<[Location]>);

#[derive(Debug, PartialEq, Eq)]
enum Location {
    Header { name: HeaderName, scheme: Option<Box<str>> },
    Query { name: Box<str> },
}

/// What a request carries.
pub enum Found<'a> {
    Nothing,
    /// The bytes of the key.
    One(Cow<'a, [u8]>),
    /// More than one, even if they are equal.
    Several,
}

impl Locations {
    /// Checks the places that are configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for a place that cannot be, or that is there twice.
    pub fn compile(keys_from: OneOrMany<KeyFrom>) -> Result<Self, ConfigError> {
        let mut locations: Vec<Location> = Vec::new();
        for (index, place) in keys_from.into_iter().enumerate() {
            let path = Path::root().key("keys_from").index(index);
            let location = Location::compile(place, &path)?;
            if let Some(first) = locations.iter().position(|other| other.overlaps(&location)) {
                return Err(ConfigError::at(path)
                    .found(format!("the place of keys_from[{first}]"))
                    .expected("a place of its own")
                    .hint("a key would be found twice and refused: remove one of the two"));
            }
            locations.push(location);
        }
        Ok(Self(locations.into()))
    }

    /// Looks in all places.
    pub fn find<'a>(&'a self, head: &RequestHead<'a>) -> Found<'a> {
        let mut found = Found::Nothing;
        for location in &self.0 {
            let mut note = |key| {
                found = match found {
                    Found::Nothing => Found::One(key),
                    Found::One(_) | Found::Several => Found::Several,
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
            }
        }
        found
    }

    /// Removes all keys from the request, and nothing else. What is written is the request as it came without the keys of
    /// all places, so that hiding one does not bring back another.
    ///
    /// # Errors
    /// What the host refused.
    pub fn hide(&self, host: &mut dyn Host, head: &RequestHead<'_>) -> Result<(), HostError> {
        let mut parameters: Vec<&[u8]> = Vec::new();
        for location in &self.0 {
            match location {
                Location::Header { name, .. } => self.hide_in(name, host, head)?,
                Location::Query { name } => parameters.push(name.as_bytes()),
            }
        }
        let target = head.headers.first(":path").unwrap_or_default();
        let hidden = query::target_without(target, &parameters);
        if hidden.len() < target.len() {
            let hidden = HeaderValue::new(hidden).map_err(|_| HostError::Malformed)?;
            host.set_header(Map::RequestHeaders, &HeaderName::PATH, &hidden)?;
        }
        Ok(())
    }

    fn hide_in(
        &self,
        field: &HeaderName,
        host: &mut dyn Host,
        head: &RequestHead<'_>,
    ) -> Result<(), HostError> {
        let is_key = |value: &[u8]| self.0.iter().any(|location| location.has_key(field, value));
        if !head.headers.all(field.as_str()).any(is_key) {
            return Ok(());
        }
        host.remove_header(Map::RequestHeaders, field)?;
        // Values of other schemes are not keys: they go back.
        for value in head.headers.all(field.as_str()).filter(|value| !is_key(value)) {
            let value = HeaderValue::new(value).map_err(|_| HostError::Malformed)?;
            host.add_header(Map::RequestHeaders, field, &value)?;
        }
        Ok(())
    }

    /// Says where to put a key, for the client that sent none: `the header x-api-key`.
    pub fn describe(&self) -> String {
        let places = self.0.iter().map(|location| match location {
            Location::Header { name, scheme: None } => format!("the header {name}"),
            Location::Header { name, scheme: Some(scheme) } => {
                format!("the header {name} as \"{scheme} <key>\"")
            }
            Location::Query { name } => format!("the query parameter {name}"),
        });
        places.collect::<Vec<_>>().join(" or ")
    }
}

impl Location {
    fn compile(place: KeyFrom, path: &Path) -> Result<Self, ConfigError> {
        match place {
            KeyFrom { header: Some(header), query: None, scheme } => {
                let here = path.key("header");
                let name = HeaderName::new(&header).map_err(|_| {
                    let error = ConfigError::at(&here).value(&header);
                    error.expected("the name of a header field, such as x-api-key")
                })?;
                if identity::is_identity(name.as_str().as_bytes()) {
                    return Err(ConfigError::at(here)
                        .value(&header)
                        .expected("a name that does not start with x-consumer-")
                        .hint("such headers tell the upstream who the consumer is, and are removed from every request"));
                }
                match scheme {
                    Some(scheme) if !is_token(scheme.as_bytes()) => Err(ConfigError::at(path.key("scheme"))
                        .value(&scheme)
                        .expected("an authentication scheme without spaces, such as ApiKey")),
                    scheme => Ok(Self::Header { name, scheme: scheme.map(String::into_boxed_str) }),
                }
            }
            KeyFrom { header: None, query: Some(query), scheme: None } => {
                let here = path.key("query");
                let printable = query.chars().all(|char| !char.is_control());
                if query.is_empty() || !printable {
                    return Err(ConfigError::at(here)
                        .value(&query)
                        .expected("the decoded name of a query parameter, such as api_key"));
                }
                Ok(Self::Query { name: query.into() })
            }
            KeyFrom { query: Some(_), scheme: Some(_), header: None } => {
                Err(ConfigError::at(path.key("scheme"))
                    .found("a scheme for a query parameter")
                    .expected("one only for a header")
                    .hint("remove scheme"))
            }
            KeyFrom { header: Some(_), query: Some(_), .. } => Err(ConfigError::at(path)
                .found("header and query")
                .expected("one of them")
                .hint("write two entries to look in both")),
            KeyFrom { header: None, query: None, .. } => Err(ConfigError::at(path)
                .found("neither header nor query")
                .expected("one of them, such as header: x-api-key")),
        }
    }

    /// Whether one value could be a key for both.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name, scheme }, Self::Header { name: other, scheme: other_scheme }) => {
                let both = scheme.as_ref().zip(other_scheme.as_ref());
                name == other && both.is_none_or(|(one, other)| one.eq_ignore_ascii_case(other))
            }
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
    use meshgate_policy::headers::Headers;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn header(name: &str, scheme: Option<&str>) -> Location {
        let name = HeaderName::new(name).unwrap();
        Location::Header { name, scheme: scheme.map(Into::into) }
    }

    fn locations() -> Locations {
        let query = Location::Query { name: "api_key".into() };
        Locations([header("x-api-key", None), header("authorization", Some("ApiKey")), query].into())
    }

    /// The key, or how many there are.
    fn find(fields: &[(&str, &str)]) -> Result<String, &'static str> {
        let (locations, headers) = (locations(), Headers::from_pairs(fields.iter().copied()));
        match locations.find(&RequestHead::new(&headers)) {
            Found::Nothing => Err("nothing"),
            Found::One(key) => Ok(key.escape_ascii().to_string()),
            Found::Several => Err("several"),
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
        ] {
            assert_eq!(find(fields), Err("several"), "{fields:?}");
        }
    }

    #[test]
    fn clients_are_told_where_to_put_a_key() {
        assert_eq!(
            locations().describe(),
            "the header x-api-key or the header authorization as \"ApiKey <key>\" or the query parameter api_key"
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
