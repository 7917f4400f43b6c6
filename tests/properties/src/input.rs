//! How properties read their bytes.

/// What stands before the first empty line, if it is UTF-8, and what stands behind it.
pub fn split(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, rest) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 2..]));
    (std::str::from_utf8(head).unwrap_or_default(), rest)
}

/// The bytes in pieces: how long they are follows from a number.
pub fn pieces(mut bytes: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut random = seed;
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Mostly short, since that is where what spans pieces is wrong; at times empty.
        let longest = 1 << (random >> 60);
        let length = usize::try_from(random >> 33).unwrap_or(0) % (longest + 1);
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
