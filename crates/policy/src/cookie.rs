//! Cookies, read in place from the `cookie` fields of a request (RFC 6265 sections 4.2.1 and 5.4).
//!
//! HTTP/2 may split them over several fields (RFC 9113 section 8.2.3), so all are read. Cookies end at `;`; the name ends
//! at the first `=`; spaces and tabs around both are left out. Values are raw: quotes are part of them, and nothing is
//! decoded, since no standard says how. A cookie without `=` is one without a name, as browsers send it.

use std::borrow::Cow;

use crate::headers::Headers;

/// The cookies in order, repeated ones too, each as name and value. Names are case-sensitive.
pub fn cookies(headers: &Headers) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.all("cookie").flat_map(pieces).filter(|piece| !piece.trim_ascii().is_empty()).map(split_pair)
}

/// Every value of the cookie of this name, in order.
pub fn values<'a>(headers: &'a Headers, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    cookies(headers).filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

/// A `cookie` field without the cookies of these names. All else stays byte for byte, but for blanks that would begin the
/// field. Borrowed where there was nothing to remove; empty where nothing is left.
pub fn without<'a>(field: &'a [u8], names: &[impl AsRef<[u8]>]) -> Cow<'a, [u8]> {
    let unwanted = |piece: &[u8]| {
        let (name, _) = split_pair(piece);
        !piece.trim_ascii().is_empty() && names.iter().any(|unwanted| name == unwanted.as_ref())
    };
    if !pieces(field).any(unwanted) {
        return Cow::Borrowed(field);
    }
    let kept: Vec<&[u8]> = pieces(field).filter(|piece| !unwanted(piece)).collect();
    let kept = kept.join(&b';');
    let begins = field.trim_ascii_start().len() == field.len();
    let kept = if begins { kept.trim_ascii_start() } else { &kept };
    let is_nothing = kept.iter().all(|byte| byte.is_ascii_whitespace() || *byte == b';');
    Cow::Owned(if is_nothing { Vec::new() } else { kept.to_vec() })
}

fn pieces(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|&byte| byte == b';')
}

fn split_pair(piece: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', piece).and_then(|at| piece.split_at_checked(at)) {
        Some((name, value)) => (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii()),
        None => (b"", piece.trim_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn cookies_of_all_fields_are_read() {
        let headers = Headers::from_pairs([
            ("cookie", "a=1; b=\"two\";a=3 ;; =x; flag"),
            ("x", "a=no"),
            ("cookie", "\ta = 4=4;A=5; c="),
        ]);
        let expected: [(&[u8], &[u8]); 8] = [
            (b"a", b"1"),
            (b"b", b"\"two\""),
            (b"a", b"3"),
            (b"", b"x"),
            (b"", b"flag"),
            (b"a", b"4=4"),
            (b"A", b"5"),
            (b"c", b""),
        ];
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), expected);
        assert_eq!(values(&headers, b"a").collect::<Vec<_>>(), [b"1".as_slice(), b"3", b"4=4"]);
        assert_eq!(values(&headers, b"flag").count(), 0);
        assert_eq!(cookies(&Headers::default()).count(), 0);
    }
    #[test]
    fn a_field_keeps_its_other_cookies_as_they_are() {
        let names = ["k", "l"];
        for (field, expected) in [
            ("k=1", ""),
            ("k=1; l=2;", ""),
            ("k", "k"),
            ("=k; K=1;kk=1", "=k; K=1;kk=1"),
            ("a=1; k=2; b=\"x y\"", "a=1; b=\"x y\""),
            ("k=1; a=%3B;b==", "a=%3B;b=="),
            ("a=1;k=2", "a=1"),
            ("a=1 ; k = \"2\" ;;  b", "a=1 ;;  b"),
            (" k=1; a=1", " a=1"),
            ("a=1; k=", "a=1"),
            ("", ""),
        ] {
            assert_eq!(&*without(field.as_bytes(), &names), expected.as_bytes(), "{field}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn what_is_removed_is_gone_and_the_rest_is_untouched(field in "([ab=; \"\t]|key){0,20}", name in "(a|b|key)") {
            let kept = without(field.as_bytes(), &[&name]);
            let all = |field: &[u8]| -> Vec<(Vec<u8>, Vec<u8>)> {
                let headers = Headers::from_pairs([("cookie", field)]);
                cookies(&headers).map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
            };
            let mut others = all(field.as_bytes());
            others.retain(|(found, _)| found != name.as_bytes());
            assert_eq!(all(&kept), others);
            assert_eq!(without(&kept, &[&name]), kept.clone());
        }
    }
}
