//! A configuration document in the forms in which a proxy may hand it over.

use std::fmt;

use serde_json::{Map, Number, Value};

use crate::config::{MAX_DEPTH, MAX_SIZE};

/// A configuration document.
pub enum Document<'a> {
    /// JSON text, as it was written.
    Json(&'a [u8]),
    /// A document that is parsed already.
    Value(Value),
}

impl<'a> Document<'a> {
    /// Takes the bytes that a proxy hands over: an encoded `google.protobuf.Struct`, or else JSON text.
    ///
    /// Who writes the configuration of Envoy in YAML writes a `Struct`, and Envoy (1.36 to 1.40) hands over its encoding.
    /// No text is both: every entry of a `Struct` has a field with the tag 0x12, a byte that no JSON text holds (RFC 8259
    /// sections 2 and 7). Bytes that are neither are left to the JSON reader, which says what is wrong with them.
    pub fn decode(bytes: &'a [u8]) -> Self {
        let decoded =
            if bytes.first() == Some(&ENTRY) && bytes.len() <= MAX_SIZE { structure(bytes, 1) } else { None };
        decoded.map_or(Self::Json(bytes), |object| Self::Value(Value::Object(object)))
    }
}

/// [`Document::decode`].
impl<'a> From<&'a [u8]> for Document<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::decode(bytes)
    }
}

/// Without the content, which may hold secrets.
impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(bytes) => write!(f, "Json({} bytes)", bytes.len()),
            Self::Value(_) => f.write_str("Value(..)"),
        }
    }
}

/// The tag of `Struct.fields`, and of the key in each of its entries: field 1, length-delimited.
const ENTRY: u8 = 0x0a;

/// What stands on the wire for one field (protobuf encoding, "Message Structure").
enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

/// Decodes a `google.protobuf.Struct`. Stricter than protobuf, which passes over unknown fields and keeps the last of
/// repeated ones: whatever is not exactly a `Struct` is `None`, and so are numbers that JSON does not have.
fn structure(mut bytes: &[u8], depth: usize) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    while !bytes.is_empty() {
        let (1, Field::Bytes(mut entry)) = field(&mut bytes)? else { return None };
        let (mut key, mut value) = (None, None);
        while !entry.is_empty() {
            match field(&mut entry)? {
                (1, Field::Bytes(text)) if key.is_none() => key = Some(string(text)?),
                (2, Field::Bytes(inner)) if value.is_none() => value = Some(self::value(inner, depth)?),
                _ => return None,
            }
        }
        // A key that is left out is the empty one.
        if object.insert(key.unwrap_or_default(), value?).is_some() {
            return None;
        }
    }
    Some(object)
}

/// Decodes a `google.protobuf.Value` that is `depth` lists and objects deep: one field, which tells its kind.
fn value(mut bytes: &[u8], depth: usize) -> Option<Value> {
    // One more than the loader takes: it has the better words for what is too deep.
    let inside = || depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH.saturating_add(1));
    let value = match field(&mut bytes)? {
        (1, Field::Varint(0)) => Value::Null,
        (2, Field::Fixed64(bytes)) => Value::Number(Number::from_f64(f64::from_le_bytes(bytes))?),
        (3, Field::Bytes(text)) => Value::String(string(text)?),
        (4, Field::Varint(flag @ (0 | 1))) => Value::Bool(flag == 1),
        (5, Field::Bytes(inner)) => Value::Object(structure(inner, inside()?)?),
        (6, Field::Bytes(inner)) => Value::Array(list(inner, inside()?)?),
        _ => return None,
    };
    bytes.is_empty().then_some(value)
}

/// Decodes a `google.protobuf.ListValue`.
fn list(mut bytes: &[u8], depth: usize) -> Option<Vec<Value>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (1, Field::Bytes(item)) = field(&mut bytes)? else { return None };
        items.push(value(item, depth)?);
    }
    Some(items)
}

