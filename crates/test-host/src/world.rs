//! One proxy: what all its workers share.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::exchange::Exchange;
use meshgate_policy::host::{
    CalloutId, HostError, Listener, Metric, MetricKind, Setup, Shared, Timestamp, Version,
};
use meshgate_policy::policy::Phases;

use crate::callouts::{Cluster, Pending, Planned, SentGrpc, SentHttp};
use crate::host::Memory;
use crate::random::Random;
use crate::run::Conversation;

/// 2026-01-01T00:00:00Z, a Thursday.
const START: Timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);

/// One proxy. Clones are the same world.
#[derive(Clone, Debug)]
pub struct World {
    instance: Rc<str>,
    state: Rc<RefCell<State>>,
}

pub(crate) struct State {
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    pub(crate) http: Cluster<SentHttp>,
    pub(crate) grpc: Cluster<SentGrpc>,
    pub(crate) headers_stop_iteration: bool,
    pub(crate) buffer_limit: usize,
    pub(crate) signatures: Option<bool>,
    callouts: u32,
    /// Those of no exchange in particular, and who takes the answers that have not come yet.
    pub(crate) fetches: Vec<(Pending, Option<Rc<dyn Listener>>)>,
    properties: BTreeMap<Vec<String>, Vec<u8>>,
    environment: BTreeMap<String, Vec<u8>>,
    shared: BTreeMap<String, Shared>,
    /// Of the last write, over all keys.
    version: u32,
    before_writes: VecDeque<Interference>,
    failures: Vec<(Operation, HostError)>,
    metrics: Vec<Measured>,
    calls: Vec<String>,
    pub(crate) explained: Vec<String>,
}

/// What a policy asks of its host, where that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading all fields of a section, or the first value of one.
    ReadHeaders,
    /// Setting, adding or removing a field.
    WriteHeaders,
    /// Choosing the route again.
    ClearRouteCache,
    /// Reading a body.
    ReadBody,
    /// Writing a body.
    WriteBody,
    /// Reading an attribute of the proxy.
    ReadProperty,
    /// Setting filter state.
    SetFilterState,
    /// Reading a shared value.
    ReadShared,
    /// Writing a shared value.
    WriteShared,
    /// Sending an HTTP or gRPC call.
    Call,
    /// Drawing random bytes.
    Random,
    /// Defining a metric.
    DefineMetric,
}

/// What another worker does between a read and a write.
type Interference = Box<dyn FnOnce(&World)>;

#[derive(Debug)]
struct Measured {
    kind: MetricKind,
    name: String,
    value: i64,
    recorded: Vec<u64>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A proxy on 2026-01-01T00:00:00Z, with nothing in it; the instance of the filter is called `test`.
    pub fn new() -> Self {
        let state = State {
            now: START,
            random: Random::new(0),
            http: Cluster::default(),
            grpc: Cluster::default(),
            headers_stop_iteration: false,
            buffer_limit: 1 << 20,
            signatures: None,
            callouts: 0,
            fetches: Vec::new(),
            properties: BTreeMap::new(),
            environment: BTreeMap::new(),
            shared: BTreeMap::new(),
            version: 0,
            before_writes: VecDeque::new(),
            failures: Vec::new(),
            metrics: Vec::new(),
            calls: Vec::new(),
            explained: Vec::new(),
        };
        Self { instance: "test".into(), state: Rc::new(RefCell::new(state)) }
    }

    /// The same proxy, for another instance of the filter.
    #[must_use]
    pub fn instance(&self, name: &str) -> Self {
        Self { instance: name.into(), state: Rc::clone(&self.state) }
    }

    pub(crate) fn instance_name(&self) -> &str {
        &self.instance
    }

    /// Begins a conversation with an exchange that has all callbacks.
    pub fn begin<E: Exchange>(&self, exchange: E) -> Conversation<E> {
        self.begin_with(Phases::ALL, exchange)
    }

    /// Begins a conversation with an exchange that has these callbacks.
    ///
    /// # Panics
    /// No module can have these alone: [`Phases::check`].
    pub fn begin_with<E: Exchange>(&self, phases: Phases, exchange: E) -> Conversation<E> {
        if let Err(missing) = phases.check() {
            panic!("{missing}: {phases:?}");
        }
        Conversation::new(Memory::new(self.clone()), phases, exchange)
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.state().now
    }

    /// Moves the clock. A conversation gets the answers that are due with its next part; see
    /// [`Conversation::advance`]. What was fetched for no exchange in particular comes now.
    pub fn advance(&self, by: Duration) {
        self.advance_to(self.now().after(by));
    }

    /// Sets the clock back, as it may happen to a machine. Nothing that is due comes by that.
    pub fn turn_back(&self, by: Duration) {
        let mut state = self.state();
        let nanos = state.now.as_nanos().saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
        state.now = Timestamp::from_nanos(nanos);
    }

