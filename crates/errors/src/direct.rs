//! Answers that need no upstream: static ones, redirects and problems.

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::exchange::Reply;
use meshgate_policy::expression::template::{Sink, Template};
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::matching::Match;

use crate::answer::{Answer, Base};
use crate::compile::{self, Allowed};
use crate::config::{DirectConfig, RedirectConfig, StaticConfig};
use crate::format::{Document, Format};
use crate::metrics::Event;
use crate::occasion::{MAX_BODY, Occasion};
use crate::reason;

const CONTENT_TYPE: HeaderName = HeaderName::constant("content-type");
const LOCATION: HeaderName = HeaderName::constant("location");

/// The longest header value that a template makes, in bytes.
const MAX_VALUE: usize = 8 * 1024;

/// An answer, compiled.
#[derive(Debug)]
pub struct Direct {
    matches: Match,
    when: Option<Condition>,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Static {
        status: u16,
        body: Template,
        content_type: HeaderValue<'static>,
        headers: Vec<(HeaderName, Template)>,
    },
    Redirect(Redirect),
    Error {
        status: u16,
        answer: Box<Answer>,
    },
}

/// Another address.
#[derive(Debug)]
struct Redirect {
    status: u16,
    to: Template,
    /// What the address begins with, whatever its values are: scheme and host, or nothing where it is a path.
    origin: String,
    keep_path: bool,
    keep_query: bool,
}

impl Direct {
    /// Compiles an answer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(config: DirectConfig, type_base: &str, path: &Path) -> Result<Self, ConfigError> {
        let matches = compile::request_match(config.matches, &path.key("match"))?;
        let when = compile::condition(config.when, false, &path.key("when"))?;
        let action = match (config.respond, config.redirect, config.error) {
            (Some(config), None, None) => written(config, &path.key("respond"))?,
            (None, Some(config), None) => Action::Redirect(Redirect::compile(config, &path.key("redirect"))?),
            (None, None, Some(config)) => {
                let path = path.key("error");
                let status = config.status.ok_or_else(|| {
                    ConfigError::at(&path)
                        .problem("missing field \"status\"")
                        .hint("give it one, such as status: 410")
                })?;
                Action::Error { status, answer: Box::new(Answer::compile(config, type_base, false, &path)?) }
            }
            (None, None, None) => {
                return Err(ConfigError::at(path)
                    .found("neither respond, redirect nor error")
                    .expected("one of them, such as redirect: {to: https://www.example.com}"));
            }
            _ => {
                return Err(ConfigError::at(path)
                    .found("more than one of respond, redirect and error")
                    .expected("one of them"));
            }
        };
        Ok(Self { matches, when, action })
    }

    /// The answer, if it is for this request, and what it counts as.
    ///
    /// # Errors
    /// Why it is not.
    pub fn answer(
        &self,
        occasion: &mut Occasion<'_>,
        formats: &[Format],
    ) -> Result<(Reply, Event), &'static str> {
        if !occasion.matches(&self.matches) {
            return Err("match does not hold");
        }
        if !self.when.as_ref().is_none_or(|condition| occasion.holds(condition, &self.matches)) {
            return Err("when does not hold");
        }
        occasion.capture(&self.matches);
        match &self.action {
            Action::Static { status, body, content_type, headers } => {
                let mut reply = Reply::new(*status, "meshgate_direct_response");
                occasion.consumer(
                    body.needs().consumer || headers.iter().any(|(_, template)| template.needs().consumer),
                );
                let Some(body) = occasion.render(body, MAX_BODY) else {
                    let detail = "This request can't be answered with what it holds.";
                    let reply = unfit(occasion, formats, detail, "meshgate_direct_response_failed");
                    return Ok((reply, Event::Direct));
                };
                reply.body = body;
                if !reply.body.is_empty() {
                    reply = reply.with_header(CONTENT_TYPE, content_type.clone());
                }
                for (name, template) in headers {
                    let value =
                        occasion.render(template, MAX_VALUE).and_then(|value| HeaderValue::new(value).ok());
                    if let Some(value) = value {
                        reply = reply.with_header(name.clone(), value);
                    }
                }
                Ok((reply, Event::Direct))
            }
            Action::Redirect(redirect) => match redirect.location(occasion) {
                Some(location) => {
                    let reply =
                        Reply::new(redirect.status, "meshgate_redirect").with_header(LOCATION, location);
                    Ok((reply, Event::Redirected))
                }
                None => {
                    let detail = "This request can't be sent on to its new address.";
                    let reply = unfit(occasion, formats, detail, "meshgate_redirect_failed");
                    Ok((reply, Event::TemplateFailed))
                }
            },
            Action::Error { status, answer } => {
                let problem = Document { members: occasion.members(), ..reason::document(*status) };
                let base = Base::new(*status, problem, "meshgate_direct_error");
                Ok((answer.reply(base, occasion, formats), Event::Direct))
            }
        }
    }
}

/// The answer where one can't be made from what the client sent.
fn unfit(
    occasion: &mut Occasion<'_>,
    formats: &[Format],
    detail: &'static str,
    details: &'static str,
) -> Reply {
    let problem =
        Document { detail: Some(detail.into()), members: occasion.members(), ..reason::document(400) };
    let base = Base::new(400, problem, details);
    Answer::default().reply(base, occasion, formats)
}

