//! Paths, methods, hosts and statuses that may be written.

use meshgate_policy::headers::is_token;
use meshgate_policy::matching::is_ambiguous;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::trouble::Trouble;

/// What is encoded in a path: all that is no character of a segment, `/` or `%` (RFC 3986 section 3.3).
const NOT_IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'%')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A path that an upstream reads in one way only: absolute, with everything encoded that is no character of a path, such as
/// `?`, `#` and a `%` that begins no escape.
///
/// # Errors
/// [`Trouble::WrongType`] if it has a segment `.` or `..`, encoded or not, or a `\`.
pub fn path(text: &[u8]) -> Result<Vec<u8>, Trouble> {
    if is_ambiguous(text) {
        return Err(Trouble::WrongType);
    }
    let mut path = Vec::with_capacity(text.len().saturating_add(1));
    if !text.starts_with(b"/") {
        path.push(b'/');
    }
    for (at, byte) in text.iter().enumerate() {
        let escape = at.saturating_add(1)..at.saturating_add(3);
        let is_escape = || text.get(escape).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match *byte {
            b'%' if !is_escape() => path.extend_from_slice(b"%25"),
            byte => path.extend(percent_encode(&[byte], NOT_IN_PATHS).flat_map(str::bytes)),
        }
    }
    // `//host` is an authority where a path is read as a reference (RFC 3986 section 4.2).
    if path.starts_with(b"//") { Err(Trouble::WrongType) } else { Ok(path) }
}

/// Whether a literal part of a path stands in one as it is.
pub fn is_path_text(text: &str) -> bool {
    percent_encode(text.as_bytes(), NOT_IN_PATHS).eq(std::iter::once(text).filter(|text| !text.is_empty()))
}

/// A token, but not CONNECT, which is no request for a resource.
pub fn is_method(text: &[u8]) -> bool {
    is_token(text) && text != b"CONNECT"
}

/// A host, with a port if need be: letters, digits, `-`, `.`, `_`, and `:`, `[`, `]` of ports and IPv6 addresses.
pub fn is_host(text: &[u8]) -> bool {
    let is_part =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= 255 && text.iter().all(is_part)
}

/// A final status of a response that may have a body: 200 to 599, but not 204, 205 and 304.
pub fn is_status(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text).ok().filter(|text| text.len() == 3);
    let number = number.and_then(|text| text.parse::<u16>().ok());
    number.is_some_and(|status| (200..=599).contains(&status) && !matches!(status, 204 | 205 | 304))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn paths_hold_nothing_but_paths() {
        for (text, expected) in [
            ("/a/b", Some("/a/b")),
            ("a", Some("/a")),
            ("", Some("/")),
            ("/a b?c#d", Some("/a%20b%3Fc%23d")),
            ("/a\r\nb\0", Some("/a%0D%0Ab%00")),
            ("/caf\u{e9}/%C3%A9", Some("/caf%C3%A9/%C3%A9")),
            ("/a!$&'()*+,;=:@~._-", Some("/a!$&'()*+,;=:@~._-")),
            ("/100%/%zz/%4/%", Some("/100%25/%25zz/%254/%25")),
            ("/a/../b", None),
            ("/a/%2e%2E/b", None),
            ("/a/./b", None),
            ("/a\\b", None),
            ("/a/..;x=1/b", None),
            ("/a/..%2Fb", None),
            ("//evil.example/", None),
        ] {
            let found = path(text.as_bytes()).ok().map(|path| String::from_utf8(path).unwrap());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
        assert!(is_path_text("/a/%20b") && is_path_text("") && !is_path_text("/a b") && !is_path_text("/é"));
    }

    #[test]
    fn methods_hosts_and_statuses() {
        for (text, method, host, status) in [
            ("GET", true, true, false),
            ("CONNECT", false, true, false),
            ("G T", false, false, false),
            ("", false, false, false),
            ("a.example:80", false, true, false),
            ("[::1]:80", false, true, false),
            ("a/b", false, false, false),
            ("a@b", false, false, false),
            ("200", true, true, true),
            ("599", true, true, true),
            ("199", true, true, false),
            ("600", true, true, false),
            ("204", true, true, false),
            ("205", true, true, false),
            ("304", true, true, false),
            ("+20", true, false, false),
            ("0200", true, true, false),
        ] {
            let text = text.as_bytes();
            assert_eq!((is_method(text), is_host(text), is_status(text)), (method, host, status), "{text:?}");
        }
    }
}
