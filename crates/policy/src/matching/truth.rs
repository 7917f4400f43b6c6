//! What can be said of a request that servers read in different ways.

/// Whether something holds, if it does not depend on who reads it: the truth values of Kleene's logic. The smaller of two
/// is their conjunction, the greater their disjunction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not.
    No,
    /// It does for some who read it.
    Unclear,
    /// It does.
    Yes,
}

impl Truth {
    /// Whether it holds, or may.
    pub fn may_be(self) -> bool {
        self != Self::No
    }

    /// What holds in each of these readings, in some, or in none. Without readings: [`Truth::No`].
    pub(crate) fn of_all(readings: impl IntoIterator<Item = bool>) -> Self {
        let agree = |truth: Self, reading: Self| if truth == reading { truth } else { Self::Unclear };
        readings.into_iter().map(Self::from).reduce(agree).unwrap_or(Self::No)
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}
