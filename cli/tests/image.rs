//! `meshgate image`, as a user runs it, and what registries would get. That Istio reads the images is tested with its own code, in
//! tests/istiod.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code"
)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{directory, meshgate, module, workspace};

const DLP: &str = "meshgate-filter-dlp 1.2.3";

fn dlp() -> Vec<u8> {
    module("proxy_abi_version_0_2_1", Some(DLP))
}

/// All files below a directory, by their paths in it.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(
                self::files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)),
            );
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

/// The files in a tar, and that nothing in it tells who made it or when.
fn untar(tar: impl Read) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let whose =
            (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap(), header.mode().unwrap());
        assert_eq!(whose, (0, 0, 0, 0o644));
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, bytes);
    }
    files
}

fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// A layout with one image, whose blobs are as their descriptors say, and no others.
struct Image {
    index: Value,
    manifest: Value,
    config: Value,
    /// Media type and content.
    layers: Vec<(String, Vec<u8>)>,
}

fn image(mut files: BTreeMap<String, Vec<u8>>) -> Image {
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(parse(&files.remove("oci-layout").unwrap()), json!({"imageLayoutVersion": "1.0.0"}));
    let index = parse(&files.remove("index.json").unwrap());
    let (mut used, blobs) = (vec![], files);
    let mut blob = |descriptor: &Value| {
        let name = descriptor["digest"].as_str().unwrap();
        let path = format!("blobs/{}", name.replace(':', "/"));
        let bytes = blobs[&path].clone();
        assert_eq!((digest(&bytes).as_str(), Some(bytes.len() as u64)), (name, descriptor["size"].as_u64()));
        used.push(path);
        bytes
    };
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!((manifests.len(), &index["schemaVersion"]), (1, &json!(2)));
    let manifest = parse(&blob(&manifests[0]));
    assert_eq!((&manifest["mediaType"], &manifest["schemaVersion"]), (&manifests[0]["mediaType"], &json!(2)));
    let config = parse(&blob(&manifest["config"]));
    let layers = manifest["layers"].as_array().unwrap().iter();
    let layers = layers.map(|layer| (layer["mediaType"].as_str().unwrap().to_owned(), blob(layer))).collect();
    used.sort();
    used.dedup();
    assert_eq!(used, blobs.into_keys().collect::<Vec<_>>());
    Image { index, manifest, config, layers }
}

#[test]
fn images_for_containers_have_the_module_as_plugin_wasm() {
    let at = directory(&[("dlp.wasm", &dlp())]);
    for (format, manifest, config, layer) in [
        (
            "oci",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        ),
        (
            "docker",
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ),
    ] {
        let ran = meshgate(&["image", "dlp.wasm", format, "--format", format]).current_dir(&at).ran();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
        let image = image(files(&at.path().join(format)));
        let [(layer_type, bytes)] = image.layers.as_slice() else { panic!("{:?}", image.manifest) };
        let types =
            [&image.manifest["mediaType"], &image.manifest["config"]["mediaType"], &json!(layer_type)];
        assert_eq!(types, [manifest, config, layer]);
        let mut archive = Vec::new();
        GzDecoder::new(bytes.as_slice()).read_to_end(&mut archive).unwrap();
        assert_eq!(untar(archive.as_slice()), BTreeMap::from([("plugin.wasm".to_owned(), dlp())]));
        assert_eq!(image.config["rootfs"], json!({"type": "layers", "diff_ids": [digest(&archive)]}));
        assert_eq!([&image.config["os"], &image.config["architecture"]], ["linux", "amd64"]);
        let platform = json!({"os": "linux", "architecture": "amd64"});
        assert_eq!(image.index["manifests"][0]["platform"], platform);
        let labels = &image.config["config"]["Labels"];
        assert_eq!(labels["org.opencontainers.image.title"], "dlp");
        // Docker's manifests have no annotations.
        let annotations = image.manifest.get("annotations");
        let variant = annotations.map(|annotations| annotations["module.wasm.image/variant"].clone());
        assert_eq!(variant, (format == "oci").then(|| json!("compat")));
    }
}

