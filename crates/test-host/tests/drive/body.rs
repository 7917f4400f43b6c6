//! Bodies: held whole, or shown as they pass.

use super::*;
use meshgate_policy::host::Part;
use meshgate_test_host::{Chunking, Client, Ending, Message};

/// Answers to heads, bodies and trailers of the request; everything else continues.
fn on_request(head: Next, body: impl Fn(Body) -> Next + 'static) -> Scripted {
    Scripted::new(move |_, event| {
        Ok(match event {
            Event::Head { side: Side::Request, .. } => head.clone(),
            Event::Body(_, body_now) => body(*body_now),
            _ => Next::Continue,
        })
    })
}

fn bodies(seen: &[Event]) -> Vec<(usize, Rest)> {
    seen.iter()
        .filter_map(|event| match event {
            Event::Body(Side::Request, body) => Some((body.size, body.rest)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_whole_body_is_held_until_its_end() {
    let exchange = on_request(WHOLE, |_| Next::Continue);
    let seen = exchange.seen();
    let mut conversation = World::new().begin(exchange);
    conversation.head(Side::Request, &Message::post("/", "").head, false);
    assert!(conversation.upstream().is_some(), "the head goes on at once");
    for chunk in ["one ", "two "] {
        conversation.body(Side::Request, chunk.as_bytes(), false);
        assert_eq!(conversation.upstream().unwrap().text(), "");
    }
    assert_eq!(bodies(&seen.borrow()), []);
    conversation.body(Side::Request, b"three", true);
    assert_eq!(bodies(&seen.borrow()), [(13, Rest::End)]);
    let upstream = conversation.finish().upstream.unwrap();
    assert_eq!((upstream.text(), upstream.complete), ("one two three", true));
}

#[test]
fn a_body_over_the_limit_passes_after_one_call() {
    let mode = BodyMode::Whole { limit: 4, hold_head: false };
    let exchange = on_request(Next::ReadBody(mode), |_| Next::Continue);
    let seen = exchange.seen();
    let mut conversation = World::new().begin(exchange);
    conversation.head(Side::Request, &Message::post("/", "").head, false);
    conversation.body(Side::Request, b"1234", false);
    assert_eq!(conversation.upstream().unwrap().text(), "", "just the limit is still held");
    conversation.body(Side::Request, b"5", false);
    assert_eq!(conversation.upstream().unwrap().text(), "12345");
    conversation.body(Side::Request, b"67890", false);
    assert_eq!(conversation.upstream().unwrap().text(), "1234567890");
    conversation.body(Side::Request, b"", true);
    assert_eq!(bodies(&seen.borrow()), [(5, Rest::OverLimit)]);
    assert!(conversation.finish().forwarded().complete);
}

#[test]
fn a_body_over_the_limit_may_be_refused() {
    let mode = BodyMode::Whole { limit: 4, hold_head: true };
    let exchange = on_request(Next::ReadBody(mode), |body| match body.rest {
        Rest::OverLimit => reply(413),
        _ => Next::Continue,
    });
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    let outcome = world.begin(exchange).run(&Message::post("/", "12345"), &Message::response(200));
    assert_eq!((outcome.status(), outcome.upstream), (413, None));
}

#[test]
fn trailers_end_a_body() {
    for mode in [WHOLE, WINDOW] {
        let exchange = on_request(mode.clone(), |body| match body.rest {
            Rest::More => Next::Hold,
            _ => Next::Continue,
        });
        let seen = exchange.seen();
        let request = Message::post("/", "abcd").with_trailer("x-sum", "1");
        let outcome = World::new().begin(exchange).run_chunked(
            &request,
            &Chunking::at([2]),
            &Message::response(200),
            &Chunking::WHOLE,
        );
        assert_eq!(bodies(&seen.borrow()).last(), Some(&(4, Rest::End)), "{mode:?}");
        assert_eq!(seen.borrow().iter().filter(|event| **event == Event::Trailers(Side::Request)).count(), 1);
        assert_eq!(outcome.forwarded(), &request, "{mode:?}");
    }
}

#[test]
fn a_body_that_trailers_end_can_be_replaced() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => Ok(WHOLE),
        Event::Body(side, body) => {
            assert_eq!(host.body(*side, 0, body.size).unwrap(), b"abcd");
            host.set_body(*side, b"replaced")?;
            Ok(Next::Continue)
        }
        Event::Trailers(side) => {
            host.set_header(meshgate_policy::host::Map::trailers(*side), &MARK, &value("seen"))?;
            Ok(Next::Continue)
        }
        _ => Ok(Next::Continue),
    });
    let request = Message::post("/", "abcd").with_trailer("x-sum", "1");
    let outcome = World::new().begin(exchange).run(&request, &Message::response(200));
    assert_eq!(outcome.forwarded().text(), "replaced");
    assert_eq!(outcome.forwarded().trailers.as_ref().unwrap().get("x-mark"), Some("seen"));
}

#[test]
fn without_a_body_there_is_nothing_to_show() {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    for mode in [WHOLE, WINDOW, HELD] {
        let exchange = on_request(mode, |_| Next::Continue);
        let seen = exchange.seen();
        let outcome = world.begin(exchange).run(&Message::get("/"), &Message::response(200));
        assert!(outcome.forwarded().complete);
        assert_eq!(bodies(&seen.borrow()), []);
    }
}

#[test]
fn an_empty_body_is_shown_once() {
    for mode in [WHOLE, WINDOW] {
        for ending in [Ending::EmptyChunk, Ending::Trailers] {
            let exchange = on_request(mode.clone(), |_| Next::Continue);
            let seen = exchange.seen();
            let chunking = Chunking::WHOLE.ending(ending);
            let outcome = World::new().begin(exchange).run_chunked(
                &Message::get("/"),
                &chunking,
                &Message::response(200),
                &Chunking::WHOLE,
            );
            assert!(outcome.forwarded().complete, "{mode:?} {ending:?}");
            assert_eq!(bodies(&seen.borrow()), [(0, Rest::End)], "{mode:?} {ending:?}");
        }
    }
}

#[test]
fn where_no_part_of_a_body_came_none_can_be_written() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Request, .. } => Ok(WHOLE),
        Event::Body(side, _) => {
            assert_eq!(host.body(*side, 0, 10), Ok(vec![]));
            assert_eq!(host.set_body(*side, b"new"), Err(HostError::Status(1)));
            Ok(Next::Continue)
        }
        _ => Ok(Next::Continue),
    });
    let request = Message::post("/", "").with_trailer("x-sum", "1");
    let outcome = World::new().begin(exchange).run(&request, &Message::response(200));
    assert_eq!(outcome.forwarded(), &request);
}

