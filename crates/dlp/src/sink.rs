//! How text is written so that it is text where it is put.

use std::borrow::Cow;

use meshgate_detect::Syntax;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What a text is written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// A string of a JSON document.
    Json,
    /// A form, a query or a path.
    Url,
    /// The value of a header field.
    Header,
    /// The value of a cookie.
    Cookie,
    /// XML or HTML.
    Markup,
    /// Anything else.
    Text,
}

/// What stays as it is in a URL: the unreserved characters (RFC 3986 section 2.3), and `*`, which forms leave alone too.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*');

/// What stays as it is in a cookie: RFC 6265 section 4.1.1, `cookie-octet`, but for `%`.
const COOKIE: &AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

impl Sink {
    /// Which escapes there are.
    pub const fn syntax(self) -> Syntax {
        match self {
            Self::Json => Syntax::Json,
            Self::Url => Syntax::Url,
            Self::Cookie => Syntax::Cookie,
            Self::Header => Syntax::Header,
            Self::Markup | Self::Text => Syntax::Text,
        }
    }

    /// Writes a text.
    pub fn escape(self, text: &str) -> Cow<'_, [u8]> {
        match self {
            Self::Json => json(text),
            Self::Url => percent_encode(text.as_bytes(), URL).to_string().into_bytes().into(),
            Self::Cookie => percent_encode(text.as_bytes(), COOKIE).to_string().into_bytes().into(),
            Self::Markup => markup(text),
            // What can't stand in a header is refused while the configuration is read.
            Self::Header | Self::Text => Cow::Borrowed(text.as_bytes()),
        }
    }
}

fn json(text: &str) -> Cow<'_, [u8]> {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut escaped = Vec::with_capacity(text.len().saturating_add(8));
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => escaped.extend([b'\\', byte]),
            0..b' ' => escaped.extend(format!("\\u{byte:04x}").bytes()),
            _ => escaped.push(byte),
        }
    }
    Cow::Owned(escaped)
}

fn markup(text: &str) -> Cow<'_, [u8]> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'&' => escaped.extend(b"&amp;"),
            b'<' => escaped.extend(b"&lt;"),
            b'>' => escaped.extend(b"&gt;"),
            b'"' => escaped.extend(b"&quot;"),
            b'\'' => escaped.extend(b"&#39;"),
            _ => escaped.push(byte),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn texts_are_written_for_where_they_go() {
        let text = "[A b]\"<\\>;\n";
        for (sink, expected) in [
            (Sink::Json, "[A b]\\\"<\\\\>;\\u000a"),
            (Sink::Url, "%5BA%20b%5D%22%3C%5C%3E%3B%0A"),
            (Sink::Cookie, "[A%20b]%22<%5C>%3B%0A"),
            (Sink::Markup, "[A b]&quot;&lt;\\&gt;;\n"),
            (Sink::Text, text),
        ] {
            assert_eq!(sink.escape(text), expected.as_bytes(), "{sink:?}");
        }
        assert!(matches!(Sink::Json.escape("[PAYMENT CARD]"), Cow::Borrowed(_)));
    }
}
