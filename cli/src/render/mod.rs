//! `meshgate render`: what deploys configurations, made from one document per filter.
//!
//! The documents are read and checked as `check` does it; several are a chain, in an order that is sound (`placement`). What
//! comes out is YAML (`yaml`) that is the same for the same input, so it can be kept in a repository and compared.

mod compose;
mod envoy;
mod envoy_gateway;
mod envoyfilter;
mod input;
mod istio;
mod json;
mod local_reply;
mod module;
mod placement;
mod plugin;
mod yaml;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::yaml::Yaml;
use crate::output;

/// Print what deploys configurations: Envoy, Istio, Envoy Gateway, Docker Compose
#[derive(Debug, Subcommand)]
pub enum Render {
    Envoy(envoy::Envoy),
    Istio(istio::Istio),
    EnvoyGateway(envoy_gateway::EnvoyGateway),
    Compose(compose::Compose),
    LocalReply(local_reply::LocalReply),
}

impl Render {
    /// Runs the command.
    ///
    /// # Errors
    /// Something could not be written, or what was asked for does not go together.
    pub fn run(self) -> io::Result<ExitCode> {
        match self {
            Self::Envoy(envoy) => envoy.run(),
            Self::Istio(istio) => istio.run(),
            Self::EnvoyGateway(envoy_gateway) => envoy_gateway.run(),
            Self::Compose(compose) => compose.run(),
            Self::LocalReply(local_reply) => local_reply.run(),
        }
    }
}

/// Where the output goes.
#[derive(Args, Debug)]
struct Output {
    /// Write to this file, or into this directory with a file for each resource; else to the standard output
    #[arg(long, short, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
}

/// A document and the name of its file, where there are several.
struct Document {
    name: String,
    yaml: Yaml,
}

impl Output {
    /// Writes documents: each in its file of a directory, or all in one file.
    fn write(&self, documents: &[Document]) -> io::Result<()> {
        let texts: Vec<_> = documents.iter().map(|document| document.yaml.document()).collect();
        let Some(path) = &self.output else {
            return io::stdout().lock().write_all(texts.join("---\n").as_bytes());
        };
        if !is_directory(path) {
            return write(path, &texts.join("---\n"));
        }
        for (document, text) in documents.iter().zip(texts) {
            write(&path.join(format!("{}.yaml", document.name)), &text)?;
        }
        Ok(())
    }
}

/// A directory is one that is there, or a name that says so.
fn is_directory(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/')
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot write {}: {error}", output::shown(path)))
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(named)?;
    }
    fs::write(path, text).map_err(named)
}

/// What was asked for does not go together: the command line is wrong.
fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.into())
}
