//! Tokens: who issues them, what must be in them, and who they say sends a request.

use std::collections::BTreeMap;
use std::fmt;

use meshgate_jwt::Algorithm;
use meshgate_policy::config::Duration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::given;

/// An issuer of JSON Web Tokens (RFC 7519), which requests carry as `authorization: Bearer <token>`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["jwks"]}, {"required": ["jwks_from"]}]))]
pub struct TokenConfig {
    /// Who it is, as its tokens say in `iss`, character by character; once in the document.
    pub issuer: String,

    /// Who we are for it: `aud` of a token must have one of these. With an empty list only tokens without `aud` are good.
    pub audiences: Vec<String>,

    /// Its keys: a JSON Web Key Set (RFC 7517). A secret (`kty: oct`) is better kept in the environment.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "KeySetConfig")]
    pub jwks: Option<KeySetConfig>,

    /// Where its keys are: behind a URL, or in the environment of the VM.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "JwksFromConfig")]
    pub jwks_from: Option<JwksFromConfig>,

    /// The algorithms that are allowed. A key that names its `alg` is good for that one alone, if it is allowed; one that
    /// does not is good for all of these that its type allows. Without this: of each key its own, and for keys that do not
    /// name it RS256, ES256, ES384, ES512 or EdDSA, by their type.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Vec<AlgorithmConfig>")]
    pub algorithms: Option<Vec<AlgorithmConfig>>,

    /// What else must be in its tokens.
    #[serde(default)]
    pub require: RequireConfig,

    /// Who its tokens say sends a request.
    pub identity: TokenIdentityConfig,

    /// Whether the upstream gets the token. Without this it is removed.
    #[serde(default)]
    pub forward: bool,
}

/// A JSON Web Key Set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySetConfig {
    /// The keys. Those that are not for signatures, or of a kind that is not known, are passed over; one must be left.
    #[schemars(length(min = 1, max = 100))]
    pub keys: Vec<BTreeMap<String, Value>>,
}

/// Where a key set is: at `path` of a `cluster`, or in `env`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [{"required": ["cluster", "path"]}, {"required": ["env"]}],
    "dependentRequired" = {"authority": ["cluster"], "timeout": ["cluster"], "refresh": ["cluster"]}
))]
pub struct JwksFromConfig {
    /// The cluster in the proxy that reaches the issuer.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub cluster: Option<String>,

    /// The path and query of the key set there.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"/.well-known/jwks.json")]
    pub path: Option<String>,

    /// The host name in the request. Without this: the cluster's name.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub authority: Option<String>,

    /// How long the answer may take, up to `1m`. Without this: `2s`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Duration")]
    pub timeout: Option<Duration>,

    /// How old keys become before new ones are there: they are asked for when three quarters to 19/20 of this time are
    /// over, by chance. From `10s` on; without this: `10m`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Duration")]
    pub refresh: Option<Duration>,

    /// An environment variable of the VM that holds the key set: the place for secrets.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub env: Option<String>,
}

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "they are the names of the RFCs")]
pub enum AlgorithmConfig {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

/// What must be in a token, beside what each must have: an issuer, an audience, a time at which it ends, and a signature.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequireConfig {
    /// `typ` in its header must be one of these: `at+jwt` for access tokens after RFC 9068. Without this: `JWT`, `JOSE`,
    /// `at+jwt`, or none, which an ID token has as well.
    #[serde(default)]
    pub types: Vec<String>,

    /// How far the clocks of issuer and proxy may differ, up to `10m`.
    #[serde(default = "skew")]
    pub skew: Duration,

    /// The longest time from `iat`, or else from now, to `exp`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Duration")]
    pub max_lifetime: Option<Duration>,

    /// Scopes that must all be in `scope` or `scp`. Without them the answer is 403.
    #[serde(default)]
    pub scopes: Vec<String>,

    /// Other claims that must be there.
    #[serde(default)]
    pub claims: Vec<RequiredClaimConfig>,
}

/// A claim that must be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequiredClaimConfig {
    /// Its name, or a JSON Pointer (RFC 6901) into one: `/realm_access/roles`.
    pub claim: String,

    /// What it must be; a list must have one of these. Without this: anything but `null`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// Who a token says sends a request. Claims are named as in `require`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "anyOf" = [{"required": ["plan"]}, {"required": ["plan_claim"]}, {"required": ["configured_consumers"]}]
))]
pub struct TokenIdentityConfig {
    /// The claim with the consumer's name: 1 to 128 printable ASCII characters.
    #[serde(default = "sub")]
    pub consumer_claim: String,

    /// What comes before it in the name. Where tokens come from several places (`tokens`, `introspection`), each needs one,
    /// and none may begin with another's: who can choose a name at the one must not become somebody of the other.
    #[serde(default)]
    pub consumer_prefix: String,

    /// Whether a name that another place with `shared_names` gives as well is the same consumer. Then prefixes may be alike.
    #[serde(default)]
    pub shared_names: bool,

