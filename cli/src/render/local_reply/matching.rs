//! `match` of a rule as a filter of Envoy's access log: an expression in CEL, and response flags.

use meshgate_errors::{Flag, KINDS, Kind};
use meshgate_policy::config::Path;
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

use super::{Errors, Lost, cel, one_or_many};
use crate::check::{Node, NodeValue};
use crate::render::yaml::{Map, Yaml};

/// Which errors a mapper is for. All terms hold.
#[derive(Default)]
pub struct Filter {
    pub terms: Vec<String>,
    /// One of these is set.
    pub flags: Vec<&'static str>,
    /// It is about responses of the upstream.
    pub never: bool,
    has_status: bool,
}

/// Details of what Envoy answers before any filter has the request, because it could not be read or must not come further, or
/// when the head of a response has passed the filters already.
const UNSEEN: [&str; 11] = [
    "absolute_path_rejected",
    "low_version",
    "missing_host_header",
    "missing_path_rejected",
    "path_normalization_failed",
    "invalid_path",
    "empty_host_header",
    "request_header_timeout",
    "overload",
    "response_payload_too_large",
    "upgrade_failed",
];

/// Details of its codecs and of its checks of headers begin so.
const CODECS: [&str; 4] = ["http1.", "http2.", "http3.", "uhv."];

/// Whether these are details of an error that no filter sees.
pub fn is_unseen(details: &str) -> bool {
    UNSEEN.contains(&details)
}

/// The filter of a `match` block.
pub fn filter(matches: &Node, path: &Path) -> Result<Filter, Lost> {
    let mut filter = Filter::default();
    for entry in matches.entries() {
        let (node, path) = (&*entry.value, path.key(&entry.key));
        let one = |convert: &dyn Fn(&Node) -> Option<String>| any(node, &path, convert);
        match entry.key.as_str() {
            "origin" => {
                filter.never = !one_or_many(node).iter().any(|origin| origin.text() == Some("gateway"));
            }
            "flag" => filter.flags = one_or_many(node).into_iter().filter_map(flag).collect(),
            "status" => {
                filter.has_status = true;
                filter.terms.push(one(&status)?);
            }
            "details" => filter.terms.push(one(&details)?),
            "method" => {
                filter.terms.push(one(&|node| Some(format!("request.method == {}", cel(node.text()?))))?)
            }
            "host" => filter.terms.push(one(&host)?),
            "path" => filter.terms.push(one(&url_path)?),
            "header" => {
                for entry in node.entries() {
                    let path = path.key(&entry.key);
                    let term =
                        any(&entry.value, &path, &|value| header(&entry.key.to_ascii_lowercase(), value));
                    filter.terms.push(term?);
                }
            }
            other => {
                let why = format!("`{other}`, which Envoy can't ask here: the rule is left out");
                return Err(Lost::new(node, &path, why));
            }
        }
    }
    Ok(filter)
}

impl Filter {
    /// Of this status, as a term.
    pub fn of_status(term: String) -> Self {
        Self { terms: vec![term], has_status: true, ..Self::default() }
    }

    /// As Envoy takes it; of one kind of errors, if there is one.
    pub fn write(&self, errors: Errors, kind: Option<&Kind>) -> Map {
        // What a filter or a service has given a form is left alone.
        let mut terms = vec!["!('content-type' in response.headers)".to_owned()];
        if !self.has_status {
            terms.push("response.code >= 400".to_owned());
        }
        match kind {
            Some(kind) => terms.push(of_kind(kind, errors)),
            None if errors == Errors::Unseen => {
                let details = begins_with(CODECS.into_iter());
                terms.push(format!("({} || {details})", is_one_of(UNSEEN.into_iter())));
            }
            None => {}
        }
        terms.extend(self.terms.iter().cloned());
        let cel = Map::new()
            .with(
                "@type",
                "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            )
            .with("expression", terms.join(" && "));
        let cel =
            Map::new().with("name", "envoy.access_loggers.extension_filters.cel").with("typed_config", cel);
        let cel = Map::new().with("extension_filter", cel);
        if self.flags.is_empty() {
            return cel;
        }
        let flags = Map::new().with("flags", self.flags.clone());
        let filters: Vec<Yaml> = vec![Map::new().with("response_flag_filter", flags).into(), cel.into()];
        Map::new().with("and_filter", Map::new().with("filters", filters))
    }
}

/// The details of a kind. Behind the name may stand what is said of one time: `jwt_authn_access_denied{Jwt_is_missing}`,
/// `...{connection_failure|Connection_refused}`.
fn of_kind(kind: &Kind, errors: Errors) -> String {
    if errors == Errors::All {
        let names = kind.details.iter().map(|name| name.strip_suffix('}').unwrap_or(name));
        return format!("({})", begins_with(names));
    }
    let named = is_one_of(kind.details.iter().copied().filter(|name| is_unseen(name)));
    if kind.name == "protocol-error" {
        return format!("({named} || response.code == 400 && ({}))", begins_with(CODECS.into_iter()));
    }
    named
}

fn is_one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("response.code_details in [{}]", names.map(cel).collect::<Vec<_>>().join(", "))
}

fn begins_with<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let term = |name: &str| format!("response.code_details.startsWith({})", cel(name));
    names.map(term).collect::<Vec<_>>().join(" || ")
}

