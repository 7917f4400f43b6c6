//! Regular expressions over bytes, in the syntax of the crate `regex`: linear time whatever the input.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use crate::config::quoted;

/// How large a compiled expression, and the DFA cache that it fills while it runs, may get, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// A compiled expression.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// An expression that holds where it is found anywhere in a value.
    ///
    /// # Errors
    /// One line: which expression, and what is wrong with it.
    pub fn anywhere(source: &str) -> Result<Self, String> {
        compile(source)
            .map(Self)
            .map_err(|why| format!("found {}, expected a regular expression: {why}", quoted(source)))
    }

    /// An expression that holds where it is all of a value.
    ///
    /// # Errors
    /// As [`Pattern::anywhere`].
    pub fn whole(source: &str) -> Result<Self, String> {
        // Alone first: `a)|(b` would get out of the group, and an error is to be about what was written.
        Self::anywhere(source)?;
        compile(&format!("^(?:{source})$"))
            .map(Self)
            .map_err(|why| format!("found {}, expected a regular expression: {why}", quoted(source)))
    }

    /// Whether the value holds it.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.0.is_match(value)
    }
}

/// Only its length: what a value is compared with may be a secret.
impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({} bytes)", self.0.as_str().len())
    }
}

/// Without Unicode where the expression allows it: `\w` and `.` are bytes then, and the automaton is far smaller.
fn compile(source: &str) -> Result<Regex, String> {
    let build = |unicode| {
        let mut builder = RegexBuilder::new(source);
        builder.unicode(unicode).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build()
    };
    build(false).or_else(|_| build(true)).map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!("it compiles to more than {limit} bytes"),
        // A drawing of the expression over several lines, and the reason on the last.
        other => {
            let text = other.to_string();
            let reason = text.lines().next_back().unwrap_or_default();
            reason.trim().strip_prefix("error: ").unwrap_or(reason).to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn whole_patterns_are_anchored_and_others_are_not() {
        for (source, value, anywhere, whole) in [
            ("b", "abc", true, false),
            ("^b", "abc", false, false),
            ("a|ab", "ab", true, true),
            ("a$|^b", "xa", true, false),
            ("(?m)^b$", "a\nb", true, false),
            ("(?i)ABC", "abc", true, true),
            ("é+", "éé", true, true),
            (".", "é", true, false),
            ("(?x) a b ", "ab", true, true),
            ("", "", true, true),
            ("", "a", true, false),
        ] {
            assert_eq!(
                Pattern::anywhere(source).unwrap().matches(value.as_bytes()),
                anywhere,
                "{source} in {value}"
            );
            assert_eq!(
                Pattern::whole(source).unwrap().matches(value.as_bytes()),
                whole,
                "{source} is {value}"
            );
        }
        assert!(Pattern::whole("a.b").unwrap().matches(b"a\xffb"));
    }

    #[test]
    fn errors_are_one_line_about_what_was_written() {
        for (source, expected) in [
            ("a(b", "unclosed group"),
            ("a)|(b", "unopened group"),
            ("[z-a]", "invalid character class range"),
            ("\\", "incomplete escape"),
            ("(a{1000}){1000}", "more than"),
            ("\\p{Greek}\\w{500}{500}", "expected a regular expression"),
            ("(?x)a # all", "unclosed group"),
        ] {
            let error = Pattern::whole(source).unwrap_err();
            assert!(error.starts_with(&format!("found {}", quoted(source))), "{error}");
            assert!(error.contains(expected), "{source}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
