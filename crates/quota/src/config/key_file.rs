//! Keys that stand in no document: where they are fetched from, and what a line with one of them is.

use std::collections::BTreeMap;

use meshgate_policy::config::{Duration, Size};
use meshgate_policy::digest::Digest;
use schemars::JsonSchema;
use serde::Deserialize;

use super::credential::digest_of_key;
use super::{KeyConfig, Time, given};

/// A file of keys behind a URL, which each worker fetches a part at a time: JSON Lines, one key a line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFileConfig {
    /// What metrics and logs call it, once in the document: 1 to 64 letters, digits, `-` and `_`.
    #[schemars(example = &"portal")]
    pub name: String,

    /// The cluster in the proxy that reaches the server of the file.
    pub cluster: String,

    /// The path and query of the file there. The server has to know ranges and strong entity tags (RFC 9110), as file servers
    /// and object stores do, unless the file is small.
    #[schemars(example = &"/keys.jsonl")]
    pub path: String,

    /// The host name in the request. Without this: the cluster's name.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub authority: Option<String>,

    /// How long the answer to one request may take, up to `1m`; there are eight for each MiB.
    #[serde(default = "timeout")]
    pub timeout: Duration,

    /// How old keys become before the server is asked for others: it is asked when three quarters to 19/20 of this time are
    /// over, by chance. From `10s` on.
    #[serde(default = "refresh")]
    pub refresh: Duration,

    /// How long the file may be. A larger one is refused, and the keys that there are stay.
    #[serde(default = "max_size")]
    pub max_size: Size,

    /// Who the keys say sends a request.
    pub identity: KeyFileIdentityConfig,
}

/// Who a key that was fetched says sends a request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFileIdentityConfig {
    /// What comes before `consumer` of a line in the name of the consumer. Where names come from several places (`key_files`,
    /// `tokens`, `introspection`), each needs one, and none may begin with another's: who can choose a name at the one must not
    /// become somebody of the other.
    #[serde(default)]
    pub consumer_prefix: String,

    /// Whether a name that another place with `shared_names` gives as well is the same consumer. Then prefixes may be alike.
    #[serde(default)]
    pub shared_names: bool,

    /// Whether a line may name one of `consumers`, and its key have the plan of that one, its groups, its metadata and its
    /// usage. Without this a file with such a line is refused. Only for names that nobody can choose.
    #[serde(default)]
    pub configured_consumers: bool,

    /// The plan of consumers that are not in `consumers` where their line has none. Without this each of these lines needs its
    /// `plan`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub plan: Option<String>,

    /// The groups that consumers are in that are not in `consumers`, as in `consumers`.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// A line of such a file: a key as in `consumers`, and whose it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLine {
    /// As in a key of the document. It need not be the only one of this id.
    pub id: String,
    /// The name of its consumer.
    pub consumer: String,
    /// As in a key of the document.
    #[serde(default, deserialize_with = "digest_of_key")]
    pub sha256: Option<Digest>,
    /// As in a key of the document.
    #[serde(default, deserialize_with = "digest_of_key")]
    pub hmac_sha256: Option<Digest>,
    /// As in a key of the document.
    #[serde(default, deserialize_with = "given")]
    pub not_before: Option<Time>,
    /// As in a key of the document.
    #[serde(default, deserialize_with = "given")]
    pub expires_at: Option<Time>,
    /// As in a key of the document.
    #[serde(default)]
    pub disabled: bool,
    /// The plan of its consumer, if that is not in `consumers`.
    #[serde(default, deserialize_with = "given")]
    pub plan: Option<String>,
    /// As in a key of the document.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl KeyLine {
    /// What it has as a key of a document has it, and beside that its consumer, its plan and its metadata.
    pub fn into_parts(self) -> (KeyConfig, String, Option<String>, BTreeMap<String, String>) {
        let Self { id, consumer, sha256, hmac_sha256, not_before, expires_at, disabled, plan, metadata } =
            self;
        let key = KeyConfig {
            id,
            sha256,
            hmac_sha256,
            not_before,
            expires_at,
            disabled,
            plan: None,
            limits: Vec::new(),
            metadata: BTreeMap::new(),
        };
        (key, consumer, plan, metadata)
    }
}

const fn timeout() -> Duration {
    Duration::from_secs(2)
}

const fn refresh() -> Duration {
    Duration::from_secs(600)
}

const fn max_size() -> Size {
    Size::from_bytes(512 << 20)
}
