//! When something is: moments (RFC 3339) and times of a week, in UTC.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A moment, in seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

/// A day of the week.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Thursday, as 1970-01-01 was.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
}

/// A time of day: seconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u64);

/// A time of a week: it begins on some days, at the same time.
#[derive(Clone, Debug)]
pub struct Weekly {
    /// Empty: every day.
    pub days: Vec<Day>,
    /// When it begins.
    pub from: TimeOfDay,
    /// When it ends; the next day, if that is not after `from`.
    pub until: TimeOfDay,
}

/// When something is.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// Not before.
    pub from: Option<Instant>,
    /// Not from then on.
    pub until: Option<Instant>,
    /// Only then; `None`: at any time.
    pub weekly: Option<Vec<Weekly>>,
}

/// What a schedule says of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// It is not then.
    Closed,
    /// It is, and ends after so many seconds; `None`: there is no end.
    Open(Option<u64>),
}

impl Schedule {
    /// What it says of a moment, in seconds since the epoch.
    pub fn at(&self, now: u64) -> Now {
        let begun = self.from.is_none_or(|from| from.0 <= now);
        let rest = self.until.map(|until| until.0.saturating_sub(now));
        if !begun || rest == Some(0) {
            return Now::Closed;
        }
        let Some(weekly) = &self.weekly else { return Now::Open(rest) };
        // Where several of them overlap, or one begins as another ends, it ends with the last.
        let mut open = 0;
        while let Some(longest) =
            weekly.iter().filter_map(|weekly| weekly.rest(now.saturating_add(open))).max()
        {
            open = open.saturating_add(longest);
            if open >= 7 * DAY {
                // There is no moment of a week that is not in it.
                return Now::Open(rest);
            }
        }
        if open == 0 { Now::Closed } else { Now::Open(Some(rest.map_or(open, |rest| rest.min(open)))) }
    }
}

impl Weekly {
    /// How long it still is, in seconds.
    fn rest(&self, now: u64) -> Option<u64> {
        let (today, time) = (now.checked_div(DAY)?, now.checked_rem(DAY)?);
        let length = match self.until.0.checked_sub(self.from.0) {
            Some(length) if length > 0 => length,
            _ => DAY.saturating_sub(self.from.0).saturating_add(self.until.0),
        };
        // It may have begun yesterday.
        [(today, time), (today.wrapping_sub(1), time.saturating_add(DAY))].into_iter().find_map(
            |(day, time)| {
                let begun = time.checked_sub(self.from.0)?;
                let rest = length.checked_sub(begun).filter(|rest| *rest > 0)?;
                self.begins_on(day).then_some(rest)
            },
        )
    }

    /// Whether it begins on a day, by its number since 1970-01-01.
    fn begins_on(&self, day: u64) -> bool {
        self.days.is_empty() || self.days.iter().any(|known| *known as u64 == day % 7)
    }
}

impl Instant {
    /// Reads `2026-01-31T22:00:00Z` or `2026-01-31T22:00:00+01:00` (RFC 3339 section 5.6). Fractions of a second are left
    /// out; a leap second is the next one.
    #[allow(clippy::arithmetic_side_effects, reason = "all numbers have at most four digits")]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (year, month, day) = (digits(date, 0, 4)?, digits(date, 5, 2)?, digits(date, 8, 2)?);
        let separators = (date.get(4..5)?, date.get(7..8)?, rest.get(0..1)?);
        if !matches!(separators, ("-", "-", "T" | "t" | " ")) {
            return None;
        }
        let (time, offset) = rest.get(1..)?.split_at_checked(8)?;
        let (hour, minute, second) = (digits(time, 0, 2)?, digits(time, 3, 2)?, digits(time, 6, 2)?);
        let colons = time.get(2..3)? == ":" && time.get(5..6)? == ":";
        if !colons || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = days_from_civil(year, month, day)?;
        let local = days * DAY + hour * HOUR + minute * MINUTE + second;
        Self::with_offset(local, offset)
    }

    #[allow(clippy::arithmetic_side_effects, reason = "all numbers have two digits")]
    fn with_offset(local: u64, offset: &str) -> Option<Self> {
        let offset = match offset.strip_prefix('.') {
            Some(fraction) => {
                let rest = fraction.trim_start_matches(|char: char| char.is_ascii_digit());
                (rest.len() < fraction.len()).then_some(rest)?
            }
            None => offset,
        };
        if matches!(offset, "Z" | "z") {
            return Some(Self(local));
        }
        let (hours, minutes) = (digits(offset, 1, 2)?, digits(offset, 4, 2)?);
        if offset.len() != 6 || offset.get(3..4)? != ":" || hours > 23 || minutes > 59 {
            return None;
        }
        let shift = hours * HOUR + minutes * MINUTE;
        match offset.get(0..1)? {
            "+" => local.checked_sub(shift).map(Self),
            "-" => local.checked_add(shift).map(Self),
            _ => None,
        }
    }
}

impl TimeOfDay {
    /// Reads `22:00`.
    #[allow(clippy::arithmetic_side_effects, reason = "all numbers have two digits")]
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = (digits(text, 0, 2)?, digits(text, 3, 2)?);
        let well_formed = text.len() == 5 && text.get(2..3)? == ":" && hour < 24 && minute < 60;
        well_formed.then_some(Self(hour * HOUR + minute * MINUTE))
    }
}

/// A number of exactly so many digits, which is small.
fn digits(text: &str, from: usize, count: usize) -> Option<u64> {
    let digits = text.get(from..from.checked_add(count)?)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Days since 1970-01-01 of a date from 1970 on, which exists.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a year has four digits and is at least 1970; divisors are not 0"
)]
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let months = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    if year < 1970 || !(1..=*months.get(before)?).contains(&day) {
        return None;
    }
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    Some(years + months.iter().take(before).sum::<u64>() + day - 1)
}

