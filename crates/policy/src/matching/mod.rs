//! Which requests and responses a rule is for: the `match` block that all policies share.
//!
//! ```yaml
//! match:
//!   method: [POST, PUT]
//!   host: "*.example.com"
//!   path: "/v1/users/{id}"
//!   query: {debug: "1"}
//!   header: {x-env: {regex: "^prod"}}
//!   cookie: {beta: {present: true}}
//!   status: [4xx, 503, 500-599]
//!   content_type: [application/json, "text/*", "application/*+json"]
//!   percent: 10
//! ```
//!
//! All parts that are there must hold; where a part is a list, one of its entries is enough. A part that is left out
//! always holds, and so does an empty block. A part is never there without saying anything: `null`, an empty list and an
//! empty object are refused, because a rule for nothing in particular would be a rule for everything.
//!
//! Everything is compiled while the configuration is read. A decision takes one branch for each part that is left out
//! and allocates only for paths, queries and cookies that are encoded unusually.

mod host;
mod named;
mod path;
mod path_match;
mod pattern;
mod status;
mod template;
mod truth;
mod value;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

pub use self::host::{HostPattern, host_of};
pub use self::named::{FieldName, Named};
pub(crate) use self::path::Readings;
pub use self::path::{is_ambiguous, normalize};
pub use self::path_match::PathMatch;
pub use self::pattern::Pattern;
pub use self::status::{StatusPattern, number_of};
pub use self::template::Template;
pub use self::truth::Truth;
pub use self::value::ValueMatch;
use crate::config::{OneOrMany, Percent};
use crate::cookie;
use crate::head::RequestHead;
use crate::headers::{Headers, is_token};
use crate::media_type::MediaTypePattern;
use crate::query;

/// Which requests and responses a rule is for. All parts that are there must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The method of the request. Methods are case-sensitive (RFC 9110 section 9.1).
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "OneOrMany<Method>")]
    method: Option<OneOrMany<Method>>,

    /// The host that the request is for.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "OneOrMany<HostPattern>")]
    host: Option<OneOrMany<HostPattern>>,

    /// The path of the request, without its query and in normal form: percent-encoding, `//`, `.` and `..` make no
    /// difference.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "OneOrMany<PathMatch>")]
    path: Option<OneOrMany<PathMatch>>,

    /// Parameters of the query, by decoded name.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Named<String>")]
    query: Option<Named<String>>,

    /// Header fields of the request. Each line of a repeated field is a value; commas within one do not split it.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Named<FieldName>")]
    header: Option<Named<FieldName>>,

    /// Cookies of the request, raw: quotes are part of a value, and nothing is decoded.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Named<String>")]
    cookie: Option<Named<String>>,

    /// The status of the response. A rule with this is for responses only.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "OneOrMany<StatusPattern>")]
    status: Option<OneOrMany<StatusPattern>>,

    /// The media type of the response where there is one, of the request before. Without a `content-type` this does not
    /// hold.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "OneOrMany<MediaTypePattern>")]
    content_type: Option<OneOrMany<MediaTypePattern>>,

    /// How many of those for which all else holds: 10 is every tenth, by chance.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Percent")]
    percent: Option<Percent>,
}

/// What is matched.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The head of the request.
    pub request: &'a RequestHead<'a>,
    /// The header fields of the response, once there is one.
    pub response: Option<&'a Headers>,
    /// Draws a number from 0 to 9,999, all equally likely. Called at most once, and only where `percent` decides.
    pub roll: &'a dyn Fn() -> u16,
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("request", self.request)
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}

/// What the names in a path template stood for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures<'m>(Vec<(&'m str, Vec<u8>)>);

impl<'m> Captures<'m> {
    /// The value of a name. Of `{name}` it is percent-decoded, so any bytes; of `{name...}` it is still encoded.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Names and values in the order of the template.
    pub fn iter(&self) -> impl Iterator<Item = (&'m str, &[u8])> {
        self.0.iter().map(|(name, value)| (*name, value.as_slice()))
    }
}

impl Match {
    /// Whether all parts hold.
    ///
    /// `status` does not hold as long as there is no response.
    pub fn holds(&self, input: &Input<'_>) -> bool {
        let content = input.response.unwrap_or(input.request.headers);
        self.request_holds(input.request)
            && self.status_holds(input)
            && holds(self.content_type.as_ref(), |pattern| {
                content.all("content-type").any(|value| pattern.matches(value))
            })
            && self.chance_holds(input.roll)
    }

