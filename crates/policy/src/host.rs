//! What a policy may ask of the host that runs it.
//!
//! Everything here can fail, and nothing here may panic: a host reports each refusal of the proxy as a [`HostError`].
//! Reads and writes are checked against the [`Position`] of the exchange before they reach the proxy, because Envoy
//! either ignores or traps what comes in the wrong phase.

use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

pub use crate::callout::{Answer, CalloutError, CalloutId, GrpcCall, HttpCall, Listener};
use crate::consumer::Consumer;
use crate::headers::{HeaderName, HeaderValue, Headers};

/// The two directions of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From the client to the upstream.
    Request,
    /// From the upstream, or from the proxy itself, to the client.
    Response,
}

/// The four field sections of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map {
    /// The request's header fields.
    RequestHeaders,
    /// The request's trailer fields.
    RequestTrailers,
    /// The response's header fields.
    ResponseHeaders,
    /// The response's trailer fields.
    ResponseTrailers,
}

impl Map {
    /// The header section of a side.
    pub const fn head(side: Side) -> Self {
        match side {
            Side::Request => Self::RequestHeaders,
            Side::Response => Self::ResponseHeaders,
        }
    }

    /// The trailer section of a side.
    pub const fn trailers(side: Side) -> Self {
        match side {
            Side::Request => Self::RequestTrailers,
            Side::Response => Self::ResponseTrailers,
        }
    }
}

/// The part of a message that is passing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The header fields.
    Head,
    /// The body.
    Body,
    /// The trailer fields.
    Trailers,
}

/// Where in its life an exchange is: what it may read and write follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The configuration is being read; there is no exchange.
    Configure,
    /// A part of a message is passing.
    Message {
        /// Which message.
        side: Side,
        /// Which part.
        part: Part,
        /// Whether the head has not been passed on yet, so that it can still change.
        head_held: bool,
    },
    /// No part of a message is at hand: what a callout brings that nothing waits for comes here, and the end of an exchange.
    Between,
    /// The exchange is over.
    Log,
}

impl Position {
    /// Checks that the fields of `map` can be read here.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`]: Envoy would show an empty map, which is not the same as no such header.
    pub fn check_read(self, map: Map) -> Result<(), HostError> {
        if self == Self::Log { Ok(()) } else { self.check_write(map) }
    }

    /// Checks that the fields of `map` can be changed here.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`]
    pub fn check_write(self, map: Map) -> Result<(), HostError> {
        match self {
            Self::Message { side, part, head_held } => {
                let head = map == Map::head(side) && (part == Part::Head || head_held);
                let trailers = map == Map::trailers(side) && part == Part::Trailers;
                if head || trailers { Ok(()) } else { Err(HostError::WrongPhase) }
            }
            Self::Configure | Self::Between | Self::Log => Err(HostError::WrongPhase),
        }
    }

    /// Checks that the body of `side` can be read and changed here.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`]
    pub fn check_body(self, side: Side) -> Result<(), HostError> {
        match self {
            Self::Message { side: here, part: Part::Body | Part::Trailers, .. } if here == side => Ok(()),
            _ => Err(HostError::WrongPhase),
        }
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// This much later; the end of time if that is past it.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time that has passed since `earlier`; none if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// What the host, or the proxy behind it, refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// That can't be read or written at this point of the exchange.
    WrongPhase,
    /// The value changed since it was read (compare-and-swap).
    Conflict,
    /// The proxy does not have this ability.
    Unsupported,
    /// What the proxy returned could not be decoded.
    Malformed,
    /// The exchange wants to wait, but has no callout under way that could wake it.
    NothingToWaitFor,
    /// The exchange wants to see a body, or to hold a message that it can't hold: its policy does not name the phases of
    /// what follows the head.
    PhasesMissing,
    /// The exchange wants to hold what can't be held any more: after a wait a head can't be held for its body as well,
    /// and of a request nothing can wait once a part of its body has been passed on.
    TooLate,
    /// The proxy answered with a status that the call does not allow for; its number in the Proxy-Wasm ABI.
    Status(u32),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPhase => f.write_str("not possible in this phase of the exchange"),
            Self::Conflict => f.write_str("the value changed since it was read"),
            Self::Unsupported => f.write_str("the proxy does not offer this"),
            Self::Malformed => f.write_str("the proxy returned something that cannot be decoded"),
            Self::NothingToWaitFor => f.write_str("waiting with no callout under way"),
            Self::TooLate => f.write_str("what has been passed on can't be held any more"),
            Self::PhasesMissing => f.write_str("the policy does not name the phases that this needs"),
            Self::Status(status) => write!(f, "the proxy refused with status {status}"),
        }
    }
}

