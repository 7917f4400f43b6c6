//! The configuration document.

mod action;
mod find;

use std::fmt;

use meshgate_json::Path;
use meshgate_policy::condition::Condition;
use meshgate_policy::config::{OneOrMany, Size};
use meshgate_policy::digest::Digest;
use meshgate_policy::matching::{Match, Pattern};
use meshgate_policy::media_type::MediaTypePattern;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer};

pub use self::action::{ActionConfig, BlockConfig, MaskConfig};
pub use self::find::{CustomFind, FindConfig};
use crate::place::Place;

/// Data-loss prevention: what must not pass in requests and responses, where it is looked for, and what becomes of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is looked for and what is done. Each finding is dealt with by the first rule that is for it; rules that only
    /// report do not end the search. 1 to 64 rules.
    #[schemars(length(min = 1, max = 64))]
    pub rules: Vec<RuleConfig>,

    /// What no rule takes for a finding.
    #[serde(default)]
    pub allow: AllowConfig,

    /// Which bodies are looked into, and what happens to those that can't be.
    #[serde(default)]
    pub bodies: BodiesConfig,

    /// The key of the HMAC-SHA256 behind `hash`, and behind the digests of findings in logs: 16 bytes or more. Gateways that
    /// have the same key make the same tokens. Never shown.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", length(min = 16))]
    pub hmac_key: Option<HmacKey>,

    /// All rules report only, as if each had `shadow: true`.
    #[serde(default)]
    pub shadow: bool,

    /// One line in the proxy's log for each exchange in which something was found: kinds, places and counts.
    #[serde(default)]
    pub log: bool,

    /// Whether access logs can read what was found: `%FILTER_STATE(wasm.meshgate.dlp:PLAIN)%`.
    #[serde(default)]
    pub filter_state: bool,

    /// Says that the filter's Envoy configuration has the option of the same name. Rules that block for what is in a
    /// response's body need both: the head of the response waits for its body then.
    #[serde(default)]
    pub allow_on_headers_stop_iteration: bool,
}

/// A rule: what is looked for, where, and what is done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// What logs call the rule. Without this: its place in the list, `rules[0]`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", length(min = 1, max = 128))]
    pub name: Option<String>,

    /// What is looked for: packs (`payment`), detectors (`us.ssn`), or expressions and words of your own.
    pub find: OneOrMany<FindConfig>,

    /// Where it is looked for.
    #[serde(rename = "in")]
    pub places: OneOrMany<Place>,

    /// What is done with it.
    #[serde(rename = "do")]
    pub action: ActionConfig,

    /// The requests and responses that the rule is for. Without this: all.
    #[serde(default, rename = "match", deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Match")]
    pub matches: Option<Match>,

    /// The rule is for exchanges for which this condition holds, or fails: a rule is not evaded by an error.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Condition")]
    pub when: Option<Condition>,

    /// How sure a detector must be: 0 to 100. Checksums and the names beside a value (`"card": ...`) make it surer.
    #[serde(default = "crate::rules::default_confidence")]
    #[schemars(range(max = 100))]
    pub min_confidence: u8,

    /// Report what is found and change nothing: to see what a rule would do.
    #[serde(default)]
    pub shadow: bool,

    /// Only header fields, cookies and query parameters of these names, in any case.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<String>")]
    pub only: Option<OneOrMany<String>>,

    /// No header fields, cookies and query parameters of these names, in any case. Without this, in `request.headers`:
    /// those that carry credentials for the upstream.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<String>")]
    pub except: Option<OneOrMany<String>>,

    /// In JSON bodies, and in the JSON of event streams, only the values at these paths, and all that is in them. JSON
    /// Pointers, or JSONPath. Bodies that are not JSON are not looked into by this rule.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<Path>")]
    pub json: Option<OneOrMany<Path>>,

    /// What this rule does not take for a finding.
    #[serde(default)]
    pub allow: AllowConfig,
}

/// What is no finding, though it looks like one. Spaces and hyphens in a value make no difference for `values` and `sha256`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowConfig {
    /// These values.
    #[serde(default)]
    pub values: Vec<String>,

    /// The values with these SHA-256 digests, in hexadecimal, so that they need not stand here: of the value without spaces
    /// and hyphens.
    #[serde(default)]
    #[schemars(with = "Vec<Digest>")]
    pub sha256: Vec<ValueDigest>,

    /// Values that are one of these regular expressions, from the first byte to the last.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub regex: Vec<WholePattern>,

    /// The card numbers that payment providers publish for tests.
    #[serde(default)]
    pub test_cards: bool,
}

