//! One request: who sends it, whether its plan covers it, and whether there is room in all limits that count it.

use std::rc::Rc;

use meshgate_policy::exchange::{Body, BodyMode, Exchange, Next, Reply};
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::{Answer, CalloutId, Host, HostError, Map};
use meshgate_policy::matching::is_ambiguous;

use crate::Quota;
use crate::access::Denied;
use crate::answer::Refusal;
use crate::config::Preflight;
use crate::consumer::{Consumers, Identity};
use crate::cost::Unclear;
use crate::credential::{Found, Hidden};
use crate::identity;
use crate::key_file::Fetched;
use crate::metrics::{Event, PlanEvent};
use crate::plan::{Ambiguous, Plan};
use crate::presented::Presented;
use crate::rate_limit::Fields;
use crate::request::Request;
use crate::scope::Facts;
use crate::settle::Unsettled;
use crate::token::{Bearer, Stopped, TokenProblem};
use crate::told;

const ACCEPT_ENCODING: HeaderName = HeaderName::constant("accept-encoding");
/// Longer keys are nobody's.
const MAX_KEY: usize = 1_024;

/// One request and its response.
#[derive(Debug)]
pub struct QuotaExchange {
    quota: Rc<Quota>,
    /// What the response is to say of the limits that counted the request.
    limits: Option<Fields>,
    /// What is still to be done for the limits that counted the request.
    unsettled: Option<Box<Unsettled>>,
    /// It has waited for what its token needs: it does so once.
    waited: bool,
    /// What the upstream does not see.
    hidden: Hidden,
}

/// Why a request does not go on.
#[derive(Debug)]
pub enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// It is answered, and that is counted.
    Replied(Event, Box<Reply>),
    /// Something has to be fetched first.
    Wait,
    /// The host refused something.
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
    fn request_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        self.decide(host, end)
    }

    /// What the token needs has come, or can't. What passes whoever sends it has not waited.
    fn callout(&mut self, host: &mut dyn Host, _: CalloutId, _: Answer) -> Result<Next, HostError> {
        self.waited = true;
        self.decide(host, false)
    }

    /// What comes behind a body names nobody either: there are servers that put trailers among the headers.
    fn request_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        let trailers = host.headers(Map::RequestTrailers)?;
        match identity::forged(&trailers) {
            Ok(names) => {
                names.iter().try_for_each(|name| host.remove_header(Map::RequestTrailers, name))?;
                self.quota.locations.hide_in_trailers(host, &trailers, self.hidden)?;
                Ok(Next::Continue)
            }
            Err(identity::Unremovable) => {
                let why = Refusal::HeaderInvalid;
                self.quota.metrics.count(host, why.event());
                Ok(Next::Reply(Box::new(self.quota.answers.refuse(why))))
            }
        }
    }

    /// What the upstream says of limits of its own stays: both fields are lists, and to remove the members of others would
    /// tell of a more generous policy than there is (draft-ietf-httpapi-ratelimit-headers-10, on intermediaries).
    fn response_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        let quota = Rc::clone(&self.quota);
        let mut next = Next::Continue;
        if let Some(unsettled) = &mut self.unsettled
            && quota.settle_head(host, unsettled, &mut self.limits, end)
        {
            next = Next::ReadBody(BodyMode::Window { limit: usize::MAX });
        }
        if let Some(limits) = self.limits.take() {
            limits.write(host)?;
        }
        Ok(next)
    }

    fn response_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        let quota = Rc::clone(&self.quota);
        if let Some(unsettled) = &mut self.unsettled {
            quota.settle_body(host, unsettled, body.size);
        }
        Ok(Next::Continue)
    }

    fn response_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        if let Some(unsettled) = &mut self.unsettled {
            self.quota.settle_trailers(host, unsettled);
        }
        Ok(Next::Continue)
    }

    fn end(&mut self, host: &mut dyn Host) {
        if let Some(mut unsettled) = self.unsettled.take() {
            self.quota.settle_end(host, &mut unsettled);
        }
    }
}

impl QuotaExchange {
    /// Begins.
    pub const fn new(quota: Rc<Quota>) -> Self {
        Self { quota, limits: None, unsettled: None, waited: false, hidden: Hidden::NOTHING }
    }

    /// Decides on the request, now or once more after a wait. `end`: it is nothing but a head.
    fn decide(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        let metrics = &Rc::clone(&self.quota).metrics;
        let mut plan = None;
        let decision = self.admit(host, end, &mut plan);
        if let Some((plan, event)) = plan.zip(plan_event(&decision)) {
            metrics.count_plan(host, &plan, event);
        }
        match decision {
            Ok(event) => {
                host.explain(format_args!("{}", event.short_name()));
                metrics.count(host, event);
                Ok(Next::Continue)
            }
            Err(Stop::Refused(why)) => {
                host.detail(format_args!("refused: {}", why.event().short_name()));
                metrics.count(host, why.event());
                Ok(Next::Reply(Box::new(self.quota.refused(host, why, None))))
            }
            Err(Stop::Replied(event, reply)) => {
                let how = if event == Event::Usage { "answered" } else { "refused" };
                host.detail(format_args!("{how}: {}", event.short_name()));
                metrics.count(host, event);
                Ok(Next::Reply(reply))
            }
            Err(Stop::Wait) => Ok(Next::Wait),
            Err(Stop::Failed(error)) => {
                metrics.count(host, Event::Error);
                Err(error)
            }
        }
    }

