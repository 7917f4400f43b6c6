//! `meshgate explain`: what would happen to a request, and why.
//!
//! The request goes through the very modules (`meshgate_wasm_host`). What can be seen from outside is told: what each filter
//! changed, logged, counted, asked for and answered; and why, as the modules say it themselves where a proxy logs at the level
//! `trace`. Nothing is worked out here a second time.

mod changes;
mod show;

use std::fs;
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use clap::builder::PossibleValuesParser;
use meshgate_policy::config::Path;
use meshgate_wasm_host::{
    Call, CallAnswer, Fields, LogLevel, Options, Plugin, Proxy, Request, Response, Upstream,
};

use crate::check::single::{self, Input, Report, Single};
use crate::check::{self, Deployed};
use crate::failure::Failure;
use crate::filters::{FILTERS, Filter};
use crate::modules::{self, Modules};
use crate::output::{self, Output};
use crate::suite::plan;

/// Tell what would happen to a request, and why
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// A configuration, or what deploys some; several are a chain, in order. FILTER= says which filter one is for
    #[arg(long, short, required = true, value_name = "[FILTER=]FILE")]
    config: Vec<String>,

    /// The filter that configurations are for, where nothing else tells
    #[arg(long, short, value_parser = PossibleValuesParser::new(FILTERS.iter().map(|filter| filter.name)))]
    filter: Option<String>,

    /// The path, or a URL
    #[arg(value_name = "URL")]
    url: String,

    /// The method; else GET, or POST with a body
    #[arg(long, short = 'X')]
    method: Option<String>,

    /// A header field
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,

    /// The body, or @ and the name of a file
    #[arg(long, short, value_name = "BODY|@FILE")]
    data: Option<String>,

    /// The address of the client
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,

    /// The route that the request has
    #[arg(long, value_name = "NAME", default_value = "")]
    route: String,

    /// The time, such as 2026-01-31T12:00:00Z; else now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,

    /// A variable of the modules' environment
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// What the upstream answers
    #[arg(long, value_name = "STATUS", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=999))]
    status: u16,

    /// A header field of that answer
    #[arg(long, value_name = "NAME: VALUE")]
    response_header: Vec<String>,

    /// The body of that answer, or @ and the name of a file
    #[arg(long, value_name = "BODY|@FILE")]
    response_data: Option<String>,

    /// The upstream does not answer
    #[arg(long, value_name = "HOW", conflicts_with_all = ["status", "response_header", "response_data"])]
    fails: Option<Failure>,

    #[command(flatten)]
    modules: modules::Where,

    #[command(flatten)]
    output: output::Options,
}

const EXAMPLES: &str = "\
Examples:
  meshgate explain -c quota.yaml -H 'x-api-key: some-key' /v1/orders
  meshgate explain -c quota.yaml -c transform.yaml -d '{\"a\": 1}' https://api.example.com/v1/users/7
  meshgate explain -c dlp.yaml --response-header 'content-type: text/plain' --response-data @page.txt /
  meshgate explain -c error-response.yaml --fails timeout -H 'accept: text/html' /
  meshgate explain -c dlp=rules.yaml --output json / | jq .client

Exit status: 0, whatever the answer is; 1 if a configuration is wrong, 2 if the command line is wrong, a
file can't be read or a module is missing.";