    /// Moves the clock to a time, never back.
    pub fn advance_to(&self, time: Timestamp) {
        {
            let mut state = self.state();
            state.now = state.now.max(time);
        }
        self.deliver_fetches();
    }

    /// Brings the answers that are due to those who listen for them.
    pub(crate) fn deliver_fetches(&self) {
        loop {
            let next = {
                let mut state = self.state();
                let now = state.now;
                let due = state.fetches.iter_mut().filter(|(fetch, _)| fetch.due <= now);
                let next = due.min_by_key(|(fetch, listener)| (listener.is_none(), fetch.due, fetch.id));
                next.and_then(|(fetch, listener)| Some((listener.take()?, fetch.clone())))
            };
            let Some((listener, fetch)) = next else { return };
            listener.answered(&mut Memory::outside(self.clone()), fetch.id, &fetch.answer);
        }
    }

    /// Whether somebody still listens for the answer.
    pub(crate) fn is_fetching(&self, id: CalloutId) -> bool {
        self.state().fetches.iter().any(|(fetch, listener)| fetch.id == id && listener.is_some())
    }

    pub(crate) fn fetch(&self, id: CalloutId) -> Option<Pending> {
        self.state().fetches.iter().map(|(fetch, _)| fetch).find(|fetch| fetch.id == id).cloned()
    }

    /// Begins other random numbers.
    pub fn seed(&self, seed: u64) {
        self.state().random = Random::new(seed);
    }

    /// Whether the filter is configured with `allow_on_headers_stop_iteration`: the body comes while the head is held.
    /// By default it does not, as in Envoy.
    pub fn allow_on_headers_stop_iteration(&self, allow: bool) {
        self.state().headers_stop_iteration = allow;
    }

    /// The most that the proxy keeps of a body, 1 MiB by default. Bytes.
    pub fn set_buffer_limit(&self, limit: usize) {
        self.state().buffer_limit = limit;
    }

    /// Lets the proxy check signatures, and say this of each; `None`, as it is by default: it has no crypto.
    pub fn check_signatures(&self, good: Option<bool>) {
        self.state().signatures = good;
    }

    /// Sets an attribute of the proxy.
    pub fn set_property(&self, path: &[&str], value: impl Into<Vec<u8>>) {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        self.state().properties.insert(path, value.into());
    }

