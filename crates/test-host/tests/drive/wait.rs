//! Waiting for callouts, and what arrives meanwhile.

use super::*;
use meshgate_policy::exchange::Exchange;
use meshgate_policy::host::{Answer, CalloutError, Part};
use meshgate_test_host::{Chunking, Client, Ending, Message};

/// Where an exchange asks, and what it does with the answer.
pub fn asks(side: Side, part: Part, read: Next, then: Next) -> Scripted {
    Scripted::new(move |host, event| {
        let (here, now) = match event {
            Event::Head { side, .. } => (*side, Part::Head),
            Event::Body(side, _) => (*side, Part::Body),
            Event::Trailers(side) => (*side, Part::Trailers),
            Event::Callout(..) => return Ok(then.clone()),
            Event::Log => return Ok(Next::Continue),
        };
        match now {
            _ if here != side => Ok(Next::Continue),
            // Once: an exchange that asks again waits again.
            _ if now == part && host.now() == World::new().now() => ask(host),
            Part::Head => Ok(read.clone()),
            _ => Ok(Next::Continue),
        }
    })
}

/// What has passed of a side.
pub fn passed(conversation: &Conversation<Scripted>, side: Side) -> Option<Message> {
    match (side, conversation.client()) {
        (Side::Request, _) => conversation.upstream().cloned(),
        (Side::Response, Client::Answer(message)) => Some(message),
        (Side::Response, _) => None,
    }
}

pub fn message(side: Side) -> Message {
    let message = match side {
        Side::Request => Message::post("/", "some body"),
        Side::Response => Message::response(200).with_body("some body"),
    };
    message.with_trailer("x-sum", "1")
}

#[test]
fn a_message_waits_wherever_it_is_and_then_goes_on_whole() {
    for side in SIDES {
        for allow in [true, false] {
            for (part, read) in [
                (Part::Head, WHOLE),
                (Part::Head, Next::Continue),
                (Part::Body, WHOLE),
                (Part::Body, WINDOW),
                (Part::Trailers, WHOLE),
                (Part::Trailers, WINDOW),
                (Part::Trailers, Next::Continue),
            ] {
                if (side, part) == (Side::Request, Part::Trailers) && read != WHOLE {
                    // Too late: the body has been passed on.
                    continue;
                }
                for chunking in [Chunking::WHOLE, Chunking::bytes(b"some body")] {
                    let world = slow_world();
                    world.allow_on_headers_stop_iteration(allow);
                    let mut conversation = world.begin(asks(side, part, read.clone(), Next::Continue));
                    pass_request(&mut conversation, side);
                    conversation.send(side, &message(side), &chunking);
                    let before = passed(&conversation, side);
                    assert!(!before.clone().is_some_and(|before| before.complete), "{part:?} {read:?}");
                    assert_eq!(before.is_none(), part == Part::Head, "{part:?} {read:?}");
                    conversation.advance(SECOND);
                    assert_eq!(passed(&conversation, side), Some(message(side)), "{part:?} {read:?}");
                    assert_eq!(world.http_calls().len(), 1);
                }
            }
        }
    }
}

#[test]
fn parts_that_come_after_the_answer_go_on_as_well() {
    for side in SIDES {
        for part in [Part::Head, Part::Body] {
            let mut conversation = slow_world().begin(asks(side, part, WINDOW, Next::Continue));
            pass_request(&mut conversation, side);
            conversation.head(side, &message(side).head, false);
            conversation.body(side, b"some ", false);
            conversation.advance(SECOND);
            let goes_on = (side, part) != (Side::Request, Part::Body);
            assert_eq!(passed(&conversation, side).unwrap().text(), if goes_on { "some " } else { "" });
            conversation.body(side, b"body", false);
            conversation.trailers(side, &message(side).trailers.unwrap());
            assert_eq!(passed(&conversation, side), Some(message(side)));
        }
    }
}

