//! All ways to count next to the plainest model there is: the list of all requests that passed.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::num::NonZeroU64;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const SECOND: u64 = 1_000_000_000;
/// 2026-11-21T00:00:00Z
const NOW: u64 = 1_795_219_200 * SECOND;

mod exact;

/// A way to count, with what it promises about the numbers.
#[derive(Clone, Debug)]
struct Case {
    rule: Rule,
    quota: u64,
    /// With the overdraft.
    most: u64,
    /// In which it promises that, in nanoseconds.
    window: u64,
}

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes, in thousandths of a window; or the clock goes back.
    Wait(i64),
    /// A request of this cost comes.
    Charge(u64),
    /// So much turns out to have been used.
    Late(u64),
    /// One that passed is taken back.
    Refund(Index),
    /// The limit gets another quota, and another overdraft.
    Change(u64, u64),
}

/// A request that is counted.
#[derive(Clone, Copy, Debug)]
struct Passed {
    at: u64,
    cost: u64,
    charged: Usage,
    is_late: bool,
}

/// Which way, and the length of its window.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// With its rate, which stays: what has leaked at another rate a refund can't know.
    Gcra(u64, u64),
    Even(u64),
    Calendar(Period, &'static str),
    Sliding(u64),
}

fn case(kind: Kind, quota: u64, overdraft: u64) -> Case {
    let number = |number| NonZeroU64::new(number).unwrap();
    let (rule, window) = match kind {
        Kind::Gcra(amount, period) => {
            let gcra = Gcra::new(number(amount), number(period), number(quota));
            (Rule::Gcra(gcra.with_overdraft(overdraft)), period)
        }
        Kind::Even(length) => {
            let window = Window::new(number(quota), Span::Even(number(length)));
            (Rule::Window(window.with_overdraft(overdraft)), length)
        }
        Kind::Calendar(period, zone) => {
            let span = Span::Calendar(Calendar { period, zone: Zone::find(zone).unwrap() });
            let window = Window::new(number(quota), span).with_overdraft(overdraft);
            let length = window.length();
            (Rule::Window(window), length)
        }
        Kind::Sliding(length) => {
            (Rule::Sliding(Sliding::new(number(quota), number(length)).with_overdraft(overdraft)), length)
        }
    };
    Case { rule, quota, most: quota + overdraft, window }
}

fn kind() -> impl Strategy<Value = Kind> {
    let calendars = [
        (Period::Day, "Europe/Berlin"),
        (Period::Day, "Africa/Cairo"),
        (Period::Week(6), "America/New_York"),
        (Period::Month(31), "Asia/Kolkata"),
        (Period::Year(2, 29), "UTC"),
    ];
    prop_oneof![
        (1_u64..20, 10_u64..5_000_000_000).prop_map(|(amount, period)| Kind::Gcra(amount, period)),
        (10_u64..5_000_000_000).prop_map(Kind::Even),
        prop::sample::select(calendars.to_vec()).prop_map(|(period, zone)| Kind::Calendar(period, zone)),
        (10_u64..5_000_000_000).prop_map(Kind::Sliding),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (-100_i64..400).prop_map(Step::Wait),
        8 => (0_u64..5).prop_map(Step::Charge),
        1 => (1_u64..8).prop_map(Step::Late),
        2 => any::<Index>().prop_map(Step::Refund),
        1 => (1_u64..20, 0_u64..4).prop_map(|(quota, overdraft)| Step::Change(quota, overdraft)),
    ]
}

impl Case {
    /// Whether the requests that are in the list keep what the limit promises, at the moment when one has passed.
    fn is_kept(&self, kind: Kind, list: &[Passed], since: usize) -> bool {
        let Some(last) = list.last() else { return true };
        let sum = |list: &mut dyn Iterator<Item = &Passed>| list.map(|passed| passed.cost).sum::<u64>();
        match (&self.rule, kind) {
            // From any of them on: the burst, and what the rate gives in the time. A smaller burst forgives what was before.
            (Rule::Gcra(_), Kind::Gcra(amount, period)) => (since..list.len()).all(|first| {
                let used = sum(&mut list[first..].iter());
                let time = u128::from(last.at - list[first].at);
                u128::from(used) * u128::from(period)
                    <= u128::from(self.most) * u128::from(period) + time * u128::from(amount)
            }),
            // In the window of the last one.
            (Rule::Window(_), _) => {
                let Usage::Window(Used { start, .. }) = last.charged else { return false };
                sum(&mut list.iter().filter(|passed| passed.at >= start)) <= self.most
            }
            // In the span that ends with the last one.
            (Rule::Sliding(_), _) => {
                sum(&mut list.iter().filter(|passed| last.at - passed.at <= self.window)) <= self.most
            }
            _ => false,
        }
    }

