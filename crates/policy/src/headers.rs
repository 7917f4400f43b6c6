//! Header fields as Envoy hands them over: bytes, in order, repeated names kept apart.
//!
//! [`Headers`] keeps the one buffer that the host filled (the pairs encoding of Proxy-Wasm ABI 0.2.1) and walks it, so
//! reading a whole map costs one allocation. [`HeaderName`] and [`HeaderValue`] are what a policy may write: Envoy sends
//! CR, LF and NUL in a response header raw, so nothing unchecked gets that far.

use std::borrow::Cow;
use std::fmt;

/// The header fields of one head, or the fields of one trailer section.
///
/// Names come in lower case from Envoy. Pseudo-headers (`:method`, `:path`, `:authority`, `:scheme`, `:status`) are
/// fields like the others, and come first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// `count`, then `count` pairs of lengths, then the names and values, each ended by a NUL; all lengths `u32` LE.
    wire: Vec<u8>,
}

/// The bytes are not a map in the pairs encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedMap;

impl fmt::Display for MalformedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host's header map is not in the pairs encoding")
    }
}

impl std::error::Error for MalformedMap {}

const LENGTH: usize = size_of::<u32>();

impl Headers {
    /// Takes a map in the pairs encoding, as `proxy_get_header_map_pairs` returns it. No bytes is an empty map.
    ///
    /// # Errors
    /// [`MalformedMap`] if a length points outside the buffer. What passes here can be walked without a check.
    pub fn from_wire(wire: Vec<u8>) -> Result<Self, MalformedMap> {
        let headers = Self { wire };
        let mut fields = headers.iter();
        let found = fields.by_ref().count();
        let whole = headers.wire.is_empty() || headers.wire.len() >= LENGTH;
        if whole && found == headers.len() && fields.data.is_empty() {
            Ok(headers)
        } else {
            Err(MalformedMap)
        }
    }

    /// Encodes pairs: for hosts that have no wire format of their own, and for what is sent to one.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs = pairs.into_iter();
        // More than most heads have: a few hundred bytes at once are cheaper than to grow.
        let (some, _) = pairs.size_hint();
        let mut lengths = Vec::with_capacity(some.saturating_mul(2 * LENGTH));
        let mut data = Vec::with_capacity(some.saturating_mul(64));
        let mut count = 0_u32;
        for (name, value) in pairs {
            for part in [name.as_ref(), value.as_ref()] {
                lengths.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
                data.extend_from_slice(part);
                data.push(0);
            }
            count = count.saturating_add(1);
        }
        Self { wire: [count.to_le_bytes().as_slice(), &lengths, &data].concat() }
    }

    /// The pairs encoding.
    pub fn as_wire(&self) -> &[u8] {
        &self.wire
    }

    /// How many fields there are; a repeated name counts each time.
    pub fn len(&self) -> usize {
        let count = self.wire.first_chunk::<LENGTH>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fields in order, each as name and value.
    pub fn iter(&self) -> Fields<'_> {
        let rest = self.wire.get(LENGTH..).unwrap_or_default();
        let (lengths, data) =
            rest.split_at_checked(self.len().saturating_mul(2 * LENGTH)).unwrap_or_default();
        Fields { lengths, data }
    }

    /// Every value of a field, in order. `name` is in lower case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }

    /// The first value of a field: for what cannot be repeated (pseudo-headers) or where repeating it changes nothing.
    /// A security decision takes [`Headers::all`].
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }
}

/// Names only: values may be credentials.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()))
            .finish()
    }
}

/// Walks a [`Headers`].
#[derive(Clone)]
pub struct Fields<'a> {
    lengths: &'a [u8],
    data: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut take = || {
            let (length, lengths) = self.lengths.split_first_chunk::<LENGTH>()?;
            let (part, data) =
                self.data.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            let (_nul, data) = data.split_first()?;
            (self.lengths, self.data) = (lengths, data);
            Some(part)
        };
        Some((take()?, take()?))
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields").finish_non_exhaustive()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Fields<'a>;

    fn into_iter(self) -> Fields<'a> {
        self.iter()
    }
}

/// The name of a field that a policy writes or removes: a token (RFC 9110 section 5.6.2) in lower case, or one of the
/// pseudo-headers that may be changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(Cow<'static, str>);

impl HeaderName {
    /// Takes a name, in any case.
    ///
    /// # Errors
    /// [`InvalidHeader::Name`] if it is empty, is not a token, or is longer than 256 bytes. Pseudo-headers are
    /// refused here: they have constants.
    pub fn new(name: &str) -> Result<Self, InvalidHeader> {
        if is_token(name.as_bytes()) && name.len() <= 256 {
            Ok(Self(Cow::Owned(name.to_ascii_lowercase())))
        } else {
            Err(InvalidHeader::Name)
        }
    }

