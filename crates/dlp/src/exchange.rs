//! One request and its response.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use log::Level;
use meshgate_coding::Coding;
use meshgate_policy::condition::Condition;
use meshgate_policy::consumer;
use meshgate_policy::exchange::{Body as AtHand, Exchange, Next, Reply, Rest};
use meshgate_policy::expression::Scope;
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::Headers;
use meshgate_policy::host::{Host, HostError, Map, Part, Side};
use meshgate_policy::matching::{Captures, Input};

use crate::body::{Body, Plan, reply};
use crate::config::Uninspected;
use crate::heads::{self, Stop};
use crate::kind::{self, Kind};
use crate::mend;
use crate::place::Place;
use crate::report::Report;
use crate::rules::Rule;
use crate::stream::Hold;
use crate::{Dlp, answer, metrics};

/// One request and its response.
#[derive(Debug)]
pub struct DlpExchange {
    dlp: Rc<Dlp>,
    /// The head of the request, for what is decided on its response.
    request: Headers,
    /// The connection of its own that the request asks for.
    tunnel: Option<Tunnel>,
    /// What `percent` is decided by, the same for all rules and both messages.
    roll: Cell<Option<u16>>,
    request_body: Option<Body>,
    response_body: Option<Body>,
    report: Report,
}

/// What makes a request's body, and that of its response, something else than a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tunnel {
    /// An upgrade (RFC 9110 section 7.8), as of WebSocket: there is one if the answer is 101.
    Upgrade,
    /// CONNECT (RFC 9110 section 9.3.6): there is one if the answer is 2xx.
    Connect,
}

const NO_BODY: &str = "a response ended while its head waited for its body, and none has come behind such a head yet: \
    does the filter's Envoy configuration say allow_on_headers_stop_iteration: true?";

impl Exchange for DlpExchange {
    fn request_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        let dlp = Rc::clone(&self.dlp);
        if !dlp.rules.look_at_side(Side::Request) && !dlp.rules.look_at_side(Side::Response) {
            return Ok(Next::Continue);
        }
        let headers = host.headers(Map::RequestHeaders)?;
        self.tunnel = Tunnel::of(&headers);
        let next = self.head(&dlp, host, Side::Request, &headers, None, end)?;
        if dlp.rules.look_at_side(Side::Response) {
            if dlp.rules.look_at(Place::ResponseBody) && !matches!(next, Next::Reply(_)) {
                mend::ask_for_readable(&dlp, host, &headers)?;
            }
            self.request = headers;
        }
        Ok(next)
    }

    fn request_body(&mut self, host: &mut dyn Host, body: AtHand) -> Result<Next, HostError> {
        self.body(host, Side::Request, body)
    }

    fn response_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        let dlp = Rc::clone(&self.dlp);
        if !dlp.rules.look_at_side(Side::Response) {
            return Ok(Next::Continue);
        }
        let headers = host.headers(Map::ResponseHeaders)?;
        let request = std::mem::take(&mut self.request);
        let next = self.head(&dlp, host, Side::Response, &request, Some(&headers), end);
        self.request = request;
        next
    }

    fn response_body(&mut self, host: &mut dyn Host, body: AtHand) -> Result<Next, HostError> {
        self.body(host, Side::Response, body)
    }

    fn log(&mut self, host: &mut dyn Host) {
        if self.dlp.log && !self.report.is_empty() {
            self.dlp.log(host, Level::Info, || format!("dlp: {}", self.report.text(&self.dlp)));
        }
        // Nothing tells a module what its Envoy configuration says, but without the option no body ever comes behind such a head.
        if self.response_body.as_ref().is_some_and(Body::is_awaited) && !self.dlp.heads_can_wait.get() {
            self.dlp.log(host, Level::Error, || NO_BODY.to_owned());
        }
    }

    /// What could not be looked into does not pass, unless no rule would have changed anything.
    fn failed(&mut self, _side: Side, _part: Part, _error: HostError) -> Next {
        if self.dlp.rules.enforce() { reply(Reply::internal_error()) } else { Next::Continue }
    }
}

impl DlpExchange {
    /// Begins.
    pub fn new(dlp: Rc<Dlp>) -> Self {
        Self {
            dlp,
            request: Headers::default(),
            tunnel: None,
            roll: Cell::new(None),
            request_body: None,
            response_body: None,
            report: Report::default(),
        }
    }

