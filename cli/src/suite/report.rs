//! What came of the tests: for people, for programs and for CI.

use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::run::{Failure, Tested};
use crate::check::single::Report;
use crate::output::{count, one_line};

/// A suite that was run.
pub struct Ran {
    pub file: String,
    pub results: Vec<Tested>,
    /// How many tests were not chosen.
    pub left_out: usize,
}

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// One line for each test, and below it what is wrong.
///
/// # Errors
/// The output is closed.
pub fn write_text(ran: &Ran, quiet: bool) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    for result in &ran.results {
        let place = format!("{}:{}", ran.file, result.line);
        if result.failures.is_empty() {
            if !quiet {
                writeln!(out, "{GOOD}ok{GOOD:#}    {}", one_line(&result.name))?;
            }
            continue;
        }
        writeln!(out, "{BAD}FAIL{BAD:#}  {} {DIM}({place}){DIM:#}", one_line(&result.name))?;
        for failure in &result.failures {
            write_failure(&mut out, failure)?;
        }
    }
    Ok(())
}

fn write_failure(out: &mut impl Write, failure: &Failure) -> io::Result<()> {
    for line in explained(failure).lines() {
        writeln!(out, "      {line}")?;
    }
    Ok(())
}

/// What is wrong with a step, in lines.
fn explained(failure: &Failure) -> String {
    let mut text = one_line(&failure.request);
    if let Some(step) = &failure.step {
        text = format!("{}: {text}", one_line(step));
    }
    if let Some(outcome) = &failure.outcome {
        text.push_str(&format!(" -> {}", one_line(outcome)));
    }
    if let Some(error) = &failure.error {
        text.push_str(&format!("\n  {}", one_line(error)));
    }
    for difference in &failure.differences {
        text.push_str(&format!("\n  {}", difference.what));
        if let Some(lines) = difference.found.strip_prefix('\n') {
            for line in lines.lines() {
                text.push_str(&format!("\n    {}", one_line(line)));
            }
        } else {
            text.push_str(&format!("\n    expected  {}", one_line(&difference.expected)));
            text.push_str(&format!("\n    found     {}", one_line(&difference.found)));
        }
    }
    for line in &failure.logs {
        text.push_str(&format!("\n  log {}", one_line(line)));
    }
    text
}

/// `12 tests: 11 passed, 1 failed`
pub fn summary(all: &[Ran]) -> String {
    let results = || all.iter().flat_map(|ran| &ran.results);
    let failed = results().filter(|result| !result.failures.is_empty()).count();
    let total = results().count();
    let left_out: usize = all.iter().map(|ran| ran.left_out).sum();
    let mut text = format!("{}: {} passed", count(total, "test"), total.saturating_sub(failed));
    if failed > 0 {
        text.push_str(&format!(", {failed} failed"));
    }
    if left_out > 0 {
        text.push_str(&format!(", {left_out} not chosen"));
    }
    text
}

/// The same for programs: the form that the README describes.
pub fn to_json(all: &[Ran], wrong: &Report) -> Value {
    let failure = |failure: &Failure| {
        let differences = failure.differences.iter().map(|difference| {
            json!({ "what": difference.what, "expected": difference.expected, "found": difference.found })
        });
        json!({
            "step": failure.step,
            "request": failure.request,
            "outcome": failure.outcome,
            "error": failure.error,
            "differences": differences.collect::<Vec<_>>(),
            "logs": failure.logs,
        })
    };
    let test = |result: &Tested| {
        json!({
            "name": result.name,
            "line": result.line,
            "passed": result.failures.is_empty(),
            "seconds": result.took.as_secs_f64(),
            "failures": result.failures.iter().map(failure).collect::<Vec<_>>(),
        })
    };
    let suite = |ran: &Ran| {
        json!({
            "file": ran.file,
            "tests": ran.results.iter().map(test).collect::<Vec<_>>(),
            "left_out": ran.left_out,
        })
    };
    let problems = wrong.to_json().get_mut("problems").map(Value::take);
    json!({ "suites": all.iter().map(suite).collect::<Vec<_>>(), "problems": problems })
}

/// Writes a file in the form of JUnit, which CI systems read.
///
/// # Errors
/// It can't be written.
pub fn write_junit(all: &[Ran], path: &Path) -> io::Result<()> {
    let mut report = quick_junit::Report::new("meshgate test");
    for ran in all {
        let mut suite = TestSuite::new(ran.file.clone());
        for result in &ran.results {
            let mut case = TestCase::new(result.name.clone(), status(result));
            case.set_classname(ran.file.clone());
            case.set_time(result.took);
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    let text = report.to_string().map_err(io::Error::other)?;
    std::fs::write(path, text)
}

fn status(result: &Tested) -> TestCaseStatus {
    let Some(first) = result.failures.first() else { return TestCaseStatus::success() };
    let is_error = first.error.is_some();
    let kind = if is_error { NonSuccessKind::Error } else { NonSuccessKind::Failure };
    let mut status = TestCaseStatus::non_success(kind);
    let what: Vec<_> = first.differences.iter().map(|difference| difference.what.as_str()).collect();
    let message = first.error.clone().unwrap_or_else(|| what.join(", "));
    status.set_type(if is_error { "error" } else { "difference" });
    status.set_message(message);
    status.set_description(result.failures.iter().map(explained).collect::<Vec<_>>().join("\n"));
    status
}
