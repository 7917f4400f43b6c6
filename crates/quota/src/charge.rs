//! Counting a request in all the limits that count it, against all that other workers count at the same time.
//!
//! All the limits count it or none does, also where they are in several accounts: all are read, and if each limit has room,
//! one account is written after the other. Where somebody else came between, that account is read and decided on again; if
//! there is no room any more, what was written before is taken back.

use meshgate_policy::exchange::Reply;
use meshgate_policy::host::{Host, HostError};

use crate::Quota;
use crate::accounts::{Accounts, MAX_ATTEMPTS, Place, Unwritten};
use crate::answer::Refusal;
use crate::consumer::Identity;
use crate::exchange::Stop;
use crate::metrics::LimitEvent;
use crate::plan::{Counted, Over, Plan, Usages};
use crate::rate_limit::{Fields, seconds};
use crate::scope::Facts;
use crate::settle::Unsettled;
use crate::slot::Full;
use crate::usage::UsageEndpoint;

/// Why a request was not counted.
enum Failure<'a> {
    /// Limits have no room for it any more.
    Over(Box<Over<'a>>),
    /// The usage changed too often.
    Contention,
    /// A table has no room.
    Full(Full),
    Host(HostError),
}

/// A decision that is being written.
struct Decision<'a> {
    plan: &'a Plan,
    counted: &'a Counted,
    usages: Usages,
    now: u64,
    /// How often it may still be forestalled.
    attempts: u32,
}

impl Quota {
    /// Counts a request. What the client is to read of that comes back, and what is to be settled when the response passes
    /// and ends.
    ///
    /// # Errors
    /// A limit has no room for it, or it can't be counted.
    pub(crate) fn charge(
        &self,
        host: &mut dyn Host,
        identity: &Identity<'_>,
        facts: &Facts<'_>,
        counted: &Counted,
    ) -> Result<(Fields, Option<Box<Unsettled>>), Stop> {
        let plan = identity.plan;
        let now = host.now().as_nanos();
        let mut accounts = self.accounts(host, identity, facts, counted)?;
        let usages = match plan.charge(&mut accounts, counted, now) {
            Ok(usages) => usages,
            Err(over) => return Err(self.refuse(host, identity, &mut accounts, counted, *over, now)?),
        };
        // So that nothing has to be taken back for that.
        for number in 0..accounts.len() {
            let room = accounts.get_mut(number).map_or(Ok(()), |account| self.room(account, now));
            if let Err(full) = room
                && is_enforced(&accounts, number, counted)
            {
                return Err(table_full(full, now));
            }
        }
        let mut decision = Decision { plan, counted, usages, now, attempts: MAX_ATTEMPTS };
        match self.commit(host, &mut accounts, &mut decision) {
            Ok(()) => {
                for name in plan.let_pass(counted, &decision.usages) {
                    self.metrics.count_limit(host, name, LimitEvent::ShadowDenied);
                    host.detail(format_args!("limit {name}: has no room, and lets it pass"));
                }
                let fields = self.tell_passed(host, &plan.told(counted, &decision.usages, now))?;
                let unsettled = Unsettled::new(plan, accounts, counted, &decision.usages);
                Ok((fields, unsettled.map(Box::new)))
            }
            Err(Failure::Over(found)) => {
                accounts.iter_mut().try_for_each(|account| self.read(host, account))?;
                // By now others may have made room; it is refused for what there was.
                let over = plan.over(&accounts, counted, now);
                let over = if over.violated.is_empty() { *found } else { over };
                Err(self.refuse(host, identity, &mut accounts, counted, over, now)?)
            }
            Err(Failure::Full(full)) => Err(table_full(full, now)),
            Err(Failure::Contention) => Err(Refusal::Contention.into()),
            Err(Failure::Host(error)) => Err(error.into()),
        }
    }

    /// What the usage endpoint answers to a caller.
    ///
    /// # Errors
    /// What the host refused.
    pub(crate) fn usage_reply(
        &self,
        host: &mut dyn Host,
        endpoint: &UsageEndpoint,
        method: &[u8],
        identity: &Identity<'_>,
        facts: &Facts<'_>,
    ) -> Result<Reply, HostError> {
        let now = host.now().as_nanos();
        let accounts = self.accounts(host, identity, facts, &identity.plan.all_limits())?;
        Ok(endpoint.reply(method, identity, &identity.plan.standings(&accounts, now), now))
    }

