//! An exchange whose behaviour a test writes down in place.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use meshgate_policy::exchange::{Body, Exchange, Next};
use meshgate_policy::host::{Answer, CalloutId, Host, HostError, Side};

/// What an exchange is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A head has arrived.
    Head {
        /// Of which message.
        side: Side,
        /// Nothing follows it.
        end: bool,
    },
    /// A body is at hand.
    Body(Side, Body),
    /// Trailers have arrived.
    Trailers(Side),
    /// A callout has ended.
    Callout(CalloutId, Answer),
    /// The exchange is over.
    Log,
}

type Script = dyn FnMut(&mut dyn Host, &Event) -> Result<Next, HostError>;

/// An exchange that does what one closure says, and keeps what it was called with.
pub struct Scripted {
    script: Box<Script>,
    seen: Rc<RefCell<Vec<Event>>>,
}

impl Scripted {
    /// An exchange that does this. What is returned for [`Event::Log`] has no effect.
    pub fn new(script: impl FnMut(&mut dyn Host, &Event) -> Result<Next, HostError> + 'static) -> Self {
        Self { script: Box::new(script), seen: Rc::default() }
    }

    /// What it is called with, as it happens.
    pub fn seen(&self) -> Rc<RefCell<Vec<Event>>> {
        Rc::clone(&self.seen)
    }

    fn on(&mut self, host: &mut dyn Host, event: Event) -> Result<Next, HostError> {
        let next = (self.script)(host, &event);
        self.seen.borrow_mut().push(event);
        next
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Exchange for Scripted {
    fn request_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        self.on(host, Event::Head { side: Side::Request, end })
    }

    fn request_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        self.on(host, Event::Body(Side::Request, body))
    }

    fn request_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        self.on(host, Event::Trailers(Side::Request))
    }

    fn response_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        self.on(host, Event::Head { side: Side::Response, end })
    }

    fn response_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        self.on(host, Event::Body(Side::Response, body))
    }

    fn response_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        self.on(host, Event::Trailers(Side::Response))
    }

    fn callout(&mut self, host: &mut dyn Host, id: CalloutId, answer: Answer) -> Result<Next, HostError> {
        self.on(host, Event::Callout(id, answer))
    }

    fn log(&mut self, host: &mut dyn Host) {
        // There is nobody left to tell: the log can't fail.
        let _ = self.on(host, Event::Log);
    }
}
