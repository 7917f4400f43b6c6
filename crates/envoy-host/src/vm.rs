//! All that lives in one VM: plugin configurations, exchanges, callouts; and Envoy's callbacks on them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::drive::{Drive, Flow};
use meshgate_policy::exchange::Reply;
use meshgate_policy::headers::Headers;
use meshgate_policy::host::{Answer, CalloutError, CalloutId, Side, Timestamp};
use meshgate_policy::policy::Policy;

use crate::abi::{self, Buffer, Stream};
use crate::callouts::{self, Callouts, Kind, Pending};
use crate::host::EnvoyHost;
use crate::{logger, setup};

/// To how many exchanges something is brought in one call of the proxy. What it does for one of them, such as to send a reply,
/// it does when the VM returns, and calls the VM again for that, one call inside the other: 305 of them were more than V8's
/// stack takes (Envoy 1.40).
const AT_ONCE: usize = 32;

/// What a header, body or trailer callback returns: pass on what is at hand, or keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Pass it on.
    Continue = 0,
    /// Keep it.
    Pause = 1,
    /// Keep a head with all that follows it. In Envoy alone (`StopAllIterationAndWatermark` of its filters): the ABI leaves
    /// this number open. `Pause` does the same, but not with `allow_on_headers_stop_iteration: true`, where the body comes
    /// and would take the head along.
    StopAll = 4,
}

/// One VM running a policy. The callbacks have the names and arguments of the ABI.
pub struct Vm<P: Policy> {
    contexts: RefCell<Contexts<P>>,
    callouts: Rc<Callouts>,
}

struct Contexts<P: Policy> {
    /// The plugin configurations that share this VM; `None` until it is read.
    roots: HashMap<u32, Option<Rc<P>>, ById>,
    exchanges: HashMap<u32, Running<P>, ById>,
}

struct Running<P: Policy> {
    drive: Drive<P::Exchange>,
    host: EnvoyHost,
}

impl<P: Policy> fmt::Debug for Vm<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm")
            .field("policy", &P::NAME)
            .field("callouts", &self.callouts)
            .finish_non_exhaustive()
    }
}

impl<P: Policy> Default for Vm<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Policy> Vm<P> {
    /// A VM without contexts.
    pub fn new() -> Self {
        let contexts = Contexts { roots: HashMap::default(), exchanges: HashMap::default() };
        Self { contexts: RefCell::new(contexts), callouts: Rc::default() }
    }

    /// A context begins: of a plugin configuration (`parent` 0) or of an exchange.
    pub fn create(&self, context: u32, parent: u32) {
        let Ok(mut contexts) = self.contexts.try_borrow_mut() else { return };
        if parent == 0 {
            contexts.roots.insert(context, None);
        } else if let Some(Some(policy)) = contexts.roots.get(&parent) {
            let drive = Drive::new(policy.begin(), P::PHASES);
            let host = EnvoyHost::new(context, Rc::clone(&self.callouts));
            contexts.exchanges.insert(context, Running { drive, host });
        }
    }

    /// A context ends.
    pub fn delete(&self, context: u32) {
        self.callouts.forget(context);
        let Ok(mut contexts) = self.contexts.try_borrow_mut() else { return };
        if let Some(mut running) = contexts.exchanges.remove(&context) {
            if P::PHASES.end {
                running.drive.end(&mut running.host);
            }
        } else if contexts.roots.remove(&context).is_some() {
            self.callouts.wake(context, Timestamp::default(), None);
            // Its timer goes with it, and the exchanges of other roots may count on that.
            let other = contexts.roots.keys().next().copied();
            self.callouts.timer_lost(other);
        }
    }

