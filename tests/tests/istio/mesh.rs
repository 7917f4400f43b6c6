//! A real istiod, a real Envoy that is its ingress gateway, and an upstream: what a test changes are Istio's resources.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use meshgate_e2e::process::Process;
use meshgate_e2e::{Client, Config, Envoy, Request, Upstream, Value, json, paths};
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::sleep;

/// How long anything may take: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(20);

/// What is running. It ends with this value; the files of istiod stay if the test fails.
pub struct Mesh {
    pub envoy: Envoy,
    pub upstream: Upstream,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    istiod: Istiod,
    /// Nobody else gets the port of the gateway.
    _port: Socket,
}

impl Mesh {
    /// Starts all of it with these extensions, and waits until the gateway serves.
    pub async fn start(extensions: &[Value]) -> Result<Self> {
        Self::start_with(&documents(extensions)).await
    }

    /// The same with the text of a file.
    pub async fn start_with(extensions: &str) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let (port, gateway) = reserve_port()?;
        let resources = include_str!("gateway.yaml")
            .replace("GATEWAY_PORT", &gateway.port().to_string())
            .replace("UPSTREAM_PORT", &upstream.addr().port().to_string());
        let istiod = Istiod::start(&[("gateway", &resources), ("extensions", extensions)]).await?;
        let envoy = Envoy::start(proxy(istiod.address)).await?;
        Ok(Self { envoy, upstream, istiod, gateway, _port: port })
    }

    /// Replaces the extensions, as `kubectl apply` does. It returns before the gateway has them.
    pub fn apply(&self, extensions: &[Value]) -> Result<()> {
        write(self.istiod.files.path(), "extensions", &documents(extensions))
    }

    /// A GET request on a new connection to the gateway.
    pub fn get(&self, path: &str) -> Request {
        Client::http1(self.gateway).get(path)
    }

    /// A POST request on a new connection to the gateway.
    pub fn post(&self, path: &str) -> Request {
        Client::http1(self.gateway).post(path)
    }

    /// A request of the consumer whose key this is.
    pub fn with_key(&self, path: &str, key: &str) -> Request {
        self.get(path).header("x-api-key", key)
    }

    /// A counter of the discovery of this extension's configuration: `config_reload`, `update_rejected`.
    pub async fn discovery(&self, extension: &str, counter: &str) -> Result<u64> {
        let stats = self.envoy.stats("extension_config_discovery.").await?;
        // That of a WasmPlugin goes on with `~istio-translated-wasmplugin`.
        let of = |name: &str| {
            name.contains(&format!("istio-system.{extension}")) && name.ends_with(&format!(".{counter}"))
        };
        let found: Vec<_> = stats.iter().filter(|(name, _)| of(name)).collect();
        ensure!(found.len() == 1, "{counter} of {extension}: {found:?} in {stats:?}");
        Ok(*found[0].1)
    }

    /// The HTTP filters of the gateway, in their order.
    pub async fn filters(&self) -> Result<Vec<String>> {
        let dump = self.envoy.admin("/config_dump?resource=dynamic_listeners").await?.json();
        let manager = "/configs/0/active_state/listener/filter_chains/0/filters/0/typed_config/http_filters";
        let filters = dump.pointer(manager).and_then(Value::as_array).with_context(|| format!("{dump:#}"))?;
        Ok(filters.iter().map(|filter| filter["name"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Waits until istiod has logged this text.
    pub async fn wait_for_istiod(&self, text: &str) {
        eventually(text, async || self.istiod.log().contains(text).then_some(())).await;
    }
}

/// Looks until the probe sees what it looks for.
pub async fn eventually<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "no {what} within {PATIENCE:?}");
        sleep(GLANCE).await;
    }
}

/// istiod, and the folder that it serves.
struct Istiod {
    process: Process,
    files: TempDir,
    address: SocketAddr,
}

impl Istiod {
    async fn start(resources: &[(&str, &str)]) -> Result<Self> {
        let parent = paths::target_dir().join("e2e");
        fs::create_dir_all(&parent)?;
        let files = tempfile::Builder::new().prefix("istiod.").tempdir_in(parent)?;
        for (name, text) in resources {
            write(files.path(), name, text)?;
        }
        let (log, ready) = (File::create(files.path().join("log"))?, files.path().join("address"));
        let mut command = Command::new(binary()?);
        command.arg("-config").arg(files.path()).arg("-address-path").arg(&ready);
        command.stdout(log.try_clone()?).stderr(log);
        let mut istiod = Self { process: Process::start(command)?, files, address: ([0; 4], 0).into() };
        let start = Instant::now();
        istiod.address = loop {
            match fs::read_to_string(&ready).ok().and_then(|address| address.parse().ok()) {
                Some(address) => break address,
                None if start.elapsed() < PATIENCE && istiod.process.ended().is_none() => sleep(GLANCE).await,
                None => bail!("istiod does not serve:\n{}", istiod.log()),
            }
        };
        Ok(istiod)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Istiod {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.files.disable_cleanup(true);
            eprintln!("istiod's files are kept in {}", self.files.path().display());
        }
    }
}

/// By renaming, so that istiod never sees half a file.
fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let file = folder.join(name).with_extension("yaml");
    fs::write(file.with_extension("part"), text)?;
    Ok(fs::rename(file.with_extension("part"), file)?)
}

fn binary() -> Result<PathBuf> {
    let path = paths::workspace().join(".tools/bin/istiod");
    ensure!(path.is_file(), "no istiod at {}: `make test-istio` builds it", path.display());
    Ok(path)
}

/// An Envoy that has nothing but the address of istiod, and says that it is an ingress gateway.
fn proxy(istiod: SocketAddr) -> Config {
    let ads = json!({ "ads": {}, "resource_api_version": "V3" });
    let service = json!({ "envoy_grpc": { "cluster_name": "istiod" } });
    let metadata = json!({
        "NAMESPACE": "istio-system",
        "LABELS": { "istio": "ingressgateway" },
        "ISTIO_VERSION": "1.31.0",
        "CLUSTER_ID": "Kubernetes",
    });
    Config::new().http2_cluster("istiod", istiod).component_log_level("wasm:info,config:info").merge(json!({
        "node": {
            "id": "router~127.0.0.1~ingress.istio-system~istio-system.svc.cluster.local",
            "cluster": "istio-ingressgateway",
            "metadata": metadata,
        },
        "dynamic_resources": {
            "ads_config": { "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service] },
            "lds_config": ads,
            "cds_config": ads,
        },
    }))
}

/// A port that Envoy can listen on, and nobody else: Istio has no "any free port" for gateways.
fn reserve_port() -> Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Who listens says so too; a socket that only has the address gets no connections.
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let address = socket.local_addr()?.as_socket().context("an address of IPv4")?;
    Ok((socket, address))
}

/// JSON is YAML too.
fn documents(resources: &[Value]) -> String {
    resources.iter().map(|resource| format!("---\n{resource:#}\n")).collect()
}
