//! What `envoy-configs/` starts: its bootstraps, its containers, and the dashboard that stands in one of them.
//!
//! [`stack`] runs all of it on a Docker engine and takes minutes: `make test-compose`. The rest needs an Envoy only.

mod dashboard;
mod files;
mod stack;

#[path = "../../src/bin/demo/service.rs"]
mod service;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use meshgate_e2e::paths;
use tokio::process::Command;
use tokio::time::timeout;

/// The directory that this is about.
fn configs() -> PathBuf {
    paths::workspace().join("envoy-configs")
}

/// A file of that directory.
fn read(name: &str) -> String {
    fs::read_to_string(configs().join(name)).unwrap()
}

/// The names of the bootstraps.
fn bootstraps() -> Vec<String> {
    let files = fs::read_dir(configs()).unwrap().map(|file| file.unwrap().path());
    let yaml = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    let name = |file: PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
    let names: Vec<_> = yaml.map(name).collect();
    assert!(names.len() >= 5, "{names:?}");
    names
}

/// A bootstrap with the modules where they were built; `prefix` is where it has them.
fn with_built_modules(bootstrap: &str, prefix: &str) -> String {
    let modules = paths::target_dir().join("wasm32-wasip1/release");
    bootstrap.replace(&format!("filename: {prefix}/"), &format!("filename: {}/", modules.display()))
}

/// What a command line prints, run by a shell in the root of the workspace; its complaints show. It must succeed.
async fn sh(line: &str, patience: Duration) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(paths::workspace()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(patience, command.stderr(Stdio::inherit()).output());
    let output = output.await.unwrap_or_else(|_| panic!("does not end: {line}")).unwrap();
    assert!(output.status.success(), "{line}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Checks a bootstrap as `envoy --mode validate` does.
async fn validate(yaml: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("envoy.yaml");
    fs::write(&path, yaml).unwrap();
    let mut envoy = meshgate_e2e::envoy_command(&paths::envoy_binary().unwrap(), Path::new(&path));
    envoy.args(["--mode", "validate", "--log-level", "warning"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(180), envoy.output()).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{}\n{yaml}", String::from_utf8_lossy(&output.stderr));
}
