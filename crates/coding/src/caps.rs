//! How much a body may decode to.

use crate::DecodeError;

/// What bodies of any size may grow to, in bytes. A list of a thousand equal records is honest, has a ratio of 300 and more, and
/// does no more harm than a plain body of a megabyte, which a proxy holds anyway.
const FLOOR: u64 = 1 << 20;

/// How often the ratio is looked at, in encoded bytes. Always at the same places, so that it doesn't depend on how a body is
/// cut.
pub(crate) const STRIDE: usize = 1024;

/// Limits on what is decoded, against bodies that are small on the way and huge in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The most decoded bytes.
    pub size: usize,
    /// The most decoded bytes for each encoded byte, above 1 MiB. Text comes to 20 or less, repetitive JSON to 100; deflate
    /// ends at 1,032, br nowhere.
    pub ratio: u32,
}

impl Default for Caps {
    /// 16 MiB, 200 to 1.
    fn default() -> Self {
        Self { size: 16 << 20, ratio: 200 }
    }
}

impl Caps {
    pub(crate) fn check_ratio(&self, encoded: u64, decoded: u64) -> Result<(), DecodeError> {
        if decoded > self.allowed(encoded) { Err(DecodeError::Ratio { cap: self.ratio }) } else { Ok(()) }
    }

    /// How much may come of so many encoded bytes.
    pub(crate) fn allowed(&self, encoded: u64) -> u64 {
        encoded.saturating_mul(u64::from(self.ratio)).max(FLOOR)
    }
}
