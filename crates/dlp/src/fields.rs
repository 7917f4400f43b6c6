//! Taking out the field that a value is in: the member or item of JSON, the parameter of a form.

use std::ops::Range;

use meshgate_policy::query;

use crate::inspect::Edit;
use crate::sink::Sink;

/// How deep a document may nest. What is deeper keeps its fields, and loses the values alone.
const MAX_DEPTH: usize = 256;

/// Makes each edit that drops a value one that drops its field, with the comma or `&` beside it. Where there is no field,
/// the value alone goes. Edits within a field that goes are gone too.
///
/// `edits` are in order, and stay so.
pub fn drop_fields(text: &[u8], sink: Sink, edits: &mut Vec<Edit>) {
    let places: Vec<usize> = edits.iter().filter(|edit| edit.drops).map(|edit| edit.range.start).collect();
    if places.is_empty() {
        return;
    }
    let gone = match sink {
        Sink::Json => Walk::new(&places).run(text),
        Sink::Url => parameters(text, &places),
        Sink::Header | Sink::Cookie | Sink::Markup | Sink::Text => return,
    };
    let in_gone = |edit: &Edit| {
        let next = gone.partition_point(|range| range.end <= edit.range.start);
        gone.get(next).is_some_and(|range| range.start <= edit.range.start)
    };
    edits.retain(|edit| !in_gone(edit));
    edits.extend(gone.iter().map(|range| Edit { range: range.clone(), with: Vec::new(), drops: true }));
    edits.sort_by_key(|edit| edit.range.start);
}

/// The parameters that some offsets are in, each with one `&`.
fn parameters(text: &[u8], places: &[usize]) -> Vec<Range<usize>> {
    let mut gone: Vec<Range<usize>> = Vec::new();
    for parameter in query::parameters(text) {
        let range = parameter.range;
        let next = places.partition_point(|place| *place < range.start);
        if places.get(next).is_none_or(|place| *place >= range.end) {
            continue;
        }
        let range = match text.get(range.end) {
            Some(_) => range.start..range.end.saturating_add(1),
            // The last one: the separator in front of it goes, or of all those that go at the end.
            None => match gone.last() {
                Some(last) if last.end == range.start => last.start.saturating_sub(1)..range.end,
                _ => range.start.saturating_sub(1)..range.end,
            },
        };
        merge(&mut gone, range);
    }
    gone
}

/// Adds a range to some that are in order, and joins what touches.
fn merge(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    while ranges.pop_if(|last| range.start <= last.start).is_some() {}
    match ranges.last_mut() {
        Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
        _ => ranges.push(range),
    }
}

/// Walks a JSON document and collects the members and items that go. What is not JSON it walks as well as it can: commas and
/// brackets outside of strings are all it knows.
struct Walk<'a> {
    /// The offsets of the values that go, in order.
    places: &'a [usize],
    frames: Vec<Frame>,
    gone: Vec<Range<usize>>,
    /// Where the last token ended.
    end: usize,
}

/// An object or array that is open.
#[derive(Default)]
struct Frame {
    /// Where the member or item begins that is at hand, its name included.
    item: Option<usize>,
    /// Up to where a value that goes means this member or item, and not one inside of it: where a container begins in it.
    inner: Option<usize>,
    /// An item stays that is in front of the one at hand.
    has_kept: bool,
    /// Where the items in front of the one at hand ended.
    end: usize,
    /// Where the items begin that go and have none in front of them that stays: the comma behind them goes with them.
    first_gone: Option<usize>,
}

impl<'a> Walk<'a> {
    fn new(places: &'a [usize]) -> Self {
        Self { places, frames: Vec::new(), gone: Vec::new(), end: 0 }
    }

