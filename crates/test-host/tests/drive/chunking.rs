//! However a body is cut, the same comes out.

use super::*;
use meshgate_policy::exchange::Exchange;
use meshgate_test_host::{Chunking, Ending, Message, chunkings};

/// Replaces "abc" by "x" as a body passes.
struct Replace;

impl Replace {
    fn replace(host: &mut dyn Host, side: Side, body: Body) -> Result<Next, HostError> {
        let bytes = host.body(side, 0, body.size)?;
        assert_eq!(bytes.len(), body.size);
        let text = String::from_utf8(bytes).unwrap();
        let replaced = text.replace("abc", "x");
        if replaced != text {
            host.set_body(side, replaced.as_bytes())?;
        }
        let unfinished = replaced.ends_with('a') || replaced.ends_with("ab");
        Ok(if unfinished { Next::Hold } else { Next::Continue })
    }
}

impl Exchange for Replace {
    fn request_head(&mut self, _: &mut dyn Host, _: bool) -> Result<Next, HostError> {
        Ok(Next::ReadBody(BodyMode::Window { limit: 1 << 20 }))
    }

    fn request_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        Self::replace(host, Side::Request, body)
    }

    fn response_head(&mut self, _: &mut dyn Host, _: bool) -> Result<Next, HostError> {
        Ok(Next::ReadBody(BodyMode::Window { limit: 1 << 20 }))
    }

    fn response_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        Self::replace(host, Side::Response, body)
    }
}

#[test]
fn a_window_sees_what_chunk_borders_cut() {
    let world = World::new();
    for (body, expected) in [
        ("abcabcab", "xxab"),
        ("aabcbc", "axbc"),
        ("no match", "no match"),
        ("abc", "x"),
        ("a", "a"),
        ("", ""),
    ] {
        let request = Message::post("/", body);
        let response = Message::response(200).with_body(body);
        let outcome = chunkings(body.as_bytes(), |chunking| {
            // Trailers behind what is held have a test of their own.
            let ending =
                if chunking.ending == Ending::Trailers { Ending::LastChunk } else { chunking.ending };
            let chunking = chunking.clone().ending(ending);
            world.begin(Replace).run_chunked(&request, &chunking, &response, &chunking)
        });
        assert_eq!((outcome.forwarded().text(), outcome.answer().text()), (expected, expected));
        assert!(outcome.forwarded().complete && outcome.answer().complete);
    }
}

#[test]
fn a_long_body_is_cut_at_random() {
    let body = "-abc ab ca b".repeat(500);
    let response = Message::response(200).with_body(body.as_str());
    let outcome = chunkings(body.as_bytes(), |chunking| {
        World::new().begin(Replace).run_chunked(&Message::get("/"), &Chunking::WHOLE, &response, chunking)
    });
    assert_eq!(outcome.answer().text(), body.replace("abc", "x"));
}

#[test]
fn waiting_for_a_callout_changes_nothing() {
    for allow in [true, false] {
        let body = "some bytes";
        let outcome = chunkings(body.as_bytes(), |chunking| {
            let world = slow_world();
            world.allow_on_headers_stop_iteration(allow);
            let exchange = Scripted::new(|host, event| match event {
                Event::Head { .. } => ask(host),
                Event::Callout(..) => Ok(WHOLE),
                Event::Body(side, body) => {
                    let mut bytes = host.body(*side, 0, body.size)?;
                    bytes.reverse();
                    host.set_body(*side, &bytes)?;
                    Ok(Next::Continue)
                }
                _ => Ok(Next::Continue),
            });
            let request = Message::post("/", body);
            let response = Message::response(200).with_body(body);
            world.begin(exchange).run_chunked(&request, chunking, &response, chunking)
        });
        assert_eq!((outcome.forwarded().text(), outcome.answer().text()), ("setyb emos", "setyb emos"));
    }
}

#[test]
#[should_panic(expected = "left: ")]
fn a_policy_that_sees_chunks_is_found_out() {
    let request = Message::post("/", "abcdef");
    chunkings(&request.body, |chunking| {
        let exchange = Scripted::new(|host, event| match event {
            Event::Head { side: Side::Request, .. } => Ok(WINDOW),
            Event::Body(side, body) => {
                let bytes = host.body(*side, 0, body.size)?;
                host.set_body(*side, &String::from_utf8(bytes).unwrap().replace("abc", "x").into_bytes())?;
                Ok(Next::Continue)
            }
            _ => Ok(Next::Continue),
        });
        World::new().begin(exchange).run_chunked(
            &request,
            chunking,
            &Message::response(200),
            &Chunking::WHOLE,
        )
    });
}
