//! JSON texts that are known to be good.

use std::borrow::Cow;
use std::fmt;

use crate::error::JsonError;
use crate::scan::{Limits, document};
use crate::string;

/// The text of one JSON value, known to be valid.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw<'a>(Cow<'a, [u8]>);

impl<'a> Raw<'a> {
    /// `null`
    pub const NULL: Raw<'static> = Raw(Cow::Borrowed(b"null"));
    /// `true`
    pub const TRUE: Raw<'static> = Raw(Cow::Borrowed(b"true"));
    /// `false`
    pub const FALSE: Raw<'static> = Raw(Cow::Borrowed(b"false"));

    /// Takes a text that is one value (RFC 8259), and drops the white space around it. Its depth may be what
    /// [`Limits::default`] allows.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn new(text: impl Into<Cow<'a, [u8]>>) -> Result<Self, JsonError> {
        let text = text.into();
        let (start, end) = document(&text, &Limits::default())?;
        Ok(Self(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.get(start..end).unwrap_or_default()),
            Cow::Owned(mut text) => {
                text.truncate(end);
                text.drain(..start);
                Cow::Owned(text)
            }
        }))
    }

    /// A string that stands for these bytes. What is not UTF-8 in them becomes U+FFFD.
    pub fn string(plain: &[u8]) -> Raw<'static> {
        let mut text = Vec::with_capacity(plain.len().saturating_add(2));
        string::write(plain, &mut text);
        Raw(Cow::Owned(text))
    }

    /// A whole number.
    pub fn integer(number: i64) -> Raw<'static> {
        Raw(Cow::Owned(number.to_string().into_bytes()))
    }

    /// Takes a part of a text that was scanned.
    pub(crate) fn scanned(text: Cow<'a, [u8]>) -> Self {
        Self(text)
    }

    /// The text, without white space around it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, borrowed where it was.
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        self.0
    }

    /// The same, borrowed from nothing.
    pub fn into_owned(self) -> Raw<'static> {
        Raw(Cow::Owned(self.0.into_owned()))
    }

    /// The same, borrowed from this.
    pub fn by_ref(&self) -> Raw<'_> {
        Raw(Cow::Borrowed(&self.0))
    }
}

impl AsRef<[u8]> for Raw<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Its length only: values of a body may be secrets.
impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn texts_are_checked_and_trimmed() {
        assert_eq!(Raw::new(b" [1, 2]\n".as_slice()).unwrap().as_bytes(), b"[1, 2]");
        assert_eq!(Raw::new(b"\xef\xbb\xbf {} ".to_vec()).unwrap().as_bytes(), b"{}");
        assert_eq!(Raw::new(b"[1,".as_slice()).unwrap_err().offset, 3);
    }

    #[test]
    fn values_become_texts() {
        assert_eq!(Raw::string(b"a\"\n\xff").as_bytes(), "\"a\\\"\\n\u{fffd}\"".as_bytes());
        assert_eq!(Raw::integer(i64::MIN).as_bytes(), b"-9223372036854775808");
        let words = [Raw::NULL, Raw::TRUE, Raw::FALSE].map(|word| word.into_owned().into_bytes());
        assert_eq!(words.map(|word| word.len()), [4, 4, 5]);
        let owned = Raw::integer(1);
        assert_eq!(owned.by_ref(), Raw::new(b"1".as_slice()).unwrap());
        assert_eq!(format!("{:?}", Raw::string(b"secret")), "Raw(8 bytes)");
    }
}