impl std::error::Error for HostError {}

/// The version of a shared value: a write that names it succeeds only if nobody wrote in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u32);

/// A value that all workers of the proxy share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The bytes.
    pub value: Vec<u8>,
    /// For the next [`Host::set_shared`].
    pub version: Version,
}

/// A metric that was defined at configure time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Metric(pub u32);

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution of values.
    Histogram,
}

/// The hash and padding of a signature check. RFC 7518 section 3 names them for JWTs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// The world of one exchange: its messages, the clock, shared values, callouts and metrics.
///
/// One host serves one exchange at a time. Names and values that are written come as checked types, so a host need not
/// look at them again.
pub trait Host {
    /// Where the exchange is.
    fn position(&self) -> Position;

    /// Moves the exchange on; called by the [`Drive`](crate::drive::Drive) alone.
    fn enter(&mut self, position: Position);

    /// The time now.
    fn now(&mut self) -> Timestamp;

    /// Fills `out` with random bytes from a cryptographic generator.
    ///
    /// # Errors
    /// The proxy has none.
    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError>;

    /// All fields of a section, in one read. Cheaper than two present fields one by one.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`] where the section is not at hand.
    fn headers(&mut self, map: Map) -> Result<Headers, HostError>;

    /// The first value of a field. Cheap where the field is mostly absent. Never for a security decision: a second value
    /// would not be seen.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`] where the section is not at hand.
    fn first_header(&mut self, map: Map, name: &HeaderName) -> Result<Option<Vec<u8>>, HostError>;

