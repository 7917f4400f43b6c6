//! Routes of Envoy, and stages that go by them.

use meshgate_e2e::{Envoy, Listener, Wasm, json};

use crate::support::*;

/// A limit `per: route` behind a transformation of the path counts by the route that the path as it came has chosen, in one module as
/// in two: Envoy chooses again only when the request goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_per_route_goes_by_the_path_that_came() {
    let limits = quota(json!({"name": "each", "quota": "1/d", "per": "route"}));
    let rewrite = json!({"rules": [{"match": {"path": "/old"}, "request": [{"set": {"path": "/new"}}]}]});
    let pipeline = json!({"pipeline": [{"transform": rewrite}, {"api-key-quota": limits}]});
    let one = Listener::new().filter(Wasm::module("gateway").config(pipeline));
    let two = Listener::new()
        .filter(Wasm::module("transform").config(rewrite))
        .filter(Wasm::module("api_key_quota").config(limits));
    for listener in [one, two] {
        let route = |name: &str| {
            let path = format!("/{name}");
            json!({"name": name, "match": {"path": path}, "route": {"cluster": "upstream"}})
        };
        let listener = listener.route(route("old")).route(route("new")).access_log("%ROUTE_NAME%");
        let envoy = Envoy::start(listener).await.unwrap();
        let mut statuses = Vec::new();
        // The last are on the route without a name, and once more on that which was rewritten.
        for path in ["/old", "/new", "/other", "/old"] {
            statuses.push(with_key(envoy.get(path)).send().await.unwrap().status);
        }
        assert_eq!(statuses, [200, 200, 200, 429]);
        // Served was the first on the other route.
        assert_eq!(envoy.wait_for_access_log(4).await.unwrap()[0], "new");
        assert_eq!(envoy.upstream().requests()[0].path, "/new");
    }
}
