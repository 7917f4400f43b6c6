//! What was checked and what is wrong with it: for people and for programs.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use meshgate_policy::config::ConfigError;
use serde_json::{Value, json};

use super::node::Fault;
use super::source::Source;
use crate::filters::Filter;
use crate::output;

/// All that a run has found.
#[derive(Default)]
pub struct Report {
    /// How many files were looked at.
    pub files: usize,
    problems: Vec<Problem>,
    checked: Vec<Seen>,
    skipped: Vec<Seen>,
    unreadable: usize,
}

/// Something at a place that is worth a line.
pub struct Problem {
    place: Place,
    pub severity: Severity,
    pub filter: Option<&'static str>,
    pub carrier: Option<String>,
    error: ConfigError,
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The proxy refuses it.
    Error,
    /// It may mean something else than it looks.
    Warning,
    /// Something that can't be known here.
    Note,
}

struct Place {
    file: String,
    line: usize,
    column: usize,
}

/// A configuration that was checked, or was not.
struct Seen {
    place: Place,
    filter: Option<&'static str>,
    carrier: Option<String>,
}

impl Place {
    fn new(file: &str, source: &Source, at: usize) -> Self {
        let (line, column) = source.position(at);
        Self { file: file.to_owned(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Problem {
    /// An error at a place.
    pub fn new(file: &str, source: &Source, fault: Fault) -> Self {
        let place = Place::new(file, source, fault.at);
        Self { place, severity: Severity::Error, filter: None, carrier: None, error: fault.error }
    }
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Report {
    pub fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// A configuration of ours was looked at.
    pub fn checked(
        &mut self,
        file: &str,
        source: &Source,
        at: usize,
        filter: &Filter,
        carrier: Option<String>,
    ) {
        self.checked.push(Seen { place: Place::new(file, source, at), filter: Some(filter.name), carrier });
    }

    /// A Wasm filter of others was passed over.
    pub fn skip(&mut self, file: &str, source: &Source, at: usize, carrier: String) {
        self.skipped.push(Seen { place: Place::new(file, source, at), filter: None, carrier: Some(carrier) });
    }

    /// Says at once that a file can't be read.
    pub fn unreadable(&mut self, file: &str, error: &io::Error) {
        self.unreadable = self.unreadable.saturating_add(1);
        // Without a standard error there is nobody to tell.
        let _ = writeln!(anstream::stderr(), "meshgate: cannot read {file}: {error}");
    }

    /// Writes the problems, one a line.
    ///
    /// # Errors
    /// The output is closed.
    pub fn write_text(&self, verbose: bool) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        self.write_problems(&mut out, true)?;
        if verbose {
            for Seen { place, filter, carrier } in &self.checked {
                let carrier = carrier.as_deref().unwrap_or("a document");
                writeln!(
                    out,
                    "{place}: checked as {}: {}",
                    filter.unwrap_or_default(),
                    output::one_line(carrier)
                )?;
            }
            for Seen { place, carrier, .. } in &self.skipped {
                writeln!(
                    out,
                    "{place}: skipped: {}",
                    output::one_line(carrier.as_deref().unwrap_or_default())
                )?;
            }
        }
        Ok(())
    }

    /// Writes the problems alone, with or without notes.
    ///
    /// # Errors
    /// The output is closed.
    pub fn write_problems(&self, out: &mut dyn Write, notes: bool) -> io::Result<()> {
        let bold = Style::new().bold();
        let wanted = |problem: &&Problem| notes || problem.severity != Severity::Note;
        for Problem { place, severity, error, .. } in self.problems.iter().filter(wanted) {
            write!(out, "{bold}{place}:{bold:#} ")?;
            match severity {
                Severity::Error => {}
                Severity::Warning => write!(out, "{0}warning:{0:#} ", AnsiColor::Yellow.on_default())?,
                Severity::Note => write!(out, "{0}note:{0:#} ", AnsiColor::Cyan.on_default())?,
            }
            writeln!(out, "{error}")?;
        }
        Ok(())
    }

    /// The same for programs: the form that the README describes.
    pub fn to_json(&self) -> Value {
        let problem = |problem: &Problem| {
            let parts = problem.error.parts();
            json!({
                "file": problem.place.file,
                "line": problem.place.line,
                "column": problem.place.column,
                "severity": problem.severity.name(),
                "filter": problem.filter,
                "carrier": problem.carrier,
                "path": problem.error.path().to_string(),
                "problem": parts.problem,
                "found": parts.found,
                "expected": parts.expected,
                "hint": parts.hint,
                "message": problem.error.to_string(),
            })
        };
        let seen = |seen: &Seen| {
            json!({
                "file": seen.place.file,
                "line": seen.place.line,
                "column": seen.place.column,
                "filter": seen.filter,
                "carrier": seen.carrier,
            })
        };
        json!({
            "files": self.files,
            "unreadable": self.unreadable,
            "checked": self.checked.iter().map(seen).collect::<Vec<_>>(),
            "skipped": self.skipped.iter().map(seen).collect::<Vec<_>>(),
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
        })
    }

    /// What came of it, in one line.
    pub fn summary(&self) -> String {
        let checked = output::count(self.checked.len(), "configuration");
        let mut summary = format!("checked {checked} in {}: ", output::count(self.files, "file"));
        let counts = [Severity::Error, Severity::Warning, Severity::Note]
            .map(|severity| (self.of(severity), severity));
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let mut counts: Vec<_> =
            counts.map(|(count, severity)| output::count(count, severity.name())).collect();
        if self.unreadable > 0 {
            counts.push(format!("{} not read", self.unreadable));
        }
        summary.push_str(&if counts.is_empty() { "all good".to_owned() } else { counts.join(", ") });
        if !self.skipped.is_empty() {
            let filters = output::count(self.skipped.len(), "Wasm filter");
            summary.push_str(&format!(" ({filters} of others skipped)"));
        }
        summary
    }

    /// Whether all was read, and nothing in it is an error.
    pub fn is_good(&self) -> bool {
        self.unreadable == 0 && self.of(Severity::Error) == 0
    }

    pub fn exit_code(&self, strict: bool) -> ExitCode {
        let wrong = self.of(Severity::Error) > 0 || strict && self.of(Severity::Warning) > 0;
        ExitCode::from(if self.unreadable > 0 { 2 } else { u8::from(wrong) })
    }

    fn of(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }
}
