//! Fixed windows: so many requests in each second, day, week, month or year.

use std::cell::Cell;
use std::num::NonZeroU64;

use super::Standing;
use super::calendar::{Calendar, Period};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// A number of requests in each window of a kind.
#[derive(Clone, Debug)]
pub struct Window {
    quota: NonZeroU64,
    overdraft: u64,
    span: Span,
    /// The window that was asked for last: its start and its end.
    last: Cell<(u64, u64)>,
}

/// How the windows divide time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Of so many nanoseconds, counted from the epoch: seconds, minutes and hours begin as they do in UTC.
    Even(NonZeroU64),
    /// Those of a calendar.
    Calendar(Calendar),
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
        Self { quota, overdraft: 0, span, last: Cell::new((0, 0)) }
    }

    /// Lets so many more through.
    #[must_use]
    pub fn with_overdraft(self, overdraft: u64) -> Self {
        Self { overdraft, ..self }
    }

    /// How many requests a window lets through, without the overdraft.
    pub const fn quota(&self) -> u64 {
        self.quota.get()
    }

    /// Nanoseconds in a window; of months and years, which differ, those in 30 and 365 days.
    pub const fn length(&self) -> u64 {
        let days = match &self.span {
            Span::Even(length) => return length.get(),
            Span::Calendar(calendar) => match calendar.period {
                Period::Day => 1,
                Period::Week(_) => 7,
                Period::Month(_) => 30,
                Period::Year(..) => 365,
            },
        };
        DAY.saturating_mul(days)
    }

    /// Counts a request that costs so much. `None`: there is not so much left in this window.
    pub fn charge(&self, used: Used, now: u64, cost: u64) -> Option<Used> {
        let charged = self.charge_late(used, now, cost);
        (charged.requests <= self.most()).then_some(charged)
    }

    /// Counts what has happened already, whether there is room for it or not.
    pub fn charge_late(&self, used: Used, now: u64, cost: u64) -> Used {
        let (used, _) = self.current(used, now);
        Used { requests: used.requests.saturating_add(cost), ..used }
    }

    /// Takes back what [`Window::charge`] counted when it returned `charged`, if that was in the window of `used`.
    pub const fn refund(used: Used, charged: Used, cost: u64) -> Used {
        let back = if used.start == charged.start { cost } else { 0 };
        Used { requests: used.requests.saturating_sub(back), ..used }
    }

    /// Nanoseconds until a request that costs so much passes. `None`: it never does.
    pub fn wait(&self, used: Used, now: u64, cost: u64) -> Option<u64> {
        let (used, end) = self.current(used, now);
        let fits = used.requests.saturating_add(cost) <= self.most();
        let wait = if fits { 0 } else { end.saturating_sub(now) };
        (cost <= self.most()).then_some(wait)
    }

    /// How much is left, and when the next window begins.
    pub fn standing(&self, used: Used, now: u64) -> Standing {
        let (used, end) = self.current(used, now);
        Standing {
            remaining: self.quota.get().saturating_sub(used.requests),
            more_in: Some(end.saturating_sub(now)),
        }
    }

    /// Its windows, in words.
    pub fn way(&self) -> String {
        format!("{:?}", self.span)
    }

    /// What is used of this window, as a part of its length.
    pub fn spent(&self, used: Used, now: u64) -> u64 {
        let (used, _) = self.current(used, now);
        super::time_for(used.requests, self.quota, self.length())
    }

    /// When the window of a usage ends.
    pub fn runs_out(&self, used: Used) -> u64 {
        let (_, end) = self.around(used.start);
        end
    }

    const fn most(&self) -> u64 {
        self.quota.get().saturating_add(self.overdraft)
    }

    /// What was used of the present window, and when that ends. A clock that went back stays in the window that it had
    /// come to, so it grants nothing.
    fn current(&self, used: Used, now: u64) -> (Used, u64) {
        let (start, end) = self.around(now.max(used.start));
        let used = if used.start < start { Used { start, requests: 0 } } else { used };
        (used, end)
    }

    /// The start and the end of the window that a moment is in. It is nearly always that of the moment before.
    fn around(&self, moment: u64) -> (u64, u64) {
        let (start, end) = self.last.get();
        if (start..end).contains(&moment) {
            return (start, end);
        }
        let window = self.span.around(moment);
        self.last.set(window);
        window
    }
}

