//! What an expression can see: the request, the response, their bodies, the path's captures, the consumer and the time.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, Value};

use super::body::{self, Body};
use super::clock::Now;
use super::text;
use crate::cookie;
use crate::head::RequestHead;
use crate::headers::Headers;
use crate::host::Timestamp;
use crate::matching::{Captures, host_of, number_of};
use crate::query;

/// The variables of one exchange, read when an expression asks for them.
///
/// A scope holds a copy of the header fields, because the values of the expression engine outlive the borrow that an
/// exchange has of its head. That copy is one allocation; make a scope once for an exchange, and only if there is an
/// expression.
#[derive(Clone, Debug)]
pub struct Scope {
    root: Arc<Root>,
}

#[derive(Clone)]
struct Root {
    request: Value,
    path: Value,
    response: Value,
    consumer: Value,
    body: Option<Arc<Body>>,
    now: Value,
}

/// Nothing in it: values are a client's.
impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").finish_non_exhaustive()
    }
}

impl Scope {
    /// What is known of a request when it arrives: `request`. Nothing is captured, and nobody is authenticated.
    pub fn new(request: &RequestHead<'_>) -> Self {
        let nothing = || Value::from_object(Nothing);
        let request = Value::from_object(Request(Arc::new(request.headers.clone())));
        Self {
            root: Arc::new(Root {
                request,
                path: nothing(),
                response: Value::UNDEFINED,
                consumer: nothing(),
                body: None,
                now: Value::UNDEFINED,
            }),
        }
    }

    /// Sets `path`.
    pub fn set_captures(&mut self, captures: &Captures<'_>) {
        let pairs = captures.iter().map(|(name, value)| (name, text_value(value)));
        Arc::make_mut(&mut self.root).path = Value::from_pairs(pairs);
    }

    /// Sets `response`, from its header fields, `:status` among them. Before, it is undefined, and whatever asks it for
    /// something fails.
    pub fn set_response(&mut self, headers: &Headers) {
        Arc::make_mut(&mut self.root).response = Value::from_object(Response(Arc::new(headers.clone())));
    }

    /// Sets `body`, of the request or of the response, whichever is passing. Before, it is undefined. The bytes are copied;
    /// whether they are JSON is looked at when an expression asks.
    pub fn set_body(&mut self, bytes: &[u8]) {
        Arc::make_mut(&mut self.root).body = Some(Arc::new(Body::new(bytes)));
    }

    /// Sets `now`. Before, it is undefined.
    pub fn set_now(&mut self, now: Timestamp) {
        Arc::make_mut(&mut self.root).now = Value::from_object(Now(now));
    }

    /// Sets `consumer`: a map, such as [`Consumer::to_value`](crate::consumer::Consumer::to_value). Before, nothing is in
    /// it, so that it is false, and equal to nothing is what it names.
    pub fn set_consumer(&mut self, consumer: Value) {
        Arc::make_mut(&mut self.root).consumer = consumer;
    }

    /// The variables, as the expression engine takes them.
    pub(crate) fn root(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.root))
    }

    /// The variables and some more. `exact`: numbers of the body are their texts, for printing; otherwise they are numbers,
    /// for comparing.
    pub(super) fn with_locals(&self, locals: Locals, exact: bool) -> Value {
        Value::from_object(View { root: Arc::clone(&self.root), locals, exact })
    }
}

/// Variables that a template sets. Of several of one name, the last counts.
pub(super) type Locals = Vec<(Arc<str>, Value)>;

struct View {
    root: Arc<Root>,
    locals: Locals,
    exact: bool,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl Object for View {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let local = self.locals.iter().rev().find(|(name, _)| **name == *key).map(|(_, value)| value.clone());
        let value = local.or_else(|| self.root.get(key))?;
        Some(body::with_numbers(value, self.exact))
    }
}

/// The fields that the variables have; those of `path` and `consumer` are not known beforehand.
pub(super) const ROOT: [&str; 6] = ["body", "consumer", "now", "path", "request", "response"];
pub(super) const REQUEST: [&str; 11] = [
    "cookies",
    "cookies_all",
    "headers",
    "headers_all",
    "host",
    "method",
    "path",
    "query",
    "query_all",
    "query_string",
    "scheme",
];
pub(super) const RESPONSE: [&str; 3] = ["headers", "headers_all", "status"];

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(body::with_numbers(self.get(key)?, false))
    }
}

impl Root {
    fn get(&self, key: &str) -> Option<Value> {
        match key {
            "request" => Some(self.request.clone()),
            "path" => Some(self.path.clone()),
            "response" => Some(self.response.clone()),
            "consumer" => Some(self.consumer.clone()),
            "now" => Some(self.now.clone()),
            "body" => Some(self.body.as_ref().map_or(Value::UNDEFINED, |body| body.value())),
            _ => None,
        }
    }
}