impl Explain {
    /// Runs the command.
    ///
    /// # Errors
    /// The command line makes no sense, a module is missing or breaks off, or nothing could be written.
    pub fn run(self) -> io::Result<ExitCode> {
        let request = self.request()?;
        let mut response = Response { status: self.status, ..Response::default() };
        response.headers = fields(&self.response_header)?;
        response.body = self.response_data.as_deref().map(bytes).transpose()?.into_iter().collect();
        let mut report = Report::default();
        let plugins = self.plugins(&mut report)?;
        if self.output.output == Output::Text || plugins.is_none() {
            single::write(&report)?;
        }
        let Some(plugins) = plugins else { return Ok(single::exit_code(&report)) };
        let start = match &self.at {
            Some(text) => {
                plan::time(text, &Path::root()).map_err(|error| wrong("--at", &error.to_string()))?
            }
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        };
        let options = Options { start, log_level: LogLevel::Trace, ..Options::default() };
        let mut proxy = Proxy::start(&plugins, &options).map_err(io::Error::other)?;
        // There is no network here: to whom a filter turns can't be reached.
        proxy.answer_calls(|_: &Call| CallAnswer::ConnectionFailed);
        let upstream = match self.fails {
            Some(how) => Upstream::Fails(how.into()),
            None => Upstream::Answers(&mut |_| response.clone()),
        };
        let exchange = proxy.exchange(&request, upstream).map_err(io::Error::other)?;
        let names: Vec<_> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        match self.output.output {
            Output::Text => show::text(&names, &exchange)?,
            Output::Json => output::json(&show::to_json(&names, &exchange))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn request(&self) -> io::Result<Request> {
        let (host, path) = match self.url.split_once("://") {
            Some((_, rest)) => match rest.find(['/', '?']) {
                Some(at) => rest.split_at(at),
                None => (rest, "/"),
            },
            None => ("localhost", self.url.as_str()),
        };
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        if !path.starts_with('/') {
            return Err(wrong(
                "URL",
                "expected a path that begins with /, or a URL such as https://host/path",
            ));
        }
        let body = self.data.as_deref().map(bytes).transpose()?;
        let usual = if body.is_some() { "POST" } else { "GET" };
        let path = path.split('#').next().unwrap_or_default();
        let mut request = Request::new(self.method.as_deref().unwrap_or(usual), path);
        host.clone_into(&mut request.authority);
        request.headers = fields(&self.header)?;
        if let Some(host) = request.headers.text("host") {
            request.authority = host;
            request.headers.remove("host");
        }
        if request.headers.first("content-type").is_none() && body.as_deref().is_some_and(is_json) {
            request.headers.set("content-type", "application/json");
        }
        request.body = body.into_iter().collect();
        request.route.clone_from(&self.route);
        if let Some(from) = &self.from {
            let expected = "expected an address such as 203.0.113.7";
            request.from = plan::address(from).ok_or_else(|| wrong("--from", expected))?;
        }
        Ok(request)
    }

    /// `None`: a configuration is wrong, which is in the report.
    fn plugins(&self, report: &mut Report) -> io::Result<Option<Vec<Plugin>>> {
        let mut modules = Modules::new(&self.modules).map_err(io::Error::other)?;
        let mut environment = Vec::new();
        for variable in &self.env {
            let pair = variable.split_once('=').ok_or_else(|| wrong("--env", "expected NAME=VALUE"))?;
            environment.push((pair.0.to_owned(), pair.1.to_owned()));
        }
        let mut plugins = Vec::new();
        let mut good = true;
        for config in &self.config {
            let (named, file) = match config.split_once('=') {
                Some((name, file)) if Filter::named(name).is_some() => (Filter::named(name), file),
                _ => (None, config.as_str()),
            };
            let path = FilePath::new(file);
            let by_option = || self.filter.as_deref().and_then(Filter::named);
            let mut add = |filter: &'static Filter, configuration, environment, holds_headers| {
                let module = modules.get(filter.name, FilePath::new("")).map_err(io::Error::other)?;
                let (name, vm_id) = (filter.name.to_owned(), String::new());
                plugins.push(Plugin { module, name, vm_id, configuration, environment, holds_headers });
                Ok::<_, io::Error>(())
            };
            let Some(input) = Input::read(path, report) else {
                good = false;
                continue;
            };
            if let Some(all) = check::deployed(&input, named.or_else(by_option), &environment, report) {
                for Deployed { filter, configuration, environment, holds_headers } in all {
                    add(filter, configuration, environment, holds_headers)?;
                }
                good &= report.is_good();
                continue;
            }
            let Some(document) = Single::of(input, report) else {
                good = false;
                continue;
            };
            let Some(filter) = named.or_else(by_option).or_else(|| document.filter(path)) else {
                let names = FILTERS.each_ref().map(|filter| filter.name).join(", ");
                let what = format!(
                    "which filter {file} is for is not clear: write FILTER={file}, with one of {names}"
                );
                return Err(wrong("--config", &what));
            };
            let root = Rc::clone(&document.document.root);
            let Some(configuration) = document.configuration(&root, Some(filter), &environment, report)
            else {
                good = false;
                continue;
            };
            add(filter, configuration, environment.clone(), single::holds_headers(&root))?;
        }
        Ok(good.then_some(plugins))
    }
}

fn wrong(option: &str, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{option}: {what}"))
}

fn bytes(data: &str) -> io::Result<Vec<u8>> {
    match data.strip_prefix('@') {
        Some(file) => {
            let path = PathBuf::from(file);
            fs::read(&path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", output::shown(&path))))
        }
        None => Ok(data.as_bytes().to_vec()),
    }
}

fn is_json(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{") || body.trim_ascii_start().starts_with(b"[")
}

/// `name: value`, each.
fn fields(lines: &[String]) -> io::Result<Fields> {
    let mut fields = Fields::new();
    for line in lines {
        let pair = line.split_once(':').filter(|(name, value)| {
            !name.is_empty() && !name.contains(char::is_whitespace) && !value.contains(['\r', '\n', '\0'])
        });
        let (name, value) = pair.ok_or_else(|| wrong("a header field", "expected NAME: VALUE"))?;
        fields.add(name, value.trim());
    }
    Ok(fields)
}

/// So that nobody has to know of the lock on it.
pub(crate) fn out() -> impl Write {
    anstream::stdout().lock()
}
