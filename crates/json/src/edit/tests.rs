#![allow(clippy::arithmetic_side_effects, reason = "test code")]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{ErrorKind, Limits};

fn path(text: &str) -> &'static Path {
    Box::leak(Box::new(Path::new(text).unwrap()))
}

fn raw(text: &'static str) -> Raw<'static> {
    Raw::new(text.as_bytes()).unwrap()
}

fn set(at: &str, value: &'static str) -> Edit<'static> {
    Edit { path: path(at), action: Action::Set(raw(value)) }
}

fn add(at: &str, value: &'static str) -> Edit<'static> {
    Edit { path: path(at), action: Action::Add(raw(value)) }
}

fn append(at: &str, value: &'static str) -> Edit<'static> {
    Edit { path: path(at), action: Action::Append(raw(value)) }
}

fn remove(at: &str) -> Edit<'static> {
    Edit { path: path(at), action: Action::Remove }
}

fn rename(at: &str, name: &'static str) -> Edit<'static> {
    Edit { path: path(at), action: Action::Rename(name) }
}

fn copy(from: &str, to: &str) -> Edit<'static> {
    Edit { path: path(to), action: Action::Copy { from: path(from) } }
}

fn take(from: &str, to: &str) -> Edit<'static> {
    Edit { path: path(to), action: Action::Move { from: path(from) } }
}

fn get(at: &str) -> Edit<'static> {
    Edit { path: path(at), action: Action::Get }
}

fn keep(at: &str, paths: &[&str]) -> Edit<'static> {
    let paths: Vec<_> = paths.iter().map(|kept| Path::new(kept).unwrap()).collect();
    Edit { path: path(at), action: Action::Keep(Box::leak(paths.into())) }
}

/// The text after the edits, and what became of the last of them.
fn edited(text: &'static str, edits: &[Edit<'static>]) -> (String, Outcome<'static>) {
    let mut edited = edit(text.as_bytes(), edits, &Limits::default()).unwrap();
    crate::validate(&edited.text, &Limits::default()).unwrap();
    assert_eq!(edited.outcomes.len(), edits.len());
    (String::from_utf8(edited.text.into_owned()).unwrap(), edited.outcomes.pop().unwrap())
}

#[track_caller]
fn assert_edit(text: &'static str, edits: &[Edit<'static>], expected: &str, outcome: Outcome<'static>) {
    assert_eq!(edited(text, edits), (expected.to_owned(), outcome));
}

use Outcome::{Ambiguous, Done, Missing, WrongType};

