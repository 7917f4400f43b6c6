//! Where configurations are found: in documents of their own, and in what deploys a filter.

use std::rc::Rc;

use meshgate_policy::config::{ConfigError, Path};

use super::node::{Fault, Node, Value, Walk};

/// A configuration that was found, or a Wasm filter without one.
pub struct Found {
    /// What it stands in: `WasmPlugin istio-ingress/quota`, or nothing for a document of its own.
    pub carrier: Option<String>,
    /// Where that begins.
    pub at: usize,
    /// The names of the module, of its image and of the plugin: the first that is one of ours tells the filter.
    pub names: Vec<String>,
    pub configuration: Configuration,
    /// The environment of the VM; `None` where nothing says what it will be.
    pub environment: Option<Vec<Variable>>,
    /// Envoy itself reads the file, as YAML: it has no merge keys, and its own mind about numbers.
    pub is_envoy: bool,
    /// Whether the proxy holds headers while a body is looked at; `None` where nothing says so.
    pub holds_headers: Option<bool>,
    /// What is wrong around the configuration.
    pub faults: Vec<Fault>,
}

pub enum Configuration {
    Missing,
    /// The values of the file itself.
    Tree(Rc<Node>),
    /// JSON in a string.
    Json(Rc<Node>),
    /// JSON in base64.
    Base64(Rc<Node>),
}

impl Configuration {
    /// Its value in the file.
    pub fn root(&self) -> Option<Rc<Node>> {
        match self {
            Self::Missing => None,
            Self::Tree(node) | Self::Json(node) | Self::Base64(node) => Some(Rc::clone(node)),
        }
    }
}

/// An environment variable of the VM.
pub struct Variable {
    pub name: String,
    /// `None`: that of the proxy.
    pub value: Option<String>,
}

/// What a document is.
pub enum Content {
    /// Something in which Wasm filters stand, or could.
    Carriers(Vec<Found>),
    /// A configuration of a filter, or something else.
    Bare(Found),
}

/// Looks for configurations in a document of YAML or JSON.
pub fn find(root: &Rc<Node>, json: bool) -> Content {
    let mut found = Vec::new();
    let is_kubernetes = root.get("apiVersion").is_some() && root.get("kind").is_some();
    if is_kubernetes {
        resource(root, &Path::root(), &mut found);
    } else {
        wasm_filters(root, &Path::root(), !json, "", &mut found);
        const OF_ENVOY: [&str; 8] = [
            "@type",
            "static_resources",
            "staticResources",
            "dynamic_resources",
            "dynamicResources",
            "resources",
            "admin",
            "node",
        ];
        if found.is_empty() && root.is_object() && !OF_ENVOY.iter().any(|key| root.get(key).is_some()) {
            let configuration = Configuration::Tree(Rc::clone(root));
            return Content::Bare(Found { configuration, ..Found::new(root.at) });
        }
    }
    Content::Carriers(found)
}

impl Found {
    fn new(at: usize) -> Self {
        Self {
            carrier: None,
            at,
            names: Vec::new(),
            configuration: Configuration::Missing,
            environment: None,
            is_envoy: false,
            holds_headers: None,
            faults: Vec::new(),
        }
    }

    fn name(&mut self, node: Option<&Node>) {
        self.names.extend(node.and_then(Node::text).map(str::to_owned));
    }

    /// Notes keys that an object must not have: one of them may be the configuration under a wrong name.
    fn check_keys(&mut self, object: &Node, path: &Path, known: &[&str]) {
        for entry in object.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let error = ConfigError::unknown(path, &entry.key, known.iter().copied());
            self.faults.push(Fault { at: entry.at, error });
        }
    }
}

