//! Which form of an answer a client takes: the field `Accept` (RFC 9110 section 12.5.1).
//!
//! Each media range has a quality; for a media type the most specific range that holds it counts, and 0 is a no. What is
//! no media range is passed over. The server's own order decides between equal qualities.

use crate::format::Representation;

/// The longest `Accept` that is looked at, in bytes: what follows is passed over.
const MAX_LENGTH: usize = 16 * 1024;
/// How many media ranges are looked at.
const MAX_RANGES: usize = 64;

/// The best of what is offered, in the order of the offer; `None` where the client takes none of it, or says nothing that
/// can be read. `accept`: the values of all `Accept` fields.
pub fn choose<'a>(
    accept: &[u8],
    offered: impl Iterator<Item = &'a Representation>,
) -> Option<&'a Representation> {
    let accept = accept.get(..MAX_LENGTH).unwrap_or(accept);
    let ranges: Vec<Range<'_>> = elements(accept).take(MAX_RANGES).filter_map(Range::read).collect();
    let mut best: Option<(u16, &Representation)> = None;
    for representation in offered {
        let quality = quality(representation.media_type, &ranges);
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, representation));
        }
    }
    best.map(|(_, representation)| representation)
}

/// The quality of a media type, in thousandths: of the most specific range that holds it.
fn quality(media_type: &str, ranges: &[Range<'_>]) -> u16 {
    let Some((kind, subtype)) = media_type.split_once('/') else { return 0 };
    let holds = |range: &&Range<'_>| {
        let same = |wanted: &[u8], name: &str| wanted == b"*" || wanted.eq_ignore_ascii_case(name.as_bytes());
        same(range.kind, kind) && same(range.subtype, subtype)
    };
    // Of several that are equally specific, the highest: the client takes it somewhere.
    ranges
        .iter()
        .filter(holds)
        .max_by_key(|range| (range.specificity(), range.quality))
        .map_or(0, |range| range.quality)
}

/// A media range with its quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range<'a> {
    kind: &'a [u8],
    subtype: &'a [u8],
    /// In thousandths.
    quality: u16,
    /// With parameters other than the quality. We have none to compare, but for `charset=utf-8`, which is what we send:
    /// such a range is taken for the type without them.
    parameters: bool,
}

impl<'a> Range<'a> {
    fn read(element: &'a [u8]) -> Option<Self> {
        let mut parts = split_quoted(element, b';');
        let name = parts.next()?.trim_ascii();
        let slash = memchr::memchr(b'/', name)?;
        let (kind, rest) = name.split_at_checked(slash)?;
        let subtype = rest.get(1..)?;
        let token = meshgate_policy::headers::is_token;
        if !token(kind) || !token(subtype) || (kind == b"*" && subtype != b"*") {
            return None;
        }
        let mut range = Self { kind, subtype, quality: 1_000, parameters: false };
        for parameter in parts {
            let parameter = parameter.trim_ascii();
            let equals = memchr::memchr(b'=', parameter);
            let (name, value) =
                equals.and_then(|at| parameter.split_at_checked(at)).unwrap_or((parameter, b""));
            if name.eq_ignore_ascii_case(b"q") {
                range.quality = thousandths(value.get(1..)?)?;
                // What follows the quality are parameters of `Accept`, not of the media type (RFC 7231 had them).
                break;
            }
            range.parameters |= !name.is_empty();
        }
        Some(range)
    }

    fn specificity(&self) -> u8 {
        match (self.kind, self.subtype) {
            (b"*", _) => 0,
            (_, b"*") => 1,
            // A range with parameters holds less than one without; the plain one says more of what we send.
            _ if self.parameters => 2,
            _ => 3,
        }
    }
}

