use super::*;
use crate::head::RequestHead;
use crate::headers::Headers;
use minijinja::{ErrorKind, Value};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn error(source: &str) -> String {
    compile(source).map(|_| ()).expect_err(source).to_string()
}

/// The engine counts its steps; the longest expression, which has no loops, takes fewer than it may.
#[test]
fn an_evaluation_has_fuel_for_the_longest_expression() {
    let longest = format!("x{}", "+x".repeat(MAX_LENGTH / 2 - 1));
    assert_eq!(environment().fuel(), Some(FUEL));
    let result = |environment: &Environment<'_>| {
        environment
            .compile_expression(&longest)
            .and_then(|expression| expression.eval(Value::from_pairs([("x", 1)])))
    };
    assert_eq!(result(environment()).unwrap(), Value::from(MAX_LENGTH / 2));
    let mut poor = environment().clone();
    poor.set_fuel(Some(FUEL / 10));
    assert_eq!(result(&poor).unwrap_err().kind(), ErrorKind::OutOfFuel);
}

#[test]
fn mistakes_are_told_in_one_line_with_the_place() {
    for (source, expected) in [
        ("", "column 1, at the end"),
        ("(request.method", "expected `)`"),
        ("request.method ==", "(column 1"),
        ("request.method = 'GET'", "(column 16, at \"= 'GET'\")"),
        ("request.method ==\n 'GET' 1", "(line 2, column 8, at \"1\")"),
        ("1 ! 1", "(column 3, at \"! 1\")"),
        ("'é' ! 1", "this cannot be read; && is written and, || is or, ! is not (column 5, at \"! 1\")"),
        ("request.method == 'GET' && true", "(column 25, at \"&& true\")"),
        ("request.method == 'GET' || true", "(column 26, at \"| true\")"),
        ("(request.method == 'GET' && true)", "column"),
        ("'a' 'b", "this cannot be read"),
        ("'a' '\\xzz'", "this cannot be read"),
        ("'a'\u{2028}'b'", "this cannot be read"),
        ("1) + (1", "unexpected"),
        ("'abc", "unexpected end of string"),
        (
            "reqest.method",
            "found the unknown variable \"reqest\", expected one of body, consumer, now, path, request, response: did you mean request? (column 1",
        ),
        (
            "true and xyz",
            "found the unknown variable \"xyz\", expected one of body, consumer, now, path, request, response (column 10",
        ),
        ("request.metod", "scheme: did you mean method? (column 1, at \"request.metod\")"),
        ("response.state", "found the unknown field of response \"state\", expected one of "),
        ("request.method.x", "request.method has no fields, so no \"x\""),
        (
            "true and request.headers.X-Env-1 == 'a'",
            "a name with - in it stands in brackets: write request.headers[\"x-env-1\"] (column 26, at \"X-Env-1",
        ),
        // `path` and `1` are there, so the engine has nothing against the difference.
        ("response.headers_all.x-path", "write response.headers_all[\"x-path\"]"),
        ("request.query.Page-1", "write request.query[\"Page-1\"]"),
        ("request.cookies.a-if", "write request.cookies[\"a-if\"]"),
        ("request.method|lowr", "urlencode: did you mean lower? (column 16, at \"lowr\")"),
        ("request.method | safe", "unknown filter \"safe\""),
        ("request.method is startingwit 'a'", "undefined: did you mean startingwith?"),
        ("1 is not divisibleby 0", "unknown test \"divisibleby\""),
        ("request.method.lower() == 'get'", "there are no methods: instead of .lower() use a filter"),
        ("range(3)", "unknown variable \"range\""),
        (
            "'-' * request.query.n|int == ''",
            "text can't be multiplied: a client could choose how often (column 5",
        ),
        ("request.query.n|int * \"-\"", "text can't be multiplied"),
        ("request.path[::-1]", "a slice has no step: write [start:end] (column 15"),
        ("request.path[1:2:request.query.n|int]", "no step"),
        ("request.path[{'a': 1}['a']: :2]", "no step"),
    ] {
        let found = error(source);
        assert!(found.contains(expected), "{source:?}: {found}");
        assert!(!found.contains('\n'), "{source:?}: {found}");
    }
    assert!(error(&"-".repeat(MAX_LENGTH + 1)).contains("2001 bytes"));
}

#[test]
fn what_only_looks_like_a_mistake_is_none() {
    for source in [
        "'|nope is nope [::-1] .x()' == \"it's | nope\"",
        "request.headers['|nope'] is not none",
        "consumer.is == consumer['is']",
        "{'a': 1, 'b': 2}.a == 1 and [1, 2][0:1]",
        "'\\'|nope'",
        "request.query.n|int-1 == 0 and request.query.n - 1 and body.headers.a-1",
        "0x1f == 31 and 1e3 == 1000",
        "request.headers.accept is defined and request.headers[consumer.name] is undefined",
    ] {
        compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    }
}

#[test]
fn the_listed_filters_and_tests_are_the_ones_there_are() {
    let run = |source: String| {
        environment().compile_expression_owned(source).unwrap().eval(()).map_err(|error| error.kind())
    };
    for filter in FILTERS {
        assert_ne!(run(format!("1|{filter}")), Err(ErrorKind::UnknownFilter), "{filter}");
    }
    for test in TESTS {
        assert_ne!(run(format!("1 is {test}")), Err(ErrorKind::UnknownTest), "{test}");
    }
    assert_eq!(run("1|nope".into()), Err(ErrorKind::UnknownFilter));
}

