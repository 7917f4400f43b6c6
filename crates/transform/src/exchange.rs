//! One request and its response.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use meshgate_coding::{Caps, Coding, DecodeError};
use meshgate_policy::consumer;
use meshgate_policy::exchange::{Body as Part, BodyMode, Exchange, Next, Reply, Rest};
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, Map, Part as MessagePart, Side};

use crate::Transform;
use crate::config::EncodedBodies;
use crate::content::{self, CONTENT_ENCODING, CONTENT_LENGTH};
use crate::head::Draft;
use crate::known::Known;
use crate::metrics::Event;
use crate::negotiation;
use crate::rule::Needs;
use crate::run::{Body, Note, Run, Step, Stop};
use crate::trouble::{Remedy, Trouble};

static METHOD: HeaderName = HeaderName::constant(":method");

/// One request and its response.
#[derive(Debug)]
pub struct TransformExchange {
    policy: Rc<Transform>,
    /// The request's head as it arrived, where a rule for the response depends on it.
    request: Option<Headers>,
    /// The method of the request is HEAD, and a response to it may have to be rewritten.
    is_head: bool,
    chance: Chance,
    request_body: Option<Waiting>,
    response_body: Option<Waiting>,
}

/// A message whose body is being read.
#[derive(Debug)]
struct Waiting {
    head: Option<Headers>,
    coding: Coding,
    is_json: bool,
    /// The rules that hold.
    active: Vec<usize>,
    rest: Left,
}

/// What is left to do when the body is there.
#[derive(Debug)]
enum Left {
    /// Everything: the head waits as well.
    All,
    /// What the rules do to the body.
    Steps(Vec<Step>),
}

impl Exchange for TransformExchange {
    fn request_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        let next = self.head(host, Side::Request, end);
        self.counted(host, next)
    }

    fn request_body(&mut self, host: &mut dyn Host, body: Part) -> Result<Next, HostError> {
        let next = self.body(host, Side::Request, body);
        self.counted(host, next)
    }

    fn response_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        let next = self.head(host, Side::Response, end);
        self.counted(host, next)
    }

    fn response_body(&mut self, host: &mut dyn Host, body: Part) -> Result<Next, HostError> {
        let next = self.body(host, Side::Response, body);
        self.counted(host, next)
    }

    /// What a rule was to take out must not get through because the proxy failed.
    fn failed(&mut self, _side: Side, _part: MessagePart, _error: HostError) -> Next {
        Next::Reply(Box::new(Reply::internal_error()))
    }
}

impl TransformExchange {
    /// Begins.
    pub const fn new(policy: Rc<Transform>) -> Self {
        Self {
            policy,
            request: None,
            is_head: false,
            chance: Chance::new(),
            request_body: None,
            response_body: None,
        }
    }

    fn head(&mut self, host: &mut dyn Host, side: Side, end: bool) -> Result<Next, HostError> {
        let policy = Rc::clone(&self.policy);
        let reads = policy.reads(side);
        if !reads.anything {
            return Ok(Next::Continue);
        }
        let negotiates = side == Side::Request && policy.reads_response_body;
        let head = if reads.head || (negotiates && negotiation::is_asked(host)?) {
            Some(host.headers(Map::head(side))?)
        } else {
            None
        };
        if negotiates {
            self.is_head = match &head {
                Some(head) => head.first(":method") == Some(b"HEAD"),
                // HEAD comes without a body.
                None => end && host.first_header(Map::RequestHeaders, &METHOD)?.as_deref() == Some(b"HEAD"),
            };
        }
        let result = self.rewrite_head(host, &policy, side, head.as_ref(), end);
        if side == Side::Request && policy.keeps_request {
            self.request = head.clone();
        }
        match result? {
            Outcome::Done => Ok(Next::Continue),
            Outcome::Refused(reply) => Ok(Next::Reply(reply)),
            Outcome::Reads(waiting) => {
                let hold_head = matches!(waiting.rest, Left::All);
                *self.waiting(side) = Some(Waiting { head, ..waiting });
                Ok(Next::ReadBody(BodyMode::Whole { limit: policy.body_limit, hold_head }))
            }
        }
    }

