//! What stands in the filter's directory: its examples work, its tables are those of the code, and so is its schema.

use meshgate_policy::config::schema;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::Config;
use crate::catalogue::KINDS;

const README: &str = include_str!("../../../../filters/error-response/README.md");
const EXAMPLE: &str = include_str!("../../../../filters/error-response/example.json");
const SCHEMA: &str = include_str!("../../../../filters/error-response/config.schema.json");
const SCHEMA_ID: &str = "urn:meshgate:schema:error-response";

/// The blocks of a page that begin with this line.
fn blocks<'a>(page: &'a str, fence: &str) -> Vec<&'a str> {
    let opening = format!("\n{fence}\n");
    page.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn every_configuration_in_the_readme_works() {
    let blocks = blocks(README, "```json config");
    assert!(blocks.len() >= 5, "the one to begin with, and examples");
    for block in blocks.into_iter().chain([EXAMPLE]) {
        if let Err(error) = Worker::<Errors>::load(&World::new(), block) {
            panic!("{error}\n{block}");
        }
    }
}

#[test]
fn the_readme_lists_every_field_and_every_answer() {
    let schema = schema::<Config>(SCHEMA_ID, "Error responses");
    let ours = [
        "RuleConfig",
        "ErrorMatch",
        "RespondConfig",
        "HeadersConfig",
        "DirectConfig",
        "StaticConfig",
        "RedirectConfig",
        "MaintenanceConfig",
        "WeeklyConfig",
    ];
    let types = ours.map(|name| &schema["$defs"][name]);
    for fields in types.into_iter().chain([&schema]).map(|schema| schema["properties"].as_object().unwrap()) {
        for field in fields.keys() {
            assert!(README.contains(&format!("`{field}`")), "{field}");
        }
    }
    for source in
        [include_str!("../direct.rs"), include_str!("../maintenance.rs"), include_str!("../exchange.rs")]
    {
        for details in source.split("\"meshgate_").skip(1) {
            let details = format!("`meshgate_{}`", details.split('"').next().unwrap());
            assert!(README.contains(&details), "{details}");
        }
    }
    for name in include_str!("../metrics.rs").split("\"meshgate.errors.").skip(1) {
        let name = format!("`{}`", name.split('"').next().unwrap());
        assert!(README.contains(&name), "{name}");
    }
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
    let (before, rest) = README.split_once(begin).unwrap();
    let (present, after) = rest.split_once(end).unwrap();
    #[cfg(not(target_arch = "wasm32"))]
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../filters/error-response/README.md");
        std::fs::write(file, format!("{before}{begin}{table}{end}{after}")).unwrap();
        return;
    }
    let _ = (before, after);
    assert!(present == table, "the catalogue is stale: run UPDATE_DOCUMENTS=1 cargo test -p meshgate-errors");
}

#[test]
fn the_schema_is_that_of_the_code() {
    let schema = schema::<Config>(SCHEMA_ID, "Error responses");
    let text = format!("{schema:#}\n");
    #[cfg(not(target_arch = "wasm32"))]
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../filters/error-response/config.schema.json");
        std::fs::write(file, text).unwrap();
        return;
    }
    assert!(
        text == SCHEMA,
        "config.schema.json is stale: run UPDATE_SCHEMAS=1 cargo test -p meshgate-errors"
    );
}
