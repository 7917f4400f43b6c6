//! Content codings. The bytes are one that names the coding, one from which the cuts follow, and the body.

use meshgate_coding::{Caps, Coding, DecodeError, Decoder, Encoder, decode, encode};

use crate::input;

const CAPS: Caps = Caps { size: 256 << 10, ratio: 200 };

/// A body decodes to the same however it is cut, never to more than allowed, and what is encoded decodes to what it was.
pub fn any_body(bytes: &[u8]) {
    let [coding, seed, body @ ..] = bytes else { return };
    let coding = match coding % 4 {
        0 => Coding::Gzip,
        1 => Coding::Deflate,
        2 => Coding::Brotli,
        _ => Coding::Identity,
    };
    let whole = decode(coding, body, &CAPS);
    // A body may be both cut short and over a cap: then either is said.
    let pieces = decode_in(coding, &input::pieces(body, (*seed).into()));
    assert_eq!(
        pieces.as_ref().ok(),
        whole.as_ref().ok(),
        "{:?} and {:?}",
        whole.as_ref().err(),
        pieces.as_ref().err()
    );
    if let Ok(decoded) = &whole {
        assert!(decoded.len() <= CAPS.size);
    }

    let Ok(encoded) = encode(coding, body) else { return };
    assert_eq!(decode(coding, &encoded, &CAPS).as_deref(), Ok(body));
    let mut encoder = Encoder::new(coding);
    let mut encoded = Vec::new();
    for piece in input::pieces(body, (*seed).into()) {
        encoder.push(piece, &mut encoded).expect("it encodes");
        if piece.len() % 2 == 1 {
            encoder.flush(&mut encoded).expect("it encodes");
        }
    }
    encoder.finish(&mut encoded).expect("it encodes");
    assert_eq!(decode(coding, &encoded, &CAPS).as_deref(), Ok(body));
}

fn decode_in(coding: Coding, pieces: &[&[u8]]) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(coding, CAPS);
    let mut decoded = Vec::new();
    for piece in pieces {
        decoder.push(piece, &mut decoded)?;
    }
    decoder.finish()?;
    Ok(decoded)
}