    fn rewrite_head(
        &self,
        host: &mut dyn Host,
        policy: &Transform,
        side: Side,
        head: Option<&Headers>,
        end: bool,
    ) -> Result<Outcome, HostError> {
        let (request, response) = match side {
            Side::Request => (head, None),
            Side::Response => (self.request.as_ref(), head),
        };
        let mut known = Known::new(side, request, response);
        let (mut active, needs) = match self.active(host, policy, &mut known)? {
            Ok(active) => active,
            Err(reply) => return Ok(Outcome::Refused(reply)),
        };
        let negotiates = side == Side::Request && policy.reads_response_body;
        if active.is_empty() {
            if negotiates {
                let mut draft = Draft::new(side, head);
                negotiation::prepare(&mut draft, policy, &known, &|index| self.chance.known(index));
                draft.write(host)?;
            }
            return Ok(Outcome::Done);
        }
        policy.metrics.count(host, Event::Applied);
        learn(&mut known, host, needs.scope, needs.consumer)?;

        let is_json = head.is_some_and(|head| content::is_json(head, &policy.json_types));
        let mut coding = Coding::Identity;
        let body = match head.filter(|_| needs.reads_body()) {
            None => Body::Foreign,
            Some(head) if content::is_stream(side, head, request) => Body::Foreign,
            Some(_) if !needs.body && !is_json => Body::Foreign,
            Some(head) if end && self.is_bodiless(side, head) => Body::Never,
            // A coding that is not known is refused before there is a body, so also where none comes: an empty one may end
            // with the head or behind it, and must not fare differently.
            Some(head) => match content::coding(head) {
                Err(_) => Body::Unusable(Trouble::Undecodable),
                Ok(_) if end => Body::Absent,
                Ok(_) if content::length(head).is_some_and(|length| length > policy.body_limit as u64) => {
                    Body::Unusable(Trouble::OverLimit)
                }
                Ok(found) => {
                    coding = found;
                    Body::Later
                }
            },
        };
        let reads = body == Body::Later;
        if reads && policy.holds_heads {
            return Ok(Outcome::Reads(Waiting { head: None, coding, is_json, active, rest: Left::All }));
        }
        loop {
            let mut run = Run::new(&policy.rules, &known, body.clone(), is_json, policy.largest());
            let result = run.rules(&active);
            count(host, policy, noted(&run.notes, &result));
            let steps = match result {
                Ok(steps) => steps,
                Err(Stop::Without(rule)) => {
                    active.retain(|index| *index != rule);
                    continue;
                }
                Err(Stop::Refuse(trouble, status)) => {
                    return Ok(Outcome::Refused(refuse(host, policy, side, trouble, status)));
                }
            };
            let changes_body = reads && !steps.is_empty();
            // The response to HEAD says what the one to GET would.
            let describes = |head| !content::is_bodiless(head) && content::length(head) != Some(0);
            if changes_body || (body == Body::Never && head.is_some_and(describes)) {
                content::forget_body(&mut run.draft, false);
            }
            if negotiates {
                negotiation::prepare(&mut run.draft, policy, &known, &|index| self.chance.known(index));
            }
            run.draft.write(host)?;
            return Ok(if changes_body {
                Outcome::Reads(Waiting { head: None, coding, is_json, active, rest: Left::Steps(steps) })
            } else {
                Outcome::Done
            });
        }
    }

