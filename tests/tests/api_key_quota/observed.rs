//! What operators see: counters and access logs; and which plugins count together.

use std::collections::BTreeMap;

use meshgate_e2e::{Client, Config, Envoy, Listener, Reply, Upstream, Value, json};
use meshgate_test_tokens::{Signer, jwks};

use crate::support::*;
use crate::tokens::{claims, get, issued_by};

const PREFIX: &str = "wasmcustom.meshgate.quota.";

async fn counters(envoy: &Envoy) -> BTreeMap<String, u64> {
    let stats = envoy.stats(PREFIX).await.unwrap();
    stats.into_iter().map(|(name, value)| (name[PREFIX.len()..].to_owned(), value)).collect()
}

fn guarded() -> Value {
    let plans =
        json!({ "plan": { "allow": { "method": "GET" }, "limits": [{ "name": "l", "quota": "2/year" }] } });
    let config = document(plans, &[("acme", "plan"), ("gone", "plan")]);
    with(with(config, "/match", json!({ "path": { "prefix": "/v1" } })), "/consumers/1/disabled", json!(true))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_moves_its_counter() {
    let envoy = Envoy::start(listener(guarded())).await.unwrap();
    let mut expected = counters(&envoy).await;
    let names = [
        "allowed",
        "cas_conflicts",
        "cost_unknown",
        "denied.access_denied",
        "denied.consumer_disabled",
        "denied.cost_invalid",
        "denied.failed_auth_limited",
        "denied.header_invalid",
        "denied.key_disabled",
        "denied.key_expired",
        "denied.key_invalid",
        "denied.key_malformed",
        "denied.key_missing",
        "denied.key_not_yet_valid",
        "denied.key_repeated",
        "denied.key_unchecked",
        "denied.limit",
        "denied.path_ambiguous",
        "denied.plan_forbids",
        "denied.request_ambiguous",
        "denied.table_full",
        "denied.token_claims",
        "denied.token_consumer",
        "denied.token_expired",
        "denied.token_inactive",
        "denied.token_key_unknown",
        "denied.token_malformed",
        "denied.token_not_yet_valid",
        "denied.token_scope",
        "denied.token_signature",
        "denied.token_throttled",
        "denied.token_unchecked",
        "errors",
        "introspection.asked",
        "introspection.failed",
        "introspection.not_asked",
        "jwks.failed",
        "jwks.fetched",
        "keys.failed",
        "keys.fetched",
        "keys.unchanged",
        "limit.l.denied",
        "limit.l.near",
        "limit.l.shadow_denied",
        "plan.plan.allowed",
        "plan.plan.denied",
        "preflight",
        "table.consumers.capacity",
        "table.consumers.entries",
        "table.consumers.evictions",
        "table.failures.capacity",
        "table.failures.entries",
        "table.failures.evictions",
        "table.limits.capacity",
        "table.limits.entries",
        "table.limits.evictions",
        "tokens.cached",
        "tokens.cached_bad",
        "tokens.verified_by_host",
        "tokens.verified_by_module",
        "unguarded",
        "usage_requests",
    ];
    assert_eq!(expected.keys().collect::<Vec<_>>(), names);
    assert!(expected.values().all(|value| *value == 0), "{expected:?}");
    let long = format!("x-consumer-{}", "a".repeat(300));
    let get = |path: &str| envoy.get(path);
    for (request, moved) in [
        (get("/other"), "unguarded"),
        (get("/v1"), "denied.key_missing"),
        (get("/v1").header("x-api-key", "who"), "denied.key_invalid"),
        (get("/v1").header("x-api-key", "acme-key").header("x-api-key", "acme-key"), "denied.key_repeated"),
        (get("/v1").header("x-api-key", "gone-key"), "denied.consumer_disabled"),
        (envoy.post("/v1").header("x-api-key", "acme-key"), "denied.plan_forbids"),
        (get("/v1").header(&long, "1"), "denied.header_invalid"),
        (get("/v1/%2e%2e/other"), "denied.path_ambiguous"),
        (get("/v1").header("x-api-key", "acme-key"), "allowed"),
        (get("/v1").header("x-api-key", "acme-key"), "allowed"),
        (get("/v1").header("x-api-key", "acme-key"), "denied.limit"),
    ] {
        request.send().await.unwrap();
        *expected.get_mut(moved).unwrap() += 1;
        *expected.get_mut("limit.l.denied").unwrap() += u64::from(moved == "denied.limit");
        // Whoever has no plan is counted for none.
        let denied = ["denied.limit", "denied.consumer_disabled", "denied.plan_forbids"].contains(&moved);
        *expected.get_mut("plan.plan.allowed").unwrap() += u64::from(moved == "allowed");
        *expected.get_mut("plan.plan.denied").unwrap() += u64::from(denied);
        assert_eq!(counters(&envoy).await, expected, "{moved}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn access_logs_can_name_the_consumer() {
    let format =
        ["consumer", "key_id", "plan"].map(|name| format!("%FILTER_STATE(wasm.meshgate.{name}:PLAIN)%"));
    let format = format!("%RESPONSE_CODE% {}", format.join(" "));
    for (filter_state, passed, refused) in
        [(true, "200 acme acme-1 plan", "403 gone gone-1 plan"), (false, "200 - - -", "403 - - -")]
    {
        let config = with(guarded(), "/filter_state", json!(filter_state));
        let listener = Listener::new().filter(quota(config)).access_log(&format);
        let envoy = Envoy::start(listener).await.unwrap();
        for key in ["acme-key", "who", "acme-key", "gone-key"] {
            envoy.get("/v1").header("x-api-key", key).send().await.unwrap();
        }
        let log = envoy.wait_for_access_log(4).await.unwrap();
        assert_eq!(log, [passed, "401 - - -", passed, refused]);
    }
}

/// Of a JSON Web Token the log has the issuer's key, of what only its server can read it has none; never anything of a token.
#[tokio::test(flavor = "multi_thread")]
async fn access_logs_can_name_those_who_come_with_tokens() {
    let format = ["consumer", "key_id", "plan", "limit", "remaining"]
        .map(|name| format!("%FILTER_STATE(wasm.meshgate.{name}:PLAIN)%"));
    let format = format!("%RESPONSE_CODE% {}", format.join(" "));
    let (named, unnamed) = (Signer::new("ES256").key_id(Some("2026-11")), Signer::new("EdDSA").key_id(None));
    let document = with(issued_by(("jwks", jwks([&named, &unnamed]))), "/filter_state", json!(true));
    let document = with(
        document,
        "/plans/free",
        json!({ "limits": [{ "name": "day", "quota": "2/d" }, { "name": "year", "quota": "9/year" }] }),
    );
    let document = with(document, "/tokens/0/identity/consumer_prefix", json!("idp/"));
    let identity = json!({ "plan": "free", "consumer_prefix": "server/" });
    let introspection = json!({
        "cluster": "idp", "path": "/introspect", "client": { "id": "gateway", "secret_env": "SECRET" },
        "identity": identity,
    });
    let document = with(document, "/introspection", introspection);
    let idp = Upstream::start().await.unwrap();
    idp.respond(Reply::status(200).body(json!({ "active": true, "sub": "bob" }).to_string()));
    let variables = json!({ "key_values": { "SECRET": "s3cret" } });
    let filter = quota(document).plugin(json!({ "vm_config": { "environment_variables": variables } }));
    let config = Config::from(Listener::new().filter(filter).access_log(&format)).cluster("idp", idp.addr());
    let envoy = Envoy::start(config).await.unwrap();

    let jti = |signer: &Signer| {
        let mut claims = claims();
        claims["jti"] = json!("not-for-logs");
        signer.sign(&claims)
    };
    let (first, second, opaque) = (jti(&named), jti(&unnamed), "opaque-token");
    for token in [&first, &second, &first, opaque, "made-up.by.somebody"] {
        get(&envoy, token).send().await.unwrap();
    }
    let log = envoy.wait_for_access_log(5).await.unwrap();
    let expected = [
        "200 idp/alice 2026-11 free - 1",
        "200 idp/alice - free - 0",
        "429 idp/alice 2026-11 free day 0",
        "200 server/bob - free - 1",
        "200 server/bob - free - 0",
    ];
    assert_eq!(log, expected);
}

/// The format and the lines of the page: what it shows of the access log is what Envoy writes.
#[tokio::test(flavor = "multi_thread")]
async fn access_logs_read_as_the_page_says() {
    let format = shown("```text access-log-format");
    let signer = Signer::new("ES256").key_id(Some("2026-11"));
    let document = with(issued_by(("jwks", jwks([&signer]))), "/filter_state", json!(true));
    let document = with(document, "/plans/free", json!({ "limits": [{ "name": "burst", "rate": "2/h" }] }));
    let document = with(document, "/plans/gold", json!({ "limits": [{ "name": "burst", "rate": "100/h" }] }));
    let document = with(document, "/consumers/0/name", json!("alice"));
    let document = with(document, "/consumers/0/keys/0/id", json!("alice-1"));
    let identity = json!({ "plan": "gold", "consumer_prefix": "idp/" });
    let document = with(document, "/tokens/0/identity", identity);
    let listener = Listener::new().filter(quota(document)).access_log(&format);
    let envoy = Envoy::start(listener).await.unwrap();
    for _ in 0..3 {
        envoy.get("/").header("x-api-key", "acme-key").send().await.unwrap();
    }
    get(&envoy, &signer.sign(&with(claims(), "/sub", json!("ada")))).send().await.unwrap();
    envoy.get("/").send().await.unwrap();
    let mut log = envoy.wait_for_access_log(5).await.unwrap();
    // The page leaves out the request that uses up the limit.
    assert_eq!(
        log.remove(1),
        "GET 200 via_upstream consumer=alice key=alice-1 plan=free limit=- remaining=0"
    );
    assert_eq!(log.join("\n"), shown("```text access-log"));
}

/// What each listener says is left, one request after the other.
async fn left_on(envoy: &Envoy, listeners: &[&str]) -> Vec<u64> {
    let mut rest = Vec::new();
    for name in listeners {
        let request = Client::http1(envoy.addr_of(name)).get("/").header("x-api-key", "acme-key");
        let response = request.send().await.unwrap();
        assert_eq!(response.status, 200);
        rest.push(left(&response)[0].1);
    }
    rest
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_of_one_name_count_together_and_others_apart() {
    let listener = |name: &str, plugin: &str, vm_id: &str, quota_of: &str| {
        let config = limited(json!([{ "name": "l", "quota": quota_of }]));
        Listener::named(name).filter(quota(config).name(plugin).vm_id(vm_id))
    };
    let config = Config::from(listener("a", "one", "vm", "100/year"))
        .listener(listener("b", "one", "vm", "1000/year"))
        .listener(listener("c", "two", "vm", "100/year"))
        .listener(listener("d", "one", "other", "100/year"))
        .listener(listener("e", "one/acme", "vm", "100/year"));
    let envoy = Envoy::start(config.concurrency(2)).await.unwrap();
    assert_eq!(left_on(&envoy, &["a", "b", "a", "c", "d", "e", "b"]).await, [99, 998, 97, 99, 99, 99, 996]);
}

/// Two filters in a row: the second sees what the first made of the request.
#[tokio::test(flavor = "multi_thread")]
async fn two_filters_in_a_row_count_each_for_itself() {
    let first =
        with(limited(json!([{ "name": "first", "quota": "100/year" }])), "/hide_credentials", json!(false));
    let second = limited(json!([{ "name": "second", "quota": "1/year" }]));
    let listener = Listener::new().filter(quota(first).name("first")).filter(quota(second).name("second"));
    let envoy = Envoy::start(listener).await.unwrap();
    let send = || envoy.get("/").header("x-api-key", "acme-key").send();
    for (status, second, first) in [(200, 0, 99), (429, 0, 98)] {
        let response = send().await.unwrap();
        let limits = [("second".to_owned(), second), ("first".to_owned(), first)];
        assert_eq!((response.status, left(&response)), (status, limits.into()));
    }
    let requests = envoy.upstream().requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.headers.all("x-consumer-name"), request.header("x-api-key")), (vec!["acme"], None));
}
