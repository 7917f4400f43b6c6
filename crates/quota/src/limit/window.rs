//! Fixed windows: so many requests in each second, day, week, month or year of the UTC calendar.

use std::num::NonZeroU64;

use super::Standing;

const SECOND: u64 = 1_000_000_000;
const DAY: NonZeroU64 = NonZeroU64::new(86_400 * SECOND).unwrap();
const WEEK: NonZeroU64 = NonZeroU64::new(7 * DAY.get()).unwrap();

/// A number of requests in each window of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    quota: NonZeroU64,
    span: Span,
}

/// How the windows divide time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Of so many nanoseconds, counted from the epoch: seconds, minutes, hours and days begin as they do in UTC.
    Even(NonZeroU64),
    /// Weeks, from Monday.
    Week,
    /// Months.
    Month,
    /// Years.
    Year,
}

/// What a consumer has used of a [`Window`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// When the window began. Nanoseconds since the epoch.
    pub start: u64,
    /// Requests since then.
    pub requests: u64,
}

impl Window {
    /// `quota` requests in each window.
    pub const fn new(quota: NonZeroU64, span: Span) -> Self {
        Self { quota, span }
    }

    /// How many requests a window lets through.
    pub const fn quota(&self) -> u64 {
        self.quota.get()
    }

    /// Nanoseconds in a window; of months and years, which differ, those in 30 and 365 days.
    pub const fn length(&self) -> u64 {
        match self.span {
            Span::Even(length) => length.get(),
            Span::Week => WEEK.get(),
            Span::Month => DAY.get().saturating_mul(30),
            Span::Year => DAY.get().saturating_mul(365),
        }
    }

    /// Counts one request. `None`: there is none left in this window.
    pub fn charge(&self, used: Used, now: u64) -> Option<Used> {
        let (used, _) = self.current(used, now);
        (used.requests < self.quota.get()).then(|| Used { requests: used.requests.saturating_add(1), ..used })
    }

    /// How much is left, and when the next window begins.
    pub fn standing(&self, used: Used, now: u64) -> Standing {
        let (used, end) = self.current(used, now);
        Standing {
            remaining: self.quota.get().saturating_sub(used.requests),
            more_in: Some(end.saturating_sub(now)),
        }
    }

    /// What was used of the present window, and when that ends. A clock that went back stays in the window that it had
    /// come to, so it grants nothing.
    fn current(&self, used: Used, now: u64) -> (Used, u64) {
        let (start, end) = self.span.around(now.max(used.start));
        let used = if used.start < start { Used { start, requests: 0 } } else { used };
        (used, end)
    }
}

impl Span {
    /// The start and the end of the window that a moment is in.
    fn around(self, moment: u64) -> (u64, u64) {
        match self {
            Self::Even(length) => even(moment, length, 0),
            // The epoch was a Thursday: the first Monday came four days later.
            Self::Week => even(moment, WEEK, DAY.get().saturating_mul(3)),
            Self::Month => {
                let (year, month) = year_and_month(moment / DAY);
                let (next_year, next_month) =
                    if month == 12 { (year.saturating_add(1), 1) } else { (year, month.saturating_add(1)) };
                (first_of(year, month), first_of(next_year, next_month))
            }
            Self::Year => {
                let (year, _) = year_and_month(moment / DAY);
                (first_of(year, 1), first_of(year.saturating_add(1), 1))
            }
        }
    }
}

/// The window around a moment where all have one length and the first began `before` the epoch.
fn even(moment: u64, length: NonZeroU64, before: u64) -> (u64, u64) {
    let moment = moment.saturating_add(before);
    let start = moment.saturating_sub(moment % length);
    (start.saturating_sub(before), start.saturating_add(length.get()).saturating_sub(before))
}

// Dates, by "civil_from_days" and "days_from_civil" of Howard Hinnant's paper "chrono-Compatible Low-Level Date
// Algorithms". Years begin in March there, so that the leap day is the last of its year; an era is 400 years, after which
// the calendar repeats. 64 bits of nanoseconds end in 2554, so nothing here overflows or goes below zero: a date library
// would bring a hundred times this code into each module.

