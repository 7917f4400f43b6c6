//! A number in a JSON text that comes in pieces: what a response says that it cost.
//!
//! Nothing of the text is kept but where in it the reader is, so the memory does not depend on its size. It is not checked
//! either: what is not JSON has no number, or some number of those that stand in it.

use std::rc::Rc;

/// The longest name of a member, in bytes as it stands in the text, that is compared with one of the pointer.
const MAX_NAME: usize = 256;
/// The longest number. Those of more digits are not exact integers anyway.
const MAX_NUMBER: usize = 40;

/// A JSON pointer (RFC 6901), taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Rc<[Box<str>]>);

impl Pointer {
    /// Reads a pointer such as `/usage/total_tokens`. `None`: it is none, or has more than 32 parts or a longer one than 128
    /// bytes.
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Rc::default()));
        }
        let tokens: Option<Vec<Box<str>>> = text.strip_prefix('/')?.split('/').map(unescape).collect();
        tokens.filter(|tokens| tokens.len() <= 32).map(|tokens| Self(tokens.into()))
    }
}

fn unescape(token: &str) -> Option<Box<str>> {
    let mut parts = token.split('~');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.strip_prefix('0').map(|rest| ('~', rest));
        let (char, rest) = rest.or_else(|| part.strip_prefix('1').map(|rest| ('/', rest)))?;
        name.push(char);
        name.push_str(rest);
    }
    (name.len() <= 128).then(|| name.into())
}

/// Reads a text and finds the last number that stands where a [`Pointer`] points. Several texts, one behind the other, are
/// read as one.
#[derive(Clone, Debug)]
pub struct NumberAt {
    pointer: Pointer,
    /// The open containers that the pointer leads through, the outermost first.
    path: Vec<Level>,
    /// How many containers are open.
    depth: usize,
    token: Token,
    /// The number that is being read, or the name of a member.
    text: Vec<u8>,
    found: Option<u64>,
}

/// A container that the pointer leads through.
#[derive(Clone, Copy, Debug)]
struct Level {
    is_array: bool,
    /// Of the present element.
    index: u64,
    /// The present member or element is the one that the pointer names.
    is_named: bool,
    /// In an object: what comes is the name of a member.
    name_comes: bool,
}

/// Where in a token the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    String { is_name: bool, escaped: bool },
    Number { is_wanted: bool },
}

impl NumberAt {
    /// Begins.
    pub const fn new(pointer: Pointer) -> Self {
        Self { pointer, path: Vec::new(), depth: 0, token: Token::None, text: Vec::new(), found: None }
    }

