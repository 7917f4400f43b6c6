//! The forms of an answer: problem details in JSON and XML (RFC 9457), plain JSON, HTML and text.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// A form of an answer.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Problem details as `application/problem+json` (RFC 9457 section 3).
    Problem,
    /// The same members as `application/json`.
    Json,
    /// Problem details in XML (RFC 9457 appendix B), as `application/problem+xml`, `application/xml` or `text/xml`.
    Xml,
    /// A small page, as `text/html`.
    Html,
    /// A few lines, as `text/plain`.
    Text,
}

/// A media type that a form is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Representation {
    /// The form.
    pub format: Format,
    /// Without parameters.
    pub media_type: &'static str,
    /// The value of `content-type`.
    pub content_type: &'static str,
}

impl Format {
    /// All, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::Problem, Self::Json, Self::Xml, Self::Html, Self::Text];

    /// What it is sent as where the client has no wish.
    pub fn usual(self) -> &'static Representation {
        match self {
            Self::Problem => &PROBLEM,
            Self::Json => &JSON,
            Self::Xml => &PROBLEM_XML,
            Self::Html => &HTML,
            Self::Text => &TEXT,
        }
    }
}

const PROBLEM: Representation = Representation {
    format: Format::Problem,
    media_type: "application/problem+json",
    content_type: "application/problem+json",
};
const JSON: Representation =
    Representation { format: Format::Json, media_type: "application/json", content_type: "application/json" };
const PROBLEM_XML: Representation = Representation {
    format: Format::Xml,
    media_type: "application/problem+xml",
    content_type: "application/problem+xml",
};
const OTHER_XML: &[Representation] = &[
    Representation { format: Format::Xml, media_type: "application/xml", content_type: "application/xml" },
    Representation { format: Format::Xml, media_type: "text/xml", content_type: "text/xml; charset=utf-8" },
];
const HTML: Representation = Representation {
    format: Format::Html,
    media_type: "text/html",
    content_type: "text/html; charset=utf-8",
};
const TEXT: Representation = Representation {
    format: Format::Text,
    media_type: "text/plain",
    content_type: "text/plain; charset=utf-8",
};

/// What forms can be sent as: first what each usually is, so that `text/*` means a page or a text and not `text/xml`.
pub fn offered(formats: &[Format]) -> impl Iterator<Item = &'static Representation> {
    let others = formats.iter().flat_map(|format| match format {
        Format::Xml => OTHER_XML,
        Format::Problem | Format::Json | Format::Html | Format::Text => [].as_slice(),
    });
    formats.iter().map(|format| format.usual()).chain(others)
}

/// Whether clients have something to choose from: XML alone is three media types.
pub fn negotiates(formats: &[Format]) -> bool {
    offered(formats).nth(1).is_some()
}

/// What an answer says, in whatever form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The problem type, a URI (RFC 9457 section 3.1.1).
    pub kind: Cow<'static, str>,
    /// The same for every problem of its type.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time.
    pub detail: Option<Cow<'static, str>>,
    /// A URI of this occurrence.
    pub instance: Option<String>,
    /// Extension members, by name. A name is one of [`is_member_name`].
    pub members: Vec<(Cow<'static, str>, Value)>,
}

impl Document {
    /// The bytes of a form.
    pub fn render(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Problem | Format::Json => self.json(),
            Format::Xml => self.xml(),
            Format::Html => self.html(),
            Format::Text => self.text(),
        }
        .into_bytes()
    }

    /// One line for gRPC, whose message is text.
    pub fn message(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.title)
    }

    /// The members in the order of RFC 9457 section 3.1, then those that extend it.
    fn entries(&self) -> impl Iterator<Item = (&str, Cow<'_, Value>)> {
        let text = |text: &str| Cow::Owned(Value::from(text));
        let standard = [
            ("type", Some(text(&self.kind))),
            ("title", Some(text(&self.title))),
            ("status", Some(Cow::Owned(Value::from(self.status)))),
            ("detail", self.detail.as_deref().map(text)),
            ("instance", self.instance.as_deref().map(text)),
        ];
        let standard = standard.into_iter().filter_map(|(name, value)| Some((name, value?)));
        standard.chain(self.members.iter().map(|(name, value)| (name.as_ref(), Cow::Borrowed(value))))
    }

    fn json(&self) -> String {
        let entries = self.entries().map(|(name, value)| format!("{}:{value}", Value::from(name)));
        format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
    }

    fn xml(&self) -> String {
        let mut out =
            String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<problem xmlns=\"urn:ietf:rfc:7807\">");
        for (name, value) in self.entries() {
            element(name, &value, &mut out, 0);
        }
        out.push_str("</problem>\n");
        out
    }

    fn html(&self) -> String {
        let mut out =
            String::from("<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>");
        let heading = format!("{} {}", self.status, self.title);
        escape(&heading, &mut out);
        out.push_str("</title></head>\n<body>\n<h1>");
        escape(&heading, &mut out);
        out.push_str("</h1>\n");
        if let Some(detail) = &self.detail {
            out.push_str("<p>");
            escape(detail, &mut out);
            out.push_str("</p>\n");
        }
        if !self.members.is_empty() {
            out.push_str("<dl>");
            for (name, value) in &self.members {
                out.push_str("<dt>");
                escape(name, &mut out);
                out.push_str("</dt><dd>");
                escape(&plain(value), &mut out);
                out.push_str("</dd>");
            }
            out.push_str("</dl>\n");
        }
        out.push_str("</body>\n</html>\n");
        out
    }

    fn text(&self) -> String {
        let mut out = format!("{} {}\n", self.status, self.title);
        if let Some(detail) = &self.detail {
            out.push_str(&format!("\n{detail}\n"));
        }
        if !self.members.is_empty() {
            out.push('\n');
        }
        for (name, value) in &self.members {
            out.push_str(&format!("{name}: {}\n", plain(value)));
        }
        out
    }
}

