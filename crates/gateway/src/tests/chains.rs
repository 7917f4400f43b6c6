//! Bodies, waits and trailers on their way through several stages.

use std::time::Duration;

use meshgate_policy::exchange::{BodyMode, Next, Rest};
use meshgate_policy::host::Side;
use meshgate_test_host::{Chunking, Client, Ending, Event, Message, Scripted, World, chunkings};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::scripts::{Plan, Reads, chain, stage, world};

const WHOLE: Reads = Reads::Whole { limit: 1 << 16, hold_head: false };
const HELD: Reads = Reads::Whole { limit: 1 << 16, hold_head: true };

fn on_request(plan: Plan) -> [Plan; 2] {
    [plan, Plan::default()]
}

fn on_response(plan: Plan) -> [Plan; 2] {
    [Plan::default(), plan]
}

#[test]
fn a_body_passes_whoever_holds_it_in_whatever_pieces() {
    let response = Message::response(200).with_body("ok");
    let body = b"one body that many stages see, some of them whole";
    for order in [[WHOLE, Reads::From(0), HELD], [HELD, WHOLE, Reads::From(0)], [Reads::From(0), HELD, WHOLE]]
    {
        let outcome = chunkings(body, |chunking| {
            let plans = order.map(|reads| Plan { reads, key: 1, field: Some("x-a"), ..Plan::default() });
            let stages = plans.map(|plan| stage(on_request(Plan { field: None, ..plan })));
            let request = Message::post("/", &body[..]);
            let exchange = chain(stages.into());
            world().begin(exchange).run_chunked(&request, chunking, &response, &Chunking::WHOLE)
        });
        let expected: Vec<u8> = body.iter().map(|byte| byte ^ 1).collect();
        assert_eq!(outcome.forwarded().body, expected);
        assert!(outcome.forwarded().complete);
    }
}

#[test]
fn a_response_passes_the_other_way_round() {
    let plan = |suffix| Plan { reads: WHOLE, suffix, ..Plan::default() };
    let exchange = chain(vec![stage(on_response(plan("-1"))), stage(on_response(plan("-2")))]);
    let outcome = world().begin(exchange).run(&Message::get("/"), &Message::response(200).with_body("body"));
    assert_eq!(outcome.answer().text(), "body-2-1");
}

#[test]
fn a_wait_in_the_middle_keeps_what_comes_meanwhile() {
    let waits = |reads| on_request(Plan { waits: true, reads, key: 3, ..Plan::default() });
    let world = world();
    let exchange = chain(vec![
        stage(on_request(Plan { reads: Reads::From(0), key: 1, ..Plan::default() })),
        stage(waits(Reads::From(4))),
        stage(on_request(Plan { reads: WHOLE, suffix: "!", ..Plan::default() })),
    ]);
    let mut conversation = world.begin(exchange);
    conversation.head(Side::Request, &Message::post("/", "").head, false);
    conversation.body(Side::Request, b"ab", false);
    assert_eq!(conversation.upstream(), None);
    conversation.body(Side::Request, b"cdef", false);
    conversation.advance(Duration::from_millis(20));
    conversation.body(Side::Request, b"gh", true);
    let expected: Vec<u8> = b"abcdefgh".iter().map(|byte| byte ^ 2).chain(*b"!").collect();
    assert_eq!(conversation.upstream().unwrap().body, expected);
    assert_eq!(conversation.client(), Client::Nothing);
}

#[test]
fn a_stage_behind_one_that_holds_the_head_may_wait() {
    for cut in [0, 3, 8] {
        let exchange = chain(vec![
            stage(on_request(Plan { reads: HELD, suffix: "-1", ..Plan::default() })),
            stage(on_request(Plan { waits: true, field: Some("x-b"), ..Plan::default() })),
        ]);
        let response = Message::response(200);
        let request = Message::post("/", "a body.");
        let outcome =
            world().begin(exchange).run_chunked(&request, &Chunking::at([cut]), &response, &Chunking::WHOLE);
        assert_eq!(outcome.forwarded().text(), "a body.-1");
        assert_eq!(outcome.forwarded().head.get("x-b"), Some("0"));
    }
}

