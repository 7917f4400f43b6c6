//! The configurations that something is rendered from: read, checked, and put in order.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use meshgate_policy::config::{ConfigError, Path};

use super::placement::Placement;
use crate::check::{Fault, Good, NodeValue, Problem, Report, read_configurations};
use crate::filters::{FILTERS, Filter};

/// Which configurations.
#[derive(Args, Debug)]
pub struct Input {
    /// Configurations, one or more in a file, or - for the standard input
    #[arg(required = true, value_name = "FILE|-")]
    files: Vec<PathBuf>,

    /// The filter that they are for, where nothing else tells
    #[arg(long, short, value_parser = PossibleValuesParser::new(FILTERS.iter().map(|filter| filter.name)))]
    filter: Option<String>,
}

/// A filter of the chain that is rendered.
pub struct Link {
    /// What it is called: the filter's name, and a number where there are several of it.
    pub name: String,
    pub config: Good,
    pub placement: Placement,
}

impl Link {
    /// Whether the configuration relies on `allow_on_headers_stop_iteration` of the proxy.
    pub fn holds_headers(&self) -> bool {
        self.option().is_some()
    }

    fn option(&self) -> Option<usize> {
        let option = self.config.root.get(HOLDS_HEADERS)?;
        matches!(option.value, NodeValue::Bool(true)).then_some(option.at)
    }
}

const HOLDS_HEADERS: &str = "allow_on_headers_stop_iteration";

/// What came of reading them.
pub struct Chain {
    pub links: Vec<Link>,
    pub report: Report,
}

impl Input {
    /// Reads the configurations and puts them into the order in which requests pass them.
    pub fn read(&self) -> Chain {
        let mut report = Report::default();
        let filter = self.filter.as_deref().and_then(Filter::named);
        let mut good = read_configurations(&self.files, filter, &mut report);
        // Those of one filter stay as they were named.
        good.sort_by_key(|config| Placement::of(config.filter).order);
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let links = good.into_iter().map(|config| {
            let number = seen.entry(config.filter.name).or_default();
            *number = number.saturating_add(1);
            let name = match *number {
                1 => config.filter.name.to_owned(),
                number => format!("{}-{number}", config.filter.name),
            };
            Link { name, placement: Placement::of(config.filter), config }
        });
        Chain { links: links.collect(), report }
    }
}

impl Chain {
    /// Notes configurations that need what this kind of resource can't say.
    pub fn refuse_held_headers(&mut self, instead: &'static str) {
        for link in &self.links {
            let Some(at) = link.option() else { continue };
            let error = ConfigError::at(Path::root().key(HOLDS_HEADERS)).found("true");
            let error = error.expected("a resource that can tell the proxy so").hint(instead);
            let config = &link.config;
            self.report.add(Problem::new(&config.name, &config.source, Fault { at, error }));
        }
    }

    /// Tells what is wrong, if anything is worth it; then the chain, or the status to end with.
    ///
    /// # Errors
    /// The output is closed.
    pub fn finish(self) -> io::Result<Result<Vec<Link>, ExitCode>> {
        self.report.write_problems(&mut anstream::stderr().lock(), false)?;
        if self.report.is_good() { Ok(Ok(self.links)) } else { Ok(Err(self.report.exit_code(false))) }
    }
}

/// A name that Kubernetes takes for a resource (RFC 1123).
pub fn resource_name(text: &str) -> Result<String, String> {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let ends = !text.starts_with('-') && !text.ends_with('-');
    if (1..=63).contains(&text.len()) && ends && text.bytes().all(inside) {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 63 lower-case letters, digits and -, such as shop-quota".to_owned())
}
