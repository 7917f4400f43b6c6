//! Exactly so many requests pass, whichever workers they come to.

use std::time::{Duration, Instant};

use meshgate_e2e::{Client, Config, Envoy, Value, burst, json};
use meshgate_test_tokens::{Signer, jwks};
use tokio::task::JoinSet;

use crate::support::*;

const REQUESTS: usize = 5_000;

async fn start(workers: u32, document: Value) -> Envoy {
    Envoy::start(Config::from(listener(document)).concurrency(workers)).await.unwrap()
}

/// With a consumer for each attempt, as a calendar minute may end while one of them runs.
async fn assert_exact_in_a_minute(workers: u32, client: impl Fn(&Envoy) -> Client) {
    let consumers = ["a", "b", "c", "d"];
    let plans = json!({ "plan": { "limits": [{ "name": "minute", "quota": "1000/m" }] } });
    let envoy = start(workers, document(plans, &consumers.map(|name| (name, "plan")))).await;
    for consumer in consumers {
        envoy.upstream().forget_requests();
        let minute = now().as_secs() / 60;
        let passed = passing(&client(&envoy), consumer, REQUESTS).await;
        if now().as_secs() / 60 == minute {
            assert_eq!((passed, envoy.upstream().requests().len()), (1_000, 1_000));
            return;
        }
    }
    panic!("no minute was long enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_a_minute_are_a_thousand_on_two_workers() {
    assert_exact_in_a_minute(2, Envoy::http1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_a_minute_are_a_thousand_on_four_workers() {
    assert_exact_in_a_minute(4, Envoy::http2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_counted_once_in_all_limits() {
    let limits = json!([
        { "name": "long", "quota": "100000/year" },
        { "name": "tight", "quota": "1000/year" },
        { "name": "burst", "rate": "3000/year" },
    ]);
    let envoy = start(4, limited(limits)).await;
    assert_eq!(passing(&envoy.http1(), "acme", REQUESTS).await, 1_000);
    let response = envoy.get("/").header("x-api-key", "acme-key").send().await.unwrap();
    let left: Vec<_> = left(&response).into_iter().map(|(_, left)| left).collect();
    assert_eq!(left, [99_000, 0, 2_000]);
    let stats = envoy.stats("wasmcustom.meshgate.quota.").await.unwrap();
    let stat = |name: &str| stats[&format!("wasmcustom.meshgate.quota.{name}")];
    assert_eq!((stat("allowed"), stat("denied.limit"), stat("errors")), (1_000, 4_001, 0));
}

/// Nothing is made for them at configure time: their usage begins in the table while all workers race for it.
#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_only_a_token_names_are_counted_exactly() {
    let signer = Signer::new("EdDSA");
    let limits = json!([{ "name": "quota", "quota": "700/year" }, { "name": "rate", "rate": "500/year" }]);
    let issuer = json!({
        "issuer": "https://idp", "audiences": ["api"], "identity": { "plan": "plan" }, "jwks": jwks([&signer]),
    });
    let envoy = start(4, with(limited(limits), "/tokens", json!([issuer]))).await;
    for consumer in ["ada", "bob"] {
        let expires = now().as_secs() + 3_600;
        let claims = json!({ "iss": "https://idp", "aud": "api", "sub": consumer, "exp": expires });
        let token = format!("Bearer {}", signer.sign(&claims));
        let client = envoy.http1();
        let statuses = burst(&client, 64, 2_000, move |client, _| {
            let request = client.get("/").header("authorization", &token);
            async move { anyhow::Ok(request.send().await?.status) }
        });
        let statuses = statuses.await.unwrap();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 500, "{consumer}");
        assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 1_500, "{consumer}");
    }
}

/// While clients ask for more than the rate gives, what passes is the burst and what has leaked since the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_gives_the_burst_and_what_time_brings() {
    let envoy = start(2, limited(json!([{ "name": "rate", "rate": "100/s", "burst": 50 }]))).await;
    let first = envoy.get("/").header("x-api-key", "acme-key");
    let earliest = Instant::now();
    assert_eq!(first.send().await.unwrap().status, 200);
    let latest = Instant::now();
    let passed = 1 + passing(&envoy.http1(), "acme", REQUESTS).await;
    let in_time = |time: Duration| 100.0 * time.as_secs_f64();
    // The last request was decided on at most one request before the end; a client asks at least once a second.
    let most = 50.0 + in_time(earliest.elapsed());
    let least = 50.0 + in_time(latest.elapsed().saturating_sub(Duration::from_secs(1))) - 1.0;
    let passed_so_far = passed as f64;
    assert!((least..=most).contains(&passed_so_far), "{least} <= {passed} <= {most}");
}

/// A consumer that an update brings has no usage yet: its first requests race to all workers as these take the update.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_requests_of_a_new_consumer_are_counted_exactly() {
    let plans = json!({ "plan": { "limits": [{ "name": "l", "quota": "500/year" }] } });
    let names: Vec<_> = (0..5).map(|number| format!("new{number}")).collect();
    let up_to = |count: usize| {
        let consumers: Vec<_> = names[..count].iter().map(|name| (name.as_str(), "plan")).collect();
        listener(document(plans.clone(), &consumers))
    };
    let mut envoy = Envoy::start(Config::from(up_to(0)).file_lds().concurrency(4)).await.unwrap();
    for (round, name) in names.iter().enumerate() {
        let (addr, mut clients) = (envoy.addr(), JoinSet::new());
        for _ in 0..32 {
            let key = format!("{name}-key");
            clients.spawn(async move {
                let (mut passed, mut refused) = (0, 0);
                // Connections that the old listener took are refused, or closed under a request.
                while refused < 20 {
                    let request = Client::http1(addr).get("/").header("x-api-key", &key);
                    match request.send().await.map(|response| response.status) {
                        Ok(200) => passed += 1,
                        Ok(429) => refused += 1,
                        Ok(401) | Err(_) => {}
                        Ok(status) => panic!("{status}"),
                    }
                }
                passed
            });
        }
        envoy.update_listener(up_to(round + 1)).await.unwrap();
        let passed: usize = clients.join_all().await.iter().sum();
        assert_eq!(passed, 500, "round {round}");
    }
}
