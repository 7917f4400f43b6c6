//! The properties hold for all seeds: what the fuzzer begins with, and what it found.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use meshgate_properties::{ALL, property};

#[test]
fn every_property_holds_for_its_seeds() {
    let mut failed = Vec::new();
    for (name, property) in ALL {
        let files = files(&seeds().join(name));
        assert!(!files.is_empty(), "{name} has no seeds");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            if catch_unwind(|| property(&bytes)).is_err() {
                failed.push(file);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A property without a target would never be fuzzed, and seeds without a property never tried.
#[test]
fn every_property_is_a_fuzz_target_and_nothing_else_is() {
    let names = |dir: PathBuf| -> Vec<String> {
        let stems = files(&dir).into_iter().map(|file| file.file_stem().unwrap().to_str().unwrap().into());
        stems.collect()
    };
    let mut known: Vec<_> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(names(fuzz().join("targets")), known);
    assert_eq!(names(seeds()), known);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &known {
        let target = fs::read_to_string(fuzz().join("targets").join(name).with_extension("rs")).unwrap();
        assert!(target.contains(&format!("property(\"{name}\")")), "targets/{name}.rs runs another property");
        assert!(
            manifest.contains(&format!("path = \"targets/{name}.rs\"")),
            "Cargo.toml does not name {name}"
        );
        property(name);
    }
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn seeds() -> PathBuf {
    fuzz().join("seeds")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
