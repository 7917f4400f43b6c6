//! The keys of a file, in as little memory as may be, and how others take their place.
//!
//! A key is a record of bytes: its digest, what is said of it, its id and its consumer. Records lie one behind the other in
//! 1,024 shards by the first bits of their digests, each with an index. With an id of eleven bytes and a consumer of nine a key
//! takes about 75 bytes, the index among them.
//!
//! Two tables are never there at once. A file that is read again marks the records that it has unchanged; those that are new or
//! different lie beside them until the file is known to be right ([`Change`]). Then one shard after the other takes the new ones and
//! drops what is not marked: that takes the memory of one shard. What is given up leaves marks that mean nothing to the next
//! change. So while a file is read requests find the keys of the one before, all of them and no others.

use std::mem;

use hashbrown::HashTable;
use meshgate_policy::digest::Digest;

use super::record::{self, Record, Row};

/// Into how many parts keys are divided; by the bits of the digest from this one on.
const SHARDS: usize = 1 << 10;
const SHIFT: u32 = 64 - 10;

/// All keys of a file.
#[derive(Debug)]
pub struct Table {
    shards: Vec<Shard>,
    /// The names of plans that records have, by their numbers.
    plans: Vec<Box<str>>,
    /// What the records are marked with that the last change had.
    mark: u8,
    number: usize,
    /// Some digest is plain, and some is made with the pepper.
    kinds: (bool, bool),
}

/// Keys whose digests begin alike.
#[derive(Debug, Default)]
struct Shard {
    records: Vec<u8>,
    /// Where they begin, by digest.
    index: HashTable<u32>,
}

/// A file that takes the place of the one in the table.
#[derive(Debug)]
pub struct Change {
    /// What is new or different.
    added: Vec<Shard>,
    /// How many records of each shard stay.
    kept: Vec<u32>,
    number: usize,
    kinds: (bool, bool),
    /// The first shard that is not done yet, once the change is being made.
    next: usize,
    record: Vec<u8>,
}

/// Why a key can't be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The file has a key with this digest already.
    Duplicate,
    /// What is said of it is too long, or there are too many plans.
    TooLong,
}

impl Default for Table {
    fn default() -> Self {
        Self { shards: shards(), plans: Vec::new(), mark: 0, number: 0, kinds: (false, false) }
    }
}

impl Table {
    /// How many keys there are.
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Whether there are plain digests, and such with the pepper.
    pub const fn kinds(&self) -> (bool, bool) {
        self.kinds
    }

    /// The key with this digest.
    pub fn find(&self, digest: &Digest, peppered: bool) -> Option<Record<'_>> {
        self.shards.get(place(digest))?.find(digest, peppered).map(|(_, record)| record)
    }

    /// The name of the plan that records have by this number.
    pub fn plan(&self, number: u16) -> Option<&str> {
        self.plans.get(usize::from(number)).map(|name| &**name)
    }

    /// Begins a change. One that was begun before it is given up by that.
    pub fn change(&mut self) -> Change {
        if self.mark == u8::MAX {
            // What changes were given up have left behind must not pass for what this one has seen.
            self.shards.iter_mut().for_each(|shard| shard.unmark());
            self.mark = 0;
        }
        self.mark = self.mark.saturating_add(1);
        Change {
            added: shards(),
            kept: vec![0; SHARDS],
            number: 0,
            kinds: (false, false),
            next: 0,
            record: Vec::new(),
        }
    }

    /// The number of a plan.
    fn number_of(&mut self, plan: &str) -> Option<u16> {
        let known = self.plans.iter().position(|name| **name == *plan);
        let number = known.unwrap_or_else(|| {
            self.plans.push(plan.into());
            self.plans.len().saturating_sub(1)
        });
        u16::try_from(number).ok()
    }

    /// The bytes that it takes.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(Shard::bytes).sum()
    }
}

impl Change {
    /// Adds a key of the file.
    ///
    /// # Errors
    /// [`Full`]
    pub fn add(&mut self, table: &mut Table, row: &Row<'_>) -> Result<(), Full> {
        let plan = row.plan.map(|plan| table.number_of(plan).ok_or(Full::TooLong)).transpose()?;
        self.record.clear();
        record::write(&mut self.record, row, plan, table.mark).ok_or(Full::TooLong)?;

        let place = place(&row.digest);
        let (Some(added), Some(present)) = (self.added.get_mut(place), table.shards.get_mut(place)) else {
            return Err(Full::TooLong);
        };
        if added.find(&row.digest, row.peppered).is_some() {
            return Err(Full::Duplicate);
        }
        match present.find(&row.digest, row.peppered) {
            Some((_, record)) if record.mark() == table.mark => return Err(Full::Duplicate),
            Some((start, record)) if record.says(&self.record) => {
                present.mark(start, table.mark);
                if let Some(kept) = self.kept.get_mut(place) {
                    *kept = kept.saturating_add(1);
                }
            }
            _ => added.push(&row.digest, &self.record).ok_or(Full::TooLong)?,
        }
        self.number = self.number.saturating_add(1);
        let (plain, peppered) = self.kinds;
        self.kinds = (plain || !row.peppered, peppered || row.peppered);
        Ok(())
    }

