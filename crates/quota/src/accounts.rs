//! Where usage is kept: each consumer of the configuration has a shared value, and all others an entry of a table.
//!
//! A request may be counted in several accounts: in that of its consumer, and in that of its client's address. Each is read
//! once and written once by compare-and-swap, in an order that is the same for all requests: of two that want the last of
//! the same limits, the one that gets the first gets them all.

use std::borrow::Cow;

use meshgate_policy::host::{Host, HostError, Version};

use crate::Quota;
use crate::consumer::{Identity, UsageAt};
use crate::limit::Usage;
use crate::metrics::{Event, Level};
use crate::plan::{Counted, MAX_LIMITS};
use crate::scope::{Facts, Scope};
use crate::slot::{Full, Kept, Slot, Weight};
use crate::state::State;
use crate::table::{Fingerprint, Tables, Which};

/// How often a write that another worker forestalled is tried again. Each time some other request was counted, so even
/// with all workers at one consumer this is never reached.
pub const MAX_ATTEMPTS: u32 = 10_000;
/// A version that no value has: a write that expects it creates a missing value, and fails once there is one.
const ABSENT: Version = Version(u32::MAX);

/// Where an account is. In the order in which accounts are written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place<'a> {
    /// A shared value of its own.
    Value(Cow<'a, str>),
    /// An entry of a table.
    Entry(Which, Fingerprint),
}

/// What somebody has used, as it was read and as it is to be written.
#[derive(Debug)]
pub struct Account<'a> {
    place: Place<'a>,
    /// `None`: nothing, or not read yet.
    state: Option<State>,
    version: Version,
    /// For an entry: the slot that it is in.
    slot: Option<Slot>,
    /// For an entry: what it weighs, as it was read, and with what was set.
    before: Weight,
    weight: Weight,
}

/// Why an account was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// Its table has no room for it, and nobody is to go.
    Full(Full),
    /// The host refused; [`HostError::Conflict`]: somebody else has written it since it was read.
    Host(HostError),
}

/// The accounts that a request is counted in.
#[derive(Debug)]
pub struct Accounts<'a> {
    list: Vec<Account<'a>>,
    /// For each limit of the plan, which one.
    of: [usize; MAX_LIMITS],
}

impl<'a> Place<'a> {
    /// Where a scope counts a request of somebody.
    ///
    /// # Errors
    /// What the host refused, or there is no such table.
    pub fn of(
        scope: &Scope,
        identity: &Identity<'a>,
        facts: &Facts<'_>,
        tables: Option<&Tables>,
        host: &mut dyn Host,
    ) -> Result<Self, HostError> {
        match identity.usage {
            UsageAt::Value(name) if scope.is_consumer() => Ok(Self::Value(name.into())),
            _ => {
                let tables = tables.ok_or(HostError::Unsupported)?;
                let which = tables.of(scope).ok_or(HostError::Unsupported)?;
                let fingerprint = facts.fingerprint(scope, identity, tables, host)?;
                Ok(Self::Entry(which, fingerprint))
            }
        }
    }

    /// For later.
    pub fn into_owned(self) -> Place<'static> {
        match self {
            Self::Value(name) => Place::Value(name.into_owned().into()),
            Self::Entry(which, fingerprint) => Place::Entry(which, fingerprint),
        }
    }
}

impl<'a> Account<'a> {
    /// One that is not read yet.
    pub const fn new(place: Place<'a>) -> Self {
        let nothing = Weight { until: 0, spent: 0 };
        Self { place, state: None, version: ABSENT, slot: None, before: nothing, weight: nothing }
    }

    /// What was used of the limit of this name.
    pub fn usage(&self, name: &str) -> Option<Usage> {
        self.state.as_ref()?.get(name)
    }

    /// What was used of a rate of this name at which is counted no more.
    pub fn usage_before(&self, name: &str) -> Option<Usage> {
        self.state.as_ref()?.get_rate(name)
    }

    /// Sets what was used of a limit, to be written. `keep` says which entries stay if there are too many.
    pub fn set(&mut self, name: &str, usage: Usage, keep: impl Fn(&[u8]) -> bool) {
        self.state.get_or_insert_with(State::fresh).set(name, usage, keep);
    }

    /// Weighs what is used of all limits, after one was set. `weight` says what is used of the limit of a name; `None` of one
    /// that is not known now, for which stays what was known when it was counted.
    pub fn weigh(&mut self, weight: impl Fn(&Self, &[u8]) -> Option<Weight>) {
        let (Place::Entry(..), Some(state)) = (&self.place, &self.state) else { return };
        let limits = state.names().map(|name| weight(self, name).unwrap_or(self.before));
        self.weight = limits.fold(Weight::default(), Weight::max);
    }
}

impl<'a> Accounts<'a> {
    /// Those of the limits that count a request; `place` says where each has its own.
    ///
    /// # Errors
    /// What the host refused.
    pub fn new(
        counted: &Counted,
        mut place: impl FnMut(usize) -> Result<Place<'a>, HostError>,
    ) -> Result<Self, HostError> {
        let mut places: Vec<(Place<'a>, usize)> = Vec::with_capacity(1);
        for (index, _) in counted.iter().enumerate().filter(|(_, cost)| cost.is_some()) {
            places.push((place(index)?, index));
        }
        places.sort_unstable();
        let mut accounts = Self { list: Vec::with_capacity(1), of: [0; MAX_LIMITS] };
        for (place, index) in places {
            if accounts.list.last().is_none_or(|last| last.place != place) {
                accounts.list.push(Account::new(place));
            }
            if let Some(of) = accounts.of.get_mut(index) {
                *of = accounts.list.len().saturating_sub(1);
            }
        }
        Ok(accounts)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// One of them, by its number.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Account<'a>> {
        self.list.get_mut(number)
    }

    /// All, in the order in which they are written.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Account<'a>> {
        self.list.iter_mut()
    }

