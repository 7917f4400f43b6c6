//! Replies and errors, wherever they happen.

use super::*;
use meshgate_policy::exchange::Exchange;
use meshgate_policy::host::Part;
use meshgate_test_host::{Client, Message};

/// Does this at one part of one side; holds bodies whole.
fn at(side: Side, part: Part, then: impl Fn() -> Result<Next, HostError> + 'static) -> Scripted {
    Scripted::new(move |_, event| {
        let now = match event {
            Event::Head { side, .. } => (*side, Part::Head),
            Event::Body(side, _) => (*side, Part::Body),
            Event::Trailers(side) => (*side, Part::Trailers),
            Event::Callout(..) | Event::Log => return Ok(Next::Continue),
        };
        match now {
            now if now == (side, part) => then(),
            (_, Part::Head) => Ok(WHOLE),
            _ => Ok(Next::Continue),
        }
    })
}

fn request() -> Message {
    Message::post("/", "request").with_trailer("x-sum", "1")
}

fn response() -> Message {
    Message::response(200).with_body("response").with_trailer("x-sum", "2")
}

const PARTS: [Part; 3] = [Part::Head, Part::Body, Part::Trailers];

#[test]
fn a_reply_to_a_request_takes_the_place_of_the_upstream() {
    for part in PARTS {
        let exchange = at(Side::Request, part, || Ok(reply(403)));
        let seen = exchange.seen();
        let outcome = World::new().begin(exchange).run(&request(), &response());
        assert_eq!((outcome.status(), outcome.details), (403, Some("test_reply")), "{part:?}");
        assert!(outcome.answer().complete);
        match part {
            Part::Head => assert_eq!(outcome.upstream, None),
            _ => assert_eq!((outcome.forwarded().text(), outcome.forwarded().complete), ("", false)),
        }
        let own = |event: &Event| matches!(event, Event::Head { side: Side::Response, .. });
        assert!(!seen.borrow().iter().any(own), "its own reply does not come back: {part:?}");
        assert_eq!(seen.borrow().last(), Some(&Event::Log));
    }
}

#[test]
fn a_reply_to_a_response_replaces_it_as_long_as_nothing_of_it_went_out() {
    for part in PARTS {
        let exchange = at(Side::Response, part, || Ok(reply(502)));
        let outcome = World::new().begin(exchange).run(&request(), &response());
        assert_eq!(outcome.forwarded(), &request());
        match part {
            Part::Head => assert_eq!(outcome.status(), 502),
            _ => assert_eq!(outcome.client, Client::Reset, "{part:?}"),
        }
    }
}

#[test]
fn a_reply_in_place_of_a_held_response_head() {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    let exchange = Scripted::new(|_, event| {
        Ok(match event {
            Event::Head { side: Side::Response, .. } => {
                Next::ReadBody(BodyMode::Whole { limit: 1000, hold_head: true })
            }
            Event::Body(..) => reply(502),
            _ => Next::Continue,
        })
    });
    let outcome = world.begin(exchange).run(&request(), &response());
    assert_eq!((outcome.status(), outcome.answer().text()), (502, ""));
}

#[test]
fn a_reply_may_come_from_a_callout() {
    for part in PARTS {
        let exchange = Scripted::new(move |host, event| match (event, part) {
            (Event::Head { side: Side::Request, .. }, Part::Head)
            | (Event::Body(Side::Request, _), Part::Body)
            | (Event::Trailers(Side::Request), Part::Trailers) => ask(host),
            (Event::Head { side: Side::Request, .. }, _) => Ok(WHOLE),
            (Event::Callout(..), _) => Ok(reply(403)),
            _ => Ok(Next::Continue),
        });
        let outcome = slow_world().begin(exchange).run(&request(), &response());
        assert_eq!(outcome.status(), 403, "{part:?}");
        assert!(outcome.upstream.is_none_or(|upstream| upstream.body.is_empty() && !upstream.complete));
    }
}

