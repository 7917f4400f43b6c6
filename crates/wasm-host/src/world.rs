//! What all plugins of a proxy share: the clock, chance, shared data, metrics, logs, and calls under way.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::answers::{Call, CallAnswer};
use crate::error::Error;
use crate::message::{Fields, Response, Side};
use crate::stream::Stream;

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LogLevel {
    /// `trace`
    Trace = 0,
    /// `debug`
    Debug = 1,
    /// `info`
    Info = 2,
    /// `warn`
    Warn = 3,
    /// `error`
    Error = 4,
    /// `critical`
    Critical = 5,
}

impl LogLevel {
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            _ => return None,
        })
    }

    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// Something that a plugin did.
#[derive(Clone, Debug)]
pub struct Event {
    /// Which plugin, by its place in the chain.
    pub plugin: usize,
    /// On which side of the exchange; `None`: before it or behind it.
    pub side: Option<Side>,
    /// What.
    pub kind: EventKind,
}

/// What a plugin did.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// It logged a line.
    Log {
        /// The level.
        level: LogLevel,
        /// The line.
        text: String,
    },
    /// It moved a metric.
    Metric {
        /// Its name.
        name: String,
        /// What it is.
        kind: MetricKind,
        /// By how much a counter or a gauge moved; the value of a histogram or a gauge that was set.
        by: i64,
    },
    /// It set filter state.
    FilterState {
        /// The key, as the plugin says it.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// It asked a service.
    Call(String),
    /// It answered the client.
    Reply {
        /// The status.
        status: u16,
        /// What access logs show for it.
        details: String,
    },
}

/// Kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Collects values.
    Histogram,
}

pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) kind: MetricKind,
    pub(crate) value: i64,
}

/// What a call brings.
pub(crate) enum Brought {
    Http(Option<Response>),
    Grpc(Vec<u8>),
    GrpcStatus(u32),
}

/// Something that will happen.
pub(crate) struct Due {
    pub(crate) at: u64,
    pub(crate) plugin: usize,
    pub(crate) token: u32,
    pub(crate) brought: Brought,
}

/// How a plugin asks the world to go on after its callback.
pub(crate) enum Action {
    Continue { context: u32, side: Side },
    Reply { context: u32, reply: crate::reply::LocalReply },
}

pub(crate) type Answering = Box<dyn FnMut(&Call) -> CallAnswer>;

pub(crate) struct World {
    /// Nanoseconds since the epoch.
    pub(crate) now: u64,
    chance: u64,
    pub(crate) log_level: LogLevel,
    shared: HashMap<(String, Vec<u8>), (Vec<u8>, u32)>,
    version: u32,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) due: Vec<Due>,
    tokens: u32,
    /// For each plugin: the period of its timer in nanoseconds (0: none) and when it rings next.
    pub(crate) timers: BTreeMap<usize, (u64, u64)>,
    pub(crate) answering: Answering,
    pub(crate) events: Vec<Event>,
    /// What is going through the filters.
    pub(crate) side: Option<Side>,
    pub(crate) actions: Vec<(usize, Action)>,
    pub(crate) stream: Option<Stream>,
    /// What a callback about a call can read.
    pub(crate) call_response: Option<Response>,
    pub(crate) grpc_message: Option<Vec<u8>>,
    pub(crate) fault: Option<Error>,
}

/// What Envoy answers to a call that it ends itself.
const CONNECT_ERROR: &str = "upstream connect error or disconnect/reset before headers. reset reason: remote \
     connection failure, transport failure reason: delayed connect error: Connection refused";

impl World {
    pub(crate) fn new(now: u64, seed: u64, log_level: LogLevel) -> Self {
        Self {
            now,
            chance: seed,
            log_level,
            shared: HashMap::new(),
            version: 0,
            metrics: Vec::new(),
            due: Vec::new(),
            tokens: 0,
            timers: BTreeMap::new(),
            answering: Box::new(|_| CallAnswer::Unknown),
            events: Vec::new(),
            side: None,
            actions: Vec::new(),
            stream: None,
            call_response: None,
            grpc_message: None,
            fault: None,
        }
    }

