//! Whose a fetched key is: somebody of the configuration, or a consumer of whom only the file knows.

use std::rc::Rc;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::Timestamp;

use super::record::Record;
use crate::answer::Refusal;
use crate::config::KeyFileIdentityConfig;
use crate::consumer::{
    self, Consumers, Credential, Groups, Identity, METADATA, Metadata, NAME_FORM, UsageAt, check_name,
};
use crate::names::Names;
use crate::plan::Plan;
use crate::token::Directory;

/// Whose keys of a file may be.
#[derive(Debug)]
pub struct Whose {
    names: Names,
    configured_consumers: bool,
    plan: Option<Rc<Plan>>,
    groups: Groups,
    directory: Rc<Directory>,
    /// Of the consumers, that of those who send no credential.
    anonymous: Option<usize>,
}

/// A key that was fetched, and whose it is.
#[derive(Debug)]
pub struct Fetched {
    name: HeaderValue<'static>,
    id: Box<str>,
    /// Of the consumers in the configuration, which.
    configured: Option<usize>,
    plan: Rc<Plan>,
    groups: Groups,
    metadata: Metadata,
    refusal: Option<Refusal>,
}

impl Whose {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for a plan that there is not, or a name that can't be.
    pub fn compile(
        config: KeyFileIdentityConfig,
        directory: &Rc<Directory>,
        consumers: &Consumers,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        let plan = config.plan.map(|name| {
            let known = directory.plans.keys().map(String::as_str);
            let unknown = || ConfigError::unknown(path.key("plan"), &name, known);
            directory.plans.get(&name).map(Rc::clone).ok_or_else(unknown)
        });
        let prefix = path.key("consumer_prefix");
        Ok(Self {
            names: Names::compile(config.consumer_prefix, config.shared_names, &prefix)?,
            configured_consumers: config.configured_consumers,
            plan: plan.transpose()?,
            groups: Groups::compile(&config.groups, &path.key("groups"))?,
            directory: Rc::clone(directory),
            anonymous: consumers
                .iter()
                .enumerate()
                .map(|(index, _)| index)
                .find(|index| consumers.is_anonymous(*index)),
        })
    }

    /// The names that it gives.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Checks what a line says of the consumer.
    ///
    /// # Errors
    /// A [`ConfigError`] for a name that nobody can have, or this key can't, and for a plan that there is not.
    pub fn check(&self, consumer: &str, plan: Option<&str>, path: &Path) -> Result<(), ConfigError> {
        let here = path.key("consumer");
        let name = self.names.full(consumer);
        let length = || format!("a string of {} characters", consumer.chars().count());
        if consumer.is_empty() || check_name(&name, &here).is_err() {
            let error = ConfigError::at(here).found(length());
            return Err(match self.names.prefix() {
                "" => error.expected(NAME_FORM),
                _ => error.expected(format!("{NAME_FORM}, with consumer_prefix before it")),
            });
        }
        let path = path.key("plan");
        match self.directory.consumer(&name) {
            Some(index) if !self.may_be(index) => Err(ConfigError::at(here)
                .found("the name of a consumer of the configuration")
                .expected("another one")
                .hint("identity.configured_consumers lets keys be theirs, consumer_prefix keeps them apart")),
            Some(_) if plan.is_some() => {
                let error = ConfigError::at(path).found("a plan for a consumer of the configuration");
                Err(error.expected("none: it has its own"))
            }
            Some(_) => Ok(()),
            None if plan.is_some_and(|plan| !self.directory.plans.contains_key(plan)) => {
                let error = ConfigError::at(path).found("a plan that does not exist");
                Err(error.expected("the name of one of the plans"))
            }
            None if plan.is_none() && self.plan.is_none() => {
                Err(ConfigError::at(path).found("no plan, and none in identity").expected("the name of one"))
            }
            None => Ok(()),
        }
    }

    /// Whose key it is; `plan` is the name of the one that it has. `None`: what the file says does not fit the configuration,
    /// which has changed since it was read.
    pub fn of(
        &self,
        record: &Record<'_>,
        plan: Option<&str>,
        consumers: &Consumers,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<Fetched> {
        let name = self.names.full(record.consumer());
        let configured = self.directory.consumer(&name);
        if configured.is_some_and(|index| !self.may_be(index)) {
            return None;
        }
        let consumer = configured.and_then(|index| consumers.get(index));
        let plan = match (consumer, plan) {
            (Some(consumer), _) => &consumer.plan,
            (None, Some(plan)) => self.directory.plans.get(plan)?,
            (None, None) => self.plan.as_ref()?,
        };
        let mut metadata = consumer.map(|consumer| consumer.metadata.clone()).unwrap_or_default();
        for (name, value) in record.metadata() {
            let header = HeaderName::new(&format!("{METADATA}{name}")).ok()?;
            metadata.insert(header, HeaderValue::new(value.as_bytes().to_vec()).ok()?);
        }
        let refusal = record.validity().refusal(now);
        Some(Fetched {
            configured: consumer.and(configured),
            plan: Rc::clone(plan),
            groups: consumer.map_or(&self.groups, |consumer| &consumer.groups).clone(),
            metadata,
            refusal: refusal.or_else(|| consumer.and_then(consumer::Consumer::refusal)),
            id: record.id().into(),
            name: HeaderValue::new(name.into_bytes()).ok()?,
        })
    }

    /// Whether a key may be that of this consumer of the configuration.
    fn may_be(&self, consumer: usize) -> bool {
        self.configured_consumers && self.anonymous != Some(consumer)
    }
}

impl Fetched {
    /// Who sends the request.
    pub fn identity<'a>(&'a self, consumers: &'a Consumers) -> Identity<'a> {
        let consumer = self.configured.and_then(|index| consumers.get(index));
        Identity {
            name: &self.name,
            plan: &self.plan,
            groups: &self.groups,
            metadata: &self.metadata,
            refusal: self.refusal,
            credential: Credential::Key { id: &self.id },
            usage: match consumer {
                Some(consumer) => UsageAt::Value(&consumer.usage_key),
                None => UsageAt::Named,
            },
        }
    }
}
