//! Who is told where a caller stands with its limits: the client in header fields, access logs in filter state, operators in
//! counters.

use meshgate_policy::exchange::Reply;
use meshgate_policy::headers::HeaderValue;
use meshgate_policy::host::{Host, HostError};

use crate::Quota;
use crate::consumer::Identity;
use crate::exchange::Stop;
use crate::metrics::{Event, LimitEvent};
use crate::plan::{Counted, Due, Over, Plan};
use crate::rate_limit::{Fields, Told};
use crate::request::scope_of;

/// The filter state with the name of the limit that refused a request.
const LIMIT: &str = "meshgate.limit";
/// The filter state with what remains of the tightest limit.
const REMAINING: &str = "meshgate.remaining";

impl Quota {
    /// Tells that a request passed. `limits` counted it; what the client is to read of them comes back.
    ///
    /// # Errors
    /// What the host refused.
    pub(crate) fn tell_passed(&self, host: &mut dyn Host, limits: &[Told<'_>]) -> Result<Fields, HostError> {
        self.tell(host, limits)
    }

    /// Tells that there was no room for a request, and makes the answer. `limits` would have counted it.
    ///
    /// # Errors
    /// What the host refused.
    pub(crate) fn tell_refused(
        &self,
        host: &mut dyn Host,
        identity: &Identity<'_>,
        over: &Over<'_>,
        limits: &[Told<'_>],
    ) -> Result<Stop, HostError> {
        for name in &over.violated {
            self.metrics.count_limit(host, name, LimitEvent::Denied);
            host.explain(format_args!("limit {name}"));
        }
        if let Some(name) = over.violated.first().filter(|_| self.filter_state) {
            host.set_filter_state(LIMIT, name.as_bytes())?;
        }
        let fields = self.tell(host, limits)?;
        let scope = |host: &mut dyn Host| scope_of(host, Some(identity));
        let violated = (over.violated.as_slice(), over.wait);
        let reply: Reply = self.over_limit.reply(host, violated, fields.into_pairs(), scope);
        Ok(Stop::Replied(Event::Limit, Box::new(reply)))
    }

    fn tell(&self, host: &mut dyn Host, limits: &[Told<'_>]) -> Result<Fields, HostError> {
        let told = if host.wants_detail() { limits } else { &[] };
        for Told { name, rule, standing, .. } in told {
            let used = rule.quota().saturating_sub(standing.remaining);
            host.detail(format_args!("limit {name}: {used} of {} used", rule.quota()));
        }
        for name in self.telling.near_names(limits) {
            self.metrics.count_limit(host, name, LimitEvent::Near);
        }
        if let Some(remaining) = limits.iter().map(|limit| limit.standing.remaining).min()
            && self.filter_state
        {
            host.set_filter_state(REMAINING, itoa::Buffer::new().format(remaining).as_bytes())?;
        }
        self.telling.fields(limits).map_err(|_| HostError::Malformed)
    }
}

/// Says who sends a request: the plan, and whose key it is. What a token names comes from the message, and is not told.
pub fn tell_who(host: &mut dyn Host, identity: &Identity<'_>) {
    let text = |name: &HeaderValue<'_>| String::from_utf8_lossy(name.as_bytes()).into_owned();
    if host.wants_detail() {
        match identity.key_id() {
            Some(id) => host.detail(format_args!("key {id} of consumer {}", text(identity.name))),
            None if identity.is_anonymous() => host.detail(format_args!("no key or token: anonymous")),
            None => host.detail(format_args!("a token that is good")),
        }
    }
    host.explain(format_args!("plan {}", String::from_utf8_lossy(identity.plan.name.as_bytes())));
}

/// Says which rules a request is for, and which limits of the plan count it.
pub fn tell_rules(
    host: &mut dyn Host,
    plan: &Plan,
    permitted: Option<usize>,
    route: Option<usize>,
    counted: Option<&Counted>,
) {
    if let Some(rule) = permitted {
        host.detail(format_args!("access[{rule}] permits it"));
    }
    if let Some(route) = route {
        host.detail(format_args!("limits of routes[{route}]"));
    }
    for (index, limit) in plan.limits().enumerate() {
        let due = counted.and_then(|counted| counted.get(index).copied().flatten());
        let name = &limit.name;
        match due {
            None => host.detail(format_args!("limit {name}: does not count it")),
            Some(Due { enforced: false, .. }) => host.detail(format_args!("limit {name}: not enforced")),
            Some(Due { cost: 1, .. }) => {}
            Some(Due { cost, .. }) => host.detail(format_args!("limit {name}: counts it as {cost}")),
        }
    }
}
