//! Data-loss prevention as a Meshgate policy.
//!
//! Rules say what is looked for (`find`), where (`in`) and what is done (`do`). For each exchange it is decided once per
//! message which rules are for it; what the others look for is not acted on.
//!
//! - **Finding** is the work of `meshgate-detect`: one scan of a text for all that any rule looks for. `rules` compiles what
//!   scanner a place needs; `inspect` decides which rule a finding is for; `action` says what becomes of it: `mask`, a text,
//!   a token (`token`), written for where it stands (`sink`, `number`).
//! - **Heads** (`heads`): fields, cookies, parameters and the path are values with names, scanned one by one.
//! - **Bodies** (`body`) pass while they are scanned (`stream`). What is not decided at the end of a part is kept until it is:
//!   any chunking gives the same bytes. Only what a rule has to see whole is held (`whole`): to block, to drop a field of
//!   JSON (`fields`), to tell by JSON path which values are meant.
//! - Encoded bodies are decoded and encoded again (`codec`).
//! - What was found is told by kind, place and count (`report`, `metrics`), never by value.

mod action;
mod allow;
mod answer;
mod body;
mod codec;
mod config;
mod exchange;
mod fields;
mod heads;
mod inspect;
mod kind;
mod mask;
mod mend;
mod metrics;
mod number;
mod place;
mod report;
mod rules;
mod scope;
mod sink;
mod stream;
mod target;
mod token;
mod value;
mod whole;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::rc::Rc;

use log::Level;
use meshgate_policy::config::{ConfigError, Options, Path};
use meshgate_policy::host::{Host, Setup};
use meshgate_policy::line_budget::LineBudget;
use meshgate_policy::policy::{Phases, Policy};

pub use self::config::{
    AcceptEncoding, ActionConfig, AllowConfig, BlockConfig, BodiesConfig, Config, CustomFind, FindConfig,
    MaskConfig, RuleConfig, Uninspected,
};
pub use self::exchange::DlpExchange;
use self::kind::Types;
use self::metrics::Metrics;
pub use self::place::Place;
use self::rules::Rules;
use self::token::Tokens;

/// The policy, compiled.
#[derive(Debug)]
pub struct Dlp {
    rules: Rules,
    bodies: Bodies,
    /// Makes the digests of values that are shown; `None`: none are.
    shown: Option<Tokens>,
    log: bool,
    lines: LineBudget,
    filter_state: bool,
    metrics: Metrics,
    /// A body has come whose head waited for it: Envoy does not keep both.
    heads_can_wait: Cell<bool>,
}

/// What is done with bodies.
#[derive(Debug)]
struct Bodies {
    types: Types,
    max_held: usize,
    over_limit: Uninspected,
    undecodable: Uninspected,
    max_ratio: u32,
    recompress: bool,
    accept_encoding: AcceptEncoding,
    keep_ranges: bool,
}

impl Policy for Dlp {
    const NAME: &'static str = "dlp";
    const PHASES: Phases = Phases {
        request_head: true,
        request_body: true,
        request_trailers: true,
        response_head: true,
        response_body: true,
        response_trailers: true,
        log: true,
        ..Phases::NONE
    };
    const OPTIONS: Options<'static> = Options {
        sensitive: &["hmac_key", "values", "words", "sha256"],
        open: &[],
        examples: &[
            ("rules", "rules: [{find: payment, in: response.body, do: mask}]"),
            ("find", "find: [payment, us.ssn]"),
            ("in", "in: [request.body, response.body]"),
            ("do", "do: {mask: {keep_last: 4}}"),
        ],
        documents: &[],
    };

    type Config = Config;
    type Exchange = DlpExchange;

    fn compile(mut config: Config, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let bodies = Bodies::compile(&config.bodies)?;
        let (log, filter_state) = (config.log, config.filter_state);
        let shown = config.hmac_key.as_ref().filter(|_| log || filter_state);
        let shown = shown.and_then(|key| Tokens::new(key.as_bytes()));
        config.rules.iter_mut().for_each(|rule| rule.shadow |= config.shadow);
        let rules = Rules::compile(config)?;
        let metrics = Metrics::define(setup)?;
        Ok(Self {
            rules,
            bodies,
            shown,
            log,
            lines: LineBudget::default(),
            filter_state,
            metrics,
            heads_can_wait: Cell::new(false),
        })
    }

    fn begin(self: &Rc<Self>) -> DlpExchange {
        DlpExchange::new(Rc::clone(self))
    }
}

impl Dlp {
    /// Writes a line into the proxy's log, if there is room for it.
    fn log(&self, host: &mut dyn Host, level: Level, line: impl FnOnce() -> String) {
        if self.lines.take(host.now().as_secs()) {
            log::log!(level, "{}", line());
        } else {
            self.metrics.unlogged(host);
        }
    }
}

impl Bodies {
    fn compile(config: &BodiesConfig) -> Result<Self, ConfigError> {
        let path = Path::root().key("bodies");
        if config.max_ratio == 0 {
            return Err(ConfigError::at(path.key("max_ratio")).found("0").expected("1 or more"));
        }
        Ok(Self {
            types: Types::compile(config),
            max_held: usize::try_from(config.max_held.bytes()).unwrap_or(usize::MAX),
            over_limit: config.over_limit,
            undecodable: config.undecodable,
            max_ratio: config.max_ratio,
            recompress: config.recompress,
            accept_encoding: config.accept_encoding,
            keep_ranges: config.keep_ranges,
        })
    }
}
