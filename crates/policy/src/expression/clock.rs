//! `now`, and the ways to write a time.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use crate::host::Timestamp;

/// What there is in `now`.
pub(super) const FIELDS: [&str; 5] = ["date", "http", "time", "unix", "unix_ms"];

/// A date and time of day in UTC, in the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    year: u64,
    month: u64,
    day: u64,
    /// From Thursday, which the epoch was.
    weekday: u64,
    second_of_day: u64,
    millisecond: u64,
}

impl From<Timestamp> for Utc {
    /// The days of the epoch are counted in eras of 400 years that begin in March, so that the leap day is the last of
    /// its year and a month's first day follows from its number alone.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "a u64 of nanoseconds is at most 213,504 days; divisors are not 0, and no difference is below 0"
    )]
    fn from(time: Timestamp) -> Self {
        let days = time.as_secs() / 86_400;
        let since_march = days + 719_468;
        let (era, day_of_era) = (since_march / 146_097, since_march % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            weekday: days % 7,
            second_of_day: time.as_secs() % 86_400,
            millisecond: time.as_nanos() / 1_000_000 % 1_000,
        }
    }
}

impl Utc {
    /// `2026-01-31`
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `12:00:00`
    pub fn time(&self) -> String {
        let Self { second_of_day: second, .. } = self;
        format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
    }

    /// `2026-01-31T12:00:00.000Z` (RFC 3339 section 5.6)
    pub fn rfc3339(&self) -> String {
        format!("{}T{}.{:03}Z", self.date(), self.time(), self.millisecond)
    }

    /// `Sat, 31 Jan 2026 12:00:00 GMT` (IMF-fixdate of RFC 9110 section 5.6.7)
    pub fn http(&self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        fn name<'a>(names: &[&'a str], index: u64) -> &'a str {
            usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
        }
        let (weekday, month) = (name(&DAYS, self.weekday), name(&MONTHS, self.month.saturating_sub(1)));
        format!("{weekday}, {:02} {month} {:04} {} GMT", self.day, self.year, self.time())
    }
}

/// `now` as expressions see it.
#[derive(Clone, Copy)]
pub(super) struct Now(pub Timestamp);

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Utc::from(self.0).rfc3339())
    }
}

impl Object for Now {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "date" => Some(Value::from(Utc::from(self.0).date())),
            "http" => Some(Value::from(Utc::from(self.0).http())),
            "time" => Some(Value::from(Utc::from(self.0).time())),
            "unix" => Some(Value::from(self.0.as_secs())),
            "unix_ms" => Some(Value::from(self.0.as_nanos() / 1_000_000)),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn utc(secs: u64) -> Utc {
        Utc::from(Timestamp::from_nanos(secs * 1_000_000_000 + 7_999_999))
    }

    #[test]
    fn times_are_written_as_the_standards_say() {
        for (secs, rfc3339, http) in [
            (0, "1970-01-01T00:00:00.007Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            // The example of RFC 9110 section 5.6.7.
            (784_111_777, "1994-11-06T08:49:37.007Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "2000-02-28T23:59:59.007Z", "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "2000-02-29T00:00:00.007Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "2024-02-29T23:59:59.007Z", "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_798_761_599, "2026-12-31T23:59:59.007Z", "Thu, 31 Dec 2026 23:59:59 GMT"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z", "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!((utc(secs).rfc3339().as_str(), utc(secs).http().as_str()), (rfc3339, http));
        }
        assert_eq!(Utc::from(Timestamp::from_nanos(u64::MAX)).rfc3339(), "2554-07-21T23:34:33.709Z");
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut expected = (1970, 1, 1);
        for day in 0..200_000 {
            let Utc { year, month, day: of_month, .. } = utc(day * 86_400);
            assert_eq!((year, month, of_month), expected);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match expected {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, day) if day == last => (year, month + 1, 1),
                (year, month, day) => (year, month, day + 1),
            };
        }
    }
}