    pub(crate) fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        self.state().properties.get(&path).cloned()
    }

    /// Sets an environment variable of the VMs that are made from now on.
    pub fn set_environment(&self, name: &str, value: impl Into<Vec<u8>>) {
        self.state().environment.insert(name.to_owned(), value.into());
    }

    /// The names of all shared values.
    pub fn shared_keys(&self) -> Vec<String> {
        self.state().shared.keys().cloned().collect()
    }

    /// A shared value.
    pub fn shared(&self, key: &str) -> Option<Vec<u8>> {
        self.shared_version(key).map(|shared| shared.value)
    }

    /// Writes a shared value, as another worker would.
    pub fn set_shared(&self, key: &str, value: impl Into<Vec<u8>>) {
        let mut state = self.state();
        state.version += 1;
        let shared = Shared { value: value.into(), version: Version(state.version) };
        state.shared.insert(key.to_owned(), shared);
    }

    /// Does something right before the next write of a shared value by a policy: another worker that comes between its
    /// read and its write. Each of several is done before one write, in order.
    pub fn before_next_write(&self, action: impl FnOnce(&Self) + 'static) {
        self.state().before_writes.push_back(Box::new(action));
    }

    /// Makes the next such operation of a policy fail. What is asked for several times fails so often, in order.
    pub fn fail_next(&self, operation: Operation, error: HostError) {
        self.state().failures.push((operation, error));
    }

    /// What policies have asked of their hosts since this was last called, in order: `first_header ResponseHeaders :status`,
    /// the method and what it is about. In Envoy each has its price.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    /// What policies have said of what they do, and why, since this was last called.
    pub fn take_explanations(&self) -> Vec<String> {
        std::mem::take(&mut self.state().explained)
    }

    pub(crate) fn note(&self, call: impl fmt::Display) {
        self.state().calls.push(call.to_string());
    }

    /// Fails where a test asked for it.
    pub(crate) fn attempt(&self, operation: Operation) -> Result<(), HostError> {
        let mut state = self.state();
        match state.failures.iter().position(|(failing, _)| *failing == operation) {
            Some(place) => Err(state.failures.remove(place).1),
            None => Ok(()),
        }
    }

    pub(crate) fn shared_version(&self, key: &str) -> Option<Shared> {
        self.state().shared.get(key).cloned()
    }

    /// As Envoy compares: a version of 0 is none, and none is asked for where the key is missing.
    pub(crate) fn write_shared(
        &self,
        key: &str,
        value: &[u8],
        expected: Option<Version>,
    ) -> Result<(), HostError> {
        let interfere = self.state().before_writes.pop_front();
        if let Some(interfere) = interfere {
            interfere(self);
        }
        let expected = expected.filter(|&version| version != Version(0));
        match (self.shared_version(key), expected) {
            (Some(shared), Some(expected)) if shared.version != expected => Err(HostError::Conflict),
            _ => {
                self.set_shared(key, value);
                Ok(())
            }
        }
    }

    /// What a counter or gauge shows.
    ///
    /// # Panics
    /// No policy has defined it.
    pub fn metric(&self, name: &str) -> i64 {
        self.measured(name).value
    }

    /// What was recorded in a histogram, in order.
    ///
    /// # Panics
    /// No policy has defined it.
    pub fn recorded(&self, name: &str) -> Vec<u64> {
        self.measured(name).recorded.clone()
    }

    fn measured(&self, name: &str) -> RefMut<'_, Measured> {
        RefMut::map(self.state(), |state| {
            let names: Vec<String> = state.metrics.iter().map(|metric| metric.name.clone()).collect();
            let found = state.metrics.iter_mut().find(|metric| metric.name == name);
            found.unwrap_or_else(|| panic!("no metric {name:?}, but {names:?}"))
        })
    }

    pub(crate) fn add(&self, metric: Metric, by: i64) {
        let mut state = self.state();
        let metric = state.defined(metric);
        // Envoy refuses what would not let a counter grow.
        if metric.kind == MetricKind::Gauge || by > 0 {
            metric.value += by;
        }
    }

    pub(crate) fn record(&self, metric: Metric, value: u64) {
        let mut state = self.state();
        let metric = state.defined(metric);
        match metric.kind {
            MetricKind::Gauge => metric.value = i64::try_from(value).unwrap_or(i64::MAX),
            MetricKind::Counter | MetricKind::Histogram => metric.recorded.push(value),
        }
    }

    /// Answers the HTTP calls to a cluster. A cluster that nothing answers for does not exist.
    pub fn on_http<P: Into<Planned>>(&self, cluster: &str, answer: impl FnMut(&SentHttp) -> P + 'static) {
        self.state().http.on(cluster, answer);
    }

    /// Answers the gRPC calls to a cluster. A cluster that nothing answers for does not exist.
    pub fn on_grpc<P: Into<Planned>>(&self, cluster: &str, answer: impl FnMut(&SentGrpc) -> P + 'static) {
        self.state().grpc.on(cluster, answer);
    }

    /// The HTTP calls that were sent, in order.
    pub fn http_calls(&self) -> Vec<SentHttp> {
        self.state().http.sent.clone()
    }

    /// The gRPC calls that were sent, in order.
    pub fn grpc_calls(&self) -> Vec<SentGrpc> {
        self.state().grpc.sent.clone()
    }

    pub(crate) fn next_callout(&self) -> CalloutId {
        let mut state = self.state();
        state.callouts += 1;
        CalloutId(state.callouts)
    }

    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }
}

impl State {
    fn defined(&mut self, metric: Metric) -> &mut Measured {
        let found = self.metrics.get_mut(metric.0 as usize);
        found.unwrap_or_else(|| panic!("{metric:?} was not defined in this world"))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("now", &self.now)
            .field("shared", &self.shared)
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}

impl Setup for World {
    fn instance(&self) -> &str {
        &self.instance
    }

    fn now(&mut self) -> Timestamp {
        Self::now(self)
    }

    fn environment(&self, name: &str) -> Option<Vec<u8>> {
        self.state().environment.get(name).cloned()
    }

    /// The same metric for the same name, so that workers share it.
    fn metric(&mut self, kind: MetricKind, name: &str) -> Result<Metric, HostError> {
        self.attempt(Operation::DefineMetric)?;
        let mut state = self.state();
        let known = state.metrics.iter().position(|metric| metric.kind == kind && metric.name == name);
        let place = known.unwrap_or_else(|| {
            let metric = Measured { kind, name: name.to_owned(), value: 0, recorded: Vec::new() };
            state.metrics.push(metric);
            state.metrics.len() - 1
        });
        Ok(Metric(place as u32))
    }

    fn add(&mut self, metric: Metric, by: i64) {
        Self::add(self, metric, by);
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError> {
        self.attempt(Operation::Random)?;
        self.state().random.fill(out);
        Ok(())
    }

    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError> {
        self.attempt(Operation::ReadShared)?;
        Ok(self.shared_version(key))
    }

    fn set_shared(&mut self, key: &str, value: &[u8]) -> Result<(), HostError> {
        self.attempt(Operation::WriteShared)?;
        self.write_shared(key, value, None)
    }
}
