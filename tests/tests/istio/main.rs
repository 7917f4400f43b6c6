//! The filters in Istio: a real istiod makes the configuration of a real Envoy from the resources in `istio/`, and from others.
//!
//! `make test-istio` builds istiod and runs these; they are left out of `make test`, because that takes minutes.

mod extension;
mod manifests;
mod mesh;
mod order;
mod troubles;
mod updates;

use meshgate_e2e::{Response, json, raw};

use extension::{Extension, Kind, quota};
use manifests::{FILTERS, manifests};
use mesh::{Mesh, eventually};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn the_wasm_plugins_are_enforced() {
    enforced(&FILTERS.map(|filter| (filter, "wasmplugin.yaml"))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn the_traffic_extensions_are_enforced() {
    enforced(&FILTERS.map(|filter| (filter, "trafficextension.yaml"))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn both_stand_side_by_side() {
    let [first, second, third, fourth] = FILTERS;
    let (plugin, extension) = ("wasmplugin.yaml", "trafficextension.yaml");
    enforced(&[(first, plugin), (second, extension), (third, plugin), (fourth, extension)]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn all_in_one_module_is_enforced() {
    for file in ["wasmplugin.yaml", "trafficextension.yaml"] {
        let mesh = Mesh::start_with(&manifests(&[("gateway", file)])).await.unwrap();
        serves(&mesh).await;
    }
}

/// Each of the four stands where it should.
async fn enforced(files: &[(&str, &str)]) {
    let mesh = Mesh::start_with(&manifests(files)).await.unwrap();
    let order = mesh.filters().await.unwrap().join(" ");
    let places = FILTERS
        .map(|filter| order.find(&format!(".{filter}")).unwrap_or_else(|| panic!("{filter}: {order}")));
    assert!(places.is_sorted(), "{order}");
    serves(&mesh).await;
}

/// Each of the four does at the gateway what it does elsewhere, and each sees what it should of the others.
async fn serves(mesh: &Mesh) {
    let refused = mesh.get("/items").send().await.unwrap();
    assert_eq!((refused.status, refused.header("content-type")), (401, Some("application/problem+json")));
    assert!(mesh.upstream.requests().is_empty());

    let passed = mesh.with_key("/items", "demo-free-key").send().await.unwrap();
    assert_eq!(passed.status, 200);
    assert!(passed.header("ratelimit").unwrap().starts_with("\"daily\";r="), "{passed:?}");
    let received = &mesh.upstream.requests()[0];
    assert_eq!((received.header("x-consumer-name"), received.header("x-api-key")), (Some("hobbyist"), None));

    // The card is in the answer of the service, and is looked for behind transform.
    let answer = json!({
        "headers": [["content-type", "application/json"], ["x-powered-by", "php"]],
        "body": r#"{"fullName": "Ada", "_internal": {"shard": 4}, "card": "4111-1111-1111-1111"}"#,
    });
    let user = mesh.with_key("/users/7", "demo-free-key").upstream(answer).send().await.unwrap();
    assert_eq!((user.status, user.text()), (200, r#"{"name": "Ada", "card": "****-****-****-1111"}"#));
    assert_eq!((user.header("x-powered-by"), user.header("x-user-id")), (None, Some("7")));

    // The router's error, as error-response words it.
    let down = mesh.with_key("/down", "demo-free-key").send().await.unwrap();
    assert_eq!((down.status, down.header("content-type")), (503, Some("application/problem+json")));
    assert_eq!((&down.json()["title"], down.header("retry-after")), (&json!("Back soon"), Some("30")));

    let over = mesh.with_key("/items", "demo-free-key").send().await.unwrap();
    assert_eq!(
        (over.status, over.header("ratelimit").unwrap().starts_with("\"daily\";r=0")),
        (429, true),
        "{over:?}"
    );
    assert!(over.header("ratelimit-policy").is_some() && over.header("retry-after").is_some(), "{over:?}");
    assert_eq!(mesh.upstream.requests().len(), 2);
}

/// Where a head waits for its body, or errors never reach a filter, an EnvoyFilter says so to Envoy.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn the_envoy_filters_are_enforced() {
    let mesh =
        Mesh::start_with(&manifests(&FILTERS.map(|filter| (filter, "envoyfilter.yaml")))).await.unwrap();
    assert_eq!(mesh.get("/items").send().await.unwrap().status, 401);

    // A header from the body, as transform/waiting.yaml has it.
    let order = mesh.post("/orders").header("x-api-key", "demo-gold-key").json(&json!({ "tenant": "t-1" }));
    assert_eq!(order.send().await.unwrap().status, 200);
    assert_eq!(mesh.upstream.requests()[0].header("x-tenant"), Some("t-1"));

    // A response that is not sent at all, as dlp/blocking.yaml has it.
    let secret = json!({ "body": "use AKIAQ3EGRT5XKZ7W2M4N" });
    let blocked = mesh.with_key("/notes", "demo-gold-key").upstream(secret).send().await.unwrap();
    assert_ne!(blocked.status, 200);
    assert!(!blocked.text().contains("AKIAQ3EGRT5XKZ7W2M4N"));

    // An error that no filter sees: a request that Envoy can't read.
    let unread = raw(mesh.gateway, "GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let unread = String::from_utf8_lossy(&unread);
    assert!(unread.contains("application/problem+json"), "{unread}");
}

/// What is left of the one limit.
fn left(response: &Response) -> Option<u64> {
    let (_, left) = response.header("ratelimit")?.split_once(";r=")?;
    left.split(';').next()?.parse().ok()
}
