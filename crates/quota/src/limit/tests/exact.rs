//! All ways to count next to the plainest that there are, which keep all that was counted and look through it: with any costs,
//! what is known late, and overdrafts, each decides as its model does, and says as much of what is left and when there is more.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::*;

/// What was counted, when.
type Counted = [(u64, u64)];

/// What is certain of what a limit counts as used at some time: not less, and not more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    least: u128,
    most: u128,
    /// How many of these are one request.
    unit: u128,
}

impl Bounds {
    /// Whether a request passes, if that is certain. `room`: how many may be counted.
    fn passes(self, cost: u64, room: u64) -> Option<bool> {
        let fits = |used: u128| used + u128::from(cost) * self.unit <= u128::from(room) * self.unit;
        (fits(self.least) == fits(self.most)).then(|| fits(self.least))
    }

    /// Whether so much may remain of a quota.
    fn allow(self, remaining: u64, quota: u64) -> bool {
        let rest = |used: u128| (u128::from(quota) * self.unit).saturating_sub(used) / self.unit;
        (rest(self.most)..=rest(self.least)).contains(&remaining.into())
    }
}

/// What counts, in the words of the README.
fn used(kind: Kind, counted: &Counted, now: u64) -> Bounds {
    let sum = |counts: &dyn Fn(u64) -> bool| -> u128 {
        counted.iter().filter(|(at, _)| counts(*at)).map(|(_, cost)| u128::from(*cost)).sum()
    };
    let exactly = |used, unit| Bounds { least: used, most: used, unit };
    match kind {
        // What came, less what the rate has given back since: nothing while nothing was used.
        Kind::Gcra(amount, period) => {
            let level = counted.iter().fold((0_u128, 0), |(level, before), (at, cost)| {
                let leaked = u128::from(at - before) * u128::from(amount);
                (level.saturating_sub(leaked) + u128::from(*cost) * u128::from(period), *at)
            });
            let leaked = u128::from(now - level.1) * u128::from(amount);
            exactly(level.0.saturating_sub(leaked), period.into())
        }
        // What came in the same window.
        Kind::Even(length) => exactly(sum(&|at| at / length == now / length), 1),
        Kind::Calendar(period, zone) => {
            let zone = TimeZone::get(zone).unwrap();
            let today = Timestamp::from_nanosecond(now.into()).unwrap().to_zoned(zone.clone()).date();
            let first = first_day(period, today).to_zoned(zone).unwrap().timestamp().as_nanosecond();
            exactly(sum(&|at| i128::from(at) >= first), 1)
        }
        // What came in the window that ends now counts, and what came before that only for a tenth of it.
        Kind::Sliding(length) => Bounds {
            least: sum(&|at| now - at <= length),
            most: sum(&|at| now - at < 11 * length.div_ceil(10)),
            unit: 1,
        },
    }
}

/// The day on which the window began that a day is in.
fn first_day(period: Period, today: Date) -> Date {
    let number = |number: u8| i8::try_from(number).unwrap();
    let from_first = |year, month, day: u8| {
        let month = Date::new(year, month, 1).unwrap();
        Date::new(month.year(), month.month(), number(day).min(month.days_in_month())).unwrap()
    };
    let latest = |this: Date, before: Date| if this <= today { this } else { before };
    match period {
        Period::Day => today,
        Period::Week(first) => {
            let weekday = today.weekday().to_monday_zero_offset();
            today.checked_sub(i64::from((weekday - number(first)).rem_euclid(7)).days()).unwrap()
        }
        Period::Month(day) => {
            let before = today.first_of_month().yesterday().unwrap();
            let [this, before] = [today, before].map(|date| from_first(date.year(), date.month(), day));
            latest(this, before)
        }
        Period::Year(month, day) => {
            let [this, before] = [0, 1].map(|years| from_first(today.year() - years, number(month), day));
            latest(this, before)
        }
    }
}

/// What happens; the clock goes forward.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes, in thousandths of a window.
    Wait(u64),
    Charge(u64),
    Late(u64),
    /// Time passes until there is room for so much.
    Until(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..400).prop_map(Step::Wait),
        1 => (800_u64..1_300).prop_map(Step::Wait),
        8 => (0_u64..9).prop_map(Step::Charge),
        1 => (1_u64..12).prop_map(Step::Late),
        2 => (1_u64..9).prop_map(Step::Until),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_way_decides_as_its_plainest_model(
        kind in kind(),
        quota in 1_u64..20,
        overdraft in 0_u64..9,
        begun in 0_u64..1_000,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let Case { rule, most, window, .. } = case(kind, quota, overdraft);
        let mut usage = rule.unused();
        let mut counted = Vec::new();
        let mut now = NOW + window / 1_000 * begun;
        for step in steps {
            match step {
                Step::Wait(thousandths) => now += window / 1_000 * thousandths + thousandths,
                Step::Charge(cost) => {
                    let passed = rule.charge(usage, now, cost);
                    // What costs nothing passes while no more is used than there is.
                    if let Some(expected) = used(kind, &counted, now).passes(cost, most) {
                        prop_assert_eq!(passed.is_some(), expected, "{} at {} of {:?}", cost, now, counted);
                    }
                    if let Some(charged) = passed {
                        usage = charged;
                        counted.push((now, cost));
                    }
                }
                Step::Late(cost) => {
                    usage = rule.charge_late(usage, now, cost);
                    counted.push((now, cost));
                }
                // Who waits as long as is said does pass, and not a nanosecond sooner, by the model as well.
                Step::Until(cost) => match rule.wait(usage, now, cost) {
                    Wait::Nothing => prop_assert_ne!(used(kind, &counted, now).passes(cost, most), Some(false)),
                    Wait::For(wait) => {
                        let at = |time| used(kind, &counted, time).passes(cost, most);
                        prop_assert_ne!(at(now + wait - 1), Some(true));
                        prop_assert_ne!(at(now + wait), Some(false));
                        now += wait;
                    }
                    Wait::Forever => prop_assert!(cost > most),
                    Wait::ForOthers => prop_assert!(false, "nobody is in flight"),
                },
            }
            let remaining = rule.standing(usage, now).remaining;
            let bounds = used(kind, &counted, now);
            prop_assert!(bounds.allow(remaining, quota), "{} of {} remain at {}: {:?}", remaining, quota, now, counted);
        }
    }
}
