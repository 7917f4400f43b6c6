//! Windows of the calendar: days, weeks, months and years, as the clocks of a time zone show them.

use super::zone::Zone;

const SECOND: u64 = 1_000_000_000;
/// Seconds in a day.
pub const DAY: i64 = 86_400;

/// The windows of a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// What a window is.
    pub period: Period,
    /// Whose days begin and end them.
    pub zone: Zone,
}

/// What a window is, and on which of its days it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Day,
    /// Seven days, from a weekday: 0 to 6, from Monday.
    Week(u8),
    /// A month, from a day: 1 to 31. A month that is shorter has its window begin on its last day.
    Month(u8),
    /// A year, from a month (1 to 12) and a day in it. In a year without that day, from the last of the month.
    Year(u8, u8),
}

impl Calendar {
    /// The start and the end of the window that a moment is in. Nanoseconds since the epoch.
    pub fn around(&self, moment: u64) -> (u64, u64) {
        let second = i64::try_from(moment / SECOND).unwrap_or(i64::MAX);
        let day = second.saturating_add(self.zone.offset(second)).div_euclid(DAY);
        let mut window = self.period.window_of(day);
        // A day that has begun stays, also where clocks go back into the one before it.
        if second >= self.start(window.saturating_add(1)) {
            window = window.saturating_add(1);
        }
        let [start, end] = [window, window.saturating_add(1)].map(|window| self.start(window));
        (nanoseconds(start), nanoseconds(end))
    }

    /// When a window begins. Seconds since the epoch.
    fn start(&self, window: i64) -> i64 {
        self.zone.start_of(self.period.first_day_of(window))
    }
}

impl Period {
    /// The window that a day is in, counted in order.
    fn window_of(self, day: i64) -> i64 {
        let guess = match self {
            Self::Day => day,
            // The epoch was a Thursday.
            Self::Week(first) => day.saturating_add(3).saturating_sub(first.into()).div_euclid(7),
            Self::Month(_) => {
                let (year, month, _) = date_of(day);
                year.saturating_mul(12).saturating_add(month).saturating_sub(1)
            }
            Self::Year(..) => year_of(day),
        };
        // Those of months and years may begin later than these.
        if day < self.first_day_of(guess) { guess.saturating_sub(1) } else { guess }
    }

    fn first_day_of(self, window: i64) -> i64 {
        match self {
            Self::Day => window,
            Self::Week(first) => window.saturating_mul(7).saturating_sub(3).saturating_add(first.into()),
            Self::Month(day) => {
                let (year, month) = (window.div_euclid(12), window.rem_euclid(12).saturating_add(1));
                day_of(year, month, day.into())
            }
            Self::Year(month, day) => day_of(window, month.into(), day.into()),
        }
    }
}

fn nanoseconds(second: i64) -> u64 {
    u64::try_from(second).unwrap_or(0).saturating_mul(SECOND)
}

// Dates, by "civil_from_days" and "days_from_civil" of Howard Hinnant's paper "chrono-Compatible Low-Level Date
// Algorithms". Years begin in March there, so that the leap day is the last of its year; an era is 400 years, after which
// the calendar repeats. 64 bits of nanoseconds end in 2554, so nothing here overflows: a date library would bring a hundred
// times this code into each module.

const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// The year of a day, counted from the epoch.
pub const fn year_of(day: i64) -> i64 {
    let (year, _, _) = date_of(day);
    year
}

/// The year, month (1 to 12) and day (1 to 31) of a day, counted from the epoch.
#[allow(clippy::arithmetic_side_effects, reason = "days come from 64 bits of nanoseconds: below 213,505")]
pub const fn date_of(day: i64) -> (i64, i64, i64) {
    let day = day + EPOCH;
    let day_of_era = day.rem_euclid(ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + day.div_euclid(ERA_DAYS) * 400;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    (if month <= 2 { year + 1 } else { year }, month, day_of_month)
}

/// The day of a date, counted from the epoch; the last of its month if that is shorter.
pub const fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let (next_year, next_month) =
        if month == 12 { (year.saturating_add(1), 1) } else { (year, month.saturating_add(1)) };
    let date = first_of(year, month).saturating_add(day.saturating_sub(1));
    let last = first_of(next_year, next_month).saturating_sub(1);
    if date < last { date } else { last }
}

