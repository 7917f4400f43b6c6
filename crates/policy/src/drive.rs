//! Takes an exchange through its life: from what a proxy reports to what the proxy does next.
//!
//! This is where the rules stand that keep a stream from hanging: a whole body ends at its last chunk or at the trailers,
//! an exchange waits only while a callout is under way, and what arrives while it waits is kept for later. It knows no
//! proxy, so that the host in Envoy and the one in memory behave alike.
//!
//! # What keeps a body whole
//! In Envoy all filters of a stream, and its router, share one buffer for what is kept of a body. Two things follow.
//!
//! A router that may repeat a request (a retry policy, which Istio sets by default, or a mirror) keeps there what it has
//! been passed, and so does another filter that holds the body. If a filter then keeps a later part, that part comes
//! behind what was passed on before: the upstream gets bytes twice, or the other filter gets what it was not to see. The
//! same happens where trailers are kept. So what [`Next::Hold`] keeps of a body of which a part has been passed on is taken
//! out, and put back with the next part; with trailers it can't be. A [`Next::Wait`] of a request comes too late then; one
//! of a response is for where no other filter holds responses.
//!
//! Where a body callback kept what is at hand and something else passes it on, such as the answer to a callout, the next
//! part of that body is put into the shared buffer all the same. There Envoy before 1.37 loses it
//! (envoyproxy/envoy#46841; backports followed, but not all releases have them), and a router as above has it repeated.
//! So what waits of a request's body goes on with the part that follows it, unless nothing follows. Of a response's body
//! it goes on at once, and the first part behind it is kept, because kept parts are not lost: it goes on with the part
//! that follows it, or else with a call that the host makes for it ([`Flow::Defer`]).

use crate::exchange::{Body, BodyMode, Exchange, Next, Reply, Rest};
use crate::host::{Answer, CalloutId, Host, HostError, Part, Position, Side};
use crate::policy::Phases;

/// What the host does after it has reported something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Pass on what is at hand.
    Continue,
    /// Keep it; what follows is reported.
    Pause,
    /// Keep it, and report nothing of what follows until it is passed on.
    Stop,
    /// Keep it, and call [`Drive::wake`] in a moment.
    Defer(Side),
    /// Pass on what was kept on this side, now: the answer to a callout ends a pause.
    Resume(Side),
    /// Answer the client.
    Reply(Box<Reply>),
}

/// An exchange with all that its host must know to drive it.
#[derive(Debug)]
pub struct Drive<E> {
    exchange: E,
    phases: Phases,
    request: Half,
    response: Half,
    /// The exchange has answered by itself: its own reply passes without a second look.
    replied: bool,
}

/// One direction of an exchange.
#[derive(Debug, Default)]
struct Half {
    /// How the body is read; `None`: not (or not any more).
    reading: Option<BodyMode>,
    head_held: bool,
    /// The head was kept with all that follows it: when it goes on, it goes on without its body.
    stopped: bool,
    /// Bytes of the body have been passed on.
    passed: bool,
    /// All of the body has come.
    ended: bool,
    /// What was taken out of the body, to be put back with the next part.
    taken: Vec<u8>,
    /// Bytes of the body that were kept by the last answer.
    kept: usize,
    /// The part whose fate a callout decides. Each side waits by itself: a response may begin while its request waits.
    waiting: Option<Waiting>,
    /// What came while the exchange waited.
    missed: Missed,
    /// The last part of the body that came was kept, even if it was passed on since.
    body_kept: bool,
    /// What came of the body was kept, and then passed on by something other than the part that followed it.
    resumed: bool,
    /// What was missed waits for nothing but the next part, or [`Drive::wake`].
    deferred: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Missed {
    /// The size at hand, and whether it was the end.
    body: Option<(usize, bool)>,
    trailers: bool,
}

/// A part of a message, and what follows it.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    side: Side,
    part: Part,
    rest: Rest,
}

impl<E: Exchange> Drive<E> {
    /// Begins to drive an exchange of a policy with these phases.
    pub fn new(exchange: E, phases: Phases) -> Self {
        Self { exchange, phases, request: Half::default(), response: Half::default(), replied: false }
    }

