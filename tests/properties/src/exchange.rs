//! Requests and responses that pass a policy.
//!
//! The bytes are a configuration document, an empty line, a request line (`POST /path`) and header fields, an empty line, and a
//! body. The response has the same fields and the same body.

use meshgate_dlp::Dlp;
use meshgate_errors::Errors;
use meshgate_json::{Limits, validate};
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::policy::Policy;
use meshgate_quota::Quota;
use meshgate_test_host::{Chunking, Client, Ending, Message, Outcome, Worker, World};
use meshgate_transform::Transform;

use crate::input;

/// What comes out does not depend on how bodies are cut.
pub fn any_transform(bytes: &[u8]) {
    let Some(case) = Case::new(bytes) else { return };
    case.run::<Transform>();
}

/// The same, and what was JSON still is.
pub fn any_dlp(bytes: &[u8]) {
    let Some(case) = Case::new(bytes) else { return };
    let Some(outcome) = case.run::<Dlp>() else { return };
    let is_json = |body: &[u8]| validate(body, &Limits::default()).is_ok();
    let sent = &case.response;
    let is_plain = sent.head.all("content-type").eq([b"application/json"])
        && sent.head.all("content-encoding").next().is_none();
    if !is_plain || !is_json(&sent.body) {
        return;
    }
    for got in outcome.upstream.iter().chain(answer(&outcome)) {
        assert!(!got.complete || got.body.is_empty() || is_json(&got.body), "{:?} became {:?}", sent, got);
    }
}

/// The same for errors and the answers that take their place.
pub fn any_error_response(bytes: &[u8]) {
    let Some(case) = Case::new(bytes) else { return };
    case.run::<Errors>();
}

/// The same, and whoever sends a request does not say who that is: the fields that name a consumer are the policy's own.
pub fn any_quota(bytes: &[u8]) {
    let Some(case) = Case::new(bytes) else { return };
    let Some(Outcome { upstream: Some(upstream), .. }) = case.run::<Quota>() else { return };
    // Unless the configuration says the same.
    if case.document.contains("forged") {
        return;
    }
    for (name, value) in upstream.head.iter() {
        let is_forged = name.starts_with(b"x-consumer-") && value.starts_with(b"forged");
        assert!(!is_forged, "{upstream:?}");
    }
}

/// What stands in the bytes.
struct Case<'a> {
    document: &'a str,
    request: Message,
    response: Message,
    cuts: Vec<usize>,
}

impl<'a> Case<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (document, rest) = input::split(bytes);
        let (head, body) = input::split(rest);
        let mut lines = head.lines();
        let (method, target) = lines.next()?.split_once(' ')?;
        let is_target = HeaderValue::new(target.as_bytes()).is_ok();
        if HeaderName::new(method).is_err() || !is_target || !target.starts_with('/') {
            return None;
        }
        let mut request = Message::post(target, body);
        request.head.set(":method", method);
        let mut response = Message::response(200).with_body(body);
        for line in lines {
            let (name, value) = line.split_once(": ")?;
            if name == ":status" {
                let status: u16 = value.parse().ok().filter(|status| (200..600).contains(status))?;
                response.head.set(":status", status.to_string());
                continue;
            }
            // Envoy passes on no other names and values.
            if HeaderName::new(name).is_err() || HeaderValue::new(value.as_bytes()).is_err() {
                return None;
            }
            request.head.add(name, value);
            response.head.add(name, value);
        }
        let mut cuts: Vec<_> =
            input::pieces(body, bytes.len() as u64).iter().map(|piece| piece.len()).collect();
        let mut at = 0;
        for cut in &mut cuts {
            at += *cut;
            *cut = at;
        }
        Some(Self { document, request, response, cuts })
    }

    /// What comes out, if the document is right.
    fn run<P: Policy>(&self) -> Option<Outcome> {
        let begin = || {
            let world = World::new();
            world.seed(1);
            world.allow_on_headers_stop_iteration(self.document.contains("allow_on_headers_stop_iteration"));
            Worker::<P>::load(&world, self.document)
        };
        // Each of them in a world of its own: what was counted before would change what comes out.
        let run = |chunking: &Chunking| {
            let worker = begin().ok()?;
            let mut outcome = worker.begin().run_chunked(&self.request, chunking, &self.response, chunking);
            // How much of a request passes before it is refused is a matter of its pieces.
            if let Some(upstream) = outcome.upstream.as_mut().filter(|upstream| !upstream.complete) {
                upstream.body.clear();
            }
            Some(outcome)
        };
        let whole = run(&Chunking::WHOLE)?;
        // Templates that make random numbers differ from run to run.
        if !self.document.contains("uuid") {
            let pieces = Chunking::at(self.cuts.clone());
            assert_eq!(run(&pieces).as_ref(), Some(&whole), "{pieces:?}");
            // Of a message without a body that ends after its head nobody can know, while the head passes, that it has none: an
            // encoding that cannot be read is refused then.
            if self.request.body.is_empty() {
                return Some(whole);
            }
            let late = pieces.clone().ending(Ending::EmptyChunk);
            assert_eq!(run(&late).as_ref(), Some(&whole), "{late:?}");
            // Trailers may come too late for what has to be decided with the last part of a body; the answer says so.
            let bodies = |outcome: &Outcome| {
                let of = |message: &Message| (message.complete, message.body.clone());
                (outcome.upstream.as_ref().map(of), answer(outcome).map(of))
            };
            for chunking in [Chunking::WHOLE.ending(Ending::Trailers), pieces.ending(Ending::Trailers)] {
                let outcome = run(&chunking)?;
                if !outcome.details.is_some_and(|details| details.ends_with("_cut")) {
                    assert_eq!(bodies(&outcome), bodies(&whole), "{chunking:?}");
                }
            }
        }
        Some(whole)
    }
}

fn answer(outcome: &Outcome) -> Option<&Message> {
    match &outcome.client {
        Client::Answer(message) => Some(message),
        Client::Nothing | Client::Reset => None,
    }
}