#[test]
fn an_answer_may_ask_for_the_body() {
    for side in SIDES {
        for (allow, mode) in [(true, WHOLE), (true, WINDOW), (false, WHOLE), (false, WINDOW)] {
            for ending in [Ending::LastChunk, Ending::EmptyChunk, Ending::Trailers] {
                let world = slow_world();
                world.allow_on_headers_stop_iteration(allow);
                let exchange = asks(side, Part::Head, Next::Continue, mode.clone());
                let seen = exchange.seen();
                let mut conversation = world.begin(exchange);
                pass_request(&mut conversation, side);
                let message = Message { trailers: None, ..message(side) };
                conversation.send(side, &message, &Chunking::at([4]).ending(ending));
                conversation.advance(SECOND);
                let passed = passed(&conversation, side).unwrap();
                assert_eq!((passed.text(), passed.complete), ("some body", true), "{mode:?} {ending:?}");
                let bodies: Vec<_> =
                    seen.borrow().iter().filter(|event| matches!(event, Event::Body(..))).cloned().collect();
                if mode != WINDOW {
                    assert_eq!(bodies, [body(side, 9, Rest::End)], "{mode:?} {ending:?}");
                }
                assert!(matches!(bodies.last(), Some(Event::Body(_, Body { rest: Rest::End, .. }))));
            }
        }
    }
}

#[test]
fn an_answer_may_hold_what_is_at_hand() {
    for ending in [Ending::LastChunk, Ending::EmptyChunk, Ending::Trailers] {
        let exchange = asks(Side::Request, Part::Body, WINDOW, Next::Hold);
        let seen = exchange.seen();
        let mut conversation = slow_world().begin(exchange);
        conversation.send(Side::Request, &Message::post("/", "abcd"), &Chunking::at([2]).ending(ending));
        conversation.advance(SECOND);
        assert!(seen.borrow().contains(&body(Side::Request, 4, Rest::End)), "{ending:?}");
        let outcome = conversation.finish();
        assert_eq!((outcome.forwarded().text(), outcome.forwarded().complete), ("abcd", true));
    }
}

#[test]
fn what_an_answer_wrote_counts_when_the_rest_is_shown() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => Ok(WINDOW),
        Event::Body(Side::Request, Body { rest: Rest::More, .. }) => ask(host),
        Event::Callout(..) => {
            host.set_body(Side::Request, b"much longer than it was")?;
            Ok(Next::Continue)
        }
        _ => Ok(Next::Continue),
    });
    let seen = exchange.seen();
    let mut conversation = slow_world().begin(exchange);
    let chunking = Chunking::at([2]).ending(Ending::Trailers);
    conversation.send(Side::Request, &Message::post("/", "abcd"), &chunking);
    conversation.settle();
    assert!(seen.borrow().contains(&body(Side::Request, 23, Rest::End)), "{:?}", seen.borrow());
    assert_eq!(conversation.finish().forwarded().text(), "much longer than it was");
}

#[test]
fn trailers_end_a_body_that_grew_over_its_limit_meanwhile() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => Ok(Next::ReadBody(BodyMode::Window { limit: 3 })),
        Event::Body(..) => ask(host),
        _ => Ok(Next::Continue),
    });
    let seen = exchange.seen();
    let chunking = Chunking::at([2]).ending(Ending::Trailers);
    let outcome = slow_world().begin(exchange).run_chunked(
        &Message::post("/", "abcdef"),
        &chunking,
        &Message::response(204),
        &Chunking::WHOLE,
    );
    let bodies: Vec<_> =
        seen.borrow().iter().filter(|event| matches!(event, Event::Body(..))).cloned().collect();
    assert_eq!(bodies, [body(Side::Request, 2, Rest::More), body(Side::Request, 6, Rest::OverLimit)]);
    assert_eq!((outcome.forwarded().text(), outcome.forwarded().complete), ("abcdef", true));
}