    /// The accounts of the limits that count a request, as they are now.
    fn accounts<'a>(
        &self,
        host: &mut dyn Host,
        identity: &Identity<'a>,
        facts: &Facts<'_>,
        counted: &Counted,
    ) -> Result<Accounts<'a>, HostError> {
        let mut accounts = Accounts::new(counted, |index| {
            let limit = identity.plan.limit(index).ok_or(HostError::Malformed)?;
            Place::of(&limit.scope, identity, facts, self.tables.as_ref(), host)
        })?;
        accounts.iter_mut().try_for_each(|account| self.read(host, account))?;
        Ok(accounts)
    }

    /// Writes what was decided on, all of it or nothing.
    fn commit<'d>(
        &self,
        host: &mut dyn Host,
        accounts: &mut Accounts<'_>,
        decision: &mut Decision<'d>,
    ) -> Result<(), Failure<'d>> {
        for number in 0..accounts.len() {
            if let Err(failure) = self.commit_one(host, accounts, number, decision) {
                self.take_back(host, accounts, number, decision);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Writes one account. Where another worker came between, the limits that are there are decided on again.
    fn commit_one<'d>(
        &self,
        host: &mut dyn Host,
        accounts: &mut Accounts<'_>,
        number: usize,
        decision: &mut Decision<'d>,
    ) -> Result<(), Failure<'d>> {
        loop {
            let Some(account) = accounts.get_mut(number) else { return Ok(()) };
            match self.write(host, account, decision.now) {
                Ok(()) => return Ok(()),
                Err(Unwritten::Host(HostError::Conflict)) => {}
                Err(Unwritten::Host(error)) => return Err(Failure::Host(error)),
                Err(Unwritten::Full(full)) if is_enforced(accounts, number, decision.counted) => {
                    return Err(Failure::Full(full));
                }
                // Limits that refuse nothing don't do so because they can't count.
                Err(Unwritten::Full(_)) => return Ok(()),
            }
            decision.attempts = decision.attempts.saturating_sub(1);
            if decision.attempts == 0 {
                return Err(Failure::Contention);
            }
            self.read(host, account).map_err(Failure::Host)?;
            let here = only(accounts, number, decision.counted);
            let again = decision.plan.charge(accounts, &here, decision.now).map_err(Failure::Over)?;
            for ((usage, again), due) in decision.usages.iter_mut().zip(again).zip(here) {
                *usage = if due.is_some() { again } else { *usage };
            }
        }
    }

    /// Takes back what was written to the first so many accounts.
    fn take_back(
        &self,
        host: &mut dyn Host,
        accounts: &mut Accounts<'_>,
        written: usize,
        decision: &Decision<'_>,
    ) {
        let Decision { plan, now, .. } = *decision;
        for number in 0..written {
            let here = only(accounts, number, decision.counted);
            let Some(account) = accounts.get_mut(number) else { continue };
            let taken = self.update(host, account, now, |account| {
                for (index, limit, cost) in plan.counting(&here) {
                    let Some(Some(charged)) = decision.usages.get(index) else { continue };
                    let usage = limit.rule.refund(limit.usage_in(account), *charged, cost, now);
                    plan.set_in(account, index, usage, now);
                }
            });
            if let Err(error) = taken {
                log::error!("a request that was refused stays counted: {error}");
            }
        }
    }

    /// The answer to a request that is over a limit. Limits that count such requests too count it.
    fn refuse(
        &self,
        host: &mut dyn Host,
        identity: &Identity<'_>,
        accounts: &mut Accounts<'_>,
        counted: &Counted,
        mut over: Over<'_>,
        now: u64,
    ) -> Result<Stop, HostError> {
        let plan = identity.plan;
        let mut rejected = counted.clone();
        for (limit, cost) in plan.limits().zip(&mut rejected) {
            *cost = cost.filter(|_| limit.count_rejected);
        }
        if counts_any(&rejected) {
            for number in 0..accounts.len() {
                let here = only(accounts, number, &rejected);
                let Some(account) = accounts.get_mut(number).filter(|_| counts_any(&here)) else { continue };
                self.update(host, account, now, |account| {
                    for (index, limit, cost) in plan.counting(&here) {
                        let usage = limit.rule.charge_refused(limit.usage_in(account), now, cost);
                        plan.set_in(account, index, usage, now);
                    }
                })?;
            }
            let after = plan.over(accounts, counted, now);
            over.wait = over.wait.max(after.wait);
            over.usages = after.usages;
        }
        self.tell_refused(host, identity, &over, &plan.told(counted, &over.usages, now))
    }
}

fn counts_any(counted: &Counted) -> bool {
    counted.iter().any(Option::is_some)
}

/// The refusal of a request that would be the first in an account for which a table has no room.
fn table_full(Full { until }: Full, now: u64) -> Stop {
    Refusal::TableFull { retry_after: seconds(until.saturating_sub(now)) }.into()
}

/// Whether a limit that counts a request in one account may refuse it.
fn is_enforced(accounts: &Accounts<'_>, number: usize, counted: &Counted) -> bool {
    only(accounts, number, counted).iter().flatten().any(|due| due.enforced)
}

/// Of the limits that count a request, those that are in one account.
fn only(accounts: &Accounts<'_>, number: usize, counted: &Counted) -> Counted {
    let mut here = counted.clone();
    for (index, cost) in here.iter_mut().enumerate() {
        *cost = cost.filter(|_| accounts.number(index) == number);
    }
    here
}