/// The first day of a month, counted from the epoch.
#[allow(clippy::arithmetic_side_effects, reason = "years come from 64 bits of nanoseconds: 1969 to 2555")]
const fn first_of(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month_from_march + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year.div_euclid(400) * ERA_DAYS + day_of_era - EPOCH
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn calendar(period: Period, zone: &str) -> Calendar {
        Calendar { period, zone: Zone::find(zone).unwrap() }
    }

    /// Start and end in seconds.
    fn seconds(calendar: &Calendar, moment: u64) -> (u64, u64) {
        let (start, end) = calendar.around(moment * SECOND);
        assert_eq!((start % SECOND, end % SECOND), (0, 0));
        (start / SECOND, end / SECOND)
    }

    #[test]
    fn windows_follow_the_calendar() {
        // Unix times as `TZ=... date +%s -d ...` gives them.
        for (zone, period, moment, expected) in [
            ("UTC", Period::Day, 1_795_305_599, (1_795_219_200, 1_795_305_600)),
            // Monday 2026-11-16 to Monday 2026-11-23.
            ("UTC", Period::Week(0), 1_795_219_200, (1_794_787_200, 1_795_392_000)),
            ("UTC", Period::Week(0), 1_794_787_200, (1_794_787_200, 1_795_392_000)),
            ("UTC", Period::Week(0), 1_794_787_199, (1_794_182_400, 1_794_787_200)),
            // From Sunday 2026-11-15.
            ("UTC", Period::Week(6), 1_794_787_199, (1_794_700_800, 1_795_305_600)),
            // The Thursday of the epoch: its week began before.
            ("UTC", Period::Week(0), 0, (0, 4 * 86_400)),
            // November 2026, then December into the next year.
            ("UTC", Period::Month(1), 1_795_219_200, (1_793_491_200, 1_796_083_200)),
            ("UTC", Period::Month(1), 1_798_761_599, (1_796_083_200, 1_798_761_600)),
            // February 2024 has its leap day, 2100 has none, 2000 has.
            ("UTC", Period::Month(1), 1_709_164_800, (1_706_745_600, 1_709_251_200)),
            ("UTC", Period::Month(1), 4_107_456_000, (4_105_123_200, 4_107_542_400)),
            ("UTC", Period::Month(1), 951_782_400, (949_363_200, 951_868_800)),
            ("UTC", Period::Year(1, 1), 1_795_219_200, (1_767_225_600, 1_798_761_600)),
            ("UTC", Period::Year(1, 1), 0, (0, 31_536_000)),
            ("UTC", Period::Month(1), 0, (0, 31 * 86_400)),
            // The day in March 2026 that has 23 hours in Berlin, and the one in October that has 25.
            ("Europe/Berlin", Period::Day, 1_774_738_800, (1_774_738_800, 1_774_821_600)),
            ("Europe/Berlin", Period::Day, 1_774_821_599, (1_774_738_800, 1_774_821_600)),
            ("Europe/Berlin", Period::Day, 1_792_969_199, (1_792_879_200, 1_792_969_200)),
            // November 2026 there begins in what is October in UTC, and in New York four hours into it.
            ("Europe/Berlin", Period::Month(1), 1_793_487_600, (1_793_487_600, 1_796_079_600)),
            ("Europe/Berlin", Period::Month(1), 1_793_487_599, (1_790_805_600, 1_793_487_600)),
            ("America/New_York", Period::Month(1), 1_793_505_600, (1_793_505_600, 1_796_101_200)),
            // Half an hour, and three quarters of one.
            ("Asia/Kolkata", Period::Day, 1_795_219_200, (1_795_199_400, 1_795_285_800)),
            ("Asia/Kathmandu", Period::Day, 1_795_219_200, (1_795_198_500, 1_795_284_900)),
        ] {
            assert_eq!(
                seconds(&calendar(period, zone), moment),
                expected,
                "{zone} {period:?} around {moment}"
            );
        }
    }

    /// A day of midnight in UTC.
    fn day(year: i64, month: i64, day: i64) -> u64 {
        u64::try_from(day_of(year, month, day) * DAY).unwrap()
    }

    #[test]
    fn a_month_without_the_day_of_the_anchor_begins_on_its_last() {
        let monthly = calendar(Period::Month(31), "UTC");
        let starts =
            [(2027, 12, 31), (2028, 1, 31), (2028, 2, 29), (2028, 3, 31), (2028, 4, 30), (2028, 5, 31)];
        for pair in starts.windows(2) {
            let [start, end] = [pair[0], pair[1]].map(|(year, month, date)| day(year, month, date));
            for moment in [start, start + 86_400, end - 1] {
                assert_eq!(seconds(&monthly, moment), (start, end), "{pair:?}");
            }
        }
        assert_eq!(
            seconds(&calendar(Period::Month(15), "UTC"), day(2026, 1, 14)),
            (day(2025, 12, 15), day(2026, 1, 15))
        );
        let leap = calendar(Period::Year(2, 29), "UTC");
        assert_eq!(seconds(&leap, day(2027, 2, 28)), (day(2027, 2, 28), day(2028, 2, 29)));
        assert_eq!(seconds(&leap, day(2029, 2, 27)), (day(2028, 2, 29), day(2029, 2, 28)));
        let fiscal = calendar(Period::Year(4, 6), "Europe/London");
        assert_eq!(seconds(&fiscal, day(2026, 4, 5)), (day(2025, 4, 6) - 3_600, day(2026, 4, 6) - 3_600));
    }

    /// Where clocks skip midnight a day begins when it is first shown; where midnight comes twice, the first time.
    #[test]
    fn days_begin_once() {
        let cairo = calendar(Period::Day, "Africa/Cairo");
        // 2026-04-24 begins at 01:00; 2026-10-29 ends at midnight and goes on for an hour.
        assert_eq!(seconds(&cairo, 1_776_981_600), (1_776_981_600, 1_777_064_400));
        assert_eq!(seconds(&cairo, 1_776_981_599).1, 1_776_981_600);
        assert_eq!(seconds(&cairo, 1_793_307_600), (1_793_221_200, 1_793_311_200));
        let azores = calendar(Period::Day, "Atlantic/Azores");
        // 2026-10-25 has midnight twice: an hour after the first, clocks go back to it.
        assert_eq!(seconds(&azores, 1_792_886_400), (1_792_886_400, 1_792_976_400));
        assert_eq!(seconds(&azores, 1_792_890_000), (1_792_886_400, 1_792_976_400));
    }

    /// Every day until the clock ends: months are those of a calendar that is counted day by day.
    #[test]
    fn the_calendar_is_right_on_every_day() {
        let days_in = |year: i64, month: i64| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let [monthly, yearly] = [Period::Month(1), Period::Year(1, 1)].map(|period| calendar(period, "UTC"));
        let nanoseconds = |day: i64| u64::try_from(day * DAY).unwrap().saturating_mul(SECOND);
        let (mut year, mut month, mut first, mut new_year) = (1970, 1, 0, 0);
        for day in 0..=i64::try_from(u64::MAX / SECOND).unwrap() / DAY {
            if day == first + days_in(year, month) {
                (year, month, first) = if month == 12 { (year + 1, 1, day) } else { (year, month + 1, day) };
                new_year = if month == 1 { day } else { new_year };
            }
            assert_eq!(date_of(day), (year, month, day - first + 1), "day {day}");
            assert_eq!(day_of(year, month, day - first + 1), day);
            let (start, end) = monthly.around(nanoseconds(day));
            assert_eq!((start, end), (nanoseconds(first), nanoseconds(first + days_in(year, month))));
            assert_eq!(yearly.around(nanoseconds(day)).0, nanoseconds(new_year));
        }
        for period in [Period::Day, Period::Week(3), Period::Month(31), Period::Year(12, 31)] {
            for zone in ["UTC", "Pacific/Kiritimati", "America/New_York", "Etc/GMT+12"] {
                let calendar = calendar(period, zone);
                for moment in [0, u64::MAX] {
                    let (start, end) = calendar.around(moment);
                    assert!(
                        start <= moment && moment <= end && start < end,
                        "{zone} {period:?} {start} {end}"
                    );
                }
            }
        }
    }
}
