//! Sixteen bytes at a time: which of them end the plain part of a string.

/// The number of bytes in a block.
pub(crate) const BLOCK: usize = 16;

/// One bit per byte of the block, the first byte lowest: a quote, a backslash or a control character.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
pub(crate) fn special(block: &[u8; BLOCK]) -> u32 {
    use core::arch::wasm32::{i64x2, u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, v128_or};
    let [a, b, c, d, e, f, g, h, low @ ..] = *block;
    let bytes = i64x2(i64::from_le_bytes([a, b, c, d, e, f, g, h]), i64::from_le_bytes(low));
    let quote = u8x16_eq(bytes, u8x16_splat(b'"'));
    let backslash = u8x16_eq(bytes, u8x16_splat(b'\\'));
    let control = u8x16_lt(bytes, u8x16_splat(0x20));
    u32::from(u8x16_bitmask(v128_or(v128_or(quote, backslash), control)))
}

/// One bit per byte of the block, the first byte lowest: a quote, a backslash or a control character.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
pub(crate) fn special(block: &[u8; BLOCK]) -> u32 {
    block
        .iter()
        .rev()
        .fold(0, |bits, &byte| (bits << 1) | u32::from((byte == b'"') | (byte == b'\\') | (byte < 0x20)))
}
