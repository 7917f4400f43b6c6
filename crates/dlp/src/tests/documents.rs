//! What stands in the filter's directory: its examples work, its schema is that of the code, its page says all.

use meshgate_detect::Kind;
use meshgate_test_host::{Documents, documents, literals};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::Place;

pub const DOCUMENTS: Documents = documents!("dlp", "Data-loss prevention");

/// What they do is tried on a real Envoy.
#[test]
fn every_configuration_in_the_readme_loads() {
    DOCUMENTS.check_configurations::<Dlp>(4);
}

#[test]
fn the_readme_lists_every_field_place_detector_and_answer() {
    DOCUMENTS.check_fields::<Dlp>(Documents::OF_VALUES);
    DOCUMENTS.check_names(Place::ALL.map(Place::name));
    DOCUMENTS.check_names(Kind::all().map(Kind::name));
    let answers = literals(include_str!("../answer.rs"), "meshgate_");
    DOCUMENTS.check_names(answers.map(|rest| format!("meshgate_{rest}")));
    DOCUMENTS.check_names(literals(include_str!("../metrics.rs"), "meshgate.dlp.bodies."));
}

#[test]
fn the_schema_is_that_of_the_code() {
    DOCUMENTS.check_schema::<Dlp>();
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_mistake_in_every_field_gives_a_clear_error() {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    DOCUMENTS.check_mistakes::<Dlp>(&world, include_str!("every_field.json"), &[]);
}