#[test]
fn a_reply_while_the_response_is_passing_breaks_it_off() {
    let exchange = Scripted::new(|_, event| {
        Ok(match event {
            Event::Head { side: Side::Request, .. } => WINDOW,
            Event::Body(_, Body { rest: Rest::End, .. }) => reply(403),
            _ => Next::Continue,
        })
    });
    let mut conversation = World::new().begin(exchange);
    conversation.head(Side::Request, &request().head, false);
    conversation.body(Side::Request, b"a", false);
    conversation.head(Side::Response, &response().head, false);
    conversation.body(Side::Request, b"b", true);
    conversation.body(Side::Response, b"more", true);
    assert_eq!(conversation.finish().client, Client::Reset);
}

#[test]
fn an_error_refuses_a_request_and_lets_a_response_pass() {
    for side in SIDES {
        for part in PARTS {
            let exchange = at(side, part, || Err(HostError::Malformed));
            let outcome = World::new().begin(exchange).run(&request(), &response());
            match side {
                Side::Request => {
                    assert_eq!((outcome.status(), outcome.details), (500, Some("meshgate_internal_error")));
                    let upstream = outcome.upstream;
                    assert!(upstream.is_none_or(|got| got.body.is_empty() && !got.complete), "{part:?}");
                }
                Side::Response => assert_eq!(outcome.answer(), &response(), "{part:?}"),
            }
        }
    }
}

#[test]
fn an_error_in_a_callout_is_one_of_the_part_that_waited() {
    for side in SIDES {
        let exchange = Scripted::new(move |host, event| match event {
            Event::Head { side: here, .. } if *here == side => ask(host),
            Event::Callout(..) => Err(HostError::Malformed),
            _ => Ok(Next::Continue),
        });
        let outcome = slow_world().begin(exchange).run(&request(), &response());
        assert_eq!(outcome.status(), if side == Side::Request { 500 } else { 200 });
    }
}

#[test]
fn an_exchange_decides_what_its_errors_do() {
    struct FailsOpen;
    impl Exchange for FailsOpen {
        fn request_head(&mut self, _: &mut dyn Host, _: bool) -> Result<Next, HostError> {
            Err(HostError::Unsupported)
        }

        fn response_head(&mut self, _: &mut dyn Host, _: bool) -> Result<Next, HostError> {
            Err(HostError::Status(7))
        }

        fn failed(&mut self, side: Side, part: Part, error: HostError) -> Next {
            match (side, part, error) {
                (Side::Request, Part::Head, HostError::Unsupported) => Next::Continue,
                (Side::Response, Part::Head, HostError::Status(7)) => reply(502),
                other => panic!("{other:?}"),
            }
        }
    }
    let outcome = World::new().begin(FailsOpen).run(&request(), &response());
    assert_eq!(outcome.forwarded(), &request());
    assert_eq!(outcome.status(), 502);
}

#[test]
fn a_reply_has_the_form_that_its_client_reads() {
    let exchange = || {
        Scripted::new(|_, event| match event {
            Event::Head { side: Side::Request, .. } => Err(HostError::Malformed),
            _ => Ok(Next::Continue),
        })
    };
    let run = |request: &Message| World::new().begin(exchange()).run(request, &response());

    let get = run(&Message::get("/"));
    assert_eq!(get.answer().head.get("content-type"), Some("application/problem+json"));
    assert_eq!(get.answer().head.get("content-length"), Some(get.answer().body.len().to_string().as_str()));

    let head = run(&Message::request("HEAD", "/"));
    assert_eq!(head.answer().head, get.answer().head);
    assert_eq!(head.answer().text(), "");

    let grpc = run(&Message::post("/a.B/C", "").with("content-type", "application/grpc+proto"));
    assert_eq!(grpc.status(), 200);
    assert_eq!(grpc.answer().head.get("grpc-status"), Some("2"));
}