/// `0.5`, `1`, `0.125`: at most three decimals, at most 1 (RFC 9110 section 12.4.2).
fn thousandths(quality: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(quality).ok()?.trim();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let decimals: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| digits)?;
    match (whole, decimals) {
        ("0", decimals) => Some(decimals),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

/// The elements of a list (RFC 9110 section 5.6.1); empty ones are passed over.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    split_quoted(list, b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Splits at a byte, but not within a quoted string (RFC 9110 section 5.6.4).
fn split_quoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |&byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        byte == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Format, offered};
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn chosen(accept: &[u8]) -> Option<&'static str> {
        choose(accept, offered(&Format::ALL)).map(|representation| representation.media_type)
    }

    #[test]
    fn clients_get_what_they_like_best() {
        for (accept, expected) in [
            ("*/*", Some("application/problem+json")),
            ("application/*", Some("application/problem+json")),
            ("application/json", Some("application/json")),
            ("APPLICATION/JSON", Some("application/json")),
            ("application/problem+json", Some("application/problem+json")),
            ("application/json, text/plain, */*", Some("application/problem+json")),
            ("application/json, */*;q=0.5", Some("application/json")),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Some("text/html")),
            ("text/*", Some("text/html")),
            ("text/*;q=0.5, text/plain", Some("text/plain")),
            ("text/html;q=0, text/*", Some("text/plain")),
            ("text/html;q=0.001, text/plain;q=0", Some("text/html")),
            ("text/xml", Some("text/xml")),
            ("application/problem+xml", Some("application/problem+xml")),
            ("application/xml;q=0.9, application/json;q=0.8", Some("application/xml")),
            ("application/problem+json;q=0, */*", Some("application/json")),
            ("application/*;q=0.2, text/plain;q=0.3", Some("text/plain")),
            // The most specific range counts, not the one with the highest quality.
            ("*/*;q=1, application/*;q=0.1, text/html;q=0.2, text/*;q=0", Some("text/html")),
            ("text/plain;charset=utf-8", Some("text/plain")),
            ("text/plain;charset=\"a,b;q=0\"", Some("text/plain")),
            ("text/html;level=1;q=0.4, text/html;q=0.7, text/plain;q=0.5", Some("text/html")),
            ("text/plain ; Q=1.000", Some("text/plain")),
            (",, ,text/plain,,", Some("text/plain")),
            ("image/png", None),
            ("*/*;q=0", None),
            ("*/*;q=0.000", None),
            ("", None),
            ("*/json", None),
            ("*", None),
            ("text", None),
            ("text/plain;q=2", None),
            ("text/plain;q=0.1234", None),
            ("text/plain;q=", None),
            ("text/plain;q=-1", None),
            ("text/plain;q=nan", None),
            ("text /plain", None),
        ] {
            assert_eq!(chosen(accept.as_bytes()), expected, "{accept}");
        }
    }

    #[test]
    fn hostile_fields_end() {
        let many = "image/png,".repeat(10_000) + "text/plain";
        assert_eq!(chosen(many.as_bytes()), None);
        let within = "image/png,".repeat(MAX_RANGES - 1) + "text/plain";
        assert_eq!(chosen(within.as_bytes()), Some("text/plain"));
        assert_eq!(chosen("a/".repeat(32_768).as_bytes()), None);
        assert_eq!(chosen(b"\xff\xfe/\xfd, text/plain"), Some("text/plain"));
        assert_eq!(chosen(b"text/plain;a=\"\\"), Some("text/plain"));
        assert_eq!(chosen(&b"\"".repeat(65_536)), None);
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn no_bytes_harm(accept in proptest::collection::vec(any::<u8>(), 0..300)) {
                let _ = chosen(&accept);
            }

            #[test]
            fn what_is_refused_is_never_chosen(accept in "[a-z*/;=q0-9., ]{0,80}") {
                let refused = format!("{accept}, text/html;q=0, text/xml;q=0, text/plain;q=0, \
                    application/problem+json;q=0, application/json;q=0, application/xml;q=0, application/problem+xml;q=0");
                prop_assume!(!accept.contains("html") && !accept.contains("plain"));
                let names = ["json", "xml"];
                prop_assume!(names.iter().all(|name| !accept.contains(name)));
                prop_assert_eq!(chosen(refused.as_bytes()), None);
            }
        }
    }
}
