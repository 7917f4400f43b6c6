//! One request and its response.

use std::borrow::Cow;
use std::rc::Rc;

use meshgate_coding::{Coding, DecodeError};
use meshgate_policy::consumer;
use meshgate_policy::exchange::{Body as Part, BodyMode, Exchange, Next, Reply, Rest};
use meshgate_policy::headers::{HeaderName, Headers};
use meshgate_policy::host::{Host, HostError, Map, Part as MessagePart, Side};

use crate::Transform;
use crate::chance::Chance;
use crate::config::EncodedBodies;
use crate::content::{self, CONTENT_ENCODING};
use crate::head::Draft;
use crate::known::Known;
use crate::metrics::Event;
use crate::negotiation::{self, Asked};
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
    /// Whether the method of the request is HEAD, if somebody had to know.
    is_head: Option<bool>,
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
    /// To replace the body, whatever it is: by this, which is encoded as it has to be, and gone once it is written.
    Replace(Option<Vec<u8>>, Vec<Step>),
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
            is_head: None,
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
        let head = if reads.head { Some(host.headers(Map::head(side))?) } else { None };
        let mut asked = None;
        if side == Side::Request && policy.works_on_responses {
            self.is_head = match &head {
                Some(head) => Some(head.first(":method") == Some(b"HEAD")),
                // HEAD comes without a body.
                None if !end => Some(false),
                None if policy.minds_head => {
                    Some(host.first_header(Map::RequestHeaders, &METHOD)?.as_deref() == Some(b"HEAD"))
                }
                None => None,
            };
            asked = Some(if head.is_none() { Asked::read(host)? } else { Asked::default() });
        }
        let outcome = self.rewrite_head(host, &policy, side, head.as_ref(), asked.as_ref(), end)?;
        let keeps = side == Side::Request && policy.keeps_request;
        match outcome {
            Outcome::Done => {
                if keeps {
                    self.request = head;
                }
                Ok(Next::Continue)
            }
            Outcome::Refused(reply) => Ok(Next::Reply(reply)),
            Outcome::Reads(waiting) => {
                if keeps {
                    self.request.clone_from(&head);
                }
                let limit = policy.caps.size;
                let mode = match waiting.rest {
                    Left::All => BodyMode::Whole { limit, hold_head: true },
                    Left::Steps(_) => BodyMode::Whole { limit, hold_head: false },
                    // Nothing of it is held.
                    Left::Replace(..) => BodyMode::Window { limit: usize::MAX },
                };
                *self.waiting(side) = Some(Waiting { head, ..waiting });
                Ok(Next::ReadBody(mode))
            }
        }
    }

    fn rewrite_head(
        &self,
        host: &mut dyn Host,
        policy: &Transform,
        side: Side,
        head: Option<&Headers>,
        asked: Option<&Asked>,
        end: bool,
    ) -> Result<Outcome, HostError> {
        let (request, response) = match side {
            Side::Request => (head, None),
            Side::Response => (self.request.as_ref(), head),
        };
        let mut known = Known::new(side, request, response);
        known.in_detail = host.wants_detail();
        let (mut active, needs) = match self.active(host, policy, &mut known)? {
            Ok(active) => active,
            Err(reply) => return Ok(Outcome::Refused(reply)),
        };
        if active.is_empty() && asked.is_none() {
            return Ok(Outcome::Done);
        }
        if !active.is_empty() {
            policy.metrics.count(host, Event::Applied);
        }
        learn(&mut known, host, needs)?;

        let head_of_body = head.filter(|_| needs.works_on_body());
        let is_json = head_of_body.is_some_and(|head| content::is_json(head, &policy.json_types));
        let mut coding = Coding::Identity;
        let body = match head_of_body {
            None => Body::Foreign,
            Some(head) if content::is_stream(side, head, request) => Body::Foreign,
            Some(_) if !needs.body && !is_json => Body::Foreign,
            Some(head) if end && side == Side::Response && content::is_bodiless(head) => Body::Never,
            // A coding that is not known is refused before there is a body, so also where none comes: an empty one may end
            // with the head or behind it, and must not fare differently.
            Some(head) => match content::coding(head) {
                Err(_) => Body::Unusable(Trouble::Undecodable),
                Ok(_) if end && self.is_bodiless(side, head) => Body::Never,
                Ok(_) if end => Body::Absent,
                Ok(_) if needs.reads_body() && content::length(head) > Some(policy.caps.size as u64) => {
                    Body::Unusable(Trouble::OverLimit)
                }
                Ok(found) => {
                    coding = found;
                    Body::Later
                }
            },
        };
        if head_of_body.is_some() && body == Body::Foreign {
            host.detail(format_args!("{} body: left alone, as it is of no JSON type", message(side)));
        }
        let reads = body == Body::Later;
        if reads && needs.reads_body() && policy.holds_heads {
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
                Err(Stop::Refuse(rule, trouble, status)) => {
                    return Ok(Outcome::Refused(refuse(host, policy, side, rule, (trouble, status))));
                }
            };
            let replacement = if needs.reads_body() { None } else { run.replacement(&steps) };
            let rest = match replacement.filter(|_| reads) {
                Some(text) => {
                    let text = encode(policy, coding, Cow::Owned(text))?.into_owned();
                    // A body that is announced comes: then it is known how long the other one is.
                    let announced = head.and_then(content::length).is_some_and(|length| length > 0);
                    describe(policy, &mut run.draft, announced.then_some(text.len()));
                    Some(Left::Replace(Some(text), steps))
                }
                None if reads && !steps.is_empty() => {
                    describe(policy, &mut run.draft, None);
                    Some(Left::Steps(steps))
                }
                None => None,
            };
            // The response to HEAD says what the one to GET would.
            let describes_one = |head| !content::is_bodiless(head) && content::length(head) != Some(0);
            if body == Body::Never && head.is_some_and(describes_one) {
                describe(policy, &mut run.draft, None);
            }
            if let Some(asked) = asked {
                negotiation::prepare(&mut run.draft, asked, policy, &known, &|rule| self.chance.known(rule));
            }
            run.draft.write(host)?;
            return Ok(match rest {
                Some(rest) => Outcome::Reads(Waiting { head: None, coding, is_json, active, rest }),
                None => Outcome::Done,
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
        let mut any = false;
        for (index, rule) in
            policy.rules.iter().enumerate().filter(|(_, rule)| !rule.plan(side).ops.is_empty())
        {
            any = true;
            if rule.matches.is_some() && !self.chance.ask(host, |roll| known.matches(rule, &|| roll(index))) {
                host.detail(format_args!("{} rules[{index}]: match does not hold", message(side)));
                continue;
            }
            // A condition on the body is asked when the body is there.
            if let Some(when) = rule.when.as_ref().filter(|when| !when.needs().body) {
                learn(known, host, Needs::expression(when.needs()))?;
                match known.holds(rule).map_err(|trouble| (trouble, rule.on_error.remedy(trouble))) {
                    Ok(true) => {}
                    Ok(false) => {
                        host.detail(format_args!("{} rules[{index}]: when does not hold", message(side)));
                        continue;
                    }
                    Err((trouble, Remedy::Error(status))) => {
                        return Ok(Err(refuse(host, policy, side, index, (trouble, status))));
                    }
                    Err((trouble, Remedy::Skip | Remedy::Pass)) => {
                        count(host, policy, &[Note::Passed(index, trouble)]);
                        continue;
                    }
                }
            }
            host.explain(format_args!("{} rules[{index}]", message(side)));
            active.push(index);
            needs = needs.and(rule.needs(side));
        }
        if any && active.is_empty() {
            host.explain(format_args!("{} no rule", message(side)));
        }
        Ok(Ok((active, needs)))
    }

    fn body(&mut self, host: &mut dyn Host, side: Side, part: Part) -> Result<Next, HostError> {
        let policy = Rc::clone(&self.policy);
        let Some(mut waiting) = self.waiting(side).take() else { return Ok(Next::Continue) };
        if let Left::Replace(new, _) = &mut waiting.rest
            && (new.is_none() || part.size > 0 || part.rest != Rest::End)
        {
            if part.size > 0 {
                host.set_body(side, &new.take().unwrap_or_default())?;
            }
            if part.rest != Rest::End {
                *self.waiting(side) = Some(waiting);
            }
            return Ok(Next::Continue);
        }
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
        known.in_detail = host.wants_detail();
        let mut active = waiting.active;
        let needs = active.iter().filter_map(|index| policy.rules.get(*index)).map(|rule| rule.needs(side));
        let needs = needs.fold(Needs::default(), Needs::and);
        learn(&mut known, host, needs)?;
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
                Left::Steps(steps) | Left::Replace(_, steps) => run.finish(steps, &without),
            };
            count(host, &policy, noted(&run.notes, &result));
            match result {
                Ok(()) => break run,
                Err(Stop::Without(rule)) => {
                    active.retain(|index| *index != rule);
                    without.push(rule);
                }
                Err(Stop::Refuse(rule, trouble, status)) => {
                    return Ok(Next::Reply(refuse(host, &policy, side, rule, (trouble, status))));
                }
            }
        };
        let Run { mut draft, body, changed, .. } = run;
        let new = match body {
            Body::Here(text) if changed => Some(text),
            _ => None,
        };
        let new = new.map(|text| encode(&policy, waiting.coding, text)).transpose()?;
        if matches!(waiting.rest, Left::All) {
            if let Some(text) = &new {
                let announced = head.and_then(content::length).is_some();
                describe(&policy, &mut draft, announced.then_some(text.len()));
            }
            if side == Side::Request && policy.works_on_responses {
                let asked = Asked::default();
                negotiation::prepare(&mut draft, &asked, &policy, &known, &|rule| self.chance.known(rule));
            }
            draft.write(host)?;
        }
        if let Some(text) = new {
            host.set_body(side, &text)?;
        }
        Ok(Next::Continue)
    }

    /// Whether a message that came without a body has none whatever the resource is: the answers to HEAD, and those that say
    /// so by their status. Where the method is not known, it is one to HEAD if it does not say that its body is empty.
    fn is_bodiless(&self, side: Side, head: &Headers) -> bool {
        let is_to_head = || self.is_head.unwrap_or_else(|| content::length(head) != Some(0));
        side == Side::Response && (content::is_bodiless(head) || is_to_head())
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
fn learn(known: &mut Known<'_>, host: &mut dyn Host, needs: Needs) -> Result<(), HostError> {
    if needs.now && !known.has_time() {
        known.set_now(host.now());
    }
    if needs.consumer && !known.asked_consumer() {
        known.set_consumer(consumer::read(host)?);
    }
    Ok(())
}

fn decode(policy: &Transform, coding: Coding, encoded: Vec<u8>) -> Result<Vec<u8>, Trouble> {
    if coding == Coding::Identity || encoded.is_empty() {
        return Ok(encoded);
    }
    meshgate_coding::decode(coding, &encoded, &policy.caps).map_err(|error| {
        log::debug!("{error}");
        match error {
            DecodeError::Size { .. } | DecodeError::Ratio { .. } => Trouble::OverLimit,
            _ => Trouble::Undecodable,
        }
    })
}

/// Makes a head that of another body, of this length if it is to be announced.
fn describe(policy: &Transform, draft: &mut Draft<'_>, length: Option<usize>) {
    content::forget_body(draft, length);
    if policy.encoded_bodies == EncodedBodies::Identity {
        draft.drop_field(&CONTENT_ENCODING);
    }
}

/// A body as it leaves.
fn encode<'a>(policy: &Transform, coding: Coding, text: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, HostError> {
    if coding == Coding::Identity || policy.encoded_bodies == EncodedBodies::Identity {
        return Ok(text);
    }
    meshgate_coding::encode(coding, &text).map(Cow::Owned).map_err(|_| HostError::Unsupported)
}

fn refuse(
    host: &mut dyn Host,
    policy: &Transform,
    side: Side,
    rule: usize,
    (trouble, status): (Trouble, Option<u16>),
) -> Box<Reply> {
    host.explain(format_args!("rules[{rule}] refuses: {}", trouble.name()));
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
        let (trouble, event) = match *note {
            // What is missing is no trouble where a rule does not say so.
            Note::Skipped(rule, Trouble::Missing) => {
                host.detail(format_args!("rules[{rule}]: an operation has nothing to work on"));
                continue;
            }
            Note::Skipped(rule, trouble) => {
                host.explain(format_args!("rules[{rule}] skips an operation: {}", trouble.name()));
                (trouble, Event::Skipped)
            }
            Note::Passed(rule, trouble) => {
                host.explain(format_args!("rules[{rule}] left out: {}", trouble.name()));
                (trouble, Event::Passed)
            }
            Note::Unmet(rule) => {
                host.detail(format_args!("rules[{rule}]: when does not hold"));
                continue;
            }
        };
        policy.metrics.count(host, Event::Trouble(trouble));
        policy.metrics.count(host, event);
    }
}

/// What a message is called.
const fn message(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Response => "response",
    }
}
