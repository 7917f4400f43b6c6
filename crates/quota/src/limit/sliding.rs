//! Sliding windows: so many requests in any span of so much time, wherever it begins.
//!
//! Time is cut into parts, [`PARTS`] to a window, and requests are counted by part. All that was counted in the present
//! part and in the [`PARTS`] before it is held against a request. So two things are certain, by arithmetic and not by
//! chance, as with counters of two windows that are weighted:
//!
//! - In no span as long as the window pass more requests than the quota: every request of such a span that ends now is in
//!   one of those parts.
//! - No request is refused if fewer than the quota have passed in the window before it and one part more: a request is held
//!   against others for at most a part longer than the window.
//!
//! To know that to the nanosecond would take the time of each request, so memory as large as the quota.

use std::num::NonZeroU64;

use super::Standing;

/// How many parts a window has.
const PARTS: u64 = 10;
/// The parts of a window and the present one, of which only some has passed.
const COUNTED: usize = PARTS as usize + 1;

/// A number of requests in any span of so much time.
#[derive(Clone, Debug)]
pub struct Sliding {
    quota: NonZeroU64,
    overdraft: u64,
    /// Nanoseconds in a part.
    part: NonZeroU64,
}

/// What a consumer has used of a [`Sliding`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// When the newest part began. Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds in a part.
    pub length: u64,
    /// Requests of each part, the newest first.
    pub requests: [u64; COUNTED],
}

impl Sliding {
    /// `quota` requests in any `window` nanoseconds.
    pub fn new(quota: NonZeroU64, window: NonZeroU64) -> Self {
        let part = NonZeroU64::new(window.get().div_ceil(PARTS)).unwrap_or(NonZeroU64::MIN);
        Self { quota, overdraft: 0, part }
    }

    /// Lets so many more through.
    #[must_use]
    pub const fn with_overdraft(self, overdraft: u64) -> Self {
        Self { overdraft, ..self }
    }

    /// How many requests pass in a window, without the overdraft.
    pub const fn quota(&self) -> u64 {
        self.quota.get()
    }

    /// Nanoseconds in a window.
    pub const fn length(&self) -> u64 {
        self.part.get().saturating_mul(PARTS)
    }

    /// Counts a request that costs so much. `None`: there is no room for it.
    pub fn charge(&self, parts: Parts, now: u64, cost: u64) -> Option<Parts> {
        let charged = self.charge_late(parts, now, cost);
        (charged.sum() <= self.most()).then_some(charged)
    }

    /// Counts what has happened already, whether there is room for it or not.
    pub fn charge_late(&self, parts: Parts, now: u64, cost: u64) -> Parts {
        let mut parts = self.current(parts, now);
        let [newest, ..] = &mut parts.requests;
        *newest = newest.saturating_add(cost);
        parts
    }

    /// Takes back what [`Sliding::charge`] counted when it returned `charged`, if its part still counts.
    pub fn refund(mut parts: Parts, charged: Parts, cost: u64) -> Parts {
        if parts.length == charged.length && parts.start >= charged.start {
            let age = (parts.start.saturating_sub(charged.start)).checked_div(parts.length);
            let age = age.and_then(|age| usize::try_from(age).ok());
            if let Some(requests) = age.and_then(|age| parts.requests.get_mut(age)) {
                *requests = requests.saturating_sub(cost);
            }
        }
        parts
    }

    /// Nanoseconds until a request that costs so much passes. `None`: it never does.
    pub fn wait(&self, parts: Parts, now: u64, cost: u64) -> Option<u64> {
        let room = self.most().checked_sub(cost)?;
        Some(self.until(&self.current(parts, now), now, room))
    }

    /// How much is left, and when it will be more.
    pub fn standing(&self, parts: Parts, now: u64) -> Standing {
        let parts = self.current(parts, now);
        let used = parts.sum();
        // One less than now, and few enough that one is left.
        let fewer = used.saturating_sub(1).min(self.quota.get().saturating_sub(1));
        Standing {
            remaining: self.quota.get().saturating_sub(used),
            more_in: (used > 0).then(|| self.until(&parts, now, fewer)),
        }
    }

    /// Its window, in words.
    pub fn way(&self) -> String {
        self.part.to_string()
    }

    /// What counts now, as a part of a window's length.
    pub fn spent(&self, parts: Parts, now: u64) -> u64 {
        super::time_for(self.current(parts, now).sum(), self.quota, self.length())
    }

    /// When the newest part no longer counts.
    pub const fn runs_out(&self, parts: Parts) -> u64 {
        parts.start.saturating_add(self.part.get().saturating_mul(PARTS + 1))
    }

    const fn most(&self) -> u64 {
        self.quota.get().saturating_add(self.overdraft)
    }

    /// Nanoseconds until at most so many requests still count.
    fn until(&self, parts: &Parts, now: u64, room: u64) -> u64 {
        let mut used = parts.sum();
        let mut end = now;
        let mut next = parts.start;
        for requests in parts.requests.iter().rev() {
            if used <= room {
                break;
            }
            used = used.saturating_sub(*requests);
            next = next.saturating_add(self.part.get());
            end = next;
        }
        end.saturating_sub(now)
    }

