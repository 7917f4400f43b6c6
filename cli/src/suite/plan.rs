//! A suite made ready to run: modules compiled, files read, requests built, and all that is wrong with it told.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::config::{self, ConfigError, Path};
use meshgate_wasm_host as host;
use serde_json::Value;

use super::format;
use super::message::{self, Callout, Upstream};
// What `explain` reads as suites do.
pub use super::message::{address, time};
use crate::check::single::{self, Report, Single};
use crate::filters::Filter;
use crate::modules::{self, Modules};

/// What is run.
pub struct Plan {
    /// The suite's file.
    pub name: String,
    pub plugins: Vec<host::Plugin>,
    /// When each test begins, since the epoch.
    pub start: Option<Duration>,
    pub tests: Vec<Test>,
}

pub struct Test {
    pub name: String,
    pub line: usize,
    pub chunks: format::Chunks,
    pub steps: Vec<Step>,
}

pub struct Step {
    pub name: Option<String>,
    /// To which time the clock is moved.
    pub at: Option<Duration>,
    /// And by how much.
    pub advance: Duration,
    pub request: host::Request,
    pub upstream: Upstream,
    /// The nearest first.
    pub callouts: Vec<Callout>,
    pub repeat: u32,
    pub expect: format::Expect,
}

/// Why there is no plan, beside what is in the report.
pub enum NoPlan {
    /// The suite, or a configuration, is wrong.
    Wrong,
    /// It can't be run here: what is missing.
    Missing(String),
}

/// Reads a suite.
pub fn read(path: &FilePath, modules: &mut Modules, report: &mut Report) -> Result<Plan, NoPlan> {
    let file = Single::read(path, report).ok_or(NoPlan::Wrong)?;
    let options =
        config::Options { sensitive: &["environment"], open: &[], examples: &EXAMPLES, documents: &[] };
    let suite: format::Suite = file.load(&options, report).ok_or(NoPlan::Wrong)?;
    let name = file.name.clone();
    match (Planner { suite: &suite, file: &file }).plan() {
        Ok((start, steps)) => {
            // Last, since to compile takes a second.
            let plugins = plugins(&suite.filters, &file, path, modules, report)?;
            let tests = suite.tests.into_iter().zip(steps).map(|(test, (line, steps))| Test {
                name: test.name,
                line,
                chunks: test.chunks,
                steps: with_expectations(test.steps, test.expect, steps),
            });
            Ok(Plan { name, plugins, start, tests: tests.collect() })
        }
        Err(error) => {
            file.wrong(error, report);
            Err(NoPlan::Wrong)
        }
    }
}

const EXAMPLES: [(&str, &str); 5] = [
    ("filters", "filters: {module: dlp, config: dlp.yaml}"),
    ("module", "module: api-key-quota"),
    ("name", "name: no key is refused"),
    ("path", "path: /v1/orders?page=2"),
    ("tests", "tests: [{name: ..., request: {path: /}, expect: {status: 200}}]"),
];

