//! Compiled modules.

use std::fmt;
use std::path::Path;

use wasmtime::{Config, Instance, InstancePre, Linker, OptLevel, Store};

use crate::error::Error;
use crate::guest::Guest;
use crate::{imports, wasi};

/// What compiles and runs modules. Clones share it.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
}

impl Engine {
    /// An engine.
    ///
    /// # Errors
    /// This machine is none that it compiles for.
    pub fn new() -> Result<Self, Error> {
        let mut config = Config::new();
        config.consume_fuel(true);
        // A module is compiled far longer than it runs here.
        config.cranelift_opt_level(OptLevel::None);
        let failed = |error| Error::Module(format!("no Wasm here: {error:#}"));
        wasmtime::Engine::new(&config).map(|engine| Self { engine }).map_err(failed)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

/// A compiled module, which can run any number of times, on any thread.
#[derive(Clone)]
pub struct Module {
    ready: InstancePre<Guest>,
}

impl Module {
    /// Compiles a file.
    ///
    /// # Errors
    /// [`Error::Module`] if it can't be read, is no module, is none of the Proxy-Wasm ABI, or imports what is not there.
    pub fn file(engine: &Engine, path: &Path) -> Result<Self, Error> {
        let name = path.display();
        let bytes = std::fs::read(path).map_err(|error| Error::Module(format!("{name}: {error}")))?;
        Self::new(engine, &bytes).map_err(|error| Error::Module(format!("{name}: {error}")))
    }

    /// Compiles a module.
    ///
    /// # Errors
    /// As [`Module::file`].
    pub fn new(engine: &Engine, bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |error: wasmtime::Error| Error::Module(format!("{error:#}"));
        let module = wasmtime::Module::new(&engine.engine, bytes).map_err(wrong)?;
        let abi = |export: wasmtime::ExportType<'_>| export.name().starts_with("proxy_abi_version_0_2_");
        if !module.exports().any(abi) {
            let why = "no module for Proxy-Wasm ABI 0.2: it exports no proxy_abi_version_0_2_0 or _1";
            return Err(Error::Module(why.to_owned()));
        }
        let mut linker = Linker::new(&engine.engine);
        imports::link(&mut linker).and_then(|()| wasi::link(&mut linker)).map_err(wrong)?;
        let known: Vec<(String, String)> = imports::names(&linker, &engine.engine);
        let is_unknown = |import: &wasmtime::ImportType<'_>| {
            !known.iter().any(|(module, name)| module == import.module() && name == import.name())
        };
        if let Some(unknown) = module.imports().find(is_unknown) {
            let (module, name) = (unknown.module(), unknown.name());
            return Err(Error::Module(format!("it imports {module}.{name}, which this host does not have")));
        }
        linker.instantiate_pre(&module).map(|ready| Self { ready }).map_err(wrong)
    }

    pub(crate) fn engine(&self) -> &wasmtime::Engine {
        self.ready.module().engine()
    }

    pub(crate) fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Instance> {
        self.ready.instantiate(store)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Module")
    }
}
