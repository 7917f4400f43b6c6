//! What a script can say.

use std::time::Duration;

use meshgate_policy::exchange::{Body, BodyMode, Next, Reply};
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{GrpcCall, HashFunction, Host, HostError, HttpCall, Map, Part, Position, Side};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Probe;

/// One step of a script.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Sets a header of the section that is passing.
    Set(String, String),
    /// Adds a header to the section that is passing.
    Add(String, String),
    /// Removes a header from the section that is passing.
    Remove(String),
    /// Sets a request header, whatever is passing.
    SetRequestHeader(String, String),
    /// Reports all fields of the section that is passing, values as byte lists.
    Headers,
    /// Reports the first value of a request header, whatever is passing.
    FirstRequestHeader(String),
    /// Reports what is at hand of a body.
    ReadBody,
    /// Puts capital letters in what is at hand of a body.
    UpperBody,
    /// Replaces what is at hand of a body.
    SetBody(String),
    /// Asks for the body.
    Whole { limit: usize, hold_head: bool },
    /// Asks for the body as it passes.
    Window { limit: usize },
    /// Keeps what is at hand while the body has at most so many bytes.
    HoldUntil(usize),
    /// Sends an HTTP call.
    HttpCall {
        cluster: String,
        path: String,
        #[serde(default = "second")]
        deadline_ms: u64,
        #[serde(default = "kibibyte")]
        max_answer: usize,
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Sends a gRPC call.
    GrpcCall {
        cluster: String,
        service: String,
        method: String,
        message: Vec<u8>,
        #[serde(default = "second")]
        deadline_ms: u64,
        #[serde(default = "kibibyte")]
        max_answer: usize,
    },
    /// Takes these steps the first time only.
    Once(Vec<Self>),
    /// Waits for callouts.
    Wait,
    /// Waits until so many callouts are answered.
    WaitFor(usize),
    /// Answers the client.
    Reply {
        status: u16,
        #[serde(default)]
        headers: Vec<(String, String)>,
        #[serde(default)]
        body: String,
        #[serde(default)]
        grpc_status: Option<u32>,
    },
    /// Counts one up in a shared value, by compare-and-swap; reports the new count.
    Count(String),
    /// Writes a shared value with a version that is not the current one.
    StaleWrite(String),
    /// Reports a property as bytes.
    Property(Vec<String>),
    /// Sets filter state.
    FilterState(String, String),
    /// Moves the three metrics.
    Metrics,
    /// Reports the time and so many random bytes.
    NowAndRandom(usize),
    /// Checks a signature; everything in hex.
    Verify { hash: String, key: String, signature: String, message: String },
    /// Chooses the route again.
    ClearRouteCache,
    /// Kills the VM: so that a test of liveness can be seen to fail.
    Die,
}

fn second() -> u64 {
    1_000
}

fn kibibyte() -> usize {
    1_024
}

/// What became of a step.
pub enum Outcome {
    /// It decides what happens next.
    Next(Next),
    /// It returned something.
    Value(Value),
}

