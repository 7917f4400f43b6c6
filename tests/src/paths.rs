//! Where things are: the workspace, Cargo's target directory, Envoy, the modules.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a directory of the workspace")
}

/// Cargo's target directory: `CARGO_TARGET_DIR`, or `target` in the workspace.
pub fn target_dir() -> PathBuf {
    workspace().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The Envoy to run: `ENVOY`, or the one that `make setup` installs.
///
/// # Errors
/// If it is not there, in one line that says what to do.
pub fn envoy_binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ENVOY").filter(|path| !path.is_empty()) {
        let path = workspace().join(path);
        if !path.is_file() {
            bail!("no Envoy at {}, where the environment variable ENVOY points", path.display());
        }
        return Ok(path);
    }
    let path = workspace().join(".tools/bin/envoy");
    if !path.is_file() {
        bail!("no Envoy at {}: run `make setup`, or set ENVOY to one", path.display());
    }
    Ok(path)
}

/// The compiled module of a filter, by the name of its library: `api_key_quota`.
///
/// # Errors
/// If it is not built, in one line that says what to do.
pub fn module(name: &str) -> Result<PathBuf> {
    let path = target_dir().join("wasm32-wasip1/release").join(name).with_extension("wasm");
    if !path.is_file() {
        bail!("no module at {}: run `make build`", path.display());
    }
    Ok(path)
}
