#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, Crc, GzBuilder};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::{Caps, Coding, DecodeError, Decoder, EncodeError, Encoder, decode, encode};

const PLAIN: &[u8] = b"{\"text\": \"one and one and one and two\"}";

/// `PLAIN` by the reference encoder of brotli.
const BROTLI: &[u8] = &[
    0x13, 0x26, 0x00, 0xf8, 0x8d, 0xc3, 0x38, 0x16, 0xfc, 0x51, 0x0c, 0x9e, 0x84, 0x52, 0xe4, 0x6d, 0xaf,
    0x41, 0x74, 0xee, 0xfa, 0x80, 0x32, 0x0e, 0xdc, 0x96, 0x0f, 0x70, 0x75, 0x82, 0xb7, 0x03, 0x22, 0xc4,
    0xc3, 0x11, 0xe7, 0x88, 0xa6, 0x07, 0x0b, 0x5f, 0x19,
];

/// 4 MiB of zeros, by the same.
const BROTLI_BOMB: &[u8] =
    &[0x9b, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x07];

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn bare_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn samples() -> Vec<(Coding, Vec<u8>)> {
    vec![
        (Coding::Identity, PLAIN.to_vec()),
        (Coding::Gzip, gzip(PLAIN)),
        (Coding::Deflate, zlib(PLAIN)),
        (Coding::Deflate, bare_deflate(PLAIN)),
        (Coding::Brotli, BROTLI.to_vec()),
    ]
}

/// By pieces of one size.
fn decode_cut(coding: Coding, encoded: &[u8], caps: &Caps, size: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(coding, *caps);
    let mut decoded = Vec::new();
    encoded.chunks(size).try_for_each(|piece| decoder.push(piece, &mut decoded))?;
    decoder.finish()?;
    Ok(decoded)
}

fn fails(coding: Coding, encoded: &[u8], expected: DecodeError) {
    for size in [1, 7, usize::MAX] {
        assert_eq!(
            decode_cut(coding, encoded, &Caps::default(), size),
            Err(expected),
            "{coding:?}, by {size}"
        );
    }
}

#[test]
fn every_coding_is_decoded_whole_and_in_pieces() {
    for (coding, encoded) in samples() {
        assert_eq!(decode(coding, &encoded, &Caps::default()).as_deref(), Ok(PLAIN), "{coding:?}");
        for size in 1..encoded.len() {
            let decoded = decode_cut(coding, &encoded, &Caps::default(), size);
            assert_eq!(decoded.as_deref(), Ok(PLAIN), "{coding:?}, by {size}");
        }
        assert_eq!(decode(coding, b"", &Caps::default()).as_deref(), Ok(&b""[..]), "{coding:?}");
    }
    assert_eq!(decode(Coding::Gzip, &gzip(b""), &Caps::default()).as_deref(), Ok(&b""[..]));
    assert_eq!(decode(Coding::Brotli, &[0x06], &Caps::default()).as_deref(), Ok(&b""[..]));
    // A bare stream of one byte cannot be told from half a zlib header, and there is none that decodes to something.
    assert_eq!(decode(Coding::Deflate, &[3, 0], &Caps::default()).as_deref(), Ok(&b""[..]));
}

#[test]
fn what_is_cut_short_is_an_error_wherever_it_ends() {
    for (coding, encoded) in samples() {
        for end in 1..encoded.len() {
            if coding == Coding::Identity {
                continue;
            }
            assert_eq!(
                decode(coding, &encoded[..end], &Caps::default()),
                Err(DecodeError::Truncated),
                "{coding:?}, {end}"
            );
        }
    }
}

#[test]
fn what_follows_a_body_is_an_error() {
    for (coding, mut encoded) in samples() {
        if coding == Coding::Identity {
            continue;
        }
        for extra in [&b"\0"[..], b"x", b"\n\n\n"] {
            encoded.extend_from_slice(extra);
            fails(coding, &encoded, DecodeError::Trailing);
        }
    }
    for (coding, encoded) in [(Coding::Deflate, zlib(PLAIN)), (Coding::Brotli, BROTLI.to_vec())] {
        fails(coding, &[encoded.clone(), encoded].concat(), DecodeError::Trailing);
    }
}

