//! Concurrency: so many requests at the same time.
//!
//! A request is counted when it comes and no longer once its stream has ended. A worker that dies with requests in flight
//! never says that they ended. So requests are counted by the epoch that they came in, and only the present epoch and the
//! one before it count: what a dead worker left is gone after two epochs at most, and a request that takes longer than an
//! epoch may no longer be counted.

use std::num::NonZeroU64;

use super::{Standing, Wait};

const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in an epoch: an hour.
const EPOCH: NonZeroU64 = NonZeroU64::new(3_600 * SECOND).unwrap();

/// A number of requests at the same time.
#[derive(Clone, Debug)]
pub struct Concurrency {
    most: NonZeroU64,
    overdraft: u64,
}

/// What a consumer has in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Which epoch it is, counted from 1970.
    pub epoch: u64,
    /// Requests in flight that came in this epoch.
    pub present: u64,
    /// Requests in flight that came in the one before.
    pub past: u64,
}

impl Concurrency {
    /// `most` requests at the same time.
    pub const fn new(most: NonZeroU64) -> Self {
        Self { most, overdraft: 0 }
    }

    /// Lets so many more through.
    #[must_use]
    pub const fn with_overdraft(self, overdraft: u64) -> Self {
        Self { overdraft, ..self }
    }

    /// How many requests at the same time, without the overdraft.
    pub const fn quota(&self) -> u64 {
        self.most.get()
    }

    /// Counts a request, or several, from now on. `None`: there is no room.
    pub fn acquire(&self, usage: InFlight, now: u64, cost: u64) -> Option<InFlight> {
        let acquired = Self::acquire_late(usage, now, cost);
        (acquired.sum() <= self.room()).then_some(acquired)
    }

    /// Counts what is in flight already, whether there is room for it or not.
    pub fn acquire_late(usage: InFlight, now: u64, cost: u64) -> InFlight {
        let usage = usage.at(now);
        InFlight { present: usage.present.saturating_add(cost), ..usage }
    }

    /// No longer counts what [`Concurrency::acquire`] counted when it returned `acquired`.
    pub fn release(usage: InFlight, acquired: InFlight, cost: u64) -> InFlight {
        match usage.epoch.checked_sub(acquired.epoch) {
            Some(0) => InFlight { present: usage.present.saturating_sub(cost), ..usage },
            Some(1) => InFlight { past: usage.past.saturating_sub(cost), ..usage },
            _ => usage,
        }
    }

    /// When there is room.
    pub fn wait(&self, usage: InFlight, now: u64, cost: u64) -> Wait {
        if usage.at(now).sum().saturating_add(cost) <= self.room() {
            Wait::Nothing
        } else if cost <= self.room() {
            Wait::ForOthers
        } else {
            Wait::Forever
        }
    }

    /// How many more may come at the same time. When it will be more is not known.
    pub fn standing(&self, usage: InFlight, now: u64) -> Standing {
        Standing { remaining: self.most.get().saturating_sub(usage.at(now).sum()), more_in: None }
    }

    /// What is in flight now, as a part of the time after which it is taken for dead.
    pub fn spent(&self, usage: InFlight, now: u64) -> u64 {
        super::time_for(usage.at(now).sum(), self.most, EPOCH.get())
    }

    /// When what is in flight is taken for dead, if nobody says before that it ended.
    pub const fn runs_out(usage: InFlight) -> u64 {
        match (usage.present, usage.past) {
            (0, 0) => 0,
            _ => usage.epoch.saturating_add(2).saturating_mul(EPOCH.get()),
        }
    }

    const fn room(&self) -> u64 {
        self.most.get().saturating_add(self.overdraft)
    }
}

impl InFlight {
    /// What of it counts now. A clock that goes back stays in the epoch that it had come to.
    fn at(self, now: u64) -> Self {
        let epoch = self.epoch.max(now / EPOCH);
        match epoch.saturating_sub(self.epoch) {
            0 => self,
            1 => Self { epoch, present: 0, past: self.present },
            _ => Self { epoch, present: 0, past: 0 },
        }
    }

