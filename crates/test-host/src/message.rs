//! Requests and responses, as tests write and read them.

use std::fmt;

use meshgate_policy::headers::Headers;

/// The fields of a head or of trailers, in order. Names are in lower case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a field behind the others.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0.push((name.to_ascii_lowercase().into_bytes(), value.as_ref().to_vec()));
    }

    /// Replaces all values of a field by one.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let place = self.0.iter().position(|(found, _)| found == name.as_bytes());
        self.remove(name);
        match place {
            Some(place) => self.0.insert(place, (name.as_bytes().to_vec(), value.as_ref().to_vec())),
            None => self.add(name, value),
        }
    }

    /// Removes all values of a field.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(found, _)| found != name.as_bytes());
    }

    /// The value of a field that must not be repeated.
    ///
    /// # Panics
    /// It is repeated, or not UTF-8.
    pub fn get<'a>(&'a self, name: &str) -> Option<&'a str> {
        let mut values = self.all(name);
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} is repeated: {self:?}");
        Some(std::str::from_utf8(value).unwrap_or_else(|_| panic!("{name} is not UTF-8: {self:?}")))
    }

    /// All values of a field, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    pub(crate) fn to_headers(&self) -> Headers {
        Headers::from_pairs(self.iter())
    }
}

impl From<&Headers> for Fields {
    fn from(headers: &Headers) -> Self {
        Self(headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut fields = Self::new();
        for (name, value) in pairs {
            fields.add(name.as_ref(), value);
        }
        fields
    }
}

/// Values too: what a test sends is no secret.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        f.debug_map().entries(self.iter().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

/// A request or a response.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Header fields, pseudo-headers among them.
    pub head: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// Trailer fields, if there are trailers.
    pub trailers: Option<Fields>,
    /// Whether it came to its end; messages that tests write do.
    pub complete: bool,
}

impl Message {
    /// A request to `https://example.com` with this path and query.
    pub fn request(method: &str, target: &str) -> Self {
        Self::new([
            (":method", method),
            (":scheme", "https"),
            (":authority", "example.com"),
            (":path", target),
        ])
    }

    /// A request without a body.
    pub fn get(target: &str) -> Self {
        Self::request("GET", target)
    }

    /// A request with a body.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::request("POST", target).with_body(body)
    }

    /// A response.
    pub fn response(status: u16) -> Self {
        Self::new([(":status", status.to_string())])
    }

    fn new<V: AsRef<[u8]>>(head: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        Self { head: head.into_iter().collect(), body: Vec::new(), trailers: None, complete: true }
    }

    /// Adds a header field; replaces a pseudo-header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if name.starts_with(':') {
            self.head.set(name, value)
        } else {
            self.head.add(name, value)
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a trailer field.
    #[must_use]
    pub fn with_trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.trailers.get_or_insert_default().add(name, value);
        self
    }

    /// A response's status.
    ///
    /// # Panics
    /// There is none.
    pub fn status(&self) -> u16 {
        let status = self.head.get(":status").and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no :status in {:?}", self.head))
    }

    /// The body.
    ///
    /// # Panics
    /// It is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("not UTF-8: {self:?}"))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("head", &self.head)
            .field("body", &Excerpt(&self.body))
            .field("trailers", &self.trailers)
            .field("complete", &self.complete)
            .finish()
    }
}

/// A body as it is shown: a long one by its beginning and its length.
struct Excerpt<'a>(&'a [u8]);

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 256;
        let shown = &self.0[..self.0.len().min(SHOWN)];
        fmt::Debug::fmt(&String::from_utf8_lossy(shown), f)?;
        if self.0.len() > SHOWN { write!(f, "... ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}
