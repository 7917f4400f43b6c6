//! How often a client may fail to authenticate: whoever tries keys gets no further than that, and no consumer pays for it.
//!
//! Failures are counted for the address of the client, in a table of their own. Once a client has failed too often its keys
//! are not looked up any more, right ones neither, until so much time has passed that it may fail again.

use std::num::NonZeroU64;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Host, HostError};

use crate::Quota;
use crate::accounts::{Account, Place};
use crate::answer::Refusal;
use crate::config::{FailedAuthConfig, MAX_COST};
use crate::exchange::Stop;
use crate::limit::{Gcra, Rule, Usage, Wait};
use crate::rate_limit::seconds;
use crate::rule;
use crate::scope::Facts;
use crate::table::Which;

/// What the count is called in its account.
const NAME: &str = "failed_auth";

/// How often.
#[derive(Debug)]
pub struct FailedAuth {
    rule: Rule,
}

impl FailedAuth {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for a number that is too large.
    pub fn compile(config: FailedAuthConfig) -> Result<Self, ConfigError> {
        let path = Path::root().key("failed_auth");
        let FailedAuthConfig { rate, burst } = config;
        let check = |amount: NonZeroU64, field: &str| {
            let error = || ConfigError::at(path.key(field)).found(amount.to_string());
            let most = format!("at most {MAX_COST}");
            if amount.get() <= MAX_COST { Ok(amount) } else { Err(error().expected(most)) }
        };
        let amount = check(rate.amount, "rate")?;
        let burst = burst.map_or(Ok(amount), |burst| check(burst, "burst"))?;
        Ok(Self { rule: Rule::Gcra(Gcra::new(amount, rule::nanoseconds(rate.per), burst)) })
    }

    fn used(&self, account: &Account<'_>) -> Usage {
        account.usage(NAME).unwrap_or_else(|| self.rule.unused())
    }

    /// Refuses a client that has no failure left.
    fn check(&self, account: &Account<'_>, now: u64) -> Result<(), Refusal> {
        match self.rule.wait(self.used(account), now, 1) {
            Wait::Nothing | Wait::ForOthers => Ok(()),
            Wait::For(wait) => Err(Refusal::FailedAuthLimited { retry_after: seconds(wait) }),
            Wait::Forever => Err(Refusal::FailedAuthLimited { retry_after: seconds(u64::MAX) }),
        }
    }
}

impl Quota {
    /// Refuses a request whose client has failed too often, before anything is made of its credentials.
    ///
    /// # Errors
    /// It has, or what the host refused.
    pub(crate) fn check_failures(&self, host: &mut dyn Host, facts: &Facts<'_>) -> Result<(), Stop> {
        let Some(failed_auth) = &self.failed_auth else { return Ok(()) };
        let mut account = Account::new(self.failures(host, facts)?);
        self.read(host, &mut account)?;
        let now = host.now().as_nanos();
        Ok(failed_auth.check(&account, now)?)
    }

    /// Counts a failure to authenticate. Returns how the request is refused: where other workers have counted the last
    /// failures that the client had left, it does not learn that its credentials are wrong.
    ///
    /// # Errors
    /// What the host refused.
    pub(crate) fn count_failure(
        &self,
        host: &mut dyn Host,
        facts: &Facts<'_>,
        why: Refusal,
    ) -> Result<Refusal, HostError> {
        let Some(failed_auth) = self.failed_auth.as_ref().filter(|_| why.is_failed_authentication()) else {
            return Ok(why);
        };
        let mut account = Account::new(self.failures(host, facts)?);
        let now = host.now().as_nanos();
        let mut refusal = why;
        self.update(host, &mut account, now, |account| {
            let usage = failed_auth.used(account);
            refusal = failed_auth.check(account, now).err().unwrap_or(why);
            if let Some(charged) = failed_auth.rule.charge(usage, now, 1) {
                account.set(NAME, charged, |_| true);
                account.weigh(|_, _| Some(failed_auth.rule.weight(charged, now)));
            }
        })?;
        Ok(refusal)
    }

    fn failures(&self, host: &mut dyn Host, facts: &Facts<'_>) -> Result<Place<'static>, HostError> {
        let tables = self.tables.as_ref().ok_or(HostError::Unsupported)?;
        facts.failures(tables, host).map(|fingerprint| Place::Entry(Which::Failures, fingerprint))
    }
}