#[test]
fn artifacts_have_the_bare_module() {
    let at = directory(&[("dlp.wasm", &dlp())]);
    let ran = meshgate(&["image", "dlp.wasm", "artifact", "--format", "artifact"]).current_dir(&at).ran();
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let image = image(files(&at.path().join("artifact")));
    assert_eq!(image.manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let [(config, text), (module, bytes)] = image.layers.as_slice() else { panic!("{:?}", image.manifest) };
    assert_eq!(config, "application/vnd.module.wasm.config.v1+json");
    assert_eq!(module, "application/vnd.module.wasm.content.layer.v1+wasm");
    assert_eq!(*bytes, dlp());
    assert_eq!(image.config, json!({"type": "envoy_proxy", "abiVersions": ["0.2.1"], "config": {}}));
    assert_eq!(serde_json::from_slice::<Value>(text).unwrap(), image.config);
}

#[test]
fn the_same_module_makes_the_same_bytes_everywhere() {
    for format in ["oci", "docker", "artifact"] {
        let args = ["--format", format, "--revision", "4e0c", "--annotation", "b=2", "--annotation", "a=1"];
        let made: Vec<_> = ["one.wasm", "other.wasm"]
            .iter()
            .map(|name| {
                let at = directory(&[(name, &dlp())]);
                for to in ["image", "image.tar"] {
                    let ran =
                        meshgate(&[&["image", name, to], args.as_slice()].concat()).current_dir(&at).ran();
                    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
                }
                let layout = files(&at.path().join("image"));
                let tar = fs::read(at.path().join("image.tar")).unwrap();
                assert_eq!(untar(tar.as_slice()), layout, "a tar holds what a directory does");
                assert_eq!(fs::read_dir(&at).unwrap().count(), 3, "and nothing is left beside them");
                (layout, tar)
            })
            .collect();
        assert!(made[0] == made[1], "{format}");
    }
}

#[test]
fn annotations_say_what_the_image_is() {
    let at = directory(&[
        ("x.wasm", &dlp()),
        ("build.wasm", &module("proxy_abi_version_0_2_1", Some("meshgate-filter-dlp 1.0.0+7"))),
        ("other-filter.wasm", &module("proxy_abi_version_0_1_0", None)),
        ("probe.wasm", &module("proxy_abi_version_0_2_1", Some("meshgate-probe 1.0.0"))),
    ]);
    let made = |args: &[&str]| {
        let _ = fs::remove_dir_all(at.path().join("to"));
        let ran = meshgate(&[&["image"], args, &["to"]].concat()).current_dir(&at).ran();
        assert_eq!(ran.code, 0, "{}", ran.err);
        let Image { index, mut manifest, config, .. } = image(files(&at.path().join("to")));
        let mut annotations = manifest["annotations"].take();
        annotations.as_object_mut().unwrap().remove("module.wasm.image/variant");
        assert_eq!(annotations, config["config"]["Labels"]);
        (
            annotations,
            index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"].clone(),
            ran.err,
        )
    };
    let named = |names: &[(&str, &str)]| -> Value {
        let long = |(name, value): &(&str, &str)| (format!("org.opencontainers.image.{name}"), json!(value));
        names.iter().map(long).collect::<serde_json::Map<_, _>>().into()
    };

    let (annotations, name, _) = made(&["x.wasm"]);
    assert_eq!((annotations, name), (named(&[("title", "dlp"), ("version", "1.2.3")]), json!("1.2.3")));

    let options = ["--title", "T", "--version", "9", "--revision", "4e0c", "--tag", "stable"];
    let vendor = ["--annotation", "org.opencontainers.image.vendor=a=b"];
    let (annotations, name, err) = made(&[&["x.wasm"], options.as_slice(), &vendor].concat());
    let all = named(&[("title", "T"), ("version", "9"), ("revision", "4e0c"), ("vendor", "a=b")]);
    assert_eq!((annotations, name, err.as_str()), (all, json!("stable"), ""));

    // A tag has no `+`.
    let (annotations, name, _) = made(&["build.wasm"]);
    assert_eq!((annotations, name), (named(&[("title", "dlp"), ("version", "1.0.0+7")]), Value::Null));

    for file in ["other-filter.wasm", "probe.wasm"] {
        let (annotations, name, err) = made(&[file]);
        assert_eq!((annotations, name), (named(&[("title", file.trim_end_matches(".wasm"))]), Value::Null));
        assert_eq!(err, format!("meshgate: warning: {file}: this is not one of Meshgate's filters\n"));
    }
}

#[test]
fn what_no_proxy_loads_becomes_no_image() {
    let cut = dlp();
    let files: [(&str, &[u8]); 7] = [
        ("empty.wasm", b""),
        ("text.wasm", b"(module)"),
        ("packed.wasm", b"\x1f\x8b\x08\0"),
        ("component.wasm", b"\0asm\x0d\0\x01\0"),
        ("future.wasm", b"\0asm\x02\0\0\0"),
        ("cut.wasm", &cut[..cut.len() - 3]),
        ("command.wasm", &module("_start", None)),
    ];
    let at = directory(&files);
    for (name, why) in [
        ("empty.wasm", "this is not WebAssembly\n"),
        ("text.wasm", "this is not WebAssembly\n"),
        ("packed.wasm", "this is not WebAssembly but a compressed file: unpack it first\n"),
        ("component.wasm", "this is a component, and Envoy loads modules: build for wasm32-wasip1\n"),
        ("future.wasm", "this is WebAssembly of a version that Envoy does not load\n"),
        ("cut.wasm", "this module is damaged or cut off: "),
        ("command.wasm", "this is a module, but not one for proxies: it exports no proxy_abi_version_...\n"),
    ] {
        let ran = meshgate(&["image", name, "to"]).current_dir(&at).ran();
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{name}: {}", ran.err);
        assert!(ran.err.starts_with(&format!("meshgate: {name}: {why}")), "{}", ran.err);
    }
    let ran = meshgate(&["image", "none.wasm", "to"]).current_dir(&at).ran();
    assert!(ran.code == 2 && ran.err.starts_with("meshgate: none.wasm: No such file"), "{}", ran.err);
    assert_eq!(fs::read_dir(&at).unwrap().count(), files.len(), "nothing was written");
}

#[test]
fn only_an_image_is_replaced_and_only_if_asked() {
    let other = module("proxy_abi_version_0_2_1", Some("meshgate-filter-dlp 2.0.0"));
    let at = directory(&[("1.wasm", &dlp()), ("2.wasm", &other), ("full/precious.txt", b"precious")]);
    fs::create_dir(at.path().join("empty")).unwrap();
    let run = |args: &[&str]| {
        let ran = meshgate(&[&["image"], args].concat()).current_dir(&at).ran();
        assert_eq!(
            fs::read_dir(&at)
                .unwrap()
                .filter(|file| file.as_ref().unwrap().path().ends_with(".part"))
                .count(),
            0
        );
        (ran.code, ran.err)
    };
    let refused = |to: &str, why: &str| (2, format!("meshgate: {to}: {why}\n"));
    assert_eq!(run(&["1.wasm", "empty/"]).0, 0);
    let (old, tar) = (files(&at.path().join("empty")), at.path().join("image.tar"));
    assert_eq!(
        run(&["2.wasm", "empty"]),
        refused("empty", "there is an image layout already: --force replaces it")
    );
    assert_eq!(files(&at.path().join("empty")), old);
    assert_eq!(run(&["2.wasm", "empty", "--force"]).0, 0);
    assert_ne!(files(&at.path().join("empty")), old);
    for force in [&[][..], &["--force"]] {
        let why = "this directory holds something else than an OCI image layout";
        assert_eq!(run(&[&["1.wasm", "full"], force].concat()), refused("full", why));
    }
    assert_eq!(fs::read(at.path().join("full/precious.txt")).unwrap(), b"precious");
    assert_eq!(run(&["1.wasm", "image.tar"]).0, 0);
    let old = fs::read(&tar).unwrap();
    assert_eq!(
        run(&["2.wasm", "image.tar"]),
        refused("image.tar", "there is a file already: --force replaces it")
    );
    assert_eq!(fs::read(&tar).unwrap(), old);
    assert_eq!(run(&["2.wasm", "image.tar", "--force"]).0, 0);
    assert_eq!(
        image(untar(File::open(&tar).unwrap())).config["config"]["Labels"]["org.opencontainers.image.version"],
        "2.0.0"
    );
    assert_eq!(run(&["1.wasm", "no/such/place"]).0, 2);
}

#[test]
fn arguments_that_no_registry_takes_are_refused() {
    let at = directory(&[("dlp.wasm", &dlp())]);
    let long = "x".repeat(129);
    for args in [
        ["--tag", "a b"],
        ["--tag", "-x"],
        ["--tag", ""],
        ["--tag", &long],
        ["--title", "two\nlines"],
        ["--version", ""],
        ["--annotation", "novalue"],
        ["--annotation", "=x"],
        ["--annotation", "a b=x"],
        ["--format", "zip"],
    ] {
        let ran = meshgate(&[&["image", "dlp.wasm", "to"], args.as_slice()].concat()).current_dir(&at).ran();
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
    }
    assert_eq!(fs::read_dir(&at).unwrap().count(), 1);
}

#[test]
fn digests_are_told_to_people_and_programs() {
    let at = directory(&[("dlp.wasm", &dlp())]);
    let text = meshgate(&["image", "dlp.wasm", "1"]).current_dir(&at).ran();
    let json = meshgate(&["image", "dlp.wasm", "2", "--output", "json"]).current_dir(&at).ran();
    let told: Value = serde_json::from_str(&json.out).unwrap();
    let made = image(files(&at.path().join("2")));
    assert_eq!([&told["path"], &told["format"], &told["name"]], ["2", "oci", "1.2.3"]);
    assert_eq!(told["manifest"], made.index["manifests"][0]);
    assert_eq!(told["config"], made.manifest["config"]);
    assert_eq!(told["layers"], made.manifest["layers"]);
    assert_eq!(told["module"]["digest"], digest(&dlp()));
    assert_eq!(told["annotations"]["org.opencontainers.image.version"], "1.2.3");
    let digests: Vec<_> =
        text.out.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>()).collect();
    let of = |descriptor: &Value| descriptor["digest"].as_str().unwrap().to_owned();
    let (manifest, config, layer) = (of(&told["manifest"]), of(&told["config"]), of(&told["layers"][0]));
    let module = digest(&dlp());
    assert_eq!(
        digests,
        [["manifest:", &manifest], ["config:", &config], ["layer:", &layer], ["module:", &module]]
    );
}

#[test]
fn the_page_shows_what_it_prints() {
    let page = fs::read_to_string(workspace().join("cli/README.md")).unwrap();
    let (command, shown) = page.split_once("$ meshgate image ").unwrap().1.split_once('\n').unwrap();
    let at = directory(&[("dlp.wasm", &dlp())]);
    let args: Vec<_> = ["image"].into_iter().chain(command.split(' ')).collect();
    let ran = meshgate(&args).current_dir(&at).ran();
    let (shown, _) = shown.split_once("```").unwrap();
    let same = |(shown, printed): (&str, &str)| printed.starts_with(shown.strip_suffix("...").unwrap());
    assert_eq!(shown.lines().count(), ran.out.lines().count());
    assert!(shown.lines().zip(ran.out.lines()).all(same), "{}", ran.out);
}
