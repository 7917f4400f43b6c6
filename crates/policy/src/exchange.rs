//! One request and its response, as a policy sees them.

use std::borrow::Cow;

use crate::headers::{HeaderName, HeaderValue};
use crate::host::{Answer, CalloutId, Host, HostError, Part, Side};

/// The state and the decisions of a policy for one exchange.
///
/// A host calls these in the order in which the parts pass. Each answers with what happens [`Next`]; none blocks. Only the
/// phases that the policy names in [`Policy::PHASES`](crate::policy::Policy::PHASES) are called. An error that a method
/// returns with `?` is logged and goes to [`Exchange::failed`].
pub trait Exchange {
    /// The request's head has arrived. `end`: it has neither body nor trailers.
    ///
    /// # Errors
    /// What the host refused.
    fn request_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        let _ = (host, end);
        Ok(Next::Continue)
    }

    /// The request's body is at hand as far as the [`BodyMode`] says that this exchange asked for.
    ///
    /// # Errors
    /// What the host refused.
    fn request_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        let _ = (host, body);
        Ok(Next::Continue)
    }

    /// The request's trailers have arrived.
    ///
    /// # Errors
    /// What the host refused.
    fn request_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        let _ = host;
        Ok(Next::Continue)
    }

    /// The response's head has arrived. `end`: it has neither body nor trailers.
    ///
    /// # Errors
    /// What the host refused.
    fn response_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        let _ = (host, end);
        Ok(Next::Continue)
    }

    /// The response's body is at hand as far as the [`BodyMode`] says that this exchange asked for.
    ///
    /// # Errors
    /// What the host refused.
    fn response_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        let _ = (host, body);
        Ok(Next::Continue)
    }

    /// The response's trailers have arrived.
    ///
    /// # Errors
    /// What the host refused.
    fn response_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        let _ = host;
        Ok(Next::Continue)
    }

    /// A callout has ended; the exchange is where it was when it answered [`Next::Wait`].
    ///
    /// # Errors
    /// What the host refused.
    fn callout(&mut self, host: &mut dyn Host, id: CalloutId, answer: Answer) -> Result<Next, HostError> {
        let _ = (host, id, answer);
        Ok(Next::Continue)
    }

    /// The exchange is over, completed or not, and is being logged: its heads and trailers can be read once more.
    fn log(&mut self, host: &mut dyn Host) {
        let _ = host;
    }

    /// The exchange is over, completed or not. The last call, and it costs nothing: the proxy tells the VM in any case, where
    /// [`Exchange::log`] is a callback of its own. Nothing of the messages is at hand any more.
    fn end(&mut self, host: &mut dyn Host) {
        let _ = host;
    }

    /// What to do when a method of this exchange failed. By default a request that could not be checked is answered with
    /// 500 and does not pass, and a response passes as it is. What can't be answered here is a wait or reading a body: that
    /// becomes a 500 too.
    fn failed(&mut self, side: Side, part: Part, error: HostError) -> Next {
        let _ = (part, error);
        match side {
            Side::Request => Next::Reply(Box::new(Reply::internal_error())),
            Side::Response => Next::Continue,
        }
    }
}

/// What happens after an exchange has seen a part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Pass on what is at hand. From a head: the body is not looked at.
    Continue,
    /// From a head (or a callout that a head waited for): look at the body too.
    ReadBody(BodyMode),
    /// From a body in [`BodyMode::Window`]: keep all that is at hand and show it again with what follows. At the end of the
    /// body, and past the limit, it passes all the same.
    Hold,
    /// Keep everything here until a callout of this exchange is answered. What comes meanwhile is kept too: a body that
    /// is read is then shown with it, in [`BodyMode::Window`] together with what was at hand when the wait began.
    ///
    /// Three limits keep bodies whole; the reasons are in [`drive`](crate::drive).
    /// - After a wait in a head, [`BodyMode::Whole`] can't hold that head: read the body first, and wait there.
    /// - Of a request nothing can wait, not even its trailers, once a part of its body has been passed on:
    ///   [`HostError::TooLate`].
    /// - A request that waited in the midst of its body goes on with the next part of it. A client that sends no more
    ///   before it hears from the upstream has to be answered for in the head.
    ///
    /// Takes the phases of all that may follow: see [`Phases::check`](crate::policy::Phases::check).
    Wait,
    /// Answer the client now. After the head of a response has been passed on there is no answering any more: the stream
    /// is reset.
    Reply(Box<Reply>),
}

