//! Names of consumers that are in no configuration: those of different places must not meet by accident.

use meshgate_policy::config::{ConfigError, Path};

use crate::consumer;

/// The names that one place gives: those of an issuer, of an authorization server, or of a file of keys.
#[derive(Debug)]
pub struct Names {
    prefix: Box<str>,
    shared: bool,
}

impl Names {
    /// Checks what is configured. `path` is where `consumer_prefix` stands.
    ///
    /// # Errors
    /// A [`ConfigError`] for a prefix that no name can have.
    pub fn compile(prefix: String, shared: bool, path: &Path) -> Result<Self, ConfigError> {
        if !prefix.is_empty() {
            consumer::check_name(&prefix, path)?;
        }
        Ok(Self { prefix: prefix.into(), shared })
    }

    /// The name of the consumer that is called so there.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What all of them begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Checks that no name of the one can be a name of the other, which is at `other_path`. `path` is where this one stands.
    fn check_apart(&self, path: &Path, other: &Self, other_path: &Path) -> Result<(), ConfigError> {
        let meet = self.prefix.starts_with(&*other.prefix) || other.prefix.starts_with(&*self.prefix);
        if !meet || (self.shared && other.shared) {
            return Ok(());
        }
        let error = ConfigError::at(path.key("consumer_prefix"));
        let error = match &*self.prefix {
            "" => error.found("no prefix"),
            prefix => error.value(prefix),
        };
        let theirs = match &*other.prefix {
            "" => format!("{other_path} has none"),
            prefix => format!("{other_path} has {prefix:?}"),
        };
        Err(error
            .expected(format!("a prefix in both, such as idp/, of which none begins with the other; {theirs}"))
            .hint(
                "a name in a token of the one could be that of somebody else of the other; if it is the same consumer, \
                 write shared_names: true in both",
            ))
    }
}

/// Checks that consumers of different places have different names: nothing else tells them apart.
///
/// # Errors
/// A [`ConfigError`] that says how to keep them apart.
pub fn check_apart(places: &[(Path, &Names)]) -> Result<(), ConfigError> {
    for (index, (path, names)) in places.iter().enumerate() {
        for (other_path, other) in places.iter().take(index) {
            names.check_apart(path, other, other_path)?;
        }
    }
    Ok(())
}
