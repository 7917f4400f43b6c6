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
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const LOW: u64 = !HIGH;
    // The highest bit of each byte that is zero: no byte carries into the next.
    let zero = |bytes: u64| !((bytes & LOW).wrapping_add(LOW) | bytes) & HIGH;
    let half = |bytes: [u8; 8]| {
        let bytes = u64::from_le_bytes(bytes);
        let quote = zero(bytes ^ u64::from_ne_bytes([b'"'; 8]));
        let backslash = zero(bytes ^ u64::from_ne_bytes([b'\\'; 8]));
        let control = zero(bytes & u64::from_ne_bytes([0xE0; 8]));
        // Gathers the highest bits in the highest byte, in their order.
        ((quote | backslash | control) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    };
    let [a, b, c, d, e, f, g, h, second @ ..] = *block;
    let bits = half([a, b, c, d, e, f, g, h]) | (half(second) << 8);
    u32::try_from(bits).unwrap_or_default()
}
