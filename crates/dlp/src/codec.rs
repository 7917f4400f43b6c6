//! A body that is encoded: decoded as it comes, encoded again as it goes.

use meshgate_coding::{Caps, Coding, DecodeError, Decoder, EncodeError, Encoder};

/// Why a body can't be looked into, or not be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// It can't be decoded.
    Decode(DecodeError),
    /// It can't be encoded: never so for what was decoded.
    Encode(EncodeError),
}

impl From<DecodeError> for CodecError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<EncodeError> for CodecError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

/// Decodes and encodes a body.
#[derive(Debug)]
pub struct Codec {
    decoder: Decoder,
    /// How it goes on.
    coding: Coding,
    /// `None`: nothing has been encoded yet, or since a complete body.
    encoder: Option<Encoder>,
    /// Something has come.
    begun: bool,
    /// Something was encoded.
    any: bool,
}

impl Codec {
    /// For a body in one coding that goes on in another.
    pub fn new(from: Coding, to: Coding, ratio: u32) -> Self {
        let caps = Caps { size: usize::MAX, ratio };
        Self { decoder: Decoder::new(from, caps), coding: to, encoder: None, begun: false, any: false }
    }

    /// Decodes what comes next.
    ///
    /// # Errors
    /// [`CodecError::Decode`]
    pub fn decode(&mut self, encoded: &[u8]) -> Result<Vec<u8>, CodecError> {
        self.begun |= !encoded.is_empty();
        let mut decoded = Vec::new();
        self.decoder.push(encoded, &mut decoded)?;
        Ok(decoded)
    }

    /// Whether all of the body may have come: more can follow only as another member of a gzip body.
    pub fn is_complete(&mut self) -> bool {
        self.begun && self.decoder.finish().is_ok()
    }

    /// Checks that all of the body has come.
    ///
    /// # Errors
    /// [`CodecError::Decode`]
    pub fn finish(&mut self) -> Result<(), CodecError> {
        Ok(self.decoder.finish()?)
    }

    /// Encodes what goes next. `ends`: it may be the last. `flushes`: somebody waits for it.
    ///
    /// # Errors
    /// [`CodecError::Encode`]
    pub fn encode(&mut self, plain: &[u8], ends: bool, flushes: bool) -> Result<Vec<u8>, CodecError> {
        let mut encoded = Vec::new();
        if plain.is_empty() && self.encoder.is_none() && (self.any || !ends) {
            return Ok(encoded);
        }
        self.any = true;
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(self.coding)),
        };
        encoder.push(plain, &mut encoded)?;
        if ends {
            encoder.finish(&mut encoded)?;
            self.encoder = None;
        } else if flushes {
            encoder.flush(&mut encoded)?;
        }
        Ok(encoded)
    }
}
