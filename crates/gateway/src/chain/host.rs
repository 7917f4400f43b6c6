//! The host that a stage sees.

use std::fmt;
use std::rc::Rc;

use meshgate_policy::consumer::Consumer;
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{
    CalloutId, GrpcCall, HashFunction, Host, HostError, HttpCall, Listener, Map, Metric, Position, Shared,
    Side, Timestamp, Version,
};

use super::link::Data;
use super::{Common, Name};
use crate::stage::own;

/// What Envoy says where there is no buffer to write into.
const NO_BUFFER: HostError = HostError::Status(1);

/// The host as one stage sees it: what messages are is what the stages in front of it have made of them.
pub(super) struct StageHost<'a> {
    pub(super) real: &'a mut dyn Host,
    pub(super) common: &'a mut Common,
    /// Of the stage.
    pub(super) index: usize,
    pub(super) position: &'a mut Position,
    pub(super) request: &'a mut Option<Data>,
    pub(super) response: &'a mut Option<Data>,
}

impl StageHost<'_> {
    fn data(&mut self, side: Side) -> Result<(&mut dyn Host, &mut Option<Data>), HostError> {
        self.position.check_body(side)?;
        let data = match side {
            Side::Request => &mut *self.request,
            Side::Response => &mut *self.response,
        };
        Ok((&mut *self.real, data))
    }

    fn asked(&mut self, id: CalloutId) {
        self.common.callouts.push((id, self.index));
    }
}

impl Host for StageHost<'_> {
    fn position(&self) -> Position {
        *self.position
    }

    fn enter(&mut self, position: Position) {
        *self.position = position;
    }

    fn now(&mut self) -> Timestamp {
        self.real.now()
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError> {
        self.real.random(out)
    }

    fn headers(&mut self, map: Map) -> Result<Headers, HostError> {
        self.position.check_read(map)?;
        if *self.position == Position::Log {
            return self.real.headers(map);
        }
        self.common.section(map).read(self.real, map)
    }

    fn first_header(&mut self, map: Map, name: &HeaderName) -> Result<Option<Vec<u8>>, HostError> {
        self.position.check_read(map)?;
        if *self.position == Position::Log {
            return self.real.first_header(map, name);
        }
        self.common.section(map).first(self.real, map, name)
    }

    fn set_header(&mut self, map: Map, name: &HeaderName, value: &HeaderValue<'_>) -> Result<(), HostError> {
        self.position.check_write(map)?;
        self.common.section(map).set(name, value);
        Ok(())
    }

    fn add_header(&mut self, map: Map, name: &HeaderName, value: &HeaderValue<'_>) -> Result<(), HostError> {
        self.position.check_write(map)?;
        self.common.section(map).add(name, value);
        Ok(())
    }

    fn remove_header(&mut self, map: Map, name: &HeaderName) -> Result<(), HostError> {
        self.position.check_write(map)?;
        self.common.section(map).remove(name);
        Ok(())
    }

    fn clear_route_cache(&mut self) -> Result<(), HostError> {
        self.real.clear_route_cache()
    }

    fn body(&mut self, side: Side, start: usize, limit: usize) -> Result<Vec<u8>, HostError> {
        let (real, data) = self.data(side)?;
        let Some(data) = data else { return Ok(Vec::new()) };
        let bytes = data.load(real, side)?;
        let rest = bytes.get(start..).unwrap_or_default();
        Ok(rest.get(..limit).unwrap_or(rest).to_vec())
    }

    fn set_body(&mut self, side: Side, bytes: &[u8]) -> Result<(), HostError> {
        let (_, data) = self.data(side)?;
        *data.as_mut().ok_or(NO_BUFFER)? = Data::of(bytes.to_vec());
        Ok(())
    }

    /// Of an answer that a stage gave, and that the proxy does not know yet, it is known why it was given.
    fn property(&mut self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        match (path, &self.common.local) {
            (["response", "code_details"], Some(details)) => Ok(Some(details.as_bytes().to_vec())),
            (["response", "flags"], Some(_)) => Ok(Some(0_u64.to_le_bytes().to_vec())),
            (["response", ..], Some(_)) => Ok(None),
            _ => self.real.property(path),
        }
    }

    fn set_filter_state(&mut self, key: &str, value: &[u8]) -> Result<(), HostError> {
        match self.common.names.get(self.index) {
            Some(Name { name, is_own: true }) => self.real.set_filter_state(&own(name, key), value),
            _ => self.real.set_filter_state(key, value),
        }
    }

    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError> {
        self.real.shared(key)
    }

    fn set_shared(&mut self, key: &str, value: &[u8], expected: Option<Version>) -> Result<(), HostError> {
        self.real.set_shared(key, value, expected)
    }

    fn http_call(&mut self, call: &HttpCall<'_>) -> Result<CalloutId, HostError> {
        let id = self.real.http_call(call)?;
        self.asked(id);
        Ok(id)
    }

    fn fetch(&mut self, call: &HttpCall<'_>, listener: Rc<dyn Listener>) -> Result<CalloutId, HostError> {
        self.real.fetch(call, listener)
    }

    fn join(&mut self, id: CalloutId) -> Result<(), HostError> {
        self.real.join(id)?;
        self.asked(id);
        Ok(())
    }

    fn grpc_call(&mut self, call: &GrpcCall<'_>) -> Result<CalloutId, HostError> {
        let id = self.real.grpc_call(call)?;
        self.asked(id);
        Ok(id)
    }

    fn callouts(&self) -> usize {
        self.common.callouts.iter().filter(|(_, stage)| *stage == self.index).count()
    }

    fn add(&mut self, metric: Metric, by: i64) {
        self.real.add(metric, by);
    }

    fn record(&mut self, metric: Metric, value: u64) {
        self.real.record(metric, value);
    }

    fn hand_on(&mut self, who: &dyn Fn() -> Consumer) {
        if self.common.shares_consumer {
            self.common.consumer = Some(who());
        }
    }

    fn handed_on(&self) -> Option<Consumer> {
        self.common.consumer.clone()
    }

    fn explain(&mut self, what: fmt::Arguments<'_>) {
        self.common.explain(self.real, self.index, what);
    }

    fn detail(&mut self, what: fmt::Arguments<'_>) {
        self.real.detail(format_args!("{}: {what}", self.common.name(self.index)));
    }

    fn wants_detail(&self) -> bool {
        self.real.wants_detail()
    }

    fn verify_signature(
        &mut self,
        hash: HashFunction,
        public_key: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Result<bool, HostError> {
        self.real.verify_signature(hash, public_key, signature, message)
    }
}
