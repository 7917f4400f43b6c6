//! The limits of a plan: which requests each one counts, and whether all of them let a request pass.

mod gcra;
mod window;

pub use self::gcra::{Bucket, Gcra};
pub use self::window::{Span, Used, Window};

/// How a limit counts.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// A rate and a burst.
    Gcra(Gcra),
    /// A quota in each window.
    Window(Window),
}

/// What a consumer has used of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Of a [`Gcra`].
    Bucket(Bucket),
    /// Of a [`Window`].
    Window(Used),
}

/// Where a consumer stands with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests that would pass now.
    pub remaining: u64,
    /// Nanoseconds until it is one more; if none remains, until a request passes. `None`: nothing has been used, so it
    /// will not be more.
    pub more_in: Option<u64>,
}

impl Rule {
    /// Nothing used.
    pub fn unused(&self) -> Usage {
        match self {
            Self::Gcra(_) => Usage::Bucket(Bucket::default()),
            Self::Window(_) => Usage::Window(Used::default()),
        }
    }

    /// Counts one request. `None`: there is no room for it.
    pub fn charge(&self, usage: Usage, now: u64) -> Option<Usage> {
        match self {
            Self::Gcra(gcra) => gcra.charge(bucket(usage), now).map(Usage::Bucket),
            Self::Window(window) => window.charge(used(usage), now).map(Usage::Window),
        }
    }

    /// How much is left, and when it will be more.
    pub fn standing(&self, usage: Usage, now: u64) -> Standing {
        match self {
            Self::Gcra(gcra) => gcra.standing(bucket(usage), now),
            Self::Window(window) => window.standing(used(usage), now),
        }
    }

    /// How many requests a window lets through, or come at once: `q` of a `RateLimit-Policy`.
    pub const fn quota(&self) -> u64 {
        match self {
            Self::Gcra(gcra) => gcra.burst(),
            Self::Window(window) => window.quota(),
        }
    }

    /// In how many nanoseconds all of that comes back: `w` of a `RateLimit-Policy`.
    pub fn window(&self) -> u64 {
        match self {
            Self::Gcra(gcra) => gcra.refill(),
            Self::Window(window) => window.length(),
        }
    }
}

/// The usage of a rate; of another kind of limit, nothing.
const fn bucket(usage: Usage) -> Bucket {
    match usage {
        Usage::Bucket(bucket) => bucket,
        Usage::Window(_) => Bucket { at: 0, requests: 0, rest: 0 },
    }
}

/// The usage of a quota; of another kind of limit, nothing.
const fn used(usage: Usage) -> Used {
    match usage {
        Usage::Window(used) => used,
        Usage::Bucket(_) => Used { start: 0, requests: 0 },
    }
}
