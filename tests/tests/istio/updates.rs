//! Resources that change while the gateway serves.

use super::*;

/// What a request of `acme` gets, and what is left then.
async fn send(mesh: &Mesh) -> (u16, Option<u64>) {
    let response = mesh.with_key("/", "acme-key").send().await.unwrap();
    (response.status, left(&response))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn a_larger_plan_applies_at_once_and_keeps_the_usage() {
    for kind in [Kind::WasmPlugin, Kind::TrafficExtension] {
        let mesh = Mesh::start(&[quota("2/year").resource(kind)]).await.unwrap();
        for expected in [(200, Some(1)), (200, Some(0)), (429, Some(0))] {
            assert_eq!(send(&mesh).await, expected);
        }
        mesh.apply(&[quota("5/year").resource(kind)]).unwrap();
        // Refused requests count in nothing.
        let first =
            eventually("larger plan", async || Some(send(&mesh).await).filter(|answer| answer.0 == 200))
                .await;
        assert_eq!((first, send(&mesh).await), ((200, Some(2)), (200, Some(1))));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs istiod: make test-istio"]
async fn an_extension_comes_and_goes() {
    let mesh = Mesh::start(&[]).await.unwrap();
    // A listener that is replaced may close a connection that has just been made.
    let status = async || mesh.get("/").send().await.map_or(0, |response| response.status);
    assert_eq!(status().await, 200);
    mesh.apply(&[quota("2/year").resource(Kind::TrafficExtension)]).unwrap();
    eventually("the filter", async || (status().await == 401).then_some(())).await;
    mesh.apply(&[]).unwrap();
    eventually("the end of the filter", async || (status().await == 200).then_some(())).await;
}
