//! Who is told where a caller stands with its limits: the client in header fields, access logs in filter state, operators in
//! counters.

use meshgate_policy::exchange::Reply;
use meshgate_policy::host::{Host, HostError};

use crate::Quota;
use crate::consumer::Identity;
use crate::exchange::Stop;
use crate::metrics::{Event, LimitEvent};
use crate::plan::Over;
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
