//! A key that a request carries, to be looked for in several places.

use std::cell::OnceCell;

use meshgate_policy::digest::Digest;

use crate::pepper::Pepper;

/// A key that a request carries, with its digests: each is made when it is first asked for, and once.
#[derive(Debug)]
pub struct Presented<'a> {
    key: &'a [u8],
    pepper: Option<&'a Pepper>,
    plain: OnceCell<Digest>,
    peppered: OnceCell<Digest>,
}

impl<'a> Presented<'a> {
    /// These bytes.
    pub const fn new(key: &'a [u8], pepper: Option<&'a Pepper>) -> Self {
        Self { key, pepper, plain: OnceCell::new(), peppered: OnceCell::new() }
    }

    /// The SHA-256.
    pub fn plain(&self) -> &Digest {
        self.plain.get_or_init(|| Digest::of(self.key))
    }

    /// The digest with the pepper; `None` if there is no pepper.
    pub fn peppered(&self) -> Option<&Digest> {
        let pepper = self.pepper?;
        Some(self.peppered.get_or_init(|| pepper.digest(self.key)))
    }
}
