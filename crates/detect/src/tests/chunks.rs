//! Whatever the chunks, the findings are those of the whole.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::{
    DictionaryOptions, Finding, Kind, LOOKBEHIND, MAX_MATCH, Scanner, ScannerBuilder, Syntax, context_start,
};

/// Values, parts of values, and what stands between them.
const PIECES: &[&str] = &[
    "4111111111111111",
    "4111 1111 1111 1111",
    "5500-0000-0000-0004",
    "378282246310005",
    "3782 822463 10005",
    "6759649826438453",
    "2223003122003222",
    "4222222222222",
    "4111111111111111.0",
    "4111111111111111E+00",
    "e0",
    "E+",
    ";4111111111111111=25121010000012300000?",
    "%B4111111111111111^DOE/JOHN^2512101?",
    "078-05-1121",
    "219-09-9998",
    "912-70-1234",
    "12-3456789",
    "536223456",
    "ssn",
    "SSN: ",
    "\"ssn\":\"",
    "\"card_number\": ",
    "\"order_id\": ",
    "\"ein\":",
    "phone=",
    "tel ",
    "card ",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "GB82WEST12345698765432",
    "gb82west12345698765432",
    "NO9386011117947",
    "john.doe@example.com",
    "a@b.co",
    "x.y-z+tag@mail.example.org",
    "user@",
    "@example.com",
    "+14155552671",
    "+49 30 123456",
    "+1 (415) 555-2671",
    "(415) 555-2671",
    "415-555-2671",
    "1-415-555-2671",
    "4155552671",
    "8.8.8.8",
    "192.168.0.1",
    "1.2.3.4.5",
    "2001:db8::8a2e:370:7334",
    "fe80::1",
    "::1",
    "12:34:56",
    "https://user:hunter2@example.com/",
    "postgres://u:p@ss@db:5432/x",
    "http://",
    "://",
    "s3cr3t@host",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "eyJ",
    "AKIAIOSFODNN7ABCDEFG",
    "AKIA",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "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",
    "ghp_",
    "npm_",
    "xoxb-123456789012-abcdefghijklmnop",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n",
    "-----END",
    "\"password\":\"hunter2-horse\"",
    "password=",
    "token: Bearer ",
    "\"api_key\" : \"",
    "Zx9Kq2Lm8Vt4Wp6Rn1Yc3Bd5",
    "secretAccessKey=wJalrXUtnFEMIK7MDENGbPxRfiCYzzAMPLEKEYab",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    ",",
    ";",
    "&",
    "=",
    ":",
    " ",
    "  ",
    "\n",
    "\\n",
    "\\\"",
    "\\\\",
    "\\",
    "\\u0034",
    "\\u00",
    "\\u002d",
    "\\u00a0",
    "%34",
    "%",
    "%3D",
    "+",
    "-",
    ".",
    "/",
    "_",
    "(",
    ")",
    "0",
    "1",
    "4",
    "5",
    "12",
    "123",
    "1234",
    "12345",
    "abc",
    "hello",
    "The",
    "é",
    "卡号",
    "\u{a0}",
    "foo",
    "foobar",
    "bar",
    "aaa",
    "X-1234",
    "x",
    "AB",
];

const SYNTAXES: [Syntax; 4] = [Syntax::Json, Syntax::Form, Syntax::Url, Syntax::Text];

/// Legible where a test fails.
#[derive(Clone)]
struct Document(Vec<u8>);

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

fn document() -> impl Strategy<Value = Document> {
    let piece = prop_oneof![
        12 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        2 => (proptest::sample::select(b"a1-\\ ".as_slice()), 0..700_usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| Document(pieces.concat()))
}

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    let mut builder = ScannerBuilder::new();
    for (kind, id) in Kind::all().zip(0..) {
        builder.kind(id, kind);
    }
    builder.regex(100, r"\bX-\d{4}\b").unwrap();
    builder.regex(101, "a{3}b{0,5}c|a").unwrap();
    builder.regex(102, "(?i)foo.{0,20}bar").unwrap();
    let words = DictionaryOptions { ignore_case: true, whole_words: true };
    builder.dictionary(103, ["foo", "foo bar", "hello"], words).unwrap();
    builder.dictionary(104, ["aa", "ab", "11"], DictionaryOptions::default()).unwrap();
    builder.build()
});

