//! YAML as it is written here: the same bytes for the same document, and nothing in it that a reader of YAML 1.1 or 1.2 takes
//! for something else.
//!
//! A text stands without quotes only where it looks like a word to everybody. So `on`, `1e3`, `22:00` and `5/s` are quoted, and
//! numbers are written with a fraction where an exponent follows, since `1e3` is a text in YAML 1.1.

use std::fmt::Write as _;

use crate::check::{Node, NodeValue};

/// A document or a part of one.
#[derive(Clone)]
pub enum Yaml {
    Null,
    Bool(bool),
    /// As JSON writes it.
    Number(String),
    Text(String),
    List(Vec<Yaml>),
    Map(Map),
}

/// An object: its fields stay in order.
#[derive(Clone, Default)]
pub struct Map(Vec<Field>);

#[derive(Clone)]
struct Field {
    comment: Option<&'static str>,
    key: String,
    value: Yaml,
}

/// The longest line that a list of scalars is put into.
const WIDTH: usize = 100;

impl Map {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Yaml>) -> Self {
        self.0.push(Field { comment: None, key: key.into(), value: value.into() });
        self
    }

    /// Adds a field with a comment above it.
    pub fn with_comment(mut self, comment: &'static str, key: &str, value: impl Into<Yaml>) -> Self {
        self.0.push(Field { comment: Some(comment), key: key.to_owned(), value: value.into() });
        self
    }

    /// Adds a field, if there is a value for it.
    pub fn with_some(self, key: &str, value: Option<impl Into<Yaml>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds all fields of another.
    pub fn with_all(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Map> for Yaml {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Yaml {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u16> for Yaml {
    fn from(number: u16) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<i32> for Yaml {
    fn from(number: i32) -> Self {
        Self::Number(number.to_string())
    }
}

impl<T: Into<Yaml>> From<Vec<T>> for Yaml {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

/// What was read is written again.
impl From<&Node> for Yaml {
    fn from(node: &Node) -> Self {
        match &node.value {
            NodeValue::Null => Self::Null,
            NodeValue::Bool(value) => Self::Bool(*value),
            NodeValue::Number(text) => Self::Number(text.clone()),
            NodeValue::Text(text) => Self::Text(text.text.clone()),
            NodeValue::List(items) => Self::List(items.iter().map(|item| Self::from(&**item)).collect()),
            NodeValue::Object(entries) => {
                let entries = entries.iter();
                Self::Map(entries.fold(Map::new(), |map, entry| map.with(entry.key.as_str(), &*entry.value)))
            }
        }
    }
}

impl Yaml {
    /// The text of a document.
    pub fn document(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Map(map) if !map.is_empty() => map.write(&mut out, 0),
            Self::List(items) if !items.is_empty() => write_list(items, &mut out, 0),
            other => {
                out.push_str(&other.in_line());
                out.push('\n');
            }
        }
        out
    }

    /// Behind a key or a dash, and whatever belongs to it in the lines below.
    fn write(&self, out: &mut String, indent: usize, column: usize) {
        match self {
            Self::Map(map) if !map.is_empty() => {
                out.push('\n');
                map.write(out, indent);
            }
            Self::List(items) if !items.is_empty() => {
                let short = items.iter().all(Self::is_scalar).then(|| self.in_line());
                match short.filter(|text| column.saturating_add(text.chars().count()) < WIDTH) {
                    Some(text) => {
                        let _ = writeln!(out, " {text}");
                    }
                    None => {
                        out.push('\n');
                        write_list(items, out, indent);
                    }
                }
            }
            Self::Text(text) if is_block(text) => write_block(text, out, indent),
            other => {
                let _ = writeln!(out, " {}", other.in_line());
            }
        }
    }

    fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_)) && !matches!(self, Self::Text(text) if is_block(text))
    }

    fn in_line(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) => number(text),
            Self::Text(text) => quoted_if_needed(text),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::in_line).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(Map(fields)) => {
                let field =
                    |field: &Field| format!("{}: {}", quoted_if_needed(&field.key), field.value.in_line());
                let fields: Vec<_> = fields.iter().map(field).collect();
                format!("{{{}}}", fields.join(", "))
            }
        }
    }
}

impl Map {
    fn write(&self, out: &mut String, indent: usize) {
        for (index, field) in self.0.iter().enumerate() {
            // The first field of an object in a list stands behind the dash.
            let behind_dash = index == 0 && out.ends_with("- ");
            if let Some(comment) = field.comment {
                for (line, text) in comment.lines().enumerate() {
                    if !(behind_dash && line == 0) {
                        pad(out, indent);
                    }
                    let _ = writeln!(out, "# {text}");
                }
            }
            if !behind_dash || field.comment.is_some() {
                pad(out, indent);
            }
            let key = quoted_if_needed(&field.key);
            let column = indent.saturating_add(key.chars().count()).saturating_add(2);
            let _ = write!(out, "{key}:");
            field.value.write(out, indent.saturating_add(2), column);
        }
    }
}

fn write_list(items: &[Yaml], out: &mut String, indent: usize) {
    for item in items {
        pad(out, indent);
        out.push('-');
        match item {
            Yaml::Map(map) if !map.is_empty() => {
                out.push(' ');
                map.write(out, indent.saturating_add(2));
            }
            other => other.write(out, indent.saturating_add(2), indent.saturating_add(2)),
        }
    }
}

