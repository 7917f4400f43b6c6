//! Conditions: `when: request.query.debug == "1" and consumer.plan != "free"`.
//!
//! A condition is an [`expression`](crate::expression) that is true or false, for what a `match` block cannot say. It is
//! compiled while the configuration is read, and costs a few hundred nanoseconds where `match` costs a few.

use std::borrow::Cow;
use std::fmt;

use minijinja::{ErrorKind, Expression};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::expression::{ExpressionError, Needs, Scope, captures, compile};

/// A compiled condition.
pub struct Condition {
    expression: Expression<'static, 'static>,
    source: Box<str>,
    needs: Needs,
    captures: Vec<Box<str>>,
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// [`ExpressionError`] if it is malformed, or names something that does not exist.
    pub fn new(source: &str) -> Result<Self, ExpressionError> {
        let expression = compile(source)?;
        let needs = Needs::of(&expression);
        let captures = captures(source).map(Into::into).collect();
        Ok(Self { expression, source: source.into(), needs, captures })
    }

    /// Whether it is true. Numbers other than 0, texts and lists that are not empty are true as well.
    ///
    /// # Errors
    /// [`ConditionError`] if there is no answer: a text that should be a number is none, a parameter is there twice, there
    /// is no response yet. A client can bring that about, so it must not open anything: a rule whose condition fails does
    /// not hold if it permits or relaxes something, and a policy that protects something refuses the request.
    pub fn holds(&self, scope: &Scope) -> Result<bool, ConditionError> {
        let value =
            self.expression.eval(scope.root()).map_err(|error| ConditionError { kind: error.kind() })?;
        Ok(value.is_true())
    }

    /// All that it asks for.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// The names that it asks `path` for: what is not in the path of `match` is never there.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.captures.iter().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": crate::expression::MAX_LENGTH,
            "description": "A Jinja expression over `request`, `path`, `response`, `body`, `consumer` and `now`.",
            "examples": ["request.query.debug == \"1\" and consumer.plan != \"free\""],
        })
    }
}

/// A condition that has no answer for this exchange. Says what kind of thing went wrong and shows no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionError {
    kind: ErrorKind,
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the condition has no answer: {}", self.kind)
    }
}