    /// Reads a plugin's configuration, `size` bytes long. Returns whether it is good; what is wrong goes to the log.
    pub fn configure(&self, context: u32, size: usize) -> bool {
        logger::install();
        let policy = abi::buffer(Buffer::PluginConfiguration, 0, size)
            .map_err(|error| error.to_string())
            .and_then(|document| setup::compile::<P>(&document).map_err(|error| error.to_string()));
        match policy {
            Ok((policy, wakes)) => {
                if let Ok(mut contexts) = self.contexts.try_borrow_mut() {
                    contexts.roots.insert(context, Some(Rc::new(policy)));
                }
                if wakes {
                    self.callouts.wake(context, Timestamp::from_nanos(abi::now()), Some(Duration::ZERO));
                }
                true
            }
            Err(error) => {
                log::error!("{}: configuration refused: {error}", P::NAME);
                false
            }
        }
    }

    /// A head has arrived.
    pub fn head(&self, context: u32, side: Side, end: bool) -> Action {
        self.message(context, side, |running| running.drive.head(&mut running.host, side, end))
    }

    /// Bytes of a body have arrived: `size` are at hand now.
    pub fn body(&self, context: u32, side: Side, size: usize, end: bool) -> Action {
        self.message(context, side, |running| running.drive.body(&mut running.host, side, size, end))
    }

    /// Trailers have arrived.
    pub fn trailers(&self, context: u32, side: Side) -> Action {
        self.message(context, side, |running| running.drive.trailers(&mut running.host, side))
    }

    /// An exchange is being logged.
    pub fn log(&self, context: u32) {
        let Ok(mut contexts) = self.contexts.try_borrow_mut() else { return };
        if let Some(running) = contexts.exchanges.get_mut(&context) {
            running.drive.log(&mut running.host);
        }
    }

    /// An HTTP call has been answered; no `fields`: it failed.
    pub fn http_answer(&self, token: u32, fields: usize, body: usize) {
        let id = (Kind::Http, token);
        if let Some(pending) = self.callouts.take(id) {
            let answer = callouts::http_answer(&pending, fields, body);
            self.answer(pending, id, answer, AT_ONCE);
        }
    }

    /// A gRPC call has been answered by a message.
    pub fn grpc_answer(&self, token: u32, size: usize) {
        let id = (Kind::Grpc, token);
        if let Some(pending) = self.callouts.take(id) {
            let answer = callouts::grpc_answer(&pending, size);
            self.answer(pending, id, answer, AT_ONCE);
        }
    }

    /// A gRPC call has ended without a message.
    pub fn grpc_close(&self, token: u32, status: u32) {
        let id = (Kind::Grpc, token);
        if let Some(pending) = self.callouts.take(id) {
            let answer = callouts::grpc_status(&pending, status);
            self.answer(pending, id, answer, AT_ONCE);
        }
    }

    /// Time has passed: brings what was deferred and kept, and ends the callouts whose answer never came.
    pub fn tick(&self) {
        for id in self.callouts.overdue(Timestamp::from_nanos(abi::now())) {
            if let Some(pending) = self.callouts.take(id) {
                self.answer(pending, id, Answer::Failed(CalloutError::TimedOut), 0);
            }
        }
        let deferred = self.callouts.deferred(AT_ONCE);
        for root in self.callouts.woken(Timestamp::from_nanos(abi::now())) {
            self.wake(root);
        }
        self.callouts.ticked();
        for (context, side) in deferred {
            self.reach(context, |running| running.drive.wake(&mut running.host, side));
        }
        for (context, id, answer) in std::iter::from_fn(|| self.callouts.next_kept()).take(AT_ONCE) {
            self.bring(context, id, &answer);
        }
    }

    /// Lets the policy of a root do what it does without a request.
    fn wake(&self, root: u32) {
        let policy = match self.contexts.try_borrow() {
            Ok(contexts) => contexts.roots.get(&root).and_then(|policy| policy.as_ref().map(Rc::clone)),
            Err(_) => None,
        };
        // The tick may be that of another root, which may end before what this one asks for is answered.
        if let Some(policy) = policy
            && abi::set_effective_context(root).is_ok()
        {
            let wait = policy.wake(&mut EnvoyHost::outside(Rc::clone(&self.callouts)));
            self.callouts.wake(root, Timestamp::from_nanos(abi::now()), wait);
        }
    }