#[test]
fn a_window_shows_what_was_held_together_with_what_follows() {
    let exchange = on_request(WINDOW, |body| if body.size < 4 { Next::Hold } else { Next::Continue });
    let seen = exchange.seen();
    let mut conversation = World::new().begin(exchange);
    conversation.head(Side::Request, &Message::post("/", "").head, false);
    let upstream_after = |conversation: &mut Conversation<Scripted>, chunk: &str, end| {
        conversation.body(Side::Request, chunk.as_bytes(), end);
        conversation.upstream().unwrap().text().to_owned()
    };
    assert_eq!(upstream_after(&mut conversation, "ab", false), "");
    assert_eq!(upstream_after(&mut conversation, "c", false), "");
    assert_eq!(upstream_after(&mut conversation, "de", false), "abcde");
    assert_eq!(upstream_after(&mut conversation, "f", false), "abcde");
    assert_eq!(upstream_after(&mut conversation, "", true), "abcdef", "nothing is held at the end");
    let expected = [(2, Rest::More), (3, Rest::More), (5, Rest::More), (1, Rest::More), (1, Rest::End)];
    assert_eq!(bodies(&seen.borrow()), expected);
    assert!(conversation.finish().forwarded().complete);
}

#[test]
fn a_window_holds_no_more_than_its_limit() {
    let exchange = on_request(Next::ReadBody(BodyMode::Window { limit: 3 }), |_| Next::Hold);
    let seen = exchange.seen();
    let request = Message::post("/", "abcdefg");
    let outcome = World::new().begin(exchange).run_chunked(
        &request,
        &Chunking::bytes(&request.body),
        &Message::response(200),
        &Chunking::WHOLE,
    );
    let expected = [
        (1, Rest::More),
        (2, Rest::More),
        (3, Rest::More),
        (4, Rest::OverLimit),
        (1, Rest::More),
        (2, Rest::More),
        (3, Rest::End),
    ];
    assert_eq!(bodies(&seen.borrow()), expected);
    assert_eq!(outcome.forwarded(), &request);
}

