//! Allow-lists: what looks like a finding, and is none.

use meshgate_policy::digest::{Digest, DigestMap};
use meshgate_policy::matching::Pattern;

use crate::config::AllowConfig;
use crate::value::{self, Value};

/// What is no finding.
#[derive(Debug, Default)]
pub struct Allow {
    digests: DigestMap<()>,
    patterns: Vec<Pattern>,
    test_cards: bool,
}

impl Allow {
    /// From the configuration.
    pub fn compile(config: AllowConfig) -> Self {
        let values = config.values.iter().map(|value| Digest::of(&value::plain(value.as_bytes())));
        Self {
            digests: values
                .chain(config.sha256.into_iter().map(|digest| digest.0))
                .map(|digest| (digest, ()))
                .collect(),
            patterns: config.regex.into_iter().map(|pattern| pattern.0).collect(),
            test_cards: config.test_cards,
        }
    }

    /// Whether nothing is on the list.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty() && self.patterns.is_empty() && !self.test_cards
    }

    /// Whether a value is on the list; `sample` if it is a number that payment services publish for tests.
    pub fn has(&self, value: &Value, sample: bool) -> bool {
        (self.test_cards && sample)
            || self.patterns.iter().any(|pattern| pattern.matches(value.decoded()))
            || (!self.digests.is_empty() && self.digests.contains_key(&Digest::of(value.plain())))
    }
}
