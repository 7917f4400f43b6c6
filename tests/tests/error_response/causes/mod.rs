//! Why Envoy answers by itself: as many of the causes in the catalogue as one can provoke, each for real. A case has a listener
//! of its own, all on one Envoy; the request's id is its name, which finds its lines in the logs.

mod filters;
mod names;
mod router;
mod services;
mod streams;

use std::collections::BTreeSet;
use std::process::Command;

use meshgate_e2e::paths;
use meshgate_e2e::{Client, Config, Envoy, Listener, Request, Response, Value, json};

use crate::support::*;

/// The 40 of the Envoy 1.40.0 under test.
fn minor_version() -> u32 {
    let envoy = Command::new(paths::envoy_binary().unwrap()).arg("--version").output().unwrap();
    let text = String::from_utf8_lossy(&envoy.stdout).into_owned();
    let version = text.split('/').find_map(|part| part.strip_prefix("1.")?.split('.').next()?.parse().ok());
    version.unwrap_or_else(|| panic!("no version in {text:?}"))
}

/// What Envoy is told to fail at, and how it says so.
struct Case {
    name: &'static str,
    status: u16,
    kind: &'static str,
    /// How the response code details begin.
    details: &'static str,
    flags: &'static str,
    listener: Listener,
    clusters: Vec<Value>,
    request: Box<dyn Fn(Client) -> Request>,
}

/// A case that sends a GET request for `/`.
fn case(
    name: &'static str,
    status: u16,
    kind: &'static str,
    details: &'static str,
    flags: &'static str,
) -> Case {
    let listener = Listener::named(name)
        .filter(errors(json!({ "log": "all" })))
        .access_log("%REQ(X-REQUEST-ID)% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%");
    let request = Box::new(|client: Client| client.get("/"));
    Case { name, status, kind, details, flags, listener, clusters: vec![], request }
}

impl Case {
    fn filter(mut self, filter: impl Into<meshgate_e2e::Filter>) -> Self {
        self.listener = self.listener.filter(filter);
        self
    }

    /// Fields of the connection manager.
    fn manager(mut self, fields: Value) -> Self {
        self.listener = self.listener.connection_manager(fields);
        self
    }

    /// Fields of the router.
    fn router(mut self, fields: Value) -> Self {
        self.listener = self.listener.router(fields);
        self
    }

    /// Where requests go, as Envoy's `RouteAction`.
    fn route(mut self, action: Value) -> Self {
        self.listener = self.listener.route(json!({ "match": { "prefix": "/" }, "route": action }));
        self
    }

    /// Sends requests to a cluster of this name, which is like one with a single endpoint but for `fields`.
    fn cluster(mut self, endpoint: u16, fields: Value) -> Self {
        let mut cluster = cluster(self.name, endpoint);
        for (name, value) in fields.as_object().unwrap() {
            cluster[name] = value.clone();
        }
        self.clusters.push(cluster);
        let name = self.name;
        self.route(json!({ "cluster": name }))
    }

    /// What the upstream is told to answer.
    fn upstream(self, reply: Value) -> Self {
        self.sends(move |client| client.get("/").upstream(reply.clone()))
    }

    fn sends(mut self, request: impl Fn(Client) -> Request + 'static) -> Self {
        self.request = Box::new(request);
        self
    }

    async fn send(&self, envoy: &Envoy) -> Response {
        let request = (self.request)(Client::http1(envoy.addr_of(self.name)));
        let response = request.header("x-request-id", self.name).send().await;
        response.unwrap_or_else(|error| panic!("{}: {error:#}", self.name))
    }

    /// What of the client's answer is not as it should be.
    fn differs(&self, response: &Response) -> Option<String> {
        let kind = match self.kind {
            "about:blank" => self.kind.to_owned(),
            kind => format!("urn:meshgate:problem:{kind}"),
        };
        let is_problem = response.header("content-type") == Some("application/problem+json");
        let as_expected = response.status == self.status && is_problem && response.json()["type"] == kind;
        let Self { name, status, .. } = self;
        (!as_expected)
            .then(|| format!("{name}: not {status} {kind}: {} {:?}", response.status, response.text()))
    }
}

/// A cluster of one endpoint on the loopback interface. Port 1 is one where nobody listens.
fn cluster(name: &str, endpoint: u16) -> Value {
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": endpoint } });
    let endpoints = json!([{ "lb_endpoints": [{ "endpoint": { "address": address } }] }]);
    json!({ "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": endpoints } })
}

/// An Envoy with a listener for each case.
async fn start(cases: &[Case], config: Config) -> Envoy {
    let listeners = cases.iter().fold(config, |config, case| config.listener(case.listener.clone()));
    let clusters = cases.iter().flat_map(|case| case.clusters.iter().cloned());
    Envoy::start(clusters.fold(listeners, Config::raw_cluster)).await.unwrap()
}

/// Sends what each case sends, and checks what the client gets and what the logs say.
async fn provoke(cases: &[Case], config: Config) {
    let envoy = start(cases, config).await;
    let mut wrong = vec![];
    for case in cases {
        let response = case.send(&envoy).await;
        wrong.extend(case.differs(&response));
    }
    wrong.extend(differences_in_logs(&envoy, cases, cases.len()).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The access log has each cause as it is without the filter, and the filter has read the same: details and flags.
async fn differences_in_logs(envoy: &Envoy, cases: &[Case], lines: usize) -> Vec<String> {
    let mut wrong = vec![];
    let log = envoy.wait_for_access_log(lines).await.unwrap();
    for case in cases {
        let name = case.name;
        let line = log.iter().rev().find_map(|line| line.strip_prefix(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("no {name} in {log:#?}"));
        let (details, flags) = line.rsplit_once(' ').unwrap();
        if !details.starts_with(case.details) || set(flags) != set(case.flags) {
            wrong.push(format!("{name}: not {} {}: {line}", case.details, case.flags));
        }
        let id = format!("request_id=\"{name}\"");
        let replaced =
            envoy.log().lines().rev().find(|line| line.contains(&id)).unwrap_or_default().to_owned();
        let read = replaced.split_once(" flags=").and_then(|(_, rest)| rest.split_once(' '));
        // The access log has no spaces in details, and what the filter says where Envoy says nothing.
        let told = if details == "meshgate_error" { "" } else { details };
        let same = replaced.replace(' ', "_").contains(&format!("details=\"{told}\""));
        if !same || read.map(|(read, _)| set(read)) != Some(set(flags)) {
            wrong.push(format!("{name}: not {line}, as the access log has it: {replaced:?}"));
        }
    }
    wrong
}

fn set(flags: &str) -> BTreeSet<&str> {
    flags.split(',').collect()
}
