//! The one form of a path that rules are matched against, so that no spelling of it gets around a rule.
//!
//! Upstreams decode a path before they route it, each in its own way. [`normalize`] undoes what they agree on:
//!
//! 1. Every segment is percent-decoded once and written again in one way: a byte that may stand in a path (`pchar`,
//!    RFC 3986 section 3.3) as itself, every other byte as `%XX` with upper-case digits. `%75sers`, `users%3Aall` and
//!    `%c3%a9` come out as `users`, `users:all` and `%C3%A9`; a `%` that starts no escape comes out as `%25`.
//! 2. `\` separates segments as `/` does (WHATWG URL). An encoded slash or backslash, `%2F` and `%5C`, stays inside its
//!    segment. For upstreams that split there, have Envoy decode or refuse them: `path_with_escaped_slashes_action`.
//! 3. `.` and `..` are resolved (RFC 3986 section 5.2.4), after decoding, so `%2e%2E` is one of them; `..` stops at the root.
//! 4. Empty segments are dropped: `//` is `/`. A slash at the end stays.
//!
//! Parameters of segments (`/users;v=1`, RFC 3986 section 3.3) are part of them. Java servlet containers cut them off, and
//! some servers split at `%2F`: `Readings` are the paths that such a path may be for one of them.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The normal form of a path without its query. Borrowed where the path is in it already.
///
/// What is not a path comes back as it is: nothing (CONNECT) and `*` (OPTIONS).
pub fn normalize(path: &[u8]) -> Cow<'_, [u8]> {
    if path.is_empty() || path == b"*" || is_normal(path) {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(rewrite(path))
    }
}

/// Whether servers resolve a path differently, so that what a rule decides on may not be what the upstream serves: it has a
/// `\\`, or a segment that is `.` or `..` once `%2F` and `%5C` are decoded and parameters (`..;a`) are cut off.
///
/// Envoy sends a path on as it came unless `normalize_path` is set. What decides by path who may pass refuses these.
pub fn is_ambiguous(path: &[u8]) -> bool {
    let suspect = |byte: &u8| matches!(byte, b'.' | b'%' | b'\\');
    if !path.iter().any(suspect) {
        return false;
    }
    let decoded: Cow<'_, [u8]> = percent_decode(path).into();
    let is_dots = |segment: &[u8]| {
        let name = segment.split(|&byte| byte == b';').next().unwrap_or_default();
        matches!(name, b"." | b"..")
    };
    path.contains(&b'\\') || decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots)
}

/// The normal form of a path, and those of all other paths that it may be for some server.
pub(crate) struct Readings {
    /// `None`: the path is in it already.
    normal: Option<Vec<u8>>,
    others: Vec<Vec<u8>>,
}

impl Readings {
    /// Of a path without its query: with parameters cut off, before escapes are decoded or after, and split at `%2F` and `%5C`.
    pub(crate) fn new(path: &[u8]) -> Self {
        let normal = normalize(path);
        let mut others: Vec<Vec<u8>> = Vec::new();
        if has_others(path) {
            let split = |path: &[u8]| decode_only(path, b"/\\");
            let cut = without_parameters(path);
            let all = [
                split(path),
                split(&cut),
                without_parameters(&decode_only(path, b"/\\;")),
                without_parameters(&decode_only(path, b";")),
                cut,
            ];
            for other in all.map(|path| normalize(&path).into_owned()) {
                if *other != *normal && !others.contains(&other) {
                    others.push(other);
                }
            }
        }
        let normal = match normal {
            Cow::Borrowed(_) => None,
            Cow::Owned(normal) => Some(normal),
        };
        Self { normal, others }
    }

    /// That of [`normalize`], of the path that these are of.
    pub(crate) fn normal<'r>(&'r self, path: &'r [u8]) -> &'r [u8] {
        self.normal.as_deref().unwrap_or(path)
    }

    /// What it may be beside that.
    pub(crate) fn others(&self) -> impl Iterator<Item = &[u8]> {
        self.others.iter().map(Vec::as_slice)
    }
}

/// Whether a path may be another one for servers that cut off parameters, or that split at encoded slashes or backslashes.
fn has_others(path: &[u8]) -> bool {
    memchr::memchr(b';', path).is_some()
        || path.windows(3).any(|escape| matches!(unescaped(escape), Some(b'/' | b'\\' | b';')))
}

