//! The header fields in which clients read about limits: of the IETF's draft, of Kong, of Envoy's own filters, and one that
//! warns before a limit is reached.

use std::cmp::Reverse;

use meshgate_policy::config::{ConfigError, OneOrMany, Path, Percent};
use meshgate_policy::headers::{HeaderName, HeaderValue, InvalidHeader};
use meshgate_policy::host::{Host, HostError, Map};

use crate::config::{HeaderForm, NearLimitConfig};
use crate::cost::{Cost, Late};
use crate::custom_answer::header_name;
use crate::limit::{Rule, Standing};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;
/// About as long as a limit is in a list.
const MEMBER: usize = 40;

const RATE_LIMIT: HeaderName = HeaderName::constant("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::constant("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::constant("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::constant("ratelimit-remaining");
const RESET: HeaderName = HeaderName::constant("ratelimit-reset");
const X_LIMIT: HeaderName = HeaderName::constant("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::constant("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::constant("x-ratelimit-reset");

/// The periods that Kong's names know, in seconds. Its months and years have 30 and 365 days, too.
const KONG_PERIODS: [(u64, HeaderName, HeaderName); 6] = [
    (
        1,
        HeaderName::constant("x-ratelimit-limit-second"),
        HeaderName::constant("x-ratelimit-remaining-second"),
    ),
    (
        60,
        HeaderName::constant("x-ratelimit-limit-minute"),
        HeaderName::constant("x-ratelimit-remaining-minute"),
    ),
    (
        3_600,
        HeaderName::constant("x-ratelimit-limit-hour"),
        HeaderName::constant("x-ratelimit-remaining-hour"),
    ),
    (DAY, HeaderName::constant("x-ratelimit-limit-day"), HeaderName::constant("x-ratelimit-remaining-day")),
    (
        30 * DAY,
        HeaderName::constant("x-ratelimit-limit-month"),
        HeaderName::constant("x-ratelimit-remaining-month"),
    ),
    (
        365 * DAY,
        HeaderName::constant("x-ratelimit-limit-year"),
        HeaderName::constant("x-ratelimit-remaining-year"),
    ),
];

/// A limit that counts a request, and where the caller stands with it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What it is called.
    pub name: &'a str,
    /// How it counts.
    pub rule: &'a Rule,
    /// Its member of `RateLimit-Policy`: see [`policy_member`].
    pub policy: &'a str,
    /// What is left of it.
    pub standing: Standing,
}

/// What responses say of limits, as configured.
#[derive(Debug)]
pub struct Telling {
    forms: Box<[HeaderForm]>,
    near: Option<Near>,
}

/// The field that warns, and from where on.
#[derive(Debug)]
struct Near {
    name: HeaderName,
    /// The highest first.
    at: Box<[Percent]>,
}

/// The fields of one response.
#[derive(Debug, Default)]
pub struct Fields(Vec<Field>);

#[derive(Debug)]
struct Field {
    name: HeaderName,
    value: HeaderValue<'static>,
    /// It goes beside what the upstream says of its own limits; otherwise it takes the place of that.
    is_list: bool,
}

impl Telling {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for what contradicts itself.
    pub fn compile(forms: OneOrMany<HeaderForm>, near: Option<NearLimitConfig>) -> Result<Self, ConfigError> {
        let path = Path::root().key("headers");
        let mut forms = forms.into_vec();
        for (index, form) in forms.iter().enumerate() {
            if forms.iter().take(index).any(|other| other == form) {
                return Err(ConfigError::at(path.index(index))
                    .found("a form that stands there already")
                    .expected("each form once"));
            }
        }
        if forms.contains(&HeaderForm::None) && forms.len() > 1 {
            return Err(ConfigError::at(path)
                .found("none beside others")
                .expected("none alone, or the others"));
        }
        forms.retain(|form| *form != HeaderForm::None);
        Ok(Self { forms: forms.into(), near: near.map(Near::compile).transpose()? })
    }

    /// What a response says of the limits that counted its request.
    ///
    /// # Errors
    /// A name that could not stand in a header; none such is configured.
    pub fn fields(&self, limits: &[Told<'_>]) -> Result<Fields, InvalidHeader> {
        let mut fields = Fields::default();
        if limits.is_empty() {
            return Ok(fields);
        }
        for form in &self.forms {
            match form {
                HeaderForm::Ratelimit => {
                    fields.list(RATE_LIMIT_POLICY, policy(limits)?);
                    fields.list(RATE_LIMIT, rate_limit(limits)?);
                }
                HeaderForm::Kong => kong(limits, &mut fields),
                HeaderForm::Envoy => envoy(limits, &mut fields)?,
                HeaderForm::None => {}
            }
        }
        if let Some((near, value)) = self.near.as_ref().zip(self.near(limits)) {
            fields.single(near.name.clone(), HeaderValue::new(value.into_bytes())?);
        }
        Ok(fields)
    }

    /// The limits of which a threshold is reached, each with the highest such: `"monthly";at=80`.
    fn near(&self, limits: &[Told<'_>]) -> Option<String> {
        let at = |limit| self.near.as_ref()?.reached(limit);
        let members = limits.iter().filter_map(|limit| Some(format!("\"{}\";at={}", limit.name, at(limit)?)));
        let members: Vec<_> = members.collect();
        (!members.is_empty()).then(|| members.join(", "))
    }

    /// The names of the limits of which a threshold is reached.
    pub fn near_names<'a>(&self, limits: &[Told<'a>]) -> Vec<&'a str> {
        let near = self.near.as_ref();
        let is_near = |limit: &&Told<'a>| near.is_some_and(|near| near.reached(limit).is_some());
        limits.iter().filter(is_near).map(|limit| limit.name).collect()
    }
}

impl Near {
    fn compile(config: NearLimitConfig) -> Result<Self, ConfigError> {
        let path = Path::root().key("near_limit");
        let name = header_name(&config.header, &path.key("header"))?;
        if let Some(index) = config.at.iter().position(|at| at.hundredths() == 0) {
            return Err(ConfigError::at(config.at.place(&path.key("at"), index))
                .found("0%")
                .expected("how much of a limit is used, above 0"));
        }
        let mut at = config.at.into_vec();
        at.sort_unstable_by(|one, other| other.cmp(one));
        at.dedup();
        Ok(Self { name, at: at.into() })
    }

    /// The highest threshold that was reached, as it stands in a structured field: `80`, `12.5`.
    fn reached(&self, limit: &Told<'_>) -> Option<String> {
        let quota = limit.rule.quota();
        let used = u128::from(quota.saturating_sub(limit.standing.remaining)).saturating_mul(10_000);
        let enough = |at: &&Percent| used >= u128::from(quota).saturating_mul(at.hundredths().into());
        let at = self.at.iter().find(enough)?.to_string();
        Some(at.trim_end_matches('%').to_owned())
    }
}

impl Fields {
    /// Writes the fields into the response.
    ///
    /// # Errors
    /// What the host refused.
    pub fn write(&self, host: &mut dyn Host) -> Result<(), HostError> {
        self.0.iter().try_for_each(|Field { name, value, is_list }| match is_list {
            true => host.add_header(Map::ResponseHeaders, name, value),
            false => host.set_header(Map::ResponseHeaders, name, value),
        })
    }

    /// Names and values, for an answer of our own.
    pub fn into_pairs(self) -> impl Iterator<Item = (HeaderName, HeaderValue<'static>)> {
        self.0.into_iter().map(|Field { name, value, .. }| (name, value))
    }

    fn list(&mut self, name: HeaderName, value: HeaderValue<'static>) {
        self.0.push(Field { name, value, is_list: true });
    }

    fn single(&mut self, name: HeaderName, value: HeaderValue<'static>) {
        self.0.push(Field { name, value, is_list: false });
    }
}

/// The member of `RateLimit-Policy` for one limit: `"burst";q=10;w=2`. Requests at the same time have no window. What is
/// counted is said where the draft has a name for it and it is not requests (draft-ietf-httpapi-ratelimit-headers-10
/// section 3).
pub fn policy_member(name: &str, rule: &Rule, cost: &Cost) -> Box<str> {
    let mut member = format!("\"{name}\";q={}", rule.quota());
    match (rule.window().map(seconds), cost.late()) {
        (None, _) => member.push_str(";qu=\"concurrent-requests\""),
        (Some(window), Some(Late::RequestBytes | Late::ResponseBytes)) => {
            member.push_str(&format!(";qu=\"content-bytes\";w={window}"));
        }
        (Some(window), _) => member.push_str(&format!(";w={window}")),
    }
    member.into()
}

/// `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10 section 3).
fn policy(limits: &[Told<'_>]) -> Result<HeaderValue<'static>, InvalidHeader> {
    let mut text = String::with_capacity(limits.len().saturating_mul(MEMBER));
    for limit in limits {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(limit.policy);
    }
    HeaderValue::new(text.into_bytes())
}

/// `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10 section 4).
fn rate_limit(limits: &[Told<'_>]) -> Result<HeaderValue<'static>, InvalidHeader> {
    let mut digits = itoa::Buffer::new();
    let mut text = String::with_capacity(limits.len().saturating_mul(MEMBER));
    for Told { name, standing, .. } in limits {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push('"');
        text.push_str(name);
        text.push_str("\";r=");
        text.push_str(digits.format(standing.remaining));
        if let Some(more_in) = standing.more_in {
            text.push_str(";t=");
            text.push_str(digits.format(seconds(more_in)));
        }
    }
    HeaderValue::new(text.into_bytes())
}

/// What Kong's plugin `rate-limiting` sends: the tightest limit without a name, and all of them by their periods. Of two
/// limits of one period, which Kong does not have, the tighter one. Limits without a period have no place there.
fn kong(limits: &[Told<'_>], fields: &mut Fields) {
    let tighter = |limit: &&Told<'_>| (limit.standing.remaining, Reverse(limit.rule.window()));
    let limits = limits.iter().filter(|limit| limit.rule.window().is_some());
    let Some(tightest) = limits.clone().min_by_key(tighter) else { return };
    for (period, limit_name, remaining_name) in &KONG_PERIODS {
        let of_period = limits.clone().filter(|limit| limit.rule.window().map(seconds) == Some(*period));
        if let Some(limit) = of_period.min_by_key(tighter) {
            fields.single(limit_name.clone(), HeaderValue::number(limit.rule.quota()));
            fields.single(remaining_name.clone(), HeaderValue::number(limit.standing.remaining));
        }
    }
    fields.single(LIMIT, HeaderValue::number(tightest.rule.quota()));
    fields.single(REMAINING, HeaderValue::number(tightest.standing.remaining));
    fields.single(RESET, HeaderValue::number(tightest.standing.more_in.map_or(1, seconds)));
}

/// What Envoy's filters send with `enable_x_ratelimit_headers: DRAFT_VERSION_03`: the tightest limit, and behind it all of
/// them with their windows (draft-polli-ratelimit-headers-03). Limits without a window have no place there.
fn envoy(limits: &[Told<'_>], fields: &mut Fields) -> Result<(), InvalidHeader> {
    let limits = limits.iter().filter_map(|limit| Some((limit, limit.rule.window().map(seconds)?)));
    let Some((tightest, _)) = limits.clone().min_by_key(|(limit, _)| limit.standing.remaining) else {
        return Ok(());
    };
    let mut text = tightest.rule.quota().to_string();
    for (Told { name, rule, .. }, window) in limits {
        text.push_str(&format!(", {};w={window};name=\"{name}\"", rule.quota()));
    }
    fields.single(X_LIMIT, HeaderValue::new(text.into_bytes())?);
    fields.single(X_REMAINING, HeaderValue::number(tightest.standing.remaining));
    fields.single(X_RESET, HeaderValue::number(tightest.standing.more_in.map_or(0, seconds)));
    Ok(())
}

/// Whole seconds, rounded up, at least 1.
pub fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(SECOND).max(1)
}
