//! Tokens, keys and passwords.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{found, scan, scanner, sure};
use crate::Syntax;

/// What looks random: so many characters, all different as far as they go.
fn random(count: usize, alphabet: &str) -> String {
    (0..count)
        .map(|index| char::from(alphabet.as_bytes()[(index * 7 + index / 10) % alphabet.len()]))
        .collect()
}

const BASE62: &str = "Zx9Kq2Lm8Vt4Wp6Rn1Yc3Bd5HgTfJkSaQePuMv7Xw0";

/// In other texts too: alone, in JSON, a URL, a header; and not in the middle of a word.
fn check(kind: &str, secret: &str) {
    for around in
        [["", ""], ["\"", "\""], ["key=", "&x"], ["x: ", "\r\n"], ["(", ")"], ["\\n", "\\n"], [",", ","]]
    {
        let text = around.join(secret);
        assert_eq!(sure(kind, &text), Some(secret), "{text}");
    }
    assert_eq!(found(kind, &format!("abc{secret}")), [], "{secret}");
    assert_eq!(found(kind, &[secret, secret].join(",")).len(), 2, "{secret}");
}

#[test]
fn tokens_with_a_prefix() {
    check("secrets.aws", &format!("AKIA{}", "IOSF4DNN7ABCDEFG"));
    check("secrets.aws", &format!("ASIA{}", "Q2W3E4R5T6Y7UIOP"));
    check("secrets.gcp", &format!("AIza{}", random(35, BASE62)));
    check("secrets.gcp", &format!("GOCSPX-{}", random(28, BASE62)));
    check("secrets.gcp", &format!("ya29.{}", random(60, BASE62)));
    check("secrets.github", &format!("github_pat_{}_{}", random(22, BASE62), random(59, BASE62)));
    check("secrets.slack", &format!("xoxb-123456789012-{}", random(24, BASE62)));
    check("secrets.slack", &format!("xapp-1-A0-{}", random(24, BASE62)));
    check("secrets.slack", &format!("hooks.slack.com/services/T00000001/B00000002/{}", random(24, BASE62)));
    check("secrets.stripe", &format!("sk_live_{}", random(24, BASE62)));
    check("secrets.stripe", &format!("rk_test_{}", random(24, BASE62)));
    check("secrets.stripe", &format!("whsec_{}", random(32, BASE62)));
    for text in [
        "AKIA",
        "AKIAIOSFODNN7ABCDEFGH",
        "AKIAIOSFODNN7ABCDEF",
        "AKIAIOSFODNN7abcdefg",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AIzaShort",
        "xoxb-",
        "xoxb-xxxxxxxxxxxxxxxxxxxxxxxx",
        "xoxing-the-river-is-fun-1234",
        "sk_live_",
        "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx",
        "pk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "github_pat_xxx",
        "ya29.short",
    ] {
        assert_eq!(sure("secrets", text), None, "{text}");
    }
}

#[test]
fn checksums_of_tokens_are_verified() {
    for prefix in ["ghp", "gho", "ghu", "ghs", "ghr"] {
        check("secrets.github", &format!("{prefix}_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"));
    }
    check("secrets.npm", "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");
    for text in [
        "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18",
        "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkK0mLq17",
        "npm_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18",
    ] {
        assert_eq!(sure("secrets", text), None, "{text}");
    }
}

const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

