//! The keys, by their digests: a table made for a million of them.
//!
//! They are in order, and found by the first bits of their digests: what is looked up lies in one place, or in no more than
//! some beside each other. A key takes an entry of 64 bytes, the bytes of its id, and four to eight bytes in the list of where
//! to look. What few keys have lies apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::rc::Rc;

use hashbrown::HashTable;
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::digest::Digest;
use meshgate_policy::host::Timestamp;

use crate::answer::Refusal;
use crate::config::KeyConfig;
use crate::consumer::{Metadata, NAME_FORM, check_name};
use crate::pepper::Pepper;
use crate::plan::Plan;
use crate::presented::Presented;

/// All keys.
#[derive(Debug, Default)]
pub struct Keys {
    /// By digest.
    entries: Vec<Key>,
    /// Where the entries begin whose digests begin with the bits of a number, for all such numbers, and where the last of
    /// them end. There are as many as entries, more or less: each has about one.
    starts: Vec<u32>,
    /// How many bits of a digest's prefix are not of that number.
    shift: u32,
    /// The ids of all keys, one behind the other: with a million keys, an allocation for each would cost more than they do.
    ids: String,
    /// By where the ids of their keys start.
    extras: HashMap<u32, Extra>,
    /// Some digest is plain.
    has_plain: bool,
    /// Some digest is not.
    has_peppered: bool,
    /// What digests were made with where they are not plain.
    pepper: Option<Pepper>,
}

/// What a digest stands for. A look-up touches one line of the cache for it.
#[derive(Debug)]
#[repr(align(64))]
struct Key {
    digest: Digest,
    not_before: Timestamp,
    expires_at: Timestamp,
    consumer: u32,
    id_start: u32,
    id_length: u8,
    peppered: bool,
    disabled: bool,
    has_extra: bool,
}

/// What few keys have.
#[derive(Debug)]
pub struct Extra {
    /// A plan of its own.
    pub plan: Option<Rc<Plan>>,
    /// What the upstream is told of it, with what it is told of the consumer.
    pub metadata: Metadata,
}

/// A key that somebody has.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Whose it is, by number.
    pub consumer: usize,
    /// What it is known by.
    pub id: &'a str,
    /// What only few have.
    pub extra: Option<&'a Extra>,
    key: &'a Key,
}

/// Takes the keys of a configuration, one after the other.
#[derive(Debug)]
pub struct Builder {
    keys: Keys,
    /// The keys again, by their digests and by their ids: no two have one.
    by_digest: HashTable<u32>,
    by_id: HashTable<u32>,
    hasher: RandomState,
    checks: Checks,
}

/// Checks what is said of a key, wherever that stands.
#[derive(Debug)]
pub struct Checks {
    /// What the empty string has for a digest: plain, and with the pepper if there is one.
    of_nothing: (Digest, Option<Digest>),
}

/// What is said of a key, checked.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    /// Its digest.
    pub digest: Digest,
    /// That is made with the pepper.
    pub peppered: bool,
    /// When it can be used.
    pub validity: Validity,
}

/// When a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before this time.
    pub not_before: Timestamp,
    /// Before this one.
    pub expires_at: Timestamp,
    /// Not at all.
    pub disabled: bool,
}

impl Keys {
    /// Whose key it is.
    pub fn find(&self, key: &Presented<'_>) -> Option<Found<'_>> {
        let plain = || self.look_up(key.plain(), false);
        let peppered = || if self.has_peppered { self.look_up(key.peppered()?, true) } else { None };
        self.has_plain.then(plain).flatten().or_else(peppered)
    }

    /// What digests were made with where they are not plain.
    pub const fn pepper(&self) -> Option<&Pepper> {
        self.pepper.as_ref()
    }

    /// The plans that keys have of their own.
    pub fn plans(&self) -> impl Iterator<Item = &Rc<Plan>> {
        self.extras.values().filter_map(|extra| extra.plan.as_ref())
    }

    fn look_up(&self, digest: &Digest, peppered: bool) -> Option<Found<'_>> {
        let bucket = self.bucket(digest)?;
        let start = usize::try_from(*self.starts.get(bucket)?).ok()?;
        let end = usize::try_from(*self.starts.get(bucket.checked_add(1)?)?).ok()?;
        let key = self.entries.get(start..end)?.iter().find(|key| key.is(digest, peppered))?;
        let extra = if key.has_extra { self.extras.get(&key.id_start) } else { None };
        let consumer = usize::try_from(key.consumer).ok()?;
        Some(Found { consumer, id: self.id(key)?, extra, key })
    }

