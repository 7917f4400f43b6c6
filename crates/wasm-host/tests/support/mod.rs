//! Proxies with the modules that `make build` makes.

#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::path::Path;

use meshgate_wasm_host::{Engine, Module, Options, Plugin, Proxy, Response};

/// A module of this workspace.
pub fn module(name: &str) -> Module {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let file = target.join("wasm32-wasip1/release").join(name).with_extension("wasm");
    assert!(file.is_file(), "no module at {}: run `make build`", file.display());
    Module::file(&Engine::new().unwrap(), &file).unwrap()
}

/// A plugin of it with this configuration.
pub fn plugin(name: &str, configuration: &str) -> Plugin {
    Plugin {
        module: module(name),
        name: name.to_owned(),
        vm_id: String::new(),
        configuration: configuration.as_bytes().to_vec(),
        environment: Vec::new(),
        holds_headers: false,
    }
}

/// A proxy with nothing else.
pub fn proxy(name: &str, configuration: &str) -> Proxy {
    Proxy::start(&[plugin(name, configuration)], &Options::default())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A response with this body.
pub fn respond(content_type: &str, body: &str) -> Response {
    let headers = [("content-type", content_type)].into_iter().collect();
    Response { status: 200, headers, body: vec![body.as_bytes().to_vec()], ..Response::default() }
}
