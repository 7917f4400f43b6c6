//! One exchange, taken through the proxy part by part.

use std::borrow::Cow;
use std::time::Duration;

use meshgate_policy::drive::{Drive, Flow};
use meshgate_policy::exchange::{Exchange, Reply};
use meshgate_policy::host::{Host as _, Side, Timestamp};
use meshgate_policy::policy::Phases;

use crate::chunks::{Chunking, Ending};
use crate::host::{Memory, Section};
use crate::message::{Fields, Message};
use crate::outcome::{Client, Outcome};
use crate::reply;

/// An exchange on its way through a proxy with one filter.
///
/// The parts of the request come with [`head`](Self::head), [`body`](Self::body) and [`trailers`](Self::trailers), those
/// of the response as well; what the filter lets pass shows in [`upstream`](Self::upstream) and
/// [`client`](Self::client) at once. [`run`](Self::run) does it all.
#[derive(Debug)]
pub struct Conversation<E> {
    drive: Drive<E>,
    host: Memory,
    phases: Phases,
    request: Passage,
    response: Passage,
    /// The proxy answers by itself: no more of the request is looked at, and nothing from the upstream.
    replied: bool,
    /// When the sides are woken whose message was deferred.
    wakes: Vec<(Timestamp, Side)>,
    /// What the client got past the filter.
    direct: Option<Client>,
    details: Option<&'static str>,
}

/// One direction.
#[derive(Debug, Default)]
struct Passage {
    stop: Stop,
    /// The parts that the test has brought.
    head_sent: bool,
    end_sent: bool,
    backlog: Backlog,
    /// The filter has seen the end.
    end_seen: bool,
    /// The filter kept the last part of the body that it was shown.
    kept: bool,
    passed: Option<Message>,
}

/// How the filter has stopped the parts of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stop {
    #[default]
    No,
    /// Later parts are shown.
    Shown,
    /// Later parts are not shown until the filter resumes.
    Unseen,
}

/// What came while nothing was shown.
#[derive(Debug, Default)]
struct Backlog {
    body: Option<Vec<u8>>,
    end: bool,
    trailers: Option<Fields>,
}

const REPEATED: &str = "whoever keeps what has been passed on, a router with a retry policy or another filter, would get it twice";

/// How long a message is deferred: the resolution of a proxy's timers.
const MOMENT: Duration = Duration::from_millis(1);

impl<E: Exchange> Conversation<E> {
    pub(crate) fn new(host: Memory, phases: Phases, exchange: E) -> Self {
        Self {
            drive: Drive::new(exchange, phases),
            host,
            phases,
            request: Passage::default(),
            response: Passage::default(),
            replied: false,
            wakes: Vec::new(),
            direct: None,
            details: None,
        }
    }

    /// Takes the request through, then the response if the request reached the upstream, then ends. The clock moves as
    /// far as the exchange waits for callouts.
    pub fn run(self, request: &Message, response: &Message) -> Outcome {
        self.run_chunked(request, &Chunking::WHOLE, response, &Chunking::WHOLE)
    }

    /// As [`run`](Self::run), with the bodies cut.
    pub fn run_chunked(
        mut self,
        request: &Message,
        request_chunks: &Chunking,
        response: &Message,
        response_chunks: &Chunking,
    ) -> Outcome {
        self.send(Side::Request, request, request_chunks);
        self.settle();
        if self.upstream().is_some_and(|message| message.complete) {
            self.send(Side::Response, response, response_chunks);
            self.settle();
        }
        self.finish()
    }

    /// Brings a message, all parts at once.
    pub fn send(&mut self, side: Side, message: &Message, chunking: &Chunking) {
        let forced = (chunking.ending == Ending::Trailers).then(Chunking::trailers);
        let trailers = message.trailers.clone().or(forced);
        let mut chunks = chunking.chunks(&message.body);
        if trailers.is_none() && chunking.ending == Ending::EmptyChunk {
            chunks.push(b"");
        }
        let ends = message.complete && trailers.is_none();
        self.head(side, &message.head, ends && chunks.is_empty());
        for (place, chunk) in chunks.iter().enumerate() {
            self.body(side, chunk, ends && place + 1 == chunks.len());
        }
        if let Some(trailers) = trailers {
            self.trailers(side, &trailers);
        }
    }

    /// Brings a head; `end`: nothing follows it.
    ///
    /// # Panics
    /// There was one already.
    pub fn head(&mut self, side: Side, fields: &Fields, end: bool) {
        let passage = self.passage(side);
        assert!(!passage.head_sent, "a second head");
        (passage.head_sent, passage.end_sent) = (true, end);
        if !self.replied {
            self.show_head(side, fields.clone(), end);
            self.deliver();
        }
    }

    /// Brings a part of a body; `end`: nothing follows it.
    ///
    /// # Panics
    /// There was no head yet, or the message has ended.
    pub fn body(&mut self, side: Side, bytes: &[u8], end: bool) {
        let passage = self.passage(side);
        assert!(passage.head_sent && !passage.end_sent, "a body comes behind a head");
        passage.end_sent = end;
        if !self.replied {
            self.take_body(side, bytes, end);
            self.deliver();
        }
    }

