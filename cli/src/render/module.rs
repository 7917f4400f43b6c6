//! Where proxies load the modules from.

use std::collections::HashMap;
use std::io;

use clap::Args;

use super::input::Link;
use super::refused;

/// Where the modules are.
#[derive(Args, Debug)]
pub struct Modules {
    /// The module: oci://, https://, http:// or file://; with {filter} or {module} for the name of each filter
    /// (api-key-quota, api_key_quota)
    #[arg(long, value_name = "URL")]
    url: String,

    /// What the module must be: for oci the digest of the manifest, else that of the file; of several filters each as
    /// FILTER=DIGEST
    #[arg(long, value_name = "[FILTER=]DIGEST", value_parser = digest)]
    sha256: Vec<Digest>,

    /// The secret with the credentials for the registry, in the same namespace
    #[arg(long, value_name = "NAME", value_parser = super::input::resource_name)]
    image_pull_secret: Option<String>,
}

/// `--sha256`
#[derive(Clone, Debug)]
struct Digest {
    filter: Option<String>,
    hex: String,
}

/// The module of one filter.
pub struct Module {
    pub url: String,
    pub scheme: Scheme,
    pub sha256: Option<String>,
    pub pull_secret: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Oci,
    Http,
    File,
}

impl Modules {
    /// The module of each filter of a chain.
    ///
    /// # Errors
    /// The options do not go together, or not with the chain.
    pub fn of(&self, links: &[Link]) -> io::Result<Vec<Module>> {
        let scheme = match self.url.split_once("://").map(|(scheme, _)| scheme) {
            Some("oci") => Scheme::Oci,
            Some("http" | "https") => Scheme::Http,
            Some("file") => Scheme::File,
            _ => {
                return Err(refused(format!(
                    "--url {}: expected oci://, https://, http:// or file://",
                    self.url
                )));
            }
        };
        let mut names: Vec<_> = links.iter().map(|link| link.config.filter.name).collect();
        names.dedup();
        if names.len() > 1 && !self.url.contains("{filter}") && !self.url.contains("{module}") {
            return Err(refused(format!(
                "--url {}: these are several filters, each with a module of its own: put {{filter}} or {{module}} where the \
                 name stands, such as oci://registry.example.com/meshgate/{{filter}}:0.1.0",
                self.url
            )));
        }
        if scheme != Scheme::Oci && self.image_pull_secret.is_some() {
            return Err(refused("--image-pull-secret is for modules in a registry: --url oci://..."));
        }
        if scheme == Scheme::File && !self.sha256.is_empty() {
            return Err(refused("--sha256: nobody checks the digest of a file:// module; leave it out"));
        }
        let digests = self.digests(&names)?;
        let module = |link: &Link| {
            let name = link.config.filter.name;
            Module {
                url: self.url.replace("{filter}", name).replace("{module}", &name.replace('-', "_")),
                scheme,
                sha256: digests.get(name).cloned(),
                pull_secret: self.image_pull_secret.clone(),
            }
        };
        Ok(links.iter().map(module).collect())
    }

    fn digests(&self, names: &[&str]) -> io::Result<HashMap<String, String>> {
        let mut digests = HashMap::new();
        for Digest { filter, hex } in &self.sha256 {
            let name = match (filter, names) {
                (Some(name), _) if names.contains(&name.as_str()) => name.clone(),
                (Some(name), _) => {
                    return Err(refused(format!("--sha256 {name}=...: there is no {name} in the input")));
                }
                (None, [name]) => (*name).to_owned(),
                (None, _) => {
                    return Err(refused("--sha256: of several filters each has its own: --sha256 dlp=..."));
                }
            };
            if digests.insert(name.clone(), hex.clone()).is_some() {
                return Err(refused(format!("--sha256: two digests for {name}")));
            }
        }
        Ok(digests)
    }
}

fn digest(text: &str) -> Result<Digest, String> {
    let (filter, hex) = match text.split_once('=') {
        Some((filter, hex)) => (Some(filter.to_owned()), hex),
        None => (None, text),
    };
    let hex = hex.strip_prefix("sha256:").unwrap_or(hex).to_ascii_lowercase();
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("expected 64 hexadecimal digits".to_owned());
    }
    Ok(Digest { filter, hex })
}
