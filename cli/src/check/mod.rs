//! `meshgate check`: configurations, compiled as the modules compile them, and every mistake at its line.
//!
//! A file becomes documents whose values know their places (`yaml`, `json`, `node`); in a document the configurations are
//! found (`carrier`), their filter is told (`identify`), and each is compiled by the filter's own code (`configuration`). What
//! that says is led back to the place in the file.

mod carrier;
mod configuration;
mod deployed;
mod embedded;
mod identify;
mod json;
mod node;
mod report;
mod setup;
pub mod single;
mod source;
mod walk;
mod yaml;

use std::io::{self, Read, Write};
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use clap::Args;
use clap::builder::PossibleValuesParser;
use meshgate_policy::config::{self, ConfigError, Path};
use serde::de::IgnoredAny;

use self::carrier::{Content, Found};
use self::deployed::Deploying;
pub use self::deployed::{Deployed, deployed};
#[cfg(test)]
pub use self::json::tree as json_tree;
#[cfg(test)]
pub use self::node::Walk;
pub use self::node::{Fault, Node, Value as NodeValue};
pub use self::report::{Problem, Report, Severity};
pub use self::source::Source;
use self::yaml::Document;
#[cfg(test)]
pub use self::yaml::documents as yaml_documents;
use crate::filters::{FILTERS, Filter};
use crate::output::{self, Output};

/// The largest file; each configuration in it has the limit of the filters besides.
const MAX_FILE: usize = 64 * 1024 * 1024;

/// Check configurations before a proxy sees them
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = DETAILS)]
pub struct Check {
    /// Files, directories to look for .yaml, .yml and .json files in, or - for the standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    paths: Vec<PathBuf>,

    /// The filter that configurations are for, where nothing else tells
    #[arg(long, short, value_parser = PossibleValuesParser::new(FILTERS.iter().map(|filter| filter.name)))]
    filter: Option<String>,

    /// Fail on warnings too
    #[arg(long)]
    strict: bool,

    /// Name what was checked, and the Wasm filters that are not ours and were not
    #[arg(long, short)]
    verbose: bool,

    #[command(flatten)]
    output: output::Options,
}

macro_rules! examples {
    () => {
        "\
Examples:
  meshgate check quota.yaml                              a configuration of its own
  meshgate check envoy.yaml istio/                       all that stands in Envoy's and Kubernetes' files
  meshgate check --filter dlp -                          from the standard input
  helm template ./chart | meshgate check -               what Helm makes of a chart
  meshgate check --output json envoy.yaml | jq .problems

Each problem is one line, file:line:column: path: what was found, what was expected. Exit status: 0 if
all is good, 1 if something is wrong, 2 if the command line is wrong or a file could not be read."
    };
}

const EXAMPLES: &str = examples!();

const DETAILS: &str = concat!(
    "\
Configurations are found in YAML and JSON: as documents of their own; in WasmPlugin, TrafficExtension
and EnvoyFilter (Istio) and EnvoyExtensionPolicy (Envoy Gateway); in any configuration of Envoy that
has a Wasm filter in it, as a StringValue, a BytesValue or a Struct; and in the files of a ConfigMap.

Which filter one is for is told by the name of the module, of its image or of the plugin, and for a
document of its own by the name of the file; or else by its fields.

",
    examples!()
);

impl Check {
    /// Runs the command.
    ///
    /// # Errors
    /// Nothing could be written.
    pub fn run(self) -> io::Result<ExitCode> {
        let filter = self.filter.as_deref().and_then(Filter::named);
        let mut report = Report::default();
        for path in &self.paths {
            if path.as_os_str() == "-" {
                let read = read(&mut io::stdin().lock());
                Checker { report: &mut report, filter, walked: false, good: None, deployed: None }
                    .file("<stdin>", None, read);
            } else if path.is_dir() {
                let (files, unreadable) = walk::files(path);
                for (path, error) in unreadable {
                    report.unreadable(&output::shown(&path), &error);
                }
                for file in files {
                    let mut checker =
                        Checker { report: &mut report, filter, walked: true, good: None, deployed: None };
                    checker.path(&file);
                }
            } else {
                Checker { report: &mut report, filter, walked: false, good: None, deployed: None }.path(path);
            }
        }
        match self.output.output {
            Output::Text => report.write_text(self.verbose)?,
            Output::Json => output::json(&report.to_json())?,
        }
        writeln!(anstream::stderr(), "{}", report.summary())?;
        Ok(report.exit_code(self.strict))
    }
}

