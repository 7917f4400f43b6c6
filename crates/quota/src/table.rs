//! The usage of those who are too many to have a shared value each: client addresses, tenants, consumers of tokens.
//!
//! There is a table of its own for consumers that only tokens name, for each combination of what limits count apart, and for
//! clients that fail to authenticate: a flood of one kind displaces nobody of another.
//!
//! Envoy never frees a shared value, so their number is fixed when the configuration comes: these are the slots of a table.
//! Each has room for [`ENTRIES`] of the many (`slot`), and whose entry goes where is told by a digest that is keyed with a
//! secret of this proxy: nobody can choose names that push a certain other one out. However many come, the memory stays as
//! it is.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{HostError, Setup};
use sha2::{Digest as _, Sha256};

use crate::config::{TableConfig, WhenFull};
use crate::metrics::{Level, Metrics};
use crate::scope::Scope;
use crate::slot::{ENTRIES, Slot};

/// The most slots of all tables together, 1,048,576 entries: the first to be configured makes each of them.
const MAX_SLOTS: u64 = 1 << 16;
/// About how many bytes a slot takes that is full, where limits are one or two.
const SLOT_BYTES: u64 = 1_600;
const SECRET: usize = 32;

/// All tables, and the secret that tells which slot is whose.
pub struct Tables {
    secret: [u8; SECRET],
    when_full: WhenFull,
    consumers: Option<Table>,
    limits: Box<[(Scope, Table)]>,
    failures: Option<Table>,
}

/// Who has an entry.
#[derive(Clone, Debug, Default)]
pub struct Needed {
    /// Consumers that only tokens name.
    pub consumers: bool,
    /// What limits count apart.
    pub limits: BTreeSet<Scope>,
    /// Clients that fail to authenticate.
    pub failures: bool,
}

/// What a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Consumers that only tokens name.
    Consumers,
    /// What limits count apart.
    Limits,
    /// Clients that fail to authenticate.
    Failures,
}

/// Which table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// That of consumers.
    Consumers,
    /// This one of those of limits.
    Limits(usize),
    /// That of failures.
    Failures,
}

/// The slots of one table.
#[derive(Debug)]
struct Table {
    /// What the names of its shared values begin with.
    prefix: Box<str>,
    slots: NonZeroU64,
}

/// One of the many: enough of a keyed digest that no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

/// Without the secret.
impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { secret: _, when_full, consumers, limits, failures } = self;
        f.debug_struct("Tables")
            .field("when_full", when_full)
            .field("consumers", consumers)
            .field("limits", limits)
            .field("failures", failures)
            .finish_non_exhaustive()
    }
}

impl Tables {
    /// Makes the shared values that are missing. What is there stays, the secret too: a new configuration forgets nothing as
    /// long as the number of slots stays. `None`: nobody needs a table.
    ///
    /// # Errors
    /// A [`ConfigError`] for too many slots, or because the proxy refused.
    pub fn create(
        config: TableConfig,
        needed: Needed,
        prefix: &str,
        metrics: &Metrics,
        setup: &mut dyn Setup,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(count) = needed.count() else { return Ok(None) };
        check_size(config.slots, count)?;
        let tables = Self::make(config, needed, prefix, metrics, setup);
        let failed = |error| {
            ConfigError::at(Path::root().key("table")).problem(format!("it can't be shared: {error}"))
        };
        tables.map(Some).map_err(failed)
    }

