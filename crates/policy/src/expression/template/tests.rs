use super::*;
use crate::head::RequestHead;
use crate::headers::Headers;
use crate::host::Timestamp;
use minijinja::Value;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

const BODY: &str = r#"{"id": 7, "name": "a\"b\n<é>", "price": 1.10, "big": 123456789012345678901234567890,
    "huge": 1234567890123456789012345678901234567890, "e": 1e2, "yes": true, "no": false, "nil": null,
    "list": [1, 2.50, "x"], "deep": {"b": {"c": [10, 20]}, "a": 1}, "uuid": "mine", "items": [{"n": 1.0}, {"n": 30}]}"#;

fn scope() -> Scope {
    let headers = Headers::from_pairs([
        (":method", &b"POST"[..]),
        (":path", b"/users/7?q=a%26b"),
        ("x-one", b"one"),
        ("x-raw", b"caf\xe9"),
        ("x-quote", b"a\"b\\c<d>'e'&f"),
    ]);
    let mut scope = Scope::new(&RequestHead::new(&headers));
    scope.set_body(BODY.as_bytes());
    scope.set_now(Timestamp::from_nanos(784_111_777_123_456_789));
    scope.set_consumer(Value::from_pairs([("name", "acme")]));
    scope
}

fn compile(source: &str, sink: Sink) -> Template {
    Template::new(source, sink).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn rendered(source: &str, sink: Sink) -> Result<String, TemplateError> {
    compile(source, sink).render(&scope()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn check(sink: Sink, cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        assert_eq!(rendered(source, sink).as_deref(), Ok(*expected), "{source}");
    }
}

fn refused(source: &str, sink: Sink) -> String {
    Template::new(source, sink).map(|_| ()).expect_err(source).to_string()
}

#[test]
fn tags_do_what_they_do_in_jinja() {
    check(
        Sink::Text,
        &[
            ("", ""),
            ("plain } }} %} #} { text", "plain } }} %} #} { text"),
            ("one\n", "one"),
            ("one\r\n", "one"),
            ("one\n\n", "one\n"),
            ("{{ request.method }}", "POST"),
            ("<{{request.method|lower}}>{{ 1 }}", "<post>1"),
            ("{{ {'a': {'b': 1}}.a.b }}{{ '}}' }}{{ \"%}\" }}", "1}}%}"),
            ("a {{- 1 -}} b", "a1b"),
            ("a {%- if 1 -%} b {%- endif -%} c", "abc"),
            ("a {#- no {{ 1 }} -#} b{# #}", "ab"),
            ("{{-1}} {{ -1 }}", "1 -1"),
            ("{% raw %}{{ 1 }}{% if %}{% endraw %}", "{{ 1 }}{% if %}"),
            ("x {%- raw -%} {{ 1 }} {%- endraw -%} y", "x{{ 1 }}y"),
            ("{% if body.yes %}y{% endif %}{% if body.no %}n{% endif %}", "y"),
            ("{% if 0 %}a{% elif body.id == 7 %}b{% else %}c{% endif %}", "b"),
            ("{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}", "c"),
            ("{% for x in [1, 2] %}{{ x }},{% endfor %}", "1,2,"),
            ("{% for x in [] %}{{ x }}{% else %}none{% endfor %}", "none"),
            ("{% for x in body.nope %}{{ x }}{% else %}none{% endfor %}", "none"),
            ("{% for x in [1, 2, 3] if x != 2 %}{{ loop.index }}={{ x }} {% endfor %}", "1=1 2=3 "),
            (
                "{% for x in [5, 6] %}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
                "0truefalse2 1falsetrue2 ",
            ),
            ("{% for k, v in {'a': 1}|items %}{{ k }}{{ v }}{% endfor %}", "a1"),
            ("{% for x in (['a'] if 1 else []) if x %}{{ x }}{% endfor %}", "a"),
            ("{% set x = 1 %}{% set y = x + 1 %}{{ x }}{{ y }}", "12"),
            ("{% if 1 %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}", "1"),
            (
                "{% set x = 1 %}{% for y in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }} {% endfor %}{{ x }}",
                "15 15 1",
            ),
            (
                "{% for x in [1, 2] %}{% for y in [3, 4] %}{{ x * y }}{{ loop.index }} {% endfor %}{% endfor %}",
                "31 42 61 82 ",
            ),
        ],
    );
}

#[test]
fn headers_parameters_and_cookies_can_be_listed() {
    let headers =
        Headers::from_pairs([(":path", "/?b=2&a=1&b=3"), ("x", "1"), ("cookie", "c=1; c=2"), ("x", "2")]);
    let scope = Scope::new(&RequestHead::new(&headers));
    for (source, expected) in [
        ("{% for k, v in request.headers|items %}{{ k }}={{ v }} {% endfor %}", "x=1, 2 cookie=c=1; c=2 "),
        ("{% for k, v in request.query|items %}{{ k }}={{ v }} {% endfor %}", "b=2 a=1 b=3 "),
        ("{% for k, v in request.cookies|items %}{{ k }}={{ v }} {% endfor %}", "c=1 c=2 "),
        ("{% for k, v in request.query_all|items %}{{ k }}={{ v }} {% endfor %}", r#"b=["2","3"] a=["1"] "#),
        ("{{ request.query_all }} {{ request.query|length }}", r#"{"b":["2","3"],"a":["1"]} 3"#),
        // Values that a lookup refuses must not be compared.
        (
            "{{ request.query < request.cookies }}{{ request.query|items < request.cookies|items }}",
            "truetrue",
        ),
        ("{{ request.query == request.cookies }}", "false"),
        (
            "{{ request < request.headers }}{{ path == request.query }}{{ [request.query] < [request.query] }}",
            "truefalsefalse",
        ),
    ] {
        let found = compile(source, Sink::Text).render(&scope).map(|found| String::from_utf8(found).unwrap());
        assert_eq!(found.as_deref(), Ok(expected), "{source}");
    }
    let twice = compile("{{ request.query }}", Sink::Text).render(&scope).map_err(|error| error.problem);
    assert_eq!(twice, Err(Problem::NoAnswer(ErrorKind::InvalidOperation)));
}

#[test]
fn values_are_written_as_json_has_them() {
    check(
        Sink::Text,
        &[
            ("{{ true }} {{ false }} {{ none }}|{{ request.headers.nope }}|", "true false ||"),
            ("{{ 1.5 }} {{ 2.0 }} {{ 7 // 2 }}", "1.5 2.0 3"),
            ("{{ [1, 'a', true, none] }} {{ {'k': [1.5]} }}", r#"[1,"a",true,null] {"k":[1.5]}"#),
            ("{{ [1, true]|join('-') }} {{ true|string }}", "1-true true"),
            ("{{ request.headers_all['x-one'] }}", r#"["one"]"#),
        ],
    );
}

#[test]
fn the_time_and_random_ids() {
    check(
        Sink::Text,
        &[
            ("{{ now }}", "1994-11-06T08:49:37.123Z"),
            ("{{ now.unix }} {{ now.unix_ms }} {{ now.unix + 1 }}", "784111777 784111777123 784111778"),
            (
                "{{ now.date }} {{ now.time }}|{{ now.http }}",
                "1994-11-06 08:49:37|Sun, 06 Nov 1994 08:49:37 GMT",
            ),
            ("{{ now|replace(':', '') }}", "1994-11-06T084937.123Z"),
        ],
    );
    check(
        Sink::Json,
        &[("[{{ now }}, \"{{ now }}\"]", r#"["1994-11-06T08:49:37.123Z", "1994-11-06T08:49:37.123Z"]"#)],
    );
    let template = compile("{{ uuid() }}", Sink::Text);
    let ids: Vec<_> =
        (0..3).map(|_| String::from_utf8(template.render(&scope()).unwrap()).unwrap()).collect();
    let form =
        regex::Regex::new("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$").unwrap();
    assert!(ids.iter().all(|id| form.is_match(id)), "{ids:?}");
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let twice = rendered("{{ uuid() }} {{ uuid() }}", Sink::Text).unwrap();
    let (one, two) = twice.split_once(' ').unwrap();
    assert_ne!(one, two);
}

#[test]
fn filters_encode_and_hash_bytes() {
    check(
        Sink::Text,
        &[
            (
                "{{ 'foob'|base64 }} {{ 'Zm9vYg=='|base64_decode }} {{ 'Zm9vYg'|base64_decode }}",
                "Zm9vYg== foob foob",
            ),
            ("{{ request.headers['x-raw']|base64 }} {{ request.headers['x-raw']|hex }}", "Y2Fm6Q== 636166e9"),
            ("{{ '??>'|base64url }} {{ 'Pz8-'|base64_decode }}", "Pz8- ??>"),
            ("{{ 'abc'|sha256 }}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("{{ 'a b/c&é~'|urlencode }} {{ 'a%20b+%C3%A9'|urldecode }}", "a%20b%2Fc%26%C3%A9~ a b+é"),
            ("{{ request.headers['x-raw']|urlencode }}", "caf%E9"),
            (
                "{{ {'a': '\"'}|tojson }} {{ '[1, {\"a\": 2}]'|fromjson|last|tojson }}",
                r#"{"a":"\""} {"a": 2}"#,
            ),
            ("{{ ('{\"a\": 2}'|fromjson).a + 1 }}", "3"),
            ("{% for k, v in body.deep|items %}{{ k }}={{ v }};{% endfor %}", r#"b={"c": [10, 20]};a=1;"#),
        ],
    );
    for source in ["{{ '*'|base64_decode }}", "{{ 'a'|fromjson }}", "{{ '1 2'|fromjson }}"] {
        assert!(rendered(source, Sink::Text).is_err(), "{source}");
    }
    let bytes = compile("{{ '/w=='|base64_decode }}", Sink::Text).render(&scope()).unwrap();
    assert_eq!(bytes, b"\xff");
}

#[test]
fn bodies_keep_the_text_of_their_numbers() {
    check(
        Sink::Text,
        &[
            (
                "{{ body.price }} {{ body.big }} {{ body.huge }} {{ body.e }} {{ body.id }}",
                "1.10 123456789012345678901234567890 1234567890123456789012345678901234567890 1e2 7",
            ),
            ("{{ body.list }} {{ body.deep.b }}", r#"[1, 2.50, "x"] {"c": [10, 20]}"#),
            ("{{ body.price|tojson }} {{ body.list|tojson }}", r#"1.10 [1, 2.50, "x"]"#),
            (
                "{{ body.list|join('/') }} {{ body.list[1] }} {{ body.list|last }} {{ body.list[-1] }}",
                "1/2.50/x 2.50 x x",
            ),
            ("{% for n in body.list %}{{ n }} {% endfor %}", "1 2.50 x "),
            ("{% for item in body.items if item.n > 0 %}{{ item.n }} {% endfor %}", "1.0 30 "),
            ("{% set p = body.price %}{{ p }} {% if p > 1 and p < 2 %}ok{% endif %}", "1.10 ok"),
            ("{% for p in [body.price] %}{% if p > 1 and p < 2 %}ok{% endif %}{% endfor %}", "ok"),
            (
                "{{ body.price * 2 }} {{ body.id + 1 }} {{ body.big + 1 }} {{ body.price|int }}",
                "2.2 8 123456789012345678901234567891 1",
            ),
            ("{{ 'more' if body.price > 1 else 'less' }} {{ body.e == 100 }}", "more true"),
            ("{% if body.price %}yes{% endif %}{{ body.deep|length }}{{ body.list|length }}", "yes23"),
            ("{{ body['uuid'] }} {{ body.uuid }} {{ body.items|length }}", "mine mine 2"),
            (
                "{% for key in body.deep %}{{ key }} {% endfor %}{{ 'a' in body.deep }} {{ 'z' in body.deep }}",
                "b a true false",
            ),
            (
                "{{ body.nil }}|{{ body.nope }}|{{ body.nope|default('d') }}|{{ body.nil is none }}",
                "||d|true",
            ),
            ("{{ body.name }}", "a\"b\n<é>"),
        ],
    );
}

#[test]
fn bodies_of_any_form_are_read() {
    let mut scope = scope();
    for (body, source, expected) in [
        (r#" {"a\u0062": 1, "x": 1, "": 3, "x": 2} "#, "{{ body.ab }}{{ body.x }}{{ body[''] }}", "123"),
        (
            r#"{"x": 1, "y": 2, "x": 3}"#,
            "{{ body|length }}{% for k, v in body|items %} {{ k }}{{ v }}{% endfor %}",
            "2 x3 y2",
        ),
        (r#"{"x": 1, "x": 2}"#, "{{ body }}{{ [body]|tojson }}", r#"{"x": 1, "x": 2}[{"x": 1, "x": 2}]"#),
        (r#"{"\ud800": "\ud83d\ude00"}"#, "{{ body|items|first|last }}", "\u{1f600}"),
        (r#" "a\nb" "#, "{{ body }}", "a\nb"),
        ("-0", "{{ body }} {{ body + 1 }}", "-0 1"),
        ("1e999", "{{ body }} {{ body > 5 }}", "1e999 true"),
        ("[[[1.0]]]", "{{ body[0][0][0] }}{{ body[0][0] }}{{ body[3] }}", "1.0[1.0]"),
        ("[]", "{{ body|first }}{{ body|length }}{% if body %}x{% endif %}", "0"),
        ("{}", "{{ body.a }}{% if body %}x{% endif %}", ""),
    ] {
        scope.set_body(body.as_bytes());
        let found = compile(source, Sink::Text).render(&scope).map(|found| String::from_utf8(found).unwrap());
        assert_eq!(found.as_deref(), Ok(expected), "{body}: {source}");
    }
    scope.set_body(b"{\"a\": \"\xff\", \"\xfe\": 1}");
    let render = |source, sink| compile(source, sink).render(&scope).unwrap();
    assert_eq!(render("{{ body.a }}", Sink::Text), b"\xff");
    assert_eq!(render("{{ body }}", Sink::Text), b"{\"a\": \"\xff\", \"\xfe\": 1}");
    assert_eq!(render("{{ body }}", Sink::Json), "{\"a\": \"\u{fffd}\", \"\u{fffd}\": 1}".as_bytes());
}

/// The engine recurses where it compares.
#[test]
fn the_deepest_body_can_be_compared() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let mut scope = scope();
    scope.set_body(nested(128).as_bytes());
    let compare = compile("{{ body == (body|string)|fromjson }} {{ body < [body] }}", Sink::Text);
    assert_eq!(compare.render(&scope).unwrap(), b"true true");
    scope.set_body(nested(129).as_bytes());
    assert_eq!(compile("{{ body is string }}", Sink::Text).render(&scope).unwrap(), b"true");
}

#[test]
fn a_body_that_is_no_json_is_a_text() {
    let mut scope = scope();
    for (body, expected) in [
        (&b"id=1"[..], &b"id=1"[..]),
        (b"{\"a\":", b"{\"a\":"),
        (b"\xff", b"\xff"),
        (b"", b""),
        (b" 12 ", b"12"),
    ] {
        scope.set_body(body);
        assert_eq!(compile("{{ body }}", Sink::Text).render(&scope).unwrap(), expected);
    }
    let never = Scope::new(&RequestHead::new(&Headers::default()));
    assert_eq!(compile("{{ body }}", Sink::Text).render(&never).unwrap(), b"");
    assert!(compile("{{ body.a }}", Sink::Text).render(&never).is_err());
}

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
            [request, template.needs_response(), template.needs_body(), template.needs_consumer(), now],
            expected,
            "{source}"
        );
    }
    let template = compile("{{ path.a }}{% if path['b'] %}path.c{{ request.path }}{% endif %}", Sink::Text);
    assert_eq!(template.captures().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (source, expected) in [
        (
            "a\n{{ reqest.method }}",
            "found the unknown variable \"reqest\", expected one of body, consumer, now, path, request, response: did you mean request? (line 2, column 4",
        ),
        ("{{ request.metod }}", "did you mean method? (column 4"),
        ("{{ now.unx }}", "did you mean unix? (column 4"),
        ("{{ 'a' && 'b' }}", "this cannot be read; && is written and, || is or, ! is not (column 8"),
        ("{{ body|sfae }}", "unknown filter \"sfae\""),
        ("{{ body.upper() }}", "there are no methods"),
        ("{{ uuid }}", "uuid is a function: write uuid() (column 4"),
        ("{{ range(9) }}", "unknown variable \"range\""),
        ("{{ body[::2] }}", "a slice has no step"),
        ("{{ 1", "this tag is not ended: expected }} (column 1"),
        ("{{ '}}", "this tag is not ended"),
        ("{{ }}", "unexpected"),
        ("{# x", "this comment is not ended: expected #}"),
        ("{% raw %}", "raw is not ended: expected endraw"),
        ("{% if 1 %}x", "if is not ended: expected endif (column 1"),
        ("x{% for x in [] %}", "for is not ended: expected endfor (column 2"),
        ("{% for x in [] %}{% endif %}", "found endif, expected endfor (column 18"),
        ("{% endif %}", "endif has nothing that it belongs to"),
        ("{% if 1 %}{% else %}{% elif 1 %}{% endif %}", "found elif, expected endif"),
        ("{% if %}{% endif %}", "unexpected"),
        ("{% else 1 %}", "nothing follows else"),
        (
            "{% iff 1 %}",
            "found the unknown tag \"iff\", expected one of elif, else, endfor, endif, for, if, raw, set: did you mean if?",
        ),
        ("{% include 'x' %}", "unknown tag \"include\""),
        ("{% macro x() %}{% endmacro %}", "unknown tag \"macro\""),
        ("{% autoescape false %}{% endautoescape %}", "unknown tag \"autoescape\""),
        ("{% %}", "expected the name of a tag"),
        ("{% set x %}1{% endset %}", "expected set name = expression"),
        ("{% set x.y = 1 %}", "expected set name = expression"),
        ("{% set body = 1 %}", "body is there already: take another name (column 8"),
        ("{% for loop in [] %}{% endfor %}", "loop is there already"),
        ("{% for x on y %}{% endfor %}", "expected for x in list, or for key, value in list (column 10"),
        ("{% for x, %}{% endfor %}", "expected for x in list"),
        ("{% for in y %}{% endfor %}", "in is there already"),
        ("{% for x in body recursive %}{% endfor %}", "unexpected input after expression (column 18"),
        ("{{ x }}{% set x = 1 %}", "unknown variable \"x\""),
        ("{% for x in [] %}{% endfor %}{{ x }}", "unknown variable \"x\""),
        ("{{ loop.index }}", "unknown variable \"loop\""),
    ] {
        let found = refused(source, Sink::Text);
        assert!(found.contains(expected), "{source:?}: {found}");
        assert!(!found.contains('\n'), "{source:?}: {found}");
    }
    assert!(refused(&" ".repeat(MAX_SOURCE + 1), Sink::Text).contains("65537 bytes"));
    assert!(refused(&format!("{{{{ {} }}}}", "-".repeat(2_001)), Sink::Text).contains("has at most 2000"));
    let nested = |levels: usize| format!("{}{}", "{% if 1 %}".repeat(levels), "{% endif %}".repeat(levels));
    compile(&nested(MAX_NESTING), Sink::Text);
    assert!(refused(&nested(MAX_NESTING + 1), Sink::Text).contains("more than 16 blocks"));
    assert!(refused(&"{% if 1 %}".repeat(5_000), Sink::Text).contains("more than 16 blocks"));
}

#[test]
fn results_have_a_limit() {
    let problem = |source: &str, limit: usize| {
        compile(source, Sink::Text).render_within(&scope(), limit).map_err(|error| error.problem)
    };
    assert_eq!(problem("12345", 5), Ok(b"12345".to_vec()));
    for source in [
        "123456",
        "{{ '123456' }}",
        "{{ [1, 2, 3] }}",
        "{{ body.list }}",
        "{% set x = '123456' %}",
        "{% for x in [1, 2, 3] %}{{ x }}{{ x }}{% endfor %}",
    ] {
        assert_eq!(problem(source, 5), Err(Problem::TooLong), "{source}");
        let value = compile(source, Sink::Text).value_within(&scope(), 5);
        assert_eq!(value.map_err(|error| error.problem), Err(Problem::TooLong), "{source}");
    }
    let ten = "[1,2,3,4,5,6,7,8,9,10]";
    let loops: String =
        ["a", "b", "c", "d", "e", "f"].iter().map(|name| format!("{{% for {name} in {ten} %}}")).collect();
    let source = format!("{loops}{}", "{% endfor %}".repeat(6));
    assert_eq!(problem(&source, 5), Err(Problem::TooManySteps));
    let doubling = "{% set x = x ~ x %}".repeat(40);
    assert_eq!(problem(&format!("{{% set x = 'ab' %}}{doubling}"), MAX_OUTPUT), Err(Problem::TooLong));
}

#[test]
fn errors_show_no_value() {
    for (source, expected) in [
        ("{{ request.headers['x-one'] - 1 }}", "the template has no result: invalid operation (column 4)"),
        ("a\n{{ 'secret'|fromjson }}", "the template has no result: invalid operation (line 2, column 4)"),
        ("{{ body.nope.deeper }}", "the template has no result: undefined value (column 4)"),
        ("{% for a, b in [1] %}{% endfor %}", "the template has no result: "),
        ("{% for a in 1 %}{% endfor %}", "the template has no result: invalid operation"),
    ] {
        let error = rendered(source, Sink::Text).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{source}: {error}");
        assert!(!format!("{error} {error:?}").contains("one"), "{source}");
    }
    assert!(!format!("{:?}", scope()).contains("1.10"));
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
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
            let block = (expression.clone(), inner.clone(), inner.clone()).prop_flat_map(
                |(expression, one, other)| {
                    proptest::sample::select(vec![
                        format!("{{% if {expression} %}}{one}{{% else %}}{other}{{% endif %}}"),
                        format!("{{% for x in {expression} %}}{one}{{% else %}}{other}{{% endfor %}}"),
                        format!("{{% for y, x in {expression} if x -%}}{one}{{% endfor %}}{other}"),
                    ])
                },
            );
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
}
