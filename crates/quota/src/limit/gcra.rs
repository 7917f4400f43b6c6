//! The generic cell rate algorithm: a steady rate, and how many requests may come at once.
//!
//! This is the algorithm in its leaky bucket form (ITU-T I.371 annex A, which shows that it admits exactly what the form
//! with theoretical arrival times does): each request pours one unit into a bucket that leaks at the rate, and passes if
//! the bucket does not run over. The level counts requests, not time, so a plan with another rate keeps what was used.
//!
//! Nothing is rounded. Inside, one request is as many units as the period has nanoseconds, and each nanosecond leaks as
//! many units as the rate's amount: 7 requests a second pour 1,000,000,000 each and leak 7 a nanosecond.

use std::num::{NonZeroU64, NonZeroU128};

use super::Standing;

/// A rate and a burst.
#[derive(Clone, Debug)]
pub struct Gcra {
    /// How many requests may come at once.
    burst: NonZeroU64,
    /// How many requests a period lets through.
    amount: NonZeroU64,
    /// Nanoseconds.
    period: NonZeroU64,
    /// How many more than the burst may come at once.
    overdraft: u64,
}

/// What a consumer has used of a [`Gcra`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When the level was this. Nanoseconds since the epoch.
    pub at: u64,
    /// Requests in the bucket.
    pub requests: u64,
    /// A part of one more request, in units of which the period has as many as nanoseconds.
    pub rest: u64,
    /// Requests beside these that were counted after they had passed, and for which there was no room. Kept apart, so that
    /// a smaller burst forgives what was poured in under a larger one, but never these.
    pub owed: u64,
    /// Requests that have been taken back or forgiven so far, each rounded up; it starts anew after the largest number.
    pub refunded: u64,
}

impl Gcra {
    /// `amount` requests in `period` nanoseconds, up to `burst` of them at once.
    pub const fn new(amount: NonZeroU64, period: NonZeroU64, burst: NonZeroU64) -> Self {
        Self { burst, amount, period, overdraft: 0 }
    }

    /// Lets so many more come at once.
    #[must_use]
    pub const fn with_overdraft(self, overdraft: u64) -> Self {
        Self { overdraft, ..self }
    }

    /// How many requests may come at once, without the overdraft.
    pub const fn burst(&self) -> u64 {
        self.burst.get()
    }

    /// Nanoseconds until a bucket with a burst in it is empty, rounded up.
    pub fn refill(&self) -> u64 {
        self.time_to_leak(self.requests(self.burst.get()))
    }

    /// Counts a request that costs so much. `None`: there is no room for it.
    pub fn charge(&self, bucket: Bucket, now: u64, cost: u64) -> Option<Bucket> {
        let level = self.level(bucket, now).saturating_add(self.requests(cost));
        (level <= self.capacity()).then(|| self.bucket(level, self.current(bucket, now)))
    }

    /// Counts what has happened already, whether there is room for it or not.
    pub fn charge_late(&self, bucket: Bucket, now: u64, cost: u64) -> Bucket {
        let level = self.level(bucket, now).saturating_add(self.requests(cost));
        self.bucket(level, self.current(bucket, now))
    }

    /// Counts a request that is refused, but so that no more is owed than a burst, unless it was before.
    pub fn charge_refused(&self, bucket: Bucket, now: u64, cost: u64) -> Bucket {
        let level = self.level(bucket, now);
        let most = self.capacity().saturating_add(self.requests(self.burst.get()));
        let charged = level.saturating_add(self.requests(cost)).min(most);
        self.bucket(charged.max(level), self.current(bucket, now))
    }

    /// Takes back what [`Gcra::charge`] counted when it returned `charged`: all that surely has not leaked since. Without
    /// that request the bucket would have run empty so much sooner, and then leaked nothing. What else was in it at that time
    /// kept it from running empty, but for what was taken back of that. The rate must be that of all the time since.
    pub fn refund(&self, bucket: Bucket, charged: Bucket, cost: u64, now: u64) -> Bucket {
        let current = self.current(bucket, now);
        let cost = self.requests(cost);
        let others = self.level(charged, charged.at).saturating_sub(cost);
        let refunded = self.requests(current.refunded.wrapping_sub(charged.refunded));
        let leak = self.leak(current.at.saturating_sub(charged.at));
        let idle = leak.saturating_add(refunded).saturating_sub(others);
        let back = cost.saturating_sub(idle);
        let refunded = current.refunded.wrapping_add(self.whole(back));
        self.bucket(self.level(bucket, now).saturating_sub(back), Bucket { refunded, ..current })
    }

