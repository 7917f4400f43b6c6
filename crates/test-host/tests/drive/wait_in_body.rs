//! Waiting in the midst of a body: what goes on with the next part of it, and what is deferred.

use super::*;
use crate::wait::{asks, message, passed};
use meshgate_policy::host::Part;
use meshgate_test_host::{Client, Message};

/// Waits at the first part of a body, and lets the others pass.
fn asks_once(side: Side) -> Scripted {
    let mut asked = false;
    Scripted::new(move |host, event| match event {
        Event::Head { side: here, .. } if *here == side => Ok(WINDOW),
        Event::Body(here, _) if *here == side && !std::mem::replace(&mut asked, true) => ask(host),
        _ => Ok(Next::Continue),
    })
}

#[test]
fn what_waited_of_a_request_goes_on_with_the_next_part() {
    for trailers in [false, true] {
        for then in [Next::Continue, Next::Hold] {
            let exchange = asks(Side::Request, Part::Body, WINDOW, then.clone());
            let seen = exchange.seen();
            let mut conversation = slow_world().begin(exchange);
            conversation.head(Side::Request, &Message::post("/", "").head, false);
            conversation.body(Side::Request, b"so", false);
            conversation.body(Side::Request, b"me ", false);
            conversation.advance(SECOND);
            assert_eq!(conversation.upstream().unwrap().text(), "");
            if trailers {
                conversation.trailers(Side::Request, &message(Side::Request).trailers.unwrap());
            } else {
                conversation.body(Side::Request, b"body", true);
            }
            let expected = if trailers { "some " } else { "some body" };
            let upstream = conversation.upstream().unwrap();
            assert_eq!((upstream.text(), upstream.complete), (expected, true));
            assert!(seen.borrow().contains(&body(Side::Request, expected.len(), Rest::End)));
        }
    }
}

#[test]
fn of_a_request_nothing_waits_behind_what_was_passed_on() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => Ok(WINDOW),
        Event::Body(Side::Request, _) if host.body(Side::Request, 0, 1)? == b"w" => ask(host),
        _ => Ok(Next::Continue),
    });
    let mut conversation = slow_world().begin(exchange);
    conversation.head(Side::Request, &Message::post("/", "").head, false);
    conversation.body(Side::Request, b"first", false);
    conversation.body(Side::Request, b"wait", true);
    let outcome = conversation.finish();
    assert_eq!((outcome.status(), outcome.forwarded().text()), (500, "first"));
}

#[test]
fn trailers_do_not_wait_behind_a_body_that_was_passed_on() {
    for read in [WINDOW, Next::Continue] {
        let exchange = asks(Side::Request, Part::Trailers, read, Next::Continue);
        let outcome = slow_world().begin(exchange).run(&message(Side::Request), &Message::response(204));
        assert_eq!((outcome.status(), outcome.forwarded().text()), (500, "some body"));
        assert!(!outcome.forwarded().complete);
    }
}

#[test]
fn a_head_that_waited_cannot_be_held_for_its_body() {
    for allow in [true, false] {
        let world = slow_world();
        world.allow_on_headers_stop_iteration(allow);
        let exchange = asks(Side::Request, Part::Head, Next::Continue, HELD);
        let outcome = world.begin(exchange).run(&Message::post("/", "body"), &Message::response(204));
        assert_eq!((outcome.status(), outcome.upstream), (500, None));
        // Without a body there is nothing to hold it for.
        let exchange = asks(Side::Request, Part::Head, Next::Continue, HELD);
        let outcome = world.begin(exchange).run(&Message::get("/"), &Message::response(204));
        assert_eq!(outcome.status(), 204);
    }
}

