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
        let length = u32::try_from(block.len()).unwrap_or(0).saturating_sub(1);
        // From the lowest bit: WBITS (first block only), ISLAST 0, MNIBBLES 6 as 2 in two bits, MLEN - 1 in 24, ISUNCOMPRESSED.
        let header = (2 << 1) | (length << 3) | (1 << 27);
        let header = if first { u64::from(header) << 1 } else { u64::from(header) };
        out.extend(header.to_le_bytes().iter().take(4));
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
