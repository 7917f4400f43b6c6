#![allow(clippy::arithmetic_side_effects, reason = "test code")]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const ACCEPTED: &[&[u8]] = &[
    b"null",
    b" true ",
    b"\t\r\n false",
    b"0",
    b"-0",
    b"-0.0e-0",
    b"12345678901234567890",
    b"1.5",
    b"1E5",
    b"1e+05",
    b"0.1e-9999",
    b"123456789012345678.123456789012345678e123456789012345678",
    b"\"\"",
    b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD834\\udd1e\"",
    b"\"\\ud800\"",
    b"\"\x7f\xc3\xa9\xf0\x9f\x98\x80\"",
    b"\"\xff\xfe\"",
    b"\"sixteen bytes, 16\"",
    b"\"a string of more than two blocks of bytes, \\\" and on\"",
    b"[]",
    b"[ ]",
    b"[1]",
    b"[1 , 2]",
    b"[[],{}]",
    b"{}",
    b"{ }",
    b"{\"a\":1}",
    b"{\"a\" : 1 , \"a\" : 2}",
    b"{\"\":{\"\":[{}]}}",
    b"\xef\xbb\xbf{}",
];

/// What is refused, where, and why.
const REFUSED: &[(&[u8], usize, ErrorKind)] = &[
    (b"", 0, ErrorKind::End),
    (b"  ", 2, ErrorKind::End),
    (b"\xef\xbb\xbf", 3, ErrorKind::End),
    (b" \xef\xbb\xbf{}", 1, ErrorKind::Value),
    (b"\xfe\xff\0{", 0, ErrorKind::Value),
    (b"nul", 0, ErrorKind::End),
    (b"nulk", 0, ErrorKind::Value),
    (b"True", 0, ErrorKind::Value),
    (b"NaN", 0, ErrorKind::Value),
    (b"Infinity", 0, ErrorKind::Value),
    (b"'a'", 0, ErrorKind::Value),
    (b"1 2", 2, ErrorKind::Trailing),
    (b"nulll", 4, ErrorKind::Trailing),
    (b"{}}", 2, ErrorKind::Trailing),
    (b"[]\0", 2, ErrorKind::Trailing),
    (b"\"a\"x", 3, ErrorKind::Trailing),
    (b"01", 1, ErrorKind::Trailing),
    (b"0x1", 1, ErrorKind::Trailing),
    (b"1_000", 1, ErrorKind::Trailing),
    (b"-", 1, ErrorKind::End),
    (b"-a", 1, ErrorKind::Number),
    (b"+1", 0, ErrorKind::Value),
    (b".5", 0, ErrorKind::Value),
    (b"1.", 2, ErrorKind::End),
    (b"1.e5", 2, ErrorKind::Number),
    (b"[1e]", 3, ErrorKind::Number),
    (b"1e+", 3, ErrorKind::End),
    (b"\"", 1, ErrorKind::End),
    (b"\"a", 2, ErrorKind::End),
    (b"\"\\\"", 3, ErrorKind::End),
    (b"\"\\", 2, ErrorKind::End),
    (b"\"\\u12", 5, ErrorKind::End),
    (b"\"\\x\"", 1, ErrorKind::Escape),
    (b"\"\\u12g4\"", 1, ErrorKind::Escape),
    (b"\"\\U0041\"", 1, ErrorKind::Escape),
    (b"\"\n\"", 1, ErrorKind::Control),
    (b"\"0123456789abcdef0123\x00\"", 21, ErrorKind::Control),
    (b"\"\x1f\"", 1, ErrorKind::Control),
    (b"[", 1, ErrorKind::End),
    (b"[1", 2, ErrorKind::End),
    (b"[1,", 3, ErrorKind::End),
    (b"[1,]", 3, ErrorKind::Value),
    (b"[,1]", 1, ErrorKind::Value),
    (b"[1 2]", 3, ErrorKind::AfterElement),
    (b"[1}", 2, ErrorKind::AfterElement),
    (b"[1:2]", 2, ErrorKind::AfterElement),
    (b"{", 1, ErrorKind::End),
    (b"{\"a\"", 4, ErrorKind::End),
    (b"{\"a\":", 5, ErrorKind::End),
    (b"{\"a\"}", 4, ErrorKind::Colon),
    (b"{\"a\":}", 5, ErrorKind::Value),
    (b"{\"a\":1,}", 7, ErrorKind::Name),
    (b"{,}", 1, ErrorKind::Name),
    (b"{a:1}", 1, ErrorKind::Name),
    (b"{1:1}", 1, ErrorKind::Name),
    (b"{\"a\":1]", 6, ErrorKind::AfterMember),
    (b"{\"a\":1 \"b\":2}", 7, ErrorKind::AfterMember),
    (b"{\"a\":1,,}", 7, ErrorKind::Name),
    (b"[1]//", 3, ErrorKind::Trailing),
    (b"/**/1", 0, ErrorKind::Value),
    (b"\xa01", 0, ErrorKind::Value),
    (b"\x0c1", 0, ErrorKind::Value),
];

#[test]
fn accepts_json() {
    for text in ACCEPTED {
        assert_eq!(validate(text, &Limits::default()), Ok(()), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn refuses_all_else_and_says_where() {
    for (text, offset, kind) in REFUSED {
        let expected = Err(JsonError::new(*offset, *kind));
        assert_eq!(validate(text, &Limits::default()), expected, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn cut_texts_end_too_early() {
    let text = br#"{"name":["\u00e9",-1.5e+7,true,{"x":null}],"other":"0123456789abcdef\""}"#;
    assert_eq!(validate(text, &Limits::default()), Ok(()));
    for end in 0..text.len() {
        let error = validate(&text[..end], &Limits::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::End, "cut at {end}");
    }
}

#[test]
fn depth_is_counted_in_containers() {
    let nested = |depth: usize| ["[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2)].join("[]");
    let limits = Limits { depth: 201, ..Limits::default() };
    assert_eq!(validate(nested(200).as_bytes(), &limits), Ok(()));
    let limits = Limits { depth: 200, ..limits };
    let error = validate(nested(200).as_bytes(), &limits).unwrap_err();
    assert_eq!(error, JsonError::new(600, ErrorKind::TooDeep));
    assert!(error.is_limit());
    assert_eq!(validate(b"1", &Limits { depth: 0, ..limits }), Ok(()));
    assert!(validate(b"[]", &Limits { depth: 0, ..limits }).is_err());
}

#[test]
fn arrays_and_objects_do_not_mix_at_any_depth() {
    for depth in [1, 2, 63, 64, 65, 127, 128, 129, 300] {
        let good = "[".repeat(depth) + "{\"a\":1}" + &"]".repeat(depth);
        assert_eq!(validate(good.as_bytes(), &Limits::default()), Ok(()), "{depth}");
        for at in 0..depth {
            let mut bad = good.clone().into_bytes();
            let close = bad.len() - 1 - at;
            bad[close] = b'}';
            assert_eq!(
                validate(&bad, &Limits::default()),
                Err(JsonError::new(close, ErrorKind::AfterElement)),
                "{depth} {at}"
            );
        }
    }
}

#[test]
fn errors_say_what_and_where_but_show_nothing() {
    let error = validate(b"{\"password\" \"hunter2\"}", &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "expected `:` after a member name (at byte 12)");
}
