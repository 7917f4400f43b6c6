//! Envoy's admin interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::client::Client;
use crate::message::Response;

/// The admin interface of one Envoy.
pub struct Admin(Client);

impl Admin {
    /// The one at this address.
    pub fn new(addr: SocketAddr) -> Self {
        Self(Client::http1(addr))
    }

    /// Whether Envoy serves: it is initialized, and the workers accept connections.
    pub async fn ready(&self) -> bool {
        let live = matches!(self.0.get("/ready").send().await, Ok(Response { status: 200, .. }));
        live && matches!(self.stats("listener_manager.workers_started").await, Ok(stats) if stats.values().eq(&[1]))
    }

    /// Counters and gauges whose names start so.
    ///
    /// # Errors
    /// If Envoy does not answer.
    pub async fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.get("/stats").await?;
        let number = |line: &str| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.starts_with(prefix).then(|| name.to_owned())?, value.parse().ok()?))
        };
        Ok(text.text().lines().filter_map(number).collect())
    }

    /// Where the listeners listen, by their names.
    ///
    /// # Errors
    /// If Envoy does not answer.
    pub async fn listeners(&self) -> Result<BTreeMap<String, SocketAddr>> {
        let listeners = self.get("/listeners?format=json").await?.json();
        let statuses = listeners["listener_statuses"].as_array().map_or(&[][..], Vec::as_slice);
        statuses.iter().map(listener_address).collect()
    }

    /// What a path of the admin interface says.
    ///
    /// # Errors
    /// If Envoy does not answer with 200.
    pub async fn get(&self, path: &str) -> Result<Response> {
        let response = self.0.get(path).send().await.context("asking Envoy's admin interface")?;
        ensure!(response.status == 200, "admin {path}: {}", response.text());
        Ok(response)
    }

    /// Does what a path of the admin interface does.
    ///
    /// # Errors
    /// If Envoy does not answer with 200.
    pub async fn post(&self, path: &str) -> Result<()> {
        let response = self.0.post(path).send().await.context("telling Envoy's admin interface")?;
        ensure!(response.status == 200, "admin {path}: {}", response.text());
        Ok(())
    }
}

fn listener_address(status: &Value) -> Result<(String, SocketAddr)> {
    let name = status["name"].as_str().context("a listener without a name")?;
    Ok((name.to_owned(), socket_address(&status["local_address"])?))
}

/// Reads an Envoy `Address`.
///
/// # Errors
/// If it is not an IP address and a port.
pub fn socket_address(address: &Value) -> Result<SocketAddr> {
    let address = &address["socket_address"];
    let ip = address["address"].as_str().and_then(|ip| ip.parse().ok()).context("not an IP address")?;
    let port = address["port_value"].as_u64().and_then(|port| port.try_into().ok()).context("not a port")?;
    Ok(SocketAddr::new(ip, port))
}