    fn bucket(&self, digest: &Digest) -> Option<usize> {
        usize::try_from(digest.prefix().checked_shr(self.shift).unwrap_or(0)).ok()
    }

    fn entry(&self, place: u32) -> Option<&Key> {
        self.entries.get(usize::try_from(place).ok()?)
    }

    fn id(&self, key: &Key) -> Option<&str> {
        self.ids.get(key.id_range()?)
    }
}

impl Found<'_> {
    /// Why the key is refused, whatever is asked for with it.
    pub fn refusal(&self, now: impl FnOnce() -> Timestamp) -> Option<Refusal> {
        let Key { not_before, expires_at, disabled, .. } = *self.key;
        Validity { not_before, expires_at, disabled }.refusal(now)
    }
}

impl Validity {
    /// Why a key is refused, whatever is asked for with it.
    pub fn refusal(self, now: impl FnOnce() -> Timestamp) -> Option<Refusal> {
        let Self { not_before, expires_at, disabled } = self;
        if disabled {
            return Some(Refusal::KeyDisabled);
        }
        if not_before == ALWAYS && expires_at == NEVER {
            return None;
        }
        let now = now();
        if now < not_before {
            Some(Refusal::KeyNotYetValid)
        } else if now >= expires_at {
            Some(Refusal::KeyExpired)
        } else {
            None
        }
    }
}

/// Before any time there is.
pub const ALWAYS: Timestamp = Timestamp::from_nanos(0);
/// After any time there is.
pub const NEVER: Timestamp = Timestamp::from_nanos(u64::MAX);

impl Builder {
    /// For so many keys.
    pub fn new(count: usize, pepper: Option<Pepper>) -> Self {
        let checks = Checks::new(pepper.as_ref());
        let keys = Keys { entries: Vec::with_capacity(count), pepper, ..Keys::default() };
        let [by_digest, by_id] = [count; 2].map(HashTable::with_capacity);
        Self { keys, by_digest, by_id, hasher: RandomState::new(), checks }
    }

    /// Adds a key of the consumer of this number.
    ///
    /// # Errors
    /// A [`ConfigError`] for what is wrong with it.
    pub fn add(
        &mut self,
        consumer: usize,
        config: &KeyConfig,
        extra: Option<Extra>,
        path: &Path,
    ) -> Result<(), ConfigError> {
        let Checked { digest, peppered, validity } = self.checks.check(config, path)?;
        let Validity { not_before, expires_at, disabled } = validity;
        let here = path.key("id");
        let keys = &mut self.keys;
        let too_many = || ConfigError::at(&here).problem("the ids of all keys are longer than 4 GiB");
        let place = u32::try_from(keys.entries.len()).map_err(|_| too_many())?;
        let key = Key {
            digest,
            not_before,
            expires_at,
            consumer: u32::try_from(consumer).map_err(|_| too_many())?,
            id_start: u32::try_from(keys.ids.len()).map_err(|_| too_many())?,
            id_length: u8::try_from(config.id.len()).map_err(|_| too_many())?,
            peppered,
            disabled,
            has_extra: extra.is_some(),
        };
        let hash = self.hasher.hash_one(config.id.as_str());
        let same_id =
            |place: &u32| keys.entry(*place).and_then(|key| keys.id(key)) == Some(config.id.as_str());
        if self.by_id.find(hash, same_id).is_some() {
            return Err(ConfigError::at(&here).found("the id of another key").expected("an id of its own"));
        }
        let same_key = |place: &u32| keys.entry(*place).is_some_and(|key| key.is(&digest, peppered));
        if self.by_digest.find(digest.prefix(), same_key).is_some() {
            return Err(ConfigError::at(path.key(if peppered { PEPPERED } else { PLAIN }))
                .found("the digest of another key")
                .expected("a digest of its own")
                .hint("each key belongs to one consumer, once"));
        }
        keys.has_plain |= !peppered;
        keys.has_peppered |= peppered;
        let key_id = key.id_start;
        keys.entries.push(key);
        keys.ids.push_str(&config.id);
        keys.extras.extend(extra.map(|extra| (key_id, extra)));
        let (entries, ids, hasher) = (&keys.entries, &keys.ids, &self.hasher);
        let entry = |place: &u32| entries.get(usize::try_from(*place).ok()?);
        self.by_digest
            .insert_unique(digest.prefix(), place, |place| entry(place).map_or(0, |key| key.digest.prefix()));
        self.by_id.insert_unique(hash, place, |place| {
            let id = entry(place).and_then(|key| ids.get(key.id_range()?));
            hasher.hash_one(id.unwrap_or_default())
        });
        Ok(())
    }

