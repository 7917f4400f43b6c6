#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "test code")]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::sync::Arc;

use super::*;
use crate::Path;

/// What a stream reports, line by line: kind, text, pointer, name in scope, and the paths that select it.
fn report_in(chunks: &[&str], paths: &[&str], options: Options) -> Vec<String> {
    let paths = Paths::new(paths.iter().map(|path| Path::new(path).unwrap())).unwrap();
    let text = chunks.concat();
    let mut lines = Vec::new();
    let mut open = None;
    let mut each = |event: Event<'_>| match event {
        Event::Begin(token, place) => {
            let name = place.name().map(|name| String::from_utf8_lossy(name).into_owned());
            let selected: Vec<_> = (0..128).filter(|path| place.is_selected(*path)).collect();
            assert_eq!(selected.is_empty(), place.selected() == 0);
            open = Some((token, format!("{} {:?} {selected:?}", place.pointer(), name.unwrap_or_default())));
        }
        Event::End(token, end) => {
            let (begun, scope) = open.take().unwrap();
            assert_eq!(begun, token);
            let token_text = &text[token.start as usize..end as usize];
            lines.push(format!("{:?} {token_text} {scope}", token.kind));
        }
        Event::Broken(at) => {
            open = None;
            lines.push(format!("broken {at}"));
        }
    };
    let mut tokenizer = Tokenizer::new(Arc::new(paths), options);
    for chunk in chunks {
        tokenizer.push(chunk.as_bytes(), &mut each);
    }
    tokenizer.finish(&mut each);
    assert_eq!(tokenizer.passed(), text.len() as u64);
    lines
}

/// The same in one chunk, and byte by byte, and in every two parts.
#[track_caller]
fn assert_report(text: &str, paths: &[&str], expected: &[&str]) {
    let options = Options::default();
    assert_eq!(report_in(&[text], paths, options), expected);
    let bytes: Vec<_> = (0..text.len()).map(|at| &text[at..at + 1]).collect();
    assert_eq!(report_in(&bytes, paths, options), expected, "byte by byte");
    for at in 0..text.len() {
        assert_eq!(report_in(&[&text[..at], &text[at..]], paths, options), expected, "cut at {at}");
    }
}