/// How much of a body an exchange wants to see at once. Without one it sees nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// All of it, in one call.
    Whole {
        /// The most that is held; Envoy's own buffer limit stops a larger body with 413 or 500 before. Bytes.
        limit: usize,
        /// Keep the head until then, so that it can still change. In Envoy this needs
        /// `allow_on_headers_stop_iteration: true` in the filter's configuration.
        hold_head: bool,
    },
    /// As it passes, each time with what [`Next::Hold`] or [`Next::Wait`] kept. A request is answered with 500 whose
    /// trailers come while a part behind others that have been passed on is held: with trailers nothing of a body can be
    /// passed on any more.
    Window {
        /// The most that is held. Bytes.
        limit: usize,
    },
    /// As [`BodyMode::Window`] without a limit, and the head is kept until a part of the body passes. In Envoy this needs what
    /// [`BodyMode::Whole`] needs for that.
    HeldWindow,
}

impl BodyMode {
    /// The most that is held, in bytes.
    pub const fn limit(self) -> usize {
        match self {
            Self::Whole { limit, .. } | Self::Window { limit } => limit,
            Self::HeldWindow => usize::MAX,
        }
    }

    /// Whether the head waits for the body.
    pub const fn holds_head(self) -> bool {
        matches!(self, Self::Whole { hold_head: true, .. } | Self::HeldWindow)
    }
}

/// What is at hand of a body; the bytes are read with [`Host::body`].
///
/// Trailers may end a body of which nothing is held any more, or of which no byte ever came: that is shown as a size of 0,
/// and [`Host::set_body`] fails, because the proxy has no buffer to write into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// Bytes at hand.
    pub size: usize,
    /// How it goes on.
    pub rest: Rest,
}

/// What follows the part of a body that is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// More may come (not in [`BodyMode::Whole`]).
    More,
    /// Nothing: this is the last of it.
    End,
    /// More than the limit of the [`BodyMode`] is at hand: what is here passes now, unless the answer is a reply or a
    /// wait; the proxy's own limit still holds. In [`BodyMode::Whole`] this is the last call for this body.
    OverLimit,
}

/// An answer that the proxy sends in place of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status, 200 to 599.
    pub status: u16,
    /// Header fields. `content-length` is added by the proxy.
    pub headers: Vec<(HeaderName, HeaderValue<'static>)>,
    /// The body.
    pub body: Vec<u8>,
    /// Why, for the access log's `%RESPONSE_CODE_DETAILS%`: snake case, from the code, or what the proxy itself said of the
    /// response that this replaces. Never from a client.
    pub details: Cow<'static, str>,
    /// What a gRPC client gets as `grpc-status`; without one the proxy derives it from the status.
    pub grpc_status: Option<u32>,
}

impl Reply {
    /// A reply without headers or body.
    pub const fn new(status: u16, details: &'static str) -> Self {
        let details = Cow::Borrowed(details);
        Self { status, headers: Vec::new(), body: Vec::new(), details, grpc_status: None }
    }

    /// 500, for what should not happen: says nothing of what it was.
    pub fn internal_error() -> Self {
        crate::problem::Problem::new(500, "Internal Server Error")
            .detail("The gateway could not process the request.")
            .reply("meshgate_internal_error")
    }

    /// Adds a header field.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue<'static>) -> Self {
        self.headers.push((name, value));
        self
    }
}
