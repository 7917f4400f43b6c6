//! What compiling the parts of a document has in common.

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::expression::template::{Sink, Template};
use meshgate_policy::headers::HeaderName;
use meshgate_policy::matching::Match;

use crate::format::Format;

/// What a template may ask for besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// The response.
    pub response: bool,
    /// The problem, as `body`.
    pub body: bool,
}

/// A template.
///
/// # Errors
/// What is wrong with it.
pub fn template(source: &str, sink: Sink, allowed: Allowed, path: Path) -> Result<Template, ConfigError> {
    let template =
        Template::new(source, sink).map_err(|error| ConfigError::at(&path).problem(error.to_string()))?;
    if template.needs().response && !allowed.response {
        return Err(ConfigError::at(path)
            .found("a template that asks for the response")
            .expected("one that asks only for the request: this is sent before there is a response"));
    }
    if template.needs().body && !allowed.body {
        return Err(ConfigError::at(path).found("a template that asks for the body").expected(
            "one that does not: bodies are never read here; in body templates, body is the problem",
        ));
    }
    Ok(template)
}

/// A condition.
///
/// # Errors
/// It asks for what there is not.
pub fn condition(
    condition: Option<Condition>,
    response: bool,
    path: &Path,
) -> Result<Option<Condition>, ConfigError> {
    let Some(condition) = condition else { return Ok(None) };
    if condition.needs().body {
        return Err(ConfigError::at(path)
            .found("a condition on the body")
            .expected("one on heads only: bodies are never read here"));
    }
    if condition.needs().response && !response {
        return Err(ConfigError::at(path)
            .found("a condition on the response")
            .expected("conditions on the request only: this is decided before there is a response"));
    }
    Ok(Some(condition))
}

/// A `match` block for requests.
///
/// # Errors
/// It asks for the response.
pub fn request_match(entry: Match, path: &Path) -> Result<Match, ConfigError> {
    if entry.needs_response() {
        return Err(ConfigError::at(path.key("status"))
            .found("a status of the response")
            .expected("conditions on the request only: this is decided before there is a response"));
    }
    Ok(entry)
}

/// The name of a header field that answers can have.
///
/// # Errors
/// It is not one, or is what the proxy writes.
pub fn header_name(name: &str, path: &Path) -> Result<HeaderName, ConfigError> {
    const RESERVED: &[&str] = &[
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let error = || ConfigError::at(path).value(name);
    let parsed = HeaderName::new(name)
        .map_err(|_| error().expected("the name of a header field, such as x-error-id"))?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err(error().expected("a field that is not the proxy's own to write"));
    }
    Ok(parsed)
}

/// The status of an answer with a body.
///
/// # Errors
/// It is not one, or one whose answers end with the head (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5): bytes behind it
/// would be read as the next answer.
pub fn status(status: u16, path: &Path) -> Result<u16, ConfigError> {
    let error = ConfigError::at(path).found(status.to_string());
    match status {
        204 | 205 | 304 => Err(error.expected("a status whose answers have a body")),
        200..=599 => Ok(status),
        _ => Err(error.expected("a status from 200 to 599")),
    }
}

/// Forms to choose from.
///
/// # Errors
/// One is there twice.
pub fn formats(formats: Vec<Format>, path: &Path) -> Result<Vec<Format>, ConfigError> {
    for (index, format) in formats.iter().enumerate() {
        if formats.iter().take(index).any(|earlier| earlier == format) {
            return Err(ConfigError::at(path.index(index))
                .found("a form that is there twice")
                .expected("each form once"));
        }
    }
    Ok(formats)
}

/// The URI of a problem type: a URI as it is, a name behind the base.
///
/// # Errors
/// It is neither.
pub fn problem_type(kind: &str, base: &str, path: &Path) -> Result<String, ConfigError> {
    let error = |expected| ConfigError::at(path).value(kind).expected(expected);
    if !is_uri_text(kind) {
        return Err(error("a URI, or a name to put behind type_base, in visible ASCII"));
    }
    // A URI has a scheme, and a reference to a path a slash; a name has neither.
    let name = !kind.contains([':', '/', '#']);
    Ok(if name { format!("{base}{kind}") } else { kind.to_owned() })
}

/// Whether a text holds nothing that a URI must not (RFC 3986 section 2), and is not empty.
pub fn is_uri_text(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'!'..=b'~') && !br#""<>\^`{|}"#.contains(&byte);
    !text.is_empty() && text.len() <= 1_024 && text.bytes().all(allowed)
}
