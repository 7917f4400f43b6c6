//! YAML texts as trees.
//!
//! The parser gives events with places; what a plain scalar means is decided here, as Kubernetes and Envoy decide it: they
//! read YAML 1.1, where `on` is a boolean. Aliases share what they name, so that a text of a few lines that stands for
//! billions of values takes no more memory than its lines.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use meshgate_policy::config::{ConfigError, Path};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::node::{Entry, Fault, Node, Style, Surprise, Text, Value};
use super::source::Source;

/// How many lists and objects may be inside each other in a file: those of Envoy and Kubernetes around a configuration too.
pub const MAX_DEPTH: usize = 128;
/// How many values aliases may stand for, all together.
const MAX_ALIASED: usize = 1_000_000;
/// After so many documents that can't be read the rest of a file is not looked at.
const MAX_FAULTS: usize = 100;

/// A document of a file.
pub struct Document {
    pub root: Rc<Node>,
    /// Where merge keys (`<<`) stand: Kubernetes merges, Envoy does not.
    pub merges: Vec<usize>,
}

/// Reads all documents of a text. After one that is no YAML it goes on with the next `---`.
pub fn documents(source: &Source) -> Vec<Result<Document, Fault>> {
    let mut documents = Vec::new();
    let mut faults = 0_usize;
    let mut begin = Some(0);
    while let Some(from) = begin {
        let mut builder = Builder::new(source, from);
        begin = None;
        if let Err(fault) = builder.read(&mut documents) {
            faults = faults.saturating_add(1);
            if faults < MAX_FAULTS {
                begin = next_document(source, from, fault.at);
            }
            documents.push(Err(fault));
        }
    }
    documents
}

/// Where the document begins that follows a place in the one that began at `begin`: nothing goes on past a line that begins
/// with `---` (YAML 1.2.2 section 9.1.2).
fn next_document(source: &Source, begin: usize, wrong: usize) -> Option<usize> {
    let mut at = source.line_of(wrong);
    if at <= begin {
        at = source.next_line(begin)?;
    }
    loop {
        let rest = source.from(at).strip_prefix("---");
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r'])) {
            return Some(at);
        }
        at = source.next_line(at)?;
    }
}

struct Builder<'s> {
    source: &'s Source,
    parser: Parser<'s, saphyr_parser::StrInput<'s>>,
    /// How many characters of the file stand before what is parsed.
    before: usize,
    open: Vec<Open>,
    root: Option<Rc<Node>>,
    /// What anchors name, by the parser's numbers for them.
    anchors: HashMap<usize, Rc<Node>>,
    merges: Vec<usize>,
    aliased: usize,
}

/// A list or an object that has begun.
struct Open {
    at: usize,
    anchor: usize,
    weight: usize,
    content: Content,
}

enum Content {
    List(Vec<Rc<Node>>),
    Object { entries: Vec<Entry>, key: Option<Key>, merged: Vec<Rc<Node>> },
}

