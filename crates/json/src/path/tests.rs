#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "test code")]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{Limits, Node};

fn path(text: &str) -> Path {
    Path::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The texts of the values that a path selects.
fn select(document: &str, text: &str) -> Vec<String> {
    let node = Node::parse(document.as_bytes(), &Limits::default()).unwrap();
    let found = node.at(&path(text), &Limits::default()).unwrap();
    found.iter().map(|node| String::from_utf8(node.text().to_vec()).unwrap()).collect()
}

/// The document and the pointers of RFC 6901, section 5.
#[test]
fn pointers_of_the_rfc() {
    let document =
        r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
    for (pointer, expected) in [
        ("", document),
        ("/foo", r#"["bar","baz"]"#),
        ("/foo/0", "\"bar\""),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ] {
        assert_eq!(select(document, pointer), [expected], "{pointer}");
    }
    for nothing in ["/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/1e0", "/foo/-1", "/bar", "/foo/0/x"] {
        assert_eq!(select(document, nothing), [""; 0], "{nothing}");
    }
    assert_eq!(select(r#"{"0":1,"-":2,"~1":3}"#, "/0"), ["1"]);
    assert_eq!(select(r#"{"0":1,"-":2,"~1":3}"#, "/-"), ["2"]);
    assert_eq!(select(r#"{"0":1,"-":2,"~1":3}"#, "/~01"), ["3"]);
}

/// The document and queries of RFC 9535, section 1.5, without filters.
#[test]
fn queries_of_the_rfc() {
    let document = r#"{"store":{"book":[{"author":"R","price":8.95},{"author":"W","price":12.99},
        {"author":"M","price":8.99},{"author":"T","price":22.99}],"bicycle":{"color":"red","price":399}}}"#;
    let authors = ["\"R\"", "\"W\"", "\"M\"", "\"T\""];
    for (query, expected) in [
        ("$.store.book[*].author", &authors[..]),
        ("$..author", &authors),
        ("$.store..price", &["8.95", "12.99", "8.99", "22.99", "399"]),
        ("$..book[2].author", &["\"M\""]),
        ("$..book[-1].author", &["\"T\""]),
        ("$..book[0,1].price", &["8.95", "12.99"]),
        ("$..book[:2].price", &["8.95", "12.99"]),
        ("$['store']['bicycle'][\"color\"]", &["\"red\""]),
        ("$.store.book[::-2].price", &["12.99", "22.99"]),
        ("$.store.book[-3:-1].price", &["12.99", "8.99"]),
        ("$.store.book[1:1].price", &[]),
        ("$.store.book[1].publisher", &[]),
        ("$..book[0]['price','author']", &["\"R\"", "8.95"]),
    ] {
        assert_eq!(select(document, query), expected, "{query}");
    }
    assert_eq!(select(document, "$.store.*").len(), 2);
    assert_eq!(select(document, "$..*").len(), 17);
}

#[test]
fn names_compare_after_their_escapes() {
    let document = r#"{"\u0061":1,"a":2,"\ud83d\ude00":3,"\\u0061":4}"#;
    assert_eq!(select(document, "/a"), ["1", "2"]);
    assert_eq!(select(document, "$['\\u0061']"), ["1", "2"]);
    assert_eq!(select(document, "$.\u{1f600}"), ["3"]);
    assert_eq!(select(document, "/\\u0061"), ["4"]);
}

#[test]
fn each_value_once_in_the_order_of_the_document() {
    assert_eq!(select("[1,2,3]", "$[2,0,0]"), ["1", "3"]);
    assert_eq!(select("[1,2,3]", "$[::-1]"), ["1", "2", "3"]);
    assert_eq!(select("[[1],[2]]", "$..[*]"), ["[1]", "1", "[2]", "2"].map(str::to_owned).to_vec());
}

#[test]
fn lengths_are_known_at_every_depth() {
    let document = "[[1,[2,3,4]],[[5,6],7,[8]]]";
    assert_eq!(select(document, "$..[-1]"), ["[2,3,4]", "4", "[[5,6],7,[8]]", "6", "[8]", "8"]);
    assert_eq!(select(document, "$[-1][-2]"), ["7"]);
    let deep = "[".repeat(300) + "1,2" + &"]".repeat(300);
    assert_eq!(select(&deep, "$..[-1]").len(), 300);
}

#[test]
fn definite_paths() {
    for (text, definite, root) in [
        ("", true, true),
        ("$", true, true),
        ("/a/0/-", true, false),
        ("$.a[-1]['b']", true, false),
        ("$.a[*]", false, false),
        ("$..a", false, false),
        ("$[0,1]", false, false),
        ("$[0:1]", false, false),
    ] {
        assert_eq!((path(text).is_definite(), path(text).is_root()), (definite, root), "{text}");
        assert_eq!(path(text).as_str(), text);
        assert_eq!((path(text).to_string(), text.parse()), (text.to_owned(), Ok(path(text))));
    }
}

#[test]
fn errors_say_what_to_write() {
    for (text, expected) in [
        ("a", "`a` is no path: expected `/` or `$` at its begin, found `a`: write `/a` or `$.a`"),
        ("#/a", "`#/a` is no path: a JSON Pointer is written without `#` here: write `/a`"),
        ("/a~b", "expected `0` or `1` after the `~` at byte 2: write `~0` for `~` and `~1` for `/`"),
        ("/a/~", "after the `~` at byte 3"),
        ("$a", "expected `.name`, `[...]`, `..` or the end at byte 1, found `a`"),
        ("$.a b", "expected `.name`, `[...]`, `..` or the end at byte 4, found `b`"),
        ("$.a-b", "expected `.name`, `[...]`, `..` or the end at byte 3, found `-`"),
        ("$.", "expected a name of letters, digits and `_`, or `*`, at byte 2, found its end"),
        ("$.1", "at byte 2, found `1`: write other names as `['the name']` without a dot before it"),
        (
            "$[a]",
            "expected a selector at byte 2, found `a`: write a quoted name (`'name'`), an index (`0`), a slice",
        ),
        ("$[]", "expected a selector at byte 2, found `]`"),
        ("$[?@.a]", "filters (the `?` at byte 2) are not supported yet"),
        ("$[0 1]", "expected `,` or `]` after the selector at byte 4, found `1`"),
        ("$['a", "the quote that opens at byte 2 is not closed"),
        ("$['\t']", "a control character in the quotes at byte 3"),
        ("$['\\x']", "no such escape at byte 3"),
        ("$['\\ud800']", "half of a surrogate pair at byte 3"),
        ("$[01]", "expected an index or a part of a slice at byte 2"),
        ("$[9007199254740992]", "the number at byte 2 is beyond 9007199254740991"),
        ("$.a ", "white space at byte 3 where none may be"),
        ("$. a", "white space at byte 2 where none may be"),
    ] {
        let error = Path::new(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(error.starts_with(&format!("`{}` is no path", text.escape_debug())), "{error}");
    }
    let long = "/a".repeat(101);
    assert!(Path::new(&long).unwrap_err().to_string().ends_with("it has more than 100 segments"));
    assert!(Path::new(&long[2..]).is_ok());
}

#[test]
fn configurations_read_paths() {
    assert_eq!(serde_json::from_str::<Path>("\"/a\"").unwrap(), path("/a"));
    let error = serde_json::from_str::<Path>("\"a\"").unwrap_err().to_string();
    assert!(error.contains("write `/a` or `$.a`"), "{error}");
    let schema = serde_json::to_value(schemars::schema_for!(Path)).unwrap();
    assert_eq!(schema["type"], "string");
    assert_eq!(format!("{:?}", path("/a")), "Path(\"/a\")");
}

/// Whether an edit of the second path could see an edit of the first.
fn meets(earlier: &str, later: &str) -> bool {
    let (earlier, later) = (path(earlier), path(later));
    let reach = |path: &Path| {
        // The borrow lasts as long as the test.
        let segments: &'static [Segment] = Box::leak(path.segments().into());
        Reach { path: segments, renamed: None, writes: true, creates: true, removes: true }
    };
    interferes(&reach(&earlier), &reach(&later))
}

#[test]
fn paths_that_cannot_meet_share_a_scan() {
    for (a, b) in [
        ("/a", "/b"),
        ("/a/b", "/a/c"),
        ("/a/b", "$.c..a"),
        ("$.items[*].a", "$.items[*].b"),
        ("$.items[0].a", "$.items[1].a"),
        ("$['a','b']", "$['c','d']"),
        ("$..a", "$.b['c']['d']"),
    ] {
        let expected = a == "$..a";
        assert_eq!((meets(a, b), meets(b, a)), (expected, expected), "{a} {b}");
    }
}

#[test]
fn paths_that_may_meet_do_not() {
    for (a, b) in [
        ("", "/a"),
        ("/a", "/a"),
        ("/a", "/a/b"),
        ("$.*", "/a"),
        ("$..a", "/x/y/a/b"),
        ("$.a[*].b", "$.a[0].b"),
        ("$.a[-1].b", "$.a[3].b"),
        ("$.a[1:3].b", "$.a[2].b"),
        ("/a/0", "$.a[0].b"),
        ("/a/0", "/a/1"),
        ("/a/-", "$.a[-1]"),
        ("$.a[0]", "$.a[*].b"),
        ("$.x.y", "$.*.z"),
    ] {
        assert!(meets(a, b), "{a} {b}");
    }
}
