//! When requests are turned away.

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::exchange::Reply;
use meshgate_policy::matching::{Match, Truth};

use crate::answer::{Answer, Base};
use crate::catalogue::MAINTENANCE;
use crate::compile;
use crate::config::MaintenanceConfig;
use crate::format::{Document, Format};
use crate::occasion::Occasion;
use crate::schedule::{Now, Schedule, Weekly};
use crate::source::Network;

/// A time of maintenance, compiled.
#[derive(Debug)]
pub struct Maintenance {
    schedule: Schedule,
    matches: Match,
    allow: Vec<Match>,
    allow_sources: Vec<Network>,
    answer: Answer,
}

impl Maintenance {
    /// Compiles a time of maintenance.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(config: MaintenanceConfig, type_base: &str, path: &Path) -> Result<Self, ConfigError> {
        if let (Some(from), Some(until)) = (config.from, config.until)
            && until <= from
        {
            return Err(ConfigError::at(path.key("until"))
                .found("an end that is not after from")
                .expected("a later one"));
        }
        let weekly = config.weekly.map(|weekly| {
            let weekly = weekly.into_iter().map(|weekly| Weekly {
                days: weekly.days.map_or_else(Vec::new, |days| days.into_vec()),
                from: weekly.from,
                until: weekly.until,
            });
            weekly.collect()
        });
        let at = path.key("allow");
        let allow = config.allow.into_iter().flat_map(|allow| allow.located(&at));
        let allow = allow.map(|(path, entry)| compile::request_match(entry, &path));
        let sources = config.allow_sources.iter().enumerate();
        let sources =
            sources.map(|(index, source)| Network::compile(source, &path.key("allow_sources").index(index)));
        Ok(Self {
            schedule: Schedule { from: config.from, until: config.until, weekly },
            matches: compile::request_match(config.matches, &path.key("match"))?,
            allow: allow.collect::<Result<_, _>>()?,
            allow_sources: sources.collect::<Result<_, _>>()?,
            answer: Answer::compile(config.respond, type_base, false, &path.key("respond"))?,
        })
    }

    /// The answer to a request that is turned away.
    ///
    /// # Errors
    /// Why it is not.
    pub fn answer(&self, occasion: &mut Occasion<'_>, formats: &[Format]) -> Result<Reply, &'static str> {
        let Now::Open(ends_in) = self.schedule.at(occasion.now.as_secs()) else { return Err("not now") };
        if !occasion.matches(&self.matches) {
            return Err("match does not hold");
        }
        if self.allows(occasion) {
            return Err("allow or allow_sources lets it through");
        }
        occasion.capture(&self.matches);
        let problem =
            Document { members: occasion.members(), ..MAINTENANCE.document(&occasion.policy.type_base) };
        let base =
            Base { retry_after: ends_in, ..Base::new(MAINTENANCE.status, problem, "meshgate_maintenance") };
        Ok(self.answer.reply(base, occasion, formats))
    }

    fn allows(&self, occasion: &mut Occasion<'_>) -> bool {
        // What lets a request through holds for it however an upstream would read it.
        if self.allow.iter().any(|entry| occasion.truth(entry) == Truth::Yes) {
            return true;
        }
        if self.allow_sources.is_empty() {
            return false;
        }
        let source = occasion.host().property(&["source", "address"]).ok().flatten().unwrap_or_default();
        self.allow_sources.iter().any(|network| network.holds(&source))
    }
}
