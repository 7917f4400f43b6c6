//! The answer to a request for which a limit has no room.

use std::collections::BTreeMap;

use meshgate_policy::config::{ConfigError, Duration, Path};
use meshgate_policy::exchange::Reply;
use meshgate_policy::expression::Scope;
use meshgate_policy::expression::template::{Sink, Template};
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::Host;
use meshgate_policy::media_type::MediaTypePattern;
use meshgate_policy::problem::Problem;

use crate::config::OverLimitConfig;

const RETRY_AFTER: HeaderName = HeaderName::constant("retry-after");
const CONTENT_TYPE: HeaderName = HeaderName::constant("content-type");
/// gRPC's status code for a quota that is used up.
pub const RESOURCE_EXHAUSTED: u32 = 8;
/// The problem type of the RateLimit draft, section "Problem Types".
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// Fields that the proxy writes, and those that say what the limits are.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "retry-after",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The answer, as configured.
#[derive(Debug)]
pub struct OverLimit {
    status: u16,
    body: Option<Body>,
    headers: Box<[(HeaderName, Template)]>,
    /// At most so many seconds are added to `Retry-After`.
    jitter: u64,
}

/// A body in place of the problem.
#[derive(Debug)]
struct Body {
    content_type: HeaderValue<'static>,
    template: Template,
}

impl OverLimit {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(config: OverLimitConfig) -> Result<Self, ConfigError> {
        let path = Path::root().key("over_limit");
        let OverLimitConfig { status, body, content_type, headers, retry_after_jitter } = config;
        if !(400..=599).contains(&status) {
            let error = ConfigError::at(path.key("status")).found(status.to_string());
            return Err(error.expected("the status of an error, 400 to 599"));
        }
        let body = match (body, content_type) {
            (Some(source), content_type) => {
                let content_type = content_type.unwrap_or_else(|| "text/plain".to_owned());
                Some(Body::compile(&source, content_type, &path)?)
            }
            (None, None) => None,
            (None, Some(_)) => {
                let error = ConfigError::at(path.key("content_type")).found("a media type without a body");
                return Err(error.expected("one only beside body"));
            }
        };
        Ok(Self {
            status,
            body,
            headers: compile_headers(headers, &path.key("headers"))?,
            jitter: jitter(retry_after_jitter, &path.key("retry_after_jitter"))?,
        })
    }

    /// The answer, where `violated` are the names of the limits that have no room, and `retry_after` the seconds until all of
    /// them have (`None`: never). `fields` tell of limits. `scope` makes what templates see of the request.
    pub fn reply(
        &self,
        host: &mut dyn Host,
        (violated, retry_after): (&[&str], Option<u64>),
        fields: impl Iterator<Item = (HeaderName, HeaderValue<'static>)>,
        scope: impl FnOnce(&mut dyn Host) -> Option<Scope>,
    ) -> Reply {
        let wait = retry_after.map(|wait| wait.saturating_add(self.jitter(host)));
        let mut reply = problem(self.status, violated, wait);
        reply.headers.extend(fields);
        if self.is_templated()
            && let Some(mut scope) = scope(host)
        {
            self.write(&mut reply, &mut scope);
        }
        reply
    }

    /// Whether anything asks for the request.
    fn is_templated(&self) -> bool {
        self.body.is_some() || !self.headers.is_empty()
    }

    /// Puts what is configured in the place of the problem. What has no result, which a client can bring about, is left out:
    /// a field is not there, and the body stays the problem.
    fn write(&self, reply: &mut Reply, scope: &mut Scope) {
        let status = self.status.to_string();
        let head = reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        scope.set_response(&Headers::from_pairs(std::iter::once((":status", status.as_bytes())).chain(head)));
        scope.set_body(&reply.body);
        for (name, template) in &self.headers {
            if let Some(value) = template.render(scope).ok().and_then(|value| HeaderValue::new(value).ok()) {
                reply.headers.push((name.clone(), value));
            }
        }
        if let Some((body, text)) = self.body.as_ref().and_then(|body| Some((body, body.render(scope)?))) {
            reply.body = text;
            if let Some((_, value)) = reply.headers.iter_mut().find(|(name, _)| *name == CONTENT_TYPE) {
                *value = body.content_type.clone();
            }
        }
    }

    /// Seconds by chance. Without chance, all of them: later is never wrong.
    fn jitter(&self, host: &mut dyn Host) -> u64 {
        let Some(choices) = self.jitter.checked_add(1).filter(|choices| *choices > 1) else { return 0 };
        let mut bytes = [0; size_of::<u64>()];
        match host.random(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes).checked_rem(choices).unwrap_or_default(),
            Err(_) => self.jitter,
        }
    }
}

