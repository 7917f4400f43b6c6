//! Detectors of sensitive data: bytes in, findings out, whatever the chunks.
//!
//! A [`Scanner`] is compiled once from the [`Kind`]s that a configuration selects, its own regexes and its
//! dictionaries. [`Scanner::scan`] then works in two stages:
//!
//! 1. *Can anything here match?* Each block of 64 bytes becomes bit masks of character classes; shifted and combined,
//!    they give the places where a value of some shape may begin (`shape`), and nibble tables give those of literal
//!    prefixes and key names (`literal`). Only what the chosen detectors need is looked for.
//! 2. *Does it?* At those few places the exact verifiers of the detectors run (`detectors`): ranges, lengths, checksums. The
//!    confidence of what they find is moved by its context: the JSON key, header or form name, or words in front of it.
//!
//! A text with escapes (`\u0034` in JSON, `%34` in forms and URLs) is decoded first, with a map back to its raw bytes;
//! everything above works on the decoded text. So a value is found however it was written.
//!
//! # Chunks
//! Whether something is found depends only on the bytes from its start - [`LOOKBEHIND`] to its start + [`MAX_MATCH`]. A
//! scan of a part of a text says up to where it is decided; shown again from there on (with [`LOOKBEHIND`] bytes before), the
//! rest gives exactly the findings that the whole text would have given.
#![forbid(unsafe_code)]

mod context;
mod custom;
mod detectors;
mod escape;
mod finding;
mod kind;
mod literal;
mod overlap;
mod scanner;
mod shape;
mod tail;
#[cfg(test)]
mod tests;
mod text;

pub use custom::{DictionaryOptions, PatternError};
pub use escape::{Syntax, context_start};
pub use finding::{Chars, Finding};
pub use kind::{DEFAULT_PACKS, Kind, UnknownKind};
pub use scanner::{Scanner, ScannerBuilder};

/// How many raw bytes before the start of a value a finding may depend on: what is in front of it, and its key.
pub const LOOKBEHIND: usize = 512;

/// How many bytes from its start on a finding may depend on; decoded ones: in a text of nothing but escapes, six times as many.
/// A longer private key block ends here, as far as a finding is concerned; one of 16,384 bits still fits.
pub const MAX_MATCH: usize = 16 * 1024;

/// From which confidence on a finding is worth an action by default: below are values with nothing but their digits to speak
/// for them, or with a key that speaks against them.
pub const DEFAULT_CONFIDENCE: u8 = 50;

/// What is less sure than this is not told of.
pub const LEAST_CONFIDENCE: u8 = 25;
