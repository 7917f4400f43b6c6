//! What limits count apart, what a request costs, and which of them count, each on a real path.

use meshgate_e2e::{Config, Envoy, Listener, Reply, Request, Response, Value, burst, json};
use meshgate_test_tokens::{Signer, jwks};

use crate::charging::{acme, remaining, settles, told};
use crate::support::*;

async fn start(listener: Listener) -> Envoy {
    Envoy::start(Config::from(listener).concurrency(4)).await.unwrap()
}

async fn statuses(request: impl Fn() -> Request, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(request().send().await.unwrap().status);
    }
    statuses
}

/// How a call went stands in the trailers, or in the head where there are no messages; Envoy itself answers so, too.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_grpc_that_failed_are_not_charged() {
    let limits = json!([
        { "name": "good", "quota": "100/year", "charge": { "grpc_status": ["OK", "NOT_FOUND"] } },
        { "name": "all", "quota": "100/year", "charge": { "status": "2xx" } },
    ]);
    let call = |envoy: &Envoy, reply: Value| {
        let call = acme(envoy.http2().post("/pkg.S/M")).header("content-type", "application/grpc");
        call.header("te", "trailers").body("\0\0\0\0\0").upstream(reply).send()
    };
    let config = Config::from(listener(told(limits.clone()))).http2_upstream().concurrency(4);
    let envoy = Envoy::start(config).await.unwrap();
    let grpc_type = json!(["content-type", "application/grpc"]);
    let behind = |status: &str| json!({ "headers": [grpc_type], "body": "\0\0\0\0\0", "trailers": [["grpc-status", status]] });
    let alone = |status: &str| json!({ "headers": [grpc_type, ["grpc-status", status]] });
    let both = |head: &str, behind: Value| json!({ "headers": [grpc_type, ["grpc-status", head]], "body": "\0\0\0\0\0", "trailers": [behind] });
    let mut expected = [100, 100];
    for (reply, status, charged) in [
        (behind("0"), "0", 1),
        (behind("14"), "14", 0),
        (behind("5"), "5", 1),
        (alone("16"), "16", 0),
        (alone("5"), "5", 1),
        (both("14", json!(["grpc-status", "0"])), "0", 1),
        (both("0", json!(["grpc-status", "14"])), "14", 0),
        (both("14", json!(["x-a", "0"])), "14", 0),
    ] {
        let response = call(&envoy, reply).await.unwrap();
        let told = response.trailers.get("grpc-status").or(response.header("grpc-status"));
        assert_eq!((response.status, told), (200, Some(status)), "{response:?}");
        expected = [expected[0] - charged, expected[1] - 1];
        settles(&envoy, &expected).await;
    }
    // Broken off before it said how it went.
    let broken = json!({ "headers": [grpc_type], "chunks": ["\0\0\0\0\0"], "reset": true });
    call(&envoy, broken).await.unwrap_err();
    settles(&envoy, &[expected[0] - 1, expected[1] - 1]).await;

    let nobody = Config::from(listener(told(limits))).upstream(([127, 0, 0, 1], 1).into());
    let envoy = Envoy::start(nobody).await.unwrap();
    assert_eq!(call(&envoy, json!({})).await.unwrap().header("grpc-status"), Some("14"));
    settles(&envoy, &[100, 99]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_with_names_are_counted_apart() {
    let limits = json!([{ "name": "route", "quota": "2/year", "per": "route" }]);
    let route = |name: &str| {
        let action = json!({ "cluster": "upstream" });
        json!({ "name": name, "match": { "prefix": format!("/{name}") }, "route": action })
    };
    let envoy = start(listener(limited(limits)).route(route("one")).route(route("two"))).await;
    for path in ["/one", "/two/a", "/other"] {
        assert_eq!(statuses(|| acme(envoy.get(path)), 3).await, [200, 200, 429], "{path}");
    }
    // Other paths of the same routes, and all that have no name.
    for path in ["/one/b", "/two", "/"] {
        assert_eq!(statuses(|| acme(envoy.get(path)), 1).await, [429], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_consumer_are_counted_apart() {
    let mut config = limited(json!([
        { "name": "key", "quota": "2/year", "per": "key" }, { "name": "all", "quota": "3/year" },
    ]));
    let keys = config["consumers"][0]["keys"].as_array_mut().unwrap();
    keys.push(json!({ "id": "acme-2", "sha256": sha256("other-key") }));
    let envoy = start(listener(config)).await;
    assert_eq!(statuses(|| acme(envoy.get("/")), 3).await, [200, 200, 429]);
    let response = envoy.get("/").header("x-api-key", "other-key").send().await.unwrap();
    assert_eq!(left(&response), [("key".to_owned(), 1), ("all".to_owned(), 0)]);
    let refused = envoy.get("/").header("x-api-key", "other-key").send().await.unwrap();
    assert_eq!(refused.json()["violated-policies"], json!(["all"]));
}

/// Everybody of an organization shares what it has bought.
#[tokio::test(flavor = "multi_thread")]
async fn claims_are_counted_apart() {
    let signer = Signer::new("EdDSA");
    let limits = json!([{ "name": "org", "quota": "3/year", "per": { "claim": "/realm/org" } }]);
    let issuer = json!({
        "issuer": "https://idp", "audiences": ["api"], "identity": { "plan": "plan" }, "jwks": jwks([&signer]),
    });
    let envoy = start(listener(with(limited(limits), "/tokens", json!([issuer])))).await;
    let get = |subject: &str, org: &str| {
        let claims = json!({
            "iss": "https://idp", "aud": "api", "sub": subject, "exp": now().as_secs() + 3_600, "realm": { "org": org },
        });
        envoy.get("/").header("authorization", format!("Bearer {}", signer.sign(&claims)))
    };
    assert_eq!(statuses(|| get("ada", "one"), 2).await, [200, 200]);
    assert_eq!(statuses(|| get("bob", "one"), 2).await, [200, 429]);
    assert_eq!(statuses(|| get("ada", "two"), 4).await, [200, 200, 200, 429]);
    // Requests without the claim count together.
    assert_eq!(statuses(|| acme(envoy.get("/")), 4).await, [200, 200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_cost_what_a_header_or_an_expression_says() {
    let limits = json!([
        { "name": "header", "quota": "100/year", "cost": { "header": "x-cost" } },
        { "name": "expression", "quota": "100/year", "match": { "path": "/{kind}" },
          "cost": { "expression": "10 if request.method == 'POST' else path.kind|length" } },
    ]);
    let envoy = start(listener(told(limits))).await;
    let client = envoy.http1();
    assert_eq!(statuses(|| acme(envoy.get("/ab")), 1).await, [200]);
    assert_eq!(remaining(&client).await, [99, 98]);
    assert_eq!(statuses(|| acme(envoy.post("/ab")).header("x-cost", "40"), 1).await, [200]);
    assert_eq!(remaining(&client).await, [59, 88]);
    assert_eq!(statuses(|| acme(envoy.get("/a")).header("x-cost", "60"), 1).await, [429]);
    for cost in ["0", "nan", "1.5", "-1", ""] {
        assert_eq!(statuses(|| acme(envoy.get("/a")).header("x-cost", cost), 1).await, [400], "{cost:?}");
    }
    assert_eq!(remaining(&client).await, [59, 88]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_counts_only_where_that_is_configured() {
    let limits = json!([
        { "name": "tight", "quota": "1/year" },
        { "name": "counts", "quota": "1000/year", "count_rejected": true },
        { "name": "other", "quota": "1000/year" },
    ]);
    let envoy = start(listener(told(limits))).await;
    assert_eq!(passing(&envoy.http1(), "acme", 400).await, 1);
    assert_eq!(remaining(&envoy.http1()).await, [0, 600, 999]);
}

/// Whether all of 400 are decided on in one way is a matter of one chance in 2^399.
#[tokio::test(flavor = "multi_thread")]
async fn half_of_what_is_over_a_limit_may_pass() {
    let limits = json!([{ "name": "l", "quota": "1/year", "enforce": "50%" }]);
    let envoy = start(listener(limited(limits))).await;
    assert_eq!(statuses(|| acme(envoy.get("/")), 1).await, [200]);
    let passed = passing(&envoy.http1(), "acme", 400).await;
    assert!((1..400).contains(&passed), "{passed}");
    let stat =
        async |name: &str| envoy.stat(&format!("wasmcustom.meshgate.quota.limit.l.{name}")).await.unwrap();
    let counted = (stat("denied").await, stat("shadow_denied").await);
    assert_eq!(counted, (400 - passed as u64, passed as u64));
}

/// Envoy follows a redirect with the request as the filter made it, which then has no key; nor is there anything left of what
/// the filter had written into filter state.
#[tokio::test(flavor = "multi_thread")]
async fn an_internal_redirect_has_the_key_only_if_that_is_not_hidden() {
    let limits = json!([{ "name": "l", "quota": "100/year" }]);
    for (hides, status, left) in [(true, 401, 99), (false, 200, 98)] {
        let config = with(told(limits.clone()), "/hide_credentials", json!(hides));
        let config = with(config, "/filter_state", json!(true));
        let action = json!({ "cluster": "upstream", "internal_redirect_policy": {} });
        let route = json!({ "match": { "prefix": "/from" }, "route": action });
        let log = "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.meshgate.consumer:PLAIN)%";
        let envoy = start(Listener::new().filter(quota(config)).access_log(log).route(route)).await;
        let target = format!("http://{}/to", envoy.addr());
        envoy.upstream().respond_with(move |request| {
            (request.path == "/from").then(|| Reply::status(302).header("location", &target))
        });
        let response: Response = acme(envoy.get("/from")).send().await.unwrap();
        assert_eq!(response.status, status);
        settles(&envoy, &[left]).await;
        let paths: Vec<_> = envoy.upstream().requests().into_iter().map(|request| request.path).collect();
        let expected = if hides { vec!["/from"] } else { vec!["/from", "/to"] };
        assert_eq!(paths, expected);
        let logged = envoy.wait_for_access_log(2).await.unwrap();
        let second = if hides { "401 meshgate_key_missing -" } else { "200 via_upstream acme" };
        assert_eq!(logged[..2], ["302 internal_redirect acme", second]);
    }
}

/// What responses tell late and what is taken back, of many clients at once: in the end nothing is lost and nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn late_costs_and_refunds_add_up() {
    const REQUESTS: u64 = 2_000;
    let late = json!({ "response_json": "/n", "reserve": 7 });
    let limits = json!([
        { "name": "late", "quota": "1000000/year", "cost": late },
        { "name": "sliding", "quota": "1000000/year", "window": "sliding", "cost": late },
        { "name": "refund", "quota": "1000000/year", "cost": 3, "charge": { "status": "2xx" } },
        { "name": "both", "quota": "1000000/year", "cost": late, "charge": { "status": "2xx" }, "per": ["consumer", "route"] },
    ]);
    let envoy = start(listener(told(limits))).await;
    let cost = |number: u64| number * 7 % 50;
    let is_charged = |number: u64| !number.is_multiple_of(3);
    let client = envoy.http1();
    let sent = burst(&client, 64, REQUESTS as usize, move |client, number| {
        let number = number as u64;
        let reply = json!({
            "status": if is_charged(number) { 200 } else { 503 },
            "headers": [["content-type", "application/json"]],
            "body": json!({ "n": cost(number) }).to_string(),
        });
        let request = acme(client.get("/")).upstream(reply);
        async move { anyhow::Ok(request.send().await?.status) }
    });
    let sent = sent.await.unwrap();
    let charged = (0..REQUESTS).filter(|number| is_charged(*number));
    assert_eq!(sent.iter().filter(|status| **status == 200).count(), charged.clone().count());
    let all: u64 = (0..REQUESTS).map(cost).sum();
    let good: u64 = charged.clone().map(cost).sum();
    let refunded = 3 * charged.count() as u64;
    settles(&envoy, &[1_000_000 - all, 1_000_000 - all, 1_000_000 - refunded, 1_000_000 - good]).await;
    assert_eq!(envoy.stat("wasmcustom.meshgate.quota.cost_unknown").await.unwrap(), 0);
}
