//! The form that a configuration gives to an answer of the filter: another status, a body and more header fields.

use std::collections::BTreeMap;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::exchange::Reply;
use meshgate_policy::expression::Scope;
use meshgate_policy::expression::template::{Sink, Template};
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::Host;
use meshgate_policy::problem::title;
use serde_json::{Map, Value};

use crate::config::AnswerConfig;

const CACHE_CONTROL: HeaderName = HeaderName::constant("cache-control");
const CONTENT_TYPE: HeaderName = HeaderName::constant("content-type");
/// Fields that the proxy writes, and those that answers have anyway.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// The form of an answer. Without anything configured, the answer as it is.
#[derive(Debug, Default)]
pub struct CustomAnswer {
    /// `None`: that of the answer.
    status: Option<u16>,
    body: Option<Body>,
    headers: Box<[(HeaderName, Template)]>,
}

/// A body in place of the problem.
#[derive(Debug)]
struct Body {
    content_type: HeaderValue<'static>,
    template: Template,
}

impl CustomAnswer {
    /// Checks what is configured at `path`.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(config: AnswerConfig, path: &Path) -> Result<Self, ConfigError> {
        let AnswerConfig { status, body, content_type, headers } = config;
        if let Some(status) = status.filter(|status| !(400..=599).contains(status)) {
            let error = ConfigError::at(path.key("status")).found(status.to_string());
            return Err(error.expected("the status of an error, 400 to 599"));
        }
        let body = match (body, content_type) {
            (Some(source), content_type) => {
                let content_type = content_type.unwrap_or_else(|| "text/plain".to_owned());
                Some(Body::compile(&source, content_type, path)?)
            }
            (None, None) => None,
            (None, Some(_)) => {
                let error = ConfigError::at(path.key("content_type")).found("a media type without a body");
                return Err(error.expected("one only beside body"));
            }
        };
        Ok(Self { status, body, headers: compile_headers(headers, &path.key("headers"))? })
    }

    /// Gives an answer, whose body is a problem, its form. `scope` makes what templates see of the request.
    pub fn apply(
        &self,
        reply: &mut Reply,
        host: &mut dyn Host,
        scope: impl FnOnce(&mut dyn Host) -> Option<Scope>,
    ) {
        if let Some(status) = self.status.filter(|status| *status != reply.status) {
            set_status(reply, status);
            // Caches keep some errors, such as a 404, unless they are told not to; 401, 403 and 429 they do not.
            if !self.headers.iter().any(|(name, _)| *name == CACHE_CONTROL) {
                reply
                    .headers
                    .extend(HeaderValue::new(&b"no-store"[..]).ok().map(|value| (CACHE_CONTROL, value)));
            }
        }
        if self.is_templated()
            && let Some(mut scope) = scope(host)
        {
            self.write(reply, &mut scope);
        }
    }

    /// Whether anything asks for the request.
    fn is_templated(&self) -> bool {
        self.body.is_some() || !self.headers.is_empty()
    }

    /// Puts what is configured in the place of the problem. What has no result, which a client can bring about, is left out:
    /// a field is not there, and the body stays the problem.
    fn write(&self, reply: &mut Reply, scope: &mut Scope) {
        let status = reply.status.to_string();
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
}

impl Body {
    fn compile(source: &str, content_type: String, path: &Path) -> Result<Self, ConfigError> {
        let sink = Sink::of_body(&content_type);
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

/// Another status, which the problem says as well. The title of one without a type is that of its status (RFC 9457
/// section 4.2.1).
fn set_status(reply: &mut Reply, status: u16) {
    reply.status = status;
    let Ok(mut problem) = serde_json::from_slice::<Map<String, Value>>(&reply.body) else { return };
    problem.insert("status".to_owned(), Value::from(status));
    if !problem.contains_key("type") {
        problem.insert("title".to_owned(), Value::from(title(status)));
    }
    reply.body = Value::Object(problem).to_string().into_bytes();
}

fn compile_headers(
    headers: BTreeMap<String, String>,
    path: &Path,
) -> Result<Box<[(HeaderName, Template)]>, ConfigError> {
    let mut compiled: Vec<(HeaderName, Template)> = Vec::with_capacity(headers.len());
    for (name, source) in headers {
        let path = path.key(&name);
        let parsed = header_name(&name, &path)?;
        if compiled.iter().any(|(there, _)| *there == parsed) {
            let error = ConfigError::at(path).value(&name).expected("each field once");
            return Err(error.hint("upper and lower case make no difference"));
        }
        compiled.push((parsed, compile_template(&source, Sink::Header, &path)?));
    }
    Ok(compiled.into())
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

fn compile_template(source: &str, sink: Sink, path: &Path) -> Result<Template, ConfigError> {
    let template =
        Template::new(source, sink).map_err(|error| ConfigError::at(path).problem(error.to_string()))?;
    if template.needs().path {
        return Err(ConfigError::at(path)
            .found("a template that asks for `path`")
            .expected("one that asks for request, consumer, response, body or now")
            .hint("there is no match beside an answer, so path is always empty; request.path is all of the path"));
    }
    Ok(template)
}
