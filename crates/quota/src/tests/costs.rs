//! What a request costs, when that is known, and which requests stay charged.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::time::Duration;

use meshgate_policy::host::Side;
use meshgate_test_host::{Chunking, Client, chunkings};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::charging::{left, ok, status, told};
use super::*;

#[test]
fn a_request_costs_what_is_configured() {
    let world = World::new();
    let limits = json!([
        {"name": "fixed", "quota": "100/d", "cost": 7},
        {"name": "header", "quota": "100/d", "cost": {"header": "x-cost"}},
        {"name": "expression", "quota": "100/d", "match": {"path": "/{kind}"},
         "cost": {"expression": "10 if path.kind == 'reports' else request.headers['x-parts']|default(1)|float"}},
    ]);
    let worker = told(&world, limits);
    assert_eq!(left(&worker), [100, 100, 100]);
    assert_eq!(status(&worker, &get("/items", "key-1")), 200);
    assert_eq!(left(&worker), [93, 99, 99]);
    assert_eq!(status(&worker, &get("/reports", "key-1").with("x-cost", "20")), 200);
    assert_eq!(left(&worker), [86, 79, 89]);
    assert_eq!(status(&worker, &get("/items", "key-1").with("x-parts", "2.1")), 200);
    assert_eq!(left(&worker), [79, 78, 86]);
    // Too much for one of them is too much.
    let refused = send(&worker, &get("/items", "key-1").with("x-cost", "79"));
    assert_eq!((refused.status(), problem(&refused)["violated-policies"].clone()), (429, json!(["header"])));
    assert_eq!(refused.answer().head.get("retry-after"), Some("86400"));
    // What there is never room for is not worth waiting for.
    let refused = send(&worker, &get("/items", "key-1").with("x-cost", "101"));
    assert_eq!((refused.status(), refused.answer().head.get("retry-after")), (429, None));
    assert_eq!(left(&worker), [79, 78, 86]);
}

#[test]
fn a_cost_that_cannot_be_understood_is_refused() {
    let world = World::new();
    let limits = json!([
        {"name": "header", "quota": "100/d", "cost": {"header": "x-cost"}},
        {"name": "expression", "quota": "100/d", "cost": {"expression": "request.query.n|default(1)|int"}},
    ]);
    let worker = told(&world, limits);
    for cost in ["", "0", "-1", "+1", "1.5", "1e3", "x", "1000000000000000", "99999999999999999999", "1, 1"] {
        let outcome = send(&worker, &get("/", "key-1").with("x-cost", cost));
        assert_eq!((outcome.status(), outcome.details), (400, Some("meshgate_cost_invalid")), "{cost}");
        problem(&outcome);
    }
    let twice = get("/", "key-1").with("x-cost", "1").with("x-cost", "1");
    assert_eq!(status(&worker, &twice), 400);
    for target in [
        "/?n=-1",
        "/?n=x",
        "/?n=1&n=1",
        "/?n=99999999999999999",
        "/?n=nan",
        "/?n=-NaN",
        "/?n=%20nan",
        "/?n=inf",
        "/?n=-inf",
    ] {
        assert_eq!(status(&worker, &get(target, "key-1")), 400, "{target}");
    }
    assert_eq!(status(&worker, &get("/?n=0", "key-1")), 200);
    assert_eq!(left(&worker), [99, 100]);
    assert_eq!(world.metric("meshgate.quota.denied.cost_invalid"), 20);
}