    /// The table.
    pub fn finish(self) -> Keys {
        let mut keys = self.keys;
        keys.ids.shrink_to_fit();
        keys.entries.sort_unstable_by_key(|key| key.digest.prefix());
        let buckets = keys.entries.len().next_power_of_two();
        keys.shift = u64::BITS.saturating_sub(buckets.trailing_zeros());
        let mut starts = Vec::with_capacity(buckets.saturating_add(1));
        for (place, key) in (0_u32..).zip(&keys.entries) {
            let bucket = keys.bucket(&key.digest).unwrap_or_default();
            starts.resize(starts.len().max(bucket.saturating_add(1)), place);
        }
        starts.resize(buckets.saturating_add(1), u32::try_from(keys.entries.len()).unwrap_or(u32::MAX));
        keys.starts = starts;
        keys
    }
}

impl Checks {
    /// `pepper`: what digests may be made with.
    pub fn new(pepper: Option<&Pepper>) -> Self {
        Self { of_nothing: (Digest::of(b""), pepper.map(|pepper| pepper.digest(b""))) }
    }

    /// Checks what is said of a key: its id, its digest and when it can be used.
    ///
    /// # Errors
    /// A [`ConfigError`] for what is wrong.
    pub fn check(&self, config: &KeyConfig, path: &Path) -> Result<Checked, ConfigError> {
        let (digest, peppered) = self.digest(config, path)?;
        let of_nothing = if peppered { self.of_nothing.1 } else { Some(self.of_nothing.0) };
        if of_nothing == Some(digest) {
            return Err(ConfigError::at(path.key(if peppered { PEPPERED } else { PLAIN }))
                .found("the digest of the empty string")
                .expected("that of a key")
                .hint("was KEY set where the digest was made?"));
        }
        let (not_before, expires_at) = validity(config, path)?;
        let here = path.key("id");
        // What stands here by mistake may be the key itself: it is not shown.
        check_name(&config.id, &here).map_err(|_| {
            let found = format!("a string of {} characters", config.id.chars().count());
            ConfigError::at(&here).found(found).expected(NAME_FORM)
        })?;
        let validity = Validity { not_before, expires_at, disabled: config.disabled };
        Ok(Checked { digest, peppered, validity })
    }

    /// The digest of a key, and whether it was made with the pepper.
    fn digest(&self, config: &KeyConfig, path: &Path) -> Result<(Digest, bool), ConfigError> {
        match (config.sha256, config.hmac_sha256) {
            (Some(digest), None) => Ok((digest, false)),
            (None, Some(digest)) if self.of_nothing.1.is_some() => Ok((digest, true)),
            (None, Some(_)) => Err(ConfigError::at(path.key(PEPPERED))
                .found("a digest with a pepper, and no pepper")
                .expected("where the pepper is, such as pepper: {env: MESHGATE_PEPPER}")),
            (Some(_), Some(_)) => {
                Err(ConfigError::at(path).found("sha256 and hmac_sha256").expected("one of them"))
            }
            (None, None) => Err(ConfigError::at(path)
                .found("neither sha256 nor hmac_sha256")
                .expected("the digest of the key: printf %s \"$KEY\" | sha256sum")),
        }
    }
}

/// The field of a plain digest.
pub const PLAIN: &str = "sha256";
/// The field of one with the pepper.
pub const PEPPERED: &str = "hmac_sha256";

fn validity(config: &KeyConfig, path: &Path) -> Result<(Timestamp, Timestamp), ConfigError> {
    let from = config.not_before.map_or(ALWAYS, |time| time.0);
    let until = config.expires_at.map_or(NEVER, |time| time.0);
    if from < until {
        Ok((from, until))
    } else {
        let error = ConfigError::at(path.key("expires_at")).found("a time that is not after not_before");
        Err(error.expected("a later one").hint("the key would never be valid"))
    }
}

impl Key {
    fn is(&self, digest: &Digest, peppered: bool) -> bool {
        self.peppered == peppered && self.digest == *digest
    }

    fn id_range(&self) -> Option<Range<usize>> {
        let start = usize::try_from(self.id_start).ok()?;
        Some(start..start.checked_add(self.id_length.into())?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{PepperConfig, Time};
    use meshgate_policy::host::Setup as _;
    use meshgate_test_host::World;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn secret(number: u32) -> [u8; 4] {
        number.to_le_bytes()
    }

    fn config(number: u32) -> KeyConfig {
        KeyConfig {
            id: format!("key-{number:07}"),
            sha256: Some(Digest::of(&secret(number))),
            hmac_sha256: None,
            not_before: None,
            expires_at: Some(Time(Timestamp::from_nanos(u64::from(number) + 1))),
            disabled: false,
            plan: None,
            limits: Vec::new(),
            metadata: BTreeMap::new(),
        }
    }

    /// So many keys, each with an id of eleven characters and a time at which it expires.
    fn keys(count: u32) -> Keys {
        let mut keys = Builder::new(count as usize, None);
        for number in 0..count {
            keys.add(number as usize % 10, &config(number), None, &Path::root()).unwrap();
        }
        keys.finish()
    }

    fn find<'a>(keys: &'a Keys, key: &[u8]) -> Option<Found<'a>> {
        keys.find(&Presented::new(key, keys.pepper()))
    }

