//! Requests and responses rewritten by rules, as a Meshgate policy.
//!
//! 1. A configuration (`config`) is compiled into rules (`rule`): lists of operations on places (`place`) of a message, with
//!    values (`text`, `literal`), and what has to be known before they can be carried out.
//! 2. When a head arrives, the rules that hold are found (`known`), and carried out (`run`) over a draft of it (`head`), of which
//!    only what differs is written. A body is read only if a rule that holds works on it (`content`).
//! 3. When the body is there, what is left is carried out: operations on JSON in one scan, by `meshgate-json`, which leaves
//!    every byte alone that no operation names.
//!
//! What can go wrong with a message, and what a rule wants done about it, is in `trouble`.

mod chance;
mod compile;
mod config;
mod content;
mod cookies;
mod edits;
mod exchange;
mod head;
mod known;
mod literal;
mod metrics;
mod negotiation;
mod parameters;
mod place;
mod rule;
mod run;
mod steps;
mod target;
mod text;
mod trouble;
mod write;

#[cfg(test)]
mod tests;

use std::rc::Rc;

use meshgate_coding::Caps;
use meshgate_policy::config::{ConfigError, OneOrMany, Options, Path};
use meshgate_policy::host::{Setup, Side};
use meshgate_policy::media_type::MediaTypePattern;
use meshgate_policy::policy::{Phases, Policy};

pub use self::config::{
    Config, EncodedBodies, From, NamesConfig, Operation, RenameConfig, RuleConfig, To, TransferConfig,
    WriteConfig,
};
pub use self::exchange::TransformExchange;
pub use self::literal::Literal;
use self::metrics::Metrics;
use self::rule::Rule;
pub use self::trouble::{OnError, Remedy, Trouble};

/// The policy, compiled.
#[derive(Debug)]
pub struct Transform {
    rules: Vec<Rule>,
    /// The largest body that is read, and how much larger than it came.
    caps: Caps,
    json_types: Vec<MediaTypePattern>,
    encoded_bodies: EncodedBodies,
    /// Heads may wait for their bodies.
    holds_heads: bool,
    request: Reads,
    response: Reads,
    /// The head of the request is kept for the response.
    keeps_request: bool,
    /// Some rule reads bodies of responses, or replaces them.
    works_on_responses: bool,
    /// To such a rule it makes a difference why a response has no body.
    minds_head: bool,
    metrics: Metrics,
}

/// What is read of the messages of one side.
#[derive(Clone, Copy, Debug, Default)]
struct Reads {
    /// There is something to do.
    anything: bool,
    /// The head is read.
    head: bool,
}

impl Policy for Transform {
    const NAME: &'static str = "transform";
    const PHASES: Phases = Phases { callout: false, log: false, end: false, ..Phases::ALL };
    const OPTIONS: Options<'static> = Options {
        sensitive: &[],
        open: &[],
        examples: &[
            ("rules", "rules: [{request: [{set: {header: x-user-id, to: \"{{ path.id }}\"}}]}]"),
            ("from", "from: {header: x-user-id}"),
            ("to", "to: {json: /user/id}"),
            ("error", "error: 422"),
        ],
        documents: &[],
    };

    type Config = Config;
    type Exchange = TransformExchange;

    fn compile(config: Config, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let Config {
            rules,
            body_limit,
            json_types,
            encoded_bodies,
            max_ratio,
            allow_on_headers_stop_iteration,
        } = config;
        let holds_heads = allow_on_headers_stop_iteration;
        let at = Path::root().key("rules");
        if rules.is_empty() {
            return Err(ConfigError::at(at).found("no rules").expected("at least one"));
        }
        let rules = rules.into_iter().enumerate();
        let rules = rules
            .map(|(index, rule)| Rule::compile(rule, &at.index(index)))
            .collect::<Result<Vec<_>, _>>()?;
        if !holds_heads {
            rule::refuse_holding(&rules, &at)?;
            if encoded_bodies == EncodedBodies::Identity {
                let here = ConfigError::at(Path::root().key("encoded_bodies")).found("identity");
                return Err(here.expected("keep").hint(rule::HOLDING));
            }
        }
        let here = Path::root().key("body_limit");
        let body_limit =
            usize::try_from(body_limit.bytes()).ok().filter(|limit| (1..=MAX_BODY).contains(limit));
        let body_limit =
            body_limit.ok_or_else(|| ConfigError::at(here).found("another size").expected("1B to 64MiB"))?;

        if max_ratio == 0 {
            let here = ConfigError::at(Path::root().key("max_ratio"));
            return Err(here.found("0").expected("1 or more"));
        }

        let reads = |side| {
            let plans = || rules.iter().filter(move |rule| !rule.plan(side).ops.is_empty());
            Reads { anything: plans().next().is_some(), head: plans().any(|rule| rule.needs(side).head) }
        };
        let (mut request, response) = (reads(Side::Request), reads(Side::Response));
        let responses = || rules.iter().filter(|rule| !rule.response.ops.is_empty());
        let keeps_request = responses().any(Rule::needs_request);
        let mut workers = responses().filter(|rule| rule.needs(Side::Response).works_on_body()).peekable();
        let works_on_responses = workers.peek().is_some();
        let minds_head = workers.any(Rule::minds_missing);
        request.anything |= keeps_request || works_on_responses;
        request.head |= keeps_request;
        Ok(Self {
            caps: Caps { size: body_limit, ratio: max_ratio },
            json_types: json_types.map(OneOrMany::into_vec).unwrap_or_else(default_json_types),
            encoded_bodies,
            holds_heads,
            request,
            response,
            keeps_request,
            works_on_responses,
            minds_head,
            rules,
            metrics: Metrics::define(setup)?,
        })
    }

    fn begin(self: &Rc<Self>) -> TransformExchange {
        TransformExchange::new(Rc::clone(self))
    }
}

/// The largest limit of a body. A module has 1 GiB of memory, never gives any back, and holds a body up to six times while it
/// edits it: as it came, decoded, twice as large when edited, and that encoded.
const MAX_BODY: usize = 64 << 20;

impl Transform {
    const fn reads(&self, side: Side) -> Reads {
        match side {
            Side::Request => self.request,
            Side::Response => self.response,
        }
    }

    /// The largest body that rules make of another: a body at the limit may grow.
    const fn largest(&self) -> usize {
        self.caps.size.saturating_mul(2)
    }
}

fn default_json_types() -> Vec<MediaTypePattern> {
    ["application/json", "*/*+json"].into_iter().filter_map(MediaTypePattern::new).collect()
}
