//! `meshgate test`: requests through the very modules that are deployed, and what is expected of them.
//!
//! A suite (`format`) is made ready (`plan`), run in Wasmtime (`run`), compared (`expect`) and told (`report`). Each test has
//! a world of its own: new instances of the modules, a clock that it moves, no counters of others.

mod expect;
mod format;
mod message;
pub mod plan;
mod report;
mod run;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::Args;

use self::plan::NoPlan;
use self::report::Ran;
use crate::check::single::{self, Report};
use crate::modules::{self, Modules};
use crate::output::{self, Output};

/// Run suites of requests against the modules, without a proxy
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Test {
    /// Suites: what is sent, and what is expected
    #[arg(required = true, value_name = "SUITE")]
    suites: Vec<PathBuf>,

    /// Run the tests whose names contain this
    #[arg(long, short, value_name = "TEXT")]
    filter: Option<String>,

    /// How many tests run at a time; else as many as there are processors
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,

    /// Write a report in the form of JUnit
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Name the tests that fail only
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    modules: modules::Where,

    #[command(flatten)]
    output: output::Options,
}

const EXAMPLES: &str = "\
Examples:
  meshgate test tests.yaml                               all tests of a suite
  meshgate test suites/*.yaml --junit report.xml         of several, and a report for CI
  meshgate test tests.yaml --filter 'no key'             those with this in their names
  meshgate test tests.yaml --modules dist                with the modules of a release

A suite in short:
  filters: {module: api-key-quota, config: quota.yaml}
  tests:
    - name: no key is refused
      request: {path: /v1/orders}
      expect: {status: 401, upstream: none}

Exit status: 0 if all tests pass, 1 if one fails or a suite is wrong, 2 if the command line is wrong, a
file can't be read or a module is missing.";

impl Test {
    /// Runs the command.
    ///
    /// # Errors
    /// Nothing could be written.
    pub fn run(self) -> io::Result<ExitCode> {
        let mut modules = Modules::new(&self.modules).map_err(io::Error::other)?;
        let jobs = self.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let is_text = self.output.output == Output::Text;
        let mut report = Report::default();
        let mut all = Vec::new();
        let mut wrong = false;
        for path in &self.suites {
            let plan = match plan::read(path, &mut modules, &mut report) {
                Ok(plan) => plan,
                Err(NoPlan::Wrong) => {
                    wrong = true;
                    continue;
                }
                Err(NoPlan::Missing(what)) => return Err(io::Error::other(what)),
            };
            let is_chosen = |name: &str| self.filter.as_ref().is_none_or(|text| name.contains(text.as_str()));
            let chosen: Vec<_> = plan.tests.iter().filter(|test| is_chosen(&test.name)).collect();
            let left_out = plan.tests.len().saturating_sub(chosen.len());
            let ran = Ran { results: run::all(&plan, &chosen, jobs), file: plan.name, left_out };
            if is_text {
                report::write_text(&ran, self.quiet)?;
            }
            all.push(ran);
        }
        if let Some(path) = &self.junit {
            report::write_junit(&all, path)?;
        }
        if is_text {
            single::write(&report)?;
        } else {
            output::json(&report::to_json(&all, &report))?;
        }
        let nothing = all.iter().all(|ran| ran.results.is_empty());
        if nothing && !wrong {
            writeln!(
                anstream::stderr(),
                "meshgate: no test has {:?} in its name",
                self.filter.unwrap_or_default()
            )?;
            return Ok(ExitCode::from(2));
        }
        if !all.is_empty() {
            writeln!(anstream::stderr(), "{}", report::summary(&all))?;
        }
        let failed = all.iter().flat_map(|ran| &ran.results).any(|result| !result.failures.is_empty());
        if wrong {
            return Ok(single::exit_code(&report));
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