    /// Decides on the request, and makes it what the upstream is to see. `plan` becomes that of whoever sends it, once that
    /// is known.
    fn admit(&mut self, host: &mut dyn Host, end: bool, plan: &mut Option<Rc<Plan>>) -> Result<Event, Stop> {
        let quota = Rc::clone(&self.quota);
        let headers = host.headers(Map::RequestHeaders)?;
        let head = RequestHead::new(&headers);
        let forged = identity::forged(&headers).map_err(|_| Refusal::HeaderInvalid)?;

        if quota.decides_by_path && is_ambiguous(head.path) {
            return Err(Refusal::PathAmbiguous.into());
        }
        let usage_endpoint = quota.usage_endpoint.as_ref().filter(|usage| usage.is_at(&head));
        // What has waited does not: a guard by chance is not drawn for again.
        let anyway =
            if self.waited { None } else { quota.passes_anyway(host, &head, end, usage_endpoint.is_some()) };
        if let Some(event) = anyway {
            remove_all(host, &forged)?;
            // A token is for whoever takes it here, and may be for the upstream.
            self.hidden = Hidden { keys: quota.hide_credentials, tokens: false };
            quota.locations.hide(host, &head, self.hidden)?;
            return Ok(event);
        }
        let facts = Facts::new(&head, quota.client_ip);
        let caller = quota.authenticate(host, &head, &facts, !self.waited)?;
        let mut identity = caller.identity(&quota.consumers);
        *plan = Some(Rc::clone(identity.plan));
        host.hand_on(&|| identity.to_consumer());
        told::tell_who(host, &identity);
        if quota.filter_state {
            // Also, and above all, of those who are refused from here on.
            identity::tell_log(host, &identity)?;
        }
        if let Some(why) = identity.refusal {
            return Err(quota.refuse_known(host, why, &identity));
        }
        if let Some(endpoint) = usage_endpoint {
            let reply = quota.usage_reply(host, endpoint, head.method, &identity, &facts)?;
            return Err(Stop::Replied(Event::Usage, Box::new(reply)));
        }
        let request = Request::new(&head, host, Some(identity));
        let permitted = match quota.access.check(&request, &identity) {
            Ok(permitted) => permitted,
            Err(Denied(rule)) => {
                host.explain(format_args!("access[{rule}]"));
                return Err(quota.refuse_known(host, Refusal::AccessDenied, &identity));
            }
        };
        if !identity.plan.allows(&request) {
            host.detail(format_args!("the plan's allow has nothing for it"));
            return Err(quota.refuse_known(host, Refusal::PlanForbids, &identity));
        }
        let route = identity.plan.on_route(&request).map_err(|Ambiguous| Refusal::RequestAmbiguous)?;
        if let Some((_, plan)) = route {
            identity.plan = plan;
        }
        // There are servers that make `post` a POST, and an expression can't know.
        if identity.plan.asks_expressions() && head.method.iter().any(u8::is_ascii_lowercase) {
            return Err(Refusal::RequestAmbiguous.into());
        }
        let counted = identity.plan.counted(&request).map_err(|Unclear| Refusal::CostInvalid)?;
        if host.wants_detail() {
            told::tell_rules(host, identity.plan, permitted, route.map(|(index, _)| index), counted.as_ref());
        }
        if let Some(counted) = counted {
            let (limits, mut unsettled) = quota.charge(host, &identity, &facts, &counted)?;
            if let Some(unsettled) = &mut unsettled {
                unsettled.saw_request(&headers);
            }
            if unsettled.as_ref().is_some_and(|unsettled| unsettled.asks_for_body()) {
                // What is compressed can't be read.
                let identity = HeaderValue::new(&b"identity"[..]).map_err(|_| HostError::Malformed)?;
                host.set_header(Map::RequestHeaders, &ACCEPT_ENCODING, &identity)?;
            }
            (self.limits, self.unsettled) = (Some(limits), unsettled);
        }

        remove_all(host, &forged)?;
        self.hidden = Hidden { keys: quota.hide_credentials, tokens: !caller.forwards_token() };
        quota.locations.hide(host, &head, self.hidden)?;
        identity::tell_upstream(host, &identity)?;
        Ok(Event::Allowed)
    }
}

/// What such a decision is for the plan of whoever sent the request: nothing, if it is an answer to a question about it.
const fn plan_event(decision: &Result<Event, Stop>) -> Option<PlanEvent> {
    match decision {
        Ok(_) => Some(PlanEvent::Allowed),
        Err(Stop::Replied(Event::Usage, _) | Stop::Wait | Stop::Failed(_)) => None,
        Err(Stop::Refused(_) | Stop::Replied(..)) => Some(PlanEvent::Denied),
    }
}