    /// How many keys were added.
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Makes the change in some of the table, so that it takes a few milliseconds: `most` is of how many shards records are
    /// copied. Returns whether that was the last of it; what is done can't be given up.
    pub fn apply(&mut self, table: &mut Table, most: usize) -> bool {
        let mut copied = 0_usize;
        // Both kinds are looked for while both may be there.
        table.kinds = (table.kinds.0 || self.kinds.0, table.kinds.1 || self.kinds.1);
        while copied < most {
            let kept = self.kept.get(self.next).copied().unwrap_or_default();
            let (Some(present), Some(added)) =
                (table.shards.get_mut(self.next), self.added.get_mut(self.next))
            else {
                (table.number, table.kinds) = (self.number, self.kinds);
                return true;
            };
            self.next = self.next.saturating_add(1);
            let kept = usize::try_from(kept).unwrap_or(usize::MAX);
            if kept == 0 {
                *present = mem::take(added);
            } else if kept < present.index.len() || !added.index.is_empty() {
                *present = present.merged(table.mark, &mem::take(added));
                copied = copied.saturating_add(1);
            }
        }
        false
    }
}

impl Shard {
    fn find(&self, digest: &Digest, peppered: bool) -> Option<(u32, Record<'_>)> {
        let is = |start: &u32| self.record(*start).is_some_and(|record| record.is(digest, peppered));
        let start = *self.index.find(hash(digest), is)?;
        Some((start, self.record(start)?))
    }

    fn record(&self, start: u32) -> Option<Record<'_>> {
        Record::first(self.records.get(usize::try_from(start).ok()?..)?)
    }

    /// All records.
    fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = self.records.as_slice();
        std::iter::from_fn(move || {
            let record = Record::first(rest)?;
            rest = rest.get(record.bytes().len()..)?;
            Some(record)
        })
    }

    /// Adds a record that is not there.
    fn push(&mut self, digest: &Digest, record: &[u8]) -> Option<()> {
        let start = u32::try_from(self.records.len()).ok()?;
        if self.records.capacity().saturating_sub(self.records.len()) < record.len() {
            // A `Vec` would grow to twice its length: too much of what it would have is never used.
            self.records.reserve_exact((self.records.len() / 8).max(record.len()));
        }
        self.records.extend_from_slice(record);
        let records = &self.records;
        let hash_at = |start: &u32| {
            let record = usize::try_from(*start).ok().and_then(|start| Record::first(records.get(start..)?));
            record.map_or(0, |record| hash(&record.digest()))
        };
        self.index.insert_unique(hash(digest), start, hash_at);
        Some(())
    }

    fn mark(&mut self, start: u32, mark: u8) {
        if let Some(record) = usize::try_from(start).ok().and_then(|start| self.records.get_mut(start..)) {
            record::mark(record, mark);
        }
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        [self.records.capacity(), self.index.allocation_size(), size_of::<Self>()].iter().sum()
    }

    fn unmark(&mut self) {
        let starts: Vec<u32> = self.index.iter().copied().collect();
        starts.into_iter().for_each(|start| self.mark(start, 0));
    }

    /// What is marked so, with what is added.
    fn merged(&self, mark: u8, added: &Self) -> Self {
        let kept = || self.iter().filter(|record| record.mark() == mark);
        let (mut number, mut bytes) = (added.index.len(), added.records.len());
        for record in kept() {
            number = number.saturating_add(1);
            bytes = bytes.saturating_add(record.bytes().len());
        }
        let mut merged = Self { records: Vec::with_capacity(bytes), index: HashTable::with_capacity(number) };
        for record in kept().chain(added.iter()) {
            merged.push(&record.digest(), record.bytes());
        }
        merged
    }
}

fn shards() -> Vec<Shard> {
    std::iter::repeat_with(Shard::default).take(SHARDS).collect()
}

fn place(digest: &Digest) -> usize {
    usize::try_from(digest.prefix() >> SHIFT).unwrap_or_default()
}

