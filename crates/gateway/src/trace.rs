//! `x-meshgate-trace`: what each stage did with a request, for who knows the secret.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::headers::{HeaderName, HeaderValue};

/// The field, in requests with the secret and in responses with the trace.
pub const FIELD: HeaderName = HeaderName::constant("x-meshgate-trace");

/// The longest line, in bytes.
const MAX_LINE: usize = 4_096;
/// What stands where more was to be told of a stage.
const CUT: &str = "...";

/// The most that is noted of one stage, in bytes.
const MAX_NOTES: usize = 512;

/// What has happened to one exchange, stage by stage.
#[derive(Debug)]
pub struct Trace {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: Rc<str>,
    took: Duration,
    notes: String,
}

impl Trace {
    /// Of nothing so far, at stages of these names: letters, digits and `-_.`.
    pub fn new<'a>(names: impl Iterator<Item = &'a Rc<str>>) -> Self {
        let stage =
            |name: &Rc<str>| Stage { name: Rc::clone(name), took: Duration::ZERO, notes: String::new() };
        Self { stages: names.map(stage).collect() }
    }

    /// A stage has been at work for so long.
    pub fn took(&mut self, index: usize, time: Duration) {
        if let Some(stage) = self.stages.get_mut(index) {
            stage.took = stage.took.saturating_add(time);
        }
    }

    /// What a stage did.
    pub fn note(&mut self, index: usize, what: fmt::Arguments<'_>) {
        let Some(stage) = self.stages.get_mut(index) else { return };
        let separator = if stage.notes.is_empty() { "" } else { ", " };
        let what = what.to_string();
        if stage.notes.ends_with(CUT) {
            return;
        }
        if stage.notes.len().saturating_add(what.len()) > MAX_NOTES {
            stage.notes.push_str(CUT);
            return;
        }
        stage.notes.push_str(separator);
        // What stands in quotes in a structured field (RFC 9651 section 3.3.3).
        let shown =
            |byte: char| if matches!(byte, ' '..='~') && !matches!(byte, '"' | '\\') { byte } else { '.' };
        stage.notes.extend(what.chars().map(shown));
    }

    /// All of it: a list of stages with parameters (RFC 9651), as far as it fits. `None` if there is nothing to tell.
    pub fn line(&self) -> Option<HeaderValue<'static>> {
        let mut line = String::new();
        for Stage { name, took, notes } in &self.stages {
            let separator = if line.is_empty() { "" } else { ", " };
            let entry = format!("{separator}\"{name}\";us={};did=\"{notes}\"", took.as_micros());
            if line.len().saturating_add(entry.len()) > MAX_LINE {
                break;
            }
            line.push_str(&entry);
        }
        HeaderValue::new(line.into_bytes()).ok().filter(|line| !line.as_bytes().is_empty())
    }
}