const ERA_DAYS: u64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: u64 = 719_468;

/// The year and month (1 to 12) of a day, counted from the epoch.
#[allow(clippy::arithmetic_side_effects, reason = "days come from 64 bits of nanoseconds: below 213,504")]
const fn year_and_month(day: u64) -> (u64, u64) {
    let day = day + EPOCH;
    let day_of_era = day % ERA_DAYS;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + day / ERA_DAYS * 400;
    (if month <= 2 { year + 1 } else { year }, month)
}

/// When a month begins, in nanoseconds since the epoch; the end of time if that is past it.
#[allow(clippy::arithmetic_side_effects, reason = "years come from 64 bits of nanoseconds: 1970 to 2555")]
const fn first_of(year: u64, month: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let year_of_era = year % 400;
    let day_of_year = (153 * month_from_march + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    DAY.get().saturating_mul(year / 400 * ERA_DAYS + day_of_era - EPOCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// 2026-11-21T00:00:00Z, a Saturday.
    const NOW: u64 = 1_795_219_200 * SECOND;

    fn window(quota: u64, span: Span) -> Window {
        Window::new(NonZeroU64::new(quota).unwrap(), span)
    }

    fn even_span(length: u64) -> Span {
        Span::Even(NonZeroU64::new(length).unwrap())
    }

    /// Start and end in seconds.
    fn seconds(span: Span, moment: u64) -> (u64, u64) {
        let (start, end) = span.around(moment * SECOND);
        assert_eq!((start % SECOND, end % SECOND), (0, 0));
        (start / SECOND, end / SECOND)
    }

    #[test]
    fn windows_follow_the_utc_calendar() {
        // Unix times as `date -u +%s -d ...` gives them.
        let cases = [
            (even_span(60 * SECOND), 1_795_219_259, (1_795_219_200, 1_795_219_260)),
            (even_span(86_400 * SECOND), 1_795_305_599, (1_795_219_200, 1_795_305_600)),
            (even_span(90 * SECOND), 100, (90, 180)),
            // Monday 2026-11-16 to Monday 2026-11-23.
            (Span::Week, 1_795_219_200, (1_794_787_200, 1_795_392_000)),
            (Span::Week, 1_794_787_200, (1_794_787_200, 1_795_392_000)),
            (Span::Week, 1_794_787_199, (1_794_182_400, 1_794_787_200)),
            // The Thursday of the epoch: its week began before.
            (Span::Week, 0, (0, 4 * 86_400)),
            // November 2026, then December into the next year.
            (Span::Month, 1_795_219_200, (1_793_491_200, 1_796_083_200)),
            (Span::Month, 1_798_761_599, (1_796_083_200, 1_798_761_600)),
            // February 2024 has its leap day, 2100 has none, 2000 has.
            (Span::Month, 1_709_164_800, (1_706_745_600, 1_709_251_200)),
            (Span::Month, 4_107_456_000, (4_105_123_200, 4_107_542_400)),
            (Span::Month, 951_782_400, (949_363_200, 951_868_800)),
            (Span::Year, 1_795_219_200, (1_767_225_600, 1_798_761_600)),
            (Span::Year, 0, (0, 31_536_000)),
            (Span::Month, 0, (0, 31 * 86_400)),
        ];
        for (span, moment, expected) in cases {
            assert_eq!(seconds(span, moment), expected, "{span:?} around {moment}");
        }
    }

    /// Every day until the clock ends: months are those of a calendar that is counted day by day.
    #[test]
    fn the_calendar_is_right_on_every_day() {
        let days_in = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut first, mut new_year) = (1970, 1, 0, 0);
        for day in 0..u64::MAX / DAY.get() {
            if day == first + days_in(year, month) {
                (year, month, first) = if month == 12 { (year + 1, 1, day) } else { (year, month + 1, day) };
                new_year = if month == 1 { day } else { new_year };
            }
            assert_eq!(year_and_month(day), (year, month), "day {day}");
            let (start, end) = Span::Month.around(day * DAY.get());
            assert_eq!(
                (start, end),
                (first * DAY.get(), (first + days_in(year, month)).saturating_mul(DAY.get()))
            );
            assert_eq!(Span::Year.around(day * DAY.get()).0, new_year * DAY.get());
        }
        for span in [Span::Week, Span::Month, Span::Year, even_span(7)] {
            let (start, end) = span.around(u64::MAX);
            assert!(start < end, "{span:?} {start} {end}");
        }
    }

    #[test]
    fn a_window_lets_its_quota_through_and_no_more() {
        let window = window(2, even_span(60 * SECOND));
        let used = Used::default();
        assert_eq!(window.standing(used, NOW + 1), Standing { remaining: 2, more_in: Some(60 * SECOND - 1) });
        let used = window.charge(used, NOW).unwrap();
        let used = window.charge(used, NOW + 59 * SECOND).unwrap();
        assert_eq!(window.charge(used, NOW + 60 * SECOND - 1), None);
        let standing = Standing { remaining: 0, more_in: Some(1) };
        assert_eq!(window.standing(used, NOW + 60 * SECOND - 1), standing);
        let next = window.charge(used, NOW + 60 * SECOND).unwrap();
        assert_eq!(next, Used { start: NOW + 60 * SECOND, requests: 1 });
    }

    #[test]
    fn a_clock_that_goes_back_grants_nothing() {
        let window = window(1, even_span(SECOND));
        let used = window.charge(Used::default(), NOW).unwrap();
        assert_eq!(window.charge(used, NOW - 1), None);
        assert_eq!(window.charge(used, NOW - 3_600 * SECOND), None);
        assert_eq!(window.standing(used, NOW - 1).more_in, Some(SECOND + 1));
        assert!(window.charge(used, NOW + SECOND).is_some());
    }

    #[test]
    fn another_plan_keeps_what_was_used() {
        let used = Used { start: Span::Month.around(NOW).0, requests: 900 };
        assert_eq!(window(10_000, Span::Month).standing(used, NOW).remaining, 9_100);
        assert_eq!(window(100, Span::Month).standing(used, NOW).remaining, 0);
        // From a day to a month: what this day had counts for the month.
        let today = Used { start: NOW, requests: 7 };
        let charged = window(10, Span::Month).charge(today, NOW + SECOND).unwrap();
        assert_eq!(charged.requests, 8);
        assert_eq!(window(10, Span::Month).standing(charged, NOW).remaining, 2);
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use std::collections::BTreeMap;

        use super::*;
        use proptest::prelude::*;

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(10_000))]

            /// Any schedule, with a clock that also goes back: a request passes if the tally of its window has room. Its
            /// window is that of the clock, or the last one that a request passed in, whichever is later.
            #[test]
            fn a_schedule_passes_as_in_the_tally(
                quota in 1_u64..10,
                span in prop_oneof![
                    (1_u64..100_000 * SECOND).prop_map(even_span),
                    Just(Span::Week), Just(Span::Month), Just(Span::Year),
                ],
                steps in prop::collection::vec((-300_i64..1_000, 1_u64..4), 1..60),
            ) {
                let window = window(quota, span);
                let mut tally = BTreeMap::<u64, u64>::new();
                let mut used = Used::default();
                let mut now = NOW;
                for (step, count) in steps {
                    // In thousandths of a window.
                    let step = i128::from(step) * i128::from(window.length()) / 1_000;
                    now = u64::try_from(i128::from(now) + step).unwrap();
                    for _ in 0..count {
                        let last = tally.last_key_value().map_or(0, |(start, _)| *start);
                        let start = span.around(now).0.max(last);
                        let counted = tally.get(&start).copied().unwrap_or(0);
                        prop_assert_eq!(window.standing(used, now).remaining, quota - counted);
                        let charged = window.charge(used, now);
                        prop_assert_eq!(charged.is_some(), counted < quota);
                        match charged {
                            Some(charged) => {
                                used = charged;
                                tally.insert(start, counted + 1);
                            }
                            None => {
                                let wait = window.standing(used, now).more_in.unwrap();
                                prop_assert!(window.charge(used, now + wait - 1).is_none());
                                prop_assert!(window.charge(used, now + wait).is_some());
                            }
                        }
                    }
                }
            }
        }
    }
}
