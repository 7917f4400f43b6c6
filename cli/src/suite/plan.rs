//! A suite made ready to run: modules compiled, files read, requests built, and all that is wrong with it told.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path as FilePath;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshgate_policy::config::{self, ConfigError, Path};
use meshgate_wasm_host as host;
use serde_json::Value;

use super::format;
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

pub enum Upstream {
    Answers(host::Response),
    Fails(host::Failure),
}

#[derive(Clone)]
pub struct Callout {
    cluster: String,
    method: Option<String>,
    path: Option<String>,
    grpc: Option<String>,
    answer: host::CallAnswer,
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
    let options = config::Options { sensitive: &["environment"], examples: &EXAMPLES, documents: &[] };
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
            Some(upstream) => self::upstream(upstream, &path.key("upstream"))?,
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
                callouts.push(self::callout(callout, &path.index(index))?);
            }
        }
        Ok(Step {
            name: said.name.map(str::to_owned),
            at: said.at.map(|text| time(text, &path.key("at"))).transpose()?,
            advance: said.advance.map(Duration::from).unwrap_or_default(),
            request: self::request(request, &self.suite.route, &path.key("request"))?,
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

/// A time such as 2026-11-22T10:00:00Z, since the epoch.
pub fn time(text: &str, path: &Path) -> Result<Duration, ConfigError> {
    let wrong = || ConfigError::at(path).value(text).expected("a time such as 2026-01-31T12:00:00Z");
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    let nanos = u64::try_from(time.as_nanosecond()).map_err(|_| wrong())?;
    Ok(Duration::from_nanos(nanos))
}

fn fields(fields: &format::Fields, path: &Path) -> Result<host::Fields, ConfigError> {
    let mut all = host::Fields::new();
    for (name, values) in fields {
        let is_token = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token {
            let error = ConfigError::at(path).value(name).expected("the name of a header field");
            return Err(error.hint("method, path and host have fields of their own"));
        }
        for value in values {
            if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                let error = ConfigError::at(path.key(name)).found("a value with a line break");
                return Err(error.expected("one line"));
            }
            all.add(name, value.as_bytes());
        }
    }
    Ok(all)
}

/// The body that one of three fields says, and the type of its content.
fn body(
    text: Option<&str>,
    json: Option<&Value>,
    base64: Option<&str>,
    path: &Path,
) -> Result<(Option<Vec<u8>>, Option<&'static str>), ConfigError> {
    match (text, json, base64) {
        (None, None, None) => Ok((None, None)),
        (Some(text), None, None) => Ok((Some(text.as_bytes().to_vec()), None)),
        (None, Some(json), None) => Ok((Some(json.to_string().into_bytes()), Some("application/json"))),
        (None, None, Some(text)) => match STANDARD.decode(text.trim()) {
            Ok(bytes) => Ok((Some(bytes), None)),
            Err(_) => {
                Err(ConfigError::at(path.key("base64")).found("no base64").expected("base64 with padding"))
            }
        },
        _ => Err(ConfigError::at(path).found("several of body, json and base64").expected("one of them")),
    }
}

fn set_type(headers: &mut host::Fields, content_type: Option<&str>) {
    if let Some(content_type) = content_type
        && headers.first("content-type").is_none()
    {
        headers.set("content-type", content_type);
    }
}

fn request(said: &format::Request, route: &str, path: &Path) -> Result<host::Request, ConfigError> {
    let (body, content_type) = body(said.body.as_deref(), said.json.as_ref(), said.base64.as_deref(), path)?;
    if !said.path.starts_with('/') && said.path != "*" {
        let error = ConfigError::at(path.key("path")).value(&said.path);
        return Err(error.expected("a path that begins with /").hint("the host goes into `host`"));
    }
    let method = match (&said.method, &body) {
        (Some(method), _) => method.clone(),
        (None, None) => "GET".to_owned(),
        (None, Some(_)) => "POST".to_owned(),
    };
    let mut request = host::Request::new(&method, &said.path);
    request.headers = fields(&said.headers, &path.key("headers"))?;
    set_type(&mut request.headers, content_type);
    if let Some(host) = &said.host {
        request.authority.clone_from(host);
    }
    request.body = body.into_iter().collect();
    request.trailers = fields(&said.trailers, &path.key("trailers"))?;
    request.chunked = said.chunked;
    request.route = said.route.clone().unwrap_or_else(|| route.to_owned());
    if let Some(from) = &said.from {
        request.from = address(from).ok_or_else(|| {
            let error = ConfigError::at(path.key("from")).value(from);
            error.expected("an address such as 203.0.113.7 or 203.0.113.7:40000")
        })?;
    }
    Ok(request)
}

/// An address, with a port or without.
pub fn address(text: &str) -> Option<SocketAddr> {
    let with_any_port = || text.parse().ok().map(|address: IpAddr| SocketAddr::new(address, 40_000));
    text.parse().ok().or_else(with_any_port)
}

fn upstream(said: &format::Upstream, path: &Path) -> Result<Upstream, ConfigError> {
    if let Some(failure) = said.fails {
        if said.status.is_some() || said.body.is_some() || said.json.is_some() || said.base64.is_some() {
            let error = ConfigError::at(path.key("fails")).found("an answer beside a failure");
            return Err(error.expected("one of them"));
        }
        return Ok(Upstream::Fails(failure.into()));
    }
    let (body, content_type) = body(said.body.as_deref(), said.json.as_ref(), said.base64.as_deref(), path)?;
    let mut response = host::Response { status: status(said.status, path)?, ..host::Response::default() };
    response.headers = fields(&said.headers, &path.key("headers"))?;
    set_type(&mut response.headers, content_type);
    response.body = body.into_iter().collect();
    response.trailers = fields(&said.trailers, &path.key("trailers"))?;
    response.chunked = said.chunked;
    Ok(Upstream::Answers(response))
}

fn status(status: Option<u16>, path: &Path) -> Result<u16, ConfigError> {
    match status.unwrap_or(200) {
        status @ 200..=999 => Ok(status),
        other => Err(ConfigError::at(path.key("status")).found(other.to_string()).expected("200 to 999")),
    }
}

fn callout(said: &format::Callout, path: &Path) -> Result<Callout, ConfigError> {
    use format::CalloutFailure;
    let answer = match (&said.answer, said.fails) {
        (None, None) => {
            let error = ConfigError::at(path).problem("missing field \"answer\"");
            return Err(error.hint("write for instance: answer: {json: {keys: []}}, or fails: timeout"));
        }
        (Some(_), Some(_)) => {
            let error = ConfigError::at(path.key("fails")).found("an answer beside a failure");
            return Err(error.expected("one of them"));
        }
        (None, Some(CalloutFailure::Connection)) => host::CallAnswer::ConnectionFailed,
        (None, Some(CalloutFailure::Reset)) => host::CallAnswer::Reset,
        (None, Some(CalloutFailure::Timeout)) => host::CallAnswer::Never,
        (None, Some(CalloutFailure::NoCluster)) => host::CallAnswer::NoCluster,
        (Some(answer), None) => call_answer(answer, said.grpc.is_some(), &path.key("answer"))?,
    };
    Ok(Callout {
        cluster: said.cluster.clone(),
        method: said.method.clone(),
        path: said.path.clone(),
        grpc: said.grpc.clone(),
        answer,
    })
}

fn call_answer(
    said: &format::CalloutAnswer,
    is_grpc: bool,
    path: &Path,
) -> Result<host::CallAnswer, ConfigError> {
    let (body, content_type) = body(said.body.as_deref(), said.json.as_ref(), said.base64.as_deref(), path)?;
    let after = said.after.map(Duration::from).unwrap_or_default();
    if let Some(status) = said.grpc_status {
        return Ok(host::CallAnswer::GrpcStatus(status));
    }
    if is_grpc {
        return Ok(host::CallAnswer::Grpc { message: body.unwrap_or_default(), after });
    }
    let mut response = host::Response { status: status(said.status, path)?, ..host::Response::default() };
    response.headers = fields(&said.headers, &path.key("headers"))?;
    set_type(&mut response.headers, content_type);
    response.body = body.into_iter().collect();
    Ok(host::CallAnswer::Http { response, after })
}

impl Callout {
    /// What it says to a call, if it is for that.
    pub fn answer(&self, call: &host::Call) -> Option<host::CallAnswer> {
        let is = |expected: &Option<String>, found: &dyn Fn() -> String| {
            expected.as_ref().is_none_or(|expected| *expected == found())
        };
        let pseudo = |name: &str| call.headers.text(name).unwrap_or_default();
        let path = || pseudo(":path").split('?').next().unwrap_or_default().to_owned();
        let grpc = match &call.kind {
            host::CallKind::Http => None,
            host::CallKind::Grpc { service, method } => Some(format!("{service}/{method}")),
        };
        let fits = self.cluster == call.cluster
            && self.grpc.is_some() == grpc.is_some()
            && is(&self.grpc, &|| grpc.clone().unwrap_or_default())
            && is(&self.method, &|| pseudo(":method"))
            && is(&self.path, &path);
        fits.then(|| self.answer.clone())
    }
}