    /// A name known when the code is compiled: a token in lower case. A constant made of anything else does not compile.
    #[allow(
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "only called to make constants: it runs in the compiler, where a panic is a compile error"
    )]
    pub const fn constant(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        let mut at = if !bytes.is_empty() && bytes[0] == b':' { 1 } else { 0 };
        assert!(at < bytes.len(), "empty header name");
        while at < bytes.len() {
            assert!(
                TOKEN[bytes[at] as usize] && !bytes[at].is_ascii_uppercase(),
                "not a token in lower case"
            );
            at += 1;
        }
        Self(Cow::Borrowed(name))
    }

    /// `:path`: path and query, starting with `/`.
    pub const PATH: Self = Self::constant(":path");
    /// `:status`: of responses, three digits.
    pub const STATUS: Self = Self::constant(":status");

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value that a policy writes: visible characters, spaces, tabs and bytes from 0x80 (RFC 9110 section 5.5), so that no
/// value can end its line.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HeaderValue<'a>(Cow<'a, [u8]>);

impl<'a> HeaderValue<'a> {
    /// Takes a value, borrowed or owned.
    ///
    /// # Errors
    /// [`InvalidHeader::Value`] if it holds a control character other than a tab.
    pub fn new(value: impl Into<Cow<'a, [u8]>>) -> Result<Self, InvalidHeader> {
        let value = value.into();
        // Each byte is looked at, also behind a wrong one: so 16 at a time are.
        if value.iter().fold(true, |fine, byte| fine & matches!(byte, b'\t' | b' '..=b'~' | 0x80..)) {
            Ok(Self(value))
        } else {
            Err(InvalidHeader::Value)
        }
    }

    /// A number in decimal digits.
    pub fn number(value: u64) -> HeaderValue<'static> {
        HeaderValue(Cow::Owned(value.to_string().into_bytes()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same value, owning its bytes.
    pub fn into_owned(self) -> HeaderValue<'static> {
        HeaderValue(Cow::Owned(self.0.into_owned()))
    }
}

/// The length only: a value may be a credential.
impl fmt::Debug for HeaderValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderValue({} bytes)", self.0.len())
    }
}

/// A header name or value that must not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidHeader {
    /// Not a token (RFC 9110 section 5.6.2).
    Name,
    /// Holds a control character (RFC 9110 section 5.5).
    Value,
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "not a header name: a name is letters, digits and !#$%&'*+-.^_`|~",
            Self::Value => "not a header value: it holds a control character",
        })
    }
}

impl std::error::Error for InvalidHeader {}

/// Whether the bytes are a token (RFC 9110 section 5.6.2): what methods and header names are made of.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN.get(usize::from(byte)).copied().unwrap_or(false))
}

/// The token characters, by byte.
const TOKEN: [bool; 256] = token_table();

#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "runs in the compiler, where a panic is a compile error"
)]
const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(
            byte as u8,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~'
        );
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn pairs_come_back_in_order_with_repeats_and_any_bytes() {
        let pairs: Vec<(&[u8], &[u8])> =
            vec![(b":path", b"/"), (b"a", b"1"), (b"b", b""), (b"a", b"\xff\x00\xfe")];
        let headers = Headers::from_wire(Headers::from_pairs(pairs.clone()).as_wire().to_vec()).unwrap();
        assert_eq!(headers.iter().collect::<Vec<_>>(), pairs);
        assert_eq!(headers.len(), 4);
        assert_eq!(headers.all("a").collect::<Vec<_>>(), [b"1".as_slice(), b"\xff\x00\xfe"]);
        assert_eq!((headers.first("b"), headers.first("c")), (Some(b"".as_slice()), None));
    }

    #[test]
    fn an_empty_map_is_no_bytes_or_a_count_of_zero() {
        assert!(Headers::from_wire(vec![]).unwrap().is_empty());
        assert!(Headers::from_wire(vec![0; 4]).unwrap().is_empty());
    }

    #[test]
    fn every_truncation_and_every_stretched_length_is_refused() {
        let wire = Headers::from_pairs([("name", "value"), ("n", "v")]).as_wire().to_vec();
        for end in 1..wire.len() {
            assert_eq!(Headers::from_wire(wire[..end].to_vec()), Err(MalformedMap), "cut at {end}");
        }
        for at in 0..20 {
            let mut bad = wire.clone();
            bad[at] = 0xff;
            assert_eq!(Headers::from_wire(bad), Err(MalformedMap), "byte {at}");
        }
        assert_eq!(Headers::from_wire([wire, vec![0]].concat()), Err(MalformedMap));
    }

    #[test]
    fn names_are_tokens() {
        assert_eq!(HeaderName::new("X-Api-Key").unwrap().as_str(), "x-api-key");
        for bad in ["", ":path", "a b", "a\r\nb", "a:", "é", "a\0", &"a".repeat(257)] {
            assert_eq!(HeaderName::new(bad), Err(InvalidHeader::Name), "{bad:?}");
        }
        for byte in 0..=255_u8 {
            let expected = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(&[byte]), expected, "{byte:#x}");
        }
    }

    #[test]
    fn values_hold_no_control_characters() {
        for byte in 0..=255_u8 {
            let ok = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            assert_eq!(HeaderValue::new(vec![b'a', byte]).is_ok(), ok, "{byte:#x}");
        }
        assert_eq!(HeaderValue::number(u64::MAX).as_bytes(), b"18446744073709551615");
    }

    #[test]
    fn debug_output_shows_no_value() {
        let headers = Headers::from_pairs([("x-api-key", "hunter2")]);
        let value = HeaderValue::new(b"hunter2".as_slice()).unwrap();
        assert!(!format!("{headers:?} {value:?}").contains("hunter2"));
    }
}
