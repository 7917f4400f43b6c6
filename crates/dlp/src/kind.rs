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
    /// The form of the body, once its first bytes are there.
    pub fn form(self, body: &[u8]) -> Form {
        match self {
            Self::Known(form) => form,
            Self::Unknown if matches!(body.first(), Some(b'{' | b'[' | b'"')) => {
                Form { sink: Sink::Json, records: Records::One }
            }
            Self::Unknown => Form { sink: Sink::Text, records: Records::One },
        }
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
        | b"application/x-jsonlines"
        | b"application/json-seq" => Form { sink: Sink::Json, records: Records::Lines },
        b"application/x-www-form-urlencoded" => whole(Sink::Url),
        b"application/json" | b"text/json" | b"application/graphql" => whole(Sink::Json),
        b"text/html" | b"text/xml" | b"application/xml" => whole(Sink::Markup),
        _ if essence.ends_with(b"+json") => whole(Sink::Json),
        _ if essence.ends_with(b"+xml") => whole(Sink::Markup),
        _ => whole(Sink::Text),
    }
}

/// Whether this is an event stream: it has no end that could be waited for.
pub fn is_event_stream(headers: &Headers) -> bool {
    headers.all("content-type").any(|value| starts_with(value.trim_ascii_start(), b"text/event-stream"))
}

fn starts_with(value: &[u8], prefix: &[u8]) -> bool {
    value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
