//! What the server of a file answers to a request for a part of it (RFC 9110 sections 13 to 15).

use meshgate_policy::headers::{HeaderValue, Headers};
use meshgate_policy::host::{Answer, CalloutError};

/// How much is asked for at once. Of lines of 150 bytes that are 850, which a worker reads in about two milliseconds.
pub const PART: u64 = 128 << 10;
/// The longest file that is taken from a server that knows no ranges.
pub const WHOLE: usize = 1 << 20;
/// The longest entity tag that is sent back.
const MAX_TAG: usize = 256;

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The file is as it was: the one with this entity tag, if it says which.
    Unchanged(Option<&'a [u8]>),
    /// A part of it.
    Part(Part<'a>),
    /// It is another one than that of which parts have come.
    Changed,
    /// It has no bytes.
    Empty,
    /// None of these. The words are for a log.
    Bad(String),
}

/// A part of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The entity tag of the file.
    pub etag: Option<&'a [u8]>,
    /// The length of the file.
    pub total: u64,
    /// Where it begins.
    pub start: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> Reply<'a> {
    /// What an answer says. `start`: where the part begins that was asked for.
    pub fn read(answer: &'a Answer, start: u64) -> Self {
        let (headers, body) = match answer {
            Answer::Http { headers, body } => (headers, body.as_slice()),
            Answer::Failed(CalloutError::TooLarge) => {
                return Self::Bad("the server knows no ranges, and the file is larger than 1 MiB".to_owned());
            }
            Answer::Failed(error) => return Self::Bad(error.to_string()),
            Answer::Grpc { .. } | Answer::GrpcStatus { .. } => {
                return Self::Bad("not an HTTP response".to_owned());
            }
        };
        let status = headers.first(":status").unwrap_or_default();
        let etag = headers.first("etag").filter(|etag| is_tag(etag));
        if matches!(status, b"200" | b"206")
            && headers.all("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
        {
            return Self::Bad(
                "the server sends the file compressed, although that was not asked for".to_owned(),
            );
        }
        match status {
            b"304" => Self::Unchanged(etag),
            b"412" => Self::Changed,
            b"416" if start > 0 => Self::Changed,
            b"416" if content_range(headers) == Some((None, 0)) => Self::Empty,
            b"206" => match content_range(headers) {
                Some((Some((from, to)), total)) if covers(from, to, total, body) => {
                    Self::Part(Part { etag, total, start: from, bytes: body })
                }
                _ => Self::Bad("status 206 without a content-range that fits its body".to_owned()),
            },
            b"200" if body.is_empty() => Self::Empty,
            // All of it: another file, or a server that forgot what ranges are.
            b"200" if start > 0 => Self::Changed,
            b"200" => {
                let total = u64::try_from(body.len()).unwrap_or(u64::MAX);
                Self::Part(Part { etag, total, start: 0, bytes: body })
            }
            status => Self::Bad(format!("status {}", status.escape_ascii())),
        }
    }
}

/// Whether an entity tag is a strong one: only those tell parts of one file from parts of two.
pub fn is_strong(etag: &[u8]) -> bool {
    etag.starts_with(b"\"")
}

fn covers(from: u64, to: u64, total: u64, body: &[u8]) -> bool {
    let length = to.checked_sub(from).and_then(|length| length.checked_add(1));
    to < total && length.is_some() && length == u64::try_from(body.len()).ok()
}

/// RFC 9110 section 8.8.3.
fn is_tag(etag: &[u8]) -> bool {
    let opaque = etag.strip_prefix(b"W/").unwrap_or(etag);
    let inner = opaque.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let plain = |byte: &u8| matches!(byte, b'!' | b'#'..=b'~' | 0x80..);
    etag.len() <= MAX_TAG
        && inner.is_some_and(|inner| inner.iter().all(plain))
        && HeaderValue::new(etag).is_ok()
}

/// RFC 9110 section 14.4: `bytes 0-99/1234` or `bytes */1234`.
fn content_range(headers: &Headers) -> Option<(Option<(u64, u64)>, u64)> {
    let mut all = headers.all("content-range");
    let (range, None) = (all.next()?, all.next()) else { return None };
    let range = std::str::from_utf8(range).ok()?;
    let (unit, range) = range.split_once(' ')?;
    let (range, total) = range.trim_start_matches(' ').split_once('/')?;
    let total = number(total)?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    if range == "*" {
        return Some((None, total));
    }
    let (from, to) = range.split_once('-')?;
    Some((Some((number(from)?, number(to)?)), total))
}

/// `parse` would take a sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshgate_test_host::http_answer;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn said(status: u16, fields: &[(&str, &str)], body: &str, start: u64) -> String {
        let answer = http_answer(status, fields, body);
        match Reply::read(&answer, start) {
            Reply::Part(part) => format!("{}+{} of {}", part.start, part.bytes.len(), part.total),
            Reply::Bad(why) => why,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn parts_are_what_the_server_says_they_are() {
        let range = |range: &'static str, body: &str| said(206, &[("content-range", range)], body, 0);
        assert_eq!(range("bytes 0-2/9", "abc"), "0+3 of 9");
        assert_eq!(range("Bytes  3-8/9", "abcdef"), "3+6 of 9");
        for (wrong, body) in [
            ("bytes 0-2/9", "ab"),
            ("bytes 0-2/9", "abcd"),
            ("bytes 0-2/2", "abc"),
            ("bytes 2-0/9", "abc"),
            ("bytes 0-2/*", "abc"),
            ("bytes */9", "abc"),
            ("bytes 0-2/+9", "abc"),
            ("bytes 0-2", "abc"),
            ("items 0-2/9", "abc"),
            ("bytes 0-18446744073709551615/18446744073709551615", "abc"),
            ("", "abc"),
        ] {
            assert_eq!(
                range(wrong, body),
                "status 206 without a content-range that fits its body",
                "{wrong}"
            );
        }
        let twice = [("content-range", "bytes 0-2/9"), ("content-range", "bytes 0-2/9")];
        assert_eq!(said(206, &twice, "abc", 0), "status 206 without a content-range that fits its body");
    }

    #[test]
    fn other_answers_are_told_apart() {
        assert_eq!(said(200, &[], "abc", 0), "0+3 of 3");
        assert_eq!(said(200, &[], "abc", 3), "Changed");
        assert_eq!(said(200, &[], "", 0), "Empty");
        assert_eq!(said(304, &[], "", 0), "Unchanged(None)");
        assert_eq!(said(412, &[], "", 3), "Changed");
        assert_eq!(said(416, &[("content-range", "bytes */0")], "", 0), "Empty");
        assert_eq!(said(416, &[("content-range", "bytes */2")], "", 3), "Changed");
        assert_eq!(said(416, &[], "", 0), "status 416");
        assert_eq!(said(500, &[], "abc", 0), "status 500");
        let coded = said(200, &[("content-encoding", "gzip")], "abc", 0);
        assert!(coded.contains("compressed"), "{coded}");
        assert_eq!(said(200, &[("content-encoding", "Identity")], "abc", 0), "0+3 of 3");
    }

    #[test]
    fn entity_tags_are_sent_back_only_if_they_are_some() {
        for (tag, good, strong) in [
            ("\"abc\"", true, true),
            ("W/\"abc\"", true, false),
            ("\"\"", true, true),
            ("abc", false, false),
            ("\"a\"b\"", false, false),
            ("\"a b\"", false, false),
            ("\"", false, false),
            ("w/\"a\"", false, false),
        ] {
            assert_eq!((is_tag(tag.as_bytes()), is_strong(tag.as_bytes()) && good), (good, strong), "{tag}");
        }
        assert!(!is_tag(format!("\"{}\"", "x".repeat(300)).as_bytes()));
    }
}
