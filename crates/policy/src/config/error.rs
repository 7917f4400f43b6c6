//! What is wrong with a configuration, in one line.

use std::fmt;

use super::path::Path;
use super::text;

/// What is wrong with a configuration document: where, what was found there, what was expected, and what may help.
///
/// It displays as one line, whatever texts it is made of:
///
/// ```
/// # use meshgate_policy::config::{ConfigError, Path};
/// let limits = Path::root().key("plans").key("free").key("limits");
/// let error = ConfigError::at(&limits).found("33 limits").expected("at most 32");
/// assert_eq!(error.to_string(), "plans.free.limits: found 33 limits, expected at most 32");
///
/// let plan = Path::root().key("consumers").index(0).key("plan");
/// assert_eq!(
///     ConfigError::unknown(&plan, "glod", ["free", "gold"]).to_string(),
///     r#"consumers[0].plan: found "glod", expected one of "free", "gold": did you mean "gold"?"#
/// );
/// ```
///
/// What is put in here is logged: never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: Path,
    problem: Option<String>,
    found: Option<String>,
    expected: Option<String>,
    hint: Option<String>,
    /// In a box: most errors have none, and all are returned by value.
    spot: Option<Box<Spot>>,
}

/// What of the value at the path it is about, if not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Spot {
    Entry(usize),
    Position(usize, usize),
}

/// The parts of a [`ConfigError`] beside its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// What is wrong, where found and expected do not say it.
    pub problem: Option<&'a str>,
    /// What was found.
    pub found: Option<&'a str>,
    /// What was expected.
    pub expected: Option<&'a str>,
    /// What to do about it.
    pub hint: Option<&'a str>,
}

impl ConfigError {
    /// Something is wrong here. What, is said by the methods that follow.
    pub fn at(path: impl Into<Path>) -> Self {
        Self { path: path.into(), problem: None, found: None, expected: None, hint: None, spot: None }
    }

    /// A name was found that is none of those that there are.
    pub fn unknown<'a>(
        path: impl Into<Path>,
        found: &str,
        known: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
    ) -> Self {
        let known = known.into_iter();
        let error = Self::at(path).value(found).expected(text::one_of(known.clone()));
        error.suggest(text::nearest(found, known))
    }

    /// What is wrong, where found and expected do not say it: `missing field "name"`.
    #[must_use]
    pub fn problem(self, problem: impl AsRef<str>) -> Self {
        Self { problem: Some(text::one_line(problem.as_ref())), ..self }
    }

    /// What was found, in words: `a list of 3`.
    #[must_use]
    pub fn found(self, found: impl AsRef<str>) -> Self {
        Self { found: Some(text::one_line(found.as_ref())), ..self }
    }

    /// The string that was found, shown in quotes and cut after 40 characters.
    #[must_use]
    pub fn value(self, found: &str) -> Self {
        self.found(text::quoted(found))
    }

    /// What was expected, in words: `a duration such as 30s`.
    #[must_use]
    pub fn expected(self, expected: impl AsRef<str>) -> Self {
        Self { expected: Some(text::one_line(expected.as_ref())), ..self }
    }

    /// What to do about it: `quote it`.
    #[must_use]
    pub fn hint(self, hint: impl AsRef<str>) -> Self {
        Self { hint: Some(text::one_line(hint.as_ref())), ..self }
    }

    /// The hint that a known name was meant, if there is one.
    pub(super) fn suggest(self, meant: Option<&str>) -> Self {
        match meant {
            Some(name) => self.hint(format!("did you mean {}?", text::quoted(name))),
            None => self,
        }
    }

    /// Which entry of the object here it is about: one whose key is what is wrong.
    pub(super) fn entry_at(self, index: usize) -> Self {
        Self { spot: Some(Box::new(Spot::Entry(index))), ..self }
    }

    /// Where in a text that is not JSON it is.
    pub(super) fn position_at(self, line: usize, column: usize) -> Self {
        Self { spot: Some(Box::new(Spot::Position(line, column))), ..self }
    }

    /// The same in a document that is a part of another, at this place.
    #[must_use]
    pub fn within(self, place: &Path) -> Self {
        Self { path: place.join(&self.path), ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which entry of the object at the path it is about, counted from 0, where the key of one is what is wrong.
    pub fn entry(&self) -> Option<usize> {
        match self.spot.as_deref() {
            Some(Spot::Entry(index)) => Some(*index),
            _ => None,
        }
    }

    /// The line and the column, counted from 1 and the column in bytes, where a text is not JSON.
    pub fn position(&self) -> Option<(usize, usize)> {
        match self.spot.as_deref() {
            Some(Spot::Position(line, column)) => Some((*line, *column)),
            _ => None,
        }
    }

    /// What it says, part by part.
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            problem: self.problem.as_deref(),
            found: self.found.as_deref(),
            expected: self.expected.as_deref(),
            hint: self.hint.as_deref(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        let mut comma = "";
        for (word, part) in [("", &self.problem), ("found ", &self.found), ("expected ", &self.expected)] {
            if let Some(text) = part {
                write!(f, "{comma}{word}{text}")?;
                comma = ", ";
            }
        }
        if comma.is_empty() {
            f.write_str("not valid")?;
        }
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_part_has_its_place_in_the_line() {
        let here = ConfigError::at(Path::root().key("a"));
        assert_eq!(here.to_string(), "a: not valid");
        assert_eq!(here.clone().hint("try b").to_string(), "a: not valid: try b");
        assert_eq!(here.clone().problem("no cluster").to_string(), "a: no cluster");
        assert_eq!(here.clone().expected("b").to_string(), "a: expected b");
        assert_eq!(
            here.problem("no cluster").found("c").expected("d").hint("e").to_string(),
            "a: no cluster, found c, expected d: e"
        );
    }

    #[test]
    fn whatever_goes_in_one_line_comes_out() {
        let error = ConfigError::at(Path::root().key("a\nb"))
            .problem("p\n\n  q")
            .value("f\r\n")
            .expected("x\ty")
            .hint("h\u{2028}i\u{1b}[31m");
        assert_eq!(error.to_string(), r#"$["a\nb"]: p q, found "f\r\n", expected x y: h i [31m"#);
    }

    #[test]
    fn a_document_may_be_a_part_of_another() {
        let here = ConfigError::at(Path::root().key("plans").hidden_key().index(1)).problem("no");
        let there = Path::root().key("pipeline").index(0).key("api-key-quota");
        assert_eq!(here.within(&there).to_string(), "pipeline[0].api-key-quota.plans[not shown][1]: no");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let here = Path::root().key("plan");
        assert_eq!(
            ConfigError::unknown(&here, "zebra", ["free", "gold"]).to_string(),
            r#"plan: found "zebra", expected one of "free", "gold""#
        );
        assert_eq!(
            ConfigError::unknown(&here, "free", []).to_string(),
            r#"plan: found "free", expected nothing: there are none"#
        );
    }
}
