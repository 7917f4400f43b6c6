//! A chain of exchanges that is one exchange.
//!
//! Each stage is driven by a [`Drive`] of its own, as in a module of its own, over a host that shows it what the stages in
//! front of it have made of the messages ([`host`]). Between the stages stands what an Envoy has between its filters: what one
//! of them keeps of a message ([`link`]). The proxy sees one exchange:
//!
//! - A field section is read once, whoever reads it, and written once, when the last stage has passed it on ([`section`]).
//! - A part of a body is read from the proxy when the first stage looks at it and written when it has changed, once.
//! - The proxy is asked for bodies only while a stage wants to see them, always as [`Window`] without a limit: what
//!   is kept is kept here, by each stage as it asked. While nothing has been passed on, the proxy keeps what it has as well:
//!   trailers can end a body of which nothing else is there to write into.
//! - Who answers stops the message. The answer passes, as a response, the stages that have seen the request and no response yet,
//!   from the last to the first, but not the one that gave it ([`local`]). Then it is sent.
//! - A stage may wait in a request. In a response none may: [`HostError::PhasesMissing`].
//!
//! [`Window`]: meshgate_policy::exchange::BodyMode::Window

mod host;
mod link;
mod local;
mod section;
mod walk;

use std::fmt;
use std::rc::Rc;

use meshgate_policy::consumer::Consumer;
use meshgate_policy::drive::{Drive, Flow};
use meshgate_policy::exchange::{Body, Exchange, Next, Reply, Rest};
use meshgate_policy::host::{Answer, CalloutId, Host, HostError, Map, Part, Position, Side};

use self::host::StageHost;
use self::link::{Data, Event, Link, Stop};
use self::local::Kind;
use self::section::Section;
use crate::trace::Trace;

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

/// What a stage is called.
#[derive(Clone, Debug)]
pub struct Name {
    /// In traces.
    pub name: Rc<str>,
    /// It is another name than that of its policy: what the stage leaves in filter state has it too.
    pub is_own: bool,
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
    names: Rc<[Name]>,
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
    /// Says what a stage does, to whoever asks.
    fn explain(&mut self, host: &mut dyn Host, index: usize, what: fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            trace.note(index, what);
        }
        host.explain(format_args!("{}: {what}", self.name(index)));
    }

    fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("", |name| &name.name)
    }

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
    /// Begins. `shares_consumer`: who was authenticated at one stage is asked for at others. `names` are those of the stages.
    pub fn new(stages: S, shares_consumer: bool, names: Rc<[Name]>) -> Self {
        let running = std::iter::repeat_with(|| None).take(stages.number()).collect();
        let common = Common { shares_consumer, names, ..Common::default() };
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

/// What it is made of is not shown: messages are in it.
impl<S: Stages> fmt::Debug for Chain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begun: Vec<_> = self.running.iter().map(Option::is_some).collect();
        f.debug_struct("Chain").field("begun", &begun).finish_non_exhaustive()
    }
}
