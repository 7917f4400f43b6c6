//! Cookies, read in place from the `cookie` fields of a request (RFC 6265 sections 4.2.1 and 5.4).
//!
//! HTTP/2 may split them over several fields (RFC 9113 section 8.2.3), so all are read. Cookies end at `;`; the name ends
//! at the first `=`; spaces and tabs around both are left out. Values are raw: quotes are part of them, and nothing is
//! decoded, since no standard says how. A cookie without `=` is one without a name, as browsers send it.

use crate::headers::Headers;

/// The cookies in order, repeated ones too, each as name and value. Names are case-sensitive.
pub fn cookies(headers: &Headers) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.all("cookie").flat_map(pieces).filter(|piece| !piece.trim_ascii().is_empty()).map(split_pair)
}

/// Every value of the cookie of this name, in order.
pub fn values<'a>(headers: &'a Headers, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    cookies(headers).filter(move |(found, _)| *found == name).map(|(_, value)| value)
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
}
