//! Content codings (RFC 9110 section 8.4.1): gzip, deflate and br, decoded within limits and encoded again.
//!
//! A body that is encoded has to be decoded before anything in it can be found or changed. Whoever sends it decides what
//! it decodes to, so a decoder has [`Caps`], and ends with an error for whatever is not exactly one body: one that is cut
//! short, one with something behind it, one whose checksum is wrong. Whole bodies go through [`decode()`] and [`encode()`],
//! those that pass in pieces through [`Decoder`] and [`Encoder`]; the bytes are the same however they are cut.
//!
//! | coding | decoded | encoded |
//! | --- | --- | --- |
//! | `gzip`, `x-gzip` | RFC 1952: several members, all header fields, CRC-32 and length checked | level 1 |
//! | `deflate` | RFC 1950, Adler-32 checked; bare RFC 1951 as well, which many servers send | RFC 1950, level 1 |
//! | `br` | RFC 7932, windows up to 16 MiB | RFC 7932, stored: valid, and not smaller |
//! | `identity`, none | as it is | as it is |
//!
//! More than one coding of a body, which nobody sends on purpose, and `compress` and `zstd` are [`Unsupported`].
//!
//! No panics: what decoders read comes from outside.

mod caps;
mod coding;
mod decode;
mod encode;
mod gzip;
mod stored;

pub use self::caps::Caps;
pub use self::coding::{Coding, Unsupported};
pub use self::decode::{DecodeError, Decoder, decode};
pub use self::encode::{EncodeError, Encoder, encode};

#[cfg(test)]
mod tests;
