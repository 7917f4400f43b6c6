//! A chain of exchanges that is one exchange.
//!
//! Each stage is driven by a [`Drive`] of its own, as in a module of its own, over a host that shows it what the stages in
//! front of it have made of the messages ([`host`]). Between the stages stands what an Envoy has between its filters: what one
//! of them keeps of a message ([`link`]). The proxy sees one exchange:
//!
//! - A field section is read once, whoever reads it, and written once, when the last stage has passed it on ([`section`]).
//! - A part of a body is read from the proxy when the first stage looks at it and written when it has changed, once.
//! - The proxy is asked for bodies only while a stage wants to see them, always as [`BodyMode::Window`] without a limit: what
//!   is kept is kept here, by each stage as it asked. While nothing has been passed on, the proxy keeps what it has as well:
//!   trailers can end a body of which nothing else is there to write into.
//! - Who answers stops the message. The answer passes, as a response, the stages that have seen the request and no response yet,
//!   from the last to the first, but not the one that gave it ([`local`]). Then it is sent.
//! - A stage may wait in a request. In a response none may: [`HostError::PhasesMissing`].

mod host;
mod link;
mod local;
mod section;

use std::fmt;
use std::rc::Rc;

use meshgate_policy::consumer::Consumer;
use meshgate_policy::drive::{Drive, Flow};
use meshgate_policy::exchange::{Body, BodyMode, Exchange, Next, Reply, Rest};
use meshgate_policy::host::{Answer, CalloutId, Host, HostError, Map, Part, Position, Side};

use self::host::StageHost;
use self::link::{Backlog, Data, Event, Link, Stop};
use self::local::Kind;
use self::section::Section;
use crate::trace::{self, Trace};

/// How much of a body the proxy keeps while stages have it to themselves and nothing has come out, in bytes.
const MAX_KEPT: usize = 64 << 10;

/// What a chain is made of: the stages, in the order in which requests pass.
pub trait Stages {
    /// What handles an exchange at a stage.
    type Exchange: Exchange;

    /// How many there are.
    fn number(&self) -> usize;

    /// Begins at a stage whose turn it is, if the stage is for this request. `host` shows the head as it is there.
    ///
    /// # Errors
    /// What the host refused.
    fn begin(&self, index: usize, host: &mut dyn Host) -> Result<Option<Drive<Self::Exchange>>, HostError>;

    /// Begins an exchange, before the first stage: whether it is traced. `host` shows the head of the request.
    ///
    /// # Errors
    /// What the host refused.
    fn open(&self, host: &mut dyn Host) -> Result<Option<Box<Trace>>, HostError> {
        let _ = host;
        Ok(None)
    }

    /// The trailers of a request have come: what is not to pass is removed.
    ///
    /// # Errors
    /// What the host refused.
    fn see_trailers(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let _ = host;
        Ok(())
    }

    /// The head of a response has come, before the last stage: what is not to pass is removed.
    ///
    /// # Errors
    /// What the host refused.
    fn see_response(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let _ = host;
        Ok(())
    }
}

/// One request and its response on their way through all stages.
pub struct Chain<S: Stages> {
    stages: S,
    /// Those that have begun. `None`: it is not for this request, or has not seen it yet.
    running: Vec<Option<Running<S::Exchange>>>,
    common: Common,
    request: Way,
    response: Way,
}

/// What all stages share.
#[derive(Default)]
struct Common {
    request_head: Section,
    request_trailers: Section,
    response_head: Section,
    response_trailers: Section,
    /// The callouts under way, and whose they are.
    callouts: Vec<(CalloutId, usize)>,
    /// Somebody may ask who was authenticated.
    shares_consumer: bool,
    consumer: Option<Consumer>,
    own_names: Rc<[Option<Rc<str>>]>,
    /// The response is an answer of a stage: why it was given.
    local: Option<String>,
    trace: Option<Box<Trace>>,
    /// What the request is, as far as it has been read.
    kind: Kind,
}

/// One stage.
struct Running<E> {
    drive: Drive<E>,
    position: Position,
    request: Link,
    response: Link,
}

/// What has come out of the last stage.
#[derive(Debug, Default)]
struct Way {
    /// The head has.
    head: bool,
    /// The head has been passed on by the proxy.
    flushed: bool,
    /// Bytes that have not been passed on.
    body: Vec<u8>,
    /// What is at hand in the proxy is what has come out.
    same: bool,
    /// How much of what the proxy has at hand has been taken in.
    seen: usize,
    /// A part of the body has been passed on.
    passed: bool,
    /// The last of the body has been taken in.
    ended: bool,
    /// The proxy has nothing of it to write into.
    bare_end: bool,
}

