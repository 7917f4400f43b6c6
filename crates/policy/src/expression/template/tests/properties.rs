//! What holds for any value.

use super::*;
use proptest::prelude::*;

/// Texts that mean something somewhere.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        "[\"\\\\<>&'/?#%{}\\[\\]:, a-z]{1,3}".prop_map(String::into_bytes),
        Just(b"\r\n".to_vec()),
        Just(b"\xff".to_vec()),
        Just("\u{10ff80}\u{2028}".into()),
        Just(b"{{ 1 }}".to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn scope_of(header: &[u8], body: &[u8]) -> Scope {
    let headers = Headers::from_pairs([(&b":path"[..], &b"/"[..]), (b"x", header)]);
    let mut scope = Scope::new(&RequestHead::new(&headers));
    scope.set_body(body);
    scope
}

fn templates() -> impl Strategy<Value = String> {
    let expression = proptest::sample::select(vec![
        "request.headers.x",
        "body",
        "body.a",
        "body.a.b",
        "body[0]",
        "body|items",
        "body|tojson",
        "x",
        "loop.index",
        "body|fromjson",
        "request.headers.x|base64_decode",
        "body.a|int",
        "body.a > 1",
        "[body, 1.5]",
        "{'a': body}",
        "body|join('-')",
        "body|length",
        "uuid()",
        "now.http",
        "request.headers.x|urldecode|sha256",
        "x ~ x",
    ]);
    let leaf = prop_oneof![
        expression.clone().prop_map(|expression| format!("{{{{ {expression} }}}}")),
        expression.clone().prop_map(|expression| format!("{{% set x = {expression} %}}")),
        "[\"\\\\{}%#a, \n-]{0,3}",
    ];
    leaf.prop_recursive(3, 16, 3, move |inner| {
        let block =
            (expression.clone(), inner.clone(), inner.clone()).prop_flat_map(|(expression, one, other)| {
                proptest::sample::select(vec![
                    format!("{{% if {expression} %}}{one}{{% else %}}{other}{{% endif %}}"),
                    format!("{{% for x in {expression} %}}{one}{{% else %}}{other}{{% endfor %}}"),
                    format!("{{% for y, x in {expression} if x -%}}{one}{{% endfor %}}{other}"),
                ])
            });
        prop_oneof![block, proptest::collection::vec(inner, 0..3).prop_map(|pieces| pieces.concat())]
    })
}

fn sinks() -> impl Strategy<Value = Sink> {
    proptest::sample::select(vec![Sink::Text, Sink::Header, Sink::Url, Sink::Json, Sink::Xml, Sink::Html])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_template_and_no_exchange_panics(source in templates(), sink in sinks(), header in value(), body in value()) {
        if let Ok(template) = Template::new(&source, sink) {
            let scope = scope_of(&header, &body);
            if let Ok(found) = template.render_within(&scope, 1000) {
                prop_assert!(found.len() <= 1000);
            }
            if let Ok(found) = template.value_within(&scope, 1000) {
                prop_assert!(found.len() <= 1000);
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&found).is_ok());
            }
        }
    }

    #[test]
    fn no_text_is_too_strange_to_compile(source in "([a-z.|:'\"\\\\\\[\\](){}!=<>+*/%~#-]|\\{\\{|\\}\\}|\\{%|%\\}|body| if | for | in | raw | endraw |é|\n){0,30}", sink in sinks()) {
        if let Err(error) = Template::new(&source, sink) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn text_without_brackets_is_itself(source in "[^{\n]{0,20}") {
        let template = compile(&source, Sink::Text);
        prop_assert_eq!(template.literal(), Some(source.as_str()));
    }

    #[test]
    fn values_stay_in_their_place(header in value(), body in value()) {
        let scope = scope_of(&header, &body);
        let render = |source, sink| compile(source, sink).render(&scope);
        let json = render("{\"a\": {{ request.headers.x }}, \"b\": [\"<{{ request.headers.x }}>\", {{ body }}], \"c{{ body }}\": 1}", Sink::Json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let members: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        prop_assert_eq!(members.len(), 3);
        let inside = format!("<{}>", json["a"].as_str().unwrap());
        prop_assert_eq!(json["b"][0].as_str(), Some(inside.as_str()));
        let html = render("{{ request.headers.x }}", Sink::Html).unwrap();
        prop_assert!(!html.iter().any(|byte| b"<>\"'".contains(byte)) && std::str::from_utf8(&html).is_ok());
        let xml = render("{{ request.headers.x }}", Sink::Xml).unwrap();
        prop_assert!(!xml.iter().any(|byte| b"<>\"'".contains(byte) || *byte < b' ' && !b"\t\n".contains(byte)));
        let url = render("{{ request.headers.x }}", Sink::Url).unwrap();
        prop_assert!(url.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(byte)));
        prop_assert_eq!(percent_encoding::percent_decode(&url).collect::<Vec<_>>(), &header[..]);
        if let Ok(found) = render("{{ request.headers.x }}", Sink::Header) {
            prop_assert!(crate::headers::HeaderValue::new(&found).is_ok());
            prop_assert_eq!(found, &header[..]);
        }
        prop_assert_eq!(render("{{ request.headers.x }}", Sink::Text).unwrap(), &header[..]);
        let through = render("{{ request.headers.x|base64|base64_decode|base64url|base64_decode|urlencode|urldecode }}", Sink::Text);
        prop_assert_eq!(through.unwrap(), &header[..]);
    }
}
