//! Reading a text: for templates and conditions.

use std::borrow::Cow;
use std::fmt;

use crate::edit::find;
use crate::error::JsonError;
use crate::path::Path;
use crate::raw::Raw;
use crate::scan::{Limits, Scanner, document};
use crate::string;

/// One value of a text that is known to be valid.
///
/// Nothing is parsed ahead: each question scans what it needs of the text, and a lookup in a container passes over all
/// that stands before the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Node<'a> {
    text: &'a [u8],
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number; its text tells which.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl<'a> Node<'a> {
    /// Checks a text like [`validate`](crate::validate) and gives its value.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &'a [u8], limits: &Limits) -> Result<Self, JsonError> {
        let (start, end) = document(text, limits)?;
        Ok(Self { text: text.get(start..end).unwrap_or_default() })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.text.first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// Its text, without white space around it.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The same, to write it elsewhere.
    pub fn raw(&self) -> Raw<'a> {
        Raw::scanned(Cow::Borrowed(self.text))
    }

    /// What a string stands for; nothing of another kind. Half of a surrogate pair alone becomes U+FFFD; bytes that are
    /// no UTF-8 stay.
    pub fn string(&self) -> Option<Cow<'a, [u8]>> {
        match self.text {
            [b'"', inside @ .., b'"'] => Some(string::decode(inside)),
            _ => None,
        }
    }

    /// The members of an object in their order, repeated names included; none of another kind.
    pub fn members(&self) -> Members<'a> {
        Members(Children::new(self.text, b'{'))
    }

    /// The elements of an array in their order; none of another kind.
    pub fn items(&self) -> Items<'a> {
        Items(Children::new(self.text, b'['))
    }

    /// The value of a member: of several with this name the last, as most readers of JSON have it.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        let mut children = Children::new(self.text, b'{');
        let mut found = None;
        while let Some((key, value)) = children.next() {
            if string::is(key, true, name.as_bytes()) {
                found = Some(value);
            }
        }
        found
    }

    /// The values that a path selects, each once, in their order; the path begins at this value.
    ///
    /// # Errors
    /// There are more than [`Limits::matches`].
    pub fn at(&self, path: &Path, limits: &Limits) -> Result<Vec<Node<'a>>, JsonError> {
        let spans = find(self.text, path, limits)?;
        Ok(spans
            .into_iter()
            .map(|(start, end)| Node { text: self.text.get(start..end).unwrap_or_default() })
            .collect())
    }
}

/// Its kind and length only: values of a body may be secrets.
impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?}, {} bytes)", self.kind(), self.text.len())
    }
}

/// The members of an object: names, decoded, and values.
#[derive(Clone, Debug)]
pub struct Members<'a>(Children<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, [u8]>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        Some((string::decode(name), value))
    }
}

/// The elements of an array.
#[derive(Clone, Debug)]
pub struct Items<'a>(Children<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        self.0.next().map(|(_, value)| value)
    }
}

/// Walks the children of a valid container.
#[derive(Clone, Debug)]
struct Children<'a> {
    scanner: Scanner<'a>,
    object: bool,
}

impl<'a> Children<'a> {
    /// The children of the container that begins with `bracket`; none if the value is another.
    fn new(text: &'a [u8], bracket: u8) -> Self {
        let text = text.strip_prefix(&[bracket]).unwrap_or_default();
        Self { scanner: Scanner { text, at: 0 }, object: bracket == b'{' }
    }

    /// The next child: the inside of its name (empty for an element) and its value.
    fn next(&mut self) -> Option<(&'a [u8], Node<'a>)> {
        self.scanner.space();
        if self.scanner.peek() == Some(b',') {
            self.scanner.advance();
            self.scanner.space();
        }
        if matches!(self.scanner.peek(), None | Some(b']' | b'}')) {
            return None;
        }
        let mut name: &[u8] = &[];
        if self.object {
            let ((start, end), _) = self.scanner.name().ok()?;
            name = self.scanner.text.get(start.saturating_add(1)..end.saturating_sub(1)).unwrap_or_default();
        }
        let start = self.scanner.at;
        self.scanner.value(usize::MAX).ok()?;
        let text = self.scanner.text.get(start..self.scanner.at).unwrap_or_default();
        Some((name, Node { text }))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn node(text: &str) -> Node<'_> {
        Node::parse(text.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn kinds() {
        let kinds: Vec<_> = node("[null,true,false,-1,\"\",[],{}]").items().map(|item| item.kind()).collect();
        use Kind::{Array, Boolean, Null, Number, Object, String};
        assert_eq!(kinds, [Null, Boolean, Boolean, Number, String, Array, Object]);
        assert!(Node::parse(b"[1", &Limits::default()).is_err());
    }

    #[test]
    fn members_and_items() {
        let value = node(r#" { "a" : 1 , "\u0062":[ "x" , {"y":"]}"} ],"a":2.50} "#);
        let members: Vec<_> = value
            .members()
            .map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value.text()))
            .collect();
        let expected: [(String, &[u8]); 3] =
            [("a".into(), b"1"), ("b".into(), br#"[ "x" , {"y":"]}"} ]"#), ("a".into(), b"2.50")];
        assert_eq!(members, expected);
        assert_eq!(value.get("a").unwrap().text(), b"2.50");
        assert_eq!(
            value.get("b").unwrap().items().map(|item| item.text().len()).collect::<Vec<_>>(),
            [3, 10]
        );
        assert_eq!(value.get("none"), None);
        assert_eq!(value.items().count(), 0);
        assert_eq!(
            node("{ }").members().count() + node("[ ]").items().count() + node("1").members().count(),
            0
        );
    }

    #[test]
    fn strings() {
        assert_eq!(node(r#""a\n\u00e9""#).string().unwrap(), "a\n\u{e9}".as_bytes());
        assert_eq!(node("\"\"").string().unwrap(), b"".as_slice());
        assert_eq!(node("1").string(), None);
        assert_eq!(node(" [1, 2] ").raw().as_bytes(), b"[1, 2]");
    }

    #[test]
    fn paths_begin_at_the_node() {
        let value = node(r#"{"a":{"b":[1,2,{"b":3}]}}"#);
        let inner = value.get("a").unwrap();
        let texts = |path: &str| -> Vec<&[u8]> {
            let found = inner.at(&Path::new(path).unwrap(), &Limits::default()).unwrap();
            found.iter().map(Node::text).collect()
        };
        assert_eq!(texts("/b/1"), [b"2"]);
        assert_eq!(texts("$.b[-1].b"), [b"3"]);
        assert_eq!(texts("$..b").len(), 2);
        assert_eq!(texts("/a"), [] as [&[u8]; 0]);
        let few = Limits { matches: 1, ..Limits::default() };
        assert!(inner.at(&Path::new("$..b").unwrap(), &few).unwrap_err().is_limit());
    }
}