/// gRPC says whether a call succeeded in the trailers behind a response with 200, or in the head of one without messages.
#[test]
fn calls_of_grpc_are_charged_by_the_status_of_grpc() {
    let world = World::new();
    let limits = json!([
        {"name": "done", "quota": "100/d", "cost": 5, "charge": {"grpc_status": "OK"}},
        {"name": "both", "quota": "100/d", "charge": {"status": "2xx", "grpc_status": ["OK", 5, "UNKNOWN"]}},
        {"name": "tokens", "quota": "100/d", "cost": {"response_json": "/n", "reserve": 9}, "charge": {"grpc_status": 0}},
        {"name": "parallel", "concurrency": 100},
    ]);
    let worker = told(&world, limits);
    let call = || get("/s.S/M", "key-1").with("content-type", "application/grpc");
    let response = |http: u16| Message::response(http).with("content-type", "application/grpc");
    let behind = |status: &str| response(200).with_body("message").with_trailer("grpc-status", status);
    let mut expected = [100, 100, 100];
    for (response, costs) in [
        (behind("0"), [5, 1, 9]),
        (behind("14"), [0, 0, 0]),
        (behind("5"), [0, 1, 0]),
        (behind("99"), [0, 1, 0]),
        (response(200).with("grpc-status", "0"), [5, 1, 9]),
        (response(200).with("grpc-status", "16"), [0, 0, 0]),
        (response(200).with("grpc-status", "5"), [0, 1, 0]),
        // In the head and behind the messages: what is behind them is what the call came to.
        (behind("0").with("grpc-status", "14"), [5, 1, 9]),
        (behind("14").with("grpc-status", "0"), [0, 0, 0]),
        (behind("5").with("grpc-status", "14"), [0, 1, 0]),
        // Only in the head, though messages follow, and trailers that say nothing of it.
        (response(200).with("grpc-status", "14").with_body("message"), [0, 0, 0]),
        (response(200).with("grpc-status", "5").with_body("message").with_trailer("x-a", "0"), [0, 1, 0]),
        (response(200).with("grpc-status", "0").with_body("message").with_trailer("x-a", "14"), [5, 1, 9]),
        // Nothing is said of gRPC.
        (response(200), [5, 1, 9]),
        (response(200).with_body("message").with_trailer("x-a", "14"), [5, 1, 9]),
        (response(503), [5, 0, 9]),
    ] {
        assert_eq!(worker.run(&call(), &response).status(), response.status());
        for (left, cost) in expected.iter_mut().zip(costs) {
            *left -= cost;
        }
        let [done, both, tokens] = expected;
        assert_eq!(left(&worker), [done, both, tokens, 100], "{response:?}");
    }
    // Who goes away before the trailers pays.
    let mut conversation = worker.begin();
    conversation.send(Side::Request, &call(), &Chunking::WHOLE);
    conversation.finish();
    let [done, both, tokens] = expected;
    assert_eq!(left(&worker), [done - 5, both - 1, tokens - 9, 100]);
    assert_eq!(world.metric("meshgate.quota.errors"), 0);
}

#[test]
fn a_charge_says_by_what() {
    for (charge, message) in [
        (json!({}), "charge: found neither status nor grpc_status, expected one of them"),
        (
            json!({"grpc_status": "ok"}),
            "charge.grpc_status: found \"ok\", expected a gRPC status by name or number",
        ),
        (json!({"grpc_status": ["OK", 17]}), "charge.grpc_status[1]: found 17"),
        (json!({"grpc_status": []}), "charge.grpc_status: "),
        (json!({"status": null}), "charge.status: found null"),
    ] {
        let limits = json!([{"name": "l", "quota": "1/d", "charge": charge}]);
        let refused = load(&with([("/plans/free/limits", limits)])).unwrap_err().to_string();
        let expected = format!("plans.free.limits[0].{message}");
        assert!(refused.starts_with(&expected), "{refused}");
    }
}