/// Of other bytes than [`place`]: those are alike in a shard.
fn hash(digest: &Digest) -> u64 {
    let [_, _, _, _, _, _, _, _, rest @ ..] = digest.as_bytes();
    rest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::keys::{ALWAYS, NEVER, Validity};
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn secret(number: u32) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    /// Reads a file of these keys, each of them with the plan that says in which version of the file it changed.
    fn read(table: &mut Table, keys: impl IntoIterator<Item = (u32, u32)>) -> Result<Change, Full> {
        let mut change = table.change();
        let none = BTreeMap::new();
        for (number, version) in keys {
            let (id, consumer) = (format!("key-{number:07}"), format!("c-{number:07}"));
            let plan = (version > 0).then(|| format!("plan-{version}"));
            let validity = Validity { not_before: ALWAYS, expires_at: NEVER, disabled: false };
            let row = Row {
                digest: secret(number),
                peppered: false,
                validity,
                id: &id,
                consumer: &consumer,
                plan: plan.as_deref(),
                metadata: &none,
            };
            change.add(table, &row)?;
        }
        Ok(change)
    }

    fn replace(table: &mut Table, keys: impl IntoIterator<Item = (u32, u32)>) {
        let mut change = read(table, keys).unwrap();
        while !change.apply(table, 1) {}
    }

    /// The plan of a key, if it is there.
    fn plan(table: &Table, number: u32) -> Option<String> {
        let record = table.find(&secret(number), false)?;
        assert_eq!(record.id(), format!("key-{number:07}"));
        assert_eq!(record.consumer(), format!("c-{number:07}"));
        Some(record.plan().map_or(String::new(), |plan| table.plan(plan).unwrap().to_owned()))
    }

    #[test]
    fn a_file_takes_the_place_of_another() {
        let mut table = Table::default();
        replace(&mut table, (0..5_000).map(|number| (number, 0)));
        assert_eq!(table.number(), 5_000);
        assert!((0..5_000).all(|number| plan(&table, number) == Some(String::new())));
        assert!((5_000..9_000).all(|number| plan(&table, number).is_none()));
        // Some go, some change, some come.
        replace(&mut table, (1_000..6_000).map(|number| (number, u32::from(number % 100 == 0))));
        assert_eq!(table.number(), 5_000);
        for number in 0..9_000 {
            let expected = match number {
                1_000..6_000 if number % 100 == 0 => Some("plan-1"),
                1_000..6_000 => Some(""),
                _ => None,
            };
            assert_eq!(plan(&table, number).as_deref(), expected, "{number}");
        }
        assert!(table.find(&secret(1_500), true).is_none());
    }

    #[test]
    fn until_a_file_is_right_nothing_changes() {
        let mut table = Table::default();
        replace(&mut table, (0..1_000).map(|number| (number, 0)));
        // More often than there are marks.
        for round in 0..600_u32 {
            let change = read(&mut table, (round % 3..50).map(|number| (number, number % 2))).unwrap();
            drop(change);
            assert!((0..1_000).step_by(97).all(|number| plan(&table, number) == Some(String::new())));
        }
        replace(&mut table, (1..1_000).map(|number| (number, 0)));
        assert_eq!((table.number(), plan(&table, 0)), (999, None));
    }

    #[test]
    fn a_digest_is_there_once() {
        let mut table = Table::default();
        assert_eq!(read(&mut table, [(1, 0), (2, 0), (1, 0)]).unwrap_err(), Full::Duplicate);
        replace(&mut table, [(1, 0), (2, 0)]);
        // Unchanged twice, changed twice, and one of each.
        for keys in [[(1, 0), (1, 0)], [(1, 1), (1, 1)], [(1, 0), (1, 1)], [(1, 1), (1, 0)]] {
            assert_eq!(read(&mut table, keys).unwrap_err(), Full::Duplicate, "{keys:?}");
        }
        assert_eq!((plan(&table, 1), plan(&table, 2)), (Some(String::new()), Some(String::new())));
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn a_key_takes_at_most_120_bytes_also_while_a_tenth_of_them_change() {
        let mut table = Table::default();
        // As in a table of a million, an index is a little more than half full.
        const KEYS: u32 = 240_000;
        replace(&mut table, (0..KEYS).map(|number| (number, 0)));
        assert!(table.bytes() < 90 * KEYS as usize, "{} bytes", table.bytes());
        let change = read(&mut table, (0..KEYS).map(|number| (number, u32::from(number % 10 == 0)))).unwrap();
        let all = table.bytes() + change.added.iter().map(Shard::bytes).sum::<usize>();
        assert!(all < 120 * KEYS as usize, "{all} bytes");
    }
}
