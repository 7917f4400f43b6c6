//! What a file must be to become an image, and what it says of itself.

use wasmparser::{ExternalKind, Parser, Payload};

use crate::filters::{FILTERS, Filter};

/// A module that Envoy can load.
#[derive(Debug, PartialEq)]
pub struct Module {
    /// The version of the Proxy-Wasm ABI that it is made for: `0.2.1`.
    pub abi: String,
    /// Which of our filters it is.
    pub filter: Option<&'static str>,
    /// The version that it has, if it is one of ours.
    pub version: Option<String>,
}

/// The section in which our modules say what they are: `meshgate-filter-dlp 0.1.0` (`crates/envoy-host`).
const SECTION: &str = "meshgate";
const MAGIC: &[u8] = b"\0asm";
const MODULE: &[u8] = b"\x01\0\0\0";
const COMPONENT: &[u8] = b"\x0d\0\x01\0";
const ABI: &str = "proxy_abi_version_";

impl Module {
    /// Reads one.
    ///
    /// # Errors
    /// The bytes are something else, said so that who made them knows what to do.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_at_checked(8).map(|(head, _)| head.split_at(4)) {
            Some((MAGIC, MODULE)) => {}
            Some((MAGIC, COMPONENT)) => {
                return Err(
                    "this is a component, and Envoy loads modules: build for wasm32-wasip1".to_owned()
                );
            }
            Some((MAGIC, _)) => {
                return Err("this is WebAssembly of a version that Envoy does not load".to_owned());
            }
            _ if bytes.starts_with(b"\x1f\x8b") => {
                return Err("this is not WebAssembly but a compressed file: unpack it first".to_owned());
            }
            _ => return Err("this is not WebAssembly".to_owned()),
        }
        let (mut abi, mut identity) = (None, None);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(damaged)? {
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export.map_err(damaged)?;
                        if export.kind == ExternalKind::Func && abi.is_none() {
                            abi = export.name.strip_prefix(ABI).map(|version| version.replace('_', "."));
                        }
                    }
                }
                Payload::CustomSection(section) if section.name() == SECTION => {
                    identity = std::str::from_utf8(section.data()).ok().and_then(|text| text.split_once(' '));
                }
                _ => {}
            }
        }
        let Some(abi) = abi else {
            let why = "this is a module, but not one for proxies: it exports no proxy_abi_version_...";
            return Err(why.to_owned());
        };
        // Modules for tests say what they are as well.
        let named = |package: &str| {
            FILTERS.iter().find(|Filter { name, .. }| package == format!("meshgate-filter-{name}"))
        };
        let ours = identity.and_then(|(package, version)| Some((named(package)?.name, version.to_owned())));
        let (filter, version) = ours.unzip();
        Ok(Self { abi, filter, version })
    }
}

fn damaged(error: impl std::fmt::Display) -> String {
    format!("this module is damaged or cut off: {error}")
}