    fn run(mut self, text: &[u8]) -> Vec<Range<usize>> {
        let mut at = 0_usize;
        while let Some(byte) = text.get(at) {
            let next = at.saturating_add(1);
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b':' => at = next,
                b',' => {
                    self.close_item();
                    at = next;
                }
                b'{' | b'[' => {
                    self.begin(at);
                    if let Some(frame) = self.frames.last_mut() {
                        frame.inner.get_or_insert(at);
                    }
                    if self.frames.len() >= MAX_DEPTH {
                        return Vec::new();
                    }
                    self.frames.push(Frame::default());
                    (self.end, at) = (next, next);
                }
                b'}' | b']' => {
                    self.close_item();
                    if let Some(frame) = self.frames.pop()
                        && let Some(start) = frame.first_gone
                    {
                        merge(&mut self.gone, start..frame.end);
                    }
                    (self.end, at) = (next, next);
                }
                _ => {
                    self.begin(at);
                    at = if *byte == b'"' { end_of_string(text, next) } else { end_of_scalar(text, next) };
                    self.end = at;
                }
            }
        }
        self.gone
    }

    /// A token begins; perhaps an item with it.
    fn begin(&mut self, at: usize) {
        let Some(frame) = self.frames.last_mut().filter(|frame| frame.item.is_none()) else { return };
        frame.item = Some(at);
        if let Some(start) = frame.first_gone.take() {
            // The comma in front of this item goes, and white space with it.
            merge(&mut self.gone, start..at);
        }
    }

    /// The item at hand is over.
    fn close_item(&mut self) {
        let end = self.end;
        let Some(frame) = self.frames.last_mut() else { return };
        let (Some(start), inner) = (frame.item.take(), frame.inner.take()) else { return };
        let next = self.places.partition_point(|place| *place < start);
        let goes = self.places.get(next).is_some_and(|place| *place < inner.unwrap_or(end));
        let before = std::mem::replace(&mut frame.end, end);
        match (goes, frame.has_kept) {
            (false, _) => frame.has_kept = true,
            (true, true) => merge(&mut self.gone, before..end),
            (true, false) => frame.first_gone = Some(start),
        }
    }
}

/// Behind the quote that ends a string.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at = at.saturating_add(found).saturating_add(1);
        if text.get(at.saturating_sub(1)) == Some(&b'"') {
            return at;
        }
        at = at.saturating_add(1);
    }
    text.len()
}

