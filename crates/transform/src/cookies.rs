//! Edits of cookies: of requests in lines of `cookie` (RFC 6265 section 4.2), of responses one in each line of `set-cookie`
//! (section 4.1). What they do not name stays byte for byte.

use meshgate_policy::host::Side;

/// Whether a cookie can have this value: nothing that would end it, or the line, or the value when it is read.
pub fn is_value(value: &[u8]) -> bool {
    let ends = |byte: &u8| matches!(byte, b';' | 0..b' ' | 0x7f);
    !value.iter().any(ends) && value.trim_ascii().len() == value.len()
}

/// The values of the request's cookies of this name.
pub fn of_request<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    name: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> {
    let pairs = lines.flat_map(pieces).map(pair);
    pairs.filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

/// The values of the response's cookies of this name, without their attributes.
pub fn of_response<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    name: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> {
    let pairs = lines.filter_map(|line| pieces(line).next()).map(pair);
    pairs.filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

/// Gives a request's cookie this value, in its place or at the end, or removes it. Of one that is there several times, one is
/// left.
pub fn set(lines: Vec<&[u8]>, name: &[u8], value: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut new = value.map(|value| [name, value].join(&b'='));
    let mut edited =
        edit(lines, |found| if pair(found).0 == name { new.take() } else { Some(found.to_vec()) });
    if let Some(new) = new {
        match edited.last_mut() {
            Some(line) => *line = [line.as_slice(), &new].join(b"; ".as_slice()),
            None => edited.push(new),
        }
    }
    edited
}

/// Gives a response's cookie this value, or removes it. Without `attributes` it keeps those that it has.
pub fn set_response(
    lines: Vec<&[u8]>,
    name: &[u8],
    value: Option<&[u8]>,
    attributes: Option<&str>,
) -> Vec<Vec<u8>> {
    let cookie = |value: &[u8], line: &[u8]| {
        let own = memchr::memchr(b';', line).and_then(|at| line.get(at..)).unwrap_or_default();
        match attributes {
            Some("") => [name, b"=", value].concat(),
            Some(attributes) => [name, b"=", value, b"; ", attributes.as_bytes()].concat(),
            None => [name, b"=", value, own].concat(),
        }
    };
    let mut value = value;
    let is_named = |line: &[u8]| pieces(line).next().is_some_and(|first| pair(first).0 == name);
    let mut edited: Vec<Vec<u8>> = lines
        .into_iter()
        .filter_map(|line| {
            if is_named(line) { value.take().map(|value| cookie(value, line)) } else { Some(line.to_vec()) }
        })
        .collect();
    edited.extend(value.map(|value| cookie(value, b"")));
    edited
}

/// Gives the cookies of one name another; those that the other had go.
pub fn rename(lines: Vec<&[u8]>, from: &[u8], to: &[u8], side: Side) -> Vec<Vec<u8>> {
    let renamed = |piece: &[u8]| {
        let (name, _) = pair(piece);
        let rest = memchr::memchr(b'=', piece).and_then(|at| piece.get(at..)).unwrap_or_default();
        if name == from { Some([to, rest].concat()) } else { (name != to).then(|| piece.to_vec()) }
    };
    match side {
        Side::Request => edit(lines, renamed),
        Side::Response => lines.into_iter().filter_map(renamed).collect(),
    }
}

/// Removes all cookies but those of these names.
pub fn keep(lines: Vec<&[u8]>, names: &[Box<[u8]>], side: Side) -> Vec<Vec<u8>> {
    let kept = |piece: &[u8]| {
        let (name, _) = pair(piece);
        names.iter().any(|kept| **kept == *name).then(|| piece.to_vec())
    };
    match side {
        Side::Request => edit(lines, kept),
        Side::Response => lines.into_iter().filter_map(kept).collect(),
    }
}

/// Goes through the cookies of a request. Lines in which all stay as they are stay so, and those without a cookie left go.
fn edit(lines: Vec<&[u8]>, mut edit: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let edited = lines.into_iter().map(|line| {
        let all: Vec<&[u8]> = pieces(line).filter(|piece| !piece.is_empty()).collect();
        let new: Vec<Vec<u8>> = all.iter().filter_map(|piece| edit(piece)).collect();
        if new == all { line.to_vec() } else { new.join(b"; ".as_slice()) }
    });
    edited.filter(|line| !line.is_empty()).collect()
}

fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b';').map(<[u8]>::trim_ascii)
}