    /// Nanoseconds until a request that costs so much passes. `None`: it never does.
    pub fn wait(&self, bucket: Bucket, now: u64, cost: u64) -> Option<u64> {
        let cost = self.requests(cost);
        let over = self.level(bucket, now).saturating_add(cost).saturating_sub(self.capacity());
        let wait = if over == 0 { 0 } else { self.until(bucket, now, over) };
        (cost <= self.capacity()).then_some(wait)
    }

    /// How much is left, and when it will be more.
    pub fn standing(&self, bucket: Bucket, now: u64) -> Standing {
        let level = self.level(bucket, now);
        let taken = self.whole(level);
        // One less than now, and few enough that one is left.
        let fewer = taken.saturating_sub(1).min(self.burst.get().saturating_sub(1));
        let over = level.saturating_sub(self.requests(fewer));
        Standing {
            remaining: self.burst.get().saturating_sub(taken),
            more_in: (level > 0).then(|| self.until(bucket, now, over)),
        }
    }

    /// How fast it leaks, in words.
    pub fn way(&self) -> String {
        format!("{}/{}", self.amount, self.period)
    }

    /// Nanoseconds in which what is in the bucket leaks.
    pub fn spent(&self, bucket: Bucket, now: u64) -> u64 {
        self.time_to_leak(self.level(bucket, now))
    }

    /// When the bucket is empty.
    pub fn runs_out(&self, bucket: Bucket) -> u64 {
        bucket.at.saturating_add(self.time_to_leak(self.level(bucket, bucket.at)))
    }

    /// Nanoseconds until so many units have leaked. A clock that went back must first come to where the bucket was filled.
    fn until(&self, bucket: Bucket, now: u64, units: u128) -> u64 {
        self.time_to_leak(units).saturating_add(bucket.at.saturating_sub(now))
    }

    /// What is in the bucket now. Time before the last request leaks nothing, so a clock that goes back grants nothing.
    fn level(&self, bucket: Bucket, now: u64) -> u128 {
        // What was poured in under a larger burst does not lie in wait above this one.
        let then = self.poured(bucket).min(self.capacity()).saturating_add(self.requests(bucket.owed));
        then.saturating_sub(self.leak(now.saturating_sub(bucket.at)))
    }

    /// What is in the bucket, without what is owed.
    fn poured(&self, bucket: Bucket) -> u128 {
        self.requests(bucket.requests).saturating_add(u128::from(bucket.rest.min(self.period.get())))
    }

    /// At the present time. What a smaller burst forgives is as if it were taken back.
    fn current(&self, bucket: Bucket, now: u64) -> Bucket {
        let forgiven = self.whole(self.poured(bucket).saturating_sub(self.capacity()));
        Bucket { at: bucket.at.max(now), refunded: bucket.refunded.wrapping_add(forgiven), ..bucket }
    }

    /// With another level.
    fn bucket(&self, level: u128, bucket: Bucket) -> Bucket {
        let owed = self.whole(level.saturating_sub(self.capacity()));
        let (requests, rest) = divide(level.saturating_sub(self.requests(owed)), self.period);
        Bucket { requests, rest, owed, ..bucket }
    }

    /// So many units in requests, rounded up.
    fn whole(&self, units: u128) -> u64 {
        if units == 0 {
            return 0;
        }
        let (requests, rest) = divide(units, self.period);
        requests.saturating_add(u64::from(rest > 0))
    }

    /// So many requests, in units.
    fn requests(&self, count: u64) -> u128 {
        u128::from(count).saturating_mul(self.period.get().into())
    }

    /// A full bucket, in units.
    fn capacity(&self) -> u128 {
        self.requests(self.burst.get().saturating_add(self.overdraft))
    }

    /// Units that leak in so many nanoseconds.
    fn leak(&self, nanoseconds: u64) -> u128 {
        u128::from(nanoseconds).saturating_mul(self.amount.get().into())
    }

    /// Nanoseconds in which so many units leak, rounded up.
    fn time_to_leak(&self, units: u128) -> u64 {
        let (time, rest) = divide(units, self.amount);
        time.saturating_add(u64::from(rest != 0))
    }
}

