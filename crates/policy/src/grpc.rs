//! gRPC's status codes, by number and name.
//!
//! Source: gRPC, `doc/statuscodes.md`; for HTTP statuses `doc/http-grpc-status-mapping.md`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A gRPC status code, 0 to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcStatus(u8);

/// By number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const EXPECTED: &str = "a gRPC status by name or number, such as UNAVAILABLE or 14";

impl GrpcStatus {
    /// By number.
    pub fn new(number: u64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| usize::from(*number) < NAMES.len()).map(Self)
    }

    /// By name.
    pub fn named(name: &str) -> Option<Self> {
        let number = NAMES.iter().position(|known| *known == name)?;
        u8::try_from(number).ok().map(Self)
    }

    /// What the value of a `grpc-status` field says: a number in ASCII.
    pub fn from_field(value: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(value).ok()?;
        (digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok())
            .flatten()
            .and_then(Self::new)
    }

    /// What stands for an HTTP status. The mapping of gRPC is made for proxies that know nothing of gRPC; where it says
    /// `UNKNOWN` or `INTERNAL`, and there is a code that means the status, it is that one.
    pub fn for_http(status: u16) -> Self {
        Self(match status {
            400 | 411 | 413 | 414 | 415 | 422 | 431 => 3,
            401 | 407 => 16,
            403 => 7,
            404 | 405 | 501 => 12,
            409 => 10,
            412 => 9,
            429 => 8,
            408 | 504 => 4,
            499 => 1,
            502 | 503 => 14,
            500 => 13,
            _ => 2,
        })
    }

    /// What a proxy makes of an HTTP status that says nothing of gRPC: the mapping as it is written, which Envoy follows.
    pub fn of_proxy(status: u16) -> Self {
        Self(match status {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502 | 503 | 504 => 14,
            _ => 2,
        })
    }

    /// The HTTP status that stands for it, as REST gateways translate it (`google/rpc/code.proto`).
    pub fn to_http(self) -> u16 {
        match self.0 {
            0 => 200,
            1 => 499,
            3 | 9 | 11 => 400,
            4 => 504,
            5 => 404,
            6 | 10 => 409,
            7 => 403,
            8 => 429,
            12 => 501,
            14 => 503,
            16 => 401,
            _ => 500,
        }
    }

    /// Its number.
    pub fn number(self) -> u32 {
        u32::from(self.0)
    }
}

impl<'de> Deserialize<'de> for GrpcStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = GrpcStatus;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<GrpcStatus, E> {
                GrpcStatus::new(number)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<GrpcStatus, E> {
                GrpcStatus::from_field(number.to_string().as_bytes())
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<GrpcStatus, E> {
                GrpcStatus::named(name)
                    .or_else(|| GrpcStatus::from_field(name.as_bytes()))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(name), &self))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for GrpcStatus {
    fn schema_name() -> Cow<'static, str> {
        "GrpcStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A gRPC status, by name or number.",
            "oneOf": [{"enum": NAMES}, {"type": "integer", "minimum": 0, "maximum": 16}],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn statuses_have_names_and_numbers() {
        assert_eq!(GrpcStatus::named("UNAVAILABLE"), GrpcStatus::new(14));
        assert_eq!(GrpcStatus::from_field(b"16"), GrpcStatus::named("UNAUTHENTICATED"));
        for wrong in [&b""[..], b"17", b"-1", b"014", b"1x", b"\xff"] {
            assert_eq!(GrpcStatus::from_field(wrong), None, "{wrong:?}");
        }
        assert_eq!(GrpcStatus::for_http(503).number(), 14);
        assert_eq!(GrpcStatus::for_http(418).number(), 2);
    }
}
