//! How many instructions the hot paths take: a number that does not depend on the machine, so that a change that makes them
//! dearer is seen in CI. The limits have a fifth of headroom over what was measured when they were set; set them again,
//! with the reason in the commit, when something is worth it.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod support;

use meshgate_wasm_host::{Proxy, Request, Response, Upstream};
use support::{proxy, respond};

/// What one exchange takes in the second half of some: caches are warm and nothing is made for the first time.
fn fuel(proxy: &mut Proxy, request: &Request, response: &Response) -> u64 {
    let mut last = 0;
    for _ in 0..8 {
        let exchange = proxy.exchange(request, Upstream::Answers(&mut |_| response.clone())).unwrap();
        assert_eq!(exchange.response().status, response.status, "{}", exchange.details);
        last = exchange.fuel[0];
    }
    last
}

#[track_caller]
fn at_most(limit: u64, fuel: u64) {
    assert!(fuel <= limit, "{fuel} instructions, and {limit} are the limit");
    // A limit far above what is taken guards nothing.
    assert!(fuel * 2 > limit, "{fuel} instructions: the limit of {limit} can be lower");
}

#[test]
fn a_key_and_two_limits() {
    let config = r#"{
        "plans": {"free": {"limits": [{"name": "burst", "rate": "1000/s"}, {"name": "monthly", "quota": "1000000/month"}]}},
        "consumers": [{"name": "alice", "plan": "free", "keys": [
            {"id": "alice-1", "sha256": "72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20"}]}]}"#;
    let mut request = Request::new("GET", "/v1/orders/7?page=2");
    request.headers =
        [("x-api-key", "alice-key"), ("accept", "*/*"), ("user-agent", "test/1.0")].into_iter().collect();
    at_most(QUOTA, fuel(&mut proxy("api_key_quota", config), &request, &respond("application/json", "{}")));
}

#[test]
fn a_clean_body_of_100_kilobytes() {
    let config = r#"{"rules": [{"find": ["payment", "us", "contact", "secrets"], "in": "response.body", "do": {"mask": {"keep_last": 4}}}]}"#;
    let row = r#"{"name":"An ordinary row of a list","state":"open","words":["alpha","beta"],"count":17},"#;
    let body = format!("[{}{{}}]", row.repeat(100 * 1024 / row.len()));
    let response = respond("application/json", &body);
    at_most(DLP, fuel(&mut proxy("dlp", config), &Request::new("GET", "/"), &response));
}

#[test]
fn a_body_of_10_kilobytes_edited() {
    let config = r#"{"rules": [{"response": [
        {"remove": {"json": "$.items[*].internal_id"}}, {"set": {"json": "/checked", "to": true}}]}]}"#;
    let row = r#"{"id":1234,"internal_id":9876,"name":"An ordinary row of a list","state":"open"},"#;
    let body = format!(r#"{{"items":[{}{{}}]}}"#, row.repeat(10 * 1024 / row.len()));
    let response = respond("application/json", &body);
    at_most(TRANSFORM, fuel(&mut proxy("transform", config), &Request::new("GET", "/"), &response));
}

#[test]
fn a_response_without_an_error() {
    at_most(
        ERRORS,
        fuel(&mut proxy("error_response", "{}"), &Request::new("GET", "/"), &respond("text/plain", "fine")),
    );
}

const QUOTA: u64 = 34_600;
const DLP: u64 = 3_145_000;
const TRANSFORM: u64 = 1_083_000;
const ERRORS: u64 = 3_400;
