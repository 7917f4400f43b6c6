//! Envoy's response flags: why a response is what it is, as access logs show it in `%RESPONSE_FLAGS%`.
//!
//! A filter reads them as the property `response.flags`, a vector of bits in the order of Envoy's `CoreResponseFlag`
//! (`envoy/stream_info/stream_info.h`); the names are those of `ResponseFlagUtils` (`source/common/stream_info/utility.h`).

use std::borrow::Cow;
use std::fmt;

use meshgate_policy::config::quoted;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// One of Envoy's response flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(u8);

/// Short and long names by bit, as in Envoy 1.40. Versions only ever add to this list.
pub const NAMES: [(&str, &str); 30] = [
    ("LH", "FailedLocalHealthCheck"),
    ("UH", "NoHealthyUpstream"),
    ("UT", "UpstreamRequestTimeout"),
    ("LR", "LocalReset"),
    ("UR", "UpstreamRemoteReset"),
    ("UF", "UpstreamConnectionFailure"),
    ("UC", "UpstreamConnectionTermination"),
    ("UO", "UpstreamOverflow"),
    ("NR", "NoRouteFound"),
    ("DI", "DelayInjected"),
    ("FI", "FaultInjected"),
    ("RL", "RateLimited"),
    ("UAEX", "UnauthorizedExternalService"),
    ("RLSE", "RateLimitServiceError"),
    ("DC", "DownstreamConnectionTermination"),
    ("URX", "UpstreamRetryLimitExceeded"),
    ("SI", "StreamIdleTimeout"),
    ("IH", "InvalidEnvoyRequestHeaders"),
    ("DPE", "DownstreamProtocolError"),
    ("UMSDR", "UpstreamMaxStreamDurationReached"),
    ("RFCF", "ResponseFromCacheFilter"),
    ("NFCF", "NoFilterConfigFound"),
    ("DT", "DurationTimeout"),
    ("UPE", "UpstreamProtocolError"),
    ("NC", "NoClusterFound"),
    ("OM", "OverloadManagerTerminated"),
    ("DF", "DnsResolutionFailed"),
    ("DO", "DropOverload"),
    ("DR", "DownstreamRemoteReset"),
    ("UDO", "UnconditionalDropOverload"),
];

impl Flag {
    /// `RFCF`: a cache knew the response.
    pub const FROM_CACHE: Self = Self(20);

    /// The flag that has this short or long name; case counts, as in Envoy's own configuration.
    pub fn named(name: &str) -> Option<Self> {
        let bit = NAMES.iter().position(|(short, long)| name == *short || name == *long)?;
        u8::try_from(bit).ok().map(Self)
    }

    /// Its short name, as in `%RESPONSE_FLAGS%`.
    pub fn short(self) -> &'static str {
        NAMES.get(usize::from(self.0)).map_or("", |(short, _)| short)
    }
}

/// The flags of one response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u64);

impl Flags {
    /// From the property `response.flags`: eight bytes, least significant first. Anything else is no flags.
    pub fn from_property(bytes: &[u8]) -> Self {
        Self(bytes.try_into().map(u64::from_le_bytes).unwrap_or(0))
    }

    /// The short names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = (0..).zip(NAMES).filter(move |(bit, _)| self.has(Flag(*bit)));
        set.map(|(_, (short, _))| short)
    }

    /// Whether this one is set.
    pub fn has(self, flag: Flag) -> bool {
        1_u64.checked_shl(u32::from(flag.0)).is_some_and(|bit| self.0 & bit != 0)
    }
}

/// As `%RESPONSE_FLAGS%` shows them, but in the order of their bits: `UF,URX`, or `-` for none.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        if names.is_empty() { f.write_str("-") } else { f.write_str(&names.join(",")) }
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| {
            let upper = name.to_ascii_uppercase();
            let meant = NAMES
                .iter()
                .find(|(short, long)| *short == upper || long.eq_ignore_ascii_case(&name))
                .map_or_else(String::new, |(short, _)| format!(": did you mean {}?", quoted(short)));
            let expected = format!(
                "a response flag of Envoy, by its short or long name, such as UH or NoHealthyUpstream{meant}"
            );
            de::Error::invalid_value(de::Unexpected::Str(&name), &expected.as_str())
        })
    }
}

impl JsonSchema for Flag {
    fn schema_name() -> Cow<'static, str> {
        "Flag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = NAMES.iter().flat_map(|(short, long)| [*short, *long]).collect();
        json_schema!({
            "type": "string",
            "enum": names,
            "description": "A response flag of Envoy, by its short or long name.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn flags_have_the_bits_that_envoy_gives_them() {
        // As a real Envoy 1.40 shows them, with the access log beside it.
        for (bits, shown) in [
            (0_u64, "-"),
            (2, "UH"),
            (4, "UT"),
            (32, "UF"),
            (32_800, "UF,URX"),
            (64, "UC"),
            (128, "UO"),
            (256, "NR"),
            (1_024, "FI"),
            (2_048, "RL"),
            (8_388_608, "UPE"),
            (16_777_216, "NC"),
            (1 << 63, "-"),
        ] {
            assert_eq!(Flags::from_property(&bits.to_le_bytes()).to_string(), shown);
        }
        assert_eq!(Flags::from_property(b"short"), Flags::default());
    }

    #[test]
    fn both_names_mean_the_same() {
        for (short, long) in NAMES {
            assert_eq!(Flag::named(short), Flag::named(long));
            let flag = Flag::named(short).unwrap();
            assert_eq!(Flags(1 << flag.0).names().collect::<Vec<_>>(), [short]);
        }
        assert_eq!(Flag::named("RFCF"), Some(Flag::FROM_CACHE));
        assert_eq!(Flag::named("uh"), None);
        assert_eq!(Flag::named(""), None);
    }
}