#[test]
fn gzip_members_follow_each_other() {
    let members = [gzip(PLAIN), gzip(b""), gzip(PLAIN)].concat();
    let expected = [PLAIN, PLAIN].concat();
    for size in [1, 5, 30, usize::MAX] {
        assert_eq!(decode_cut(Coding::Gzip, &members, &Caps::default(), size).as_ref(), Ok(&expected));
    }
    let first = gzip(PLAIN).len();
    for end in [first + 1, first + 10, first + 15, members.len() - 1] {
        fails(Coding::Gzip, &members[..end], DecodeError::Truncated);
    }
}

#[test]
fn gzip_headers_may_hold_what_they_can() {
    let body = bare_deflate(PLAIN);
    let mut crc = Crc::new();
    crc.update(PLAIN);
    let trailer = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
    let full = GzBuilder::new().filename("name").comment("comment").extra(vec![1, 2, 3]).mtime(7);
    let mut encoder = full.write(Vec::new(), Compression::fast());
    encoder.write_all(PLAIN).unwrap();
    let full = encoder.finish().unwrap();
    for size in [1, 3, usize::MAX] {
        assert_eq!(decode_cut(Coding::Gzip, &full, &Caps::default(), size).as_deref(), Ok(PLAIN));
    }

    let header = |flags: u8, rest: &[u8]| [&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255], rest].concat();
    let mut checked = header(0b10, b"");
    let mut sum = Crc::new();
    sum.update(&checked);
    checked.extend_from_slice(&sum.sum().to_le_bytes()[..2]);
    let whole = |header: &[u8]| [header, &body, &trailer].concat();
    for size in [1, 11, usize::MAX] {
        assert_eq!(decode_cut(Coding::Gzip, &whole(&checked), &Caps::default(), size).as_deref(), Ok(PLAIN));
    }
    checked[10] ^= 1;
    fails(Coding::Gzip, &whole(&checked), DecodeError::Checksum);
    fails(Coding::Gzip, &whole(&header(0b0010_0000, b"")), DecodeError::Malformed);
    fails(Coding::Gzip, &whole(&[0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 255]), DecodeError::Malformed);
    fails(Coding::Gzip, b"PK\x03\x04 and so on", DecodeError::Malformed);
    fails(Coding::Gzip, &whole(&header(0b1000, &[b'a'; 5000])), DecodeError::Malformed);
}

#[test]
fn checksums_are_checked() {
    for at in 1..=8 {
        let mut encoded = gzip(PLAIN);
        let at = encoded.len() - at;
        encoded[at] ^= 1;
        fails(Coding::Gzip, &encoded, DecodeError::Checksum);
    }
    let mut encoded = zlib(PLAIN);
    let last = encoded.len() - 1;
    encoded[last] ^= 1;
    fails(Coding::Deflate, &encoded, DecodeError::Malformed);
}

