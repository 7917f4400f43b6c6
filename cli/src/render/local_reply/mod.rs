//! `meshgate render local-reply`: the error rules of an error-response configuration as Envoy's `local_reply_config`.
//!
//! The filter sees what Envoy answers once the request has passed it. What Envoy answers before, to a request that is
//! malformed or that a filter in front turns away, only Envoy itself can word (`Errors::Unseen`). The same rules can word all
//! that Envoy answers, where there is no filter at all (`Errors::All`).
//!
//! Envoy takes the first mapper that holds, as the filter takes the first rule. A rule that does not say itself what kind of
//! problem it is becomes a mapper for each kind of the catalogue that it may be about. What was given a form before, by a
//! filter or a service, has a `content-type` by then, and no mapper is for it.

mod body;
mod matching;

use std::io;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use meshgate_errors::{KINDS, Kind};
use meshgate_policy::config::{ConfigError, Path};

use self::body::{Problem as Wording, Settings};
use self::matching::Filter;
use super::input::Input;
use super::istio::Target;
use super::yaml::Map;
use super::{Document, Output, refused};
use crate::check::{Fault, Good, Node, NodeValue, Problem, Severity};

/// Print the rules of an error-response configuration as Envoy's local_reply_config
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct LocalReply {
    #[command(flatten)]
    input: Input,

    /// Which errors
    #[arg(long, value_enum, default_value_t)]
    errors: Errors,

    /// What is printed
    #[arg(long, value_enum, default_value_t)]
    form: Form,

    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  meshgate render local-reply error-response.yaml                    beside the filter
  meshgate render local-reply error-response.yaml --errors all       without it
  meshgate render local-reply error-response.yaml --form envoyfilter | kubectl apply -f -

It stands in Envoy's HTTP connection manager. What Envoy has no means for is named on the standard
error: rules with `when`, templates other than simple ones, the client's choice of a form.";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Errors {
    /// Those that the filter does not see: requests that Envoy refuses before any filter has them
    #[default]
    Unseen,
    /// All that Envoy answers, where the filter is not used
    All,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The local_reply_config
    #[default]
    Config,
    /// Istio's EnvoyFilter that sets it; --name, --namespace, --selector and --target-ref are for this one
    Envoyfilter,
}

impl LocalReply {
    /// Runs the command.
    ///
    /// # Errors
    /// Something could not be written, or the input is another filter's.
    pub fn run(self) -> io::Result<ExitCode> {
        let mut chain = self.input.read();
        let mut rendered = Vec::new();
        for link in &chain.links {
            let good = &link.config;
            if good.filter.name != "error-response" {
                return Err(refused(format!("{}: expected a configuration of error-response", good.name)));
            }
            let (config, faults) = config(good, self.errors);
            for (severity, fault) in faults {
                let mut problem = Problem::new(&good.name, &good.source, fault);
                (problem.severity, problem.filter) = (severity, Some(good.filter.name));
                chain.report.add(problem);
            }
            rendered.push(config);
        }
        chain.report.write_problems(&mut anstream::stderr().lock(), true)?;
        let [config] = rendered.as_slice() else {
            if chain.report.is_good() {
                return Err(refused(
                    "several configurations, expected one: a connection manager has one local_reply_config",
                ));
            }
            return Ok(chain.report.exit_code(false));
        };
        if !chain.report.is_good() {
            return Ok(chain.report.exit_code(false));
        }
        let yaml = match self.form {
            Form::Config => Map::new().with("local_reply_config", config.clone()),
            Form::Envoyfilter => self.envoy_filter(config.clone()),
        };
        let name = self.target.chosen_name().unwrap_or("local-reply").to_owned();
        self.output.write(&[Document { name, yaml: yaml.into() }])?;
        Ok(ExitCode::SUCCESS)
    }

    fn envoy_filter(&self, config: Map) -> Map {
        const MANAGER: &str = "envoy.filters.network.http_connection_manager";
        let filter = Map::new().with("filter", Map::new().with("name", MANAGER));
        let listener = Map::new().with("filterChain", filter);
        let matches = Map::new().with("context", self.target.context()).with("listener", listener);
        let manager = Map::new()
            .with(
                "@type",
                "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            )
            .with("local_reply_config", config);
        let value = Map::new().with("typed_config", manager);
        let patch = Map::new().with("operation", "MERGE").with("value", value);
        let patch = Map::new().with("applyTo", "NETWORK_FILTER").with("match", matches).with("patch", patch);
        let spec = self.target.select("workloadSelector", "labels").with("configPatches", vec![patch]);
        let name = self.target.chosen_name().unwrap_or("local-reply").to_owned();
        self.target.resource("networking.istio.io/v1alpha3", "EnvoyFilter", name, spec)
    }
}

/// The `local_reply_config`, and what could not be put into it.
pub fn config(good: &Good, errors: Errors) -> (Map, Vec<(Severity, Fault)>) {
    let root = &good.root;
    let mut renderer =
        Renderer { errors, settings: Settings::of(root), mappers: Vec::new(), faults: Vec::new() };
    renderer.settings_that_are_lost(root);
    let rules = Path::root().key("rules");
    for (index, rule) in root.get("rules").map_or(&[][..], Node::items).iter().enumerate() {
        renderer.rule(rule, &rules.index(index));
    }
    let replaces = root.get("gateway_errors").and_then(Node::text) != Some("pass");
    if replaces {
        renderer.catalogue();
    }
    let Renderer { mappers, faults, .. } = renderer;
    (Map::new().with("mappers", mappers), faults)
}

struct Renderer {
    errors: Errors,
    settings: Settings,
    mappers: Vec<Map>,
    faults: Vec<(Severity, Fault)>,
}

impl Renderer {
    fn rule(&mut self, rule: &Node, path: &Path) {
        if let Some(when) = rule.get("when") {
            self.warn(
                when,
                &path.key("when"),
                "a condition, which Envoy can't ask here: the rule is left out",
            );
            return;
        }
        let matches = rule.get("match");
        let filter = match matches
            .map_or_else(|| Ok(Filter::default()), |node| matching::filter(node, &path.key("match")))
        {
            Ok(filter) => filter,
            Err(lost) => return self.lost(lost),
        };
        if filter.never {
            let at = matches.map_or(rule.at, |node| node.at);
            return self.note(
                at,
                &path.key("match"),
                "this rule is for responses of the upstream, which are no local replies",
            );
        }
        if self.errors == Errors::Unseen && !filter.flags.is_empty() {
            let at = matches.map_or(rule.at, |node| node.at);
            let why =
                "a response flag, which no error has that the filter does not see: the rule is left out";
            return self.note(at, &path.key("match").key("flag"), why);
        }
        let Some(respond) = rule.get("respond") else {
            // `pass`: a mapper that changes nothing.
            let mapper = self.mapper(&filter, None, Map::new());
            return self.mappers.push(mapper);
        };
        let path = path.key("respond");
        let (answer, lost) = body::answer(respond, &path, &self.settings);
        lost.into_iter().for_each(|lost| self.lost(lost));
        if !answer.is_complete() {
            for kind in self.kinds(&filter) {
                let mapper =
                    self.mapper(&filter, Some(kind), answer.write(&Wording::of(kind), &self.settings));
                self.mappers.push(mapper);
            }
        }
        let mapper = self.mapper(&filter, None, answer.write(&Wording::unknown(), &self.settings));
        self.mappers.push(mapper);
    }