#[test]
fn nothing_is_at_hand_once_it_has_gone_on() {
    let exchange = asks(Side::Response, Part::Body, WINDOW, Next::Continue);
    let seen = exchange.seen();
    let mut conversation = slow_world().begin(exchange);
    pass_request(&mut conversation, Side::Response);
    conversation.head(Side::Response, &Message::response(200).head, false);
    conversation.body(Side::Response, b"abcd", false);
    conversation.advance(SECOND);
    conversation.trailers(Side::Response, &[("x-sum", "1")].into_iter().collect());
    conversation.settle();
    assert!(seen.borrow().contains(&body(Side::Response, 0, Rest::End)), "{:?}", seen.borrow());
    assert_eq!(conversation.finish().answer().text(), "abcd");
}

#[test]
fn an_exchange_waits_for_several_answers() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => {
            let _ = ask(host)?;
            ask(host)
        }
        Event::Callout(..) if host.callouts() > 0 => Ok(Next::Wait),
        _ => Ok(Next::Continue),
    });
    let world = World::new();
    let mut delay = 0;
    world.on_http("slow", move |_| {
        delay += 1;
        Planned::After(delay * SECOND, http_answer(200, &[], ""))
    });
    let mut conversation = world.begin(exchange);
    conversation.send(Side::Request, &Message::post("/", "body"), &Chunking::WHOLE);
    conversation.advance(SECOND);
    assert_eq!(conversation.upstream(), None);
    conversation.advance(SECOND);
    assert_eq!(conversation.upstream().unwrap().text(), "body");
}

#[test]
fn a_wait_may_follow_a_wait() {
    for allow in [true, false] {
        let exchange = Scripted::new(|host, event| match event {
            Event::Head { side: Side::Request, .. } => ask(host),
            Event::Callout(id, _) if id.0 == 1 => Ok(WHOLE),
            Event::Body(..) | Event::Trailers(Side::Request) => ask(host),
            _ => Ok(Next::Continue),
        });
        let world = slow_world();
        world.allow_on_headers_stop_iteration(allow);
        let request = Message::post("/", "body").with_trailer("x-sum", "1");
        let outcome = world.begin(exchange).run(&request, &Message::response(204));
        assert_eq!(outcome.forwarded(), &request);
        assert_eq!(world.http_calls().len(), 3);
        assert_eq!(world.now().since(World::new().now()), 3 * SECOND);
    }
}

#[test]
fn a_callout_ends_at_its_deadline() {
    for planned in [Planned::Never, Planned::After(6 * SECOND, http_answer(200, &[], ""))] {
        let world = World::new();
        world.on_http("slow", move |_| planned.clone());
        let exchange = asks(Side::Request, Part::Head, Next::Continue, reply(503));
        let seen = exchange.seen();
        let mut conversation = world.begin(exchange);
        conversation.send(Side::Request, &Message::get("/"), &Chunking::WHOLE);
        conversation.advance(5 * SECOND - Duration::from_nanos(1));
        assert_eq!(seen.borrow().len(), 1);
        conversation.advance(Duration::from_nanos(1));
        let timed_out = Answer::Failed(CalloutError::TimedOut);
        assert!(matches!(&seen.borrow()[1], Event::Callout(_, answer) if *answer == timed_out));
        assert_eq!(conversation.finish().status(), 503);
    }
}

#[test]
fn an_answer_that_is_too_long_is_none() {
    let world = World::new();
    world.on_http("slow", |_| http_answer(200, &[], vec![b'x'; 101]));
    let exchange = asks(Side::Request, Part::Head, Next::Continue, Next::Continue);
    let seen = exchange.seen();
    world.begin(exchange).run(&Message::get("/"), &Message::response(200));
    let too_large = Answer::Failed(CalloutError::TooLarge);
    assert!(matches!(&seen.borrow()[1], Event::Callout(_, answer) if *answer == too_large));
}

