//! One request to be answered: what templates, conditions and answers can know of it.

use std::borrow::Cow;
use std::cell::RefCell;

use meshgate_policy::condition::Condition;
use meshgate_policy::consumer;
use meshgate_policy::expression::Scope;
use meshgate_policy::expression::template::Template;
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::Headers;
use meshgate_policy::host::{Host, Timestamp};
use meshgate_policy::matching::{Input, Match, Truth};
use serde_json::Value;

use crate::Errors;
use crate::config::Included;
use crate::metrics::Event;
use crate::report;

/// The longest body that a template makes, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// The longest id, in bytes.
const MAX_ID: usize = 128;

/// One request to be answered.
pub struct Occasion<'a> {
    /// The head of the request.
    pub request: &'a RequestHead<'a>,
    response: Option<&'a Headers>,
    host: RefCell<&'a mut dyn Host>,
    /// What is configured.
    pub policy: &'a Errors,
    /// Now.
    pub now: Timestamp,
    /// Made for the first that asks.
    scope: Option<Scope>,
    consumer_known: bool,
}

impl<'a> Occasion<'a> {
    /// A request, and the response to it if there is one.
    pub fn new(
        request: &'a RequestHead<'a>,
        response: Option<&'a Headers>,
        host: &'a mut dyn Host,
        policy: &'a Errors,
    ) -> Self {
        let now = host.now();
        Self { request, response, host: RefCell::new(host), policy, now, scope: None, consumer_known: false }
    }

    /// The proxy.
    pub fn host(&mut self) -> &mut dyn Host {
        &mut **self.host.get_mut()
    }

    /// What the response has as its status.
    pub fn response_status(&self) -> Option<&'a [u8]> {
        self.response?.first(":status")
    }

    /// Counts an event.
    pub fn count(&mut self, event: Event) {
        let policy = self.policy;
        policy.metrics.count(self.host(), event);
    }

    /// What each answer says of the request: members, as far as they are known.
    pub fn members(&mut self) -> Vec<(Cow<'static, str>, Value)> {
        let policy = self.policy;
        let included = policy.include.iter().filter_map(|included| {
            let (name, value) = match included {
                Included::RequestId => ("request_id", self.request_id()?.to_owned()),
                Included::TraceId => ("trace_id", self.trace_id()?.to_owned()),
                Included::Timestamp => {
                    ("timestamp", String::from_utf8(self.render(&policy.timestamp, MAX_ID)?).ok()?)
                }
            };
            Some((Cow::Borrowed(name), Value::from(value)))
        });
        included.collect()
    }

    /// The id of the request: visible ASCII, not too long. It may come from the client.
    pub fn request_id(&self) -> Option<&'a str> {
        let id =
            std::str::from_utf8(self.request.headers.first(self.policy.request_id_header.as_str())?).ok()?;
        let fits = !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        fits.then_some(id)
    }

    /// The trace id of `traceparent` (W3C Trace Context, section 3.2): 32 digits, which are not all 0.
    pub fn trace_id(&self) -> Option<&'a str> {
        let parent = std::str::from_utf8(self.request.headers.first("traceparent")?).ok()?;
        let mut parts = parent.split('-');
        let (version, id) = (parts.next()?, parts.next()?);
        let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let fits = version.len() == 2 && hex(version) && version != "ff" && id.len() == 32 && hex(id);
        (fits && id.bytes().any(|byte| byte != b'0')).then_some(id)
    }

    /// All values of `Accept`, as one list (RFC 9110 section 5.3).
    pub fn accept(&self) -> Vec<u8> {
        self.request.headers.all("accept").collect::<Vec<_>>().join(&b", "[..])
    }

    /// Whether the client speaks gRPC, as Envoy tells it.
    pub fn is_grpc(&self) -> bool {
        is_grpc(self.request.headers)
    }

    /// Whether a `match` block for requests holds.
    pub fn matches(&self, entry: &Match) -> bool {
        entry.holds(&self.input(&|| self.roll()))
    }

    /// Whether it holds however the request is read.
    pub fn truth(&self, entry: &Match) -> Truth {
        entry.truth(&self.input(&|| self.roll()))
    }

    /// Whether a condition holds; one that has no answer does not. `entry` is the `match` block beside it, whose path template
    /// gives it `path`.
    pub fn holds(&mut self, condition: &Condition, entry: &Match) -> bool {
        self.consumer(condition.needs().consumer);
        self.capture(entry);
        condition.holds(self.scope()).unwrap_or(false)
    }

    /// Makes `path` what the path template of a block captures.
    pub fn capture(&mut self, entry: &Match) {
        let captures = entry.captures(self.request);
        self.scope_mut().set_captures(&captures);
    }

    /// Finds out who was authenticated, where that is asked.
    pub fn consumer(&mut self, asked: bool) {
        if asked && !self.consumer_known {
            self.consumer_known = true;
            if let Ok(Some(consumer)) = consumer::read(self.host()) {
                self.scope_mut().set_consumer(consumer.to_value());
            }
        }
    }

    /// What a template says; `None` where it has no result, which is counted.
    pub fn render(&mut self, template: &Template, limit: usize) -> Option<Vec<u8>> {
        if let Some(literal) = template.literal() {
            return Some(literal.as_bytes().to_vec());
        }
        let result = template.render_within(self.scope(), limit);
        self.settle(result)
    }

    /// As [`render`](Self::render), as a JSON value.
    pub fn value(&mut self, template: &Template, limit: usize) -> Option<Value> {
        if let Some(literal) = template.literal() {
            return Some(Value::from(literal));
        }
        let result = template.value_within(self.scope(), limit);
        serde_json::from_slice(&self.settle(result)?).ok()
    }

    /// As [`render`](Self::render), with a `body`.
    pub fn render_with(&mut self, template: &Template, body: &[u8]) -> Option<Vec<u8>> {
        if let Some(literal) = template.literal() {
            return Some(literal.as_bytes().to_vec());
        }
        let mut scope = self.scope().clone();
        scope.set_body(body);
        let result = template.render_within(&scope, MAX_BODY);
        self.settle(result)
    }

    fn settle<T, E: std::fmt::Display>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(result) => Some(result),
            Err(error) => {
                log::debug!("{}", report::escaped(&error.to_string()));
                self.count(Event::TemplateFailed);
                None
            }
        }
    }

    fn scope(&mut self) -> &Scope {
        self.scope_mut()
    }

    fn scope_mut(&mut self) -> &mut Scope {
        let Self { request, response, now, .. } = self;
        self.scope.get_or_insert_with(|| {
            let mut scope = Scope::new(request);
            scope.set_now(*now);
            if let Some(response) = response {
                scope.set_response(response);
            }
            scope
        })
    }

    fn input<'b>(&'b self, roll: &'b dyn Fn() -> u16) -> Input<'b> {
        Input { request: self.request, response: self.response, roll }
    }

    /// A number from 0 to 9,999, by chance. Without chance it is 0: as if all were meant.
    pub fn roll(&self) -> u16 {
        let mut bytes = [0; size_of::<u64>()];
        match self.host.try_borrow_mut().map(|mut host| host.random(&mut bytes)) {
            Ok(Ok(())) => u16::try_from(u64::from_le_bytes(bytes) % 10_000).unwrap_or(0),
            Ok(Err(_)) | Err(_) => 0,
        }
    }
}

/// Whether a request is one of gRPC, as Envoy tells it (`Grpc::Common::isGrpcRequestHeaders`).
pub fn is_grpc(request: &Headers) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let content_type = request.first("content-type").unwrap_or_default();
    content_type.strip_prefix(TYPE).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}