/// A stage has answered.
struct Answered {
    by: usize,
    reply: Box<Reply>,
}

/// Why a message does not go on.
enum Stopped {
    Answered(Answered),
    Failed(HostError),
}

impl From<HostError> for Stopped {
    fn from(error: HostError) -> Self {
        Self::Failed(error)
    }
}

impl Common {
    const fn section(&mut self, map: Map) -> &mut Section {
        match map {
            Map::RequestHeaders => &mut self.request_head,
            Map::RequestTrailers => &mut self.request_trailers,
            Map::ResponseHeaders => &mut self.response_head,
            Map::ResponseTrailers => &mut self.response_trailers,
        }
    }
}

impl<E: Exchange> Running<E> {
    /// The drive, and the host that it is given.
    fn parts<'a>(
        &'a mut self,
        real: &'a mut dyn Host,
        common: &'a mut Common,
        index: usize,
    ) -> (&'a mut Drive<E>, StageHost<'a>) {
        let Self { drive, position, request, response } = self;
        let (request, response) = (&mut request.body, &mut response.body);
        (drive, StageHost { real, common, index, position, request, response })
    }

    const fn link(&mut self, side: Side) -> &mut Link {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }
}

impl<S: Stages> Exchange for Chain<S> {
    fn request_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        self.head(host, Side::Request, end)
    }

    fn request_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        self.body(host, Side::Request, body)
    }

    fn request_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        self.trailers(host, Side::Request)
    }

    fn response_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        self.head(host, Side::Response, end)
    }

    fn response_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        self.body(host, Side::Response, body)
    }

    fn response_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        self.trailers(host, Side::Response)
    }

    fn callout(&mut self, host: &mut dyn Host, id: CalloutId, answer: Answer) -> Result<Next, HostError> {
        let at = host.position();
        let Some(place) = self.common.callouts.iter().position(|(known, _)| *known == id) else {
            return self.go_on(host, at);
        };
        let (_, index) = self.common.callouts.remove(place);
        let Some(Some(running)) = self.running.get_mut(index) else { return self.go_on(host, at) };
        let (drive, mut stage) = running.parts(host, &mut self.common, index);
        let flow = drive.callout(&mut stage, id, answer);
        let side = if let Position::Message { side, .. } = at { side } else { Side::Request };
        let done = match flow {
            Flow::Continue | Flow::Pause | Flow::Stop => Ok(()),
            flow => self.follow(host, side, index, flow),
        };
        match done {
            Ok(()) => self.go_on(host, at),
            Err(stopped) => self.stop(host, side, stopped),
        }
    }

    fn log(&mut self, host: &mut dyn Host) {
        for (index, running) in self.running.iter_mut().enumerate() {
            if let Some(running) = running {
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.log(&mut stage);
            }
        }
    }

    fn end(&mut self, host: &mut dyn Host) {
        for (index, running) in self.running.iter_mut().enumerate() {
            if let Some(running) = running {
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.end(&mut stage);
            }
        }
    }

    /// What the stages decided could not be written: nothing of that may pass as it was before.
    fn failed(&mut self, _side: Side, _part: Part, _error: HostError) -> Next {
        Next::Reply(Box::new(Reply::internal_error()))
    }
}

impl<S: Stages> Chain<S> {
    /// Begins. `shares_consumer`: who was authenticated at one stage is asked for at others. `own_names` has those of the stages
    /// whose filter state has names of its own.
    pub fn new(stages: S, shares_consumer: bool, own_names: Rc<[Option<Rc<str>>]>) -> Self {
        let running = std::iter::repeat_with(|| None).take(stages.number()).collect();
        let common = Common { shares_consumer, own_names, ..Common::default() };
        Self { stages, running, common, request: Way::default(), response: Way::default() }
    }

    fn head(&mut self, host: &mut dyn Host, side: Side, end: bool) -> Result<Next, HostError> {
        self.way(side).ended = end;
        match side {
            Side::Request => {
                self.common.trace = self.outside(host, side, Part::Head, |stages, host| stages.open(host))?;
            }
            Side::Response => {
                self.outside(host, side, Part::Head, |stages, host| stages.see_response(host))?
            }
        }
        match self.deliver(host, side, 0, Event::Head { end }) {
            Ok(()) => self.conclude(host, side, Part::Head),
            Err(stopped) => self.stop(host, side, stopped),
        }
    }

