//! What is outside of the proxy: upstreams, and services that modules call.

use std::fmt;
use std::time::Duration;

use crate::message::{Fields, Received, Response};

/// What is behind the proxy.
pub enum Upstream<'a> {
    /// A service: asked once, when it has the whole request.
    Answers(&'a mut dyn FnMut(&Received) -> Response),
    /// Nothing that answers: Envoy does it.
    Fails(Failure),
}

impl fmt::Debug for Upstream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers(_) => f.write_str("Answers"),
            Self::Fails(failure) => write!(f, "Fails({failure:?})"),
        }
    }
}

/// How an upstream fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No route leads to it.
    NoRoute,
    /// All of its hosts are unhealthy, or there are none.
    NoHealthyUpstream,
    /// It refuses connections.
    Connection,
    /// It resets the connection before it has answered.
    Reset,
    /// It takes longer than the route's timeout.
    Timeout,
    /// A circuit breaker is open.
    Overflow,
}

/// What Envoy makes of it: status, details, the flag's bit, body.
pub(crate) struct FailureReply {
    pub(crate) status: u16,
    pub(crate) details: &'static str,
    pub(crate) flags: u64,
    pub(crate) body: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

impl Failure {
    pub(crate) const fn reply(self) -> FailureReply {
        match self {
            Self::NoRoute => reply(404, "route_not_found", 1 << 8, ""),
            Self::NoHealthyUpstream => reply(503, "no_healthy_upstream", 1 << 1, "no healthy upstream"),
            Self::Connection => reply(
                503,
                "upstream_reset_before_response_started{remote_connection_failure|\
                 delayed_connect_error:_Connection_refused}",
                1 << 5,
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection \
                 failure, transport failure reason: delayed connect error: Connection refused",
            ),
            Self::Reset => reply(
                503,
                "upstream_reset_before_response_started{connection_termination}",
                1 << 6,
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            ),
            Self::Timeout => reply(504, "response_timeout", 1 << 2, "upstream request timeout"),
            Self::Overflow => FailureReply {
                headers: &[("x-envoy-overloaded", "true")],
                ..reply(
                    503,
                    "upstream_reset_before_response_started{overflow}",
                    1 << 7,
                    "upstream connect error or disconnect/reset before headers. reset reason: overflow",
                )
            },
        }
    }

    /// Whether the router knows it when it sees the head.
    pub(crate) const fn is_known_at_once(self) -> bool {
        matches!(self, Self::NoRoute | Self::NoHealthyUpstream)
    }
}

const fn reply(status: u16, details: &'static str, flags: u64, body: &'static str) -> FailureReply {
    FailureReply { status, details, flags, body, headers: &[] }
}

/// A request that a module makes.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whom it asks.
    pub cluster: String,
    /// And how.
    pub kind: CallKind,
    /// The fields, or the metadata.
    pub headers: Fields,
    /// The body, or the message.
    pub body: Vec<u8>,
    /// How long it waits.
    pub timeout: Duration,
}

/// How a module calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// HTTP: the method and the path are among the fields.
    Http,
    /// gRPC, one message each way.
    Grpc {
        /// The service, with its package.
        service: String,
        /// Its method.
        method: String,
    },
}

impl Call {
    /// What is asked, without what may be secret: the query, fields and body.
    pub fn summary(&self) -> String {
        match &self.kind {
            CallKind::Grpc { service, method } => {
                format!("{service}/{method} on the cluster {}", self.cluster)
            }
            CallKind::Http => {
                let path = self.headers.text(":path").unwrap_or_default();
                let path = path.split('?').next().unwrap_or_default();
                let method = self.headers.text(":method").unwrap_or_default();
                format!("{method} {path} on the cluster {}", self.cluster)
            }
        }
    }
}

/// What comes of a call.
#[derive(Clone, Debug)]
pub enum CallAnswer {
    /// An answer, after some time.
    Http {
        /// The answer.
        response: Response,
        /// The time.
        after: Duration,
    },
    /// A gRPC message, after some time.
    Grpc {
        /// The message.
        message: Vec<u8>,
        /// The time.
        after: Duration,
    },
    /// A gRPC status and no message.
    GrpcStatus(u32),
    /// The cluster refuses connections.
    ConnectionFailed,
    /// The stream is reset.
    Reset,
    /// Nothing ever comes.
    Never,
    /// There is no such cluster.
    NoCluster,
    /// Nobody knows: the exchange ends in [`Error::Unanswered`](crate::Error::Unanswered).
    Unknown,
}
