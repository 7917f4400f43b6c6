//! How a limit counts, by what its configuration says.

use std::num::NonZeroU64;

use meshgate_policy::config::{ConfigError, Path, Percent, Period, Rate};

use crate::config::{AnchorConfig, LimitConfig, WindowKind};
use crate::limit::{self, Calendar, Concurrency, Gcra, Rule, Sliding, Span, Window, Zone};

/// The largest integer of a structured field (RFC 9651 section 3.3.1).
const MAX_AMOUNT: u64 = 999_999_999_999_999;
const DAY: u64 = 86_400 * SECOND;
const SECOND: u64 = 1_000_000_000;
/// 100 percent.
const WHOLE: u64 = 10_000;

/// Checks what a limit counts by.
///
/// # Errors
/// A [`ConfigError`] for what contradicts itself, or can't be said to clients.
pub fn compile(config: &LimitConfig, path: &Path) -> Result<Rule, ConfigError> {
    let overdraft = config.overdraft;
    match (config.rate, config.quota, config.concurrency) {
        (Some(rate), None, None) => {
            nothing_of_windows(config, path, "rate")?;
            let amount = check_amount(rate, &path.key("rate"))?;
            let burst = config.burst.map_or(Ok(amount), |burst| {
                check_number(burst, "how many requests may come at once", &path.key("burst"))
            })?;
            let gcra = Gcra::new(amount, nanoseconds(rate.per), burst);
            Ok(Rule::Gcra(gcra.with_overdraft(share(burst, overdraft))))
        }
        (None, Some(quota), None) => {
            nothing_of_bursts(config, path)?;
            let amount = check_amount(quota, &path.key("quota"))?;
            let overdraft = share(amount, overdraft);
            match config.window.unwrap_or(WindowKind::Fixed) {
                WindowKind::Fixed => {
                    let window = Window::new(amount, span(quota.per, config, path)?);
                    Ok(Rule::Window(window.with_overdraft(overdraft)))
                }
                WindowKind::Sliding => {
                    nothing_of_calendars(config, path)?;
                    let sliding = Sliding::new(amount, nanoseconds(quota.per));
                    Ok(Rule::Sliding(sliding.with_overdraft(overdraft)))
                }
            }
        }
        (None, None, Some(most)) => {
            nothing_of_windows(config, path, "concurrency")?;
            nothing_of_bursts(config, path)?;
            let most = check_number(most, "how many requests at the same time", &path.key("concurrency"))?;
            Ok(Rule::Concurrency(Concurrency::new(most).with_overdraft(share(most, overdraft))))
        }
        (None, None, None) => Err(ConfigError::at(path)
            .found("no rate, quota or concurrency")
            .expected("one of them, such as rate: 5/s or quota: 10000/month")),
        (rate, quota, concurrency) => {
            let given = [
                ("rate", rate.is_some()),
                ("quota", quota.is_some()),
                ("concurrency", concurrency.is_some()),
            ];
            let given: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
            let error = ConfigError::at(path).found(given.join(" and ")).expected("one of them");
            Err(error.hint("write a limit for each to have them together"))
        }
    }
}

fn nothing_of_bursts(config: &LimitConfig, path: &Path) -> Result<(), ConfigError> {
    if config.burst.is_none() {
        return Ok(());
    }
    let error =
        ConfigError::at(path.key("burst")).found("a burst without a rate").expected("one only beside rate");
    Err(error.hint("all of it may come at once; add a limit with a rate to prevent that"))
}

fn nothing_of_windows(config: &LimitConfig, path: &Path, beside: &str) -> Result<(), ConfigError> {
    if config.window.is_some() {
        let error = ConfigError::at(path.key("window")).found(format!("a window beside {beside}"));
        return Err(error.expected("one only beside quota"));
    }
    nothing_of_calendars(config, path)
}

fn nothing_of_calendars(config: &LimitConfig, path: &Path) -> Result<(), ConfigError> {
    for (field, given) in [("time_zone", config.time_zone.is_some()), ("anchor", config.anchor.is_some())] {
        if given {
            let error = ConfigError::at(path.key(field)).found("what only windows of a calendar have");
            return Err(error.expected("it beside a quota per d, week, month or year, in fixed windows"));
        }
    }
    Ok(())
}

