//! All policies in one: stages, in the order that the user writes.
//!
//! - A configuration (`config`) is a list of stages (`stage`), each with the document of one policy, as its own filter has it.
//! - The stages of an exchange are a chain (`chain`): requests pass it in order, responses the other way round. It reads and
//!   writes each head once, and each body once, whatever the number of stages.
//! - What happened to a request can be traced by who knows a secret (`trace`).
//!
//! This crate alone depends on several policies. They know nothing of it, nor of each other.

mod chain;
mod config;
mod stage;
mod trace;

#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::time::Duration;

use meshgate_dlp::Dlp;
use meshgate_errors::Errors;
use meshgate_policy::config::{ConfigError, Options, Path, quoted};
use meshgate_policy::digest::Digest;
use meshgate_policy::drive::Drive;
use meshgate_policy::host::{Host, HostError, Map, Setup};
use meshgate_policy::policy::{Phases, Policy};
use meshgate_quota::{Quota, forged};
use meshgate_transform::Transform;

pub use self::chain::{Chain, Name, Stages};
pub use self::config::{Config, StageConfig, TraceConfig};
use self::stage::Stage;
pub use self::stage::StageExchange;
pub use self::trace::Trace;

/// The most stages: each request passes all of them.
const MAX_STAGES: usize = 16;

/// The pipeline, compiled.
#[derive(Debug)]
pub struct Gateway {
    stages: Vec<Stage>,
    trace: Option<Digest>,
    shares_consumer: bool,
    names: Rc<[Name]>,
}

impl Policy for Gateway {
    const NAME: &'static str = "gateway";
    const PHASES: Phases = Phases::ALL;
    const OPTIONS: Options<'static> = Options {
        sensitive: &["secret_sha256"],
        open: &[],
        examples: &[
            (
                "pipeline",
                "pipeline: [{error-response: {}}, {dlp: {rules: [{find: payment, in: response.body, do: mask}]}}]",
            ),
            ("secret_sha256", "secret_sha256: the output of printf %s \"$SECRET\" | sha256sum"),
        ],
        documents: &[
            ("api-key-quota", &Quota::OPTIONS),
            ("dlp", &Dlp::OPTIONS),
            ("error-response", &Errors::OPTIONS),
            ("transform", &Transform::OPTIONS),
        ],
    };

    type Config = Config;
    type Exchange = Chain<Rc<Self>>;

    fn compile(config: Config, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let path = Path::root().key("pipeline");
        if config.pipeline.is_empty() || config.pipeline.len() > MAX_STAGES {
            let found = format!("{} stages", config.pipeline.len());
            return Err(ConfigError::at(path).found(found).expected(format!("1 to {MAX_STAGES}")));
        }
        waits_and_holds(&config.pipeline, &path)?;
        let mut stages: Vec<Stage> = Vec::new();
        for (index, config) in config.pipeline.into_iter().enumerate() {
            let here = path.index(index);
            let stage = Stage::compile(config, &here, setup)?;
            if stages.iter().any(|other| other.name == stage.name) {
                // A stage without a name has that of its policy.
                return Err(ConfigError::at(if stage.is_named { here.key("name") } else { here })
                    .found(format!("a second stage that is called {}", quoted(&stage.name)))
                    .expected("a name that no other stage has")
                    .hint(format!("write name: {}-{}", stage.name, index.saturating_add(1))));
            }
            stages.push(stage);
        }
        if let Some(first) = stages.iter_mut().find(|stage| stage.authenticates()) {
            first.unmasks = true;
        }
        let authenticates = stages.iter().any(Stage::authenticates);
        Ok(Self {
            trace: config.trace.map(|trace| trace.secret_sha256),
            shares_consumer: authenticates && stages.len() > 1,
            names: stages
                .iter()
                .map(|stage| Name { name: Rc::clone(&stage.name), is_own: stage.is_named })
                .collect(),
            stages,
        })
    }

    fn begin(self: &Rc<Self>) -> Chain<Rc<Self>> {
        Chain::new(Rc::clone(self), self.shares_consumer, Rc::clone(&self.names))
    }

    fn wake(self: &Rc<Self>, host: &mut dyn Host) -> Option<Duration> {
        self.stages.iter().filter_map(|stage| stage.wake(host)).min()
    }
}

impl Stages for Rc<Gateway> {
    type Exchange = StageExchange;

    fn number(&self) -> usize {
        self.stages.len()
    }

    fn begin(&self, index: usize, host: &mut dyn Host) -> Result<Option<Drive<StageExchange>>, HostError> {
        self.stages.get(index).map_or(Ok(None), |stage| stage.begin(host))
    }

    fn open(&self, host: &mut dyn Host) -> Result<Option<Box<Trace>>, HostError> {
        let Some(secret) = &self.trace else { return Ok(None) };
        if host.first_header(Map::RequestHeaders, &trace::FIELD)?.is_none() {
            return Ok(None);
        }
        let headers = host.headers(Map::RequestHeaders)?;
        host.remove_header(Map::RequestHeaders, &trace::FIELD)?;
        let field = trace::FIELD;
        let mut given = headers.all(field.as_str());
        let asks =
            matches!((given.next(), given.next()), (Some(given), None) if Digest::of(given) == *secret);
        Ok(asks.then(|| Box::new(Trace::new(self.stages.iter().map(|stage| &stage.name)))))
    }

    fn see_trailers(&self, host: &mut dyn Host) -> Result<(), HostError> {
        if self.trace.is_some() && host.first_header(Map::RequestTrailers, &trace::FIELD)?.is_some() {
            host.remove_header(Map::RequestTrailers, &trace::FIELD)?;
        }
        if self.stages.iter().any(|stage| stage.unmasks) {
            let names = forged(&host.headers(Map::RequestTrailers)?).map_err(|_| HostError::Malformed)?;
            names.iter().try_for_each(|name| host.remove_header(Map::RequestTrailers, name))?;
        }
        Ok(())
    }

    fn see_response(&self, host: &mut dyn Host) -> Result<(), HostError> {
        if self.trace.is_some() && host.first_header(Map::ResponseHeaders, &trace::FIELD)?.is_some() {
            host.remove_header(Map::ResponseHeaders, &trace::FIELD)?;
        }
        Ok(())
    }
}

/// Refuses what Envoy has no way for: a head that has waited for a callout can't wait for its body as well.
fn waits_and_holds(pipeline: &[StageConfig], path: &Path) -> Result<(), ConfigError> {
    let waits = |stage: &StageConfig| {
        stage.quota.as_ref().is_some_and(|quota| !quota.tokens.is_empty() || quota.introspection.is_some())
    };
    let Some(first) = pipeline.iter().position(waits) else { return Ok(()) };
    let holds = |stage: &StageConfig| {
        let transform = stage.transform.as_ref();
        transform.is_some_and(|transform| {
            transform.allow_on_headers_stop_iteration
                && transform.rules.iter().any(|rule| !rule.request.is_empty())
        })
    };
    let Some(index) = pipeline.iter().skip(first).position(holds) else { return Ok(()) };
    let here =
        path.index(first.saturating_add(index)).key("transform").key("allow_on_headers_stop_iteration");
    Err(ConfigError::at(here)
        .found("true, behind a stage that may wait for keys or an answer about a token")
        .expected("such a stage in front of it")
        .hint("or a transform stage with this for responses only: a head that has waited for one can't wait for its body as well"))
}
