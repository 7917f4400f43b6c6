//! What is found: each detector once, for real, where a name says what it is.

use std::collections::BTreeSet;

use meshgate_detect::Kind;
use meshgate_e2e::{Reply, Value, json};

use crate::support::*;

/// A detector, the name beside the value, the value.
fn samples() -> Vec<(&'static str, &'static str, String)> {
    let random = |count: usize| "Zx9Kq2Lm8Vt4Wp6Rn1Yc3Bd5HgTfJkSaQePuMv7Xw0"[..count].to_owned();
    // Not whole, so that nobody takes this file for a leak.
    let key = ["-----BEGIN ", "PRIVATE KEY-----\n"].concat() + &format!("{}\n", random(40)).repeat(3);
    vec![
        ("payment.card", "card", CARD.to_owned()),
        ("payment.track", "track", ";4111111111111111=25121010000012300000?".to_owned()),
        ("payment.iban", "account", "DE89370400440532013000".to_owned()),
        ("us.ssn", "ssn", "536-22-3456".to_owned()),
        ("us.itin", "itin", "912-70-1234".to_owned()),
        ("us.ein", "ein", "12-3456789".to_owned()),
        ("secrets.aws", "note", format!("AKIA{}", "Q2W3E4R5T6Y7UIOP")),
        (
            "secrets.aws_secret",
            "aws_secret_access_key",
            ["wJalrXUtnFEMI/K7MDENG", "/bPxRfiCYzT4n8Qw2sV"].concat(),
        ),
        ("secrets.gcp", "note", format!("AIza{}", random(35))),
        ("secrets.generic", "password", "hunter2!".to_owned()),
        ("secrets.github", "note", format!("ghp_{}", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17")),
        ("secrets.jwt", "note", ["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxIn0", &random(30)].join(".")),
        ("secrets.npm", "note", format!("npm_{}", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17")),
        ("secrets.private_key", "note", format!("{key}-----END {}", "PRIVATE KEY-----")),
        ("secrets.slack", "note", format!("xoxb-123456789012-{}", random(24))),
        ("secrets.stripe", "note", format!("sk_live_{}", random(24))),
        ("secrets.url", "note", format!("postgres://user:{}@db.example.com/app", "S3cr3tPassw0rd")),
        ("contact.email", "note", "john.doe@example.com".to_owned()),
        ("contact.phone", "phone", "+1 415 555 2671".to_owned()),
        ("network.ip", "note", "93.184.216.34".to_owned()),
    ]
}

/// Each byte that has a meaning in a query.
fn in_a_query(value: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(escaped).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_detector_finds_what_it_is_for() {
    let samples = samples();
    let kinds: BTreeSet<_> = samples.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, Kind::all().map(Kind::name).collect());

    let places = json!(["response.body", "request.body", "request.query", "request.headers"]);
    let packs: Vec<_> = Kind::packs().collect();
    let envoy = start(json!({ "rules": [{ "find": packs, "in": places, "do": "replace" }] })).await;
    let client = envoy.http1();
    for (kind, name, value) in &samples {
        let tag = format!("[{}]", kind.replace(['.', '_'], " ").to_uppercase());
        // Of a URL the password alone goes.
        let secret = if *kind == "secrets.url" { "S3cr3tPassw0rd" } else { value };
        let body = json!({ "before": 1, *name: value, "after": "x" });
        let expected = json!({ "before": 1, *name: value.replace(secret, &tag), "after": "x" });

        let answer = get(&client, &envoy, reply("application/json").body(body.to_string())).await;
        assert_eq!(answer.json(), expected, "{kind} in a response");
        envoy.upstream().respond(Reply::status(200));
        let path = format!("/?a=1&{name}={}", in_a_query(value));
        let request = client.post(&path).json(&body);
        // No field has a line's end in it.
        let field = value.replace('\n', " ");
        assert_eq!(request.header(name, &field).send().await.unwrap().status, 200);
        let got = envoy.upstream().requests().pop().unwrap();
        assert_eq!(got.text().parse::<Value>().unwrap(), expected, "{kind} in a request");
        let query = in_a_query(&value.replace(secret, &tag));
        assert_eq!(
            got.path.replace("%20", "+"),
            format!("/?a=1&{name}={query}").replace("%20", "+"),
            "{kind} in a query"
        );
        assert_eq!(
            got.header(name),
            Some(field.replace(&secret.replace('\n', " "), &tag).as_str()),
            "{kind} in a field"
        );
    }
    assert_well(&envoy).await;
}