struct Key {
    name: String,
    at: usize,
    surprise: Option<Surprise>,
    merges: bool,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Source, from: usize) -> Self {
        Self {
            source,
            parser: Parser::new_from_str(source.from(from)),
            before: source.character_at(from),
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            merges: Vec::new(),
            aliased: 0,
        }
    }

    fn read(&mut self, documents: &mut Vec<Result<Document, Fault>>) -> Result<(), Fault> {
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax_error(&error))?;
            let at = self.offset(span.start.index());
            match event {
                Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart => {}
                Event::DocumentStart(_) => {
                    self.anchors.clear();
                    self.merges.clear();
                    self.aliased = 0;
                }
                Event::DocumentEnd => {
                    let merges = std::mem::take(&mut self.merges);
                    // Nothing between two `---` is no document.
                    let root = self.root.take().filter(|root| !matches!(root.value, Value::Null));
                    documents.extend(root.map(|root| Ok(Document { root, merges })));
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let node = scalar(at, text.into_owned(), style, tag.as_deref());
                    let merges = style == ScalarStyle::Plain && tag.is_none() && node.text() == Some("<<");
                    self.add(Rc::new(node), anchor, merges)?;
                }
                Event::Alias(anchor) => self.alias(at, anchor)?,
                Event::SequenceStart(anchor, _) => self.begin(at, anchor, Content::List(Vec::new()))?,
                Event::MappingStart(anchor, _) => {
                    let content = Content::Object { entries: Vec::new(), key: None, merged: Vec::new() };
                    self.begin(at, anchor, content)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end()?,
            }
        }
        Ok(())
    }

    fn offset(&self, character: usize) -> usize {
        self.source.offset_of(self.before.saturating_add(character))
    }

    fn begin(&mut self, at: usize, anchor: usize, content: Content) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, weight: 1, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(Open { at, anchor, weight, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Object { mut entries, merged, .. } => {
                merge_into(&mut entries, &merged);
                Value::Object(entries)
            }
        };
        self.add(Rc::new(Node { weight, ..Node::new(at, value) }), anchor, false)
    }

    fn alias(&mut self, at: usize, anchor: usize) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
            let error = ConfigError::at(Path::root()).found("an alias inside what it names");
            return Err(Fault { at, error: error.expected("an alias of something before it") });
        };
        self.aliased = self.aliased.saturating_add(node.weight);
        if self.aliased > MAX_ALIASED {
            let error = ConfigError::at(Path::root());
            let error = error.found(format!("aliases that stand for more than {MAX_ALIASED} values"));
            return Err(Fault { at, error: error.expected("fewer aliases of aliases") });
        }
        self.add(node, 0, false)
    }

    /// Puts a value where the events are.
    fn add(&mut self, node: Rc<Node>, anchor: usize, merges: bool) -> Result<(), Fault> {
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let weight = open.weight.saturating_add(node.weight);
        match &mut open.content {
            Content::List(items) => {
                open.weight = weight;
                items.push(node);
            }
            Content::Object { entries, key, merged } => match key.take() {
                // An object in braces whose key is one too is how YAML takes `{{ name }}`.
                None if node.is_object() && self.source.from(open.at).starts_with("{{") => {
                    return Err(template(open.at));
                }
                None => *key = Some(self::key(&node, merges)?),
                Some(Key { at, merges: true, .. }) => {
                    open.weight = weight;
                    self.merges.push(at);
                    merge(&node, merged)?;
                }
                Some(Key { name, at, surprise, .. }) => {
                    open.weight = weight;
                    entries.push(Entry { key: name, at, surprise, value: node });
                }
            },
        }
        Ok(())
    }

    fn syntax_error(&self, error: &ScanError) -> Fault {
        let mut at = self.offset(error.marker().index());
        let line = self.source.line_at(at);
        if line.trim_start().starts_with("{{") {
            return template(at);
        }
        let wrong = ConfigError::at(Path::root());
        let info = error.info();
        let error = if info.starts_with("tabs disallowed") || line.starts_with('\t') {
            // The place is that of the tab, not that of what stands behind it.
            let tab = |at: &usize| self.source.from(*at).starts_with('\t');
            at = at.checked_sub(1).filter(tab).unwrap_or(at);
            wrong.found("a tab in the indentation").expected("spaces")
        } else if info == "recursion limit exceeded" {
            return too_deep(at);
        } else if info.starts_with("mapping values are not allowed") {
            wrong
                .found("a second `: ` where a value goes on, or a key at a wrong indentation")
                .expected("one key and its value")
                .hint("quote a value with `: ` in it")
        } else if info.contains("did not find expected key") || info.contains("did not find expected '-'") {
            wrong
                .found("a line whose indentation is that of nothing above it")
                .expected("the indentation of the lines that it belongs to")
        } else if info.contains("quoted scalar") {
            wrong.found(format!("invalid YAML ({info})")).expected("a string that ends with its quote")
        } else if info.contains("unknown anchor") {
            wrong.found("an alias (*) of nothing").expected("the name of an anchor (&) above")
        } else {
            wrong.found(format!("invalid YAML ({info})")).expected("valid YAML")
        };
        Fault { at, error }
    }
}

fn too_deep(at: usize) -> Fault {
    let error = ConfigError::at(Path::root());
    let error = error.found(format!("lists and objects more than {MAX_DEPTH} deep"));
    Fault { at, error: error.expected(format!("at most {MAX_DEPTH} inside each other")) }
}

fn template(at: usize) -> Fault {
    let error = ConfigError::at(Path::root()).found("a template").expected("YAML");
    Fault { at, error: error.hint("render it first: helm template ... | meshgate check -") }
}