impl Step {
    pub fn run(
        self,
        host: &mut dyn Host,
        policy: &Probe,
        answers: &[Value],
        body: Option<(Side, Body)>,
    ) -> Result<Outcome, HostError> {
        let side = body.map_or(Side::Request, |(side, _)| side);
        let value = match self {
            Self::Set(name, value) => {
                host.set_header(passing(host)?, &header_name(&name)?, &header_value(&value)?)?;
                Value::Null
            }
            Self::Add(name, value) => {
                host.add_header(passing(host)?, &header_name(&name)?, &header_value(&value)?)?;
                Value::Null
            }
            Self::Remove(name) => {
                host.remove_header(passing(host)?, &header_name(&name)?)?;
                Value::Null
            }
            Self::SetRequestHeader(name, value) => {
                host.set_header(Map::RequestHeaders, &header_name(&name)?, &header_value(&value)?)?;
                Value::Null
            }
            Self::Headers => {
                let headers = host.headers(passing(host)?)?;
                headers.iter().map(|(name, value)| json!([String::from_utf8_lossy(name), value])).collect()
            }
            Self::FirstRequestHeader(name) => {
                json!(host.first_header(Map::RequestHeaders, &header_name(&name)?)?)
            }
            Self::ReadBody => {
                json!(String::from_utf8_lossy(&host.body(side, 0, usize::MAX)?))
            }
            Self::UpperBody => {
                let bytes = host.body(side, 0, usize::MAX)?;
                host.set_body(side, &bytes.to_ascii_uppercase())?;
                Value::Null
            }
            Self::SetBody(text) => {
                host.set_body(side, text.as_bytes())?;
                Value::Null
            }
            Self::Whole { limit, hold_head } => {
                return Ok(Outcome::Next(Next::ReadBody(BodyMode::Whole { limit, hold_head })));
            }
            Self::Window { limit } => {
                return Ok(Outcome::Next(Next::ReadBody(BodyMode::Window { limit })));
            }
            Self::HoldUntil(size) => {
                let hold = body.is_some_and(|(_, body)| body.size <= size);
                return Ok(Outcome::Next(if hold { Next::Hold } else { Next::Continue }));
            }
            Self::HttpCall { cluster, path, deadline_ms, max_answer, headers } => {
                let mut pairs = vec![(":method", "GET"), (":path", path.as_str()), (":authority", "probe")];
                pairs.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                let id = host.http_call(&HttpCall {
                    cluster: &cluster,
                    headers: &Headers::from_pairs(pairs),
                    body: b"",
                    deadline: Duration::from_millis(deadline_ms),
                    max_answer,
                })?;
                json!({ "sent": id.0 > 0 })
            }
            Self::GrpcCall { cluster, service, method, message, deadline_ms, max_answer } => {
                let id = host.grpc_call(&GrpcCall {
                    cluster: &cluster,
                    service: &service,
                    method: &method,
                    metadata: &Headers::default(),
                    message: &message,
                    deadline: Duration::from_millis(deadline_ms),
                    max_answer,
                })?;
                json!({ "sent": id.0 > 0 })
            }
            // Taken apart before it gets here.
            Self::Once(_) => Value::Null,
            Self::Wait => return Ok(Outcome::Next(Next::Wait)),
            Self::WaitFor(count) => {
                let next = if answers.len() < count { Next::Wait } else { Next::Continue };
                return Ok(Outcome::Next(next));
            }
            Self::Reply { status, headers, body, grpc_status } => {
                let mut reply = Reply::new(status, "probe_reply");
                for (name, value) in &headers {
                    reply = reply.with_header(header_name(name)?, header_value(value)?.into_owned());
                }
                reply.body = body.into_bytes();
                reply.grpc_status = grpc_status;
                return Ok(Outcome::Next(Next::Reply(Box::new(reply))));
            }
            Self::Count(key) => count(host, &key)?,
            Self::StaleWrite(key) => {
                let Some(shared) = host.shared(&key)? else { return Err(HostError::Malformed) };
                host.set_shared(&key, &shared.value, Some(shared.version))?;
                host.set_shared(&key, b"stale", Some(shared.version))?;
                Value::Null
            }
            Self::Property(path) => {
                let path: Vec<_> = path.iter().map(String::as_str).collect();
                json!(host.property(&path)?)
            }
            Self::FilterState(key, value) => {
                host.set_filter_state(&key, value.as_bytes())?;
                Value::Null
            }
            Self::Metrics => {
                host.add(policy.counter, 2);
                host.add(policy.gauge, 5);
                host.add(policy.gauge, -2);
                host.record(policy.histogram, 7);
                Value::Null
            }
            Self::NowAndRandom(size) => {
                let mut random = vec![0; size];
                host.random(&mut random)?;
                json!({ "now": host.now().as_secs(), "random": random })
            }
            Self::Verify { hash, key, signature, message } => {
                let hash = match hash.as_str() {
                    "sha384" => HashFunction::Sha384,
                    "sha512" => HashFunction::Sha512,
                    _ => HashFunction::Sha256,
                };
                json!(host.verify_signature(hash, &hex(&key), &hex(&signature), &hex(&message))?)
            }
            Self::ClearRouteCache => {
                host.clear_route_cache()?;
                Value::Null
            }
            Self::Die => std::process::abort(),
        };
        Ok(Outcome::Value(value))
    }
}

/// The section that is passing; of a body, its head.
fn passing(host: &dyn Host) -> Result<Map, HostError> {
    match host.position() {
        Position::Message { side, part: Part::Trailers, .. } => Ok(Map::trailers(side)),
        Position::Message { side, .. } => Ok(Map::head(side)),
        Position::Log => Ok(Map::RequestHeaders),
        Position::Configure | Position::Between => Err(HostError::WrongPhase),
    }
}

fn count(host: &mut dyn Host, key: &str) -> Result<Value, HostError> {
    loop {
        let shared = host.shared(key)?;
        let count = shared
            .as_ref()
            .and_then(|shared| std::str::from_utf8(&shared.value).ok()?.parse::<u64>().ok())
            .unwrap_or(0)
            .saturating_add(1);
        let version = shared.map(|shared| shared.version);
        match host.set_shared(key, count.to_string().as_bytes(), version) {
            Err(HostError::Conflict) => {}
            other => return other.map(|()| json!(count)),
        }
    }
}

fn header_name(name: &str) -> Result<HeaderName, HostError> {
    match name {
        ":path" => Ok(HeaderName::PATH),
        ":status" => Ok(HeaderName::STATUS),
        name => HeaderName::new(name).map_err(|_| HostError::Malformed),
    }
}

fn header_value(value: &str) -> Result<HeaderValue<'_>, HostError> {
    HeaderValue::new(value.as_bytes()).map_err(|_| HostError::Malformed)
}

/// Pairs of hex digits; anything else ends it.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map_while(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    digits.chunks_exact(2).filter_map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect()
}