impl Quota {
    /// Why a request passes whoever sends it, if it does. `end`: it is nothing but a head. `for_usage`: it is at the usage
    /// endpoint.
    fn passes_anyway(
        &self,
        host: &mut dyn Host,
        head: &RequestHead<'_>,
        end: bool,
        for_usage: bool,
    ) -> Option<Event> {
        if !for_usage && !Request::new(head, host, None).may_match(&self.guards) {
            Some(Event::Unguarded)
        } else if self.preflight == Preflight::Pass && end && is_preflight(head) {
            Some(Event::Preflight)
        } else {
            None
        }
    }

    /// Finds out who sends the request. `wait`: it may wait for what a token needs.
    fn authenticate(
        &self,
        host: &mut dyn Host,
        head: &RequestHead<'_>,
        facts: &Facts<'_>,
        wait: bool,
    ) -> Result<Caller<'_>, Stop> {
        let found = self.locations.find(head);
        match found {
            Found::Nothing => return self.anonymous(),
            Found::Several { token } => return Err(Refusal::KeyRepeated { token }.into()),
            Found::One(_) | Found::Token(_) => {}
        }
        self.check_failures(host, facts)?;
        let caller = match &found {
            Found::One(key) => self.look_up(host, key).map_err(Stop::from),
            Found::Token(token) => self.check_token(host, token, facts, wait),
            Found::Nothing | Found::Several { .. } => self.anonymous(),
        };
        match caller {
            Err(Stop::Refused(why)) => Err(self.count_failure(host, facts, why)?.into()),
            other => other,
        }
    }

    fn anonymous(&self) -> Result<Caller<'_>, Stop> {
        self.consumers.anonymous().map(Caller::Known).ok_or_else(|| Refusal::KeyMissing.into())
    }

    /// Finds out whose token it is.
    fn check_token(
        &self,
        host: &mut dyn Host,
        token: &[u8],
        facts: &Facts<'_>,
        wait: bool,
    ) -> Result<Caller<'_>, Stop> {
        let Some(tokens) = &self.tokens else { return Err(Refusal::KeyMissing.into()) };
        match tokens.authenticate(host, token, &self.consumers, facts, wait) {
            Ok(Some(bearer)) => Ok(Caller::Bearer(bearer)),
            Ok(None) => self.anonymous(),
            Err(Stopped::Wait) => Err(Stop::Wait),
            Err(Stopped::Failed(error)) => Err(error.into()),
            Err(Stopped::Problem(problem @ TokenProblem::Scope)) => {
                let reply = self.refused_token(host, problem, &tokens.scopes(token));
                Err(Stop::Replied(problem.event(), Box::new(reply)))
            }
            Err(Stopped::Problem(problem)) => Err(Refusal::Token(problem).into()),
        }
    }

    /// Refuses a request of somebody who is known.
    fn refuse_known(&self, host: &mut dyn Host, why: Refusal, identity: &Identity<'_>) -> Stop {
        Stop::Replied(why.event(), Box::new(self.refused(host, why, Some(identity))))
    }

    /// Finds out whose key it is.
    fn look_up(&self, host: &mut dyn Host, key: &[u8]) -> Result<Caller<'_>, Refusal> {
        if self.key_format.as_ref().is_some_and(|format| !format.accepts(key)) {
            return Err(Refusal::KeyMalformed);
        }
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Refusal::KeyInvalid);
        }
        let key = Presented::new(key, self.consumers.pepper());
        if let Some(identity) = self.consumers.find(&key, || host.now()) {
            return Ok(Caller::Known(identity));
        }
        let Some(sources) = &self.key_files else { return Err(Refusal::KeyInvalid) };
        let fetched = sources.find(host, &key, &self.consumers)?;
        fetched.map(|fetched| Caller::Fetched(Box::new(fetched))).ok_or(Refusal::KeyInvalid)
    }
}

/// Who sends a request, and what keeps that alive.
enum Caller<'a> {
    /// Somebody in the configuration.
    Known(Identity<'a>),
    /// Whoever a token names.
    Bearer(Rc<Bearer>),
    /// Whoever a key has that was fetched.
    Fetched(Box<Fetched>),
}

impl Caller<'_> {
    fn identity<'a>(&'a self, consumers: &'a Consumers) -> Identity<'a> {
        match self {
            Self::Known(identity) => *identity,
            Self::Bearer(bearer) => bearer.identity(consumers),
            Self::Fetched(fetched) => fetched.identity(consumers),
        }
    }

    fn forwards_token(&self) -> bool {
        matches!(self, Self::Bearer(bearer) if bearer.forward)
    }
}

/// Whether browsers ask with it what they may send (Fetch standard, "CORS-preflight request"), if it is nothing but a head.
fn is_preflight(head: &RequestHead<'_>) -> bool {
    let has = |name: &str| head.headers.first(name).is_some();
    head.method == b"OPTIONS" && has("origin") && has("access-control-request-method")
}

fn remove_all(host: &mut dyn Host, names: &[HeaderName]) -> Result<(), HostError> {
    names.iter().try_for_each(|name| host.remove_header(Map::RequestHeaders, name))
}
