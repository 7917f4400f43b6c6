//! Starting Envoy, and the files of its run.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::admin::Admin;
use crate::config::{Config, Run};
use crate::paths;
use crate::process::Process;

/// How long anything may take: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// How often a condition is looked at.
pub(crate) const GLANCE: Duration = Duration::from_millis(5);

/// An Envoy that was started, and may not serve yet.
pub(crate) struct Launched {
    pub(crate) process: Process,
    pub(crate) files: Files,
}

/// What became of a start.
pub(crate) enum Outcome {
    Serves(Admin),
    Ended(ExitStatus),
}

impl Launched {
    pub(crate) fn new(config: &Config, upstream: SocketAddr) -> Result<Self> {
        let binary = paths::envoy_binary()?;
        let files = Files::new(upstream)?;
        fs::write(files.path("bootstrap.json"), format!("{:#}", config.bootstrap(&files.run)?))?;
        if config.file_lds {
            files.write_listeners(config)?;
        }
        let log = File::create(files.path("envoy.log"))?;
        let mut command = envoy_command(&binary, &files.path("bootstrap.json"));
        command
            .arg("--admin-address-path")
            .arg(files.path("admin"))
            .args(["--concurrency", &config.concurrency.to_string()])
            .args(["--log-level", &config.log_level])
            .args(["--component-log-level", &config.component_log_level])
            // Tests wait for access logs.
            .args(["--file-flush-interval-msec", "20"])
            // Listeners that were replaced close their connections soon.
            .args(["--drain-time-s", "1"])
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(Self { process: Process::start(command)?, files })
    }

    /// Waits until it serves or has ended.
    pub(crate) async fn outcome(&mut self) -> Result<Outcome> {
        let Self { process, files } = self;
        let outcome = timeout(PATIENCE, async {
            loop {
                if let Some(status) = process.ended() {
                    return Outcome::Ended(status);
                }
                if let Some(admin) = files.admin_address().map(Admin::new)
                    && admin.ready().await
                {
                    return Outcome::Serves(admin);
                }
                sleep(GLANCE).await;
            }
        });
        outcome.await.map_err(|_| files.failure(anyhow!("Envoy does not get ready")))
    }
}

/// An Envoy that runs in the workspace, so that a bootstrap may name modules by their paths in it.
pub fn envoy_command(binary: &Path, bootstrap: &Path) -> Command {
    let mut command = Command::new(binary);
    // Hot restart shares memory between all Envoys of a machine that have one base id.
    command.arg("--disable-hot-restart").arg("-c").arg(bootstrap).current_dir(paths::workspace());
    command
}

/// The files of a run. They are removed in the end unless the test fails.
pub(crate) struct Files {
    dir: TempDir,
    pub(crate) run: Run,
    failed: AtomicBool,
}

impl Files {
    fn new(upstream: SocketAddr) -> Result<Self> {
        let parent = paths::target_dir().join("e2e");
        fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
        let test = std::thread::current().name().unwrap_or("unnamed").replace("::", ".");
        let dir = tempfile::Builder::new().prefix(&format!("{test}.")).tempdir_in(parent)?;
        let run =
            Run { access_log: dir.path().join("access.log"), lds: dir.path().join("lds.json"), upstream };
        Ok(Self { dir, run, failed: AtomicBool::new(false) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn admin_address(&self) -> Option<SocketAddr> {
        fs::read_to_string(self.path("admin")).ok()?.parse().ok()
    }

    /// Puts the listeners where Envoy looks for them: by renaming, so that it never sees half a file.
    pub(crate) fn write_listeners(&self, config: &Config) -> Result<()> {
        let new = self.run.lds.with_extension("new");
        fs::write(&new, config.lds(&self.run)?.to_string())?;
        Ok(fs::rename(new, &self.run.lds)?)
    }

    /// What Envoy has logged so far.
    pub(crate) fn log(&self) -> String {
        read(&self.path("envoy.log"))
    }

    /// The access log so far.
    pub(crate) fn access_log(&self) -> String {
        read(&self.run.access_log)
    }

    /// The error with the end of Envoy's log; the files stay.
    pub(crate) fn failure(&self, error: Error) -> Error {
        self.failed.store(true, Ordering::Relaxed);
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        anyhow!("{error:#}. Envoy's log in {} ends with\n{tail}", self.dir.path().display())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if std::thread::panicking() || self.failed.load(Ordering::Relaxed) {
            self.dir.disable_cleanup(true);
            eprintln!("Envoy's files are kept in {}", self.dir.path().display());
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
