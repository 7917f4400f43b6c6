//! Takes an exchange through its life: from what a proxy reports to what the proxy does next.
//!
//! This is where the rules stand that keep a stream from hanging: a whole body ends at its last chunk or at the trailers,
//! an exchange waits only while a callout is under way, and what arrives while it waits is kept for later. It knows no
//! proxy, so that the host in Envoy and the one in memory behave alike.

use crate::exchange::{Body, BodyMode, Exchange, Next, Reply, Rest};
use crate::host::{Answer, CalloutId, Host, HostError, Part, Position, Side};

/// What the host does after it has reported something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Pass on what is at hand.
    Continue,
    /// Keep it.
    Pause,
    /// Pass on what was kept on this side, now: the answer to a callout ends a pause.
    Resume(Side),
    /// Answer the client.
    Reply(Box<Reply>),
}

/// An exchange with all that its host must know to drive it.
#[derive(Debug)]
pub struct Drive<E> {
    exchange: E,
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
    /// Bytes of the body that were kept by the last answer.
    kept: usize,
    /// The part whose fate a callout decides. Each side waits by itself: a response may begin while its request waits.
    waiting: Option<Waiting>,
    /// What came while the exchange waited.
    missed: Missed,
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
    /// Begins to drive.
    pub fn new(exchange: E) -> Self {
        Self { exchange, request: Half::default(), response: Half::default(), replied: false }
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

    /// A callout has ended. [`Flow::Continue`] and [`Flow::Pause`] mean that there is nothing to do. Where both sides
    /// wait, the request is the first to go on.
    pub fn callout(&mut self, host: &mut dyn Host, id: CalloutId, answer: Answer) -> Flow {
        let waiting = self.request.waiting.or(self.response.waiting);
        let Some(waiting) = waiting.filter(|_| !self.replied) else {
            if let Err(error) = self.exchange.callout(host, id, answer) {
                log::error!("after a callout that nothing waits for: {error}");
            }
            return Flow::Continue;
        };
        self.enter(host, waiting.side, waiting.part);
        let next = self.exchange.callout(host, id, answer);
        match self.settle(host, waiting, next) {
            flow @ (Flow::Continue | Flow::Pause) if !self.waits(waiting.side) => {
                self.catch_up(host, waiting.side, flow)
            }
            flow => flow,
        }
    }

    /// The exchange is over.
    pub fn log(&mut self, host: &mut dyn Host) {
        host.enter(Position::Log);
        self.exchange.log(host);
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
        let next = match next {
            Ok(Next::Wait) if host.callouts() == 0 => Err(HostError::NothingToWaitFor),
            next => next,
        };
        let next = next.unwrap_or_else(|error| {
            log::error!("{:?} {:?}: {error}", at.side, at.part);
            match self.exchange.failed(at.side, at.part, error) {
                Next::Wait => Next::Reply(Box::new(Reply::internal_error())),
                next => next,
            }
        });
        match (next, at.part) {
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
            (Next::Hold, Part::Body) if at.rest == Rest::More => Flow::Pause,
            (Next::Continue | Next::ReadBody(_) | Next::Hold, _) => {
                self.half(at.side).head_held = false;
                Flow::Continue
            }
        }
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
            flow = self.trailers(host, side);
        } else if let Some((size, end)) = missed.body {
            let size = self.at_hand(host, side, size);
            flow = self.body(host, side, size, end);
        }
        if flow == Flow::Continue {
            self.half(side).kept = 0;
            Flow::Resume(side)
        } else {
            flow
        }
    }

    /// How much of a body is at hand, where the proxy said `kept`: the exchange may have replaced what it saw.
    fn at_hand(&mut self, host: &mut dyn Host, side: Side, kept: usize) -> usize {
        if kept == 0 || !matches!(self.half(side).reading, Some(BodyMode::Window { .. })) {
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
