//! The text of a file, and where in it something is.

/// A text whose offsets have lines and columns.
pub struct Source {
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Where each 64th character begins: the YAML parser counts in characters.
    characters: Vec<usize>,
}

const STRIDE: usize = 64;

impl Source {
    pub fn new(text: String) -> Self {
        let bytes = text.as_bytes();
        let ends_line = |at: usize| match bytes.get(at) {
            Some(b'\n') => true,
            Some(b'\r') => bytes.get(at.saturating_add(1)) != Some(&b'\n'),
            _ => false,
        };
        let begin = (0..bytes.len()).filter(|at| ends_line(*at)).map(|at| at.saturating_add(1));
        let lines = std::iter::once(0).chain(begin).collect();
        let characters = text.char_indices().step_by(STRIDE).map(|(at, _)| at).collect();
        Self { text, lines, characters }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text from an offset on.
    pub fn from(&self, offset: usize) -> &str {
        self.text.get(offset..).unwrap_or_default()
    }

    /// The line and the column of an offset: both from 1, the column in characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|begin| *begin <= offset);
        let begin = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        // Not counted from the beginning of the line: a file may be one line.
        let column = self.character_at(offset).saturating_sub(self.character_at(begin)).saturating_add(1);
        (line, column)
    }

    /// The offset of a character, counted from 0.
    pub fn offset_of(&self, character: usize) -> usize {
        let Some(begin) = self.characters.get(character / STRIDE) else { return self.text.len() };
        let rest = self.from(*begin).char_indices().nth(character % STRIDE);
        rest.map_or(self.text.len(), |(at, _)| begin.saturating_add(at))
    }

    /// Which character, counted from 0, begins at an offset.
    pub fn character_at(&self, offset: usize) -> usize {
        let stride = self.characters.partition_point(|begin| *begin <= offset).saturating_sub(1);
        let begin = self.characters.get(stride).copied().unwrap_or_default();
        let rest = self.text.get(begin..offset).unwrap_or_default().chars().count();
        stride.saturating_mul(STRIDE).saturating_add(rest)
    }

    /// Where the next line begins.
    pub fn next_line(&self, offset: usize) -> Option<usize> {
        let (line, _) = self.position(offset);
        self.lines.get(line).copied()
    }

    /// Where the line begins in which an offset is.
    pub fn line_of(&self, offset: usize) -> usize {
        let (line, _) = self.position(offset);
        self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// That line, without its end.
    pub fn line_at(&self, offset: usize) -> &str {
        self.from(self.line_of(offset)).split(['\n', '\r']).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_lines_and_columns_in_characters() {
        let source = Source::new("a\r\nb\u{e9}c\rd\n\n".to_owned());
        for (offset, position) in
            [(0, (1, 1)), (3, (2, 1)), (6, (2, 3)), (8, (3, 1)), (10, (4, 1)), (11, (5, 1))]
        {
            assert_eq!(source.position(offset), position, "{offset}");
        }
        assert_eq!(source.position(99), (5, 1));
        assert_eq!(source.line_at(6), "b\u{e9}c");
    }

    #[test]
    fn characters_have_offsets() {
        let text = "\u{e9}x".repeat(100);
        let source = Source::new(text.clone());
        for (character, (offset, _)) in text.char_indices().enumerate() {
            assert_eq!(source.offset_of(character), offset);
            assert_eq!(source.character_at(offset), character);
        }
        assert_eq!(source.offset_of(200), 300);
    }
}