    fn message(&self, context: u32, side: Side, report: impl FnOnce(&mut Running<P>) -> Flow) -> Action {
        let flow = match self.contexts.try_borrow_mut() {
            Ok(mut contexts) => contexts.exchanges.get_mut(&context).map(report),
            Err(_) => None,
        };
        match flow {
            Some(Flow::Continue | Flow::Resume(_)) => Action::Continue,
            Some(Flow::Pause) => Action::Pause,
            Some(Flow::Stop) => Action::StopAll,
            Some(Flow::Defer(side)) => {
                self.callouts.defer(context, side);
                Action::Pause
            }
            Some(Flow::Reply(reply)) => send(&reply),
            // An exchange that nothing is known of can't be let through.
            None if side == Side::Request => {
                log::error!("{}: a request outside of any configuration", P::NAME);
                send(&Reply::internal_error())
            }
            None => Action::Continue,
        }
    }

    /// Brings an answer to those who wait for it: to so many of them at once, and to the others with the next ticks.
    fn answer(&self, pending: Pending, (_, token): (Kind, u32), answer: Answer, at_once: usize) {
        let id = CalloutId(token);
        if let Some(listener) = pending.listener {
            listener.answered(&mut EnvoyHost::outside(Rc::clone(&self.callouts)), id, &answer);
        }
        let answer = Rc::new(answer);
        let (now, later) = pending.contexts.split_at_checked(at_once).unwrap_or((&pending.contexts, &[]));
        if !later.is_empty() {
            self.callouts.keep(id, &answer, later);
        }
        for context in now {
            self.bring(*context, id, &answer);
        }
    }

    fn bring(&self, context: u32, id: CalloutId, answer: &Answer) {
        let answer = answer.clone();
        self.reach(context, |running| running.drive.callout(&mut running.host, id, answer));
    }

    /// Reports something to an exchange from a callback of its root, and does what follows.
    fn reach(&self, context: u32, report: impl FnOnce(&mut Running<P>) -> Flow) {
        // The proxy called the root context: what follows is about the exchange.
        if let Err(error) = abi::set_effective_context(context) {
            log::error!("an answer's exchange can't be reached: {error}");
            return;
        }
        let flow = match self.contexts.try_borrow_mut() {
            Ok(mut contexts) => contexts.exchanges.get_mut(&context).map(report),
            Err(_) => None,
        };
        match flow {
            Some(Flow::Resume(side)) => {
                let stream = match side {
                    Side::Request => Stream::Request,
                    Side::Response => Stream::Response,
                };
                if let Err(error) = abi::continue_stream(stream) {
                    log::error!("a paused exchange can't be resumed: {error}");
                }
            }
            Some(Flow::Reply(reply)) => {
                send(&reply);
            }
            Some(Flow::Defer(side)) => self.callouts.defer(context, side),
            Some(Flow::Continue | Flow::Pause | Flow::Stop) | None => {}
        }
    }
}

/// Answers the client. Nothing is passed on after it.
fn send(reply: &Reply) -> Action {
    let headers =
        Headers::from_pairs(reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    let sent = abi::send_local_response(
        reply.status,
        &reply.details,
        headers.as_wire(),
        &reply.body,
        reply.grpc_status,
    );
    if let Err(error) = sent {
        log::error!("a reply could not be sent: {error}");
    }
    Action::Pause
}

/// Context numbers are handed out one after the other by the proxy: multiplying spreads them well enough.
#[derive(Clone, Copy, Debug, Default)]
struct IdHasher(u64);

type ById = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        // 2^64 divided by the golden ratio: Fibonacci hashing (Knuth, TAOCP 6.4).
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
