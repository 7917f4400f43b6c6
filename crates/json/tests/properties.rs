//! Properties of random documents and edits, against a tree that is edited the slow way.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "test code"
)]

#[path = "properties/generate.rs"]
mod generate;
#[path = "properties/oracle.rs"]
mod oracle;
#[path = "properties/tree.rs"]
mod tree;

use generate::{change, document, text_with_space};

use meshgate_json::{Action, Edit, Limits, Node, Outcome, Path, Raw, edit, validate};
use oracle::Change;
use proptest::prelude::*;
use tree::{Tree, minified};

/// The bytes that structure a text.
const MEANINGFUL: &[u8] = b"{}[]\",:\\0123456789-+.eEtfnu \n\t";

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// Edits of a text do what the same edits of a tree do, one after the other; what is left of the text is left as it
    /// was: number texts, escapes, order, repeated names.
    #[test]
    fn edits_of_text_are_edits_of_the_tree(
        tree in document(),
        changes in prop::collection::vec(change(), 1..5),
        spaced in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let text = if spaced { text_with_space(&tree, seed) } else { tree.to_string() };
        let edits: Vec<_> = changes.iter().map(Change::compile).collect();
        let edits: Vec<_> = edits.iter().map(|compiled| compiled.edit()).collect();
        let edited = edit(text.as_bytes(), &edits, &Limits::default()).unwrap();
        let mut expected = tree;
        for (change, outcome) in changes.iter().zip(&edited.outcomes) {
            let done = change.apply(&mut expected);
            if let (Some(done), Outcome::Done(found)) = (done, outcome) {
                prop_assert_eq!(done, *found, "{}: {:?}", &text, change);
            } else if let Some(done) = done {
                prop_assert_eq!(done, 0, "{}: {:?}: {:?}", &text, change, outcome);
            }
        }
        let result = String::from_utf8(edited.text.into_owned()).unwrap();
        prop_assert!(validate(result.as_bytes(), &Limits::default()).is_ok(), "{}", result);
        if spaced {
            prop_assert_eq!(minified(&result), expected.to_string(), "{}", text);
        } else {
            prop_assert_eq!(result, expected.to_string(), "{}", text);
        }
    }

    /// Setting a value and setting it back gives the text as it was, white space and all.
    #[test]
    fn setting_back_restores_the_text(tree in document(), seed in any::<u64>(), change in change()) {
        let text = text_with_space(&tree, seed);
        let path = Path::new(&change.path_text()).unwrap();
        let limits = Limits::default();
        let node = Node::parse(text.as_bytes(), &limits).unwrap();
        if let [found] = node.at(&path, &limits).unwrap()[..] {
            let other = Edit { path: &path, action: Action::Set(Raw::string(b"other")) };
            let back = Edit { path: &path, action: Action::Set(found.raw()) };
            let edited = edit(text.as_bytes(), &[other, back], &limits).unwrap();
            // More than one place: the path made one.
            prop_assume!(edited.outcomes[0] == Outcome::Done(1));
            prop_assert_eq!(edited.text.as_ref(), text.as_bytes());
        }
    }

    /// Nothing panics, and what is accepted is what serde_json accepts.
    #[test]
    fn mutated_documents(
        tree in document(),
        seed in any::<u64>(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let mut text = text_with_space(&tree, seed).into_bytes();
        for (at, byte, how) in mutations {
            let at = at.index(text.len().max(1));
            let interesting = MEANINGFUL[usize::from(byte) % MEANINGFUL.len()];
            match how {
                0 if at < text.len() => text[at] = interesting,
                1 if at < text.len() => text[at] = byte,
                2 if at < text.len() => drop(text.remove(at)),
                _ => text.insert(at.min(text.len()), interesting),
            }
        }
        assert_agrees_with_serde(&text)?;
        let edits: Vec<_> = changes.iter().map(Change::compile).collect();
        let edits: Vec<_> = edits.iter().map(|compiled| compiled.edit()).collect();
        let edited = edit(&text, &edits, &Limits::default());
        prop_assert_eq!(edited.is_ok(), validate(&text, &Limits::default()).is_ok());
    }

    /// The same for texts that are mostly no JSON.
    #[test]
    fn soups(text in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\01-.e tfnru\"a"[..]), 0..24)) {
        assert_agrees_with_serde(&text)?;
    }

    /// Whatever a path looks like, it compiles or does not.
    #[test]
    fn paths_do_not_panic(text in r#"[$/\[\].*:,'"~0-9a-c\\u? -]{0,16}"#) {
        if let Err(error) = Path::new(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

fn assert_agrees_with_serde(text: &[u8]) -> Result<(), TestCaseError> {
    let ours = validate(text, &Limits::default());
    // It takes no UTF-8 faults, no half of a surrogate pair, no number beyond a double, no byte order mark; all others
    // are the same.
    let lenient = std::str::from_utf8(text).is_err()
        || text.windows(2).any(|pair| pair == b"\\u")
        || text.contains(&b'e')
        || text.contains(&b'E')
        || text.starts_with(b"\xEF\xBB\xBF");
    let theirs = serde_json::from_slice::<serde_json::Value>(text).is_ok();
    if theirs || !lenient {
        prop_assert_eq!(ours.is_ok(), theirs, "{}: {:?}", String::from_utf8_lossy(text), ours);
    }
    let tree = Tree::parse(text);
    if let (Ok(()), Some(tree)) = (ours, tree) {
        prop_assert_eq!(minified(std::str::from_utf8(text).unwrap_or_default()), tree.to_string());
    }
    Ok(())
}