    /// The rules that hold for a message, and what they need; or the answer to it.
    fn active(
        &self,
        host: &mut dyn Host,
        policy: &Transform,
        known: &mut Known<'_>,
    ) -> Result<Result<Active, Box<Reply>>, HostError> {
        let side = known.side;
        let mut active = Vec::new();
        let mut needs = Needs::default();
        for (index, rule) in
            policy.rules.iter().enumerate().filter(|(_, rule)| !rule.plan(side).ops.is_empty())
        {
            if rule.matches.is_some() && !self.chance.ask(host, |roll| known.matches(rule, &|| roll(index))) {
                continue;
            }
            // A condition on the body is asked when the body is there.
            if let Some(when) = rule.when.as_ref().filter(|when| !when.needs_body()) {
                learn(known, host, true, when.needs_consumer())?;
                match known.holds(rule).map_err(|trouble| (trouble, rule.on_error.remedy(trouble))) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err((trouble, Remedy::Error(status))) => {
                        return Ok(Err(refuse(host, policy, side, trouble, status)));
                    }
                    Err((trouble, Remedy::Skip | Remedy::Pass)) => {
                        count(host, policy, &[Note::Passed(trouble)]);
                        continue;
                    }
                }
            }
            active.push(index);
            needs = needs.and(rule.needs(side));
        }
        Ok(Ok((active, needs)))
    }

    fn body(&mut self, host: &mut dyn Host, side: Side, part: Part) -> Result<Next, HostError> {
        let policy = Rc::clone(&self.policy);
        let Some(waiting) = self.waiting(side).take() else { return Ok(Next::Continue) };
        let text = match part.rest {
            Rest::OverLimit => Err(Trouble::OverLimit),
            Rest::End | Rest::More if part.size == 0 => Ok(Vec::new()),
            Rest::End | Rest::More => decode(&policy, waiting.coding, host.body(side, 0, usize::MAX)?),
        };
        let head = waiting.head.as_ref();
        let (request, response) = match side {
            Side::Request => (head, None),
            Side::Response => (self.request.as_ref(), head),
        };
        let mut known = Known::new(side, request, response);
        let mut active = waiting.active;
        let needs = active.iter().filter_map(|index| policy.rules.get(*index)).map(|rule| rule.needs(side));
        let needs = needs.fold(Needs::default(), Needs::and);
        learn(&mut known, host, needs.scope, needs.consumer)?;
        // What templates are to see as JSON has to be that, or a condition would not hold for what it can't read.
        let text = text.and_then(|text| {
            let is_read = needs.sees_body && waiting.is_json && !text.is_empty();
            match is_read.then(|| meshgate_json::validate(&text, &meshgate_json::Limits::default())) {
                Some(Err(_)) => Err(Trouble::InvalidJson),
                _ => Ok(text),
            }
        });
        let body = match &text {
            Ok(text) if text.is_empty() && head.is_some_and(|head| self.is_bodiless(side, head)) => {
                Body::Never
            }
            Ok(text) => Body::Here(Cow::Borrowed(text.as_slice())),
            Err(trouble) => Body::Unusable(*trouble),
        };
        known.body = text.as_deref().ok().filter(|text| needs.sees_body && !text.is_empty());
        let mut without = Vec::new();
        let run = loop {
            let mut run = Run::new(&policy.rules, &known, body.clone(), waiting.is_json, policy.largest());
            let result = match &waiting.rest {
                Left::All => run.rules(&active).map(drop),
                Left::Steps(steps) => run.finish(steps, &without),
            };
            count(host, &policy, noted(&run.notes, &result));
            match result {
                Ok(()) => break run,
                Err(Stop::Without(rule)) => {
                    active.retain(|index| *index != rule);
                    without.push(rule);
                }
                Err(Stop::Refuse(trouble, status)) => {
                    return Ok(Next::Reply(refuse(host, &policy, side, trouble, status)));
                }
            }
        };
        let Run { mut draft, body, changed, .. } = run;
        let new = match body {
            Body::Here(text) if changed => Some(text),
            _ => None,
        };
        let plain = policy.encoded_bodies == EncodedBodies::Identity;
        let new = match new {
            Some(text) if waiting.coding == Coding::Identity || plain => Some(text),
            Some(text) => {
                let encoded = meshgate_coding::encode(waiting.coding, &text);
                Some(Cow::Owned(encoded.map_err(|_| HostError::Unsupported)?))
            }
            None => None,
        };
        if let (Left::All, Some(text)) = (&waiting.rest, &new) {
            content::forget_body(&mut draft, true);
            if draft.lines("content-length").next().is_some() {
                draft.set_field(&CONTENT_LENGTH, HeaderValue::number(text.len() as u64));
            }
            if plain {
                draft.drop_field(&CONTENT_ENCODING);
            }
        }
        if matches!(waiting.rest, Left::All) {
            if side == Side::Request && policy.reads_response_body {
                negotiation::prepare(&mut draft, &policy, &known, &|index| self.chance.known(index));
            }
            draft.write(host)?;
        }
        if let Some(text) = new {
            host.set_body(side, &text)?;
        }
        Ok(Next::Continue)
    }

    /// Whether a message has no body whatever the resource is: the answers to HEAD, and those that say so by their status.
    fn is_bodiless(&self, side: Side, head: &Headers) -> bool {
        side == Side::Response && (self.is_head || content::is_bodiless(head))
    }

    fn counted(&self, host: &mut dyn Host, next: Result<Next, HostError>) -> Result<Next, HostError> {
        if next.is_err() {
            self.policy.metrics.count(host, Event::Failed);
        }
        next
    }

    const fn waiting(&mut self, side: Side) -> &mut Option<Waiting> {
        match side {
            Side::Request => &mut self.request_body,
            Side::Response => &mut self.response_body,
        }
    }
}

