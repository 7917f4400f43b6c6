//! What stands in the filter's directory: its examples work, and its schema is that of the code.

use meshgate_test_host::{Documents, documents};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const DOCUMENTS: Documents = documents!("transform", "Transformations");

#[test]
fn every_configuration_in_the_readme_works() {
    DOCUMENTS.check_configurations::<Transform>(4);
}

#[test]
fn the_readme_lists_every_field_and_every_answer() {
    DOCUMENTS.check_fields::<Transform>(Documents::OF_VALUES);
    for name in crate::Trouble::ALL.map(crate::Trouble::name) {
        assert!(DOCUMENTS.readme.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn the_schema_is_that_of_the_code() {
    DOCUMENTS.check_schema::<Transform>();
}