    /// Looks into the head of a message, and begins with its body.
    fn head(
        &mut self,
        dlp: &Dlp,
        host: &mut dyn Host,
        side: Side,
        request: &Headers,
        response: Option<&Headers>,
        end: bool,
    ) -> Result<Next, HostError> {
        let rules = self.rules_for(dlp, host, side, request, response)?;
        if rules == 0 {
            if dlp.rules.look_at_side(side) {
                host.explain(format_args!("{} no rule", message(side)));
            }
            return Ok(Next::Continue);
        }
        for (index, rule) in dlp.rules.of(rules) {
            host.explain(format_args!("{} {}", message(side), rule.shown(index)));
        }
        let headers = response.unwrap_or(request);
        let inspected = heads::inspect(dlp, host, side, headers, rules, &mut self.report);
        self.report.publish(dlp, host);
        if inspected.is_ok() && host.wants_detail() {
            let looked_at = |place: &Place| dlp.rules.of(rules).any(|(_, rule)| rule.places.has(*place));
            let in_head = Place::ALL.into_iter().filter(|place| place.side() == side && !place.is_body());
            for place in in_head.filter(looked_at).filter(|place| !self.report.has(*place)) {
                host.detail(format_args!("{}: nothing found", place.name()));
            }
        }
        match inspected {
            Ok(()) => {}
            Err(Stop::Blocked(blocked)) => return Ok(reply(answer::blocked(side, blocked.status))),
            Err(Stop::Failed(error)) => return Err(error),
        }
        if self.tunnel.is_some_and(|tunnel| side == Side::Request || tunnel.opens(headers)) {
            return Ok(Next::Continue);
        }
        self.begin_body(dlp, host, side, headers, request, rules, end)
    }

    /// Decides how the body behind a head is looked into.
    #[allow(clippy::too_many_arguments, reason = "all that is known of a message, once")]
    fn begin_body(
        &mut self,
        dlp: &Dlp,
        host: &mut dyn Host,
        side: Side,
        headers: &Headers,
        request: &Headers,
        rules: u64,
        end: bool,
    ) -> Result<Next, HostError> {
        let place = Place::body(side);
        let (mut set, mut enforced) = (0_u64, false);
        for (index, rule) in dlp.rules.of(rules).filter(|(_, rule)| rule.places.has(place)) {
            set |= 1 << index;
            enforced |= rule.enforces();
        }
        if set == 0 {
            return Ok(Next::Continue);
        }
        let Some(kind) = dlp.bodies.types.of(headers) else {
            if !end {
                let name = place.name();
                host.explain(format_args!("{name} is of no type in bodies.content_types"));
                dlp.metrics.body(host, metrics::Body::OtherType);
            }
            return Ok(Next::Continue);
        };
        let coding = Coding::of(headers.all("content-encoding")).ok();
        let Some(from) = coding.filter(|_| kind::is_readable(headers)) else {
            if end {
                return Ok(Next::Continue);
            }
            host.explain(format_args!("{} can't be decoded", place.name()));
            if dlp.bodies.undecodable == Uninspected::Block && enforced {
                dlp.metrics.body(host, metrics::Body::UndecodableBlocked);
                return Ok(reply(answer::undecodable(side)));
            }
            dlp.metrics.body(host, metrics::Body::UndecodablePassed);
            return Ok(Next::Continue);
        };
        let active = || dlp.rules.of(set).map(|(_, rule)| rule);
        // It has no end that could be waited for: its lines are held, one by one.
        let whole = kind != Kind::EVENTS && active().any(Rule::needs_whole);
        let length = mend::content_length(headers);
        if whole && !end && length.is_some_and(|length| length > dlp.bodies.max_held as u64) {
            host.explain(format_args!("{} is longer than bodies.max_held", place.name()));
            if dlp.bodies.over_limit == Uninspected::Block && enforced {
                dlp.metrics.body(host, metrics::Body::LargeBlocked);
                return Ok(reply(answer::too_large(side)));
            }
            dlp.metrics.body(host, metrics::Body::LargePassed);
            return Ok(Next::Continue);
        }
        // What is not held may be cut off by a rule that blocks.
        let changes = active().any(|rule| rule.enforces() && (rule.action.changes() || !whole));
        // What nothing is done to passes as it came.
        let to = if changes { mend::coding_out(dlp, from, side, request) } else { from };
        if changes {
            let keeps_length = from == Coding::Identity
                && active().all(|rule| !rule.enforces() || rule.action.keeps_length());
            mend::head(host, side, headers, keeps_length, (from != to).then_some(to))?;
        }
        if end {
            return Ok(Next::Continue);
        }
        let holds_head = side == Side::Response && whole && active().any(Rule::blocks);
        let hold = if length.is_some() {
            // Trailers can't end it before all of it is there.
            Hold::Nothing
        } else if headers.first("trailer").is_some() && !kind.is_records() {
            // Once a part has been passed on, trailers come too late for what is kept of the next.
            Hold::All
        } else {
            Hold::Undecided
        };
        let plan = Plan { side, rules: set, kind, from, to, length, changes, whole, holds_head, hold };
        let (body, mode) = Body::begin(dlp, plan);
        match side {
            Side::Request => self.request_body = Some(body),
            Side::Response => self.response_body = Some(body),
        }
        Ok(Next::ReadBody(mode))
    }

