//! Wrong configurations: Envoy refuses each, and its log has one line that says where, what was found, what was expected.

use meshgate_e2e::{Config, Envoy, Listener, Value, Wasm, json};

use crate::support::*;

/// A key that stands where it should not: no log may have it.
const SECRET: &str = "hunter2-the-key-itself";

const NAME: &str = "expected 1 to 128 printable ASCII characters without spaces around them";
const FIELDS: &str = r#"one of "match", "keys_from", "hide_credentials", "realm", "filter_state", "headers", "over_limit", "unauthorized", "forbidden", "near_limit", "usage_endpoint", "limits", "routes", "plans", "consumers", "key_files", "anonymous", "access", "preflight", "key_format" and 6 more"#;
const PARTS: &str =
    r#""method", "host", "path", "query", "header", "cookie", "status", "content_type", "percent""#;
const RATE: &str = "expected a rate such as 5/s, 100/m, 10000/month or 1000/30s";
const PERIOD: &str =
    "expected a rate per s, m, h, d, week, month, year or a duration such as 30s: 100/m, 1000/30s";
const UNQUOTED: &str = "YAML reads an unquoted y, n, yes, no, on or off as a boolean: quote it";
const NO_RESPONSE: &str = "requests are decided on before there is a response";
const DIGEST: &str =
    r#"expected the SHA-256 of the key as 64 hexadecimal digits: printf %s "$KEY" | sha256sum"#;

/// What all here is made from by one mistake.
fn good() -> Value {
    document(json!({ "free": { "limits": [{ "name": "burst", "rate": "5/s" }] } }), &[("acme", "free")])
}

/// A listener with a text for a configuration.
fn with_text(text: &str) -> Listener {
    Listener::new().filter(Wasm::module(MODULE).config_text(text))
}

/// What our lines in a log say.
fn said(log: &str) -> Vec<&str> {
    log.lines().filter_map(|line| line.split_once("wasm log: ")).map(|(_, said)| said).collect()
}