    /// What is said without a rule: a mapper for each kind of the catalogue, and for the rest.
    fn catalogue(&mut self) {
        let (none, nothing) = (Filter::default(), body::Answer::default());
        for kind in self.kinds(&none) {
            let mapper = self.mapper(&none, Some(kind), nothing.write(&Wording::of(kind), &self.settings));
            self.mappers.push(mapper);
        }
        for (terms, wording) in Wording::by_status(self.errors) {
            let filter = Filter::of_status(terms);
            let mapper = self.mapper(&filter, None, nothing.write(&wording, &self.settings));
            self.mappers.push(mapper);
        }
    }

    /// The kinds that a filter may be about.
    fn kinds(&self, filter: &Filter) -> Vec<&'static Kind> {
        let seen = |kind: &&Kind| {
            self.errors == Errors::All || kind.details.iter().any(|name| matching::is_unseen(name))
        };
        let flagged = |kind: &&Kind| {
            filter.flags.is_empty() || kind.flags.iter().any(|flag| filter.flags.contains(flag))
        };
        // Clients that have gone get nothing, and an answer from a cache is no error of its own.
        let answered = |kind: &&Kind| !matches!(kind.name, "client-disconnected" | "cached-response");
        let named = |kind: &&Kind| !kind.details.is_empty();
        let mut kinds: Vec<_> =
            KINDS.iter().filter(seen).filter(flagged).filter(answered).filter(named).collect();
        matching::by_precision(&mut kinds);
        kinds
    }

    fn mapper(&self, filter: &Filter, kind: Option<&Kind>, answer: Map) -> Map {
        Map::new().with("filter", filter.write(self.errors, kind)).with_all(answer)
    }

    /// What no part of a `local_reply_config` can say, whatever the rules.
    fn settings_that_are_lost(&mut self, root: &Node) {
        for (key, why) in [
            ("direct", "answers that need no upstream: only the filter gives them"),
            ("maintenance", "maintenance: only the filter turns requests away"),
        ] {
            if let Some(node) = root.get(key) {
                self.warn(node, &Path::root().key(key), why);
            }
        }
        if let Some(node) = root.get("formats")
            && (node.items().len() > 1 || self.settings.lost_format)
        {
            let form = self.settings.form_name();
            let why = format!(
                "forms to choose from: Envoy does not look at what clients accept, and answers with {form}"
            );
            self.faults.push((Severity::Warning, fault(node.at, &Path::root().key("formats"), why)));
        }
    }

    fn warn(&mut self, node: &Node, path: &Path, why: &str) {
        self.faults.push((Severity::Warning, fault(node.at, path, why)));
    }

    fn note(&mut self, at: usize, path: &Path, why: &str) {
        self.faults.push((Severity::Note, fault(at, path, why)));
    }

    fn lost(&mut self, lost: Lost) {
        self.faults.push((Severity::Warning, fault(lost.at, &lost.path, lost.why)));
    }
}

/// A part of a rule that Envoy has no means for.
struct Lost {
    at: usize,
    path: Path,
    why: String,
}

impl Lost {
    fn new(node: &Node, path: &Path, why: impl Into<String>) -> Self {
        Self { at: node.at, path: path.clone(), why: why.into() }
    }
}

fn fault(at: usize, path: &Path, why: impl Into<String>) -> Fault {
    Fault { at, error: ConfigError::at(path).problem(format!("not in local_reply_config: {}", why.into())) }
}

/// One, or the entries of a list.
fn one_or_many(node: &Node) -> Vec<&Node> {
    match &node.value {
        NodeValue::List(items) => items.iter().map(|item| &**item).collect(),
        _ => vec![node],
    }
}

/// A text as CEL and RE2 take it, in single quotes.
fn cel(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|char| match char {
            '\\' | '\'' => format!("\\{char}"),
            char if char.is_control() => format!("\\u{:04x}", u32::from(char)),
            char => char.to_string(),
        })
        .collect();
    format!("'{escaped}'")
}