    /// Whether a token may name one of `consumers`, and have its plan, its groups, its metadata and its usage. Without this
    /// such a token is refused with 403. Only for a claim that nobody can choose.
    #[serde(default)]
    pub configured_consumers: bool,

    /// The plan of consumers that are not in `consumers`. Those that are have their own. This, `plan_claim` or
    /// `configured_consumers` must be there.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub plan: Option<String>,

    /// The claim with the name of that plan. Where it names none that there is, it is `plan`; without that, 403.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub plan_claim: Option<String>,

    /// The claim with the groups of the consumer: a list, or one. They come beside those that it has in `consumers`. Names
    /// that no group can have are left out.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub groups_claim: Option<String>,

    /// What else the upstream is to know, by claim: `tenant: org` becomes `x-consumer-meta-tenant: ...`, if `org` is a string, a
    /// number or a truth value of 1 to 128 printable ASCII characters.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// Where tokens are asked about that are not from one of the issuers (RFC 7662): such as mean nothing to anybody else.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// The cluster in the proxy that reaches the authorization server.
    pub cluster: String,

    /// The path of the introspection endpoint there.
    #[schemars(example = &"/oauth2/introspect")]
    pub path: String,

    /// The host name in the request. Without this: the cluster's name.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub authority: Option<String>,

    /// How long the answer may take, up to `1m`.
    #[serde(default = "timeout")]
    pub timeout: Duration,

    /// Who we are for the authorization server.
    pub client: ClientConfig,

    /// As in `tokens`, of what the server says of a token; also good without `aud` where this is left out or empty.
    #[serde(default)]
    pub audiences: Vec<String>,

    /// What the server must say in `iss`. Without this: anything.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub issuer: Option<String>,

    /// What else the server must say; `types` are of `token_type`, and without them it may be anything.
    #[serde(default)]
    pub require: RequireConfig,

    /// Who tokens say sends a request.
    pub identity: TokenIdentityConfig,

    /// Whether the upstream gets the token. Without this it is removed.
    #[serde(default)]
    pub forward: bool,

    /// How long the answer to a good token is kept, but not longer than its `exp`: so long a token may go on after it was
    /// revoked.
    #[serde(default = "max_age")]
    pub max_age: Duration,

    /// How long the answer to a bad token is kept.
    #[serde(default = "max_age_inactive")]
    pub max_age_inactive: Duration,

    /// How many tokens of one client, by its address, may be asked about at the same time in each worker: 1 to 256. What it
    /// sends beyond these gets 429.
    #[serde(default = "questions_per_client")]
    #[schemars(range(min = 1, max = 256))]
    pub questions_per_client: u16,

    /// What happens when the server does not answer.
    #[serde(default)]
    pub on_error: OnIntrospectionError,
}

/// What happens to a request whose token could not be asked about.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum OnIntrospectionError {
    /// It is refused with 503.
    #[default]
    Deny,
    /// It counts as sent by `anonymous`, as if it had no token. The upstream does not get the token.
    Anonymous,
}

/// A client at the authorization server: its id and its secret go into `authorization: Basic` (RFC 6749 section 2.3.1).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Its id.
    pub id: String,

    /// The environment variable of the VM that holds its secret.
    pub secret_env: String,
}

impl Default for RequireConfig {
    fn default() -> Self {
        Self { types: Vec::new(), skew: skew(), max_lifetime: None, scopes: Vec::new(), claims: Vec::new() }
    }
}

impl From<AlgorithmConfig> for Algorithm {
    fn from(algorithm: AlgorithmConfig) -> Self {
        match algorithm {
            AlgorithmConfig::RS256 => Self::Rs256,
            AlgorithmConfig::RS384 => Self::Rs384,
            AlgorithmConfig::RS512 => Self::Rs512,
            AlgorithmConfig::PS256 => Self::Ps256,
            AlgorithmConfig::PS384 => Self::Ps384,
            AlgorithmConfig::PS512 => Self::Ps512,
            AlgorithmConfig::ES256 => Self::Es256,
            AlgorithmConfig::ES384 => Self::Es384,
            AlgorithmConfig::ES512 => Self::Es512,
            AlgorithmConfig::EdDSA => Self::EdDsa,
            AlgorithmConfig::HS256 => Self::Hs256,
            AlgorithmConfig::HS384 => Self::Hs384,
            AlgorithmConfig::HS512 => Self::Hs512,
        }
    }
}

/// How many keys, and nothing of them: there may be secrets among them.
impl fmt::Debug for KeySetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySetConfig").field("keys", &self.keys.len()).finish()
    }
}

fn sub() -> String {
    "sub".to_owned()
}

const fn skew() -> Duration {
    Duration::from_secs(60)
}

const fn timeout() -> Duration {
    Duration::from_secs(2)
}

const fn max_age() -> Duration {
    Duration::from_secs(60)
}

const fn questions_per_client() -> u16 {
    8
}

const fn max_age_inactive() -> Duration {
    Duration::from_secs(10)
}
