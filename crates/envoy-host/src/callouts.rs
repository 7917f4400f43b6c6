//! Callouts that have no answer yet, each with its own deadline.
//!
//! Envoy sends callouts for the root context: they outlive their exchange, and an answer may never come. So each is kept
//! here until it is answered, its exchange ends, or its deadline passes; what comes later finds nothing and is dropped.
//! The timer that watches the deadlines also brings what a [`Drive`](meshgate_policy::drive::Drive) defers.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::headers::Headers;
use meshgate_policy::host::{Answer, CalloutError, CalloutId, HostError, Listener, Side, Timestamp};

use crate::abi::{self, Buffer, HeaderMap};

/// How often deadlines are looked at, in milliseconds, while callouts are under way. Envoy's own timeouts come first.
const TICK: u32 = 50;
/// How long a message is deferred, in milliseconds: as short as Envoy's timers can.
const MOMENT: u32 = 1;

/// How often policies that want to be woken are looked at, in milliseconds, while nothing else is waited for.
const WATCH: u32 = 1_000;

/// No policy asks to be woken later than that.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// HTTP and gRPC calls have separate numbers in Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Http,
    Grpc,
}

/// A callout under way.
pub(crate) struct Pending {
    /// The contexts of the exchanges that wait.
    pub(crate) contexts: Vec<u32>,
    /// What takes the answer before them, and whether or not there are any.
    pub(crate) listener: Option<Rc<dyn Listener>>,
    pub(crate) deadline: Timestamp,
    pub(crate) max_answer: usize,
}

/// All that a VM waits for.
#[derive(Debug, Default)]
pub(crate) struct Callouts {
    pending: RefCell<HashMap<(Kind, u32), Pending>>,
    /// Contexts whose message goes on with the next tick.
    deferred: RefCell<VecDeque<(u32, Side)>>,
    /// Answers that the next ticks bring, and the contexts that wait for them.
    answers: RefCell<VecDeque<(u32, CalloutId, Rc<Answer>)>>,
    /// When the policies of these roots want to be woken, and how often that has to be looked at, in milliseconds.
    wakes: RefCell<HashMap<u32, (Timestamp, u32)>>,
    /// Of the timer, in milliseconds; 0: it is off.
    period: Cell<u32>,
}

impl Callouts {
    pub(crate) fn insert(&self, id: (Kind, u32), pending: Pending) {
        self.pending.borrow_mut().insert(id, pending);
        self.set_timer();
    }

    pub(crate) fn take(&self, id: (Kind, u32)) -> Option<Pending> {
        let pending = self.pending.borrow_mut().remove(&id);
        if pending.is_some() {
            self.set_timer();
        }
        pending
    }

    /// How many an exchange waits for.
    pub(crate) fn of(&self, context: u32) -> usize {
        let pending =
            self.pending.borrow().values().filter(|pending| pending.contexts.contains(&context)).count();
        let kept = self.answers.borrow().iter().filter(|(waiting, ..)| *waiting == context).count();
        pending.saturating_add(kept)
    }

    /// Lets one more exchange wait for what others wait for; `false`: it has been answered.
    pub(crate) fn join(&self, id: (Kind, u32), context: u32) -> bool {
        let mut all = self.pending.borrow_mut();
        let pending = all.get_mut(&id).filter(|pending| pending.listener.is_some());
        pending.map(|pending| pending.contexts.push(context)).is_some()
    }

    /// Keeps a context for the next tick.
    pub(crate) fn defer(&self, context: u32, side: Side) {
        self.deferred.borrow_mut().push_back((context, side));
        self.set_timer();
    }

    /// Takes the contexts whose message goes on, at most so many.
    pub(crate) fn deferred(&self, most: usize) -> Vec<(u32, Side)> {
        let mut all = self.deferred.borrow_mut();
        let number = all.len().min(most);
        all.drain(..number).collect()
    }

    /// Keeps an answer for those who wait for it, until the next ticks.
    pub(crate) fn keep(&self, id: CalloutId, answer: &Rc<Answer>, contexts: &[u32]) {
        self.answers.borrow_mut().extend(contexts.iter().map(|context| (*context, id, Rc::clone(answer))));
        self.set_timer();
    }

    /// Takes the next answer that was kept. The others still count as under way: an exchange that has two of them waits for the
    /// second.
    pub(crate) fn next_kept(&self) -> Option<(u32, CalloutId, Rc<Answer>)> {
        self.answers.borrow_mut().pop_front()
    }

    /// Wakes the policy of a root so long from `now`; `None`: not any more.
    pub(crate) fn wake(&self, root: u32, now: Timestamp, wait: Option<Duration>) {
        if let Some(wait) = wait {
            let often = u32::try_from(wait.as_millis()).unwrap_or(WATCH).clamp(MOMENT, WATCH);
            self.wakes.borrow_mut().insert(root, (now.after(wait), often));
        } else if self.wakes.borrow_mut().remove(&root).is_none() {
            return;
        }
        self.set_timer();
    }

