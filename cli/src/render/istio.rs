//! `meshgate render istio`: a WasmPlugin, a TrafficExtension or an EnvoyFilter for each filter.

use std::io;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::input::{Input, Link, resource_name};
use super::module::{Module, Modules};
use super::yaml::Map;
use super::{Document, Output, envoyfilter, plugin};

/// Print Istio's WasmPlugin, TrafficExtension or EnvoyFilter
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Istio {
    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    modules: Modules,

    /// The kind of resource
    #[arg(long, short, value_enum, default_value_t)]
    kind: Kind,

    #[command(flatten)]
    pub target: Target,

    /// What happens once the filter's virtual machine has died
    #[arg(long, value_enum, default_value_t)]
    fail_strategy: FailStrategy,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  meshgate render istio quota.yaml --url oci://r.example.com/api-key-quota:0.1.0 | kubectl apply -f -
  meshgate render istio error-response.yaml quota.yaml dlp.yaml --kind trafficextension \\
      --url oci://r.example.com/{filter}:0.1.0 --output istio/
  meshgate render istio dlp.yaml --url file:///var/lib/{module}.wasm --target-ref Gateway/public

Several filters are put in order by phase and priority: error-response first, then api-key-quota, dlp,
transform. A configuration with allow_on_headers_stop_iteration needs --kind envoyfilter.";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Istio 1.12 and later
    #[default]
    Wasmplugin,
    /// Istio 1.30 and later, where it takes the place of WasmPlugin
    Trafficextension,
    /// Where the others can't say what is needed
    Envoyfilter,
}

/// As Istio names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FailStrategy {
    /// A new one is made after a second or two; until then 503. Istio 1.27 and later
    #[default]
    #[value(name = "FAIL_RELOAD")]
    Reload,
    /// 503 until the configuration changes
    #[value(name = "FAIL_CLOSE")]
    Close,
    /// Requests pass without the filter, keys and limits among it
    #[value(name = "FAIL_OPEN")]
    Open,
}

impl FailStrategy {
    pub fn of_istio(self) -> &'static str {
        match self {
            Self::Reload => plugin::FAIL_RELOAD,
            Self::Close => "FAIL_CLOSE",
            Self::Open => "FAIL_OPEN",
        }
    }
}

/// What the resources are called, and which proxies they are for.
#[derive(Args, Debug)]
pub struct Target {
    /// The name of the resource, or the beginning of the names of several: that of the filter
    #[arg(long, value_name = "NAME", value_parser = resource_name)]
    name: Option<String>,

    /// The namespace
    #[arg(long, short, default_value = "istio-system", value_parser = resource_name)]
    pub namespace: String,

    /// Labels of the proxies [default: istio=ingressgateway]
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label, conflicts_with = "target_ref")]
    selector: Vec<(String, String)>,

    /// What it is attached to, in place of labels: Gateway/NAME, Service/NAME, ServiceEntry/NAME or GatewayClass/NAME
    #[arg(long, value_name = "KIND/NAME", value_parser = target_ref)]
    target_ref: Vec<TargetRef>,

    /// For the proxies beside workloads: what they receive, and not what they send
    #[arg(long)]
    pub sidecar: bool,
}

#[derive(Clone, Debug)]
pub struct TargetRef {
    group: &'static str,
    kind: &'static str,
    name: String,
}

impl Istio {
    /// Runs the command.
    ///
    /// # Errors
    /// Something could not be written, or the options do not go together.
    pub fn run(self) -> io::Result<ExitCode> {
        let mut chain = self.input.read();
        if self.kind != Kind::Envoyfilter {
            chain.refuse_held_headers(
                "WasmPlugin and TrafficExtension have no field for it: add --kind envoyfilter",
            );
        }
        let links = match chain.finish()? {
            Ok(links) => links,
            Err(status) => return Ok(status),
        };
        let modules = self.modules.of(&links)?;
        let mut documents = Vec::new();
        for (link, module) in links.iter().zip(&modules) {
            let yaml = match self.kind {
                Kind::Wasmplugin => self.wasm_plugin(link, module, links.len()),
                Kind::Trafficextension => self.traffic_extension(link, module, links.len()),
                Kind::Envoyfilter => {
                    let name = self.target.name(link, links.len());
                    envoyfilter::render(&self.target, name, link, module, self.fail_strategy)?
                }
            };
            documents.push(Document { name: self.target.name(link, links.len()), yaml: yaml.into() });
        }
        self.output.write(&documents)?;
        Ok(ExitCode::SUCCESS)
    }

