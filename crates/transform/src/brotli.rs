//! Bodies in brotli without compression (RFC 7932).
//!
//! A head that said `content-encoding: br` may be gone when its body changes, so the body has to be brotli as well. A
//! compressor is larger than all the rest of this module; blocks that are stored as they are need ten lines.

/// The most bytes in a block: lengths have up to 24 bits (RFC 7932 section 9.2).
const BLOCK: usize = 1 << 24;

/// The bytes as a brotli stream of blocks that are not compressed.
pub fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().saturating_add(16));
    // WBITS 16: one bit. It shares its byte with what begins the first block.
    let mut first = true;
    for block in bytes.chunks(BLOCK) {
        let length = (block.len() as u64).saturating_sub(1);
        // As few nibbles as hold the length, or decoders refuse it.
        let nibbles: u32 = if length < 1 << 16 {
            4
        } else if length < 1 << 20 {
            5
        } else {
            6
        };
        let (bits, at) = (nibbles.saturating_mul(4), u32::from(first));
        // From the lowest bit: WBITS (first block only), ISLAST 0, MNIBBLES in two bits, MLEN - 1, ISUNCOMPRESSED 1.
        let header =
            (u64::from(nibbles.saturating_sub(4)) << 1) | (length << 3) | (1 << bits.saturating_add(3));
        let size = at.saturating_add(bits).saturating_add(4).div_ceil(8);
        out.extend((header << at).to_le_bytes().iter().take(size as usize));
        out.extend_from_slice(block);
        first = false;
    }
    // ISLAST 1, ISLASTEMPTY 1.
    out.push(if first { 0b110 } else { 0b11 });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshgate_coding::{Caps, Coding, decode};
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn decoders_read_it() {
        let caps = Caps { size: 64 << 20, ratio: 100 };
        let long = vec![b'a'; BLOCK + 1];
        for bytes in [&b""[..], b"a", b"{\"a\": 1}", &long[..65_536], &long[..BLOCK], &long] {
            let decoded = decode(Coding::Brotli, &stored(bytes), &caps).unwrap();
            assert!(decoded == bytes, "{} bytes", bytes.len());
        }
    }
}