#[test]
fn bytes_are_counted_when_the_stream_has_ended() {
    let world = World::new();
    let limits = json!([
        {"name": "in", "quota": "1000/d", "cost": {"request_bytes": true, "reserve": 50}},
        {"name": "out", "quota": "1000/d", "cost": {"response_bytes": true}},
    ]);
    let worker = told(&world, limits);
    let size = |side: &str, size: u64| world.set_property(&[side, "total_size"], size.to_le_bytes());
    // As long as the proxy does not say how many, the reserve stays.
    assert_eq!(status(&worker, &get("/", "key-1")), 200);
    assert_eq!((left(&worker), world.metric("meshgate.quota.cost_unknown")), (vec![950, 999], 2));

    // What the proxy says is without the fields, of which names and values count.
    let fields = |message: &Message| -> u64 {
        message.head.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    };
    let (sent, trailed) = (get("/", "key-1"), ok().with_body("x").with_trailer("grpc-status", "0"));
    size("request", 10);
    size("response", 300);
    let mut conversation = worker.begin();
    conversation.send(Side::Request, &sent, &Chunking::WHOLE);
    assert_eq!(left(&worker), [900, 998]);
    conversation.send(Side::Response, &trailed, &Chunking::WHOLE);
    conversation.finish();
    let cost = [10 + fields(&sent), 300 + fields(&trailed) + 12];
    assert_eq!(left(&worker), [950 - cost[0], 999 - cost[1]]);

    // What has happened is counted even if there was no room for it. A client that went away pays as well.
    size("response", 2_000);
    let mut conversation = worker.begin();
    conversation.send(Side::Request, &sent, &Chunking::WHOLE);
    assert_eq!(conversation.finish().client, Client::Nothing);
    assert_eq!(left(&worker), [950 - 2 * cost[0], 0]);
    assert_eq!(status(&worker, &get("/", "key-1")), 429);
    world.advance(Duration::from_secs(86_400));
    assert_eq!(left(&worker), [1_000, 1_000]);
}

fn tokens() -> Value {
    json!([{"name": "tokens", "quota": "1000/d", "cost": {"response_json": "/usage/total_tokens", "reserve": 10}}])
}

pub(super) fn completion(tokens: u64) -> Message {
    let body =
        json!({"choices": [{"text": "\"usage\": {\"total_tokens\": 1}"}], "usage": {"total_tokens": tokens}});
    ok().with("content-type", "application/json; charset=utf-8").with_body(body.to_string())
}

#[test]
fn a_number_in_the_response_is_what_it_cost() {
    let world = World::new();
    let worker = told(&world, tokens());
    let post = Message::post("/", "{}").with("x-api-key", "key-1").with("accept-encoding", "gzip, br");
    let outcome = worker.run(&post, &completion(300));
    assert_eq!(outcome.answer().body, completion(300).body);
    // The upstream is not to compress what is read.
    assert_eq!(outcome.forwarded().head.get("accept-encoding"), Some("identity"));
    assert_eq!(outcome.answer().head.get("ratelimit"), Some("\"tokens\";r=990;t=86400"));
    assert_eq!(left(&worker), [700]);
    // Less than the reserve is given back.
    worker.run(&post, &completion(4));
    assert_eq!(left(&worker), [696]);

    let mut expected = 696;
    for response in [
        ok(),
        Message::response(204),
        completion(1).with("content-encoding", "gzip"),
        ok().with_body(completion(300).body),
        ok().with("content-type", "text/html").with_body(completion(300).body),
        ok().with("content-type", "application/json").with_body("{\"usage\": null}"),
        ok().with("content-type", "application/json").with_body("{\"usage\""),
    ] {
        worker.run(&post, &response);
        expected -= 10;
        assert_eq!(left(&worker), [expected], "{response:?}");
    }
    assert_eq!(world.metric("meshgate.quota.cost_unknown"), 7);
    worker.run(&post, &ok().with("content-type", "application/vnd.api+json").with_body(completion(100).body));
    assert_eq!(left(&worker), [expected - 100]);
}

#[test]
fn the_last_event_of_a_stream_tells_what_it_cost() {
    let events = "data: {\"choices\": [], \"usage\": null}\n\ndata: {\"usage\": {\"total_tokens\": 5}}\n\n\
                  data: {\"usage\": {\"total_tokens\": 120}}\n\ndata: [DONE]\n\n";
    let world = World::new();
    let worker = told(&world, tokens());
    let response = || ok().with("content-type", "text/event-stream").with_body(events);
    let request = get("/", "key-1");
    let mut runs = 0;
    chunkings(events.as_bytes(), |chunking| {
        // Each run has a day of its own.
        world.advance(Duration::from_secs(86_400));
        let outcome = worker.begin().run_chunked(&request, &Chunking::WHOLE, &response(), chunking);
        assert_eq!(left(&worker), [880], "{chunking:?}");
        runs += 1;
        Outcome { client: without_limits(outcome.client), ..outcome }
    });
    assert!(runs > 100);
}

