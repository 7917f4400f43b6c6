//! `respond` of a rule as what Envoy writes: the format of a body, a status and header fields.

use meshgate_errors::{Kind, problem_of};
use meshgate_policy::config::{Duration, Path};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

use super::{Errors, Lost, one_or_many};
use crate::check::{Node, NodeValue};
use crate::render::yaml::{Map, Yaml};

/// What the document says for all answers.
pub struct Settings {
    type_base: String,
    form: Form,
    /// The form that it prefers is not one that Envoy can write.
    pub lost_format: bool,
    include: Vec<String>,
    request_id_header: String,
}

#[derive(Clone, Copy)]
enum Form {
    Problem,
    Json,
    Text,
}

impl Settings {
    pub fn of(root: &Node) -> Self {
        let text = |key, default: &str| root.get(key).and_then(Node::text).unwrap_or(default).to_owned();
        let texts = |node: &Node| {
            one_or_many(node).iter().filter_map(|node| node.text()).map(str::to_owned).collect()
        };
        let default = || ["request_id", "trace_id", "timestamp"].map(str::to_owned).to_vec();
        let formats: Vec<String> = root.get("formats").map_or_else(Vec::new, texts);
        let form = |name: &String| match name.as_str() {
            "problem" => Some(Form::Problem),
            "json" => Some(Form::Json),
            "text" => Some(Form::Text),
            _ => None,
        };
        Self {
            type_base: text("type_base", "urn:meshgate:problem:"),
            form: formats.iter().find_map(form).unwrap_or(Form::Problem),
            lost_format: formats.first().is_some_and(|name| form(name).is_none()),
            include: root.get("include").map_or_else(default, texts),
            request_id_header: text("request_id_header", "x-request-id"),
        }
    }

    pub fn form_name(&self) -> &'static str {
        match self.form {
            Form::Problem => "problem",
            Form::Json => "json",
            Form::Text => "text",
        }
    }
}

/// What is said of an error that a rule says nothing else of.
pub struct Problem {
    /// A name, to stand behind `type_base`.
    kind: Option<&'static str>,
    title: Option<String>,
    detail: Option<String>,
}

impl Problem {
    pub fn of(kind: &Kind) -> Self {
        Self {
            kind: Some(kind.name),
            title: Some(kind.title.to_owned()),
            detail: Some(kind.detail.to_owned()),
        }
    }

    /// Of an error that is not in the catalogue.
    pub fn unknown() -> Self {
        Self { kind: None, title: None, detail: None }
    }

    /// Of such errors by their status: what each is for, and what is said.
    pub fn by_status(errors: Errors) -> Vec<(String, Self)> {
        let usual: &[u16] = match errors {
            Errors::Unseen => &[426, 431],
            Errors::All => &[400, 403, 404, 408, 413, 426, 429, 431, 500, 502, 503, 504],
        };
        let of = |status: u16| {
            let (title, detail) = problem_of(status);
            Self { kind: None, title: Some(title), detail }
        };
        let usual = usual.iter().map(|status| (format!("response.code == {status}"), of(*status)));
        // Two that have no title of their own.
        let rest = [("response.code >= 400 && response.code < 500", 499), ("response.code >= 500", 599)];
        usual.chain(rest.map(|(term, status)| (term.to_owned(), of(status)))).collect()
    }
}

/// What a rule says.
#[derive(Default)]
pub struct Answer {
    status: Option<u16>,
    kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    instance: Option<String>,
    members: Vec<(String, Yaml)>,
    retry_after: Option<u64>,
    cache_control: Option<String>,
    set: Vec<(String, String)>,
}