    fn make(
        config: TableConfig,
        needed: Needed,
        prefix: &str,
        metrics: &Metrics,
        setup: &mut dyn Setup,
    ) -> Result<Self, HostError> {
        let TableConfig { slots, when_full } = config;
        let secret = secret(&format!("{prefix}table/secret"), setup)?;
        let mut create = |kind, name: &str| Table::create(kind, name, slots, prefix, metrics, setup);
        let limits = needed.limits.into_iter().map(|scope| {
            let table = create(Kind::Limits, &format!("limits/{}", scope.name()))?;
            Ok((scope, table))
        });
        Ok(Self {
            secret,
            when_full,
            limits: limits.collect::<Result<_, HostError>>()?,
            consumers: needed.consumers.then(|| create(Kind::Consumers, "consumers")).transpose()?,
            failures: needed.failures.then(|| create(Kind::Failures, "failures")).transpose()?,
        })
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

    /// Where a scope has its entries that are in no value of a consumer's own.
    pub fn of(&self, scope: &Scope) -> Option<Which> {
        if scope.is_consumer() {
            return self.consumers.as_ref().map(|_| Which::Consumers);
        }
        self.limits.iter().position(|(there, _)| there == scope).map(Which::Limits)
    }

    /// The name of the shared value that has the entry of this one.
    pub fn slot(&self, which: Which, fingerprint: &Fingerprint) -> Option<String> {
        let table = match which {
            Which::Consumers => self.consumers.as_ref(),
            Which::Limits(place) => self.limits.get(place).map(|(_, table)| table),
            Which::Failures => self.failures.as_ref(),
        };
        table.map(|table| table.slot(fingerprint))
    }

    /// Whether somebody may lose an entry of that table to another before it has run out. Of failures always: to refuse all
    /// clients whose failures can't be counted would let one who fails from many addresses shut out all others.
    pub fn evicts(&self, which: Which) -> bool {
        self.when_full == WhenFull::Evict || which == Which::Failures
    }
}

impl Needed {
    fn count(&self) -> Option<NonZeroU64> {
        let others = [self.consumers, self.failures].into_iter().filter(|needed| *needed).count();
        NonZeroU64::new(u64::try_from(self.limits.len().saturating_add(others)).ok()?)
    }
}

impl Which {
    /// What the table is for.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Consumers => Kind::Consumers,
            Self::Limits(_) => Kind::Limits,
            Self::Failures => Kind::Failures,
        }
    }
}

impl Fingerprint {
    /// As it was written.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// To be written.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Table {
    /// Makes the shared values, unless they are there: a value of its own says how many. Those of another number are others,
    /// since the entries are at other places, and what was in them goes. A proxy may still take a configuration up again that
    /// it had before, without telling the module: those that are there stay.
    fn create(
        kind: Kind,
        name: &str,
        slots: NonZeroU64,
        prefix: &str,
        metrics: &Metrics,
        setup: &mut dyn Setup,
    ) -> Result<Self, HostError> {
        let table = Self { prefix: format!("{prefix}table/{name}/").into(), slots };
        let size = format!("{}size", table.prefix);
        let before = setup.shared(&size)?.and_then(|shared| shared.value.try_into().ok());
        let before = before.map(u64::from_le_bytes).and_then(NonZeroU64::new);
        if before != Some(slots) {
            // Whoever else is configured now finds the new number, and leaves the slots alone.
            setup.set_shared(&size, &slots.get().to_le_bytes())?;
            if let Some(before) = before {
                let old = Self { prefix: table.prefix.clone(), slots: before };
                let entries = old.empty(setup)?;
                metrics.shift_at_setup(setup, Level::TableEntries(kind), entries.saturating_neg());
                metrics.shift_at_setup(setup, Level::TableCapacity(kind), capacity(before).saturating_neg());
            }
            for slot in 0..slots.get() {
                let name = table.name(slot);
                if setup.shared(&name)?.is_none() {
                    setup.set_shared(&name, Slot::fresh().as_bytes())?;
                }
            }
            metrics.shift_at_setup(setup, Level::TableCapacity(kind), capacity(slots));
        }
        Ok(table)
    }

    /// Empties all slots. Returns how many entries there were.
    fn empty(&self, setup: &mut dyn Setup) -> Result<i64, HostError> {
        let mut entries = 0_i64;
        for slot in 0..self.slots.get() {
            let name = self.name(slot);
            let shared = setup.shared(&name)?;
            let there =
                shared.and_then(|shared| Slot::from_bytes(shared.value).ok()).map_or(0, |slot| slot.len());
            entries = entries.saturating_add(i64::try_from(there).unwrap_or(i64::MAX));
            setup.set_shared(&name, Slot::fresh().as_bytes())?;
        }
        Ok(entries)
    }

