//! Amounts of memory and traffic.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{ParseUnitError, serde_as_text, split_digits};

/// A number of bytes: `512B`, `10kB`, `64KiB`, `1MiB`, `1GiB`, or a whole number of bytes, `1048576`.
///
/// `KiB`, `MiB`, `GiB` and `TiB` count by 1024; `kB`, `MB`, `GB` and `TB` by 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size {
    bytes: u64,
}

const FORM: &str = "a size such as 512B, 10kB, 64KiB, 1MiB or 1GiB, or a whole number of bytes";
const AMBIGUOUS: &str = "a size with the unit kB (1000 bytes) or KiB (1024 bytes)";
const TOO_LARGE: &str = "a size below 16777216TiB (2^64 bytes)";

/// Bytes of each unit.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Size {
    /// From bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }
}

impl FromStr for Size {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        let wrong = |expected| ParseUnitError::new(text, expected);
        let (digits, unit) = split_digits(text);
        if digits.is_empty() {
            return Err(wrong(FORM));
        }
        let scale = match unit {
            "" => 1,
            "KB" | "K" | "k" | "kb" | "Kb" => return Err(wrong(AMBIGUOUS)),
            _ => UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, scale)| *scale)
                .ok_or_else(|| wrong(FORM))?,
        };
        let bytes = digits.parse().ok().and_then(|count: u64| count.checked_mul(scale));
        bytes.map(Self::from_bytes).ok_or_else(|| wrong(TOO_LARGE))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().filter(|(_, scale)| self.bytes > 0 && self.bytes.is_multiple_of(*scale));
        let counts = whole.filter_map(|(unit, scale)| Some((self.bytes.checked_div(*scale)?, unit)));
        match counts.min_by_key(|(count, _)| *count) {
            Some((count, unit)) => write!(f, "{count}{unit}"),
            None => f.write_str("0B"),
        }
    }
}

serde_as_text!(Size, FORM, visit_u64(u64) => |bytes| Ok(Size::from_bytes(bytes)));

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Size").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "A number of bytes: B, kB, MB, GB, TB count by 1000; KiB, MiB, GiB, TiB by 1024",
            "pattern": "^[0-9]+(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$",
            "minimum": 0,
            "examples": ["512B", "10kB", "64KiB", "1MiB", 1_048_576],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_is_written_is_what_is_meant_and_what_is_displayed() {
        for (text, bytes, shown) in [
            ("512B", 512, "512B"),
            ("512", 512, "512B"),
            ("10kB", 10_000, "10kB"),
            ("64KiB", 65_536, "64KiB"),
            ("65536B", 65_536, "64KiB"),
            ("1MiB", 1_048_576, "1MiB"),
            ("1536KiB", 1_572_864, "1536KiB"),
            ("3MB", 3_000_000, "3MB"),
            ("64000KiB", 65_536_000, "64000KiB"),
            ("1GiB", 1_073_741_824, "1GiB"),
            ("2GB", 2_000_000_000, "2GB"),
            ("1TiB", 1_099_511_627_776, "1TiB"),
            ("1TB", 1_000_000_000_000, "1TB"),
            ("0", 0, "0B"),
            ("0MiB", 0, "0B"),
            ("18446744073709551615", u64::MAX, "18446744073709551615B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "B", "MiB", "-1B", "+1", "1.5MiB", "1 MiB", " 1B", "1B ", "1mib", "1MIB", "1M", "1mb",
            "1KiBs", "1e3", "１B",
        ] {
            assert_eq!(text.parse::<Size>(), Err(ParseUnitError::new(text, FORM)), "{text}");
        }
        for text in ["1KB", "1K", "1k", "1kb"] {
            assert_eq!(text.parse::<Size>(), Err(ParseUnitError::new(text, AMBIGUOUS)), "{text}");
        }
        for text in ["18446744073709551616", "16777216TiB", "99999999999999999999999B"] {
            assert_eq!(text.parse::<Size>(), Err(ParseUnitError::new(text, TOO_LARGE)), "{text}");
        }
    }

    #[test]
    fn a_length_fits_the_machine() {}
}
