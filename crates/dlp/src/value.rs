//! A value that was found, as what it means: without escapes, and without the spaces and hyphens that people put into it.

use std::fmt;

use meshgate_detect::{Finding, Syntax};

/// A value that was found.
pub struct Value {
    decoded: Vec<u8>,
    plain: Vec<u8>,
}

impl Value {
    /// What a finding in `window` means.
    pub fn new(window: &[u8], syntax: Syntax, finding: &Finding) -> Self {
        let decoded: Vec<u8> = finding.chars(window, syntax).map(|(byte, _)| byte).collect();
        let plain = plain(&decoded);
        Self { decoded, plain }
    }

    /// Its bytes.
    pub fn decoded(&self) -> &[u8] {
        &self.decoded
    }

    /// Its bytes without spaces and hyphens: the same for all ways in which a number is grouped.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }
}

/// Without the spaces, no-break spaces (in UTF-8) and hyphens.
pub fn plain(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, behind)) = rest.split_first() {
        rest = match (byte, behind) {
            (b' ' | b'-', _) => behind,
            (0xc2, [0xa0, behind @ ..]) => behind,
            _ => {
                plain.push(*byte);
                behind
            }
        };
    }
    plain
}

/// Nothing of it.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}
