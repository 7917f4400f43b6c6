//! The page, the example and the schema say what the code says.

use meshgate_test_host::{Documents, documents};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::Gateway;

const DOCUMENTS: Documents = documents!("gateway", "All policies in one");

#[test]
fn the_configurations_of_the_page_are_accepted() {
    DOCUMENTS.check_configurations::<Gateway>(3);
}

/// The fields of each policy are described on the pages of their filters.
#[test]
fn the_page_names_every_field() {
    DOCUMENTS.check_names(["pipeline", "name", "match", "trace", "secret_sha256"]);
    DOCUMENTS.check_names(crate::stage::POLICIES);
}

#[test]
fn the_schema_is_that_of_the_code() {
    DOCUMENTS.check_schema::<Gateway>();
}
