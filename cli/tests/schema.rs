//! `meshgate schema`, as a user runs it.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::fs;

use support::{meshgate, workspace};

#[test]
fn schemas_are_those_beside_the_filters() {
    let list = meshgate(&["schema", "--list"]).ran();
    assert_eq!(list.code, 0);
    let mut directories: Vec<_> = fs::read_dir(workspace().join("filters"))
        .unwrap()
        .map(|filter| filter.unwrap().file_name().into_string().unwrap())
        .collect();
    directories.sort();
    assert_eq!(list.out.lines().collect::<Vec<_>>(), directories);
    for name in list.out.lines() {
        let schema =
            fs::read_to_string(workspace().join("filters").join(name).join("config.schema.json")).unwrap();
        let printed = meshgate(&["schema", name]).ran();
        assert!(printed.code == 0 && printed.out == schema, "{name}");
    }
}

#[test]
fn a_filter_is_needed() {
    for args in [&["schema"][..], &["schema", "other"], &["schema", "--list", "dlp"]] {
        let ran = meshgate(args).ran();
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
    }
    assert!(meshgate(&["schema", "other"]).ran().err.contains("possible values: api-key-quota, dlp"));
}
