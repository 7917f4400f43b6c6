//! The configuration document.

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{OneOrMany, Size};
use meshgate_policy::matching::Match;
use meshgate_policy::media_type::MediaTypePattern;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::Deserializer;

use crate::literal::Literal;
use crate::trouble::OnError;

/// Requests and responses, rewritten by rules.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What to rewrite. Every rule that holds is applied, in order; each sees what those before it have made of the message.
    /// At least one.
    #[schemars(length(min = 1))]
    pub rules: Vec<RuleConfig>,

    /// The largest body that rules read, in bytes, as it comes and once it is decoded. Envoy has a limit of its own
    /// (`per_connection_buffer_limit_bytes`, 1 MiB), which has to be as large.
    #[serde(default = "body_limit")]
    #[schemars(extend("default" = "1MiB"))]
    pub body_limit: Size,

    /// The media types of bodies that are JSON. Bodies of other types are not looked into.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "OneOrMany<MediaTypePattern>", extend("default" = ["application/json", "*/*+json"]))]
    pub json_types: Option<OneOrMany<MediaTypePattern>>,

    /// How a body leaves that came encoded (`gzip`, `deflate`, `br`) and was changed. `identity` needs
    /// `allow_on_headers_stop_iteration`.
    #[serde(default)]
    #[schemars(extend("default" = "keep"))]
    pub encoded_bodies: EncodedBodies,

    /// How many bytes a byte of an encoded body may become, on the whole. Encoded bodies may be a trap.
    #[serde(default = "max_ratio")]
    #[schemars(extend("default" = 200), range(min = 1))]
    pub max_ratio: u32,

    /// Whether heads may wait for their bodies. Set it together with the option of the same name in Envoy's `PluginConfig`:
    /// alone, every message whose body is read hangs. With it, a body can be copied into the head, and trouble with the body
    /// of a response becomes an answer where the connection would be cut without it.
    #[serde(default)]
    pub allow_on_headers_stop_iteration: bool,
}

/// How a body leaves that came encoded and was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncodedBodies {
    /// Encoded as it came.
    #[default]
    Keep,
    /// Plain, and without `content-encoding`.
    Identity,
}

/// What to rewrite of which messages.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["request"]}, {"required": ["response"]}]))]
pub struct RuleConfig {
    /// The requests, and their responses, that this is for. Asked about the message as it arrived. Without this: all.
    #[serde(default, rename = "match", deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Match")]
    pub matches: Option<Match>,

    /// A condition that must hold as well, on the message as it arrived.
    #[serde(default, deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Condition")]
    pub when: Option<Condition>,

    /// What to do with the request, in order.
    #[serde(default)]
    pub request: Vec<Operation>,

    /// What to do with the response, in order.
    #[serde(default)]
    pub response: Vec<Operation>,

    /// What to do where this can't be done: one remedy for all trouble, or one for each kind.
    #[serde(default)]
    pub on_error: OnError,
}

/// One thing to do to a message. Operations see what those before them have made of it; templates see it as it arrived.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Write a value, over what is there.
    Set(WriteConfig),
    /// Write a value where there is none.
    Add(WriteConfig),
    /// Write a value behind those that are there: a line of a field, a parameter, an element of a JSON array.
    Append(WriteConfig),
    /// Remove what has this name, all of its values.
    Remove(NamesConfig),
    /// Give a name to the values that another name has.
    Rename(RenameConfig),
    /// Write to one place what another place holds.
    Copy(TransferConfig),
    /// The same, and remove it where it was.
    Move(TransferConfig),
    /// Remove everything but this.
    Keep(NamesConfig),
}

/// A place, and the value that it gets.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [
    {"required": ["header", "to"]}, {"required": ["query", "to"]}, {"required": ["cookie", "to"]},
    {"required": ["json", "to"]}, {"required": ["path"]}, {"required": ["method"]}, {"required": ["host"]},
    {"required": ["status"]}, {"required": ["body"]}
], "dependentRequired" = {"attributes": ["cookie"], "content_type": ["body"]}))]
pub struct WriteConfig {
    /// A header field, with its value in `to`.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"x-user-id")]
    pub header: Option<String>,

