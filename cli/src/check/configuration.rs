//! One configuration: compiled by its filter, and what that says led back to the file.

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meshgate_policy::config::{ConfigError, MAX_SIZE, Path, quoted};

use super::carrier::{Configuration, Found};
use super::node::{Entry, Fault, Node, Style, Surprise, Text, Value, Walk};
use super::report::Severity;
use super::setup::Checking;
use super::source::Source;
use super::yaml::Document;
use super::{embedded, json};
use crate::filters::Filter;

/// Compiles a configuration. `whole` is the text of the file, where that is what the module gets.
pub fn check(
    source: &Source,
    document: &Document,
    found: &Found,
    filter: &Filter,
    whole: Option<&str>,
) -> Vec<(Severity, Fault)> {
    let mut faults = Vec::new();
    let mut setup = Checking::new(found.environment.as_deref());
    let mut wrong = match &found.configuration {
        // What is in the way of it has been said.
        Configuration::Missing if !found.faults.is_empty() => None,
        Configuration::Missing => {
            let error = (filter.compile)(b"", &mut setup).err();
            error.map(|error| Fault { at: found.at, error })
        }
        Configuration::Tree(root) => {
            let root = if found.is_envoy { &numbers_as_strings(source, root) } else { root };
            match written(root, whole) {
                Some(text) => compile(&text, &mut setup, filter, &|error| root.locate(error)),
                None => {
                    let error = ConfigError::at(Path::root()).found("a document of more than 16 MiB as JSON");
                    Some(Fault { at: root.at, error: error.expected("at most 16 MiB") })
                }
            }
        }
        Configuration::Json(node) => {
            let Value::Text(text) = &node.value else { return faults };
            let places = embedded::places(source, node.at, text);
            embedded_json(&text.text, &mut setup, filter, &|offset| {
                places.get(offset).or(places.last()).copied().unwrap_or(node.at)
            })
        }
        Configuration::Base64(node) => match decoded(node) {
            Some(text) => embedded_json(&text, &mut setup, filter, &|_| node.at),
            None => {
                let error = ConfigError::at(Path::root()).found("a BytesValue that is no text in base64");
                let error = error.expected("JSON in base64").hint("or JSON as it is in a StringValue");
                Some(Fault { at: node.at, error })
            }
        },
    };
    if wrong.is_none() && found.holds_headers == Some(false) {
        wrong = needs_held_headers(source, &found.configuration);
    }
    if let Configuration::Tree(root) = &found.configuration {
        surprises(root, wrong.as_ref(), &mut faults);
        if found.is_envoy {
            merges(root, document, &mut faults);
            wrong = wrong.map(|fault| about_numbers(source, root, fault));
        }
    }
    faults.extend(wrong.map(|fault| (Severity::Error, fault)));
    let mut unset = setup.unset();
    unset.sort();
    unset.dedup();
    for name in unset {
        let problem =
            format!("the environment variable {name} is not set here: what is in it was not checked");
        faults.push((
            Severity::Note,
            Fault { at: found.at, error: ConfigError::at(Path::root()).problem(problem) },
        ));
    }
    faults.sort_by_key(|(_, fault)| fault.at);
    faults
}

/// The environment variables that a configuration refers to.
pub fn variables(root: &Node, filter: &Filter) -> Vec<String> {
    let mut setup = Checking::new(None);
    if let Some(text) = root.to_json(MAX_SIZE) {
        // Whether it is good was seen before.
        let _ = (filter.compile)(text.as_bytes(), &mut setup);
    }
    setup.asked()
}

/// The values of a configuration, whatever form it has.
pub fn tree(configuration: &Configuration) -> Option<Rc<Node>> {
    match configuration {
        Configuration::Missing => None,
        Configuration::Tree(root) => Some(Rc::clone(root)),
        Configuration::Json(node) => json::tree(node.text()?, &|offset| offset).ok(),
        Configuration::Base64(node) => json::tree(&decoded(node)?, &|offset| offset).ok(),
    }
}

/// What a module gets of a configuration that is good.
pub fn as_deployed(source: &Source, found: &Found, whole: Option<&str>) -> Option<Vec<u8>> {
    let text = match &found.configuration {
        Configuration::Missing => Cow::Borrowed(""),
        Configuration::Tree(root) if found.is_envoy => written(&numbers_as_strings(source, root), whole)?,
        Configuration::Tree(root) => written(root, whole)?,
        Configuration::Json(node) => Cow::Borrowed(node.text()?),
        Configuration::Base64(node) => Cow::Owned(decoded(node)?),
    };
    Some(text.into_owned().into_bytes())
}

