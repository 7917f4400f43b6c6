//! One request of a block `requests`, and what is said about it.

use std::fmt::Write as _;

/// A request, what the upstream is to do with it, and what is expected.
pub struct Case {
    /// As it stands in the page.
    pub line: String,
    pub method: String,
    pub target: String,
    pub fields: Vec<Field>,
    pub body: Option<String>,
    pub upstream: Upstream,
    /// Of the answer, with the details of the access log behind it.
    pub status: u16,
    pub details: String,
    pub answer: Expected,
    /// What the upstream got. `None`: it got nothing.
    pub forwarded: Option<Expected>,
}

pub type Field = (String, String);

/// What the upstream does.
pub enum Upstream {
    Echoes,
    Answers {
        status: u16,
        fields: Vec<Field>,
        body: Option<String>,
    },
    Resets,
    /// What Envoy finds instead of it: `down`, `slow` or `missing`.
    Is(String),
}

/// What is expected of a message; what is not said may be anything.
#[derive(Default)]
pub struct Expected {
    /// Method and target, of a request.
    first: Option<String>,
    fields: Vec<Field>,
    absent: Vec<String>,
    body: Option<String>,
}

/// A message as it was seen.
pub struct Seen<'a> {
    pub first: String,
    pub fields: &'a meshgate_e2e::Fields,
    pub body: &'a [u8],
}

/// The cases of a block.
pub fn cases(block: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        match line.strip_prefix("    ") {
            Some(statement) => {
                let case = cases.last_mut().unwrap_or_else(|| panic!("no request above {line:?}"));
                case.line = format!("{}\n{line}", case.line);
                case.add(statement.trim()).unwrap_or_else(|| panic!("what does this line say? {line:?}"));
            }
            None => cases.push(Case::new(line).unwrap_or_else(|| panic!("what request is this? {line:?}"))),
        }
    }
    cases.iter_mut().for_each(Case::complete);
    cases
}

impl Case {
    /// `METHOD target name: value, name: value # status details`
    fn new(line: &str) -> Option<Self> {
        let (request, answer) = line.split_once(" # ")?;
        let (method, rest) = request.trim_end().split_once(' ')?;
        let (target, fields) = rest.split_once(' ').unwrap_or((rest, ""));
        let (status, details) = answer.split_once(' ').unwrap_or((answer, "via_upstream"));
        Some(Self {
            line: line.into(),
            method: method.into(),
            target: target.into(),
            fields: list_of_fields(fields)?,
            body: None,
            upstream: Upstream::Echoes,
            status: status.parse().ok()?,
            details: details.into(),
            answer: Expected::default(),
            forwarded: Some(Expected::default()),
        })
    }

    /// What an indented line says.
    fn add(&mut self, statement: &str) -> Option<()> {
        if let Some(body) = statement.strip_prefix("sends ") {
            add_line(&mut self.body, body.strip_prefix("body ").unwrap_or(body));
        } else if let Some(what) = statement.strip_prefix("gets ") {
            self.answer.add(what);
        } else if statement == "upstream gets nothing" {
            self.forwarded = None;
        } else if let Some(what) = statement.strip_prefix("upstream gets ") {
            self.forwarded.as_mut()?.add(what);
        } else if let Some(what) = statement.strip_prefix("upstream answers ") {
            self.upstream.add(what)?;
        } else if statement == "upstream resets" {
            self.upstream = Upstream::Resets;
        } else {
            let state = statement.strip_prefix("upstream is ")?;
            self.upstream =
                ["down", "slow", "missing"].contains(&state).then(|| Upstream::Is(state.into()))?;
        }
        Some(())
    }

    /// Adds what need not be said.
    fn complete(&mut self) {
        add_content_type(&mut self.fields, self.body.as_deref());
        if let Upstream::Answers { fields, body, .. } = &mut self.upstream {
            add_content_type(fields, body.as_deref());
        }
        if matches!(&self.upstream, Upstream::Is(state) if state != "slow") {
            self.forwarded = None;
        }
    }
}

impl Upstream {
    /// `status name: value, name: value`, or a line of the body.
    fn add(&mut self, what: &str) -> Option<()> {
        if !matches!(self, Self::Answers { .. }) {
            *self = Self::Answers { status: 200, fields: vec![], body: None };
        }
        let Self::Answers { status, fields, body } = self else { return None };
        let (first, rest) = what.split_once(' ').unwrap_or((what, ""));
        if first.len() == 3
            && let Ok(number) = first.parse()
        {
            *status = number;
            fields.extend(list_of_fields(rest)?);
        } else if let Some(field) = field(what) {
            fields.push(field);
        } else {
            add_line(body, what.strip_prefix("body ").unwrap_or(what));
        }
        Some(())
    }
}

impl Expected {
    /// `name: value`, `no name`, `METHOD /target`, or a line of the body.
    fn add(&mut self, what: &str) {
        if let Some(line) = what.strip_prefix("body ") {
            add_line(&mut self.body, line);
        } else if let Some(name) = what.strip_prefix("no ").filter(|name| is_token(name)) {
            self.absent.push(name.into());
        } else if let Some(field) = field(what) {
            self.fields.push(field);
        } else if what.split_once(" /").is_some_and(|(method, target)| {
            method.bytes().all(|byte| byte.is_ascii_uppercase()) && !target.contains(' ')
        }) {
            self.first = Some(what.into());
        } else {
            add_line(&mut self.body, what);
        }
    }