    /// Reads on.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.token {
                Token::String { is_name, escaped } => self.read_string(bytes, is_name, escaped),
                Token::Number { is_wanted } if is_of_number(byte) => {
                    if is_wanted {
                        self.keep(&[byte], MAX_NUMBER);
                    }
                    rest
                }
                Token::Number { .. } => {
                    self.end_number();
                    bytes
                }
                Token::None => {
                    self.read_structure(byte);
                    rest
                }
            };
        }
    }

    /// The number, if there was one: rounded up, 0 if it is below that. Ends the text. Of one that breaks off within a number
    /// nobody knows how that goes on: it is none.
    pub fn finish(&mut self) -> Option<u64> {
        if self.depth == 0 {
            self.end_number();
        }
        self.path.clear();
        (self.depth, self.token) = (0, Token::None);
        self.text.clear();
        self.found.take()
    }

    fn read_structure(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => self.open(byte == b'['),
            b'}' | b']' => self.close(),
            b'"' => {
                let is_name = self.level().is_some_and(|level| level.name_comes);
                self.text.clear();
                self.token = Token::String { is_name, escaped: false };
            }
            b',' => {
                let (pointer, part) = self.present_part();
                if let Some(level) = self.level() {
                    level.name_comes = !level.is_array;
                    level.index = level.index.saturating_add(u64::from(level.is_array));
                    level.is_named =
                        level.is_array && pointer.get(part).is_some_and(|part| is_index(part, level.index));
                }
            }
            b':' => {
                if let Some(level) = self.level() {
                    level.name_comes = false;
                }
            }
            b'-' | b'0'..=b'9' => {
                let is_wanted = self.is_wanted(self.pointer.0.len());
                self.text.clear();
                self.token = Token::Number { is_wanted };
                if is_wanted {
                    self.text.push(byte);
                }
            }
            _ => {}
        }
    }

    /// Reads on in a string, and returns what follows it.
    fn read_string<'b>(&mut self, bytes: &'b [u8], is_name: bool, escaped: bool) -> &'b [u8] {
        if escaped {
            let (byte, rest) = bytes.split_at_checked(1).unwrap_or((bytes, &[]));
            if is_name {
                self.keep(byte, MAX_NAME);
            }
            self.token = Token::String { is_name, escaped: false };
            return rest;
        }
        let end = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (text, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        if is_name {
            self.keep(text, MAX_NAME);
        }
        match rest.split_first() {
            Some((b'\\', rest)) => {
                if is_name {
                    self.keep(b"\\", MAX_NAME);
                }
                self.token = Token::String { is_name, escaped: true };
                rest
            }
            Some((_, rest)) => {
                self.token = Token::None;
                if is_name {
                    self.end_name();
                }
                rest
            }
            None => rest,
        }
    }

    fn open(&mut self, is_array: bool) {
        let leads_on = self.path.len() < self.pointer.0.len();
        if leads_on && self.is_wanted(self.path.len()) {
            let token = self.pointer.0.get(self.path.len());
            let is_named = is_array && token.is_some_and(|token| is_index(token, 0));
            self.path.push(Level { is_array, index: 0, is_named, name_comes: !is_array });
        }
        self.depth = self.depth.saturating_add(1);
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.path.truncate(self.depth);
    }

    /// The present container, if the pointer leads through it.
    fn level(&mut self) -> Option<&mut Level> {
        if self.path.len() == self.depth { self.path.last_mut() } else { None }
    }

    /// Which part of the pointer names something in the innermost container that it leads through.
    fn present_part(&self) -> (Rc<[Box<str>]>, usize) {
        (Rc::clone(&self.pointer.0), self.path.len().saturating_sub(1))
    }

    /// Whether a value that begins here is what the first `parts` parts of the pointer lead to.
    fn is_wanted(&self, parts: usize) -> bool {
        self.depth == parts && self.path.len() == parts && self.path.last().is_none_or(|level| level.is_named)
    }

    fn end_name(&mut self) {
        let (pointer, part) = self.present_part();
        // A name that was cut off is no name of the pointer's: those are shorter.
        let name = unescaped(&self.text);
        let is_named = pointer.get(part).zip(name).is_some_and(|(part, name)| **part == *name);
        if let Some(level) = self.level() {
            level.is_named = is_named;
        }
    }

    fn end_number(&mut self) {
        if self.token == (Token::Number { is_wanted: true }) {
            self.found = number(&self.text).or(self.found);
        }
        if matches!(self.token, Token::Number { .. }) {
            self.token = Token::None;
        }
    }

    /// One byte more than there may be tells that it was cut off.
    fn keep(&mut self, bytes: &[u8], most: usize) {
        let room = most.saturating_add(1).saturating_sub(self.text.len());
        self.text.extend(bytes.iter().take(room));
    }
}

const fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether a part of a pointer is the index of an element (RFC 6901 section 4).
fn is_index(token: &str, index: u64) -> bool {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    canonical && token.parse() == Ok(index)
}

/// The name of a member, from what stands between its quotes.
fn unescaped(text: &[u8]) -> Option<String> {
    if !text.contains(&b'\\') {
        return std::str::from_utf8(text).ok().map(str::to_owned);
    }
    serde_json::from_slice(&[b"\"", text, b"\""].concat()).ok()
}

