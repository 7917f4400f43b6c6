//! Where requests carry their keys, and what keys are made of.

use std::fmt;

use meshgate_policy::config::OneOrMany;
use meshgate_policy::digest::Digest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::given;

/// Where a request may carry its key: in a header field, in a query parameter or in a cookie.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["header"]}, {"required": ["query"]}, {"required": ["cookie"]}], "dependentRequired" = {"scheme": ["header"]}))]
pub struct KeyFrom {
    /// A header field.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"x-api-key")]
    pub header: Option<String>,

    /// The authentication scheme before the key in that header: `authorization: ApiKey <key>`. The case of the scheme makes
    /// no difference. A value with another scheme is not a key and stays as it is.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"ApiKey")]
    pub scheme: Option<String>,

    /// A query parameter, by its decoded name. Keys in URLs end up in logs and histories: prefer a header.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"api_key")]
    pub query: Option<String>,

    /// A cookie. Quotes around its value are not part of the key. Browsers send cookies with requests that other sites
    /// make: let the one that sets it say `SameSite`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"api_key")]
    pub cookie: Option<String>,
}

/// The form of all keys: `<prefix>_<random>_<checksum>`. The random part is at least 22 letters and digits; the checksum is
/// the CRC-32 (that of gzip) of everything before its `_`, as eight hexadecimal digits in lower case.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFormatConfig {
    /// What all keys begin with: 1 to 32 letters, digits, `-` and `_`.
    #[schemars(example = &"mg")]
    pub prefix: String,
}

/// Where a secret is that stands in no configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PepperConfig {
    /// The name of an environment variable of the filter's VM, which holds at least 16 bytes: in Envoy one of
    /// `vm_config.environment_variables`.
    #[schemars(example = &"MESHGATE_PEPPER")]
    pub env: String,
}

/// Where keys are looked for if nothing is said.
pub fn keys_from() -> OneOrMany<KeyFrom> {
    KeyFrom { header: Some("x-api-key".to_owned()), scheme: None, query: None, cookie: None }.into()
}

/// A digest that is there: `null` is not a way to leave it out.
pub fn digest_of_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = Digest;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the SHA-256 of the key as 64 hexadecimal digits: printf %s \"$KEY\" | sha256sum")
        }

        /// What stands here by mistake may be the key itself: only its length is said.
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
            let found = || format!("a string of {} characters", text.chars().count());
            Digest::from_hex(text).ok_or_else(|| E::invalid_value(de::Unexpected::Other(&found()), &self))
        }
    }

    deserializer.deserialize_str(Visitor).map(Some)
}
