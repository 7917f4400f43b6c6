//! Heads: held for their body, and closed to writes once passed on.

use super::*;
use meshgate_policy::host::{Map, Position};
use meshgate_policy::policy::Phases;
use meshgate_test_host::{Chunking, Client, Ending, Message, chunkings};

/// Writes the body's length into the head, on both sides.
fn measures() -> Scripted {
    Scripted::new(|host, event| match event {
        Event::Head { .. } => Ok(HELD),
        Event::Body(side, body) => {
            let size = HeaderValue::number(body.size as u64);
            host.set_header(Map::head(*side), &MARK, &size)?;
            Ok(Next::Continue)
        }
        _ => Ok(Next::Continue),
    })
}

#[test]
fn a_held_head_changes_until_the_body_has_ended() {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    let request = Message::post("/", "0123456789");
    let response = Message::response(200).with_body("0123456789abcdef");
    let outcome = chunkings(&request.body, |chunking| {
        world.begin(measures()).run_chunked(&request, chunking, &response, &Chunking::WHOLE)
    });
    assert_eq!(outcome.forwarded().head.get("x-mark"), Some("10"));
    let outcome = chunkings(&response.body, |chunking| {
        world.begin(measures()).run_chunked(&request, &Chunking::WHOLE, &response, chunking)
    });
    assert_eq!(outcome.answer().head.get("x-mark"), Some("16"));
}

#[test]
fn a_held_head_goes_nowhere_before_its_body() {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    let mut conversation = world.begin(measures());
    conversation.head(Side::Request, &Message::post("/", "").head, false);
    conversation.body(Side::Request, b"some", false);
    assert_eq!(conversation.upstream(), None);
    conversation.body(Side::Request, b" more", true);
    assert_eq!(conversation.upstream().unwrap().head.get("x-mark"), Some("9"));
}

#[test]
fn a_held_head_hangs_where_the_proxy_shows_no_body() {
    let outcome = World::new().begin(measures()).run(&Message::post("/", "body"), &Message::response(200));
    assert_eq!((outcome.upstream, outcome.client), (None, Client::Nothing));
}

#[test]
fn a_head_that_was_passed_on_is_closed() {
    for side in SIDES {
        for mode in [WHOLE, WINDOW, Next::Continue] {
            let exchange = Scripted::new(move |host, event| match event {
                Event::Head { side: here, .. } if *here == side => {
                    host.add_header(Map::head(side), &MARK, &value("1"))?;
                    Ok(mode.clone())
                }
                Event::Body(..) | Event::Trailers(_) => {
                    assert!(matches!(host.position(), Position::Message { head_held: false, .. }));
                    let map = Map::head(side);
                    let refused = Err(HostError::WrongPhase);
                    assert_eq!(host.set_header(map, &MARK, &value("2")), refused);
                    assert_eq!(host.add_header(map, &MARK, &value("2")), refused);
                    assert_eq!(host.remove_header(map, &MARK), refused);
                    assert_eq!(host.headers(map), Err(HostError::WrongPhase));
                    assert_eq!(host.first_header(map, &MARK), Err(HostError::WrongPhase));
                    Ok(Next::Continue)
                }
                _ => Ok(Next::Continue),
            });
            let seen = exchange.seen();
            let request = Message::post("/", "request");
            let response = Message::response(200).with_body("response");
            let chunking = Chunking::WHOLE.ending(Ending::Trailers);
            let outcome = World::new().begin(exchange).run_chunked(&request, &chunking, &response, &chunking);
            let message = if side == Side::Request { outcome.forwarded() } else { outcome.answer() };
            assert_eq!(message.head.get("x-mark"), Some("1"));
            assert!(message.complete);
            assert!(seen.borrow().contains(&Event::Trailers(side)));
        }
    }
}