impl Body {
    fn compile(source: &str, content_type: String, path: &Path) -> Result<Self, ConfigError> {
        let sink = sink_of(&content_type);
        let value = HeaderValue::new(content_type.clone().into_bytes()).ok();
        let (Some(sink), Some(value)) = (sink, value) else {
            let error = ConfigError::at(path.key("content_type")).value(&content_type);
            return Err(error.expected("a media type such as application/json"));
        };
        Ok(Self { content_type: value, template: compile_template(source, sink, &path.key("body"))? })
    }

    fn render(&self, scope: &Scope) -> Option<Vec<u8>> {
        self.template.render(scope).ok()
    }
}

/// The problem that is the answer where nothing else is configured, and that templates see as `body`.
fn problem(status: u16, violated: &[&str], wait: Option<u64>) -> Reply {
    let names: Vec<_> = violated.iter().map(|name| format!("\"{name}\"")).collect();
    let (limits, are) = if names.len() == 1 { ("limit", "is") } else { ("limits", "are") };
    let names = names.join(", ");
    let detail = match wait {
        Some(1) => format!("The {limits} {names} {are} used up. Send the request again in 1 second."),
        Some(wait) => {
            format!("The {limits} {names} {are} used up. Send the request again in {wait} seconds.")
        }
        None => format!(
            "The {limits} {names} will never have room for what this request costs. Ask for less at once."
        ),
    };
    let mut reply = Problem::new(status, "Quota Exceeded")
        .kind(QUOTA_EXCEEDED)
        .detail(&detail)
        .member("violated-policies", violated)
        .reply("meshgate_limit_exceeded");
    reply.headers.extend(wait.map(|wait| (RETRY_AFTER, HeaderValue::number(wait))));
    reply.grpc_status = Some(RESOURCE_EXHAUSTED);
    reply
}

fn compile_headers(
    headers: BTreeMap<String, String>,
    path: &Path,
) -> Result<Box<[(HeaderName, Template)]>, ConfigError> {
    let compiled = headers.into_iter().map(|(name, source)| {
        let path = path.key(&name);
        let parsed = header_name(&name, &path)?;
        Ok((parsed, compile_template(&source, Sink::Header, &path)?))
    });
    compiled.collect()
}

/// The name of a field that answers can have besides those that they have anyway.
///
/// # Errors
/// A [`ConfigError`] for one that is none, or that is written already.
pub fn header_name(name: &str, path: &Path) -> Result<HeaderName, ConfigError> {
    let error = || ConfigError::at(path).value(name);
    let parsed =
        HeaderName::new(name).map_err(|_| error().expected("the name of a header field, such as x-plan"))?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err(error().expected("a field that is not written already"));
    }
    Ok(parsed)
}

/// Whole seconds.
fn jitter(jitter: Option<Duration>, path: &Path) -> Result<u64, ConfigError> {
    let Some(jitter) = jitter else { return Ok(0) };
    let (seconds, rest) = (jitter.as_millis() / 1_000, jitter.as_millis() % 1_000);
    if seconds == 0 || rest != 0 {
        return Err(ConfigError::at(path)
            .found(format!("{} ms", jitter.as_millis()))
            .expected("whole seconds, as Retry-After has them: 1s or more"));
    }
    Ok(seconds)
}

fn compile_template(source: &str, sink: Sink, path: &Path) -> Result<Template, ConfigError> {
    Template::new(source, sink).map_err(|error| ConfigError::at(path).problem(error.to_string()))
}

/// How a body of this media type escapes values. `None`: it is none.
fn sink_of(content_type: &str) -> Option<Sink> {
    let is = |pattern: &str| {
        MediaTypePattern::new(pattern).is_some_and(|pattern| pattern.matches(content_type.as_bytes()))
    };
    let any = |patterns: &[&str]| patterns.iter().any(|pattern| is(pattern));
    if any(&["application/json", "*/*+json"]) {
        Some(Sink::Json)
    } else if is("text/html") {
        Some(Sink::Html)
    } else if any(&["application/xml", "text/xml", "*/*+xml"]) {
        Some(Sink::Xml)
    } else {
        is("*/*").then_some(Sink::Text)
    }
}
