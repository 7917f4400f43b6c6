//! The usage of those who are too many to have a shared value each: client addresses, tenants, consumers of tokens.
//!
//! Envoy never frees a shared value, so their number is fixed when the configuration comes: these are the slots. Each has
//! room for [`ENTRIES`] of the many, and whose entry goes where is told by a digest that is keyed with a secret of this
//! proxy: nobody can choose names that push a certain other one out. However many come, the memory stays as it is.
//!
//! A slot without room lets those go whose usage has run out, and else the one that was not seen for longest. Who was let
//! go begins with nothing used, which [`Change::evicted`] tells.
//!
//! The bytes of a slot are a version and then an entry each:
//!
//! ```text
//! 1 | fingerprint: 16 bytes | last use: u64 LE | run out: u64 LE | length: u16 LE | state
//! ```

use std::num::NonZeroU64;

use meshgate_policy::host::{HostError, Setup};
use sha2::{Digest as _, Sha256};

use crate::state::State;

/// How many have their usage in one slot.
pub const ENTRIES: usize = 16;
/// The most slots, 16,777,216 entries: configuring makes each of them.
pub const MAX_SLOTS: u64 = 1 << 20;

const VERSION: u8 = 1;
const SECRET: usize = 32;

/// The slots, and the secret that tells which is whose.
pub struct Table {
    secret: [u8; SECRET],
    /// The names of the shared values; at least one.
    slots: Box<[Box<str>]>,
    count: NonZeroU64,
}

/// One of the many: enough of a keyed digest that no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

/// Without the secret.
impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("slots", &self.count).finish_non_exhaustive()
    }
}

impl Table {
    /// Makes the shared values that are missing. What is there stays, the secret too: a new configuration forgets nothing
    /// as long as the number of slots stays.
    ///
    /// # Errors
    /// The proxy refused.
    pub fn create(slots: NonZeroU64, prefix: &str, setup: &mut dyn Setup) -> Result<Self, HostError> {
        let names: Box<[Box<str>]> =
            (0..slots.get()).map(|slot| format!("{prefix}table/{slot}").into()).collect();
        let secret = secret(&format!("{prefix}table/secret"), setup)?;
        for name in &names {
            if setup.shared(name)?.is_none() {
                setup.set_shared(name, Slot::fresh().as_bytes())?;
            }
        }
        Ok(Self { secret, slots: names, count: slots })
    }

    /// The fingerprint of what these parts say together. Each is a kind and bytes; no two lists of parts are alike.
    pub fn fingerprint<'a>(&self, parts: impl IntoIterator<Item = (u8, &'a [u8])>) -> Fingerprint {
        // The secret and the length of each part come first, so that nothing can be extended or shifted.
        let mut digest = Sha256::new_with_prefix(self.secret);
        for (kind, bytes) in parts {
            digest.update([kind]);
            digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(bytes);
        }
        let digest: [u8; 32] = digest.finalize().into();
        Fingerprint(digest.first_chunk().copied().unwrap_or_default())
    }

    /// The name of the shared value that has the entry of this one.
    pub fn slot(&self, fingerprint: &Fingerprint) -> &str {
        let first = fingerprint.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let place = usize::try_from(first % self.count).unwrap_or_default();
        self.slots.get(place).map_or("", |name| name)
    }
}

/// The secret of this proxy: that of the first configuration.
fn secret(name: &str, setup: &mut dyn Setup) -> Result<[u8; SECRET], HostError> {
    let there = setup.shared(name)?.and_then(|shared| shared.value.try_into().ok());
    if let Some(secret) = there {
        return Ok(secret);
    }
    let mut secret = [0; SECRET];
    setup.random(&mut secret)?;
    setup.set_shared(name, &secret)?;
    Ok(secret)
}

/// What one shared value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    bytes: Vec<u8>,
}

/// The bytes are not a slot of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

/// What a new usage did to a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// How many entries there are more than before; fewer, if some had run out.
    pub entries: i64,
    /// One that had not run out had to go.
    pub evicted: bool,
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

    /// What this one has used, if it has an entry.
    pub fn state(&self, of: &Fingerprint) -> Option<State> {
        let entry = Entries::new(&self.bytes).find(|entry| entry.fingerprint == *of)?;
        State::from_bytes(entry.state.to_vec()).ok()
    }

    /// Sets what this one has used. `until`: when all of that has run out, if nothing is added; an entry that was to last
    /// longer still does, since it may hold limits that are not counted now. Nanoseconds since the epoch.
    pub fn set(&mut self, of: &Fingerprint, state: &State, now: u64, until: u64) -> Change {
        let mut until = until;
        let mut before = 0_i64;
        let mut kept: Vec<Entry<'_>> = Vec::with_capacity(ENTRIES);
        for entry in Entries::new(&self.bytes) {
            before = before.saturating_add(1);
            if entry.fingerprint == *of {
                until = until.max(entry.until);
            } else if entry.until > now {
                kept.push(entry);
            }
        }
        let evicted = kept.len() >= ENTRIES;
        if evicted {
            let oldest = kept.iter().enumerate().min_by_key(|(_, entry)| entry.used_at);
            if let Some((place, _)) = oldest {
                kept.swap_remove(place);
            }
        }
        kept.push(Entry { fingerprint: *of, used_at: now, until, state: state.as_bytes() });
        let after = i64::try_from(kept.len()).unwrap_or(i64::MAX);
        let mut bytes = Vec::with_capacity(self.bytes.len().saturating_add(state.as_bytes().len()));
        bytes.push(VERSION);
        kept.iter().for_each(|entry| entry.write(&mut bytes));
        self.bytes = bytes;
        Change { entries: after.saturating_sub(before), evicted }
    }
}