#[test]
fn the_first_part_behind_a_wait_goes_on_with_the_next_one() {
    let side = Side::Response;
    for trailers in [false, true] {
        let exchange = asks_once(side);
        let seen = exchange.seen();
        let mut conversation = slow_world().begin(exchange);
        pass_request(&mut conversation, side);
        conversation.head(side, &message(side).head, false);
        conversation.body(side, b"some", false);
        conversation.advance(SECOND);
        assert_eq!(passed(&conversation, side).unwrap().text(), "some");
        conversation.body(side, b" bo", false);
        assert_eq!(passed(&conversation, side).unwrap().text(), "some", "kept for a moment");
        if trailers {
            conversation.trailers(side, &message(side).trailers.unwrap());
        } else {
            conversation.body(side, b"dy", true);
        }
        let expected = if trailers { ("some bo", 3) } else { ("some body", 5) };
        let passed = passed(&conversation, side).unwrap();
        assert_eq!((passed.text(), passed.complete), (expected.0, true));
        assert!(seen.borrow().contains(&body(side, expected.1, Rest::End)), "{:?}", seen.borrow());
        // The moment is over, and nothing is left to do.
        conversation.advance(SECOND);
    }
}

#[test]
fn the_first_part_behind_a_wait_goes_on_by_itself() {
    const MILLISECOND: Duration = Duration::from_millis(1);
    let side = Side::Response;
    let exchange = asks_once(side);
    let seen = exchange.seen();
    let mut conversation = slow_world().begin(exchange);
    pass_request(&mut conversation, side);
    conversation.head(side, &message(side).head, false);
    conversation.body(side, b"s", false);
    conversation.advance(SECOND);
    for (chunk, so_far) in [("om", "som"), ("e b", "some b")] {
        conversation.body(side, chunk.as_bytes(), false);
        conversation.advance(MILLISECOND);
        assert_eq!(passed(&conversation, side).unwrap().text(), so_far);
        assert!(seen.borrow().contains(&body(side, chunk.len(), Rest::More)), "{:?}", seen.borrow());
    }
    conversation.body(side, b"ody", true);
    conversation.advance(MILLISECOND);
    assert_eq!(passed(&conversation, side).unwrap().text(), "some body");
    assert!(passed(&conversation, side).unwrap().complete);
}

#[test]
fn trailers_behind_a_wait_are_deferred_too() {
    let side = Side::Response;
    let mut conversation = slow_world().begin(asks_once(side));
    pass_request(&mut conversation, side);
    conversation.head(side, &message(side).head, false);
    conversation.body(side, b"some body", false);
    conversation.advance(SECOND);
    conversation.trailers(side, &message(side).trailers.unwrap());
    assert!(!passed(&conversation, side).unwrap().complete);
    conversation.settle();
    assert_eq!(passed(&conversation, side), Some(message(side)));
}

#[test]
fn what_was_deferred_may_wait_be_held_or_be_refused() {
    for (next, expected) in [(Next::Wait, Some("abcd")), (Next::Hold, Some("abcd")), (reply(403), None)] {
        let mut parts = 0;
        let exchange = Scripted::new(move |host, event| match event {
            Event::Head { side: Side::Response, .. } => Ok(WINDOW),
            Event::Body(Side::Response, body) => {
                parts += 1;
                match (parts, &next) {
                    (1, _) | (2, Next::Wait) => ask(host),
                    (2, next) => {
                        assert_eq!(host.body(Side::Response, 0, 10)?, b"c");
                        assert_eq!(body.size, 1);
                        Ok(next.clone())
                    }
                    _ => Ok(Next::Continue),
                }
            }
            _ => Ok(Next::Continue),
        });
        let mut conversation = slow_world().begin(exchange);
        pass_request(&mut conversation, Side::Response);
        conversation.head(Side::Response, &Message::response(200).head, false);
        conversation.body(Side::Response, b"ab", false);
        conversation.advance(SECOND);
        conversation.body(Side::Response, b"c", false);
        assert_eq!(passed(&conversation, Side::Response).unwrap().text(), "ab");
        conversation.advance(SECOND / 2);
        conversation.body(Side::Response, b"d", true);
        conversation.settle();
        match expected {
            Some(text) => assert_eq!(passed(&conversation, Side::Response).unwrap().text(), text),
            None => assert_eq!(conversation.client(), Client::Reset),
        }
    }
}