#[test]
fn a_call_that_cannot_be_sent_is_an_error_at_once() {
    let exchange = || asks(Side::Request, Part::Head, Next::Continue, Next::Continue);
    let unknown = World::new();
    let refusing = World::new();
    refusing.on_http("slow", |_| Planned::Refused(HostError::Status(10)));
    for world in [unknown, refusing] {
        let outcome = world.begin(exchange()).run(&Message::get("/"), &Message::response(200));
        assert_eq!((outcome.status(), outcome.upstream), (500, None));
        assert_eq!(world.http_calls(), []);
    }
}

#[test]
fn waiting_for_nothing_is_an_error() {
    for part in [Part::Head, Part::Body, Part::Trailers] {
        for side in SIDES {
            let exchange = Scripted::new(move |_, event| {
                Ok(match event {
                    Event::Head { side: here, .. } if *here == side && part == Part::Head => Next::Wait,
                    Event::Head { side: here, .. } if *here == side => WHOLE,
                    Event::Body(..) if part == Part::Body => Next::Wait,
                    Event::Trailers(here) if *here == side && part == Part::Trailers => Next::Wait,
                    _ => Next::Continue,
                })
            });
            let outcome = World::new().begin(exchange).run(&message(Side::Request), &message(Side::Response));
            match side {
                Side::Request => assert_eq!(outcome.status(), 500, "{part:?}"),
                Side::Response => assert_eq!(outcome.answer(), &message(side), "{part:?}"),
            }
        }
    }
}

#[test]
fn a_failure_cannot_wait() {
    struct Stubborn;
    impl Exchange for Stubborn {
        fn request_head(&mut self, host: &mut dyn Host, _: bool) -> Result<Next, HostError> {
            let _ = ask(host)?;
            Err(HostError::Malformed)
        }

        fn failed(&mut self, _: Side, _: Part, _: HostError) -> Next {
            Next::Wait
        }
    }
    let outcome = slow_world().begin(Stubborn).run(&Message::get("/"), &Message::response(200));
    assert_eq!((outcome.status(), outcome.upstream), (500, None));
}

#[test]
fn a_response_may_pass_while_its_request_waits() {
    let exchange = asks(Side::Request, Part::Body, WINDOW, Next::Continue);
    let mut conversation = slow_world().begin(exchange);
    conversation.head(Side::Request, &Message::post("/", "").head, false);
    conversation.body(Side::Request, b"abcd", true);
    conversation.head(Side::Response, &Message::response(200).head, false);
    assert!(matches!(conversation.client(), Client::Answer(_)));
    assert_eq!(conversation.upstream().unwrap().text(), "", "still waits");
    conversation.advance(SECOND);
    assert!(conversation.upstream().unwrap().complete, "is not forgotten");
}

#[test]
fn where_both_sides_wait_the_request_goes_on_first() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => Ok(WINDOW),
        Event::Head { side: Side::Response, .. } | Event::Body(..) => ask(host),
        _ => Ok(Next::Continue),
    });
    let world = World::new();
    let mut delay = 0;
    world.on_http("slow", move |_| {
        delay += 1;
        Planned::After(delay * SECOND, http_answer(200, &[], ""))
    });
    let mut conversation = world.begin(exchange);
    conversation.send(Side::Request, &Message::post("/", "abcd"), &Chunking::WHOLE);
    conversation.send(Side::Response, &Message::response(204), &Chunking::WHOLE);
    conversation.advance(SECOND);
    assert!(conversation.upstream().unwrap().complete);
    assert_eq!(conversation.client(), Client::Nothing);
    conversation.advance(SECOND);
    assert_eq!(conversation.finish().status(), 204);
}

