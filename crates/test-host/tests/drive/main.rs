//! How [`meshgate_policy::drive::Drive`] takes an exchange through a proxy: what is held, what is shown, and what goes on.

mod body;
mod chunking;
mod head;
mod outcome;
mod wait;
mod wait_in_body;

use std::time::Duration;

use meshgate_policy::exchange::{Body, BodyMode, Next, Reply, Rest};
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, HttpCall, Side};
use meshgate_test_host::{Conversation, Event, Planned, Scripted, World, http_answer};

const SIDES: [Side; 2] = [Side::Request, Side::Response];
const MARK: HeaderName = HeaderName::constant("x-mark");
const SECOND: Duration = Duration::from_secs(1);

const WHOLE: Next = Next::ReadBody(BodyMode::Whole { limit: 1000, hold_head: false });
const HELD: Next = Next::ReadBody(BodyMode::Whole { limit: 1000, hold_head: true });
const WINDOW: Next = Next::ReadBody(BodyMode::Window { limit: 1000 });

fn value(text: &str) -> HeaderValue<'_> {
    HeaderValue::new(text.as_bytes()).unwrap()
}

fn reply(status: u16) -> Next {
    Next::Reply(Box::new(Reply::new(status, "test_reply")))
}

fn body(side: Side, size: usize, rest: Rest) -> Event {
    Event::Body(side, Body { size, rest })
}

/// Asks the cluster `slow`, which answers after one second.
fn ask(host: &mut dyn Host) -> Result<Next, HostError> {
    let headers = Headers::from_pairs([(":method", "GET"), (":path", "/"), (":authority", "slow")]);
    let call =
        HttpCall { cluster: "slow", headers: &headers, body: b"", deadline: 5 * SECOND, max_answer: 100 };
    host.http_call(&call).map(|_| Next::Wait)
}

fn slow_world() -> World {
    let world = World::new();
    world.on_http("slow", |_| Planned::After(SECOND, http_answer(200, &[], "yes")));
    world
}

/// A response can only begin when there is a request: for tests that begin with a part of `side`.
fn pass_request(conversation: &mut Conversation<Scripted>, side: Side) {
    if side == Side::Response {
        conversation.head(Side::Request, &meshgate_test_host::Message::get("/").head, true);
    }
}