    /// Brings trailers, which end a message.
    ///
    /// # Panics
    /// There was no head yet, or the message has ended.
    pub fn trailers(&mut self, side: Side, fields: &Fields) {
        let passage = self.passage(side);
        assert!(passage.head_sent && !passage.end_sent, "trailers come behind a head or a body");
        passage.end_sent = true;
        if !self.replied {
            self.take_trailers(side, fields.clone());
            self.deliver();
        }
    }

    /// Moves the clock and brings the answers that come meanwhile, each at its time.
    pub fn advance(&mut self, by: Duration) {
        let target = self.host.world.now().after(by);
        while let Some(due) = self.next_due().filter(|&due| due <= target) {
            self.host.world.advance_to(due);
            self.deliver();
        }
        self.host.world.advance_to(target);
    }

    /// Moves the clock until nothing is held, or nothing is under way that could end that.
    pub fn settle(&mut self) {
        while self.request.stop != Stop::No || self.response.stop != Stop::No {
            let Some(due) = self.next_due() else { return };
            self.host.world.advance_to(due);
            self.deliver();
        }
    }

    /// What the upstream has got so far.
    pub const fn upstream(&self) -> Option<&Message> {
        self.request.passed.as_ref()
    }

    /// What the client has got so far.
    pub fn client(&self) -> Client {
        let passed = || self.response.passed.clone().map(Client::Answer);
        self.direct.clone().or_else(passed).unwrap_or(Client::Nothing)
    }

    /// Ends the exchange, completed or not.
    pub fn finish(mut self) -> Outcome {
        if self.phases.log {
            self.drive.log(&mut self.host);
        }
        if self.phases.end {
            self.drive.end(&mut self.host);
        }
        let client = self.client();
        Outcome {
            upstream: self.request.passed,
            client,
            details: self.details,
            filter_state: self.host.filter_state,
        }
    }

    fn show_head(&mut self, side: Side, fields: Fields, end: bool) {
        self.host.at_hand(side).head = Section::Here(fields);
        self.passage(side).end_seen = end;
        let called = match side {
            Side::Request => self.phases.request_head,
            Side::Response => self.phases.response_head,
        };
        let flow = if called { self.drive.head(&mut self.host, side, end) } else { Flow::Continue };
        let shown = self.host.world.state().headers_stop_iteration;
        self.follow(side, flow, if shown { Stop::Shown } else { Stop::Unseen });
    }

    fn take_body(&mut self, side: Side, bytes: &[u8], end: bool) {
        let passage = self.passage(side);
        if passage.stop == Stop::Unseen {
            passage.backlog.body.get_or_insert_default().extend(bytes);
            passage.backlog.end = end;
        } else {
            self.show_body(side, bytes, end);
        }
    }

    fn show_body(&mut self, side: Side, bytes: &[u8], end: bool) {
        self.passage(side).end_seen = end;
        let body = &mut self.host.at_hand(side).body;
        let buffered = body.is_some();
        let body = body.get_or_insert_default();
        body.extend(bytes);
        let size = body.len();
        if buffered && self.overflows(side) {
            return;
        }
        let passage = self.passage(side);
        let endangered = passage.kept && passage.stop == Stop::No && !bytes.is_empty();
        let repeats = self.has_passed_on(side);
        let called = match side {
            Side::Request => self.phases.request_body,
            Side::Response => self.phases.response_body,
        };
        let flow = if called { self.drive.body(&mut self.host, side, size, end) } else { Flow::Continue };
        assert!(!endangered || flow != Flow::Continue, "Envoy before 1.37 would lose this part of a body");
        let paused = matches!(flow, Flow::Pause | Flow::Defer(_));
        assert!(!repeats || !self.keeps(side, &flow), "{REPEATED}");
        self.passage(side).kept = paused;
        self.follow(side, flow, Stop::Shown);
        if paused {
            self.overflows(side);
        }
    }

    fn take_trailers(&mut self, side: Side, fields: Fields) {
        let passage = self.passage(side);
        if passage.stop == Stop::Unseen {
            passage.backlog.trailers = Some(fields);
        } else {
            self.show_trailers(side, fields);
        }
    }

    fn show_trailers(&mut self, side: Side, fields: Fields) {
        self.host.at_hand(side).trailers = Section::Here(fields);
        self.passage(side).end_seen = true;
        let called = match side {
            Side::Request => self.phases.request_trailers,
            Side::Response => self.phases.response_trailers,
        };
        let flow = if called { self.drive.trailers(&mut self.host, side) } else { Flow::Continue };
        assert!(!self.has_passed_on(side) || !self.keeps(side, &flow), "{REPEATED}");
        self.follow(side, flow, Stop::Shown);
    }

    fn has_passed_on(&mut self, side: Side) -> bool {
        self.passage(side).passed.as_ref().is_some_and(|message| !message.body.is_empty())
    }