/// Reads a text, or says what it should be.
fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Option<T>,
    expected: &'static str,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &expected))
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, Self::parse, "a date and time with its offset, such as 2026-01-31T22:00:00Z")
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, Self::parse, "a time of day in UTC, such as 22:00")
    }
}

/// As it is written.
impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / HOUR, self.0 % HOUR / MINUTE)
    }
}

impl JsonSchema for Instant {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time", "description": "A date and time (RFC 3339)."})
    }
}

impl JsonSchema for TimeOfDay {
    fn schema_name() -> Cow<'static, str> {
        "TimeOfDay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$",
            "description": "A time of day in UTC.",
            "examples": ["22:00"],
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn at(text: &str) -> u64 {
        Instant::parse(text).unwrap_or_else(|| panic!("{text}")).0
    }

    #[test]
    fn moments_are_read_as_the_standard_says() {
        for (text, secs) in [
            ("1970-01-01T00:00:00Z", 0),
            // The examples of RFC 3339 section 5.8.
            ("1985-04-12T23:20:50.52Z", 482_196_050),
            ("1996-12-19T16:39:57-08:00", 851_042_397),
            ("1990-12-31T23:59:60Z", 662_688_000),
            ("1990-12-31T15:59:60-08:00", 662_688_000),
            ("2026-01-01T00:00:00Z", 1_767_225_600),
            ("2024-02-29T12:00:00+02:00", 1_709_200_800),
            ("2000-03-01t00:00:00z", 951_868_800),
        ] {
            assert_eq!(at(text), secs, "{text}");
        }
        for wrong in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+01:00x",
            "2026-01-01T00:00:00Zx",
            "1969-12-31T23:59:59Z",
            "2026/01/01T00:00:00Z",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00é",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert_eq!(Instant::parse(wrong), None, "{wrong}");
        }
    }

    fn schedule(from: Option<&str>, until: Option<&str>) -> Schedule {
        let instant = |text: &str| Instant::parse(text).unwrap();
        Schedule { from: from.map(instant), until: until.map(instant), weekly: None }
    }

    fn weekly(days: &[Day], from: &str, until: &str) -> Weekly {
        let time = |text| TimeOfDay::parse(text).unwrap();
        Weekly { days: days.to_vec(), from: time(from), until: time(until) }
    }

    #[test]
    fn a_schedule_has_a_beginning_and_an_end() {
        let both = schedule(Some("2026-01-01T10:00:00Z"), Some("2026-01-01T11:00:00Z"));
        for (now, expected) in [
            ("2026-01-01T09:59:59Z", Now::Closed),
            ("2026-01-01T10:00:00Z", Now::Open(Some(3_600))),
            ("2026-01-01T10:59:59Z", Now::Open(Some(1))),
            ("2026-01-01T11:00:00Z", Now::Closed),
        ] {
            assert_eq!(both.at(at(now)), expected, "{now}");
        }
        assert_eq!(Schedule::default().at(0), Now::Open(None));
        assert_eq!(
            schedule(Some("2026-01-01T10:00:00Z"), None).at(at("2027-01-01T00:00:00Z")),
            Now::Open(None)
        );
    }

    #[test]
    fn times_of_a_week_come_again() {
        // 2026-01-01 is a Thursday.
        let nights = [weekly(&[Day::Sat, Day::Sun], "22:00", "02:00"), weekly(&[Day::Wed], "12:30", "13:00")];
        let nights = Schedule { weekly: Some(nights.to_vec()), ..Schedule::default() };
        for (now, expected) in [
            ("2026-01-03T21:59:59Z", Now::Closed),
            ("2026-01-03T22:00:00Z", Now::Open(Some(4 * HOUR))),
            ("2026-01-04T01:59:59Z", Now::Open(Some(1))),
            ("2026-01-04T02:00:00Z", Now::Closed),
            ("2026-01-05T01:00:00Z", Now::Open(Some(HOUR))),
            ("2026-01-06T01:00:00Z", Now::Closed),
            ("2026-01-07T12:45:00Z", Now::Open(Some(15 * MINUTE))),
            ("1970-01-01T00:00:00Z", Now::Closed),
        ] {
            assert_eq!(nights.at(at(now)), expected, "{now}");
        }
        let joined =
            [weekly(&[], "10:00", "11:00"), weekly(&[], "11:00", "12:00"), weekly(&[], "10:30", "10:40")];
        let until = Instant::parse("2026-01-01T11:30:00Z");
        let joined = Schedule { until, weekly: Some(joined.to_vec()), ..Schedule::default() };
        assert_eq!(joined.at(at("2026-01-01T10:15:00Z")), Now::Open(Some(75 * MINUTE)));
        assert_eq!(joined.at(at("2025-12-31T10:15:00Z")), Now::Open(Some(105 * MINUTE)));
        let always = Schedule { weekly: Some(vec![weekly(&[], "00:00", "00:00")]), ..Schedule::default() };
        assert_eq!(always.at(at("2026-01-01T10:15:00Z")), Now::Open(None));
    }

    #[test]
    fn times_of_day_have_two_digits() {
        assert_eq!(TimeOfDay::parse("22:05").unwrap().to_string(), "22:05");
        for wrong in ["", "2:00", "24:00", "22:60", "22-00", "22:00:00", "é:00", "22:0é"] {
            assert_eq!(TimeOfDay::parse(wrong), None, "{wrong}");
        }
    }
}
