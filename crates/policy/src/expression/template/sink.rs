//! Where a template's result goes, and what a value must not be able to do there.

use minijinja::{Error, ErrorKind, Value};
use percent_encoding::percent_encode;

use super::Problem;
use crate::expression::filters::RESERVED;
use crate::expression::{print, text};
use crate::headers::HeaderValue;
use crate::media_type::MediaTypePattern;

/// The place that a template's result goes to. It decides how values are escaped; the text of the template itself is the
/// user's, and stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Any text: nothing is escaped, and bytes that are no UTF-8 are as they were.
    Text,
    /// A header value: what could end the line is an error (RFC 9110 section 5.5).
    Header,
    /// A segment of a path, or a name or value of a query: all but unreserved characters are percent-encoded (RFC 3986
    /// section 2.3), so that no value can add a segment or a parameter.
    Url,
    /// A JSON text: in a string the value's text, escaped; elsewhere a value with its type (RFC 8259).
    Json,
    /// XML: text or an attribute in quotes.
    Xml,
    /// HTML: text or an attribute in quotes. Not for scripts, styles or attributes that hold code.
    Html,
}

impl Sink {
    /// That of a body of this media type (the value of a `content-type` field): where nothing is known of a type, [`Sink::Text`].
    /// `None`: it is no media type.
    pub fn of_body(content_type: &str) -> Option<Self> {
        let is = |pattern: &str| {
            MediaTypePattern::new(pattern).is_some_and(|pattern| pattern.matches(content_type.as_bytes()))
        };
        if !is("*/*") {
            None
        } else if is("application/json") || is("*/*+json") {
            Some(Self::Json)
        } else if is("text/html") {
            Some(Self::Html)
        } else if is("application/xml") || is("text/xml") || is("*/*+xml") {
            Some(Self::Xml)
        } else {
            Some(Self::Text)
        }
    }
}

/// Appends a value as it has to be in that place.
pub(super) fn emit(
    sink: Sink,
    in_string: bool,
    value: &Value,
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), Problem> {
    if sink == Sink::Json && !in_string {
        return print::json(value, out, limit).map_err(problem_of);
    }
    let text = print::text(value, limit).map_err(problem_of)?;
    match sink {
        Sink::Text => out.extend_from_slice(&text::to_bytes(&text)),
        Sink::Header => {
            let bytes = text::to_bytes(&text);
            let value = HeaderValue::new(&*bytes).map_err(|_| Problem::ControlCharacter)?;
            out.extend_from_slice(value.as_bytes());
        }
        Sink::Url => {
            let bytes = text::to_bytes(&text);
            percent_encode(&bytes, RESERVED).for_each(|piece| out.extend_from_slice(piece.as_bytes()));
        }
        Sink::Json => print::json_string(&text, out),
        Sink::Xml | Sink::Html => escape_markup(&text, out),
    }
    if out.len() > limit { Err(Problem::TooLong) } else { Ok(()) }
}

/// The five characters that mean something, and what may not be in a text at all (XML 1.0 section 2.2; what is not allowed
/// there HTML does not want either). A carriage return would come out as a line feed (XML 1.0 section 2.11).
fn escape_markup(text: &str, out: &mut Vec<u8>) {
    for char in text.chars() {
        let escaped = match char {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            '\r' => "&#13;",
            '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}",
            other if text::is_escape(other) => "\u{fffd}",
            other => {
                out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
        };
        out.extend_from_slice(escaped.as_bytes());
    }
}

pub(super) fn problem_of(error: Error) -> Problem {
    match error.kind() {
        ErrorKind::WriteFailure => Problem::TooLong,
        kind => Problem::NoAnswer(kind),
    }
}
