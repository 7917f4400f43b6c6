//! Where in a configuration document something is.

use std::fmt;
use std::sync::Arc;

use super::text::quoted;

/// A place in a document, written `plans.free.limits[0].rate`; the document itself is `$`.
///
/// Extending a path shares what is there already, so a policy can carry one along while it compiles a long list:
///
/// ```
/// # use meshgate_policy::config::Path;
/// let consumers = Path::root().key("consumers");
/// assert_eq!(consumers.index(0).key("plan").to_string(), "consumers[0].plan");
/// assert_eq!(Path::root().key("plans").key("a b").to_string(), r#"plans["a b"]"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Option<Arc<Link>>);

#[derive(Debug, PartialEq, Eq)]
struct Link {
    parent: Path,
    step: Step,
}

/// One step of a [`Path`].
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// To the value of a key.
    Key(String),
    /// To an element of a list, counted from 0.
    Index(usize),
    /// To the value of a key whose name may be a secret.
    Hidden,
}

impl Path {
    /// The document itself.
    pub fn root() -> Self {
        Self(None)
    }

    /// The value of a key of the object here.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// An element of the list here, counted from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The value of a key whose name may be a secret.
    #[must_use]
    pub fn hidden_key(&self) -> Self {
        self.step(Step::Hidden)
    }

    /// The place in the value here that `below` is in a document.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        below.steps().into_iter().fold(self.clone(), |path, step| match step {
            Step::Key(key) => path.key(key),
            Step::Index(index) => path.index(*index),
            Step::Hidden => path.hidden_key(),
        })
    }

    /// The steps from the document to here.
    pub fn steps(&self) -> Vec<&Step> {
        let mut steps = Vec::new();
        let mut here = self;
        while let Some(link) = &here.0 {
            steps.push(&link.step);
            here = &link.parent;
        }
        steps.reverse();
        steps
    }

    fn step(&self, step: Step) -> Self {
        Self(Some(Arc::new(Link { parent: self.clone(), step })))
    }
}

impl From<&Self> for Path {
    fn from(path: &Self) -> Self {
        path.clone()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps();
        // A document that starts with `[0]` or `["a b"]` would read like a value.
        if !matches!(steps.first(), Some(Step::Key(key)) if is_plain(key)) {
            f.write_str("$")?;
        }
        for (depth, step) in steps.iter().enumerate() {
            match step {
                Step::Key(key) if is_plain(key) => write!(f, "{}{key}", if depth == 0 { "" } else { "." })?,
                Step::Key(key) => write!(f, "[{}]", quoted(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Hidden => f.write_str("[not shown]")?,
            }
        }
        Ok(())
    }
}

/// Whether a key can be read without quotes: an identifier of a length that does not need to be cut.
fn is_plain(key: &str) -> bool {
    let starts_well = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well
        && key.len() <= 40
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_path_reads_like_code() {
        let root = Path::root();
        assert_eq!(root.to_string(), "$");
        assert_eq!(
            root.key("plans").key("free").key("limits").index(0).key("rate").to_string(),
            "plans.free.limits[0].rate"
        );
        assert_eq!(root.index(3).key("a").to_string(), "$[3].a");
        assert_eq!(root.key("a b").key("c").to_string(), r#"$["a b"].c"#);
        assert_eq!(root.key("keys").hidden_key().key("id").to_string(), "keys[not shown].id");
    }

    #[test]
    fn keys_that_are_no_identifiers_are_quoted_escaped_and_cut() {
        let plans = Path::root().key("plans");
        for (key, text) in [
            ("a-b", "plans.a-b"),
            ("", r#"plans[""]"#),
            ("0", r#"plans["0"]"#),
            ("a.b", r#"plans["a.b"]"#),
            ("a\"]\n", r#"plans["a\"]\n"]"#),
            ("é", r#"plans["é"]"#),
        ] {
            assert_eq!(plans.key(key).to_string(), text);
        }
        assert_eq!(plans.key(&"x".repeat(41)).to_string(), format!("plans[\"{}…\"]", "x".repeat(40)));
    }

    #[test]
    fn a_shared_parent_is_not_changed_by_its_children() {
        let plans = Path::root().key("plans");
        let free = plans.key("free");
        assert_eq!(plans.index(1).to_string(), "plans[1]");
        assert_eq!((plans.to_string(), free.to_string()), ("plans".to_owned(), "plans.free".to_owned()));
        assert_eq!(free, Path::root().key("plans").key("free"));
    }
}