    fn body(&mut self, host: &mut dyn Host, side: Side, body: Body) -> Result<Next, HostError> {
        let end = body.rest == Rest::End;
        if !self.is_busy(side) && self.way(side).flushed {
            return Ok(Next::Continue);
        }
        if body.size == 0 && end && host.set_body(side, b"").is_err() {
            let way = self.way(side);
            (way.ended, way.bare_end) = (true, true);
            return match self.deliver(host, side, 0, Event::BareEnd) {
                Ok(()) => self.conclude(host, side, Part::Body),
                Err(stopped) => self.stop(host, side, stopped),
            };
        }
        let way = self.way(side);
        let size = body.size.saturating_sub(way.seen);
        let data = if size == 0 { Data::default() } else { Data::AtHost { from: way.seen, size } };
        (way.seen, way.ended) = (body.size, end);
        match self.deliver(host, side, 0, Event::Body { data, end }) {
            Ok(()) => self.conclude(host, side, Part::Body),
            Err(stopped) => self.stop(host, side, stopped),
        }
    }

    fn trailers(&mut self, host: &mut dyn Host, side: Side) -> Result<Next, HostError> {
        self.way(side).ended = true;
        if side == Side::Request {
            self.outside(host, side, Part::Trailers, |stages, host| stages.see_trailers(host))?;
        }
        match self.deliver(host, side, 0, Event::Trailers) {
            Ok(()) => self.conclude(host, side, Part::Trailers),
            Err(stopped) => self.stop(host, side, stopped),
        }
    }

    /// After something that is no part of a message: what the message at hand waits for may be there.
    fn go_on(&mut self, host: &mut dyn Host, at: Position) -> Result<Next, HostError> {
        let Position::Message { side, part, .. } = at else { return Ok(Next::Continue) };
        if part == Part::Body && !self.way(side).ended && !self.waits(side) {
            // What comes next shows what is at hand once more, and all of it goes on together.
            return Ok(Next::Hold);
        }
        self.conclude(host, side, part)
    }

    /// Brings a part of a message to the stage at a place on its way, and to those behind it as far as it goes.
    fn deliver(
        &mut self,
        host: &mut dyn Host,
        side: Side,
        place: usize,
        event: Event,
    ) -> Result<(), Stopped> {
        let Some(index) = self.stage_at(side, place) else { return Ok(self.take_out(host, side, event)?) };
        let begins = side == Side::Request && matches!(event, Event::Head { .. });
        if begins {
            self.begin(host, index)?;
        }
        let next = place.saturating_add(1);
        let Some(Some(running)) = self.running.get_mut(index) else {
            return self.deliver(host, side, next, event);
        };
        let link = running.link(side);
        link.entered |= matches!(event, Event::Head { .. }) && !link.done;
        if !link.is_open() {
            return self.deliver(host, side, next, event);
        }
        if link.stop == Stop::Unseen {
            return Ok(link.backlog.take(host, side, event)?);
        }
        let began = self.common.trace.is_some().then(|| host.now());
        let flow = match event {
            Event::Head { end } => {
                (link.head, link.end) = (true, end);
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.head(&mut stage, side, end)
            }
            Event::Body { data, end } => {
                let body = link.body.get_or_insert_default();
                body.append(host, side, data)?;
                let size = body.len();
                link.end |= end;
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.body(&mut stage, side, size, end)
            }
            Event::BareEnd => {
                (link.bare_end, link.end) = (true, true);
                let size = link.body.as_ref().map_or(0, Data::len);
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.body(&mut stage, side, size, true)
            }
            Event::Trailers => {
                (link.trailers, link.end) = (true, true);
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.trailers(&mut stage, side)
            }
        };
        if let (Some(trace), Some(began)) = (&mut self.common.trace, began) {
            trace.took(index, host.now().since(began));
        }
        self.follow(host, side, index, flow)
    }

    /// Begins at a stage, if it is for this request.
    fn begin(&mut self, host: &mut dyn Host, index: usize) -> Result<(), HostError> {
        let drive =
            self.outside(host, Side::Request, Part::Head, |stages, host| stages.begin(index, host))?;
        match (drive, self.running.get_mut(index)) {
            (Some(drive), Some(slot)) => {
                let (position, request, response) = (Position::Between, Link::default(), Link::default());
                *slot = Some(Running { drive, position, request, response });
            }
            _ => {
                if let Some(trace) = &mut self.common.trace {
                    trace.note(index, format_args!("not for this request"));
                }
            }
        }
        Ok(())
    }

    /// Asks the stages about a message, between two of them.
    fn outside<T>(
        &mut self,
        host: &mut dyn Host,
        side: Side,
        part: Part,
        ask: impl FnOnce(&S, &mut dyn Host) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let mut position = Position::Message { side, part, head_held: part == Part::Head };
        let (request, response) = (&mut None, &mut None);
        let (common, position) = (&mut self.common, &mut position);
        let mut host = StageHost { real: host, common, index: usize::MAX, position, request, response };
        ask(&self.stages, &mut host)
    }