/// A configuration as JSON. `whole` is the text of the file, where that is what the module gets.
fn written<'a>(root: &Node, whole: Option<&'a str>) -> Option<Cow<'a, str>> {
    whole.map(Cow::Borrowed).or_else(|| root.to_json(MAX_SIZE).map(Cow::Owned))
}

/// An error of the loader without the line and the column in the text: the place in the file is another.
pub fn without_position(error: &ConfigError) -> ConfigError {
    let Some((line, column)) = error.position() else { return error.clone() };
    let parts = error.parts();
    let found = parts.found.unwrap_or_default().replace(&format!(" at line {line}, column {column}"), "");
    let same = ConfigError::at(error.path()).found(found).expected(parts.expected.unwrap_or_default());
    match parts.hint {
        Some(hint) => same.hint(hint),
        None => same,
    }
}

fn compile(
    text: &str,
    setup: &mut Checking<'_>,
    filter: &Filter,
    locate: &dyn Fn(&ConfigError) -> usize,
) -> Option<Fault> {
    let error = (filter.compile)(text.as_bytes(), setup).err()?;
    let at = locate(&error);
    Some(Fault { at, error: without_position(&error) })
}

fn embedded_json(
    text: &str,
    setup: &mut Checking<'_>,
    filter: &Filter,
    place: &dyn Fn(usize) -> usize,
) -> Option<Fault> {
    compile(text, setup, filter, &|error| match (json::tree(text, place), error.position()) {
        (Err(wrong), _) => place(wrong.offset),
        // What only the loader refuses, such as half of a surrogate pair.
        (Ok(_), Some((line, column))) => place(offset(text, line, column)),
        (Ok(root), None) => root.locate(error),
    })
}

/// The offset of a column in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len);
    before.sum::<usize>().saturating_add(column.saturating_sub(1))
}

fn decoded(node: &Node) -> Option<String> {
    let bytes = STANDARD.decode(node.text()?.trim()).ok()?;
    String::from_utf8(bytes).ok()
}

/// The filters that hold headers for a body take the configuration's word for it that the proxy can: here it can be seen.
fn needs_held_headers(source: &Source, configuration: &Configuration) -> Option<Fault> {
    const OPTION: &str = "allow_on_headers_stop_iteration";
    let root = match configuration {
        Configuration::Json(node) => {
            let Value::Text(text) = &node.value else { return None };
            let places = embedded::places(source, node.at, text);
            json::tree(&text.text, &|offset| places.get(offset).copied().unwrap_or(node.at)).ok()?
        }
        other => tree(other)?,
    };
    let option = root.get(OPTION).filter(|option| matches!(option.value, Value::Bool(true)))?;
    let error = ConfigError::at(Path::root().key(OPTION));
    let error = error.found("true").expected(format!("`{OPTION}: true` in Envoy's PluginConfig as well"));
    let hint = "without it messages hang; WasmPlugin, TrafficExtension and EnvoyExtensionPolicy can't say it: use an EnvoyFilter";
    Some(Fault { at: option.at, error: error.hint(hint) })
}

/// What is read in another way than it looks, but for where that is the error itself.
fn surprises(root: &Rc<Node>, wrong: Option<&Fault>, faults: &mut Vec<(Severity, Fault)>) {
    let mut add = |at: usize, surprise: Option<Surprise>, path: &Path| {
        let Some(surprise) = surprise.filter(|_| wrong.is_none_or(|wrong| wrong.at != at)) else { return };
        let error = ConfigError::at(path);
        let error = match surprise {
            Surprise::Boolean => error
                .found("an unquoted y, n, yes, no, on or off, which Kubernetes and Envoy read as a boolean")
                .expected("true, false or a string")
                .hint("quote it"),
            Surprise::Number => error
                .found("a number that readers of YAML take for different things")
                .expected("decimal digits without a leading 0 or a string")
                .hint("quote it or write it in decimal"),
        };
        faults.push((Severity::Warning, Fault { at, error }));
    };
    root.walk(&Path::root(), &mut |node, path| {
        add(node.at, node.surprise, path);
        for entry in node.entries() {
            add(entry.at, entry.surprise, path);
        }
        Walk::Into
    });
}