    /// What the table takes of the memory, but for what few keys have.
    fn bytes(keys: &Keys) -> usize {
        keys.entries.capacity() * size_of::<Key>()
            + keys.starts.capacity() * size_of::<u32>()
            + keys.ids.capacity()
    }

    #[test]
    fn keys_are_found_with_their_ids() {
        let keys = keys(1_000);
        assert_eq!(keys.starts.len(), 1_025);
        for number in 0..1_000 {
            let found = find(&keys, &secret(number)).unwrap();
            let id = format!("key-{number:07}");
            assert_eq!((found.id, found.consumer), (id.as_str(), number as usize % 10));
            let refusal = |now| found.refusal(|| Timestamp::from_nanos(now));
            assert_eq!(refusal(number.into()), None);
            assert_eq!(refusal(u64::from(number) + 1), Some(Refusal::KeyExpired));
        }
        assert!((1_000..9_000).all(|number| find(&keys, &secret(number)).is_none()));
        // Few keys have few buckets.
        for count in 0..4 {
            let keys = self::keys(count);
            assert!(
                (0..4).all(|number| find(&keys, &secret(number)).is_some() == (number < count)),
                "{count}"
            );
        }
    }

    #[test]
    fn a_key_takes_at_most_120_bytes() {
        assert_eq!(size_of::<Key>(), 64);
        // There are most buckets right above a power of two.
        for count in [1_000, 1_024, 1_025, 10_000] {
            let keys = keys(count);
            assert!(bytes(&keys) <= 120 * count as usize, "{} bytes for {count} keys", bytes(&keys));
        }
    }

    #[test]
    fn a_digest_with_a_pepper_is_no_plain_one() {
        let world = World::new();
        world.set_environment("P", *b"0123456789abcdef");
        let pepper = || Pepper::compile(&PepperConfig { env: "P".to_owned() }, &world).unwrap();
        let mut keys = Builder::new(2, Some(pepper()));
        // The digest of the one in the place of the other.
        let peppered = KeyConfig { sha256: None, hmac_sha256: Some(Digest::of(&secret(1))), ..config(1) };
        keys.add(0, &peppered, None, &Path::root()).unwrap();
        let peppered =
            KeyConfig { sha256: None, hmac_sha256: Some(pepper().digest(&secret(2))), ..config(2) };
        keys.add(0, &peppered, None, &Path::root()).unwrap();
        let keys = keys.finish();
        assert!(find(&keys, &secret(1)).is_none());
        assert_eq!(find(&keys, &secret(2)).unwrap().id, "key-0000002");
        assert!(world.environment("Q").is_none());
    }

    /// A look-up compares a key with those that lie where it must: as few among a million as among a thousand, whether it is
    /// there or not. What the memory takes for that `make bench` measures.
    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn a_million_keys_take_no_more_comparisons_than_a_thousand() {
        let compared = |keys: &Keys, key: u32| {
            let bucket = keys.bucket(&Digest::of(&secret(key))).unwrap();
            u64::from(keys.starts[bucket + 1] - keys.starts[bucket])
        };
        // Hundredths of a comparison on average, and the most of any.
        let all = |keys: &Keys, which: Range<u32>| {
            let compared: Vec<u64> = which.map(|key| compared(keys, key)).collect();
            (compared.iter().sum::<u64>() * 100 / compared.len() as u64, compared.into_iter().max().unwrap())
        };
        let (few, many) = (keys(1_000), keys(1_000_000));
        assert!(bytes(&many) <= 90_000_000, "{} bytes: the README says so", bytes(&many));
        for (keys, count) in [(&few, 1_000), (&many, 1_000_000)] {
            // Digests are as by chance, so with a place for each key one that is there lies beside one other on average.
            let (there, most) = all(keys, 0..count);
            assert!((100..=200).contains(&there) && most <= 8, "{there} and {most} for {count} keys");
            let (missing, most) = all(keys, 2_000_000..2_000_000 + count);
            assert!(missing <= 105 && most <= 8, "{missing} and {most} for {count} keys");
        }
    }
}
