//! Who may send which requests: rules, of which the first that is for a request decides.

use std::collections::BTreeSet;

use meshgate_policy::config::{ConfigError, OneOrMany, Path};
use meshgate_policy::matching::{Match, Truth};

use crate::config::{AccessConfig, WhoConfig};
use crate::consumer::{Consumers, Identity};
use crate::plan::needs_no_response;
use crate::request::Request;

/// The most names that an error lists.
const MAX_SHOWN: usize = 20;

/// All rules, in order.
#[derive(Debug)]
pub struct Access(Box<[Rule]>);

/// The rule that denies a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied(pub usize);

#[derive(Debug)]
struct Rule {
    applies: Match,
    /// `None`: all.
    allow: Option<Who>,
    deny: Option<Who>,
}

#[derive(Debug)]
enum Who {
    Everyone,
    Some { groups: Box<[Box<str>]>, consumers: Box<[Box<str>]> },
}

impl Access {
    /// Checks the rules. `open`: there may be consumers and groups that the configuration does not name, because tokens do.
    ///
    /// # Errors
    /// A [`ConfigError`] for a rule that says nothing, or names a group or consumer that there is not: a name that is
    /// mistyped under `deny` would deny nobody.
    pub fn compile(
        configs: Vec<AccessConfig>,
        consumers: &Consumers,
        open: bool,
    ) -> Result<Self, ConfigError> {
        let list = Path::root().key("access");
        let known = Known { open, ..Known::of(consumers) };
        let rule = |(index, config): (usize, AccessConfig)| {
            let path = list.index(index);
            needs_no_response(&config.applies, &path.key("match"))?;
            if config.allow.is_none() && config.deny.is_none() {
                let error = ConfigError::at(path).found("neither allow nor deny");
                return Err(error.expected("one of them, such as allow: {groups: partners}"));
            }
            let who = |config: Option<WhoConfig>, name| {
                config.map(|config| Who::compile(config, &known, &path.key(name))).transpose()
            };
            Ok(Rule {
                applies: config.applies,
                allow: who(config.allow, "allow")?,
                deny: who(config.deny, "deny")?,
            })
        };
        configs.into_iter().enumerate().map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Checks that somebody may send this request. Where no rule is for it, everybody may. Returns the rule that says so.
    ///
    /// A request that a rule is for only as some upstreams read it has to be permitted by that rule and by those that follow.
    ///
    /// # Errors
    /// [`Denied`]
    pub fn check(&self, request: &Request<'_>, identity: &Identity<'_>) -> Result<Option<usize>, Denied> {
        for (index, rule) in self.0.iter().enumerate() {
            match (request.truth(&rule.applies), rule.permits(identity)) {
                (Truth::No, _) | (Truth::Unclear, true) => {}
                (Truth::Yes, true) => return Ok(Some(index)),
                (Truth::Yes | Truth::Unclear, false) => return Err(Denied(index)),
            }
        }
        Ok(None)
    }

    /// Whether the path of a request has a say in who may send it.
    pub fn decides_by_path(&self) -> bool {
        self.0.iter().any(|rule| rule.applies.looks_at_path())
    }
}

impl Rule {
    fn permits(&self, identity: &Identity<'_>) -> bool {
        self.allow.as_ref().is_none_or(|who| who.includes(identity))
            && !self.deny.as_ref().is_some_and(|who| who.includes(identity))
    }
}

impl Who {
    fn compile(config: WhoConfig, known: &Known<'_>, path: &Path) -> Result<Self, ConfigError> {
        match config {
            WhoConfig { everyone: true, groups: None, consumers: None } => Ok(Self::Everyone),
            WhoConfig { everyone: true, .. } => {
                let error = ConfigError::at(path).found("everyone and some");
                Err(error.expected("one of them"))
            }
            WhoConfig { everyone: false, groups: None, consumers: None } => {
                let error = ConfigError::at(path).found("nobody");
                Err(error.expected("groups, consumers, or everyone: true"))
            }
            WhoConfig { everyone: false, groups, consumers } => Ok(Self::Some {
                groups: names(groups, known.open, &known.groups, &path.key("groups"))?,
                consumers: names(consumers, known.open, &known.consumers, &path.key("consumers"))?,
            }),
        }
    }

    fn includes(&self, identity: &Identity<'_>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Some { groups, consumers } => {
                groups.iter().any(|group| identity.groups.contains(group))
                    || consumers.iter().any(|name| name.as_bytes() == identity.name.as_bytes())
            }
        }
    }
}

/// The names that rules can mean.
struct Known<'a> {
    /// There may be others.
    open: bool,
    groups: BTreeSet<&'a str>,
    consumers: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(consumers: &'a Consumers) -> Self {
        // Names are ASCII: each is what it was in the configuration.
        let text = |bytes| str::from_utf8(bytes).unwrap_or_default();
        Self {
            open: false,
            groups: consumers.iter().flat_map(|consumer| consumer.groups.iter()).map(text).collect(),
            consumers: consumers.iter().map(|consumer| text(consumer.name.as_bytes())).collect(),
        }
    }
}

fn names(
    names: Option<OneOrMany<String>>,
    open: bool,
    known: &BTreeSet<&str>,
    path: &Path,
) -> Result<Box<[Box<str>]>, ConfigError> {
    let checked = names.into_iter().flat_map(|names| names.located(path)).map(|(path, name)| {
        if open || known.contains(name.as_str()) {
            Ok(name.into_boxed_str())
        } else {
            Err(if known.len() <= MAX_SHOWN {
                ConfigError::unknown(path, &name, known.iter().copied())
            } else {
                ConfigError::at(path).value(&name).expected("a name that some consumer has")
            })
        }
    });
    checked.collect()
}
