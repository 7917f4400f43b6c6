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

/// With the documents in which each policy has each of its fields, of which those that are secret stay so.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_mistake_in_every_field_gives_a_clear_error() {
    use meshgate_test_host::World;
    use serde_json::{Value, json};

    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    world.set_environment("PEPPER", "a pepper of many bytes");
    world.set_environment("CLIENT_SECRET", "secret");
    world.set_environment(
        "JWKS",
        r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
    );
    let mut documents: Vec<Value> = serde_json::from_str(include_str!("every_field.json")).unwrap();
    for (policy, of_policy) in [
        ("api-key-quota", include_str!("../../../quota/src/tests/every_field.json")),
        ("dlp", include_str!("../../../dlp/src/tests/every_field.json")),
        ("error-response", include_str!("../../../errors/src/tests/every_field.json")),
        ("transform", include_str!("../../../transform/src/tests/every_field.json")),
    ] {
        let of_policy: Vec<Value> = serde_json::from_str(of_policy).unwrap();
        documents.extend(of_policy.into_iter().map(|document| json!({"pipeline": [{policy: document}]})));
    }
    DOCUMENTS.check_mistakes::<Gateway>(
        &world,
        &json!(documents).to_string(),
        &[(&["match.status"], "requests are decided on before there is a response")],
    );
}
