//! `meshgate image`: a module as an image that registries store and Istio pulls.
//!
//! The module is looked at first (`module`): what no proxy would load becomes no image. The image (`layout`) is made of its bytes and
//! of the options, and of nothing else: no clock, no name of a machine. So the same module has the same digest wherever it is built.

mod layout;
mod module;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use self::layout::{Descriptor, Layout};
use self::module::Module;
use crate::output::{self, Output};

/// Make an image of a module, which Istio pulls from a registry
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Image {
    /// The module: a .wasm file
    module: PathBuf,

    /// Where the OCI image layout goes: a directory, or a file whose name ends with .tar
    to: PathBuf,

    /// What kind of image
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,

    /// What the image is called in the layout [default: the version]
    #[arg(long, value_parser = tag)]
    tag: Option<String>,

    /// Its org.opencontainers.image.title [default: the name of the filter]
    #[arg(long, value_parser = value)]
    title: Option<String>,

    /// Its org.opencontainers.image.version [default: that of the module]
    #[arg(long, value_parser = value)]
    version: Option<String>,

    /// Its org.opencontainers.image.revision: the commit that the module was built from
    #[arg(long, value_parser = value)]
    revision: Option<String>,

    /// Another annotation; may be given several times
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,

    /// Replace the layout that is there
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    output: output::Options,
}

/// The three kinds of images that Istio reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// An OCI image: what most registries and tools expect
    #[default]
    Oci,
    /// A Docker image (v2, schema 2): for registries that know nothing else
    Docker,
    /// An OCI artifact with the bare module, not in a tar
    Artifact,
}

const EXAMPLES: &str = "\
Examples:
  meshgate image dlp.wasm dlp-image                      an OCI image layout, in a directory
  meshgate image dlp.wasm dlp.tar --format docker --revision \"$(git rev-parse HEAD)\"
  skopeo copy oci:dlp-image docker://registry.example.com/meshgate/dlp:1.0
  crane push dlp-image registry.example.com/meshgate/dlp:1.0
  oras cp --from-oci-layout dlp-image:0.1.0 registry.example.com/meshgate/dlp:1.0

Exit status: 0 if the image was made, 1 if the file is no module for Envoy, 2 if the command line is wrong or
a file could not be read or written.";

/// Istio's proxies pull no larger one (`ISTIO_WASM_MAX_BINARY_SIZE_BYTES`).
const MAX_MODULE: u64 = 256 * 1024 * 1024;

/// Why there is no image, and the exit status that says so.
struct Refusal(u8, String);

/// What has to go before the layout gets its place.
enum Replaced {
    Nothing,
    File,
    Directory,
}

/// What was made.
struct Made {
    layout: Layout,
    module: Descriptor,
    annotations: BTreeMap<String, String>,
}

impl Image {
    /// Runs the command.
    ///
    /// # Errors
    /// The output is closed.
    pub fn run(self) -> io::Result<ExitCode> {
        match self.make() {
            Ok(made) => self.report(&made).map(|()| ExitCode::SUCCESS),
            Err(Refusal(status, why)) => {
                writeln!(anstream::stderr(), "meshgate: {why}")?;
                Ok(ExitCode::from(status))
            }
        }
    }

    fn make(&self) -> Result<Made, Refusal> {
        let wrong = |path: &Path, why: &str| format!("{}: {why}", output::shown(path));
        let bytes =
            read(&self.module).map_err(|error| Refusal(2, wrong(&self.module, &error.to_string())))?;
        let module = Module::read(&bytes).map_err(|why| Refusal(1, wrong(&self.module, &why)))?;
        if module.filter.is_none() {
            let warning = wrong(&self.module, "this is not one of Meshgate's filters");
            // Where this can't be said, the report fails as well.
            let _ = writeln!(anstream::stderr(), "meshgate: warning: {warning}");
        }
        let annotations = self.annotations(&module);
        let version = annotations.get(VERSION).map(String::as_str);
        let name = match (&self.tag, version) {
            (Some(tag), _) => Some(tag.as_str()),
            // A version may have what a tag may not: `1.0.0+build`.
            (None, version) => version.filter(|version| tag(version).is_ok()),
        };
        let layout = Layout::new(self.format, &bytes, &module.abi, name, &annotations)
            .map_err(|error| Refusal(2, error.to_string()))?;
        self.write(&layout).map_err(|error| Refusal(2, wrong(&self.to, &error.to_string())))?;
        Ok(Made { layout, module: Descriptor::of("application/wasm", &bytes), annotations })
    }

