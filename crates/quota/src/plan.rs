//! Plans: which requests they allow, and their limits.

use std::num::NonZeroU64;

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{ConfigError, Path, Period, Rate};
use meshgate_policy::headers::{HeaderValue, InvalidHeader};
use meshgate_policy::matching::Match;

use crate::config::{LimitConfig, PlanConfig};
use crate::consumer::check_name;
use crate::limit::{Gcra, Rule, Span, Usage, Window};
use crate::request::Request;
use crate::state::State;

/// The most limits of a plan.
const MAX_LIMITS: usize = 16;
/// The largest integer of a structured field (RFC 9651 section 3.3.1).
const MAX_AMOUNT: u64 = 999_999_999_999_999;
const REQUEST_ONLY: &str = "conditions on the request only";
const NO_RESPONSE: &str = "requests are decided on before there is a response";
const DAY: u64 = 86_400 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// What a consumer can have bought.
#[derive(Debug)]
pub struct Plan {
    /// What it is called.
    pub name: HeaderValue<'static>,
    /// `None`: all requests.
    allow: Option<Box<[Match]>>,
    limits: Box<[Limit]>,
    /// `RateLimit-Policy`, where all limits count the request.
    policy: HeaderValue<'static>,
}

/// One limit of a plan.
#[derive(Debug)]
struct Limit {
    name: Box<str>,
    rule: Rule,
    counts: Match,
    when: Option<Condition>,
    /// Its member of `RateLimit-Policy`: `"burst";q=10;w=2`.
    policy: Box<str>,
}

/// For each limit of a plan, whether it counts a request.
pub type Counted = [bool; MAX_LIMITS];

/// For each limit of a plan that counts a request, what was used of it.
pub type Usages = [Option<Usage>; MAX_LIMITS];

/// A request that is over a limit. Nothing was counted.
#[derive(Debug)]
pub struct Over<'a> {
    /// The names of the limits that have no room for it.
    pub violated: Vec<&'a str>,
    /// Seconds after which all of them have room, if nothing else is counted. At least 1.
    pub retry_after: u64,
    /// Where the consumer stands with all limits that count the request.
    pub usages: Usages,
}

