//! Quantities with a unit, as a configuration writes them: `30s`, `1MiB`, `100/m`, `12.5%`.
//!
//! Each is one string form that is read strictly and written back by `Display`; what is read and written is the same
//! quantity, in the largest units that hold it exactly.

mod duration;
mod percent;
mod rate;
mod size;

use std::fmt;

pub use self::duration::Duration;
pub use self::percent::Percent;
pub use self::rate::{Period, Rate};
pub use self::size::Size;
use super::text::{one_line, quoted};

/// A text is not the quantity that it should be. Displays as `found "30", expected a duration such as 30s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUnitError {
    found: String,
    expected: &'static str,
}

impl ParseUnitError {
    /// `expected` must be a text of ours: it is shown where `found` may not be.
    fn new(found: &str, expected: &'static str) -> Self {
        Self { found: found.to_owned(), expected }
    }

    /// What was expected, with an example. Nothing of what was found is in it.
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

impl fmt::Display for ParseUnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {}, expected {}", quoted(&self.found), one_line(self.expected))
    }
}

impl std::error::Error for ParseUnitError {}

/// The digits at the start of a text, and what follows them.
fn split_digits(text: &str) -> (&str, &str) {
    split_at_first(text, |byte| !byte.is_ascii_digit())
}

/// The letters at the start of a text, and what follows them.
fn split_letters(text: &str) -> (&str, &str) {
    split_at_first(text, |byte| !byte.is_ascii_alphabetic())
}

fn split_at_first(text: &str, ends: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(ends).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// `Deserialize` for a unit: a string in its form, or what else its visitor takes. `Serialize` writes the string form.
macro_rules! serde_as_text {
    ($unit:ident, $form:expr $(, $visit:ident($number:ty) => $read:expr)*) => {
        impl<'de> serde::Deserialize<'de> for $unit {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct UnitVisitor;

                impl serde::de::Visitor<'_> for UnitVisitor {
                    type Value = $unit;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($form)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$unit, E> {
                        text.parse().map_err(|error: $crate::config::ParseUnitError| {
                            E::invalid_value(serde::de::Unexpected::Str(text), &error.expected())
                        })
                    }

                    $(fn $visit<E: serde::de::Error>(self, number: $number) -> Result<$unit, E> {
                        $read(number)
                    })*
                }

                deserializer.deserialize_any(UnitVisitor)
            }
        }

        impl serde::Serialize for $unit {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
use serde_as_text;
