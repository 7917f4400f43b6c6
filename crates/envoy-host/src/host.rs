//! Envoy as the host of one exchange.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{
    CalloutId, GrpcCall, HashFunction, Host, HostError, HttpCall, Listener, Map, Metric, Position, Shared,
    Side, Timestamp, Version,
};

use crate::abi::{self, Buffer, HeaderMap};
use crate::callouts::{Callouts, Kind, Pending};
use crate::protobuf;

/// The host of one exchange: calls Envoy, and checks first that it may.
#[derive(Debug)]
pub(crate) struct EnvoyHost {
    /// The exchange's context in Envoy.
    context: u32,
    position: Position,
    callouts: Rc<Callouts>,
}

impl EnvoyHost {
    pub(crate) fn new(context: u32, callouts: Rc<Callouts>) -> Self {
        Self { context, position: Position::Configure, callouts }
    }

    /// The host of nothing in particular, for what comes outside of exchanges.
    pub(crate) fn outside(callouts: Rc<Callouts>) -> Self {
        Self { context: 0, position: Position::Between, callouts }
    }

    fn sent(&self, kind: Kind, token: u32, deadline: Duration, max_answer: usize) -> CalloutId {
        let deadline = Timestamp::from_nanos(abi::now()).after(deadline);
        let pending = Pending { contexts: vec![self.context], listener: None, deadline, max_answer };
        self.callouts.insert((kind, token), pending);
        CalloutId(token)
    }
}

const fn header_map(map: Map) -> HeaderMap {
    match map {
        Map::RequestHeaders => HeaderMap::RequestHeaders,
        Map::RequestTrailers => HeaderMap::RequestTrailers,
        Map::ResponseHeaders => HeaderMap::ResponseHeaders,
        Map::ResponseTrailers => HeaderMap::ResponseTrailers,
    }
}

const fn body_buffer(side: Side) -> Buffer {
    match side {
        Side::Request => Buffer::RequestBody,
        Side::Response => Buffer::ResponseBody,
    }
}

/// Envoy takes whole milliseconds, and 0 for none at all.
fn milliseconds(deadline: Duration) -> u32 {
    u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX).clamp(1, i32::MAX.unsigned_abs())
}

impl Host for EnvoyHost {
    fn position(&self) -> Position {
        self.position
    }

    fn enter(&mut self, position: Position) {
        self.position = position;
    }