    /// The latest time that a usage knows of: a clock that went back stays there.
    fn time_of(usage: Usage) -> u64 {
        match usage {
            Usage::Bucket(bucket) => bucket.at,
            Usage::Window(used) => used.start,
            Usage::Parts(parts) => parts.start,
            Usage::InFlight(in_flight) => in_flight.epoch,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Any schedule, with a clock that also goes back, with costs, what is known late, refunds and other numbers: a request
    /// never passes if the limit has no room for it by the list; who waits as long as they were told to does pass, and not
    /// a nanosecond sooner; what remains does pass; and once all has run out, all is there.
    #[test]
    fn no_schedule_gets_more_than_the_limit(
        kind in kind(),
        quota in 1_u64..20,
        overdraft in 0_u64..4,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut case = case(kind, quota, overdraft);
        let mut usage = case.rule.unused();
        let (mut list, mut since) = (Vec::<Passed>::new(), 0);
        let (mut now, mut latest) = (NOW, 0);
        for step in steps {
            match step {
                Step::Wait(thousandths) => {
                    let step = i128::from(thousandths) * i128::from(case.window) / 1_000;
                    now = u64::try_from(i128::from(now) + step).unwrap();
                }
                Step::Charge(cost) => match case.rule.charge(usage, now, cost) {
                    Some(charged) => {
                        latest = latest.max(now).max(Case::time_of(charged));
                        usage = charged;
                        list.push(Passed { at: latest, cost, charged, is_late: false });
                        prop_assert!(case.is_kept(kind, &list, since), "{:?}", list);
                        prop_assert_eq!(case.rule.wait(charged, now, 0), Wait::Nothing);
                    }
                    None => match case.rule.wait(usage, now, cost) {
                        Wait::For(wait) => {
                            prop_assert!(case.rule.charge(usage, now + wait - 1, cost).is_none());
                            prop_assert!(case.rule.charge(usage, now + wait, cost).is_some());
                        }
                        Wait::Forever => prop_assert!(cost > case.most),
                        wait => prop_assert!(false, "{:?}", wait),
                    },
                },
                Step::Late(cost) => {
                    let charged = case.rule.charge_late(usage, now, cost);
                    latest = latest.max(now).max(Case::time_of(charged));
                    let before = case.rule.standing(usage, now).remaining;
                    usage = charged;
                    list.push(Passed { at: latest, cost, charged, is_late: true });
                    let after = case.rule.standing(usage, now).remaining;
                    prop_assert_eq!(after, before.saturating_sub(cost));
                }
                Step::Refund(which) => {
                    let open: Vec<_> = (0..list.len()).filter(|index| !list[*index].is_late).collect();
                    if !open.is_empty() {
                        let index = open[which.index(open.len())];
                        let passed = list.remove(index);
                        since -= usize::from(index < since);
                        let before = case.rule.standing(usage, now).remaining;
                        usage = case.rule.refund(usage, passed.charged, passed.cost, now);
                        let after = case.rule.standing(usage, now).remaining;
                        prop_assert!((before..=before + passed.cost).contains(&after));
                    }
                }
                Step::Change(quota, overdraft) => {
                    case = self::case(kind, quota, overdraft);
                    since = list.len();
                }
            }
            let standing = case.rule.standing(usage, now);
            prop_assert!(standing.remaining <= case.quota);
            prop_assert!(standing.remaining == 0 || case.rule.charge(usage, now, standing.remaining).is_some());
            if let Some(more_in) = standing.more_in.filter(|_| standing.remaining < case.quota) {
                prop_assert_eq!(case.rule.standing(usage, now + more_in - 1).remaining, standing.remaining);
                prop_assert!(case.rule.standing(usage, now + more_in).remaining > standing.remaining);
            }
            let end = case.rule.runs_out(usage);
            prop_assert_eq!(case.rule.standing(usage, end).remaining, case.quota);
        }
    }
}

/// The smallest, and what a slot of the table and a stack have room for.
#[test]
fn usages_are_small() {
    assert_eq!(size_of::<Bucket>(), 40);
    assert_eq!(size_of::<Used>(), 16);
    assert_eq!(size_of::<Parts>(), 104);
    assert_eq!(size_of::<InFlight>(), 24);
}

/// Who has used up a quota has spent the time in which it comes, and who has used half of it, half; until that has run out.
#[test]
fn what_is_used_is_so_much_time() {
    for (kind, time) in [
        (Kind::Gcra(2, SECOND), 4 * SECOND),
        (Kind::Even(90 * SECOND), 90 * SECOND),
        (Kind::Calendar(Period::Month(1), "UTC"), 30 * 86_400 * SECOND),
        (Kind::Sliding(100 * SECOND), 100 * SECOND),
    ] {
        let rule = case(kind, 8, 4).rule;
        let half = rule.charge(rule.unused(), NOW, 4).unwrap();
        let all = rule.charge(half, NOW, 4).unwrap();
        assert_eq!([rule.unused(), half, all].map(|usage| rule.spent(usage, NOW)), [0, time / 2, time]);
        assert_eq!(rule.spent(all, rule.runs_out(all)), 0, "{kind:?}");
    }
    let rule = Rule::Concurrency(Concurrency::new(NonZeroU64::new(4).unwrap()));
    let one = rule.charge(rule.unused(), NOW, 1).unwrap();
    assert_eq!(rule.spent(one, NOW), 900 * SECOND);
    assert_eq!(rule.spent(rule.refund(one, one, 1, NOW), NOW), 0);
    let most = case(Kind::Even(u64::MAX), 1, 0).rule;
    assert_eq!(most.spent(most.charge_late(most.unused(), NOW, u64::MAX), NOW), u64::MAX);
}