    fn body(&mut self, host: &mut dyn Host, side: Side, at_hand: AtHand) -> Result<Next, HostError> {
        let body = match side {
            Side::Request => &mut self.request_body,
            Side::Response => &mut self.response_body,
        };
        let Some(body) = body else { return Ok(Next::Continue) };
        let next = body.take(&self.dlp, host, at_hand, &mut self.report);
        self.report.publish(&self.dlp, host);
        if at_hand.rest == Rest::End && body.is_scanned() && !self.report.has(Place::body(side)) {
            host.detail(format_args!("{}: nothing found", Place::body(side).name()));
        }
        next
    }

    /// The rules that are for this message.
    fn rules_for(
        &self,
        dlp: &Dlp,
        host: &mut dyn Host,
        side: Side,
        request: &Headers,
        response: Option<&Headers>,
    ) -> Result<u64, HostError> {
        let mut set = 0_u64;
        let mut scope: Option<Scope> = None;
        let head = RequestHead::new(request);
        let host = RefCell::new(host);
        let roll = || self.roll(&host);
        let not_for_it = |index: usize, rule: &Rule, why: &str| {
            if let Ok(mut host) = host.try_borrow_mut() {
                host.detail(format_args!("{} {}: {why} does not hold", message(side), rule.shown(index)));
            }
        };
        for (index, rule) in dlp.rules.rules.iter().enumerate().filter(|(_, rule)| rule.places.on(side)) {
            let input = Input { request: &head, response, roll: &roll };
            // A request that an upstream may read as one of these is looked at.
            if !rule.matches.as_ref().is_none_or(|matches| matches.truth(&input).may_be()) {
                not_for_it(index, rule, "match");
                continue;
            }
            if let Some(when) = &rule.when {
                let scope = match &mut scope {
                    Some(scope) => scope,
                    none => {
                        let mut host = host.try_borrow_mut().map_err(|_| HostError::WrongPhase)?;
                        none.insert(make_scope(&mut **host, &head, response)?)
                    }
                };
                if !holds(when, rule, &head, scope) {
                    not_for_it(index, rule, "when");
                    continue;
                }
            }
            set |= 1 << index;
        }
        Ok(set)
    }

    /// A number from 0 to 9,999, by chance, the same throughout the exchange. Without chance it is 0: as if all were meant.
    fn roll(&self, host: &RefCell<&mut dyn Host>) -> u16 {
        if let Some(roll) = self.roll.get() {
            return roll;
        }
        let mut bytes = [0; size_of::<u64>()];
        let roll = match host.try_borrow_mut().map(|mut host| host.random(&mut bytes)) {
            Ok(Ok(())) => u16::try_from(u64::from_le_bytes(bytes) % 10_000).unwrap_or(0),
            Ok(Err(_)) | Err(_) => 0,
        };
        self.roll.set(Some(roll));
        roll
    }
}

/// What a message is called.
const fn message(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Response => "response",
    }
}

/// What conditions are asked about.
fn make_scope(
    host: &mut dyn Host,
    head: &RequestHead<'_>,
    response: Option<&Headers>,
) -> Result<Scope, HostError> {
    let mut scope = Scope::new(head);
    scope.set_now(host.now());
    if let Some(response) = response {
        scope.set_response(response);
    }
    if let Some(consumer) = consumer::read(host)? {
        scope.set_consumer(consumer.to_value());
    }
    Ok(scope)
}

/// Whether the condition of a rule holds, or has no answer: what protects is not evaded by a request that it can't be asked
/// about.
fn holds(when: &Condition, rule: &Rule, head: &RequestHead<'_>, scope: &mut Scope) -> bool {
    let captures = rule.matches.as_ref().map_or_else(Captures::default, |matches| matches.captures(head));
    let mut scope = scope.clone();
    scope.set_captures(&captures);
    when.holds(&scope).unwrap_or(true)
}

impl Tunnel {
    /// What a request asks for, as Envoy decides it. WebSocket asks with GET, also where it comes as an extended CONNECT of
    /// HTTP/2; a request with a body is one with a body, whatever it says of upgrades.
    fn of(headers: &Headers) -> Option<Self> {
        let names_upgrade = |value: &[u8]| {
            value
                .split(|byte| *byte == b',')
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        };
        match headers.first(":method") {
            Some(b"CONNECT") => Some(Self::Connect),
            Some(b"GET") if !has_body(headers) => {
                let upgrades = headers.all("upgrade").any(|value| !value.is_empty())
                    && headers.all("connection").any(names_upgrade);
                upgrades.then_some(Self::Upgrade)
            }
            _ => None,
        }
    }

    /// Whether this response gives the request what it asks for.
    fn opens(self, response: &Headers) -> bool {
        match (self, response.first(":status")) {
            (Self::Upgrade, status) => status == Some(b"101"),
            (Self::Connect, status) => matches!(status, Some([b'2', _, _])),
        }
    }
}

/// Whether a head announces a body: one of a message that may be an upgrade is read by an upstream that leaves the upgrade alone.
fn has_body(headers: &Headers) -> bool {
    headers.first("transfer-encoding").is_some() || headers.all("content-length").any(|length| length != b"0")
}
