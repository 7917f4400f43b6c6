//! The limits of a plan: how each one counts.

mod calendar;
mod concurrency;
mod gcra;
mod sliding;
mod window;
mod zone;

#[cfg(test)]
mod tests;

use std::num::{NonZeroU64, NonZeroU128};

pub use self::calendar::{Calendar, Period, date_of, day_of};
pub use self::concurrency::{Concurrency, InFlight};
pub use self::gcra::{Bucket, Gcra};
pub use self::sliding::{Parts, Sliding};
pub use self::window::{Span, Used, Window};
pub use self::zone::Zone;
use crate::slot::Weight;

/// How a limit counts.
#[derive(Clone, Debug)]
pub enum Rule {
    /// A rate and a burst.
    Gcra(Gcra),
    /// A quota in each window.
    Window(Window),
    /// A quota in any span as long as a window.
    Sliding(Sliding),
    /// Requests at the same time.
    Concurrency(Concurrency),
}

/// What a consumer has used of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Of a [`Gcra`].
    Bucket(Bucket),
    /// Of a [`Window`].
    Window(Used),
    /// Of a [`Sliding`].
    Parts(Parts),
    /// Of a [`Concurrency`].
    InFlight(InFlight),
}

/// Where a consumer stands with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests that would pass now. An overdraft is not among them.
    pub remaining: u64,
    /// Nanoseconds until it is more. `None`: nothing has been used, so it will not be more, or nobody knows when.
    pub more_in: Option<u64>,
}

/// When there is room for a request. In order: of several limits the latest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// Now.
    Nothing,
    /// Once others that are in flight have ended, which nobody can foresee.
    ForOthers,
    /// In so many nanoseconds, if nothing else is counted.
    For(u64),
    /// Never, because the request costs more than the limit ever has room for.
    Forever,
}

impl From<Option<u64>> for Wait {
    fn from(nanoseconds: Option<u64>) -> Self {
        match nanoseconds {
            Some(0) => Self::Nothing,
            Some(nanoseconds) => Self::For(nanoseconds),
            None => Self::Forever,
        }
    }
}

impl Rule {
    /// Nothing used.
    pub fn unused(&self) -> Usage {
        match self {
            Self::Gcra(_) => Usage::Bucket(Bucket::default()),
            Self::Window(_) => Usage::Window(Used::default()),
            Self::Sliding(_) => Usage::Parts(Parts::default()),
            Self::Concurrency(_) => Usage::InFlight(InFlight::default()),
        }
    }

    /// Counts a request that costs so much. `None`: there is no room for it. One that costs nothing passes unless more is
    /// used than there is.
    pub fn charge(&self, usage: Usage, now: u64, cost: u64) -> Option<Usage> {
        match self {
            Self::Gcra(gcra) => gcra.charge(bucket(usage), now, cost).map(Usage::Bucket),
            Self::Window(window) => window.charge(used(usage), now, cost).map(Usage::Window),
            Self::Sliding(sliding) => sliding.charge(parts(usage), now, cost).map(Usage::Parts),
            Self::Concurrency(most) => most.acquire(in_flight(usage), now, cost).map(Usage::InFlight),
        }
    }

    /// Counts what has happened already, such as the bytes of a response: it may be more than there is room for.
    pub fn charge_late(&self, usage: Usage, now: u64, cost: u64) -> Usage {
        match self {
            Self::Gcra(gcra) => Usage::Bucket(gcra.charge_late(bucket(usage), now, cost)),
            Self::Window(window) => Usage::Window(window.charge_late(used(usage), now, cost)),
            Self::Sliding(sliding) => Usage::Parts(sliding.charge_late(parts(usage), now, cost)),
            Self::Concurrency(_) => Usage::InFlight(Concurrency::acquire_late(in_flight(usage), now, cost)),
        }
    }

    /// Counts a request that is refused: whoever goes on asking stays refused, but not for ever after. A rate owes no more for
    /// that than a burst; the others begin anew with their windows.
    pub fn charge_refused(&self, usage: Usage, now: u64, cost: u64) -> Usage {
        match self {
            Self::Gcra(gcra) => Usage::Bucket(gcra.charge_refused(bucket(usage), now, cost)),
            Self::Window(_) | Self::Sliding(_) | Self::Concurrency(_) => self.charge_late(usage, now, cost),
        }
    }

    /// Takes back all or a part of what [`Rule::charge`] counted when it returned `charged`. What has come back by itself
    /// since then, because its window has ended or the bucket has leaked, does not come back twice.
    pub fn refund(&self, usage: Usage, charged: Usage, cost: u64, now: u64) -> Usage {
        match self {
            Self::Gcra(gcra) => Usage::Bucket(gcra.refund(bucket(usage), bucket(charged), cost, now)),
            Self::Window(_) => Usage::Window(Window::refund(used(usage), used(charged), cost)),
            Self::Sliding(_) => Usage::Parts(Sliding::refund(parts(usage), parts(charged), cost)),
            Self::Concurrency(_) => {
                Usage::InFlight(Concurrency::release(in_flight(usage), in_flight(charged), cost))
            }
        }
    }

