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

    /// What a string stands for; nothing of another kind. Half of a surrogate pair alone becomes U+FFFD; bytes that are no
    /// UTF-8 stay.
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
            if string::equals(key, name.as_bytes()) {
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
        Ok(spans.into_iter().map(|(start, end)| Node { text: self.text.get(start..end).unwrap_or_default() }).collect())
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
