//! The detectors. Each is a file with a [`Detector`]: where its values may begin, and a verifier.
//!
//! A verifier is asked about one candidate. It looks no further than a value of its kind can reach, says [`Verdict::Cut`] where
//! the window ends before it knows, and does a bounded amount of work whatever the bytes are: a hostile text is one
//! candidate after the other.
//!
//! One more is a file here, with its line in [`TABLE`]; a form that no other has needs a [`Shape`] (with what it is cut off to in
//! `tail`), a prefix needs nothing but itself.

use crate::context::{Context, Words};
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
pub(crate) use iban::countries as iban_countries;
pub(crate) use url::{USER_INFO, ends_user_info};

/// A detector of one kind.
pub(crate) struct Detector {
    /// Its pack and name.
    pub name: &'static str,
    /// What it finds, in one line.
    pub description: &'static str,
    /// The lowest and the highest confidence of its findings.
    pub confidence: (u8, u8),
    /// Of findings that overlap and have the same confidence, the one of the highest rank stays: the more specific kind.
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
pub(crate) type Named = fn(&Words, &Text<'_>) -> Option<Match>;

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