/// Reads `respond`; beside it what Envoy can't write.
pub fn answer(respond: &Node, path: &Path, settings: &Settings) -> (Answer, Vec<Lost>) {
    let mut answer = Answer::default();
    let mut lost = Vec::new();
    for entry in respond.entries() {
        let (node, path) = (&*entry.value, path.key(&entry.key));
        let mut text = || match template(node.text().unwrap_or_default()) {
            Ok(text) => Some(text),
            Err(why) => {
                lost.push(Lost::new(node, &path, why));
                None
            }
        };
        match entry.key.as_str() {
            "status" => answer.status = number(node),
            "type" => answer.kind = node.text().map(|kind| problem_type(kind, &settings.type_base)),
            "title" => answer.title = text(),
            "detail" => answer.detail = text(),
            "instance" => answer.instance = text(),
            "members" => {
                for entry in node.entries() {
                    match member(&entry.value) {
                        Ok(value) => answer.members.push((entry.key.clone(), value)),
                        Err(why) => lost.push(Lost::new(&entry.value, &path.key(&entry.key), why)),
                    }
                }
            }
            "retry_after" => answer.retry_after = seconds(node),
            "cache_control" => answer.cache_control = node.text().map(str::to_owned),
            "headers" => headers(node, &path, &mut answer, &mut lost),
            "formats" => lost.push(Lost::new(node, &path, "forms of one rule: all answers have one form")),
            "body" => lost.push(Lost::new(node, &path, "bodies of its own: the usual one is written")),
            _ => lost.push(Lost::new(node, &path, "what gRPC clients get: Envoy makes it of the status")),
        }
    }
    (answer, lost)
}

fn headers(node: &Node, path: &Path, answer: &mut Answer, lost: &mut Vec<Lost>) {
    for entry in node.get("set").map_or(&[][..], Node::entries) {
        match template(entry.value.text().unwrap_or_default()) {
            Ok(value) => answer.set.push((entry.key.clone(), value)),
            Err(why) => lost.push(Lost::new(&entry.value, &path.key("set").key(&entry.key), why)),
        }
    }
    // `keep` is about responses of the upstream.
    if let Some(node) = node.get("remove") {
        lost.push(Lost::new(
            node,
            &path.key("remove"),
            "fields to remove: Envoy's own answers have none before",
        ));
    }
}

impl Answer {
    /// Whether nothing is left to say for the kind of problem.
    pub fn is_complete(&self) -> bool {
        self.kind.is_some() && self.title.is_some() && self.detail.is_some()
    }

    /// What a mapper says: status, header fields and the body.
    pub fn write(&self, problem: &Problem, settings: &Settings) -> Map {
        let literal = |text: &Option<String>| text.as_deref().map(escaped);
        let (mut title, mut detail) = (literal(&problem.title), literal(&problem.detail));
        if let (Some(status), None) = (self.status, problem.kind) {
            let (of_status, about) = problem_of(status);
            (title, detail) = (Some(escaped(&of_status)), about.as_deref().map(escaped));
        }
        let title = self.title.clone().or(title);
        let detail = self.detail.clone().or(detail);
        Map::new()
            .with_some("status_code", self.status)
            .with("headers_to_add", self.fields())
            .with("body_format_override", self.body(problem, title, detail, settings))
    }

    fn body(
        &self,
        problem: &Problem,
        title: Option<String>,
        detail: Option<String>,
        settings: &Settings,
    ) -> Map {
        if let Form::Text = settings.form {
            let title = title.map(|title| format!(" {title}")).unwrap_or_default();
            let detail = detail.map(|detail| format!("\n{detail}\n")).unwrap_or_default();
            let text = format!("%RESPONSE_CODE%{title}\n{detail}");
            return Map::new()
                .with("text_format_source", Map::new().with("inline_string", text))
                .with("content_type", "text/plain; charset=utf-8");
        }
        let of_problem = problem.kind.map(|name| escaped(&format!("{}{name}", settings.type_base)));
        let kind =
            self.kind.as_deref().map(escaped).or(of_problem).unwrap_or_else(|| "about:blank".to_owned());
        let mut members = Map::new()
            .with("type", kind)
            .with_some("title", title)
            .with("status", "%RESPONSE_CODE%")
            .with_some("detail", detail)
            .with_some("instance", self.instance.clone());
        for (name, value) in &self.members {
            members = members.with(name.as_str(), value.clone());
        }
        for (name, value) in [
            ("request_id", format!("%REQ({})%", settings.request_id_header.to_ascii_uppercase())),
            ("trace_id", "%TRACE_ID%".to_owned()),
            ("timestamp", NOW.to_owned()),
        ] {
            if settings.include.iter().any(|included| included == name) {
                members = members.with(name, value);
            }
        }
        let content_type =
            if let Form::Problem = settings.form { "application/problem+json" } else { "application/json" };
        Map::new()
            .with("json_format", members)
            .with("omit_empty_values", true)
            .with("content_type", content_type)
    }

