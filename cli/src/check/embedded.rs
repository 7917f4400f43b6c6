//! JSON in a string of another document: which place in the file each byte of it comes from.

use super::node::{Style, Text};
use super::source::Source;

/// The place in the file of each byte of a string that begins at `at`, and of its end.
///
/// What is folded, indented and chomped in YAML is white space, so the characters of the string that are none stand in the
/// file in the same order, some of them escaped; white space takes its place from the character before it.
pub fn places(source: &Source, at: usize, text: &Text) -> Vec<usize> {
    let mut written = Written { rest: source.from(at).char_indices(), at, style: text.style };
    if text.style != Style::Plain {
        written.rest.next();
    }
    let mut places = Vec::with_capacity(text.text.len().saturating_add(1));
    let mut behind = at;
    for char in text.text.chars() {
        let mut place = behind;
        if !char.is_whitespace() {
            let found = written.find(char);
            place = found.map_or(at, |(place, _)| place);
            behind = found.map_or(at, |(_, end)| end);
        }
        places.extend(std::iter::repeat_n(place, char.len_utf8()));
    }
    places.push(behind);
    places
}

/// The characters of a string as the file has them.
struct Written<'a> {
    rest: std::str::CharIndices<'a>,
    at: usize,
    style: Style,
}

impl Written<'_> {
    /// Where the next character that is no white space stands and ends, if it is this one.
    fn find(&mut self, wanted: char) -> Option<(usize, usize)> {
        loop {
            let (offset, char) = self.next()?;
            let Some(char) = char.filter(|char| !char.is_whitespace()) else { continue };
            let end = self.rest.offset();
            let place = |offset| self.at.saturating_add(offset);
            return (char == wanted).then_some((place(offset), place(end)));
        }
    }

    /// The next character and its place; none of its own where lines are joined.
    fn next(&mut self) -> Option<(usize, Option<char>)> {
        let (offset, char) = self.rest.next()?;
        match (self.style, char) {
            (Style::SingleQuoted, '\'') => {
                self.rest.next();
                Some((offset, Some('\'')))
            }
            (Style::DoubleQuoted, '\\') => Some((offset, self.escaped()?)),
            _ => Some((offset, Some(char))),
        }
    }

    /// What stands behind a backslash, in YAML (1.2.2 section 5.7) and in JSON.
    fn escaped(&mut self) -> Option<Option<char>> {
        let (_, char) = self.rest.next()?;
        let code = match char {
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            'n' | 't' | 'r' | 'f' | 'v' | 'N' | 'L' | 'P' | '_' | '\t' | '\n' | '\r' => return Some(None),
            '0' => 0x00,
            'a' => 0x07,
            'b' => 0x08,
            'e' => 0x1b,
            other => return Some(Some(other)),
        };
        if (0xd800..0xdc00).contains(&code) && self.rest.as_str().starts_with("\\u") {
            self.rest.nth(1);
            let low = self.code(4)?;
            let pair = (code & 0x3ff) << 10 | (low & 0x3ff);
            return Some(char::from_u32(pair.saturating_add(0x1_0000)));
        }
        Some(char::from_u32(code))
    }

    fn code(&mut self, digits: usize) -> Option<u32> {
        let text: String = self.rest.by_ref().take(digits).map(|(_, char)| char).collect();
        u32::from_str_radix(&text, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::node::{Node, Value};
    use crate::check::yaml;

    /// Every character of the string, in whatever style it is written, is found where it stands.
    #[test]
    fn characters_are_found_in_the_file() {
        for yaml in [
            "k: |\n  {\"a\":\n\n    \u{e9}1}\n",
            "k: |2-\n    {\"a\": 1}",
            "k: >-\n  {\"a\":\n    1,\n\n  \"b\": 2}\n",
            "k: {v: '{\"it''s\": \"x\"}'}",
            "k: \"{\\\"a\\\": \\\n   \\\"\\u00e9\\x41\\ud83d\\ude00\\\"}\"",
            "k: a{\n   b",
        ] {
            let source = Source::new(yaml.to_owned());
            let Some(Ok(document)) = yaml::documents(&source).into_iter().next() else {
                assert!(yaml.contains("\\ud83d"), "{yaml}");
                continue;
            };
            let node = document.root.get("k").map(|node| node.get("v").unwrap_or(node)).unwrap();
            let Node { at, value: Value::Text(text), .. } = node else { panic!("{yaml}") };
            let places = places(&source, *at, text);
            assert_eq!(places.len(), text.text.len() + 1);
            for (index, char) in text.text.char_indices().filter(|(_, char)| !char.is_whitespace()) {
                let written = source.from(places[index]);
                assert!(
                    written.starts_with(char) || written.starts_with('\\'),
                    "{yaml}: {char} at {written}"
                );
            }
        }
    }

    #[test]
    fn escapes_stand_for_one_character() {
        let written = r#""\"\u00e9\ud83d\ude00\/x""#;
        let source = Source::new(written.to_owned());
        let text = Text { text: "\"\u{e9}\u{1f600}/x".to_owned(), style: Style::DoubleQuoted };
        let places = places(&source, 0, &text);
        assert_eq!(places[0], 1);
        assert_eq!(places[1], written.find("\\u00e9").unwrap());
        assert_eq!(places[3], written.find("\\ud83d").unwrap());
        assert_eq!(places[7], written.find("\\/").unwrap());
        assert_eq!(&places[8..], [written.find('x').unwrap(), written.len() - 1]);
    }
}
