//! JSON as tokens and key sets need it read: objects only, no name twice (RFC 7519 section 4 leaves the choice, and two
//! readers that choose differently disagree about what a token says), and no deeper than a bound.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonProblem {
    /// Not JSON, not in UTF-8, or with bytes behind it.
    Syntax,
    /// Not an object.
    NotAnObject,
    /// Arrays and objects in each other, deeper than the bound.
    TooDeep,
    /// An object has a name twice.
    Repeated,
}

/// Reads an object of at most `depth` levels, itself among them.
///
/// # Errors
/// [`JsonProblem`]
pub fn object(text: &[u8], depth: usize) -> Result<Map<String, Value>, JsonProblem> {
    let problem = Cell::new(JsonProblem::Syntax);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let seed = Strict { depth, problem: &problem };
    let value = seed.deserialize(&mut deserializer).map_err(|_| problem.get())?;
    deserializer.end().map_err(|_| JsonProblem::Syntax)?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(JsonProblem::NotAnObject),
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    /// How many levels may still be entered.
    depth: usize,
    /// What an error is about: errors of serde are texts.
    problem: &'a Cell<JsonProblem>,
}

impl Strict<'_> {
    fn enter<E: de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(self.fail(JsonProblem::TooDeep)),
        }
    }

    fn fail<E: de::Error>(self, problem: JsonProblem) -> E {
        self.problem.set(problem);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.enter()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.enter()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(self.fail(JsonProblem::Repeated));
            }
            object.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn objects_are_read_as_they_are() {
        let text = r#" {"a": [1, -2, 3.5, "x\u00e9", true, null], "b": {}} "#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(object(text.as_bytes(), 2).map(Value::Object), Ok(expected));
    }

    #[test]
    fn nothing_else_is() {
        use JsonProblem::*;
        for (text, problem) in [
            (&b""[..], Syntax),
            (b"{", Syntax),
            (b"{} {}", Syntax),
            (b"{}\0", Syntax),
            (b"{\"a\": 1e999}", Syntax),
            (b"{\"a\": \"\xff\"}", Syntax),
            (b"\xef\xbb\xbf{}", Syntax),
            (b"[]", NotAnObject),
            (b"\"{}\"", NotAnObject),
            (b"{\"a\": 1, \"\\u0061\": 1}", Repeated),
            (b"{\"b\": {\"a\": 1, \"a\": 2}}", Repeated),
            (b"{\"a\": [[]]}", TooDeep),
            (b"{\"a\": {\"b\": {}}}", TooDeep),
        ] {
            assert_eq!(object(text, 2), Err(problem), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn depth_ends_before_the_stack_does() {
        let deep = format!("{{\"a\": {}", "[".repeat(100_000));
        assert_eq!(object(deep.as_bytes(), 16), Err(JsonProblem::TooDeep));
    }
}