impl Plan {
    /// Checks a plan.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(name: &str, config: PlanConfig, path: &Path) -> Result<Self, ConfigError> {
        let name = check_name(name, path)?;
        let allow = config.allow.map(|allow| {
            let allow = allow.into_vec();
            let path = path.key("allow");
            for (index, entry) in allow.iter().enumerate() {
                needs_no_response(entry, &path.index(index))?;
            }
            Ok(allow.into_boxed_slice())
        });
        let path = path.key("limits");
        if config.limits.len() > MAX_LIMITS {
            let found = format!("{} limits", config.limits.len());
            return Err(ConfigError::at(path).found(found).expected("at most 16"));
        }
        let mut limits: Vec<Limit> = Vec::with_capacity(config.limits.len());
        for (index, config) in config.limits.into_iter().enumerate() {
            let path = path.index(index);
            if let Some(first) = limits.iter().position(|limit| *limit.name == *config.name) {
                return Err(ConfigError::at(path.key("name"))
                    .value(&config.name)
                    .expected("a name of its own")
                    .hint(format!("limits[{first}] of this plan has this one already")));
            }
            limits.push(Limit::compile(config, &path)?);
        }
        let policy = policy_of(&limits, &[true; MAX_LIMITS])
            .map_err(|error| ConfigError::at(path).problem(error.to_string()))?;
        Ok(Self { name, allow: allow.transpose()?, limits: limits.into(), policy })
    }

    /// Whether the plan covers a request.
    pub fn allows(&self, request: &Request<'_>) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.iter().any(|entry| request.is_permitted(entry)))
    }

    /// Whether the path of a request has a say in what it may or in what counts it.
    pub fn decides_by_path(&self) -> bool {
        let allow = self.allow.iter().flatten();
        allow.chain(self.limits.iter().map(|limit| &limit.counts)).any(Match::looks_at_path)
            || self.limits.iter().any(|limit| limit.when.is_some())
    }

    /// Which limits count a request; `None`: not one.
    pub fn counted(&self, request: &Request<'_>) -> Option<Counted> {
        let mut counted = [false; MAX_LIMITS];
        for (limit, counts) in self.limits.iter().zip(&mut counted) {
            *counts = request.matches(&limit.counts)
                && limit.when.as_ref().is_none_or(|when| request.holds(when, &limit.counts));
        }
        counted.contains(&true).then_some(counted)
    }

    /// Whether there is nothing to count.
    pub const fn is_unlimited(&self) -> bool {
        self.limits.is_empty()
    }

    /// The state of a consumer that has used nothing.
    pub fn unused(&self) -> State {
        let mut state = State::fresh();
        for limit in &self.limits {
            state.set(&limit.name, limit.rule.unused(), |_| true);
        }
        state
    }

    /// Counts a request in all limits, or in none.
    ///
    /// # Errors
    /// [`Over`] if one of them has no room for it; the state is as it was.
    pub fn charge(&self, state: &mut State, counted: &Counted, now: u64) -> Result<Usages, Box<Over<'_>>> {
        let mut usages = [None; MAX_LIMITS];
        for ((limit, counts), usage) in self.limits.iter().zip(counted).zip(&mut usages) {
            if *counts {
                match limit.rule.charge(limit.usage(state), now) {
                    Some(charged) => *usage = Some(charged),
                    None => return Err(Box::new(self.over(state, counted, now))),
                }
            }
        }
        for (limit, usage) in self.limits.iter().zip(&usages) {
            if let Some(usage) = usage {
                state.set(&limit.name, *usage, |name| self.has_limit(name));
            }
        }
        Ok(usages)
    }

    /// `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10 section 3) with the limits that count a request. `None`:
    /// all do, see [`Plan::policy`].
    ///
    /// # Errors
    /// A name that could not stand in a header; [`Plan::compile`] lets none through.
    pub fn policy_for(&self, counted: &Counted) -> Result<Option<HeaderValue<'static>>, InvalidHeader> {
        let all = self.limits.iter().zip(counted).all(|(_, counts)| *counts);
        if all { Ok(None) } else { policy_of(&self.limits, counted).map(Some) }
    }

    /// `RateLimit-Policy` with all limits.
    pub const fn policy(&self) -> &HeaderValue<'static> {
        &self.policy
    }

    /// `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10 section 4).
    ///
    /// # Errors
    /// A name that could not stand in a header; [`Plan::compile`] lets none through.
    pub fn rate_limit(&self, usages: &Usages, now: u64) -> Result<HeaderValue<'static>, InvalidHeader> {
        let mut digits = itoa::Buffer::new();
        let mut text = String::with_capacity(self.limits.len().saturating_mul(40));
        for (limit, usage) in self.limits.iter().zip(usages) {
            let Some(usage) = usage else { continue };
            let standing = limit.rule.standing(*usage, now);
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push('"');
            text.push_str(&limit.name);
            text.push_str("\";r=");
            text.push_str(digits.format(standing.remaining));
            if let Some(more_in) = standing.more_in {
                text.push_str(";t=");
                text.push_str(digits.format(seconds(more_in)));
            }
        }
        HeaderValue::new(text.into_bytes())
    }

    fn over(&self, state: &State, counted: &Counted, now: u64) -> Over<'_> {
        let mut over = Over { violated: Vec::new(), retry_after: 1, usages: [None; MAX_LIMITS] };
        for ((limit, counts), usage) in self.limits.iter().zip(counted).zip(&mut over.usages) {
            if !counts {
                continue;
            }
            let used = limit.usage(state);
            *usage = Some(used);
            let standing = limit.rule.standing(used, now);
            if standing.remaining == 0 {
                over.violated.push(&limit.name);
                over.retry_after = over.retry_after.max(standing.more_in.map_or(0, seconds));
            }
        }
        over
    }

    fn has_limit(&self, name: &[u8]) -> bool {
        self.limits.iter().any(|limit| limit.name.as_bytes() == name)
    }
}

