//! The little of DER (ITU-T X.690) that hosts need to check signatures: public keys as SubjectPublicKeyInfo (RFC 5280
//! section 4.1) and ECDSA signatures as `ECDSA-Sig-Value` (RFC 3279 section 2.2.3).

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// `rsaEncryption` and its NULL (RFC 3279 section 2.3.1).
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// `id-ecPublicKey` (RFC 5480 section 2.1.1).
const EC: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";

/// The object identifiers of curves (RFC 5480 section 2.1.1.1).
pub const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
pub const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
pub const P521: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x23";

/// An RSA public key, from its numbers in big-endian bytes.
pub fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = element(SEQUENCE, &[integer(modulus), integer(exponent)].concat());
    public_key(RSA, &key)
}

/// An EC public key, from the object identifier of its curve and its point (SEC 1 section 2.3.3).
pub fn ec_public_key(curve: &[u8], point: &[u8]) -> Vec<u8> {
    public_key(&[EC, curve].concat(), point)
}

/// An ECDSA signature, from its two numbers of equal length (RFC 7518 section 3.4).
pub fn ecdsa_signature(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at_checked(signature.len() / 2).unwrap_or_default();
    element(SEQUENCE, &[integer(r), integer(s)].concat())
}

fn public_key(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    const NO_UNUSED_BITS: &[u8] = &[0];
    let bits = element(BIT_STRING, &[NO_UNUSED_BITS, key].concat());
    element(SEQUENCE, &[element(SEQUENCE, algorithm), bits].concat())
}

/// A number that is not negative, in as few bytes as it has.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if bytes.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, bytes].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = vec![tag];
    match length {
        [0, short @ ..0x80] => bytes.push(short),
        [0, low] => bytes.extend([0x81, low]),
        [high, low] => bytes.extend([0x82, high, low]),
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn numbers_are_short_and_never_negative() {
        for (bytes, der) in [
            (&b""[..], &b"\x02\x01\x00"[..]),
            (b"\0\0", b"\x02\x01\x00"),
            (b"\x7f", b"\x02\x01\x7f"),
            (b"\x80", b"\x02\x02\x00\x80"),
            (b"\0\0\x80", b"\x02\x02\x00\x80"),
            (b"\x01\x00\x01", b"\x02\x03\x01\x00\x01"),
        ] {
            assert_eq!(integer(bytes), der);
        }
    }

    #[test]
    fn lengths_take_the_bytes_they_need() {
        for (length, start) in [
            (0, &b"\x30\x00"[..]),
            (127, b"\x30\x7f"),
            (128, b"\x30\x81\x80"),
            (255, b"\x30\x81\xff"),
            (256, b"\x30\x82\x01\x00"),
            (65_535, b"\x30\x82\xff\xff"),
        ] {
            let bytes = element(SEQUENCE, &vec![7; length]);
            assert_eq!((bytes.len(), bytes.starts_with(start)), (start.len() + length, true));
        }
    }

    #[test]
    fn a_signature_is_its_two_numbers() {
        assert_eq!(ecdsa_signature(&[0, 1, 0x80, 2]), b"\x30\x08\x02\x01\x01\x02\x03\x00\x80\x02");
    }
}