/// Decodes the escapes of some bytes, once.
fn decode_only(path: &[u8], which: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        let escaped = rest.get(..3).and_then(unescaped).filter(|byte| which.contains(byte));
        let (byte, after) = match escaped {
            Some(byte) => (byte, rest.get(3..).unwrap_or_default()),
            None => (*first, after),
        };
        decoded.push(byte);
        rest = after;
    }
    decoded
}

/// Cuts each segment at its first `;`.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let names = path
        .split(|byte| *byte == b'/')
        .map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(&b'/')
}

/// The byte that `%XX` stands for.
fn unescaped(escape: &[u8]) -> Option<u8> {
    let [b'%', _, _] = escape else { return None };
    percent_decode(escape).next().filter(|byte| *byte != b'%')
}

/// A segment in normal form.
pub(super) fn normal_segment(segment: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(segment.len());
    for byte in percent_decode(segment) {
        if is_pchar(byte) {
            normal.push(byte);
        } else {
            normal.extend_from_slice(percent_encoding::percent_encode_byte(byte).as_bytes());
        }
    }
    normal
}

fn is_normal(path: &[u8]) -> bool {
    let Some((b'/', rest)) = path.split_first() else { return false };
    let mut segments = rest.split(|&byte| byte == b'/');
    let last = segments.next_back().unwrap_or_default();
    segments.all(|segment| !segment.is_empty() && is_normal_segment(segment)) && is_normal_segment(last)
}

fn is_normal_segment(segment: &[u8]) -> bool {
    if matches!(segment, b"." | b"..") {
        return false;
    }
    let mut bytes = segment.iter().copied();
    while let Some(byte) = bytes.next() {
        let normal = match byte {
            b'%' => {
                matches!((bytes.next(), bytes.next()), (Some(high), Some(low)) if is_normal_escape(high, low))
            }
            byte => is_pchar(byte),
        };
        if !normal {
            return false;
        }
    }
    true
}

fn is_normal_escape(high: u8, low: u8) -> bool {
    let upper = |digit: u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
    upper(high) && upper(low) && percent_decode(&[b'%', high, low]).next().is_some_and(|byte| !is_pchar(byte))
}

#[cold]
fn rewrite(path: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(path.len());
    let mut ends_open = false;
    for segment in path.split(|&byte| matches!(byte, b'/' | b'\\')) {
        let segment = normal_segment(segment);
        ends_open = matches!(segment.as_slice(), b"" | b"." | b"..");
        match segment.as_slice() {
            b"" | b"." => {}
            b".." => normal.truncate(memchr::memrchr(b'/', &normal).unwrap_or(0)),
            segment => {
                normal.push(b'/');
                normal.extend_from_slice(segment);
            }
        }
    }
    if ends_open || normal.is_empty() {
        normal.push(b'/');
    }
    normal
}