fn plugins(
    filters: &[format::Filter],
    file: &Single,
    path: &FilePath,
    modules: &mut Modules,
    report: &mut Report,
) -> Result<Vec<host::Plugin>, NoPlan> {
    let base = path.parent().unwrap_or(FilePath::new(""));
    let here = file.document.root.get("filters");
    let mut plugins = Vec::new();
    let mut wrong = false;
    for (index, filter) in filters.iter().enumerate() {
        let at = Path::root().key("filters");
        // One filter may stand there without a list.
        let node = here.map(|node| node.items().get(index).map_or(node, |item| &**item));
        let at = if here.is_some_and(|node| node.items().is_empty()) { at } else { at.index(index) };
        let known = Filter::of_module(&filter.module);
        if known.is_none() && !modules::is_file(&filter.module) {
            let names = crate::filters::FILTERS.iter().map(|filter| filter.name);
            let error = ConfigError::unknown(at.key("module"), &filter.module, names);
            file.wrong(error.hint("a module of your own is named by its file: ./my.wasm"), report);
            wrong = true;
            continue;
        }
        let environment: Vec<_> = filter.environment.clone().into_iter().collect();
        let own = node.and_then(|node| node.entries().iter().find(|entry| entry.key == "config"));
        let other;
        let configuration = match (&filter.config, own) {
            (None | Some(Value::Null), _) | (_, None) => Some((Vec::new(), false)),
            (Some(Value::String(name)), _) => {
                let config = base.join(name);
                let Some(document) = Single::read(&config, report) else {
                    wrong = true;
                    continue;
                };
                other = document;
                let root = Rc::clone(&other.document.root);
                let bytes = other.configuration(&root, known, &environment, report);
                bytes.map(|bytes| (bytes, single::holds_headers(&root)))
            }
            (Some(_), Some(entry)) => {
                let bytes = file.configuration(&entry.value, known, &environment, report);
                bytes.map(|bytes| (bytes, single::holds_headers(&entry.value)))
            }
        };
        let Some((configuration, says_holds)) = configuration else {
            wrong = true;
            continue;
        };
        let module = modules.get(&filter.module, base).map_err(NoPlan::Missing)?;
        let name = filter.name.clone().or_else(|| known.map(|known| known.name.to_owned()));
        plugins.push(host::Plugin {
            module,
            name: name.unwrap_or_else(|| filter.module.clone()),
            vm_id: filter.vm_id.clone(),
            configuration,
            environment,
            holds_headers: filter.hold_headers.unwrap_or(says_holds),
        });
    }
    if wrong { Err(NoPlan::Wrong) } else { Ok(plugins) }
}

/// Puts what is expected of each step behind what is done in it.
fn with_expectations(
    steps: Option<Vec<format::Step>>,
    own: Option<format::Expect>,
    mut planned: Vec<Step>,
) -> Vec<Step> {
    let all = match steps {
        Some(steps) => steps.into_iter().map(|step| step.expect).collect(),
        None => vec![own],
    };
    for (step, expect) in planned.iter_mut().zip(all) {
        step.expect = expect.unwrap_or_default();
    }
    planned
}

struct Planner<'a> {
    suite: &'a format::Suite,
    file: &'a Single,
}

/// What a step says, wherever it stands.
struct Said<'a> {
    name: Option<&'a str>,
    at: Option<&'a str>,
    advance: Option<config::Duration>,
    request: Option<&'a format::Request>,
    upstream: Option<&'a format::Upstream>,
    callouts: &'a [format::Callout],
    repeat: Option<u32>,
    expect: Option<&'a format::Expect>,
}

type Planned = (Option<Duration>, Vec<(usize, Vec<Step>)>);

