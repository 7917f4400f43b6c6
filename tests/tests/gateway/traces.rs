//! `x-meshgate-trace`.

use meshgate_e2e::Reply;

use crate::support::*;

const FIELD: &str = "x-meshgate-trace";

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_the_secret_sees_what_each_stage_did() {
    let envoy = start(all(wide())).await;
    let client = envoy.http1();
    envoy.upstream().respond(json_reply(r#"{"internal":1}"#));
    let mut longest = 0;
    for _ in 0..20 {
        let response = with_key(client.get("/")).header(FIELD, SECRET).send().await.unwrap();
        let trace = response.header(FIELD).expect("a trace");
        for expected in
            ["\"error-response\";us=", "did=\"plan free, allowed\"", "request rules[0]", "response rules[0]"]
        {
            assert!(trace.contains(expected), "{expected}: {trace}");
        }
        assert!(!trace.contains("acme") && !trace.contains(KEY) && trace.len() < 4_096, "{trace}");
        let times =
            trace.split("us=").skip(1).map(|rest| rest.split(';').next().unwrap().parse::<u64>().unwrap());
        longest = longest.max(times.max().unwrap());
    }
    // The clock is real: a module is at work for microseconds, and never for a second.
    assert!((1..1_000_000).contains(&longest), "{longest}");
    for request in envoy.upstream().requests() {
        assert_eq!(request.header(FIELD), None);
    }
    let refused = client.get("/").header(FIELD, SECRET).send().await.unwrap();
    assert!(refused.header(FIELD).unwrap().contains("answered 401 meshgate_key_missing"), "{refused:?}");
    assert_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_gives_nothing_and_none_passes() {
    let envoy = start(all(wide())).await;
    envoy.upstream().respond(Reply::status(200));
    for secrets in [vec!["wrong"], vec![SECRET, SECRET], vec![SECRET, "wrong"], vec![""]] {
        let request =
            secrets.iter().fold(with_key(envoy.get("/")), |request, secret| request.header(FIELD, secret));
        let response = request.send().await.unwrap();
        assert_eq!((response.status, response.header(FIELD)), (200, None), "{secrets:?}");
        assert_eq!(envoy.upstream().requests().pop().unwrap().header(FIELD), None, "{secrets:?}");
    }
}
