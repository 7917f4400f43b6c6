//! Which filter a configuration is for.

use std::collections::BTreeSet;
use std::path::Path as FilePath;
use std::sync::OnceLock;

use meshgate_policy::config::{ConfigError, Path};
use serde_json::Value;

use super::carrier::Found;
use super::configuration;
use super::node::Node;
use crate::filters::{FILTERS, Filter};

/// By the names of what loads it. One that many things have says nothing alone: it takes a configuration like ours, or the name of
/// the project in one of the names.
pub fn by_names(found: &Found) -> Option<&'static Filter> {
    let filter = found.names.iter().find_map(|name| Filter::of_module(name))?;
    let is_ours = |name: &String| name.to_ascii_lowercase().contains("meshgate");
    let alike = || configuration::tree(&found.configuration).is_some_and(|tree| resembles(&tree, filter));
    (!filter.is_common_word || found.names.iter().any(is_ours) || alike()).then_some(filter)
}

/// By the name of the file: `dlp.yaml`.
pub fn by_file(file: &FilePath) -> Option<&'static Filter> {
    Filter::of_module(file.file_stem()?.to_str()?)
}

/// By the name of its directory: `filters/dlp/example.json`.
pub fn by_directory(file: &FilePath) -> Option<&'static Filter> {
    Filter::of_module(file.parent()?.file_name()?.to_str()?)
}

/// By its fields: the filter that knows more of them than any other.
pub fn by_fields(document: &Node) -> Option<&'static Filter> {
    let counts = FILTERS.iter().zip(fields()).map(|(filter, fields)| (count(document, fields), filter));
    let mut counts: Vec<_> = counts.filter(|(count, _)| *count > 0).collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    match counts.as_slice() {
        [(_, filter)] => Some(filter),
        [(most, filter), (next, _), ..] if most > next => Some(filter),
        _ => None,
    }
}

/// Whether all the fields at the top of it are ones of this filter and none is missing; or most of them, if it may have mistakes.
pub fn looks_like(document: &Node, filter: &Filter, all: bool) -> bool {
    let fields = FILTERS.iter().zip(fields()).find(|(known, _)| known.name == filter.name);
    let total = document.entries().len();
    let Some((_, fields)) = fields else { return false };
    let known = document.entries().iter().filter(|entry| fields.top.contains(&entry.key)).count();
    let is_whole = || known == total && fields.required.iter().all(|name| document.get(name).is_some());
    total > 0 && if all { is_whole() } else { known.saturating_mul(2) >= total }
}

/// Whether a field at the top of it is one of this filter, or was meant to be.
fn resembles(document: &Node, filter: &Filter) -> bool {
    let fields = FILTERS.iter().zip(fields()).find(|(known, _)| known.name == filter.name);
    let known: Vec<_> = fields.iter().flat_map(|(_, fields)| fields.top.iter().map(String::as_str)).collect();
    document.entries().iter().map(|entry| entry.key.as_str()).any(|key| {
        let meant = || ConfigError::unknown(&Path::root(), key, known.iter().copied());
        known.contains(&key) || meant().parts().hint.is_some()
    })
}

/// The names of the fields of a configuration.
struct Fields {
    top: BTreeSet<String>,
    /// Those of them that each configuration has.
    required: BTreeSet<String>,
    /// Those of its rules: filters whose only field is `rules` are told apart by them.
    of_rules: BTreeSet<String>,
}

fn fields() -> &'static [Fields] {
    static FIELDS: OnceLock<Vec<Fields>> = OnceLock::new();
    FIELDS.get_or_init(|| {
        let fields = |filter: &Filter| {
            let schema = filter.schema();
            let rule = schema.pointer("/properties/rules/items/$ref").and_then(Value::as_str);
            let rule = rule.and_then(|rule| schema.pointer(rule.trim_start_matches('#')));
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let required = required.filter_map(|name| Some(name.as_str()?.to_owned())).collect();
            Fields { top: properties(&schema), required, of_rules: rule.map(properties).unwrap_or_default() }
        };
        FILTERS.iter().map(fields).collect()
    })
}

fn properties(schema: &Value) -> BTreeSet<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

fn count(document: &Node, fields: &Fields) -> usize {
    let of = |node: &Node, known: &BTreeSet<String>| {
        node.entries().iter().filter(|entry| known.contains(&entry.key)).count()
    };
    let rules = document.get("rules").map_or(&[][..], Node::items);
    let in_rules: usize = rules.iter().map(|rule| of(rule, &fields.of_rules)).sum();
    of(document, &fields.top).saturating_add(in_rules)
}