fn string(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// Takes the next field, with its number.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(bytes)?;
    let field = match tag & 7 {
        0 => Field::Varint(varint(bytes)?),
        1 => {
            let (number, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Field::Fixed64(*number)
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            let (content, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Field::Bytes(content)
        }
        _ => return None,
    };
    Some((tag >> 3, field))
}

/// Takes a number in base 128, least significant digit first: at most ten bytes for 64 bits.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let digit = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && digit > 1 {
            return None;
        }
        number |= digit << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::*;
    use serde_json::json;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn length_delimited(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        [&bytes, content].concat()
    }

    fn encode_struct(object: &Map<String, Value>) -> Vec<u8> {
        let entry = |(key, value): (&String, &Value)| {
            let key = length_delimited(1, key.as_bytes());
            length_delimited(1, &[key, length_delimited(2, &encode(value))].concat())
        };
        object.iter().flat_map(entry).collect()
    }

    fn encode(value: &Value) -> Vec<u8> {
        match value {
            Value::Null => vec![0x08, 0],
            Value::Number(number) => [&[0x11][..], &number.as_f64().unwrap().to_le_bytes()].concat(),
            Value::String(text) => length_delimited(3, text.as_bytes()),
            Value::Bool(flag) => vec![0x20, u8::from(*flag)],
            Value::Object(object) => length_delimited(5, &encode_struct(object)),
            Value::Array(items) => {
                let items: Vec<u8> =
                    items.iter().flat_map(|item| length_delimited(1, &encode(item))).collect();
                length_delimited(6, &items)
            }
        }
    }

    fn example() -> Value {
        json!({
            "null": null, "number": 1e15, "fraction": -0.5, "text": "h\u{fc}\u{12}", "": true, "no": false,
            "empty": {}, "list": [[], {"deep": [1.0, "x".repeat(300)]}],
        })
    }

    fn decoded(bytes: &[u8]) -> Option<Value> {
        match Document::decode(bytes) {
            Document::Json(same) => {
                assert_eq!(same, bytes);
                None
            }
            Document::Value(value) => Some(value),
        }
    }

    #[test]
    fn a_struct_is_decoded() {
        let bytes = encode_struct(example().as_object().unwrap());
        assert_eq!(decoded(&bytes), Some(example()));
        // As protobuf's own C++ encodes `{"name": "a"}`.
        let bytes = b"\x0a\x0b\x0a\x04name\x12\x03\x1a\x01a";
        assert_eq!(decoded(bytes), Some(json!({ "name": "a" })));
    }

    #[test]
    fn json_stays_json() {
        for text in ["", "\n", "{}", "\n{}", "\n\n\n{\n\n}", "\n{\"a\": \"\\u0012\"}", "\t[1]", "name: a"] {
            assert_eq!(decoded(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_cut_or_carries_on_is_no_struct() {
        let bytes = encode_struct(example().as_object().unwrap());
        for length in 0..bytes.len() {
            let cut = decoded(&bytes[..length]);
            // Between two entries a cut leaves a smaller document.
            assert!(cut.is_none_or(|cut| cut.as_object().unwrap().len() < 8), "{length}");
        }
        for more in [&b"\0"[..], b"{}", b"\x10\x01", b"\x0a\0"] {
            assert_eq!(decoded(&[&bytes, more].concat()), None, "{more:?}");
        }
    }

    #[test]
    fn what_protobuf_would_pass_over_is_refused() {
        let entry = |value: &[u8]| {
            let parts = [length_delimited(1, b"k"), length_delimited(2, value)].concat();
            length_delimited(1, &parts)
        };
        assert_eq!(decoded(&entry(b"\x20\x01")), Some(json!({ "k": true })));
        for (why, bytes) in [
            ("no kind", entry(b"")),
            ("two kinds", entry(b"\x20\x01\x08\x00")),
            ("an unknown kind", entry(b"\x38\x01")),
            ("a kind of the wrong wire type", entry(b"\x22\x01\x01")),
            ("a flag that is neither", entry(b"\x20\x02")),
            ("another null", entry(b"\x08\x01")),
            ("not a number", entry(&[&[0x11][..], &f64::NAN.to_le_bytes()].concat())),
            ("infinite", entry(&[&[0x11][..], &f64::INFINITY.to_le_bytes()].concat())),
            ("a string that is not UTF-8", entry(b"\x1a\x01\xff")),
            ("a group", entry(b"\x0b\x0c")),
            ("no value", length_delimited(1, &length_delimited(1, b"k"))),
            ("a key twice", [entry(b"\x20\x01"), entry(b"\x20\x00")].concat()),
            ("a length without end", [&[0x0a][..], &[0xff; 11]].concat()),
            ("a length beyond 64 bits", [&[0x0a][..], &[0xff; 9], &[0x02]].concat()),
            ("a length beyond the end", b"\x0a\xff\xff\xff\xff\x0f".to_vec()),
        ] {
            assert_eq!(decoded(&bytes), None, "{why}");
        }
    }

    #[test]
    fn depth_has_an_end() {
        // Lists inside each other, `depth` with the document.
        let nested = |depth: usize| {
            let empty = length_delimited(6, b"");
            let value = (2..depth).fold(empty, |inner, _| length_delimited(6, &length_delimited(1, &inner)));
            length_delimited(1, &[length_delimited(1, b"a"), length_delimited(2, &value)].concat())
        };
        assert!(decoded(&nested(MAX_DEPTH)).is_some());
        assert!(decoded(&nested(MAX_DEPTH + 1)).is_some(), "left to the loader");
        assert_eq!(decoded(&nested(MAX_DEPTH + 2)), None);
        assert_eq!(decoded(&nested(2_000)), None);
    }

    #[test]
    fn a_document_does_not_show_itself() {
        let shown = format!("{:?} {:?}", Document::Json(b"hush"), Document::Value(json!("hush")));
        assert_eq!(shown, "Json(4 bytes) Value(..)");
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn no_bytes_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
                let _ = decoded(&bytes);
                bytes.insert(0, ENTRY);
                let _ = decoded(&bytes);
            }

            #[test]
            fn one_wrong_byte_harms_no_more_than_its_document(at in 0_usize..400, byte in any::<u8>()) {
                let mut bytes = encode_struct(example().as_object().unwrap());
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
                let _ = decoded(&bytes);
            }
        }
    }
}
