//! The names of codings.

use std::fmt;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `gzip` (RFC 1952)
    Gzip,
    /// `deflate`: a zlib stream (RFC 1950)
    Deflate,
    /// `br` (RFC 7932)
    Brotli,
    /// Not at all.
    #[default]
    Identity,
}

impl Coding {
    /// The coding that the values of all `content-encoding` fields of a message name, in any case. Empty elements of the
    /// list count as nothing (RFC 9110 section 5.6.1.2), and so does `identity`.
    ///
    /// # Errors
    /// [`Unsupported`] for a coding that is not known here, and for more than one: a decoder for each of them would multiply
    /// what a body may grow to.
    pub fn of<'a>(content_encoding: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Unsupported> {
        let mut found = Self::Identity;
        for name in content_encoding.into_iter().flat_map(|field| field.split(|byte| *byte == b',')) {
            let coding = Self::named(name.trim_ascii())?;
            match (found, coding) {
                (_, Self::Identity) => {}
                (Self::Identity, _) => found = coding,
                _ => return Err(Unsupported::Several),
            }
        }
        Ok(found)
    }

    /// The value of `content-encoding` for it; `None` where the field is left out.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Brotli => Some("br"),
            Self::Identity => None,
        }
    }

    /// `x-gzip` is the same as `gzip` (RFC 9110 section 8.4.1.3).
    fn named(name: &[u8]) -> Result<Self, Unsupported> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name {
            [] => Ok(Self::Identity),
            _ if is("identity") => Ok(Self::Identity),
            _ if is("gzip") || is("x-gzip") => Ok(Self::Gzip),
            _ if is("deflate") => Ok(Self::Deflate),
            _ if is("br") => Ok(Self::Brotli),
            _ => Err(Unsupported::Unknown),
        }
    }
}

/// A body that can't be decoded here, whatever is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// A coding that is not known here.
    Unknown,
    /// More than one coding.
    Several,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the body has a content coding other than gzip, deflate and br",
            Self::Several => "the body has more than one content coding",
        })
    }
}

impl std::error::Error for Unsupported {}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn all_fields_name_one_coding() {
        for (fields, expected) in [
            (&[][..], Ok(Coding::Identity)),
            (&[""], Ok(Coding::Identity)),
            (&["identity"], Ok(Coding::Identity)),
            (&["gzip"], Ok(Coding::Gzip)),
            (&["X-GZip"], Ok(Coding::Gzip)),
            (&[" , deflate\t,"], Ok(Coding::Deflate)),
            (&["identity, BR"], Ok(Coding::Brotli)),
            (&["identity", "gzip", ""], Ok(Coding::Gzip)),
            (&["gzip, gzip"], Err(Unsupported::Several)),
            (&["br", "gzip"], Err(Unsupported::Several)),
            (&["zstd"], Err(Unsupported::Unknown)),
            (&["gzip;q=1"], Err(Unsupported::Unknown)),
            (&["gz ip"], Err(Unsupported::Unknown)),
            (&["gzip, compress"], Err(Unsupported::Unknown)),
        ] {
            assert_eq!(Coding::of(fields.iter().map(|field| field.as_bytes())), expected, "{fields:?}");
        }
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Identity] {
            assert_eq!(Coding::of(coding.name().map(str::as_bytes)), Ok(coding));
        }
    }
}
