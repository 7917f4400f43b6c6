//! The detectors. Each is a file with a [`Detector`]: where its values may begin, and a verifier.
//!
//! A verifier is asked about one candidate. It looks no further than a value of its kind can reach, says [`Verdict::Cut`] where
//! the window ends before it knows, and does a bounded amount of work whatever the bytes are: a hostile text is one
//! candidate after the other.

use crate::context::Context;
use crate::literal::Literal;
use crate::shape::Shape;
use crate::text::{Match, Text, Verdict};

mod card;
mod email;
mod generic;
mod iban;
mod ip;
mod jwt;
mod pem;
mod phone;
mod token;
mod track;
mod url;
mod us;

#[cfg(test)]
pub(crate) use iban::examples as iban_examples;
pub(crate) use url::{USER_INFO, ends_user_info};

/// A detector of one kind.
pub(crate) struct Detector {
    /// Its pack and name.
    pub name: &'static str,
    /// What it finds, in one line.
    pub description: &'static str,
    /// The lowest and the highest confidence of its findings.
    pub confidence: (u8, u8),
    /// Of findings that begin at the same byte, the one of the highest rank stays.
    pub rank: u8,
    /// Forms that its values begin with (or, where the form says so, have in them).
    pub shapes: &'static [Shape],
    /// Literals that its values begin with, or keys of its values.
    pub literals: &'static [Literal],
    /// What the value's key and the words before it say.
    pub context: Context,
    /// For kinds that a name alone tells: judges a whole text by its name.
    pub named: Option<Named>,
    /// Tells whether there is a value at a shape or literal that begins at an offset.
    pub verify: fn(&Text<'_>, usize) -> Verdict,
}

/// Judges a whole text by its name.
pub(crate) type Named = fn(&[u8], &Text<'_>) -> Option<Match>;

/// All detectors, pack by pack.
pub(crate) const TABLE: &[&Detector] = &[
    &card::CARD,
    &track::TRACK,
    &iban::IBAN,
    &us::SSN,
    &us::ITIN,
    &us::EIN,
    &token::AWS,
    &generic::AWS_SECRET,
    &token::GCP,
    &generic::GENERIC,
    &token::GITHUB,
    &jwt::JWT,
    &token::NPM,
    &pem::PRIVATE_KEY,
    &token::SLACK,
    &token::STRIPE,
    &url::URL_PASSWORD,
    &email::EMAIL,
    &phone::PHONE,
    &ip::IP,
];
