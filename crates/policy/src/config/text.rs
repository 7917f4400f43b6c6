//! How errors write values, lists of names and guesses.

use std::fmt::Write;

/// How many characters of a value, and how many names of a list, an error shows.
const MAX_CHARS: usize = 40;
const MAX_NAMES: usize = 20;

/// A text in double quotes, cut after 40 characters, with quotes, control and invisible characters escaped.
/// It shows the text: not for secrets.
pub fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let mut quoted = String::from("\"");
    for char in chars.by_ref().take(MAX_CHARS) {
        match char {
            '\'' => quoted.push(char),
            _ => quoted.extend(char.escape_debug()),
        }
    }
    quoted.push_str(if chars.next().is_some() { "…\"" } else { "\"" });
    quoted
}

/// One line of any text: runs of white space and control characters become one space.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split(|char: char| char.is_whitespace() || char.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Names in quotes with commas between them; the first twenty.
pub(super) fn names<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known = known.into_iter();
    let shown: Vec<_> = known.by_ref().take(MAX_NAMES).map(quoted).collect();
    let mut text = shown.join(", ");
    let rest = known.count();
    if rest > 0 {
        let _ = write!(text, " and {rest} more");
    }
    text
}

/// What is expected where one of some names is: `one of "a", "b"`, or just the one.
pub(super) fn one_of<'a>(known: impl IntoIterator<Item = &'a str, IntoIter: Clone>) -> String {
    let known = known.into_iter();
    match known.clone().take(2).count() {
        0 => "nothing: there are none".to_owned(),
        1 => names(known),
        _ => format!("one of {}", names(known)),
    }
}

/// The known name that `found` was most likely meant to be: at most a third of its characters differ, or it is one of the
/// parts of a name with dots in it. Case, `-` and `_` do not count, so `keysFrom` is near `keys_from`.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = folded(found);
    let candidates = known.into_iter().filter_map(|name| {
        let folded = folded(name);
        let distance = strsim::osa_distance(&found, &folded);
        let length = folded.chars().count().max(found.chars().count());
        let near = distance <= length / 3 || folded.split('.').any(|part| part == found);
        (near && !found.is_empty()).then_some((distance, name))
    });
    candidates.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// The first characters of a name, as they count for [`nearest`]: the comparison is quadratic in them.
fn folded(name: &str) -> String {
    let significant = name.chars().filter(|char| !matches!(char, '-' | '_' | ' '));
    significant.take(MAX_CHARS).map(|char| char.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn values_are_cut_and_escaped() {
        assert_eq!(quoted("it's"), r#""it's""#);
        assert_eq!(quoted("a\"\\\n\u{7f}\u{202e}"), r#""a\"\\\n\u{7f}\u{202e}""#);
        assert_eq!(quoted(&"é".repeat(40)), format!("\"{}\"", "é".repeat(40)));
        assert_eq!(quoted(&"é".repeat(41)), format!("\"{}…\"", "é".repeat(40)));
    }

    #[test]
    fn lines_are_one() {
        assert_eq!(one_line("regex:\n    a(\n     ^\r\nerror\u{2028}x\0"), "regex: a( ^ error x");
    }

    #[test]
    fn lists_of_names_end() {
        let many: Vec<String> = (0..23).map(|number| format!("n{number}")).collect();
        let text = one_of(many.iter().map(String::as_str));
        assert!(text.starts_with("one of \"n0\", ") && text.ends_with("\"n19\" and 3 more"), "{text}");
        assert_eq!(one_of(["a"]), r#""a""#);
        assert_eq!(one_of([]), "nothing: there are none");
    }

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let known = ["keys_from", "plans", "consumers", "limits", "id"];
        for (found, meant) in [
            ("keysFrom", Some("keys_from")),
            ("keys-from", Some("keys_from")),
            ("KEYS_FROM", Some("keys_from")),
            ("key_from", Some("keys_from")),
            ("limts", Some("limits")),
            ("limtis", Some("limits")),
            ("plan", Some("plans")),
            ("snalp", None),
            ("ip", None),
            ("", None),
            ("_", None),
            ("zebra", None),
        ] {
            assert_eq!(nearest(found, known), meant, "{found}");
        }
        assert_eq!(nearest("gols", ["goal", "gold"]), Some("gold"));
        assert_eq!(
            nearest("Response", ["request.body", "response.headers", "response.body"]),
            Some("response.body")
        );
        assert_eq!(nearest("headers", ["request.body", "request.headers"]), Some("request.headers"));
    }
}