    /// The head of a message has arrived; `end`: nothing follows it.
    pub fn head(&mut self, host: &mut dyn Host, side: Side, end: bool) -> Flow {
        if self.replied {
            return Flow::Continue;
        }
        self.half(side).head_held = true;
        self.enter(host, side, Part::Head);
        let next = match side {
            Side::Request => self.exchange.request_head(host, end),
            Side::Response => self.exchange.response_head(host, end),
        };
        let rest = if end { Rest::End } else { Rest::More };
        self.settle(host, Waiting { side, part: Part::Head, rest }, next)
    }

    /// A part of a body has arrived: with what was kept, `size` bytes are at hand. `end`: it was the last and no trailers
    /// follow.
    pub fn body(&mut self, host: &mut dyn Host, side: Side, size: usize, end: bool) -> Flow {
        if self.replied {
            return Flow::Continue;
        }
        self.half(side).ended |= end;
        let flow = if self.half(side).defers() {
            self.half(side).missed.body = Some((size, end));
            Flow::Defer(side)
        } else {
            // A part that was deferred is at hand together with this one.
            self.half(side).take_deferred();
            match self.put_back(host, side, size) {
                Ok(size) => self.take_body(host, side, size, end),
                Err(error) => self.give_up(side, error),
            }
        };
        let half = self.half(side);
        half.body_kept = matches!(flow, Flow::Pause | Flow::Defer(_));
        half.passed |= flow == Flow::Continue && size > 0;
        flow
    }

    fn take_body(&mut self, host: &mut dyn Host, side: Side, size: usize, end: bool) -> Flow {
        if self.waits(side) {
            self.half(side).missed.body = Some((size, end));
            return Flow::Pause;
        }
        let Some(mode) = self.half(side).reading else { return Flow::Continue };
        let rest = rest(mode, size, end);
        if matches!(mode, BodyMode::Whole { .. }) && rest == Rest::More {
            self.half(side).kept = size;
            return Flow::Pause;
        }
        self.show_body(host, side, Body { size, rest })
    }

    /// The trailers of a message have arrived: they end its body.
    pub fn trailers(&mut self, host: &mut dyn Host, side: Side) -> Flow {
        if self.replied {
            return Flow::Continue;
        }
        self.half(side).ended = true;
        if !self.half(side).taken.is_empty() {
            // With trailers there is no body to put it back into.
            return self.give_up(side, HostError::TooLate);
        }
        if self.half(side).defers() {
            self.half(side).missed.trailers = true;
            return Flow::Defer(side);
        }
        if let Some((size, _)) = self.half(side).take_deferred().body {
            self.half(side).kept = size;
        }
        self.take_trailers(host, side)
    }

    fn take_trailers(&mut self, host: &mut dyn Host, side: Side) -> Flow {
        if self.waits(side) {
            self.half(side).missed.trailers = true;
            return Flow::Pause;
        }
        if let Some(mode) = self.half(side).reading {
            let kept = self.half(side).kept;
            let size = self.at_hand(host, side, kept);
            self.half(side).reading = None;
            match self.show_body(host, side, Body { size, rest: rest(mode, size, true) }) {
                Flow::Continue => {}
                Flow::Pause => {
                    self.half(side).missed.trailers = true;
                    return Flow::Pause;
                }
                other => return other,
            }
        }
        self.enter(host, side, Part::Trailers);
        let next = match side {
            Side::Request => self.exchange.request_trailers(host),
            Side::Response => self.exchange.response_trailers(host),
        };
        self.settle(host, Waiting { side, part: Part::Trailers, rest: Rest::End }, next)
    }

    /// A callout has ended. [`Flow::Continue`], [`Flow::Pause`] and [`Flow::Stop`] mean that there is nothing to do. Where
    /// both sides wait, the request is the first to go on.
    pub fn callout(&mut self, host: &mut dyn Host, id: CalloutId, answer: Answer) -> Flow {
        let waiting = self.request.waiting.or(self.response.waiting);
        let Some(waiting) = waiting.filter(|_| !self.replied) else {
            host.enter(Position::Between);
            if let Err(error) = self.exchange.callout(host, id, answer) {
                log::error!("after a callout that nothing waits for: {error}");
            }
            return Flow::Continue;
        };
        self.enter(host, waiting.side, waiting.part);
        let next = self.exchange.callout(host, id, answer);
        match self.settle(host, waiting, next) {
            flow @ (Flow::Continue | Flow::Pause) if !self.waits(waiting.side) => {
                let half = self.half(waiting.side);
                if waiting.side == Side::Request && waiting.part == Part::Body && !half.ended {
                    // It goes on with the part that follows.
                    if let Some((size, _)) = std::mem::take(&mut half.missed).body {
                        half.kept = size;
                    }
                    return Flow::Pause;
                }
                self.catch_up(host, waiting.side, flow)
            }
            flow => flow,
        }
    }

