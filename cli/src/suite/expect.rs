//! What was expected of a step against what has happened.

use std::collections::BTreeMap;

use meshgate_wasm_host::{Event, EventKind, Exchange, Fields, Outcome, Received};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::format::{Expect, FieldValue, Forwarded, ForwardedRequest, Text};

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Of what: `status`, `upstream.headers.x-user-id`, `json /items/0/id`.
    pub what: String,
    pub expected: String,
    pub found: String,
}

/// How much of a value is shown.
const MAX_SHOWN: usize = 300;

/// All that is different.
pub fn differences(expect: &Expect, exchange: &Exchange) -> Vec<Difference> {
    let mut all = Differences(Vec::new());
    let response = exchange.response();
    let whole = response.whole_body();
    if let Outcome::Reset(_) = exchange.outcome {
        all.add("response", "all of it", "it breaks off");
    }
    if let Some(status) = expect.status
        && status != response.status
    {
        all.add("status", &status.to_string(), &format!("{} ({})", response.status, exchange.details));
    }
    if let Some(details) = &expect.details {
        all.text("details", details, Some(&exchange.details));
    }
    all.fields("headers", &expect.headers, &response.headers);
    let content = Content {
        json: expect.json.as_ref(),
        exact: expect.json_equals.as_ref(),
        body: expect.body.as_ref(),
    };
    all.content("", &content, &whole);
    all.fields("trailers", &expect.trailers, &response.trailers);
    match (&expect.upstream, exchange.upstream()) {
        (None, _) | (Some(Forwarded::Nothing), None) => {}
        (Some(Forwarded::Nothing), Some(got)) => {
            all.add(
                "upstream",
                "none",
                &format!("it gets {} {}", got.pseudo(":method"), got.pseudo(":path")),
            );
        }
        (Some(Forwarded::Request(_)), None) => {
            let what = format!("none: the answer is {} ({})", response.status, exchange.details);
            all.add("upstream", "a request", &what);
        }
        (Some(Forwarded::Request(expected)), Some(got)) => all.forwarded(expected, got),
    }
    all.effects(expect, &exchange.events);
    all.0
}

/// How the outcome of the same step differs when bodies arrive in other parts.
pub fn of_chunks(whole: &Exchange, parts: &Exchange) -> Vec<Difference> {
    let mut all = Differences(Vec::new());
    let (one, other) = (whole.response(), parts.response());
    let mut differs = |what: &str, one: String, other: String| {
        if one != other {
            all.add(&format!("{what} with bodies byte by byte"), &one, &other);
        }
    };
    differs("status", one.status.to_string(), other.status.to_string());
    differs("headers", shown_fields(&one.headers), shown_fields(&other.headers));
    differs("body", shown(&one.whole_body()), shown(&other.whole_body()));
    differs("trailers", shown_fields(&one.trailers), shown_fields(&other.trailers));
    let (one, other) = (whole.upstream(), parts.upstream());
    differs("upstream", described(one), described(other));
    if let (Some(one), Some(other)) = (one, other) {
        differs("upstream.headers", shown_fields(&one.headers), shown_fields(&other.headers));
        // One that is answered on the way need not have come whole.
        if one.complete || other.complete {
            differs("upstream.body", shown(&one.body), shown(&other.body));
        }
        differs("upstream.trailers", shown_fields(&one.trailers), shown_fields(&other.trailers));
    }
    all.0
}

fn described(request: Option<&Received>) -> String {
    match request {
        None => "none".to_owned(),
        Some(request) if request.complete => "a request".to_owned(),
        Some(_) => "a part of a request".to_owned(),
    }
}

struct Content<'a> {
    json: Option<&'a Value>,
    exact: Option<&'a Value>,
    body: Option<&'a Text>,
}

struct Differences(Vec<Difference>);

