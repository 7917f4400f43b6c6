//! How many per how long.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Duration, ParseUnitError, serde_as_text, split_digits};

/// An amount per period: `5/s`, `100/m`, `10000/month`, `1000/30s`. Blanks around the slash are allowed.
///
/// A period is a unit (`s`, `m`, `h`, `d`, `week`, `month`, `year`, or the words `second`, `min`, `minute`, `hour`, `day`)
/// or a [`Duration`] with a number: `1000/30s`. The two are kept apart, because a window of a unit starts with the unit
/// in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many.
    pub amount: NonZeroU64,
    /// Per how long.
    pub per: Period,
}

/// What a [`Rate`] is per: a unit as it was written, or a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// A span that is tied to no calendar, longer than zero: `30s`, `1h30m`, also `1m`.
    Span(Duration),
    /// `s` or `second`
    Second,
    /// `m`, `min` or `minute`
    Minute,
    /// `h` or `hour`
    Hour,
    /// `d` or `day`, of UTC
    Day,
    /// `week`: from Monday to Sunday (ISO 8601), of UTC
    Week,
    /// `month` of the calendar, of UTC
    Month,
    /// `year` of the calendar, of UTC
    Year,
}

const FORM: &str = "a rate such as 5/s, 100/m, 10000/month or 1000/30s";
const PERIOD: &str = "a rate per s, m, h, d, week, month, year or a duration such as 30s: 100/m, 1000/30s";
const ZERO: &str = "a rate above zero, such as 5/s";
const TOO_MANY: &str = "a rate of at most 18446744073709551615";

/// How each unit is written; the first form is the one that is displayed.
const UNITS: [(Period, &[&str]); 7] = [
    (Period::Second, &["s", "second"]),
    (Period::Minute, &["m", "min", "minute"]),
    (Period::Hour, &["h", "hour"]),
    (Period::Day, &["d", "day"]),
    (Period::Week, &["week"]),
    (Period::Month, &["month"]),
    (Period::Year, &["year"]),
];

impl Period {
    /// How long it is, if it always is the same: months and years are not.
    pub const fn fixed(self) -> Option<Duration> {
        match self {
            Self::Span(span) => Some(span),
            Self::Second => Some(Duration::from_secs(1)),
            Self::Minute => Some(Duration::from_secs(60)),
            Self::Hour => Some(Duration::from_secs(3_600)),
            Self::Day => Some(Duration::from_secs(86_400)),
            Self::Week => Some(Duration::from_secs(604_800)),
            Self::Month | Self::Year => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match UNITS.iter().find(|(_, names)| names.contains(&text)) {
            Some((unit, _)) => Some(*unit),
            None => text.parse().ok().map(Self::Span),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Span(span) = self {
            return span.fmt(f);
        }
        let names = UNITS.iter().find(|(unit, _)| unit == self).map(|(_, names)| *names);
        f.write_str(names.and_then(<[_]>::first).copied().unwrap_or_default())
    }
}

impl FromStr for Rate {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        let wrong = |expected| ParseUnitError::new(text, expected);
        let (amount, per) = text.split_once('/').ok_or_else(|| wrong(FORM))?;
        let (amount, per) = (amount.trim_end_matches(' '), per.trim_start_matches(' '));
        let (digits, "") = split_digits(amount) else { return Err(wrong(FORM)) };
        if digits.is_empty() {
            return Err(wrong(FORM));
        }
        let per = Period::parse(per).ok_or_else(|| wrong(PERIOD))?;
        let amount = digits.parse().map_err(|_| wrong(TOO_MANY))?;
        match (NonZeroU64::new(amount), per) {
            (None, _) => Err(wrong(ZERO)),
            (_, Period::Span(span)) if span.is_zero() => Err(wrong(PERIOD)),
            (Some(amount), per) => Ok(Self { amount, per }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.amount, self.per)
    }
}

serde_as_text!(Rate, FORM);

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Rate").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An amount per s, m, h, d, week, month, year or a duration; units start in UTC",
            "pattern": "^0*[1-9][0-9]* */ *(s|second|m|min|minute|h|hour|d|day|week|month|year|([0-9]+(ms|s|m|h|d))+)$",
            "examples": ["5/s", "100/m", "10000/month", "1000/30s"],
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
        let span = |secs| Period::Span(Duration::from_secs(secs));
        for (text, amount, per, shown) in [
            ("5/s", 5, Period::Second, "5/s"),
            ("5/second", 5, Period::Second, "5/s"),
            ("100/m", 100, Period::Minute, "100/m"),
            ("100/min", 100, Period::Minute, "100/m"),
            ("100/minute", 100, Period::Minute, "100/m"),
            ("1/h", 1, Period::Hour, "1/h"),
            ("1/hour", 1, Period::Hour, "1/h"),
            ("7/d", 7, Period::Day, "7/d"),
            ("7/day", 7, Period::Day, "7/d"),
            ("7/week", 7, Period::Week, "7/week"),
            ("10000/month", 10_000, Period::Month, "10000/month"),
            ("1/year", 1, Period::Year, "1/year"),
            ("1000/30s", 1_000, span(30), "1000/30s"),
            ("100 / 5m", 100, span(300), "100/5m"),
            ("100/1m", 100, span(60), "100/1m"),
            ("100/1h30m", 100, span(5_400), "100/1h30m"),
            ("18446744073709551615/s", u64::MAX, Period::Second, "18446744073709551615/s"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.amount.get(), rate.per), (amount, per), "{text}");
            assert_eq!(rate.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(rate), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, expected) in [
            ("", FORM),
            ("100", FORM),
            ("/m", FORM),
            ("m/100", FORM),
            ("-1/s", FORM),
            ("+1/s", FORM),
            ("1.5/s", FORM),
            ("1e3/s", FORM),
            ("100 per m", FORM),
            (" 1/s", FORM),
            ("1\t/s", FORM),
            ("1/", PERIOD),
            ("1/s ", PERIOD),
            ("1/S", PERIOD),
            ("1/mo", PERIOD),
            ("1/seconds", PERIOD),
            ("1/30", PERIOD),
            ("1/s/s", PERIOD),
            ("1/0s", PERIOD),
            ("1/3651d", PERIOD),
            ("0/s", ZERO),
            ("000/30s", ZERO),
            ("18446744073709551616/s", TOO_MANY),
        ] {
            assert_eq!(text.parse::<Rate>(), Err(ParseUnitError::new(text, expected)), "{text}");
        }
    }

    #[test]
    fn only_months_and_years_vary() {
        let periods = UNITS.map(|(unit, _)| unit.fixed().map(|length| length.to_string()));
        let expected = [Some("1s"), Some("1m"), Some("1h"), Some("1d"), Some("7d"), None, None];
        assert_eq!(periods, expected.map(|length| length.map(str::to_owned)));
        assert_eq!(Period::Span(Duration::from_secs(5)).fixed(), Some(Duration::from_secs(5)));
    }
}
