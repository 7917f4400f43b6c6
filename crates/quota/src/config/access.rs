//! Who may send which requests.

use schemars::JsonSchema;
use serde::Deserialize;

use super::given;
use meshgate_policy::config::OneOrMany;
use meshgate_policy::matching::Match;

/// A rule for some requests: who may send them. It has `allow` or `deny` or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["allow"]}, {"required": ["deny"]}]))]
pub struct AccessConfig {
    /// The requests that the rule is for. Without this: all requests.
    #[serde(default, rename = "match")]
    pub applies: Match,

    /// Who may send them: nobody else may.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "WhoConfig")]
    pub allow: Option<WhoConfig>,

    /// Who may not send them, even if `allow` names them.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "WhoConfig")]
    pub deny: Option<WhoConfig>,
}

/// Some consumers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct WhoConfig {
    /// All that are in one of these groups.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<String>")]
    pub groups: Option<OneOrMany<String>>,

    /// These, by name.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<String>")]
    pub consumers: Option<OneOrMany<String>>,

    /// All, the anonymous consumer included.
    #[serde(default)]
    pub everyone: bool,
}

/// What happens to a CORS preflight request, which browsers send without credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preflight {
    /// It passes without a credential, uncounted and without an identity. One with a body or trailers is none.
    #[default]
    Pass,
    /// It is treated as any other request.
    Guard,
}