    /// Replaces all values of a field by one.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`] where the section can't change any more.
    fn set_header(&mut self, map: Map, name: &HeaderName, value: &HeaderValue<'_>) -> Result<(), HostError>;

    /// Adds a value to a field and keeps those that are there.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`] where the section can't change any more.
    fn add_header(&mut self, map: Map, name: &HeaderName, value: &HeaderValue<'_>) -> Result<(), HostError>;

    /// Removes all values of a field; none is fine.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`] where the section can't change any more.
    fn remove_header(&mut self, map: Map, name: &HeaderName) -> Result<(), HostError>;

    /// Makes the proxy choose the route again. Envoy does so by itself after each change of a request header.
    ///
    /// # Errors
    /// The proxy can't.
    fn clear_route_cache(&mut self) -> Result<(), HostError>;

    /// What is at hand of a body: all of it, or the present window. At most `limit` bytes from `start`.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`] outside the body and trailers of that side.
    fn body(&mut self, side: Side, start: usize, limit: usize) -> Result<Vec<u8>, HostError>;

    /// Replaces what is at hand of a body. The length fields of the head are the policy's to mend, while it is held.
    ///
    /// # Errors
    /// [`HostError::WrongPhase`] outside the body and trailers of that side. The proxy refuses where it has nothing to
    /// write into: at trailers, when no byte of the body is held.
    fn set_body(&mut self, side: Side, bytes: &[u8]) -> Result<(), HostError>;

    /// An attribute of the proxy, by path, in the proxy's encoding; `None` where it has none. Costs about as much as a
    /// present header.
    ///
    /// # Errors
    /// The proxy refused.
    fn property(&mut self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError>;

    /// Puts a value where access logs read it: `%FILTER_STATE(wasm.<key>:PLAIN)%` in Envoy.
    ///
    /// # Errors
    /// The proxy refused.
    fn set_filter_state(&mut self, key: &str, value: &[u8]) -> Result<(), HostError>;

    /// A value that all workers share.
    ///
    /// # Errors
    /// The proxy refused.
    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError>;

    /// Writes a value that all workers share. With `expected`, only if nobody wrote since. Two workers that create the
    /// same key at once don't see each other: create keys at configure time, which begins on one thread.
    ///
    /// # Errors
    /// [`HostError::Conflict`] if somebody wrote since.
    fn set_shared(&mut self, key: &str, value: &[u8], expected: Option<Version>) -> Result<(), HostError>;

    /// Sends an HTTP request; the answer comes to [`Exchange::callout`](crate::exchange::Exchange::callout).
    ///
    /// # Errors
    /// No such cluster, a pseudo-header is missing, or it could not be sent: no answer will come.
    fn http_call(&mut self, call: &HttpCall<'_>) -> Result<CalloutId, HostError>;

    /// Sends an HTTP request for all exchanges of this worker. The answer comes to `listener`, even if this exchange is over
    /// by then, and after that to the exchanges that wait for it: see [`Host::join`].
    ///
    /// # Errors
    /// As [`Host::http_call`].
    fn fetch(&mut self, call: &HttpCall<'_>, listener: Rc<dyn Listener>) -> Result<CalloutId, HostError>;

    /// Waits for a [`Host::fetch`] of this worker: its answer comes to this exchange too, as that of a callout of its own.
    ///
    /// # Errors
    /// [`HostError::NothingToWaitFor`] if it has been answered.
    fn join(&mut self, id: CalloutId) -> Result<(), HostError>;

    /// Sends a unary gRPC call; the answer comes to [`Exchange::callout`](crate::exchange::Exchange::callout).
    ///
    /// # Errors
    /// No such cluster, or it could not be sent: no answer will come.
    fn grpc_call(&mut self, call: &GrpcCall<'_>) -> Result<CalloutId, HostError>;

    /// How many callouts of this exchange have no answer yet.
    fn callouts(&self) -> usize;

    /// Adds to a counter, or moves a gauge by a difference: a gauge that several workers set would show the last one.
    fn add(&mut self, metric: Metric, by: i64);

    /// Records a value in a histogram, or makes it that of a gauge, whichever worker set it before.
    fn record(&mut self, metric: Metric, value: u64);

    /// Tells those that the request passes behind this policy, in the same VM, who was authenticated. `who` is not asked where
    /// there is nobody to tell.
    fn hand_on(&mut self, who: &dyn Fn() -> Consumer) {
        let _ = who;
    }

    /// Who was authenticated, as another policy in the same VM has handed it on.
    fn handed_on(&self) -> Option<Consumer> {
        None
    }

    /// Says what a policy does and by which rule, for somebody who may know how it is configured. No value of a message, and no
    /// name of a client goes in here. Costs nothing where nobody asks.
    fn explain(&mut self, what: fmt::Arguments<'_>) {
        let _ = what;
    }

    /// Says what is too long for [`Host::explain`]: what was not done, and why not; and whose key it is, by the names that the
    /// configuration has. No value of a message goes in here.
    fn detail(&mut self, what: fmt::Arguments<'_>) {
        let _ = what;
    }

    /// Whether anybody asks for [`Host::detail`]: what it takes more than a word to find out is not looked for otherwise.
    fn wants_detail(&self) -> bool {
        false
    }

    /// Checks a signature with the proxy's own crypto, fifty times faster than ours in wasm. RSASSA-PKCS1-v1_5 for an RSA
    /// key, ECDSA in ASN.1 form for an EC key. `public_key` is a DER SubjectPublicKeyInfo (RFC 5280 section 4.1).
    ///
    /// # Errors
    /// [`HostError::Unsupported`] where the proxy has no such function: use our own.
    fn verify_signature(
        &mut self,
        hash: HashFunction,
        public_key: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Result<bool, HostError>;
}

/// The world while a policy is compiled from its configuration.
pub trait Setup {
    /// The name that the user gave this instance of the filter: what sets its shared values apart from others'.
    fn instance(&self) -> &str;

    /// The time now.
    fn now(&mut self) -> Timestamp;

    /// An environment variable of the VM, in bytes: a secret that the configuration refers to and does not hold. `None` if
    /// there is none of this name.
    fn environment(&self, name: &str) -> Option<Vec<u8>>;

    /// Defines a metric. Metrics are never freed and have no labels: names come from the code, never from a client.
    ///
    /// # Errors
    /// The proxy refused.
    fn metric(&mut self, kind: MetricKind, name: &str) -> Result<Metric, HostError>;

    /// Adds to a counter or a gauge.
    fn add(&mut self, metric: Metric, by: i64);

    /// Fills `out` with random bytes from a cryptographic generator.
    ///
    /// # Errors
    /// The proxy has none.
    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError>;

    /// A value that all workers share.
    ///
    /// # Errors
    /// The proxy refused.
    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError>;

    /// Creates or overwrites a value that all workers share.
    ///
    /// # Errors
    /// The proxy refused.
    fn set_shared(&mut self, key: &str, value: &[u8]) -> Result<(), HostError>;

    /// Asks that [`Policy::wake`](crate::policy::Policy::wake) be called soon after the configuration has been compiled.
    fn wake(&mut self) {}

    /// What an earlier configuration of the same worker has left under this name, if anything still holds it.
    fn left(&self, name: &str) -> Option<Rc<dyn Any>> {
        let _ = name;
        None
    }

    /// Leaves something for the next configuration of the same worker: what is too large to be made anew whenever a word of the
    /// configuration changes. It lives as long as somebody else holds it.
    fn leave(&mut self, name: &str, what: &Rc<dyn Any>) {
        let _ = (name, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const fn at(side: Side, part: Part, head_held: bool) -> Position {
        Position::Message { side, part, head_held }
    }

    #[test]
    fn a_section_changes_only_while_it_is_here() {
        use Map::*;
        use Part::*;
        use Side::*;
        let cases = [
            (at(Request, Head, true), vec![RequestHeaders]),
            (at(Request, Body, false), vec![]),
            (at(Request, Body, true), vec![RequestHeaders]),
            (at(Request, Trailers, false), vec![RequestTrailers]),
            (at(Request, Trailers, true), vec![RequestHeaders, RequestTrailers]),
            (at(Response, Head, true), vec![ResponseHeaders]),
            (at(Response, Body, false), vec![]),
            (at(Response, Trailers, false), vec![ResponseTrailers]),
            (Position::Configure, vec![]),
            (Position::Between, vec![]),
            (Position::Log, vec![]),
        ];
        for (position, writable) in cases {
            for map in [RequestHeaders, RequestTrailers, ResponseHeaders, ResponseTrailers] {
                assert_eq!(
                    position.check_write(map).is_ok(),
                    writable.contains(&map),
                    "{position:?} {map:?}"
                );
                let readable = writable.contains(&map) || position == Position::Log;
                assert_eq!(position.check_read(map).is_ok(), readable, "{position:?} {map:?}");
            }
        }
    }

    #[test]
    fn a_body_is_at_hand_from_its_first_byte_to_the_trailers() {
        assert!(at(Side::Request, Part::Body, false).check_body(Side::Request).is_ok());
        assert!(at(Side::Request, Part::Trailers, false).check_body(Side::Request).is_ok());
        assert!(at(Side::Request, Part::Head, true).check_body(Side::Request).is_err());
        assert!(at(Side::Request, Part::Body, false).check_body(Side::Response).is_err());
        assert!(Position::Between.check_body(Side::Request).is_err());
        assert!(Position::Log.check_body(Side::Request).is_err());
    }

    #[test]
    fn time_does_not_overflow() {
        let end = Timestamp::from_nanos(u64::MAX);
        assert_eq!(end.after(Duration::MAX), end);
        assert_eq!(Timestamp::default().since(end), Duration::ZERO);
        assert_eq!(Timestamp::from_nanos(1_999_999_999).as_secs(), 1);
    }
}
