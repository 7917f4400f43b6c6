//! Callouts that have no answer yet, each with its own deadline.
//!
//! Envoy sends callouts for the root context: they outlive their exchange, and an answer may never come. So each is kept
//! here until it is answered, its exchange ends, or its deadline passes; what comes later finds nothing and is dropped.

use std::cell::RefCell;
use std::collections::HashMap;

use meshgate_policy::headers::Headers;
use meshgate_policy::host::{Answer, CalloutError, HostError, Timestamp};

use crate::abi::{self, Buffer, HeaderMap};

/// How often deadlines are looked at, in milliseconds, while callouts are under way. Envoy's own timeouts come first.
const TICK: u32 = 50;

/// HTTP and gRPC calls have separate numbers in Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Http,
    Grpc,
}

/// A callout under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// The context of the exchange that waits.
    pub(crate) context: u32,
    pub(crate) deadline: Timestamp,
    pub(crate) max_answer: usize,
}

/// All callouts of a VM.
#[derive(Debug, Default)]
pub(crate) struct Callouts(RefCell<HashMap<(Kind, u32), Pending>>);

impl Callouts {
    pub(crate) fn insert(&self, id: (Kind, u32), pending: Pending) {
        let mut all = self.0.borrow_mut();
        if all.is_empty() {
            tick_each(TICK);
        }
        all.insert(id, pending);
    }

    pub(crate) fn take(&self, id: (Kind, u32)) -> Option<Pending> {
        let mut all = self.0.borrow_mut();
        let pending = all.remove(&id);
        if pending.is_some() && all.is_empty() {
            tick_each(0);
        }
        pending
    }

    /// How many an exchange waits for.
    pub(crate) fn of(&self, context: u32) -> usize {
        self.0.borrow().values().filter(|pending| pending.context == context).count()
    }

    /// An exchange has ended: its answers are of no use any more.
    pub(crate) fn forget(&self, context: u32) {
        let mut all = self.0.borrow_mut();
        if all.is_empty() {
            return;
        }
        all.retain(|_, pending| pending.context != context);
        if all.is_empty() {
            tick_each(0);
        }
    }

    /// Those whose deadline has passed by more than a tick, so that Envoy's own timeout had its chance.
    pub(crate) fn overdue(&self, now: Timestamp) -> Vec<(Kind, u32)> {
        let grace = std::time::Duration::from_millis(u64::from(TICK));
        let late = |pending: &Pending| now > pending.deadline.after(grace);
        self.0.borrow().iter().filter(|(_, pending)| late(pending)).map(|(id, _)| *id).collect()
    }
}

fn tick_each(milliseconds: u32) {
    if let Err(error) = abi::set_tick_period(milliseconds) {
        log::error!("deadlines of callouts can't be watched: {error}");
    }
}

/// Reads the answer to an HTTP call.
pub(crate) fn http_answer(pending: Pending, fields: usize, body: usize) -> Answer {
    if fields == 0 {
        return Answer::Failed(CalloutError::Reset);
    }
    if body > pending.max_answer {
        return Answer::Failed(CalloutError::TooLarge);
    }
    let headers = abi::header_pairs(HeaderMap::CallResponseHeaders)
        .and_then(|wire| Headers::from_wire(wire).map_err(|_| HostError::Malformed));
    let body = abi::buffer(Buffer::CallResponseBody, 0, body);
    match (headers, body) {
        // Envoy reports its timeout as a response that it made itself.
        (Ok(headers), _) if headers.first(":status") == Some(b"504") && is_past(pending.deadline) => {
            Answer::Failed(CalloutError::TimedOut)
        }
        (Ok(headers), Ok(body)) => Answer::Http { headers, body },
        (Err(error), _) | (_, Err(error)) => Answer::Failed(CalloutError::Unreadable(error)),
    }
}

/// Reads the message of a gRPC call's answer.
pub(crate) fn grpc_answer(pending: Pending, size: usize) -> Answer {
    if size > pending.max_answer {
        return Answer::Failed(CalloutError::TooLarge);
    }
    match abi::buffer(Buffer::GrpcReceive, 0, size) {
        Ok(message) => Answer::Grpc { message },
        Err(error) => Answer::Failed(CalloutError::Unreadable(error)),
    }
}

/// The end of a gRPC call without a message.
pub(crate) fn grpc_status(pending: Pending, code: u32) -> Answer {
    const DEADLINE_EXCEEDED: u32 = 4;
    // What Envoy makes of its own timeout, which it sees as a 504 from the router.
    const UNAVAILABLE: u32 = 14;
    if matches!(code, DEADLINE_EXCEEDED | UNAVAILABLE) && is_past(pending.deadline) {
        Answer::Failed(CalloutError::TimedOut)
    } else {
        Answer::GrpcStatus { code }
    }
}

fn is_past(deadline: Timestamp) -> bool {
    // Envoy's timers have a resolution of a millisecond.
    Timestamp::from_nanos(abi::now()).after(std::time::Duration::from_millis(2)) >= deadline
}