/// A resource of Kubernetes, or a list of them.
fn resource(root: &Rc<Node>, path: &Path, found: &mut Vec<Found>) {
    let kind = root.get("kind").and_then(Node::text).unwrap_or_default();
    let name = |key| root.under(&["metadata", key]).and_then(Node::text);
    let label = match (name("namespace"), name("name")) {
        (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        (_, name) => format!("{kind} {}", name.unwrap_or("without a name")),
    };
    let spec_path = path.key("spec");
    let spec = root.get("spec");
    match (kind, spec) {
        ("WasmPlugin", Some(spec)) => {
            let mut plugin = istio(spec, &spec_path, label, &[ISTIO_WASM, ISTIO_PLUGIN].concat());
            plugin.name(root.under(&["metadata", "name"]));
            found.push(plugin);
        }
        ("TrafficExtension", Some(spec)) => {
            // The other kind of extension is Lua.
            let Some(wasm) = spec.get("wasm") else { return };
            let mut plugin = istio(wasm, &spec_path.key("wasm"), label, ISTIO_WASM);
            plugin.check_keys(spec, &spec_path, ISTIO_EXTENSION);
            plugin.name(root.under(&["metadata", "name"]));
            found.push(plugin);
        }
        ("EnvoyExtensionPolicy", Some(spec)) => {
            let path = spec_path.key("wasm");
            for (index, wasm) in spec.get("wasm").map_or(&[][..], Node::items).iter().enumerate() {
                found.push(envoy_gateway(wasm, &path.index(index), &label));
            }
        }
        _ if kind.ends_with("List") => {
            let path = path.key("items");
            for (index, item) in root.get("items").map_or(&[][..], Node::items).iter().enumerate() {
                resource(item, &path.index(index), found);
            }
        }
        _ => wasm_filters(root, path, false, &label, found),
    }
}

// As in the CRDs of Istio 1.31 and Envoy Gateway 1.9: a test compares them.
const ISTIO_WASM: &[&str] = &[
    "url",
    "sha256",
    "imagePullPolicy",
    "imagePullSecret",
    "verificationKey",
    "pluginConfig",
    "pluginName",
    "failStrategy",
    "vmConfig",
    "type",
];
const ISTIO_PLUGIN: &[&str] = &["selector", "targetRef", "targetRefs", "phase", "priority", "match"];
const ISTIO_EXTENSION: &[&str] = &["selector", "targetRefs", "phase", "priority", "match", "wasm", "lua"];
const ENVOY_GATEWAY_WASM: &[&str] = &["name", "rootID", "code", "config", "failOpen", "env"];
const PLUGIN_CONFIG: &[&str] = &[
    "name",
    "root_id",
    "rootId",
    "vm_config",
    "vmConfig",
    "configuration",
    "fail_open",
    "failOpen",
    "failure_policy",
    "failurePolicy",
    "reload_config",
    "reloadConfig",
    "capability_restriction_config",
    "capabilityRestrictionConfig",
    "allow_on_headers_stop_iteration",
    "allowOnHeadersStopIteration",
];

/// `spec` of a WasmPlugin, `spec.wasm` of a TrafficExtension.
fn istio(wasm: &Node, path: &Path, label: String, known: &[&str]) -> Found {
    let mut found = Found { carrier: Some(label), ..Found::new(wasm.at) };
    found.check_keys(wasm, path, known);
    // Neither has a field for it.
    found.holds_headers = Some(false);
    found.name(wasm.get("url"));
    found.name(wasm.get("pluginName"));
    if let Some(config) = child(wasm, "pluginConfig") {
        found.configure(config, &path.key("pluginConfig"));
    }
    let env = wasm.under(&["vmConfig", "env"]).map_or(&[][..], Node::items);
    let variable = |node: &Rc<Node>| {
        let name = node.get("name").and_then(Node::text)?.to_owned();
        let host = node.get("valueFrom").and_then(Node::text) == Some("HOST");
        let value = node.get("value").and_then(Node::text).unwrap_or_default();
        Some(Variable { name, value: (!host).then(|| value.to_owned()) })
    };
    found.environment = Some(env.iter().filter_map(variable).collect());
    found
}

fn envoy_gateway(wasm: &Node, path: &Path, label: &str) -> Found {
    let mut found = Found { carrier: Some(label.to_owned()), ..Found::new(wasm.at) };
    found.check_keys(wasm, path, ENVOY_GATEWAY_WASM);
    found.holds_headers = Some(false);
    found.name(wasm.under(&["code", "image", "url"]));
    found.name(wasm.under(&["code", "http", "url"]));
    found.name(wasm.get("name"));
    found.name(wasm.get("rootID"));
    if let Some(config) = child(wasm, "config") {
        found.configure(config, &path.key("config"));
    }
    let keys = wasm.under(&["env", "hostKeys"]).map_or(&[][..], Node::items);
    found.environment = Some(keys.iter().filter_map(|key| variable_of_proxy(key)).collect());
    found
}

fn variable_of_proxy(name: &Node) -> Option<Variable> {
    name.text().map(|name| Variable { name: name.to_owned(), value: None })
}

/// All Wasm filters in a configuration of Envoy, at any depth: typed, or in a `TypedStruct`.
fn wasm_filters(root: &Rc<Node>, path: &Path, is_envoy: bool, label: &str, found: &mut Vec<Found>) {
    const WASM: &str = "/envoy.extensions.filters.http.wasm.v3.Wasm";
    root.walk(path, &mut |node, path| {
        let type_of = |keys| node.any_of(keys).and_then(Node::text).unwrap_or_default();
        let of_any = type_of(["@type", "@type"]);
        let (wasm, path) = if of_any.ends_with(WASM) {
            (Some(node), path.clone())
        } else if of_any.ends_with(".TypedStruct") && type_of(["type_url", "typeUrl"]).ends_with(WASM) {
            (node.get("value"), path.key("value"))
        } else {
            return Walk::Into;
        };
        let plugin = wasm.and_then(|wasm| wasm.get("config"));
        let mut filter = match plugin {
            Some(plugin) => envoy_plugin(plugin, &path.key("config")),
            None => Found::new(node.at),
        };
        let name = filter.names.last().map_or("without a name", String::as_str);
        let comma = if label.is_empty() { "" } else { ", " };
        filter.carrier = Some(format!("{label}{comma}Wasm filter {name}"));
        filter.is_envoy = is_envoy;
        found.push(filter);
        Walk::Over
    });
}

/// An `envoy.extensions.wasm.v3.PluginConfig`.
fn envoy_plugin(plugin: &Node, path: &Path) -> Found {
    let mut found = Found::new(plugin.at);
    found.check_keys(plugin, path, PLUGIN_CONFIG);
    let holds = plugin.any_of(["allow_on_headers_stop_iteration", "allowOnHeadersStopIteration"]);
    // A BoolValue: in YAML and JSON it is the value alone.
    found.holds_headers = Some(holds.is_some_and(|holds| matches!(holds.value, Value::Bool(true))));
    let vm = plugin.any_of(["vm_config", "vmConfig"]);
    let code = vm.and_then(|vm| vm.get("code"));
    found.name(code.and_then(|code| code.under(&["local", "filename"])));
    let remote = code.and_then(|code| code.get("remote"));
    let uri = remote.and_then(|remote| remote.any_of(["http_uri", "httpUri"]));
    found.name(uri.and_then(|uri| uri.get("uri")));
    found.name(plugin.any_of(["root_id", "rootId"]));
    found.name(plugin.get("name"));
    if let Some(any) = child(plugin, "configuration") {
        found.any(any, &path.key("configuration"));
    }
    let variables = vm.and_then(|vm| vm.any_of(["environment_variables", "environmentVariables"]));
    let lists = |keys| variables.and_then(|node| node.any_of(keys));
    let host = lists(["host_env_keys", "hostEnvKeys"]).map_or(&[][..], Node::items);
    let values = lists(["key_values", "keyValues"]).map_or(&[][..], Node::entries);
    let value = |node: &Node| node.text().unwrap_or_default().to_owned();
    let given =
        values.iter().map(|entry| Variable { name: entry.key.clone(), value: Some(value(&entry.value)) });
    found.environment = Some(host.iter().filter_map(|key| variable_of_proxy(key)).chain(given).collect());
    found
}

impl Found {
    /// Takes a configuration in a field of a resource.
    fn configure(&mut self, config: Rc<Node>, path: &Path) {
        if config.is_object() {
            self.configuration = Configuration::Tree(config);
            return;
        }
        let error = ConfigError::at(path).found(config.kind()).expected("an object");
        let text = config.text().is_some_and(|text| text.trim_start().starts_with('{'));
        let error = if text {
            error.hint("write the configuration itself, not a string that holds it")
        } else {
            error
        };
        self.faults.push(Fault { at: config.at, error });
    }

    /// Takes a `google.protobuf.Any`.
    fn any(&mut self, any: Rc<Node>, path: &Path) {
        const TYPES: &str =
            "type.googleapis.com/google.protobuf.StringValue with JSON in its value, or Struct";
        let fault = |error, at| Fault { at, error };
        let Some(typed) = any.get("@type") else {
            let error = ConfigError::at(path).problem("missing field \"@type\"").expected(TYPES);
            return self.faults.push(fault(error, any.at));
        };
        let name = typed.text().unwrap_or_default();
        let kind = name.rsplit('/').next().unwrap_or_default().strip_prefix("google.protobuf.");
        let (takes_text, wrap): (bool, fn(Rc<Node>) -> Configuration) = match kind {
            Some("StringValue") => (true, Configuration::Json),
            Some("BytesValue") => (true, Configuration::Base64),
            Some("Struct") => (false, Configuration::Tree),
            _ => {
                let error = ConfigError::at(path.key("@type")).value(name).expected(TYPES);
                return self.faults.push(fault(error, typed.at));
            }
        };
        let Some(value) = child(&any, "value") else {
            // A message without fields is the empty one, whatever else stands there.
            if any.entries().len() > 1 {
                let error = ConfigError::at(path).problem("missing field \"value\"");
                let error = error.hint("the configuration stands in `value`, beside `@type`");
                self.faults.push(fault(error, any.at));
            }
            return;
        };
        let fits = if takes_text { value.text().is_some() } else { value.is_object() };
        if fits {
            self.configuration = wrap(value);
            return;
        }
        let path = path.key("value");
        let error = ConfigError::at(path).found(value.kind());
        let error = if takes_text {
            error
                .expected("a string that holds JSON")
                .hint("write `value: |` and JSON below, or take google.protobuf.Struct")
        } else {
            error.expected("an object").hint("with JSON in a string the type is google.protobuf.StringValue")
        };
        self.faults.push(fault(error, value.at));
    }
}

/// The value of a key, to be kept.
fn child(node: &Node, key: &str) -> Option<Rc<Node>> {
    node.entries().iter().find(|entry| entry.key == key).map(|entry| Rc::clone(&entry.value))
}
