//! The frame that gzip puts around a deflate stream (RFC 1952).

use flate2::Crc;

use crate::DecodeError;

/// The longest header: a file name or comment has no other limit, and nobody sends long ones over HTTP.
const MAX_HEADER: usize = 4096;

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// The bytes of a header, as far as they have come.
#[derive(Debug, Default)]
pub(crate) struct Header {
    bytes: Vec<u8>,
}

impl Header {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes what belongs to the header and returns what follows it, once it is complete.
    pub(crate) fn push<'a>(&mut self, data: &'a [u8]) -> Result<Option<&'a [u8]>, DecodeError> {
        let before = self.bytes.len();
        let (taken, _) = data.split_at_checked(MAX_HEADER.saturating_sub(before)).unwrap_or((data, &[]));
        self.bytes.extend_from_slice(taken);
        match length(&self.bytes)? {
            Some(length) => Ok(data.get(length.saturating_sub(before)..)),
            None if self.bytes.len() >= MAX_HEADER => Err(DecodeError::Malformed),
            None => Ok(None),
        }
    }
}

/// How long the header is that begins here; `None` if it goes on.
fn length(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    let start = [0x1f, 0x8b, 8];
    if bytes.iter().zip(&start).any(|(found, expected)| found != expected) {
        return Err(DecodeError::Malformed);
    }
    // Magic, method, flags, time, extra flags, operating system.
    let Some((fixed, rest)) = bytes.split_first_chunk::<10>() else { return Ok(None) };
    let [_, _, _, flags, ..] = *fixed;
    if flags & RESERVED != 0 {
        return Err(DecodeError::Malformed);
    }
    Ok(variable_length(flags, bytes, rest)?.map(|after| bytes.len().saturating_sub(after.len())))
}

/// What follows the parts of the header that the flags name.
fn variable_length<'a>(flags: u8, all: &[u8], rest: &'a [u8]) -> Result<Option<&'a [u8]>, DecodeError> {
    let mut rest = rest;
    if flags & FEXTRA != 0 {
        let Some((length, after)) = rest.split_first_chunk() else { return Ok(None) };
        let Some(after) = after.get(usize::from(u16::from_le_bytes(*length))..) else { return Ok(None) };
        rest = after;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let Some(end) = rest.iter().position(|byte| *byte == 0) else { return Ok(None) };
            rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
        }
    }
    if flags & FHCRC != 0 {
        let Some((sum, after)) = rest.split_first_chunk() else { return Ok(None) };
        let mut crc = Crc::new();
        crc.update(all.get(..all.len().saturating_sub(rest.len())).unwrap_or_default());
        // The two low bytes of the CRC-32.
        if crc.sum() & 0xffff != u32::from(u16::from_le_bytes(*sum)) {
            return Err(DecodeError::Checksum);
        }
        rest = after;
    }
    Ok(Some(rest))
}

/// The CRC-32 and the length that follow the stream, as far as they have come.
#[derive(Debug, Default)]
pub(crate) struct Trailer {
    bytes: Vec<u8>,
}

impl Trailer {
    /// Takes what belongs to the trailer and returns what follows it, once it is complete and right.
    pub(crate) fn push<'a>(&mut self, data: &'a [u8], crc: &Crc) -> Result<Option<&'a [u8]>, DecodeError> {
        const LENGTH: usize = 8;
        let missing = LENGTH.saturating_sub(self.bytes.len());
        let (taken, rest) = data.split_at_checked(missing).unwrap_or((data, &[]));
        self.bytes.extend_from_slice(taken);
        let Some(&[a, b, c, d, e, f, g, h]) = self.bytes.first_chunk::<LENGTH>() else { return Ok(None) };
        let right =
            u32::from_le_bytes([a, b, c, d]) == crc.sum() && u32::from_le_bytes([e, f, g, h]) == crc.amount();
        if right { Ok(Some(rest)) } else { Err(DecodeError::Checksum) }
    }
}
