//! A proxy for one request at a time: runs filter modules in Wasmtime the way Envoy runs them.
//!
//! `meshgate test` and `meshgate explain` show with it what the very `.wasm` that is deployed does to a request, without a
//! proxy, a network or a clock. A [`Module`] is compiled once; a [`Proxy`] is a chain of plugins made of modules, with a
//! world of its own: a clock that only its user and waits move, random bytes that are the same in each run, shared data,
//! metrics, logs, and somebody who answers callouts ([`Proxy::answer_calls`]). [`Proxy::exchange`] takes a request through
//! it and says what the upstream and the client got, and what each filter did.
//!
//! # What it has of Envoy
//! The rules of Envoy 1.40, as its source has them: the order of callbacks; what pauses, what is buffered and when it goes
//! on ([`chain`](self)); which maps and buffers can be reached when; the statuses of the hostcalls; what a local reply looks
//! like and which filters see it; what becomes of failures of the upstream; deadlines of callouts. An end-to-end test sends
//! the same requests through a real Envoy and compares.
//!
//! # What it has not
//! Connections, TLS and routes (a request has the route that it is said to have), retries, several requests at a time, the
//! fields that Envoy's codecs and its router add (`date`, `server`, `x-envoy-*`), the function `verify_signature` (modules
//! check signatures themselves then), shared queues and gRPC streams. The upstream answers when it has the whole request.

mod answers;
mod chain;
mod error;
mod exchange;
mod guest;
mod imports;
mod memory;
mod message;
mod module;
mod properties;
mod proxy;
mod reply;
mod stream;
mod wasi;
mod world;

pub use answers::{Call, CallAnswer, CallKind, Failure, Upstream};
pub use error::Error;
pub use exchange::{Exchange, Outcome};
pub use message::{Fields, Received, Request, Response, Side};
pub use module::{Engine, Module};
pub use proxy::{Options, Plugin, Proxy};
pub use world::{Event, EventKind, LogLevel, MetricKind};
