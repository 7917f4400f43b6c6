//! What `meshgate render` prints runs: bootstraps, lists of filters, EnvoyFilters and `local_reply_config`, on a real Envoy.

mod bootstrap;
mod local_reply;

use std::path::{Path, PathBuf};
use std::process::Command;

use meshgate_e2e::{Value, paths};

/// Where the modules were built.
fn modules() -> String {
    paths::target_dir().join("wasm32-wasip1/release").display().to_string()
}

/// Runs `meshgate render` in the workspace: what it prints, and what it says beside.
fn render(args: &[&str]) -> (String, String) {
    let output =
        Command::new(meshgate()).arg("render").args(args).current_dir(paths::workspace()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
}

/// The command line, beside this test: the tests of its own package build it.
fn meshgate() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(2).unwrap().join("meshgate");
    assert!(path.is_file(), "no command line at {}: run `cargo build -p meshgate-cli`", path.display());
    path
}

/// A configuration in a file, for as long as it is kept. The name of the file tells the filter.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (directory, path)
}

fn yaml(text: &str) -> Value {
    yaml_serde::from_str(text).unwrap()
}

/// Has Envoy look at a configuration, modules and all; its log if it refuses it.
fn refused(text: &str, environment: &[(&str, &str)]) -> Option<String> {
    let (_directory, path) = file("envoy.yaml", text);
    let mut command = Command::new(paths::envoy_binary().unwrap());
    command
        .args(["--mode", "validate", "--disable-hot-restart", "--log-level", "warning", "-c"])
        .arg(Path::new(&path));
    command.envs(environment.iter().copied()).current_dir(paths::workspace());
    let output = command.output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
