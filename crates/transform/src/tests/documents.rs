//! What stands in the filter's directory: its examples work, and its schema is that of the code.

use meshgate_policy::config::schema;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::Config;

const README: &str = include_str!("../../../../filters/transform/README.md");
const EXAMPLE: &str = include_str!("../../../../filters/transform/example.json");
const SCHEMA: &str = include_str!("../../../../filters/transform/config.schema.json");
const SCHEMA_ID: &str = "urn:meshgate:schema:transform";

/// The blocks of the page that begin with this line.
fn blocks<'a>(page: &'a str, fence: &str) -> Vec<&'a str> {
    let opening = format!("\n{fence}\n");
    page.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn every_configuration_in_the_readme_works() {
    let blocks = blocks(README, "```json config");
    assert_eq!(blocks.len(), 4, "the one to begin with, and three examples");
    for block in blocks.into_iter().chain([EXAMPLE]) {
        if let Err(error) = Worker::<Transform>::load(&World::new(), block) {
            panic!("{error}\n{block}");
        }
    }
}

#[test]
fn the_readme_lists_every_field_and_every_answer() {
    fn fields(schema: &Value, found: &mut Vec<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            found.extend(properties.keys().cloned());
        }
        for below in schema.as_object().into_iter().flat_map(|object| object.values()) {
            fields(below, found);
        }
        for below in schema.as_array().into_iter().flatten() {
            fields(below, found);
        }
    }
    let schema = schema::<Config>(SCHEMA_ID, "Transformations");
    let mut found = Vec::new();
    fields(&schema, &mut found);
    // Conditions on values are described with the fields of `match`.
    let of_conditions = ["contains", "suffix", "not", "present"];
    found.retain(|field| !of_conditions.contains(&field.as_str()));
    assert!(found.len() > 40, "{found:?}");
    for field in found {
        let shown = [format!("`{field}`"), format!("\"{field}\"")];
        assert!(shown.iter().any(|shown| README.contains(shown)), "{field}");
    }
    for name in crate::Trouble::ALL.map(crate::Trouble::name) {
        assert!(README.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn the_schema_is_that_of_the_code() {
    let schema = schema::<Config>(SCHEMA_ID, "Transformations");
    let text = format!("{schema:#}\n");
    #[cfg(not(target_arch = "wasm32"))]
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../filters/transform/config.schema.json");
        std::fs::write(file, text).unwrap();
        return;
    }
    assert!(
        text == SCHEMA,
        "config.schema.json is stale: run UPDATE_SCHEMAS=1 cargo test -p meshgate-transform"
    );
}