#[test]
fn bodies_that_grow_too_much_are_refused() {
    let zeros = vec![0; 4 << 20];
    let bombs = [
        (Coding::Gzip, gzip(&zeros)),
        (Coding::Deflate, zlib(&zeros)),
        (Coding::Deflate, bare_deflate(&zeros)),
        (Coding::Brotli, BROTLI_BOMB.to_vec()),
    ];
    for (coding, encoded) in bombs {
        let error = |caps: Caps, size| decode_cut(coding, &encoded, &caps, size).map(|decoded| decoded.len());
        for size in [1, 1000, usize::MAX] {
            assert_eq!(
                error(Caps { size: 1 << 20, ratio: u32::MAX }, size),
                Err(DecodeError::Size { cap: 1 << 20 })
            );
            assert_eq!(error(Caps { size: 8 << 20, ratio: 100 }, size), Err(DecodeError::Ratio { cap: 100 }));
            assert_eq!(error(Caps { size: 4 << 20, ratio: u32::MAX }, size), Ok(4 << 20));
        }
        // An error comes before the memory is taken, whichever cap it is.
        let mut decoded = Vec::new();
        let error = Decoder::new(coding, Caps { size: usize::MAX, ratio: 100 }).push(&encoded, &mut decoded);
        assert_eq!(error, Err(DecodeError::Ratio { cap: 100 }));
        assert!(decoded.capacity() <= 2 << 20, "{coding:?}: {}", decoded.capacity());
        let mut decoder = Decoder::new(coding, Caps { size: 1 << 20, ratio: u32::MAX });
        let mut decoded = Vec::new();
        assert!(decoder.push(&encoded, &mut decoded).unwrap_err().is_cap());
        assert!(decoded.capacity() < 4 << 20);
        assert_eq!(decoder.push(b"x", &mut decoded), Err(DecodeError::Size { cap: 1 << 20 }));
        assert_eq!(decoder.finish(), Err(DecodeError::Size { cap: 1 << 20 }));
    }
    // Small ones may: nothing is lost by it. A list of equal records is honest, and gets small.
    let records = format!("[{}]", vec![r#"{"id": 1, "state": "open", "owner": "nobody"}"#; 20_000].join(","));
    let encoded = gzip(records.as_bytes());
    assert!(records.len() > 900_000 && records.len() / encoded.len() > 200, "{}", encoded.len());
    let caps = |ratio| Caps { size: 1 << 20, ratio };
    assert_eq!(decode(Coding::Gzip, &encoded, &caps(1)), Ok(records.into_bytes()));
    let more = vec![0; (1 << 20) + 1];
    let caps = |ratio| Caps { size: 2 << 20, ratio };
    assert_eq!(decode(Coding::Gzip, &gzip(&more), &caps(200)), Err(DecodeError::Ratio { cap: 200 }));
    assert_eq!(decode(Coding::Gzip, &gzip(&more), &caps(2_000)), Ok(more));
    assert_eq!(
        decode(Coding::Identity, b"abc", &Caps { size: 2, ratio: 1 }),
        Err(DecodeError::Size { cap: 2 })
    );
}

#[test]
fn a_window_that_brotli_does_not_have_is_refused() {
    // 100 zeros in the large window extension, which asks for 1 GiB of memory.
    let large = [0x11, 0x5e, 0x8c, 0x01, 0xe0, 0x9f, 0x00, 0x08, 0xc4, 0x02, 0x01, 0x1d];
    fails(Coding::Brotli, &large, DecodeError::Malformed);
}

#[test]
fn what_is_encoded_decodes_to_the_same() {
    let long = PLAIN.repeat(5000);
    for coding in [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli] {
        for plain in [&b""[..], PLAIN, &long] {
            let encoded = encode(coding, plain).unwrap();
            assert_eq!(decode(coding, &encoded, &Caps::default()).as_deref(), Ok(plain));
            let mut encoder = Encoder::new(coding);
            let mut cut = Vec::new();
            for piece in plain.chunks(1000) {
                encoder.push(piece, &mut cut).unwrap();
            }
            encoder.finish(&mut cut).unwrap();
            assert_eq!(cut, encoded, "{coding:?}");
        }
    }
    assert!(encode(Coding::Gzip, &long).unwrap().len() < long.len() / 20);
}

#[test]
fn what_is_flushed_can_be_decoded_at_once() {
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Identity] {
        let mut encoder = Encoder::new(coding);
        let mut decoder = Decoder::new(coding, Caps::default());
        let mut decoded = Vec::new();
        for _ in 0..3 {
            let mut encoded = Vec::new();
            encoder.push(PLAIN, &mut encoded).unwrap();
            encoder.flush(&mut encoded).unwrap();
            decoder.push(&encoded, &mut decoded).unwrap();
            assert!(decoded.ends_with(PLAIN), "{coding:?}");
        }
        let mut encoded = Vec::new();
        encoder.finish(&mut encoded).unwrap();
        decoder.push(&encoded, &mut decoded).unwrap();
        assert_eq!(decoder.finish(), Ok(()));
        assert_eq!(decoded, PLAIN.repeat(3));
        assert_eq!(encoder.push(PLAIN, &mut encoded), Err(EncodeError));
        assert_eq!(encoder.flush(&mut encoded), Err(EncodeError));
        assert_eq!(encoder.finish(&mut encoded), Err(EncodeError));
    }
}

#[test]
fn stored_blocks_of_every_size() {
    for length in [1, 2, 255, 256, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let plain: Vec<u8> = PLAIN.iter().copied().cycle().take(length).collect();
        let encoded = encode(Coding::Brotli, &plain).unwrap();
        assert_eq!(encoded.len(), length + 3 * length.div_ceil(1 << 16) + 1);
        assert_eq!(decode(Coding::Brotli, &encoded, &Caps::default()).as_ref(), Ok(&plain), "{length}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn codings() -> impl Strategy<Value = Coding> {
        proptest::sample::select(vec![Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Identity])
    }

    /// Bodies, some of them damaged.
    fn encoded() -> impl Strategy<Value = (Coding, Vec<u8>)> {
        let plain = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            ("[a-d]{0,8}", 0..3000_usize).prop_map(|(text, times)| text.repeat(times).into_bytes()),
        ];
        let whole = (plain, codings(), 0..4_u8).prop_map(|(plain, coding, which)| match (coding, which) {
            (Coding::Brotli, 0) => (coding, BROTLI.to_vec()),
            (Coding::Brotli, 1) => (coding, BROTLI_BOMB.to_vec()),
            _ => (coding, encode(coding, &plain).unwrap()),
        });
        let damages = proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4);
        (whole, damages, any::<Index>(), 0..4_u8).prop_map(|((coding, mut bytes), damages, at, how)| {
            for (at, byte) in damages.into_iter().filter(|_| how > 0 && !bytes.is_empty()).collect::<Vec<_>>()
            {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            match how {
                2 => bytes.truncate(at.index(bytes.len() + 1)),
                3 => bytes.extend_from_slice(&bytes.clone()),
                _ => {}
            }
            (coding, bytes)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn any_cut_gives_the_same((coding, encoded) in encoded(), sizes in proptest::collection::vec(0..200_usize, 0..40), size in prop_oneof![0..100_000_usize, Just(2 << 20)]) {
            let caps = Caps { size, ratio: 50 };
            let whole = decode(coding, &encoded, &caps);
            let mut decoder = Decoder::new(coding, caps);
            let mut decoded = Vec::new();
            let mut rest = &encoded[..];
            let mut result = Ok(());
            for size in sizes {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                rest = after;
                result = result.and_then(|()| decoder.push(piece, &mut decoded));
            }
            result = result.and_then(|()| decoder.push(rest, &mut decoded)).and_then(|()| decoder.finish());
            let cut = result.map(|()| decoded);
            // What a decoder of br has made of a piece in which it fails is lost: see [`Decoder`].
            let either = |one: &DecodeError, other: &DecodeError| one.is_cap() && *other == DecodeError::Malformed;
            match (&cut, &whole) {
                (Err(one), Err(other)) if coding == Coding::Brotli && (either(one, other) || either(other, one)) => {}
                _ => prop_assert_eq!(cut, whole),
            }
        }

        #[test]
        fn what_is_both_damaged_and_too_large_is_one_of_these(size in 0..12_usize, at in 0..28_usize) {
            let encoded = [
                155, 255, 255, 63, 248, 39, 0, 226, 177, 64, 32, 0, 254, 7, 155, 255, 255, 63, 248, 39, 0, 226, 177, 64, 32,
                0, 254, 7,
            ];
            let mut decoder = Decoder::new(Coding::Brotli, Caps { size, ratio: 50 });
            let mut decoded = Vec::new();
            let (first, second) = encoded.split_at(at);
            let result = decoder.push(first, &mut decoded).and_then(|()| decoder.push(second, &mut decoded));
            prop_assert!(matches!(result, Err(DecodeError::Malformed | DecodeError::Size { .. })), "{:?}", result);
        }

        #[test]
        fn no_bytes_panic(coding in codings(), bytes: Vec<u8>) {
            let _ = decode(coding, &bytes, &Caps::default());
            let _ = decode(Coding::Gzip, &[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], &bytes[..]].concat(), &Caps::default());
        }

        #[test]
        fn any_cut_encodes_the_same(plain: Vec<u8>, times in 1..400_usize, size in 1..5000_usize) {
            let plain = plain.repeat(times);
            for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
                let mut encoder = Encoder::new(coding);
                let mut cut = Vec::new();
                for piece in plain.chunks(size) {
                    encoder.push(piece, &mut cut).unwrap();
                }
                encoder.finish(&mut cut).unwrap();
                prop_assert_eq!(&cut, &encode(coding, &plain).unwrap());
                let decoded = decode(coding, &cut, &Caps { size: usize::MAX, ratio: u32::MAX });
                prop_assert_eq!(decoded.as_ref(), Ok(&plain));
            }
        }
    }
}
