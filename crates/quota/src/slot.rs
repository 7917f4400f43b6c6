//! One shared value of a table: the usage of at most [`ENTRIES`] of the many.
//!
//! A slot without room lets those go whose usage has run out, and else the one that has used least: the one of whose usage
//! its limits take the shortest time to give as much again ([`Rule::spent`]); of those that have used as much, the one that
//! was not counted for longest. Whoever is let go begins with nothing used. So somebody who wants to be let go must see to it
//! that as many others as a slot holds have used as much.
//!
//! The bytes of a slot are a version and then an entry each:
//!
//! ```text
//! 2 | fingerprint: 16 bytes | last use: u64 LE | run out: u64 LE | spent: u64 LE | length: u16 LE | state
//! ```
//!
//! [`Rule::spent`]: crate::limit::Rule::spent

use crate::state::State;
use crate::table::Fingerprint;

/// How many have their usage in one slot.
pub const ENTRIES: usize = 16;

const VERSION: u8 = 2;

/// What one shared value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    bytes: Vec<u8>,
}

/// The bytes are not a slot of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

/// There is no room for another, as nothing of what is there has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// When something of it has, if nothing is added. Nanoseconds since the epoch.
    pub until: u64,
}

/// What a new usage did to a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// How many entries there are more than before; fewer, if some had run out.
    pub entries: i64,
    /// One that had not run out had to go.
    pub evicted: bool,
}

/// What somebody has used, to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// All of it.
    pub state: &'a State,
    /// What that weighs.
    pub weight: Weight,
}

/// How much what somebody has used is worth keeping: of several limits, the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// When all of it has run out, if nothing is added: from then on it need not be kept. Nanoseconds since the epoch.
    pub until: u64,
    /// How long the limit takes to give so much. Nanoseconds.
    pub spent: u64,
}

impl Weight {
    /// That of both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { until: self.until.max(other.until), spent: self.spent.max(other.spent) }
    }
}

impl Slot {
    /// Nobody's.
    pub fn fresh() -> Self {
        Self { bytes: vec![VERSION] }
    }

    /// Takes a shared value.
    ///
    /// # Errors
    /// [`Garbled`] if it is of another version or not made of entries.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Garbled> {
        let mut entries = Entries::new(&bytes);
        let whole = entries.by_ref().count() <= ENTRIES && entries.0.is_empty();
        if bytes.first() == Some(&VERSION) && whole { Ok(Self { bytes }) } else { Err(Garbled) }
    }

    /// The shared value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        Entries::new(&self.bytes).count()
    }

    /// What this one has used, and what that weighs, if it has an entry.
    pub fn get(&self, of: &Fingerprint) -> Option<(State, Weight)> {
        let entry = Entries::new(&self.bytes).find(|entry| entry.fingerprint == *of)?;
        Some((State::from_bytes(entry.state.to_vec()).ok()?, entry.weight()))
    }

    /// Whether somebody had to go to make room for this one.
    ///
    /// # Errors
    /// [`Full`]: so it is.
    pub fn room(&self, of: &Fingerprint, now: u64) -> Result<(), Full> {
        let mut count = 0_usize;
        let mut until = u64::MAX;
        for entry in Entries::new(&self.bytes).filter(|entry| entry.until > now) {
            if entry.fingerprint == *of {
                return Ok(());
            }
            count = count.saturating_add(1);
            until = until.min(entry.until);
        }
        if count < ENTRIES { Ok(()) } else { Err(Full { until }) }
    }

    /// Sets what this one has used. Where there is no room for it, another goes; what has run out needs none.
    pub fn set(&mut self, of: &Fingerprint, new: Kept<'_>, now: u64) -> Change {
        let Kept { state, weight: Weight { until, spent } } = new;
        let is_kept = until > now;
        let mut before = 0_i64;
        let mut kept: Vec<Entry<'_>> = Vec::with_capacity(ENTRIES);
        for entry in Entries::new(&self.bytes) {
            before = before.saturating_add(1);
            if entry.fingerprint != *of && entry.until > now {
                kept.push(entry);
            }
        }
        let evicted = is_kept && kept.len() >= ENTRIES;
        if evicted {
            let first = kept.iter().enumerate().min_by_key(|(_, entry)| (entry.spent, entry.used_at));
            if let Some((place, _)) = first {
                kept.swap_remove(place);
            }
        }
        if is_kept {
            kept.push(Entry { fingerprint: *of, used_at: now, until, spent, state: state.as_bytes() });
        }
        let after = i64::try_from(kept.len()).unwrap_or(i64::MAX);
        let mut bytes =
            Vec::with_capacity(self.bytes.len().saturating_add(ENTRY).saturating_add(state.as_bytes().len()));
        bytes.push(VERSION);
        kept.iter().for_each(|entry| entry.write(&mut bytes));
        self.bytes = bytes;
        Change { entries: after.saturating_sub(before), evicted }
    }
}