/// A configuration in a document of its own that is good.
pub struct Good {
    pub filter: &'static Filter,
    pub root: Rc<Node>,
    /// The environment variables that it refers to.
    pub variables: Vec<String>,
    /// The name of its file.
    pub name: String,
    pub source: Rc<Source>,
}

/// Reads configurations that stand in documents of their own, as `check` does. What is wrong is in the report.
pub fn read_configurations(
    paths: &[PathBuf],
    filter: Option<&'static Filter>,
    report: &mut Report,
) -> Vec<Good> {
    let mut good = Vec::new();
    for path in paths {
        let mut checker = Checker { report, filter, walked: false, good: Some(&mut good), deployed: None };
        if path.as_os_str() == "-" {
            checker.file("<stdin>", None, read(&mut io::stdin().lock()));
        } else {
            checker.path(path);
        }
    }
    good
}

/// What looks at one file.
struct Checker<'a> {
    report: &'a mut Report,
    filter: Option<&'static Filter>,
    /// Nobody named the file: it may be about something else.
    walked: bool,
    /// Only documents of their own will do, and those that are good are wanted.
    good: Option<&'a mut Vec<Good>>,
    /// Those that are good are wanted as they are deployed.
    deployed: Option<&'a mut Deploying>,
}

impl Checker<'_> {
    fn path(&mut self, path: &FilePath) {
        let read = std::fs::File::open(path).and_then(|mut file| read(&mut file));
        self.file(&output::shown(path), Some(path), read);
    }

    fn file(&mut self, name: &str, path: Option<&FilePath>, read: io::Result<Vec<u8>>) {
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => return self.report.unreadable(name, &error),
        };
        self.report.files = self.report.files.saturating_add(1);
        let text = match text(bytes) {
            Ok(text) => text,
            Err(wrong) => {
                let (before, error) = *wrong;
                let source = Source::new(before);
                let at = source.text().len();
                return self.report.add(Problem::new(name, &source, Fault { at, error }));
            }
        };
        let source = Rc::new(Source::new(text));
        let is_json = path.and_then(FilePath::extension).is_some_and(|extension| extension == "json");
        let mut file = File { name, path, source: &source, around: None, json: false, ours: 0, wrong: false };
        for document in documents(&source, is_json, &mut file.json) {
            match document {
                Ok(document) => self.document(&mut file, &document),
                Err(fault) => {
                    file.wrong = true;
                    self.report.add(file.problem(fault));
                }
            }
        }
        if file.ours == 0 && !file.wrong && !self.walked {
            let error = ConfigError::at(Path::root()).found("no configuration of Meshgate's filters");
            let error = error.expected("at least one, or a document of its own");
            self.report.add(Problem::new(name, &source, Fault { at: 0, error }));
        }
    }

    fn document(&mut self, file: &mut File<'_>, document: &Document) {
        if document.root.get("kind").and_then(Node::text) == Some("ConfigMap") {
            return self.config_map(file, &document.root);
        }
        match carrier::find(&document.root, file.json) {
            Content::Carriers(all) => {
                let configurations: Vec<_> =
                    all.iter().filter_map(|found| found.configuration.root()).collect();
                let before = file.ours;
                for found in all {
                    self.carrier(file, document, found);
                }
                if file.ours > before {
                    for fault in configuration::repeated_keys(document, &configurations) {
                        self.report.add(file.problem(fault));
                    }
                }
            }
            Content::Bare(found) => self.bare(file, document, found),
        }
    }

    /// The files in a ConfigMap, each a string.
    fn config_map(&mut self, file: &mut File<'_>, root: &Node) {
        for entry in root.get("data").map_or(&[][..], Node::entries) {
            let path = FilePath::new(&entry.key);
            let extension = path.extension().and_then(|extension| extension.to_str());
            let (Some("yaml" | "yml" | "json"), NodeValue::Text(text)) = (extension, &entry.value.value)
            else {
                continue;
            };
            // One in another has lost its places.
            if file.around.is_some() {
                continue;
            }
            let around = (&**file.source, embedded::places(file.source, entry.value.at, text));
            let source = Rc::new(Source::new(text.text.clone()));
            let mut inner = File {
                name: file.name,
                path: Some(path),
                source: &source,
                around: Some(around),
                json: false,
                ours: 0,
                wrong: false,
            };
            // It may be about something else, as a file in a directory.
            let mut checker = Checker {
                report: self.report,
                filter: self.filter,
                walked: true,
                good: self.good.as_deref_mut(),
                deployed: self.deployed.as_deref_mut(),
            };
            for document in documents(&source, extension == Some("json"), &mut inner.json) {
                match document {
                    Ok(document) => checker.document(&mut inner, &document),
                    // Templates and the like are nobody's mistake unless the file is one of ours by its name.
                    Err(fault) if identify::by_file(path).is_some() => {
                        inner.wrong = true;
                        checker.report.add(inner.problem(fault));
                    }
                    Err(_) => {}
                }
            }
            file.ours = file.ours.saturating_add(inner.ours);
            file.wrong |= inner.wrong;
        }
    }

    fn carrier(&mut self, file: &mut File<'_>, document: &Document, found: Found) {
        if self.good.is_some() {
            file.wrong = true;
            let carrier = found.carrier.unwrap_or_default();
            let error = ConfigError::at(Path::root()).found(output::one_line(&carrier));
            let error = error.expected("a configuration in a document of its own");
            return self.report.add(file.problem(Fault { at: found.at, error }));
        }
        let of_fields = || {
            let tree = configuration::tree(&found.configuration)?;
            identify::by_fields(&tree).filter(|filter| identify::looks_like(&tree, filter, true))
        };
        match identify::by_names(&found).or(self.filter).or_else(of_fields) {
            Some(filter) => self.check(file, document, found, filter),
            None => {
                let carrier = found.carrier.unwrap_or_default();
                let (source, at) = file.place(found.at);
                self.report.skip(file.name, source, at, carrier);
            }
        }
    }

    /// A document that is a configuration, if it is one.
    fn bare(&mut self, file: &mut File<'_>, document: &Document, found: Found) {
        let root = &document.root;
        let of_file = || file.path.and_then(identify::by_file);
        let of_directory = || file.path.and_then(identify::by_directory);
        let filter = self.filter.or_else(of_file).or_else(|| identify::by_fields(root)).or_else(of_directory);
        match filter {
            Some(filter) if !self.walked || identify::looks_like(root, filter, false) => {
                self.check(file, document, found, filter);
            }
            Some(_) => {}
            None if self.walked => {}
            None => {
                file.wrong = true;
                let names = FILTERS.each_ref().map(|filter| filter.name).join(", ");
                let error = ConfigError::at(Path::root())
                    .found(format!("{} for which filter is not clear", root.kind()));
                let error =
                    error.expected("fields of one filter").hint(format!("name it with --filter ({names})"));
                self.report.add(file.problem(Fault { at: found.at, error }));
            }
        }
    }

    fn check(&mut self, file: &mut File<'_>, document: &Document, mut found: Found, filter: &'static Filter) {
        file.ours = file.ours.saturating_add(1);
        if let Some(deployed) = &self.deployed {
            deployed.prepare(&mut found);
        }
        let is_whole = file.json && found.carrier.is_none();
        let whole = is_whole.then(|| file.source.text());
        let faults = configuration::check(file.source, document, &found, filter, whole);
        let (source, at) = file.place(found.at);
        self.report.checked(file.name, source, at, filter, found.carrier.clone());
        if let Some(good) = self.good.as_mut()
            && !faults.iter().any(|(severity, _)| *severity == Severity::Error)
        {
            let root = Rc::clone(&document.root);
            let variables = configuration::variables(&root, filter);
            let (name, source) = (file.name.to_owned(), Rc::clone(file.source));
            good.push(Good { filter, root, variables, name, source });
        }
        if let Some(deployed) = self.deployed.as_mut()
            && found.faults.is_empty()
            && !faults.iter().any(|(severity, _)| *severity == Severity::Error)
        {
            deployed.add(file.source, &found, whole, filter);
        }
        let carrier = found.carrier;
        for (severity, fault) in found.faults.into_iter().map(|fault| (Severity::Error, fault)).chain(faults)
        {
            let mut problem = file.problem(fault);
            (problem.severity, problem.filter) = (severity, Some(filter.name));
            problem.carrier.clone_from(&carrier);
            self.report.add(problem);
        }
    }
}