    /// Whether this holds for a request and some response to it: `status` and `content_type` are taken for granted. `roll` is
    /// that of [`Input`].
    pub fn may_hold(&self, request: &RequestHead<'_>, roll: &dyn Fn() -> u16) -> bool {
        self.request_holds(request) && self.chance_holds(roll)
    }

    /// Whether `status` allows this status, or is left out.
    pub fn allows_status(&self, status: u16) -> bool {
        holds(self.status.as_ref(), |pattern| pattern.matches(status))
    }

    fn status_holds(&self, input: &Input<'_>) -> bool {
        self.status.as_ref().is_none_or(|_| {
            let status = input.response.and_then(|response| response.first(":status")).and_then(number_of);
            status.is_some_and(|status| self.allows_status(status))
        })
    }

    fn chance_holds(&self, roll: &dyn Fn() -> u16) -> bool {
        self.percent.as_ref().is_none_or(|percent| roll() < percent.hundredths())
    }

    /// The parts that are about the request alone.
    fn request_holds(&self, request: &RequestHead<'_>) -> bool {
        self.target_holds(request) && self.named_hold(request)
    }

    /// The parts of which a request may have several values: one of them is enough.
    fn named_hold(&self, request: &RequestHead<'_>) -> bool {
        self.query.as_ref().is_none_or(|query| {
            query.hold(|name: &[u8], test| {
                query::values(request.query.unwrap_or_default(), name).any(|value| test(&value))
            })
        }) && self
            .header
            .as_ref()
            .is_none_or(|header| header.hold(|name: &str, test| request.headers.all(name).any(test)))
            && self.cookie.as_ref().is_none_or(|cookie| {
                cookie.hold(|name: &[u8], test| cookie::values(request.headers, name).any(test))
            })
    }

    /// The parts of which a request has one value each.
    fn target_holds(&self, request: &RequestHead<'_>) -> bool {
        holds(self.method.as_ref(), |method| *method.0 == *request.method)
            && holds(self.host.as_ref(), |host| {
                host.matches(request.authority, || request.headers.first(":scheme"))
            })
            && self.path_holds(request)
    }

    /// The values of the names in the path template that the request satisfies: of the first, if there are several.
    pub fn captures(&self, request: &RequestHead<'_>) -> Captures<'_> {
        let path = request.normal_path();
        let mut patterns = self.path.iter().flatten();
        patterns.find_map(|pattern| pattern.captures(path)).map(Captures).unwrap_or_default()
    }

    /// The names in its path templates: those that [`captures`](Self::captures) may have values for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.path.iter().flatten().flat_map(PathMatch::names)
    }

    /// Whether this can hold only once there is a response.
    pub fn needs_response(&self) -> bool {
        self.status.is_some()
    }

    /// Whether the request has a say in this once there is a response.
    pub fn looks_at_request(&self) -> bool {
        let Self { method, host, path, query, header, cookie, status: _, content_type: _, percent: _ } = self;
        method.is_some()
            || host.is_some()
            || path.is_some()
            || query.is_some()
            || header.is_some()
            || cookie.is_some()
    }

    /// Whether the response has a say in this once there is one.
    pub fn looks_at_response(&self) -> bool {
        self.status.is_some() || self.content_type.is_some()
    }

    /// Whether the path of a request has a say in this: see [`is_ambiguous`].
    pub fn looks_at_path(&self) -> bool {
        self.path.is_some()
    }

    /// Whether all parts hold however the upstream reads the request.
    ///
    /// A request may say two things: a path with `;` or `%2F` (see [`RequestHead::path_truth`]), a host that is none, a method in
    /// lower case, several values where one is looked at. This tells what [`Match::holds`] can't: whether such a request
    /// is one of these for every upstream, for some, or for none. What guards, counts or masks goes by [`Truth::may_be`];
    /// what permits needs [`Truth::Yes`].
    pub fn truth(&self, input: &Input<'_>) -> Truth {
        let truth = self.target_truth(input.request).min(self.type_truth(input));
        let truth = match truth {
            Truth::No => return Truth::No,
            _ if self.sees_several(input.request) => Truth::Unclear,
            _ if self.named_hold(input.request) => truth,
            _ => return Truth::No,
        };
        // Chance is asked last: it is drawn only where it decides.
        if self.status_holds(input) && self.chance_holds(input.roll) { truth } else { Truth::No }
    }