fn written(config: StaticConfig, path: &Path) -> Result<Action, ConfigError> {
    const REQUEST: Allowed = Allowed { response: false, body: false };
    let content_type = HeaderValue::new(config.content_type.clone().into_bytes()).map_err(|_| {
        ConfigError::at(path.key("content_type"))
            .value(&config.content_type)
            .expected("a media type such as text/html")
    })?;
    let Some(sink) = Sink::of_body(&config.content_type) else {
        let error = ConfigError::at(path.key("content_type")).value(&config.content_type);
        return Err(error.expected("a media type such as text/html"));
    };
    let headers = config.headers.into_iter().map(|(name, source)| {
        let path = path.key("headers").key(&name);
        let template = compile::template(&source, Sink::Header, REQUEST, path.clone())?;
        Ok((compile::header_name(&name, &path)?, template))
    });
    Ok(Action::Static {
        status: match config.status {
            status @ (204 | 205 | 304) if config.body.is_empty() => status,
            status => compile::status(status, &path.key("status"))?,
        },
        body: compile::template(&config.body, sink, REQUEST, path.key("body"))?,
        content_type,
        headers: headers.collect::<Result<_, ConfigError>>()?,
    })
}

impl Redirect {
    fn compile(config: RedirectConfig, path: &Path) -> Result<Self, ConfigError> {
        if !matches!(config.status, 301 | 302 | 303 | 307 | 308) {
            return Err(ConfigError::at(path.key("status"))
                .found(config.status.to_string())
                .expected("one of 301, 302, 303, 307 and 308"));
        }
        let to = path.key("to");
        let template = compile::template(
            &config.to,
            Sink::Header,
            Allowed { response: false, body: false },
            to.clone(),
        )?;
        let literal = config.to.split('{').next().unwrap_or_default();
        let origin = origin(literal).ok_or_else(|| {
            ConfigError::at(&to).value(&config.to).expected(
                "a path that begins with /, or an address that begins with its scheme and host: https://www.example.com",
            )
        })?;
        Ok(Self {
            status: config.status,
            to: template,
            origin: origin.to_owned(),
            keep_path: config.keep_path,
            keep_query: config.keep_query,
        })
    }

    /// The address, if scheme and host are those of the configuration: a value must not make it another's.
    fn location(&self, occasion: &mut Occasion<'_>) -> Option<HeaderValue<'static>> {
        occasion.consumer(self.to.needs().consumer);
        let to = occasion.render(&self.to, MAX_VALUE)?;
        let request = occasion.request;
        // RFC 3986 section 3: behind the path comes the query, and behind both the fragment.
        let (to, fragment) = split(&to, b'#');
        let (path, query) = split(to, b'?');
        let mut location = encoded(path);
        if self.keep_path {
            while location.last() == Some(&b'/') {
                location.pop();
            }
            location.push(b'/');
            // More than one slash at the beginning of a path would be a host.
            let path: Vec<u8> =
                request.path.iter().copied().skip_while(|byte| matches!(byte, b'/' | b'\\')).collect();
            location.extend(encoded(&path));
        }
        let kept = request.query.filter(|_| self.keep_query);
        let queries: Vec<&[u8]> = query.into_iter().chain(kept).filter(|query| !query.is_empty()).collect();
        if !queries.is_empty() {
            location.push(b'?');
            location.extend(encoded(&queries.join(&b'&')));
        }
        if let Some(fragment) = fragment {
            location.push(b'#');
            location.extend(encoded(fragment));
        }
        let rest = location.strip_prefix(self.origin.as_bytes())?;
        let fits = match rest {
            [] => !self.origin.is_empty(),
            [b'/', second, ..] => !self.origin.is_empty() || !matches!(second, b'/' | b'\\'),
            [first, ..] => *first == b'/' || (!self.origin.is_empty() && matches!(first, b'?' | b'#')),
        };
        fits.then(|| HeaderValue::new(location).ok()).flatten()
    }
}

/// Scheme and host at the beginning of an address; nothing where it is a path. `None`: neither is sure before a value comes.
fn origin(literal: &str) -> Option<&str> {
    if let Some(rest) = literal.strip_prefix('/') {
        return (!rest.starts_with(['/', '\\'])).then_some("");
    }
    let (scheme, rest) = literal.split_once("://")?;
    let known = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host =
        rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty() && compile::is_uri_text(host))?;
    let length = scheme.len().checked_add("://".len())?.checked_add(host.len())?;
    literal.get(..length).filter(|_| known)
}

/// What stands before a delimiter and what behind it; `None`: there is none.
fn split(text: &[u8], delimiter: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(delimiter, text).and_then(|at| text.split_at_checked(at)) {
        Some((before, rest)) => (before, rest.get(1..)),
        None => (text, None),
    }
}

/// Percent-encodes what no URI holds (RFC 3986 section 2), and `#`: the one that begins a fragment has been split off.
fn encoded(part: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(part.len());
    for &byte in part {
        if matches!(byte, b'!'..=b'~') && !br##""#<>\^`{|}"##.contains(&byte) {
            encoded.push(byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_address_says_where_it_leads_before_any_value() {
        for (literal, expected) in [
            ("/v2/", Some("")),
            ("/", Some("")),
            ("https://a.example", Some("https://a.example")),
            ("https://a.example/x?y", Some("https://a.example")),
            ("https://a.example?y", Some("https://a.example")),
            ("//a.example/", None),
            ("/\\a.example/", None),
            ("https://", None),
            ("a.example", None),
            ("", None),
            ("1://a", None),
        ] {
            assert_eq!(origin(literal), expected, "{literal}");
        }
    }
}
