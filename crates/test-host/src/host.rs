//! Memory as the host of one exchange.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{
    CalloutId, GrpcCall, HashFunction, Host, HostError, HttpCall, Listener, Map, Metric, Position, Shared,
    Side, Timestamp, Version,
};

use crate::callouts::{Pending, SentGrpc, SentHttp};
use crate::message::Fields;
use crate::world::{Operation, World};

/// Numbers of the Proxy-Wasm ABI for what Envoy refuses.
const NOT_FOUND: HostError = HostError::Status(1);
const BAD_ARGUMENT: HostError = HostError::Status(2);
const PARSE_FAILURE: HostError = HostError::Status(4);

/// What one exchange has at hand.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) world: World,
    pub(crate) request: AtHand,
    pub(crate) response: AtHand,
    pub(crate) filter_state: BTreeMap<String, Vec<u8>>,
    position: Position,
    pending: Vec<Pending>,
    /// The fetches of the world that it waits for.
    joined: Vec<CalloutId>,
}

/// What the proxy holds of a message.
#[derive(Debug, Default)]
pub(crate) struct AtHand {
    pub(crate) head: Section,
    /// `None` where there is no buffer at all: nothing can be read then, and nothing written.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) trailers: Section,
}

/// Fields that come, may change, and are passed on; the log still shows them.
#[derive(Debug, Default)]
pub(crate) enum Section {
    #[default]
    Missing,
    Here(Fields),
    Passed(Fields),
}

