//! What stands in the filter's directory: its examples work, its tables are those of the code, and so is its schema.

use meshgate_policy::metrics::Counted;
use meshgate_test_host::{Documents, documents, literals};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::catalogue::KINDS;
use crate::fields::{FOR_CLIENTS, FOR_CLIENTS_BELOW_500, FOR_CLIENTS_PREFIXES};
use crate::metrics::Event;

const DOCUMENTS: Documents = documents!("error-response", "Error responses");

#[test]
fn every_configuration_in_the_readme_works() {
    DOCUMENTS.check_configurations::<Errors>(5);
}

#[test]
fn the_readme_lists_every_field_and_every_answer() {
    DOCUMENTS.check_fields::<Errors>(&[]);
    for source in
        [include_str!("../direct.rs"), include_str!("../maintenance.rs"), include_str!("../cause.rs")]
    {
        DOCUMENTS.check_names(literals(source, "meshgate_").map(|rest| format!("meshgate_{rest}")));
    }
    DOCUMENTS.check_names(FOR_CLIENTS.iter().chain(FOR_CLIENTS_BELOW_500));
    DOCUMENTS.check_names(FOR_CLIENTS_PREFIXES.iter().map(|prefix| format!("{prefix}*")));
    DOCUMENTS.check_names(Event::NAMES.iter().map(|name| name.trim_start_matches("meshgate.errors.")));
}

/// The catalogue in the README, a line a kind: `UPDATE_DOCUMENTS=1` writes it.
#[test]
fn the_readme_has_the_catalogue() {
    let code = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut table =
        String::from("| type | status | title | flags | code details |\n| --- | --- | --- | --- | --- |\n");
    for kind in KINDS {
        let (flags, details) = (code(kind.flags), code(kind.details));
        table.push_str(&format!(
            "| `{}` | {} | {} | {flags} | {details} |\n",
            kind.name, kind.status, kind.title
        ));
    }
    let (begin, end) = ("<!-- catalogue -->\n", "<!-- /catalogue -->");
    let (before, rest) = DOCUMENTS.readme.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let page = format!("{before}{begin}{table}{end}{after}");
    DOCUMENTS.check_file("README.md", DOCUMENTS.readme, &page, "UPDATE_DOCUMENTS");
}

#[test]
fn the_schema_is_that_of_the_code() {
    DOCUMENTS.check_schema::<Errors>();
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_mistake_in_every_field_gives_a_clear_error() {
    DOCUMENTS.check_mistakes::<Errors>(
        &World::new(),
        include_str!("every_field.json"),
        &[(
            &["direct.match.status", "maintenance.match.status", "allow.status"],
            "requests are decided on before there is a response",
        )],
    );
}