    fn annotations(&self, module: &Module) -> BTreeMap<String, String> {
        let stem = || self.module.file_stem().map(|stem| output::one_line(&stem.to_string_lossy()));
        let title = self.title.clone().or_else(|| module.filter.map(str::to_owned)).or_else(stem);
        let version = self.version.clone().or_else(|| module.version.clone());
        let named = [(TITLE, title), (VERSION, version), (REVISION, self.revision.clone())];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        named.chain(self.annotations.iter().cloned()).collect()
    }

    /// Writes the layout beside its place and moves it there, so that nobody finds half of one.
    fn write(&self, layout: &Layout) -> io::Result<()> {
        let replaced = self.replaced()?;
        // Without a slash at its end.
        let to: PathBuf = self.to.components().collect();
        let mut beside = to.clone().into_os_string();
        beside.push(format!(".{}.part", std::process::id()));
        let beside = PathBuf::from(beside);
        let tar = to.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"));
        let written = if tar { layout.write_tar(&beside) } else { layout.write_directory(&beside) };
        let moved = written
            .and_then(|()| match replaced {
                Replaced::Nothing => Ok(()),
                Replaced::File => fs::remove_file(&to),
                Replaced::Directory => fs::remove_dir_all(&to),
            })
            .and_then(|()| fs::rename(&beside, &to));
        if moved.is_err() {
            // It may be one, the other or neither.
            let _ = fs::remove_file(&beside).or_else(|_| fs::remove_dir_all(&beside));
        }
        moved
    }

    /// What is there and may be replaced; an error if it may not.
    fn replaced(&self) -> io::Result<Replaced> {
        let to = &self.to;
        let exists = |why: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        let found = match fs::symlink_metadata(to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Replaced::Nothing),
            found => found?,
        };
        if !found.is_dir() {
            return if self.force {
                Ok(Replaced::File)
            } else {
                exists("there is a file already: --force replaces it")
            };
        }
        let empty = fs::read_dir(to)?.next().is_none();
        match (self.force, to.join(layout::MARKER).is_file()) {
            _ if empty => Ok(Replaced::Directory),
            (true, true) => Ok(Replaced::Directory),
            (false, true) => exists("there is an image layout already: --force replaces it"),
            (_, false) => exists("this directory holds something else than an OCI image layout"),
        }
    }

    fn report(&self, made: &Made) -> io::Result<()> {
        let Made { layout, module, annotations } = made;
        if self.output.output == Output::Json {
            return output::json(&json!({
                "path": self.to.to_string_lossy(),
                "format": self.format.to_possible_value().map(|format| format.get_name().to_owned()),
                "name": layout.name,
                "manifest": layout.manifest,
                "config": layout.config,
                "layers": layout.layers,
                "module": module,
                "annotations": annotations,
            }));
        }
        let mut out = io::stdout().lock();
        let mut line = |what: &str, descriptor: &Descriptor| {
            writeln!(out, "{what:<9} {} {:>9} bytes", descriptor.digest, descriptor.size)
        };
        line("manifest:", &layout.manifest)?;
        line("config:", &layout.config)?;
        layout.layers.iter().try_for_each(|layer| line("layer:", layer))?;
        line("module:", module)
    }
}

const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const REVISION: &str = "org.opencontainers.image.revision";

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_MODULE.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_MODULE {
        return Err(io::Error::other("a module of more than 256 MiB, which no Istio pulls"));
    }
    Ok(bytes)
}

/// A tag, as registries have them (OCI distribution specification, "Pulling manifests").
fn tag(tag: &str) -> Result<String, String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let good =
        tag.bytes().enumerate().all(|(at, byte)| word(byte) || (at > 0 && matches!(byte, b'.' | b'-')));
    if good && (1..=128).contains(&tag.len()) {
        return Ok(tag.to_owned());
    }
    Err("a tag has 1 to 128 letters, digits, _, . and -, and begins with neither . nor -".to_owned())
}

/// What stands in an annotation.
fn value(value: &str) -> Result<String, String> {
    if value.is_empty() || value.contains(char::is_control) {
        return Err("expected one line of text".to_owned());
    }
    Ok(value.to_owned())
}

fn annotation(annotation: &str) -> Result<(String, String), String> {
    match annotation.split_once('=') {
        Some((name, text))
            if !name.is_empty() && !name.contains(|char: char| char.is_control() || char == ' ') =>
        {
            Ok((name.to_owned(), value(text)?))
        }
        _ => Err("expected NAME=VALUE, such as org.opencontainers.image.vendor=Example".to_owned()),
    }
}