/// The windows of a quota.
fn span(per: Period, config: &LimitConfig, path: &Path) -> Result<Span, ConfigError> {
    let anchor = config.anchor.unwrap_or_default();
    let anchored = |allowed: &[&str], what| check_anchor(anchor, allowed, what, &path.key("anchor"));
    let period = match per {
        Period::Day => {
            anchored(&[], "a day begins at midnight")?;
            limit::Period::Day
        }
        Period::Week => {
            anchored(&["weekday"], "a week begins on a weekday")?;
            limit::Period::Week(anchor.weekday.unwrap_or_default() as u8)
        }
        Period::Month => {
            anchored(&["day"], "a month begins on a day")?;
            limit::Period::Month(anchor.day.unwrap_or(1))
        }
        Period::Year => {
            anchored(&["month", "day"], "a year begins in a month, on a day")?;
            limit::Period::Year(anchor.month.unwrap_or(1), anchor.day.unwrap_or(1))
        }
        Period::Span(_) | Period::Second | Period::Minute | Period::Hour => {
            nothing_of_calendars(config, path)?;
            return Ok(Span::Even(nanoseconds(per)));
        }
    };
    let zone = config.time_zone.as_deref().map_or_else(
        || Ok(Zone::utc()),
        |name| {
            Zone::find(name).ok_or_else(|| {
                let error = ConfigError::at(path.key("time_zone")).value(name);
                error.expected("the name of a time zone in the IANA database, such as Europe/Berlin")
            })
        },
    )?;
    Ok(Span::Calendar(Calendar { period, zone }))
}

fn check_anchor(
    anchor: AnchorConfig,
    allowed: &[&str],
    hint: &'static str,
    path: &Path,
) -> Result<(), ConfigError> {
    let AnchorConfig { weekday, month, day } = anchor;
    let fields = [("weekday", weekday.is_some()), ("month", month.is_some()), ("day", day.is_some())];
    if let Some((field, _)) = fields.iter().find(|(field, given)| *given && !allowed.contains(field)) {
        let expected = if allowed.is_empty() { "no anchor".to_owned() } else { allowed.join(" and ") };
        return Err(ConfigError::at(path.key(field)).found(*field).expected(expected).hint(hint));
    }
    for (field, number, most) in [("month", month, 12), ("day", day, 31)] {
        if number.is_some_and(|number| !(1..=most).contains(&number)) {
            let error = ConfigError::at(path.key(field)).found(number.unwrap_or_default().to_string());
            return Err(error.expected(format!("1 to {most}")));
        }
    }
    Ok(())
}

fn check_amount(rate: Rate, path: &Path) -> Result<NonZeroU64, ConfigError> {
    if rate.amount.get() > MAX_AMOUNT {
        let error = ConfigError::at(path).found(rate.to_string());
        return Err(error.expected(format!("at most {MAX_AMOUNT} requests: RateLimit headers hold no more")));
    }
    Ok(rate.amount)
}

fn check_number(number: u64, what: &str, path: &Path) -> Result<NonZeroU64, ConfigError> {
    NonZeroU64::new(number).filter(|number| number.get() <= MAX_AMOUNT).ok_or_else(|| {
        let error = ConfigError::at(path).found(number.to_string());
        error.expected(format!("{what}, 1 to {MAX_AMOUNT}"))
    })
}

/// So much of a number, rounded down.
fn share(of: NonZeroU64, percent: Percent) -> u64 {
    // At most the number itself: 10^15 times 10^4 fits 64 bits.
    of.get().saturating_mul(percent.hundredths().into()).checked_div(WHOLE).unwrap_or_default()
}

/// How long a period is where all have one length: a month 30 days, a year 365.
pub fn nanoseconds(per: Period) -> NonZeroU64 {
    let fixed = per.fixed().map(|fixed| fixed.as_millis().saturating_mul(1_000_000));
    let days = if per == Period::Year { 365 } else { 30 };
    // A span of zero is refused where it is read.
    NonZeroU64::new(fixed.unwrap_or(DAY.saturating_mul(days))).unwrap_or(NonZeroU64::MIN)
}