#[test]
fn json_web_tokens() {
    check("secrets.jwt", JWT);
    // Of RFC 7519 section 6.1, and encrypted with an empty key.
    check("secrets.jwt", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ.");
    check("secrets.jwt", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXZpdg.Y2lwaGVy.dGFn");
    assert_eq!(sure("secrets.jwt", &format!("the token {JWT}. Then")), Some(JWT));
    for text in [
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIx",
        "eyJmb28iOiJiYXIifQ.eyJzdWIiOiIx.c2ln",
        "eyJub3RqccccccccccccccccccJzb24.eyJzdWIiOiIx.c2ln",
        "eyJ.a.b",
    ] {
        assert_eq!(found("secrets.jwt", text), [], "{text}");
    }
}

#[test]
fn private_keys_are_found_whole() {
    let body = random(64, BASE62);
    for label in
        ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]
    {
        for line in ["\n", "\\n", "\r\n", "\\\\n"] {
            let key = format!("-----BEGIN {label}-----{line}{body}{line}{body}==\n-----END {label}-----");
            let text = format!("\"{key}\\n\",");
            assert_eq!(found("secrets.private_key", &text), [(key.as_str(), 99)], "{text}");
        }
    }
    // The largest in use, and one that goes on without an end.
    let lines = [body.as_str(); 196].join("\n");
    let key = format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----");
    assert_eq!(found("secrets", &key), [(key.as_str(), 99)]);
    let endless = format!("-----BEGIN PRIVATE KEY-----\n{}", [body.as_str(); 1000].join("\n"));
    let start = found("secrets.private_key", &endless);
    assert_eq!(start.len(), 1);
    assert!(start[0].0.len() > 14 * 1024);
    for text in [
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----"),
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"),
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----".to_owned(),
        "paste it after -----BEGIN PRIVATE KEY----- please".to_owned(),
    ] {
        assert_eq!(found("secrets.private_key", &text), [], "{text}");
    }
}

#[test]
fn passwords_in_urls() {
    for (text, password) in [
        ("postgres://app:hunter2@db.example.com:5432/x", "hunter2"),
        ("see https://me:s3cr3t!@example.com/a?b=c@d", "s3cr3t!"),
        ("amqp://u:p@ss@host", "p@ss"),
        ("redis://:only-password1@cache:6379", "only-password1"),
        ("\"mongodb+srv://a:b:c@x.mongodb.net\"", "b:c"),
        ("https:\\/\\/me:s3cr3t@example.com", "s3cr3t"),
    ] {
        assert_eq!(sure("secrets.url", text), Some(password), "{text}");
    }
    for text in [
        "https://example.com/a:b@c",
        "https://user@example.com",
        "https://user:@example.com",
        "//user:pass1@example.com",
        "mailto:john:x@example.com",
        "https://a:b c@example.com",
        "https://u:${PASSWORD}@host",
        "https://u:****@host",
        "https://user:password@host",
        "https://u:p@",
        "a:b@c",
    ] {
        assert_eq!(sure("secrets.url", text), None, "{text}");
    }
    // What is behind the colon is no email address.
    assert_eq!(found("contact", "postgres://app:hunter2@db.example.com/x"), [("hunter2@db.example.com", 90)]);
    let both =
        scan(&scanner(&["contact", "secrets"]), b"postgres://app:hunter2@db.example.com/x", Syntax::Text);
    assert_eq!(both.len(), 1);
    assert_eq!(both[0].kind.name(), "secrets.url");
}

#[test]
fn secrets_by_name() {
    let secret = random(32, BASE62);
    for text in [
        format!("{{\"password\": \"{secret}\"}}"),
        format!("{{\"client_secret\":\"{secret}\"}}"),
        format!("{{\"apiKey\" : \"{secret}\"}}"),
        format!("API_KEY={secret}"),
        format!("api-key: {secret}\n"),
        format!("token={secret}&x=1"),
        format!("'access_token' => '{secret}'"),
        format!("Authorization: Bearer {secret}"),
        format!("config[\"db.password\"]='{secret}';"),
        format!("{{\\\"password\\\":\\\"{secret}\\\"}}"),
        format!("refreshToken: {secret}, x"),
        format!("PRIVATE_KEY=\"{secret}\""),
    ] {
        assert_eq!(sure("secrets.generic", &text), Some(secret.as_str()), "{text}");
    }
    assert_eq!(sure("secrets.generic", "{\"password\":\"hunter2!\"}"), Some("hunter2!"));
    assert_eq!(sure("secrets.generic", "{\"password\":\"letmein\"}"), Some("letmein"));
    for text in [
        "Password: Must contain a digit",
        "{\"max_tokens\": 123456789012345}",
        "{\"token_type\":\"Bearer\"}",
        "{\"password\": null}",
        "{\"password\":\"\"}",
        "{\"password\":\"must not be empty\"}",
        "{\"password\":\"********\"}",
        "{\"password\":\"${DB_PASSWORD}\"}",
        "{\"next_page_token\":\"Zx9Kq2Lm8Vt4Wp6Rn1Yc3Bd5\"}",
        "{\"public_key\":\"Zx9Kq2Lm8Vt4Wp6Rn1Yc3Bd5\"}",
        "{\"secret_name\":\"Zx9Kq2Lm8Vt4Wp6Rn1Yc3Bd5\"}",
        "{\"token\":\"aaaaaaaaaaaaaaaaaaaaaaaa\"}",
        "{\"password\":\"required\"}",
        "a token of appreciation",
        "password reset: see https",
        "{\"tokens\":[1,2,3]}",
        "the secret: of happiness",
        "{\"api_key\":\"{{key}}\"}",
    ] {
        assert_eq!(sure("secrets.generic", text), None, "{text}");
    }
    let aws = "wJalrXUtnFEMIK7MDENGbPxRfiCYzzAMPLEKEYab";
    for text in [format!("aws_secret_access_key = {aws}"), format!("{{\"SecretAccessKey\": \"{aws}\"}}")] {
        assert_eq!(sure("secrets.aws_secret", &text), Some(aws), "{text}");
    }
    assert_eq!(found("secrets.aws_secret", &format!("checksum = {aws}")), []);
}

#[test]
fn secrets_under_a_name_that_the_caller_knows() {
    let scanner = scanner(&["secrets"]);
    let named = |key: &str, value: &str| {
        let mut findings = Vec::new();
        scanner.scan_value(value.as_bytes(), Some(key.as_bytes()), Syntax::Header, &mut findings);
        findings.into_iter().map(|finding| value[finding.range].to_owned()).collect::<Vec<_>>()
    };
    let secret = random(32, BASE62);
    assert_eq!(named("authorization", &format!("Bearer {secret}")), [secret.as_str()]);
    assert_eq!(named("x-api-key", &secret), [secret.as_str()]);
    assert_eq!(named("x-request-id", &secret), [""; 0]);
    // The better known of the two.
    assert_eq!(named("authorization", &format!("Bearer {JWT}")), [JWT]);
}