/// Kinds whose details are the beginning of others' come last.
pub fn by_precision(kinds: &mut [&'static Kind]) {
    let begins_others = |kind: &Kind| {
        let begins = |name: &&str| {
            let others = KINDS.iter().filter(|other| other.name != kind.name);
            others.flat_map(|other| other.details).any(|details| details.starts_with(*name))
        };
        kind.details.iter().any(begins)
    };
    kinds.sort_by_key(|kind| begins_others(kind));
}

/// Terms of which one must hold.
fn any(node: &Node, path: &Path, convert: &dyn Fn(&Node) -> Option<String>) -> Result<String, Lost> {
    let several = one_or_many(node);
    let mut terms = Vec::new();
    for (index, one) in several.iter().enumerate() {
        let Some(term) = convert(one) else {
            let path = if several.len() > 1 { path.index(index) } else { path.clone() };
            return Err(Lost::new(one, &path, "a condition that Envoy can't ask here: the rule is left out"));
        };
        terms.push(term);
    }
    Ok(if terms.len() == 1 { terms.concat() } else { format!("({})", terms.join(" || ")) })
}

fn flag(node: &Node) -> Option<&'static str> {
    Flag::deserialize(StrDeserializer::<Error>::new(node.text()?)).ok().map(Flag::short)
}

fn status(node: &Node) -> Option<String> {
    let text = match &node.value {
        NodeValue::Number(text) => text.as_str(),
        _ => node.text()?,
    };
    if let Some(class) = text.strip_suffix("xx") {
        return Some(format!("(response.code >= {class}00 && response.code <= {class}99)"));
    }
    Some(match text.split_once('-') {
        Some((first, last)) => format!("(response.code >= {first} && response.code <= {last})"),
        None => format!("response.code == {text}"),
    })
}

fn details(node: &Node) -> Option<String> {
    let text = node.text()?;
    Some(match text.strip_suffix('*') {
        Some(begin) => format!("response.code_details.startsWith({})", cel(begin)),
        None => format!("response.code_details == {}", cel(text)),
    })
}

/// `*.example.com`, without a port: a request may have one.
fn host(node: &Node) -> Option<String> {
    let host = node.text()?;
    if host == "*" {
        return Some("true".to_owned());
    }
    if host.contains([':', '[']) {
        return None;
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let name = name.strip_prefix('*').unwrap_or(&name);
    let with_port = cel(&format!("{name}:"));
    Some(if name.starts_with('.') {
        format!("(request.host.endsWith({}) || request.host.contains({with_port}))", cel(name))
    } else {
        format!("(request.host == {} || request.host.startsWith({with_port}))", cel(name))
    })
}

/// A template, a prefix or a path; not a regular expression, which is for a path in normal form.
fn url_path(node: &Node) -> Option<String> {
    if let Some(prefix) = node.get("prefix").and_then(Node::text) {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let below = cel(&format!("{prefix}/"));
        return Some(format!(
            "(request.url_path == {} || request.url_path.startsWith({below}))",
            cel(prefix)
        ));
    }
    if let Some(exact) = node.get("exact").and_then(Node::text) {
        return Some(format!("request.url_path == {}", cel(exact)));
    }
    let template = node.text()?.strip_suffix('/').unwrap_or(node.text()?);
    if !template.contains('{') {
        let with_slash = cel(&format!("{template}/"));
        return Some(format!("request.url_path in [{}, {with_slash}]", cel(template)));
    }
    let mut pattern = String::from("^");
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}')?;
        if name.ends_with("...") {
            // What is left, none included: with the slash in front of it.
            let before = before.strip_suffix('/').unwrap_or(before);
            pattern.push_str(&format!("{}(/.*)?", regex(before)));
        } else {
            pattern.push_str(&format!("{}[^/]+", regex(before)));
        }
        rest = after;
    }
    pattern.push_str(&regex(rest));
    pattern.push_str("/?$");
    // Envoy takes programs of RE2 of up to 100 steps: one for a letter, ten for a segment.
    if pattern.len().saturating_add(pattern.matches("[^/]+").count().saturating_mul(5)) > 90 {
        return None;
    }
    Some(format!("request.url_path.matches({})", cel(&pattern)))
}

fn header(name: &str, value: &Node) -> Option<String> {
    let field = format!("request.headers[{}]", cel(name));
    if let Some(exact) = value.text() {
        return Some(format!("{field} == {}", cel(exact)));
    }
    let [entry] = value.entries() else { return None };
    let text = || entry.value.text().map(cel);
    Some(match entry.key.as_str() {
        "exact" => format!("{field} == {}", text()?),
        "prefix" => format!("{field}.startsWith({})", text()?),
        "suffix" => format!("{field}.endsWith({})", text()?),
        "contains" => format!("{field}.contains({})", text()?),
        "present" => format!("{} in request.headers", cel(name)),
        _ => return None,
    })
}

/// A text that stands for itself in a regular expression (RE2).
fn regex(text: &str) -> String {
    let escaped = |char: char| {
        if char.is_ascii_alphanumeric() || "_-/".contains(char) || !char.is_ascii() {
            char.to_string()
        } else {
            format!("\\{char}")
        }
    };
    text.chars().map(escaped).collect()
}