fn write_block(text: &str, out: &mut String, indent: usize) {
    let body = text.strip_suffix('\n');
    out.push_str(if body.is_some() { " |\n" } else { " |-\n" });
    for line in body.unwrap_or(text).split('\n') {
        if !line.is_empty() {
            pad(out, indent);
        }
        out.push_str(line);
        out.push('\n');
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Several lines that a block scalar holds as they are.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body.chars().all(|char| char == '\n' || is_printable(char))
}

/// What YAML lets stand as it is (1.2.2 section 5.1), but for the byte order mark and what breaks lines in 1.1.
fn is_printable(char: char) -> bool {
    matches!(char, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

fn quoted_if_needed(text: &str) -> String {
    if is_word(text) { text.to_owned() } else { quoted(text) }
}

/// Whether everybody reads it as the text that it is.
fn is_word(text: &str) -> bool {
    const RESERVED: [&str; 13] =
        ["true", "false", "null", "y", "n", "yes", "no", "on", "off", "nan", "inf", "nil", "none"];
    let inside = |char: char| char.is_ascii_alphanumeric() || " _./@+=~-:".contains(char);
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(inside)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// In double quotes, as YAML and JSON both read it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => {
                out.push('\\');
                out.push(char);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            char if is_printable(char) => out.push(char),
            char => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
        }
    }
    out.push('"');
    out
}

/// A number of JSON as YAML 1.1 reads it too: whole where it is whole, and with a fraction in front of an exponent.
fn number(text: &str) -> String {
    let Some((digits, exponent)) = text.split_once(['e', 'E']) else { return text.to_owned() };
    /// Up to here every whole number is one that a double is exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match text.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && value.abs() <= EXACT => format!("{value:.0}"),
        _ => {
            let fraction = if digits.contains('.') { "" } else { ".0" };
            let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
            format!("{digits}{fraction}e{sign}{exponent}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Source, yaml_documents};

    fn read(text: &str) -> std::rc::Rc<Node> {
        let source = Source::new(text.to_owned());
        let document = yaml_documents(&source).into_iter().next();
        document.and_then(Result::ok).unwrap_or_else(|| panic!("no YAML:\n{text}")).root
    }

    /// Nothing that is written is read as something else, by whatever version of YAML.
    #[test]
    fn what_is_written_is_what_is_read() {
        let texts = [
            "",
            " ",
            "a",
            "y",
            "N",
            "on",
            "Off",
            "yes",
            "no",
            "true",
            "Null",
            "~",
            "1",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "0x1f",
            "0o7",
            "010",
            "1_000",
            "22:00",
            "5/s",
            "10000/month",
            "oci://r.example:5000/a:1@sha256:00",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "- a",
            "{a}",
            "[a]",
            "{{ x }}",
            "a, b",
            "*a",
            "&a",
            "!a",
            "%a",
            "@type",
            "`a`",
            "'a'",
            "\"a\"",
            "a\\b",
            "a\nb",
            "a\nb\n",
            "a\n\nb",
            " a\nb",
            "a\nb\n\n",
            "\ta",
            "a\tb",
            "a\u{7}b",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\u{1f600}",
            "é",
            "=",
            "<<",
            "---",
            ".inf",
            ".nan",
            "a ",
            "a\r\nb",
            "2026-01-31T22:00:00+01:00",
            "0",
            "1.",
            ".5",
            "a\n  b\n c",
            "x\n \ny",
        ];
        for text in texts {
            let map = Map::new().with("k", text).with("l", vec![text, text]).with(text, "v");
            let nested = vec![Yaml::from(Map::new().with("m", map.clone()).with("t", text)), text.into()];
            for document in [Yaml::from(map), Yaml::from(nested)] {
                let written = document.document();
                let read = read(&written);
                read.walk(&meshgate_policy::config::Path::root(), &mut |node, _| {
                    assert!(node.surprise.is_none(), "{text:?}:\n{written}");
                    crate::check::Walk::Into
                });
                assert_eq!(Yaml::from(&*read).document(), written, "{text:?}");
                let first = match &document {
                    Yaml::Map(_) => read.get("k"),
                    _ => read.items().first().and_then(|item| item.get("t")),
                };
                assert_eq!(first.and_then(Node::text), Some(text), "{text:?}:\n{written}");
            }
        }
    }

    #[test]
    fn documents_are_laid_out_to_be_read() {
        let inner = Map::new().with("a", 1).with_comment("Why.\nAnd how.", "b", vec!["x", "on"]);
        let map = Map::new()
            .with("list", vec![Yaml::from(inner.clone()), "word".into(), Yaml::List(vec![])])
            .with("map", inner)
            .with("empty", Map::new())
            .with("json", "{\n  \"a\": 1\n}\n");
        let expected = "list:\n  - a: 1\n    # Why.\n    # And how.\n    b: [x, \"on\"]\n  - word\n  - []\nmap:\n  a: 1\n  # Why.\n  \
                        # And how.\n  b: [x, \"on\"]\nempty: {}\njson: |\n  {\n    \"a\": 1\n  }\n";
        assert_eq!(Yaml::from(map).document(), expected);
        let long = vec!["a".repeat(60), "b".repeat(60)];
        assert_eq!(
            Yaml::from(Map::new().with("k", long)).document(),
            format!("k:\n  - {}\n  - {}\n", "a".repeat(60), "b".repeat(60))
        );
    }

    #[test]
    fn numbers_are_numbers_everywhere() {
        for (json, yaml) in [
            ("1", "1"),
            ("-0.5", "-0.5"),
            ("1e3", "1000"),
            ("1E+15", "1000000000000000"),
            ("1e30", "1.0e+30"),
            ("1.5e-7", "1.5e-7"),
            ("2e-7", "2.0e-7"),
        ] {
            assert_eq!(number(json), yaml);
        }
    }
}