    /// Whether more is kept by a filter that could do without: a response may wait, see [`Drive`].
    fn keeps(&self, side: Side, flow: &Flow) -> bool {
        match (side, flow) {
            (Side::Request, Flow::Pause | Flow::Defer(_)) => true,
            (Side::Response, Flow::Pause) => self.host.callouts() == 0,
            _ => false,
        }
    }

    /// Does what a callback returned.
    fn follow(&mut self, side: Side, flow: Flow, stop: Stop) {
        match flow {
            Flow::Continue => self.release(side),
            Flow::Pause => self.passage(side).stop = stop,
            Flow::Stop => self.passage(side).stop = Stop::Unseen,
            Flow::Defer(deferred) => {
                self.passage(side).stop = stop;
                self.defer(deferred);
            }
            Flow::Reply(reply) => self.reply(*reply),
            Flow::Resume(_) => panic!("only the answer to a callout resumes"),
        }
    }

    /// Passes on all that is at hand. A head that was stopped goes with whatever part goes first.
    fn release(&mut self, side: Side) {
        let at_hand = self.host.at_hand(side);
        let (head, body, trailers) = (at_hand.head.pass(), at_hand.body.take(), at_hand.trailers.pass());
        let passage = self.passage(side);
        passage.stop = Stop::No;
        if let Some(head) = head {
            passage.passed = Some(Message { head, body: vec![], trailers: None, complete: false });
        }
        if let Some(passed) = &mut passage.passed {
            passed.body.extend(body.unwrap_or_default());
            passed.trailers = trailers;
            passed.complete = passage.end_seen;
        }
    }

    /// Brings the answers that are due, and wakes whom it is time to.
    fn deliver(&mut self) {
        loop {
            let now = self.host.world.now();
            let flow = if let Some(place) = self.wakes.iter().position(|(due, _)| *due <= now) {
                let (_, side) = self.wakes.remove(place);
                self.drive.wake(&mut self.host, side)
            } else if let Some(ended) = self.host.take_ended() {
                if !self.phases.callout {
                    continue;
                }
                self.drive.callout(&mut self.host, ended.id, ended.answer)
            } else {
                return;
            };
            match flow {
                Flow::Resume(side) => self.resume(side),
                Flow::Reply(reply) => self.reply(*reply),
                Flow::Defer(side) => self.defer(side),
                Flow::Continue | Flow::Pause | Flow::Stop => {}
            }
        }
    }

    fn defer(&mut self, side: Side) {
        self.wakes.push((self.host.world.now().after(MOMENT), side));
    }

    /// When something happens by itself.
    fn next_due(&self) -> Option<Timestamp> {
        self.wakes.iter().map(|(due, _)| *due).chain(self.host.next_due()).min()
    }

    fn resume(&mut self, side: Side) {
        if side == Side::Request && self.replied {
            return;
        }
        let passage = self.passage(side);
        assert!(passage.stop != Stop::No, "resumed what was not held");
        let backlog = std::mem::take(&mut passage.backlog);
        self.release(side);
        if let Some(body) = backlog.body {
            self.show_body(side, &body, backlog.end);
        }
        if let Some(trailers) = backlog.trailers.filter(|_| self.open(side)) {
            self.show_trailers(side, trailers);
        }
    }

    /// Whether parts of this side still pass the filter.
    const fn open(&self, side: Side) -> bool {
        self.direct.is_none() && !(self.replied && matches!(side, Side::Request))
    }

    /// Answers when the proxy can keep no more of a body that the filter holds.
    fn overflows(&mut self, side: Side) -> bool {
        let limit = self.host.world.state().buffer_limit;
        let over = self.host.at_hand(side).body.as_ref().is_some_and(|body| body.len() > limit);
        if over {
            self.reply(match side {
                Side::Request => Reply::new(413, "request_payload_too_large"),
                Side::Response => Reply::new(500, "response_payload_too_large"),
            });
        }
        over
    }

    /// Answers the client. Before there is a response this goes through the filter, as a response; once there is one, it
    /// goes past the filter; and once its head has been passed on, all that can be done is to break off.
    fn reply(&mut self, reply: Reply) {
        self.replied = true;
        // What tests compare is a literal, nearly always.
        self.details = Some(match &reply.details {
            Cow::Borrowed(details) => details,
            Cow::Owned(details) => details.clone().leak(),
        });
        self.request.stop = Stop::No;
        if self.response.passed.is_some() {
            self.response.stop = Stop::No;
            self.direct = Some(Client::Reset);
            return;
        }
        let message = reply::to_message(reply, self.host.request.head.fields());
        if matches!(self.host.response.head, Section::Here(_)) {
            self.response.stop = Stop::No;
            self.direct = Some(Client::Answer(message));
            return;
        }
        self.show_head(Side::Response, message.head, message.body.is_empty());
        if !message.body.is_empty() && self.direct.is_none() {
            self.take_body(Side::Response, &message.body, true);
        }
    }

    const fn passage(&mut self, side: Side) -> &mut Passage {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }
}
