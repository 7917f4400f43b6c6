//! Requests and responses as tests assert on them: header fields as bytes, in order, repeated names kept.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

/// Header or trailer fields: names in lower case. Fields of one name stand together, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    /// The first value of a field.
    ///
    /// # Panics
    /// If it is not UTF-8: for such values there is [`Fields::bytes`].
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Every value of a field.
    ///
    /// # Panics
    /// If one is not UTF-8: for such values there is [`Fields::bytes`].
    pub fn all(&self, name: &str) -> Vec<&str> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("{name} is not UTF-8"));
        self.bytes(name).into_iter().map(text).collect()
    }

    /// Every value of a field, as bytes.
    pub fn bytes(&self, name: &str) -> Vec<&[u8]> {
        self.iter().filter(|(found, _)| *found == name).map(|(_, value)| value).collect()
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The names, each as often as it is there.
    pub fn names(&self) -> Vec<&str> {
        self.iter().map(|(name, _)| name).collect()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `[[name, value], ...]`; a value that is not UTF-8 is `{"base64": "..."}`.
    pub fn to_json(&self) -> Value {
        self.iter().map(|(name, value)| json!([name, bytes_to_json(value)])).collect()
    }

    fn from_json(value: &Value) -> Result<Self> {
        let field = |pair: &Value| {
            let name = pair[0].as_str().context("a field without a name")?;
            Ok((name.to_owned(), bytes_from_json(&pair[1])?))
        };
        value.as_array().context("fields are not a list")?.iter().map(field).collect::<Result<_>>().map(Self)
    }
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        Self(map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }
}

/// A request as the upstream got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub method: String,
    /// Path and query, as on the wire.
    pub path: String,
    /// HTTP/1.1's `Host`, HTTP/2's `:authority`.
    pub authority: String,
    pub headers: Fields,
    pub body: Bytes,
    pub trailers: Fields,
    /// Whether all of it came; `false` if the sender gave up within the body.
    pub complete: bool,
}

impl Received {
    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the request body is UTF-8")
    }

    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// What the upstream answers when it echoes.
    pub fn to_json(&self) -> Value {
        json!({
            "method": self.method,
            "path": self.path,
            "authority": self.authority,
            "headers": self.headers.to_json(),
            "body": bytes_to_json(&self.body),
            "trailers": self.trailers.to_json(),
        })
    }

    /// Reads an echo.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_json(echo: &Value) -> Result<Self> {
        let text =
            |name: &str| Ok::<_, anyhow::Error>(echo[name].as_str().context("not an echo")?.to_owned());
        Ok(Self {
            method: text("method")?,
            path: text("path")?,
            authority: text("authority")?,
            headers: Fields::from_json(&echo["headers"])?,
            body: bytes_from_json(&echo["body"])?.into(),
            trailers: Fields::from_json(&echo["trailers"])?,
            complete: true,
        })
    }
}

/// A response as a client got it.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Fields,
    pub body: Bytes,
    pub trailers: Fields,
}

impl Response {
    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the response body is UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The request that the upstream got, from its echo.
    ///
    /// # Panics
    /// If the response is not an echo.
    pub fn echo(&self) -> Received {
        Received::from_json(&self.json()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Adds a field.
///
/// # Panics
/// If the name is not a token or the value holds a control character: hyper sends no such field, [`crate::raw()`] does.
pub(crate) fn add_field(map: &mut HeaderMap, name: &str, value: &[u8]) {
    let (name, value) = field(name, value).unwrap_or_else(|error| panic!("{error:#}"));
    map.append(name, value);
}

/// A field as hyper has it.
pub(crate) fn field(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue)> {
    let key = HeaderName::from_bytes(name.as_bytes()).with_context(|| format!("header name {name:?}"))?;
    let value = HeaderValue::from_bytes(value).with_context(|| format!("value of the header {name}"))?;
    Ok((key, value))
}

fn bytes_to_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": BASE64.encode(bytes) }),
    }
}

/// Bytes as [`Received::to_json`] writes them: a text, or `{"base64": "..."}`.
pub(crate) fn bytes_from_json(value: &Value) -> Result<Vec<u8>> {
    match value {
        Value::String(text) => Ok(text.clone().into_bytes()),
        _ => Ok(BASE64.decode(value["base64"].as_str().context("neither text nor base64")?)?),
    }
}