/// The rules that hold, and what they need.
type Active = (Vec<usize>, Needs);

/// What became of a head.
enum Outcome {
    Done,
    Refused(Box<Reply>),
    Reads(Waiting),
}

/// Learns what templates ask for.
fn learn(known: &mut Known<'_>, host: &mut dyn Host, scope: bool, consumer: bool) -> Result<(), HostError> {
    if scope && !known.has_time() {
        known.set_now(host.now());
    }
    if consumer && !known.asked_consumer() {
        known.set_consumer(consumer::read(host)?);
    }
    Ok(())
}

fn decode(policy: &Transform, coding: Coding, encoded: Vec<u8>) -> Result<Vec<u8>, Trouble> {
    if coding == Coding::Identity || encoded.is_empty() {
        return Ok(encoded);
    }
    let caps = Caps { size: policy.body_limit, ..Caps::default() };
    meshgate_coding::decode(coding, &encoded, &caps).map_err(|error| {
        log::debug!("{error}");
        match error {
            DecodeError::Size { .. } | DecodeError::Ratio { .. } => Trouble::OverLimit,
            _ => Trouble::Undecodable,
        }
    })
}

fn refuse(
    host: &mut dyn Host,
    policy: &Transform,
    side: Side,
    trouble: Trouble,
    status: Option<u16>,
) -> Box<Reply> {
    policy.metrics.count(host, Event::Trouble(trouble));
    policy.metrics.count(host, Event::Refused);
    Box::new(trouble.reply(side, status))
}

/// What a run found that is not found again: of one that begins again only why.
fn noted<'n, T>(notes: &'n [Note], result: &Result<T, Stop>) -> &'n [Note] {
    match result {
        Err(Stop::Without(_)) => notes.last().map(std::slice::from_ref).unwrap_or_default(),
        Ok(_) | Err(Stop::Refuse(..)) => notes,
    }
}

fn count(host: &mut dyn Host, policy: &Transform, notes: &[Note]) {
    for note in notes {
        let (trouble, event) = match note {
            Note::Skipped(trouble) => (*trouble, Event::Skipped),
            Note::Passed(trouble) => (*trouble, Event::Passed),
        };
        policy.metrics.count(host, Event::Trouble(trouble));
        policy.metrics.count(host, event);
    }
}

/// Chance, for `percent`: a rule has the same luck with a request and its response.
#[derive(Debug)]
struct Chance {
    seed: Cell<Option<u64>>,
}

impl Chance {
    const fn new() -> Self {
        Self { seed: Cell::new(None) }
    }

    /// Asks something that may depend on chance: the number from 0 to 9,999 of a rule.
    fn ask(&self, host: &mut dyn Host, question: impl FnOnce(&dyn Fn(usize) -> u16) -> bool) -> bool {
        let host = RefCell::new(host);
        question(&|index| {
            if self.seed.get().is_none() {
                let mut bytes = [0; size_of::<u64>()];
                // Without chance it is 0 for all rules: as if all messages were meant.
                if host.try_borrow_mut().is_ok_and(|mut host| host.random(&mut bytes).is_ok()) {
                    self.seed.set(Some(u64::from_le_bytes(bytes)));
                }
            }
            self.known(index)
        })
    }

    /// The number of a rule, if there was chance before.
    fn known(&self, index: usize) -> u16 {
        let Some(seed) = self.seed.get() else { return 0 };
        // The finalizer of SplitMix64: neighbouring rules get numbers that have nothing to do with each other.
        let mut mixed = seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u16::try_from((mixed ^ (mixed >> 31)) % 10_000).unwrap_or(0)
    }
}
