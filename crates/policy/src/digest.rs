//! SHA-256 digests of what must not stand in a configuration, such as keys, and the table that finds one by its digest.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A SHA-256 digest (FIPS 180-4).
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

/// A table by digest.
pub type DigestMap<T> = HashMap<Digest, T, BuildHasherDefault<Prefix>>;

impl Digest {
    /// Of these bytes.
    pub fn of(value: &[u8]) -> Self {
        Self(Sha256::digest(value).into())
    }

    /// These bytes are one, such as those of an HMAC-SHA-256 (RFC 2104).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight bytes as a number, to find it by in a table: it is as good as random already, and who looks one up
    /// does not choose those that are in the table.
    pub fn prefix(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// From 64 hexadecimal digits of either case.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
            let [high, low] = [high, low].map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self(bytes))
    }

    /// Its 64 hexadecimal digits, in lower case.
    pub fn to_hex(&self) -> String {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }
}

/// In constant time. Where a digest lies in the table still shows in the time of a look-up, but nobody can make a key
/// whose digest comes near another: that is what SHA-256 is for.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        // Eight bytes at a time: `subtle` keeps the compiler away from each element that it compares.
        fn words(digest: &Digest) -> impl Iterator<Item = u64> {
            digest.0.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word))
        }
        let equal = words(self).zip(words(other)).map(|(one, other)| one.ct_eq(&other));
        equal.fold(Choice::from(1), |all, equal| all & equal).into()
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Nothing of it: where there are few values it may be of, such as card numbers, they can be tried out.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl JsonSchema for Digest {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"})
    }
}

/// Takes the first eight bytes as they are: a digest is as good as random already, and who looks one up does not choose
/// those that are in the table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prefix(u64);

impl Hasher for Prefix {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// FIPS 180-4 example: "abc".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_equal_if_the_values_are() {
        assert_eq!(Digest::from_hex(ABC), Some(Digest::of(b"abc")));
        assert_eq!(Digest::from_hex(&ABC.to_uppercase()), Some(Digest::of(b"abc")));
        assert_ne!(Digest::of(b"abc"), Digest::of(b"abd"));
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_digest() {
        let short = ABC.split_at(2).1;
        for bad in [
            "",
            short,
            &format!("{short}0"),
            &format!("{ABC}00"),
            &ABC.replace('b', "g"),
            &ABC.replace("ba", "+1"),
        ] {
            assert_eq!(Digest::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_output_shows_nothing() {
        assert_eq!(format!("{:?}", Digest::of(b"abc")), "Digest");
    }

    #[test]
    fn a_table_finds_its_digests() {
        let table: DigestMap<u32> = (0_u32..1_000).map(|key| (Digest::of(&key.to_le_bytes()), key)).collect();
        for key in 0_u32..1_000 {
            assert_eq!(table.get(&Digest::of(&key.to_le_bytes())), Some(&key));
        }
        assert_eq!(table.get(&Digest::of(b"")), None);
    }
}