/// A number as a cost: rounded up, and nothing if it is below 0.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_NUMBER)?;
    if let Ok(whole) = text.parse() {
        return Some(whole);
    }
    let number: f64 = text.parse().ok()?;
    // From below 0 to 0, from above 64 bits to the most that they hold: that is what `as` does.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    Some(number.ceil() as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// Read whole, and byte by byte.
    fn found(pointer: &str, text: &str) -> Option<u64> {
        let mut whole = NumberAt::new(Pointer::new(pointer).unwrap());
        let mut bytes = whole.clone();
        whole.read(text.as_bytes());
        text.as_bytes().iter().for_each(|byte| bytes.read(&[*byte]));
        let number = whole.finish();
        assert_eq!(bytes.finish(), number, "{text}");
        number
    }

    #[test]
    fn the_number_that_a_pointer_points_to_is_found() {
        for (pointer, text, expected) in [
            ("/usage/total_tokens", r#"{"usage": {"prompt_tokens": 3, "total_tokens": 17}}"#, Some(17)),
            ("/usage/total_tokens", r#"{"usage":{"total_tokens":17},"total_tokens":3}"#, Some(17)),
            ("/usage/total_tokens", r#"{"a":{"usage":{"total_tokens":17}}}"#, None),
            ("/usage/total_tokens", r#"{"usage":[{"total_tokens":17}]}"#, None),
            ("/usage/total_tokens", r#"{"usage":{"total_tokens":{"n":17}}}"#, None),
            ("/usage/total_tokens", r#"{"usage":{"total_tokens":"17"}}"#, None),
            ("/usage/total_tokens", r#"{"usage":null}"#, None),
            ("/usage/total_tokens", r#"{"usage":{"x":"\"total_tokens\":9","total_tokens":17}}"#, Some(17)),
            (
                "/usage/total_tokens",
                r#"{"x":"usage","usage":{"y":["total_tokens",4],"total_tokens":17}}"#,
                Some(17),
            ),
            ("/usage/total_tokens", r#"{"\u0075sage":{"total\u005ftokens":17}}"#, Some(17)),
            ("/n", r#"{"n":1,"n":2}"#, Some(2)),
            ("/n", r#"{"n":1.2}"#, Some(2)),
            ("/n", r#"{"n":-3}"#, Some(0)),
            ("/n", r#"{"n":12e2 }"#, Some(1_200)),
            ("/n", r#"{"n":1e300}"#, Some(u64::MAX)),
            ("/n", r#"{"n":18446744073709551615}"#, Some(u64::MAX)),
            ("/n", r#"{"n":18446744073709551616}"#, Some(u64::MAX)),
            // Where it breaks off, what was complete counts.
            ("/n", r#"{"n":1"#, None),
            ("/n", r#"{"n":1,"m"#, Some(1)),
            ("/n", r#"{"n":1}{"n":20"#, Some(1)),
            ("/n", r#"{"n":1}{"n":2,"#, Some(2)),
            ("/1", "[5,6", None),
            ("/n", r#"{"n":-}"#, None),
            ("/n", r#"{"n":}"#, None),
            ("/1/n", r#"[{"n":1},{"n":2},{"n":3}]"#, Some(2)),
            ("/1", r#"[[5,6],7]"#, Some(7)),
            ("/1", r#"{"1":8}"#, Some(8)),
            ("/01", r#"[1,2]"#, None),
            ("/a~1b/~0", r#"{"a/b":{"~":4}}"#, Some(4)),
            ("/", r#"{"":4}"#, Some(4)),
            ("", "42", Some(42)),
            ("", "[42]", None),
            ("/n", "{\"n\":1}\n{\"n\":2}\n{\"m\":3}\n", Some(2)),
            ("/n", "}}]]{\"n\":1}", Some(1)),
            ("/n", "", None),
        ] {
            assert_eq!(found(pointer, text), expected, "{pointer} in {text}");
        }
        let long = format!("{{\"{}\":1,\"n\":{}}}", "n".repeat(100_000), "1".repeat(100_000));
        assert_eq!(found("/n", &long), None);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["usage", "/a~", "/a~2", &"/a".repeat(33), &format!("/{}", "a".repeat(129))] {
            assert_eq!(Pointer::new(text), None, "{text}");
        }
    }

    #[test]
    fn memory_does_not_depend_on_the_text() {
        let mut number = NumberAt::new(Pointer::new("/a/b").unwrap());
        for _ in 0..100_000 {
            number.read(b"{\"a\":[[[[{{\"an unusual name\":11111111111111111111111111111111111111111111");
        }
        assert!(number.text.capacity() <= 1_024 && number.path.capacity() <= 32);
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use proptest::prelude::*;
        use serde_json::{Value, json};

        use super::*;

        fn value() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![
                Just(Value::Null),
                any::<u64>().prop_map(|number| json!(number)),
                (-1e6..1e6).prop_map(|number| json!(number)),
                "[ab\"\\\\{}\\[\\]:,\u{e9}]{0,4}".prop_map(Value::from),
            ];
            leaf.prop_recursive(4, 40, 4, |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                    prop::collection::btree_map("[ab\"\\\\~/]{0,2}", inner, 0..4)
                        .prop_map(|map| Value::Object(map.into_iter().collect())),
                ]
            })
        }

        fn pointers(value: &Value, prefix: &str, all: &mut Vec<String>) {
            all.push(prefix.to_owned());
            let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
            match value {
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        pointers(item, &format!("{prefix}/{index}"), all);
                    }
                }
                Value::Object(map) => {
                    for (name, item) in map {
                        pointers(item, &format!("{prefix}/{}", escaped(name)), all);
                    }
                }
                _ => {}
            }
        }

        proptest! {
            /// Wherever a pointer points to in any text, what is found is what a parser finds there, however it is cut.
            #[test]
            fn a_number_is_found_as_by_a_parser(value in value(), pretty: bool, step in 1_usize..9) {
                let text = if pretty { format!("{value:#}") } else { value.to_string() };
                let mut all = vec!["/none".to_owned(), "/0/a".to_owned()];
                pointers(&value, "", &mut all);
                for pointer in all {
                    let expected = value.pointer(&pointer).and_then(Value::as_number).map(|number| {
                        number.as_u64().unwrap_or_else(|| number.as_f64().unwrap().ceil() as u64)
                    });
                    let mut number = NumberAt::new(Pointer::new(&pointer).unwrap());
                    text.as_bytes().chunks(step).for_each(|chunk| number.read(chunk));
                    prop_assert_eq!(number.finish(), expected, "{} in {}", pointer, text);
                }
            }
        }
    }
}