    /// Does what a stage has decided about what is there of a message.
    fn follow(&mut self, host: &mut dyn Host, side: Side, index: usize, flow: Flow) -> Result<(), Stopped> {
        match flow {
            Flow::Continue => self.release(host, side, index),
            Flow::Resume(side) => self.release(host, side, index),
            Flow::Pause => self.keep(host, side, index, Stop::Shown),
            Flow::Stop => self.keep(host, side, index, Stop::Unseen),
            Flow::Defer(deferred) => {
                // Here nothing is lost, so the moment is over at once.
                self.keep(host, side, index, Stop::Shown)?;
                let Some(Some(running)) = self.running.get_mut(index) else { return Ok(()) };
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                match drive.wake(&mut stage, deferred) {
                    Flow::Continue | Flow::Pause | Flow::Stop | Flow::Defer(_) => Ok(()),
                    flow => self.follow(host, deferred, index, flow),
                }
            }
            Flow::Reply(reply) => Err(Stopped::Answered(Answered { by: index, reply })),
        }
    }

    /// Keeps what is there of a message at a stage.
    fn keep(&mut self, host: &mut dyn Host, side: Side, index: usize, stop: Stop) -> Result<(), Stopped> {
        if let Some(Some(running)) = self.running.get_mut(index) {
            let link = running.link(side);
            link.stop = stop;
            if let Some(body) = &mut link.body {
                body.keep(host, side)?;
            }
        }
        Ok(())
    }

    /// Passes on what is there of a message at a stage, and shows it what came meanwhile.
    fn release(&mut self, host: &mut dyn Host, side: Side, index: usize) -> Result<(), Stopped> {
        let Some(Some(running)) = self.running.get_mut(index) else { return Ok(()) };
        let link = running.link(side);
        link.stop = Stop::No;
        let (head, body, trailers) =
            (std::mem::take(&mut link.head), link.body.take(), std::mem::take(&mut link.trailers));
        let (end, backlog) = (link.end, std::mem::take(&mut link.backlog));
        let bare_end = std::mem::take(&mut link.bare_end);
        let place = self.place_of(side, index);
        let next = place.saturating_add(1);
        // With the head goes its end, if nothing follows; an end that has come with a body goes with that.
        if head {
            let end = end && body.is_none() && !bare_end && !trailers;
            self.deliver(host, side, next, Event::Head { end })?;
        }
        if let Some(data) = body {
            let end = end && !trailers;
            if end || data.len() > 0 {
                self.deliver(host, side, next, Event::Body { data, end })?;
            }
        }
        if bare_end {
            self.deliver(host, side, next, Event::BareEnd)?;
        }
        if trailers {
            self.deliver(host, side, next, Event::Trailers)?;
        }
        if let Some(data) = backlog.body {
            self.deliver(host, side, place, Event::Body { data, end: backlog.end })?;
        }
        if backlog.bare_end {
            self.deliver(host, side, place, Event::BareEnd)?;
        }
        if backlog.trailers {
            self.deliver(host, side, place, Event::Trailers)?;
        }
        Ok(())
    }

    /// Takes what comes out of the last stage.
    fn take_out(&mut self, host: &mut dyn Host, side: Side, event: Event) -> Result<(), HostError> {
        let way = self.way(side);
        match event {
            Event::Head { .. } => way.head = true,
            Event::Body { mut data, .. } => {
                if way.body.is_empty() && !way.same && data.is_all_of_host() {
                    way.same = true;
                    return Ok(());
                }
                if std::mem::take(&mut way.same) {
                    way.body = host.body(side, 0, usize::MAX)?;
                }
                let bytes = std::mem::take(data.load(host, side)?);
                let way = self.way(side);
                if way.body.is_empty() {
                    way.body = bytes;
                } else {
                    way.body.extend(bytes);
                }
            }
            Event::BareEnd | Event::Trailers => {}
        }
        Ok(())
    }