#[test]
fn what_is_held_may_be_replaced_by_more_or_less() {
    for (held, then) in [("longer than before", 18), ("s", 1), ("", 0)] {
        let exchange = Scripted::new(move |host, event| match event {
            Event::Head { side: Side::Request, .. } => Ok(WINDOW),
            Event::Body(side, Body { rest: Rest::More, .. }) => {
                host.set_body(*side, held.as_bytes())?;
                Ok(Next::Hold)
            }
            _ => Ok(Next::Continue),
        });
        let seen = exchange.seen();
        let request = Message::post("/", "abcd").with_trailer("x-sum", "1");
        let outcome = World::new().begin(exchange).run(&request, &Message::response(200));
        assert_eq!(bodies(&seen.borrow()), [(4, Rest::More), (then, Rest::End)]);
        assert_eq!(outcome.forwarded().text(), held);
    }
}

#[test]
fn a_body_is_looked_at_on_the_response_too() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: Side::Response, .. } => Ok(WHOLE),
        Event::Body(side, body) => {
            let position = host.position();
            let expected = meshgate_policy::host::Position::Message {
                side: Side::Response,
                part: Part::Body,
                head_held: false,
            };
            assert_eq!(position, expected);
            let upper = host.body(*side, 0, body.size)?.to_ascii_uppercase();
            host.set_body(*side, &upper)?;
            Ok(Next::Continue)
        }
        _ => Ok(Next::Continue),
    });
    let response = Message::response(200).with_body("hello");
    let outcome = World::new().begin(exchange).run_chunked(
        &Message::get("/"),
        &Chunking::WHOLE,
        &response,
        &Chunking::bytes(&response.body),
    );
    assert_eq!(outcome.answer().text(), "HELLO");
}

#[test]
fn the_proxy_keeps_no_more_than_its_own_limit() {
    let world = World::new();
    world.set_buffer_limit(8);
    let request = Message::post("/", "0123456789");
    let chunking = Chunking::at([5]);
    let ok = Message::response(200).with_body("0123456789");

    let exchange = on_request(WHOLE, |_| Next::Continue);
    let seen = exchange.seen();
    let outcome = world.begin(exchange).run_chunked(&request, &chunking, &ok, &Chunking::WHOLE);
    assert_eq!((outcome.status(), outcome.details), (413, Some("request_payload_too_large")));
    assert!(!outcome.forwarded().complete);
    assert_eq!(bodies(&seen.borrow()), []);
    assert!(seen.borrow().contains(&Event::Head { side: Side::Response, end: true }), "as a response");

    let exchange = Scripted::new(|_, event| {
        Ok(if matches!(event, Event::Head { side: Side::Response, .. }) { WHOLE } else { Next::Continue })
    });
    let outcome = world.begin(exchange).run_chunked(&Message::get("/"), &Chunking::WHOLE, &ok, &chunking);
    assert_eq!(outcome.client, Client::Reset, "its head had been passed on");
}

/// Shows windows of the body of a message and holds each part but one of `first` bytes.
fn hold_behind(side: Side, first: usize) -> Scripted {
    Scripted::new(move |_, event| {
        Ok(match event {
            Event::Head { side: of, .. } if *of == side => WINDOW,
            Event::Body(_, body) if body.size != first => Next::Hold,
            _ => Next::Continue,
        })
    })
}

/// The proxy has no place for it any more: better no request than half of one.
#[test]
fn trailers_behind_a_part_that_is_held_end_a_message() {
    let trailers = || [("x-sum", "1")].into_iter().collect();
    let request = |first| {
        let mut conversation = World::new().begin(hold_behind(Side::Request, first));
        conversation.head(Side::Request, &Message::post("/", "").head, false);
        conversation.body(Side::Request, b"abcd", false);
        conversation.body(Side::Request, b"ef", false);
        conversation.trailers(Side::Request, &trailers());
        conversation.finish()
    };
    let outcome = request(4);
    assert_eq!((outcome.status(), outcome.forwarded().text()), (500, "abcd"));
    assert!(!outcome.forwarded().complete);
    let outcome = request(0);
    assert_eq!((outcome.forwarded().text(), outcome.forwarded().complete), ("abcdef", true));

    let response = |first| {
        let message = Message::response(200).with_body("abcdef").with_trailer("x-sum", "1");
        let exchange = hold_behind(Side::Response, first);
        let conversation = World::new().begin(exchange);
        conversation.run_chunked(&Message::get("/"), &Chunking::WHOLE, &message, &Chunking::at([4]))
    };
    assert_eq!(response(4).client, Client::Reset);
    assert_eq!((response(0).answer().text(), response(0).answer().complete), ("abcdef", true));
}