#[test]
fn nothing_is_read_for_stages_that_look_at_heads_only() {
    let world = world();
    let plan = Plan { field: Some("x-a"), ..Plan::default() };
    let exchange = chain((0..3).map(|_| stage([plan.clone(), plan.clone()])).collect());
    let request = Message::post("/", "x".repeat(3_000_000));
    let response = Message::response(200).with_body("y".repeat(3_000_000));
    let outcome =
        world.begin(exchange).run_chunked(&request, &Chunking::at([10]), &response, &Chunking::at([10]));
    assert_eq!(outcome.forwarded().body.len(), 3_000_000);
    let calls = world.take_calls();
    assert_eq!(
        calls.iter().filter(|call| call.starts_with("body") || call.starts_with("set_body")).count(),
        0
    );
    // Each head is read once and written once per value, though all three stages read and write it.
    for map in ["RequestHeaders", "ResponseHeaders"] {
        assert_eq!(calls.iter().filter(|call| **call == format!("headers {map}")).count(), 1, "{calls:?}");
        assert_eq!(
            calls.iter().filter(|call| **call == format!("add_header {map} x-a")).count(),
            3,
            "{calls:?}"
        );
        // What is not there is not removed.
        assert_eq!(calls.iter().filter(|call| call.starts_with("remove_header")).count(), 0, "{calls:?}");
    }
}

#[test]
fn a_body_is_read_once_and_written_once() {
    let world = world();
    let plan = Plan { reads: Reads::From(0), ..Plan::default() };
    let outcome = world
        .begin(chain(vec![stage(on_response(plan.clone())), stage(on_response(plan))]))
        .run(&Message::get("/"), &Message::response(200).with_body("body"));
    assert_eq!(outcome.answer().text(), "body");
    let calls = world.take_calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("body")).count(), 1, "{calls:?}");
    assert_eq!(calls.iter().filter(|call| call.starts_with("set_body")).count(), 1, "{calls:?}");
}

#[test]
fn a_stage_that_waits_in_a_response_is_no_way_to_hang() {
    let exchange = chain(vec![stage(on_response(Plan { waits: true, ..Plan::default() }))]);
    let outcome = world().begin(exchange).run(&Message::get("/"), &Message::response(200).with_body("body"));
    assert_eq!((outcome.status(), outcome.details), (500, Some("meshgate_internal_error")));
}

#[test]
fn callouts_go_to_the_stage_that_made_them() {
    let waits = || stage(on_request(Plan { waits: true, field: Some("x-a"), ..Plan::default() }));
    let world: World = world();
    let outcome = world.begin(chain(vec![waits(), waits()])).run(&Message::get("/"), &Message::response(204));
    let values: Vec<_> = outcome.forwarded().head.all("x-a").map(<[u8]>::to_vec).collect();
    assert_eq!(values, [b"0", b"1"]);
    assert_eq!(world.http_calls().len(), 2);
}

#[test]
fn what_a_stage_keeps_to_itself_is_not_passed_on() {
    // It passes each part with the next.
    let mut kept = Vec::new();
    let keeps = Scripted::new(move |host, event| match event {
        Event::Head { side: Side::Request, .. } => Ok(Next::ReadBody(BodyMode::Window { limit: usize::MAX })),
        Event::Body(Side::Request, body) => {
            let mut passes = std::mem::take(&mut kept);
            kept = if body.size > 0 { host.body(Side::Request, 0, usize::MAX)? } else { Vec::new() };
            if body.rest == Rest::End {
                passes.append(&mut kept);
            }
            host.set_body(Side::Request, &passes)?;
            Ok(Next::Continue)
        }
        _ => Ok(Next::Continue),
    });
    let holds = on_request(Plan { reads: Reads::From(1 << 16), ..Plan::default() });
    let chunking = Chunking::at([2, 4]).ending(Ending::Trailers);
    let request = Message::post("/", "abcdef").with_trailer("x-t", "1");
    let outcome = world().begin(chain(vec![keeps, stage(holds)])).run_chunked(
        &request,
        &chunking,
        &Message::response(200),
        &Chunking::WHOLE,
    );
    assert_eq!((outcome.forwarded().text(), outcome.forwarded().complete), ("abcdef", true));
}
