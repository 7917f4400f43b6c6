//! Rules: what becomes of a response.

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{ConfigError, Path};

use crate::answer::Answer;
use crate::compile;
use crate::config::RuleConfig;
use crate::error_match::{ErrorMatch, Subject};
use crate::occasion::Occasion;

/// A rule, compiled.
#[derive(Debug)]
pub struct Rule {
    /// Which responses.
    pub matches: ErrorMatch,
    when: Option<Condition>,
    /// What the client gets; `None`: the response passes.
    pub answer: Option<Answer>,
}

impl Rule {
    /// Compiles a rule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(config: RuleConfig, type_base: &str, path: &Path) -> Result<Self, ConfigError> {
        if (100..200).any(|status| config.matches.has_status(status)) {
            return Err(ConfigError::at(path.key("match").key("status"))
                .found("a status below 200")
                .expected("statuses from 200 on: what comes before a response can't be replaced"));
        }
        let answer = match (config.respond, config.pass) {
            (Some(respond), None) => Some(Answer::compile(respond, type_base, true, &path.key("respond"))?),
            (None, Some(true)) => None,
            (None, Some(false)) => {
                return Err(ConfigError::at(path.key("pass"))
                    .found("false")
                    .expected("true, or respond instead"));
            }
            (Some(_), Some(_)) => {
                return Err(ConfigError::at(path).found("respond and pass").expected("one of them"));
            }
            (None, None) => {
                return Err(ConfigError::at(path)
                    .found("neither respond nor pass")
                    .expected("one of them, such as respond: {title: Back soon, retry_after: 30s}"));
            }
        };
        let when = compile::condition(config.when, true, &path.key("when"))?;
        Ok(Self { matches: config.matches, when, answer })
    }

    /// Whether the request has to be known.
    pub fn asks_request(&self) -> bool {
        self.matches.asks_request()
            || self.when.is_some()
            || self.answer.as_ref().is_some_and(Answer::asks_request)
    }

    /// Checks that it is for this response.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, subject: &Subject<'_>, occasion: &mut Occasion<'_>) -> Result<(), &'static str> {
        if !self.matches.holds(subject, &|| occasion.roll()) {
            return Err("match does not hold");
        }
        match &self.when {
            Some(condition) if !occasion.holds(condition, self.matches.request()) => {
                Err("when does not hold")
            }
            _ => Ok(()),
        }
    }
}
