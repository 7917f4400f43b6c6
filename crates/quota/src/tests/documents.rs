//! What stands in the filter's directory: its examples work, and its schema is that of the code.

use meshgate_test_host::{Documents, documents, http_answer, literals};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

pub const DOCUMENTS: Documents = documents!("api-key-quota", "API keys and quotas");

#[test]
fn every_configuration_in_the_readme_works() {
    DOCUMENTS.check_configurations::<Quota>(12);
}

/// The requests that stand under an example, each with the status that it gives: `GET /v1 x-api-key: key # 200`.
#[test]
fn every_example_in_the_readme_does_what_it_says() {
    for (configuration, requests) in
        DOCUMENTS.configurations().into_iter().zip(DOCUMENTS.blocks("```requests"))
    {
        let world = World::new();
        if configuration.contains("key_files") {
            let file = DOCUMENTS.blocks("```jsonl file keys").concat();
            world.on_http("keys", move |_| http_answer(200, &[], file.clone()));
        }
        let worker = Worker::<Quota>::new(&world, configuration);
        worker.wake();
        // Indented lines say more about a request, which is tried on a real proxy.
        for line in requests.lines().filter(|line| !line.starts_with(' ')) {
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
    DOCUMENTS.check_tables::<Quota>(
        &[
            &[""],
            &["KeyFrom"],
            &["PlanConfig"],
            &["LimitConfig"],
            &["ConsumerConfig"],
            &["KeyConfig"],
            &["KeyFileConfig"],
            &["KeyFileIdentityConfig"],
            &["TokenConfig"],
            &["RequireConfig"],
            &["TokenIdentityConfig"],
            &["JwksFromConfig"],
            &["IntrospectionConfig"],
            &["AnonymousConfig"],
            &["AccessConfig"],
            &["WhoConfig"],
            &["RouteConfig"],
            &["CostSource"],
            &["NearLimitConfig"],
            &["AnswerConfig", "OverLimitConfig"],
            &["TableConfig"],
        ],
        &[("Match", &["Match", "Rule", "Rule2"])],
    );
    let sources = [
        include_str!("../answer.rs"),
        include_str!("../over_limit.rs"),
        include_str!("../token/problem.rs"),
        include_str!("../usage.rs"),
    ];
    let answers = sources.iter().flat_map(|source| literals(source, "meshgate_"));
    DOCUMENTS.check_names(answers.map(|rest| format!("meshgate_{rest}")));
}

#[test]
fn the_readme_lists_every_metric() {
    let counted =
        literals(include_str!("../metrics.rs"), "meshgate.quota.").filter(|name| !name.contains('{'));
    DOCUMENTS.check_names(counted);
    DOCUMENTS.check_names(["fetched_at", "loaded"].map(|gauge| format!("keys.<name>.{gauge}")));
    DOCUMENTS.check_names([format!("jwks.<issuer>.{}", crate::metrics::FETCHED_AT)]);
    DOCUMENTS.check_names(crate::metrics::LIMIT_NAMES.map(|name| format!("limit.<name>.{name}")));
}

#[test]
fn the_schema_is_that_of_the_code() {
    DOCUMENTS.check_schema::<Quota>();
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_mistake_in_every_field_gives_a_clear_error() {
    let world = World::new();
    world.set_environment("PEPPER", "a pepper of many bytes");
    world.set_environment("MESHGATE_PEPPER", "a pepper of many bytes");
    world.set_environment("CLIENT_SECRET", "secret");
    world.set_environment(
        "JWKS",
        r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
    );
    DOCUMENTS.check_mistakes::<Quota>(
        &world,
        include_str!("every_field.json"),
        &[(&["match.status", "allow.status"], "requests are decided on before there is a response")],
    );
}
