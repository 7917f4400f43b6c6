//! What a client gets instead of a response: `respond` of the configuration, compiled, and the reply that it makes.

use std::borrow::Cow;
use std::cell::RefCell;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::exchange::Reply;
use meshgate_policy::expression::template::{Sink, Template};
use meshgate_policy::grpc::GrpcStatus;
use meshgate_policy::headers::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::accept;
use crate::compile;
use crate::config::RespondConfig;
use crate::fields;
use crate::format::{Document, Format, Representation, is_member_name, negotiates, offered};
use crate::occasion::Occasion;

const CONTENT_TYPE: HeaderName = HeaderName::constant("content-type");
const CACHE_CONTROL: HeaderName = HeaderName::constant("cache-control");
const RETRY_AFTER: HeaderName = HeaderName::constant("retry-after");
const VARY: HeaderName = HeaderName::constant("vary");

/// The longest text that a template makes for a member, in bytes.
const MAX_MEMBER: usize = 8 * 1024;

/// An answer, compiled. What it does not say comes from the occasion.
#[derive(Debug, Default)]
pub struct Answer {
    status: Option<u16>,
    kind: Option<String>,
    title: Option<Template>,
    detail: Option<Template>,
    instance: Option<Template>,
    members: Vec<(String, Member)>,
    bodies: Vec<(Format, Template)>,
    formats: Option<Vec<Format>>,
    retry_after: Option<u64>,
    cache_control: Option<HeaderValue<'static>>,
    grpc_status: Option<GrpcStatus>,
    set: Vec<(HeaderName, Template)>,
    /// Fields of the response that do not stay.
    pub remove: Vec<HeaderName>,
    /// Fields of an upstream's response that stay too.
    pub keep: Vec<HeaderName>,
    dynamic: bool,
    consumer: bool,
}

#[derive(Debug)]
enum Member {
    Literal(Value),
    Template(Template),
}

/// What an occasion says that the answer does not.
#[derive(Debug)]
pub struct Base {
    /// The status of the response.
    pub status: u16,
    /// Type, title and detail. Its status is not looked at.
    pub problem: Document,
    /// What a gRPC client gets.
    pub grpc_status: Option<GrpcStatus>,
    /// In seconds.
    pub retry_after: Option<u64>,
    /// Fields of the response that stay.
    pub fields: Vec<(HeaderName, HeaderValue<'static>)>,
    /// For the access log.
    pub details: Cow<'static, str>,
}

impl Base {
    /// Of an answer that nothing else is known for.
    pub fn new(status: u16, problem: Document, details: impl Into<Cow<'static, str>>) -> Self {
        let details = details.into();
        Self { status, problem, grpc_status: None, retry_after: None, fields: Vec::new(), details }
    }
}

impl Answer {
    /// Compiles an answer. `response`: whether there is a response that templates can ask for something.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(
        config: RespondConfig,
        type_base: &str,
        response: bool,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        let needs = RefCell::new((false, false));
        let template = |source: &str, sink: Sink, body: bool, path: Path| {
            let template = compile::template(source, sink, compile::Allowed { response, body }, path)?;
            let mut needs = needs.borrow_mut();
            needs.0 |= template.literal().is_none();
            needs.1 |= template.needs().consumer;
            Ok::<_, ConfigError>(template)
        };
        let text = |source: &Option<String>, name: &str| {
            source.as_deref().map(|source| template(source, Sink::Text, false, path.key(name))).transpose()
        };
        let member = |(name, value): (String, Value)| {
            let path = path.key("members").key(&name);
            if !is_member_name(&name) {
                return Err(ConfigError::at(path).value(&name).expected(
                    "a letter, then letters, digits and _, at most 64; type, title, status, detail and instance are fields",
                ));
            }
            let value = match value {
                Value::String(source) => Member::Template(template(&source, Sink::Text, false, path)?),
                value => Member::Literal(value),
            };
            Ok((name, value))
        };
        let body = |(format, source): (Format, String)| {
            let (name, sink) = match format {
                Format::Problem => ("problem", Sink::Json),
                Format::Json => ("json", Sink::Json),
                Format::Xml => ("xml", Sink::Xml),
                Format::Html => ("html", Sink::Html),
                Format::Text => ("text", Sink::Text),
            };
            Ok((format, template(&source, sink, true, path.key("body").key(name))?))
        };
        let headers = path.key("headers");
        let set = |(name, source): (String, String)| {
            let path = headers.key("set").key(&name);
            Ok((compile::header_name(&name, &path)?, template(&source, Sink::Header, false, path)?))
        };
        let names = |names: Vec<String>, field: &str| {
            let path = headers.key(field);
            names
                .iter()
                .enumerate()
                .map(|(index, name)| compile::header_name(name, &path.index(index)))
                .collect::<Result<Vec<_>, _>>()
        };
        let cache_control = |value: String| {
            HeaderValue::new(value.clone().into_bytes()).map_err(|_| {
                ConfigError::at(path.key("cache_control"))
                    .value(&value)
                    .expected("a value without control characters")
            })
        };
        let kind =
            config.kind.map(|kind| compile::problem_type(&kind, type_base, &path.key("type"))).transpose()?;
        let (title, detail, instance) = (
            text(&config.title, "title")?,
            text(&config.detail, "detail")?,
            text(&config.instance, "instance")?,
        );
        let members = config.members.into_iter().map(member).collect::<Result<_, _>>()?;
        let bodies = config.body.into_iter().map(body).collect::<Result<Vec<_>, ConfigError>>()?;
        let set = config.headers.set.into_iter().map(set).collect::<Result<_, ConfigError>>()?;
        let formats = config
            .formats
            .map(|formats| compile::formats(formats.into_vec(), &path.key("formats")))
            .transpose()?;
        let (dynamic, consumer) = needs.into_inner();
        Ok(Self {
            status: config.status.map(|status| compile::status(status, &path.key("status"))).transpose()?,
            kind,
            title,
            detail,
            instance,
            members,
            bodies,
            formats,
            retry_after: config.retry_after.map(|duration| duration.as_millis().div_ceil(1_000)),
            cache_control: config.cache_control.map(cache_control).transpose()?,
            grpc_status: config.grpc_status,
            set,
            remove: names(config.headers.remove, "remove")?,
            keep: names(config.headers.keep, "keep")?,
            dynamic,
            consumer,
        })
    }

