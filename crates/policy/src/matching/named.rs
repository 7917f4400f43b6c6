//! Conditions by name: `{x-env: prod, x-team: [a, b]}`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::value::ValueMatch;
use crate::config::OneOrMany;
use crate::headers::HeaderName;

/// Conditions on the values of names, in the order they were written. All of them must hold.
#[derive(Clone)]
pub struct Named<N>(Vec<(N, OneOrMany<ValueMatch>)>);

impl<N> Named<N> {
    /// Whether all hold. `any` tells whether a test holds for any of the values that a name has.
    pub(super) fn hold<K: ?Sized>(&self, any: impl Fn(&K, &dyn Fn(&[u8]) -> bool) -> bool) -> bool
    where
        N: AsRef<K>,
    {
        self.0.iter().all(|(name, conditions)| {
            conditions.iter().any(|condition| condition.holds(&|test| any(name.as_ref(), test)))
        })
    }
}

impl<N> Named<N> {
    /// The names.
    pub(super) fn names(&self) -> impl Iterator<Item = &N> {
        self.0.iter().map(|(name, _)| name)
    }
}

impl<N: fmt::Debug> fmt::Debug for Named<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, conditions)| (name, conditions))).finish()
    }
}

impl<'de, N: Deserialize<'de> + PartialEq> Deserialize<'de> for Named<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<N>(PhantomData<N>);

        impl<'de, N: Deserialize<'de> + PartialEq> de::Visitor<'de> for Visitor<N> {
            type Value = Named<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of names and the conditions on their values")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Named<N>, A::Error> {
                let mut conditions: Vec<(N, OneOrMany<ValueMatch>)> = Vec::new();
                while let Some(name) = map.next_key::<N>()? {
                    if conditions.iter().any(|(earlier, _)| *earlier == name) {
                        return Err(de::Error::custom("the same name twice, in upper and lower case"));
                    }
                    conditions.push((name, map.next_value()?));
                }
                if conditions.is_empty() {
                    return Err(de::Error::invalid_length(0, &"at least one name"));
                }
                Ok(Named(conditions))
            }
        }

        deserializer.deserialize_map(Visitor(PhantomData))
    }
}

impl<N> JsonSchema for Named<N> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Named".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "additionalProperties": generator.subschema_for::<OneOrMany<ValueMatch>>(),
        })
    }
}

/// The name of a header field that requests have, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(HeaderName);

impl AsRef<str> for FieldName {
    fn as_ref(&self) -> &str {
        self.0.as_str()
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let part = match name.to_ascii_lowercase().as_str() {
            ":authority" | "host" => Some("host"),
            ":method" => Some("method"),
            ":path" => Some("path and query"),
            ":status" => Some("status"),
            _ => None,
        };
        if let Some(part) = part {
            return Err(de::Error::custom(format!("{name} is no header field here: use {part}")));
        }
        HeaderName::new(&name).map(Self).map_err(de::Error::custom)
    }
}
