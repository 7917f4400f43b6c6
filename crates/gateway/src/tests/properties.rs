//! A chain of one stage does what the stage does alone; a chain of several does what the stages do one behind the other.

use meshgate_policy::host::Side;
use meshgate_test_host::{Chunking, Client, Conversation, Ending, Fields, Message, Scripted};
use proptest::prelude::*;

use super::scripts::{Plan, Reads, chain, stage, world};

fn reads() -> impl Strategy<Value = Reads> {
    prop_oneof![
        Just(Reads::Nothing),
        (prop::sample::select(&[0, 5, 1 << 16][..]), any::<bool>())
            .prop_map(|(limit, hold_head)| Reads::Whole { limit, hold_head }),
        (0..40_usize).prop_map(Reads::From),
    ]
}

/// Any plan. `waits`: requests may wait. `limits`: bodies may be larger than what is read.
fn plan(waits: bool) -> impl Strategy<Value = Plan> {
    let one_in = |number: u8| (0..number).prop_map(|drawn| drawn == 0);
    let field = prop_oneof![Just(None), Just(Some("x-a")), Just(Some("x-b"))];
    (one_in(8), one_in(5), one_in(6), reads(), any::<u8>(), prop::sample::select(&["", "-end"][..]), field)
        .prop_map(move |(replies, head_waits, body_waits, reads, key, suffix, field)| Plan {
            reply: replies.then_some(403),
            waits: waits && head_waits,
            waits_in_body: waits && body_waits,
            reads,
            key,
            suffix,
            field,
        })
}

fn plans() -> impl Strategy<Value = [Plan; 2]> {
    (plan(true), plan(false)).prop_map(|(request, response)| [request, response])
}

fn chunking() -> impl Strategy<Value = Chunking> {
    let ending = prop_oneof![Just(Ending::LastChunk), Just(Ending::EmptyChunk), Just(Ending::Trailers)];
    (prop::collection::vec(0..60_usize, 0..5), ending).prop_map(|(mut cuts, ending)| {
        cuts.sort_unstable();
        Chunking::at(cuts).ending(ending)
    })
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z]{1,50}"]
}

/// Fields in an order that does not depend on who wrote them first.
fn sorted(fields: &Fields) -> Fields {
    let mut all: Vec<(String, Vec<u8>)> = fields
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
        .collect();
    all.sort_by(|left, right| left.0.cmp(&right.0));
    let mut sorted = Fields::new();
    all.iter().for_each(|(name, value)| sorted.add(name, value));
    sorted
}

fn same(message: &Message) -> Message {
    let trailers = message.trailers.as_ref().map(sorted);
    Message { head: sorted(&message.head), body: message.body.clone(), trailers, complete: message.complete }
}

fn client(client: &Client) -> Client {
    match client {
        Client::Answer(message) => Client::Answer(same(message)),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn one_stage_does_what_it_does_alone(
        plans in plans(), request in body(), response in body(), first in chunking(), second in chunking(),
    ) {
        let request = Message::post("/", request);
        let response = Message::response(200).with_body(response);
        let alone = world().begin(stage(plans.clone())).run_chunked(&request, &first, &response, &second);
        let chained = chain(vec![stage(plans)]);
        let chained = world().begin(chained).run_chunked(&request, &first, &response, &second);
        prop_assert_eq!(alone.upstream.as_ref().map(same), chained.upstream.as_ref().map(same));
        prop_assert_eq!(client(&alone.client), client(&chained.client));
        prop_assert_eq!(alone.details, chained.details);
    }

    #[test]
    fn several_do_what_they_do_one_behind_the_other(
        plans in prop::collection::vec(plans(), 2..5), request in body(), response in body(),
        first in chunking(), second in chunking(),
    ) {
        // What is larger than a stage takes is told to it earlier or later, as the parts come: not compared here.
        let plans: Vec<_> = plans.into_iter().map(|sides| sides.map(unlimited)).collect();
        let held = plans.iter().position(|[request, _]| request.waits);
        let late = held.is_some_and(|first| plans[first..].iter().any(|[request, _]| {
            matches!(request.reads, Reads::Whole { hold_head: true, .. })
        }));
        prop_assume!(!late);
        let request = Message::post("/", request);
        let response = Message::response(200).with_body(response);
        let expected = one_by_one(&plans, &request, &response);
        let chained = chain(plans.iter().cloned().map(stage).collect());
        let chained = world().begin(chained).run_chunked(&request, &first, &response, &second);
        prop_assert_eq!(expected.0.as_ref().map(without), chained.upstream.as_ref().map(without));
        let Client::Answer(expected) = expected.1 else { return Ok(()) };
        let Client::Answer(chained) = chained.client else { panic!("no answer: {chained:?}") };
        prop_assert_eq!(without(&expected), without(&chained));
    }
}

/// A plan for which it does not matter how a body is cut.
fn unlimited(plan: Plan) -> Plan {
    let reads = match plan.reads {
        Reads::Whole { hold_head, .. } => Reads::Whole { limit: 1 << 16, hold_head },
        // Once a part has been passed on, trailers come too late for what is kept of the next.
        Reads::From(_) => Reads::From(0),
        Reads::Nothing => Reads::Nothing,
    };
    // An end that comes with trailers may leave nothing to write into, and whoever sees parts may see none at the end.
    let suffix = if matches!(reads, Reads::Whole { .. }) { plan.suffix } else { "" };
    Plan { reads, suffix, waits_in_body: false, ..plan }
}

/// Without what the way of cutting makes of a message.
fn without(message: &Message) -> Message {
    let mut message = same(message);
    message.trailers = None;
    message.head.remove("content-length");
    message
}

/// What upstream and client get if each stage has a proxy of its own.
fn one_by_one(plans: &[[Plan; 2]], request: &Message, response: &Message) -> (Option<Message>, Client) {
    let mut begun: Vec<Conversation<Scripted>> = Vec::new();
    let mut message = request.clone();
    let mut answer = None;
    for plans in plans {
        let world = world();
        let mut conversation = world.begin(stage(plans.clone()));
        conversation.send(Side::Request, &message, &Chunking::WHOLE);
        conversation.settle();
        let passed = conversation.upstream().cloned();
        match conversation.client() {
            Client::Answer(reply) => {
                answer = Some(reply);
                break;
            }
            _ => message = passed.expect("a request passes or is answered"),
        }
        begun.push(conversation);
    }
    let upstream = answer.is_none().then_some(message);
    let mut answer = answer.unwrap_or_else(|| response.clone());
    for mut conversation in begun.into_iter().rev() {
        conversation.send(Side::Response, &answer, &Chunking::WHOLE);
        conversation.settle();
        match conversation.client() {
            Client::Answer(message) => answer = message,
            other => return (upstream, other),
        }
    }
    (upstream, Client::Answer(answer))
}
