//! What can go wrong with a message, and what is done then.
//!
//! A rule says so for each kind of trouble: `skip` leaves out the operation, `pass` leaves out the whole rule, `error` answers
//! the client. Without a word, what is missing is skipped, and everything else is an error: a rule that takes something out of
//! a message is not got around by a message that it can't read.

use std::borrow::Cow;
use std::fmt;

use meshgate_policy::exchange::Reply;
use meshgate_policy::host::Side;
use meshgate_policy::problem::{Problem, title};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// What can go wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A body of a JSON type that is not JSON, or deeper than is read.
    InvalidJson,
    /// What an operation reads, removes or renames is not there.
    Missing,
    /// A place can't take the value: an object for a header, a member for a number, a path that leads out of its root.
    WrongType,
    /// The body is larger than the limit, as it came or decoded.
    OverLimit,
    /// The body has an encoding that is not known, or is not what its `content-encoding` says.
    Undecodable,
    /// A template or condition has no value.
    Template,
}

impl Trouble {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::InvalidJson,
        Self::Missing,
        Self::WrongType,
        Self::OverLimit,
        Self::Undecodable,
        Self::Template,
    ];

    /// The name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::Missing => "missing",
            Self::WrongType => "wrong_type",
            Self::OverLimit => "over_limit",
            Self::Undecodable => "undecodable",
            Self::Template => "template",
        }
    }

    /// The status of the answer where the rule does not say one. A request is the client's fault, a response the
    /// upstream's (RFC 9110 section 15).
    pub const fn status(self, side: Side) -> u16 {
        match (side, self) {
            (Side::Request, Self::OverLimit) => 413,
            (Side::Request, Self::Undecodable) => 415,
            (Side::Request, _) => 400,
            (Side::Response, _) => 502,
        }
    }

    /// What access logs read.
    const fn details(self) -> &'static str {
        match self {
            Self::InvalidJson => "meshgate_transform_invalid_json",
            Self::Missing => "meshgate_transform_missing",
            Self::WrongType => "meshgate_transform_wrong_type",
            Self::OverLimit => "meshgate_transform_over_limit",
            Self::Undecodable => "meshgate_transform_undecodable",
            Self::Template => "meshgate_transform_template",
        }
    }

    /// The answer to the client. It tells nothing of the rule, nor of what was in the message.
    pub fn reply(self, side: Side, status: Option<u16>) -> Reply {
        let detail = match (side, self) {
            (Side::Request, Self::InvalidJson) => "The request's body is not valid JSON.",
            (Side::Request, Self::Missing) => "The request lacks a value that it must have.",
            (Side::Request, Self::WrongType) => {
                "A value in the request is not of the type that it must have."
            }
            (Side::Request, Self::OverLimit) => "The request's body is too large.",
            (Side::Request, Self::Undecodable) => "The request's body can't be decoded.",
            (Side::Request, Self::Template) => "The request holds values that can't be used.",
            (Side::Response, _) => "The gateway could not process the upstream's response.",
        };
        let status = status.unwrap_or_else(|| self.status(side));
        Problem::new(status, title(status)).detail(detail).reply(self.details())
    }
}

/// What is done about trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Leave out the operation.
    Skip,
    /// Leave out the rule.
    Pass,
    /// Answer the client, with this status or the usual one.
    Error(Option<u16>),
}

/// What a rule does about each kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnError([Remedy; Trouble::ALL.len()]);

impl OnError {
    /// What to do about this.
    pub fn remedy(&self, trouble: Trouble) -> Remedy {
        self.0.get(trouble as usize).copied().unwrap_or(Remedy::Error(None))
    }

    /// Whether trouble, other than that something is missing, leaves out operations or the rule.
    pub fn leaves_out(&self) -> bool {
        let mut others = Trouble::ALL.into_iter().filter(|trouble| *trouble != Trouble::Missing);
        others.any(|trouble| !matches!(self.remedy(trouble), Remedy::Error(_)))
    }

    fn set(&mut self, trouble: Trouble, remedy: Remedy) {
        if let Some(place) = self.0.get_mut(trouble as usize) {
            *place = remedy;
        }
    }
}

