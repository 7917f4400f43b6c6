//! Random documents and changes.

use proptest::prelude::*;
use proptest::sample::select;

use super::oracle::{Change, Kind, Segment, Selector};
use super::tree::Tree;

const NAMES: [&str; 4] = ["a", "b", "c", "0"];
const WRITTEN: [&str; 6] = ["\"a\"", "\"b\"", "\"c\"", "\"0\"", "\"\\u0061\"", "\"\u{e9}\\n\\\\\""];
const LEAVES: [&str; 10] = [
    "null",
    "true",
    "false",
    "0",
    "-1.50e+3",
    "10000000000000000000000000001",
    "\"\"",
    "\"a\\\"]}\"",
    "\"\\ud83d\\ude00\"",
    "\"a string that is longer than a block of bytes\"",
];

pub fn document() -> impl Strategy<Value = Tree> {
    let leaf = select(&LEAVES[..]).prop_map(|text| Tree::Leaf(text.to_owned()));
    leaf.prop_recursive(4, 40, 5, |inner| {
        let member = (select(&WRITTEN[..]).prop_map(str::to_owned), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Tree::Array),
            prop::collection::vec(member, 0..5).prop_map(Tree::Object),
        ]
    })
}

/// The tree with white space between its tokens.
pub fn text_with_space(tree: &Tree, seed: u64) -> String {
    let (mut out, mut string, mut escape) = (String::new(), false, false);
    let mut random = seed;
    let mut space = || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ["", "", "", " ", "\n  ", "\t", "\r\n"][(random >> 33) as usize % 7]
    };
    out.push_str(space());
    for character in tree.to_string().chars() {
        let structure = !string && matches!(character, '{' | '}' | '[' | ']' | ',' | ':');
        if structure {
            out.push_str(space());
        }
        out.push(character);
        if structure {
            out.push_str(space());
        }
        if character == '"' && !escape {
            string = !string;
        }
        escape = string && character == '\\' && !escape;
    }
    out.push_str(space());
    out
}

fn selector() -> impl Strategy<Value = Selector> {
    let bound = || prop::option::of(-4_i64..5);
    prop_oneof![
        8 => select(&NAMES[..]).prop_map(Selector::Name),
        2 => Just(Selector::Wildcard),
        3 => (-4_i64..5).prop_map(Selector::Index),
        2 => (bound(), bound(), -3_i64..4).prop_map(|(start, end, step)| Selector::Slice(start, end, step)),
    ]
}

fn segment() -> impl Strategy<Value = Segment> {
    let selectors = prop_oneof![
        6 => prop::collection::vec(selector(), 1),
        1 => prop::collection::vec(selector(), 1..4),
    ];
    (prop::bool::weighted(0.1), selectors)
        .prop_map(|(descendant, selectors)| Segment { descendant, selectors })
}

fn path() -> impl Strategy<Value = Vec<Segment>> {
    let token = prop_oneof![
        4 => select(&NAMES[..]),
        1 => select(&["1", "-", "2"][..]),
    ];
    let token = token.prop_map(|name| Segment { descendant: false, selectors: vec![Selector::Token(name)] });
    prop_oneof![prop::collection::vec(segment(), 0..5), prop::collection::vec(token, 0..5)]
}

pub fn change() -> impl Strategy<Value = Change> {
    let value = || select(&["1", "{}", "[]", "{\"a\":[7],\"b\":{}}"][..]);
    let kind = prop_oneof![
        4 => value().prop_map(Kind::Set),
        2 => value().prop_map(Kind::Add),
        2 => value().prop_map(Kind::Append),
        3 => Just(Kind::Remove),
        2 => select(&["a", "b", "n"][..]).prop_map(Kind::Rename),
        1 => prop::collection::vec(path(), 0..3).prop_map(Kind::Keep),
        2 => path().prop_map(Kind::Copy),
        2 => path().prop_map(Kind::Move),
    ];
    (path(), kind).prop_map(|(path, kind)| Change { path, kind })
}