    /// The same bytes in each run: SplitMix64 (Steele, Lea, Flood 2014).
    pub(crate) fn random(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.chance;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (mixed ^ (mixed >> 31)).to_le_bytes();
            for (byte, random) in chunk.iter_mut().zip(bytes) {
                *byte = random;
            }
        }
    }

    /// A version 4 UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let mut bytes = [0_u8; 16];
        self.random(&mut bytes);
        let number = u128::from_be_bytes(bytes);
        let number = number & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{number:032x}");
        let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
        [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
    }

    pub(crate) fn event(&mut self, plugin: usize, kind: EventKind) {
        self.events.push(Event { plugin, side: self.side, kind });
    }

    pub(crate) fn log(&mut self, plugin: usize, level: LogLevel, text: &[u8]) {
        if level >= self.log_level {
            let text = String::from_utf8_lossy(text).into_owned();
            self.event(plugin, EventKind::Log { level, text });
        }
    }

    pub(crate) fn shared(&self, vm: &str, key: &[u8]) -> Option<&(Vec<u8>, u32)> {
        self.shared.get(&(vm.to_owned(), key.to_owned()))
    }

    /// `false`: the version is another. A key that is not there takes any version.
    pub(crate) fn set_shared(&mut self, vm: &str, key: &[u8], value: Vec<u8>, version: u32) -> bool {
        let key = (vm.to_owned(), key.to_owned());
        if let Some((_, there)) = self.shared.get(&key)
            && version != 0
            && version != *there
        {
            return false;
        }
        self.version = self.version.saturating_add(1);
        self.shared.insert(key, (value, self.version));
        true
    }

    /// The number of a metric: from 1, and one for each name.
    pub(crate) fn define(&mut self, kind: MetricKind, name: String) -> u32 {
        let known = self.metrics.iter().position(|metric| metric.name == name);
        let index = known.unwrap_or_else(|| {
            self.metrics.push(Metric { name, kind, value: 0 });
            self.metrics.len().saturating_sub(1)
        });
        u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub(crate) fn metric(&mut self, id: u32) -> Option<&mut Metric> {
        self.metrics.get_mut(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    /// Sends a call; `None`: there is no such cluster.
    pub(crate) fn call(&mut self, plugin: usize, name: &str, call: &Call) -> Option<u32> {
        self.event(plugin, EventKind::Call(call.summary()));
        let mut answer = (self.answering)(call);
        if matches!(answer, CallAnswer::NoCluster) {
            return None;
        }
        self.tokens = self.tokens.saturating_add(1);
        let token = self.tokens;
        let timeout = (!call.timeout.is_zero()).then_some(call.timeout);
        if let CallAnswer::Http { after, .. } | CallAnswer::Grpc { after, .. } = &answer
            && timeout.is_some_and(|timeout| *after >= timeout)
        {
            answer = CallAnswer::Never;
        }
        let of_envoy = |status: u16, body: &str| {
            let headers: Fields = [("content-type", "text/plain")].into_iter().collect();
            Response { status, headers, body: vec![body.as_bytes().to_vec()], ..Response::default() }
        };
        let is_http = call.kind == crate::answers::CallKind::Http;
        const UNAVAILABLE: u32 = 14;
        let (after, brought) = match answer {
            CallAnswer::Http { response, after } => (after, Brought::Http(Some(response))),
            CallAnswer::Grpc { message, after } => (after, Brought::Grpc(message)),
            CallAnswer::GrpcStatus(status) => (Duration::ZERO, Brought::GrpcStatus(status)),
            CallAnswer::ConnectionFailed if is_http => {
                (Duration::ZERO, Brought::Http(Some(of_envoy(503, CONNECT_ERROR))))
            }
            CallAnswer::Reset if is_http => (Duration::ZERO, Brought::Http(None)),
            CallAnswer::ConnectionFailed | CallAnswer::Reset => {
                (Duration::ZERO, Brought::GrpcStatus(UNAVAILABLE))
            }
            CallAnswer::Never => match timeout {
                Some(timeout) if is_http => {
                    (timeout, Brought::Http(Some(of_envoy(504, "upstream request timeout"))))
                }
                Some(timeout) => (timeout, Brought::GrpcStatus(UNAVAILABLE)),
                None => return Some(token),
            },
            CallAnswer::NoCluster => return None,
            CallAnswer::Unknown => {
                let call = call.summary();
                self.fault.get_or_insert(Error::Unanswered { plugin: name.to_owned(), call });
                return Some(token);
            }
        };
        self.due.push(Due { at: self.now.saturating_add(nanos(after)), plugin, token, brought });
        Some(token)
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
