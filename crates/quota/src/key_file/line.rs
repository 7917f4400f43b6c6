//! The lines of a file of keys: what each must be. Whoever reads what is wrong with one learns nothing of a key.

use std::collections::BTreeMap;

use meshgate_policy::config::{self, ConfigError, Options, Path};
use serde::Deserialize;

use super::identity::Whose;
use super::record::Row;
use crate::config::{KeyConfig, KeyLine};
use crate::consumer;
use crate::keys::{Checked, Checks};

/// The longest line.
pub const MAX_LINE: usize = 8 << 10;

/// What lines must be.
#[derive(Debug)]
pub struct Rules {
    /// What all keys must be.
    pub checks: Checks,
    /// Whose they may be.
    pub whose: Whose,
}

/// A line that is right.
#[derive(Debug)]
pub struct Line {
    checked: Checked,
    key: KeyConfig,
    consumer: String,
    plan: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// A [`ConfigError`] for what is wrong with it: the field, and nothing of its value.
    pub fn read(text: &[u8], rules: &Rules) -> Result<Self, ConfigError> {
        let line: KeyLine = serde_json::from_slice(text).map_err(|_| explain(text))?;
        let (key, consumer, plan, metadata) = line.into_parts();
        let root = Path::root();
        let checked = rules.checks.check(&key, &root)?;
        rules.whose.check(&consumer, plan.as_deref(), &root)?;
        consumer::headers_of(&metadata, &root.key("metadata"))?;
        Ok(Self { checked, key, consumer, plan, metadata })
    }

    /// For the table.
    pub fn row(&self) -> Row<'_> {
        Row {
            digest: self.checked.digest,
            peppered: self.checked.peppered,
            validity: self.checked.validity,
            id: &self.key.id,
            consumer: &self.consumer,
            plan: self.plan.as_deref(),
            metadata: &self.metadata,
        }
    }

    /// The field with its digest.
    pub const fn digest_field(&self) -> &'static str {
        if self.checked.peppered { crate::keys::PEPPERED } else { crate::keys::PLAIN }
    }
}

/// What is wrong with a line that can't be read. The reader of configurations says it well, but for one line takes ten times as
/// long as serde does; it shows nothing of what is below a name that is secret.
fn explain(text: &[u8]) -> ConfigError {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped {
        #[allow(dead_code, reason = "it is read for what is wrong with it")]
        keys: KeyLine,
    }
    const OPTIONS: Options<'static> =
        Options { sensitive: &["keys"], open: &[], examples: &[], documents: &[] };
    let wrapped = [b"{\"keys\":".as_slice(), text, b"}"].concat();
    match config::load::<Wrapped>(&wrapped, &OPTIONS) {
        Err(error) => error,
        Ok(_) => ConfigError::at(Path::root()).problem("not one JSON object"),
    }
}
