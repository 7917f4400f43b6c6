//! Enums: a name alone, or an object whose one key is the name.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor};

use super::de::Reader;
use super::failure::Failure;
use super::text::quoted;
use super::tree::Node;

/// A variant by name, and what it holds: `block`, or `mask: {keep_last: 4}`.
pub(super) struct Variant<'a> {
    pub(super) name: &'a str,
    pub(super) content: Option<&'a Node<'a>>,
    /// Of the whole value.
    pub(super) reader: Reader<'a>,
}

impl Variant<'_> {
    /// Reads what the variant holds. Its name is one that the type has, or reading would not have come so far.
    fn with_content<T>(self, read: impl FnOnce(Reader<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let Some(node) = self.content else {
            let expected = format!("an object with the key {} and what belongs to it", quoted(self.name));
            return Err(Failure::expected(expected));
        };
        let place = self.reader.place.key(self.name, true, self.reader.options);
        let reader = Reader { node, place: &place, ..self.reader };
        read(reader).map_err(|failure| Failure::from(reader.settle(failure)))
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Failure> {
        let read = seed.deserialize(StrDeserializer::<Failure>::new(self.name));
        let variant = read.map_err(|failure| match self.content {
            Some(_) => Failure::from(self.reader.settle(failure).entry_at(0)),
            None => failure,
        })?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.content {
            None | Some(Node::Null) => Ok(()),
            Some(_) => {
                let expected = format!("nothing: write {} alone, as a string", quoted(self.name));
                self.with_content(|_| Err(Failure::expected(expected)))
            }
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        self.with_content(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Failure> {
        self.with_content(|reader| reader.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.with_content(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