/// Quotient and remainder. Nearly all units of nearly all limits fit 64 bits, where dividing is one instruction; wasm divides
/// 128 bits in software.
fn divide(units: u128, by: NonZeroU64) -> (u64, u64) {
    if let Ok(units) = u64::try_from(units) {
        return (units / by, units % by);
    }
    let by = NonZeroU128::from(by);
    (u64::try_from(units / by).unwrap_or(u64::MAX), u64::try_from(units % by).unwrap_or(u64::MAX))
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

    fn gcra(amount: u64, period: u64, burst: u64) -> Gcra {
        let [amount, period, burst] = [amount, period, burst].map(|number| NonZeroU64::new(number).unwrap());
        Gcra::new(amount, period, burst)
    }

    /// Requests that pass when `count` come at once.
    fn pass(gcra: &Gcra, bucket: &mut Bucket, now: u64, count: u64) -> u64 {
        (0..count)
            .map(|_| gcra.charge(*bucket, now, 1).map(|charged| *bucket = charged).iter().count() as u64)
            .sum()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let gcra = gcra(5, SECOND, 10);
        let mut bucket = Bucket::default();
        assert_eq!(pass(&gcra, &mut bucket, NOW, 20), 10);
        assert_eq!(pass(&gcra, &mut bucket, NOW + SECOND / 5 - 1, 1), 0);
        assert_eq!(pass(&gcra, &mut bucket, NOW + SECOND / 5, 2), 1);
        assert_eq!(pass(&gcra, &mut bucket, NOW + SECOND, 20), 4);
        assert_eq!(pass(&gcra, &mut bucket, NOW + 100 * SECOND, 20), 10);
    }

    #[test]
    fn a_rate_that_does_not_divide_its_period_does_not_drift() {
        let gcra = gcra(7, SECOND, 1);
        let mut bucket = Bucket::default();
        let mut passed = 0;
        let mut now = NOW;
        while now < NOW + 1_000 * SECOND {
            if pass(&gcra, &mut bucket, now, 1) == 1 {
                passed += 1;
                assert_eq!(gcra.standing(bucket, now).remaining, 0);
            }
            // Never longer than was said, and as short as that.
            let wait = gcra.standing(bucket, now).more_in.unwrap();
            assert_eq!(pass(&gcra, &mut bucket.clone(), now + wait - 1, 1), 0);
            assert_eq!(pass(&gcra, &mut bucket.clone(), now + wait, 1), 1);
            now += wait;
        }
        // Waiting for whole nanoseconds costs a part of one each time: a millionth of a request in all.
        assert_eq!(passed, 7_000);
    }

    #[test]
    fn what_is_left_and_when_more_comes() {
        let gcra = gcra(5, SECOND, 10);
        let mut bucket = Bucket::default();
        assert_eq!(gcra.standing(bucket, NOW), Standing { remaining: 10, more_in: None });
        pass(&gcra, &mut bucket, NOW, 1);
        assert_eq!(gcra.standing(bucket, NOW), Standing { remaining: 9, more_in: Some(200_000_000) });
        assert_eq!(gcra.standing(bucket, NOW + 1), Standing { remaining: 9, more_in: Some(199_999_999) });
        pass(&gcra, &mut bucket, NOW + 50_000_000, 9);
        let full = Standing { remaining: 0, more_in: Some(150_000_000) };
        assert_eq!(gcra.standing(bucket, NOW + 50_000_000), full);
        assert_eq!((gcra.burst(), gcra.refill()), (10, 2 * SECOND));
    }

    #[test]
    fn a_clock_that_goes_back_grants_nothing() {
        let gcra = gcra(5, SECOND, 10);
        let mut bucket = Bucket::default();
        assert_eq!(pass(&gcra, &mut bucket, NOW, 10), 10);
        for _ in 0..10 {
            assert_eq!(pass(&gcra, &mut bucket, NOW - 3_600 * SECOND, 10), 0);
        }
        assert_eq!(gcra.standing(bucket, NOW - SECOND).more_in, Some(SECOND + SECOND / 5));
        assert_eq!(pass(&gcra, &mut bucket, NOW + SECOND, 10), 5);
    }

    #[test]
    fn another_plan_keeps_what_was_used() {
        let month = 30 * 86_400 * SECOND;
        let mut bucket = Bucket::default();
        pass(&gcra(1_000, month, 1_000), &mut bucket, NOW, 1_000);
        assert_eq!(gcra(10_000, month, 10_000).standing(bucket, NOW).remaining, 9_000);
        // Down again, the bucket is full, not over: a request passes as soon as one has leaked.
        pass(&gcra(10_000, month, 10_000), &mut bucket, NOW, 9_000);
        let less = gcra(10, SECOND, 10);
        assert_eq!(less.standing(bucket, NOW), Standing { remaining: 0, more_in: Some(SECOND / 10) });
        assert_eq!(pass(&less, &mut bucket, NOW + SECOND / 10, 1), 1);
    }

    #[test]
    fn refused_requests_owe_at_most_a_burst() {
        let gcra = gcra(5, SECOND, 10);
        let mut bucket = Bucket::default();
        assert_eq!(pass(&gcra, &mut bucket, NOW, 10), 10);
        for _ in 0..1_000_000 {
            bucket = gcra.charge_refused(bucket, NOW, 1);
        }
        // A burst of two seconds is in it, and another one is owed.
        assert_eq!(gcra.wait(bucket, NOW, 1), Some(2 * SECOND + SECOND / 5));
        assert_eq!(gcra.spent(bucket, NOW), 4 * SECOND);
        assert_eq!(pass(&gcra, &mut bucket, NOW + 2 * SECOND, 1), 0);
        // Who goes on asking stays refused.
        bucket = gcra.charge_refused(bucket, NOW + 2 * SECOND, 1);
        assert_eq!(gcra.wait(bucket, NOW + 2 * SECOND, 1), Some(2 * SECOND / 5));
        assert_eq!(gcra.charge_refused(bucket, NOW, u64::MAX).owed, 10);
        // What is owed for what has passed is not forgiven.
        let late = gcra.charge_late(Bucket::default(), NOW, 100);
        assert_eq!(gcra.charge_refused(late, NOW, 1), late);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let most = gcra(u64::MAX, u64::MAX, u64::MAX);
        let mut bucket = Bucket { at: 0, requests: u64::MAX, rest: u64::MAX, ..Bucket::default() };
        assert_eq!(pass(&most, &mut bucket, 0, 1), 0);
        assert_eq!(most.standing(bucket, 0), Standing { remaining: 0, more_in: Some(1) });
        assert_eq!(pass(&most, &mut bucket, u64::MAX, 1), 1);
        assert_eq!(gcra(1, u64::MAX, u64::MAX).refill(), u64::MAX);
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        /// A number of tokens as an exact fraction over `period`, taken and refilled step by step: the textbook's token
        /// bucket.
        struct TokenBucket {
            tokens: u128,
            last: u64,
        }

        impl TokenBucket {
            fn take(&mut self, amount: u64, period: u64, burst: u64, now: u64) -> bool {
                let (one, full) = (u128::from(period), u128::from(burst) * u128::from(period));
                if now > self.last {
                    self.tokens = full.min(self.tokens + u128::from(now - self.last) * u128::from(amount));
                    self.last = now;
                }
                let there = self.tokens >= one;
                if there {
                    self.tokens -= one;
                }
                there
            }
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(10_000))]

            /// Any schedule, with a clock that also goes back: what passes is what the model lets pass, and what is said
            /// of the wait is true to the nanosecond.
            #[test]
            fn a_schedule_passes_as_in_the_model(
                amount in 1_u64..20,
                period in 1_u64..5_000_000_000,
                burst in 1_u64..20,
                steps in prop::collection::vec((-500_i64..2_000, 1_u64..4), 1..60),
            ) {
                let gcra = gcra(amount, period, burst);
                let mut model = TokenBucket { tokens: u128::from(burst) * u128::from(period), last: 0 };
                let mut bucket = Bucket::default();
                let mut now = NOW;
                let mut passes = Vec::new();
                for (step, count) in steps {
                    // In thousandths of the time for one request.
                    let step = i128::from(step) * i128::from(period) / i128::from(amount) / 1_000;
                    now = u64::try_from(i128::from(now) + step).unwrap();
                    for _ in 0..count {
                        let charged = gcra.charge(bucket, now, 1);
                        prop_assert_eq!(charged.is_some(), model.take(amount, period, burst, now));
                        match charged {
                            Some(charged) => {
                                bucket = charged;
                                passes.push(bucket.at);
                            }
                            None => {
                                let wait = gcra.standing(bucket, now).more_in.unwrap();
                                prop_assert!(gcra.charge(bucket, now + wait - 1, 1).is_none());
                                prop_assert!(gcra.charge(bucket, now + wait, 1).is_some());
                            }
                        }
                        let left = u128::from(gcra.standing(bucket, now).remaining);
                        prop_assert_eq!(left, model.tokens / u128::from(period));
                    }
                }
                // Between any two of them: never more than the burst and what the rate gives in that time.
                for (first, from) in passes.iter().enumerate() {
                    for (last, to) in passes.iter().enumerate().skip(first) {
                        let given = u128::from(to - from) * u128::from(amount) / u128::from(period);
                        prop_assert!((last - first + 1) as u128 <= u128::from(burst) + given);
                    }
                }
            }
        }
    }
}
