//! The standards' own vectors, where they are at hand: they are not part of the project.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "test code"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path as File, PathBuf};

use meshgate_json::{Action, Edit, Limits, Node, Outcome, Path, Raw, edit, validate};
use serde_json::Value;

/// The file or folder of the vectors; says loudly if it is missing.
fn vectors(name: &str) -> Option<PathBuf> {
    let place = File::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(name);
    if !place.exists() {
        // Not `eprintln!`: of a test that passes nobody sees that.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: the vectors {} are missing", place.display());
        return None;
    }
    Some(place)
}

fn cases(name: &str) -> Option<Value> {
    Some(serde_json::from_slice(&fs::read(vectors(name)?).unwrap()).unwrap())
}

/// JSONTestSuite: `y_` is accepted, `n_` refused, `i_` either way.
#[test]
fn json_test_suite() {
    let Some(folder) = vectors("json") else { return };
    let (mut accepted, mut refused, mut either) = (0, 0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read(&file).unwrap();
        let result = validate(&text, &Limits::default());
        assert_eq!(edit(&text, &[], &Limits::default()).map(drop), result, "{name}");
        match name.as_bytes() {
            [b'y', ..] => {
                assert_eq!(result, Ok(()), "{name}");
                accepted += 1;
            }
            [b'n', ..] => {
                assert!(result.is_err(), "{name} was accepted");
                refused += 1;
            }
            _ => either += 1,
        }
    }
    assert!(accepted >= 90 && refused >= 180 && either >= 30, "{accepted} {refused} {either}");
}

/// JSONPath compliance test suite (RFC 9535), without filters. A selected value counts once, in whatever order.
#[test]
fn jsonpath_compliance() {
    let Some(suite) = cases("jsonpath/cts.json") else { return };
    let (mut selected, mut refused, mut filters) = (0, 0, 0);
    for case in suite["tests"].as_array().unwrap() {
        let selector = case["selector"].as_str().unwrap();
        let path = Path::new(selector);
        if case["invalid_selector"] == true {
            assert!(path.is_err(), "{selector:?} was accepted");
            refused += 1;
            continue;
        }
        if selector.contains('?') {
            assert!(path.unwrap_err().to_string().contains("not supported yet"), "{selector:?}");
            filters += 1;
            continue;
        }
        let path = path.unwrap_or_else(|error| panic!("{selector:?}: {error}"));
        let document = serde_json::to_vec(&case["document"]).unwrap();
        let found =
            Node::parse(&document, &Limits::default()).unwrap().at(&path, &Limits::default()).unwrap();
        let found: Vec<Value> =
            found.iter().map(|node| serde_json::from_slice(node.text()).unwrap()).collect();
        assert_same(selector, &found, &once(case));
        selected += 1;
    }
    assert!(selected >= 160 && refused >= 240 && filters >= 280, "{selected} {refused} {filters}");
}

/// The values that a case expects, those with the same place once.
fn once(case: &Value) -> Vec<Value> {
    let first = |one: &str, several: &str| match &case[one] {
        Value::Null => case[several][0].as_array().unwrap().clone(),
        result => result.as_array().unwrap().clone(),
    };
    let (values, places) = (first("result", "results"), first("result_paths", "results_paths"));
    let mut seen = Vec::new();
    values
        .into_iter()
        .zip(places)
        .filter(|(_, place)| {
            let new = !seen.contains(place);
            seen.push(place.clone());
            new
        })
        .map(|(value, _)| value)
        .collect()
}

fn assert_same(selector: &str, found: &[Value], expected: &[Value]) {
    let sorted = |values: &[Value]| {
        let mut texts: Vec<_> = values.iter().map(Value::to_string).collect();
        texts.sort();
        texts
    };
    assert_eq!(sorted(found), sorted(expected), "{selector:?}");
}

/// JSON Patch (RFC 6902), where its operations are our actions: not where an element is inserted, nor where a missing
/// parent is an error there and made here.
#[test]
fn json_patch() {
    let mut done = 0;
    for file in ["json-patch/tests.json", "json-patch/spec_tests.json"] {
        let Some(records) = cases(file) else { return };
        for record in records.as_array().unwrap() {
            if record["disabled"] != true && record["patch"].is_array() && check_patch(record) == Some(()) {
                done += 1;
            }
        }
    }
    assert!(done >= 55, "only {done} records were checked");
}

/// Nothing if an operation has no counterpart.
fn check_patch(record: &Value) -> Option<()> {
    let mut text = serde_json::to_vec(&record["doc"]).unwrap();
    for operation in record["patch"].as_array().unwrap() {
        match patch(&text, operation)? {
            Some(changed) => text = changed,
            None => {
                assert!(record["error"].is_string(), "{record} failed");
                return Some(());
            }
        }
    }
    assert!(!record["error"].is_string(), "{record} should fail");
    if record["expected"] != Value::Null {
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), record["expected"], "{record}");
    }
    Some(())
}

/// The text after an operation; nothing in it if it failed; nothing at all if it has no counterpart.
fn patch(text: &[u8], operation: &Value) -> Option<Option<Vec<u8>>> {
    let Some(target) = operation["path"].as_str() else { return Some(None) };
    let Ok(path) = Path::new(target) else { return Some(None) };
    let document: Value = serde_json::from_slice(text).unwrap();
    let from = match operation["from"].as_str() {
        Some(from) => Path::new(from).ok(),
        None => None,
    };
    let value = operation.get("value").map(|value| Raw::new(value.to_string().into_bytes()).unwrap());
    let parent = target.rsplit_once('/').and_then(|(parent, _)| document.pointer(parent));
    let in_array = parent.is_some_and(Value::is_array) && !target.ends_with("/-");
    let action = match operation["op"].as_str()? {
        "remove" => Action::Remove,
        "replace" if document.pointer(target).is_none() => return Some(None),
        "replace" => Action::Set(value?),
        "test" => {
            let same = document.pointer(target) == operation.get("value");
            return Some(same.then(|| text.to_vec()));
        }
        "add" if parent.is_none() && !target.is_empty() || in_array => return None,
        "add" => Action::Set(value?),
        "copy" if !in_array => Action::Copy { from: from.as_ref()? },
        "move" if !in_array => Action::Move { from: from.as_ref()? },
        _ => return None,
    };
    let edited = edit(text, &[Edit { path: &path, action }], &Limits::default()).unwrap();
    let done = matches!(edited.outcomes[..], [Outcome::Done(_)]);
    Some(done.then(|| edited.text.into_owned()))
}