    /// How a message differs from this.
    pub fn differences(&self, whose: &str, seen: &Seen<'_>) -> String {
        let mut differences = String::new();
        let mut differ = |what: &str, is: &str| {
            let _ = write!(differences, "\n  {whose} {what}: {is}");
        };
        if let Some(first) = &self.first
            && !like(first, &seen.first)
        {
            differ(first, &seen.first);
        }
        for (name, value) in &self.fields {
            let values: Vec<_> =
                seen.fields.bytes(name).into_iter().map(|value| String::from_utf8_lossy(value)).collect();
            if !values.iter().any(|seen| like(value, seen)) {
                differ(&format!("{name}: {value}"), &format!("{values:?}"));
            }
        }
        for name in &self.absent {
            if !seen.fields.bytes(name).is_empty() {
                differ(&format!("no {name}"), "it is there");
            }
        }
        if let Some(body) = &self.body {
            let text = String::from_utf8_lossy(seen.body);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            if !like(body, text) {
                differ(body, text);
            }
        }
        differences
    }

    /// Whether it says anything.
    pub fn is_anything(&self) -> bool {
        self.first.is_none() && self.fields.is_empty() && self.absent.is_empty() && self.body.is_none()
    }
}

/// Whether a text is the expected one, in which `...` stands for any text.
pub fn like(expected: &str, text: &str) -> bool {
    let mut parts = expected.split("...");
    let Some(mut rest) = parts.next().and_then(|start| text.strip_prefix(start)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    false
}

fn add_line(body: &mut Option<String>, line: &str) {
    match body {
        Some(body) => *body = format!("{body}\n{line}"),
        None => *body = Some(line.into()),
    }
}

fn add_content_type(fields: &mut Vec<Field>, body: Option<&str>) {
    let is_json = body.is_some_and(|body| body.starts_with(['{', '[']));
    if is_json && fields.iter().all(|(name, _)| name != "content-type") {
        fields.push(("content-type".into(), "application/json".into()));
    }
}

/// `name: value, name: value`. A comma without a field behind it belongs to the value.
fn list_of_fields(text: &str) -> Option<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::new();
    for part in text.split(", ").filter(|part| !part.is_empty()) {
        match field(part) {
            Some(field) => fields.push(field),
            None => {
                let (_, value) = fields.last_mut()?;
                *value = format!("{value}, {part}");
            }
        }
    }
    Some(fields)
}

fn field(text: &str) -> Option<Field> {
    let (name, value) = text.split_once(": ")?;
    is_token(name).then(|| (name.into(), value.into()))
}

/// A header name as the pages write it.
fn is_token(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}

#[test]
fn a_line_is_understood() {
    let block = r#"
POST /a?b=c accept: text/html, */*;q=0.1, x-a: 1 # 201
    sends {"a": 1,
    sends "b": 2}
    upstream gets PUT /b
    upstream gets {"a": 1}
    upstream answers 404 x-b: 2
    upstream answers body note: not a field
    gets no x-b
    gets [1, ...]
GET / # 503 a{...}
    upstream is down"#;
    let [first, second] = &cases(block)[..] else { panic!("two requests") };
    let accept = ("accept".to_owned(), "text/html, */*;q=0.1".to_owned());
    let json = ("content-type".to_owned(), "application/json".to_owned());
    assert_eq!(first.fields, [accept, ("x-a".into(), "1".into()), json]);
    assert_eq!((first.status, first.details.as_str()), (201, "via_upstream"));
    assert_eq!(first.body.as_deref(), Some("{\"a\": 1,\n\"b\": 2}"));
    let forwarded = first.forwarded.as_ref().unwrap();
    assert_eq!(forwarded.first.as_deref(), Some("PUT /b"));
    assert_eq!(forwarded.body.as_deref(), Some("{\"a\": 1}"));
    let Upstream::Answers { status: 404, fields, body } = &first.upstream else { panic!("it answers") };
    assert_eq!(fields[..], [("x-b".into(), "2".into())]);
    assert_eq!(body.as_deref(), Some("note: not a field"));
    assert_eq!(first.answer.absent, ["x-b"]);
    assert_eq!(first.answer.body.as_deref(), Some("[1, ...]"));
    assert!(second.forwarded.is_none() && matches!(second.upstream, Upstream::Is(_)));
}

#[test]
fn dots_stand_for_any_text() {
    for (expected, text) in
        [("a", "a"), ("a...", "abc"), ("...c", "abc"), ("a...c...e", "abcde"), ("a...a", "aa"), ("...", "")]
    {
        assert!(like(expected, text), "{expected} {text}");
    }
    for (expected, text) in [("a", "ab"), ("a...b", "abc"), ("a...a", "a"), ("...b...", "acd")] {
        assert!(!like(expected, text), "{expected} {text}");
    }
}
