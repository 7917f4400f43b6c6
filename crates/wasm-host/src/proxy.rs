//! A chain of plugins, and requests through it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::answers::{Call, CallAnswer, Failure, Upstream};
use crate::chain::{Chain, Run};
use crate::error::Error;
use crate::exchange::{Exchange, Outcome};
use crate::guest::{Guest, ROOT, Vm};
use crate::message::{Fields, Received, Request, Response, Side};
use crate::module::Module;
use crate::reply::LocalReply;
use crate::stream::{Facts, Filter, Message, Source, Stream};
use crate::world::{Brought, Event, LogLevel, World, nanos};

/// How long an exchange may wait for callouts, by the proxy's clock.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often a timer rings at most while the clock is moved on.
const MOST_TICKS: u64 = 10_000;

/// A module with its configuration: what stands in a chain.
#[derive(Clone)]
pub struct Plugin {
    /// The compiled module.
    pub module: Module,
    /// Its name in the proxy.
    pub name: String,
    /// Plugins with one id share their shared data. Empty, as it is by default, is an id too.
    pub vm_id: String,
    /// Its configuration document.
    pub configuration: Vec<u8>,
    /// The variables of its VM.
    pub environment: Vec<(String, String)>,
    /// `allow_on_headers_stop_iteration`
    pub holds_headers: bool,
}

/// The configuration and the variables may be secrets.
impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a proxy is.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The time at which it starts, since the epoch.
    pub start: Duration,
    /// What random bytes begin with.
    pub seed: u64,
    /// From which level on logs are kept.
    pub log_level: LogLevel,
    /// How much of a body is kept for a filter that wants it whole: `per_connection_buffer_limit_bytes`.
    pub buffer_limit: usize,
}

impl Default for Options {
    /// The beginning of 2026, `info`, and Envoy's 1 MiB.
    fn default() -> Self {
        let start = Duration::from_secs(1_767_225_600);
        Self { start, seed: 1, log_level: LogLevel::Info, buffer_limit: 1024 * 1024 }
    }
}

/// A proxy: a chain of plugins with their own VMs, and the world that they share.
pub struct Proxy {
    chain: Chain,
    started: Vec<Event>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("plugins", &self.chain.vms.len()).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts the plugins.
    ///
    /// # Errors
    /// [`Error::Refused`] if one does not take its configuration.
    pub fn start(plugins: &[Plugin], options: &Options) -> Result<Self, Error> {
        let world = World::new(nanos(options.start), options.seed, options.log_level);
        let world = Rc::new(RefCell::new(world));
        let mut vms = Vec::new();
        for (place, plugin) in plugins.iter().enumerate() {
            let guest = Guest::new(
                Rc::clone(&world),
                place,
                (plugin.name.clone(), plugin.vm_id.clone()),
                plugin.configuration.clone(),
                plugin.environment.clone(),
            );
            vms.push(Vm::start(&plugin.module, guest)?);
        }
        let started = std::mem::take(&mut world.borrow_mut().events);
        let hold_headers = plugins.iter().map(|plugin| plugin.holds_headers).collect();
        let buffer_limit = options.buffer_limit;
        Ok(Self { chain: Chain { vms, hold_headers, world, buffer_limit, run: Run::default() }, started })
    }

    /// What the plugins did while they started.
    pub fn started(&self) -> &[Event] {
        &self.started
    }

    /// From now on callouts are answered by this.
    pub fn answer_calls(&mut self, answering: impl FnMut(&Call) -> CallAnswer + 'static) {
        self.chain.world.borrow_mut().answering = Box::new(answering);
    }