    /// Says what the proxy does with what it has at hand.
    fn conclude(&mut self, host: &mut dyn Host, side: Side, part: Part) -> Result<Next, HostError> {
        if self.waits(side) {
            return match side {
                Side::Request => Ok(Next::Wait),
                Side::Response => Err(HostError::PhasesMissing),
            };
        }
        let (busy, keeps) = (self.is_busy(side), self.keeps(side));
        let way = self.way(side);
        if !way.head {
            return match part {
                _ if way.ended => Err(HostError::NothingToWaitFor),
                Part::Head => Ok(Next::ReadBody(BodyMode::HeldWindow)),
                Part::Body | Part::Trailers => Ok(Next::Hold),
            };
        }
        let waits_for_more = part == Part::Body && !way.ended && way.body.is_empty() && !way.same;
        // A part that is passed on empty counts as one: behind it, nothing could be kept where trailers follow.
        if waits_for_more && !way.passed && (keeps || (busy && way.flushed && way.seen <= MAX_KEPT)) {
            return Ok(Next::Hold);
        }
        if part == Part::Trailers {
            self.common.section(Map::trailers(side)).flush(host, Map::trailers(side))?;
        }
        self.flush_head(host, side)?;
        let way = self.way(side);
        if part != Part::Head {
            way.passed |= way.same || !way.body.is_empty();
            let same = std::mem::take(&mut way.same);
            let body = std::mem::take(&mut way.body);
            way.seen = 0;
            let bare_end = way.bare_end;
            let writes = !body.is_empty() || (part == Part::Body && !bare_end);
            if writes && !same {
                host.set_body(side, &body)?;
            }
        }
        if part == Part::Head && busy && !self.way(side).ended {
            return Ok(Next::ReadBody(BodyMode::Window { limit: usize::MAX }));
        }
        Ok(Next::Continue)
    }

    /// Writes the head, when the last stage has passed it on.
    fn flush_head(&mut self, host: &mut dyn Host, side: Side) -> Result<(), HostError> {
        if std::mem::replace(&mut self.way(side).flushed, true) {
            return Ok(());
        }
        let map = Map::head(side);
        if side == Side::Response
            && let Some(line) = self.common.trace.as_ref().and_then(|trace| trace.line())
        {
            self.common.section(map).set(&trace::FIELD, &line);
        }
        if side == Side::Request {
            self.common.kind = self.common.request_head.kind();
        }
        self.common.section(map).flush(host, map)
    }

    /// What becomes of a message that does not go on.
    fn stop(&mut self, host: &mut dyn Host, side: Side, stopped: Stopped) -> Result<Next, HostError> {
        match stopped {
            Stopped::Failed(error) => Err(error),
            Stopped::Answered(answered) => Ok(Next::Reply(self.answer(host, side, answered))),
        }
    }

    /// Whether some stage waits for a callout with this message.
    fn waits(&self, side: Side) -> bool {
        self.links(side).any(|(running, link)| link.is_open() && running.drive.is_waiting(side))
    }

    /// Whether some stage has to do with what comes of this body.
    fn is_busy(&self, side: Side) -> bool {
        self.keeps(side)
            || self.links(side).any(|(running, link)| link.is_open() && running.drive.is_busy(side))
    }

    /// Whether some stage keeps a part of this message.
    fn keeps(&self, side: Side) -> bool {
        self.links(side).any(|(_, link)| link.is_open() && link.stop != Stop::No)
    }

    fn links(&self, side: Side) -> impl Iterator<Item = (&Running<S::Exchange>, &Link)> {
        self.running.iter().flatten().map(move |running| match side {
            Side::Request => (running, &running.request),
            Side::Response => (running, &running.response),
        })
    }

    const fn way(&mut self, side: Side) -> &mut Way {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// The stage at a place on the way of a message: a response passes them from the last to the first.
    fn stage_at(&self, side: Side, place: usize) -> Option<usize> {
        let number = self.running.len();
        let index = match side {
            Side::Request => place,
            Side::Response => number.checked_sub(place)?.checked_sub(1)?,
        };
        (index < number).then_some(index)
    }

    /// The place of a stage on the way of a message.
    fn place_of(&self, side: Side, index: usize) -> usize {
        match side {
            Side::Request => index,
            Side::Response => self.running.len().saturating_sub(index).saturating_sub(1),
        }
    }
}

impl Backlog {
    /// Keeps what a stage is not shown.
    fn take(&mut self, host: &mut dyn Host, side: Side, event: Event) -> Result<(), HostError> {
        match event {
            Event::Head { .. } => {}
            Event::Body { data, end } => {
                let body = self.body.get_or_insert_default();
                body.append(host, side, data)?;
                body.keep(host, side)?;
                self.end |= end;
            }
            Event::BareEnd => self.bare_end = true,
            Event::Trailers => self.trailers = true,
        }
        Ok(())
    }
}

/// What it is made of is not shown: messages are in it.
impl<S: Stages> fmt::Debug for Chain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begun: Vec<_> = self.running.iter().map(Option::is_some).collect();
        f.debug_struct("Chain").field("begun", &begun).finish_non_exhaustive()
    }
}