/// An empty map.
#[derive(Debug)]
struct Nothing;

impl Object for Nothing {}

#[derive(Debug)]
struct Request(Arc<Headers>);

impl Object for Request {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let head = RequestHead::new(&self.0);
        match key {
            "method" => Some(text_value(head.method)),
            "path" => Some(text_value(head.normal_path())),
            "query_string" => head.query.map(text_value),
            "host" => Some(text_value(&host_of(head.authority))),
            "scheme" => self.0.first(":scheme").map(text_value),
            _ => fields(&self.0, key),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&REQUEST)
    }
}

#[derive(Debug)]
struct Response(Arc<Headers>);

impl Object for Response {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "status" => self.0.first(":status").and_then(number_of).map(Value::from),
            "headers" | "headers_all" => fields(&self.0, key),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&RESPONSE)
    }
}

/// Values by name.
#[derive(Debug)]
struct Fields {
    headers: Arc<Headers>,
    source: Source,
    /// Whether a name stands for the list of its values.
    all: bool,
}

/// A name and a value.
type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

#[derive(Clone, Copy, Debug)]
enum Source {
    Headers,
    Query,
    Cookies,
}

fn fields(headers: &Arc<Headers>, key: &str) -> Option<Value> {
    let (name, all) = key.strip_suffix("_all").map_or((key, false), |name| (name, true));
    let source = match name {
        "headers" => Source::Headers,
        "query" => Source::Query,
        "cookies" => Source::Cookies,
        _ => return None,
    };
    Some(Value::from_object(Fields { headers: Arc::clone(headers), source, all }))
}

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let values = self.values(key);
        if self.all {
            return Some(Value::from(values));
        }
        match (values.as_slice(), self.source) {
            ([], _) => None,
            ([one], _) => Some(one.clone()),
            (_, Source::Headers) => Some(self.joined(key)),
            // Which of them is meant, an upstream decides; to take one here would be to guess.
            (_, Source::Query | Source::Cookies) => Some(Value::from(Error::new(
                ErrorKind::InvalidOperation,
                "the value is there more than once",
            ))),
        }
    }

    /// Parameters and cookies as often as they are there; headers, and lists of values, once for each name, without
    /// pseudo-headers. Unlike a lookup, this never gives an error for a value: the engine panics where it compares two.
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::KeyValueIter(Box::new(self.pairs().into_iter()))
    }
}

impl Fields {
    fn pairs(&self) -> Vec<(Value, Value)> {
        let pairs: Vec<Pair<'_>> = match self.source {
            Source::Headers => {
                let fields = self.headers.iter().filter(|(name, _)| !name.starts_with(b":"));
                fields.map(|(name, value)| (name.into(), value.into())).collect()
            }
            Source::Query => {
                let query = RequestHead::new(&self.headers).query.unwrap_or_default();
                let parameters = query::parameters(query);
                parameters.map(|parameter| (parameter.decoded_name(), parameter.decoded_value())).collect()
            }
            Source::Cookies => {
                let cookies = cookie::cookies(&self.headers);
                cookies.map(|(name, value)| (name.into(), value.into())).collect()
            }
        };
        let mut seen = HashSet::new();
        let each = !self.all && !matches!(self.source, Source::Headers);
        let pairs = pairs.iter().filter(|(name, _)| each || seen.insert(name));
        pairs
            .map(|(name, value)| {
                let value = match self.source {
                    _ if self.all => Value::from(self.values(&text::from_bytes(name))),
                    Source::Headers => self.joined(&text::from_bytes(name)),
                    Source::Query | Source::Cookies => text_value(value),
                };
                (text_value(name), value)
            })
            .collect()
    }

    fn values(&self, key: &str) -> Vec<Value> {
        // A literal of an expression may hold the stand-ins of bytes no more than a client's text does.
        match self.source {
            Source::Headers => self.headers.all(&key.to_ascii_lowercase()).map(text_value).collect(),
            Source::Query => {
                let query = RequestHead::new(&self.headers).query.unwrap_or_default();
                query::values(query, &text::to_bytes(key)).map(|value| text_value(&value)).collect()
            }
            Source::Cookies => cookie::values(&self.headers, &text::to_bytes(key)).map(text_value).collect(),
        }
    }

    /// The lines of a repeated field as one, in order (RFC 9110 section 5.3; for cookies RFC 9113 section 8.2.3).
    fn joined(&self, key: &str) -> Value {
        let name = key.to_ascii_lowercase();
        let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
        let lines: Vec<&[u8]> = self.headers.all(&name).collect();
        text_value(&lines.join(separator))
    }
}

fn text_value(bytes: &[u8]) -> Value {
    Value::from(&*text::from_bytes(bytes))
}