impl std::error::Error for ConditionError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::RequestHead;
    use crate::headers::Headers;
    use crate::host::Timestamp;
    use crate::matching::Match;
    use minijinja::Value;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn scope() -> Scope {
        let headers = Headers::from_pairs(vec![
            (":method", &b"POST"[..]),
            (":authority", b"API.example.com:443"),
            (":scheme", b"https"),
            (":path", b"/v1/%75sers/a%2Fb?debug=1&two=x&two=y&n=12&raw=%ff+%2B"),
            ("x-one", b"one"),
            ("x-two", b"a"),
            ("x-two", b"b"),
            ("x-empty", b""),
            ("x-raw", b"caf\xe9"),
            ("x-pose", "caf\u{10ffe9}".as_bytes()),
            ("cookie", b"s=1"),
            ("cookie", b"t=2; t=3"),
        ]);
        let head = RequestHead::new(&headers);
        let mut scope = Scope::new(&head);
        let rule: Match =
            crate::config::load(br#"{"path": "/v1/users/{id}"}"#, &crate::config::Options::default())
                .unwrap();
        scope.set_captures(&rule.captures(&head));
        scope
    }

    fn holds(source: &str, scope: &Scope) -> Option<bool> {
        Condition::new(source).unwrap_or_else(|error| panic!("{source}: {error}")).holds(scope).ok()
    }

    #[test]
    fn requests_can_be_asked_for_everything() {
        let scope = scope();
        for (source, expected) in [
            ("request.method == 'POST'", Some(true)),
            ("request.path == '/v1/users/a%2Fb'", Some(true)),
            ("request.query_string is startingwith 'debug=1&two'", Some(true)),
            ("request.host == 'api.example.com'", Some(true)),
            ("request.scheme == 'https'", Some(true)),
            ("request.headers['x-one'] == 'one'", Some(true)),
            ("request.headers['X-One'] == 'one'", Some(true)),
            ("request.headers['x-two'] == 'a, b'", Some(true)),
            ("request.headers.cookie == 's=1; t=2; t=3'", Some(true)),
            ("request.headers_all['x-two'] == ['a', 'b']", Some(true)),
            ("'b' in request.headers_all['x-two']", Some(true)),
            ("request.headers_all.none == []", Some(true)),
            ("'x-one' in request.headers and 'x-none' not in request.headers", Some(true)),
            ("request.headers['x-empty'] is defined and not request.headers['x-empty']", Some(true)),
            ("request.headers['x-none'] is defined", Some(false)),
            ("request.headers['x-none'] == 'x'", Some(false)),
            ("request.headers['x-none']", Some(false)),
            ("request.headers['x-none']|default('d') == 'd'", Some(true)),
            ("request.headers['x-none']|lower == ''", Some(true)),
            ("request.query.debug == '1'", Some(true)),
            ("request.query.n|int > 11 and request.query.n|int < 13", Some(true)),
            ("request.query_all.two|join('+') == 'x+y'", Some(true)),
            ("request.query_all.two|length == 2", Some(true)),
            ("request.cookies.s == '1'", Some(true)),
            ("path.id == 'a/b'", Some(true)),
            ("path.other", Some(false)),
            ("consumer", Some(false)),
            ("consumer.plan == 'gold'", Some(false)),
            ("request.method|lower in ['put', 'post']", Some(true)),
            ("request.path|split('/')|last == 'a%2Fb'", Some(true)),
            ("request.path[0:3] == '/v1'", Some(true)),
            // No answer: not true, and not false either.
            ("request.query.two == 'x'", None),
            ("request.query.two != 'x'", None),
            ("not request.query.two", None),
            ("request.cookies.t", None),
            ("request.query.debug == '1' or request.query.two", Some(true)),
            ("request.method|int > 1", None),
            ("response.status == 200", None),
            ("not response.status", None),
            ("1 // (request.query.n|int - 12)", None),
        ] {
            assert_eq!(holds(source, &scope), expected, "{source}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_equal_only_themselves() {
        let scope = scope();
        assert_eq!(holds("request.headers['x-raw'] == request.headers['x-pose']", &scope), Some(false));
        assert_eq!(holds("request.headers['x-raw'] == 'caf\u{fffd}'", &scope), Some(false));
        assert_eq!(holds("request.headers['x-raw'] == request.headers['x-raw']", &scope), Some(true));
        assert_eq!(holds("request.headers['x-raw']|upper is startingwith 'CAF'", &scope), Some(true));
        assert_eq!(holds("request.query.raw|length == 3", &scope), Some(true));
    }

    #[test]
    fn responses_and_consumers_come_later() {
        let mut scope = scope();
        scope.set_response(&Headers::from_pairs([
            (":status", "503"),
            ("server", "x"),
            ("via", "a"),
            ("via", "b"),
        ]));
        scope.set_consumer(Value::from_pairs([("name", "acme"), ("plan", "gold")]));
        for (source, expected) in [
            ("response.status == 503", true),
            ("response.status >= 500", true),
            ("response.headers.via == 'a, b'", true),
            ("response.headers_all.via[1] == 'b'", true),
            ("consumer.plan == 'gold'", true),
            ("consumer and consumer.name != 'acme'", false),
            ("consumer.other", false),
        ] {
            assert_eq!(holds(source, &scope), Some(expected), "{source}");
            assert_eq!(
                Condition::new(source).unwrap().needs().response,
                source.starts_with("response"),
                "{source}"
            );
        }
    }

    #[test]
    fn bodies_and_times_are_seen_where_they_are_set() {
        let mut scope = scope();
        for source in ["body.price > 1", "not body.price", "now.unix > 0"] {
            assert_eq!(holds(source, &scope), None, "{source}");
        }
        scope.set_body(
            br#"{"price": 1.10, "big": 10000000000000000000000000001, "tags": ["a"], "nil": null}"#,
        );
        scope.set_now(Timestamp::from_nanos(2_000_000_000));
        for (source, expected) in [
            ("body.price > 1 and body.price < 1.2 and body.price == 1.1", Some(true)),
            ("body.big > 10000000000000000000000000000", Some(true)),
            ("body.price|int == 1 and body.price is number", Some(true)),
            ("'a' in body.tags and body.nil is none and body.nope is undefined", Some(true)),
            ("body.nope.deeper == 1", None),
            ("now.unix == 2 and now.date == '1970-01-01'", Some(true)),
        ] {
            assert_eq!(holds(source, &scope), expected, "{source}");
        }
        let needs = Condition::new("body.a or consumer.name or now.unix").unwrap();
        assert!(needs.needs().body && needs.needs().consumer && !needs.needs().response && needs.needs().now);
    }

    #[test]
    fn errors_show_no_value() {
        let error = Condition::new("request.headers['x-one'] - 1").unwrap().holds(&scope()).unwrap_err();
        assert_eq!(error.to_string(), "the condition has no answer: invalid operation");
        assert!(!format!("{error:?} {:?}", scope()).contains("caf"));
    }

    #[test]
    fn a_wrong_condition_is_a_configuration_error() {
        #[derive(Debug, Deserialize)]
        struct Rule {
            #[serde(rename = "when")]
            _when: Condition,
        }
        let load = |document: &[u8]| {
            crate::config::load::<Rule>(document, &crate::config::Options::default()).unwrap_err().to_string()
        };
        let error = load(br#"{"when": "request.metod == 'GET'"}"#);
        assert!(error.starts_with("when: ") && error.contains("did you mean method?"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert!(load(br#"{"when": true}"#).starts_with("when: "));
    }
}