/// What Envoy (1.36 to 1.40) makes of the numbers of its YAML: only whole ones of 32 bits stay numbers in a `Struct`.
fn numbers_as_strings(source: &Source, node: &Rc<Node>) -> Rc<Node> {
    let value = match &node.value {
        Value::Number(text) => match number_as_string(source, node, text) {
            Some(text) => Value::Text(Text { text, style: Style::Plain }),
            None => return Rc::clone(node),
        },
        Value::List(items) => {
            Value::List(items.iter().map(|item| numbers_as_strings(source, item)).collect())
        }
        Value::Object(entries) => {
            let entry = |entry: &Entry| {
                let Entry { at, surprise, .. } = *entry;
                Entry {
                    key: entry.key.clone(),
                    at,
                    surprise,
                    value: numbers_as_strings(source, &entry.value),
                }
            };
            Value::Object(entries.iter().map(entry).collect())
        }
        _ => return Rc::clone(node),
    };
    Rc::new(Node::new(node.at, value))
}

/// The string that Envoy makes of a number, if it does.
fn number_as_string(source: &Source, node: &Node, number: &str) -> Option<String> {
    if node.surprise == Some(Surprise::Number) {
        // As it stands in the file. Hexadecimal and octal digits it reads, in the way of C.
        let written = source.from(node.at);
        let end = written.find(|char: char| char.is_whitespace() || ",]}:#".contains(char));
        let written = written.get(..end.unwrap_or(written.len())).unwrap_or_default();
        let digits = written.trim_start_matches(['+', '-']);
        if written.contains('_')
            || digits.starts_with(['0'])
                && digits.contains(['o', 'O', 'b', 'B'])
                && !digits.contains(['x', 'X'])
        {
            return Some(written.to_owned());
        }
    }
    number.parse::<i32>().is_err().then(|| number.to_owned())
}

/// Says why a number is a string, where that is what is wrong.
fn about_numbers(source: &Source, root: &Node, fault: Fault) -> Fault {
    let mut is_number = false;
    root.walk(&Path::root(), &mut |node, _| {
        is_number |= node.at == fault.at
            && matches!(&node.value, Value::Number(text) if number_as_string(source, node, text).is_some());
        Walk::Into
    });
    let parts = fault.error.parts();
    let (Some(found), Some(expected), true) = (parts.found, parts.expected, is_number) else { return fault };
    let error = ConfigError::at(fault.error.path()).found(found).expected(expected);
    let hint = "Envoy's YAML makes a string of a fraction, of 1_000 and of a number beyond 2147483647: write the \
                configuration as JSON in a StringValue";
    Fault { error: error.hint(hint), ..fault }
}

/// Keys that stand more than once around the configurations: some readers take the first, some the last, some none. Those in the
/// configurations are told by the loader.
pub fn repeated_keys(document: &Document, configurations: &[Rc<Node>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    document.root.walk(&Path::root(), &mut |node, path| {
        if configurations.iter().any(|configuration| std::ptr::eq(&raw const **configuration, node)) {
            return Walk::Over;
        }
        let mut seen = HashSet::new();
        for entry in node.entries() {
            if !seen.insert(entry.key.as_str()) {
                let found = format!("the key {} more than once", quoted(&entry.key));
                let error = ConfigError::at(path).found(found).expected("each key once");
                faults.push(Fault { at: entry.at, error });
            }
        }
        Walk::Into
    });
    faults
}

/// Envoy takes `<<` for a key like any other.
fn merges(root: &Node, document: &Document, faults: &mut Vec<(Severity, Fault)>) {
    let end = last(root);
    for at in document.merges.iter().filter(|at| (root.at..=end).contains(*at)) {
        let error = ConfigError::at(Path::root()).found("a merge key (<<), which Envoy takes for a field");
        let error = error.expected("the fields themselves");
        faults.push((Severity::Error, Fault { at: *at, error }));
    }
}

/// Where the last thing of a value stands.
fn last(node: &Node) -> usize {
    let mut last = node.at;
    node.walk(&Path::root(), &mut |node, _| {
        last = node.entries().iter().map(|entry| entry.at).fold(last.max(node.at), usize::max);
        Walk::Into
    });
    last
}
