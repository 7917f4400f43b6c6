//! What templates must not say, and what they must not do.

use super::*;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