    /// Whether the request has to be known: clients choose, or a template asks.
    pub fn asks_request(&self) -> bool {
        self.dynamic || self.formats.as_deref().is_some_and(negotiates)
    }

    /// The reply for an occasion. What a template has no result for is left out, or is as without it: an answer goes out in
    /// any case.
    pub fn reply(&self, base: Base, occasion: &mut Occasion<'_>, formats: &[Format]) -> Reply {
        occasion.consumer(self.consumer);
        let Base { status, mut problem, grpc_status, retry_after, mut fields, details } = base;
        let status = self.status.unwrap_or(status);
        self.describe(&mut problem, status, occasion);

        let formats = self.formats.as_deref().unwrap_or(formats);
        // Where the request was not read, the response tells.
        let grpc = occasion.is_grpc() || grpc_status.is_some();
        let representation = choose(formats, occasion);
        let body = if grpc {
            problem.message().as_bytes().to_vec()
        } else {
            self.body(&problem, representation.format, occasion)
        };

        if let Some(seconds) = self.retry_after.or(retry_after) {
            fields.retain(|(name, _)| *name != RETRY_AFTER);
            fields.push((RETRY_AFTER, HeaderValue::number(seconds)));
        }
        // Envoy gives a reply to gRPC a type of its own, and there is nothing to choose from.
        if !grpc {
            fields.push((CONTENT_TYPE, constant(representation.content_type)));
            if negotiates(formats) && !fields::varies_by_accept(&fields) {
                fields.push((VARY, constant("Accept")));
            }
        }
        fields.push((CACHE_CONTROL, self.cache_control.clone().unwrap_or_else(|| constant("no-store"))));
        for (name, template) in &self.set {
            let value = occasion.render(template, MAX_MEMBER).and_then(|value| HeaderValue::new(value).ok());
            if let Some(value) = value {
                fields.retain(|(there, _)| there != name);
                fields.push((name.clone(), value));
            }
        }
        let grpc_status = self.grpc_status.or(grpc_status).unwrap_or_else(|| GrpcStatus::for_http(status));
        Reply { status, headers: fields, body, details, grpc_status: Some(grpc_status.number()) }
    }

    /// Puts what the answer says in the place of what the occasion says.
    fn describe(&self, problem: &mut Document, status: u16, occasion: &mut Occasion<'_>) {
        problem.status = status;
        let mut text = |template: &Option<Template>| {
            let bytes = occasion.render(template.as_ref()?, MAX_MEMBER)?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        if let Some(kind) = &self.kind {
            problem.kind = Cow::Owned(kind.clone());
        }
        if let Some(title) = text(&self.title) {
            problem.title = Cow::Owned(title);
        }
        if let Some(detail) = text(&self.detail) {
            problem.detail = Some(Cow::Owned(detail)).filter(|detail: &Cow<'_, str>| !detail.is_empty());
        }
        problem.instance = text(&self.instance).or(problem.instance.take());
        for (name, member) in &self.members {
            let value = match member {
                Member::Literal(value) => Some(value.clone()),
                Member::Template(template) => occasion.value(template, MAX_MEMBER),
            };
            if let Some(value) = value {
                problem.members.retain(|(there, _)| there != name);
                problem.members.push((Cow::Owned(name.clone()), value));
            }
        }
    }

    fn body(&self, problem: &Document, format: Format, occasion: &mut Occasion<'_>) -> Vec<u8> {
        let template = self.bodies.iter().find(|(known, _)| *known == format).map(|(_, template)| template);
        let written =
            template.and_then(|template| occasion.render_with(template, &problem.render(Format::Json)));
        written.unwrap_or_else(|| problem.render(format))
    }
}

/// What a client likes best; the first form where it takes none, and where there is but one.
fn choose(formats: &[Format], occasion: &Occasion<'_>) -> Representation {
    let first = formats.first().copied().unwrap_or(Format::Problem);
    if !negotiates(formats) {
        return *first.usual();
    }
    *accept::choose(&occasion.accept(), offered(formats)).unwrap_or(first.usual())
}

/// A value of ours: visible ASCII.
fn constant(value: &'static str) -> HeaderValue<'static> {
    HeaderValue::new(value.as_bytes()).unwrap_or_else(|_| HeaderValue::number(0))
}
