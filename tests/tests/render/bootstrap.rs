//! Bootstraps, lists of filters, EnvoyFilters and projects of Compose.

use meshgate_e2e::{Config, Envoy, Listener, Reply, Value, json, paths};

use crate::{file, modules, refused, render, yaml};

const FILTERS: [&str; 4] = ["api-key-quota", "dlp", "error-response", "transform"];

/// An Envoy that runs what is rendered from these files.
async fn started(files: &[&str]) -> Envoy {
    let modules = modules();
    let (bootstrap, err) = render(&[&["envoy", "--modules", &modules], files].concat());
    assert_eq!(err, "");
    Envoy::start(Config::yaml(&bootstrap).unwrap()).await.unwrap()
}

#[test]
fn every_bootstrap_is_valid() {
    let modules = modules();
    let render = |files: &[&str]| {
        let (bootstrap, _) = render(&[&["envoy", "--modules", &modules], files].concat());
        assert_eq!(refused(&bootstrap, &[]), None, "{files:?}\n{bootstrap}");
        bootstrap
    };
    for filter in FILTERS.into_iter().chain(["gateway"]) {
        let text = render(&[&format!("istio/{filter}/config.yaml")]);
        // A module that is not there, and a configuration that is wrong, are noticed.
        assert!(refused(&text.replace(&modules, "/nowhere"), &[]).is_some(), "{filter}");
        render(&[&format!("filters/{filter}/example.json")]);
    }
    let chain = FILTERS.map(|filter| format!("istio/{filter}/config.yaml"));
    let chain = render(&chain.each_ref().map(String::as_str));
    let manager = &yaml(&chain)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let filters = manager["typed_config"]["http_filters"].as_array().unwrap();
    let order: Vec<_> = filters.iter().map(|filter| filter["name"].as_str().unwrap()).collect();
    assert_eq!(order, ["error-response", "api-key-quota", "dlp", "transform", "envoy.filters.http.router"]);
    let wrong = chain.replace("\"plan\": \"free\"", "\"plan\": \"none\"");
    assert!(refused(&wrong, &[]).unwrap().contains("consumers[1].plan: found \"none\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendered_quota_counts() {
    let envoy = started(&["istio/api-key-quota/config.yaml"]).await;
    let mut statuses = Vec::new();
    statuses.push(envoy.get("/").send().await.unwrap().status);
    for _ in 0..4 {
        statuses.push(envoy.get("/").header("x-api-key", "demo-free-key").send().await.unwrap().status);
    }
    assert_eq!(statuses, [401, 200, 200, 200, 429]);
    let gold = envoy.get("/").header("x-api-key", "demo-gold-key").send().await.unwrap();
    assert_eq!(gold.echo().header("x-consumer-name"), Some("acme"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendered_dlp_masks() {
    let envoy = started(&["istio/dlp/config.yaml"]).await;
    let body = r#"{"card": "4111 1111 1111 1111", "key": "AKIAQ3EGRT5XKZ7W2M4N"}"#;
    envoy.upstream().respond(Reply::status(200).header("content-type", "application/json").body(body));
    let text = envoy.get("/").send().await.unwrap().json();
    assert_eq!(text["card"], "**** **** **** 1111");
    assert!(!text["key"].as_str().unwrap().contains("AKIA"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendered_transform_rewrites() {
    let envoy = started(&["istio/transform/config.yaml"]).await;
    let reply = Reply::status(200).header("content-type", "application/json").header("x-powered-by", "PHP");
    envoy.upstream().respond(reply.body(r#"{"fullName": "Ada", "_internal": 1}"#));
    let response = envoy.get("/users/7").send().await.unwrap();
    assert_eq!((response.header("x-user-id"), response.header("x-powered-by")), (Some("7"), None));
    assert_eq!(response.json(), json!({ "name": "Ada" }));
}

/// All four: the answer to a request without a key passes error-response, and a card in an error does not come through.
#[tokio::test(flavor = "multi_thread")]
async fn a_rendered_chain_runs_in_its_order() {
    let files = FILTERS.map(|filter| format!("istio/{filter}/config.yaml"));
    let envoy = started(&files.each_ref().map(String::as_str)).await;
    let response = envoy.get("/users/7").send().await.unwrap();
    assert_eq!((response.status, response.header("content-type")), (401, Some("application/problem+json")));
    let get = || envoy.get("/users/7").header("x-api-key", "demo-gold-key");
    let reply = Reply::status(200).header("content-type", "application/json");
    // What transform renames is what dlp looks into.
    envoy.upstream().respond(reply.body(r#"{"fullName": "4111 1111 1111 1111"}"#));
    assert_eq!(get().send().await.unwrap().json(), json!({ "name": "**** **** **** 1111" }));
    envoy.upstream().respond(Reply::status(500).body("at main.php:7"));
    let response = get().send().await.unwrap();
    assert_eq!((response.status, response.json()["title"].as_str()), (500, Some("Internal Server Error")));
}

/// Names of limits and reasons are labels where Istio's proxies are told so.
#[tokio::test(flavor = "multi_thread")]
async fn istio_s_metrics_have_labels() {
    let text = std::fs::read_to_string(paths::workspace().join("istio/walkthrough/metrics.yaml")).unwrap();
    let stats = yaml(&text)["spec"]["configPatches"][0]["patch"]["value"].clone();
    let (bootstrap, _) = render(&["envoy", "--modules", &modules(), "istio/api-key-quota/config.yaml"]);
    let envoy = Envoy::start(Config::yaml(&bootstrap).unwrap().merge(stats)).await.unwrap();
    for _ in 0..4 {
        envoy.get("/").header("x-api-key", "demo-free-key").send().await.unwrap();
    }
    let metrics = envoy.admin("/stats/prometheus?filter=meshgate").await.unwrap();
    for line in [
        "meshgate_quota_limit_denied{limit=\"daily\"} 1\n",
        "meshgate_quota_denied{reason=\"limit\"} 1\n",
        "meshgate_quota_allowed{} 3\n",
    ] {
        assert!(metrics.text().contains(line), "{line}{}", metrics.text());
    }
}

/// The entries alone, in a listener of one's own.
#[tokio::test(flavor = "multi_thread")]
async fn rendered_filters_fit_into_a_listener() {
    let modules = modules();
    let (text, _) =
        render(&["envoy", "--form", "filter", "--modules", &modules, "istio/api-key-quota/config.yaml"]);
    let filters = yaml(&text);
    let listener = filters
        .as_array()
        .unwrap()
        .iter()
        .fold(Listener::new(), |listener, filter| listener.filter(filter.clone()));
    let envoy = Envoy::start(listener).await.unwrap();
    assert_eq!(envoy.get("/").send().await.unwrap().status, 401);
}

/// What an EnvoyFilter puts into the list of filters, with the option that the other resources can't set.
#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_filter_holds_heads() {
    let filter = |name: &str| -> Value {
        let text =
            std::fs::read_to_string(paths::workspace().join("istio").join(name).join("envoyfilter.yaml"))
                .unwrap();
        let resource = yaml(&text.replace("/var/lib/meshgate", &modules()));
        resource["spec"]["configPatches"][0]["patch"]["value"].clone()
    };
    let envoy =
        Envoy::start(Listener::new().filter(filter("dlp")).filter(filter("transform"))).await.unwrap();
    let reply = Reply::status(200).header("content-type", "application/json");
    envoy.upstream().respond(reply.body(r#"{"key": "AKIAQ3EGRT5XKZ7W2M4N"}"#));
    let response = envoy.post("/orders").json(&json!({ "tenant": "acme" })).send().await.unwrap();
    assert_eq!(response.status, 502);
    assert_eq!(envoy.upstream().requests()[0].header("x-tenant"), Some("acme"));
}

/// Secrets are in the environment of the proxy: the variables that a configuration refers to are passed on.
#[test]
fn variables_are_passed_on() {
    let config = r#"
        pepper: {env: MESHGATE_PEPPER}
        plans: {all: {}}
        consumers:
          - name: acme
            plan: all
            keys: [{id: a, hmac_sha256: "0000000000000000000000000000000000000000000000000000000000000000"}]
    "#;
    let (_directory, path) = file("api-key-quota.yaml", config);
    let modules = modules();
    let (bootstrap, err) = render(&["envoy", "--modules", &modules, &path]);
    assert_eq!(err, "");
    assert_eq!(refused(&bootstrap, &[("MESHGATE_PEPPER", "0123456789abcdef")]), None);
    let without = refused(&bootstrap, &[]).unwrap();
    assert!(without.contains("MESHGATE_PEPPER"), "{without}");
}

#[test]
fn a_project_of_compose_is_consistent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("project").display().to_string();
    let files = ["istio/api-key-quota/config.yaml", "istio/error-response/config.yaml"];
    render(
        &[&["compose", "--output", &path, "--port", "8080", "--modules", "../built"], &files[..]].concat(),
    );
    let read = |name: &str| std::fs::read_to_string(directory.path().join("project").join(name)).unwrap();
    let envoy = &yaml(&read("docker-compose.yml"))["services"]["envoy"];
    assert_eq!(envoy["ports"], json!(["127.0.0.1:8080:10000"]));
    assert_eq!(
        envoy["volumes"],
        json!(["./envoy.yaml:/etc/envoy/envoy.yaml:ro", "../built:/etc/envoy/meshgate:ro"])
    );
    let bootstrap = read("envoy.yaml").replace("/etc/envoy/meshgate", &modules());
    assert_eq!(refused(&bootstrap, &[]), None, "{bootstrap}");
    let address = &yaml(&bootstrap)["static_resources"]["listeners"][0]["address"]["socket_address"];
    assert_eq!(*address, json!({ "address": "0.0.0.0", "port_value": 10000 }));
}