impl Planner<'_> {
    fn plan(&self) -> Result<Planned, ConfigError> {
        let root = Path::root();
        let start = self.suite.clock.as_deref().map(|text| time(text, &root.key("clock"))).transpose()?;
        if self.suite.tests.is_empty() {
            return Err(ConfigError::at(root.key("tests")).found("no tests").expected("at least one"));
        }
        let at = self.file.document.root.get("tests").map(|node| node.items()).unwrap_or_default();
        let mut tests = Vec::new();
        let mut names = BTreeMap::new();
        for (index, test) in self.suite.tests.iter().enumerate() {
            let path = root.key("tests").index(index);
            if names.insert(test.name.as_str(), ()).is_some() {
                let error = ConfigError::at(path.key("name")).value(&test.name);
                return Err(error.expected("a name that no other test has"));
            }
            let line = at.get(index).map_or(0, |node| self.file.source.position(node.at).0);
            tests.push((line, self.test(test, &path)?));
        }
        Ok((start, tests))
    }

    fn test(&self, test: &format::Test, path: &Path) -> Result<Vec<Step>, ConfigError> {
        let own = Said {
            name: None,
            at: test.at.as_deref(),
            advance: test.advance,
            request: test.request.as_ref(),
            upstream: test.upstream.as_ref(),
            callouts: &[],
            repeat: test.repeat,
            expect: test.expect.as_ref(),
        };
        let Some(steps) = &test.steps else {
            if test.expect.is_none() {
                return Err(nothing_expected(path));
            }
            return Ok(vec![self.step(&own, test, path)?]);
        };
        let both = [
            ("request", own.request.is_some()),
            ("expect", own.expect.is_some()),
            ("repeat", own.repeat.is_some()),
        ];
        if let Some((field, _)) = both.into_iter().find(|(_, there)| *there) {
            let error = ConfigError::at(path.key(field)).found(format!("{field} beside steps"));
            return Err(error.expected("it in the steps"));
        }
        if !steps.iter().any(|step| step.expect.is_some()) {
            return Err(nothing_expected(path));
        }
        let step = |(index, step): (usize, &format::Step)| {
            let said = Said {
                name: step.name.as_deref(),
                at: step.at.as_deref().or(own.at.filter(|_| index == 0)),
                advance: step.advance.or(own.advance.filter(|_| index == 0)),
                request: step.request.as_ref(),
                upstream: step.upstream.as_ref().or(own.upstream),
                callouts: &step.callouts,
                repeat: step.repeat,
                expect: step.expect.as_ref(),
            };
            self.step(&said, test, &path.key("steps").index(index))
        };
        steps.iter().enumerate().map(step).collect()
    }

    fn step(&self, said: &Said<'_>, test: &format::Test, path: &Path) -> Result<Step, ConfigError> {
        let Some(request) = said.request else {
            let error = ConfigError::at(path).problem("missing field \"request\"");
            return Err(error.hint("write for instance: request: {path: /v1/orders}"));
        };
        if said.repeat == Some(0) {
            return Err(ConfigError::at(path.key("repeat")).found("0").expected("at least 1"));
        }
        if let Some(expect) = said.expect {
            check_expect(expect, &path.key("expect"))?;
        }
        let upstream = match said.upstream.or(self.suite.upstream.as_ref()) {
            Some(upstream) => message::upstream(upstream, &path.key("upstream"))?,
            None => Upstream::Answers(host::Response { status: 200, ..host::Response::default() }),
        };
        let mut callouts = Vec::new();
        let root = Path::root();
        let scopes = [
            (said.callouts, path.key("callouts")),
            (test.callouts.as_slice(), path.key("callouts")),
            (self.suite.callouts.as_slice(), root.key("callouts")),
        ];
        for (all, path) in scopes {
            for (index, callout) in all.iter().enumerate() {
                callouts.push(message::callout(callout, &path.index(index))?);
            }
        }
        Ok(Step {
            name: said.name.map(str::to_owned),
            at: said.at.map(|text| time(text, &path.key("at"))).transpose()?,
            advance: said.advance.map(Duration::from).unwrap_or_default(),
            request: message::request(request, &self.suite.route, &path.key("request"))?,
            upstream,
            callouts,
            repeat: said.repeat.unwrap_or(1),
            expect: format::Expect::default(),
        })
    }
}

fn nothing_expected(path: &Path) -> ConfigError {
    ConfigError::at(path)
        .problem("missing field \"expect\"")
        .hint("write for instance: expect: {status: 200}")
}

fn check_expect(expect: &format::Expect, path: &Path) -> Result<(), ConfigError> {
    let one_of = |bodies: [bool; 3], path: &Path| {
        let several = bodies.iter().filter(|there| **there).count() > 1;
        let error = ConfigError::at(path).found("several of json, json_equals and body");
        if several { Err(error.expected("one of them")) } else { Ok(()) }
    };
    one_of([expect.json.is_some(), expect.json_equals.is_some(), expect.body.is_some()], path)?;
    if let Some(format::Forwarded::Request(request)) = &expect.upstream {
        let bodies = [request.json.is_some(), request.json_equals.is_some(), request.body.is_some()];
        one_of(bodies, &path.key("upstream"))?;
    }
    Ok(())
}