    /// The roots whose policies are to be woken now, and not again before they say so.
    pub(crate) fn woken(&self, now: Timestamp) -> Vec<u32> {
        let mut wakes = self.wakes.borrow_mut();
        if wakes.is_empty() {
            return Vec::new();
        }
        // A clock that goes back makes nobody sleep long.
        let due = |at: Timestamp| at <= now || at > now.after(LONGEST_SLEEP);
        let woken: Vec<u32> = wakes.iter().filter(|(_, (at, _))| due(*at)).map(|(root, _)| *root).collect();
        wakes.retain(|root, _| !woken.contains(root));
        woken
    }

    /// An exchange has ended: its answers are of no use any more.
    pub(crate) fn forget(&self, context: u32) {
        if self.period.get() == 0 {
            return;
        }
        self.pending.borrow_mut().retain(|_, pending| {
            pending.contexts.retain(|waiting| *waiting != context);
            pending.listener.is_some() || !pending.contexts.is_empty()
        });
        self.deferred.borrow_mut().retain(|(deferred, _)| *deferred != context);
        self.answers.borrow_mut().retain(|(waiting, ..)| *waiting != context);
        self.set_timer();
    }

    /// The callouts whose answer never came. Deadlines must have passed by more than a tick, so that Envoy's own timeout had
    /// its chance.
    pub(crate) fn overdue(&self, now: Timestamp) -> Vec<(Kind, u32)> {
        let grace = Duration::from_millis(TICK.into());
        let late = |pending: &Pending| now > pending.deadline.after(grace);
        self.pending.borrow().iter().filter(|(_, pending)| late(pending)).map(|(id, _)| *id).collect()
    }

    /// A tick of a root is over.
    pub(crate) fn ticked(&self) {
        self.set_timer();
        let period = self.period.get();
        if period == 0 || period == WATCH {
            // This root may not be the one whose timer was set last.
            tick_each(period);
        }
    }

    /// A root has ended, perhaps the one whose timer was running: `other` sets its own.
    pub(crate) fn timer_lost(&self, other: Option<u32>) {
        if self.period.replace(0) > 0 && other.is_some_and(|other| abi::set_effective_context(other).is_ok())
        {
            self.set_timer();
        }
    }

    /// Sets the timer of the root whose context is the present one, if what there is to wait for needs another than runs.
    /// Its tick is for all roots of the VM.
    fn set_timer(&self) {
        let period = if !self.deferred.borrow().is_empty() || !self.answers.borrow().is_empty() {
            MOMENT
        } else if !self.pending.borrow().is_empty() {
            self.wakes.borrow().values().map(|(_, often)| *often).min().map_or(TICK, |often| often.min(TICK))
        } else {
            self.wakes.borrow().values().map(|(_, often)| *often).min().unwrap_or(0)
        };
        if self.period.replace(period) != period {
            tick_each(period);
        }
    }
}

fn tick_each(milliseconds: u32) {
    if let Err(error) = abi::set_tick_period(milliseconds) {
        log::error!("deadlines of callouts can't be watched: {error}");
    }
}

/// Reads the answer to an HTTP call.
pub(crate) fn http_answer(pending: &Pending, fields: usize, body: usize) -> Answer {
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
pub(crate) fn grpc_answer(pending: &Pending, size: usize) -> Answer {
    if size > pending.max_answer {
        return Answer::Failed(CalloutError::TooLarge);
    }
    match abi::buffer(Buffer::GrpcReceive, 0, size) {
        Ok(message) => Answer::Grpc { message },
        Err(error) => Answer::Failed(CalloutError::Unreadable(error)),
    }
}

/// The end of a gRPC call without a message.
pub(crate) fn grpc_status(pending: &Pending, code: u32) -> Answer {
    const DEADLINE_EXCEEDED: u32 = 4;
    // What Envoy makes of its own timeout, which it sees as a 504 from the router.
    const UNAVAILABLE: u32 = 14;
    if matches!(code, DEADLINE_EXCEEDED | UNAVAILABLE) && is_past(pending.deadline) {
        Answer::Failed(CalloutError::TimedOut)
    } else {
        Answer::GrpcStatus { code }
    }
}

/// Envoy counts from the beginning of the round of its event loop that sent the call, which on a busy worker lies some
/// time back: its timeout may come that much early.
fn is_past(deadline: Timestamp) -> bool {
    Timestamp::from_nanos(abi::now()).after(Duration::from_millis(TICK.into())) >= deadline
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("contexts", &self.contexts)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