/// Behind a number or a literal.
fn end_of_scalar(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.iter().position(|byte| {
        matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b':' | b',' | b'{' | b'}' | b'[' | b']' | b'"')
    });
    length.map_or(text.len(), |length| start.saturating_add(length))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]
    use super::*;
    use crate::inspect::splice;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Drops the field of each `X`, and masks each `M`.
    fn dropped(text: &str, sink: Sink) -> String {
        let mut edits: Vec<Edit> = text
            .match_indices(['X', 'M'])
            .map(|(at, found)| Edit {
                range: at..at + 1,
                with: if found == "M" { b"*".to_vec() } else { Vec::new() },
                drops: found == "X",
            })
            .collect();
        drop_fields(text.as_bytes(), sink, &mut edits);
        for pair in edits.windows(2) {
            assert!(pair[0].range.end <= pair[1].range.start, "{text}: {edits:?}");
        }
        String::from_utf8(splice(text.as_bytes(), &edits)).unwrap()
    }

    #[test]
    fn members_and_items_go_with_a_comma() {
        for (text, expected) in [
            (r#"{"a":"X"}"#, r#"{}"#),
            (r#"{ "a" : "X" }"#, r#"{  }"#),
            (r#"{"a":"X","b":1}"#, r#"{"b":1}"#),
            (r#"{"a":1, "b":"X"}"#, r#"{"a":1}"#),
            (r#"{"a":1, "b":"X", "c":2}"#, r#"{"a":1, "c":2}"#),
            (r#"{"a":"X", "b":"X", "c":2}"#, r#"{"c":2}"#),
            (r#"{"a":"X", "b":"X"}"#, r#"{}"#),
            (r#"{"a":0,"b":"X","c":"X","d":1,"e":"X"}"#, r#"{"a":0,"d":1}"#),
            (r#"{"a":"X X","b":"M"}"#, r#"{"b":"*"}"#),
            (r#"{"X":{"b":1},"c":2}"#, r#"{"c":2}"#),
            (r#"{"a":{"b":"X"}}"#, r#"{"a":{}}"#),
            (r#"{"a":{"b":"X","c":"M"},"d":"X"}"#, r#"{"a":{"c":"*"}}"#),
            (r#"{"X":{"b":"X","c":"M"},"d":0}"#, r#"{"d":0}"#),
            (r#"{"X":{"b":"X","c":"M"}}"#, r#"{}"#),
            (r#"{"a":0,"X":[1,"X",{"c":"M"}],"d":0}"#, r#"{"a":0,"d":0}"#),
            (r#"["X",1,"X",2]"#, r#"[1,2]"#),
            (r#"[["X"],["X"]]"#, r#"[[],[]]"#),
            ("[\n  \"X\",\n  1\n]", "[\n  1\n]"),
            (r#"{"a\"b":"\\","c":"X"}"#, r#"{"a\"b":"\\"}"#),
            (r#"{"a":X,"b":[X],"c":-1e5}"#, r#"{"b":[],"c":-1e5}"#),
            // No field.
            (r#""X""#, r#""""#),
            ("X", ""),
            // No JSON.
            (r#"{"a":"X"#, r#"{"a":""#),
            ("}]X,{", "}],{"),
        ] {
            assert_eq!(dropped(text, Sink::Json), expected, "{text}");
        }
        let deep = "[".repeat(1_000) + "X";
        assert_eq!(dropped(&deep, Sink::Json), "[".repeat(1_000));
    }

    #[test]
    fn parameters_go_with_an_ampersand() {
        for (text, expected) in [
            ("a=X", ""),
            ("a=X&b=1", "b=1"),
            ("b=1&a=X", "b=1"),
            ("b=1&a=X&c=2", "b=1&c=2"),
            ("b=1&a=X&c=X", "b=1"),
            ("a=X&c=X", ""),
            ("a=1&X&&b=M", "a=1&&b=*"),
            ("a=M", "a=*"),
        ] {
            assert_eq!(dropped(text, Sink::Url), expected, "{text}");
        }
    }

    #[test]
    fn where_there_are_no_fields_the_value_goes() {
        assert_eq!(dropped("a X b M", Sink::Text), "a  b *");
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;
        use serde_json::Value;

        fn value() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![
                Just(Value::from("X")),
                Just(Value::from("a,]}\"\\")),
                Just(Value::from(1)),
                Just(Value::Null),
            ];
            leaf.prop_recursive(4, 32, 4, |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                    prop::collection::btree_map("[a-dX]", inner, 0..4)
                        .prop_map(|map| Value::Object(map.into_iter().collect())),
                ]
            })
        }

        /// The same on values.
        fn without(value: &Value) -> Value {
            let goes = |value: &Value| *value == "X";
            match value {
                Value::Array(items) => items.iter().filter(|item| !goes(item)).map(without).collect(),
                Value::Object(members) => Value::Object(
                    members
                        .iter()
                        .filter(|(name, value)| !name.contains('X') && !goes(value))
                        .map(|(name, value)| (name.clone(), without(value)))
                        .collect(),
                ),
                other => other.clone(),
            }
        }

        proptest! {
            #[test]
            fn what_is_left_is_json_without_the_fields(value in value(), pretty: bool) {
                prop_assume!(value != "X");
                let text = if pretty { format!("{value:#}") } else { value.to_string() };
                let left = dropped(&text, Sink::Json);
                let left: Value = serde_json::from_str(&left).map_err(|error| TestCaseError::fail(format!("{text} {left} {error}")))?;
                prop_assert_eq!(left, without(&value), "{}", text);
            }

            #[test]
            fn any_text_can_be_walked(text in r#"[\[\]{},:"\\ X1M]{0,40}"#) {
                dropped(&text, Sink::Json);
                dropped(&text, Sink::Url);
            }
        }
    }
}
