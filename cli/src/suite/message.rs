//! What a suite says of messages and times, read: requests, answers of the upstream, callouts, and what is wrong with them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshgate_policy::config::{ConfigError, Path};
use meshgate_wasm_host as host;
use serde_json::Value;

use super::format;

/// What the upstream does.
pub enum Upstream {
    Answers(host::Response),
    Fails(host::Failure),
}

/// Who answers a call, and how.
#[derive(Clone)]
pub struct Callout {
    cluster: String,
    method: Option<String>,
    path: Option<String>,
    grpc: Option<String>,
    answer: host::CallAnswer,
}

impl Callout {
    /// What it says to a call, if it is for that.
    pub fn answer(&self, call: &host::Call) -> Option<host::CallAnswer> {
        let is = |expected: &Option<String>, found: &dyn Fn() -> String| {
            expected.as_ref().is_none_or(|expected| *expected == found())
        };
        let pseudo = |name: &str| call.headers.text(name).unwrap_or_default();
        let path = || pseudo(":path").split('?').next().unwrap_or_default().to_owned();
        let grpc = match &call.kind {
            host::CallKind::Http => None,
            host::CallKind::Grpc { service, method } => Some(format!("{service}/{method}")),
        };
        let fits = self.cluster == call.cluster
            && self.grpc.is_some() == grpc.is_some()
            && is(&self.grpc, &|| grpc.clone().unwrap_or_default())
            && is(&self.method, &|| pseudo(":method"))
            && is(&self.path, &path);
        fits.then(|| self.answer.clone())
    }
}

/// A request; `route` is what its route is called unless it says so.
pub fn request(said: &format::Request, route: &str, path: &Path) -> Result<host::Request, ConfigError> {
    let (body, content_type) = body(said.body.as_deref(), said.json.as_ref(), said.base64.as_deref(), path)?;
    if !said.path.starts_with('/') && said.path != "*" {
        let error = ConfigError::at(path.key("path")).value(&said.path);
        return Err(error.expected("a path that begins with /").hint("the host goes into `host`"));
    }
    let method = match (&said.method, &body) {
        (Some(method), _) => method.clone(),
        (None, None) => "GET".to_owned(),
        (None, Some(_)) => "POST".to_owned(),
    };
    let mut request = host::Request::new(&method, &said.path);
    request.headers = fields(&said.headers, &path.key("headers"))?;
    set_type(&mut request.headers, content_type);
    if let Some(host) = &said.host {
        request.authority.clone_from(host);
    }
    request.body = body.into_iter().collect();
    request.trailers = fields(&said.trailers, &path.key("trailers"))?;
    request.chunked = said.chunked;
    request.route = said.route.clone().unwrap_or_else(|| route.to_owned());
    if let Some(from) = &said.from {
        request.from = address(from).ok_or_else(|| {
            let error = ConfigError::at(path.key("from")).value(from);
            error.expected("an address such as 203.0.113.7 or 203.0.113.7:40000")
        })?;
    }
    Ok(request)
}

/// What the upstream does with a request.
pub fn upstream(said: &format::Upstream, path: &Path) -> Result<Upstream, ConfigError> {
    if let Some(failure) = said.fails {
        if said.status.is_some() || said.body.is_some() || said.json.is_some() || said.base64.is_some() {
            let error = ConfigError::at(path.key("fails")).found("an answer beside a failure");
            return Err(error.expected("one of them"));
        }
        return Ok(Upstream::Fails(failure.into()));
    }
    let (body, content_type) = body(said.body.as_deref(), said.json.as_ref(), said.base64.as_deref(), path)?;
    let mut response = host::Response { status: status(said.status, path)?, ..host::Response::default() };
    response.headers = fields(&said.headers, &path.key("headers"))?;
    set_type(&mut response.headers, content_type);
    response.body = body.into_iter().collect();
    response.trailers = fields(&said.trailers, &path.key("trailers"))?;
    response.chunked = said.chunked;
    Ok(Upstream::Answers(response))
}

