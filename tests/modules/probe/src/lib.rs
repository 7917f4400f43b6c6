//! A policy that does what a test tells it: the end-to-end tests drive every function of the Envoy host through it.
//!
//! A request says what to do in the header `x-probe`: a JSON object of phases, each a list of [`Step`]s. What the steps
//! returned comes back in the response header `x-probe-report`, a JSON list of `[phase, result]`.
//!
//! ```json
//! {"request_head": [{"set": ["x-a", "1"]}, {"http_call": {"cluster": "upstream", "path": "/side"}}, "wait"],
//!  "callout": [{"read": "callout"}, "continue"]}
//! ```

mod step;

use std::collections::BTreeMap;
use std::rc::Rc;

use meshgate_policy::config::ConfigError;
use meshgate_policy::exchange::{Body, Exchange, Next, Rest};
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::{Answer, CalloutId, Host, HostError, Map, Metric, MetricKind, Setup, Side};
use meshgate_policy::policy::{Phases, Policy};
use serde_json::{Value, json};
use step::Step;

/// Nothing to configure but a name, which the tests of reconfiguration change.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Comes back as the first entry of each report.
    name: Option<String>,
}

/// Does what it is told.
#[derive(Debug)]
pub struct Probe {
    name: Option<String>,
    counter: Metric,
    gauge: Metric,
    histogram: Metric,
}

impl Policy for Probe {
    const NAME: &'static str = "probe";
    const PHASES: Phases = Phases::ALL;
    type Config = Config;
    type Exchange = Told;

    fn compile(config: Config, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let mut metric = |kind, name| {
            setup.metric(kind, name).unwrap_or_else(|error| {
                log::error!("{name}: {error}");
                Metric(u32::MAX)
            })
        };
        let counter = metric(MetricKind::Counter, "probe.counter");
        let gauge = metric(MetricKind::Gauge, "probe.gauge");
        let histogram = metric(MetricKind::Histogram, "probe.histogram");
        if let Err(error) = setup.set_shared("probe/created", b"0") {
            log::error!("shared data: {error}");
        }
        Ok(Self { name: config.name, counter, gauge, histogram })
    }

    fn begin(self: &Rc<Self>) -> Told {
        Told {
            policy: Rc::clone(self),
            script: BTreeMap::new(),
            report: vec![json!(["name", self.name])],
            answers: Vec::new(),
        }
    }
}

/// One request with its script.
#[derive(Debug)]
pub struct Told {
    policy: Rc<Probe>,
    script: BTreeMap<String, Vec<Step>>,
    report: Vec<Value>,
    answers: Vec<Value>,
}

impl Told {
    /// Takes the steps of a phase; what they return goes into the report.
    fn run(&mut self, host: &mut dyn Host, phase: &str, body: Option<(Side, Body)>) -> Next {
        let mut next = Next::Continue;
        for step in self.steps(phase) {
            match step.run(host, &self.policy, &self.answers, body) {
                Ok(step::Outcome::Next(decided)) => next = decided,
                Ok(step::Outcome::Value(value)) => self.report.push(json!([phase, value])),
                Err(error) => self.report.push(json!([phase, { "error": error.to_string() }])),
            }
        }
        next
    }

    /// The steps of a phase. What is to be done once is not there the next time.
    fn steps(&mut self, phase: &str) -> Vec<Step> {
        let Some(script) = self.script.get_mut(phase) else { return Vec::new() };
        let steps = script.clone();
        script.retain(|step| !matches!(step, Step::Once(_)));
        let flat = steps.into_iter().flat_map(|step| match step {
            Step::Once(steps) => steps,
            step => vec![step],
        });
        flat.collect()
    }

    fn body(&mut self, host: &mut dyn Host, side: Side, body: Body) -> Next {
        let phase = match side {
            Side::Request => "request_body",
            Side::Response => "response_body",
        };
        let rest = match body.rest {
            Rest::More => "more",
            Rest::End => "end",
            Rest::OverLimit => "over limit",
        };
        self.report.push(json!([phase, { "size": body.size, "rest": rest }]));
        self.run(host, phase, Some((side, body)))
    }
}

impl Exchange for Told {
    fn request_head(&mut self, host: &mut dyn Host, end: bool) -> Result<Next, HostError> {
        let headers = host.headers(Map::RequestHeaders)?;
        if let Some(script) = headers.first("x-probe") {
            match serde_json::from_slice(script) {
                Ok(script) => self.script = script,
                Err(error) => self.report.push(json!(["script", { "error": error.to_string() }])),
            }
        }
        self.report.push(json!(["request_head", { "end": end }]));
        Ok(self.run(host, "request_head", None))
    }

    fn request_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        Ok(self.body(host, Side::Request, body))
    }

    fn request_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        Ok(self.run(host, "request_trailers", None))
    }

    fn response_head(&mut self, host: &mut dyn Host, _end: bool) -> Result<Next, HostError> {
        const REPORT: HeaderName = HeaderName::constant("x-probe-report");
        let next = self.run(host, "response_head", None);
        let report = Value::from(std::mem::take(&mut self.report)).to_string();
        if let Ok(report) = HeaderValue::new(report.into_bytes()) {
            host.set_header(Map::ResponseHeaders, &REPORT, &report)?;
        }
        Ok(next)
    }

    fn response_body(&mut self, host: &mut dyn Host, body: Body) -> Result<Next, HostError> {
        Ok(self.body(host, Side::Response, body))
    }

    fn response_trailers(&mut self, host: &mut dyn Host) -> Result<Next, HostError> {
        Ok(self.run(host, "response_trailers", None))
    }

    fn callout(&mut self, host: &mut dyn Host, id: CalloutId, answer: Answer) -> Result<Next, HostError> {
        let answer = match answer {
            Answer::Http { headers, body } => json!({
                "status": headers.first(":status").map(String::from_utf8_lossy),
                "body": String::from_utf8_lossy(&body),
            }),
            Answer::Grpc { message } => json!({ "message": message }),
            Answer::GrpcStatus { code } => json!({ "grpc_status": code }),
            Answer::Failed(error) => json!({ "failed": error.to_string() }),
        };
        log::info!("callout {}: {answer}", id.0);
        self.report.push(json!(["callout", answer]));
        self.answers.push(answer);
        Ok(self.run(host, "callout", None))
    }

    fn log(&mut self, host: &mut dyn Host) {
        let _ = self.run(host, "log", None);
        if self.script.contains_key("log") {
            log::info!("report: {}", Value::from(std::mem::take(&mut self.report)));
        }
    }
}

meshgate_envoy_host::filter!(
    Probe: request_head, request_body, request_trailers, response_head, response_body, response_trailers, callout, log, end
);
