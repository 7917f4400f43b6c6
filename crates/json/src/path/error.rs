//! What is wrong with a path, said so that its writer can mend it.

use std::fmt;

use super::MAX_SEGMENTS;

/// A path that does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    source: String,
    /// Where in the path: a byte offset.
    pub at: usize,
    /// What is wrong there.
    pub problem: PathProblem,
}

/// What is wrong in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathProblem {
    /// It begins neither with `/` nor with `$`.
    Notation,
    /// A `#` begins it: the form of a JSON Pointer for URI fragments (RFC 6901, section 6).
    Fragment,
    /// A `~` in a JSON Pointer without `0` or `1` after it (RFC 6901, section 3).
    Tilde,
    /// Neither a segment nor the end follows a segment of a JSONPath.
    Segment,
    /// No name and no `*` follows `.` or `..`.
    Shorthand,
    /// No selector stands in brackets where one must.
    Selector,
    /// A filter: not supported yet.
    Filter,
    /// Neither `,` nor `]` follows a selector.
    AfterSelector,
    /// A quote is not closed.
    Quote,
    /// A control character in a quoted name.
    Control,
    /// No such escape in a quoted name (RFC 9535, section 2.3.1.1).
    Escape,
    /// Half of a surrogate pair alone in a quoted name.
    Surrogate,
    /// An index with a leading zero, or `-0`, or no digit (RFC 9535, section 2.3.3.1).
    Index,
    /// An index beyond ±(2^53 - 1) (RFC 9535, section 2.1).
    Range,
    /// White space where none may be.
    Space,
    /// Too many segments.
    TooLong,
}

impl PathError {
    pub(super) fn new(source: &str, at: usize, problem: PathProblem) -> Self {
        Self { source: source.to_owned(), at, problem }
    }

    /// The path without a leading `$`, `.` or `#`, its parts joined anew: for suggestions.
    fn joined(&self, first: &str, with: &str) -> String {
        let parts = self.source.split(['.', '/']).filter(|part| !part.is_empty() && *part != "#");
        parts.fold(String::from(first), |path, part| path + with + part)
    }
}

/// The error of a text in neither notation.
pub(super) fn notation(source: &str) -> (usize, PathProblem) {
    (0, if source.starts_with('#') { PathProblem::Fragment } else { PathProblem::Notation })
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.source.get(self.at..).and_then(|rest| rest.chars().next());
        let found = found.map_or_else(|| "its end".to_owned(), |found| format!("`{}`", found.escape_debug()));
        let place = format!("at byte {}", self.at);
        write!(f, "`{}` is no path: ", self.source.escape_debug())?;
        match self.problem {
            PathProblem::Notation => write!(
                f,
                "expected `/` or `$` at its begin, found {found}: write `{}` or `{}`",
                self.joined("", "/"),
                self.joined("$", "."),
            ),
            PathProblem::Fragment => {
                write!(f, "a JSON Pointer is written without `#` here: write `{}`", self.joined("", "/"),)
            }
            PathProblem::Tilde => {
                write!(f, "expected `0` or `1` after the `~` {place}: write `~0` for `~` and `~1` for `/`")
            }
            PathProblem::Segment => {
                write!(f, "expected `.name`, `[...]`, `..` or the end {place}, found {found}")
            }
            PathProblem::Shorthand => write!(
                f,
                "expected a name of letters, digits and `_`, or `*`, {place}, found {found}: write other names as \
                 `['the name']` without a dot before it"
            ),
            PathProblem::Selector => write!(
                f,
                "expected a selector {place}, found {found}: write a quoted name (`'name'`), an index (`0`), a slice \
                 (`1:3`) or `*`"
            ),
            PathProblem::Filter => {
                write!(f, "filters (the `?` {place}) are not supported yet: write `*`, an index or a name")
            }
            PathProblem::AfterSelector => {
                write!(f, "expected `,` or `]` after the selector {place}, found {found}")
            }
            PathProblem::Quote => write!(f, "the quote that opens {place} is not closed"),
            PathProblem::Control => {
                write!(
                    f,
                    "a control character in the quotes {place}: write it as an escape (`\\n`, `\\u0000`)"
                )
            }
            PathProblem::Escape => write!(
                f,
                "no such escape {place}: write `\\\\` for a backslash; others are `\\b`, `\\f`, `\\n`, `\\r`, `\\t`, \
                 `\\/`, `\\uXXXX` and the quote that encloses the name"
            ),
            PathProblem::Surrogate => write!(
                f,
                "half of a surrogate pair {place}: write the character itself, or both halves (`\\uD83D\\uDE00`)"
            ),
            PathProblem::Index => write!(
                f,
                "expected an index or a part of a slice {place}: digits without a leading zero, with a `-` before \
                 them to count from the end (`-1` is the last)"
            ),
            PathProblem::Range => {
                write!(f, "the number {place} is beyond 9007199254740991 (RFC 9535, section 2.1)")
            }
            PathProblem::Space => write!(f, "white space {place} where none may be"),
            PathProblem::TooLong => write!(f, "it has more than {MAX_SEGMENTS} segments"),
        }
    }
}

impl std::error::Error for PathError {}
