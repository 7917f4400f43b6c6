//! What a filter did to a message.

use meshgate_wasm_host::{Fields, Received};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// A change of one thing.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A field is new.
    Added { name: String, value: String },
    /// A field has another value.
    Changed { name: String, from: String, to: String },
    /// A field is gone. Its value is not told: it may be a credential.
    Removed { name: String },
    /// The body is another: its size, and its lines if it is a text (` `, `+` or `-` in front).
    Body { from: usize, to: usize, lines: Vec<String> },
}

/// As many lines of a body are shown.
const MAX_LINES: usize = 60;

/// All that is different behind a filter.
pub fn changes(before: &Received, after: &Received) -> Vec<Change> {
    let mut all = fields(&before.headers, &after.headers);
    // Of a message that was answered or cut off only the head tells something.
    if before.body != after.body && after.complete {
        all.push(body(&before.body, &after.body));
    }
    all.extend(fields(&before.trailers, &after.trailers));
    all
}

fn fields(before: &Fields, after: &Fields) -> Vec<Change> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in before.iter().chain(after.iter()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let values = |fields: &Fields, name: &str| {
        let values: Vec<_> =
            fields.all(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        (!values.is_empty()).then(|| values.join(" and "))
    };
    let change = |name: &str| {
        let owned = name.to_owned();
        match (values(before, name), values(after, name)) {
            (None, Some(value)) => Some(Change::Added { name: owned, value }),
            (Some(_), None) => Some(Change::Removed { name: owned }),
            (Some(from), Some(to)) if from != to => Some(Change::Changed { name: owned, from, to }),
            _ => None,
        }
    };
    names.into_iter().filter_map(change).collect()
}

fn body(before: &[u8], after: &[u8]) -> Change {
    let lines = match (text(before), text(after)) {
        (Some(before), Some(after)) => diff(&before, &after),
        _ => Vec::new(),
    };
    Change::Body { from: before.len(), to: after.len(), lines }
}

/// JSON with a line for each value, or a text as it is.
fn text(body: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Value>(body) {
        Ok(json) if json.is_object() || json.is_array() => serde_json::to_string_pretty(&json).ok(),
        _ => String::from_utf8(body.to_vec()).ok(),
    }
}

fn diff(before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(1) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push(format!("{sign} {}", change.value().trim_end_matches('\n')));
        }
    }
    if lines.len() > MAX_LINES {
        let more = lines.len().saturating_sub(MAX_LINES);
        lines.truncate(MAX_LINES);
        lines.push(format!("  and {more} lines more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, &str)], body: &str) -> Received {
        let headers = headers.iter().map(|(name, value)| (*name, *value)).collect();
        Received { headers, body: body.into(), complete: true, ..Received::default() }
    }

    #[test]
    fn each_change_is_told_once() {
        let before =
            message(&[(":path", "/a"), ("x-key", "secret"), ("x-b", "1"), ("x-b", "2")], "{\"a\":1}");
        let after = message(&[(":path", "/b"), ("x-b", "1"), ("x-b", "2"), ("x-c", "3")], "{\"a\":2}");
        let all = changes(&before, &after);
        let changed = Change::Changed { name: ":path".into(), from: "/a".into(), to: "/b".into() };
        let added = Change::Added { name: "x-c".into(), value: "3".into() };
        let lines = ["  {", "-   \"a\": 1", "+   \"a\": 2", "  }"].map(str::to_owned).to_vec();
        let body = Change::Body { from: 7, to: 7, lines };
        assert_eq!(all, [changed, Change::Removed { name: "x-key".into() }, added, body]);
        assert_eq!(changes(&before, &before), []);
    }
}