impl Section {
    /// Passes it on, once.
    pub(crate) fn pass(&mut self) -> Option<Fields> {
        match std::mem::take(self) {
            Self::Here(fields) => {
                *self = Self::Passed(fields.clone());
                Some(fields)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    pub(crate) const fn fields(&self) -> Option<&Fields> {
        match self {
            Self::Here(fields) | Self::Passed(fields) => Some(fields),
            Self::Missing => None,
        }
    }
}

impl Memory {
    pub(crate) const fn new(world: World) -> Self {
        Self {
            world,
            request: AtHand { head: Section::Missing, body: None, trailers: Section::Missing },
            response: AtHand { head: Section::Missing, body: None, trailers: Section::Missing },
            filter_state: BTreeMap::new(),
            position: Position::Configure,
            pending: Vec::new(),
            joined: Vec::new(),
        }
    }

    pub(crate) const fn at_hand(&mut self, side: Side) -> &mut AtHand {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// The host of nothing in particular, for what comes outside of exchanges.
    pub(crate) fn outside(world: World) -> Self {
        Self { position: Position::Between, ..Self::new(world) }
    }

    /// When the next callout ends.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let joined = self.joined.iter().filter_map(|id| Some(self.world.fetch(*id)?.due));
        self.pending.iter().map(|pending| pending.due).chain(joined).min()
    }

    /// Takes the callout that has ended first, if one has.
    pub(crate) fn take_ended(&mut self) -> Option<Pending> {
        let now = self.world.now();
        self.world.deliver_fetches();
        for id in std::mem::take(&mut self.joined) {
            match self.world.fetch(id) {
                Some(fetch) if fetch.due <= now => self.pending.push(fetch),
                _ => self.joined.push(id),
            }
        }
        let ended = self.pending.iter().enumerate().filter(|(_, pending)| pending.due <= now);
        let (place, _) = ended.min_by_key(|(_, pending)| (pending.due, pending.id))?;
        Some(self.pending.remove(place))
    }

    fn section(&mut self, map: Map) -> &mut Section {
        match map {
            Map::RequestHeaders => &mut self.request.head,
            Map::RequestTrailers => &mut self.request.trailers,
            Map::ResponseHeaders => &mut self.response.head,
            Map::ResponseTrailers => &mut self.response.trailers,
        }
    }

    /// A section to read. The log shows what was passed on, and no fields where there was no section.
    fn readable(&mut self, map: Map) -> Result<Fields, HostError> {
        self.position.check_read(map)?;
        self.world.attempt(Operation::ReadHeaders)?;
        let log = self.position == Position::Log;
        match self.section(map) {
            Section::Here(fields) => Ok(fields.clone()),
            section if log => Ok(section.fields().cloned().unwrap_or_default()),
            Section::Passed(_) | Section::Missing => Err(HostError::WrongPhase),
        }
    }

    /// Sends a call: when and how it ends.
    fn send_http(&self, call: &HttpCall<'_>) -> Result<Pending, HostError> {
        let now = self.world.now();
        let sent = SentHttp::new(call, now);
        let script = self.world.state().http.script(call.cluster).ok_or(BAD_ARGUMENT)?;
        if !sent.has_pseudo_headers() {
            return Err(BAD_ARGUMENT);
        }
        let planned = script.borrow_mut()(&sent);
        let id = self.world.next_callout();
        let pending = Pending::new(planned, id, now, call.deadline, call.max_answer)?;
        self.world.state().http.sent.push(sent);
        Ok(pending)
    }

    fn writable(&mut self, map: Map) -> Result<&mut Fields, HostError> {
        self.position.check_write(map)?;
        self.world.attempt(Operation::WriteHeaders)?;
        match self.section(map) {
            Section::Here(fields) => Ok(fields),
            Section::Passed(_) | Section::Missing => Err(HostError::WrongPhase),
        }
    }
}

impl Host for Memory {
    fn position(&self) -> Position {
        self.position
    }

    fn enter(&mut self, position: Position) {
        self.position = position;
    }

    fn now(&mut self) -> Timestamp {
        self.world.note("now");
        self.world.now()
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError> {
        self.world.note("random");
        self.world.attempt(Operation::Random)?;
        self.world.state().random.fill(out);
        Ok(())
    }

    fn headers(&mut self, map: Map) -> Result<Headers, HostError> {
        self.world.note(format_args!("headers {map:?}"));
        self.readable(map).map(|fields| fields.to_headers())
    }

    fn first_header(&mut self, map: Map, name: &HeaderName) -> Result<Option<Vec<u8>>, HostError> {
        self.world.note(format_args!("first_header {map:?} {}", name.as_str()));
        let fields = self.readable(map)?;
        let value = fields.all(name.as_str()).next();
        Ok(value.map(<[u8]>::to_vec))
    }

    fn set_header(&mut self, map: Map, name: &HeaderName, value: &HeaderValue<'_>) -> Result<(), HostError> {
        self.world.note(format_args!("set_header {map:?} {}", name.as_str()));
        self.writable(map)?.set(name.as_str(), value.as_bytes());
        Ok(())
    }

    fn add_header(&mut self, map: Map, name: &HeaderName, value: &HeaderValue<'_>) -> Result<(), HostError> {
        self.world.note(format_args!("add_header {map:?} {}", name.as_str()));
        self.writable(map)?.add(name.as_str(), value.as_bytes());
        Ok(())
    }

    fn remove_header(&mut self, map: Map, name: &HeaderName) -> Result<(), HostError> {
        self.world.note(format_args!("remove_header {map:?} {}", name.as_str()));
        self.writable(map)?.remove(name.as_str());
        Ok(())
    }

    fn clear_route_cache(&mut self) -> Result<(), HostError> {
        self.world.note("clear_route_cache");
        self.world.attempt(Operation::ClearRouteCache)
    }

    fn body(&mut self, side: Side, start: usize, limit: usize) -> Result<Vec<u8>, HostError> {
        self.world.note(format_args!("body {side:?}"));
        self.position.check_body(side)?;
        self.world.attempt(Operation::ReadBody)?;
        let bytes = self.at_hand(side).body.as_deref().unwrap_or_default();
        let rest = bytes.get(start..).unwrap_or_default();
        Ok(rest.iter().copied().take(limit).collect())
    }

    fn set_body(&mut self, side: Side, bytes: &[u8]) -> Result<(), HostError> {
        self.world.note(format_args!("set_body {side:?}"));
        self.position.check_body(side)?;
        self.world.attempt(Operation::WriteBody)?;
        *self.at_hand(side).body.as_mut().ok_or(NOT_FOUND)? = bytes.to_vec();
        Ok(())
    }

    fn property(&mut self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        self.world.note(format_args!("property {}", path.join(".")));
        self.world.attempt(Operation::ReadProperty)?;
        Ok(self.world.property(path))
    }

    fn set_filter_state(&mut self, key: &str, value: &[u8]) -> Result<(), HostError> {
        self.world.note(format_args!("set_filter_state {key}"));
        self.world.attempt(Operation::SetFilterState)?;
        self.filter_state.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError> {
        self.world.note(format_args!("shared {key}"));
        self.world.attempt(Operation::ReadShared)?;
        Ok(self.world.shared_version(key))
    }

    fn set_shared(&mut self, key: &str, value: &[u8], expected: Option<Version>) -> Result<(), HostError> {
        self.world.note(format_args!("set_shared {key}"));
        self.world.attempt(Operation::WriteShared)?;
        self.world.write_shared(key, value, expected)
    }

    fn http_call(&mut self, call: &HttpCall<'_>) -> Result<CalloutId, HostError> {
        self.world.note(format_args!("http_call {}", call.cluster));
        self.world.attempt(Operation::Call)?;
        let pending = self.send_http(call)?;
        let id = pending.id;
        self.pending.push(pending);
        Ok(id)
    }

    fn fetch(&mut self, call: &HttpCall<'_>, listener: Rc<dyn Listener>) -> Result<CalloutId, HostError> {
        self.world.note(format_args!("fetch {}", call.cluster));
        self.world.attempt(Operation::Call)?;
        let pending = self.send_http(call)?;
        let id = pending.id;
        self.world.state().fetches.push((pending, Some(listener)));
        Ok(id)
    }

    fn join(&mut self, id: CalloutId) -> Result<(), HostError> {
        self.world.note("join");
        if !self.world.is_fetching(id) {
            return Err(HostError::NothingToWaitFor);
        }
        self.joined.push(id);
        Ok(())
    }

    fn grpc_call(&mut self, call: &GrpcCall<'_>) -> Result<CalloutId, HostError> {
        self.world.note(format_args!("grpc_call {}", call.cluster));
        self.world.attempt(Operation::Call)?;
        let now = self.world.now();
        let sent = SentGrpc::new(call, now);
        let script = self.world.state().grpc.script(call.cluster).ok_or(PARSE_FAILURE)?;
        let planned = script.borrow_mut()(&sent);
        let id = self.world.next_callout();
        self.pending.push(Pending::new(planned, id, now, call.deadline, call.max_answer)?);
        self.world.state().grpc.sent.push(sent);
        Ok(id)
    }

    fn callouts(&self) -> usize {
        self.pending.len() + self.joined.len()
    }

    fn add(&mut self, metric: Metric, by: i64) {
        self.world.note("add");
        self.world.add(metric, by);
    }

    fn record(&mut self, metric: Metric, value: u64) {
        self.world.note("record");
        self.world.record(metric, value);
    }

    fn explain(&mut self, what: fmt::Arguments<'_>) {
        self.world.state().explained.push(what.to_string());
    }

    fn detail(&mut self, what: fmt::Arguments<'_>) {
        self.explain(what);
    }

    fn wants_detail(&self) -> bool {
        true
    }

    /// By default a proxy without crypto: policies fall back to their own.
    fn verify_signature(
        &mut self,
        _hash: HashFunction,
        _public_key: &[u8],
        _signature: &[u8],
        _message: &[u8],
    ) -> Result<bool, HostError> {
        self.world.note("verify_signature");
        self.world.state().signatures.ok_or(HostError::Unsupported)
    }
}
