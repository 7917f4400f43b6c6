//! How often something is fetched: before it is old, not by all at once, and ever more rarely while that fails.

use std::time::Duration;

use meshgate_policy::config::{self, ConfigError, Path};
use meshgate_policy::host::{Host, Timestamp};

/// The first wait after a fetch that failed; it doubles each time.
pub const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
const MIN_REFRESH: Duration = Duration::from_secs(10);

/// Checks how old something may become.
///
/// # Errors
/// A [`ConfigError`] for less than ten seconds.
pub fn refresh(config: config::Duration, path: &Path) -> Result<Duration, ConfigError> {
    let refresh = Duration::from(config);
    if refresh < MIN_REFRESH {
        let error = ConfigError::at(path.key("refresh")).value(&config.to_string());
        return Err(error.expected("at least 10s"));
    }
    Ok(refresh)
}

/// Between 15/20 and 19/20 of the time that something may take to get old: workers and proxies ask one after the other.
pub fn jittered(refresh: Duration, host: &mut dyn Host) -> Duration {
    let mut bytes = [0; 4];
    // Without chance all ask in the middle.
    let share = host.random(&mut bytes).map_or(0x8000, |()| u32::from_le_bytes(bytes) >> 16);
    let refresh = u64::try_from(refresh.as_millis()).unwrap_or(u64::MAX);
    let by_chance = (refresh / 5).saturating_mul(share.into()) / 0x1_0000;
    Duration::from_millis((refresh / 4).saturating_mul(3).saturating_add(by_chance))
}

/// How often it failed, and when it may be tried again.
#[derive(Debug, Default)]
pub struct Retries {
    /// How often in a row.
    pub failures: u32,
    /// Before then nothing is asked for.
    pub at: Timestamp,
}

impl Retries {
    /// It failed once more.
    pub fn failed(&mut self, now: Timestamp) {
        let wait =
            FIRST_RETRY.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LAST_RETRY);
        self.failures = self.failures.saturating_add(1).min(16);
        self.at = now.after(wait);
    }

    /// Whole seconds from which on it will have been tried.
    pub fn seconds(&self, now: Timestamp) -> u64 {
        self.at.since(now).as_secs().saturating_add(1)
    }
}