#[test]
fn integers_are_not_what_they_are_cut_to() {
    let scope = Scope::new(&RequestHead::new(&Headers::default()));
    let run = |source: &str| compile(source).unwrap().eval(scope.root()).ok().map(|value| value.to_string());
    for (source, expected) in [
        ("'12'|int", Some("12")),
        ("'-1.9e2'|int", Some("-190")),
        ("'1e37'|int", Some("9999999999999999538762658202121142272")),
        ("'0x1f'|int(0, 16)", Some("31")),
        ("'nan'|int(0, 36)", Some("30191")),
        ("'1e400'|int", None),
        ("'-1e400'|int", None),
        ("'inf'|int", None),
        ("'nan'|int", None),
        ("1e308|int", None),
        ("'x'|int", None),
        ("'1e400'|int(7)", Some("7")),
        ("'-1e400'|int(default=7)", Some("7")),
        ("'nan'|int(7)", Some("7")),
        ("''|int(7)", Some("7")),
    ] {
        assert_eq!(run(source).as_deref(), expected, "{source}");
    }
}

#[test]
fn names_of_captures_are_known_beforehand() {
    for (source, expected) in [
        ("path.id == 'a' and path['user_id'] or path [ \"x\" ] . y", &["id", "user_id", "x"][..]),
        ("path.id ~ path.id", &["id", "id"]),
        ("request.path.x is none and body.path.y", &[]),
        ("path and path|length and path[request.path] and 'path.id'", &[]),
    ] {
        assert_eq!(check::captures(source), expected, "{source}");
    }
}

#[test]
fn results_do_not_grow_without_bound() {
    let long = "x".repeat(60_000);
    let headers = Headers::from_pairs([("a", long.as_str())]);
    let scope = Scope::new(&RequestHead::new(&headers));
    for source in [
        "request.headers.a|replace('', request.headers.a)",
        "request.headers.a|replace('x', request.headers.a)",
        "request.headers.a|split('')|join(request.headers.a)",
    ] {
        let found = compile(source).unwrap().eval(scope.root()).map(|_| ());
        assert_eq!(found.unwrap_err().kind(), ErrorKind::WriteFailure, "{source}");
    }
    let found = compile("request.headers.a|replace('x', 'yy')|length").unwrap().eval(scope.root()).unwrap();
    assert_eq!(found, Value::from(120_000));
}

#[test]
fn the_deepest_expression_compiles_and_ends() {
    let scope = Scope::new(&RequestHead::new(&Headers::default()));
    for (open, close) in
        [("-", ""), ("not ", ""), ("(", ")"), ("[", "]"), ("1+", ""), ("1 if 1 else ", ""), ("1**", "")]
    {
        let levels = (MAX_LENGTH - 1) / (open.len() + close.len());
        let source = format!("{}1{}", open.repeat(levels), close.repeat(levels));
        if let Ok(expression) = compile(&source) {
            let _ = expression.eval(scope.root());
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    fn expressions() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("request.headers.a".to_owned()),
            Just("request.headers_all.a".to_owned()),
            Just("request.query.q".to_owned()),
            Just("request.query.none".to_owned()),
            Just("consumer.x".to_owned()),
            Just("none".to_owned()),
            Just("[]".to_owned()),
            Just("''".to_owned()),
            Just("9223372036854775807".to_owned()),
            Just("(0 - 170141183460469231731687303715884105727 - 1)".to_owned()),
            Just("1e308".to_owned()),
            Just("0".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let filters =
                FILTERS.iter().flat_map(|name| ["", "(X)", "(X, Y)"].map(|args| format!("|{name}{args}")));
            let tests = TESTS.iter().flat_map(|name| ["", "(X)"].map(|args| format!(" is {name}{args}")));
            let others = [
                " == X",
                " != X",
                " < X",
                " <= X",
                " > X",
                " >= X",
                " + X",
                " - X",
                " / X",
                " // X",
                " % X",
                " ** X",
                " ~ X",
                " and X",
                " or X",
                " in X",
                "[X]",
                "[X:Y]",
                "[:X]",
                "[X:]",
                " if X else Y",
                ".a",
            ];
            let forms: Vec<String> = filters.chain(tests).chain(others.map(str::to_owned)).collect();
            (inner.clone(), proptest::sample::select(forms), inner.clone(), inner)
                .prop_map(|(left, form, x, y)| format!("({left}{})", form.replace('X', &x).replace('Y', &y)))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_expression_and_no_request_panics(source in expressions(), a: Vec<u8>, q in "[-0-9a-z%+]{0,6}") {
            let path = format!("/?q={q}");
            let headers = Headers::from_pairs([(&b":path"[..], path.as_bytes()), (b"a", &a)]);
            if let Ok(expression) = compile(&source) {
                let _ = expression.eval(Scope::new(&RequestHead::new(&headers)).root());
            }
        }

        #[test]
        fn no_text_is_too_strange_to_compile(source in "([a-z.|:'\"\\\\\\[\\](){}!=<>+*/%~-]|request|is | not|é|\n){0,20}") {
            if let Err(error) = compile(&source) {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }
}