    fn now(&mut self) -> Timestamp {
        Timestamp::from_nanos(abi::now())
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError> {
        random(out)
    }

    fn headers(&mut self, map: Map) -> Result<Headers, HostError> {
        self.position.check_read(map)?;
        Headers::from_wire(abi::header_pairs(header_map(map))?).map_err(|_| HostError::Malformed)
    }

    fn first_header(&mut self, map: Map, name: &HeaderName) -> Result<Option<Vec<u8>>, HostError> {
        self.position.check_read(map)?;
        abi::header(header_map(map), name.as_str())
    }

    fn set_header(&mut self, map: Map, name: &HeaderName, value: &HeaderValue<'_>) -> Result<(), HostError> {
        self.position.check_write(map)?;
        abi::replace_header(header_map(map), name.as_str(), value.as_bytes())
    }

    fn add_header(&mut self, map: Map, name: &HeaderName, value: &HeaderValue<'_>) -> Result<(), HostError> {
        self.position.check_write(map)?;
        abi::add_header(header_map(map), name.as_str(), value.as_bytes())
    }

    fn remove_header(&mut self, map: Map, name: &HeaderName) -> Result<(), HostError> {
        self.position.check_write(map)?;
        abi::remove_header(header_map(map), name.as_str())
    }

    fn clear_route_cache(&mut self) -> Result<(), HostError> {
        abi::foreign_function("clear_route_cache", b"")?.map(drop).ok_or(HostError::Unsupported)
    }

    fn body(&mut self, side: Side, start: usize, limit: usize) -> Result<Vec<u8>, HostError> {
        self.position.check_body(side)?;
        abi::buffer(body_buffer(side), start, limit)
    }

    fn set_body(&mut self, side: Side, bytes: &[u8]) -> Result<(), HostError> {
        self.position.check_body(side)?;
        abi::set_buffer(body_buffer(side), bytes)
    }

    fn property(&mut self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        abi::property(path.join("\0").as_bytes())
    }

    fn set_filter_state(&mut self, key: &str, value: &[u8]) -> Result<(), HostError> {
        abi::set_property(key.as_bytes(), value)
    }

    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError> {
        shared(key)
    }

    fn set_shared(&mut self, key: &str, value: &[u8], expected: Option<Version>) -> Result<(), HostError> {
        abi::set_shared_data(key, value, expected.map_or(0, |version| version.0))
    }

    fn http_call(&mut self, call: &HttpCall<'_>) -> Result<CalloutId, HostError> {
        let timeout = milliseconds(call.deadline);
        let token = abi::http_call(call.cluster, call.headers.as_wire(), call.body, timeout)?;
        Ok(self.sent(Kind::Http, token, call.deadline, call.max_answer))
    }

    fn fetch(&mut self, call: &HttpCall<'_>, listener: Rc<dyn Listener>) -> Result<CalloutId, HostError> {
        let timeout = milliseconds(call.deadline);
        let token = abi::http_call(call.cluster, call.headers.as_wire(), call.body, timeout)?;
        let deadline = Timestamp::from_nanos(abi::now()).after(call.deadline);
        let pending =
            Pending { contexts: Vec::new(), listener: Some(listener), deadline, max_answer: call.max_answer };
        self.callouts.insert((Kind::Http, token), pending);
        Ok(CalloutId(token))
    }

    fn join(&mut self, id: CalloutId) -> Result<(), HostError> {
        let joined = self.callouts.join((Kind::Http, id.0), self.context);
        joined.then_some(()).ok_or(HostError::NothingToWaitFor)
    }

    fn grpc_call(&mut self, call: &GrpcCall<'_>) -> Result<CalloutId, HostError> {
        let token = abi::grpc_call(
            &protobuf::grpc_service(call.cluster),
            call.service,
            call.method,
            call.metadata.as_wire(),
            call.message,
            milliseconds(call.deadline),
        )?;
        Ok(self.sent(Kind::Grpc, token, call.deadline, call.max_answer))
    }

    fn callouts(&self) -> usize {
        self.callouts.of(self.context)
    }

    fn add(&mut self, metric: Metric, by: i64) {
        add(metric, by);
    }

    fn record(&mut self, metric: Metric, value: u64) {
        if let Err(error) = abi::record_metric(metric.0, value) {
            log::debug!("metric {}: {error}", metric.0);
        }
    }

    fn explain(&mut self, what: fmt::Arguments<'_>) {
        log::trace!("explain: {what}");
    }

    fn detail(&mut self, what: fmt::Arguments<'_>) {
        log::trace!("explain: {what}");
    }

    fn wants_detail(&self) -> bool {
        log::log_enabled!(log::Level::Trace)
    }

    /// Envoy's foreign function `verify_signature`: a protobuf in, a protobuf out
    /// (`source/extensions/common/wasm/ext/verify_signature.proto`).
    fn verify_signature(
        &mut self,
        hash: HashFunction,
        public_key: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Result<bool, HostError> {
        let hash = match hash {
            HashFunction::Sha256 => "sha256",
            HashFunction::Sha384 => "sha384",
            HashFunction::Sha512 => "sha512",
        };
        let mut arguments = Vec::with_capacity(
            public_key.len().saturating_add(signature.len()).saturating_add(message.len()).saturating_add(64),
        );
        protobuf::field(&mut arguments, 1, hash.as_bytes());
        protobuf::field(&mut arguments, 2, public_key);
        protobuf::field(&mut arguments, 3, signature);
        protobuf::field(&mut arguments, 4, message);
        let result = abi::foreign_function("verify_signature", &arguments)?.ok_or(HostError::Unsupported)?;
        // `bool result = 1`, left out when false.
        Ok(result.starts_with(&[0x08, 0x01]))
    }
}

pub(crate) fn random(out: &mut [u8]) -> Result<(), HostError> {
    getrandom::fill(out).map_err(|_| HostError::Unsupported)
}

pub(crate) fn add(metric: Metric, by: i64) {
    if let Err(error) = abi::increment_metric(metric.0, by) {
        log::debug!("metric {}: {error}", metric.0);
    }
}

pub(crate) fn shared(key: &str) -> Result<Option<Shared>, HostError> {
    let value = abi::shared_data(key)?;
    Ok(value.map(|(value, version)| Shared { value, version: Version(version) }))
}
