//! Decoding, whole or in pieces.

use std::fmt;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::caps::{Caps, STRIDE};
use crate::coding::Coding;
use crate::gzip::{Header, Trailer};

/// How much room there is for each step of a decoder, in bytes.
const ROOM: usize = 32 * 1024;

/// Decodes a whole body.
///
/// # Errors
/// [`DecodeError`]
pub fn decode(coding: Coding, encoded: &[u8], caps: &Caps) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(coding, *caps);
    let mut decoded = Vec::with_capacity(encoded.len().saturating_mul(4).min(caps.size));
    decoder.push(encoded, &mut decoded)?;
    decoder.finish()?;
    Ok(decoded)
}

/// Decodes a body that comes in pieces. What comes out, and whether it ends with an error, does not depend on how the body
/// is cut; nor does which error, but for br: of a body that is damaged and over a cap as well, either may be said. An empty
/// body is empty in every coding.
pub struct Decoder {
    state: State,
    caps: Caps,
    encoded: u64,
    decoded: u64,
    failed: Option<DecodeError>,
}

enum State {
    Identity,
    Gzip(Box<Gzip>),
    /// The first two bytes tell whether there is a zlib header.
    DeflateStart(Vec<u8>),
    Deflate(Inflate),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    /// All of the body has come.
    Ended,
}

struct Gzip {
    at: Member,
    inflate: Inflate,
    crc: Crc,
    is_first: bool,
}

enum Member {
    Header(Header),
    Data,
    Trailer(Trailer),
}

struct Inflate(Decompress);

impl Decoder {
    /// A decoder for one body.
    pub fn new(coding: Coding, caps: Caps) -> Self {
        let state = match coding {
            Coding::Identity => State::Identity,
            Coding::Gzip => State::Gzip(Box::new(Gzip {
                at: Member::Header(Header::default()),
                inflate: Inflate(Decompress::new(false)),
                crc: Crc::new(),
                is_first: true,
            })),
            Coding::Deflate => State::DeflateStart(Vec::new()),
            // Not `new`, which accepts the windows of up to 1 GiB that RFC 7932 does not have, and allocates them.
            Coding::Brotli => State::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
        };
        Self { state, caps, encoded: 0, decoded: 0, failed: None }
    }

    /// Decodes a piece and appends to `decoded` what comes of it, which may be nothing.
    ///
    /// # Errors
    /// [`DecodeError`]; the same one again for whatever follows.
    pub fn push(&mut self, encoded: &[u8], decoded: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.failed.map_or(Ok(()), Err)?;
        self.push_strides(encoded, decoded).inspect_err(|error| self.failed = Some(*error))
    }

    /// Checks that the body is complete.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn finish(&mut self) -> Result<(), DecodeError> {
        self.failed.map_or(Ok(()), Err)?;
        self.caps.check_ratio(self.encoded, self.decoded)?;
        let complete = match &self.state {
            State::Identity | State::Ended => true,
            State::Gzip(gzip) => {
                !gzip.is_first && matches!(&gzip.at, Member::Header(header) if header.is_empty())
            }
            State::DeflateStart(_) | State::Deflate(_) | State::Brotli(_) => false,
        };
        if complete || self.encoded == 0 { Ok(()) } else { Err(DecodeError::Truncated) }
    }

    fn push_strides(&mut self, encoded: &[u8], decoded: &mut Vec<u8>) -> Result<(), DecodeError> {
        let mut rest = encoded;
        while !rest.is_empty() {
            let into_stride = self.encoded.checked_rem(STRIDE as u64).unwrap_or(0);
            let left = STRIDE.saturating_sub(usize::try_from(into_stride).unwrap_or(0));
            let (piece, after) = rest.split_at_checked(left).unwrap_or((rest, &[]));
            rest = after;
            self.encoded = self.encoded.saturating_add(piece.len() as u64);
            self.push_piece(piece, decoded)?;
            if piece.len() == left {
                self.caps.check_ratio(self.encoded, self.decoded)?;
            }
        }
        Ok(())
    }

    fn push_piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        // At the end of this stride the ratio is looked at: what is over it then is over it now. Without this a stride of br
        // could become any number of bytes first.
        let stride_end = self.encoded.next_multiple_of(STRIDE as u64);
        let mut count = Count { decoded: &mut self.decoded, caps: self.caps, encoded: stride_end };
        match &mut self.state {
            State::Identity => {
                out.extend_from_slice(piece);
                count.add(piece.len())
            }
            State::Gzip(gzip) => gzip.push(piece, out, &mut count),
            State::DeflateStart(start) => {
                start.extend_from_slice(piece);
                let Some(head) = start.first_chunk() else { return Ok(()) };
                let mut inflate = Inflate(Decompress::new(is_zlib(*head)));
                let ended = inflate.push_last(start, out, &mut count)?;
                self.state = if ended { State::Ended } else { State::Deflate(inflate) };
                Ok(())
            }
            State::Deflate(inflate) => {
                if inflate.push_last(piece, out, &mut count)? {
                    self.state = State::Ended;
                }
                Ok(())
            }
            State::Brotli(brotli) => {
                if push_brotli(brotli, piece, out, &mut count)? {
                    self.state = State::Ended;
                }
                Ok(())
            }
            State::Ended => Err(DecodeError::Trailing),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("encoded", &self.encoded)
            .field("decoded", &self.decoded)
            .finish_non_exhaustive()
    }
}

/// How much has been decoded, of how much.
struct Count<'a> {
    decoded: &'a mut u64,
    caps: Caps,
    /// At least as many bytes as it was decoded from.
    encoded: u64,
}

