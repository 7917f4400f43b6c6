//! What is wrong with resources, and what becomes of the traffic then.

use super::*;

/// What a request of `acme` gets, and what is left then.
async fn send(mesh: &Mesh) -> (u16, Option<u64>) {
    let response = mesh.with_key("/", "acme-key").send().await.unwrap();
    (response.status, left(&response))
}

/// Envoy refuses it, istiod hears why, and nothing else changes: neither the traffic nor what was counted.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn a_wrong_update_is_refused_and_the_old_configuration_serves_on() {
    for kind in [Kind::WasmPlugin, Kind::TrafficExtension] {
        let mesh = Mesh::start(&[quota("5/year").resource(kind)]).await.unwrap();
        assert_eq!(send(&mesh).await, (200, Some(4)));
        mesh.apply(&[quota("9/yaer").resource(kind)]).unwrap();
        let why = r#"plans.free.limits[0].quota: found "9/yaer""#;
        mesh.envoy.wait_for_log(why).await.unwrap();
        mesh.wait_for_istiod("ADS:ECDS: ACK ERROR").await;
        assert_eq!(mesh.discovery("api-key-quota", "config_fail").await.unwrap(), 1);
        assert_eq!(send(&mesh).await, (200, Some(3)));
        // What comes after is taken.
        let before = mesh.discovery("api-key-quota", "config_reload").await.unwrap();
        mesh.apply(&[quota("9/year").resource(kind)]).unwrap();
        eventually("correction", async || {
            let now = mesh.discovery("api-key-quota", "config_reload").await.unwrap();
            (now > before).then_some(())
        })
        .await;
        eventually("larger plan", async || (send(&mesh).await.1 > Some(4)).then_some(())).await;
    }
}

/// Istio's webhook refuses it before any proxy hears of it: such a phase does not exist.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn what_istio_itself_refuses_changes_nothing() {
    let mesh = Mesh::start(&[quota("5/year").resource(Kind::TrafficExtension)]).await.unwrap();
    mesh.apply(&[quota("9/year").phase(Some("FIRST")).resource(Kind::TrafficExtension)]).unwrap();
    mesh.wait_for_istiod("refused: ").await;
    assert_eq!(send(&mesh).await, (200, Some(4)));
}

/// A gateway that never had a right configuration lets nobody pass, whatever the fail strategy says: that is for modules that fail
/// later.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn a_wrong_start_lets_nobody_pass() {
    for strategy in ["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"] {
        let wrong = quota("5/yaer").fail_strategy(strategy).resource(Kind::TrafficExtension);
        let missing = quota("5/year").url("file:///no/such/module.wasm").fail_strategy(strategy);
        for resource in [wrong, missing.resource(Kind::TrafficExtension)] {
            let mesh = Mesh::start(&[resource]).await.unwrap();
            mesh.wait_for_istiod("ADS:ECDS: ACK ERROR").await;
            assert_eq!(send(&mesh).await.0, 500, "{strategy}");
            assert!(mesh.upstream.requests().is_empty());
            mesh.apply(&[quota("5/year").resource(Kind::TrafficExtension)]).unwrap();
            eventually("correction", async || (send(&mesh).await.0 == 200).then_some(())).await;
        }
    }
}

/// YAML 1.1, which Kubernetes reads, has more booleans and numbers than one thinks: quoted they are texts.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn keys_that_need_quotes_come_as_they_are_quoted() {
    let quoted = resource(r#"{"on": {limits: [{name: "0x1F", quota: "5/year"}]}}"#, r#""on""#, r#""007""#);
    let mesh = Mesh::start_with(&quoted).await.unwrap();
    let response = mesh.with_key("/", "acme-key").send().await.unwrap();
    assert_eq!(
        (response.status, response.header("ratelimit").map(|field| &field[..8])),
        (200, Some("\"0x1F\";r"))
    );
    assert_eq!(mesh.upstream.requests()[0].header("x-consumer-name"), Some("007"));

    for (plans, plan, name, why) in [
        (r"{on: {}}", "on", r#""007""#, r#"consumers[0].plan: found true"#),
        (r"{free: {}}", "free", "007", r#"consumers[0].name: found 7"#),
    ] {
        let mesh = Mesh::start_with(&resource(plans, plan, name)).await.unwrap();
        let line = mesh.envoy.wait_for_log("consumers[0].").await.unwrap();
        assert!(line.contains(why) && line.contains("quote"), "{line}");
    }
}

/// A resource as it is written by hand.
fn resource(plans: &str, plan: &str, name: &str) -> String {
    let module = meshgate_e2e::paths::module("api_key_quota").unwrap();
    let digest = extension::sha256("acme-key");
    format!(
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {{name: api-key-quota, namespace: istio-system}}
spec:
  selector: {{matchLabels: {{istio: ingressgateway}}}}
  url: file://{}
  pluginConfig:
    plans: {plans}
    consumers:
      - {{name: {name}, plan: {plan}, keys: [{{id: k, sha256: \"{digest}\"}}]}}
",
        module.display()
    )
}
