//! Query strings, read in place: `a=1&b=two+words&a=%32`.
//!
//! The reading is that of HTML forms (WHATWG URL, `application/x-www-form-urlencoded`), which is what upstreams do:
//! parameters end at `&` and nothing else, the name ends at the first `=`, `+` is a space, `%XX` is a byte. An escape
//! that is broken (`%`, `%0`, `%zz`) stands for itself. Names and values are bytes; nothing here fails.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use percent_encoding::percent_decode;

use crate::head::split_target;

/// One parameter, still encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// What comes before the first `=`; everything where there is none. May be empty.
    pub name: &'a [u8],
    /// What follows the first `=`; empty where there is none.
    pub value: &'a [u8],
    /// Where the parameter lies in the query, without the `&` on either side.
    pub range: Range<usize>,
}

/// Its place only: a parameter may be a credential.
impl fmt::Debug for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameter").field("range", &self.range).finish_non_exhaustive()
    }
}

impl<'a> Parameter<'a> {
    /// The name, decoded. Borrowed where there was nothing to decode.
    pub fn decoded_name(&self) -> Cow<'a, [u8]> {
        decode(self.name)
    }

    /// The value, decoded. Borrowed where there was nothing to decode.
    pub fn decoded_value(&self) -> Cow<'a, [u8]> {
        decode(self.value)
    }
}

/// The parameters in order, repeated ones too. Nothing between two `&` is no parameter.
pub fn parameters(query: &[u8]) -> impl Iterator<Item = Parameter<'_>> {
    let mut start = 0_usize;
    query.split(|&byte| byte == b'&').filter_map(move |piece| {
        let range = start..start.saturating_add(piece.len());
        start = range.end.saturating_add(1);
        let (name, value) = split_pair(piece);
        (!piece.is_empty()).then_some(Parameter { name, value, range })
    })
}

/// Every value of the parameter of this decoded name, decoded, in order.
pub fn values<'a>(query: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = Cow<'a, [u8]>> {
    parameters(query)
        .filter(move |parameter| is_named(parameter.name, name))
        .map(|found| found.decoded_value())
}

/// The query without the parameters of these decoded names, however a client wrote them (`api%5Fkey`). All else stays
/// byte for byte: order, encoding, duplicates, `&&`. Borrowed where there was nothing to remove.
pub fn without<'a>(query: &'a [u8], names: &[impl AsRef<[u8]>]) -> Cow<'a, [u8]> {
    let pieces = || query.split(|&byte| byte == b'&');
    let unwanted = |piece: &[u8]| {
        let (name, _) = split_pair(piece);
        !piece.is_empty() && names.iter().any(|unwanted| is_named(name, unwanted.as_ref()))
    };
    if pieces().any(unwanted) {
        let kept: Vec<&[u8]> = pieces().filter(|piece| !unwanted(piece)).collect();
        Cow::Owned(kept.join(&b'&'))
    } else {
        Cow::Borrowed(query)
    }
}

/// [`without`] for a whole `:path`: where no parameter is left, the `?` goes too.
pub fn target_without<'a>(target: &'a [u8], names: &[impl AsRef<[u8]>]) -> Cow<'a, [u8]> {
    let (path, query) = split_target(target);
    match query.map(|query| without(query, names)) {
        Some(Cow::Owned(query)) if query.is_empty() => Cow::Borrowed(path),
        Some(Cow::Owned(query)) => Cow::Owned([path, &query].join(&b'?')),
        Some(Cow::Borrowed(_)) | None => Cow::Borrowed(target),
    }
}

fn split_pair(piece: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', piece).and_then(|at| piece.split_at_checked(at)) {
        Some((name, value)) => (name, value.get(1..).unwrap_or_default()),
        None => (piece, b""),
    }
}

/// Whether an encoded name decodes to `name`.
fn is_named(encoded: &[u8], name: &[u8]) -> bool {
    match decode(encoded) {
        Cow::Borrowed(plain) => plain == name,
        Cow::Owned(decoded) => decoded == name,
    }
}

