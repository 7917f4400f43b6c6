//! Spans of time.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{ParseUnitError, serde_as_text, split_digits, split_letters};

/// A span of time: `500ms`, `30s`, `5m`, `1h`, `7d`, or several of them with the largest first, `1h30m`.
///
/// Held in milliseconds, at most 3650 days (ten years). A number without a unit is refused: seconds to one reader are
/// milliseconds to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    millis: u64,
}

const FORM: &str = "a duration with its unit, such as 500ms, 30s, 5m, 1h30m or 7d";
const TOO_LONG: &str = "a duration of at most 3650d";

/// Milliseconds of each unit, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Duration {
    /// The longest: 3650 days.
    pub const MAX: Self = Self { millis: 3_650 * 86_400_000 };

    /// From milliseconds; more than [`Duration::MAX`] becomes that.
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis: if millis < Self::MAX.millis { millis } else { Self::MAX.millis } }
    }

    /// From seconds; more than [`Duration::MAX`] becomes that.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs.saturating_mul(1_000))
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// Whether it is no time at all, which many a setting has no use for.
    pub const fn is_zero(self) -> bool {
        self.millis == 0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_millis(duration.millis)
    }
}

impl FromStr for Duration {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        let wrong = |expected| ParseUnitError::new(text, expected);
        let mut rest = text;
        let mut smaller = UNITS.as_slice();
        let mut millis = 0_u64;
        loop {
            let (digits, after) = split_digits(rest);
            let (unit, after) = split_letters(after);
            let at = smaller.iter().position(|(name, _)| *name == unit).ok_or_else(|| wrong(FORM))?;
            let (Some((_, scale)), Some(left)) = (smaller.get(at), smaller.get(at.saturating_add(1)..))
            else {
                return Err(wrong(FORM));
            };
            if digits.is_empty() {
                return Err(wrong(FORM));
            }
            let part = digits.parse().ok().and_then(|count: u64| count.checked_mul(*scale));
            let sum = part.and_then(|part| millis.checked_add(part));
            millis = sum.filter(|sum| *sum <= Self::MAX.millis).ok_or_else(|| wrong(TOO_LONG))?;
            if after.is_empty() {
                return Ok(Self { millis });
            }
            (rest, smaller) = (after, left);
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0s");
        }
        let mut rest = self.millis;
        for (unit, scale) in UNITS {
            if let Some(count) = rest.checked_div(scale).filter(|count| *count > 0) {
                write!(f, "{count}{unit}")?;
                rest = rest.checked_rem(scale).unwrap_or(0);
            }
        }
        Ok(())
    }
}

serde_as_text!(Duration, FORM);

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Duration").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time: ms, s, m, h and d, the largest first; at most 3650d",
            "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
            "minLength": 2,
            "examples": ["500ms", "30s", "5m", "1h30m", "7d"],
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
        for (text, millis, shown) in [
            ("500ms", 500, "500ms"),
            ("30s", 30_000, "30s"),
            ("5m", 300_000, "5m"),
            ("1h", 3_600_000, "1h"),
            ("7d", 604_800_000, "7d"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("1d2h3m4s5ms", 93_784_005, "1d2h3m4s5ms"),
            ("1s1ms", 1_001, "1s1ms"),
            ("1m1ms", 60_001, "1m1ms"),
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
            ("007s", 7_000, "7s"),
            ("3650d", 315_360_000_000, "3650d"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.as_millis(), millis, "{text}");
            assert_eq!(duration.to_string(), shown, "{text}");
            assert_eq!(std::time::Duration::from(duration).as_millis(), u128::from(millis));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "30", "s", "ms", "-30s", "+30s", "1.5h", "30 s", " 30s", "30s ", "30S", "30sec", "5min",
            "1w", "1y", "30m1h", "1h1h", "1ms1s", "1h30", "1h,30m", "１s", "1µs", "1s\0", "1hh",
        ] {
            assert_eq!(text.parse::<Duration>(), Err(ParseUnitError::new(text, FORM)), "{text}");
        }
        for text in ["3650d1ms", "3651d", "999999999999999999999s", "18446744073709551615d", "87601h"] {
            assert_eq!(text.parse::<Duration>(), Err(ParseUnitError::new(text, TOO_LONG)), "{text}");
        }
        assert_eq!(
            "30".parse::<Duration>().unwrap_err().to_string(),
            r#"found "30", expected a duration with its unit, such as 500ms, 30s, 5m, 1h30m or 7d"#
        );
    }

    #[test]
    fn constructors_stop_at_the_longest() {
        assert_eq!(Duration::from_secs(30).to_string(), "30s");
        assert_eq!(Duration::from_secs(u64::MAX), Duration::MAX);
        assert_eq!(Duration::from_millis(u64::MAX), Duration::MAX);
        assert!(Duration::from_millis(0).is_zero() && !Duration::from_millis(1).is_zero());
    }
}