impl Differences {
    fn add(&mut self, what: &str, expected: &str, found: &str) {
        self.0.push(Difference {
            what: what.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    }

    fn text(&mut self, what: &str, expected: &Text, found: Option<&str>) {
        let Some(found) = found else { return self.add(what, &expected.to_string(), "nothing") };
        if !expected.fits(found) {
            self.add(what, &expected.to_string(), &quoted(found));
        }
    }

    fn fields(&mut self, place: &str, expected: &BTreeMap<String, Option<FieldValue>>, found: &Fields) {
        for (name, expected) in expected {
            let what = format!("{place}.{name}");
            let name = name.to_ascii_lowercase();
            let values: Vec<String> =
                found.all(&name).map(|value| String::from_utf8_lossy(value).into_owned()).collect();
            let found = match values.as_slice() {
                [] => "nothing".to_owned(),
                [one] => quoted(one),
                several => several.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(" and "),
            };
            match expected {
                None if values.is_empty() => {}
                None => self.add(&what, "nothing", &found),
                Some(FieldValue::All(all)) if *all == values => {}
                Some(FieldValue::All(all)) => {
                    let all: Vec<_> = all.iter().map(|value| quoted(value)).collect();
                    self.add(&what, &all.join(" and "), &found);
                }
                Some(FieldValue::One(text)) => {
                    let fits = matches!(values.as_slice(), [one] if text.fits(one));
                    if !fits {
                        self.add(&what, &text.to_string(), &found);
                    }
                }
            }
        }
    }

    /// `place`: what stands in front of the names, such as `upstream.`
    fn content(&mut self, place: &str, expected: &Content<'_>, found: &[u8]) {
        if let Some(text) = expected.body {
            let is = String::from_utf8_lossy(found);
            if !text.fits(&is) {
                let what = format!("{place}body");
                match &text.equals {
                    Some(equals) if equals.contains('\n') || is.contains('\n') => {
                        self.add(&what, "as in the lines with -", &lines(equals, &is));
                    }
                    _ => self.add(&what, &text.to_string(), &quoted(&is)),
                }
            }
        }
        let (json, exact) = match (expected.json, expected.exact) {
            (Some(json), _) => (json, false),
            (None, Some(json)) => (json, true),
            (None, None) => return,
        };
        match serde_json::from_slice::<Value>(found) {
            Ok(found) => self.json(&format!("{place}json"), "", json, &found, exact),
            Err(_) => self.add(&format!("{place}json"), "JSON", &quoted(&String::from_utf8_lossy(found))),
        }
    }

    /// Objects have at least what is expected, or exactly that; all else is equal.
    fn json(&mut self, what: &str, pointer: &str, expected: &Value, found: &Value, exact: bool) {
        let name = || if pointer.is_empty() { what.to_owned() } else { format!("{what} {pointer}") };
        match (expected, found) {
            (Value::Object(expected), Value::Object(found)) => {
                for (key, value) in expected {
                    let below = format!("{pointer}/{}", escaped(key));
                    match found.get(key) {
                        Some(there) => self.json(what, &below, value, there, exact),
                        None => self.add(&format!("{what} {below}"), &cut(&value.to_string()), "nothing"),
                    }
                }
                for (key, value) in found.iter().filter(|(key, _)| exact && !expected.contains_key(*key)) {
                    let below = format!("{what} {pointer}/{}", escaped(key));
                    self.add(&below, "nothing", &cut(&value.to_string()));
                }
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
                for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                    self.json(what, &format!("{pointer}/{index}"), expected, found, exact);
                }
            }
            (Value::Array(expected), Value::Array(found)) => {
                self.add(
                    &name(),
                    &format!("a list of {}", expected.len()),
                    &format!("one of {}", found.len()),
                );
            }
            (expected, found) if same(expected, found) => {}
            (expected, found) => self.add(&name(), &cut(&expected.to_string()), &cut(&found.to_string())),
        }
    }

    fn forwarded(&mut self, expected: &ForwardedRequest, got: &Received) {
        if let Some(method) = &expected.method
            && *method != got.pseudo(":method")
        {
            self.add("upstream.method", method, &got.pseudo(":method"));
        }
        for (name, text) in [(":path", &expected.path), (":authority", &expected.host)] {
            if let Some(text) = text {
                let what = if name == ":path" { "upstream.path" } else { "upstream.host" };
                self.text(what, text, Some(&got.pseudo(name)));
            }
        }
        self.fields("upstream.headers", &expected.headers, &got.headers);
        let content = Content {
            json: expected.json.as_ref(),
            exact: expected.json_equals.as_ref(),
            body: expected.body.as_ref(),
        };
        self.content("upstream.", &content, &got.body);
        self.fields("upstream.trailers", &expected.trailers, &got.trailers);
    }

    /// What can be seen beside the messages.
    fn effects(&mut self, expect: &Expect, events: &[Event]) {
        for (name, by) in &expect.metrics {
            let moved: i64 = events
                .iter()
                .filter_map(|event| match &event.kind {
                    EventKind::Metric { name: found, by, .. } if found == name => Some(*by),
                    _ => None,
                })
                .sum();
            if moved != *by {
                self.add(&format!("metrics.{name}"), &format!("{by:+}"), &format!("{moved:+}"));
            }
        }
        for (name, expected) in &expect.filter_state {
            let last = events.iter().rev().find_map(|event| match &event.kind {
                EventKind::FilterState { key, value } if key == name => Some(String::from_utf8_lossy(value)),
                _ => None,
            });
            let what = format!("filter_state.{name}");
            match (expected, last) {
                (None, Some(last)) => self.add(&what, "nothing", &quoted(&last)),
                (None, None) => {}
                (Some(text), last) => self.text(&what, text, last.as_deref()),
            }
        }
        let lines: Vec<&str> = events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Log { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        for text in expect.logs.iter().flatten() {
            if !lines.iter().any(|line| text.fits(line)) {
                let found = if lines.is_empty() { "nothing".to_owned() } else { cut(&lines.join("; ")) };
                self.add("logs", &text.to_string(), &found);
            }
        }
        if let Some(expected) = expect.callouts {
            let made = events.iter().filter(|event| matches!(event.kind, EventKind::Call(_))).count();
            if made != expected {
                self.add("callouts", &expected.to_string(), &made.to_string());
            }
        }
    }
}

impl Text {
    fn fits(&self, text: &str) -> bool {
        self.equals.as_ref().is_none_or(|equals| equals == text)
            && self.contains.iter().all(|part| text.contains(part))
            && self.matches.as_ref().is_none_or(|pattern| pattern.is_match(text))
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = self.equals.iter().map(|text| quoted(text)).collect();
        parts.extend(self.contains.iter().map(|text| format!("a text with {}", quoted(text))));
        parts.extend(self.matches.iter().map(|pattern| format!("a text that matches {pattern}")));
        f.write_str(&parts.join(" and "))
    }
}

/// Numbers are equal if their values are: 1 and 1.0.
fn same(expected: &Value, found: &Value) -> bool {
    match (expected.as_f64(), found.as_f64()) {
        (Some(one), Some(other)) if expected.as_i64().is_none() || found.as_i64().is_none() => one == other,
        _ => expected == found,
    }
}

/// A key in a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn quoted(text: &str) -> String {
    cut(&Value::from(text).to_string())
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => quoted(text),
        Err(_) => format!("{} bytes", bytes.len()),
    }
}

