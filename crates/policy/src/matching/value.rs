//! Conditions on the values of a query parameter, a header field or a cookie, all of which may be repeated.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de};

use super::pattern::Pattern;
use crate::config::OneOrMany;

/// A condition on the values that one name has.
///
/// Every value is looked at: the condition holds if any of them satisfies it. What must not be among them is said with
/// `not`, which holds if no value does; that includes that there is none.
#[derive(Clone)]
pub enum ValueMatch {
    /// A value equals this.
    Exact(Box<[u8]>),
    /// A value starts with this.
    Prefix(Box<[u8]>),
    /// A value ends with this.
    Suffix(Box<[u8]>),
    /// A value holds this.
    Contains(Box<memmem::Finder<'static>>),
    /// A value holds this expression, at any place: anchors are the expression's own.
    Regex(Pattern),
    /// There is a value, if only an empty one.
    Present,
    /// None of these holds.
    Not(Vec<ValueMatch>),
}

/// Whether a test holds for any of the values that a name has.
pub(super) type AnyValue<'a> = &'a dyn Fn(&dyn Fn(&[u8]) -> bool) -> bool;

impl ValueMatch {
    /// Whether it holds for the values that `any` asks.
    pub(super) fn holds(&self, any: AnyValue<'_>) -> bool {
        match self {
            Self::Exact(wanted) => any(&|value| value == &**wanted),
            Self::Prefix(prefix) => any(&|value| value.starts_with(prefix)),
            Self::Suffix(suffix) => any(&|value| value.ends_with(suffix)),
            Self::Contains(finder) => any(&|value| finder.find(value).is_some()),
            Self::Regex(pattern) => any(&|value| pattern.matches(value)),
            Self::Present => any(&|_| true),
            Self::Not(unwanted) => !unwanted.iter().any(|unwanted| unwanted.holds(any)),
        }
    }
}

/// Kinds only: what a value is compared with may be a secret.
impl fmt::Debug for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(_) => f.write_str("Exact"),
            Self::Prefix(_) => f.write_str("Prefix"),
            Self::Suffix(_) => f.write_str("Suffix"),
            Self::Contains(_) => f.write_str("Contains"),
            Self::Regex(_) => f.write_str("Regex"),
            Self::Present => f.write_str("Present"),
            Self::Not(unwanted) => f.debug_tuple("Not").field(unwanted).finish(),
        }
    }
}

/// A condition on a value: exactly one of these.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
struct Rule {
    /// A value equals this.
    exact: Option<String>,
    /// A value starts with this.
    #[schemars(with = "Option<String>")]
    prefix: Option<Text>,
    /// A value ends with this.
    #[schemars(with = "Option<String>")]
    suffix: Option<Text>,
    /// A value holds this text.
    #[schemars(with = "Option<String>")]
    contains: Option<Text>,
    /// A value holds this regular expression (syntax of the Rust crate `regex`), at any place: anchor it with `^` and `$`.
    #[schemars(with = "Option<String>")]
    regex: Option<Anywhere>,
    /// Whether there is a value at all, if only an empty one.
    present: Option<bool>,
    /// No value satisfies this, or any of these. Holds too if there is no value.
    not: Option<OneOrMany<ValueMatch>>,
}

/// A text that is not empty: everything starts with, ends with and holds the empty one.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            Err(de::Error::invalid_value(de::Unexpected::Str(""), &"a text that is not empty"))
        } else {
            Ok(Self(text))
        }
    }
}

struct Anywhere(Pattern);

