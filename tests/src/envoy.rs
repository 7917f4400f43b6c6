//! A real Envoy under test.

use std::collections::BTreeMap;
use std::future::ready;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::time::sleep;

use crate::admin::Admin;
use crate::client::{Client, Request};
use crate::config::{Config, Listener};
use crate::filter::Wasm;
use crate::launch::{Files, GLANCE, Launched, Outcome, PATIENCE};
use crate::message::Response;
use crate::process::Process;
use crate::upstream::Upstream;

/// A running Envoy and the upstream behind it. Both end with this value.
///
/// Its files are in `<target>/e2e/<name of the test>.<random>`. They stay, and their place is printed, if the test
/// panics or a wait of this type fails: a test unwraps instead of returning errors. If Envoy ended before it should have,
/// dropping this value panics.
pub struct Envoy {
    process: Process,
    files: Files,
    config: Config,
    upstream: Upstream,
    admin: Admin,
    listeners: BTreeMap<String, SocketAddr>,
}

impl Envoy {
    /// Starts an Envoy and waits until it serves: a [`Config`], or only a [`Listener`] or a [`Wasm`] filter.
    ///
    /// # Errors
    /// If it does not come up, with the end of its log.
    pub async fn start(config: impl Into<Config>) -> Result<Self> {
        let config = config.into();
        let upstream = Upstream::start().await?;
        let mut launched = Launched::new(&config, upstream.addr())?;
        let admin = match launched.outcome().await? {
            Outcome::Serves(admin) => admin,
            Outcome::Ended(status) => {
                return Err(launched.files.failure(anyhow!("Envoy ended ({status})")));
            }
        };
        let Launched { process, files } = launched;
        let listeners = admin.listeners().await?;
        Ok(Self { process, files, config, upstream, admin, listeners })
    }

    /// Starts an Envoy with one module in front of the upstream.
    ///
    /// # Errors
    /// As [`Envoy::start`].
    pub async fn with_filter(module: &str, config: Value) -> Result<Self> {
        Self::start(Wasm::module(module).config(config)).await
    }

    /// Starts an Envoy that must refuse its configuration, and returns its log.
    ///
    /// # Errors
    /// If it comes up, or neither comes up nor ends.
    pub async fn refused(config: impl Into<Config>) -> Result<String> {
        let upstream = Upstream::start().await?;
        let mut launched = Launched::new(&config.into(), upstream.addr())?;
        match launched.outcome().await? {
            Outcome::Ended(status) if status.code() == Some(1) => Ok(launched.files.log()),
            Outcome::Ended(status) => Err(launched.files.failure(anyhow!("Envoy ended ({status})"))),
            Outcome::Serves(_) => Err(launched.files.failure(anyhow!("Envoy took the configuration"))),
        }
    }

    /// Where the first listener listens.
    ///
    /// # Panics
    /// If there is none.
    pub fn addr(&self) -> SocketAddr {
        let first = self.config.first_listener().and_then(|name| self.listeners.get(name));
        *first.or(self.listeners.values().next()).expect("there is a listener")
    }

    /// Where a listener listens.
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn addr_of(&self, listener: &str) -> SocketAddr {
        let addr = self.listeners.get(listener);
        *addr.unwrap_or_else(|| panic!("no listener {listener:?} among {:?}", self.listeners.keys()))
    }

    /// The upstream that came with it.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// An HTTP/1.1 client with a connection of its own.
    pub fn http1(&self) -> Client {
        Client::http1(self.addr())
    }

    /// An HTTP/2 client with a connection of its own.
    pub fn http2(&self) -> Client {
        Client::http2(self.addr())
    }

    /// A GET request on a new HTTP/1.1 connection.
    pub fn get(&self, path: &str) -> Request {
        self.http1().get(path)
    }

    /// A POST request on a new HTTP/1.1 connection.
    pub fn post(&self, path: &str) -> Request {
        self.http1().post(path)
    }

