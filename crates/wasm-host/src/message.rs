//! Requests and responses: what a client sends, what an upstream got and answered, what the client gets.

use std::net::SocketAddr;

use meshgate_policy::headers::Headers;

/// One of the two directions of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client to the upstream.
    Request,
    /// And back.
    Response,
}

/// Header or trailer fields in their order: names in lower case, values as bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Vec<u8>)>);

/// Of these Envoy keeps one value: what is added goes behind a comma.
const ONE_VALUE: [&str; 10] = [
    "content-type",
    "connection",
    "expect",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-request-id",
];

/// What Envoy reads of an encoded map: beyond that it takes it for an empty one.
const MAX_PAIRS: usize = 1024;
const MAX_PAIRS_SIZE: usize = 1024 * 1024;

impl Fields {
    /// Without fields.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The first value of a field.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The first value of a field as a text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.first(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Every value of a field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a field.
    pub fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let (name, value) = (name.to_ascii_lowercase(), value.into());
        let one = ONE_VALUE.contains(&name.as_str());
        match self.0.iter_mut().find(|(found, _)| one && *found == name) {
            Some((_, there)) => {
                there.push(b',');
                there.extend(value);
            }
            None => self.0.push((name, value)),
        }
    }

    /// Gives a field this value and no other.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let name = name.to_ascii_lowercase();
        let mut value = Some(value.into());
        self.0.retain_mut(|(found, there)| {
            if *found != name {
                return true;
            }
            value.take().map(|value| *there = value).is_some()
        });
        if let Some(value) = value {
            self.0.push((name, value));
        }
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.0.retain(|(found, _)| *found != name);
    }

    /// In the pairs encoding of the ABI.
    pub(crate) fn to_wire(&self) -> Vec<u8> {
        Headers::from_pairs(self.iter()).as_wire().to_vec()
    }

    /// From the pairs encoding, as Envoy reads it: too large a map is an empty one.
    pub(crate) fn from_wire(wire: Vec<u8>) -> Self {
        if wire.len() > MAX_PAIRS_SIZE {
            return Self::new();
        }
        let pairs = Headers::from_wire(wire).unwrap_or_default();
        if pairs.len() > MAX_PAIRS {
            return Self::new();
        }
        let mut fields = Self::new();
        for (name, value) in &pairs {
            fields.add(&String::from_utf8_lossy(name), value);
        }
        fields
    }

    /// How many bytes its names and values are.
    pub(crate) fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum()
    }
}

impl<N: AsRef<str>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut all = Self::new();
        for (name, value) in fields {
            all.add(name.as_ref(), value);
        }
        all
    }
}

/// Names only: values may be credentials.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A request as a client sends it, over HTTP/1.1.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `Host`.
    pub authority: String,
    /// The other fields.
    pub headers: Fields,
    /// The body, in the parts in which it arrives.
    pub body: Vec<Vec<u8>>,
    /// Behind the body.
    pub trailers: Fields,
    /// The body goes without its length. With trailers it always does.
    pub chunked: bool,
    /// Who sends it.
    pub from: SocketAddr,
    /// The name of the route that it has.
    pub route: String,
}

impl Request {
    /// A request without fields and body, from 127.0.0.1.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            authority: "localhost".to_owned(),
            headers: Fields::new(),
            body: Vec::new(),
            trailers: Fields::new(),
            chunked: false,
            from: ([127, 0, 0, 1], 40_000).into(),
            route: String::new(),
        }
    }

    /// Whether nothing follows the head.
    pub(crate) fn is_head_only(&self) -> bool {
        self.body.iter().all(Vec::is_empty) && self.trailers.is_empty() && !self.chunked
    }

    /// The head as filters see it: Envoy adds two fields of its own.
    pub(crate) fn head(&self, id: impl FnOnce() -> String) -> Fields {
        let mut head: Fields = [
            (":authority", &self.authority),
            (":path", &self.path),
            (":method", &self.method),
            (":scheme", &"http".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
        for (name, value) in self.headers.iter() {
            head.add(name, value);
        }
        frame(&mut head, &self.body, self.chunked || !self.trailers.is_empty(), !self.is_head_only());
        if head.first("x-forwarded-proto").is_none() {
            head.set("x-forwarded-proto", "http");
        }
        if head.first("x-request-id").is_none() {
            head.set("x-request-id", id());
        }
        head
    }
}

/// Says how long a body is, unless its head says so.
pub(crate) fn frame(head: &mut Fields, body: &[Vec<u8>], chunked: bool, has_body: bool) {
    if head.first("content-length").is_some() || head.first("transfer-encoding").is_some() {
        return;
    }
    if chunked {
        head.set("transfer-encoding", "chunked");
    } else if has_body {
        head.set("content-length", body.iter().map(Vec::len).sum::<usize>().to_string());
    }
}

/// A request as the upstream got it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// All fields, the pseudo-headers in front.
    pub headers: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// Behind the body.
    pub trailers: Fields,
    /// All of it came.
    pub complete: bool,
}

impl Received {
    /// A pseudo-header, such as `:path`.
    pub fn pseudo(&self, name: &str) -> String {
        self.headers.text(name).unwrap_or_default()
    }
}

/// A response as an upstream sends it, or as the client gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its fields, without `:status`.
    pub headers: Fields,
    /// The body, in the parts in which it arrives: one of what a client got.
    pub body: Vec<Vec<u8>>,
    /// Behind the body.
    pub trailers: Fields,
    /// The body goes without its length.
    pub chunked: bool,
}

impl Response {
    /// The whole body.
    pub fn whole_body(&self) -> Vec<u8> {
        self.body.concat()
    }

    /// Its head as filters see it.
    pub(crate) fn head(&self, head_request: bool) -> Fields {
        let mut head: Fields = [(":status", self.status.to_string())].into_iter().collect();
        for (name, value) in self.headers.iter() {
            head.add(name, value);
        }
        // That of an answer to HEAD is the length that the body would have.
        let says_length =
            !(matches!(self.status, 100..=199 | 204 | 304) || head_request && self.body.is_empty());
        if says_length {
            frame(&mut head, &self.body, self.chunked || !self.trailers.is_empty(), true);
        }
        head
    }

    /// Whether nothing follows its head. An answer whose length is 0 ends with its head in Envoy's HTTP/1 codec.
    pub(crate) fn is_head_only(&self, head_request: bool) -> bool {
        let empty = self.body.iter().all(Vec::is_empty) && self.trailers.is_empty() && !self.chunked;
        head_request || matches!(self.status, 204 | 304) || empty
    }
}