    const fn sum(self) -> u64 {
        self.present.saturating_add(self.past)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// 2026-11-21T00:00:00Z, when an epoch begins.
    const NOW: u64 = 1_795_219_200 * SECOND;
    const HOUR: u64 = 3_600 * SECOND;

    fn concurrency(most: u64) -> Concurrency {
        Concurrency::new(NonZeroU64::new(most).unwrap())
    }

    #[test]
    fn as_many_pass_as_have_ended() {
        let two = concurrency(2);
        let first = two.acquire(InFlight::default(), NOW, 1).unwrap();
        let both = two.acquire(first, NOW, 1).unwrap();
        assert_eq!(two.acquire(both, NOW, 1), None);
        assert_eq!((two.wait(first, NOW, 1), two.wait(both, NOW, 1)), (Wait::Nothing, Wait::ForOthers));
        assert_eq!(two.wait(both, NOW, 3), Wait::Forever);
        assert_eq!(two.standing(both, NOW), Standing { remaining: 0, more_in: None });
        let one = Concurrency::release(both, first, 1);
        assert_eq!(two.standing(one, NOW).remaining, 1);
        assert!(two.acquire(one, NOW, 1).is_some());
    }

    #[test]
    fn a_request_is_counted_in_the_epoch_after_its_own() {
        let one = concurrency(1);
        let held = one.acquire(InFlight::default(), NOW + HOUR - 1, 1).unwrap();
        assert_eq!(one.acquire(held, NOW + HOUR, 1), None);
        assert_eq!(one.acquire(held, NOW + 2 * HOUR - 1, 1), None);
        let ended = Concurrency::release(Concurrency::acquire_late(held, NOW + HOUR, 0), held, 1);
        assert!(one.acquire(ended, NOW + HOUR, 1).is_some());
    }

    #[test]
    fn what_a_dead_worker_left_goes_away() {
        let one = concurrency(1);
        let left = one.acquire(InFlight::default(), NOW, 1).unwrap();
        let next = one.acquire(left, NOW + 2 * HOUR, 1).unwrap();
        // If it was only slow, its end ends nothing of others.
        assert_eq!(Concurrency::release(next, left, 1), next);
        assert_eq!(one.acquire(next, NOW + 2 * HOUR, 1), None);
    }

    #[test]
    fn a_clock_that_goes_back_grants_nothing() {
        let one = concurrency(1);
        let held = one.acquire(InFlight::default(), NOW, 1).unwrap();
        for back in [1, HOUR, 10 * HOUR] {
            assert_eq!(one.acquire(held, NOW - back, 1), None);
        }
        assert_eq!(Concurrency::release(held, held, 1).sum(), 0);
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(10_000))]

            /// Any schedule within an epoch and the next, with a clock that also goes back: what passes is what the plain list
            /// of requests in flight has room for.
            #[test]
            fn a_schedule_passes_as_in_the_list(
                most in 1_u64..8,
                steps in prop::collection::vec((-30_i64..60, any::<bool>(), any::<prop::sample::Index>()), 1..80),
            ) {
                let concurrency = concurrency(most);
                let (mut now, mut usage) = (NOW, InFlight::default());
                let mut in_flight: Vec<InFlight> = Vec::new();
                for (step, ends, which) in steps {
                    now = u64::try_from(i128::from(now) + i128::from(step) * i128::from(SECOND)).unwrap();
                    now = now.min(NOW + 2 * HOUR - 1);
                    if ends && !in_flight.is_empty() {
                        let ended = in_flight.swap_remove(which.index(in_flight.len()));
                        usage = Concurrency::release(usage, ended, 1);
                    } else {
                        let acquired = concurrency.acquire(usage, now, 1);
                        prop_assert_eq!(acquired.is_some(), (in_flight.len() as u64) < most);
                        if let Some(acquired) = acquired {
                            usage = acquired;
                            in_flight.push(acquired);
                        }
                    }
                    prop_assert_eq!(concurrency.standing(usage, now).remaining, most - in_flight.len() as u64);
                }
            }
        }
    }
}
