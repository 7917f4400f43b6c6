//! Chance, for the `percent` of `match`.

use std::cell::{Cell, RefCell};

use meshgate_policy::host::Host;

/// Chance, for `percent`: a rule has the same luck with a request and its response.
#[derive(Debug)]
pub struct Chance {
    seed: Cell<Option<u64>>,
}

impl Chance {
    /// Draws nothing yet.
    pub const fn new() -> Self {
        Self { seed: Cell::new(None) }
    }

    /// Asks something that may depend on chance: the number from 0 to 9,999 of a rule.
    pub fn ask(&self, host: &mut dyn Host, question: impl FnOnce(&dyn Fn(usize) -> u16) -> bool) -> bool {
        let host = RefCell::new(host);
        question(&|index| {
            if self.seed.get().is_none() {
                let mut bytes = [0; size_of::<u64>()];
                // Without chance it is 0 for all rules: as if all messages were meant.
                if host.try_borrow_mut().is_ok_and(|mut host| host.random(&mut bytes).is_ok()) {
                    self.seed.set(Some(u64::from_le_bytes(bytes)));
                }
            }
            self.known(index)
        })
    }

    /// The number of a rule, if there was chance before.
    pub fn known(&self, index: usize) -> u16 {
        let Some(seed) = self.seed.get() else { return 0 };
        // The finalizer of SplitMix64: neighbouring rules get numbers that have nothing to do with each other.
        let mut mixed = seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u16::try_from((mixed ^ (mixed >> 31)) % 10_000).unwrap_or(0)
    }
}