/// Each of these texts is refused, with this line and no other, and changes nothing.
async fn texts_refused(cases: Vec<(String, String)>) {
    let mut envoy = Envoy::start(Config::from(listener(good())).file_lds()).await.unwrap();
    let mut wrong = Vec::new();
    for (text, expected) in &cases {
        let log = envoy.update_refused(with_text(text)).await.unwrap();
        let said = said(&log);
        if said != [format!("quota: configuration refused: {expected}")] {
            let text: String = text.chars().take(500).collect();
            wrong.push(format!("{text}\n  expected {expected}\n  found    {}", said.join(" | ")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(!envoy.log().contains(SECRET), "{}", envoy.log());
    let rejected = envoy.stat("listener_manager.lds.update_rejected").await.unwrap();
    assert_eq!(rejected, u64::try_from(cases.len()).unwrap());
    let response = envoy.get("/").header("x-api-key", "acme-key").send().await.unwrap();
    assert_eq!(left(&response), [("burst".to_owned(), 4)]);
}

/// The same for a document that has something else at a pointer; `null` is nothing.
async fn refused(cases: &[(&str, Value, &str)]) {
    let text = |pointer, value: &Value| with(good(), pointer, value.clone()).to_string();
    let texts = cases.iter().map(|(pointer, value, expected)| (text(pointer, value), (*expected).to_owned()));
    texts_refused(texts.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_document() {
    refused(&[
        ("/plans", Value::Null, r#"$: missing field "plans", expected one such as plans: {free: {limits: [{name: burst, rate: 5/s}]}}"#),
        ("/consumers", Value::Null, r#"$: missing field "consumers", expected one such as consumers: [{name: acme, plan: free, keys: []}]"#),
        ("/plans", json!([]), "plans: found an empty list, expected an object"),
        ("/plans", json!({}), "plans: found no plans, expected at least one"),
        ("/consumers", json!({}), "consumers: found an empty object, expected a list"),
        ("/plan", json!({}), &format!(r#"$: found unknown field "plan", expected {FIELDS}: did you mean "plans"?"#)),
        ("/zebra", json!(1), &format!(r#"$: found unknown field "zebra", expected {FIELDS}"#)),
        ("/hide_credentials", json!("true"), r#"hide_credentials: found "true", expected true or false: write it without quotes"#),
        ("/filter_state", json!(1), "filter_state: found 1, expected true or false"),
        ("/realm", json!(5), "realm: found 5, expected a string: quote it"),
        ("/realm", json!("a\"b"), r#"realm: found "a\"b", expected at most 128 printable ASCII characters without " and \"#),
        ("/match", json!("/v1"), &format!(r#"match: found "/v1", expected an object with {PARTS}"#)),
        ("/match", json!({ "paths": "/" }), &format!(r#"match: found unknown field "paths", expected one of {PARTS}: did you mean "path"?"#)),
        ("/match", json!({ "path": { "regex": "/v1/(" } }), r#"match.path.regex: found "/v1/(", expected a regular expression: unclosed group"#),
        ("/match", json!({ "path": "/users/{id" }), r#"match.path: a { without } in "{id", found "/users/{id""#),
        ("/match", json!({ "status": 404 }), &format!("match.status: found a status of the response, expected conditions on the request only: {NO_RESPONSE}")),
        ("/match", json!({ "percent": 101 }), "match.percent: found 101, expected a percentage from 0 to 100 with at most two decimals, such as 25 or 12.5%"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_for_keys() {
    let object = r#"an object with "header", "scheme", "query", "cookie""#;
    refused(&[
        ("/keys_from", json!([]), "keys_from: found an empty list, expected at least one element"),
        ("/keys_from", json!("x-api-key"), &format!(r#"keys_from: found "x-api-key", expected {object}"#)),
        ("/keys_from", json!([5]), &format!("keys_from[0]: found 5, expected {object}")),
        ("/keys_from", json!([{}]), "keys_from[0]: found neither header nor query nor cookie, expected one of them, such as header: x-api-key"),
        ("/keys_from", json!([{ "heder": "a" }]), r#"keys_from[0]: found unknown field "heder", expected one of "header", "scheme", "query", "cookie": did you mean "header"?"#),
        ("/keys_from", json!([{ "header": "x api key" }]), r#"keys_from[0].header: found "x api key", expected the name of a header field, such as x-api-key"#),
        ("/keys_from", json!([{ "header": "x-consumer-key" }]), r#"keys_from[0].header: found "x-consumer-key", expected a name that does not start with x-consumer-: such headers tell the upstream who the consumer is, and are removed from every request"#),
        ("/keys_from", json!([{ "header": "a", "scheme": "Api Key" }]), r#"keys_from[0].scheme: found "Api Key", expected an authentication scheme without spaces, such as ApiKey"#),
        ("/keys_from", json!([{ "query": "a", "scheme": "ApiKey" }]), "keys_from[0].scheme: found a scheme without a header, expected one only for a header: remove scheme"),
        ("/keys_from", json!([{ "query": "k" }, { "query": "k" }]), "keys_from[1]: found the place of keys_from[0], expected a place of its own: a key would be found twice and refused: remove one of the two"),
        ("/keys_from", json!([{ "header": "a", "query": "k" }]), "keys_from[0]: found header and query, expected one of them: write an entry for each to look in all"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_and_limits() {
    let many: Vec<_> = (0..17).map(|number| json!({ "name": number.to_string(), "rate": "1/s" })).collect();
    let twice = json!([{ "name": "burst", "rate": "1/s" }, { "name": "burst", "quota": "1/d" }]);
    let burst = "expected how many requests may come at once, 1 to 999999999999999";
    refused(&[
        ("/plans/free", json!([]), r#"plans.free: found an empty list, expected an object with "allow", "limits""#),
        ("/plans/free/limit", json!([]), r#"plans.free: found unknown field "limit", expected one of "allow", "limits": did you mean "limits"?"#),
        ("/plans/free/allow", json!([]), "plans.free.allow: found an empty list, expected at least one element"),
        ("/plans/free/allow", json!({ "methods": "GET" }), &format!(r#"plans.free.allow: found unknown field "methods", expected one of {PARTS}: did you mean "method"?"#)),
        ("/plans/free/limits", json!({}), "plans.free.limits: found an empty object, expected a list"),
        ("/plans/free/limits", json!(many), "plans.free.limits: found 17 limits, expected at most 16"),
        ("/plans/free/limits", twice, r#"plans.free.limits[1].name: found "burst", expected a name of its own: limits[0] has this one already"#),
        ("/plans/free/limits/0/name", Value::Null, r#"plans.free.limits[0]: missing field "name", expected one such as name: my-name"#),
        ("/plans/free/limits/0/name", json!(""), &format!(r#"plans.free.limits[0].name: found "", {NAME}"#)),
        ("/plans/free/limits/0/rate", Value::Null, "plans.free.limits[0]: found no rate, quota or concurrency, expected one of them, such as rate: 5/s or quota: 10000/month"),
        ("/plans/free/limits/0/quota", json!("10/d"), "plans.free.limits[0]: found rate and quota, expected one of them: write a limit for each to have them together"),
        ("/plans/free/limits/0/rate", json!("5"), &format!(r#"plans.free.limits[0].rate: found "5", {RATE}"#)),
        ("/plans/free/limits/0/rate", json!(5), &format!("plans.free.limits[0].rate: found 5, {RATE}")),
        ("/plans/free/limits/0/rate", json!("0/s"), r#"plans.free.limits[0].rate: found "0/s", expected a rate above zero, such as 5/s"#),
        ("/plans/free/limits/0/rate", json!("5/fortnight"), &format!(r#"plans.free.limits[0].rate: found "5/fortnight", {PERIOD}"#)),
        ("/plans/free/limits/0/rate", json!("5/0s"), &format!(r#"plans.free.limits[0].rate: found "5/0s", {PERIOD}"#)),
        ("/plans/free/limits/0/burst", json!(0), &format!("plans.free.limits[0].burst: found 0, {burst}")),
        ("/plans/free/limits/0/burst", json!(1.5), "plans.free.limits[0].burst: found the fraction 1.5, expected a whole number, 0 or more"),
        ("/plans/free/limits/0/burst", json!(-1), "plans.free.limits[0].burst: found -1, expected a whole number, 0 or more"),
        ("/plans/free/limits/0/burst", json!("10"), r#"plans.free.limits[0].burst: found "10", expected a whole number, 0 or more: write it without quotes"#),
        ("/plans/free/limits/0/match", json!({ "header": "x-a" }), r#"plans.free.limits[0].match.header: found "x-a", expected an object of names and the conditions on their values"#),
        ("/plans/free/limits/0/when", json!("request.method =="), r#"plans.free.limits[0].when: unexpected end of input, expected expression (column 16, at "=="), found "request.method ==""#),
        ("/plans/free/limits/0/when", json!("requst.method == 'GET'"), r#"plans.free.limits[0].when: found the unknown variable "requst", expected one of body, consumer, now, path, request, response: did you mean request? (column 1, at "requst.method == 'GET'")"#),
        ("/plans/free/limits/0/when", json!("response.status == 200"), &format!("plans.free.limits[0].when: found a condition on the response, expected conditions on the request only: {NO_RESPONSE}")),
        ("/plans/free/limits/0/when", json!(true), &format!("plans.free.limits[0].when: found true, expected a string: {UNQUOTED}")),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_and_keys() {
    let consumer = &good()["consumers"][0];
    let (same_id, same_key) = (
        with(consumer.clone(), "/name", json!("other")),
        with(with(consumer.clone(), "/name", json!("other")), "/keys/0/id", json!("other-1")),
    );
    let key = r#"expected one of "id", "sha256", "hmac_sha256", "not_before", "expires_at", "disabled", "plan", "limits", "metadata""#;
    let digest = |length: usize| {
        format!("consumers[0].keys[0].sha256: found a string of {length} characters (not shown), {DIGEST}")
    };
    refused(&[
        ("/consumers", json!([consumer, consumer]), r#"consumers[1].name: found "acme", expected a name of its own: consumers[0] has this one already"#),
        ("/consumers", json!([consumer, same_id]), "consumers[1].keys[0].id: found the id of another key, expected an id of its own"),
        ("/consumers", json!([consumer, same_key]), "consumers[1].keys[0].sha256: found the digest of another key, expected a digest of its own: each key belongs to one consumer, once"),
        ("/consumers/0/name", Value::Null, r#"consumers[0]: missing field "name", expected one such as name: my-name"#),
        ("/consumers/0/name", json!(false), &format!("consumers[0].name: found false, expected a string: {UNQUOTED}")),
        ("/consumers/0/name", json!("a\nb"), &format!(r#"consumers[0].name: found "a\nb", {NAME}"#)),
        ("/consumers/0/plan", Value::Null, r#"consumers[0]: missing field "plan", expected one such as plan: free"#),
        ("/consumers/0/plan", json!("fre"), r#"consumers[0].plan: found "fre", expected "free": did you mean "free"?"#),
        ("/consumers/0/disabled", json!("no"), r#"consumers[0].disabled: found "no", expected true or false"#),
        ("/consumers/0/key", json!(SECRET), r#"consumers[0]: found unknown field "key", expected one of "name", "plan", "groups", "metadata", "limits", "disabled", "keys": did you mean "keys"?"#),
        ("/consumers/0/keys", Value::Null, r#"consumers[0]: missing field "keys", expected one such as keys: [{id: acme-1, sha256: ...}]"#),
        ("/consumers/0/keys", json!(SECRET), "consumers[0].keys: found a string of 22 characters (not shown), expected a list"),
        ("/consumers/0/keys", json!([SECRET]), r#"consumers[0].keys[0]: found a string of 22 characters (not shown), expected an object with "id", "sha256", "hmac_sha256", "not_before", "expires_at", "disabled", "plan", "limits", "metadata""#),
        ("/consumers/0/keys/0/key", json!(SECRET), &format!("consumers[0].keys[0]: found an unknown field of 3 characters (not shown), {key}")),
        ("/consumers/0/keys/0/hunter2-the-key-itself", json!(1), &format!("consumers[0].keys[0]: found an unknown field of 22 characters (not shown), {key}")),
        ("/consumers/0/keys/0/id", Value::Null, r#"consumers[0].keys[0]: missing field "id", expected one such as id: acme-1"#),
        ("/consumers/0/keys/0/id", json!(7), "consumers[0].keys[0].id: found a number (not shown), expected a string: quote it"),
        ("/consumers/0/keys/0/id", json!(format!(" {SECRET}")), &format!("consumers[0].keys[0].id: found a string of 23 characters, {NAME}")),
        ("/consumers/0/keys/0/sha256", Value::Null, r#"consumers[0].keys[0]: found neither sha256 nor hmac_sha256, expected the digest of the key: printf %s "$KEY" | sha256sum"#),
        ("/consumers/0/keys/0/sha256", json!(SECRET), &digest(22)),
        ("/consumers/0/keys/0/sha256", json!(sha256("a")[1..]), &digest(63)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_no_documents() {
    let good = good().to_string();
    let deep = format!("{{\"x\":{}{},", "[".repeat(100_000), "]".repeat(100_000));
    let cut = &good[..good.len() - 1];
    let (line, end) = ("$: found invalid JSON at line 1, column", good.len());
    let no_more = format!("{line} {} (text after the end of the document), expected nothing more", end + 1);
    let at = |part: &str, behind: usize| good.find(part).expect("a part of it") + behind;
    let cases = [
        (
            String::new(),
            "$: found an empty document, expected a JSON object: the policy has no configuration",
        ),
        (" \n".into(), "$: found an empty document, expected a JSON object: the policy has no configuration"),
        ("null".into(), "$: found null, expected an object"),
        ("[]".into(), "$: found an empty list, expected an object"),
        ("5".into(), "$: found a number (not shown), expected an object"),
        (format!("\"{SECRET}\""), "$: found a string of 22 characters (not shown), expected an object"),
        (
            "plans:\n  free: {}\n".into(),
            &format!(
                "{line} 1 (no value), expected a value: Envoy takes a Struct, or a StringValue that holds JSON; YAML in a StringValue stays YAML"
            ),
        ),
        (format!("{good}x"), &no_more),
        (format!("{good}{good}"), &no_more),
        (cut.into(), &format!("{line} {} (it ends inside an object), expected `,` or `}}`", end - 1)),
        (
            good.replacen('{', "{,", 1),
            &format!("{line} 2 (a key without quotes), expected a key in double quotes"),
        ),
        (
            format!("\u{feff}{good}"),
            "$: found a byte order mark, expected a JSON object: save the document as UTF-8 without a byte order mark",
        ),
        (
            good.replacen('{', &deep, 1),
            "$: found lists and objects more than 64 deep, expected at most 64 inside each other",
        ),
        (
            good.replacen("\"plans\":", "\"plans\":{},\"plans\":", 1),
            r#"$: found the key "plans" more than once, expected each key once"#,
        ),
        (
            good.replacen("\"rate\":", "\"rate\":\"1/s\",\"rate\":", 1),
            r#"plans.free.limits[0]: found the key "rate" more than once, expected each key once"#,
        ),
        (
            good.replacen("\"5/s\"", &format!("'{SECRET}'"), 1),
            &format!("{line} {} (no value), expected a value", at("\"5/s\"", 1)),
        ),
        (
            good.replacen("\"sha256\":", &format!("\"sha256\":\"{SECRET}\" "), 1),
            &format!(
                "{line} {} (a wrong character), expected `,` or `}}`",
                at("\"sha256\":", 9 + SECRET.len() + 4)
            ),
        ),
    ];
    texts_refused(cases.map(|(text, expected)| (text, expected.to_owned())).into()).await;
}

/// With the configuration that it starts with, and with none at all.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_does_not_start() {
    let plan = with(good(), "/consumers/0/plan", json!("gold")).to_string();
    let digest = with(good(), "/consumers/0/keys/0/sha256", json!(SECRET)).to_string();
    for (filter, expected) in [
        (Wasm::module(MODULE), "$: found an empty document, expected a JSON object: the policy has no configuration".to_owned()),
        (Wasm::module(MODULE).config_text(&plan), r#"consumers[0].plan: found "gold", expected "free""#.to_owned()),
        (Wasm::module(MODULE).config_text(&digest), format!("consumers[0].keys[0].sha256: found a string of 22 characters (not shown), {DIGEST}")),
        (Wasm::module(MODULE).config_struct(json!({ "plans": {} })), r#"$: missing field "consumers", expected one such as consumers: [{name: acme, plan: free, keys: []}]"#.to_owned()),
    ] {
        let log = Envoy::refused(filter).await.unwrap();
        assert_eq!(said(&log), [format!("quota: configuration refused: {expected}")]);
        assert!(!log.contains(SECRET), "{log}");
    }
}