/// Whether something can be the name of an extension member: a letter, then letters, digits and `_`, at most 64 characters
/// (RFC 9457 section 3.2), which is a name in XML as well; and none of the members that every problem has.
pub fn is_member_name(name: &str) -> bool {
    let letters = name.starts_with(|first: char| first.is_ascii_alphabetic());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    letters && rest && name.len() <= 64 && !["type", "title", "status", "detail", "instance"].contains(&name)
}

fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// How deep a value is written as elements.
const MAX_DEPTH: usize = 16;

/// RFC 9457 appendix B: an object's members are elements by their names, a list's items are elements `i`.
fn element(name: &str, value: &Value, out: &mut String, depth: usize) {
    let name = element_name(name);
    out.push_str(&format!("<{name}>"));
    match value {
        Value::Array(items) if depth < MAX_DEPTH => {
            items.iter().for_each(|item| element("i", item, out, depth.saturating_add(1)));
        }
        Value::Object(members) if depth < MAX_DEPTH => {
            members.iter().for_each(|(name, value)| element(name, value, out, depth.saturating_add(1)));
        }
        Value::Null => {}
        other => escape(&plain(other), out),
    }
    out.push_str(&format!("</{name}>"));
}

/// What is no name in XML gets `_` for what may not be in one.
fn element_name(name: &str) -> String {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    let name: String = name.chars().map(|char| if fits(char) { char } else { '_' }).collect();
    if starts { name } else { format!("_{name}") }
}

/// The characters that mean something in HTML and XML, and those that no XML may hold (XML 1.0 section 2.2).
fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {
                out.push('\u{fffd}')
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn document() -> Document {
        Document {
            kind: "urn:x:out-of-credit".into(),
            title: "Out of \"credit\"".into(),
            status: 403,
            detail: Some("<script>&'\u{1}".into()),
            instance: Some("urn:uuid:1".into()),
            members: vec![
                ("balance".into(), json!(30)),
                ("accounts".into(), json!(["/a<b", {"id": null, "1 x": true}])),
            ],
        }
    }

    fn rendered(format: Format) -> String {
        String::from_utf8(document().render(format)).unwrap()
    }

    #[test]
    fn json_has_the_members_in_their_order() {
        let text = rendered(Format::Problem);
        assert_eq!(text, rendered(Format::Json));
        assert!(
            text.starts_with(
                r#"{"type":"urn:x:out-of-credit","title":"Out of \"credit\"","status":403,"detail":"#
            ),
            "{text}"
        );
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["detail"], "<script>&'\u{1}");
        assert_eq!(parsed["accounts"][0], "/a<b");
    }

    #[test]
    fn xml_is_that_of_the_standard() {
        assert_eq!(
            rendered(Format::Xml),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<problem xmlns=\"urn:ietf:rfc:7807\">\
             <type>urn:x:out-of-credit</type><title>Out of &quot;credit&quot;</title><status>403</status>\
             <detail>&lt;script&gt;&amp;&#39;\u{fffd}</detail><instance>urn:uuid:1</instance><balance>30</balance>\
             <accounts><i>/a&lt;b</i><i><_1_x>true</_1_x><id></id></i></accounts></problem>\n"
        );
    }

    #[test]
    fn pages_and_texts_say_the_same() {
        let page = rendered(Format::Html);
        assert!(page.contains("<h1>403 Out of &quot;credit&quot;</h1>\n<p>&lt;script&gt;&amp;"), "{page}");
        assert!(page.contains("<dt>balance</dt><dd>30</dd>") && !page.contains("<script>"), "{page}");
        let text = rendered(Format::Text);
        assert!(text.starts_with("403 Out of \"credit\"\n\n<script>"), "{text}");
        assert!(text.contains("\nbalance: 30\n"), "{text}");
        let bare =
            Document { title: "Gone".into(), status: 410, kind: "about:blank".into(), ..Document::default() };
        assert_eq!(bare.render(Format::Text), b"410 Gone\n");
        assert_eq!(bare.render(Format::Problem), br#"{"type":"about:blank","title":"Gone","status":410}"#);
    }

    #[test]
    fn depth_has_an_end() {
        let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
        let document = Document { members: vec![("deep".into(), deep)], ..Document::default() };
        assert!(document.render(Format::Xml).len() < 2_000);
    }

    #[test]
    fn members_have_names_that_all_forms_can_write() {
        for (name, fits) in [
            ("request_id", true),
            ("a1", true),
            ("", false),
            ("1a", false),
            ("_a", false),
            ("a-b", false),
            ("a b", false),
            ("status", false),
            ("é", false),
        ] {
            assert_eq!(is_member_name(name), fits, "{name}");
        }
    }
}