impl Count<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), DecodeError> {
        *self.decoded = self.decoded.saturating_add(bytes as u64);
        // Of two caps that are both passed in one step, the lower one was passed first, however long the step was.
        let size = Err(DecodeError::Size { cap: self.caps.size });
        match self.caps.check_ratio(self.encoded, *self.decoded) {
            Ok(()) if *self.decoded > self.caps.size as u64 => size,
            Err(_) if self.caps.size as u64 <= self.caps.allowed(self.encoded) => size,
            result => result,
        }
    }
}

impl Gzip {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, count: &mut Count<'_>) -> Result<(), DecodeError> {
        let mut rest = piece;
        while !rest.is_empty() {
            match &mut self.at {
                Member::Header(header) => {
                    // What follows a member is another one, or it is nothing of gzip's.
                    let wrong = if self.is_first { DecodeError::Malformed } else { DecodeError::Trailing };
                    let after = header.push(rest).map_err(|error| match error {
                        DecodeError::Malformed => wrong,
                        other => other,
                    })?;
                    let Some(after) = after else { return Ok(()) };
                    rest = after;
                    self.inflate.0.reset(false);
                    self.crc.reset();
                    self.at = Member::Data;
                }
                Member::Data => {
                    let before = out.len();
                    let (after, ended) = self.inflate.push(rest, out, count)?;
                    self.crc.update(out.get(before..).unwrap_or_default());
                    rest = after;
                    if ended {
                        self.at = Member::Trailer(Trailer::default());
                    }
                }
                Member::Trailer(trailer) => {
                    let Some(after) = trailer.push(rest, &self.crc)? else { return Ok(()) };
                    rest = after;
                    self.is_first = false;
                    self.at = Member::Header(Header::default());
                }
            }
        }
        Ok(())
    }
}

impl Inflate {
    /// Returns what follows the stream, and whether it has ended.
    fn push<'a>(
        &mut self,
        piece: &'a [u8],
        out: &mut Vec<u8>,
        count: &mut Count<'_>,
    ) -> Result<(&'a [u8], bool), DecodeError> {
        let mut rest = piece;
        loop {
            out.reserve(ROOM);
            let (consumed, produced) = (self.0.total_in(), out.len());
            let status = self.0.decompress_vec(rest, out, FlushDecompress::None);
            let consumed = self.0.total_in().saturating_sub(consumed);
            let produced = out.len().saturating_sub(produced);
            rest =
                usize::try_from(consumed).ok().and_then(|consumed| rest.get(consumed..)).unwrap_or_default();
            count.add(produced)?;
            match status {
                Ok(Status::StreamEnd) => return Ok((rest, true)),
                // All that has come is decoded once there is room left.
                Ok(_) if rest.is_empty() && out.len() < out.capacity() => return Ok((rest, false)),
                Ok(_) if consumed > 0 || produced > 0 => {}
                Ok(_) | Err(_) => return Err(DecodeError::Malformed),
            }
        }
    }

    /// [`push`](Self::push) for a stream that nothing may follow.
    fn push_last(
        &mut self,
        piece: &[u8],
        out: &mut Vec<u8>,
        count: &mut Count<'_>,
    ) -> Result<bool, DecodeError> {
        match self.push(piece, out, count)? {
            ([], ended) => Ok(ended),
            _ => Err(DecodeError::Trailing),
        }
    }
}

/// Whether a stream of deflate has the header of zlib (RFC 1950 section 2.2): method 8, a window that there is, a check that
/// is right, and no dictionary. No encoder begins a bare stream so: its first block would be stored and have bits set that
/// mean nothing.
fn is_zlib([method, flags]: [u8; 2]) -> bool {
    let check = u16::from_be_bytes([method, flags]);
    method & 0xf == 8 && method >> 4 <= 7 && check.is_multiple_of(31) && flags & 0x20 == 0
}

/// Whether the stream has ended.
fn push_brotli(
    brotli: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    piece: &[u8],
    out: &mut Vec<u8>,
    count: &mut Count<'_>,
) -> Result<bool, DecodeError> {
    let (mut left, mut at) = (piece.len(), 0);
    loop {
        let start = out.len();
        out.resize(start.saturating_add(ROOM), 0);
        let (mut room, mut produced, mut total) = (ROOM, 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            piece,
            &mut room,
            &mut produced,
            out.get_mut(start..).unwrap_or_default(),
            &mut total,
            brotli,
        );
        out.truncate(start.saturating_add(produced));
        count.add(produced)?;
        match result {
            BrotliResult::ResultSuccess if left > 0 => return Err(DecodeError::Trailing),
            BrotliResult::ResultSuccess => return Ok(true),
            BrotliResult::NeedsMoreInput => return Ok(false),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => return Err(DecodeError::Malformed),
        }
    }
}

/// A body that is not what its coding says, or more than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not in this coding, or damaged.
    Malformed,
    /// The body ends before its coding does.
    Truncated,
    /// A checksum or length of gzip does not fit what was decoded.
    Checksum,
    /// Something follows the body.
    Trailing,
    /// More decoded bytes than [`Caps::size`].
    Size {
        /// The cap, in bytes.
        cap: usize,
    },
    /// More decoded bytes for each encoded one than [`Caps::ratio`].
    Ratio {
        /// The cap.
        cap: u32,
    },
}

impl DecodeError {
    /// Whether the body may be right, and is only too much.
    pub fn is_cap(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::Ratio { .. })
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the body is not in its content coding"),
            Self::Truncated => f.write_str("the body ends before its content coding does"),
            Self::Checksum => f.write_str("the checksum of the body is wrong"),
            Self::Trailing => f.write_str("something follows the end of the content coding"),
            Self::Size { cap } => write!(f, "the body decodes to more than {cap} bytes"),
            Self::Ratio { cap } => write!(f, "the body decodes to more than {cap} times its size"),
        }
    }
}

impl std::error::Error for DecodeError {}
