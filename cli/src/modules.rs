//! Where the modules of the filters are, and what compiles them.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};

use meshgate_wasm_host::{Engine, Error, Module};

/// Where modules are looked for.
#[derive(clap::Args, Debug)]
pub struct Where {
    /// Where the modules are, such as dlp.wasm; else beside this program, and where `make build` puts them
    #[arg(long, value_name = "DIR", env = "MESHGATE_MODULES", hide_env_values = true)]
    modules: Option<PathBuf>,
}

/// Modules by their files, each compiled once.
pub struct Modules {
    engine: Engine,
    directories: Vec<PathBuf>,
    compiled: HashMap<PathBuf, Module>,
}

impl Modules {
    /// Nothing is compiled yet.
    ///
    /// # Errors
    /// This machine runs no modules.
    pub fn new(options: &Where) -> Result<Self, Error> {
        let directories = match &options.modules {
            Some(directory) => vec![directory.clone()],
            None => usual_directories(),
        };
        Ok(Self { engine: Engine::new()?, directories, compiled: HashMap::new() })
    }

    /// The module of a name, such as `dlp` or `api_key_quota`, or of a file: a path that ends with `.wasm`, looked for in
    /// `base`.
    ///
    /// # Errors
    /// In words for the user: it is not there, or is no module.
    pub fn get(&mut self, name: &str, base: &Path) -> Result<Module, String> {
        let file = self.find(name, base)?;
        if let Some(module) = self.compiled.get(&file) {
            return Ok(module.clone());
        }
        let module = Module::file(&self.engine, &file).map_err(|error| error.to_string())?;
        self.compiled.insert(file, module.clone());
        Ok(module)
    }

    fn find(&self, name: &str, base: &Path) -> Result<PathBuf, String> {
        if is_file(name) {
            let file = base.join(name);
            return if file.is_file() { Ok(file) } else { Err(format!("no module at {}", file.display())) };
        }
        let file = format!("{}.wasm", name.replace('-', "_"));
        let found =
            self.directories.iter().map(|directory| directory.join(&file)).find(|file| file.is_file());
        found.ok_or_else(|| {
            let looked: Vec<_> =
                self.directories.iter().map(|directory| directory.display().to_string()).collect();
            format!(
                "no {file} in {}: run `make build`, or name its directory with --modules",
                looked.join(", ")
            )
        })
    }
}

/// Whether a module is named by its file.
pub fn is_file(name: &str) -> bool {
    name.ends_with(".wasm")
}

fn usual_directories() -> Vec<PathBuf> {
    const BUILT: &str = "wasm32-wasip1/release";
    let mut directories = Vec::new();
    if let Some(beside) = env::current_exe().ok().as_deref().and_then(Path::parent) {
        directories.push(beside.to_owned());
        // As a release has them: bin/meshgate, filters/dlp.wasm.
        directories.extend(beside.parent().map(|release| release.join("filters")));
        // As Cargo has them: target/release/meshgate, target/wasm32-wasip1/release/dlp.wasm.
        directories.extend(beside.parent().map(|target| target.join(BUILT)));
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    directories.push(target.join(BUILT));
    directories
}