    /// The number of the one that a limit of the plan is counted in.
    pub fn number(&self, limit: usize) -> usize {
        self.of.get(limit).copied().unwrap_or_default()
    }

    /// The one that a limit of the plan is counted in.
    pub fn of(&self, limit: usize) -> Option<&Account<'a>> {
        self.list.get(self.number(limit))
    }

    /// As [`Accounts::of`], to change it.
    pub fn of_mut(&mut self, limit: usize) -> Option<&mut Account<'a>> {
        let number = self.number(limit);
        self.list.get_mut(number)
    }

    /// Where they are, for later.
    pub fn into_places(self) -> Vec<Place<'static>> {
        self.list.into_iter().map(|account| account.place.into_owned()).collect()
    }
}

impl Quota {
    /// Reads an account. One that is missing or can't be read counts as nothing used: it was made when the configuration
    /// came, so either is the work of somebody else who writes to the same values.
    ///
    /// # Errors
    /// What the host refused.
    pub(crate) fn read(&self, host: &mut dyn Host, account: &mut Account<'_>) -> Result<(), HostError> {
        let name = self.shared_name(&account.place)?;
        let shared = host.shared(&name)?;
        account.version = shared.as_ref().map_or(ABSENT, |shared| shared.version);
        let readable = match &account.place {
            Place::Value(_) => {
                account.state = shared.and_then(|shared| State::from_bytes(shared.value).ok());
                account.state.is_some()
            }
            Place::Entry(_, fingerprint) => {
                account.slot = shared.and_then(|shared| Slot::from_bytes(shared.value).ok());
                let kept = account.slot.as_ref().and_then(|slot| slot.get(fingerprint));
                let kept = kept.map(|(state, weight)| (Some(state), weight));
                (account.state, account.before) = kept.unwrap_or_default();
                account.slot.is_some()
            }
        };
        if !readable && !self.warned.replace(true) {
            log::warn!("{name}: no readable usage there; counting from zero");
        }
        Ok(())
    }

    /// Whether there is room for an account that was read, or it may take that of another.
    ///
    /// # Errors
    /// [`Full`]: neither.
    pub(crate) fn room(&self, account: &Account<'_>, now: u64) -> Result<(), Full> {
        match (&account.place, &account.slot, &self.tables) {
            (Place::Entry(which, fingerprint), Some(slot), Some(tables)) if !tables.evicts(*which) => {
                slot.room(fingerprint, now)
            }
            _ => Ok(()),
        }
    }

    /// Writes an account, if nobody else has since it was read.
    ///
    /// # Errors
    /// Why it is not written.
    pub(crate) fn write(
        &self,
        host: &mut dyn Host,
        account: &mut Account<'_>,
        now: u64,
    ) -> Result<(), Unwritten> {
        self.room(account, now).map_err(Unwritten::Full)?;
        let name = self.shared_name(&account.place).map_err(Unwritten::Host)?;
        let state = account.state.get_or_insert_with(State::fresh);
        let written = match &account.place {
            Place::Value(_) => host.set_shared(&name, state.as_bytes(), Some(account.version)),
            Place::Entry(which, fingerprint) => {
                let slot = account.slot.get_or_insert_with(Slot::fresh);
                let kept = Kept { state, weight: account.weight };
                let change = slot.set(fingerprint, kept, now);
                let written = host.set_shared(&name, slot.as_bytes(), Some(account.version));
                if written.is_ok() {
                    self.metrics.shift(host, Level::TableEntries(which.kind()), change.entries);
                    if change.evicted {
                        self.metrics.count(host, Event::eviction(which.kind()));
                    }
                }
                written
            }
        };
        if written == Err(HostError::Conflict) {
            self.metrics.count(host, Event::CasConflict);
        }
        written.map_err(Unwritten::Host)
    }

    /// Reads an account, changes it and writes it, until nobody comes between. Where there is no room for one that was not
    /// there it stays away: what it was to settle has run out.
    ///
    /// # Errors
    /// [`HostError::Conflict`] if somebody always came between, or what the host refused.
    pub(crate) fn update(
        &self,
        host: &mut dyn Host,
        account: &mut Account<'_>,
        now: u64,
        mut change: impl FnMut(&mut Account<'_>),
    ) -> Result<(), HostError> {
        for _ in 0..MAX_ATTEMPTS {
            self.read(host, account)?;
            change(account);
            match self.write(host, account, now) {
                Err(Unwritten::Host(HostError::Conflict)) => {}
                Err(Unwritten::Host(error)) => return Err(error),
                Ok(()) | Err(Unwritten::Full(_)) => return Ok(()),
            }
        }
        Err(HostError::Conflict)
    }

    fn shared_name<'a>(&self, place: &'a Place<'_>) -> Result<Cow<'a, str>, HostError> {
        let name = match place {
            Place::Value(name) => Some(Cow::Borrowed(&**name)),
            Place::Entry(which, fingerprint) => {
                self.tables.as_ref().and_then(|tables| tables.slot(*which, fingerprint)).map(Cow::Owned)
            }
        };
        name.ok_or(HostError::Unsupported)
    }
}
