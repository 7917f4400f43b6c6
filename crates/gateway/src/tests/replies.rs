//! What becomes of the answers of stages.

use meshgate_policy::host::Side;
use meshgate_test_host::{Client, Message};
use serde_json::json;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::scripts::{Plan, Reads, chain, stage, world};
use super::{json_response, pipeline, quota};
use meshgate_test_host::World;

#[test]
fn an_answer_passes_the_stages_in_front_and_no_others() {
    let marks = |name| [Plan::default(), Plan { field: Some(name), ..Plan::default() }];
    let answers =
        [Plan { reply: Some(403), ..Plan::default() }, Plan { field: Some("x-b"), ..Plan::default() }];
    let exchange = chain(vec![stage(marks("x-a")), stage(answers), stage(marks("x-c"))]);
    let outcome = world().begin(exchange).run(&Message::get("/"), &Message::response(200));
    let head = &outcome.answer().head;
    assert_eq!((outcome.status(), outcome.details), (403, Some("scripted")));
    assert_eq!([head.get("x-a"), head.get("x-b"), head.get("x-c")], [Some("0"), None, None]);
    assert_eq!(outcome.answer().text(), "no");
}

#[test]
fn an_answer_in_place_of_a_response_passes_the_stages_in_front() {
    let body = Plan { reads: Reads::Whole { limit: 100, hold_head: true }, suffix: "!", ..Plan::default() };
    let answers = [Plan::default(), Plan { reply: Some(502), ..Plan::default() }];
    let exchange = chain(vec![stage([Plan::default(), body]), stage(answers)]);
    let outcome = world().begin(exchange).run(&Message::get("/"), &Message::response(200).with_body("x"));
    assert_eq!((outcome.status(), outcome.answer().text()), (502, "no!"));
}

#[test]
fn what_the_client_has_begun_to_get_is_broken_off() {
    let world = world();
    let exchange = chain(vec![
        stage(Default::default()),
        stage([Plan::default(), Plan { waits_in_body: true, reads: Reads::From(0), ..Plan::default() }]),
    ]);
    let mut conversation = world.begin(exchange);
    conversation.head(Side::Request, &Message::get("/").head, true);
    conversation.head(Side::Response, &Message::response(200).head, false);
    conversation.body(Side::Response, b"body", false);
    assert_eq!(conversation.client(), Client::Reset);
}

#[test]
fn refusals_get_the_form_of_error_response_in_front() {
    let world = World::new();
    let errors = json!({"rules": [
        {"match": {"status": 401, "origin": "gateway"}, "respond": {"title": "Who are you?", "headers": {"set": {"x-form": "1"}}}}
    ]});
    let worker = pipeline(&world, json!([{"error-response": errors}, {"api-key-quota": quota()}]));
    let outcome = worker.run(&Message::get("/"), &json_response("{}"));
    assert_eq!((outcome.status(), outcome.details), (401, Some("meshgate_key_missing")));
    assert!(outcome.answer().text().contains("Who are you?"), "{outcome:?}");
    assert_eq!(outcome.answer().head.get("x-form"), Some("1"));

    // Behind the stage that answers, nothing is seen of it.
    let worker = pipeline(&world, json!([{"api-key-quota": quota()}, {"error-response": errors}]));
    let outcome = worker.run(&Message::get("/"), &json_response("{}"));
    assert!(!outcome.answer().text().contains("Who are you?"));
}

#[test]
fn grpc_and_head_get_answers_of_their_kind() {
    let world = World::new();
    let worker = pipeline(
        &world,
        json!([{"transform": {"rules": [{"response": [{"set": {"header": "x-t", "to": "1"}}]}]}},
        {"api-key-quota": quota()}]),
    );
    let grpc = Message::post("/s/M", "").with("content-type", "application/grpc");
    let outcome = worker.run(&grpc, &Message::response(200));
    let head = &outcome.answer().head;
    assert_eq!((outcome.status(), head.get("grpc-status"), head.get("x-t")), (200, Some("16"), Some("1")));
    let outcome = worker.run(&Message::request("HEAD", "/"), &Message::response(200));
    let head = &outcome.answer().head;
    assert_eq!((outcome.status(), head.get("x-t"), outcome.answer().text()), (401, Some("1"), ""));
    assert!(head.get("content-length").is_some_and(|length| length != "0"), "{outcome:?}");
}
