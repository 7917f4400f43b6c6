//! The configuration document.

use std::fmt;

use meshgate_policy::digest::Digest;
use meshgate_policy::matching::Match;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

/// All policies in one module: a pipeline of stages.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The stages. Requests pass them in this order, responses in the reverse order. 1 to 16.
    #[schemars(length(min = 1, max = 16))]
    pub pipeline: Vec<StageConfig>,

    /// Who may learn what each stage did with a request. Without this: nobody.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "TraceConfig")]
    pub trace: Option<TraceConfig>,
}

/// A stage: one policy, and which requests it is for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["api-key-quota"]}, {"required": ["dlp"]}, {"required": ["error-response"]}, {"required": ["transform"]}
]))]
pub struct StageConfig {
    /// What the stage is called in counters, in shared values, in filter state and in traces: 1 to 64 letters, digits, `-` and
    /// `_`. Without this, the name of its policy; each name is there once.
    #[serde(default, deserialize_with = "given")]
    #[schemars(
        skip_serializing_if = "Option::is_none",
        with = "String",
        regex(pattern = "^[A-Za-z0-9_-]{1,64}$")
    )]
    pub name: Option<String>,

    /// The requests that the stage is for, with their responses, as the request is when it comes to the stage. Without this:
    /// all requests.
    #[serde(default, rename = "match", deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Match")]
    pub matches: Option<Match>,

    /// API keys, tokens, plans and limits: the configuration of the filter `api-key-quota`.
    #[serde(default, rename = "api-key-quota", deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "meshgate_quota::Config")]
    pub quota: Option<meshgate_quota::Config>,

    /// Data-loss prevention: the configuration of the filter `dlp`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "meshgate_dlp::Config")]
    pub dlp: Option<meshgate_dlp::Config>,

    /// Errors and direct responses: the configuration of the filter `error-response`.
    #[serde(default, rename = "error-response", deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "meshgate_errors::Config")]
    pub errors: Option<meshgate_errors::Config>,

    /// Transformations: the configuration of the filter `transform`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "meshgate_transform::Config")]
    pub transform: Option<meshgate_transform::Config>,
}

/// Who may learn what each stage did.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceConfig {
    /// The SHA-256 digest of the secret that a request has in `x-meshgate-trace`, in hexadecimal:
    /// `printf %s "$SECRET" | sha256sum`. Make the secret with `openssl rand -hex 32`.
    #[serde(deserialize_with = "digest")]
    pub secret_sha256: Digest,
}

/// A digest; what stands in its place may be the secret itself.
fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    struct DigestVisitor;

    impl de::Visitor<'_> for DigestVisitor {
        type Value = Digest;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the SHA-256 digest of the secret: 64 hexadecimal digits")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
            let found = format!("a text of {} characters", text.chars().count());
            Digest::from_hex(text).ok_or_else(|| E::invalid_value(de::Unexpected::Other(&found), &self))
        }
    }

    deserializer.deserialize_str(DigestVisitor)
}

/// A field that is there has a value.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