impl Default for OnError {
    fn default() -> Self {
        let mut all = Self([Remedy::Error(None); Trouble::ALL.len()]);
        all.set(Trouble::Missing, Remedy::Skip);
        all
    }
}

/// What each kind of trouble leads to; the names are those of [`Trouble::name`].
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Remedies")]
struct Document {
    /// The body is of a JSON type, but is not JSON, or is nested too deep. Without this: `error`.
    #[serde(default)]
    invalid_json: Given,
    /// What an operation reads, removes or renames is not there. Without this: `skip`.
    #[serde(default)]
    missing: Given,
    /// A place can't take the value. Without this: `error`.
    #[serde(default)]
    wrong_type: Given,
    /// The body is larger than `body_limit`. Without this: `error`.
    #[serde(default)]
    over_limit: Given,
    /// The body's `content-encoding` is not known, or not true. Without this: `error`.
    #[serde(default)]
    undecodable: Given,
    /// A template, or the condition of the rule, has no value. Without this: `error`.
    #[serde(default)]
    template: Given,
}

#[derive(Default)]
struct Given(Option<Remedy>);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Remedy::deserialize(deserializer).map(|remedy| Self(Some(remedy)))
    }
}

impl JsonSchema for Given {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Remedy::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Remedy>()
    }
}

impl<'de> Deserialize<'de> for OnError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnErrorVisitor;

        impl<'de> Visitor<'de> for OnErrorVisitor {
            type Value = OnError;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "pass, skip or error for all trouble, or an object with one of them for each kind",
                )
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<OnError, E> {
                let remedy = word(name).ok_or_else(|| E::invalid_value(de::Unexpected::Str(name), &self))?;
                Ok(OnError([remedy; Trouble::ALL.len()]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OnError, A::Error> {
                let given = Document::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let mut all = OnError::default();
                for (trouble, given) in [
                    (Trouble::InvalidJson, given.invalid_json),
                    (Trouble::Missing, given.missing),
                    (Trouble::WrongType, given.wrong_type),
                    (Trouble::OverLimit, given.over_limit),
                    (Trouble::Undecodable, given.undecodable),
                    (Trouble::Template, given.template),
                ] {
                    if let Some(remedy) = given.0 {
                        all.set(trouble, remedy);
                    }
                }
                Ok(all)
            }
        }

        deserializer.deserialize_any(OnErrorVisitor)
    }
}

impl JsonSchema for OnError {
    fn schema_name() -> Cow<'static, str> {
        "OnError".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What to do about trouble: one remedy for all of it, or one for each kind.",
            "oneOf": [{"type": "string", "enum": ["skip", "pass", "error"]}, generator.subschema_for::<Document>()],
        })
    }
}

impl<'de> Deserialize<'de> for Remedy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RemedyVisitor;

        impl<'de> Visitor<'de> for RemedyVisitor {
            type Value = Remedy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pass, skip, error, or an error with its status, such as {error: 422}")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Remedy, E> {
                word(name).ok_or_else(|| E::invalid_value(de::Unexpected::Str(name), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Remedy, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Answer {
                    error: Status,
                }
                let answer = Answer::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Remedy::Error(Some(answer.error.0)))
            }
        }

        deserializer.deserialize_any(RemedyVisitor)
    }
}

impl JsonSchema for Remedy {
    fn schema_name() -> Cow<'static, str> {
        "Remedy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`skip` leaves out the operation, `pass` leaves out the rule, `error` answers the client, with a status if \
                it is `{error: 422}`.",
            "oneOf": [
                {"type": "string", "enum": ["skip", "pass", "error"]},
                {
                    "type": "object",
                    "properties": {"error": {"type": "integer", "minimum": 400, "maximum": 599}},
                    "required": ["error"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// The status of an error.
struct Status(u16);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        let status = u16::try_from(number).ok().filter(|status| (400..=599).contains(status));
        status.map(Self).ok_or_else(|| {
            de::Error::invalid_value(de::Unexpected::Unsigned(number), &"the status of an error, 400 to 599")
        })
    }
}

fn word(name: &str) -> Option<Remedy> {
    match name {
        "skip" => Some(Remedy::Skip),
        "pass" => Some(Remedy::Pass),
        "error" => Some(Remedy::Error(None)),
        _ => None,
    }
}