    /// A request on a new HTTP/1.1 connection.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.http1().request(method, path)
    }

    /// Counters and gauges whose names start so.
    ///
    /// # Errors
    /// If Envoy does not answer.
    pub async fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        self.admin.stats(prefix).await.map_err(|error| self.files.failure(error))
    }

    /// A counter or a gauge; 0 if there is none of this name.
    ///
    /// # Errors
    /// If Envoy does not answer.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        Ok(self.stats(name).await?.get(name).copied().unwrap_or(0))
    }

    /// What a path of the admin interface says.
    ///
    /// # Errors
    /// If Envoy does not answer with 200.
    pub async fn admin(&self, path: &str) -> Result<Response> {
        self.admin.get(path).await.map_err(|error| self.files.failure(error))
    }

    /// Does what a path of the admin interface does, such as `/healthcheck/fail`.
    ///
    /// # Errors
    /// If Envoy does not answer with 200.
    pub async fn admin_post(&self, path: &str) -> Result<()> {
        self.admin.post(path).await.map_err(|error| self.files.failure(error))
    }

    /// What Envoy has logged so far.
    pub fn log(&self) -> String {
        self.files.log()
    }

    /// The access log so far ([`Listener::access_log`]): it may come a little after the response.
    pub fn access_log(&self) -> String {
        self.files.access_log()
    }

    /// Waits until Envoy logged this text, and returns the line that it stands in.
    ///
    /// # Errors
    /// If it does not come.
    pub async fn wait_for_log(&self, text: &str) -> Result<String> {
        let line = || self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
        self.eventually(&format!("{text:?} in the log"), || ready(Ok(line()))).await
    }

    /// Waits until the access log has this many lines, and returns them.
    ///
    /// # Errors
    /// If they do not come.
    pub async fn wait_for_access_log(&self, lines: usize) -> Result<Vec<String>> {
        let log = || Some(self.access_log()).filter(|log| log.matches('\n').count() >= lines);
        let log = self.eventually(&format!("access log of {lines} lines"), || ready(Ok(log()))).await?;
        Ok(log.lines().map(str::to_owned).collect())
    }

    /// Waits until a counter or a gauge is as `enough` wants it, and returns it.
    ///
    /// # Errors
    /// If that does not happen.
    pub async fn wait_for_stat(&self, name: &str, enough: impl Fn(u64) -> bool) -> Result<u64> {
        let enough = &enough;
        let probe = || async move { Ok(Some(self.stat(name).await?).filter(|&value| enough(value))) };
        self.eventually(name, probe).await
    }

    /// Replaces the listener of the same name, and waits until all workers serve the new one. Needs
    /// [`Config::file_lds`]. The address stays; connections that were open stay with the old one for a second.
    ///
    /// # Errors
    /// If Envoy rejects it.
    pub async fn update_listener(&mut self, listener: Listener) -> Result<()> {
        let (config, rejected) = self.try_update(listener).await?;
        ensure!(rejected.is_none(), "Envoy rejected the update: {}", rejected.unwrap_or_default());
        self.config = config;
        self.listeners = self.admin.listeners().await?;
        Ok(())
    }

    /// Tries to replace the listener of the same name, which Envoy must reject, and returns what it logged about that.
    ///
    /// # Errors
    /// If Envoy takes it.
    pub async fn update_refused(&mut self, listener: Listener) -> Result<String> {
        let (_, rejected) = self.try_update(listener).await?;
        rejected.ok_or_else(|| self.files.failure(anyhow!("Envoy took the update")))
    }

    /// The configuration with the new listener, and the log if it was rejected.
    async fn try_update(&self, listener: Listener) -> Result<(Config, Option<String>)> {
        ensure!(self.config.file_lds, "updates need Config::file_lds");
        let mut config = self.config.clone();
        config.replace_listener(listener)?;
        let logged = self.log().len();
        let before = self.listener_stats().await?;
        self.files.write_listeners(&config)?;
        let since =
            |now: &ListenerStats, name: &str| now.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
        let since = &since;
        let outcome = || async move {
            let now = self.listener_stats().await?;
            if since(&now, "lds.update_rejected") + since(&now, "lds.update_failure") > 0 {
                return Ok(Some(true));
            }
            let changed = since(&now, "listener_modified") + since(&now, "listener_added");
            let workers = changed * u64::from(self.config.concurrency);
            let serves = since(&now, "listener_create_success") >= workers;
            let warm = now.get("total_listeners_warming") == Some(&0);
            Ok((since(&now, "lds.update_success") > 0 && serves && warm).then_some(false))
        };
        let rejected = self.eventually("an outcome of the update", outcome).await?;
        Ok((config, rejected.then(|| self.log()[logged..].to_owned())))
    }

    async fn listener_stats(&self) -> Result<ListenerStats> {
        let stats = self.stats(LISTENER_STATS).await?;
        Ok(stats.into_iter().map(|(name, value)| (name[LISTENER_STATS.len()..].to_owned(), value)).collect())
    }

    /// Envoy's process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Looks until the probe sees what it looks for.
    async fn eventually<T, Fut>(&self, what: &str, probe: impl Fn() -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<Option<T>>>,
    {
        let start = Instant::now();
        loop {
            if let Some(found) = probe().await? {
                return Ok(found);
            }
            if start.elapsed() > PATIENCE {
                return Err(self.files.failure(anyhow!("no {what} within {PATIENCE:?}")));
            }
            sleep(GLANCE).await;
        }
    }
}

const LISTENER_STATS: &str = "listener_manager.";
type ListenerStats = BTreeMap<String, u64>;

impl Drop for Envoy {
    fn drop(&mut self) {
        let status = self.process.kill();
        if status.signal() != Some(Signal::SIGKILL as i32) && !std::thread::panicking() {
            panic!("{:#}", self.files.failure(anyhow!("Envoy ended during the test ({status})")));
        }
    }
}