#[test]
fn an_answer_that_nothing_waits_for_changes_nothing() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => {
            let _ = ask(host)?;
            Ok(Next::Continue)
        }
        Event::Callout(..) => Ok(reply(403)),
        _ => Ok(Next::Continue),
    });
    let seen = exchange.seen();
    let mut conversation = slow_world().begin(exchange);
    conversation.send(Side::Request, &Message::get("/"), &Chunking::WHOLE);
    conversation.advance(SECOND);
    assert!(matches!(seen.borrow().last(), Some(Event::Callout(..))));
    conversation.send(Side::Response, &Message::response(204), &Chunking::WHOLE);
    assert_eq!(conversation.finish().status(), 204);
}

#[test]
fn an_answer_that_comes_after_a_reply_changes_nothing() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => Ok(WINDOW),
        Event::Body(..) => ask(host),
        Event::Head { side: Side::Response, .. } => Ok(reply(403)),
        Event::Callout(..) => Ok(reply(500)),
        _ => Ok(Next::Continue),
    });
    let seen = exchange.seen();
    let mut conversation = slow_world().begin(exchange);
    conversation.send(Side::Request, &Message::post("/", "abcd"), &Chunking::WHOLE);
    conversation.send(Side::Response, &Message::response(200), &Chunking::WHOLE);
    conversation.advance(SECOND);
    assert!(matches!(seen.borrow().last(), Some(Event::Callout(..))));
    let outcome = conversation.finish();
    assert_eq!((outcome.status(), outcome.forwarded().text()), (403, ""));
}

#[test]
fn a_head_that_waits_stops_its_body() {
    for side in SIDES {
        let world = slow_world();
        world.allow_on_headers_stop_iteration(true);
        let exchange = asks(side, Part::Head, Next::Continue, Next::Continue);
        let mut conversation = world.begin(exchange);
        pass_request(&mut conversation, side);
        conversation.head(side, &message(side).head, false);
        conversation.body(side, b"some ", false);
        conversation.advance(SECOND);
        conversation.body(side, b"body", true);
        conversation.settle();
        assert_eq!(passed(&conversation, side).unwrap().text(), "some body");
        assert!(passed(&conversation, side).unwrap().complete);
    }
}

#[test]
fn a_wait_past_the_limit_is_a_wait() {
    for mode in [BodyMode::Window { limit: 3 }, BodyMode::Whole { limit: 3, hold_head: false }] {
        let exchange = Scripted::new(move |host, event| match event {
            Event::Head { side: Side::Request, .. } => Ok(Next::ReadBody(mode)),
            Event::Body(_, Body { rest: Rest::OverLimit, .. }) => ask(host),
            Event::Callout(..) => Ok(reply(403)),
            _ => Ok(Next::Continue),
        });
        let mut conversation = slow_world().begin(exchange);
        conversation.send(Side::Request, &Message::post("/", "abcdef"), &Chunking::at([4]));
        assert_eq!(conversation.upstream().unwrap().text(), "");
        conversation.settle();
        assert_eq!(conversation.finish().status(), 403);
    }
}

#[test]
fn what_nothing_waits_for_finds_no_message() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => {
            let _ = ask(host)?;
            Ok(Next::Continue)
        }
        Event::Callout(..) => {
            use meshgate_policy::host::{Map, Position};
            assert_eq!(host.position(), Position::Between);
            assert_eq!(host.headers(Map::RequestHeaders), Err(HostError::WrongPhase));
            let refused = host.set_header(Map::RequestHeaders, &MARK, &value("late"));
            assert_eq!(refused, Err(HostError::WrongPhase));
            assert_eq!(host.set_body(Side::Request, b"late"), Err(HostError::WrongPhase));
            host.set_filter_state("answered", b"yes")?;
            Ok(Next::Continue)
        }
        _ => Ok(Next::Continue),
    });
    let mut conversation = slow_world().begin(exchange);
    conversation.send(Side::Request, &Message::get("/"), &Chunking::WHOLE);
    conversation.advance(SECOND);
    assert_eq!(conversation.finish().filter_state["answered"], b"yes");
}