/// Bytes of an entry before its state.
const ENTRY: usize = 16 + 3 * size_of::<u64>() + size_of::<u16>();

struct Entry<'a> {
    fingerprint: Fingerprint,
    used_at: u64,
    until: u64,
    spent: u64,
    state: &'a [u8],
}

impl Entry<'_> {
    const fn weight(&self) -> Weight {
        Weight { until: self.until, spent: self.spent }
    }

    /// A state that is longer than its length can say is not written: it is one of more than 32 limits.
    fn write(&self, bytes: &mut Vec<u8>) {
        let Ok(length) = u16::try_from(self.state.len()) else { return };
        bytes.extend_from_slice(self.fingerprint.as_bytes());
        bytes.extend_from_slice(&self.used_at.to_le_bytes());
        bytes.extend_from_slice(&self.until.to_le_bytes());
        bytes.extend_from_slice(&self.spent.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(self.state);
    }
}

/// Walks the entries of a slot, up to the first that is none.
struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.get(1..).unwrap_or_default())
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (fingerprint, rest) = self.0.split_first_chunk()?;
        let (used_at, rest) = rest.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk()?;
        let (spent, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (state, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        self.0 = rest;
        Some(Entry {
            fingerprint: Fingerprint::from_bytes(*fingerprint),
            used_at: u64::from_le_bytes(*used_at),
            until: u64::from_le_bytes(*until),
            spent: u64::from_le_bytes(*spent),
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::limit::{Usage, Used};

    /// Of a number, as if it came from a digest.
    fn one(number: u64) -> Fingerprint {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Fingerprint::from_bytes(bytes)
    }

    fn used(requests: u64) -> State {
        let mut state = State::fresh();
        state.set("l", Usage::Window(Used { start: 1, requests }), |_| true);
        state
    }

    /// Sets so many requests, each worth a nanosecond.
    fn set(slot: &mut Slot, number: u64, requests: u64, now: u64, until: u64) -> Change {
        slot.set(
            &one(number),
            Kept { state: &used(requests), weight: Weight { until, spent: requests } },
            now,
        )
    }

    fn state(slot: &Slot, number: u64) -> Option<State> {
        slot.get(&one(number)).map(|(state, _)| state)
    }

    const COUNT: u64 = ENTRIES as u64;

    #[test]
    fn entries_that_have_run_out_go_first_then_those_that_used_least_then_the_oldest() {
        let mut slot = Slot::fresh();
        for number in 0..COUNT {
            // Number 3 is the first to run out, 5 has used least.
            let until = if number == 3 { 1_000 } else { 10_000 };
            let requests = if number == 5 { 1 } else { 2 };
            assert_eq!(slot.room(&one(number), number), Ok(()));
            assert_eq!(
                set(&mut slot, number, requests, number, until),
                Change { entries: 1, evicted: false }
            );
        }
        assert_eq!(slot.room(&one(7), 999), Ok(()));
        assert_eq!(slot.room(&one(100), 999), Err(Full { until: 1_000 }));
        assert_eq!(slot.room(&one(100), 1_000), Ok(()));
        assert_eq!(set(&mut slot, 100, 2, 1_000, 20_000), Change { entries: 0, evicted: false });
        assert_eq!((state(&slot, 3), state(&slot, 5)), (None, Some(used(1))));

        let evicting = Change { entries: 0, evicted: true };
        assert_eq!(set(&mut slot, 101, 2, 1_001, 20_000), evicting);
        assert_eq!((state(&slot, 5), state(&slot, 0)), (None, Some(used(2))));
        // Number 0 is the oldest until it is used again; then it is number 1.
        set(&mut slot, 0, 2, 1_002, 10_000);
        assert_eq!(set(&mut slot, 102, 2, 1_003, 20_000), evicting);
        assert_eq!((state(&slot, 0), state(&slot, 1)), (Some(used(2)), None));

        // When all the old ones have run out, three are left and the new one.
        let change = set(&mut slot, 103, 2, 10_000, 20_000);
        assert_eq!(change, Change { entries: 4 - i64::try_from(COUNT).unwrap(), evicted: false });
        assert_eq!(Slot::from_bytes(slot.as_bytes().to_vec()), Ok(slot));
    }

    #[test]
    fn a_flood_of_newcomers_displaces_newcomers() {
        let mut slot = Slot::fresh();
        for number in 0..COUNT - 1 {
            set(&mut slot, number, 2 + number, 0, u64::MAX);
        }
        for number in 0..100_000 {
            set(&mut slot, 1_000 + number, 1, 1 + number, u64::MAX);
        }
        for number in 0..COUNT - 1 {
            assert_eq!(state(&slot, number), Some(used(2 + number)));
        }
        // Sixteen who have used as much are needed.
        for number in 0..COUNT {
            assert!(state(&slot, COUNT - 2).is_some());
            set(&mut slot, number + 500, COUNT, 200_000, u64::MAX);
        }
        assert_eq!(state(&slot, COUNT - 2), None);
    }

    #[test]
    fn an_entry_lasts_until_it_has_run_out_as_it_was_last_set() {
        let mut slot = Slot::fresh();
        set(&mut slot, 1, 1, 0, 1_000);
        set(&mut slot, 1, 2, 1, 10);
        assert_eq!(slot.get(&one(1)), Some((used(2), Weight { until: 10, spent: 2 })));
        assert_eq!(set(&mut slot, 2, 3, 10, 1_000), Change { entries: 0, evicted: false });
        assert_eq!((slot.get(&one(1)), slot.len()), (None, 1));
        // What has run out when it is set goes, and makes nobody go.
        assert_eq!(set(&mut slot, 2, 0, 20, 20), Change { entries: -1, evicted: false });
        for number in 0..COUNT {
            set(&mut slot, number, 1, 30, 1_000);
        }
        assert_eq!(set(&mut slot, 100, 0, 40, 0), Change::default());
        assert_eq!(slot.len(), ENTRIES);
    }

    #[test]
    fn nothing_but_a_slot_is_read() {
        let mut slot = Slot::fresh();
        set(&mut slot, 1, 1, 0, 1_000);
        let first = slot.as_bytes().len();
        assert_eq!(first, 1 + ENTRY + used(1).as_bytes().len());
        set(&mut slot, 2, 2, 0, 1_000);
        let whole = slot.as_bytes().to_vec();
        for end in 0..whole.len() {
            let between = [1, first].contains(&end);
            assert_eq!(Slot::from_bytes(whole[..end].to_vec()).is_ok(), between, "cut at {end}");
        }
        let mut other = whole.clone();
        other[0] = 1;
        assert_eq!(Slot::from_bytes(other), Err(Garbled));
        assert_eq!(Slot::from_bytes([whole, vec![0]].concat()), Err(Garbled));
        // A state in it that can't be read is nobody's.
        let mut garbled = Slot::fresh();
        set(&mut garbled, 1, 1, 0, 1_000);
        let length = garbled.bytes.len();
        garbled.bytes[length - used(1).as_bytes().len()] = 0;
        assert_eq!(garbled.get(&one(1)), None);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, known: bool) {
            if let Some(version) = bytes.first_mut().filter(|_| known) {
                *version = VERSION;
            }
            if let Ok(mut slot) = Slot::from_bytes(bytes.clone()) {
                assert_eq!(slot.as_bytes(), bytes);
                set(&mut slot, 1, 1, 0, 1);
                assert_eq!(state(&slot, 1), Some(used(1)));
            }
        }

        /// Against a list that keeps all: what is there is right; and what is not there had run out, or had used less than all
        /// that was there then, or as much and was older.
        #[test]
        fn a_slot_forgets_only_what_it_may(
            uses in proptest::collection::vec((0_u64..40, 1_u64..5, 0_u64..20, 0_u64..1_000), 1..200),
        ) {
            let mut slot = Slot::fresh();
            let mut there = std::collections::BTreeMap::<u64, (u64, u64, u64)>::new();
            let (mut now, mut entries) = (0, 0);
            for (number, requests, step, lasts) in uses {
                now += step;
                let room = slot.room(&one(number), now);
                let until = now + lasts;
                let change = set(&mut slot, number, requests, now, until);
                entries += change.entries;
                proptest::prop_assert_eq!(change.evicted, room.is_err() && lasts > 0);
                let before = there.clone();
                there.retain(|other, (.., until)| *other == number || *until > now);
                there.remove(&number);
                if lasts > 0 {
                    there.insert(number, (requests, now, until));
                }
                let gone: Vec<_> = there.keys().copied().filter(|number| state(&slot, *number).is_none()).collect();
                proptest::prop_assert_eq!(gone.len(), usize::from(change.evicted));
                for gone in gone {
                    let (requests, at, _) = before[&gone];
                    there.remove(&gone);
                    for (other, (more, later, _)) in there.iter().filter(|(other, _)| **other != number) {
                        proptest::prop_assert!((requests, at) <= (*more, *later), "{} for {}", gone, other);
                    }
                }
                proptest::prop_assert_eq!(i64::try_from(there.len()).unwrap(), entries);
                proptest::prop_assert!(there.len() == slot.len() && slot.len() <= ENTRIES);
                for (number, (requests, _, until)) in &there {
                    let weight = Weight { until: *until, spent: *requests };
                    proptest::prop_assert_eq!(slot.get(&one(*number)), Some((used(*requests), weight)));
                }
            }
        }
    }
}