    /// Whether a request counts only while its stream lasts: what was charged is to be refunded at its end, however that
    /// came.
    pub const fn counts_streams(&self) -> bool {
        matches!(self, Self::Concurrency(_))
    }

    /// When a request that costs so much passes.
    pub fn wait(&self, usage: Usage, now: u64, cost: u64) -> Wait {
        match self {
            Self::Gcra(gcra) => gcra.wait(bucket(usage), now, cost).into(),
            Self::Window(window) => window.wait(used(usage), now, cost).into(),
            Self::Sliding(sliding) => sliding.wait(parts(usage), now, cost).into(),
            Self::Concurrency(most) => most.wait(in_flight(usage), now, cost),
        }
    }

    /// How much is left, and when it will be more.
    pub fn standing(&self, usage: Usage, now: u64) -> Standing {
        match self {
            Self::Gcra(gcra) => gcra.standing(bucket(usage), now),
            Self::Window(window) => window.standing(used(usage), now),
            Self::Sliding(sliding) => sliding.standing(parts(usage), now),
            Self::Concurrency(most) => most.standing(in_flight(usage), now),
        }
    }

    /// When nothing of a usage counts any more: from then on it is as good as none. Nanoseconds since the epoch.
    pub fn runs_out(&self, usage: Usage) -> u64 {
        match self {
            Self::Gcra(gcra) => gcra.runs_out(bucket(usage)),
            Self::Window(window) => window.runs_out(used(usage)),
            Self::Sliding(sliding) => sliding.runs_out(parts(usage)),
            Self::Concurrency(_) => Concurrency::runs_out(in_flight(usage)),
        }
    }

    /// What is used now, as the time in which the limit gives so much: of a day's quota that is used up, a day. Of two
    /// usages of one limit it is larger for the one that used more, and of usages of several limits for the one that is more
    /// of a loss. Nanoseconds.
    pub fn spent(&self, usage: Usage, now: u64) -> u64 {
        match self {
            Self::Gcra(gcra) => gcra.spent(bucket(usage), now),
            Self::Window(window) => window.spent(used(usage), now),
            Self::Sliding(sliding) => sliding.spent(parts(usage), now),
            Self::Concurrency(most) => most.spent(in_flight(usage), now),
        }
    }

    /// A name for the way in which it counts: usages that were counted in different ways are not each other's. What makes the
    /// difference is the kind, and the windows or the rate; not the quota, nor the burst.
    pub fn way(&self) -> String {
        let way = match self {
            Self::Gcra(gcra) => format!("rate {}", gcra.way()),
            Self::Window(window) => format!("window {}", window.way()),
            Self::Sliding(sliding) => format!("sliding {}", sliding.way()),
            Self::Concurrency(_) => "concurrency".to_owned(),
        };
        format!("{:08x}", crc32fast::hash(way.as_bytes()))
    }

    /// What a usage weighs: nothing where nothing is used, as when all of it was given back.
    pub fn weight(&self, usage: Usage, now: u64) -> Weight {
        if self.standing(usage, now).remaining >= self.quota() {
            return Weight::default();
        }
        Weight { until: self.runs_out(usage), spent: self.spent(usage, now) }
    }

    /// How many requests a window lets through, or come at once: `q` of a `RateLimit-Policy`.
    pub const fn quota(&self) -> u64 {
        match self {
            Self::Gcra(gcra) => gcra.burst(),
            Self::Window(window) => window.quota(),
            Self::Sliding(sliding) => sliding.quota(),
            Self::Concurrency(most) => most.quota(),
        }
    }

    /// In how many nanoseconds all of that comes back: `w` of a `RateLimit-Policy`. `None`: as soon as requests end.
    pub fn window(&self) -> Option<u64> {
        match self {
            Self::Gcra(gcra) => Some(gcra.refill()),
            Self::Window(window) => Some(window.length()),
            Self::Sliding(sliding) => Some(sliding.length()),
            Self::Concurrency(_) => None,
        }
    }
}

/// The time in which a limit of so much in so many nanoseconds gives what was used of it.
fn time_for(used: u64, of: NonZeroU64, length: u64) -> u64 {
    let time = u128::from(used).saturating_mul(length.into()) / NonZeroU128::from(of);
    u64::try_from(time).unwrap_or(u64::MAX)
}

// The usage of a kind; of another kind, nothing used.

const fn bucket(usage: Usage) -> Bucket {
    match usage {
        Usage::Bucket(bucket) => bucket,
        _ => Bucket { at: 0, requests: 0, rest: 0, owed: 0, refunded: 0 },
    }
}

const fn used(usage: Usage) -> Used {
    match usage {
        Usage::Window(used) => used,
        _ => Used { start: 0, requests: 0 },
    }
}

fn parts(usage: Usage) -> Parts {
    match usage {
        Usage::Parts(parts) => parts,
        _ => Parts::default(),
    }
}

fn in_flight(usage: Usage) -> InFlight {
    match usage {
        Usage::InFlight(in_flight) => in_flight,
        _ => InFlight::default(),
    }
}
