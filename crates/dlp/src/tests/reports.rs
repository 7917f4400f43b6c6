//! What is told of what was found: never the value.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn document() -> Value {
    json!({
        "rules": [
            {"name": "cards", "find": "payment.card", "in": ["request.headers", "response.body"], "do": "mask"},
        ],
        "hmac_key": "a key of some length",
        "filter_state": true,
    })
}

#[test]
fn access_logs_read_kinds_places_and_counts() {
    let world = World::new();
    let worker = Worker::<Dlp>::new(&world, document());
    let request = Message::get("/").with("x-card", CARD);
    let body = format!("[\"{CARD}\",\"{AMEX}\",\"{CARD}\"]");
    let outcome = run(&worker, &request, &json_response(body));
    let told = String::from_utf8(outcome.filter_state["meshgate.dlp"].clone()).unwrap();
    assert!(!told.contains(CARD) && !told.contains(AMEX), "{told}");
    let [first, second] = told.split("; ").collect::<Vec<_>>()[..] else { panic!("{told}") };
    let (text, digest) = first.split_once(" [").unwrap();
    assert_eq!(text, "request.headers payment.card x1 mask (cards)");
    assert!(
        second.starts_with(&format!(
            "response.body payment.card x3 mask (cards) [{}",
            digest.trim_end_matches(']')
        )),
        "{told}"
    );
    assert_eq!(world.metric("meshgate.dlp.mask.payment"), 4);
    assert_eq!(world.metric("meshgate.dlp.bodies.scanned"), 1);
}

/// What the page shows, with the tokens that these values have with this key.
#[test]
fn findings_are_told_as_the_page_says() {
    let mut document = document();
    document["rules"]
        .as_array_mut()
        .unwrap()
        .push(json!({"find": "us.ssn", "in": "request.query", "do": "mask", "shadow": true}));
    let body = format!("[\"{CARD}\",\"{AMEX}\"]");
    let outcome = run(&worker(&document), &Message::get("/?ssn=536-22-8726"), &json_response(body));
    let told = String::from_utf8(outcome.filter_state["meshgate.dlp"].clone()).unwrap();
    let [shown] = documents::DOCUMENTS.blocks("```text findings")[..] else { panic!("one block") };
    assert_eq!(told, shown);
}

#[test]
fn a_flood_of_findings_does_not_flood_the_log() {
    let world = World::new();
    let mut document = document();
    document["log"] = json!(true);
    let worker = Worker::<Dlp>::new(&world, document);
    for _ in 0..105 {
        run(&worker, &Message::get("/").with("x-card", CARD), &Message::response(200));
    }
    assert_eq!(world.metric("meshgate.dlp.unlogged"), 5, "a hundred in a second");
}

#[test]
fn without_a_key_there_are_no_digests() {
    let mut document = document();
    document.as_object_mut().unwrap().remove("hmac_key");
    let outcome = run(&worker(&document), &Message::get("/").with("x-card", CARD), &Message::response(200));
    let told = String::from_utf8(outcome.filter_state["meshgate.dlp"].clone()).unwrap();
    assert_eq!(told, "request.headers payment.card x1 mask (cards)");
}

#[test]
fn nothing_is_told_of_nothing() {
    let outcome = run(&worker(&document()), &Message::get("/"), &json_response("{}"));
    assert!(outcome.filter_state.is_empty());
}

#[test]
fn debug_output_shows_no_value() {
    let worker = worker(&document());
    let mut conversation = worker.begin();
    let request = Message::get("/").with("x-card", CARD);
    conversation.send(meshgate_policy::host::Side::Request, &request, &Chunking::WHOLE);
    let response = json_response(format!("[\"{CARD}"));
    conversation.head(meshgate_policy::host::Side::Response, &response.head, false);
    conversation.body(meshgate_policy::host::Side::Response, b"[\"41111111", false);
    let shown = format!("{:?}", conversation).replace("41111111", "shown by the test host");
    let exchange = shown.split("host: ").next().unwrap();
    assert!(!exchange.contains("shown by"), "{exchange}");
    assert!(!exchange.contains("a key of"), "{exchange}");
}

#[test]
fn debug_output_of_configurations_shows_no_value() {
    let config = json!({
        "rules": [{"find": {"words": "Project Falcon"}, "in": "response.body", "do": "mask"}],
        "allow": {"values": [CARD]},
    });
    let config = format!("{:?}", serde_json::from_value::<crate::Config>(config).unwrap());
    assert!(!config.contains("Falcon") && !config.contains(CARD), "{config}");
}
