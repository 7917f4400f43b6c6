//! What stands in the filter's directory: its examples work, its schema is that of the code, its page says all.

use meshgate_detect::Kind;
use meshgate_policy::config::schema;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{Config, Place};

const README: &str = include_str!("../../../../filters/dlp/README.md");
const EXAMPLE: &str = include_str!("../../../../filters/dlp/example.json");
const SCHEMA: &str = include_str!("../../../../filters/dlp/config.schema.json");
const SCHEMA_ID: &str = "urn:meshgate:schema:dlp";

fn code_schema() -> Value {
    schema::<Config>(SCHEMA_ID, "Data-loss prevention")
}

/// The blocks of a page that begin with this line.
fn blocks<'a>(page: &'a str, fence: &str) -> Vec<&'a str> {
    let opening = format!("\n{fence}\n");
    page.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// What they do is tried on a real Envoy.
#[test]
fn every_configuration_in_the_readme_loads() {
    let blocks = blocks(README, "```json config");
    assert_eq!(blocks.len(), 4, "the one to begin with, and three examples");
    for block in blocks.into_iter().chain([EXAMPLE]) {
        if let Err(error) = Worker::<Dlp>::load(&World::new(), block) {
            panic!("{error}\n{block}");
        }
    }
}

#[test]
fn the_readme_lists_every_field_place_detector_and_answer() {
    let schema = code_schema();
    let types = schema["$defs"].as_object().unwrap().iter();
    let ours =
        ["RuleConfig", "AllowConfig", "BodiesConfig", "CustomFind", "MaskConfig", "BlockConfig", "Options"];
    let types: Vec<_> =
        types.filter(|(name, _)| ours.contains(&name.as_str())).map(|(_, schema)| schema).collect();
    assert_eq!(types.len(), ours.len());
    for fields in types.into_iter().chain([&schema]).map(|schema| schema["properties"].as_object().unwrap()) {
        for field in fields.keys() {
            let listed = README.contains(&format!("`{field}`")) || README.contains(&format!("\"{field}\":"));
            assert!(listed, "{field}");
        }
    }
    let quoted = |source: &'static str, prefix: &'static str| {
        source.split(prefix).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned())
    };
    let places = Place::ALL.map(|place| place.name().to_owned());
    let detectors = Kind::all().map(|kind| kind.name().to_owned());
    let answers = quoted(include_str!("../answer.rs"), "\"meshgate_").map(|rest| format!("meshgate_{rest}"));
    let bodies = quoted(include_str!("../metrics.rs"), "\"meshgate.dlp.bodies.");
    for name in places.into_iter().chain(detectors).chain(answers).chain(bodies) {
        assert!(README.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_schema_is_that_of_the_code() {
    let text = format!("{:#}\n", code_schema());
    #[cfg(not(target_arch = "wasm32"))]
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../filters/dlp/config.schema.json");
        std::fs::write(file, text).unwrap();
        return;
    }
    assert!(text == SCHEMA, "config.schema.json is stale: run UPDATE_SCHEMAS=1 cargo test -p meshgate-dlp");
}