/// No values.
impl fmt::Debug for AllowConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllowConfig")
            .field("values", &self.values.len())
            .field("sha256", &self.sha256.len())
            .field("regex", &self.regex.len())
            .field("test_cards", &self.test_cards)
            .finish()
    }
}

/// Which bodies are looked into, and what happens to those that can't be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BodiesConfig {
    /// The media types of bodies that are looked into. Without this: JSON, NDJSON, event streams, forms, XML, and all of
    /// `text/*`. Bodies without a type are looked into too; gRPC, WebSocket and CONNECT never are.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "OneOrMany<MediaTypePattern>")]
    pub content_types: Option<OneOrMany<MediaTypePattern>>,

    /// The most that is held of a body which has to be whole before anything of it passes, because a rule blocks for it or
    /// drops fields of it. Other bodies are looked into as they pass, whatever their size.
    pub max_held: Size,

    /// What happens to a body that has to be held and is larger.
    pub over_limit: Uninspected,

    /// What happens to a body that can't be decoded: a content coding other than gzip, deflate and br, a broken one, or one
    /// that decodes to more than `max_ratio` allows; and a `charset` that does not write ASCII as ASCII, such as UTF-16.
    pub undecodable: Uninspected,

    /// How many bytes a byte of an encoded body may become, on the whole. Encoded bodies may be a trap.
    #[schemars(range(min = 1))]
    pub max_ratio: u32,

    /// Whether what was decoded is encoded again. Otherwise it passes decoded, without `content-encoding`.
    pub recompress: bool,

    /// What the upstream reads in `accept-encoding` where its response is to be looked into.
    pub accept_encoding: AcceptEncoding,

    /// Whether clients may ask for parts of a response that is to be looked into. With `range` a client can have a value cut
    /// into pieces that nothing is found in, so by default the field is removed, and the upstream sends all.
    pub keep_ranges: bool,
}

/// What happens to a body that should be looked into, and can't be.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Uninspected {
    /// It does not pass: the client gets 413 or 415 for a request, 502 for a response. Where the head of a response has
    /// passed already, the response breaks off.
    Block,
    /// It passes as it is, and is counted.
    Pass,
}

/// What the upstream reads in `accept-encoding`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum AcceptEncoding {
    /// What the client sent, without codings that can't be decoded here.
    Decodable,
    /// `identity`: no encoded responses. The cheapest where the upstream is near.
    Identity,
    /// What the client sent.
    Keep,
}

impl Default for BodiesConfig {
    fn default() -> Self {
        Self {
            content_types: None,
            max_held: Size::from_bytes(1 << 20),
            over_limit: Uninspected::Block,
            undecodable: Uninspected::Block,
            max_ratio: 200,
            recompress: true,
            accept_encoding: AcceptEncoding::Decodable,
            keep_ranges: false,
        }
    }
}

/// A key. Reads as text, and shows nothing of itself.
pub struct HmacKey(Box<[u8]>);

impl HmacKey {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey")
    }
}

impl<'de> Deserialize<'de> for HmacKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        if key.len() < MIN_KEY {
            let found = format!("a key of {} bytes", key.len());
            return Err(de::Error::invalid_value(
                de::Unexpected::Other(&found),
                &"a key of 16 bytes or more",
            ));
        }
        Ok(Self(key.into_bytes().into()))
    }
}

const MIN_KEY: usize = 16;

/// A regular expression for a whole value.
#[derive(Clone, Debug)]
pub struct WholePattern(pub Pattern);

impl<'de> Deserialize<'de> for WholePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Pattern::whole(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// The digest of a value.
#[derive(Debug)]
pub struct ValueDigest(pub Digest);

impl<'de> Deserialize<'de> for ValueDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What stands here by mistake may be the value itself: only its length is said.
        let found = format!("a string of {} characters", text.chars().count());
        let expected = "the SHA-256 of the value as 64 hexadecimal digits: printf %s \"$VALUE\" | sha256sum";
        Digest::from_hex(&text)
            .map(Self)
            .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Other(&found), &expected))
    }
}

/// A field that is there says something: `null` is not a way to leave it out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