    /// A query parameter by its decoded name, with its decoded value in `to`.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"debug")]
    pub query: Option<String>,

    /// A cookie, with its value in `to`: of a request in `cookie`, of a response in `set-cookie`.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"session")]
    pub cookie: Option<String>,

    /// Of a response's cookie: what follows the value, such as `Path=/; HttpOnly`. Without this, a cookie that is there keeps
    /// its own.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"Path=/; Secure; HttpOnly")]
    pub attributes: Option<String>,

    /// A place in a JSON body, with its value in `to`: a JSON Pointer (RFC 6901) or a JSONPath (RFC 9535).
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"/user/name")]
    pub json: Option<String>,

    /// The value: a string is a template; numbers, booleans, null, lists and objects are JSON values.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Literal")]
    pub to: Option<Literal>,

    /// The path of the request, a template whose values are percent-encoded; the query stays. `{rest...}` is what that name in
    /// the path of `match` stood for, with its slashes.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"/v2/{rest...}")]
    pub path: Option<String>,

    /// The method of the request.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"PUT")]
    pub method: Option<String>,

    /// The host of the request, with a port if need be.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"api.internal")]
    pub host: Option<String>,

    /// The status of the response, 200 to 599.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "StatusSchema")]
    pub status: Option<Literal>,

    /// The whole body, of a message that has one: a template as a string, or a JSON value with templates in it.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "Literal")]
    pub body: Option<Literal>,

    /// The media type of that body, which also says how templates write values into it (JSON, XML, HTML or as they are). It
    /// becomes the message's `content-type`. Without this: `application/json`.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"text/html; charset=utf-8")]
    pub content_type: Option<String>,
}

/// A status, or a template for one.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "it only describes what a document may hold")]
enum StatusSchema {
    Number(u16),
    Template(String),
}

/// Names of one kind: one, or a list of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamesConfig {
    /// Header fields.
    Header(OneOrMany<String>),
    /// Query parameters, by their decoded names.
    Query(OneOrMany<String>),
    /// Cookies: of a request in `cookie`, of a response in `set-cookie`.
    Cookie(OneOrMany<String>),
    /// Places in a JSON body.
    Json(OneOrMany<String>),
}

/// A name, and the name that takes its place.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["to"], "minProperties" = 2, "maxProperties" = 2))]
pub struct RenameConfig {
    /// A header field.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub header: Option<String>,

    /// A query parameter, by its decoded name.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub query: Option<String>,

    /// A cookie: of a request in `cookie`, of a response in `set-cookie`.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    pub cookie: Option<String>,

    /// A member of a JSON object, which keeps its place in it.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"/user/fullName")]
    pub json: Option<String>,

    /// The new name; of a member of a JSON object its new key, not a path.
    #[serde(deserialize_with = "given")]
    #[schemars(skip_serializing_if = "Option::is_none", with = "String", example = &"name")]
    pub to: Option<String>,
}

/// From where to where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferConfig {
    /// What is read.
    pub from: From,

    /// What is written, over what is there.
    pub to: To,
}

/// What is read: `path`, or `{header: x-user}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The path of the request, without its query.
    Path,
    /// The method of the request.
    Method,
    /// The host of the request.
    Host,
    /// The status of the response.
    Status,
    /// The whole body, as text.
    Body,
    /// A header field, all of its lines.
    Header(String),
    /// A query parameter by its decoded name, all of its values.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// What a name in the path of `match` stood for.
    Capture(String),
    /// A place in a JSON body, or several by a JSONPath.
    Json(String),
}

/// What is written: `path`, or `{header: x-user}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// The path of the request; its query stays.
    Path,
    /// The method of the request.
    Method,
    /// The host of the request.
    Host,
    /// The status of the response.
    Status,
    /// The whole body, of a message that has one.
    Body,
    /// A header field.
    Header(String),
    /// A query parameter, by its decoded name.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// A place in a JSON body.
    Json(String),
}

const fn body_limit() -> Size {
    Size::from_bytes(1 << 20)
}

const fn max_ratio() -> u32 {
    200
}

/// A field that is there says something: `null` is not a way to leave it out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