fn pair(piece: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', piece).and_then(|at| piece.split_at_checked(at)) {
        Some((name, value)) => (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii()),
        None => (b"", piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn texts(lines: Vec<Vec<u8>>) -> Vec<String> {
        lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    fn bytes<'a>(lines: &[&'a str]) -> Vec<&'a [u8]> {
        lines.iter().map(|line| line.as_bytes()).collect()
    }

    #[test]
    fn cookies_of_requests_change_in_place() {
        for (lines, value, expected) in [
            (&["a=1; s=2; b=\"3\""][..], Some("x"), &["a=1; s=x; b=\"3\""][..]),
            (&["a=1 ;; b", "s=1;s=2", "s=3"], Some("x"), &["a=1 ;; b", "s=x"]),
            (&["a=1 ;b=2", "c=3"], Some("x"), &["a=1 ;b=2", "c=3; s=x"]),
            (&[], Some("x"), &["s=x"]),
            (&["s=1"], None, &[]),
            (&["a=1; s=1", "b=1"], None, &["a=1", "b=1"]),
            (&["s1=1; S=2"], None, &["s1=1; S=2"]),
        ] {
            let edited = set(bytes(lines), b"s", value.map(str::as_bytes));
            assert_eq!(texts(edited), expected, "{lines:?}");
        }
    }

    #[test]
    fn cookies_of_responses_keep_their_attributes() {
        let lines = ["a=1; Path=/", "s=old; HttpOnly; Path=/x", "s=older"];
        for (value, attributes, expected) in [
            (Some("new"), None, &["a=1; Path=/", "s=new; HttpOnly; Path=/x"][..]),
            (Some("new"), Some("Secure"), &["a=1; Path=/", "s=new; Secure"]),
            (Some("new"), Some(""), &["a=1; Path=/", "s=new"]),
            (None, None, &["a=1; Path=/"]),
        ] {
            let edited = set_response(bytes(&lines), b"s", value.map(str::as_bytes), attributes);
            assert_eq!(texts(edited), expected);
        }
        assert_eq!(texts(set_response(vec![], b"s", Some(b"1"), Some("Path=/"))), ["s=1; Path=/"]);
    }

    #[test]
    fn cookies_get_other_names_or_stay() {
        let request = ["a=1; b = 2; c", "b=3; a=4"];
        assert_eq!(texts(rename(bytes(&request), b"b", b"a", Side::Request)), ["a= 2; c", "a=3"]);
        let response = ["b=1; Path=/", "a=2", "c=3"];
        assert_eq!(texts(rename(bytes(&response), b"b", b"a", Side::Response)), ["a=1; Path=/", "c=3"]);
        let names = [b"a".to_vec().into()];
        assert_eq!(texts(keep(bytes(&request), &names, Side::Request)), ["a=1", "a=4"]);
        assert_eq!(texts(keep(bytes(&response), &names, Side::Response)), ["a=2"]);
    }

    #[test]
    fn values_are_read_and_checked() {
        let lines = bytes(&["a=1; s=x=y", "s = z"]);
        assert_eq!(of_request(lines.iter().copied(), b"s").collect::<Vec<_>>(), [&b"x=y"[..], b"z"]);
        let lines = bytes(&["a=s; s=1", "s=2; Path=/"]);
        assert_eq!(of_response(lines.iter().copied(), b"s").collect::<Vec<_>>(), [&b"2"[..]]);
        assert!(is_value(b"a\"b,c\xff") && is_value(b""));
        assert!(!is_value(b"a;b") && !is_value(b" a") && !is_value(b"a\r") && !is_value(b"a\x7f"));
    }
}
