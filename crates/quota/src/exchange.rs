//! One request: who sends it, whether its plan covers it, and whether there is room in all limits that count it.

use std::rc::Rc;

use meshgate_policy::digest::Digest;
use meshgate_policy::exchange::{Exchange, Next, Reply};
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::{Host, HostError, Map, Version};
use meshgate_policy::matching::is_ambiguous;

use crate::Quota;
use crate::answer::{self, RATE_LIMIT, RATE_LIMIT_POLICY, Refusal};
use crate::consumer::{Consumer, Identity};
use crate::credential::Found;
use crate::identity;
use crate::metrics::Event;
use crate::plan::{Counted, Over, Plan, Usages};
use crate::request::Request;
use crate::state::State;

/// Longer keys are nobody's.
const MAX_KEY: usize = 1_024;
/// How often a write that another worker forestalled is tried again. Each time some other request was counted, so even
/// with all workers at one consumer this is never reached.
const MAX_ATTEMPTS: u32 = 10_000;
/// A version that no value has: a write that expects it creates a missing value, and fails once there is one.
const ABSENT: Version = Version(u32::MAX);

/// One request and its response.
#[derive(Debug)]
pub struct QuotaExchange {
    quota: Rc<Quota>,
    /// What the response is to say of the limits that counted the request.
    limits: Option<Limits>,
}

/// The `RateLimit` headers of a response.
#[derive(Debug)]
struct Limits {
    plan: Rc<Plan>,
    /// `None`: that of the plan.
    policy: Option<HeaderValue<'static>>,
    rate_limit: HeaderValue<'static>,
}

/// Why a request does not go on.
enum Stop {
    Refused(Refusal),
    Replied(Box<Reply>),
    Failed(HostError),
}