    /// The moment of a [`Flow::Defer`] is over. What it deferred may have gone on already. Returns what
    /// [`Drive::callout`] does.
    pub fn wake(&mut self, host: &mut dyn Host, side: Side) -> Flow {
        if self.replied || !std::mem::take(&mut self.half(side).deferred) {
            return Flow::Continue;
        }
        self.catch_up(host, side, Flow::Continue)
    }

    /// Whether this message waits for a callout.
    pub const fn is_waiting(&self, side: Side) -> bool {
        match side {
            Side::Request => self.request.waiting.is_some(),
            Side::Response => self.response.waiting.is_some(),
        }
    }

    /// Whether the exchange has to do with the rest of this message before its trailers: what comes of the body is to be
    /// reported.
    pub const fn is_busy(&self, side: Side) -> bool {
        let half = match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        };
        half.reading.is_some() || half.waiting.is_some() || half.deferred || !half.taken.is_empty()
    }

    /// The exchange is being logged.
    pub fn log(&mut self, host: &mut dyn Host) {
        host.enter(Position::Log);
        self.exchange.log(host);
    }

    /// The exchange is over.
    pub fn end(&mut self, host: &mut dyn Host) {
        host.enter(Position::Between);
        self.exchange.end(host);
    }

    /// Shows the exchange what is at hand of a body.
    fn show_body(&mut self, host: &mut dyn Host, side: Side, body: Body) -> Flow {
        let half = self.half(side);
        half.kept = 0;
        if body.rest == Rest::End || matches!(half.reading, Some(BodyMode::Whole { .. })) {
            half.reading = None;
        }
        self.enter(host, side, Part::Body);
        let next = match side {
            Side::Request => self.exchange.request_body(host, body),
            Side::Response => self.exchange.response_body(host, body),
        };
        let flow = self.settle(host, Waiting { side, part: Part::Body, rest: body.rest }, next);
        if flow == Flow::Pause {
            self.half(side).kept = body.size;
        }
        flow
    }

    /// Turns an answer of the exchange into what the host does.
    fn settle(&mut self, host: &mut dyn Host, at: Waiting, next: Result<Next, HostError>) -> Flow {
        self.half(at.side).waiting = None;
        let next = next.and_then(|next| match next {
            Next::Wait | Next::ReadBody(_) if !self.phases.holds(at.side) => Err(HostError::PhasesMissing),
            Next::Wait if host.callouts() == 0 => Err(HostError::NothingToWaitFor),
            Next::Wait if self.is_past(at.side) => Err(HostError::TooLate),
            Next::ReadBody(mode)
                if mode.holds_head() && at.rest != Rest::End && self.half(at.side).stopped =>
            {
                Err(HostError::TooLate)
            }
            next => Ok(next),
        });
        let next = next.unwrap_or_else(|error| {
            log::error!("{:?} {:?}: {error}", at.side, at.part);
            match self.exchange.failed(at.side, at.part, error) {
                Next::Wait | Next::ReadBody(_) => Next::Reply(Box::new(Reply::internal_error())),
                next => next,
            }
        });
        match (next, at.part) {
            (Next::Wait, Part::Head) => {
                let half = self.half(at.side);
                (half.waiting, half.stopped) = (Some(at), true);
                Flow::Stop
            }
            (Next::Wait, _) => {
                self.half(at.side).waiting = Some(at);
                Flow::Pause
            }
            (Next::Reply(reply), _) => {
                self.replied = true;
                Flow::Reply(reply)
            }
            (Next::ReadBody(mode), Part::Head) if at.rest != Rest::End => {
                let half = self.half(at.side);
                half.reading = Some(mode);
                half.head_held = mode.holds_head();
                if mode.holds_head() { Flow::Pause } else { Flow::Continue }
            }
            (Next::Hold, Part::Body) if at.rest == Rest::More && self.half(at.side).passed => {
                match take_out(host, at.side) {
                    Ok(bytes) => {
                        self.half(at.side).taken = bytes;
                        Flow::Continue
                    }
                    Err(error) => self.give_up(at.side, error),
                }
            }
            (Next::Hold, Part::Body) if at.rest == Rest::More => Flow::Pause,
            (Next::Continue | Next::ReadBody(_) | Next::Hold, _) => {
                self.half(at.side).head_held = false;
                Flow::Continue
            }
        }
    }

    /// Whether it is too late to wait with this body.
    fn is_past(&mut self, side: Side) -> bool {
        side == Side::Request && self.half(side).passed
    }

    /// Puts back what was taken out of a body, in front of the `size` bytes at hand. Returns how many there are then.
    fn put_back(&mut self, host: &mut dyn Host, side: Side, size: usize) -> Result<usize, HostError> {
        if self.half(side).taken.is_empty() {
            return Ok(size);
        }
        self.enter(host, side, Part::Body);
        let mut bytes = std::mem::take(&mut self.half(side).taken);
        bytes.extend(host.body(side, 0, usize::MAX)?);
        host.set_body(side, &bytes)?;
        Ok(bytes.len())
    }

    /// Ends an exchange of which a part would get lost.
    fn give_up(&mut self, side: Side, error: HostError) -> Flow {
        log::error!("{side:?} can't go on whole: {error}");
        self.replied = true;
        Flow::Reply(Box::new(Reply::internal_error()))
    }

    /// After a wait that ended with `flow`: goes through what came meanwhile, then lets everything go.
    fn catch_up(&mut self, host: &mut dyn Host, side: Side, mut flow: Flow) -> Flow {
        let missed = std::mem::take(&mut self.half(side).missed);
        if missed.trailers {
            // They end the body that came before them, so that it is shown once. If the exchange waits again, they are
            // missed again.
            if let Some((size, _)) = missed.body {
                self.half(side).kept = size;
            }
            flow = self.take_trailers(host, side);
        } else if let Some((size, end)) = missed.body {
            let size = self.at_hand(host, side, size);
            flow = self.take_body(host, side, size, end);
        }
        if flow == Flow::Continue {
            let half = self.half(side);
            half.kept = 0;
            half.resumed = half.body_kept;
            Flow::Resume(side)
        } else {
            flow
        }
    }

    /// How much of a body is at hand, where the proxy said `kept`: the exchange may have replaced what it saw.
    fn at_hand(&mut self, host: &mut dyn Host, side: Side, kept: usize) -> usize {
        if kept == 0 || matches!(self.half(side).reading, None | Some(BodyMode::Whole { .. })) {
            return kept;
        }
        self.enter(host, side, Part::Body);
        host.body(side, 0, usize::MAX).map_or(kept, |bytes| bytes.len())
    }

    fn enter(&mut self, host: &mut dyn Host, side: Side, part: Part) {
        let head_held = self.half(side).head_held;
        host.enter(Position::Message { side, part, head_held });
    }

    fn waits(&mut self, side: Side) -> bool {
        self.half(side).waiting.is_some()
    }

    fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }
}

impl Half {
    /// Whether the part that has come is the first behind a wait and is deferred; from now on it is.
    fn defers(&mut self) -> bool {
        let defers = std::mem::take(&mut self.resumed);
        self.deferred |= defers;
        defers
    }

    /// Ends a deferral, if there is one: what it kept.
    fn take_deferred(&mut self) -> Missed {
        if std::mem::take(&mut self.deferred) { std::mem::take(&mut self.missed) } else { Missed::default() }
    }
}

/// Takes out what is at hand of a body.
fn take_out(host: &mut dyn Host, side: Side) -> Result<Vec<u8>, HostError> {
    let bytes = host.body(side, 0, usize::MAX)?;
    host.set_body(side, b"")?;
    Ok(bytes)
}

/// How a body goes on, of which `size` bytes are at hand.
const fn rest(mode: BodyMode, size: usize, end: bool) -> Rest {
    if size > mode.limit() {
        Rest::OverLimit
    } else if end {
        Rest::End
    } else {
        Rest::More
    }
}
