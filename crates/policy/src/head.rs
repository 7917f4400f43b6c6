//! What a request asks for: the parts of its head that everything decides by.

use std::cell::OnceCell;
use std::fmt;

use crate::headers::Headers;
use crate::matching::{Readings, Truth};

/// The head of a request, with its target taken apart once.
pub struct RequestHead<'a> {
    /// All fields, the pseudo-headers among them.
    pub headers: &'a Headers,
    /// `:method`, as the client sent it; empty if there is none.
    pub method: &'a [u8],
    /// `:authority`: host and, where the client sent one, port; empty if there is none.
    pub authority: &'a [u8],
    /// `:path` up to the first `?`, still percent-encoded.
    pub path: &'a [u8],
    /// What follows the first `?` of `:path`, still percent-encoded; `None` where there is no `?`.
    pub query: Option<&'a [u8]>,
    /// Made for the first rule that asks.
    readings: OnceCell<Readings>,
}

/// Without path and query: both may hold a credential.
impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead").field("headers", self.headers).finish_non_exhaustive()
    }
}

impl<'a> RequestHead<'a> {
    /// Takes the parts out of the fields, in one walk.
    pub fn new(headers: &'a Headers) -> Self {
        let readings = OnceCell::new();
        let mut head = Self { headers, method: b"", authority: b"", path: b"", query: None, readings };
        // Pseudo-headers come first: what follows the first ordinary field is not looked at.
        for (name, value) in headers.iter().take_while(|(name, _)| name.starts_with(b":")) {
            match name {
                b":method" => head.method = value,
                b":authority" => head.authority = value,
                b":path" => (head.path, head.query) = split_target(value),
                _ => {}
            }
        }
        head
    }

    /// The path as rules see it, in normal form: see [`normalize`](crate::matching::normalize).
    pub fn normal_path(&self) -> &[u8] {
        self.readings().normal(self.path)
    }

    /// Whether something holds for the path however servers read it: with parameters (`;x`) or without, split at encoded
    /// slashes or not. It is asked about paths in normal form.
    pub fn path_truth(&self, holds: impl Fn(&[u8]) -> bool) -> Truth {
        let paths = std::iter::once(self.normal_path()).chain(self.readings().others());
        Truth::of_all(paths.map(holds))
    }

    /// Taken apart once, however many rules there are.
    fn readings(&self) -> &Readings {
        self.readings.get_or_init(|| Readings::new(self.path))
    }
}

/// Splits `:path` into the path and the query behind its first `?`.
pub fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_target_splits_at_its_first_question_mark() {
        assert_eq!(split_target(b"/a"), (b"/a".as_slice(), None));
        assert_eq!(split_target(b"/a?"), (b"/a".as_slice(), Some(b"".as_slice())));
        assert_eq!(split_target(b"/a?b?c"), (b"/a".as_slice(), Some(b"b?c".as_slice())));
        assert_eq!(split_target(b"?"), (b"".as_slice(), Some(b"".as_slice())));
    }

    #[test]
    fn parts_come_from_the_pseudo_headers() {
        let headers = Headers::from_pairs([
            (":method", "GET"),
            (":authority", "a.example:80"),
            (":path", "/p?q"),
            ("host", "b.example"),
        ]);
        let head = RequestHead::new(&headers);
        assert_eq!(
            (head.method, head.authority, head.path, head.query),
            (b"GET".as_slice(), b"a.example:80".as_slice(), b"/p".as_slice(), Some(b"q".as_slice()))
        );
        let empty = Headers::default();
        let head = RequestHead::new(&empty);
        assert_eq!((head.method, head.path, head.query), (b"".as_slice(), b"".as_slice(), None));
    }
}