#[test]
fn the_other_side_and_other_parts_are_out_of_reach() {
    let exchange = Scripted::new(|host, event| {
        if let Event::Head { side: Side::Response, .. } = event {
            assert_eq!(host.headers(Map::RequestHeaders), Err(HostError::WrongPhase));
            assert_eq!(host.body(Side::Response, 0, 1), Err(HostError::WrongPhase));
            assert_eq!(host.set_body(Side::Response, b""), Err(HostError::WrongPhase));
            assert_eq!(host.headers(Map::ResponseTrailers), Err(HostError::WrongPhase));
        }
        Ok(Next::Continue)
    });
    let outcome = World::new().begin(exchange).run(&Message::get("/"), &Message::response(204));
    assert_eq!(outcome.status(), 204);
}

#[test]
fn the_log_reads_what_was_passed_on_and_writes_nothing() {
    let exchange = Scripted::new(|host, event| {
        match event {
            Event::Head { side: Side::Request, .. } => {
                host.set_header(Map::RequestHeaders, &MARK, &value("set"))?;
            }
            Event::Log => {
                let mark = host.first_header(Map::RequestHeaders, &MARK)?.unwrap();
                host.set_filter_state("mark", &mark)?;
                assert!(host.headers(Map::ResponseTrailers)?.is_empty());
                let refused = host.set_header(Map::RequestHeaders, &MARK, &value("late"));
                assert_eq!(refused, Err(HostError::WrongPhase));
            }
            _ => {}
        }
        Ok(Next::Continue)
    });
    let outcome = World::new().begin(exchange).run(&Message::get("/"), &Message::response(200));
    assert_eq!(outcome.filter_state["mark"], b"set");
}

#[test]
fn a_module_gets_no_callback_that_it_does_not_export() {
    let exchange = Scripted::new(|_, _| Ok(Next::Continue));
    let seen = exchange.seen();
    let phases = Phases { response_head: true, ..Phases::NONE };
    let request = Message::post("/", "body").with_trailer("x", "1");
    let outcome = World::new().begin_with(phases, exchange).run(&request, &Message::response(204));
    assert_eq!((outcome.forwarded(), outcome.status()), (&request, 204));
    assert_eq!(*seen.borrow(), [Event::Head { side: Side::Response, end: true }]);
}

/// Envoy takes a missing body callback as one that continues, and a body that continues takes a waiting head along.
#[test]
#[cfg(not(target_arch = "wasm32"))]
#[should_panic = "request_head with callout needs request_body and request_trailers"]
fn no_request_waits_whose_body_nobody_looks_at() {
    let phases = Phases { request_head: true, callout: true, ..Phases::NONE };
    World::new().begin_with(phases, Scripted::new(|_, _| Ok(Next::Continue)));
}

#[test]
fn what_cannot_be_held_is_not_waited_for() {
    let phases = Phases { response_head: true, callout: true, ..Phases::NONE };
    for allow in [true, false] {
        for next in [Next::Wait, WHOLE, HELD, WINDOW] {
            let world = slow_world();
            world.allow_on_headers_stop_iteration(allow);
            let exchange = Scripted::new(move |host, event| match event {
                Event::Head { side: Side::Response, .. } => ask(host).map(|_| next.clone()),
                _ => Ok(Next::Continue),
            });
            let response = Message::response(200).with_body("body");
            let mut conversation = world.begin_with(phases, exchange);
            conversation.send(Side::Request, &Message::get("/"), &Chunking::WHOLE);
            conversation.send(Side::Response, &response, &Chunking::WHOLE);
            assert_eq!(conversation.finish().answer(), &response, "the failure of a response lets it pass");
        }
    }
}

/// A policy may turn the failure of a response into a reply, but not into what has just failed.
#[test]
fn a_failure_cannot_read_what_cannot_be_read() {
    struct Stubborn;
    impl meshgate_policy::exchange::Exchange for Stubborn {
        fn response_head(&mut self, _: &mut dyn Host, _: bool) -> Result<Next, HostError> {
            Ok(HELD)
        }

        fn failed(&mut self, _: Side, _: meshgate_policy::host::Part, error: HostError) -> Next {
            assert_eq!(error, HostError::PhasesMissing);
            HELD
        }
    }
    let phases = Phases { response_head: true, ..Phases::NONE };
    let response = Message::response(200).with_body("body");
    let outcome = World::new().begin_with(phases, Stubborn).run(&Message::get("/"), &response);
    assert_eq!(outcome.status(), 500);
}