impl Span {
    fn around(&self, moment: u64) -> (u64, u64) {
        match self {
            Self::Even(length) => {
                let start = moment.saturating_sub(moment % *length);
                (start, start.saturating_add(length.get()))
            }
            Self::Calendar(calendar) => calendar.around(moment),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::super::zone::Zone;
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

    fn calendar(period: Period) -> Span {
        Span::Calendar(Calendar { period, zone: Zone::utc() })
    }

    #[test]
    fn even_windows_are_counted_from_the_epoch() {
        for (length, moment, expected) in [
            (60, 1_795_219_259, (1_795_219_200, 1_795_219_260)),
            (86_400, 1_795_305_599, (1_795_219_200, 1_795_305_600)),
            (90, 100, (90, 180)),
        ] {
            let (start, end) = even_span(length * SECOND).around(moment * SECOND);
            assert_eq!((start, end), (expected.0 * SECOND, expected.1 * SECOND), "{length} around {moment}");
        }
        assert_eq!(even_span(7).around(u64::MAX).1, u64::MAX);
    }

    #[test]
    fn a_window_lets_its_quota_through_and_no_more() {
        let window = window(2, even_span(60 * SECOND));
        let used = Used::default();
        assert_eq!(window.standing(used, NOW + 1), Standing { remaining: 2, more_in: Some(60 * SECOND - 1) });
        let used = window.charge(used, NOW, 1).unwrap();
        let used = window.charge(used, NOW + 59 * SECOND, 1).unwrap();
        assert_eq!(window.charge(used, NOW + 60 * SECOND - 1, 1), None);
        let standing = Standing { remaining: 0, more_in: Some(1) };
        assert_eq!(window.standing(used, NOW + 60 * SECOND - 1), standing);
        let next = window.charge(used, NOW + 60 * SECOND, 1).unwrap();
        assert_eq!(next, Used { start: NOW + 60 * SECOND, requests: 1 });
    }

    #[test]
    fn a_clock_that_goes_back_grants_nothing() {
        let window = window(1, even_span(SECOND));
        let used = window.charge(Used::default(), NOW, 1).unwrap();
        assert_eq!(window.charge(used, NOW - 1, 1), None);
        assert_eq!(window.charge(used, NOW - 3_600 * SECOND, 1), None);
        assert_eq!(window.standing(used, NOW - 1).more_in, Some(SECOND + 1));
        assert!(window.charge(used, NOW + SECOND, 1).is_some());
    }

    fn month() -> Span {
        calendar(Period::Month(1))
    }

    #[test]
    fn another_plan_keeps_what_was_used() {
        let used = Used { start: month().around(NOW).0, requests: 900 };
        assert_eq!(window(10_000, month()).standing(used, NOW).remaining, 9_100);
        assert_eq!(window(100, month()).standing(used, NOW).remaining, 0);
        // From a day to a month: what this day had counts for the month.
        let today = Used { start: NOW, requests: 7 };
        let charged = window(10, month()).charge(today, NOW + SECOND, 1).unwrap();
        assert_eq!(charged.requests, 8);
        assert_eq!(window(10, month()).standing(charged, NOW).remaining, 2);
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
                    prop::sample::select(vec![
                        (Period::Day, "America/New_York"), (Period::Week(0), "UTC"), (Period::Week(6), "Africa/Cairo"),
                        (Period::Month(1), "UTC"), (Period::Month(31), "Europe/Berlin"), (Period::Year(1, 1), "UTC"),
                        (Period::Year(2, 29), "Asia/Gaza"),
                    ])
                    .prop_map(|(period, zone)| Span::Calendar(Calendar { period, zone: Zone::find(zone).unwrap() })),
                ],
                steps in prop::collection::vec((-300_i64..1_000, 1_u64..4), 1..60),
            ) {
                let window = window(quota, span.clone());
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
                        let charged = window.charge(used, now, 1);
                        prop_assert_eq!(charged.is_some(), counted < quota);
                        match charged {
                            Some(charged) => {
                                used = charged;
                                tally.insert(start, counted + 1);
                            }
                            None => {
                                let wait = window.standing(used, now).more_in.unwrap();
                                prop_assert!(window.charge(used, now + wait - 1, 1).is_none());
                                prop_assert!(window.charge(used, now + wait, 1).is_some());
                            }
                        }
                    }
                }
            }
        }
    }
}
