//! Statuses of responses: `503`, `5xx`, `500-599`.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// One status, a class of them, or a range that includes both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPattern(RangeInclusive<u16>);

/// What a status may be (RFC 9110 section 15).
const STATUSES: RangeInclusive<u16> = 100..=599;

const EXPECTED: &str = "a status like 503, a class like 5xx or a range like 500-599";

impl StatusPattern {
    /// Reads a pattern; `None` if it is none, or reaches outside 100 to 599.
    pub fn new(source: &str) -> Option<Self> {
        let range = if let Some(class) = source.strip_suffix("xx") {
            number(&format!("{class}00"))?..=number(&format!("{class}99"))?
        } else if let Some((first, last)) = source.split_once('-') {
            number(first)?..=number(last)?
        } else {
            number(source)?..=number(source)?
        };
        (!range.is_empty()).then_some(Self(range))
    }

    /// Whether a status is one of these.
    pub fn matches(&self, status: u16) -> bool {
        self.0.contains(&status)
    }
}

/// The number that `:status` says; `None` if it is not three digits.
pub fn number_of(status: &[u8]) -> Option<u16> {
    std::str::from_utf8(status).ok().and_then(number)
}

fn number(digits: &str) -> Option<u16> {
    let three = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|status| three && STATUSES.contains(status))
}

impl<'de> Deserialize<'de> for StatusPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = StatusPattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<StatusPattern, E> {
                StatusPattern::new(&value.to_string())
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<StatusPattern, E> {
                StatusPattern::new(&value.to_string())
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(value), &self))
            }

            /// Through xDS every number is a double; one that is whole prints as an integer.
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<StatusPattern, E> {
                StatusPattern::new(&value.to_string())
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<StatusPattern, E> {
                StatusPattern::new(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for StatusPattern {
    fn schema_name() -> Cow<'static, str> {
        "StatusPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status (`503`), a class (`5xx`) or a range that includes both ends (`500-599`).",
            "oneOf": [
                {"type": "integer", "minimum": *STATUSES.start(), "maximum": *STATUSES.end()},
                {"type": "string", "pattern": "^([1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?)$"},
            ],
            "examples": [503, "5xx", "500-599"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn statuses_match_by_number_class_and_range() {
        for (pattern, inside, outside) in [
            (json!(503), &[503][..], &[502, 504][..]),
            (json!(503.0), &[503], &[502]),
            (json!("503"), &[503], &[502, 504]),
            (json!("4xx"), &[400, 499], &[399, 500]),
            (json!("500-503"), &[500, 503], &[499, 504]),
        ] {
            let found: StatusPattern = serde_json::from_value(pattern.clone()).unwrap();
            assert!(inside.iter().all(|&status| found.matches(status)), "{pattern}");
            assert!(!outside.iter().any(|&status| found.matches(status)), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for pattern in [
            json!(99),
            json!(600),
            json!(-503),
            json!(503.5),
            json!(1e300),
            json!(""),
            json!("0xx"),
            json!("6xx"),
            json!("+4xx0"),
            json!("40x"),
            json!("503-500"),
            json!("500-"),
            json!("-500"),
            json!("+50"),
            json!(" 503"),
            json!(true),
            json!(null),
        ] {
            let error = serde_json::from_value::<StatusPattern>(pattern.clone()).unwrap_err().to_string();
            assert!(error.contains(EXPECTED), "{pattern}: {error}");
        }
        assert_eq!(StatusPattern::new("+5xx"), None);
        for status in [&b""[..], b"20", b"0200", b"2 0", b"\xff\xff\xff", b"-20", b"999"] {
            assert_eq!(number_of(status), None, "{status:?}");
        }
        assert_eq!(number_of(b"204"), Some(204));
    }
}