impl Limit {
    fn compile(config: LimitConfig, path: &Path) -> Result<Self, ConfigError> {
        let LimitConfig { name, rate, burst, quota, counts, when } = config;
        check_limit_name(&name, &path.key("name"))?;
        needs_no_response(&counts, &path.key("match"))?;
        if when.as_ref().is_some_and(Condition::needs_response) {
            let error = ConfigError::at(path.key("when")).found("a condition on the response");
            return Err(error.expected(REQUEST_ONLY).hint(NO_RESPONSE));
        }
        if when.as_ref().is_some_and(Condition::needs_body) {
            let error = ConfigError::at(path.key("when")).found("a condition on the body");
            return Err(
                error.expected("conditions on the head of the request: limits count before there is a body")
            );
        }
        let rule = match (rate, quota, burst) {
            (Some(rate), None, burst) => {
                let amount = check_amount(rate, &path.key("rate"))?;
                let burst = match burst {
                    Some(burst) => {
                        NonZeroU64::new(burst).filter(|burst| burst.get() <= MAX_AMOUNT).ok_or_else(|| {
                            let error = ConfigError::at(path.key("burst")).found(burst.to_string());
                            error.expected(format!("how many requests may come at once, 1 to {MAX_AMOUNT}"))
                        })?
                    }
                    None => amount,
                };
                Rule::Gcra(Gcra::new(amount, nanoseconds(rate.per), burst))
            }
            (None, Some(quota), None) => {
                let amount = check_amount(quota, &path.key("quota"))?;
                Rule::Window(Window::new(amount, span(quota.per)))
            }
            (None, Some(_), Some(_)) => {
                let error = ConfigError::at(path.key("burst")).found("a burst beside quota");
                return Err(error
                    .expected("one only beside rate")
                    .hint("all of it may come at once; add a limit with a rate to prevent that"));
            }
            (Some(_), Some(_), _) => {
                let error = ConfigError::at(path).found("rate and quota").expected("one of them");
                return Err(error.hint("write two limits to have both"));
            }
            (None, None, _) => {
                let error = ConfigError::at(path).found("neither rate nor quota");
                return Err(error.expected("one of them, such as rate: 5/s or quota: 10000/month"));
            }
        };
        let policy = format!("\"{name}\";q={};w={}", rule.quota(), seconds(rule.window()));
        Ok(Self { name: name.into(), rule, counts, when, policy: policy.into() })
    }

    fn usage(&self, state: &State) -> Usage {
        state.get(&self.name).unwrap_or_else(|| self.rule.unused())
    }
}

/// The name stands in structured fields as it is: without what would have to be escaped there (RFC 9651 section 3.3.3).
fn check_limit_name(name: &str, path: &Path) -> Result<(), ConfigError> {
    check_name(name, path)?;
    if name.contains(['"', '\\']) {
        return Err(ConfigError::at(path).value(name).expected("a name without \" and \\"));
    }
    Ok(())
}

/// A request is counted and allowed before there is a response.
pub fn needs_no_response(entry: &Match, path: &Path) -> Result<(), ConfigError> {
    if entry.needs_response() {
        let error = ConfigError::at(path.key("status")).found("a status of the response");
        return Err(error.expected(REQUEST_ONLY).hint(NO_RESPONSE));
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

/// How long a period is for a rate: a month 30 days, a year 365.
fn nanoseconds(per: Period) -> NonZeroU64 {
    let fixed = per.fixed().map(|fixed| fixed.as_millis().saturating_mul(1_000_000));
    let days = if per == Period::Year { 365 } else { 30 };
    // A span of zero is refused where it is read.
    NonZeroU64::new(fixed.unwrap_or(DAY.saturating_mul(days))).unwrap_or(NonZeroU64::MIN)
}

fn span(per: Period) -> Span {
    match per {
        Period::Week => Span::Week,
        Period::Month => Span::Month,
        Period::Year => Span::Year,
        Period::Span(_) | Period::Second | Period::Minute | Period::Hour | Period::Day => {
            Span::Even(nanoseconds(per))
        }
    }
}

fn policy_of(limits: &[Limit], counted: &Counted) -> Result<HeaderValue<'static>, InvalidHeader> {
    let counted = limits.iter().zip(counted).filter(|(_, counts)| **counts);
    let members: Vec<&str> = counted.map(|(limit, _)| &*limit.policy).collect();
    HeaderValue::new(members.join(", ").into_bytes())
}

/// Whole seconds, rounded up, at least 1.
fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(SECOND).max(1)
}