fn shown_fields(fields: &Fields) -> String {
    let field = |(name, value): (&str, &[u8])| format!("{name}: {}", String::from_utf8_lossy(value));
    fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}... ({} bytes)", text.get(..at).unwrap_or_default(), text.len()),
        None => text.to_owned(),
    }
}

/// The lines of a body that differ, with those around them.
fn lines(expected: &str, found: &str) -> String {
    let diff = TextDiff::from_lines(expected, found);
    let mut text = String::new();
    for group in diff.grouped_ops(2) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            text.push_str(&format!("\n{sign} {}", change.value().trim_end_matches('\n')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of_json(expected: &Value, found: &Value, exact: bool) -> Vec<String> {
        let mut all = Differences(Vec::new());
        all.json("json", "", expected, found, exact);
        all.0
            .into_iter()
            .map(|difference| format!("{}: {} {}", difference.what, difference.expected, difference.found))
            .collect()
    }

    #[test]
    fn json_differs_at_its_pointers() {
        let found = json!({"a": {"b/c": [1, 2.0]}, "d": "x"});
        assert_eq!(of_json(&json!({"a": {"b/c": [1.0, 2]}}), &found, false), [""; 0]);
        assert_eq!(of_json(&json!({"a": {"b/c": [1, 3]}}), &found, false), ["json /a/b~1c/1: 3 2.0"]);
        assert_eq!(
            of_json(&json!({"a": {"b/c": [1]}}), &found, false),
            ["json /a/b~1c: a list of 1 one of 2"]
        );
        assert_eq!(of_json(&json!({"e": null}), &found, false), ["json /e: null nothing"]);
        assert_eq!(of_json(&json!({"a": {"b/c": [1, 2]}}), &found, true), ["json /d: nothing \"x\""]);
        assert_eq!(of_json(&json!([]), &found, false).len(), 1);
    }

    #[test]
    fn texts_fit() {
        let text = |contains: &[&str], matches: Option<&str>| Text {
            equals: None,
            contains: contains.iter().map(|part| (*part).to_owned()).collect(),
            matches: matches.and_then(|pattern| regex::Regex::new(pattern).ok()),
        };
        assert!(text(&["a", "c"], None).fits("abc") && !text(&["a", "d"], None).fits("abc"));
        assert!(text(&[], Some("^a.c$")).fits("abc") && !text(&[], Some("^b")).fits("abc"));
    }
}