fn key(node: &Node, merges: bool) -> Result<Key, Fault> {
    let name = match &node.value {
        Value::Text(text) => text.text.clone(),
        Value::Number(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Null => "null".to_owned(),
        Value::List(_) | Value::Object(_) => {
            let error = ConfigError::at(Path::root()).found(format!("a key that is {}", node.kind()));
            let error = error.expected("a string").hint("quote a text that begins with { or [");
            return Err(Fault { at: node.at, error });
        }
    };
    Ok(Key { name, at: node.at, surprise: node.surprise, merges })
}

fn merge(node: &Rc<Node>, merged: &mut Vec<Rc<Node>>) -> Result<(), Fault> {
    if node.is_object() {
        merged.push(Rc::clone(node));
        return Ok(());
    }
    let items = node.items();
    if items.is_empty() || !items.iter().all(|item| item.is_object()) {
        let error = ConfigError::at(Path::root()).found(format!("{} to merge (<<)", node.kind()));
        return Err(Fault { at: node.at, error: error.expected("an object or a list of objects") });
    }
    merged.extend(items.iter().map(Rc::clone));
    Ok(())
}

/// Own keys win, and of merged ones the first.
fn merge_into(entries: &mut Vec<Entry>, merged: &[Rc<Node>]) {
    if merged.is_empty() {
        return;
    }
    let mut known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    for entry in merged.iter().flat_map(|object| object.entries()) {
        if known.insert(entry.key.clone()) {
            let Entry { at, surprise, .. } = *entry;
            entries.push(Entry { key: entry.key.clone(), at, surprise, value: Rc::clone(&entry.value) });
        }
    }
}

fn scalar(at: usize, text: String, style: ScalarStyle, tag: Option<&Tag>) -> Node {
    // Of the tags of YAML itself all but `!!str` leave the decision to the text; with any other tag it is a text.
    let plain =
        style == ScalarStyle::Plain && tag.is_none_or(|tag| tag.is_yaml_core_schema() && tag.suffix != "str");
    if plain && let Some((value, surprise)) = resolve(&text) {
        return Node { surprise, ..Node::new(at, value) };
    }
    let style = match style {
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        _ => Style::Plain,
    };
    Node::new(at, Value::Text(Text { text, style }))
}

/// What a plain scalar means, if it is no string.
fn resolve(text: &str) -> Option<(Value, Option<Surprise>)> {
    let surprising = |value| Some((Value::Bool(value), Some(Surprise::Boolean)));
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some((Value::Null, None)),
        "true" | "True" | "TRUE" => Some((Value::Bool(true), None)),
        "false" | "False" | "FALSE" => Some((Value::Bool(false), None)),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => surprising(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => surprising(false),
        _ => number(text).map(|(text, surprise)| (Value::Number(text), surprise)),
    }
}

fn number(text: &str) -> Option<(String, Option<Surprise>)> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let with_sign = |number: String| format!("{sign}{number}");
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal && (digits == "0" || !digits.starts_with('0')) {
        return Some((with_sign(digits.to_owned()), None));
    }
    if let Some(number) = odd_number(digits) {
        return Some((with_sign(number), Some(Surprise::Number)));
    }
    // `inf` and `nan` are numbers for Rust, and no numbers in JSON.
    let shaped =
        digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value = digits.parse().ok().filter(|_| shaped).and_then(serde_json::Number::from_f64)?;
    Some((with_sign(value.to_string()), None))
}

/// Numbers as YAML 1.1 writes them and hardly anybody else.
fn odd_number(digits: &str) -> Option<String> {
    let plain = digits.replace('_', "");
    let radix = |prefix: [&str; 2], radix| {
        let digits = prefix.into_iter().find_map(|prefix| plain.strip_prefix(prefix))?;
        u64::from_str_radix(digits, radix).ok()
    };
    let number = radix(["0x", "0X"], 16).or(radix(["0o", "0O"], 8)).or(radix(["0b", "0B"], 2));
    let decimal = || plain.bytes().all(|byte| byte.is_ascii_digit()).then(|| plain.parse().ok()).flatten();
    let octal = || u64::from_str_radix(plain.strip_prefix('0')?, 8).ok();
    number.or_else(octal).or_else(decimal).map(|number: u64| number.to_string())
}
