//! The filters and functions that the engine does not bring, or not as they have to be here.
//!
//! Texts may stand for bytes that are no UTF-8 (see [`text`]): what encodes or hashes takes those bytes.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64_URL};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, State, Value, filters as jinja};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sha2::{Digest, Sha256};

use super::print::{self, Json};
use super::{MAX_TEXT, body, text};

/// All but the unreserved characters of RFC 3986 section 2.3.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What servers write is not always padded.
const BASE64_ANY: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn base64(value: &Value) -> Result<String, Error> {
    encoded(value, |bytes| BASE64.encode(bytes))
}

pub(super) fn base64url(value: &Value) -> Result<String, Error> {
    encoded(value, |bytes| BASE64_URL.encode(bytes))
}

pub(super) fn base64_decode(value: &Value) -> Result<String, Error> {
    let text = print::text(value, MAX_TEXT)?;
    let standard: Vec<u8> = text
        .bytes()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        })
        .collect();
    let bytes = BASE64_ANY.decode(standard).map_err(|_| invalid("not base64"))?;
    Ok(text::from_bytes(&bytes).into_owned())
}

pub(super) fn hex(value: &Value) -> Result<String, Error> {
    encoded(value, hexadecimal)
}

pub(super) fn sha256(value: &Value) -> Result<String, Error> {
    encoded(value, |bytes| hexadecimal(&Sha256::digest(bytes)))
}

pub(super) fn url_encode(value: &Value) -> Result<String, Error> {
    encoded(value, |bytes| percent_encode(bytes, RESERVED).to_string())
}

pub(super) fn url_decode(value: &Value) -> Result<String, Error> {
    let text = print::text(value, MAX_TEXT)?;
    let bytes: Vec<u8> = percent_decode(&text::to_bytes(&text)).collect();
    Ok(text::from_bytes(&bytes).into_owned())
}

pub(super) fn to_json(value: &Value) -> Result<Value, Error> {
    let mut out = Vec::new();
    print::json(value, &mut out, MAX_TEXT)?;
    // What is not UTF-8 was replaced.
    let text = String::from_utf8(out).map_err(|_| invalid("not a text"))?;
    Ok(Value::from_object(Json(text.into())))
}

pub(super) fn from_json(value: &Value) -> Result<Value, Error> {
    let text = print::text(value, MAX_TEXT)?;
    body::parse((&*text::to_bytes(&text)).into()).ok_or_else(|| invalid("not JSON"))
}

/// `value|int`, as the engine has it, but not of numbers that no integer can be: of `"1e400"` that makes the largest there is, of
/// `"-1e400"` the smallest, and of `"nan"` 0.
pub(super) fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let default = default.map_or_else(|| kwargs.get("default"), |default| Ok(Some(default)))?;
    let integer = jinja::int(state, value, default.clone(), base, kwargs)?;
    let is_nan = || value.as_str().and_then(|text| text.parse().ok()).is_some_and(f64::is_nan);
    match i128::try_from(integer.clone()) {
        Ok(i128::MIN | i128::MAX) => default.ok_or_else(|| invalid("too large for an integer")),
        Ok(0) if is_nan() => default.ok_or_else(|| invalid("not a number")),
        _ => Ok(integer),
    }
}

/// `list|join(", ")`: the texts of a list as one.
pub(super) fn join(list: &Value, separator: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    for (index, item) in list.try_iter()?.checked().enumerate() {
        let item = item?;
        if index > 0 {
            joined.push_str(separator.unwrap_or_default());
        }
        joined.push_str(&print::text(&item, MAX_TEXT)?);
        if joined.len() > MAX_TEXT {
            return Err(too_long());
        }
    }
    Ok(joined)
}

/// `text|replace("a", "b")`: every occurrence.
pub(super) fn replace(value: &Value, from: &str, to: &str) -> Result<String, Error> {
    let text = print::text(value, MAX_TEXT)?;
    let count = text.matches(from).count();
    if count.saturating_mul(to.len()).saturating_add(text.len()) > MAX_TEXT {
        return Err(too_long());
    }
    Ok(text.replace(from, to))
}

pub(super) fn string(value: &Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(_) => Ok(value.clone()),
        None => Ok(Value::from(&*print::text(value, MAX_TEXT)?)),
    }
}

/// A UUID of RFC 9562 section 5.4: random but for the bits that say so.
pub(super) fn uuid() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| invalid("no random numbers"))?;
    let random = u128::from_be_bytes(bytes);
    let version = random & !(0xf << 76) | 0x4 << 76;
    let variant = version & !(0b11 << 62) | 0b10 << 62;
    let digits = format!("{variant:032x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| digits.get(range).unwrap_or_default());
    Ok(groups.join("-"))
}

/// What [`ErrorKind::WriteFailure`] says here, and nothing else.
pub(super) fn too_long() -> Error {
    Error::new(ErrorKind::WriteFailure, "the result is too long")
}

pub(super) fn invalid(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

fn encoded(value: &Value, encode: impl FnOnce(&[u8]) -> String) -> Result<String, Error> {
    let text = print::text(value, MAX_TEXT)?;
    let encoded = encode(&text::to_bytes(&text));
    if encoded.len() > MAX_TEXT { Err(too_long()) } else { Ok(encoded) }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).flatten().collect()
}