/// A file that is being looked at.
struct File<'a> {
    name: &'a str,
    path: Option<&'a FilePath>,
    source: &'a Rc<Source>,
    /// The file around it, if it is a string there: where in that each byte of it stands.
    around: Option<(&'a Source, Vec<usize>)>,
    json: bool,
    /// How many configurations of ours were found.
    ours: usize,
    /// Something else is wrong with it, so that not to find one is no wonder.
    wrong: bool,
}

impl File<'_> {
    fn problem(&self, fault: Fault) -> Problem {
        let (source, at) = self.place(fault.at);
        Problem::new(self.name, source, Fault { at, ..fault })
    }

    /// A place in the file that the user has.
    fn place(&self, at: usize) -> (&Source, usize) {
        match &self.around {
            Some((source, places)) => (source, places.get(at).or(places.last()).copied().unwrap_or_default()),
            None => (self.source, at),
        }
    }
}

fn read(file: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE.saturating_add(1) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file; else what comes before the place where it is none, and what is wrong there.
fn text(bytes: Vec<u8>) -> Result<String, Box<(String, ConfigError)>> {
    let wrong = |error: ConfigError| Err(Box::new((String::new(), error)));
    let here = || ConfigError::at(Path::root());
    if bytes.len() > MAX_FILE {
        return wrong(here().found("a file of more than 64 MiB").expected("at most 64 MiB"));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return wrong(here().found("UTF-16").expected("UTF-8"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let mut before = error.into_bytes();
        before.truncate(good);
        let before = String::from_utf8(before).unwrap_or_default();
        Box::new((before, here().found("a byte that is not UTF-8").expected("YAML or JSON in UTF-8")))
    })
}

/// The documents of a text. JSON is read as such, wherever it is some: YAML has other escapes and refuses tabs.
fn documents(source: &Source, is_json: bool, json: &mut bool) -> Vec<Result<Document, Fault>> {
    if is_json || source.text().trim_start().starts_with(['{', '[']) {
        match json::tree(source.text(), &|offset| offset) {
            Ok(root) => {
                *json = true;
                return vec![Ok(Document { root, merges: Vec::new() })];
            }
            Err(_) if source.text().trim().is_empty() => return Vec::new(),
            Err(wrong) if is_json => {
                let error = config::load::<IgnoredAny>(source.text().as_bytes(), &config::Options::default());
                let error = error.err().map(|error| configuration::without_position(&error));
                let error = error.unwrap_or_else(|| ConfigError::at(Path::root()).problem(wrong.to_string()));
                return vec![Err(Fault { at: wrong.offset, error })];
            }
            Err(_) => {}
        }
    }
    yaml::documents(source)
}
