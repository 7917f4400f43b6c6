//! What templates make of a message.

mod mistakes;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
mod sinks;

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
