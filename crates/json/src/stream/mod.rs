//! Reading JSON as it passes: a tokenizer that is fed chunk by chunk.
//!
//! It tells where strings and numbers begin and end, under which member name each one stands, and which of a set of
//! paths select it. It keeps no text but names: its size depends on the depth of the document, never on its length. How
//! the text is cut into chunks changes nothing.
//!
//! It is no validator. It follows the structure strictly, as everything depends on it, and takes any run of number
//! characters for a number and any escape for an escape. Where the structure breaks it says so ([`Event::Broken`]) and
//! is silent from there on; what came before stands. Several values may follow each other, with or without white space
//! or lines between them (NDJSON).

mod paths;
mod place;
#[cfg(test)]
mod tests;
mod tokenizer;

pub use paths::{Paths, PathsError};
pub use place::Place;
pub use tokenizer::{Options, Tokenizer};

/// What the tokenizer reports. Offsets count from the start of the stream.
#[derive(Clone, Debug)]
pub enum Event<'t> {
    /// A token begins.
    Begin(Token, Place<'t>),
    /// The token that began last ends before this offset.
    End(Token, u64),
    /// From here on it is no JSON: to the end, or where each line is a value of its own to the end of the line.
    Broken(u64),
}

/// A string, number or word, by where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its first byte: of a string, the opening quote.
    pub start: u64,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The name of a member.
    Name,
    /// A string that is a value.
    String,
    /// A number.
    Number,
    /// `true`, `false` or `null`.
    Word,
}
