//! br without compression (RFC 7932 section 9.2).
//!
//! A head that said `content-encoding: br` may be on its way when its body changes, so the body has to be br as well. An
//! encoder that compresses is larger than all the rest of a module; what it would save is lost on the few bodies that are
//! changed.

/// How many bytes a block has, but for the last and those before a flush.
const BLOCK: usize = 1 << 16;

/// A stream of blocks that are stored as they are.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Of the next block.
    pending: Vec<u8>,
    begun: bool,
}

impl Stored {
    pub(crate) fn push(&mut self, plain: &[u8], encoded: &mut Vec<u8>) {
        let mut rest = plain;
        while self.pending.len().saturating_add(rest.len()) >= BLOCK {
            let missing = BLOCK.saturating_sub(self.pending.len());
            let (piece, after) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.pending.extend_from_slice(piece);
            self.flush(encoded);
            rest = after;
        }
        self.pending.extend_from_slice(rest);
    }

    /// Writes what is pending, as a block: ISLAST 0, MNIBBLES 0 (four), MLEN - 1 in 16 bits, ISUNCOMPRESSED 1, zeros up to
    /// the next byte.
    pub(crate) fn flush(&mut self, encoded: &mut Vec<u8>) {
        let Some(length) = self.pending.len().checked_sub(1) else { return };
        let header = (length as u64) << 3 | 1 << 19;
        let [one, two, three, ..] = self.aligned(header).to_le_bytes();
        encoded.extend_from_slice(&[one, two, three]);
        encoded.append(&mut self.pending);
    }

    /// Ends the stream: ISLAST 1, ISLASTEMPTY 1.
    pub(crate) fn finish(&mut self, encoded: &mut Vec<u8>) {
        self.flush(encoded);
        let [last, ..] = self.aligned(0b11).to_le_bytes();
        encoded.push(last);
    }

    /// The first bits of a stream are its window size: here the shortest code, one bit that is 0.
    fn aligned(&mut self, bits: u64) -> u64 {
        if std::mem::replace(&mut self.begun, true) { bits } else { bits << 1 }
    }
}