    fn wasm_plugin(&self, link: &Link, module: &Module, of: usize) -> Map {
        let spec = self.target.select("selector", "matchLabels").with("url", module.url.as_str());
        let spec = self.wasm(spec, link, module);
        let spec = self.place(spec, link);
        let spec = configure(spec, link);
        self.target.resource("extensions.istio.io/v1alpha1", "WasmPlugin", self.target.name(link, of), spec)
    }

    fn traffic_extension(&self, link: &Link, module: &Module, of: usize) -> Map {
        let wasm = configure(self.wasm(Map::new().with("url", module.url.as_str()), link, module), link);
        let spec = self.place(self.target.select("selector", "matchLabels"), link).with("wasm", wasm);
        self.target.resource(
            "extensions.istio.io/v1alpha1",
            "TrafficExtension",
            self.target.name(link, of),
            spec,
        )
    }

    /// The fields that both kinds have beside the module.
    fn wasm(&self, spec: Map, link: &Link, module: &Module) -> Map {
        spec.with_some("sha256", module.sha256.as_deref())
            .with_some("imagePullSecret", module.pull_secret.as_deref())
            .with("pluginName", link.name.as_str())
            .with("failStrategy", self.fail_strategy.of_istio())
    }

    fn place(&self, spec: Map, link: &Link) -> Map {
        let place = link.placement;
        let spec = match place.phase {
            Some(phase) => spec.with_comment(place.why, "phase", phase).with("priority", place.priority),
            None => spec.with_comment(place.why, "priority", place.priority),
        };
        if self.target.sidecar { spec.with("match", vec![Map::new().with("mode", "SERVER")]) } else { spec }
    }
}

/// The environment and the configuration, the longest part, at the end.
fn configure(spec: Map, link: &Link) -> Map {
    let variable = |name: &String| Map::new().with("name", name.as_str()).with("valueFrom", "HOST");
    let variables: Vec<_> = link.config.variables.iter().map(variable).collect();
    let vm = (!variables.is_empty()).then(|| Map::new().with("env", variables));
    spec.with_some("vmConfig", vm).with_some("pluginConfig", plugin::structure(link))
}

impl Target {
    /// What the resource of a filter is called.
    pub fn name(&self, link: &Link, of: usize) -> String {
        match &self.name {
            Some(name) if of == 1 => name.clone(),
            Some(name) => format!("{name}-{}", link.name),
            None => link.name.clone(),
        }
    }

    /// The name that was asked for.
    pub fn chosen_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Which listeners of a proxy, in an EnvoyFilter.
    pub fn context(&self) -> &'static str {
        if self.sidecar { "SIDECAR_INBOUND" } else { "GATEWAY" }
    }

    /// A specification that begins with the proxies that it is for.
    pub fn select(&self, selector: &str, labels: &str) -> Map {
        if !self.target_ref.is_empty() {
            let target = |target: &TargetRef| {
                Map::new()
                    .with("group", target.group)
                    .with("kind", target.kind)
                    .with("name", target.name.as_str())
            };
            return Map::new().with("targetRefs", self.target_ref.iter().map(target).collect::<Vec<_>>());
        }
        let default = [("istio".to_owned(), "ingressgateway".to_owned())];
        let chosen = if self.selector.is_empty() { &default[..] } else { &self.selector };
        let chosen =
            chosen.iter().fold(Map::new(), |map, (key, value)| map.with(key.as_str(), value.as_str()));
        Map::new().with(selector, Map::new().with(labels, chosen))
    }

    pub fn resource(&self, api: &str, kind: &str, name: String, spec: Map) -> Map {
        let metadata = Map::new().with("name", name).with("namespace", self.namespace.as_str());
        Map::new().with("apiVersion", api).with("kind", kind).with("metadata", metadata).with("spec", spec)
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let part = |text: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        text.len() <= 317 && text.bytes().all(inside)
    };
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && part(key) && part(value) && value.len() <= 63 => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("expected a label such as istio=ingressgateway".to_owned()),
    }
}

fn target_ref(text: &str) -> Result<TargetRef, String> {
    const KINDS: [(&str, &str); 4] = [
        ("Gateway", "gateway.networking.k8s.io"),
        ("GatewayClass", "gateway.networking.k8s.io"),
        ("Service", ""),
        ("ServiceEntry", "networking.istio.io"),
    ];
    let (kind, name) = text.split_once('/').unwrap_or(("Gateway", text));
    let known = KINDS.iter().find(|(known, _)| *known == kind);
    let (kind, group) =
        known.ok_or("expected Gateway, GatewayClass, Service or ServiceEntry, / and a name")?;
    Ok(TargetRef { group, kind, name: resource_name(name)? })
}