impl<'de> Deserialize<'de> for Anywhere {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Pattern::anywhere(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

impl Rule {
    fn compile(self) -> Option<ValueMatch> {
        let bytes = |text: String| text.into_bytes().into_boxed_slice();
        let finder = |text: Text| Box::new(memmem::Finder::new(text.0.as_bytes()).into_owned());
        let present =
            |present| if present { ValueMatch::Present } else { ValueMatch::Not(vec![ValueMatch::Present]) };
        let mut given = [
            self.exact.map(bytes).map(ValueMatch::Exact),
            self.prefix.map(|text| bytes(text.0)).map(ValueMatch::Prefix),
            self.suffix.map(|text| bytes(text.0)).map(ValueMatch::Suffix),
            self.contains.map(finder).map(ValueMatch::Contains),
            self.regex.map(|regex| ValueMatch::Regex(regex.0)),
            self.present.map(present),
            self.not.map(|unwanted| ValueMatch::Not(unwanted.into_iter().collect())),
        ]
        .into_iter()
        .flatten();
        match (given.next(), given.next()) {
            (only, None) => only,
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for ValueMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ValueMatch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a string, or an object with one of exact, prefix, suffix, contains, regex, present, not",
                )
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<ValueMatch, E> {
                Ok(ValueMatch::Exact(value.as_bytes().into()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ValueMatch, A::Error> {
                let rule = Rule::deserialize(de::value::MapAccessDeserializer::new(map))?;
                rule.compile().ok_or_else(|| de::Error::invalid_type(de::Unexpected::Map, &self))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for ValueMatch {
    fn schema_name() -> Cow<'static, str> {
        "ValueMatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "A string that a value equals, or a condition. Of a repeated name every value is looked at: one \
                that satisfies the condition is enough.",
            "oneOf": [{"type": "string"}, generator.subschema_for::<Rule>()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Options};
    use serde_json::{Value, json};
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn load(rule: &Value) -> Result<ValueMatch, String> {
        #[derive(Deserialize)]
        struct Document {
            rule: ValueMatch,
        }
        let document = config::from_value::<Document>(&json!({ "rule": rule }), &Options::default());
        document.map(|document| document.rule).map_err(|error| error.to_string())
    }

    fn holds(rule: &Value, values: &[&[u8]]) -> bool {
        load(rule).unwrap().holds(&|test| values.iter().any(|value| test(value)))
    }

    #[test]
    fn one_value_that_satisfies_is_enough() {
        for (rule, holding, failing) in [
            (json!("a"), &["a"][..], &["A"][..]),
            (json!("a"), &["b", "a"], &["aa", ""]),
            (json!(""), &[""], &[]),
            (json!({"exact": "a"}), &["b", "a"], &[]),
            (json!({"prefix": "ab"}), &["x", "abc"], &["a", "xab"]),
            (json!({"suffix": "ab"}), &["x", "cab"], &["b", "abx"]),
            (json!({"contains": "ab"}), &["xabx"], &["a", "b"]),
            (json!({"regex": "^prod"}), &["production"], &["preprod"]),
            (json!({"present": true}), &[""], &[]),
            (json!({"present": false}), &[], &[""]),
            (json!({"not": "a"}), &[], &["b", "a"]),
            (json!({"not": "a"}), &["b"], &["a"]),
            (json!({"not": ["a", {"prefix": "b"}]}), &["c"], &["c", "bc"]),
            (json!({"not": {"present": true}}), &[], &["a"]),
            (json!({"not": {"not": "a"}}), &["a", "b"], &["b"]),
        ] {
            let bytes =
                |values: &[&'static str]| values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>();
            assert!(holds(&rule, &bytes(holding)), "{rule} {holding:?}");
            assert!(!holds(&rule, &bytes(failing)), "{rule} {failing:?}");
        }
        assert!(holds(&json!({"contains": "a"}), &[b"\xff\0a\xfe"]));
    }

    #[test]
    fn a_condition_is_exactly_one() {
        for (rule, expected) in &[
            (json!({}), "with one of exact"),
            (json!({"exact": "a", "prefix": "b"}), "with one of exact"),
            (json!({"exact": null}), "with one of exact"),
            (json!({"equals": "a"}), "unknown field \"equals\""),
            (json!({"prefix": ""}), "not empty"),
            (json!({"regex": "("}), "unclosed group"),
            (json!({"present": "yes"}), "true or false"),
            (json!(1), "with one of exact"),
            (json!(true), "with one of exact"),
            (json!(null), "with one of exact"),
            (json!({"not": {"prefix": ""}}), "not empty"),
        ] {
            let error = load(rule).unwrap_err();
            assert!(error.contains(*expected), "{rule}: {error}");
        }
    }

    #[test]
    fn debug_output_shows_no_value() {
        let rule =
            json!({"not": ["hunter2", {"prefix": "hunter2"}, {"contains": "hunter2"}, {"regex": "hunter2"}]});
        assert_eq!(format!("{:?}", load(&rule).unwrap()), "Not([Exact, Prefix, Contains, Regex])");
    }
}
