//! An OCI image layout (image specification, "Image Layout") with one image.
//!
//! Istio's proxies read three shapes (`pkg/wasm/imagefetcher.go` there): of an image for containers the file `plugin.wasm` in the last
//! layer, with Docker's media types or with OCI's; and an artifact of exactly two layers, one of which is the module itself. Nodes of
//! all architectures pull for `linux/amd64`, which is the default of the library that Istio uses.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use meshgate_policy::digest::Digest;
use serde::Serialize;
use tar::{Builder, EntryType, Header};

use super::Format;

/// The file that makes a directory an image layout.
pub const MARKER: &str = "oci-layout";

/// The name of the module in an image for containers.
const PLUGIN: &str = "plugin.wasm";
const VARIANT: &str = "module.wasm.image/variant";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const TITLE: &str = "org.opencontainers.image.title";
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The files of a layout, and what they hold.
pub struct Layout {
    files: BTreeMap<String, Vec<u8>>,
    /// What the image is called.
    pub name: Option<String>,
    /// What registries know the image by.
    pub manifest: Descriptor,
    /// The configuration.
    pub config: Descriptor,
    /// The layers.
    pub layers: Vec<Descriptor>,
}

/// A blob: what it is, and its digest (image specification, "Content Descriptors").
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    media_type: &'static str,
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// How many bytes.
    pub size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Platform {
    architecture: &'static str,
    os: &'static str,
}

const PLATFORM: Platform = Platform { architecture: "amd64", os: "linux" };

/// The media types of an image for containers.
struct Types {
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

const OCI: Types = Types {
    manifest: "application/vnd.oci.image.manifest.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};

const DOCKER: Types = Types {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};

/// Those of an artifact; its configuration is one of its layers too.
const ARTIFACT_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
const ARTIFACT_MODULE: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: &'a Descriptor,
    layers: &'a [Descriptor],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: [&'a Descriptor; 1],
}

/// The configuration of an image for containers: Docker's and OCI's have these fields in common.
#[derive(Serialize)]
struct Config<'a> {
    created: &'static str,
    architecture: &'static str,
    os: &'static str,
    config: Labels<'a>,
    rootfs: RootFs,
    history: [History; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Labels<'a> {
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: [String; 1],
}

#[derive(Serialize)]
struct History {
    created: &'static str,
    created_by: &'static str,
}

/// What an artifact says of its module.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Runtime<'a> {
    r#type: &'static str,
    abi_versions: [&'a str; 1],
    config: BTreeMap<(), ()>,
}

impl Descriptor {
    /// Of these bytes.
    pub fn of(media_type: &'static str, bytes: &[u8]) -> Self {
        let digest = format!("sha256:{}", Digest::of(bytes).to_hex());
        Self { media_type, digest, size: bytes.len(), platform: None, annotations: BTreeMap::new() }
    }

    fn titled(mut self, title: &str) -> Self {
        self.annotations.insert(TITLE, title.to_owned());
        self
    }
}

impl Layout {
    /// Makes one, of a module and the version of its ABI.
    ///
    /// # Errors
    /// The system has no memory for it.
    pub fn new(
        format: Format,
        module: &[u8],
        abi: &str,
        name: Option<&str>,
        annotations: &BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let mut blobs = Blobs::default();
        let mut noted: BTreeMap<_, _> =
            annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (types, config, layers) = match format {
            Format::Oci | Format::Docker => {
                let types = if format == Format::Oci { OCI } else { DOCKER };
                let archive = archive(module)?;
                let layer = blobs.add(types.layer, gzip(&archive)?);
                let config = Config {
                    created: EPOCH,
                    architecture: PLATFORM.architecture,
                    os: PLATFORM.os,
                    config: Labels { labels: annotations },
                    rootfs: RootFs {
                        r#type: "layers",
                        diff_ids: [Descriptor::of(types.layer, &archive).digest],
                    },
                    history: [History { created: EPOCH, created_by: "meshgate image" }],
                };
                (types.manifest, blobs.add(types.config, serde_json::to_vec(&config)?), vec![layer])
            }
            Format::Artifact => {
                let runtime = Runtime { r#type: "envoy_proxy", abi_versions: [abi], config: BTreeMap::new() };
                let config = blobs.add(ARTIFACT_CONFIG, serde_json::to_vec(&runtime)?);
                let module = blobs.add(ARTIFACT_MODULE, module.to_vec()).titled(PLUGIN);
                (OCI.manifest, config.clone(), vec![config.titled("runtime-config.json"), module])
            }
        };
        match format {
            // Docker's manifests have none: there they are labels only.
            Format::Docker => noted.clear(),
            Format::Oci => drop(noted.insert(VARIANT, "compat")),
            Format::Artifact => {}
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: types,
            config: &config,
            layers: &layers,
            annotations: noted,
        };
        let mut manifest = blobs.add(types, serde_json::to_vec(&manifest)?);
        manifest.platform = Some(PLATFORM);
        manifest.annotations.extend(name.map(|name| (REF_NAME, name.to_owned())));
        let index = Index {
            schema_version: 2,
            media_type: "application/vnd.oci.image.index.v1+json",
            manifests: [&manifest],
        };
        let mut files = blobs.0;
        files.insert("index.json".to_owned(), serde_json::to_vec(&index)?);
        files.insert(MARKER.to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        Ok(Self { files, name: name.map(str::to_owned), manifest, config, layers })
    }

    /// Writes it into a directory, which must not be there.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn write_directory(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir(directory)?;
        for (name, bytes) in &self.files {
            let file = directory.join(name);
            file.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(file, bytes)?;
        }
        Ok(())
    }

    /// Writes it into one file.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn write_tar(&self, file: &Path) -> io::Result<()> {
        let mut tar = Builder::new(File::create_new(file)?);
        for (name, bytes) in &self.files {
            append(&mut tar, name, bytes)?;
        }
        tar.into_inner()?.sync_all()
    }
}

/// The blobs of a layout, by their paths in it.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    fn add(&mut self, media_type: &'static str, bytes: Vec<u8>) -> Descriptor {
        let descriptor = Descriptor::of(media_type, &bytes);
        self.0.insert(format!("blobs/{}", descriptor.digest.replace(':', "/")), bytes);
        descriptor
    }
}

fn archive(module: &[u8]) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, PLUGIN, module)?;
    tar.into_inner()
}

/// A file of nobody's, from 1970: the same bytes in each archive.
fn append<W: Write>(tar: &mut Builder<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_path(name)?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    tar.append(&header, bytes)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // 255 stands for an unknown system.
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    gzip.finish()
}
