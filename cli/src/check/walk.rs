//! The files of a directory that may hold configurations.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// All files in a directory and below whose names end with `.yaml`, `.yml` or `.json`, by name; and what could not be read.
/// What is hidden is passed over, and links to directories are not followed.
pub fn files(directory: &Path) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => {
                unreadable.push((directory, error));
                continue;
            }
        };
        for entry in entries {
            let path = entry.path();
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) => {
                    unreadable.push((path, error));
                    continue;
                }
            };
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let extension = path.extension().and_then(|extension| extension.to_str());
            let is_ours = matches!(extension, Some("yaml" | "yml" | "json"));
            if kind.is_dir() {
                directories.push(path);
            } else if is_ours && !path.is_dir() {
                files.push(path);
            }
        }
    }
    files.sort();
    (files, unreadable)
}