#[test]
fn tokens_and_their_places() {
    assert_report(
        r#" {"a" : "x\"y" , "b":[1.5e+3,{"c":null},"z"],"d\u0065":{}, "e":true}"#,
        &[],
        &[
            r#"Name "a"  "" []"#,
            r#"String "x\"y" /a "a" []"#,
            r#"Name "b"  "" []"#,
            r#"Number 1.5e+3 /b/0 "b" []"#,
            r#"Name "c" /b/1 "b" []"#,
            r#"Word null /b/1/c "c" []"#,
            r#"String "z" /b/2 "b" []"#,
            r#"Name "d\u0065"  "" []"#,
            r#"Name "e"  "" []"#,
            r#"Word true /e "e" []"#,
        ],
    );
    assert_report(r#"{"d\u0065":"x"}"#, &[], &[r#"Name "d\u0065"  "" []"#, r#"String "x" /de "de" []"#]);
    assert_report("12", &[], &["Number 12  \"\" []"]);
    assert_report("", &[], &[]);
}

#[test]
fn paths_select_values_and_all_in_them() {
    assert_report(
        r#"{"a":{"b":["x",{"k":1}],"c":2},"b":3}"#,
        &["/a/b", "$..b", "$.a.b[1:]", "$.*", "", "$.a['c','d']"],
        &[
            r#"Name "a"  "" [4]"#,
            r#"Name "b" /a "a" [3, 4]"#,
            r#"String "x" /a/b/0 "b" [0, 1, 3, 4]"#,
            r#"Name "k" /a/b/1 "b" [0, 1, 2, 3, 4]"#,
            r#"Number 1 /a/b/1/k "k" [0, 1, 2, 3, 4]"#,
            r#"Name "c" /a "a" [3, 4]"#,
            r#"Number 2 /a/c "c" [3, 4, 5]"#,
            r#"Name "b"  "" [4]"#,
            r#"Number 3 /b "b" [1, 3, 4]"#,
        ],
    );
    assert_report(r#"{"\u0061":1}"#, &["/a"], &[r#"Name "\u0061"  "" []"#, r#"Number 1 /a "a" [0]"#]);
}

#[test]
fn values_follow_each_other() {
    assert_report(
        "1 \"a\"\n[2]{\"b\":3}4",
        &["$[0]", "/b"],
        &[
            "Number 1  \"\" []",
            "String \"a\"  \"\" []",
            "Number 2 /0 \"\" [0]",
            "Name \"b\"  \"\" []",
            "Number 3 /b \"b\" [1]",
            "Number 4  \"\" []",
        ],
    );
}

#[test]
fn what_is_no_json_is_said_where_it_begins() {
    assert_report("[1 2]", &[], &["Number 1 /0 \"\" []", "broken 3"]);
    assert_report("hello", &[], &["broken 0"]);
    assert_report("[nul]", &[], &["broken 4"]);
    assert_report("{\"a\":\"x\ny\"}", &[], &["Name \"a\"  \"\" []", "broken 7"]);
    assert_report("[\"a\"", &[], &["String \"a\" /0 \"\" []", "broken 4"]);
    assert_report("[\"a", &[], &["broken 3"]);
    assert_report("[1]]", &[], &["Number 1 /0 \"\" []", "broken 3"]);
    assert_report("{1:2}", &[], &["broken 1"]);
    assert_report("[1,]", &[], &["Number 1 /0 \"\" []", "broken 3"]);
    assert_report("1,2", &[], &["Number 1  \"\" []", "broken 1"]);
}

#[test]
fn lines_are_well_again() {
    let options = Options { lines: true, ..Options::default() };
    let expected = ["Name \"a\"  \"\" []", "broken 5", "Name \"a\"  \"\" []", "Number 2 /a \"a\" []"];
    let text = "{\"a\":oops\n{\"a\":2}\n";
    assert_eq!(report_in(&[text], &[], options), expected);
    for at in 0..text.len() {
        assert_eq!(report_in(&[&text[..at], &text[at..]], &[], options), expected);
    }
    assert_eq!(report_in(&[text], &[], Options::default()).len(), 2);
    // A line that ends within a value takes nothing of the next.
    let expected =
        ["Number 1 /0 \"\" []", "broken 2", "Number 2 /0 \"\" []", "broken 8", "Number 3  \"\" []"];
    assert_eq!(report_in(&["[1\n[2]\n\"\n3"], &[], options), expected);
}

#[test]
fn depth_is_bounded() {
    let options = Options { depth: 2, ..Options::default() };
    assert_eq!(report_in(&["[[[1]]]"], &[], options), ["broken 2"]);
    assert_eq!(report_in(&["[[1]]"], &[], options), ["Number 1 /0/0 \"\" []"]);
}

#[test]
fn long_names_are_cut_but_still_matched() {
    let name = "n".repeat(300);
    let text = format!("{{\"{name}\":1,\"{name}x\":[2]}}");
    let path = format!("/{name}");
    let cut = &name[..256];
    for chunks in [vec![&text[..]], vec![&text[..100], &text[100..400], &text[400..]]] {
        let lines = report_in(&chunks, &[&path, "$.*"], Options::default());
        assert_eq!(lines[1], format!("Number 1 /{cut} {cut:?} [0, 1]"));
        assert_eq!(lines[3], format!("Number 2 /{cut}/0 {cut:?} [1]"));
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let mut count = 0;
    for chunk_len in [1, 2, 3, 9] {
        let mut tokenizer = Tokenizer::new(Arc::default(), Options::default());
        for chunk in b"\xEF\xBB\xBF[1,2]".chunks(chunk_len) {
            tokenizer.push(chunk, |event| count += i32::from(matches!(event, Event::End(..))));
        }
        tokenizer.finish(|event| panic!("{event:?}"));
    }
    assert_eq!(count, 8);
}

#[test]
fn paths_from_the_end_are_refused() {
    for path in ["$[-1]", "$.a[1:-1]", "$..[::-1]"] {
        let error = Paths::new([Path::new(path).unwrap()]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{path}` counts from the end")), "{error}");
    }
    assert_eq!(Paths::new(vec![Path::new("/a").unwrap(); 129]).unwrap_err(), PathsError::TooMany(129));
    let paths = Paths::new(vec![Path::new("/a").unwrap(); 128]).unwrap();
    assert!(paths.len() == 128 && !paths.is_empty());
}

#[test]
fn members_and_elements_by_their_borders() {
    let mut borders = Vec::new();
    let mut tokenizer = Tokenizer::new(Arc::default(), Options::default());
    tokenizer.push(br#"{"a":1, "b": [2 , 3]}"#, |event| {
        if let Event::Begin(Token { kind: TokenKind::Number, .. }, place) = event {
            borders.push((
                place.previous_end(),
                place.child_start(),
                place.index(),
                place.in_array(),
                place.depth(),
            ));
        }
    });
    assert_eq!(borders, [(1, 1, 0, false, 1), (14, 14, 0, true, 2), (15, 18, 1, true, 2)]);
}