impl From<HostError> for Stop {
    fn from(error: HostError) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Stop {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl Exchange for QuotaExchange {
    fn request_head(&mut self, host: &mut dyn Host, _end: bool) -> Result<Next, HostError> {
        let metrics = &Rc::clone(&self.quota).metrics;
        match self.admit(host) {
            Ok(event) => {
                metrics.count(host, event);
                Ok(Next::Continue)
            }
            Err(Stop::Refused(why)) => {
                metrics.count(host, why.event());
                Ok(Next::Reply(Box::new(self.quota.answers.refuse(why))))
            }
            Err(Stop::Replied(reply)) => {
                metrics.count(host, Event::Limit);
                Ok(Next::Reply(reply))
            }
            Err(Stop::Failed(error)) => {
                metrics.count(host, Event::Error);
                Err(error)
            }
        }
    }

    /// What the upstream says of limits of its own stays: both fields are lists, and to remove the members of others would
    /// tell of a more generous policy than there is (draft-ietf-httpapi-ratelimit-headers-10, on intermediaries).
    fn response_head(&mut self, host: &mut dyn Host, _end: bool) -> Result<Next, HostError> {
        if let Some(Limits { plan, policy, rate_limit }) = self.limits.take() {
            let policy = policy.as_ref().unwrap_or_else(|| plan.policy());
            host.add_header(Map::ResponseHeaders, &RATE_LIMIT_POLICY, policy)?;
            host.add_header(Map::ResponseHeaders, &RATE_LIMIT, &rate_limit)?;
        }
        Ok(Next::Continue)
    }
}

impl QuotaExchange {
    /// Begins.
    pub const fn new(quota: Rc<Quota>) -> Self {
        Self { quota, limits: None }
    }

    /// Decides on the request, and makes it what the upstream is to see.
    fn admit(&mut self, host: &mut dyn Host) -> Result<Event, Stop> {
        let quota = Rc::clone(&self.quota);
        let headers = host.headers(Map::RequestHeaders)?;
        let head = RequestHead::new(&headers);
        let forged = identity::forged(&headers).map_err(|_| Refusal::HeaderInvalid)?;

        if quota.decides_by_path && is_ambiguous(head.path) {
            return Err(Refusal::PathAmbiguous.into());
        }
        if !Request::new(&head, host, None).matches(&quota.guards) {
            remove_all(host, &forged)?;
            if quota.hide_credentials {
                quota.locations.hide(host, &head)?;
            }
            return Ok(Event::Unguarded);
        }
        let identity = quota.authenticate(&head)?;
        if quota.filter_state {
            // Also, and above all, of those who are refused from here on.
            identity::tell_log(host, &identity)?;
        }
        let Identity { consumer, .. } = identity;
        if consumer.disabled {
            return Err(Refusal::ConsumerDisabled.into());
        }
        let request = Request::new(&head, host, Some(identity));
        if !consumer.plan.allows(&request) {
            return Err(Refusal::PlanForbids.into());
        }
        if let Some(counted) = consumer.plan.counted(&request) {
            self.limits = Some(quota.charge(host, consumer, &counted)?);
        }

        remove_all(host, &forged)?;
        if quota.hide_credentials {
            quota.locations.hide(host, &head)?;
        }
        identity::tell_upstream(host, &identity)?;
        Ok(Event::Allowed)
    }
}

impl Quota {
    /// Finds out who sends the request.
    fn authenticate(&self, head: &RequestHead<'_>) -> Result<Identity<'_>, Refusal> {
        let key = match self.locations.find(head) {
            Found::Nothing => return Err(Refusal::KeyMissing),
            Found::Several => return Err(Refusal::KeyRepeated),
            Found::One(key) => key,
        };
        let identity =
            if key.is_empty() || key.len() > MAX_KEY { None } else { self.consumers.find(&Digest::of(&key)) };
        identity.ok_or(Refusal::KeyInvalid)
    }

    /// Counts the request, against all that other workers count at the same time.
    fn charge(&self, host: &mut dyn Host, consumer: &Consumer, counted: &Counted) -> Result<Limits, Stop> {
        let now = host.now().as_nanos();
        for _ in 0..MAX_ATTEMPTS {
            let (mut state, version) = self.usage(host, consumer)?;
            let usages = match consumer.plan.charge(&mut state, counted, now) {
                Ok(usages) => usages,
                Err(over) => return Err(refuse(&consumer.plan, counted, &over, now)?),
            };
            match host.set_shared(&consumer.usage_key, state.as_bytes(), Some(version)) {
                Ok(()) => return Ok(Limits::new(&consumer.plan, counted, &usages, now)?),
                Err(HostError::Conflict) => self.metrics.count(host, Event::CasConflict),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::Contention.into())
    }

    /// What a consumer has used. A value that is missing or can't be read counts as nothing used: it was made when the
    /// configuration came, so either is the work of somebody else who writes to the same keys.
    fn usage(&self, host: &mut dyn Host, consumer: &Consumer) -> Result<(State, Version), HostError> {
        let shared = host.shared(&consumer.usage_key)?;
        let version = shared.as_ref().map_or(ABSENT, |shared| shared.version);
        let state = shared.and_then(|shared| State::from_bytes(shared.value).ok());
        let state = state.unwrap_or_else(|| {
            if !self.warned.replace(true) {
                log::warn!("{}: no readable usage there; counting from zero", consumer.usage_key);
            }
            State::fresh()
        });
        Ok((state, version))
    }
}

impl Limits {
    fn new(plan: &Rc<Plan>, counted: &Counted, usages: &Usages, now: u64) -> Result<Self, HostError> {
        Ok(Self {
            plan: Rc::clone(plan),
            policy: plan.policy_for(counted).map_err(|_| HostError::Malformed)?,
            rate_limit: plan.rate_limit(usages, now).map_err(|_| HostError::Malformed)?,
        })
    }
}

/// The answer to a request that is over a limit.
fn refuse(plan: &Rc<Plan>, counted: &Counted, over: &Over<'_>, now: u64) -> Result<Stop, HostError> {
    let Limits { plan, policy, rate_limit } = Limits::new(plan, counted, &over.usages, now)?;
    let policy = policy.unwrap_or_else(|| plan.policy().clone());
    let reply =
        answer::over_limit(over).with_header(RATE_LIMIT_POLICY, policy).with_header(RATE_LIMIT, rate_limit);
    Ok(Stop::Replied(Box::new(reply)))
}

fn remove_all(host: &mut dyn Host, names: &[HeaderName]) -> Result<(), HostError> {
    names.iter().try_for_each(|name| host.remove_header(Map::RequestHeaders, name))
}
