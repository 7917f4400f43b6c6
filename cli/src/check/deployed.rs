//! Configurations in what deploys them, for a command that runs them as they stand there.

use super::carrier::{self, Content, Found, Variable};
use super::node::{Node, Value};
use super::report::Report;
use super::single::Input;
use super::source::Source;
use super::{Checker, configuration, documents, text};
use crate::filters::Filter;

/// A configuration, and what of its proxy it depends on.
pub struct Deployed {
    pub filter: &'static Filter,
    /// As the module gets it.
    pub configuration: Vec<u8>,
    /// The variables of the VM.
    pub environment: Vec<(String, String)>,
    /// Whether the proxy holds headers while a body is looked at.
    pub holds_headers: bool,
}

/// What is collected of a file.
pub struct Deploying {
    /// The variables that the command line gives.
    given: Vec<(String, String)>,
    all: Vec<Deployed>,
}

/// Reads the configurations in a file, in order, as `check` does: what is wrong is in the report. `None`: the file has none that
/// stand in something else; what it has instead was not looked at.
pub fn deployed(
    input: &Input<'_>,
    filter: Option<&'static Filter>,
    given: &[(String, String)],
    report: &mut Report,
) -> Option<Vec<Deployed>> {
    let source = Source::new(text(input.bytes.clone()).ok()?);
    let is_json = input.path.extension().is_some_and(|extension| extension == "json");
    let mut json = false;
    let all = documents(&source, is_json, &mut json);
    if !all.iter().flatten().any(|document| stands_around(document, json)) {
        return None;
    }
    let mut deploying = Deploying { given: given.to_vec(), all: Vec::new() };
    let deployed = Some(&mut deploying);
    Checker { report, filter, walked: false, good: None, deployed }.file(
        &input.name,
        Some(input.path),
        Ok(input.bytes.clone()),
    );
    Some(deploying.all)
}

/// Whether a document has configurations in it, and is none itself.
fn stands_around(document: &super::yaml::Document, json: bool) -> bool {
    document.root.get("kind").and_then(Node::text) == Some("ConfigMap")
        || matches!(carrier::find(&document.root, json), Content::Carriers(_))
}

impl Deploying {
    /// Gives a configuration the variables that its proxy would have, as far as they are known here.
    pub fn prepare(&self, found: &mut Found) {
        let mut variables = found.environment.take().unwrap_or_default();
        for variable in &mut variables {
            let here = || std::env::var(&variable.name).ok();
            variable.value = variable.value.take().or_else(|| self.given(&variable.name)).or_else(here);
        }
        for (name, value) in &self.given {
            if !variables.iter().any(|variable| variable.name == *name) {
                variables.push(Variable { name: name.clone(), value: Some(value.clone()) });
            }
        }
        found.environment = Some(variables);
    }

    fn given(&self, name: &str) -> Option<String> {
        self.given.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    }

    /// Takes a configuration that is good.
    pub fn add(&mut self, source: &Source, found: &Found, whole: Option<&str>, filter: &'static Filter) {
        let Some(configuration) = configuration::as_deployed(source, found, whole) else { return };
        let variables = found.environment.iter().flatten();
        let environment =
            variables.filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)));
        let says = || configuration::tree(&found.configuration).is_some_and(|root| holds_headers(&root));
        self.all.push(Deployed {
            filter,
            configuration,
            environment: environment.collect(),
            holds_headers: found.holds_headers.unwrap_or_else(says),
        });
    }
}

/// Whether a configuration says that the proxy holds headers.
pub fn holds_headers(root: &Node) -> bool {
    root.get("allow_on_headers_stop_iteration").is_some_and(|node| matches!(node.value, Value::Bool(true)))
}