fn shifted(finding: &Finding, by: usize) -> Finding {
    Finding { range: finding.range.start + by..finding.range.end + by, ..finding.clone() }
}

/// As a proxy does it: bytes come, what is decided goes, with [`LOOKBEHIND`] bytes kept.
fn in_chunks(
    scanner: &Scanner,
    text: &[u8],
    syntax: Syntax,
    mut next: impl FnMut() -> usize,
) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut findings = Vec::new();
    let (mut decided, mut shown) = (0, 0);
    loop {
        shown = (shown + next()).min(text.len());
        let end = shown == text.len();
        let start = context_start(text, decided);
        let border = start + scanner.scan(&text[start..shown], decided - start, end, syntax, &mut findings);
        assert!(decided <= border && border <= shown, "{decided} {border} {shown}");
        for finding in &findings {
            let finding = shifted(finding, start);
            assert!(
                finding.range.start >= decided && finding.range.end <= border,
                "{finding:?} {decided} {border}"
            );
            all.push(finding);
        }
        decided = border;
        if end {
            assert_eq!(decided, text.len());
            return all;
        }
    }
}

fn whole(scanner: &Scanner, text: &[u8], syntax: Syntax) -> Vec<Finding> {
    let findings = super::scan(scanner, text, syntax);
    for finding in &findings {
        let (weakest, strongest) = finding.kind.confidence();
        assert!((weakest..=strongest).contains(&finding.confidence), "{finding:?}");
        let end = finding.chars(text, syntax).fold(finding.range.start, |end, (_, range)| {
            assert!(range.start == end || range.end == end, "{finding:?} {range:?}");
            range.end
        });
        assert_eq!(end, finding.range.end);
    }
    findings
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn chunks_make_no_difference(
        Document(text) in document(),
        sizes in proptest::collection::vec(1..200_usize, 1..20),
        syntax in proptest::sample::select(SYNTAXES.as_slice()),
    ) {
        let mut sizes = sizes.into_iter().cycle();
        let chunked = in_chunks(&SCANNER, &text, syntax, || sizes.next().unwrap());
        prop_assert_eq!(chunked, whole(&SCANNER, &text, syntax));
    }

    #[test]
    fn single_bytes_make_no_difference(
        Document(text) in document(),
        syntax in proptest::sample::select(SYNTAXES.as_slice()),
    ) {
        let text = &text[..text.len().min(600)];
        prop_assert_eq!(in_chunks(&SCANNER, text, syntax, || 1), whole(&SCANNER, text, syntax));
    }

    #[test]
    fn any_bytes_will_do(
        text in proptest::collection::vec(any::<u8>(), 0..3000),
        sizes in proptest::collection::vec(1..700_usize, 1..20),
        syntax in proptest::sample::select(SYNTAXES.as_slice()),
    ) {
        let mut sizes = sizes.into_iter().cycle();
        prop_assert_eq!(in_chunks(&SCANNER, &text, syntax, || sizes.next().unwrap()), whole(&SCANNER, &text, syntax));
    }

    /// What is before [`LOOKBEHIND`] and behind [`MAX_MATCH`] does not matter.
    #[test]
    fn far_away_makes_no_difference(
        Document(text) in document(),
        Document(before) in document(),
        syntax in proptest::sample::select([Syntax::Header, Syntax::Text].as_slice()),
    ) {
        // No value reaches over this.
        let between = b"{\n".repeat(LOOKBEHIND / 2);
        let behind = b"{\n".repeat(MAX_MATCH / 2);
        let long = [&before, between.as_slice(), &text, &behind, &before].concat();
        let (from, to) = (before.len() + LOOKBEHIND, before.len() + LOOKBEHIND + text.len());
        let padded = [between.as_slice(), &text, &behind].concat();
        let near: Vec<_> =
            whole(&SCANNER, &padded, syntax).iter().map(|finding| shifted(finding, before.len())).collect();
        let far: Vec<_> = whole(&SCANNER, &long, syntax)
            .into_iter()
            .filter(|finding| (from..to).contains(&finding.range.start))
            .collect();
        prop_assert_eq!(far, near);
    }
}
