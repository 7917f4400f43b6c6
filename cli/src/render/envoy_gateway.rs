//! `meshgate render envoy-gateway`: one EnvoyExtensionPolicy with all filters.

use std::io;
use std::process::ExitCode;

use clap::Args;

use super::input::{Input, Link, resource_name};
use super::module::{Module, Modules, Scheme};
use super::yaml::Map;
use super::{Document, Output, plugin, refused};

/// Print Envoy Gateway's EnvoyExtensionPolicy
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EnvoyGateway {
    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    modules: Modules,

    /// The name of the policy [default: the filter's, or meshgate for several]
    #[arg(long, value_name = "NAME", value_parser = resource_name)]
    name: Option<String>,

    /// The namespace: that of what it is attached to
    #[arg(long, short, default_value = "default", value_parser = resource_name)]
    namespace: String,

    /// What it is attached to: Gateway/NAME, HTTPRoute/NAME or GRPCRoute/NAME
    #[arg(long, value_name = "KIND/NAME", required = true, value_parser = target_ref)]
    target_ref: Vec<(&'static str, String)>,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  meshgate render envoy-gateway quota.yaml --target-ref Gateway/public \\
      --url oci://r.example.com/api-key-quota:0.1.0 | kubectl apply -f -
  meshgate render envoy-gateway error-response.yaml quota.yaml --target-ref HTTPRoute/orders \\
      --url oci://r.example.com/{filter}:0.1.0 --image-pull-secret registry

Of a Gateway or a route one policy is in force, so it has all filters in it, in their order.";

impl EnvoyGateway {
    /// Runs the command.
    ///
    /// # Errors
    /// Something could not be written, or the options do not go together.
    pub fn run(self) -> io::Result<ExitCode> {
        let mut chain = self.input.read();
        chain.refuse_held_headers(
            "EnvoyExtensionPolicy has no field for it: take what does not need it, or an EnvoyPatchPolicy of your own",
        );
        let links = match chain.finish()? {
            Ok(links) => links,
            Err(status) => return Ok(status),
        };
        let modules = self.modules.of(&links)?;
        let wasm = links.iter().zip(&modules).map(|(link, module)| wasm(link, module));
        let wasm = wasm.collect::<io::Result<Vec<_>>>()?;
        let target = |(kind, name): &(&str, String)| {
            Map::new()
                .with("group", "gateway.networking.k8s.io")
                .with("kind", *kind)
                .with("name", name.as_str())
        };
        let spec = Map::new()
            .with("targetRefs", self.target_ref.iter().map(target).collect::<Vec<_>>())
            .with_comment(
                "Requests pass them from the first to the last, responses the other way round.",
                "wasm",
                wasm,
            );
        let name = match (&self.name, links.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [link]) => link.name.clone(),
            (None, _) => "meshgate".to_owned(),
        };
        let metadata = Map::new().with("name", name.as_str()).with("namespace", self.namespace.as_str());
        let policy = Map::new()
            .with("apiVersion", "gateway.envoyproxy.io/v1alpha1")
            .with("kind", "EnvoyExtensionPolicy")
            .with("metadata", metadata)
            .with("spec", spec);
        self.output.write(&[Document { name, yaml: policy.into() }])?;
        Ok(ExitCode::SUCCESS)
    }
}

fn wasm(link: &Link, module: &Module) -> io::Result<Map> {
    let code = match module.scheme {
        Scheme::File => {
            return Err(refused(
                "Envoy Gateway loads modules from oci:// and https:// only, not from file://",
            ));
        }
        Scheme::Oci => {
            let secret = module.pull_secret.as_deref().map(|name| Map::new().with("name", name));
            let image = Map::new()
                .with("url", module.url.strip_prefix("oci://").unwrap_or(&module.url))
                .with_some("sha256", module.sha256.as_deref())
                .with_some("pullSecretRef", secret);
            Map::new().with("type", "Image").with("image", image)
        }
        Scheme::Http => {
            let http =
                Map::new().with("url", module.url.as_str()).with_some("sha256", module.sha256.as_deref());
            Map::new().with("type", "HTTP").with("http", http)
        }
    };
    let variables = (!link.config.variables.is_empty())
        .then(|| Map::new().with("hostKeys", link.config.variables.clone()));
    Ok(Map::new()
        .with("name", link.name.as_str())
        .with("code", code)
        .with_comment("Without an answer of the filter there is none of the service.", "failOpen", false)
        .with_some("env", variables)
        .with_some("config", plugin::structure(link)))
}

fn target_ref(text: &str) -> Result<(&'static str, String), String> {
    const KINDS: [&str; 3] = ["Gateway", "HTTPRoute", "GRPCRoute"];
    let (kind, name) = text.split_once('/').unwrap_or(("Gateway", text));
    let kind = KINDS.into_iter().find(|known| *known == kind);
    Ok((kind.ok_or("expected Gateway, HTTPRoute or GRPCRoute, / and a name")?, resource_name(name)?))
}