/// What may stand in a segment as it is: unreserved, sub-delims, `:` and `@`.
fn is_pchar(byte: u8) -> bool {
    matches!(byte,
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn spellings_of_one_path_have_one_form() {
        for spelling in [
            "/v1/users/1",
            "/v1/%75sers/1",
            "/v1/%75%73%65%72%73/%31",
            "/v1//users/1",
            "//v1/users///1",
            "/v1/./users/1",
            "/x/../v1/users/1",
            "/../../v1/users/1",
            "/v1/x/%2e%2E/users/1",
            "/v1/%2e/users/1",
            "/v1/.%2e/v1/users/1",
            "/v1\\users\\1",
            "\\v1/x\\..\\users/1",
            "v1/users/1",
        ] {
            assert_eq!(
                normalize(spelling.as_bytes()).escape_ascii().to_string(),
                "/v1/users/1",
                "{spelling:?}"
            );
        }
    }

    #[test]
    fn what_means_something_else_stays_apart() {
        for (path, expected) in [
            ("", ""),
            ("*", "*"),
            ("/", "/"),
            ("//", "/"),
            ("/..", "/"),
            ("/.", "/"),
            ("/a/", "/a/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/v1/a%2fb", "/v1/a%2Fb"),
            ("/v1/a%2Fb", "/v1/a%2Fb"),
            ("/v1/..%2fb", "/v1/..%2Fb"),
            ("/v1/a%5cb", "/v1/a%5Cb"),
            ("/a%2541", "/a%2541"),
            ("/a%25%34%31", "/a%2541"),
            ("/%zz", "/%25zz"),
            ("/%", "/%25"),
            ("/%4", "/%254"),
            ("/%00", "/%00"),
            ("/a b", "/a%20b"),
            ("/é", "/%C3%A9"),
            ("/%c3%a9", "/%C3%A9"),
            ("/u%3Aall%40x", "/u:all@x"),
            ("/a;b=c", "/a;b=c"),
            ("/...", "/..."),
            ("/a#b", "/a%23b"),
            ("/a%3Fb", "/a%3Fb"),
        ] {
            assert_eq!(std::str::from_utf8(&normalize(path.as_bytes())).unwrap(), expected, "{path:?}");
        }
    }

    #[test]
    fn normal_paths_are_borrowed() {
        for path in ["/", "/v1/users/1", "/a/", "/a%2Fb/%C3%A9", "/a:b@c;d=e", "*", ""] {
            assert!(matches!(normalize(path.as_bytes()), Cow::Borrowed(_)), "{path:?}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn the_normal_form_is_final(path in "([a/\\\\.%]|//|\\.\\.|%2[eEfF5]|%5[cC]|%6|%c3|é|%zz| ){0,12}") {
                let once = normalize(path.as_bytes()).into_owned();
                prop_assert!(path.is_empty() || path == "*" || is_normal(&once), "{:?}", once.escape_ascii().to_string());
                prop_assert_eq!(&*normalize(&once), &once);
            }

            #[test]
            fn any_bytes_have_a_normal_form(path: Vec<u8>) {
                let once = normalize(&path).into_owned();
                prop_assert_eq!(&*normalize(&once), &once);
            }

            #[test]
            fn escaping_any_byte_changes_nothing(path in "(/[a-z.:]{1,3}){1,4}/?", at: prop::sample::Index) {
                let (before, rest) = path.split_at(at.index(path.len()));
                let (byte, after) = rest.as_bytes().split_first().unwrap();
                if *byte != b'/' {
                    let escaped = format!("{before}%{byte:02x}{}", std::str::from_utf8(after).unwrap());
                    prop_assert_eq!(normalize(escaped.as_bytes()), normalize(path.as_bytes()));
                }
            }
        }
    }

    #[test]
    fn a_path_may_be_another_one_for_some_servers() {
        for (path, expected) in [
            ("/v1/a;x=1/b;y", &["/v1/a;x=1/b;y", "/v1/a/b"][..]),
            ("/v1;x/a", &["/v1;x/a", "/v1/a"]),
            ("/v1;/a", &["/v1;/a", "/v1/a"]),
            ("/;x/v1/a", &["/;x/v1/a", "/v1/a"]),
            ("/v1%2fa", &["/v1%2Fa", "/v1/a"]),
            ("/v1%5Ca", &["/v1%5Ca", "/v1/a"]),
            ("/%2Fv1/a", &["/%2Fv1/a", "/v1/a"]),
            ("/v1%3bx/a", &["/v1;x/a", "/v1/a"]),
            ("/v1;a%2fb/c", &["/v1;a%2Fb/c", "/v1;a/b/c", "/v1/b/c", "/v1/c"]),
            ("/v1%3bx%2fy/a", &["/v1;x%2Fy/a", "/v1;x/y/a", "/v1/a", "/v1/y/a"]),
            ("/v1%252fa", &["/v1%252fa"]),
            ("/v1/a", &["/v1/a"]),
            ("/v1/%zz/%", &["/v1/%25zz/%25"]),
            ("*", &["*"]),
            ("", &[""]),
        ] {
            let found = Readings::new(path.as_bytes());
            let normal = found.normal(path.as_bytes());
            assert_eq!(normal.escape_ascii().to_string(), expected[0], "{path}");
            let all = std::iter::once(normal).chain(found.others());
            let mut readings: Vec<_> = all.map(|path| path.escape_ascii().to_string()).collect();
            readings.sort();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(readings, expected, "{path}");
        }
    }

    #[test]
    fn what_servers_resolve_differently_is_ambiguous() {
        for path in [
            "/a/../b",
            "/..",
            "/.",
            "/a/.",
            "/a/%2e%2E/b",
            "/a%2f..%2fb",
            "/a%5C..%5cb",
            "/a\\b",
            "/a/..;x/b",
            "/./a",
        ] {
            assert!(is_ambiguous(path.as_bytes()), "{path}");
        }
        for path in
            ["", "*", "/", "/a/b", "/a.b/..c/d..", "/a%2Fb", "/...", "/%zz", "//a", "/%252e%252e", "/a;.."]
        {
            assert!(!is_ambiguous(path.as_bytes()), "{path}");
        }
    }
}