fn decode(encoded: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'+', encoded).is_none() {
        return percent_decode(encoded).into();
    }
    // Spaces first: a `%2B` is a plus sign, not a space.
    let spaced: Vec<u8> = encoded.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn all<'a>(query: &'a str, name: &'a str) -> Vec<String> {
        values(query.as_bytes(), name.as_bytes()).map(|value| value.escape_ascii().to_string()).collect()
    }

    #[test]
    fn parameters_come_raw_with_their_place() {
        let query = b"a=1&&b&=x&c=%20=";
        let found: Vec<_> = parameters(query).collect();
        let raw: Vec<_> = found.iter().map(|found| (found.name, found.value)).collect();
        let expected: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"b", b""), (b"", b"x"), (b"c", b"%20=")];
        assert_eq!(raw, expected);
        let places: Vec<_> = found.iter().map(|found| &query[found.range.clone()]).collect();
        assert_eq!(places, [b"a=1".as_slice(), b"b", b"=x", b"c=%20="]);
        assert_eq!(parameters(b"").count(), 0);
        assert_eq!(parameters(b"&&&").count(), 0);
    }

    #[test]
    fn values_are_found_by_decoded_name_and_decoded() {
        for (query, name, expected) in [
            ("a=1&b=2&a=3", "a", &["1", "3"][..]),
            ("a=1", "A", &[]),
            ("a=1;b=2", "b", &[]),
            ("%61pi%5fkey=x", "api_key", &["x"]),
            ("a+b=c+d%2Be", "a b", &["c d+e"]),
            ("a", "a", &[""]),
            ("a=", "a", &[""]),
            ("=x", "", &["x"]),
            ("a==x=", "a", &["=x="]),
            ("a=%", "a", &["%"]),
            ("a=%0", "a", &["%0"]),
            ("a=%zz%z", "a", &["%zz%z"]),
            ("a=%%41", "a", &["%A"]),
            ("a=%00%ff", "a", &["\\x00\\xff"]),
            ("a%zz=1", "a%zz", &["1"]),
        ] {
            assert_eq!(all(query, name), expected, "{query:?} {name:?}");
        }
    }

    #[test]
    fn removal_keeps_the_rest_byte_for_byte() {
        for (query, names, expected) in [
            ("a=1&key=2&b=3", &["key"][..], "a=1&b=3"),
            ("key=1", &["key"], ""),
            ("key=1&key=2", &["key"], ""),
            ("k%65y=1&a", &["key"], "a"),
            ("key&a=%zz+&&b&", &["key"], "a=%zz+&&b&"),
            ("&key=1&", &["key"], "&"),
            ("a=key&keys=1", &["key"], "a=key&keys=1"),
            ("a=1&b=2&c=3", &["a", "c"], "b=2"),
            ("&&", &[""], "&&"),
            ("=1&a", &[""], "a"),
            ("a", &[], "a"),
        ] {
            let kept = without(query.as_bytes(), names);
            assert_eq!(kept.escape_ascii().to_string(), expected, "{query:?} {names:?}");
        }
        assert!(matches!(without(b"a=1&b", &["c"]), Cow::Borrowed(_)));
    }

    #[test]
    fn a_target_without_its_last_parameter_has_no_question_mark() {
        for (target, expected) in [
            ("/p?key=1", "/p"),
            ("/p?key=1&a", "/p?a"),
            ("/p?a?b&key=1", "/p?a?b"),
            ("/p?", "/p?"),
            ("/p", "/p"),
            ("/key=1", "/key=1"),
        ] {
            let kept = target_without(target.as_bytes(), &["key"]);
            assert_eq!(kept.escape_ascii().to_string(), expected, "{target:?}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn any_bytes_are_a_query(query: Vec<u8>) {
                for found in parameters(&query) {
                    let raw = &query[found.range.clone()];
                    prop_assert!(raw == [found.name, b"=", found.value].concat() || raw == found.name);
                    prop_assert!(values(&query, &found.decoded_name()).any(|value| value == found.decoded_value()));
                }
            }

            #[test]
            fn what_is_removed_is_gone_and_the_rest_is_untouched(
                query in proptest::string::string_regex("([ab%+=&]|%61|%6|%zz|\\+|key|k%65y){0,20}").unwrap(),
                name in "(a|b|key|)",
            ) {
                let kept = without(query.as_bytes(), &[&name]);
                prop_assert_eq!(values(&kept, name.as_bytes()).count(), 0);
                let others = |query: &[u8]| -> Vec<(Vec<u8>, Vec<u8>)> {
                    parameters(query)
                        .filter(|found| *found.decoded_name() != *name.as_bytes())
                        .map(|found| (found.name.to_vec(), found.value.to_vec()))
                        .collect()
                };
                prop_assert_eq!(others(&kept), others(query.as_bytes()));
                let gaps = |query: &[u8]| query.split(|&byte| byte == b'&').filter(|piece| piece.is_empty()).count();
                if !kept.is_empty() {
                    prop_assert_eq!(gaps(&kept), gaps(query.as_bytes()));
                }
                prop_assert_eq!(without(&kept, &[&name]), kept.clone());
            }
        }
    }
}
