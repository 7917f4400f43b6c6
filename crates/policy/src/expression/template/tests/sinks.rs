//! Where a value stands decides how it is written.

use super::*;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn each_sink_escapes_what_would_break_out_of_it() {
    check(Sink::Text, &[("{{ request.headers['x-quote'] }}", r#"a"b\c<d>'e'&f"#)]);
    check(
        Sink::Header,
        &[("{{ request.headers['x-quote'] }};\t{{ body.list }}", "a\"b\\c<d>'e'&f;\t[1, 2.50, \"x\"]")],
    );
    check(
        Sink::Url,
        &[(
            "/a/{{ request.headers['x-quote'] }}?x={{ request.query.q }}",
            "/a/a%22b%5Cc%3Cd%3E%27e%27%26f?x=a%26b",
        )],
    );
    check(
        Sink::Xml,
        &[(
            "<a b=\"{{ request.headers['x-quote'] }}\">{{ 'a\\r\\n\\u0001' }}</a>",
            "<a b=\"a&quot;b\\c&lt;d&gt;&#39;e&#39;&amp;f\">a&#13;\n\u{fffd}</a>",
        )],
    );
    check(
        Sink::Html,
        &[(
            "<p>{{ body.name }}{{ body.deep }}</p>",
            "<p>a&quot;b\n&lt;é&gt;{&quot;b&quot;: {&quot;c&quot;: [10, 20]}, &quot;a&quot;: 1}</p>",
        )],
    );
    assert_eq!(compile("{{ request.headers['x-raw'] }}", Sink::Text).render(&scope()).unwrap(), b"caf\xe9");
    assert_eq!(compile("{{ request.headers['x-raw'] }}", Sink::Header).render(&scope()).unwrap(), b"caf\xe9");
    for sink in [Sink::Json, Sink::Xml, Sink::Html] {
        let found = rendered("\"{{ request.headers['x-raw'] }}\"", sink).unwrap();
        assert_eq!(found, "\"caf\u{fffd}\"", "{sink:?}");
    }
    for control in ["\\n", "\\r", "\\u0000", "\\u007f"] {
        let error = rendered(&format!("{{{{ 'a{control}b' }}}}"), Sink::Header).unwrap_err();
        assert_eq!(error.problem, Problem::ControlCharacter);
    }
    assert!(refused("a\nb", Sink::Header).contains("a header value holds no line breaks"));
}

#[test]
fn json_templates_know_where_a_tag_stands() {
    check(
        Sink::Json,
        &[
            ("{\"a\": {{ body.price }}, \"b\": \"{{ body.price }}\"}", r#"{"a": 1.10, "b": "1.10"}"#),
            ("{{ body.name }} \"{{ body.name }}\"", r#""a\"b\n<é>" "a\"b\n<é>""#),
            (
                "[{{ none }}, {{ request.headers.nope }}, \"{{ none }}\", {{ true }}, \"{{ true }}\"]",
                r#"[null, null, "", true, "true"]"#,
            ),
            (
                "[{{ body.deep }}, \"{{ body.deep.b }}\", {{ [1, 'x'] }}]",
                r#"[{"b": {"c": [10, 20]}, "a": 1}, "{\"c\": [10, 20]}", [1,"x"]]"#,
            ),
            (
                "[{{ body.deep|tojson }}, \"{{ body.deep.b|tojson }}\"]",
                r#"[{"b": {"c": [10, 20]}, "a": 1}, "{\"c\": [10, 20]}"]"#,
            ),
            (r#"{"a\"b\\": {{ 1 }}, "{{ 'k' }}": "x\"{{ 2 }}"}"#, r#"{"a\"b\\": 1, "k": "x\"2"}"#),
            ("{% if body.yes %}\"a{{ 1 }}\"{% else %}{{ 2 }}{% endif %}", "\"a1\""),
            ("\"{% for x in [1, 2] %}{{ x }}\\n{% endfor %}\"", "\"1\\n2\\n\""),
            (
                "[{% for x in body.list %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}]",
                "[1, 2.50, \"x\"]",
            ),
            ("{{ 1 / 4 }} {{ '\\u0001' }}", "0.25 \"\\u0001\""),
        ],
    );
    for (source, expected) in [
        ("\"{{ 1 }}", "the JSON text ends within a string"),
        ("{% if 1 %}\"{% endif %}{{ 1 }}\"", "one way to this tag is within a JSON string"),
        ("{% if 1 %}\"{% else %}1{% endif %}", "one way to this tag"),
        ("{% for x in [1] %}\"{% endfor %}", "one way to this tag"),
        ("\"\\{{ 1 }}\"", "a JSON string has no tag after a backslash (column 3, at \"{{ 1 }}"),
    ] {
        let found = refused(source, Sink::Json);
        assert!(found.contains(expected), "{source}: {found}");
        compile(source, Sink::Text);
    }
}

#[test]
fn a_template_that_is_one_expression_has_a_typed_value() {
    for sink in [Sink::Text, Sink::Json] {
        for (source, expected) in [
            ("{{ body.id }}", "7"),
            ("{{ body.price }}", "1.10"),
            ("{{ body.id + 1 }}", "8"),
            ("{{ body.deep.b }}", r#"{"c": [10, 20]}"#),
            ("{{ body.name }}", r#""a\"b\n<é>""#),
            ("{{ body.nope }}", "null"),
            ("{{ body.yes }}", "true"),
            ("{{ request.query.q }}", "\"a&b\""),
            ("{{ '{}'|fromjson }}", "{}"),
            ("user-{{ body.id }}", "\"user-7\""),
            ("{{ body.id }} ", "\"7 \""),
            ("{{ request.headers['x-raw'] }}!", "\"caf\u{fffd}!\""),
            ("say \"hi\"", r#""say \"hi\"""#),
            ("", "\"\""),
        ] {
            let found = compile(source, sink).value(&scope()).map(|json| String::from_utf8(json).unwrap());
            assert_eq!(found.as_deref(), Ok(expected), "{source}");
        }
    }
}

#[test]
fn literals_and_needs_are_known_beforehand() {
    for (source, literal) in [
        ("", Some("")),
        ("abc", Some("abc")),
        ("a{# no #}b", Some("ab")),
        ("{% raw %}{{{% endraw %}", Some("{{")),
        ("{{ 1 }}", None),
        ("{% if 1 %}{% endif %}", None),
    ] {
        assert_eq!(compile(source, Sink::Text).literal(), literal, "{source}");
    }
    for (source, expected) in [
        ("{{ uuid() }}", [false; 5]),
        ("{{ request.method }}", [true, false, false, false, false]),
        ("{{ path.id }}", [true, false, false, false, false]),
        ("{{ response.status }}", [false, true, false, false, false]),
        ("{% for x in body.list %}{% endfor %}", [false, false, true, false, false]),
        ("{% if 1 %}{% else %}{% set x = consumer.name %}{% endif %}", [false, false, false, true, false]),
        ("{% for x in [1] if now.unix %}{% endfor %}", [false, false, false, false, true]),
    ] {
        let template = compile(source, Sink::Text);
        let Needs { request, now, .. } = template.needs();
        assert_eq!(
            [request, template.needs().response, template.needs().body, template.needs().consumer, now],
            expected,
            "{source}"
        );
    }
    let template = compile("{{ path.a }}{% if path['b'] %}path.c{{ request.path }}{% endif %}", Sink::Text);
    assert_eq!(template.captures().collect::<Vec<_>>(), ["a", "b"]);
}
