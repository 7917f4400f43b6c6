//! Files of one document, for commands that need one whole: a suite of tests, the configuration of a filter.

use std::io;
use std::path::Path as FilePath;
use std::process::ExitCode;
use std::rc::Rc;

use meshgate_policy::config::{self, ConfigError, MAX_SIZE, Options, Path};
use serde::de::DeserializeOwned;

use super::carrier::{Configuration, Found};
pub use super::deployed::holds_headers;
pub use super::node::{Fault, Node};
use super::report::Severity;
pub use super::report::{Problem, Report};
pub use super::source::Source;
use super::{configuration, documents, identify, read, text, yaml};
use crate::filters::Filter;
use crate::output;

/// A document, and the file that it fills.
pub struct Single {
    /// The name of the file.
    pub name: String,
    pub source: Source,
    pub document: yaml::Document,
    /// It is JSON: a filter gets it as it is.
    json: bool,
}

/// What a file holds, read once: it may be a pipe.
pub struct Input<'p> {
    pub path: &'p FilePath,
    /// The name of the file.
    pub name: String,
    pub bytes: Vec<u8>,
}

impl<'p> Input<'p> {
    /// Reads a file, or the standard input (`-`). `None`: it can't be read, which is in the report.
    pub fn read(path: &'p FilePath, report: &mut Report) -> Option<Self> {
        let (name, bytes) = if path.as_os_str() == "-" {
            ("<stdin>".to_owned(), read(&mut io::stdin().lock()))
        } else {
            (output::shown(path), std::fs::File::open(path).and_then(|mut file| read(&mut file)))
        };
        match bytes {
            Ok(bytes) => Some(Self { path, name, bytes }),
            Err(error) => {
                report.unreadable(&name, &error);
                None
            }
        }
    }
}

impl Single {
    /// Reads a file. What is wrong with it is in the report; `None`: so much that there is no document.
    pub fn read(path: &FilePath, report: &mut Report) -> Option<Self> {
        Self::of(Input::read(path, report)?, report)
    }

    /// The document of a file that has been read. What is wrong with it is in the report; `None`: so much that there is none.
    pub fn of(input: Input<'_>, report: &mut Report) -> Option<Self> {
        let Input { path, name, bytes } = input;
        report.files = report.files.saturating_add(1);
        let source = match text(bytes) {
            Ok(text) => Source::new(text),
            Err(wrong) => {
                let (before, error) = *wrong;
                let source = Source::new(before);
                let at = source.text().len();
                report.add(Problem::new(&name, &source, Fault { at, error }));
                return None;
            }
        };
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let mut json = false;
        let mut all = documents(&source, is_json, &mut json).into_iter();
        let here = |error: ConfigError| Fault { at: 0, error };
        let fault = match (all.next(), all.next()) {
            (Some(Ok(document)), None) => return Some(Self { name, source, document, json }),
            (Some(Err(fault)), _) | (_, Some(Err(fault))) => fault,
            (Some(Ok(_)), Some(Ok(second))) => {
                let error = ConfigError::at(Path::root()).found("a second document");
                Fault { at: second.root.at, error: error.expected("one document in the file") }
            }
            (None, _) => here(ConfigError::at(Path::root()).found("nothing").expected("a document")),
        };
        report.add(Problem::new(&name, &source, fault));
        None
    }

    /// What the document says, as this type has it. What is wrong is in the report.
    pub fn load<T: DeserializeOwned>(&self, options: &Options<'_>, report: &mut Report) -> Option<T> {
        let root = &self.document.root;
        let loaded = match root.to_json(MAX_SIZE) {
            Some(json) => config::load(json.as_bytes(), options),
            None => Err(ConfigError::at(Path::root()).found("more than 16 MiB").expected("at most 16 MiB")),
        };
        match loaded {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                self.wrong(error, report);
                None
            }
        }
    }

    /// Reports what is wrong at the place that its path names.
    pub fn wrong(&self, error: ConfigError, report: &mut Report) {
        let at = self.document.root.locate(&error);
        let error = configuration::without_position(&error);
        report.add(Problem::new(&self.name, &self.source, Fault { at, error }));
    }

    /// A configuration of a filter in it, as a module gets it, if the filter takes it. What is wrong is in the report.
    pub fn configuration(
        &self,
        node: &Rc<Node>,
        filter: Option<&Filter>,
        environment: &[(String, String)],
        report: &mut Report,
    ) -> Option<Vec<u8>> {
        let is_whole = self.json && Rc::ptr_eq(node, &self.document.root);
        let whole = is_whole.then(|| self.source.text());
        if let Some(filter) = filter {
            let variables = environment.iter().map(|(name, value)| super::carrier::Variable {
                name: name.clone(),
                value: Some(value.clone()),
            });
            let found = Found {
                carrier: None,
                at: node.at,
                names: Vec::new(),
                configuration: Configuration::Tree(Rc::clone(node)),
                environment: Some(variables.collect()),
                is_envoy: false,
                holds_headers: None,
                faults: Vec::new(),
            };
            let faults = configuration::check(&self.source, &self.document, &found, filter, whole);
            let mut good = true;
            for (severity, fault) in faults {
                good &= severity != Severity::Error;
                let mut problem = Problem::new(&self.name, &self.source, fault);
                (problem.severity, problem.filter) = (severity, Some(filter.name));
                report.add(problem);
            }
            if !good {
                return None;
            }
        }
        match whole {
            Some(text) => Some(text.as_bytes().to_vec()),
            None => node.to_json(MAX_SIZE).map(String::into_bytes),
        }
    }

    /// The filter that a file of one configuration is for.
    pub fn filter(&self, path: &FilePath) -> Option<&'static Filter> {
        let root = &self.document.root;
        identify::by_file(path).or_else(|| identify::by_fields(root)).or_else(|| identify::by_directory(path))
    }
}

/// Writes what is wrong.
///
/// # Errors
/// The output is closed.
pub fn write(report: &Report) -> io::Result<()> {
    report.write_text(false)
}

/// 1 if something is wrong, 2 if a file could not be read.
pub fn exit_code(report: &Report) -> ExitCode {
    report.exit_code(false)
}