/// An answer to calls.
pub fn callout(said: &format::Callout, path: &Path) -> Result<Callout, ConfigError> {
    use format::CalloutFailure;
    let answer = match (&said.answer, said.fails) {
        (None, None) => {
            let error = ConfigError::at(path).problem("missing field \"answer\"");
            return Err(error.hint("write for instance: answer: {json: {keys: []}}, or fails: timeout"));
        }
        (Some(_), Some(_)) => {
            let error = ConfigError::at(path.key("fails")).found("an answer beside a failure");
            return Err(error.expected("one of them"));
        }
        (None, Some(CalloutFailure::Connection)) => host::CallAnswer::ConnectionFailed,
        (None, Some(CalloutFailure::Reset)) => host::CallAnswer::Reset,
        (None, Some(CalloutFailure::Timeout)) => host::CallAnswer::Never,
        (None, Some(CalloutFailure::NoCluster)) => host::CallAnswer::NoCluster,
        (Some(answer), None) => call_answer(answer, said.grpc.is_some(), &path.key("answer"))?,
    };
    Ok(Callout {
        cluster: said.cluster.clone(),
        method: said.method.clone(),
        path: said.path.clone(),
        grpc: said.grpc.clone(),
        answer,
    })
}

/// A time such as 2026-11-22T10:00:00Z, since the epoch.
pub fn time(text: &str, path: &Path) -> Result<Duration, ConfigError> {
    let wrong = || ConfigError::at(path).value(text).expected("a time such as 2026-01-31T12:00:00Z");
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    let nanos = u64::try_from(time.as_nanosecond()).map_err(|_| wrong())?;
    Ok(Duration::from_nanos(nanos))
}

/// An address, with a port or without.
pub fn address(text: &str) -> Option<SocketAddr> {
    let with_any_port = || text.parse().ok().map(|address: IpAddr| SocketAddr::new(address, 40_000));
    text.parse().ok().or_else(with_any_port)
}

fn call_answer(
    said: &format::CalloutAnswer,
    is_grpc: bool,
    path: &Path,
) -> Result<host::CallAnswer, ConfigError> {
    let (body, content_type) = body(said.body.as_deref(), said.json.as_ref(), said.base64.as_deref(), path)?;
    let after = said.after.map(Duration::from).unwrap_or_default();
    if let Some(status) = said.grpc_status {
        return Ok(host::CallAnswer::GrpcStatus(status));
    }
    if is_grpc {
        return Ok(host::CallAnswer::Grpc { message: body.unwrap_or_default(), after });
    }
    let mut response = host::Response { status: status(said.status, path)?, ..host::Response::default() };
    response.headers = fields(&said.headers, &path.key("headers"))?;
    set_type(&mut response.headers, content_type);
    response.body = body.into_iter().collect();
    Ok(host::CallAnswer::Http { response, after })
}

fn status(status: Option<u16>, path: &Path) -> Result<u16, ConfigError> {
    match status.unwrap_or(200) {
        status @ 200..=999 => Ok(status),
        other => Err(ConfigError::at(path.key("status")).found(other.to_string()).expected("200 to 999")),
    }
}

fn fields(fields: &format::Fields, path: &Path) -> Result<host::Fields, ConfigError> {
    let mut all = host::Fields::new();
    for (name, values) in fields {
        let is_token = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token {
            let error = ConfigError::at(path).value(name).expected("the name of a header field");
            return Err(error.hint("method, path and host have fields of their own"));
        }
        for value in values {
            if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                let error = ConfigError::at(path.key(name)).found("a value with a line break");
                return Err(error.expected("one line"));
            }
            all.add(name, value.as_bytes());
        }
    }
    Ok(all)
}

/// The body that one of three fields says, and the type of its content.
fn body(
    text: Option<&str>,
    json: Option<&Value>,
    base64: Option<&str>,
    path: &Path,
) -> Result<(Option<Vec<u8>>, Option<&'static str>), ConfigError> {
    match (text, json, base64) {
        (None, None, None) => Ok((None, None)),
        (Some(text), None, None) => Ok((Some(text.as_bytes().to_vec()), None)),
        (None, Some(json), None) => Ok((Some(json.to_string().into_bytes()), Some("application/json"))),
        (None, None, Some(text)) => match STANDARD.decode(text.trim()) {
            Ok(bytes) => Ok((Some(bytes), None)),
            Err(_) => {
                Err(ConfigError::at(path.key("base64")).found("no base64").expected("base64 with padding"))
            }
        },
        _ => Err(ConfigError::at(path).found("several of body, json and base64").expected("one of them")),
    }
}

fn set_type(headers: &mut host::Fields, content_type: Option<&str>) {
    if let Some(content_type) = content_type
        && headers.first("content-type").is_none()
    {
        headers.set("content-type", content_type);
    }
}
