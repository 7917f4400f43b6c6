//! A number in the server-sent events of a response: what the last of them says that it cost.
//!
//! As in `meter`, nothing of the stream is kept but where in it the reader is.

use crate::meter::{NumberAt, Pointer};

/// Reads the events of a stream (the HTML standard, "Server-sent events") and finds the number of the last one that has it
/// in its data.
#[derive(Clone, Debug)]
pub struct Events {
    number: NumberAt,
    line: Line,
    /// The last byte was a carriage return, which ends a line alone or together with what follows it.
    after_return: bool,
    found: Option<u64>,
}

/// Where in a line the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of the byte order mark that a stream may begin with have come, and nothing else.
    Mark(usize),
    /// So many bytes of `data:` have come, and nothing else.
    Field(usize),
    /// Behind that, where one space is not part of the data.
    Space,
    Data,
    /// Another field, or a comment.
    Other,
}

const DATA: &[u8] = b"data:";
const MARK: &[u8] = b"\xef\xbb\xbf";

impl Events {
    /// Begins.
    pub const fn new(pointer: Pointer) -> Self {
        Self { number: NumberAt::new(pointer), line: Line::Mark(0), after_return: false, found: None }
    }

    /// Reads on.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Line::Mark(read) = self.line {
                let is_mark = MARK.get(read) == Some(&byte);
                let read = read.saturating_add(1);
                self.line = match (is_mark, read) {
                    (true, read) if read < MARK.len() => Line::Mark(read),
                    (true, _) | (false, 1) => Line::Field(0),
                    (false, _) => Line::Other,
                };
                if is_mark {
                    bytes = rest;
                    continue;
                }
            }
            if byte == b'\n' && std::mem::take(&mut self.after_return) {
                bytes = rest;
                continue;
            }
            self.after_return = byte == b'\r';
            if matches!(byte, b'\n' | b'\r') {
                self.end_line();
                bytes = rest;
                continue;
            }
            bytes = match self.line {
                Line::Field(read) if DATA.get(read) == Some(&byte) => {
                    let read = read.saturating_add(1);
                    self.line = if read == DATA.len() { Line::Space } else { Line::Field(read) };
                    rest
                }
                Line::Field(_) => {
                    self.line = Line::Other;
                    rest
                }
                Line::Space => {
                    self.line = Line::Data;
                    if byte == b' ' { rest } else { bytes }
                }
                // A mark is behind us here.
                Line::Data | Line::Other | Line::Mark(_) => {
                    let end = memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
                    let (text, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                    if self.line == Line::Data {
                        self.number.read(text);
                    }
                    rest
                }
            };
        }
    }

    /// The number, if there was one. An event that broke off counts as well.
    pub fn finish(&mut self) -> Option<u64> {
        self.end_event();
        self.found.take()
    }

    fn end_line(&mut self) {
        match self.line {
            Line::Field(0) => self.end_event(),
            // The lines of an event are one text.
            Line::Data | Line::Space => self.number.read(b"\n"),
            Line::Field(_) | Line::Other | Line::Mark(_) => {}
        }
        self.line = Line::Field(0);
    }

    fn end_event(&mut self) {
        self.found = self.number.finish().or(self.found);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// Read whole, and byte by byte.
    fn last(text: &str) -> Option<u64> {
        let mut whole = Events::new(Pointer::new("/usage/total_tokens").unwrap());
        let mut bytes = whole.clone();
        whole.read(text.as_bytes());
        text.as_bytes().iter().for_each(|byte| bytes.read(&[*byte]));
        let number = whole.finish();
        assert_eq!(bytes.finish(), number, "{text}");
        number
    }

    #[test]
    fn the_last_event_with_a_number_counts() {
        let event = |tokens: u32| format!("{{\"usage\":{{\"total_tokens\":{tokens}}}}}");
        for end in ["\n", "\r\n", "\r"] {
            let stream = |lines: &[&str]| lines.iter().map(|line| format!("{line}{end}")).collect::<String>();
            let (one, two) = (format!("data: {}", event(1)), format!("data:{}", event(2)));
            for (lines, expected) in [
                (&[&*one, "", &two, "", "data: [DONE]", ""][..], Some(2)),
                (&[&one, "", "data: {\"usage\":null}", "", "data: [DONE]", ""], Some(1)),
                (&[": comment", "event: message", &one, "id: 1", ""], Some(1)),
                (&["data: {\"usage\":", "data: {\"total_tokens\":", "data: 12}}", ""], Some(12)),
                (&["data", "data:", "", &one], Some(1)),
                (&["datas: {\"usage\":{\"total_tokens\":1}}", ""], None),
                (&["data: {\"usage\":{\"total_", "", "data: tokens\":1}}", ""], None),
                (&[], None),
            ] {
                assert_eq!(last(&stream(lines)), expected, "{lines:?}");
                // One byte order mark is no part of the stream, a second one is.
                let marked = format!("\u{feff}{}", stream(lines));
                assert_eq!(last(&marked), expected, "{lines:?}");
            }
            let cut_off = format!("{}data: {{\"usage\":{{\"total_tokens\":2", stream(&[&one, ""]));
            assert_eq!(last(&cut_off), Some(1));
            let twice = format!("\u{feff}\u{feff}{}", stream(&[&one, "", "data: {}", ""]));
            assert_eq!(last(&twice), None);
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn any_bytes_are_read(bytes: Vec<u8>, cut: usize) {
                let at = cut % (bytes.len() + 1);
                let mut whole = Events::new(Pointer::new("/a/0").unwrap());
                let mut parts = whole.clone();
                whole.read(&bytes);
                parts.read(&bytes[..at]);
                parts.read(&bytes[at..]);
                prop_assert_eq!(whole.finish(), parts.finish());
            }
        }
    }
}