    /// The parts that count now. A clock that went back stays in the part that it had come to, so it grants nothing.
    fn current(&self, parts: Parts, now: u64) -> Parts {
        let (now, part) = (now.max(parts.start), self.part.get());
        let start = now.saturating_sub(now % self.part);
        if (parts.start, parts.length) == (start, part) {
            return parts;
        }
        let mut current = Parts { start, length: part, requests: [0; COUNTED] };
        // Parts of another length are those of another plan: their requests have come as late as they can.
        let mut end = parts.start.saturating_add(parts.length.saturating_sub(1));
        for requests in parts.requests {
            let age = start.saturating_sub(end.min(now)).div_ceil(part);
            let place = usize::try_from(age).ok().and_then(|age| current.requests.get_mut(age));
            if let Some(place) = place {
                *place = place.saturating_add(requests);
            }
            end = end.saturating_sub(parts.length);
        }
        current
    }
}

impl Parts {
    fn sum(&self) -> u64 {
        self.requests.iter().fold(0, |sum, requests| sum.saturating_add(*requests))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECOND: u64 = 1_000_000_000;
    /// 2026-11-21T00:00:00Z
    const NOW: u64 = 1_795_219_200 * SECOND;
    const MINUTE: u64 = 60 * SECOND;

    fn sliding(quota: u64, window: u64) -> Sliding {
        Sliding::new(NonZeroU64::new(quota).unwrap(), NonZeroU64::new(window).unwrap())
    }

    #[test]
    fn a_request_counts_for_the_window_and_at_most_a_part_more() {
        let minute = sliding(10, MINUTE);
        let parts = minute.charge(Parts::default(), NOW + SECOND, 4).unwrap();
        let parts = minute.charge(parts, NOW + 8 * SECOND, 6).unwrap();
        assert_eq!(minute.charge(parts, NOW + 8 * SECOND, 1), None);
        assert_eq!(minute.charge(parts, NOW + 66 * SECOND - 1, 1), None);
        let later = minute.charge(parts, NOW + 66 * SECOND, 4).unwrap();
        assert_eq!(minute.charge(later, NOW + 66 * SECOND, 1), None);
        assert!(minute.charge(later, NOW + 72 * SECOND, 6).is_some());
        assert_eq!(minute.wait(parts, NOW + 8 * SECOND, 4), Some(58 * SECOND));
        assert_eq!(minute.wait(parts, NOW + 8 * SECOND, 5), Some(64 * SECOND));
        assert_eq!(minute.wait(parts, NOW + 8 * SECOND, 11), None);
        assert_eq!(minute.wait(parts, NOW + 8 * SECOND, 0), Some(0));
    }

    #[test]
    fn what_is_left_and_when_more_comes() {
        let minute = sliding(10, MINUTE);
        let standing = |parts, now| {
            let Standing { remaining, more_in } = minute.standing(parts, now);
            (remaining, more_in)
        };
        assert_eq!(standing(Parts::default(), NOW), (10, None));
        let parts = minute.charge(Parts::default(), NOW + SECOND, 4).unwrap();
        let parts = minute.charge_late(parts, NOW + 8 * SECOND, 9);
        // Without those of the first part it is 9, and one is left.
        assert_eq!(standing(parts, NOW + 8 * SECOND), (0, Some(58 * SECOND)));
        assert_eq!(standing(parts, NOW + 66 * SECOND), (1, Some(6 * SECOND)));
        assert_eq!(standing(parts, NOW + 72 * SECOND), (10, None));
    }

    #[test]
    fn a_refund_finds_its_part() {
        let minute = sliding(10, MINUTE);
        let first = minute.charge(Parts::default(), NOW, 4).unwrap();
        let second = minute.charge(first, NOW + 30 * SECOND, 5).unwrap();
        let back = Sliding::refund(second, first, 4);
        assert_eq!((back.sum(), minute.standing(back, NOW + 30 * SECOND).remaining), (5, 5));
        let back = Sliding::refund(back, second, 5);
        assert_eq!(back.sum(), 0);
        // Its part has gone: nothing comes back of another.
        let later = minute.charge(second, NOW + 66 * SECOND, 1).unwrap();
        assert_eq!(Sliding::refund(later, first, 4), later);
    }

    #[test]
    fn a_clock_that_goes_back_grants_nothing() {
        let minute = sliding(1, MINUTE);
        let parts = minute.charge(Parts::default(), NOW, 1).unwrap();
        assert_eq!(minute.charge(parts, NOW - 1, 1), None);
        assert_eq!(minute.charge(parts, NOW - 3_600 * SECOND, 1), None);
        assert_eq!(minute.standing(parts, NOW - SECOND).more_in, Some(67 * SECOND));
        assert!(minute.charge(parts, NOW + 66 * SECOND, 1).is_some());
    }

    #[test]
    fn another_plan_keeps_what_was_used() {
        let parts = sliding(10, MINUTE).charge(Parts::default(), NOW, 7).unwrap();
        let now = NOW + SECOND;
        assert_eq!(sliding(100, MINUTE).standing(parts, now).remaining, 93);
        for window in [SECOND, 59 * SECOND, 3_600 * SECOND, 86_400 * SECOND] {
            let other = sliding(10, window);
            assert_eq!(other.standing(parts, now).remaining, 3, "{window}");
            let wait = other.wait(parts, now, 10).unwrap();
            assert!((window..=window + window.div_ceil(PARTS)).contains(&wait), "{window}: {wait}");
            let there = other.charge(parts, now, 1).unwrap();
            assert_eq!(sliding(10, MINUTE).standing(there, now).remaining, 2, "{window}");
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let most = sliding(u64::MAX, u64::MAX);
        let parts = Parts { start: u64::MAX, length: u64::MAX, requests: [u64::MAX; COUNTED] };
        assert!(most.charge(parts, 0, u64::MAX).is_some());
        assert_eq!(most.standing(parts, 0).remaining, 0);
        assert_eq!(sliding(1, 1).charge(parts, u64::MAX, 1), None);
        assert!(sliding(1, 1).wait(parts, 0, 1).is_some());
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(10_000))]

            /// Any schedule, with a clock that also goes back, next to the plain list of all requests that passed: never more
            /// than the quota in any span as long as the window, and a request is refused only if with it there would be more
            /// than the quota in the window and a part.
            #[test]
            fn a_schedule_passes_as_in_the_list(
                quota in 1_u64..20,
                overdraft in 0_u64..4,
                window in 10_u64..5_000_000_000,
                steps in prop::collection::vec((-100_i64..400, 1_u64..4, 1_u64..4), 1..80),
            ) {
                let sliding = sliding(quota, window).with_overdraft(overdraft);
                let most = quota + overdraft;
                let mut list: Vec<(u64, u64)> = Vec::new();
                let mut parts = Parts::default();
                let mut now = NOW;
                let mut latest = 0;
                for (step, count, cost) in steps {
                    // In thousandths of a window.
                    now = u64::try_from(i128::from(now) + i128::from(step) * i128::from(window) / 1_000).unwrap();
                    for _ in 0..count {
                        let then = now.max(parts.start);
                        let since = |start: u64| list.iter().filter(|(at, _)| *at >= start).map(|(_, cost)| cost).sum::<u64>();
                        match sliding.charge(parts, now, cost) {
                            Some(charged) => {
                                // Where the clock went back, it counts as at the last time that was seen.
                                parts = charged;
                                latest = latest.max(then);
                                list.push((latest, cost));
                            }
                            None => {
                                let counted = then.saturating_sub(sliding.length() + sliding.part.get());
                                prop_assert!(since(counted) + cost > most);
                                match sliding.wait(parts, now, cost) {
                                    Some(wait) => {
                                        prop_assert!(sliding.charge(parts, now + wait - 1, cost).is_none());
                                        prop_assert!(sliding.charge(parts, now + wait, cost).is_some());
                                    }
                                    None => prop_assert!(cost > most),
                                }
                            }
                        }
                        let Standing { remaining, more_in } = sliding.standing(parts, now);
                        prop_assert!(remaining == 0 || sliding.charge(parts, now, remaining + overdraft).is_some());
                        prop_assert!(sliding.charge(parts, now, remaining + overdraft + 1).is_none());
                        if let Some(more_in) = more_in {
                            prop_assert_eq!(sliding.standing(parts, now + more_in - 1).remaining, remaining);
                            prop_assert!(sliding.standing(parts, now + more_in).remaining > remaining);
                        }
                    }
                }
                for (first, (from, _)) in list.iter().enumerate() {
                    let within = list[first..].iter().filter(|(at, _)| at - from <= window).map(|(_, cost)| cost);
                    prop_assert!(within.sum::<u64>() <= most);
                }
            }

            /// What is refunded is as if it had never passed, as long as it counts.
            #[test]
            fn a_refund_is_as_if_it_had_not_passed(
                window in 10_u64..5_000_000_000,
                steps in prop::collection::vec((0_u64..400, 1_u64..4, any::<bool>()), 1..40),
            ) {
                let sliding = sliding(1_000, window);
                let (mut with, mut without) = (Parts::default(), Parts::default());
                let (mut now, mut pending) = (NOW, Vec::new());
                for (step, cost, fails) in steps {
                    now += u64::try_from(u128::from(step) * u128::from(window) / 1_000).unwrap();
                    with = sliding.charge(with, now, cost).unwrap();
                    if fails {
                        pending.push((with, cost));
                    } else {
                        without = sliding.charge(without, now, cost).unwrap();
                    }
                }
                for (charged, cost) in pending {
                    with = Sliding::refund(with, charged, cost);
                }
                prop_assert_eq!(sliding.standing(with, now), sliding.standing(without, now));
            }
        }
    }
}
