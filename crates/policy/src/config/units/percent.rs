//! Shares of a whole.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected};

use super::{ParseUnitError, serde_as_text, split_digits};

/// A share from 0 to 100 percent, with at most two decimals: the number `12.5` or the string `12.5%`.
///
/// Held in hundredths of a percent, so that it compares exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    hundredths: u16,
}

const FORM: &str = "a percentage from 0 to 100 with at most two decimals, such as 25 or 12.5%";

impl Percent {
    /// All of it.
    pub const ALL: Self = Self { hundredths: 10_000 };

    /// From hundredths of a percent, 0 to 10,000. `None` for more.
    pub fn from_hundredths(hundredths: u16) -> Option<Self> {
        (hundredths <= Self::ALL.hundredths).then_some(Self { hundredths })
    }

    /// In hundredths of a percent, 0 to 10,000.
    pub const fn hundredths(self) -> u16 {
        self.hundredths
    }

    /// From the decimals that a number has when it is written out: 12.34 has no exact double, but it is the only one of
    /// its length next to it.
    fn from_f64<E: Error>(percent: f64) -> Result<Self, E> {
        format!("{percent}%").parse().map_err(|_| E::invalid_value(Unexpected::Float(percent), &FORM))
    }

    fn from_u64<E: Error>(percent: u64) -> Result<Self, E> {
        format!("{percent}%").parse().map_err(|_| E::invalid_value(Unexpected::Unsigned(percent), &FORM))
    }
}

impl FromStr for Percent {
    type Err = ParseUnitError;

    /// Reads the string form, which ends in `%`.
    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        let parsed = text.strip_suffix('%').and_then(|number| {
            let (whole, rest) = split_digits(number);
            let decimals = match rest.strip_prefix('.') {
                Some(decimals) => decimals,
                None if rest.is_empty() => "0",
                None => return None,
            };
            let (digits, "") = split_digits(decimals) else { return None };
            let tenths_or_hundredths: u16 = digits.parse().ok()?;
            let hundredths = match digits.len() {
                1 => tenths_or_hundredths.checked_mul(10)?,
                2 => tenths_or_hundredths,
                _ => return None,
            };
            let whole: u16 = if whole.is_empty() { None } else { whole.parse().ok() }?;
            Self::from_hundredths(whole.checked_mul(100)?.checked_add(hundredths)?)
        });
        parsed.ok_or_else(|| ParseUnitError::new(text, FORM))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.hundredths) / 100.0)
    }
}

serde_as_text!(
    Percent,
    FORM,
    visit_u64(u64) => Percent::from_u64,
    visit_f64(f64) => Percent::from_f64
);

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Percent").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "string"],
            "description": "A share from 0 to 100 percent with at most two decimals",
            "minimum": 0,
            "maximum": 100,
            "pattern": "^0*(100(\\.00?)?|[0-9]{1,2}(\\.[0-9]{1,2})?)%$",
            "examples": [25, 0.5, "12.5%"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::Error as ValueError;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_hundredth_is_read_and_written_exactly() {
        for hundredths in 0..=10_000 {
            let percent = Percent::from_hundredths(hundredths).unwrap();
            let text = percent.to_string();
            assert_eq!(text.parse(), Ok(percent), "{text}");
            let number: f64 = text.trim_end_matches('%').parse().unwrap();
            assert_eq!(Percent::from_f64::<ValueError>(number), Ok(percent), "{number}");
        }
    }

    #[test]
    fn strings_end_in_a_percent_sign() {
        for (text, hundredths) in [
            ("0%", 0),
            ("12.5%", 1_250),
            ("12.50%", 1_250),
            ("100%", 10_000),
            ("100.00%", 10_000),
            ("007.05%", 705),
        ] {
            assert_eq!(text.parse::<Percent>().unwrap().hundredths(), hundredths, "{text}");
        }
        for text in [
            "", "%", "50", "-1%", "+1%", "100.01%", "101%", "65536%", "1.%", ".5%", "1.234%", "1e1%", "5 %",
            " 5%", "5%%",
        ] {
            assert_eq!(text.parse::<Percent>(), Err(ParseUnitError::new(text, FORM)), "{text}");
        }
    }

    #[test]
    fn numbers_are_from_0_to_100() {
        for (number, shown) in
            [(0.0, "0%"), (12.5, "12.5%"), (12.34, "12.34%"), (99.99, "99.99%"), (0.01, "0.01%")]
        {
            assert_eq!(Percent::from_f64::<ValueError>(number).unwrap().to_string(), shown);
        }
        for number in [-0.01, 100.01, 0.001, 12.345, 1e300, -1e300, 1e-300, f64::INFINITY, f64::NAN] {
            assert!(Percent::from_f64::<ValueError>(number).is_err(), "{number}");
        }
        assert_eq!(Percent::from_u64::<ValueError>(100), Ok(Percent::ALL));
        assert!(Percent::from_u64::<ValueError>(101).is_err());
        assert!(Percent::from_u64::<ValueError>(u64::MAX).is_err());
    }
}
