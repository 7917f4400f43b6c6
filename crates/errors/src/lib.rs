//! Error responses and direct responses, as a Meshgate policy.
//!
//! A proxy and the services behind it word their errors each in its own way, and say more than clients should know. This
//! policy gives them one form, which the client chooses, and keeps the rest for the log.
//!
//! 1. While the request's head passes, it is remembered, in one read; maintenance and direct responses answer here
//!    (`maintenance`, `direct`).
//! 2. While the response's head passes, its status is read, and for nearly all of them that is all. An error's `cause` is
//!    asked of the proxy: who made it, and why.
//! 3. The first rule that holds decides (`rule`, `error_match`); without one, errors of the proxy get a problem from the
//!    `catalogue`, and those of the upstream one that says no more than the status.
//! 4. The `answer` is written in the `format` that the client accepts (`accept`).
//!
//! Bodies are never held, nor seen: an answer is sent while the head passes, and the proxy drops the rest of the response. No
//! callback for bodies is exported, so a body that passes costs nothing.

mod accept;
mod answer;
mod catalogue;
mod cause;
mod compile;
mod config;
mod direct;
mod error_match;
mod exchange;
mod fields;
mod flag;
mod format;
mod maintenance;
mod metrics;
mod occasion;
mod reason;
mod report;
mod rule;
mod schedule;
mod source;

#[cfg(test)]
mod tests;

use std::rc::Rc;

use meshgate_policy::config::{ConfigError, OneOrMany, Options, Path};
use meshgate_policy::expression::template::{Sink, Template};
pub use meshgate_policy::grpc::GrpcStatus;
use meshgate_policy::headers::HeaderName;
use meshgate_policy::host::Setup;
use meshgate_policy::line_budget::LineBudget;
use meshgate_policy::policy::{Phases, Policy};

pub use self::catalogue::{KINDS, Kind};
pub use self::cause::Origin;
pub use self::config::{
    Config, DirectConfig, GatewayErrors, HeadersConfig, Included, LogErrors, MaintenanceConfig,
    RedirectConfig, RespondConfig, RuleConfig, StaticConfig, UpstreamErrors, WeeklyConfig,
};
use self::direct::Direct;
pub use self::error_match::ErrorMatch;
pub use self::exchange::ErrorsExchange;
pub use self::flag::{Flag, NAMES as FLAG_NAMES};
pub use self::format::Format;
use self::maintenance::Maintenance;
use self::metrics::Metrics;
pub use self::reason::problem_of;
use self::rule::Rule;
pub use self::schedule::{Day, Instant, TimeOfDay};

/// The policy, compiled.
#[derive(Debug)]
pub struct Errors {
    gateway_errors: GatewayErrors,
    upstream_errors: UpstreamErrors,
    type_base: String,
    formats: Vec<Format>,
    include: Vec<Included>,
    request_id_header: HeaderName,
    timestamp: Template,
    route_headers: Vec<HeaderName>,
    log: LogErrors,
    lines: LineBudget,
    rules: Vec<Rule>,
    direct: Vec<Direct>,
    maintenance: Vec<Maintenance>,
    metrics: Metrics,
    /// Something looks at requests, or may have to when a response is an error.
    reads_requests: bool,
    /// Some rule is for statuses below 400.
    beyond_errors: bool,
}

impl Policy for Errors {
    const NAME: &'static str = "errors";
    const PHASES: Phases = Phases { request_head: true, response_head: true, ..Phases::NONE };
    const OPTIONS: Options<'static> = Options {
        sensitive: &[],
        open: &[],
        examples: &[
            ("to", "to: https://www.example.com"),
            ("from", "from: \"22:00\""),
            ("until", "until: \"23:30\""),
        ],
        documents: &[],
    };

    type Config = Config;
    type Exchange = ErrorsExchange;

    fn compile(config: Config, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let root = Path::root();
        let type_base = config.type_base;
        if !compile::is_uri_text(&type_base) {
            return Err(ConfigError::at(root.key("type_base"))
                .value(&type_base)
                .expected("the beginning of a URI, such as https://errors.example.com/"));
        }
        let path = root.key("formats");
        let formats = match config.formats.map(OneOrMany::into_vec) {
            Some(formats) => compile::formats(formats, &path)?,
            None => Format::ALL.to_vec(),
        };
        let request_id_header =
            compile::header_name(&config.request_id_header, &root.key("request_id_header"))?;
        let timestamp = Template::new("{{ now }}", Sink::Text)
            .map_err(|error| ConfigError::at(&root).problem(error.to_string()))?;

        let path = root.key("route_headers");
        let route_headers = config.route_headers.iter().enumerate();
        let route_headers = route_headers.map(|(index, name)| compile::header_name(name, &path.index(index)));
        let route_headers = route_headers.collect::<Result<_, _>>()?;

        let path = root.key("rules");
        let rules = config.rules.into_iter().enumerate();
        let rules = rules.map(|(index, rule)| Rule::compile(rule, &type_base, &path.index(index)));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        let path = root.key("direct");
        let direct = config.direct.into_iter().enumerate();
        let direct = direct.map(|(index, direct)| Direct::compile(direct, &type_base, &path.index(index)));
        let direct = direct.collect::<Result<Vec<_>, _>>()?;
        let path = root.key("maintenance");
        let maintenance = config.maintenance.into_iter().flat_map(|maintenance| maintenance.located(&path));
        let maintenance =
            maintenance.map(|(path, maintenance)| Maintenance::compile(maintenance, &type_base, &path));
        let maintenance = maintenance.collect::<Result<Vec<_>, _>>()?;

        let asks = |included: &Included| *included != Included::Timestamp;
        let replaces =
            config.gateway_errors != GatewayErrors::Pass || config.upstream_errors != UpstreamErrors::Pass;
        let answers = replaces || rules.iter().any(|rule| rule.answer.is_some());
        let reads_requests = !direct.is_empty()
            || !maintenance.is_empty()
            || rules.iter().any(Rule::asks_request)
            || (answers && (format::negotiates(&formats) || config.include.iter().any(asks)));
        Ok(Self {
            gateway_errors: config.gateway_errors,
            upstream_errors: config.upstream_errors,
            type_base,
            formats,
            include: config.include,
            request_id_header,
            timestamp,
            route_headers,
            log: config.log,
            lines: LineBudget::default(),
            beyond_errors: rules.iter().any(|rule| (200..400).any(|status| rule.matches.has_status(status))),
            rules,
            direct,
            maintenance,
            metrics: Metrics::define(setup)?,
            reads_requests,
        })
    }

    fn begin(self: &Rc<Self>) -> ErrorsExchange {
        ErrorsExchange::new(Rc::clone(self))
    }
}

impl Errors {
    /// Whether anything may be done about a response with this status.
    fn looks_at(&self, status: u16) -> bool {
        status >= 400 || (self.beyond_errors && self.rules.iter().any(|rule| rule.matches.has_status(status)))
    }
}
