//! Requests that a policy asks its host to make, and how they end.

use std::fmt;
use std::time::Duration;

use crate::headers::Headers;
use crate::host::{Host, HostError};

/// Names a callout that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalloutId(pub u32);

/// An HTTP request to a cluster that the proxy knows.
#[derive(Clone)]
pub struct HttpCall<'a> {
    /// The cluster's name in the proxy.
    pub cluster: &'a str,
    /// Header fields, with `:method`, `:path` and `:authority`.
    pub headers: &'a Headers,
    /// The body; empty for none.
    pub body: &'a [u8],
    /// When the call counts as failed; the answer may never come, so there is no call without one.
    pub deadline: Duration,
    /// Answers with a longer body count as failed. Bytes.
    pub max_answer: usize,
}

/// A unary gRPC call to a cluster that the proxy knows.
#[derive(Clone)]
pub struct GrpcCall<'a> {
    /// The cluster's name in the proxy.
    pub cluster: &'a str,
    /// The full name of the service: `envoy.service.ratelimit.v3.RateLimitService`.
    pub service: &'a str,
    /// The method's name.
    pub method: &'a str,
    /// Initial metadata; may be empty.
    pub metadata: &'a Headers,
    /// The request message, encoded, without the five bytes of framing.
    pub message: &'a [u8],
    /// When the call counts as failed.
    pub deadline: Duration,
    /// Longer answers count as failed. Bytes.
    pub max_answer: usize,
}

/// What takes the answer to a [`Host::fetch`]: something that exchanges share, such as a cache.
pub trait Listener {
    /// The callout has ended. `host` is nobody's: of messages it knows nothing.
    fn answered(&self, host: &mut dyn Host, id: CalloutId, answer: &Answer);
}

/// How a callout ended.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP response. A cluster without a healthy host shows as a 503 that the proxy made.
    Http {
        /// Header fields, `:status` among them.
        headers: Headers,
        /// The whole body.
        body: Vec<u8>,
    },
    /// A gRPC response message: status OK.
    Grpc {
        /// The encoded message; empty is a message with all fields at their defaults.
        message: Vec<u8>,
    },
    /// A gRPC status other than OK.
    GrpcStatus {
        /// The status code, 1 to 16.
        code: u32,
    },
    /// No answer.
    Failed(CalloutError),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalloutError {
    /// The deadline passed.
    TimedOut,
    /// The connection was reset before the answer was complete. Envoy resets it as well if an answer is longer than it
    /// keeps (32 MiB), and does not tell one from the other.
    Reset,
    /// The answer was longer than asked for.
    TooLarge,
    /// The proxy could not hand over the answer.
    Unreadable(HostError),
}

impl fmt::Display for CalloutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer within the deadline"),
            Self::Reset => f.write_str("the connection was reset, or the answer is far too long"),
            Self::TooLarge => f.write_str("the answer is longer than allowed"),
            Self::Unreadable(error) => write!(f, "the answer could not be read: {error}"),
        }
    }
}

// Bodies and messages may hold tokens: `Debug` tells their length only.

impl fmt::Debug for HttpCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCall")
            .field("cluster", &self.cluster)
            .field("headers", self.headers)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GrpcCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcCall")
            .field("cluster", &self.cluster)
            .field("service", &self.service)
            .field("method", &self.method)
            .field("message", &self.message.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { headers, body } => {
                f.debug_struct("Http").field("headers", headers).field("body", &body.len()).finish()
            }
            Self::Grpc { message } => f.debug_struct("Grpc").field("message", &message.len()).finish(),
            Self::GrpcStatus { code } => f.debug_struct("GrpcStatus").field("code", code).finish(),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}