    fn slot(&self, fingerprint: &Fingerprint) -> String {
        let first = fingerprint.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.name(first % self.slots)
    }

    fn name(&self, slot: u64) -> String {
        let [mut of, mut number] = [itoa::Buffer::new(); 2];
        [&*self.prefix, of.format(self.slots.get()), "/", number.format(slot)].concat()
    }
}

/// How many have room in so many slots.
fn capacity(slots: NonZeroU64) -> i64 {
    usize::try_from(slots.get())
        .ok()
        .and_then(|slots| i64::try_from(slots.checked_mul(ENTRIES)?).ok())
        .unwrap_or(i64::MAX)
}

fn check_size(slots: NonZeroU64, tables: NonZeroU64) -> Result<(), ConfigError> {
    let most = MAX_SLOTS / tables;
    if slots.get() <= most {
        return Ok(());
    }
    let path = Path::root().key("table").key("slots");
    let megabytes = slots.get().saturating_mul(tables.get()).saturating_mul(SLOT_BYTES) / 1_000_000;
    let error = ConfigError::at(path).found(slots.to_string());
    let error = match tables.get() {
        1 => error.expected(format!("at most {most}")),
        _ => error.expected(format!("at most {most} for each of {tables} tables")),
    };
    Err(error.hint(format!("with so many, full tables take about {megabytes} MB")))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use meshgate_policy::config::OneOrMany;
    use meshgate_test_host::World;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::config::PerConfig;
    use crate::slot::{Kept, Weight};
    use crate::state::State;

    fn scope(per: PerConfig) -> Scope {
        Scope::compile(Some(OneOrMany::from(per)), &Path::root()).unwrap()
    }

    fn failures(slots: u64, world: &World) -> Tables {
        create(slots, Needed { failures: true, ..Needed::default() }, world).unwrap().unwrap()
    }

    fn create(slots: u64, needed: Needed, world: &World) -> Result<Option<Tables>, ConfigError> {
        let mut setup = world.clone();
        let metrics = Metrics::define(&mut setup, std::iter::empty()).unwrap();
        let slots = NonZeroU64::new(slots).unwrap();
        let config = TableConfig { slots, ..TableConfig::default() };
        Tables::create(config, needed, "p/", &metrics, &mut setup)
    }

    /// Of a number, as if it came from a digest.
    fn one(number: u64) -> Fingerprint {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Fingerprint(bytes)
    }

    #[test]
    fn a_new_configuration_finds_what_there_was() {
        let world = World::new();
        let (first, second) = (failures(8, &world), failures(8, &world));
        assert_eq!(world.shared_keys().len(), 10);
        let parts = || [(1, &b"acme"[..]), (2, b"/v1")];
        assert_eq!(first.fingerprint(parts()), second.fingerprint(parts()));
        let slot = |tables: &Tables| tables.slot(Which::Failures, &one(15));
        assert_eq!((slot(&first), slot(&second)), (Some("p/table/failures/8/7".to_owned()), slot(&first)));
        // Another proxy has another secret.
        let other = World::new();
        other.seed(1);
        assert_ne!(first.fingerprint(parts()), failures(8, &other).fingerprint(parts()));
    }

    #[test]
    fn there_is_a_table_for_each_that_is_needed() {
        let world = World::new();
        assert!(create(8, Needed::default(), &world).unwrap().is_none());
        assert!(world.shared_keys().is_empty());
        let [ip, tenant, other] =
            [PerConfig::Ip, PerConfig::Header("x-tenant".into()), PerConfig::Claim("/a/b%".into())]
                .map(scope);
        let limits = BTreeSet::from([tenant.clone(), ip.clone()]);
        let tables = create(2, Needed { limits, ..Needed::default() }, &world).unwrap().unwrap();
        let names =
            ["limits/header:x-tenant/2/0", "limits/header:x-tenant/2/1", "limits/header:x-tenant/size"];
        let names = ["limits/ip/2/0", "limits/ip/2/1", "limits/ip/size", "secret"].iter().chain(&names);
        let mut names: Vec<_> = names.map(|name| format!("p/table/{name}")).collect();
        names.sort();
        assert_eq!(world.shared_keys(), names);
        let slot = |scope| tables.of(scope).and_then(|which| tables.slot(which, &one(1)));
        assert_eq!(slot(&ip).as_deref(), Some("p/table/limits/ip/2/1"));
        assert_eq!(slot(&tenant).as_deref(), Some("p/table/limits/header:x-tenant/2/1"));
        assert_eq!((slot(&other), slot(&Scope::default())), (None, None));
        assert_eq!(tables.slot(Which::Failures, &one(1)), None);
    }

    #[test]
    fn another_number_of_slots_empties_the_table() {
        let world = World::new();
        let mut before = 0;
        for (slots, values) in [(4, 4), (4, 4), (2, 6), (8, 14), (4, 14)] {
            let tables = failures(slots, &world);
            // The number and the secret are values as well.
            assert_eq!(world.shared_keys().len(), values + 2);
            for number in 0..slots {
                let name = format!("p/table/failures/{slots}/{number}");
                let mut slot = Slot::from_bytes(world.shared(&name).unwrap()).unwrap();
                assert_eq!(slot.len(), usize::from(before == slots), "{name}");
                slot.set(&one(0), Kept { state: &State::fresh(), weight: Weight { until: 1, spent: 0 } }, 0);
                world.set_shared(&name, slot.as_bytes());
            }
            assert_eq!(
                tables.slot(Which::Failures, &one(9)),
                Some(format!("p/table/failures/{slots}/{}", 9 % slots))
            );
            before = slots;
        }
    }

    /// Envoy takes a configuration up again that it had within its drain time, and does not tell the module.
    #[test]
    fn a_configuration_that_is_taken_up_again_keeps_what_it_counts() {
        let world = World::new();
        let first = failures(4, &world);
        failures(2, &world);
        let name = first.slot(Which::Failures, &one(1)).unwrap();
        let mut slot = Slot::from_bytes(world.shared(&name).unwrap()).unwrap();
        assert_eq!(slot.len(), 0);
        slot.set(&one(1), Kept { state: &State::fresh(), weight: Weight { until: 9, spent: 1 } }, 0);
        world.set_shared(&name, slot.as_bytes());
        failures(4, &world);
        assert_eq!(world.shared(&name).as_deref(), Some(slot.as_bytes()));
    }

    #[test]
    fn a_table_is_not_too_large() {
        let world = World::new();
        let refused = |slots: u64, tables: u64| {
            let error = check_size(NonZeroU64::new(slots).unwrap(), NonZeroU64::new(tables).unwrap());
            error.map_err(|error| error.to_string())
        };
        assert_eq!(refused(65_536, 1), Ok(()));
        assert_eq!(
            refused(65_537, 1).unwrap_err(),
            "table.slots: found 65537, expected at most 65536: with so many, full tables take about 104 MB"
        );
        assert_eq!(refused(21_845, 3), Ok(()));
        let error = refused(21_846, 3).unwrap_err();
        assert!(error.contains("expected at most 21845 for each of 3 tables"), "{error}");
        let limits = BTreeSet::from([scope(PerConfig::Ip)]);
        let needed = Needed { consumers: true, limits, failures: true };
        assert_eq!(create(21_846, needed, &world).unwrap_err().to_string(), error);
        assert!(world.shared_keys().is_empty());
    }

    #[test]
    fn no_two_lists_of_parts_are_alike() {
        let table = failures(1, &World::new());
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
        let tables = format!("{:?}", failures(1, &World::new()));
        assert!(tables.starts_with("Tables { when_full: Evict, ") && tables.ends_with(", .. }"), "{tables}");
    }
}
