//! Who sends requests, and their keys.

use std::collections::BTreeMap;
use std::fmt;

use meshgate_policy::digest::Digest;
use meshgate_policy::host::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::credential::digest_of_key;
use super::{LimitConfig, given, whole_list};
use crate::limit::{date_of, day_of};

/// A consumer: who sends requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerConfig {
    /// Who it is, once in the document: 1 to 128 printable ASCII characters. The upstream gets it as `x-consumer-name`.
    /// Usage belongs to it.
    pub name: String,

    /// The name of its plan. The upstream gets it as `x-consumer-plan`.
    pub plan: String,

    /// The groups that it is in, for `access`: each 1 to 128 printable ASCII characters without a comma. The upstream gets
    /// them as `x-consumer-groups: one, two`.
    #[serde(default)]
    pub groups: Vec<String>,

    /// What else the upstream is to know of it: `tenant: "42"` becomes `x-consumer-meta-tenant: 42`. Names are made of
    /// letters in lower case, digits and `-`; values of 1 to 128 printable ASCII characters.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,

    /// Limits of its own, which take the place of limits of the same names of its plan and of the document.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub limits: Vec<LimitConfig>,

    /// Whether its keys are refused, with 403.
    #[serde(default)]
    pub disabled: bool,

    /// Its keys. Several are good at the same time, so that one can be replaced without a gap; all count against the same
    /// limits.
    #[serde(deserialize_with = "whole_list")]
    pub keys: Vec<KeyConfig>,
}

/// Who sends requests that carry no credential.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnonymousConfig {
    /// The name of this consumer. All who send no credential are one consumer, with one usage.
    #[serde(default = "anonymous")]
    pub name: String,

    /// The name of its plan.
    pub plan: String,

    /// The groups that it is in, as those of other consumers.
    #[serde(default)]
    pub groups: Vec<String>,

    /// What else the upstream is to know of it, as of other consumers.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

fn anonymous() -> String {
    "anonymous".to_owned()
}

/// A key. The key itself is nowhere in the configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["sha256"]}, {"required": ["hmac_sha256"]}]))]
pub struct KeyConfig {
    /// What logs and the upstream (`x-consumer-key-id`) know the key by, once in the document: 1 to 128 printable ASCII
    /// characters. Never the key or a part of it.
    pub id: String,

    /// The SHA-256 digest of the key in hexadecimal: `printf %s "$KEY" | sha256sum`.
    #[serde(default, deserialize_with = "digest_of_key")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Digest")]
    pub sha256: Option<Digest>,

    /// The HMAC-SHA-256 of the key with the `pepper`, in hexadecimal:
    /// `printf %s "$KEY" | openssl dgst -sha256 -hmac "$MESHGATE_PEPPER"`. Who reads the configuration can't even try keys.
    #[serde(default, deserialize_with = "digest_of_key")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Digest")]
    pub hmac_sha256: Option<Digest>,

    /// When the key begins to be good (RFC 3339).
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Time")]
    pub not_before: Option<Time>,

    /// When the key ceases to be good (RFC 3339).
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Time")]
    pub expires_at: Option<Time>,

    /// Whether the key is refused, with 401.
    #[serde(default)]
    pub disabled: bool,

    /// The name of a plan for this key, instead of that of its consumer. Usage still belongs to the consumer.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub plan: Option<String>,

    /// Limits of requests with this key, which take the place of limits of the same names of the consumer, the plan and the
    /// document. What they count is the consumer's, unless they say `per: key`.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub limits: Vec<LimitConfig>,

    /// What else the upstream is to know of it: as that of the consumer, before which it goes where both have a name.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// A time, in the form of RFC 3339: `2026-12-31T23:59:59Z` or `2027-01-01T00:59:59+01:00`. From 1970 to 2500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2026-12-31T23:59:59Z, from 1970 to 2500")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                Time::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

impl Time {
    /// RFC 3339 section 5.6, without leap seconds. Not by a library: `jiff` would add 340 KB to the module for
    /// this.
    fn parse(text: &str) -> Option<Self> {
        const FORM: &[u8] = b"0000-00-00T00:00:00";
        let (start, rest) = text.as_bytes().split_at_checked(FORM.len())?;
        let same = start.iter().zip(FORM).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            form => byte == form,
        });
        let date = (number(start, 0, 4)?, number(start, 5, 2)?, number(start, 8, 2)?);
        let (hour, minute, second) = (number(start, 11, 2)?, number(start, 14, 2)?, number(start, 17, 2)?);
        let (year, month, day) = date;
        let days = (1..=12).contains(&month).then(|| day_of(year, month, day))?;
        let there_is = date_of(days) == date && hour < 24 && minute < 60 && second < 60;

        let (fraction, offset) =
            rest.split_at_checked(rest.iter().position(|byte| !is_of_fraction(*byte))?)?;
        let nanos = match fraction {
            [] => 0,
            [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
                let digits: Vec<u8> = digits.iter().chain([b'0'; 9].iter()).take(9).copied().collect();
                number(&digits, 0, 9)?
            }
            _ => return None,
        };
        let offset = match offset {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) = (number(offset, 1, 2)?, number(offset, 4, 2)?);
                let ahead = minutes.checked_add(hours.checked_mul(60)?)?;
                let valid = hours < 24 && minutes < 60;
                valid.then_some(if *sign == b'+' { ahead } else { ahead.checked_neg()? })?
            }
            _ => return None,
        };
        let minutes = days.checked_mul(24)?.checked_add(hour)?.checked_mul(60)?.checked_add(minute)?;
        let seconds = minutes.checked_sub(offset)?.checked_mul(60)?.checked_add(second)?;
        let seconds = u64::try_from(seconds).ok().filter(|_| same && there_is)?;
        let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(nanos).ok()?)?;
        (nanos < YEAR_2500).then_some(Self(Timestamp::from_nanos(nanos)))
    }
}

/// The number that so many digits from a place on are.
fn number(text: &[u8], from: usize, count: usize) -> Option<i64> {
    let digits = text.get(from..from.checked_add(count)?)?;
    let all = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all)?.parse().ok()
}

const fn is_of_fraction(byte: u8) -> bool {
    matches!(byte, b'.' | b'0'..=b'9')
}

/// 2500-01-01T00:00:00Z, well before the nanoseconds of a [`Timestamp`] end.
const YEAR_2500: u64 = 16_725_225_600_000_000_000;

impl JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "A time from 1970 to 2500, in the form of RFC 3339.",
            "examples": ["2026-12-31T23:59:59Z"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn times_are_those_of_rfc_3339() {
        let seconds = |text: &str| Time::parse(text).map(|time| time.0.as_nanos() / 1_000_000_000);
        // The examples of RFC 3339 section 5.8 that have no leap second.
        for (text, expected) in [
            ("1985-04-12T23:20:50.52Z", 482_196_050),
            ("1996-12-19T16:39:57-08:00", 851_042_397),
            ("1970-01-01T00:00:00Z", 0),
            ("2499-12-31 23:59:59z", 16_725_225_599),
            ("2024-02-29T23:59:59.999999999+23:59", 1_709_164_859),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "20260101T000000Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1.2Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+00:60",
            "9999-12-31T23:59:59Z",
            "2026-01-01T00:00:00+01",
            "2026-01-01T00:00:00+01:00[Europe/Berlin]",
            "1969-12-31T23:59:59Z",
            "2500-01-01T00:00:00Z",
            "+002026-01-01T00:00:00Z",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
