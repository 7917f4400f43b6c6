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

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_mistake_in_every_field_gives_a_clear_error() {
    DOCUMENTS.check_mistakes::<Transform>(
        &World::new(),
        include_str!("every_field.json"),
        &[
            (
                &["add.path", "add.method", "add.host", "add.status", "add.body", "add.content_type"],
                "what each message has is set",
            ),
            (
                &[
                    "append.path",
                    "append.method",
                    "append.host",
                    "append.status",
                    "append.body",
                    "append.content_type",
                ],
                "what each message has is set",
            ),
            (&["append.cookie", "append.attributes"], "a cookie is set or added"),
            (
                &["request.set.attributes", "request.add.attributes", "request.set.status"],
                "only a response has them",
            ),
            (&["response.set.path", "response.set.method", "response.set.host"], "only a request has them"),
            (
                &[
                    "response.set.query",
                    "response.add.query",
                    "response.append.query",
                    "response.remove.query",
                    "response.keep.query",
                    "response.rename.query",
                    "response.copy.from.query",
                    "response.copy.to.query",
                    "response.move.from.query",
                    "response.move.to.query",
                ],
                "only a request has a query",
            ),
            (&["move.from.capture"], "a capture can't be taken away"),
        ],
    );
}
