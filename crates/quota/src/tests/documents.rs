//! What stands in the filter's directory: its examples work, and its schema is that of the code.

use meshgate_policy::config::schema;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::Config;

const README: &str = include_str!("../../../../filters/api-key-quota/README.md");
const EXAMPLE: &str = include_str!("../../../../filters/api-key-quota/example.json");
const SCHEMA: &str = include_str!("../../../../filters/api-key-quota/config.schema.json");
const SCHEMA_ID: &str = "urn:meshgate:schema:api-key-quota";

/// The blocks of a page that begin with this line.
fn blocks<'a>(page: &'a str, fence: &str) -> Vec<&'a str> {
    let opening = format!("\n{fence}\n");
    page.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn every_configuration_in_the_readme_works() {
    let blocks = blocks(README, "```json config");
    assert_eq!(blocks.len(), 4, "the one to begin with, and three examples");
    for block in blocks.into_iter().chain([EXAMPLE]) {
        if let Err(error) = Worker::<Quota>::load(&World::new(), block) {
            panic!("{error}\n{block}");
        }
    }
}

/// The requests that stand under an example, each with the status that it gives: `GET /v1 x-api-key: key # 200`.
#[test]
fn every_example_in_the_readme_does_what_it_says() {
    for (configuration, requests) in
        blocks(README, "```json config").into_iter().zip(blocks(README, "```requests"))
    {
        let worker = Worker::<Quota>::new(&World::new(), configuration);
        for line in requests.lines() {
            let (request, status) = line.split_once(" # ").unwrap();
            let (method, rest) = request.split_once(' ').unwrap();
            let (target, fields) = rest.split_once(' ').unwrap_or((rest, ""));
            let fields = fields.split(", ").filter_map(|field| field.split_once(": "));
            let message = fields
                .fold(Message::request(method, target), |message, (name, value)| message.with(name, value));
            let outcome = send(&worker, &message);
            let (status, details) =
                status.split_once(' ').map_or((status, None), |(status, details)| (status, Some(details)));
            assert_eq!((outcome.status().to_string().as_str(), outcome.details), (status, details), "{line}");
        }
    }
}

#[test]
fn the_readme_lists_every_field_and_every_answer() {
    let schema = schema::<Config>(SCHEMA_ID, "API keys and quotas");
    let ours = ["KeyFrom", "PlanConfig", "LimitConfig", "ConsumerConfig", "KeyConfig"];
    let types = ours.map(|name| &schema["$defs"][name]);
    for fields in types.into_iter().chain([&schema]).map(|schema| schema["properties"].as_object().unwrap()) {
        for field in fields.keys() {
            assert!(README.contains(&format!("`{field}`")), "{field}");
        }
    }
    let source = include_str!("../answer.rs");
    for details in source.split("\"meshgate_").skip(1) {
        let details = format!("`meshgate_{}`", details.split('"').next().unwrap());
        assert!(README.contains(&details), "{details}");
    }
}

#[test]
fn the_schema_is_that_of_the_code() {
    let schema = schema::<Config>(SCHEMA_ID, "API keys and quotas");
    let text = format!("{schema:#}\n");
    #[cfg(not(target_arch = "wasm32"))]
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../filters/api-key-quota/config.schema.json");
        std::fs::write(file, text).unwrap();
        return;
    }
    assert!(text == SCHEMA, "config.schema.json is stale: run UPDATE_SCHEMAS=1 cargo test -p meshgate-quota");
}
