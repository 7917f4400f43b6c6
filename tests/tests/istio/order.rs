//! In which order Istio puts the filters: by phase, then by priority.

use super::*;

/// Phases come in the order AUTHN, AUTHZ, STATS, none; within one the higher priority comes first, and what has none last, also
/// behind negative ones. Both kinds of resources are sorted as one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn phases_then_priorities() {
    let noop = |name: &str| Extension::new("noop", json!({})).name(name);
    use Kind::{TrafficExtension, WasmPlugin};
    let resources = [
        noop("a").phase(None).resource(WasmPlugin),
        noop("b").phase(Some("STATS")).resource(TrafficExtension),
        noop("c").phase(Some("AUTHZ")).resource(WasmPlugin),
        noop("d").resource(TrafficExtension),
        noop("e").priority(-10).resource(WasmPlugin),
        noop("f").priority(10).resource(WasmPlugin),
        noop("g").priority(20).resource(TrafficExtension),
    ];
    let mesh = Mesh::start(&resources).await.unwrap();
    let filters = mesh.filters().await.unwrap();
    let ours: Vec<_> = filters
        .iter()
        .filter_map(|name| name.split_once("istio-system."))
        .map(|(_, name)| &name[..1])
        .collect();
    assert_eq!(ours, ["g", "f", "e", "d", "c", "b", "a"], "{filters:?}");
    assert_eq!(mesh.get("/").send().await.unwrap().status, 200);
}