/// What differs from one run to the next.
fn without_limits(client: Client) -> Client {
    match client {
        Client::Answer(mut message) => {
            message.head.remove("ratelimit");
            Client::Answer(message)
        }
        other => other,
    }
}

#[test]
fn a_stream_that_breaks_off_costs_what_has_come_of_it() {
    let world = World::new();
    let worker = told(&world, tokens());
    let head = ok().with("content-type", "text/event-stream").head;
    for (part, left_over) in [
        ("data: {\"usage\": {\"total_tokens\": 40}}\n\ndata: {\"usa", 960),
        ("data: {\"choices\": []}\n\n", 950),
    ] {
        let mut conversation = worker.begin();
        conversation.send(Side::Request, &get("/", "key-1"), &Chunking::WHOLE);
        conversation.head(Side::Response, &head, false);
        conversation.body(Side::Response, part.as_bytes(), false);
        // It has passed already: nothing is held.
        assert_eq!(
            conversation.client(),
            Client::Answer(Message {
                head: client_head(&conversation),
                body: part.into(),
                trailers: None,
                complete: false
            })
        );
        conversation.finish();
        assert_eq!(left(&worker), [left_over]);
    }
}

fn client_head<E: meshgate_policy::exchange::Exchange>(
    conversation: &meshgate_test_host::Conversation<E>,
) -> meshgate_test_host::Fields {
    match conversation.client() {
        Client::Answer(message) => message.head,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_charged_for_its_status_is_taken_back() {
    let world = World::new();
    let limits = json!([
        {"name": "good", "quota": "10/d", "charge": {"status": ["2xx", 404]}, "cost": 2},
        {"name": "all", "quota": "10/d"},
        {"name": "address", "quota": "10/d", "per": "ip", "charge": {"status": "2xx"}},
    ]);
    let worker = told(&world, limits);
    let answered = |status| worker.run(&get("/", "key-1"), &Message::response(status));
    let told = |outcome: &Outcome| outcome.answer().head.get("ratelimit").unwrap().to_owned();
    assert_eq!(told(&answered(200)), "\"good\";r=8;t=86400, \"all\";r=9;t=86400, \"address\";r=9;t=86400");
    assert_eq!(told(&answered(503)), "\"good\";r=8;t=86400, \"all\";r=8;t=86400, \"address\";r=9;t=86400");
    assert_eq!(told(&answered(404)), "\"good\";r=6;t=86400, \"all\";r=7;t=86400, \"address\";r=9;t=86400");
    assert_eq!(left(&worker), [6, 7, 9]);
    // A client that goes away before there is a status is charged: it could have had the work done for nothing.
    let mut conversation = worker.begin();
    conversation.send(Side::Request, &get("/", "key-1"), &Chunking::WHOLE);
    conversation.finish();
    assert_eq!(left(&worker), [4, 6, 8]);
}

#[test]
fn a_cost_that_the_response_tells_is_not_charged_for_its_status() {
    let world = World::new();
    let mut limits = tokens();
    limits[0]["charge"] = json!({"status": "2xx"});
    let worker = told(&world, limits);
    let mut failed = completion(100);
    failed.head.set(":status", "500");
    worker.run(&get("/", "key-1"), &failed);
    assert_eq!(left(&worker), [1_000]);
    worker.run(&get("/", "key-1"), &completion(100));
    assert_eq!(left(&worker), [900]);
    assert_eq!(world.metric("meshgate.quota.cost_unknown"), 0);
}

#[test]
fn what_comes_back_too_late_is_not_given_twice() {
    let world = World::new();
    let worker = told(&world, json!([{"name": "l", "quota": "10/m", "charge": {"status": "2xx"}}]));
    let mut slow = worker.begin();
    slow.send(Side::Request, &get("/", "key-1"), &Chunking::WHOLE);
    world.advance(Duration::from_secs(60));
    assert_eq!(status(&worker, &get("/", "key-1")), 200);
    slow.send(Side::Response, &Message::response(500), &Chunking::WHOLE);
    slow.finish();
    assert_eq!(left(&worker), [9]);
}
