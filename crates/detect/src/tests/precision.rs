//! What looks like sensitive data, and is none; and what is held back at the end of a window.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{everything, scan, scanner};
use crate::{DEFAULT_CONFIDENCE, DEFAULT_PACKS, Scanner, Syntax};

fn false_positives(scanner: &Scanner, text: &str) -> Vec<String> {
    scan(scanner, text.as_bytes(), Syntax::Json)
        .into_iter()
        .filter(|finding| finding.confidence >= DEFAULT_CONFIDENCE)
        .map(|finding| format!("{} {}", finding.kind, &text[finding.range]))
        .collect()
}

/// As it stands in real answers of APIs.
const INNOCENT: &str = r#"{
  "id": "550e8400-e29b-41d4-a716-446655440000", "epoch": 1700000000, "millis": 1700000000123, "micros": 1700000000123456,
  "nanos": 1700000000123456789, "time": "2024-05-06T07:08:09.123456Z", "offset": "+02:00", "date": "20240506", "lat": 52.520008,
  "lng": 13.404954, "coordinates": [-122.4194155, 37.7749295], "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709", "sha256":
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "md5": "d41d8cd98f00b204e9800998ecf8427e", "isbn":
  "978-3-16-148410-0", "isbn10": "0-306-40615-2", "order": "ORD-2024-000123456", "invoice": "INV 4711 0815 1234", "version": "1.22.3",
  "semver": "2.10.0-rc.1+build.5114f85", "git": "9fceb02d0ae598e95dc970b74767f19372d61af8", "price": 1234.56, "float":
  0.30000000000000004, "big": 6.02214076e+23, "etag": "W/\"33a64df551425fcc55e4d42a148795d9f25f89d4\"", "image":
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "ean": "4006381333931", "snowflake": "1541815603606036480", "mac": "00:1b:44:11:3a:b7", "range": "100-200", "phone_model": "SM-G991B",
  "url": "https://cdn.example.com/a/b@2x.png?v=1.2.3", "scope": "std::collections::HashMap", "css": "@media (min-width: 640px)",
  "ratio": "16:9", "duration": "01:02:03", "token_count": 1234567890, "max_tokens": 4096, "next_page_token": "CAUQAA", "zip": "94103-1234",
  "percent": "50%", "sku": "AB12-CD34-EF56", "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "ua":
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36", "tracking":
  "9400111899223197428490", "flight": "LH 1234", "room": "B-12-3456", "password_policy": "min 12", "secret_santa": true
}"#;

#[test]
fn an_ordinary_answer() {
    let all = false_positives(&everything(), INNOCENT);
    assert_eq!(all, [""; 0]);
    assert_eq!(false_positives(&scanner(DEFAULT_PACKS), INNOCENT), [""; 0]);
}

/// A small generator, the same everywhere (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, count: usize, alphabet: &str) -> String {
        let alphabet = alphabet.as_bytes();
        (0..count)
            .map(|_| char::from(alphabet[usize::try_from(self.next() >> 33).unwrap() % alphabet.len()]))
            .collect()
    }
}

const HEX: &str = "0123456789abcdef";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[test]
fn random_identifiers() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let scanner = everything();
    let mut all = Vec::new();
    for _ in 0..3000 {
        let (a, b) = (random.next(), random.next());
        let text = format!(
            "{{\"a\":\"{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}\",\"b\":{},\"c\":{},\"d\":\"{}\",\"e\":\"{}\",\"f\":{}.{:07},\"g\":\"{}\",\
             \"h\":0.{:016},\"i\":\"{:02}:{:02}:{:02}\",\"j\":\"{}.{}.{}\",\"k\":{},\"l\":\"{}\",\"order_id\":{}}}",
            a >> 32,
            a & 0xffff,
            b & 0xfff,
            a >> 20 & 0xfff,
            b >> 16,
            1_600_000_000 + a % 200_000_000,
            1_600_000_000_000 + a % 200_000_000_000,
            random.text(40, HEX),
            random.text(64, HEX),
            a % 180,
            b % 10_000_000,
            random.text(400, BASE64),
            a % 10_000_000_000_000_000,
            a % 24,
            b % 60,
            a % 60,
            a % 20,
            b % 40,
            a % 100,
            1_600_000_000_000_000 + a % 200_000_000_000_000,
            random.text(43, BASE64URL),
            4_000_000_000_000_000 + a % 1_000_000_000_000_000,
        );
        all.extend(false_positives(&scanner, &text));
    }
    // No digits in them are 16 of a brand, other than those of an order.
    assert_eq!(all, [""; 0]);
}

fn held(scanner: &Scanner, text: &str) -> usize {
    text.len() - scanner.scan(text.as_bytes(), 0, false, Syntax::Json, &mut Vec::new())
}

#[test]
fn little_is_held_back() {
    let (all, default) = (everything(), scanner(DEFAULT_PACKS));
    for (text, of_all, of_default) in [
        ("{\"a\":1}", 0, 0),
        ("{\"a\":\"hello\"", 0, 0),
        ("data: hello world\n\n", 0, 0),
        ("hello ", 0, 0),
        ("hello, ", 0, 0),
        ("<p>", 0, 0),
        ("hello", 5, 0),
        ("{\"ssn\":\"", 0, 0),
        ("{\"password\":", 1, 0),
        ("{\"password\":\"", 0, 0),
        ("{\"password\":\"hunt", 4, 4),
        ("call 415", 3, 3),
        ("call 415 ", 4, 4),
        ("4111 1111 11", 12, 12),
        ("x 4111 1111 1111 1112 ", 20, 20),
        ("x 4111 1111 1111 1112 (", 3, 0),
        ("see http", 4, 0),
        ("https://user:pa", 7, 7),
        ("https://example.com/a/b/c", 1, 1),
        ("a b eyJ", 3, 3),
        ("a b -----BEG", 8, 8),
        ("\\u00", 4, 4),
    ] {
        assert_eq!((held(&all, text), held(&default, text)), (of_all, of_default), "{text}");
    }
    let base64 = Random(7).text(100_000, BASE64);
    assert!(held(&all, &base64) <= 65);
    assert!(held(&default, &base64) <= 32);
}

#[test]
fn findings_never_show_what_they_found() {
    let mut findings = Vec::new();
    scanner(&["payment"]).scan(b"4111111111111111", 0, true, Syntax::Text, &mut findings);
    assert_eq!(
        format!("{findings:?}"),
        "[Finding { id: 0, kind: \"payment.card\", range: 0..16, confidence: 60, escaped: false, sample: true }]"
    );
    let chars = findings[0].chars(b"4111111111111111", Syntax::Text);
    assert_eq!(format!("{chars:?}"), "Chars { at: 0, .. }");
}