    fn fields(&self) -> Vec<Map> {
        let mut fields = Vec::new();
        fields.extend(self.retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
        let cache_control = self.cache_control.as_deref().unwrap_or("no-store");
        fields.push(("cache-control".to_owned(), escaped(cache_control)));
        fields.extend(self.set.iter().cloned());
        let field = |(name, value): (String, String)| {
            Map::new()
                .with("header", Map::new().with("key", name).with("value", value))
                .with("append_action", "OVERWRITE_IF_EXISTS_OR_ADD")
        };
        fields.into_iter().map(field).collect()
    }
}

/// The beginning of the request, as near to now as Envoy has it here.
const NOW: &str = "%START_TIME(%Y-%m-%dT%H:%M:%E3SZ)%";

/// A template as Envoy's format; else why there is none.
fn template(text: &str) -> Result<String, String> {
    if text.contains("{%") || text.contains("{#") {
        return Err("a template with tags: it is left out".to_owned());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let Some((expression, after)) = behind.split_once("}}") else { break };
        out.push_str(&escaped(before));
        let Some(operator) = operator(expression.trim()) else {
            return Err(format!(
                "{{{{ {} }}}}, for which Envoy has no word: it is left out",
                expression.trim()
            ));
        };
        out.push_str(&operator);
        rest = after;
    }
    out.push_str(&escaped(rest));
    Ok(out)
}

/// What Envoy's formats have for a variable.
fn operator(expression: &str) -> Option<String> {
    Some(match expression {
        "request.method" => "%REQ(:METHOD)%".to_owned(),
        "request.host" => "%REQ(:AUTHORITY)%".to_owned(),
        "request.path" => "%PATH(NQ:PATH)%".to_owned(),
        "response.status" => "%RESPONSE_CODE%".to_owned(),
        "now" => NOW.to_owned(),
        other => {
            let name = other.strip_prefix("request.headers")?;
            let in_brackets = |quote: char| {
                name.strip_prefix('[')?.strip_suffix(']')?.strip_prefix(quote)?.strip_suffix(quote)
            };
            let name = name.strip_prefix('.').or_else(|| in_brackets('\'')).or_else(|| in_brackets('"'))?;
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_name) {
                return None;
            }
            format!("%REQ({})%", name.to_ascii_uppercase())
        }
    })
}

/// A member of a rule: a template, or any JSON without one.
fn member(node: &Node) -> Result<Yaml, String> {
    Ok(match &node.value {
        NodeValue::Text(text) => template(&text.text)?.into(),
        NodeValue::List(items) => Yaml::List(items.iter().map(|item| literal(item)).collect()),
        _ => literal(node),
    })
}

/// JSON as it is: its texts are no templates.
fn literal(node: &Node) -> Yaml {
    match &node.value {
        NodeValue::Text(text) => escaped(&text.text).into(),
        NodeValue::List(items) => Yaml::List(items.iter().map(|item| literal(item)).collect()),
        NodeValue::Object(entries) => {
            let entries = entries.iter();
            entries.fold(Map::new(), |map, entry| map.with(entry.key.as_str(), literal(&entry.value))).into()
        }
        _ => node.into(),
    }
}

/// A text that stands for itself in a format.
fn escaped(text: &str) -> String {
    text.replace('%', "%%")
}

fn problem_type(kind: &str, base: &str) -> String {
    if kind.contains([':', '/', '#']) { kind.to_owned() } else { format!("{base}{kind}") }
}

fn number(node: &Node) -> Option<u16> {
    match &node.value {
        NodeValue::Number(text) => text.parse().ok(),
        _ => None,
    }
}

fn seconds(node: &Node) -> Option<u64> {
    let duration = Duration::deserialize(StrDeserializer::<Error>::new(node.text()?)).ok()?;
    Some(duration.as_millis().div_ceil(1_000))
}