    /// The time, since the epoch.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.chain.world.borrow().now)
    }

    /// The value of each metric.
    pub fn metrics(&self) -> BTreeMap<String, i64> {
        let world = self.chain.world.borrow();
        world.metrics.iter().map(|metric| (metric.name.clone(), metric.value)).collect()
    }

    /// Moves the clock on; what is due on the way happens.
    ///
    /// # Errors
    /// As [`Proxy::exchange`].
    pub fn advance(&mut self, by: Duration) -> Result<(), Error> {
        let until = {
            let mut world = self.chain.world.borrow_mut();
            let until = world.now.saturating_add(nanos(by));
            for (period, next) in world.timers.values_mut() {
                let first = until.saturating_sub(period.saturating_mul(MOST_TICKS));
                *next = (*next).max(first);
            }
            until
        };
        while self.next(Some(until))? {}
        self.chain.world.borrow_mut().now = until;
        Ok(())
    }

    /// Takes a request through the chain.
    ///
    /// # Errors
    /// A plugin breaks off, asks for what nobody answers, or hangs. The proxy is of no use any more then.
    pub fn exchange(&mut self, request: &Request, mut upstream: Upstream<'_>) -> Result<Exchange, Error> {
        let fuel: Vec<u64> = self.chain.vms.iter().map(|vm| vm.fuel).collect();
        let started = self.begin(request);
        self.send(request, &upstream)?;
        let patience = started.saturating_add(nanos(PATIENCE));
        while !self.chain.run.over {
            if self.chain.run.reply.is_some() {
                self.chain.send_reply()?;
            } else if self.is_routed() && !self.is_answered() {
                self.answer(request, &mut upstream)?;
            } else if !self.next(Some(patience))? {
                return Err(Error::Hangs { plugins: self.chain.holders().join(" and ") });
            }
        }
        self.chain.finish()?;
        Ok(self.end(started, &fuel))
    }

    fn begin(&mut self, request: &Request) -> u64 {
        let places = self.chain.vms.len().saturating_add(1);
        self.chain.run =
            Run { request_at: vec![None; places], response_at: vec![None; places], ..Run::default() };
        let mut world = self.chain.world.borrow_mut();
        let head = request.head(|| world.uuid());
        let facts = Facts {
            from: request.from,
            route: request.route.clone(),
            started: world.now,
            details: String::new(),
            flags: 0,
            filter_state: BTreeMap::new(),
        };
        let filters = self.chain.vms.iter().map(|_| Filter::default()).collect();
        let message = Message { head: Some(head), streaming: true, ..Message::default() };
        let response = Message { streaming: true, ..Message::default() };
        world.stream = Some(Stream { request: message, response, filters, facts });
        world.events.clear();
        world.now
    }

    /// The request arrives, part by part.
    fn send(&mut self, request: &Request, upstream: &Upstream<'_>) -> Result<(), Error> {
        let only_head = request.is_head_only();
        self.chain.message(Side::Request, |message| message.complete = only_head);
        self.chain.head(Side::Request, 0, only_head)?;
        let is_routed = self.chain.run.request_at.last().is_some_and(Option::is_some);
        match upstream {
            // The router knows it before it has a body.
            Upstream::Fails(failure) if failure.is_known_at_once() && is_routed => self.fail(*failure),
            _ if only_head || self.chain.aborted(Side::Request) => {}
            _ => self.body(Side::Request, &request.body, &request.trailers)?,
        }
        Ok(())
    }

    /// A body arrives, and trailers.
    fn body(&mut self, side: Side, parts: &[Vec<u8>], trailers: &Fields) -> Result<(), Error> {
        let ends_with_data = trailers.is_empty();
        let parts: Vec<&[u8]> = match parts {
            [] if ends_with_data => vec![b""],
            parts => parts.iter().map(Vec::as_slice).collect(),
        };
        let last = parts.len().saturating_sub(1);
        for (index, part) in parts.iter().enumerate() {
            let end = ends_with_data && index == last;
            self.chain.message(side, |message| {
                message.size = message.size.saturating_add(part.len());
                (message.fresh, message.complete) = (part.to_vec(), end);
            });
            self.chain.data(side, 0, Source::Fresh, end)?;
            if self.chain.aborted(side) || self.chain.run.reply.is_some() {
                return Ok(());
            }
        }
        if !ends_with_data {
            self.chain.message(side, |message| {
                (message.trailers, message.complete) = (Some(trailers.clone()), true);
            });
            self.chain.trailers(side, 0)?;
        }
        Ok(())
    }

    /// Whether the router has all of the request.
    fn is_routed(&self) -> bool {
        self.chain.run.request_at.last().is_some_and(|at| at.as_ref().is_some_and(|request| request.complete))
    }

    fn is_answered(&self) -> bool {
        self.chain.message(Side::Response, |message| message.head.is_some())
    }

    fn answer(&mut self, request: &Request, upstream: &mut Upstream<'_>) -> Result<(), Error> {
        let received = self.chain.run.request_at.last().cloned().flatten().unwrap_or_default();
        let response = match upstream {
            Upstream::Answers(answers) => answers(&received),
            Upstream::Fails(failure) => {
                self.fail(*failure);
                return Ok(());
            }
        };
        let is_head = received.pseudo(":method") == "HEAD" || request.method == "HEAD";
        let only_head = response.is_head_only(is_head);
        if let Some(stream) = self.chain.world.borrow_mut().stream.as_mut() {
            stream.facts.details = "via_upstream".to_owned();
            stream.response.head = Some(response.head(is_head));
            stream.response.complete = only_head;
        }
        self.chain.head(Side::Response, 0, only_head)?;
        if !only_head && !self.chain.aborted(Side::Response) {
            self.body(Side::Response, &response.body, &response.trailers)?;
        }
        Ok(())
    }

    fn fail(&mut self, failure: Failure) {
        let of_envoy = failure.reply();
        let mut reply = LocalReply::new(of_envoy.status, of_envoy.details, of_envoy.body);
        reply.flags = of_envoy.flags;
        reply.headers = of_envoy.headers.iter().map(|(name, value)| (*name, *value)).collect();
        // Of these two alone the upstream has heard.
        if !matches!(failure, Failure::Reset | Failure::Timeout)
            && let Some(upstream) = self.chain.run.request_at.last_mut()
        {
            *upstream = None;
        }
        self.chain.message(Side::Request, |message| message.aborted = true);
        self.chain.run.reply = Some(reply);
    }

    /// Lets the next thing happen that is due; `false`: nothing is, until then.
    fn next(&mut self, until: Option<u64>) -> Result<bool, Error> {
        let (due, timer) = {
            let world = self.chain.world.borrow();
            let due = world.due.iter().enumerate().min_by_key(|(index, due)| (due.at, *index));
            let timers = world.timers.iter().filter(|(_, (period, _))| *period > 0);
            let timer = timers.min_by_key(|(plugin, (_, next))| (*next, **plugin));
            (due.map(|(index, due)| (due.at, index)), timer.map(|(plugin, (_, next))| (*next, *plugin)))
        };
        let in_time = |at: u64| until.is_none_or(|until| at <= until);
        match (due, timer) {
            (Some((at, index)), timer) if timer.is_none_or(|(next, _)| at <= next) && in_time(at) => {
                self.bring(index)?;
            }
            (_, Some((at, plugin))) if in_time(at) => self.tick(plugin, at)?,
            _ => return Ok(false),
        }
        self.chain.act(None)?;
        Ok(true)
    }

    fn bring(&mut self, index: usize) -> Result<(), Error> {
        let due = {
            let mut world = self.chain.world.borrow_mut();
            if index >= world.due.len() {
                return Ok(());
            }
            let due = world.due.remove(index);
            world.now = world.now.max(due.at);
            due
        };
        let Some(vm) = self.chain.vms.get_mut(due.plugin) else { return Ok(()) };
        vm.about(ROOT);
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        match due.brought {
            Brought::Http(response) => {
                // A reset has no fields at all.
                let fields =
                    response.as_ref().map_or(0, |response| size(response.headers.len()).saturating_add(1));
                let body = response.as_ref().map_or(0, |response| size(response.whole_body().len()));
                self.chain.world.borrow_mut().call_response = response;
                vm.call::<_, ()>("proxy_on_http_call_response", (ROOT, due.token, fields, body, 0_u32))?;
                self.chain.world.borrow_mut().call_response = None;
            }
            Brought::Grpc(message) => {
                let body = size(message.len());
                self.chain.world.borrow_mut().grpc_message = Some(message);
                vm.call::<_, ()>("proxy_on_grpc_receive", (ROOT, due.token, body))?;
                self.chain.world.borrow_mut().grpc_message = None;
            }
            Brought::GrpcStatus(status) => {
                vm.call::<_, ()>("proxy_on_grpc_close", (ROOT, due.token, status))?;
            }
        }
        Ok(())
    }

    fn tick(&mut self, plugin: usize, at: u64) -> Result<(), Error> {
        {
            let mut world = self.chain.world.borrow_mut();
            world.now = world.now.max(at);
            if let Some((period, next)) = world.timers.get_mut(&plugin) {
                *next = at.saturating_add(*period);
            }
        }
        let Some(vm) = self.chain.vms.get_mut(plugin) else { return Ok(()) };
        vm.about(ROOT);
        vm.call::<u32, ()>("proxy_on_tick", ROOT).map(drop)
    }

    fn end(&mut self, started: u64, fuel: &[u64]) -> Exchange {
        let run = std::mem::take(&mut self.chain.run);
        let used =
            self.chain.vms.iter().zip(fuel).map(|(vm, before)| vm.fuel.saturating_sub(*before)).collect();
        let mut world = self.chain.world.borrow_mut();
        let facts = world.stream.take().map(|stream| stream.facts);
        let (details, flags) = facts.map(|facts| (facts.details, facts.flags)).unwrap_or_default();
        let response = run.response_at.first().cloned().flatten().map(response).unwrap_or_default();
        Exchange {
            outcome: if run.reset { Outcome::Reset(response) } else { Outcome::Response(response) },
            details,
            flags,
            request_at: run.request_at,
            response_at: run.response_at,
            events: std::mem::take(&mut world.events),
            fuel: used,
            waited: Duration::from_nanos(world.now.saturating_sub(started)),
        }
    }
}

/// A response as the client got it.
fn response(got: Received) -> Response {
    let status = got.headers.text(":status").and_then(|status| status.parse().ok()).unwrap_or_default();
    let mut headers = got.headers;
    headers.remove(":status");
    let body = if got.body.is_empty() { Vec::new() } else { vec![got.body] };
    Response { status, headers, body, trailers: got.trailers, chunked: false }
}
