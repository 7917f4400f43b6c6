//! What a body is, by the head of its message.

use meshgate_policy::headers::Headers;
use meshgate_policy::media_type::MediaTypePattern;

use crate::config::BodiesConfig;
use crate::sink::Sink;
use crate::stream::{Form, Records};

/// The media types that are looked into by default.
const DEFAULT_TYPES: [&str; 15] = [
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-seq",
    "application/x-www-form-urlencoded",
    "application/xml",
    "application/*+xml",
    "application/javascript",
    "application/graphql",
    "application/yaml",
    "application/toml",
    "text/*",
];

/// The byte order mark of UTF-8, which some put in front of a text.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

/// How much white space is waited for to end in front of a body whose head does not say what it is.
const MAX_BLANK: usize = 4 << 10;

/// Encodings in which ASCII is not written as ASCII: the beginnings of their names, in lower case.
const UNREADABLE: [&[u8]; 9] =
    [b"utf-16", b"utf16", b"utf-32", b"utf32", b"utf-7", b"ucs-2", b"ucs-4", b"iso-10646-ucs", b"csunicode"];

/// Which bodies are looked into.
#[derive(Debug)]
pub struct Types(Vec<MediaTypePattern>);

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of this form.
    Known(Form),
    /// Its head does not say: JSON if it begins like that, else text.
    Unknown,
}

impl Types {
    /// From the configuration.
    pub fn compile(config: &BodiesConfig) -> Self {
        Self(match &config.content_types {
            Some(types) => types.to_vec(),
            None => DEFAULT_TYPES.iter().filter_map(|source| MediaTypePattern::new(source)).collect(),
        })
    }

    /// What the body is that follows this head; `None`: it is not looked into.
    pub fn of(&self, headers: &Headers) -> Option<Kind> {
        let mut known = None;
        let mut named = false;
        for value in headers.all("content-type").filter(|value| !value.trim_ascii().is_empty()) {
            // Messages with lengths in front, in several parts and in base64: not text.
            if starts_with(value, b"application/grpc") {
                return None;
            }
            named = true;
            if known.is_none() && self.0.iter().any(|pattern| pattern.matches(value)) {
                known = Some(Kind::Known(form(value)));
            }
        }
        if named { known } else { Some(Kind::Unknown) }
    }
}

impl Kind {
    /// An event stream.
    pub const EVENTS: Self = Self::Known(Form { sink: Sink::Json, records: Records::Events });

    /// Each record of it is for itself, and whoever reads it waits for the next one.
    pub const fn is_records(self) -> bool {
        matches!(
            self,
            Self::Known(Form { records: Records::Lines | Records::Sequence | Records::Events, .. })
        )
    }

    /// The form of a body that begins like this; `None`: there is nothing yet but white space. `end`: there is no more.
    pub fn form(self, body: &[u8], end: bool) -> Option<Form> {
        let sink = match self {
            Self::Known(form) => return Some(form),
            Self::Unknown if !end && body.len() < BOM.len() && BOM.starts_with(body) => return None,
            Self::Unknown => match body.strip_prefix(BOM).unwrap_or(body).trim_ascii_start().first() {
                Some(b'{' | b'[' | b'"') => Sink::Json,
                Some(_) => Sink::Text,
                None if end => Sink::Text,
                // So much white space is not waited for; and with the escapes of JSON nothing is missed.
                None if body.len() >= MAX_BLANK => Sink::Json,
                None => return None,
            },
        };
        Some(Form { sink, records: Records::One })
    }
}

/// How a body of this type is written.
fn form(content_type: &[u8]) -> Form {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    let whole = |sink| Form { sink, records: Records::One };
    match essence.as_slice() {
        b"text/event-stream" => Form { sink: Sink::Json, records: Records::Events },
        b"application/x-ndjson"
        | b"application/ndjson"
        | b"application/jsonl"
        | b"application/x-jsonlines" => Form { sink: Sink::Json, records: Records::Lines },
        b"application/json-seq" => Form { sink: Sink::Json, records: Records::Sequence },
        b"application/x-www-form-urlencoded" => whole(Sink::Url),
        // The strings of a query in GraphQL are those of JSON, and so are its numbers.
        b"application/json" | b"text/json" | b"application/graphql" => whole(Sink::Json),
        b"text/html" | b"text/xml" | b"application/xml" => whole(Sink::Markup),
        _ if essence.ends_with(b"+json") => whole(Sink::Json),
        _ if essence.ends_with(b"+xml") => whole(Sink::Markup),
        _ => whole(Sink::Text),
    }
}

/// Whether the body is in an encoding that its bytes can be looked into in.
pub fn is_readable(headers: &Headers) -> bool {
    let unreadable = |parameter: &[u8]| {
        let mut parts = parameter.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"charset"));
        let charset = parts.next().unwrap_or_default();
        let charset = charset.strip_prefix(b"\"").unwrap_or(charset);
        named && UNREADABLE.iter().any(|prefix| starts_with(charset, prefix))
    };
    let values = headers.all("content-type");
    !values.flat_map(|value| value.split(|byte| *byte == b';').skip(1)).any(unreadable)
}

fn starts_with(value: &[u8], prefix: &[u8]) -> bool {
    value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