    /// Whether a request has several values where this looks at one: of a query parameter, a header field or a cookie. This
    /// holds if one of them is right; an upstream may take another, or all of them.
    fn sees_several(&self, request: &RequestHead<'_>) -> bool {
        let query = request.query.unwrap_or_default();
        let several = |count: usize| count > 1;
        self.query
            .iter()
            .flat_map(Named::names)
            .any(|name| several(query::values(query, name.as_bytes()).count()))
            || self
                .header
                .iter()
                .flat_map(Named::names)
                .any(|name| several(request.headers.all(name.as_ref()).count()))
            || self
                .cookie
                .iter()
                .flat_map(Named::names)
                .any(|name| several(cookie::values(request.headers, name.as_bytes()).count()))
    }

    /// The media type, however it is read: Envoy makes one value of two lines of `content-type`, with a comma between them.
    fn type_truth(&self, input: &Input<'_>) -> Truth {
        let Some(patterns) = &self.content_type else { return Truth::Yes };
        let content = input.response.unwrap_or(input.request.headers);
        let types = content.all("content-type").flat_map(|value| value.split(|byte| *byte == b','));
        let mut holding = types.map(|kind| patterns.iter().any(|pattern| pattern.matches(kind.trim_ascii())));
        match (holding.next(), holding.next()) {
            (first, None) => first.unwrap_or(false).into(),
            (first, second) if first == Some(true) || second == Some(true) || holding.any(|holds| holds) => {
                Truth::Unclear
            }
            _ => Truth::No,
        }
    }

    /// The parts of which a request has one value each, however that is read.
    fn target_truth(&self, request: &RequestHead<'_>) -> Truth {
        let method = truth(self.method.as_ref(), |method| method.truth(request.method));
        let host = truth(self.host.as_ref(), |host| {
            host.truth(request.authority, || request.headers.first(":scheme"))
        });
        let path = self.path.as_ref().map_or(Truth::Yes, |patterns| {
            request.path_truth(|path| patterns.iter().any(|pattern| pattern.matches(path)))
        });
        method.min(host).min(path)
    }

    fn path_holds(&self, request: &RequestHead<'_>) -> bool {
        self.path.as_ref().is_none_or(|patterns| {
            let path = request.normal_path();
            patterns.iter().any(|pattern| pattern.matches(path))
        })
    }
}

/// A part that is a list holds if one of its entries does.
fn holds<T>(part: Option<&OneOrMany<T>>, one: impl FnMut(&T) -> bool) -> bool {
    part.is_none_or(|entries| entries.iter().any(one))
}

/// As [`holds`], of what one entry says.
fn truth<T>(part: Option<&OneOrMany<T>>, one: impl FnMut(&T) -> Truth) -> Truth {
    part.map_or(Truth::Yes, |entries| entries.iter().map(one).max().unwrap_or(Truth::No))
}

/// A part that is there says something.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A method, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Method(Box<[u8]>);

impl Method {
    /// Whether a request has this method. Methods are case-sensitive, but there are servers that make `get` a GET.
    fn truth(&self, method: &[u8]) -> Truth {
        if *self.0 == *method {
            Truth::Yes
        } else if self.0.eq_ignore_ascii_case(method) {
            Truth::Unclear
        } else {
            Truth::No
        }
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let method = String::deserialize(deserializer)?;
        let upper = method.to_ascii_uppercase();
        if !is_token(method.as_bytes()) {
            Err(de::Error::invalid_value(de::Unexpected::Str(&method), &"a method like GET"))
        } else if method != upper {
            let expected = format!("methods are case-sensitive, so write {upper}");
            Err(de::Error::invalid_value(de::Unexpected::Str(&method), &expected.as_str()))
        } else {
            Ok(Self(method.into_bytes().into()))
        }
    }
}

impl JsonSchema for Method {
    fn schema_name() -> Cow<'static, str> {
        "Method".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[A-Z0-9!#$%&'*+.^_`|~-]+$",
            "description": "A request method in upper case.",
            "examples": ["GET", "POST"],
        })
    }
}

#[cfg(test)]
mod tests;