#[test]
fn set_replaces_the_value_and_nothing_else() {
    let text = r#" { "n" : 1.10 , "s":"\u0061" ,"n" : 1e2, "o":{ } } "#;
    assert_edit(text, &[set("/s", "true")], r#" { "n" : 1.10 , "s":true ,"n" : 1e2, "o":{ } } "#, Done(1));
    assert_edit(text, &[set("$.n", "[]")], r#" { "n" : [] , "s":"\u0061" ,"n" : [], "o":{ } } "#, Done(2));
    assert_edit(text, &[set("", "null")], " null ", Done(1));
    assert_edit(r#"{"\u0061":1,"b":2}"#, &[set("/a", "0")], r#"{"\u0061":0,"b":2}"#, Done(1));
    assert_edit("[1,[2,3],4]", &[set("/1/0", "9")], "[1,[9,3],4]", Done(1));
    assert_edit("[1,[2,3],4]", &[set("$[-2][-1]", "9")], "[1,[2,9],4]", Done(1));
    assert_edit(r#"{"a":{"a":1}}"#, &[set("$..a", "2")], r#"{"a":2}"#, Done(1));
    assert_edit(r#"{"x":{"a":1},"a":[{"a":2}]}"#, &[set("$..a", "0")], r#"{"x":{"a":0},"a":0}"#, Done(2));
}

#[test]
fn set_makes_what_is_missing() {
    assert_edit("{}", &[set("/a", "1")], r#"{"a":1}"#, Done(1));
    assert_edit("{ }", &[set("/a/b/c", "1")], r#"{"a":{"b":{"c":1}}}"#, Done(1));
    assert_edit(r#"{"x":0}"#, &[set("$.a.b", "1")], r#"{"x":0,"a":{"b":1}}"#, Done(1));
    assert_edit(r#"{"a":{"x":[]}}"#, &[set("/a/b", "1")], r#"{"a":{"x":[],"b":1}}"#, Done(1));
    assert_edit("{\n  \"x\": 0\n}\n", &[set("/a", "1")], "{\n  \"x\": 0,\n  \"a\": 1\n}\n", Done(1));
    assert_edit(r#"{"x": 0, "y": 1}"#, &[set("/a", "1")], r#"{"x": 0, "y": 1, "a": 1}"#, Done(1));
    assert_edit("{}", &[set("/a\"~1", "1")], r#"{"a\"/":1}"#, Done(1));
    assert_edit("{}", &[set("/0", "1")], r#"{"0":1}"#, Done(1));
    assert_edit("{}", &[set("/-", "1")], r#"{"-":1}"#, Done(1));
    assert_edit("[1]", &[set("/-", "2")], "[1,2]", Done(1));
    assert_edit("[ ]", &[set("/-/a", "2")], r#"[{"a":2}]"#, Done(1));
    assert_edit("[\n  1\n]", &[set("/-", "2")], "[\n  1,\n  2\n]", Done(1));
    assert_edit(
        r#"{"l":[{"x":1},{},{"a":0}]}"#,
        &[set("$.l[*].a", "9")],
        r#"{"l":[{"x":1,"a":9},{"a":9},{"a":9}]}"#,
        Done(3),
    );
}

/// One object can be a parent in two ways: what is nearest to the end of the path is made first.
#[test]
fn set_makes_several_members_in_one_object() {
    let path = set("$..*.b.c", "1");
    assert_edit(r#"{"a":{"b":{}}}"#, &[path], r#"{"a":{"b":{"c":1,"b":{"c":1}}}}"#, Done(2));
    assert_edit(r#"{"a":{"a":{}}}"#, &[set("$..a.a.a", "1")], r#"{"a":{"a":{"a":1}}}"#, Done(2));
}

#[test]
fn set_does_not_guess() {
    assert_edit("[1]", &[set("/1", "2")], "[1]", Missing);
    assert_edit("{}", &[set("/a/0", "2")], "{}", Missing);
    assert_edit("{}", &[set("/a/-", "2")], "{}", Missing);
    assert_edit("{}", &[set("$.a[0]", "2")], "{}", Missing);
    assert_edit("{}", &[set("$..a", "2")], "{}", Missing);
    assert_edit("{}", &[set("$['a','b']", "2")], "{}", Missing);
    assert_edit(r#"{"a":"s"}"#, &[set("/a/b", "2")], r#"{"a":"s"}"#, WrongType);
    assert_edit(r#"{"a":null}"#, &[set("/a/b/c", "2")], r#"{"a":null}"#, WrongType);
    assert_edit(r#"{"a":[1]}"#, &[set("/a/b", "2")], r#"{"a":[1]}"#, WrongType);
    assert_edit("1", &[set("/a", "2")], "1", WrongType);
}

#[test]
fn add_leaves_what_is_there() {
    assert_edit(r#"{"a":1}"#, &[add("/a", "2")], r#"{"a":1}"#, Done(0));
    assert_edit(r#"{"a":1}"#, &[add("/b", "2")], r#"{"a":1,"b":2}"#, Done(1));
    assert_edit(r#"[{"a":1},{}]"#, &[add("$[*].a", "2")], r#"[{"a":1},{"a":2}]"#, Done(1));
}

#[test]
fn append_extends_arrays() {
    assert_edit(r#"{"l":[1]}"#, &[append("/l", "2")], r#"{"l":[1,2]}"#, Done(1));
    assert_edit(r#"{"l":[ ]}"#, &[append("/l", "2")], r#"{"l":[2]}"#, Done(1));
    assert_edit(r#"{"l":[1]}"#, &[append("/m/n", "2")], r#"{"l":[1],"m":{"n":[2]}}"#, Done(1));
    assert_edit(r#"{"l":1}"#, &[append("/l", "2")], r#"{"l":1}"#, WrongType);
    assert_edit("[1,\n 2\n]", &[append("", "3")], "[1,\n 2,\n 3\n]", Done(1));
    assert_edit("[]", &[append("", "1"), append("", "2")], "[1,2]", Done(1));
    assert_edit("[[],[0]]", &[append("$[*]", "1")], "[[1],[0,1]]", Done(2));
    assert_edit(
        "{}",
        &[append("/a", "1"), append("/a", "2"), append("/b", "3")],
        r#"{"a":[1,2],"b":[3]}"#,
        Done(1),
    );
}

#[test]
fn remove_takes_the_comma() {
    assert_edit(r#"{"a":1,"b":2,"c":3}"#, &[remove("/a")], r#"{"b":2,"c":3}"#, Done(1));
    assert_edit(r#"{"a":1,"b":2,"c":3}"#, &[remove("/b")], r#"{"a":1,"c":3}"#, Done(1));
    assert_edit(r#"{"a":1,"b":2,"c":3}"#, &[remove("/c")], r#"{"a":1,"b":2}"#, Done(1));
    assert_edit(r#"{"a":1,"b":2,"c":3}"#, &[remove("/a"), remove("/b")], r#"{"c":3}"#, Done(1));
    assert_edit(r#"{"a":1,"b":2,"c":3}"#, &[remove("/b"), remove("/c")], r#"{"a":1}"#, Done(1));
    assert_edit(r#"{"a":1,"b":2,"c":3}"#, &[remove("/a"), remove("/c")], r#"{"b":2}"#, Done(1));
    assert_edit("{\n  \"a\": 1,\n  \"b\": 2\n}", &[remove("/a")], "{\n  \"b\": 2\n}", Done(1));
    assert_edit("{\n  \"a\": 1,\n  \"b\": 2\n}", &[remove("/b")], "{\n  \"a\": 1\n}", Done(1));
    assert_edit("{\n  \"a\": 1\n}", &[remove("/a")], "{}", Done(1));
    assert_edit("{\n  \"a\": 1\n}", &[remove("/a"), set("/b", "2")], "{\n  \"b\": 2\n}", Done(1));
    assert_edit("[1,2,3,4]", &[remove("$[::2]")], "[2,4]", Done(2));
    assert_edit("[1,2,3,4]", &[remove("$[*]")], "[]", Done(4));
    assert_edit("[1,2,3]", &[remove("/0"), remove("/0")], "[3]", Done(1));
    assert_edit("[1]", &[remove("")], "[1]", WrongType);
    assert_edit(r#"{"a":1}"#, &[remove("/a/b")], r#"{"a":1}"#, Missing);
    assert_edit(r#"{"a":1,"x":{"a":{"a":2}},"a":3}"#, &[remove("$..a")], r#"{"x":{}}"#, Done(3));
}

#[test]
fn rename_keeps_place_and_value() {
    assert_edit(r#"{"a" : 1.0,"b":2}"#, &[rename("/a", "c")], r#"{"c" : 1.0,"b":2}"#, Done(1));
    assert_edit(r#"{"a":1,"b":2}"#, &[rename("/a", "b")], r#"{"b":1}"#, Done(1));
    assert_edit(r#"{"b":2,"a":1}"#, &[rename("/a", "b")], r#"{"b":1}"#, Done(1));
    assert_edit(r#"{"b":2,"a":1,"b":3,"c":4}"#, &[rename("/a", "b")], r#"{"b":1,"c":4}"#, Done(1));
    assert_edit(r#"{"b":2}"#, &[rename("/a", "b")], r#"{"b":2}"#, Missing);
    assert_edit(r#"{"a":2}"#, &[rename("/a", "a")], r#"{"a":2}"#, Done(1));
    assert_edit("[1]", &[rename("/0", "a")], "[1]", WrongType);
    assert_edit(r#"{"b":{"a":1},"a":{"a":2}}"#, &[rename("$..a", "b")], r#"{"b":{"b":2}}"#, Done(3));
    assert_edit(r#"{"a":1}"#, &[rename("/a", "\"")], r#"{"\"":1}"#, Done(1));
    assert_edit(r#"{"a":1}"#, &[rename("/a", "b"), rename("/b", "c")], r#"{"c":1}"#, Done(1));
}

#[test]
fn keep_leaves_only_what_is_named() {
    let text = r#"{"id":1,"user":{"name":"n","mail":"m"},"tags":["a","b"],"x":{"y":1}}"#;
    assert_edit(text, &[keep("", &["/id", "/user/name"])], r#"{"id":1,"user":{"name":"n"}}"#, Done(3));
    assert_edit(text, &[keep("", &["$.tags[0]"])], r#"{"tags":["a"]}"#, Done(4));
    assert_edit(text, &[keep("", &["/id/none"])], "{}", Done(4));
    assert_edit(text, &[keep("", &[])], "{}", Done(4));
    assert_edit(text, &[keep("", &["$..name"])], r#"{"user":{"name":"n"}}"#, Done(4));
    assert_edit(text, &[keep("/user", &["/name"])], &text.replace(r#","mail":"m""#, ""), Done(1));
    assert_edit(text, &[keep("", &[""])], text, Done(0));
    assert_edit(text, &[keep("", &["$.*"])], text, Done(0));
    assert_edit("[1,{\"a\":2}]", &[keep("", &["$..a"])], "[{\"a\":2}]", Done(1));
    assert_edit("7", &[keep("", &["/a"])], "7", WrongType);
    assert_edit("\"7\"", &[keep("", &[])], "\"7\"", WrongType);
    assert_edit("7", &[keep("", &[""])], "7", Done(0));
    assert_edit(r#"{"a":7}"#, &[keep("/a", &["/b"])], r#"{"a":7}"#, WrongType);
}

#[test]
fn copy_and_move() {
    let text = r#"{"a":1.50,"o":{"b":[2]}}"#;
    assert_edit(text, &[copy("/a", "/o/b")], r#"{"a":1.50,"o":{"b":1.50}}"#, Done(1));
    assert_edit(text, &[copy("/o", "/a")], r#"{"a":{"b":[2]},"o":{"b":[2]}}"#, Done(1));
    assert_edit(text, &[copy("/o", "/o/c")], r#"{"a":1.50,"o":{"b":[2],"c":{"b":[2]}}}"#, Done(1));
    assert_edit(text, &[copy("/none", "/a")], text, Missing);
    assert_edit(text, &[copy("$.*", "/a")], text, Ambiguous(2));
    assert_edit(text, &[copy("/a", "/o/b/c")], text, WrongType);
    assert_edit(text, &[take("/a", "/o/c")], r#"{"o":{"b":[2],"c":1.50}}"#, Done(1));
    assert_edit(text, &[take("/o", "/x/y")], r#"{"a":1.50,"x":{"y":{"b":[2]}}}"#, Done(1));
    assert_edit(text, &[take("/none", "/x")], text, Missing);
    assert_edit(text, &[take("/a", "/o/b/c")], text, WrongType);
    assert_edit(text, &[take("/a", "/a")], text, Done(0));
    assert_edit(text, &[take("/a", "/a/b")], r#"{"o":{"b":[2]},"a":{"b":1.50}}"#, Done(1));
    assert_edit(text, &[take("/o/b", "/o")], r#"{"a":1.50,"o":[2]}"#, Done(1));
    assert_edit("[1,2,3]", &[take("/0", "/-")], "[2,3,1]", Done(1));
    assert_edit("[1,2,3]", &[take("/0", "/1")], "[2,1]", Done(1));
    assert_edit("[1,2,3]", &[take("", "/1")], "[1,2,3]", WrongType);
}

#[test]
fn get_borrows() {
    let text = r#"{"a":[1.0, "x"],"b":{}}"#.as_bytes();
    let found = edit(text, &[get("$.a[*]"), get("/b"), get("/c")], &Limits::default()).unwrap();
    assert!(matches!(found.text, Cow::Borrowed(_)));
    assert_eq!(found.outcomes[0], Outcome::Got(vec![raw("1.0"), raw("\"x\"")]));
    assert_eq!(found.outcomes[1], Outcome::Got(vec![raw("{}")]));
    assert_eq!(found.outcomes[2], Missing);
}

#[test]
fn edits_see_what_those_before_them_did() {
    assert_edit("{}", &[set("/a/b", "1"), set("/a/c", "2")], r#"{"a":{"b":1,"c":2}}"#, Done(1));
    assert_edit("{}", &[set("/a", "{}"), set("/a/c", "2")], r#"{"a":{"c":2}}"#, Done(1));
    assert_edit("{}", &[set("/x/y", "1"), set("$.*.z", "2")], r#"{"x":{"y":1,"z":2}}"#, Done(1));
    assert_edit(r#"{"a":1}"#, &[rename("/a", "b"), set("/b", "2")], r#"{"b":2}"#, Done(1));
    assert_edit(r#"{"a":1}"#, &[set("/b", "2"), take("/b", "/c")], r#"{"a":1,"c":2}"#, Done(1));
    assert_edit(r#"{"a":1}"#, &[set("/a", "2"), get("/a")], r#"{"a":2}"#, Outcome::Got(vec![raw("2")]));
    assert_edit(r#"{"a":1}"#, &[get("/a"), set("/a", "2"), copy("/a", "/b")], r#"{"a":2,"b":2}"#, Done(1));
    assert_edit("{}", &[set("$.b.a", "1"), set("/b/1", "2")], r#"{"b":{"a":1,"1":2}}"#, Done(1));
    assert_edit("{}", &[set("/b/1", "1"), set("/b/1/a", "2")], "{}", Missing);
    assert_edit(
        r#"{"b":{}}"#,
        &[set("/b/1/a", "1"), set("/b/1/c", "2")],
        r#"{"b":{"1":{"a":1,"c":2}}}"#,
        Done(1),
    );
    assert_edit("[0,1,2]", &[remove("/0"), set("/1", "9")], "[1,9]", Done(1));
}

#[test]
fn limits_stop_what_grows() {
    let limits = Limits { depth: 4, matches: 5, output: 40 };
    let fails =
        |text: &'static str, edits: &[Edit<'static>]| edit(text.as_bytes(), edits, &limits).unwrap_err().kind;
    assert_eq!(fails("[[[[[]]]]]", &[]), ErrorKind::TooDeep);
    assert_eq!(fails("[[[[[]]]]]", &[set("$..*..*", "1")]), ErrorKind::TooDeep);
    assert_eq!(fails("[1,2,3,4,5,6]", &[get("$[*]")]), ErrorKind::TooManyMatches);
    assert_eq!(fails("[1,2,3,4,5,6]", &[keep("", &[])]), ErrorKind::TooManyMatches);
    let text = r#"{"a":"0123456789"}"#;
    let doubling = [copy("", "/b"), copy("", "/c"), copy("", "/d")];
    assert_eq!(
        edit(text.as_bytes(), &doubling, &Limits { depth: 9, ..limits }).unwrap_err().kind,
        ErrorKind::TooLarge
    );
    assert!(
        ErrorKind::TooLarge != ErrorKind::TooDeep
            && edit(b"[", &[], &limits).is_err_and(|error| !error.is_limit())
    );
}

#[test]
fn edits_share_a_scan_where_they_cannot_meet() {
    let scans = |edits: &[Edit<'static>]| {
        let (mut rest, mut scans) = (edits, 0);
        while !rest.is_empty() {
            rest = plan::next_batch(rest).1;
            scans += 1;
        }
        scans
    };
    let usual = [
        set("/a/b", "1"),
        set("/a/c", "1"),
        remove("$.items[*].secret"),
        rename("$.items[*].x", "y"),
        add("$.items[*].z", "1"),
        take("/from", "/to/there"),
        copy("/id", "/meta/id"),
        append("/tags", "1"),
        get("$.user.name"),
        remove("/items/0/old"),
        remove("/items/1/old"),
    ];
    assert_eq!(scans(&usual), 1);
    assert_eq!(scans(&[get("/a"), set("/a", "1")]), 1);
    assert_eq!(scans(&[copy("/a", "/b"), remove("/a")]), 1);
    assert_eq!(scans(&[set("/a", "1"), get("/a")]), 2);
    assert_eq!(scans(&[set("/a", "1"), set("$.*.b", "1"), remove("$..c")]), 3);
    assert_eq!(scans(&[rename("/a", "b"), set("/b", "1")]), 2);
    assert_eq!(scans(&[remove("/l/0"), remove("/l/1"), remove("/l/2/x")]), 3);
    assert_eq!(scans(&[set("/x", "1"), take("/a", "/a/b"), set("/y", "1")]), 3);
}
