//! Edits of query strings. What they do not name stays byte for byte: order, encoding, duplicates, `&&`.

use std::borrow::Cow;

use meshgate_policy::query::{self, parameters};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What is encoded in names and values: all that is not unreserved (RFC 3986 section 2.3). A space becomes `%20`, which every
/// server reads as one.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Puts these values where the first of this name is, or at the end; its other values go.
pub fn set(query: &[u8], name: &[u8], values: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let mut new = Some(values.iter().map(|value| pair(name, value)).collect::<Vec<_>>().join(&b'&'));
    let mut edited = rewrite(query, |found, _| match found.decoded_name() == name {
        true => Edit::Replace(new.take().filter(|new| !new.is_empty())),
        false => Edit::Keep,
    });
    if let Some(new) = new {
        push(&mut edited, &new);
    }
    edited
}

/// Adds a value of this name at the end.
pub fn append(query: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut edited = query.to_vec();
    push(&mut edited, &pair(name, value));
    edited
}

/// Gives the values of one name another, in their places; those that the other had go.
pub fn rename(query: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    rewrite(query, |found, piece| {
        let name = found.decoded_name();
        if name == from {
            let value = piece.get(found.name.len()..).unwrap_or_default();
            Edit::Replace(Some([encode(to).as_slice(), value].concat()))
        } else if name == to {
            Edit::Replace(None)
        } else {
            Edit::Keep
        }
    })
}

/// Removes all parameters but those of these names.
pub fn keep(query: &[u8], names: &[Box<[u8]>]) -> Vec<u8> {
    rewrite(query, |found, _| {
        let name = found.decoded_name();
        if names.iter().any(|kept| **kept == *name) { Edit::Keep } else { Edit::Replace(None) }
    })
}

enum Edit {
    Keep,
    /// By this, or by nothing.
    Replace(Option<Vec<u8>>),
}

/// Goes through the parameters, with their bytes; what is between two `&` and is no parameter stays.
fn rewrite(query: &[u8], mut edit: impl FnMut(&query::Parameter<'_>, &[u8]) -> Edit) -> Vec<u8> {
    let pieces = query.split(|&byte| byte == b'&').filter_map(|piece| match parameters(piece).next() {
        None => Some(Cow::Borrowed(piece)),
        Some(found) => match edit(&found, piece) {
            Edit::Keep => Some(Cow::Borrowed(piece)),
            Edit::Replace(new) => new.map(Cow::Owned),
        },
    });
    pieces.collect::<Vec<_>>().join(&b'&')
}

fn push(query: &mut Vec<u8>, pair: &[u8]) {
    if pair.is_empty() {
        return;
    }
    if !query.is_empty() {
        query.push(b'&');
    }
    query.extend_from_slice(pair);
}

fn pair(name: &[u8], value: &[u8]) -> Vec<u8> {
    [encode(name), encode(value)].join(&b'=')
}

fn encode(text: &[u8]) -> Vec<u8> {
    percent_encode(text, RESERVED).flat_map(str::bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn values_are_set_in_place() {
        for (query, values, expected) in [
            ("a=1&x=2&b=3", &["new"][..], "a=1&x=new&b=3"),
            ("x=1&a=%zz+&&x=2", &["n w"], "x=n%20w&a=%zz+&"),
            ("a", &["1"], "a&x=1"),
            ("", &["&=+%\u{e9}"], "x=%26%3D%2B%25%C3%A9"),
            ("%78=1", &["2"], "x=2"),
            ("a=1&x=0&b", &["1", "2"], "a=1&x=1&x=2&b"),
            ("x=1&a", &[], "a"),
            ("a", &[], "a"),
            ("x", &[""], "x="),
        ] {
            let values: Vec<_> = values.iter().map(|value| Cow::Borrowed(value.as_bytes())).collect();
            assert_eq!(text(set(query.as_bytes(), b"x", &values)), expected, "{query:?}");
        }
    }

    #[test]
    fn the_rest_stays_as_it_is() {
        assert_eq!(text(append(b"a=%zz", b"a", b"1")), "a=%zz&a=1");
        assert_eq!(text(append(b"", b"a", b"")), "a=");
        assert_eq!(text(rename(b"a=%20+&&b=1&a&c=x=y", b"a", b"b c")), "b%20c=%20+&&b=1&b%20c&c=x=y");
        assert_eq!(text(rename(b"a=1&b=2&%61=3", b"a", b"b")), "b=1&b=3");
        let names = [b"a".to_vec().into(), b"c d".to_vec().into()];
        assert_eq!(text(keep(b"b=1&a=%zz&c+d=2&a&e", &names)), "a=%zz&c+d=2&a");
        assert_eq!(text(keep(b"b=1", &names)), "");
    }

    #[test]
    fn a_thousand_parameters_are_no_trouble() {
        let query = (0..1_000).map(|number| format!("p{number}=%zz")).collect::<Vec<_>>().join("&");
        let edited = text(set(query.as_bytes(), b"p500", &[Cow::Borrowed(b"1")]));
        assert_eq!(edited, query.replace("p500=%zz", "p500=1"));
    }
}
