//! What must hold for any bytes.
//!
//! A property is a function that takes bytes and panics where it does not hold. `fuzz/` looks for such bytes with libFuzzer
//! (`make fuzz`); those that were found once, and the seeds that it begins with, are in `fuzz/seeds/<property>/`, and
//! `tests/seeds.rs` tries them all with the ordinary toolchain.

mod coding;
mod config;
mod detect;
mod exchange;
mod input;
mod json;
mod json_path;
mod jwt;
mod key_file;
mod template;

/// A property.
pub type Property = fn(&[u8]);

/// All of them, by the names of their fuzz targets.
pub const ALL: &[(&str, Property)] = &[
    ("coding", coding::any_body),
    ("config", config::any_document),
    ("detect", detect::any_text),
    ("dlp", exchange::any_dlp),
    ("error_response", exchange::any_error_response),
    ("json", json::any_edits),
    ("json_path", json_path::any_path),
    ("jwt", jwt::any_token),
    ("key_file", key_file::any_key_file),
    ("quota", exchange::any_quota),
    ("template", template::any_template),
    ("transform", exchange::any_transform),
];

/// The property of this name.
///
/// # Panics
/// There is none.
pub fn property(name: &str) -> Property {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no property is called {name}")).1
}