struct Entry<'a> {
    fingerprint: Fingerprint,
    used_at: u64,
    until: u64,
    state: &'a [u8],
}

impl Entry<'_> {
    /// A state that is longer than its length can say is not written: it is one of more than 32 limits.
    fn write(&self, bytes: &mut Vec<u8>) {
        let Ok(length) = u16::try_from(self.state.len()) else { return };
        bytes.extend_from_slice(&self.fingerprint.0);
        bytes.extend_from_slice(&self.used_at.to_le_bytes());
        bytes.extend_from_slice(&self.until.to_le_bytes());
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
        let (length, rest) = rest.split_first_chunk()?;
        let (state, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        self.0 = rest;
        Some(Entry {
            fingerprint: Fingerprint(*fingerprint),
            used_at: u64::from_le_bytes(*used_at),
            until: u64::from_le_bytes(*until),
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use meshgate_test_host::World;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::limit::{Usage, Used};

    fn table(world: &World, slots: u64) -> Table {
        Table::create(NonZeroU64::new(slots).unwrap(), "p/", &mut world.clone()).unwrap()
    }

    /// Of a number, as if it came from a digest.
    fn one(number: u64) -> Fingerprint {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Fingerprint(bytes)
    }

    fn used(requests: u64) -> State {
        let mut state = State::fresh();
        state.set("l", Usage::Window(Used { start: 1, requests }), |_| true);
        state
    }

    #[test]
    fn a_new_configuration_finds_what_there_was() {
        let world = World::new();
        let (first, second) = (table(&world, 8), table(&world, 8));
        assert_eq!(world.shared_keys().len(), 9);
        let parts = || [(1, &b"acme"[..]), (2, b"/v1")];
        assert_eq!(first.fingerprint(parts()), second.fingerprint(parts()));
        assert_eq!(first.slot(&one(7)), second.slot(&one(7)));
        // Another proxy has another secret.
        let other = World::new();
        other.seed(1);
        assert_ne!(first.fingerprint(parts()), table(&other, 8).fingerprint(parts()));
    }

    #[test]
    fn no_two_lists_of_parts_are_alike() {
        let table = table(&World::new(), 1);
        let lists: [&[(u8, &[u8])]; 8] = [
            &[],
            &[(1, b"")],
            &[(2, b"")],
            &[(1, b"ab")],
            &[(1, b"a"), (1, b"b")],
            &[(1, b"b"), (1, b"a")],
            &[(1, b""), (1, b"ab")],
            &[(1, b"ab"), (1, b"")],
        ];
        let mut fingerprints: Vec<_> =
            lists.iter().map(|list| table.fingerprint(list.iter().copied())).collect();
        fingerprints.sort();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), lists.len());
    }

    #[test]
    fn the_secret_is_not_shown() {
        let world = World::new();
        let table = table(&world, 1);
        assert_eq!(format!("{table:?}"), "Table { slots: 1, .. }");
    }

    #[test]
    fn entries_that_have_run_out_go_first_then_the_oldest() {
        let mut slot = Slot::fresh();
        let count = ENTRIES as u64;
        for number in 0..count {
            // Number 3 is the first to run out.
            let until = if number == 3 { 1_000 } else { 10_000 };
            let change = slot.set(&one(number), &used(number), 100 + number, until);
            assert_eq!(change, Change { entries: 1, evicted: false });
        }
        assert_eq!(slot.state(&one(3)), Some(used(3)));
        let change = slot.set(&one(100), &used(100), 1_000, 20_000);
        assert_eq!(change, Change { entries: 0, evicted: false });
        assert_eq!(slot.state(&one(3)), None);

        // Number 0 is the oldest until it is used again; then it is number 1.
        slot.set(&one(0), &used(50), 1_001, 10_000);
        let change = slot.set(&one(101), &used(101), 1_002, 20_000);
        assert_eq!(change, Change { entries: 0, evicted: true });
        assert_eq!((slot.state(&one(0)), slot.state(&one(1))), (Some(used(50)), None));

        // When all the old ones have run out, two are left and the new one.
        let change = slot.set(&one(102), &used(102), 10_000, 20_000);
        assert_eq!(change, Change { entries: 3 - i64::try_from(count).unwrap(), evicted: false });
        assert_eq!(Slot::from_bytes(slot.as_bytes().to_vec()), Ok(slot));
    }

    #[test]
    fn an_entry_lasts_as_long_as_its_longest_limit() {
        let mut slot = Slot::fresh();
        slot.set(&one(1), &used(1), 0, 1_000);
        slot.set(&one(1), &used(2), 1, 10);
        slot.set(&one(2), &used(3), 500, 1_000);
        assert_eq!(slot.state(&one(1)), Some(used(2)));
    }

    #[test]
    fn nothing_but_a_slot_is_read() {
        let mut slot = Slot::fresh();
        slot.set(&one(1), &used(1), 0, 1_000);
        let first = slot.as_bytes().len();
        slot.set(&one(2), &used(2), 0, 1_000);
        let whole = slot.as_bytes().to_vec();
        for end in 0..whole.len() {
            let between = [1, first].contains(&end);
            assert_eq!(Slot::from_bytes(whole[..end].to_vec()).is_ok(), between, "cut at {end}");
        }
        let mut other = whole.clone();
        other[0] = 2;
        assert_eq!(Slot::from_bytes(other), Err(Garbled));
        assert_eq!(Slot::from_bytes([whole, vec![0]].concat()), Err(Garbled));
        // A state in it that can't be read is nobody's.
        let mut garbled = Slot::fresh();
        garbled.set(&one(1), &used(1), 0, 1_000);
        let length = garbled.bytes.len();
        garbled.bytes[length - used(1).as_bytes().len()] = 0;
        assert_eq!(garbled.state(&one(1)), None);
    }

    /// As many identities as there may be, each seen once: the shared values are as many as before, and none is larger than
    /// its entries.
    #[test]
    fn memory_stays_as_it_is_however_many_come() {
        let count = if cfg!(target_arch = "wasm32") { 50_000 } else { 1_000_000 };
        let world = World::new();
        let table = table(&world, 64);
        let keys = world.shared_keys();
        let (mut entries, mut evicted) = (0, 0);
        for number in 0..count {
            let name = table.slot(&one(number));
            let mut slot = Slot::from_bytes(world.shared(name).unwrap()).unwrap();
            let change = slot.set(&one(number), &used(1), number, u64::MAX);
            entries += change.entries;
            evicted += u64::from(change.evicted);
            world.set_shared(name, slot.as_bytes());
        }
        assert_eq!(world.shared_keys(), keys);
        assert_eq!(entries, 64 * ENTRIES as i64);
        assert_eq!(evicted, count - 64 * ENTRIES as u64);
        let entry = 16 + 8 + 8 + 2 + used(1).as_bytes().len();
        for name in keys.iter().filter(|name| !name.ends_with("secret")) {
            assert_eq!(world.shared(name).unwrap().len(), 1 + ENTRIES * entry, "{name}");
        }
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
                slot.set(&one(1), &used(1), 0, 1);
                assert_eq!(slot.state(&one(1)), Some(used(1)));
            }
        }

        /// Against a list that keeps all: what is there is right, and what is not there had run out or was older than all
        /// that is.
        #[test]
        fn a_slot_forgets_only_what_it_may(
            uses in proptest::collection::vec((0_u64..40, 0_u64..50, 0_u64..400), 1..200),
        ) {
            let mut slot = Slot::fresh();
            let mut all = std::collections::BTreeMap::new();
            let (mut now, mut entries) = (0, 0);
            for (number, step, lasts) in uses {
                now += step;
                let last: u64 = all.get(&number).map_or(0, |(_, _, until)| *until);
                let there = slot.state(&one(number)).is_some();
                let until = (now + lasts).max(if there { last } else { 0 });
                let change = slot.set(&one(number), &used(now + 1), now, now + lasts);
                entries += change.entries;
                all.insert(number, (now + 1, now, until));
                let kept = |number: &u64| slot.state(&one(*number)).is_some();
                let count = all.keys().filter(|number| kept(number)).count();
                proptest::prop_assert_eq!(i64::try_from(count).unwrap(), entries);
                proptest::prop_assert!(count <= ENTRIES);
                let oldest = all.iter().filter(|(number, _)| kept(number)).map(|(_, (_, at, _))| *at).min();
                for (number, (requests, at, until)) in &all {
                    if kept(number) {
                        proptest::prop_assert_eq!(slot.state(&one(*number)), Some(used(*requests)));
                    } else {
                        proptest::prop_assert!(*until <= now || *at <= oldest.unwrap());
                    }
                }
            }
        }
    }
}
