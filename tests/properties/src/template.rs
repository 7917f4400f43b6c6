//! Templates. The bytes are one that names the sink, a template, an empty line, and a body that values come from.

use meshgate_json::{Limits, validate};
use meshgate_policy::expression::Scope;
use meshgate_policy::expression::template::{Sink, Template};
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::Headers;
use meshgate_policy::host::Timestamp;

use crate::input;

const LIMIT: usize = 64 << 10;

/// A template is refused with an error of one line, or its result is within the limit and can't leave its place.
pub fn any_template(bytes: &[u8]) {
    let [sink, rest @ ..] = bytes else { return };
    let sinks = [Sink::Text, Sink::Header, Sink::Url, Sink::Json, Sink::Xml, Sink::Html];
    let sink = sinks[usize::from(*sink) % sinks.len()];
    let (source, body) = input::split(rest);
    let scope = scope(body);
    match Template::new(source, sink) {
        Err(error) => {
            let error = error.to_string();
            assert!(!error.is_empty() && !error.contains(char::is_control), "{error:?}");
        }
        Ok(template) => {
            let text = template.render_within(&scope, LIMIT);
            if let Ok(text) = &text {
                assert!(text.len() <= LIMIT);
                assert!(sink != Sink::Header || is_field_value(text), "{:?}", String::from_utf8_lossy(text));
                assert!(template.literal().is_none_or(|literal| literal.as_bytes() == text));
            }
            if let Ok(value) = template.value_within(&scope, LIMIT) {
                assert_eq!(validate(&value, &Limits::default()), Ok(()));
            }
            // Two renderings at one time of one exchange differ in nothing but random numbers.
            if !source.contains("uuid") {
                assert_eq!(template.render_within(&scope, LIMIT), text);
            }
        }
    }
    check_escapes(&scope);
}

/// No value leaves the place that a template of ours has for it.
fn check_escapes(scope: &Scope) {
    let render =
        |source, sink| Template::new(source, sink).expect("a template").render_within(scope, LIMIT).ok();
    let json = r#"{"a": {{ body }}, "b": "x{{ body }}", "c": ["{{ request.headers['x-body'] }}"]}"#;
    if let Some(text) = render(json, Sink::Json) {
        assert_eq!(
            validate(&text, &Limits { depth: 1024, ..Limits::default() }),
            Ok(()),
            "{}",
            String::from_utf8_lossy(&text)
        );
    }
    for sink in [Sink::Xml, Sink::Html] {
        if let Some(text) = render("<a b='{{ body }}' c=\"{{ body }}\">{{ body }}</a>", sink) {
            let count = |byte| text.iter().filter(|found| **found == byte).count();
            assert_eq!((count(b'<'), count(b'>'), count(b'\''), count(b'"')), (2, 2, 2, 2));
        }
    }
    if let Some(text) = render("/{{ body }}?{{ request.headers['x-body'] }}", Sink::Url) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        let (path, query) =
            text.split_at(text.iter().position(|byte| *byte == b'?').expect("the template's"));
        assert!(
            path[1..].iter().chain(&query[1..]).all(|byte| plain(*byte)),
            "{}",
            String::from_utf8_lossy(&text)
        );
    }
}

fn scope(body: &[u8]) -> Scope {
    let value: Vec<u8> = body.iter().copied().filter(|byte| is_field_value(&[*byte])).collect();
    let headers = Headers::from_pairs([
        (":method", &b"POST"[..]),
        (":path", b"/users/7?q=a%26b"),
        ("x-body", &value),
        ("x-raw", b"caf\xe9"),
    ]);
    let mut scope = Scope::new(&RequestHead::new(&headers));
    scope.set_response(&Headers::from_pairs([(":status", &b"200"[..]), ("x-body", &value)]));
    scope.set_now(Timestamp::from_nanos(784_111_777_123_456_789));
    scope.set_body(body);
    scope
}

fn is_field_value(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}
